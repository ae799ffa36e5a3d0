/*
 * Partition reference time (TLFS, "Reference Counter", "Partition Reference Time Enlightenment"):
 * 100 ns units since the partition was made, by the MSR and by the TSC page, both from the same
 * formula:
 *
 *         time = ((guest TSC × reference_scale) >> 64) + reference_offset_100ns
 *
 * where guest TSC is the one that the partition's VPs were made with. The MSR's and the page's
 * values therefore agree to the unit. When all VPs were given another TSC, the page's offset makes
 * up for it; when they differ, or the LPs' own do, or time is frozen, its sequence is 0 and the
 * guest reads the MSR.
 */
#include "tlfs/clock.h"
#include "tlfs/hv.h"

#define SEQUENCE_INVALID 0u

static uint64_t running_time(const struct partition *p, uint64_t tsc)
{
	return clock_scale(tsc + p->tsc_offset, p->reference_scale) +
	       (uint64_t)__atomic_load_n(&p->reference_offset_100ns, __ATOMIC_RELAXED);
}

uint64_t refclock_now(const struct partition *p)
{
	uint64_t frozen = __atomic_load_n(&p->frozen_100ns, __ATOMIC_RELAXED);

	return frozen != HV_NEVER ? frozen : running_time(p, plat_tsc());
}

/*
 * The least LP TSC at which `time` is reached, whenever it is asked for; now when it has been;
 * HV_NEVER when it will not be.
 */
uint64_t refclock_to_tsc(const struct partition *p, uint64_t time_100ns)
{
	uint64_t frozen = __atomic_load_n(&p->frozen_100ns, __ATOMIC_RELAXED);
	uint64_t tsc = plat_tsc(), now = frozen != HV_NEVER ? frozen : running_time(p, tsc);
	uint64_t guest_tsc = tsc + p->tsc_offset, then;

	if (time_100ns <= now) {
		return tsc;
	}
	if (frozen != HV_NEVER) {
		return HV_NEVER;
	}
	then = clock_unscale(
		clock_add(clock_scale(guest_tsc, p->reference_scale), time_100ns - now),
		p->reference_scale);
	return clock_add(tsc, then - guest_tsc);
}

/*
 * The root sees the machine's TSC, so that its own calibration holds; a child's begins at 0, and
 * its reference time with it.
 */
hv_status_t refclock_create(struct partition *p)
{
	uint64_t tsc = plat_tsc(), remainder = HV_REF_HZ;

	if (plat_info.tsc_hz <= HV_REF_HZ) { /* the quotient below would not fit */
		return HV_STATUS_FEATURE_UNAVAILABLE;
	}
	/*
	 * 2^64 × 10^7 ÷ frequency, rounded up: so that a TSC that was computed as the moment of a
	 * time is that moment, and not one unit before it.
	 */
	__asm__("divq %[hz]"
		: "=a"(p->reference_scale), "+d"(remainder)
		: "0"(0ull), [hz] "r"(plat_info.tsc_hz)
		: "cc");
	if (remainder) {
		p->reference_scale++;
	}
	p->tsc_offset = p->id == HV_ROOT_PARTITION ? 0 : -tsc;
	p->reference_offset_100ns = -(int64_t)clock_scale(tsc + p->tsc_offset, p->reference_scale);
	p->frozen_100ns = HV_NEVER;
	return HV_STATUS_SUCCESS;
}

/* ---- the TSC page ---- */

/*
 * The offset that all VPs share, wherever they run, or false. Read while others may write theirs:
 * they come here again afterwards.
 */
static bool common_tsc_offset(const struct partition *p, uint64_t *offset)
{
	bool found = false;

	if (!plat_info.tsc_equal) {
		return false;
	}
	*offset = p->tsc_offset;
	for (uint32_t i = 0; i < HV_MAX_VPS; i++) {
		const struct vp *vp = __atomic_load_n(&p->vps[i], __ATOMIC_ACQUIRE);
		uint64_t own;

		if (vp == NULL) {
			continue;
		}
		own = __atomic_load_n(&vp->tsc_offset, __ATOMIC_RELAXED);
		if (found && own != *offset) {
			return false;
		}
		*offset = own;
		found = true;
	}
	return true;
}

/* [P] held. The sequence goes through 0, so that nobody pairs an old scale with a new offset. */
static void publish(struct partition *p)
{
	struct ms_hyperv_tsc_page *page = p->tsc_page;
	uint64_t tsc = plat_tsc(), offset;
	uint32_t sequence = ++p->tsc_sequence;

	__atomic_store_n(&page->tsc_sequence, SEQUENCE_INVALID, __ATOMIC_SEQ_CST);
	if (p->frozen_100ns != HV_NEVER || !common_tsc_offset(p, &offset)) {
		return;
	}
	page->tsc_scale = p->reference_scale;
	page->tsc_offset = p->reference_offset_100ns +
			   (int64_t)(clock_scale(tsc + p->tsc_offset, p->reference_scale) -
				     clock_scale(tsc + offset, p->reference_scale));
	if (sequence == SEQUENCE_INVALID) {
		sequence = ++p->tsc_sequence;
	}
	__atomic_store_n(&page->tsc_sequence, sequence, __ATOMIC_RELEASE);
}

/* [P] held. */
enum access_result refclock_set_tsc_page(struct partition *p, uint64_t msr_value)
{
	if (overlay_move(p, p->reference_tsc, msr_value, p->tsc_page) != HV_STATUS_SUCCESS) {
		return ACCESS_FAULT;
	}
	p->reference_tsc = msr_value;
	publish(p);
	return ACCESS_OK;
}

/* Timers hold deadlines in TSC cycles: each VP computes its own anew. */
static void time_jumped(struct partition *p)
{
	publish(p);
	for (uint32_t i = 0; i < HV_MAX_VPS; i++) {
		if (p->vps[i] != NULL) {
			vp_post_event(p->vps[i], VP_EVENT_TIMER);
		}
	}
}

void refclock_set(struct partition *p, uint64_t time_100ns)
{
	if (p->frozen_100ns != HV_NEVER) {
		__atomic_store_n(&p->frozen_100ns, time_100ns, __ATOMIC_RELAXED);
	} else {
		__atomic_store_n(&p->reference_offset_100ns,
				 p->reference_offset_100ns +
					 (int64_t)(time_100ns - running_time(p, plat_tsc())),
				 __ATOMIC_RELAXED);
	}
	time_jumped(p);
}

void refclock_freeze(struct partition *p, bool freeze)
{
	uint64_t frozen = p->frozen_100ns;

	if (freeze == (frozen != HV_NEVER)) {
		return;
	}
	if (freeze) {
		p->frozen_tsc = plat_tsc();
		__atomic_store_n(&p->frozen_100ns, running_time(p, p->frozen_tsc),
				 __ATOMIC_RELEASE);
		time_jumped(p);
		return;
	}
	__atomic_store_n(&p->reference_offset_100ns,
			 p->reference_offset_100ns +
				 (int64_t)(frozen - running_time(p, plat_tsc())),
			 __ATOMIC_RELAXED);
	__atomic_store_n(&p->frozen_100ns, HV_NEVER, __ATOMIC_RELEASE);
	time_jumped(p);
}

uint64_t refclock_tsc(const struct partition *p)
{
	return __atomic_load_n(&p->frozen_100ns, __ATOMIC_ACQUIRE) != HV_NEVER ? p->frozen_tsc
									       : plat_tsc();
}

void refclock_tsc_changed(struct partition *p)
{
	spin_lock(&p->lock);
	publish(p);
	spin_unlock(&p->lock);
}
