/*
 * The channels of a device, for all devices: the primary one, index 0, and the sub-channels that a
 * guest asks for. Each is offered and withdrawn here; while it is open it has a thread (channel.h).
 *
 *   vsp_device_create() -> vsp_offer(), opened, closed, ... -> vsp_device_destroy() --the last offer is released--> ended()
 *
 * Without the primary channel the others have no use: they are withdrawn when it closes.
 *
 * The device is a part of the VSP's own structure. What it has for an open channel begins with a
 * struct vsp_channel, which create() gives and free() takes; it is the `device` of struct
 * vsp_class.
 *
 * Threads: [C] the control thread of VMBus, [T] any.
 */
#ifndef VSP_DEVICE_H
#define VSP_DEVICE_H

#include "vsp/channel.h"

#define VSP_CHANNELS_MAX 64u /* a bit each in a mask */

/* One constant row for each kind of device. */
struct vsp_device_class {
	const struct vsp_class *channel;
	/* For a channel that is opened. -errno. [C] */
	int (*create)(void *owner, unsigned int index, struct vsp_channel **vsp);
	/* Its thread has ended, or never was. */
	void (*free)(struct vsp_channel *vsp);
	/* It was loaded (vsp_load()), and its channel is opened. -errno: it is not, free() follows.
	 * [C] NULL */
	int (*load)(struct vsp_channel *vsp, struct vmbus_channel *channel);
	/* It was loaded (vsp_load()), but its channel is opened anew: what it had begun has come to
	 * nothing. free() follows. [C] NULL */
	void (*forget)(struct vsp_channel *vsp);
	/*
	 * An eventfd of the owner's that wakes it, for a thread without a sleep of its own; -1:
	 * none until vsp_set_event(). NULL: never one. [C]
	 */
	int (*event)(void *owner, unsigned int index);
	/* Another channel is open, or no longer. [C] NULL */
	void (*changed)(void *owner);
	/* The device was destroyed, and nobody calls it any more: vsp_device_free(), and what else
	 * the owner has. [C] */
	void (*ended)(void *owner);
};

/* [I] immutable, [L] under lock */
struct vsp_device {
	const struct vsp_device_class *class; /* [I] */
	void *owner;                          /* [I] */
	struct vmbus *bus;                    /* [I] */
	pthread_mutex_t lock;                 /* taken inside the owner's locks */
	struct {
		struct vmbus_channel *offer; /* [L] NULL: released, or never made */
		struct vsp_channel *last;    /* [L] of the last open, until joined */
		struct vsp_channel *loaded;  /* [L] of a loaded state, until it is opened */
	} places[VSP_CHANNELS_MAX];
	uint64_t open;  /* [L] mask */
	bool withdrawn; /* [L] nothing more is offered */
	bool destroyed; /* [L] */
};

/* The functions of a device's struct vmbus_class; its offers' device is the struct vsp_device. */
int vsp_opened(void *device, struct vmbus_channel *channel);
void vsp_closing(void *device, struct vmbus_channel *channel);
void vsp_released(void *device, struct vmbus_channel *channel);
void vsp_pausing(void *device, struct vmbus_channel *channel);
void vsp_resumed(void *device, struct vmbus_channel *channel);
#define VSP_VMBUS_FUNCTIONS                                                                        \
	.opened = vsp_opened, .closing = vsp_closing, .released = vsp_released,                    \
	.pausing = vsp_pausing, .resumed = vsp_resumed

void vsp_device_create(struct vsp_device *device, const struct vsp_device_class *class, void *owner,
		       struct vmbus *bus);
/* Withdraws all channels. `waits`: those that are open stay so until the guest closes them. [T] */
void vsp_device_withdraw(struct vsp_device *device, bool waits);
/* Withdraws all channels, at once. ended() is called now, if none was offered, or later. [C] */
void vsp_device_destroy(struct vsp_device *device);
/* Waits for threads that are at their end, and frees what the channels had. No offer is left.
 * [C] */
void vsp_device_free(struct vsp_device *device);

/* Offers a channel. The type, the instance and the class are the owner's to fill in. -errno of
 * vmbus_offer(); -ENODEV: they are withdrawn. [T] */
int vsp_offer(struct vsp_device *device, unsigned int index,
	      const struct vmbus_offer *offer) MUST_CHECK;
/* [T] */
void vsp_rescind_sub_channels(struct vsp_device *device);
/* There may be something for each work(). [T] */
void vsp_wake_all(struct vsp_device *device);

/* Masks of channels. [T] */
uint64_t vsp_offered(struct vsp_device *device);
uint64_t vsp_open(struct vsp_device *device);

/*
 * For saving and loading, while the bus is paused. What an open channel has, or NULL; and what one
 * had that vmbus_load() will open: it begins paused, and create() is not called for it. [C]
 */
struct vsp_channel *vsp_open_channel(struct vsp_device *device, unsigned int index);
void vsp_load(struct vsp_device *device, unsigned int index, struct vsp_channel *vsp);

#endif
