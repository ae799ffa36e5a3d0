/*
 * A sleep state is entered by SLP_EN in a PM1 control register (ACPI 6.5, 4.8.3.2.1), with the state's number, which the firmware
 * chooses, in SLP_TYP. There may be two such registers; of each only the upper byte matters here.
 */
#include "hypervisor/sleep.h"

#include "include/boot/handoff.h"
#include "lib/check.h"

#define SLEEP_ENABLE     (1u << 5) /* bit 13 of the register */
#define SLEEP_TYPE_SHIFT 2

static uint16_t upper_bytes[2]; /* ports; 0: none */
static uint8_t permitted;       /* a bit a type */

void sleep_init(const struct handoff *handoff)
{
	permitted = handoff->sleep_types;
	for (unsigned int i = 0; i < ARRAY_COUNT(upper_bytes); i++) {
		uint16_t control = handoff->pm1_control[i];

		upper_bytes[i] = control ? (uint16_t)(control + 1) : 0;
	}
}

void sleep_watch(uint8_t *ports)
{
	for (unsigned int i = 0; i < ARRAY_COUNT(upper_bytes); i++) {
		if (upper_bytes[i]) {
			ports[upper_bytes[i] / 8] |= (uint8_t)(1u << upper_bytes[i] % 8);
		}
	}
}

bool sleep_permits(uint16_t port, unsigned int size, uint32_t value)
{
	for (unsigned int i = 0; i < ARRAY_COUNT(upper_bytes); i++) {
		unsigned int at = (unsigned int)upper_bytes[i] - port;
		uint32_t byte;

		if (!upper_bytes[i] || at >= size) {
			continue;
		}
		byte = value >> 8 * at;
		if ((byte & SLEEP_ENABLE) && !(permitted >> (byte >> SLEEP_TYPE_SHIFT & 7) & 1)) {
			return false;
		}
	}
	return true;
}
