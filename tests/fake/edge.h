/* An edge of a switch in memory: what is sent is what a test writes, what is received is kept. */
#ifndef TESTS_FAKE_EDGE_H
#define TESTS_FAKE_EDGE_H

#include "switch/switch.h"

#define FAKE_FRAMES 256u
#define FAKE_BYTES  66000u

struct fake_frame {
	uint8_t *bytes; /* malloc'ed, of the exact length */
	uint32_t length;
	struct frame_offload offload;
	bool tagged;
	uint16_t tag;
};

struct fake_edge {
	struct port *port;
	struct fake_frame sent[FAKE_FRAMES], received[FAKE_FRAMES];
	uint32_t sent_count, taken, received_count;
	uint32_t room;        /* frames that it takes yet; without any the port is full */
	uint32_t piece_bytes; /* how what it sends is cut into pieces; 0: not */
	uint32_t flushes;
};

extern const struct edge fake_edge, fake_kernel_edge;

/* A port of this edge; the switch's own failure ends the test. */
void fake_attach(struct fake_edge *edge, struct vswitch *net, const char *name);
void fake_detach(struct fake_edge *edge);
/* To be sent at the next turn. */
struct fake_frame *fake_send(struct fake_edge *edge, const void *bytes, uint32_t length);
/* Forgets what was received. */
void fake_clear(struct fake_edge *edge);

#endif
