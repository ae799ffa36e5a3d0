/*
 * A machine's state, written and read. Memory goes in blocks of a MiB, packed by a few threads;
 * everything else is one list of parts (lib/state.h), which their owners write. Each block and the
 * list have a checksum, since the container has none for them.
 *
 * A file is as hostile as a guest: all of it is checked before a VP is touched, and what does not
 * fit is refused by name.
 */
#include "worker/save.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <zlib.h>

#include "hvs/hvs.h"
#include "lib/check.h"
#include "lib/state.h"
#include "vmbus/vmbus.h"
#include "vsp/integration/integration.h"
#include "vsp/input/input.h"
#include "vsp/memory/balloon.h"
#include "vsp/network/network.h"
#include "vsp/socket/socket.h"
#include "vsp/storage/storage.h"
#include "worker/job.h"
#include "worker/machine.h"
#include "worker/say.h"

#define THREADS         4u
#define PATH_BYTES      64u
#define VM_VERSION      0x0a00 /* 10.0: how the keys are named */
#define MACHINE_VERSION 2      /* 1 knew nothing of memory that is added */

#define AWAY_VERSION 1

#define KEY_LIST      "/savedstate/verdigris/state"
#define KEY_CHECKSUMS "/savedstate/verdigris/checksums" /* of each block, then of the list */

/* /savedstate/RamMemoryBlockN: pages that follow each other. */
struct memory_block {
	uint32_t version, flags;
	uint64_t pages;
	uint64_t first_page; /* counted through all blocks */
	uint64_t gpa_page;
	uint32_t node, reserved;
	uint64_t reserved_too;
};

#define MEMORY_BLOCK_VERSION 3

uint64_t save_block_count(const struct machine *machine)
{
	return machine->config->memory_maximum / HVS_BLOCK_BYTES;
}

/* All that there may be, in the order of its blocks: below the hole, then above it. */
uint64_t save_block_gpa(const struct machine *machine, uint64_t block)
{
	uint64_t at = block * HVS_BLOCK_BYTES, low = machine->config->memory_maximum;

	low = low < MEMORY_HOLE_BASE ? low : MEMORY_HOLE_BASE;
	return at < low ? at : at - low + MEMORY_4G;
}

/* Of what was not added there is nothing in the file. The first MiB has a hole, and something. */
bool save_block_is_there(const struct machine *machine, uint64_t block)
{
	return block == 0 ||
	       memory_is_ram(&machine->memory, save_block_gpa(machine, block), HVS_BLOCK_BYTES);
}

static void block_path(char path[PATH_BYTES], uint64_t block)
{
	snprintf(path, PATH_BYTES, "/savedstate/RamBlock%llu", (unsigned long long)block);
}

static uint32_t sum_of(const void *bytes, uint32_t size)
{
	return (uint32_t)crc32(0, bytes, size);
}

/* ---- Memory, by several threads ---- */

/* What they share: each takes the next block, and the first error ends all. */
struct memory_work {
	struct machine *machine;
	struct hvs_writer *writer; /* saving */
	const struct job *job;
	const struct hvs_file *file; /* restoring */
	uint32_t *sums;
	pthread_mutex_t lock; /* of the writer and of what follows */
	uint64_t next;
	int error;
	uint64_t failed_block;
};

/* Somebody has turned the machine off, or does not want the state any more. */
static bool is_given_up(const struct machine *machine, const struct job *job)
{
	return job_cancelled(job) || atomic_load(&machine->stop) != STOP_NONE;
}

static bool take_block(struct memory_work *work, uint64_t *block)
{
	bool taken;

	pthread_mutex_lock(&work->lock);
	if (work->job != NULL && is_given_up(work->machine, work->job)) {
		work->error = -ECANCELED;
	}
	while (work->next < save_block_count(work->machine) &&
	       !save_block_is_there(work->machine, work->next)) {
		work->next++;
	}
	taken = work->error == 0 && work->next < save_block_count(work->machine);
	*block = work->next;
	work->next += taken;
	pthread_mutex_unlock(&work->lock);
	return taken;
}

static void fail_block(struct memory_work *work, uint64_t block, int error)
{
	pthread_mutex_lock(&work->lock);
	if (error != 0 && work->error == 0) {
		work->error = error;
		work->failed_block = block;
	}
	pthread_mutex_unlock(&work->lock);
}

static uint32_t pack_block(const struct machine *machine, uint64_t block, uint8_t *to)
{
	uint64_t gpa = save_block_gpa(machine, block);
	struct hvs_packer packer;
	const void *page;
	unsigned int i;

	hvs_pack_begin(&packer, to);
	for (i = 0; i < HVS_BLOCK_PAGES; i++, gpa += MEMORY_PAGE) {
		/* What the root has is not brought back to be saved. */
		page = memory_is_away(&machine->memory, gpa)
			       ? NULL
			       : memory_acquire(&machine->memory, gpa, MEMORY_PAGE);
		if (page == NULL) {
			hvs_pack_zeros(&packer); /* no RAM, or none that is there */
			continue;
		}
		hvs_pack_page(&packer, page);
		memory_complete(&machine->memory, gpa, MEMORY_PAGE, 0);
	}
	return hvs_pack_end(&packer, to);
}

static void *save_blocks(void *argument)
{
	struct memory_work *work = argument;
	uint8_t *packed = malloc(HVS_PACKED_BYTES);
	char path[PATH_BYTES];
	uint64_t block = 0;
	uint32_t size;

	fail_block(work, 0, packed != NULL ? 0 : -ENOMEM);
	while (take_block(work, &block)) {
		size = pack_block(work->machine, block, packed);
		work->sums[block] = sum_of(packed, size);
		block_path(path, block);
		pthread_mutex_lock(&work->lock);
		hvs_put_array(work->writer, path, packed, size);
		pthread_mutex_unlock(&work->lock);
		fail_block(work, block, hvs_writer_error(work->writer));
	}
	free(packed);
	return NULL;
}

static void unpack_block(struct machine *machine, uint64_t block, const uint8_t *from)
{
	uint64_t gpa = save_block_gpa(machine, block);
	unsigned int i;
	void *page;

	for (i = 0; i < HVS_BLOCK_PAGES; i++, gpa += MEMORY_PAGE, from += HVS_PAGE_BYTES) {
		static const uint8_t zeros[HVS_PAGE_BYTES] IN_BSS;

		/* What is all zeros is so already, and needs no page of the host's. */
		if (memcmp(from, zeros, sizeof(zeros)) == 0) {
			continue;
		}
		page = memory_acquire(&machine->memory, gpa, MEMORY_PAGE);
		if (page != NULL) {
			memcpy(page, from, MEMORY_PAGE);
			memory_complete(&machine->memory, gpa, MEMORY_PAGE, MEMORY_PAGE);
		}
	}
}

static int load_block(struct memory_work *work, uint64_t block, uint8_t *packed, uint8_t *plain)
{
	char path[PATH_BYTES];
	uint32_t size;
	int ret;

	block_path(path, block);
	ret = hvs_get_size(work->file, path, &size);
	if (ret == 0 && size > HVS_PACKED_BYTES) {
		ret = -EINVAL;
	}
	if (ret == 0) {
		ret = hvs_get_array(work->file, path, packed, size);
	}
	if (ret == 0 && sum_of(packed, size) != work->sums[block]) {
		ret = -EINVAL;
	}
	if (ret == 0) {
		ret = hvs_unpack(packed, size, plain);
	}
	if (ret == 0) {
		unpack_block(work->machine, block, plain);
	}
	return ret;
}

static void *load_blocks(void *argument)
{
	struct memory_work *work = argument;
	uint8_t *buffer = malloc(HVS_PACKED_BYTES + HVS_BLOCK_BYTES);
	uint64_t block = 0;

	fail_block(work, 0, buffer != NULL ? 0 : -ENOMEM);
	while (take_block(work, &block)) {
		fail_block(work, block, load_block(work, block, buffer, buffer + HVS_PACKED_BYTES));
	}
	free(buffer);
	return NULL;
}

/* Also with fewer threads than it would like. */
static int run_blocks(struct memory_work *work, void *(*run)(void *argument))
{
	pthread_t threads[THREADS];
	unsigned int count = 0, i;

	pthread_mutex_init(&work->lock, NULL);
	while (count < THREADS - 1 && pthread_create(&threads[count], NULL, run, work) == 0) {
		count++;
	}
	(void)run(work);
	for (i = 0; i < count; i++) {
		pthread_join(threads[i], NULL);
	}
	pthread_mutex_destroy(&work->lock);
	return work->error;
}

/* ---- Saving ---- */

/* What has to be the same where the state is restored, and what no part has. */
static void put_machine(const struct machine *machine, struct state_writer *writer)
{
	size_t part = state_begin(writer, "machine", MACHINE_VERSION);
	uint64_t added[MEMORY_ADDED];
	unsigned int i;

	state_put_u32(writer, machine->config->vps);
	state_put_u64(writer, machine->config->memory);
	state_put_u8(writer, (uint8_t)machine->config->generation);
	state_put_bool(writer, machine->disks.scsi != NULL);
	for (i = 0; i < CONFIG_IDE_MAX; i++) {
		state_put_bool(writer, machine->disks.ide[i] != NULL);
	}
	state_put_bool(writer, machine->boot.no_flush_calls);
	state_put_bool(writer, atomic_load(&machine->crashed));
	state_put_u32(writer, machine->resets);
	state_put_u64(writer, machine->config->memory_maximum);
	memory_get_added(&machine->memory, added);
	for (i = 0; i < MEMORY_ADDED; i++) {
		state_put_u64(writer, added[i]);
	}
	state_end(writer, part);
}

/* Of memory in blocks: ranges that the root has, each {GPA, length}. */
static void put_away(const struct machine *machine, struct state_writer *writer)
{
	const uint64_t step = MEMORY_UNIT / HVS_BLOCK_BYTES;
	uint64_t block, gpa = 0, begin = 0, length = 0;
	size_t part = state_begin(writer, "away", AWAY_VERSION);

	for (block = 0; block < save_block_count(machine); block += step) {
		gpa = save_block_gpa(machine, block);
		if (length > 0 &&
		    (gpa != begin + length || !memory_is_away(&machine->memory, gpa))) {
			state_put_u64(writer, begin);
			state_put_u64(writer, length);
			length = 0;
		}
		if (memory_is_away(&machine->memory, gpa)) {
			begin = length > 0 ? begin : gpa;
			length += MEMORY_UNIT;
		}
	}
	if (length > 0) {
		state_put_u64(writer, begin);
		state_put_u64(writer, length);
	}
	state_end(writer, part);
}

static int put_all(struct machine *machine, struct state_writer *writer)
{
	unsigned int i;
	int ret;

	put_machine(machine, writer);
	if (machine->memory.in_blocks) {
		put_away(machine, writer);
	}
	identity_save(machine, writer);
	ret = backend_partition_save(machine->partition, writer);
	for (i = 0; i < machine->config->vps && ret == 0; i++) {
		ret = backend_vp_save(machine->vps[i].vp, &machine->vps[i].exit, writer);
	}
	if (ret != 0) {
		return ret;
	}
	board_save(&machine->board, writer);
	screen_save(machine, writer);
	tpm_save(&machine->tpm, writer);
	if (machine->disks.scsi != NULL) {
		storage_save(machine->disks.scsi, writer);
	}
	for (i = 0; i < CONFIG_IDE_MAX; i++) {
		if (machine->disks.ide[i] != NULL) {
			storage_save(machine->disks.ide[i], writer);
		}
	}
	for (i = 0; i < CONFIG_NETWORKS_MAX; i++) {
		if (machine->networks.places[i].network != NULL) {
			network_save(machine->networks.places[i].network, writer);
		}
	}
	if (machine->balloon != NULL) {
		balloon_save(machine->balloon, writer);
	}
	if (machine->keyboard != NULL) {
		input_save(machine->keyboard, writer);
		input_save(machine->mouse, writer);
	}
	integration_save(machine->integration, writer);
	sockets_save(machine->sockets, writer);
	vmbus_save(machine->bus, writer);
	return 0;
}

/* The list of all parts, of malloc(). Written once to learn its size: a state is the same each
 * time. */
int save_list(struct machine *machine, uint8_t **list, uint32_t *size)
{
	struct state_writer writer = state_writer(NULL, 0);
	int ret = tpm_fetch(&machine->tpm);

	if (ret == 0) {
		ret = put_all(machine, &writer);
	}

	if (ret != 0) {
		return ret;
	}
	if (writer.used > SAVE_LIST_MAX) {
		return -EFBIG;
	}
	*size = (uint32_t)writer.used;
	*list = malloc(writer.used);
	if (*list == NULL) {
		return -ENOMEM;
	}
	writer = state_writer(*list, writer.used);
	ret = put_all(machine, &writer);
	CHECK(ret != 0 || (state_fits(&writer) && writer.used == *size));
	if (ret != 0) {
		free(*list);
	}
	return ret;
}

static void put_memory_blocks(const struct machine *machine, struct hvs_writer *writer)
{
	uint64_t end = memory_limit(&machine->memory);
	uint64_t low = (end > MEMORY_4G ? MEMORY_HOLE_BASE : end) / MEMORY_PAGE;
	struct memory_block block = {.version = MEMORY_BLOCK_VERSION, .pages = low};

	hvs_put_array(writer, "/savedstate/RamMemoryBlock0", &block, sizeof(block));
	if (end > MEMORY_4G) {
		block.first_page = low;
		block.gpa_page = MEMORY_4G / MEMORY_PAGE;
		block.pages = end / MEMORY_PAGE - block.gpa_page;
		hvs_put_array(writer, "/savedstate/RamMemoryBlock1", &block, sizeof(block));
	}
}

/* What the guest has been told is on its disks has to be there whenever the state is. */
static int flush_disks(struct machine *machine)
{
	unsigned int i;
	int ret = 0;

	for (i = 0; i < CONFIG_DISKS_MAX && ret == 0; i++) {
		const struct disk_place *place = &machine->disks.places[i];

		if (place->file != NULL && !place->dvd && !place->read_only) {
			ret = disk_flush(place->file);
		}
	}
	return ret;
}

static int write_into(struct machine *machine, struct hvs_writer *writer, struct job *job)
{
	uint64_t blocks = save_block_count(machine);
	uint32_t *sums = calloc(blocks + 1, sizeof(sums[0])), size = 0;
	struct memory_work work = {.machine = machine, .writer = writer, .sums = sums, .job = job};
	uint8_t *list = NULL;
	int ret = sums != NULL ? 0 : -ENOMEM;

	hvs_put_int(writer, "/savedstate/VmVersion", VM_VERSION);
	hvs_put_int(writer, "/configuration/properties/version", VM_VERSION);
	hvs_put_string(writer, "/savedstate/type", "Normal");
	put_memory_blocks(machine, writer);
	job_step(job, "writing the state");
	if (ret == 0) {
		ret = save_list(machine, &list, &size);
	}
	if (ret == 0) {
		hvs_put_array(writer, KEY_LIST, list, size);
		sums[blocks] = sum_of(list, size);
		job_step(job, "writing the memory");
		ret = run_blocks(&work, save_blocks);
	}
	if (ret == 0) {
		hvs_put_array(writer, KEY_CHECKSUMS, sums,
			      (uint32_t)((blocks + 1) * sizeof(sums[0])));
		job_step(job, "flushing the disks");
		ret = flush_disks(machine);
	}
	if (ret == 0 && (atomic_load(&machine->stop) != STOP_NONE || !job_commit(job))) {
		ret = -ECANCELED;
	}
	if (ret == 0) {
		job_step(job, "closing the file");
		ret = hvs_writer_finish(writer);
	}
	free(list);
	free(sums);
	return ret;
}

int save_write(struct machine *machine, int fd, struct job *job, struct disk_error *error)
{
	struct hvs_writer *writer;
	int ret = hvs_writer_create(fd, &writer);

	if (ret == 0) {
		ret = write_into(machine, writer, job);
		hvs_writer_destroy(writer);
	}
	if (ret != 0) {
		snprintf(error->text, sizeof(error->text),
			 "the machine's state cannot be saved: %s",
			 tpm_is_gone(&machine->tpm) ? TPM_IS_GONE : strerror(-ret));
	}
	return ret;
}

/* ---- Restoring ---- */

struct saved {
	char from[PATH_MAX + 16]; /* for messages */
	char why[200];            /* the last of them */
	int fd;
	struct hvs_file *file;
	uint8_t *list;
	uint32_t list_size;
	uint32_t *sums;
	/* What the part "machine" says. */
	uint32_t vps, resets;
	uint64_t memory, memory_maximum, added[MEMORY_ADDED];
	uint8_t generation;
	bool scsi, ide[CONFIG_IDE_MAX];
	bool no_flush_calls, crashed;
};

/* Behind where it comes from: --restore FILE. */
static bool refuse(const struct machine *machine, const char *what)
{
	snprintf(machine->saved->why, sizeof(machine->saved->why), "%s", what);
	say("%s: %s", machine->saved->from, what);
	return false;
}

const char *saved_why(const struct machine *machine)
{
	return machine->saved != NULL ? machine->saved->why : "";
}

static bool refuse_error(const struct machine *machine, int ret)
{
	return refuse(machine, strerror(-ret));
}

static bool refuse_part(const struct machine *machine, const struct state_fault *fault)
{
	char what[200];

	snprintf(what, sizeof(what), "its part \"%s\" %s", fault->part, fault->what);
	return refuse(machine, what);
}

static void read_machine(struct saved *saved, struct state_reader *list)
{
	struct state_reader part = state_part(list, "machine", MACHINE_VERSION);
	unsigned int i;

	saved->vps = state_u32(&part);
	saved->memory = state_u64(&part);
	saved->generation = state_u8(&part);
	saved->scsi = state_bool(&part);
	for (i = 0; i < CONFIG_IDE_MAX; i++) {
		saved->ide[i] = state_bool(&part);
	}
	saved->no_flush_calls = state_bool(&part);
	saved->crashed = state_bool(&part);
	saved->resets = state_u32(&part);
	saved->memory_maximum = saved->memory;
	if (part.version >= 2) {
		saved->memory_maximum = state_u64(&part);
		for (i = 0; i < MEMORY_ADDED; i++) {
			saved->added[i] = state_u64(&part);
		}
	}
	state_finish(&part);
}

/* Restored, its guest's memory is led: sizes are bounds. One that moves has been compared with its
 * offer. */
static bool leads(const struct machine *machine)
{
	return machine->config->memory_minimum != 0 && machine->config->restore.path != NULL;
}

static bool check_bounds(const struct machine *machine)
{
	const struct saved *saved = machine->saved;
	char what[160];

	if (saved->memory == 0 || saved->memory > saved->memory_maximum ||
	    saved->memory_maximum > MEMORY_MAX || saved->memory % MEMORY_UNIT != 0 ||
	    saved->memory_maximum % MEMORY_UNIT != 0) {
		return refuse(machine, "the machine that was saved has memory that none can have");
	}
	if (machine->config->memory_maximum > saved->memory_maximum) {
		snprintf(what, sizeof(what),
			 "the machine that was saved can have no more than %llu MiB until it is "
			 "off: give it no more as --memory-maximum",
			 (unsigned long long)(saved->memory_maximum >> 20));
		return refuse(machine, what);
	}
	return true;
}

static bool is_of_generation(const struct machine *machine)
{
	return machine->saved->generation == machine->config->generation ||
	       refuse(machine, "the machine that was saved is of another generation");
}

/* The rest of its life is within what it was started with. */
static void keep_memory(struct machine *machine, struct config *config)
{
	const struct saved *saved = machine->saved;

	machine->led_minimum = config->memory_minimum;
	machine->led_maximum = config->memory_maximum;
	if (config->memory_minimum > saved->memory) {
		config->memory_minimum = saved->memory;
	}
	config->memory = saved->memory;
	config->memory_maximum = saved->memory_maximum;
}

/* False: it is of another machine than the configuration describes; said which difference. */
static bool check_machine(const struct machine *machine)
{
	const struct saved *saved = machine->saved;
	char what[160];

	if (saved->vps != machine->config->vps ||
	    (!leads(machine) && saved->memory != machine->config->memory)) {
		snprintf(what, sizeof(what),
			 "the machine that was saved has %u VPs and %llu MiB: give it these",
			 saved->vps, (unsigned long long)(saved->memory >> 20));
		return refuse(machine, what);
	}
	if (leads(machine)) {
		return check_bounds(machine) && is_of_generation(machine);
	}
	if (saved->memory_maximum != machine->config->memory_maximum) {
		snprintf(what, sizeof(what),
			 "the machine that was saved could have %llu MiB: give it that as "
			 "--memory-maximum",
			 (unsigned long long)(saved->memory_maximum >> 20));
		return refuse(machine, what);
	}
	return is_of_generation(machine);
}

static bool check_controllers(const struct machine *machine)
{
	const struct saved *saved = machine->saved;
	bool same = saved->scsi == (machine->disks.scsi != NULL);
	unsigned int i;

	for (i = 0; i < CONFIG_IDE_MAX; i++) {
		same &= saved->ide[i] == (machine->disks.ide[i] != NULL);
	}
	return same || refuse(machine, "the machine that was saved has other controllers: give it "
				       "the same disks, and --control if it had one");
}

static bool read_array(const struct machine *machine, const char *path, uint32_t most, void **to,
		       uint32_t *size)
{
	int ret = hvs_get_size(machine->saved->file, path, size);

	if (ret != 0 || *size > most) {
		return refuse(machine, ret == -ENOENT ? "it is no saved state of this worker's"
						      : "it is damaged");
	}
	*to = malloc(*size + 1);
	ret = *to != NULL ? hvs_get_array(machine->saved->file, path, *to, *size) : -ENOMEM;
	return ret == 0 || refuse_error(machine, ret);
}

/* What it says of the machine. */
static bool read_beginning(struct machine *machine)
{
	struct saved *saved = machine->saved;
	struct state_reader list;
	struct state_fault fault;

	list = state_reader(saved->list, saved->list_size, &fault);
	read_machine(saved, &list);
	if (!state_ok(&list)) {
		return refuse_part(machine, &fault);
	}
	machine->boot.no_flush_calls = saved->no_flush_calls;
	return check_machine(machine);
}

static bool read_list(struct machine *machine)
{
	struct saved *saved = machine->saved;
	uint32_t size;

	if (!read_array(machine, KEY_LIST, SAVE_LIST_MAX, (void **)&saved->list,
			&saved->list_size) ||
	    !read_array(machine, KEY_CHECKSUMS, UINT32_MAX - 1, (void **)&saved->sums, &size)) {
		return false;
	}
	if (size < sizeof(saved->sums[0]) || saved->sums[size / sizeof(saved->sums[0]) - 1] !=
						     sum_of(saved->list, saved->list_size)) {
		return refuse(machine, "its list of parts is damaged");
	}
	return read_beginning(machine) &&
	       (size == (saved->memory_maximum / HVS_BLOCK_BYTES + 1) * sizeof(saved->sums[0]) ||
		refuse(machine, "its list of checksums is damaged"));
}

static bool create_saved(struct machine *machine, const char *option, const char *path)
{
	machine->saved = calloc(1, sizeof(*machine->saved));
	if (machine->saved == NULL) {
		say("%s: %s", option, strerror(ENOMEM));
		return false;
	}
	machine->saved->fd = -1;
	snprintf(machine->saved->from, sizeof(machine->saved->from), "%s %s", option, path);
	return true;
}

bool saved_adopt(struct machine *machine, uint8_t *list, uint32_t size)
{
	uint64_t added[MEMORY_ADDED];

	if (!create_saved(machine, "--receive", machine->config->receive.path)) {
		free(list);
		return false;
	}
	machine->saved->list = list;
	machine->saved->list_size = size;
	memory_get_added(&machine->memory, added);
	return read_beginning(machine) &&
	       (memcmp(added, machine->saved->added, sizeof(added)) == 0 ||
		refuse(machine, "memory was added, or taken away, since it was offered"));
}

bool saved_open(struct machine *machine, struct config *config)
{
	const struct config_file *from = &machine->config->restore;
	struct saved *saved;
	const char *why;
	char what[160];
	int ret;

	if (!create_saved(machine, "--restore", from->path)) {
		return false;
	}
	saved = machine->saved;
	saved->fd = from->fd >= 0 ? from->fd : open(from->path, O_RDONLY | O_CLOEXEC);
	if (saved->fd < 0) {
		return refuse_error(machine, -errno);
	}
	ret = hvs_open(saved->fd, &saved->file, &why);
	if (ret == -EINVAL) {
		snprintf(what, sizeof(what), "it is no saved state, or a damaged one: it %s", why);
		return refuse(machine, what);
	}
	if (ret != 0) {
		return refuse_error(machine, ret);
	}
	if (!read_list(machine)) {
		return false;
	}
	if (leads(machine)) {
		keep_memory(machine, config);
	}
	return true;
}

bool saved_load_memory(struct machine *machine)
{
	struct memory_work work = {
		.machine = machine, .file = machine->saved->file, .sums = machine->saved->sums};
	char what[160];
	int ret;

	if (!memory_set_added(&machine->memory, machine->saved->added)) {
		return refuse(machine, "memory was added where it cannot be");
	}
	ret = run_blocks(&work, load_blocks);

	if (ret == -EINVAL || ret == -ENOENT) {
		snprintf(what, sizeof(what), "its memory at 0x%llx is %s",
			 (unsigned long long)save_block_gpa(machine, work.failed_block),
			 ret == -ENOENT ? "missing" : "damaged");
		return refuse(machine, what);
	}
	return ret == 0 || refuse_error(machine, ret);
}

/* Partition and VPs. 0, -errno; of -EINVAL the list's fault says why. */
static int load_processors(struct machine *machine, struct state_reader *list)
{
	int ret = backend_partition_restore(machine->partition, list);
	unsigned int i;

	for (i = 0; i < machine->config->vps && ret == 0; i++) {
		ret = backend_vp_restore(machine->vps[i].vp, list);
	}
	return ret;
}

static int load_controllers(struct machine *machine, struct state_reader *list)
{
	unsigned int i;
	int ret = 0;

	if (machine->disks.scsi != NULL) {
		ret = storage_load(machine->disks.scsi, list);
	}
	for (i = 0; i < CONFIG_IDE_MAX && ret == 0; i++) {
		if (machine->disks.ide[i] != NULL) {
			ret = storage_load(machine->disks.ide[i], list);
		}
	}
	return ret;
}

bool saved_address(const struct machine *machine, const uint8_t instance[16], uint8_t mac[6])
{
	const struct saved *saved = machine->saved;
	struct state_fault fault;
	struct state_reader list, part;
	uint8_t its[16];

	if (saved == NULL) {
		return false;
	}
	list = state_reader(saved->list, saved->list_size, &fault);
	while (state_next(&list, &part)) {
		if (strcmp(part.name, "network") != 0) {
			continue;
		}
		network_read_identity(&part, its, mac);
		if (state_ok(&part) && memcmp(its, instance, sizeof(its)) == 0) {
			return true;
		}
	}
	return false;
}

bool saved_nic_address(const struct machine *machine, unsigned int nic, uint8_t mac[6])
{
	const struct saved *saved = machine->saved;
	struct state_fault fault;
	struct state_reader list, board, part;

	if (saved == NULL) {
		return false;
	}
	list = state_reader(saved->list, saved->list_size, &fault);
	while (state_next(&list, &board)) {
		if (strcmp(board.name, "board") != 0) {
			continue;
		}
		while (state_next(&board, &part)) {
			if (strcmp(part.name, "tulip") == 0 && nic-- == 0) {
				state_bytes(&part, mac, 6); /* it begins with that */
				return state_ok(&part);
			}
		}
	}
	return false;
}

/* As many as there were, at the same places: a part that is missing is refused, as is one that is
 * left over. */
static int load_adapters(struct machine *machine, struct state_reader *list)
{
	unsigned int i;
	int ret = 0;

	for (i = 0; i < CONFIG_NETWORKS_MAX && ret == 0; i++) {
		if (machine->networks.places[i].network != NULL) {
			ret = network_load(machine->networks.places[i].network, list);
		}
	}
	return ret;
}

/* What the root had it has again: it is all zeros. */
static int load_away(struct machine *machine, struct state_reader *list)
{
	struct state_reader part;
	uint64_t gpa, length;
	int ret = 0;

	if (!state_next_named(list, "away", AWAY_VERSION, &part)) {
		return state_ok(list) ? 0 : -EINVAL;
	}
	while (state_left(&part) > 0 && ret != -EINVAL) {
		gpa = state_u64(&part);
		for (length = state_u64(&part); length > 0 && ret != -EINVAL;
		     length -= length < MEMORY_UNIT ? length : MEMORY_UNIT) {
			ret = memory_give_back(&machine->memory, gpa); /* if not now, never */
			gpa += MEMORY_UNIT;
		}
	}
	if (ret == -EINVAL) {
		state_refuse(&part, "names memory that is none");
	}
	state_finish(&part);
	return state_ok(&part) ? 0 : -EINVAL;
}

/* Time stands in the partition, and VMBus. */
static int load_parts(struct machine *machine, struct state_reader *list)
{
	struct state_reader board;
	int ret = load_away(machine, list);

	if (ret == 0) {
		ret = identity_load(machine, list);
	}
	if (ret == 0) {
		ret = load_processors(machine, list);
	}
	if (ret != 0) {
		return ret;
	}
	board = *list;
	board_check(&machine->board, list);
	if (!state_ok(list)) {
		return -EINVAL;
	}
	board_load(&machine->board, &board);
	ret = screen_load(machine, list);
	if (ret == 0) {
		ret = tpm_load(&machine->tpm, list);
	}
	if (ret == 0) {
		ret = load_controllers(machine, list);
	}
	if (ret == 0) {
		ret = load_adapters(machine, list);
	}
	if (ret == 0 && machine->balloon != NULL) {
		ret = balloon_load(machine->balloon, list);
	}
	if (ret == 0 && machine->balloon != NULL && machine->led_minimum != 0) {
		balloon_set_bounds(machine->balloon, machine->led_minimum / MEMORY_PAGE,
				   machine->led_maximum / MEMORY_PAGE);
	}
	if (ret == 0 && machine->keyboard != NULL) {
		ret = input_load(machine->keyboard, list);
	}
	if (ret == 0 && machine->mouse != NULL) {
		ret = input_load(machine->mouse, list);
	}
	if (ret == 0) {
		ret = integration_load(machine->integration, list);
	}
	if (ret == 0) {
		ret = sockets_load(machine->sockets, list);
	}
	if (ret == 0) {
		ret = vmbus_load(machine->bus, list);
	}
	if (ret == 0 && state_left(list) > 0) {
		state_refuse(list, "has parts that this worker does not know");
		ret = -EINVAL;
	}
	return ret;
}

bool saved_load(struct machine *machine)
{
	struct saved *saved = machine->saved;
	struct state_fault fault;
	struct state_reader list = state_reader(saved->list, saved->list_size, &fault);
	int ret;

	if (!check_controllers(machine)) {
		return false;
	}
	read_machine(saved, &list); /* was good when it was opened */
	ret = machine_stand(machine);
	if (ret != 0) {
		return refuse_error(machine, ret);
	}
	ret = load_parts(machine, &list);
	if (ret == 0) {
		/* A file can be loaded twice; what was moved here is nowhere else. */
		ret = machine->arrival != NULL ? identity_moved(machine)
					       : identity_restored(machine);
	}
	if (ret == -EINVAL && fault.what != NULL) {
		return refuse_part(machine, &fault);
	}
	if (ret != 0) {
		return refuse_error(machine, ret);
	}
	atomic_store(&machine->crashed, saved->crashed);
	machine->resets = saved->resets;
	return true;
}

void saved_close(struct machine *machine)
{
	struct saved *saved = machine->saved;

	if (saved == NULL) {
		return;
	}
	if (saved->file != NULL) {
		hvs_close(saved->file);
	}
	if (saved->fd >= 0) {
		close(saved->fd);
	}
	free(saved->list);
	free(saved->sums);
	free(saved);
	machine->saved = NULL;
}
