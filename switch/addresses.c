/* See addresses.h. RFC 826 (ARP). */
#include "switch/addresses.h"

#define ARP_SENDER 28u /* its address of IPv4: Ethernet's header, ARP's, a hardware address */
#define ARP_END    42u

/* Which address the frame says is its sender's. 4, 6, or 0: none that counts. */
static uint8_t find_source(const struct frame *frame, uint8_t ip[16])
{
	static const uint8_t unspecified[16];
	const struct frame_headers *h = &frame->headers;
	uint8_t family = h->family;

	memset(ip, 0, 16);
	if (h->ethertype == ETHERTYPE_ARP && frame->head_bytes >= ARP_END) {
		family = 4;
		memcpy(ip, frame->head + ARP_SENDER, 4);
	} else if (family != 0) {
		memcpy(ip, h->source, family == 4 ? 4 : 16);
	}
	if (family == 6 && ip[0] == 0xfe && (ip[1] & 0xc0) == 0x80) {
		return 0;
	}
	return memcmp(ip, unspecified, 16) != 0 ? family : 0;
}

/* Those that were not used for long make room. */
static void age(struct addresses *addresses, uint32_t now_s)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < addresses->count; i++) {
		if ((int32_t)(addresses->entries[i].until_s - now_s) > 0) {
			addresses->entries[kept++] = addresses->entries[i];
		}
	}
	addresses->count = kept;
}

bool addresses_allow(struct addresses *addresses, uint32_t limit, const struct frame *frame,
		     uint32_t now_s)
{
	uint8_t ip[16], family;
	uint32_t i;

	if (limit == 0) {
		return true;
	}
	if (frame->headers.unknown) {
		return false;
	}
	family = find_source(frame, ip);
	if (family == 0) {
		return true;
	}
	for (i = 0; i < addresses->count; i++) {
		if (addresses->entries[i].family == family &&
		    memcmp(addresses->entries[i].ip, ip, 16) == 0) {
			addresses->entries[i].until_s = now_s + ADDRESSES_AGE_S;
			return true;
		}
	}
	age(addresses, now_s);
	if (addresses->count >= limit) {
		return false;
	}
	i = addresses->count++;
	memcpy(addresses->entries[i].ip, ip, 16);
	addresses->entries[i].family = family;
	addresses->entries[i].until_s = now_s + ADDRESSES_AGE_S;
	return true;
}
