/* See extend.h. */
#include "switch/extend.h"

#include <assert.h>
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>

#include "switch/offload.h"

static_assert(sizeof(struct extension_part) == sizeof(struct iovec) &&
		      offsetof(struct extension_part, length) == offsetof(struct iovec, iov_len),
	      "extensions see the parts as they are");
static_assert(sizeof(struct extension_ports) == sizeof(struct port_set), "ports are one set");

static int check(const struct extensions *extensions, const struct switch_extension *of, char *why,
		 size_t why_bytes)
{
	if (of->version != EXTENSION_VERSION || of->kind >= EXTENSION_KINDS || of->name == NULL) {
		snprintf(why, why_bytes, "an extension of another version; this is %d",
			 EXTENSION_VERSION);
		return -EPROTO;
	}
	if (extensions->count == EXTENSIONS_MAX) {
		snprintf(why, why_bytes, "there are %u extensions already", EXTENSIONS_MAX);
		return -ENOSPC;
	}
	for (uint32_t i = 0; i < extensions->count; i++) {
		if (of->kind == EXTENSION_FORWARD &&
		    extensions->list[i].of->kind == EXTENSION_FORWARD) {
			snprintf(why, why_bytes,
				 "%s forwards already; there is one forwarder at most",
				 extensions->list[i].of->name);
			return -EEXIST;
		}
	}
	return 0;
}

int extend_add(struct extensions *extensions, const struct switch_extension *of,
	       const char *options, char *why, size_t why_bytes)
{
	int ret = check(extensions, of, why, why_bytes);
	uint32_t at = 0;
	void *state = NULL;

	if (ret == 0 && of->load != NULL) {
		ret = of->load(options, &state, why, why_bytes);
	}
	if (ret != 0) {
		return ret;
	}
	while (at < extensions->count && extensions->list[at].of->kind <= of->kind) {
		at++;
	}
	memmove(&extensions->list[at + 1], &extensions->list[at],
		(extensions->count - at) * sizeof(extensions->list[0]));
	extensions->list[at] = (struct extension){.of = of, .state = state};
	extensions->count++;
	return 0;
}

int extend_load(struct extensions *extensions, const char *file, const char *options, char *why,
		size_t why_bytes)
{
	const struct switch_extension *(*get)(void) = NULL;
	const struct switch_extension *of;
	void *library = dlopen(file, RTLD_NOW | RTLD_LOCAL), *symbol = NULL;
	int ret;

	if (library != NULL) {
		symbol = dlsym(library, "switch_extension");
	}
	if (symbol == NULL) {
		snprintf(why, why_bytes, "%s", dlerror());
		ret = -ENOENT;
		goto out_close;
	}
	memcpy(&get, &symbol, sizeof(get));
	of = get();
	ret = extend_add(extensions, of, options, why, why_bytes);
	if (ret != 0) {
		goto out_close;
	}
	for (uint32_t i = 0; i < extensions->count; i++) {
		if (extensions->list[i].of == of) {
			extensions->list[i].library = library;
		}
	}
	return 0;
out_close:
	if (library != NULL) {
		dlclose(library);
	}
	return ret;
}

void extend_unload(struct extensions *extensions)
{
	while (extensions->count != 0) {
		struct extension *last = &extensions->list[--extensions->count];

		if (last->of->unload != NULL) {
			last->of->unload(last->state);
		}
		if (last->library != NULL) {
			dlclose(last->library);
		}
	}
}

static struct extension_frame view(const struct port *from, const struct frame *frame)
{
	return (struct extension_frame){
		.network = from->net->name,
		.sender = from->name,
		.sender_index = from->index,
		.vlan = frame->vlan,
		.gso = frame->offload.gso,
		.csum_needed = frame->offload.flags & PORT_CSUM_NEEDED,
		.gso_bytes = frame->offload.gso_bytes,
		.bytes = frame->bytes,
		.head = frame->head,
		.head_bytes = frame->head_bytes,
		.parts = (const struct extension_part *)frame->parts,
		.part_count = frame->part_count,
	};
}

/* What a capturing extension is shown. */
static struct extension_frame finished_view(struct extensions *extensions, const struct port *from,
					    const struct frame *frame)
{
	if (!(frame->offload.flags & PORT_CSUM_NEEDED)) {
		return view(from, frame);
	}
	offload_fork(&extensions->shown, frame);
	offload_finish(&extensions->shown);
	return view(from, &extensions->shown);
}

bool extend_call_sent(struct extensions *extensions, const struct port *from,
		      const struct frame *frame)
{
	for (uint32_t i = 0; i < extensions->count; i++) {
		const struct extension *at = &extensions->list[i];
		struct extension_frame of;

		if (at->of->sent == NULL) {
			continue;
		}
		if (at->of->kind == EXTENSION_CAPTURE) {
			of = finished_view(extensions, from, frame);
			at->of->sent(at->state, &of);
		} else if (at->of->kind == EXTENSION_FILTER) {
			of = view(from, frame);
			if (!at->of->sent(at->state, &of)) {
				return false;
			}
		}
	}
	return true;
}

bool extend_call_received(struct extensions *extensions, const struct port *from,
			  const struct port *to, const struct frame *frame)
{
	for (uint32_t i = extensions->count; i-- > 0;) {
		const struct extension *at = &extensions->list[i];
		struct extension_frame of;

		if (at->of->received == NULL) {
			continue;
		}
		if (at->of->kind == EXTENSION_CAPTURE) {
			of = finished_view(extensions, from, frame);
			at->of->received(at->state, &of, to->name, to->index);
		} else if (at->of->kind == EXTENSION_FILTER) {
			of = view(from, frame);
			if (!at->of->received(at->state, &of, to->name, to->index)) {
				return false;
			}
		}
	}
	return true;
}

bool extend_call_forward(struct extensions *extensions, const struct port *from,
			 const struct frame *frame, struct port_set *to)
{
	for (uint32_t i = 0; i < extensions->count; i++) {
		const struct extension *at = &extensions->list[i];

		if (at->of->kind == EXTENSION_FORWARD && at->of->forward != NULL) {
			struct extension_frame of = view(from, frame);
			struct extension_ports chosen = {0};
			bool chose = at->of->forward(at->state, &of, &chosen);

			memcpy(to, &chosen, sizeof(*to));
			return chose;
		}
	}
	return false;
}

void extend_port(struct extensions *extensions, const struct port *port, bool added)
{
	for (uint32_t i = 0; extensions != NULL && i < extensions->count; i++) {
		const struct extension *at = &extensions->list[i];
		void (*tell)(void *, const char *, const char *, uint16_t) =
			added ? at->of->port_added : at->of->port_removed;

		if (tell != NULL) {
			tell(at->state, port->net->name, port->name, port->index);
		}
	}
}

void extend_idle(struct extensions *extensions)
{
	for (uint32_t i = 0; extensions != NULL && i < extensions->count; i++) {
		if (extensions->list[i].of->idle != NULL) {
			extensions->list[i].of->idle(extensions->list[i].state);
		}
	}
}
