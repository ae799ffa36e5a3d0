/*
 * MODE SENSE and MODE SELECT, 6 and 10 (SPC-4 6.9 to 6.12 and 7.5). The one thing that a guest may
 * change is the write cache of a disk; it lasts until the next reset.
 */
#include "vsp/storage/scsi_unit.h"

#include "lib/be.h"

#define MODE_BYTES    256u
#define ALL_PAGES     0x3f
#define ALL_SUBPAGES  0xff
#define WCE           0x04
#define WRITE_PROTECT 0x80
#define DPOFUA        0x10

enum page_control { CURRENT, CHANGEABLE, DEFAULT, SAVED };

/* Each fills a zeroed page, head and all, and says how long it is. */
static unsigned page_recovery(const struct scsi_unit *unit, enum page_control control,
			      uint8_t *page)
{
	if (control != CHANGEABLE && unit->kind == STORAGE_DISK) {
		page[2] = 0xc0; /* AWRE, ARRE: done by the host */
	}
	return 12;
}

static unsigned page_caching(const struct scsi_unit *unit, enum page_control control, uint8_t *page)
{
	bool current = atomic_load(&unit->write_cache);

	if (control == CURRENT ? current : !unit->write_through) {
		page[2] = WCE;
	}
	return 20;
}

static unsigned page_control(const struct scsi_unit *unit, enum page_control control, uint8_t *page)
{
	(void)unit;
	if (control != CHANGEABLE) {
		page[3] = 0x10;             /* commands may be reordered */
		put_be16(page + 8, 0xffff); /* busy for an unknown time */
	}
	return 12;
}

static unsigned page_exceptions(const struct scsi_unit *unit, enum page_control control,
				uint8_t *page)
{
	(void)unit;
	if (control != CHANGEABLE) {
		page[2] = 0x08; /* DEXCPT: none are reported */
	}
	return 12;
}

static unsigned page_power(const struct scsi_unit *unit, enum page_control control, uint8_t *page)
{
	(void)unit;
	(void)control;
	(void)page;
	return 12;
}

static unsigned page_timeout(const struct scsi_unit *unit, enum page_control control, uint8_t *page)
{
	(void)unit;
	if (control != CHANGEABLE) {
		put_be16(page + 6, 6);
		put_be16(page + 8, 60);
	}
	return 12;
}

/* What the drive can do (MMC-3 6.3.11, which readers of page 2Ah still go by). */
static unsigned page_capabilities(const struct scsi_unit *unit, enum page_control control,
				  uint8_t *page)
{
	if (control != CHANGEABLE) {
		page[2] = 0x3b; /* reads CD-R, CD-RW, DVD-ROM, DVD-R, DVD-RAM */
		page[4] = 0x70; /* mode 2 forms, multisession */
		page[6] = 0x29 | (unit->tray_locked ? 0x02 : 0); /* a tray that opens and locks */
		put_be16(page + 8, 11080);                       /* 8 x DVD, in kB/s */
		put_be16(page + 10, 2);
		put_be16(page + 12, 512);
		put_be16(page + 14, 11080);
	}
	return 22;
}

static const struct {
	uint8_t code;
	enum storage_kind kind;
	unsigned (*fill)(const struct scsi_unit *unit, enum page_control control, uint8_t *page);
} pages[] = {
	{0x01, STORAGE_DISK, page_recovery}, {0x08, STORAGE_DISK, page_caching},
	{0x0a, STORAGE_DISK, page_control},  {0x1c, STORAGE_DISK, page_exceptions},
	{0x01, STORAGE_DVD, page_recovery},  {0x1a, STORAGE_DVD, page_power},
	{0x1d, STORAGE_DVD, page_timeout},   {0x2a, STORAGE_DVD, page_capabilities},
};

static unsigned fill_pages(struct scsi_unit *unit, enum page_control control, uint8_t code,
			   uint8_t *to)
{
	unsigned i, at = 0;

	pthread_mutex_lock(&unit->lock);
	for (i = 0; i < sizeof(pages) / sizeof(pages[0]); i++) {
		if (pages[i].kind == unit->kind && (code == ALL_PAGES || code == pages[i].code)) {
			unsigned length = pages[i].fill(unit, control, to + at);

			to[at] = pages[i].code;
			to[at + 1] = (uint8_t)(length - 2);
			at += length;
		}
	}
	pthread_mutex_unlock(&unit->lock);
	return at;
}

/*
 * A disk's block descriptor: how many blocks, as far as 32 bits say it, and how large (SBC-4
 * 6.5.2).
 */
static unsigned fill_descriptor(const struct scsi_unit *unit, uint8_t *to)
{
	if (unit->kind != STORAGE_DISK) {
		return 0;
	}
	put_be32(to, unit->blocks > UINT32_MAX ? UINT32_MAX : (uint32_t)unit->blocks);
	put_be32(to + 4, unit->block_size); /* the first byte is reserved */
	return 8;
}

void scsi_mode_sense(struct scsi_request *r)
{
	struct scsi_unit *unit = r->p.unit;
	bool six = r->cdb[0] == 0x1a, no_descriptor = r->cdb[1] & 0x08;
	enum page_control control = r->cdb[2] >> 6;
	uint32_t allocation = six ? r->cdb[4] : get_be16(r->cdb + 7);
	uint8_t data[MODE_BYTES] = {0}, device = 0;
	unsigned head = six ? 4 : 8, descriptor, length;

	if (control == SAVED) {
		scsi_fail(r, SENSE_SAVING_NOT_SUPPORTED);
		return;
	}
	descriptor = no_descriptor ? 0 : fill_descriptor(unit, data + head);
	length = fill_pages(unit, control, r->cdb[2] & 0x3f, data + head + descriptor);
	if (!length || (r->cdb[3] && (r->cdb[3] != ALL_SUBPAGES))) {
		scsi_fail(r, SENSE_INVALID_FIELD_CDB);
		return;
	}
	if (unit->kind == STORAGE_DISK) {
		device = DPOFUA | (unit->read_only ? WRITE_PROTECT : 0);
	}
	length += head + descriptor;
	if (six) {
		data[0] = (uint8_t)(length - 1);
		data[2] = device;
		data[3] = (uint8_t)descriptor;
	} else {
		put_be16(data, (uint16_t)(length - 2));
		data[3] = device;
		put_be16(data + 6, (uint16_t)descriptor);
	}
	scsi_reply(r, data, length, allocation);
}

/* A page may differ from what stands only in what is changeable. */
static bool page_may_be_set(struct scsi_unit *unit, const uint8_t *page, unsigned length)
{
	uint8_t now[MODE_BYTES] = {0}, may[MODE_BYTES] = {0};
	unsigned size = fill_pages(unit, CURRENT, page[0], now), i;

	fill_pages(unit, CHANGEABLE, page[0], may);
	if (size != length) {
		return false;
	}
	for (i = 2; i < length; i++) {
		if ((page[i] ^ now[i]) & ~may[i]) {
			return false;
		}
	}
	return true;
}

static void set_write_cache(struct scsi_request *r, bool on)
{
	if (atomic_exchange(&r->p.unit->write_cache, on) != on) {
		scsi_unit_attend_others(r->p.unit, r->nexus, ATTENTION_MODE_CHANGED);
	}
}

/* Goes over the pages of the list twice: to check all of them, then to set them. */
static bool walk_pages(struct scsi_request *r, const uint8_t *list, unsigned at, unsigned length,
		       bool set)
{
	while (at < length) {
		const uint8_t *page = list + at;
		unsigned size = at + 2 <= length ? 2u + page[1] : length;

		if (size > length - at || (page[0] & 0xc0) || page[0] == ALL_PAGES) {
			return false;
		}
		if (!set && !page_may_be_set(r->p.unit, page, size)) {
			return false;
		}
		if (set && page[0] == 0x08) {
			set_write_cache(r, page[2] & WCE);
		}
		at += size;
	}
	return true;
}

void scsi_mode_select(struct scsi_request *r)
{
	bool six = r->cdb[0] == 0x15;
	uint32_t length = six ? r->cdb[4] : get_be16(r->cdb + 7);
	uint8_t list[MODE_BYTES];
	unsigned head = six ? 4 : 8, descriptor;

	/* Nothing is saved (SP), and pages have their standard form (PF). */
	if ((r->cdb[1] & 0x01) || !(r->cdb[1] & 0x10)) {
		scsi_fail(r, SENSE_INVALID_FIELD_CDB);
		return;
	}
	if (!length) {
		scsi_good(r);
		return;
	}
	if (length < head || length > sizeof(list) || !scsi_fetch(r, list, length)) {
		scsi_fail(r, SENSE_LIST_LENGTH);
		return;
	}
	descriptor = six ? list[3] : get_be16(list + 6);
	if ((descriptor != 0 && descriptor != 8) || head + descriptor > length) {
		scsi_fail(r, SENSE_LIST_LENGTH);
		return;
	}
	if (descriptor && get_be24(list + head + 5) != r->p.unit->block_size) {
		scsi_fail(r, SENSE_INVALID_FIELD_LIST);
		return;
	}
	if (!walk_pages(r, list, head + descriptor, length, false)) {
		scsi_fail(r, SENSE_INVALID_FIELD_LIST);
		return;
	}
	walk_pages(r, list, head + descriptor, length, true);
	/* With the cache going off, what is complete becomes durable; what is under way sees to
	 * itself. */
	scsi_written(r);
}
