/* The map of ports and memory, the lock, and the one wake-up that all parts share. See board.h. */
#include "devices/board.h"

#include <string.h>

#include "lib/check.h"

struct placement {
	uint64_t base, length;
	const struct device_class *class;
	size_t device; /* offset in struct board */
};

static const struct placement port_map[] = {
	{0x20, 2, &pic_master_class, offsetof(struct board, pic)},
	{0x40, 4, &pit_class, offsetof(struct board, pit)},
	{0x61, 1, &pit_port61_class, offsetof(struct board, pit)},
	{0x70, 2, &rtc_class, offsetof(struct board, rtc)},
	{0x92, 1, &reset_port92_class, offsetof(struct board, reset)},
	{0xa0, 2, &pic_slave_class, offsetof(struct board, pic)},
	{BOARD_COM1_PORT, 8, &uart_class, offsetof(struct board, com1)},
	{0x4d0, 2, &pic_elcr_class, offsetof(struct board, pic)},
	{0xcf8, 4, &pci_address_class, offsetof(struct board, pci)},
	{0xcfc, 4, &pci_data_class, offsetof(struct board, pci)},
};

static const struct placement no_i8042_at = {0x64, 1, &reset_i8042_class,
					     offsetof(struct board, reset)};

/* Without firmware it is where the tables say; with a PIIX4 that places it. */
static const struct placement pm_at = {ACPI_PM_BASE, ACPI_PM_LENGTH, &acpi_pm_class,
				       offsetof(struct board, pm)};
static const struct placement piix4_pm_at = {ACPI_PM_BASE, ACPI_PIIX4_LENGTH, &acpi_pm_class,
					     offsetof(struct board, pm)};

static const struct placement firmware_map[] = {
	{0x60, 1, &i8042_data_class, offsetof(struct board, i8042)},
	{0x64, 1, &i8042_command_class, offsetof(struct board, i8042)},
	{BOARD_DEBUGCON, 1, &debugcon_class, offsetof(struct board, debugcon)},
	{BOARD_FW_CFG, 12, &fw_cfg_class, offsetof(struct board, fw_cfg)},
};

/* Where a PIIX4's IDE channels are when they are enabled: commands, control, and the other
 * channel's. */
static const struct placement ide_map[] = {
	{0x1f0, 8, &ide_command_class, offsetof(struct board, ide.channels[0])},
	{0x3f6, 1, &ide_control_class, offsetof(struct board, ide.channels[0])},
	{0x170, 8, &ide_command_class, offsetof(struct board, ide.channels[1])},
	{0x376, 1, &ide_control_class, offsetof(struct board, ide.channels[1])},
};

static const struct placement vga_map[VGA_PORT_RANGES] = {
	{0x1ce, 4, &vga_dispi_class, offsetof(struct board, vga)},
	{0x3b4, 2, &vga_port_class, offsetof(struct board, vga)},
	{0x3ba, 1, &vga_port_class, offsetof(struct board, vga)},
	{0x3c0, 16, &vga_port_class, offsetof(struct board, vga)},
	{0x3d4, 2, &vga_port_class, offsetof(struct board, vga)},
	{0x3da, 1, &vga_port_class, offsetof(struct board, vga)},
};

static const struct placement sb16_map[] = {
	{0x00, 16, &dma_first_class, offsetof(struct board, dma)},
	{0xc0, 32, &dma_second_class, offsetof(struct board, dma)},
	{0x81, DMA_PAGES, &dma_page_class, offsetof(struct board, dma)},
	{BOARD_SB16_PORT, 16, &sb16_class, offsetof(struct board, sb16)},
};

static const struct placement memory_map[] = {
	{BOARD_IOAPIC_BASE, 0x1000, &ioapic_class, offsetof(struct board, ioapic)},
};

static const struct placement tpm_at = {TPM_BASE, TPM_LENGTH, &tpm_crb_class,
					offsetof(struct board, tpm)};

static void add_part(struct board *board, const struct device_class *class, void *device)
{
	if (class->save != NULL) {
		CHECK(board->part_count < BOARD_PARTS);
		board->parts[board->part_count].class = class;
		board->parts[board->part_count++].device = device;
	}
}

/* The last one's range. */
static struct bus_range *fill(struct bus *bus, const struct placement *map, size_t count,
			      struct board *board)
{
	struct bus_range *range = NULL;
	size_t i;

	for (i = 0; i < count; i++) {
		range = &board->ranges[board->range_count++];
		CHECK(board->range_count <= BOARD_RANGES);
		*range = (struct bus_range){
			.base = map[i].base,
			.length = map[i].length,
			.class = map[i].class,
			.device = (char *)board + map[i].device,
			.priority = BUS_PRIORITY_BOARD,
			.enabled = true,
		};
		CHECK(bus_add(bus, range));
		add_part(board, range->class, range->device);
	}
	bus_update(bus);
	return range;
}

static bool has_firmware(const struct board *board)
{
	return board->kind != BOARD_DIRECT;
}

static struct irq_source source(struct board *board, uint8_t line)
{
	return (struct irq_source){.irq = &board->irq, .line = line};
}

static void reset_parts(struct board *board)
{
	unsigned int i;

	/* The controllers first: the others then lower lines that they hold up. */
	pic_reset(&board->pic);
	ioapic_reset(&board->ioapic);
	pit_reset(&board->pit);
	rtc_reset(&board->rtc);
	uart_reset(&board->com1);
	pci_reset(&board->pci);
	acpi_pm_reset(&board->pm);
	reset_reset(&board->reset);
	if (has_firmware(board)) {
		i8042_reset(&board->i8042);
		fw_cfg_reset(&board->fw_cfg);
		piix4_update(&board->piix4);
		vga_reset(&board->vga);
		flash_reset(&board->flash);
		tpm_crb_reset(&board->tpm);
		virtio_scsi_reset(&board->scsi);
	}
	if (board->kind == BOARD_GENERATION_1) {
		ide_reset(&board->ide);
		ide_update(&board->ide);
		for (i = 0; i < BOARD_NICS_MAX; i++) {
			tulip_reset(&board->nics[i]);
		}
		dma_reset(&board->dma);
		sb16_reset(&board->sb16);
	}
	hda_reset(&board->hda);
	for (i = 0; i < board->usb_disk_count; i++) {
		usb_storage_forget(&board->usb_disks[i]);
	}
	xhci_reset(&board->xhci);
	board->wake_at = HOST_NEVER;
	host_wake_at(board->host, HOST_NEVER);
	host_extint(board->host, false);
}

static void add_ide(struct board *board)
{
	struct bus_range *ranges[ARRAY_COUNT(ide_map)];
	unsigned int i;

	for (i = 0; i < ARRAY_COUNT(ide_map); i++) {
		ranges[i] = fill(&board->ports, &ide_map[i], 1, board);
	}
	board->ide.channels[0].irq = source(board, BOARD_IDE_LINE);
	board->ide.channels[1].irq = source(board, BOARD_IDE_LINE + 1);
	ide_create(&board->ide, board->host, &board->pci, BOARD_PIIX4_SLOT, ranges);
	add_part(board, &ide_class, &board->ide);
}

/* What firmware finds its machine by, and tells of itself on. */
static void add_firmware_parts(struct board *board)
{
	struct bus_range *pm = fill(&board->ports, &piix4_pm_at, 1, board);
	bool bios = board->kind == BOARD_GENERATION_1;

	piix4_create(&board->piix4, &board->pci, bios ? BOARD_PIIX4_SLOT : BOARD_UEFI_PIIX4_SLOT,
		     pm);
	fw_cfg_create(&board->fw_cfg, board->host);
	board->debugcon.host = board->i8042.host = board->host;
	board->i8042.keyboard_irq = source(board, 1);
	board->i8042.aux_irq = source(board, 12);
	fill(&board->ports, firmware_map, ARRAY_COUNT(firmware_map), board);
	if (bios) {
		add_ide(board);
	}
}

void board_create(struct board *board, struct host *host, enum board_kind kind)
{
	/* A command fills its buffer before a guest reads it: until then a machine has no memory
	 * for it. */
	memset(board, 0, offsetof(struct board, ide.buffers));
	pthread_mutex_init(&board->lock, NULL);
	board->kind = kind;
	board->host = host;
	board->irq = (struct irq){.pic = &board->pic, .ioapic = &board->ioapic};
	board->pic.host = board->ioapic.host = board->pit.host = board->rtc.host = host;
	board->com1.host = board->pm.host = board->reset.host = host;
	board->pit.irq = source(board, 0);
	board->com1.irq = source(board, BOARD_COM1_LINE);
	board->rtc.irq = source(board, 8);
	board->pm.irq = source(board, ACPI_SCI_LINE);
	board->pm.off_type = has_firmware(board) ? ACPI_S5_TYPE_PIIX4 : ACPI_S5_TYPE;
	bus_init(&board->ports, NULL, BUS_PORT_SHIFT);
	bus_init(&board->memory, host, BUS_MEMORY_SHIFT);
	pci_init(&board->pci, host, &board->ports, &board->memory, &board->irq);
	host_bridge_create(&board->bridge, &board->pci, has_firmware(board));
	fill(&board->ports, port_map, ARRAY_COUNT(port_map), board);
	fill(&board->memory, memory_map, ARRAY_COUNT(memory_map), board);
	if (has_firmware(board)) {
		add_firmware_parts(board);
	} else {
		fill(&board->ports, &pm_at, 1, board);
		fill(&board->ports, &no_i8042_at, 1, board);
	}
	reset_parts(board);
}

void board_add_debug_exit(struct board *board)
{
	static const struct placement at = {BOARD_DEBUG_EXIT, 4, &reset_debug_exit_class,
					    offsetof(struct board, reset)};

	fill(&board->ports, &at, 1, board);
}

/* Memory that guests read, and whose writes are a device's, or lost. NULL: it does not fit. */
static struct bus_range *add_rom(struct board *board, uint8_t *pages, uint64_t end, uint64_t length,
				 const struct device_class *class, void *device)
{
	struct bus_range *range = &board->ranges[board->range_count++];

	CHECK(board->range_count <= BOARD_RANGES);
	*range = (struct bus_range){
		.base = end - length,
		.length = length,
		.class = class,
		.device = device,
		.pages = pages,
		.priority = BUS_PRIORITY_BOARD,
		.direct = BUS_DIRECT_READ,
		.enabled = true,
	};
	if (length == 0 || length > BOARD_ROM_MAX || !bus_add(&board->memory, range)) {
		board->range_count--;
		return NULL;
	}
	bus_update(&board->memory);
	return range;
}

bool board_add_rom(struct board *board, uint8_t *image, uint64_t length)
{
	struct bus_range *range = add_rom(board, image, 1ull << 32, length, NULL, NULL);

	board->rom_base = range != NULL ? range->base : 0;
	return range != NULL;
}

bool board_add_flash(struct board *board, uint8_t *memory, uint32_t length)
{
	struct bus_range *range;

	CHECK(board->kind == BOARD_GENERATION_2 && board->rom_base != 0);
	if (length % FLASH_BLOCK != 0 ||
	    length > board->rom_base - ((1ull << 32) - BOARD_ROM_MAX)) {
		return false;
	}
	range = add_rom(board, memory, board->rom_base, length, &flash_class, &board->flash);
	if (range == NULL) {
		return false;
	}
	flash_create(&board->flash, board->host, &board->memory, range, memory, length);
	add_part(board, &flash_class, &board->flash);
	return true;
}

/* It belongs to no tables of the firmware's, so it lies where no RAM is, and can be found whatever
 * memory the firmware took. */
void board_add_generation(struct board *board, uint8_t *page)
{
	CHECK(has_firmware(board));
	CHECK(add_rom(board, page, BOARD_GENERATION_BASE + BOARD_GENERATION_PAGE,
		      BOARD_GENERATION_PAGE, NULL, NULL) != NULL);
}

void board_add_drive(struct board *board, unsigned int drive, const struct ide_identity *identity)
{
	CHECK(board->kind == BOARD_GENERATION_1 && drive < IDE_DRIVES);
	board->ide.channels[drive / 2].drives[drive % 2].identity = *identity;
	ide_reset(&board->ide);
}

unsigned int board_add_nic(struct board *board)
{
	unsigned int nic = board->nic_count++;

	CHECK(board->kind == BOARD_GENERATION_1 && nic < BOARD_NICS_MAX);
	tulip_create(&board->nics[nic], board->host, &board->pci, BOARD_NIC_SLOT + nic, nic);
	add_part(board, &tulip_class, &board->nics[nic]);
	reset_parts(board);
	return nic;
}

void board_add_sb16(struct board *board)
{
	CHECK(board->kind == BOARD_GENERATION_1);
	board->dma = (struct dma){.host = board->host, .look = sb16_look, .device = &board->sb16};
	board->sb16.host = board->host;
	board->sb16.dma = &board->dma;
	board->sb16.irq = source(board, 5);
	fill(&board->ports, sb16_map, ARRAY_COUNT(sb16_map), board);
	reset_parts(board);
}

void board_add_hda(struct board *board)
{
	CHECK(board->kind != BOARD_GENERATION_2);
	hda_create(&board->hda, &board->pci, BOARD_HDA_SLOT);
	add_part(board, &hda_class, &board->hda);
	reset_parts(board);
}

void board_add_usb(struct board *board)
{
	xhci_create(&board->xhci, &board->pci, BOARD_XHCI_SLOT);
	add_part(board, &xhci_class, &board->xhci);
	reset_parts(board);
}

void board_add_tablet(struct board *board)
{
	usb_tablet_create(&board->tablet);
	CHECK(xhci_plug(&board->xhci, &board->tablet.device));
}

unsigned int board_add_usb_disk(struct board *board, const char *serial)
{
	unsigned int disk = board->usb_disk_count++;

	CHECK(disk < BOARD_USB_DISKS_MAX);
	usb_storage_create(&board->usb_disks[disk], board->host, disk, serial,
			   board->usb_buffers[disk]);
	CHECK(xhci_plug(&board->xhci, &board->usb_disks[disk].device));
	return disk;
}

void board_add_vga(struct board *board, uint8_t *memory)
{
	struct bus_range *ranges[VGA_PORT_RANGES];
	unsigned int i;

	CHECK(has_firmware(board));
	for (i = 0; i < VGA_PORT_RANGES; i++) {
		ranges[i] = fill(&board->ports, &vga_map[i], 1, board);
	}
	if (board->kind == BOARD_GENERATION_1) {
		vga_create(&board->vga, board->host, &board->pci, BOARD_VGA_SLOT, VGA_HYPER_V,
			   memory, ranges);
	} else {
		vga_create(&board->vga, board->host, &board->pci, BOARD_UEFI_VGA_SLOT, VGA_BOCHS,
			   memory, ranges);
	}
	add_part(board, &vga_class, &board->vga);
	reset_parts(board);
}

void board_add_scsi(struct board *board, unsigned int last_lun)
{
	CHECK(board->kind == BOARD_GENERATION_2);
	virtio_scsi_create(&board->scsi, board->host, &board->pci, BOARD_UEFI_SCSI_SLOT, last_lun,
			   board->scsi_buffer);
	add_part(board, &virtio_scsi_class, &board->scsi);
	reset_parts(board);
}

void board_add_tpm(struct board *board)
{
	CHECK(board->kind == BOARD_GENERATION_2);
	fill(&board->memory, &tpm_at, 1, board);
	tpm_crb_create(&board->tpm, board->host);
}

bool board_look(struct board *board, struct vga_registers *registers, enum vga_window *window)
{
	bool there = board->vga.memory != NULL;

	pthread_mutex_lock(&board->lock);
	*registers = board->vga.r;
	*window = board->vga.window;
	pthread_mutex_unlock(&board->lock);
	return there;
}

void board_add_frame(struct board *board, uint8_t *memory, uint64_t length)
{
	board->frame = (struct bus_range){.length = length,
					  .pages = memory,
					  .direct = BUS_DIRECT_WRITE,
					  .priority = BUS_PRIORITY_VIDEO};
	CHECK(bus_add(&board->memory, &board->frame));
}

static void set_frame(struct board *board, uint64_t gpa, bool there)
{
	pthread_mutex_lock(&board->lock);
	board->frame.base = gpa;
	board->frame.enabled = there;
	bus_update(&board->memory);
	pthread_mutex_unlock(&board->lock);
}

void board_place_frame(struct board *board, uint64_t gpa)
{
	set_frame(board, gpa, true);
}

void board_remove_frame(struct board *board)
{
	set_frame(board, 0, false);
}

void board_map(struct board *board)
{
	pthread_mutex_lock(&board->lock);
	bus_map(&board->memory);
	pthread_mutex_unlock(&board->lock);
}

void board_destroy(struct board *board)
{
	pthread_mutex_destroy(&board->lock);
}

static uint64_t least(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static void lock(struct board *board)
{
	pthread_mutex_lock(&board->lock);
}

/* Every way out: what was done may have moved the next thing that a part waits for. */
static void unlock(struct board *board)
{
	uint64_t wake_at = board->pit.next_edge;
	unsigned int i;

	wake_at = least(wake_at, rtc_deadline(&board->rtc));
	wake_at = least(wake_at, uart_deadline(&board->com1));
	wake_at = least(wake_at, acpi_pm_deadline(&board->pm));
	wake_at = least(wake_at, ide_deadline(&board->ide));
	wake_at = least(wake_at, sb16_deadline(&board->sb16));
	wake_at = least(wake_at, hda_deadline(&board->hda));
	wake_at = least(wake_at, xhci_deadline(&board->xhci));
	for (i = 0; i < board->nic_count && !board->nics_stand; i++) {
		wake_at = least(wake_at, tulip_deadline(&board->nics[i]));
	}
	if (wake_at != board->wake_at) {
		board->wake_at = wake_at;
		host_wake_at(board->host, wake_at);
	}
	pthread_mutex_unlock(&board->lock);
}

void board_reset(struct board *board)
{
	lock(board);
	reset_parts(board);
	unlock(board);
}

void board_save(struct board *board, struct state_writer *writer)
{
	size_t all, part;
	unsigned int i;

	lock(board);
	all = state_begin(writer, "board", 1);
	for (i = 0; i < board->part_count; i++) {
		const struct device_class *class = board->parts[i].class;

		part = state_begin(writer, class->name, class->version);
		class->save(board->parts[i].device, writer);
		state_end(writer, part);
	}
	state_end(writer, all);
	unlock(board);
}

static void load_parts(struct board *board, struct state_reader *list, bool set)
{
	struct state_reader all = state_part(list, "board", 1);
	unsigned int i;

	for (i = 0; i < board->part_count; i++) {
		const struct device_class *class = board->parts[i].class;
		struct state_reader part = state_part(&all, class->name, class->version);

		class->load(board->parts[i].device, &part, set);
		state_finish(&part);
	}
	state_finish(&all);
}

void board_check(struct board *board, struct state_reader *list)
{
	lock(board);
	load_parts(board, list, false);
	unlock(board);
}

/* What hangs on the parts together: lines, and what the home is told. */
static void restore(struct board *board)
{
	struct irq_source *const sources[] = {
		&board->pit.irq,
		&board->com1.irq,
		&board->rtc.irq,
		&board->pm.irq,
		&board->pci.pirqs[0],
		&board->pci.pirqs[1],
		&board->pci.pirqs[2],
		&board->pci.pirqs[3],
		&board->i8042.keyboard_irq,
		&board->i8042.aux_irq,
		&board->ide.channels[0].irq,
		&board->ide.channels[1].irq,
		&board->sb16.irq,
	};
	unsigned int i;

	irq_restore(&board->irq, sources, ARRAY_COUNT(sources));
	if (has_firmware(board)) {
		piix4_update(&board->piix4);
		vga_update(&board->vga);
		flash_update(&board->flash);
		virtio_scsi_restore(&board->scsi);
	}
	if (board->kind == BOARD_GENERATION_1) {
		ide_update(&board->ide);
		ide_restore(&board->ide);
	}
	hda_restore(&board->hda);
	xhci_restore(&board->xhci);
	for (i = 0; i < board->usb_disk_count; i++) {
		usb_storage_restart(&board->usb_disks[i]);
	}
	for (i = 0; i < board->nic_count; i++) {
		tulip_restore(&board->nics[i]);
	}
	host_extint(board->host, board->pic.output);
	uart_drained(&board->com1);
	uart_ready(&board->com1);
	board->wake_at = HOST_NEVER;
	host_wake_at(board->host, HOST_NEVER);
}

void board_load(struct board *board, struct state_reader *list)
{
	lock(board);
	load_parts(board, list, true);
	if (state_ok(list)) {
		restore(board);
	}
	unlock(board);
}

/* Mostly nobody is there: these keep their registers to themselves. */
static __attribute__((noinline)) uint32_t read_port(struct board *board, uint16_t port,
						    unsigned int size)
{
	uint32_t value;

	lock(board);
	value = (uint32_t)bus_read(&board->ports, port, size);
	unlock(board);
	return value;
}

uint32_t board_port_read(struct board *board, uint16_t port, unsigned int size)
{
	if (!bus_claimed(&board->ports, port, size)) {
		return UINT32_MAX >> (32 - 8 * size);
	}
	return read_port(board, port, size);
}

static __attribute__((noinline)) void write_port(struct board *board, uint16_t port,
						 unsigned int size, uint32_t value)
{
	lock(board);
	bus_write(&board->ports, port, size, value);
	unlock(board);
}

void board_port_write(struct board *board, uint16_t port, unsigned int size, uint32_t value)
{
	if (bus_claimed(&board->ports, port, size)) {
		write_port(board, port, size, value);
	}
}

static __attribute__((noinline)) uint64_t read_memory(struct board *board, uint64_t gpa,
						      unsigned int size)
{
	uint64_t value;

	lock(board);
	value = bus_read(&board->memory, gpa, size);
	unlock(board);
	return value;
}

static __attribute__((noinline)) uint64_t read_elsewhere(struct board *board, uint64_t gpa,
							 unsigned int size)
{
	uint64_t value, none = UINT64_MAX >> (64 - 8 * size);

	return host_elsewhere(board->host, gpa, size, false, &value) ? value & none : none;
}

uint64_t board_memory_read(struct board *board, uint64_t gpa, unsigned int size)
{
	if (!bus_claimed(&board->memory, gpa, size)) {
		return read_elsewhere(board, gpa, size);
	}
	return read_memory(board, gpa, size);
}

static __attribute__((noinline)) void write_memory(struct board *board, uint64_t gpa,
						   unsigned int size, uint64_t value)
{
	lock(board);
	bus_write(&board->memory, gpa, size, value);
	unlock(board);
}

void board_memory_write(struct board *board, uint64_t gpa, unsigned int size, uint64_t value)
{
	if (bus_claimed(&board->memory, gpa, size)) {
		write_memory(board, gpa, size, value);
	} else {
		(void)host_elsewhere(board->host, gpa, size, true, &value);
	}
}

void board_apic_eoi(struct board *board, uint8_t vector)
{
	lock(board);
	ioapic_end(&board->ioapic, vector);
	unlock(board);
}

bool board_pic_acknowledge(struct board *board, uint8_t *vector)
{
	bool there;

	lock(board);
	there = board->pic.output;
	if (there) {
		*vector = pic_acknowledge(&board->pic);
	}
	unlock(board);
	return there;
}

void board_tick(struct board *board)
{
	unsigned int i;
	uint64_t now;

	lock(board);
	now = host_time(board->host);
	pit_advance(&board->pit, now);
	rtc_advance(&board->rtc, now);
	uart_advance(&board->com1, now);
	acpi_pm_advance(&board->pm, now);
	ide_advance(&board->ide, now);
	sb16_advance(&board->sb16, now);
	hda_advance(&board->hda, now);
	xhci_advance(&board->xhci, now);
	for (i = 0; i < board->nic_count && !board->nics_stand; i++) {
		tulip_advance(&board->nics[i], now);
	}
	/* The wake-up was used up: arm it anew even if the time is the same. */
	board->wake_at = HOST_NEVER;
	unlock(board);
}

void board_drive_done(struct board *board, unsigned int drive,
		      const struct host_drive_result *result)
{
	lock(board);
	ide_drive_done(&board->ide, drive, result);
	unlock(board);
}

void board_scsi_done(struct board *board, const struct host_drive_result *result)
{
	lock(board);
	virtio_scsi_done(&board->scsi, result);
	unlock(board);
}

void board_usb_done(struct board *board, unsigned int disk, const struct host_drive_result *result)
{
	lock(board);
	usb_storage_done(&board->usb_disks[disk], result);
	unlock(board);
}

void board_tpm_done(struct board *board, const uint8_t *answer, uint32_t length)
{
	lock(board);
	tpm_crb_done(&board->tpm, answer, length);
	unlock(board);
}

void board_set_nic_address(struct board *board, unsigned int nic, const uint8_t mac[6])
{
	lock(board);
	tulip_set_address(&board->nics[nic], mac);
	unlock(board);
}

void board_set_nic_link(struct board *board, unsigned int nic, bool up)
{
	lock(board);
	tulip_set_link(&board->nics[nic], up);
	unlock(board);
}

void board_nic_room(struct board *board, unsigned int nic)
{
	lock(board);
	if (!board->nics_stand) {
		tulip_room(&board->nics[nic]);
	}
	unlock(board);
}

enum board_nic_taken board_nic_receive(struct board *board, unsigned int nic, const uint8_t *frame,
				       uint32_t length, bool last)
{
	enum board_nic_taken taken = BOARD_NIC_STANDS;

	lock(board);
	if (!board->nics_stand) {
		taken = tulip_receive(&board->nics[nic], frame, length, last) ? BOARD_NIC_TAKEN
									      : BOARD_NIC_LATER;
	}
	unlock(board);
	return taken;
}

void board_leave_firmware(struct board *board)
{
	if (board->kind == BOARD_GENERATION_2) {
		lock(board);
		virtio_scsi_leave(&board->scsi);
		unlock(board);
	}
}

void board_serial_drained(struct board *board)
{
	lock(board);
	uart_drained(&board->com1);
	unlock(board);
}

void board_serial_ready(struct board *board)
{
	lock(board);
	uart_ready(&board->com1);
	unlock(board);
}

void board_power_button(struct board *board)
{
	lock(board);
	acpi_pm_power_button(&board->pm);
	unlock(board);
}

void board_key(struct board *board, uint8_t key, bool down)
{
	lock(board);
	if (has_firmware(board)) {
		i8042_key(&board->i8042, key, down);
	}
	unlock(board);
}

void board_pointer(struct board *board, int x, int y, int wheel, uint8_t buttons)
{
	lock(board);
	if (has_firmware(board)) {
		i8042_move(&board->i8042, x, y, wheel, buttons);
	}
	unlock(board);
}

bool board_place(struct board *board, uint16_t x, uint16_t y, int wheel, uint8_t buttons)
{
	bool listens;

	lock(board);
	listens = usb_tablet_listens(&board->tablet);
	if (listens) {
		usb_tablet_place(&board->tablet, x, y, wheel, buttons);
	}
	unlock(board);
	return listens;
}

void board_release_tablet(struct board *board)
{
	lock(board);
	usb_tablet_release(&board->tablet);
	unlock(board);
}

void board_generation_changed(struct board *board)
{
	lock(board);
	acpi_pm_event(&board->pm, GPE_GENERATION);
	unlock(board);
}
