/*
 * A guest that speaks the other half of VMBus, and the home of the server under test: its RAM, its
 * message slot, its event flags. One thread, unless a test uses more.
 */
#ifndef FAKE_VMBUS_GUEST_H
#define FAKE_VMBUS_GUEST_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "hosted/clock.h"
#include "vmbus/host.h"
#include "vmbus/vmbus.h"

#define GUEST_PAGES    512u
#define GUEST_VPS      4u
#define GUEST_MESSAGES 4096u
/* Of a guest whose version has one; the last of its RAM. */
#define GUEST_INTERRUPT_PAGE (GUEST_PAGES - 1)
/* The second of its monitor pages. */
#define GUEST_MONITOR_PAGE (GUEST_PAGES - 2)

struct guest_message {
	uint32_t vp;
	uint32_t size;
	uint8_t payload[VMBUS_MESSAGE_MAX];
};

struct vmbus_host {
	uint8_t *ram;
	atomic_int acquired[GUEST_PAGES]; /* by page; all must be 0 in the end */
	atomic_bool dirty[GUEST_PAGES];   /* the server or a device has said that it wrote there */
	atomic_bool log_is_kept;
	struct vmbus *bus;
	unsigned int first, count; /* of messages, posted and not yet looked at */
	bool slot_busy;
	bool no_connections;            /* vmbus_host_connect() fails */
	uint32_t version;               /* that the guest asked for */
	int events[VMBUS_MAX_CHANNELS]; /* by relid, -1 without a connection; 0: all channels' */
	unsigned int connections;
	pthread_mutex_t lock;                              /* of the two below */
	unsigned int flags[GUEST_VPS][VMBUS_MAX_CHANNELS]; /* signals so far */
	unsigned int lines;
	char line[256]; /* the last of the log */
	struct guest_message messages[GUEST_MESSAGES];
};

extern struct vmbus_host guest;

/* A half as the guest keeps it. */
struct guest_half {
	struct hv_ring_buffer *control;
	uint32_t first_page; /* of the data, an index in `pages` */
	const uint32_t *pages;
	uint32_t size;
	uint32_t index; /* our own: next to read or write */
};

struct guest_channel {
	uint32_t relid;
	uint32_t gpadl;
	uint32_t page_count;
	uint32_t pages[64]; /* of RAM */
	struct guest_half out, in;
};

struct guest_packet {
	struct vmpacket_descriptor descriptor;
	uint8_t bytes[20480]; /* the whole packet, descriptor included */
};

/* A new server, and a guest whose RAM has whatever was in it. The other ends both. */
void guest_create(void);
void guest_destroy(void);
/* The server goes, and a new one comes; the guest stays as it is. */
void guest_restart(void);
/* The control thread's turn: waits a moment for what there is, and serves. */
void guest_wait(void);
/* A test calls serve() until it holds. Nothing that has to happen takes a minute. */
#define GUEST_UNTIL(serve, condition)                                                              \
	do {                                                                                       \
		uint64_t end = clock_ms() + 60000;                                                 \
		while (!(condition)) {                                                             \
			assert_true(clock_ms() < end);                                             \
			serve();                                                                   \
		}                                                                                  \
	} while (0)
/*
 * A saved state, of malloc(): what `device` writes (NULL: nothing), then the server's, which is
 * paused. It comes out the same a second time.
 */
struct state_writer;
uint8_t *guest_save(void (*device)(struct state_writer *writer), size_t *size);

/* Posts a message, and lets the server act on it. The server's answer to the post. */
int guest_post(const void *message, size_t size);
/* The next message of the server's, or NULL. */
const void *guest_take(uint32_t type);
/* Are there none? */
bool guest_silent(void);

/* The handshake. True: it was accepted. */
bool guest_contact(uint32_t version);
/* Asks for the offers; the number of them. `relids` is by instance.data1 of the offer. */
unsigned int guest_offers(uint32_t *relids, unsigned int max);

/* Page numbers that are not contiguous: every second one from `first` on, backwards. */
void guest_scatter(uint32_t *pages, uint32_t count, uint32_t first);
/* Header and bodies, as many as it takes. The status of the answer, or -1 without one. */
int64_t guest_gpadl(uint32_t relid, uint32_t handle, const uint32_t *pages, uint32_t count);
int64_t guest_open(struct guest_channel *channel, uint32_t relid, uint32_t gpadl, uint32_t pages,
		   uint32_t first_page, uint32_t target_vp);
/* Closes it and tears its GPADL down. True: the server said that it is torn down. */
bool guest_close(struct guest_channel *channel);

uint8_t *guest_page(uint32_t page);
/* Writes a packet: `list` goes before the payload. False: no room. Signals as Linux does. */
bool guest_send(struct guest_channel *channel, uint16_t type, uint64_t transaction, uint16_t flags,
		const void *list, uint32_t list_bytes, const void *payload, uint32_t bytes);
/* False: there is none. Signals the server as Linux does if that waits for room. */
bool guest_receive(struct guest_channel *channel, struct guest_packet *packet);
/* Signals by the bit of the monitor page, and lets the server look. */
void guest_set_monitor(uint32_t monitor);
/* Signals of a channel that arrived at a VP so far. */
unsigned int guest_signals(uint32_t vp, uint32_t relid);

#endif
