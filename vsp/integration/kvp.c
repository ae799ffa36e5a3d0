/*
 * Values (KVP): requests of those who manage the guest wait in a queue, and the first one is with
 * the guest. A list is asked for one pair after the other, by index, until the guest says that
 * there are no more.
 *
 * A value that is asked for by its key is looked for in the list where the guest gives none:
 * Linux's kernel tells its daemon that there is no room for the value, which is then empty, and of
 * what the guest says of itself the daemon gives lists alone.
 *
 * What the guest sends is UTF-16 of any length and content: it becomes UTF-8 that is valid, or the
 * pair is refused.
 */
#include "vsp/integration/ic.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "disk/bytes.h"

#define ANSWER_WITHIN (60 * IC_SECOND)
/* A daemon that never says that there are no more is not asked without an end. */
#define PAIRS_MAX 1024u

static struct ic_kvp *kvp_of(struct ic *ic)
{
	return (struct ic_kvp *)((char *)ic - offsetof(struct ic_kvp, ic));
}

/* ---- Texts ---- */

/* `bytes` is the guest's word for how long it is, its NUL included. False: it is no text. */
static bool text_of(const uint8_t *from, uint32_t bytes, uint32_t max, char *text, size_t size)
{
	return bytes <= max && bytes % 2 == 0 &&
	       utf16_to_utf8(from, bytes / 2, false, text, size) == 0;
}

/* Its bytes, with its NUL. 0: it is too long, or no UTF-8. */
static uint32_t put_text(const char *text, uint8_t *to, uint32_t max)
{
	int length = utf8_to_utf16(text, false, to, max - 2);

	if (length < 0) {
		return 0;
	}
	to[length] = to[length + 1] = 0;
	return (uint32_t)length + 2;
}

/* False: the text does not fit. */
static bool put_value(const struct integration_pair *pair, struct hv_kvp_exchg_msg_value *value)
{
	switch (pair->type) {
	case INTEGRATION_NUMBER32:
		value->value_type = IC_REG_U32;
		value->value_size = 4;
		memcpy(value->value, &pair->number, 4);
		break;
	case INTEGRATION_NUMBER64:
		value->value_type = IC_REG_U64;
		value->value_size = 8;
		memcpy(value->value, &pair->number, 8);
		break;
	default:
		value->value_type = pair->type == INTEGRATION_EXPAND ? IC_REG_EXPAND_SZ : IC_REG_SZ;
		value->value_size = put_text(pair->text, value->value, sizeof(value->value));
		break;
	}
	return value->value_size != 0;
}

static bool put_key(const struct integration_pair *pair, struct hv_kvp_exchg_msg_value *value)
{
	value->key_size = put_text(pair->key, value->key, sizeof(value->key));
	return value->key_size != 0;
}

static bool take_value(const struct hv_kvp_exchg_msg_value *value, struct integration_pair *pair)
{
	pair->text[0] = '\0';
	pair->number = 0;
	switch (value->value_type) {
	case IC_REG_U32:
		pair->type = INTEGRATION_NUMBER32;
		memcpy(&pair->number, value->value, 4);
		return value->value_size == 4;
	case IC_REG_U64:
	case IC_REG_U64_WINDOWS:
		pair->type = INTEGRATION_NUMBER64;
		memcpy(&pair->number, value->value, 8);
		return value->value_size == 8;
	case IC_REG_SZ:
	case IC_REG_EXPAND_SZ:
		pair->type =
			value->value_type == IC_REG_SZ ? INTEGRATION_STRING : INTEGRATION_EXPAND;
		return text_of(value->value, value->value_size, sizeof(value->value), pair->text,
			       sizeof(pair->text));
	default:
		return false;
	}
}

/* ---- The queue ---- */

/* The first one has ended. */
static void finish(struct ic_kvp *kvp, int ret, const char *why)
{
	struct kvp_request *request = kvp->first;

	kvp->first = request->next;
	kvp->count--;
	if (request->what.done != NULL) {
		request->what.done(request->what.user, ret, why);
	}
	free(request);
}

static void finish_all(struct ic_kvp *kvp, int ret, const char *why)
{
	while (kvp->first != NULL) {
		finish(kvp, ret, why);
	}
}

static bool lists(const struct kvp_request *request)
{
	return request->what.operation == INTEGRATION_KVP_LIST || request->searches;
}

static bool is_of_addresses(const struct kvp_request *request)
{
	return request->what.operation == INTEGRATION_KVP_GET_ADDRESSES ||
	       request->what.operation == INTEGRATION_KVP_SET_ADDRESSES;
}

static void send_addresses(struct ic_kvp *kvp)
{
	const struct kvp_request *request = kvp->first;
	bool set = request->what.operation == INTEGRATION_KVP_SET_ADDRESSES;
	union address_message message;
	uint32_t bytes = address_put(&message, kvp->ic.message, &request->adapter,
				     set ? &request->addresses : NULL);

	ic_send(&kvp->ic, &message, bytes, ANSWER_WITHIN);
}

static void send(struct ic_kvp *kvp)
{
	const struct kvp_request *request = kvp->first;
	struct hv_kvp_msg message = {.kvp_hdr.pool = (uint8_t)request->what.pool};
	struct hv_kvp_exchg_msg_value *value = &message.body.value;
	bool fits = true; /* integration_kvp() has seen that it does */

	if (lists(request)) {
		message.kvp_hdr.operation = KVP_OP_ENUMERATE;
		message.body.enumerate.index = request->index;
		ic_send(&kvp->ic, &message, sizeof(message), ANSWER_WITHIN);
		return;
	}
	switch (request->what.operation) {
	case INTEGRATION_KVP_DELETE:
		message.kvp_hdr.operation = KVP_OP_DELETE;
		message.body.remove.key_size = put_text(request->pair.key, message.body.remove.key,
							sizeof(message.body.remove.key));
		break;
	case INTEGRATION_KVP_SET:
		message.kvp_hdr.operation = KVP_OP_SET;
		fits = put_key(&request->pair, value) && put_value(&request->pair, value);
		break;
	default:
		message.kvp_hdr.operation = KVP_OP_GET;
		fits = put_key(&request->pair, value);
		break;
	}
	CHECK(fits);
	ic_send(&kvp->ic, &message, sizeof(message), ANSWER_WITHIN);
}

static void go_on(struct ic_kvp *kvp)
{
	if (kvp->first == NULL || !ic_is_idle(&kvp->ic)) {
		return;
	}
	if (is_of_addresses(kvp->first)) {
		send_addresses(kvp);
	} else {
		send(kvp);
	}
}

static bool fits(const struct integration_kvp *what)
{
	struct hv_kvp_exchg_msg_value value;

	if (what->operation == INTEGRATION_KVP_LIST || what->adapter != NULL) {
		return true;
	}
	return what->pair->key[0] != '\0' && put_key(what->pair, &value) &&
	       (what->operation != INTEGRATION_KVP_SET || put_value(what->pair, &value));
}

int integration_kvp(struct integration *integration, const struct integration_kvp *what)
{
	struct ic_kvp *kvp = &integration->kvp;
	struct kvp_request *request, **end = &kvp->first;

	if (ic_why(&kvp->ic) != NULL) {
		return -ENOTCONN;
	}
	if (!fits(what)) {
		return -EINVAL;
	}
	if (kvp->count == INTEGRATION_KVP_MAX) {
		return -EBUSY;
	}
	request = calloc(1, sizeof(*request));
	if (request == NULL) {
		return -ENOMEM;
	}
	request->what = *what;
	request->index = what->from;
	if (what->pair != NULL) {
		request->pair = *what->pair;
	}
	if (what->adapter != NULL) {
		request->adapter = *what->adapter;
	}
	if (what->addresses != NULL) {
		request->addresses = *what->addresses;
	}
	while (*end != NULL) {
		end = &(*end)->next;
	}
	*end = request;
	kvp->count++;
	go_on(kvp);
	return 0;
}

void integration_kvp_forget(struct integration *integration, const void *user)
{
	struct ic_kvp *kvp = &integration->kvp;
	struct kvp_request **link = &kvp->first, *request;

	while (*link != NULL) {
		request = *link;
		if (request->what.user != user) {
			link = &request->next;
		} else if (request == kvp->first && kvp->ic.asking) {
			/* The guest has it: nobody is told how it ends. */
			request->what.each = NULL;
			request->what.got = NULL;
			request->what.done = NULL;
			request->what.user = NULL;
			link = &request->next;
		} else {
			*link = request->next;
			kvp->count--;
			free(request);
		}
	}
}

/* ---- Answers ---- */

static bool is_no_more(uint32_t status)
{
	return status == HV_S_CONT || status == HV_ERROR_NOT_FOUND;
}

/* False: it is none. */
static bool take_pair(struct kvp_request *request, const struct hv_kvp_msg *message)
{
	const struct hv_kvp_exchg_msg_value *value =
		lists(request) ? &message->body.enumerate.value : &message->body.value;
	struct integration_pair pair = request->pair;

	if (lists(request) &&
	    !text_of(value->key, value->key_size, sizeof(value->key), pair.key, sizeof(pair.key))) {
		return false;
	}
	if (!take_value(value, &pair)) {
		return false;
	}
	if (request->searches && strcmp(pair.key, request->pair.key) != 0) {
		return true;
	}
	request->enough = request->what.each == NULL ||
			  !request->what.each(request->what.user, request->index, &pair) ||
			  request->searches;
	return true;
}

static bool wants_more(struct kvp_request *request)
{
	return lists(request) && !request->enough && ++request->index < PAIRS_MAX;
}

/* An answer to a key that may be no more than Linux's. */
static bool gives_none(const struct kvp_request *request, uint32_t status,
		       const struct hv_kvp_msg *message)
{
	const struct hv_kvp_exchg_msg_value *value = &message->body.value;
	bool text = value->value_type == IC_REG_SZ || value->value_type == IC_REG_EXPAND_SZ;

	return request->what.operation == INTEGRATION_KVP_GET && !request->searches &&
	       request->what.done != NULL &&
	       (status == HV_S_CONT || (status == HV_S_OK && text && value->value_size <= 2));
}

static const char *refusal_of(uint32_t status)
{
	return status == HV_ERROR_UNSUPPORTED ? "the guest does not support it"
					      : "the guest says that it failed";
}

static bool take_answer(struct ic_kvp *kvp, uint32_t status, const struct hv_kvp_msg *message)
{
	struct kvp_request *request = kvp->first;
	bool list = request->what.operation == INTEGRATION_KVP_LIST;
	bool gives = list || request->what.operation == INTEGRATION_KVP_GET;

	if (gives_none(request, status, message)) {
		request->searches = true;
	} else if (is_no_more(status)) {
		finish(kvp, list ? 0 : -ENOENT, list ? NULL : "the guest has no such value");
	} else if (status != HV_S_OK) {
		finish(kvp, -EREMOTEIO, refusal_of(status));
	} else if (gives && !take_pair(request, message)) {
		finish(kvp, -EBADMSG, "the guest has sent no value");
		return false;
	} else if (!wants_more(request)) {
		bool found = !request->searches || request->enough;

		finish(kvp, found ? 0 : -ENOENT, found ? NULL : "the guest has no such value");
	}
	return true;
}

static bool take_addresses(struct ic_kvp *kvp, const struct ic_answer *answer)
{
	struct kvp_request *request = kvp->first;
	struct integration_addresses addresses;

	if (answer->status != HV_S_OK) {
		finish(kvp, -EREMOTEIO, refusal_of(answer->status));
		return true;
	}
	if (request->what.operation == INTEGRATION_KVP_GET_ADDRESSES) {
		if (!address_take(answer->body, answer->bytes, kvp->ic.message, &addresses)) {
			finish(kvp, -EBADMSG, "the guest has sent no addresses");
			return false;
		}
		if (request->what.got != NULL) {
			request->what.got(request->what.user, &addresses);
		}
	}
	finish(kvp, 0, NULL);
	return true;
}

static bool answered(struct ic *ic, const struct ic_answer *answer)
{
	struct ic_kvp *kvp = kvp_of(ic);
	struct hv_kvp_msg message = {0};
	bool good;

	if (is_of_addresses(kvp->first)) {
		good = take_addresses(kvp, answer);
		go_on(kvp);
		return good;
	}
	/* What is missing is zeros. */
	memcpy(&message, answer->body,
	       answer->bytes < sizeof(message) ? answer->bytes : sizeof(message));
	good = take_answer(kvp, answer->status, &message);
	go_on(kvp);
	return good;
}

static void failed(struct ic *ic, int ret)
{
	struct ic_kvp *kvp = kvp_of(ic);

	if (ret == -ECONNRESET || ic_why(ic) != NULL) {
		finish_all(kvp, ret, ic_failure(ret));
		return;
	}
	finish(kvp, ret, ic_failure(ret));
	go_on(kvp);
}

static const struct ic_version versions[] = {{3, 0}, {4, 0}, {5, 0}};

const struct ic_class kvp_class = {
	.name = "data exchange",
	.silence = "the guest has not said yet which version it speaks: its daemon (hv_kvp_daemon) "
		   "may "
		   "not run",
	.type = VMBUS_GUID_KVP,
	.instance = {0x242ff919, 0x07db, 0x4180, {0x9c, 0x2e, 0xb8, 0x6c, 0xb6, 0x8c, 0x8c, 0x55}},
	.message = ICMSGTYPE_KVPEXCHANGE,
	.versions = versions,
	.version_count = ARRAY_COUNT(versions),
	.body_max = sizeof(union address_message),
	.answered = answered,
	.failed = failed,
};
