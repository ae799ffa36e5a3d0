/*
 * What others do to a VP while it runs: interrupts, messages and event flags from several threads
 * at once, and an owner that acts only on its events, as a guest on its interrupts. Something lost
 * shows as a test that never ends.
 */
#include "tests/fake/guest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>
#include <pthread.h>
#include <sched.h>

#include "tlfs/lapic.h"

#define THREADS  3u
#define ROUNDS   150u
#define VECTORS  4u /* of a thread */
#define FIRST    0x40u
#define SINT     2u
#define SINT_VEC 0xF3u

static struct partition *p;
static struct vp *vp;
static uint32_t served[256];

static int setup(void **state)
{
	(void)state;
	p = guest_create(false, 1, NULL);
	vp = p->vps[0];
	lapic_mmio_write(vp, LAPIC_SVR << 4, 0x1FF);
	assert_int_equal(msr_write(vp, HV_X64_MSR_SIMP, 0x100001), ACCESS_OK);
	assert_int_equal(msr_write(vp, HV_X64_MSR_SIEFP, 0x101001), ACCESS_OK);
	assert_int_equal(msr_write(vp, HV_X64_MSR_SINT0 + SINT, SINT_VEC), ACCESS_OK);
	assert_int_equal(msr_write(vp, HV_X64_MSR_SCONTROL, 1), ACCESS_OK);
	memset(served, 0, sizeof(served));
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	guest_destroy(p);
	return 0;
}

static void run(void *(*thread)(void *), pthread_t threads[THREADS])
{
	for (uintptr_t i = 0; i < THREADS; i++) {
		assert_int_equal(pthread_create(&threads[i], NULL, thread, (void *)i), 0);
	}
}

static void join(pthread_t threads[THREADS])
{
	for (uint32_t i = 0; i < THREADS; i++) {
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	}
}

/* As the home: nothing is looked at unless an event says so. */
static int next_interrupt(void)
{
	int vector;

	if (__atomic_load_n(&vp->events, __ATOMIC_SEQ_CST)) {
		vp_process_events(vp);
	} else {
		sched_yield();
	}
	vector = lapic_pending(vp);
	if (vector >= 0) {
		lapic_accept(vp, (uint8_t)vector);
	}
	return vector;
}

/* ---- interrupts: each is posted again only when the last was served ---- */

static void *post_interrupts(void *argument)
{
	uint32_t first = FIRST + (uint32_t)(uintptr_t)argument * VECTORS;

	for (uint32_t round = 0; round < ROUNDS; round++) {
		for (uint32_t v = first; v < first + VECTORS; v++) {
			while (__atomic_load_n(&served[v], __ATOMIC_ACQUIRE) != round) {
				sched_yield();
			}
			lapic_post(vp, (uint8_t)v, v & 1);
		}
	}
	return NULL;
}

static void interrupts(void **state)
{
	pthread_t threads[THREADS];
	uint32_t total = 0;

	(void)state;
	run(post_interrupts, threads);
	while (total < THREADS * VECTORS * ROUNDS) {
		int vector = next_interrupt();

		if (vector < 0) {
			continue;
		}
		assert_int_equal(vp->lapic.tmr[vector / 32] >> vector % 32 & 1, vector & 1);
		lapic_eoi(vp);
		__atomic_fetch_add(&served[vector], 1, __ATOMIC_RELEASE);
		total++;
	}
	join(threads);
	assert_int_equal(vp->lapic.irr_words | vp->lapic.post_words, 0);
}

/* ---- messages: queued ones arrive all, in the order of each sender ---- */

static void *post_messages(void *argument)
{
	uint32_t sender = (uint32_t)(uintptr_t)argument;

	for (uint32_t i = 0; i < ROUNDS; i++) {
		struct hv_message message = {.header = {.message_type = 1, .payload_size = 16},
					     .u.payload = {sender, i}};

		while (synic_post_message(vp, SINT, &message, sender != 0) != HV_STATUS_SUCCESS) {
			sched_yield(); /* one sender that never queues tries until there is room */
		}
	}
	return NULL;
}

static void messages(void **state)
{
	struct hv_message *slot =
		&((struct hv_message_page *)vp->synic.message_page)->sint_message[SINT];
	uint64_t next[THREADS] = {0};
	pthread_t threads[THREADS];
	uint32_t total = 0;

	(void)state;
	run(post_messages, threads);
	while (total < THREADS * ROUNDS) {
		if (next_interrupt() < 0) {
			continue;
		}
		lapic_eoi(vp);
		/* TLFS, "Recommended Message Handling" */
		while (__atomic_load_n(&slot->header.message_type, __ATOMIC_ACQUIRE)) {
			uint64_t sender = slot->u.payload[0];

			assert_true(sender < THREADS && slot->u.payload[1] == next[sender]);
			next[sender]++;
			total++;
			__atomic_store_n(&slot->header.message_type, HVMSG_NONE, __ATOMIC_SEQ_CST);
			if (!(__atomic_load_n(&slot->header.message_flags.asu8, __ATOMIC_SEQ_CST) &
			      1)) {
				break;
			}
			assert_int_equal(msr_write(vp, HV_X64_MSR_EOM, 0), ACCESS_OK);
		}
	}
	join(threads);
	assert_int_equal(vp->synic.waiting, 0);
}

/* ---- event flags: a flag that was newly set has its interrupt ---- */

static uint32_t newly;

static void *signal_events(void *argument)
{
	uint32_t flag = (uint32_t)(uintptr_t)argument * 21;

	for (uint32_t i = 0; i < ROUNDS; i++) {
		bool fresh;

		while (__atomic_load_n(&served[flag], __ATOMIC_ACQUIRE) != i) {
			sched_yield();
		}
		if (synic_signal_event(vp, SINT, flag, &fresh) == HV_STATUS_SUCCESS && fresh) {
			__atomic_fetch_add(&newly, 1, __ATOMIC_RELAXED);
		}
	}
	return NULL;
}

static void event_flags(void **state)
{
	uint64_t *flags = ((struct hv_synic_event_flags_page *)vp->synic.event_page)
				  ->event_flags[SINT]
				  .flags64;
	pthread_t threads[THREADS];
	uint32_t total = 0;

	(void)state;
	newly = 0;
	run(signal_events, threads);
	while (total < THREADS * ROUNDS) {
		uint64_t set;

		if (next_interrupt() < 0) {
			continue;
		}
		lapic_eoi(vp);
		for (set = __atomic_exchange_n(flags, 0, __ATOMIC_SEQ_CST); set; set &= set - 1) {
			__atomic_fetch_add(&served[__builtin_ctzll(set)], 1, __ATOMIC_RELEASE);
			total++;
		}
	}
	join(threads);
	assert_int_equal(newly, THREADS * ROUNDS);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {TEST(interrupts), TEST(messages), TEST(event_flags)};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
