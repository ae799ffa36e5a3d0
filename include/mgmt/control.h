/*
 * The socket of `vmwp --control PATH`: SOCK_SEQPACKET, one request and one reply at a time.
 *
 * A worker opens no path once its guest runs, so a disk comes as open descriptors (SCM_RIGHTS): the
 * file, and for a differencing disk all its parents in order. They become the worker's.
 */
#ifndef MGMT_CONTROL_H
#define MGMT_CONTROL_H

#include <stdint.h>

#define CONTROL_FILES_MAX 253 /* the kernel hands over no more at once */
#define CONTROL_NAME_MAX  1024

enum control_operation {
	CONTROL_ATTACH_DISK = 1, /* at a free number of the SCSI controller */
	CONTROL_ATTACH_DVD,      /* an ISO file, or an empty drive if there is no descriptor */
	CONTROL_DETACH,          /* a disk or a drive */
	CONTROL_CHANGE_DVD,      /* another ISO file, or none, in a drive that is there */
};

#define CONTROL_READ_ONLY 1u /* flags: the disk is not to be written */
#define CONTROL_FORCE     2u /* although the guest has locked the drive */
#define CONTROL_RAW       4u /* the disk is raw, whatever its name and its content say */

struct control_request {
	uint32_t operation;
	uint32_t number; /* of the disk on the SCSI controller: its LUN */
	uint32_t flags;
	char name[CONTROL_NAME_MAX]; /* the file's, with its end; for its format and for messages */
};

struct control_reply {
	int32_t result; /* 0 or a negative errno */
	char text[512]; /* what is wrong, if something is */
};

#endif
