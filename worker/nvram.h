/*
 * The file in which a machine's UEFI firmware keeps its variables: the content of its flash memory
 * (devices/flash.c), as QEMU has it too.
 *
 * Writing goes by a thread of its own, whole blocks at a time: a power cut leaves in a block of the
 * file what it would leave in a flash. A VP that has written waits until the file has it:
 * nvram_settle().
 */
#ifndef WORKER_NVRAM_H
#define WORKER_NVRAM_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "devices/board.h"
#include "hosted/aside.h"
#include "worker/config.h"
#include "worker/loader.h"

#define NVRAM_BLOCKS_MAX (BOARD_ROM_MAX / FLASH_BLOCK)

/* [I] nobody changes it once VPs run, [L] under lock */
struct nvram {
	uint8_t *memory; /* [I] the flash's own, page aligned; NULL: there is none */
	uint32_t length; /* [I] */
	const char *path;
	int fd;             /* [I] -1: kept nowhere */
	struct aside aside; /* its lock is [L] */
	pthread_cond_t done;
	uint8_t *copy;                  /* [L] what the file is to have */
	bool changed[NVRAM_BLOCKS_MAX]; /* [L] blocks that it does not have yet */
	uint64_t asked, settled;        /* [L] stores; how many of them were seen to */
	bool fails;                     /* [L] */
};

/* Opens the file, or makes it of the template, and looks at what it has. False: *loader has why. */
bool nvram_open(struct nvram *nvram, struct loader *loader, const struct config *config) MUST_CHECK;
/* What is wrong with variables' memory, the end of a sentence; NULL: nothing that can be seen.
 * Whatever it holds. */
const char *nvram_check(const uint8_t *bytes, uint32_t length);

/* What variables that nvram_check() has nothing against say of Secure Boot. */
struct nvram_keys {
	const uint8_t *platform_key; /* in them; NULL: none, and the firmware starts anything */
	uint32_t platform_key_size;
	bool off; /* there is one, and somebody at the firmware's menu did not want it */
};
struct nvram_keys nvram_find_keys(const uint8_t *bytes, uint32_t length);

/* Around the life of a partition, as drives_start() and its like; without a file all of it does
 * nothing. False: said why. */
bool nvram_start(struct nvram *nvram) MUST_CHECK;
void nvram_begin_stop(struct nvram *nvram);
bool nvram_is_quiet(struct nvram *nvram);
void nvram_stop(struct nvram *nvram);

/* These bytes of `memory` have changed. Does not wait. */
void nvram_store(struct nvram *nvram, uint32_t offset, uint32_t length);
/* A moment's wait for what this thread has stored. True: the file has it, or never will. */
bool nvram_settle(struct nvram *nvram);
/* Nothing is being written, nor waits for it. Any thread. */
bool nvram_stands(struct nvram *nvram);
/* Of what was stored last the file has not taken all, which was said. Any thread. */
bool nvram_fails(struct nvram *nvram);

#endif
