/*
 * By what a guest knows its machine: UUID and serial number (SMBIOS), the generation ID, and random numbers to begin with (ACPI). They are
 * written into its memory before each of its starts; the generation ID also while it runs.
 */
#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "devices/smbios.h"
#include "disk/bytes.h"
#include "worker/machine.h"
#include "worker/say.h"

/* FNV-1a over the name, with another beginning for each byte: the same machine has the same UUID. Of version 8, which is anybody's. */
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

/* To where the guest looks for it, which is told when it is another one than there is. */
static int place_generation(struct machine *machine)
{
	const uint64_t size = sizeof(machine->generation_id);
	void *at = memory_acquire(&machine->memory, ACPI_GENERATION_GPA, size);
	bool another;

	if (at == NULL) {
		return -EFAULT;
	}
	another = memcmp(at, machine->generation_id, size) != 0;
	memcpy(at, machine->generation_id, size);
	memory_complete(&machine->memory, ACPI_GENERATION_GPA, size, size);
	if (another) {
		board_generation_changed(&machine->board);
	}
	return 0;
}

int identity_renew(struct machine *machine)
{
	if (machine->config->generation != 0) {
		return -EOPNOTSUPP;
	}
	if (!fill_random(machine->generation_id, sizeof(machine->generation_id))) {
		return -EIO;
	}
	return place_generation(machine);
}

int identity_restored(struct machine *machine)
{
	return machine->config->generation == 0 ? place_generation(machine) : 0;
}

int identity_moved(struct machine *machine)
{
	return machine->config->generation != 0 ||
			       memory_get(&machine->memory, ACPI_GENERATION_GPA,
					  machine->generation_id, sizeof(machine->generation_id))
		       ? 0
		       : -EFAULT;
}
