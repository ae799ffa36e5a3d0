/* See mshv_events.h. */
#include "tests/system/mshv_events.h"

#include <errno.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "lib/check.h"
#include "tests/system/mshv.h"

#define MEMORY   (4ul << 20)
#define IDT      0x2000u
#define HANDLER  0x3000u
#define DOORBELL 0xfe000000u

/* What was signalled; waits for it, as the root may hear of it on another processor. */
static uint64_t count_of(int eventfd)
{
	struct pollfd poll_fd = {.fd = eventfd, .events = POLLIN};
	uint64_t count = 0;

	poll(&poll_fd, 1, 2000);
	return read(eventfd, &count, sizeof(count)) == sizeof(count) ? count : 0;
}

/* Nothing is signalled, nor will be: whatever was, has come by now. */
static bool silent(int eventfd)
{
	struct pollfd poll_fd = {.fd = eventfd, .events = POLLIN};

	return poll(&poll_fd, 1, 50) == 0;
}

/* Software-enables the local APIC, waits for an interrupt, acknowledges it, says its name on port
 * 0x80. */
static const uint8_t interrupt_code[] = {
	0xb9, 0x1b, 0x00, 0x00, 0x00, /* mov ecx, IA32_APIC_BASE */
	0x0f, 0x32,                   /* rdmsr */
	0x80, 0xcc, 0x0c,             /* or ah, 0x0c: enabled, x2APIC */
	0x0f, 0x30,                   /* wrmsr */
	0xb9, 0x0f, 0x08, 0x00, 0x00, /* mov ecx, x2APIC SIVR */
	0xb8, 0xff, 0x01, 0x00, 0x00, /* mov eax, 0x1ff */
	0x31, 0xd2,                   /* xor edx, edx */
	0x0f, 0x30,                   /* wrmsr */
	0xb0, 0x01, 0xe6, 0x80,       /* mov al, 1; out 0x80, al */
	0xfb,                         /* sti */
	0xf4,                         /* hlt */
	0xeb, 0xfd,                   /* jmp back to hlt */
};

static const uint8_t interrupt_handler[] = {
	0xb0, 0x33, 0xe6, 0x80,       /* mov al, 0x33; out 0x80, al */
	0xb9, 0x0b, 0x08, 0x00, 0x00, /* mov ecx, x2APIC EOI */
	0x31, 0xc0, 0x31, 0xd2,       /* xor eax, eax; xor edx, edx */
	0x0f, 0x30,                   /* wrmsr */
	0xb0, 0x44, 0xe6, 0x80,       /* mov al, 0x44; out 0x80, al */
	0xcf,                         /* iret */
};

static void put_interrupt_guest(const struct machine *machine, const struct cpu *cpu,
				uint8_t vector)
{
	const uint32_t gate[2] = {8u << 16 | HANDLER, 0x8e00};
	union hv_register_value idtr = {.table = {.limit = 0x7ff, .base = IDT}};
	union hv_register_value gdtr = {.table = {.limit = 23, .base = 0x2800}};
	const uint64_t gdt[3] = {0, 0x00cf9b000000ffffull, 0x00cf93000000ffffull};

	put_code(machine, CODE, interrupt_code, sizeof(interrupt_code));
	put_code(machine, HANDLER, interrupt_handler, sizeof(interrupt_handler));
	put_code(machine, IDT + vector * 8u, gate, sizeof(gate));
	put_code(machine, 0x2800, gdt, sizeof(gdt));
	cpu_set(cpu, 0, HV_X64_REGISTER_IDTR, idtr);
	cpu_set(cpu, 0, HV_X64_REGISTER_GDTR, gdtr);
}

static void set_route(const struct machine *machine, uint32_t gsi, uint32_t data)
{
	struct {
		struct mshv_user_irq_table head;
		struct mshv_user_irq_entry entry;
	} table = {{.nr = 1}, {.gsi = gsi, .address_lo = 0xfee00000, .data = data}};

	EXPECT(!ioctl(machine->partition, MSHV_SET_MSI_ROUTING, &table));
}

static void expect_interrupt(const struct cpu *cpu)
{
	expect_port(cpu, 0x33);
	expect_port(cpu, 0x44);
}

/*
 * The end of a level-triggered interrupt is a message, beside whatever the guest does next: it need
 * not be the first to come.
 */
static void expect_end(const struct cpu *cpu, uint8_t vector)
{
	struct hv_message message;
	const struct hv_x64_apic_eoi_message *end = (const void *)message.u.payload;
	const struct hv_x64_io_port_intercept_message *io = (const void *)message.u.payload;
	bool ended = false, written = false;

	while (!ended || !written) {
		uint32_t type = cpu_run(cpu, &message, 2000);

		if (type == HVMSG_X64_APIC_EOI && !ended) {
			EXPECT(end->vp_index == 0 && end->interrupt_vector == vector);
			ended = true;
			continue;
		}
		EXPECT(type == HVMSG_X64_IO_PORT_INTERCEPT && !written && (uint8_t)io->rax == 0x44);
		cpu_skip(cpu, 2);
		written = true;
	}
}

/* An irqfd interrupts a halted VP; a level-triggered one tells of the EOI; after deassignment there
 * is silence. */
void test_irqfd(void)
{
	struct mshv_user_irqfd irqfd = {.gsi = 5};
	int event = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC),
	    resample = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	const uint64_t one = 1;
	struct hv_message message;
	struct machine machine;
	struct cpu cpu;

	machine_create(&machine, MEMORY);
	cpu_create(&machine, &cpu, 0, CODE);
	put_interrupt_guest(&machine, &cpu, 0x41);
	expect_port(&cpu, 1);

	set_route(&machine, 5, 0x41);
	irqfd.fd = event;
	irqfd.resamplefd = resample;
	EXPECT(!ioctl(machine.partition, MSHV_IRQFD, &irqfd));
	EXPECT(ERRNO(ioctl(machine.partition, MSHV_IRQFD, &irqfd)) == EBUSY);
	EXPECT(!cpu_run(&cpu, &message, 30)); /* halts */
	EXPECT(write(event, &one, sizeof(one)) == sizeof(one));
	expect_interrupt(&cpu);
	EXPECT(!cpu_run(&cpu, &message, 30));

	irqfd.flags = 1 << MSHV_IRQFD_BIT_DEASSIGN;
	EXPECT(!ioctl(machine.partition, MSHV_IRQFD, &irqfd));
	EXPECT(write(event, &one, sizeof(one)) == sizeof(one));
	EXPECT(!cpu_run(&cpu, &message, 30));
	EXPECT(count_of(event) == 1);

	irqfd.flags = 1 << MSHV_IRQFD_BIT_RESAMPLE;
	EXPECT(ERRNO(ioctl(machine.partition, MSHV_IRQFD, &irqfd)) == EINVAL); /* an edge */
	set_route(&machine, 5, 0x41 | 1 << 14 | 1 << 15);
	EXPECT(!ioctl(machine.partition, MSHV_IRQFD, &irqfd));
	EXPECT(write(event, &one, sizeof(one)) == sizeof(one));
	expect_port(&cpu, 0x33);
	EXPECT(silent(resample));
	expect_end(&cpu, 0x41);
	EXPECT(!cpu_run(&cpu, &message, 30));
	EXPECT(count_of(resample) == 1);
	cpu_destroy(&cpu);
	machine_destroy(&machine);
	close(event);
	close(resample);
}

/* A level-triggered interrupt that an IO-APIC in user space sends: it hears of the end of each. */
void test_level(void)
{
	struct hv_input_assert_virtual_interrupt input = {.control.level_triggered = 1,
							  .vector = 0x41};
	struct hv_message message;
	struct machine machine;
	struct cpu cpu;

	machine_create(&machine, MEMORY);
	cpu_create(&machine, &cpu, 0, CODE);
	put_interrupt_guest(&machine, &cpu, 0x41);
	expect_port(&cpu, 1);
	for (int i = 0; i < 50; i++) {
		EXPECT(!hvcall(machine.partition, HVCALL_ASSERT_VIRTUAL_INTERRUPT, 0, &input,
			       sizeof(input), NULL, 0));
		expect_port(&cpu, 0x33);
		expect_end(&cpu, 0x41);
	}
	EXPECT(!cpu_run(&cpu, &message, 30));
	cpu_destroy(&cpu);
	machine_destroy(&machine);
}

/* A write to a doorbell signals and does not stop the VP; a value that does not match does. */
void test_ioeventfd(void)
{
	static const uint8_t code[] = {
		0xb8, 0x07, 0x00, 0x00, 0x00, /* mov eax, 7 */
		0xa3, 0x00, 0x00, 0x00, 0xfe, /* mov [DOORBELL], eax */
		0xa3, 0x00, 0x00, 0x00, 0xfe, /* again */
		0xb0, 0x55, 0xe6, 0x80,       /* mov al, 0x55; out 0x80, al */
		0xa3, 0x00, 0x00, 0x00, 0xfe, /* mov [DOORBELL], eax: another value */
	};
	struct mshv_user_ioeventfd bell = {
		.addr = DOORBELL,
		.len = 4,
		.datamatch = 7,
		.flags = 1 << MSHV_IOEVENTFD_BIT_DATAMATCH,
	};
	int event = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	struct hv_message message;
	struct machine machine;
	struct cpu cpu;

	machine_create(&machine, MEMORY);
	put_code(&machine, CODE, code, sizeof(code));
	cpu_create(&machine, &cpu, 0, CODE);
	bell.fd = event;
	EXPECT(!ioctl(machine.partition, MSHV_IOEVENTFD, &bell));
	EXPECT(ERRNO(ioctl(machine.partition, MSHV_IOEVENTFD, &bell)) == EEXIST);
	expect_port(&cpu, 0x55);
	EXPECT(count_of(event) >= 1);
	EXPECT(cpu_run(&cpu, &message, 2000) == HVMSG_UNMAPPED_GPA);
	EXPECT(silent(event));

	bell.flags |= 1 << MSHV_IOEVENTFD_BIT_DEASSIGN;
	EXPECT(!ioctl(machine.partition, MSHV_IOEVENTFD, &bell));
	EXPECT(ERRNO(ioctl(machine.partition, MSHV_IOEVENTFD, &bell)) == ENOENT);
	cpu_set(&cpu, 0, HV_X64_REGISTER_RIP, (union hv_register_value){.reg64 = CODE});
	EXPECT(cpu_run(&cpu, &message, 2000) == HVMSG_UNMAPPED_GPA);
	bell.flags = 1 << MSHV_IOEVENTFD_BIT_PIO;
	EXPECT(ERRNO(ioctl(machine.partition, MSHV_IOEVENTFD, &bell)) == EOPNOTSUPP);
	bell.flags = 0;
	bell.len = 3;
	EXPECT(ERRNO(ioctl(machine.partition, MSHV_IOEVENTFD, &bell)) == EINVAL);
	cpu_destroy(&cpu);
	machine_destroy(&machine);
	close(event);
}

/* Doorbells of the sizes that are not a register's of this mode; the guest stops at none of
 * them. */
void test_ioeventfd_sizes(void)
{
	static const uint8_t code[] = {
		0x66, 0xa3, 0x02, 0x00, 0x00, 0xfe,             /* mov [DOORBELL + 2], ax */
		0xa2, 0x05, 0x00, 0x00, 0xfe,                   /* mov [DOORBELL + 5], al */
		0xc6, 0x05, 0x05, 0x00, 0x00, 0xfe, 0x33,       /* mov byte [DOORBELL + 5], 0x33 */
		0x66, 0xc7, 0x05, 0x08, 0x00, 0x00, 0xfe, 1, 2, /* mov word [DOORBELL + 8], 0x201 */
		0xb0, 0x55, 0xe6, 0x80,                         /* mov al, 0x55; out 0x80, al */
		0xa2, 0x02, 0x00, 0x00, 0xfe, /* mov [DOORBELL + 2], al: another size */
	};
	static const struct {
		uint32_t offset, length;
	} bells[] = {{2, 2}, {5, 1}, {8, 0}};
	int events[ARRAY_COUNT(bells)];
	struct hv_message message;
	struct machine machine;
	struct cpu cpu;

	machine_create(&machine, MEMORY);
	put_code(&machine, CODE, code, sizeof(code));
	cpu_create(&machine, &cpu, 0, CODE);
	for (unsigned int i = 0; i < ARRAY_COUNT(bells); i++) {
		struct mshv_user_ioeventfd bell = {.addr = DOORBELL + bells[i].offset,
						   .len = bells[i].length};

		events[i] = bell.fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
		EXPECT(!ioctl(machine.partition, MSHV_IOEVENTFD, &bell));
	}
	expect_port(&cpu, 0x55);
	for (unsigned int i = 0; i < ARRAY_COUNT(bells); i++) {
		EXPECT(count_of(events[i]) >= 1);
	}
	EXPECT(cpu_run(&cpu, &message, 2000) == HVMSG_UNMAPPED_GPA);
	EXPECT(silent(events[0]));
	cpu_destroy(&cpu);
	machine_destroy(&machine);
	for (unsigned int i = 0; i < ARRAY_COUNT(bells); i++) {
		close(events[i]);
	}
}

/* Binds connections from `first` on; how many it were until there was no event flag for the
 * next. */
static unsigned int bind_signals(const struct machine *machine, int event, unsigned int first)
{
	struct mshv_vd_signal_eventfd binding = {.fd = event};
	unsigned int count;

	for (count = 0; count <= 2048; count++) {
		binding.connection_id = first + count;
		if (ioctl(machine->partition, MSHV_VD_SIGNAL_EVENTFD, &binding)) {
			EXPECT(errno == ENOSPC);
			break;
		}
	}
	return count;
}

/* The event flags are for all partitions: what one takes leaves others theirs. */
void test_signal_shares(void)
{
	int event = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	struct machine greedy, modest;

	machine_create(&greedy, MEMORY);
	machine_create(&modest, MEMORY);
	EXPECT(bind_signals(&greedy, event, 1) == 1024);
	EXPECT(bind_signals(&modest, event, 1) == 64);
	machine_destroy(&greedy);
	EXPECT(bind_signals(&modest, event, 65) == 1024 - 64);
	machine_destroy(&modest);
	close(event);
}

/* The guest's HvCallSignalEvent on a bound connection signals; the result is in EAX. */
void test_signal_eventfd(void)
{
	static const uint8_t code[] = {
		0xb9, 0x00, 0x00, 0x00, 0x40, /* mov ecx, HV_X64_MSR_GUEST_OS_ID */
		0xb8, 0x01, 0x00, 0x00, 0x00, /* mov eax, 1 */
		0xba, 0x00, 0x00, 0x00, 0x81, /* mov edx, 0x81000000 */
		0x0f, 0x30,                   /* wrmsr */
		0xb8, 0x5d, 0x00, 0x01, 0x00, /* mov eax, HVCALL_SIGNAL_EVENT, fast */
		0x31, 0xd2,                   /* xor edx, edx */
		0xb9, 0x23, 0x01, 0x00, 0x00, /* mov ecx, 0x123: the connection */
		0x31, 0xdb,                   /* xor ebx, ebx: flag 0 */
		0x31, 0xff,                   /* xor edi, edi */
		0x31, 0xf6,                   /* xor esi, esi */
		0x0f, 0x01, 0xd9,             /* vmmcall */
		0xe6, 0x80,                   /* out 0x80, al: the status */
		0xeb, 0xe7,                   /* jmp back to the call */
	};
	struct mshv_vd_signal_eventfd binding = {.connection_id = 0x123};
	int event = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	struct machine machine;
	struct cpu cpu;

	machine_create(&machine, MEMORY);
	put_code(&machine, CODE, code, sizeof(code));
	cpu_create(&machine, &cpu, 0, CODE);
	expect_port(&cpu, HV_STATUS_INVALID_CONNECTION_ID);
	binding.fd = event;
	EXPECT(!ioctl(machine.partition, MSHV_VD_SIGNAL_EVENTFD, &binding));
	EXPECT(ERRNO(ioctl(machine.partition, MSHV_VD_SIGNAL_EVENTFD, &binding)) == EEXIST);
	expect_port(&cpu, HV_STATUS_SUCCESS);
	EXPECT(count_of(event) == 1);
	binding.flags = 1 << MSHV_VD_SIGNAL_EVENTFD_BIT_DEASSIGN;
	EXPECT(!ioctl(machine.partition, MSHV_VD_SIGNAL_EVENTFD, &binding));
	expect_port(&cpu, HV_STATUS_INVALID_CONNECTION_ID);
	EXPECT(silent(event));
	cpu_destroy(&cpu);
	machine_destroy(&machine);
	close(event);
}
