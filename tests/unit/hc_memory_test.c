/*
 * tlfs/hc_memory.c: GPA maps, access states and translation. Deposits are in partition_test.c.
 */
#include "tests/fake/parent.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#define RW (HV_MAP_GPA_READABLE | HV_MAP_GPA_WRITABLE)

static struct partition *child;

static int setup(void **state)
{
	(void)state;
	fake_boot(1);
	child = child_create(1);
	return 0;
}

static int teardown(void **state)
{
	struct fake_count count;

	(void)state;
	child_destroy(child);
	count = fake_count();
	assert_int_equal(count.mapped, 0);
	fake_shutdown();
	return 0;
}

static uint64_t unmap(uint64_t gpn, uint32_t count, uint32_t flags)
{
	struct hv_input_unmap_gpa_pages in = {
		.target_partition_id = child->id, .target_gpa_base = gpn, .unmap_flags = flags};

	return call(root_vp(), HVCALL_UNMAP_GPA_PAGES | REPS(count), &in, sizeof(in), NULL, 0);
}

static void pages_are_mapped_and_unmapped(void **state)
{
	uint64_t source;
	uint32_t flushes;

	(void)state;
	assert_int_equal(map_pages(child->id, 2000, 1600, 70,
				   RW | HV_MAP_GPA_EXECUTABLE | HV_MAP_GPA_ADJUSTABLE),
			 HV_STATUS_SUCCESS);
	assert_int_equal(fake_mapping(child, 2069, &source),
			 RW | HV_MAP_GPA_EXECUTABLE | HV_MAP_GPA_ADJUSTABLE);
	assert_int_equal(source, 1669);
	flushes = fake.gpa_flushes;
	assert_int_equal(unmap(2000, 69, 0), HV_STATUS_SUCCESS | REPS(69));
	assert_int_equal(fake.gpa_flushes, flushes + 2); /* once a slice */
	assert_int_equal(fake_mapping(child, 2000, NULL), 0);
	assert_int_not_equal(fake_mapping(child, 2069, NULL), 0);
	/* What is not there can be unmapped. */
	assert_int_equal(unmap(2000, 1, HV_UNMAP_GPA_KEEP_PRECOMMITTED),
			 HV_STATUS_SUCCESS | REPS(1));
}

static void large_pages_are_aligned(void **state)
{
	uint64_t source;

	(void)state;
	assert_int_equal(map_pages(child->id, 1024, 512, 1, RW | HV_MAP_GPA_LARGE_PAGE),
			 HV_STATUS_SUCCESS);
	assert_int_not_equal(fake_mapping(child, 1535, &source), 0);
	assert_int_equal(source, 1023);
	assert_int_equal(map_pages(child->id, 1025, 512, 1, RW | HV_MAP_GPA_LARGE_PAGE),
			 HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(map_pages(child->id, 1024, 513, 1, RW | HV_MAP_GPA_LARGE_PAGE),
			 HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(unmap(1025, 1, HV_UNMAP_GPA_LARGE_PAGE), HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(unmap(1024, 1, HV_UNMAP_GPA_LARGE_PAGE), HV_STATUS_SUCCESS | REPS(1));
	assert_int_equal(fake_mapping(child, 1535, NULL), 0);
}

/* A region whose pages come later: nothing is behind it, whatever the list says. */
static void a_page_can_be_reserved_without_access(void **state)
{
	(void)state;
	assert_int_equal(map_pages(child->id, 300, UINT64_MAX, 1, HV_MAP_GPA_NO_ACCESS),
			 HV_STATUS_SUCCESS);
	assert_int_equal(fake_mapping(child, 300, NULL), HV_MAP_GPA_NO_ACCESS);
	assert_int_equal(map_pages(child->id, 300, 1700, 1, RW), HV_STATUS_SUCCESS);
	assert_int_equal(fake_mapping(child, 300, NULL), RW);
}

static void maps_are_checked(void **state)
{
	static const uint32_t bad_flags[] = {
		HV_MAP_GPA_WRITABLE, HV_MAP_GPA_EXECUTABLE,  0,
		RW | 0x10,           RW | HV_MAP_GPA_ZEROED, RW | HV_MAP_GPA_SET_DIRTY};

	(void)state;
	for (uint32_t i = 0; i < ARRAY_COUNT(bad_flags); i++) {
		assert_int_equal(map_pages(child->id, 300, 1700, 1, bad_flags[i]),
				 HV_STATUS_INVALID_PARAMETER);
	}
	assert_int_equal(map_pages(child->id, 1ull << 28, 1700, 1, RW),
			 HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(map_pages(child->id, UINT64_MAX, 1700, 2, RW),
			 HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(map_pages(child->id, 300, 1ull << 28, 1, RW), HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(map_pages(child->id, 300, FAKE_PAGES - 1, 1, RW),
			 HV_STATUS_ACCESS_DENIED); /* the hypervisor's */
	assert_int_equal(map_pages(777, 300, 1700, 1, RW), HV_STATUS_INVALID_PARTITION_ID);
	assert_int_equal(unmap(UINT64_MAX, 1, 0), HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(unmap(300, 1, 8), HV_STATUS_INVALID_PARAMETER);
}

/* The page's place in a child's space ends where the address space does. */
static void the_end_of_the_space_is_the_end(void **state)
{
	(void)state;
	assert_int_equal(unmap((1ull << 28) - 1, 2, 0), HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(unmap(FAKE_GPNS - 1, 1, 0), HV_STATUS_SUCCESS | REPS(1));
}

static uint64_t states(uint64_t gpn, uint32_t count, uint64_t flags, uint8_t *out)
{
	struct hv_input_get_gpa_pages_access_state in = {.partition_id = child->id,
							 .hv_gpa_page_number = gpn};

	in.flags.as_uint64 = flags;
	return call(root_vp(), HVCALL_GET_GPA_PAGES_ACCESS_STATES | REPS(count), &in, sizeof(in),
		    out, count);
}

static void access_states_are_read_and_cleared(void **state)
{
	uint64_t data = 5;
	uint8_t out[32];

	(void)state;
	assert_int_equal(map_pages(child->id, 100, 1600, 3, RW), HV_STATUS_SUCCESS);
	fake_write(child, 101 * PAGE_SIZE, &data, 8);
	assert_true(plat_gpa_write(child, (gpa_t){102 * PAGE_SIZE}, &data, 8));
	assert_int_equal(states(100, 3, 0, out), HV_STATUS_SUCCESS | REPS(3));
	assert_int_equal(out[0], 0);
	assert_int_equal(out[1], 1);
	assert_int_equal(out[2], 3);
	assert_int_equal(states(102, 1, 4, out), HV_STATUS_SUCCESS | REPS(1)); /* clear dirty */
	assert_int_equal(out[0], 3);
	assert_int_equal(states(102, 1, 1, out), HV_STATUS_SUCCESS | REPS(1)); /* clear accessed */
	assert_int_equal(out[0], 1);
	assert_int_equal(states(102, 1, 8, out), HV_STATUS_SUCCESS | REPS(1)); /* set dirty */
	assert_int_equal(out[0], 0);
	assert_int_equal(states(100, 3, 0, out), HV_STATUS_SUCCESS | REPS(3));
	assert_int_equal(out[2], 2);
	assert_int_equal(states(100, 3, 3, out), HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(states(100, 3, 0x10, out), HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(states(100, 4, 0, out),
			 HV_STATUS_INVALID_PARAMETER | REPS(3)); /* the last one is not mapped */
	assert_int_equal(states(UINT64_MAX, 1, 0, out), HV_STATUS_INVALID_PARAMETER);
}

static void a_whole_page_of_states_is_continued(void **state)
{
	static uint8_t out[1000];

	(void)state;
	for (uint32_t i = 0; i < 1000; i += 100) {
		assert_int_equal(map_pages(child->id, 3000 + i, 700 + i, 100, RW),
				 HV_STATUS_SUCCESS);
	}
	assert_int_equal(states(3000, 1000, 2, out), HV_STATUS_SUCCESS | REPS(1000));
	assert_int_equal(last_call.again, 3);
	assert_int_equal(states(3000, 1000, 0, out), HV_STATUS_SUCCESS | REPS(1000));
	for (uint32_t i = 0; i < 1000; i++) {
		assert_int_equal(out[i], 1);
	}
}

static void addresses_are_translated(void **state)
{
	struct hv_input_translate_virtual_address in = {.partition_id = child->id,
							.control_flags =
								HV_TRANSLATE_GVA_VALIDATE_READ,
							.gva_page = 0x1234};
	struct hv_output_translate_virtual_address out;

	(void)state;
	assert_int_equal(status_of(call(root_vp(), HVCALL_TRANSLATE_VIRTUAL_ADDRESS, &in,
					sizeof(in), &out, sizeof(out))),
			 HV_STATUS_SUCCESS);
	assert_int_equal(out.translation_result.result_code, HV_TRANSLATE_GVA_SUCCESS);
	assert_int_equal(out.gpa_page, 0x1234);
	fake.translate_code = HV_TRANSLATE_GVA_PRIVILEGE_VIOLATION;
	assert_int_equal(status_of(call(root_vp(), HVCALL_TRANSLATE_VIRTUAL_ADDRESS, &in,
					sizeof(in), &out, sizeof(out))),
			 HV_STATUS_SUCCESS);
	assert_int_equal(out.translation_result.result_code, HV_TRANSLATE_GVA_PRIVILEGE_VIOLATION);
	in.control_flags = 0x800;
	assert_int_equal(status_of(call(root_vp(), HVCALL_TRANSLATE_VIRTUAL_ADDRESS, &in,
					sizeof(in), NULL, 0)),
			 HV_STATUS_INVALID_PARAMETER);
	in.control_flags = 0;
	in.gva_page = 1ull << 52;
	assert_int_equal(status_of(call(root_vp(), HVCALL_TRANSLATE_VIRTUAL_ADDRESS, &in,
					sizeof(in), NULL, 0)),
			 HV_STATUS_INVALID_PARAMETER);
	in.gva_page = 0;
	in.vp_index = 3;
	assert_int_equal(status_of(call(root_vp(), HVCALL_TRANSLATE_VIRTUAL_ADDRESS, &in,
					sizeof(in), NULL, 0)),
			 HV_STATUS_INVALID_VP_INDEX);
}

static void a_child_cannot_touch_maps_or_pools(void **state)
{
	uint64_t in[4] = {HV_PARTITION_ID_SELF, 1, RW, 1};

	(void)state;
	assert_int_equal(status_of(call(child->vps[0], HVCALL_MAP_GPA_PAGES | REPS(1), in,
					sizeof(in), NULL, 0)),
			 HV_STATUS_ACCESS_DENIED);
	assert_int_equal(status_of(call(child->vps[0], HVCALL_DEPOSIT_MEMORY | REPS(1), in,
					sizeof(in), NULL, 0)),
			 HV_STATUS_ACCESS_DENIED);
	assert_int_equal(status_of(call(child->vps[0], HVCALL_WITHDRAW_MEMORY | REPS(1), in,
					sizeof(in), NULL, 0)),
			 HV_STATUS_ACCESS_DENIED);
}

static hv_status_t translate_ex(uint32_t code, struct hv_output_translate_virtual_address_ex *out)
{
	struct hv_input_translate_virtual_address in = {.partition_id = child->id,
							.gva_page = 0x1234};

	fake.translate_code = code;
	fake.translate_error = 7;
	return status_of(call(root_vp(), HVCALL_TRANSLATE_VIRTUAL_ADDRESS_EX, &in, sizeof(in), out,
			      sizeof(*out)));
}

static void a_failed_translation_tells_the_event(void **state)
{
	static const uint32_t faults[] = {HV_TRANSLATE_GVA_PAGE_NOT_PRESENT,
					  HV_TRANSLATE_GVA_PRIVILEGE_VIOLATION,
					  HV_TRANSLATE_GVA_INVALID_PAGE_TABLE_FLAGS};
	struct hv_output_translate_virtual_address_ex out;
	struct hv_x64_pending_memory_intercept_event intercept;
	union hv_x64_pending_exception_event fault;

	(void)state;
	assert_int_equal(translate_ex(HV_TRANSLATE_GVA_SUCCESS, &out), HV_STATUS_SUCCESS);
	assert_int_equal(out.gpa_page, 0x1234);
	assert_int_equal(out.translation_result.cache_type, HV_CACHE_TYPE_WRITE_BACK);
	assert_int_equal(out.event_info[0] | out.event_info[1], 0);
	for (uint32_t i = 0; i < ARRAY_COUNT(faults); i++) {
		assert_int_equal(translate_ex(faults[i], &out), HV_STATUS_SUCCESS);
		assert_int_equal(out.translation_result.result_code, faults[i]);
		memcpy(&fault, out.event_info, sizeof(fault));
		assert_true(fault.event_pending && fault.deliver_error_code);
		assert_int_equal(fault.event_type, HV_X64_PENDING_EVENT_EXCEPTION);
		assert_int_equal(fault.vector, 14);
		assert_int_equal(fault.error_code, 7);
		assert_int_equal(fault.exception_parameter, 0x1234000);
	}
	assert_int_equal(translate_ex(HV_TRANSLATE_GVA_GPA_UNMAPPED, &out), HV_STATUS_SUCCESS);
	memcpy(&intercept, out.event_info, sizeof(intercept));
	assert_int_equal(intercept.event_type, HV_X64_PENDING_EVENT_MEMORY_INTERCEPT);
	assert_int_equal(intercept.access_type, HV_INTERCEPT_ACCESS_READ);
	assert_int_equal(intercept.gva, 0x1234000);
	assert_int_equal(intercept.gpa, 0x1234000);
	assert_int_equal(translate_ex(HV_TRANSLATE_GVA_GPA_NO_WRITE_ACCESS, &out),
			 HV_STATUS_SUCCESS);
	memcpy(&intercept, out.event_info, sizeof(intercept));
	assert_int_equal(intercept.access_type, HV_INTERCEPT_ACCESS_WRITE);
}

#define T(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(pages_are_mapped_and_unmapped),         T(large_pages_are_aligned),
		T(a_page_can_be_reserved_without_access), T(maps_are_checked),
		T(the_end_of_the_space_is_the_end),       T(access_states_are_read_and_cleared),
		T(a_whole_page_of_states_is_continued),   T(addresses_are_translated),
		T(a_child_cannot_touch_maps_or_pools),    T(a_failed_translation_tells_the_event),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
