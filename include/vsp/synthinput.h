/*
 * Keyboard and mouse over VMBus, as Linux's hyperv-keyboard and hid-hyperv speak to them: in-band
 * packets of channels with VMBUS_GUID_KEYBOARD and VMBUS_GUID_MOUSE. Little-endian, packed. Names
 * as in drivers/input/serio/hyperv-keyboard.c and drivers/hid/hid-hyperv.c.
 *
 * Keyboard: the guest sends PROTOCOL_REQUEST, the host PROTOCOL_RESPONSE, then an EVENT for each
 * key that is pressed or released. Mouse: the same two, then the host sends INITIAL_DEVICE_INFO,
 * the guest its ACK, and the host an INPUT_REPORT for each move. All of it has the header of a pipe
 * in front.
 */
#ifndef VSP_SYNTHINPUT_H
#define VSP_SYNTHINPUT_H

#include <assert.h>
#include <stdint.h>

#define SYNTH_PACKED __attribute__((packed))

/* ---- Keyboard ---- */

enum synth_kbd_msg_type {
	SYNTH_KBD_PROTOCOL_REQUEST = 1,
	SYNTH_KBD_PROTOCOL_RESPONSE = 2,
	SYNTH_KBD_EVENT = 3,
	SYNTH_KBD_LED_INDICATORS = 4,
};

#define SYNTH_KBD_VERSION_MAJOR(version) ((version) >> 16) /* 1 */

struct synth_kbd_protocol_request {
	uint32_t type;
	uint32_t version;
} SYNTH_PACKED;
static_assert(sizeof(struct synth_kbd_protocol_request) == 8, "synth_kbd_protocol_request");

#define SYNTH_KBD_ACCEPTED 1u

struct synth_kbd_protocol_response {
	uint32_t type;
	uint32_t proto_status;
} SYNTH_PACKED;
static_assert(sizeof(struct synth_kbd_protocol_response) == 8, "synth_kbd_protocol_response");

#define SYNTH_KBD_IS_UNICODE 1u
#define SYNTH_KBD_IS_BREAK   2u /* released */
#define SYNTH_KBD_IS_E0      4u
#define SYNTH_KBD_IS_E1      8u

struct synth_kbd_keystroke {
	uint32_t type;
	uint16_t make_code; /* set 1 */
	uint16_t reserved;
	uint32_t info; /* SYNTH_KBD_IS_* */
} SYNTH_PACKED;
static_assert(sizeof(struct synth_kbd_keystroke) == 12, "synth_kbd_keystroke");

/* ---- Mouse ---- */

#define SYNTH_PIPE_DATA 1u

enum synth_hid_msg_type {
	SYNTH_HID_PROTOCOL_REQUEST,
	SYNTH_HID_PROTOCOL_RESPONSE,
	SYNTH_HID_INITIAL_DEVICE_INFO,
	SYNTH_HID_INITIAL_DEVICE_INFO_ACK,
	SYNTH_HID_INPUT_REPORT,
};

/* Of each message. */
struct synth_hid_header {
	uint32_t pipe_type; /* SYNTH_PIPE_DATA */
	uint32_t pipe_size; /* of what follows this word */
	uint32_t type;
	uint32_t size; /* of what follows this header */
} SYNTH_PACKED;
static_assert(sizeof(struct synth_hid_header) == 16, "synth_hid_header");

#define SYNTH_HID_VERSION_MAJOR(version) ((version) >> 16) /* 2 */

struct synth_hid_protocol_request {
	struct synth_hid_header header;
	uint32_t version;
} SYNTH_PACKED;
static_assert(sizeof(struct synth_hid_protocol_request) == 20, "synth_hid_protocol_request");

struct synth_hid_protocol_response {
	struct synth_hid_header header;
	uint32_t version;
	uint8_t approved;
} SYNTH_PACKED;
static_assert(sizeof(struct synth_hid_protocol_response) == 21, "synth_hid_protocol_response");

/* The report descriptor follows (HID 1.11, 6.2.1 and 6.2.2). */
struct synth_hid_device_info {
	struct synth_hid_header header;
	uint32_t info_size; /* of the six that begin here: 32 */
	uint16_t vendor;
	uint16_t product;
	uint16_t version;
	uint16_t reserved[11];
	uint8_t descriptor_length; /* of the seven that begin here: 9 */
	uint8_t descriptor_type;   /* 0x21 */
	uint16_t hid_version;
	uint8_t country;
	uint8_t descriptors;
	uint8_t report_type; /* 0x22 */
	uint16_t report_length;
} SYNTH_PACKED;
static_assert(sizeof(struct synth_hid_device_info) == 57, "synth_hid_device_info");

#endif
