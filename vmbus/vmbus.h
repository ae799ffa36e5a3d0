/*
 * The server's side of VMBus for one guest: a library with no devices in it. What it needs of its
 * surroundings is in host.h.
 *
 * Threads
 *   The control thread is the one that calls vmbus_serve(): the worker's event loop. The messages
 *   of the guest are handled there, and every function of a struct vmbus_class is called there,
 *   with no lock of the server's held; they may call whatever is marked [T] below, and must not
 *   block. A channel's thread is the one that uses an open channel's ring: one at a time, which one
 *   is the device's affair. It begins with opened(), or a thread that opened() wakes, and ends with
 *   channel_closed(). Several channels may share one.
 * Marks: [C] control thread; [R] the channel's thread; [T] any thread, several at once.
 *
 * The life of a channel, as its device sees it
 *
 *   vmbus_offer() -> offered --opened()--> open --closing()--> closing --channel_closed()-+
 *                     |   ^                                                               |
 *                     |   +---------------------------------------------------------------+
 *                     +-- rescinded, or the guest of a sub-channel is gone --> released()
 *
 * Invariants
 *   1. Between opened() and channel_closed() ring, GPADLs and ranges of packets are guest memory
 *      that the guest has lent; before and after, none of it is touched. The guest is told that it
 *      has its memory back, and a new kernel that it may use VMBus, only after channel_closed().
 *   2. Whatever the guest writes is read once. What it broke, ends its own channel: with a line in
 *      the log, and closing().
 */
#ifndef VMBUS_VMBUS_H
#define VMBUS_VMBUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "lib/check.h"
#include "lib/state.h"
#include "vmbus/protocol.h"
#include "vmbus/ring.h"

struct vmbus;         /* the server of one guest */
struct vmbus_channel; /* one offer; one ring while it is open */
struct vmbus_gpadl;   /* guest memory that the guest gave a number */
struct vmbus_host;    /* host.h */

/* ---- for the home: the worker ---- */

/* -errno. [C] is the thread that calls the functions marked so; it need not be this one. */
int vmbus_create(struct vmbus_host *host, struct vmbus **bus) MUST_CHECK;
/* As vmbus_reset(), then all channels are released() and the server is gone. [C], the guest
 * stopped. */
void vmbus_destroy(struct vmbus **bus);

/* Readable when vmbus_serve() has something to do. Level-triggered; only to be polled. */
int vmbus_fd(const struct vmbus *bus);
/* Does what is to be done and does not block. [C] */
void vmbus_serve(struct vmbus *bus);

/*
 * The guest's HvPostMessage. It is copied and left to vmbus_serve(). [T], so that a VP's thread can
 * call it and give the guest its status:
 *   0        HV_STATUS_SUCCESS
 *   -ENOENT  HV_STATUS_INVALID_CONNECTION_ID: not a connection of VMBus
 *   -EINVAL  HV_STATUS_INVALID_PARAMETER: larger than a message can be
 *   -EAGAIN  HV_STATUS_INSUFFICIENT_BUFFERS: too many unanswered; the guest tries again later
 */
int vmbus_message(struct vmbus *bus, uint32_t connection_id, uint32_t type, const void *payload,
		  size_t size) MUST_CHECK;
/* A message that vmbus_host_post() refused with -EAGAIN may fit now. [T] */
void vmbus_room(struct vmbus *bus);

/*
 * Before the guest starts anew, its VPs stopped: closes all channels. When their devices have let
 * go (vmbus_is_reset(), which changes in vmbus_serve()) nothing of the guest is left but the
 * offers, and its memory may be cleared. Sub-channels are released(). [C]
 */
void vmbus_begin_reset(struct vmbus *bus);
bool vmbus_is_reset(const struct vmbus *bus);
/* The same, and waits for the devices, whose channel_closed() must not need the control thread.
 * [C] */
void vmbus_reset(struct vmbus *bus);

/*
 * The machine stands still, its VPs stopped: asks the devices of all open channels to pause. From
 * here to vmbus_resume() no message of the guest is acted on, and none goes to it; offers, rescinds
 * and a reset are served. When the devices have paused (vmbus_stands(), which changes in
 * vmbus_serve()) the rings show all that was read and sent, and no channel is closing. Not while it
 * is paused. [C]
 */
void vmbus_begin_pause(struct vmbus *bus);
bool vmbus_stands(struct vmbus *bus);
/* The same, and waits for the devices, whose channel_paused() and channel_closed() must not need
 * the control thread. [C] */
void vmbus_pause(struct vmbus *bus);
/* Waits likewise until a paused server stands, which it does not while a channel closes that was
 * rescinded meanwhile. [C] */
void vmbus_settle(struct vmbus *bus);
/* Also before it stands: who has not paused yet goes on. [C] */
void vmbus_resume(struct vmbus *bus);

/*
 * The part "vmbus" of a saved state: connection, channels, GPADLs, messages on their way. A paused
 * server's [C] What the devices have is theirs to save.
 */
void vmbus_save(struct vmbus *bus, struct state_writer *writer);
/*
 * Reads it back into a new server, paused before any guest spoke to it, whose devices have offered
 * their channels, with the sub-channels that they had. Guest memory is there. Channels that were
 * open are opened(), and their devices begin paused. [C]
 *   -EINVAL  the state is refused, as its fault says; nothing has changed
 *   other    a device does not open; the server is as after vmbus_reset()
 */
int vmbus_load(struct vmbus *bus, struct state_reader *list) MUST_CHECK;

/* ---- for devices: sockets ---- */

/*
 * Whom a guest's wish to connect to a service of the root goes to (TL_CONNECT_REQUEST). `connect`
 * is called on the control thread; true: the device offers a channel with the service as its type
 * and the endpoint, the guest's own, as its instance; or it says vmbus_refuse_connection(). Without
 * one all are refused. Before the guest runs. [C]
 */
typedef bool vmbus_connect(void *device, const struct vmbus_guid *endpoint,
			   const struct vmbus_guid *service);
void vmbus_set_connect(struct vmbus *bus, vmbus_connect *connect, void *device);
/* [T] */
void vmbus_refuse_connection(struct vmbus *bus, const struct vmbus_guid *endpoint,
			     const struct vmbus_guid *service);

/* ---- for devices: offers ---- */

/*
 * One constant row per kind of device. All are called on the control thread; NULL where not needed.
 */
struct vmbus_class {
	const char *name;          /* for the log */
	uint32_t max_packet_bytes; /* the largest packet that the guest may send, its descriptor,
				    * ranges and payload; 0 means 16 KiB. At most 512 KiB */
	bool own_memory;           /* for packets: there is channel_receive_into() alone */
	/*
	 * What is to become of a packet that is larger, of an unknown type, or whose ranges do not
	 * fit in it: false: it breaks the channel; true: the device gets it, `malformed`.
	 */
	bool takes_malformed;
	/*
	 * The guest opens the channel, or it was open in a state that is loaded: the ring is ready,
	 * its event signalled once. -errno: the guest is told that it failed, and closing() does
	 * not follow. With channel_starts_paused() the device begins as if pausing() had been
	 * called.
	 */
	int (*opened)(void *device, struct vmbus_channel *channel);
	/*
	 * The guest has closed it, is gone, or broke it, or it is being rescinded. The device ends
	 * what it has in flight for it and then calls channel_closed(), now or later, on any
	 * thread. The event is signalled as well, and channel_receive() and the sends give
	 * -ESHUTDOWN from here on; a device for whose thread that is enough has no closing(). Not
	 * called twice for one opened().
	 */
	void (*closing)(void *device, struct vmbus_channel *channel);
	/*
	 * The channel does not exist any more: it was rescinded, or it was a sub-channel or a
	 * socket's (VMBUS_CHANNEL_TLNPI_PROVIDER_OFFER) and the guest has unloaded, was reset or
	 * started anew. Never while it is open or closing.
	 */
	void (*released)(void *device, struct vmbus_channel *channel);
	/*
	 * The machine is about to stand still, between opened() and closing(). The device takes no
	 * more packets, ends what it has in flight or puts it aside, sends the answers as far as
	 * there is room, and then calls channel_paused(), now or later, on any thread. Until
	 * resumed() it leaves the ring and the guest's memory alone. resumed() may come before
	 * channel_paused(), which is then not called for that pause once resumed() has returned.
	 * closing() may come first: then nobody waits for channel_paused() any more. A device
	 * without a thread needs neither.
	 */
	void (*pausing)(void *device, struct vmbus_channel *channel);
	void (*resumed)(void *device, struct vmbus_channel *channel);
};

struct vmbus_offer {
	struct vmbus_guid type;     /* interface: VMBUS_GUID_* */
	struct vmbus_guid instance; /* with `sub_channel` unique among the offers */
	uint16_t flags;             /* VMBUS_CHANNEL_* */
	uint16_t mmio_megabytes;
	uint8_t user_def[MAX_USER_DEFINED_BYTES]; /* named pipe: begins with VMBUS_PIPE_TYPE_* */
	/*
	 * 0 for a device's own channel. Others are offered when the device's protocol asks for
	 * them, and live no longer than the guest's connection.
	 */
	uint16_t sub_channel;
	/*
	 * The guest signals by a page of its memory that is looked at now and then, as drivers in
	 * user space need it; not if there are more channels than the page has bits.
	 */
	bool by_page;
	const struct vmbus_class *class;
	void *device; /* handed to the functions of the class */
};

/*
 * Offers a channel, to the guest that is there (if it has asked for offers) and to those to come.
 * [T]
 *   -EEXIST  there is a channel with this type, instance and number that is not rescinded
 *   -ENOSPC  there are VMBUS_MAX_CHANNELS
 *   -ENOMEM
 */
int vmbus_offer(struct vmbus *bus, const struct vmbus_offer *offer,
		struct vmbus_channel **channel) MUST_CHECK;
/*
 * Withdraws it: closing() if it is open, and released() at last; both later, on the control thread.
 * The same offer may be made again at once: the guest sees it when it has released the old one. [T]
 */
void vmbus_rescind(struct vmbus_channel *channel);
/*
 * The same, but a channel that is open stays so until the guest has closed it or let go of it: a
 * guest that has packets under way waits for their completions before it does. vmbus_rescind() may
 * follow, and ends the wait, as a pause does. [T]
 */
void vmbus_withdraw(struct vmbus_channel *channel);

/* ---- for devices: an open channel ---- */

/*
 * The device does not touch ring, GPADLs (all are put) and guest memory any more. After closing().
 * [T]
 */
void channel_closed(struct vmbus_channel *channel);
bool channel_starts_paused(const struct vmbus_channel *channel); /* [C], in opened() */
/* Nor, until resumed(), does it touch ring and guest memory. After pausing(). [T] */
void channel_paused(struct vmbus_channel *channel);

/*
 * Readable when there may be packets, room for a send that got -EAGAIN, or the end. Of one opened()
 * only: it is another one the next time. Ways to use it: poll it, then channel_clear_event();
 * or read it; or learn of each signal by itself, as disk_queue_watch() does. [R]
 */
int channel_event(const struct vmbus_channel *channel);
/* Makes the event unreadable. Before channel_receive() is called until it gives 0. [R] */
void channel_clear_event(struct vmbus_channel *channel);

/* The VP that is interrupted, or VMBUS_TARGET_VP_NONE; the guest may change it at any time. [T] */
uint32_t channel_target_vp(struct vmbus_channel *channel);
uint32_t channel_sub_channel(const struct vmbus_channel *channel); /* [T] */

/* A packet from the guest: a copy, valid until the channel's next channel_receive(). */
struct vmbus_packet {
	uint16_t type; /* VM_PKT_*: in-band, GPA-direct, transfer pages, completion, cancel */
	bool completion_requested;
	bool malformed; /* no payload and no ranges: they cannot be told */
	uint64_t transaction;
	const void *payload; /* 8-byte aligned */
	uint32_t payload_bytes;
	uint16_t page_set;    /* transfer pages only */
	uint32_t range_count; /* GPA-direct: see packet_range(); transfer pages: of page_ranges */
	const struct vmtransfer_page_range *page_ranges;
	const void *ranges; /* the library's own; their lengths are checked */
};

/*
 * The next packet. [R]
 *   1           *packet is filled in
 *   0           there is none. What was sent is flushed, and the guest signals the event for the
 *               next
 *   -ESHUTDOWN  the channel is closing, or the guest has just broken it: channel_closed() is due
 *               when closing() comes (a device without one: now)
 */
int channel_receive(struct vmbus_channel *channel, struct vmbus_packet *packet) MUST_CHECK;
/* The same, copied to the device's own memory: the class's max_packet_bytes, 8-byte aligned. [R] */
int channel_receive_into(struct vmbus_channel *channel, void *memory,
			 struct vmbus_packet *packet) MUST_CHECK;

/* Guest memory that a request is about, as the guest names it; nothing of it is checked. */
struct vmbus_range {
	uint32_t offset; /* in the first page */
	uint32_t bytes;
	uint32_t page_max; /* the caller's: there is room for as many in `pages` */
	uint64_t *pages;   /* their numbers */
};

/*
 * Range `index` of a GPA-direct packet, copied. A range of n bytes has n / 4096 + 2 pages at most.
 * [R]
 *   -EINVAL  there is no such range
 *   -E2BIG   it has more than `page_max` pages
 */
int packet_range(const struct vmbus_packet *packet, uint32_t index,
		 struct vmbus_range *range) MUST_CHECK;
/*
 * Acquires it: where it is, neighbouring pages joined, until channel_complete_range(). Returns the
 * number of entries filled in, 0 for an empty range. All ranges are completed before
 * channel_paused() and channel_closed(). [T]
 *   -EFAULT  some of it is not RAM
 *   -E2BIG   more than `max` entries
 */
int channel_acquire_range(const struct vmbus_channel *channel, const struct vmbus_range *range,
			  struct iovec *iov, unsigned int max) MUST_CHECK;
/* Before the guest is told so. The first `written` bytes may have been written. [T] */
void channel_complete_range(const struct vmbus_channel *channel, const struct vmbus_range *range,
			    uint32_t written);

/*
 * Sends. The payload is gathered from `count` parts and padded to 8 bytes with zeros. The guest
 * sees it at the next channel_flush(), or when channel_receive() gives 0. [R]
 *   0           it is in the ring
 *   -EAGAIN     no room. What was sent so far is flushed; the event is signalled when the guest has
 *               made room for this packet, and the device tries again
 *   -EMSGSIZE   it fits in no case
 *   -ESHUTDOWN  the channel is closing, or the guest has broken it
 */
int channel_send(struct vmbus_channel *channel, uint64_t transaction, bool completion_requested,
		 const struct iovec *payload, unsigned int count) MUST_CHECK;
int channel_complete(struct vmbus_channel *channel, uint64_t transaction,
		     const struct iovec *payload, unsigned int count) MUST_CHECK;
int channel_send_pages(struct vmbus_channel *channel, uint64_t transaction,
		       bool completion_requested, uint16_t page_set,
		       const struct vmtransfer_page_range *ranges, uint32_t range_count,
		       const struct iovec *payload, unsigned int count) MUST_CHECK;
/* Shows the guest what was sent and interrupts it if it waits. [R] */
void channel_flush(struct vmbus_channel *channel);
/* The guest has not taken all that it was shown. [R] */
bool channel_unread(const struct vmbus_channel *channel);

/*
 * The device's own complaint about what the guest sent: a line in the log, and the channel closes
 * as if the ring were broken. [R]
 */
void channel_break(struct vmbus_channel *channel, const char *reason);

/* ---- for devices: GPADLs ---- */

/*
 * The memory behind a handle that the guest named in a packet of this channel, or NULL if there is
 * no such GPADL of the channel's. While it is held the guest is not told that it is torn down. [T]
 */
struct vmbus_gpadl *channel_gpadl_get(struct vmbus_channel *channel, uint32_t handle);
void channel_gpadl_put(struct vmbus_channel *channel, struct vmbus_gpadl *gpadl); /* [T] */
uint32_t gpadl_bytes(const struct vmbus_gpadl *gpadl);                            /* [T] */
/*
 * Where part of it is, for as long as it is held, in `iov` as channel_acquire_range() has it.
 * -EINVAL: it does not lie in the GPADL. -E2BIG. Who has written there says so. [T]
 */
int gpadl_range(const struct vmbus_gpadl *gpadl, uint32_t offset, uint32_t bytes, struct iovec *iov,
		unsigned int max) MUST_CHECK;
void gpadl_wrote(const struct vmbus_gpadl *gpadl, uint32_t offset, uint32_t bytes); /* [T] */

#endif
