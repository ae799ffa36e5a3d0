/*
 * Requests on the control socket, one a line, from a client that may do everything or may only
 * look, with some descriptors: each has an answer of the right form, and no descriptor stays that
 * no disk has. Bytes from 0x80 on are words that requests are made of, so that many inputs get
 * further than the parser.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "disk/disk.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fake/networks.h"
#include "vsp/storage/storage.h"
#include "vmbus/vmbus.h"
#include "vsp/memory/balloon.h"
#include "vsp/socket/socket.h"
#include "worker/control.h"
#include "worker/save.h"

struct disk {
	int fds[CONTROL_FILES_MAX];
	unsigned int count;
};

struct storage {
	bool there[CONFIG_SCSI_MAX];
};

static struct storage controller;
static struct machine machine;
static struct config config = {.name = "fuzz", .memory = 64 << 20, .vps = 1};

int disk_open(const char *path, const struct disk_open *how, struct disk **disk,
	      struct disk_error *error)
{
	if (strlen(path) % 2) {
		strcpy(error->text, "refused");
		return -EINVAL;
	}
	*disk = calloc(1, sizeof(**disk));
	memcpy((*disk)->fds, how->fds, how->fd_count * sizeof(int));
	(*disk)->count = how->fd_count;
	return 0;
}

int disk_close(struct disk **disk, struct disk_error *error)
{
	(void)error;
	while ((*disk)->count != 0) {
		close((*disk)->fds[--(*disk)->count]);
	}
	free(*disk);
	*disk = NULL;
	return 0;
}

uint64_t disk_size(const struct disk *disk)
{
	return disk->count;
}

bool disk_is_read_only(const struct disk *disk)
{
	return disk->count % 2;
}

int storage_create(struct vmbus *bus, const struct storage_config *how, struct storage **storage)
{
	(void)bus;
	(void)how;
	*storage = &controller;
	return 0;
}

void storage_destroy(struct storage **storage)
{
	*storage = NULL;
}

int storage_attach(struct storage *storage, struct storage_address address,
		   const struct storage_unit *unit)
{
	(void)unit;
	EXPECT(!storage->there[address.lun]);
	storage->there[address.lun] = true;
	return 0;
}

int storage_detach(struct storage *storage, struct storage_address address)
{
	EXPECT(storage->there[address.lun]);
	storage->there[address.lun] = false;
	return 0;
}

int storage_change_medium(struct storage *storage, struct storage_address address,
			  struct disk *disk, bool force)
{
	(void)disk;
	EXPECT(storage->there[address.lun]);
	return force ? 0 : -EBUSY;
}

void storage_get_stats(struct storage *storage, struct storage_stats *stats)
{
	(void)storage;
	*stats = (struct storage_stats){0};
}

void board_power_button(struct board *board)
{
	(void)board;
}

void machine_end(struct machine *m, enum stop_reason reason)
{
	(void)m;
	(void)reason;
}

void machine_turn_off(struct machine *m)
{
	(void)m;
}

int machine_pause_vps(struct machine *m, struct job *job)
{
	(void)m;
	(void)job;
	return 0;
}

int machine_pause_bus(struct machine *m, struct job *job)
{
	(void)m;
	return job_commit(job) ? 0 : -ECANCELED;
}

bool machine_resume(struct machine *m)
{
	(void)m;
	return false;
}

int save_write(struct machine *m, int fd, struct job *job, struct disk_error *error)
{
	(void)m;
	(void)fd;
	(void)job;
	(void)error;
	return 0;
}

bool machine_hold(struct machine *m)
{
	(void)m;
	return false;
}

bool machine_is_held(struct machine *m)
{
	(void)m;
	return false;
}

void machine_release(struct machine *m)
{
	(void)m;
}

/* Threads of jobs run to their end at once: the same order each time, and no stack of a thread to
 * be made. */
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
			  void *argument);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*run)(void *),
			  void *argument)
{
	(void)attributes;
	*thread = pthread_self();
	run(argument);
	return 0;
}

int __wrap_pthread_join(pthread_t thread, void **result);
int __wrap_pthread_join(pthread_t thread, void **result)
{
	(void)thread;
	(void)result;
	return 0;
}

static void ended(void *user, const struct job *job)
{
	(void)user;
	json_decref(methods_job(job));
}

static void check_answer(json_t *answer)
{
	json_t *error = json_object_get(answer, "error");
	char *text = json_dumps(answer, JSON_COMPACT);

	EXPECT(text != NULL && json_object_get(answer, "id") != NULL);
	EXPECT((error != NULL) != (json_object_get(answer, "result") != NULL));
	if (error != NULL) {
		EXPECT(json_is_integer(json_object_get(error, "code")));
		EXPECT(json_string_length(json_object_get(error, "message")) != 0);
		EXPECT(json_is_string(json_object_get(json_object_get(error, "data"), "code")));
	}
	free(text);
	json_decref(answer);
}

#define HEAD "{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\""
#define TAIL "\",\"params\":{"

static const char *const words[] = {
	HEAD CONTROL_HELLO TAIL,
	HEAD CONTROL_STATUS TAIL,
	HEAD CONTROL_EVENTS TAIL,
	HEAD CONTROL_JOBS TAIL,
	HEAD CONTROL_CANCEL TAIL,
	HEAD CONTROL_PAUSE TAIL,
	HEAD CONTROL_RESUME TAIL,
	HEAD CONTROL_BUTTON TAIL,
	HEAD CONTROL_SHUTDOWN TAIL,
	HEAD CONTROL_VALUE_SET TAIL "\"pool\":\"guest\",\"key\":\"k\",\"value\":\"5\"",
	HEAD CONTROL_VALUE_LIST TAIL "\"pool\":\"auto\",\"from\":3}}\n",
	HEAD CONTROL_VALUE_GET TAIL "\"pool\":\"auto\",\"key\":\"",
	",\"type\":\"number64\"",
	HEAD CONTROL_SERVICE TAIL,
	HEAD CONTROL_SHUTDOWN TAIL "\"restart\":true}}\n",
	HEAD CONTROL_SERVICE TAIL "\"name\":\"time\",\"on\":false}}\n",
	HEAD CONTROL_RESET TAIL,
	HEAD CONTROL_OFF TAIL,
	HEAD CONTROL_ATTACH TAIL,
	HEAD CONTROL_DETACH TAIL,
	HEAD CONTROL_DVD TAIL,
	HEAD CONTROL_CHANGE TAIL,
	HEAD CONTROL_CONSOLE TAIL,
	HEAD CONTROL_NET_ADD TAIL,
	HEAD CONTROL_NET_ADD TAIL "\"network\":{\"switch\":\"lan\",\"vlan\":7,\"queues\":2}}}\n",
	HEAD CONTROL_NET_ADD TAIL "\"network\":{\"switch\":\"lan\",\"mac\":\"00:15:5d:00:00:01\"",
	HEAD CONTROL_NET_REMOVE TAIL "\"number\":0}}\n",
	HEAD CONTROL_NET_CONNECT TAIL "\"number\":0}}\n",
	HEAD CONTROL_ATTACH TAIL "\"number\":5,\"name\":\"ab\"}}\n",
	HEAD CONTROL_DETACH TAIL "\"number\":5}}\n",
	HEAD CONTROL_DVD TAIL "\"number\":5,\"name\":\"ab\"}}\n",
	HEAD CONTROL_CHANGE TAIL "\"number\":5,\"force\":true}}\n",
	HEAD CONTROL_CANCEL TAIL "\"job\":1}}\n",
	"\"number\":",
	"\"name\":\"",
	"\"versions\":[1,1]",
	"\"job\":",
	"\"force\":true",
	"\"raw\":true",
	"\"read-only\":false",
	"\"on\":false",
	"}}\n",
	"}}\n",
	"[[[[[[[[[[[[[[[[",
	"99999999999999999999",
	"\\u0000",
	"null",
	"\xc3\xa9",
	"\xff",
};

static void run_line(struct control *control, const char *line, size_t length, unsigned int files)
{
	struct rpc_request request = {.server = control, .peer = &control->clients[0].peer};

	while (request.fd_count < files) {
		request.fds[request.fd_count++] = open("/dev/null", O_RDWR | O_CLOEXEC);
	}
	check_answer(methods_answer(&request, line, length));
	while (request.fd_count != 0) {
		close(request.fds[--request.fd_count]);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct control control;
	static char text[1 << 16];
	const char *at = text, *end;
	size_t left, length;
	int first;

	memset(&control, 0, sizeof(control));
	memset(&machine, 0, sizeof(machine));
	memset(&controller, 0, sizeof(controller));
	machine.config = &config;
	machine.stop_event = -1;
	machine.disks.scsi = &controller;
	machine.serial.in = machine.serial.out = machine.serial.listener = -1;
	control.machine = &machine;
	control.clients[0].peer.may_change = size == 0 || data[0] % 8 != 0;
	control.clients[0].peer.greeted = true;
	first = dup(0);
	EXPECT(jobs_create(&control.jobs, ended, &control) == 0);
	EXPECT(services_create(&machine));
	EXPECT(networks_attach(&machine));
	for (left = fuzz_expand(data, size, words, ARRAY_COUNT(words), text, sizeof(text));
	     left != 0; left -= length) {
		end = memchr(at, '\n', left);
		length = end != NULL ? (size_t)(end - at) : left;
		run_line(&control, at, length, size % 3);
		length += end != NULL;
		at += length;
		jobs_serve(&control.jobs);
	}
	jobs_begin_end(&control.jobs);
	while (!jobs_all_ended(&control.jobs)) {
		jobs_serve(&control.jobs);
	}
	networks_detach(&machine);
	networks_close(&machine);
	EXPECT(fake_networks.ports == 0 && fake_networks.adapters == 0);
	services_destroy(&machine);
	EXPECT(disks_close(&machine));
	close(control.jobs.event);
	close(first);
	/* The lowest free descriptor is what it was. */
	EXPECT(dup(0) == first);
	close(first);
	return 0;
}
