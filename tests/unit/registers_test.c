/*
 * tlfs/registers.c and the calls that read and write registers: every name, what may be written by
 * whom.
 */
#include "tests/fake/parent.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "tlfs/registers.h"

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

static uint64_t get(uint32_t name)
{
	uint64_t value = 0;

	assert_int_equal(get_register(child->id, 0, name, &value), HV_STATUS_SUCCESS);
	return value;
}

static hv_status_t set(uint32_t name, uint64_t value)
{
	return set_register(child->id, 0, name, value);
}

static void processor_registers_are_the_homes(void **state)
{
	static const uint32_t names[] = {
		HV_X64_REGISTER_RAX,     HV_X64_REGISTER_R15,        HV_X64_REGISTER_RIP,
		HV_X64_REGISTER_RFLAGS,  HV_X64_REGISTER_CR0,        HV_X64_REGISTER_XFEM,
		HV_X64_REGISTER_CS,      HV_X64_REGISTER_GDTR,       HV_X64_REGISTER_EFER,
		HV_X64_REGISTER_FP_MMX0, HV_REGISTER_INTERRUPT_STATE};

	(void)state;
	for (uint32_t i = 0; i < ARRAY_COUNT(names); i++) {
		assert_int_equal(set(names[i], 0x1000 + i), HV_STATUS_SUCCESS);
	}
	for (uint32_t i = 0; i < ARRAY_COUNT(names); i++) {
		assert_int_equal(get(names[i]), 0x1000 + i);
	}
	fake.next_register_status = HV_STATUS_INVALID_REGISTER_VALUE;
	assert_int_equal(set(HV_X64_REGISTER_CR0, 1), HV_STATUS_INVALID_REGISTER_VALUE);
}

/* CR8 is the upper half of the TPR (Intel SDM vol. 3, 11.8.6; APM vol. 2, 16.3.4); setting it
 * clears the lower. */
static void cr8_is_the_class_of_the_tpr(void **state)
{
	(void)state;
	vp->lapic.tpr = 0x5a;
	assert_int_equal(get(HV_X64_REGISTER_CR8), 5);
	assert_int_equal(set(HV_X64_REGISTER_CR8, 9), HV_STATUS_SUCCESS);
	assert_int_equal(vp->lapic.tpr, 0x90);
	assert_int_equal(set(HV_X64_REGISTER_CR8, 16), HV_STATUS_INVALID_REGISTER_VALUE);
	assert_int_equal(get(HV_X64_REGISTER_CR8), 9);
}

static void all_128_bits_travel(void **state)
{
	struct {
		struct hv_input_set_vp_registers header;
		struct hv_register_assoc assoc;
	} in = {.header = {.partition_id = child->id}, .assoc = {.name = HV_X64_REGISTER_CS}};
	union hv_register_value value;

	(void)state;
	in.assoc.value.segment = (struct hv_x64_segment_register){
		.base = 0xffff0000, .limit = 0xffff, .selector = 0xf000};
	assert_int_equal(status_of(call(root_vp(), HVCALL_SET_VP_REGISTERS | REPS(1), &in,
					sizeof(in), NULL, 0)),
			 HV_STATUS_SUCCESS);
	memset(&value, 0, sizeof(value));
	assert_int_equal(register_get(vp, HV_X64_REGISTER_CS, &value), HV_STATUS_SUCCESS);
	assert_memory_equal(&value, &in.assoc.value, sizeof(value));
}

static void suspend_registers_are_bits_of_one_word(void **state)
{
	(void)state;
	assert_int_equal(vp->suspend, VP_SUSPEND_EXPLICIT);
	assert_int_equal(set(HV_REGISTER_INTERCEPT_SUSPEND, 1), HV_STATUS_SUCCESS);
	assert_int_equal(set(HV_REGISTER_DISPATCH_SUSPEND, 1), HV_STATUS_SUCCESS);
	assert_int_equal(vp->suspend,
			 VP_SUSPEND_EXPLICIT | VP_SUSPEND_INTERCEPT | VP_SUSPEND_DISPATCH);
	assert_int_equal(set(HV_REGISTER_EXPLICIT_SUSPEND, 0), HV_STATUS_SUCCESS);
	assert_int_equal(get(HV_REGISTER_EXPLICIT_SUSPEND), 0);
	assert_int_equal(get(HV_REGISTER_INTERCEPT_SUSPEND), 1);
	assert_int_equal(get(HV_REGISTER_DISPATCH_SUSPEND), 1);
	assert_int_equal(set(HV_REGISTER_EXPLICIT_SUSPEND, 2), HV_STATUS_INVALID_REGISTER_VALUE);
}

static void activity_can_be_saved_and_restored(void **state)
{
	union hv_internal_activity_register activity = {.halt_suspend = 1};

	(void)state;
	assert_int_equal(get(HV_REGISTER_INTERNAL_ACTIVITY_STATE), 0);
	assert_int_equal(set(HV_REGISTER_INTERNAL_ACTIVITY_STATE, activity.as_uint64),
			 HV_STATUS_SUCCESS);
	assert_int_equal(vp->activity, VP_HALTED);
	assert_int_equal(get(HV_REGISTER_INTERNAL_ACTIVITY_STATE), activity.as_uint64);
	activity = (union hv_internal_activity_register){.idle_suspend = 1};
	assert_int_equal(set(HV_REGISTER_INTERNAL_ACTIVITY_STATE, activity.as_uint64),
			 HV_STATUS_SUCCESS);
	assert_int_equal(get(HV_REGISTER_INTERNAL_ACTIVITY_STATE), activity.as_uint64);
	activity = (union hv_internal_activity_register){.startup_suspend = 1};
	assert_int_equal(set(HV_REGISTER_INTERNAL_ACTIVITY_STATE, activity.as_uint64),
			 HV_STATUS_SUCCESS);
	assert_int_equal(vp->activity, VP_WAIT_SIPI);
	assert_int_equal(get(HV_REGISTER_INTERNAL_ACTIVITY_STATE), activity.as_uint64);
	assert_int_equal(set(HV_REGISTER_INTERNAL_ACTIVITY_STATE, 0), HV_STATUS_SUCCESS);
	assert_int_equal(vp->activity, VP_ACTIVE);
	assert_int_equal(set(HV_REGISTER_INTERNAL_ACTIVITY_STATE, 8),
			 HV_STATUS_INVALID_REGISTER_VALUE);
}

static void facts_cannot_be_written(void **state)
{
	static const uint32_t names[] = {
		HV_REGISTER_HYPERVISOR_VERSION,   HV_REGISTER_VP_INDEX,
		HV_REGISTER_VP_ROOT_SIGNAL_COUNT, HV_X64_REGISTER_REG_PAGE,
		HV_REGISTER_FEATURES_INFO,        HV_REGISTER_IPT_FEATURES_INFO};

	(void)state;
	for (uint32_t i = 0; i < ARRAY_COUNT(names); i++) {
		get(names[i]);
		assert_int_equal(set(names[i], 0), HV_STATUS_ACCESS_DENIED);
	}
	assert_int_equal(get(HV_REGISTER_VP_INDEX), 0);
}

static void cpuid_leaves_are_registers(void **state)
{
	union hv_register_value value = {0};
	uint32_t leaf[4];

	(void)state;
	assert_int_equal(register_get(vp, HV_REGISTER_PRIVILEGES_AND_FEATURES_INFO, &value),
			 HV_STATUS_SUCCESS);
	cpuid_read(vp, HYPERV_CPUID_FEATURES, 0, leaf);
	assert_memory_equal(&value, leaf, sizeof(leaf));
	assert_int_equal(value.reg64, child->privileges);
	assert_int_equal(register_get(vp, HV_REGISTER_HYPERVISOR_VERSION, &value),
			 HV_STATUS_SUCCESS);
	cpuid_read(vp, HYPERV_CPUID_VERSION, 0, leaf);
	assert_memory_equal(&value, leaf, sizeof(leaf));
}

static void msrs_have_names(void **state)
{
	(void)state;
	assert_int_equal(set(HV_REGISTER_SINT0 + 3, 0x55), HV_STATUS_SUCCESS);
	assert_int_equal(vp->synic.sint[3], 0x55);
	assert_int_equal(get(HV_REGISTER_SINT0 + 3), 0x55);
	assert_int_equal(set(HV_REGISTER_SCONTROL, 1), HV_STATUS_SUCCESS);
	assert_int_equal(vp->synic.scontrol, 1);
	assert_int_equal(get(HV_REGISTER_SVERSION), HV_SYNIC_VERSION_1);
	assert_int_equal(set(HV_REGISTER_SIMP, 4 * PAGE_SIZE | 1), HV_STATUS_SUCCESS);
	assert_ptr_equal(fake_overlay(child, 4), vp->synic.message_page);
	assert_int_equal(set(HV_REGISTER_STIMER0_COUNT + 2, 0x100), HV_STATUS_SUCCESS);
	assert_int_equal(get(HV_REGISTER_STIMER1_COUNT), 0x100);
	assert_int_equal(set(HV_REGISTER_GUEST_OS_ID, 0x123), HV_STATUS_SUCCESS);
	assert_int_equal(child->guest_os_id, 0x123);
	assert_int_equal(set(HV_REGISTER_GUEST_CRASH_P0 + 4, 7), HV_STATUS_SUCCESS);
	assert_int_equal(get(HV_REGISTER_GUEST_CRASH_P4), 7);
	assert_int_equal(get(HV_REGISTER_PROCESSOR_CLOCK_FREQUENCY), FAKE_TSC_HZ);
	assert_int_equal(get(HV_REGISTER_INTERRUPT_CLOCK_FREQUENCY), HV_APIC_BUS_HZ);
	assert_int_equal(get(HV_X64_REGISTER_APIC_BASE), 0xfee00900);
	assert_int_equal(set(HV_X64_REGISTER_MSR_MTRR_FIX4KF8000, 0x0606060606060606),
			 HV_STATUS_SUCCESS);
	assert_int_equal(get(HV_X64_REGISTER_MSR_MTRR_FIX4KF8000), 0x0606060606060606);
	assert_int_equal(set(HV_X64_REGISTER_MSR_MTRR_PHYS_BASE0 + 1, 0x1000006),
			 HV_STATUS_SUCCESS);
	assert_int_equal(get(HV_X64_REGISTER_MSR_MTRR_PHYS_BASE0 + 1), 0x1000006);
	assert_int_equal(get(HV_REGISTER_VP_RUNTIME), 0);
	assert_int_equal(set(HV_REGISTER_VP_RUNTIME, 1), HV_STATUS_INVALID_REGISTER_VALUE);
}

/* The parent sees the SynIC of a guest that may not use it. */
static void privileges_of_the_guest_do_not_bind_the_parent(void **state)
{
	(void)state;
	child->privileges = 0;
	assert_int_equal(set(HV_REGISTER_SINT0 + 1, 0x66), HV_STATUS_SUCCESS);
	assert_int_equal(get(HV_REGISTER_SINT0 + 1), 0x66);
	assert_int_equal(get(HV_REGISTER_STIMER0_CONFIG), 0);
}

static void unknown_names_are_refused(void **state)
{
	static const uint32_t names[] = {5,       0x1ff,   0x209,   0x216,   0x20012,   0x7ffff,
					 0x80030, 0x90005, 0xa0016, 0xb0008, UINT32_MAX};
	uint64_t value;

	(void)state;
	for (uint32_t i = 0; i < ARRAY_COUNT(names); i++) {
		assert_int_equal(get_register(child->id, 0, names[i], &value),
				 HV_STATUS_INVALID_PARAMETER);
		assert_int_equal(set(names[i], 0), HV_STATUS_INVALID_PARAMETER);
	}
}

/* No name, with any value, does more than give a status. */
static void no_name_does_harm(void **state)
{
	static const uint64_t values[] = {0, 1, UINT64_MAX, 0x8000000000000000, 0xfee00d00};
	uint64_t value;

	(void)state;
	for (uint32_t name = 0; name < 0x100000;
	     name += name < 0x400 || (name & 0xffff) < 0x200 ? 1 : 0x100) {
		for (uint32_t i = 0; i < ARRAY_COUNT(values); i++) {
			if (name != HV_REGISTER_SIMP &&
			    name != HV_REGISTER_SIEFP) { /* the fake has few overlays */
				set(name, values[i]);
			}
		}
		get_register(child->id, 0, name, &value);
	}
}

static void pending_events_are_kept(void **state)
{
	union hv_register_value value = {
		.pending_exception_event = {.event_pending = 1,
					    .vector = 14,
					    .deliver_error_code = 1,
					    .error_code = 2,
					    .exception_parameter = 0x1234}};

	(void)state;
	assert_int_equal(register_set(vp, HV_REGISTER_PENDING_EVENT0, &value, true),
			 HV_STATUS_SUCCESS);
	assert_memory_equal(&vp->pending_event0, &value, sizeof(value));
	value.pending_exception_event.event_type = HV_X64_PENDING_EVENT_SHADOW_IPT;
	assert_int_equal(register_set(vp, HV_REGISTER_PENDING_EVENT0, &value, true),
			 HV_STATUS_INVALID_REGISTER_VALUE);
	value.pending_exception_event.event_type = HV_X64_PENDING_EVENT_EXT_INT;
	assert_int_equal(register_set(vp, HV_REGISTER_PENDING_EVENT1, &value, true),
			 HV_STATUS_SUCCESS);
	vp->pending_interruption = 0x80000301;
	assert_int_equal(get(HV_REGISTER_PENDING_INTERRUPTION), 0x80000301);
	assert_int_equal(set(HV_REGISTER_PENDING_INTERRUPTION, 0), HV_STATUS_SUCCESS);
	assert_int_equal(get(HV_REGISTER_PENDING_INTERRUPTION), 0);
	assert_int_equal(set(HV_REGISTER_DELIVERABILITY_NOTIFICATIONS, 1ull << 10),
			 HV_STATUS_INVALID_REGISTER_VALUE);
	assert_int_equal(set(HV_REGISTER_DELIVERABILITY_NOTIFICATIONS, 2), HV_STATUS_SUCCESS);
	assert_int_equal(get(HV_REGISTER_DELIVERABILITY_NOTIFICATIONS), 2);
}

static void the_tsc_is_an_offset(void **state)
{
	(void)state;
	assert_int_equal(set(HV_X64_REGISTER_TSC, 500), HV_STATUS_SUCCESS);
	assert_int_equal(fake_vp(vp)->offset_changes, 1);
	fake.tsc += 1000;
	assert_int_equal(get(HV_X64_REGISTER_TSC), 1500);
}

/* The TSC page is withdrawn while VPs differ, and true again when they agree; a deadline
 * follows. */
static void what_is_computed_from_the_tsc_follows_it(void **state)
{
	const struct ms_hyperv_tsc_page *page = child->tsc_page;
	uint64_t tsc = 5000 * FAKE_TSC_HZ;

	(void)state;
	assert_int_equal(msr_write(vp, HV_X64_MSR_REFERENCE_TSC, 60 << 12 | 1), ACCESS_OK);
	assert_int_not_equal(page->tsc_sequence, 0);
	lapic_mmio_write(vp, 0xf0, 0x1ff);
	lapic_mmio_write(vp, 0x320, 0x40050); /* by TSC deadline */
	assert_int_equal(set(HV_X64_REGISTER_TSC_DEADLINE, tsc + 1000), HV_STATUS_SUCCESS);
	assert_int_equal(set(HV_X64_REGISTER_TSC, tsc), HV_STATUS_SUCCESS);
	assert_int_equal(fake_vp(vp)->deadline_tsc, fake.tsc + 1000);
	assert_int_equal(page->tsc_sequence, 0);
	assert_int_equal(set_register(child->id, 1, HV_X64_REGISTER_TSC, tsc), HV_STATUS_SUCCESS);
	assert_int_not_equal(page->tsc_sequence, 0);
	assert_int_equal((uint64_t)(((unsigned __int128)tsc * page->tsc_scale) >> 64) +
				 (uint64_t)page->tsc_offset,
			 refclock_now(child));
	assert_int_equal(get(HV_X64_REGISTER_TSC_ADJUST), 0);
}

static void apic_ids_are_unique(void **state)
{
	(void)state;
	assert_int_equal(get(HV_X64_REGISTER_INITIAL_APIC_ID), 0);
	assert_int_equal(set(HV_X64_REGISTER_INITIAL_APIC_ID, 1),
			 HV_STATUS_INVALID_REGISTER_VALUE); /* VP 1 has it */
	assert_int_equal(set(HV_X64_REGISTER_INITIAL_APIC_ID, 0xff),
			 HV_STATUS_INVALID_REGISTER_VALUE);
	assert_int_equal(set(HV_X64_REGISTER_INITIAL_APIC_ID, 8), HV_STATUS_SUCCESS);
	assert_int_equal(vp->apic_id, 8);
	assert_int_equal(get(HV_X64_REGISTER_APIC_ID), 8);
	assert_int_equal(lapic_mmio_read(vp, 0x20), 8u << 24);
	assert_int_equal(set_register(child->id, 1, HV_X64_REGISTER_INITIAL_APIC_ID, 0),
			 HV_STATUS_SUCCESS);
}

/* ---- A partition and its own registers ---- */

static uint64_t own(uint64_t control, uint64_t partition, uint32_t index, uint32_t name,
		    uint64_t value)
{
	struct {
		struct hv_input_set_vp_registers header;
		struct hv_register_assoc assoc;
	} in = {.header = {.partition_id = partition, .vp_index = index},
		.assoc = {.name = name, .value = {.reg64 = value}}};

	return call(vp, control | REPS(1), &in, sizeof(in), NULL, 0);
}

static void a_guest_has_no_hold_on_itself_that_is_its_parents(void **state)
{
	static const uint32_t names[] = {
		HV_REGISTER_EXPLICIT_SUSPEND,     HV_REGISTER_INTERCEPT_SUSPEND,
		HV_REGISTER_DISPATCH_SUSPEND,     HV_REGISTER_INTERNAL_ACTIVITY_STATE,
		HV_REGISTER_PENDING_INTERRUPTION, HV_REGISTER_PENDING_EVENT0,
		HV_REGISTER_PENDING_EVENT1,       HV_REGISTER_DELIVERABILITY_NOTIFICATIONS,
		HV_X64_REGISTER_INITIAL_APIC_ID,  HV_X64_REGISTER_TSC};

	(void)state;
	for (uint32_t i = 0; i < ARRAY_COUNT(names); i++) {
		assert_int_equal(status_of(own(HVCALL_SET_VP_REGISTERS, HV_PARTITION_ID_SELF,
					       HV_VP_INDEX_SELF, names[i], 0)),
				 HV_STATUS_ACCESS_DENIED);
	}
	assert_int_equal(status_of(own(HVCALL_SET_VP_REGISTERS, HV_PARTITION_ID_SELF,
				       HV_VP_INDEX_SELF, HV_X64_REGISTER_RBX, 3)),
			 HV_STATUS_SUCCESS);
	assert_int_equal(get(HV_X64_REGISTER_RBX), 3);
	assert_int_equal(
		status_of(own(HVCALL_SET_VP_REGISTERS, child->id, 0, HV_X64_REGISTER_RBX, 4)),
		HV_STATUS_SUCCESS);
}

static void a_guest_names_no_vp_but_its_own(void **state)
{
	(void)state;
	assert_int_equal(status_of(own(HVCALL_SET_VP_REGISTERS, HV_PARTITION_ID_SELF, 1,
				       HV_X64_REGISTER_RBX, 3)),
			 HV_STATUS_INVALID_VP_STATE);
	assert_int_equal(status_of(own(HVCALL_SET_VP_REGISTERS, HV_PARTITION_ID_SELF, 7,
				       HV_X64_REGISTER_RBX, 3)),
			 HV_STATUS_INVALID_VP_INDEX);
	assert_int_equal(status_of(own(HVCALL_SET_VP_REGISTERS, HV_ROOT_PARTITION, 0,
				       HV_X64_REGISTER_RBX, 3)),
			 HV_STATUS_INVALID_PARTITION_ID);
	child->privileges &= ~((uint64_t)HV_ACCESS_VP_REGISTERS << 32);
	assert_int_equal(status_of(own(HVCALL_SET_VP_REGISTERS, HV_PARTITION_ID_SELF,
				       HV_VP_INDEX_SELF, HV_X64_REGISTER_RBX, 3)),
			 HV_STATUS_ACCESS_DENIED);
}

static void reserved_fields_are_zero(void **state)
{
	struct {
		struct hv_input_set_vp_registers header;
		struct hv_register_assoc assoc;
	} in = {.header = {.partition_id = child->id},
		.assoc = {.name = HV_X64_REGISTER_RAX, .reserved1 = 1}};

	(void)state;
	assert_int_equal(status_of(call(root_vp(), HVCALL_SET_VP_REGISTERS | REPS(1), &in,
					sizeof(in), NULL, 0)),
			 HV_STATUS_INVALID_PARAMETER);
	in.assoc.reserved1 = 0;
	in.header.input_vtl.as_uint8 = 0x11; /* VTL 1 */
	assert_int_equal(status_of(call(root_vp(), HVCALL_SET_VP_REGISTERS | REPS(1), &in,
					sizeof(in), NULL, 0)),
			 HV_STATUS_INVALID_PARAMETER);
	in.header.input_vtl.as_uint8 = 0x10; /* VTL 0, said so */
	assert_int_equal(status_of(call(root_vp(), HVCALL_SET_VP_REGISTERS | REPS(1), &in,
					sizeof(in), NULL, 0)),
			 HV_STATUS_SUCCESS);
	in.header.rsvd_z16 = 1;
	assert_int_equal(status_of(call(root_vp(), HVCALL_SET_VP_REGISTERS | REPS(1), &in,
					sizeof(in), NULL, 0)),
			 HV_STATUS_INVALID_PARAMETER);
}

/* ---- Starting a VP with all its registers ---- */

static void a_guest_starts_its_own_vp(void **state)
{
	struct hv_enable_vp_vtl in = {.partition_id = HV_PARTITION_ID_SELF, .vp_index = 1};
	struct {
		struct hv_get_vp_from_apic_id_in header;
		uint32_t ids[2];
	} find = {.header = {.partition_id = HV_PARTITION_ID_SELF}, .ids = {1, 99}};
	uint32_t found[2] = {77, 77};
	union hv_register_value value;

	(void)state;
	assert_int_equal(call(vp, HVCALL_GET_VP_INDEX_FROM_APIC_ID | REPS(2), &find, sizeof(find),
			      found, sizeof(found)),
			 HV_STATUS_INVALID_PARAMETER | REPS(1));
	assert_int_equal(found[0], 1);
	in.vp_context.rip = 0x1000;
	in.vp_context.cs.selector = 0x10;
	in.vp_context.efer = 0x500;
	assert_int_equal(status_of(call(vp, HVCALL_START_VP, &in, sizeof(in), NULL, 0)),
			 HV_STATUS_SUCCESS);
	assert_int_equal(child->vps[1]->activity, VP_ACTIVE);
	assert_int_equal(plat_register_get(child->vps[1], HV_X64_REGISTER_RIP, &value),
			 HV_STATUS_SUCCESS);
	assert_int_equal(value.reg64, 0x1000);
	assert_int_equal(plat_register_get(child->vps[1], HV_X64_REGISTER_CS, &value),
			 HV_STATUS_SUCCESS);
	assert_int_equal(value.segment.selector, 0x10);
	assert_int_equal(status_of(call(vp, HVCALL_START_VP, &in, sizeof(in), NULL, 0)),
			 HV_STATUS_INVALID_VP_STATE);
	in.vp_index = 0;
	assert_int_equal(status_of(call(vp, HVCALL_START_VP, &in, sizeof(in), NULL, 0)),
			 HV_STATUS_INVALID_VP_STATE);
	in.vp_index = 5;
	assert_int_equal(status_of(call(vp, HVCALL_START_VP, &in, sizeof(in), NULL, 0)),
			 HV_STATUS_INVALID_VP_INDEX);
}

static void a_bad_context_starts_nothing(void **state)
{
	struct hv_enable_vp_vtl in = {.partition_id = child->id, .vp_index = 1};

	(void)state;
	fake.next_register_status = HV_STATUS_INVALID_REGISTER_VALUE;
	assert_int_equal(status_of(call(root_vp(), HVCALL_START_VP, &in, sizeof(in), NULL, 0)),
			 HV_STATUS_INVALID_REGISTER_VALUE);
	assert_int_equal(child->vps[1]->activity, VP_WAIT_SIPI);
	assert_int_equal(status_of(call(root_vp(), HVCALL_START_VP, &in, sizeof(in), NULL, 0)),
			 HV_STATUS_SUCCESS);
	/* VPs of the root belong to their LPs. */
	in.partition_id = HV_PARTITION_ID_SELF;
	assert_int_equal(status_of(call(root_vp(), HVCALL_START_VP, &in, sizeof(in), NULL, 0)),
			 HV_STATUS_INVALID_VP_STATE);
}

/* A VP that is being worked on: the instruction is executed again. */
static void starting_does_not_wait(void **state)
{
	struct hv_enable_vp_vtl in = {.partition_id = HV_PARTITION_ID_SELF, .vp_index = 1};
	struct hypercall_regs regs = {.rcx = HVCALL_START_VP, .rdx = PARENT_INPUT_GPN * PAGE_SIZE};

	(void)state;
	fake_write(child, regs.rdx, &in, sizeof(in));
	spin_lock(&child->vps[1]->lock);
	assert_int_equal(hypercall_enter(vp, &regs), HYPERCALL_AGAIN);
	spin_unlock(&child->vps[1]->lock);
	assert_int_equal(hypercall_enter(vp, &regs), HYPERCALL_DONE);
	assert_int_equal(regs.rax, HV_STATUS_SUCCESS);
}

#define T(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(processor_registers_are_the_homes),
		T(cr8_is_the_class_of_the_tpr),
		T(all_128_bits_travel),
		T(suspend_registers_are_bits_of_one_word),
		T(activity_can_be_saved_and_restored),
		T(facts_cannot_be_written),
		T(cpuid_leaves_are_registers),
		T(msrs_have_names),
		T(privileges_of_the_guest_do_not_bind_the_parent),
		T(unknown_names_are_refused),
		T(no_name_does_harm),
		T(pending_events_are_kept),
		T(the_tsc_is_an_offset),
		T(what_is_computed_from_the_tsc_follows_it),
		T(apic_ids_are_unique),
		T(a_guest_has_no_hold_on_itself_that_is_its_parents),
		T(a_guest_names_no_vp_but_its_own),
		T(reserved_fields_are_zero),
		T(a_guest_starts_its_own_vp),
		T(a_bad_context_starts_nothing),
		T(starting_does_not_wait),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
