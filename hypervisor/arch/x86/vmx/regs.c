/*
 * The registers that live in the VMCS, or are switched beside it, by TLFS name and by MSR number.
 */
#include "hypervisor/arch/x86/cpu.h"
#include "hypervisor/arch/x86/vmx/vmx.h"

#define EFER_GUEST (EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE)

#define CODE            (HV_X64_REGISTER_CS - HV_X64_REGISTER_ES)
#define STACK           (HV_X64_REGISTER_SS - HV_X64_REGISTER_ES)
#define TASK            (HV_X64_REGISTER_TR - HV_X64_REGISTER_ES)
#define RIGHTS_MASK     0xf0ffu /* as in the TLFS; 11:8 are reserved */
#define RIGHTS_PRESENT  (1u << 7)
#define RIGHTS_S        (1u << 4)
#define RIGHTS_ACCESSED (1u << 0)
#define RIGHTS_BUSY     (1u << 1)

/* Plain 64-bit registers that a guest may have any value of, as far as the processor lets it. */
static const struct field {
	uint32_t name;
	uint32_t msr; /* 0: none */
	uint8_t state;
} fields[] = {
	{HV_X64_REGISTER_RSP, 0, STATE_RSP},
	{HV_X64_REGISTER_CR3, 0, STATE_CR3},
	{HV_X64_REGISTER_DR7, 0, STATE_DR7},
	{HV_X64_REGISTER_DEBUG_CTL, MSR_DEBUGCTL, STATE_DEBUGCTL},
	{HV_X64_REGISTER_PAT, MSR_PAT, STATE_PAT},
	{HV_X64_REGISTER_SYSENTER_CS, MSR_SYSENTER_CS, STATE_SYSENTER_CS},
	{HV_X64_REGISTER_SYSENTER_ESP, MSR_SYSENTER_ESP, STATE_SYSENTER_ESP},
	{HV_X64_REGISTER_SYSENTER_EIP, MSR_SYSENTER_EIP, STATE_SYSENTER_EIP},
	{0, MSR_FS_BASE, STATE_BASE + HV_X64_REGISTER_FS - HV_X64_REGISTER_ES},
	{0, MSR_GS_BASE, STATE_BASE + HV_X64_REGISTER_GS - HV_X64_REGISTER_ES},
};

const struct vmx_syscall vmx_syscalls[SYSCALL_COUNT] = {
	[SYSCALL_STAR] = {HV_X64_REGISTER_STAR, MSR_STAR},
	[SYSCALL_LSTAR] = {HV_X64_REGISTER_LSTAR, MSR_LSTAR},
	[SYSCALL_CSTAR] = {HV_X64_REGISTER_CSTAR, MSR_CSTAR},
	[SYSCALL_SFMASK] = {HV_X64_REGISTER_SFMASK, MSR_SFMASK},
	[SYSCALL_KERNEL_GS_BASE] = {HV_X64_REGISTER_KERNEL_GS_BASE, MSR_KERNEL_GS_BASE},
};

static const struct field *field_by_name(uint32_t name)
{
	for (unsigned int i = 0; name && i < ARRAY_COUNT(fields); i++) {
		if (fields[i].name == name) {
			return &fields[i];
		}
	}
	return NULL;
}

static const struct field *field_by_msr(uint32_t msr)
{
	for (unsigned int i = 0; msr && i < ARRAY_COUNT(fields); i++) {
		if (fields[i].msr == msr) {
			return &fields[i];
		}
	}
	return NULL;
}

static int syscall_by_name(uint32_t name)
{
	for (int i = 0; i < SYSCALL_COUNT; i++) {
		if (vmx_syscalls[i].name == name) {
			return i;
		}
	}
	return -1;
}

static int syscall_by_msr(uint32_t msr)
{
	for (int i = 0; i < SYSCALL_COUNT; i++) {
		if (vmx_syscalls[i].msr == msr) {
			return i;
		}
	}
	return -1;
}

static bool canonical(uint64_t address)
{
	unsigned int shift = 64 - vmx_facts.linear_bits;

	return (uint64_t)((int64_t)(address << shift) >> shift) == address;
}

/* The hypervisor loads these itself, so what WRMSR refuses must not get here. */
static bool syscall_set(struct vcpu *vcpu, int which, uint64_t value)
{
	if (which == SYSCALL_SFMASK ? value >> 32 != 0
				    : which != SYSCALL_STAR && !canonical(value)) {
		return false;
	}
	vendor_sync(vcpu);
	vcpu->vmx->syscall[which] = value;
	vendor_resync(vcpu);
	return true;
}

/* ---- segments ---- */

static bool is_segment(uint32_t name)
{
	return name >= HV_X64_REGISTER_ES && name <= HV_X64_REGISTER_TR;
}

static bool is_table(uint32_t name)
{
	return name == HV_X64_REGISTER_IDTR || name == HV_X64_REGISTER_GDTR;
}

/* A segment that cannot be used looks as one that is not present. */
static uint16_t attributes(uint64_t rights)
{
	return (uint16_t)(rights & RIGHTS_MASK &
			  (rights & RIGHTS_UNUSABLE ? ~RIGHTS_PRESENT : ~0u));
}

static void segment_get(const struct vcpu *vcpu, unsigned int i, struct hv_x64_segment_register *to)
{
	to->base = vmx_get(vcpu, STATE_BASE + i);
	to->limit = (uint32_t)vmx_get(vcpu, STATE_LIMIT + i);
	to->selector = (uint16_t)vmx_get(vcpu, STATE_SELECTOR + i);
	to->attributes = attributes(vmx_get(vcpu, STATE_RIGHTS + i));
}

/* Entries want the bits that the processor itself would have set in the descriptor: accessed, and
 * the task busy. */
static void segment_set(struct vcpu *vcpu, unsigned int i,
			const struct hv_x64_segment_register *from)
{
	uint32_t rights = from->attributes & RIGHTS_MASK;

	if (!(rights & RIGHTS_PRESENT)) {
		rights |= RIGHTS_UNUSABLE;
	} else if (rights & RIGHTS_S) {
		rights |= RIGHTS_ACCESSED;
	}
	if (i == TASK) {
		rights |= RIGHTS_BUSY;
	}
	vmx_set(vcpu, STATE_BASE + i, from->base);
	vmx_set(vcpu, STATE_LIMIT + i, from->limit);
	vmx_set(vcpu, STATE_SELECTOR + i, from->selector);
	vmx_set(vcpu, STATE_RIGHTS + i, rights);
}

void vendor_get_segment(struct vcpu *vcpu, uint32_t name, struct hv_x64_segment_register *to)
{
	segment_get(vcpu, name - HV_X64_REGISTER_ES, to);
}

void vendor_get_segments(const struct vcpu *vcpu, struct hv_x64_segment_register to[6])
{
	const uint64_t *state = vcpu->vmx->state; /* complete: the VP is loaded nowhere */

#pragma GCC unroll 6
	for (unsigned int i = 0; i < 6; i++) {
		to[i].base = state[STATE_BASE + i];
		to[i].limit = (uint32_t)state[STATE_LIMIT + i];
		to[i].selector = (uint16_t)state[STATE_SELECTOR + i];
		to[i].attributes = attributes(state[STATE_RIGHTS + i]);
	}
}

static void table_get(struct vcpu *vcpu, uint32_t name, union hv_register_value *value)
{
	bool gdt = name == HV_X64_REGISTER_GDTR;

	value->table.base = vmx_get(vcpu, gdt ? STATE_GDTR_BASE : STATE_IDTR_BASE);
	value->table.limit = (uint16_t)vmx_get(vcpu, gdt ? STATE_GDTR_LIMIT : STATE_IDTR_LIMIT);
}

static void table_set(struct vcpu *vcpu, uint32_t name, const union hv_register_value *value)
{
	bool gdt = name == HV_X64_REGISTER_GDTR;

	vmx_set(vcpu, gdt ? STATE_GDTR_BASE : STATE_IDTR_BASE, value->table.base);
	vmx_set(vcpu, gdt ? STATE_GDTR_LIMIT : STATE_IDTR_LIMIT, value->table.limit);
}

/* ---- by name ---- */

/* CR2 and DR6, which no entry switches; DR6 is 32 bits wide. */
static uint64_t *beside(struct vcpu *vcpu, uint32_t name)
{
	return name == HV_X64_REGISTER_CR2   ? &vcpu->vmx->cr2
	       : name == HV_X64_REGISTER_DR6 ? &vcpu->vmx->dr6
					     : NULL;
}

hv_status_t vendor_register_get(struct vcpu *vcpu, uint32_t name, union hv_register_value *value)
{
	const struct field *f = field_by_name(name);
	int which = syscall_by_name(name);

	if (f != NULL) {
		value->reg64 = vmx_get(vcpu, f->state);
	} else if (which >= 0) {
		vendor_sync(vcpu);
		value->reg64 = vcpu->vmx->syscall[which];
	} else if (beside(vcpu, name) != NULL) {
		vendor_sync(vcpu);
		value->reg64 = *beside(vcpu, name);
	} else if (is_segment(name)) {
		segment_get(vcpu, name - HV_X64_REGISTER_ES, &value->segment);
	} else if (is_table(name)) {
		table_get(vcpu, name, value);
	} else if (name == HV_X64_REGISTER_CR0 || name == HV_X64_REGISTER_CR4) {
		value->reg64 = vendor_get_cr(vcpu, name == HV_X64_REGISTER_CR0 ? 0 : 4);
	} else if (name == HV_X64_REGISTER_EFER) {
		value->reg64 = vendor_get_efer(vcpu);
	} else if (name == HV_X64_REGISTER_RFLAGS) {
		value->reg64 = vendor_get_rflags(vcpu);
	} else {
		return HV_STATUS_INVALID_PARAMETER;
	}
	return HV_STATUS_SUCCESS;
}

/* What decides how addresses are translated. */
static hv_status_t control_set(struct vcpu *vcpu, uint32_t name, uint64_t value)
{
	switch (name) {
	case HV_X64_REGISTER_CR0:
		vmx_set_cr0(vcpu, value);
		break;
	case HV_X64_REGISTER_CR3:
		vmx_set(vcpu, STATE_CR3, value);
		break;
	case HV_X64_REGISTER_CR4:
		vmx_set_cr4(vcpu, value);
		break;
	case HV_X64_REGISTER_EFER:
		if (value & ~EFER_GUEST) {
			return HV_STATUS_INVALID_REGISTER_VALUE;
		}
		vmx_set_efer(vcpu, value);
		break;
	default:
		return HV_STATUS_INVALID_PARAMETER;
	}
	vmx_paging_changed(vcpu);
	return HV_STATUS_SUCCESS;
}

hv_status_t vendor_register_set(struct vcpu *vcpu, uint32_t name,
				const union hv_register_value *value)
{
	const struct field *f = field_by_name(name);
	int which = syscall_by_name(name);

	if (f != NULL && name != HV_X64_REGISTER_CR3) {
		vmx_set(vcpu, f->state, value->reg64);
	} else if (which >= 0) {
		return syscall_set(vcpu, which, value->reg64) ? HV_STATUS_SUCCESS
							      : HV_STATUS_INVALID_REGISTER_VALUE;
	} else if (beside(vcpu, name) != NULL) {
		vendor_sync(vcpu);
		*beside(vcpu, name) =
			name == HV_X64_REGISTER_DR6 ? (uint32_t)value->reg64 : value->reg64;
		vendor_resync(vcpu);
	} else if (is_segment(name)) {
		segment_set(vcpu, name - HV_X64_REGISTER_ES, &value->segment);
	} else if (is_table(name)) {
		table_set(vcpu, name, value);
	} else if (name == HV_X64_REGISTER_RFLAGS) {
		vmx_set(vcpu, STATE_RFLAGS, (value->reg64 & 0x3f7fd5) | RFLAGS_FIXED);
	} else {
		return control_set(vcpu, name, value->reg64);
	}
	return HV_STATUS_SUCCESS;
}

/* ---- by MSR ---- */

/* LMA follows LME and paging; LME cannot change while paging is on (Intel SDM vol. 3, 4.1). */
static enum access_result efer_write(struct vcpu *vcpu, uint64_t value)
{
	uint64_t old = vmx_get(vcpu, STATE_EFER);

	if (value & ~EFER_GUEST) {
		return ACCESS_FAULT;
	}
	if (((old ^ value) & EFER_LME) && (vmx_get(vcpu, STATE_CR0) & CR0_PG)) {
		return ACCESS_FAULT;
	}
	vmx_set_efer(vcpu, (value & ~EFER_LMA) | (old & EFER_LMA));
	vendor_flush_tlb(vcpu);
	return ACCESS_OK;
}

static bool pat_valid(uint64_t value)
{
	for (unsigned int i = 0; i < 64; i += 8) {
		uint8_t type = (uint8_t)(value >> i);

		if (type > 7 || type == 2 || type == 3) {
			return false;
		}
	}
	return true;
}

enum access_result vendor_msr_read(struct vcpu *vcpu, uint32_t msr, uint64_t *value)
{
	const struct field *f = field_by_msr(msr);
	int which = syscall_by_msr(msr);

	if (msr == MSR_EFER) {
		*value = vendor_get_efer(vcpu);
	} else if (f != NULL) {
		*value = vmx_get(vcpu, f->state);
	} else if (which >= 0) {
		vendor_sync(vcpu);
		*value = vcpu->vmx->syscall[which];
	} else {
		return ACCESS_PARENT;
	}
	return ACCESS_OK;
}

enum access_result vendor_msr_write(struct vcpu *vcpu, uint32_t msr, uint64_t value)
{
	const struct field *f = field_by_msr(msr);
	int which = syscall_by_msr(msr);

	if (msr == MSR_EFER) {
		return efer_write(vcpu, value);
	}
	if (which >= 0) {
		return syscall_set(vcpu, which, value) ? ACCESS_OK : ACCESS_FAULT;
	}
	if (f == NULL) {
		return ACCESS_PARENT;
	}
	if (msr == MSR_PAT ? !pat_valid(value)
			   : msr != MSR_DEBUGCTL && msr != MSR_SYSENTER_CS && !canonical(value)) {
		return ACCESS_FAULT;
	}
	vmx_set(vcpu, f->state, msr == MSR_DEBUGCTL ? value & 3 : value);
	return ACCESS_OK;
}

/* ---- what the core asks for ---- */

uint64_t vendor_get_rflags(const struct vcpu *vcpu)
{
	return vmx_get(vcpu, STATE_RFLAGS);
}

uint64_t vendor_get_rsp(const struct vcpu *vcpu)
{
	return vmx_get(vcpu, STATE_RSP);
}

uint64_t vendor_get_cr(const struct vcpu *vcpu, unsigned int number)
{
	switch (number) {
	case 0:
		return (vmx_get(vcpu, STATE_CR0) & ~CR0_HOST_OWNED) |
		       (vmx_get(vcpu, STATE_CR0_SHADOW) & CR0_HOST_OWNED);
	case 2:
		vendor_sync((struct vcpu *)vcpu);
		return vcpu->vmx->cr2;
	case 3:
		return vmx_get(vcpu, STATE_CR3);
	default:
		return (vmx_get(vcpu, STATE_CR4) & ~CR4_HOST_OWNED) |
		       (vmx_get(vcpu, STATE_CR4_SHADOW) & CR4_HOST_OWNED);
	}
}

uint64_t vendor_get_efer(const struct vcpu *vcpu)
{
	return vmx_get(vcpu, STATE_EFER);
}

uint8_t vendor_get_cpl(const struct vcpu *vcpu)
{
	return vmx_get(vcpu, STATE_RIGHTS + STACK) >> 5 & 3;
}

static bool in_long_code(const struct vcpu *vcpu)
{
	return (vmx_get(vcpu, STATE_EFER) & EFER_LMA) &&
	       (vmx_get(vcpu, STATE_RIGHTS + CODE) & RIGHTS_LONG);
}

unsigned int vendor_code_bits(const struct vcpu *vcpu)
{
	if (in_long_code(vcpu)) {
		return 64;
	}
	return vmx_get(vcpu, STATE_RIGHTS + CODE) & RIGHTS_DEFAULT ? 32 : 16;
}

uint64_t vendor_linear_rip(const struct vcpu *vcpu)
{
	if (in_long_code(vcpu)) {
		return vcpu->rip;
	}
	return (uint32_t)(vmx_get(vcpu, STATE_BASE + CODE) + vcpu->rip);
}
