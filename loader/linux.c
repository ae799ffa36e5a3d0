/*
 * The root's kernel. See linux.h and bootparams.h.
 */
#include "loader/linux.h"

#include <stddef.h>

#include "lib/string.h"

#define SETUP_OFFSET     0x1f1u
#define SETUP_JUMP_FROM  0x202u
#define SECTOR           512u
#define SETUP_SECTS_IF_0 4u
#define LOWEST_DATA      0x10000u /* below it live things of the firmware */
#define SPACE_MAX        (1u << 30)

static void read_setup(const uint8_t *file, struct linux_setup *setup)
{
	memcpy(setup, file + SETUP_OFFSET, sizeof(*setup));
}

bool linux_is(const uint8_t *file, uint32_t size)
{
	struct linux_setup setup;

	if (size < SETUP_OFFSET + sizeof(setup)) {
		return false;
	}
	read_setup(file, &setup);
	return setup.boot_flag == SETUP_BOOT_FLAG && setup.magic == SETUP_MAGIC;
}

static bool is_power_of_two(uint32_t value)
{
	return value && !(value & (value - 1));
}

static const char *check_setup(const struct linux_setup *s)
{
	if (s->version < SETUP_VERSION_MIN || !(s->loadflags & SETUP_LOADED_HIGH)) {
		return "the kernel is too old: it needs boot protocol 2.10 (Linux 2.6.31) or later";
	}
	if (s->relocatable_kernel && !is_power_of_two(s->kernel_alignment)) {
		return "the kernel's header is malformed";
	}
	if (s->pref_address >= 4 * GIB || s->init_size > SPACE_MAX) {
		return "the kernel's header is malformed";
	}
	return NULL;
}

const char *linux_parse(const uint8_t *file, uint32_t size, struct linux_kernel *kernel)
{
	const char *wrong;
	uint32_t sects;

	memset(kernel, 0, sizeof(*kernel));
	if (!linux_is(file, size)) {
		return "it is not a Linux bzImage";
	}
	read_setup(file, &kernel->setup);
	wrong = check_setup(&kernel->setup);
	if (wrong != NULL) {
		return wrong;
	}
	sects = kernel->setup.setup_sects ? kernel->setup.setup_sects : SETUP_SECTS_IF_0;
	kernel->payload_offset = (sects + 1) * SECTOR;
	if (kernel->payload_offset >= size ||
	    (uint64_t)kernel->setup.syssize * 16 > (size - kernel->payload_offset + 15) / 16 * 16) {
		return "the kernel is cut short";
	}
	kernel->payload_size = size - kernel->payload_offset;
	if (kernel->payload_size > SPACE_MAX) {
		return "the kernel is too large";
	}
	kernel->space = kernel->setup.init_size > kernel->payload_size ? kernel->setup.init_size
								       : kernel->payload_size;
	return NULL;
}

static bool take(struct ranges *taken, struct span span)
{
	return ranges_add(taken, span.base, span.size, RANGE_RESERVED);
}

/* In low memory if there is room, as boot loaders do it; else the lowest elsewhere. */
static uint32_t find_data(const struct ranges *map, const struct ranges *taken, uint32_t size)
{
	struct request want = {.size = size, .align = PAGE, .min = LOWEST_DATA, .max = 4 * GIB};
	uint64_t found = ranges_find_low(map, taken, &want);

	return found == RANGE_NONE ? 0 : (uint32_t)found;
}

static uint32_t find_kernel(const struct ranges *map, const struct ranges *taken,
			    const struct linux_kernel *k)
{
	struct request want = {.size = k->space, .align = PAGE, .min = k->setup.pref_address};
	uint64_t found;

	want.max = want.min + want.size;
	if (k->setup.relocatable_kernel) {
		want.align = k->setup.kernel_alignment > PAGE ? k->setup.kernel_alignment : PAGE;
		want.max = 4 * GIB;
	}
	found = ranges_find_low(map, taken, &want);
	return found == RANGE_NONE ? 0 : (uint32_t)found;
}

/* Where the initrd is now if it may stay there, else as high as the kernel allows. */
static uint32_t find_initrd(const struct ranges *map, const struct ranges *taken,
			    const struct linux_kernel *k, struct span now)
{
	uint64_t limit = (uint64_t)k->setup.initrd_addr_max + 1;
	struct request want = {.size = now.size, .align = PAGE, .min = MIB, .max = limit};
	uint64_t found;

	if (now.base >= MIB && (uint64_t)now.base + now.size <= limit &&
	    ranges_are_ram(map, now.base, now.size) && !ranges_overlap(taken, now.base, now.size)) {
		return now.base;
	}
	found = ranges_find_high(map, taken, &want);
	return found == RANGE_NONE ? 0 : (uint32_t)found;
}

/*
 * Why the order of linux_plan is safe: the initrd's new place touches neither the kernel's file nor
 * any other part's place, so the initrd moves first and destroys nothing but itself. Then the
 * kernel may overwrite what the initrd left, and its own file. Then both files are gone, and the
 * data may lie where they were.
 */
const char *linux_plan(const struct ranges *map, const struct ranges *taken,
		       const struct linux_kernel *kernel, const struct root_files *files,
		       struct root_plan *plan)
{
	static struct ranges fixed;

	memset(plan, 0, sizeof(*plan));
	fixed = *taken;
	plan->data.size = files->data_size;
	plan->data.base = find_data(map, &fixed, files->data_size);
	if (!plan->data.base || !take(&fixed, plan->data)) {
		return "too little memory: no place for the root's boot parameters";
	}
	plan->kernel = (struct span){find_kernel(map, &fixed, kernel), kernel->space};
	if (!plan->kernel.base || !take(&fixed, plan->kernel) || !take(&fixed, files->kernel)) {
		return "too little memory: no place for the root's kernel";
	}
	plan->initrd = (struct span){0, files->initrd.size};
	if (plan->initrd.size) {
		plan->initrd.base = find_initrd(map, &fixed, kernel, files->initrd);
	}
	if (plan->initrd.size && !plan->initrd.base) {
		return "too little memory: no place for the root's initrd";
	}
	return NULL;
}

static bool fill_e820(struct linux_params *params, const struct ranges *map)
{
	if (map->count > BOOT_E820_MAX) {
		return false;
	}
	for (uint32_t i = 0; i < map->count; i++) {
		params->e820[i] = (struct linux_e820){
			.base = map->r[i].base,
			.size = map->r[i].size,
			.type = map->r[i].type,
		};
	}
	params->e820_count = (uint8_t)map->count;
	return true;
}

/* Of the file's header counts only what it says is there; the rest of the page starts as zeros. */
static void fill_setup(struct linux_setup *setup, const struct linux_kernel *kernel,
		       const struct root_params *root)
{
	uint32_t length = SETUP_JUMP_FROM - SETUP_OFFSET + kernel->setup.jump_distance;

	memcpy(setup, &kernel->setup, length < sizeof(*setup) ? length : sizeof(*setup));
	setup->type_of_loader = LOADER_TYPE_OTHER;
	setup->code32_start = root->kernel_base;
	setup->ramdisk_image = root->initrd.base;
	setup->ramdisk_size = root->initrd.size;
	setup->cmd_line_ptr = root->cmdline;
	setup->setup_data = 0;
}

bool linux_fill_params(struct linux_params *params, const struct linux_kernel *kernel,
		       const struct root_params *root)
{
	memset(params, 0, sizeof(*params));
	fill_setup(&params->setup, kernel, root);
	params->acpi_rsdp = root->acpi_rsdp;
	params->screen = root->screen;
	params->efi = root->efi;
	return fill_e820(params, root->map);
}
