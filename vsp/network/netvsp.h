/*
 * What the files of the adapter share. docs/design/network.md says what holds them together.
 */
#ifndef VSP_NETWORK_NETVSP_H
#define VSP_NETWORK_NETVSP_H

#include <pthread.h>
#include <stdatomic.h>

#include "switch/ring.h"
#include "vmbus/vmbus.h"
#include "vsp/device.h"
#include "vsp/netvsp.h"
#include "vsp/network/netport.h"
#include "vsp/network/network.h"

#define NET_QUEUES_MAX PORT_QUEUES_MAX

/* ---- the receive buffer ---- */

/*
 * A sub-allocation: room for the RNDIS header and PPIs, the frame, and a tail that guests do not
 * expect to be used. NET_CONTROL_PIECES at the front are for control messages.
 */
#define NET_PIECE_HEAD     256u
#define NET_PIECE_TAIL     36u
#define NET_CONTROL_PIECES 16u
#define NET_PIECES_MIN     (NET_CONTROL_PIECES + 1u)
#define NET_PIECES_MAX     65536u
#define NET_FRAME_DEFAULT  1514u
#define NET_NONE           UINT32_MAX

enum net_piece_state {
	PIECE_FREE,
	PIECE_POSTED, /* the switch has it */
	PIECE_FILLED, /* its frame waits for room in the guest's ring */
	PIECE_GIVEN,  /* the first of a packet that the guest has not completed */
	PIECE_BEHIND, /* in a packet, not its first */
};

/* Its queue's thread's, or while none runs the primary channel's. */
struct net_piece {
	uint32_t next;  /* in the list that its state says, or in its packet */
	uint32_t bytes; /* of its RNDIS message */
	uint8_t state;  /* enum net_piece_state */
	bool goes_on;   /* FILLED: the frame goes on in the next */
};

struct net_list {
	uint32_t first, last; /* NET_NONE */
};

/* ---- sends ---- */

#define SENDS_MAX   256u /* a power of two */
#define SEND_RANGES 40u
#define SEND_PAGES  128u
#define SEND_SLOTS  256u /* of one packet */
#define SEND_PARTS  (SEND_PAGES + 32u)
#define PPIS_MAX    512u

/* A packet of the guest's with RNDIS packets in it. */
struct net_send {
	uint64_t transaction;
	uint32_t slots_left; /* not answered by the switch */
	uint32_t range_count;
	uint32_t status; /* enum nvsp_status */
	bool wants_completion;
	struct vmbus_range ranges[SEND_RANGES]; /* acquired while slots are left */
	uint64_t pages[SEND_PAGES];
};

/* Guest memory in the order of a message, and a place in it. */
struct net_parts {
	struct iovec iov[SEND_PARTS];
	unsigned int count, at;
	size_t offset; /* in iov[at] */
	uint64_t left;
};

/* ---- queues ---- */

#define CONTROL_BYTES       8192u /* of a control message from the guest */
#define REPLY_BYTES         1024u /* of one to it */
#define NET_MULTICAST_BYTES (32u * 6u)

struct net_posted {
	uint32_t piece, slots;
};

/* One open channel. All of it is its thread's. */
struct net_queue {
	struct vsp_channel vsp; /* first, see vsp/device.h */
	struct network *network;
	unsigned int index;
	struct ring *out, *in; /* the adapter's */
	bool active;           /* it is one of the adapter's users */
	bool held;             /* paused, or at its end */
	bool ended;

	struct net_send *sends; /* SENDS_MAX; the three count freely */
	uint32_t send_head;     /* the next to be completed */
	uint32_t send_answered; /* the next whose slots come back */
	uint32_t send_tail;     /* the next to be used */
	bool by_reference;      /* one of those that the switch has names pages of the guest's */
	bool waited;            /* a sleep without asking for answers, and none has come since */
	struct port_slot slots[SEND_SLOTS];
	struct net_parts parts;

	struct net_posted *posted; /* as many as `in` has slots; the two count freely */
	uint32_t posted_head, posted_tail;
	uint32_t posted_slots;             /* of the first of them: answered so far */
	struct port_slot posted_answer;    /* ... and what the first of those said */
	uint32_t generation;               /* of the receive buffer that the lists are of */
	uint32_t piece_first, piece_count; /* its share of that */
	struct net_list free, filled;
	struct net_list frame; /* one that is coming in several pieces */

	struct vsp_answer answer;
	struct nvsp_message message; /* the answer's */
	bool answering;
	bool answer_again; /* of a loaded state: it is not said yet */
	bool counted;      /* as one of the adapter's threads */
	uint8_t control[CONTROL_BYTES];
};

/* What waits until no queue runs. */
enum net_change { CHANGE_NONE, CHANGE_REVOKE_RECEIVE, CHANGE_REVOKE_SEND, CHANGE_HALT };

struct net_buffer {
	struct vmbus_gpadl *gpadl; /* NULL: there is none */
	uint32_t handle;           /* the guest's, of the GPADL */
	uint16_t id;
	uint32_t piece_bytes, piece_count; /* sections, of the send buffer */
};

/* [I] immutable, [a] atomic, [P] the primary channel's thread, [S] likewise, while no queue runs,
 * [L] under lock */
struct network {
	struct vsp_device channels;
	struct network_config config; /* [I] */
	char name[256];               /* [I] */
	/*
	 * Changes, with its rings, while it is lost and has no users: by the primary channel's
	 * thread, or while there is none under lock.
	 */
	const struct netport *port;
	struct {
		struct ring out, in;
	} rings[NET_QUEUES_MAX]; /* the queue's thread, while it is active */

	_Atomic bool running;       /* [a] written by [P] */
	_Atomic unsigned int users; /* [a] queues that use buffers, port and rings */
	_Atomic bool lost;          /* [a] */
	_Atomic bool leaving;       /* [a] its link is down for good */

	_Atomic uint32_t version;        /* [a] of NVSP, written by [P]; 0: none yet */
	_Atomic uint32_t frame_bytes;    /* [a] of a frame at most, without its tag; likewise */
	uint64_t capabilities;           /* [P] the guest's */
	struct net_buffer receive, send; /* [S] */
	struct net_piece *pieces;        /* [S] */
	uint32_t generation;             /* [S] another one with each receive buffer */
	bool initialized;                /* [P] RNDIS */
	enum net_change change;          /* [P] */
	uint64_t change_transaction;     /* [P] */
	bool change_wants;               /* [P] */
	struct net_list control_free, replies;  /* [P] pieces */
	uint32_t told_link, told_speed;         /* [P] */
	bool tell_offload, tell_table;          /* [P] */
	bool tell_network;                      /* [P] the guest may be on another one */
	unsigned int sub_channels;              /* [P] asked for and offered */
	uint32_t told_vf;                       /* [P] the guest was told that it has it; 0: none */
	uint8_t mac[6];                         /* [P] as the guest has set it */
	struct ndis_offload_parameters offload; /* [P] what was set last, 0: never */
	struct ndis_rss_parameters rss; /* [P] likewise: flags and hash; written under lock */
	uint8_t rss_key[PORT_HASH_KEY]; /* [P] likewise */
	uint8_t multicast[NET_MULTICAST_BYTES]; /* [P] */
	uint32_t multicast_bytes;               /* [P] */

	_Atomic uint32_t filter; /* [a] written by [P] */
	_Atomic bool hears;      /* [a] written under lock */
	_Atomic bool rsc4, rsc6; /* [a] likewise */
	_Atomic uint32_t vf;     /* [a] the function that is to be the guest's; 0: none */
	_Atomic bool
		elsewhere; /* [a] written by [P]: the guest's frames go that way, while it is there */

	_Atomic uint64_t frames_out, bytes_out, frames_in, bytes_in; /* [a] */
	_Atomic uint64_t refused[NETWORK_REFUSALS];                  /* [a] */

	pthread_mutex_t lock;
	unsigned int holds;        /* [L] queues that are held */
	uint8_t steer[PORT_STEER]; /* [L] as the guest's table of RSS has it */
	unsigned int threads;      /* [L] queues that are there, until their channels are closed */
	bool primary;              /* [L] the primary channel's is one of them */
	bool removed;              /* [L] nothing more is offered, opened or heard */
	bool ended;                /* [L] the owner knows that its port is not used any more */
	_Atomic(const struct netport *)
		next_port;       /* [a] waits to be the port; cleared under lock */
	pthread_cond_t changed;  /* next_port is the port now */
	struct net_saved *saved; /* [C] of a loaded state, until the primary channel is opened */
};

/* network.c */
int network_offer(struct network *network, unsigned int index);
void network_ended(void *network); /* the channels have come to their end */
void network_refuse(struct network *network, enum network_refusal reason);
/* The switch is told anew what the port takes. */
void network_update_port(struct network *network);
void network_hold(struct network *network, bool hold);
/* The switch said what cannot be: it is to have nothing of ours any more. By an active queue's
 * thread. */
void network_broken(struct network *network);
/* A port that waits becomes the port, if it can now. `primary`: on the primary channel's thread.
 * True: it has. */
bool network_take_port(struct network *network, bool primary);
/* A queue more, with the thread that it will have. -ENODEV: the adapter is being removed. */
int network_thread_begins(struct network *network, unsigned int index) MUST_CHECK;
/* ... uses nothing of the adapter's any more. */
void network_thread_ended(struct network *network);

/* queue.c */
extern const struct vsp_device_class netvsp_channels;
int netvsp_queue_create(void *network, unsigned int index, struct vsp_channel **vsp) MUST_CHECK;

/* nvsp.c */
void nvsp_packet(struct net_queue *queue, const struct vmbus_packet *packet);
/* What waited for the queues to stand still; the table that is to be sent. True: something was
 * done. */
bool nvsp_work(struct net_queue *queue);
void nvsp_primary_closed(struct net_queue *queue);
uint32_t nvsp_message_bytes(const struct network *network);
/* Nobody is to use buffers any more; they are unused once there are no users. */
void nvsp_stop(struct network *network);
/* The guest is ready: RNDIS is initialized, and there is a receive buffer. */
void nvsp_start(struct network *network);
unsigned int nvsp_queue_count(const struct network *network);
bool nvsp_knows_version(uint32_t version);
/* Whether pieces of a receive buffer may be so large, for frames of at most so many bytes. */
bool nvsp_is_piece(uint32_t frame_bytes, uint32_t piece_bytes);

/* netvsp_state.c */
/* A loaded queue's channel is opened: what the state says of the adapter. -EINVAL: it is of another
 * memory than the guest's. [C] */
int netvsp_restore(struct net_queue *queue, struct vmbus_channel *channel) MUST_CHECK;
void netvsp_saved_free(struct net_saved *saved);

/* parts.c */
/* All of a message of RNDIS in the order that it has; the ranges are acquired and remembered in
 * `send`. */
bool parts_find(struct net_queue *queue, const struct vmbus_packet *packet,
		const struct nvsp_message *message, struct net_send *send);
void parts_release(struct net_queue *queue, struct net_send *send);
/* Copies the next bytes, and goes on behind them. False: there are fewer. */
bool parts_copy(struct net_parts *parts, void *to, size_t bytes);
bool parts_skip(struct net_parts *parts, size_t bytes);
/* The next piece, of at most `bytes`, and goes on behind it. Some are left. */
struct iovec parts_next(struct net_parts *parts, size_t bytes);

/* transmit.c */
bool transmit_ready(const struct net_queue *queue);
/* A packet of data; there is room. */
void transmit_packet(struct net_queue *queue, const struct vmbus_packet *packet,
		     const struct nvsp_message *message);
/* A send without frames, to be completed in its turn. */
struct net_send *transmit_reserve(struct net_queue *queue, const struct vmbus_packet *packet);
bool transmit_work(struct net_queue *queue);
/* The switch has nothing. */
bool transmit_is_idle(const struct net_queue *queue);
/* What the switch has may be answered without a signal. */
bool transmit_may_wait(const struct net_queue *queue);
/* The switch is gone, all of it has come back. */
void transmit_forget(struct net_queue *queue);

/* receive.c */
void list_clear(struct net_list *list);
/* In its place in the list. */
void list_append(struct network *network, struct net_list *list, uint32_t piece);
/* The queue begins to use the receive buffer. */
void receive_begin(struct net_queue *queue);
void receive_completed(struct net_queue *queue, uint64_t transaction);
bool receive_work(struct net_queue *queue);
/* The switch is gone, all of it has come back. */
void receive_forget(struct net_queue *queue);
/* What waits for room in the guest's ring is dropped. */
void receive_drop(struct net_queue *queue);
/* A control message to the guest. False: no piece is free. [P] */
bool receive_control(struct net_queue *queue, const void *message, uint32_t bytes) MUST_CHECK;

/* rndis.c */
/* A control message, in queue->control. The status for its completion. */
uint32_t rndis_control(struct net_queue *queue, uint32_t bytes);
bool rndis_work(struct net_queue *queue);

/* oid.c */
/* Fills in at most REPLY_BYTES - 64 of `value`; RNDIS's status. */
uint32_t oid_query(struct network *network, uint32_t oid, const uint8_t *in, uint32_t in_bytes,
		   uint8_t *value, uint32_t *bytes);
uint32_t oid_set(struct network *network, uint32_t oid, const uint8_t *in, uint32_t in_bytes);
void oid_reset(struct network *network);
uint32_t oid_link(const struct network *network);  /* 1: up */
uint32_t oid_speed(const struct network *network); /* as OID_GEN_LINK_SPEED has it */
/* As OID_TCP_OFFLOAD_CURRENT_CONFIG has it. */
uint32_t oid_offload(const struct network *network, bool current, uint8_t revision, uint8_t *value);

#endif
