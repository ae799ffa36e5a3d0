/*
 * A TPM's command/response buffer interface (TCG PC Client Platform TPM Profile 1.05, 6.5.3), one
 * locality of it: what a guest's firmware and system hand a TPM by. Who carries commands out is the
 * home's affair (host_tpm_start()).
 *
 *   idle --REQ: cmdReady--> ready --START--> a command is under way --board_tpm_done()--> ready --REQ: goIdle--> idle
 *
 * A command lies in the buffer, and its answer does afterwards. While it is under way writes into
 * the buffer are lost. One that a guest cancels comes to its end all the same. There is no
 * interrupt: systems ask.
 */
#include "devices/parts.h"

#include <string.h>

#define LOC_STATE    0x00
#define LOC_CTRL     0x08
#define LOC_STS      0x0c
#define INTF_ID      0x30
#define INTF_VENDOR  0x34
#define CTRL_REQ     0x40
#define CTRL_STS     0x44
#define CTRL_START   0x4c
#define COMMAND_SIZE 0x58
#define COMMAND_LOW  0x5c
#define ANSWER_SIZE  0x64
#define ANSWER_LOW   0x68
#define BUFFER       0x80

#define STATE_NOT_ESTABLISHED 0x01u /* nothing was measured by the processor itself */
#define STATE_ASSIGNED        0x02u
#define STATE_VALID           0x80u
#define CTRL_REQUEST          0x01u
#define CTRL_RELINQUISH       0x02u
#define REQ_READY             0x01u
#define REQ_IDLE              0x02u
#define STS_ERROR             0x01u
#define STS_IDLE              0x02u
/* A command buffer of version 1 and nothing else, in transfers of up to 64 bytes. */
#define INTERFACE (1u | 1u << 4 | 3u << 11 | 1u << 14 | 1u << 17)
#define VENDOR    0x1014u /* as libtpms has it in the TPM's own answers: IBM */

#define HEADER_BYTES 10u /* tag, length, code */

static uint32_t get_register(const struct tpm_crb *tpm, uint32_t offset)
{
	switch (offset) {
	case LOC_STATE:
		return STATE_VALID | STATE_NOT_ESTABLISHED | (tpm->granted ? STATE_ASSIGNED : 0);
	case LOC_STS:
		return tpm->granted;
	case INTF_ID:
		return INTERFACE;
	case INTF_VENDOR:
		return VENDOR;
	case CTRL_STS:
		return (tpm->failed ? STS_ERROR : 0) | (tpm->idle ? STS_IDLE : 0);
	case CTRL_START:
		return tpm->busy;
	case COMMAND_SIZE:
	case ANSWER_SIZE:
		return TPM_BUFFER_BYTES;
	case COMMAND_LOW:
	case ANSWER_LOW:
		return (uint32_t)TPM_BASE + BUFFER;
	default:
		return 0;
	}
}

static uint64_t tpm_read(void *device, uint32_t offset, unsigned int size)
{
	const struct tpm_crb *tpm = device;
	uint32_t value = 0;

	if (offset >= BUFFER) {
		memcpy(&value, tpm->buffer + (offset - BUFFER), size);
	} else {
		value = get_register(tpm, offset & ~3u) >> 8 * (offset & 3);
	}
	return size == 4 ? value : value & ((1u << 8 * size) - 1);
}

/* As long as it says, which the TPM may find wrong. */
static void start(struct tpm_crb *tpm)
{
	uint32_t length = (uint32_t)tpm->buffer[2] << 24 | (uint32_t)tpm->buffer[3] << 16 |
			  (uint32_t)tpm->buffer[4] << 8 | tpm->buffer[5];

	length = length < HEADER_BYTES       ? HEADER_BYTES
		 : length > TPM_BUFFER_BYTES ? TPM_BUFFER_BYTES
					     : length;
	tpm->busy = true;
	host_tpm_start(tpm->host, tpm->buffer, length);
}

static void set_register(struct tpm_crb *tpm, uint32_t offset, uint32_t value)
{
	switch (offset) {
	case LOC_CTRL:
		tpm->granted =
			!(value & CTRL_RELINQUISH) && (tpm->granted || (value & CTRL_REQUEST) != 0);
		break;
	case CTRL_REQ:
		if (!tpm->busy && (value & (REQ_READY | REQ_IDLE)) != 0) {
			tpm->idle = (value & REQ_IDLE) != 0;
		}
		break;
	case CTRL_START:
		if ((value & 1) != 0 && tpm->granted && !tpm->idle && !tpm->busy && !tpm->failed) {
			start(tpm);
		}
		break;
	default:
		break;
	}
}

static void tpm_write(void *device, uint32_t offset, unsigned int size, uint64_t value)
{
	struct tpm_crb *tpm = device;

	if (offset < BUFFER) {
		set_register(tpm, offset, (uint32_t)value);
	} else if (!tpm->busy) {
		memcpy(tpm->buffer + (offset - BUFFER), &value, size);
	}
}

void tpm_crb_create(struct tpm_crb *tpm, struct host *host)
{
	tpm->host = host;
	tpm_crb_reset(tpm);
}

void tpm_crb_reset(struct tpm_crb *tpm)
{
	if (tpm->host != NULL) {
		*tpm = (struct tpm_crb){.host = tpm->host, .idle = true};
	}
}

void tpm_crb_done(struct tpm_crb *tpm, const uint8_t *answer, uint32_t length)
{
	if (!tpm->busy) {
		return;
	}
	tpm->busy = false;
	tpm->failed = length == 0 || length > TPM_BUFFER_BYTES;
	if (!tpm->failed) {
		memcpy(tpm->buffer, answer, length);
	}
}

/* ---- A saved state. What the TPM itself knows is the home's to save. ---- */

static void tpm_save(const void *device, struct state_writer *writer)
{
	const struct tpm_crb *tpm = device;

	state_put_bool(writer, tpm->granted);
	state_put_bool(writer, tpm->idle);
	state_put_bool(writer, tpm->busy);
	state_put_bool(writer, tpm->failed);
	state_put_bytes(writer, tpm->buffer, sizeof(tpm->buffer));
}

static void tpm_load(void *device, struct state_reader *part, bool set)
{
	struct tpm_crb *tpm = device;
	bool granted = state_bool(part), idle = state_bool(part), busy = state_bool(part);
	bool failed = state_bool(part);
	const uint8_t *buffer = state_span(part, TPM_BUFFER_BYTES);

	if (busy && (idle || failed)) {
		state_refuse(part, "has a command under way in a TPM that takes none");
	}
	if (!set || !state_ok(part)) {
		return;
	}
	tpm->granted = granted;
	tpm->idle = idle;
	tpm->busy = false;
	tpm->failed = failed;
	memcpy(tpm->buffer, buffer, TPM_BUFFER_BYTES);
	if (busy) {
		start(tpm); /* anew */
	}
}

const struct device_class tpm_crb_class = {.name = "tpm-crb",
					   .width = 4,
					   .read = tpm_read,
					   .write = tpm_write,
					   .version = 1,
					   .save = tpm_save,
					   .load = tpm_load};
