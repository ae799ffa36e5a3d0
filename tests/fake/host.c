/* See host.h. */
#include "tests/fake/host.h"

#include <string.h>

#include "lib/check.h"

void fake_host_init(struct host *host)
{
	memset(host, 0, sizeof(*host));
	host->wall = FAKE_WALL;
	host->wake_at = HOST_NEVER;
	host->out_room = FAKE_SERIAL;
}

void fake_host_pass(struct host *host, struct board *board, uint64_t ns)
{
	uint64_t end = host->time + ns;

	while (host->wake_at <= end) {
		uint64_t at = host->wake_at > host->time ? host->wake_at : host->time;

		host->wall += at - host->time;
		host->time = at;
		host->wake_at = HOST_NEVER; /* it is used up */
		board_tick(board);
		if (host->wake_at <= at) {
			host->time++; /* a tick that asks for another one at once */
			host->wall++;
		}
	}
	if (end > host->time) {
		host->wall += end - host->time;
		host->time = end;
	}
}

void fake_host_type(struct host *host, const char *text)
{
	size_t length = strlen(text);

	if (length > FAKE_SERIAL - host->in_count) {
		return; /* typed enough */
	}
	memcpy(host->in + host->in_count, text, length);
	host->in_count += (unsigned int)length;
}

uint64_t host_time(struct host *host)
{
	return host->time;
}

uint64_t host_wall_time(struct host *host)
{
	return host->wall;
}

void host_wake_at(struct host *host, uint64_t time)
{
	host->wake_at = time;
}

bool host_interrupt(struct host *host, const struct host_interrupt *interrupt)
{
	if (host->deaf) {
		return false;
	}
	host->interrupts[host->interrupt_count++ % FAKE_INTERRUPTS] = *interrupt;
	return true;
}

void host_extint(struct host *host, bool asserted)
{
	host->extint_count += asserted && !host->extint;
	host->extint = asserted;
}

void host_power(struct host *host, enum host_power event)
{
	host->power_told = true;
	host->power = event;
}

static bool is_ram(const struct host *host, uint64_t gpa, uint64_t length)
{
	return length <= sizeof(host->ram) && gpa <= sizeof(host->ram) - length;
}

bool host_memory_read(struct host *host, uint64_t gpa, void *to, uint64_t length)
{
	if (!is_ram(host, gpa, length)) {
		return false;
	}
	memcpy(to, host->ram + gpa, length);
	return true;
}

bool host_memory_write(struct host *host, uint64_t gpa, const void *from, uint64_t length)
{
	if (!is_ram(host, gpa, length)) {
		return false;
	}
	memcpy(host->ram + gpa, from, length);
	return true;
}

void host_drive_start(struct host *host, unsigned int drive,
		      const struct host_drive_command *command)
{
	CHECK(drive < IDE_DRIVES && !host->drives[drive].pending &&
	      !host->drives[drive ^ 1].pending && command->length <= IDE_BUFFER_BYTES);
	host->drives[drive].pending = true;
	host->drives[drive].command = *command;
	host->drives[drive].started++;
}

static void check_condition(struct host_drive_result *result, uint8_t key, uint8_t code)
{
	result->status = 2;
	result->sense[0] = 0x70;
	result->sense[2] = key;
	result->sense[12] = code;
}

/* READ and WRITE (16) of the medium; and an INQUIRY, for a CD drive's packets. */
static void carry_out(struct host *host, const struct host_drive_command *command, uint32_t block,
		      struct host_drive_result *result)
{
	uint64_t lba;
	uint32_t count;

	memcpy(&lba, &command->cdb[2], sizeof(lba));
	memcpy(&count, &command->cdb[10], sizeof(count));
	lba = __builtin_bswap64(lba);
	count = __builtin_bswap32(count);
	switch (command->cdb[0]) {
	case 0x88:
	case 0x8a:
		if (lba > host->medium_bytes / block || count > host->medium_bytes / block - lba) {
			check_condition(result, 5, 0x21);
			return;
		}
		CHECK(command->length == count * block &&
		      command->out == (command->cdb[0] == 0x8a));
		if (command->out) {
			memcpy(host->medium + lba * block, command->data, command->length);
		} else {
			memcpy(command->data, host->medium + lba * block, command->length);
		}
		result->transferred = command->length;
		return;
	case 0x12:
		result->transferred = command->cdb[4];
		memset(command->data, 'i', command->cdb[4]);
		return;
	case 0x00:
	case 0x8f:
	case 0x91:
		return;
	default:
		check_condition(result, 5, 0x20);
	}
}

bool fake_host_drive(struct host *host, struct board *board, unsigned int drive)
{
	struct host_drive_result result = host->drives[drive].failure;
	enum ide_kind kind = board->ide.channels[drive / 2].drives[drive % 2].identity.kind;

	if (!host->drives[drive].pending) {
		return false;
	}
	host->drives[drive].pending = false;
	host->drives[drive].failure.status = 0;
	if (result.status == 0) {
		carry_out(host, &host->drives[drive].command,
			  kind == IDE_CD ? IDE_CD_BLOCK : IDE_SECTOR, &result);
	}
	board_drive_done(board, drive, &result);
	return true;
}

void host_scsi_start(struct host *host, unsigned int lun, const struct host_drive_command *command)
{
	CHECK(!host->scsi.pending && command->length <= VIRTIO_SCSI_BUFFER_BYTES);
	host->scsi.pending = true;
	host->scsi.command = *command;
	host->scsi.lun = lun;
	host->scsi.started++;
}

bool fake_host_scsi(struct host *host, struct board *board)
{
	const struct host_drive_command *command = &host->scsi.command;
	struct host_drive_result result = host->scsi.failure;

	if (!host->scsi.pending) {
		return false;
	}
	host->scsi.pending = false;
	host->scsi.failure.status = 0;
	if (result.status == 0) {
		result.transferred = command->length;
		if (command->out) {
			host->scsi.written = command->length != 0 ? command->data[0] : 0;
		} else {
			memset(command->data, FAKE_READ, command->length);
		}
	}
	board_scsi_done(board, &result);
	return true;
}

void host_usb_start(struct host *host, unsigned int disk, const struct host_drive_command *command)
{
	CHECK(disk < BOARD_USB_DISKS_MAX && !host->usb[disk].pending &&
	      command->length <= USB_STORAGE_BYTES);
	host->usb[disk].pending = true;
	host->usb[disk].command = *command;
	host->usb[disk].started++;
}

/* READ and WRITE (10) of its medium, by bytes; TEST UNIT READY. */
bool fake_host_usb(struct host *host, struct board *board, unsigned int disk)
{
	const struct host_drive_command *command = &host->usb[disk].command;
	uint8_t *medium = host->usb[disk].medium;
	uint32_t count = command->length < sizeof(host->usb[disk].medium)
				 ? command->length
				 : sizeof(host->usb[disk].medium);
	struct host_drive_result result = {.transferred = count};

	if (!host->usb[disk].pending) {
		return false;
	}
	host->usb[disk].pending = false;
	if (command->cdb[0] == 0x28 && !command->out) {
		memcpy(command->data, medium, count);
	} else if (command->cdb[0] == 0x2a && command->out) {
		memcpy(medium, command->data, count);
	} else if (command->cdb[0] != 0 || command->length != 0) {
		result.transferred = 0;
		check_condition(&result, 5, 0x20);
	}
	board_usb_done(board, disk, &result);
	return true;
}

void host_tpm_start(struct host *host, const uint8_t *command, uint32_t length)
{
	CHECK(!host->tpm.pending && length >= 10 && length <= TPM_BUFFER_BYTES);
	host->tpm.pending = true;
	memcpy(host->tpm.command, command, length);
	host->tpm.length = length;
	host->tpm.started++;
}

/* The command itself, its first byte another one. */
bool fake_host_tpm(struct host *host, struct board *board)
{
	uint8_t answer[TPM_BUFFER_BYTES];

	if (!host->tpm.pending) {
		return false;
	}
	memcpy(answer, host->tpm.command, host->tpm.length);
	answer[0] ^= 0xff;
	host->tpm.pending = false;
	board_tpm_done(board, answer, host->tpm.gone ? 0 : host->tpm.length);
	host->tpm.gone = false;
	return true;
}

void host_nic_listen(struct host *host, unsigned int nic, enum host_nic_hears hears)
{
	CHECK(nic < BOARD_NICS_MAX);
	host->nics[nic].hears = hears;
}

bool host_nic_room(struct host *host, unsigned int nic)
{
	return !host->nics[nic].full;
}

void host_nic_send(struct host *host, unsigned int nic, const uint8_t *frame, uint32_t length)
{
	CHECK(!host->nics[nic].full && length >= 14 && length <= TULIP_FRAME_MAX);
	memcpy(host->nics[nic].frame, frame, length);
	host->nics[nic].length = length;
	host->nics[nic].sent++;
}

void host_flash_store(struct host *host, uint32_t offset, uint32_t length)
{
	host->flash_count++;
	host->flash_offset = offset;
	host->flash_length = length;
}

bool host_elsewhere(struct host *host, uint64_t gpa, unsigned int size, bool write, uint64_t *value)
{
	(void)host;
	(void)gpa;
	(void)size;
	(void)write;
	(void)value;
	return false;
}

void host_debug_text(struct host *host, uint8_t byte)
{
	host->debug_text[host->debug_count++ % FAKE_TEXT] = byte;
}

/* Mappings do not overlap, and what is taken back is one of them. */
void host_map(struct host *host, uint64_t gpa, void *pages, uint64_t length, bool writable)
{
	unsigned int i, free = FAKE_MAPPINGS;

	for (i = 0; i < FAKE_MAPPINGS; i++) {
		if (host->mappings[i].length == 0) {
			free = i;
			continue;
		}
		CHECK(gpa - host->mappings[i].gpa >= host->mappings[i].length &&
		      host->mappings[i].gpa - gpa >= length);
	}
	CHECK(free < FAKE_MAPPINGS && length != 0 && (gpa | length) % 4096 == 0);
	host->mappings[free].gpa = gpa;
	host->mappings[free].length = length;
	host->mappings[free].pages = pages;
	host->mappings[free].writable = writable;
	host->map_count++;
}

void host_unmap(struct host *host, uint64_t gpa, void *pages, uint64_t length)
{
	unsigned int i = 0;

	while (i < FAKE_MAPPINGS &&
	       (host->mappings[i].gpa != gpa || host->mappings[i].length != length ||
		host->mappings[i].pages != pages)) {
		i++;
	}
	CHECK(i < FAKE_MAPPINGS);
	host->mappings[i].length = 0;
	host->unmap_count++;
}

void host_debug_exit(struct host *host, uint32_t value)
{
	host->debug_exit_told = true;
	host->debug_exit = value;
}

bool host_serial_put(struct host *host, uint8_t byte)
{
	if (host->out_count == host->out_room) {
		return false;
	}
	host->out[host->out_count++ % FAKE_SERIAL] = byte;
	return true;
}

bool host_serial_get(struct host *host, uint8_t *byte)
{
	if (host->in_taken == host->in_count) {
		return false;
	}
	*byte = host->in[host->in_taken++];
	return true;
}

void host_sound_play(struct host *host, uint32_t rate, const int16_t (*frames)[2], uint32_t count)
{
	uint32_t i;

	CHECK(rate >= 1000 && rate <= 192000 && count != 0);
	host->sound.rate = rate;
	for (i = 0; i < count; i++, host->sound.count++) {
		if (host->sound.count < FAKE_FRAMES) {
			memcpy(host->sound.frames[host->sound.count], frames[i], sizeof(frames[i]));
		}
		host->sound.sum =
			host->sound.sum * 31 + (uint16_t)frames[i][0] * 7u + (uint16_t)frames[i][1];
	}
}
