/*
 * What a DVD-ROM drive says of its disc (MMC-6): one session, one data track, closed. The disc is
 * the ISO file.
 */
#include "vsp/storage/scsi_unit.h"

#include "lib/be.h"

#define TRACK         1
#define LEAD_OUT      0xaa
#define DATA_TRACK    0x14 /* position in the Q channel, data, recorded without interruption */
#define LEAD_IN_150   150u /* blocks before address 0, in minutes, seconds and frames */
#define FRAMES        75u
#define DVD_FIRST     0x30000u /* the physical number of block 0 */
#define STRUCTURE_MAX 2052u

static void put_address(uint8_t *to, uint64_t lba, bool msf)
{
	uint32_t frames = (uint32_t)lba + LEAD_IN_150;

	if (!msf) {
		put_be32(to, (uint32_t)lba);
		return;
	}
	to[0] = 0;
	to[1] = frames / FRAMES / 60 > 255 ? 255 : (uint8_t)(frames / FRAMES / 60);
	to[2] = (uint8_t)(frames / FRAMES % 60);
	to[3] = (uint8_t)(frames % FRAMES);
}

static uint8_t *put_track(uint8_t *to, uint8_t track, uint64_t lba, bool msf)
{
	to[1] = DATA_TRACK;
	to[2] = track;
	put_address(to + 4, lba, msf);
	return to + 8;
}

/*
 * Format 0: the tracks from a given one on, and the lead-out. Format 1: the first track of the last
 * session.
 */
void scsi_dvd_read_toc(struct scsi_request *r)
{
	uint8_t data[4 + 2 * 8] = {0}, *end = data + 4;
	uint8_t format = r->cdb[2] & 0x0f, first = r->cdb[6];
	bool msf = r->cdb[1] & 0x02;

	if (format > 1 || (format == 0 && first > TRACK && first != LEAD_OUT)) {
		scsi_fail(r, SENSE_INVALID_FIELD_CDB);
		return;
	}
	data[2] = data[3] = TRACK;
	if (format == 1 || first <= TRACK) {
		end = put_track(end, TRACK, 0, msf);
	}
	if (format == 0) {
		end = put_track(end, LEAD_OUT, r->p.unit->blocks, msf);
	}
	put_be16(data, (uint16_t)(end - data - 2));
	scsi_reply(r, data, (size_t)(end - data), get_be16(r->cdb + 7));
}

void scsi_dvd_disc_information(struct scsi_request *r)
{
	uint8_t data[34] = {0};

	if (r->cdb[1] & 0x07) {
		scsi_fail(r, SENSE_INVALID_FIELD_CDB);
		return;
	}
	put_be16(data, sizeof(data) - 2);
	data[2] = 0x0e; /* the last session and the disc are complete */
	data[3] = data[4] = data[5] = data[6] = TRACK;
	data[7] = 0x20;
	put_be32(data + 16, UINT32_MAX);
	put_be32(data + 20, UINT32_MAX);
	scsi_reply(r, data, sizeof(data), get_be16(r->cdb + 7));
}

/* By address, track or session; there is one of each. */
void scsi_dvd_track_information(struct scsi_request *r)
{
	uint8_t data[36] = {0}, kind = r->cdb[1] & 3;
	uint32_t number = get_be32(r->cdb + 2);

	if (kind == 3 || (kind == 0 ? number >= r->p.unit->blocks : number != TRACK)) {
		scsi_fail(r, SENSE_INVALID_FIELD_CDB);
		return;
	}
	put_be16(data, sizeof(data) - 2);
	data[2] = data[3] = TRACK;
	data[5] = 0x04; /* data */
	data[6] = 0x01;
	put_be32(data + 24, (uint32_t)r->p.unit->blocks);
	scsi_reply(r, data, sizeof(data), get_be16(r->cdb + 7));
}

/* Physical format, copyright (none) and manufacturer's data (none) of a DVD. */
void scsi_dvd_structure(struct scsi_request *r)
{
	uint8_t data[STRUCTURE_MAX] = {0};
	uint32_t last = DVD_FIRST + (uint32_t)r->p.unit->blocks - 1;
	uint32_t length;

	if ((r->cdb[1] & 0x0f) || r->cdb[6]) { /* not DVD, or a layer that is not there */
		scsi_fail(r, SENSE_INVALID_FIELD_CDB);
		return;
	}
	switch (r->cdb[7]) {
	case 0x00:
		length = STRUCTURE_MAX;
		data[4] = 0x01; /* DVD-ROM */
		data[5] = 0x0f; /* 120 mm, no maximum rate */
		data[6] = 0x01; /* embossed data */
		put_be32(data + 8, DVD_FIRST);
		put_be32(data + 12, last);
		break;
	case 0x01:
		length = 8;
		break;
	case 0x04:
		length = STRUCTURE_MAX;
		break;
	default:
		scsi_fail(r, SENSE_INVALID_FIELD_CDB);
		return;
	}
	put_be16(data, (uint16_t)(length - 2));
	scsi_reply(r, data, length, get_be16(r->cdb + 8));
}

void scsi_dvd_mechanism(struct scsi_request *r)
{
	uint8_t data[8] = {0};

	pthread_mutex_lock(&r->p.unit->lock);
	data[1] = r->p.unit->tray_open ? 0x10 : 0;
	pthread_mutex_unlock(&r->p.unit->lock);
	scsi_reply(r, data, sizeof(data), get_be16(r->cdb + 8));
}

/* A file has one speed. */
void scsi_dvd_set_speed(struct scsi_request *r)
{
	scsi_good(r);
}
