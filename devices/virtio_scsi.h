/*
 * A SCSI controller that UEFI firmware has a driver for: virtio-scsi in its legacy form (Virtio
 * 1.1, 5.6 and the legacy interface of 4.1.5 and 2.6; all OVMF needs of it). It is the firmware's
 * alone: once the guest speaks to VMBus, where the same units are, the function is gone until the
 * next reset, and no command of it reaches memory any more.
 *
 *   kick -> the oldest request of the ring is taken, if none is under way -> host_scsi_start() -> board_scsi_done() -> its answer, and the next one
 *
 * Data goes through a buffer of the controller's, so that a request is one command of the home's,
 * and a saved state is whole. A request of which the home is not done is saved as one to be begun.
 *
 * A driver that breaks the rules of the ring has its device marked as failed, which stands still
 * until it is reset.
 *
 * Lock: the board's, everywhere.
 */
#ifndef DEVICES_VIRTIO_SCSI_H
#define DEVICES_VIRTIO_SCSI_H

#include <stdbool.h>
#include <stdint.h>

#include "devices/host.h"
#include "devices/pci.h"

#define VIRTIO_SCSI_RING         16u
#define VIRTIO_SCSI_BUFFER_BYTES (128u << 10) /* of data at once */
#define VIRTIO_SCSI_SENSE_BYTES  96u

struct virtio_segment {
	uint64_t gpa;
	uint32_t length;
};

/* A request on its way. */
struct virtio_scsi_request {
	uint16_t head; /* its first descriptor */
	bool out;
	uint8_t lun;
	uint8_t cdb[16];
	struct virtio_segment answer, data[VIRTIO_SCSI_RING];
	unsigned int data_count;
	uint32_t data_length;
};

struct virtio_scsi {
	struct host *host;
	struct pci_function function; /* function.pci NULL: there is none */
	unsigned int last_lun;
	uint32_t features, page; /* of the driver; the ring's, of 4 KiB, 0: none */
	uint16_t queue;          /* that is selected */
	uint8_t status, interrupt;
	uint16_t taken, given;              /* requests, as the ring's indexes */
	bool busy;                          /* the home has one */
	bool forgotten;                     /* whose driver has reset the controller meanwhile */
	bool gone;                          /* the guest is at VMBus */
	struct virtio_scsi_request request; /* while busy */
	uint8_t *buffer;                    /* of VIRTIO_SCSI_BUFFER_BYTES */
};

extern const struct device_class virtio_scsi_class;

/* At this slot, with units from 0 to `last_lun` and a buffer. */
void virtio_scsi_create(struct virtio_scsi *scsi, struct host *host, struct pci *pci,
			unsigned int slot, unsigned int last_lun, uint8_t *buffer);
/* The machine's reset: the home carries nothing out. */
void virtio_scsi_reset(struct virtio_scsi *scsi);
void virtio_scsi_done(struct virtio_scsi *scsi, const struct host_drive_result *result);
/* The guest's system has come to VMBus. */
void virtio_scsi_leave(struct virtio_scsi *scsi);
/* After a load: whether it is there, and its request is begun anew. */
void virtio_scsi_restore(struct virtio_scsi *scsi);

#endif
