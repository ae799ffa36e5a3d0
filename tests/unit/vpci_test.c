/*
 * Virtual PCI against a guest that speaks as Linux's pci-hyperv does, and one that does not. The
 * test's thread is the control thread of VMBus, the guest and its VPs; the device has its own.
 */
#include "include/vsp/vpci.h"
#include "tests/fake/vmbus_guest.h"
#include "tests/fake/vpci_function.h"
#include "vsp/pci/pci.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define RING      8u
#define VPS       4u
#define PLACE     3u
#define DEVICE_ID 0x10034b58ull /* of the instance, as Linux makes it */
#define WINDOW    0xf8100000ull
#define BAR_0     0xf8200000u
#define BAR_2     0xf8300000u

#define UNTIL(condition) GUEST_UNTIL(guest_wait, condition)

static struct vpci *vpci;
static struct guest_channel channel;
static uint32_t relid, next_gpadl;
static uint64_t next_transaction = 100;

/* ---- The guest's side of the protocol ---- */

static struct guest_packet got;

static void tell(const void *message, uint32_t bytes)
{
	assert_true(guest_send(&channel, VM_PKT_DATA_INBAND, 0, 0, NULL, 0, message, bytes));
}

/* The answer's payload. */
static const void *ask(const void *message, uint32_t bytes)
{
	assert_true(guest_send(&channel, VM_PKT_DATA_INBAND, ++next_transaction,
			       VMBUS_DATA_PACKET_FLAG_COMPLETION_REQUESTED, NULL, 0, message,
			       bytes));
	UNTIL(guest_receive(&channel, &got));
	assert_int_equal(got.descriptor.type, VM_PKT_COMP);
	assert_true(got.descriptor.trans_id == next_transaction);
	return got.bytes + 16;
}

static uint32_t ask_status(const void *message, uint32_t bytes)
{
	uint32_t status;

	memcpy(&status, ask(message, bytes), sizeof(status));
	return status;
}

static uint32_t ask_version(uint32_t version)
{
	const struct vpci_version_request request = {VPCI_QUERY_PROTOCOL_VERSION, version};

	return ask_status(&request, sizeof(request));
}

static uint32_t enter_d0(uint64_t window)
{
	const struct vpci_d0_entry entry = {VPCI_BUS_D0ENTRY, 0, window};

	return ask_status(&entry, sizeof(entry));
}

static uint32_t exit_d0(void)
{
	const uint32_t type = VPCI_BUS_D0EXIT;

	return ask_status(&type, sizeof(type));
}

static void open_channel(void)
{
	assert_int_equal(guest_open(&channel, relid, ++next_gpadl, RING, 64, 0), 0);
}

static void close_channel(void)
{
	if (!guest_close(&channel)) {
		UNTIL(guest_take(CHANNELMSG_GPADL_TORNDOWN) != NULL);
	}
}

/* ---- Its VPs ---- */

static uint64_t load(uint64_t gpa, unsigned int size)
{
	uint64_t value = 0;

	assert_true(vpci_access(vpci, gpa, size, false, &value));
	return value & UINT64_MAX >> (64 - 8 * size);
}

static void store(uint64_t gpa, unsigned int size, uint64_t value)
{
	assert_true(vpci_access(vpci, gpa, size, true, &value));
}

static bool is_there(uint64_t gpa)
{
	uint64_t value = 0;

	return vpci_access(vpci, gpa, 4, false, &value);
}

static uint32_t config(uint32_t offset, unsigned int size)
{
	return (uint32_t)load(WINDOW + 0x1000 + offset, size);
}

static void set_config(uint32_t offset, unsigned int size, uint32_t value)
{
	store(WINDOW + 0x1000 + offset, size, value);
}

static void place_bars(void)
{
	set_config(0x10, 4, BAR_0);
	set_config(0x14, 4, 0);
	set_config(0x18, 4, BAR_2);
	set_config(0x04, 2, 6);
}

static struct vpci_interrupt create(uint8_t vector, uint16_t count, uint64_t processors)
{
	const struct vpci_create_interrupt message = {
		VPCI_CREATE_INTERRUPT_MESSAGE, 0, vector, 0, count, 0, processors};
	struct vpci_create_answer answer;

	memcpy(&answer, ask(&message, sizeof(message)), sizeof(answer));
	assert_int_equal(answer.status, 0);
	assert_int_equal(answer.interrupt.count, count);
	return answer.interrupt;
}

static void set_entry(unsigned int entry, const struct vpci_interrupt *interrupt, bool masked)
{
	uint64_t at = BAR_0 + FUNCTION_TABLE + entry * 16;

	store(at, 4, (uint32_t)interrupt->address);
	store(at + 4, 4, interrupt->address >> 32);
	store(at + 8, 4, interrupt->data);
	store(at + 12, 4, masked);
}

static int retarget(const struct vpci_interrupt *interrupt, uint32_t vp, uint8_t vector)
{
	const struct vpci_target target = {.vp = vp, .vector = vector};

	return vpci_retarget(vpci, DEVICE_ID, interrupt->address, interrupt->data, &target);
}

static void assert_goes(unsigned int number, uint32_t vp, uint8_t vector)
{
	struct vpci_target target;

	assert_true(function_raise(number, &target));
	assert_int_equal(target.vp, vp);
	assert_int_equal(target.vector, vector);
}

static void assert_kept(unsigned int number)
{
	struct vpci_target target;

	assert_false(function_raise(number, &target));
}

/* ---- The surroundings ---- */

/* Linux has the bus' number, and the device's for the hypervisor, from the instance. */
static void find_offer(void)
{
	const struct vmbus_channel_message_header request = {.msgtype = CHANNELMSG_REQUESTOFFERS};
	const struct vmbus_guid type = VMBUS_GUID_PCI;
	const struct vmbus_channel_offer_channel *offer;
	const uint8_t *bytes;

	assert_int_equal(guest_post(&request, sizeof(request)), 0);
	offer = guest_take(CHANNELMSG_OFFERCHANNEL);
	assert_non_null(offer);
	assert_memory_equal(&offer->offer.if_type, &type, sizeof(type));
	bytes = (const uint8_t *)&offer->offer.if_instance;
	assert_int_equal((uint32_t)bytes[5] << 24 | (uint32_t)bytes[4] << 16 |
				 (uint32_t)bytes[7] << 8 | (bytes[6] & 0xf8u),
			 DEVICE_ID);
	relid = offer->child_relid;
	assert_non_null(guest_take(CHANNELMSG_ALLOFFERS_DELIVERED));
}

static int set_up(void **state)
{
	const struct vpci_config it = {.place = PLACE, .vps = VPS, .serial = 7};

	(void)state;
	function_create();
	guest_create();
	assert_int_equal(vpci_create(guest.bus, &function, &it, &vpci), 0);
	assert_true(guest_contact(VERSION_WIN10_V5_3));
	find_offer();
	open_channel();
	return 0;
}

static int tear_down(void **state)
{
	(void)state;
	vpci_destroy(&vpci);
	guest_destroy();
	assert_int_equal(function.released, 1);
	assert_int_equal(function.mapped, 0);
	assert_int_equal(function.count, 0);
	return 0;
}

static int set_up_on(void **state)
{
	set_up(state);
	assert_int_equal(ask_version(VPCI_VERSION_1_4), 0);
	assert_int_equal(enter_d0(WINDOW), 0);
	return 0;
}

/* ---- Tests ---- */

static void test_version(void **state)
{
	const uint32_t query = VPCI_QUERY_BUS_RELATIONS;

	(void)state;
	assert_int_equal(ask_status(&query, sizeof(query)), VPCI_STATUS_INVALID_DEVICE_STATE);
	assert_int_equal(ask_version(VPCI_VERSION(1, 5)), VPCI_STATUS_REVISION_MISMATCH);
	assert_int_equal(ask_version(VPCI_VERSION(1, 0)), VPCI_STATUS_REVISION_MISMATCH);
	assert_int_equal(ask_version(VPCI_VERSION_1_1), 0);
	assert_int_equal(ask_version(VPCI_VERSION_1_4), 0);
}

static void test_relations(void **state)
{
	const uint32_t query = VPCI_QUERY_BUS_RELATIONS;
	const struct vpci_child requirements = {VPCI_QUERY_RESOURCE_REQUIREMENTS, 0};
	const struct vpci_child other = {VPCI_QUERY_RESOURCE_REQUIREMENTS, 1};
	struct vpci_function_description description;
	struct vpci_requirements bars;
	uint32_t head[2];

	(void)state;
	assert_int_equal(ask_version(VPCI_VERSION_1_2), 0);
	tell(&query, sizeof(query));
	UNTIL(guest_receive(&channel, &got));
	assert_int_equal(got.descriptor.type, VM_PKT_DATA_INBAND);
	memcpy(head, got.bytes + 16, sizeof(head));
	memcpy(&description, got.bytes + 24, sizeof(description));
	assert_int_equal(head[0], VPCI_BUS_RELATIONS);
	assert_int_equal(head[1], 1);
	assert_int_equal(description.vendor, 0x8086);
	assert_int_equal(description.device, 0x1234);
	assert_int_equal(description.base_class, 2);
	assert_int_equal(description.revision, 3);
	assert_int_equal(description.subsystem, 0x56781af4);
	assert_int_equal(description.slot, 0);
	assert_int_equal(description.serial, 7);

	assert_int_equal(ask_version(VPCI_VERSION_1_3), 0);
	tell(&query, sizeof(query));
	UNTIL(guest_receive(&channel, &got));
	memcpy(head, got.bytes + 16, sizeof(head));
	assert_int_equal(head[0], VPCI_BUS_RELATIONS2);
	assert_int_equal(got.descriptor.len8 * 8, 16 + 40); /* 28 bytes, and what comes before */

	memcpy(&bars, ask(&requirements, sizeof(requirements)), sizeof(bars));
	assert_int_equal(bars.status, 0);
	assert_int_equal(bars.bars[0], 0xffffc000);
	assert_int_equal(bars.bars[1], 0);
	assert_int_equal(bars.bars[2], 0xffffff00);
	assert_int_equal(bars.bars[3], 0);
	assert_int_equal(ask_status(&other, sizeof(other)), VPCI_STATUS_INVALID_PARAMETER);
}

static void test_d0(void **state)
{
	const struct vpci_child resources = {VPCI_RESOURCES_ASSIGNED2, 0};

	(void)state;
	assert_int_equal(enter_d0(WINDOW), VPCI_STATUS_INVALID_DEVICE_STATE);
	assert_int_equal(ask_version(VPCI_VERSION_1_4), 0);
	assert_int_equal(ask_status(&resources, sizeof(resources)),
			 VPCI_STATUS_INVALID_DEVICE_STATE);
	assert_false(is_there(WINDOW));
	assert_int_equal(enter_d0(WINDOW + 8), VPCI_STATUS_INVALID_PARAMETER);
	assert_int_equal(enter_d0(0x100000), VPCI_STATUS_INVALID_PARAMETER);
	assert_int_equal(enter_d0(FUNCTION_END - 0x1000), VPCI_STATUS_INVALID_PARAMETER);
	assert_int_equal(enter_d0(WINDOW), 0);
	assert_int_equal(ask_status(&resources, sizeof(resources)), 0);
	assert_true(is_there(WINDOW) && is_there(WINDOW + 0x1ffc) && !is_there(WINDOW + 0x2000));
	place_bars();
	assert_true(function.mapped == BAR_0);
	assert_int_equal(exit_d0(), 0);
	assert_false(is_there(WINDOW));
	assert_false(is_there(BAR_2));
	assert_int_equal(function.mapped, 0);
	assert_int_equal(function.resets, 1);
}

static void test_config(void **state)
{
	(void)state;
	assert_int_equal(config(0, 4), 0x12348086);
	assert_int_equal(config(2, 2), 0x1234);
	assert_int_equal(config(3, 1), 0x12);
	assert_int_equal(config(0x0e, 1), 0); /* one function */
	assert_int_equal(config(0x30, 4), 0); /* no ROM */
	assert_int_equal(config(0x3c, 2), 0); /* no INTx */
	assert_int_equal(config(0x100, 4), 0x14810001);
	assert_int_equal(config(0x40, 4), 0x00035001);
	/* Another slot has nothing. */
	store(WINDOW, 4, 8);
	assert_int_equal(config(0, 4), 0xffffffff);
	set_config(0x04, 2, 7);
	store(WINDOW, 4, 0);
	assert_int_equal(config(0x04, 2), 0);
	/* Ports are never enabled. */
	set_config(0x04, 1, 7);
	assert_int_equal(config(0x04, 2), 6);
	set_config(0x3c, 1, 5);
	set_config(0x30, 4, UINT32_MAX);
	assert_int_equal(config(0x3c, 1), 0);
	assert_int_equal(config(0x30, 4), 0);
	/* Nothing is as wide as that. */
	assert_true(load(WINDOW + 0x1000, 8) == UINT64_MAX);
	assert_true(load(WINDOW + 0x1001, 2) == 0xffff);
}

static void test_bars(void **state)
{
	(void)state;
	set_config(0x10, 4, UINT32_MAX);
	set_config(0x14, 4, UINT32_MAX);
	set_config(0x18, 4, UINT32_MAX);
	set_config(0x1c, 4, UINT32_MAX);
	assert_int_equal(config(0x10, 4), 0xffffc000);
	assert_int_equal(config(0x14, 4), 0);
	assert_int_equal(config(0x18, 4), 0xffffff00);
	assert_int_equal(config(0x1c, 4), 0);
	/* Enabled where nothing may be. */
	set_config(0x04, 2, 2);
	assert_int_equal(function.mapped, 0);
	assert_false(is_there(0xffffc000));
	set_config(0x10, 4, 0x100000);
	assert_false(is_there(0x100000));
	/* It moves while it is enabled. */
	place_bars();
	assert_true(function.mapped == BAR_0);
	set_config(0x10, 4, BAR_0 + 0x4000);
	assert_true(function.mapped == BAR_0 + 0x4000);
	set_config(0x10, 4, BAR_0);
	/* What is not mapped comes here. */
	store(BAR_0 + 0x10, 4, 0xabcdef01);
	assert_int_equal(load(BAR_0 + 0x11, 2), 0xcdef);
	store(BAR_2 + 0xf8, 8, 0x1122334455667788);
	assert_true(load(BAR_2 + 0xf8, 8) == 0x1122334455667788);
	assert_false(is_there(BAR_2 + 0xfe)); /* beyond its end */
	assert_false(is_there(BAR_2 - 4));
	set_config(0x04, 2, 4);
	assert_int_equal(function.mapped, 0);
	assert_false(is_there(BAR_2));
}

static void test_msix(void **state)
{
	struct vpci_interrupt a, b;

	(void)state;
	place_bars();
	set_config(FUNCTION_MSIX + 2, 2, 0xc000);
	assert_int_equal(config(FUNCTION_MSIX + 2, 2), 0xc000 | (FUNCTION_ENTRIES - 1));
	assert_int_equal(function.count, 0);
	a = create(0x41, 1, 2);
	b = create(0x52, 1, 12);
	set_entry(0, &a, false);
	set_entry(5, &b, true);
	assert_int_equal(function.count, 0); /* all are masked */
	set_config(FUNCTION_MSIX + 2, 2, 0x8000);
	assert_int_equal(function.kind, VPCI_MSIX);
	assert_int_equal(function.count, 6);
	assert_goes(0, 1, 0x41);
	assert_kept(1); /* it has no message */
	assert_kept(5);
	assert_int_equal(load(BAR_0 + FUNCTION_PENDING, 8), 1 << 5 | 1 << 1);
	store(BAR_0 + FUNCTION_TABLE + 5 * 16 + 12, 4, 0);
	assert_goes(5, 2, 0x52);
	assert_int_equal(load(BAR_0 + FUNCTION_PENDING, 8), 1 << 1);

	/* Read back; what is not a whole word is not written. */
	assert_int_equal(load(BAR_0 + FUNCTION_TABLE + 5 * 16 + 8, 4), b.data);
	store(BAR_0 + FUNCTION_TABLE + 8, 2, 0xffff);
	store(BAR_0 + FUNCTION_TABLE + 6, 4, 0xffff);
	assert_goes(0, 1, 0x41);

	/* It goes elsewhere, also while it is masked. */
	assert_int_equal(retarget(&a, 3, 0x77), 0);
	assert_goes(0, 3, 0x77);
	store(BAR_0 + FUNCTION_TABLE + 12, 4, 1);
	assert_int_equal(retarget(&a, 0, 0x78), 0);
	assert_kept(0);
	store(BAR_0 + FUNCTION_TABLE + 12, 4, 0);
	assert_goes(0, 0, 0x78);

	/* A higher one comes later. */
	set_entry(20, &b, false);
	assert_int_equal(function.count, 21);
	assert_goes(20, 2, 0x52);
	assert_goes(0, 0, 0x78);
	set_config(FUNCTION_MSIX + 2, 2, 0);
	assert_int_equal(function.count, 0);
}

static void test_messages(void **state)
{
	struct vpci_interrupt a = create(0x41, 1, 1), none = a;
	struct vpci_delete_interrupt delete = {VPCI_DELETE_INTERRUPT_MESSAGE, 0, a};
	const struct vpci_target target = {.vp = 1, .vector = 0x41};
	const struct vpci_target mode = {.vp = 1, .vector = 0x41, .mode = 4};

	(void)state;
	assert_int_equal(retarget(&a, VPS, 0x41), -EINVAL);
	assert_int_equal(retarget(&a, 1, 3), -EINVAL); /* an exception's vector */
	assert_int_equal(vpci_retarget(vpci, DEVICE_ID, a.address, a.data, &mode), -EINVAL);
	assert_int_equal(vpci_retarget(vpci, DEVICE_ID + 1, a.address, a.data, &target), -ENODEV);
	none.data = 1000;
	assert_int_equal(retarget(&none, 1, 0x41), -EINVAL);
	none.data = UINT32_MAX;
	assert_int_equal(retarget(&none, 1, 0x41), -EINVAL);
	none = a;
	none.address = 0xfee01000;
	assert_int_equal(retarget(&none, 1, 0x41), -EINVAL);

	place_bars();
	set_entry(1, &a, false);
	set_config(FUNCTION_MSIX + 2, 2, 0x8000);
	assert_goes(1, 0, 0x41);
	assert_int_equal(ask_status(&delete, sizeof(delete)), 0);
	assert_kept(1);
	assert_int_equal(retarget(&a, 1, 0x41), -EINVAL);
	assert_int_equal(ask_status(&delete, sizeof(delete)), 0); /* there is none */
}

/* Each form, and what is refused of it. */
static void test_forms(void **state)
{
	struct vpci_create_interrupt one = {
		.type = VPCI_CREATE_INTERRUPT_MESSAGE, .vector = 0x50, .count = 1};
	struct vpci_create_interrupt2 two = {.type = VPCI_CREATE_INTERRUPT_MESSAGE2,
					     .vector = 0x50,
					     .count = 1,
					     .processor_count = 1,
					     .processors = {2}};
	struct vpci_create_interrupt3 three = {.type = VPCI_CREATE_INTERRUPT_MESSAGE3,
					       .vector = 0x50,
					       .count = 1,
					       .processor_count = 2,
					       .processors = {3, 1}};

	(void)state;
	assert_int_equal(ask_status(&one, sizeof(one)), VPCI_STATUS_INVALID_PARAMETER);
	one.processors = 1ull << VPS;
	assert_int_equal(ask_status(&one, sizeof(one)), VPCI_STATUS_INVALID_PARAMETER);
	one.processors = 1;
	one.vector = 15;
	assert_int_equal(ask_status(&one, sizeof(one)), VPCI_STATUS_INVALID_PARAMETER);
	one.vector = 0xf8;
	one.count = 9;
	assert_int_equal(ask_status(&one, sizeof(one)), VPCI_STATUS_INVALID_PARAMETER);
	one.count = 0;
	assert_int_equal(ask_status(&one, sizeof(one)), VPCI_STATUS_INVALID_PARAMETER);
	one.count = 8;
	one.slot = 1;
	assert_int_equal(ask_status(&one, sizeof(one)), VPCI_STATUS_INVALID_PARAMETER);
	one.slot = 0;
	one.mode = 2;
	assert_int_equal(ask_status(&one, sizeof(one)), VPCI_STATUS_INVALID_PARAMETER);
	one.mode = 1;
	assert_int_equal(ask_status(&one, sizeof(one)), 0);
	assert_int_equal(ask_status(&one, sizeof(one) - 8), VPCI_STATUS_INVALID_PARAMETER);
	assert_int_equal(ask_status(&two, sizeof(two)), 0);
	two.processor_count = 0;
	assert_int_equal(ask_status(&two, sizeof(two)), VPCI_STATUS_INVALID_PARAMETER);
	assert_int_equal(ask_status(&three, sizeof(three)), 0);
	three.vector = 0x150;
	assert_int_equal(ask_status(&three, sizeof(three)), VPCI_STATUS_INVALID_PARAMETER);
	three.type = 0x42490012;
	assert_int_equal(ask_status(&three, sizeof(three)), VPCI_STATUS_NOT_SUPPORTED);
}

static void test_messages_end(void **state)
{
	const struct vpci_create_interrupt one = {
		VPCI_CREATE_INTERRUPT_MESSAGE, 0, 0x50, 0, 32, 0, 1};
	unsigned int count = 0;

	(void)state;
	while (ask_status(&one, sizeof(one)) == 0) {
		count++;
		assert_true(count < 100);
	}
	assert_int_equal(count, 31);
	assert_int_equal(ask_status(&one, sizeof(one)), VPCI_STATUS_INSUFFICIENT_RESOURCES);
	/* A new kernel has them all. */
	assert_int_equal(exit_d0(), 0);
	assert_int_equal(enter_d0(WINDOW), 0);
	assert_int_equal(ask_status(&one, sizeof(one)), 0);
}

static void test_msi(void **state)
{
	struct vpci_interrupt a = create(0x60, 4, 4);

	(void)state;
	assert_int_equal(a.data % 4, 0);
	assert_int_equal(config(FUNCTION_MSI + 2, 2), 0x0184);
	set_config(FUNCTION_MSI + 4, 4, (uint32_t)a.address);
	set_config(FUNCTION_MSI + 8, 4, (uint32_t)(a.address >> 32));
	set_config(FUNCTION_MSI + 12, 2, a.data);
	set_config(FUNCTION_MSI + 2, 2, 0x0001 | 7 << 4); /* more than there are */
	assert_int_equal(config(FUNCTION_MSI + 2, 2), 0x01a5);
	assert_int_equal(function.kind, VPCI_MSI);
	assert_int_equal(function.count, 4);
	assert_goes(0, 2, 0x60);
	assert_goes(3, 2, 0x63);
	set_config(FUNCTION_MSI + 16, 4, 1 << 3);
	assert_kept(3);
	assert_int_equal(config(FUNCTION_MSI + 20, 4), 1 << 3);
	set_config(FUNCTION_MSI + 16, 4, 0);
	assert_goes(3, 2, 0x63);
	a.data += 3;
	assert_int_equal(retarget(&a, 1, 0x71), 0);
	assert_goes(3, 1, 0x71);
	assert_goes(2, 2, 0x62);
	set_config(FUNCTION_MSI + 2, 2, 0);
	assert_int_equal(function.count, 0);
}

/* The hardware does not give them. */
static void test_no_interrupts(void **state)
{
	struct vpci_interrupt a = create(0x41, 1, 1);

	(void)state;
	function.result = -ENOSPC;
	place_bars();
	set_entry(0, &a, false);
	set_config(FUNCTION_MSIX + 2, 2, 0x8000);
	assert_int_equal(function.count, 0);
	function.result = 0;
	store(BAR_0 + FUNCTION_TABLE + 12, 4, 0);
	assert_int_equal(function.count, 1);
}

/* ---- It is taken away ---- */

static const struct vpci_child complete = {VPCI_EJECTION_COMPLETE, 0};

static void expect_eject(void)
{
	struct vpci_child message;

	UNTIL(guest_receive(&channel, &got));
	assert_int_equal(got.descriptor.type, VM_PKT_DATA_INBAND);
	memcpy(&message, got.bytes + 16, sizeof(message));
	assert_int_equal(message.type, VPCI_EJECT);
	assert_int_equal(message.slot, 0);
}

static void test_eject(void **state)
{
	const struct vpci_child other = {VPCI_EJECTION_COMPLETE, 1};

	(void)state;
	place_bars();
	/* Nobody has asked. */
	assert_int_equal(ask_status(&complete, sizeof(complete)), VPCI_STATUS_INVALID_DEVICE_STATE);
	vpci_eject(vpci);
	expect_eject();
	assert_int_equal(ask_status(&other, sizeof(other)), VPCI_STATUS_INVALID_PARAMETER);
	assert_int_equal(function.ejected, 0);
	/* It is the guest's until it has said so: its driver has to quiet it. */
	assert_true(function.mapped == BAR_0);
	tell(&complete, sizeof(complete));
	assert_int_equal(ask_status(&complete, sizeof(complete)), VPCI_STATUS_INVALID_DEVICE_STATE);
	assert_int_equal(function.ejected, 1);
	vpci_eject(vpci); /* once is enough */
	assert_int_equal(exit_d0(), 0);
	assert_int_equal(function.ejected, 1);
}

/* A guest that gives up the bus has let go of what is on it. */
static void test_eject_d0_exit(void **state)
{
	(void)state;
	vpci_eject(vpci);
	expect_eject();
	assert_int_equal(exit_d0(), 0);
	assert_int_equal(function.ejected, 1);
	assert_int_equal(enter_d0(WINDOW), 0);
	assert_int_equal(ask_status(&complete, sizeof(complete)), VPCI_STATUS_INVALID_DEVICE_STATE);
	assert_int_equal(function.ejected, 1);
}

static void test_eject_close(void **state)
{
	(void)state;
	vpci_eject(vpci);
	close_channel();
	UNTIL(function.ejected == 1);
}

/* There is nobody to be asked. */
static void test_eject_unused(void **state)
{
	(void)state;
	assert_int_equal(ask_version(VPCI_VERSION_1_4), 0);
	vpci_eject(vpci);
	assert_int_equal(function.ejected, 1);
}

/* By force, with interrupts under way; what the guest says after that comes to nothing. */
static void test_take(void **state)
{
	const uint32_t query = VPCI_QUERY_BUS_RELATIONS;
	struct vpci_interrupt a = create(0x41, 1, 1);
	unsigned int writes;

	(void)state;
	place_bars();
	set_entry(0, &a, false);
	set_config(FUNCTION_MSIX + 2, 2, 0x8000);
	assert_goes(0, 0, 0x41);
	vpci_eject(vpci);
	expect_eject();
	vpci_take(vpci);
	assert_int_equal(function.ejected, 1);
	assert_int_equal(function.mapped, 0);
	assert_int_equal(function.count, 0);
	assert_int_equal(function.resets, 1);
	writes = function.writes;
	assert_false(is_there(WINDOW));
	assert_false(is_there(BAR_2));
	assert_int_equal(retarget(&a, 1, 0x41), -EINVAL);
	assert_int_equal(ask_version(VPCI_VERSION_1_4), VPCI_STATUS_INVALID_DEVICE_STATE);
	assert_int_equal(enter_d0(WINDOW), VPCI_STATUS_INVALID_DEVICE_STATE);
	assert_int_equal(ask_status(&query, sizeof(query)), VPCI_STATUS_INVALID_DEVICE_STATE);
	assert_int_equal(ask_status(&complete, sizeof(complete)), VPCI_STATUS_INVALID_DEVICE_STATE);
	close_channel();
	open_channel();
	assert_int_equal(ask_version(VPCI_VERSION_1_4), VPCI_STATUS_INVALID_DEVICE_STATE);
	assert_int_equal(function.writes, writes);
	assert_int_equal(function.resets, 1);
}

/* The guest has not read for long: EJECT waits for room, and then comes once. */
static void test_eject_waits(void **state)
{
	const uint32_t query = VPCI_QUERY_BUS_RELATIONS;
	unsigned int ejects = 0, relations = 0, i;
	uint32_t type;

	(void)state;
	for (i = 0; i < 2000; i++) {
		if (!guest_send(&channel, VM_PKT_DATA_INBAND, 0, 0, NULL, 0, &query,
				sizeof(query))) {
			break;
		}
		guest_wait();
	}
	vpci_eject(vpci);
	for (i = 0; i < 200 && (ejects == 0 || i < 20); guest_wait(), i++) {
		while (guest_receive(&channel, &got)) {
			memcpy(&type, got.bytes + 16, sizeof(type));
			relations += type == VPCI_BUS_RELATIONS2;
			ejects += type == VPCI_EJECT;
		}
	}
	assert_true(relations > 100);
	assert_int_equal(ejects, 1);
}

/* Each version, and what is its own. */
static void test_versions(void **state)
{
	static const uint32_t versions[] = {VPCI_VERSION_1_1, VPCI_VERSION_1_2, VPCI_VERSION_1_3,
					    VPCI_VERSION_1_4};
	const uint32_t query = VPCI_QUERY_BUS_RELATIONS;
	struct vpci_interrupt a;
	unsigned int i;
	uint32_t type;

	(void)state;
	for (i = 0; i < ARRAY_COUNT(versions); i++) {
		assert_int_equal(ask_version(versions[i]), 0);
		tell(&query, sizeof(query));
		UNTIL(guest_receive(&channel, &got));
		memcpy(&type, got.bytes + 16, sizeof(type));
		assert_int_equal(type, versions[i] >= VPCI_VERSION_1_3 ? VPCI_BUS_RELATIONS2
								       : VPCI_BUS_RELATIONS);
		assert_int_equal(enter_d0(WINDOW), 0);
		place_bars();
		a = create(0x41, 1, 1);
		set_entry(0, &a, false);
		set_config(FUNCTION_MSIX + 2, 2, 0x8000);
		assert_goes(0, 0, 0x41);
		assert_int_equal(exit_d0(), 0);
		close_channel();
		open_channel();
	}
}

static void test_close(void **state)
{
	struct vpci_interrupt a = create(0x41, 1, 1);

	(void)state;
	place_bars();
	set_entry(0, &a, false);
	set_config(FUNCTION_MSIX + 2, 2, 0x8000);
	assert_goes(0, 0, 0x41);
	close_channel();
	assert_int_equal(function.mapped, 0);
	assert_int_equal(function.count, 0);
	assert_int_equal(function.resets, 1);
	assert_false(is_there(BAR_2));
	/* And again, from the beginning. */
	open_channel();
	assert_int_equal(enter_d0(WINDOW), VPCI_STATUS_INVALID_DEVICE_STATE);
	assert_int_equal(ask_version(VPCI_VERSION_1_4), 0);
	assert_int_equal(enter_d0(WINDOW), 0);
	assert_int_equal(config(0x10, 4), 0);
	assert_int_equal(config(FUNCTION_MSIX + 2, 2), FUNCTION_ENTRIES - 1);
}

/* Hardware that no guest can have. */
static void test_refused(void **state)
{
	const struct vpci_config it = {.place = PLACE + 1, .vps = VPS};
	static struct vpci_function other;
	struct vpci *refused;

	(void)state;
	other = function;
	other.config[FUNCTION_MSIX + 4] = 6; /* there is no such BAR */
	assert_int_equal(vpci_create(guest.bus, &other, &it, &refused), -ENOTSUP);
	other.config[FUNCTION_MSIX + 4] = 2; /* it is not as large */
	assert_int_equal(vpci_create(guest.bus, &other, &it, &refused), -ENOTSUP);
	other.config[0x34] = 0x40;
	other.config[0x41] = 0x40; /* a list without an end, and no MSI in it */
	assert_int_equal(vpci_create(guest.bus, &other, &it, &refused), -ENOTSUP);
	other.config[0x06] = 0;
	assert_int_equal(vpci_create(guest.bus, &other, &it, &refused), -ENOTSUP);
}

/* Its place is taken; the function is the caller's still. */
static void test_not_offered(void **state)
{
	const struct vpci_config it = {.place = PLACE, .vps = VPS};
	static struct vpci_function other;
	struct vpci *refused;

	(void)state;
	other = function;
	assert_int_equal(vpci_create(guest.bus, &other, &it, &refused), -EEXIST);
	assert_int_equal(other.released, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_version, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_relations, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_d0, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_config, set_up_on, tear_down),
		cmocka_unit_test_setup_teardown(test_bars, set_up_on, tear_down),
		cmocka_unit_test_setup_teardown(test_msix, set_up_on, tear_down),
		cmocka_unit_test_setup_teardown(test_messages, set_up_on, tear_down),
		cmocka_unit_test_setup_teardown(test_forms, set_up_on, tear_down),
		cmocka_unit_test_setup_teardown(test_messages_end, set_up_on, tear_down),
		cmocka_unit_test_setup_teardown(test_msi, set_up_on, tear_down),
		cmocka_unit_test_setup_teardown(test_no_interrupts, set_up_on, tear_down),
		cmocka_unit_test_setup_teardown(test_close, set_up_on, tear_down),
		cmocka_unit_test_setup_teardown(test_eject, set_up_on, tear_down),
		cmocka_unit_test_setup_teardown(test_eject_d0_exit, set_up_on, tear_down),
		cmocka_unit_test_setup_teardown(test_eject_close, set_up_on, tear_down),
		cmocka_unit_test_setup_teardown(test_eject_unused, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_eject_waits, set_up_on, tear_down),
		cmocka_unit_test_setup_teardown(test_take, set_up_on, tear_down),
		cmocka_unit_test_setup_teardown(test_versions, set_up, tear_down),
		cmocka_unit_test_setup_teardown(test_refused, set_up_on, tear_down),
		cmocka_unit_test_setup_teardown(test_not_offered, set_up_on, tear_down),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
