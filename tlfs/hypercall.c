/*
 * Hypercall entry (TLFS: Hypercall Interface): control word, where parameters are, result word.
 *
 * Order of the checks: the caller identified itself, the call exists, the caller may make it, the
 * control word fits the call, its memory can be used. Only then the handler runs, on copies; so it
 * never sees guest memory and never fails for it.
 *
 *   RCX control -> row of the table -> input copied -> handler -> output copied -> RAX result
 *                       |                  |              |
 *                  unknown: perhaps   page missing:  not finished: RCX moves on, and the
 *                  the parent's       memory         instruction is executed again
 *                                     intercept
 */
#include "tlfs/hypercall.h"

#define XMM_BLOCK_BYTES 112u /* RDX, R8, XMM0-5 */
#define ROUND_UP(n, to) (((n) + (to)-1) & ~((uint32_t)(to)-1))

/* How many bytes the control word says that there are. */
struct shape {
	uint32_t header; /* fixed and variable */
	uint32_t input;  /* with the list */
	uint32_t output;
};

static struct shape shape_of(const struct hypercall_row *row, union hv_hypercall_input control)
{
	struct shape shape = {.header = row->input + 8u * control.variable_header_size};

	shape.input = shape.header + (uint32_t)control.rep_count * row->list;
	shape.output = row->output + (uint32_t)control.rep_count * row->output_list;
	return shape;
}

static enum hypercall_action finish(struct hypercall_regs *regs, hv_status_t status, uint32_t done)
{
	regs->rax = status | (uint64_t)done << HV_HYPERCALL_REP_COMP_OFFSET;
	return HYPERCALL_DONE;
}

/* ---- Parameters ---- */

/*
 * The parameters begin at 8 bytes, stay in their page and in the address space
 * (HV_STATUS_INVALID_ALIGNMENT if not).
 */
static inline bool well_placed(uint64_t gpa, uint32_t size)
{
	return !(gpa & 7) && (gpa & PAGE_MASK) + size <= PAGE_SIZE &&
	       !(gpa >> plat_info.physical_address_bits);
}

/* A child's parent may bring the page; the root has nobody to ask. */
static enum hypercall_action memory_fault(struct vp *vp, struct hypercall_regs *regs, uint64_t gpa,
					  bool write)
{
	const union hv_hypercall_input control = {.as_uint64 = regs->rcx};

	if (vp->partition->parent == NULL) {
		return finish(regs, HV_STATUS_INVALID_ALIGNMENT, control.rep_start_index);
	}
	regs->fault_gpa = (gpa_t){gpa};
	regs->fault_write = write;
	return HYPERCALL_MEMORY;
}

/*
 * Header and this slice of the list, each byte once. The two are read in one piece when they lie
 * together.
 */
static bool fetch_memory(struct vp *vp, uint64_t gpa, const struct hypercall *call, uint32_t header,
			 uint32_t list)
{
	uint32_t size = (call->end - call->start) * list;
	uint8_t *to = vp->hypercall_input;

	if (call->start == 0) {
		return plat_gpa_read(vp->partition, (gpa_t){gpa}, to, header + size);
	}
	if (header && !plat_gpa_read(vp->partition, (gpa_t){gpa}, to, header)) {
		return false;
	}
	gpa += header + call->start * list;
	return !size || plat_gpa_read(vp->partition, (gpa_t){gpa}, to + header, size);
}

/* All of the registers; a list is then moved so that it begins with its first element to do. */
static void fetch_fast(struct vp *vp, const struct hypercall_regs *regs,
		       const struct hypercall *call, struct shape shape, uint32_t list)
{
	uint64_t *to = vp->hypercall_input;
	uint8_t *elements = (uint8_t *)to + shape.header;

	to[0] = regs->rdx;
	to[1] = regs->r8;
	if (shape.input > 16) {
		plat_xmm_get(vp, to + 2);
	}
	if (call->start) {
		memmove(elements, elements + call->start * list, (call->end - call->start) * list);
	}
}

static void store_fast(struct vp *vp, struct hypercall_regs *regs, uint32_t offset,
		       const void *from, uint32_t size)
{
	uint64_t block[XMM_BLOCK_BYTES / 8] = {regs->rdx, regs->r8};

	if (offset + size > 16) {
		plat_xmm_get(vp, block + 2);
	}
	memcpy((uint8_t *)block + offset, from, size);
	regs->rdx = block[0];
	regs->r8 = block[1];
	if (offset + size > 16) {
		plat_xmm_set(vp, block + 2);
	}
}

/* The bytes of output from `offset` on: after the input's registers, or at R8. */
static hv_status_t store(struct vp *vp, struct hypercall_regs *regs, uint32_t input,
			 uint32_t offset, const void *from, uint32_t size)
{
	if (regs->rcx & HV_HYPERCALL_FAST_BIT) {
		store_fast(vp, regs, ROUND_UP(input, 16) + offset, from, size);
	} else if (!plat_gpa_write(vp->partition, (gpa_t){regs->r8 + offset}, from, size)) {
		return HV_STATUS_OPERATION_FAILED; /* the page went away since it was checked */
	}
	return HV_STATUS_SUCCESS;
}

/* Gets the input, and sees that the output can be given. True: *action is the end of it. */
static bool read_input(struct vp *vp, struct hypercall_regs *regs, const struct hypercall_row *row,
		       const struct hypercall *call, struct shape shape,
		       enum hypercall_action *action)
{
	if (regs->rcx & HV_HYPERCALL_FAST_BIT) {
		if (ROUND_UP(shape.input, 16) + shape.output > XMM_BLOCK_BYTES) {
			*action = finish(regs, HV_STATUS_INVALID_HYPERCALL_INPUT, call->start);
			return true;
		}
		fetch_fast(vp, regs, call, shape, row->list);
		*action = HYPERCALL_UD;
		return shape.output &&
		       !(vp->partition->privileges >> 32 & HV_FAST_HYPERCALL_OUTPUT);
	}
	if ((shape.input && !well_placed(regs->rdx, shape.input)) ||
	    (shape.output && !well_placed(regs->r8, shape.output))) {
		*action = finish(regs, HV_STATUS_INVALID_ALIGNMENT, call->start);
	} else if (shape.input && !fetch_memory(vp, regs->rdx, call, shape.header, row->list)) {
		*action = memory_fault(vp, regs, regs->rdx, false);
	} else if (shape.output && !plat_gpa_writable(vp->partition, regs->r8 >> PAGE_SHIFT)) {
		*action = memory_fault(vp, regs, regs->r8, true);
	} else {
		return false;
	}
	return true;
}

/* ---- The two kinds of calls ---- */

/* Without lists and variable headers: nothing in the control word but the code and the form. */
static enum hypercall_action enter_simple(struct vp *vp, struct hypercall_regs *regs,
					  const struct hypercall_row *row)
{
	struct hypercall call;
	enum hypercall_action action;
	hv_status_t status;

	if (regs->rcx & ~(HV_HYPERCALL_CODE_MASK | HV_HYPERCALL_FAST_BIT)) {
		return finish(regs, HV_STATUS_INVALID_HYPERCALL_INPUT, 0);
	}
	call.vp = vp;
	call.input = vp->hypercall_input;
	call.output = vp->hypercall_output;
	call.start = call.end = call.done = call.variable_size = 0;
	call.again = call.intercept = false;
	if (regs->rcx & HV_HYPERCALL_FAST_BIT && row->input <= 16 && !row->output) {
		((uint64_t *)vp->hypercall_input)[0] = regs->rdx;
		((uint64_t *)vp->hypercall_input)[1] = regs->r8;
	} else if (read_input(vp, regs, row, &call,
			      (struct shape){row->input, row->input, row->output}, &action)) {
		return action;
	}
	if (row->output) {
		memset(call.output, 0, row->output);
	}
	status = row->handler(&call);
	if (call.intercept) {
		return HYPERCALL_INTERCEPT;
	}
	if (status == HV_STATUS_SUCCESS && call.again) {
		return HYPERCALL_AGAIN;
	}
	if (status == HV_STATUS_SUCCESS && row->output) {
		status = store(vp, regs, row->input, 0, call.output, row->output);
	}
	return finish(regs, status, call.done);
}

static bool control_fits(const struct hypercall_row *row, union hv_hypercall_input control)
{
	if (control.as_uint64 & (HV_HYPERCALL_RSVD_MASK | HV_HYPERCALL_NESTED)) {
		return false;
	}
	if (control.as_uint64 & HV_HYPERCALL_VARHEAD_MASK && !row->variable) {
		return false;
	}
	if (!row->slice) {
		return !control.rep_count && !control.rep_start_index;
	}
	return control.rep_start_index < control.rep_count;
}

/* What the handler made, of a call that may be at any point of its list. */
static enum hypercall_action leave_list(struct vp *vp, struct hypercall_regs *regs,
					const struct hypercall_row *row,
					const struct hypercall *call, struct shape shape,
					hv_status_t status)
{
	const union hv_hypercall_input control = {.as_uint64 = regs->rcx};
	uint32_t size = (call->done - call->start) * row->output_list;
	hv_status_t stored = HV_STATUS_SUCCESS;

	if (size) {
		stored = store(vp, regs, shape.input, row->output + call->start * row->output_list,
			       call->output_list, size);
	} else if (row->output && status == HV_STATUS_SUCCESS) {
		stored = store(vp, regs, shape.input, 0, call->output, row->output);
	}
	if (stored != HV_STATUS_SUCCESS) {
		status = stored;
	}
	if (status != HV_STATUS_SUCCESS || call->done == control.rep_count) {
		return finish(regs, status, call->done);
	}
	regs->rcx &= ~HV_HYPERCALL_REP_START_MASK;
	regs->rcx |= (uint64_t)call->done << HV_HYPERCALL_REP_START_OFFSET;
	return HYPERCALL_AGAIN;
}

static __attribute__((noinline)) enum hypercall_action
enter_list(struct vp *vp, struct hypercall_regs *regs, const struct hypercall_row *row)
{
	const union hv_hypercall_input control = {.as_uint64 = regs->rcx};
	const uint32_t start = control.rep_start_index, left = control.rep_count - start;
	struct shape shape;
	struct hypercall call;
	enum hypercall_action action;
	hv_status_t status;

	if (!control_fits(row, control)) {
		return finish(regs, HV_STATUS_INVALID_HYPERCALL_INPUT, 0);
	}
	shape = shape_of(row, control);
	call = (struct hypercall){
		.vp = vp,
		.input = vp->hypercall_input,
		.list = (uint8_t *)vp->hypercall_input + shape.header,
		.output = vp->hypercall_output,
		.output_list = (uint8_t *)vp->hypercall_output + row->output,
		.variable_size = shape.header - row->input,
		.start = start,
		.done = start,
		.end = start + (left > row->slice ? row->slice : left),
	};
	if (read_input(vp, regs, row, &call, shape, &action)) {
		return action;
	}
	if (row->output) {
		memset(call.output, 0, row->output);
	}
	status = row->handler(&call);
	if (call.intercept) {
		return HYPERCALL_INTERCEPT;
	}
	return leave_list(vp, regs, row, &call, shape, status);
}

enum hypercall_action hypercall_enter(struct vp *vp, struct hypercall_regs *regs)
{
	const struct partition *p = vp->partition;
	const struct hypercall_row *row;

	if (!__atomic_load_n(&p->guest_os_id, __ATOMIC_RELAXED)) {
		return HYPERCALL_UD;
	}
	row = hypercall_find((uint16_t)regs->rcx);
	if (row == NULL) {
		if (p->intercept_hypercall) {
			return HYPERCALL_INTERCEPT;
		}
		return finish(regs, HV_STATUS_INVALID_HYPERCALL_CODE, 0);
	}
	if (row->privilege & ~(uint32_t)(p->privileges >> 32)) {
		return finish(regs, HV_STATUS_ACCESS_DENIED, 0);
	}
	if (row->slice || row->variable) {
		return enter_list(vp, regs, row);
	}
	return enter_simple(vp, regs, row);
}
