/* What a viewer of RDP says before TLS, as any bytes: of what is no PDU nothing is taken, and a
 * name is a text with an end. */
#include "tests/fuzz/fuzz.h"
#include "web/preconnect.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char machine[MACHINE_MAX];
	uint32_t protocols;
	uint8_t *bytes = malloc(size + 1);
	size_t length, i;

	EXPECT(bytes != NULL);
	if (size < PRECONNECT_HEAD) {
		free(bytes);
		return 0;
	}
	/* Of its own memory, as long as its head says, so that a byte behind it is found. */
	length = preconnect_length(data);
	EXPECT(length <= PRECONNECT_MAX);
	if (length != 0 && length <= size) {
		bytes = realloc(bytes, length);
		memcpy(bytes, data, length);
		if (preconnect_read(bytes, length, machine)) {
			EXPECT(memchr(machine, '\0', sizeof(machine)) != NULL);
			for (i = 0; machine[i] != '\0'; i++) {
				EXPECT(machine[i] >= ' ' && machine[i] <= '~');
			}
		}
	}
	length = request_length(data);
	EXPECT(length <= REQUEST_MAX);
	if (length != 0 && length <= size) {
		bytes = realloc(bytes, length);
		memcpy(bytes, data, length);
		if (!request_read(bytes, length, &protocols)) {
			EXPECT(protocols == 0);
		}
	}
	free(bytes);
	return 0;
}
