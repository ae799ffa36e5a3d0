/*
 * The insides of the VMBus server: who owns what. Only vmbus/ includes this.
 *
 * Letters after the fields: [I] never changes; [C] control thread only; [L] under vmbus.lock;
 * [R] the channel's thread while the channel is open, the control thread otherwise; [a] atomic;
 * [S] under vmbus_channel.signal_lock.
 *
 * Two locks, neither held while the other is taken, or while a device or the home is called (but
 * for vmbus_host_signal(), under signal_lock). Everything else that crosses threads is a note: a
 * bit that any thread sets (note_post()) and the control thread acts on (vmbus_serve()).
 */
#ifndef VMBUS_SERVER_H
#define VMBUS_SERVER_H

#include <pthread.h>
#include <stdatomic.h>

#include "vmbus/half.h"
#include "vmbus/host.h"
#include "vmbus/vmbus.h"

/* Messages of the guest that wait for the control thread. Others are refused: it tries again. */
#define SERVER_IN_MAX 64
/* With that many unposted answers no more messages are taken. */
#define SERVER_OUT_LIMIT 64
/* All GPADLs of a guest together: their pages' numbers and addresses take 16 MiB. */
#define SERVER_GPADL_MAX_PAGES (1u << 20)
#define SERVER_GPADL_MAX       4096u
/* Of one GPADL: the length of its list has 16 bits. */
/* By the low bits of their handles, which guests count up. */
#define SERVER_GPADL_BUCKETS  256u
#define GPADL_PAGES_MAX       ((UINT16_MAX - sizeof(struct gpa_range)) / sizeof(uint64_t))
#define SERVER_DEFAULT_PACKET 16384u
#define SERVER_MAX_PACKET     (0xffffu * 8)
/* Lines of the log that a guest can cause in a second. */
#define SERVER_COMPLAINTS 20u

struct message {
	struct message *next;
	uint32_t size;
	uint8_t payload[VMBUS_MESSAGE_MAX];
};

struct in_message {
	uint32_t connection_id;
	uint32_t size;
	uint8_t payload[VMBUS_MESSAGE_MAX];
};

/* What follows when the last channel of a connection that ends has closed. */
enum server_next {
	NEXT_NOTHING,
	NEXT_CONTACT,
	NEXT_UNLOAD,
	NEXT_RESET,
};

/*
 * A channel, as the server sees it. The functions that make the moves are in channel.c and offer.c.
 *
 *             channel_offer()            channel_open_message()
 *      IDLE -----------------> OFFERED -------------------------> OPEN
 *        ^                     ^  | ^                               |
 *        | channel_forget()    |  | +--- BROKEN <--+                | channel_close()
 *        | (guest gone)  CLOSE |  |        CLOSE   | channel_left() v
 *        +---- any but --------+--|----------------+--------------- CLOSING
 *              OPEN, CLOSING      | channel_revoke()                |
 *                                 v                                 | rescinded
 *                              REVOKED <----------------------------+
 *                                 | RELID_RELEASED, or the guest gone
 *                                 v
 *                               freed
 */
enum channel_state {
	CHANNEL_IDLE,    /* the guest does not know of it */
	CHANNEL_OFFERED, /* it does, and has not opened it */
	CHANNEL_OPEN,
	CHANNEL_CLOSING, /* the device has been asked to let go */
	CHANNEL_BROKEN,  /* the server closed it; the guest has yet to */
	CHANNEL_REVOKED, /* the device has left; the guest has yet to release the number */
};

/* Of an open channel, while the server is paused. */
enum channel_pause {
	PAUSE_NONE,
	PAUSE_ASKED, /* the device has been asked to */
	PAUSE_DONE,  /* it has: [R] is the control thread */
};

enum note {
	NOTE_OFFER = 1,
	NOTE_BROKEN = 2,
	NOTE_RESCIND = 4,
	NOTE_CLOSED = 8,
	NOTE_GPADL = 16, /* the last user of one that is being torn down has put it */
	NOTE_PAUSED = 32,
};

enum gpadl_state {
	GPADL_ARRIVING, /* bodies are missing */
	GPADL_CREATED,
	GPADL_TEARING, /* the guest wants it back; somebody holds it */
};

struct vmbus_gpadl {
	struct vmbus_gpadl *next;        /* [L] */
	struct vmbus_gpadl *next_hashed; /* [L] */
	struct vmbus_channel *channel;   /* [I] */
	uint32_t handle;                 /* [I] */
	enum gpadl_state state;          /* [L] */
	unsigned int users;              /* [L] */
	uint32_t offset;                 /* [I] in the first page */
	uint32_t bytes;                  /* [I] */
	uint32_t page_count;             /* [I] */
	uint32_t pages_there;            /* [C] these are acquired */
	uint64_t *numbers; /* [C] until it is created, then [I]; as the guest gave them */
	uint8_t *pages[];  /* likewise: where they are */
};

struct vmbus_channel {
	struct vmbus *bus;                /* [I] */
	struct vmbus_channel_offer offer; /* [I] */
	const struct vmbus_class *class;  /* [I] */
	void *device;                     /* [I] */
	uint32_t relid;                   /* [I] */
	uint32_t connection_id;           /* [I] */
	bool by_page;                     /* [I] the guest signals by its monitor page */
	const _Atomic bool *log_is_kept;  /* [I] the home's */

	unsigned int notes;               /* [L] enum note */
	bool noted;                       /* [L] it is in vmbus.noted */
	struct vmbus_channel *next_noted; /* [L] */
	bool withdrawn;                   /* [L] vmbus_rescind() or vmbus_withdraw() was called */
	bool lingers;                     /* [L] the latter alone */

	enum channel_state state; /* [C] */
	enum channel_pause pause; /* [C] */
	bool rescinded;           /* [C] */
	bool declined;            /* [C] the guest released the number of its own accord */
	bool guest_open;          /* [C] the guest thinks so */
	bool released;            /* [C] RELID_RELEASED came while it was closing */
	bool reopen;              /* [C] reopen_message came while it was closing */
	struct vmbus_channel_open_channel reopen_message; /* [C] */
	struct vmbus_channel_open_channel open_message;   /* [I] while open */
	struct vmbus_gpadl *ring_gpadl;                   /* [C] held while open */

	atomic_bool shut;          /* [a] the ring is not to be used any more */
	int event;                 /* [I] while open */
	bool monitored;            /* [C] it is one of vmbus.monitored */
	struct ring_reader reader; /* [R] */
	struct ring_writer writer; /* [R] */
	uint8_t *packet; /* [R] copy of the packet being looked at; NULL: it is the device's */
	bool masked;     /* [R] interrupt_mask of the guest's half is set */

	pthread_mutex_t signal_lock;
	uint32_t target_vp; /* [S] */
};

struct vmbus {
	struct vmbus_host *host; /* [I] */
	int event, timer;        /* [I] */
	int either;              /* [I] readable when one of them is */
	pthread_mutex_t lock;

	struct vmbus_channel *channels[VMBUS_MAX_CHANNELS]; /* [L] by relid */
	uint32_t relid_end; /* [L] above the highest number that was ever in use; 0 before that */
	struct vmbus_channel *noted;                                /* [L] */
	struct vmbus_gpadl *gpadls;                                 /* [L] newest first */
	struct vmbus_gpadl *gpadls_by_handle[SERVER_GPADL_BUCKETS]; /* [L] */
	unsigned int gpadl_count;                                   /* [C] */
	unsigned int gpadl_pages;                                   /* [C] */
	struct in_message in[SERVER_IN_MAX];                        /* [L] from in_first on */
	unsigned int in_first, in_count;                            /* [L] */
	uint64_t complaint_second;                                  /* [L] */
	unsigned int complaints;                                    /* [L] in that second */

	vmbus_connect *connect;   /* [C] NULL: nobody */
	void *connect_device;     /* [C] */
	struct message *refusals; /* [L] of connections; for queue_take_refusals() */

	struct message *out_first, *out_last; /* [C] */
	unsigned int out_count;               /* [C] */

	uint32_t version;          /* [C] 0: not connected */
	uint64_t interrupt_number; /* [I] while a channel is open, else [C]; the page's */
	uint64_t *interrupt_page;  /* likewise; NULL: the version has none */
	uint64_t monitor_gpa;      /* [C] of the connection, as the guest gave it; 0: none */
	uint64_t monitor_number;   /* [C] while a channel that signals by it is open; the page's */
	uint8_t *monitor_page;     /* likewise, else NULL */
	unsigned int monitored;    /* [C] such channels */
	unsigned int quiet_looks;  /* [C] at it since the last signal */
	long monitor_period_ns;    /* [C] of the timer; 0: it stands */
	uint32_t vp;               /* [C] to which messages go */
	bool offers_wanted;        /* [C] the guest has asked for offers */
	bool paused;               /* [C] vmbus_pause() was called */
	bool loading;              /* [L] devices take up what they held */
	unsigned int open_count;   /* [C] channels that are open or closing */
	enum server_next next;     /* [C] waits for open_count to be 0 */
	struct vmbus_channel_initiate_contact contact; /* [C] of NEXT_CONTACT */
};

/* ---- server.c ---- */

void note_post(struct vmbus_channel *channel, enum note note); /* [T] */
/* One that nobody has acted on yet. [C] */
void note_drop(struct vmbus_channel *channel, enum note note);
void server_complain(struct vmbus *bus, const char *format, ...)
	__attribute__((format(printf, 2, 3))); /* [T] */
/* A line about a channel: its class and number come first. */
void channel_complain(struct vmbus_channel *channel, const char *format, ...)
	__attribute__((format(printf, 2, 3))); /* [T] */

/* ---- queue.c [C] ---- */

/* To the guest, after what is queued. */
void queue_post(struct vmbus *bus, const void *payload, size_t size);
void queue_append(struct vmbus *bus, struct message *message); /* from malloc() */
/* What vmbus_refuse_connection() has left; not before 4.1, where a refusal has no message. */
void queue_take_refusals(struct vmbus *bus);
/* Hands to the home what it takes. */
void queue_pump(struct vmbus *bus);
void queue_clear(struct vmbus *bus);

/* ---- control.c [C] ---- */

void control_message(struct vmbus *bus, const struct in_message *message);
bool control_knows_version(uint32_t version);
/* The connection ends: channels close, and when the last one has, `next` happens. */
void control_disconnect(struct vmbus *bus, enum server_next next);
/* Does what waits for the last channel, if that has closed. */
void control_go_on(struct vmbus *bus);

/* ---- offer.c [C] ---- */

/* The channel with the lowest number from `relid` on, NULL if there is none: to look at all of
 * them. */
struct vmbus_channel *offer_next(struct vmbus *bus, uint32_t relid);
/* All that the guest may see and does not know of yet. */
void offer_all(struct vmbus *bus);
/* NOTE_OFFER. False: it is a sub-channel or a socket's, its guest is gone, and so is it. */
bool offer_new(struct vmbus_channel *channel) MUST_CHECK;
/* NOTE_RESCIND. Frees it if the guest does not know of it. */
void offer_rescind(struct vmbus_channel *channel);
void offer_release_message(struct vmbus *bus, const struct vmbus_channel_relid *message);
/* The device is told that the channel is gone; the channel stays for the guest's sake. */
void offer_revoke(struct vmbus_channel *channel);
/* Nobody needs it any more. */
void offer_free(struct vmbus_channel *channel);
/* Another number, before the guest knows of it. Under the lock; the table of numbers is the
 * caller's affair. */
void offer_set_number(struct vmbus_channel *channel, uint32_t relid);
/* What is left of a channel whose device is gone while the guest has yet to release its number; in
 * no table. NULL: no memory. */
struct vmbus_channel *offer_gone(struct vmbus *bus, const struct vmbus_guid *type,
				 const struct vmbus_guid *instance, uint16_t sub_channel);
void offer_gone_free(struct vmbus_channel *channel); /* in no table yet */
/* The guest is gone: what was offered is not known any more. No channel is open. */
void offer_forget_all(struct vmbus *bus);

/* ---- channel.c [C] ---- */

/* By relid, NULL if there is none or the guest does not know of it. */
struct vmbus_channel *channel_find(struct vmbus *bus, uint32_t relid);
void channel_open_message(struct vmbus *bus, const struct vmbus_channel_open_channel *message);
void channel_close_message(struct vmbus *bus, const struct vmbus_channel_relid *message);
void channel_modify_message(struct vmbus *bus, const struct vmbus_channel_modifychannel *message);
/* Asks the device to let go of an open channel. */
void channel_close(struct vmbus_channel *channel);
/* NOTE_CLOSED: it has. */
void channel_left(struct vmbus_channel *channel);
/* Why this cannot be a ring whose half to the guest begins at page `down`; NULL: it can. */
const char *channel_ring_fault(const struct vmbus_gpadl *gpadl, uint32_t down);
/* A ring as it was saved; everything in it has been checked. */
struct channel_restored {
	struct vmbus_channel_open_channel open;
	uint32_t target_vp, read, write, guest_read;
	bool waits, masked;
};
/* Opens a channel that is offered, paused. -errno */
int channel_reopen(struct vmbus_channel *channel, const struct channel_restored *restored);
/* Asks the device of an open channel to pause. */
void channel_pause(struct vmbus_channel *channel);
/* NOTE_PAUSED: it has. */
void channel_stands(struct vmbus_channel *channel);
void channel_resume(struct vmbus_channel *channel);

/* ---- packet.c [R] ---- */

/* Shows the guest all that was read and sent. */
void packet_settle(struct vmbus_channel *channel);

/* ---- gpadl.c ---- */

/* The sizes are of the whole messages. [C] */
void gpadl_header_message(struct vmbus *bus, const struct vmbus_channel_gpadl_header *message,
			  size_t size);
void gpadl_body_message(struct vmbus *bus, const struct vmbus_channel_gpadl_body *message,
			size_t size);
void gpadl_teardown_message(struct vmbus *bus, const struct vmbus_channel_gpadl_teardown *message);
/* Empty, and of no channel. NULL: no memory. The other completes its pages. [C] */
struct vmbus_gpadl *gpadl_alloc(uint32_t page_count);
void gpadl_free(struct vmbus *bus, struct vmbus_gpadl *gpadl);
/* The next page, whose number is there. False: it is not RAM. [C] */
bool gpadl_acquire_next(struct vmbus *bus, struct vmbus_gpadl *gpadl) MUST_CHECK;
/* Has a handle and a channel: it can be found from here on. Under the lock; the list is the
 * caller's affair. */
void gpadl_hash(struct vmbus *bus, struct vmbus_gpadl *gpadl);
/* NOTE_GPADL [C] */
void gpadl_finish_torn(struct vmbus *bus);
/* A created one of this channel, one user more; NULL if there is none. While a state is loaded one
 * that is being torn down as well: who held it holds it again. [T] */
struct vmbus_gpadl *gpadl_hold(struct vmbus_channel *channel, uint32_t handle);
void gpadl_drop(struct vmbus_gpadl *gpadl); /* [T] */
/* Bytes at `at`, from the beginning of its first page on, were written. [T] */
void gpadl_mark(const struct vmbus_gpadl *gpadl, uint32_t at, uint32_t bytes);
/* All of a channel's, or with NULL all. None has a user. [C] */
void gpadl_free_all(struct vmbus *bus, const struct vmbus_channel *channel);

/* ---- signal.c ---- */

/* The page of bits that the guest names in a contact of an old version, and the connection that
 * goes with it. NULL, or why not. [C] */
const char *signal_take_page(struct vmbus *bus, uint64_t gpa) MUST_CHECK;
/* No channel is open. There may be none. [C] */
void signal_drop_page(struct vmbus *bus);
/* Passes the guest's signals on to the channels whose bits are set. [C] */
void signal_scan(struct vmbus *bus);
void signal_kick(const struct vmbus_channel *channel);              /* [T] */
void signal_guest(struct vmbus_channel *channel);                   /* [T] */
void signal_set_target(struct vmbus_channel *channel, uint32_t vp); /* [C] */

/* ---- monitor.c [C] ---- */

/* Is it offered, with that number, with a bit of the guest's monitor page? */
bool monitor_has_bit(const struct vmbus_channel *channel, uint32_t relid);
/* For one open channel that has. NULL, or why the page cannot be had. */
const char *monitor_take(struct vmbus *bus) MUST_CHECK;
void monitor_drop(struct vmbus *bus);
/* Looks at it from now on, or no longer: a pause begins or ends. */
void monitor_watch(struct vmbus *bus);
/* Passes the guest's signals in the page on to their channels. */
void monitor_look(struct vmbus *bus);

#endif
