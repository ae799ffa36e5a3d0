/*
 * mshv_torture [SEED [ROUNDS]]: calls on /dev/mshv with valid, boundary and random arguments, from
 * processes that are killed at random moments. Run in the root; exit status 0 when, after each
 * round, the module and the hypervisor hold what they held before, and the kernel has not
 * complained.
 *
 * A child process makes calls at random on whatever descriptors it has: the device, partitions,
 * VPs, eventfds, and files that are none of these. Some of its threads run VPs meanwhile. Arguments
 * are drawn from values at which something changes.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/klog.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/system/mshv.h"

#define FDS_MAX       64
#define MEMORY        (4ul << 20)
#define ARGUMENTS     (64ul << 10)
#define LOG_SIZE      (1 << 20)
#define CALLS_MAX     1000
#define ROUNDS_ENOUGH 50 /* for each kind of call to succeed once */

static uint64_t random_state;

static uint64_t next(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

static uint64_t below(uint64_t limit)
{
	return next() % limit;
}

/* How often each kind of call has succeeded, over all processes: a torture in which nothing works
 * tests nothing. */
enum kind {
	CREATE,
	INITIALIZE,
	CREATE_VP,
	MAP,
	UNMAP,
	HVCALL,
	REGISTERS,
	IRQFD,
	IOEVENTFD,
	SIGNAL_EVENTFD,
	ROUTING,
	MMAP,
	RUN,
	KINDS
};

static unsigned long *succeeded; /* shared by all */
static unsigned long *made;      /* calls that the child has made; shared */

static int note(enum kind kind, int ret)
{
	if (ret >= 0) {
		__atomic_fetch_add(&succeeded[kind], 1, __ATOMIC_RELAXED);
	}
	return ret;
}

/* ---- the child: descriptors, memory, values ---- */

enum fd_kind { FD_DEVICE, FD_PARTITION, FD_VP, FD_EVENT, FD_KINDS };

static struct {
	int fds[FDS_MAX];
	unsigned int count;
} pools[FD_KINDS];
static uint8_t *memory;    /* that can be given to guests */
static uint8_t *arguments; /* for structs; the page after it is not there */

static void keep(enum fd_kind kind, int fd)
{
	if (fd < 0) {
		return;
	}
	if (pools[kind].count < FDS_MAX) {
		pools[kind].fds[pools[kind].count++] = fd;
	} else {
		close(fd);
	}
}

/* Mostly one of that kind. */
static int pick(enum fd_kind kind)
{
	switch (below(32)) {
	case 0:
		return (int)below(1000) - 1;
	case 1:
		kind = (enum fd_kind)below(FD_KINDS);
		break;
	}
	return pools[kind].count ? pools[kind].fds[below(pools[kind].count)] : -1;
}

static int any_fd(void)
{
	return pick((enum fd_kind)below(FD_KINDS));
}

static uint64_t any_pointer(void)
{
	switch (below(8)) {
	case 0:
		return 0;
	case 1:
		return 0xffff800000000000ull; /* the kernel's */
	case 2:
		return (uintptr_t)arguments + ARGUMENTS - below(64); /* runs into nothing */
	case 3:
		return (uintptr_t)memory + below(MEMORY);
	case 4:
		return (uintptr_t)fail; /* read-only */
	default:
		return (uintptr_t)arguments + below(8) * 4096;
	}
}

static uint64_t any_value(void)
{
	static const uint64_t edges[] = {
		0,
		1,
		2,
		3,
		7,
		8,
		0xff,
		0x100,
		0xfff,
		0x1000,
		0x1001,
		0x7fffffff,
		0x80000000,
		0xffffffff,
		0x100000000,
		1ull << 36,
		(1ull << 40) - 1,
		1ull << 40,
		1ull << 52,
		1ull << 63,
		~0ull,
		~0ull << 12,
	};

	switch (below(8)) {
	case 0:
		return next();
	case 1:
		return any_pointer();
	case 2:
		return (uint64_t)(int64_t)any_fd();
	case 3:
		return next() & next() & next();
	case 4:
	case 5:
		return below(16);
	default:
		return edges[below(sizeof(edges) / sizeof(edges[0]))];
	}
}

static void *any_struct(void)
{
	uint64_t *at = (uint64_t *)(arguments + below(8) * 4096);

	for (size_t i = 0; i < 16; i++) {
		at[i] = any_value();
	}
	return at;
}

/* ---- calls ---- */

static void call_anything(void)
{
	static const unsigned long requests[] = {
		MSHV_CREATE_PARTITION,
		MSHV_ROOT_HVCALL,
		MSHV_INITIALIZE_PARTITION,
		MSHV_CREATE_VP,
		MSHV_SET_GUEST_MEMORY,
		MSHV_IRQFD,
		MSHV_IOEVENTFD,
		MSHV_SET_MSI_ROUTING,
		MSHV_RUN_VP,
		MSHV_GET_GPAP_ACCESS_BITMAP,
		MSHV_GET_VP_STATE,
		MSHV_SET_VP_STATE,
		MSHV_VD_SIGNAL_EVENTFD,
	};
	unsigned long request = requests[below(sizeof(requests) / sizeof(requests[0]))];
	void *argument = below(8) ? any_struct() : (void *)(uintptr_t)any_pointer();
	int ret;

	if (!below(16)) {
		request = (unsigned long)any_value();
	}
	ret = ioctl(any_fd(), request, argument);
	/* What comes back is a descriptor, of the calls that make one. */
	if (ret > 2 && request == MSHV_CREATE_PARTITION) {
		keep(FD_PARTITION, ret);
	} else if (ret > 2 && request == MSHV_CREATE_VP) {
		keep(FD_VP, ret);
	}
}

static void call_create(void)
{
	struct mshv_create_partition *create = any_struct();

	create->pt_flags = below(1 << MSHV_PT_BIT_COUNT);
	create->pt_isolation = 0;
	keep(FD_PARTITION, note(CREATE, ioctl(pick(FD_DEVICE), MSHV_CREATE_PARTITION, create)));
}

static void call_initialize(void)
{
	note(INITIALIZE, ioctl(pick(FD_PARTITION), MSHV_INITIALIZE_PARTITION));
}

static void call_create_vp(void)
{
	struct mshv_create_vp vp = {.vp_index = (uint32_t)below(4)};

	keep(FD_VP, note(CREATE_VP, ioctl(pick(FD_PARTITION), MSHV_CREATE_VP, &vp)));
}

/* To map somewhere, or to unmap what was mapped last or anything. */
static void call_memory(void)
{
	static struct mshv_user_mem_region last;
	const uint64_t offset = below(MEMORY) & ~0xfffull;
	struct mshv_user_mem_region region = {
		.size = below(32) ? 4096 + (below(MEMORY - offset) & ~0xfffull) : any_value(),
		.guest_pfn = below(8) ? below(64) << 8 : any_value(),
		.userspace_addr = (uintptr_t)memory + offset,
		.flags = (uint8_t)below(8),
	};

	if (region.flags & 1 << MSHV_SET_MEM_BIT_UNMAP) {
		if (below(4)) {
			region = last;
		}
		region.flags = 1 << MSHV_SET_MEM_BIT_UNMAP;
		note(UNMAP, ioctl(pick(FD_PARTITION), MSHV_SET_GUEST_MEMORY, &region));
	} else if (note(MAP, ioctl(pick(FD_PARTITION), MSHV_SET_GUEST_MEMORY, &region)) >= 0) {
		last = region;
	}
}

static void call_hvcall(void)
{
	static const uint16_t codes[] = {
		HVCALL_GET_PARTITION_PROPERTY,
		HVCALL_GET_PARTITION_PROPERTY_EX,
		HVCALL_SET_PARTITION_PROPERTY,
		HVCALL_INSTALL_INTERCEPT,
		HVCALL_GET_VP_REGISTERS,
		HVCALL_SET_VP_REGISTERS,
		HVCALL_TRANSLATE_VIRTUAL_ADDRESS,
		HVCALL_CLEAR_VIRTUAL_INTERRUPT,
		HVCALL_REGISTER_INTERCEPT_RESULT,
		HVCALL_ASSERT_VIRTUAL_INTERRUPT,
		HVCALL_GET_GPA_PAGES_ACCESS_STATES,
		HVCALL_SIGNAL_EVENT_DIRECT,
		HVCALL_POST_MESSAGE_DIRECT,
		HVCALL_GET_VP_CPUID_VALUES,
	};
	uint32_t *input = any_struct();
	void *output = below(4) ? arguments + 9 * 4096 : NULL;

	if (below(2)) {
		input[2] = (uint32_t)below(4); /* most have a VP there */
	}
	note(HVCALL, hvcall(pick(below(2) ? FD_PARTITION : FD_VP),
			    codes[below(sizeof(codes) / sizeof(codes[0]))],
			    (uint16_t)(below(2) ? 0 : below(8)), input,
			    (uint16_t)(below(8) ? 8 * below(16) : any_value()), output,
			    (uint16_t)(output != NULL ? below(4097) : 0)));
}

static void call_registers(void)
{
	static const uint32_t bases[] = {0,       0x200,   0x10000, 0x20000, 0x30000,
					 0x40000, 0x50000, 0x60000, 0x70000, 0x80000,
					 0x84800, 0x90000, 0xa0000, 0xb0000};
	struct {
		struct hv_input_set_vp_registers head;
		struct hv_register_assoc elements[4];
	} input = {.head.vp_index = (uint32_t)below(4)};

	for (int i = 0; i < 4; i++) {
		input.elements[i].name =
			bases[below(sizeof(bases) / sizeof(bases[0]))] + (uint32_t)below(32);
		input.elements[i].value.reg128.low_part = any_value();
		input.elements[i].value.reg128.high_part = below(2) ? 0 : any_value();
	}
	note(REGISTERS, hvcall(pick(below(2) ? FD_PARTITION : FD_VP), HVCALL_SET_VP_REGISTERS,
			       (uint16_t)(1 + below(4)), &input, sizeof(input), NULL, 0));
}

static void call_eventfds(void)
{
	struct mshv_user_irqfd irqfd = {.fd = pick(FD_EVENT),
					.resamplefd = pick(FD_EVENT),
					.gsi = (uint32_t)below(8),
					.flags = (uint32_t)below(4)};
	struct mshv_user_ioeventfd bell = {
		.datamatch = below(4),
		.addr = below(2) ? 0xfe000000 + below(64) : any_value(),
		.len = 1u << below(4),
		.fd = pick(FD_EVENT),
		.flags = (uint32_t)below(8),
	};
	struct mshv_vd_signal_eventfd binding = {.connection_id = (uint32_t)below(8),
						 .fd = pick(FD_EVENT),
						 .flags = (uint32_t)below(2)};
	const uint64_t one = 1;

	switch (below(5)) {
	case 0:
		keep(FD_EVENT, eventfd((unsigned int)below(2), EFD_NONBLOCK));
		break;
	case 1:
		note(IRQFD, ioctl(pick(FD_PARTITION), MSHV_IRQFD, &irqfd));
		break;
	case 2:
		note(IOEVENTFD, ioctl(pick(FD_PARTITION), MSHV_IOEVENTFD, &bell));
		break;
	case 3:
		note(SIGNAL_EVENTFD, ioctl(pick(FD_PARTITION), MSHV_VD_SIGNAL_EVENTFD, &binding));
		break;
	default:
		if (write(pick(FD_EVENT), &one, sizeof(one)) < 0) {
			break; /* it need not be an eventfd */
		}
	}
}

static void call_routing(void)
{
	struct {
		struct mshv_user_irq_table head;
		struct mshv_user_irq_entry entries[8];
	} table = {.head.nr = (uint32_t)below(9)};

	for (uint32_t i = 0; i < 8; i++) {
		table.entries[i] = (struct mshv_user_irq_entry){
			.gsi = below(8) ? i : (uint32_t)any_value(),
			.address_lo = 0xfee00000 | (uint32_t)below(4) << 12,
			.address_hi = below(16) ? 0 : 1,
			.data = (uint32_t)(below(256) | below(8) << 8 | below(2) << 15),
		};
	}
	note(ROUTING, ioctl(pick(FD_PARTITION), MSHV_SET_MSI_ROUTING, &table));
}

static void call_mmap(void)
{
	uint8_t *page =
		mmap(NULL, 4096ul << below(2), PROT_READ | PROT_WRITE,
		     below(4) ? MAP_SHARED : MAP_PRIVATE, pick(FD_VP), (long)below(4) * 4096);

	if (page != MAP_FAILED) {
		note(MMAP, 0);
		page[below(4096)] = (uint8_t)next();
		if (below(2)) {
			munmap(page, 4096);
		}
	}
}

/* Partitions while their VPs live, VPs while they run, eventfds while they are bound; not the
 * device. */
static void call_close(void)
{
	const enum fd_kind kind = FD_PARTITION + below(FD_KINDS - FD_PARTITION);
	unsigned int i;

	if (pools[kind].count) {
		i = (unsigned int)below(pools[kind].count);
		close(pools[kind].fds[i]);
		pools[kind].fds[i] = pools[kind].fds[--pools[kind].count];
	}
}

static void nothing(int number)
{
	(void)number;
}

/* Interrupts the calling thread every few milliseconds, so that it stays in no call. */
static void interrupt_thread(void)
{
	struct itimerspec time = {.it_interval = {.tv_nsec = 3000000},
				  .it_value = {.tv_nsec = 3000000}};
	struct sigevent event = {.sigev_notify = SIGEV_THREAD_ID, .sigev_signo = SIGALRM};
	timer_t timer;

	event._sigev_un._tid = gettid();
	EXPECT(!timer_create(CLOCK_MONOTONIC, &event, &timer));
	EXPECT(!timer_settime(timer, 0, &time, NULL));
}

/* With the main thread's descriptors, which it opens and closes meanwhile. */
static void *run_vps(void *unused)
{
	const struct timespec pause = {.tv_nsec = 50000};
	struct mshv_run_vp run;
	unsigned int count, seed = 1;

	interrupt_thread();
	for (;;) {
		count = pools[FD_VP].count;
		if (count) {
			int fd = pools[FD_VP].fds[(unsigned int)rand_r(&seed) % count];

			note(RUN, rand_r(&seed) & 1 ? fdatasync(fd) : ioctl(fd, MSHV_RUN_VP, &run));
		}
		nanosleep(&pause, NULL);
	}
	return unused;
}

_Noreturn static void child(uint64_t seed)
{
	static void (*const calls[])(void) = {
		call_anything,   call_anything,  call_create,   call_initialize,
		call_initialize, call_create_vp, call_memory,   call_memory,
		call_hvcall,     call_registers, call_eventfds, call_eventfds,
		call_routing,    call_mmap,      call_close,    call_hvcall,
	};
	struct sigaction action = {.sa_handler = nothing};
	pthread_t thread;

	random_state = seed;
	sigaction(SIGALRM, &action, NULL);
	interrupt_thread();
	memory = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	arguments = mmap(NULL, ARGUMENTS + 4096, PROT_READ | PROT_WRITE,
			 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	munmap(arguments + ARGUMENTS, 4096);
	keep(FD_DEVICE, open(MSHV_DEVICE, O_RDWR));
	call_create();
	if (below(2)) {
		pthread_create(&thread, NULL, run_vps, NULL);
	}
	for (;;) {
		calls[below(sizeof(calls) / sizeof(calls[0]))]();
		__atomic_fetch_add(made, 1, __ATOMIC_RELAXED);
	}
}

/* ---- the parent ---- */

struct holding {
	long partitions, deposited, pinned, root_pages;
};

static struct holding holding(void)
{
	return (struct holding){held("partitions"), held("deposited"), held("pinned"),
				held("root_pages")};
}

static void expect_same(const struct holding *before)
{
	const struct holding after = holding();

	if (memcmp(before, &after, sizeof(after))) {
		fprintf(stderr,
			"held before, and now: partitions %ld %ld, deposited %ld %ld, pinned %ld "
			"%ld, root pages %ld %ld\n",
			before->partitions, after.partitions, before->deposited, after.deposited,
			before->pinned, after.pinned, before->root_pages, after.root_pages);
		exit(1);
	}
}

/* After so many calls, or after some seconds when it hangs in one, and then a little later. */
static void kill_child(pid_t pid, unsigned long calls)
{
	const struct timespec pause = {.tv_nsec = 200000},
			      moment = {.tv_nsec = (long)(next() % 2000000)};
	const time_t latest = time(NULL) + 20;
	int status;

	while (__atomic_load_n(made, __ATOMIC_RELAXED) < calls && time(NULL) < latest) {
		nanosleep(&pause, NULL);
	}
	nanosleep(&moment, NULL);
	EXPECT(!kill(pid, SIGKILL));
	EXPECT(waitpid(pid, &status, 0) == pid);
	EXPECT(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void expect_calm(void)
{
	static const char *const words[] = {"BUG:",       "cut here",  "Oops",
					    "Call Trace", "is lost",   "stays pinned",
					    "stays with", "cannot be", "can be neither"};
	char *log = calloc(1, LOG_SIZE);
	size_t i;

	EXPECT(log && klogctl(3, log, LOG_SIZE - 1) >= 0);
	for (i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		if (strstr(log, words[i]) != NULL) {
			fprintf(stderr, "the kernel's log has \"%s\": %.400s\n", words[i],
				strstr(log, words[i]));
			exit(1);
		}
	}
	free(log);
}

int main(int argc, char **argv)
{
	uint64_t seed = argc > 1 ? strtoull(argv[1], NULL, 0) : 1;
	unsigned long rounds = argc > 2 ? strtoul(argv[2], NULL, 0) : 100, i;
	const struct holding before = holding();
	pid_t pid;
	int kind;

	succeeded = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	EXPECT(succeeded != MAP_FAILED);
	made = succeeded + KINDS;

	random_state = seed * 0x9e3779b97f4a7c15ull + 1;
	for (i = 0; i < rounds; i++) {
		seed = next();
		*made = 0;
		pid = fork();
		EXPECT(pid >= 0);
		if (!pid) {
			child(seed);
		}
		kill_child(pid, next() % CALLS_MAX);
		expect_same(&before);
	}
	expect_calm();
	printf("%lu processes killed, nothing held; calls that succeeded:", rounds);
	for (kind = 0; kind < KINDS; kind++) {
		printf(" %lu", succeeded[kind]);
	}
	printf("\n");
	for (kind = 0; rounds >= ROUNDS_ENOUGH && kind < KINDS; kind++) {
		EXPECT(succeeded[kind]);
	}
	return 0;
}
