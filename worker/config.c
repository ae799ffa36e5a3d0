/* The command line, see config.h: a document, or the options that are its short form. */
#include "worker/config.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hosted/available.h"
#include "worker/say.h"

#define MIB (1ull << 20)

static const char help[] =
	"usage: vmwp --name NAME --kernel FILE --memory SIZE --vps N [options]\n"
	"       vmwp --name NAME --generation 1|2 --memory SIZE --vps N [options]\n"
	"       vmwp --config FILE|-|fd:N\n"
	"\n"
	"Runs a virtual machine in a child partition, until it is powered off.\n"
	"\n"
	"  --name NAME       what messages call the machine\n"
	"  --id UUID         the machine's UUID, as its guest knows it by SMBIOS; one that its "
	"name makes,\n"
	"                    unless this says otherwise\n"
	"  --serial-number TEXT\n"
	"                    its serial number, likewise; its UUID, unless this says otherwise\n"
	"  --generation-id UUID\n"
	"                    another one tells the guest that it was copied or taken back to an "
	"earlier\n"
	"                    state; a new one at each start, unless this says otherwise\n"
	"  --kernel FILE     a Linux bzImage, or a multiboot 1 image\n"
	"  --initrd FILE     Linux: the initial RAM disk; multiboot: a module\n"
	"  --append TEXT     the kernel's command line\n"
	"  --generation 1|2  a PC with a BIOS, or with UEFI firmware, whose screen is on COM1\n"
	"  --firmware FILE   that; SeaBIOS, " CONFIG_BIOS ", or\n"
	"                    OVMF, " CONFIG_UEFI ", unless this says otherwise\n"
	"  --firmware-log FILE\n"
	"                    its messages about what it does\n"
	"  --firmware-variables FILE\n"
	"                    with generation 2: where the firmware keeps its variables, boot order "
	"and keys\n"
	"                    among them; made where there is none, and without it they are lost\n"
	"  --firmware-template FILE\n"
	"                    what they are at first; without keys, " CONFIG_VARIABLES ",\n"
	"                    unless this says otherwise\n"
	"  --secure-boot off|microsoft|template\n"
	"                    with generation 2: whether the firmware starts what is signed alone; "
	"with the\n"
	"                    keys of Microsoft and Debian, " CONFIG_KEYS ", or of\n"
	"                    --firmware-template; variables that say otherwise are refused\n"
	"  --tpm FILE        with generation 2: a TPM 2.0 (swtpm), which keeps what it knows in "
	"the "
	"file; made\n"
	"                    where there is none\n"
	"  --crash-log FILE  to whose end a guest's panic is written, with the end of its log\n"
	"  --floppy FILE     with generation 1: an image of a floppy disk; what a guest writes to "
	"it is lost\n"
	"  --restore FILE    go on from a state that vmctl save has written\n"
	"  --receive SOCKET  wait at a new socket for a machine that vmctl migrate moves here\n"
	"  --receive-owner FILE\n"
	"                    the file that says meanwhile whose the machine is, the same as at the "
	"other side;\n"
	"                    without it SOCKET.owner\n"
	"  --receive-disks   its disks come along, into new ones of their sizes that --disk names; "
	"the file\n"
	"                    is this side's alone then\n"
	"  --vga             it has a screen: VMBus' display, with firmware a VGA too\n"
	"  --vnc unix:PATH   that, and it is shown on a socket to viewers that speak VNC, whose "
	"keyboard and\n"
	"                    mouse are the machine's\n"
	"  --rdp unix:PATH   the same for viewers that speak RDP, by vmrdp of the package "
	"verdigris-rdp\n"
	"  --tablet          a USB tablet, and the controller (xHCI) that it is on: a pointer with "
	"a "
	"place for\n"
	"                    systems without drivers for VMBus; not with generation 2\n"
	"  --sound sb16|hda[,wav=FILE]\n"
	"                    a sound card, with generation 1 or, hda, with a kernel; and a WAV "
	"file of\n"
	"                    what it plays, written anew; without one it is heard nowhere\n"
	"  --memory SIZE     RAM, as 512M or 2G; a multiple of 2M\n"
	"  --memory-minimum SIZE\n"
	"                    dynamic memory: vmctl memory leads the guest to have less, down to "
	"this\n"
	"  --memory-maximum SIZE\n"
	"                    to which vmctl memory can lead it to have more than --memory, which "
	"is "
	"at the start\n"
	"  --memory-weight N how much it matters where vmbalance has too little for all, 0 to 100 "
	"(50)\n"
	"  --memory-buffer N per cent that vmbalance gives it beyond its demand, 5 to 2000 (20)\n"
	"  --vps N           virtual processors, 1 to 240\n"
	"  --serial WHERE    COM1: stdio (the default), file:PATH, unix:PATH (a socket to connect\n"
	"                    to) or control (vmctl console)\n"
	"  --disk FILE[,scsi|ide][,usb][,ro][,raw][,direct]\n"
	"                    a disk: VHDX, VHD or raw, by its name and content, which must agree; "
	"raw:\n"
	"                    that, whatever a guest has put into it; on the SCSI controller (the "
	"default)\n"
	"                    or as one of four IDE disks; usb: a SCSI disk is on USB (xHCI) as "
	"well, for "
	"a\n"
	"                    BIOS or a system without drivers for VMBus, of at most three; direct: "
	"past the host's page cache; may "
	"be\n"
	"                    given many times\n"
	"  --dvd FILE        a DVD drive of the SCSI controller, with an ISO file in it; likewise\n"
	"  --iso FILE        a DVD drive that firmware starts from: an IDE one with generation 1, "
	"else as\n"
	"                    --dvd\n"
	"  --net "
	"SWITCH[,port=NAME][,mac=ADDRESS][,vlan=N][,queues=N][,signals=page][,socket=PATH]\n"
	"        [,model=21140[,first]]\n"
	"                    a network adapter on a virtual switch (vswitchd); may be given many "
	"times;\n"
	"                    model=21140: with generation 1, an emulated one for systems without "
	"drivers\n"
	"                    for VMBus, and for the firmware, which starts from it (PXE), first: "
	"before\n"
	"                    all others\n"
	"  --device pci:ADDRESS\n"
	"                    a device of this host, as 0000:00:05.0, which vfio-pci has; may be "
	"given "
	"many times\n"
	"  --vsock PATH      sockets between guest and root: a program that connects to PATH and\n"
	"                    says \"CONNECT port\" reaches the guest's; a guest that connects to a "
	"port\n"
	"                    reaches who listens at PATH_port\n"
	"  --control PATH    a socket on which vmctl asks for what it can\n"
	"  --services NAME[,NAME]...|none\n"
	"                    the guest's integration services that are offered from the start: "
	"shutdown,\n"
	"                    heartbeat, time, values, backup, files; all, unless this says "
	"otherwise\n"
	"  --on-reset WHAT   reboot (the default) or exit\n"
	"  --user UID        whom a worker becomes that root started: 1879048192 plus its process "
	"id,\n"
	"                    which nobody else is, unless this says otherwise\n"
	"  --debug-exit      for test images: port 0xf4, at which one says its result and ends\n"
	"  --config WHERE    all of that, and more, as one JSON document (config.schema.json): a "
	"file,\n"
	"                    standard input, or an inherited descriptor\n"
	"  --print-config    the document that the options stand for; starts nothing\n"
	"  --help            this\n"
	"\n"
	"With --serial stdio and a terminal, Ctrl-] asks the guest to shut down, and twice turns "
	"it off.\n"
	"\n"
	"Exit status: 0 powered off, 2 could not start as asked, 3 reset (with --on-reset exit),\n"
	"4 triple fault, 5 the host failed, 6 turned off by Ctrl-] twice, vmctl or a signal, 7 "
	"crashed, by its\n"
	"own report, 8 its state is saved (vmctl save), 9 it was moved (vmctl migrate). With "
	"--debug-exit, when the guest wrote N "
	"to the port: (2 * N + 1) modulo "
	"256,\n"
	"as with QEMU's isa-debug-exit; standard error then has a line that says N.\n";

/* ---- Options into a document ---- */

/* Whatever bytes there are: a path is no text. */
static json_t *text(const char *bytes)
{
	return json_stringn_nocheck(bytes, strlen(bytes));
}

/* A number, or what is none, for the reader to refuse. */
static json_t *number(const char *word)
{
	long long value;
	char *end;

	errno = 0;
	value = strtoll(word, &end, 10);
	return *word >= '0' && *word <= '9' && *end == '\0' && errno == 0 ? json_integer(value)
									  : text(word);
}

static bool set_serial(json_t *document, const char *word)
{
	static const struct {
		const char *before, *to;
	} kinds[] = {{"file:", "file"}, {"unix:", "unix"}};
	json_t *serial = json_object();
	size_t i, length;

	for (i = 0; i < ARRAY_COUNT(kinds); i++) {
		length = strlen(kinds[i].before);
		if (strncmp(word, kinds[i].before, length) == 0 && word[length] != '\0') {
			json_object_set_new(serial, "to", text(kinds[i].to));
			json_object_set_new(serial, "file", text(word + length));
			json_object_set_new(document, "serial", serial);
			return true;
		}
	}
	if (strcmp(word, "stdio") != 0 && strcmp(word, "control") != 0) {
		say("--serial %s: give stdio, file:PATH, unix:PATH or control", word);
		json_decref(serial);
		return false;
	}
	json_object_set_new(serial, "to", text(word));
	json_object_set_new(document, "serial", serial);
	return true;
}

static void add_disk(json_t *document, json_t *disk)
{
	json_t *disks = json_object_get(document, "disks");

	if (disks == NULL) {
		disks = json_array();
		json_object_set_new(document, "disks", disks);
	}
	json_array_append_new(disks, disk);
}

/* Takes a word off the end of FILE,WORD,... */
static bool take_word(char *word, const char *tail)
{
	size_t length = strlen(word), tail_length = strlen(tail);

	if (length <= tail_length || strcmp(word + length - tail_length, tail) != 0) {
		return false;
	}
	word[length - tail_length] = '\0';
	return true;
}

/* The words stand after the file's name, in any order; a name may have commas of its own. */
static bool set_disk(json_t *document, char *word)
{
	static const struct {
		const char *tail, *key, *value; /* value NULL: true */
	} tails[] = {
		{",ro", "read-only", NULL},      {",raw", "raw", NULL},
		{",direct", "direct", NULL},     {",ide", "controller", "ide"},
		{",scsi", "controller", "scsi"}, {",usb", "usb", NULL},
	};
	json_t *disk = json_object();
	bool ide = false, scsi = false;
	size_t i;

	for (i = 0; i < ARRAY_COUNT(tails); i++) {
		if (take_word(word, tails[i].tail)) {
			json_object_set_new(disk, tails[i].key,
					    tails[i].value != NULL ? text(tails[i].value)
								   : json_true());
			ide |= strcmp(tails[i].tail, ",ide") == 0;
			scsi |= strcmp(tails[i].tail, ",scsi") == 0;
			i = (size_t)-1; /* from the start: another may stand before it */
		}
	}
	if (*word == '\0' || *word == ',' || (scsi && ide)) {
		say("--disk %s: give FILE, FILE,scsi or FILE,ide, ,usb for USB too, ,ro if it is "
		    "not to be "
		    "written, ,raw if it is that whatever is in it, ,direct to pass by the host's "
		    "page cache",
		    word);
		json_decref(disk);
		return false;
	}
	json_object_set_new(disk, "file", text(word));
	add_disk(document, disk);
	return true;
}

/* `controller` NULL: the usual one. */
static void set_dvd(json_t *document, const char *word, const char *controller)
{
	json_t *disk = json_object();

	json_object_set_new(disk, "kind", text("dvd"));
	if (controller != NULL) {
		json_object_set_new(disk, "controller", text(controller));
	}
	json_object_set_new(disk, "file", text(word));
	add_disk(document, disk);
}

/* SWITCH[,KEY=VALUE]... */
static bool set_network(json_t *document, char *word)
{
	static const char *const keys[] = {"port",    "mac",    "vlan",  "queues",
					   "signals", "socket", "model", "first"};
	json_t *network = json_object(), *networks = json_object_get(document, "networks");
	char *rest = strchr(word, ','), *value, *next;
	size_t i;

	if (rest != NULL) {
		*rest++ = '\0';
	}
	json_object_set_new(network, "switch", text(word));
	for (; rest != NULL; rest = next) {
		next = strchr(rest, ',');
		if (next != NULL) {
			*next++ = '\0';
		}
		value = strchr(rest, '=');
		if (value != NULL) {
			*value++ = '\0';
		}
		for (i = 0; i < ARRAY_COUNT(keys) && strcmp(rest, keys[i]) != 0; i++) {
		}
		if (i == ARRAY_COUNT(keys) || (value == NULL) != (strcmp(rest, "first") == 0)) {
			say("--net %s: %s: give SWITCH, and behind it ,port=NAME ,mac=ADDRESS "
			    ",vlan=N ,queues=N ,signals=page ,model=21140 ,first or ,socket=PATH",
			    word, rest);
			json_decref(network);
			return false;
		}
		json_object_set_new(network, keys[i],
				    value == NULL ? json_true()
				    : strcmp(keys[i], "queues") == 0 || strcmp(keys[i], "vlan") == 0
					    ? number(value)
					    : text(value));
	}
	if (networks == NULL) {
		networks = json_array();
		json_object_set_new(document, "networks", networks);
	}
	json_array_append_new(networks, network);
	return true;
}

static bool set_device(json_t *document, const char *word)
{
	static const char before[] = "pci:";
	json_t *device = json_object(), *devices = json_object_get(document, "devices");

	if (strncmp(word, before, sizeof(before) - 1) != 0) {
		say("--device %s: give pci:ADDRESS, as pci:0000:00:05.0", word);
		json_decref(device);
		return false;
	}
	json_object_set_new(device, "pci", text(word + sizeof(before) - 1));
	if (devices == NULL) {
		devices = json_array();
		json_object_set_new(document, "devices", devices);
	}
	json_array_append_new(devices, device);
	return true;
}

/* control, vsock */
static void set_socket(json_t *document, const char *key, const char *word)
{
	json_t *object = json_object();

	json_object_set_new(object, "socket", text(word));
	json_object_set_new(document, key, object);
}

/* Three options, one object. */
static void set_receive(json_t *document, const char *key, const char *word)
{
	json_t *object = json_object_get(document, "receive");

	if (object == NULL) {
		object = json_object();
		json_object_set_new(document, "receive", object);
	}
	if (word == NULL) {
		json_object_set_new(object, "disks", json_true());
	} else {
		json_object_set_new(object, strcmp(key, "receive") == 0 ? "socket" : "owner",
				    text(word));
	}
}

/* A screen's. */
static bool set_show(json_t *document, const char *key, const char *word)
{
	static const char before[] = "unix:";
	json_t *show;

	if (strncmp(word, before, sizeof(before) - 1) != 0 || word[sizeof(before) - 1] == '\0') {
		say("--%s %s: give unix:PATH", key, word);
		return false;
	}
	show = json_object();
	json_object_set_new(show, "socket", text(word + sizeof(before) - 1));
	json_object_set_new(document, key, show);
	return true;
}

/* MODEL[,wav=FILE], the reader knows which there are; a file's name may have commas of its own. */
static bool set_sound(json_t *document, char *word)
{
	json_t *sound = json_object();
	char *wav = strchr(word, ',');

	if (wav != NULL) {
		static const char before[] = "wav=";

		*wav++ = '\0';
		if (strncmp(wav, before, sizeof(before) - 1) != 0) {
			say("--sound %s,%s: give a model, and behind it ,wav=FILE", word, wav);
			json_decref(sound);
			return false;
		}
		json_object_set_new(sound, "wav", text(wav + sizeof(before) - 1));
	}
	json_object_set_new(sound, "model", text(word));
	json_object_set_new(document, "sound", sound);
	return true;
}

/* The reader knows which there are. */
static void set_services(json_t *document, char *word)
{
	json_t *services = json_array();
	char *name;

	if (strcmp(word, "none") != 0) {
		for (name = strsep(&word, ","); name != NULL; name = strsep(&word, ",")) {
			json_array_append_new(services, text(name));
		}
	}
	json_object_set_new(document, "services", services);
}

enum option_name {
	TEXT, /* the option's name is the key, its value the text */
	NUMBER,
	FLAG,
	SERIAL,
	DISK,
	DVD,
	ISO,
	NET,
	DEVICE,
	SOCKET,
	RECEIVE,
	SHOW,
	SERVICES,
	SOUND,
	CONFIG,
	PRINT,
	HELP,
};

static const struct option option_table[] = {
	{"name", required_argument, NULL, TEXT},
	{"id", required_argument, NULL, TEXT},
	{"serial-number", required_argument, NULL, TEXT},
	{"generation-id", required_argument, NULL, TEXT},
	{"kernel", required_argument, NULL, TEXT},
	{"initrd", required_argument, NULL, TEXT},
	{"append", required_argument, NULL, TEXT},
	{"generation", required_argument, NULL, NUMBER},
	{"firmware", required_argument, NULL, TEXT},
	{"firmware-log", required_argument, NULL, TEXT},
	{"firmware-variables", required_argument, NULL, TEXT},
	{"firmware-template", required_argument, NULL, TEXT},
	{"secure-boot", required_argument, NULL, TEXT},
	{"tpm", required_argument, NULL, TEXT},
	{"crash-log", required_argument, NULL, TEXT},
	{"floppy", required_argument, NULL, TEXT},
	{"restore", required_argument, NULL, TEXT},
	{"receive", required_argument, NULL, RECEIVE},
	{"receive-owner", required_argument, NULL, RECEIVE},
	{"receive-disks", no_argument, NULL, RECEIVE},
	{"vga", no_argument, NULL, FLAG},
	{"vnc", required_argument, NULL, SHOW},
	{"rdp", required_argument, NULL, SHOW},
	{"tablet", no_argument, NULL, FLAG},
	{"sound", required_argument, NULL, SOUND},
	{"memory", required_argument, NULL, TEXT},
	{"memory-minimum", required_argument, NULL, TEXT},
	{"memory-maximum", required_argument, NULL, TEXT},
	{"memory-weight", required_argument, NULL, NUMBER},
	{"memory-buffer", required_argument, NULL, NUMBER},
	{"vps", required_argument, NULL, NUMBER},
	{"serial", required_argument, NULL, SERIAL},
	{"disk", required_argument, NULL, DISK},
	{"dvd", required_argument, NULL, DVD},
	{"iso", required_argument, NULL, ISO},
	{"net", required_argument, NULL, NET},
	{"device", required_argument, NULL, DEVICE},
	{"vsock", required_argument, NULL, SOCKET},
	{"control", required_argument, NULL, SOCKET},
	{"services", required_argument, NULL, SERVICES},
	{"on-reset", required_argument, NULL, TEXT},
	{"user", required_argument, NULL, NUMBER},
	{"debug-exit", no_argument, NULL, FLAG},
	{"config", required_argument, NULL, CONFIG},
	{"print-config", no_argument, NULL, PRINT},
	{"help", no_argument, NULL, HELP},
	{NULL, 0, NULL, 0},
};

static bool set_option(json_t *document, int name, const char *key, char *value)
{
	switch (name) {
	case TEXT:
		json_object_set_new(document, key, text(value));
		return true;
	case NUMBER:
		json_object_set_new(document, key, number(value));
		return true;
	case FLAG:
		json_object_set_new(document, key, json_true());
		return true;
	case SERIAL:
		return set_serial(document, value);
	case DISK:
		return set_disk(document, value);
	case DVD:
		set_dvd(document, value, NULL);
		return true;
	case ISO:
		set_dvd(document, value, "ide");
		return true;
	case NET:
		return set_network(document, value);
	case SOUND:
		return set_sound(document, value);
	case DEVICE:
		return set_device(document, value);
	case SOCKET:
		set_socket(document, key, value);
		return true;
	case RECEIVE:
		set_receive(document, key, value);
		return true;
	case SHOW:
		return set_show(document, key, value);
	case SERVICES:
		set_services(document, value);
		return true;
	default:
		return false; /* getopt said what is wrong */
	}
}

/* ---- A document from outside ---- */

/* The descriptor of FILE, - or fd:N; -1: said why. */
static int open_document(const char *where)
{
	char *end;
	long fd;

	if (strcmp(where, "-") == 0) {
		return STDIN_FILENO;
	}
	if (strncmp(where, "fd:", 3) == 0) {
		fd = strtol(where + 3, &end, 10);
		if (where[3] < '0' || where[3] > '9' || *end != '\0' || fd > INT32_MAX ||
		    fcntl((int)fd, F_GETFD) < 0) {
			say("--config %s: give fd: and the number of a descriptor that is open",
			    where);
			return -1;
		}
		return (int)fd;
	}
	fd = open(where, O_RDONLY | O_CLOEXEC);
	if (fd < 0) {
		say("--config %s: %s", where, strerror(errno));
	}
	return (int)fd;
}

/* NULL: said why. */
static json_t *read_document(const char *where)
{
	int fd = open_document(where);
	char *bytes = fd >= 0 ? malloc(CONFIG_SIZE_MAX + 1) : NULL, why[512];
	struct form form = {.path = ""};
	json_t *document = NULL;
	size_t length = 0;
	ssize_t got = 1;

	while (bytes != NULL && got > 0 && length <= CONFIG_SIZE_MAX) {
		got = read(fd, bytes + length, CONFIG_SIZE_MAX + 1 - length);
		length += got > 0 ? (size_t)got : 0;
	}
	if (bytes != NULL && got < 0) {
		say("--config %s: %s", where, strerror(errno));
	} else if (bytes != NULL && length > CONFIG_SIZE_MAX) {
		say("--config %s: more than %u bytes; give a shorter document", where,
		    CONFIG_SIZE_MAX);
	} else if (bytes != NULL) {
		document = form_parse(&form, bytes, length);
		if (document == NULL) {
			form_print(&form.error, true, why, sizeof(why));
			say("--config %s: %s", where, why);
		}
	}
	free(bytes);
	if (fd > STDERR_FILENO) {
		close(fd);
	}
	return document;
}

/* ---- What is wrong ---- */

/* Of an option: its name, for the key that it stands for. */
static void say_option(const struct form_error *error)
{
	size_t length = strcspn(error->field, ".["), value_length = strlen(error->value);
	const char *value = error->value;
	/* Lists have one for each of theirs. */
	int shown = strncmp(error->field, "networks", 8) == 0
			    ? 3 /* --net */
			    : (int)length - (strncmp(error->field, "disks", 5) == 0 ||
					     strncmp(error->field, "devices", 7) == 0);

	if (value_length > 1 && value[0] == '"' && value[value_length - 1] == '"') {
		value++;
		value_length -= 2;
	}
	if (value_length == 0) {
		say("--%.*s: %s; see vmwp --help", shown, error->field, error->what);
		return;
	}
	say("--%.*s %.*s: %s", shown, error->field, (int)value_length, value,
	    error->remedy[0] != '\0' ? error->remedy : error->what);
}

static bool read_config(struct config *config, const char *where)
{
	struct form_error error;
	char why[600];

	if (config_read(config, &error)) {
		return true;
	}
	if (where == NULL) {
		say_option(&error);
	} else {
		form_print(&error, true, why, sizeof(why));
		say("--config %s: %s", where, why);
	}
	return false;
}

static bool print_document(const struct config *config)
{
	if (json_dumpf(config->document, stdout, JSON_INDENT(2)) != 0) {
		say("--print-config: a name is not UTF-8, which JSON is; give a link to it");
		return false;
	}
	putchar('\n');
	return true;
}

/* A drive that firmware starts from is an IDE one with a BIOS alone; UEFI firmware goes by its
 * variables unless it is told. Options come in any order. */
static void place_isos(json_t *document)
{
	json_t *disk;
	size_t i;

	if (json_integer_value(json_object_get(document, "generation")) != 2) {
		return;
	}
	json_array_foreach(json_object_get(document, "disks"), i, disk)
	{
		if (json_object_get(disk, "kind") != NULL &&
		    json_object_del(disk, "controller") == 0) {
			json_object_set_new(disk, "first", json_true());
		}
	}
}

enum config_result config_parse(struct config *config, int argc, char **argv)
{
	const char *where = NULL;
	bool print = false;
	int option, index;

	*config = (struct config){.document = json_object()};
	while ((option = getopt_long(argc, argv, "", option_table, &index)) != -1) {
		if (option == HELP) {
			fputs(help, stdout);
			return CONFIG_PRINTED;
		}
		if (option == CONFIG) {
			where = optarg;
		} else if (option == PRINT) {
			print = true;
		} else if (!set_option(config->document, option,
				       option != '?' ? option_table[index].name : "", optarg)) {
			return CONFIG_BAD;
		}
	}
	if (optind < argc) {
		say("%s: not an option; see vmwp --help", argv[optind]);
		return CONFIG_BAD;
	}
	place_isos(config->document);
	if (where != NULL) {
		if (json_object_size(config->document) != 0) {
			say("--config %s: it is the whole configuration; leave the other options "
			    "out, and put them into it",
			    where);
			return CONFIG_BAD;
		}
		json_decref(config->document);
		config->document = read_document(where);
		if (config->document == NULL) {
			return CONFIG_BAD;
		}
	}
	if (!read_config(config, where)) {
		return CONFIG_BAD;
	}
	say_set_name(config->name);
	if (print) {
		return print_document(config) ? CONFIG_PRINTED : CONFIG_BAD;
	}
	return CONFIG_OK;
}

void config_destroy(struct config *config)
{
	unsigned int i;

	for (i = 0; i < config->disk_count; i++) {
		free(config->disks[i].parents);
	}
	json_decref(config->names);
	json_decref(config->document);
	*config = (struct config){0};
}

/* ---- The host ---- */

bool config_fits_host(const struct config *config)
{
	uint64_t available = available_memory();

	if (available != 0 && config->memory > available) {
		say("--memory %lluM: this host has %lluM free; give less, or end something that "
		    "uses memory",
		    (unsigned long long)(config->memory / MIB),
		    (unsigned long long)(available / MIB));
		return false;
	}
	return true;
}
