/*
 * tlfs/notify.c with several LPs: what VPs have to tell reaches the root once each, whichever root
 * VP dispatched them last, and none is in a queue after it was forgotten. Something lost shows as a
 * test that never ends.
 */
#include "tests/fake/parent.h"

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "tlfs/partition.h"

#define ROOTS   3u
#define THREADS 3u
#define ROUNDS  400u
#define VECTOR  0x40u /* of thread 0 */
#define GPN     40u

static struct partition *child;
static uint32_t served[THREADS];
static bool done;

static int setup(void **state)
{
	(void)state;
	fake_boot(ROOTS);
	child = child_create(2);
	for (uint32_t i = 0; i < ROOTS; i++) {
		synic_enable(fake_root.vps[i], GPN + 2 * i, GPN + 1 + 2 * i, 0, 0xf3);
	}
	memset(served, 0, sizeof(served));
	done = false;
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	child_destroy(child);
	fake_shutdown();
	return 0;
}

/* Ends of one vector each, of the same VP, which is dispatched now here, now there. */
static void *end_interrupts(void *argument)
{
	const uint32_t thread = (uint32_t)(uintptr_t)argument;
	struct vp *vp = child->vps[0];

	for (uint32_t round = 0; round < ROUNDS; round++) {
		__atomic_store_n(&vp->last_root_vp, (round + thread) % ROOTS, __ATOMIC_RELAXED);
		notify_apic_eoi(vp, (uint8_t)(VECTOR + thread));
		while (__atomic_load_n(&served[thread], __ATOMIC_ACQUIRE) != round + 1) {
			sched_yield();
		}
	}
	return NULL;
}

/* One LP signals the other VP, while another disables its dispatching. */
static void *signal_always(void *argument)
{
	struct vp *vp = child->vps[1];
	uint32_t round = 0;

	(void)argument;
	while (!__atomic_load_n(&done, __ATOMIC_ACQUIRE)) {
		__atomic_store_n(&vp->last_root_vp, round++ % ROOTS, __ATOMIC_RELAXED);
		__atomic_store_n(&vp->root_signalled, false, __ATOMIC_SEQ_CST);
		notify_runnable(vp);
		sched_yield();
	}
	return NULL;
}

static void *forget_always(void *argument)
{
	struct vp *vp = child->vps[1];

	(void)argument;
	while (!__atomic_load_n(&done, __ATOMIC_ACQUIRE)) {
		uint64_t count;

		__atomic_fetch_or(&vp->suspend, VP_SUSPEND_DISPATCH, __ATOMIC_SEQ_CST);
		notify_forget(vp);
		count = __atomic_load_n(&vp->root_signal_count, __ATOMIC_SEQ_CST);
		sched_yield();
		if (__atomic_load_n(&vp->root_signal_count, __ATOMIC_SEQ_CST) != count) {
			return "a signal after the last";
		}
		__atomic_fetch_and(&vp->suspend, ~(uint32_t)VP_SUSPEND_DISPATCH, __ATOMIC_SEQ_CST);
		sched_yield();
	}
	return NULL;
}

/* TLFS, "Recommended Message Handling"; the type of what was there. */
static uint32_t next_message(struct vp *root, struct hv_x64_apic_eoi_message *payload)
{
	struct hv_message *slot =
		&((struct hv_message_page *)root->synic.message_page)->sint_message[0];
	uint32_t type = __atomic_load_n(&slot->header.message_type, __ATOMIC_ACQUIRE);

	if (type == HVMSG_NONE) {
		return HVMSG_NONE;
	}
	memcpy(payload, slot->u.payload, sizeof(*payload));
	__atomic_store_n(&slot->header.message_type, HVMSG_NONE, __ATOMIC_SEQ_CST);
	if (__atomic_load_n(&slot->header.message_flags.asu8, __ATOMIC_SEQ_CST) & 1) {
		assert_int_equal(synic_msr_write(root, HV_X64_MSR_EOM, 0), ACCESS_OK);
	}
	return type;
}

static bool take(struct vp *root)
{
	struct hv_x64_apic_eoi_message payload;

	if (next_message(root, &payload) != HVMSG_X64_APIC_EOI) {
		return false;
	}
	assert_int_equal(payload.vp_index, 0);
	assert_in_range(payload.interrupt_vector, VECTOR, VECTOR + THREADS - 1);
	__atomic_fetch_add(&served[payload.interrupt_vector - VECTOR], 1, __ATOMIC_RELEASE);
	return true;
}

static void nothing_is_lost_or_told_twice(void **state)
{
	pthread_t threads[THREADS], signaller, forgetter;
	struct hv_x64_apic_eoi_message payload;
	uint32_t total = 0;
	void *failure;

	(void)state;
	for (uintptr_t i = 0; i < THREADS; i++) {
		assert_int_equal(pthread_create(&threads[i], NULL, end_interrupts, (void *)i), 0);
	}
	assert_int_equal(pthread_create(&signaller, NULL, signal_always, NULL), 0);
	assert_int_equal(pthread_create(&forgetter, NULL, forget_always, NULL), 0);
	while (total < THREADS * ROUNDS) {
		for (uint32_t i = 0; i < ROOTS; i++) {
			total += take(fake_root.vps[i]);
		}
		sched_yield();
	}
	__atomic_store_n(&done, true, __ATOMIC_RELEASE);
	for (uint32_t i = 0; i < THREADS; i++) {
		assert_int_equal(pthread_join(threads[i], NULL), 0);
		assert_int_equal(served[i], ROUNDS);
	}
	assert_int_equal(pthread_join(signaller, NULL), 0);
	assert_int_equal(pthread_join(forgetter, &failure), 0);
	assert_null(failure);
	__atomic_fetch_or(&child->vps[1]->suspend, VP_SUSPEND_DISPATCH, __ATOMIC_SEQ_CST);
	notify_forget(child->vps[1]);
	for (uint32_t i = 0; i < ROOTS; i++) {
		while (next_message(fake_root.vps[i], &payload) != HVMSG_NONE)
			;
		assert_null(fake_root.vps[i]->notify_queue);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(nothing_is_lost_or_told_twice, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
