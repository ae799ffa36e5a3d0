/*
 * The integration services against a guest that answers as Linux does, late, twice, wrongly or not
 * at all. The test moves the clocks; its thread is the control thread.
 */
#include "tests/fake/integration_host.h"
#include "lib/state.h"
#include "tests/fake/vmbus_guest.h"
#include "vsp/integration/ic.h"

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>

#include <cmocka.h>

#define RING  8u /* pages */
#define FIRST 64u
#define HEAD  28u
#define DATE  (1700000000ull * IC_SECOND)

static struct integration *integration;
static struct guest_channel channels[INTEGRATION_COUNT];
static uint32_t relids[INTEGRATION_COUNT];
static uint32_t next_gpadl;

/* A message of the host's, or one that becomes the answer to it. */
struct message {
	struct vmbuspipe_hdr pipe;
	struct icmsg_hdr head;
	uint8_t body[8192];
};

static const struct vmbus_guid types[] = {
	[INTEGRATION_SHUTDOWN] = VMBUS_GUID_SHUTDOWN,
	[INTEGRATION_HEARTBEAT] = VMBUS_GUID_HEARTBEAT,
	[INTEGRATION_TIME] = VMBUS_GUID_TIMESYNC,
	[INTEGRATION_KVP] = VMBUS_GUID_KVP,
	[INTEGRATION_VSS] = VMBUS_GUID_VSS,
	[INTEGRATION_FCOPY] = VMBUS_GUID_FILE_COPY,
};

/* ---- The guest ---- */

static void serve(void)
{
	vmbus_serve(guest.bus);
	integration_serve(integration);
	vmbus_serve(guest.bus);
}

static void pass(uint64_t seconds)
{
	home.clock += seconds * IC_SECOND;
	home.date += seconds * IC_SECOND;
	home.reference += seconds * 10000000;
	serve();
}

/* The offers that are there; how many. */
static unsigned int take_offers(void)
{
	const struct vmbus_channel_offer_channel *offer;
	unsigned int count = 0, i;
	uint32_t pipe;

	while ((offer = guest_take(CHANNELMSG_OFFERCHANNEL)) != NULL) {
		for (i = 0; i < INTEGRATION_COUNT; i++) {
			if (memcmp(&offer->offer.if_type, &types[i], sizeof(types[i])) == 0) {
				relids[i] = offer->child_relid;
			}
		}
		memcpy(&pipe, offer->offer.user_def, sizeof(pipe));
		assert_int_equal(pipe, VMBUS_PIPE_TYPE_MESSAGE);
		count++;
	}
	return count;
}

static void find_offers(void)
{
	struct vmbus_channel_message_header request = {.msgtype = CHANNELMSG_REQUESTOFFERS};

	assert_true(guest_contact(VERSION_WIN10_V5_3));
	assert_int_equal(guest_post(&request, sizeof(request)), 0);
	assert_int_equal(take_offers(), INTEGRATION_COUNT);
	assert_non_null(guest_take(CHANNELMSG_ALLOFFERS_DELIVERED));
}

static void open_channel(enum integration_service service)
{
	assert_int_equal(guest_open(&channels[service], relids[service], ++next_gpadl, RING,
				    FIRST + service * 4 * RING, 0),
			 0);
	serve();
}

/* The next message of the host's. */
static bool receive(enum integration_service service, struct message *message)
{
	struct guest_packet packet;

	if (!guest_receive(&channels[service], &packet)) {
		return false;
	}
	assert_int_equal(packet.descriptor.type, VM_PKT_DATA_INBAND);
	memset(message, 0, sizeof(*message));
	memcpy(message, packet.bytes + 16, packet.descriptor.len8 * 8u - 16);
	assert_int_equal(message->pipe.flags, 1);
	assert_int_equal(message->pipe.msgsize, message->head.icmsgsize + 20);
	assert_int_equal(message->head.icflags, ICMSGHDRFLAG_TRANSACTION | ICMSGHDRFLAG_REQUEST);
	return true;
}

static void expect(enum integration_service service, struct message *message)
{
	assert_true(receive(service, message));
}

static void expect_silence(enum integration_service service)
{
	struct message message;

	assert_false(receive(service, &message));
}

static void put(enum integration_service service, const struct message *message, uint32_t bytes)
{
	assert_true(
		guest_send(&channels[service], VM_PKT_DATA_INBAND, 77, 0, NULL, 0, message, bytes));
	serve();
}

static void answer(enum integration_service service, struct message *message, uint32_t status)
{
	message->head.status = status;
	message->head.icflags = ICMSGHDRFLAG_TRANSACTION | ICMSGHDRFLAG_RESPONSE;
	put(service, message, 8 + message->pipe.msgsize); /* as long as it came, as Linux does */
}

static void choose(struct message *message, struct ic_version framework, struct ic_version version)
{
	struct icmsg_negotiate body = {1, 1, 0};

	message->head.icmsgsize = 16;
	memcpy(message->body, &body, 8);
	memcpy(message->body + 8, &framework, 4);
	memcpy(message->body + 12, &version, 4);
}

/* Opened, and versions agreed on. */
static void contact(enum integration_service service, uint16_t major, uint16_t minor)
{
	struct message message;

	open_channel(service);
	expect(service, &message);
	assert_int_equal(message.head.icmsgtype, ICMSGTYPE_NEGOTIATE);
	choose(&message, (struct ic_version){3, 0}, (struct ic_version){major, minor});
	answer(service, &message, 0);
}

static struct integration_state state_of(enum integration_service service)
{
	struct integration_state state;

	integration_get_state(integration, service, &state);
	return state;
}

static int start(void **state)
{
	(void)state;
	memset(&home, 0, sizeof(home));
	home.clock = 1000 * IC_SECOND;
	home.date = DATE;
	home.reference = 5000000;
	guest_create();
	assert_int_equal(integration_create(guest.bus, &home, &integration), 0);
	find_offers();
	return 0;
}

static int stop(void **state)
{
	(void)state;
	guest_destroy();
	integration_destroy(&integration);
	return 0;
}

/* ---- Versions ---- */

static void test_contact(void **state)
{
	struct integration_state is = state_of(INTEGRATION_SHUTDOWN);
	struct message message;
	struct icmsg_negotiate offered;

	(void)state;
	assert_true(is.enabled);
	assert_false(is.contacted);
	assert_non_null(strstr(is.why, "has not opened its channel"));
	open_channel(INTEGRATION_SHUTDOWN);
	expect(INTEGRATION_SHUTDOWN, &message);
	assert_int_equal(message.head.icmsgtype, ICMSGTYPE_NEGOTIATE);
	memcpy(&offered, message.body, 8);
	assert_int_equal(offered.icframe_vercnt, 2);
	assert_int_equal(offered.icmsg_vercnt, 4);
	assert_int_equal(message.head.icmsgsize, 8 + 6 * 4);
	assert_non_null(strstr(state_of(INTEGRATION_SHUTDOWN).why, "which version it speaks"));
	pass(1000); /* a daemon may take its time */
	expect_silence(INTEGRATION_SHUTDOWN);
	choose(&message, (struct ic_version){1, 0}, (struct ic_version){3, 1});
	answer(INTEGRATION_SHUTDOWN, &message, 0);
	is = state_of(INTEGRATION_SHUTDOWN);
	assert_true(is.contacted);
	assert_null(is.why);
	assert_int_equal(is.framework.major, 1);
	assert_int_equal(is.message.major, 3);
	assert_int_equal(is.message.minor, 1);
	assert_false(is.answered);
	assert_int_equal(is.wrong_answers, 0);
	assert_true(home.changed[INTEGRATION_SHUTDOWN] >= 2);
	assert_true(guest_close(&channels[INTEGRATION_SHUTDOWN]));
	assert_false(state_of(INTEGRATION_SHUTDOWN).contacted);
	contact(INTEGRATION_SHUTDOWN, 3, 2); /* anew */
	assert_int_equal(state_of(INTEGRATION_SHUTDOWN).message.minor, 2);
}

static void refuse_version(struct message *message)
{
	answer(INTEGRATION_HEARTBEAT, message, 0);
	assert_false(state_of(INTEGRATION_HEARTBEAT).contacted);
	assert_non_null(strstr(state_of(INTEGRATION_HEARTBEAT).why, "none of the versions"));
	pass(10);
	expect_silence(INTEGRATION_HEARTBEAT);
	assert_true(guest_close(&channels[INTEGRATION_HEARTBEAT]));
	open_channel(INTEGRATION_HEARTBEAT);
	expect(INTEGRATION_HEARTBEAT, message);
}

static void test_no_version(void **state)
{
	struct message message;

	(void)state;
	open_channel(INTEGRATION_HEARTBEAT);
	expect(INTEGRATION_HEARTBEAT, &message);
	choose(&message, (struct ic_version){3, 0}, (struct ic_version){3, 0});
	memset(message.body, 0, 4); /* none fits */
	refuse_version(&message);
	choose(&message, (struct ic_version){3, 0}, (struct ic_version){9, 9});
	refuse_version(&message);
	choose(&message, (struct ic_version){2, 0}, (struct ic_version){3, 0});
	refuse_version(&message);
	choose(&message, (struct ic_version){3, 0}, (struct ic_version){3, 0});
	message.head.icmsgsize = 15; /* half of one */
	refuse_version(&message);
	choose(&message, (struct ic_version){3, 0}, (struct ic_version){3, 0});
	answer(INTEGRATION_HEARTBEAT, &message, 0);
	assert_true(state_of(INTEGRATION_HEARTBEAT).contacted);
}

/* ---- Answers that are none ---- */

static void expect_wrong(uint64_t *wrong)
{
	assert_int_equal(state_of(INTEGRATION_HEARTBEAT).wrong_answers, ++*wrong);
	assert_int_equal(home.lines, *wrong);
	assert_null(strstr(home.line, "\n"));
}

static void test_wrong_answers(void **state)
{
	struct message good, bad;
	uint64_t wrong = 0;
	unsigned int i;

	(void)state;
	contact(INTEGRATION_HEARTBEAT, 3, 0);
	expect(INTEGRATION_HEARTBEAT, &good);
	good.body[0]++;
	good.head.icflags = 5;
	for (i = 0; i < HEAD; i += 4) { /* all lengths that are too short for a head */
		put(INTEGRATION_HEARTBEAT, &good, i);
		expect_wrong(&wrong);
	}
	bad = good, bad.pipe.flags = 2;
	put(INTEGRATION_HEARTBEAT, &bad, 68);
	expect_wrong(&wrong);
	bad = good, bad.pipe.msgsize = 19;
	put(INTEGRATION_HEARTBEAT, &bad, 68);
	expect_wrong(&wrong);
	bad = good, bad.pipe.msgsize = UINT32_MAX;
	put(INTEGRATION_HEARTBEAT, &bad, 68);
	expect_wrong(&wrong);
	bad = good, bad.head.icmsgsize = 41;
	put(INTEGRATION_HEARTBEAT, &bad, 68);
	expect_wrong(&wrong);
	bad = good, bad.head.icflags = 3; /* our own request */
	put(INTEGRATION_HEARTBEAT, &bad, 68);
	expect_wrong(&wrong);
	bad = good, bad.head.ictransaction_id ^= 1;
	put(INTEGRATION_HEARTBEAT, &bad, 68);
	expect_wrong(&wrong);
	bad = good, bad.head.icmsgtype = ICMSGTYPE_NEGOTIATE;
	put(INTEGRATION_HEARTBEAT, &bad, 68);
	expect_wrong(&wrong);
	assert_true(guest_send(&channels[INTEGRATION_HEARTBEAT], VM_PKT_COMP, 0, 0, NULL, 0, &good,
			       68));
	serve();
	expect_wrong(&wrong);
	assert_false(state_of(INTEGRATION_HEARTBEAT).answered);
	put(INTEGRATION_HEARTBEAT, &good, 68);
	assert_true(state_of(INTEGRATION_HEARTBEAT).answered);
	put(INTEGRATION_HEARTBEAT, &good, 68); /* twice */
	expect_wrong(&wrong);
	pass(2);
	expect(INTEGRATION_HEARTBEAT, &good);
	assert_int_equal(good.body[0], 2);
	answer(INTEGRATION_HEARTBEAT, &good, 0); /* without one more */
	expect_wrong(&wrong);
	pass(2);
	expect(INTEGRATION_HEARTBEAT, &good);
}

/* Who asks for a completion gets one, empty. */
static void test_completion(void **state)
{
	struct guest_packet packet;
	struct message message = {0};

	(void)state;
	contact(INTEGRATION_SHUTDOWN, 3, 2);
	assert_true(guest_send(&channels[INTEGRATION_SHUTDOWN], VM_PKT_DATA_INBAND, 1234, 1, NULL,
			       0, &message, HEAD));
	serve();
	assert_true(guest_receive(&channels[INTEGRATION_SHUTDOWN], &packet));
	assert_int_equal(packet.descriptor.type, VM_PKT_COMP);
	assert_int_equal(packet.descriptor.trans_id, 1234);
}

/* Many packets at once: the control thread comes back to the rest, and to nothing when it is
 * done. */
static void test_flood(void **state)
{
	struct pollfd fd = {integration_fd(integration), POLLIN, 0};
	struct message message = {0};
	unsigned int i, turns = 0;

	(void)state;
	contact(INTEGRATION_SHUTDOWN, 3, 2);
	for (i = 0; i < 100; i++) {
		assert_true(guest_send(&channels[INTEGRATION_SHUTDOWN], VM_PKT_DATA_INBAND, 0, 0,
				       NULL, 0, &message, HEAD));
	}
	while (poll(&fd, 1, 100) == 1) {
		integration_serve(integration);
		turns++;
	}
	assert_int_equal(state_of(INTEGRATION_SHUTDOWN).wrong_answers, 100);
	assert_in_range(turns, 4, 8);
}

/* ---- Heartbeat ---- */

static void beat(uint32_t application)
{
	struct message message;

	expect(INTEGRATION_HEARTBEAT, &message);
	assert_int_equal(message.head.icmsgtype, ICMSGTYPE_HEARTBEAT);
	message.body[0]++;
	memcpy(message.body + 8, &application, 4);
	answer(INTEGRATION_HEARTBEAT, &message, 0);
}

static void test_heartbeat(void **state)
{
	struct message message;
	unsigned int changes;

	(void)state;
	assert_int_equal(state_of(INTEGRATION_HEARTBEAT).heartbeat, INTEGRATION_HEARTBEAT_NONE);
	contact(INTEGRATION_HEARTBEAT, 3, 0);
	beat(IC_APPLICATION_OK);
	assert_int_equal(state_of(INTEGRATION_HEARTBEAT).heartbeat, INTEGRATION_HEARTBEAT_OK);
	assert_int_equal(state_of(INTEGRATION_HEARTBEAT).application, INTEGRATION_APPLICATION_OK);
	assert_int_equal(state_of(INTEGRATION_HEARTBEAT).last_answer_ns, home.clock);
	pass(1);
	expect_silence(INTEGRATION_HEARTBEAT);
	pass(1);
	beat(IC_APPLICATION_CRITICAL);
	assert_int_equal(state_of(INTEGRATION_HEARTBEAT).application,
			 INTEGRATION_APPLICATION_CRITICAL);
	changes = home.changed[INTEGRATION_HEARTBEAT];
	pass(2);
	beat(IC_APPLICATION_CRITICAL);
	assert_int_equal(home.changed[INTEGRATION_HEARTBEAT], changes);
	pass(2);
	beat(12345);
	assert_int_equal(state_of(INTEGRATION_HEARTBEAT).application,
			 INTEGRATION_APPLICATION_UNKNOWN);
	pass(2);
	expect(INTEGRATION_HEARTBEAT, &message);
	pass(2);
	pass(2);
	assert_int_equal(state_of(INTEGRATION_HEARTBEAT).heartbeat, INTEGRATION_HEARTBEAT_OK);
	pass(2);
	assert_int_equal(state_of(INTEGRATION_HEARTBEAT).heartbeat, INTEGRATION_HEARTBEAT_LOST);
	pass(1000);
	expect_silence(INTEGRATION_HEARTBEAT); /* it is not asked again */
	message.body[0]++;
	answer(INTEGRATION_HEARTBEAT, &message, 0);
	assert_int_equal(state_of(INTEGRATION_HEARTBEAT).heartbeat, INTEGRATION_HEARTBEAT_OK);
	assert_true(guest_close(&channels[INTEGRATION_HEARTBEAT]));
	assert_int_equal(state_of(INTEGRATION_HEARTBEAT).heartbeat, INTEGRATION_HEARTBEAT_NONE);
}

/* A body as short as the first Linux drivers had. */
static void test_heartbeat_short(void **state)
{
	struct message message;

	(void)state;
	contact(INTEGRATION_HEARTBEAT, 1, 0);
	expect(INTEGRATION_HEARTBEAT, &message);
	message.body[0]++;
	message.head.icmsgsize = 8;
	answer(INTEGRATION_HEARTBEAT, &message, 0);
	assert_int_equal(state_of(INTEGRATION_HEARTBEAT).heartbeat, INTEGRATION_HEARTBEAT_OK);
	pass(2);
	expect(INTEGRATION_HEARTBEAT, &message);
	message.head.icmsgsize = 7;
	answer(INTEGRATION_HEARTBEAT, &message, 0);
	assert_int_equal(state_of(INTEGRATION_HEARTBEAT).wrong_answers, 1);
}

static void test_heartbeat_pause(void **state)
{
	(void)state;
	contact(INTEGRATION_HEARTBEAT, 3, 0);
	home.stands = true;
	pass(100);
	home.stands = false;
	integration_resumed(integration);
	serve();
	assert_int_equal(state_of(INTEGRATION_HEARTBEAT).heartbeat, INTEGRATION_HEARTBEAT_OK);
	pass(4);
	assert_int_equal(state_of(INTEGRATION_HEARTBEAT).heartbeat, INTEGRATION_HEARTBEAT_OK);
	pass(2);
	assert_int_equal(state_of(INTEGRATION_HEARTBEAT).heartbeat, INTEGRATION_HEARTBEAT_LOST);
	beat(0);
	assert_int_equal(state_of(INTEGRATION_HEARTBEAT).heartbeat, INTEGRATION_HEARTBEAT_OK);
	home.stands = true; /* nobody says that it goes on */
	pass(100);
	home.stands = false;
	pass(0);
	assert_int_equal(state_of(INTEGRATION_HEARTBEAT).heartbeat, INTEGRATION_HEARTBEAT_OK);
}

/* ---- Time ---- */

static struct ictimesync_ref_data expect_sample(uint8_t flags)
{
	struct ictimesync_ref_data sample;
	struct message message;

	expect(INTEGRATION_TIME, &message);
	assert_int_equal(message.head.icmsgtype, ICMSGTYPE_TIMESYNC);
	assert_int_equal(message.head.icmsgsize, sizeof(sample));
	memcpy(&sample, message.body, sizeof(sample));
	assert_int_equal(sample.flags, flags);
	answer(INTEGRATION_TIME, &message, 0);
	return sample;
}

static void test_time(void **state)
{
	struct ictimesync_ref_data sample;

	(void)state;
	home.reading_ns = 8000;
	contact(INTEGRATION_TIME, 4, 0);
	sample = expect_sample(ICTIMESYNCFLAG_SYNC);
	/* Both are of the same moment: DATE was at 5000000, but for half a reading. */
	assert_int_equal(sample.parenttime - (IC_TIME_OF_1970 + DATE / 100),
			 sample.vmreferencetime - 5000000);
	assert_true(state_of(INTEGRATION_TIME).answered);
	pass(4);
	expect_silence(INTEGRATION_TIME);
	pass(1);
	sample = expect_sample(ICTIMESYNCFLAG_SAMPLE);
	assert_int_equal(sample.parenttime - (IC_TIME_OF_1970 + DATE / 100),
			 sample.vmreferencetime - 5000000);
	time_stepped(&integration->time);
	expect_sample(ICTIMESYNCFLAG_SYNC);
	pass(5);
	expect_sample(ICTIMESYNCFLAG_SAMPLE);
	/* A pause: the reference time stands. */
	home.stands = true;
	home.date += 3600 * IC_SECOND, home.clock += 3600 * IC_SECOND;
	serve();
	expect_silence(INTEGRATION_TIME);
	home.stands = false;
	integration_resumed(integration);
	sample = expect_sample(ICTIMESYNCFLAG_SYNC);
	assert_int_equal(sample.parenttime - (IC_TIME_OF_1970 + DATE / 100),
			 sample.vmreferencetime - 5000000 + 36000000000ull);
	assert_int_equal(state_of(INTEGRATION_TIME).wrong_answers, 0);
}

/* A sync that falls due while the guest has a sample goes next, once. */
static void test_time_waits(void **state)
{
	struct message message;

	(void)state;
	contact(INTEGRATION_TIME, 4, 0);
	expect(INTEGRATION_TIME, &message);
	time_stepped(&integration->time);
	time_stepped(&integration->time);
	integration_resumed(integration);
	pass(5);
	expect_silence(INTEGRATION_TIME);
	answer(INTEGRATION_TIME, &message, 0);
	expect_sample(ICTIMESYNCFLAG_SYNC);
	expect_silence(INTEGRATION_TIME);
	/* No answer for a minute: it is given up, and a late one is dropped. */
	pass(5);
	expect(INTEGRATION_TIME, &message);
	time_stepped(&integration->time);
	pass(60);
	expect_sample(ICTIMESYNCFLAG_SYNC);
	answer(INTEGRATION_TIME, &message, 0);
	assert_int_equal(state_of(INTEGRATION_TIME).wrong_answers, 1);
}

static void test_time_without_reference(void **state)
{
	(void)state;
	home.no_reference = -EIO;
	contact(INTEGRATION_TIME, 4, 0);
	expect_silence(INTEGRATION_TIME);
	home.no_reference = 0;
	pass(5);
	expect_sample(ICTIMESYNCFLAG_SYNC);
}

static void test_time_old(void **state)
{
	struct ictimesync_data sample;
	struct message message;

	(void)state;
	contact(INTEGRATION_TIME, 3, 0);
	expect(INTEGRATION_TIME, &message);
	assert_int_equal(message.head.icmsgsize, sizeof(sample));
	memcpy(&sample, message.body, sizeof(sample));
	assert_int_equal(sample.parenttime, IC_TIME_OF_1970 + DATE / 100);
	assert_int_equal(sample.roundtriptime, 0);
	assert_int_equal(sample.flags, ICTIMESYNCFLAG_SYNC);
}

/* ---- Shutdown ---- */

static int ended; /* what done() said; 1: it was not called */
static unsigned int agreements;
static char ended_why[128];

static void done(void *user, int ret, const char *why)
{
	assert_ptr_equal(user, &ended);
	assert_int_equal(ended, 1);
	ended = ret;
	strcpy(ended_why, why != NULL ? why : "");
}

static void agreed(void *user)
{
	assert_ptr_equal(user, &ended);
	agreements++;
}

static int shut_down(unsigned int flags)
{
	const struct integration_shutdown shutdown = {
		.flags = flags, .agreed = agreed, .done = done, .user = &ended};
	int ret = integration_shutdown(integration, &shutdown);

	ended = ret == 0 ? 1 : ended;
	return ret;
}

static void expect_shutdown(struct message *message, uint32_t flags)
{
	struct shutdown_msg_data body;

	expect(INTEGRATION_SHUTDOWN, message);
	assert_int_equal(message->head.icmsgtype, ICMSGTYPE_SHUTDOWN);
	assert_int_equal(message->head.icmsgsize, sizeof(body));
	memcpy(&body, message->body, sizeof(body));
	assert_int_equal(body.flags, flags);
	assert_int_equal(body.reason_code, IC_SHUTDOWN_PLANNED);
}

static void test_shutdown(void **state)
{
	struct message message;

	(void)state;
	agreements = 0;
	assert_int_equal(shut_down(0), -ENOTCONN);
	contact(INTEGRATION_SHUTDOWN, 3, 2);
	home.stands = true;
	assert_int_equal(shut_down(0), -EAGAIN);
	home.stands = false;
	assert_int_equal(shut_down(0), 0);
	assert_int_equal(shut_down(0), -EBUSY);
	expect_shutdown(&message, 0);
	answer(INTEGRATION_SHUTDOWN, &message, 0);
	assert_int_equal(ended, 1);
	assert_int_equal(agreements, 1);
	assert_int_equal(shut_down(INTEGRATION_FORCE), -EBUSY);
	pass(599);
	assert_int_equal(ended, 1);
	assert_true(guest_close(&channels[INTEGRATION_SHUTDOWN]));
	integration_ended(integration, INTEGRATION_END_OFF);
	assert_int_equal(ended, 0);
	integration_ended(integration, INTEGRATION_END_RESET);
	/* Forced, and a restart. */
	contact(INTEGRATION_SHUTDOWN, 3, 2);
	assert_int_equal(shut_down(INTEGRATION_FORCE), 0);
	expect_shutdown(&message, IC_SHUTDOWN_FORCE);
	answer(INTEGRATION_SHUTDOWN, &message, HV_E_FAIL);
	assert_int_equal(ended, -EOPNOTSUPP);
	assert_int_equal(shut_down(INTEGRATION_RESTART), 0);
	expect_shutdown(&message, IC_SHUTDOWN_RESTART);
	answer(INTEGRATION_SHUTDOWN, &message, 0);
	integration_ended(integration, INTEGRATION_END_RESET);
	assert_int_equal(ended, 0);
	assert_int_equal(shut_down(INTEGRATION_RESTART | INTEGRATION_FORCE), 0);
	expect_shutdown(&message, IC_SHUTDOWN_RESTART | IC_SHUTDOWN_FORCE);
	answer(INTEGRATION_SHUTDOWN, &message, 0);
	integration_ended(integration, INTEGRATION_END_OFF);
	assert_int_equal(ended, -EINTR);
	assert_non_null(strstr(ended_why, "power off instead"));
}

static void test_shutdown_silence(void **state)
{
	struct message message, late;

	(void)state;
	contact(INTEGRATION_SHUTDOWN, 3, 0);
	assert_int_equal(shut_down(0), 0);
	expect_shutdown(&late, 0);
	pass(30);
	home.stands = true; /* a pause is not the guest's silence */
	pass(1000);
	home.stands = false;
	integration_resumed(integration);
	pass(59);
	assert_int_equal(ended, 1);
	pass(1);
	assert_int_equal(ended, -ETIMEDOUT);
	/* Its answer comes after all. */
	assert_int_equal(shut_down(INTEGRATION_RESTART), 0);
	expect_shutdown(&message, IC_SHUTDOWN_RESTART);
	agreements = 0;
	answer(INTEGRATION_SHUTDOWN, &late, 0);
	assert_int_equal(agreements, 0);
	assert_int_equal(state_of(INTEGRATION_SHUTDOWN).wrong_answers, 1);
	answer(INTEGRATION_SHUTDOWN, &message, 0);
	assert_int_equal(agreements, 1);
	pass(600);
	assert_int_equal(ended, -ETIMEDOUT);
	assert_non_null(strstr(ended_why, "still there"));
	/* It goes away. */
	assert_int_equal(shut_down(0), 0);
	assert_true(guest_close(&channels[INTEGRATION_SHUTDOWN]));
	assert_int_equal(ended, -ECONNRESET);
	/* Nobody wants to know any more. */
	contact(INTEGRATION_SHUTDOWN, 3, 0);
	assert_int_equal(shut_down(0), 0);
	integration_shutdown_forget(integration);
	assert_int_equal(shut_down(0), -EBUSY); /* the guest has it */
	ended = 1;
	expect_shutdown(&message, 0);
	answer(INTEGRATION_SHUTDOWN, &message, 0);
	integration_ended(integration, INTEGRATION_END_OFF);
	assert_int_equal(ended, 1);
}

/* ---- Values ---- */

static int kvp_ended;
static unsigned int pairs;
static struct integration_pair last;

static bool each(void *user, uint32_t index, const struct integration_pair *pair)
{
	assert_ptr_equal(user, &pairs);
	pairs++;
	assert_true(index < pairs);
	last = *pair;
	return pairs < 5;
}

static void kvp_done(void *user, int ret, const char *why)
{
	assert_ptr_equal(user, &pairs);
	assert_int_equal(kvp_ended, 1);
	assert_int_equal(ret == 0, why == NULL);
	kvp_ended = ret;
}

static int exchange(enum integration_kvp_operation operation, const struct integration_pair *pair)
{
	const struct integration_kvp what = {.operation = operation,
					     .pool = INTEGRATION_POOL_GUEST,
					     .pair = pair,
					     .each = each,
					     .done = kvp_done,
					     .user = &pairs};
	int ret = integration_kvp(integration, &what);

	if (ret == 0) {
		kvp_ended = 1;
	}
	return ret;
}

static void expect_kvp(struct message *message, struct hv_kvp_msg *body, uint8_t operation)
{
	expect(INTEGRATION_KVP, message);
	assert_int_equal(message->head.icmsgtype, ICMSGTYPE_KVPEXCHANGE);
	assert_int_equal(message->head.icmsgsize, sizeof(*body));
	memcpy(body, message->body, sizeof(*body));
	assert_int_equal(body->kvp_hdr.operation, operation);
	assert_int_equal(body->kvp_hdr.pool, INTEGRATION_POOL_GUEST);
}

static void answer_kvp(struct message *message, const struct hv_kvp_msg *body, uint32_t status)
{
	memcpy(message->body, body, sizeof(*body));
	answer(INTEGRATION_KVP, message, status);
}

/* As UTF-16 with its NUL; its bytes. */
static uint32_t wide(const char *text, uint8_t *to)
{
	uint32_t bytes = 0;

	do {
		to[bytes++] = (uint8_t)*text;
		to[bytes++] = 0;
	} while (*text++ != '\0');
	return bytes;
}

static void test_kvp_set(void **state)
{
	static struct integration_pair pair = {.key = "k\xc3\xa9y", .text = "v\xf0\x9f\x98\x80"};
	static const uint8_t key[] = {'k', 0, 0xe9, 0, 'y', 0, 0, 0};
	static const uint8_t value[] = {'v', 0, 0x3d, 0xd8, 0x00, 0xde, 0, 0};
	struct message message;
	struct hv_kvp_msg body;

	(void)state;
	assert_int_equal(exchange(INTEGRATION_KVP_SET, &pair), -ENOTCONN);
	assert_non_null(strstr(kvp_class.silence, "hv_kvp_daemon"));
	contact(INTEGRATION_KVP, 4, 0);
	assert_int_equal(exchange(INTEGRATION_KVP_SET, &pair), 0);
	expect_kvp(&message, &body, KVP_OP_SET);
	assert_int_equal(body.body.value.value_type, 1);
	assert_int_equal(body.body.value.key_size, sizeof(key));
	assert_memory_equal(body.body.value.key, key, sizeof(key));
	assert_int_equal(body.body.value.value_size, sizeof(value));
	assert_memory_equal(body.body.value.value, value, sizeof(value));
	answer_kvp(&message, &body, 0);
	assert_int_equal(kvp_ended, 0);
	pair.type = INTEGRATION_NUMBER64;
	pair.number = 0x1234567890ull;
	assert_int_equal(exchange(INTEGRATION_KVP_SET, &pair), 0);
	expect_kvp(&message, &body, KVP_OP_SET);
	assert_int_equal(body.body.value.value_type, 8);
	assert_int_equal(body.body.value.value_size, 8);
	assert_memory_equal(body.body.value.value, &pair.number, 8);
	answer_kvp(&message, &body, HV_E_FAIL);
	assert_int_equal(kvp_ended, -EREMOTEIO);
	pair.type = INTEGRATION_NUMBER32;
	assert_int_equal(exchange(INTEGRATION_KVP_SET, &pair), 0);
	expect_kvp(&message, &body, KVP_OP_SET);
	assert_int_equal(body.body.value.value_type, 4);
	assert_int_equal(body.body.value.value_size, 4);
	answer_kvp(&message, &body, HV_ERROR_UNSUPPORTED);
	assert_int_equal(kvp_ended, -EREMOTEIO);
	assert_int_equal(exchange(INTEGRATION_KVP_DELETE, &pair), 0);
	expect_kvp(&message, &body, KVP_OP_DELETE);
	assert_int_equal(body.body.remove.key_size, sizeof(key));
	assert_memory_equal(body.body.remove.key, key, sizeof(key));
	answer_kvp(&message, &body, HV_S_CONT);
	assert_int_equal(kvp_ended, -ENOENT);
	/* What does not fit is not sent. */
	memset(pair.key, 'a', 256), pair.key[256] = '\0';
	assert_int_equal(exchange(INTEGRATION_KVP_GET, &pair), -EINVAL);
	pair.key[255] = '\0';
	memset(pair.text, 'a', 1024), pair.text[1024] = '\0';
	pair.type = INTEGRATION_EXPAND;
	assert_int_equal(exchange(INTEGRATION_KVP_SET, &pair), -EINVAL);
	pair.text[1023] = '\0';
	assert_int_equal(exchange(INTEGRATION_KVP_SET, &pair), 0);
	expect_kvp(&message, &body, KVP_OP_SET);
	assert_int_equal(body.body.value.key_size, 512);
	assert_int_equal(body.body.value.value_size, 2048);
	assert_int_equal(body.body.value.value_type, 2);
	pair.key[0] = '\xff';
	assert_int_equal(exchange(INTEGRATION_KVP_GET, &pair), -EINVAL);
	pair.key[0] = '\0';
	assert_int_equal(exchange(INTEGRATION_KVP_GET, &pair), -EINVAL);
}

static void test_kvp_list(void **state)
{
	struct hv_kvp_exchg_msg_value *value;
	struct message message;
	struct hv_kvp_msg body;
	unsigned int i;

	(void)state;
	contact(INTEGRATION_KVP, 4, 0);
	pairs = 0;
	assert_int_equal(exchange(INTEGRATION_KVP_LIST, NULL), 0);
	value = &body.body.enumerate.value;
	for (i = 0; i < 3; i++) {
		expect_kvp(&message, &body, KVP_OP_ENUMERATE);
		assert_int_equal(body.body.enumerate.index, i);
		value->key_size = wide("name", value->key);
		value->value_size = wide("value", value->value);
		value->value_type = 1;
		answer_kvp(&message, &body, 0);
		assert_string_equal(last.key, "name");
		assert_string_equal(last.text, "value");
	}
	expect_kvp(&message, &body, KVP_OP_ENUMERATE);
	answer_kvp(&message, &body, HV_S_CONT);
	assert_int_equal(pairs, 3);
	assert_int_equal(kvp_ended, 0);
	/* Until it is enough. */
	pairs = 0;
	assert_int_equal(exchange(INTEGRATION_KVP_LIST, NULL), 0);
	for (i = 0; i < 5; i++) {
		assert_int_equal(kvp_ended, 1);
		expect_kvp(&message, &body, KVP_OP_ENUMERATE);
		value->key_size = wide("name", value->key);
		value->value_size = 8;
		value->value_type = 11;
		answer_kvp(&message, &body, 0);
	}
	assert_int_equal(kvp_ended, 0);
	assert_int_equal(last.type, INTEGRATION_NUMBER64);
}

/* What is no text, or no value, ends the request and counts as a wrong answer. */
static void put_pair(struct hv_kvp_exchg_msg_value *pair, const char *key, const char *value)
{
	pair->value_type = IC_REG_SZ;
	pair->key_size = wide(key, pair->key);
	pair->value_size = wide(value, pair->value);
}

/* Linux answers to a key with nothing, or not at all: then it is looked for in the list. */
static void test_kvp_get(void **state)
{
	static const struct integration_pair pair = {.key = "wanted"};
	struct message message;
	struct hv_kvp_msg body;

	(void)state;
	contact(INTEGRATION_KVP, 4, 0);
	pairs = 0;
	assert_int_equal(exchange(INTEGRATION_KVP_GET, &pair), 0);
	expect_kvp(&message, &body, KVP_OP_GET);
	put_pair(&body.body.value, "wanted", "it");
	answer_kvp(&message, &body, 0);
	assert_int_equal(kvp_ended, 0);
	assert_string_equal(last.text, "it");
	assert_int_equal(exchange(INTEGRATION_KVP_GET, &pair), 0);
	expect_kvp(&message, &body, KVP_OP_GET);
	put_pair(&body.body.value, "wanted", "");
	answer_kvp(&message, &body, 0);
	expect_kvp(&message, &body, KVP_OP_ENUMERATE);
	assert_int_equal(body.body.enumerate.index, 0);
	put_pair(&body.body.enumerate.value, "another", "no");
	answer_kvp(&message, &body, 0);
	expect_kvp(&message, &body, KVP_OP_ENUMERATE);
	assert_int_equal(body.body.enumerate.index, 1);
	put_pair(&body.body.enumerate.value, "wanted", "found");
	answer_kvp(&message, &body, 0);
	assert_int_equal(kvp_ended, 0);
	assert_string_equal(last.text, "found");
	assert_string_equal(last.key, "wanted");
	assert_int_equal(pairs, 2);
	expect_silence(INTEGRATION_KVP);
	assert_int_equal(exchange(INTEGRATION_KVP_GET, &pair), 0);
	expect_kvp(&message, &body, KVP_OP_GET);
	answer_kvp(&message, &body, HV_S_CONT);
	expect_kvp(&message, &body, KVP_OP_ENUMERATE);
	answer_kvp(&message, &body, HV_S_CONT);
	assert_int_equal(kvp_ended, -ENOENT);
	assert_int_equal(exchange(INTEGRATION_KVP_GET, &pair), 0);
	expect_kvp(&message, &body, KVP_OP_GET);
	answer_kvp(&message, &body, HV_E_FAIL);
	assert_int_equal(kvp_ended, -EREMOTEIO);
	/* A list has no key, whatever comes with it. */
	assert_int_equal(exchange(INTEGRATION_KVP_LIST, &(struct integration_pair){.key = ""}), 0);
	expect_kvp(&message, &body, KVP_OP_ENUMERATE);
	answer_kvp(&message, &body, HV_S_CONT);
}

/* ---- Addresses ---- */

static struct integration_addresses got_addresses;

static void got(void *user, const struct integration_addresses *addresses)
{
	assert_ptr_equal(user, &pairs);
	got_addresses = *addresses;
}

static const struct integration_adapter adapter = {
	.mac = {0x02, 0xab, 0, 0, 0, 0x0f},
	.instance = {0x56, 0x44, 0x4e, 0x45, 0x54, 0x00, 0x00, 0x40, 0x80, [15] = 0x01},
};

static const struct integration_addresses some_addresses = {
	.address_count = 3,
	.addresses = {{.bytes = {192, 0, 2, 7}, .prefix = 23},
		      {.six = true, .bytes = {0x20, 1, 0x0d, 0xb8, [15] = 7}, .prefix = 64},
		      {.bytes = {10, 0, 0, 1}, .prefix = 8}},
	.gateway_count = 1,
	.gateways = {{.bytes = {192, 0, 2, 1}, .prefix = 32}},
	.dns_count = 1,
	.dns = {{.six = true, .bytes = {0xfd, [15] = 1}, .prefix = 128}},
};

static void ask_addresses(const struct integration_addresses *set)
{
	const struct integration_kvp what = {.operation = set != NULL
								  ? INTEGRATION_KVP_SET_ADDRESSES
								  : INTEGRATION_KVP_GET_ADDRESSES,
					     .adapter = &adapter,
					     .addresses = set,
					     .got = got,
					     .done = kvp_done,
					     .user = &pairs};

	assert_int_equal(integration_kvp(integration, &what), 0);
	kvp_ended = 1;
}

static void expect_text(const uint8_t *is, const char *text)
{
	uint8_t wanted[512];

	assert_memory_equal(is, wanted, wide(text, wanted));
}

static void expect_ip(struct message *message, void *body, size_t bytes, uint8_t operation)
{
	expect(INTEGRATION_KVP, message);
	assert_int_equal(message->head.icmsgsize, bytes);
	memcpy(body, message->body, bytes);
	assert_int_equal(message->body[0], operation);
}

static void test_addresses(void **state)
{
	struct hv_kvp_ip_msg body;
	struct message message;

	(void)state;
	contact(INTEGRATION_KVP, 4, 0);
	ask_addresses(&some_addresses);
	expect_ip(&message, &body, sizeof(body), KVP_OP_SET_IP_INFO);
	expect_text(body.adapter_id, "{454e4456-0054-4000-8000-000000000001}");
	expect_text(body.ip_addr, "192.0.2.7;2001:db8::7;10.0.0.1");
	expect_text(body.sub_net, "255.255.254.0;64;255.0.0.0");
	expect_text(body.gate_way, "192.0.2.1");
	expect_text(body.dns_addr, "fd00::1");
	assert_int_equal(body.addr_family, 3);
	answer(INTEGRATION_KVP, &message, HV_E_FAIL);
	assert_int_equal(kvp_ended, -EREMOTEIO);
	ask_addresses(NULL);
	expect_ip(&message, &body, sizeof(body), KVP_OP_GET_IP_INFO);
	expect_text(body.adapter_id, "02:AB:00:00:00:0F");
	/* As Linux writes it, with things that are none. */
	body.dhcp_enabled = 1;
	wide("192.0.2.7;2001:db8::7;x;10.0.0.1", body.ip_addr);
	wide("255.255.254.0;/64;1;255.0.0.0", body.sub_net);
	wide("192.0.2.1;", body.gate_way);
	wide(" fd00::1;; ;", body.dns_addr);
	memcpy(message.body, &body, sizeof(body));
	answer(INTEGRATION_KVP, &message, 0);
	assert_int_equal(kvp_ended, 0);
	assert_true(got_addresses.dhcp);
	got_addresses.dhcp = false;
	assert_int_equal(got_addresses.address_count, 3);
	assert_int_equal(got_addresses.addresses[2].prefix, 8);
	assert_memory_equal(got_addresses.addresses, some_addresses.addresses,
			    3 * sizeof(got_addresses.addresses[0]));
	assert_memory_equal(&got_addresses.gateways[0], &some_addresses.gateways[0],
			    sizeof(got_addresses.gateways[0]));
	assert_int_equal(got_addresses.dns_count, 1);
	/* No end anywhere; more than there is room for; a prefix that is too long; an answer that
	 * is too short. */
	ask_addresses(NULL);
	expect_ip(&message, &body, sizeof(body), KVP_OP_GET_IP_INFO);
	memset(message.body, 'a', sizeof(body));
	answer(INTEGRATION_KVP, &message, 0);
	assert_int_equal(got_addresses.address_count, 0);
	ask_addresses(NULL);
	expect_ip(&message, &body, sizeof(body), KVP_OP_GET_IP_INFO);
	wide("1.1.1.1;1.1.1.1;1.1.1.1;1.1.1.1;1.1.1.1;1.1.1.1;1.1.1.1;1.1.1.1;1.1.1.1;1.1.1.1;"
	     "1.1.1.1;1.1.1.1;1.1.1.1;1.1.1.1;1.1.1.1;1.1.1.1;1.1.1.1;1.1.1.1",
	     body.ip_addr);
	wide("99999999999999999999;-7", body.sub_net);
	memcpy(message.body, &body, sizeof(body));
	answer(INTEGRATION_KVP, &message, 0);
	assert_int_equal(got_addresses.address_count, INTEGRATION_ADDRESSES_MAX);
	assert_int_equal(got_addresses.addresses[0].prefix, 32);
	ask_addresses(NULL);
	expect_ip(&message, &body, sizeof(body), KVP_OP_GET_IP_INFO);
	message.head.icmsgsize = sizeof(body) - 1;
	answer(INTEGRATION_KVP, &message, 0);
	assert_int_equal(kvp_ended, -EBADMSG);
}

static void test_addresses_binary(void **state)
{
	struct ic_kvp_ip_binary body;
	struct message message;

	(void)state;
	contact(INTEGRATION_KVP, 5, 0);
	ask_addresses(&some_addresses);
	expect_ip(&message, &body, sizeof(body), KVP_OP_SET_IP_INFO);
	assert_int_equal(body.address4_count, 2);
	assert_int_equal(body.address6_count, 1);
	assert_int_equal(body.subnets6[0], 64);
	assert_memory_equal(body.subnets4[0], "\xff\xff\xfe\x00", 4);
	answer(INTEGRATION_KVP, &message, 0);
	assert_int_equal(kvp_ended, 0);
	ask_addresses(NULL);
	expect(INTEGRATION_KVP, &message);
	body.kvp_hdr.operation = KVP_OP_GET_IP_INFO;
	memcpy(message.body, &body, sizeof(body));
	answer(INTEGRATION_KVP, &message, 0);
	assert_int_equal(kvp_ended, 0);
	assert_int_equal(got_addresses.address_count, 3); /* those of one family, then the others */
	assert_memory_equal(&got_addresses.addresses[0], &some_addresses.addresses[0],
			    sizeof(some_addresses.addresses[0]));
	assert_memory_equal(&got_addresses.addresses[2], &some_addresses.addresses[1],
			    sizeof(some_addresses.addresses[0]));
	assert_memory_equal(got_addresses.dns, some_addresses.dns, sizeof(got_addresses.dns[0]));
	ask_addresses(NULL);
	expect(INTEGRATION_KVP, &message);
	body.gateway6_count = 6;
	memcpy(message.body, &body, sizeof(body));
	answer(INTEGRATION_KVP, &message, 0);
	assert_int_equal(kvp_ended, -EBADMSG);
}

static void test_kvp_hostile(void **state)
{
	static const struct {
		uint32_t type, key_size, value_size;
		uint8_t key_byte, value_byte; /* the upper half of the first unit */
	} bad[] = {
		{1, 514, 4, 0, 0},   {1, UINT32_MAX, 4, 0, 0}, {1, 7, 4, 0, 0},
		{1, 10, 2050, 0, 0}, {1, 10, 3, 0, 0},         {4, 10, 8, 0, 0},
		{8, 10, 4, 0, 0},    {3, 10, 4, 0, 0},         {1, 10, 4, 0xdc, 0},
		{1, 10, 4, 0, 0xd8}, {0, 0, 0, 0, 0},
	};
	struct message message;
	struct hv_kvp_msg body;
	unsigned int i;

	(void)state;
	contact(INTEGRATION_KVP, 4, 0);
	for (i = 0; i < ARRAY_COUNT(bad); i++) {
		pairs = 0;
		assert_int_equal(exchange(INTEGRATION_KVP_LIST, NULL), 0);
		expect_kvp(&message, &body, KVP_OP_ENUMERATE);
		wide("name", body.body.enumerate.value.key);
		wide("v", body.body.enumerate.value.value);
		body.body.enumerate.value.value_type = bad[i].type;
		body.body.enumerate.value.key_size = bad[i].key_size;
		body.body.enumerate.value.value_size = bad[i].value_size;
		body.body.enumerate.value.key[1] = bad[i].key_byte;
		body.body.enumerate.value.value[1] = bad[i].value_byte;
		answer_kvp(&message, &body, 0);
		assert_int_equal(kvp_ended, -EBADMSG);
		assert_int_equal(pairs, 0);
		assert_int_equal(state_of(INTEGRATION_KVP).wrong_answers, i + 1);
	}
	/* A text without its NUL is as long as it is said to be. */
	assert_int_equal(exchange(INTEGRATION_KVP_LIST, NULL), 0);
	expect_kvp(&message, &body, KVP_OP_ENUMERATE);
	memset(body.body.enumerate.value.key, 'a', 512);
	memset(body.body.enumerate.value.value, 'b', 2048);
	body.body.enumerate.value.key_size = 512;
	body.body.enumerate.value.value_size = 2048;
	body.body.enumerate.value.value_type = 1;
	answer_kvp(&message, &body, 0);
	assert_int_equal(pairs, 1);
	assert_int_equal(strlen(last.key), 256 * 3);
	assert_int_equal(strlen(last.text), 1024 * 3);
	/* A short answer. */
	expect_kvp(&message, &body, KVP_OP_ENUMERATE);
	message.head.icmsgsize = 3;
	answer(INTEGRATION_KVP, &message, 0);
	assert_int_equal(kvp_ended, -EBADMSG);
}

static void test_kvp_queue(void **state)
{
	struct integration_pair pair = {.key = "key"};
	struct message message;
	struct hv_kvp_msg body;
	unsigned int i;

	(void)state;
	contact(INTEGRATION_KVP, 3, 0);
	for (i = 0; i < INTEGRATION_KVP_MAX; i++) {
		assert_int_equal(exchange(INTEGRATION_KVP_GET, &pair), 0);
	}
	assert_int_equal(exchange(INTEGRATION_KVP_GET, &pair), -EBUSY);
	expect_kvp(&message, &body, KVP_OP_GET);
	expect_silence(INTEGRATION_KVP);
	answer_kvp(&message, &body, HV_ERROR_NOT_FOUND);
	assert_int_equal(kvp_ended, -ENOENT);
	kvp_ended = 1;
	expect_kvp(&message, &body, KVP_OP_GET);
	pass(60); /* silence */
	assert_int_equal(kvp_ended, -ETIMEDOUT);
	expect_kvp(&message, &body, KVP_OP_GET);
	/* Nobody waits any more, for the one that the guest has, and for all others. */
	integration_kvp_forget(integration, &pairs);
	assert_int_equal(exchange(INTEGRATION_KVP_GET, &pair), 0);
	expect_silence(INTEGRATION_KVP);
	answer_kvp(&message, &body, HV_S_CONT);
	assert_int_equal(kvp_ended, 1);
	expect_kvp(&message, &body, KVP_OP_GET);
	assert_true(guest_close(&channels[INTEGRATION_KVP]));
	assert_int_equal(kvp_ended, -ECONNRESET);
}

/* ---- Backup ---- */

static int freeze(unsigned int seconds)
{
	const struct integration_freeze what = {.seconds = seconds, .done = done, .user = &ended};
	int ret = integration_freeze(integration, &what);

	ended = ret == 0 ? 1 : ended;
	return ret;
}

static int thaw(void)
{
	const struct integration_thaw what = {.done = done, .user = &ended};
	int ret = integration_thaw(integration, &what);

	ended = ret == 0 ? 1 : ended;
	return ret;
}

static void expect_vss(struct message *message, uint8_t operation, uint32_t status)
{
	expect(INTEGRATION_VSS, message);
	assert_int_equal(message->head.icmsgtype, ICMSGTYPE_VSS);
	assert_int_equal(message->body[0], operation);
	assert_int_equal(message->head.icmsgsize, operation == VSS_OP_FREEZE ? 6260 : 12);
	answer(INTEGRATION_VSS, message, status);
}

static enum integration_file_systems file_systems(void)
{
	return state_of(INTEGRATION_VSS).file_systems;
}

static void get_frozen(void)
{
	struct message message;

	assert_int_equal(freeze(60), 0);
	assert_int_equal(file_systems(), INTEGRATION_FREEZING);
	expect_vss(&message, VSS_OP_HOT_BACKUP, 0);
	assert_int_equal(ended, 1);
	expect_vss(&message, VSS_OP_FREEZE, 0);
	assert_int_equal(ended, 0);
	assert_int_equal(file_systems(), INTEGRATION_FROZEN);
}

/* It is thawed by itself: that is asked for, and who held it hears of it. */
static void expect_thawed(const char *why)
{
	struct message message;

	assert_int_equal(file_systems(), INTEGRATION_THAWING);
	assert_int_equal(thaw(), 0);
	assert_int_equal(thaw(), -EBUSY);
	expect_vss(&message, VSS_OP_THAW, 0);
	assert_int_equal(ended, -EINTR);
	assert_non_null(strstr(ended_why, why));
	assert_int_equal(file_systems(), INTEGRATION_THAWED);
	assert_string_equal(state_of(INTEGRATION_VSS).thawed_why, ended_why);
	assert_int_equal(thaw(), -EALREADY);
	pass(1000);
	expect_silence(INTEGRATION_VSS);
}

static void test_freeze(void **state)
{
	struct message message;

	(void)state;
	assert_int_equal(freeze(60), -ENOTCONN);
	contact(INTEGRATION_VSS, 5, 0);
	home.stands = true;
	assert_int_equal(freeze(60), -EAGAIN);
	home.stands = false;
	assert_int_equal(thaw(), -EALREADY);
	get_frozen();
	assert_int_equal(freeze(60), -EBUSY);
	assert_int_equal(integration_enable(integration, INTEGRATION_VSS, false), -EBUSY);
	pass(59);
	assert_int_equal(thaw(), 0);
	expect_vss(&message, VSS_OP_THAW, 0);
	assert_int_equal(ended, 0);
	assert_null(state_of(INTEGRATION_VSS).thawed_why);
	/* The guest cannot, and is not frozen then. */
	assert_int_equal(freeze(60), 0);
	expect_vss(&message, VSS_OP_HOT_BACKUP, HV_E_FAIL);
	assert_int_equal(ended, -EREMOTEIO);
	assert_int_equal(file_systems(), INTEGRATION_THAWED);
	expect_silence(INTEGRATION_VSS);
	/* It says that it has not: who knows. */
	assert_int_equal(freeze(60), 0);
	expect_vss(&message, VSS_OP_HOT_BACKUP, 0);
	expect_vss(&message, VSS_OP_FREEZE, HV_E_FAIL);
	assert_int_equal(ended, -EREMOTEIO);
	expect_vss(&message, VSS_OP_THAW, 0);
	assert_int_equal(file_systems(), INTEGRATION_THAWED);
}

static void test_thawed_anyway(void **state)
{
	struct message message;

	(void)state;
	contact(INTEGRATION_VSS, 5, 0);
	get_frozen();
	pass(60);
	expect_thawed("time for it was over");
	get_frozen();
	integration_freeze_forget(integration, "who asked has gone");
	expect_thawed("who asked has gone");
	get_frozen();
	home.stands = true;
	pass(1000);
	expect_silence(INTEGRATION_VSS);
	home.stands = false;
	integration_resumed(integration);
	expect_thawed("the machine was paused");
	/* The guest unloads its driver, and has it again. */
	get_frozen();
	assert_true(guest_close(&channels[INTEGRATION_VSS]));
	pass(5);
	contact(INTEGRATION_VSS, 5, 0);
	expect_thawed("closed the channel");
	/* It says no, is silent, goes away: it is asked until it has. */
	get_frozen();
	assert_int_equal(thaw(), 0);
	expect_vss(&message, VSS_OP_THAW, HV_E_FAIL);
	assert_int_equal(ended, -EREMOTEIO);
	pass(4);
	expect_silence(INTEGRATION_VSS);
	pass(1);
	expect(INTEGRATION_VSS, &message);
	assert_int_equal(thaw(), 0);
	pass(60);
	assert_int_equal(ended, -ETIMEDOUT);
	pass(5);
	expect(INTEGRATION_VSS, &message);
	assert_true(guest_close(&channels[INTEGRATION_VSS]));
	contact(INTEGRATION_VSS, 5, 0);
	expect_vss(&message, VSS_OP_THAW, 0);
	assert_int_equal(file_systems(), INTEGRATION_THAWED);
	/* A guest that begins anew has nothing frozen. */
	get_frozen();
	integration_ended(integration, INTEGRATION_END_RESET);
	assert_int_equal(file_systems(), INTEGRATION_THAWED);
	pass(1000);
	expect_silence(INTEGRATION_VSS);
}

/* The guest takes its time, or those who asked lose patience. */
static void test_freeze_late(void **state)
{
	struct message message;

	(void)state;
	contact(INTEGRATION_VSS, 5, 0);
	assert_int_equal(freeze(10), 0);
	expect_vss(&message, VSS_OP_HOT_BACKUP, 0);
	expect(INTEGRATION_VSS, &message);
	pass(10);
	assert_int_equal(ended, -ETIMEDOUT);
	answer(INTEGRATION_VSS, &message, 0); /* it is frozen all the same */
	assert_int_equal(state_of(INTEGRATION_VSS).wrong_answers, 1);
	expect_vss(&message, VSS_OP_THAW, 0);
	assert_int_equal(file_systems(), INTEGRATION_THAWED);
	assert_int_equal(freeze(10), 0);
	integration_freeze_forget(integration, "who asked has gone");
	assert_int_equal(freeze(10), -EBUSY);
	ended = 1;
	expect_vss(&message, VSS_OP_HOT_BACKUP, 0);
	expect_silence(INTEGRATION_VSS);
	assert_int_equal(freeze(10), 0);
	expect_vss(&message, VSS_OP_HOT_BACKUP, 0);
	expect(INTEGRATION_VSS, &message);
	assert_int_equal(integration_thaw(integration, &(struct integration_thaw){NULL, NULL}), 0);
	assert_int_equal(ended, -EINTR);
	expect_silence(INTEGRATION_VSS);
	answer(INTEGRATION_VSS, &message, 0);
	expect_vss(&message, VSS_OP_THAW, 0);
	assert_int_equal(file_systems(), INTEGRATION_THAWED);
	assert_int_equal(freeze(10), 0);
	expect(INTEGRATION_VSS, &message);
	assert_int_equal(thaw(), -EALREADY);
	assert_int_equal(ended, -EINTR);
}

/* ---- Files ---- */

#define FILE_BYTES 15000u

static uint64_t copied;
static int read_answer;

static int read_file(void *user, uint64_t offset, void *to, uint32_t bytes)
{
	assert_ptr_equal(user, &ended);
	assert_true(offset + bytes <= FILE_BYTES);
	memset(to, (int)(offset / 6144), bytes);
	return read_answer;
}

static void progress(void *user, uint64_t bytes)
{
	assert_ptr_equal(user, &ended);
	assert_true(bytes > copied);
	copied = bytes;
}

static int copy(const char *path, unsigned int flags)
{
	const struct integration_copy what = {.path = path,
					      .size = FILE_BYTES,
					      .flags = flags,
					      .read = read_file,
					      .progress = progress,
					      .done = done,
					      .user = &ended};
	int ret = integration_copy(integration, &what);

	if (ret == 0) {
		ended = 1;
		copied = 0;
	}
	return ret;
}

static void expect_copy(struct message *message, uint32_t operation)
{
	uint32_t is;

	expect(INTEGRATION_FCOPY, message);
	assert_int_equal(message->head.icmsgtype, ICMSGTYPE_FCOPY);
	memcpy(&is, message->body, sizeof(is));
	assert_int_equal(is, operation);
}

static void accept_copy(uint32_t operation)
{
	struct message message;

	expect_copy(&message, operation);
	answer(INTEGRATION_FCOPY, &message, 0);
}

static void test_copy(void **state)
{
	struct hv_start_fcopy start;
	struct hv_do_fcopy data;
	struct message message;
	uint8_t text[64];
	uint32_t done_bytes;

	(void)state;
	read_answer = 0;
	assert_int_equal(copy("/tmp/file", 0), -ENOTCONN);
	contact(INTEGRATION_FCOPY, 1, 1);
	assert_int_equal(copy("", 0), -EINVAL);
	assert_int_equal(copy("name", 0), -EINVAL);
	assert_int_equal(copy("/tmp/", 0), -EINVAL);
	assert_int_equal(copy("/\xff", 0), -EINVAL);
	assert_int_equal(copy("/tmp/file", INTEGRATION_OVERWRITE), 0);
	assert_int_equal(copy("/tmp/file", 0), -EBUSY);
	expect_copy(&message, START_FILE_COPY);
	memcpy(&start, message.body, sizeof(start));
	assert_int_equal(message.head.icmsgsize, sizeof(start));
	assert_int_equal(start.copy_flags, IC_FCOPY_OVERWRITE);
	assert_true(start.file_size == FILE_BYTES);
	assert_memory_equal(start.path_name, text, wide("/tmp/", text));
	assert_memory_equal(start.file_name, text, wide("file", text));
	answer(INTEGRATION_FCOPY, &message, 0);
	for (done_bytes = 0; done_bytes < FILE_BYTES; done_bytes += data.size) {
		assert_int_equal(copied, done_bytes);
		expect_copy(&message, WRITE_TO_FILE);
		assert_int_equal(message.head.icmsgsize, sizeof(data));
		memcpy(&data, message.body, sizeof(data));
		assert_true(data.offset == done_bytes);
		assert_int_equal(data.size, done_bytes < 12288 ? 6144 : FILE_BYTES - 12288);
		assert_int_equal(data.data[data.size - 1], done_bytes / 6144);
		answer(INTEGRATION_FCOPY, &message, 0);
	}
	assert_int_equal(ended, 1);
	accept_copy(COMPLETE_FCOPY);
	assert_int_equal(ended, 0);
	expect_silence(INTEGRATION_FCOPY);
}

static void test_copy_fails(void **state)
{
	struct message message;

	(void)state;
	read_answer = 0;
	contact(INTEGRATION_FCOPY, 1, 1);
	assert_int_equal(copy("C:\\a", INTEGRATION_MAKE_PATH), 0);
	expect_copy(&message, START_FILE_COPY);
	answer(INTEGRATION_FCOPY, &message, HV_ERROR_ALREADY_EXISTS);
	assert_int_equal(ended, -EEXIST);
	expect_silence(INTEGRATION_FCOPY);
	/* In the middle: what is there is removed. */
	assert_int_equal(copy("/a", 0), 0);
	accept_copy(START_FILE_COPY);
	expect_copy(&message, WRITE_TO_FILE);
	answer(INTEGRATION_FCOPY, &message, HV_ERROR_DISK_FULL);
	assert_int_equal(ended, -ENOSPC);
	assert_int_equal(copy("/a", 0), -EBUSY);
	accept_copy(CANCEL_FCOPY);
	/* The file cannot be read, after a while. */
	assert_int_equal(copy("/a", 0), 0);
	read_answer = -EAGAIN;
	accept_copy(START_FILE_COPY);
	expect_silence(INTEGRATION_FCOPY);
	integration_copy_ready(integration);
	expect_silence(INTEGRATION_FCOPY);
	read_answer = -EIO;
	integration_copy_ready(integration);
	assert_int_equal(ended, -EIO);
	accept_copy(CANCEL_FCOPY);
	/* Nobody wants it any more: at once, and when the guest has it. */
	read_answer = 0;
	assert_int_equal(copy("/a", 0), 0);
	integration_copy_forget(integration);
	ended = 1;
	accept_copy(START_FILE_COPY);
	accept_copy(CANCEL_FCOPY);
	assert_int_equal(copy("/a", 0), 0);
	integration_copy_forget(integration);
	expect_copy(&message, START_FILE_COPY);
	answer(INTEGRATION_FCOPY, &message, HV_E_FAIL);
	expect_silence(INTEGRATION_FCOPY); /* there is nothing to remove */
	/* It is silent; it goes away, with and without a request. */
	assert_int_equal(copy("/a", 0), 0);
	expect_copy(&message, START_FILE_COPY);
	pass(60);
	assert_int_equal(ended, -ETIMEDOUT);
	assert_int_equal(copy("/a", 0), 0);
	expect_copy(&message, START_FILE_COPY);
	assert_true(guest_close(&channels[INTEGRATION_FCOPY]));
	assert_int_equal(ended, -ECONNRESET);
	contact(INTEGRATION_FCOPY, 1, 1);
	assert_int_equal(copy("/a", 0), 0);
	read_answer = -EAGAIN;
	accept_copy(START_FILE_COPY);
	assert_true(guest_close(&channels[INTEGRATION_FCOPY]));
	assert_int_equal(ended, -ECONNRESET);
	integration_copy_ready(integration);
}

/*
 * As Linux 6.1's driver stands when its daemon is killed between a request's arrival and its work
 * (drivers/hv/hv_fcopy.c): it answers that one, and takes no other, not even when a daemon comes.
 */
static void test_guest_stands(void **state)
{
	struct message message, late;

	(void)state;
	read_answer = 0;
	contact(INTEGRATION_FCOPY, 1, 1);
	assert_int_equal(copy("/a", 0), 0);
	accept_copy(START_FILE_COPY);
	expect_copy(&message, WRITE_TO_FILE);
	answer(INTEGRATION_FCOPY, &message, HV_E_FAIL);
	assert_int_equal(ended, -EREMOTEIO);
	pass(59);
	assert_null(state_of(INTEGRATION_FCOPY).why);
	assert_int_equal(copy("/a", 0), -EBUSY);
	pass(1);
	/* Nothing else is laid on top of it, and who asks hears at once why. */
	assert_non_null(state_of(INTEGRATION_FCOPY).why);
	assert_non_null(strstr(state_of(INTEGRATION_FCOPY).why, "has not taken"));
	assert_int_equal(copy("/a", 0), -ENOTCONN);
	assert_true(state_of(INTEGRATION_FCOPY).contacted);
	/* It has been asleep alone: it takes the request, and answers what nobody waits for. */
	expect_copy(&late, CANCEL_FCOPY);
	expect_silence(INTEGRATION_FCOPY);
	assert_null(state_of(INTEGRATION_FCOPY).why);
	assert_int_equal(copy("/a", 0), 0);
	answer(INTEGRATION_FCOPY, &late, 0);
	assert_int_equal(state_of(INTEGRATION_FCOPY).wrong_answers, 1);
	accept_copy(START_FILE_COPY);
	expect_copy(&message, WRITE_TO_FILE);
	assert_int_equal(copied, 0);
	/* A new driver is not the one that stood. */
	answer(INTEGRATION_FCOPY, &message, HV_E_FAIL);
	pass(60);
	assert_int_equal(copy("/a", 0), -ENOTCONN);
	assert_true(guest_close(&channels[INTEGRATION_FCOPY]));
	contact(INTEGRATION_FCOPY, 1, 1);
	assert_int_equal(copy("/a", 0), 0);
	accept_copy(START_FILE_COPY);
	/* One that has taken the request and lost it takes the next. */
	expect_copy(&message, WRITE_TO_FILE);
	pass(60);
	assert_int_equal(ended, -ETIMEDOUT);
	assert_int_equal(copy("/a", 0), 0);
	accept_copy(START_FILE_COPY);
}

/* Those that wait behind such a request do not wait a minute each. */
static void test_guest_stands_and_a_queue_waits(void **state)
{
	struct integration_pair pair = {.key = "key"};
	const struct integration_kvp set = {.operation = INTEGRATION_KVP_SET, .pair = &pair};
	struct message message;
	struct hv_kvp_msg body;

	(void)state;
	contact(INTEGRATION_KVP, 3, 0);
	assert_int_equal(exchange(INTEGRATION_KVP_GET, &pair), 0);
	assert_int_equal(integration_kvp(integration, &set), 0);
	pass(60);
	assert_int_equal(kvp_ended, -ETIMEDOUT);
	assert_int_equal(exchange(INTEGRATION_KVP_GET, &pair), -ENOTCONN);
	expect_kvp(&message, &body, KVP_OP_GET);
	expect_silence(INTEGRATION_KVP);
	assert_int_equal(exchange(INTEGRATION_KVP_GET, &pair), 0);
}

/* ---- The channel ---- */

static void set_room(struct guest_channel *channel, bool room)
{
	struct guest_half *half = &channel->in;

	/* A guest that has read nothing for a long time: 40 bytes are left. */
	__atomic_store_n(&half->control->read_index,
			 room ? half->index : (half->index + 40) % half->size, __ATOMIC_SEQ_CST);
	eventfd_write(guest.events[channel->relid], 1);
}

static void test_no_room(void **state)
{
	struct message message;

	(void)state;
	contact(INTEGRATION_HEARTBEAT, 3, 0);
	beat(0);
	set_room(&channels[INTEGRATION_HEARTBEAT], false);
	pass(2);
	pass(2);
	set_room(&channels[INTEGRATION_HEARTBEAT], true);
	serve();
	expect(INTEGRATION_HEARTBEAT, &message);
	expect_silence(INTEGRATION_HEARTBEAT);
}

static void test_small_ring(void **state)
{
	struct message message;

	(void)state;
	assert_int_equal(guest_open(&channels[INTEGRATION_SHUTDOWN], relids[INTEGRATION_SHUTDOWN],
				    ++next_gpadl, 4, FIRST, 0),
			 0);
	serve();
	expect(INTEGRATION_SHUTDOWN, &message);
	choose(&message, (struct ic_version){3, 0}, (struct ic_version){3, 0});
	answer(INTEGRATION_SHUTDOWN, &message, 0);
	assert_int_equal(shut_down(0), 0);
	expect_shutdown(&message, 0);
}

static void release_relid(uint32_t relid)
{
	struct vmbus_channel_relid message = {.header.msgtype = CHANNELMSG_RELID_RELEASED,
					      .child_relid = relid};

	assert_int_equal(guest_post(&message, sizeof(message)), 0);
}

/* Off and on while it is in use, with a request under way. */
static void test_switched(void **state)
{
	unsigned int i;

	(void)state;
	contact(INTEGRATION_SHUTDOWN, 3, 2);
	for (i = 0; i < 3; i++) {
		assert_int_equal(shut_down(0), 0);
		assert_int_equal(integration_enable(integration, INTEGRATION_SHUTDOWN, false), 0);
		assert_int_equal(integration_enable(integration, INTEGRATION_SHUTDOWN, false), 0);
		assert_false(state_of(INTEGRATION_SHUTDOWN).enabled);
		assert_false(state_of(INTEGRATION_SHUTDOWN).contacted);
		assert_string_equal(state_of(INTEGRATION_SHUTDOWN).why, "it is switched off");
		assert_int_equal(shut_down(0), -ENOTCONN);
		if (i == 1) { /* before the guest has heard of it */
			assert_int_equal(
				integration_enable(integration, INTEGRATION_SHUTDOWN, true), 0);
		}
		serve();
		assert_int_equal(ended, -ECONNRESET);
		assert_non_null(guest_take(CHANNELMSG_RESCIND_CHANNELOFFER));
		release_relid(relids[INTEGRATION_SHUTDOWN]);
		assert_int_equal(integration_enable(integration, INTEGRATION_SHUTDOWN, true), 0);
		assert_int_equal(take_offers(), 1);
		contact(INTEGRATION_SHUTDOWN, 3, 2);
		assert_true(state_of(INTEGRATION_SHUTDOWN).contacted);
	}
	/* Off, and a guest that starts anew is not offered it. */
	assert_int_equal(integration_enable(integration, INTEGRATION_TIME, false), 0);
	vmbus_reset(guest.bus);
	guest.count = 0;
	assert_true(guest_contact(VERSION_WIN10_V5_3));
	assert_int_equal(
		guest_post(
			&(struct vmbus_channel_message_header){.msgtype = CHANNELMSG_REQUESTOFFERS},
			8),
		0);
	assert_int_equal(take_offers(), INTEGRATION_COUNT - 1);
}

/* While VMBus stands nothing is read or written; then all of it goes on. */
static void test_bus_pause(void **state)
{
	struct message message;

	(void)state;
	contact(INTEGRATION_HEARTBEAT, 3, 0);
	beat(0);
	vmbus_pause(guest.bus);
	integration_serve(integration);
	home.clock += 2 * IC_SECOND;
	integration_serve(integration);
	expect_silence(INTEGRATION_HEARTBEAT);
	vmbus_resume(guest.bus);
	serve();
	expect(INTEGRATION_HEARTBEAT, &message);
	vmbus_pause(guest.bus);
	assert_int_equal(integration_enable(integration, INTEGRATION_HEARTBEAT, false), 0);
	serve();
	vmbus_resume(guest.bus);
	serve();
	assert_non_null(guest_take(CHANNELMSG_RESCIND_CHANNELOFFER));
}

/* A service begins anew on another machine, which stands at first: it agrees on a version again
 * when that goes on. */
static void test_loaded(void **state)
{
	struct state_fault fault;
	struct state_reader all;
	struct message message;
	uint8_t *saved;
	size_t size;

	(void)state;
	contact(INTEGRATION_HEARTBEAT, 3, 0);
	beat(0);
	vmbus_pause(guest.bus);
	saved = guest_save(NULL, &size);
	guest_restart();
	integration_destroy(&integration);
	assert_int_equal(integration_create(guest.bus, &home, &integration), 0);
	vmbus_pause(guest.bus);
	all = state_reader(saved, size, &fault);
	assert_int_equal(vmbus_load(guest.bus, &all), 0);
	integration_serve(integration);
	expect_silence(INTEGRATION_HEARTBEAT);
	vmbus_resume(guest.bus);
	serve();
	expect(INTEGRATION_HEARTBEAT, &message);
	assert_int_equal(message.head.icmsgtype, ICMSGTYPE_NEGOTIATE);
	choose(&message, (struct ic_version){3, 0}, (struct ic_version){3, 0});
	answer(INTEGRATION_HEARTBEAT, &message, 0);
	assert_true(state_of(INTEGRATION_HEARTBEAT).contacted);
	beat(0);
	free(saved);
}

static void test_reset(void **state)
{
	(void)state;
	contact(INTEGRATION_SHUTDOWN, 3, 2);
	contact(INTEGRATION_HEARTBEAT, 3, 0);
	contact(INTEGRATION_TIME, 4, 0);
	assert_int_equal(shut_down(INTEGRATION_RESTART), 0);
	integration_ended(integration, INTEGRATION_END_RESET);
	assert_int_equal(ended, 0); /* it may have done it before it could answer */
	vmbus_reset(guest.bus);
	guest.count = 0;
	serve();
	assert_false(state_of(INTEGRATION_HEARTBEAT).contacted);
	find_offers();
	contact(INTEGRATION_HEARTBEAT, 3, 0);
	beat(0);
}

/* ---- Saved and loaded ---- */

static uint8_t *save(size_t *size, size_t *ours)
{
	struct state_writer count = state_writer(NULL, 0), writer;
	uint8_t *to;

	integration_save(integration, &count);
	*ours = count.used;
	vmbus_save(guest.bus, &count);
	*size = count.used;
	to = malloc(*size);
	assert_non_null(to);
	writer = state_writer(to, *size);
	integration_save(integration, &writer);
	vmbus_save(guest.bus, &writer);
	assert_true(state_fits(&writer));
	return to;
}

/* New ones in the place of the old, on a bus that stands. */
static void begin_anew(void)
{
	guest_restart();
	integration_destroy(&integration);
	assert_int_equal(integration_create(guest.bus, &home, &integration), 0);
	vmbus_pause(guest.bus);
}

static void test_saved(void **state)
{
	struct message old, message;
	struct state_fault fault;
	struct state_reader all;
	uint8_t *saved, *again;
	size_t size, again_size, ours, i;

	(void)state;
	contact(INTEGRATION_SHUTDOWN, 3, 2);
	contact(INTEGRATION_VSS, 5, 0);
	contact(INTEGRATION_HEARTBEAT, 3, 0);
	beat(0);
	get_frozen();
	assert_int_equal(integration_enable(integration, INTEGRATION_TIME, false), 0);
	serve();
	assert_non_null(guest_take(CHANNELMSG_RESCIND_CHANNELOFFER));
	release_relid(relids[INTEGRATION_TIME]);
	assert_int_equal(shut_down(0), 0);
	expect_shutdown(&old, 0);
	vmbus_pause(guest.bus);
	saved = save(&size, &ours);
	/* A state that is cut off anywhere changes nothing. */
	begin_anew();
	for (i = 0; i < ours; i++) {
		all = state_reader(saved, i, &fault);
		assert_int_equal(integration_load(integration, &all), -EINVAL);
		assert_true(state_of(INTEGRATION_TIME).enabled);
	}
	begin_anew();
	all = state_reader(saved, size, &fault);
	assert_int_equal(integration_load(integration, &all), 0);
	assert_int_equal(vmbus_load(guest.bus, &all), 0);
	again = save(&again_size, &ours);
	assert_int_equal(again_size, size);
	assert_memory_equal(again, saved, size);
	vmbus_resume(guest.bus);
	serve();
	assert_false(state_of(INTEGRATION_TIME).enabled);
	/* It answers to what it was asked before, which nobody waits for, and agrees on versions
	 * anew. */
	answer(INTEGRATION_SHUTDOWN, &old, 0);
	assert_int_equal(state_of(INTEGRATION_SHUTDOWN).wrong_answers, 1);
	expect(INTEGRATION_SHUTDOWN, &message);
	assert_int_equal(message.head.icmsgtype, ICMSGTYPE_NEGOTIATE);
	choose(&message, (struct ic_version){3, 0}, (struct ic_version){3, 2});
	answer(INTEGRATION_SHUTDOWN, &message, 0);
	assert_true(state_of(INTEGRATION_SHUTDOWN).contacted);
	/* What it has frozen is thawed. */
	expect(INTEGRATION_VSS, &message);
	choose(&message, (struct ic_version){3, 0}, (struct ic_version){5, 0});
	answer(INTEGRATION_VSS, &message, 0);
	expect_vss(&message, VSS_OP_THAW, 0);
	assert_int_equal(file_systems(), INTEGRATION_THAWED);
	free(saved);
	free(again);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(test_contact),
		TEST(test_no_version),
		TEST(test_wrong_answers),
		TEST(test_completion),
		TEST(test_flood),
		TEST(test_heartbeat),
		TEST(test_heartbeat_short),
		TEST(test_heartbeat_pause),
		TEST(test_time),
		TEST(test_time_waits),
		TEST(test_time_without_reference),
		TEST(test_time_old),
		TEST(test_shutdown),
		TEST(test_shutdown_silence),
		TEST(test_kvp_set),
		TEST(test_kvp_list),
		TEST(test_kvp_get),
		TEST(test_addresses),
		TEST(test_addresses_binary),
		TEST(test_kvp_hostile),
		TEST(test_kvp_queue),
		TEST(test_freeze),
		TEST(test_thawed_anyway),
		TEST(test_freeze_late),
		TEST(test_copy),
		TEST(test_copy_fails),
		TEST(test_guest_stands),
		TEST(test_guest_stands_and_a_queue_waits),
		TEST(test_no_room),
		TEST(test_small_ring),
		TEST(test_switched),
		TEST(test_bus_pause),
		TEST(test_loaded),
		TEST(test_reset),
		TEST(test_saved),
	};

	return cmocka_run_group_tests_name("integration", tests, NULL, NULL);
}
