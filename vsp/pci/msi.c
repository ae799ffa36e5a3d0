/*
 * Interrupts of a function: MSI (PCI Local Bus Specification 3.0, 6.8.1) and MSI-X (6.8.2), whose
 * registers and table are the guest's own, and the messages that it may write there.
 *
 *   the guest's entry n -> address, data -> message -> target -> the home's route of number n
 *
 * Hardware has its interrupts enabled when the guest has, and as many as the highest entry needs
 * that has a message: to have more later, all are made anew. It never has fewer until they are
 * disabled.
 */
#include "vsp/pci/space.h"

#include <errno.h>
#include <string.h>

#define MESSAGE_ADDRESS 0xfee00000u

#define STATUS_LIST  0x100000u /* in the dword of the command: there are capabilities */
#define CAPABILITIES 0x34u
#define LIST_MAX     48u
#define ID_MSI       0x05u
#define ID_MSIX      0x11u

/* In the dword of the capability's header. */
#define MSI_ENABLE     0x00010000u
#define MSI_LOG_MAX(v) ((v) >> 17 & 7)
#define MSI_LOG(v)     ((v) >> 20 & 7)
#define MSI_LOG_SHIFT  20
#define MSI_CHANGES    0x00710000u
#define MSI_WIDE       0x00800000u
#define MSI_MASKABLE   0x01000000u
#define MSIX_COUNT(v)  (((v) >> 16 & 0x7ff) + 1)
#define MSIX_MASKED    0x40000000u
#define MSIX_ENABLE    0x80000000u
#define MSIX_CHANGES   (MSIX_MASKED | MSIX_ENABLE)
#define MSIX_SIZE      12u
#define ENTRY_BYTES    16u
#define FIRST_VECTOR   16u /* those before are the processor's exceptions */

/* ---- Messages ---- */

static const struct vpci_target *find_target(const struct vpci_space *space, uint64_t address,
					     uint32_t data)
{
	return address == MESSAGE_ADDRESS && data < VPCI_MESSAGES && space->messages[data].used
		       ? &space->messages[data].target
		       : NULL;
}

/* The first of so many free ones, a multiple of `align`; or VPCI_MESSAGES. The very first is
 * nobody's. */
static uint32_t find_room(const struct vpci_space *space, unsigned int count, unsigned int align)
{
	uint32_t first, i;

	for (first = align; first + count <= VPCI_MESSAGES; first += align) {
		for (i = 0; i < count && !space->messages[first + i].used; i++) {
		}
		if (i == count) {
			return first;
		}
	}
	return VPCI_MESSAGES;
}

static bool is_possible(const struct vpci_target *target, unsigned int count)
{
	return target->vector >= FIRST_VECTOR && target->vector + count <= 256 && target->mode <= 1;
}

int vpci_create_message(struct vpci_space *space, const struct vpci_target *target,
			unsigned int count, struct vpci_interrupt *interrupt)
{
	unsigned int align = 1, i;
	uint32_t first;

	if (count == 0 || count > VPCI_MSI_MAX || !is_possible(target, count)) {
		return -EINVAL;
	}
	while (align < count) {
		align *= 2; /* a function changes the lowest bits alone */
	}
	first = find_room(space, count, align);
	if (first == VPCI_MESSAGES) {
		return -ENOSPC;
	}
	for (i = 0; i < count; i++) {
		space->messages[first + i] = (struct vpci_message){
			.used = true,
			.count = (uint16_t)(i == 0 ? count : 0),
			.target = {target->vp, (uint8_t)(target->vector + i), target->mode},
		};
	}
	*interrupt = (struct vpci_interrupt){
		.count = (uint16_t)count, .data = first, .address = MESSAGE_ADDRESS};
	return 0;
}

/* ---- What the home is told ---- */

static enum vpci_interrupts kind_of(const struct vpci_space *space)
{
	return space->msix.enabled ? VPCI_MSIX : space->msi.enabled ? VPCI_MSI : VPCI_NO_INTERRUPTS;
}

/* Where number i is to go. */
static const struct vpci_target *target_of(const struct vpci_space *space, unsigned int i)
{
	const struct vpci_msi *msi = &space->msi;
	uint32_t low;

	if (space->msix.enabled) {
		return find_target(space, space->entries[i].address, space->entries[i].data);
	}
	low = (1u << msi->log) - 1;
	return find_target(space, msi->address, (msi->data & ~low) | i);
}

static bool is_masked(const struct vpci_space *space, unsigned int i)
{
	return space->msix.enabled ? space->msix.masked || space->entries[i].masked
				   : space->msi.mask >> i & 1;
}

static unsigned int count_wanted(const struct vpci_space *space, enum vpci_interrupts kind)
{
	unsigned int count = kind == VPCI_MSIX ? space->msix.count : 1u << space->msi.log;

	if (kind == VPCI_NO_INTERRUPTS || (kind == VPCI_MSIX && space->msix.masked)) {
		return 0;
	}
	while (count > 0 && target_of(space, count - 1) == NULL) {
		count--;
	}
	return count;
}

static void enable(struct vpci_space *space, enum vpci_interrupts kind, unsigned int count)
{
	unsigned int i;

	for (i = 0; i < space->entry_count; i++) {
		space->entries[i].routed = false;
	}
	space->kind = kind;
	if (count == 0 && space->enabled == 0) {
		return;
	}
	space->enabled = count;
	if (vpci_function_set_interrupts(space->function, count > 0 ? kind : VPCI_NO_INTERRUPTS,
					 count) != 0) {
		space->enabled = 0;
	}
}

static void route(struct vpci_space *space, unsigned int i)
{
	struct vpci_entry *entry = &space->entries[i];
	const struct vpci_target *to = is_masked(space, i) ? NULL : target_of(space, i);

	if (to == NULL && entry->routed) {
		vpci_function_route(space->function, i, NULL);
	} else if (to != NULL &&
		   (!entry->routed || to->vp != entry->target.vp ||
		    to->vector != entry->target.vector || to->mode != entry->target.mode)) {
		vpci_function_route(space->function, i, to);
		entry->target = *to;
	}
	entry->routed = to != NULL;
}

/* After each change of what the guest sees, and of messages. */
static void update(struct vpci_space *space)
{
	enum vpci_interrupts kind = kind_of(space);
	unsigned int wanted = count_wanted(space, kind), i;

	if (kind != space->kind || wanted > space->enabled) {
		enable(space, kind, wanted);
	}
	for (i = 0; i < space->enabled; i++) {
		route(space, i);
	}
}

void vpci_delete_message(struct vpci_space *space, const struct vpci_interrupt *interrupt)
{
	uint32_t first = interrupt->data, i, count;

	if (find_target(space, interrupt->address, first) == NULL) {
		return;
	}
	count = space->messages[first].count; /* 0: it is not the first of its block */
	for (i = 0; i < count; i++) {
		space->messages[first + i] = (struct vpci_message){0};
	}
	update(space);
}

int vpci_retarget_message(struct vpci_space *space, uint64_t address, uint32_t data,
			  const struct vpci_target *target)
{
	if (find_target(space, address, data) == NULL || !is_possible(target, 1)) {
		return -EINVAL;
	}
	space->messages[data].target = *target;
	update(space);
	return 0;
}

/* ---- The capabilities ---- */

static void find_msi(struct vpci_space *space, uint32_t at, uint32_t header)
{
	struct vpci_msi *msi = &space->msi;

	if (msi->at != 0 || MSI_LOG_MAX(header) > 5) {
		return;
	}
	msi->at = at;
	msi->wide = header & MSI_WIDE;
	msi->maskable = header & MSI_MASKABLE;
	msi->count = 1u << MSI_LOG_MAX(header);
	msi->size = (msi->wide ? 16 : 12) + (msi->maskable ? 8 : 0);
}

static bool is_in_bar(const struct vpci_space *space, unsigned int bar, uint64_t offset,
		      uint64_t length)
{
	return bar < VPCI_BARS && offset <= space->bars[bar].size &&
	       length <= space->bars[bar].size - offset;
}

static uint64_t pending_bytes(const struct vpci_space *space)
{
	return (space->msix.count + 63) / 64 * 8;
}

static bool find_msix(struct vpci_space *space, uint32_t at, uint32_t header)
{
	struct vpci_msix *msix = &space->msix;
	uint32_t table = vpci_function_read(space->function, at + 4, 4);
	uint32_t pending = vpci_function_read(space->function, at + 8, 4);

	if (msix->at != 0) {
		return true;
	}
	*msix = (struct vpci_msix){
		.at = at,
		.count = MSIX_COUNT(header),
		.table_bar = table & 7,
		.table = table & ~7u,
		.pending_bar = pending & 7,
		.pending = pending & ~7u,
	};
	return is_in_bar(space, msix->table_bar, msix->table, msix->count * ENTRY_BYTES) &&
	       is_in_bar(space, msix->pending_bar, msix->pending, pending_bytes(space));
}

bool vpci_msi_find(struct vpci_space *space)
{
	uint32_t at, header, i;

	if (!(vpci_function_read(space->function, 0x04, 4) & STATUS_LIST)) {
		return false;
	}
	at = vpci_function_read(space->function, CAPABILITIES, 4) & 0xfc;
	for (i = 0; i < LIST_MAX && at >= 0x40; i++, at = header >> 8 & 0xfc) {
		header = vpci_function_read(space->function, at, 4);
		if ((header & 0xff) == ID_MSI) {
			find_msi(space, at, header);
		} else if ((header & 0xff) == ID_MSIX && !find_msix(space, at, header)) {
			return false;
		}
	}
	return space->msi.at != 0 || space->msix.at != 0;
}

void vpci_msi_reset(struct vpci_space *space)
{
	struct vpci_msi *msi = &space->msi;
	unsigned int i;

	msi->enabled = space->msix.enabled = space->msix.masked = false;
	update(space);
	msi->log = 0;
	msi->address = 0;
	msi->data = msi->mask = 0;
	for (i = 0; i < space->entry_count; i++) {
		space->entries[i] = (struct vpci_entry){.masked = true};
	}
}

/* What stands at a place of MSI, 4 bytes from the capability's beginning on; NULL: the
 * hardware's. */
enum msi_register {
	MSI_HARDWARE,
	MSI_HEADER,
	MSI_ADDRESS,
	MSI_HIGH,
	MSI_DATA,
	MSI_MASK,
	MSI_PENDING
};

static enum msi_register msi_register(const struct vpci_msi *msi, uint32_t offset)
{
	static const enum msi_register narrow[] = {MSI_HEADER, MSI_ADDRESS, MSI_DATA, MSI_MASK,
						   MSI_PENDING};
	static const enum msi_register wide[] = {MSI_HEADER, MSI_ADDRESS, MSI_HIGH,
						 MSI_DATA,   MSI_MASK,    MSI_PENDING};

	if (msi->at == 0 || offset < msi->at || offset >= msi->at + msi->size) {
		return MSI_HARDWARE;
	}
	return (msi->wide ? wide : narrow)[(offset - msi->at) / 4];
}

static uint32_t msi_pending(const struct vpci_space *space)
{
	uint32_t bits = 0;
	unsigned int i;

	for (i = 0; space->kind == VPCI_MSI && i < space->enabled; i++) {
		bits |= (uint32_t)(is_masked(space, i) &&
				   vpci_function_is_pending(space->function, i))
			<< i;
	}
	return bits;
}

static void msi_read(const struct vpci_space *space, uint32_t offset, uint32_t *value)
{
	const struct vpci_msi *msi = &space->msi;

	switch (msi_register(msi, offset)) {
	case MSI_HARDWARE:
		break;
	case MSI_HEADER:
		*value = (*value & ~MSI_CHANGES) | (msi->enabled ? MSI_ENABLE : 0) |
			 msi->log << MSI_LOG_SHIFT;
		break;
	case MSI_ADDRESS:
		*value = (uint32_t)msi->address;
		break;
	case MSI_HIGH:
		*value = (uint32_t)(msi->address >> 32);
		break;
	case MSI_DATA:
		*value = msi->data;
		break;
	case MSI_MASK:
		*value = msi->mask;
		break;
	case MSI_PENDING:
		*value = msi_pending(space);
		break;
	}
}

void vpci_msi_read(const struct vpci_space *space, uint32_t offset, uint32_t *value)
{
	const struct vpci_msix *msix = &space->msix;

	msi_read(space, offset, value);
	if (msix->at != 0 && offset == msix->at) {
		*value = (*value & ~MSIX_CHANGES) | (msix->enabled ? MSIX_ENABLE : 0) |
			 (msix->masked ? MSIX_MASKED : 0);
	}
}

static void msi_write(struct vpci_space *space, enum msi_register where, uint32_t value)
{
	struct vpci_msi *msi = &space->msi;

	switch (where) {
	case MSI_HEADER:
		msi->enabled = value & MSI_ENABLE;
		msi->log = MSI_LOG(value);
		while (1u << msi->log > msi->count) {
			msi->log--;
		}
		break;
	case MSI_ADDRESS:
		msi->address = (msi->address & ~(uint64_t)UINT32_MAX) | (value & ~3u);
		break;
	case MSI_HIGH:
		msi->address = (uint32_t)msi->address | (uint64_t)value << 32;
		break;
	case MSI_DATA:
		msi->data = value & 0xffff;
		break;
	case MSI_MASK:
		msi->mask = value;
		break;
	case MSI_HARDWARE:
	case MSI_PENDING:
		break;
	}
}

static bool is_msix(const struct vpci_msix *msix, uint32_t offset)
{
	return msix->at != 0 && offset >= msix->at && offset < msix->at + MSIX_SIZE;
}

bool vpci_msi_write(struct vpci_space *space, uint32_t offset, unsigned int size, uint32_t value)
{
	uint32_t dword = offset & ~3u, now = 0;
	enum msi_register where = msi_register(&space->msi, dword);

	if (where == MSI_HARDWARE && !is_msix(&space->msix, dword)) {
		return false;
	}
	vpci_msi_read(space, dword, &now);
	now = vpci_merge(now, offset, size, value);
	msi_write(space, where, now);
	if (dword == space->msix.at) {
		space->msix.enabled = now & MSIX_ENABLE;
		space->msix.masked = now & MSIX_MASKED;
	}
	update(space);
	return true;
}

/* ---- MSI-X in memory ---- */

static bool is_within(unsigned int bar, uint64_t offset, unsigned int of_bar, uint64_t first,
		      uint64_t length)
{
	return bar == of_bar && offset >= first && offset - first < length;
}

static bool page_has(uint64_t page, uint64_t first, uint64_t length)
{
	return first < page + VPCI_PAGE && page < first + length;
}

bool vpci_msix_has_page(const struct vpci_space *space, unsigned int bar, uint64_t offset)
{
	const struct vpci_msix *msix = &space->msix;

	return msix->at != 0 && ((bar == msix->table_bar &&
				  page_has(offset, msix->table, msix->count * ENTRY_BYTES)) ||
				 (bar == msix->pending_bar &&
				  page_has(offset, msix->pending, pending_bytes(space))));
}

static uint32_t read_table(const struct vpci_space *space, uint64_t word)
{
	const struct vpci_entry *entry = &space->entries[word / 4];

	if (word >= space->msix.count * 4ull) {
		return 0;
	}
	switch (word % 4) {
	case 0:
		return (uint32_t)entry->address;
	case 1:
		return (uint32_t)(entry->address >> 32);
	case 2:
		return entry->data;
	default:
		return entry->masked;
	}
}

static void write_table(struct vpci_space *space, uint64_t word, uint32_t value)
{
	struct vpci_entry *entry = &space->entries[word / 4];

	if (word >= space->msix.count * 4ull) {
		return;
	}
	switch (word % 4) {
	case 0:
		entry->address = (entry->address & ~(uint64_t)UINT32_MAX) | (value & ~3u);
		break;
	case 1:
		entry->address = (uint32_t)entry->address | (uint64_t)value << 32;
		break;
	case 2:
		entry->data = value;
		break;
	default:
		entry->masked = value & 1;
		break;
	}
}

/* The bits of 32 entries. */
static uint32_t read_pending(const struct vpci_space *space, uint64_t word)
{
	uint32_t bits = 0;
	unsigned int i, number;

	for (i = 0; i < 32; i++) {
		number = (unsigned int)word * 32 + i;
		bits |= (uint32_t)(space->kind == VPCI_MSIX && number < space->enabled &&
				   is_masked(space, number) &&
				   vpci_function_is_pending(space->function, number))
			<< i;
	}
	return bits;
}

/* Bytes of a list of words. */
static uint64_t gather(const struct vpci_space *space, uint64_t offset, unsigned int size,
		       uint32_t (*read)(const struct vpci_space *space, uint64_t word))
{
	uint64_t value = 0;
	unsigned int i;

	for (i = 0; i < size; i++) {
		uint32_t word = read(space, (offset + i) / 4);

		value |= (uint64_t)(uint8_t)(word >> (offset + i) % 4 * 8) << 8 * i;
	}
	return value;
}

bool vpci_msix_access(struct vpci_space *space, unsigned int bar, uint64_t offset,
		      unsigned int size, bool write, uint64_t *value)
{
	const struct vpci_msix *msix = &space->msix;
	unsigned int i;

	if (msix->at == 0) {
		return false;
	}
	if (is_within(bar, offset, msix->pending_bar, msix->pending, pending_bytes(space))) {
		if (!write) {
			*value = gather(space, offset - msix->pending, size, read_pending);
		}
		return true;
	}
	if (!is_within(bar, offset, msix->table_bar, msix->table, msix->count * ENTRY_BYTES)) {
		return false;
	}
	offset -= msix->table;
	if (!write) {
		*value = gather(space, offset, size, read_table);
		return true;
	}
	/* Nothing else is allowed, and nothing else changes it. */
	for (i = 0; offset % size == 0 && (size == 4 || size == 8) && i < size / 4; i++) {
		write_table(space, offset / 4 + i, (uint32_t)(*value >> 32 * i));
	}
	update(space);
	return true;
}
