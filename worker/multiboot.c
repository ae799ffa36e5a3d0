/*
 * Multiboot 1 images (Multiboot Specification 0.6.96): ELF files of either class, or anything that
 * says in its header where its parts go. Entered in 32-bit protected mode. --initrd becomes the one
 * module.
 *
 * The information structure, the memory map, the strings and the GDT lie at INFO, or behind the
 * image if it loads something there itself.
 */
#include <elf.h>
#include <string.h>

#include "devices/acpi_tables.h"
#include "devices/smbios.h"
#include "worker/loader.h"

#define HEADER_MAGIC   0x1badb002u
#define REGISTER_MAGIC 0x2badb002u

#define FLAG_MEMORY    0x00000002u
#define FLAG_VIDEO     0x00000004u
#define FLAG_ADDRESSES 0x00010000u
#define FLAGS_REQUIRED 0x0000ffffu /* one of these that is not known must be refused */

#define INFO         0x10000ull
#define INFO_MAP     0x100ull /* behind the structure's beginning, as what follows */
#define INFO_MODULE  0x200ull
#define INFO_GDT     0x300ull
#define INFO_CMDLINE 0x1000ull
#define CMDLINE_MAX  0x10000ull
#define INFO_LENGTH  (INFO_CMDLINE + CMDLINE_MAX)
#define HIGH_MEMORY  0x100000ull

#define INFO_FLAG_MEMORY  0x01u
#define INFO_FLAG_CMDLINE 0x04u
#define INFO_FLAG_MODULES 0x08u
#define INFO_FLAG_MAP     0x40u

#define MAX_SEGMENTS 64

struct multiboot_header {
	uint32_t magic, flags, checksum;
	uint32_t header_addr, load_addr, load_end_addr, bss_end_addr, entry_addr;
};

struct multiboot_info {
	uint32_t flags, mem_lower, mem_upper, boot_device, cmdline, mods_count, mods_addr, syms[4];
	uint32_t mmap_length, mmap_addr, drives_length, drives_addr, config_table, boot_loader_name;
};

struct multiboot_mmap {
	uint32_t size; /* of the rest */
	uint64_t base, length;
	uint32_t type;
} __attribute__((packed));

struct multiboot_module {
	uint32_t start, end, cmdline, reserved;
};

/* What was loaded. */
struct image {
	uint64_t entry;
	uint64_t end;    /* behind all of it that lies in high memory */
	bool takes_info; /* something of it lies where our structures would be */
};

static bool overlap(uint64_t a, uint64_t a_length, uint64_t b, uint64_t b_length)
{
	return a < b + b_length && b < a + a_length;
}

/* Where the header is, or -1. */
static long find_header(const uint8_t *head, size_t length, struct multiboot_header *header)
{
	size_t at;

	for (at = 0; at + 12 <= length; at += 4) {
		uint32_t words[3];

		memcpy(words, head + at, sizeof(words));
		if (words[0] == HEADER_MAGIC && words[0] + words[1] + words[2] == 0) {
			size_t size = length - at < sizeof(*header) ? length - at : sizeof(*header);

			memset(header, 0, sizeof(*header));
			memcpy(header, head + at, size);
			return (long)at;
		}
	}
	return -1;
}

bool multiboot_recognise(const uint8_t *head, size_t length)
{
	struct multiboot_header header;

	return find_header(head, length, &header) >= 0;
}

static bool refuse_place(struct loader *loader, uint64_t gpa, uint64_t size, const char *why)
{
	return loader_refuse(loader, "--kernel %s: wants memory from %#llx to %#llx, %s",
			     loader->kernel.name, (unsigned long long)gpa,
			     (unsigned long long)(gpa + size), why);
}

/* One piece of the image: `file_size` bytes of the file at `offset`, then zeros up to
 * `memory_size`. */
static bool load_piece(struct loader *loader, uint64_t offset, uint64_t gpa, uint64_t file_size,
		       uint64_t memory_size, struct image *image)
{
	void *ram;

	if (file_size > memory_size) {
		return loader_refuse(
			loader, "--kernel %s: a segment of it is longer in the file than in memory",
			loader->kernel.name);
	}
	if (overlap(gpa, memory_size, ACPI_TABLES_GPA, ACPI_TABLES_LENGTH) ||
	    overlap(gpa, memory_size, SMBIOS_GPA, SMBIOS_LENGTH)) {
		return refuse_place(loader, gpa, memory_size,
				    "where this machine has its ACPI tables and SMBIOS");
	}
	ram = gpa <= UINT32_MAX && memory_size <= UINT32_MAX
		      ? memory_acquire(loader->memory, gpa, memory_size)
		      : NULL;
	if (ram == NULL) {
		return refuse_place(loader, gpa, memory_size, "which this machine does not have");
	}
	/* The guest's memory is all zeros but for what other segments put there. */
	memset(ram, 0, memory_size);
	memory_complete(loader->memory, gpa, memory_size, memory_size);
	if (gpa + memory_size > image->end) {
		image->end = gpa + memory_size;
	}
	image->takes_info |= overlap(gpa, memory_size, INFO, INFO_LENGTH);
	return loader_read_to_guest(loader, &loader->kernel, offset, gpa, file_size);
}

static bool load_addresses(struct loader *loader, const struct multiboot_header *header,
			   uint64_t at, struct image *image)
{
	uint64_t before = (uint64_t)header->header_addr - header->load_addr, size, memory_size;

	if (header->load_addr > header->header_addr || before > at) {
		return loader_refuse(
			loader, "--kernel %s: the addresses in its multiboot header make no sense",
			loader->kernel.name);
	}
	size = loader->kernel.size - (at - before);
	if (header->load_end_addr != 0) {
		size = (uint64_t)header->load_end_addr - header->load_addr;
	}
	memory_size = size;
	if (header->bss_end_addr != 0) {
		memory_size = (uint64_t)header->bss_end_addr - header->load_addr;
	}
	return load_piece(loader, at - before, header->load_addr, size, memory_size, image);
}

static bool refuse_elf(struct loader *loader)
{
	return loader_refuse(loader, "--kernel %s: its ELF header makes no sense",
			     loader->kernel.name);
}

static bool load_elf32(struct loader *loader, const uint8_t *head, struct image *image)
{
	Elf32_Ehdr elf;
	unsigned int i;

	memcpy(&elf, head, sizeof(elf));
	image->entry = elf.e_entry;
	if (elf.e_phnum > MAX_SEGMENTS) {
		return refuse_elf(loader);
	}
	for (i = 0; i < elf.e_phnum; i++) {
		Elf32_Phdr segment;

		if (!loader_read(loader, &loader->kernel,
				 elf.e_phoff + i * (uint64_t)elf.e_phentsize, &segment,
				 sizeof(segment))) {
			return false;
		}
		if (segment.p_type == PT_LOAD && segment.p_memsz != 0 &&
		    !load_piece(loader, segment.p_offset, segment.p_paddr, segment.p_filesz,
				segment.p_memsz, image)) {
			return false;
		}
	}
	return true;
}

static bool load_elf64(struct loader *loader, const uint8_t *head, struct image *image)
{
	Elf64_Ehdr elf;
	unsigned int i;

	memcpy(&elf, head, sizeof(elf));
	image->entry = elf.e_entry;
	if (elf.e_phnum > MAX_SEGMENTS) {
		return refuse_elf(loader);
	}
	for (i = 0; i < elf.e_phnum; i++) {
		Elf64_Phdr segment;
		uint64_t offset;

		if (__builtin_add_overflow(elf.e_phoff, i * (uint64_t)elf.e_phentsize, &offset)) {
			return refuse_elf(loader);
		}
		if (!loader_read(loader, &loader->kernel, offset, &segment, sizeof(segment))) {
			return false;
		}
		if (segment.p_type == PT_LOAD && segment.p_memsz != 0 &&
		    !load_piece(loader, segment.p_offset, segment.p_paddr, segment.p_filesz,
				segment.p_memsz, image)) {
			return false;
		}
	}
	return true;
}

static bool load_image(struct loader *loader, const uint8_t *head, size_t length,
		       struct image *image)
{
	struct multiboot_header header;
	long at = find_header(head, length, &header);

	if (header.flags & FLAGS_REQUIRED & ~(1u | FLAG_MEMORY | FLAG_VIDEO)) {
		return loader_refuse(
			loader, "--kernel %s: asks for multiboot features %#x that are not there",
			loader->kernel.name, header.flags & FLAGS_REQUIRED);
	}
	if (header.flags & FLAG_ADDRESSES) {
		image->entry = header.entry_addr;
		return load_addresses(loader, &header, (uint64_t)at, image);
	}
	if (length < sizeof(Elf64_Ehdr) || memcmp(head, ELFMAG, SELFMAG) != 0) {
		return loader_refuse(loader,
				     "--kernel %s: a multiboot image that is not ELF and does not "
				     "say where it goes",
				     loader->kernel.name);
	}
	return head[EI_CLASS] == ELFCLASS64 ? load_elf64(loader, head, image)
					    : load_elf32(loader, head, image);
}

/* Room for our structures, all zeros. */
static bool place_info(struct loader *loader, struct image *image, uint64_t *at)
{
	*at = INFO;
	if (!image->takes_info) {
		return true;
	}
	*at = (image->end + 4095) & ~4095ull;
	image->end = *at + INFO_LENGTH;
	if (image->end > loader->memory->low_end) {
		return loader_refuse(loader,
				     "--kernel %s: no room behind it; give more with --memory",
				     loader->kernel.name);
	}
	return true;
}

static void fill_map(struct loader *loader, uint64_t at, struct multiboot_info *info)
{
	struct loader_range ranges[LOADER_RANGES];
	unsigned int i, count = loader_memory_map(loader->memory, ranges);
	struct multiboot_mmap map[LOADER_RANGES];

	for (i = 0; i < count; i++) {
		map[i] = (struct multiboot_mmap){sizeof(*map) - sizeof(map->size), ranges[i].base,
						 ranges[i].length, ranges[i].type};
	}
	loader_put(loader, at + INFO_MAP, map, count * sizeof(*map));
	info->mmap_addr = (uint32_t)(at + INFO_MAP);
	info->mmap_length = count * (uint32_t)sizeof(*map);
	info->mem_lower = 639;
	info->mem_upper = (uint32_t)((loader->memory->low_end - HIGH_MEMORY) >> 10);
	info->flags |= INFO_FLAG_MEMORY | INFO_FLAG_MAP;
}

/* As other loaders have it: the image's name, then what the user gave. */
static bool fill_cmdline(struct loader *loader, uint64_t info_at, struct multiboot_info *info)
{
	size_t name = strlen(loader->kernel.name), length = strlen(loader->cmdline);
	uint64_t at = info_at + INFO_CMDLINE;

	if (name + length + 2 > CMDLINE_MAX) {
		return loader_refuse(loader, "--append: too long; give %llu characters at most",
				     CMDLINE_MAX / 2);
	}
	loader_put(loader, at, loader->kernel.name, name);
	loader_put(loader, at + name, " ", 1);
	loader_put(loader, at + name + 1, loader->cmdline, length + 1);
	info->cmdline = (uint32_t)at;
	info->flags |= INFO_FLAG_CMDLINE;
	return true;
}

static bool place_module(struct loader *loader, uint64_t at, struct multiboot_info *info,
			 uint64_t end)
{
	uint64_t base = (end + 4095) & ~4095ull;
	struct multiboot_module module = {(uint32_t)base, (uint32_t)(base + loader->initrd.size), 0,
					  0};

	if (loader->initrd.fd < 0) {
		return true;
	}
	if (base > loader->memory->low_end ||
	    loader->initrd.size > loader->memory->low_end - base) {
		return loader_refuse(
			loader,
			"--initrd %s: does not fit behind the kernel; give more with --memory",
			loader->initrd.name);
	}
	loader_put(loader, at + INFO_MODULE, &module, sizeof(module));
	info->mods_addr = (uint32_t)(at + INFO_MODULE);
	info->mods_count = 1;
	info->flags |= INFO_FLAG_MODULES;
	return loader_read_to_guest(loader, &loader->initrd, 0, base, loader->initrd.size);
}

bool multiboot_load(struct loader *loader, const uint8_t *head, size_t length,
		    struct vp_boot_state *state)
{
	struct image image = {.end = HIGH_MEMORY};
	struct multiboot_info info = {0};
	uint64_t at;

	if (!load_image(loader, head, length, &image) || !place_info(loader, &image, &at)) {
		return false;
	}
	if (image.entry > UINT32_MAX) {
		return loader_refuse(loader, "--kernel %s: its entry point %#llx is beyond 32 bits",
				     loader->kernel.name, (unsigned long long)image.entry);
	}
	fill_map(loader, at, &info);
	if (!fill_cmdline(loader, at, &info) || !place_module(loader, at, &info, image.end)) {
		return false;
	}
	loader_put(loader, at, &info, sizeof(info));
	loader_protected_mode(loader, at + INFO_GDT, image.entry, state);
	state->registers.gpr[VP_RAX] = REGISTER_MAGIC;
	state->registers.gpr[VP_RBX] = at;
	return true;
}
