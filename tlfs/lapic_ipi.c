/*
 * Who gets an interrupt: IPIs, MSIs, and what the parent asserts (SDM, "Issuing Interprocessor
 * Interrupts", "Logical Destination Mode", "Logical x2APIC ID").
 *
 * A destination is matched as the hardware does it, by the receiver, in the receiver's mode. What
 * is read of another VP's APIC (mode, LDR, DFR, TPR, LVT) is one word, read once, and may change
 * the next moment, as on a bus.
 */
#include "tlfs/lapic.h"

#define ICR_VECTOR(icr)    ((uint8_t)(icr))
#define ICR_MODE(icr)      ((enum lapic_mode)(((icr) >> 8) & 7))
#define ICR_LOGICAL        (1u << 11)
#define ICR_ASSERT         (1u << 14)
#define ICR_LEVEL          (1u << 15)
#define ICR_SHORTHAND(icr) (((icr) >> 18) & 3)

#define ICR_EXTRAORDINARY 0xC0F00u /* shorthand, logical, any mode but fixed */

enum shorthand { NO_SHORTHAND, TO_SELF, TO_ALL, TO_OTHERS };

struct interrupt {
	enum lapic_mode mode;
	uint8_t vector;
	bool level;
	bool logical;
	uint32_t destination;
	struct vp *sender; /* NULL: a device or the parent */
	bool exclude_sender;
	bool broadcast;
};

uint32_t lapic_x2apic_ldr(uint32_t apic_id)
{
	return (apic_id >> 4) << 16 | 1u << (apic_id & 0xF);
}

/*
 * By anyone. The trigger mode is there before the bit, the bit before the word's bit, and that
 * before the event: each is visible when the owner, following the same chain backwards, looks for
 * it.
 */
void lapic_post(struct vp *vp, uint8_t vector, bool level)
{
	struct lapic *apic = &vp->lapic;
	unsigned int word = vector / 32;
	uint32_t bit = 1u << vector % 32;

	if (level) {
		__atomic_fetch_or(&apic->post_tmr[word], bit, __ATOMIC_RELAXED);
	} else if (__atomic_load_n(&apic->post_tmr[word], __ATOMIC_RELAXED) & bit) {
		__atomic_fetch_and(&apic->post_tmr[word], ~bit, __ATOMIC_RELAXED);
	}
	if (__atomic_fetch_or(&apic->post[word], bit, __ATOMIC_RELEASE) & bit) {
		return; /* whoever set it tells the owner */
	}
	__atomic_fetch_or(&apic->post_words, 1u << word, __ATOMIC_RELEASE);
	vp_post_event(vp, VP_EVENT_INTERRUPT);
}

/* ---- matching ---- */

static uint64_t base_of(const struct vp *vp)
{
	return __atomic_load_n(&vp->lapic.base, __ATOMIC_RELAXED);
}

static bool in_x2apic_mode(const struct vp *vp)
{
	return (base_of(vp) & LAPIC_BASE_X2APIC) != 0;
}

static bool matches_logical(const struct vp *vp, uint32_t destination)
{
	uint32_t ldr = __atomic_load_n(&vp->lapic.ldr, __ATOMIC_RELAXED);
	uint32_t mda = destination & 0xFF;

	if (in_x2apic_mode(vp)) {
		return destination >> 16 == ldr >> 16 && (destination & ldr & 0xFFFF);
	}
	ldr >>= 24;
	if (__atomic_load_n(&vp->lapic.dfr, __ATOMIC_RELAXED) >> 28 == 0xF) { /* flat */
		return (mda & ldr) != 0;
	}
	return ((mda >> 4) == (ldr >> 4) || mda >> 4 == 0xF) && (mda & ldr & 0xF);
}

static bool matches_physical(const struct vp *vp, uint32_t destination)
{
	if (in_x2apic_mode(vp)) {
		return destination == vp->apic_id;
	}
	return destination == (vp->apic_id & 0xFF) || destination == LAPIC_XAPIC_BROADCAST;
}

static bool matches(const struct vp *vp, const struct interrupt *what)
{
	if (what->exclude_sender && vp == what->sender) {
		return false;
	}
	if (!(base_of(vp) & LAPIC_BASE_ENABLE)) {
		return false;
	}
	if (what->broadcast) {
		return true;
	}
	return what->logical ? matches_logical(vp, what->destination)
			     : matches_physical(vp, what->destination);
}

bool lapic_reaches(const struct vp *vp, uint32_t destination, bool logical)
{
	const struct interrupt what = {.logical = logical, .destination = destination};

	return matches(vp, &what);
}

/* ---- delivery ---- */

static void deliver(struct vp *vp, const struct interrupt *what)
{
	switch (what->mode) {
	case LAPIC_MODE_FIXED:
	case LAPIC_MODE_LOWEST:
		if (vp == what->sender) {
			lapic_raise(vp, what->vector, what->level);
		} else {
			lapic_post(vp, what->vector, what->level);
		}
		break;
	case LAPIC_MODE_NMI:
		vp_post_nmi(vp);
		break;
	case LAPIC_MODE_INIT:
		vp_post_event(vp, VP_EVENT_INIT);
		break;
	case LAPIC_MODE_SIPI:
		__atomic_store_n(&vp->sipi_vector, what->vector, __ATOMIC_RELAXED);
		vp_post_event(vp, VP_EVENT_SIPI);
		break;
	case LAPIC_MODE_EXTINT:
		vp_post_extint(vp, what->vector);
		break;
	default: /* SMI and remote read: there is no system management mode, and no such read since
		    the Pentium 4 */
		break;
	}
}

/* A pulse on a LINT pin: what its LVT entry makes of it. */
static void deliver_pin(struct vp *vp, unsigned int pin, const struct interrupt *what)
{
	uint32_t lvt = __atomic_load_n(&vp->lapic.lvt_lint[pin], __ATOMIC_RELAXED);
	struct interrupt through = *what;

	if (!(base_of(vp) & LAPIC_BASE_ENABLE)) {
		through.mode = pin ? LAPIC_MODE_NMI : LAPIC_MODE_EXTINT;
	} else {
		if (lvt & LAPIC_LVT_MASKED) {
			return;
		}
		through.mode = (enum lapic_mode)LAPIC_LVT_MODE(lvt);
		through.level = through.mode == LAPIC_MODE_FIXED && (lvt & LAPIC_LVT_LEVEL);
		if (through.mode != LAPIC_MODE_EXTINT) {
			through.vector = (uint8_t)lvt;
		}
	}
	if (through.mode == LAPIC_MODE_FIXED || through.mode == LAPIC_MODE_NMI ||
	    through.mode == LAPIC_MODE_INIT || through.mode == LAPIC_MODE_EXTINT) {
		deliver(vp, &through);
	}
}

/*
 * Lowest priority: the least TPR class wins; of several, the vector picks, so that devices spread
 * and each stays.
 */
static struct vp *lowest_priority(struct partition *p, const struct interrupt *what)
{
	struct vp *best = NULL;
	uint32_t best_class = UINT32_MAX, ties = 0;

	for (unsigned int pass = 0; pass < 2; pass++) {
		uint32_t pick = ties ? what->vector % ties : 0;

		for (uint32_t i = 0; i < HV_MAX_VPS; i++) {
			struct vp *vp = partition_vp(p, i);
			uint32_t class;

			if (vp == NULL || !matches(vp, what)) {
				continue;
			}
			class = __atomic_load_n(&vp->lapic.tpr, __ATOMIC_RELAXED) >> 4;
			if (pass == 0 && class < best_class) {
				best_class = class;
				best = vp;
				ties = 0;
			}
			if (class != best_class) {
				continue;
			}
			if (pass == 0) {
				ties++;
			} else if (pick-- == 0) {
				return vp;
			}
		}
	}
	return best;
}

/*
 * The common case, one VP by its APIC id, without a look at all of them: ids mostly equal indices.
 */
static struct vp *vp_by_apic_id(struct partition *p, uint32_t apic_id)
{
	struct vp *vp = apic_id < HV_MAX_VPS ? partition_vp(p, apic_id) : NULL;

	if (vp != NULL && vp->apic_id == apic_id) {
		return vp;
	}
	for (uint32_t i = 0; i < HV_MAX_VPS; i++) {
		vp = partition_vp(p, i);
		if (vp != NULL && vp->apic_id == apic_id) {
			return vp;
		}
	}
	return NULL;
}

/* False when nobody is addressed. */
static bool route(struct partition *p, const struct interrupt *what)
{
	bool found = false;

	if (!what->logical && !what->broadcast && what->destination != LAPIC_XAPIC_BROADCAST) {
		struct vp *vp = vp_by_apic_id(p, what->destination);

		if (vp != NULL && (what->mode == LAPIC_MODE_EXTINT ||
				   matches(vp, what))) { /* the PIC's wire needs no APIC */
			deliver(vp, what);
			return true;
		}
	}
	if (what->mode == LAPIC_MODE_LOWEST) {
		struct vp *vp = lowest_priority(p, what);

		if (vp != NULL) {
			deliver(vp, what);
		}
		return vp != NULL;
	}
	for (uint32_t i = 0; i < HV_MAX_VPS; i++) {
		struct vp *vp = partition_vp(p, i);

		if (vp != NULL && matches(vp, what)) {
			deliver(vp, what);
			found = true;
		}
	}
	return found;
}

/* ---- the ICR ---- */

void lapic_self_ipi(struct vp *vp, uint8_t vector)
{
	if (vector < LAPIC_FIRST_VECTOR) {
		lapic_error(vp, LAPIC_ESR_SEND_ILLEGAL_VECTOR);
	} else {
		lapic_raise(vp, vector, false);
	}
}

/*
 * With the shorthands self and all only a fixed interrupt is valid (SDM, "Valid Combinations for
 * the ICR").
 */
static bool icr_valid(uint64_t icr)
{
	unsigned int shorthand = ICR_SHORTHAND(icr);

	if (ICR_MODE(icr) == LAPIC_MODE_EXTINT) {
		return false;
	}
	if ((shorthand == TO_SELF || shorthand == TO_ALL) && ICR_MODE(icr) != LAPIC_MODE_FIXED) {
		return false;
	}
	/*
	 * The de-assertion of INIT set arbitration ids once, and has had no effect since the
	 * Pentium 4.
	 */
	return !(ICR_MODE(icr) == LAPIC_MODE_INIT && (icr & ICR_LEVEL) && !(icr & ICR_ASSERT));
}

/* The IPI of everyday: fixed, physical, to one VP, whose index is its id as a rule. */
static bool send_to_one(struct vp *vp, uint64_t icr)
{
	uint32_t destination = (uint32_t)(icr >> 32);
	struct vp *target;

	if ((icr & ICR_EXTRAORDINARY) || destination >= LAPIC_XAPIC_BROADCAST ||
	    ICR_VECTOR(icr) < LAPIC_FIRST_VECTOR) {
		return false;
	}
	target = __atomic_load_n(&vp->partition->vps[destination], __ATOMIC_ACQUIRE);
	if (target == NULL || target->apic_id != destination ||
	    !(base_of(target) & base_of(vp) & LAPIC_BASE_ENABLE)) {
		return false;
	}
	if (target == vp) {
		lapic_raise(vp, ICR_VECTOR(icr), false);
	} else {
		lapic_post(target, ICR_VECTOR(icr), false);
	}
	return true;
}

static void send_any(struct vp *vp, uint64_t icr)
{
	struct interrupt what = {
		.mode = ICR_MODE(icr),
		.vector = ICR_VECTOR(icr),
		.logical = (icr & ICR_LOGICAL) != 0,
		.destination = (uint32_t)(icr >> 32),
		.sender = vp,
	};

	/*
	 * Software-disabled, it still sends; it is only its own interrupts that it does not take.
	 */
	if (!(vp->lapic.base & LAPIC_BASE_ENABLE) || !icr_valid(icr)) {
		return;
	}
	if (what.mode <= LAPIC_MODE_LOWEST && what.vector < LAPIC_FIRST_VECTOR) {
		lapic_error(vp, LAPIC_ESR_SEND_ILLEGAL_VECTOR);
		return;
	}
	switch (ICR_SHORTHAND(icr)) {
	case TO_SELF:
		lapic_raise(vp, what.vector, false);
		return;
	case TO_OTHERS:
		what.exclude_sender = true;
		what.broadcast = true;
		break;
	case TO_ALL:
		what.broadcast = true;
		break;
	default:
		what.broadcast =
			what.destination ==
				(lapic_x2apic(&vp->lapic) ? UINT32_MAX : LAPIC_XAPIC_BROADCAST) &&
			(!what.logical || lapic_x2apic(&vp->lapic));
		break;
	}
	/* Nobody there: lost, as on the bus; the ESR has had no bit for it since the P6. */
	(void)route(vp->partition, &what);
}

void lapic_send_ipi(struct vp *vp, uint64_t icr)
{
	if (!send_to_one(vp, icr)) {
		send_any(vp, icr);
	}
}

hv_status_t lapic_send(struct partition *p, uint32_t type, uint32_t destination, bool logical,
		       uint8_t vector, bool level)
{
	struct interrupt what = {
		.mode = (enum lapic_mode)type,
		.vector = vector,
		.level = level && type <= HV_X64_INTERRUPT_TYPE_LOWESTPRIORITY,
		.logical = logical,
		.destination = destination,
		.broadcast = destination == UINT32_MAX,
	};

	if (type >= HV_X64_INTERRUPT_TYPE_MAXIMUM || type == HV_X64_INTERRUPT_TYPE_SMI ||
	    type == HV_X64_INTERRUPT_TYPE_REMOTEREAD) {
		return HV_STATUS_INVALID_PARAMETER;
	}
	if (type <= HV_X64_INTERRUPT_TYPE_LOWESTPRIORITY && vector < LAPIC_FIRST_VECTOR) {
		return HV_STATUS_INVALID_PARAMETER;
	}
	if (type == HV_X64_INTERRUPT_TYPE_LOCALINT0 || type == HV_X64_INTERRUPT_TYPE_LOCALINT1) {
		struct vp *vp = vp_by_apic_id(p, destination);

		if (vp == NULL) {
			return HV_STATUS_INVALID_PARAMETER;
		}
		deliver_pin(vp, type - HV_X64_INTERRUPT_TYPE_LOCALINT0, &what);
		return HV_STATUS_SUCCESS;
	}
	return route(p, &what) ? HV_STATUS_SUCCESS : HV_STATUS_INVALID_PARAMETER;
}
