/* What the worker does about each kind of exit: the one way from a VP to the devices. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "worker/crash.h"
#include "worker/machine.h"
#include "worker/say.h"

#define PLACE_SIZE 80

static void handle_port(struct board *board, struct vp_exit *exit)
{
	if (exit->port.write) {
		board_port_write(board, exit->port.port, exit->port.size, exit->port.value);
	} else {
		exit->port.value = board_port_read(board, exit->port.port, exit->port.size);
	}
}

static void handle_memory(struct board *board, struct vp_exit *exit)
{
	if (exit->memory.write) {
		board_memory_write(board, exit->memory.gpa, exit->memory.size, exit->memory.value);
	} else {
		exit->memory.value = board_memory_read(board, exit->memory.gpa, exit->memory.size);
	}
}

static void handle_ports(struct board *board, struct vp_exit *exit)
{
	const uint16_t port = exit->ports.port;
	const uint8_t size = exit->ports.size;
	uint8_t *item = exit->ports.items;

	for (uint32_t i = 0; i < exit->ports.count; i++, item += size) {
		uint32_t value = 0;

		if (exit->ports.write) {
			memcpy(&value, item, size);
			board_port_write(board, port, size, value);
		} else {
			value = board_port_read(board, port, size);
			memcpy(item, &value, size);
		}
	}
}

/* Where a VP is, for messages: what finds the place in the guest's own listing. */
static const char *place(struct machine_vp *vp, char text[static PLACE_SIZE])
{
	struct vp_registers r;
	const struct vp_segment *cs = &r.segments[VP_CS];
	int length;

	if (backend_vp_load(vp->vp, &r) != 0) {
		return "an unknown place";
	}
	length = snprintf(text, PLACE_SIZE, "RIP %#llx, CPL %u", (unsigned long long)r.rip,
			  insn_cpl(&r));
	if (insn_code_size(&r) != 8) {
		snprintf(text + length, PLACE_SIZE - (size_t)length, ", CS %#x at %#llx",
			 cs->selector, (unsigned long long)cs->base);
	}
	return text;
}

/* The guest's own instruction that we cannot do is its own problem, and the guest is told so. */
static void refuse_instruction(struct machine_vp *vp, const struct vp_exit *exit)
{
	const uint8_t *b = exit->instruction.bytes;
	char text[PLACE_SIZE];

	say_guest("VP %u: an instruction on device memory at %#llx that is not supported (%02x "
		  "%02x %02x %02x %02x %02x "
		  "%02x %02x), at %s: the guest gets #UD",
		  vp->index, (unsigned long long)exit->instruction.gpa, b[0], b[1], b[2], b[3],
		  b[4], b[5], b[6], b[7], place(vp, text));
	if (backend_vp_inject_exception(vp->vp, VP_EXCEPTION_UD, 0, 0) != 0) {
		machine_end(vp->machine, STOP_HOST_ERROR);
	}
}

/* Memory that the guest gave back, and that it touches all the same: it has it again, and the
 * instruction is executed anew. */
static bool was_given_back(struct machine *machine, const struct vp_exit *exit)
{
	static const struct timespec moment = {.tv_nsec = 10000000};
	int ret;

	if (!exit->instruction.gpa_valid ||
	    !memory_is_in_block(&machine->memory, exit->instruction.gpa)) {
		return false;
	}
	ret = memory_bring_back(&machine->memory, exit->instruction.gpa);
	if (ret != 0) {
		/* It waits: there is no answer that it could go on with. */
		say_guest("the guest wants memory that it gave back, and there is none: %s",
			  strerror(-ret));
		nanosleep(&moment, NULL);
	}
	return true;
}

static void handle_instruction(struct machine_vp *vp, const struct vp_exit *exit)
{
	struct machine *machine = vp->machine;

	if (was_given_back(machine, exit)) {
		return;
	}
	switch (emulate(vp->vp, &machine->board, &machine->memory, &vp->cache, exit)) {
	case EMULATE_DONE:
		break;
	case EMULATE_UNSUPPORTED:
		refuse_instruction(vp, exit);
		break;
	case EMULATE_FAILED:
		say("VP %u: its registers cannot be reached", vp->index);
		machine_end(machine, STOP_HOST_ERROR);
		break;
	}
}

static void handle_window(struct machine_vp *vp)
{
	uint8_t vector;

	vp->window = false;
	if (board_pic_acknowledge(&vp->machine->board, &vector) &&
	    backend_vp_inject_extint(vp->vp, vector) != 0) {
		say("VP %u: an interrupt cannot be given to it", vp->index);
		machine_end(vp->machine, STOP_HOST_ERROR);
	}
}

static void fail(struct machine_vp *vp, const char *what)
{
	say("VP %u: %s", vp->index, what);
	machine_end(vp->machine, STOP_HOST_ERROR);
}

static void triple_fault(struct machine_vp *vp)
{
	char text[PLACE_SIZE];

	say_guest("VP %u: triple fault at %s", vp->index, place(vp, text));
	machine_end(vp->machine, STOP_TRIPLE_FAULT);
}

/* These have texts and buffers on the stack, with the guards that belong to them. */
static __attribute__((noinline)) void handle_rest(struct machine_vp *vp, struct vp_exit *exit)
{
	switch (exit->kind) {
	case VP_EXIT_NONE:
	case VP_EXIT_PORT:
	case VP_EXIT_INSTRUCTION:
	case VP_EXIT_CPUID: /* the hypervisor's own answer is right */
		break;
	case VP_EXIT_MEMORY:
		handle_memory(&vp->machine->board, exit);
		break;
	case VP_EXIT_PORTS:
		handle_ports(&vp->machine->board, exit);
		break;
	case VP_EXIT_MSR: /* nobody knows it */
		exit->msr.fault = true;
		break;
	case VP_EXIT_HYPERCALL:
		hypercall_handle(vp->machine, exit);
		break;
	case VP_EXIT_CRASH:
		crash_report(vp, exit->crash_text);
		control_notify(vp->machine);
		break;
	case VP_EXIT_EOI:
		board_apic_eoi(&vp->machine->board, exit->eoi_vector);
		break;
	case VP_EXIT_WINDOW:
		handle_window(vp);
		break;
	case VP_EXIT_HALT:
		fail(vp, "halted, and the hypervisor does not wake it");
		break;
	case VP_EXIT_TRIPLE_FAULT:
		triple_fault(vp);
		break;
	case VP_EXIT_INVALID_STATE:
		fail(vp, "the hypervisor refuses the state of its registers");
		break;
	case VP_EXIT_UNKNOWN:
		say("VP %u: a message of type %#x from the hypervisor that is not understood",
		    vp->index, exit->code);
		machine_end(vp->machine, STOP_HOST_ERROR);
		break;
	}
}

/* A variable of firmware's is there when its file has it, or the machine does not go on. */
static void settle(struct machine *machine)
{
	while (!nvram_settle(&machine->firmware.nvram) &&
	       atomic_load(&machine->stop) == STOP_NONE &&
	       atomic_load(&machine->pause.state) == PAUSE_NONE) {
	}
}

void intercept_handle(struct machine_vp *vp, struct vp_exit *exit)
{
	if (exit->kind == VP_EXIT_PORT) {
		handle_port(&vp->machine->board, exit);
	} else if (exit->kind == VP_EXIT_INSTRUCTION) {
		handle_instruction(vp, exit);
		settle(vp->machine);
	} else {
		handle_rest(vp, exit);
		settle(vp->machine);
	}
}
