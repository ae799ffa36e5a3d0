/* The machine's dynamic memory (vsp/memory/): its home, and what of it the control socket shows. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vsp/memory/balloon.h"
#include "vsp/memory/host.h"
#include "worker/control.h"
#include "worker/say.h"

struct balloon_host {
	struct machine *machine;
};

/* ---- Its home ---- */

bool balloon_host_is_ram(struct balloon_host *host, uint64_t page, uint64_t count)
{
	return memory_is_ram(&host->machine->memory, page * MEMORY_PAGE, count * MEMORY_PAGE);
}

int balloon_host_take(struct balloon_host *host, uint64_t page)
{
	return memory_give_back(&host->machine->memory, page * MEMORY_PAGE);
}

int balloon_host_give(struct balloon_host *host, uint64_t page)
{
	return memory_bring_back(&host->machine->memory, page * MEMORY_PAGE);
}

/* Pages of 2 MiB are what blocks are of: no guest wants less. */
bool balloon_host_find(struct balloon_host *host, uint64_t pages, uint64_t *first)
{
	uint64_t gpa;

	if (!memory_find_room(&host->machine->memory, pages * MEMORY_PAGE, &gpa)) {
		return false;
	}
	*first = gpa / MEMORY_PAGE;
	return true;
}

int balloon_host_add(struct balloon_host *host, uint64_t first, uint64_t pages)
{
	return memory_add(&host->machine->memory, first * MEMORY_PAGE, pages * MEMORY_PAGE);
}

int balloon_host_withdraw(struct balloon_host *host, uint64_t first, uint64_t pages)
{
	return memory_withdraw(&host->machine->memory, first * MEMORY_PAGE, pages * MEMORY_PAGE);
}

uint64_t balloon_host_pages(struct balloon_host *host)
{
	return memory_ram(&host->machine->memory) / MEMORY_PAGE;
}

/* ---- Its life ---- */

bool balloon_attach(struct machine *machine)
{
	const struct memory *memory = &machine->memory;
	struct balloon_config config = {
		.end = memory_limit(memory) / MEMORY_PAGE,
		.minimum = machine->config->memory_minimum / MEMORY_PAGE,
		.start = machine->config->memory / MEMORY_PAGE,
		.maximum = machine->config->memory_maximum / MEMORY_PAGE,
	};
	int ret = -ENOMEM;

	if (config.minimum == 0) {
		return true;
	}
	machine->balloon_host = calloc(1, sizeof(*machine->balloon_host));
	if (machine->balloon_host != NULL) {
		machine->balloon_host->machine = machine;
		ret = balloon_create(machine->bus, machine->balloon_host, &config,
				     &machine->balloon);
	}
	if (ret != 0) {
		say("the guest's dynamic memory cannot be set up: %s", strerror(-ret));
	}
	return ret == 0;
}

void balloon_detach(struct machine *machine)
{
	if (machine->balloon != NULL) {
		balloon_destroy(&machine->balloon);
	}
}

void balloon_free(struct machine *machine)
{
	free(machine->balloon_host);
	machine->balloon_host = NULL;
}

/* ---- What is shown ---- */

static json_t *bytes(uint64_t pages)
{
	return json_integer((json_int_t)(pages * MEMORY_PAGE));
}

json_t *balloon_object(struct machine *machine)
{
	struct balloon_state state;
	json_t *object;

	balloon_get_state(machine->balloon, &state);
	object = json_pack("{s:I, s:o, s:o, s:I, s:I, s:o, s:o, s:I, s:b, s:b}", "limit",
			   (json_int_t)machine->config->memory_maximum, "minimum",
			   bytes(state.minimum), "maximum", bytes(state.maximum), "weight",
			   (json_int_t)machine->config->memory_weight, "buffer",
			   (json_int_t)machine->config->memory_buffer, "target",
			   bytes(state.target), "assigned", bytes(state.assigned), "returned",
			   (json_int_t)atomic_load(&machine->memory.away), "gives-no-more",
			   (int)state.gives_no_more, "takes-no-more", (int)state.takes_no_more);
	if (state.reported) {
		json_object_set_new(object, "available", bytes(state.available));
		json_object_set_new(object, "demand", bytes(state.committed));
		json_object_set_new(
			object, "pressure",
			json_integer((json_int_t)(state.committed * 100 / (state.assigned + 1))));
	}
	if (state.why != NULL) {
		json_object_set_new(object, "why", json_string(state.why));
	}
	return object;
}
