/*
 * What the boot loader says. See multiboot.h; Multiboot Specification 0.6.96 (3.3) and 2.0 (3.6).
 */
#include "loader/multiboot.h"

#include <stddef.h>

#include "loader/console.h"
#include "lib/string.h"

#define MULTIBOOT1_MAGIC  0x2badb002u
#define MULTIBOOT2_MAGIC  0x36d76289u
#define INFO1_STRING      (1u << 2)
#define INFO1_MODULES     (1u << 3)
#define INFO1_MAP         (1u << 6)
#define INFO1_FRAMEBUFFER (1u << 12)
#define FRAMEBUFFER_RGB   1
#define MAP1_ENTRY_SIZE   20u
#define TAG_END           0
#define TAG_STRING        1
#define TAG_MODULE        3
#define TAG_MAP           6
#define TAG_FRAMEBUFFER   8
#define TAG_EFI32         11
#define TAG_EFI64         12
#define TAG_RSDP_OLD      14
#define TAG_RSDP_NEW      15
#define TAG_EFI_MAP       17

struct info1 {
	uint32_t flags;
	uint32_t unused1[3];
	uint32_t string;
	uint32_t module_count;
	uint32_t modules;
	uint32_t unused2[4];
	uint32_t map_size;
	uint32_t map;
	uint32_t unused3[9];
	uint64_t framebuffer;
	uint32_t line_bytes, width, height;
	uint8_t depth, framebuffer_type;
	uint8_t colours[6];
} __attribute__((packed));

struct module1 {
	uint32_t start, end, string, reserved;
};

/* The size of an entry does not count the field that holds it. */
struct map1 {
	uint32_t size;
	uint64_t base, length;
	uint32_t type;
} __attribute__((packed));

struct tag {
	uint32_t type, size;
};

struct tag_module {
	struct tag tag;
	uint32_t start, end;
	char string[];
};

struct tag_map {
	struct tag tag;
	uint32_t entry_size, version;
};

struct map2 {
	uint64_t base, length;
	uint32_t type, reserved;
};

struct tag_framebuffer {
	struct tag tag;
	uint64_t base;
	uint32_t line_bytes, width, height;
	uint8_t depth, type;
	uint16_t reserved;
	uint8_t colours[6];
} __attribute__((packed));

struct tag_efi_map {
	struct tag tag;
	uint32_t descriptor_size, descriptor_version;
};

_Static_assert(offsetof(struct info1, framebuffer) == 88, "Multiboot 3.3");
_Static_assert(offsetof(struct tag_framebuffer, colours) == 32, "Multiboot2 3.6.12");

extern const uint8_t loader_start[], loader_end[];

static const void *at(uint32_t address)
{
	return (const void *)(uintptr_t)address;
}

/* False: longer than there is room for. */
static bool copy_string(char *to, const char *from)
{
	for (uint32_t i = 0; i < STRING_MAX; i++) {
		to[i] = from[i];
		if (!from[i]) {
			return true;
		}
	}
	return false;
}

static void add_module(struct boot_info *info, uint32_t start, uint32_t end, const char *string)
{
	struct modules *list = &info->modules;
	struct module *m = &list->m[list->count];

	if (list->count == MODULES_MAX) {
		stop("more than %u modules; leave out those that are not Verdigris's", MODULES_MAX);
	}
	if (end < start || (start < (uintptr_t)loader_end && end > (uintptr_t)loader_start)) {
		stop("module %u lies on the loader itself; use another boot loader",
		     list->count + 1);
	}
	if (!copy_string(m->string, string)) {
		stop("the string of module %u is longer than %u characters", list->count + 1,
		     STRING_MAX - 1);
	}
	m->data = at(start);
	m->size = end - start;
	list->count++;
}

static void copy_own_string(struct boot_info *info, const char *string)
{
	if (!copy_string(info->string, string)) {
		stop("the loader's command line is longer than %u characters", STRING_MAX - 1);
	}
}

static void add_range(struct boot_info *info, uint64_t base, uint64_t length, uint32_t type)
{
	if (type < RANGE_RAM || type > RANGE_BAD) {
		type = RANGE_RESERVED;
	}
	if (!ranges_add(&info->map, base, length, type)) {
		stop("the firmware's memory map has more than %u entries", RANGES_MAX);
	}
}

static void set_colours(struct framebuffer *f, const uint8_t colours[6])
{
	f->red_position = colours[0];
	f->red_size = colours[1];
	f->green_position = colours[2];
	f->green_size = colours[3];
	f->blue_position = colours[4];
	f->blue_size = colours[5];
}

static void read_info1_map(const struct info1 *i, struct boot_info *info)
{
	const struct map1 *entry;

	for (uint32_t at_byte = 0; at_byte + sizeof(*entry) <= i->map_size;
	     at_byte += entry->size + 4) {
		entry = at(i->map + at_byte);
		if (entry->size < MAP1_ENTRY_SIZE || entry->size > i->map_size) {
			stop("the boot loader's memory map is malformed");
		}
		add_range(info, entry->base, entry->length, entry->type);
	}
}

static void read_info1(const struct info1 *i, struct boot_info *info)
{
	const struct module1 *modules = at(i->modules);

	if (i->flags & INFO1_STRING) {
		copy_own_string(info, at(i->string));
	}
	for (uint32_t n = 0; (i->flags & INFO1_MODULES) && n < i->module_count; n++) {
		add_module(info, modules[n].start, modules[n].end,
			   modules[n].string ? at(modules[n].string) : "");
	}
	if (i->flags & INFO1_MAP) {
		read_info1_map(i, info);
	}
	if (!(i->flags & INFO1_FRAMEBUFFER) || i->framebuffer_type != FRAMEBUFFER_RGB) {
		return;
	}
	info->framebuffer = (struct framebuffer){
		.present = true,
		.base = i->framebuffer,
		.line_bytes = i->line_bytes,
		.width = i->width,
		.height = i->height,
		.depth = i->depth,
	};
	set_colours(&info->framebuffer, i->colours);
}

static void read_map(const struct tag_map *t, struct boot_info *info)
{
	if (t->entry_size < sizeof(struct map2)) {
		stop("the boot loader's memory map is malformed");
	}
	for (uint32_t offset = sizeof(*t); offset + sizeof(struct map2) <= t->tag.size;
	     offset += t->entry_size) {
		const struct map2 *entry = (const void *)((const uint8_t *)t + offset);

		add_range(info, entry->base, entry->length, entry->type);
	}
}

static void read_framebuffer(const struct tag_framebuffer *t, struct boot_info *info)
{
	if (t->tag.size < sizeof(*t) || t->type != FRAMEBUFFER_RGB) {
		return;
	}
	info->framebuffer = (struct framebuffer){
		.present = true,
		.base = t->base,
		.line_bytes = t->line_bytes,
		.width = t->width,
		.height = t->height,
		.depth = t->depth,
	};
	set_colours(&info->framebuffer, t->colours);
}

/* Both kinds may be given; the newer one is the longer. */
static void read_rsdp(const struct tag *t, struct boot_info *info)
{
	const uint8_t *rsdp = (const uint8_t *)(t + 1);
	uint32_t size = acpi_check_rsdp(rsdp, t->size - sizeof(*t));

	if (size > acpi_check_rsdp(info->rsdp, RSDP_SIZE_MAX)) {
		memcpy(info->rsdp, rsdp, size);
	}
}

static void read_efi_map(const struct tag_efi_map *t, struct boot_info *info)
{
	if (t->tag.size < sizeof(*t)) {
		return;
	}
	efi_map_copy(&info->efi_map, (const uint8_t *)(t + 1), t->tag.size - sizeof(*t),
		     t->descriptor_size, t->descriptor_version);
}

static void read_tag(const struct tag *t, struct boot_info *info)
{
	const struct tag_module *m = (const void *)t;

	switch (t->type) {
	case TAG_STRING:
		copy_own_string(info, (const char *)(t + 1));
		break;
	case TAG_MODULE:
		add_module(info, m->start, m->end, m->string);
		break;
	case TAG_MAP:
		read_map((const void *)t, info);
		break;
	case TAG_FRAMEBUFFER:
		read_framebuffer((const void *)t, info);
		break;
	case TAG_EFI64:
		memcpy(&info->efi_systab, t + 1, sizeof(info->efi_systab));
		info->is_efi = true;
		break;
	case TAG_EFI32:
		info->is_efi = true;
		break;
	case TAG_RSDP_OLD:
	case TAG_RSDP_NEW:
		read_rsdp(t, info);
		break;
	case TAG_EFI_MAP:
		read_efi_map((const void *)t, info);
		break;
	}
}

static void read_info2(uint32_t address, struct boot_info *info)
{
	uint32_t total = *(const uint32_t *)at(address);
	const struct tag *t;

	for (uint32_t offset = 8; offset + sizeof(*t) <= total; offset += (t->size + 7) & ~7u) {
		t = at(address + offset);
		if (t->type == TAG_END) {
			return;
		}
		if (t->size < sizeof(*t) || t->size > total - offset) {
			stop("the boot loader's information is malformed");
		}
		read_tag(t, info);
	}
}

void multiboot_read(uint32_t magic, uint32_t address, struct boot_info *info)
{
	if (magic == MULTIBOOT1_MAGIC) {
		read_info1(at(address), info);
	} else if (magic == MULTIBOOT2_MAGIC) {
		read_info2(address, info);
	} else {
		stop("not started by a multiboot loader (magic %x); use GRUB's multiboot2 command",
		     magic);
	}
	if (info->map.count == 0) {
		stop("the boot loader gave no memory map");
	}
}
