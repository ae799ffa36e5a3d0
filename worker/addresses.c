/*
 * The addresses of the guest's network adapters on the control socket: asked for and set by the
 * guest's daemon, as part of the exchange of values (vsp/integration/).
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vsp/network/netport.h"
#include "worker/control.h"

#define TEXT_BYTES (INET6_ADDRSTRLEN + 4) /* with "/128" */

/* ---- To JSON ---- */

static json_t *list_of(const struct integration_address *list, unsigned int count, bool prefix)
{
	json_t *texts = json_array();
	unsigned int i;

	for (i = 0; i < count; i++) {
		char text[TEXT_BYTES];
		size_t length;

		inet_ntop(list[i].six ? AF_INET6 : AF_INET, list[i].bytes, text, sizeof(text));
		length = strlen(text);
		if (prefix) {
			snprintf(text + length, sizeof(text) - length, "/%u", list[i].prefix);
		}
		json_array_append_new(texts, json_string(text));
	}
	return texts;
}

static void got(void *user, const struct integration_addresses *addresses)
{
	struct job *job = user;

	json_object_update_new(
		job->answer,
		json_pack("{s:b, s:o, s:o, s:o}", "dhcp", (int)addresses->dhcp, "addresses",
			  list_of(addresses->addresses, addresses->address_count, true), "gateways",
			  list_of(addresses->gateways, addresses->gateway_count, false), "dns",
			  list_of(addresses->dns, addresses->dns_count, false)));
}

/* ---- From JSON ---- */

struct list {
	struct integration_address *next;
	unsigned int *count;
	bool prefix;
};

static bool read_prefix(const char *text, struct integration_address *address)
{
	unsigned long prefix;
	char *end;

	errno = 0;
	prefix = strtoul(text, &end, 10);
	address->prefix = (uint8_t)prefix;
	return text[0] >= '0' && text[0] <= '9' && *end == '\0' && errno == 0 && prefix != 0 &&
	       prefix <= (address->six ? 128 : 32);
}

static bool read_one(struct form *form, const json_t *value, void *into)
{
	struct list *list = into;
	struct integration_address *address = list->next++;
	const char *text = json_string_value(value);
	const char *slash = text != NULL ? strchr(text, '/') : NULL;
	char host[INET6_ADDRSTRLEN] = "";
	size_t length = text == NULL ? 0 : slash != NULL ? (size_t)(slash - text) : strlen(text);

	if (length < sizeof(host)) {
		memcpy(host, text != NULL ? text : "", length);
	}
	*address = (struct integration_address){.six = strchr(host, ':') != NULL};
	++*list->count;
	if (inet_pton(address->six ? AF_INET6 : AF_INET, host, address->bytes) != 1 ||
	    (slash != NULL) != list->prefix ||
	    (slash != NULL && !read_prefix(slash + 1, address))) {
		return form_refuse(form, value,
				   list->prefix ? "write it as 192.0.2.7/24 or 2001:db8::7/64"
						: "write it as 192.0.2.1 or 2001:db8::1",
				   "is no address");
	}
	return true;
}

bool addresses_read_own(struct form *form, const json_t *value, void *into)
{
	struct integration_addresses *addresses = into;
	struct list list = {addresses->addresses, &addresses->address_count, true};

	return form_read_list(form, value, INTEGRATION_ADDRESSES_MAX, read_one, &list);
}

bool addresses_read_gateways(struct form *form, const json_t *value, void *into)
{
	struct integration_addresses *addresses = into;
	struct list list = {addresses->gateways, &addresses->gateway_count, false};

	return form_read_list(form, value, INTEGRATION_GATEWAYS_MAX, read_one, &list);
}

bool addresses_read_dns(struct form *form, const json_t *value, void *into)
{
	struct integration_addresses *addresses = into;
	struct list list = {addresses->dns, &addresses->dns_count, false};

	return form_read_list(form, value, INTEGRATION_ADDRESSES_MAX, read_one, &list);
}

/* ---- The exchange ---- */

int addresses_exchange(struct machine *machine, struct job *job, unsigned int adapter,
		       const struct integration_addresses *set)
{
	struct integration_adapter which;
	struct integration_kvp what = {
		.operation =
			set != NULL ? INTEGRATION_KVP_SET_ADDRESSES : INTEGRATION_KVP_GET_ADDRESSES,
		.pool = INTEGRATION_POOL_GUEST,
		.adapter = &which,
		.addresses = set,
		.got = got,
		.done = services_exchange_done,
		.user = job,
	};
	int ret;

	if (adapter >= CONFIG_NETWORKS_MAX || machine->networks.places[adapter].port == NULL) {
		return -ENODEV;
	}
	memcpy(which.mac, machine->networks.places[adapter].port->mac, sizeof(which.mac));
	networks_instance(adapter, which.instance);
	ret = integration_kvp(machine->integration, &what);
	if (ret == 0) {
		job->subject = machine;
		job->finish = services_exchange_finish;
		job->drop = services_drop_answer;
		job->answer = set == NULL ? json_pack("{s:i}", "adapter", (int)adapter) : NULL;
	}
	return ret;
}
