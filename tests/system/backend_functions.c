/*
 * backend_functions: what backend/backend.h promises of guest memory and of saved states, with
 * guests of a few instructions on the hypervisor. Run in the root; exit status 0 when all holds.
 */
#include "backend/backend.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "lib/state.h"

#define PAGE   4096ull
#define LARGE  (2ull << 20)
#define MEMORY (8 * LARGE)
#define PAGES  (MEMORY / PAGE)
#define CODE   0x1000u
#define OTHER  0x40000000u /* a region of its own */

#define EXPECT(condition) ((condition) ? (void)0 : fail(__FILE__, __LINE__, #condition))

static _Noreturn void fail(const char *file, int line, const char *what)
{
	fprintf(stderr, "%s:%d: %s does not hold (errno %d: %s)\n", file, line, what, errno,
		strerror(errno));
	exit(1);
}

void check_failed(const char *file, int line, const char *what)
{
	fail(file, line, what);
}

struct machine {
	int backend;
	struct backend_partition *partition;
	struct backend_vp *vp;
	uint8_t *memory;     /* at 0 */
	struct vp_exit exit; /* the last one, with its answer */
};

/* In large pages, where the system has them. */
static uint8_t *allocate(uint64_t size)
{
	uint8_t *all = mmap(NULL, size + LARGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			    -1, 0);
	uint8_t *memory = (uint8_t *)(((uintptr_t)all + LARGE - 1) & ~(uintptr_t)(LARGE - 1));

	EXPECT(all != MAP_FAILED);
	madvise(memory, size, MADV_HUGEPAGE);
	return memory;
}

/* 32-bit code without paging, so that nothing is written but what it says. */
static struct vp_boot_state boot_state(void)
{
	struct vp_boot_state boot = {
		.registers = {.rip = CODE, .rflags = 2, .cr0 = 0x31},
		.tr = {.limit = 0x67, .attributes = 0x8b},
	};

	for (unsigned int i = 0; i < VP_SEGMENT_COUNT; i++) {
		boot.registers.segments[i] = (struct vp_segment){
			.limit = 0xffffffff,
			.selector = i == VP_CS ? 8 : 16,
			.attributes = i == VP_CS ? 0xc09b : 0xc093,
		};
	}
	return boot;
}

/* `memory` is a machine's before, NULL: as it was allocated. */
static void machine_create_with(struct machine *machine, const uint8_t *memory)
{
	enum backend_lack lack;

	*machine = (struct machine){.backend = backend_open(&lack)};
	EXPECT(machine->backend >= 0);
	machine->memory = allocate(MEMORY);
	if (memory != NULL) {
		memcpy(machine->memory, memory, MEMORY);
	}
	EXPECT(!backend_partition_create(machine->backend, 1, true, &machine->partition));
	EXPECT(!backend_partition_map(machine->partition, 0, machine->memory, MEMORY,
				      BACKEND_WRITE | BACKEND_EXECUTE));
	EXPECT(!backend_vp_create(machine->partition, 0, &machine->vp));
}

static void machine_create(struct machine *machine, const void *code, size_t size)
{
	const struct vp_boot_state boot = boot_state();

	machine_create_with(machine, NULL);
	memcpy(machine->memory + CODE, code, size);
	EXPECT(!backend_vp_set_boot_state(machine->vp, &boot));
}

static void machine_destroy(struct machine *machine)
{
	backend_vp_destroy(&machine->vp);
	backend_partition_destroy(&machine->partition);
	munmap(machine->memory, MEMORY);
	close(machine->backend);
}

static enum vp_exit_kind run(struct machine *machine)
{
	do {
		EXPECT(!backend_vp_run(machine->vp, &machine->exit));
	} while (machine->exit.kind == VP_EXIT_NONE);
	return machine->exit.kind;
}

/* Runs it to an OUT, which is over when it is run next. */
static void run_to_port(struct machine *machine, uint8_t value)
{
	struct vp_registers registers;

	if (run(machine) != VP_EXIT_PORT) {
		EXPECT(!backend_vp_load(machine->vp, &registers));
		fprintf(stderr,
			"exit of kind %d at %#llx, not a write of %#x; CR0 %#llx, CR4 %#llx\n",
			machine->exit.kind, (unsigned long long)registers.rip, value,
			(unsigned long long)registers.cr0, (unsigned long long)registers.cr4);
		exit(1);
	}
	EXPECT(machine->exit.port.write);
	if ((uint8_t)machine->exit.port.value != value) {
		fprintf(stderr, "the guest says %#x, not %#x\n", machine->exit.port.value & 0xff,
			value);
		exit(1);
	}
}

static bool is_dirty(const uint8_t *bitmap, uint64_t page)
{
	return bitmap[page / 8] >> page % 8 & 1;
}

static void dirty(const struct machine *machine, uint8_t *bitmap, bool clear)
{
	EXPECT(!backend_partition_dirty(machine->partition, 0, MEMORY, bitmap, clear));
}

/* Pages that the guest writes and no others, page by page. */
static void test_written_pages(void)
{
	static const uint8_t code[] = {
		0xa3, 0x00, 0x00, 0x20, 0x00, /* mov [0x200000], eax */
		0xa3, 0xfc, 0xff, 0x3f, 0x00, /* mov [0x3ffffc], eax */
		0xa3, 0x10, 0x10, 0x60, 0x00, /* mov [0x601010], eax */
		0xa3, 0xfe, 0x5f, 0x20, 0x00, /* mov [0x205ffe], eax: over the end of a page */
		0xa1, 0x00, 0x00, 0x80, 0x00, /* mov eax, [0x800000] */
		0xb0, 0x11, 0xe6, 0x80,       /* mov al, 0x11; out 0x80, al */
		0xfe, 0x05, 0x00, 0x10, 0x60, 0x00, /* inc byte [0x601000] */
		0xb0, 0x22, 0xe6, 0x80,             /* mov al, 0x22; out 0x80, al */
		0xf4,
	};
	static const uint64_t written[] = {0x200, 0x3ff, 0x601, 0x205, 0x206};
	static uint8_t bitmap[PAGES / 8], wanted[PAGES / 8];
	struct machine machine;

	memset(wanted, 0, sizeof(wanted));
	for (size_t i = 0; i < sizeof(written) / sizeof(written[0]); i++) {
		wanted[written[i] / 8] |= (uint8_t)(1u << written[i] % 8);
	}
	machine_create(&machine, code, sizeof(code));
	EXPECT(!backend_partition_log(machine.partition, 0, MEMORY, true));
	dirty(&machine, bitmap, false);
	for (uint64_t i = 0; i < PAGES; i++) {
		EXPECT(!is_dirty(bitmap, i));
	}
	run_to_port(&machine, 0x11);
	dirty(&machine, bitmap, false);
	EXPECT(!memcmp(bitmap, wanted, sizeof(bitmap)));
	dirty(&machine, bitmap, true);
	EXPECT(!memcmp(bitmap, wanted, sizeof(bitmap)));
	run_to_port(&machine, 0x22);
	memset(wanted, 0, sizeof(wanted));
	wanted[0x601 / 8] = 1u << 0x601 % 8;
	dirty(&machine, bitmap, true);
	EXPECT(!memcmp(bitmap, wanted, sizeof(bitmap)));
	EXPECT(!backend_partition_log(machine.partition, 0, MEMORY, false));
	machine_destroy(&machine);
}

static atomic_bool done;

static void kick(int number)
{
	(void)number;
}

static void *vp_thread(void *argument)
{
	struct machine *machine = argument;

	machine->exit.kind = VP_EXIT_NONE;
	while (!atomic_load(&done) && machine->exit.kind == VP_EXIT_NONE) {
		EXPECT(!backend_vp_run(machine->vp, &machine->exit));
	}
	return NULL;
}

static pthread_t start(struct machine *machine)
{
	struct sigaction action = {.sa_handler = kick};
	pthread_t thread;

	atomic_store(&done, false);
	EXPECT(!sigaction(SIGUSR1, &action, NULL));
	EXPECT(!pthread_create(&thread, NULL, vp_thread, machine));
	return thread;
}

static volatile const uint8_t *word_of(const struct machine *machine, uint64_t page)
{
	return machine->memory + page * PAGE;
}

#define FIRST 0x400u /* where the guest below writes */
#define LAST  0x800u

/* What a migration does: pages are copied while the guest writes, and in the end the copy is the
 * memory. */
static void test_pages_written_meanwhile(void)
{
	static const uint8_t code[] = {
		0xbb, 0x00, 0x00, 0x40, 0x00,       /* again: mov ebx, 0x400000 */
		0xff, 0x03,                         /* next: inc dword [ebx] */
		0x81, 0xc3, 0x00, 0x10, 0x00, 0x00, /* add ebx, 0x1000 */
		0x81, 0xfb, 0x00, 0x00, 0x80, 0x00, /* cmp ebx, 0x800000 */
		0x72, 0xf0,                         /* jb next */
		0xeb, 0xe9,                         /* jmp again */
	};
	static uint8_t bitmap[PAGES / 8];
	uint8_t *copy = allocate(MEMORY);
	unsigned int dirty_count = 0;
	struct machine machine;
	pthread_t thread;

	machine_create(&machine, code, sizeof(code));
	EXPECT(!backend_partition_log(machine.partition, 0, MEMORY, true));
	memcpy(copy, machine.memory, MEMORY);
	thread = start(&machine);
	while (*word_of(&machine, LAST - 1) == 0) {
		sched_yield();
	}
	for (int round = 0; round < 200; round++) {
		/* The last time nobody writes any more. */
		if (round == 199) {
			atomic_store(&done, true);
			while (pthread_tryjoin_np(thread, NULL)) {
				pthread_kill(thread, SIGUSR1);
				usleep(2000);
			}
			EXPECT(machine.exit.kind == VP_EXIT_NONE);
		}
		dirty(&machine, bitmap, true);
		for (uint64_t i = 0; i < PAGES; i++) {
			if (is_dirty(bitmap, i)) {
				EXPECT(i >= FIRST && i < LAST);
				memcpy(copy + i * PAGE, machine.memory + i * PAGE, PAGE);
				dirty_count++;
			}
		}
	}
	EXPECT(!memcmp(copy, machine.memory, MEMORY));
	EXPECT(dirty_count > LAST - FIRST);
	printf("  %u pages were copied in 200 rounds\n", dirty_count);
	machine_destroy(&machine);
	munmap(copy, MEMORY);
}

/* A ROM is read and executed, and its writes are told. */
static void test_read_only(void)
{
	static const uint8_t code[] = {
		0xe8, 0xfb, 0xef, 0xff, 0x3f,       /* call OTHER */
		0xe6, 0x80,                         /* out 0x80, al */
		0xc6, 0x05, 0x10, 0x00, 0x00, 0x40, /* mov byte [OTHER + 0x10], 0x77 */
		0x77,
	};
	static const uint8_t function[] = {
		0xb0, 0x33, 0xc3, /* mov al, 0x33; ret */
	};
	uint8_t *rom = allocate(PAGE);
	const struct vp_boot_state boot = boot_state();
	struct vp_boot_state with_stack = boot;
	struct machine machine;
	uint8_t bit;

	memcpy(rom, function, sizeof(function));
	machine_create(&machine, code, sizeof(code));
	EXPECT(!backend_partition_map(machine.partition, OTHER, rom, PAGE, BACKEND_EXECUTE));
	EXPECT(!backend_partition_log(machine.partition, OTHER, PAGE, true));
	with_stack.registers.gpr[VP_RSP] = 0x8000;
	EXPECT(!backend_vp_set_boot_state(machine.vp, &with_stack));
	run_to_port(&machine, 0x33);
	EXPECT(run(&machine) == VP_EXIT_INSTRUCTION && machine.exit.instruction.write);
	EXPECT(machine.exit.instruction.gpa_valid && machine.exit.instruction.gpa == OTHER + 0x10);
	EXPECT(rom[0x10] == 0);
	EXPECT(!backend_partition_dirty(machine.partition, OTHER, PAGE, &bit, true) && !bit);
	machine_destroy(&machine);
	munmap(rom, PAGE);
}

/* Memory that is taken away while the VP reads it: it stops there, nobody can say when, and goes on
 * when there is memory again. */
static void test_unmap_while_running(void)
{
	static const uint8_t code[] = {
		0xa1, 0x00, 0x00, 0x00, 0x40, /* again: mov eax, [OTHER] */
		0x3c, 0x44,                   /* cmp al, 0x44 */
		0x75, 0xf7,                   /* jne again */
		0xe6, 0x80,                   /* out 0x80, al */
	};
	uint8_t *first = allocate(LARGE), *second = allocate(LARGE);
	struct machine machine;
	pthread_t thread;

	machine_create(&machine, code, sizeof(code));
	EXPECT(!backend_partition_map(machine.partition, OTHER, first, LARGE, BACKEND_WRITE));
	EXPECT(backend_partition_map(machine.partition, OTHER, second, LARGE, BACKEND_WRITE) ==
	       -EEXIST);
	for (int i = 0; i < 20; i++) {
		thread = start(&machine);
		usleep(2000);
		EXPECT(!backend_partition_unmap(machine.partition, OTHER, first, LARGE));
		first[0] = 0x44; /* not seen any more */
		EXPECT(!pthread_join(thread, NULL));
		EXPECT(machine.exit.kind == VP_EXIT_INSTRUCTION &&
		       !machine.exit.instruction.write && machine.exit.instruction.gpa == OTHER);
		first[0] = 0;
		EXPECT(!backend_partition_map(machine.partition, OTHER, first, LARGE,
					      BACKEND_WRITE));
	}
	EXPECT(!backend_partition_unmap(machine.partition, OTHER, first, LARGE));
	EXPECT(backend_partition_unmap(machine.partition, OTHER, first, LARGE) == -EINVAL);
	second[0] = 0x44;
	EXPECT(!backend_partition_map(machine.partition, OTHER, second, LARGE, BACKEND_WRITE));
	run_to_port(&machine, 0x44);
	machine_destroy(&machine);
	munmap(first, LARGE);
	munmap(second, LARGE);
}

extern const uint8_t backend_guest[], backend_guest_end[];

#define GUEST_MESSAGE 0x4d534721u

/* To where it is saved; its first timer expires after so many units of 100 ns. */
static void run_guest(struct machine *machine, uint32_t delay_100ns)
{
	const uint32_t message = GUEST_MESSAGE;
	struct vp_boot_state boot = boot_state();

	machine_create(machine, backend_guest, (size_t)(backend_guest_end - backend_guest));
	boot.registers.gpr[VP_RBX] = delay_100ns;
	EXPECT(!backend_vp_set_boot_state(machine->vp, &boot));
	run_to_port(machine, 0x41);
	EXPECT(!backend_partition_post_message(machine->partition, 0, 2, 7, &message,
					       sizeof(message)));
	run_to_port(machine, 0x42);
}

static size_t save(struct machine *machine, uint8_t *to, size_t size)
{
	struct state_writer writer = state_writer(to, size);

	EXPECT(!backend_partition_freeze_time(machine->partition, true));
	EXPECT(!backend_partition_save(machine->partition, &writer));
	EXPECT(!backend_vp_save(machine->vp, &machine->exit, &writer));
	EXPECT(state_fits(&writer));
	return writer.used;
}

static void restore(struct machine *machine, const uint8_t *from, size_t size)
{
	struct state_fault fault;
	struct state_reader list = state_reader(from, size, &fault);

	EXPECT(!backend_partition_freeze_time(machine->partition, true));
	EXPECT(!backend_partition_restore(machine->partition, &list));
	EXPECT(!backend_vp_restore(machine->vp, &list));
	EXPECT(state_ok(&list));
	EXPECT(!backend_partition_freeze_time(machine->partition, false));
}

/* Saved, gone, and restored in another partition it comes to its right end; and so does the one
 * that was saved, if it goes on. */
static void save_and_restore(uint32_t delay_100ns)
{
	static uint8_t saved[64 << 10];
	uint8_t *memory = allocate(MEMORY);
	struct machine machine;
	size_t size;

	run_guest(&machine, delay_100ns);
	size = save(&machine, saved, sizeof(saved));
	memcpy(memory, machine.memory, MEMORY);
	EXPECT(!backend_partition_freeze_time(machine.partition, false));
	run_to_port(&machine, 0x5a);
	machine_destroy(&machine);
	for (int i = 0; i < 2; i++) {
		machine_create_with(&machine, memory);
		restore(&machine, saved, size);
		/* the state of what was restored is as good */
		size = save(&machine, saved, sizeof(saved));
		EXPECT(!backend_partition_freeze_time(machine.partition, false));
		run_to_port(&machine, 0x5a);
		machine_destroy(&machine);
	}
	munmap(memory, MEMORY);
}

static void test_saved_and_restored(void)
{
	save_and_restore(1);
	save_and_restore(20000000);
}

int main(void)
{
	static const struct {
		const char *name;
		void (*function)(void);
	} tests[] = {
		{"written pages", test_written_pages},
		{"pages written meanwhile", test_pages_written_meanwhile},
		{"read-only memory", test_read_only},
		{"unmapped while running", test_unmap_while_running},
		{"saved and restored", test_saved_and_restored},
	};

	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
		printf("%s\n", tests[i].name);
		fflush(stdout);
		tests[i].function();
	}
	printf("all hold\n");
	return 0;
}
