/*
 * tlfs/hypercall.c and hypercall_table.c: control word, forms of parameters, continuation, result
 * word.
 */
#include "tests/fake/parent.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "tlfs/hypercall.h"

#define IN  (PARENT_INPUT_GPN * PAGE_SIZE)
#define OUT (PARENT_OUTPUT_GPN * PAGE_SIZE)

static struct partition *child;

static int setup(void **state)
{
	(void)state;
	fake_boot(2);
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

/* As the guest makes it, once. */
static enum hypercall_action enter(struct vp *vp, uint64_t rcx, uint64_t rdx, uint64_t r8,
				   uint64_t *rax)
{
	struct hypercall_regs regs = {.rcx = rcx, .rdx = rdx, .r8 = r8, .rax = 0xaaaa};
	enum hypercall_action action = hypercall_enter(vp, &regs);

	*rax = regs.rax;
	return action;
}

static void expect(struct vp *vp, uint64_t rcx, uint64_t rdx, uint64_t r8, uint64_t result)
{
	uint64_t rax;

	assert_int_equal(enter(vp, rcx, rdx, r8, &rax), HYPERCALL_DONE);
	assert_int_equal(rax, result);
}

static void an_unidentified_guest_gets_ud(void **state)
{
	uint64_t rax;

	(void)state;
	child->guest_os_id = 0;
	assert_int_equal(enter(child->vps[0], HVCALL_NOTIFY_LONG_SPIN_WAIT, IN, 0, &rax),
			 HYPERCALL_UD);
	child->guest_os_id = 1;
	expect(child->vps[0], HVCALL_NOTIFY_LONG_SPIN_WAIT, IN, 0, HV_STATUS_SUCCESS);
}

static void unknown_codes_are_refused(void **state)
{
	uint32_t known = 0;

	(void)state;
	for (uint32_t code = 0; code <= 0xffff; code++) {
		if (hypercall_find((uint16_t)code) != NULL) {
			known++;
		} else {
			expect(root_vp(), code, 0, 0, HV_STATUS_INVALID_HYPERCALL_CODE);
		}
	}
	assert_true(known > 50);
}

static void the_parent_may_take_unknown_codes(void **state)
{
	uint64_t rax;

	(void)state;
	expect(child->vps[0], 0x8002, 0, 0, HV_STATUS_INVALID_HYPERCALL_CODE);
	child->intercept_hypercall = true;
	assert_int_equal(enter(child->vps[0], 0x8002, 0, 0, &rax), HYPERCALL_INTERCEPT);
	assert_int_equal(enter(child->vps[0], HV_EXT_CALL_QUERY_CAPABILITIES, 0, OUT, &rax),
			 HYPERCALL_INTERCEPT);
	/* What the hypervisor knows stays with it. */
	expect(child->vps[0], HVCALL_NOTIFY_LONG_SPIN_WAIT, IN, 0, HV_STATUS_SUCCESS);
	expect(child->vps[0], HVCALL_CREATE_PARTITION, IN, OUT, HV_STATUS_ACCESS_DENIED);
}

static void no_extended_call_is_the_hypervisors(void **state)
{
	uint64_t capabilities = 1;

	(void)state;
	assert_int_equal(
		call(child->vps[0], HV_EXT_CALL_QUERY_CAPABILITIES, NULL, 0, &capabilities, 8),
		HV_STATUS_SUCCESS);
	assert_int_equal(capabilities, 0);
}

/*
 * Every call of the table is refused to a caller without its privileges, before anything else is
 * looked at.
 */
static void privileges_come_first(void **state)
{
	(void)state;
	child->privileges = 0;
	for (uint32_t code = 0; code <= 0xffff; code++) {
		const struct hypercall_row *row = hypercall_find((uint16_t)code);

		if (row != NULL && row->privilege) {
			expect(child->vps[0], code | HV_HYPERCALL_RSVD_MASK, 1, 1,
			       HV_STATUS_ACCESS_DENIED);
		}
	}
}

static void the_control_word_must_fit(void **state)
{
	static const uint64_t bad[] = {
		HVCALL_GET_VP_REGISTERS, /* no reps */
		HVCALL_GET_VP_REGISTERS | REPS(2) | REP_START(2),
		HVCALL_GET_VP_REGISTERS | REPS(2) | REP_START(3),
		HVCALL_GET_VP_REGISTERS | REPS(1) | VARHEAD(1),
		HVCALL_GET_VP_REGISTERS | REPS(1) | 1ull << 27,
		HVCALL_GET_VP_REGISTERS | REPS(1) | 1ull << 31, /* nested */
		HVCALL_GET_VP_REGISTERS | REPS(1) | 1ull << 44,
		HVCALL_GET_VP_REGISTERS | REPS(1) | 1ull << 60,
		HVCALL_SIGNAL_EVENT | REPS(1),
		HVCALL_SIGNAL_EVENT | REP_START(1),
		HVCALL_SIGNAL_EVENT | VARHEAD(1),
	};

	(void)state;
	for (uint32_t i = 0; i < ARRAY_COUNT(bad); i++) {
		expect(root_vp(), bad[i], IN, OUT, HV_STATUS_INVALID_HYPERCALL_INPUT);
	}
}

static void parameters_must_be_aligned_and_in_one_page(void **state)
{
	const uint64_t get = HVCALL_GET_VP_REGISTERS | REPS(4);

	(void)state;
	for (uint32_t i = 1; i < 8; i++) {
		expect(root_vp(), get, IN + i, OUT, HV_STATUS_INVALID_ALIGNMENT);
		expect(root_vp(), get, IN, OUT + i, HV_STATUS_INVALID_ALIGNMENT);
	}
	expect(root_vp(), get, IN + PAGE_SIZE - 24, OUT,
	       HV_STATUS_INVALID_ALIGNMENT); /* 16 + 4 * 4 bytes */
	expect(root_vp(), get, IN, OUT + PAGE_SIZE - 56, HV_STATUS_INVALID_ALIGNMENT);
	expect(root_vp(), get, 1ull << 40, OUT, HV_STATUS_INVALID_ALIGNMENT);
	expect(root_vp(), get, IN, 1ull << 63, HV_STATUS_INVALID_ALIGNMENT);
	expect(root_vp(), HVCALL_MAP_GPA_PAGES | REPS(4095), IN, OUT, HV_STATUS_INVALID_ALIGNMENT);
	/* The last bytes of a page will do. */
	expect(child->vps[0], HVCALL_SIGNAL_EVENT, IN + PAGE_SIZE - 8, 0,
	       HV_STATUS_INVALID_CONNECTION_ID);
}

/* What a call has no use for may be anything. */
static void pointers_that_are_not_needed_are_ignored(void **state)
{
	uint64_t in = 0, capabilities;

	(void)state;
	fake_write(child, IN, &in, 8);
	expect(child->vps[0], HVCALL_SIGNAL_EVENT, IN, UINT64_MAX, HV_STATUS_INVALID_CONNECTION_ID);
	expect(child->vps[0], HV_EXT_CALL_QUERY_CAPABILITIES, UINT64_MAX, OUT, HV_STATUS_SUCCESS);
	fake_read(child, OUT, &capabilities, 8);
	assert_int_equal(capabilities, 0);
}

static void a_missing_page_is_the_parents_to_bring(void **state)
{
	struct hypercall_regs regs = {.rcx = HVCALL_SIGNAL_EVENT, .rdx = 500 * PAGE_SIZE};

	(void)state;
	assert_int_equal(hypercall_enter(child->vps[0], &regs), HYPERCALL_MEMORY);
	assert_int_equal(regs.fault_gpa.v, 500 * PAGE_SIZE);
	assert_false(regs.fault_write);
	assert_int_equal(regs.rcx, HVCALL_SIGNAL_EVENT);

	assert_int_equal(map_pages(child->id, 500, 1700, 1, HV_MAP_GPA_READABLE),
			 HV_STATUS_SUCCESS);
	assert_int_equal(hypercall_enter(child->vps[0], &regs), HYPERCALL_DONE);

	regs = (struct hypercall_regs){.rcx = HV_EXT_CALL_QUERY_CAPABILITIES,
				       .r8 = 500 * PAGE_SIZE + 8};
	assert_int_equal(hypercall_enter(child->vps[0], &regs), HYPERCALL_MEMORY); /* read-only */
	assert_int_equal(regs.fault_gpa.v, 500 * PAGE_SIZE + 8);
	assert_true(regs.fault_write);
}

static void the_root_has_nobody_to_bring_a_page(void **state)
{
	(void)state;
	expect(root_vp(), HVCALL_SIGNAL_EVENT, FAKE_PAGES * PAGE_SIZE, 0,
	       HV_STATUS_INVALID_ALIGNMENT);
	/* A page that is the hypervisor's. */
	expect(root_vp(), HVCALL_SIGNAL_EVENT, (FAKE_PAGES - 1) * PAGE_SIZE, 0,
	       HV_STATUS_INVALID_ALIGNMENT);
	expect(root_vp(), HV_EXT_CALL_QUERY_CAPABILITIES, 0, (FAKE_PAGES - 1) * PAGE_SIZE,
	       HV_STATUS_INVALID_ALIGNMENT);
}

static void fast_calls_take_registers(void **state)
{
	uint64_t in[2] = {77, 0};

	(void)state;
	assert_int_equal(call_fast(root_vp(), HVCALL_SIGNAL_EVENT, in, 8, NULL, 0, 0),
			 HV_STATUS_INVALID_CONNECTION_ID);
	assert_false(fake_xmm.read || fake_xmm.written);
	/* 24 bytes. */
	assert_int_equal(call_fast(root_vp(), HVCALL_MAP_VP_STATE_PAGE, in, 16, NULL, 0, 0),
			 HV_STATUS_INVALID_PARTITION_ID);
	assert_true(fake_xmm.read);
	assert_false(fake_xmm.written);
	/* 256 bytes do not fit. */
	assert_int_equal(call_fast(child->vps[0], HVCALL_POST_MESSAGE, in, 16, NULL, 0, 0),
			 HV_STATUS_INVALID_HYPERCALL_INPUT);
}

/* 24 bytes in, 8 out: the output begins at the next 16. */
static void fast_output_follows_the_input(void **state)
{
	struct hv_input_get_partition_property_ex in = {
		.partition_id = HV_PARTITION_ID_SELF,
		.property_code = HV_PARTITION_PROPERTY_VMM_CAPABILITIES};
	struct hv_partition_property_vmm_capabilities out;

	(void)state;
	assert_int_equal(call_fast(root_vp(), HVCALL_GET_PARTITION_PROPERTY_EX, &in, sizeof(in),
				   &out, 32, sizeof(out)),
			 HV_STATUS_SUCCESS);
	assert_true(fake_xmm.written);
	assert_int_equal(out.bank_count, 1);
	assert_true(out.vmm_can_provide_overlay_gpfn);
	/* The input stays as it was. */
	assert_int_equal(last_call.regs.rdx, HV_PARTITION_ID_SELF);
	fake_root.privileges &= ~((uint64_t)HV_FAST_HYPERCALL_OUTPUT << 32);
	call_fast(root_vp(), HVCALL_GET_PARTITION_PROPERTY_EX, &in, sizeof(in), NULL, 0, 0);
	assert_int_equal(last_call.action, HYPERCALL_UD);
}

static void fast_rep_calls_have_lists_in_registers(void **state)
{
	struct {
		struct hv_input_get_vp_registers header;
		uint32_t names[4];
	} in = {.header = {.partition_id = child->id},
		.names = {HV_X64_REGISTER_RAX, HV_REGISTER_VP_INDEX, HV_X64_REGISTER_RBX,
			  HV_REGISTER_EXPLICIT_SUSPEND}};
	union hv_register_value out[4];

	(void)state;
	set_register(child->id, 0, HV_X64_REGISTER_RAX, 0x1234);
	assert_int_equal(
		call_fast(root_vp(), HVCALL_GET_VP_REGISTERS | REPS(4), &in, 32, out, 32, 64),
		HV_STATUS_SUCCESS | REPS(4));
	assert_int_equal(out[0].reg64, 0x1234);
	assert_int_equal(out[3].reg64, 1);
	/* From element 3 on: the others are left alone. */
	memset(out, 0xee, sizeof(out));
	assert_int_equal(call_fast(root_vp(), HVCALL_GET_VP_REGISTERS | REPS(4) | REP_START(3), &in,
				   32, out, 32, 64),
			 HV_STATUS_SUCCESS | REPS(4));
	assert_int_equal(out[3].reg64, 1);
	assert_int_equal(out[0].reg64, 0);
}

static void a_long_list_is_continued(void **state)
{
	uint64_t in[300] = {0};
	struct hypercall_regs regs = {.rcx = HVCALL_MAP_GPA_PAGES | REPS(200), .rdx = IN};
	uint32_t entries = 1;

	(void)state;
	in[0] = child->id;
	in[1] = 1000;
	in[2] = HV_MAP_GPA_READABLE;
	for (uint32_t i = 0; i < 200; i++) {
		in[3 + i] = 1500 + i;
	}
	fake_write(&fake_root, IN, in, sizeof(in));
	while (hypercall_enter(root_vp(), &regs) == HYPERCALL_AGAIN) {
		assert_int_equal(regs.rcx >> 48, entries * 64);
		assert_int_equal(regs.rcx & 0xffffffffffff, HVCALL_MAP_GPA_PAGES | REPS(200));
		entries++;
	}
	assert_int_equal(entries, 4);
	assert_int_equal(regs.rax, HV_STATUS_SUCCESS | REPS(200));
	for (uint32_t i = 0; i < 200; i++) {
		uint64_t source = 0;

		assert_int_equal(fake_mapping(child, 1000 + i, &source), HV_MAP_GPA_READABLE);
		assert_int_equal(source, 1500 + i);
	}
}

/*
 * The caller rewrites its list behind the call's back: what was taken is what counts, and nothing
 * is taken twice.
 */
static void the_list_is_read_once(void **state)
{
	uint64_t in[3 + 128] = {child->id, 1000, HV_MAP_GPA_READABLE};
	struct hypercall_regs regs = {.rcx = HVCALL_MAP_GPA_PAGES | REPS(128), .rdx = IN};
	uint64_t source;

	(void)state;
	for (uint32_t i = 0; i < 128; i++) {
		in[3 + i] = 1500 + i;
	}
	fake_write(&fake_root, IN, in, sizeof(in));
	assert_int_equal(hypercall_enter(root_vp(), &regs), HYPERCALL_AGAIN);
	for (uint32_t i = 0; i < 128; i++) {
		in[3 + i] = FAKE_PAGES - 1;
	}
	fake_write(&fake_root, IN, in, sizeof(in));
	assert_int_equal(hypercall_enter(root_vp(), &regs), HYPERCALL_DONE);
	assert_int_equal(regs.rax, HV_STATUS_ACCESS_DENIED | REPS(64));
	assert_int_equal(fake_mapping(child, 1063, &source), HV_MAP_GPA_READABLE);
	assert_int_equal(source, 1563);
	assert_int_equal(fake_mapping(child, 1064, NULL), 0);
}

/* Reps done count from the start of the list, and what they gave is there. */
static void an_error_tells_how_far_it_came(void **state)
{
	struct {
		struct hv_input_get_vp_registers header;
		uint32_t names[4];
	} in = {.header = {.partition_id = child->id},
		.names = {HV_X64_REGISTER_RAX, HV_REGISTER_EXPLICIT_SUSPEND, 0xdead,
			  HV_X64_REGISTER_RBX}};
	union hv_register_value out[4];

	(void)state;
	memset(out, 0xee, sizeof(out));
	fake_write(&fake_root, OUT, out, sizeof(out));
	assert_int_equal(call(root_vp(), HVCALL_GET_VP_REGISTERS | REPS(4), &in, sizeof(in), out,
			      sizeof(out)),
			 HV_STATUS_INVALID_PARAMETER | REPS(2));
	assert_int_equal(out[1].reg64, 1);
	assert_int_equal(out[2].reg64, 0xeeeeeeeeeeeeeeee);
}

/*
 * The page of the output goes away while the call runs: the call did its work, nothing is written
 * elsewhere.
 */
static void take_output_away(struct vp *vp)
{
	fake_root.pool.deposited++; /* as plat_page_deposit() would */
	assert_int_equal(plat_page_deposit(&fake_root, PARENT_OUTPUT_GPN, vp->partition),
			 HV_STATUS_SUCCESS);
}

static void output_that_vanishes_is_an_error(void **state)
{
	struct hv_input_dispatch_vp in = {.partition_id = child->id};
	uint64_t page;

	(void)state;
	assert_int_equal(set_register(child->id, 0, HV_REGISTER_EXPLICIT_SUSPEND, 0),
			 HV_STATUS_SUCCESS);
	fake.run = take_output_away;
	assert_int_equal(call(root_vp(), HVCALL_DISPATCH_VP, &in, sizeof(in), NULL, 0),
			 HV_STATUS_OPERATION_FAILED);
	fake.run = NULL;
	fake_root.pool.deposited--;
	do {
		assert_int_equal(plat_page_withdraw(child, &fake_root, &page), HV_STATUS_SUCCESS);
	} while (page != PARENT_OUTPUT_GPN);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(an_unidentified_guest_gets_ud, setup, teardown),
		cmocka_unit_test_setup_teardown(unknown_codes_are_refused, setup, teardown),
		cmocka_unit_test_setup_teardown(the_parent_may_take_unknown_codes, setup, teardown),
		cmocka_unit_test_setup_teardown(no_extended_call_is_the_hypervisors, setup,
						teardown),
		cmocka_unit_test_setup_teardown(privileges_come_first, setup, teardown),
		cmocka_unit_test_setup_teardown(the_control_word_must_fit, setup, teardown),
		cmocka_unit_test_setup_teardown(parameters_must_be_aligned_and_in_one_page, setup,
						teardown),
		cmocka_unit_test_setup_teardown(pointers_that_are_not_needed_are_ignored, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_missing_page_is_the_parents_to_bring, setup,
						teardown),
		cmocka_unit_test_setup_teardown(the_root_has_nobody_to_bring_a_page, setup,
						teardown),
		cmocka_unit_test_setup_teardown(fast_calls_take_registers, setup, teardown),
		cmocka_unit_test_setup_teardown(fast_output_follows_the_input, setup, teardown),
		cmocka_unit_test_setup_teardown(fast_rep_calls_have_lists_in_registers, setup,
						teardown),
		cmocka_unit_test_setup_teardown(a_long_list_is_continued, setup, teardown),
		cmocka_unit_test_setup_teardown(the_list_is_read_once, setup, teardown),
		cmocka_unit_test_setup_teardown(an_error_tells_how_far_it_came, setup, teardown),
		cmocka_unit_test_setup_teardown(output_that_vanishes_is_an_error, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
