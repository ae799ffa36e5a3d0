/* WebSocket frames, headers, answers and names that are any bytes: what is found lies in what was
 * given, and nothing is taken twice. */
#include "tests/fuzz/fuzz.h"
#include "web/web.h"
#include "web/websocket.h"

/* In pieces, each of its own memory. */
static void take_frames(const uint8_t *data, size_t size)
{
	struct websocket socket = {0};
	struct websocket_piece piece;
	size_t at = 0, part, taken;
	uint8_t *bytes;

	while (at < size) {
		part = 1 + data[at] % 16;
		part = part < size - at ? part : size - at;
		bytes = malloc(part);
		EXPECT(bytes != NULL);
		memcpy(bytes, data + at, part);
		taken = websocket_take(&socket, bytes, part, &piece);
		EXPECT(taken >= 1 && taken <= part);
		if (piece.kind == WEBSOCKET_DATA) {
			EXPECT(piece.bytes == bytes && piece.length <= taken);
		} else if (piece.kind != WEBSOCKET_BAD) {
			EXPECT(piece.length <= WEBSOCKET_CONTROL_MAX);
		}
		free(bytes);
		if (piece.kind == WEBSOCKET_BAD) {
			EXPECT(piece.status >= WEBSOCKET_PROTOCOL &&
			       piece.status <= WEBSOCKET_TOO_BIG);
			return;
		}
		at += taken;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char *const words[] = {
		"HTTP/1.1 200 OK\r\n",
		"Content-Length: ",
		"\r\n",
		"__Host-verdigris=",
		"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
		"; ",
		"Bearer ",
		"/v1/",
		"Location: ",
		"ETag:",
		"@"};
	struct secret secret;
	struct head head;
	char text[1024], user[USER_MAX], uri[SCREEN_URI_MAX];
	size_t length;

	if (size > 0 && data[0] & 1) {
		take_frames(data + 1, size - 1);
		return 0;
	}
	length = fuzz_expand(data, size, words, ARRAY_COUNT(words), text, sizeof(text) - 1);
	text[length] = '\0';
	secret_read(length % 2 ? text : NULL, text, &secret);
	EXPECT(secret.kind == SECRET_NONE || secret_is_well_formed(secret.text));
	if (head_parse(text, &head)) {
		EXPECT(head.status >= 100 && head.status < 600 && head.length >= -1);
		EXPECT(strlen(head.location) < sizeof(head.location) &&
		       strchr(head.location, '\n') == NULL);
	}
	if (forward_is_path(text)) {
		EXPECT(strcspn(text, " \r\n\t") == strlen(text));
	}
	if (forward_screen(text, "display", user, uri)) {
		EXPECT(strlen(user) >= 1 && strncmp(text, user, strlen(user)) == 0 &&
		       text[strlen(user)] == '@');
		EXPECT(strlen(uri) < sizeof(uri) && forward_is_path(uri));
	}
	return 0;
}
