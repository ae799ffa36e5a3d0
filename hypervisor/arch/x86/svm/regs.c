/*
 * The registers that live in the control block, by TLFS name and by MSR number.
 */
#include "hypervisor/arch/x86/cpu.h"
#include "hypervisor/arch/x86/svm/svm.h"

#define EFER_GUEST (EFER_SCE | EFER_LME | EFER_LMA | EFER_NXE | EFER_LMSLE | EFER_FFXSR)

#define FIELD(register_name, msr_number, field, is_loaded)                                         \
	{                                                                                          \
		.name = (register_name), .msr = (msr_number),                                      \
		.offset = offsetof(struct vmcb, field), .loaded = (is_loaded)                      \
	}

/* Plain 64-bit fields. `loaded`: the processor holds it between VMLOAD and VMSAVE, so the two must
 * be brought in line. */
static const struct field {
	uint32_t name;
	uint32_t msr; /* 0: none */
	uint16_t offset;
	bool loaded;
} fields[] = {
	FIELD(HV_X64_REGISTER_RSP, 0, rsp, false),
	FIELD(HV_X64_REGISTER_CR0, 0, cr0, false),
	FIELD(HV_X64_REGISTER_CR2, 0, cr2, false),
	FIELD(HV_X64_REGISTER_CR3, 0, cr3, false),
	FIELD(HV_X64_REGISTER_CR4, 0, cr4, false),
	FIELD(HV_X64_REGISTER_DR6, 0, dr6, false),
	FIELD(HV_X64_REGISTER_DR7, 0, dr7, false),
	FIELD(HV_X64_REGISTER_DEBUG_CTL, MSR_DEBUGCTL, debugctl, false),
	FIELD(HV_X64_REGISTER_PAT, MSR_PAT, pat, false),
	FIELD(HV_X64_REGISTER_SYSENTER_CS, MSR_SYSENTER_CS, sysenter_cs, true),
	FIELD(HV_X64_REGISTER_SYSENTER_ESP, MSR_SYSENTER_ESP, sysenter_esp, true),
	FIELD(HV_X64_REGISTER_SYSENTER_EIP, MSR_SYSENTER_EIP, sysenter_eip, true),
	FIELD(HV_X64_REGISTER_STAR, MSR_STAR, star, true),
	FIELD(HV_X64_REGISTER_LSTAR, MSR_LSTAR, lstar, true),
	FIELD(HV_X64_REGISTER_CSTAR, MSR_CSTAR, cstar, true),
	FIELD(HV_X64_REGISTER_SFMASK, MSR_SFMASK, sfmask, true),
	FIELD(HV_X64_REGISTER_KERNEL_GS_BASE, MSR_KERNEL_GS_BASE, kernel_gs_base, true),
	FIELD(0, MSR_FS_BASE, fs.base, true),
	FIELD(0, MSR_GS_BASE, gs.base, true),
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

static uint64_t field_get(struct vcpu *vcpu, const struct field *f)
{
	if (f->loaded) {
		vendor_sync(vcpu);
	}
	return *(uint64_t *)((uint8_t *)vcpu->vmcb + f->offset);
}

static void field_set(struct vcpu *vcpu, const struct field *f, uint64_t value)
{
	if (f->loaded) {
		vendor_sync(vcpu);
	}
	*(uint64_t *)((uint8_t *)vcpu->vmcb + f->offset) = value;
	if (f->loaded) {
		vendor_resync(vcpu);
	}
	if (f->name >= HV_X64_REGISTER_CR0 && f->name <= HV_X64_REGISTER_CR4) {
		vendor_flush_tlb(vcpu);
	}
}

static struct vmcb_segment *segment(struct vmcb *vmcb, uint32_t name)
{
	switch (name) {
	case HV_X64_REGISTER_ES:
		return &vmcb->es;
	case HV_X64_REGISTER_CS:
		return &vmcb->cs;
	case HV_X64_REGISTER_SS:
		return &vmcb->ss;
	case HV_X64_REGISTER_DS:
		return &vmcb->ds;
	case HV_X64_REGISTER_FS:
		return &vmcb->fs;
	case HV_X64_REGISTER_GS:
		return &vmcb->gs;
	case HV_X64_REGISTER_LDTR:
		return &vmcb->ldtr;
	case HV_X64_REGISTER_TR:
		return &vmcb->tr;
	case HV_X64_REGISTER_IDTR:
		return &vmcb->idtr;
	case HV_X64_REGISTER_GDTR:
		return &vmcb->gdtr;
	default:
		return NULL;
	}
}

static bool is_table(uint32_t name)
{
	return name == HV_X64_REGISTER_IDTR || name == HV_X64_REGISTER_GDTR;
}

/*
 * The same fields in another order, and the upper flags (AVL, L, D/B, G) four bits apart. As two
 * words, since six of them are given at every exit to the parent.
 */
static void segment_get(const struct vmcb_segment *from, struct hv_x64_segment_register *to)
{
	const uint64_t upper_flags = 0x0full << 56;
	uint64_t rest;

	__builtin_memcpy(&rest, from,
			 sizeof(rest)); /* freestanding code would call memcpy() for a word */
	rest = rest << 32 | rest >> 32;
	rest = (rest & ~(0xffull << 56)) | (rest & upper_flags) << 4;
	to->base = from->base;
	__builtin_memcpy((uint8_t *)to + offsetof(struct hv_x64_segment_register, limit), &rest,
			 sizeof(rest));
}

_Static_assert(offsetof(struct vmcb_segment, attributes) == 2 &&
		       offsetof(struct vmcb_segment, limit) == 4,
	       "segment_get");
_Static_assert(offsetof(struct hv_x64_segment_register, selector) ==
			       offsetof(struct hv_x64_segment_register, limit) + 4 &&
		       offsetof(struct hv_x64_segment_register, attributes) ==
			       offsetof(struct hv_x64_segment_register, limit) + 6,
	       "segment_get");

/* FS, GS, TR and LDTR are in the processor while the VP is loaded, the others never are. */
void vendor_get_segment(struct vcpu *vcpu, uint32_t name, struct hv_x64_segment_register *to)
{
	if (name >= HV_X64_REGISTER_FS) {
		vendor_sync(vcpu);
	}
	segment_get(segment(vcpu->vmcb, name), to);
}

void vendor_get_segments(const struct vcpu *vcpu, struct hv_x64_segment_register to[6])
{
	const struct vmcb *vmcb = vcpu->vmcb;

	segment_get(&vmcb->es, &to[0]);
	segment_get(&vmcb->cs, &to[1]);
	segment_get(&vmcb->ss, &to[2]);
	segment_get(&vmcb->ds, &to[3]);
	segment_get(&vmcb->fs, &to[4]);
	segment_get(&vmcb->gs, &to[5]);
}

static void segment_put(struct vmcb *vmcb, struct vmcb_segment *s, uint32_t name,
			const union hv_register_value *value)
{
	if (is_table(name)) {
		s->base = value->table.base;
		s->limit = value->table.limit;
		return;
	}
	s->base = value->segment.base;
	s->limit = value->segment.limit;
	s->selector = value->segment.selector;
	s->attributes = (uint16_t)((value->segment.attributes & 0xff) |
				   (value->segment.attributes >> 4 & 0xf00));
	if (name == HV_X64_REGISTER_SS) {
		vmcb->cpl = s->attributes >> 5 & 3;
	}
}

hv_status_t vendor_register_get(struct vcpu *vcpu, uint32_t name, union hv_register_value *value)
{
	const struct field *f = field_by_name(name);
	struct vmcb_segment *s = segment(vcpu->vmcb, name);

	if (f != NULL) {
		value->reg64 = field_get(vcpu, f);
	} else if (is_table(name)) {
		value->table.base = s->base;
		value->table.limit = (uint16_t)s->limit;
	} else if (s != NULL) {
		vendor_get_segment(vcpu, name, &value->segment);
	} else if (name == HV_X64_REGISTER_EFER) {
		value->reg64 = vendor_get_efer(vcpu);
	} else if (name == HV_X64_REGISTER_RFLAGS) {
		value->reg64 = vcpu->vmcb->rflags;
	} else {
		return HV_STATUS_INVALID_PARAMETER;
	}
	return HV_STATUS_SUCCESS;
}

hv_status_t vendor_register_set(struct vcpu *vcpu, uint32_t name,
				const union hv_register_value *value)
{
	const struct field *f;
	struct vmcb_segment *s;

	/* These two are set on the way from nearly every exit to the parent. */
	if (name == HV_X64_REGISTER_RSP) {
		vcpu->vmcb->rsp = value->reg64;
		return HV_STATUS_SUCCESS;
	}
	if (name == HV_X64_REGISTER_RFLAGS) {
		vcpu->vmcb->rflags = (value->reg64 & 0x3f7fd5) | RFLAGS_FIXED;
		return HV_STATUS_SUCCESS;
	}
	f = field_by_name(name);
	s = segment(vcpu->vmcb, name);
	if (f != NULL) {
		field_set(vcpu, f, value->reg64);
	} else if (s != NULL) {
		vendor_sync(vcpu);
		segment_put(vcpu->vmcb, s, name, value);
		vendor_resync(vcpu);
	} else if (name == HV_X64_REGISTER_EFER) {
		if (value->reg64 & ~EFER_GUEST) {
			return HV_STATUS_INVALID_REGISTER_VALUE;
		}
		vcpu->vmcb->efer = value->reg64 | EFER_SVME;
		vendor_flush_tlb(vcpu);
	} else {
		return HV_STATUS_INVALID_PARAMETER;
	}
	return HV_STATUS_SUCCESS;
}

/* LMA follows LME and paging; LME cannot change while paging is on (APM vol. 2, 14.6). */
static enum access_result efer_write(struct vcpu *vcpu, uint64_t value)
{
	uint64_t old = vcpu->vmcb->efer;

	if (value & ~EFER_GUEST) {
		return ACCESS_FAULT;
	}
	if (((old ^ value) & EFER_LME) && (vcpu->vmcb->cr0 & CR0_PG)) {
		return ACCESS_FAULT;
	}
	vcpu->vmcb->efer = (value & ~EFER_LMA) | (old & EFER_LMA) | EFER_SVME;
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

static bool canonical(uint64_t address)
{
	return (uint64_t)((int64_t)(address << 7) >> 7) == address;
}

enum access_result vendor_msr_read(struct vcpu *vcpu, uint32_t msr, uint64_t *value)
{
	const struct field *f;

	if (msr == MSR_EFER) {
		*value = vendor_get_efer(vcpu);
		return ACCESS_OK;
	}
	f = field_by_msr(msr);
	if (f == NULL) {
		return ACCESS_PARENT;
	}
	*value = field_get(vcpu, f);
	return ACCESS_OK;
}

enum access_result vendor_msr_write(struct vcpu *vcpu, uint32_t msr, uint64_t value)
{
	const struct field *f;

	if (msr == MSR_EFER) {
		return efer_write(vcpu, value);
	}
	f = field_by_msr(msr);
	if (f == NULL) {
		return ACCESS_PARENT;
	}
	if (msr == MSR_PAT && !pat_valid(value)) {
		return ACCESS_FAULT;
	}
	if (f->loaded && msr != MSR_STAR && msr != MSR_SFMASK && msr != MSR_SYSENTER_CS &&
	    !canonical(value)) {
		return ACCESS_FAULT;
	}
	field_set(vcpu, f, msr == MSR_DEBUGCTL ? value & 3 : value);
	return ACCESS_OK;
}

uint64_t vendor_get_rflags(const struct vcpu *vcpu)
{
	return vcpu->vmcb->rflags;
}

uint64_t vendor_get_rsp(const struct vcpu *vcpu)
{
	return vcpu->vmcb->rsp;
}

uint64_t vendor_get_cr(const struct vcpu *vcpu, unsigned int number)
{
	const struct vmcb *vmcb = vcpu->vmcb;

	return number == 0   ? vmcb->cr0
	       : number == 2 ? vmcb->cr2
	       : number == 3 ? vmcb->cr3
			     : vmcb->cr4;
}

uint64_t vendor_get_efer(const struct vcpu *vcpu)
{
	return vcpu->vmcb->efer & ~EFER_SVME;
}

uint8_t vendor_get_cpl(const struct vcpu *vcpu)
{
	return vcpu->vmcb->cpl;
}

unsigned int vendor_code_bits(const struct vcpu *vcpu)
{
	const struct vmcb *vmcb = vcpu->vmcb;

	if ((vmcb->efer & EFER_LMA) && (vmcb->cs.attributes & 1u << 9)) {
		return 64;
	}
	return vmcb->cs.attributes & 1u << 10 ? 32 : 16;
}

uint64_t vendor_linear_rip(const struct vcpu *vcpu)
{
	if (vcpu->vmcb->cs.attributes & 1u << 9) {
		return vcpu->rip;
	}
	return (uint32_t)(vcpu->vmcb->cs.base + vcpu->rip);
}
