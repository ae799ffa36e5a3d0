/*
 * The loader's readers of files and tables, on any bytes: as an image, a kernel, an EFI map, and as
 * physical memory with ACPI tables in it. What they accept is then used as the loader uses it.
 */
#include <elf.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "loader/acpi.h"
#include "loader/efi.h"
#include "loader/elf.h"
#include "loader/linux.h"
#include "loader/modules.h"
#include "loader/paging.h"
#include "tests/fuzz/fuzz.h"

#define GOOD_SIZE 0x3000u
#define CODE_AT   0x1000u
#define SETUP_AT  0x1f1u
#define RSDT      0x100u
#define MADT      0x200u
#define FADT      0x300u
#define DMAR      0x400u

static uint8_t *memory;

void *acpi_map(uint64_t address, uint64_t size)
{
	if (address > GOOD_SIZE || size > GOOD_SIZE - address) {
		return NULL;
	}
	return memory + address;
}

/* A zeroed file, to be filled, poked and freed. */
static uint8_t *new_file(void)
{
	return calloc(1, GOOD_SIZE);
}

static void poke(uint8_t *file, const uint8_t *data, uint32_t size)
{
	for (uint32_t i = 0; i + 3 <= size; i += 3) {
		file[(data[i] | data[i + 1] << 8) % GOOD_SIZE] = data[i + 2];
	}
}

static void put32(uint8_t *file, uint32_t at, uint32_t value)
{
	memcpy(file + at, &value, sizeof(value));
}

static void fill_image(uint8_t *file)
{
	Elf64_Ehdr *h = (Elf64_Ehdr *)file;
	Elf64_Phdr *p = (Elf64_Phdr *)(h + 1);

	memcpy(h->e_ident, ELFMAG, SELFMAG);
	h->e_ident[EI_CLASS] = ELFCLASS64;
	h->e_ident[EI_DATA] = ELFDATA2LSB;
	h->e_type = ET_EXEC;
	h->e_machine = EM_X86_64;
	h->e_phoff = sizeof(*h);
	h->e_phentsize = sizeof(*p);
	h->e_phnum = 2;
	p[0] = (Elf64_Phdr){.p_type = PT_LOAD,
			    .p_flags = PF_X,
			    .p_offset = CODE_AT,
			    .p_vaddr = HV_IMAGE_VA,
			    .p_filesz = 0x1000,
			    .p_memsz = 0x1000};
	p[1] = (Elf64_Phdr){.p_type = PT_LOAD,
			    .p_flags = PF_W,
			    .p_offset = 2 * CODE_AT,
			    .p_vaddr = HV_IMAGE_VA + 0x2000,
			    .p_filesz = 0x800,
			    .p_memsz = 0x1800};
	*(struct hv_image_header *)(file + CODE_AT) =
		(struct hv_image_header){HV_IMAGE_MAGIC, HV_IMAGE_SVM, 0, HV_IMAGE_VA};
}

static void try_image(const uint8_t *data, uint32_t size)
{
	struct image image;
	uint8_t *file = new_file(), *loaded;
	uint64_t *tables;

	fill_image(file);
	poke(file, data, size);
	if (elf_parse(file, GOOD_SIZE, &image) == NULL) {
		loaded = malloc(image.size);
		tables = calloc(1, paging_size(&image));
		elf_load(file, &image, loaded);
		paging_build(tables, 0x100000, &image, 0x200000);
		free(tables);
		free(loaded);
	}
	free(file);
}

static void fill_kernel(uint8_t *file)
{
	struct linux_setup *s = (struct linux_setup *)(file + SETUP_AT);

	s->setup_sects = 4;
	s->boot_flag = SETUP_BOOT_FLAG;
	s->jump_distance = 0x6a;
	s->magic = SETUP_MAGIC;
	s->version = 0x020f;
	s->loadflags = SETUP_LOADED_HIGH;
	s->initrd_addr_max = 0x7fffffff;
	s->kernel_alignment = 0x200000;
	s->relocatable_kernel = 1;
	s->pref_address = 0x1000000;
	s->init_size = 0x800000;
}

static void use_kernel(const struct linux_kernel *kernel)
{
	static struct linux_params params;
	static struct ranges map, taken;
	struct root_files files = {{0x2000000, GOOD_SIZE}, {0x1080000, 0x100000}, 0x3000};
	struct root_params root = {.map = &map};
	struct root_plan plan;

	map.count = taken.count = 0;
	ranges_add(&map, 0, 0x9f000, RANGE_RAM);
	ranges_add(&map, 0x100000, 0x4000000, RANGE_RAM);
	ranges_add(&taken, 0x100000, 0x40000, RANGE_RESERVED);
	if (linux_plan(&map, &taken, kernel, &files, &plan) != NULL) {
		return;
	}
	EXPECT(ranges_are_ram(&map, plan.kernel.base, kernel->space));
	EXPECT(!ranges_overlap(&taken, plan.kernel.base, kernel->space));
	EXPECT(ranges_are_ram(&map, plan.initrd.base, plan.initrd.size));
	linux_fill_params(&params, kernel, &root);
}

static void try_kernel(const uint8_t *data, uint32_t size)
{
	struct linux_kernel kernel;
	uint8_t *file = new_file();

	fill_kernel(file);
	poke(file, data, size);
	if (linux_parse(file, GOOD_SIZE, &kernel) == NULL) {
		EXPECT(kernel.payload_offset + (uint64_t)kernel.payload_size == GOOD_SIZE);
		EXPECT(kernel.space >= kernel.payload_size);
		use_kernel(&kernel);
	}
	free(file);
}

static void put_table(const char *signature, uint32_t at, uint32_t length)
{
	memcpy(memory + at, signature, 4);
	put32(memory, at + 4, length);
}

static void fill_acpi(void)
{
	static const uint8_t entries[] = {0, 8, 0, 2, 1, 0, 0, 0, 9, 16, 0, 0,
					  0, 1, 0, 0, 1, 0, 0, 0, 3, 0,  0, 0};

	put32(memory, 0, RSDT);
	put_table("RSDT", RSDT, 36 + 12);
	put32(memory, RSDT + 36, MADT);
	put32(memory, RSDT + 40, FADT);
	put32(memory, RSDT + 44, DMAR);
	put_table("APIC", MADT, 44 + sizeof(entries));
	memcpy(memory + MADT + 44, entries, sizeof(entries));
	put_table("FACP", FADT, 244);
	put_table("DMAR", DMAR, 48);
}

static void try_acpi(const uint8_t *data, uint32_t size)
{
	static struct acpi_facts facts;
	uint8_t rsdp[RSDP_SIZE_MAX] = "RSD PTR ";

	memory = new_file();
	fill_acpi();
	poke(memory, data, size);
	memcpy(rsdp + 16, memory, 4); /* the RSDT, revision 0 */
	for (int i = 0; i < 20; i++) {
		rsdp[8] = (uint8_t)(rsdp[8] - (i == 8 ? 0 : rsdp[i]));
	}
	memset(&facts, 0, sizeof(facts));
	acpi_read(rsdp, &facts);
	EXPECT(facts.lp_count <= HANDOFF_MAX_LPS);
	acpi_boot_lp_first(&facts, 1);
	EXPECT(facts.lp_count >= 1 && facts.lp_count <= HANDOFF_MAX_LPS &&
	       facts.lp_apic_ids[0] == 1);
	free(memory);
}

static void try_efi(const uint8_t *data, uint32_t size)
{
	static struct efi_map map;
	struct ranges ram = {0};

	if (size < 16 || !efi_map_copy(&map, data + 16, size - 16, data[0], 1)) {
		return;
	}
	efi_map_keep(&map, &ram);
	efi_map_retype(&map, data[1] * 0x1000ull, 0x1000 + data[2] * 0x1000ull, EFI_RESERVED);
	EXPECT(map.size <= EFI_MAP_MAX);
}

static void try_string(const uint8_t *data, uint32_t size)
{
	char *string = malloc(size + 1);

	memcpy(string, data, size);
	string[size] = 0;
	string_size_option(string_options(string), "hv.memory=");
	free(string);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint32_t length = (uint32_t)size - 1;

	if (size < 2) {
		return 0;
	}
	switch (data[0] % 5) {
	case 0:
		try_image(data + 1, length);
		break;
	case 1:
		try_kernel(data + 1, length);
		break;
	case 2:
		try_acpi(data + 1, length);
		break;
	case 3:
		try_efi(data + 1, length);
		break;
	case 4:
		try_string(data + 1, length);
		break;
	}
	return 0;
}
