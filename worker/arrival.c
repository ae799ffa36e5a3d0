/*
 * See arrival.h. What comes is as hostile as a file: each frame is checked before it is used, and
 * nothing of the machine moves before the owner file has said that it is ours.
 */
#include "worker/arrival.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <zlib.h>

#include "disk/disk.h"
#include "hosted/listen.h"
#include "hvs/hvs.h"
#include "worker/carry.h"
#include "worker/machine.h"
#include "worker/offer.h"
#include "hosted/owner.h"
#include "worker/save.h"
#include "worker/say.h"
#include "worker/wire.h"

#define HELLO_SECONDS  30u
#define QUIET_SECONDS  600u /* a source whose disk does not answer may be silent for long */
#define SEND_SECONDS   10u
#define ANSWER_SECONDS 60u
#define RETRY_NS       100000000

struct arrival {
	struct machine *machine;
	int listener; /* -1: none, or it was used */
	int owner;
	int signals;
	struct wire wire; /* its descriptor is -1 before somebody has connected */
	uint8_t token[OWNER_TOKEN_BYTES];
	uint8_t *list; /* what came of it */
	uint32_t list_size, list_room;
	uint8_t plain[HVS_BLOCK_BYTES];
	struct wire_frame frame;
	char why[WIRE_TEXT_MAX]; /* for the other side */
};

static bool refuse(struct arrival *r, const char *what, const char *why)
{
	snprintf(r->why, sizeof(r->why), "%s%s", what, why);
	say("--receive %s: %s", r->machine->config->receive.path, r->why);
	return false;
}

/* The text is there already. */
static bool refuse_said(const struct arrival *r)
{
	say("--receive %s: %s", r->machine->config->receive.path, r->why);
	return false;
}

/* ---- Before the sandbox ---- */

/*
 * Beside the socket, where nothing else is said. A socket that was handed over is nowhere, so then
 * it must be said.
 */
static int open_owner(const struct config *config)
{
	char path[PATH_MAX];

	if (config->receive_owner.fd >= 0) {
		return config->receive_owner.fd;
	}
	if (config->receive_owner.path != NULL) {
		return open(config->receive_owner.path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	}
	if (config->receive.fd >= 0) {
		errno = EINVAL;
		return -1;
	}
	if (snprintf(path, sizeof(path), "%s.owner", config->receive.path) >= PATH_MAX) {
		errno = ENAMETOOLONG;
		return -1;
	}
	return open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
}

/* One that listens, or is connected already. */
static bool open_socket(struct arrival *r, const struct config_file *socket)
{
	int listens = 0;
	socklen_t size = sizeof(listens);

	if (socket->fd >= 0 &&
	    getsockopt(socket->fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &size) == 0 && !listens) {
		r->wire.fd = socket->fd;
		return true;
	}
	/* Who can connect gives this host a machine. */
	r->listener = listen_privately(socket->path, socket->fd, SOCK_STREAM, 1, "--receive ");
	return r->listener >= 0;
}

/* A signal ends it; who asks again is told again. */
static bool is_given_up(void *user)
{
	struct arrival *r = user;
	struct pollfd poll_ = {.fd = r->signals, .events = POLLIN};

	r->machine->off |= poll(&poll_, 1, 0) > 0;
	return r->machine->off;
}

bool arrival_open(struct machine *machine)
{
	const struct config *config = machine->config;
	struct arrival *r = calloc(1, sizeof(*r));
	int ret;

	if (r == NULL) {
		say("no memory");
		return false;
	}
	machine->arrival = r;
	*r = (struct arrival){.machine = machine,
			      .listener = -1,
			      .owner = open_owner(config),
			      .signals = loop_open_signals(),
			      .wire = {.fd = -1, .given_up = is_given_up, .user = r}};
	if (r->owner < 0 || r->signals < 0) {
		return refuse(r, "its owner file: ", strerror(errno));
	}
	ret = owner_attend(r->owner);
	if (ret != 0) {
		return refuse(r, "its owner file cannot be locked: ", strerror(-ret));
	}
	return open_socket(r, &config->receive);
}

/* ---- The beginning ---- */

static bool accept_source(struct arrival *r)
{
	struct pollfd polls[2] = {{.fd = r->listener, .events = POLLIN},
				  {.fd = r->signals, .events = POLLIN}};

	while (r->wire.fd < 0) {
		if (is_given_up(r)) {
			return refuse(r, "ended before a machine came", "");
		}
		if (poll(polls, 2, -1) > 0) {
			r->wire.fd = accept4(r->listener, NULL, NULL, SOCK_CLOEXEC);
		}
	}
	if (r->listener >= 0) {
		close(r->listener); /* one machine comes */
		r->listener = -1;
	}
	return true;
}

static bool receive_frame(struct arrival *r, unsigned int seconds)
{
	int ret = wire_receive(&r->wire, &r->frame, seconds);

	return ret == 0 || refuse(r, "the connection: ",
				  ret == -EPIPE       ? "it was cut before all had come"
				  : ret == -EBADMSG   ? "a frame is longer than there are any"
				  : ret == -ETIMEDOUT ? "nothing comes any more"
				  : ret == -ECANCELED ? "given up by a signal"
						      : strerror(-ret));
}

static bool read_hello(struct arrival *r, struct offer *offer)
{
	struct state_reader list;
	struct state_fault fault;
	struct wire_hello hello;
	uint32_t lowest = r->machine->config->receive_disks ? WIRE_DISKS : 1;
	char what[80];

	if (r->frame.type != WIRE_HELLO || r->frame.length < sizeof(hello)) {
		return refuse(r, "what has connected is no worker", "");
	}
	memcpy(&hello, r->frame.payload, sizeof(hello));
	if (hello.lowest > WIRE_VERSION || hello.highest < lowest) {
		snprintf(what, sizeof(what), "versions %u to %u there, %u to %u here", hello.lowest,
			 hello.highest, lowest, WIRE_VERSION);
		return refuse(r, what, "");
	}
	memcpy(r->token, hello.token, sizeof(r->token));
	list = state_reader(r->frame.payload + sizeof(hello), r->frame.length - sizeof(hello),
			    &fault);
	if (!offer_read(offer, &list, hello.highest >= WIRE_DISKS)) {
		return refuse(r, "what is offered ", fault.what);
	}
	return true;
}

/*
 * What does not fit is told before anything of the machine has come, and so is another owner file
 * than the source's.
 */
static bool compare(struct arrival *r, const struct offer *wanted)
{
	char text[WIRE_TEXT_MAX];
	struct offer had;
	int ret;

	offer_of_config(&had, r->machine->config);
	offer_add_firmware(&had, &r->machine->firmware);
	if (r->machine->config->receive_disks) {
		carry_offer(r->machine, &had);
	}
	if (!offer_fits(wanted, &had, text, sizeof(text))) {
		return refuse(r, text, "");
	}
	ret = r->machine->config->receive_disks ? owner_begin(r->owner, r->token)
						: owner_check(r->owner, r->token);
	return ret == 0 || refuse(r, "the owner file: ",
				  ret == -ESTALE   ? "it is not the one that the source has"
				  : ret == -EINVAL ? "something else is in it; give an empty one"
						   : strerror(-ret));
}

bool arrival_begin(struct machine *machine)
{
	struct arrival *r = machine->arrival;
	struct offer offer;

	if (r == NULL) {
		return true;
	}
	if (!accept_source(r) || !receive_frame(r, HELLO_SECONDS) || !read_hello(r, &offer) ||
	    !compare(r, &offer)) {
		return false;
	}
	if (machine->config->receive_disks) {
		carry_know(machine, &offer);
	}
	machine->boot.no_flush_calls = offer.no_flush_calls;
	return memory_set_added(&machine->memory, offer.added) ||
	       refuse(r, "memory was added where it cannot be", "");
}

/* ---- The state ---- */

/* Those of the block that are marked; of one that the guest goes on writing to they come again. */
static bool take_pages(struct arrival *r)
{
	struct machine *machine = r->machine;
	struct wire_pages pages;
	uint64_t gpa;
	unsigned int i;

	if (r->frame.length < sizeof(pages)) {
		return refuse(r, "a frame of pages is too short", "");
	}
	memcpy(&pages, r->frame.payload, sizeof(pages));
	if (pages.block >= save_block_count(machine) ||
	    !save_block_is_there(machine, pages.block)) {
		return refuse(r, "pages come for memory that is none", "");
	}
	if (hvs_unpack(r->frame.payload + sizeof(pages),
		       (uint32_t)(r->frame.length - sizeof(pages)), r->plain) != 0) {
		return refuse(r, "a block of pages is damaged", "");
	}
	gpa = save_block_gpa(machine, pages.block);
	for (i = 0; i < HVS_BLOCK_PAGES; i++) {
		if (pages.there[i / 8] & 1u << i % 8 &&
		    !memory_put(&machine->memory, gpa + i * MEMORY_PAGE, r->plain + i * MEMORY_PAGE,
				MEMORY_PAGE)) {
			return refuse(r, "a page comes for memory that is none", "");
		}
	}
	return true;
}

static bool take_piece(struct arrival *r)
{
	uint8_t *larger;

	if (r->frame.length == 0) {
		return refuse(r, "a piece of its list of parts is empty", "");
	}
	if (r->frame.length > SAVE_LIST_MAX - r->list_size) {
		return refuse(r, "its list of parts is longer than there are any", "");
	}
	if (r->frame.length > r->list_room - r->list_size) {
		r->list_room = 2 * r->list_room + r->frame.length;
		larger = realloc(r->list, r->list_room);
		if (larger == NULL) {
			return refuse(r, "no memory for its list of parts", "");
		}
		r->list = larger;
	}
	memcpy(r->list + r->list_size, r->frame.payload, r->frame.length);
	r->list_size += r->frame.length;
	return true;
}

static bool take_end(struct arrival *r)
{
	struct wire_end end;

	if (r->frame.length != sizeof(end)) {
		return refuse(r, "the end has not its length", "");
	}
	memcpy(&end, r->frame.payload, sizeof(end));
	return (r->list_size != 0 && end.size == r->list_size &&
		end.crc == (uint32_t)crc32(0, r->list, r->list_size)) ||
	       refuse(r, "its list of parts is not whole", "");
}

static bool flush(struct arrival *r)
{
	return carry_flush(r->machine, r->why, sizeof(r->why)) || refuse_said(r);
}

static bool take_disk(struct arrival *r)
{
	return carry_take(r->machine, &r->frame, r->why, sizeof(r->why)) || refuse_said(r);
}

static bool take_flush(struct arrival *r)
{
	return flush(r) && (wire_send(&r->wire, WIRE_FLUSHED, NULL, 0, SEND_SECONDS) == 0 ||
			    refuse(r, "the connection was cut", ""));
}

static bool receive_all(struct arrival *r)
{
	for (;;) {
		if (!receive_frame(r, QUIET_SECONDS)) {
			return false;
		}
		switch (r->frame.type) {
		case WIRE_PAGES:
			if (!take_pages(r)) {
				return false;
			}
			break;
		case WIRE_LIST:
			if (!take_piece(r)) {
				return false;
			}
			break;
		case WIRE_END:
			return take_end(r);
		case WIRE_DISK:
		case WIRE_FLUSH:
			if (!r->machine->config->receive_disks) {
				return refuse(r, "a disk comes that is not waited for", "");
			}
			if (!(r->frame.type == WIRE_DISK ? take_disk : take_flush)(r)) {
				return false;
			}
			break;
		default:
			return refuse(r, "a frame comes that is none", "");
		}
	}
}

static bool adopt(struct arrival *r)
{
	uint8_t *list = r->list;

	r->list = NULL;
	return saved_adopt(r->machine, list, r->list_size);
}

bool arrival_state(struct machine *machine)
{
	struct arrival *r = machine->arrival;
	const uint32_t version = WIRE_VERSION;
	const struct iovec yes = {(void *)&version, sizeof(version)};
	struct disk_error error;

	if (r == NULL) {
		return true;
	}
	if (wire_send(&r->wire, WIRE_YES, &yes, 1, SEND_SECONDS) != 0) {
		return refuse(r, "the connection was cut", "");
	}
	if (!receive_all(r) || !adopt(r)) {
		return false;
	}
	if (!machine->config->receive_disks && !disks_open_late(machine, &error)) {
		snprintf(r->why, sizeof(r->why), "%s", error.text);
		return false;
	}
	return (disks_attach(machine) || refuse(r, "its disks cannot be attached", "")) &&
	       (networks_attach_late(machine) ||
		refuse(r, "a switch does not give it its port; the log there says why", ""));
}

/* ---- The end ---- */

/* As long as it takes: without the file's word neither side may run the machine. */
static bool wait_for_answer(struct arrival *r, enum owner *whose)
{
	static const struct timespec moment = {.tv_nsec = RETRY_NS};
	int ret;

	while ((ret = owner_ask(r->owner, r->token, OWNER_TARGET, whose)) != 0) {
		if (is_given_up(r) || ret == -ESTALE) {
			return refuse(r, "the owner file does not say whose the machine is: ",
				      strerror(-ret));
		}
		nanosleep(&moment, NULL);
	}
	return true;
}

/*
 * What came of the firmware's variables and of the TPM is in their files, which are this side's
 * alone: from the owner file's word on it is there or nowhere.
 */
static bool keep_files(struct arrival *r)
{
	static const struct timespec moment = {.tv_nsec = RETRY_NS / 100};
	struct machine *machine = r->machine;
	int ret;

	while (!nvram_stands(&machine->firmware.nvram)) {
		if (is_given_up(r)) {
			return refuse(r, "it was given up", "");
		}
		nanosleep(&moment, NULL);
	}
	if (nvram_fails(&machine->firmware.nvram)) {
		return refuse(r,
			      "the file of its firmware's variables cannot be written; the log "
			      "there says why",
			      "");
	}
	ret = tpm_sync(&machine->tpm);
	return ret == 0 || refuse(r, "the file of its TPM's state: ", strerror(-ret));
}

/* `said`, if it is known; else what is in our file before long. */
static bool keep_answer(struct arrival *r, enum owner said, enum owner *whose)
{
	static const struct timespec moment = {.tv_nsec = RETRY_NS};
	int ret;

	for (;;) {
		ret = said != OWNER_NOBODY ? owner_ask(r->owner, r->token, said, whose)
					   : owner_look(r->owner, whose);
		if (ret == 0 && *whose != OWNER_NOBODY) {
			return true;
		}
		if (is_given_up(r) || ret == -ESTALE) {
			return refuse(r, "it is not known whose the machine is", "");
		}
		nanosleep(&moment, NULL);
	}
}

/*
 * Only the source's file says whose it is. Its answer is kept in ours, which is looked at also when
 * none comes: whoever has asked the source elsewhere writes it there.
 */
static bool ask_source(struct arrival *r, enum owner *whose)
{
	uint32_t said = OWNER_NOBODY;
	int ret = owner_depend(r->owner, r->token);

	if (ret != 0) {
		return refuse(r, "its owner file: ", strerror(-ret));
	}
	if (wire_send(&r->wire, WIRE_ASK, NULL, 0, SEND_SECONDS) == 0 &&
	    wire_receive(&r->wire, &r->frame, ANSWER_SECONDS) == 0 && r->frame.type == WIRE_OWNER &&
	    r->frame.length == sizeof(said)) {
		memcpy(&said, r->frame.payload, sizeof(said));
	}
	if (said == OWNER_SOURCE || said == OWNER_TARGET) {
		return keep_answer(r, (enum owner)said, whose);
	}
	say("--receive %s: the source has been asked whether the machine is here now, and its "
	    "answer did not come; vm migrate --finish asks again",
	    r->machine->config->receive.path);
	return keep_answer(r, OWNER_NOBODY, whose);
}

bool arrival_take(struct machine *machine)
{
	struct arrival *r = machine->arrival;
	enum owner whose;

	if (r == NULL) {
		return true;
	}
	if (!keep_files(r) || !(machine->config->receive_disks ? flush(r) && ask_source(r, &whose)
							       : wait_for_answer(r, &whose))) {
		return false;
	}
	return whose == OWNER_TARGET ||
	       refuse(r, "the source has gone on with the machine; nothing of it ran here", "");
}

static void destroy(struct machine *machine)
{
	struct arrival *r = machine->arrival;

	if (r->listener >= 0) {
		close(r->listener);
	}
	if (r->wire.fd >= 0) {
		close(r->wire.fd);
	}
	if (r->owner >= 0) {
		close(r->owner);
	}
	if (r->signals >= 0) {
		close(r->signals);
	}
	free(r->list);
	free(r);
	machine->arrival = NULL;
}

void arrival_end(struct machine *machine)
{
	struct arrival *r = machine->arrival;

	if (r != NULL) {
		/* Who does not hear it reads it in the owner file. */
		(void)!wire_send(&r->wire, WIRE_RUNS, NULL, 0, 1);
		destroy(machine);
	}
}

/*
 * The source is told why, if it still listens; it goes on with the machine by the file's word, not
 * by ours.
 */
void arrival_fail(struct machine *machine)
{
	struct arrival *r = machine->arrival;
	const char *why;

	if (r == NULL) {
		return;
	}
	why = r->why[0] != '\0' ? r->why : saved_why(machine);
	if (r->wire.fd >= 0) {
		wire_send_text(&r->wire, WIRE_FAILED,
			       why[0] != '\0' ? why : "it cannot be had there; its log says why");
	}
	destroy(machine);
}
