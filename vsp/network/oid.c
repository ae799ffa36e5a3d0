/*
 * The objects of RNDIS and NDIS: what can be asked of the adapter, and what can be set.
 *
 * A number is one row of a table; what has a structure of its own is a function.
 */
#include "vsp/network/netvsp.h"

#include <string.h>

#define VENDOR      0x155du /* Hyper-V's, as in the addresses */
#define SPEED_LEAST 10000u  /* Mbit/s, where the switch does not say */
#define LSO_MAX     62780u
#define RSS_ENTRIES PORT_STEER
#define RSS_KEY     40u

static bool is_down(const struct network *network)
{
	return atomic_load(&network->lost) || atomic_load(&network->leaving) ||
	       __atomic_load_n(&network->port->memory->link, __ATOMIC_RELAXED) == 0;
}

uint32_t oid_link(const struct network *network)
{
	return is_down(network) ? 0 : 1;
}

static uint64_t speed_bits(const struct network *network)
{
	uint32_t speed = __atomic_load_n(&network->port->memory->speed, __ATOMIC_RELAXED);

	return (uint64_t)(speed != 0 ? speed : SPEED_LEAST) * 1000000u;
}

uint32_t oid_speed(const struct network *network)
{
	uint64_t units = speed_bits(network) / 100;

	return units < UINT32_MAX ? (uint32_t)units : UINT32_MAX;
}

/* ---- numbers ---- */

static uint32_t frame_size(const struct network *network)
{
	return network->frame_bytes - 14;
}

static uint32_t total_size(const struct network *network)
{
	return network->frame_bytes;
}

static uint32_t send_space(const struct network *network)
{
	return network->send.piece_bytes * network->send.piece_count;
}

static uint32_t receive_space(const struct network *network)
{
	return network->receive.piece_bytes * network->receive.piece_count;
}

static uint32_t filter(const struct network *network)
{
	return atomic_load(&network->filter);
}

static uint32_t disconnected(const struct network *network)
{
	return is_down(network);
}

struct number {
	uint32_t oid;
	uint32_t value; /* if there is no function */
	uint32_t (*get)(const struct network *network);
};

/* clang-format off */
static const struct number numbers[] = {
	{OID_GEN_HARDWARE_STATUS,       0, NULL}, /* ready */
	{OID_GEN_MEDIA_SUPPORTED,       0, NULL}, /* 802.3 */
	{OID_GEN_MEDIA_IN_USE,          0, NULL},
	{OID_GEN_MAXIMUM_LOOKAHEAD,     0, frame_size},
	{OID_GEN_CURRENT_LOOKAHEAD,     0, frame_size},
	{OID_GEN_MAXIMUM_FRAME_SIZE,    0, frame_size},
	{OID_GEN_MAXIMUM_TOTAL_SIZE,    0, total_size},
	{OID_GEN_TRANSMIT_BLOCK_SIZE,   1, NULL},
	{OID_GEN_RECEIVE_BLOCK_SIZE,    1, NULL},
	{OID_GEN_TRANSMIT_BUFFER_SPACE, 0, send_space},
	{OID_GEN_RECEIVE_BUFFER_SPACE,  0, receive_space},
	{OID_GEN_LINK_SPEED,            0, oid_speed},
	{OID_GEN_VENDOR_ID,             VENDOR, NULL},
	{OID_GEN_VENDOR_DRIVER_VERSION, 0x00010000, NULL},
	{OID_GEN_CURRENT_PACKET_FILTER, 0, filter},
	{OID_GEN_MAC_OPTIONS,           0, NULL},
	{OID_GEN_MEDIA_CONNECT_STATUS,  0, disconnected},
	{OID_GEN_MAXIMUM_SEND_PACKETS,  8, NULL},
	{OID_802_3_MAXIMUM_LIST_SIZE,   NET_MULTICAST_BYTES / 6, NULL},
};

/* Those that are no numbers, for the list of what is supported. */
static const uint32_t others[] = {
	OID_GEN_SUPPORTED_LIST, OID_GEN_VENDOR_DESCRIPTION, OID_GEN_DRIVER_VERSION, OID_GEN_FRIENDLY_NAME,
	OID_GEN_LINK_STATE, OID_GEN_MAX_LINK_SPEED, OID_GEN_XMIT_OK, OID_GEN_RCV_OK, OID_GEN_XMIT_ERROR,
	OID_GEN_RCV_ERROR, OID_GEN_RCV_NO_BUFFER, OID_GEN_RNDIS_CONFIG_PARAMETER,
	OID_802_3_PERMANENT_ADDRESS, OID_802_3_CURRENT_ADDRESS, OID_802_3_MULTICAST_LIST,
	OID_GEN_RECEIVE_SCALE_CAPABILITIES, OID_GEN_RECEIVE_SCALE_PARAMETERS, OID_OFFLOAD_ENCAPSULATION,
	OID_TCP_OFFLOAD_CURRENT_CONFIG, OID_TCP_OFFLOAD_PARAMETERS, OID_TCP_OFFLOAD_HARDWARE_CAPABILITIES,
};
/* clang-format on */

static void put(uint8_t *value, uint32_t *bytes, const void *from, size_t size)
{
	memcpy(value + *bytes, from, size);
	*bytes += (uint32_t)size;
}

static uint32_t give(uint8_t *value, uint32_t *bytes, const void *from, size_t size)
{
	put(value, bytes, from, size);
	return RNDIS_STATUS_SUCCESS;
}

static uint32_t give_number(uint8_t *value, uint32_t *bytes, uint64_t number)
{
	return give(value, bytes, &number, sizeof(number));
}

static bool query_number(const struct network *network, uint32_t oid, uint8_t *value,
			 uint32_t *bytes)
{
	unsigned int i;

	for (i = 0; i < ARRAY_COUNT(numbers); i++) {
		if (numbers[i].oid == oid) {
			uint32_t number =
				numbers[i].get != NULL ? numbers[i].get(network) : numbers[i].value;

			put(value, bytes, &number, sizeof(number));
			return true;
		}
	}
	return false;
}

static uint32_t supported_list(uint8_t *value, uint32_t *bytes)
{
	unsigned int i;

	for (i = 0; i < ARRAY_COUNT(numbers); i++) {
		put(value, bytes, &numbers[i].oid, sizeof(numbers[i].oid));
	}
	return give(value, bytes, others, sizeof(others));
}

/* ---- structures ---- */

static uint32_t friendly_name(const struct network *network, uint8_t *value, uint32_t *bytes)
{
	const char *at = network->name;

	do {
		value[(*bytes)++] = (uint8_t)*at;
		value[(*bytes)++] = 0;
	} while (*at++ != '\0');
	return RNDIS_STATUS_SUCCESS;
}

/* NDIS_LINK_STATE */
static uint32_t link_state(const struct network *network, uint8_t *value, uint32_t *bytes)
{
	struct {
		struct ndis_header header;
		uint32_t connected; /* 1, 2: not */
		uint32_t duplex;    /* 2: full */
		uint32_t reserved;
		uint64_t send_speed, receive_speed;
		uint32_t pause, auto_negotiation;
	} state = {
		.header = {.type = 0x80, .revision = 1, .bytes = sizeof(state)},
		.connected = is_down(network) ? 2 : 1,
		.duplex = 2,
		.send_speed = speed_bits(network),
		.receive_speed = speed_bits(network),
	};

	return give(value, bytes, &state, sizeof(state));
}

static uint32_t max_speed(const struct network *network, uint8_t *value, uint32_t *bytes)
{
	uint64_t speeds[2] = {speed_bits(network), speed_bits(network)};

	return give(value, bytes, speeds, sizeof(speeds));
}

static uint32_t rss_capabilities(const struct network *network, uint8_t *value, uint32_t *bytes)
{
	struct ndis_rss_capabilities rss = {
		.header = {.type = NDIS_TYPE_RSS_CAPABILITIES, .revision = 2, .bytes = sizeof(rss)},
		.flags = 0x1 | 0x100 | 0x200 | 0x400 | 0x01000000, /* Toeplitz; TCP of v4, v6, with
								      extensions; by message */
		.message_count = nvsp_queue_count(network),
		.queue_count = nvsp_queue_count(network),
		.table_entries = RSS_ENTRIES,
	};

	return give(value, bytes, &rss, sizeof(rss));
}

static uint32_t rss_parameters(const struct network *network, uint8_t *value, uint32_t *bytes)
{
	struct {
		struct ndis_rss_parameters head;
		uint32_t table[RSS_ENTRIES];
		uint8_t key[RSS_KEY];
	} rss = {.head = network->rss};
	unsigned int i;

	rss.head.header = (struct ndis_header){
		.type = NDIS_TYPE_RSS_PARAMETERS, .revision = 2, .bytes = sizeof(rss.head)};
	rss.head.table_bytes = sizeof(rss.table);
	rss.head.table_offset = sizeof(rss.head);
	rss.head.key_bytes = RSS_KEY;
	rss.head.key_offset = sizeof(rss.head) + sizeof(rss.table);
	for (i = 0; i < RSS_ENTRIES; i++) {
		rss.table[i] = network->steer[i];
	}
	memcpy(rss.key, network->rss_key, RSS_KEY);
	return give(value, bytes, &rss, sizeof(rss));
}

/* What is on: of a choice that can be off, tx, rx or both. */
static bool is_tx(uint8_t choice)
{
	return choice != 1 && choice != 3;
}

static bool is_rx(uint8_t choice)
{
	return choice != 1 && choice != 2;
}

static uint32_t if_on(bool on, uint32_t flags)
{
	return on ? flags : 0;
}

uint32_t oid_offload(const struct network *network, bool current, uint8_t revision, uint8_t *value)
{
	const struct ndis_offload_parameters all = {.rsc4 = 2, .rsc6 = 2};
	struct ndis_offload_parameters set = current ? network->offload : all;
	uint32_t tcp = NDIS_CSUM_TCP | NDIS_CSUM_TCP_OPTIONS | NDIS_CSUM_IP_OPTIONS;
	uint32_t ip = NDIS_CSUM_IP | NDIS_CSUM_IP_OPTIONS;
	struct ndis_offload offload = {
		.header = {.type = NDIS_TYPE_OFFLOAD, .revision = revision},
		.csum4 = {NDIS_ENCAPSULATION_8023,
			  if_on(is_tx(set.tcp4_csum), tcp) |
				  if_on(is_tx(set.udp4_csum), NDIS_CSUM_UDP) |
				  if_on(is_tx(set.ip4_csum), ip),
			  NDIS_ENCAPSULATION_8023,
			  if_on(is_rx(set.tcp4_csum), tcp) |
				  if_on(is_rx(set.udp4_csum), NDIS_CSUM_UDP) |
				  if_on(is_rx(set.ip4_csum), ip)},
		.csum6 = {NDIS_ENCAPSULATION_8023,
			  if_on(is_tx(set.tcp6_csum), tcp) |
				  if_on(is_tx(set.udp6_csum), NDIS_CSUM_UDP),
			  NDIS_ENCAPSULATION_8023,
			  if_on(is_rx(set.tcp6_csum), tcp) |
				  if_on(is_rx(set.udp6_csum), NDIS_CSUM_UDP)},
		.rsc4 = set.rsc4 == 2,
		.rsc6 = set.rsc6 == 2,
	};

	if (set.lso4 != 1) {
		offload.lso4_encapsulation = NDIS_ENCAPSULATION_8023;
		offload.lso4_max = LSO_MAX;
		offload.lso4_min_segments = 2;
	}
	if (set.lso6 != 1) {
		offload.lso6_encapsulation = NDIS_ENCAPSULATION_8023;
		offload.lso6_max = LSO_MAX;
		offload.lso6_min_segments = 2;
		offload.lso6_flags = NDIS_CSUM_IP_OPTIONS | NDIS_CSUM_TCP_OPTIONS;
	}
	offload.header.bytes = revision >= 3   ? NDIS_OFFLOAD_BYTES_3
			       : revision == 2 ? NDIS_OFFLOAD_BYTES_2
					       : NDIS_OFFLOAD_BYTES_1;
	memcpy(value, &offload, offload.header.bytes);
	return offload.header.bytes;
}

/* The guest says which revision it knows by a header in its query, or by the version that it
 * speaks. */
static uint32_t query_offload(const struct network *network, bool current, const uint8_t *in,
			      uint32_t in_bytes, uint8_t *value, uint32_t *bytes)
{
	struct ndis_header asked = {.revision = network->version >= NVSP_VERSION_5   ? 3
						: network->version >= NVSP_VERSION_4 ? 2
										     : 1};

	if (in_bytes >= sizeof(asked)) {
		memcpy(&asked, in, sizeof(asked));
	}
	if (asked.revision < 1 || asked.revision > 3) {
		asked.revision = 3;
	}
	*bytes = oid_offload(network, current, asked.revision, value);
	return RNDIS_STATUS_SUCCESS;
}

/* NDIS_OFFLOAD_ENCAPSULATION: what was set is always the same. */
static uint32_t encapsulation(uint8_t *value, uint32_t *bytes)
{
	struct {
		struct ndis_header header;
		uint32_t enabled4, type4, header4, enabled6, type6, header6;
	} it = {{.type = 0xa8, .revision = 1, .bytes = sizeof(it)}, 1, 2, 14, 1, 2, 14};

	return give(value, bytes, &it, sizeof(it));
}

static uint64_t refused(const struct network *network)
{
	uint64_t sum = 0;
	unsigned int i;

	for (i = 0; i < NETWORK_REFUSALS; i++) {
		sum += atomic_load(&network->refused[i]);
	}
	return sum;
}

uint32_t oid_query(struct network *network, uint32_t oid, const uint8_t *in, uint32_t in_bytes,
		   uint8_t *value, uint32_t *bytes)
{
	static const char vendor[] = "Verdigris virtual network adapter";
	static const uint16_t ndis = 0x0650;

	*bytes = 0;
	if (query_number(network, oid, value, bytes)) {
		return RNDIS_STATUS_SUCCESS;
	}
	switch (oid) {
	case OID_GEN_SUPPORTED_LIST:
		return supported_list(value, bytes);
	case OID_GEN_VENDOR_DESCRIPTION:
		return give(value, bytes, vendor, sizeof(vendor));
	case OID_GEN_DRIVER_VERSION:
		return give(value, bytes, &ndis, sizeof(ndis));
	case OID_GEN_FRIENDLY_NAME:
		return friendly_name(network, value, bytes);
	case OID_GEN_LINK_STATE:
		return link_state(network, value, bytes);
	case OID_GEN_MAX_LINK_SPEED:
		return max_speed(network, value, bytes);
	case OID_GEN_XMIT_OK:
		return give_number(value, bytes, atomic_load(&network->frames_out));
	case OID_GEN_RCV_OK:
		return give_number(value, bytes, atomic_load(&network->frames_in));
	case OID_GEN_XMIT_ERROR:
		return give_number(value, bytes, refused(network));
	case OID_GEN_RCV_ERROR:
	case OID_GEN_RCV_NO_BUFFER: /* those that were lost are counted by the switch */
		return give_number(value, bytes, 0);
	case OID_802_3_PERMANENT_ADDRESS:
		return give(value, bytes, network->port->mac, 6);
	case OID_802_3_CURRENT_ADDRESS:
		return give(value, bytes, network->mac, 6);
	case OID_802_3_MULTICAST_LIST:
		return give(value, bytes, network->multicast, network->multicast_bytes);
	case OID_GEN_RECEIVE_SCALE_CAPABILITIES:
		return rss_capabilities(network, value, bytes);
	case OID_GEN_RECEIVE_SCALE_PARAMETERS:
		return rss_parameters(network, value, bytes);
	case OID_OFFLOAD_ENCAPSULATION:
		return encapsulation(value, bytes);
	case OID_TCP_OFFLOAD_CURRENT_CONFIG:
		return query_offload(network, true, in, in_bytes, value, bytes);
	case OID_TCP_OFFLOAD_HARDWARE_CAPABILITIES:
		return query_offload(network, false, in, in_bytes, value, bytes);
	default:
		return RNDIS_STATUS_NOT_SUPPORTED;
	}
}

/* ---- sets ---- */

static uint32_t set_filter(struct network *network, const uint8_t *in, uint32_t in_bytes)
{
	uint32_t value;

	if (in_bytes < sizeof(value)) {
		return RNDIS_STATUS_INVALID_LENGTH;
	}
	memcpy(&value, in, sizeof(value));
	atomic_store(&network->filter, value);
	network_update_port(network);
	return RNDIS_STATUS_SUCCESS;
}

static void set_choice(uint8_t *choice, uint8_t value)
{
	if (value != 0) {
		*choice = value;
	}
}

static uint32_t set_offload(struct network *network, const uint8_t *in, uint32_t in_bytes)
{
	struct ndis_offload_parameters set = {0}, *now = &network->offload;

	if (in_bytes < NDIS_PARAMETERS_BYTES_1) {
		return RNDIS_STATUS_INVALID_LENGTH;
	}
	memcpy(&set, in, in_bytes < sizeof(set) ? in_bytes : sizeof(set));
	if (set.header.type != NDIS_TYPE_OFFLOAD_PARAMETERS || set.ip4_csum > 4 ||
	    set.tcp4_csum > 4 || set.udp4_csum > 4 || set.tcp6_csum > 4 || set.udp6_csum > 4 ||
	    set.lso4 > 2 || set.lso6 > 2 || set.rsc4 > 2 || set.rsc6 > 2) {
		return RNDIS_STATUS_INVALID_DATA;
	}
	set_choice(&now->ip4_csum, set.ip4_csum);
	set_choice(&now->tcp4_csum, set.tcp4_csum);
	set_choice(&now->udp4_csum, set.udp4_csum);
	set_choice(&now->tcp6_csum, set.tcp6_csum);
	set_choice(&now->udp6_csum, set.udp6_csum);
	set_choice(&now->lso4, set.lso4);
	set_choice(&now->lso6, set.lso6);
	set_choice(&now->rsc4, set.rsc4);
	set_choice(&now->rsc6, set.rsc6);
	atomic_store(&network->rsc4, now->rsc4 == 2);
	atomic_store(&network->rsc6, now->rsc6 == 2);
	network->tell_offload = true;
	network_update_port(network);
	return RNDIS_STATUS_SUCCESS;
}

/* Is a part of a structure in it? */
static bool lies_in(uint32_t offset, uint32_t bytes, uint32_t all)
{
	return offset <= all && bytes <= all - offset;
}

static void set_steer(struct network *network, const uint8_t *table, uint32_t count)
{
	unsigned int i;

	pthread_mutex_lock(&network->lock);
	for (i = 0; i < PORT_STEER; i++) {
		uint32_t entry = 0;

		if (count != 0) {
			memcpy(&entry, table + i % count * sizeof(entry), sizeof(entry));
		}
		network->steer[i] = (uint8_t)(entry % nvsp_queue_count(network));
	}
	pthread_mutex_unlock(&network->lock);
	network_update_port(network);
}

static uint32_t set_rss(struct network *network, const uint8_t *in, uint32_t in_bytes)
{
	struct ndis_rss_parameters set;
	bool keeps_table, keeps_key;

	if (in_bytes < sizeof(set)) {
		return RNDIS_STATUS_INVALID_LENGTH;
	}
	memcpy(&set, in, sizeof(set));
	keeps_table = set.flags & (NDIS_RSS_KEEPS_TABLE | NDIS_RSS_DISABLE);
	keeps_key = set.flags & (NDIS_RSS_KEEPS_KEY | NDIS_RSS_DISABLE);
	if ((!keeps_table && (set.table_bytes < sizeof(uint32_t) ||
			      set.table_bytes > RSS_ENTRIES * sizeof(uint32_t) ||
			      (set.table_bytes & (set.table_bytes - 1)) != 0 ||
			      !lies_in(set.table_offset, set.table_bytes, in_bytes))) ||
	    (!keeps_key &&
	     (set.key_bytes != RSS_KEY || !lies_in(set.key_offset, RSS_KEY, in_bytes)))) {
		return RNDIS_STATUS_INVALID_DATA;
	}
	pthread_mutex_lock(&network->lock);
	network->rss.flags = set.flags & NDIS_RSS_DISABLE;
	if (!(set.flags & NDIS_RSS_KEEPS_HASH)) {
		network->rss.hash_information = set.hash_information;
	}
	if (!keeps_key) {
		memcpy(network->rss_key, in + set.key_offset, RSS_KEY);
	}
	pthread_mutex_unlock(&network->lock);
	if (set.flags & NDIS_RSS_DISABLE) {
		set_steer(network, NULL, 0);
	} else if (!keeps_table) {
		set_steer(network, in + set.table_offset, set.table_bytes / sizeof(uint32_t));
	} else {
		network_update_port(network);
	}
	return RNDIS_STATUS_SUCCESS;
}

static uint32_t set_multicast(struct network *network, const uint8_t *in, uint32_t in_bytes)
{
	if (in_bytes % 6 != 0 || in_bytes > sizeof(network->multicast)) {
		return RNDIS_STATUS_INVALID_LENGTH;
	}
	memcpy(network->multicast, in, in_bytes);
	network->multicast_bytes = in_bytes;
	return RNDIS_STATUS_SUCCESS;
}

/* ---- parameters by name ---- */

static bool is_name(const uint8_t *text, uint32_t bytes, const char *name)
{
	uint32_t i;

	if (bytes != 2 * strlen(name)) {
		return false;
	}
	for (i = 0; i < bytes / 2; i++) {
		if (text[2 * i] != (uint8_t)name[i] || text[2 * i + 1] != 0) {
			return false;
		}
	}
	return true;
}

static int digit(uint8_t letter)
{
	return letter >= '0' && letter <= '9'   ? letter - '0'
	       : letter >= 'a' && letter <= 'f' ? letter - 'a' + 10
	       : letter >= 'A' && letter <= 'F' ? letter - 'A' + 10
						: -1;
}

/* Whether the switch lets it through is the switch's affair. */
static uint32_t set_mac(struct network *network, const uint8_t *text, uint32_t bytes)
{
	uint8_t mac[6];
	uint32_t i;

	if (bytes < 24) {
		return RNDIS_STATUS_INVALID_DATA;
	}
	for (i = 0; i < sizeof(mac); i++) {
		int high = digit(text[4 * i]), low = digit(text[4 * i + 2]);

		if (high < 0 || low < 0 || text[4 * i + 1] != 0 || text[4 * i + 3] != 0) {
			return RNDIS_STATUS_INVALID_DATA;
		}
		mac[i] = (uint8_t)(high << 4 | low);
	}
	if (mac[0] & 1) {
		return RNDIS_STATUS_INVALID_DATA;
	}
	memcpy(network->mac, mac, sizeof(mac));
	return RNDIS_STATUS_SUCCESS;
}

/* Others are settings of a driver; the adapter's own are in OFFLOAD_PARAMETERS. */
static uint32_t set_parameter(struct network *network, const uint8_t *in, uint32_t in_bytes)
{
	struct rndis_config_parameter set;

	if (in_bytes < sizeof(set)) {
		return RNDIS_STATUS_INVALID_LENGTH;
	}
	memcpy(&set, in, sizeof(set));
	if (!lies_in(set.name_offset, set.name_bytes, in_bytes) ||
	    !lies_in(set.value_offset, set.value_bytes, in_bytes)) {
		return RNDIS_STATUS_INVALID_DATA;
	}
	if (is_name(in + set.name_offset, set.name_bytes, "NetworkAddress")) {
		return set.type != 2 ? RNDIS_STATUS_INVALID_DATA
				     : set_mac(network, in + set.value_offset, set.value_bytes);
	}
	return RNDIS_STATUS_SUCCESS;
}

uint32_t oid_set(struct network *network, uint32_t oid, const uint8_t *in, uint32_t in_bytes)
{
	switch (oid) {
	case OID_GEN_CURRENT_PACKET_FILTER:
		return set_filter(network, in, in_bytes);
	case OID_TCP_OFFLOAD_PARAMETERS:
		return set_offload(network, in, in_bytes);
	case OID_GEN_RECEIVE_SCALE_PARAMETERS:
		return set_rss(network, in, in_bytes);
	case OID_802_3_MULTICAST_LIST:
		return set_multicast(network, in, in_bytes);
	case OID_GEN_RNDIS_CONFIG_PARAMETER:
		return set_parameter(network, in, in_bytes);
	case OID_GEN_CURRENT_LOOKAHEAD: /* all of a frame is always shown */
	case OID_OFFLOAD_ENCAPSULATION: /* there is but one */
		return RNDIS_STATUS_SUCCESS;
	default:
		return RNDIS_STATUS_NOT_SUPPORTED;
	}
}

/* As of a guest that has said nothing. */
void oid_reset(struct network *network)
{
	memcpy(network->mac, network->port->mac, sizeof(network->mac));
	network->offload = (struct ndis_offload_parameters){0};
	network->multicast_bytes = 0;
	pthread_mutex_lock(&network->lock);
	network->rss = (struct ndis_rss_parameters){0};
	memset(network->rss_key, 0, sizeof(network->rss_key));
	pthread_mutex_unlock(&network->lock);
	atomic_store(&network->filter, 0);
	atomic_store(&network->rsc4, false);
	atomic_store(&network->rsc6, false);
	set_steer(network, NULL, 0);
}
