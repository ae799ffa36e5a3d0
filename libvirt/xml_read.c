/*
 * libvirt's domain XML, read into a machine's document. One table says what each element and
 * attribute becomes; what is not in it is refused by its name. Parsed by libxml2 without a network,
 * without external entities, and without a document type at all.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <libxml/parser.h>
#include <libxml/tree.h>

#include "lib/check.h"
#include "libvirt/libvirt.h"

#define PATH_SIZE    160
#define VARIABLES    "firmware.variables" /* in the machine's folder, as is the next */
#define SCREEN       "vnc.socket"
#define TPM_STATE    "tpm"
#define METADATA_MAX 32768
/* Of a disk while it is read: nobody has said where it is but by its name. */
#define BY_LETTER "by-letter"

struct reader {
	const char *folder;
	struct xml_error *error;
	json_t *machine; /* the document, with its name */
	json_t *item;    /* the disk or adapter that is being read */
	int line;
	uint64_t unit; /* of the size that is being read: bytes */
	uint64_t most, now;
	uint64_t vcpus_now;
	bool efi, nvram, vga, is_floppy;
	bool feature_on, secure, insecure,
		no_keys; /* of the firmware; the first: of the one that is read */
	char boot[8], bus[8], target[16], feature[16];
	long address[2]; /* bus and unit of a drive; -1: not given */
};

static bool refuse(struct reader *reader, int code, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static bool refuse(struct reader *reader, int code, const char *format, ...)
{
	va_list arguments;
	int length;

	length = reader->line != 0 ? snprintf(reader->error->text, sizeof(reader->error->text),
					      "line %d: ", reader->line)
				   : 0;
	va_start(arguments, format);
	vsnprintf(reader->error->text + length, sizeof(reader->error->text) - (size_t)length,
		  format, arguments);
	va_end(arguments);
	reader->error->code = code;
	return false;
}

/* ---- What is made of a value ---- */

static bool set(struct reader *reader, const char *member, const char *text)
{
	return json_object_set_new(reader->machine, member, json_string(text)) == 0 ||
	       refuse(reader, ERR_XML, "%s: it is not UTF-8", member);
}

static bool set_item(struct reader *reader, const char *member, const char *text)
{
	return json_object_set_new(reader->item, member, json_string(text)) == 0 ||
	       refuse(reader, ERR_XML, "%s: it is not UTF-8", member);
}

/* One in the machine's folder, which may be renamed, is called by its name there. */
static const char *in_folder(const struct reader *reader, const char *path)
{
	size_t length = strlen(reader->folder);

	return length != 0 && strncmp(path, reader->folder, length) == 0 && path[length] == '/' &&
			       path[length + 1] != '\0'
		       ? path + length + 1
		       : path;
}

static bool set_path(struct reader *reader, const char *member, const char *path)
{
	return set(reader, member, in_folder(reader, path));
}

static bool read_number(struct reader *reader, const char *text, uint64_t *number)
{
	char *end;

	text += strspn(text, " \t\r\n");
	errno = 0;
	*number = strtoull(text, &end, 10);
	end += strspn(end, " \t\r\n");
	return (*text >= '0' && *text <= '9' && *end == '\0' && errno == 0 &&
		*number <= INT64_MAX) ||
	       refuse(reader, ERR_XML, "'%.40s' is no number", text);
}

static bool take_unit(struct reader *reader, const char *text)
{
	static const struct {
		const char *name;
		uint64_t bytes;
	} units[] = {
		{"b", 1},           {"bytes", 1},        {"KB", 1000},      {"k", 1024},
		{"KiB", 1024},      {"MB", 1000000},     {"M", 1u << 20},   {"MiB", 1u << 20},
		{"GB", 1000000000}, {"G", 1u << 30},     {"GiB", 1u << 30}, {"TB", 1000000000000},
		{"T", 1ull << 40},  {"TiB", 1ull << 40},
	};

	for (size_t i = 0; i < ARRAY_COUNT(units); i++) {
		if (strcmp(units[i].name, text) == 0) {
			reader->unit = units[i].bytes;
			return true;
		}
	}
	return refuse(reader, ERR_XML, "unit '%.16s' is not known", text);
}

static bool read_size(struct reader *reader, const char *text, uint64_t *size)
{
	uint64_t unit = reader->unit != 0 ? reader->unit : 1024;

	reader->unit = 0;
	if (!read_number(reader, text, size)) {
		return false;
	}
	if (*size > (UINT64_C(1) << 62) / unit) {
		return refuse(reader, ERR_XML, "the size %.24s is too large", text);
	}
	*size *= unit;
	return true;
}

static bool set_size(struct reader *reader, const char *member, uint64_t size)
{
	char text[32];

	snprintf(text, sizeof(text), "%lluM", (unsigned long long)(size >> 20));
	return json_object_set_new(reader->machine, member,
				   (size & ((1u << 20) - 1)) == 0 && size != 0
					   ? json_string(text)
					   : json_integer((json_int_t)size)) == 0;
}

#define TAKE(name, call)                                                                           \
	static bool take_##name(struct reader *reader, const char *text)                           \
	{                                                                                          \
		return call;                                                                       \
	}

TAKE(name, set(reader, "name", text))
TAKE(id, set(reader, "id", text))
TAKE(genid, *text == '\0' || set(reader, "generation-id", text))
TAKE(title, set(reader, "title", text))
TAKE(notes, set(reader, "notes", text))
TAKE(most, read_size(reader, text, &reader->most))
TAKE(now, read_size(reader, text, &reader->now))
TAKE(vcpus_now, read_number(reader, text, &reader->vcpus_now))
TAKE(firmware, *text == '\0' || set_path(reader, "firmware", text))
TAKE(tpm, set_path(reader, "tpm", text))
TAKE(template, set_path(reader, "firmware-template", text))
TAKE(kernel, set_path(reader, "kernel", text))
TAKE(initrd, set_path(reader, "initrd", text))
TAKE(append, set(reader, "append", text))
TAKE(floppy, set_path(reader, "floppy", text))

static bool take_least(struct reader *reader, const char *text)
{
	uint64_t size;

	return read_size(reader, text, &size) && set_size(reader, "memory-minimum", size);
}

static bool take_vcpus(struct reader *reader, const char *text)
{
	uint64_t count;

	return read_number(reader, text, &count) &&
	       ((reader->vcpus_now == 0 || reader->vcpus_now == count) ||
		refuse(reader, ERR_UNSUPPORTED,
		       "<vcpu current>: Verdigris has no counterpart; leave it out")) &&
	       json_object_set_new(reader->machine, "vps", json_integer((json_int_t)count)) == 0;
}

static bool take_efi(struct reader *reader, const char *text)
{
	reader->efi |= strcmp(text, "efi") == 0 || strcmp(text, "pflash") == 0;
	return true;
}

static bool take_feature(struct reader *reader, const char *text)
{
	snprintf(reader->feature, sizeof(reader->feature), "%s", text);
	return true;
}

static bool take_enabled(struct reader *reader, const char *text)
{
	reader->feature_on = strcmp(text, "yes") == 0;
	return true;
}

static bool end_feature(struct reader *reader)
{
	if (strcmp(reader->feature, "secure-boot") == 0) {
		reader->secure |= reader->feature_on;
		reader->insecure |= !reader->feature_on;
	} else {
		reader->no_keys |= !reader->feature_on;
	}
	reader->feature_on = false;
	return true;
}

static bool take_secure(struct reader *reader, const char *text)
{
	reader->secure |= strcmp(text, "yes") == 0;
	return true;
}

/* Without keys the firmware could, and does not. */
static bool settle_secure_boot(struct reader *reader)
{
	bool own = json_object_get(reader->machine, "firmware-template") != NULL;

	if (!reader->efi || (!reader->secure && !reader->insecure)) {
		return !reader->secure ||
		       refuse(reader, ERR_XML, "Secure Boot needs <os firmware='efi'>");
	}
	return set(reader, "secure-boot",
		   reader->insecure || reader->no_keys ? "off"
		   : own                               ? "template"
						       : "microsoft");
}

static bool end_tpm(struct reader *reader)
{
	return json_object_get(reader->machine, "tpm") != NULL || set(reader, "tpm", TPM_STATE);
}

/* Card and file are elements of their own. */
static json_t *sound_of(struct reader *reader)
{
	json_t *sound = json_object_get(reader->machine, "sound");

	if (sound == NULL) {
		sound = json_object();
		json_object_set_new(reader->machine, "sound", sound);
	}
	return sound;
}

static bool take_sound(struct reader *reader, const char *text)
{
	json_t *sound = sound_of(reader);

	if (json_object_get(sound, "model") != NULL) {
		return refuse(reader, ERR_UNSUPPORTED, "<sound>: there is one sound card");
	}
	return json_object_set_new(sound, "model",
				   json_string(strcmp(text, "ich6") == 0 ? "hda" : text)) == 0;
}

static bool take_wav(struct reader *reader, const char *text)
{
	return json_object_set_new(sound_of(reader), "wav", json_string(in_folder(reader, text))) ==
		       0 ||
	       refuse(reader, ERR_XML, "<audio>: its path is not UTF-8");
}

static bool take_nvram(struct reader *reader, const char *text)
{
	reader->nvram = true;
	return *text == '\0' || set_path(reader, "firmware-variables", text);
}

/* The first one is tried before all others; what comes then is the firmware's own affair. */
static bool take_boot(struct reader *reader, const char *text)
{
	if (reader->boot[0] == '\0') {
		snprintf(reader->boot, sizeof(reader->boot), "%s", text);
	}
	return true;
}

static bool take_reset(struct reader *reader, const char *text)
{
	return strcmp(text, "restart") == 0 || set(reader, "on-reset", "exit");
}

/* What no element says: JSON. */
static bool take_rest(struct reader *reader, const char *text)
{
	json_t *rest = json_loads(text, JSON_REJECT_DUPLICATES, NULL), *value;
	bool good = json_is_object(rest);
	const char *key;

	json_object_foreach(rest, key, value)
	{
		if (xml_says(key)) {
			json_decref(rest);
			return refuse(reader, ERR_XML,
				      "<verdigris:machine>: %.40s is said by another element", key);
		}
	}
	good = good && json_object_update(reader->machine, rest) == 0;
	json_decref(rest);
	return good || refuse(reader, ERR_XML, "<verdigris:machine>: this is no object of JSON");
}

/* ---- Disks ---- */

static bool begin_item(struct reader *reader, const char *text)
{
	(void)text;
	json_decref(reader->item);
	reader->item = json_object();
	reader->bus[0] = reader->target[0] = '\0';
	reader->address[0] = reader->address[1] = -1;
	reader->is_floppy = false;
	return true;
}

static bool take_device(struct reader *reader, const char *text)
{
	reader->is_floppy = strcmp(text, "floppy") == 0;
	return strcmp(text, "cdrom") != 0 || set_item(reader, "kind", "dvd");
}

static bool take_format(struct reader *reader, const char *text)
{
	return strcmp(text, "raw") != 0 ||
	       json_object_set_new(reader->item, "raw", json_true()) == 0;
}

static bool take_cache(struct reader *reader, const char *text)
{
	return strcmp(text, "none") != 0 ||
	       json_object_set_new(reader->item, "direct", json_true()) == 0;
}

static bool take_file(struct reader *reader, const char *text)
{
	return *text == '\0' || set_item(reader, "file", in_folder(reader, text));
}

static bool take_parent(struct reader *reader, const char *text)
{
	json_t *parents = json_object_get(reader->item, "parents");

	if (parents == NULL) {
		parents = json_array();
		json_object_set_new(reader->item, "parents", parents);
	}
	return json_array_append_new(parents, json_string(in_folder(reader, text))) == 0;
}

static bool take_target(struct reader *reader, const char *text)
{
	snprintf(reader->target, sizeof(reader->target), "%s", text);
	return true;
}

static bool take_bus(struct reader *reader, const char *text)
{
	snprintf(reader->bus, sizeof(reader->bus), "%s", text);
	return true;
}

static bool take_read_only(struct reader *reader, const char *text)
{
	(void)text;
	return json_object_set_new(reader->item, "read-only", json_true()) == 0;
}

static bool take_order(struct reader *reader, const char *text)
{
	return strcmp(text, "1") != 0 ||
	       json_object_set_new(reader->item, "first", json_true()) == 0;
}

static bool take_drive(struct reader *reader, const char *text, unsigned int which)
{
	uint64_t number;

	if (!read_number(reader, text, &number)) {
		return false;
	}
	reader->address[which] = number < 64 ? (long)number : 64;
	return true;
}

TAKE(drive_bus, take_drive(reader, text, 0))
TAKE(drive_unit, take_drive(reader, text, 1))

/* "sdb" is the second, "sdaa" the 27th; -1: none. */
static long letters_number(const char *target)
{
	long number = 0;

	for (target += strnlen(target, 2); *target >= 'a' && *target <= 'z'; target++) {
		number = number * 26 + (*target - 'a' + 1);
		if (number > 64) {
			return -1;
		}
	}
	return *target == '\0' ? number - 1 : -1;
}

/* Where it is: as its address says, else as its letter does. */
static bool place(struct reader *reader)
{
	bool ide = strcmp(reader->bus, "ide") == 0 ||
		   (reader->bus[0] == '\0' && strncmp(reader->target, "hd", 2) == 0);
	long bus = reader->address[0] > 0 ? reader->address[0] : 0, unit = reader->address[1];
	long number = unit < 0 ? letters_number(reader->target) : ide ? 2 * bus + unit : unit;

	if (number < 0 || number >= (ide ? 4 : 64) || bus > (ide ? 1 : 0) || (ide && unit > 1)) {
		return refuse(reader, ERR_UNSUPPORTED,
			      "<disk>: there is no place '%s' at this controller", reader->target);
	}
	if (unit < 0) {
		json_object_set_new(reader->item, BY_LETTER, json_true());
	}
	if (strcmp(reader->bus, "usb") == 0) { /* beside the SCSI controller */
		json_object_set_new(reader->item, "usb", json_true());
	}
	return (!ide || set_item(reader, "controller", "ide")) &&
	       json_object_set_new(reader->item, "number", json_integer(number)) == 0;
}

static bool add_item(struct reader *reader, const char *list)
{
	json_t *items = json_object_get(reader->machine, list);

	if (items == NULL) {
		items = json_array();
		json_object_set_new(reader->machine, list, items);
	}
	return json_array_append(items, reader->item) == 0;
}

static bool end_disk(struct reader *reader)
{
	const char *file = text_of(reader->item, "file");
	bool dvd = drive_is_dvd(reader->item);

	if (reader->is_floppy) {
		return *file == '\0' || take_floppy(reader, file);
	}
	if (dvd) {
		/* It is so anyway. */
		json_object_del(reader->item, "raw");
		json_object_del(reader->item, "read-only");
	} else if (*file == '\0') {
		return refuse(reader, ERR_XML, "<disk>: a disk needs a <source>");
	}
	if (reader->bus[0] == '\0' && strncmp(reader->target, "sd", 2) != 0 &&
	    strncmp(reader->target, "hd", 2) != 0) {
		return refuse(reader, ERR_UNSUPPORTED,
			      "<disk/target dev='%s'>: Verdigris has no such bus; give sda or hda",
			      reader->target);
	}
	return place(reader) && add_item(reader, "disks");
}

/* ---- Other devices ---- */

static bool take_number(struct reader *reader, const char *member, const char *text)
{
	uint64_t number;

	return read_number(reader, text, &number) &&
	       json_object_set_new(reader->item, member, json_integer((json_int_t)number)) == 0;
}

TAKE(switch, set_item(reader, "switch", text))
TAKE(mac, set_item(reader, "mac", text))
TAKE(port, set_item(reader, "port", text))
TAKE(socket, set_item(reader, "socket", text))
TAKE(vlan, take_number(reader, "vlan", text))
/* As libvirt's driver for Hyper-V, which knows these two; any other is a wish that cannot be
 * granted, and netvsc then. */
TAKE(model, strcmp(text, "tulip") != 0 || set_item(reader, "model", "21140"))
TAKE(queues, take_number(reader, "queues", text))

static bool end_network(struct reader *reader)
{
	/* From one that firmware has no driver for nothing is started. */
	if (json_object_get(reader->item, "model") == NULL) {
		json_object_del(reader->item, "first");
	}
	return add_item(reader, "networks");
}

TAKE(serial_type, strcmp(text, "pty") == 0 || set_item(reader, "to", text))
TAKE(serial_path, set_item(reader, "file", in_folder(reader, text)))

static bool end_serial(struct reader *reader)
{
	if (json_object_get(reader->machine, "serial") != NULL) {
		return refuse(reader, ERR_UNSUPPORTED, "<serial>: there is one COM port");
	}
	return json_object_get(reader->item, "to") == NULL ||
	       json_object_set(reader->machine, "serial", reader->item) == 0;
}

static bool end_graphics(struct reader *reader)
{
	if (json_object_get(reader->item, "socket") == NULL &&
	    !set_item(reader, "socket", SCREEN)) {
		return false;
	}
	return json_object_set(reader->machine, "vnc", reader->item) == 0;
}

TAKE(screen_socket, *text == '\0' || set_item(reader, "socket", in_folder(reader, text)))

static bool take_video(struct reader *reader, const char *text)
{
	reader->vga |= strcmp(text, "none") != 0;
	return true;
}

/* Keyboards and mice are there anyway. */
static bool take_input(struct reader *reader, const char *text)
{
	return strcmp(text, "tablet") != 0 ||
	       json_object_set_new(reader->machine, "tablet", json_true()) == 0;
}

/* ---- Pools and volumes ---- */

TAKE(path, set(reader, "path", text))
TAKE(volume_format, set(reader, "format", text))
TAKE(backing, set(reader, "backing", text))

/* Theirs are bytes, where nothing else is said. */
static bool set_bytes(struct reader *reader, const char *member, const char *text)
{
	uint64_t size;

	reader->unit = reader->unit != 0 ? reader->unit : 1;
	return read_size(reader, text, &size) &&
	       json_object_set_new(reader->machine, member, json_integer((json_int_t)size)) == 0;
}

TAKE(capacity, set_bytes(reader, "capacity", text))
TAKE(allocation, set_bytes(reader, "allocation", text))

/* ---- The table ---- */

enum kind {
	GROUP, /* elements in it, and attributes */
	TEXT,
	TREE, /* dropped with all that is in it */
	ATTRIBUTE,
};

/*
 * A path is from "domain" on, of a device from its own name on. `words`: what its value may be, one
 * space between them; NULL: anything. Without `take` it is dropped: docs/design/libvirt.md says why
 * each may be.
 */
struct rule {
	const char *path;
	enum kind kind;
	const char *words;
	bool (*take)(struct reader *reader, const char *text);
	bool (*end)(struct reader *reader); /* of a group, when it has been read */
};

static bool end_domain(struct reader *reader);

/* clang-format off */
static bool take_snapshot_memory(struct reader *reader, const char *text)
{
	json_object_set_new(reader->machine, "memory", json_boolean(strcmp(text, "no") != 0));
	return true;
}

static const struct rule rules[] = {
	{"domain", GROUP, NULL, NULL, end_domain},
	{"domain@type", ATTRIBUTE, "hyperv", NULL, NULL},
	{"domain@id", ATTRIBUTE, NULL, NULL, NULL},
	{"domain/name", TEXT, NULL, take_name, NULL},
	{"domain/uuid", TEXT, NULL, take_id, NULL},
	{"domain/genid", TEXT, NULL, take_genid, NULL},
	{"domain/title", TEXT, NULL, take_title, NULL},
	{"domain/description", TEXT, NULL, take_notes, NULL},
	{"domain/memory", TEXT, NULL, take_most, NULL},
	{"domain/memory@unit", ATTRIBUTE, NULL, take_unit, NULL},
	{"domain/currentMemory", TEXT, NULL, take_now, NULL},
	{"domain/currentMemory@unit", ATTRIBUTE, NULL, take_unit, NULL},
	{"domain/memtune", GROUP, NULL, NULL, NULL},
	{"domain/memtune/min_guarantee", TEXT, NULL, take_least, NULL},
	{"domain/memtune/min_guarantee@unit", ATTRIBUTE, NULL, take_unit, NULL},
	{"domain/vcpu", TEXT, NULL, take_vcpus, NULL},
	{"domain/vcpu@current", ATTRIBUTE, NULL, take_vcpus_now, NULL},
	{"domain/vcpu@placement", ATTRIBUTE, "static auto", NULL, NULL},
	{"domain/os", GROUP, NULL, NULL, NULL},
	{"domain/os@firmware", ATTRIBUTE, "bios efi", take_efi, NULL},
	{"domain/os/type", TEXT, "hvm", NULL, NULL},
	{"domain/os/type@arch", ATTRIBUTE, "x86_64", NULL, NULL},
	{"domain/os/type@machine", ATTRIBUTE, NULL, NULL, NULL},
	{"domain/os/firmware", GROUP, NULL, NULL, NULL},
	{"domain/os/firmware/feature", GROUP, NULL, NULL, end_feature},
	{"domain/os/firmware/feature@enabled", ATTRIBUTE, "yes no", take_enabled, NULL},
	{"domain/os/firmware/feature@name", ATTRIBUTE, "secure-boot enrolled-keys", take_feature, NULL},
	{"domain/os/loader", TEXT, NULL, take_firmware, NULL},
	{"domain/os/loader@readonly", ATTRIBUTE, "yes", NULL, NULL},
	{"domain/os/loader@secure", ATTRIBUTE, "yes no", take_secure, NULL},
	{"domain/os/loader@type", ATTRIBUTE, "rom pflash", take_efi, NULL},
	{"domain/os/nvram", TEXT, NULL, take_nvram, NULL},
	{"domain/os/nvram@template", ATTRIBUTE, NULL, take_template, NULL},
	{"domain/os/boot", GROUP, NULL, NULL, NULL},
	{"domain/os/boot@dev", ATTRIBUTE, "hd cdrom fd network", take_boot, NULL},
	{"domain/os/bootmenu", TREE, NULL, NULL, NULL},
	{"domain/os/kernel", TEXT, NULL, take_kernel, NULL},
	{"domain/os/initrd", TEXT, NULL, take_initrd, NULL},
	{"domain/os/cmdline", TEXT, NULL, take_append, NULL},
	{"domain/features", GROUP, NULL, NULL, NULL},
	{"domain/features/acpi", TREE, NULL, NULL, NULL},
	{"domain/features/apic", TREE, NULL, NULL, NULL},
	{"domain/features/pae", TREE, NULL, NULL, NULL},
	{"domain/features/hap", TREE, NULL, NULL, NULL},
	{"domain/features/hyperv", TREE, NULL, NULL, NULL},
	{"domain/features/vmport", GROUP, NULL, NULL, NULL},
	{"domain/features/vmport@state", ATTRIBUTE, "off", NULL, NULL},
	{"domain/cpu", TREE, NULL, NULL, NULL},
	{"domain/clock", GROUP, NULL, NULL, NULL},
	{"domain/clock@offset", ATTRIBUTE, "utc", NULL, NULL},
	{"domain/clock/timer", TREE, NULL, NULL, NULL},
	{"domain/on_poweroff", TEXT, "destroy", NULL, NULL},
	{"domain/on_reboot", TEXT, "restart destroy", take_reset, NULL},
	{"domain/on_crash", TEXT, NULL, NULL, NULL},
	{"domain/pm", GROUP, NULL, NULL, NULL},
	{"domain/pm/suspend-to-mem", GROUP, NULL, NULL, NULL},
	{"domain/pm/suspend-to-mem@enabled", ATTRIBUTE, "no", NULL, NULL},
	{"domain/pm/suspend-to-disk", GROUP, NULL, NULL, NULL},
	{"domain/pm/suspend-to-disk@enabled", ATTRIBUTE, "no", NULL, NULL},
	{"domain/verdigris:machine", TEXT, NULL, take_rest, NULL},
	{"domain/devices", GROUP, NULL, NULL, NULL},

	{"emulator", TEXT, NULL, NULL, NULL},
	{"disk", GROUP, NULL, begin_item, end_disk},
	{"disk@type", ATTRIBUTE, "file block", NULL, NULL},
	{"disk@device", ATTRIBUTE, "disk cdrom floppy", take_device, NULL},
	{"disk/driver", GROUP, NULL, NULL, NULL},
	{"disk/driver@name", ATTRIBUTE, NULL, NULL, NULL},
	{"disk/driver@type", ATTRIBUTE, "vhdx vpc raw", take_format, NULL},
	{"disk/driver@cache", ATTRIBUTE, "none default writeback", take_cache, NULL},
	{"disk/driver@discard", ATTRIBUTE, "unmap", NULL, NULL},
	{"disk/driver@io", ATTRIBUTE, NULL, NULL, NULL},
	{"disk/source", GROUP, NULL, NULL, NULL},
	{"disk/source@file", ATTRIBUTE, NULL, take_file, NULL},
	{"disk/source@dev", ATTRIBUTE, NULL, take_file, NULL},
	{"disk/source@index", ATTRIBUTE, NULL, NULL, NULL},
	{"disk/backingStore", GROUP, NULL, NULL, NULL},
	{"disk/backingStore@type", ATTRIBUTE, "file", NULL, NULL},
	{"disk/backingStore@index", ATTRIBUTE, NULL, NULL, NULL},
	{"disk/backingStore/format", GROUP, NULL, NULL, NULL},
	{"disk/backingStore/format@type", ATTRIBUTE, "vhdx vpc", NULL, NULL},
	{"disk/backingStore/source", GROUP, NULL, NULL, NULL},
	{"disk/backingStore/source@file", ATTRIBUTE, NULL, take_parent, NULL},
	{"disk/target", GROUP, NULL, NULL, NULL},
	{"disk/target@dev", ATTRIBUTE, NULL, take_target, NULL},
	{"disk/target@bus", ATTRIBUTE, "scsi ide usb fdc", take_bus, NULL},
	{"disk/target@tray", ATTRIBUTE, NULL, NULL, NULL},
	{"disk/readonly", GROUP, NULL, take_read_only, NULL},
	{"disk/boot", GROUP, NULL, NULL, NULL},
	{"disk/boot@order", ATTRIBUTE, NULL, take_order, NULL},
	{"disk/alias", TREE, NULL, NULL, NULL},
	{"disk/address", GROUP, NULL, NULL, NULL},
	{"disk/address@type", ATTRIBUTE, "drive", NULL, NULL},
	{"disk/address@controller", ATTRIBUTE, "0", NULL, NULL},
	{"disk/address@bus", ATTRIBUTE, NULL, take_drive_bus, NULL},
	{"disk/address@target", ATTRIBUTE, "0", NULL, NULL},
	{"disk/address@unit", ATTRIBUTE, NULL, take_drive_unit, NULL},
	{"interface", GROUP, NULL, begin_item, end_network},
	{"interface@type", ATTRIBUTE, "network", NULL, NULL},
	{"interface/mac", GROUP, NULL, NULL, NULL},
	{"interface/mac@address", ATTRIBUTE, NULL, take_mac, NULL},
	{"interface/source", GROUP, NULL, NULL, NULL},
	{"interface/source@network", ATTRIBUTE, NULL, take_switch, NULL},
	{"interface/source@portid", ATTRIBUTE, NULL, NULL, NULL},
	{"interface/source@bridge", ATTRIBUTE, NULL, NULL, NULL},
	{"interface/target", GROUP, NULL, NULL, NULL},
	{"interface/target@dev", ATTRIBUTE, NULL, take_port, NULL},
	{"interface/model", GROUP, NULL, NULL, NULL},
	{"interface/model@type", ATTRIBUTE, NULL, take_model, NULL},
	{"interface/boot", GROUP, NULL, NULL, NULL},
	{"interface/boot@order", ATTRIBUTE, NULL, take_order, NULL},
	{"interface/driver", GROUP, NULL, NULL, NULL},
	{"interface/driver@name", ATTRIBUTE, NULL, NULL, NULL},
	{"interface/driver@queues", ATTRIBUTE, NULL, take_queues, NULL},
	{"interface/vlan", GROUP, NULL, NULL, NULL},
	{"interface/vlan/tag", GROUP, NULL, NULL, NULL},
	{"interface/vlan/tag@id", ATTRIBUTE, NULL, take_vlan, NULL},
	{"interface/link", GROUP, NULL, NULL, NULL},
	{"interface/link@state", ATTRIBUTE, "up", NULL, NULL},
	{"interface/alias", TREE, NULL, NULL, NULL},
	{"interface/address", TREE, NULL, NULL, NULL},
	{"interface/verdigris:socket", TEXT, NULL, take_socket, NULL},
	{"serial", GROUP, NULL, begin_item, end_serial},
	{"serial@type", ATTRIBUTE, "pty file unix stdio", take_serial_type, NULL},
	{"serial/source", GROUP, NULL, NULL, NULL},
	{"serial/source@path", ATTRIBUTE, NULL, take_serial_path, NULL},
	{"serial/source@mode", ATTRIBUTE, "bind", NULL, NULL},
	{"serial/target", TREE, NULL, NULL, NULL},
	{"serial/alias", TREE, NULL, NULL, NULL},
	{"console", GROUP, NULL, NULL, NULL},
	{"console@type", ATTRIBUTE, "pty file unix stdio", NULL, NULL},
	{"console@tty", ATTRIBUTE, NULL, NULL, NULL},
	{"console/source", TREE, NULL, NULL, NULL},
	{"console/target", GROUP, NULL, NULL, NULL},
	{"console/target@type", ATTRIBUTE, "serial", NULL, NULL},
	{"console/target@port", ATTRIBUTE, "0", NULL, NULL},
	{"console/alias", TREE, NULL, NULL, NULL},
	{"graphics", GROUP, NULL, begin_item, end_graphics},
	{"graphics@type", ATTRIBUTE, "vnc", NULL, NULL},
	{"graphics@port", ATTRIBUTE, "-1", NULL, NULL},
	{"graphics@autoport", ATTRIBUTE, "yes", NULL, NULL},
	{"graphics@socket", ATTRIBUTE, NULL, take_screen_socket, NULL},
	{"graphics@keymap", ATTRIBUTE, NULL, NULL, NULL},
	{"graphics/listen", GROUP, NULL, NULL, NULL},
	{"graphics/listen@type", ATTRIBUTE, "socket", NULL, NULL},
	{"graphics/listen@socket", ATTRIBUTE, NULL, take_screen_socket, NULL},
	{"tpm", GROUP, NULL, NULL, end_tpm},
	{"tpm@model", ATTRIBUTE, "tpm-crb", NULL, NULL},
	{"tpm/alias", TREE, NULL, NULL, NULL},
	{"tpm/backend", GROUP, NULL, NULL, NULL},
	{"tpm/backend@type", ATTRIBUTE, "emulator", NULL, NULL},
	{"tpm/backend@version", ATTRIBUTE, "2.0", NULL, NULL},
	{"tpm/backend/source", GROUP, NULL, NULL, NULL},
	{"tpm/backend/source@type", ATTRIBUTE, "file", NULL, NULL},
	{"tpm/backend/source@path", ATTRIBUTE, NULL, take_tpm, NULL},
	{"sound", GROUP, NULL, NULL, NULL},
	{"sound@model", ATTRIBUTE, "sb16 ich6", take_sound, NULL},
	{"sound/alias", TREE, NULL, NULL, NULL},
	{"sound/address", TREE, NULL, NULL, NULL},
	{"sound/codec", GROUP, NULL, NULL, NULL},
	{"sound/codec@type", ATTRIBUTE, "duplex", NULL, NULL},
	{"audio", GROUP, NULL, NULL, NULL},
	{"audio@id", ATTRIBUTE, "1", NULL, NULL},
	{"audio@type", ATTRIBUTE, "none file", NULL, NULL},
	{"audio@path", ATTRIBUTE, NULL, take_wav, NULL},
	{"video", GROUP, NULL, NULL, NULL},
	{"video/model", GROUP, NULL, NULL, NULL},
	{"video/model@type", ATTRIBUTE, "vga none", take_video, NULL},
	{"video/model@heads", ATTRIBUTE, "1", NULL, NULL},
	{"video/model@primary", ATTRIBUTE, NULL, NULL, NULL},
	{"video/model@vram", ATTRIBUTE, NULL, NULL, NULL},
	{"video/alias", TREE, NULL, NULL, NULL},
	{"video/address", TREE, NULL, NULL, NULL},
	{"input", GROUP, NULL, NULL, NULL},
	{"input@type", ATTRIBUTE, NULL, take_input, NULL},
	{"input@bus", ATTRIBUTE, NULL, NULL, NULL},
	{"input@model", ATTRIBUTE, NULL, NULL, NULL},
	{"input/alias", TREE, NULL, NULL, NULL},
	{"input/address", TREE, NULL, NULL, NULL},
	{"input/driver", TREE, NULL, NULL, NULL},
	{"input/source", TREE, NULL, NULL, NULL},
	{"controller", TREE, NULL, NULL, NULL},
	{"memballoon", TREE, NULL, NULL, NULL},
	{"panic", TREE, NULL, NULL, NULL},

	{"network", GROUP, NULL, NULL, NULL},
	{"network@connections", ATTRIBUTE, NULL, NULL, NULL},
	{"network/name", TEXT, NULL, take_name, NULL},
	{"network/uuid", TEXT, NULL, NULL, NULL},
	{"pool", GROUP, NULL, NULL, NULL},
	{"pool@type", ATTRIBUTE, "dir", NULL, NULL},
	{"pool/name", TEXT, NULL, take_name, NULL},
	{"pool/uuid", TEXT, NULL, NULL, NULL},
	{"pool/capacity", TREE, NULL, NULL, NULL},
	{"pool/allocation", TREE, NULL, NULL, NULL},
	{"pool/available", TREE, NULL, NULL, NULL},
	{"pool/source", TREE, NULL, NULL, NULL},
	{"pool/target", GROUP, NULL, NULL, NULL},
	{"pool/target/path", TEXT, NULL, take_path, NULL},
	{"pool/target/permissions", TREE, NULL, NULL, NULL},
	{"domainsnapshot", GROUP, NULL, NULL, NULL},
	{"domainsnapshot/name", TEXT, NULL, take_name, NULL},
	{"domainsnapshot/description", TEXT, NULL, take_notes, NULL},
	{"domainsnapshot/memory", GROUP, NULL, NULL, NULL},
	{"domainsnapshot/memory@snapshot", ATTRIBUTE, "no internal", take_snapshot_memory, NULL},
	{"domainsnapshot/state", TEXT, NULL, NULL, NULL},
	{"domainsnapshot/creationTime", TEXT, NULL, NULL, NULL},
	{"domainsnapshot/parent", TREE, NULL, NULL, NULL},
	{"domainsnapshot/domain", TREE, NULL, NULL, NULL},
	{"volume", GROUP, NULL, NULL, NULL},
	{"volume@type", ATTRIBUTE, "file", NULL, NULL},
	{"volume/name", TEXT, NULL, take_name, NULL},
	{"volume/key", TEXT, NULL, NULL, NULL},
	{"volume/source", TREE, NULL, NULL, NULL},
	{"volume/capacity", TEXT, NULL, take_capacity, NULL},
	{"volume/capacity@unit", ATTRIBUTE, NULL, take_unit, NULL},
	{"volume/allocation", TEXT, NULL, take_allocation, NULL},
	{"volume/allocation@unit", ATTRIBUTE, NULL, take_unit, NULL},
	{"volume/physical", TREE, NULL, NULL, NULL},
	{"volume/target", GROUP, NULL, NULL, NULL},
	{"volume/target/path", TEXT, NULL, NULL, NULL},
	{"volume/target/format", GROUP, NULL, NULL, NULL},
	{"volume/target/format@type", ATTRIBUTE, "vhdx vpc raw", take_volume_format, NULL},
	{"volume/target/permissions", TREE, NULL, NULL, NULL},
	{"volume/target/timestamps", TREE, NULL, NULL, NULL},
	{"volume/backingStore", GROUP, NULL, NULL, NULL},
	{"volume/backingStore/path", TEXT, NULL, take_backing, NULL},
	{"volume/backingStore/format", TREE, NULL, NULL, NULL},
	{"volume/backingStore/permissions", TREE, NULL, NULL, NULL},
	{"volume/backingStore/timestamps", TREE, NULL, NULL, NULL},
};
/* clang-format on */

static bool is_word(const char *words, const char *text)
{
	size_t length = strlen(text);

	for (; *words != '\0'; words += strcspn(words, " "), words += *words == ' ') {
		if (strcspn(words, " ") == length && strncmp(words, text, length) == 0) {
			return true;
		}
	}
	return false;
}

static const struct rule *find_rule(struct reader *reader, const char *path, bool attribute)
{
	for (size_t i = 0; i < ARRAY_COUNT(rules); i++) {
		if (strcmp(rules[i].path, path) == 0 && (rules[i].kind == ATTRIBUTE) == attribute) {
			return &rules[i];
		}
	}
	refuse(reader, ERR_UNSUPPORTED, "<%s>: Verdigris has no counterpart", path);
	return NULL;
}

static bool take_value(struct reader *reader, const struct rule *rule, const char *text)
{
	if (rule->words != NULL && !is_word(rule->words, text)) {
		return refuse(reader, ERR_UNSUPPORTED,
			      "<%s>: Verdigris has no counterpart for '%.40s'; there is: %s",
			      rule->path, text, rule->words);
	}
	return rule->take == NULL || rule->take(reader, text);
}

static bool read_attributes(struct reader *reader, xmlNode *node, const char *path)
{
	for (xmlAttr *attribute = node->properties; attribute != NULL;
	     attribute = attribute->next) {
		const struct rule *rule;
		char whole[PATH_SIZE];
		xmlChar *text;
		bool good;

		if (snprintf(whole, sizeof(whole), "%s@%s%s", path,
			     attribute->ns != NULL ? "?:" : "",
			     (const char *)attribute->name) >= (int)sizeof(whole)) {
			return refuse(reader, ERR_XML, "a name is too long");
		}
		rule = find_rule(reader, whole, true);
		if (rule == NULL) {
			return false;
		}
		text = xmlNodeListGetString(node->doc, attribute->children, 1);
		good = take_value(reader, rule, text != NULL ? (const char *)text : "");
		xmlFree(text);
		if (!good) {
			return false;
		}
	}
	return true;
}

/* Kept as it is, with the namespaces that it uses. */
static bool read_metadata(struct reader *reader, xmlNode *node)
{
	xmlBuffer *buffer = xmlBufferCreate();
	bool good = buffer != NULL;

	for (xmlNode *child = node->children; child != NULL && good; child = child->next) {
		xmlNode *copy = child->type == XML_ELEMENT_NODE ? xmlCopyNode(child, 1) : NULL;

		if (copy != NULL) {
			good = xmlNodeDump(buffer, node->doc, copy, 0, 0) >= 0;
			xmlFreeNode(copy);
		}
	}
	if (good && xmlBufferLength(buffer) > METADATA_MAX) {
		good = refuse(reader, ERR_XML, "<metadata>: there is too much of it");
	} else if (good && xmlBufferLength(buffer) > 0) {
		good = set(reader, "metadata", (const char *)xmlBufferContent(buffer));
	}
	xmlBufferFree(buffer);
	return good;
}

static bool read_node(struct reader *reader, xmlNode *node, const char *parent);

static bool read_children(struct reader *reader, xmlNode *node, const char *path)
{
	for (xmlNode *child = node->children; child != NULL; child = child->next) {
		if (child->type == XML_ELEMENT_NODE) {
			if (!read_node(reader, child, path)) {
				return false;
			}
		} else if (child->type == XML_TEXT_NODE ? !xmlIsBlankNode(child)
							: child->type != XML_COMMENT_NODE) {
			return refuse(reader, ERR_XML, "<%s> has no text", path);
		}
	}
	return true;
}

static bool read_text(struct reader *reader, const struct rule *rule, xmlNode *node)
{
	xmlChar *text;
	bool good;

	for (xmlNode *child = node->children; child != NULL; child = child->next) {
		if (child->type != XML_TEXT_NODE && child->type != XML_CDATA_SECTION_NODE &&
		    child->type != XML_COMMENT_NODE) {
			return refuse(reader, ERR_XML, "<%s> has a text, and nothing else",
				      rule->path);
		}
	}
	text = xmlNodeGetContent(node);
	good = take_value(reader, rule, text != NULL ? (const char *)text : "");
	xmlFree(text);
	return good;
}

/* Devices are known by their own names; a disk's parents, however deep, by one. */
static bool make_path(char path[PATH_SIZE], const char *parent, const xmlNode *node)
{
	const char *name = (const char *)node->name, *prefix = "";
	size_t length = strlen(parent);
	bool top = *parent == '\0' || strcmp(parent, "domain/devices") == 0;

	if (node->ns != NULL) {
		prefix = node->ns->prefix != NULL ? (const char *)node->ns->prefix : "?";
		if (strcmp((const char *)node->ns->href, XML_NAMESPACE) == 0) {
			prefix = "verdigris";
		} else if (strcmp(prefix, "verdigris") == 0) {
			prefix = "?";
		}
	}
	if (length > 13 && strcmp(parent + length - 13, "/backingStore") == 0 &&
	    strcmp(name, "backingStore") == 0) {
		return snprintf(path, PATH_SIZE, "%s", parent) < PATH_SIZE;
	}
	return snprintf(path, PATH_SIZE, "%s%s%s%s%s", top ? "" : parent, top ? "" : "/", prefix,
			*prefix != '\0' ? ":" : "", name) < PATH_SIZE;
}

static bool read_node(struct reader *reader, xmlNode *node, const char *parent)
{
	const struct rule *rule;
	char path[PATH_SIZE];

	reader->line = (int)xmlGetLineNo(node);
	if (!make_path(path, parent, node)) {
		return refuse(reader, ERR_XML, "a name is too long");
	}
	if (strcmp(path, "domain/metadata") == 0) {
		return read_metadata(reader, node);
	}
	rule = find_rule(reader, path, false);
	if (rule == NULL || rule->kind == TREE) {
		return rule != NULL;
	}
	if (rule->kind == GROUP && rule->take != NULL && !rule->take(reader, "")) {
		return false;
	}
	if (!read_attributes(reader, node, path)) {
		return false;
	}
	if (rule->kind == TEXT) {
		return read_text(reader, rule, node);
	}
	return read_children(reader, node, path) && (rule->end == NULL || rule->end(reader));
}

/* ---- The whole ---- */

/* What is tried first, of those that there are. */
static void set_first(struct reader *reader)
{
	bool dvd = strcmp(reader->boot, "cdrom") == 0;
	json_t *disk;
	size_t i;

	if (!dvd && strcmp(reader->boot, "hd") != 0) {
		return;
	}
	json_array_foreach(json_object_get(reader->machine, "disks"), i, disk)
	{
		if (json_object_get(disk, "first") != NULL) {
			return;
		}
	}
	json_array_foreach(json_object_get(reader->machine, "disks"), i, disk)
	{
		if (drive_is_dvd(disk) == dvd) {
			json_object_set_new(disk, "first", json_true());
			return;
		}
	}
}

/*
 * The second generation has no IDE. Clients take that for what a disk is at by default; one that
 * has an address is meant to be there, and the service says that it cannot.
 */
static void settle_disks(struct reader *reader)
{
	json_t *disk;
	size_t i;

	json_array_foreach(json_object_get(reader->machine, "disks"), i, disk)
	{
		if (reader->efi && drive_is_ide(disk) && json_object_get(disk, BY_LETTER) != NULL) {
			json_object_del(disk, "controller");
			json_object_del(disk, "number");
		}
		json_object_del(disk, BY_LETTER);
	}
}

static bool end_domain(struct reader *reader)
{
	json_t *machine = reader->machine;
	uint64_t now = reader->now != 0 ? reader->now : reader->most;

	reader->line = 0;
	settle_disks(reader);
	if (*text_of(machine, "name") == '\0') {
		return refuse(reader, ERR_XML, "<domain> has no <name>");
	}
	if (reader->most == 0) {
		return refuse(reader, ERR_XML, "<domain> has no <memory>");
	}
	if (now > reader->most) {
		now = reader->most;
	}
	if (!set_size(reader, "memory", now) ||
	    (reader->most > now && !set_size(reader, "memory-maximum", reader->most))) {
		return false;
	}
	if (json_object_get(machine, "vps") == NULL) {
		json_object_set_new(machine, "vps", json_integer(1));
	}
	if (json_object_get(machine, "kernel") == NULL) {
		json_object_set_new(machine, "generation", json_integer(reader->efi ? 2 : 1));
		set_first(reader);
	}
	if (reader->efi && !reader->nvram && !set(reader, "firmware-variables", VARIABLES)) {
		return false;
	}
	if (!settle_secure_boot(reader)) {
		return false;
	}
	if (json_object_get(json_object_get(machine, "sound"), "model") == NULL) {
		json_object_del(machine, "sound"); /* a file, and nobody who plays */
	}
	if (reader->efi) {
		json_object_del(machine, "tablet"); /* its systems have the mouse of VMBus */
	}
	if (reader->vga && json_object_get(machine, "vnc") == NULL) {
		json_object_set_new(machine, "vga", json_true());
	}
	return true;
}

/* Also those that nobody should have to see on standard error. */
static void be_silent(void *user, xmlErrorPtr error)
{
	(void)user;
	(void)error;
}

/* NULL: refused. */
static xmlDoc *parse(struct reader *reader, const char *text)
{
	const xmlError *error;
	xmlDoc *document;

	xmlSetStructuredErrorFunc(NULL, be_silent);
	document = xmlReadMemory(text, (int)strnlen(text, WIRE_STRING_MAX), "domain.xml", NULL,
				 XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING);
	if (document == NULL) {
		error = xmlGetLastError();
		refuse(reader, ERR_XML, "line %d: %.200s", error != NULL ? error->line : 0,
		       error != NULL && error->message != NULL ? error->message : "this is no XML");
		reader->error->text[strcspn(reader->error->text, "\n")] = '\0';
	} else if (document->intSubset != NULL || document->extSubset != NULL) {
		xmlFreeDoc(document);
		document = NULL;
		refuse(reader, ERR_XML, "a document type has no place here");
	}
	return document;
}

static json_t *read_xml(const char *text, const char *folder, const char *wanted,
			struct xml_error *error)
{
	struct reader reader = {.folder = folder, .error = error, .machine = json_object()};
	xmlDoc *document = parse(&reader, text);
	xmlNode *root = document != NULL ? xmlDocGetRootElement(document) : NULL;
	bool good = root != NULL;

	if (good && (wanted != NULL ? strcmp((const char *)root->name, wanted) != 0
				    : is_word("domain domainsnapshot network pool volume",
					      (const char *)root->name))) {
		good = refuse(&reader, ERR_XML, "the root is <%.40s>, and should be <%s>",
			      (const char *)root->name, wanted != NULL ? wanted : "disk");
	}
	good = good && read_node(&reader, root, "");
	if (document != NULL) {
		xmlFreeDoc(document);
	}
	json_decref(reader.item);
	if (!good) {
		json_decref(reader.machine);
		return NULL;
	}
	return reader.machine;
}

json_t *xml_read_domain(const char *text, const char *store, struct xml_error *error)
{
	struct xml_error ignored;
	json_t *machine = read_xml(text, "", "domain", error);
	char folder[1024];

	/* Which folder is its own is known when its name is. */
	if (machine != NULL) {
		snprintf(folder, sizeof(folder), "%s/%s", store, text_of(machine, "name"));
		json_decref(machine);
		machine = read_xml(text, folder, "domain", &ignored);
	}
	return machine;
}

json_t *xml_read_device(const char *text, const char *folder, struct xml_error *error)
{
	json_t *machine = read_xml(text, folder, NULL, error);

	json_object_del(json_array_get(json_object_get(machine, "disks"), 0), BY_LETTER);
	return machine;
}

json_t *xml_read_other(const char *text, const char *root, struct xml_error *error)
{
	return read_xml(text, "", root, error);
}

/* ---- Metadata, element by element ---- */

static xmlDoc *parse_metadata(struct reader *reader, const char *metadata)
{
	size_t size = strlen(metadata) + sizeof("<metadata></metadata>");
	char *whole = malloc(size);
	xmlDoc *document;

	if (whole == NULL) {
		refuse(reader, ERR_INTERNAL, "out of memory");
		return NULL;
	}
	snprintf(whole, size, "<metadata>%s</metadata>", metadata);
	document = parse(reader, whole);
	free(whole);
	return document;
}

static xmlNode *find_element(xmlDoc *document, const char *uri)
{
	xmlNode *child = xmlDocGetRootElement(document)->children;

	while (child != NULL && (child->type != XML_ELEMENT_NODE || child->ns == NULL ||
				 strcmp((const char *)child->ns->href, uri) != 0)) {
		child = child->next;
	}
	return child;
}

/* All that has no namespace of its own. */
static void set_namespace(xmlNode *node, xmlNs *from, xmlNs *to)
{
	for (; node != NULL; node = node->next) {
		if (node->type == XML_ELEMENT_NODE) {
			if (node->ns == from) {
				xmlSetNs(node, to);
			}
			set_namespace(node->children, from, to);
		}
	}
}

static char *print_node(xmlDoc *document, xmlNode *node)
{
	xmlBuffer *buffer = xmlBufferCreate();
	char *text = NULL;

	if (buffer != NULL && xmlNodeDump(buffer, document, node, 0, 0) >= 0) {
		text = strdup((const char *)xmlBufferContent(buffer));
	}
	xmlBufferFree(buffer);
	return text;
}

char *xml_metadata_get(const char *metadata, const char *uri)
{
	struct xml_error error;
	struct reader reader = {.error = &error};
	xmlDoc *document = parse_metadata(&reader, metadata);
	xmlNode *found = document != NULL ? find_element(document, uri) : NULL;
	char *text = NULL;

	if (found != NULL) {
		/* As it was given: without the namespace. */
		xmlNs *own = found->nsDef, **link = &found->nsDef;

		while (*link != NULL && *link != found->ns) {
			link = &(*link)->next;
		}
		own = *link;
		if (own != NULL) {
			*link = own->next;
			set_namespace(found->children, own, NULL);
			found->ns = NULL;
		}
		text = print_node(document, found);
		if (own != NULL) {
			own->next = NULL;
			xmlFreeNs(own);
		}
	}
	if (document != NULL) {
		xmlFreeDoc(document);
	}
	return text;
}

static char *print_children(xmlDoc *document)
{
	struct xml_error error;
	struct reader reader = {.error = &error, .machine = json_object()};
	char *text = NULL;

	if (read_metadata(&reader, xmlDocGetRootElement(document))) {
		text = strdup(text_of(reader.machine, "metadata"));
	}
	json_decref(reader.machine);
	return text;
}

bool xml_metadata_set(const char *metadata, const char *uri, const char *key, const char *element,
		      char **whole, struct xml_error *error)
{
	struct reader reader = {.error = error};
	xmlDoc *document = parse_metadata(&reader, metadata), *added = NULL;
	xmlNode *old, *root;

	if (element != NULL && document != NULL) {
		added = parse(&reader, element);
	}
	if (document == NULL || (element != NULL && added == NULL)) {
		if (document != NULL) {
			xmlFreeDoc(document);
		}
		return false;
	}
	old = find_element(document, uri);
	if (old != NULL) {
		xmlUnlinkNode(old);
		xmlFreeNode(old);
	}
	if (added != NULL) {
		root = xmlDocGetRootElement(added);
		xmlSetNs(root, xmlNewNs(root, (const xmlChar *)uri, (const xmlChar *)key));
		set_namespace(root->children, NULL, root->ns);
		xmlAddChild(xmlDocGetRootElement(document), xmlDocCopyNode(root, document, 1));
		xmlFreeDoc(added);
	}
	*whole = print_children(document);
	xmlFreeDoc(document);
	return *whole != NULL || refuse(&reader, ERR_XML, "<metadata>: there is too much of it");
}
