/*
 * A machine as libvirt's clients know one (libvirt's docs/formatdomain.rst; docs/design/libvirt.md
 * has the table). What has no element there is in one of our own, <verdigris:machine>, as JSON, so
 * that xml_read.c makes the same document of the XML again.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "disk/bytes.h"
#include "hosted/size.h"
#include "lib/check.h"
#include "libvirt/libvirt.h"

/*
 * Names and paths may have whatever XML gives a meaning. Control characters but tabs and line ends
 * have no place in it at all, nor have the two last of the first 65,536 characters.
 */
static void put(FILE *file, const char *text)
{
	for (; *text != '\0'; text++) {
		switch (*text) {
		case '<':
			fputs("&lt;", file);
			break;
		case '>':
			fputs("&gt;", file);
			break;
		case '&':
			fputs("&amp;", file);
			break;
		case '\'':
			fputs("&apos;", file);
			break;
		case '"':
			fputs("&quot;", file);
			break;
		case '\t':
		case '\n':
		case '\r':
			fprintf(file, "&#%d;", *text);
			break;
		case '\xef':
			if (strncmp(text, "\xef\xbf\xbe", 3) == 0 ||
			    strncmp(text, "\xef\xbf\xbf", 3) == 0) {
				fputc('?', file);
				text += 2;
				break;
			}
			/* fallthrough */
		default:
			fputc((unsigned char)*text < ' ' ? '?' : *text, file);
			break;
		}
	}
}

/* "%s" alone, and each of its texts is escaped. */
static void print(FILE *file, const char *format, ...)
{
	va_list texts;

	va_start(texts, format);
	for (; *format != '\0'; format++) {
		if (*format == '%') {
			put(file, va_arg(texts, const char *));
			format++;
		} else {
			fputc(*format, file);
		}
	}
	va_end(texts);
}

static uint64_t size_of(const json_t *object, const char *key)
{
	const json_t *memory = json_object_get(object, key);
	uint64_t size = 0;

	if (json_is_integer(memory)) {
		return (uint64_t)json_integer_value(memory);
	}
	return json_is_string(memory) && size_parse(json_string_value(memory), &size) ? size : 0;
}

uint64_t xml_memory(const json_t *machine)
{
	return size_of(machine, "memory");
}

uint64_t xml_memory_most(const json_t *machine)
{
	uint64_t most = size_of(json_object_get(machine, "document"), "memory-maximum");

	return most != 0 ? most : xml_memory(machine);
}

/* A file of the machine's: libvirt's paths are whole ones. */
static void put_path(FILE *file, const char *folder, const char *name)
{
	if (*name != '/' && *name != '\0' && *folder != '\0') {
		put(file, folder);
		fputc('/', file);
	}
	put(file, name);
}

static void put_optional(FILE *file, const char *element, const char *text)
{
	if (*text != '\0') {
		fprintf(file, "  <%s>", element);
		put(file, text);
		fprintf(file, "</%s>\n", element);
	}
}

/* ---- Disks ---- */

bool drive_is_ide(const json_t *disk)
{
	return strcmp(text_of(disk, "controller"), "ide") == 0;
}

bool drive_is_dvd(const json_t *disk)
{
	return strcmp(text_of(disk, "kind"), "dvd") == 0;
}

/* As the worker gives them, one after the other. */
unsigned int drive_number(const json_t *disks, size_t index)
{
	uint64_t taken[2] = {0};
	unsigned int number = 0;

	for (size_t i = 0; i <= index; i++) {
		const json_t *disk = json_array_get(disks, i), *given;
		bool ide = drive_is_ide(disk);

		given = json_object_get(disk, "number");
		number = ide && drive_is_dvd(disk) && !(taken[ide] & 4) ? 2 : 0;
		if (given != NULL) {
			number = (unsigned int)json_integer_value(given) & 63;
		}
		while (given == NULL && number < 63 && taken[ide] & UINT64_C(1) << number) {
			number++;
		}
		taken[ide] |= UINT64_C(1) << number;
	}
	return number;
}

/* sda to sdz, and on as Linux counts. */
void drive_target(const json_t *disks, size_t index, char target[DRIVE_TARGET])
{
	unsigned int number = drive_number(disks, index);
	const char *bus = drive_is_ide(json_array_get(disks, index)) ? "hd" : "sd";

	if (number >= 26) {
		snprintf(target, DRIVE_TARGET, "%s%c%c", bus, 'a' + (int)(number / 26 - 1),
			 'a' + (int)(number % 26));
	} else {
		snprintf(target, DRIVE_TARGET, "%s%c", bus, 'a' + (int)number);
	}
}

const char *drive_format(const char *name)
{
	const char *end = strrchr(name, '.');

	return end == NULL                                                       ? NULL
	       : strcasecmp(end, ".vhdx") == 0 || strcasecmp(end, ".avhdx") == 0 ? "vhdx"
	       : strcasecmp(end, ".vhd") == 0 || strcasecmp(end, ".avhd") == 0   ? "vpc"
										 : NULL;
}

static void put_parents(FILE *file, const json_t *parents, const char *folder)
{
	json_t *parent;
	size_t i;

	json_array_foreach((json_t *)parents, i, parent)
	{
		const char *name = json_string_value(parent);

		fputs("      <backingStore type='file'>\n      <format type='vhdx'/>\n"
		      "      <source file='",
		      file);
		put_path(file, folder, name != NULL ? name : "");
		fputs("'/>\n", file);
	}
	for (i = json_array_size(parents); i > 0; i--) {
		fputs("      </backingStore>\n", file);
	}
}

static void put_disk(FILE *file, const json_t *disks, size_t index, const char *folder)
{
	const json_t *disk = json_array_get(disks, index);
	bool dvd = drive_is_dvd(disk), ide = drive_is_ide(disk),
	     raw = json_is_true(json_object_get(disk, "raw"));
	const char *name = text_of(disk, "file"), *format = raw ? "raw" : drive_format(name);
	unsigned int number = drive_number(disks, index);
	char target[DRIVE_TARGET];

	drive_target(disks, index, target);
	fprintf(file, "    <disk type='file' device='%s'>\n      <driver name='verdigris'",
		dvd ? "cdrom" : "disk");
	if (format != NULL && !dvd) {
		fprintf(file, " type='%s'", format);
	}
	fprintf(file, "%s/>\n",
		json_is_true(json_object_get(disk, "direct")) ? " cache='none'" : "");
	if (*name != '\0') {
		fputs("      <source file='", file);
		put_path(file, folder, name);
		fputs("'/>\n", file);
	}
	put_parents(file, json_object_get(disk, "parents"), folder);
	fprintf(file, "      <target dev='%s' bus='%s'/>\n", target,
		ide                                          ? "ide"
		: json_is_true(json_object_get(disk, "usb")) ? "usb"
							     : "scsi");
	if (dvd || json_is_true(json_object_get(disk, "read-only"))) {
		fputs("      <readonly/>\n", file);
	}
	if (json_is_true(json_object_get(disk, "first"))) {
		fputs("      <boot order='1'/>\n", file);
	}
	fprintf(file,
		"      <address type='drive' controller='0' bus='%u' target='0' unit='%u'/>\n"
		"    </disk>\n",
		ide ? number / 2 : 0, ide ? number % 2 : number);
}

/* ---- Other devices ---- */

/* `machine`: whose that runs, at a port that its worker has named. */
static void put_network(FILE *file, const json_t *network, const char *machine, size_t index)
{
	json_int_t vlan = json_integer_value(json_object_get(network, "vlan")),
		   queues = json_integer_value(json_object_get(network, "queues"));

	fputs("    <interface type='network'>\n", file);
	if (*text_of(network, "mac") != '\0') {
		print(file, "      <mac address='%s'/>\n", text_of(network, "mac"));
	}
	print(file, "      <source network='%s'/>\n", text_of(network, "switch"));
	if (*text_of(network, "port") != '\0') {
		print(file, "      <target dev='%s'/>\n", text_of(network, "port"));
	} else if (machine != NULL) {
		print(file, "      <target dev='%s", machine);
		fprintf(file, "-%zu'/>\n", index);
	}
	print(file, "      <model type='%s'/>\n",
	      strcmp(text_of(network, "model"), "21140") == 0 ? "tulip" : "netvsc");
	if (json_is_true(json_object_get(network, "first"))) {
		fputs("      <boot order='1'/>\n", file);
	}
	if (queues > 0) {
		fprintf(file, "      <driver queues='%" JSON_INTEGER_FORMAT "'/>\n", queues);
	}
	if (vlan > 0) {
		fprintf(file,
			"      <vlan>\n        <tag id='%" JSON_INTEGER_FORMAT
			"'/>\n      </vlan>\n",
			vlan);
	}
	if (*text_of(network, "socket") != '\0') {
		print(file, "      <verdigris:socket>%s</verdigris:socket>\n",
		      text_of(network, "socket"));
	}
	fputs("    </interface>\n", file);
}

/* COM1. By itself it is the service's, which shows it to whom asks for a console. */
static void put_serial(FILE *file, const json_t *serial, const char *folder)
{
	const char *to = text_of(serial, "to");
	bool is_file = strcmp(to, "file") == 0, is_socket = strcmp(to, "unix") == 0;
	const char *type = is_file || is_socket || strcmp(to, "stdio") == 0 ? to : "pty";
	static const char *const elements[] = {"serial", "console"};

	for (size_t i = 0; i < ARRAY_COUNT(elements); i++) {
		fprintf(file, "    <%s type='%s'>\n", elements[i], type);
		if (is_file || is_socket) {
			fprintf(file, "      <source %spath='", is_socket ? "mode='bind' " : "");
			put_path(file, folder, text_of(serial, "file"));
			fputs("'/>\n", file);
		}
		fprintf(file, "      <target %sport='0'/>\n    </%s>\n",
			i == 1 ? "type='serial' " : "", elements[i]);
	}
}

static void put_screen(FILE *file, const json_t *document, const char *folder)
{
	const json_t *vnc = json_object_get(document, "vnc");

	if (vnc != NULL) {
		fputs("    <input type='keyboard' bus='ps2'/>\n    <input type='mouse' "
		      "bus='ps2'/>\n"
		      "    <graphics type='vnc' socket='",
		      file);
		put_path(file, folder, text_of(vnc, "socket"));
		fputs("'>\n      <listen type='socket' socket='", file);
		put_path(file, folder, text_of(vnc, "socket"));
		fputs("'/>\n    </graphics>\n", file);
	}
	if (vnc != NULL || json_is_true(json_object_get(document, "vga"))) {
		fputs("    <video>\n      <model type='vga' heads='1' primary='yes'/>\n    "
		      "</video>\n",
		      file);
	}
}

static void put_tablet(FILE *file, const json_t *document)
{
	if (json_is_true(json_object_get(document, "tablet"))) {
		fputs("    <input type='tablet' bus='usb'/>\n", file);
	}
}

static void put_tpm(FILE *file, const json_t *document, const char *folder)
{
	if (*text_of(document, "tpm") != '\0') {
		fputs("    <tpm model='tpm-crb'>\n      <backend type='emulator' version='2.0'>\n"
		      "        <source type='file' path='",
		      file);
		put_path(file, folder, text_of(document, "tpm"));
		fputs("'/>\n      </backend>\n    </tpm>\n", file);
	}
}

/* The two cards as libvirt calls them; the file is an audio backend's. */
static void put_sound(FILE *file, const json_t *document, const char *folder)
{
	const json_t *sound = json_object_get(document, "sound");

	if (sound == NULL) {
		return;
	}
	fprintf(file, "    <sound model='%s'/>\n",
		strcmp(text_of(sound, "model"), "hda") == 0 ? "ich6" : "sb16");
	if (*text_of(sound, "wav") != '\0') {
		fputs("    <audio id='1' type='file' path='", file);
		put_path(file, folder, text_of(sound, "wav"));
		fputs("'/>\n", file);
	}
}

static void put_devices(FILE *file, const json_t *document, const char *folder, const char *name)
{
	const json_t *disks = json_object_get(document, "disks");
	json_t *item;
	size_t i;

	fputs("  <devices>\n", file);
	json_array_foreach((json_t *)disks, i, item)
	{
		put_disk(file, disks, i, folder);
	}
	if (*text_of(document, "floppy") != '\0') {
		fputs("    <disk type='file' device='floppy'>\n      <source file='", file);
		put_path(file, folder, text_of(document, "floppy"));
		fputs("'/>\n      <target dev='fda' bus='fdc'/>\n    </disk>\n", file);
	}
	json_array_foreach(json_object_get(document, "networks"), i, item)
	{
		put_network(file, item, name, i);
	}
	put_serial(file, json_object_get(document, "serial"), folder);
	put_screen(file, document, folder);
	put_tablet(file, document);
	put_tpm(file, document, folder);
	put_sound(file, document, folder);
	fputs("  </devices>\n", file);
}

/* ---- The machine ---- */

static void put_os(FILE *file, const json_t *document, const char *folder)
{
	static const char *const members[][2] = {{"kernel", "kernel"}, {"initrd", "initrd"}};
	bool efi = json_integer_value(json_object_get(document, "generation")) == 2;
	const char *template = text_of(document, "firmware-template"),
		   *variables = text_of(document, "firmware-variables"),
		   *secure = text_of(document, "secure-boot");

	fprintf(file, "  <os%s>\n    <type arch='x86_64' machine='verdigris'>hvm</type>\n",
		efi ? " firmware='efi'" : "");
	if (*secure != '\0') {
		const char *on = strcmp(secure, "off") != 0 ? "yes" : "no";

		fprintf(file,
			"    <firmware>\n      <feature enabled='%s' name='enrolled-keys'/>\n"
			"      <feature enabled='%s' name='secure-boot'/>\n    </firmware>\n",
			on, on);
	}
	if (*text_of(document, "firmware") != '\0') {
		fprintf(file, "    <loader readonly='yes' type='%s'>", efi ? "pflash" : "rom");
		put_path(file, folder, text_of(document, "firmware"));
		fputs("</loader>\n", file);
	}
	if (efi || *template != '\0' || *variables != '\0') {
		/* One without a text says that there is none, and that none is to be made. */
		fputs("    <nvram", file);
		if (*template != '\0') {
			fputs(" template='", file);
			put_path(file, folder, template);
			fputc('\'', file);
		}
		fputc('>', file);
		put_path(file, folder, variables);
		fputs("</nvram>\n", file);
	}
	for (size_t i = 0; i < ARRAY_COUNT(members); i++) {
		if (*text_of(document, members[i][0]) != '\0') {
			fprintf(file, "    <%s>", members[i][1]);
			put_path(file, folder, text_of(document, members[i][0]));
			fprintf(file, "</%s>\n", members[i][1]);
		}
	}
	if (json_object_get(document, "append") != NULL) {
		print(file, "    <cmdline>%s</cmdline>\n", text_of(document, "append"));
	}
	fputs("  </os>\n", file);
}

static void put_memory(FILE *file, const json_t *machine)
{
	uint64_t least = size_of(json_object_get(machine, "document"), "memory-minimum");

	fprintf(file,
		"  <memory unit='KiB'>%" PRIu64 "</memory>\n"
		"  <currentMemory unit='KiB'>%" PRIu64 "</currentMemory>\n",
		xml_memory_most(machine) / 1024, xml_memory(machine) / 1024);
	if (least != 0) {
		fprintf(file,
			"  <memtune>\n    <min_guarantee unit='KiB'>%" PRIu64
			"</min_guarantee>\n  </memtune>\n",
			least / 1024);
	}
}

/* What is said by elements above, and what is the service's own affair (define.c keeps it as it
 * is). */
static const char *const said[] = {
	"name",
	"id",
	"generation-id",
	"notes",
	"title",
	"metadata",
	"memory",
	"vps",
	"memory-minimum",
	"generation",
	"firmware",
	"memory-maximum",
	"firmware-template",
	"disks",
	"firmware-variables",
	"secure-boot",
	"tpm",
	"tablet",
	"sound",
	"networks",
	"serial",
	"vnc",
	"vga",
	"kernel",
	"initrd",
	"append",
	"floppy",
	"on-reset",
	XML_KEPT,
};

bool xml_says(const char *member)
{
	for (size_t i = 0; i < ARRAY_COUNT(said); i++) {
		if (strcmp(said[i], member) == 0) {
			return true;
		}
	}
	return false;
}

static void put_rest(FILE *file, const json_t *document)
{
	json_t *rest = json_copy((json_t *)document);
	char *text;

	for (size_t i = 0; i < ARRAY_COUNT(said); i++) {
		json_object_del(rest, said[i]);
	}
	text = json_object_size(rest) != 0 ? json_dumps(rest, JSON_SORT_KEYS | JSON_ENSURE_ASCII)
					   : NULL;
	if (text != NULL) {
		print(file, "  <verdigris:machine>%s</verdigris:machine>\n", text);
	}
	free(text);
	json_decref(rest);
}

char *xml_domain(const json_t *machine, int id, const char *folder)
{
	const json_t *document = json_object_get(machine, "document");
	bool ends = strcmp(text_of(document, "on-reset"), "exit") == 0;
	const char *metadata = text_of(document, "metadata");
	char *text = NULL;
	size_t length;
	FILE *file = open_memstream(&text, &length);

	if (file == NULL) {
		return NULL;
	}
	fputs("<domain type='hyperv'", file);
	if (id > 0) {
		fprintf(file, " id='%d'", id);
	}
	fputs(" xmlns:verdigris='" XML_NAMESPACE "'>\n", file);
	put_optional(file, "name", text_of(machine, "name"));
	put_optional(file, "uuid", text_of(machine, "id"));
	put_optional(file, "genid", text_of(document, "generation-id"));
	put_optional(file, "title", text_of(document, "title"));
	put_optional(file, "description", text_of(document, "notes"));
	if (*metadata != '\0') {
		fprintf(file, "  <metadata>%s</metadata>\n", metadata); /* it is XML */
	}
	put_memory(file, machine);
	fprintf(file, "  <vcpu placement='static'>%" JSON_INTEGER_FORMAT "</vcpu>\n",
		json_integer_value(json_object_get(machine, "vps")));
	put_os(file, document, folder);
	fprintf(file,
		"  <features>\n    <acpi/>\n    <apic/>\n  </features>\n  <clock offset='utc'/>\n"
		"  <on_poweroff>destroy</on_poweroff>\n  <on_reboot>%s</on_reboot>\n",
		ends ? "destroy" : "restart");
	put_devices(file, document, folder, id > 0 ? text_of(machine, "name") : NULL);
	put_rest(file, document);
	fputs("</domain>\n", file);
	return fclose(file) == 0 ? text : NULL;
}

char *xml_capabilities(const json_t *host)
{
	char *text = NULL;
	size_t length;
	FILE *file = open_memstream(&text, &length);

	if (file == NULL) {
		return NULL;
	}
	fprintf(file,
		"<capabilities>\n  <host>\n    <cpu>\n      <arch>x86_64</arch>\n"
		"      <topology sockets='1' cores='%" JSON_INTEGER_FORMAT "' threads='1'/>\n"
		"    </cpu>\n  </host>\n"
		"  <guest>\n    <os_type>hvm</os_type>\n    <arch name='x86_64'>\n"
		"      <wordsize>64</wordsize>\n      <machine>verdigris</machine>\n"
		"      <domain type='hyperv'/>\n    </arch>\n    <features>\n      <acpi "
		"default='on' "
		"toggle='no'/>\n      <apic default='on' toggle='no'/>\n    </features>\n  "
		"</guest>\n</capabilities>\n",
		json_integer_value(json_object_get(host, "lps")));
	return fclose(file) == 0 ? text : NULL;
}

char *xml_pool(const char *name, const uint8_t id[UUID_BYTES], const char *path, uint64_t capacity,
	       uint64_t available)
{
	char *text = NULL, uuid[GUID_TEXT];
	size_t length;
	FILE *file = open_memstream(&text, &length);

	if (file == NULL) {
		return NULL;
	}
	guid_print_be(id, uuid);
	print(file, "<pool type='dir'>\n  <name>%s</name>\n  <uuid>%s</uuid>\n", name, uuid);
	fprintf(file,
		"  <capacity unit='bytes'>%" PRIu64 "</capacity>\n"
		"  <allocation unit='bytes'>%" PRIu64 "</allocation>\n"
		"  <available unit='bytes'>%" PRIu64 "</available>\n  <source>\n  </source>\n",
		capacity, capacity - available, available);
	print(file, "  <target>\n    <path>%s</path>\n  </target>\n</pool>\n", path);
	return fclose(file) == 0 ? text : NULL;
}

char *xml_network(const char *name, const uint8_t id[UUID_BYTES], size_t connections)
{
	char *text = NULL, uuid[GUID_TEXT];
	size_t length;
	FILE *file = open_memstream(&text, &length);

	if (file == NULL) {
		return NULL;
	}
	guid_print_be(id, uuid);
	fprintf(file, "<network connections='%zu'>\n", connections);
	print(file, "  <name>%s</name>\n  <uuid>%s</uuid>\n</network>\n", name, uuid);
	return fclose(file) == 0 ? text : NULL;
}

char *xml_volume(const struct xml_volume *volume)
{
	char *text = NULL;
	size_t length;
	FILE *file = open_memstream(&text, &length);

	if (file == NULL) {
		return NULL;
	}
	print(file, "<volume type='file'>\n  <name>%s</name>\n  <key>%s</key>\n", volume->name,
	      volume->path);
	fprintf(file,
		"  <capacity unit='bytes'>%" PRIu64 "</capacity>\n"
		"  <allocation unit='bytes'>%" PRIu64 "</allocation>\n"
		"  <physical unit='bytes'>%" PRIu64 "</physical>\n",
		volume->capacity, volume->allocation, volume->physical);
	print(file, "  <target>\n    <path>%s</path>\n    <format type='%s'/>\n  </target>\n",
	      volume->path, volume->format);
	if (volume->parent[0] != '\0') {
		const char *format = drive_format(volume->parent);

		print(file,
		      "  <backingStore>\n    <path>%s</path>\n    <format type='%s'/>\n  "
		      "</backingStore>\n",
		      volume->parent, format != NULL ? format : "raw");
	}
	fputs("</volume>\n", file);
	return fclose(file) == 0 ? text : NULL;
}

/* Of what virt-manager and virt-install offer, what there is here. */
char *xml_domain_capabilities(void)
{
	static const struct {
		const char *element, *name, *values;
	} devices[] = {
		{"disk", "diskDevice", "disk cdrom floppy"},
		{"disk", "bus", "ide scsi fdc"},
		{"graphics", "type", "vnc"},
		{"video", "modelType", "vga none"},
		{"tpm", "model", "tpm-crb"},
		{"tpm", "backendModel", "emulator"},
		{"tpm", "backendVersion", "2.0"},
	};
	char *text = NULL, words[32], *word, *rest;
	size_t length, i;
	FILE *file = open_memstream(&text, &length);

	if (file == NULL) {
		return NULL;
	}
	fputs("<domainCapabilities>\n  <path>vmwp</path>\n  <domain>hyperv</domain>\n"
	      "  <machine>verdigris</machine>\n  <arch>x86_64</arch>\n"
	      "  <vcpu max='240'/>\n"
	      "  <os supported='yes'>\n    <enum name='firmware'>\n      <value>efi</value>\n    "
	      "</enum>\n    <loader supported='yes'>\n      <enum name='type'>\n        "
	      "<value>rom</value>\n        <value>pflash</value>\n      </enum>\n      <enum "
	      "name='readonly'>\n        <value>yes</value>\n      </enum>\n      <enum "
	      "name='secure'>\n        <value>yes</value>\n        <value>no</value>\n      "
	      "</enum>\n    </loader>\n  </os>\n"
	      "  <devices>\n",
	      file);
	for (i = 0; i < ARRAY_COUNT(devices); i++) {
		bool again = i > 0 && strcmp(devices[i - 1].element, devices[i].element) == 0;

		if (!again) {
			fprintf(file, "    <%s supported='yes'>\n", devices[i].element);
		}
		fprintf(file, "      <enum name='%s'>\n", devices[i].name);
		snprintf(words, sizeof(words), "%s", devices[i].values);
		for (word = strtok_r(words, " ", &rest); word != NULL;
		     word = strtok_r(NULL, " ", &rest)) {
			fprintf(file, "        <value>%s</value>\n", word);
		}
		fputs("      </enum>\n", file);
		if (i + 1 == ARRAY_COUNT(devices) ||
		    strcmp(devices[i + 1].element, devices[i].element) != 0) {
			fprintf(file, "    </%s>\n", devices[i].element);
		}
	}
	fputs("    <hostdev supported='no'/>\n  </devices>\n  <features>\n    <gic "
	      "supported='no'/>\n"
	      "    <genid supported='yes'/>\n  </features>\n</domainCapabilities>\n",
	      file);
	return fclose(file) == 0 ? text : NULL;
}

/* Its <domain> is the machine's identity alone: what it was then is the checkpoint's own affair,
 * and is gone back to as a whole. */
char *xml_snapshot(const json_t *point, const char *name, const char *parent, const char *domain,
		   long long created)
{
	char *text = NULL;
	size_t size;
	FILE *file = open_memstream(&text, &size);
	bool memory = json_is_true(json_object_get(point, "state"));

	if (file == NULL) {
		return NULL;
	}
	print(file, "<domainsnapshot>\n  <name>%s</name>\n", name);
	if (*text_of(point, "notes") != '\0') {
		print(file, "  <description>%s</description>\n", text_of(point, "notes"));
	}
	print(file, "  <state>%s</state>\n", memory ? "running" : "shutoff");
	if (*parent != '\0') {
		print(file, "  <parent>\n    <name>%s</name>\n  </parent>\n", parent);
	}
	fprintf(file, "  <creationTime>%lld</creationTime>\n", created);
	print(file, "  <memory snapshot='%s'/>\n", memory ? "internal" : "no");
	print(file, "  <domain>\n    <uuid>%s</uuid>\n  </domain>\n</domainsnapshot>\n", domain);
	return fclose(file) == 0 ? text : NULL;
}
