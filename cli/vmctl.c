/* vmctl: a running machine, see README.md. */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cli/client.h"
#include "cli/function.h"
#include "cli/words.h"
#include "cli/screenshot.h"
#include "cli/terminal.h"
#include "disk/disk.h"
#include "hosted/listen.h"
#include "hosted/member.h"
#include "hosted/pci.h"
#include "hosted/say.h"
#include "include/mgmt/control.h"
#include "lib/check.h"

enum exit_status { EXIT_DONE, EXIT_REFUSED, EXIT_USAGE };

static const char help[] =
	"usage: vmctl [--json] [--no-wait] SOCKET COMMAND [ARGUMENT...]\n"
	"\n"
	"  status                             the machine, its disks and their numbers\n"
	"  pause, resume                      no VP runs, and the guest's clocks stand; go on\n"
	"  save FILE                          the whole machine into a new file; the worker ends, "
	"and\n"
	"                                     vmwp --restore FILE goes on from there\n"
	"  checkpoint FILE|- [--stand] [ide:]NUMBER=NEW...\n"
	"                                     its state into a new file (-: none), and each disk "
	"goes "
	"on in a\n"
	"                                     new differencing disk; --stand: it stands until "
	"checkpoint-end\n"
	"  checkpoint-end keep|drop           it may go on, in the new files, or in the old ones; "
	"drop: and\n"
	"                                     has no mirrors any more\n"
	"  merge [ide:]NUMBER FILE PARENT [CHILD]\n"
	"                                     a disk's FILE goes into its PARENT while the guest "
	"runs; CHILD lies\n"
	"                                     over FILE, unless that is the top; done also if it "
	"has gone before\n"
	"  merged [ide:]NUMBER FILE PARENT [CHILD]\n"
	"                                     whether it has\n"
	"  mirror [ide:]NUMBER NEW [PARENT]   the disk is copied into NEW, over a copy of its "
	"parent, "
	"while the\n"
	"                                     guest runs, and then written there too\n"
	"  go-over [--stand]                  it goes on in the mirrors that its disks have; as "
	"checkpoint\n"
	"  migrate SOCKET|fd:N [owner=FILE] [downtime=MS] [rounds=N] [switch=PATH] [disks]\n"
	"                                     the machine, while it runs, to the vmwp --receive "
	"that waits at\n"
	"                                     SOCKET; FILE, which both can open, says whose it is "
	"meanwhile\n"
	"                                     (SOCKET.owner); the guest stands MS (300) if that "
	"can "
	"be had\n"
	"                                     within N (30) rounds of copying; disks: they come "
	"along, to a\n"
	"                                     --receive-disks, and FILE is this side's alone\n"
	"  shutdown [--reboot] [--force]      the guest shuts down, or restarts, in order; until "
	"it has\n"
	"  services [NAME on|off]             what the guest's integration services do; one is "
	"switched\n"
	"  values POOL                        what host and guest have told each other; POOL is "
	"external, "
	"guest,\n"
	"                                     auto (what the guest says of itself), auto-external "
	"or "
	"internal\n"
	"  value POOL KEY                     one of them\n"
	"  set-value POOL KEY VALUE [TYPE]    TYPE is string, expand, number32 or number64\n"
	"  delete-value POOL KEY\n"
	"  memory [SIZE] [minimum=SIZE] [maximum=SIZE]\n"
	"                                     what memory the guest has, needs and is to have; "
	"SIZE as "
	"512M\n"
	"  addresses ADAPTER                  those of a network adapter (0, 1, ...), as the guest "
	"says\n"
	"  set-addresses ADAPTER dhcp         it asks for them\n"
	"  set-addresses ADAPTER ADDRESS/BITS... [gateway=ADDRESS]... [dns=ADDRESS]...\n"
	"  freeze [SECONDS] -- COMMAND...     the guest's file systems stand still while COMMAND "
	"runs, for at\n"
	"                                     most SECONDS (60): then a copy of its disks is "
	"whole\n"
	"  thaw                               they go on, whoever has frozen them\n"
	"  copy FILE PATH [--create-directories] [--overwrite]\n"
	"                                     FILE is given to the guest, which writes it at PATH\n"
	"  button                             the power button: the guest shuts down, if it likes\n"
	"  new-generation                     the guest is told that it was copied, or taken back\n"
	"  reset, off                         at once, without asking the guest; off once more: "
	"also\n"
	"                                     without waiting for files that do not answer\n"
	"  console                            COM1 of --serial control or unix:PATH, here; Ctrl-] "
	"leaves\n"
	"  screenshot FILE                    its screen as a PNG file\n"
	"  shell [WORD...]                    a login in the guest: by ssh (WORDs are for it), if "
	"sshd\n"
	"                                     listens at vsock port 22, or by who listens at 23\n"
	"  connect PORT|GUID                  the guest's socket, here: standard input and output\n"
	"  attach NUMBER FILE [PARENT...]     a disk, at this number of the SCSI controller\n"
	"  attach-ro NUMBER FILE [PARENT...]  the same, not to be written\n"
	"  attach-raw NUMBER FILE             the same, a raw disk whatever is in it\n"
	"  dvd NUMBER [FILE]                  a DVD drive, with an ISO file or empty\n"
	"  insert NUMBER FILE                 another ISO file into a drive\n"
	"  eject NUMBER                       nothing in the drive, even if the guest has locked "
	"it\n"
	"  detach NUMBER                      the disk or drive is taken away\n"
	"  net list                           the network adapters, their numbers and counts\n"
	"  net add "
	"SWITCH[,port=NAME][,mac=ADDRESS][,vlan=N][,queues=N][,signals=page][,socket=PATH]\n"
	"                                     one more, on a virtual switch\n"
	"  net remove NUMBER                  one is taken away\n"
	"  net connect NUMBER[,socket=PATH]   the switch of one was ended, and is there again\n"
	"  net function NUMBER on|ADDRESS     a virtual function of the switch's card carries its "
	"frames, past\n"
	"                                     the switch: one that is free, or this, which "
	"vfio-pci "
	"has\n"
	"  net function NUMBER|all off        the switch does, again\n"
	"  device add ADDRESS                 a PCI device of this host that vfio-pci has, as "
	"0000:00:05.0\n"
	"  device remove ADDRESS [--force]    the guest is asked to let go of it, for 30 s, or not "
	"at all\n"
	"  jobs                               what is under way, and how the last ones ended\n"
	"  cancel JOB                         a job that has not gone too far\n"
	"  events                             what happens, as it happens\n"
	"\n"
	"--json: answers and events as JSON. --no-wait: what takes long is left to itself; its job "
	"is shown.\n"
	"The parents of a differencing disk are those that the files name, or those given here, "
	"all\nof them, the nearest first.\n"
	"Exit status: 0 done, 1 refused or failed, with one line that says why, 2 not a command.\n";

static struct options {
	bool json, no_wait;
} options;

enum takes {
	NOTHING,
	A_FILE,
	A_TARGET,
	A_CHECKPOINT,
	AN_END,
	A_MERGE,
	A_MIRROR,
	MIRRORS,
	A_NUMBER,
	A_JOB,
	A_SERVICE,
	A_POOL,
	A_SIZE,
	A_COPY,
	AN_ADAPTER,
	A_SWITCH,
	A_DEVICE,
	A_FUNCTION,
	ADDRESSES,
	OPTIONS,
	A_COMMAND
};
enum how { READ_ONLY = 1, FORCE = 2, RAW = 4, SHELL = 8, LOOK = 16 };

struct command {
	const char *name, *method; /* the name may be two words */
	enum takes takes;
	int more_min, more_max; /* words behind what it takes: files, or options */
	unsigned int how;
	void (*show)(const json_t *result); /* NULL: nothing, or a job's end */
};

/* ---- Showing ---- */

static json_int_t number(const json_t *object, const char *key)
{
	return json_integer_value(json_object_get(object, key));
}

static void show_disk(const json_t *disk)
{
	printf("%-4s %-3" JSON_INTEGER_FORMAT "   %-4s", member_text(disk, "controller"),
	       number(disk, "number"), member_text(disk, "kind"));
	if (json_object_get(disk, "name") == NULL) {
		printf(" empty\n");
		return;
	}
	printf(" %s, %" JSON_INTEGER_FORMAT " MiB%s\n", member_text(disk, "name"),
	       number(disk, "size") >> 20,
	       json_is_true(json_object_get(disk, "read-only")) ? ", read-only" : "");
}

static void show_service(const json_t *service)
{
	const json_t *since = json_object_get(service, "last-answer");

	printf("%-10s %s", member_text(service, "name"),
	       json_is_true(json_object_get(service, "enabled")) ? "on" : "off");
	if (json_is_true(json_object_get(service, "contacted"))) {
		printf(", version %s", member_text(service, "version"));
	}
	if (since != NULL) {
		printf(", answered %" JSON_INTEGER_FORMAT " s ago", json_integer_value(since));
	}
	if (*member_text(service, "heartbeat") != '\0' &&
	    *member_text(service, "version") != '\0') {
		printf(", heartbeat %s, applications %s", member_text(service, "heartbeat"),
		       member_text(service, "application"));
	}
	if (*member_text(service, "file-systems") != '\0' &&
	    *member_text(service, "version") != '\0') {
		printf(", file systems %s", member_text(service, "file-systems"));
	}
	printf("%s%s\n", *member_text(service, "why") != '\0' ? ": " : "",
	       member_text(service, "why"));
}

static void show_network(const json_t *network)
{
	const json_t *refused = json_object_get(network, "refused"), *count;
	const char *key;

	printf("%-3" JSON_INTEGER_FORMAT " %s, port %s, %s", number(network, "number"),
	       member_text(network, "switch"), member_text(network, "port"),
	       member_text(network, "address"));
	if (number(network, "vlan") != 0) {
		printf(", VLAN %" JSON_INTEGER_FORMAT, number(network, "vlan"));
	}
	printf("%s\n    %" JSON_INTEGER_FORMAT " of %" JSON_INTEGER_FORMAT
	       " channels open; frames out %" JSON_INTEGER_FORMAT ", in %" JSON_INTEGER_FORMAT
	       "; bytes out %" JSON_INTEGER_FORMAT ", in %" JSON_INTEGER_FORMAT,
	       json_is_true(json_object_get(network, "connected")) ? "" : ", its switch is gone",
	       number(network, "channels"), number(network, "queues"),
	       number(network, "frames-out"), number(network, "frames-in"),
	       number(network, "bytes-out"), number(network, "bytes-in"));
	json_object_foreach((json_t *)refused, key, count)
	{
		if (json_integer_value(count) != 0) {
			printf("; refused %s %" JSON_INTEGER_FORMAT, key,
			       json_integer_value(count));
		}
	}
	if (*member_text(network, "function") != '\0') {
		printf("; virtual function %s%s", member_text(network, "function"),
		       strcmp(member_text(network, "path"), "function") == 0 ? ", in use" : "");
	}
	putchar('\n');
}

static void show_each(const json_t *of, const char *list, void (*show)(const json_t *item))
{
	size_t i;
	json_t *item;

	json_array_foreach(json_object_get(of, list), i, item)
	{
		show(item);
	}
}

static void show_device(const json_t *device)
{
	printf("device     %s\n", member_text(device, "pci"));
}

static void show_networks(const json_t *status)
{
	show_each(status, "networks", show_network);
}

static void show_services(const json_t *status)
{
	show_each(status, "services", show_service);
}

/* A guest's text is not to move the terminal's cursor. */
static void print_text(const char *bytes)
{
	const unsigned char *p = (const unsigned char *)bytes;

	for (; *p != '\0'; p++) {
		bool c1 = p[0] == 0xc2 && p[1] >= 0x80 && p[1] < 0xa0;

		if (*p < 0x20 || *p == 0x7f || c1) {
			printf("\\x%02x", c1 ? *++p : *p);
		} else {
			putchar(*p);
		}
	}
}

static void show_value(const json_t *value)
{
	print_text(member_text(value, "key"));
	putchar('=');
	print_text(member_text(value, "value"));
	if (strcmp(member_text(value, "type"), CONTROL_TYPE_STRING) != 0) {
		printf(" (%s)", member_text(value, "type"));
	}
	putchar('\n');
}

static void show_values(const json_t *answer)
{
	show_each(answer, "values", show_value);
}

static void show_texts(const json_t *answer, const char *list, const char *name)
{
	size_t i;
	json_t *item;

	json_array_foreach(json_object_get(answer, list), i, item)
	{
		printf("%s %s\n", name, json_string_value(item));
	}
}

static void show_addresses(const json_t *answer)
{
	printf("dhcp %s\n", json_is_true(json_object_get(answer, "dhcp")) ? "on" : "off");
	show_texts(answer, "addresses", "address");
	show_texts(answer, "gateways", "gateway");
	show_texts(answer, "dns", "dns");
}

static void show_moved(const json_t *answer)
{
	printf("moved in %" JSON_INTEGER_FORMAT " rounds: %" JSON_INTEGER_FORMAT
	       " pages, %" JSON_INTEGER_FORMAT " bytes; the guest stood for %.1f ms\n",
	       number(answer, "rounds"), number(answer, "pages"), number(answer, "bytes"),
	       (double)number(answer, "downtime-us") / 1000);
}

static void show_switched(const json_t *result)
{
	show_service(json_object_get(result, "service"));
}

static void show_serial(const json_t *serial)
{
	printf("COM%-7" JSON_INTEGER_FORMAT " %s%s\n", number(serial, "number"),
	       member_text(serial, "to"),
	       json_is_true(json_object_get(serial, "connected")) ? "" : ", nobody there");
}

static void show_size(const json_t *object, const char *key)
{
	if (json_object_get(object, key) != NULL) {
		printf("%-10s %" JSON_INTEGER_FORMAT " MiB\n", key, number(object, key) >> 20);
	}
}

static void show_memory(const json_t *result)
{
	static const char *const keys[] = {"minimum",  "maximum",   "target", "assigned",
					   "returned", "available", "demand"};
	const json_t *memory = json_object_get(result, "dynamic-memory");
	size_t i;

	if (memory == NULL) {
		printf("it is the guest's for good: see vmwp --memory-minimum\n");
		return;
	}
	for (i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		show_size(memory, keys[i]);
	}
	if (json_object_get(memory, "pressure") != NULL) {
		printf("pressure   %" JSON_INTEGER_FORMAT " %%\n", number(memory, "pressure"));
	}
	printf("buffer     %" JSON_INTEGER_FORMAT " %%\n", number(memory, "buffer"));
	printf("weight     %" JSON_INTEGER_FORMAT "\n", number(memory, "weight"));
	if (json_is_true(json_object_get(memory, "gives-no-more"))) {
		printf("the guest gives no more now\n");
	}
	if (json_is_true(json_object_get(memory, "takes-no-more"))) {
		printf("the guest takes no more\n");
	}
	if (*member_text(memory, "why") != '\0') {
		printf("%s\n", member_text(memory, "why"));
	}
}

static void show_status(const json_t *status)
{
	const json_t *sockets;

	printf("machine    %s\nid         %s\nstate      %s%s\nuptime     %" JSON_INTEGER_FORMAT
	       " s, %" JSON_INTEGER_FORMAT " resets\nVPs        %" JSON_INTEGER_FORMAT
	       "\nmemory     %" JSON_INTEGER_FORMAT " MiB\n",
	       member_text(status, "name"), member_text(status, "id"), member_text(status, "state"),
	       json_is_true(json_object_get(status, "crashed")) ? ", the guest has crashed" : "",
	       number(status, "uptime"), number(status, "resets"), number(status, "vps"),
	       number(status, "memory") >> 20);
	sockets = json_object_get(status, "sockets");
	printf("sockets    %" JSON_INTEGER_FORMAT " now, %" JSON_INTEGER_FORMAT
	       " opened, %" JSON_INTEGER_FORMAT " refused\n",
	       number(sockets, "connections"), number(sockets, "opened"),
	       number(sockets, "refused"));
	show_each(status, "serials", show_serial);
	show_each(status, "disks", show_disk);
	show_networks(status);
	show_each(status, "devices", show_device);
	show_services(status);
}

static void show_job(const json_t *job)
{
	const json_t *disk = json_object_get(job, "number"), *error = json_object_get(job, "error");

	printf("%-4" JSON_INTEGER_FORMAT " %-12s", number(job, "id"), member_text(job, "what"));
	if (disk != NULL) {
		printf(" %" JSON_INTEGER_FORMAT, json_integer_value(disk));
	}
	printf(" %s", member_text(job, "state"));
	if (*member_text(job, "step") != '\0') {
		printf(": %s", member_text(job, "step"));
	}
	if (json_object_get(job, "total") != NULL && error == NULL) {
		printf(", %" JSON_INTEGER_FORMAT " of %" JSON_INTEGER_FORMAT " KiB",
		       number(job, "done") >> 10, number(job, "total") >> 10);
	}
	printf("%s%s\n", error != NULL ? ": " : "",
	       error != NULL ? member_text(error, "message") : "");
}

static void show_jobs(const json_t *result)
{
	show_each(result, "jobs", show_job);
}

static void show_new_job(const json_t *result)
{
	show_job(json_object_get(result, "job"));
}

static void print_json(const json_t *value, size_t how)
{
	json_dumpf(value, stdout, how);
	putchar('\n');
	fflush(stdout);
}

/* One line: what, and the members that are no more than what every event has. */
static void show_event(void *user, const json_t *params)
{
	const char *key;
	json_t *value;

	(void)user;
	if (options.json) {
		print_json(params, JSON_COMPACT);
		return;
	}
	printf("%" JSON_INTEGER_FORMAT " %s", number(params, "sequence"),
	       member_text(params, "event"));
	json_object_foreach((json_t *)params, key, value)
	{
		if (json_is_object(value)) {
			putchar(' ');
			(strcmp(key, "job") == 0 ? show_job : show_service)(value);
			fflush(stdout);
			return;
		}
		if (json_is_string(value) && strcmp(key, "event") != 0) {
			printf(" %s", json_string_value(value));
		} else if (json_is_integer(value) && strcmp(key, "sequence") != 0) {
			printf(" %s %" JSON_INTEGER_FORMAT, key, json_integer_value(value));
		}
	}
	putchar('\n');
	fflush(stdout);
}

/* ---- Files ---- */

/* Only the first file of a disk is ever written. */
static bool open_file(const struct command *command, const char *name, int index, int *fds)
{
	bool writes = strcmp(command->method, CONTROL_ATTACH) == 0 && !(command->how & READ_ONLY);

	fds[index] = open(name, (writes && index == 0 ? O_RDWR : O_RDONLY) | O_CLOEXEC);
	return fds[index] >= 0 || client_fail(name, strerror(errno));
}

/* The worker has no way to a name, so the parents are looked up here. Returns how many files. */
static int open_chain(const struct command *command, const char *name, int *fds)
{
	struct disk_open how = {.flags = DISK_READ_ONLY};
	struct disk_error error;
	struct disk_info info;
	struct disk *disk;
	int count = 0;

	if (disk_open(name, &how, &disk, &error) != 0) {
		say("%s", error.text);
		return -1;
	}
	if (disk_layer_count(disk) > CONTROL_FILES_MAX) {
		say("%s: %u files, %d can be handed over; vhd merge makes it fewer", name,
		    disk_layer_count(disk), CONTROL_FILES_MAX);
		count = -1;
	}
	while (count >= 0 && disk_get_info(disk, (unsigned int)count, &info) == 0) {
		count = open_file(command, info.path, count, fds) ? count + 1 : -1;
	}
	disk_close(&disk, NULL);
	return count;
}

static int open_files(const struct command *command, char **names, int count, int *fds)
{
	int i;

	if (strcmp(command->method, CONTROL_ATTACH) == 0 && !(command->how & RAW) && count == 1) {
		return open_chain(command, names[0], fds);
	}
	for (i = 0; i < count; i++) {
		if (!open_file(command, names[i], i, fds)) {
			return -1;
		}
	}
	return count;
}

/* ---- Jobs ---- */

struct wait {
	json_int_t id;
	json_t *ended; /* the job, as it ended */
	bool lost;
};

/* On a terminal. */
static void show_progress(const struct wait *wait, const json_t *job)
{
	json_int_t total = number(job, "total");

	if (number(job, "id") == wait->id && total != 0 && isatty(STDERR_FILENO)) {
		fprintf(stderr, "\r%3d %%%s",
			(int)((double)number(job, "done") * 100 / (double)total),
			number(job, "done") == total ? "\n" : "");
	}
}

static void see_event(void *user, const json_t *params)
{
	struct wait *wait = user;
	json_t *job = json_object_get(params, "job");

	wait->lost |= json_object_get(params, "lost") != NULL;
	if (strcmp(member_text(params, "event"), CONTROL_ON_PROGRESS) == 0) {
		show_progress(wait, job);
	} else if (job != NULL && number(job, "id") == wait->id && wait->ended == NULL) {
		wait->ended = json_incref(job);
	}
}

static bool has_ended(const json_t *job)
{
	const char *state = member_text(job, "state");

	return strcmp(state, CONTROL_STATE_RUNNING) != 0 &&
	       strcmp(state, CONTROL_STATE_QUEUED) != 0;
}

/* What we were not told of: the list has it. */
static bool look_for_it(struct client *client, struct wait *wait)
{
	json_t *result = client_ask(client, CONTROL_JOBS, json_object(), NULL, 0, "jobs"), *job;
	size_t i;

	json_array_foreach(json_object_get(result, "jobs"), i, job)
	{
		if (number(job, "id") == wait->id && has_ended(job)) {
			wait->ended = json_incref(job);
		}
	}
	json_decref(result);
	return result != NULL;
}

/* Takes the job; gives it as it has ended, or NULL. */
static json_t *wait_for_job(struct client *client, struct wait *wait, json_t *job)
{
	if (has_ended(job)) {
		return job;
	}
	json_decref(job);
	while (wait->ended == NULL) {
		if (!client_next_event(client)) {
			client_fail("the worker", "it has ended before the job was done");
			return NULL;
		}
		if (wait->lost) {
			wait->lost = false;
			if (!look_for_it(client, wait)) {
				return NULL;
			}
		}
	}
	return wait->ended;
}

/* ---- The console ---- */

/* Our end of a pair whose other end the worker has for this method; -1: said why. */
static int hand_over(struct client *client, const char *method)
{
	json_t *result;
	int pair[2];

	if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) {
		client_fail(method, strerror(errno));
		return -1;
	}
	result = client_ask(client, method, json_object(), &pair[1], 1, method);
	close(pair[1]);
	if (result == NULL) {
		close(pair[0]);
		return -1;
	}
	json_decref(result);
	return pair[0];
}

static int console(struct client *client)
{
	int line = hand_over(client, CONTROL_CONSOLE);

	if (line < 0) {
		return EXIT_REFUSED;
	}
	(void)terminal_join(line, false, NULL);
	return EXIT_DONE;
}

/* ---- The guest's sockets ---- */

#define SSH_PORT   "22"
#define LOGIN_PORT "23"

/* Not a byte more than the line: what follows is the guest's. */
static bool read_ok(int line)
{
	char text[32];
	size_t length = 0;

	while (length < sizeof(text) && read(line, text + length, 1) == 1) {
		if (text[length++] == '\n') {
			return strncmp(text, "OK ", 3) == 0;
		}
	}
	return false;
}

/* A connection to who listens there in the guest; -1: nobody does. */
static int connect_guest(struct client *client, const char *service)
{
	int line = hand_over(client, CONTROL_SOCKET);

	if (line >= 0 && (dprintf(line, "CONNECT %s\n", service) < 0 || !read_ok(line))) {
		close(line);
		line = -1;
	}
	return line;
}

static int connect_here(struct client *client, const char *service)
{
	int line = connect_guest(client, service);

	if (line < 0) {
		return !client_fail(service, "nobody listens there in the guest");
	}
	(void)terminal_join(line, true, NULL);
	return EXIT_DONE;
}

/* ssh has it executed by a shell, after it has looked for % in it. */
static bool is_plain(const char *word)
{
	return strpbrk(word, "'%\n") == NULL;
}

/* Returns if it cannot be done. The guest's key is known by the machine's name. */
static void become_ssh(const char *path, const char *machine, char **words, int count)
{
	char self[4096], proxy[8400], alias[128];
	char *arguments[64] = {"ssh", "-o", proxy, "-o", alias, "guest"};
	ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);
	int i;

	if (length < 0) {
		client_fail("/proc/self/exe", strerror(errno));
		return;
	}
	self[length] = '\0';
	if (!is_plain(self) || !is_plain(path) || !is_plain(machine)) {
		client_fail(path, "ssh can be told no name that has ' or % in it");
		return;
	}
	snprintf(proxy, sizeof(proxy), "ProxyCommand='%s' '%s' connect " SSH_PORT, self, path);
	snprintf(alias, sizeof(alias), "HostKeyAlias=%s", machine);
	for (i = 0; i < count; i++) {
		arguments[6 + i] = words[i];
	}
	execvp("ssh", arguments);
	client_fail("ssh", strerror(errno));
}

static int shell(struct client *client, const char *path, char **words, int count)
{
	int line = connect_guest(client, SSH_PORT);
	json_t *status;

	if (line >= 0) {
		close(line);
		status = client_ask(client, CONTROL_STATUS, json_object(), NULL, 0, "status");
		if (status != NULL) {
			become_ssh(path, member_text(status, "name"), words, count);
		}
		return EXIT_REFUSED;
	}
	line = connect_guest(client, LOGIN_PORT);
	if (line < 0) {
		return !client_fail("shell", "the guest has neither sshd at vsock port " SSH_PORT
					     " nor a login at " LOGIN_PORT);
	}
	(void)terminal_join(line, true, NULL);
	return EXIT_DONE;
}

/* ---- Commands ---- */

static const struct command commands[] = {
	{"status", CONTROL_STATUS, NOTHING, 0, 0, 0, show_status},
	{"pause", CONTROL_PAUSE, NOTHING, 0, 0, 0, NULL},
	{"resume", CONTROL_RESUME, NOTHING, 0, 0, 0, NULL},
	{"save", CONTROL_SAVE, A_FILE, 0, 0, 0, NULL},
	{"checkpoint", CONTROL_CHECKPOINT, A_CHECKPOINT, 0, CONTROL_FILES_MAX, 0, NULL},
	{"checkpoint-end", CONTROL_CHECKPOINT_END, AN_END, 0, 0, 0, NULL},
	{"merge", CONTROL_MERGE, A_MERGE, 2, 3, 0, NULL},
	{"merged", CONTROL_MERGE, A_MERGE, 2, 3, LOOK, NULL},
	{"mirror", CONTROL_MIRROR, A_MIRROR, 1, 2, 0, NULL},
	{"go-over", CONTROL_CHECKPOINT, MIRRORS, 0, 1, 0, NULL},
	{"migrate", CONTROL_MIGRATE, A_TARGET, 0, 5, 0, show_moved},
	{"shutdown", CONTROL_SHUTDOWN, OPTIONS, 0, 2, 0, NULL},
	{"services", CONTROL_STATUS, NOTHING, 0, 0, 0, show_services},
	{"services", CONTROL_SERVICE, A_SERVICE, 1, 1, 0, show_switched},
	{"values", CONTROL_VALUE_LIST, A_POOL, 0, 0, 0, show_values},
	{"value", CONTROL_VALUE_GET, A_POOL, 1, 1, 0, show_value},
	{"set-value", CONTROL_VALUE_SET, A_POOL, 2, 3, 0, NULL},
	{"delete-value", CONTROL_VALUE_DELETE, A_POOL, 1, 1, 0, NULL},
	{"memory", CONTROL_STATUS, NOTHING, 0, 0, 0, show_memory},
	{"memory", CONTROL_MEMORY, A_SIZE, 0, 2, 0, show_memory},
	{"addresses", CONTROL_ADDRESSES_GET, ADDRESSES, 0, 0, 0, show_addresses},
	{"set-addresses", CONTROL_ADDRESSES_SET, ADDRESSES, 1, INT_MAX, 0, NULL},
	{"freeze", CONTROL_FREEZE, A_COMMAND, 2, INT_MAX, 0, NULL},
	{"thaw", CONTROL_THAW, NOTHING, 0, 0, 0, NULL},
	{"copy", CONTROL_COPY, A_COPY, 1, 3, 0, NULL},
	{"button", CONTROL_BUTTON, NOTHING, 0, 0, 0, NULL},
	{"new-generation", CONTROL_GENERATION, NOTHING, 0, 0, 0, NULL},
	{"reset", CONTROL_RESET, NOTHING, 0, 0, 0, NULL},
	{"off", CONTROL_OFF, NOTHING, 0, 0, 0, NULL},
	{"console", CONTROL_CONSOLE, NOTHING, 0, 0, 0, NULL},
	{"screenshot", CONTROL_SCREEN, A_FILE, 0, 0, 0, NULL},
	{"shell", CONTROL_SOCKET, NOTHING, 0, 50, SHELL, NULL},
	{"connect", CONTROL_SOCKET, NOTHING, 1, 1, 0, NULL},
	{"attach", CONTROL_ATTACH, A_NUMBER, 1, CONTROL_FILES_MAX, 0, NULL},
	{"attach-ro", CONTROL_ATTACH, A_NUMBER, 1, CONTROL_FILES_MAX, READ_ONLY, NULL},
	{"attach-raw", CONTROL_ATTACH, A_NUMBER, 1, 1, RAW, NULL},
	{"dvd", CONTROL_DVD, A_NUMBER, 0, 1, 0, NULL},
	{"insert", CONTROL_CHANGE, A_NUMBER, 1, 1, 0, NULL},
	{"eject", CONTROL_CHANGE, A_NUMBER, 0, 0, FORCE, NULL},
	{"detach", CONTROL_DETACH, A_NUMBER, 0, 0, 0, NULL},
	{"net list", CONTROL_STATUS, NOTHING, 0, 0, 0, show_networks},
	{"net add", CONTROL_NET_ADD, A_SWITCH, 0, 0, 0, NULL},
	{"net remove", CONTROL_NET_REMOVE, AN_ADAPTER, 0, 0, 0, NULL},
	{"net connect", CONTROL_NET_CONNECT, AN_ADAPTER, 0, 0, 0, NULL},
	{"net function", CONTROL_DEVICE_ADD, A_FUNCTION, 1, 1, 0, NULL},
	{"device add", CONTROL_DEVICE_ADD, A_DEVICE, 0, 0, 0, NULL},
	{"device remove", CONTROL_DEVICE_REMOVE, A_DEVICE, 0, 1, 0, NULL},
	{"jobs", CONTROL_JOBS, NOTHING, 0, 0, 0, show_jobs},
	{"cancel", CONTROL_CANCEL, A_JOB, 0, 0, 0, NULL},
	{"events", CONTROL_EVENTS, NOTHING, 0, 0, 0, NULL},
};

/* A word that says about what: the first one. */
static bool takes_one(const struct command *command)
{
	return command->takes != NOTHING && command->takes != OPTIONS &&
	       command->takes != A_COMMAND && command->takes != MIRRORS;
}

/* Where among its words files begin, and how many they are. */
static int find_files(const struct command *command, int word_count, int *first)
{
	*first = command->takes == A_NUMBER ? 1 : 0;
	switch (command->takes) {
	case A_NUMBER:
		return word_count - 1;
	case A_COPY:
		return 1;
	default:
		return 0;
	}
}

/* How many words of the command line are the command's name; 0: it is another. */
static int name_words(const struct command *command, int argc, char **argv)
{
	size_t length = strcspn(command->name, " ");
	const char *second = command->name + length;

	if (argc < 2 || strlen(argv[1]) != length || strncmp(command->name, argv[1], length) != 0) {
		return 0;
	}
	if (*second == '\0') {
		return 1;
	}
	return argc >= 3 && strcmp(second + 1, argv[2]) == 0 ? 2 : 0;
}

/* *words: those of its name. */
static const struct command *find(int argc, char **argv, int *words)
{
	size_t i;

	for (i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		const struct command *command = &commands[i];
		int more;

		*words = name_words(command, argc, argv);
		more = argc - 1 - *words - takes_one(command);
		if (*words != 0 && more >= command->more_min && more <= command->more_max) {
			return command;
		}
	}
	return NULL;
}

/* The worker knows which there are. */
static bool put_options(json_t *params, char **words, int count)
{
	int i;

	for (i = 0; i < count; i++) {
		bool reboot = strcmp(words[i], "--reboot") == 0;

		if (!reboot && strcmp(words[i], "--force") != 0) {
			return client_fail(words[i],
					   "not an option of shutdown: --reboot, --force");
		}
		json_object_set_new(params, reboot ? "restart" : "force", json_true());
	}
	return true;
}

static bool put_end(json_t *params, const char *word)
{
	bool keep = strcmp(word, "keep") == 0;

	json_object_set_new(params, "keep", json_boolean(keep));
	return keep || strcmp(word, "drop") == 0 || client_fail(word, "write keep or drop");
}

static bool put_copy(json_t *params, char **words, int count)
{
	int i;

	for (i = 1; i < count; i++) {
		bool make = strcmp(words[i], "--create-directories") == 0;

		if (!make && strcmp(words[i], "--overwrite") != 0) {
			return client_fail(
				words[i],
				"not an option of copy: --create-directories, --overwrite");
		}
		json_object_set_new(params, make ? "create-directories" : "overwrite", json_true());
	}
	return json_object_set_new(params, "path", json_string(words[0])) == 0 ||
	       client_fail(words[0], "the name is not UTF-8");
}

static bool put_service(json_t *params, char **words)
{
	bool on = strcmp(words[1], "on") == 0;

	if (!on && strcmp(words[1], "off") != 0) {
		return client_fail(words[1], "write on or off");
	}
	json_object_set_new(params, "on", json_boolean(on));
	return json_object_set_new(params, "name", json_string(words[0])) == 0 ||
	       client_fail(words[0], "not the name of a service");
}

/* The worker says which of them are none. */
static bool put_addresses(json_t *params, char **words, int count)
{
	static const struct {
		const char *before, *list;
	} kinds[] = {{"gateway=", "gateways"}, {"dns=", "dns"}, {"", "addresses"}};
	json_t *list;
	int i, kind;

	for (i = 0; i < count; i++) {
		if (strcmp(words[i], "dhcp") == 0) {
			json_object_set_new(params, "dhcp", json_true());
			continue;
		}
		for (kind = 0; strncmp(words[i], kinds[kind].before, strlen(kinds[kind].before));
		     kind++) {
		}
		list = json_object_get(params, kinds[kind].list);
		if (list == NULL) {
			list = json_array();
			json_object_set_new(params, kinds[kind].list, list);
		}
		if (json_array_append_new(
			    list, json_string(words[i] + strlen(kinds[kind].before))) != 0) {
			return client_fail(words[i], "it is not UTF-8");
		}
	}
	return true;
}

/* [SECONDS] -- COMMAND... */
static bool put_seconds(json_t *params, char **words)
{
	json_int_t seconds;

	if (strcmp(words[0], "--") == 0) {
		return true;
	}
	if (!words_number(words[0], &seconds) || strcmp(words[1], "--") != 0 || words[2] == NULL) {
		return client_fail(words[0], "write freeze [SECONDS] -- COMMAND [ARGUMENT...]");
	}
	return json_object_set_new(params, "seconds", json_integer(seconds)) == 0;
}

static bool put_value(json_t *params, char **words, int count)
{
	static const char *const members[] = {"pool", "key", "value", "type"};
	int i;

	for (i = 0; i < count; i++) {
		if (json_object_set_new(params, members[i], json_string(words[i])) != 0) {
			return client_fail(words[i], "it is not UTF-8");
		}
	}
	return true;
}

/* ---- Adapters ---- */

#define PORT_SOCKET "/run/vswitchd.ports" /* vswitchd's own default */

/* WORD[,KEY=VALUE]..., in pieces; the socket's path is no parameter, but where we connect. */
static bool take_options(char *word, json_t *network, const char **path)
{
	static const char *const keys[] = {"port",    "mac",    "vlan", "queues",
					   "signals", "socket", "model"};
	char *rest = strchr(word, ','), *value, *next;
	json_int_t count;
	size_t i;

	for (; rest != NULL; rest = next) {
		*rest++ = '\0';
		next = strchr(rest, ',');
		if (next != NULL) {
			*next = '\0';
		}
		value = strchr(rest, '=');
		if (value != NULL) {
			*value++ = '\0';
		}
		i = network != NULL ? 0 : 5;
		while (i < ARRAY_COUNT(keys) && strcmp(rest, keys[i]) != 0) {
			i++;
		}
		if (value == NULL || i == ARRAY_COUNT(keys) || (network == NULL && i != 5)) {
			return client_fail(rest, network != NULL
							 ? "give port=NAME, mac=ADDRESS, vlan=N, "
							   "queues=N, signals=page or socket=PATH"
							 : "give socket=PATH");
		}
		if (i == 5) {
			*path = value;
		} else if ((i == 2 || i == 3) && words_number(value, &count)) {
			json_object_set_new(network, keys[i], json_integer(count));
		} else {
			json_object_set_new(network, keys[i], json_string(value));
		}
	}
	return true;
}

static bool put_adapter(json_t *params, char *word, const char **path)
{
	json_int_t value;

	if (!take_options(word, NULL, path)) {
		return false;
	}
	if (!words_number(word, &value)) {
		return client_fail(word, "not the number of an adapter; see net list");
	}
	json_object_set_new(params, "number", json_integer(value));
	return true;
}

static bool put_switch(json_t *params, char *word, const char **path)
{
	json_t *network = json_object();

	json_object_set_new(params, "network", network);
	return take_options(word, network, path) &&
	       (json_object_set_new(network, "switch", json_string(word)) == 0 ||
		client_fail(word, "it is not UTF-8"));
}

/* SIZE, minimum=SIZE, maximum=SIZE: in any order. */
static bool put_memory(json_t *params, char **words, int count)
{
	static const struct {
		const char *start, *key;
	} kinds[] = {{"minimum=", "minimum"}, {"maximum=", "maximum"}, {"", "target"}};
	json_int_t value;

	for (int i = 0; i < count; i++) {
		size_t kind = 0, length;

		while (length = strlen(kinds[kind].start),
		       strncmp(words[i], kinds[kind].start, length) != 0) {
			kind++;
		}
		if (!words_size(words[i] + length, &value)) {
			return client_fail(words[i], "not a size; write it as 512M or 2G");
		}
		json_object_set_new(params, kinds[kind].key, json_integer(value));
	}
	return true;
}

static bool put_device(json_t *params, char **words, int count)
{
	if (count > 1 && strcmp(words[1], "--force") != 0) {
		return client_fail(words[1], "not an option of device remove: --force");
	}
	if (count > 1) {
		json_object_set_new(params, "force", json_true());
	}
	return json_object_set_new(params, "pci", json_string(words[0])) == 0 ||
	       client_fail(words[0], "it is not UTF-8");
}

/* Container and group, or the container alone: how many; -1: said why. */
static int open_device(const char *address, int *fds)
{
	char why[512];

	if (pci_open(address, &fds[0], &fds[1], why, sizeof(why)) != 0) {
		client_fail(address, why);
		return -1;
	}
	return fds[1] >= 0 ? 2 : 1;
}

/* The worker has no way to a path, so its connection to the switch is made here. */
static int connect_switch(const char *path)
{
	int fd = connect_at(path, SOCK_SEQPACKET);

	if (fd < 0) {
		client_fail(path, strerror(-fd));
	}
	return fd;
}

/* Of commands that need a descriptor of a switch. */
static bool takes_switch(const struct command *command)
{
	return strcmp(command->method, CONTROL_NET_ADD) == 0 ||
	       strcmp(command->method, CONTROL_NET_CONNECT) == 0;
}

/* NULL: said why. */
static json_t *make_params(const struct command *command, char **words, int word_count, int files,
			   const char **path)
{
	json_t *params = json_object();
	json_int_t value;

	if (command->takes == OPTIONS) {
		return put_options(params, words, word_count) ? params : NULL;
	}
	if (command->takes == AN_END) {
		return put_end(params, words[0]) ? params : NULL;
	}
	if (command->takes == A_COPY) {
		return put_copy(params, words + 1, word_count - 1) ? params : NULL;
	}
	if (command->takes == A_COMMAND) {
		return put_seconds(params, words) ? params : NULL;
	}
	if (command->takes == A_SERVICE) {
		return put_service(params, words) ? params : NULL;
	}
	if (command->takes == A_POOL) {
		return put_value(params, words, word_count) ? params : NULL;
	}
	if (command->takes == A_FUNCTION) {
		return (strcmp(words[0], "all") == 0 && strcmp(words[1], "off") == 0) ||
				       put_adapter(params, words[0], path)
			       ? params
			       : NULL;
	}
	if (command->takes == AN_ADAPTER) {
		return put_adapter(params, words[0], path) ? params : NULL;
	}
	if (command->takes == A_SWITCH) {
		return put_switch(params, words[0], path) ? params : NULL;
	}
	if (command->takes == A_DEVICE) {
		return put_device(params, words, word_count) ? params : NULL;
	}
	if (command->takes == A_SIZE) {
		return put_memory(params, words, word_count) ? params : NULL;
	}
	if (command->takes != NOTHING && command->takes != A_FILE && command->takes != A_TARGET &&
	    command->takes != A_CHECKPOINT && command->takes != A_MERGE &&
	    command->takes != A_MIRROR && command->takes != MIRRORS) {
		if (!words_number(words[0], &value)) {
			client_fail(words[0], command->takes == A_JOB ? "not the number of a job"
					      : command->takes == ADDRESSES
						      ? "not the number of a network adapter"
						      : "not the number of a disk");
			return NULL;
		}
		json_object_set_new(params,
				    command->takes == A_JOB       ? "job"
				    : command->takes == ADDRESSES ? "adapter"
								  : "number",
				    json_integer(value));
	}
	if (command->takes == ADDRESSES) {
		return put_addresses(params, words + 1, word_count - 1) ? params : NULL;
	}
	if (files > 0 && json_object_set_new(params, "name", json_string(words[1])) != 0) {
		client_fail(words[1], "the name is not UTF-8; give a link to it that is");
		return NULL;
	}
	if (command->how & READ_ONLY) {
		json_object_set_new(params, "read-only", json_true());
	}
	if (command->how & RAW) {
		json_object_set_new(params, "raw", json_true());
	}
	if (command->how & FORCE) {
		json_object_set_new(params, "force", json_true());
	}
	return params;
}

static int show_result(const struct command *command, const json_t *result)
{
	if (options.json) {
		print_json(result, JSON_INDENT(2));
	} else if (command->show != NULL) {
		command->show(result);
	}
	return EXIT_DONE;
}

static int show_end(const struct command *command, const json_t *job, const char *about)
{
	const json_t *error = json_object_get(job, "error"),
		     *answer = json_object_get(job, "answer");

	if (options.json) {
		print_json(job, JSON_INDENT(2));
	}
	if (error != NULL) {
		return !client_refused(about, error);
	}
	if (strcmp(member_text(job, "state"), CONTROL_STATE_DONE) != 0) {
		return !client_fail(about, member_text(job, "state"));
	}
	if (answer != NULL && !options.json) {
		command->show(answer);
	} else if (answer == NULL && command->show != NULL) {
		return !client_fail(about, "the answer was lost among other events; ask again");
	}
	return EXIT_DONE;
}

static int follow(struct client *client)
{
	json_t *result;

	client->event = show_event;
	result = client_ask(client, CONTROL_EVENTS, json_object(), NULL, 0, "events");
	if (result == NULL) {
		return EXIT_REFUSED;
	}
	json_decref(result);
	while (client_next_event(client)) {
	}
	return EXIT_DONE;
}

/* *next: a list goes on there; 0: it does not. */
static int ask(struct client *client, const struct command *command, json_t *params, const int *fds,
	       int count, const char *about, json_int_t *next)
{
	struct wait wait = {0};
	json_t *result, *job;
	int status;

	*next = 0;
	client->event = see_event;
	client->user = &wait;
	result = client_ask(client, command->method, params, fds, count, about);
	if (result == NULL) {
		return EXIT_REFUSED;
	}
	job = json_object_get(result, "job");
	if (job == NULL || strcmp(command->method, CONTROL_CANCEL) == 0) {
		status = show_result(command, result);
	} else if (options.no_wait) {
		status = show_result(&(const struct command){.show = show_new_job}, result);
	} else {
		wait.id = number(job, "id");
		job = wait_for_job(client, &wait, json_incref(job));
		status = job != NULL ? show_end(command, job, about) : EXIT_REFUSED;
		*next = number(json_object_get(job, "answer"), "next");
		json_decref(job);
	}
	json_decref(result);
	return status;
}

/* Events are asked for before a request: then no end of a job is missed. */
static bool subscribe(struct client *client)
{
	json_t *result = client_ask(client, CONTROL_EVENTS, json_object(), NULL, 0, "events");

	json_decref(result);
	return result != NULL;
}

static int ask_plainly(struct client *client, const char *method)
{
	const struct command command = {.method = method};
	json_int_t next;

	return ask(client, &command, json_object(), NULL, 0, method, &next);
}

/* Pauses the machine, if it runs; *paused: it did. */
static int stand_still(struct client *client, bool *paused)
{
	json_t *status = client_ask(client, CONTROL_STATUS, json_object(), NULL, 0, "status");
	bool no_wait = options.no_wait;
	int ret;

	*paused = status != NULL && strcmp(member_text(status, "state"), CONTROL_STATE_PAUSED) != 0;
	json_decref(status);
	if (status == NULL || !*paused) {
		return status != NULL ? EXIT_DONE : EXIT_REFUSED;
	}
	options.no_wait = false;
	ret = ask_plainly(client, CONTROL_PAUSE);
	options.no_wait = no_wait;
	*paused = ret == EXIT_DONE;
	return ret;
}

/* What is not saved goes on as it was. */
static int save(struct client *client, const struct command *command, const char *name)
{
	int fd = open(name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600), status;
	bool paused = false;
	json_int_t next;

	if (fd < 0) {
		return !client_fail(name, errno == EEXIST ? "it exists; give the name of a new file"
							  : strerror(errno));
	}
	status = subscribe(client) ? stand_still(client, &paused) : EXIT_REFUSED;
	if (status == EXIT_DONE) {
		status = ask(client, command, json_object(), &fd, 1, name, &next);
	}
	if (status != EXIT_DONE) {
		unlink(name);
		if (paused) {
			(void)ask_plainly(client, CONTROL_RESUME);
		}
	}
	return status;
}

/* ---- Checkpoints ---- */

/* What the command has made: taken away again if it fails. */
struct new_files {
	const char *names[CONTROL_FILES_MAX];
	int fds[CONTROL_FILES_MAX], count;
};

/* False: said why. */
static bool add_file(struct new_files *files, const char *name, int flags)
{
	int fd = open(name, O_RDWR | O_CLOEXEC | flags, 0600);

	if (fd < 0) {
		return client_fail(name, errno == EEXIST ? "it exists; give the name of a new file"
							 : strerror(errno));
	}
	files->names[files->count] = name;
	files->fds[files->count++] = fd;
	return true;
}

static const char *name_of_disk(const json_t *status, const char *controller, json_int_t n)
{
	const json_t *disk;
	size_t i;

	json_array_foreach(json_object_get(status, "disks"), i, disk)
	{
		if (strcmp(member_text(disk, "controller"), controller) == 0 &&
		    number(disk, "number") == n) {
			return member_text(disk, "name");
		}
	}
	return NULL;
}

/* "[ide:]NUMBER=FILE": a disk over the one that is there. */
static bool add_disk(struct new_files *files, json_t *disks, const json_t *status, char *word)
{
	bool ide = strncmp(word, "ide:", 4) == 0;
	const char *controller = ide ? "ide" : "scsi", *parent;
	struct disk_create how = {.type = DISK_DIFFERENCING, .no_lock = true};
	char *which = ide ? word + 4 : word, *file = strchr(which, '=');
	struct disk_error error;
	json_int_t n;

	if (file != NULL) {
		*file++ = '\0';
	}
	if (file == NULL || !words_number(which, &n)) {
		return client_fail(word, "give NUMBER=FILE, or ide:NUMBER=FILE");
	}
	parent = name_of_disk(status, controller, n);
	if (parent == NULL || files->count == CONTROL_FILES_MAX) {
		return client_fail(which, "there is no such disk; see vmctl SOCKET status");
	}
	how.parent = parent;
	if (disk_create(file, &how, &error) != 0) {
		say("%s", error.text);
		return false;
	}
	json_array_append_new(disks, json_pack("{s:s, s:I, s:s}", "controller", controller,
					       "number", n, "name", file));
	if (!add_file(files, file, 0)) {
		unlink(file);
		return false;
	}
	return true;
}

static json_t *make_files(struct client *client, struct new_files *files, char **words, int count)
{
	json_t *status = client_ask(client, CONTROL_STATUS, json_object(), NULL, 0, "status");
	bool state = strcmp(words[0], "-") != 0, good;
	json_t *disks = json_array();

	good = status != NULL && (!state || add_file(files, words[0], O_CREAT | O_EXCL));
	for (int i = 1; i < count && good; i++) {
		good = add_disk(files, disks, status, words[i]);
	}
	json_decref(status);
	if (!good) {
		json_decref(disks);
		return NULL;
	}
	return json_pack("{s:b, s:o}", "state", state, "disks", disks);
}

/* Of a machine that stands: it goes on only where all has been done. */
typedef int taking(struct client *client, const struct command *command, char **words, int count);

static int take_files(struct client *client, const struct command *command, char **words, int count)
{
	struct new_files files = {.count = 0};
	json_t *params = make_files(client, &files, words, count);
	json_int_t next;
	int status = EXIT_REFUSED;

	if (params != NULL) {
		status = ask(client, command, params, files.fds, files.count, words[0], &next);
	}
	while (status != EXIT_DONE && files.count > 0) {
		unlink(files.names[--files.count]);
	}
	return status;
}

static int take_mirrors(struct client *client, const struct command *command, char **words,
			int count)
{
	json_int_t next;

	(void)words;
	(void)count;
	return ask(client, command, json_pack("{s:b, s:[]}", "mirrored", true, "disks"), NULL, 0,
		   command->name, &next);
}

/* The machine stands for it, and goes on then, in the new files, unless it is to `stand`. */
static int take_standing(struct client *client, const struct command *command, char **words,
			 int count, bool stand, taking *take)
{
	static const struct command end = {.method = CONTROL_CHECKPOINT_END};
	bool paused = false;
	json_int_t next;
	int status;

	options.no_wait = false;
	status = subscribe(client) ? stand_still(client, &paused) : EXIT_REFUSED;
	if (status == EXIT_DONE) {
		status = take(client, command, words, count);
	}
	if (status == EXIT_DONE && !stand) {
		status = ask(client, &end, json_pack("{s:b}", "keep", true), NULL, 0,
			     count > 0 ? words[0] : command->name, &next);
	}
	if (paused && (status != EXIT_DONE || !stand)) {
		(void)ask_plainly(client, CONTROL_RESUME);
	}
	return status;
}

static int checkpoint(struct client *client, const struct command *command, char **words, int count)
{
	bool stand = count > 1 && strcmp(words[1], "--stand") == 0;

	if (stand) { /* the first word takes its place */
		words[1] = words[0];
		words++;
		count--;
	}
	return take_standing(client, command, words, count, stand, take_files);
}

static int go_over(struct client *client, const struct command *command, char **words, int count)
{
	bool stand = count > 0;

	if (stand && strcmp(words[0], "--stand") != 0) {
		return !client_fail(words[0], "not an option of go-over: --stand");
	}
	return take_standing(client, command, NULL, 0, stand, take_mirrors);
}

/* "[ide:]NUMBER" */
static bool put_disk(json_t *params, const char *word)
{
	bool ide = strncmp(word, "ide:", 4) == 0;
	json_int_t n;

	if (!words_number(ide ? word + 4 : word, &n)) {
		return client_fail(word, "give NUMBER, or ide:NUMBER");
	}
	json_object_set_new(params, "controller", json_string(ide ? "ide" : "scsi"));
	json_object_set_new(params, "number", json_integer(n));
	return true;
}

/* What is seen from the folder of the file over it; of the top itself it is not used. */
static bool put_parent(json_t *params, char **words, int count)
{
	struct disk_error error;
	char *absolute, *relative;

	if (disk_parent_names(words[count > 3 ? 3 : 1], words[2], &absolute, &relative, &error) !=
	    0) {
		say("%s", error.text);
		return false;
	}
	json_object_set_new(params, "name", json_string(words[2]));
	json_object_set_new(params, "absolute", json_string(absolute));
	json_object_set_new(params, "relative", json_string(relative));
	free(absolute);
	free(relative);
	return true;
}

/* True, and *merged: whether it has gone. */
static bool look_at_merge(struct client *client, const json_t *params, const int *fds, int count,
			  const char *about, bool *merged)
{
	json_t *look = json_copy((json_t *)params), *result;

	json_object_set_new(look, "look", json_true());
	result = client_ask(client, CONTROL_MERGE, look, fds, (unsigned int)count, about);
	*merged = json_is_true(json_object_get(result, "merged"));
	json_decref(result);
	return result != NULL;
}

/* The job may be one of who asked before us, of another file of the disk: so it is asked until this
 * one has gone. */
static int merge(struct client *client, const struct command *command, char **words, int count)
{
	json_t *params = json_object();
	bool good = put_disk(params, words[0]) && put_parent(params, words, count) &&
		    subscribe(client),
	     merged = false;
	int fds[3], i;
	json_int_t next;

	for (i = 0; i < count - 1 && good; i++) {
		fds[i] = open(words[1 + i], O_RDWR | O_CLOEXEC);
		good = fds[i] >= 0 || client_fail(words[1 + i], strerror(errno));
	}
	while (good && look_at_merge(client, params, fds, count - 1, words[1], &merged) &&
	       !merged) {
		if (command->how & LOOK) {
			client_fail(words[1], "it has not gone into its parent");
			break;
		}
		good = ask(client, command, json_incref(params), fds, count - 1, words[1], &next) ==
		       EXIT_DONE;
		if (options.no_wait) {
			merged = good; /* as far as that is wanted */
			break;
		}
	}
	json_decref(params);
	return merged ? EXIT_DONE : EXIT_REFUSED;
}

/* The worker has no way to a name: its new file's parents are looked up here, by the names that it
 * gets. */
static int mirror(struct client *client, const struct command *command, char **words, int count)
{
	static const struct command reads = {.method = CONTROL_MERGE, .how = READ_ONLY};
	json_t *params = json_object();
	char *names[] = {NULL, words[1], count > 2 ? words[2] : NULL};
	int fds[1 + CONTROL_FILES_MAX], parents;
	json_int_t next;

	if (!put_disk(params, words[0]) || (count > 2 && !put_parent(params, names, 3)) ||
	    !subscribe(client)) {
		json_decref(params);
		return EXIT_REFUSED;
	}
	json_object_set_new(params, "name", json_string(words[1]));
	fds[0] = open(words[1], O_RDWR | O_CREAT | O_CLOEXEC, 0600);
	if (fds[0] < 0) {
		client_fail(words[1], strerror(errno));
		json_decref(params);
		return EXIT_REFUSED;
	}
	parents = count > 2 ? open_chain(&reads, words[2], fds + 1) : 0;
	if (parents < 0 || parents == CONTROL_FILES_MAX) {
		json_decref(params);
		return EXIT_REFUSED;
	}
	return ask(client, command, params, fds, 1 + parents, words[1], &next);
}

/* Those that are copied still; then all of them can be ended. */
static bool cancel_mirrors(struct client *client)
{
	bool left = true;
	json_t *result, *job;
	size_t i;

	while (left) {
		result = client_ask(client, CONTROL_JOBS, json_object(), NULL, 0, "jobs");
		if (result == NULL) {
			return false;
		}
		left = false;
		json_array_foreach(json_object_get(result, "jobs"), i, job)
		{
			if (strcmp(member_text(job, "what"), CONTROL_MIRROR) == 0 &&
			    !has_ended(job)) {
				json_decref(client_ask(
					client, CONTROL_CANCEL,
					json_pack("{s:O}", "job", json_object_get(job, "id")), NULL,
					0, "cancel"));
				left = true;
			}
		}
		json_decref(result);
		if (left) {
			usleep(10000);
		}
	}
	return true;
}

/* "owner=FILE", "switch=PATH", "disks" and two numbers. *owner: where the file is; *ports: where a
 * switch takes workers. */
static bool put_target(json_t *params, char **words, int count, const char **owner,
		       const char **ports)
{
	int i;

	for (i = 0; i < count; i++) {
		char *value = strchr(words[i], '=');
		json_int_t n = 0;

		if (value != NULL) {
			*value++ = '\0';
		}
		if (value == NULL && strcmp(words[i], "disks") == 0) {
			json_object_set_new(params, "disks", json_true());
		} else if (value != NULL && strcmp(words[i], "owner") == 0) {
			*owner = value;
		} else if (value != NULL && strcmp(words[i], "switch") == 0) {
			*ports = value;
		} else if (value != NULL && words_number(value, &n)) {
			json_object_set_new(params, words[i],
					    json_integer(n)); /* the worker knows which there are */
		} else {
			return client_fail(
				words[i],
				"give owner=FILE, downtime=MS, rounds=NUMBER, switch=PATH or "
				"disks");
		}
	}
	return true;
}

static int migrate(struct client *client, const struct command *command, char **words, int count)
{
	char beside[PATH_MAX];
	const char *owner = beside, *ports = PORT_SOCKET;
	json_t *params = json_object(), *status;
	json_int_t next;
	int fds[2 + CONTROL_ADAPTER_MAX + 1], used = 2;
	size_t adapters;

	snprintf(beside, sizeof(beside), "%s.owner", words[0]);
	if (!put_target(params, words + 1, count - 1, &owner, &ports)) {
		return EXIT_REFUSED;
	}
	if (strncmp(words[0], "fd:", 3) == 0) { /* it is connected, and was handed to us */
		fds[0] = words_number(words[0] + 3, &next) ? (int)next : -EBADF;
	} else {
		fds[0] = connect_at(words[0], SOCK_STREAM);
	}
	if (fds[0] < 0) {
		return !client_fail(words[0], strerror(-fds[0]));
	}
	fds[1] = open(owner, O_RDWR | O_CLOEXEC);
	if (fds[1] < 0) {
		return !client_fail(owner, strerror(errno));
	}
	/* For the case that it stays: the worker has no way to its switch. */
	status = client_ask(client, CONTROL_STATUS, json_object(), NULL, 0, "status");
	if (status == NULL) {
		return EXIT_REFUSED;
	}
	adapters = json_array_size(json_object_get(status, "networks"));
	json_decref(status);
	while (adapters > (size_t)(used - 2) && used < 2 + CONTROL_ADAPTER_MAX + 1) {
		fds[used] = connect_switch(ports);
		if (fds[used++] < 0) {
			return EXIT_REFUSED;
		}
	}
	return subscribe(client) ? ask(client, command, params, fds, used, words[0], &next)
				 : EXIT_REFUSED;
}

/* Its end as a shell would show it. */
static int run_command(char **words)
{
	pid_t child = fork();
	int status;

	if (child == 0) {
		execvp(words[0], words);
		client_fail(words[0], strerror(errno));
		_exit(127);
	}
	if (child < 0 || waitpid(child, &status, 0) != child) {
		client_fail(words[0], strerror(errno));
		return 127;
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

/* The command while the guest's file systems stand: they do no longer than we are connected. */
static int run_frozen(struct client *client, json_t *params, char **words)
{
	static const struct command freeze = {"freeze", CONTROL_FREEZE, .show = NULL},
				    thaw = {"thaw", CONTROL_THAW, .show = NULL};
	json_int_t next;
	int status, ended;

	status = ask(client, &freeze, params, NULL, 0, "freeze", &next);
	if (status != EXIT_DONE) {
		return status;
	}
	ended = run_command(strcmp(words[0], "--") == 0 ? words + 1 : words + 2);
	if (ended != 0) {
		fprintf(stderr, "vmctl: the command's exit status is %d\n", ended);
	}
	status = ask(client, &thaw, json_object(), NULL, 0, "thaw", &next);
	return ended != 0 ? EXIT_REFUSED : status;
}

/* ---- An adapter's virtual function ---- */

/* Of a status; NULL: there is no such one. */
static json_t *find_adapter(const json_t *status, json_int_t wanted)
{
	json_t *adapter;
	size_t i;

	json_array_foreach(json_object_get(status, "networks"), i, adapter)
	{
		if (number(adapter, "number") == wanted) {
			return adapter;
		}
	}
	return NULL;
}

/* The adapter whose function it is, in a status that is the caller's then; NULL: it is none. */
static const json_t *find_function(struct client *client, const char *address, json_t **status)
{
	const json_t *adapter;
	size_t i;

	*status = client_ask(client, CONTROL_STATUS, json_object(), NULL, 0, "status");
	json_array_foreach(json_object_get(*status, "networks"), i, adapter)
	{
		if (strcmp(member_text(adapter, "function"), address) == 0) {
			return adapter;
		}
	}
	return NULL;
}

static int give_function(struct client *client, const json_t *adapter, const char *wanted)
{
	char address[PCI_ADDRESS];
	static const struct command add = {.method = CONTROL_DEVICE_ADD};
	int fds[CONTROL_FILES_MAX], count, status = EXIT_REFUSED;
	json_int_t next;

	if (strcmp(wanted, "on") != 0 && !pci_is_address(wanted)) {
		return !client_fail(
			wanted, "give an address as lspci -D shows it: 0000:01:10.0; or on, off");
	}
	snprintf(address, sizeof(address), "%s", wanted);
	if (!function_begin(adapter, address)) {
		return EXIT_REFUSED;
	}
	count = open_device(address, fds);
	if (count >= 0) {
		status = ask(client, &add,
			     json_pack("{s:s, s:I}", "pci", address, "adapter",
				       number(adapter, "number")),
			     fds, count, address, &next);
	}
	if (status != EXIT_DONE) {
		(void)!function_end(adapter, address);
	}
	return status;
}

static int take_function(struct client *client, const json_t *adapter)
{
	static const struct command remove = {.method = CONTROL_DEVICE_REMOVE};
	const char *address = member_text(adapter, "function");
	json_int_t next;
	int status;

	if (*address == '\0') {
		return EXIT_DONE;
	}
	status = ask(client, &remove, json_pack("{s:s}", "pci", address), NULL, 0, address, &next);
	return status != EXIT_DONE || function_end(adapter, address) ? status : EXIT_REFUSED;
}

/* What a card knows is in no state: the switch carries frames of machines that go on elsewhere. */
static bool is_about_state(const struct command *command, char **words)
{
	return command->takes == A_FILE || command->takes == A_TARGET ||
	       (command->takes == A_CHECKPOINT && strcmp(words[0], "-") != 0);
}

static bool take_functions(struct client *client)
{
	const struct options asked = options;
	json_t *status, *adapter;
	bool done;
	size_t i;

	options = (struct options){0}; /* what the command prints is about the command */
	status = client_ask(client, CONTROL_STATUS, json_object(), NULL, 0, "status");
	done = status != NULL;
	json_array_foreach(json_object_get(status, "networks"), i, adapter)
	{
		if (done && json_object_get(adapter, "function") != NULL) {
			done = subscribe(client) && take_function(client, adapter) == EXIT_DONE;
		}
	}
	json_decref(status);
	options = asked;
	return done;
}

static int change_function(struct client *client, json_t *params, const char *address)
{
	json_t *status, *adapter;
	int done = EXIT_REFUSED;

	if (json_object_get(params, "number") == NULL) {
		json_decref(params);
		return take_functions(client) ? EXIT_DONE : EXIT_REFUSED;
	}
	options.no_wait = false; /* what is done to the card is done before and after it */
	status = client_ask(client, CONTROL_STATUS, json_object(), NULL, 0, "status");
	adapter = find_adapter(status, number(params, "number"));
	if (adapter == NULL) {
		(void)!client_fail("net function", "there is no such adapter; see net list");
	} else if (subscribe(client)) {
		done = strcmp(address, "off") == 0 ? take_function(client, adapter)
						   : give_function(client, adapter, address);
	}
	json_decref(status);
	json_decref(params);
	return done;
}

static int run(const char *path, const struct command *command, char **words, int word_count)
{
	int first, files = find_files(command, word_count, &first), count, fds[CONTROL_FILES_MAX];
	const char *about = files > 0            ? words[first]
			    : takes_one(command) ? words[0]
						 : command->name;
	const char *switch_path = PORT_SOCKET;
	json_t *params = make_params(command, words, word_count, files, &switch_path);
	json_t *about_function = NULL;
	const json_t *of = NULL;
	struct client client = {.fd = -1};
	json_int_t next;
	int status;

	if (params == NULL || !client_open(&client, path)) {
		return EXIT_REFUSED;
	}
	if (strcmp(command->method, CONTROL_EVENTS) == 0) {
		return follow(&client);
	}
	if (strcmp(command->method, CONTROL_CONSOLE) == 0) {
		return console(&client);
	}
	if (strcmp(command->method, CONTROL_SCREEN) == 0) {
		return screenshot(&client, words[0]) ? EXIT_DONE : EXIT_REFUSED;
	}
	if (is_about_state(command, words) && !take_functions(&client)) {
		return EXIT_REFUSED;
	}
	if (command->takes == A_FILE) {
		return save(&client, command, words[0]);
	}
	if (command->takes == A_CHECKPOINT) {
		return checkpoint(&client, command, words, word_count);
	}
	if (command->takes == A_MERGE) {
		return merge(&client, command, words, word_count);
	}
	if (command->takes == A_MIRROR) {
		return mirror(&client, command, words, word_count);
	}
	if (command->takes == MIRRORS) {
		return go_over(&client, command, words, word_count);
	}
	if (command->takes == AN_END && strcmp(words[0], "drop") == 0 && !cancel_mirrors(&client)) {
		return EXIT_REFUSED;
	}
	if (command->takes == A_TARGET) {
		return migrate(&client, command, words, word_count);
	}
	if (strcmp(command->method, CONTROL_SOCKET) == 0) {
		return command->how & SHELL ? shell(&client, path, words, word_count)
					    : connect_here(&client, words[0]);
	}
	count = files > 0 ? open_files(command, words + first, files, fds) : 0;
	if (takes_switch(command)) {
		fds[0] = connect_switch(switch_path);
		count = fds[0] >= 0 ? 1 : -1;
	}
	if (command->takes == A_FUNCTION) {
		return change_function(&client, params, words[1]);
	}
	if (strcmp(command->method, CONTROL_DEVICE_ADD) == 0) {
		count = open_device(words[0], fds);
	}
	if (strcmp(command->method, CONTROL_DEVICE_REMOVE) == 0) {
		of = find_function(&client, words[0], &about_function);
	}
	if (count < 0) {
		return EXIT_REFUSED;
	}
	if (!subscribe(&client)) {
		return EXIT_REFUSED;
	}
	if (command->takes == A_COMMAND) {
		options.no_wait = false;
		return run_frozen(&client, params, words);
	}
	status = ask(&client, command, json_incref(params), fds, count, about, &next);
	while (status == EXIT_DONE && next != 0) {
		json_object_set_new(params, "from", json_integer(next));
		status = ask(&client, command, json_incref(params), NULL, 0, about, &next);
	}
	if (of != NULL && status == EXIT_DONE && !function_end(of, words[0])) {
		status = EXIT_REFUSED;
	}
	json_decref(about_function);
	json_decref(params);
	return status;
}

int main(int argc, char **argv)
{
	const struct command *command;
	int words;

	say_set_name("vmctl");
	for (argc--, argv++; argc > 0 && strncmp(argv[0], "--", 2) == 0; argc--, argv++) {
		if (strcmp(argv[0], "--help") == 0) {
			fputs(help, stdout);
			return EXIT_DONE;
		}
		if (strcmp(argv[0], "--json") == 0) {
			options.json = true;
		} else if (strcmp(argv[0], "--no-wait") == 0) {
			options.no_wait = true;
		} else {
			client_fail(argv[0], "not an option; see vmctl --help");
			return EXIT_USAGE;
		}
	}
	command = find(argc, argv, &words);
	if (command == NULL) {
		fputs(help, stderr);
		return EXIT_USAGE;
	}
	return run(argv[0], command, argv + 1 + words, argc - 1 - words);
}
