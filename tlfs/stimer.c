/*
 * Synthetic timers (TLFS, "Synthetic Timers"): four a VP, each one-shot at a reference time or
 * periodic, by message or, in direct mode, by interrupt. Everything is the owner's.
 *
 *	disabled ── config or count enables ─▶ armed (next_100ns)
 *	armed ── stimer_expire() ─▶ disabled (one-shot), armed again (periodic)
 *
 * An expiry whose message finds the slot full leaves message_pending, until stimer_retry() or a new
 * configuration.
 */
#include "tlfs/clock.h"
#include "tlfs/synic.h"

#define CONFIG_BITS     0x000F1FFFull /* the rest is RsvdZ; dropped */
#define SHORTEST_PERIOD 100ull        /* 10 µs: expiries closer than this are skipped */

static union hv_stimer_config config_of(const struct stimer *timer)
{
	return (union hv_stimer_config){.as_uint64 = timer->config};
}

static uint32_t waiting_bit(const struct vp *vp, const struct stimer *timer)
{
	return 1u << (SYNIC_WAITING_TIMER_SHIFT + (unsigned int)(timer - vp->stimers));
}

static void set_enable(struct stimer *timer, bool enable)
{
	timer->config = (timer->config & ~1ull) | enable;
}

static void forget_message(struct vp *vp, struct stimer *timer)
{
	timer->message_pending = false;
	__atomic_fetch_and(&vp->synic.waiting, ~waiting_bit(vp, timer), __ATOMIC_RELAXED);
}

static void set_message_pending(struct vp *vp, struct stimer *timer)
{
	timer->message_pending = true;
	__atomic_fetch_or(&vp->synic.waiting, waiting_bit(vp, timer), __ATOMIC_RELAXED);
}

static void send_message(struct vp *vp, struct stimer *timer)
{
	union hv_stimer_config config = config_of(timer);
	struct hv_message message = {
		.header = {.message_type = HVMSG_TIMER_EXPIRED,
			   .payload_size = sizeof(struct hv_timer_message_payload)},
	};
	struct hv_timer_message_payload payload = {
		.timer_index = (uint32_t)(timer - vp->stimers),
		.expiration_time = timer->expired_100ns,
		.delivery_time = refclock_now(vp->partition),
	};

	memcpy(message.u.payload, &payload, sizeof(payload));
	if (synic_post_message(vp, (uint32_t)config.sintx, &message, false) == HV_STATUS_SUCCESS) {
		forget_message(vp, timer);
	} else if (!(config.lazy &&
		     config.periodic)) { /* a lazy tick that finds no room is skipped */
		set_message_pending(vp, timer);
	}
}

static void signal_expiry(struct vp *vp, struct stimer *timer)
{
	union hv_stimer_config config = config_of(timer);

	if (config.direct_mode) {
		lapic_raise(vp, (uint8_t)config.apic_vector, false);
	} else {
		send_message(vp, timer);
	}
}

/*
 * The end of the running period was missed by `late`: a lazy timer skips a tick that comes shortly
 * before the next.
 */
static bool skips(const struct stimer *timer, uint64_t late)
{
	return config_of(timer).lazy && late % timer->count >= timer->count - timer->count / 8;
}

static void expire_periodic(struct vp *vp, struct stimer *timer, uint64_t now_100ns)
{
	uint64_t late = now_100ns - timer->next_100ns,
		 least = clock_add(now_100ns, SHORTEST_PERIOD);
	uint64_t next = clock_add(timer->next_100ns, timer->count);

	timer->expired_100ns = timer->next_100ns + late / timer->count * timer->count;
	if (next < least) { /* ticks that were missed are skipped, in step */
		next += (least - next + timer->count - 1) / timer->count * timer->count;
	}
	timer->next_100ns = next;
	if (!skips(timer, late) || late < timer->count) {
		signal_expiry(vp, timer);
	}
}

static void expire(struct vp *vp, struct stimer *timer, uint64_t now_100ns)
{
	if (config_of(timer).periodic) {
		expire_periodic(vp, timer, now_100ns);
		return;
	}
	timer->expired_100ns = timer->next_100ns;
	timer->next_100ns = HV_NEVER;
	set_enable(timer, false);
	signal_expiry(vp, timer);
}

void stimer_expire(struct vp *vp, uint64_t now_100ns)
{
	for (unsigned int i = 0; i < HV_STIMER_COUNT; i++) {
		if (vp->stimers[i].next_100ns <= now_100ns) {
			expire(vp, &vp->stimers[i], now_100ns);
		}
	}
}

void stimer_retry(struct vp *vp)
{
	for (unsigned int i = 0; i < HV_STIMER_COUNT; i++) {
		if (vp->stimers[i].message_pending) {
			send_message(vp, &vp->stimers[i]);
		}
	}
	vp_rearm_timer(vp); /* a periodic timer does not run while its message waits */
}

/*
 * The count first: writing it may start the timer, writing the configuration then decides. A
 * periodic timer goes on in step, if what is said of its next expiry can be.
 */
void stimer_restore(struct vp *vp, unsigned int index, const struct hv_stimer_state *state)
{
	struct stimer *timer = &vp->stimers[index];
	uint32_t msr = HV_X64_MSR_STIMER0_CONFIG + 2 * index;

	(void)stimer_msr_write(vp, msr + 1, state->count);
	(void)stimer_msr_write(vp, msr, state->config);
	if (config_of(timer).periodic && timer->next_100ns != HV_NEVER && state->adjustment &&
	    state->adjustment < timer->next_100ns) {
		timer->next_100ns = state->adjustment;
	}
	if (state->flags.undelivered_msg_pending) {
		timer->expired_100ns = state->undelivered_exp_time;
		set_message_pending(vp, timer);
	}
}

void stimer_reset(struct vp *vp)
{
	for (unsigned int i = 0; i < HV_STIMER_COUNT; i++) {
		struct stimer *timer = &vp->stimers[i];

		timer->config = timer->count = timer->expired_100ns = 0;
		timer->next_100ns = HV_NEVER;
		forget_message(vp, timer);
	}
}

/* After a write: arms what is enabled, fires what is due, disarms the rest. */
static void restart(struct vp *vp, struct stimer *timer)
{
	union hv_stimer_config config = config_of(timer);

	timer->next_100ns = HV_NEVER;
	if (timer->message_pending) {
		forget_message(vp, timer);
	}
	/*
	 * TLFS: SINT 0 is not permitted for an enabled timer unless it is direct; without a count
	 * nothing runs.
	 */
	if (config.enable && ((!config.direct_mode && config.sintx == 0) || timer->count == 0)) {
		set_enable(timer, false);
	}
	if (config_of(timer).enable) {
		uint64_t now = refclock_now(vp->partition);

		timer->next_100ns = config.periodic ? clock_add(now, timer->count) : timer->count;
		if (timer->next_100ns <= now) {
			expire(vp, timer, now);
		}
	}
	vp_rearm_timer(vp);
}

enum access_result stimer_msr_read(struct vp *vp, uint32_t msr, uint64_t *value)
{
	const struct stimer *timer = &vp->stimers[(msr - HV_X64_MSR_STIMER0_CONFIG) / 2];

	*value = msr & 1 ? timer->count : timer->config;
	return ACCESS_OK;
}

enum access_result stimer_msr_write(struct vp *vp, uint32_t msr, uint64_t value)
{
	struct stimer *timer = &vp->stimers[(msr - HV_X64_MSR_STIMER0_CONFIG) / 2];

	if (msr & 1) {
		timer->count = value;
		if (value == 0) {
			set_enable(timer, false);
		} else if (config_of(timer).auto_enable) {
			set_enable(timer, true);
		}
	} else {
		timer->config = value & CONFIG_BITS;
	}
	restart(vp, timer);
	return ACCESS_OK;
}
