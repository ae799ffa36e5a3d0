/*
 * An extension of the virtual switch: a shared object that `vswitchd --extension FILE[,OPTIONS]`
 * loads at its start, before its sandbox, for all of its switches. It exports one function,
 * switch_extension(), and is called on the switch's one thread; it must not block, and what system
 * calls it makes once it is loaded must be in the list of switch/sandbox.c.
 *
 * Kinds, and their order, as in Hyper-V. What a port sends passes the capturing extensions, then
 * the filtering ones, then the forwarding one; what a port receives passes the filtering ones, then
 * the capturing ones, each in the reverse order of loading. What is dropped on the way is not seen
 * further on. The switch's own policies always hold: those of form and source before, access lists
 * and the rest after the filters, VLANs whatever a forwarder chooses.
 *
 *   capture  sees all and changes nothing
 *   filter   may drop: by the sender, and for each receiver
 *   forward  at most one: chooses the receivers, or leaves it to the switch
 *
 * Frames are read, never written. A capturing extension is shown finished checksums.
 */
#ifndef SWITCH_EXTENSION_H
#define SWITCH_EXTENSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define EXTENSION_VERSION 1
#define EXTENSION_PORTS   256u

enum extension_kind { EXTENSION_CAPTURE, EXTENSION_FILTER, EXTENSION_FORWARD, EXTENSION_KINDS };

struct extension_part {
	const void *bytes;
	size_t length;
};

/* Valid until the call returns. */
struct extension_frame {
	const char *network; /* the switch's name */
	const char *sender;  /* the port's */
	uint16_t sender_index;
	uint16_t vlan;    /* 0: none; the tag is not in the frame */
	uint8_t gso;      /* enum port_gso: it is still to be cut */
	bool csum_needed; /* its checksum is still to be finished */
	uint16_t gso_bytes;
	uint32_t bytes;
	const uint8_t *head; /* the first bytes, a copy that nobody changes */
	uint32_t head_bytes;
	const struct extension_part *parts; /* the rest: a guest may change it while it is read */
	uint32_t part_count;
};

/* Bit n: the port of index n. */
struct extension_ports {
	uint64_t words[EXTENSION_PORTS / 64];
};

/* Functions that are not needed are NULL. `state` is what load() made. */
struct switch_extension {
	uint32_t version; /* EXTENSION_VERSION */
	enum extension_kind kind;
	const char *name;
	/* 0, or a negative errno and a sentence for the user. `options` may be empty. */
	int (*load)(const char *options, void **state, char *why, size_t why_bytes);
	void (*unload)(void *state);
	void (*port_added)(void *state, const char *network, const char *port, uint16_t index);
	void (*port_removed)(void *state, const char *network, const char *port, uint16_t index);
	/* A port sends. A filter's false drops it; what a capturing one returns is of no
	 * account. */
	bool (*sent)(void *state, const struct extension_frame *frame);
	/* A port receives. Likewise. */
	bool (*received)(void *state, const struct extension_frame *frame, const char *receiver,
			 uint16_t index);
	/* True: the receivers are those in `to`. False: the switch chooses. */
	bool (*forward)(void *state, const struct extension_frame *frame,
			struct extension_ports *to);
	/* The switch is going to sleep. */
	void (*idle)(void *state);
};

const struct switch_extension *switch_extension(void);

#endif
