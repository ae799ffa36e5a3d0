/*
 * The PCI host bridge. A machine without firmware has the ids of the 440BX, which operating systems
 * know and want nothing of; none of its registers is there.
 *
 * Firmware looks for a 440FX (Intel 82441FX data sheet) with QEMU's subsystem ids, and opens the
 * memory below 1 MiB by its PAM registers. They are kept and change nothing: there is RAM from the
 * start, with the end of the firmware's image in it, and they say so.
 */
#include "devices/parts.h"

#include "lib/check.h"

#define COMMAND (PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER)

#define REG_PAM     0x59
#define PAM_COUNT   7
#define PAM_ALL_RAM 0x33 /* both halves: reads and writes go to RAM */
#define PAM_0_ALL   0x30 /* the first one has an upper half alone */
#define REG_SMRAM   0x72
#define SMRAM_NONE  0x02
#define SMRAM_KEPT  0x38 /* not bit 6: there is no SMRAM to be opened */

static void add_registers(struct pci_function *function)
{
	unsigned int i;

	for (i = 0; i < PAM_COUNT; i++) {
		uint8_t all = i == 0 ? PAM_0_ALL : PAM_ALL_RAM;

		function->initial[REG_PAM + i] = all;
		function->writable[REG_PAM + i] = all;
	}
	function->initial[REG_SMRAM] = SMRAM_NONE;
	function->writable[REG_SMRAM] = SMRAM_KEPT;
}

void host_bridge_create(struct host_bridge *bridge, struct pci *pci, bool firmware)
{
	static const struct pci_identity bx = {
		.vendor = 0x8086, .device = 0x7192, .revision = 3, .class_code = 0x060000};
	static const struct pci_identity fx = {.vendor = 0x8086,
					       .device = 0x1237,
					       .subsystem_vendor = 0x1af4,
					       .subsystem = 0x1100,
					       .revision = 2,
					       .class_code = 0x060000};
	struct pci_function *function = &bridge->function;

	pci_function_init(function, firmware ? &fx : &bx);
	function->initial[PCI_COMMAND] = COMMAND;
	if (firmware) {
		add_registers(function);
	}
	CHECK(pci_add(pci, 0, 0, function));
}
