/*
 * The PCI host bridge: the ids of the 440BX, which operating systems know and want nothing of. None
 * of its registers is there.
 */
#include "devices/parts.h"

#include "lib/check.h"

#define COMMAND (PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER)

void host_bridge_create(struct host_bridge *bridge, struct pci *pci)
{
	static const struct pci_identity identity = {
		.vendor = 0x8086, .device = 0x7192, .revision = 3, .class_code = 0x060000};
	struct pci_function *function = &bridge->function;

	pci_function_init(function, &identity);
	function->initial[PCI_COMMAND] = COMMAND;
	CHECK(pci_add(pci, 0, 0, function));
}
