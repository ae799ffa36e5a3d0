/*
 * GET CONFIGURATION and GET EVENT STATUS NOTIFICATION of a DVD-ROM drive (MMC-6 5, 6.5 and 6.6).
 */
#include "vsp/storage/scsi_unit.h"

#include <string.h>

#include "lib/be.h"

#define PROFILE_DVD_ROM 0x0010
#define HEAD_BYTES      8u
#define CLASS_MEDIA     4

#define PERSISTENT 0x02
#define CURRENT    0x01

/* A feature as it is sent: code, version and flags, length of what follows, and that. */
static const struct feature {
	uint16_t code;
	uint8_t version; /* in its place in the byte */
	bool always;     /* current without a medium as well */
	bool persistent;
	uint8_t length;
	uint8_t data[12];
} features[] = {
	/* Profiles: DVD-ROM, CD-ROM. */
	{0x0000, 0x00, true, true, 8, {0, 0x10, 0, 0, 0, 0x08, 0, 0}},
	/* Core: SCSI. Morphing: events are polled. Removable: a tray with motor and lock. */
	{0x0001, 0x08, true, true, 8, {0, 0, 0, 1, 0, 0, 0, 0}},
	{0x0002, 0x04, true, true, 4, {0, 0, 0, 0}},
	{0x0003, 0x08, true, true, 4, {0x39, 0, 0, 0}},
	/* Random read of 2,048-byte blocks; CD; DVD. */
	{0x0010, 0x00, false, false, 8, {0, 0, 0x08, 0, 0, 1, 0x01, 0}},
	{0x001e, 0x08, false, false, 4, {0, 0, 0, 0}},
	{0x001f, 0x00, false, false, 0, {0}},
	/* Power management; timeouts. */
	{0x0100, 0x00, true, true, 0, {0}},
	{0x0105, 0x00, true, true, 0, {0}},
};

#define FEATURE_COUNT (sizeof(features) / sizeof(features[0]))

static bool is_current(const struct feature *feature, bool ready)
{
	return feature->always || (ready && feature->code != 0x001e);
}

static unsigned put_feature(uint8_t *to, const struct feature *feature, bool ready)
{
	put_be16(to, feature->code);
	to[2] = feature->version | (feature->persistent ? PERSISTENT : 0) |
		(is_current(feature, ready) ? CURRENT : 0);
	to[3] = feature->length;
	memcpy(to + 4, feature->data, feature->length);
	if (feature->code == 0x0000 && ready) {
		to[4 + 2] = CURRENT; /* the first profile */
	}
	return 4u + feature->length;
}

/* RT: 0 all from the given feature on, 1 the current ones of these, 2 that feature alone. */
void scsi_dvd_configuration(struct scsi_request *r)
{
	bool ready = !scsi_unit_readiness(r->p.unit);
	uint8_t data[HEAD_BYTES + FEATURE_COUNT * 16] = {0};
	uint16_t first = get_be16(r->cdb + 2);
	unsigned kind = r->cdb[1] & 3, length = HEAD_BYTES, i;

	if (kind == 3) {
		scsi_fail(r, SENSE_INVALID_FIELD_CDB);
		return;
	}
	for (i = 0; i < FEATURE_COUNT; i++) {
		bool asked = kind == 2 ? features[i].code == first : features[i].code >= first;

		if (asked && (kind != 1 || is_current(&features[i], ready))) {
			length += put_feature(data + length, &features[i], ready);
		}
	}
	put_be32(data, length - 4);
	put_be16(data + 6, ready ? PROFILE_DVD_ROM : 0);
	scsi_reply(r, data, length, get_be16(r->cdb + 7));
}

/* Events are polled; the one class is that of the medium. What is read is taken away. */
void scsi_dvd_event_status(struct scsi_request *r)
{
	struct scsi_unit *unit = r->p.unit;
	uint8_t data[8] = {0};
	uint32_t length = 4;

	if (!(r->cdb[1] & 1)) {
		scsi_fail(r, SENSE_INVALID_FIELD_CDB);
		return;
	}
	data[3] = 1 << CLASS_MEDIA;
	if (r->cdb[4] & (1 << CLASS_MEDIA)) {
		length = 8;
		data[2] = CLASS_MEDIA;
		pthread_mutex_lock(&unit->lock);
		data[4] = (uint8_t)unit->media_event;
		data[5] = unit->tray_open ? 0x01 : unit->disk != NULL ? 0x02 : 0;
		unit->media_event = MEDIA_NO_CHANGE;
		pthread_mutex_unlock(&unit->lock);
	} else {
		data[2] = 0x80; /* no class that is asked for */
	}
	put_be16(data, (uint16_t)(length - 2));
	scsi_reply(r, data, length, get_be16(r->cdb + 7));
}
