/*
 * hvrun GUEST.elf: the benchmarks' guest on /dev/mshv, told to measure signals: one VP, 64 MiB,
 * COM1 to standard output, and what signals.h names. As kvmrun, by the module's own calls and
 * without a filter of system calls.
 */
#include "tests/bench/signals.h"
#include "tests/system/mshv.h"

#include <errno.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define MEMORY_BYTES (64ul << 20)
#define COM1         0x3f8
#define LINE_READY   0x60
#define MAGIC        0x2badb002
#define GSI          5
#define DELIVER_TO_0 0xfee00000u

static void offer_messages(const struct machine *machine)
{
	struct hv_input_install_intercept input = {
		.access_type = HV_INTERCEPT_ACCESS_MASK_EXECUTE,
		.intercept_type = HV_INTERCEPT_TYPE_UNKNOWN_SYNIC_CONNECTION,
	};

	EXPECT(!hvcall(machine->partition, HVCALL_INSTALL_INTERCEPT, 0, &input, sizeof(input), NULL,
		       0));
}

static void bind_signals(const struct machine *machine, const struct signals *signals)
{
	struct mshv_user_ioeventfd doorbell = {
		.addr = SIGNALS_DOORBELL, .len = 2, .fd = signals->doorbell};
	struct mshv_vd_signal_eventfd events[] = {
		{.connection_id = SIGNALS_EVENT, .fd = signals->event},
		{.connection_id = SIGNALS_THREAD_EVENT, .fd = signals->thread_event}};
	struct {
		struct mshv_user_irq_table head;
		struct mshv_user_irq_entry entry;
	} routes = {{.nr = 1}, {.gsi = GSI, .address_lo = DELIVER_TO_0, .data = SIGNALS_VECTOR}};
	struct mshv_user_irqfd interrupt = {.fd = signals->interrupt, .gsi = GSI};

	EXPECT(!ioctl(machine->partition, MSHV_IOEVENTFD, &doorbell));
	EXPECT(!ioctl(machine->partition, MSHV_VD_SIGNAL_EVENTFD, &events[0]));
	EXPECT(!ioctl(machine->partition, MSHV_VD_SIGNAL_EVENTFD, &events[1]));
	EXPECT(!ioctl(machine->partition, MSHV_SET_MSI_ROUTING, &routes));
	EXPECT(!ioctl(machine->partition, MSHV_IRQFD, &interrupt));
}

/* The answer is in RAX, behind the instruction. */
static void answer(const struct cpu *cpu, unsigned int length, uint64_t rax)
{
	cpu->registers->rax = rax;
	cpu->registers->dirty |= 1 << HV_X64_REGISTER_CLASS_GENERAL;
	cpu_skip(cpu, length);
}

static void port_access(const struct cpu *cpu, const struct signals *signals)
{
	const struct hv_x64_io_port_intercept_message *io = (const void *)cpu->intercept->u.payload;
	uint64_t rax = io->rax;

	if (io->header.intercept_access_type == HV_INTERCEPT_ACCESS_READ) {
		rax = (rax & ~0xffull) | (io->port_number == COM1 + 5 ? LINE_READY : 0xff);
	} else if (io->port_number == COM1) {
		putchar((uint8_t)rax);
	} else if (io->port_number == SIGNALS_PORT) {
		signals_interrupt(signals);
	}
	if (rax == io->rax) {
		cpu_skip(cpu, io->header.instruction_length);
	} else {
		answer(cpu, io->header.instruction_length, rax);
	}
}

int main(int argc, char **argv)
{
	const union hv_register_value magic = {.reg64 = MAGIC}, info = {.reg64 = SIGNALS_INFO_GPA};
	const struct hv_x64_hypercall_intercept_message *call;
	struct machine machine;
	struct signals signals;
	struct cpu cpu;

	if (argc != 2) {
		fprintf(stderr, "usage: hvrun GUEST.elf\n");
		return 2;
	}
	machine_create(&machine, MEMORY_BYTES);
	offer_messages(&machine);
	cpu_create(&machine, &cpu, 0,
		   signals_load(argv[1], machine.memory, MEMORY_BYTES, SIGNALS_WORD));
	cpu_set(&cpu, 0, HV_X64_REGISTER_RAX, magic);
	cpu_set(&cpu, 0, HV_X64_REGISTER_RBX, info);
	signals_begin(&signals, machine.memory);
	bind_signals(&machine, &signals);
	setlinebuf(stdout);
	call = (const void *)cpu.intercept->u.payload;
	for (;;) {
		if (fdatasync(cpu.fd)) {
			EXPECT(errno == EINTR);
			continue;
		}
		switch (cpu.intercept->header.message_type) {
		case HVMSG_X64_IO_PORT_INTERCEPT:
			port_access(&cpu, &signals);
			break;
		case HVMSG_HYPERCALL_INTERCEPT:
			answer(&cpu, call->header.instruction_length, 0);
			break;
		case HVMSG_UNRECOVERABLE_EXCEPTION:
			return 0;
		default:
			fprintf(stderr, "the guest ended by message %#x\n",
				cpu.intercept->header.message_type);
			return 1;
		}
	}
}
