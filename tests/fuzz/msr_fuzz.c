/*
 * A guest of three VPs that does anything: MSRs, the APIC page, CPUID, IPIs and flushes, writes to
 * the pages that the hypervisor lends it, while time passes, devices interrupt and its parent posts
 * messages. After each step the invariants are looked at.
 */
#include <stdlib.h>

#include "include/hv/interrupt.h"
#include "tests/fake/guest.h"
#include "tests/fuzz/fuzz.h"
#include "tlfs/hypercall.h"
#include "tlfs/lapic.h"
#include "tlfs/synic.h"

#define VP_COUNT 3u
/* Steps after the input's end, by a generator that the input seeds: depth for short inputs. */
#define MORE_STEPS 30u

static const uint8_t *input;
static size_t left;
static uint64_t generator;
static struct partition *p;
static uint64_t last_time;

static void require(bool condition, const char *what)
{
	if (!condition) {
		check_failed("msr_fuzz", 0, what);
	}
}

/* ---- input ---- */

static uint64_t take(size_t bytes)
{
	uint64_t value = 0;

	if (left >= bytes) {
		memcpy(&value, input, bytes);
		input += bytes;
		left -= bytes;
		generator = generator * 31 + value;
		return value;
	}
	left = 0;
	generator = generator * 6364136223846793005ull + 1442695040888963407ull;
	value = generator >> 8 ^ generator >> 40;
	return bytes < 8 ? value & ((1ull << bytes * 8) - 1) : value;
}

/* Values that mean something, beside any. */
static uint64_t take_value(void)
{
	switch (take(1) % 6) {
	case 0:
		return take(1);
	case 1:
		return take(4);
	case 2:
		return (take(1) << 12) | (take(1) & 3); /* a page, on or off */
	case 3:
		return refclock_now(p) + take(2); /* soon */
	case 4:
		return machine.tsc + p->tsc_offset + take(3);
	default:
		return take(8);
	}
}

static uint32_t take_msr(void)
{
	static const uint32_t bases[] = {0x800,      0x820,      0x830,      0x40000000,
					 0x40000010, 0x40000020, 0x40000070, 0x40000080,
					 0x40000090, 0x400000B0, 0x400000F0, 0x40000100,
					 0x40000110, 0x10,       0x200,      0x250};
	static const uint32_t singles[] = {
		0x1B,           0x6E0,          0x10,  0x3B,  0xFE,       0x2FF,
		0x1A0,          0x17A,          0xDA0, 0x277, 0xC0010114, HV_X64_MSR_STIMER0_COUNT,
		HV_X64_MSR_EOM, HV_X64_MSR_EOI, 0x80B, 0x830};
	uint8_t kind = (uint8_t)take(1);

	if (kind == 0xFF) {
		return (uint32_t)take(4);
	}
	if (kind & 0x80) {
		return singles[kind % ARRAY_COUNT(singles)];
	}
	return bases[kind % ARRAY_COUNT(bases)] + (uint32_t)(take(1) & 0xF);
}

static struct vp *take_vp(void)
{
	return p->vps[take(1) % VP_COUNT];
}

/* ---- invariants ---- */

static uint32_t words_of(const uint32_t vectors[8])
{
	uint32_t words = 0;

	for (unsigned int i = 0; i < 8; i++) {
		words |= (uint32_t)(vectors[i] != 0) << i;
	}
	return words;
}

static void check_lapic(struct vp *vp)
{
	const struct lapic *apic = &vp->lapic;
	int pending = lapic_pending(vp);

	require(apic->irr_words == words_of(apic->irr) && apic->isr_words == words_of(apic->isr),
		"summaries");
	require(!((apic->irr[0] | apic->isr[0]) & 0xFFFF), "vectors below 16");
	require(!apic->eoi_assist || !apic->irr_words, "assist with interrupts pending");
	require(pending < 0 || (uint32_t)pending >> 4 > lapic_ppr(apic) >> 4, "priority");
	require((apic->base & 0xC00) != LAPIC_BASE_X2APIC, "x2APIC without enable");
	require(!lapic_x2apic(apic) || apic->ldr == lapic_x2apic_ldr(vp->apic_id), "logical id");
	require(apic->tpr <= 0xFF, "TPR");
	if (!(apic->svr & LAPIC_SVR_ENABLE)) {
		require(apic->lvt_timer & apic->lvt_lint[0] & apic->lvt_lint[1] & apic->lvt_error &
				apic->lvt_pmc & apic->lvt_thermal & LAPIC_LVT_MASKED,
			"LVT unmasked while disabled");
	}
}

static void check_synic(const struct vp *vp)
{
	const struct synic *synic = &vp->synic;
	uint32_t auto_eoi[8] = {0}, count = 0;

	for (const struct synic_message *m = synic->free; m != NULL; m = m->next) {
		count++;
	}
	require(count == synic->free_count, "free buffers");
	for (unsigned int i = 0; i < HV_SINT_COUNT; i++) {
		union hv_synic_sint sint = {.as_uint64 = synic->sint[i]};

		for (const struct synic_message *m = synic->queue[i]; m != NULL; m = m->next) {
			count++;
		}
		require(synic->queue[i] == NULL == !(synic->waiting >> i & 1),
			"waiting bit of a queue");
		require(sint.masked || sint.polling || sint.vector >= 16, "vector of a SINT");
		if (!sint.masked && sint.auto_eoi) {
			auto_eoi[sint.vector / 32] |= 1u << sint.vector % 32;
		}
	}
	require(count == SYNIC_BUFFERS, "buffers lost or doubled");
	require(!memcmp(auto_eoi, vp->lapic.auto_eoi, sizeof(auto_eoi)), "AutoEOI vectors");
}

/* What is armed is never later than what the home was asked for. */
static void check_timers(const struct vp *vp)
{
	uint64_t asked = record.deadline[vp->index];

	for (unsigned int i = 0; i < HV_STIMER_COUNT; i++) {
		const struct stimer *timer = &vp->stimers[i];

		require(timer->next_100ns == HV_NEVER || (timer->config & 1),
			"a disabled timer is armed");
		require(timer->message_pending ==
				(vp->synic.waiting >> (SYNIC_WAITING_TIMER_SHIFT + i) & 1),
			"waiting bit of a timer");
		if (vp->events || timer->message_pending || timer->next_100ns == HV_NEVER) {
			continue;
		}
		require(refclock_to_tsc(p, timer->next_100ns) >= asked || asked <= machine.tsc,
			"timer forgotten");
	}
	if (!vp->events) {
		require(vp->lapic.timer_deadline_tsc >= asked, "APIC timer forgotten");
	}
}

static uint32_t placed(uint64_t msr)
{
	return (msr & 1) && overlay_reachable(msr);
}

static void check_partition(void)
{
	const struct ms_hyperv_tsc_page *page = p->tsc_page;
	uint32_t count = placed(p->hypercall_msr) + placed(p->reference_tsc);
	uint64_t time = refclock_now(p), tsc;

	for (uint32_t i = 0; i < VP_COUNT; i++) {
		const struct vp *vp = p->vps[i];

		count += placed(vp->synic.simp) + placed(vp->synic.siefp) +
			 placed(vp->synic.sirbp) + placed(vp->vp_assist);
	}
	require(count == record.overlay_count, "overlays");
	require(!(p->hypercall_msr & 1) || p->guest_os_id || (p->hypercall_msr & 2),
		"page without identity");
	require(time >= last_time, "time went back");
	last_time = time;
	if (!page->tsc_sequence || !(p->reference_tsc & 1)) {
		return;
	}
	tsc = machine.tsc + p->vps[0]->tsc_offset;
	tsc = (uint64_t)(((unsigned __int128)tsc * page->tsc_scale) >> 64) +
	      (uint64_t)page->tsc_offset;
	require(tsc - time + 1 <= 2, "page and MSR differ");
}

static void check_all(void)
{
	for (uint32_t i = 0; i < VP_COUNT; i++) {
		check_lapic(p->vps[i]);
		check_synic(p->vps[i]);
		check_timers(p->vps[i]);
	}
	check_partition();
}

/* ---- steps ---- */

/* As the home does before an entry. */
static void enter(struct vp *vp)
{
	int vector;

	if (vp->events) {
		vp_process_events(vp);
	}
	require(!vp->lapic.post_words || vp->events, "posted and not told");
	vp->suspend = 0;
	vector = lapic_pending(vp);
	if (vector < 0) {
		return;
	}
	require(vector == lapic_highest_irr(vp), "not the highest");
	lapic_accept(vp, (uint8_t)vector);
}

static void post_message(struct vp *vp)
{
	struct hv_message message = {.header = {.message_type = (uint32_t)take(1) | 1,
						.payload_size = (uint8_t)take(1)}};
	uint32_t sint = (uint32_t)take(1) % HV_SINT_COUNT;

	(void)synic_post_message(vp, sint, &message, take(1) & 1);
}

/* The guest writes to its own pages: slots, flags, the assist word. */
static void scribble(struct vp *vp)
{
	uint8_t *pages[] = {vp->synic.message_page, vp->synic.event_page, vp->vp_assist_page,
			    vp->synic.message_page};
	uint8_t which = (uint8_t)take(1);
	uint32_t at = (uint32_t)take(2) % PAGE_SIZE;

	if (which & 0x80) {
		((struct hv_message_page *)pages[0])
			->sint_message[which % HV_SINT_COUNT]
			.header.message_type = 0;
	} else {
		pages[which % ARRAY_COUNT(pages)][which & 0x40 ? at & 7 : at] = (uint8_t)take(1);
	}
}

static void hypercall(struct vp *vp)
{
	static hypercall_handler *const handlers[] = {
		hc_flush_address_space,   hc_flush_address_list, hc_flush_address_space_ex,
		hc_flush_address_list_ex, hc_send_ipi,           hc_send_ipi_ex};
	uint8_t which = (uint8_t)take(1) % ARRAY_COUNT(handlers);
	uint32_t words = (uint32_t)take(1) % 5;
	size_t size = sizeof(struct hv_tlb_flush_ex) + words * 8;
	uint64_t *block = calloc(1, size);
	struct hypercall call = {
		.vp = vp, .input = block, .variable_size = words * 8, .end = (uint32_t)take(1)};

	for (size_t i = 0; i < size / 8; i++) {
		block[i] = take(take(1) % 9);
	}
	(void)handlers[which](&call);
	require(call.done == 0 || call.done == call.end, "reps");
	free(block);
}

static void restore(struct vp *vp)
{
	struct hv_local_interrupt_controller_state state;

	lapic_get_state(vp, &state);
	for (uint8_t changes = (uint8_t)take(1) & 7; changes; changes--) {
		((uint32_t *)&state)[take(1) % (sizeof(state) / 4)] = (uint32_t)take(4);
	}
	(void)lapic_set_state(vp, &state);
}

static void change_time(void)
{
	uint8_t kind = (uint8_t)take(1);

	spin_lock(&p->lock);
	if (kind & 1) {
		refclock_freeze(p, kind & 2);
	} else {
		refclock_set(p, take(4));
	}
	spin_unlock(&p->lock);
	last_time = 0;
}

static void answer_cpuid(struct vp *vp)
{
	struct hv_register_x64_cpuid_result_parameters result = {
		.input = {.eax = (uint32_t)take(1) << 28 | (uint32_t)take(1),
			  .ecx = (uint32_t)take(1) & 3,
			  .subleaf_specific = take(1) & 1,
			  .always_override = take(1) & 1},
		.result = {.ebx = (uint32_t)take(4), .ebx_mask = (uint32_t)take(4)},
	};

	machine.pages_left = 4;
	(void)cpuid_override_add(p, take(1) & 1 ? HV_ANY_VP : vp->index, &result);
	machine.pages_left = UINT32_MAX;
}

static void step(void)
{
	struct vp *vp = take_vp();
	uint32_t out[4];
	uint64_t value;

	switch (take(1) % 20) {
	case 0:
		(void)msr_read(vp, take_msr(), &value);
		break;
	case 1:
	case 2:
	case 3: {
		uint32_t msr = take_msr();

		(void)msr_write(vp, msr, take_value());
		break;
	}
	case 4:
		(void)lapic_mmio_read(vp, (uint32_t)take(2) & 0xFFF);
		break;
	case 5:
	case 6: {
		uint32_t offset = (uint32_t)take(1) << 4 & 0xFF0;

		/* The home sends accesses here in xAPIC mode only. */
		if (lapic_page_at(vp, vp->lapic.base >> PAGE_SHIFT)) {
			lapic_mmio_write(vp, offset, (uint32_t)take_value());
		}
		break;
	}
	case 7:
		guest_advance(p, take(1) << (take(1) & 31));
		break;
	case 8:
	case 9:
		enter(vp);
		break;
	case 10:
		lapic_eoi(vp);
		break;
	case 11: {
		uint32_t type = (uint32_t)take(1) % 12,
			 destination = (uint32_t)take(take(1) & 1 ? 4 : 1);
		bool logical = take(1) & 1, level = take(1) & 1;

		(void)lapic_send(p, type, destination, logical, (uint8_t)take(1), level);
		break;
	}
	case 12:
		lapic_post(vp, (uint8_t)take(1), take(1) & 1);
		break;
	case 13:
		post_message(vp);
		break;
	case 14: {
		bool fresh;

		(void)synic_signal_event(vp, (uint32_t)take(1) % 20, (uint32_t)take(2) % 2100,
					 &fresh);
		break;
	}
	case 15:
		scribble(vp);
		break;
	case 16:
		hypercall(vp);
		break;
	case 17:
		restore(vp);
		break;
	case 18:
		change_time();
		break;
	default:
		answer_cpuid(vp);
		(void)cpuid_read(vp, (uint32_t)take(1) << 28 | (uint32_t)take(1), (uint32_t)take(1),
				 out);
		break;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint32_t ids[VP_COUNT] = {0, 1, 0x21};

	input = data;
	left = size;
	generator = size;
	last_time = 0;
	p = guest_create(take(1) & 1, VP_COUNT, ids);
	p->intercept_apic_eoi = true;
	for (uint32_t i = 0; i < VP_COUNT; i++) {
		(void)lapic_set_state(p->vps[i], &(struct hv_local_interrupt_controller_state){
							 .apic_spurious = 0x1FF});
	}
	for (uint32_t more = 0; left || more < MORE_STEPS; more += !left) {
		step();
		check_all();
	}
	guest_destroy(p);
	return 0;
}
