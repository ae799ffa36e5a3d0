/*
 * The control socket (worker/control.c, methods.c), its jobs (job.c) and the disks that they move
 * (disks.c), with disks and a controller that block where a test says so: files at a server that
 * does not answer, a guest's request that does not end.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

#include "disk/disk.h"
#include "hosted/packet.h"
#include "tests/fake/assigned.h"
#include "tests/fake/integration.h"
#include "tests/fake/networks.h"
#include "vsp/integration/host.h"
#include "vsp/network/netport.h"
#include "vsp/storage/storage.h"
#include "vmbus/vmbus.h"
#include "vsp/memory/balloon.h"
#include "vsp/socket/socket.h"
#include "worker/control.h"
#include "worker/save.h"

/* ---- A disk library and a controller ---- */

struct disk {
	int fds[CONTROL_FILES_MAX];
	unsigned int count;
};

struct storage {
	struct disk *units[CONFIG_SCSI_MAX];
	bool there[CONFIG_SCSI_MAX];
};

/* Where a job's thread stands, until it is let go. */
enum place {
	AT_NOTHING,
	AT_OPEN,
	AT_ATTACH,
	AT_DETACH,
	AT_MEDIUM,
	AT_CLOSE,
	AT_PAUSE,
	AT_SAVE,
	AT_SWITCH
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t changed = PTHREAD_COND_INITIALIZER;
static enum place gate;      /* closed there */
static unsigned int at_gate; /* threads that wait */
static atomic_int disks_open_count;
static int open_result, attach_result, medium_result, close_result;

static void pass_gate(enum place place)
{
	pthread_mutex_lock(&lock);
	at_gate += gate == place;
	pthread_cond_broadcast(&changed);
	while (gate == place) {
		pthread_cond_wait(&changed, &lock);
	}
	pthread_mutex_unlock(&lock);
}

static void set_gate(enum place place)
{
	pthread_mutex_lock(&lock);
	gate = place;
	at_gate = 0;
	pthread_cond_broadcast(&changed);
	pthread_mutex_unlock(&lock);
}

static void wait_at_gate(unsigned int count)
{
	pthread_mutex_lock(&lock);
	while (at_gate < count) {
		pthread_cond_wait(&changed, &lock);
	}
	pthread_mutex_unlock(&lock);
}

int disk_open(const char *path, const struct disk_open *how, struct disk **disk,
	      struct disk_error *error)
{
	pass_gate(AT_OPEN);
	if (open_result != 0) {
		snprintf(error->text, sizeof(error->text), "%s: no disk", path);
		return open_result;
	}
	*disk = calloc(1, sizeof(**disk));
	(*disk)->count = how->fd_count;
	memcpy((*disk)->fds, how->fds, how->fd_count * sizeof(int));
	disks_open_count++;
	return 0;
}

int disk_close(struct disk **disk, struct disk_error *error)
{
	pass_gate(AT_CLOSE);
	while ((*disk)->count != 0) {
		assert_int_equal(close((*disk)->fds[--(*disk)->count]), 0);
	}
	free(*disk);
	*disk = NULL;
	disks_open_count--;
	if (close_result != 0) {
		snprintf(error->text, sizeof(error->text), "a.vhdx: cannot be written");
	}
	return close_result;
}

uint64_t disk_size(const struct disk *disk)
{
	return disk->count << 20;
}

bool disk_is_read_only(const struct disk *disk)
{
	(void)disk;
	return false;
}

int storage_create(struct vmbus *bus, const struct storage_config *config, struct storage **storage)
{
	(void)bus;
	(void)config;
	*storage = calloc(1, sizeof(**storage));
	return 0;
}

void storage_destroy(struct storage **storage)
{
	free(*storage);
	*storage = NULL;
}

int storage_attach(struct storage *storage, struct storage_address address,
		   const struct storage_unit *unit)
{
	pass_gate(AT_ATTACH);
	if (attach_result != 0) {
		return attach_result;
	}
	assert_false(storage->there[address.lun]);
	storage->there[address.lun] = true;
	storage->units[address.lun] = unit->disk;
	return 0;
}

int storage_detach(struct storage *storage, struct storage_address address)
{
	pass_gate(AT_DETACH);
	assert_true(storage->there[address.lun]);
	storage->there[address.lun] = false;
	return 0;
}

int storage_change_medium(struct storage *storage, struct storage_address address,
			  struct disk *disk, bool force)
{
	pass_gate(AT_MEDIUM);
	if (medium_result != 0 && !force) {
		return medium_result;
	}
	storage->units[address.lun] = disk;
	return 0;
}

void storage_get_stats(struct storage *storage, struct storage_stats *stats)
{
	(void)storage;
	*stats = (struct storage_stats){.reads = 7};
}

static void connecting(void)
{
	pass_gate(AT_SWITCH);
}

/* ---- A machine ---- */

static struct machine machine;
static unsigned int buttons;

void board_power_button(struct board *board)
{
	(void)board;
	buttons++;
}

void machine_end(struct machine *m, enum stop_reason reason)
{
	m->stop = reason;
}

void machine_turn_off(struct machine *m)
{
	machine_end(m, STOP_REQUEST);
}

int machine_pause_vps(struct machine *m, struct job *job)
{
	(void)job;
	atomic_store(&m->pause.state, PAUSE_ASKED);
	pass_gate(AT_PAUSE);
	return 0;
}

/* How often the devices are found not to stand yet. */
static unsigned int bus_looks;

int machine_pause_bus(struct machine *m, struct job *job)
{
	if (atomic_load(&m->pause.state) == PAUSE_NONE) {
		return -ECANCELED;
	}
	if (bus_looks != 0 && !job_cancelled(job)) {
		bus_looks--;
		return -EAGAIN;
	}
	if (!job_commit(job)) {
		atomic_store(&m->pause.state, PAUSE_NONE);
		return -ECANCELED;
	}
	atomic_store(&m->pause.state, PAUSE_DONE);
	return 0;
}

bool machine_resume(struct machine *m)
{
	return atomic_exchange(&m->pause.state, PAUSE_NONE) != PAUSE_NONE;
}

static int save_result;
static atomic_bool held;

int save_write(struct machine *m, int fd, struct job *job, struct disk_error *error)
{
	assert_true(machine_is_held(m));
	assert_int_equal(write(fd, "state", 5), 5);
	pass_gate(AT_SAVE);
	if (save_result != 0) {
		snprintf(error->text, sizeof(error->text), "the disk is full");
	}
	return job_commit(job) ? save_result : -ECANCELED;
}

bool machine_hold(struct machine *m)
{
	return atomic_load(&m->pause.state) == PAUSE_DONE && !atomic_exchange(&held, true);
}

bool machine_is_held(struct machine *m)
{
	(void)m;
	return atomic_load(&held);
}

void machine_release(struct machine *m)
{
	(void)m;
	atomic_store(&held, false);
}

/* Who the kernel says has connected. */
static uid_t peer_uid;
int __wrap_getsockopt(int fd, int level, int name, void *value, socklen_t *size);
int __wrap_getsockopt(int fd, int level, int name, void *value, socklen_t *size)
{
	assert_int_equal(level, SOL_SOCKET);
	assert_int_equal(name, SO_PEERCRED);
	assert_int_equal(*size, sizeof(struct ucred));
	(void)fd;
	((struct ucred *)value)->uid = peer_uid;
	return 0;
}

/* ---- Clients ---- */

static char folder[] = "/tmp/control_test_XXXXXX";
static char path[64];
static struct config config = {
	.name = "box", .control = {.path = path, .fd = -1}, .memory = 64 << 20, .vps = 2};
static int descriptors_before;

static int count_descriptors(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int count = 0;

	while (readdir(dir) != NULL) {
		count++;
	}
	closedir(dir);
	return count;
}

/* As loop_close() does. */
static void come_to_the_end(void)
{
	control_begin_end(&machine);
	while (!control_has_ended(&machine)) {
		control_serve(&machine);
		usleep(1000);
	}
	control_destroy(&machine, "power-off");
}

static int start(void **state)
{
	(void)state;
	descriptors_before = count_descriptors();
	machine = (struct machine){
		.config = &config,
		.stop_event = -1,
		.serial = {.kind = SERIAL_UNIX, .in = -1, .out = -1, .listener = -1}};
	open_result = attach_result = medium_result = close_result = 0;
	peer_uid = 0;
	set_gate(AT_NOTHING);
	fake_networks.connect_result = fake_networks.create_result = 0;
	fake_networks.connecting = connecting;
	assert_true(disks_attach(&machine));
	assert_true(networks_attach(&machine));
	assert_true(services_create(&machine));
	assert_true(control_create(&machine));
	return 0;
}

static int stop(void **state)
{
	(void)state;
	set_gate(AT_NOTHING);
	come_to_the_end();
	services_destroy(&machine);
	assert_true(disks_close(&machine));
	networks_detach(&machine);
	networks_close(&machine);
	assert_int_equal(fake_networks.ports, 0);
	assert_int_equal(fake_networks.adapters, 0);
	if (machine.serial.in >= 0) {
		close(machine.serial.in);
		close(machine.serial.out);
	}
	assert_int_equal(disks_open_count, 0);
	assert_int_equal(count_descriptors(), descriptors_before);
	return 0;
}

static int join(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0);

	strcpy(address.sun_path, path);
	assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	control_serve(&machine);
	return fd;
}

/* The next message, or NULL if there is none now, or the worker has hung up. */
static json_t *next(int fd)
{
	static char text[CONTROL_MESSAGE_MAX];
	ssize_t length;

	control_serve(&machine);
	length = recv(fd, text, sizeof(text), 0);
	return length > 0 ? json_loadb(text, (size_t)length, 0, NULL) : NULL;
}

static json_t *await(int fd)
{
	static const struct timespec moment = {.tv_nsec = 200000};
	json_t *message = next(fd);

	while (message == NULL) {
		nanosleep(&moment, NULL);
		message = next(fd);
	}
	return message;
}

static bool has_hung_up(int fd)
{
	char byte;

	control_serve(&machine);
	return recv(fd, &byte, 1, MSG_PEEK) == 0;
}

static const char *sent_file = "/dev/null"; /* whose descriptors come along */

static void send_bytes(int fd, const void *text, size_t length, int files)
{
	int fds[CONTROL_FILES_MAX], i, file = open(sent_file, O_RDWR);

	for (i = 0; i < files; i++) {
		fds[i] = file;
	}
	assert_int_equal(packet_send(fd, 0, text, length, fds, (unsigned int)files), 0);
	close(file);
}

static void put(int fd, const char *text, int files)
{
	send_bytes(fd, text, strlen(text), files);
}

/* The answer to a method, events in front of it left out. */
static json_t *call(int fd, const char *method, const char *params, int files)
{
	char text[8192];
	json_t *message;

	snprintf(text, sizeof(text),
		 "{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"%s\",\"params\":%s}", method, params);
	put(fd, text, files);
	message = await(fd);
	while (json_object_get(message, "method") != NULL) {
		json_decref(message);
		message = await(fd);
	}
	assert_int_equal(json_integer_value(json_object_get(message, "id")), 5);
	return message;
}

static const char *text_at(const json_t *value, const char *a, const char *b)
{
	value = json_object_get(value, a);
	value = b != NULL ? json_object_get(value, b) : value;
	return json_string_value(value) != NULL ? json_string_value(value) : "";
}

static int greet(void)
{
	int fd = join();

	json_decref(call(fd, "hello", "{\"versions\":[1,1]}", 0));
	return fd;
}

static void takes(int fd, const char *method, const char *params, int files)
{
	json_t *message = call(fd, method, params, files);

	if (json_object_get(message, "result") == NULL) {
		fail_msg("%s: %s", method, text_at(message, "error", "message"));
	}
	json_decref(message);
}

static void check_error(json_t *message, const char *code, const char *field)
{
	const json_t *error = json_object_get(message, "error");

	assert_string_equal(text_at(error, "data", "code"), code);
	assert_string_equal(text_at(error, "data", "field"), field);
	assert_true(*text_at(error, "message", NULL) != '\0');
	assert_true(json_is_integer(json_object_get(error, "code")));
	json_decref(message);
}

static void refuses(int fd, const char *method, const char *params, int files, const char *code,
		    const char *field)
{
	check_error(call(fd, method, params, files), code, field);
}

/* The state of a job by its number. */
static const char *job_is(int fd, int id)
{
	static char state[32];
	json_t *message = call(fd, "jobs", "{}", 0), *job;
	size_t i;

	strcpy(state, "forgotten");
	json_array_foreach(json_object_get(json_object_get(message, "result"), "jobs"), i, job)
	{
		if (json_integer_value(json_object_get(job, "id")) == id) {
			strcpy(state, text_at(job, "state", NULL));
		}
	}
	json_decref(message);
	return state;
}

static void await_job(int fd, int id, const char *state)
{
	const char *is = job_is(fd, id);

	while (strcmp(is, "running") == 0 || strcmp(is, "queued") == 0) {
		usleep(200);
		is = job_is(fd, id);
	}
	assert_string_equal(is, state);
}

/* ---- Tests ---- */

static void hello(void **state)
{
	int fd = join();
	json_t *message;

	(void)state;
	refuses(fd, "status", "{}", 0, "version", "");
	refuses(fd, "hello", "{\"versions\":[2,3]}", 0, "version", "");
	refuses(fd, "hello", "{}", 0, "invalid", "params.versions");
	refuses(fd, "hello", "{\"versions\":[1]}", 0, "invalid", "params.versions");
	refuses(fd, "hello", "{\"versions\":[1,\"2\"]}", 0, "invalid", "params.versions[1]");
	refuses(fd, "hello", "{\"versions\":[0,1]}", 0, "invalid", "params.versions[0]");
	refuses(fd, "hello", "{\"versions\":[1,2,3]}", 0, "invalid", "params.versions");
	refuses(fd, "status", "{}", 0, "version", "");
	message = call(fd, "hello", "{\"versions\":[1,7]}", 0);
	assert_string_equal(text_at(message, "result", "name"), "box");
	assert_int_equal(
		json_integer_value(json_object_get(json_object_get(message, "result"), "version")),
		1);
	json_decref(message);
	message = call(fd, "status", "{}", 0);
	assert_string_equal(text_at(message, "result", "state"), "running");
	json_decref(message);
	close(fd);
}

/* What is no request: its id is null, and the connection goes on. */
static void no_requests(void **state)
{
	static const struct {
		const char *text, *code, *field;
	} wrong[] = {
		{"x", "parse", ""},
		{"{", "parse", ""},
		{"{} {}", "parse", ""},
		{"{\"id\":1,\"id\":2}", "parse", ""},
		{"{\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"a\\u0000b\"}", "parse", ""},
		{"\xff", "parse", ""},
		{"1", "request", ""},
		{"[]", "request", ""},
		{"null", "request", ""},
		{"{}", "request", "id"},
		{"{\"jsonrpc\":\"2.0\",\"method\":\"status\"}", "request", "id"},
		{"{\"jsonrpc\":\"2.0\",\"id\":null,\"method\":\"status\"}", "request", "id"},
		{"{\"jsonrpc\":\"2.0\",\"id\":1.5,\"method\":\"status\"}", "request", "id"},
		{"{\"frob\":1}", "request", "frob"},
	};
	char deep[4000];
	int fd = greet();
	json_t *message;

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		put(fd, wrong[i].text, 0);
		message = await(fd);
		assert_true(json_is_null(json_object_get(message, "id")));
		check_error(message, wrong[i].code, wrong[i].field);
	}
	memset(deep, '[', sizeof(deep));
	send_bytes(fd, deep, sizeof(deep), 0);
	check_error(await(fd), "parse", "");
	/* With an id it is answered to that. */
	put(fd, "{\"id\":\"me\",\"method\":\"status\"}", 0);
	message = await(fd);
	assert_string_equal(text_at(message, "id", NULL), "me");
	check_error(message, "request", "jsonrpc");
	put(fd, "{\"jsonrpc\":\"1.0\",\"id\":4,\"method\":\"status\"}", 0);
	check_error(await(fd), "request", "jsonrpc");
	takes(fd, "status", "{}", 0);
	close(fd);
}

static void wrong_parameters(void **state)
{
	static const struct {
		const char *method, *params, *code, *field;
	} wrong[] = {
		{"frob", "{}", "method", ""},
		{"status", "[]", "invalid", "params"},
		{"status", "{\"x\":1}", "invalid", "params.x"},
		{"pause", "{\"x\":1}", "invalid", "params.x"},
		{"disk.detach", "{}", "invalid", "params.number"},
		{"disk.detach", "{\"number\":64}", "invalid", "params.number"},
		{"disk.detach", "{\"number\":-1}", "invalid", "params.number"},
		{"disk.detach", "{\"number\":\"5\"}", "invalid", "params.number"},
		{"disk.detach", "{\"number\":1.0}", "invalid", "params.number"},
		{"disk.detach", "{\"number\":99999999999}", "invalid", "params.number"},
		{"disk.detach", "{\"number\":5}", "not-found", ""},
		{"dvd.change", "{\"number\":5}", "not-found", ""},
		{"dvd.change", "{\"number\":5,\"force\":1}", "invalid", "params.force"},
		{"dvd.attach", "{\"number\":5,\"name\":7}", "invalid", "params.name"},
		{"dvd.attach", "{\"number\":5,\"name\":\"\"}", "invalid", "params.name"},
		{"dvd.attach", "{\"number\":5,\"name\":\"a\\nb\"}", "invalid", "params.name"},
		{"disk.attach", "{\"number\":5,\"name\":\"a\"}", "descriptors", ""},
		{"job.cancel", "{\"job\":1}", "not-found", ""},
		{"job.cancel", "{\"job\":0}", "invalid", "params.job"},
		{"events", "{\"on\":\"yes\"}", "invalid", "params.on"},
		{"resume", "{}", "state", ""},
		{"console", "{}", "descriptors", ""},
		{"socket", "{}", "descriptors", ""},
	};
	int fd = greet();

	(void)state;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		refuses(fd, wrong[i].method, wrong[i].params, 0, wrong[i].code, wrong[i].field);
	}
	close(fd);
}

/* A request with one end of a pair of sockets; the other end is the switch's. */
static json_t *call_with_switch(int fd, const char *method, const char *params, int *end)
{
	char text[512];
	int pair[2];
	json_t *message;

	assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
	snprintf(text, sizeof(text),
		 "{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"%s\",\"params\":%s}", method, params);
	assert_int_equal(packet_send(fd, 0, text, strlen(text), &pair[1], 1), 0);
	close(pair[1]);
	*end = pair[0];
	for (message = await(fd); json_object_get(message, "method") != NULL; message = await(fd)) {
		json_decref(message);
	}
	return message;
}

/* The job of an answer. */
static int job_of(json_t *message)
{
	const json_t *job = json_object_get(json_object_get(message, "result"), "job");
	int id = (int)json_integer_value(json_object_get(job, "id"));

	assert_non_null(job);
	json_decref(message);
	return id;
}

static json_t *adapter(int fd, size_t index)
{
	json_t *message = call(fd, "status", "{}", 0);
	json_t *list = json_object_get(json_object_get(message, "result"), "networks");
	json_t *found = json_incref(json_array_get(list, index));

	json_decref(message);
	return found;
}

static void expect_event(int fd, const char *event, const char *change)
{
	json_t *message = await(fd);

	while (strcmp(text_at(message, "params", "event"), event) != 0) {
		json_decref(message);
		message = await(fd);
	}
	assert_string_equal(text_at(message, "params", "change"), change);
	json_decref(message);
}

static void adapters(void **state)
{
	static const char wanted[] = "{\"network\":{\"switch\":\"lan\",\"vlan\":7,\"queues\":3}}";
	int fd = greet(), end, other, i, ends[16];
	json_t *object;

	(void)state;
	takes(fd, "events", "{}", 0);
	refuses(fd, "network.add", wanted, 0, "descriptors", "");
	refuses(fd, "network.add", "{}", 1, "invalid", "params.network");
	refuses(fd, "network.add", "{\"network\":{\"port\":\"a\"}}", 1, "invalid",
		"params.network.switch");
	refuses(fd, "network.add", "{\"network\":{\"switch\":\"lan\",\"vlan\":4095}}", 1, "invalid",
		"params.network.vlan");
	refuses(fd, "network.add", "{\"network\":{\"switch\":\"lan\",\"socket\":{\"fd\":0}}}", 1,
		"invalid", "params.network.socket");
	refuses(fd, "network.remove", "{\"number\":0}", 0, "not-found", "");
	refuses(fd, "network.remove", "{\"number\":16}", 0, "invalid", "params.number");
	refuses(fd, "network.connect", "{\"number\":0}", 1, "not-found", "");

	await_job(fd, job_of(call_with_switch(fd, "network.add", wanted, &end)), "done");
	object = adapter(fd, 0);
	assert_string_equal(text_at(object, "switch", NULL), "lan");
	assert_string_equal(text_at(object, "port", NULL), "box-0");
	assert_string_equal(text_at(object, "address", NULL), "00:15:5d:01:02:03");
	assert_int_equal(json_integer_value(json_object_get(object, "vlan")), 7);
	assert_int_equal(json_integer_value(json_object_get(object, "queues")), 3);
	assert_int_equal(json_integer_value(json_object_get(object, "frames-in")), 3);
	assert_int_equal(json_integer_value(
				 json_object_get(json_object_get(object, "refused"), "bad-frame")),
			 5);
	assert_true(json_is_true(json_object_get(object, "connected")));
	json_decref(object);
	check_error(call_with_switch(fd, "network.connect", "{\"number\":0}", &other), "state", "");
	close(other);

	/* The switch goes, and another one comes. */
	close(end);
	networks_serve(&machine);
	expect_event(fd, "networks", "lost");
	object = adapter(fd, 0);
	assert_false(json_is_true(json_object_get(object, "connected")));
	json_decref(object);
	await_job(fd, job_of(call_with_switch(fd, "network.connect", "{\"number\":0}", &end)),
		  "done");
	object = adapter(fd, 0);
	assert_true(json_is_true(json_object_get(object, "connected")));
	json_decref(object);
	assert_int_equal(fake_networks.ports, 1);

	/* As many as there may be; those without words have a queue for each VP. */
	for (i = 1; i < 16; i++) {
		await_job(fd,
			  job_of(call_with_switch(fd, "network.add",
						  "{\"network\":{\"switch\":\"b\"}}", &ends[i])),
			  "done");
	}
	object = adapter(fd, 15);
	assert_string_equal(text_at(object, "port", NULL), "box-15");
	assert_int_equal(json_integer_value(json_object_get(object, "queues")), 2);
	json_decref(object);
	check_error(call_with_switch(fd, "network.add", wanted, &other), "limit", "");
	close(other);
	await_job(fd, job_of(call(fd, "network.remove", "{\"number\":3}", 0)), "done");
	assert_int_equal(fake_networks.adapters, 15);
	await_job(fd, job_of(call_with_switch(fd, "network.add", wanted, &other)), "done");
	object = adapter(fd, 3);
	assert_string_equal(text_at(object, "port", NULL), "box-3");
	json_decref(object);
	close(other);
	close(end);
	for (i = 1; i < 16; i++) {
		close(ends[i]);
	}
	networks_serve(&machine);
	close(fd);
}

/* What does not come to its end leaves nothing; stop() counts. */
static void adapters_that_fail(void **state)
{
	static const char wanted[] = "{\"network\":{\"switch\":\"lan\"}}";
	int fd = greet(), end, id;

	(void)state;
	fake_networks.connect_result = -ENOENT;
	await_job(fd, job_of(call_with_switch(fd, "network.add", wanted, &end)), "failed");
	close(end);
	fake_networks.connect_result = 0;
	fake_networks.create_result = -ENOSPC;
	await_job(fd, job_of(call_with_switch(fd, "network.add", wanted, &end)), "failed");
	close(end);
	fake_networks.create_result = 0;
	set_gate(AT_SWITCH);
	id = job_of(call_with_switch(fd, "network.add", wanted, &end));
	wait_at_gate(1);
	takes(fd, "job.cancel", "{\"job\":3}", 0);
	set_gate(AT_NOTHING);
	await_job(fd, id, "cancelled");
	close(end);
	assert_int_equal(fake_networks.adapters, 0);
	/* Two at once have two numbers; one is in one job's hands. */
	set_gate(AT_SWITCH);
	id = job_of(call_with_switch(fd, "network.add", wanted, &end));
	close(end);
	(void)job_of(call_with_switch(fd, "network.add", wanted, &end));
	close(end);
	wait_at_gate(2);
	refuses(fd, "network.remove", "{\"number\":1}", 0, "busy", "");
	set_gate(AT_NOTHING);
	await_job(fd, id, "done");
	await_job(fd, id + 1, "done");
	assert_int_equal(fake_networks.adapters, 2);
	close(fd);
}

/* Whatever comes with a request that is refused is closed: stop() counts. */
static void devices(void **state)
{
	static const char *const one = "{\"pci\":\"0000:00:05.0\"}";
	int fd = greet(), before = count_descriptors(), job;

	(void)state;
	fake_assigned = (struct fake_assigned){0};
	takes(fd, "events", "{}", 0);
	refuses(fd, "device.add", one, 0, "descriptors", "");
	refuses(fd, "device.add", one, 3, "descriptors", "");
	refuses(fd, "device.add", "{}", 2, "invalid", "params.pci");
	refuses(fd, "device.add", "{\"pci\":\"00:05.0\"}", 2, "invalid", "params.pci");
	refuses(fd, "device.add", "{\"pci\":\"0000:00:05.8\"}", 2, "invalid", "params.pci");
	refuses(fd, "device.add", "{\"pci\":5}", 2, "invalid", "params.pci");
	refuses(fd, "device.remove", one, 0, "not-found", "");
	assert_int_equal(count_descriptors(), before);

	job = job_of(call(fd, "device.add", one, 2));
	expect_event(fd, "devices", "added");
	await_job(fd, job, "done");
	fake_assigned.name = "0000:00:05.0";
	refuses(fd, "device.add", one, 1, "busy", "");
	await_job(fd, job_of(call(fd, "device.add", "{\"pci\":\"0000:00:06.0\"}", 1)), "done");
	await_job(fd, job_of(call(fd, "device.remove", one, 0)), "done");
	assert_int_equal(fake_assigned.prepared, 3);
	assert_int_equal(count_descriptors(), before);

	/* Of a guest that stands only by force. */
	await_job(fd, job_of(call(fd, "pause", "{}", 0)), "done");
	refuses(fd, "device.remove", one, 0, "state", "");
	await_job(fd,
		  job_of(call(fd, "device.remove", "{\"pci\":\"0000:00:05.0\",\"force\":true}", 0)),
		  "done");
	fake_assigned.name = NULL;
	close(fd);
}

/* One that carries an adapter's frames: of one that is there, which has no other, and stays as long
 * as it. */
static void an_adapters_function(void **state)
{
	static const char *const one = "{\"pci\":\"0000:01:10.0\",\"adapter\":0}";
	static const char *const other = "{\"pci\":\"0000:01:10.2\",\"adapter\":0}";
	int fd = greet(), end;
	json_t *object;

	(void)state;
	fake_assigned = (struct fake_assigned){0};
	takes(fd, "events", "{}", 0);
	refuses(fd, "device.add", one, 2, "state", "");
	refuses(fd, "device.add", "{\"pci\":\"0000:01:10.0\",\"adapter\":16}", 2, "invalid",
		"params.adapter");
	await_job(fd,
		  job_of(call_with_switch(fd, "network.add", "{\"network\":{\"switch\":\"lan\"}}",
					  &end)),
		  "done");
	object = adapter(fd, 0);
	assert_null(json_object_get(object, "function"));
	json_decref(object);
	await_job(fd, job_of(call(fd, "device.add", one, 2)), "done");
	assert_int_equal(fake_assigned.of_adapter, 1);
	fake_assigned.name = "0000:01:10.0";
	object = adapter(fd, 0);
	assert_string_equal(text_at(object, "function", NULL), "0000:01:10.0");
	assert_string_equal(text_at(object, "path", NULL), "switch");
	json_decref(object);
	refuses(fd, "device.add", other, 2, "busy", "");
	refuses(fd, "network.remove", "{\"number\":0}", 0, "state", "");
	fake_assigned = (struct fake_assigned){0};
	await_job(fd, job_of(call(fd, "network.remove", "{\"number\":0}", 0)), "done");
	close(fd);
	close(end);
}

/* A device may write anywhere in the guest's memory. */
static void no_device_beside_dynamic_memory(void **state)
{
	int fd = greet();

	(void)state;
	machine.balloon = (struct balloon *)&machine;
	refuses(fd, "device.add", "{\"pci\":\"0000:00:05.0\"}", 2, "state", "");
	machine.balloon = NULL;
	close(fd);
}

static void descriptors_of_refused_requests(void **state)
{
	static char longer[CONTROL_MESSAGE_MAX + 1];
	int fd = greet(), other = greet();

	(void)state;
	refuses(fd, "status", "{}", 1, "descriptors", "");
	refuses(fd, "dvd.attach", "{\"number\":5}", 2, "descriptors", "");
	refuses(fd, "disk.attach", "{\"number\":99,\"name\":\"a\"}", CONTROL_FILES_MAX, "invalid",
		"params.number");
	refuses(fd, "frob", "{}", 3, "method", "");
	put(fd, "no JSON", 3);
	check_error(await(fd), "parse", "");
	memset(longer, ' ', sizeof(longer));
	send_bytes(fd, longer, sizeof(longer), 3);
	check_error(await(fd), "limit", "");
	takes(fd, "disk.attach", "{\"number\":1,\"name\":\"a\"}", 1);
	await_job(fd, 1, "done");
	refuses(fd, "disk.attach", "{\"number\":1,\"name\":\"a\"}", 2, "busy", "");
	/* An empty packet is the end, and may bring descriptors too. */
	send_bytes(other, "", 0, 3);
	assert_true(has_hung_up(other));
	close(other);
	close(fd);
}

static void status_tells_of_disks(void **state)
{
	int fd = greet();
	char name[CONTROL_NAME_MAX + 2], params[CONTROL_NAME_MAX + 100];
	json_t *message, *disks;

	(void)state;
	/* No name is cut. */
	memset(name, 'n', CONTROL_NAME_MAX);
	name[CONTROL_NAME_MAX] = '\0';
	snprintf(params, sizeof(params), "{\"number\":5,\"name\":\"%s\"}", name);
	takes(fd, "disk.attach", params, 3);
	takes(fd, "dvd.attach", "{\"number\":7}", 0);
	await_job(fd, 2, "done");
	await_job(fd, 1, "done");
	message = call(fd, "status", "{}", 0);
	disks = json_object_get(json_object_get(message, "result"), "disks");
	assert_int_equal(json_array_size(disks), 2);
	assert_string_equal(text_at(json_array_get(disks, 0), "name", NULL), name);
	assert_int_equal(json_integer_value(json_object_get(json_array_get(disks, 0), "size")),
			 3 << 20);
	assert_string_equal(text_at(json_array_get(disks, 1), "kind", NULL), "dvd");
	assert_null(json_object_get(json_array_get(disks, 1), "name"));
	json_decref(message);
	takes(fd, "disk.detach", "{\"number\":5}", 0);
	await_job(fd, 3, "done");
	takes(fd, "dvd.change", "{\"number\":7,\"name\":\"b.iso\"}", 1);
	await_job(fd, 4, "done");
	message = call(fd, "status", "{}", 0);
	disks = json_object_get(json_object_get(message, "result"), "disks");
	assert_int_equal(json_array_size(disks), 1);
	assert_string_equal(text_at(json_array_get(disks, 0), "name", NULL), "b.iso");
	json_decref(message);
	refuses(fd, "dvd.attach", "{\"number\":7}", 0, "busy", "");
	strcpy(name + CONTROL_NAME_MAX, "n");
	snprintf(params, sizeof(params), "{\"number\":5,\"name\":\"%s\"}", name);
	refuses(fd, "disk.attach", params, 1, "invalid", "params.name");
	close(fd);
}

/* A file that does not answer: everybody else goes on. */
static void an_open_that_hangs(void **state)
{
	int fd = greet(), other = greet();
	json_t *message;

	(void)state;
	set_gate(AT_OPEN);
	message = call(fd, "disk.attach", "{\"number\":5,\"name\":\"a.vhdx\"}", CONTROL_FILES_MAX);
	assert_string_equal(text_at(json_object_get(message, "result"), "job", "state"), "running");
	json_decref(message);
	wait_at_gate(1);
	message = call(other, "jobs", "{}", 0);
	assert_string_equal(
		text_at(json_array_get(json_object_get(json_object_get(message, "result"), "jobs"),
				       0),
			"step", NULL),
		"opening the files");
	json_decref(message);
	refuses(other, "disk.attach", "{\"number\":5,\"name\":\"b\"}", 1, "busy", "");
	refuses(other, "disk.detach", "{\"number\":5}", 0, "busy", "");
	takes(other, "status", "{}", 0);
	takes(other, "dvd.attach", "{\"number\":6}", 0);
	await_job(other, 2, "done");
	/* Its client goes; the result stays. */
	close(fd);
	control_serve(&machine);
	set_gate(AT_NOTHING);
	await_job(other, 1, "done");
	close(other);
}

/* Cancelled at each step: before the guest sees it, it leaves nothing; afterwards it is not taken
 * back. */
static void cancel_at_each_step(void **state)
{
	static const struct {
		enum place gate;
		const char *method, *params;
		int files;
		bool cancels;
		const char *ends;
	} steps[] = {
		{AT_OPEN, "disk.attach", "{\"number\":5,\"name\":\"a\"}", 9, true, "cancelled"},
		{AT_ATTACH, "disk.attach", "{\"number\":5,\"name\":\"a\"}", 9, false, "done"},
		{AT_DETACH, "disk.detach", "{\"number\":5}", 0, false, "done"},
		{AT_ATTACH, "dvd.attach", "{\"number\":6}", 0, false, "done"},
		{AT_OPEN, "dvd.change", "{\"number\":6,\"name\":\"b\"}", 1, true, "cancelled"},
		{AT_MEDIUM, "dvd.change", "{\"number\":6,\"name\":\"b\"}", 1, false, "done"},
		{AT_CLOSE, "dvd.change", "{\"number\":6}", 0, false, "done"},
		{AT_OPEN, "dvd.change", "{\"number\":6,\"name\":\"c\"}", 1, true, "cancelled"},
		{AT_DETACH, "disk.detach", "{\"number\":6}", 0, false, "done"},
		{AT_PAUSE, "pause", "{}", 0, true, "cancelled"},
	};
	int fd = greet(), id = 0;
	char params[64];

	(void)state;
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		int before = disks_open_count;

		set_gate(steps[i].gate);
		takes(fd, steps[i].method, steps[i].params, steps[i].files);
		wait_at_gate(1);
		snprintf(params, sizeof(params), "{\"job\":%d}", ++id);
		if (steps[i].cancels) {
			takes(fd, "job.cancel", params, 0);
			takes(fd, "job.cancel", params, 0);
		} else {
			refuses(fd, "job.cancel", params, 0, "state", "");
		}
		set_gate(AT_NOTHING);
		await_job(fd, id, steps[i].ends);
		refuses(fd, "job.cancel", params, 0, "state", "");
		assert_true(!steps[i].cancels || disks_open_count == before);
	}
	/* Also one that fails by itself when it comes back. */
	set_gate(AT_OPEN);
	open_result = -EIO;
	takes(fd, "disk.attach", "{\"number\":5,\"name\":\"a\"}", 9);
	wait_at_gate(1);
	snprintf(params, sizeof(params), "{\"job\":%d}", ++id);
	takes(fd, "job.cancel", params, 0);
	set_gate(AT_NOTHING);
	await_job(fd, id, "cancelled");
	close(fd);
}

static void queue_of_jobs(void **state)
{
	int fd = greet(), i;
	char params[64];

	(void)state;
	set_gate(AT_OPEN);
	for (i = 0; i < CONTROL_JOBS_MAX; i++) {
		snprintf(params, sizeof(params), "{\"number\":%d,\"name\":\"a\"}", i);
		takes(fd, "disk.attach", params, 1);
	}
	wait_at_gate(CONTROL_JOBS_RUNNING);
	refuses(fd, "disk.attach", "{\"number\":60,\"name\":\"a\"}", 1, "limit", "");
	assert_string_equal(job_is(fd, CONTROL_JOBS_RUNNING), "running");
	assert_string_equal(job_is(fd, CONTROL_JOBS_RUNNING + 1), "queued");
	snprintf(params, sizeof(params), "{\"job\":%d}", CONTROL_JOBS_RUNNING + 1);
	takes(fd, "job.cancel", params, 0);
	assert_string_equal(job_is(fd, CONTROL_JOBS_RUNNING + 1), "cancelled");
	set_gate(AT_NOTHING);
	await_job(fd, CONTROL_JOBS_MAX, "done");
	for (i = 1; i <= CONTROL_JOBS_MAX; i++) {
		await_job(fd, i, i == CONTROL_JOBS_RUNNING + 1 ? "cancelled" : "done");
	}
	/* The oldest are forgotten first. */
	takes(fd, "disk.detach", "{\"number\":0}", 0);
	assert_string_equal(job_is(fd, 1), "forgotten");
	assert_string_equal(job_is(fd, CONTROL_JOBS_MAX), "done");
	close(fd);
}

static void jobs_that_fail(void **state)
{
	int fd = greet();
	json_t *message;

	(void)state;
	open_result = -EINVAL;
	takes(fd, "disk.attach", "{\"number\":5,\"name\":\"a.vhdx\"}", 4);
	await_job(fd, 1, "failed");
	message = call(fd, "jobs", "{}", 0);
	assert_string_equal(
		text_at(json_array_get(json_object_get(json_object_get(message, "result"), "jobs"),
				       0),
			"error", "message"),
		"a.vhdx: no disk");
	json_decref(message);
	open_result = 0;
	attach_result = -EINVAL;
	takes(fd, "disk.attach", "{\"number\":5,\"name\":\"a.vhdx\"}", 4);
	await_job(fd, 2, "failed");
	assert_int_equal(disks_open_count, 0);
	attach_result = 0;
	takes(fd, "dvd.attach", "{\"number\":5,\"name\":\"a.iso\"}", 1);
	await_job(fd, 3, "done");
	medium_result = -EBUSY;
	takes(fd, "dvd.change", "{\"number\":5,\"name\":\"b.iso\"}", 1);
	await_job(fd, 4, "failed");
	assert_int_equal(disks_open_count, 1);
	takes(fd, "dvd.change", "{\"number\":5,\"force\":true}", 0);
	await_job(fd, 5, "done");
	assert_int_equal(disks_open_count, 0);
	/* The disk is gone although its file could not be written. */
	takes(fd, "disk.attach", "{\"number\":7,\"name\":\"a.vhdx\"}", 1);
	await_job(fd, 6, "done");
	close_result = -EIO;
	takes(fd, "disk.detach", "{\"number\":7}", 0);
	await_job(fd, 7, "failed");
	close_result = 0;
	refuses(fd, "disk.detach", "{\"number\":7}", 0, "not-found", "");
	close(fd);
}

static void *let_go_later(void *unused)
{
	(void)unused;
	usleep(2500000);
	set_gate(AT_NOTHING);
	return NULL;
}

/* The end waits for what brings the guest's writes into a file, though it takes longer than for an
 * open. */
static void the_end_waits_for_a_detach(void **state)
{
	int fd = greet();
	pthread_t thread;

	(void)state;
	takes(fd, "disk.attach", "{\"number\":5,\"name\":\"a\"}", 1);
	await_job(fd, 1, "done");
	set_gate(AT_CLOSE);
	takes(fd, "disk.detach", "{\"number\":5}", 0);
	wait_at_gate(1);
	pthread_create(&thread, NULL, let_go_later, NULL);
	come_to_the_end();
	assert_int_equal(disks_open_count, 0);
	pthread_join(thread, NULL);
	close(fd);
}

/* ... and leaves behind what does not end; a thread that comes back later finds all that it
 * needs. */
static void the_end_leaves_an_open(void **state)
{
	int fd = greet(), i;
	struct control *left = machine.control;
	char params[64];

	(void)state;
	set_gate(AT_OPEN);
	for (i = 0; i < CONTROL_JOBS_RUNNING + 2; i++) {
		snprintf(params, sizeof(params), "{\"number\":%d,\"name\":\"a\"}", i);
		takes(fd, "disk.attach", params, 2);
	}
	wait_at_gate(CONTROL_JOBS_RUNNING);
	come_to_the_end();
	assert_true(disks_close(&machine));
	set_gate(AT_NOTHING);
	while (!jobs_all_ended(&left->jobs)) {
		jobs_serve(&left->jobs);
	}
	close(left->wake);
	close(left->jobs.event);
	free(left);
	close(fd);
}

/* A reset is a loop that ends and begins: jobs of before it end after it. */
static void reset_while_a_job_runs(void **state)
{
	int fd = greet();
	json_t *message;

	(void)state;
	takes(fd, "events", "{}", 0);
	set_gate(AT_OPEN);
	takes(fd, "disk.attach", "{\"number\":5,\"name\":\"a\"}", 1);
	takes(fd, "reset", "{}", 0);
	assert_int_equal(machine.stop, STOP_RESET);
	wait_at_gate(1);
	machine.resets++;
	message = await(fd);
	assert_string_equal(text_at(message, "params", "event"), "reset");
	json_decref(message);
	set_gate(AT_NOTHING);
	message = await(fd);
	assert_string_equal(text_at(message, "params", "event"), "disks");
	json_decref(message);
	message = await(fd);
	assert_string_equal(text_at(json_object_get(message, "params"), "job", "state"), "done");
	json_decref(message);
	close(fd);
}

static void pausing(void **state)
{
	int fd = greet();
	json_t *message;

	(void)state;
	takes(fd, "events", "{}", 0);
	set_gate(AT_PAUSE);
	takes(fd, "pause", "{}", 0);
	wait_at_gate(1);
	refuses(fd, "pause", "{}", 0, "state", "");
	message = call(fd, "status", "{}", 0);
	assert_string_equal(text_at(message, "result", "state"), "pausing");
	json_decref(message);
	set_gate(AT_NOTHING);
	await_job(fd, 1, "done");
	message = call(fd, "status", "{}", 0);
	assert_string_equal(text_at(message, "result", "state"), "paused");
	json_decref(message);
	message = call(fd, "resume", "{}", 0);
	assert_string_equal(text_at(message, "result", "state"), "running");
	json_decref(message);
	takes(fd, "power-button", "{}", 0);
	assert_int_equal(buttons, 1);
	takes(fd, "off", "{}", 0);
	assert_int_equal(machine.stop, STOP_REQUEST);
	close(fd);
}

/* With the descriptor of a file; its job is the next. */
static json_t *ask_to_save(int fd, int file)
{
	static const char text[] = "{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"save\"}";

	assert_int_equal(packet_send(fd, 0, text, strlen(text), &file, 1), 0);
	return await(fd);
}

static void saving(void **state)
{
	int fd = greet(), file = memfd_create("state", 0), full = memfd_create("full", 0);
	json_t *message;

	(void)state;
	assert_int_equal(write(full, "x", 1), 1);
	check_error(ask_to_save(fd, file), "state", ""); /* it runs */
	takes(fd, "pause", "{}", 0);
	await_job(fd, 1, "done");
	refuses(fd, "save", "{}", 0, "descriptors", "");
	check_error(ask_to_save(fd, full), "descriptors", "");
	check_error(ask_to_save(fd, STDIN_FILENO), "descriptors", "");
	fake_assigned.obstacle = "it has a device";
	check_error(ask_to_save(fd, file), "state", "");
	fake_assigned.obstacle = NULL;
	/* One that fails: the machine stands as before. */
	save_result = -ENOSPC;
	set_gate(AT_SAVE);
	message = ask_to_save(fd, file);
	assert_string_equal(text_at(json_object_get(message, "result"), "job", "what"), "save");
	json_decref(message);
	wait_at_gate(1);
	refuses(fd, "disk.attach", "{\"number\":5,\"name\":\"a\"}", 1, "busy", "");
	refuses(fd, "power-button", "{}", 0, "busy", "");
	refuses(fd, "resume", "{}", 0, "busy", "");
	takes(fd, "status", "{}", 0);
	set_gate(AT_NOTHING);
	await_job(fd, 2, "failed");
	assert_false(held);
	assert_int_equal(machine.stop, STOP_NONE);
	save_result = 0;
	/* One that is given up. */
	assert_int_equal(ftruncate(file, 0), 0);
	set_gate(AT_SAVE);
	json_decref(ask_to_save(fd, file));
	wait_at_gate(1);
	takes(fd, "job.cancel", "{\"job\":3}", 0);
	set_gate(AT_NOTHING);
	await_job(fd, 3, "cancelled");
	assert_false(held);
	/* One that is done: it is the machine's end. */
	assert_int_equal(ftruncate(file, 0), 0);
	json_decref(ask_to_save(fd, file));
	await_job(fd, 4, "done");
	assert_int_equal(machine.stop, STOP_SAVED);
	close(full);
	close(file);
	close(fd);
}

/* The devices stand later than the VPs; until then the pause can be cancelled, or resumed. */
static void pausing_waits_for_devices(void **state)
{
	int fd = greet();

	(void)state;
	takes(fd, "events", "{}", 0);
	bus_looks = 2;
	takes(fd, "pause", "{}", 0);
	while (bus_looks != 1) {
		control_serve(&machine);
	}
	job_wake(job_find(&machine.control->jobs, 1));
	job_wake(job_find(&machine.control->jobs, 1));
	while (bus_looks != 0) {
		control_serve(&machine);
	}
	job_wake(job_find(&machine.control->jobs, 1));
	await_job(fd, 1, "done");
	takes(fd, "resume", "{}", 0);
	bus_looks = 1000;
	takes(fd, "pause", "{}", 0);
	while (bus_looks == 1000) {
		control_serve(&machine);
	}
	takes(fd, "job.cancel", "{\"job\":2}", 0);
	await_job(fd, 2, "cancelled");
	assert_int_equal(machine.pause.state, PAUSE_NONE);
	bus_looks = 1000;
	takes(fd, "pause", "{}", 0);
	while (bus_looks == 1000) {
		control_serve(&machine);
	}
	/* Four threads may run beside it: it has none any more. */
	takes(fd, "resume", "{}", 0);
	job_wake(job_find(&machine.control->jobs, 3));
	await_job(fd, 3, "cancelled");
	bus_looks = 0;
	close(fd);
}

static json_t *service_in_status(int fd, unsigned int service)
{
	json_t *message = call(fd, "status", "{}", 0);
	json_t *list = json_object_get(json_object_get(message, "result"), "services");
	json_t *object = json_incref(json_array_get(list, service));

	assert_int_equal(json_array_size(list), INTEGRATION_COUNT);
	json_decref(message);
	return object;
}

static void services_are_shown_and_switched(void **state)
{
	struct integration_state *heart = &services.states[INTEGRATION_HEARTBEAT];
	int fd = greet();
	json_t *object = service_in_status(fd, INTEGRATION_HEARTBEAT);

	(void)state;
	assert_string_equal(text_at(object, "name", NULL), "heartbeat");
	assert_string_equal(text_at(object, "why", NULL), "nobody");
	assert_string_equal(text_at(object, "heartbeat", NULL), "no-contact");
	assert_null(json_object_get(object, "version"));
	json_decref(object);
	*heart = (struct integration_state){.enabled = true,
					    .contacted = true,
					    .framework = {1, 0},
					    .message = {3, 2},
					    .answered = true,
					    .heartbeat = INTEGRATION_HEARTBEAT_OK,
					    .application = INTEGRATION_APPLICATION_CRITICAL};
	object = service_in_status(fd, INTEGRATION_HEARTBEAT);
	assert_string_equal(text_at(object, "version", NULL), "3.2");
	assert_string_equal(text_at(object, "framework", NULL), "1.0");
	assert_string_equal(text_at(object, "heartbeat", NULL), "ok");
	assert_string_equal(text_at(object, "application", NULL), "critical");
	assert_true(json_integer_value(json_object_get(object, "last-answer")) > 0);
	assert_null(json_object_get(object, "why"));
	json_decref(object);
	takes(fd, "events", "{}", 0);
	refuses(fd, "service.set", "{\"name\":\"time\"}", 0, "invalid", "params.on");
	refuses(fd, "service.set", "{\"name\":\"tea\",\"on\":true}", 0, "invalid", "params.name");
	object = call(fd, "service.set", "{\"name\":\"time\",\"on\":false}", 0);
	assert_string_equal(text_at(json_object_get(object, "result"), "service", "name"), "time");
	json_decref(object);
	assert_false(services.states[INTEGRATION_TIME].enabled);
	object = await(fd);
	assert_string_equal(text_at(object, "params", "event"), "service");
	assert_string_equal(text_at(json_object_get(object, "params"), "service", "name"), "time");
	json_decref(object);
	assert_null(next(fd));
	close(fd);
}

static void shutting_down(void **state)
{
	int fd = greet();

	(void)state;
	services.refusal = -ENOTCONN;
	refuses(fd, "shutdown", "{}", 0, "state", "");
	services.refusal = -EAGAIN;
	refuses(fd, "shutdown", "{}", 0, "state", "");
	services.refusal = -EBUSY;
	refuses(fd, "shutdown", "{}", 0, "busy", "");
	services.refusal = 0;
	takes(fd, "shutdown", "{\"force\":true}", 0); /* three numbers have been refused */
	assert_int_equal(services.asked.flags, INTEGRATION_FORCE);
	assert_string_equal(job_is(fd, 4), "running");
	services.asked.agreed(services.asked.user);
	refuses(fd, "job.cancel", "{\"job\":4}", 0, "state", "");
	services_ended(&machine, STOP_POWER_OFF);
	assert_string_equal(job_is(fd, 4), "done");
	takes(fd, "shutdown", "{\"restart\":true}", 0);
	assert_int_equal(services.asked.flags, INTEGRATION_RESTART);
	services.pending = false;
	services.asked.done(services.asked.user, -EOPNOTSUPP, "it cannot");
	assert_string_equal(job_is(fd, 5), "failed");
	/* Cancelled before it has agreed: nobody waits any more. */
	takes(fd, "shutdown", "{}", 0);
	takes(fd, "job.cancel", "{\"job\":6}", 0);
	assert_string_equal(job_is(fd, 6), "cancelled");
	assert_false(services.pending);
	/* The end finds one that has agreed. */
	takes(fd, "shutdown", "{}", 0);
	services.asked.agreed(services.asked.user);
	close(fd);
}

static void exchange_ends(int ret, const char *why)
{
	services.exchanging = false;
	services.exchange.done(services.exchange.user, ret, why);
}

static void values(void **state)
{
	static const struct integration_pair pair = {
		.key = "OSName", .type = INTEGRATION_NUMBER64, .number = UINT64_MAX};
	int fd = greet();
	json_t *message, *job, *list;
	char params[64];
	uint32_t i;

	(void)state;
	services.kvp_refusal = -ENOTCONN;
	refuses(fd, "value.list", "{\"pool\":\"auto\"}", 0, "state", "");
	services.kvp_refusal = -EINVAL;
	refuses(fd, "value.get", "{\"pool\":\"auto\",\"key\":\"a\"}", 0, "invalid", "");
	services.kvp_refusal = 0;
	refuses(fd, "value.get", "{\"pool\":\"pond\",\"key\":\"a\"}", 0, "invalid", "params.pool");
	refuses(fd, "value.get", "{\"pool\":\"auto\",\"key\":\"\"}", 0, "invalid", "params.key");
	refuses(fd, "value.set",
		"{\"pool\":\"auto\",\"key\":\"a\",\"value\":\"4294967296\",\"type\":\"number32\"}",
		0, "invalid", "");
	refuses(fd, "value.set",
		"{\"pool\":\"auto\",\"key\":\"a\",\"value\":\"-1\",\"type\":\"number64\"}", 0,
		"invalid", "");
	takes(fd, "events", "{}", 0);
	takes(fd, "value.set",
	      "{\"pool\":\"external\",\"key\":\"a\",\"value\":\"4294967295\",\"type\":"
	      "\"number32\"}",
	      0);
	assert_int_equal(services.exchange.operation, INTEGRATION_KVP_SET);
	assert_int_equal(services.exchange.pool, INTEGRATION_POOL_EXTERNAL);
	assert_int_equal(services.pair.number, UINT32_MAX);
	exchange_ends(-ENOENT, "there is none");
	message = await(fd);
	job = json_object_get(json_object_get(message, "params"), "job");
	assert_string_equal(text_at(job, "state", NULL), "failed");
	assert_string_equal(text_at(json_object_get(job, "error"), "data", "code"), "not-found");
	json_decref(message);
	/* A list comes in parts. */
	takes(fd, "value.list", "{\"pool\":\"auto\",\"from\":7}", 0);
	assert_int_equal(services.exchange.from, 7);
	for (i = 7; services.exchange.each(services.exchange.user, i, &pair); i++) {
	}
	exchange_ends(0, NULL);
	message = await(fd);
	job = json_object_get(json_object_get(message, "params"), "job");
	list = json_object_get(json_object_get(job, "answer"), "values");
	assert_int_equal(json_array_size(list), i + 1 - 7);
	assert_string_equal(text_at(json_array_get(list, 0), "value", NULL),
			    "18446744073709551615");
	assert_int_equal(
		json_integer_value(json_object_get(json_object_get(job, "answer"), "next")), i + 1);
	json_decref(message);
	/* Cancelled when its answer is half there, and at the end of all. */
	message = call(fd, "value.get", "{\"pool\":\"auto\",\"key\":\"OSName\"}", 0);
	job = json_object_get(json_object_get(message, "result"), "job");
	snprintf(params, sizeof(params), "{\"job\":%d}",
		 (int)json_integer_value(json_object_get(job, "id")));
	json_decref(message);
	(void)services.exchange.each(services.exchange.user, 0, &pair);
	takes(fd, "job.cancel", params, 0);
	assert_false(services.exchanging);
	takes(fd, "value.list", "{\"pool\":\"guest\"}", 0);
	(void)services.exchange.each(services.exchange.user, 0, &pair);
	close(fd);
}

/* Once it is in contact the guest is told whose it is, one fact after the other; what fails is not
 * followed by the next. */
static void facts(void **state)
{
	/* Hyper-V's own, in its order. */
	static const char *const keys[] = {
		"HostName",
		"HostingSystemEditionId",
		"HostingSystemOsMajor",
		"HostingSystemOsMinor",
		"HostingSystemProcessorArchitecture",
		"HostingSystemSpMajor",
		"HostingSystemSpMinor",
		"PhysicalHostName",
		"PhysicalHostNameFullyQualified",
		"VirtualMachineDynamicMemoryBalancingEnabled",
		"VirtualMachineId",
		"VirtualMachineName",
	};
	struct integration_state *is = &services.states[INTEGRATION_KVP];
	unsigned int count;
	struct utsname root;
	char release[sizeof(root.release)] = "";

	(void)state;
	assert_int_equal(uname(&root), 0);
	strcpy(machine.id_text, "a UUID");
	integration_host_changed(machine.integration_host, INTEGRATION_KVP);
	assert_false(services.exchanging);
	is->contacted = true;
	integration_host_changed(machine.integration_host, INTEGRATION_KVP);
	for (count = 0; services.exchanging; count++) {
		assert_int_equal(services.exchange.pool, INTEGRATION_POOL_AUTO_EXTERNAL);
		assert_int_equal(services.exchange.operation, INTEGRATION_KVP_SET);
		assert_in_range(count, 0, ARRAY_COUNT(keys) - 1);
		assert_string_equal(services.pair.key, keys[count]);
		if (strcmp(services.pair.key, "VirtualMachineId") == 0) {
			assert_string_equal(services.pair.text, "a UUID");
		} else if (strcmp(services.pair.key, "HostingSystemOsMajor") == 0) {
			strcat(strcpy(release, services.pair.text), ".");
		} else if (strcmp(services.pair.key, "HostingSystemOsMinor") == 0) {
			strcat(release, services.pair.text);
		}
		services.exchanging = false;
		services.exchange.done(services.exchange.user, 0, NULL);
	}
	assert_int_equal(count, ARRAY_COUNT(keys));
	/* The root's system is the one that hosts. */
	assert_memory_equal(release, root.release, strlen(release));
	assert_true(strspn(root.release + strlen(release), "0123456789") == 0);
	integration_host_changed(machine.integration_host, INTEGRATION_KVP);
	assert_false(services.exchanging);
	is->contacted = false;
	integration_host_changed(machine.integration_host, INTEGRATION_KVP);
	is->contacted = true;
	integration_host_changed(machine.integration_host, INTEGRATION_KVP);
	assert_string_equal(services.pair.key, "HostName");
	services.exchanging = false;
	services.exchange.done(services.exchange.user, -EREMOTEIO, "why");
	assert_false(services.exchanging);
}

static void addresses(void **state)
{
	static const char *const wrong[] = {
		"\"addresses\":[\"10.0.0.5\"]",
		"\"addresses\":[\"10.0.0.5/33\"]",
		"\"addresses\":[\"10.0.0.5/0\"]",
		"\"addresses\":[\"10.0.0/8\"]",
		"\"addresses\":[\"fd00::1/129\"]",
		"\"addresses\":[7]",
		"\"addresses\":\"10.0.0.5/8\"",
		"\"gateways\":[\"10.0.0.1/8\"]",
		"\"dns\":[\"a.name\"]",
		"\"dhcp\":true,\"dns\":[\"10.0.0.1\"]",
		"\"gateways\":[\"10.0.0.1\"]",
	};
	static struct integration_addresses is = {
		.dhcp = true,
		.address_count = 2,
		.addresses = {{.bytes = {10, 0, 0, 5}, .prefix = 24},
			      {.six = true, .bytes = {0xfd, [15] = 1}, .prefix = 64}},
		.gateway_count = 1,
		.gateways = {{.bytes = {10, 0, 0, 1}}},
	};
	static const char adapter[] = "{\"network\":{\"switch\":\"lan\"}}";
	int fd = greet(), ends[2], id;
	json_t *message, *answer;
	char params[128];
	unsigned int i;

	(void)state;
	takes(fd, "events", "{}", 0);
	refuses(fd, "addresses.get", "{\"adapter\":0}", 0, "not-found", "");
	for (i = 0; i < ARRAY_COUNT(ends); i++) {
		await_job(fd, job_of(call_with_switch(fd, "network.add", adapter, &ends[i])),
			  "done");
	}
	for (i = 0; i < ARRAY_COUNT(wrong); i++) {
		snprintf(params, sizeof(params), "{\"adapter\":1,%s}", wrong[i]);
		message = call(fd, "addresses.set", params, 0);
		assert_string_equal(text_at(json_object_get(message, "error"), "data", "code"),
				    "invalid");
		json_decref(message);
	}
	id = job_of(call(fd, "addresses.set",
			 "{\"adapter\":1,\"addresses\":[\"10.0.0.5/8\",\"fd00::1/"
			 "64\"],\"dns\":[\"10.0.0.1\"]}",
			 0));
	assert_int_equal(services.exchange.operation, INTEGRATION_KVP_SET_ADDRESSES);
	assert_int_equal(services.adapter.mac[5], 3);
	assert_int_equal(services.adapter.instance[14], 1);
	assert_int_equal(services.addresses.address_count, 2);
	assert_int_equal(services.addresses.addresses[0].prefix, 8);
	assert_true(services.addresses.addresses[1].six);
	assert_int_equal(services.addresses.dns_count, 1);
	exchange_ends(-EREMOTEIO, "it cannot");
	await_job(fd, id, "failed");
	takes(fd, "addresses.get", "{\"adapter\":1}", 0);
	services.exchange.got(services.exchange.user, &is);
	exchange_ends(0, NULL);
	message = await(fd);
	answer = json_object_get(json_object_get(json_object_get(message, "params"), "job"),
				 "answer");
	assert_true(json_is_true(json_object_get(answer, "dhcp")));
	assert_string_equal(
		json_string_value(json_array_get(json_object_get(answer, "addresses"), 1)),
		"fd00::1/64");
	assert_string_equal(
		json_string_value(json_array_get(json_object_get(answer, "gateways"), 0)),
		"10.0.0.1");
	json_decref(message);
	close(ends[0]);
	close(ends[1]);
	close(fd);
}

/* The number of the job that the method makes. */
static int begins(int fd, const char *method, const char *params, int files)
{
	json_t *message = call(fd, method, params, files);
	const json_t *job = json_object_get(json_object_get(message, "result"), "job");
	int id = (int)json_integer_value(json_object_get(job, "id"));

	assert_int_not_equal(id, 0);
	json_decref(message);
	return id;
}

static void freezing(void **state)
{
	struct integration_state *is = &services.states[INTEGRATION_VSS];
	int fd = greet(), other = greet(), job;
	char params[32];

	(void)state;
	services.freeze_refusal = -ENOTCONN;
	refuses(fd, "freeze", "{}", 0, "state", "");
	services.freeze_refusal = -EAGAIN;
	refuses(fd, "freeze", "{}", 0, "state", "");
	services.freeze_refusal = -EBUSY;
	refuses(fd, "freeze", "{}", 0, "busy", "");
	services.freeze_refusal = 0;
	refuses(fd, "freeze", "{\"seconds\":0}", 0, "invalid", "params.seconds");
	refuses(fd, "freeze", "{\"seconds\":901}", 0, "invalid", "params.seconds");
	job = begins(fd, "freeze", "{}", 0);
	assert_int_equal(services.freeze.seconds, CONTROL_FREEZE_SECONDS);
	services.freeze.done(services.freeze.user, 0, NULL);
	assert_string_equal(job_is(fd, job), "done");
	assert_null(services.unwanted);
	is->file_systems = INTEGRATION_FROZEN;
	/* Another client's end changes nothing, that of who asked does. */
	close(other);
	control_serve(&machine);
	assert_null(services.unwanted);
	close(fd);
	control_serve(&machine);
	assert_non_null(strstr(services.unwanted, "connection"));
	fd = greet();
	/* Cancelled. */
	job = begins(fd, "freeze", "{\"seconds\":900}", 0);
	snprintf(params, sizeof(params), "{\"job\":%d}", job);
	takes(fd, "job.cancel", params, 0);
	assert_non_null(strstr(services.unwanted, "cancelled"));
	services.thaw_refusal = -EALREADY;
	is->thawed_why = "the time for it was over";
	refuses(fd, "thaw", "{}", 0, "state", "");
	services.thaw_refusal = -EBUSY;
	refuses(fd, "thaw", "{}", 0, "busy", "");
	services.thaw_refusal = 0;
	job = begins(fd, "thaw", "{}", 0);
	services.thaw.done(services.thaw.user, -EINTR, "the time for it was over");
	assert_string_equal(job_is(fd, job), "failed");
	job = begins(fd, "thaw", "{}", 0);
	snprintf(params, sizeof(params), "{\"job\":%d}", job);
	takes(fd, "job.cancel", params, 0);
	assert_null(services.thaw.done);
	(void)begins(fd, "freeze", "{}", 0); /* the end finds one */
	close(fd);
}

static void copying(void **state)
{
	static const char params[] = "{\"path\":\"/a/b\",\"overwrite\":true}";
	int fd = greet(), job, file;
	json_t *message;
	char name[80], number[32];

	(void)state;
	snprintf(name, sizeof(name), "%s/file", folder);
	file = open(name, O_RDWR | O_CREAT, 0600);
	assert_int_equal(ftruncate(file, 200000), 0);
	refuses(fd, "copy", params, 0, "descriptors", "");
	refuses(fd, "copy", params, 1, "descriptors", ""); /* a device */
	sent_file = name;
	refuses(fd, "copy", "{}", 1, "invalid", "params.path");
	services.copy_refusal = -ENOTCONN;
	refuses(fd, "copy", params, 1, "state", "");
	services.copy_refusal = -EINVAL;
	refuses(fd, "copy", params, 1, "invalid", "");
	services.copy_refusal = 0;
	takes(fd, "events", "{}", 0);
	job = begins(fd, "copy", params, 1);
	assert_int_equal(services.copy.flags, INTEGRATION_OVERWRITE);
	refuses(fd, "copy", params, 1, "busy", "");
	integration_copy_ready(&services); /* as when the guest has agreed */
	message = await(fd);
	assert_string_equal(text_at(message, "params", "event"), "progress");
	json_decref(message);
	await_job(fd, job, "done");
	assert_int_equal(services.copied, 200000);
	/* It becomes shorter. */
	job = begins(fd, "copy", params, 1);
	assert_int_equal(ftruncate(file, 100000), 0);
	integration_copy_ready(&services);
	await_job(fd, job, "failed");
	assert_int_equal(services.copied, 98304); /* the whole pieces of what there is */
	assert_int_equal(ftruncate(file, 0), 0);
	job = begins(fd, "copy", params, 1);
	integration_copy_ready(&services);
	await_job(fd, job, "done");
	job = begins(fd, "copy", params, 1);
	snprintf(number, sizeof(number), "{\"job\":%d}", job);
	takes(fd, "job.cancel", number, 0);
	await_job(fd, job, "cancelled");
	assert_false(services.copying);
	(void)begins(fd, "copy", params, 1); /* the end finds one */
	sent_file = "/dev/null";
	unlink(name);
	close(file);
	close(fd);
}

/* A job without a thread waits for no other, and keeps no other waiting. */
static void shutting_down_beside_jobs(void **state)
{
	char params[64];
	int i, fd = greet();

	(void)state;
	set_gate(AT_OPEN);
	takes(fd, "shutdown", "{}", 0);
	for (i = 0; i < CONTROL_JOBS_RUNNING; i++) {
		snprintf(params, sizeof(params), "{\"number\":%d,\"name\":\"a\"}", i);
		takes(fd, "disk.attach", params, 1);
	}
	wait_at_gate(CONTROL_JOBS_RUNNING);
	takes(fd, "job.cancel", "{\"job\":1}", 0);
	takes(fd, "shutdown", "{}", 0);
	assert_string_equal(job_is(fd, CONTROL_JOBS_RUNNING + 2), "running");
	set_gate(AT_NOTHING);
	for (i = 0; i < CONTROL_JOBS_RUNNING; i++) {
		await_job(fd, 2 + i, "done");
	}
	services_ended(&machine, STOP_REQUEST);
	assert_string_equal(job_is(fd, CONTROL_JOBS_RUNNING + 2), "failed");
	close(fd);
}

/* Ctrl-] asks once, and turns off when it comes again. */
static void escape_key(void **state)
{
	(void)state;
	services_escape(&machine);
	assert_true(services.pending);
	assert_int_equal(machine.stop, STOP_NONE);
	services_escape(&machine);
	assert_int_equal(machine.stop, STOP_REQUEST);
	machine.stop = STOP_NONE;
	services_ended(&machine, STOP_REQUEST);
	services.refusal = -ENOTCONN;
	buttons = 0;
	services_escape(&machine);
	assert_int_equal(buttons, 1);
	assert_int_equal(machine.stop, STOP_NONE);
	services_escape(&machine);
	assert_int_equal(machine.stop, STOP_REQUEST);
}

/* Who does not read loses events, is told so, and keeps nobody waiting. */
static void a_reader_that_is_slow(void **state)
{
	int slow = greet(), quick = greet(), none = 1, answers = 0, i;
	int64_t sequence = 0, lost = 0;
	bool ended = false;
	json_t *message;

	(void)state;
	takes(slow, "events", "{}", 0);
	setsockopt(machine.control->clients[0].fd, SOL_SOCKET, SO_SNDBUF, &none, sizeof(none));
	for (i = 0; i < 1000; i++) {
		machine.resets++;
		takes(quick, "status", "{}", 0);
	}
	assert_int_equal(machine.control->clients[0].count, CONTROL_EVENTS_MAX);
	/* Nor is it listened to before it has taken what waits for it. */
	for (i = 0; i < 3; i++) {
		put(slow, "{\"jsonrpc\":\"2.0\",\"id\":9,\"method\":\"status\"}", 0);
	}
	while (!ended) {
		unsigned int waiting = machine.control->clients[0].count;

		message = next(slow);
		assert_true(machine.control->clients[0].count <= (waiting > 1 ? waiting : 1));
		if (message != NULL && json_object_get(message, "id") != NULL) {
			answers++;
			json_decref(message);
			continue;
		}
		if (message == NULL) {
			/* All that there was; the next one tells of those that were left out. */
			machine.resets++;
			message = await(slow);
			ended = true;
		}
		lost += json_integer_value(
			json_object_get(json_object_get(message, "params"), "lost"));
		sequence++;
		assert_int_equal(json_integer_value(json_object_get(
					 json_object_get(message, "params"), "sequence")),
				 sequence + lost);
		json_decref(message);
	}
	assert_int_equal(sequence + lost, 1001);
	assert_int_equal(answers, 3);
	assert_true(lost > 800);
	machine.resets++;
	message = await(slow);
	assert_null(json_object_get(json_object_get(message, "params"), "lost"));
	json_decref(message);
	takes(slow, "status", "{}", 0);
	close(slow);
	close(quick);
}

/* Nor does one that asks and does not read the answers. */
static void requests_without_end(void **state)
{
	static const char status[] = "{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"status\"}";
	int greedy = greet(), quick = greet(), i;

	(void)state;
	for (i = 0; i < 100000 && send(greedy, status, sizeof(status) - 1, MSG_NOSIGNAL) > 0; i++) {
		control_serve(&machine);
	}
	assert_true(i < 100000);
	assert_true(machine.control->clients[0].count <= 1);
	takes(quick, "status", "{}", 0);
	close(greedy);
	close(quick);
	control_serve(&machine);
}

static void many_clients(void **state)
{
	int fds[CONTROL_CLIENTS_MAX], i, fd;

	(void)state;
	for (i = 0; i < CONTROL_CLIENTS_MAX; i++) {
		fds[i] = greet();
	}
	fd = join();
	check_error(await(fd), "limit", "");
	assert_true(has_hung_up(fd));
	close(fd);
	close(fds[3]);
	control_serve(&machine);
	fds[3] = greet();
	for (i = 0; i < CONTROL_CLIENTS_MAX; i++) {
		takes(fds[i], "status", "{}", 0);
		close(fds[i]);
	}
}

/* Who connects when there is no descriptor waits until there is, and does not keep the loop
 * awake. */
static void no_descriptor_is_left(void **state)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = greet(), other = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0),
	    lowest = dup(0);
	struct pollfd wait = {.fd = control_fd(&machine), .events = POLLIN};
	struct rlimit limit, few;

	(void)state;
	close(lowest);
	assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
	few = (struct rlimit){.rlim_cur = (rlim_t)lowest, .rlim_max = limit.rlim_max};
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &few), 0);
	strcpy(address.sun_path, path);
	assert_int_equal(connect(other, (struct sockaddr *)&address, sizeof(address)), 0);
	control_serve(&machine);
	assert_int_equal(poll(&wait, 1, 0), 0);
	takes(fd, "status", "{}", 0);
	close(fd);
	control_serve(&machine);
	control_serve(&machine);
	assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
	takes(other, "hello", "{\"versions\":[1,1]}", 0);
	close(other);
}

static void who_may_only_look(void **state)
{
	struct stat file;
	int fd;

	(void)state;
	assert_int_equal(stat(path, &file), 0);
	assert_int_equal(file.st_mode & 0777, 0600);
	peer_uid = getuid() + 1;
	fd = greet();
	takes(fd, "status", "{}", 0);
	takes(fd, "jobs", "{}", 0);
	takes(fd, "events", "{}", 0);
	refuses(fd, "pause", "{}", 0, "permission", "");
	refuses(fd, "off", "{}", 0, "permission", "");
	refuses(fd, "job.cancel", "{\"job\":1}", 0, "permission", "");
	refuses(fd, "disk.attach", "{\"number\":5,\"name\":\"a\"}", 1, "permission", "");
	refuses(fd, "console", "{}", 1, "permission", "");
	assert_int_equal(machine.stop, STOP_NONE);
	close(fd);
	/* But for those whom the configuration names. */
	config.control_users[0] = getuid() + 1;
	config.control_user_count = 1;
	fd = greet();
	takes(fd, "power-button", "{}", 0);
	config.control_user_count = 0;
	close(fd);
}

static void console(void **state)
{
	int fd = greet(), i;
	static const char text[] = "{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"console\"}";
	int pair[2];
	json_t *answer;
	char byte;

	(void)state;
	refuses(fd, "console", "{}", 1, "descriptors", "");
	for (i = 0; i < 2; i++) {
		assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
		assert_int_equal(packet_send(fd, 0, text, sizeof(text) - 1, &pair[1], 1), 0);
		answer = await(fd);
		assert_non_null(json_object_get(answer, "result"));
		json_decref(answer);
		close(pair[1]);
		assert_int_equal(write(machine.serial.out, "x", 1), 1);
		assert_int_equal(read(pair[0], &byte, 1), 1);
		close(pair[0]);
	}
	close(fd);
}

/* The descriptor is the sockets' from there on; what is no socket is not. */
static void sockets_to_the_guest(void **state)
{
	static const char text[] = "{\"jsonrpc\":\"2.0\",\"id\":5,\"method\":\"socket\"}";
	int fd = greet(), pair[2];
	json_t *answer;
	char byte;

	(void)state;
	refuses(fd, "socket", "{}", 1, "descriptors", "");
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
	assert_int_equal(packet_send(fd, 0, text, sizeof(text) - 1, &pair[1], 1), 0);
	close(pair[1]);
	answer = await(fd);
	assert_non_null(json_object_get(answer, "result"));
	json_decref(answer);
	assert_int_equal(read(pair[0], &byte, 1), 0); /* this test's sockets hang up */
	close(pair[0]);
	close(fd);
}

static void the_end_is_told(void **state)
{
	int fd = greet();
	json_t *message;

	(void)state;
	takes(fd, "events", "{}", 0);
	come_to_the_end();
	message = next(fd);
	assert_string_equal(text_at(message, "params", "state"), "ended");
	assert_string_equal(text_at(message, "params", "reason"), "power-off");
	json_decref(message);
	close(fd);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, start, stop)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(hello),
		TEST(no_requests),
		TEST(wrong_parameters),
		TEST(descriptors_of_refused_requests),
		TEST(adapters),
		TEST(adapters_that_fail),
		TEST(status_tells_of_disks),
		TEST(an_open_that_hangs),
		TEST(cancel_at_each_step),
		TEST(queue_of_jobs),
		TEST(jobs_that_fail),
		TEST(the_end_waits_for_a_detach),
		TEST(the_end_leaves_an_open),
		TEST(reset_while_a_job_runs),
		TEST(pausing),
		TEST(saving),
		TEST(devices),
		TEST(an_adapters_function),
		TEST(no_device_beside_dynamic_memory),
		TEST(pausing_waits_for_devices),
		TEST(services_are_shown_and_switched),
		TEST(shutting_down),
		TEST(shutting_down_beside_jobs),
		TEST(values),
		TEST(facts),
		TEST(addresses),
		TEST(freezing),
		TEST(copying),
		TEST(escape_key),
		TEST(a_reader_that_is_slow),
		TEST(requests_without_end),
		TEST(many_clients),
		TEST(no_descriptor_is_left),
		TEST(who_may_only_look),
		TEST(console),
		TEST(sockets_to_the_guest),
		TEST(the_end_is_told),
	};
	int failed;

	if (mkdtemp(folder) == NULL) {
		return 1;
	}
	snprintf(path, sizeof(path), "%s/socket", folder);
	failed = cmocka_run_group_tests(tests, NULL, NULL);
	unlink(path);
	rmdir(folder);
	return failed;
}
