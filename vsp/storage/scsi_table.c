/*
 * The commands of a disk and of a DVD drive, one row each, and REPORT SUPPORTED OPERATION CODES,
 * which reads them out.
 */
#include "vsp/storage/scsi_unit.h"

#include <string.h>

#include "lib/be.h"

/*
 * REPORT LUNS has a row to be listed; scsi_bus.c carries it out, since it concerns a target and not
 * a unit.
 *
 * Which bits of the CDB count, from byte 1 on; byte 0 is the opcode.
 */
#define USE_RW6         0x1f, 0xff, 0xff, 0xff
#define USE_RW10(flags) (flags), 0xff, 0xff, 0xff, 0xff, 0, 0xff, 0xff
#define USE_RW12(flags) (flags), 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff
#define USE_RW16(flags)                                                                            \
	(flags), 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff
#define USE_LENGTH10(a, b) (a), (b), 0, 0, 0, 0, 0xff, 0xff

/* clang-format off */
#define ROW(op, flags, run, ...) {op, 0, false, flags, run, {op, __VA_ARGS__}}
#define ACT(op, action, flags, run, ...) {op, action, true, flags, run, {op, __VA_ARGS__}}
/* clang-format on */

#define COMMON                                                                                     \
	ROW(0x00, 0, scsi_test_unit_ready, 0),                                                     \
		ROW(0x03, CMD_IN | CMD_ATTENDS, scsi_request_sense, 1, 0, 0, 0xff),                \
		ROW(0x12, CMD_IN | CMD_ATTENDS, scsi_inquiry, 1, 0xff, 0xff, 0xff),                \
		ROW(0x1a, CMD_IN | CMD_READS, scsi_mode_sense, 0x08, 0xff, 0xff, 0xff),            \
		ROW(0x5a, CMD_IN | CMD_READS, scsi_mode_sense, USE_LENGTH10(0x08, 0xff)),          \
		ROW(0x1b, CMD_CHANGES, scsi_start_stop, 0x01, 0, 0, 0xf3),                         \
		ROW(0x1e, CMD_CHANGES, scsi_prevent_removal, 0, 0, 0, 0x01),                       \
		ROW(0xa0, CMD_IN | CMD_ATTENDS, NULL, 0, 0xff, 0, 0, 0, 0xff, 0xff, 0xff, 0xff),   \
		ACT(0xa3, 0x0c, CMD_IN | CMD_READS, scsi_supported_opcodes, 0x1f, 0x87, 0xff,      \
		    0xff, 0xff, 0xff, 0xff, 0xff, 0xff)

#define DATA_IN  (CMD_IN | CMD_MEDIUM | CMD_READS)
#define DATA_OUT (CMD_OUT | CMD_MEDIUM | CMD_WRITES)

const struct scsi_command scsi_disk_commands[] = {
	ROW(0x28, DATA_IN, scsi_read, USE_RW10(0x18)),
	ROW(0x2a, DATA_OUT, scsi_write, USE_RW10(0x18)),
	ROW(0x88, DATA_IN, scsi_read, USE_RW16(0x18)),
	ROW(0x8a, DATA_OUT, scsi_write, USE_RW16(0x18)),
	ROW(0x35, CMD_MEDIUM | CMD_CHANGES, scsi_synchronize, USE_RW10(0x02)),
	ROW(0x91, CMD_MEDIUM | CMD_CHANGES, scsi_synchronize, USE_RW16(0x02)),
	ROW(0x42, DATA_OUT, scsi_unmap, USE_LENGTH10(0x01, 0)),
	ROW(0x08, DATA_IN, scsi_read, USE_RW6),
	ROW(0x0a, DATA_OUT, scsi_write, USE_RW6),
	ROW(0xa8, DATA_IN, scsi_read, USE_RW12(0x18)),
	ROW(0xaa, DATA_OUT, scsi_write, USE_RW12(0x18)),
	ROW(0x2f, CMD_OUT | CMD_MEDIUM | CMD_READS, scsi_verify, USE_RW10(0x16)),
	ROW(0xaf, CMD_OUT | CMD_MEDIUM | CMD_READS, scsi_verify, USE_RW12(0x16)),
	ROW(0x8f, CMD_OUT | CMD_MEDIUM | CMD_READS, scsi_verify, USE_RW16(0x16)),
	ROW(0x41, DATA_OUT, scsi_write_same, USE_RW10(0x08)),
	ROW(0x93, DATA_OUT, scsi_write_same, USE_RW16(0x09)),
	ROW(0x25, CMD_IN | CMD_MEDIUM, scsi_read_capacity_10, USE_RW10(0)),
	ACT(0x9e, 0x10, CMD_IN | CMD_MEDIUM, scsi_read_capacity_16, 0x1f, 0, 0, 0, 0, 0, 0, 0, 0,
	    0xff, 0xff, 0xff, 0xff),
	ACT(0x9e, 0x12, DATA_IN, scsi_lba_status, USE_RW16(0x1f)),
	ROW(0x15, CMD_OUT | CMD_CHANGES, scsi_mode_select, 0x11, 0, 0, 0xff),
	ROW(0x55, CMD_OUT | CMD_CHANGES, scsi_mode_select, USE_LENGTH10(0x11, 0)),
	ROW(0x5e, CMD_IN, scsi_reserve_in, USE_LENGTH10(0x1f, 0)),
	ROW(0x5f, CMD_OUT, scsi_reserve_out, 0x1f, 0xff, 0, 0, 0xff, 0xff, 0xff, 0xff),
	COMMON,
};
const unsigned scsi_disk_command_count = sizeof(scsi_disk_commands) / sizeof(scsi_disk_commands[0]);

const struct scsi_command scsi_dvd_commands[] = {
	ROW(0x28, DATA_IN, scsi_read, USE_RW10(0x18)),
	ROW(0xa8, DATA_IN, scsi_read, USE_RW12(0x18)),
	ROW(0x88, DATA_IN, scsi_read, USE_RW16(0x18)),
	ROW(0x2f, CMD_OUT | CMD_MEDIUM | CMD_READS, scsi_verify, USE_RW10(0x16)),
	ROW(0x25, CMD_IN | CMD_MEDIUM, scsi_read_capacity_10, USE_RW10(0)),
	ROW(0x35, CMD_MEDIUM, scsi_synchronize, USE_RW10(0x02)),
	ROW(0x43, CMD_IN | CMD_MEDIUM, scsi_dvd_read_toc, 0x02, 0x0f, 0, 0, 0, 0xff, 0xff, 0xff),
	ROW(0x46, CMD_IN | CMD_ATTENDS, scsi_dvd_configuration, 0x03, 0xff, 0xff, 0, 0, 0, 0xff,
	    0xff),
	ROW(0x4a, CMD_IN | CMD_ATTENDS, scsi_dvd_event_status, 0x01, 0, 0, 0xff, 0, 0, 0xff, 0xff),
	ROW(0x51, CMD_IN | CMD_MEDIUM, scsi_dvd_disc_information, USE_LENGTH10(0x07, 0)),
	ROW(0x52, CMD_IN | CMD_MEDIUM, scsi_dvd_track_information, 0x03, 0xff, 0xff, 0xff, 0xff, 0,
	    0xff, 0xff),
	ROW(0xad, CMD_IN | CMD_MEDIUM, scsi_dvd_structure, 0x0f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
	    0xff, 0xff),
	ROW(0xbd, CMD_IN, scsi_dvd_mechanism, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff),
	ROW(0xbb, 0, scsi_dvd_set_speed, 0x03, 0xff, 0xff, 0xff, 0xff),
	COMMON,
};
const unsigned scsi_dvd_command_count = sizeof(scsi_dvd_commands) / sizeof(scsi_dvd_commands[0]);

/* By the opcode's group (SPC-4 4.2.5.1). */
unsigned scsi_cdb_length(uint8_t opcode)
{
	static const uint8_t lengths[8] = {6, 10, 10, 6, 16, 12, 6, 6};

	return lengths[opcode >> 5];
}

#define ENTRY_BYTES     8u
#define TIMEOUT_BYTES   12u
#define REPORT_ROWS_MAX 64u
#define WITH_TIMEOUTS   0x80
#define ONE_BYTES       (4u + SCSI_CDB_BYTES + TIMEOUT_BYTES)

/* All commands; no time is promised for any, so a timeouts descriptor is its length and zeros. */
static void report_all(struct scsi_request *r, const struct scsi_command *table, unsigned count,
		       bool timeouts)
{
	uint8_t data[4 + REPORT_ROWS_MAX * (ENTRY_BYTES + TIMEOUT_BYTES)] = {0};
	uint32_t at = 4;
	unsigned i;

	for (i = 0; i < count && i < REPORT_ROWS_MAX; i++) {
		data[at] = table[i].opcode;
		put_be16(data + at + 2, table[i].action);
		data[at + 5] = (table[i].has_action ? 1 : 0) | (timeouts ? 2 : 0);
		put_be16(data + at + 6, (uint16_t)scsi_cdb_length(table[i].opcode));
		at += ENTRY_BYTES;
		if (timeouts) {
			put_be16(data + at, TIMEOUT_BYTES - 2);
			at += TIMEOUT_BYTES;
		}
	}
	put_be32(data, at - 4);
	scsi_reply(r, data, at, get_be32(r->cdb + 6));
}

static void report_one(struct scsi_request *r, const struct scsi_command *row, bool timeouts)
{
	uint8_t data[ONE_BYTES] = {0};
	uint32_t at = 4;

	data[1] = 1; /* not supported */
	if (row != NULL) {
		unsigned length = scsi_cdb_length(row->opcode);

		data[1] = 3 | (timeouts ? 0x80 : 0);
		put_be16(data + 2, (uint16_t)length);
		memcpy(data + at, row->usage, length);
		at += length;
	}
	if (row != NULL && timeouts) {
		put_be16(data + at, TIMEOUT_BYTES - 2);
		at += TIMEOUT_BYTES;
	}
	scsi_reply(r, data, at, get_be32(r->cdb + 6));
}

/*
 * SPC-4 6.35. Options 1 to 3 ask for one command, without a service action, with one, and either
 * way.
 */
void scsi_supported_opcodes(struct scsi_request *r)
{
	bool is_disk = r->p.unit->kind == STORAGE_DISK, has_actions = false;
	const struct scsi_command *table = is_disk ? scsi_disk_commands : scsi_dvd_commands;
	const struct scsi_command *row = NULL;
	unsigned count = is_disk ? scsi_disk_command_count : scsi_dvd_command_count;
	unsigned option = r->cdb[2] & 7, i;

	for (i = 0; i < count && row == NULL; i++) {
		if (table[i].opcode == r->cdb[3]) {
			has_actions |= table[i].has_action;
			if (!table[i].has_action ||
			    (option != 1 && table[i].action == get_be16(r->cdb + 4))) {
				row = &table[i];
			}
		}
	}
	if (option == 0) {
		report_all(r, table, count, r->cdb[2] & WITH_TIMEOUTS);
	} else if (option > 3 || (option == 1 && has_actions) ||
		   (option == 2 && row != NULL && !row->has_action)) {
		scsi_fail(r, SENSE_INVALID_FIELD_CDB);
	} else {
		report_one(r, row, r->cdb[2] & WITH_TIMEOUTS);
	}
}
