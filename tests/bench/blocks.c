/*
 * blocks DEVICE MIB: what I/O on a guest's disk costs. The first MIB MiB are written once, so that
 * every block has its place in the host's file; then each pattern below is run with two counts of
 * operations, past this guest's page cache. For each count one line:
 *
 *   blocks: PATTERN COUNT TICKS
 *
 * TICKS are the TSC's; the difference of the two lines is without what a run costs once. Places are
 * the same in every run. The memory is one huge page: how far a guest's pages lie together by
 * chance decides what long requests cost.
 */
#include <err.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <x86intrin.h>

#define MIB       (1ul << 20)
#define DEPTH_MAX 16

struct pattern {
	const char *name;
	bool write, random;
	unsigned bytes, depth, count;
};

static const struct pattern patterns[] = {
	{"read", false, true, 4096, 1, 300},       {"write", true, true, 4096, 1, 300},
	{"deep_read", false, true, 4096, 16, 640}, {"deep_write", true, true, 4096, 16, 640},
	{"stream_read", false, false, MIB, 1, 10}, {"stream_write", true, false, MIB, 1, 10},
};

struct run {
	int file;
	uint64_t region; /* bytes */
	uint64_t next, seed;
	aio_context_t context;
	uint8_t *buffers;
};

static uint64_t place(struct run *run, const struct pattern *pattern)
{
	uint64_t places = run->region / pattern->bytes;

	if (pattern->random) {
		run->seed = run->seed * 6364136223846793005ull + 1442695040888963407ull;
		return (run->seed >> 33) % places * pattern->bytes;
	}
	return run->next++ % places * pattern->bytes;
}

static void start(struct run *run, const struct pattern *pattern, struct iocb *block)
{
	struct iocb *list = block;

	block->aio_offset = (int64_t)place(run, pattern);
	if (syscall(SYS_io_submit, run->context, 1, &list) != 1) {
		err(1, "io_submit");
	}
}

/* As many at once as the pattern says, one more for each that ends. */
static void many(struct run *run, const struct pattern *pattern, unsigned count)
{
	struct iocb blocks[DEPTH_MAX];
	struct io_event ended[DEPTH_MAX];
	unsigned started = 0, done = 0;

	for (; started < pattern->depth; started++) {
		blocks[started] = (struct iocb){
			.aio_data = (uintptr_t)&blocks[started],
			.aio_lio_opcode = pattern->write ? IOCB_CMD_PWRITE : IOCB_CMD_PREAD,
			.aio_fildes = (unsigned)run->file,
			.aio_buf = (uintptr_t)run->buffers + (uint64_t)started * pattern->bytes,
			.aio_nbytes = pattern->bytes,
		};
		start(run, pattern, &blocks[started]);
	}
	while (done < count) {
		long n = syscall(SYS_io_getevents, run->context, 1, DEPTH_MAX, ended, NULL);

		for (long i = 0; i < n; i++, done++) {
			if (ended[i].res != pattern->bytes) {
				errx(1, "%s: %lld", pattern->name, (long long)ended[i].res);
			}
			if (started < count) {
				start(run, pattern, (struct iocb *)(uintptr_t)ended[i].data);
				started++;
			}
		}
	}
}

static void one_by_one(struct run *run, const struct pattern *pattern, unsigned count)
{
	for (unsigned i = 0; i < count; i++) {
		off_t at = (off_t)place(run, pattern);
		ssize_t n = pattern->write ? pwrite(run->file, run->buffers, pattern->bytes, at)
					   : pread(run->file, run->buffers, pattern->bytes, at);

		if (n != (ssize_t)pattern->bytes) {
			err(1, "%s at %llu", pattern->name, (unsigned long long)at);
		}
	}
}

static void carry_out(struct run *run, const struct pattern *pattern, unsigned count)
{
	(pattern->depth > 1 ? many : one_by_one)(run, pattern, count);
}

static void measure(struct run *run, const struct pattern *pattern, unsigned count)
{
	uint64_t begin = __rdtsc();

	carry_out(run, pattern, count);
	printf("blocks: %s %u %llu\n", pattern->name, count,
	       (unsigned long long)(__rdtsc() - begin));
}

int main(int argc, char **argv)
{
	static const struct pattern fill = {"fill", true, false, MIB, 1, 0};
	struct run run = {.seed = 1};

	if (argc != 3) {
		errx(2, "usage: blocks DEVICE MIB");
	}
	run.region = strtoul(argv[2], NULL, 10) * MIB;
	run.file = open(argv[1], O_RDWR | O_DIRECT);
	if (run.file < 0 || syscall(SYS_io_setup, DEPTH_MAX, &run.context) < 0) {
		err(1, "%s", argv[1]);
	}
	run.buffers = mmap(NULL, 2 * MIB, PROT_READ | PROT_WRITE,
			   MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB, -1, 0);
	if (run.buffers == MAP_FAILED) {
		err(1, "a huge page");
	}
	memset(run.buffers, 0x5a, MIB);
	one_by_one(&run, &fill, (unsigned)(run.region / MIB));
	for (size_t i = 0; i < sizeof(patterns) / sizeof(patterns[0]); i++) {
		carry_out(&run, &patterns[i],
			  patterns[i].count); /* what the one before left to do */
		measure(&run, &patterns[i], patterns[i].count);
		measure(&run, &patterns[i], patterns[i].count * 3);
	}
	return 0;
}
