/*
 * By what a guest knows its machine: UUID and serial number (SMBIOS), the generation ID, and random
 * numbers to begin with (ACPI). They are written into its memory before each of its starts; the
 * generation ID also while it runs, and with firmware, which chooses where tables lie, into a page
 * of the board's.
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>

#include "devices/smbios.h"
#include "disk/bytes.h"
#include "worker/machine.h"
#include "worker/say.h"

/* FNV-1a over the name, with another beginning for each byte: the same machine has the same UUID.
 * Of version 8, which is anybody's. */
static void uuid_of_name(const char *name, uint8_t id[16])
{
	unsigned int i;

	for (i = 0; i < 16; i++) {
		uint64_t hash = 0xcbf29ce484222325ull ^ i;
		const char *at;

		for (at = name; *at != '\0'; at++) {
			hash = (hash ^ (uint8_t)*at) * 0x100000001b3ull;
		}
		id[i] = (uint8_t)(hash >> 32);
	}
	id[7] = (id[7] & 0x0f) | 0x80; /* the upper byte of the third part */
	id[8] = (id[8] & 0x3f) | 0x80;
}

static bool fill_random(void *bytes, size_t size)
{
	if (getrandom(bytes, size, 0) == (ssize_t)size) {
		return true;
	}
	say("no random numbers: %s", strerror(errno));
	return false;
}

bool identity_create(struct machine *machine)
{
	static const uint8_t none[16];
	const struct config *config = machine->config;
	struct guid guid;

	memcpy(machine->id, config->id, sizeof(machine->id));
	if (memcmp(machine->id, none, sizeof(none)) == 0) {
		uuid_of_name(config->name, machine->id);
	}
	memcpy(guid.bytes, machine->id, sizeof(guid.bytes));
	guid_print(&guid, machine->id_text);
	memcpy(machine->generation_id, config->generation_id, sizeof(machine->generation_id));
	return memcmp(machine->generation_id, none, sizeof(none)) != 0 ||
	       fill_random(machine->generation_id, sizeof(machine->generation_id));
}

static struct smbios_machine names_of(const struct machine *machine)
{
	const struct config *config = machine->config;
	struct smbios_machine names = {
		.firmware = config->generation == 0   ? "Verdigris"
			    : config->generation == 1 ? "SeaBIOS"
						      : "OVMF",
		.name = config->name,
		.serial = config->serial_number != NULL ? config->serial_number : machine->id_text,
		.memory = config->memory,
		.vp_count = config->vps,
	};

	memcpy(names.uuid, machine->id, sizeof(names.uuid));
	return names;
}

void identity_smbios(const struct machine *machine, struct smbios *smbios)
{
	struct smbios_machine names = names_of(machine);

	smbios_build(smbios, &names);
}

bool identity_write(struct machine *machine)
{
	struct acpi_identity acpi;
	struct smbios smbios;
	void *tables;

	memcpy(acpi.generation, machine->generation_id, sizeof(acpi.generation));
	if (!fill_random(acpi.seed, sizeof(acpi.seed))) {
		return false;
	}
	tables = memory_acquire(&machine->memory, ACPI_TABLES_GPA, ACPI_TABLES_LENGTH);
	CHECK(tables != NULL); /* all RAM is there, and no machine has so little */
	acpi_tables_build(tables, machine->config->vps, &acpi);
	memory_complete(&machine->memory, ACPI_TABLES_GPA, ACPI_TABLES_LENGTH, ACPI_TABLES_LENGTH);
	identity_smbios(machine, &smbios);
	tables = memory_acquire(&machine->memory, SMBIOS_GPA, SMBIOS_LENGTH);
	CHECK(tables != NULL);
	smbios_place(&smbios, tables);
	memory_complete(&machine->memory, SMBIOS_GPA, SMBIOS_LENGTH, SMBIOS_LENGTH);
	explicit_bzero(acpi.seed, sizeof(acpi.seed));
	return true;
}

bool identity_attach(struct machine *machine)
{
	uint8_t *page = mmap(NULL, BOARD_GENERATION_PAGE, PROT_READ | PROT_WRITE,
			     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (page == MAP_FAILED) {
		say("no memory for the generation ID: %s", strerror(errno));
		return false;
	}
	memcpy(page, machine->generation_id, sizeof(machine->generation_id));
	machine->generation_page = page;
	board_add_generation(&machine->board, page);
	return true;
}

/* ---- The generation ID of a guest that is there ---- */

#define PART 1

void identity_save(const struct machine *machine, struct state_writer *writer)
{
	size_t part;

	if (machine->config->generation != 0) {
		part = state_begin(writer, "genid", PART);
		state_put_bytes(writer, machine->generation_page, sizeof(machine->generation_id));
		state_end(writer, part);
	}
}

/* A state that was saved before there was one: its guest does not know of the page. */
int identity_load(struct machine *machine, struct state_reader *list)
{
	uint8_t seen[sizeof(machine->generation_id)];
	struct state_reader part;

	if (machine->config->generation == 0 || !state_next_named(list, "genid", PART, &part)) {
		return state_ok(list) ? 0 : -EINVAL;
	}
	state_bytes(&part, seen, sizeof(seen));
	state_finish(&part);
	if (!state_ok(&part)) {
		return -EINVAL;
	}
	memcpy(machine->generation_page, seen, sizeof(seen));
	return 0;
}

/* Where the guest looks for it; NULL: there is no RAM. */
static void *acquire_generation(struct machine *machine)
{
	return machine->generation_page != NULL
		       ? machine->generation_page
		       : memory_acquire(&machine->memory, ACPI_GENERATION_GPA,
					sizeof(machine->generation_id));
}

static void complete_generation(struct machine *machine, uint64_t written)
{
	if (machine->generation_page == NULL) {
		memory_complete(&machine->memory, ACPI_GENERATION_GPA,
				sizeof(machine->generation_id), written);
	}
}

/* The guest is told when it is another one than there is. */
static int place_generation(struct machine *machine)
{
	const uint64_t size = sizeof(machine->generation_id);
	void *at = acquire_generation(machine);
	bool another;

	if (at == NULL) {
		return -EFAULT;
	}
	another = memcmp(at, machine->generation_id, size) != 0;
	memcpy(at, machine->generation_id, size);
	complete_generation(machine, size);
	if (another) {
		board_generation_changed(&machine->board);
	}
	return 0;
}

int identity_renew(struct machine *machine)
{
	return fill_random(machine->generation_id, sizeof(machine->generation_id))
		       ? place_generation(machine)
		       : -EIO;
}

int identity_restored(struct machine *machine)
{
	return place_generation(machine);
}

int identity_moved(struct machine *machine)
{
	const void *at = acquire_generation(machine);

	if (at == NULL) {
		return -EFAULT;
	}
	memcpy(machine->generation_id, at, sizeof(machine->generation_id));
	complete_generation(machine, 0);
	return 0;
}
