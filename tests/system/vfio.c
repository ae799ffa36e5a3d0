/*
 * vfio: a device's DMA by VFIO, as a program has it that owns the device.
 *
 *   vfio DEVICE edu [ADDRESS]...   QEMU's edu device copies at addresses that are mapped and at others; each line says what came of one
 *   vfio DEVICE interrupts [MESSAGE]...   edu interrupts as this program has arranged it, then writes other messages: the kernel tells what arrives. #N: entry N of VT-d's table
 *   vfio DEVICE nvme               an NVMe disk identifies itself into this program's memory until the program is killed
 *
 * DEVICE is its address on the bus (0000:00:03.0), and vfio-pci its driver. Each ADDRESS is tried
 * as one that was not mapped.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <libgen.h>
#include <limits.h>
#include <linux/vfio.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE  4096u
#define LARGE (2u << 20)
#define MINE  0x64656b636174746full /* what the device is told to write */
#define OTHER 0x6f74686572776973ull

/* Device addresses; those of the page and of the large one are mapped from the start. */
#define AT_PAGE    0x10000000ull
#define AT_TARGET  0x10010000ull
#define AT_RO      0x10020000ull
#define AT_NOTHING 0x20000000ull
#define AT_LARGE   0x40000000ull

static int container, device;
static volatile uint8_t *registers;

static void fail(const char *what)
{
	printf("vfio: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* ---- VFIO ---- */

static void open_device(const char *name)
{
	struct vfio_group_status status = {.argsz = sizeof(status)};
	struct vfio_region_info config = {.argsz = sizeof(config),
					  .index = VFIO_PCI_CONFIG_REGION_INDEX},
				bar = {.argsz = sizeof(bar), .index = VFIO_PCI_BAR0_REGION_INDEX};
	char path[PATH_MAX], link[PATH_MAX] = "";
	uint16_t command = 0x6; /* memory and DMA */
	int group;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/iommu_group", name);
	if (readlink(path, link, sizeof(link) - 1) < 0) {
		fail("no IOMMU group");
	}
	snprintf(path, sizeof(path), "/dev/vfio/%s", basename(link));
	group = open(path, O_RDWR);
	container = open("/dev/vfio/vfio", O_RDWR);
	if (group < 0 || container < 0) {
		fail("open");
	}
	if (ioctl(group, VFIO_GROUP_GET_STATUS, &status) ||
	    !(status.flags & VFIO_GROUP_FLAGS_VIABLE)) {
		fail("the group is not viable");
	}
	if (ioctl(group, VFIO_GROUP_SET_CONTAINER, &container) ||
	    ioctl(container, VFIO_SET_IOMMU, VFIO_TYPE1v2_IOMMU)) {
		fail("container");
	}
	device = ioctl(group, VFIO_GROUP_GET_DEVICE_FD, name);
	if (device < 0 || ioctl(device, VFIO_DEVICE_GET_REGION_INFO, &config) ||
	    ioctl(device, VFIO_DEVICE_GET_REGION_INFO, &bar) ||
	    pwrite(device, &command, sizeof(command), (off_t)config.offset + 4) !=
		    sizeof(command)) {
		fail("device");
	}
	registers =
		mmap(NULL, bar.size, PROT_READ | PROT_WRITE, MAP_SHARED, device, (off_t)bar.offset);
	if (registers == MAP_FAILED) {
		fail("registers");
	}
}

static void map(uint64_t at, void *memory, size_t size, bool writable)
{
	struct vfio_iommu_type1_dma_map argument = {
		.argsz = sizeof(argument),
		.flags = VFIO_DMA_MAP_FLAG_READ | (writable ? VFIO_DMA_MAP_FLAG_WRITE : 0),
		.vaddr = (uintptr_t)memory,
		.iova = at,
		.size = size,
	};

	if (ioctl(container, VFIO_IOMMU_MAP_DMA, &argument)) {
		fail("map");
	}
}

static void unmap(uint64_t at, size_t size)
{
	struct vfio_iommu_type1_dma_unmap argument = {
		.argsz = sizeof(argument), .iova = at, .size = size};

	if (ioctl(container, VFIO_IOMMU_UNMAP_DMA, &argument) || argument.size != size) {
		fail("unmap");
	}
}

static void *memory(size_t size)
{
	uint8_t *at =
		mmap(NULL, 2 * size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (at == MAP_FAILED) {
		fail("memory");
	}
	at += -(uintptr_t)at & (size - 1);
	madvise(at, size, MADV_HUGEPAGE);
	memset(at, 0, size);
	return at;
}

/* Where a page is in the root's memory. */
static uint64_t physical(const void *page)
{
	int file = open("/proc/self/pagemap", O_RDONLY);
	uint64_t entry = 0;

	if (file < 0 || pread(file, &entry, 8, (off_t)((uintptr_t)page / PAGE * 8)) != 8 ||
	    !(entry >> 63)) {
		fail("pagemap");
	}
	close(file);
	return (entry & ((1ull << 55) - 1)) * PAGE;
}

/* ---- edu ---- */

static uint64_t *page; /* at AT_PAGE */

static bool copy(uint64_t from, uint64_t to, uint32_t direction)
{
	*(volatile uint64_t *)(registers + 0x80) = from;
	*(volatile uint64_t *)(registers + 0x88) = to;
	*(volatile uint64_t *)(registers + 0x90) = PAGE;
	*(volatile uint32_t *)(registers + 0x98) = 1 | direction;
	for (int i = 0; i < 500; i++) {
		usleep(10000);
		if (!(*(volatile uint32_t *)(registers + 0x98) & 1)) {
			return true;
		}
	}
	return false;
}

static bool read_from(uint64_t address)
{
	return copy(address, 0x40000, 0);
}

static bool write_to(uint64_t address)
{
	return copy(0x40000, address, 2);
}

/* The device's buffer is full of this word; then what is in it, back in the page. */
static bool load(uint64_t word)
{
	for (unsigned int i = 0; i < PAGE / 8; i++) {
		page[i] = word;
	}
	return read_from(AT_PAGE);
}

static bool came(uint64_t before)
{
	for (unsigned int i = 0; i < PAGE / 8; i++) {
		if (page[i] != before && page[i] && page[i] != ~0ull) {
			return true;
		}
	}
	return false;
}

static void attempt(const char *what, uint64_t address)
{
	bool done = load(OTHER) && read_from(address) && write_to(AT_PAGE), read = came(OTHER),
	     wrote;

	done = done && load(MINE) && write_to(address) && load(OTHER) && read_from(address) &&
	       write_to(AT_PAGE);
	wrote = page[0] == MINE;
	printf("vfio: %s %s, %s\n", what, read ? "read" : "not read",
	       !done   ? "the device is stuck"
	       : wrote ? "written"
		       : "not written");
	fflush(stdout);
}

static void drive_edu(int count, char **addresses)
{
	uint64_t *target = memory(PAGE), *other = memory(PAGE), *fixed = memory(PAGE);
	uint8_t *large = memory(LARGE);

	page = memory(PAGE);
	for (unsigned int i = 0; i < PAGE / 8; i++) {
		target[i] = other[i] = fixed[i] = OTHER + 1;
	}
	memset(large, 0x55, LARGE);
	map(AT_PAGE, page, PAGE, true);
	map(AT_TARGET, target, PAGE, true);
	map(AT_RO, fixed, PAGE, false);
	map(AT_LARGE, large, LARGE, true);
	attempt("mapped page", AT_TARGET);
	attempt("last of 2 MiB", AT_LARGE + LARGE - PAGE);
	attempt("page to read", AT_RO);
	attempt("no page", AT_NOTHING);
	attempt("its page's own address", physical(target));
	attempt("other page", physical(other));
	for (int i = 0; i < count; i++) {
		attempt(addresses[i], strtoull(addresses[i], NULL, 0));
	}
	unmap(AT_TARGET, PAGE);
	attempt("unmapped page", AT_TARGET);
	unmap(AT_LARGE, LARGE);
	attempt("unmapped 2 MiB", AT_LARGE);
	printf("vfio: memory: mapped %s, large %s, to read %s, other %s\n",
	       target[1] == MINE ? "written" : "as it was",
	       *(uint64_t *)(large + LARGE - 8) == MINE ? "written" : "as it was",
	       fixed[1] == OTHER + 1 ? "as it was" : "written",
	       other[1] == OTHER + 1 ? "as it was" : "written");
}

#define MESSAGES    0xfee00000u /* where they are written, at processor 0 */
#define MSI_MESSAGE 0x44        /* address and data of edu's, in its configuration space */
/* Microseconds. VT-d records no second fault of a device whose first the hypervisor has not taken
 * yet; it looks four times a second, when an interrupt comes, and this sleep ends with one. */
#define FAULT_IS_TAKEN 500000

static void interrupt(int event)
{
	struct pollfd wait = {.fd = event, .events = POLLIN};
	uint64_t count = 0;

	*(volatile uint32_t *)(registers + 0x60) = 1;
	if (poll(&wait, 1, 10000) == 1 && read(event, &count, 8) != 8) {
		fail("event");
	}
	*(volatile uint32_t *)(registers + 0x64) = 1;
	printf("vfio: interrupt arrived %" PRIu64 "\n", count);
}

/*
 * The device writes another message, as one that is hostile might: VFIO does not let its user
 * change that, so the message is changed behind VFIO, in the configuration space. (A write to the
 * same address by DMA is the IO-APIC's to QEMU's units.)
 */
static void forge(int file, int event, uint32_t processor, const char *text)
{
	const bool entry = text[0] == '#';
	struct pollfd wait = {.fd = event, .events = POLLIN};
	uint32_t message = (uint32_t)strtoul(text + entry, NULL, 0), before[3],
		 forged[3] = {MESSAGES | processor << 12, 0, message};

	if (entry) {
		forged[0] = MESSAGES | 1u << 4 | message << 5;
		forged[2] = 0;
	}

	if (pread(file, before, sizeof(before), MSI_MESSAGE) != sizeof(before) ||
	    pwrite(file, forged, sizeof(forged), MSI_MESSAGE) != sizeof(forged)) {
		fail("configuration space");
	}
	*(volatile uint32_t *)(registers + 0x60) = 1;
	*(volatile uint32_t *)(registers + 0x64) = 1;
	printf("vfio: message %s sent, %s\n", text,
	       poll(&wait, 1, 100) ? "and the interrupt arrived" : "no interrupt");
	if (pwrite(file, before, sizeof(before), MSI_MESSAGE) != sizeof(before)) {
		fail("configuration space");
	}
}

static void drive_interrupts(const char *name, int count, char **messages)
{
	struct {
		struct vfio_irq_set set;
		int32_t event;
	} argument = {.set = {.argsz = sizeof(argument),
			      .flags = VFIO_IRQ_SET_DATA_EVENTFD | VFIO_IRQ_SET_ACTION_TRIGGER,
			      .index = VFIO_PCI_MSI_IRQ_INDEX,
			      .count = 1},
		      .event = eventfd(0, 0)};
	char path[PATH_MAX];
	int file;

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/%s/config", name);
	file = open(path, O_RDWR);
	if (file < 0 || ioctl(device, VFIO_DEVICE_SET_IRQS, &argument)) {
		fail("interrupt");
	}
	interrupt(argument.event);
	for (int i = 0; i < count; i++) {
		usleep(FAULT_IS_TAKEN);
		forge(file, argument.event, 0, messages[i]);
		forge(file, argument.event, 1, messages[i]);
	}
	interrupt(argument.event);
}

/* ---- NVMe (NVM Express base specification, 3.1): the admin queue alone ---- */

#define DEPTH 32u

struct command {
	uint32_t opcode, namespace, reserved[2];
	uint64_t metadata, data[2];
	uint32_t rest[6];
};

struct completion {
	uint32_t result, reserved;
	uint16_t head, queue, command, status;
};

static uint32_t read32(uint32_t at)
{
	return *(volatile uint32_t *)(registers + at);
}

static void write32(uint32_t at, uint32_t value)
{
	*(volatile uint32_t *)(registers + at) = value;
}

static void write64(uint32_t at, uint64_t value)
{
	*(volatile uint64_t *)(registers + at) = value;
}

static void drive_nvme(void)
{
	struct command *commands = memory(PAGE);
	volatile struct completion *completions = memory(PAGE);
	uint8_t *data = memory(LARGE);
	uint32_t tail = 0, head = 0, phase = 1, done = 0, flying = 0;

	map(AT_PAGE, commands, PAGE, true);
	map(AT_TARGET, (void *)completions, PAGE, true);
	map(AT_LARGE, data, LARGE, true);
	write32(0x14, 0);
	while (read32(0x1c) & 1) {
		usleep(1000);
	}
	write32(0x24, (DEPTH - 1) << 16 | (DEPTH - 1));
	write64(0x28, AT_PAGE);
	write64(0x30, AT_TARGET);
	write32(0x14, 4 << 20 | 6 << 16 | 1);
	while (!(read32(0x1c) & 1)) {
		usleep(1000);
	}
	for (;;) {
		for (; flying < DEPTH - 1; flying++) {
			commands[tail] = (struct command){
				.opcode = 6 | tail << 16,
				.data = {AT_LARGE + tail * PAGE},
				.rest = {1}, /* the controller */
			};
			tail = (tail + 1) % DEPTH;
		}
		__sync_synchronize();
		write32(0x1000, tail);
		while ((completions[head].status & 1) == phase) {
			if (completions[head].status >> 1) {
				errno = EIO;
				fail("identify");
			}
			head = (head + 1) % DEPTH;
			phase ^= !head;
			flying--;
			if (++done == 100) {
				printf("vfio: nvme %.20s\n", data + 4);
				fflush(stdout);
			}
		}
		write32(0x1004, head);
	}
}

int main(int argc, char **argv)
{
	if (argc < 3) {
		fprintf(stderr, "usage: vfio DEVICE edu|interrupts|nvme [ADDRESS|MESSAGE]...\n");
		return 2;
	}
	open_device(argv[1]);
	if (!strcmp(argv[2], "edu")) {
		drive_edu(argc - 3, argv + 3);
	} else if (!strcmp(argv[2], "interrupts")) {
		drive_interrupts(argv[1], argc - 3, argv + 3);
	} else {
		drive_nvme();
	}
	return 0;
}
