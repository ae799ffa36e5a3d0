/* A home for the devices (devices/host.h) with a clock that stands still, which remembers what it
 * was told. */
#ifndef FAKE_HOST_H
#define FAKE_HOST_H

#include "devices/board.h"

#define FAKE_INTERRUPTS 64
#define FAKE_SERIAL     4096
#define FAKE_MAPPINGS   16
#define FAKE_RAM        16384
#define FAKE_TEXT       64
#define FAKE_FRAMES     512

struct host {
	uint64_t time, wall;
	uint64_t wake_at;
	struct host_interrupt interrupts[FAKE_INTERRUPTS]; /* the newest of them */
	unsigned int interrupt_count;
	bool deaf; /* no local APIC takes any */
	bool extint;
	unsigned int extint_count; /* how often it rose */
	bool power_told;
	enum host_power power;
	struct {
		uint64_t gpa, length;
		uint8_t *pages;
		bool writable;
	} mappings[FAKE_MAPPINGS]; /* length 0: unused */
	unsigned int map_count, unmap_count;
	uint8_t ram[FAKE_RAM]; /* of the guest, from 0 on */
	uint8_t debug_text[FAKE_TEXT];
	unsigned int debug_count;
	unsigned int flash_count; /* host_flash_store(), and what the last one was */
	uint32_t flash_offset, flash_length;
	bool debug_exit_told;
	uint32_t debug_exit;
	struct {
		bool pending;
		struct host_drive_command command;
		struct host_drive_result failure; /* what comes of the next one, if not GOOD */
		unsigned int started;
	} drives[IDE_DRIVES];
	struct { /* the firmware's controller: a READ fills its data, a WRITE's is kept */
		bool pending;
		struct host_drive_command command;
		struct host_drive_result failure;
		unsigned int lun, started;
		uint8_t written;
	} scsi;
	struct { /* disks on USB, and what is on them */
		bool pending;
		struct host_drive_command command;
		unsigned int started;
		uint8_t medium[1024];
	} usb[BOARD_USB_DISKS_MAX];
	struct {                    /* the TPM: what it is told, it says */
		bool pending, gone; /* gone: that, the next time */
		uint8_t command[TPM_BUFFER_BYTES];
		uint32_t length;
		unsigned int started;
	} tpm;
	struct { /* the adapters: what each hears, and sent last */
		enum host_nic_hears hears;
		unsigned int sent;
		bool full;
		uint8_t frame[TULIP_FRAME_MAX];
		uint32_t length;
	} nics[BOARD_NICS_MAX];
	struct { /* what was played: the first of it, and a sum of all */
		uint32_t rate, count, sum;
		int16_t frames[FAKE_FRAMES][2];
	} sound;
	uint8_t *medium; /* of all drives */
	size_t medium_bytes;
	uint8_t out[FAKE_SERIAL], in[FAKE_SERIAL];
	unsigned int out_count, out_room, in_count, in_taken;
};

/* A clock at 0, a wall clock at 2024-02-29 23:59:58 UTC, a serial line with room for all. */
void fake_host_init(struct host *host);
/* Lets time pass, with a tick of the board at each moment that it asked for. */
void fake_host_pass(struct host *host, struct board *board, uint64_t ns);
/* A drive's command that waits is carried out, and its end is told. False: there is none. */
bool fake_host_drive(struct host *host, struct board *board, unsigned int drive);
/* The same of the firmware's controller. */
bool fake_host_scsi(struct host *host, struct board *board);
/* The same of a disk on USB. */
bool fake_host_usb(struct host *host, struct board *board, unsigned int disk);
/* The same of the TPM. */
bool fake_host_tpm(struct host *host, struct board *board);
#define FAKE_READ 'r'
void fake_host_type(struct host *host, const char *text);

#define FAKE_WALL 1709251198000000000ull

#endif
