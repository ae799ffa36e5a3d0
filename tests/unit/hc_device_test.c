/* tlfs/hc_device.c: what the calls on domains of devices take and refuse. What they do is
 * hypervisor/iommu_device.c's. */
#include "tests/fake/parent.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "include/hv/device.h"
#include "include/hv/interrupt.h"
#include "tests/fake/devices.h"

#define RW     (HV_MAP_GPA_READABLE | HV_MAP_GPA_WRITABLE)
#define PCI    (1ull << 62)
#define DEVICE (PCI | 0x0218)

static struct partition *child;

static int setup(void **state)
{
	(void)state;
	fake_boot(1);
	fake_devices_reset();
	child = child_create(1);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	child_destroy(child);
	fake_shutdown();
	return 0;
}

static struct hv_input_device_domain named(uint32_t id)
{
	return (struct hv_input_device_domain){.partition_id = HV_PARTITION_ID_SELF,
					       .domain_id.id = id};
}

static uint64_t create(uint32_t id)
{
	struct hv_input_create_device_domain in = {.device_domain = named(id)};

	return call(root_vp(), HVCALL_CREATE_DEVICE_DOMAIN, &in, sizeof(in), NULL, 0);
}

static uint64_t delete(uint32_t id)
{
	struct hv_input_delete_device_domain in = {named(id)};

	return call(root_vp(), HVCALL_DELETE_DEVICE_DOMAIN, &in, sizeof(in), NULL, 0);
}

static uint64_t attach(uint32_t id, uint64_t device)
{
	struct hv_input_attach_device_domain in = {named(id), device};

	return call(root_vp(), HVCALL_ATTACH_DEVICE_DOMAIN, &in, sizeof(in), NULL, 0);
}

static uint64_t detach(uint64_t device)
{
	struct hv_input_detach_device_domain in = {HV_PARTITION_ID_SELF, device};

	return call(root_vp(), HVCALL_DETACH_DEVICE_DOMAIN, &in, sizeof(in), NULL, 0);
}

static uint64_t map(uint32_t id, uint64_t at, uint64_t gpn, uint32_t count, uint32_t flags)
{
	struct {
		struct hv_input_map_device_gpa_pages fixed;
		uint64_t list[400];
	} in = {.fixed = {.device_domain = named(id),
			  .map_flags = flags,
			  .target_device_va_base = at}};

	for (uint32_t i = 0; i < count; i++) {
		in.list[i] = gpn + i * (flags & HV_MAP_GPA_LARGE_PAGE ? 512 : 1);
	}
	return call(root_vp(), HVCALL_MAP_DEVICE_GPA_PAGES | REPS(count), &in,
		    sizeof(in.fixed) + count * 8, NULL, 0);
}

static uint64_t unmap(uint32_t id, uint64_t at, uint32_t count)
{
	struct hv_input_unmap_device_gpa_pages in = {named(id), at};

	return call(root_vp(), HVCALL_UNMAP_DEVICE_GPA_PAGES | REPS(count), &in, sizeof(in), NULL,
		    0);
}

static void capabilities_are_told(void **state)
{
	struct hv_input_get_iommu_capabilities in = {HV_PARTITION_ID_SELF, 0};
	struct hv_output_get_iommu_capabilities out;

	(void)state;
	assert_int_equal(
		call(root_vp(), HVCALL_GET_IOMMU_CAPABILITIES, &in, sizeof(in), &out, sizeof(out)),
		HV_STATUS_SUCCESS);
	assert_int_equal(out.size, 24);
	assert_int_equal(out.max_iova_width, 48);
	assert_int_equal(out.iommu_cap, HV_IOMMU_CAP_PRESENT | HV_IOMMU_CAP_S2);
	assert_int_equal(out.pgsize_bitmap, 0x201000);
	fake_device_width = 0;
	assert_int_equal(
		call(root_vp(), HVCALL_GET_IOMMU_CAPABILITIES, &in, sizeof(in), &out, sizeof(out)),
		HV_STATUS_SUCCESS);
	assert_int_equal(out.iommu_cap, 0);
	assert_int_equal(create(1), HV_STATUS_FEATURE_UNAVAILABLE);
	assert_int_equal(map(1, 0, 0, 1, RW), HV_STATUS_FEATURE_UNAVAILABLE);
	assert_int_equal(unmap(1, 0, 1), HV_STATUS_FEATURE_UNAVAILABLE);
	in.partition_id = child->id;
	assert_int_equal(
		call(root_vp(), HVCALL_GET_IOMMU_CAPABILITIES, &in, sizeof(in), &out, sizeof(out)),
		HV_STATUS_INVALID_PARTITION_ID);
	in.partition_id = HV_PARTITION_ID_SELF;
	assert_int_equal(call(child->vps[0], HVCALL_GET_IOMMU_CAPABILITIES, &in, sizeof(in), &out,
			      sizeof(out)),
			 HV_STATUS_ACCESS_DENIED);
}

static void domains_come_and_go(void **state)
{
	(void)state;
	assert_int_equal(create(7), HV_STATUS_SUCCESS);
	assert_int_equal(create(7), HV_STATUS_KEY_ALREADY_EXISTS);
	assert_int_equal(create(0), HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(create(HV_DEVICE_DOMAIN_ID_S2_NULL), HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(attach(8, DEVICE), HV_STATUS_NOT_FOUND);
	assert_int_equal(attach(7, DEVICE), HV_STATUS_SUCCESS);
	assert_int_equal(fake_domain_of(0x0218), 7);
	assert_int_equal(delete (7), HV_STATUS_OBJECT_IN_USE);
	assert_int_equal(detach(DEVICE), HV_STATUS_SUCCESS);
	assert_int_equal(fake_domain_of(0x0218), 0);
	assert_int_equal(delete (7), HV_STATUS_SUCCESS); /* in more than one step */
	assert_int_equal(delete (7), HV_STATUS_NOT_FOUND);
}

/* Only functions of segment 0, by their own requester id. */
static void devices_have_names(void **state)
{
	static const uint64_t wrong[] = {0x0218,
					 DEVICE | 1 << 16,
					 DEVICE | 1ull << 32,
					 DEVICE | 1ull << 40,
					 DEVICE | 1ull << 48,
					 DEVICE | 1ull << 50,
					 DEVICE | 1ull << 51,
					 2ull << 62 | 0x18,
					 3ull << 62 | 0x18};

	(void)state;
	assert_int_equal(create(1), HV_STATUS_SUCCESS);
	for (size_t i = 0; i < ARRAY_COUNT(wrong); i++) {
		assert_int_equal(attach(1, wrong[i]), HV_STATUS_INVALID_DEVICE_ID);
		assert_int_equal(detach(wrong[i]), HV_STATUS_INVALID_DEVICE_ID);
	}
}

static void pages_are_mapped_and_unmapped(void **state)
{
	uint64_t gpn;

	(void)state;
	assert_int_equal(create(1), HV_STATUS_SUCCESS);
	assert_int_equal(map(1, 0x5000, 1000, 150, HV_MAP_GPA_READABLE), /* three slices */
			 HV_STATUS_SUCCESS | REPS(150));
	assert_int_equal(fake_device_page(1, 5 + 149, &gpn), HV_MAP_GPA_READABLE);
	assert_int_equal(gpn, 1149);
	assert_int_equal(fake_device_page(1, 4, &gpn), 0);
	assert_int_equal(map(1, 512 << 12, 512, 2, RW | HV_MAP_GPA_LARGE_PAGE),
			 HV_STATUS_SUCCESS | REPS(2));
	assert_int_equal(fake_device_page(1, 1535, &gpn), RW | HV_MAP_GPA_LARGE_PAGE);
	assert_int_equal(gpn, 1535);
	/* The second of two cannot be. */
	assert_int_equal(map(1, (FAKE_DEVICE_PAGES - 1) << 12, 1, 2, RW),
			 HV_STATUS_ACCESS_DENIED | REPS(1));
	assert_int_equal(unmap(1, 0x5000, 149), HV_STATUS_SUCCESS | REPS(149));
	assert_int_equal(fake_device_page(1, 5 + 148, &gpn), 0);
	assert_int_equal(fake_device_page(1, 5 + 149, &gpn), HV_MAP_GPA_READABLE);
}

static void nonsense_is_refused(void **state)
{
	const uint64_t end = 1ull << 48;

	(void)state;
	assert_int_equal(create(1), HV_STATUS_SUCCESS);
	assert_int_equal(map(1, 0x5001, 0, 1, RW), HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(map(1, 0x5000, 0, 1, HV_MAP_GPA_WRITABLE), HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(map(1, 0x5000, 0, 1, RW | HV_MAP_GPA_EXECUTABLE),
			 HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(map(1, 0x5000, 0, 1, RW | HV_MAP_GPA_LARGE_PAGE),
			 HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(map(1, end, 0, 1, RW), HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(map(1, end - 0x1000, 0, 2, RW), HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(map(1, UINT64_MAX - 0xfff, 0, 2, RW), HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(unmap(1, UINT64_MAX - 0xfff, 2), HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(unmap(1, end - 0x1000, 2), HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(unmap(1, end - 0x1000, 1), HV_STATUS_SUCCESS | REPS(1));
	assert_int_equal(unmap(1, 1, 1), HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(map(2, 0, 0, 1, RW), HV_STATUS_NOT_FOUND);
}

/* ---- interrupts ---- */

#define MESSAGES 0xfee00000u

struct map_input {
	struct hv_input_map_device_interrupt fixed;
	uint64_t banks[4];
};

static struct map_input vector_at(uint32_t vector, uint64_t vp_mask)
{
	return (struct map_input){
		.fixed = {.partition_id = HV_PARTITION_ID_SELF,
			  .device_id = DEVICE,
			  .interrupt_descriptor = {
				  .vector_count = 1,
				  .target = {.vector = vector, .vp_mask = vp_mask}}}};
}

/* *number: what the device is to send. */
static uint64_t map_interrupt(const struct map_input *in, uint32_t banks, uint32_t *number)
{
	struct hv_output_map_device_interrupt out = {0};
	uint64_t status = call(root_vp(), HVCALL_MAP_DEVICE_INTERRUPT | VARHEAD(banks), in,
			       sizeof(in->fixed) + 8 * banks, &out, sizeof(out));

	if (status == HV_STATUS_SUCCESS) {
		assert_int_equal(out.interrupt_entry.source, HV_INTERRUPT_SOURCE_MSI);
		assert_int_equal(out.interrupt_entry.msi_entry.address.as_uint32, MESSAGES);
	}
	*number = out.interrupt_entry.msi_entry.data.as_uint32;
	return status;
}

static struct hv_interrupt_entry entry_of(uint32_t number)
{
	return (struct hv_interrupt_entry){
		.source = HV_INTERRUPT_SOURCE_MSI,
		.msi_entry = {.address.as_uint32 = MESSAGES, .data.as_uint32 = number}};
}

static uint64_t unmap_interrupt(uint64_t device, struct hv_interrupt_entry entry)
{
	struct hv_input_unmap_device_interrupt in = {.partition_id = HV_PARTITION_ID_SELF,
						     .device_id = device,
						     .interrupt_entry = entry};

	return call(root_vp(), HVCALL_UNMAP_DEVICE_INTERRUPT, &in, sizeof(in), NULL, 0);
}

static uint64_t retarget(struct hv_interrupt_entry entry, uint32_t vector, uint64_t vp_mask)
{
	struct hv_retarget_device_interrupt in = {
		.partition_id = HV_PARTITION_ID_SELF,
		.device_id = DEVICE,
		.int_entry = entry,
		.int_target = {.vector = vector, .vp_mask = vp_mask}};

	return call(root_vp(), HVCALL_RETARGET_INTERRUPT, &in, sizeof(in), NULL, 0);
}

static void interrupts_are_given_and_taken(void **state)
{
	struct map_input in = vector_at(0x31, 6);
	uint32_t number, second, vp_index;

	(void)state;
	assert_int_equal(map_interrupt(&in, 0, &number), HV_STATUS_NOT_FOUND);
	assert_int_equal(create(1), HV_STATUS_SUCCESS);
	assert_int_equal(attach(1, DEVICE), HV_STATUS_SUCCESS);
	assert_int_equal(map_interrupt(&in, 0, &number), HV_STATUS_SUCCESS);
	assert_int_equal(fake_device_interrupt(0x0218, number, &vp_index), 0x31);
	assert_int_equal(vp_index, 1);
	/* By a set: the second bank of two, VP 64 and 3. */
	in.fixed.interrupt_descriptor.target.flags = HV_DEVICE_INTERRUPT_TARGET_PROCESSOR_SET;
	in.fixed.interrupt_descriptor.target.vp_set.format = HV_GENERIC_SET_SPARSE_4K;
	in.fixed.interrupt_descriptor.target.vp_set.valid_bank_mask = 3;
	in.banks[1] = 8;
	assert_int_equal(map_interrupt(&in, 1, &second), HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(map_interrupt(&in, 2, &second), HV_STATUS_SUCCESS);
	assert_int_equal(fake_device_interrupt(0x0218, second, &vp_index), 0x31);
	assert_int_equal(vp_index, 67);
	assert_int_not_equal(second, number);
	assert_int_equal(map_interrupt(&in, 2, &second), HV_STATUS_NO_RESOURCES);
	assert_int_equal(retarget(entry_of(number), 0x32, 1), HV_STATUS_SUCCESS);
	assert_int_equal(fake_device_interrupt(0x0218, number, &vp_index), 0x32);
	assert_int_equal(vp_index, 0);
	assert_int_equal(unmap_interrupt(DEVICE + 1, entry_of(number)),
			 HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(unmap_interrupt(DEVICE, entry_of(number)), HV_STATUS_SUCCESS);
	assert_int_equal(unmap_interrupt(DEVICE, entry_of(number)), HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(retarget(entry_of(number), 0x32, 1), HV_STATUS_INVALID_PARAMETER);
}

/* What is no edge of a vector at a VP; what is no message of ours. */
static void other_interrupts_are_refused(void **state)
{
	struct map_input in[10];
	struct hv_interrupt_entry wrong[3] = {entry_of(0), entry_of(0), entry_of(0)};
	uint32_t number;

	(void)state;
	assert_int_equal(create(1), HV_STATUS_SUCCESS);
	assert_int_equal(attach(1, DEVICE), HV_STATUS_SUCCESS);
	for (size_t i = 0; i < ARRAY_COUNT(in); i++) {
		in[i] = vector_at(0x31, 1);
	}
	in[0].fixed.flags = 1;
	in[1].fixed.base_irt_idx = 1;
	in[2].fixed.interrupt_descriptor.reserved = 1;
	in[3].fixed.interrupt_descriptor.vector_count = 2;
	in[4].fixed.interrupt_descriptor.interrupt_type = HV_X64_INTERRUPT_TYPE_NMI;
	in[5].fixed.interrupt_descriptor.trigger_mode = HV_INTERRUPT_TRIGGER_MODE_LEVEL;
	in[6].fixed.interrupt_descriptor.target.vector = 15;
	in[7].fixed.interrupt_descriptor.target.vector = 256;
	in[8].fixed.interrupt_descriptor.target.vp_mask = 0;
	in[9].fixed.interrupt_descriptor.target.flags = HV_DEVICE_INTERRUPT_TARGET_PROCESSOR_SET;
	in[9].fixed.interrupt_descriptor.target.vp_set.format = 2;
	for (size_t i = 0; i < ARRAY_COUNT(in); i++) {
		assert_int_equal(map_interrupt(&in[i], 0, &number), HV_STATUS_INVALID_PARAMETER);
	}
	in[0] = vector_at(0x31, 1);
	in[0].fixed.partition_id = child->id;
	assert_int_equal(map_interrupt(&in[0], 0, &number), HV_STATUS_INVALID_PARTITION_ID);
	in[0] = vector_at(0x31, 1);
	in[0].fixed.device_id = DEVICE | 1 << 16;
	assert_int_equal(map_interrupt(&in[0], 0, &number), HV_STATUS_INVALID_DEVICE_ID);
	in[0] = vector_at(0x31, 1);
	assert_int_equal(map_interrupt(&in[0], 0, &number), HV_STATUS_SUCCESS);
	assert_int_equal(number, 0);
	wrong[0].source = HV_INTERRUPT_SOURCE_IOAPIC;
	wrong[1].reserved1 = 1;
	wrong[2].msi_entry.address.destination_id = 1;
	for (size_t i = 0; i < ARRAY_COUNT(wrong); i++) {
		assert_int_equal(unmap_interrupt(DEVICE, wrong[i]), HV_STATUS_INVALID_PARAMETER);
		assert_int_equal(retarget(wrong[i], 0x31, 1), HV_STATUS_INVALID_PARAMETER);
	}
	assert_int_equal(call(child->vps[0], HVCALL_MAP_DEVICE_INTERRUPT, &in[0],
			      sizeof(in[0].fixed), NULL, 0),
			 HV_STATUS_ACCESS_DENIED);
	fake_device_interrupts = false;
	assert_int_equal(map_interrupt(&in[0], 0, &number), HV_STATUS_FEATURE_UNAVAILABLE);
	assert_int_equal(unmap_interrupt(DEVICE, entry_of(0)), HV_STATUS_FEATURE_UNAVAILABLE);
	assert_int_equal(retarget(entry_of(0), 0x31, 1), HV_STATUS_FEATURE_UNAVAILABLE);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(capabilities_are_told),        TEST(domains_come_and_go),
		TEST(devices_have_names),           TEST(pages_are_mapped_and_unmapped),
		TEST(nonsense_is_refused),          TEST(interrupts_are_given_and_taken),
		TEST(other_interrupts_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
