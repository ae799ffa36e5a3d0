/*
 * Virtual PCI whose guest says anything at any time: raw packets, messages that are right but for
 * some bytes, and accesses of VPs to window and BARs. The hardware (tests/fake/vpci_function.c)
 * fails where it is told what cannot be, or what the guest must not tell it. The channel is this
 * file.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "include/vsp/vpci.h"
#include "tests/fake/lone_device.h"
#include "tests/fake/vpci_function.h"
#include "tests/fuzz/fuzz.h"
#include "vsp/device.h"
#include "vsp/pci/pci.h"

#define VPS    4u
#define WINDOW 0xf8100000u
#define BAR_0  0xf8200000u
#define BAR_2  0xf8300000u

static struct vpci *vpci;
static bool room;
static struct vpci_interrupt last; /* that was created */

/* ---- The channel ---- */

void vsp_answer(struct vsp_channel *vsp, struct vsp_answer *answer)
{
	struct vpci_create_answer created;

	(void)vsp;
	EXPECT(answer->bytes >= 4 && answer->bytes <= 64);
	if (answer->bytes == sizeof(created)) {
		memcpy(&created, answer->payload, sizeof(created));
		last = created.status == 0 ? created.interrupt : last;
	}
}

int channel_send(struct vmbus_channel *channel, uint64_t transaction, bool completion_requested,
		 const struct iovec *payload, unsigned int count)
{
	(void)channel;
	(void)transaction;
	EXPECT(count == 1 && !completion_requested && payload->iov_len >= 8);
	return room ? 0 : -EAGAIN;
}

/* ---- The guest ---- */

static void work(void)
{
	unsigned int i;

	for (i = 0; lone_channel != NULL && lone_device->class->channel->work(lone_channel); i++) {
		EXPECT(i < 10);
	}
}

static void closes(void)
{
	EXPECT(!lone_close() || (function.mapped == 0 && function.count == 0));
}

static void delivers(const void *bytes, size_t size, uint16_t type)
{
	uint64_t *copy = malloc(size + 1);
	struct vmbus_packet packet = {.type = type,
				      .completion_requested = true,
				      .payload = copy,
				      .payload_bytes = (uint32_t)size};

	EXPECT(copy != NULL);
	memcpy(copy, bytes, size);
	if (lone_channel != NULL && lone_device->class->channel->ready(lone_channel)) {
		lone_device->class->channel->packet(lone_channel, &packet);
	}
	free(copy);
}

/* As a guest says it, but for the bytes that the input changes: pairs of a place and a value. */
static void says(void *message, size_t bytes, const uint8_t *data, size_t size)
{
	for (; size >= 2; data += 2, size -= 2) {
		((uint8_t *)message)[data[0] % bytes] = data[1];
	}
	delivers(message, bytes, VM_PKT_DATA_INBAND);
}

static void starts(const uint8_t *data, size_t size)
{
	struct vpci_version_request version = {VPCI_QUERY_PROTOCOL_VERSION,
					       VPCI_VERSION(1, 1 + data[0] % 4)};
	struct vpci_d0_entry entry = {VPCI_BUS_D0ENTRY, 0, WINDOW};

	(void)lone_open();
	says(&version, sizeof(version), data, size > 8 ? 2 : 0);
	says(&entry, sizeof(entry), data + 1, size > 12 ? 2 : 0);
}

static void creates(const uint8_t *data, size_t size)
{
	struct vpci_create_interrupt one = {VPCI_CREATE_INTERRUPT_MESSAGE, 0, 0x40, 0, 1, 0, 3};
	struct vpci_create_interrupt2 two = {.type = VPCI_CREATE_INTERRUPT_MESSAGE2,
					     .vector = 0x41,
					     .count = 1,
					     .processor_count = 1};
	struct vpci_create_interrupt3 three = {.type = VPCI_CREATE_INTERRUPT_MESSAGE3,
					       .vector = 0x42,
					       .count = 1,
					       .processor_count = 1};
	struct vpci_delete_interrupt delete = {VPCI_DELETE_INTERRUPT_MESSAGE, 0, last};

	switch (data[0] % 4) {
	case 0:
		says(&one, sizeof(one), data + 1, size - 1);
		break;
	case 1:
		says(&two, sizeof(two), data + 1, size - 1);
		break;
	case 2:
		says(&three, sizeof(three), data + 1, size - 1);
		break;
	default:
		says(&delete, sizeof(delete), data + 1, size - 1);
		break;
	}
}

static uint64_t value_of(const uint8_t *data)
{
	static const uint64_t values[] = {0,      UINT64_MAX, BAR_0,      BAR_2,
					  WINDOW, 0x8000,     0xc0000000, 1};
	uint64_t value = values[data[0] % 8];

	if (data[0] & 0x80) {
		value = data[1] * 0x0101010101010101ull;
	} else if (data[0] & 0x40) {
		value = last.data;
	} else if (data[0] & 0x20) {
		value = last.address;
	}
	return value;
}

/* A VP's access: where, what. */
static void accesses(const uint8_t *data, size_t size)
{
	static const uint64_t places[] = {
		WINDOW, WINDOW + 0x1000, BAR_0, BAR_0 + FUNCTION_TABLE, BAR_0 + FUNCTION_PENDING,
		BAR_2};
	uint64_t gpa = places[data[0] % 6] + (data[1] | (uint64_t)(data[2] & 15) << 8);
	unsigned int bytes = data[3] % 8 + 1;
	uint64_t value = size > 6 ? value_of(data + 5) : 0;

	if (data[3] & 0x80) {
		bytes = 4;
		gpa &= ~3ull;
	}
	(void)vpci_access(vpci, gpa, bytes, data[4] & 1, &value);
}

static void places_bars(void)
{
	uint64_t bar_0 = BAR_0, bar_2 = BAR_2, command = 6;

	(void)vpci_access(vpci, WINDOW + 0x1010, 4, true, &bar_0);
	(void)vpci_access(vpci, WINDOW + 0x1018, 4, true, &bar_2);
	(void)vpci_access(vpci, WINDOW + 0x1004, 2, true, &command);
}

static void retargets(const uint8_t *data)
{
	const struct vpci_target target = {data[0] % 8, data[1], data[2] & 7};

	(void)!vpci_retarget(vpci, 0x10004b58, last.address + (data[3] & 1),
			     last.data + (data[3] >> 1), &target);
}

static void act(const uint8_t *data, size_t size)
{
	struct vpci_target target;

	switch (data[0] % 16) {
	case 0:
		(void)lone_open();
		break;
	case 1:
		if (data[1] % 4 == 0) {
			closes();
		}
		break;
	case 2:
		starts(data + 1, size - 1);
		places_bars();
		break;
	case 3:
	case 4:
		creates(data + 1, size - 1);
		break;
	case 5:
		room = data[1] & 1;
		function.result = data[1] & 2 ? -ENOSPC : 0;
		break;
	case 6:
		retargets(data + 1);
		break;
	case 7:
		if (data[1] < function.count) {
			(void)function_raise(data[1], &target);
		}
		break;
	case 8:
		delivers(data + 2, size - 2, data[1] & 1 ? VM_PKT_COMP : VM_PKT_DATA_INBAND);
		break;
	case 12:
		vpci_eject(vpci);
		break;
	case 13: {
		struct vpci_child complete = {VPCI_EJECTION_COMPLETE, 0};

		says(&complete, sizeof(complete), data + 1, data[1] & 1 ? 2 : 0);
		EXPECT(function.ejected <= 1);
		break;
	}
	case 14:
		if (data[1] % 8 == 0) {
			vpci_take(vpci);
			EXPECT(function.mapped == 0 && function.count == 0);
		}
		break;
	default:
		accesses(data + 1, size - 1);
		break;
	}
	work();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const struct vpci_config config = {.vps = VPS};
	uint8_t bytes[32];

	function_create();
	room = true;
	lone_channel = NULL;
	last = (struct vpci_interrupt){0};
	EXPECT(vpci_create(NULL, &function, &config, &vpci) == 0);
	while (size > 3) {
		size_t length = data[0] % 32 < size - 1 ? data[0] % 32 : size - 1;

		data++;
		size--;
		if (length >= 4) {
			memset(bytes, 0, sizeof(bytes));
			memcpy(bytes, data, length);
			act(bytes, length < 8 ? 8 : length);
		}
		data += length;
		size -= length;
	}
	closes();
	vpci_destroy(&vpci);
	EXPECT(function.released == 1);
	return 0;
}
