/*
 * tlfs/partition.c and the calls of hc_partition.c and hc_memory.c on its states: life, ids,
 * deposits, and that each page comes back.
 */
#include "tests/fake/parent.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "tlfs/partition.h"

static struct fake_count before;

static int setup(void **state)
{
	(void)state;
	fake_boot(2);
	before = fake_count();
	return 0;
}

static int teardown(void **state)
{
	struct fake_count after = fake_count();

	(void)state;
	assert_memory_equal(&before, &after, sizeof(before));
	fake_shutdown();
	return 0;
}

static void root_has_id_1_and_its_vps(void **state)
{
	uint64_t id;

	(void)state;
	assert_int_equal(fake_root.id, HV_ROOT_PARTITION);
	assert_int_equal(fake_root.vp_count, 2);
	assert_int_equal(fake_root.vps[0]->activity, VP_ACTIVE);
	assert_int_equal(fake_root.vps[1]->activity, VP_WAIT_SIPI);
	assert_int_equal(fake_root.vps[1]->suspend, 0);
	assert_int_equal(status_of(call(root_vp(), HVCALL_GET_PARTITION_ID, NULL, 0, NULL, 0)),
			 HV_STATUS_ACCESS_DENIED);
	fake_root.privileges |= (uint64_t)HV_ACCESS_PARTITION_ID << 32;
	assert_int_equal(status_of(call(root_vp(), HVCALL_GET_PARTITION_ID, NULL, 0, &id, 8)),
			 HV_STATUS_SUCCESS);
	assert_int_equal(id, HV_ROOT_PARTITION);
	assert_true(fake_root.privileges >> 32 & HV_CREATE_PARTITIONS);
	assert_false(fake_root.privileges >> 32 & HV_CPU_MANAGEMENT);
}

static void a_child_goes_through_its_states(void **state)
{
	struct partition *p;
	uint64_t id;
	uint32_t pages;

	(void)state;
	assert_int_equal(create_partition(&id), HV_STATUS_SUCCESS);
	p = partition_get_child(root_vp(), id);
	partition_put(p);
	assert_int_equal(p->state, PARTITION_CREATED);
	assert_int_equal(create_vp(id, 0), HV_STATUS_INVALID_PARTITION_STATE);
	assert_int_equal(finalize_partition(id), HV_STATUS_INVALID_PARTITION_STATE);
	assert_int_equal(initialize_partition(id), HV_STATUS_INSUFFICIENT_MEMORY);
	assert_int_equal(p->state, PARTITION_CREATED);
	assert_int_equal(deposit(id, 20), HV_STATUS_SUCCESS);
	assert_int_equal(initialize_partition(id), HV_STATUS_SUCCESS);
	assert_int_equal(p->state, PARTITION_INITIALIZED);
	assert_int_equal(initialize_partition(id), HV_STATUS_INVALID_PARTITION_STATE);
	assert_int_equal(delete_partition(id), HV_STATUS_INVALID_PARTITION_STATE);
	assert_int_equal(finalize_partition(id), HV_STATUS_SUCCESS);
	assert_int_equal(p->state, PARTITION_FINALIZED);
	assert_int_equal(finalize_partition(id), HV_STATUS_INVALID_PARTITION_STATE);
	assert_int_equal(deposit(id, 1), HV_STATUS_INVALID_PARTITION_STATE);
	assert_int_equal(delete_partition(id), HV_STATUS_OBJECT_IN_USE);
	assert_int_equal(withdraw_all(id, &pages), HV_STATUS_NO_RESOURCES);
	assert_int_equal(pages, 20);
	assert_int_equal(delete_partition(id), HV_STATUS_SUCCESS);
	assert_int_equal(delete_partition(id), HV_STATUS_INVALID_PARTITION_ID);
}

static void initialization_gives_back_all_when_memory_runs_out(void **state)
{
	uint64_t id;
	uint32_t pages;
	hv_status_t status = HV_STATUS_INSUFFICIENT_MEMORY;

	(void)state;
	assert_int_equal(create_partition(&id), HV_STATUS_SUCCESS);
	for (uint32_t i = 1; status == HV_STATUS_INSUFFICIENT_MEMORY; i++) {
		struct partition *p = partition_get_child(root_vp(), id);

		partition_put(p);
		assert_int_equal(deposit(id, 1), HV_STATUS_SUCCESS);
		status = initialize_partition(id);
		if (status != HV_STATUS_SUCCESS) {
			assert_int_equal(plat_pool_count(p), i);
		}
		assert_true(i < 20);
	}
	assert_int_equal(status, HV_STATUS_SUCCESS);
	assert_int_equal(finalize_partition(id), HV_STATUS_SUCCESS);
	withdraw_all(id, &pages);
	assert_int_equal(delete_partition(id), HV_STATUS_SUCCESS);
}

static void vp_creation_gives_back_all_when_memory_runs_out(void **state)
{
	struct partition *p = child_create(1);
	uint64_t free_pages = plat_pool_count(p);
	int32_t needed = 0;

	(void)state;
	assert_int_equal(deposit(p->id, 30), HV_STATUS_SUCCESS);
	free_pages += 30;
	for (;; needed++) {
		fake.pages_until_failure = needed;
		if (create_vp(p->id, 1) == HV_STATUS_SUCCESS) {
			break;
		}
		assert_int_equal(plat_pool_count(p), free_pages);
		assert_null(p->vps[1]);
	}
	fake.pages_until_failure = -1;
	assert_true(needed > 5);
	assert_int_equal(p->vp_count, 2);
	child_destroy(p);
}

static void ids_are_never_used_twice(void **state)
{
	uint64_t ids[8];

	(void)state;
	for (uint32_t i = 0; i < 8; i++) {
		assert_int_equal(create_partition(&ids[i]), HV_STATUS_SUCCESS);
		for (uint32_t k = 0; k < i; k++) {
			assert_int_not_equal(ids[i], ids[k]);
		}
		assert_int_equal(delete_partition(ids[i]), HV_STATUS_SUCCESS);
		assert_int_equal(initialize_partition(ids[i]), HV_STATUS_INVALID_PARTITION_ID);
	}
}

/* A page each of the root's pool, until that is empty and, with more of it, until there is no
 * number left. */
static void the_table_fills_up_and_empties(void **state)
{
	static uint64_t ids[HV_MAX_PARTITIONS];
	hv_status_t status;
	uint32_t count = 0, deposited = 0;

	(void)state;
	while ((status = create_partition(&ids[count])) != HV_STATUS_NO_RESOURCES) {
		if (status == HV_STATUS_SUCCESS) {
			count++;
			continue;
		}
		assert_int_equal(status, HV_STATUS_INSUFFICIENT_MEMORY);
		assert_int_equal(deposit(HV_PARTITION_ID_SELF, 100), HV_STATUS_SUCCESS);
		deposited += 100;
	}
	assert_int_equal(count, HV_MAX_PARTITIONS - 2); /* beside the root; no id has slot 0 */
	assert_int_equal(delete_partition(ids[700]), HV_STATUS_SUCCESS);
	assert_int_equal(create_partition(&ids[700]), HV_STATUS_SUCCESS);
	while (count--) {
		assert_int_equal(delete_partition(ids[count]), HV_STATUS_SUCCESS);
	}
	assert_int_equal(withdraw_all(HV_PARTITION_ID_SELF, &count), HV_STATUS_NO_RESOURCES);
	assert_int_equal(count, deposited);
}

static void children_are_enumerated(void **state)
{
	struct hv_input_get_next_child_partition in = {HV_PARTITION_ID_SELF, 0};
	uint64_t ids[3], next, seen = 0;

	(void)state;
	for (uint32_t i = 0; i < 3; i++) {
		assert_int_equal(create_partition(&ids[i]), HV_STATUS_SUCCESS);
	}
	for (;;) {
		call(root_vp(), HVCALL_GET_NEXT_CHILD_PARTITION, &in, sizeof(in), &next,
		     sizeof(next));
		if (next == HV_PARTITION_ID_INVALID) {
			break;
		}
		assert_true(next > in.previous_child_partition_id);
		in.previous_child_partition_id = next;
		seen++;
	}
	assert_int_equal(seen, 3);
	in.parent_partition_id = ids[0];
	in.previous_child_partition_id = 0;
	call(root_vp(), HVCALL_GET_NEXT_CHILD_PARTITION, &in, sizeof(in), &next, sizeof(next));
	assert_int_equal(next, HV_PARTITION_ID_INVALID);
	for (uint32_t i = 0; i < 3; i++) {
		assert_int_equal(delete_partition(ids[i]), HV_STATUS_SUCCESS);
	}
}

static void creation_refuses_what_it_does_not_know(void **state)
{
	static const uint64_t bad[] = {0, 1ull << 63,
				       HV_PARTITION_CREATION_FLAG_LAPIC_ENABLED | 1ull << 9};
	struct hv_input_create_partition in = {0};
	uint64_t id;

	(void)state;
	for (uint32_t i = 0; i < ARRAY_COUNT(bad); i++) {
		in.flags = bad[i];
		assert_int_equal(status_of(call(root_vp(), HVCALL_CREATE_PARTITION, &in, sizeof(in),
						&id, 8)),
				 HV_STATUS_INVALID_PARAMETER);
	}
	in.flags = HV_PARTITION_CREATION_FLAG_LAPIC_ENABLED |
		   HV_PARTITION_CREATION_FLAG_NESTED_VIRTUALIZATION_CAPABLE;
	assert_int_equal(
		status_of(call(root_vp(), HVCALL_CREATE_PARTITION, &in, sizeof(in), &id, 8)),
		HV_STATUS_FEATURE_UNAVAILABLE);
	in.flags = HV_PARTITION_CREATION_FLAG_LAPIC_ENABLED;
	in.isolation_properties.isolation_type = HV_PARTITION_ISOLATION_TYPE_SNP;
	assert_int_equal(
		status_of(call(root_vp(), HVCALL_CREATE_PARTITION, &in, sizeof(in), &id, 8)),
		HV_STATUS_INVALID_PARAMETER);
}

/* The root is no child of its own. */
static void the_root_cannot_be_taken_down(void **state)
{
	static const uint64_t self[] = {HV_PARTITION_ID_SELF, HV_ROOT_PARTITION};

	(void)state;
	for (uint32_t i = 0; i < ARRAY_COUNT(self); i++) {
		assert_int_equal(initialize_partition(self[i]), HV_STATUS_INVALID_PARTITION_ID);
		assert_int_equal(finalize_partition(self[i]), HV_STATUS_INVALID_PARTITION_ID);
		assert_int_equal(delete_partition(self[i]), HV_STATUS_INVALID_PARTITION_ID);
		assert_int_equal(create_vp(self[i], 2), HV_STATUS_INVALID_PARTITION_ID);
		assert_int_equal(set_property(self[i], HV_PARTITION_PROPERTY_TIME_FREEZE, 1),
				 HV_STATUS_INVALID_PARTITION_ID);
		assert_int_equal(map_pages(self[i], 0, 100, 1, HV_MAP_GPA_READABLE),
				 HV_STATUS_INVALID_PARTITION_ID);
	}
}

static void a_child_has_no_children(void **state)
{
	struct partition *p = child_create(1);
	struct hv_input_create_partition in = {.flags = HV_PARTITION_CREATION_FLAG_LAPIC_ENABLED};
	uint64_t id;

	(void)state;
	assert_int_equal(
		status_of(call(p->vps[0], HVCALL_CREATE_PARTITION, &in, sizeof(in), &id, 8)),
		HV_STATUS_ACCESS_DENIED);
	p->privileges |= (uint64_t)HV_CREATE_PARTITIONS << 32;
	assert_int_equal(
		status_of(call(p->vps[0], HVCALL_CREATE_PARTITION, &in, sizeof(in), &id, 8)),
		HV_STATUS_PARTITION_TOO_DEEP);
	child_destroy(p);
}

static void siblings_are_out_of_reach(void **state)
{
	struct partition *a = child_create(1), *b = child_create(1);
	struct hv_input_get_partition_property in = {b->id, HV_PARTITION_PROPERTY_PRIVILEGE_FLAGS,
						     0};

	(void)state;
	a->privileges |= (uint64_t)HV_CREATE_PARTITIONS << 32;
	assert_int_equal(
		status_of(call(a->vps[0], HVCALL_GET_PARTITION_PROPERTY, &in, sizeof(in), NULL, 0)),
		HV_STATUS_INVALID_PARTITION_ID);
	in.partition_id = HV_ROOT_PARTITION;
	assert_int_equal(
		status_of(call(a->vps[0], HVCALL_GET_PARTITION_PROPERTY, &in, sizeof(in), NULL, 0)),
		HV_STATUS_INVALID_PARTITION_ID);
	child_destroy(a);
	child_destroy(b);
}

/*
 * The pages that the guest and its parent placed go before they are freed; the fake machine looks.
 */
static void overlays_go_with_their_partition(void **state)
{
	static const struct {
		uint32_t msr;
		uint64_t gpn;
	} overlays[] = {{HV_X64_MSR_HYPERCALL, 3},
			{HV_X64_MSR_REFERENCE_TSC, 4},
			{HV_X64_MSR_SIMP, 5},
			{HV_X64_MSR_SIEFP, 6},
			{HV_X64_MSR_VP_ASSIST_PAGE, 7}};
	struct partition *p = child_create(1);

	(void)state;
	for (uint32_t i = 0; i < ARRAY_COUNT(overlays); i++) {
		assert_int_equal(
			msr_write(p->vps[0], overlays[i].msr, overlays[i].gpn << PAGE_SHIFT | 1),
			ACCESS_OK);
		assert_non_null(fake_overlay(p, overlays[i].gpn));
	}
	child_destroy(p);
}

static void finalization_is_done_in_steps(void **state)
{
	struct partition *p = child_create(10);

	(void)state;
	assert_int_equal(map_pages(p->id, 64, 1536, 200, HV_MAP_GPA_READABLE), HV_STATUS_SUCCESS);
	assert_int_equal(finalize_partition(p->id), HV_STATUS_SUCCESS);
	assert_true(last_call.again >= 4);
	assert_int_equal(p->vp_count, 0);
	assert_int_equal(fake_count().mapped, 0);
	{
		uint64_t id = p->id;
		uint32_t pages;

		withdraw_all(id, &pages);
		assert_int_equal(delete_partition(id), HV_STATUS_SUCCESS);
	}
}

/* Another call that works on the partition holds it up, and nothing is freed under its feet. */
static void finalization_waits_for_other_calls(void **state)
{
	struct partition *p = child_create(2);
	struct hypercall_regs regs = {.rcx = HVCALL_FINALIZE_PARTITION | HV_HYPERCALL_FAST_BIT,
				      .rdx = p->id};

	(void)state;
	assert_ptr_equal(partition_get_child(root_vp(), p->id), p);
	for (uint32_t i = 0; i < 5; i++) {
		assert_int_equal(hypercall_enter(root_vp(), &regs), HYPERCALL_AGAIN);
	}
	assert_int_equal(p->vp_count, 2);
	assert_true(p->vps[0]->events & VP_EVENT_RELOAD);
	assert_int_equal(create_vp(p->id, 2), HV_STATUS_INVALID_PARTITION_STATE);
	assert_int_equal(dispatch_vp(p->id, 0, 0, &(struct hv_output_dispatch_vp){0}),
			 HV_STATUS_INVALID_PARTITION_STATE);
	assert_int_equal(map_pages(p->id, 100, 1200, 1, HV_MAP_GPA_READABLE),
			 HV_STATUS_INVALID_PARTITION_STATE);
	partition_put(p);
	child_destroy(p);
}

static void deposits_are_checked(void **state)
{
	uint64_t id, in[4];
	uint32_t pages;

	(void)state;
	assert_int_equal(create_partition(&id), HV_STATUS_SUCCESS);
	in[0] = id;
	in[1] = 100;
	in[2] = 100; /* twice */
	in[3] = 101;
	assert_int_equal(call(root_vp(), HVCALL_DEPOSIT_MEMORY | REPS(3), in, sizeof(in), NULL, 0),
			 HV_STATUS_ACCESS_DENIED | REPS(1));
	in[1] = FAKE_PAGES - 1; /* the hypervisor's */
	assert_int_equal(call(root_vp(), HVCALL_DEPOSIT_MEMORY | REPS(1), in, sizeof(in), NULL, 0),
			 HV_STATUS_ACCESS_DENIED);
	in[1] = UINT64_MAX;
	assert_int_equal(call(root_vp(), HVCALL_DEPOSIT_MEMORY | REPS(1), in, sizeof(in), NULL, 0),
			 HV_STATUS_INVALID_PARAMETER);
	in[0] = 12345;
	assert_int_equal(call(root_vp(), HVCALL_DEPOSIT_MEMORY | REPS(1), in, sizeof(in), NULL, 0),
			 HV_STATUS_INVALID_PARTITION_ID);
	withdraw_all(id, &pages);
	assert_int_equal(pages, 1);
	assert_int_equal(delete_partition(id), HV_STATUS_SUCCESS);
}

static void a_page_in_a_child_cannot_be_deposited(void **state)
{
	struct partition *p = child_create(1);
	uint64_t in[2] = {p->id}, source;

	(void)state;
	assert_true(fake_mapping(p, 0, &source));
	in[1] = source;
	assert_int_equal(status_of(call(root_vp(), HVCALL_DEPOSIT_MEMORY | REPS(1), in, sizeof(in),
					NULL, 0)),
			 HV_STATUS_OBJECT_IN_USE);
	child_destroy(p);
}

static void the_balance_counts(void **state)
{
	struct partition *p = child_create(1);
	struct hv_input_get_memory_balance in = {.partition_id = p->id};
	struct hv_output_get_memory_balance out;

	(void)state;
	assert_int_equal(status_of(call(root_vp(), HVCALL_GET_MEMORY_BALANCE, &in, sizeof(in), &out,
					sizeof(out))),
			 HV_STATUS_SUCCESS);
	assert_int_equal(out.pages_available, plat_pool_count(p));
	assert_int_equal(out.pages_available + out.pages_in_use, 41);
	child_destroy(p);
}

static void a_vp_can_be_deleted(void **state)
{
	struct partition *p = child_create(3);
	uint64_t in[2] = {p->id, 1};

	(void)state;
	assert_int_equal(
		status_of(call_fast(root_vp(), HVCALL_DELETE_VP, in, sizeof(in), NULL, 0, 0)),
		HV_STATUS_SUCCESS);
	assert_null(p->vps[1]);
	assert_int_equal(p->vp_count, 2);
	assert_int_equal(
		status_of(call_fast(root_vp(), HVCALL_DELETE_VP, in, sizeof(in), NULL, 0, 0)),
		HV_STATUS_INVALID_VP_INDEX);
	assert_int_equal(create_vp(p->id, 1), HV_STATUS_SUCCESS);
	child_destroy(p);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(root_has_id_1_and_its_vps, setup, teardown),
		cmocka_unit_test_setup_teardown(a_child_goes_through_its_states, setup, teardown),
		cmocka_unit_test_setup_teardown(initialization_gives_back_all_when_memory_runs_out,
						setup, teardown),
		cmocka_unit_test_setup_teardown(vp_creation_gives_back_all_when_memory_runs_out,
						setup, teardown),
		cmocka_unit_test_setup_teardown(ids_are_never_used_twice, setup, teardown),
		cmocka_unit_test_setup_teardown(the_table_fills_up_and_empties, setup, teardown),
		cmocka_unit_test_setup_teardown(children_are_enumerated, setup, teardown),
		cmocka_unit_test_setup_teardown(creation_refuses_what_it_does_not_know, setup,
						teardown),
		cmocka_unit_test_setup_teardown(the_root_cannot_be_taken_down, setup, teardown),
		cmocka_unit_test_setup_teardown(a_child_has_no_children, setup, teardown),
		cmocka_unit_test_setup_teardown(siblings_are_out_of_reach, setup, teardown),
		cmocka_unit_test_setup_teardown(overlays_go_with_their_partition, setup, teardown),
		cmocka_unit_test_setup_teardown(finalization_is_done_in_steps, setup, teardown),
		cmocka_unit_test_setup_teardown(finalization_waits_for_other_calls, setup,
						teardown),
		cmocka_unit_test_setup_teardown(deposits_are_checked, setup, teardown),
		cmocka_unit_test_setup_teardown(a_page_in_a_child_cannot_be_deposited, setup,
						teardown),
		cmocka_unit_test_setup_teardown(the_balance_counts, setup, teardown),
		cmocka_unit_test_setup_teardown(a_vp_can_be_deleted, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
