/*
 * What keyboard and mouse are made of: input.c is the device, its channel and what it agrees on
 * with the guest; keyboard.c and mouse.c say what they are and what waits for the guest.
 *
 *   CLOSED -opened-> OPEN -PROTOCOL_REQUEST-> ANSWERS -sent-> INFORMS -sent-> WAITS -ACK-> READY
 *                     ^                        |                 `------keyboard------------^
 *                     `----not our version-----'
 */
#ifndef VSP_INPUT_DEVICE_H
#define VSP_INPUT_DEVICE_H

#include "include/vsp/synthinput.h"
#include "vsp/device.h"
#include "vsp/input/input.h"

#define INPUT_KEYS        64u /* that wait */
#define INPUT_REPORTS     16u /* likewise */
#define INPUT_MESSAGE_MAX 160u

enum input_stage {
	INPUT_CLOSED,
	INPUT_OPEN,
	INPUT_ANSWERS,
	INPUT_INFORMS,
	INPUT_WAITS,
	INPUT_READY,
};

struct keys {
	uint8_t held[256 / 8]; /* as the last that waits, or was sent, says */
	unsigned int count;    /* that wait */
	struct {
		uint8_t key;
		bool down;
	} waiting[INPUT_KEYS];
};

struct reports {
	struct mouse_report last; /* the last that waits, or was sent */
	unsigned int count;       /* that wait */
	struct mouse_report waiting[INPUT_REPORTS];
};

/* How a channel stands. */
struct input_session {
	enum input_stage stage;
	bool accepts;     /* what ANSWERS is to say */
	uint32_t version; /* that was asked for */
	union {
		struct keys keys;
		struct reports reports;
	};
};

/* One constant row for each kind. Under the lock, but for the names. */
struct input_class {
	const char *part; /* of a saved state */
	const struct vmbus_class *vmbus;
	struct vmbus_guid type, instance;
	bool pipe;
	/* What the guest says. It is a copy, and as long as it says. */
	void (*take)(struct input_session *session, const void *message, uint32_t bytes);
	/* The message that comes next, and its length; 0: none. The stage is ANSWERS, INFORMS or
	 * READY. */
	uint32_t (*next)(const struct input_session *session, uint8_t message[INPUT_MESSAGE_MAX]);
	/* It is in the ring. READY: of what waits the first has gone. */
	void (*sent)(struct input_session *session);
	/* What waits, to be saved and loaded. A fault of the part's: it cannot be. */
	void (*save)(const struct input_session *session, struct state_writer *writer);
	void (*load)(struct input_session *session, struct state_reader *part);
};

struct input {
	struct vsp_device device;
	const struct input_class *class;
	pthread_mutex_t lock;
	struct input_session now; /* under the lock */
};

/* The guest asks for a version. What waits goes on to do so. */
void input_asked(struct input_session *session, uint32_t version, bool accepts);
/* -errno. [C] */
int input_create(struct vmbus *bus, const struct input_class *class,
		 struct input **input) MUST_CHECK;

#endif
