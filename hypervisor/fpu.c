/*
 * The save area of a VP is one page in the standard (not compacted) format of XSAVE, or of FXSAVE
 * on processors without it; so features whose area would not fit in a page are not offered to
 * guests.
 */
#include "hypervisor/fpu.h"

#include "hypervisor/arch/x86/cpu.h"
#include "hypervisor/arch/x86/trap.h"
#include "hypervisor/arch/x86/vendor.h"
#include "hypervisor/lp.h"
#include "hypervisor/vcpu.h"
#include "lib/string.h"
#include "tlfs/hv.h"

#define XCR0_X87        (1ull << 0)
#define XCR0_SSE        (1ull << 1)
#define XCR0_AVX        (1ull << 2)
#define XCR0_AVX512     (7ull << 5)
#define XCR0_PKRU       (1ull << 9)
#define XSAVE_HEADER    512
#define XSAVE_AREA      576 /* first component after x87 and SSE */
#define XCOMP_COMPACTED (1ull << 63)
#define FCW_RESET       0x40 /* after INIT; FNINIT makes it 0x37f */
#define MXCSR_RESET     0x1f80
#define DR7_ENABLES     0xff

static bool has_xsave, has_tsc_aux;

struct component {
	uint32_t offset, size;
	bool aligned;
};
static struct component components[64];

static uint32_t area_size(uint64_t features)
{
	uint32_t size = XSAVE_AREA;

	for (unsigned int i = 2; i < 63; i++) {
		if ((features & 1ull << i) && components[i].offset + components[i].size > size) {
			size = components[i].offset + components[i].size;
		}
	}
	return size;
}

static void find_components(void)
{
	uint32_t out[4];
	uint64_t supported, features = XCR0_X87 | XCR0_SSE;

	cpuid(0xd, 0, out);
	supported = (out[0] | (uint64_t)out[3] << 32) &
		    (XCR0_X87 | XCR0_SSE | XCR0_AVX | XCR0_AVX512 | XCR0_PKRU);
	for (unsigned int i = 2; i < 63; i++) {
		if (!(supported & 1ull << i)) {
			continue;
		}
		cpuid(0xd, i, out);
		components[i] =
			(struct component){.size = out[0], .offset = out[1], .aligned = out[2] & 2};
		if (area_size(features | 1ull << i) <= PAGE_SIZE) {
			features |= 1ull << i;
		}
	}
	if ((features & XCR0_AVX512) != XCR0_AVX512) {
		features &= ~XCR0_AVX512;
	}
	plat_info.xsave_features = features;
	plat_info.xsave_size_max = area_size(features);
}

void fpu_boot(void)
{
	uint32_t out[4];

	cpuid(1, 0, out);
	has_xsave = out[2] & 1u << 26;
	cpuid(0x80000001, 0, out);
	has_tsc_aux = out[3] & 1u << 27;
	if (has_xsave) {
		find_components();
	}
}

void fpu_lp_init(void)
{
	write_cr4(read_cr4() | CR4_OSFXSR | CR4_OSXMMEXCPT | (has_xsave ? CR4_OSXSAVE : 0));
	if (has_xsave) {
		xsetbv(0, plat_info.xsave_features);
	}
}

static void set_debug_free(struct vcpu *vcpu, bool is_free)
{
	vcpu->debug_free = is_free;
	vendor_intercept_debug(vcpu, !is_free);
}

void fpu_create(struct vcpu *vcpu)
{
	uint16_t *fcw = vcpu->fpu;
	uint32_t *mxcsr = (uint32_t *)((uint8_t *)vcpu->fpu + 24);
	uint64_t *xstate = (uint64_t *)((uint8_t *)vcpu->fpu + XSAVE_HEADER);

	memset(vcpu->fpu, 0, PAGE_SIZE);
	*fcw = FCW_RESET;
	*mxcsr = MXCSR_RESET;
	if (has_xsave) {
		*xstate = XCR0_X87 | XCR0_SSE;
	}
	vcpu->xcr0 = XCR0_X87;
	set_debug_free(vcpu, vcpu->vp->partition->id == HV_ROOT_PARTITION);
}

static void debug_save(struct vcpu *vcpu)
{
	__asm__ volatile("mov %%db0, %0" : "=r"(vcpu->dr[0]));
	__asm__ volatile("mov %%db1, %0" : "=r"(vcpu->dr[1]));
	__asm__ volatile("mov %%db2, %0" : "=r"(vcpu->dr[2]));
	__asm__ volatile("mov %%db3, %0" : "=r"(vcpu->dr[3]));
}

static void debug_load(const struct vcpu *vcpu)
{
	__asm__ volatile("mov %0, %%db0" : : "r"(vcpu->dr[0]));
	__asm__ volatile("mov %0, %%db1" : : "r"(vcpu->dr[1]));
	__asm__ volatile("mov %0, %%db2" : : "r"(vcpu->dr[2]));
	__asm__ volatile("mov %0, %%db3" : : "r"(vcpu->dr[3]));
}

static bool breakpoints_enabled(struct vcpu *vcpu)
{
	union hv_register_value dr7;

	CHECK(vendor_register_get(vcpu, HV_X64_REGISTER_DR7, &dr7) == HV_STATUS_SUCCESS);
	return dr7.reg64 & DR7_ENABLES;
}

/* Before a VP is entered whose accesses are not intercepted. */
static __attribute__((noinline)) void debug_switch(struct lp *lp, struct vcpu *to)
{
	struct vcpu *from = lp->debug;

	debug_save(from);
	if (from != lp->root && !breakpoints_enabled(from)) {
		set_debug_free(from, false);
	}
	debug_load(to);
	lp->debug = to;
}

void fpu_debug_accessed(struct vcpu *vcpu)
{
	set_debug_free(vcpu, true);
	debug_switch(lp_this(), vcpu);
}

void fpu_debug_written(struct vcpu *vcpu)
{
	struct lp *lp = lp_this();

	if (lp->current != vcpu) {
		set_debug_free(vcpu, true);
	} else if (lp->debug != vcpu) {
		fpu_debug_accessed(vcpu);
	}
}

/* Read from the processor, since not every one (nor every emulator of one) stops at XSETBV. */
uint64_t fpu_get_xcr0(struct vcpu *vcpu)
{
	if (has_xsave && lp_this()->current == vcpu) {
		vcpu->xcr0 = xgetbv(0);
	}
	return vcpu->xcr0;
}

static void load(struct vcpu *vcpu)
{
	if (has_tsc_aux) {
		wrmsr(MSR_TSC_AUX, (uint32_t)vcpu->tsc_aux);
	}
	if (!has_xsave) {
		__asm__ volatile("fxrstor64 (%0)" : : "r"(vcpu->fpu) : "memory");
		return;
	}
	__asm__ volatile("xrstor64 (%0)" : : "r"(vcpu->fpu), "a"(-1), "d"(-1) : "memory");
	if (vcpu->xcr0 != plat_info.xsave_features) {
		xsetbv(0, vcpu->xcr0);
	}
}

/* XCR0 has all features then, as fpu_lp_init() leaves it. */
static void save(struct vcpu *vcpu)
{
	if (!has_xsave) {
		__asm__ volatile("fxsave64 (%0)" : : "r"(vcpu->fpu) : "memory");
		return;
	}
	vcpu->xcr0 = xgetbv(0);
	if (vcpu->xcr0 != plat_info.xsave_features) {
		xsetbv(0, plat_info.xsave_features);
	}
	__asm__ volatile("xsave64 (%0)" : : "r"(vcpu->fpu), "a"(-1), "d"(-1) : "memory");
}

void fpu_begin(struct lp *lp)
{
	debug_load(lp->root);
	lp->debug = lp->root;
	load(lp->root);
}

void fpu_switch(struct lp *lp, struct vcpu *from, struct vcpu *to)
{
	if (__builtin_expect(to->debug_free && lp->debug != to, 0)) {
		debug_switch(lp, to);
	}
	save(from);
	load(to);
}

bool fpu_set_xcr0(struct vcpu *vcpu, uint64_t value)
{
	if (!has_xsave || (value & ~plat_info.xsave_features) || !xsetbv_safe(0, value)) {
		return false;
	}
	vcpu->xcr0 = value;
	return true;
}

static bool xcr0_valid(uint64_t value)
{
	uint64_t wide = value & XCR0_AVX512;

	if ((value & ~plat_info.xsave_features) || !(value & XCR0_X87)) {
		return false;
	}
	if ((value & XCR0_AVX) && !(value & XCR0_SSE)) {
		return false;
	}
	return !wide || (wide == XCR0_AVX512 && (value & XCR0_AVX));
}

bool fpu_set_xfem(struct vcpu *vcpu, uint64_t value)
{
	if (!has_xsave || !xcr0_valid(value)) {
		return false;
	}
	vcpu->xcr0 = value;
	return true;
}

/* Offsets of the FXSAVE format (APM vol. 2, figure 11-8). */
#define FX_ST    32
#define FX_XMM   160
#define FX_MXCSR 24

static void fx_copy(uint8_t *at, void *value, size_t size, bool write)
{
	if (write) {
		memcpy(at, value, size);
	} else {
		memcpy(value, at, size);
	}
}

static void fx_control(uint8_t *fx, union hv_x64_fp_control_status_register *r, bool write)
{
	fx_copy(fx, &r->fp_control, 2, write);
	fx_copy(fx + 2, &r->fp_status, 2, write);
	fx_copy(fx + 4, &r->fp_tag, 1, write);
	fx_copy(fx + 6, &r->last_fp_op, 2, write);
	fx_copy(fx + 8, &r->last_fp_rip, 8, write);
}

static void fx_xmm_control(uint8_t *fx, union hv_x64_xmm_control_status_register *r, bool write)
{
	r->xmm_status_control &= 0xffff;
	fx_copy(fx + 16, &r->last_fp_rdp, 8, write);
	fx_copy(fx + FX_MXCSR, &r->xmm_status_control, 4, write);
	if (!write) {
		r->xmm_status_control_mask = 0xffff;
	}
}

bool fpu_register(struct vcpu *vcpu, uint32_t name, union hv_register_value *value, bool write)
{
	uint8_t *fx = vcpu->fpu;

	if (name >= HV_X64_REGISTER_XMM0 && name <= HV_X64_REGISTER_XMM15) {
		fx_copy(fx + FX_XMM + (name - HV_X64_REGISTER_XMM0) * 16, value, 16, write);
	} else if (name >= HV_X64_REGISTER_FP_MMX0 && name <= HV_X64_REGISTER_FP_MMX7) {
		fx_copy(fx + FX_ST + (name - HV_X64_REGISTER_FP_MMX0) * 16, value, 16, write);
	} else if (name == HV_X64_REGISTER_FP_CONTROL_STATUS) {
		fx_control(fx, &value->fp_control_status, write);
	} else if (name == HV_X64_REGISTER_XMM_CONTROL_STATUS) {
		fx_xmm_control(fx, &value->xmm_control_status, write);
	} else {
		return false;
	}
	if (write && has_xsave) {
		fx[XSAVE_HEADER] |= XCR0_X87 | XCR0_SSE;
	}
	return true;
}

/* The two formats hold the same components; the compacted one has only those of xcomp_bv, one
 * behind the other. */
static uint32_t compacted_offset(uint64_t features, unsigned int wanted)
{
	uint32_t offset = XSAVE_AREA;

	for (unsigned int i = 2; i < wanted; i++) {
		if (features & 1ull << i) {
			if (components[i].aligned) {
				offset = (offset + 63) & ~63u;
			}
			offset += components[i].size;
		}
	}
	return components[wanted].aligned ? (offset + 63) & ~63u : offset;
}

static uint32_t compacted_size(uint64_t features)
{
	uint32_t size = XSAVE_AREA;

	for (unsigned int i = 2; i < 63; i++) {
		if (features & 1ull << i) {
			size = compacted_offset(features, i) + components[i].size;
		}
	}
	return size;
}

hv_status_t plat_xsave_get(struct vp *vp, void *image, uint32_t size)
{
	struct vcpu *vcpu = vp->home;
	const uint8_t *area = vcpu->fpu;
	uint64_t *header = (uint64_t *)((uint8_t *)image + XSAVE_HEADER);
	uint64_t features = plat_info.xsave_features;

	if (!has_xsave || size < compacted_size(features)) {
		return HV_STATUS_INVALID_PARAMETER;
	}
	memset(image, 0, size);
	memcpy(image, area, XSAVE_HEADER + 8);
	header[1] = XCOMP_COMPACTED | features;
	for (unsigned int i = 2; i < 63; i++) {
		if (features & header[0] & 1ull << i) {
			memcpy((uint8_t *)image + compacted_offset(features, i),
			       area + components[i].offset, components[i].size);
		}
	}
	return HV_STATUS_SUCCESS;
}

hv_status_t plat_xsave_set(struct vp *vp, const void *image, uint32_t size)
{
	struct vcpu *vcpu = vp->home;
	uint8_t *area = vcpu->fpu;
	const uint64_t *header = (const uint64_t *)((const uint8_t *)image + XSAVE_HEADER);
	uint32_t mxcsr;
	uint64_t present, layout;

	if (!has_xsave || size < XSAVE_AREA) {
		return HV_STATUS_INVALID_PARAMETER;
	}
	present = header[0];
	layout = header[1] & ~XCOMP_COMPACTED;
	memcpy(&mxcsr, (const uint8_t *)image + 24, sizeof(mxcsr));
	if (!(header[1] & XCOMP_COMPACTED) || (layout & ~plat_info.xsave_features) ||
	    (present & ~layout) || size < compacted_size(layout) || (mxcsr & ~0xffffu)) {
		return HV_STATUS_INVALID_PARAMETER;
	}
	memset(area, 0, PAGE_SIZE);
	memcpy(area, image, XSAVE_HEADER);
	memcpy(area + XSAVE_HEADER, &present, sizeof(present));
	for (unsigned int i = 2; i < 63; i++) {
		if (present & 1ull << i) {
			memcpy(area + components[i].offset,
			       (const uint8_t *)image + compacted_offset(layout, i),
			       components[i].size);
		}
	}
	return HV_STATUS_SUCCESS;
}
