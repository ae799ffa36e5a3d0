/* web/: what a client shows, sessions and their ends, attempts, and the heads of answers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "web/web.h"

#define A64 "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define B64 "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

static void a_secret_is_found_in_headers(void **state)
{
	static const struct {
		const char *authorization, *cookie;
		enum secret_kind kind;
		const char *text;
	} cases[] = {
		{NULL, NULL, SECRET_NONE, ""},
		{"Bearer " A64, NULL, SECRET_TOKEN, A64},
		{"bearer " A64, "__Host-verdigris=" B64, SECRET_TOKEN, A64},
		{"Basic cm9vdDp4", "__Host-verdigris=" B64, SECRET_NONE, ""},
		{"Bearer " A64 "a", NULL, SECRET_NONE, ""},
		{"Bearer A" A64, NULL, SECRET_NONE, ""},
		{NULL, "__Host-verdigris=" B64, SECRET_SESSION, B64},
		{NULL, "x=1; __Host-verdigris=" B64 "; y=2", SECRET_SESSION, B64},
		{NULL, "__Host-verdigris=" A64 ";__Host-verdigris=" B64, SECRET_SESSION, A64},
		{NULL, "__Host-verdigris=" A64 "g", SECRET_NONE, ""},
		{NULL, "__Host-verdigris=", SECRET_NONE, ""},
		{NULL, "x__Host-verdigris=" A64, SECRET_NONE, ""},
		{NULL, ";;; ; ", SECRET_NONE, ""},
	};
	struct secret secret;

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		secret_read(cases[i].authorization, cases[i].cookie, &secret);
		assert_int_equal(secret.kind, cases[i].kind);
		if (secret.kind != SECRET_NONE) {
			assert_string_equal(secret.text, cases[i].text);
		}
	}
}

static void what_a_page_shows_is_its_sessions(void **state)
{
	char one[HASH_TEXT], other[HASH_TEXT], hash[HASH_TEXT];

	(void)state;
	secret_csrf(A64, one);
	secret_csrf(B64, other);
	secret_hash(A64, hash);
	assert_string_not_equal(one, other);
	assert_string_not_equal(one, hash);
	/* sha256sum agrees. */
	assert_string_equal(hash,
			    "ffe054fe7ae0cb6dc65c3af9b61d5209f439851db43d0ba5997337df154668eb");
}

static void sessions_end(void **state)
{
	char first[SECRET_TEXT], text[SECRET_TEXT];
	time_t now = 1000;

	(void)state;
	assert_true(session_begin("ann", now, first));
	assert_true(secret_is_well_formed(first));
	assert_string_equal(session_find(first, now), "ann");
	assert_null(session_find(A64, now));
	/* Used now and then, it lasts as long as one may; not used, less. */
	for (; now < 1000 + SESSION_SECONDS; now += SESSION_IDLE_SECONDS / 2) {
		assert_string_equal(session_find(first, now), "ann");
	}
	assert_null(session_find(first, now));
	assert_true(session_begin("ann", now, text));
	assert_null(session_find(text, now + SESSION_IDLE_SECONDS));
	assert_true(session_begin("ann", now, text));
	session_end(text);
	assert_null(session_find(text, now));
}

static void sessions_make_room(void **state)
{
	char first[SECRET_TEXT], other[SECRET_TEXT], text[SECRET_TEXT];
	char name[USER_MAX];
	time_t now = 1000000;

	(void)state;
	assert_true(session_begin("bob", now, other));
	assert_true(session_begin("ann", now, first));
	for (unsigned int i = 1; i < SESSIONS_OF_USER_MAX; i++) {
		assert_true(session_begin("ann", ++now, text));
	}
	assert_string_equal(session_find(first, ++now), "ann");
	/* One more of ann's ends one of hers that was not used, and nobody else's. */
	assert_true(session_begin("ann", ++now, text));
	assert_string_equal(session_find(first, ++now), "ann");
	assert_string_equal(session_find(other, ++now), "bob");
	for (unsigned int i = 0; i < SESSIONS_MAX; i++) {
		snprintf(name, sizeof(name), "user%u", i);
		assert_true(session_begin(name, ++now, text));
		assert_string_equal(session_find(text, now), name);
	}
	assert_null(session_find(first, now));
}

static void heads_of_answers(void **state)
{
	struct head head;

	(void)state;
	assert_true(head_parse("HTTP/1.0 200 OK\r\nContent-length: 12\r\nETag:  \"x\"\r\n"
			       "Location: /v1/jobs/3\r\nContent-Type: text/event-stream\r\n\r\n",
			       &head));
	assert_int_equal(head.status, 200);
	assert_int_equal(head.length, 12);
	assert_string_equal(head.etag, "\"x\"");
	assert_string_equal(head.location, "/v1/jobs/3");
	assert_string_equal(head.type, "text/event-stream");
	assert_true(head_parse("HTTP/1.1 101 Switching Protocols\r\n\r\n", &head));
	assert_int_equal(head.length, -1);
	assert_false(head_parse("HTTP/1.1\r\n\r\n", &head));
	assert_false(head_parse("HTTP/1.1 x\r\n\r\n", &head));
	assert_false(head_parse("SSH-2.0-x\r\n\r\n", &head));
	assert_false(head_parse("HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", &head));
	assert_false(head_parse("HTTP/1.1 200 OK\r\nContent-Length: 1x\r\n\r\n", &head));
}

static void paths_of_the_api(void **state)
{
	static const char *const good[] = {"/v1", "/v1/", "/v1?x", "/v1/machines/a%2fb?x=%0d"},
				 *const bad[] = {"",
						 "/",
						 "/v2",
						 "/v1x",
						 "/v1/a b",
						 "/v1/\r\nX: y",
						 "/v1/\xc3\xa4",
						 "http://x/v1"};
	char text[4000];

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(good); i++) {
		assert_true(forward_is_path(good[i]));
	}
	for (size_t i = 0; i < ARRAY_COUNT(bad); i++) {
		assert_false(forward_is_path(bad[i]));
	}
	snprintf(text, sizeof(text), "/v1/%03000d", 0);
	assert_false(forward_is_path(text));
}

static void who_is_wrong_often_waits(void **state)
{
	char key[32];
	time_t now = 5000;

	(void)state;
	for (unsigned int i = 0; i < LIMIT_FAILURES; i++) {
		assert_true(limit_allows("10.0.0.1", LIMIT_FAILURES, now));
		limit_failed("10.0.0.1", now);
	}
	assert_false(limit_allows("10.0.0.1", LIMIT_FAILURES, now));
	assert_true(limit_allows("10.0.0.2", LIMIT_FAILURES, now));
	assert_false(limit_allows("10.0.0.1", LIMIT_FAILURES, now + LIMIT_SECONDS - 1));
	assert_true(limit_allows("10.0.0.1", LIMIT_FAILURES, now + LIMIT_SECONDS));
	/* Of very many, those are forgotten that were wrong least. */
	for (unsigned int i = 0; i < 3000; i++) {
		snprintf(key, sizeof(key), "user %u", i);
		limit_failed(key, now);
	}
	assert_false(limit_allows("10.0.0.1", LIMIT_FAILURES, now));
	/* A second failure does not forget the first's time. */
	limit_failed("10.0.0.1", now + LIMIT_SECONDS);
	assert_false(limit_allows("10.0.0.1", LIMIT_FAILURES, now + LIMIT_SECONDS));
	assert_true(limit_allows("10.0.0.1", LIMIT_FAILURES,
				 now + LIMIT_SECONDS * (LIMIT_FAILURES + 2)));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_secret_is_found_in_headers),
		cmocka_unit_test(what_a_page_shows_is_its_sessions),
		cmocka_unit_test(sessions_end),
		cmocka_unit_test(sessions_make_room),
		cmocka_unit_test(heads_of_answers),
		cmocka_unit_test(paths_of_the_api),
		cmocka_unit_test(who_is_wrong_often_waits),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
