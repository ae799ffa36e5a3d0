/*
 * Of the PIIX4 (Intel 82371AB data sheet): function 0, the ISA bridge, which routes PCI's four
 * interrupts to ISA's lines; function 3, power management, which places the ACPI registers
 * (acpi_pm.c). The 8259s, the 8254, the clock and the ports of reset are parts of their own.
 *
 * There is no SMM. Firmware that would enter it once sees that this was done (DEVACTB, APMC_EN).
 */
#include "devices/parts.h"

#include "lib/check.h"

#define COMMAND (PCI_COMMAND_IO | PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER)

/* Function 0. */
#define ISA_PIRQ  0x60 /* four of them */
#define PIRQ_NONE 0x80
#define PIRQ_LINE 0x0f
#define ISA_LINES 0xdef8u /* to which a PIRQ may go: not 0, 1, 2, 8, 13 */

/* Function 3. */
#define PM_BASE      0x40
#define PM_BASE_MASK 0xffc0u
#define PM_APMC_EN   0x5b
#define PM_APMC_DONE 0x02
#define PM_MISC      0x80
#define PM_ENABLE    0x01
#define PM_SMB_BASE  0x90

static void update_pirqs(const struct piix4 *piix4)
{
	unsigned int i;

	for (i = 0; i < PCI_PIRQS; i++) {
		uint8_t route = piix4->isa.config[ISA_PIRQ + i];
		bool goes = !(route & PIRQ_NONE) && (ISA_LINES >> (route & PIRQ_LINE) & 1);

		pci_route(piix4->isa.pci, i, goes ? route & PIRQ_LINE : PCI_NO_LINE);
	}
}

static void update_pm(const struct piix4 *piix4)
{
	const uint8_t *config = piix4->pm.config;
	uint16_t base = (uint16_t)((config[PM_BASE] | config[PM_BASE + 1] << 8) & PM_BASE_MASK);
	bool enabled = (config[PM_MISC] & PM_ENABLE) && base != 0;

	if (piix4->pm_range->base != base || piix4->pm_range->enabled != enabled) {
		piix4->pm_range->base = base;
		piix4->pm_range->enabled = enabled;
		bus_update(piix4->pm.pci->ports);
	}
}

void piix4_update(struct piix4 *piix4)
{
	update_pirqs(piix4);
	update_pm(piix4);
}

static void piix4_written(void *device, unsigned int at, unsigned int size)
{
	(void)at, (void)size;
	piix4_update(device);
}

static void make_isa(struct pci_function *function)
{
	static const struct pci_identity identity = {.vendor = 0x8086,
						     .device = 0x7110,
						     .subsystem_vendor = 0x1414,
						     .revision = 3,
						     .class_code = 0x060100};
	unsigned int i;

	pci_function_init(function, &identity);
	function->initial[PCI_COMMAND] = COMMAND;
	for (i = 0; i < PCI_PIRQS; i++) {
		function->initial[ISA_PIRQ + i] = PIRQ_NONE;
		function->writable[ISA_PIRQ + i] = PIRQ_NONE | PIRQ_LINE;
	}
}

static void make_pm(struct pci_function *function)
{
	static const struct pci_identity identity = {
		.vendor = 0x8086, .device = 0x7113, .revision = 2, .class_code = 0x068000};

	pci_function_init(function, &identity);
	function->initial[PM_BASE] = 0x01;
	function->writable[PM_BASE] = PM_BASE_MASK & 0xff;
	function->writable[PM_BASE + 1] = PM_BASE_MASK >> 8;
	function->initial[PM_APMC_EN] = PM_APMC_DONE;
	function->writable[PM_MISC] = PM_ENABLE;
	function->initial[PM_SMB_BASE] = 0x01;
	function->writable[PM_SMB_BASE] = 0xf0;
	function->writable[PM_SMB_BASE + 1] = 0xff;
}

void piix4_create(struct piix4 *piix4, struct pci *pci, unsigned int slot,
		  struct bus_range *pm_range)
{
	make_isa(&piix4->isa);
	make_pm(&piix4->pm);
	piix4->pm_range = pm_range;
	piix4->isa.written = piix4->pm.written = piix4_written;
	piix4->isa.device = piix4->pm.device = piix4;
	CHECK(pci_add(pci, slot, 0, &piix4->isa) && pci_add(pci, slot, 3, &piix4->pm));
}
