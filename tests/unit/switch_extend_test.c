/* switch/extend.c: the order of extensions, what each may do, and what it is told. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "switch/extend.h"
#include "tests/fake/edge.h"
#include "tests/fake/packet.h"

static struct vswitch *net;
static struct fake_edge edges[3];
static struct extensions extensions;
static struct packet packet;
static char trace[256];
static bool drop_sent, drop_received, choose;

void check_failed(const char *file, int line, const char *what)
{
	fprintf(stderr, "%s:%d: CHECK(%s) failed\n", file, line, what);
	abort();
}

/* Each has its letter as its state, and writes it down when it is called. */
static void note(void *state, const char *what)
{
	snprintf(trace + strlen(trace), sizeof(trace) - strlen(trace), "%s%s ", (char *)state,
		 what);
}

static int load(const char *options, void **state, char *why, size_t why_bytes)
{
	if (options[0] == '\0') {
		snprintf(why, why_bytes, "no options");
		return -EINVAL;
	}
	*state = strdup(options);
	return 0;
}

static void unload(void *state)
{
	note(state, "-");
	free(state);
}

static bool capture_sent(void *state, const struct extension_frame *frame)
{
	/* Never unfinished, whatever the sender left to be done. */
	assert_false(frame->csum_needed);
	assert_int_equal(frame->bytes, packet.length);
	note(state, ">");
	return false; /* which is of no account */
}

static bool capture_received(void *state, const struct extension_frame *frame, const char *receiver,
			     uint16_t index)
{
	assert_false(frame->csum_needed);
	assert_string_equal(receiver, net->ports[index]->name);
	note(state, "<");
	return false;
}

static bool filter_sent(void *state, const struct extension_frame *frame)
{
	assert_string_equal(frame->sender, "p0");
	note(state, ">");
	return !drop_sent;
}

static bool filter_received(void *state, const struct extension_frame *frame, const char *receiver,
			    uint16_t index)
{
	(void)frame;
	(void)receiver;
	(void)index;
	note(state, "<");
	return !drop_received;
}

static bool forward(void *state, const struct extension_frame *frame, struct extension_ports *to)
{
	(void)frame;
	note(state, "!");
	to->words[0] = 1u << 2 | 1u; /* the sender is among them, and gets nothing */
	return choose;
}

static void port_added(void *state, const char *network, const char *port, uint16_t index)
{
	(void)index;
	assert_string_equal(network, "net");
	note(state, port);
}

static void port_removed(void *state, const char *network, const char *port, uint16_t index)
{
	(void)network;
	(void)port;
	(void)index;
	note(state, "gone");
}

static const struct switch_extension capturing = {.version = EXTENSION_VERSION,
						  .kind = EXTENSION_CAPTURE,
						  .name = "capture",
						  .load = load,
						  .unload = unload,
						  .sent = capture_sent,
						  .received = capture_received};
static const struct switch_extension filtering = {.version = EXTENSION_VERSION,
						  .kind = EXTENSION_FILTER,
						  .name = "filter",
						  .load = load,
						  .unload = unload,
						  .sent = filter_sent,
						  .received = filter_received};
static const struct switch_extension forwarding = {.version = EXTENSION_VERSION,
						   .kind = EXTENSION_FORWARD,
						   .name = "forward",
						   .load = load,
						   .unload = unload,
						   .port_added = port_added,
						   .port_removed = port_removed,
						   .forward = forward};

static void add(const struct switch_extension *of, const char *letter)
{
	char why[100];

	assert_int_equal(extend_add(&extensions, of, letter, why, sizeof(why)), 0);
}

static int setup(void **state)
{
	(void)state;
	memset(&extensions, 0, sizeof(extensions));
	drop_sent = drop_received = choose = false;
	trace[0] = '\0';
	/* In another order than they are called. */
	add(&forwarding, "w");
	add(&filtering, "f");
	add(&capturing, "c");
	add(&filtering, "g");
	add(&capturing, "d");
	assert_int_equal(vswitch_create("net", &net), 0);
	net->extensions = &extensions;
	fake_attach(&edges[0], net, "p0");
	fake_attach(&edges[1], net, "p1");
	fake_attach(&edges[2], net, "p2");
	assert_string_equal(trace, "wp0 wp1 wp2 ");
	trace[0] = '\0';
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	trace[0] = '\0';
	for (uint32_t i = 0; i < 3; i++) {
		fake_detach(&edges[i]);
	}
	assert_string_equal(trace, "wgone wgone wgone ");
	vswitch_destroy(&net);
	trace[0] = '\0';
	extend_unload(&extensions);
	assert_string_equal(trace, "w- g- f- d- c- ");
	return 0;
}

/* A frame without its checksum from p0 to everybody; who received it. */
static uint32_t go(void)
{
	uint32_t mask = 0;

	packet_udp(&packet, 4, 77, 0, 1, 1);
	packet_fill(&packet, 60);
	packet_close(&packet);
	packet_unfinish(&packet);
	fake_send(&edges[0], packet.bytes, packet.length)->offload = (struct frame_offload){
		.flags = PORT_CSUM_NEEDED, .csum_start = 34, .csum_offset = 6};
	trace[0] = '\0';
	vswitch_turn(net, 1000000000);
	for (uint32_t i = 0; i < 3; i++) {
		mask |= edges[i].received_count << i;
		fake_clear(&edges[i]);
	}
	return mask;
}

static void there_and_back(void **state)
{
	(void)state;
	assert_int_equal(go(), 0x06);
	assert_string_equal(trace, "c> d> f> g> w! g< f< d< c< g< f< d< c< ");
}

static void what_is_dropped_goes_no_further(void **state)
{
	(void)state;
	drop_sent = true;
	assert_int_equal(go(), 0);
	assert_string_equal(trace, "c> d> f> ");
	assert_int_equal(edges[0].port->stats.drops[DROP_FILTER], 1);
	drop_sent = false;
	drop_received = true;
	assert_int_equal(go(), 0);
	assert_string_equal(trace, "c> d> f> g> w! g< g< ");
	assert_int_equal(edges[1].port->stats.drops[DROP_FILTER], 1);
}

static void a_forwarder_chooses_among_those_that_may_hear(void **state)
{
	struct port_settings settings;

	(void)state;
	choose = true;
	assert_int_equal(go(), 0x04);
	port_defaults(&settings);
	settings.vlan = (struct vlan_settings){.mode = VLAN_ACCESS, .vlan = 5};
	assert_int_equal(port_set(edges[2].port, &settings), 0);
	assert_int_equal(go(), 0);
	assert_int_equal(edges[0].port->stats.drops[DROP_NOWHERE], 1);
}

static void what_cannot_be_loaded(void **state)
{
	struct switch_extension other = capturing;
	char why[100];

	(void)state;
	assert_int_equal(extend_add(&extensions, &forwarding, "x", why, sizeof(why)), -EEXIST);
	other.version = 99;
	assert_int_equal(extend_add(&extensions, &other, "x", why, sizeof(why)), -EPROTO);
	other.version = EXTENSION_VERSION;
	other.kind = EXTENSION_KINDS;
	assert_int_equal(extend_add(&extensions, &other, "x", why, sizeof(why)), -EPROTO);
	assert_int_equal(extend_add(&extensions, &capturing, "", why, sizeof(why)), -EINVAL);
	assert_string_equal(why, "no options");
	assert_int_equal(extend_load(&extensions, "/nonexistent", "", why, sizeof(why)), -ENOENT);
	assert_int_equal(extensions.count, 5);
}

int main(void)
{
#define ONE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
	const struct CMUnitTest tests[] = {
		ONE(there_and_back),
		ONE(what_is_dropped_goes_no_further),
		ONE(a_forwarder_chooses_among_those_that_may_hear),
		ONE(what_cannot_be_loaded),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
