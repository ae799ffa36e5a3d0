/* What happens, for those who look on: the last events, as texts in the form of server-sent events
 * (HTML, section 9.2). */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "service/service.h"

struct events {
	uint64_t last;                    /* the newest one's id; 0: there was none */
	char *texts[SERVICE_EVENTS_KEPT]; /* that of id N at N modulo the size */
};

bool events_create(struct service *service)
{
	service->events = calloc(1, sizeof(*service->events));
	return service->events != NULL;
}

void events_destroy(struct service *service)
{
	size_t i;

	for (i = 0; service->events != NULL && i < SERVICE_EVENTS_KEPT; i++) {
		free(service->events->texts[i]);
	}
	free(service->events);
	service->events = NULL;
}

void events_emit(struct service *service, const char *name, json_t *object)
{
	struct events *events = service->events;
	char *data = json_dumps(object, JSON_COMPACT), *text = NULL;
	uint64_t id = events->last + 1;
	char **place = &events->texts[id % SERVICE_EVENTS_KEPT];

	json_decref(object);
	if (data != NULL &&
	    asprintf(&text, "id: %" PRIu64 "\nevent: %s\ndata: %s\n\n", id, name, data) < 0) {
		text = NULL; /* an event less: who counts ids sees it */
	}
	free(data);
	free(*place);
	*place = text;
	events->last = id;
	if (service->http != NULL) {
		http_wake_events(service);
	}
}

uint64_t events_last(const struct service *service)
{
	return service->events->last;
}

const char *events_next(const struct service *service, uint64_t *id)
{
	const struct events *events = service->events;
	uint64_t next = *id + 1;

	if (events->last >= SERVICE_EVENTS_KEPT && next <= events->last - SERVICE_EVENTS_KEPT) {
		next = events->last - SERVICE_EVENTS_KEPT + 1;
	}
	for (; next <= events->last; next++) {
		*id = next;
		if (events->texts[next % SERVICE_EVENTS_KEPT] != NULL) {
			return events->texts[next % SERVICE_EVENTS_KEPT];
		}
	}
	return NULL;
}
