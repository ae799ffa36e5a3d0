/*
 * tlfs/hc_state.c and hc_stats.c: VP state in one piece, state pages and statistics pages.
 */
#include "tests/fake/parent.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define BUFFER_GPN 60u

static struct partition *child;
static struct vp *vp;

static int setup(void **state)
{
	(void)state;
	fake_boot(2);
	child = child_create(2);
	vp = child->vps[0];
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	child_destroy(child);
	fake_shutdown();
	return 0;
}

static hv_status_t get_state(uint32_t type, uint32_t pages, uint64_t gpn, void *out, size_t size)
{
	struct {
		struct hv_input_get_vp_state header;
		uint64_t gpns[4];
	} in = {.header = {.partition_id = child->id, .state_data = {.type = type}},
		.gpns = {gpn, gpn, gpn, gpn}};

	return status_of(
		call(root_vp(), HVCALL_GET_VP_STATE | VARHEAD(pages), &in, sizeof(in), out, size));
}

static hv_status_t set_state(uint32_t type, uint32_t qwords, const void *data, size_t size)
{
	struct {
		struct hv_input_set_vp_state header;
		uint8_t data[256];
	} in = {.header = {.partition_id = child->id, .state_data = {.type = type}}};

	memcpy(in.data, data, size);
	return status_of(
		call(root_vp(), HVCALL_SET_VP_STATE | VARHEAD(qwords), &in, sizeof(in), NULL, 0));
}

static void the_lapic_is_saved_and_restored(void **state)
{
	struct hv_local_interrupt_controller_state lapic;
	uint64_t gpn = BUFFER_GPN;

	(void)state;
	lapic_mmio_write(vp, 0xf0, 0x1ff);
	lapic_mmio_write(vp, 0x80, 0x20);
	lapic_post(vp, 0x55, false);
	assert_int_equal(get_state(HV_GET_SET_VP_STATE_LAPIC_STATE, 1, gpn, NULL, 0),
			 HV_STATUS_SUCCESS);
	fake_read(&fake_root, gpn * PAGE_SIZE, &lapic, sizeof(lapic));
	assert_int_equal(lapic.apic_spurious, 0x1ff);
	assert_int_equal(lapic.apic_irr[2], 1u << 21);
	lapic.apic_lvt_timer = 0x10077;
	fake_write(&fake_root, gpn * PAGE_SIZE, &lapic, sizeof(lapic));
	assert_int_equal(set_state(HV_GET_SET_VP_STATE_LAPIC_STATE, 1, &gpn, 8), HV_STATUS_SUCCESS);
	assert_int_equal(lapic_mmio_read(vp, 0x320), 0x10077);
}

static void xsave_is_an_image(void **state)
{
	uint8_t image[832];
	uint64_t gpn = BUFFER_GPN;

	(void)state;
	memset(fake_vp(vp)->xsave, 0x5a, 832);
	assert_int_equal(get_state(HV_GET_SET_VP_STATE_XSAVE, 1, gpn, NULL, 0), HV_STATUS_SUCCESS);
	fake_read(&fake_root, gpn * PAGE_SIZE, image, sizeof(image));
	assert_memory_equal(image, fake_vp(vp)->xsave, sizeof(image));
	memset(image, 0xa5, sizeof(image));
	fake_write(&fake_root, gpn * PAGE_SIZE, image, sizeof(image));
	assert_int_equal(set_state(HV_GET_SET_VP_STATE_XSAVE, 1, &gpn, 8), HV_STATUS_SUCCESS);
	assert_int_equal(fake_vp(vp)->xsave[831], 0xa5);
}

static void synic_pages_are_copied(void **state)
{
	uint64_t gpn = BUFFER_GPN, word = 0x1122334455667788;
	struct hv_message_page *page = vp->synic.message_page;

	(void)state;
	page->sint_message[3].u.payload[0] = word;
	assert_int_equal(get_state(HV_GET_SET_VP_STATE_SIM_PAGE, 1, gpn, NULL, 0),
			 HV_STATUS_SUCCESS);
	word = 0;
	fake_read(&fake_root, gpn * PAGE_SIZE + 3 * 256 + 16, &word, 8);
	assert_int_equal(word, 0x1122334455667788);
	assert_int_equal(set_state(HV_GET_SET_VP_STATE_SIEF_PAGE, 1, &gpn, 8), HV_STATUS_SUCCESS);
	assert_memory_equal(vp->synic.event_page, vp->synic.message_page, PAGE_SIZE);
}

static void timers_travel_inline(void **state)
{
	struct hv_synthetic_timers_state timers;

	(void)state;
	memset(&timers, 0xee, sizeof(timers));
	assert_int_equal(stimer_msr_write(vp, HV_X64_MSR_STIMER2_COUNT, 12345), ACCESS_OK);
	assert_int_equal(
		get_state(HV_GET_SET_VP_STATE_SYNTHETIC_TIMERS, 0, 0, &timers, sizeof(timers)),
		HV_STATUS_SUCCESS);
	assert_int_equal(timers.timers[2].count, 12345);
	assert_int_equal(timers.timers[0].count, 0);
	assert_int_equal(timers.reserved[4], 0);
	timers.timers[1].count = 777;
	assert_int_equal(set_state(HV_GET_SET_VP_STATE_SYNTHETIC_TIMERS, sizeof(timers) / 8,
				   &timers, sizeof(timers)),
			 HV_STATUS_SUCCESS);
	assert_int_equal(vp->stimers[1].count, 777);
	assert_int_equal(vp->stimers[2].count, 12345);
	timers.timers[3].flags.reserved = 1;
	assert_int_equal(set_state(HV_GET_SET_VP_STATE_SYNTHETIC_TIMERS, sizeof(timers) / 8,
				   &timers, sizeof(timers)),
			 HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(
		set_state(HV_GET_SET_VP_STATE_SYNTHETIC_TIMERS, 24, &timers, sizeof(timers)),
		HV_STATUS_INVALID_PARAMETER); /* too short */
}

static void a_restored_message_is_sent(void **state)
{
	const union hv_stimer_config config = {.sintx = 2};
	struct hv_synthetic_timers_state timers = {0};
	struct hv_timer_message_payload payload;
	struct hv_message message;

	(void)state;
	synic_enable(vp, 60, 61, 2, 0x55);
	timers.timers[1].config = config.as_uint64;
	timers.timers[1].count = 777;
	timers.timers[1].flags.undelivered_msg_pending = 1;
	timers.timers[1].undelivered_exp_time = 777;
	assert_int_equal(set_state(HV_GET_SET_VP_STATE_SYNTHETIC_TIMERS, sizeof(timers) / 8,
				   &timers, sizeof(timers)),
			 HV_STATUS_SUCCESS);
	vp_process_events(vp);
	message = take_message(vp, 2);
	assert_int_equal(message.header.message_type, HVMSG_TIMER_EXPIRED);
	memcpy(&payload, message.u.payload, sizeof(payload));
	assert_int_equal(payload.timer_index, 1);
	assert_int_equal(payload.expiration_time, 777);
	assert_false(vp->stimers[1].message_pending);
	assert_int_equal(vp->synic.waiting, 0);
}

/* A periodic timer that is restored expires when it would have, not a period after that. */
static void a_periodic_timer_stays_in_step(void **state)
{
	const union hv_stimer_config config = {.enable = 1, .periodic = 1, .sintx = 2};
	struct hv_synthetic_timers_state timers;
	uint64_t next;

	(void)state;
	assert_int_equal(stimer_msr_write(vp, HV_X64_MSR_STIMER0_COUNT, 100000), ACCESS_OK);
	assert_int_equal(stimer_msr_write(vp, HV_X64_MSR_STIMER0_CONFIG, config.as_uint64),
			 ACCESS_OK);
	next = vp->stimers[0].next_100ns;
	assert_int_equal(
		get_state(HV_GET_SET_VP_STATE_SYNTHETIC_TIMERS, 0, 0, &timers, sizeof(timers)),
		HV_STATUS_SUCCESS);
	assert_true(timers.timers[0].adjustment == next);
	assert_int_equal(timers.timers[1].adjustment, 0);
	spin_lock(&child->lock);
	refclock_set(child, refclock_now(child) + 30000);
	spin_unlock(&child->lock);
	assert_int_equal(set_state(HV_GET_SET_VP_STATE_SYNTHETIC_TIMERS, sizeof(timers) / 8,
				   &timers, sizeof(timers)),
			 HV_STATUS_SUCCESS);
	assert_true(vp->stimers[0].next_100ns == next);
	timers.timers[0].adjustment =
		UINT64_MAX; /* cannot be: as if the guest had started it now */
	assert_int_equal(set_state(HV_GET_SET_VP_STATE_SYNTHETIC_TIMERS, sizeof(timers) / 8,
				   &timers, sizeof(timers)),
			 HV_STATUS_SUCCESS);
	assert_true(vp->stimers[0].next_100ns > next &&
		    vp->stimers[0].next_100ns <= refclock_now(child) + 100000);
}

static uint64_t value_of(uint32_t name)
{
	uint64_t value;

	assert_int_equal(get_register(child->id, 1, name, &value), HV_STATUS_SUCCESS);
	return value;
}

/* A SIPI that its VP has not taken when it is saved is in the state: who asks for the activity sees
 * what becomes of it. */
static void what_was_sent_is_part_of_the_activity(void **state)
{
	const union hv_internal_activity_register waits = {.startup_suspend = 1};
	struct vp *other = child->vps[1];

	(void)state;
	assert_int_equal(value_of(HV_REGISTER_INTERNAL_ACTIVITY_STATE), waits.as_uint64);
	vp_post_event(other, VP_EVENT_INIT);
	other->sipi_vector = 0x9a;
	vp_post_event(other, VP_EVENT_SIPI | VP_EVENT_NMI);
	(void)value_of(HV_X64_REGISTER_RIP); /* who answers an intercept keeps his registers */
	assert_int_equal(fake_vp(other)->startups, 0);
	assert_int_equal(value_of(HV_REGISTER_INTERNAL_ACTIVITY_STATE), 0);
	assert_int_equal(fake_vp(other)->startups, 1);
	assert_int_equal(fake_vp(other)->startup_vector, 0x9a);
	assert_int_equal(other->events & (VP_EVENT_INIT | VP_EVENT_SIPI | VP_EVENT_NMI),
			 VP_EVENT_NMI);
}

static void state_calls_are_checked(void **state)
{
	uint64_t gpn = BUFFER_GPN;

	(void)state;
	assert_int_equal(get_state(HV_GET_SET_VP_STATE_LAPIC_STATE, 0, gpn, NULL, 0),
			 HV_STATUS_INSUFFICIENT_BUFFER);
	assert_int_equal(get_state(HV_GET_SET_VP_STATE_SIM_PAGE, 1, UINT64_MAX, NULL, 0),
			 HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(get_state(HV_GET_SET_VP_STATE_SIM_PAGE, 1, FAKE_PAGES - 1, NULL, 0),
			 HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(get_state(99, 1, gpn, NULL, 0), HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(get_state(0x80000004, 1, gpn, NULL, 0), HV_STATUS_INVALID_PARAMETER);
	gpn = FAKE_PAGES;
	assert_int_equal(set_state(HV_GET_SET_VP_STATE_XSAVE, 1, &gpn, 8),
			 HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(set_state(HV_GET_SET_VP_STATE_XSAVE, 0, &gpn, 8),
			 HV_STATUS_INSUFFICIENT_BUFFER);
	assert_int_equal(set_state(98, 1, &gpn, 8), HV_STATUS_INVALID_PARAMETER);
}

/* ---- State pages ---- */

static hv_status_t map_state(uint32_t index, uint16_t type, bool provided, uint64_t gpn,
			     uint64_t *out)
{
	struct hv_input_map_vp_state_page in = {.partition_id = child->id,
						.vp_index = index,
						.type = type,
						.flags = {.map_location_provided = provided},
						.requested_map_location = gpn};

	return status_of(call(root_vp(), HVCALL_MAP_VP_STATE_PAGE, &in, sizeof(in), out, 8));
}

static hv_status_t unmap_state(uint32_t index, uint16_t type)
{
	struct hv_input_unmap_vp_state_page in = {
		.partition_id = child->id, .vp_index = index, .type = type};

	return status_of(call(root_vp(), HVCALL_UNMAP_VP_STATE_PAGE, &in, sizeof(in), NULL, 0));
}

static void state_pages_lie_where_the_parent_wants(void **state)
{
	uint64_t gpn = 0, value;

	(void)state;
	assert_int_equal(map_state(0, HV_VP_STATE_PAGE_INTERCEPT_MESSAGE, true, 50, &gpn),
			 HV_STATUS_SUCCESS);
	assert_int_equal(gpn, 50);
	assert_ptr_equal(fake_overlay(&fake_root, 50), vp->intercept_page);
	assert_int_equal(map_state(0, HV_VP_STATE_PAGE_REGISTERS, true, 51, &gpn),
			 HV_STATUS_SUCCESS);
	assert_ptr_equal(fake_overlay(&fake_root, 51), vp->register_page);
	assert_int_equal(get_register(child->id, 0, HV_X64_REGISTER_REG_PAGE, &value),
			 HV_STATUS_SUCCESS);
	assert_int_equal(value, 51 * PAGE_SIZE | 1);
	assert_int_equal(map_state(0, HV_VP_STATE_PAGE_REGISTERS, true, 52, &gpn),
			 HV_STATUS_OBJECT_IN_USE);
	assert_int_equal(unmap_state(0, HV_VP_STATE_PAGE_REGISTERS), HV_STATUS_SUCCESS);
	assert_null(fake_overlay(&fake_root, 51));
	assert_int_equal(unmap_state(0, HV_VP_STATE_PAGE_REGISTERS), HV_STATUS_INVALID_PARAMETER);
	/* The other one goes with the VP. */
}

static void a_page_without_a_wish_lies_at_its_own_place(void **state)
{
	uint64_t gpn;

	(void)state;
	assert_int_equal(map_state(1, HV_VP_STATE_PAGE_INTERCEPT_MESSAGE, false, 0, &gpn),
			 HV_STATUS_SUCCESS);
	assert_int_equal(gpn, plat_ptr_spa(child->vps[1]->intercept_page).v / PAGE_SIZE);
	assert_ptr_equal(fake_overlay(&fake_root, gpn), child->vps[1]->intercept_page);
}

static void state_pages_are_checked(void **state)
{
	uint64_t gpn;

	(void)state;
	assert_int_equal(map_state(0, HV_VP_STATE_PAGE_GHCB, true, 50, &gpn),
			 HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(map_state(0, 9, true, 50, &gpn), HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(map_state(7, HV_VP_STATE_PAGE_REGISTERS, true, 50, &gpn),
			 HV_STATUS_INVALID_VP_INDEX);
	assert_int_equal(map_state(0, HV_VP_STATE_PAGE_REGISTERS, true, 1ull << 28, &gpn),
			 HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(unmap_state(0, 9), HV_STATUS_INVALID_PARAMETER);
}

/* ---- Statistics ---- */

static union hv_stats_object_identity identity_of(uint64_t partition, uint32_t index, uint8_t area)
{
	union hv_stats_object_identity identity = {
		.vp = {.partition_id = partition, .vp_index = index}};

	identity.vp.stats_area_type = area;
	return identity;
}

static hv_status_t map_stats(uint32_t type, union hv_stats_object_identity identity, uint64_t gpn)
{
	struct hv_input_map_stats_page2 in = {
		.type = type, .identity = identity, .map_location = gpn};

	return status_of(call(root_vp(), HVCALL_MAP_STATS_PAGE2, &in, sizeof(in), NULL, 0));
}

static hv_status_t unmap_stats(uint32_t type, union hv_stats_object_identity identity)
{
	struct hv_input_unmap_stats_page in = {.type = type, .identity = identity};

	return status_of(call(root_vp(), HVCALL_UNMAP_STATS_PAGE, &in, sizeof(in), NULL, 0));
}

static uint64_t counter(uint64_t gpn, uint32_t index)
{
	uint64_t value;

	fake_read(&fake_root, gpn * PAGE_SIZE + index * 8, &value, 8);
	return value;
}

/* What a kernel's module asks for when it is loaded. */
static void the_machines_objects_have_pages(void **state)
{
	union hv_stats_object_identity hv = {0}, lp = {.lp = {.lp_index = 1}};

	(void)state;
	assert_int_equal(map_stats(HV_STATS_OBJECT_HYPERVISOR, hv, 50), HV_STATUS_SUCCESS);
	assert_int_equal(counter(50, HV_STATS_HV_LOGICAL_PROCESSORS), 2);
	assert_int_equal(map_stats(HV_STATS_OBJECT_LOGICAL_PROCESSOR, lp, 51), HV_STATUS_SUCCESS);
	assert_int_equal(counter(51, HV_STATS_LP_ROOT_VP_INDEX), 1);
	lp.lp.lp_index = 2;
	assert_int_equal(map_stats(HV_STATS_OBJECT_LOGICAL_PROCESSOR, lp, 52),
			 HV_STATUS_INVALID_LP_INDEX);
	assert_int_equal(
		map_stats(HV_STATS_OBJECT_PARTITION, identity_of(HV_PARTITION_ID_SELF, 0, 0), 52),
		HV_STATUS_SUCCESS);
	assert_int_equal(map_stats(HV_STATS_OBJECT_VP, identity_of(HV_PARTITION_ID_SELF, 1, 0), 53),
			 HV_STATUS_SUCCESS);
	assert_int_equal(counter(52, HV_STATS_PT_PARTITION_ID), HV_ROOT_PARTITION);
	lp.lp.lp_index = 1;
	assert_int_equal(unmap_stats(HV_STATS_OBJECT_LOGICAL_PROCESSOR, lp), HV_STATUS_SUCCESS);
	assert_int_equal(unmap_stats(HV_STATS_OBJECT_LOGICAL_PROCESSOR, lp),
			 HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(unmap_stats(HV_STATS_OBJECT_HYPERVISOR, hv), HV_STATUS_SUCCESS);
}

static void a_vp_shows_its_counters_in_both_areas(void **state)
{
	struct hv_output_dispatch_vp out;

	(void)state;
	assert_int_equal(
		map_stats(HV_STATS_OBJECT_VP, identity_of(child->id, 0, HV_STATS_AREA_SELF), 50),
		HV_STATUS_SUCCESS);
	assert_int_equal(
		map_stats(HV_STATS_OBJECT_VP, identity_of(child->id, 0, HV_STATS_AREA_PARENT), 51),
		HV_STATUS_SUCCESS);
	assert_int_equal(
		map_stats(HV_STATS_OBJECT_VP, identity_of(child->id, 0, HV_STATS_AREA_SELF), 52),
		HV_STATUS_OBJECT_IN_USE);
	assert_int_equal(map_stats(HV_STATS_OBJECT_PARTITION, identity_of(child->id, 0, 0), 53),
			 HV_STATUS_SUCCESS);
	dispatch_vp(child->id, 0, 0, &out);
	assert_int_equal(counter(50, HV_STATS_VP_DISPATCHES), 1);
	assert_int_equal(counter(51, HV_STATS_VP_DISPATCHES), 1);
	assert_int_equal(counter(51, HV_STATS_VP_ROOT_DISPATCH_BLOCKED), 0);
	assert_int_equal(counter(53, HV_STATS_PT_VIRTUAL_PROCESSORS), 2);
	assert_int_equal(counter(53, HV_STATS_PT_DEPOSITED_PAGES), child->pool.deposited);
	/* All of them go with the partition. */
}

static void statistics_are_checked(void **state)
{
	(void)state;
	assert_int_equal(map_stats(HV_STATS_OBJECT_VP, identity_of(child->id, 5, 0), 50),
			 HV_STATUS_INVALID_VP_INDEX);
	assert_int_equal(map_stats(HV_STATS_OBJECT_VP, identity_of(12345, 0, 0), 50),
			 HV_STATUS_INVALID_PARTITION_ID);
	assert_int_equal(map_stats(HV_STATS_OBJECT_VP, identity_of(child->id, 0, 2), 50),
			 HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(map_stats(77, identity_of(child->id, 0, 0), 50),
			 HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(map_stats(HV_STATS_OBJECT_VP, identity_of(child->id, 0, 0), 1ull << 28),
			 HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(unmap_stats(HV_STATS_OBJECT_VP, identity_of(child->id, 0, 0)),
			 HV_STATUS_INVALID_PARAMETER);
}

static void a_place_is_found_where_none_is_named(void **state)
{
	struct hv_input_map_stats_page in = {.type = HV_STATS_OBJECT_VP,
					     .identity = identity_of(child->id, 0, 0)};
	uint64_t gpn;

	(void)state;
	assert_int_equal(
		status_of(call(root_vp(), HVCALL_MAP_STATS_PAGE, &in, sizeof(in), &gpn, 8)),
		HV_STATUS_SUCCESS);
	assert_ptr_equal(fake_overlay(&fake_root, gpn), vp->stats_page);
}

static void run_times_are_there(void **state)
{
	struct hv_input_get_logical_processor_run_time in = {.lp_index = 0};
	struct hv_output_get_logical_processor_run_time out;

	(void)state;
	assert_int_equal(status_of(call(root_vp(), HVCALL_GET_LOGICAL_PROCESSOR_RUN_TIME, &in,
					sizeof(in), &out, sizeof(out))),
			 HV_STATUS_SUCCESS);
	assert_int_equal(out.local_run_time + out.hypervisor_time, out.global_time);
	in.lp_index = 2;
	assert_int_equal(status_of(call(root_vp(), HVCALL_GET_LOGICAL_PROCESSOR_RUN_TIME, &in,
					sizeof(in), NULL, 0)),
			 HV_STATUS_INVALID_LP_INDEX);
}

#define T(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(the_lapic_is_saved_and_restored),
		T(xsave_is_an_image),
		T(synic_pages_are_copied),
		T(timers_travel_inline),
		T(a_restored_message_is_sent),
		T(a_periodic_timer_stays_in_step),
		T(what_was_sent_is_part_of_the_activity),
		T(state_calls_are_checked),
		T(state_pages_lie_where_the_parent_wants),
		T(a_page_without_a_wish_lies_at_its_own_place),
		T(state_pages_are_checked),
		T(the_machines_objects_have_pages),
		T(a_vp_shows_its_counters_in_both_areas),
		T(statistics_are_checked),
		T(a_place_is_found_where_none_is_named),
		T(run_times_are_there),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
