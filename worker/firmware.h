/*
 * A machine's firmware: its image, and what it is told of the machine (devices/fw_cfg.c). Main
 * thread, or before there are others; the log under the board's lock.
 */
#ifndef WORKER_FIRMWARE_H
#define WORKER_FIRMWARE_H

#include <stdbool.h>
#include <stdint.h>

#include "devices/board.h"
#include "devices/smbios.h"
#include "worker/boot_watch.h"
#include "worker/config.h"
#include "worker/loader.h"
#include "worker/nvram.h"

/* Where firmware has its screen when there is no display: text on COM1. */
#define FIRMWARE_SERIAL_PORT BOARD_COM1_PORT

#define FIRMWARE_NETBOOT_BYTES 1024u /* of the adapters' ROM, at most */

/* A record of etc/e820. */
struct firmware_range {
	uint64_t base, length;
	uint32_t type;
} __attribute__((packed));

struct firmware {
	struct loader_file image, floppy, vga, netboot;
	struct nvram nvram;       /* UEFI's */
	uint8_t *rom;             /* the whole image, as it is below 4 GiB */
	uint8_t *vga_rom;         /* NULL: no VGA */
	uint8_t *disk;            /* the floppy disk's content, NULL: none */
	uint8_t *netboot_program; /* what is started over the network, NULL: nothing */
	uint32_t netboot_length;
	uint8_t netboot_rom[FIRMWARE_NETBOOT_BYTES];
	struct firmware_range ranges[LOADER_RANGES];
	uint64_t serial_port; /* etc/sercon-port */
	struct acpi_files acpi;
	struct smbios smbios;
	char boot_order[4096]; /* bootorder: a path a line; room for all disks */
	int log;               /* -1: nobody reads it */
	uint8_t line[128];     /* of the log, until it ends */
	unsigned int line_length;
	struct boot_watch watch; /* under the board's lock */
};

/* The files of the command line, read. False: *loader has why. */
bool firmware_open(struct firmware *firmware, struct loader *loader,
		   const struct config *config) MUST_CHECK;
/* The image and its items, `smbios` among them, on a board that has firmware. */
void firmware_attach(struct firmware *firmware, const struct memory *memory, struct board *board,
		     const struct config *config);
/* Into memory that is all zeros. False: *loader has why. */
bool firmware_load(struct firmware *firmware, struct loader *loader) MUST_CHECK;
void firmware_log(struct firmware *firmware, uint8_t byte);
/* What it writes where it tells of its search: says so when that is over, and nothing was found. */
void firmware_watch(struct firmware *firmware, uint8_t byte);

#endif
