/*
 * Linux bzImages (Documentation/arch/x86/boot.rst): the 64-bit entry for kernels that have one, the
 * 32-bit entry for others.
 *
 * Low memory while the kernel starts: GDT at 0x8000, page tables from 0x9000 (64-bit entry only),
 * boot_params at 0x10000, command line at 0x20000. The initrd lies as high as the kernel lets it.
 */
#include <asm/bootparam.h>
#include <stddef.h>
#include <string.h>

#include "devices/acpi_tables.h"
#include "worker/loader.h"

#define BOOT_PARAMS  0x10000ull
#define CMDLINE      0x20000ull
#define CMDLINE_MAX  0x10000ull
#define GDT          0x8000ull
#define PAGE_TABLES  0x9000ull
#define LOWEST_LOAD  0x100000ull
#define MAGIC_HDRS   0x53726448u
#define MIN_PROTOCOL 0x020a /* 2.6.31, which brought init_size */

#define ENTRY_64_OFFSET 0x200

#define PAGE_PRESENT_WRITABLE 0x3ull
#define PAGE_LARGE            0x80ull

#define CR0_PG      0x80000000ull
#define CR4_PAE     0x20ull
#define EFER_LONG   0x500ull /* LME, LMA */
#define FLAT_CODE64 0xa09b

struct linux_image {
	struct setup_header header;
	uint64_t payload, payload_size; /* in the file */
	uint64_t load, end; /* in the guest; end counts what the kernel needs to unpack itself */
	bool wide;          /* has a 64-bit entry */
};

bool linux_recognise(const uint8_t *head, size_t length)
{
	uint32_t magic;
	uint16_t flag;

	if (length < offsetof(struct boot_params, hdr) + sizeof(struct setup_header)) {
		return false;
	}
	memcpy(&magic, head + offsetof(struct boot_params, hdr.header), sizeof(magic));
	memcpy(&flag, head + offsetof(struct boot_params, hdr.boot_flag), sizeof(flag));
	return magic == MAGIC_HDRS && flag == 0xaa55;
}

static bool check_header(struct loader *loader, struct linux_image *image, const uint8_t *head)
{
	struct setup_header *header = &image->header;
	unsigned int sectors;

	memcpy(header, head + offsetof(struct boot_params, hdr), sizeof(*header));
	if (header->version < MIN_PROTOCOL) {
		return loader_refuse(
			loader,
			"--kernel %s: too old: its boot protocol is %u.%02u, needed is 2.10",
			loader->kernel.name, header->version >> 8, header->version & 0xff);
	}
	if (!(header->loadflags & LOADED_HIGH)) {
		return loader_refuse(loader, "--kernel %s: a zImage; a bzImage is needed",
				     loader->kernel.name);
	}
	sectors = header->setup_sects != 0 ? header->setup_sects : 4;
	image->payload = (sectors + 1) * 512ull;
	image->payload_size = header->syssize * 16ull;
	image->wide = header->version >= 0x020c && (header->xloadflags & XLF_KERNEL_64);
	if (image->payload_size == 0 || header->init_size == 0) {
		return loader_refuse(loader,
				     "--kernel %s: its header says that there is no kernel in it",
				     loader->kernel.name);
	}
	return true;
}

static bool fits(const struct loader *loader, uint64_t load, uint64_t size)
{
	return load >= LOWEST_LOAD && load < loader->memory->low_end &&
	       size <= loader->memory->low_end - load;
}

/* Where it wants to be, or, if that is beyond the memory and it may be moved, as low as may be. */
static bool place(struct loader *loader, struct linux_image *image)
{
	const struct setup_header *header = &image->header;
	uint64_t size =
		header->init_size > image->payload_size ? header->init_size : image->payload_size;
	uint64_t align = header->kernel_alignment;

	image->load = header->pref_address;
	if (header->relocatable_kernel && align != 0 && (align & (align - 1)) == 0 &&
	    !fits(loader, image->load, size)) {
		image->load = (LOWEST_LOAD + align - 1) & ~(align - 1);
	}
	image->end = image->load + size;
	if (!fits(loader, image->load, size)) {
		return loader_refuse(
			loader, "--kernel %s: needs memory up to %lluM; give more with --memory",
			loader->kernel.name, (unsigned long long)((image->end >> 20) + 1));
	}
	return loader_read_to_guest(loader, &loader->kernel, image->payload, image->load,
				    image->payload_size);
}

static bool place_initrd(struct loader *loader, const struct linux_image *image,
			 struct boot_params *params)
{
	uint64_t top = (uint64_t)image->header.initrd_addr_max + 1, size = loader->initrd.size,
		 base;

	if (loader->initrd.fd < 0) {
		return true;
	}
	top = top < loader->memory->low_end ? top : loader->memory->low_end;
	if (size > top || ((top - size) & ~4095ull) < image->end) {
		return loader_refuse(loader,
				     "--initrd %s: its %lluM do not fit beside the kernel; give "
				     "more with --memory",
				     loader->initrd.name, (unsigned long long)(size >> 20) + 1);
	}
	base = (top - size) & ~4095ull;
	params->hdr.ramdisk_image = (uint32_t)base;
	params->hdr.ramdisk_size = (uint32_t)size;
	return loader_read_to_guest(loader, &loader->initrd, 0, base, size);
}

static bool place_cmdline(struct loader *loader, const struct linux_image *image,
			  struct boot_params *params)
{
	size_t length = strlen(loader->cmdline);
	uint64_t max = image->header.cmdline_size < CMDLINE_MAX ? image->header.cmdline_size
								: CMDLINE_MAX - 1;

	if (length > max) {
		return loader_refuse(loader,
				     "--append: %zu characters; this kernel takes %llu at most",
				     length, (unsigned long long)max);
	}
	loader_put(loader, CMDLINE, loader->cmdline, length + 1);
	params->hdr.cmd_line_ptr = CMDLINE;
	return true;
}

static void fill_map(struct loader *loader, struct boot_params *params)
{
	struct loader_range ranges[LOADER_RANGES];
	unsigned int i, count = loader_memory_map(loader->memory, ranges);

	for (i = 0; i < count; i++) {
		params->e820_table[i] = (struct boot_e820_entry){
			.addr = ranges[i].base, .size = ranges[i].length, .type = ranges[i].type};
	}
	params->e820_entries = (uint8_t)count;
}

static bool fill_params(struct loader *loader, const struct linux_image *image)
{
	struct boot_params params = {.hdr = image->header, .acpi_rsdp_addr = ACPI_TABLES_GPA};

	params.hdr.type_of_loader = 0xff; /* none of the registered ones */
	params.hdr.vid_mode = 0xffff;     /* normal */
	params.hdr.code32_start = (uint32_t)image->load;
	params.hdr.setup_data = 0;
	fill_map(loader, &params);
	if (!place_initrd(loader, image, &params) || !place_cmdline(loader, image, &params)) {
		return false;
	}
	loader_put(loader, BOOT_PARAMS, &params, sizeof(params));
	return true;
}

/* The low 4 GiB, identity-mapped by 2 MiB pages: one top, one directory of pointers, four
 * directories. */
static void build_page_tables(struct loader *loader)
{
	uint64_t table[512] = {(PAGE_TABLES + 0x1000) | PAGE_PRESENT_WRITABLE};
	unsigned int directory, i;

	loader_put(loader, PAGE_TABLES, table, sizeof(table));
	for (i = 0; i < 4; i++) {
		table[i] = (PAGE_TABLES + 0x2000 + i * 0x1000) | PAGE_PRESENT_WRITABLE;
	}
	loader_put(loader, PAGE_TABLES + 0x1000, table, sizeof(table));
	for (directory = 0; directory < 4; directory++) {
		for (i = 0; i < 512; i++) {
			table[i] = (uint64_t)(directory * 512 + i) << 21 | PAGE_PRESENT_WRITABLE |
				   PAGE_LARGE;
		}
		loader_put(loader, PAGE_TABLES + 0x2000 + directory * 0x1000, table, sizeof(table));
	}
}

static void long_mode(struct loader *loader, const struct linux_image *image,
		      struct vp_boot_state *state)
{
	struct vp_registers *r = &state->registers;
	uint64_t code64 = 0x00af9b000000ffffull;

	build_page_tables(loader);
	loader_put(loader, GDT + 0x10, &code64, sizeof(code64));
	r->segments[VP_CS].attributes = FLAT_CODE64;
	r->rip = image->load + ENTRY_64_OFFSET;
	r->cr0 |= CR0_PG;
	r->cr4 = CR4_PAE;
	r->efer = EFER_LONG;
	state->cr3 = PAGE_TABLES;
}

bool linux_load(struct loader *loader, const uint8_t *head, size_t length,
		struct vp_boot_state *state)
{
	struct linux_image image = {0};

	(void)length; /* linux_recognise() saw that the header is there */
	if (!check_header(loader, &image, head) || !place(loader, &image) ||
	    !fill_params(loader, &image)) {
		return false;
	}
	loader_protected_mode(loader, GDT, image.load, state);
	if (image.wide) {
		long_mode(loader, &image, state);
	}
	state->registers.gpr[VP_RSI] = BOOT_PARAMS;
	/* Debian's 686 kernels call a wild address when they make such a call through a retpoline:
	 * its operand is relative to ESP, which the retpoline has moved by then. */
	state->no_flush_calls = !image.wide;
	return true;
}
