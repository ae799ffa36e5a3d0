/*
 * What the home of the devices supplies: the worker, or a test. The linker chooses it.
 *
 * Every function here is called with the board's lock held (board.h), so none may take it again or
 * block; but host_elsewhere(), which is called without it.
 */
#ifndef DEVICES_HOST_H
#define DEVICES_HOST_H

#include <stdbool.h>
#include <stdint.h>

struct host; /* the home's own; the devices only hand it back */

#define HOST_NEVER UINT64_MAX

/*
 * An interrupt message on its way to local APICs, with the fields of an MSI or a redirection entry.
 */
struct host_interrupt {
	uint32_t destination;
	uint8_t vector;
	uint8_t delivery_mode; /* 0 fixed, 1 lowest priority, 2 SMI, 4 NMI, 5 INIT */
	bool logical;
	bool level;
};

/* An access of a VP to memory where the board has nothing, of 1 to 8 bytes. False: the home has
 * nothing there either. Without the lock. */
bool host_elsewhere(struct host *host, uint64_t gpa, unsigned int size, bool write,
		    uint64_t *value);

enum host_power {
	HOST_POWER_OFF,
	HOST_POWER_RESET,
};

/* Nanoseconds since some time before the board was made; it never goes back, and stands still while
 * the machine is paused. */
uint64_t host_time(struct host *host);
/* Nanoseconds since 1970-01-01 00:00 UTC. */
uint64_t host_wall_time(struct host *host);
/* Call board_tick() at this time or soon after it. A later call replaces an earlier one; HOST_NEVER
 * cancels. */
void host_wake_at(struct host *host, uint64_t time);

/* False: no local APIC has taken it, and none will tell of its end. */
bool host_interrupt(struct host *host, const struct host_interrupt *interrupt);
/* The INTR output of the interrupt controllers of the PC/AT; board_pic_acknowledge() takes the
 * vector. */
void host_extint(struct host *host, bool asserted);
void host_power(struct host *host, enum host_power event);
/*
 * Guests reach `length` bytes of the home's memory at `gpa` without leaving from now on, or, where
 * it is not writable, read and execute them; all of it page aligned, and nothing is mapped there. A
 * home that cannot do it leaves it: accesses then go on coming to the board, which serves them.
 */
void host_map(struct host *host, uint64_t gpa, void *pages, uint64_t length, bool writable);
/* Takes back what host_map() mapped, by the same numbers. No VP reaches the pages afterwards. */
void host_unmap(struct host *host, uint64_t gpa, void *pages, uint64_t length);
/* A device's own access to guest RAM. False: not all of it is RAM; then nothing was copied. */
bool host_memory_read(struct host *host, uint64_t gpa, void *to, uint64_t length);
bool host_memory_write(struct host *host, uint64_t gpa, const void *from, uint64_t length);

/* A SCSI command for an IDE drive's medium. Data is the drive's memory until the command has
 * ended. */
struct host_drive_command {
	uint8_t cdb[16];
	uint8_t cdb_length;
	bool out; /* `data` goes to the drive */
	uint32_t length;
	uint8_t *data;
};

#define HOST_SENSE_BYTES 18

struct host_drive_result {
	uint8_t status;                  /* SCSI's */
	uint8_t sense[HOST_SENSE_BYTES]; /* with CHECK CONDITION; zeros: nothing is there */
	uint32_t transferred;            /* bytes of `data`, into it or out of it */
};

/*
 * Carries it out, and says so by board_drive_done(), not before this has returned; one command at a
 * time of a channel. `drive` is 2 * channel + device. The command is copied.
 */
void host_drive_start(struct host *host, unsigned int drive,
		      const struct host_drive_command *command);
/* The same of the firmware's controller, to one of its units; the end is board_scsi_done(). One at
 * a time. */
void host_scsi_start(struct host *host, unsigned int lun, const struct host_drive_command *command);
/* The same of a disk on USB; the end is board_usb_done(). One at a time of each. */
void host_usb_start(struct host *host, unsigned int disk, const struct host_drive_command *command);
/*
 * Adapters of the board, which are on ports of a switch. What one hears of its port: nothing; what
 * is for its own address, and for groups; or all. It is said often, and may be what it was.
 */
enum host_nic_hears { HOST_NIC_NOTHING, HOST_NIC_OWN, HOST_NIC_ALL };
void host_nic_listen(struct host *host, unsigned int nic, enum host_nic_hears hears);
/* Is there room for a frame that it sends? False: board_nic_room() says when. */
bool host_nic_room(struct host *host, unsigned int nic);
/* A frame of 14 to TULIP_FRAME_MAX bytes, for which there was room. It is copied; without a switch
 * it is lost. */
void host_nic_send(struct host *host, unsigned int nic, const uint8_t *frame, uint32_t length);
/* These bytes of the flash memory, of one block, have changed, and are to outlive the machine. It
 * is copied. */
void host_flash_store(struct host *host, uint32_t offset, uint32_t length);
/*
 * A command for the TPM; its end is board_tpm_done(), not before this has returned. One at a time,
 * of 10 to 3968 bytes. It is copied.
 */
void host_tpm_start(struct host *host, const uint8_t *command, uint32_t length);
/* Frames of sound, left and right, for `rate` of 1000 to 192000 a second; they are copied. */
void host_sound_play(struct host *host, uint32_t rate, const int16_t (*frames)[2], uint32_t count);
/* A byte of firmware's debug messages. */
void host_debug_text(struct host *host, uint8_t byte);
/* A test image's result, on the port that board_add_debug_exit() adds. */
void host_debug_exit(struct host *host, uint32_t value);

/* The other end of a serial line. False: no room now; board_serial_drained() says when to try
 * again. */
bool host_serial_put(struct host *host, uint8_t byte);
/* False: nothing there; board_serial_ready() says when there is. */
bool host_serial_get(struct host *host, uint8_t *byte);

#endif
