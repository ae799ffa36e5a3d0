/*
 * The hypervisor's memory, and what the loader puts there: the image at its start, then the page
 * tables, then the handoff block; the rest is free.
 */
#include "loader/loader.h"

#include "loader/console.h"
#include "loader/paging.h"
#include "lib/string.h"

#define BORDER        (2 * MIB)
#define HANDOFF_SIZE  ((sizeof(struct handoff) + PAGE - 1) / PAGE * PAGE)
#define FREE_DEFAULT  (16 * MIB)
#define FREE_LEAST    (4 * MIB)
#define RAM_SHARE     64
#define DEFAULT_MOST  GIB
#define MEMORY_OPTION "hv.memory="
#define TABLE_SHARE   512           /* 8 bytes for each page of 4 KiB */
#define TABLE_REACH   (16384 * GIB) /* what is beyond it is no page to the hypervisor */
#define TABLE_INSIDE  (8 * GIB) /* with up to that much RAM the table is in the reserved memory */

static uint64_t round_up(uint64_t value)
{
	return (value + BORDER - 1) & ~(BORDER - 1);
}

static uint64_t used_size(const struct image *image)
{
	return image->size + paging_size(image) + HANDOFF_SIZE;
}

/* What the user asked for, or 0. */
static uint64_t asked_size(const struct loader *l)
{
	uint64_t least = round_up(used_size(&l->roles.image) + FREE_LEAST);
	uint64_t asked = string_size_option(string_options(l->info.string), MEMORY_OPTION);

	if (asked == UINT64_MAX) {
		stop("the option %s takes a size like 64M", MEMORY_OPTION);
	}
	if (asked && asked < least) {
		stop("the option %s gives less than the %llu MiB that the hypervisor needs",
		     MEMORY_OPTION, least / MIB);
	}
	return round_up(asked);
}

static uint64_t default_size(const struct loader *l)
{
	uint64_t size = round_up(used_size(&l->roles.image) + FREE_DEFAULT +
				 ranges_total(&l->map, RANGE_RAM) / RAM_SHARE);

	return size < DEFAULT_MOST ? size : DEFAULT_MOST;
}

static uint64_t find(const struct loader *l, uint64_t size)
{
	static struct ranges taken;
	struct request want = {.size = size, .align = BORDER, .min = MIB, .max = 4 * GIB};

	loader_take_own(&taken);
	for (uint32_t i = 0; i < l->info.modules.count; i++) {
		const struct module *m = &l->info.modules.m[i];

		ranges_add(&taken, (uintptr_t)m->data, m->size, RANGE_RESERVED);
	}
	return ranges_find_high(&l->free, &taken, &want);
}

/*
 * Of a large machine the table would not fit below 4 GiB. It is within its own reach: what has no
 * entry is the root's.
 */
static void reserve_table(struct loader *l)
{
	uint64_t ram = ranges_total(&l->map, RANGE_RAM);
	struct request want = {
		.size = round_up((ram < TABLE_REACH ? ram : TABLE_REACH) / TABLE_SHARE),
		.align = BORDER,
		.min = 4 * GIB,
		.max = TABLE_REACH};
	static struct ranges nothing;
	uint64_t base;

	if (ram <= TABLE_INSIDE) {
		return;
	}
	base = ranges_find_high(&l->free, &nothing, &want);
	if (base != RANGE_NONE) {
		l->table_base = base;
		l->table_size = want.size;
	}
}

void image_reserve(struct loader *l)
{
	uint64_t asked = asked_size(l), size = asked ? asked : default_size(l);
	uint64_t base = find(l, size);

	if (base == RANGE_NONE) {
		stop("too little memory: no %llu MiB in one piece below 4 GiB for the hypervisor; "
		     "the machine has %llu MiB; try a smaller %sSIZE",
		     size / MIB, ranges_total(&l->map, RANGE_RAM) / MIB, MEMORY_OPTION);
	}
	l->reserved = (struct span){(uint32_t)base, (uint32_t)size};
	reserve_table(l);
}

void image_place(struct loader *l)
{
	const struct image *image = &l->roles.image;
	uint32_t base = l->reserved.base;

	elf_load(l->roles.image_file->data, image, memory_at(base));
	l->page_tables = base + image->size;
	memset(memory_at(l->page_tables), 0, paging_size(image));
	paging_build(memory_at(l->page_tables), l->page_tables, image, base);
	l->handoff = l->page_tables + paging_size(image);
}

static void describe_machine(const struct loader *l, struct handoff *h)
{
	h->range_count = l->map.count;
	memcpy(h->ranges, l->map.r, l->map.count * sizeof(h->ranges[0]));
	h->lp_count = l->acpi.lp_count;
	memcpy(h->lp_apic_ids, l->acpi.lp_apic_ids, sizeof(h->lp_apic_ids));
	h->tsc_hz = l->rates.tsc_hz;
	h->apic_timer_hz = l->rates.apic_timer_hz;
	h->acpi_rsdp = l->rsdp;
	h->iommu_table = l->acpi.iommu_table;
	h->console_port = l->console_port;
	h->reset_port = l->acpi.reset_port;
	h->reset_value = l->acpi.reset_value;
	memcpy(h->sleep_memory, l->acpi.sleep_memory, sizeof(h->sleep_memory));
	memcpy(h->sleep_ports, l->acpi.sleep_ports, sizeof(h->sleep_ports));
	h->sleep_types =
		l->acpi.sleep_types[5] ? l->acpi.sleep_types[4] | l->acpi.sleep_types[5] : 0xff;
}

static void copy_options(const struct loader *l, struct handoff *h)
{
	const char *from = string_options(l->info.string);

	for (uint32_t i = 0; from[i]; i++) {
		h->cmdline[i] = from[i];
	}
}

void image_hand_off(const struct loader *l)
{
	struct handoff *h = memory_at(l->handoff);

	memset(h, 0, HANDOFF_SIZE);
	h->magic = HANDOFF_MAGIC;
	h->reserved_base = l->reserved.base;
	h->reserved_size = l->reserved.size;
	h->image_base = l->reserved.base;
	h->image_size = l->roles.image.size;
	h->free_base = l->handoff + HANDOFF_SIZE;
	h->table_base = l->table_base;
	h->table_size = l->table_size;
	describe_machine(l, h);
	copy_options(l, h);
	h->trampoline_page = l->trampoline_page;
	h->root_eip = l->root_eip;
	h->root_esi = l->root_esi;
	print("Verdigris loader: hypervisor at %x, %u MiB; kernel at %x\n", l->reserved.base,
	      (uint32_t)(l->reserved.size / MIB), l->root_eip);
}
