/* See offer.h. */
#include "worker/offer.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "worker/machine.h"

#define VERSION          1
#define FIRMWARE_VERSION 1
#define DISKS_VERSION    1

/* ---- What there is ---- */

static uint8_t kind_of(bool dvd, bool read_only, bool has_file)
{
	if (dvd) {
		return has_file ? OFFER_DVD : OFFER_DVD_EMPTY;
	}
	return read_only ? OFFER_DISK_READ_ONLY : OFFER_DISK;
}

/* As it is now: disks and adapters may have come and gone since it was configured. */
void offer_of_machine(struct offer *offer, const struct machine *machine)
{
	unsigned int i;

	offer_of_config(offer, machine->config);
	offer_add_firmware(offer, &machine->firmware);
	offer->no_flush_calls = machine->boot.no_flush_calls;
	offer->scsi = machine->disks.scsi != NULL;
	memory_get_added(&machine->memory, offer->added);
	offer->networks = 0;
	for (i = 0; i < CONFIG_NETWORKS_MAX; i++) {
		offer->networks |= (uint16_t)((machine->networks.places[i].network != NULL) << i);
	}
	for (i = 0; i < CONFIG_DISKS_MAX; i++) {
		const struct disk_place *place = &machine->disks.places[i];

		offer->disks[i] =
			place->there ? kind_of(place->dvd, place->read_only, place->file != NULL)
				     : OFFER_NONE;
	}
}

/* Of a machine of which nothing runs yet. */
void offer_of_config(struct offer *offer, const struct config *config)
{
	unsigned int i;

	*offer = (struct offer){.vps = config->vps,
				.memory = config->memory,
				.memory_maximum = config->memory_maximum,
				.generation = (uint8_t)config->generation,
				.scsi = config->control.path != NULL,
				.vga = config->vga,
				.dynamic = config->memory_minimum != 0,
				.tpm = config->tpm.path != NULL,
				.networks = (uint16_t)((1u << config->network_count) - 1)};
	for (i = 0; i < config->disk_count; i++) {
		const struct config_disk *disk = &config->disks[i];

		offer->scsi |= !disk->ide;
		offer->disks[disk->number + (disk->ide ? CONFIG_SCSI_MAX : 0)] =
			kind_of(disk->dvd, disk->read_only, disk->file.path != NULL);
	}
	backend_processor(&offer->processor);
}

void offer_add_firmware(struct offer *offer, const struct firmware *firmware)
{
	if (offer->generation == 2) {
		offer->firmware = (uint32_t)firmware->image.size;
		offer->variables = firmware->nvram.length;
	}
}

/* ---- On its way ---- */

void offer_write(const struct offer *offer, struct state_writer *writer)
{
	size_t part = state_begin(writer, "offer", VERSION);
	unsigned int i;

	state_put_u32(writer, offer->vps);
	state_put_u64(writer, offer->memory);
	state_put_u64(writer, offer->memory_maximum);
	for (i = 0; i < MEMORY_ADDED; i++) {
		state_put_u64(writer, offer->added[i]);
	}
	state_put_u8(writer, offer->generation);
	state_put_bool(writer, offer->scsi);
	state_put_bool(writer, offer->vga);
	state_put_bool(writer, offer->no_flush_calls);
	state_put_bool(writer, offer->dynamic);
	state_put_u16(writer, offer->networks);
	state_put_bytes(writer, offer->disks, sizeof(offer->disks));
	state_put_bytes(writer, offer->processor.vendor, BACKEND_VENDOR_CHARS);
	for (i = 0; i < BACKEND_FEATURE_WORDS; i++) {
		state_put_u32(writer, offer->processor.features[i]);
	}
	state_end(writer, part);
	if (offer->generation == 2) {
		part = state_begin(writer, "firmware", FIRMWARE_VERSION);
		state_put_u32(writer, offer->firmware);
		state_put_u32(writer, offer->variables);
		state_put_bool(writer, offer->tpm);
		state_end(writer, part);
	}
	part = state_begin(writer, "disks", DISKS_VERSION);
	for (i = 0; i < CONFIG_DISKS_MAX; i++) {
		state_put_u64(writer, offer->sizes[i].bytes);
		state_put_u32(writer, offer->sizes[i].sector);
		state_put_u32(writer, offer->sizes[i].physical);
		state_put_bytes(writer, offer->sizes[i].id, OFFER_ID_BYTES);
	}
	state_end(writer, part);
}

/*
 * What another worker says is as hostile as a file. What is used as an index, or printed, is judged
 * here.
 */
static bool read_firmware(struct offer *offer, struct state_reader *list)
{
	struct state_reader part = state_part(list, "firmware", FIRMWARE_VERSION);

	offer->firmware = state_u32(&part);
	offer->variables = state_u32(&part);
	offer->tpm = state_bool(&part);
	state_finish(&part);
	return state_ok(&part);
}

static bool read_disks(struct offer *offer, struct state_reader *list)
{
	struct state_reader part = state_part(list, "disks", DISKS_VERSION);
	unsigned int i;

	for (i = 0; i < CONFIG_DISKS_MAX; i++) {
		offer->sizes[i].bytes = state_u64(&part);
		offer->sizes[i].sector = state_u32(&part);
		offer->sizes[i].physical = state_u32(&part);
		state_bytes(&part, offer->sizes[i].id, OFFER_ID_BYTES);
	}
	state_finish(&part);
	return state_ok(&part);
}

bool offer_read(struct offer *offer, struct state_reader *list, bool disks)
{
	struct state_reader part = state_part(list, "offer", VERSION);
	unsigned int i;

	*offer = (struct offer){.vps = state_u32(&part)};
	offer->memory = state_u64(&part);
	offer->memory_maximum = state_u64(&part);
	for (i = 0; i < MEMORY_ADDED; i++) {
		offer->added[i] = state_u64(&part);
	}
	offer->generation = state_u8(&part);
	offer->scsi = state_bool(&part);
	offer->vga = state_bool(&part);
	offer->no_flush_calls = state_bool(&part);
	offer->dynamic = state_bool(&part);
	offer->networks = state_u16(&part);
	state_bytes(&part, offer->disks, sizeof(offer->disks));
	state_bytes(&part, offer->processor.vendor, BACKEND_VENDOR_CHARS);
	for (i = 0; i < BACKEND_FEATURE_WORDS; i++) {
		offer->processor.features[i] = state_u32(&part);
	}
	state_finish(&part);
	for (i = 0; i < CONFIG_DISKS_MAX; i++) {
		if (offer->disks[i] > OFFER_DVD_EMPTY) {
			state_refuse(&part, "has a disk of a kind that is none");
		}
	}
	for (i = 0; i < BACKEND_VENDOR_CHARS; i++) {
		if (offer->processor.vendor[i] < ' ' || offer->processor.vendor[i] > '~') {
			state_refuse(&part, "has a processor whose maker is no text");
		}
	}
	return state_ok(&part) && (offer->generation != 2 || read_firmware(offer, list)) &&
	       (!disks || read_disks(offer, list));
}

/* ---- Compared ---- */

/* Differences, one behind the other; those that find no room are cut off. */
struct text {
	char *to;
	uint32_t size, used;
};

__attribute__((format(printf, 2, 3))) static void add(struct text *text, const char *format, ...)
{
	va_list arguments;
	int length;

	if (text->used + 2 < text->size && text->used != 0) {
		memcpy(text->to + text->used, "; ", 3);
		text->used += 2;
	}
	va_start(arguments, format);
	length = vsnprintf(text->to + text->used, text->size - text->used, format, arguments);
	va_end(arguments);
	text->used += length < 0 ? 0 : (uint32_t)length;
	text->used = text->used < text->size ? text->used : text->size - 1;
}

static void compare_disks(struct text *text, const struct offer *wanted, const struct offer *had)
{
	static const char *const kinds[] = {"nothing", "a disk", "a read-only disk", "a DVD drive",
					    "an empty DVD drive"};
	unsigned int i;

	for (i = 0; i < CONFIG_DISKS_MAX; i++) {
		bool ide = i >= CONFIG_SCSI_MAX;
		const struct offer_size *there = &wanted->sizes[i], *here = &had->sizes[i];
		const char *controller = ide ? "IDE" : "SCSI";
		unsigned int number = ide ? i - CONFIG_SCSI_MAX : i;

		if (wanted->disks[i] != had->disks[i]) {
			add(text, "%s %u: %s there, %s here", controller, number,
			    kinds[wanted->disks[i]], kinds[had->disks[i]]);
		} else if ((there->sector == 0) != (here->sector == 0)) {
			add(text, "%s %u: its disk %s there, %s here", controller, number,
			    there->sector != 0 ? "comes along" : "stays",
			    here->sector != 0 ? "is waited for" : "is not");
		} else if (there->bytes != here->bytes || there->sector != here->sector ||
			   there->physical != here->physical) {
			add(text,
			    "%s %u: %llu bytes in sectors of %u and %u there, %llu, %u and %u here",
			    controller, number, (unsigned long long)there->bytes, there->sector,
			    there->physical, (unsigned long long)here->bytes, here->sector,
			    here->physical);
		}
	}
}

static void compare_firmware(struct text *text, const struct offer *wanted, const struct offer *had)
{
	if (wanted->firmware != had->firmware || wanted->variables != had->variables) {
		add(text,
		    "firmware of %u KiB with variables of %u there, of %u and %u here: give both "
		    "the same",
		    wanted->firmware >> 10, wanted->variables >> 10, had->firmware >> 10,
		    had->variables >> 10);
	}
	if (wanted->tpm != had->tpm) {
		add(text, "%s TPM there, %s here", wanted->tpm ? "a" : "no",
		    had->tpm ? "one" : "none");
	}
}

/*
 * Features that the guest does not know of are no hindrance; one that it may have used must be
 * there.
 */
static void compare_processors(struct text *text, const struct backend_processor *wanted,
			       const struct backend_processor *had)
{
	unsigned int word, bit;
	char name[64];

	if (strcmp(wanted->vendor, had->vendor) != 0) {
		add(text, "the processor is %s there, %s here", wanted->vendor, had->vendor);
		return; /* the rest means another thing */
	}
	for (word = 0; word < BACKEND_FEATURE_WORDS; word++) {
		uint32_t missing = wanted->features[word] & ~had->features[word];

		for (bit = 0; bit < 32; bit++) {
			if (missing & 1u << bit) {
				backend_feature_name(word, bit, name, sizeof(name));
				add(text, "the processor here lacks %s", name);
			}
		}
	}
}

/* All that differs is told at once: nobody mends one thing to meet the next. */
bool offer_fits(const struct offer *wanted, const struct offer *had, char *where, uint32_t size)
{
	struct text text = {.to = where, .size = size};
	unsigned int i;

	where[0] = '\0';
	if (wanted->vps != had->vps) {
		add(&text, "%u VPs there, %u here", wanted->vps, had->vps);
	}
	if (wanted->memory != had->memory) {
		add(&text, "%llu MiB of memory there, %llu here",
		    (unsigned long long)(wanted->memory >> 20),
		    (unsigned long long)(had->memory >> 20));
	}
	if (wanted->memory_maximum != had->memory_maximum) {
		add(&text, "%llu MiB at most there, %llu here",
		    (unsigned long long)(wanted->memory_maximum >> 20),
		    (unsigned long long)(had->memory_maximum >> 20));
	}
	if (wanted->generation != had->generation) {
		add(&text, "generation %u there, %u here", wanted->generation, had->generation);
	}
	if (wanted->scsi != had->scsi) {
		add(&text, "%s SCSI controller there, %s here", wanted->scsi ? "a" : "no",
		    had->scsi ? "one" : "none");
	}
	if (wanted->vga != had->vga) {
		add(&text, "%s VGA there, %s here", wanted->vga ? "a" : "no",
		    had->vga ? "one" : "none");
	}
	if (wanted->dynamic != had->dynamic) {
		add(&text, "%s memory there, %s here", wanted->dynamic ? "dynamic" : "fixed",
		    had->dynamic ? "dynamic" : "fixed");
	}
	for (i = 0; i < CONFIG_NETWORKS_MAX; i++) {
		if ((wanted->networks ^ had->networks) & 1u << i) {
			add(&text, "adapter %u: %s", i,
			    wanted->networks & 1u << i ? "there, not here" : "here, not there");
		}
	}
	compare_firmware(&text, wanted, had);
	compare_disks(&text, wanted, had);
	compare_processors(&text, &wanted->processor, &had->processor);
	return text.used == 0;
}
