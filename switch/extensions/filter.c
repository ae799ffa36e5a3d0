/*
 * An extension that drops by rules: vswitchd --extension filter.so,FILE. A line of the file is one
 * rule, the first that fits decides, and what none fits passes:
 *
 *   drop|pass [from PORT] [to PORT] [source MAC] [destination MAC] [type HEX] [vlan N]
 *
 * A rule with `to` is looked at for each receiver, one without when the frame is sent.
 */
#include <stdlib.h>

#include "include/switch/extension.h"
#include "switch/extensions/rules.h"

#define RULES_MAX  1024u
#define NAME_BYTES 64u
#define TYPE_AT    12u

struct rule {
	bool drops, has_source, has_destination, has_type, has_vlan;
	uint16_t type, vlan;
	uint8_t source[6], destination[6];
	char from[NAME_BYTES], to[NAME_BYTES]; /* empty: any */
};

struct filter {
	uint32_t count;
	struct rule rules[RULES_MAX];
};

static bool put_name(char *to, const char *name)
{
	if (strlen(name) >= NAME_BYTES) {
		return false;
	}
	strcpy(to, name);
	return true;
}

static bool put_word(struct rule *rule, const char *name, const char *value)
{
	unsigned int number;
	int end = 0;

	if (strcmp(name, "from") == 0) {
		return put_name(rule->from, value);
	}
	if (strcmp(name, "to") == 0) {
		return put_name(rule->to, value);
	}
	if (strcmp(name, "source") == 0) {
		rule->has_source = true;
		return rules_mac(value, rule->source);
	}
	if (strcmp(name, "destination") == 0) {
		rule->has_destination = true;
		return rules_mac(value, rule->destination);
	}
	if (strcmp(name, "type") == 0) {
		rule->has_type = sscanf(value, "%4x%n", &number, &end) == 1 && value[end] == '\0';
		rule->type = (uint16_t)number;
		return rule->has_type;
	}
	if (strcmp(name, "vlan") == 0) {
		rule->has_vlan = sscanf(value, "%4u%n", &number, &end) == 1 && value[end] == '\0';
		rule->vlan = (uint16_t)number;
		return rule->has_vlan;
	}
	return false;
}

static bool put_rule(void *of, char **words, uint32_t count)
{
	struct filter *filter = of;
	struct rule *rule = &filter->rules[filter->count];

	if (filter->count == RULES_MAX || count % 2 != 1 ||
	    (strcmp(words[0], "drop") != 0 && strcmp(words[0], "pass") != 0)) {
		return false;
	}
	rule->drops = words[0][0] == 'd';
	for (uint32_t i = 1; i < count; i += 2) {
		if (!put_word(rule, words[i], words[i + 1])) {
			return false;
		}
	}
	filter->count++;
	return true;
}

static bool fits(const struct rule *rule, const struct extension_frame *frame)
{
	const uint8_t *head = frame->head;

	return (rule->from[0] == '\0' || strcmp(rule->from, frame->sender) == 0) &&
	       (!rule->has_destination || memcmp(rule->destination, head, 6) == 0) &&
	       (!rule->has_source || memcmp(rule->source, head + 6, 6) == 0) &&
	       (!rule->has_type || rule->type == (head[TYPE_AT] << 8 | head[TYPE_AT + 1])) &&
	       (!rule->has_vlan || rule->vlan == frame->vlan);
}

static bool sent(void *state, const struct extension_frame *frame)
{
	const struct filter *filter = state;

	for (uint32_t i = 0; i < filter->count; i++) {
		if (filter->rules[i].to[0] == '\0' && fits(&filter->rules[i], frame)) {
			return !filter->rules[i].drops;
		}
	}
	return true;
}

static bool received(void *state, const struct extension_frame *frame, const char *receiver,
		     uint16_t index)
{
	const struct filter *filter = state;

	(void)index;
	for (uint32_t i = 0; i < filter->count; i++) {
		if (filter->rules[i].to[0] != '\0' && strcmp(filter->rules[i].to, receiver) == 0 &&
		    fits(&filter->rules[i], frame)) {
			return !filter->rules[i].drops;
		}
	}
	return true;
}

static int load(const char *options, void **state, char *why, size_t why_bytes)
{
	return rules_load(options, sizeof(struct filter), put_rule, state, why, why_bytes);
}

const struct switch_extension *switch_extension(void)
{
	static const struct switch_extension of = {
		.version = EXTENSION_VERSION,
		.kind = EXTENSION_FILTER,
		.name = "filter",
		.load = load,
		.unload = free,
		.sent = sent,
		.received = received,
	};

	return &of;
}
