/*
 * A simulated host disk in place of disk/file.c, disk/ring.c and disk/helper.c. It keeps files in
 * memory, records every write, cut, hole and sync, and can afterwards put the files into any state
 * that a power cut could have left.
 */
#ifndef TESTS_UNIT_DISK_FAKE_H
#define TESTS_UNIT_DISK_FAKE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Several threads: see disk_tasks.h. NULL: there is one, and the helper's work is done at once on
 * it. */
struct disk_req;
struct fake_tasks {
	void (*pause)(void); /* another may run here */
	void (*wait)(bool (*ready)(void *user), void *user);
	void (*post)(struct disk_req *req);
};
extern const struct fake_tasks *fake_tasks;

void fake_reset(uint32_t seed);
void fake_seed(uint32_t seed); /* a part of fake_reset() */
uint32_t fake_random(void);

/* From here on everything is recorded. */
void fake_record(void);
size_t fake_op_count(void);

/* Of what was recorded, but for the contents of the log, which are never the same. */
uint64_t fake_digest(void);

/* Go through the cuts in rising order. Cut k: the first k operations were handed to the host, then
 * the power failed. */
void fake_cuts_begin(void);
void fake_cut_at(size_t k);
/* How many ways there are that are worth a look: 1 when nothing was unsynced. */
unsigned fake_cut_variants(void);
void fake_cut_make(unsigned variant);
void fake_cuts_end(void);

/* The n-th operation from now on fails with -EIO; 0: none. */
void fake_fail_after(unsigned n);
bool fake_failed(void);
/* What changes or syncs this file fails with -EIO; NULL: none does. */
void fake_fail_file(const char *path);
/* Reads of data, though not of tables, fail with -EIO while it is on. */
void fake_fail_reads(bool on);

/* The bytes of a file, for corruption tests and dumps. */
uint64_t fake_size(const char *path);
void fake_peek(const char *path, uint64_t offset, void *out, size_t length);
void fake_poke(const char *path, uint64_t offset, const void *data, size_t length);
void fake_shrink(const char *path, uint64_t size);
/* For who hands over a descriptor, which has no end here. */
int fake_descriptor(const char *path);
/* Writes a file out, for other programs. */
bool fake_dump(const char *path, const char *host_path);
/* Copies of the present state of all files. */
struct fake_state;
struct fake_state *fake_save(void);
void fake_restore(const struct fake_state *state);
void fake_state_free(struct fake_state *state);
/* Writes since the last call: a reader must make none. */
unsigned fake_writes(void);
/* How often the end of a file's data was looked for since the last call: some hosts go over all of
 * it. */
unsigned fake_searches(void);

#endif
