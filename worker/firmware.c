/*
 * Firmware of a machine, see firmware.h. The image ends at 4 GiB, where the processor begins. Of a
 * BIOS the last 256 KiB are below 1 MiB as well, in RAM that it finds open (devices/host_bridge.c):
 * it copies nothing then, and goes on there. UEFI firmware stays where it is, with its variables
 * right before it (nvram.h).
 */
#include "worker/firmware.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "lib/addr.h"
#include "worker/say.h"

#define SHADOW_END  0x100000ull
#define SHADOW_MAX  0x40000ull
#define IMAGE_UNIT  0x10000ull
#define UEFI_UNIT   0x1000ull
#define ROM_UNIT    512u
#define VGA_ROM_MAX 0x10000u

/* What is started over the network: it lies from 0:7c00 on, and has memory of a PC's first 640 KiB
 * behind it. */
#define NETBOOT_MIN 512u
#define NETBOOT_MAX (0x90000u - 0x7c00u)

/* netboot.S */
extern const uint8_t netboot_rom[], netboot_rom_end[], netboot_pnp[];

#define PNP_SUM 9u /* of the header's bytes, and where the sum is */

/* A floppy disk is what has the size of one. */
static bool is_floppy(uint64_t size)
{
	static const uint16_t kib[] = {160, 180, 320, 360, 720, 1200, 1440, 2880};
	unsigned int i;

	for (i = 0; i < ARRAY_COUNT(kib); i++) {
		if (size == kib[i] * 1024ull) {
			return true;
		}
	}
	return false;
}

static bool open_log(struct firmware *firmware, struct loader *loader,
		     const struct config_file *file)
{
	const char *path = file->path;

	firmware->log = file->fd;
	if (path == NULL || file->fd >= 0) {
		return true;
	}
	firmware->log = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NONBLOCK, 0644);
	return firmware->log >= 0 ||
	       loader_refuse(loader, "--firmware-log %s: %s", path, strerror(errno));
}

/* A file's content in memory of its own, page aligned. */
static uint8_t *read_file(struct loader *loader, const struct loader_file *file)
{
	uint8_t *bytes =
		mmap(NULL, file->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (bytes == MAP_FAILED) {
		(void)loader_refuse(loader, "%s: %s", file->name, strerror(errno));
		return NULL;
	}
	if (!loader_read(loader, file, 0, bytes, file->size)) {
		munmap(bytes, file->size);
		return NULL;
	}
	return bytes;
}

static bool open_vga(struct firmware *firmware, struct loader *loader, const struct config *config)
{
	if (!config->vga || config->generation != 1) {
		return true;
	}
	if (!loader_open(loader, &firmware->vga, "vga-firmware", config->vga_rom.path,
			 config->vga_rom.fd)) {
		return false;
	}
	if (firmware->vga.size < ROM_UNIT || firmware->vga.size > VGA_ROM_MAX) {
		return loader_refuse(loader, "%s: not a VGA's BIOS: it has %llu bytes",
				     config->vga_rom.path, (unsigned long long)firmware->vga.size);
	}
	firmware->vga_rom = read_file(loader, &firmware->vga);
	return firmware->vga_rom != NULL;
}

static const struct config_network *emulated(const struct config *config, unsigned int from)
{
	unsigned int i;

	for (i = from; i < config->network_count; i++) {
		if (config->networks[i].emulated) {
			return &config->networks[i];
		}
	}
	return NULL;
}

/* Where nobody has named it and it is not installed, nothing is started over the network. */
static bool open_netboot(struct firmware *firmware, struct loader *loader,
			 const struct config *config)
{
	const struct config_file *file = &config->network_firmware;
	const char *path = file->path != NULL ? file->path : CONFIG_NETBOOT;

	if (emulated(config, 0) == NULL) {
		return true;
	}
	if (file->path == NULL && access(path, R_OK) != 0) {
		say("nothing is started over the network: %s: %s; install ipxe, or give "
		    "network-firmware",
		    path, strerror(errno));
		return true;
	}
	if (!loader_open(loader, &firmware->netboot, "network-firmware", path, file->fd)) {
		return false;
	}
	if (firmware->netboot.size < NETBOOT_MIN || firmware->netboot.size > NETBOOT_MAX) {
		return loader_refuse(
			loader,
			"%s: not a program that PXE starts: it has %llu bytes; give an "
			"image as ipxe.pxe, of at most %u KiB",
			path, (unsigned long long)firmware->netboot.size, NETBOOT_MAX >> 10);
	}
	firmware->netboot_program = read_file(loader, &firmware->netboot);
	return firmware->netboot_program != NULL;
}

static bool check_size(const struct firmware *firmware, struct loader *loader,
		       const struct config *config)
{
	bool bios = config->generation == 1;
	uint64_t unit = bios ? IMAGE_UNIT : UEFI_UNIT, size = firmware->image.size;

	return (size >= 2 * IMAGE_UNIT && size <= BOARD_ROM_MAX && size % unit == 0) ||
	       loader_refuse(loader,
			     "--firmware %s: %s: it has %llu bytes, and should have a multiple of "
			     "%llu KiB, from 128 KiB to 16 MiB",
			     config->firmware.path,
			     bios ? "not a BIOS image" : "not an image of UEFI firmware",
			     (unsigned long long)size, (unsigned long long)(unit >> 10));
}

/* It begins with a volume of firmware (UEFI PI 1.7, volume 3, 3.2.1), whatever that holds. */
static bool check_uefi(const struct firmware *firmware, struct loader *loader)
{
	static const char signature[4] = {'_', 'F', 'V', 'H'};

	return memcmp(firmware->rom + 40, signature, sizeof(signature)) == 0 ||
	       loader_refuse(loader, "--firmware %s: not an image of UEFI firmware",
			     firmware->image.name);
}

static bool open_uefi(struct firmware *firmware, struct loader *loader, const struct config *config)
{
	if (!check_uefi(firmware, loader) || !nvram_open(&firmware->nvram, loader, config)) {
		return false;
	}
	return firmware->image.size + firmware->nvram.length <= BOARD_ROM_MAX ||
	       loader_refuse(loader, "--firmware %s: with its variables it has more than 16 MiB",
			     firmware->image.name);
}

bool firmware_open(struct firmware *firmware, struct loader *loader, const struct config *config)
{
	*firmware =
		(struct firmware){.floppy.fd = -1, .vga.fd = -1, .netboot.fd = -1, .nvram.fd = -1};
	if (!loader_open(loader, &firmware->image, "--firmware", config->firmware.path,
			 config->firmware.fd)) {
		return false;
	}
	if (!check_size(firmware, loader, config)) {
		return false;
	}
	if (config->floppy.path != NULL && !loader_open(loader, &firmware->floppy, "--floppy",
							config->floppy.path, config->floppy.fd)) {
		return false;
	}
	if (config->floppy.path != NULL && !is_floppy(firmware->floppy.size)) {
		return loader_refuse(loader,
				     "--floppy %s: no floppy disk has %llu bytes; give an image "
				     "of 1440 KiB, or of another size that they have",
				     config->floppy.path,
				     (unsigned long long)firmware->floppy.size);
	}
	firmware->rom = read_file(loader, &firmware->image);
	if (firmware->rom == NULL) {
		return false;
	}
	if (config->floppy.path != NULL) {
		firmware->disk = read_file(loader, &firmware->floppy);
		if (firmware->disk == NULL) {
			return false;
		}
	}
	if (config->generation == 2 && !open_uefi(firmware, loader, config)) {
		return false;
	}
	return open_vga(firmware, loader, config) && open_netboot(firmware, loader, config) &&
	       open_log(firmware, loader, &config->firmware_log);
}

/* RAM alone: what is reserved below 1 MiB is the firmware's own affair. */
static unsigned int list_ram(struct firmware *firmware, const struct memory *memory)
{
	unsigned int count = 0;

	firmware->ranges[count++] =
		(struct firmware_range){.base = 0, .length = memory->low_end, .type = 1};
	if (memory->high_end > MEMORY_4G) {
		firmware->ranges[count++] = (struct firmware_range){
			.base = MEMORY_4G, .length = memory->high_end - MEMORY_4G, .type = 1};
	}
	return count;
}

/* A disk's port on the USB controller: they are there in their order, behind a tablet. */
static unsigned int usb_port(const struct config *config, const struct config_disk *disk)
{
	unsigned int port = config->tablet ? 2 : 1;
	const struct config_disk *before;

	for (before = config->disks; before != disk; before++) {
		port += before->usb;
	}
	return port;
}

/* What is to be started, in the words of Open Firmware. */
static void add_path(struct firmware *firmware, const struct config *config,
		     const struct config_disk *disk)
{
	size_t used = strlen(firmware->boot_order), left = sizeof(firmware->boot_order) - used;
	char *to = firmware->boot_order + used;

	if (disk == NULL) {
		snprintf(to, left, "/rom@floppyimg/disk.img\n");
	} else if (disk->ide) {
		snprintf(to, left, "/pci@i0cf8/ide@%u,1/drive@%u/disk@%u\n", BOARD_PIIX4_SLOT,
			 disk->number / 2, disk->number % 2);
	} else if (config->generation == 1) {
		snprintf(to, left, "/pci@i0cf8/usb@%x/storage@%x/channel@0/disk@0,0\n",
			 BOARD_XHCI_SLOT, usb_port(config, disk));
	} else {
		snprintf(to, left, "/pci@i0cf8/scsi@%x/channel@0/disk@0,%x\n", BOARD_UEFI_SCSI_SLOT,
			 disk->number);
	}
}

/* Adapters that are `first`, or the others; where there is a program for them. */
static void add_networks(struct firmware *firmware, const struct config *config, bool first)
{
	size_t used = strlen(firmware->boot_order);
	unsigned int i, slot = BOARD_NIC_SLOT;

	for (i = 0; i < config->network_count && firmware->netboot_program != NULL; i++) {
		const struct config_network *network = &config->networks[i];

		if (network->emulated && network->first == first) {
			used += (size_t)snprintf(firmware->boot_order + used,
						 sizeof(firmware->boot_order) - used,
						 "/pci@i0cf8/ethernet@%x/ethernet-phy@0\n", slot);
		}
		slot += network->emulated;
	}
}

/*
 * A BIOS: what is to be first, a floppy disk, discs, disks, then networks. UEFI firmware's
 * variables have an order, which only what is to be first comes before.
 */
static void order_boot(struct firmware *firmware, const struct config *config)
{
	bool bios = config->generation == 1;
	unsigned int pass, i;

	for (pass = 0; pass < (bios ? 3u : 1u); pass++) {
		if (pass == 1 && config->floppy.path != NULL) {
			add_path(firmware, config, NULL);
		}
		for (i = 0; i < config->disk_count; i++) {
			const struct config_disk *disk = &config->disks[i];
			unsigned int when = disk->first ? 0 : disk->dvd ? 1 : 2;

			if ((bios ? disk->ide || disk->usb : !disk->ide) && when == pass) {
				add_path(firmware, config, disk);
			}
		}
		if (bios && pass != 1) {
			add_networks(firmware, config, pass == 0);
		}
	}
}

static uint8_t sum_of(const uint8_t *bytes, size_t length)
{
	uint8_t sum = 0;

	while (length-- > 0) {
		sum = (uint8_t)(sum + *bytes++);
	}
	return sum;
}

/* The adapters' ROM, and what it fetches. */
static void add_netboot(struct firmware *firmware, struct fw_cfg *fw_cfg)
{
	size_t length = (size_t)(netboot_rom_end - netboot_rom);
	uint8_t *pnp = firmware->netboot_rom + (netboot_pnp - netboot_rom);

	CHECK(length <= sizeof(firmware->netboot_rom));
	memcpy(firmware->netboot_rom, netboot_rom, length);
	pnp[PNP_SUM] = (uint8_t)-sum_of(pnp, 16 * (size_t)pnp[5]);
	firmware->netboot_rom[length - 1] = (uint8_t)-sum_of(firmware->netboot_rom, length);
	firmware->netboot_length = (uint32_t)firmware->netboot.size;
	fw_cfg_set(fw_cfg, FW_CFG_KERNEL_SIZE, &firmware->netboot_length,
		   sizeof(firmware->netboot_length));
	fw_cfg_set(fw_cfg, FW_CFG_KERNEL_DATA, firmware->netboot_program, firmware->netboot_length);
	CHECK(fw_cfg_add_file(fw_cfg, "pci1011,0009.rom", firmware->netboot_rom, (uint32_t)length));
}

/* The tables that its guest is told of the machine by. */
static void add_tables(struct firmware *firmware, struct fw_cfg *fw_cfg,
		       const struct config *config)
{
	struct acpi_files *acpi = &firmware->acpi;
	struct smbios *smbios = &firmware->smbios;

	acpi_files_build(acpi, config->vps, config->generation == 1 ? ACPI_BIOS : ACPI_UEFI,
			 config->tpm.path != NULL);
	CHECK(fw_cfg_add_file(fw_cfg, ACPI_FILE_TABLES, acpi->tables, acpi->tables_length));
	CHECK(fw_cfg_add_file(fw_cfg, ACPI_FILE_RSDP, acpi->rsdp, sizeof(acpi->rsdp)));
	CHECK(fw_cfg_add_file(fw_cfg, ACPI_FILE_LOADER, acpi->commands,
			      acpi->command_count * ACPI_COMMAND_BYTES));
	CHECK(fw_cfg_add_file(fw_cfg, SMBIOS_FILE_ANCHOR, smbios->anchor, sizeof(smbios->anchor)));
	CHECK(fw_cfg_add_file(fw_cfg, SMBIOS_FILE_TABLES, smbios->tables, smbios->length));
}

void firmware_attach(struct firmware *firmware, const struct memory *memory, struct board *board,
		     const struct config *config)
{
	struct fw_cfg *fw_cfg = &board->fw_cfg;
	unsigned int ranges = list_ram(firmware, memory);

	if (config->tpm.path != NULL) {
		board_add_tpm(board);
	}
	firmware->serial_port = FIRMWARE_SERIAL_PORT;
	fw_cfg_set_u16(fw_cfg, FW_CFG_VP_COUNT, (uint16_t)config->vps);
	fw_cfg_set_u16(fw_cfg, FW_CFG_VP_COUNT_MAX, (uint16_t)config->vps);
	CHECK(board_add_rom(board, firmware->rom, firmware->image.size));
	CHECK(firmware->nvram.memory == NULL ||
	      board_add_flash(board, firmware->nvram.memory, firmware->nvram.length));
	CHECK(fw_cfg_add_file(fw_cfg, "etc/e820", firmware->ranges,
			      (uint32_t)(ranges * sizeof(firmware->ranges[0]))));
	CHECK(fw_cfg_add_file(fw_cfg, "etc/sercon-port", &firmware->serial_port,
			      sizeof(firmware->serial_port)));
	add_tables(firmware, fw_cfg, config);
	if (firmware->vga_rom != NULL) {
		CHECK(fw_cfg_add_file(fw_cfg, "pci1414,5353.rom", firmware->vga_rom,
				      (uint32_t)firmware->vga.size));
	}
	if (firmware->netboot_program != NULL) {
		add_netboot(firmware, fw_cfg);
	}
	order_boot(firmware, config);
	CHECK(firmware->boot_order[0] == '\0' ||
	      fw_cfg_add_file(fw_cfg, "bootorder", firmware->boot_order,
			      (uint32_t)strlen(firmware->boot_order) + 1));
	CHECK(firmware->disk == NULL ||
	      fw_cfg_add_file(fw_cfg, "floppyimg/disk.img", firmware->disk,
			      (uint32_t)firmware->floppy.size));
}

bool firmware_load(struct firmware *firmware, struct loader *loader)
{
	uint64_t size = firmware->image.size;
	uint64_t length = size < SHADOW_MAX ? size : SHADOW_MAX;

	/* UEFI firmware begins and stays below 4 GiB. */
	return firmware->nvram.memory != NULL ||
	       loader_read_to_guest(loader, &firmware->image, size - length, SHADOW_END - length,
				    length);
}

/* Whole lines, and long ones in pieces. What the file does not take is lost: a guest writes
 * this. */
void firmware_log(struct firmware *firmware, uint8_t byte)
{
	if (firmware->log < 0) {
		return;
	}
	firmware->line[firmware->line_length++] = byte;
	if (byte == '\n' || firmware->line_length == sizeof(firmware->line)) {
		if (write(firmware->log, firmware->line, firmware->line_length) < 0) {
			/* The disk is full, or the reader is slow. */
		}
		firmware->line_length = 0;
	}
}

void firmware_watch(struct firmware *firmware, uint8_t byte)
{
	struct boot_watch *watch = &firmware->watch;

	if (boot_watch_take(watch, byte)) {
		say_guest("the firmware found nothing to start%s%s",
			  watch->tried[0] != '\0' ? "; it tried " : ", and nothing to try",
			  watch->tried);
	}
}
