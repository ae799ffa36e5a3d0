/* The services together: made, switched, served, and when their deadlines are. */
#include "vsp/integration/ic.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

/* How soon it is looked at again whether the machine still stands, should nobody say that it goes
 * on. */
#define LOOK_AGAIN IC_SECOND

struct ic *ic_of(struct integration *integration, enum integration_service service)
{
	struct ic *const services[] = {
		[INTEGRATION_SHUTDOWN] = &integration->shutdown.ic,
		[INTEGRATION_HEARTBEAT] = &integration->heartbeat.ic,
		[INTEGRATION_TIME] = &integration->time.ic,
		[INTEGRATION_KVP] = &integration->kvp.ic,
		[INTEGRATION_VSS] = &integration->vss.ic,
		[INTEGRATION_FCOPY] = &integration->fcopy.ic,
	};

	return services[service];
}

static const struct ic_class *const classes[] = {
	[INTEGRATION_SHUTDOWN] = &shutdown_class, [INTEGRATION_HEARTBEAT] = &heartbeat_class,
	[INTEGRATION_TIME] = &time_class,         [INTEGRATION_KVP] = &kvp_class,
	[INTEGRATION_VSS] = &vss_class,           [INTEGRATION_FCOPY] = &fcopy_class,
};

/* ---- Waiting ---- */

static int poll_for(struct integration *integration, int operation, int fd)
{
	struct epoll_event event = {.events = EPOLLIN};

	return epoll_ctl(integration->epoll, operation, fd, &event) == 0 ? 0 : -errno;
}

void integration_watch(struct integration *integration, struct vmbus_channel *channel, bool on)
{
	/* Out of kernel memory the service is late: it is looked at whenever another one is. */
	(void)poll_for(integration, on ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, channel_event(channel));
}

static void set_timer(struct integration *integration)
{
	uint64_t now = integration_host_clock(integration->host), next = IC_NEVER;
	struct itimerspec when = {0};
	unsigned int i;

	for (i = 0; i < INTEGRATION_COUNT; i++) {
		uint64_t due = ic_next(ic_of(integration, i));

		next = due < next ? due : next;
	}
	if (integration->more) {
		next = now;
	} else if (integration->stood) {
		next = now + LOOK_AGAIN;
	}
	if (next != IC_NEVER) {
		next = next > now ? next - now : 1;
		when.it_value.tv_sec = (time_t)(next / IC_SECOND);
		when.it_value.tv_nsec = (long)(next % IC_SECOND);
	}
	timerfd_settime(integration->timer, 0, &when, NULL);
}

/* It never expires: it is read when the clock is set. */
static void watch_date(struct integration *integration)
{
	struct itimerspec never = {.it_value.tv_sec = INT64_C(1) << 33};

	timerfd_settime(integration->date, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &never,
			NULL);
}

static bool date_was_stepped(struct integration *integration)
{
	uint64_t count;
	bool stepped = read(integration->date, &count, sizeof(count)) < 0 && errno == ECANCELED;

	if (stepped) {
		watch_date(integration);
	}
	return stepped;
}

static void go_on(struct integration *integration)
{
	unsigned int i;

	integration->stood = false;
	for (i = 0; i < INTEGRATION_COUNT; i++) {
		ic_resumed(ic_of(integration, i));
	}
}

/* Deadlines are the guest's, and stand while it does. */
static void tick(struct integration *integration)
{
	unsigned int i;

	if (integration_host_stands(integration->host)) {
		integration->stood = true;
		return;
	}
	if (integration->stood) {
		go_on(integration);
	}
	for (i = 0; i < INTEGRATION_COUNT; i++) {
		ic_tick(ic_of(integration, i));
	}
}

void integration_serve(struct integration *integration)
{
	uint64_t count;
	unsigned int i;

	integration->more = false;
	if (date_was_stepped(integration)) {
		time_stepped(&integration->time);
	}
	for (i = 0; i < INTEGRATION_COUNT; i++) {
		ic_serve(ic_of(integration, i));
	}
	if (read(integration->timer, &count, sizeof(count)) < 0) {
		count = 0; /* it was something else */
	}
	tick(integration);
	set_timer(integration);
}

void integration_resumed(struct integration *integration)
{
	go_on(integration);
	set_timer(integration);
}

void integration_ended(struct integration *integration, enum integration_end how)
{
	shutdown_ended(&integration->shutdown, how);
	vss_ended(&integration->vss);
}

int integration_fd(const struct integration *integration)
{
	return integration->epoll;
}

/* ---- Life ---- */

/* The largest that is sent, a negotiation included. */
static uint32_t out_bytes(const struct ic_class *class)
{
	uint32_t versions = 64;

	return (uint32_t)(sizeof(struct vmbuspipe_hdr) + sizeof(struct icmsg_hdr)) +
	       (class->body_max > versions ? class->body_max : versions);
}

static int create_service(struct integration *integration, enum integration_service service)
{
	struct ic *ic = ic_of(integration, service);

	ic->class = classes[service];
	ic->integration = integration;
	ic->service = service;
	ic->due = ic->deadline = IC_NEVER;
	ic->out = malloc(out_bytes(ic->class));
	return ic->out != NULL ? 0 : -ENOMEM;
}

static void release(struct integration *integration)
{
	unsigned int i;

	for (i = 0; i < INTEGRATION_COUNT; i++) {
		free(ic_of(integration, i)->out);
	}
	if (integration->epoll >= 0) {
		close(integration->epoll);
	}
	if (integration->timer >= 0) {
		close(integration->timer);
	}
	if (integration->date >= 0) {
		close(integration->date);
	}
	free(integration);
}

static int create_events(struct integration *integration)
{
	int ret = 0;

	integration->epoll = epoll_create1(EPOLL_CLOEXEC);
	integration->timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
	integration->date = timerfd_create(CLOCK_REALTIME, TFD_CLOEXEC | TFD_NONBLOCK);
	if (integration->epoll < 0 || integration->timer < 0 || integration->date < 0) {
		return -errno;
	}
	watch_date(integration);
	ret = poll_for(integration, EPOLL_CTL_ADD, integration->timer);
	return ret != 0 ? ret : poll_for(integration, EPOLL_CTL_ADD, integration->date);
}

int integration_create(struct vmbus *bus, struct integration_host *host,
		       struct integration **result)
{
	struct integration *integration = calloc(1, sizeof(*integration));
	unsigned int i;
	int ret;

	if (integration == NULL) {
		return -ENOMEM;
	}
	integration->bus = bus;
	integration->host = host;
	ret = create_events(integration);
	for (i = 0; i < INTEGRATION_COUNT && ret == 0; i++) {
		ret = create_service(integration, i);
	}
	if (ret != 0) {
		release(integration);
		return ret;
	}
	for (i = 0; i < INTEGRATION_COUNT; i++) {
		if (integration_enable(integration, i, true) != 0) {
			integration_host_log(host, "an integration service cannot be offered");
		}
	}
	*result = integration;
	return 0;
}

void integration_destroy(struct integration **integration)
{
	if (*integration != NULL) {
		release(*integration);
		*integration = NULL;
	}
}

int integration_enable(struct integration *integration, enum integration_service service,
		       bool enable)
{
	struct ic *ic = ic_of(integration, service);
	struct vmbus_channel *offer = ic->offer;
	int ret = 0;

	if (enable == (offer != NULL)) {
		return 0;
	}
	if (enable) {
		ret = ic_offer(ic);
	} else if (service == INTEGRATION_VSS && integration->vss.stage != VSS_THAWED) {
		return -EBUSY;
	} else {
		ic->offer = NULL;
		vmbus_rescind(offer);
	}
	if (ret == 0) {
		ic_changed(ic);
	}
	return ret;
}

static struct integration_version version_of(struct ic_version version)
{
	return (struct integration_version){.major = version.major, .minor = version.minor};
}

void integration_get_state(const struct integration *integration, enum integration_service service,
			   struct integration_state *state)
{
	const struct ic *ic = ic_of((struct integration *)integration, service);
	const struct ic_heartbeat *heartbeat = &integration->heartbeat;

	*state = (struct integration_state){
		.enabled = ic->offer != NULL,
		.contacted = ic->offer != NULL && ic->stage == IC_READY,
		.framework = version_of(ic->framework),
		.message = version_of(ic->message),
		.answered = ic->answered,
		.last_answer_ns = ic->last_answer,
		.wrong_answers = ic->wrong,
		.why = ic_why(ic),
	};
	if (service == INTEGRATION_HEARTBEAT && state->contacted) {
		state->heartbeat = heartbeat->state;
		state->application = heartbeat->application;
	}
	if (service == INTEGRATION_VSS) {
		vss_get_state(&integration->vss, state);
	}
}
