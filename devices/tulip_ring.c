/*
 * The lists of descriptors (21140A manual, 4.2), and which frames the guest hears (4.2.3). Each
 * descriptor is read once, and of it only the first word is written, when it is the guest's again.
 *
 * A list is a ring, whose last entry says so, or a chain. Both end where the guest has the next
 * descriptor.
 */
#include "devices/parts.h"

#include <string.h>

#include "lib/check.h"

#define OWN 0x80000000u /* by the adapter; of the first word */

#define RX_LAST       0x00000100u
#define RX_FIRST      0x00000200u
#define RX_GROUP      0x00000400u
#define RX_TYPED      0x00000020u /* its third word is a type, no length */
#define RX_UNFILTERED 0x40000000u /* the filter would not have let it pass */

#define TX_ERROR    0x00008000u
#define TX_JABBER   0x00004000u
#define TX_DONE_ALL 0x7fffffffu /* of a setup frame */

#define RING_END  0x02000000u /* of the second word */
#define CHAINED   0x01000000u
#define TX_SAYS   0x80000000u /* with an interrupt */
#define TX_LAST   0x40000000u
#define TX_FIRST  0x20000000u
#define TX_MODE_1 0x10000000u
#define TX_SETUP  0x08000000u
#define TX_MODE_0 0x00400000u
#define BYTES_1   0x000007ffu
#define BYTES_2   0x003ff800u

#define DESCRIPTOR_SKIP(csr0) ((csr0) >> 2 & 0x1fu) /* words between two of a ring */

#define ADDRESS_BYTES 6u
#define FCS_BYTES     4u
#define TYPES_FROM    1501u
#define HASH_ADDRESS  78u /* where a table of hashes has its one address, of the setup's bytes */

struct descriptor {
	uint32_t status, control, buffer[2];
};

static uint32_t list_next(const struct tulip *tulip, uint32_t at, uint32_t base,
			  const struct descriptor *d)
{
	if (d->control & RING_END) {
		return base;
	}
	if (d->control & CHAINED) {
		return d->buffer[1] & ~3u;
	}
	return at + (uint32_t)sizeof(*d) + 4 * DESCRIPTOR_SKIP(tulip->csr[0]);
}

static uint32_t bytes_of(const struct descriptor *d, unsigned int buffer)
{
	if (buffer == 0) {
		return d->control & BYTES_1;
	}
	return d->control & CHAINED ? 0 : (d->control & BYTES_2) >> 11;
}

static bool get(const struct tulip *tulip, uint32_t at, struct descriptor *d)
{
	return pci_is_master(&tulip->function) && host_memory_read(tulip->host, at, d, sizeof(*d));
}

static bool put(const struct tulip *tulip, uint32_t at, uint32_t status)
{
	return host_memory_write(tulip->host, at, &status, sizeof(status));
}

/* ---- The filter ---- */

/* Of Ethernet (IEEE 802.3, 3.2.9), the lowest bit first, before it is turned over. */
uint32_t tulip_crc(const uint8_t *bytes, uint32_t length)
{
	static const uint32_t of_nibble[16] = {0x00000000, 0x1db71064, 0x3b6e20c8, 0x26d930ac,
					       0x76dc4190, 0x6b6b51f4, 0x4db26158, 0x5005713c,
					       0xedb88320, 0xf00f9344, 0xd6d6a3e8, 0xcb61b38c,
					       0x9b64c2b0, 0x86d3d2d4, 0xa00ae278, 0xbdbdf21c};
	uint32_t crc = UINT32_MAX, i;

	for (i = 0; i < length; i++) {
		crc ^= bytes[i];
		crc = crc >> 4 ^ of_nibble[crc & 15];
		crc = crc >> 4 ^ of_nibble[crc & 15];
	}
	return crc;
}

static bool is_in_table(const struct tulip *tulip, const uint8_t *address)
{
	uint32_t hash = tulip_crc(address, ADDRESS_BYTES) & 0x1ff;

	return tulip->setup[hash / 8] >> hash % 8 & 1;
}

static bool is_in_list(const struct tulip *tulip, const uint8_t *address)
{
	unsigned int i;

	for (i = 0; i < TULIP_ADDRESSES; i++) {
		if (memcmp(&tulip->setup[ADDRESS_BYTES * i], address, ADDRESS_BYTES) == 0) {
			return true;
		}
	}
	return false;
}

static bool is_broadcast(const uint8_t *address)
{
	static const uint8_t all[ADDRESS_BYTES] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

	return memcmp(address, all, sizeof(all)) == 0;
}

static bool passes_filter(const struct tulip *tulip, const uint8_t *address)
{
	bool group = address[0] & 1;

	if (group && (tulip->csr[6] & TULIP_CSR6_PM)) {
		return true;
	}
	if (tulip->filter_mode & TULIP_INVERSE) {
		return !is_in_list(tulip, address);
	}
	if (is_broadcast(address)) {
		return true;
	}
	if (tulip->filter_mode & TULIP_HASH_ONLY) {
		return is_in_table(tulip, address);
	}
	if (tulip->filter_mode & TULIP_HASH_PERFECT) {
		return group ? is_in_table(tulip, address)
			     : memcmp(&tulip->setup[HASH_ADDRESS], address, ADDRESS_BYTES) == 0;
	}
	return is_in_list(tulip, address);
}

static bool hears_all(const struct tulip *tulip)
{
	return tulip->csr[6] & (TULIP_CSR6_PR | TULIP_CSR6_RA);
}

bool tulip_hears_own(const struct tulip *tulip)
{
	unsigned int i;

	if (hears_all(tulip) || (tulip->filter_mode & (TULIP_INVERSE | TULIP_HASH_ONLY))) {
		return false;
	}
	if (tulip->filter_mode & TULIP_HASH_PERFECT) {
		return memcmp(&tulip->setup[HASH_ADDRESS], tulip->mac, ADDRESS_BYTES) == 0;
	}
	for (i = 0; i < TULIP_ADDRESSES; i++) {
		const uint8_t *address = &tulip->setup[ADDRESS_BYTES * i];

		if (!(address[0] & 1) && memcmp(address, tulip->mac, ADDRESS_BYTES) != 0) {
			return false;
		}
	}
	return true;
}

/* Of each four bytes of the frame two are used. */
static bool take_setup(struct tulip *tulip, const struct descriptor *d)
{
	uint8_t words[TULIP_SETUP_BYTES];
	unsigned int i;

	if (bytes_of(d, 0) != sizeof(words)) {
		return true; /* it is none, and nothing is set by it */
	}
	if (!host_memory_read(tulip->host, d->buffer[0], words, sizeof(words))) {
		return false;
	}
	for (i = 0; i < sizeof(tulip->setup); i++) {
		tulip->setup[i] = words[4 * (i / 2) + i % 2];
	}
	switch (d->control & (TX_MODE_1 | TX_MODE_0)) {
	case 0:
		tulip->filter_mode = 0;
		break;
	case TX_MODE_0:
		tulip->filter_mode = TULIP_HASH_PERFECT;
		break;
	case TX_MODE_1:
		tulip->filter_mode = TULIP_INVERSE;
		break;
	default:
		tulip->filter_mode = TULIP_HASH_PERFECT | TULIP_HASH_ONLY;
		break;
	}
	tulip_update_listen(tulip);
	return true;
}

/* ---- Frames of the guest ---- */

static void stop_transmit(struct tulip *tulip)
{
	tulip->csr[6] &= ~TULIP_CSR6_ST;
	tulip->tx_state = TULIP_TX_STOPPED;
	tulip->in_frame = false;
	tulip_say(tulip, TULIP_CSR5_FBE | TULIP_CSR5_TPS);
}

static bool gather(struct tulip *tulip, uint32_t from, uint32_t bytes)
{
	if (bytes > TULIP_FRAME_MAX - tulip->frame_length) {
		tulip->too_long = true;
		return true;
	}
	if (!host_memory_read(tulip->host, from, tulip->frame + tulip->frame_length, bytes)) {
		return false;
	}
	tulip->frame_length += bytes;
	return true;
}

static uint32_t send_frame(struct tulip *tulip)
{
	tulip->in_frame = false;
	if (tulip->too_long) {
		tulip_say(tulip, TULIP_CSR5_TJT);
		return TX_ERROR | TX_JABBER;
	}
	if (tulip->frame_length >= 14) {
		host_nic_send(tulip->host, tulip->index, tulip->frame, tulip->frame_length);
	}
	return 0;
}

/* One descriptor, and what the guest is to find in it. False: its memory is none. */
static bool transmit_one(struct tulip *tulip, const struct descriptor *d, uint32_t *status)
{
	*status = 0;
	if (d->control & TX_SETUP) {
		*status = TX_DONE_ALL;
		return take_setup(tulip, d);
	}
	if (d->control & TX_FIRST) {
		tulip->in_frame = true;
		tulip->too_long = false;
		tulip->frame_length = 0;
	}
	if (!tulip->in_frame) {
		return true; /* of no frame's beginning */
	}
	if (!gather(tulip, d->buffer[0], bytes_of(d, 0)) ||
	    !gather(tulip, d->buffer[1], bytes_of(d, 1))) {
		return false;
	}
	if (d->control & TX_LAST) {
		*status = send_frame(tulip);
	}
	return true;
}

void tulip_transmit(struct tulip *tulip)
{
	unsigned int count;

	tulip->again = false;
	if (!(tulip->csr[6] & TULIP_CSR6_ST) || !pci_is_master(&tulip->function)) {
		return;
	}
	for (count = 0; count < TULIP_TURN; count++) {
		struct descriptor d;
		uint32_t status;

		if (!host_nic_room(tulip->host, tulip->index)) {
			tulip->tx_state = TULIP_TX_FULL;
			return;
		}
		if (!get(tulip, tulip->tx_at, &d)) {
			stop_transmit(tulip);
			return;
		}
		if (!(d.status & OWN)) {
			tulip->tx_state = TULIP_TX_SUSPENDED;
			tulip_say(tulip, TULIP_CSR5_TU);
			return;
		}
		if (!transmit_one(tulip, &d, &status) || !put(tulip, tulip->tx_at, status)) {
			stop_transmit(tulip);
			return;
		}
		tulip->tx_at = list_next(tulip, tulip->tx_at, tulip->csr[4], &d);
		if ((d.control & TX_SAYS) && (d.control & (TX_LAST | TX_SETUP))) {
			tulip_say(tulip, TULIP_CSR5_TI);
		}
	}
	tulip->tx_state = TULIP_TX_FULL;
	tulip->again = true;
}

/* ---- Frames for the guest ---- */

struct piece {
	uint32_t at;
	struct descriptor d;
};

static void stop_receive(struct tulip *tulip)
{
	tulip->csr[6] &= ~TULIP_CSR6_SR;
	tulip->rx_state = TULIP_RX_STOPPED;
	tulip_say(tulip, TULIP_CSR5_FBE | TULIP_CSR5_RPS);
	tulip_update_listen(tulip);
}

/*
 * The descriptors of `length` bytes: how many, 0: the guest has not as many, or -1: there is no
 * memory where they are. What comes behind them is in *next.
 */
static int find_pieces(struct tulip *tulip, uint32_t length, struct piece pieces[TULIP_PIECES],
		       uint32_t *next)
{
	unsigned int count;

	*next = tulip->rx_at;
	for (count = 0; count < TULIP_PIECES && length > 0; count++) {
		struct piece *piece = &pieces[count];
		uint32_t bytes;

		piece->at = *next;
		if (!get(tulip, piece->at, &piece->d)) {
			return -1;
		}
		if (!(piece->d.status & OWN)) {
			return 0;
		}
		bytes = bytes_of(&piece->d, 0) + bytes_of(&piece->d, 1);
		length -= bytes < length ? bytes : length;
		*next = list_next(tulip, piece->at, tulip->csr[3], &piece->d);
	}
	return length == 0 ? (int)count : 0;
}

/* False: it is none. */
static bool fill_buffer(struct tulip *tulip, const struct descriptor *d, unsigned int which,
			const uint8_t **from, uint32_t *left)
{
	uint32_t bytes = bytes_of(d, which);

	bytes = bytes < *left ? bytes : *left;
	if (bytes != 0 && !host_memory_write(tulip->host, d->buffer[which], *from, bytes)) {
		return false;
	}
	*from += bytes;
	*left -= bytes;
	return true;
}

static bool fill_pieces(struct tulip *tulip, const struct piece *pieces, unsigned int count,
			const uint8_t *frame, uint32_t length, uint32_t last_status)
{
	uint32_t left = length;
	unsigned int i;

	for (i = 0; i < count; i++) {
		const struct piece *piece = &pieces[i];
		uint32_t status = i == 0 ? RX_FIRST : 0;

		if (!fill_buffer(tulip, &piece->d, 0, &frame, &left) ||
		    !fill_buffer(tulip, &piece->d, 1, &frame, &left)) {
			return false;
		}
		if (i + 1 == count) {
			status |= last_status | length << 16;
		}
		if (!put(tulip, piece->at, status)) {
			return false;
		}
	}
	return true;
}

static uint32_t status_of(const struct tulip *tulip, const uint8_t *frame)
{
	uint32_t status = RX_LAST;

	if (frame[0] & 1) {
		status |= RX_GROUP;
	}
	if ((frame[12] << 8 | frame[13]) >= (int)TYPES_FROM) {
		status |= RX_TYPED;
	}
	if (!passes_filter(tulip, frame)) {
		status |= RX_UNFILTERED;
	}
	return status;
}

/* Padded, and with the checksum that a cable would have carried. */
static uint32_t complete(uint8_t *whole, const uint8_t *frame, uint32_t length)
{
	uint32_t crc;

	memcpy(whole, frame, length);
	if (length < TULIP_FRAME_MIN) {
		memset(whole + length, 0, TULIP_FRAME_MIN - length);
		length = TULIP_FRAME_MIN;
	}
	crc = ~tulip_crc(whole, length);
	memcpy(whole + length, &crc, FCS_BYTES);
	return length + FCS_BYTES;
}

static bool no_descriptors(struct tulip *tulip, bool last)
{
	if (tulip->rx_state != TULIP_RX_SUSPENDED) {
		tulip->rx_state = TULIP_RX_SUSPENDED;
		tulip_say(tulip, TULIP_CSR5_RU);
	}
	if (last && tulip->csr[8] < 0xffff) {
		tulip->csr[8]++;
	}
	return last;
}

bool tulip_receive(struct tulip *tulip, const uint8_t *frame, uint32_t length, bool last)
{
	uint8_t whole[TULIP_FRAME_MAX + FCS_BYTES];
	struct piece pieces[TULIP_PIECES];
	uint32_t next;
	int count;

	CHECK(length >= 14 && length <= TULIP_FRAME_MAX);
	if (!(tulip->csr[6] & TULIP_CSR6_SR) || !pci_is_master(&tulip->function) ||
	    (!hears_all(tulip) && !passes_filter(tulip, frame))) {
		return true;
	}
	length = complete(whole, frame, length);
	count = find_pieces(tulip, length, pieces, &next);
	if (count == 0) {
		return no_descriptors(tulip, last);
	}
	if (count < 0 || !fill_pieces(tulip, pieces, (unsigned int)count, whole, length,
				      status_of(tulip, whole))) {
		stop_receive(tulip);
		return true;
	}
	tulip->rx_at = next;
	tulip->rx_state = TULIP_RX_WAITING;
	tulip_say(tulip, TULIP_CSR5_RI);
	return true;
}
