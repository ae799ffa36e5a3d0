/* A machine as libvirt's clients know one (libvirt's docs/formatdomain.rst). What has no counterpart there is left out. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "hosted/size.h"
#include "libvirt/libvirt.h"

/* Names and paths may have whatever XML gives a meaning; control characters have no place in it at all. */
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
		default:
			fputc((unsigned char)*text < ' ' ? '?' : *text, file);
			break;
		}
	}
}

static void put_element(FILE *file, const char *name, const char *text)
{
	fprintf(file, "<%s>", name);
	put(file, text);
	fprintf(file, "</%s>\n", name);
}

uint64_t xml_memory(const json_t *machine)
{
	const json_t *memory = json_object_get(machine, "memory");
	uint64_t size = 0;

	if (json_is_integer(memory)) {
		return (uint64_t)json_integer_value(memory);
	}
	return json_is_string(memory) && size_parse(json_string_value(memory), &size) ? size : 0;
}

static const char *format_of(const char *name)
{
	const char *end = strrchr(name, '.');

	return end == NULL                                               ? "raw"
	       : strcmp(end, ".vhdx") == 0 || strcmp(end, ".avhdx") == 0 ? "vhdx"
	       : strcmp(end, ".vhd") == 0                                ? "vpc"
									 : "raw";
}

static void put_disk(FILE *file, const json_t *disk, size_t index)
{
	bool dvd = strcmp(text_of(disk, "kind"), "dvd") == 0,
	     ide = strcmp(text_of(disk, "controller"), "ide") == 0;
	const char *name = text_of(disk, "file");

	fprintf(file,
		"    <disk type='file' device='%s'>\n      <driver name='verdigris' type='%s'/>\n",
		dvd ? "cdrom" : "disk", format_of(name));
	if (*name != '\0') {
		fputs("      <source file='", file);
		put(file, name);
		fputs("'/>\n", file);
	}
	/* sda to sdz, and on as Linux counts. */
	fprintf(file, "      <target dev='%s", ide ? "hd" : "sd");
	if (index >= 26) {
		fputc('a' + (int)(index / 26 - 1), file);
	}
	fprintf(file, "%c' bus='%s'/>\n%s    </disk>\n", 'a' + (int)(index % 26),
		ide ? "ide" : "scsi",
		dvd || json_is_true(json_object_get(disk, "read-only")) ? "      <readonly/>\n"
									: "");
}

static void put_network(FILE *file, const json_t *network)
{
	fputs("    <interface type='network'>\n      <source network='", file);
	put(file, text_of(network, "switch"));
	fputs("'/>\n", file);
	if (*text_of(network, "mac") != '\0') {
		fputs("      <mac address='", file);
		put(file, text_of(network, "mac"));
		fputs("'/>\n", file);
	}
	fputs("      <model type='netvsc'/>\n    </interface>\n", file);
}

static void put_os(FILE *file, const json_t *document)
{
	static const char *const members[][2] = {
		{"kernel", "kernel"}, {"initrd", "initrd"}, {"append", "cmdline"}};
	size_t i;

	fputs("  <os>\n    <type arch='x86_64' machine='verdigris'>hvm</type>\n", file);
	for (i = 0; i < sizeof(members) / sizeof(members[0]); i++) {
		if (*text_of(document, members[i][0]) != '\0') {
			fputs("    ", file);
			put_element(file, members[i][1], text_of(document, members[i][0]));
		}
	}
	fputs("  </os>\n", file);
}

char *xml_domain(const json_t *machine, int id)
{
	const json_t *document = json_object_get(machine, "document"), *item;
	uint64_t kib = xml_memory(machine) / 1024;
	json_int_t vps = json_integer_value(json_object_get(machine, "vps"));
	char *text = NULL;
	size_t length, i;
	FILE *file = open_memstream(&text, &length);

	if (file == NULL) {
		return NULL;
	}
	if (id > 0) {
		fprintf(file, "<domain type='hyperv' id='%d'>\n  ", id);
	} else {
		fputs("<domain type='hyperv'>\n  ", file);
	}
	put_element(file, "name", text_of(machine, "name"));
	fputs("  ", file);
	put_element(file, "uuid", text_of(machine, "id"));
	if (*text_of(document, "notes") != '\0') {
		fputs("  ", file);
		put_element(file, "description", text_of(document, "notes"));
	}
	fprintf(file,
		"  <memory unit='KiB'>%" PRIu64 "</memory>\n"
		"  <currentMemory unit='KiB'>%" PRIu64 "</currentMemory>\n"
		"  <vcpu placement='static'>%" JSON_INTEGER_FORMAT "</vcpu>\n",
		kib, kib, vps);
	put_os(file, document);
	fputs("  <devices>\n", file);
	json_array_foreach(json_object_get(document, "disks"), i, item)
	{
		put_disk(file, item, i);
	}
	json_array_foreach(json_object_get(document, "networks"), i, item)
	{
		put_network(file, item);
	}
	if (json_object_get(document, "serial") == NULL) {
		fputs("    <console type='pty'>\n      <target type='serial' port='0'/>\n    "
		      "</console>\n",
		      file);
	}
	fputs("  </devices>\n</domain>\n", file);
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
		"      <domain type='hyperv'/>\n    </arch>\n  </guest>\n</capabilities>\n",
		json_integer_value(json_object_get(host, "lps")));
	return fclose(file) == 0 ? text : NULL;
}
