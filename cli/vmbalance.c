/*
 * vmbalance: divides the memory of this machine among its guests, as balance.h has it, by asking
 * and leading their workers each second.
 *
 * It has no state that matters: ended and started again it goes on from what the guests have.
 * Without it each guest keeps its last target.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cli/balance.h"
#include "cli/client.h"
#include "cli/words.h"
#include "hosted/available.h"
#include "hosted/listen.h"
#include "hosted/say.h"
#include "include/mgmt/control.h"

static const char help[] =
	"usage: vmbalance [--reserve SIZE] SOCKET...\n"
	"\n"
	"Divides memory among guests: the SOCKETs are those of vmwp --control with "
	"--memory-minimum. Each has\n"
	"what it demands and its buffer, as long as there is enough; then buffers become smaller, "
	"and what is beyond\n"
	"the minima goes by weight. SIZE (512M) is kept for this machine's own programs. A worker "
	"that is not there\n"
	"is looked for again; with the last one it ends.\n";

/* An answer that takes longer is none: the worker hangs. */
#define ANSWER_SECONDS 10
/* Between two looks for a worker that has gone. */
#define LOOK_SECONDS 5u

struct place {
	const char *path;
	bool connected;
	struct client client;
};

static struct place *places;         /* by the side of ... */
static struct balance_guest *guests; /* ... this */
static size_t count;

/* ---- One guest ---- */

static bool begin(struct place *place)
{
	place->client = (struct client){.fd = -1, .patience = ANSWER_SECONDS};
	place->connected = client_open(&place->client, place->path);
	if (!place->connected && place->client.fd >= 0) {
		close(place->client.fd);
	}
	return place->connected;
}

static uint64_t size_of(const json_t *memory, const char *key)
{
	json_int_t size = json_integer_value(json_object_get(memory, key));

	return size < 0 ? 0 : (uint64_t)size < BALANCE_SIZE_MAX ? (uint64_t)size : BALANCE_SIZE_MAX;
}

static uint32_t number_of(const json_t *memory, const char *key, uint32_t most)
{
	uint64_t number = size_of(memory, key);

	return number < most ? (uint32_t)number : most;
}

/* What a worker says is what its guest says: nothing of it is believed to fit. */
static void read_guest(struct balance_guest *guest, const json_t *memory)
{
	guest->minimum = size_of(memory, "minimum") / BALANCE_BLOCK * BALANCE_BLOCK;
	guest->maximum = size_of(memory, "maximum") / BALANCE_BLOCK * BALANCE_BLOCK;
	guest->maximum = guest->maximum > guest->minimum ? guest->maximum : guest->minimum;
	guest->weight = number_of(memory, "weight", BALANCE_WEIGHT_MAX);
	guest->buffer = number_of(memory, "buffer", BALANCE_BUFFER_MAX);
	guest->assigned = size_of(memory, "assigned");
	guest->demand = size_of(memory, "demand");
	guest->gives_no_more = json_is_true(json_object_get(memory, "gives-no-more"));
	guest->led = memory != NULL && json_object_get(memory, "why") == NULL;
	if (!guest->led) {
		guest->peak = guest->kept = 0; /* a new kernel has other programs */
		guest->target = guest->assigned;
	}
}

/* What it had is not known to be anybody's any more. */
static void lose(struct place *place, struct balance_guest *guest)
{
	say("%s: it is led no more", place->path);
	close(place->client.fd);
	place->connected = false;
	*guest = (struct balance_guest){0};
}

static void ask(struct place *place, struct balance_guest *guest)
{
	json_t *status =
		client_ask(&place->client, CONTROL_STATUS, json_object(), NULL, 0, place->path);

	if (status == NULL) {
		lose(place, guest);
		return;
	}
	read_guest(guest, json_object_get(status, "dynamic-memory"));
	json_decref(status);
}

/* A machine that is being saved refuses it: the next step tries again. */
static void lead(struct place *place, struct balance_guest *guest)
{
	json_t *done = client_ask(&place->client, CONTROL_MEMORY,
				  json_pack("{s:I}", "target", (json_int_t)guest->target), NULL, 0,
				  place->path);

	if (done == NULL && !place->client.refused) {
		lose(place, guest);
	} else if (done == NULL) {
		guest->target = guest->assigned;
	}
	json_decref(done);
}

/* ---- All of them ---- */

/* One that has gone may be there again: a worker makes its socket when it starts. */
static void look_for_more(void)
{
	size_t i;
	int fd;

	for (i = 0; i < count; i++) {
		fd = places[i].connected ? -1 : connect_at(places[i].path, SOCK_SEQPACKET);
		if (fd >= 0) {
			close(fd);
			(void)begin(&places[i]);
		}
	}
}

static bool is_any(void)
{
	bool any = false;
	size_t i;

	for (i = 0; i < count; i++) {
		any |= places[i].connected;
	}
	return any;
}

static void step(uint64_t reserve, uint64_t *before)
{
	size_t i;

	for (i = 0; i < count; i++) {
		if (places[i].connected) {
			ask(&places[i], &guests[i]);
		}
		before[i] = guests[i].target;
	}
	balance_step(guests, count, available_memory(), reserve);
	for (i = 0; i < count; i++) {
		if (places[i].connected && guests[i].led && guests[i].target != before[i]) {
			lead(&places[i], &guests[i]);
		}
	}
}

static int run(char **paths, size_t path_count, uint64_t reserve)
{
	uint64_t *before = calloc(path_count, sizeof(before[0]));
	unsigned int second;

	places = calloc(path_count, sizeof(places[0]));
	guests = calloc(path_count, sizeof(guests[0]));
	if (before == NULL || places == NULL || guests == NULL) {
		client_fail("vmbalance", "there is no memory");
		return 1;
	}
	for (; count < path_count; count++) {
		places[count].path = paths[count];
		if (!begin(&places[count])) {
			return 1;
		}
	}
	for (second = 1; is_any(); second++) {
		step(reserve, before);
		sleep(1);
		if (second % LOOK_SECONDS == 0) {
			look_for_more();
		}
	}
	free(before);
	free(places);
	free(guests);
	return 0;
}

int main(int argc, char **argv)
{
	json_int_t reserve = 512 << 20;
	int at = 1;

	say_set_name("vmbalance");
	if (at < argc && strcmp(argv[at], "--help") == 0) {
		fputs(help, stdout);
		return 0;
	}
	if (at + 1 < argc && strcmp(argv[at], "--reserve") == 0) {
		if (!words_size(argv[at + 1], &reserve)) {
			client_fail(argv[at + 1], "not a size; write it as 512M or 2G");
			return 2;
		}
		at += 2;
	}
	if (at == argc || argv[at][0] == '-') {
		fputs(help, stderr);
		return 2;
	}
	signal(SIGPIPE, SIG_IGN);
	return run(&argv[at], (size_t)(argc - at), (uint64_t)reserve);
}
