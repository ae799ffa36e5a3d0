/*
 * The drives of the emulated IDE channels: what is at an IDE place of the machine's disks (disks.c)
 * is a drive of the board too, where that has such channels. UEFI firmware reaches the SCSI
 * controller's units likewise, and by USB are those that are to be there. Their commands go through
 * a port of the storage library to the units that VMBus reaches as well.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vsp/storage/port.h"
#include "worker/machine.h"
#include "worker/say.h"

/* A drive, and its command on the way: the port's from host_drive_start() to done(). */
struct drive {
	struct machine *machine;
	struct storage *storage; /* NULL: no drive */
	struct storage_address address;
	unsigned int index;
	bool usb;
	struct storage_command command;
	struct iovec iov;
};

struct drives {
	struct storage_port *port;
	struct drive drives[IDE_DRIVES], scsi, usb[BOARD_USB_DISKS_MAX];
};

int drives_create(struct machine *machine)
{
	int ret = 0;

	if (machine->drives == NULL) {
		machine->drives = calloc(1, sizeof(*machine->drives));
		ret = machine->drives != NULL ? storage_port_create(&machine->drives->port)
					      : -ENOMEM;
	}
	return ret;
}

int drives_add(struct machine *machine, struct storage *storage, struct storage_address address,
	       const struct ide_identity *identity)
{
	unsigned int index = 2u * address.path + address.target;
	int ret = drives_create(machine);

	if (ret == 0) {
		machine->drives->drives[index] = (struct drive){
			.machine = machine, .storage = storage, .address = address, .index = index};
		board_add_drive(&machine->board, index, identity);
	}
	return ret;
}

int drives_add_scsi(struct machine *machine, struct storage *storage, unsigned int last_lun)
{
	int ret = drives_create(machine);

	if (ret == 0) {
		machine->drives->scsi = (struct drive){.machine = machine, .storage = storage};
		board_add_scsi(&machine->board, last_lun);
	}
	return ret;
}

int drives_add_usb(struct machine *machine, struct storage *storage, struct storage_address address,
		   const char *serial)
{
	int ret = drives_create(machine);
	unsigned int index;

	if (ret == 0) {
		index = board_add_usb_disk(&machine->board, serial);
		machine->drives->usb[index] = (struct drive){.machine = machine,
							     .storage = storage,
							     .address = address,
							     .index = index,
							     .usb = true};
	}
	return ret;
}

bool drives_start(struct machine *machine)
{
	int ret = machine->drives != NULL ? storage_port_start(machine->drives->port) : 0;

	if (ret != 0) {
		say("no thread for the firmware's disks: %s", strerror(-ret));
	}
	return ret == 0;
}

void drives_stop(struct machine *machine)
{
	if (machine->drives != NULL) {
		storage_port_stop(machine->drives->port);
	}
}

void drives_begin_stop(struct machine *machine)
{
	if (machine->drives != NULL) {
		storage_port_begin_stop(machine->drives->port);
	}
}

void drives_begin_pause(struct machine *machine)
{
	if (machine->drives != NULL) {
		storage_port_begin_pause(machine->drives->port);
	}
}

bool drives_are_quiet(struct machine *machine)
{
	return machine->drives == NULL || storage_port_is_quiet(machine->drives->port);
}

void drives_pause(struct machine *machine)
{
	if (machine->drives != NULL) {
		storage_port_pause(machine->drives->port);
	}
}

void drives_resume(struct machine *machine)
{
	if (machine->drives != NULL) {
		storage_port_resume(machine->drives->port);
	}
}

void drives_destroy(struct machine *machine)
{
	if (machine->drives != NULL) {
		storage_port_destroy(&machine->drives->port);
		free(machine->drives);
		machine->drives = NULL;
	}
}

/* On the port's thread. */
static void done(struct storage_command *command)
{
	const struct scsi_request *scsi = &command->scsi;
	const struct drive *drive = scsi->user;
	struct host_drive_result result = {.status = (uint8_t)scsi->status,
					   .transferred = scsi->transferred};

	_Static_assert(sizeof(result.sense) == SCSI_SENSE_BYTES, "sense data is copied whole");
	memcpy(result.sense, scsi->sense, scsi->sense_length);
	if (drive == &drive->machine->drives->scsi) {
		board_scsi_done(&drive->machine->board, &result);
	} else if (drive->usb) {
		board_usb_done(&drive->machine->board, drive->index, &result);
	} else {
		board_drive_done(&drive->machine->board, drive->index, &result);
	}
}

static void submit(struct drives *drives, struct drive *drive,
		   const struct host_drive_command *command)
{
	struct scsi_request *scsi = &drive->command.scsi;

	drive->iov = (struct iovec){command->data, command->length};
	drive->command = (struct storage_command){
		.storage = drive->storage, .address = drive->address, .done = done};
	memcpy(scsi->cdb, command->cdb, sizeof(scsi->cdb));
	scsi->cdb_length = command->cdb_length;
	scsi->direction = command->length == 0 ? SCSI_NO_DATA
			  : command->out       ? SCSI_DATA_OUT
					       : SCSI_DATA_IN;
	scsi->data_length = command->length;
	scsi->iov = &drive->iov;
	scsi->iov_count = command->length != 0;
	scsi->user = drive;
	storage_port_submit(drives->port, &drive->command);
}

void host_drive_start(struct host *host, unsigned int index,
		      const struct host_drive_command *command)
{
	struct drives *drives = host->machine->drives;

	submit(drives, &drives->drives[index], command);
}

void host_scsi_start(struct host *host, unsigned int lun, const struct host_drive_command *command)
{
	struct drives *drives = host->machine->drives;

	drives->scsi.address = (struct storage_address){.lun = (uint8_t)lun};
	submit(drives, &drives->scsi, command);
}

void host_usb_start(struct host *host, unsigned int disk, const struct host_drive_command *command)
{
	struct drives *drives = host->machine->drives;

	submit(drives, &drives->usb[disk], command);
}
