/* Configuration space and BARs, see space.h. Registers are those of the PCI Local Bus Specification
 * 3.0, chapter 6. */
#include "vsp/pci/space.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define COMMAND        0x04u
#define COMMAND_IO     1u
#define COMMAND_MEMORY 2u
#define HEADER         0x0cu /* its type in bits 23:16 */
#define HEADER_MANY    0x800000u
#define BAR_0          0x10u
#define BAR_END        0x28u
#define CARDBUS        0x28u
#define ROM            0x30u
#define INTERRUPT      0x3cu /* line and pin */
#define NO_INTERRUPT   0xffff0000u

/* ---- BARs ---- */

uint32_t vpci_bar_mask(const struct vpci_space *space, unsigned int bar)
{
	return space->bars[bar].size != 0 ? -(uint32_t)space->bars[bar].size : 0;
}

/* The next stretch of whole pages that may be the guest's, from *offset on; its length, or 0. */
static uint64_t next_stretch(const struct vpci_space *space, unsigned int bar, uint64_t *offset)
{
	uint64_t size = space->bars[bar].size, end;

	while (*offset < size && vpci_msix_has_page(space, bar, *offset)) {
		*offset += VPCI_PAGE;
	}
	for (end = *offset; end + VPCI_PAGE <= size && !vpci_msix_has_page(space, bar, end);
	     end += VPCI_PAGE) {
	}
	return end - *offset;
}

static void map_bar(struct vpci_space *space, unsigned int bar, bool map)
{
	uint64_t offset = 0, length, gpa = space->bars[bar].value;

	while ((length = next_stretch(space, bar, &offset)) > 0) {
		(map ? vpci_function_map : vpci_function_unmap)(space->function, bar, offset,
								length, gpa + offset);
		offset += length;
	}
}

/* The guest has a BAR no longer, or not yet. */
static void hide_bar(struct vpci_space *space, unsigned int bar)
{
	if (space->bars[bar].there) {
		space->bars[bar].there = false;
		map_bar(space, bar, false);
	}
}

static void show_bar(struct vpci_space *space, unsigned int bar)
{
	struct vpci_bar *it = &space->bars[bar];

	if (space->memory && it->size != 0 && !it->there &&
	    vpci_function_has_place(space->function, it->value, it->size)) {
		it->there = true;
		map_bar(space, bar, true);
	}
}

static void write_bar(struct vpci_space *space, unsigned int bar, uint32_t value)
{
	value &= vpci_bar_mask(space, bar);
	if (value != space->bars[bar].value) {
		hide_bar(space, bar);
		space->bars[bar].value = value;
		show_bar(space, bar);
	}
}

bool vpci_bar_access(struct vpci_space *space, uint64_t gpa, unsigned int size, bool write,
		     uint64_t *value)
{
	unsigned int bar;

	for (bar = 0; bar < VPCI_BARS; bar++) {
		const struct vpci_bar *it = &space->bars[bar];
		uint64_t offset = gpa - it->value;

		if (!it->there || gpa < it->value || offset >= it->size) {
			continue;
		}
		if (size > it->size - offset) {
			return false; /* nothing is as wide as that */
		}
		if (vpci_msix_access(space, bar, offset, size, write, value)) {
			return true;
		}
		if (write) {
			vpci_function_bar_write(space->function, bar, offset, size, *value);
		} else {
			*value = vpci_function_bar_read(space->function, bar, offset, size);
		}
		return true;
	}
	return false;
}

/* ---- Configuration space ---- */

/* Memory goes before the hardware is told, and comes after that. */
static void write_command(struct vpci_space *space, unsigned int size, uint32_t value)
{
	bool memory = value & COMMAND_MEMORY;
	unsigned int bar;

	for (bar = 0; !memory && bar < VPCI_BARS; bar++) {
		hide_bar(space, bar);
	}
	vpci_function_write(space->function, COMMAND, size, value & ~COMMAND_IO);
	space->memory = memory;
	for (bar = 0; bar < VPCI_BARS; bar++) {
		show_bar(space, bar);
	}
}

static uint32_t read_dword(struct vpci_space *space, uint32_t offset)
{
	uint32_t value;

	if (offset >= BAR_0 && offset < BAR_END) {
		return space->bars[(offset - BAR_0) / 4].value;
	}
	if (offset == CARDBUS || offset == ROM) {
		return 0;
	}
	value = vpci_function_read(space->function, offset, 4);
	switch (offset) {
	case COMMAND:
		return value & ~COMMAND_IO;
	case HEADER:
		return value & ~HEADER_MANY;
	case INTERRUPT:
		return value & NO_INTERRUPT;
	default:
		vpci_msi_read(space, offset, &value);
		return value;
	}
}

uint32_t vpci_config_read(struct vpci_space *space, uint32_t offset, unsigned int size)
{
	return read_dword(space, offset & ~3u) >> 8 * (offset & 3) & UINT32_MAX >> (32 - 8 * size);
}

void vpci_config_write(struct vpci_space *space, uint32_t offset, unsigned int size, uint32_t value)
{
	uint32_t dword = offset & ~3u;

	if (dword >= BAR_0 && dword < BAR_END) {
		unsigned int bar = (dword - BAR_0) / 4;

		write_bar(space, bar, vpci_merge(space->bars[bar].value, offset, size, value));
	} else if (offset == COMMAND && size >= 2) {
		write_command(space, size, value);
	} else if (offset == COMMAND) {
		write_command(space, 2,
			      vpci_merge(vpci_function_read(space->function, COMMAND, 2), offset,
					 size, value));
	} else if (dword != CARDBUS && dword != ROM && dword != INTERRUPT &&
		   !vpci_msi_write(space, offset, size, value)) {
		vpci_function_write(space->function, offset, size, value);
	}
}

/* ---- Its life ---- */

void vpci_space_reset(struct vpci_space *space)
{
	unsigned int bar;

	for (bar = 0; bar < VPCI_BARS; bar++) {
		hide_bar(space, bar);
		space->bars[bar].value = 0;
	}
	space->memory = false;
	memset(space->messages, 0, sizeof(space->messages));
	vpci_msi_reset(space);
	vpci_function_reset(space->function);
}

int vpci_space_create(struct vpci_space *space, struct vpci_function *function)
{
	unsigned int bar;

	memset(space, 0, sizeof(*space));
	space->function = function;
	for (bar = 0; bar < VPCI_BARS; bar++) {
		uint64_t size = vpci_function_bar_size(function, bar);

		if (size > VPCI_BAR_MAX || (size & (size - 1)) != 0 || (size != 0 && size < 16)) {
			return -ENOTSUP;
		}
		space->bars[bar].size = size;
	}
	if (!vpci_msi_find(space)) {
		return -ENOTSUP;
	}
	space->entry_count = space->msix.count > VPCI_MSI_MAX ? space->msix.count : VPCI_MSI_MAX;
	space->entries = calloc(space->entry_count, sizeof(space->entries[0]));
	if (space->entries == NULL) {
		return -ENOMEM;
	}
	vpci_msi_reset(space);
	return 0;
}

void vpci_space_destroy(struct vpci_space *space)
{
	free(space->entries);
	space->entries = NULL;
}
