/*
 * See hash.h. The hash is linear: what each four bits of the input add depends on their place and
 * their value alone, so for a key there is a table of all that.
 */
#include "switch/hash.h"

/* The 32 bits of the key from a bit on. */
static uint32_t window(const uint8_t key[PORT_HASH_KEY], uint32_t bit)
{
	uint64_t bits = 0;
	uint32_t i;

	for (i = 0; i < 5; i++) {
		bits = bits << 8 | key[bit / 8 + i];
	}
	return (uint32_t)(bits >> (8 - bit % 8));
}

void hash_set_key(struct hash_table *table, const uint8_t key[PORT_HASH_KEY])
{
	uint32_t place, value, bit;

	for (place = 0; place < 2 * HASH_INPUT_BYTES; place++) {
		for (value = 0; value < 16; value++) {
			uint32_t sum = 0;

			for (bit = 0; bit < 4; bit++) {
				if (value & 8u >> bit) {
					sum ^= window(key, 4 * place + bit);
				}
			}
			table->of[place][value] = sum;
		}
	}
}

static uint32_t add(const struct hash_table *table, uint32_t at, const uint8_t *bytes,
		    uint32_t count)
{
	uint32_t sum = 0, i;

	for (i = 0; i < count; i++) {
		const uint32_t(*of)[16] = &table->of[2 * (at + i)];

		sum ^= of[0][bytes[i] >> 4] ^ of[1][bytes[i] & 15];
	}
	return sum;
}

uint32_t hash_frame(const struct hash_table *table, uint32_t types,
		    const struct frame_headers *headers)
{
	uint32_t bytes = headers->family == 4 ? 4 : 16, sum;
	bool tcp = types & (headers->family == 4 ? PORT_HASH_TCP4 : PORT_HASH_TCP6) &&
		   headers->protocol == PROTOCOL_TCP && headers->transport != 0 &&
		   !headers->fragment;
	const uint8_t ports[4] = {
		(uint8_t)(headers->source_port >> 8), (uint8_t)headers->source_port,
		(uint8_t)(headers->destination_port >> 8), (uint8_t)headers->destination_port};

	if (headers->family == 0 ||
	    (!tcp && !(types & (headers->family == 4 ? PORT_HASH_IP4 : PORT_HASH_IP6)))) {
		return 0;
	}
	sum = add(table, 0, headers->source, bytes) ^
	      add(table, bytes, headers->destination, bytes);
	return tcp ? sum ^ add(table, 2 * bytes, ports, sizeof(ports)) : sum;
}
