/*
 * A task switch always exits, after the processor has checked the gate and the descriptor of the
 * new task; the switch itself is done here (Intel SDM vol. 3, 7.3 and 25.4.2). Tasks of the 16-bit
 * kind are not known: a switch from or to one is an invalid task.
 */
#include "hypervisor/arch/x86/cpu.h"
#include "hypervisor/arch/x86/vmx/vmx.h"
#include "hypervisor/arch/x86/walk.h"
#include "lib/string.h"

#define SOURCE_CALL 0
#define SOURCE_IRET 1
#define SOURCE_JMP  2
#define SOURCE_GATE 3

#define RFLAGS_NT      (1u << 14)
#define SELECTOR_LOCAL (1u << 2)
#define DR6_TASK       (1u << 15)
#define DR7_LOCAL      0x155u

#define RIGHTS_TYPE         0xfu
#define RIGHTS_CODE         (1u << 3)
#define RIGHTS_CONFORMING   (1u << 2)
#define RIGHTS_WRITE        (1u << 1) /* of a data segment */
#define RIGHTS_READ         (1u << 1) /* of a code segment */
#define RIGHTS_S            (1u << 4)
#define RIGHTS_PRESENT      (1u << 7)
#define RIGHTS_4K           (1u << 15)
#define DESCRIPTOR_BUSY     (1ull << 41)
#define DESCRIPTOR_ACCESSED (1ull << 40)
#define TYPE_LDT            2
#define TYPE_TASK_32_BIT    (1u << 3) /* of the four types of tasks, those of 32 bits */

enum { ES, CS, SS, DS, FS, GS, LDTR, TR };

struct task {
	uint16_t link, reserved_2;
	uint32_t stacks[6];
	uint32_t cr3, eip, eflags, gpr[8];
	uint32_t segments[6]; /* ES CS SS DS FS GS */
	uint32_t ldt;
	uint16_t trap, io_map;
};
_Static_assert(sizeof(struct task) == 104, "SDM vol. 3, figure 7-2");

/* The part that a switch away from the task writes. */
#define SAVED_FROM offsetof(struct task, eip)
#define SAVED_SIZE (offsetof(struct task, ldt) - SAVED_FROM)

/* As the processor's own accesses: with supervisor rights. False: a page fault was injected. */
static bool access(struct vcpu *vcpu, uint32_t linear, void *data, uint32_t size, bool write)
{
	uint8_t *at = data;

	while (size) {
		uint32_t part = (uint32_t)(PAGE_SIZE - (linear & PAGE_MASK)), error = 0;
		struct partition *p = vcpu->vp->partition;
		gpa_t gpa;

		part = part < size ? part : size;
		if (walk_gva(vcpu, (gva_t){linear & ~(uint32_t)PAGE_MASK},
			     (write ? WALK_WRITE : WALK_READ) | WALK_SET_BITS, &gpa,
			     &error) != HV_TRANSLATE_GVA_SUCCESS) {
			vendor_inject_page_fault(vcpu, linear, error);
			return false;
		}
		gpa.v = (gpa.v & ~PAGE_MASK) | (linear & PAGE_MASK);
		if (!(write ? plat_gpa_write(p, gpa, at, part) : plat_gpa_read(p, gpa, at, part))) {
			vendor_inject_exception(vcpu, EXC_GP, true, 0);
			return false;
		}
		linear += part;
		at += part;
		size -= part;
	}
	return true;
}

/* Where a descriptor is; false: beyond the end of its table. */
static bool descriptor_at(const struct vcpu *vcpu, uint16_t selector, uint32_t *linear)
{
	bool local = selector & SELECTOR_LOCAL;
	uint64_t limit = vmx_get(vcpu, local ? STATE_LIMIT + LDTR : STATE_GDTR_LIMIT);

	*linear = (uint32_t)vmx_get(vcpu, local ? STATE_BASE + LDTR : STATE_GDTR_BASE) +
		  (selector & ~7u);
	return (selector | 7u) <= limit;
}

static uint32_t rights_of(uint64_t descriptor)
{
	return (uint32_t)(descriptor >> 40) & 0xf0ff;
}

static void segment_fill(struct vcpu *vcpu, unsigned int i, uint16_t selector, uint64_t descriptor)
{
	uint32_t rights = rights_of(descriptor);
	uint32_t limit = (uint32_t)((descriptor & 0xffff) | (descriptor >> 32 & 0xf0000));

	vmx_set(vcpu, STATE_SELECTOR + i, selector);
	vmx_set(vcpu, STATE_BASE + i,
		(descriptor >> 16 & 0xffffff) | (descriptor >> 32 & 0xff000000));
	vmx_set(vcpu, STATE_LIMIT + i, rights & RIGHTS_4K ? limit << 12 | 0xfff : limit);
	vmx_set(vcpu, STATE_RIGHTS + i, rights);
}

static void segment_none(struct vcpu *vcpu, unsigned int i, uint16_t selector)
{
	vmx_set(vcpu, STATE_SELECTOR + i, selector);
	vmx_set(vcpu, STATE_RIGHTS + i,
		RIGHTS_UNUSABLE | (i == SS ? vmx_get(vcpu, STATE_RIGHTS + SS) & 0x60 : 0));
}

static void segment_virtual_8086(struct vcpu *vcpu, unsigned int i, uint16_t selector)
{
	vmx_set(vcpu, STATE_SELECTOR + i, selector);
	vmx_set(vcpu, STATE_BASE + i, (uint64_t)selector << 4);
	vmx_set(vcpu, STATE_LIMIT + i, 0xffff);
	vmx_set(vcpu, STATE_RIGHTS + i, 0xf3);
}

/* What the register may hold, with this privilege of the new task. */
static bool fits(unsigned int i, uint16_t selector, uint32_t rights, unsigned int cpl)
{
	unsigned int dpl = rights >> 5 & 3, rpl = selector & 3;

	if (i == LDTR) {
		return !(selector & SELECTOR_LOCAL) &&
		       (rights & (RIGHTS_S | RIGHTS_TYPE)) == TYPE_LDT;
	}
	if (!(rights & RIGHTS_S)) {
		return false;
	}
	if (i == CS) {
		return (rights & RIGHTS_CODE) &&
		       (rights & RIGHTS_CONFORMING ? dpl <= rpl : dpl == rpl);
	}
	if (i == SS) {
		return !(rights & RIGHTS_CODE) && (rights & RIGHTS_WRITE) && dpl == cpl &&
		       rpl == cpl;
	}
	if (!(rights & RIGHTS_CODE)) {
		return dpl >= cpl && dpl >= rpl;
	}
	return (rights & RIGHTS_READ) &&
	       ((rights & RIGHTS_CONFORMING) || (dpl >= cpl && dpl >= rpl));
}

/* In the new task already, so that its handlers see the fault. False: one was injected. */
static bool segment_load(struct vcpu *vcpu, unsigned int i, uint16_t selector, unsigned int cpl)
{
	uint64_t descriptor;
	uint32_t linear;

	segment_none(vcpu, i, selector);
	if (!(selector & ~3u) && i != CS && i != SS) {
		return true;
	}
	if (!(selector & ~3u) || !descriptor_at(vcpu, selector, &linear)) {
		vendor_inject_exception(vcpu, EXC_TS, true, selector & ~3u);
		return false;
	}
	if (!access(vcpu, linear, &descriptor, sizeof(descriptor), false)) {
		return false;
	}
	if (!fits(i, selector, rights_of(descriptor), cpl)) {
		vendor_inject_exception(vcpu, EXC_TS, true, selector & ~3u);
		return false;
	}
	if (!(rights_of(descriptor) & RIGHTS_PRESENT)) {
		vendor_inject_exception(vcpu,
					i == SS     ? EXC_SS
					: i == LDTR ? EXC_TS
						    : EXC_NP,
					true, selector & ~3u);
		return false;
	}
	if (i != LDTR && !(descriptor & DESCRIPTOR_ACCESSED)) {
		descriptor |= DESCRIPTOR_ACCESSED;
		if (!access(vcpu, linear, &descriptor, sizeof(descriptor), true)) {
			return false;
		}
	}
	segment_fill(vcpu, i, selector, descriptor);
	return true;
}

static void task_save(const struct vcpu *vcpu, struct task *task, uint64_t eip, uint64_t eflags)
{
	task->eip = (uint32_t)eip;
	task->eflags = (uint32_t)eflags;
	for (unsigned int i = 0; i < 8; i++) {
		task->gpr[i] = (uint32_t)(i == GPR_RSP ? vmx_get(vcpu, STATE_RSP) : vcpu->gpr[i]);
	}
	for (unsigned int i = 0; i < 6; i++) {
		task->segments[i] = (uint32_t)vmx_get(vcpu, STATE_SELECTOR + i);
	}
}

static void registers_load(struct vcpu *vcpu, const struct task *task)
{
	if ((vmx_get(vcpu, STATE_CR0) & CR0_PG) && task->cr3 != vmx_get(vcpu, STATE_CR3)) {
		vmx_set(vcpu, STATE_CR3, task->cr3);
		vmx_paging_changed(vcpu);
	}
	vcpu->rip = task->eip;
	vmx_set(vcpu, STATE_RFLAGS, (task->eflags & 0x3f7fd5) | RFLAGS_FIXED);
	for (unsigned int i = 0; i < 8; i++) {
		if (i == GPR_RSP) {
			vmx_set(vcpu, STATE_RSP, task->gpr[i]);
		} else {
			vcpu->gpr[i] = task->gpr[i];
		}
	}
	vmx_set(vcpu, STATE_CR0, vmx_get(vcpu, STATE_CR0) | CR0_TS);
	vmx_set(vcpu, STATE_DR7, vmx_get(vcpu, STATE_DR7) & ~(uint64_t)DR7_LOCAL);
	vmx_set(vcpu, STATE_INTERRUPTIBILITY,
		vmx_get(vcpu, STATE_INTERRUPTIBILITY) & ~(uint64_t)BLOCKED_SHADOW);
	vmx_set(vcpu, STATE_PENDING_DEBUG, 0);
}

static bool segments_load(struct vcpu *vcpu, const struct task *task)
{
	static const uint8_t order[] = {CS, SS, DS, ES, FS, GS};
	bool virtual_8086 = task->eflags & RFLAGS_VM;
	unsigned int cpl = virtual_8086 ? 3 : task->segments[CS] & 3;

	/* Until SS has one of its own, its place tells the new privilege. */
	vmx_set(vcpu, STATE_RIGHTS + SS, (vmx_get(vcpu, STATE_RIGHTS + SS) & ~0x60ull) | cpl << 5);
	if (!segment_load(vcpu, LDTR, (uint16_t)task->ldt, cpl)) {
		return false;
	}
	for (unsigned int i = 0; i < ARRAY_COUNT(order); i++) {
		uint16_t selector = (uint16_t)task->segments[order[i]];

		if (virtual_8086) {
			segment_virtual_8086(vcpu, order[i], selector);
		} else if (!segment_load(vcpu, order[i], selector, cpl)) {
			return false;
		}
	}
	return true;
}

static bool push_error(struct vcpu *vcpu, uint32_t error)
{
	uint32_t esp = (uint32_t)vmx_get(vcpu, STATE_RSP) - 4;

	if (!access(vcpu, (uint32_t)vmx_get(vcpu, STATE_BASE + SS) + esp, &error, sizeof(error),
		    true)) {
		return false;
	}
	vmx_set(vcpu, STATE_RSP, esp);
	return true;
}

/* The old task is written and the new one read before anything of the VP changes. */
static bool tasks_exchange(struct vcpu *vcpu, unsigned int source, uint16_t selector, uint64_t eip,
			   struct task *task)
{
	uint32_t old_base = (uint32_t)vmx_get(vcpu, STATE_BASE + TR), new_at, old_at, base;
	uint16_t old = (uint16_t)vmx_get(vcpu, STATE_SELECTOR + TR);
	uint64_t eflags = vmx_get(vcpu, STATE_RFLAGS), descriptor, old_descriptor;
	struct task saved;

	if (!descriptor_at(vcpu, selector, &new_at) || !descriptor_at(vcpu, old, &old_at)) {
		vendor_inject_exception(vcpu, EXC_TS, true, selector & ~3u);
		return false;
	}
	if (!access(vcpu, new_at, &descriptor, sizeof(descriptor), false) ||
	    !access(vcpu, old_at, &old_descriptor, sizeof(old_descriptor), false)) {
		return false;
	}
	if (!(vmx_get(vcpu, STATE_RIGHTS + TR) & old_descriptor >> 40 & descriptor >> 40 &
	      TYPE_TASK_32_BIT)) {
		vendor_inject_exception(vcpu, EXC_TS, true, selector & ~3u);
		return false;
	}
	base = (uint32_t)((descriptor >> 16 & 0xffffff) | (descriptor >> 32 & 0xff000000));
	task_save(vcpu, &saved, eip,
		  source == SOURCE_IRET ? eflags & ~(uint64_t)RFLAGS_NT : eflags);
	if (!access(vcpu, base, task, sizeof(*task), false) ||
	    !access(vcpu, old_base + SAVED_FROM, (uint8_t *)&saved + SAVED_FROM, SAVED_SIZE,
		    true)) {
		return false;
	}
	if (source == SOURCE_IRET || source == SOURCE_JMP) {
		old_descriptor &= ~DESCRIPTOR_BUSY;
		if (!access(vcpu, old_at, &old_descriptor, sizeof(old_descriptor), true)) {
			return false;
		}
	} else {
		task->eflags |= RFLAGS_NT;
		if (!access(vcpu, base, &old, sizeof(old), true)) {
			return false;
		}
	}
	if (source != SOURCE_IRET &&
	    !access(vcpu, new_at, &(uint64_t){descriptor | DESCRIPTOR_BUSY}, sizeof(descriptor),
		    true)) {
		return false;
	}
	segment_fill(vcpu, TR, selector, descriptor | DESCRIPTOR_BUSY);
	return true;
}

/* An instruction's own switch continues behind it; an event's where the event came, unless it was
 * an instruction as well. */
static uint64_t resume_at(const struct vcpu *vcpu, unsigned int source, uint32_t event)
{
	if (source == SOURCE_GATE && (event & EVENT_VALID) &&
	    (event & EVENT_TYPE_MASK) < EVENT_SOFTWARE) {
		return vcpu->rip;
	}
	return vcpu->rip + vmcs_read(VMCS_INSTRUCTION_LENGTH);
}

static void trap_if_told(struct vcpu *vcpu, const struct task *task)
{
	if (!(task->trap & 1)) {
		return;
	}
	vendor_sync(vcpu);
	vcpu->vmx->dr6 |= DR6_TASK;
	vendor_resync(vcpu);
	vendor_inject_exception(vcpu, EXC_DB, false, 0);
}

void vmx_task_switch(struct vcpu *vcpu, struct intercept *intercept)
{
	uint64_t info = vmcs_read(VMCS_EXIT_QUALIFICATION);
	uint32_t event = (uint32_t)vmcs_read(VMCS_VECTORING_EVENT);
	unsigned int source = info >> 30 & 3;
	struct task task;

	intercept->kind = INTERCEPT_NOTHING;
	vcpu->vmx->event = 0;
	if ((event & EVENT_VALID) && (event & EVENT_TYPE_MASK) == EVENT_NMI) {
		vendor_set_nmi_blocked(vcpu, true);
	}
	if (!tasks_exchange(vcpu, source, (uint16_t)info, resume_at(vcpu, source, event), &task)) {
		return;
	}
	registers_load(vcpu, &task);
	if (!segments_load(vcpu, &task)) {
		return;
	}
	if (source == SOURCE_GATE && (event & EVENT_VALID) && (event & EVENT_HAS_ERROR) &&
	    !push_error(vcpu, (uint32_t)vmcs_read(VMCS_VECTORING_ERROR_CODE))) {
		return;
	}
	trap_if_told(vcpu, &task);
}
