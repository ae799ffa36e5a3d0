/* See integration.h. */
#include "tests/fake/integration.h"

#include <errno.h>
#include <stddef.h>

#include "vsp/integration/host.h"

struct integration services;

int integration_create(struct vmbus *bus, struct integration_host *host, struct integration **out)
{
	unsigned int i;

	(void)bus;
	services = (struct integration){.host = host};
	for (i = 0; i < INTEGRATION_COUNT; i++) {
		services.states[i] = (struct integration_state){.enabled = true, .why = "nobody"};
	}
	*out = &services;
	return 0;
}

void integration_destroy(struct integration **integration)
{
	*integration = NULL;
}

void integration_ended(struct integration *integration, enum integration_end how)
{
	struct integration_shutdown asked = integration->asked;

	if (integration->pending) {
		integration->pending = false;
		asked.done(asked.user, how == INTEGRATION_END_OFF ? 0 : -1, "another end");
	}
}

int integration_enable(struct integration *integration, enum integration_service service,
		       bool enable)
{
	integration->states[service].enabled = enable;
	integration_host_changed(integration->host, service);
	return 0;
}

void integration_get_state(const struct integration *integration, enum integration_service service,
			   struct integration_state *state)
{
	*state = integration->states[service];
}

int integration_shutdown(struct integration *integration, const struct integration_shutdown *what)
{
	if (integration->refusal != 0) {
		return integration->refusal;
	}
	integration->asked = *what;
	integration->pending = true;
	return 0;
}

void integration_shutdown_forget(struct integration *integration)
{
	integration->pending = false;
}

int integration_kvp(struct integration *integration, const struct integration_kvp *what)
{
	if (integration->kvp_refusal != 0 || integration->exchanging) {
		return integration->kvp_refusal != 0 ? integration->kvp_refusal : -EBUSY;
	}
	integration->exchange = *what;
	if (what->pair != NULL) {
		integration->pair = *what->pair;
	}
	if (what->adapter != NULL) {
		integration->adapter = *what->adapter;
	}
	if (what->addresses != NULL) {
		integration->addresses = *what->addresses;
	}
	integration->exchanging = true;
	return 0;
}

void integration_kvp_forget(struct integration *integration, const void *user)
{
	if (integration->exchange.user == user) {
		integration->exchanging = false;
	}
}

int integration_freeze(struct integration *integration, const struct integration_freeze *freeze)
{
	integration->freeze = *freeze;
	integration->unwanted = NULL;
	return integration->freeze_refusal;
}

int integration_thaw(struct integration *integration, const struct integration_thaw *thaw)
{
	integration->thaw = *thaw;
	return integration->thaw_refusal;
}

void integration_freeze_forget(struct integration *integration, const char *why)
{
	integration->unwanted = why;
}

void integration_thaw_forget(struct integration *integration)
{
	integration->thaw.done = NULL;
}

int integration_copy(struct integration *integration, const struct integration_copy *what)
{
	if (integration->copy_refusal != 0 || integration->copying) {
		return integration->copy_refusal != 0 ? integration->copy_refusal : -EBUSY;
	}
	integration->copy = *what;
	integration->copied = 0;
	integration->copying = true;
	return 0;
}

void integration_copy_ready(struct integration *integration)
{
	static uint8_t bytes[6144];
	struct integration_copy *copy = &integration->copy;

	/* All that there is at once. */
	while (integration->copying && copy->size != 0) {
		uint32_t part = copy->size < sizeof(bytes) ? (uint32_t)copy->size : sizeof(bytes);
		int ret = copy->read(copy->user, integration->copied, bytes, part);

		if (ret == -EAGAIN) {
			return;
		}
		if (ret != 0) {
			integration->copying = false;
			copy->done(copy->user, ret, "the file cannot be read to its end");
			return;
		}
		integration->copied += part;
		copy->size -= part;
		copy->progress(copy->user, integration->copied);
	}
	if (integration->copying) {
		integration->copying = false;
		copy->done(copy->user, 0, NULL);
	}
}

void integration_copy_forget(struct integration *integration)
{
	integration->copying = false;
}
