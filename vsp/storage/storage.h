/*
 * Synthetic storage: SCSI controllers, and the IDE flavour's one disk per channel, offered to a
 * guest over VMBus.
 *
 * Values: 0 or a negative errno.
 *
 * Threads: the calls below come from the worker's own threads (its event loop, its management), any
 * of them. Each open channel has a thread of this library, which serves the guest's requests with a
 * disk_queue of its own, which storage_create() has made. A call that waits (detach, hold,
 * change_medium, destroy) waits for requests that are on their way to the disk, and for nothing
 * that the guest does.
 *
 * Ownership: a struct disk stays its opener's. From attach (change_medium, release) to the end of
 * detach (change_medium, hold, destroy) it must stay open and is used here by several threads;
 * afterwards nothing here knows it any more.
 */
#ifndef VSP_STORAGE_STORAGE_H
#define VSP_STORAGE_STORAGE_H

#include <stdbool.h>
#include <stdint.h>

struct disk;
struct state_reader;
struct state_writer;
struct vmbus;
struct storage;

enum storage_flavour {
	/*
	 * A controller with up to STORAGE_UNITS_MAX disks and DVD drives, hot-pluggable, with
	 * several channels.
	 */
	STORAGE_SCSI,
	/*
	 * One disk, known to the guest by its IDE channel and device; one VMBus channel, no hot
	 * plug.
	 */
	STORAGE_IDE,
};

#define STORAGE_UNITS_MAX   64u
#define STORAGE_PATHS_MAX   8u
#define STORAGE_TARGETS_MAX 2u
#define STORAGE_LUNS_MAX    64u

struct storage_address {
	/* SCSI: 0, 0 and the disk's number. IDE: channel, device and 0. */
	uint8_t path, target, lun;
};

struct storage_config {
	enum storage_flavour flavour;
	/* SCSI: the controller's instance GUID, in wire order. IDE makes its own of the address. */
	uint8_t instance[16];
	struct storage_address ide; /* IDE: channel 0-1 and device 0-1 */
	/*
	 * SCSI: channels at most; the number of VPs is the natural choice. 0 is taken for 1, and
	 * more than 64 for 64.
	 */
	unsigned channel_count;
	unsigned depth; /* requests in flight on one channel; 0: 256 */
	/* It is not offered: its units are for an emulated controller alone (port.h). */
	bool hidden;
};

enum storage_kind { STORAGE_DISK, STORAGE_DVD };

struct storage_unit {
	enum storage_kind kind;
	struct disk *disk; /* STORAGE_DVD: an ISO file opened as raw, or NULL for an empty drive */
	/* Who the disk is, the same in every run: page 83h and the serial number are made of it. */
	uint8_t id[16];
	/* No write is completed before it is durable, whatever the guest asks for. */
	bool write_through;
};

/*
 * The controller is offered at once and stays offered until destroy. Attach the disks that the
 * guest boots from before its first instruction. -EINVAL for a bad configuration, or what
 * vmbus_offer() says.
 */
int storage_create(struct vmbus *bus, const struct storage_config *config,
		   struct storage **storage);

/*
 * Rescinds the offer and waits for the requests in flight. When it returns no disk is used any
 * more; what is left of the controller goes when the bus has released its channels. Before
 * vmbus_destroy(), or after it.
 */
void storage_destroy(struct storage **storage);

/* -EBUSY: the address is taken. -EINVAL: no such address, or a disk that cannot be served. */
int storage_attach(struct storage *storage, struct storage_address address,
		   const struct storage_unit *unit);

/* -ENOENT: nothing there. The guest is told; its later requests fail with "no such LUN". */
int storage_detach(struct storage *storage, struct storage_address address);

/*
 * Another medium, or none, for a DVD drive. -EBUSY: the guest has locked the tray; it has been
 * asked to eject and the call may be repeated, or made with force. -ENOTTY: not a DVD drive.
 */
int storage_change_medium(struct storage *storage, struct storage_address address,
			  struct disk *disk, bool force);

/*
 * hold: from its return to release the disk is untouched, and the guest's requests are answered
 * with BUSY, which guests repeat; for a resize or a new layer of the chain. release gives the same
 * or another handle of it; the guest is told when its size or block size has changed.
 */
int storage_hold(struct storage *storage, struct storage_address address);
int storage_release(struct storage *storage, struct storage_address address, struct disk *disk);

/*
 * The part "storage" of a saved state: what the guest has told the controller and its units, and
 * what of its requests is not answered. vmbus_pause() is in force.
 */
void storage_save(struct storage *storage, struct state_writer *writer);
/*
 * Reads it back into a new controller with the same configuration and units, paused; before
 * vmbus_load(), which opens its channels.
 *   -EINVAL  the state is refused, as its fault says; nothing has changed
 *   other    what vmbus_offer() says; the controller is as it was
 */
int storage_load(struct storage *storage, struct state_reader *list);

struct storage_stats {
	uint64_t requests, reads, writes, bytes_read, bytes_written, errors;
	unsigned channels_open;
};

void storage_get_stats(struct storage *storage, struct storage_stats *stats);

#endif
