/* The thread that writes the firmware's variables into their file, see nvram.h. */
#include "worker/nvram.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "hosted/clock.h"
#include "lib/check.h"
#include "worker/say.h"

#define SETTLE_NS 2000000

static _Thread_local uint64_t
	waits_for; /* the store that this thread has asked for last; 0: none */

/* The block, or -1. Under the lock. */
static int next_block(const struct nvram *nvram)
{
	unsigned int i;

	for (i = 0; i < nvram->length / FLASH_BLOCK; i++) {
		if (nvram->changed[i]) {
			return (int)i;
		}
	}
	return -1;
}

static int write_block(const struct nvram *nvram, unsigned int block, const uint8_t *bytes)
{
	ssize_t done = pwrite(nvram->fd, bytes, FLASH_BLOCK, (off_t)block * FLASH_BLOCK);

	if (done != FLASH_BLOCK) {
		return done < 0 ? -errno : -ENOSPC;
	}
	return fdatasync(nvram->fd) == 0 ? 0 : -errno;
}

/* All that is asked for, or until it fails; then it is tried again with the next store. Under the
 * lock. */
static void write_changes(void *user)
{
	struct nvram *nvram = user;
	uint8_t bytes[FLASH_BLOCK];
	uint64_t asked;
	int block, ret = 0;

	do {
		asked = nvram->asked;
		while (ret == 0 && (block = next_block(nvram)) >= 0) {
			memcpy(bytes, nvram->copy + (size_t)block * FLASH_BLOCK, FLASH_BLOCK);
			nvram->changed[block] = false;
			pthread_mutex_unlock(&nvram->aside.lock);
			ret = write_block(nvram, (unsigned int)block, bytes);
			pthread_mutex_lock(&nvram->aside.lock);
			nvram->changed[block] |= ret != 0;
		}
	} while (ret == 0 && asked != nvram->asked);
	if (ret != 0 && !nvram->fails) {
		say("--firmware-variables %s: %s; what the guest changes of them is lost unless "
		    "that ends",
		    nvram->path, strerror(-ret));
	}
	nvram->fails = ret != 0;
	nvram->settled = asked;
	pthread_cond_broadcast(&nvram->done);
}

static bool waits(void *user)
{
	const struct nvram *nvram = user;

	return nvram->settled != nvram->asked;
}

void nvram_store(struct nvram *nvram, uint32_t offset, uint32_t length)
{
	CHECK(offset <= nvram->length && length <= nvram->length - offset &&
	      offset / FLASH_BLOCK == (offset + length - 1) / FLASH_BLOCK);
	if (nvram->fd < 0) {
		return;
	}
	pthread_mutex_lock(&nvram->aside.lock);
	memcpy(nvram->copy + offset, nvram->memory + offset, length);
	nvram->changed[offset / FLASH_BLOCK] = true;
	waits_for = ++nvram->asked;
	pthread_cond_signal(&nvram->aside.work);
	pthread_mutex_unlock(&nvram->aside.lock);
}

bool nvram_settle(struct nvram *nvram)
{
	if (waits_for == 0) {
		return true;
	}
	pthread_mutex_lock(&nvram->aside.lock);
	if (nvram->settled < waits_for) {
		clock_wait(&nvram->done, &nvram->aside.lock, SETTLE_NS);
	}
	if (nvram->settled >= waits_for) {
		waits_for = 0;
	}
	pthread_mutex_unlock(&nvram->aside.lock);
	return waits_for == 0;
}

bool nvram_stands(struct nvram *nvram)
{
	bool stands = true;

	if (nvram->aside.joinable) {
		pthread_mutex_lock(&nvram->aside.lock);
		stands = nvram->settled == nvram->asked;
		pthread_mutex_unlock(&nvram->aside.lock);
	}
	return stands;
}

bool nvram_fails(struct nvram *nvram)
{
	bool fails;

	pthread_mutex_lock(&nvram->aside.lock);
	fails = nvram->fails;
	pthread_mutex_unlock(&nvram->aside.lock);
	return fails;
}

bool nvram_start(struct nvram *nvram)
{
	int ret;

	if (nvram->memory == NULL || nvram->fd < 0) {
		return true;
	}
	ret = aside_start(&nvram->aside, waits, write_changes, nvram);
	if (ret != 0) {
		say("no thread for the firmware's variables: %s", strerror(ret));
	}
	return ret == 0;
}

void nvram_begin_stop(struct nvram *nvram)
{
	aside_begin_stop(&nvram->aside);
}

bool nvram_is_quiet(struct nvram *nvram)
{
	return aside_is_quiet(&nvram->aside);
}

void nvram_stop(struct nvram *nvram)
{
	aside_stop(&nvram->aside);
}
