/* See acl.h. */
#include "switch/acl.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static bool is_prefix(const struct acl_prefix *prefix)
{
	return (prefix->family == 0 && prefix->bits == 0) ||
	       (prefix->family == 4 && prefix->bits <= 32) ||
	       (prefix->family == 6 && prefix->bits <= 128);
}

static bool is_direction(uint8_t directions)
{
	return directions != 0 && (directions & ~(ACL_OUT | ACL_IN)) == 0;
}

int acl_add_basic(struct acl *acl, const struct acl_basic *rule)
{
	if (rule->action > ACL_METER || !is_direction(rule->directions) ||
	    !is_prefix(&rule->prefix) || (rule->action == ACL_METER && rule->hardware)) {
		return -EINVAL;
	}
	if (acl->basic_count == ACL_BASIC_MAX) {
		return -ENOSPC;
	}
	acl->basic[acl->basic_count] = *rule;
	acl->basic[acl->basic_count].frames = acl->basic[acl->basic_count].bytes = 0;
	acl->basic_count++;
	return 0;
}

static bool are_ports(const struct acl_extended *rule, const struct acl_ports *ports)
{
	return (ports->first == 0 && ports->last == 0) ||
	       (ports->first <= ports->last &&
		(rule->protocol == PROTOCOL_TCP || rule->protocol == PROTOCOL_UDP));
}

int acl_add_extended(struct acl *acl, const struct acl_extended *rule)
{
	uint32_t at = 0;

	if (rule->action > ACL_DENY || !is_direction(rule->direction) || !is_prefix(&rule->local) ||
	    !is_prefix(&rule->remote) || !are_ports(rule, &rule->local_ports) ||
	    !are_ports(rule, &rule->remote_ports) || rule->protocol < -1 || rule->protocol > 255 ||
	    (rule->stateful && (rule->action != ACL_ALLOW || rule->idle_s == 0))) {
		return -EINVAL;
	}
	if (acl->extended_count == ACL_EXTENDED_MAX) {
		return -ENOSPC;
	}
	if (rule->stateful && acl->flows == NULL) {
		acl->flows = calloc(1, sizeof(*acl->flows));
		if (acl->flows == NULL) {
			return -ENOMEM;
		}
	}
	while (at < acl->extended_count && acl->extended[at].weight >= rule->weight) {
		at++;
	}
	memmove(&acl->extended[at + 1], &acl->extended[at],
		(acl->extended_count - at) * sizeof(acl->extended[0]));
	acl->extended[at] = *rule;
	acl->extended[at].frames = acl->extended[at].bytes = 0;
	acl->extended_count++;
	return 0;
}

bool acl_remove_basic(struct acl *acl, uint32_t index)
{
	if (index >= acl->basic_count) {
		return false;
	}
	acl->basic_count--;
	memmove(&acl->basic[index], &acl->basic[index + 1],
		(acl->basic_count - index) * sizeof(acl->basic[0]));
	return true;
}

/* What was let pass by a rule that is gone is let pass no more: the flows go with the last one. */
static void drop_flows(struct acl *acl)
{
	for (uint32_t i = 0; i < acl->extended_count; i++) {
		if (acl->extended[i].stateful) {
			memset(acl->flows, 0, sizeof(*acl->flows));
			return;
		}
	}
	free(acl->flows);
	acl->flows = NULL;
}

bool acl_remove_extended(struct acl *acl, uint32_t index)
{
	if (index >= acl->extended_count) {
		return false;
	}
	acl->extended_count--;
	memmove(&acl->extended[index], &acl->extended[index + 1],
		(acl->extended_count - index) * sizeof(acl->extended[0]));
	drop_flows(acl);
	return true;
}

void acl_clear(struct acl *acl)
{
	free(acl->flows);
	*acl = (struct acl){0};
}

static bool in_prefix(const struct acl_prefix *prefix, uint8_t family, const uint8_t *address)
{
	uint32_t whole = prefix->bits / 8, rest = prefix->bits % 8;

	if (prefix->family == 0) {
		return true;
	}
	return prefix->family == family && memcmp(prefix->address, address, whole) == 0 &&
	       (rest == 0 || (prefix->address[whole] ^ address[whole]) >> (8 - rest) == 0);
}

/* The length by which a basic rule fits, from 1; 0: it does not. */
static uint32_t fits(const struct acl_basic *rule, const struct frame *frame,
		     enum acl_direction direction)
{
	const struct frame_headers *h = &frame->headers;
	bool source = rule->remote == (direction == ACL_IN);

	if (!(rule->directions & direction)) {
		return 0;
	}
	if (rule->hardware) {
		return rule->any_mac ? 1
				     : (rule->mac ==
					(source ? frame_source(frame) : frame_destination(frame))) *
					       2u;
	}
	if (h->family == 0 ||
	    !in_prefix(&rule->prefix, h->family, source ? h->source : h->destination)) {
		return 0;
	}
	return 1u + (rule->prefix.family != 0) + rule->prefix.bits;
}

static void count(uint64_t *frames, uint64_t *bytes, const struct frame *frame)
{
	*frames += 1;
	*bytes += frame->bytes;
}

enum { LIST_IP, LIST_HARDWARE, LIST_METER, LISTS };

static bool basic_allows(struct acl *acl, const struct frame *frame, enum acl_direction direction)
{
	struct acl_basic *best[LISTS] = {0};
	uint32_t length[LISTS] = {0};
	bool allowed = true;

	for (uint32_t i = 0; i < acl->basic_count; i++) {
		struct acl_basic *rule = &acl->basic[i];
		uint32_t list = rule->action == ACL_METER ? LIST_METER
				: rule->hardware          ? LIST_HARDWARE
							  : LIST_IP;
		uint32_t by = fits(rule, frame, direction);

		if (by > length[list] ||
		    (by != 0 && by == length[list] && rule->action == ACL_DENY)) {
			best[list] = rule;
			length[list] = by;
		}
	}
	for (uint32_t list = 0; list < LISTS; list++) {
		if (best[list] != NULL) {
			count(&best[list]->frames, &best[list]->bytes, frame);
			allowed &= best[list]->action != ACL_DENY;
		}
	}
	return allowed;
}

/* Later pieces of a frame have no ports that a range could fit. */
static bool in_ports(const struct acl_ports *ports, const struct frame_headers *h, uint16_t port)
{
	return (ports->first == 0 && ports->last == 0) ||
	       (!h->later && port >= ports->first && port <= ports->last);
}

static bool extended_fits(const struct acl_extended *rule, const struct frame_headers *h,
			  enum acl_direction direction)
{
	bool out = direction == ACL_OUT;

	return rule->direction & direction &&
	       (rule->protocol < 0 || rule->protocol == h->protocol) &&
	       in_prefix(&rule->local, h->family, out ? h->source : h->destination) &&
	       in_prefix(&rule->remote, h->family, out ? h->destination : h->source) &&
	       in_ports(&rule->local_ports, h, out ? h->source_port : h->destination_port) &&
	       in_ports(&rule->remote_ports, h, out ? h->destination_port : h->source_port);
}

static bool extended_allows(struct acl *acl, const struct frame *frame,
			    enum acl_direction direction, uint32_t now_s)
{
	const struct frame_headers *h = &frame->headers;

	if (h->unknown) {
		return false;
	}
	if (h->family == 0 ||
	    (acl->flows != NULL && flow_follow(acl->flows, h, direction == ACL_OUT, now_s))) {
		return true;
	}
	for (uint32_t i = 0; i < acl->extended_count; i++) {
		struct acl_extended *rule = &acl->extended[i];

		if (extended_fits(rule, h, direction)) {
			count(&rule->frames, &rule->bytes, frame);
			if (rule->stateful) {
				flow_begin(acl->flows, h, direction == ACL_OUT, now_s,
					   rule->idle_s);
			}
			return rule->action == ACL_ALLOW;
		}
	}
	return true;
}

bool acl_judge(struct acl *acl, const struct frame *frame, enum acl_direction direction,
	       uint32_t now_s)
{
	return (acl->extended_count == 0 || extended_allows(acl, frame, direction, now_s)) &&
	       (acl->basic_count == 0 || basic_allows(acl, frame, direction));
}
