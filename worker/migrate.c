/*
 * See migrate.h. A job with two threads, one after the other: the first copies while the machine
 * runs, and has it paused; when it stands the second sends the rest. In between, and at the end, is
 * the main thread.
 *
 *   copy_work() --VPs stand--> settle() --all stands--> hand_over() --> settle() --> finish()
 *
 * Letters as in machine.h; [T] of the thread that runs, one at a time.
 */
#include "worker/migrate.h"

#include <errno.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <unistd.h>

#include <zlib.h>

#include "hosted/clock.h"
#include "hvs/hvs.h"
#include "lib/state.h"
#include "vmbus/vmbus.h"
#include "vsp/socket/socket.h"
#include "worker/assigned.h"
#include "worker/carry.h"
#include "worker/control.h"
#include "worker/job.h"
#include "worker/machine.h"
#include "worker/offer.h"
#include "hosted/owner.h"
#include "worker/save.h"
#include "worker/say.h"
#include "worker/wire.h"

#define BITMAP_BYTES   (HVS_BLOCK_PAGES / 8)
#define SCAN_BLOCKS    512u /* whose pages are asked for at once: 16 KiB of bits */
#define ANSWER_SECONDS 30u
#define SEND_SECONDS   30u
#define RUN_SECONDS    60u  /* which a target has from END on */
#define FLUSH_SECONDS  600u /* a disk may take its time */
#define ROUNDS_IN_VAIN 3u
#define RETRY_NS       100000000

struct migration {
	struct machine *machine; /* [I] */
	struct job *job;         /* [I] */
	struct migrate_request request;
	struct carrier carrier;           /* [T] of its disks, if they come along */
	struct wire wire;                 /* [T] */
	uint8_t token[OWNER_TOKEN_BYTES]; /* [I] */
	uint64_t blocks;                  /* [I] */
	uint8_t *
		pending; /* [T] a bit for each page that the target does not have as it is, by block */
	uint8_t *packed; /* [T] one block */
	uint8_t *list;   /* [T] */
	uint32_t list_size;
	_Atomic uint64_t left; /* [a] pages that are pending */
	/* [T] what was sent, for the job's answer. */
	uint64_t rounds, pages;
	uint64_t paused_at, downtime_ns; /* CLOCK_MONOTONIC; of the guest */
	bool first;              /* [T] round: what is all zeros is so at the target already */
	bool logged;             /* [T] the log of pages is kept */
	bool let_go;             /* [T] the adapters are without their switches */
	bool asking;             /* [T] the target may have all that it needs to run */
	bool gone;               /* [T] it is the target's */
	pthread_t second;        /* [M] */
	bool has_second;         /* [M] */
	atomic_bool second_over; /* [a] */
	int result;              /* [T] the second's, then [M] */
};

static bool is_given_up(void *user)
{
	struct migration *m = user;

	return job_cancelled(m->job) || atomic_load(&m->machine->stop) != STOP_NONE;
}

static int fail(struct migration *m, int ret, const char *what, const char *why)
{
	snprintf(m->job->error.text, sizeof(m->job->error.text),
		 "the machine was not moved: %.60s%.400s", what, why);
	return ret;
}

static int fail_send(struct migration *m, int ret)
{
	return fail(m, ret, "the connection: ",
		    ret == -EPIPE       ? "it was cut"
		    : ret == -ETIMEDOUT ? "the target takes nothing more"
					: strerror(-ret));
}

/* ---- Beforehand ---- */

const char *migrate_obstacle(struct machine *machine)
{
	return tpm_is_gone(&machine->tpm) ? TPM_IS_GONE : assigned_obstacle(machine);
}

/* What the target answers, or says by itself: it does not go on then. */
static int receive_answer(struct migration *m, enum wire_type wanted, unsigned int seconds)
{
	struct wire_frame *frame = malloc(sizeof(*frame));
	char text[sizeof(m->job->error.text) - 64];
	int ret = frame != NULL ? wire_receive(&m->wire, frame, seconds) : -ENOMEM;

	if (ret != 0) {
		ret = ret == -ETIMEDOUT ? fail(m, ret, "the target does not answer", "")
					: fail_send(m, ret);
	} else if (frame->type == WIRE_FAILED) {
		wire_text(frame, text, sizeof(text));
		ret = fail(m, -EREMOTEIO, "the target says: ", text);
	} else if (frame->type != wanted) {
		ret = fail(m, -EPROTO, "the target says what was not asked", "");
	}
	free(frame);
	return ret;
}

static int say_hello(struct migration *m)
{
	struct wire_hello hello = {.lowest = m->request.disks ? WIRE_DISKS : 1,
				   .highest = WIRE_VERSION};
	uint8_t bytes[4096];
	struct state_writer writer = state_writer(bytes, sizeof(bytes));
	struct offer offer;
	struct iovec parts[2] = {{&hello, sizeof(hello)}, {bytes, 0}};
	int ret;

	job_step(m->job, "asking the target");
	offer_of_machine(&offer, m->machine);
	if (m->request.disks) {
		carry_offer(m->machine, &offer);
	}
	offer_write(&offer, &writer);
	CHECK(state_fits(&writer));
	parts[1].iov_len = writer.used;
	memcpy(hello.token, m->token, sizeof(hello.token));
	ret = owner_begin(m->request.owner, m->token);
	if (ret != 0) {
		return fail(m, ret, "the owner file: ",
			    ret == -EINVAL   ? "something else is in it; give an empty one"
			    : ret == -ESTALE ? "it is that of a migration that has ended"
					     : strerror(-ret));
	}
	ret = wire_send(&m->wire, WIRE_HELLO, parts, 2, SEND_SECONDS);
	return ret != 0 ? fail_send(m, ret) : receive_answer(m, WIRE_YES, ANSWER_SECONDS);
}

/* ---- Pages ---- */

static uint8_t *bits_of(const struct migration *m, uint64_t block)
{
	return m->pending + block * BITMAP_BYTES;
}

static bool any_bit(const uint8_t *bits)
{
	static const uint8_t none[BITMAP_BYTES];

	return memcmp(bits, none, sizeof(none)) != 0;
}

static uint64_t count_pending(const struct migration *m)
{
	uint64_t i, count = 0;

	for (i = 0; i < m->blocks * BITMAP_BYTES; i++) {
		count += (unsigned int)__builtin_popcount(m->pending[i]);
	}
	return count;
}

static void mark_all(struct migration *m)
{
	uint64_t block;

	for (block = 0; block < m->blocks; block++) {
		if (save_block_is_there(m->machine, block)) {
			memset(bits_of(m, block), 0xff, BITMAP_BYTES);
		}
	}
	atomic_store(&m->left, count_pending(m));
}

/* Blocks whose addresses follow each other, and as many bits as fit. */
static uint64_t run_length(const struct migration *m, uint64_t block)
{
	uint64_t gpa = save_block_gpa(m->machine, block), count = 1;

	while (count < SCAN_BLOCKS && block + count < m->blocks &&
	       save_block_gpa(m->machine, block + count) == gpa + count * HVS_BLOCK_BYTES) {
		count++;
	}
	return count;
}

/* What was written since it was last asked for. */
static int collect(struct migration *m)
{
	uint8_t bits[SCAN_BLOCKS * BITMAP_BYTES];
	uint64_t block, count, i;
	int ret = 0;

	for (block = 0; block < m->blocks && ret == 0; block += count) {
		count = run_length(m, block);
		ret = memory_dirty(&m->machine->memory, m->machine->partition,
				   save_block_gpa(m->machine, block), count * HVS_BLOCK_BYTES,
				   bits);
		for (i = 0; i < count * BITMAP_BYTES; i++) {
			bits_of(m, block)[i] |= bits[i];
		}
	}
	atomic_store(&m->left, count_pending(m));
	return ret == 0
		       ? 0
		       : fail(m, ret, "which pages the guest writes is not told: ", strerror(-ret));
}

static bool is_zero(const uint8_t *page)
{
	return page[0] == 0 && memcmp(page, page + 1, MEMORY_PAGE - 1) == 0;
}

/* The pages of a block that are pending, packed; how many of them are in it. Their bits are cleared
 * before they are read. */
static unsigned int pack_pending(struct migration *m, uint64_t block, struct wire_pages *pages,
				 uint32_t *size)
{
	uint64_t gpa = save_block_gpa(m->machine, block);
	struct hvs_packer packer;
	unsigned int i, count = 0;

	*pages = (struct wire_pages){.block = block};
	memcpy(pages->there, bits_of(m, block), BITMAP_BYTES);
	memset(bits_of(m, block), 0, BITMAP_BYTES);
	hvs_pack_begin(&packer, m->packed);
	for (i = 0; i < HVS_BLOCK_PAGES; i++, gpa += MEMORY_PAGE) {
		uint8_t *bits = &pages->there[i / 8], bit = (uint8_t)(1u << i % 8);
		uint8_t page[MEMORY_PAGE]; /* a copy: the guest may write meanwhile */
		/* What the root has is not brought back to be sent: the list of parts says that it
		 * is away. */
		bool there = *bits & bit && !memory_is_away(&m->machine->memory, gpa) &&
			     memory_get(&m->machine->memory, gpa, page, sizeof(page));

		if (!there || (m->first && is_zero(page))) {
			*bits &= (uint8_t)~bit;
			hvs_pack_zeros(&packer);
		} else {
			hvs_pack_page(&packer, page);
			count++;
		}
	}
	*size = hvs_pack_end(&packer, m->packed);
	return count;
}

static int send_block(struct migration *m, uint64_t block)
{
	struct wire_pages pages;
	struct iovec parts[2] = {{&pages, sizeof(pages)}, {m->packed, 0}};
	uint64_t before = 0;
	unsigned int i, count;
	uint32_t size;

	for (i = 0; i < BITMAP_BYTES; i++) {
		before += (unsigned int)__builtin_popcount(bits_of(m, block)[i]);
	}
	count = pack_pending(m, block, &pages, &size);
	atomic_fetch_sub(&m->left, before);
	if (count == 0) {
		return 0;
	}
	m->pages += count;
	parts[1].iov_len = size;
	return wire_send(&m->wire, WIRE_PAGES, parts, 2, SEND_SECONDS);
}

/* Between two frames. */
static int look_up(void *user)
{
	struct migration *m = user;
	int ret;

	if (is_given_up(m)) {
		return -ECANCELED;
	}
	if (wire_is_readable(&m->wire)) { /* nothing good */
		ret = receive_answer(m, WIRE_RUNS, ANSWER_SECONDS);
		return ret != 0 ? ret : fail(m, -EPROTO, "the target says what was not asked", "");
	}
	return 0;
}

/* ---- Disks that come along ---- */

static int fail_disks(struct migration *m, int ret)
{
	return ret == 0 || m->job->error.text[0] != '\0' ? ret
	       : m->carrier.reading                      ? fail(m, ret, "", m->carrier.why)
							 : fail_send(m, ret);
}

/* As it takes its time, it is waited for while the guest runs. */
static int flush_disks(struct migration *m)
{
	int ret = wire_send(&m->wire, WIRE_FLUSH, NULL, 0, SEND_SECONDS);

	return ret != 0 ? fail_send(m, ret) : receive_answer(m, WIRE_FLUSHED, FLUSH_SECONDS);
}

static int send_disks(struct migration *m)
{
	int ret;

	m->carrier.machine = m->machine;
	m->carrier.wire = &m->wire;
	m->carrier.between = look_up;
	m->carrier.user = m;
	job_step(m->job, "copying the disks");
	ret = carrier_begin(&m->carrier);
	if (ret != 0) {
		return fail(m, ret, "its disks: ", strerror(-ret));
	}
	ret = fail_disks(m, carrier_send_all(&m->carrier));
	return ret != 0 ? ret : flush_disks(m);
}

/* What is to be sent, as pages; how much was, since. */
static uint64_t all_left(const struct migration *m)
{
	return atomic_load(&m->left) +
	       (m->request.disks ? carrier_left(&m->carrier) / MEMORY_PAGE : 0);
}

static uint64_t all_sent(const struct migration *m)
{
	return m->pages + m->carrier.sent / MEMORY_PAGE;
}

/* ---- Rounds ---- */

static int send_pending(struct migration *m)
{
	uint64_t block;
	int ret = m->request.disks ? fail_disks(m, carrier_send_changes(&m->carrier)) : 0;

	if (ret != 0) {
		return ret;
	}
	for (block = 0; block < m->blocks && ret == 0; block++) {
		if (!any_bit(bits_of(m, block))) {
			continue;
		}
		ret = look_up(m);
		if (ret != 0) {
			return ret;
		}
		ret = send_block(m, block);
		if (ret != 0) {
			return fail_send(m, ret);
		}
		control_notify(m->machine);
	}
	m->first = false;
	m->rounds++;
	return 0;
}

/* Rounds until what is left takes no longer than the guest may stand, or does not become less. */
static int send_rounds(struct migration *m)
{
	unsigned int in_vain = 0;
	uint64_t least = UINT64_MAX;

	for (;;) {
		uint64_t begin = clock_ns(CLOCK_MONOTONIC), pages = all_sent(m), took, left;
		int ret = send_pending(m);

		if (ret == 0 && m->request.disks) {
			ret = flush_disks(m);
		}
		if (ret == 0) {
			ret = collect(m);
		}
		if (ret != 0) {
			return ret;
		}
		took = clock_ns(CLOCK_MONOTONIC) - begin;
		pages = all_sent(m) - pages;
		left = all_left(m);
		if (left == 0 || pages == 0 || m->rounds >= m->request.rounds ||
		    took / pages * left <= m->request.downtime_ms * 1000000) {
			return 0;
		}
		in_vain = left < least ? 0 : in_vain + 1;
		least = left < least ? left : least;
		if (in_vain == ROUNDS_IN_VAIN) {
			return 0;
		}
		job_step(m->job, "copying what the guest has written meanwhile");
	}
}

/* The first thread. The machine runs, until it is to stand. */
static int copy_work(struct job *job)
{
	struct migration *m = job->subject;
	int ret = say_hello(m);

	if (ret == 0 && m->request.disks) {
		ret = send_disks(m);
	}
	if (ret != 0) {
		return ret;
	}
	job_step(job, "copying the memory");
	ret = memory_log_start(&m->machine->memory, m->machine->partition);
	if (ret != 0) {
		return fail(m, ret, "which pages the guest writes is not told: ", strerror(-ret));
	}
	m->logged = true;
	m->first = true;
	mark_all(m);
	ret = send_rounds(m);
	if (ret != 0) {
		return ret;
	}
	job_step(job, "pausing the guest");
	m->paused_at = clock_ns(CLOCK_MONOTONIC);
	ret = machine_pause_vps(m->machine, job);
	return ret != 0 ? fail(m, ret, "the guest does not stand: ", strerror(-ret)) : 0;
}

/* ---- The hand-over ---- */

static int send_list(struct migration *m)
{
	struct wire_end end = {.size = m->list_size,
			       .crc = (uint32_t)crc32(0, m->list, m->list_size)};
	struct iovec part;
	uint32_t at = 0;
	int ret = 0;

	while (at < m->list_size && ret == 0) {
		part = (struct iovec){m->list + at, m->list_size - at};
		part.iov_len = part.iov_len < WIRE_PIECE ? part.iov_len : WIRE_PIECE;
		at += (uint32_t)part.iov_len;
		ret = wire_send(&m->wire, WIRE_LIST, &part, 1, SEND_SECONDS);
	}
	if (ret != 0) {
		return ret;
	}
	/* From the first byte of it on. */
	m->asking = true;
	part = (struct iovec){&end, sizeof(end)};
	return wire_send(&m->wire, WIRE_END, &part, 1, SEND_SECONDS);
}

static void tell_owner(struct migration *m, enum owner whose)
{
	uint32_t said = whose;
	const struct iovec part = {&said, sizeof(said)};

	(void)!wire_send(&m->wire, WIRE_OWNER, &part, 1, SEND_SECONDS);
}

/* Where the file is ours alone the target's name is put in by us, when it asks. Whether it has
 * heard that it says by running. */
static int answer_target(struct migration *m)
{
	int ret = receive_answer(m, WIRE_ASK, FLUSH_SECONDS);
	enum owner whose;
	bool last;

	if (ret != 0) {
		return ret;
	}
	ret = owner_ask(m->request.owner, m->token, OWNER_TARGET, &whose);
	if (ret != 0 || whose != OWNER_TARGET) {
		return fail(m, ret != 0 ? ret : -EPROTO, "the owner file: ", strerror(-ret));
	}
	tell_owner(m, whose);
	ret = receive_answer(m, WIRE_RUNS, RUN_SECONDS);
	return ret != 0 ? ret : owner_end(m->request.owner, OWNER_TARGET, &last);
}

/* All that the target needs. What is answered first, in the list, may be in guest memory, so that
 * comes before the pages. */
static int send_rest(struct migration *m)
{
	struct disk_error error;
	int ret = save_list(m->machine, &m->list, &m->list_size);

	if (ret != 0) {
		return fail(m, ret, "its state: ", strerror(-ret));
	}
	ret = collect(m);
	if (ret == 0) {
		ret = send_pending(m);
	}
	if (ret != 0) {
		return ret;
	}
	if (!m->request.disks) {
		job_step(m->job, "letting go of the disks");
		ret = disks_let_go(m->machine, &error);
		if (ret != 0) {
			return fail(m, ret, "", error.text);
		}
	}
	m->let_go = true;
	networks_let_go(m->machine);
	job_step(m->job, "handing over");
	ret = send_list(m);
	return ret != 0           ? fail_send(m, ret)
	       : m->request.disks ? answer_target(m)
				  : receive_answer(m, WIRE_RUNS, RUN_SECONDS);
}

static void rest(void)
{
	static const struct timespec moment = {.tv_nsec = RETRY_NS};

	nanosleep(&moment, NULL);
}

/*
 * Whatever the target said or did not say. Until it is known whose the machine is it stands; who
 * turns it off then has to look at the target.
 */
static bool is_target_s(struct migration *m)
{
	enum owner whose = OWNER_NOBODY;

	while (owner_ask(m->request.owner, m->token, OWNER_SOURCE, &whose) != 0) {
		job_step(m->job, "the owner file does not say whose the machine is");
		if (atomic_load(&m->machine->stop) != STOP_NONE) {
			return false;
		}
		rest();
	}
	return whose == OWNER_TARGET;
}

/* A target that has not got the machine has ended, or does so. */
static void take_back(struct migration *m)
{
	struct disk_error error;

	if (m->request.disks) {
		return; /* they were not let go of: nobody else has them */
	}
	while (disks_take_back(m->machine, &error) != 0) {
		job_step(m->job, "waiting for the target to let go of the disks");
		if (atomic_load(&m->machine->stop) != STOP_NONE) {
			return;
		}
		rest();
	}
}

/* The second thread. The machine stands. */
static void *hand_over(void *argument)
{
	struct migration *m = argument;

	m->result = send_rest(m);
	if (m->asking) {
		m->gone = is_target_s(m);
	}
	if (m->gone) {
		m->result = 0;
		m->downtime_ns = clock_ns(CLOCK_MONOTONIC) - m->paused_at;
	} else {
		if (m->asking && m->request.disks) {
			tell_owner(m, OWNER_SOURCE);
		}
		take_back(m);
	}
	atomic_store(&m->second_over, true);
	job_wake(m->job);
	return NULL;
}

/* ---- The main thread ---- */

/* False: not yet. */
static bool begin_second(struct migration *m)
{
	struct machine *machine = m->machine;
	int ret = atomic_load(&machine->stop) != STOP_NONE ? -ECANCELED
							   : machine_settle_pause(machine, m->job);

	if (ret == -EAGAIN) {
		return false;
	}
	if (ret == 0) {
		machine_paused(machine);
		/* Connections do not move: they end, here and in the guest. */
		sockets_stand(machine->sockets, true);
		vmbus_settle(machine->bus);
		ret = pthread_create(&m->second, NULL, hand_over, m);
		m->has_second = ret == 0;
		if (ret != 0) {
			ret = fail(m, -ret, "no thread for it: ", strerror(ret));
		}
	}
	m->result = ret;
	return !m->has_second;
}

static bool settle(struct job *job)
{
	struct migration *m = job->subject;

	if (!m->has_second) {
		if (!begin_second(m)) {
			return false;
		}
	} else if (!atomic_load(&m->second_over)) {
		return false;
	} else {
		pthread_join(m->second, NULL);
	}
	job->result = m->result;
	return true;
}

static json_t *answer_of(const struct migration *m)
{
	return json_pack("{s:I, s:I, s:I, s:I, s:I}", "rounds", (json_int_t)m->rounds, "pages",
			 (json_int_t)m->pages, "disk-bytes", (json_int_t)m->carrier.sent, "bytes",
			 (json_int_t)m->wire.sent, "downtime-us",
			 (json_int_t)(m->downtime_ns / 1000));
}

/* Each adapter has its switch again, as by network.connect; what becomes of that is told as of any
 * job. */
static void connect_switches(struct migration *m)
{
	struct machine *machine = m->machine;
	struct migrate_request *request = &m->request;
	unsigned int i, used = 0;

	networks_serve(machine); /* they are lost, as when a switch ends */
	for (i = 0; i < CONFIG_NETWORKS_MAX && used < request->switch_count; i++) {
		struct job *job;

		if (!networks_has(machine, i)) {
			continue;
		}
		job = job_new(m->job->jobs, CONTROL_NET_CONNECT, JOB_OF_ADAPTER, (int)i);
		if (job == NULL || networks_prepare(machine, job, NETWORKS_CONNECT, NULL,
						    request->switches[used]) != 0) {
			say("adapter %u: it stays without its switch; see vmctl net connect", i);
			close(request->switches[used++]);
			continue;
		}
		used++;
		job_start(job);
	}
	request->switch_count = 0; /* they are those jobs' */
}

/* A machine that has gone comes to its end here, whatever else it was about to do; another one goes
 * on. */
static void finish(struct job *job)
{
	struct migration *m = job->subject;
	struct machine *machine = m->machine;
	unsigned int i;

	machine->migration = NULL;
	if (m->carrier.bytes != NULL) {
		carrier_end(&m->carrier);
	}
	if (m->logged) {
		memory_log_stop(&machine->memory, machine->partition);
	}
	if (m->gone) {
		job->answer = answer_of(m);
		job->drop = services_drop_answer;
		machine->off = false;
		atomic_store(&machine->stop, STOP_MOVED);
		eventfd_write(machine->stop_event, 1);
	}
	machine_release(machine);
	if (!m->gone && atomic_load(&machine->stop) == STOP_NONE) {
		sockets_stand(machine->sockets, false);
		(void)machine_resume(machine);
		if (m->let_go) {
			connect_switches(m);
		}
	}
	for (i = 0; i < m->request.switch_count; i++) {
		close(m->request.switches[i]);
	}
	close(m->request.fd);
	close(m->request.owner);
	free(m->pending);
	free(m->packed);
	free(m->list);
	free(m);
}

int migrate_prepare(struct machine *machine, struct job *job, const struct migrate_request *request)
{
	struct migration *m = calloc(1, sizeof(*m));
	uint64_t blocks = save_block_count(machine);

	if (m == NULL) {
		return -ENOMEM;
	}
	*m = (struct migration){.machine = machine,
				.job = job,
				.request = *request,
				.wire = {.fd = request->fd, .given_up = is_given_up, .user = m},
				.blocks = blocks,
				.pending = calloc(blocks, BITMAP_BYTES),
				.packed = malloc(HVS_PACKED_BYTES)};
	if (m->pending == NULL || m->packed == NULL ||
	    getrandom(m->token, sizeof(m->token), 0) != (ssize_t)sizeof(m->token)) {
		free(m->pending);
		free(m->packed);
		free(m);
		return -ENOMEM;
	}
	job->work = copy_work;
	job->settle = settle;
	job->finish = finish;
	job->subject = m;
	job->total = memory_ram(&machine->memory) + (request->disks ? carry_size(machine) : 0);
	machine->migration = m;
	return 0;
}

void migrate_serve(struct machine *machine)
{
	struct migration *m = machine->migration;
	uint64_t left;

	if (m == NULL) {
		return;
	}
	left = atomic_load(&m->left) * MEMORY_PAGE;
	if (m->request.disks) {
		left += carry_size(machine) - atomic_load(&m->carrier.done);
	}
	if (m->job->state == JOB_RUNNING && left < m->job->total &&
	    job_progress(m->job, m->job->total - left)) {
		control_progress(machine, m->job);
	}
}

void migrate_hurry(struct machine *machine)
{
	if (machine->migration != NULL) {
		job_wake(machine->migration->job);
	}
}
