/*
 * tlfs/hc_intercept.c: intercepts and standing answers.
 */
#include "tests/fake/parent.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

static struct partition *child;

static int setup(void **state)
{
	(void)state;
	fake_boot(1);
	child = child_create(2);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	child_destroy(child);
	fake_shutdown();
	return 0;
}

static hv_status_t install(uint64_t id, uint32_t type, uint32_t access, uint64_t parameter)
{
	struct hv_input_install_intercept in = {
		.partition_id = id, .access_type = access, .intercept_type = type};

	in.intercept_parameter.as_uint64 = parameter;
	return status_of(call(root_vp(), HVCALL_INSTALL_INTERCEPT, &in, sizeof(in), NULL, 0));
}

static void intercepts_are_flags_of_the_partition(void **state)
{
	static const struct {
		uint32_t type, access;
		size_t flag;
		bool unasked;
	} rows[] = {
		{HV_INTERCEPT_TYPE_X64_IO_PORT, 3, offsetof(struct partition, intercept_io), true},
		{HV_INTERCEPT_TYPE_X64_MSR, 3, offsetof(struct partition, intercept_msr), false},
		{HV_INTERCEPT_TYPE_X64_CPUID, 4, offsetof(struct partition, intercept_cpuid),
		 false},
		{HV_INTERCEPT_TYPE_HYPERCALL, 4, offsetof(struct partition, intercept_hypercall),
		 false},
		{HV_INTERCEPT_TYPE_UNKNOWN_SYNIC_CONNECTION, 4,
		 offsetof(struct partition, intercept_unknown_connection), false},
		{HV_INTERCEPT_TYPE_RETARGET_INTERRUPT_WITH_UNKNOWN_DEVICE_ID, 4,
		 offsetof(struct partition, intercept_retarget), false},
		{HV_INTERCEPT_TYPE_X64_APIC_EOI, 2, offsetof(struct partition, intercept_apic_eoi),
		 true},
	};

	(void)state;
	assert_int_equal(
		install(child->id, HV_INTERCEPT_TYPE_X64_MSR_INDEX, 2, HV_X64_MSR_CRASH_P0),
		HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(
		install(child->id, HV_INTERCEPT_TYPE_X64_MSR_INDEX, 1, HV_X64_MSR_CRASH_CTL),
		HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(
		install(child->id, HV_INTERCEPT_TYPE_X64_MSR_INDEX, 2, HV_X64_MSR_CRASH_CTL),
		HV_STATUS_SUCCESS);
	assert_true(child->intercept_crash);
	for (uint32_t i = 0; i < ARRAY_COUNT(rows); i++) {
		const bool *flag = (const bool *)((const char *)child + rows[i].flag);

		assert_int_equal(*flag, rows[i].unasked);
		assert_int_equal(install(child->id, rows[i].type, 8, 0),
				 HV_STATUS_INVALID_PARAMETER);
		assert_int_equal(install(child->id, rows[i].type, rows[i].access, 0),
				 HV_STATUS_SUCCESS);
		assert_true(*flag);
		assert_int_equal(install(child->id, rows[i].type, 0, 0), HV_STATUS_SUCCESS);
		assert_false(*flag);
	}
}

static void cpuid_is_intercepted_at_once(void **state)
{
	struct vp *vp = child->vps[0];
	uint32_t out[4];

	(void)state;
	assert_int_equal(cpuid_read(vp, 1, 0, out), ACCESS_OK);
	for (int i = 0; i < 2; i++) {
		assert_int_equal(install(child->id, HV_INTERCEPT_TYPE_X64_CPUID, 4, 0),
				 HV_STATUS_SUCCESS);
		assert_int_equal(cpuid_read(vp, 1, 0, out), ACCESS_PARENT);
		assert_int_equal(install(child->id, HV_INTERCEPT_TYPE_X64_CPUID, 0, 0),
				 HV_STATUS_SUCCESS);
		assert_int_equal(cpuid_read(vp, 1, 0, out), ACCESS_OK);
	}
}

static void exceptions_are_bits(void **state)
{
	(void)state;
	assert_int_equal(install(child->id, HV_INTERCEPT_TYPE_EXCEPTION, 4, 1), HV_STATUS_SUCCESS);
	assert_int_equal(install(child->id, HV_INTERCEPT_TYPE_EXCEPTION, 4, 14), HV_STATUS_SUCCESS);
	assert_int_equal(child->intercept_exceptions, 1u << 1 | 1u << 14);
	assert_int_equal(install(child->id, HV_INTERCEPT_TYPE_EXCEPTION, 0, 1), HV_STATUS_SUCCESS);
	assert_int_equal(child->intercept_exceptions, 1u << 14);
	assert_int_equal(install(child->id, HV_INTERCEPT_TYPE_EXCEPTION, 4, 2),
			 HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(install(child->id, HV_INTERCEPT_TYPE_EXCEPTION, 4, 18),
			 HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(install(child->id, HV_INTERCEPT_TYPE_EXCEPTION, 4, 32),
			 HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(install(child->id, HV_INTERCEPT_TYPE_EXCEPTION, 1, 14),
			 HV_STATUS_INVALID_PARAMETER);
}

static void other_types_and_partitions_are_refused(void **state)
{
	(void)state;
	assert_int_equal(install(child->id, HV_INTERCEPT_TYPE_MMIO, 4, 0),
			 HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(install(child->id, HV_INTERCEPT_TYPE_INVALID, 4, 0),
			 HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(install(HV_PARTITION_ID_SELF, HV_INTERCEPT_TYPE_HYPERCALL, 4, 0),
			 HV_STATUS_INVALID_PARTITION_ID);
	assert_int_equal(install(12345, HV_INTERCEPT_TYPE_HYPERCALL, 4, 0),
			 HV_STATUS_INVALID_PARTITION_ID);
}

static hv_status_t register_result(uint32_t index, uint32_t leaf, uint32_t eax, uint32_t mask)
{
	struct hv_input_register_intercept_result in = {.partition_id = child->id,
							.vp_index = index,
							.intercept_type =
								HV_INTERCEPT_TYPE_X64_CPUID};

	in.parameters.cpuid.input.eax = leaf;
	in.parameters.cpuid.input.always_override = 1;
	in.parameters.cpuid.result.eax = eax;
	in.parameters.cpuid.result.eax_mask = mask;
	return status_of(call(root_vp(), HVCALL_REGISTER_INTERCEPT_RESULT, &in, 60, NULL, 0));
}

static void cpuid_values(uint32_t index, const uint32_t *leaves, uint32_t count,
			 union hv_output_get_vp_cpuid_values *out)
{
	struct {
		struct hv_input_get_vp_cpuid_values header;
		struct hv_cpuid_leaf_info leaves[4];
	} in = {.header = {.partition_id = child->id, .vp_index = index}};

	for (uint32_t i = 0; i < count; i++) {
		in.leaves[i].eax = leaves[i];
	}
	assert_int_equal(call(root_vp(), HVCALL_GET_VP_CPUID_VALUES | REPS(count), &in, sizeof(in),
			      out, count * sizeof(*out)),
			 HV_STATUS_SUCCESS | REPS(count));
}

static void answers_to_cpuid_are_registered_and_read(void **state)
{
	const uint32_t leaves[] = {0x40000001, 0x4fff1234, 0};
	union hv_output_get_vp_cpuid_values out[3];

	(void)state;
	cpuid_values(0, leaves, 3, out);
	assert_int_equal(out[0].eax, HYPERV_INTERFACE_EAX_SIGNATURE);
	assert_int_equal(out[2].ebx, 0x68747541); /* Auth */
	assert_int_equal(register_result(HV_ANY_VP, 0x4fff1234, 0xabcd1234, 0xffff0000),
			 HV_STATUS_SUCCESS);
	cpuid_values(1, leaves, 3, out);
	assert_int_equal(out[1].eax, 0xabcd0000);
	assert_int_equal(register_result(7, 1, 0, 0), HV_STATUS_INVALID_VP_INDEX);
}

static hv_status_t unregister_cpuid(uint32_t index, uint32_t leaf)
{
	struct hv_input_unregister_intercept_result in = {.partition_id = child->id,
							  .vp_index = index,
							  .intercept_type =
								  HV_INTERCEPT_TYPE_X64_CPUID};

	in.parameters.cpuid.eax = leaf;
	return status_of(
		call(root_vp(), HVCALL_UNREGISTER_INTERCEPT_RESULT, &in, sizeof(in), NULL, 0));
}

static void answers_to_cpuid_are_taken_back(void **state)
{
	const uint32_t leaf = 0x4fff1234;
	union hv_output_get_vp_cpuid_values out[1];

	(void)state;
	assert_int_equal(register_result(HV_ANY_VP, leaf, 1, ~0u), HV_STATUS_SUCCESS);
	assert_int_equal(register_result(1, leaf, 2, ~0u), HV_STATUS_SUCCESS);
	cpuid_values(1, &leaf, 1, out);
	assert_int_equal(out[0].eax, 2);
	assert_int_equal(unregister_cpuid(1, leaf), HV_STATUS_SUCCESS);
	cpuid_values(1, &leaf, 1, out); /* the one for all shows again */
	assert_int_equal(out[0].eax, 1);
	assert_int_equal(unregister_cpuid(1, leaf), HV_STATUS_NOT_FOUND);
	assert_int_equal(unregister_cpuid(HV_ANY_VP, leaf), HV_STATUS_SUCCESS);
	cpuid_values(1, &leaf, 1, out);
	assert_int_equal(out[0].eax, 0);
	assert_int_equal(register_result(1, leaf, 3, ~0u), HV_STATUS_SUCCESS);
	cpuid_values(1, &leaf, 1, out);
	assert_int_equal(out[0].eax, 3);
	assert_int_equal(unregister_cpuid(7, leaf), HV_STATUS_INVALID_VP_INDEX);
}

static void an_answer_is_taken_back(void **state)
{
	uint32_t before[4], out[4];

	(void)state;
	assert_int_equal(cpuid_read(child->vps[0], 1, 0, before), ACCESS_OK);
	assert_int_equal(register_result(HV_ANY_VP, 1, 0x12345678, ~0u), HV_STATUS_SUCCESS);
	assert_int_equal(cpuid_read(child->vps[0], 1, 0, out), ACCESS_OK);
	assert_int_equal(out[0], 0x12345678);
	assert_int_equal(unregister_cpuid(HV_ANY_VP, 1), HV_STATUS_SUCCESS);
	assert_int_equal(cpuid_read(child->vps[0], 1, 0, out), ACCESS_OK);
	assert_memory_equal(out, before, sizeof(out));
}

static hv_status_t register_msr(uint32_t index, uint32_t msr, uint32_t access, uint32_t action)
{
	struct hv_input_register_intercept_result in = {.partition_id = child->id,
							.vp_index = index,
							.intercept_type =
								HV_INTERCEPT_TYPE_X64_MSR};

	in.parameters.msr = (struct hv_register_x64_msr_result_parameters){msr, access, action};
	return status_of(call(root_vp(), HVCALL_REGISTER_INTERCEPT_RESULT, &in, 60, NULL, 0));
}

static hv_status_t unregister_msr(uint32_t index, uint32_t msr, uint32_t access)
{
	struct hv_input_unregister_intercept_result in = {.partition_id = child->id,
							  .vp_index = index,
							  .intercept_type =
								  HV_INTERCEPT_TYPE_X64_MSR};

	in.parameters.msr = (struct hv_unregister_x64_msr_result_parameters){msr, access};
	return status_of(
		call(root_vp(), HVCALL_UNREGISTER_INTERCEPT_RESULT, &in, sizeof(in), NULL, 0));
}

#define UNKNOWN_MSR 0x12345u
#define ZERO        HV_UNIMPLEMENTED_MSR_ACTION_IGNORE_WRITE_READ_ZERO
#define FAULT       HV_UNIMPLEMENTED_MSR_ACTION_FAULT

static enum access_result reads(uint32_t index, uint32_t msr)
{
	uint64_t value = 1;
	enum access_result result = msr_read(child->vps[index], msr, &value);

	assert_int_equal(value, 0);
	return result;
}

static void answers_for_registers_spare_the_intercept(void **state)
{
	(void)state;
	assert_int_equal(reads(0, UNKNOWN_MSR), ACCESS_FAULT);
	assert_int_equal(install(child->id, HV_INTERCEPT_TYPE_X64_MSR, 3, 0), HV_STATUS_SUCCESS);
	assert_int_equal(reads(0, UNKNOWN_MSR), ACCESS_PARENT);
	assert_int_equal(register_msr(HV_ANY_VP, UNKNOWN_MSR, 1, ZERO), HV_STATUS_SUCCESS);
	assert_int_equal(reads(0, UNKNOWN_MSR), ACCESS_OK);
	assert_int_equal(msr_write(child->vps[0], UNKNOWN_MSR, 1), ACCESS_PARENT);
	assert_int_equal(register_msr(1, UNKNOWN_MSR, 3, FAULT), HV_STATUS_SUCCESS);
	assert_int_equal(reads(0, UNKNOWN_MSR), ACCESS_OK);
	assert_int_equal(reads(1, UNKNOWN_MSR), ACCESS_FAULT);
	assert_int_equal(msr_write(child->vps[1], UNKNOWN_MSR, 1), ACCESS_FAULT);
	assert_int_equal(register_msr(1, UNKNOWN_MSR, 2, ZERO), HV_STATUS_SUCCESS);
	assert_int_equal(msr_write(child->vps[1], UNKNOWN_MSR, 1), ACCESS_OK);
	assert_int_equal(reads(1, UNKNOWN_MSR), ACCESS_FAULT);
	assert_int_equal(reads(1, UNKNOWN_MSR + 1), ACCESS_PARENT);
}

static void answers_for_registers_are_taken_back(void **state)
{
	(void)state;
	assert_int_equal(register_msr(0, UNKNOWN_MSR, 3, ZERO), HV_STATUS_SUCCESS);
	assert_int_equal(register_msr(0, UNKNOWN_MSR + 1, 1, ZERO), HV_STATUS_SUCCESS);
	assert_int_equal(unregister_msr(0, UNKNOWN_MSR, 1), HV_STATUS_SUCCESS);
	assert_int_equal(reads(0, UNKNOWN_MSR), ACCESS_FAULT);
	assert_int_equal(msr_write(child->vps[0], UNKNOWN_MSR, 1), ACCESS_OK);
	assert_int_equal(unregister_msr(0, UNKNOWN_MSR, 3), HV_STATUS_NOT_FOUND);
	assert_int_equal(unregister_msr(0, UNKNOWN_MSR, 2), HV_STATUS_SUCCESS);
	assert_int_equal(msr_write(child->vps[0], UNKNOWN_MSR, 1), ACCESS_FAULT);
	assert_int_equal(reads(0, UNKNOWN_MSR + 1), ACCESS_OK); /* the other one stays */
	assert_int_equal(unregister_msr(HV_ANY_VP, UNKNOWN_MSR + 1, 1), HV_STATUS_NOT_FOUND);
}

static void answers_for_registers_are_checked_and_counted(void **state)
{
	hv_status_t status = HV_STATUS_SUCCESS;
	uint32_t count = 0;

	(void)state;
	assert_int_equal(register_msr(0, UNKNOWN_MSR, 0, ZERO), HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(register_msr(0, UNKNOWN_MSR, 4, ZERO), HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(register_msr(0, UNKNOWN_MSR, 1, 2), HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(register_msr(9, UNKNOWN_MSR, 1, ZERO), HV_STATUS_INVALID_VP_INDEX);
	assert_int_equal(unregister_msr(0, UNKNOWN_MSR, 0), HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(unregister_msr(0, UNKNOWN_MSR, 1), HV_STATUS_NOT_FOUND);
	while (status == HV_STATUS_SUCCESS && count < 1000) {
		status = register_msr(0, UNKNOWN_MSR + count++, 1, ZERO);
	}
	assert_int_equal(status, HV_STATUS_NO_RESOURCES);
	assert_int_equal(register_msr(0, UNKNOWN_MSR, 2, ZERO), HV_STATUS_SUCCESS);
	assert_int_equal(reads(0, UNKNOWN_MSR + count - 2), ACCESS_OK);
	assert_int_equal(reads(0, UNKNOWN_MSR + count - 1), ACCESS_FAULT);
}

static void other_answers_are_refused(void **state)
{
	struct hv_input_register_intercept_result in = {.partition_id = child->id,
							.vp_index = HV_ANY_VP,
							.intercept_type =
								HV_INTERCEPT_TYPE_HYPERCALL};
	struct {
		struct hv_input_get_vp_cpuid_values header;
		struct hv_cpuid_leaf_info leaves[1];
	} get = {.header = {.partition_id = child->id, .flags.reserved = 1}};

	(void)state;
	assert_int_equal(
		status_of(call(root_vp(), HVCALL_REGISTER_INTERCEPT_RESULT, &in, 60, NULL, 0)),
		HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(status_of(call(root_vp(), HVCALL_GET_VP_CPUID_VALUES | REPS(1), &get,
					sizeof(get), NULL, 0)),
			 HV_STATUS_INVALID_PARAMETER);
}

#define T(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(intercepts_are_flags_of_the_partition),
		T(cpuid_is_intercepted_at_once),
		T(exceptions_are_bits),
		T(other_types_and_partitions_are_refused),
		T(answers_to_cpuid_are_registered_and_read),
		T(answers_to_cpuid_are_taken_back),
		T(an_answer_is_taken_back),
		T(answers_for_registers_spare_the_intercept),
		T(answers_for_registers_are_taken_back),
		T(answers_for_registers_are_checked_and_counted),
		T(other_answers_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
