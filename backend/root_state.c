/*
 * The state of a VP, and of its partition, in parts of lib/state.h: registers by their names in the
 * TLFS, and what the module has in one piece (the local APIC, XSAVE, the SynIC's two pages,
 * synthetic timers).
 *
 *   "vp"      index u32, then the parts "regs", "lapic", "xsave" (where the processor has it), "simp", "siefp", "stimers"
 *   "regs"    count u32, then for each register its name u32 and its value, two u64
 *   "stimers" for each timer: waiting bool (its message is to be delivered), configuration, count, next and last expiry, u64
 *   "hv"      of the partition: reference time, guest OS id, hypercall page, reference TSC page, u64
 *
 * A state is read whole, with every name, size and count as they have to be, before the first of it
 * is set.
 */
#include "backend/root.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/state.h"

/*
 * In the order in which they are set: what decides how others are understood comes first, events
 * last. `optional`: not every processor, or every hypervisor, has it.
 */
static const struct row {
	uint32_t name;
	uint8_t count;
	bool optional;
} rows[] = {
	/* clang-format off */
	{HV_X64_REGISTER_APIC_BASE, 1, false},
	{HV_X64_REGISTER_TSC_ADJUST, 1, true},
	{HV_X64_REGISTER_TSC, 1, false},
	{HV_X64_REGISTER_CR0, 1, false},
	{HV_X64_REGISTER_CR3, 1, false},
	{HV_X64_REGISTER_CR4, 1, false},
	{HV_X64_REGISTER_EFER, 1, false},
	{HV_X64_REGISTER_XFEM, 1, true},
	{HV_X64_REGISTER_CR2, 1, false},
	{HV_X64_REGISTER_RAX, 18, false}, /* to RFLAGS */
	{HV_X64_REGISTER_ES, 8, false},   /* to TR */
	{HV_X64_REGISTER_IDTR, 2, false}, /* and GDTR */
	{HV_X64_REGISTER_DR0, 6, false},
	{HV_X64_REGISTER_KERNEL_GS_BASE, 1, false},
	{HV_X64_REGISTER_PAT, 8, false},  /* to SFMASK */
	{HV_X64_REGISTER_TSC_AUX, 1, true},
	{HV_X64_REGISTER_SPEC_CTRL, 1, true},
	{HV_X64_REGISTER_MSR_IA32_MISC_ENABLE, 1, true},
	{HV_X64_REGISTER_MSR_MTRR_PHYS_BASE0, 8, true},
	{HV_X64_REGISTER_MSR_MTRR_PHYS_MASK0, 8, true},
	{HV_X64_REGISTER_MSR_MTRR_FIX64K00000, 11, true},
	{HV_X64_REGISTER_MSR_MTRR_DEF_TYPE, 1, true},
	{HV_X64_REGISTER_SYNTHETIC_TPR, 1, false},
	{HV_REGISTER_VP_ASSIST_PAGE, 1, false},
	{HV_REGISTER_GUEST_CRASH_P0, 5, true},
	{HV_REGISTER_SIEFP, 2, false},    /* and SIMP */
	{HV_REGISTER_SINT0, 16, false},
	{HV_REGISTER_SCONTROL, 1, false},
	{HV_REGISTER_INTERRUPT_STATE, 1, false},
	{HV_REGISTER_PENDING_INTERRUPTION, 1, false},
	{HV_REGISTER_PENDING_EVENT0, 2, false},
	{HV_REGISTER_DELIVERABILITY_NOTIFICATIONS, 1, false},
	/* clang-format on */
};

/* After the local APIC and the timers: they decide what these do. */
static const struct row late_rows[] = {
	{HV_X64_REGISTER_TSC_DEADLINE, 1, true},
	{HV_REGISTER_INTERNAL_ACTIVITY_STATE, 1, false},
};

/* Without XSAVE, what it would have. */
static const struct row fpu_rows[] = {
	{HV_X64_REGISTER_XMM0, 26, false}, /* to XMM_CONTROL_STATUS */
};

#define NAMES_MAX 160
#define PAGE      HV_HYP_PAGE_SIZE
#define XSAVE_MAX (4 * PAGE)

struct registers {
	struct hv_register_assoc assoc[NAMES_MAX];
	bool there[NAMES_MAX], optional[NAMES_MAX];
	size_t count, early, fpu; /* all; those that are set first; the first of the FPU's */
};

struct state {
	_Alignas(PAGE) uint8_t lapic[PAGE];
	uint8_t xsave[XSAVE_MAX], simp[PAGE], siefp[PAGE], stimers[PAGE];
	uint32_t xsave_size; /* 0: none */
	struct registers registers;
};

static void add_rows(struct registers *registers, const struct row *from, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		for (uint32_t j = 0; j < from[i].count; j++) {
			CHECK(registers->count < NAMES_MAX);
			registers->optional[registers->count] = from[i].optional;
			registers->assoc[registers->count++].name = from[i].name + j;
		}
	}
}

static struct state *state_create(void)
{
	struct state *state = aligned_alloc(PAGE, sizeof(*state));

	if (state != NULL) {
		memset(state, 0, sizeof(*state));
		add_rows(&state->registers, rows, ARRAY_COUNT(rows));
		state->registers.early = state->registers.count;
		add_rows(&state->registers, late_rows, ARRAY_COUNT(late_rows));
		state->registers.fpu = state->registers.count;
		add_rows(&state->registers, fpu_rows, ARRAY_COUNT(fpu_rows));
	}
	return state;
}

/* ---- from the hypervisor ---- */

static int get_one(struct backend_vp *vp, struct registers *registers, size_t at)
{
	int ret =
		root_get_registers(vp, &registers->assoc[at].name, &registers->assoc[at].value, 1);

	registers->there[at] = ret == 0;
	return registers->optional[at] ? 0 : ret;
}

/* As many as a call takes; if one of them is not there, each by itself. */
static int get_registers(struct backend_vp *vp, struct registers *registers, size_t first,
			 size_t count)
{
	union hv_register_value values[ROOT_MAX_REGISTERS];
	uint32_t names[ROOT_MAX_REGISTERS] = {0};
	int ret = 0;

	for (size_t i = 0; i < count; i++) {
		names[i] = registers->assoc[first + i].name;
	}
	if (root_get_registers(vp, names, values, count) == 0) {
		for (size_t i = 0; i < count; i++) {
			registers->assoc[first + i].value = values[i];
			registers->there[first + i] = true;
		}
		return 0;
	}
	for (size_t i = 0; i < count && ret == 0; i++) {
		ret = get_one(vp, registers, first + i);
	}
	return ret;
}

static int get_all_registers(struct backend_vp *vp, struct registers *registers, bool xsave)
{
	size_t end = xsave ? registers->fpu : registers->count, step;

	for (size_t i = 0; i < end; i += step) {
		int ret;

		step = end - i < ROOT_MAX_REGISTERS ? end - i : ROOT_MAX_REGISTERS;
		ret = get_registers(vp, registers, i, step);
		if (ret != 0) {
			return ret;
		}
	}
	return 0;
}

/* A page of what is there, whatever its size. */
static int get_piece(struct backend_vp *vp, uint8_t type, uint8_t page[PAGE])
{
	uint32_t size = PAGE;

	return root_get_state(vp, type, page, &size);
}

/* What was sent to the VP, an INIT or a SIPI, is taken when its activity is asked for, and changes
 * other registers: so that is first. */
static int settle(struct backend_vp *vp)
{
	const uint32_t name = HV_REGISTER_INTERNAL_ACTIVITY_STATE;
	union hv_register_value value;
	int ret = root_settle_page(vp);

	return ret == 0 ? root_get_registers(vp, &name, &value, 1) : ret;
}

static int get_state(struct backend_vp *vp, struct state *state)
{
	int ret = settle(vp);

	state->xsave_size = XSAVE_MAX;
	if (ret == 0 && root_get_state(vp, MSHV_VP_STATE_XSAVE, state->xsave, &state->xsave_size)) {
		state->xsave_size = 0;
	}
	if (ret == 0) {
		ret = get_all_registers(vp, &state->registers, state->xsave_size != 0);
	}
	if (ret == 0) {
		ret = get_piece(vp, MSHV_VP_STATE_LAPIC, state->lapic);
	}
	if (ret == 0) {
		ret = get_piece(vp, MSHV_VP_STATE_SIMP, state->simp);
	}
	if (ret == 0) {
		ret = get_piece(vp, MSHV_VP_STATE_SIEFP, state->siefp);
	}
	return ret == 0 ? get_piece(vp, MSHV_VP_STATE_SYNTHETIC_TIMERS, state->stimers) : ret;
}

/* ---- parts ---- */

#define VERSION 1

static void put_piece(struct state_writer *writer, const char *name, const void *from, size_t size)
{
	size_t begin = state_begin(writer, name, VERSION);

	state_put_bytes(writer, from, size);
	state_end(writer, begin);
}

static void put_registers(struct state_writer *writer, const struct registers *registers)
{
	size_t begin = state_begin(writer, "regs", VERSION);
	uint32_t count = 0;

	for (size_t i = 0; i < registers->count; i++) {
		count += registers->there[i];
	}
	state_put_u32(writer, count);
	for (size_t i = 0; i < registers->count; i++) {
		if (registers->there[i]) {
			state_put_u32(writer, registers->assoc[i].name);
			state_put_u64(writer, registers->assoc[i].value.reg128.low_part);
			state_put_u64(writer, registers->assoc[i].value.reg128.high_part);
		}
	}
	state_end(writer, begin);
}

static void put_timers(struct state_writer *writer, const struct hv_synthetic_timers_state *timers)
{
	size_t begin = state_begin(writer, "stimers", VERSION);

	for (unsigned int i = 0; i < HV_SYNIC_STIMER_COUNT; i++) {
		state_put_bool(writer, timers->timers[i].flags.undelivered_msg_pending);
		state_put_u64(writer, timers->timers[i].config);
		state_put_u64(writer, timers->timers[i].count);
		state_put_u64(writer, timers->timers[i].adjustment);
		state_put_u64(writer, timers->timers[i].undelivered_exp_time);
	}
	state_end(writer, begin);
}

int backend_vp_save(struct backend_vp *vp, struct vp_exit *exit, struct state_writer *writer)
{
	struct state *state = state_create();
	int ret = state != NULL ? root_answer(vp, exit) : -ENOMEM;
	size_t begin;

	if (ret == 0) {
		exit->kind = VP_EXIT_NONE;
		ret = get_state(vp, state);
	}
	if (ret == 0) {
		begin = state_begin(writer, "vp", VERSION);
		state_put_u32(writer, vp->index);
		put_registers(writer, &state->registers);
		put_piece(writer, "lapic", state->lapic,
			  sizeof(struct hv_local_interrupt_controller_state));
		if (state->xsave_size != 0) {
			put_piece(writer, "xsave", state->xsave, state->xsave_size);
		}
		put_piece(writer, "simp", state->simp, PAGE);
		put_piece(writer, "siefp", state->siefp, PAGE);
		put_timers(writer, (const void *)state->stimers);
		state_end(writer, begin);
	}
	free(state);
	return ret;
}

static size_t find(const struct registers *registers, uint32_t name)
{
	size_t i = 0;

	while (i < registers->count && registers->assoc[i].name != name) {
		i++;
	}
	return i;
}

static void read_registers(struct state_reader *list, struct registers *registers, bool *fpu)
{
	struct state_reader part = state_part(list, "regs", VERSION);
	uint32_t count = state_u32(&part);

	for (uint32_t i = 0; i < count && state_ok(&part); i++) {
		size_t at = find(registers, state_u32(&part));

		if (at == registers->count || registers->there[at]) {
			state_refuse(&part, "has a register that nobody knows, or one twice");
			return;
		}
		registers->there[at] = true;
		registers->assoc[at].value.reg128.low_part = state_u64(&part);
		registers->assoc[at].value.reg128.high_part = state_u64(&part);
	}
	state_finish(&part);
	*fpu = registers->there[registers->fpu];
	for (size_t i = 0; i < registers->count; i++) {
		if (!registers->there[i] && !registers->optional[i] &&
		    (i < registers->fpu || *fpu)) {
			state_refuse(&part, "has not all registers");
		}
	}
}

static void read_piece(struct state_reader *list, const char *name, void *to, size_t size)
{
	struct state_reader part = state_part(list, name, VERSION);

	state_bytes(&part, to, size);
	state_finish(&part);
}

static void read_xsave(struct state_reader *list, struct state *state, bool fpu)
{
	struct state_reader part;

	if (!state_next_named(list, "xsave", VERSION, &part)) {
		if (!fpu) {
			state_refuse(list, "has no vector registers");
		}
		return;
	}
	state->xsave_size = (uint32_t)state_left(&part);
	if (fpu || state->xsave_size == 0 || state->xsave_size > XSAVE_MAX) {
		state_refuse(&part, "is no XSAVE area of a processor");
		return;
	}
	state_bytes(&part, state->xsave, state->xsave_size);
	state_finish(&part);
}

static void read_timers(struct state_reader *list, struct hv_synthetic_timers_state *timers)
{
	struct state_reader part = state_part(list, "stimers", VERSION);

	for (unsigned int i = 0; i < HV_SYNIC_STIMER_COUNT; i++) {
		timers->timers[i].flags.undelivered_msg_pending = state_bool(&part);
		timers->timers[i].config = state_u64(&part);
		timers->timers[i].count = state_u64(&part);
		timers->timers[i].adjustment = state_u64(&part);
		timers->timers[i].undelivered_exp_time = state_u64(&part);
	}
	state_finish(&part);
}

static bool read_state(struct state_reader *list, uint32_t index, struct state *state)
{
	struct state_reader vp = state_part(list, "vp", VERSION);
	bool fpu = false;

	if (state_u32(&vp) != index) {
		state_refuse(&vp, "is of another VP");
	}
	read_registers(&vp, &state->registers, &fpu);
	read_piece(&vp, "lapic", state->lapic, sizeof(struct hv_local_interrupt_controller_state));
	read_xsave(&vp, state, fpu);
	read_piece(&vp, "simp", state->simp, PAGE);
	read_piece(&vp, "siefp", state->siefp, PAGE);
	read_timers(&vp, (void *)state->stimers);
	state_finish(&vp);
	return state_ok(list);
}

/* ---- to the hypervisor ---- */

static int set_registers(struct backend_vp *vp, const struct registers *registers, size_t first,
			 size_t end)
{
	struct hv_register_assoc assoc[ROOT_MAX_REGISTERS];
	size_t count = 0;
	int ret = 0;

	for (size_t i = first; i < end && ret == 0; i++) {
		if (registers->there[i]) {
			assoc[count++] = registers->assoc[i];
		}
		if (count == ROOT_MAX_REGISTERS || (i + 1 == end && count != 0)) {
			ret = root_set_registers(vp, assoc, count);
			count = 0;
		}
	}
	return ret;
}

/* The module takes whole pages. */
static uint32_t whole_pages(uint32_t size)
{
	return (uint32_t)((size + PAGE - 1) & ~(PAGE - 1));
}

static int set_state(struct backend_vp *vp, struct state *state)
{
	const struct registers *registers = &state->registers;
	int ret = set_registers(vp, registers, 0, registers->early);

	if (ret == 0) {
		ret = root_set_state(vp, MSHV_VP_STATE_LAPIC, state->lapic, PAGE);
	}
	if (ret == 0 && state->xsave_size != 0) {
		ret = root_set_state(vp, MSHV_VP_STATE_XSAVE, state->xsave,
				     whole_pages(state->xsave_size));
	}
	if (ret == 0) {
		ret = root_set_state(vp, MSHV_VP_STATE_SIMP, state->simp, PAGE);
	}
	if (ret == 0) {
		ret = root_set_state(vp, MSHV_VP_STATE_SIEFP, state->siefp, PAGE);
	}
	if (ret == 0) {
		ret = root_set_state(vp, MSHV_VP_STATE_SYNTHETIC_TIMERS, state->stimers, PAGE);
	}
	if (ret == 0) {
		ret = set_registers(vp, registers, registers->fpu, registers->count);
	}
	return ret == 0 ? set_registers(vp, registers, registers->early, registers->fpu) : ret;
}

/* -EINVAL is for a state that was refused before anything was set. */
static int after_change(int ret)
{
	return ret == -EINVAL ? -EIO : ret;
}

int backend_vp_restore(struct backend_vp *vp, struct state_reader *list)
{
	struct state *state = state_create();
	int ret = -ENOMEM;

	if (state != NULL) {
		ret = read_state(list, vp->index, state) ? after_change(set_state(vp, state))
							 : -EINVAL;
	}
	free(state);
	return ret;
}

/* ---- the partition ---- */

/* Registers that all VPs share, in the order in which they are set. */
static const uint32_t shared_names[] = {HV_REGISTER_GUEST_OS_ID, HV_X64_REGISTER_HYPERCALL,
					HV_REGISTER_REFERENCE_TSC};

int backend_partition_save(struct backend_partition *partition, struct state_writer *writer)
{
	struct backend_vp first = {.fd = partition->fd};
	union hv_register_value values[ARRAY_COUNT(shared_names)];
	uint64_t time;
	int ret = root_get_registers(&first, shared_names, values, ARRAY_COUNT(shared_names));
	size_t begin;

	if (ret == 0) {
		ret = root_get_property(partition, HV_PARTITION_PROPERTY_REFERENCE_TIME, &time);
	}
	if (ret == 0) {
		begin = state_begin(writer, "hv", VERSION);
		state_put_u64(writer, time);
		for (size_t i = 0; i < ARRAY_COUNT(shared_names); i++) {
			state_put_u64(writer, values[i].reg64);
		}
		state_end(writer, begin);
	}
	return ret;
}

int backend_partition_restore(struct backend_partition *partition, struct state_reader *list)
{
	struct backend_vp first = {.fd = partition->fd};
	struct hv_register_assoc assoc[ARRAY_COUNT(shared_names)] = {0};
	struct state_reader part = state_part(list, "hv", VERSION);
	uint64_t time = state_u64(&part);
	int ret;

	for (size_t i = 0; i < ARRAY_COUNT(shared_names); i++) {
		assoc[i].name = shared_names[i];
		assoc[i].value.reg64 = state_u64(&part);
	}
	state_finish(&part);
	if (!state_ok(list)) {
		return -EINVAL;
	}
	ret = root_set_property(partition, HV_PARTITION_PROPERTY_REFERENCE_TIME, time);
	if (ret == 0) {
		ret = root_set_registers(&first, assoc, ARRAY_COUNT(assoc));
	}
	return after_change(ret);
}
