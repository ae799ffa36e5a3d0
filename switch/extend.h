/* The extensions that are loaded, as forwarding calls them; include/switch/extension.h is
 * theirs. */
#ifndef SWITCH_EXTEND_H
#define SWITCH_EXTEND_H

#include <stdbool.h>
#include <stddef.h>

#include "include/switch/extension.h"
#include "switch/switch.h"

#define EXTENSIONS_MAX 16u

struct extensions {
	uint32_t count;
	struct extension {
		const struct switch_extension *of;
		void *state;
		void *library;
	} list[EXTENSIONS_MAX]; /* capture, filter, forward; each in the order of loading */
	struct frame shown;     /* with its checksum finished */
};

/*
 * Loads a shared object and starts it. On failure a negative errno, and the reason in `why`.
 * `options` are its own affair.
 */
int extend_load(struct extensions *extensions, const char *file, const char *options, char *why,
		size_t why_bytes) MUST_CHECK;
/* One that is linked in. Likewise. */
int extend_add(struct extensions *extensions, const struct switch_extension *of,
	       const char *options, char *why, size_t why_bytes) MUST_CHECK;
void extend_unload(struct extensions *extensions);

/* As called where there are some. */
bool extend_call_sent(struct extensions *extensions, const struct port *from,
		      const struct frame *frame);
bool extend_call_received(struct extensions *extensions, const struct port *from,
			  const struct port *to, const struct frame *frame);
bool extend_call_forward(struct extensions *extensions, const struct port *from,
			 const struct frame *frame, struct port_set *to);

/* `extensions` may be NULL. Without any all passes, and nobody else chooses. */
static inline bool extend_any(const struct extensions *extensions)
{
	return extensions != NULL && extensions->count != 0;
}

static inline bool extend_sent(struct extensions *extensions, const struct port *from,
			       const struct frame *frame)
{
	return !extend_any(extensions) || extend_call_sent(extensions, from, frame);
}

static inline bool extend_received(struct extensions *extensions, const struct port *from,
				   const struct port *to, const struct frame *frame)
{
	return !extend_any(extensions) || extend_call_received(extensions, from, to, frame);
}

static inline bool extend_forward(struct extensions *extensions, const struct port *from,
				  const struct frame *frame, struct port_set *to)
{
	return extend_any(extensions) && extend_call_forward(extensions, from, frame, to);
}

void extend_port(struct extensions *extensions, const struct port *port, bool added);
void extend_idle(struct extensions *extensions);

#endif
