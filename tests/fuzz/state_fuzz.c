/*
 * A saved state of any bytes: the reader stays inside, its parts lie inside their list, and what it
 * reads without a fault is written back to the same bytes.
 */
#include "lib/state.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

void check_failed(const char *file, int line, const char *what)
{
	fprintf(stderr, "%s:%d: %s\n", file, line, what);
	abort();
}

static uint8_t out[4096];

/* Parts in parts: those whose name begins with 'l' are lists. */
static void copy(struct state_reader *list, struct state_writer *writer, unsigned int depth)
{
	struct state_reader part;

	while (state_next(list, &part)) {
		size_t begin = state_begin(writer, part.name, part.version), left;

		EXPECT(part.at <= part.end && part.end <= list->at);
		if (part.name[0] == 'l' && depth < 8) {
			copy(&part, writer, depth + 1);
		}
		if (state_left(&part) > 8) {
			state_put_u8(writer, state_u8(&part));
			state_put_u16(writer, state_u16(&part));
			state_put_u32(writer, state_u32(&part));
			state_put_bool(writer, state_bool(&part));
		}
		left = state_left(&part);
		if (left >= 8) {
			state_put_u64(writer, state_u64(&part));
			left -= 8;
		}
		if (left > 0) {
			state_put_bytes(writer, state_span(&part, left), left);
		}
		state_finish(&part);
		state_end(writer, begin);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct state_writer writer = state_writer(out, sizeof(out));
	struct state_fault fault;
	struct state_reader all = state_reader(data, size, &fault);

	copy(&all, &writer, 0);
	state_finish(&all);
	EXPECT(state_ok(&all) == (fault.what == NULL));
	if (state_ok(&all)) {
		EXPECT(writer.used == size);
		EXPECT(memcmp(out, data, size < sizeof(out) ? size : sizeof(out)) == 0);
	} else {
		EXPECT(strlen(fault.part) <= STATE_NAME_BYTES);
	}
	return 0;
}
