/*
 * mshv_functions: what /dev/mshv does when it is used as meant, and how it refuses what is not. Run
 * in the root; exit status 0 when all holds.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/system/mshv.h"
#include "tests/system/mshv_events.h"

#define MEMORY (4ul << 20)

/* More large pages than a new partition has pages for tables. */
#define LARGE_PAGE (2ul << 20)
#define LARGE_SIZE (240 * LARGE_PAGE)
#define LARGE_AT   (1ul << 30)

#define UNMAP (1 << MSHV_SET_MEM_BIT_UNMAP)

/* Ports, MMIO, CPUID of the hypervisor, and a triple fault reach user space as messages. */
static void test_intercepts(void)
{
	static const uint8_t code[] = {
		0xb0, 0x11,                   /* mov al, 0x11 */
		0xe6, 0x80,                   /* out 0x80, al */
		0xa3, 0x00, 0x00, 0x00, 0xf0, /* mov [0xf0000000], eax */
		0x0f, 0x0b,                   /* ud2, without an IDT */
	};
	struct hv_message message;
	const struct hv_x64_memory_intercept_message *memory = (const void *)message.u.payload;
	struct machine machine;
	struct cpu cpu;

	machine_create(&machine, MEMORY);
	put_code(&machine, CODE, code, sizeof(code));
	cpu_create(&machine, &cpu, 0, CODE);
	expect_port(&cpu, 0x11);
	EXPECT(cpu_run(&cpu, &message, 2000) == HVMSG_UNMAPPED_GPA);
	EXPECT(memory->guest_physical_address == 0xf0000000 &&
	       memory->header.intercept_access_type == HV_INTERCEPT_ACCESS_WRITE);
	EXPECT(cpu.registers->rip == CODE + 4);
	cpu_skip(&cpu, 5);
	EXPECT(cpu_run(&cpu, &message, 2000) == HVMSG_UNRECOVERABLE_EXCEPTION);
	cpu_destroy(&cpu);
	machine_destroy(&machine);
}

static void intercept_exception(const struct machine *machine, uint32_t vector, bool on)
{
	const struct hv_input_install_intercept input = {
		.access_type =
			on ? HV_INTERCEPT_ACCESS_MASK_EXECUTE : HV_INTERCEPT_ACCESS_MASK_NONE,
		.intercept_type = HV_INTERCEPT_TYPE_EXCEPTION,
		.intercept_parameter.exception_vector = (uint16_t)vector,
	};

	EXPECT(!hvcall(machine->partition, HVCALL_INSTALL_INTERCEPT, 0, &input, sizeof(input), NULL,
		       0));
}

/* An exception is a message as long as the parent wants it to be, for VPs that ran before too. */
static void test_exceptions(void)
{
	static const uint8_t code[] = {
		0xb0, 0x11, 0xe6, 0x80, /* mov al, 0x11; out 0x80, al */
		0x31, 0xc9, 0xf7, 0xf1, /* xor ecx, ecx; div ecx */
		0x0f, 0x0b,             /* ud2 */
		0x0f, 0x0b,             /* ud2, without an IDT */
	};
	struct hv_message message;
	const struct hv_x64_exception_intercept_message *exception =
		(const void *)message.u.payload;
	struct machine machine;
	struct cpu cpu;

	machine_create(&machine, MEMORY);
	put_code(&machine, CODE, code, sizeof(code));
	cpu_create(&machine, &cpu, 0, CODE);
	expect_port(&cpu, 0x11);
	intercept_exception(&machine, 0, true);
	intercept_exception(&machine, 6, true);
	EXPECT(cpu_run(&cpu, &message, 2000) == HVMSG_X64_EXCEPTION_INTERCEPT);
	EXPECT(exception->exception_vector == 0 && cpu.registers->rip == CODE + 6);
	cpu_skip(&cpu, 2);
	EXPECT(cpu_run(&cpu, &message, 2000) == HVMSG_X64_EXCEPTION_INTERCEPT);
	EXPECT(exception->exception_vector == 6 && cpu.registers->rip == CODE + 8);
	intercept_exception(&machine, 6, false);
	cpu_skip(&cpu, 2);
	EXPECT(cpu_run(&cpu, &message, 2000) == HVMSG_UNRECOVERABLE_EXCEPTION);
	cpu_destroy(&cpu);
	machine_destroy(&machine);
}

#define GDT     0x2000u
#define IDT     0x3000u
#define HANDLER (CODE + 0x20)
#define STACK   0x1000000u /* a page of its own */

static void put_tables(const struct machine *machine, const struct cpu *cpu)
{
	static const uint64_t gdt[] = {0, 0x00cf9b000000ffff, 0x00cf93000000ffff};
	const uint64_t gate = (HANDLER & 0xffff) | 8u << 16 | 0x8e00ull << 32;

	put_code(machine, GDT, gdt, sizeof(gdt));
	put_code(machine, IDT + 3 * 8, &gate, sizeof(gate));
	put_code(machine, IDT + 0x80 * 8, &gate, sizeof(gate));
	cpu_set(cpu, 0, HV_X64_REGISTER_GDTR,
		(union hv_register_value){.table = {.base = GDT, .limit = sizeof(gdt) - 1}});
	cpu_set(cpu, 0, HV_X64_REGISTER_IDTR,
		(union hv_register_value){.table = {.base = IDT, .limit = 0x407}});
	cpu_set(cpu, 0, HV_X64_REGISTER_RSP, (union hv_register_value){.reg64 = STACK + PAGE});
}

/* The delivery of an event is cut short, since its stack is not there; and done when it is. The
 * handler says where it returns to. */
static void expect_cut_delivery(const struct machine *machine, const struct cpu *cpu, void *stack,
				uint32_t returns_to)
{
	struct hv_message message;
	const struct hv_x64_memory_intercept_message *memory = (const void *)message.u.payload;

	EXPECT(cpu_run(cpu, &message, 2000) == HVMSG_UNMAPPED_GPA);
	EXPECT(memory->guest_physical_address >> 12 == STACK >> 12);
	EXPECT(!machine_map(machine, STACK, stack, PAGE, READ_WRITE));
	expect_port(cpu, (uint8_t)returns_to);
	expect_port(cpu, (uint8_t)returns_to);
	EXPECT(!machine_map(machine, STACK, stack, PAGE, UNMAP));
}

/*
 * Events that are instructions return behind them, also when an exit came in the midst of their
 * delivery: INT3, INT n, and an INT3 in whose place the parent injects #BP.
 */
static void test_software_events(void)
{
	static const uint8_t code[] = {
		0xcc, 0xe6, 0x80,       /* int3; out 0x80, al */
		0xcd, 0x80, 0xe6, 0x80, /* int 0x80; out 0x80, al */
		0xcc, 0xe6, 0x80,       /* int3; out 0x80, al */
	};
	static const uint8_t handler[] = {
		0x8a, 0x04, 0x24, 0xe6, 0x80, 0xcf, /* mov al, [esp]; out 0x80, al; iret */
	};
	const union hv_register_value breakpoint = {
		.pending_exception_event = {.event_pending = 1,
					    .event_type = HV_X64_PENDING_EVENT_EXCEPTION,
					    .vector = 3}};
	void *stack = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct machine machine;
	struct cpu cpu;

	EXPECT(stack != MAP_FAILED);
	machine_create(&machine, MEMORY);
	put_code(&machine, CODE, code, sizeof(code));
	put_code(&machine, HANDLER, handler, sizeof(handler));
	cpu_create(&machine, &cpu, 0, CODE);
	put_tables(&machine, &cpu);
	expect_cut_delivery(&machine, &cpu, stack, CODE + 1);
	expect_cut_delivery(&machine, &cpu, stack, CODE + 5);
	cpu_set(&cpu, 0, HV_REGISTER_PENDING_EVENT0, breakpoint);
	expect_cut_delivery(&machine, &cpu, stack, CODE + 8);
	cpu_destroy(&cpu);
	machine_destroy(&machine);
	munmap(stack, PAGE);
}

/*
 * A VP that spins, and one that has halted for good, come back at a signal; and go on afterwards.
 */
static void test_signals(void)
{
	static const uint8_t code[] = {
		0xeb, 0xfe,             /* jmp . */
		0xf4,                   /* hlt */
		0xb0, 0x22, 0xe6, 0x80, /* mov al, 0x22; out 0x80, al */
	};
	struct hv_message message;
	struct machine machine;
	struct cpu cpu;

	machine_create(&machine, MEMORY);
	put_code(&machine, CODE, code, sizeof(code));
	cpu_create(&machine, &cpu, 0, CODE);
	EXPECT(!cpu_run(&cpu, &message, 50));
	EXPECT(!cpu_run(&cpu, &message, 50));
	EXPECT(cpu_get64(&cpu, 0, HV_X64_REGISTER_RIP) == CODE);
	cpu_set(&cpu, 0, HV_X64_REGISTER_RIP, (union hv_register_value){.reg64 = CODE + 2});
	EXPECT(!cpu_run(&cpu, &message, 50));
	cpu_set(&cpu, 0, HV_REGISTER_INTERNAL_ACTIVITY_STATE,
		(union hv_register_value){.reg64 = 0});
	cpu_set(&cpu, 0, HV_X64_REGISTER_RIP, (union hv_register_value){.reg64 = CODE + 3});
	expect_port(&cpu, 0x22);
	cpu_destroy(&cpu);
	machine_destroy(&machine);
}

/* RUN_VP until it ends by a signal, whatever the VP does meanwhile. */
static void run_to_signal(const struct cpu *cpu)
{
	struct mshv_run_vp run;

	while (!ioctl(cpu->fd, MSHV_RUN_VP, &run)) {
		cpu_skip(cpu, 2);
	}
	EXPECT(errno == EINTR);
}

/*
 * A signal that comes while its thread handles an intercept is over when the VP is run again. That
 * call ends all the same, if the VP then spins, halts, or has one intercept after the other.
 */
static void test_signals_between(void)
{
	static const uint8_t code[] = {
		0xb0, 0x11, 0xe6, 0x80, 0xeb, 0xfe, /* mov al, 0x11; out 0x80, al; jmp . */
		0xb0, 0x22, 0xe6, 0x80, 0xf4,       /* mov al, 0x22; out 0x80, al; hlt */
		0xb0, 0x33, 0xe6, 0x80, 0xeb, 0xfc, /* mov al, 0x33; out 0x80, al; jmp to out */
	};
	static const uint32_t starts[] = {CODE, CODE + 6, CODE + 11};
	struct machine machine;
	struct cpu cpu;

	machine_create(&machine, MEMORY);
	put_code(&machine, CODE, code, sizeof(code));
	cpu_create(&machine, &cpu, 0, CODE);
	for (uint8_t i = 0; i < 3; i++) {
		cpu_set(&cpu, 0, HV_REGISTER_INTERNAL_ACTIVITY_STATE,
			(union hv_register_value){.reg64 = 0});
		cpu_set(&cpu, 0, HV_X64_REGISTER_RIP,
			(union hv_register_value){.reg64 = starts[i]});
		expect_port(&cpu, (uint8_t)(0x11 * (i + 1)));
		EXPECT(!raise(SIGALRM)); /* expect_port() has set a handler */
		run_to_signal(&cpu);
	}
	cpu_destroy(&cpu);
	machine_destroy(&machine);
}

static void offer_extensions(const char *yes_or_no)
{
	int fd = open("/sys/module/mshv_vd/parameters/extensions", O_WRONLY);

	EXPECT(fd >= 0 && write(fd, yes_or_no, 1) == 1 && !close(fd));
}

/* A VP runs by fdatasync() too: its message is in its page, the answer goes by the other one, and a
 * signal ends it. */
static void test_fdatasync(void)
{
	static const uint8_t code[] = {
		0xb0, 0x11, 0xe6, 0x80, /* mov al, 0x11; out 0x80, al */
		0xe4, 0x80, 0xe6, 0x81, /* in al, 0x80; out 0x81, al */
		0xeb, 0xfe,             /* jmp . */
	};
	const struct hv_x64_io_port_intercept_message *io;
	struct machine machine;
	struct mshv_run_vp run;
	struct cpu cpu;

	machine_create(&machine, MEMORY);
	put_code(&machine, CODE, code, sizeof(code));
	cpu_create(&machine, &cpu, 0, CODE);
	io = (const void *)cpu.intercept->u.payload;
	EXPECT(ERRNO(fsync(cpu.fd)) == EINVAL);
	offer_extensions("N");
	EXPECT(ERRNO(fdatasync(cpu.fd)) == EINVAL);
	offer_extensions("Y");
	EXPECT(ERRNO(fdatasync(machine.partition)) == EINVAL);
	EXPECT(!fdatasync(cpu.fd));
	EXPECT(cpu.intercept->header.message_type == HVMSG_X64_IO_PORT_INTERCEPT);
	EXPECT(io->port_number == 0x80 && (uint8_t)io->rax == 0x11);
	cpu_skip(&cpu, 2);
	EXPECT(!fdatasync(cpu.fd));
	EXPECT(io->header.intercept_access_type == HV_INTERCEPT_ACCESS_READ);
	cpu.registers->rax = 0x77;
	cpu.registers->dirty |= 1 << HV_X64_REGISTER_CLASS_GENERAL;
	cpu_skip(&cpu, 2);
	EXPECT(!fdatasync(cpu.fd));
	EXPECT(io->port_number == 0x81 && (uint8_t)io->rax == 0x77);
	cpu_skip(&cpu, 2);
	EXPECT(!cpu_run(&cpu, &(struct hv_message){0},
			20)); /* the handler of SIGALRM is there now */
	alarm(1);
	EXPECT(ERRNO(fdatasync(cpu.fd)) == EINTR);
	/* The VP has run when the ioctl finds no room for the message. */
	cpu_set(&cpu, 0, HV_X64_REGISTER_RIP, (union hv_register_value){.reg64 = CODE});
	EXPECT(ERRNO(ioctl(cpu.fd, MSHV_RUN_VP, NULL)) == EFAULT);
	EXPECT(io->port_number == 0x80 && (uint8_t)io->rax == 0x11);
	cpu_skip(&cpu, 2);
	EXPECT(!ioctl(cpu.fd, MSHV_RUN_VP, &run));
	cpu_destroy(&cpu);
	machine_destroy(&machine);
}

/* What the guest may only read and nobody has written yet is the process' page, not the kernel's
 * page of zeros. */
static void test_read_only_memory(void)
{
	static const uint8_t code[] = {
		0xa0, 0x00, 0x00, 0x80, 0x00, /* mov al, [0x800000] */
		0xe6, 0x80,                   /* out 0x80, al */
		0xa2, 0x00, 0x00, 0x80, 0x00, /* mov [0x800000], al */
	};
	uint8_t *other =
		mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct hv_message message;
	struct machine machine;
	struct cpu cpu;

	machine_create(&machine, MEMORY);
	put_code(&machine, CODE, code, sizeof(code));
	cpu_create(&machine, &cpu, 0, CODE);
	EXPECT(!machine_map(&machine, 0x800000, other, PAGE, 0));
	*other = 0x66;
	expect_port(&cpu, 0x66);
	EXPECT(cpu_run(&cpu, &message, 2000) == HVMSG_GPA_INTERCEPT);
	cpu_destroy(&cpu);
	machine_destroy(&machine);
	munmap(other, PAGE);
}

/* The number behind a word at the start of a line. */
static long number_in(const char *path, const char *word)
{
	FILE *file = fopen(path, "r");
	char line[256];
	long number = -1;

	EXPECT(file);
	while (number < 0 && fgets(line, sizeof(line), file)) {
		if (!strncmp(line, word, strlen(word))) {
			number = strtol(line + strlen(word), NULL, 10);
		}
	}
	fclose(file);
	return number;
}

static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY);

	EXPECT(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
	close(fd);
}

/* In a process of its own; what fails there fails here. */
static void in_child(void (*function)(struct machine *), struct machine *machine)
{
	int status;
	pid_t child = fork();

	EXPECT(child >= 0);
	if (!child) {
		function(machine);
		_exit(0);
	}
	EXPECT(waitpid(child, &status, 0) == child && !status);
}

/* As somebody without CAP_IPC_LOCK, who may lock 16 pages. */
static void reach_limit(struct machine *machine)
{
	const struct rlimit limit = {16 * PAGE, 16 * PAGE};
	uint8_t *other =
		mmap(NULL, 32 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	EXPECT(!setrlimit(RLIMIT_MEMLOCK, &limit) && !setresuid(65534, 65534, 65534));
	EXPECT(ERRNO(machine_map(machine, 2 * MEMORY, other, 17 * PAGE, READ_WRITE)) == ENOMEM);
	for (int i = 0; i < 3; i++) {
		EXPECT(!machine_map(machine, 2 * MEMORY, other, 8 * PAGE, READ_WRITE));
		EXPECT(!machine_map(machine, 3 * MEMORY, other + 8 * PAGE, 8 * PAGE, 0));
		EXPECT(ERRNO(machine_map(machine, 4 * MEMORY, other + 16 * PAGE, PAGE,
					 READ_WRITE)) == ENOMEM);
		EXPECT(!machine_map(machine, 2 * MEMORY, other, 8 * PAGE, UNMAP));
		EXPECT(!machine_map(machine, 3 * MEMORY, other + 8 * PAGE, 8 * PAGE, UNMAP));
	}
	/* what cannot be pinned is not counted */
	EXPECT(!munmap(other + 12 * PAGE, PAGE));
	EXPECT(ERRNO(machine_map(machine, 2 * MEMORY, other, 16 * PAGE, READ_WRITE)) == EFAULT);
	EXPECT(!machine_map(machine, 2 * MEMORY, other + 16 * PAGE, 16 * PAGE, READ_WRITE));
}

/* Pages of a guest are locked memory of who gave them, until they are given back. */
static void test_locked_memory(void)
{
	const char *status = "/proc/self/status";
	long locked = number_in(status, "VmLck:");
	struct machine machine;

	machine_create(&machine, MEMORY);
	EXPECT(number_in(status, "VmLck:") == locked + (long)(MEMORY >> 10));
	in_child(reach_limit, &machine);
	machine_destroy(&machine);
	EXPECT(number_in(status, "VmLck:") == locked);
}

#define CGROUPS "/tmp/cgroups"
#define CGROUP  CGROUPS "/mshv"

#define CHARGED_VPS 48 /* for whom more is deposited than the count below is wrong by */

/*
 * As a member of a memory cgroup. What is charged to it is counted in batches of 64 pages for each
 * of at most 2 processors.
 */
static void charge(struct machine *machine)
{
	const long slack = 128 * (long)PAGE;
	long before, deposited = held("deposited");
	struct cpu cpus[CHARGED_VPS];

	write_file(CGROUP "/cgroup.procs", "0");
	before = number_in(CGROUP "/memory.current", "");
	machine_create(machine, MEMORY);
	for (uint32_t i = 0; i < CHARGED_VPS; i++) {
		cpu_create(machine, &cpus[i], i, CODE);
	}
	deposited = (held("deposited") - deposited) * (long)PAGE;
	EXPECT(deposited > 3 * slack);
	/* What is used is 13 or 14 pages a VP, and some 50 besides. */
	EXPECT(deposited <= (64 + 20 * CHARGED_VPS) * (long)PAGE);
	EXPECT(number_in(CGROUP "/memory.current", "") >=
	       before + (long)MEMORY + deposited - slack);
	for (uint32_t i = 0; i < CHARGED_VPS; i++) {
		cpu_destroy(&cpus[i]);
	}
	machine_destroy(machine);
	EXPECT(number_in(CGROUP "/memory.current", "") <= before + slack);
}

/* Pages that the hypervisor needs for a partition are charged to who made it. */
static void test_charged_memory(void)
{
	struct machine machine;

	EXPECT(!mkdir(CGROUPS, 0700) || errno == EEXIST);
	EXPECT(!mount("cgroups", CGROUPS, "cgroup2", 0, NULL));
	write_file(CGROUPS "/cgroup.subtree_control", "+memory");
	EXPECT(!mkdir(CGROUP, 0700));
	in_child(charge, &machine);
	EXPECT(!rmdir(CGROUP) && !umount(CGROUPS));
}

static void test_memory(void)
{
	struct machine machine;
	uint8_t *other =
		mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	long pinned;

	machine_create(&machine, MEMORY);
	pinned = held("pinned");
	EXPECT(ERRNO(machine_map(&machine, 0, other, MEMORY, READ_WRITE)) == EEXIST);
	EXPECT(ERRNO(machine_map(&machine, MEMORY - PAGE, other, PAGE, READ_WRITE)) == EEXIST);
	EXPECT(ERRNO(machine_map(&machine, MEMORY, other, PAGE + 1, READ_WRITE)) == EINVAL);
	EXPECT(ERRNO(machine_map(&machine, MEMORY, other, 0, READ_WRITE)) == EINVAL);
	EXPECT(ERRNO(machine_map(&machine, MEMORY, other + 1, PAGE, READ_WRITE)) == EINVAL);
	EXPECT(ERRNO(machine_map(&machine, ~0ull << 12, other, 2 * PAGE, READ_WRITE)) == EINVAL);
	EXPECT(ERRNO(machine_map(&machine, MEMORY, other, PAGE, 0x80)) == EINVAL);
	EXPECT(ERRNO(machine_map(&machine, MEMORY, NULL, PAGE, READ_WRITE)) == EFAULT);
	EXPECT(held("pinned") == pinned);
	EXPECT(!machine_map(&machine, MEMORY, other, MEMORY, READ_WRITE));
	EXPECT(held("pinned") == pinned + (long)(MEMORY / PAGE));
	EXPECT(ERRNO(machine_map(&machine, MEMORY, other, PAGE, UNMAP)) == EINVAL);
	EXPECT(ERRNO(machine_map(&machine, 4 * MEMORY, other, PAGE, UNMAP)) == EINVAL);
	EXPECT(!machine_map(&machine, MEMORY, other, MEMORY, UNMAP));
	EXPECT(held("pinned") == pinned);
	EXPECT(!machine_map(&machine, MEMORY + PAGE, other + PAGE, 3 * PAGE, 0));
	munmap(other, MEMORY);
	machine_destroy(&machine);
}

static unsigned int dirty(const struct machine *machine, uint64_t page, unsigned int operation)
{
	uint8_t bits = 0xff;
	struct mshv_gpap_access_bitmap query = {
		.access_type = MSHV_GPAP_ACCESS_TYPE_DIRTY,
		.access_op = operation,
		.page_count = 1,
		.gpap_base = page,
		.bitmap_ptr = (uintptr_t)&bits,
	};

	EXPECT(!ioctl(machine->partition, MSHV_GET_GPAP_ACCESS_BITMAP, &query));
	EXPECT(bits <= 1);
	return bits;
}

/* The guest's writes make a page dirty, and only those. */
static void test_access_bitmap(void)
{
	static const uint8_t code[] = {
		0xa3, 0x00, 0x00, 0x10, 0x00, /* mov [0x100000], eax */
		0xe6, 0x80,                   /* out 0x80, al */
		0xeb, 0xf7,                   /* jmp back */
	};
	struct mshv_gpap_access_bitmap bad = {.page_count = 1};
	struct machine machine;
	struct cpu cpu;

	machine_create(&machine, MEMORY);
	put_code(&machine, CODE, code, sizeof(code));
	cpu_create(&machine, &cpu, 0, CODE);
	dirty(&machine, 0x100, MSHV_GPAP_ACCESS_OP_CLEAR);
	dirty(&machine, 0x101, MSHV_GPAP_ACCESS_OP_CLEAR);
	expect_port(&cpu, (uint8_t)cpu.registers->rax);
	EXPECT(dirty(&machine, 0x100, MSHV_GPAP_ACCESS_OP_NOOP));
	EXPECT(!dirty(&machine, 0x101, MSHV_GPAP_ACCESS_OP_NOOP));
	EXPECT(dirty(&machine, 0x100, MSHV_GPAP_ACCESS_OP_CLEAR));
	EXPECT(!dirty(&machine, 0x100, MSHV_GPAP_ACCESS_OP_NOOP));
	expect_port(&cpu, (uint8_t)cpu.registers->rax);
	EXPECT(dirty(&machine, 0x100, MSHV_GPAP_ACCESS_OP_NOOP));
	EXPECT(ERRNO(ioctl(machine.partition, MSHV_GET_GPAP_ACCESS_BITMAP, &bad)) == EINVAL);
	cpu_destroy(&cpu);
	machine_destroy(&machine);
}

/* Large pages get a state for each small one; the page tables for that are deposited on the way. */
static void test_access_bitmap_of_large_pages(void)
{
	static uint8_t bits[LARGE_SIZE / PAGE / 8];
	struct mshv_gpap_access_bitmap query = {
		.access_type = MSHV_GPAP_ACCESS_TYPE_DIRTY,
		.access_op = MSHV_GPAP_ACCESS_OP_SET,
		.page_count = LARGE_SIZE / PAGE,
		.gpap_base = LARGE_AT / PAGE,
		.bitmap_ptr = (uintptr_t)bits,
	};
	uint8_t *memory = mmap(NULL, LARGE_SIZE + LARGE_PAGE, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint8_t *aligned =
		(uint8_t *)(((uintptr_t)memory + LARGE_PAGE - 1) & ~(uintptr_t)(LARGE_PAGE - 1));
	struct machine machine;
	long deposited;

	EXPECT(memory != MAP_FAILED && !madvise(aligned, LARGE_SIZE, MADV_HUGEPAGE));
	machine_create(&machine, MEMORY);
	EXPECT(!machine_map(&machine, LARGE_AT, aligned, LARGE_SIZE, READ_WRITE));
	deposited = held("deposited");
	EXPECT(!ioctl(machine.partition, MSHV_GET_GPAP_ACCESS_BITMAP, &query));
	EXPECT(held("deposited") > deposited);
	query.access_op = MSHV_GPAP_ACCESS_OP_NOOP;
	EXPECT(!ioctl(machine.partition, MSHV_GET_GPAP_ACCESS_BITMAP, &query));
	for (size_t i = 0; i < sizeof(bits); i++) {
		EXPECT(bits[i] == 0xff);
	}
	machine_destroy(&machine);
	munmap(memory, LARGE_SIZE + LARGE_PAGE);
}

static int state(const struct cpu *cpu, unsigned long request, uint8_t type, void *buffer,
		 uint32_t size, uint32_t *actual)
{
	struct mshv_get_set_vp_state arguments = {
		.type = type, .buf_sz = size, .buf_ptr = (uintptr_t)buffer};
	int ret = ioctl(cpu->fd, request, &arguments);

	if (actual != NULL) {
		*actual = arguments.buf_sz;
	}
	return ret;
}

/* Every kind of state can be read and written back, and is then the same. */
static void test_state(void)
{
	uint8_t *buffers =
		mmap(NULL, 128 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint8_t *again = buffers + 64 * PAGE;
	struct machine machine;
	uint32_t size, type;
	struct cpu cpu;

	machine_create(&machine, MEMORY);
	cpu_create(&machine, &cpu, 0, CODE);
	cpu_set(&cpu, 0, HV_X64_REGISTER_CR8, (union hv_register_value){.reg64 = 9});
	EXPECT(cpu_get64(&cpu, 0, HV_X64_REGISTER_CR8) == 9);
	for (type = 0; type < MSHV_VP_STATE_COUNT; type++) {
		EXPECT(!state(&cpu, MSHV_GET_VP_STATE, (uint8_t)type, buffers, 64 * PAGE, &size));
		EXPECT(size && size <= 64 * PAGE);
		EXPECT(!state(&cpu, MSHV_SET_VP_STATE, (uint8_t)type, buffers, 64 * PAGE, NULL));
		EXPECT(!state(&cpu, MSHV_GET_VP_STATE, (uint8_t)type, again, 64 * PAGE, NULL));
		EXPECT(!memcmp(buffers, again, type == MSHV_VP_STATE_LAPIC ? 176 : size));
	}
	EXPECT(ERRNO(state(&cpu, MSHV_GET_VP_STATE, MSHV_VP_STATE_COUNT, buffers, PAGE, NULL)) ==
	       EINVAL);
	EXPECT(ERRNO(state(&cpu, MSHV_GET_VP_STATE, MSHV_VP_STATE_LAPIC, buffers + 1, PAGE,
			   NULL)) == EINVAL);
	EXPECT(ERRNO(state(&cpu, MSHV_GET_VP_STATE, MSHV_VP_STATE_LAPIC, buffers, PAGE - 1,
			   NULL)) == EINVAL);
	EXPECT(ERRNO(state(&cpu, MSHV_GET_VP_STATE, MSHV_VP_STATE_LAPIC, NULL, PAGE, NULL)) ==
	       EFAULT);
	cpu_destroy(&cpu);
	machine_destroy(&machine);
	munmap(buffers, 128 * PAGE);
}

/* What may not be called, and on what. */
static void test_refusals(void)
{
	struct mshv_create_partition partition = {.pt_flags = 1ull << MSHV_PT_BIT_COUNT};
	struct mshv_create_vp vp = {.vp_index = 256};
	struct hv_input_get_partition_property property = {
		.property_code = HV_PARTITION_PROPERTY_PROCESSOR_VENDOR};
	uint64_t value;
	struct machine machine;
	struct cpu cpu;

	machine_create(&machine, MEMORY);
	EXPECT(ERRNO(ioctl(machine.device, MSHV_CREATE_PARTITION, &partition)) == EINVAL);
	partition.pt_flags = 1 << MSHV_PT_BIT_CPU_AND_XSAVE_FEATURES;
	EXPECT(ERRNO(ioctl(machine.device, MSHV_CREATE_PARTITION, NULL)) == EFAULT);
	EXPECT(ERRNO(ioctl(machine.partition, MSHV_CREATE_VP, &vp)) == EINVAL);
	cpu_create(&machine, &cpu, 0, CODE);
	vp.vp_index = 0;
	EXPECT(ERRNO(ioctl(machine.partition, MSHV_CREATE_VP, &vp)) == EEXIST);
	EXPECT(ERRNO(ioctl(machine.partition, 0x1234)) == ENOTTY);
	EXPECT(ERRNO(ioctl(cpu.fd, 0x1234)) == ENOTTY);
	EXPECT(ERRNO(ioctl(machine.device, 0x1234)) == ENOTTY);
	EXPECT(mmap(NULL, PAGE, PROT_READ, MAP_SHARED, cpu.fd,
		    MSHV_VP_MMAP_OFFSET_GHCB * (long)PAGE) == MAP_FAILED);
	EXPECT(mmap(NULL, 2 * PAGE, PROT_READ, MAP_SHARED, cpu.fd, 0) == MAP_FAILED);
	/* a state page is not memory that could be given to a guest */
	EXPECT(machine_map(&machine, MEMORY, cpu.registers, PAGE, READ_WRITE) < 0);

	EXPECT(!hvcall(machine.device, HVCALL_GET_PARTITION_PROPERTY, 0, &property,
		       sizeof(property), &value, sizeof(value)));
	EXPECT(!hvcall(machine.partition, HVCALL_GET_PARTITION_PROPERTY, 0, &property,
		       sizeof(property), &value, sizeof(value)));
	EXPECT(ERRNO(hvcall(machine.device, HVCALL_SET_VP_REGISTERS, 0, &property, sizeof(property),
			    NULL, 0)) == EINVAL);
	EXPECT(ERRNO(hvcall(cpu.fd, HVCALL_SET_PARTITION_PROPERTY, 0, &property, sizeof(property),
			    NULL, 0)) == EINVAL);
	EXPECT(ERRNO(hvcall(machine.partition, HVCALL_DEPOSIT_MEMORY, 1, &property,
			    sizeof(property), NULL, 0)) == EINVAL);
	EXPECT(ERRNO(hvcall(machine.partition, HVCALL_GET_PARTITION_PROPERTY, 0, &property, 4,
			    &value, 8)) == EINVAL);
	EXPECT(ERRNO(hvcall(machine.partition, HVCALL_GET_PARTITION_PROPERTY, 0, &property, 16,
			    &value, 8192)) == EINVAL);
	EXPECT(ERRNO(hvcall(machine.partition, HVCALL_GET_PARTITION_PROPERTY, 0, (void *)8, 16,
			    &value, 8)) == EFAULT);
	cpu_destroy(&cpu);
	machine_destroy(&machine);
}

int main(void)
{
	static const struct {
		const char *name;
		void (*function)(void);
	} tests[] = {
		{"intercepts", test_intercepts},
		{"exceptions", test_exceptions},
		{"software events", test_software_events},
		{"signals", test_signals},
		{"signals between calls", test_signals_between},
		{"runs by fdatasync()", test_fdatasync},
		{"memory", test_memory},
		{"read-only memory", test_read_only_memory},
		{"locked memory", test_locked_memory},
		{"charged memory", test_charged_memory},
		{"refusals", test_refusals},
		{"state", test_state},
		{"access bitmap", test_access_bitmap},
		{"access bitmap of large pages", test_access_bitmap_of_large_pages},
		{"irqfd", test_irqfd},
		{"level-triggered interrupts", test_level},
		{"ioeventfd", test_ioeventfd},
		{"ioeventfd of all sizes", test_ioeventfd_sizes},
		{"signal eventfd", test_signal_eventfd},
		{"shares of event flags", test_signal_shares},
	};
	long root_pages = held("root_pages");

	for (size_t i = 0; i < sizeof(tests) / sizeof(tests[0]); i++) {
		printf("%s\n", tests[i].name);
		fflush(stdout);
		tests[i].function();
		EXPECT(!held("partitions") && !held("deposited") && !held("pinned"));
		EXPECT(held("root_pages") == root_pages);
	}
	printf("all hold\n");
	return 0;
}
