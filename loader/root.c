/*
 * The root's kernel, initrd and boot parameters. linux.c says where they go; here they are put
 * there.
 *
 * The data, from its base on: a page for boot_params, one for the command line, one for the RSDP if
 * the boot loader gave a copy of it, and the EFI memory map.
 */
#include "loader/loader.h"

#include "loader/console.h"
#include "loader/vga.h"
#include "lib/string.h"

#define DATA_CMDLINE      (1 * PAGE)
#define DATA_RSDP         (2 * PAGE)
#define DATA_EFI_MAP      (3 * PAGE)
#define EFI_MAP_GROWTH    12      /* descriptors: each retype adds two at most */
#define LOWEST_TRAMPOLINE 0x8000u /* below it live things of the firmware */
#define LOW_MEMORY_END    0xa0000u
#define VESA_SIZE_UNIT    0x10000u
#define TEXT_COLUMNS      80
#define TEXT_LINES        25
#define TEXT_POINTS       16

static struct span span_of(const struct module *m)
{
	struct span nothing = {0, 0};

	return m != NULL ? (struct span){(uint32_t)(uintptr_t)m->data, m->size} : nothing;
}

static uint32_t data_size(const struct loader *l)
{
	uint32_t map = l->info.efi_map.size + EFI_MAP_GROWTH * l->info.efi_map.descriptor_size;

	return DATA_EFI_MAP + (map + PAGE - 1) / PAGE * PAGE;
}

/* Boot services of EFI may hold all of low memory; a page of theirs is then the lesser evil. */
static uint32_t find_trampoline(const struct loader *l, const struct ranges *taken)
{
	struct request want = {
		.size = PAGE, .align = PAGE, .min = LOWEST_TRAMPOLINE, .max = LOW_MEMORY_END};
	uint64_t found = ranges_find_low(&l->free, taken, &want);

	if (found == RANGE_NONE) {
		found = ranges_find_low(&l->map, taken, &want);
	}
	if (found == RANGE_NONE) {
		stop("no free page below 640 KiB, where the other processors must start");
	}
	return (uint32_t)found;
}

static void make_plan(struct loader *l, struct root_plan *plan)
{
	static struct ranges taken;
	struct root_files files = {
		.kernel = span_of(l->roles.kernel_file),
		.initrd = span_of(l->roles.initrd_file),
		.data_size = data_size(l),
	};
	const char *missing;

	loader_take_own(&taken);
	ranges_add(&taken, l->reserved.base, l->reserved.size, RANGE_RESERVED);
	l->trampoline_page = find_trampoline(l, &taken);
	ranges_add(&taken, l->trampoline_page, PAGE, RANGE_RESERVED);
	missing = linux_plan(&l->free, &taken, &l->roles.kernel, &files, plan);
	if (missing != NULL) {
		stop("%s; the machine has %llu MiB, of which the hypervisor takes %u", missing,
		     ranges_total(&l->map, RANGE_RAM) / MIB, (uint32_t)(l->reserved.size / MIB));
	}
}

/* The order is linux_plan's. */
static void move_files(const struct loader *l, const struct root_plan *plan)
{
	const struct roles *roles = &l->roles;

	if (plan->initrd.size) {
		memmove(memory_at(plan->initrd.base), roles->initrd_file->data, plan->initrd.size);
	}
	memmove(memory_at(plan->kernel.base),
		roles->kernel_file->data + roles->kernel.payload_offset,
		roles->kernel.payload_size);
}

static uint32_t write_cmdline(const struct loader *l, const struct root_plan *plan)
{
	const char *from = string_options(l->roles.kernel_file->string);
	char *to = memory_at(plan->data.base + DATA_CMDLINE);
	uint32_t length = 0;

	while (from[length]) {
		length++;
	}
	if (length > l->roles.kernel.setup.cmdline_size) {
		stop("the root kernel's command line is longer than the %u characters that it "
		     "takes",
		     l->roles.kernel.setup.cmdline_size);
	}
	memcpy(to, from, length + 1);
	return plan->data.base + DATA_CMDLINE;
}

/* A copy of the RSDP is the root's to find only if it lies in memory that the root keeps. */
static void write_rsdp(struct loader *l, const struct root_plan *plan, struct ranges *root_map)
{
	uint32_t page = plan->data.base + DATA_RSDP;

	if (!acpi_check_rsdp(l->info.rsdp, RSDP_SIZE_MAX)) {
		return;
	}
	memcpy(memory_at(page), l->info.rsdp, RSDP_SIZE_MAX);
	l->rsdp = page;
	if (!ranges_retype(root_map, page, PAGE, RANGE_ACPI)) {
		stop("the root's memory map is in too many pieces");
	}
}

/* Without a usable map the root runs without EFI's services, as on a BIOS machine. */
static struct linux_efi write_efi(struct loader *l, const struct root_plan *plan)
{
	struct efi_map *map = &l->info.efi_map;
	struct linux_efi efi = {0};
	uint32_t to = plan->data.base + DATA_EFI_MAP;

	if (!l->info.efi_systab || !map->size) {
		return efi;
	}
	if (!efi_map_retype(map, l->reserved.base, l->reserved.size, EFI_RESERVED) ||
	    !efi_map_retype(map, l->table_base, l->table_size, EFI_RESERVED) ||
	    !efi_map_retype(map, plan->data.base, plan->data.size, EFI_LOADER_DATA)) {
		return efi;
	}
	memcpy(memory_at(to), map->bytes, map->size);
	efi.signature = EFI_LOADER_64;
	efi.systab = (uint32_t)l->info.efi_systab;
	efi.systab_high = (uint32_t)(l->info.efi_systab >> 32);
	efi.descriptor_size = map->descriptor_size;
	efi.descriptor_version = map->descriptor_version;
	efi.map = to;
	efi.map_size = map->size;
	return efi;
}

static struct linux_screen text_screen(void)
{
	return (struct linux_screen){
		.y = vga_row(),
		.mode = SCREEN_TEXT_MODE,
		.columns = TEXT_COLUMNS,
		.lines = TEXT_LINES,
		.points = TEXT_POINTS,
		.type = SCREEN_VGA_TEXT,
	};
}

static struct linux_screen graphic_screen(const struct framebuffer *f, bool is_efi)
{
	uint32_t size = f->line_bytes * f->height;

	return (struct linux_screen){
		.type = is_efi ? SCREEN_EFI : SCREEN_VESA,
		.width = (uint16_t)f->width,
		.height = (uint16_t)f->height,
		.depth = f->depth,
		.base = (uint32_t)f->base,
		.base_high = (uint32_t)(f->base >> 32),
		.capabilities = f->base >> 32 ? SCREEN_64BIT_BASE : 0,
		.size = is_efi ? size : (size + VESA_SIZE_UNIT - 1) / VESA_SIZE_UNIT,
		.line_bytes = (uint16_t)f->line_bytes,
		.red_size = f->red_size,
		.red_position = f->red_position,
		.green_size = f->green_size,
		.green_position = f->green_position,
		.blue_size = f->blue_size,
		.blue_position = f->blue_position,
		.rest_size = f->depth == 32 ? 8 : 0,
		.rest_position = f->depth == 32 ? 24 : 0,
	};
}

static struct linux_screen screen(const struct boot_info *info)
{
	struct linux_screen none = {0};

	if (info->framebuffer.present) {
		return graphic_screen(&info->framebuffer, info->is_efi);
	}
	return info->is_efi ? none : text_screen();
}

void root_place(struct loader *l)
{
	static struct ranges root_map;
	struct root_params params = {.map = &root_map};
	struct root_plan plan;

	make_plan(l, &plan);
	move_files(l, &plan);
	root_map = l->map;
	if (!ranges_retype(&root_map, l->reserved.base, l->reserved.size, RANGE_RESERVED) ||
	    !ranges_retype(&root_map, l->table_base, l->table_size, RANGE_RESERVED)) {
		stop("the root's memory map is in too many pieces");
	}
	memset(memory_at(plan.data.base), 0, plan.data.size);
	write_rsdp(l, &plan, &root_map);
	params.kernel_base = plan.kernel.base;
	params.initrd = plan.initrd;
	params.cmdline = write_cmdline(l, &plan);
	params.acpi_rsdp = l->rsdp;
	params.screen = screen(&l->info);
	params.efi = write_efi(l, &plan);
	if (!linux_fill_params(memory_at(plan.data.base), &l->roles.kernel, &params)) {
		stop("the root's memory map is in more than %u pieces", BOOT_E820_MAX);
	}
	l->root_eip = plan.kernel.base;
	l->root_esi = plan.data.base;
}
