/*
 * The thread of an open channel, for all devices. It takes the guest's packets, does what else the
 * device has to do, sends answers that had no room, sleeps when there is nothing, and ends with the
 * channel.
 *
 *   vsp_start() -> RUNNING --vsp_pause()--> PAUSING --nothing is under way--> PAUSED
 *                     ^                                                        |
 *                     +----------------------- vsp_resume() -------------------+
 *
 *   any of them --vsp_close(), or the guest broke the ring--> ENDING --nothing is under way, and vsp_close()
 *   was called--> ended
 *
 *   RUNNING  work(), then packets while ready(); at last turned(). All over again until there is nothing
 *            to do
 *   PAUSING  pause() was called: no more packets; work() goes on until not busy(). Then channel_paused().
 *            vsp_resume() may come first
 *   ENDING   end() was called: likewise, and answers go nowhere. Then closed() and channel_closed(), the
 *            thread's last words
 *
 * Threads: the functions of struct vsp_class are called on the channel's thread. Marks of the
 * calls: [C] the control thread of VMBus, in the functions of the device's vmbus_class; [R] the
 * channel's thread; [T] any.
 */
#ifndef VSP_CHANNEL_H
#define VSP_CHANNEL_H

#include <pthread.h>
#include <stdatomic.h>

#include "vmbus/vmbus.h"
#include "vsp/place.h"

/* An answer to a packet. The device's memory, its payload too, until vsp_class.sent(). */
struct vsp_answer {
	struct vsp_answer *next; /* vsp/channel.c's */
	uint64_t transaction;
	const void *payload;
	uint32_t bytes;
};

/* One constant row for each kind of device; NULL where not needed, but for packet(). */
struct vsp_class {
	/* What there is to do besides packets: completions, frames, what had no room in the ring.
	 * True: something was done, so there may be more. */
	bool (*work)(void *device);
	/* Can a packet be taken now? If not, work() makes it so later, after a wake. */
	bool (*ready)(void *device);
	/* It is a copy, the device's until it returns. */
	void (*packet)(void *device, const struct vmbus_packet *packet);
	/* All packets that were there have been taken: what they began, and what was gathered, goes
	 * on its way. */
	void (*turned)(void *device);
	/* An answer is in the ring, or the channel has ended. May be called inside vsp_answer(). */
	void (*sent)(void *device, struct vsp_answer *answer);
	/* From here on no packets. What is under way ends, or is put aside. Of a pause that was
	 * over soon also after its end. */
	void (*pause)(void *device);
	/* What was put aside goes on, also what was so before pause(): by who asked
	 * vsp_is_pausing(). */
	void (*resume)(void *device);
	/* The channel has ended: what is under way ends, soon. */
	void (*end)(void *device);
	/* Is something under way? Asked after pause() and end(), between calls of work(), until
	 * not. */
	bool (*busy)(void *device);
	/* Nothing is under way; guest memory and GPADLs are let go of here at last. */
	void (*closed)(void *device);

	/*
	 * How the thread sleeps; all three or none. Without them it waits for its eventfds, each
	 * signal of which is an edge, so that none is read. sleep() returns when there may be
	 * something for work(), after a wake() [T], also before, and when the eventfd was signalled
	 * that watch() named last, -1 for none, also before; it need not be read.
	 */
	void (*sleep)(void *device);
	void (*wake)(void *device);
	void (*watch)(void *device, int event);
	/* Of a thread that polls, about to sleep: for so many milliseconds at most; -1, as without
	 * it: until it is woken. */
	int (*patience_ms)(void *device);
};

/* Events of a device's, for a thread without a sleep of its own. */
#define VSP_EVENTS_MAX 6u

/* One open channel; a part of the device's own structure for it. [I] immutable, [a] atomic, else
 * the thread's. */
struct vsp_channel {
	const struct vsp_class *class; /* [I] */
	void *device;                  /* [I] */
	struct vmbus_channel *channel; /* [I] */
	pthread_t thread;              /* [I] */
	_Atomic unsigned int asked;    /* [a] what the thread is to do, see channel.c */
	unsigned int seen;             /* ... and what of it is behind it */
	pthread_mutex_t saying; /* a pause does not end while channel_paused() is called for it */
	unsigned int said;      /* the pause that channel_paused() was last called for */
	bool ended;             /* no more packets, for good */
	struct vsp_place place;
	struct vsp_answer *unsent, **unsent_end; /* they wait for room, in order */
	unsigned int event_count;
	int events[VSP_EVENTS_MAX]; /* the device's; -1: none */
	int own;                    /* [I] an eventfd to wake it; -1: it has a sleep of its own */
	int epoll;                  /* [I] ... and what it waits for */
};

/*
 * In opened(): starts the thread. `events` are eventfds of the device's that wake it, -1 for none
 * yet; they stay open until closed() has been called. -errno: nothing is left of it. [C]
 */
int vsp_start(struct vsp_channel *vsp, const struct vsp_class *class, void *device,
	      struct vmbus_channel *channel, const int *events,
	      unsigned int event_count) MUST_CHECK;
/* In closing(). [C] */
void vsp_close(struct vsp_channel *vsp);
/* In pausing() and resumed(). [C] */
void vsp_pause(struct vsp_channel *vsp);
void vsp_resume(struct vsp_channel *vsp);
/* Waits for the thread. After vsp_close(); after the channel's next opened() or its released() has
 * been called it does not take long. [T] */
void vsp_join(struct vsp_channel *vsp);

/* There may be something for work(). [T], until vsp_join() */
void vsp_wake(struct vsp_channel *vsp);

/* Another event of the device's, in place of the `index`-th of vsp_start()'s; -1: none, which
 * cannot fail. -errno. [R] */
int vsp_set_event(struct vsp_channel *vsp, unsigned int index, int event);

/* Sends an answer, now or when there is room. Packets are not taken meanwhile. [R] */
void vsp_answer(struct vsp_channel *vsp, struct vsp_answer *answer);
/* Is the channel about to end? Asked by what goes in steps, before each of them. [R] */
bool vsp_is_ending(const struct vsp_channel *vsp);
/* ... or to pause? [R] */
bool vsp_is_pausing(const struct vsp_channel *vsp);

#endif
