/*
 * tlfs/property.c and the property calls of hc_partition.c.
 */
#include "tests/fake/parent.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "tlfs/partition.h"

static uint64_t id;

static int setup(void **state)
{
	(void)state;
	fake_boot(1);
	assert_int_equal(create_partition(&id), HV_STATUS_SUCCESS);
	return 0;
}

static int teardown(void **state)
{
	uint32_t pages;

	(void)state;
	finalize_partition(id);
	withdraw_all(id, &pages);
	assert_int_equal(delete_partition(id), HV_STATUS_SUCCESS);
	fake_shutdown();
	return 0;
}

static uint64_t get(uint32_t code)
{
	uint64_t value;

	assert_int_equal(get_property(id, code, &value), HV_STATUS_SUCCESS);
	return value;
}

static void initialize(void)
{
	assert_int_equal(deposit(id, 20), HV_STATUS_SUCCESS);
	assert_int_equal(initialize_partition(id), HV_STATUS_SUCCESS);
}

static void features_give_privileges(void **state)
{
	union hv_partition_synthetic_processor_features features = {.access_synic_regs = 1,
								    .access_vp_index = 1};

	(void)state;
	assert_int_equal(get(HV_PARTITION_PROPERTY_PRIVILEGE_FLAGS), 0);
	assert_int_equal(set_property(id, HV_PARTITION_PROPERTY_SYNTHETIC_PROC_FEATURES,
				      features.as_uint64[0]),
			 HV_STATUS_SUCCESS);
	assert_int_equal(get(HV_PARTITION_PROPERTY_PRIVILEGE_FLAGS),
			 HV_MSR_SYNIC_AVAILABLE | HV_MSR_VP_INDEX_AVAILABLE |
				 (uint64_t)(HV_POST_MESSAGES | HV_SIGNAL_EVENTS) << 32);
	/* What there is not is left out. */
	assert_int_equal(
		set_property(id, HV_PARTITION_PROPERTY_SYNTHETIC_PROC_FEATURES, UINT64_MAX),
		HV_STATUS_SUCCESS);
	assert_int_equal(get(HV_PARTITION_PROPERTY_SYNTHETIC_PROC_FEATURES),
			 property_synthetic_features());
	assert_int_equal(get(HV_PARTITION_PROPERTY_PRIVILEGE_FLAGS) >> 32 &
				 (HV_CREATE_PARTITIONS | HV_ACCESS_MEMORY_POOL),
			 0);
	initialize();
	assert_int_equal(set_property(id, HV_PARTITION_PROPERTY_SYNTHETIC_PROC_FEATURES, 0),
			 HV_STATUS_INVALID_PARTITION_STATE);
}

static void a_child_gets_no_privilege_of_a_parent(void **state)
{
	(void)state;
	assert_int_equal(set_property(id, HV_PARTITION_PROPERTY_PRIVILEGE_FLAGS,
				      (uint64_t)HV_CREATE_PARTITIONS << 32),
			 HV_STATUS_PROPERTY_VALUE_OUT_OF_RANGE);
	assert_int_equal(set_property(id, HV_PARTITION_PROPERTY_PRIVILEGE_FLAGS,
				      (uint64_t)HV_CONNECT_PORT << 32),
			 HV_STATUS_PROPERTY_VALUE_OUT_OF_RANGE);
	assert_int_equal(
		set_property(id, HV_PARTITION_PROPERTY_PRIVILEGE_FLAGS, HV_MSR_VP_INDEX_AVAILABLE),
		HV_STATUS_SUCCESS);
	assert_int_equal(get(HV_PARTITION_PROPERTY_PRIVILEGE_FLAGS), HV_MSR_VP_INDEX_AVAILABLE);
}

static void facts_are_read_only(void **state)
{
	static const struct {
		uint32_t code;
		uint64_t value;
	} facts[] = {
		{HV_PARTITION_PROPERTY_PROCESSOR_VENDOR, HV_PROCESSOR_VENDOR_AMD},
		{HV_PARTITION_PROPERTY_PHYSICAL_ADDRESS_WIDTH, 40},
		{HV_PARTITION_PROPERTY_IMPLEMENTED_PHYSICAL_ADDRESS_BITS, 40},
		{HV_PARTITION_PROPERTY_XSAVE_STATES, 7},
		{HV_PARTITION_PROPERTY_MAX_XSAVE_DATA_SIZE, 832},
		{HV_PARTITION_PROPERTY_PROCESSOR_CLOCK_FREQUENCY, FAKE_TSC_HZ},
		{HV_PARTITION_PROPERTY_APIC_FREQUENCY, HV_APIC_BUS_HZ},
		{HV_PARTITION_PROPERTY_COMPATIBILITY_VERSION, HV_COMPATIBILITY_21_H2},
		{HV_PARTITION_PROPERTY_INTEGRATED_SCHEDULER_ENABLED, 1},
		{HV_PARTITION_PROPERTY_ISOLATION_STATE, 0},
		{HV_PARTITION_PROPERTY_GUEST_OS_ID, 0},
	};

	(void)state;
	for (uint32_t i = 0; i < ARRAY_COUNT(facts); i++) {
		assert_int_equal(get(facts[i].code), facts[i].value);
		assert_int_equal(set_property(id, facts[i].code, 0), HV_STATUS_OPERATION_DENIED);
	}
}

static void values_have_ranges(void **state)
{
	(void)state;
	assert_int_equal(set_property(id, HV_PARTITION_PROPERTY_PROCESSORS_PER_SOCKET, 4),
			 HV_STATUS_SUCCESS);
	assert_int_equal(get(HV_PARTITION_PROPERTY_PROCESSORS_PER_SOCKET), 4);
	assert_int_equal(set_property(id, HV_PARTITION_PROPERTY_PROCESSORS_PER_SOCKET, 0),
			 HV_STATUS_PROPERTY_VALUE_OUT_OF_RANGE);
	assert_int_equal(set_property(id, HV_PARTITION_PROPERTY_PROCESSORS_PER_SOCKET, 257),
			 HV_STATUS_PROPERTY_VALUE_OUT_OF_RANGE);
	assert_int_equal(set_property(id, HV_PARTITION_PROPERTY_UNIMPLEMENTED_MSR_ACTION, 1),
			 HV_STATUS_SUCCESS);
	assert_int_equal(get(HV_PARTITION_PROPERTY_UNIMPLEMENTED_MSR_ACTION), 1);
	assert_int_equal(set_property(id, HV_PARTITION_PROPERTY_UNIMPLEMENTED_MSR_ACTION, 2),
			 HV_STATUS_PROPERTY_VALUE_OUT_OF_RANGE);
	assert_int_equal(set_property(id, HV_PARTITION_PROPERTY_GPA_PAGE_ACCESS_TRACKING, 0),
			 HV_STATUS_SUCCESS);
	assert_int_equal(get(HV_PARTITION_PROPERTY_GPA_PAGE_ACCESS_TRACKING), 1);
	assert_int_equal(set_property(id, HV_PARTITION_PROPERTY_GPA_PAGE_ACCESS_TRACKING, 2),
			 HV_STATUS_PROPERTY_VALUE_OUT_OF_RANGE);
}

static void time_can_be_set_and_frozen(void **state)
{
	(void)state;
	assert_int_equal(set_property(id, HV_PARTITION_PROPERTY_REFERENCE_TIME, 5),
			 HV_STATUS_INVALID_PARTITION_STATE);
	initialize();
	assert_int_equal(set_property(id, HV_PARTITION_PROPERTY_REFERENCE_TIME, 1000000),
			 HV_STATUS_SUCCESS);
	assert_int_equal(get(HV_PARTITION_PROPERTY_REFERENCE_TIME), 1000000);
	fake.tsc += FAKE_TSC_HZ;
	assert_in_range(get(HV_PARTITION_PROPERTY_REFERENCE_TIME), 1000000 + HV_REF_HZ - 1,
			1000000 + HV_REF_HZ);
	assert_int_equal(set_property(id, HV_PARTITION_PROPERTY_TIME_FREEZE, 1), HV_STATUS_SUCCESS);
	assert_int_equal(get(HV_PARTITION_PROPERTY_TIME_FREEZE), 1);
	fake.tsc += FAKE_TSC_HZ;
	assert_in_range(get(HV_PARTITION_PROPERTY_REFERENCE_TIME), 1000000 + HV_REF_HZ - 1,
			1000000 + HV_REF_HZ);
	assert_int_equal(set_property(id, HV_PARTITION_PROPERTY_TIME_FREEZE, 0), HV_STATUS_SUCCESS);
	assert_int_equal(set_property(id, HV_PARTITION_PROPERTY_TIME_FREEZE, 2),
			 HV_STATUS_PROPERTY_VALUE_OUT_OF_RANGE);
	assert_int_equal(set_property(id, HV_PARTITION_PROPERTY_REFERENCE_TIME, UINT64_MAX),
			 HV_STATUS_PROPERTY_VALUE_OUT_OF_RANGE);
}

static void disabled_features_are_gone(void **state)
{
	struct hv_input_create_partition in = {.flags = HV_PARTITION_CREATION_FLAG_LAPIC_ENABLED};
	uint64_t other, value;

	(void)state;
	in.partition_creation_properties.disabled_processor_features.as_uint64[0] = UINT64_MAX;
	in.partition_creation_properties.disabled_processor_features.as_uint64[1] = UINT64_MAX;
	in.partition_creation_properties.disabled_processor_xsave_features.as_uint64 = UINT64_MAX;
	assert_int_equal(
		status_of(call(root_vp(), HVCALL_CREATE_PARTITION, &in, sizeof(in), &other, 8)),
		HV_STATUS_SUCCESS);
	for (uint32_t i = 0; i < 2; i++) {
		assert_int_equal(
			get_property(other, HV_PARTITION_PROPERTY_PROCESSOR_FEATURES0 + i, &value),
			HV_STATUS_SUCCESS);
		assert_int_equal(value, 0);
	}
	assert_int_equal(
		get_property(other, HV_PARTITION_PROPERTY_PROCESSOR_XSAVE_FEATURES, &value),
		HV_STATUS_SUCCESS);
	assert_int_equal(value, 0);
	assert_int_equal(delete_partition(other), HV_STATUS_SUCCESS);
}

static void unknown_properties_are_unknown(void **state)
{
	static const uint32_t codes[] = {0, 0x20001, 0x50000, 0x90007, 0x90009, UINT32_MAX};
	uint64_t value;

	(void)state;
	for (uint32_t i = 0; i < ARRAY_COUNT(codes); i++) {
		assert_int_equal(get_property(id, codes[i], &value), HV_STATUS_UNKNOWN_PROPERTY);
		assert_int_equal(set_property(id, codes[i], 0), HV_STATUS_UNKNOWN_PROPERTY);
	}
}

/* As a monitor's library reads them before it creates anything. */
static void properties_in_banks_are_read_of_oneself(void **state)
{
	struct hv_input_get_partition_property_ex in = {.partition_id = HV_PARTITION_ID_SELF};
	struct hv_partition_property_vmm_capabilities out;

	(void)state;
	in.property_code = HV_PARTITION_PROPERTY_VMM_CAPABILITIES;
	assert_int_equal(status_of(call(root_vp(), HVCALL_GET_PARTITION_PROPERTY_EX, &in,
					sizeof(in), &out, sizeof(out))),
			 HV_STATUS_SUCCESS);
	assert_int_equal(out.bank_count, 1);
	assert_true(out.vmm_can_provide_overlay_gpfn && out.vmm_enable_integrated_scheduler);
	in.property_code = HV_PARTITION_PROPERTY_ASSIGNABLE_SYNTHETIC_PROC_FEATURES;
	assert_int_equal(status_of(call(root_vp(), HVCALL_GET_PARTITION_PROPERTY_EX, &in,
					sizeof(in), &out, sizeof(out))),
			 HV_STATUS_SUCCESS);
	assert_int_equal(out.bank_count, 1);
	assert_int_equal(out.as_uint64[0], property_synthetic_features());
	in.property_code = HV_PARTITION_PROPERTY_PHYSICAL_ADDRESS_WIDTH;
	assert_int_equal(status_of(call(root_vp(), HVCALL_GET_PARTITION_PROPERTY_EX, &in,
					sizeof(in), &out, sizeof(out))),
			 HV_STATUS_SUCCESS);
	assert_int_equal(out.bank_count, 40);
	in.arg = 1;
	assert_int_equal(status_of(call(root_vp(), HVCALL_GET_PARTITION_PROPERTY_EX, &in,
					sizeof(in), NULL, 0)),
			 HV_STATUS_INVALID_PARAMETER);
	in.arg = 0;
	in.partition_id = 4242;
	assert_int_equal(status_of(call(root_vp(), HVCALL_GET_PARTITION_PROPERTY_EX, &in,
					sizeof(in), NULL, 0)),
			 HV_STATUS_INVALID_PARTITION_ID);
}

static void the_scheduler_is_the_roots(void **state)
{
	struct hv_input_get_system_property in = {.property_id = HV_SYSTEM_PROPERTY_SCHEDULER_TYPE};
	struct hv_output_get_system_property out;

	(void)state;
	assert_int_equal(status_of(call(root_vp(), HVCALL_GET_SYSTEM_PROPERTY, &in, sizeof(in),
					&out, sizeof(out))),
			 HV_STATUS_SUCCESS);
	assert_int_equal(out.scheduler_type, HV_SCHEDULER_TYPE_ROOT);
	in.property_id = HV_SYSTEM_PROPERTY_SLEEP_STATE;
	assert_int_equal(
		status_of(call(root_vp(), HVCALL_GET_SYSTEM_PROPERTY, &in, sizeof(in), NULL, 0)),
		HV_STATUS_UNKNOWN_PROPERTY);
}

static hv_status_t set_ex(uint64_t partition, uint32_t code, uint64_t arg, uint32_t qwords)
{
	struct {
		struct hv_input_set_partition_property_ex header;
		uint64_t value[2];
	} in = {.header = {.partition_id = partition, .property_code = code, .arg = arg},
		.value = {HV_UNIMPLEMENTED_MSR_ACTION_IGNORE_WRITE_READ_ZERO}};

	return status_of(call(root_vp(), HVCALL_SET_PARTITION_PROPERTY_EX | VARHEAD(qwords), &in,
			      sizeof(in), NULL, 0));
}

static void properties_are_set_by_the_long_form_too(void **state)
{
	const uint32_t code = HV_PARTITION_PROPERTY_UNIMPLEMENTED_MSR_ACTION;

	(void)state;
	assert_int_equal(get(code), HV_UNIMPLEMENTED_MSR_ACTION_FAULT);
	assert_int_equal(set_ex(id, code, 0, 0), HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(set_ex(id, code, 0, 2), HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(set_ex(id, code, 1, 1), HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(set_ex(12345, code, 0, 1), HV_STATUS_INVALID_PARTITION_ID);
	assert_int_equal(set_ex(id, 0x12345678, 0, 1), HV_STATUS_UNKNOWN_PROPERTY);
	assert_int_equal(get(code), HV_UNIMPLEMENTED_MSR_ACTION_FAULT);
	assert_int_equal(set_ex(id, code, 0, 1), HV_STATUS_SUCCESS);
	assert_int_equal(get(code), HV_UNIMPLEMENTED_MSR_ACTION_IGNORE_WRITE_READ_ZERO);
}

#define T(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(features_give_privileges),
		T(a_child_gets_no_privilege_of_a_parent),
		T(facts_are_read_only),
		T(values_have_ranges),
		T(time_can_be_set_and_frozen),
		T(disabled_features_are_gone),
		T(unknown_properties_are_unknown),
		T(properties_in_banks_are_read_of_oneself),
		T(the_scheduler_is_the_roots),
		T(properties_are_set_by_the_long_form_too),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
