#include "hypervisor/arch/x86/walk.h"

#include "hypervisor/arch/x86/cpu.h"
#include "hypervisor/arch/x86/vendor.h"
#include "hypervisor/gpa.h"
#include "hypervisor/gpa_trail.h"
#include "hypervisor/vcpu.h"

#define PTE_PRESENT  (1ull << 0)
#define PTE_WRITE    (1ull << 1)
#define PTE_USER     (1ull << 2)
#define PTE_ACCESSED (1ull << 5)
#define PTE_DIRTY    (1ull << 6)
#define PTE_LARGE    (1ull << 7)
#define PTE_NX       (1ull << 63)
#define PTE_ADDRESS  0x000ffffffffff000ull

#define PF_PRESENT (1u << 0)
#define PF_WRITE   (1u << 1)
#define PF_USER    (1u << 2)
#define PF_FETCH   (1u << 4)

struct mode {
	unsigned int levels; /* 0: paging off */
	unsigned int index_bits, entry_bytes;
	bool write_protect, nx, large;
};

static struct mode mode_of(struct vcpu *vcpu)
{
	uint64_t cr0 = vendor_get_cr(vcpu, 0), cr4 = vendor_get_cr(vcpu, 4),
		 efer = vendor_get_efer(vcpu);
	struct mode mode = {.write_protect = cr0 & CR0_WP, .nx = efer & EFER_NXE, .large = true};

	if (!(cr0 & CR0_PG)) {
		return mode;
	}
	mode.index_bits = 9;
	mode.entry_bytes = 8;
	if (efer & EFER_LMA) {
		mode.levels = cr4 & CR4_LA57 ? 5 : 4;
	} else if (cr4 & CR4_PAE) {
		mode.levels = 3;
	} else {
		mode.levels = 2;
		mode.index_bits = 10;
		mode.entry_bytes = 4;
		mode.large = cr4 & CR4_PSE;
	}
	return mode;
}

static bool is_leaf(const struct mode *mode, unsigned int level, uint64_t entry)
{
	if (level == 1) {
		return true;
	}
	return (entry & PTE_LARGE) && level <= (mode->levels >= 4 ? 3u : 2u) && mode->large;
}

static uint64_t leaf_address(const struct mode *mode, unsigned int level, uint64_t entry,
			     uint64_t gva)
{
	unsigned int shift = 12 + (level - 1) * mode->index_bits;
	uint64_t offset = gva & ((1ull << shift) - 1);

	if (mode->entry_bytes == 4 && level == 2) { /* PSE-36: bits 39:32 in 20:13 */
		return (entry & 0xffc00000) | (entry >> 13 & 0xff) << 32 | offset;
	}
	return (entry & PTE_ADDRESS & ~((1ull << shift) - 1)) | offset;
}

/* The rights that all levels grant together; a set NX bit clears nothing but is remembered. */
static bool permitted(const struct mode *mode, uint64_t rights, bool nx, uint32_t access)
{
	if ((access & WALK_USER) && !(rights & PTE_USER)) {
		return false;
	}
	if ((access & WALK_WRITE) && !(rights & PTE_WRITE) &&
	    ((access & WALK_USER) || mode->write_protect)) {
		return false;
	}
	return !((access & WALK_FETCH) && nx && mode->nx);
}

static uint32_t fault(uint32_t access, bool present, uint32_t code, uint32_t *error)
{
	*error = (present ? PF_PRESENT : 0) | (access & WALK_WRITE ? PF_WRITE : 0) |
		 (access & WALK_USER ? PF_USER : 0) | (access & WALK_FETCH ? PF_FETCH : 0);
	return code;
}

static bool read_entry(const struct mode *mode, struct partition *p, uint64_t at, uint64_t *entry,
		       struct gpa_trail *trail)
{
	return trail != NULL ? gpa_trail_word(p, trail, (gpa_t){at}, entry)
			     : plat_gpa_read(p, (gpa_t){at}, entry, mode->entry_bytes);
}

/* How often a walk begins anew because a guest changes the tables under it. */
#define TRIES 16

/* `*changed`: an entry was another when it was to be marked, and nothing else is said. */
static uint32_t walk_once(struct vcpu *vcpu, struct mode mode, gva_t gva, uint32_t access,
			  gpa_t *gpa, uint32_t *error, struct gpa_trail *trail, bool *changed)
{
	struct partition *p = vcpu->vp->partition;
	uint64_t table = vendor_get_cr(vcpu, 3) & (mode.levels == 3 ? 0xffffffe0ull : PTE_ADDRESS);
	uint64_t rights = PTE_USER | PTE_WRITE;
	bool nx = false;

	if (mode.levels == 0) {
		gpa->v = (uint32_t)gva.v;
		return HV_TRANSLATE_GVA_SUCCESS;
	}
	for (unsigned int level = mode.levels;; level--) {
		unsigned int shift = 12 + (level - 1) * mode.index_bits;
		uint64_t index = gva.v >> shift & ((1ull << mode.index_bits) - 1);
		uint64_t at = table + index * mode.entry_bytes, entry = 0;
		uint64_t used = access & WALK_SET_BITS ? PTE_ACCESSED : 0;
		bool leaf;

		if (mode.levels == 3 && level == 3) {
			at = table + (index & 3) * 8;
		}
		gpa->v = at;
		if (!read_entry(&mode, p, at, &entry, trail)) {
			return fault(access, false, HV_TRANSLATE_GVA_GPA_UNMAPPED, error);
		}
		if (!(entry & PTE_PRESENT)) {
			return fault(access, false, HV_TRANSLATE_GVA_PAGE_NOT_PRESENT, error);
		}
		if (!(mode.levels == 3 && level == 3)) { /* PDPTEs of PAE have no rights */
			rights &= entry;
			nx |= (entry & PTE_NX) && mode.entry_bytes == 8;
		}
		leaf = is_leaf(&mode, level, entry);
		if (leaf && !permitted(&mode, rights, nx, access)) {
			return fault(access, true, HV_TRANSLATE_GVA_PRIVILEGE_VIOLATION, error);
		}
		if (used && leaf && (access & WALK_WRITE)) {
			used |= PTE_DIRTY;
		}
		if ((entry & used) != used && !(mode.levels == 3 && level == 3)) {
			enum gpa_exchange result =
				gpa_exchange(p, (gpa_t){at}, entry, entry | used, mode.entry_bytes);

			*changed = result == GPA_EXCHANGE_OTHER;
			if (result != GPA_EXCHANGE_DONE) {
				return fault(access, true, HV_TRANSLATE_GVA_GPA_NO_WRITE_ACCESS,
					     error);
			}
		}
		if (leaf) {
			gpa->v = leaf_address(&mode, level, entry, gva.v);
			return HV_TRANSLATE_GVA_SUCCESS;
		}
		table = entry & (mode.entry_bytes == 4 ? 0xfffff000ull : PTE_ADDRESS);
	}
}

/* As a processor does, the walk begins anew when another one was faster at an entry; but not for
 * ever. */
static uint32_t walk(struct vcpu *vcpu, struct mode mode, gva_t gva, uint32_t access, gpa_t *gpa,
		     uint32_t *error, struct gpa_trail *trail)
{
	bool changed = true;
	uint32_t code = HV_TRANSLATE_GVA_GPA_NO_WRITE_ACCESS;

	for (unsigned int i = 0; i < TRIES && changed; i++) {
		changed = false;
		code = walk_once(vcpu, mode, gva, access, gpa, error, trail, &changed);
	}
	return code;
}

uint32_t walk_gva(struct vcpu *vcpu, gva_t gva, uint32_t access, gpa_t *gpa, uint32_t *error)
{
	return walk(vcpu, mode_of(vcpu), gva, access, gpa, error, NULL);
}

bool walk_code(struct vcpu *vcpu, gva_t gva, gpa_t *gpa, struct gpa_trail *trail)
{
	struct mode mode = mode_of(vcpu);
	uint32_t error;

	return mode.entry_bytes != 4 &&
	       walk(vcpu, mode, gva, WALK_FETCH, gpa, &error, trail) == HV_TRANSLATE_GVA_SUCCESS;
}
