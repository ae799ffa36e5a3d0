/* hosted/rpc.c and form.c by a small server of the test's: what reaches a method, and how
 * everything else is refused. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <cmocka.h>

#include "hosted/listen.h"
#include "hosted/rpc.h"

struct size {
	uint32_t width;
	uint64_t height;
};

struct parameters {
	const char *name;
	unsigned int colour;
	bool flat;
	struct size size;
};

static struct parameters called;
static unsigned int calls;

static json_t *paint(struct rpc_request *request, const struct parameters *p)
{
	called = *p;
	calls++;
	request->fd_count = 0;
	return json_pack("{s:i}", "painted", 1);
}

static json_t *look(struct rpc_request *request, const struct parameters *p)
{
	(void)p;
	calls++;
	return request->fd_count != 0 ? NULL : json_object();
}

static json_t *dry(struct rpc_request *request, const struct parameters *p)
{
	(void)p;
	return rpc_refuse(request, CONTROL_BAD_STATE, "it is dry", "wait for rain");
}

static json_t *taken(struct rpc_request *request, const struct parameters *p)
{
	(void)p;
	form_refuse_member(&request->form, "name", json_object_get(request->params, "name"),
			   "give another", "is taken");
	return NULL;
}

#define AT(member) .at = offsetof(struct parameters, member)

static const char *const colours[] = {"red", "green", NULL};
static const struct form_member size_members[] = {
	{"width", FORM_NUMBER32, .at = offsetof(struct size, width), .most = 100},
	{"height", FORM_NUMBER, .at = offsetof(struct size, height), .least = 2,
	 .most = 1ull << 40},
	{.key = NULL},
};
static const struct form_member members[] = {
	{"name", FORM_TEXT, .required = true, AT(name), .least = 1, .most = 8},
	{"colour", FORM_WORD, AT(colour), .words = colours},
	{"flat", FORM_FLAG, AT(flat)},
	{"", FORM_PART, AT(size), .part = size_members},
};

static const struct rpc_method methods[] = {
	{"paint", true, 0, 2, members, ARRAY_COUNT(members), paint},
	{"look", false, 0, 0, NULL, 0, look},
	{"fail", false, 0, 0, NULL, 0, dry},
	{"fail.member", false, 0, 0, members, ARRAY_COUNT(members), taken},
};

static void add_to_hello(struct rpc_request *request, json_t *result)
{
	json_object_set_new(result, "name", json_string(request->server));
}

static const struct rpc_table table = {
	.methods = methods,
	.count = ARRAY_COUNT(methods),
	.server = "painter",
	.subject = "wall",
	.who = "ask the owner",
	.hello = add_to_hello,
};

static struct rpc_peer peer;

static json_t *answer(const char *text, unsigned int fd_count)
{
	struct rpc_request request = {
		.server = (void *)"the painter", .peer = &peer, .fd_count = fd_count};
	struct parameters parameters = {.colour = 1, .size = {7, 8}};

	return rpc_answer(&table, &request, &parameters, text, strlen(text));
}

static json_t *ask(const char *method, const char *params, unsigned int fd_count)
{
	char text[512];

	snprintf(text, sizeof(text),
		 "{\"jsonrpc\":\"2.0\",\"id\":\"x\",\"method\":\"%s\",\"params\":%s}", method,
		 params);
	return answer(text, fd_count);
}

static void takes(const char *method, const char *params)
{
	json_t *object = ask(method, params, 0);

	assert_non_null(json_object_get(object, "result"));
	assert_string_equal(json_string_value(json_object_get(object, "id")), "x");
	json_decref(object);
}

/* Takes the answer. */
static void is_refused(json_t *object, int number, const char *code, const char *message,
		       const char *remedy)
{
	const json_t *error = json_object_get(object, "error");
	const json_t *data = json_object_get(error, "data");

	assert_null(json_object_get(object, "result"));
	assert_int_equal(json_integer_value(json_object_get(error, "code")), number);
	assert_string_equal(json_string_value(json_object_get(error, "message")), message);
	assert_string_equal(json_string_value(json_object_get(data, "code")), code);
	assert_string_equal(json_string_value(json_object_get(data, "remedy")), remedy);
	json_decref(object);
}

static int greet(void **state)
{
	(void)state;
	peer = (struct rpc_peer){.user = 7, .may_change = true, .greeted = true};
	calls = 0;
	return 0;
}

static void hello_comes_first(void **state)
{
	json_t *object, *result;

	(void)state;
	peer.greeted = false;
	is_refused(ask("look", "{}", 0), -32000, "version", "no version is agreed on yet",
		   "ask for hello first");
	is_refused(ask("hello", "{\"versions\":[2,3]}", 0), -32000, "version",
		   "this painter speaks version 1", "use a client of that version");
	is_refused(ask("hello", "{\"versions\":[1]}", 0), -32602, "invalid",
		   "params.versions: [1] is not two versions", "give [lowest, highest]");
	is_refused(ask("hello", "{}", 0), -32602, "invalid", "params.versions is missing",
		   "it has to be given");
	is_refused(ask("hello", "{\"versions\":[1,1]}", 1), -32000, "descriptors",
		   "1 descriptors came, from 0 to 0 may", "send those that the method takes");
	assert_false(peer.greeted);
	object = ask("hello", "{\"versions\":[1,9]}", 0);
	assert_true(peer.greeted);
	result = json_object_get(object, "result");
	assert_int_equal(json_integer_value(json_object_get(result, "version")), 1);
	assert_int_equal(json_array_size(json_object_get(result, "methods")), 5);
	assert_string_equal(json_string_value(json_object_get(result, "name")), "the painter");
	json_decref(object);
	assert_int_equal(calls, 0);
	takes("look", "{}");
}

static void members_arrive_or_keep_their_defaults(void **state)
{
	(void)state;
	takes("paint", "{\"name\":\"a\"}");
	assert_int_equal(called.colour, 1);
	assert_int_equal(called.size.width, 7);
	takes("paint", "{\"name\":\"a\",\"colour\":\"red\",\"flat\":true,\"width\":100,"
		       "\"height\":1099511627776}");
	assert_int_equal(called.colour, 0);
	assert_true(called.flat);
	assert_int_equal(called.size.width, 100);
	assert_int_equal(called.size.height, 1ull << 40);
}

static void members_that_are_wrong_are_named(void **state)
{
	static const struct {
		const char *params, *message, *remedy;
	} cases[] = {
		{"{}", "params.name is missing", "it has to be given"},
		{"{\"name\":\"\"}", "params.name: \"\" has 0 bytes", "give a text of 1 to 8 bytes"},
		{"{\"name\":5}", "params.name: 5 is not a text", "give a text of 1 to 8 bytes"},
		{"{\"name\":\"a\",\"colour\":\"blue\"}", "params.colour: \"blue\" is not known",
		 "give red or green"},
		{"{\"name\":\"a\",\"flat\":1}", "params.flat: 1 is neither true nor false",
		 "give true or false"},
		{"{\"name\":\"a\",\"width\":101}", "params.width: 101 is not from 0 to 100",
		 "give a number from 0 to 100"},
		{"{\"name\":\"a\",\"height\":-1}",
		 "params.height: -1 is not from 2 to 1099511627776",
		 "give a number from 2 to 1099511627776"},
		{"{\"name\":\"a\",\"size\":1}", "params.size is not known",
		 "there are: name, colour, flat, width, height"},
		{"[]", "params: [] is not an object", "give an object, as {...}"},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_COUNT(cases); i++) {
		is_refused(ask("paint", cases[i].params, 0), -32602, "invalid", cases[i].message,
			   cases[i].remedy);
	}
	assert_int_equal(calls, 0);
	is_refused(ask("look", "{\"a\":1}", 0), -32602, "invalid", "params.a is not known",
		   "there are none");
	is_refused(ask("fail", "{}", 0), -32000, "state", "it is dry", "wait for rain");
	is_refused(ask("fail.member", "{\"name\":\"a\"}", 0), -32602, "invalid",
		   "params.name: \"a\" is taken", "give another");
}

static void who_may_not_is_refused(void **state)
{
	(void)state;
	peer.may_change = false;
	is_refused(ask("paint", "{\"name\":\"a\"}", 0), -32000, "permission",
		   "user 7 may only look at this wall", "ask the owner");
	is_refused(ask("look", "{}", 1), -32000, "descriptors",
		   "1 descriptors came, from 0 to 0 may", "send those that the method takes");
	assert_int_equal(calls, 0);
	takes("look", "{}");
	is_refused(ask("sing", "{}", 0), -32601, "method",
		   "sing: not a method that this painter knows", "hello lists what there is");
}

static void what_is_no_request_is_answered_all_the_same(void **state)
{
	json_t *object;

	(void)state;
	object = answer("{", 0);
	assert_true(json_is_null(json_object_get(object, "id")));
	assert_int_equal(
		json_integer_value(json_object_get(json_object_get(object, "error"), "code")),
		-32700);
	json_decref(object);
	is_refused(answer("[]", 0), -32600, "request", "[] is not an object",
		   "give an object, as {...}");
	is_refused(answer("{\"jsonrpc\":\"1.0\",\"id\":1,\"method\":\"look\"}", 0), -32600,
		   "request", "jsonrpc: \"1.0\" is not known", "write \"2.0\"");
	is_refused(answer("{\"jsonrpc\":\"2.0\",\"id\":null,\"method\":\"look\"}", 0), -32600,
		   "request", "id: null is no id",
		   "give a whole number, or a text of at most 64 bytes");
	is_refused(answer("{\"jsonrpc\":\"2.0\",\"method\":\"look\"}", 0), -32600, "request",
		   "id is missing", "it has to be given");
	object = answer("{\"jsonrpc\":\"2.0\",\"id\":9,\"method\":\"look\"}", 0);
	assert_int_equal(json_integer_value(json_object_get(object, "id")), 9);
	json_decref(object);
}

static void an_answer_that_is_too_long_becomes_a_refusal(void **state)
{
	char *text = malloc(CONTROL_MESSAGE_MAX + 1);
	json_t *message;

	(void)state;
	memset(text, 'a', CONTROL_MESSAGE_MAX);
	text[CONTROL_MESSAGE_MAX] = '\0';
	message = json_pack("{s:i, s:s}", "id", 3, "result", text);
	free(text);
	text = rpc_text(message);
	json_decref(message);
	message = json_loads(text, 0, NULL);
	free(text);
	assert_int_equal(json_integer_value(json_object_get(message, "id")), 3);
	is_refused(message, -32000, "limit", "the answer is too long for a message",
		   "ask for less, or give files shorter names");
}

static void a_client_is_known_by_its_user(void **state)
{
	char path[] = "/tmp/rpc_test_XXXXXX", at[64];
	struct rpc_peer who = {.greeted = true};
	int listener, client, fd;
	char text[8];

	(void)state;
	assert_non_null(mkdtemp(path));
	snprintf(at, sizeof(at), "%s/s", path);
	listener = listen_at(at, -1, SOCK_SEQPACKET, 1, "");
	assert_int_equal(rpc_accept(listener, &who), -EAGAIN);
	client = connect_at(at, SOCK_SEQPACKET);
	assert_true(client >= 0);
	fd = rpc_accept(listener, &who);
	assert_true(fd >= 0);
	assert_int_equal(who.user, getuid());
	assert_false(who.greeted || who.may_change);
	assert_int_equal(rpc_send(fd, "abc"), 0);
	assert_int_equal(recv(client, text, sizeof(text), 0), 3);
	close(client);
	close(fd);
	close(listener);
	unlink(at);
	rmdir(path);
	assert_int_equal(connect_at(at, SOCK_SEQPACKET), -ENOENT);
}

#define TEST(name) cmocka_unit_test_setup(name, greet)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(hello_comes_first),
		TEST(members_arrive_or_keep_their_defaults),
		TEST(members_that_are_wrong_are_named),
		TEST(who_may_not_is_refused),
		TEST(what_is_no_request_is_answered_all_the_same),
		TEST(an_answer_that_is_too_long_becomes_a_refusal),
		TEST(a_client_is_known_by_its_user),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
