/* A device that remembers what the server told it, and does what the test says. */
#ifndef FAKE_VMBUS_DEVICE_H
#define FAKE_VMBUS_DEVICE_H

#include "vmbus/vmbus.h"

struct fake_device {
	struct vmbus_channel *channel; /* NULL once released */
	unsigned int opened, closing, released;
	int refuse;   /* what opened() returns */
	bool by_page; /* it is offered so */
	bool holds;   /* closing() does not let go at once: device_let_go() does */
	bool is_open;
	bool is_paused;
	uint32_t takes;           /* opened() gets this GPADL, if it is not 0 */
	struct vmbus_gpadl *kept; /* that one, or the test's */
};

extern const struct vmbus_class device_class;     /* packets up to 1 KiB */
extern const struct vmbus_class threadless_class; /* without closing() */

/* Offers SCSI controller `instance`. */
int device_offer(struct vmbus *bus, struct fake_device *device, uint32_t instance,
		 uint16_t sub_channel);
void device_let_go(struct fake_device *device);
/* The event of its open channel is set. */
bool device_is_signalled(const struct fake_device *device);

#endif
