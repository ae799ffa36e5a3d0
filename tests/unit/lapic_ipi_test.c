/*
 * tlfs/lapic_ipi.c: who gets an IPI, an MSI, or what the parent asserts, in all destination and
 * delivery modes.
 */
#include "tests/fake/guest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "tlfs/lapic.h"

#define VP_COUNT 6
#define VECTOR   0x61u

#define LOGICAL    (1u << 11)
#define ASSERT     (1u << 14)
#define LEVEL      (1u << 15)
#define SELF       (1u << 18)
#define ALL        (2u << 18)
#define OTHERS     (3u << 18)
#define MODE(mode) ((uint32_t)(mode) << 8)

/* Indices and ids differ; two ids share a cluster of 16, one is above 255. */
static const uint32_t ids[VP_COUNT] = {0, 1, 2, 0x11, 0x12, 0x134};

static struct partition *p;

static int setup(void **state)
{
	(void)state;
	p = guest_create(false, VP_COUNT, ids);
	for (uint32_t i = 0; i < VP_COUNT; i++) {
		lapic_mmio_write(p->vps[i], LAPIC_SVR << 4, 0x1FF);
	}
	return 0;
}

static int setup_x2apic(void **state)
{
	setup(state);
	for (uint32_t i = 0; i < VP_COUNT; i++) {
		assert_int_equal(lapic_msr_write(p->vps[i], LAPIC_MSR_BASE,
						 p->vps[i]->lapic.base | LAPIC_BASE_X2APIC),
				 ACCESS_OK);
	}
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	guest_destroy(p);
	return 0;
}

/* VPs that have `vector` in their IRR, one bit each; takes it out again. */
static uint32_t got(uint8_t vector)
{
	uint32_t vps = 0;

	guest_process(p);
	for (uint32_t i = 0; i < VP_COUNT; i++) {
		struct vp *vp = p->vps[i];

		if (!(vp->lapic.irr[vector / 32] & 1u << vector % 32)) {
			continue;
		}
		vps |= 1u << i;
		lapic_accept(vp, vector);
		lapic_eoi(vp);
	}
	return vps;
}

static uint32_t events(uint32_t event)
{
	uint32_t vps = 0;

	for (uint32_t i = 0; i < VP_COUNT; i++) {
		if (p->vps[i]->events & event) {
			vps |= 1u << i;
		}
		p->vps[i]->events &= ~event;
	}
	return vps;
}

static void xapic_ipi(uint32_t from, uint32_t destination, uint32_t low)
{
	lapic_mmio_write(p->vps[from], LAPIC_ICR_HIGH << 4, destination << 24);
	lapic_mmio_write(p->vps[from], LAPIC_ICR << 4, low);
}

static void x2apic_ipi(uint32_t from, uint32_t destination, uint32_t low)
{
	assert_int_equal(lapic_msr_write(p->vps[from], LAPIC_MSR_X2APIC + LAPIC_ICR,
					 (uint64_t)destination << 32 | low),
			 ACCESS_OK);
}

/* ---- destinations ---- */

static void physical(void **state)
{
	(void)state;
	xapic_ipi(0, 0x11, VECTOR);
	assert_int_equal(got(VECTOR), 1 << 3);
	xapic_ipi(3, 0x11, VECTOR); /* itself by its id */
	assert_int_equal(got(VECTOR), 1 << 3);
	xapic_ipi(0, 0x77, VECTOR); /* nobody */
	assert_int_equal(got(VECTOR), 0);
	xapic_ipi(0, 0xFF, VECTOR); /* all, the sender too */
	assert_int_equal(got(VECTOR), 0x3F);
	assert_int_equal(lapic_mmio_read(p->vps[0], LAPIC_ICR << 4),
			 VECTOR); /* delivery status idle */
	xapic_ipi(0, 0x11, VECTOR | 1 << 12);
	assert_int_equal(lapic_mmio_read(p->vps[0], LAPIC_ICR << 4), VECTOR);
}

static void shorthands(void **state)
{
	(void)state;
	xapic_ipi(2, 0x11, VECTOR | SELF);
	assert_int_equal(got(VECTOR), 1 << 2);
	xapic_ipi(2, 0x11, VECTOR | ALL);
	assert_int_equal(got(VECTOR), 0x3F);
	xapic_ipi(2, 0x11, VECTOR | OTHERS);
	assert_int_equal(got(VECTOR), 0x3F & ~(1 << 2));
}

/* SDM, "Logical Destination Mode", flat: any common bit of MDA and LDR. */
static void logical_flat(void **state)
{
	(void)state;
	for (uint32_t i = 0; i < VP_COUNT; i++) {
		lapic_mmio_write(p->vps[i], LAPIC_LDR << 4, 0x01000000u << i);
	}
	xapic_ipi(0, 0x2A, VECTOR | LOGICAL);
	assert_int_equal(got(VECTOR), 0x2A);
	xapic_ipi(0, 0xFF, VECTOR | LOGICAL);
	assert_int_equal(got(VECTOR), 0x3F);
	xapic_ipi(0, 0xC0, VECTOR | LOGICAL);
	assert_int_equal(got(VECTOR), 0);
	lapic_mmio_write(p->vps[1], LAPIC_LDR << 4, 0); /* an LDR of 0 is never addressed */
	xapic_ipi(0, 0xFF, VECTOR | LOGICAL);
	assert_int_equal(got(VECTOR), 0x3D);
}

/* Cluster: MDA 7:4 names the cluster (15: all), 3:0 members of it. */
static void logical_cluster(void **state)
{
	static const uint8_t ldrs[VP_COUNT] = {0x01, 0x02, 0x04, 0x11, 0x12, 0x28};

	(void)state;
	for (uint32_t i = 0; i < VP_COUNT; i++) {
		lapic_mmio_write(p->vps[i], LAPIC_DFR << 4, 0x0FFFFFFF);
		lapic_mmio_write(p->vps[i], LAPIC_LDR << 4, (uint32_t)ldrs[i] << 24);
	}
	xapic_ipi(0, 0x03, VECTOR | LOGICAL);
	assert_int_equal(got(VECTOR), 0x03);
	xapic_ipi(0, 0x13, VECTOR | LOGICAL);
	assert_int_equal(got(VECTOR), 0x18);
	assert_true(lapic_reaches(p->vps[3], 0x13, true) && lapic_reaches(p->vps[4], 0x13, true));
	assert_false(lapic_reaches(p->vps[0], 0x13, true) || lapic_reaches(p->vps[5], 0x13, true));
	xapic_ipi(0, 0xF2, VECTOR | LOGICAL);
	assert_int_equal(got(VECTOR), 0x12);
	xapic_ipi(0, 0xFF, VECTOR | LOGICAL);
	assert_int_equal(got(VECTOR), 0x3F);
	xapic_ipi(0, 0x38, VECTOR | LOGICAL);
	assert_int_equal(got(VECTOR), 0);
}

static void x2apic_physical(void **state)
{
	(void)state;
	x2apic_ipi(0, 0x134, VECTOR);
	assert_int_equal(got(VECTOR), 1 << 5);
	assert_true(lapic_reaches(p->vps[5], 0x134, false));
	assert_false(lapic_reaches(p->vps[5], 0x34, false) ||
		     lapic_reaches(p->vps[1], 0x134, false));
	x2apic_ipi(0, 0x34, VECTOR); /* not the low byte of 0x134 */
	assert_int_equal(got(VECTOR), 0);
	x2apic_ipi(0, 0xFF, VECTOR); /* an id like any other */
	assert_int_equal(got(VECTOR), 0);
	x2apic_ipi(0, UINT32_MAX, VECTOR);
	assert_int_equal(got(VECTOR), 0x3F);
}

/*
 * SDM, "Logical Destination Mode in x2APIC Mode": 16 bits of cluster, 16 of members, both from the
 * id.
 */
static void x2apic_logical(void **state)
{
	(void)state;
	x2apic_ipi(0, 0x00000006, VECTOR | LOGICAL);
	assert_int_equal(got(VECTOR), 0x06);
	x2apic_ipi(0, 0x00010006, VECTOR | LOGICAL);
	assert_int_equal(got(VECTOR), 0x18);
	x2apic_ipi(0, 0x00130010, VECTOR | LOGICAL);
	assert_int_equal(got(VECTOR), 0x20);
	x2apic_ipi(0, 0x0001FFE0, VECTOR | LOGICAL);
	assert_int_equal(got(VECTOR), 0);
	x2apic_ipi(0, UINT32_MAX, VECTOR | LOGICAL);
	assert_int_equal(got(VECTOR), 0x3F);
}

/* Each receiver by its own mode: while the processors change over, both kinds are there. */
static void mixed_modes(void **state)
{
	(void)state;
	assert_int_equal(lapic_msr_write(p->vps[1], LAPIC_MSR_BASE,
					 p->vps[1]->lapic.base | LAPIC_BASE_X2APIC),
			 ACCESS_OK);
	xapic_ipi(0, 1, VECTOR);
	assert_int_equal(got(VECTOR), 1 << 1);
	xapic_ipi(0, 0xFF, VECTOR);
	assert_int_equal(got(VECTOR), 0x3F);
	x2apic_ipi(1, 2, VECTOR);
	assert_int_equal(got(VECTOR), 1 << 2);
	assert_int_equal(lapic_send(p, LAPIC_MODE_FIXED, 0xFF, false, VECTOR, false),
			 HV_STATUS_SUCCESS);
	assert_int_equal(got(VECTOR), 0x3D); /* in x2APIC mode 0xFF is an id */
}

/*
 * A disabled APIC is not on the bus; a software-disabled one takes no fixed interrupts, but NMI,
 * INIT and SIPI.
 */
static void disabled_receivers(void **state)
{
	(void)state;
	lapic_mmio_write(p->vps[1], LAPIC_SVR << 4, 0xFF);
	assert_int_equal(lapic_msr_write(p->vps[2], LAPIC_MSR_BASE, LAPIC_BASE_DEFAULT), ACCESS_OK);
	xapic_ipi(0, 0, VECTOR | OTHERS);
	assert_int_equal(got(VECTOR), 0x38);
	xapic_ipi(0, 0, MODE(LAPIC_MODE_NMI) | OTHERS);
	assert_int_equal(events(VP_EVENT_NMI), 0x3A);
}

/* SDM, the same place: software-disabled, it still issues IPIs. */
static void disabled_sender(void **state)
{
	(void)state;
	lapic_mmio_write(p->vps[0], LAPIC_SVR << 4, 0xFF);
	xapic_ipi(0, 1, VECTOR);
	assert_int_equal(got(VECTOR), 1 << 1);
	xapic_ipi(0, 0, VECTOR | SELF);
	assert_int_equal(got(VECTOR), 0);
}

/* ---- lowest priority ---- */

static void lowest_priority(void **state)
{
	uint32_t first;

	(void)state;
	for (uint32_t i = 0; i < VP_COUNT; i++) {
		lapic_mmio_write(p->vps[i], LAPIC_LDR << 4, 0x01000000u << i);
		lapic_set_tpr(p->vps[i], 0x50);
	}
	lapic_set_tpr(p->vps[4], 0x4F);
	xapic_ipi(0, 0xFF, VECTOR | MODE(LAPIC_MODE_LOWEST) | LOGICAL);
	assert_int_equal(got(VECTOR), 1 << 4);
	xapic_ipi(0, 0x0F, VECTOR | MODE(LAPIC_MODE_LOWEST) | LOGICAL);
	first = got(VECTOR);
	assert_int_equal(__builtin_popcount(first), 1);
	assert_int_equal(first & ~0x0F, 0);
	xapic_ipi(0, 0x0F, VECTOR | MODE(LAPIC_MODE_LOWEST) | LOGICAL);
	assert_int_equal(got(VECTOR), first); /* a vector stays where it is */
	xapic_ipi(0, 0x0F, (VECTOR + 1) | MODE(LAPIC_MODE_LOWEST) | LOGICAL);
	assert_int_not_equal(got(VECTOR + 1), first); /* and vectors spread */
	xapic_ipi(0, 0x00, VECTOR | MODE(LAPIC_MODE_LOWEST) | LOGICAL);
	assert_int_equal(got(VECTOR), 0);
}

/* ---- delivery modes ---- */

static void nmi_init_sipi(void **state)
{
	(void)state;
	xapic_ipi(0, 0x11, MODE(LAPIC_MODE_NMI) | 3); /* the vector is ignored */
	assert_int_equal(events(VP_EVENT_NMI), 1 << 3);
	xapic_ipi(0, 0x11, MODE(LAPIC_MODE_INIT) | ASSERT | LEVEL);
	assert_int_equal(events(VP_EVENT_INIT), 1 << 3);
	xapic_ipi(0, 0, MODE(LAPIC_MODE_INIT) | LEVEL | OTHERS); /* de-assert */
	assert_int_equal(events(VP_EVENT_INIT), 0);
	xapic_ipi(0, 0,
		  MODE(LAPIC_MODE_INIT) | OTHERS); /* edge: an assertion whatever bit 14 says */
	assert_int_equal(events(VP_EVENT_INIT), 0x3E);
	xapic_ipi(0, 0x11, MODE(LAPIC_MODE_SIPI) | 0x9A);
	assert_int_equal(events(VP_EVENT_SIPI), 1 << 3);
	assert_int_equal(p->vps[3]->sipi_vector, 0x9A);
	assert_int_equal(p->vps[0]->lapic.esr_pending, 0);
}

/* The whole way of an application processor, by the real vp.c. */
static void start_of_a_processor(void **state)
{
	(void)state;
	xapic_ipi(0, 0x11, MODE(LAPIC_MODE_SIPI) | 0x10); /* one that does not wait ignores it */
	guest_process(p);
	assert_int_equal(record.startups, 0);
	xapic_ipi(0, 0x11, MODE(LAPIC_MODE_INIT) | ASSERT | LEVEL);
	guest_process(p);
	assert_int_equal(record.resets, 1);
	assert_int_equal(p->vps[3]->activity, VP_WAIT_SIPI);
	assert_false(vp_runnable(p->vps[3]));
	xapic_ipi(0, 0x11, MODE(LAPIC_MODE_SIPI) | 0x9A);
	xapic_ipi(0, 0x11, MODE(LAPIC_MODE_SIPI) | 0x9A);
	guest_process(p);
	assert_int_equal(record.startups, 1);
	assert_int_equal(record.startup_vector, 0x9A);
	assert_true(vp_runnable(p->vps[3]));
}

/* SMI is refused silently, remote read and the reserved mode are nothing. */
static void refused_modes(void **state)
{
	(void)state;
	xapic_ipi(0, 0x11, MODE(LAPIC_MODE_SMI));
	xapic_ipi(0, 0x11, MODE(LAPIC_MODE_REMOTE_READ) | VECTOR);
	xapic_ipi(0, 0x11, MODE(LAPIC_MODE_EXTINT) | VECTOR);
	assert_int_equal(got(VECTOR), 0);
	for (uint32_t i = 0; i < VP_COUNT; i++) {
		assert_int_equal(p->vps[i]->events, 0);
	}
}

/* SDM, "Valid Combinations for the Local APIC's ICR": with self and all only fixed. */
static void invalid_shorthand_modes(void **state)
{
	static const uint32_t modes[] = {LAPIC_MODE_LOWEST, LAPIC_MODE_SMI, LAPIC_MODE_NMI,
					 LAPIC_MODE_INIT, LAPIC_MODE_SIPI};

	(void)state;
	for (unsigned int i = 0; i < ARRAY_COUNT(modes); i++) {
		xapic_ipi(0, 0, MODE(modes[i]) | VECTOR | SELF);
		xapic_ipi(0, 0, MODE(modes[i]) | VECTOR | ALL);
	}
	assert_int_equal(got(VECTOR), 0);
	assert_int_equal(events(UINT32_MAX), 0);
	xapic_ipi(0, 0, MODE(LAPIC_MODE_NMI) | OTHERS);
	assert_int_equal(events(VP_EVENT_NMI), 0x3E);
}

/* A level-triggered IPI is an edge (SDM, the same table, note 1). */
static void level_ipi_is_an_edge(void **state)
{
	(void)state;
	xapic_ipi(0, 1, VECTOR | LEVEL | ASSERT);
	guest_process(p);
	assert_int_equal(p->vps[1]->lapic.tmr[VECTOR / 32], 0);
	assert_int_equal(got(VECTOR), 1 << 1);
}

static void send_illegal_vector(void **state)
{
	(void)state;
	xapic_ipi(0, 1, 15);
	xapic_ipi(0, 1, 3 | MODE(LAPIC_MODE_LOWEST));
	assert_int_equal(p->vps[0]->lapic.esr_pending, LAPIC_ESR_SEND_ILLEGAL_VECTOR);
	guest_process(p);
	assert_int_equal(p->vps[1]->lapic.esr_pending, 0); /* it was not sent */
}

/* ---- the self-IPI register ---- */

static void self_ipi(void **state)
{
	(void)state;
	assert_int_equal(lapic_msr_write(p->vps[1], 0x83F, VECTOR), ACCESS_OK);
	assert_int_equal(got(VECTOR), 1 << 1);
	assert_int_equal(lapic_msr_write(p->vps[1], 0x83F, 15), ACCESS_OK);
	assert_int_equal(p->vps[1]->lapic.esr_pending, LAPIC_ESR_SEND_ILLEGAL_VECTOR);
}

/* To itself there is no detour by an event: the hot path of a guest's own IPIs. */
static void own_ipi_posts_no_event(void **state)
{
	(void)state;
	x2apic_ipi(1, 1, VECTOR);
	assert_int_equal(p->vps[1]->events, 0);
	assert_int_equal(lapic_pending(p->vps[1]), VECTOR);
}

/* ---- what the parent and devices send ---- */

static void messages_from_outside(void **state)
{
	(void)state;
	assert_int_equal(lapic_send(p, HV_X64_INTERRUPT_TYPE_FIXED, 0x12, false, VECTOR, true),
			 HV_STATUS_SUCCESS);
	guest_process(p);
	assert_int_equal(p->vps[4]->lapic.tmr[VECTOR / 32], 1u << VECTOR % 32);
	assert_int_equal(got(VECTOR), 1 << 4);
	assert_int_equal(lapic_send(p, HV_X64_INTERRUPT_TYPE_FIXED, 0xFF, false, VECTOR, false),
			 HV_STATUS_SUCCESS);
	assert_int_equal(got(VECTOR), 0x3F);
	assert_int_equal(lapic_send(p, HV_X64_INTERRUPT_TYPE_NMI, 1, false, 0, false),
			 HV_STATUS_SUCCESS);
	assert_int_equal(events(VP_EVENT_NMI), 2);
	assert_int_equal(lapic_send(p, HV_X64_INTERRUPT_TYPE_SIPI, 1, false, 0x33, false),
			 HV_STATUS_SUCCESS);
	assert_int_equal(events(VP_EVENT_SIPI), 2);
}

static void messages_refused(void **state)
{
	(void)state;
	assert_int_equal(lapic_send(p, HV_X64_INTERRUPT_TYPE_FIXED, 0x77, false, VECTOR, false),
			 HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(
		lapic_send(p, HV_X64_INTERRUPT_TYPE_LOWESTPRIORITY, 0, true, VECTOR, false),
		HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(lapic_send(p, HV_X64_INTERRUPT_TYPE_FIXED, 1, false, 15, false),
			 HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(lapic_send(p, HV_X64_INTERRUPT_TYPE_SMI, 1, false, VECTOR, false),
			 HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(lapic_send(p, HV_X64_INTERRUPT_TYPE_REMOTEREAD, 1, false, VECTOR, false),
			 HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(lapic_send(p, HV_X64_INTERRUPT_TYPE_MAXIMUM, 1, false, VECTOR, false),
			 HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(lapic_send(p, UINT32_MAX, 1, false, VECTOR, false),
			 HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(lapic_send(p, HV_X64_INTERRUPT_TYPE_LOCALINT0, 0x77, false, VECTOR, false),
			 HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(events(UINT32_MAX), 0);
}

/* The PIC's interrupt needs no enabled APIC. */
static void extint(void **state)
{
	(void)state;
	assert_int_equal(lapic_msr_write(p->vps[0], LAPIC_MSR_BASE, LAPIC_BASE_DEFAULT), ACCESS_OK);
	assert_int_equal(lapic_send(p, HV_X64_INTERRUPT_TYPE_EXTINT, 0, false, 8, false),
			 HV_STATUS_SUCCESS);
	assert_int_equal(events(VP_EVENT_EXTINT), 1);
	assert_int_equal(vp_take_extint(p->vps[0]), 8);
}

/* LINT pins do what the LVT entry says (SDM, "Local Vector Table"). */
static void local_pins(void **state)
{
	struct vp *vp = p->vps[1];

	(void)state;
	assert_int_equal(lapic_send(p, HV_X64_INTERRUPT_TYPE_LOCALINT0, 1, false, 8, false),
			 HV_STATUS_SUCCESS);
	assert_int_equal(vp->events, 0); /* masked */
	lapic_mmio_write(vp, LAPIC_LVT_LINT0 << 4, LAPIC_MODE_EXTINT << 8);
	assert_int_equal(lapic_send(p, HV_X64_INTERRUPT_TYPE_LOCALINT0, 1, false, 8, false),
			 HV_STATUS_SUCCESS);
	assert_int_equal(events(VP_EVENT_EXTINT), 2);
	assert_int_equal(vp_take_extint(vp), 8);
	lapic_mmio_write(vp, LAPIC_LVT_LINT1 << 4, LAPIC_MODE_NMI << 8);
	assert_int_equal(lapic_send(p, HV_X64_INTERRUPT_TYPE_LOCALINT1, 1, false, 8, false),
			 HV_STATUS_SUCCESS);
	assert_int_equal(events(VP_EVENT_NMI), 2);
	lapic_mmio_write(vp, LAPIC_LVT_LINT1 << 4, LAPIC_LVT_LEVEL | VECTOR);
	assert_int_equal(lapic_send(p, HV_X64_INTERRUPT_TYPE_LOCALINT1, 1, false, 8, false),
			 HV_STATUS_SUCCESS);
	guest_process(p);
	assert_int_equal(vp->lapic.tmr[VECTOR / 32], 1u << VECTOR % 32);
	assert_int_equal(got(VECTOR), 2);
	lapic_mmio_write(vp, LAPIC_LVT_LINT1 << 4, LAPIC_MODE_SMI << 8);
	assert_int_equal(lapic_send(p, HV_X64_INTERRUPT_TYPE_LOCALINT1, 1, false, 8, false),
			 HV_STATUS_SUCCESS);
	assert_int_equal(vp->events, 0);
}

#define XAPIC(test)  cmocka_unit_test_setup_teardown(test, setup, teardown)
#define X2APIC(test) cmocka_unit_test_setup_teardown(test, setup_x2apic, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		XAPIC(physical),
		XAPIC(shorthands),
		XAPIC(logical_flat),
		XAPIC(logical_cluster),
		X2APIC(x2apic_physical),
		X2APIC(x2apic_logical),
		XAPIC(mixed_modes),
		XAPIC(disabled_receivers),
		XAPIC(disabled_sender),
		XAPIC(lowest_priority),
		XAPIC(nmi_init_sipi),
		XAPIC(start_of_a_processor),
		XAPIC(refused_modes),
		XAPIC(invalid_shorthand_modes),
		XAPIC(level_ipi_is_an_edge),
		XAPIC(send_illegal_vector),
		X2APIC(self_ipi),
		X2APIC(own_ipi_posts_no_event),
		XAPIC(messages_from_outside),
		XAPIC(messages_refused),
		XAPIC(extint),
		XAPIC(local_pins),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
