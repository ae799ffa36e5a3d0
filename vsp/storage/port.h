/*
 * Another way to a controller's units, beside VMBus: for an emulated controller in front of them.
 * Its commands are carried out by a thread of the port's, with a disk queue of its own, on the same
 * units; so what storage.h says of holding, detaching and other media holds for it too, and of
 * writes through both ways scsi.h's rules.
 *
 * A port is one initiator of its units (nexus 1), VMBus another.
 */
#ifndef VSP_STORAGE_PORT_H
#define VSP_STORAGE_PORT_H

#include "vsp/storage/scsi.h"
#include "vsp/storage/storage.h"

struct storage_port;

/* The caller's, from submit to `done`; there `scsi` has the result. */
struct storage_command {
	struct storage *storage;
	struct storage_address address;
	struct scsi_request
		scsi; /* cdb, cdb_length, direction, data_length, iov, iov_count, user */
	void (*done)(struct storage_command *command); /* on the port's thread; it may submit */
	/* The port's. */
	struct storage_command *next;
	struct storage_port *port;
	bool stopped; /* between two steps, by a pause */
};

/* With a disk queue: a sandbox may forbid to make one later. -errno. */
int storage_port_create(struct storage_port **port);
void storage_port_destroy(struct storage_port **port); /* stopped, or never started; NULL is fine */

/* Its thread begins. -errno. */
int storage_port_start(struct storage_port *port);
/* Waits until no command is under way, and ends the thread. Commands that were submitted meanwhile,
 * or while there is no thread, are forgotten: nobody calls their `done`. */
void storage_port_stop(struct storage_port *port);
/* The same in two steps: from when storage_port_is_quiet(), storage_port_stop() does not take
 * long. */
void storage_port_begin_stop(struct storage_port *port);

/*
 * From the time at which storage_port_is_quiet() no command is under way; those that come meanwhile
 * wait for the resume, and so does one of many steps, which then begins anew. A port that is
 * stopped meanwhile need not be resumed; the resume may come before it is quiet.
 */
void storage_port_begin_pause(struct storage_port *port);
bool storage_port_is_quiet(struct storage_port *port); /* any thread */
/* Waits until it is. */
void storage_port_pause(struct storage_port *port);
void storage_port_resume(struct storage_port *port);

/* Any thread; does not wait. */
void storage_port_submit(struct storage_port *port, struct storage_command *command);

#endif
