/*
 * The insides of vsp/socket/: who owns what.
 *
 * Letters after the fields: [I] never changes; [C] VMBus' control thread; [L] under sockets.lock;
 * [R] the relay's thread.
 *
 *   GREETING ---"CONNECT port"---> OFFERED ---the guest opens it---> OPEN
 *   DIALLING ---the connector----->   |                               |
 *      |                              |                               |
 *      +------------------------------+-------------------------------+---> ENDING --released()--> freed
 *
 * The control thread makes no move: it leaves notes, and the relay's thread acts on them in their
 * order. So a ring is used by one thread, and a closing or a pause is answered by it, between two
 * packets.
 */
#ifndef VSP_SOCKET_RELAY_H
#define VSP_SOCKET_RELAY_H

#include <pthread.h>
#include <stdbool.h>

#include "include/vmbus/ring.h"
#include "include/vsp/hvsock.h"
#include "vsp/place.h"
#include "vsp/socket/socket.h"

/* A guest's packet, with what VMBus puts before it. */
#define PACKET_MAX                                                                                 \
	(sizeof(struct vmpacket_descriptor) + sizeof(struct vmpipe_proto_header) + HVSOCK_MTU)
/* Of packets whose data is given to a program at once: two of the largest, or eight of Linux's. */
#define GATHER_MAX (3 * HVSOCK_MTU)

/* "CONNECT ", a GUID in braces, an end of line. */
#define GREETING_MAX 64u

enum connection_state {
	CONNECTION_GREETING, /* a program has yet to say whom it wants */
	CONNECTION_DIALLING, /* the connector looks for the program that the guest wants */
	CONNECTION_OFFERED,  /* the guest has yet to open the channel */
	CONNECTION_OPEN,
	CONNECTION_ENDING, /* as soon as there is no channel any more */
};

enum connection_note {
	NOTE_NEW = 1,
	NOTE_OPENED = 2,
	NOTE_PAUSE = 4, /* `pausing` is another */
	NOTE_CLOSING = 8,
	NOTE_RELEASED = 16,
};

struct connection {
	struct sockets *sockets;             /* [I] */
	bool from_guest;                     /* [I] who began it */
	uint64_t number;                     /* [I] */
	struct vmbus_guid service, endpoint; /* [R] of the guest's wish [I] */
	struct connection *next, *previous;  /* [R] all that have been taken in */
	struct connection *next_noted;       /* [L] */
	unsigned int notes;                  /* [L] enum connection_note */
	bool noted;                          /* [L] it is in sockets.noted */
	struct vmbus_channel *channel;       /* [L] NULL: not offered, or released */
	bool was_opened;                     /* [C] a channel is opened once */
	bool pausing;                        /* [L] the channel is to stand */
	unsigned int pauses, paused_for; /* [L] how often it was; which of them was answered [R] */
	enum connection_state state;     /* [R] */
	bool open, paused;               /* [R] of the channel, as its notes have it */
	bool channel_watched;            /* [R] */
	bool again;                      /* [R] it is in sockets.again */
	struct connection *next_again;   /* [R] */
	uint64_t deadline;               /* [R] CLOCK_MONOTONIC, ns; 0: none */
	int fd;                          /* [R] of the program; -1: none */
	uint32_t interest;               /* [R] events that are waited for; 0: none */
	char greeting[GREETING_MAX];     /* [R] and what came behind it */
	uint32_t greeting_bytes;         /* [R] */
	uint8_t *to_guest, *to_host;     /* [R] what had no room; NULL: nothing */
	uint32_t to_guest_bytes;         /* [R] of the packet's data */
	uint32_t to_host_from, to_host_bytes; /* [R] GATHER_MAX at most */
	bool readable;                        /* [R] the program may have said something */
	bool host_ended;                      /* [R] the program says nothing more */
	bool host_gone;                       /* [R] nor does it hear anything */
	bool hung_up;                         /* [R] EPOLLHUP was seen */
	bool fin_sent;                        /* [R] to the guest */
	bool guest_ended;                     /* [R] the guest's FIN has come */
	bool shut;                            /* [R] and the program has been told */
};

struct sockets {
	struct vmbus *bus;                    /* [I] */
	int epoll, wake, listener, connector; /* [I]; the connector [R] */
	pthread_t thread;                     /* [I] */
	pthread_mutex_t lock;
	pthread_cond_t stood;                  /* `standing` is what was asked for */
	struct connection *noted, **noted_end; /* [L] */
	unsigned int count;                    /* [L] of all connections */
	uint64_t opened, refused;              /* [L] */
	bool stand, ended;                     /* [L] asked for */
	bool standing;                         /* [L] */
	uint64_t last_number;                  /* [L] */
	struct connection *all, *again;        /* [R] */
	bool started;                          /* [C] */
	bool deaf;                             /* [R] the listener is not waited for */
	bool over;                             /* [R] there may be something for bury() */
	uint64_t looked;                       /* [R] when deadlines were looked at, ns */
	unsigned int waiting;                  /* [R] connections with a deadline */
	unsigned int packets;                  /* [R] both ways, in this turn of the thread's */
	struct vsp_place place;                /* [R] */
	uint8_t buffer[sizeof(struct vmpipe_proto_header) + HVSOCK_MTU]; /* [R] */
	uint8_t gathered[GATHER_MAX] __attribute__((aligned(8)));        /* [R] */
};

/* What an event is of: a connection's program or, with this bit in the pointer, its channel; or one
 * of these. */
#define TAG_CHANNEL 1u
enum { TAG_WAKE = 2, TAG_LISTENER = 4, TAG_CONNECTOR = 6, TAG_COUNT = 8 };

/* ---- sockets.c ---- */

/* A new one, which the relay takes in. -ENOSPC, -ENOMEM. [T] */
int connection_new(struct sockets *sockets, const struct connection *as) MUST_CHECK;
/* Of all that are noted the first, and its notes. NULL: there is none. [R] */
struct connection *connection_take_noted(struct sockets *sockets, unsigned int *notes);
/* Nobody knows of it any more. [R] */
void connection_free(struct connection *connection);
extern const struct vmbus_class connection_vmbus_class;

/* ---- relay.c [R] ---- */

void *relay_run(void *sockets);
/* Events, notes, turns, and what is over. False: it is to end. Also when the thread has ended. */
bool relay_serve(struct sockets *sockets, bool may_wait);
/* It has more to do than one turn. */
void relay_again(struct connection *connection);
/* False: it could not be done. 0: nothing is waited for any more. */
bool relay_watch(struct connection *connection, uint32_t events);
bool relay_watch_channel(struct connection *connection, bool watch);
/* 0: none. */
void relay_set_deadline(struct connection *connection, unsigned int seconds);

/* ---- connect.c [R]: a connection before it is open ---- */

void connect_begin(struct connection *connection); /* NOTE_NEW */
/* The program has said something, or hung up, before the guest is there. */
void connect_greeted(struct connection *connection, uint32_t events);
/* The connector has an answer, or is gone. */
void connect_replied(struct sockets *sockets);
/* The guest has opened the channel. False: the program is gone. */
bool connect_opened(struct connection *connection) MUST_CHECK;
/* The end of it: the program is hung up, the guest's wish refused, the channel withdrawn. */
void connection_end(struct connection *connection);

/* ---- stream.c [R]: an open one ---- */

/* One turn of both directions. */
void stream_turn(struct connection *connection);
void stream_event(struct connection *connection, uint32_t events);
/* Bytes that the program said before the guest was there. False: no memory. */
bool stream_keep(struct connection *connection, const void *bytes, uint32_t count) MUST_CHECK;

#endif
