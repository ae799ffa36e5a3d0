/*
 * The services as a saved state (lib/state.h), and back. Their bus is paused.
 *
 *   ic 1          the services, in the order of their numbers
 *     service 1   whether it is switched on; the number of its last request; whether it owes a completion, and to which packet; whether the
 *                 guest's file systems may be frozen
 *
 * What was agreed on with the guest, and what it was asked for, is not in it: after a state is
 * loaded versions are agreed on anew, as Hyper-V does, and those who had asked are not there any
 * more. The number keeps an answer to the past from being one to the present. File systems that may
 * be frozen are thawed then.
 */
#include "vsp/integration/ic.h"

#include <errno.h>

#define STATE_VERSION   1
#define SERVICE_VERSION 1

struct saved {
	bool enabled, owes_completion, frozen;
	uint8_t id;
	uint64_t completion;
};

static bool is_frozen(const struct integration *integration, unsigned int service)
{
	enum vss_stage stage = integration->vss.stage;

	return service == INTEGRATION_VSS && stage != VSS_THAWED && stage != VSS_CHECKING;
}

void integration_save(struct integration *integration, struct state_writer *writer)
{
	size_t whole = state_begin(writer, "ic", STATE_VERSION), part;
	unsigned int i;

	for (i = 0; i < INTEGRATION_COUNT; i++) {
		const struct ic *ic = ic_of(integration, i);

		part = state_begin(writer, "service", SERVICE_VERSION);
		state_put_bool(writer, ic->offer != NULL);
		state_put_u8(writer, ic->id);
		state_put_bool(writer, ic->owes_completion);
		state_put_u64(writer, ic->owes_completion ? ic->completion : 0);
		state_put_bool(writer, is_frozen(integration, i));
		state_end(writer, part);
	}
	state_end(writer, whole);
}

static void read_service(struct saved *saved, unsigned int service, struct state_reader *whole)
{
	struct state_reader part = state_part(whole, "service", SERVICE_VERSION);

	saved->enabled = state_bool(&part);
	saved->id = state_u8(&part);
	saved->owes_completion = state_bool(&part);
	saved->completion = state_u64(&part);
	saved->frozen = state_bool(&part);
	if (!saved->enabled && (saved->owes_completion || saved->frozen)) {
		state_refuse(&part, "owes something and is switched off");
	} else if (saved->frozen && service != INTEGRATION_VSS) {
		state_refuse(&part, "has frozen what it cannot");
	} else if (!saved->owes_completion && saved->completion != 0) {
		state_refuse(&part, "has a completion that it does not owe");
	}
	state_finish(&part);
}

static int take_over(struct integration *integration, unsigned int service,
		     const struct saved *saved)
{
	struct ic *ic = ic_of(integration, service);
	int ret = integration_enable(integration, service, saved->enabled);

	ic->id = saved->id;
	ic->owes_completion = saved->owes_completion;
	ic->completion = saved->completion;
	if (saved->frozen) {
		vss_load(&integration->vss);
	}
	return ret;
}

int integration_load(struct integration *integration, struct state_reader *list)
{
	struct state_reader whole = state_part(list, "ic", STATE_VERSION);
	struct saved saved[INTEGRATION_COUNT];
	unsigned int i;
	int ret = 0;

	for (i = 0; i < INTEGRATION_COUNT; i++) {
		CHECK(ic_of(integration, i)->channel == NULL);
		read_service(&saved[i], i, &whole);
	}
	state_finish(&whole);
	if (!state_ok(&whole)) {
		return -EINVAL;
	}
	for (i = 0; i < INTEGRATION_COUNT && ret == 0; i++) {
		ret = take_over(integration, i, &saved[i]);
	}
	return ret;
}
