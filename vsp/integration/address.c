/*
 * The addresses of a guest's network adapter on their way through the exchange of values: lists of
 * texts up to protocol 4.0, which Linux speaks, and binary ones from 5.0 on.
 *
 * What a guest sends is taken as far as it can be read as addresses: each list ends where its NUL,
 * its count or its room ends, and what is no address is left out.
 */
#include "vsp/integration/ic.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "disk/bytes.h"

#define BINARY_FROM 5u

static unsigned int bits_of(const struct integration_address *address)
{
	return address->six ? 128 : 32;
}

static void put_mask(uint8_t mask[4], unsigned int prefix)
{
	uint32_t bits = htonl(prefix == 0 ? 0 : UINT32_MAX << (32 - prefix));

	memcpy(mask, &bits, 4);
}

static uint8_t prefix_of(const uint8_t mask[4])
{
	unsigned int prefix = 0;

	while (prefix < 32 && mask[prefix / 8] & 0x80 >> prefix % 8) {
		prefix++;
	}
	return (uint8_t)prefix;
}

/* ---- The adapter ---- */

/* Linux's daemon looks for the one by its MAC address, and for the one to be set by its
 * instance. */
static void put_adapter(uint8_t *to, const struct integration_adapter *adapter, bool by_mac)
{
	const uint8_t *mac = adapter->mac;
	char guid[GUID_TEXT], text[GUID_TEXT + 2];
	struct guid instance;

	memcpy(instance.bytes, adapter->instance, sizeof(instance.bytes));
	guid_print(&instance, guid);
	if (by_mac) {
		snprintf(text, sizeof(text), "%02X:%02X:%02X:%02X:%02X:%02X", mac[0], mac[1],
			 mac[2], mac[3], mac[4], mac[5]);
	} else {
		snprintf(text, sizeof(text), "{%s}", guid);
	}
	/* It is ASCII, and there is room. */
	(void)!utf8_to_utf16(text, false, to, 2 * (MAX_ADAPTER_ID_SIZE - 1));
}

static uint8_t families_of(const struct integration_addresses *addresses)
{
	uint8_t families = 0;
	unsigned int i;

	for (i = 0; i < addresses->address_count; i++) {
		families |= addresses->addresses[i].six ? ADDR_FAMILY_IPV6 : ADDR_FAMILY_IPV4;
	}
	return families;
}

/* ---- Texts ---- */

enum part { ADDRESS, MASK };

static void print_part(const struct integration_address *address, enum part part, char *text,
		       size_t size)
{
	uint8_t mask[4];

	if (part == ADDRESS) {
		inet_ntop(address->six ? AF_INET6 : AF_INET, address->bytes, text, (socklen_t)size);
	} else if (address->six) {
		snprintf(text, size, "%u", address->prefix);
	} else {
		put_mask(mask, address->prefix);
		inet_ntop(AF_INET, mask, text, (socklen_t)size);
	}
}

static void put_list(uint8_t *to, const struct integration_address *list, unsigned int count,
		     enum part part)
{
	char text[INTEGRATION_ADDRESSES_MAX * (INET6_ADDRSTRLEN + 1)] = "";
	size_t length = 0;
	unsigned int i;

	static_assert(sizeof(text) <= MAX_IP_ADDR_SIZE &&
			      INTEGRATION_GATEWAYS_MAX * (INET6_ADDRSTRLEN + 1) <= MAX_GATEWAY_SIZE,
		      "a full list fits");
	for (i = 0; i < count; i++) {
		if (i != 0) {
			text[length++] = ';';
		}
		print_part(&list[i], part, text + length, sizeof(text) - length);
		length += strlen(text + length);
	}
	(void)!utf8_to_utf16(text, false, to, 2 * length);
}

static bool read_address(const char *word, struct integration_address *address)
{
	*address = (struct integration_address){.six = strchr(word, ':') != NULL};
	address->prefix = (uint8_t)bits_of(address);
	return inet_pton(address->six ? AF_INET6 : AF_INET, word, address->bytes) == 1;
}

/* "255.255.255.0", "24", "/24". */
static uint8_t read_prefix(const char *word, const struct integration_address *address)
{
	unsigned long prefix;
	uint8_t mask[4];

	if (inet_pton(AF_INET, word, mask) == 1) {
		return prefix_of(mask);
	}
	prefix = strtoul(word + (word[0] == '/'), NULL, 10);
	return (uint8_t)(prefix <= bits_of(address) ? prefix : bits_of(address));
}

/* The next word of a list of texts; false: there is none. Words that are too long for an address
 * become empty ones. */
static bool next_word(const uint8_t *from, unsigned int units, unsigned int *at,
		      char word[INET6_ADDRSTRLEN + 1])
{
	unsigned int length = 0;

	if (*at >= units || (from[2 * *at] == 0 && from[2 * *at + 1] == 0)) {
		return false;
	}
	for (; *at < units; ++*at) {
		uint8_t low = from[2 * *at], high = from[2 * *at + 1];

		if ((low == 0 && high == 0) || (low == ';' && high == 0)) {
			break;
		}
		if (low == ' ' && high == 0) {
			continue;
		}
		if (length < INET6_ADDRSTRLEN) {
			word[length] = high == 0 && low < 0x80 ? (char)low : '?';
		}
		length++;
	}
	if (*at < units && from[2 * *at] == ';') {
		++*at;
	}
	word[length <= INET6_ADDRSTRLEN ? length : 0] = '\0';
	return true;
}

/* `masks` NULL: it has none. Returns how many. */
static unsigned int take_list(const uint8_t *from, const uint8_t *masks, unsigned int units,
			      struct integration_address *list, unsigned int most)
{
	char word[INET6_ADDRSTRLEN + 1], mask[INET6_ADDRSTRLEN + 1];
	unsigned int at = 0, mask_at = 0, count = 0;

	while (count < most && next_word(from, units, &at, word)) {
		bool has_mask = masks != NULL && next_word(masks, units, &mask_at, mask);

		if (!read_address(word, &list[count])) {
			continue;
		}
		if (has_mask) {
			list[count].prefix = read_prefix(mask, &list[count]);
		}
		count++;
	}
	return count;
}

static void put_texts(struct hv_kvp_ip_msg *text, const struct integration_addresses *addresses)
{
	text->addr_family = families_of(addresses);
	text->dhcp_enabled = addresses->dhcp;
	put_list(text->ip_addr, addresses->addresses, addresses->address_count, ADDRESS);
	put_list(text->sub_net, addresses->addresses, addresses->address_count, MASK);
	put_list(text->gate_way, addresses->gateways, addresses->gateway_count, ADDRESS);
	put_list(text->dns_addr, addresses->dns, addresses->dns_count, ADDRESS);
}

static void take_texts(const struct hv_kvp_ip_msg *text, struct integration_addresses *addresses)
{
	addresses->dhcp = text->dhcp_enabled != 0;
	addresses->address_count = take_list(text->ip_addr, text->sub_net, MAX_IP_ADDR_SIZE,
					     addresses->addresses, INTEGRATION_ADDRESSES_MAX);
	addresses->gateway_count = take_list(text->gate_way, NULL, MAX_GATEWAY_SIZE,
					     addresses->gateways, INTEGRATION_GATEWAYS_MAX);
	addresses->dns_count = take_list(text->dns_addr, NULL, MAX_IP_ADDR_SIZE, addresses->dns,
					 INTEGRATION_ADDRESSES_MAX);
}

/* ---- Binary ---- */

/* Those of each family, in their order; how many of them there are. */
static void put_binary_list(const struct integration_address *list, unsigned int count,
			    uint8_t (*four)[4], uint32_t *four_count, uint8_t (*six)[16],
			    uint32_t *six_count)
{
	uint32_t fours = 0, sixes = 0;
	unsigned int i;

	for (i = 0; i < count; i++) {
		if (list[i].six) {
			memcpy(six[sixes++], list[i].bytes, 16);
		} else {
			memcpy(four[fours++], list[i].bytes, 4);
		}
	}
	*four_count = fours;
	*six_count = sixes;
}

static unsigned int take_binary_list(struct integration_address *list, unsigned int most,
				     const uint8_t (*four)[4], uint32_t four_count,
				     const uint8_t (*six)[16], uint32_t six_count)
{
	unsigned int count = 0;
	uint32_t i;

	for (i = 0; i < four_count && count < most; i++, count++) {
		list[count] = (struct integration_address){.prefix = 32};
		memcpy(list[count].bytes, four[i], 4);
	}
	for (i = 0; i < six_count && count < most; i++, count++) {
		list[count] = (struct integration_address){.six = true, .prefix = 128};
		memcpy(list[count].bytes, six[i], 16);
	}
	return count;
}

static void put_binary(struct ic_kvp_ip_binary *binary,
		       const struct integration_addresses *addresses)
{
	uint32_t four_count, six_count, fours = 0, sixes = 0;
	unsigned int i;

	binary->addr_family = families_of(addresses);
	binary->dhcp_enabled = addresses->dhcp;
	put_binary_list(addresses->addresses, addresses->address_count, binary->addresses4,
			&four_count, binary->addresses6, &six_count);
	binary->address4_count = four_count;
	binary->address6_count = six_count;
	for (i = 0; i < addresses->address_count; i++) {
		if (addresses->addresses[i].six) {
			binary->subnets6[sixes++] = addresses->addresses[i].prefix;
		} else {
			put_mask(binary->subnets4[fours++], addresses->addresses[i].prefix);
		}
	}
	put_binary_list(addresses->gateways, addresses->gateway_count, binary->gateways4,
			&four_count, binary->gateways6, &six_count);
	binary->gateway4_count = four_count;
	binary->gateway6_count = six_count;
	put_binary_list(addresses->dns, addresses->dns_count, binary->dns4, &four_count,
			binary->dns6, &six_count);
	binary->dns4_count = four_count;
	binary->dns6_count = six_count;
}

static bool take_binary(const struct ic_kvp_ip_binary *binary,
			struct integration_addresses *addresses)
{
	uint32_t fours = 0, sixes = 0;
	unsigned int i;

	if (binary->address4_count > IC_IP_MAX || binary->address6_count > IC_IP_MAX ||
	    binary->gateway4_count > IC_GATEWAYS_MAX || binary->gateway6_count > IC_GATEWAYS_MAX ||
	    binary->dns4_count > IC_IP_MAX || binary->dns6_count > IC_IP_MAX) {
		return false;
	}
	addresses->dhcp = binary->dhcp_enabled != 0;
	addresses->address_count = take_binary_list(addresses->addresses, INTEGRATION_ADDRESSES_MAX,
						    binary->addresses4, binary->address4_count,
						    binary->addresses6, binary->address6_count);
	for (i = 0; i < addresses->address_count; i++) {
		struct integration_address *address = &addresses->addresses[i];
		uint32_t prefix = address->six ? binary->subnets6[sixes++]
					       : prefix_of(binary->subnets4[fours++]);

		address->prefix = (uint8_t)(prefix <= bits_of(address) ? prefix : bits_of(address));
	}
	addresses->gateway_count =
		take_binary_list(addresses->gateways, INTEGRATION_GATEWAYS_MAX, binary->gateways4,
				 binary->gateway4_count, binary->gateways6, binary->gateway6_count);
	addresses->dns_count =
		take_binary_list(addresses->dns, INTEGRATION_ADDRESSES_MAX, binary->dns4,
				 binary->dns4_count, binary->dns6, binary->dns6_count);
	return true;
}

/* ---- Either ---- */

uint32_t address_put(union address_message *message, struct ic_version version,
		     const struct integration_adapter *adapter,
		     const struct integration_addresses *addresses)
{
	uint8_t operation = addresses != NULL ? KVP_OP_SET_IP_INFO : KVP_OP_GET_IP_INFO;

	memset(message, 0, sizeof(*message));
	if (version.major < BINARY_FROM) {
		message->text.operation = operation;
		message->text.pool = INTEGRATION_POOL_GUEST;
		put_adapter(message->text.adapter_id, adapter, addresses == NULL);
		if (addresses != NULL) {
			put_texts(&message->text, addresses);
		}
		return sizeof(message->text);
	}
	message->binary.kvp_hdr.operation = operation;
	message->binary.kvp_hdr.pool = INTEGRATION_POOL_GUEST;
	put_adapter(message->binary.adapter_id, adapter, false);
	if (addresses != NULL) {
		put_binary(&message->binary, addresses);
	}
	return sizeof(message->binary);
}

bool address_take(const void *body, uint32_t bytes, struct ic_version version,
		  struct integration_addresses *addresses)
{
	union address_message message;
	bool text = version.major < BINARY_FROM;

	*addresses = (struct integration_addresses){0};
	if (bytes < (text ? sizeof(message.text) : offsetof(struct ic_kvp_ip_binary, origins))) {
		return false;
	}
	memcpy(&message, body, bytes < sizeof(message) ? bytes : sizeof(message));
	if (text) {
		take_texts(&message.text, addresses);
		return true;
	}
	return take_binary(&message.binary, addresses);
}
