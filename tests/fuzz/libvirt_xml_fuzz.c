/*
 * Domain XML of libvirt's clients: any bytes, or elements and attributes that the reader knows, in
 * any order. What it takes is a document whose XML, read again, is the same XML; and metadata are
 * set and found again.
 */
#include <stdlib.h>
#include <string.h>

#include "libvirt/libvirt.h"
#include "tests/fuzz/fuzz.h"

#define TEXT_MAX  16384
#define DEPTH_MAX 12

static const char *const names[] = {
	"domain",
	"name",
	"uuid",
	"memory",
	"currentMemory",
	"vcpu",
	"os",
	"type",
	"loader",
	"nvram",
	"boot",
	"kernel",
	"cmdline",
	"features",
	"acpi",
	"clock",
	"devices",
	"disk",
	"driver",
	"source",
	"target",
	"readonly",
	"address",
	"backingStore",
	"format",
	"interface",
	"mac",
	"model",
	"vlan",
	"tag",
	"serial",
	"console",
	"graphics",
	"listen",
	"video",
	"metadata",
	"memtune",
	"title",
	"description",
	"genid",
	"on_reboot",
	"min_guarantee",
	"verdigris:machine",
	"verdigris:socket",
	"x:y xmlns:x='urn:x'",
};
static const char *const attributes[] = {
	"type",     "device",   "file",    "dev",        "bus",    "unit", "order",
	"cache",    "address",  "network", "queues",     "id",     "path", "mode",
	"firmware", "template", "socket",  "controller", "target", "port",
};
static const char *const values[] = {
	"hyperv",
	"1",
	"file",
	"disk",
	"cdrom",
	"floppy",
	"/s/m/a.vhdx",
	"/b",
	"sda",
	"hdc",
	"scsi",
	"ide",
	"raw",
	"vhdx",
	"none",
	"lan",
	"MiB",
	"64",
	"2",
	"unix",
	"bind",
	"pty",
	"vnc",
	"vga",
	"efi",
	"drive",
	"0",
	"hvm",
	"m",
	"{\"a\":1}",
	"&lt;&#10;",
	"network",
	"netvsc",
	"restart",
	"destroy",
	"G",
	"00:15:5d:00:00:01",
	"sdab",
	"99999999999999999999",
	"\xc3\xbc",
};

struct builder {
	char text[TEXT_MAX];
	size_t length, depth;
	const char *open[DEPTH_MAX];
	bool in_tag;
};

static void add(struct builder *builder, const char *text)
{
	size_t length = strlen(text);

	if (builder->length + length + 256 < TEXT_MAX) {
		memcpy(builder->text + builder->length, text, length);
		builder->length += length;
	}
}

static void end_tag(struct builder *builder)
{
	if (builder->in_tag) {
		add(builder, ">");
	}
	builder->in_tag = false;
}

static void close_element(struct builder *builder)
{
	char name[32];

	end_tag(builder);
	builder->depth--;
	snprintf(name, sizeof(name), "%s", builder->open[builder->depth]);
	name[strcspn(name, " ")] = '\0';
	add(builder, "</");
	add(builder, name);
	add(builder, ">");
}

/* A byte says what, the next one which. */
static void build(struct builder *builder, const uint8_t *data, size_t size)
{
	add(builder, "<domain type='hyperv' xmlns:verdigris='" XML_NAMESPACE "'><name>m</name>");
	for (; size >= 2; data += 2, size -= 2) {
		if (data[0] % 8 < 3 && builder->depth < DEPTH_MAX) {
			end_tag(builder);
			builder->open[builder->depth++] = names[data[1] % ARRAY_COUNT(names)];
			add(builder, "<");
			add(builder, builder->open[builder->depth - 1]);
			builder->in_tag = true;
		} else if (data[0] % 8 < 5 && builder->in_tag && size >= 3) {
			add(builder, " ");
			add(builder, attributes[data[1] % ARRAY_COUNT(attributes)]);
			add(builder, "='");
			add(builder, values[data[2] % ARRAY_COUNT(values)]);
			add(builder, "'");
			data++;
			size--;
		} else if (data[0] % 8 == 5) {
			end_tag(builder);
			add(builder, values[data[1] % ARRAY_COUNT(values)]);
		} else if (builder->depth > 0) {
			close_element(builder);
		}
	}
	while (builder->depth > 0) {
		close_element(builder);
	}
	add(builder, "<memory unit='MiB'>64</memory></domain>");
	builder->text[builder->length] = '\0';
}

/* As the service would show it. */
static char *print_machine(json_t *document)
{
	json_t *machine =
		json_pack("{s:O?, s:s, s:O, s:O, s:O}", "name", json_object_get(document, "name"),
			  "id", "3284ad52-0a77-4812-aa50-d3f93b1c06c9", "memory",
			  json_object_get(document, "memory"), "vps",
			  json_object_get(document, "vps"), "document", document);
	char *xml;

	EXPECT(machine != NULL);
	xml = xml_domain(machine, 0, "/s/m");
	EXPECT(xml != NULL);
	json_decref(machine);
	return xml;
}

static void try_domain(const char *text)
{
	struct xml_error error = {0};
	json_t *document = xml_read_domain(text, "/s", &error), *again;
	char *xml, *same;

	if (document == NULL) {
		EXPECT(error.code != 0 && error.text[0] != '\0');
		return;
	}
	if (strcmp(text_of(document, "name"), "m") == 0 && xml_memory(document) % 1024 == 0 &&
	    xml_memory(document) != 0) {
		xml = print_machine(document);
		again = xml_read_domain(xml, "/s", &error);
		EXPECT(again != NULL);
		same = print_machine(again);
		EXPECT(strcmp(xml, same) == 0);
		free(xml);
		free(same);
		json_decref(again);
	}
	json_decref(document);
}

static void try_device(const char *text)
{
	struct xml_error error = {0};
	json_t *document = xml_read_device(text, "/s/m", &error);

	EXPECT(document != NULL || error.code != 0);
	json_decref(document);
}

static void try_metadata(const char *text)
{
	struct xml_error error = {0};
	char *whole = NULL, *found, *without = NULL;

	if (!xml_metadata_set("<a:b xmlns:a='urn:a'/>", "urn:z", "z", text, &whole, &error)) {
		EXPECT(error.code != 0);
		return;
	}
	found = xml_metadata_get(whole, "urn:z");
	EXPECT(found != NULL);
	EXPECT(xml_metadata_set(whole, "urn:z", NULL, NULL, &without, &error));
	EXPECT(strcmp(without, "<a:b xmlns:a=\"urn:a\"/>") == 0);
	free(found);
	free(whole);
	free(without);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct builder builder;

	builder.length = builder.depth = 0;
	builder.in_tag = false;
	if (size == 0 || size >= TEXT_MAX) {
		return 0;
	}
	if (data[0] % 4 != 0) {
		build(&builder, data + 1, size - 1);
	} else {
		memcpy(builder.text, data + 1, size - 1);
		builder.text[size - 1] = '\0';
	}
	try_domain(builder.text);
	try_device(data[0] % 4 == 1 ? strchr(builder.text, '/') + 6 : builder.text);
	try_metadata(builder.text);
	return 0;
}
