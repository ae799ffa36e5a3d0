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
	integration->pair = *what->pair;
	integration->exchanging = true;
	return 0;
}

void integration_kvp_forget(struct integration *integration, const void *user)
{
	if (integration->exchange.user == user) {
		integration->exchanging = false;
	}
}
