/*
 * See message.h. An interrupt domain in Linux's sense, on top of that of the processors' vectors:
 * what a device is told to write is not the vector, but the number of an entry that the hypervisor
 * has for this device (HvCallMapDeviceInterrupt). An interrupt that is sent to another processor
 * keeps its number.
 *
 * Since 6.2 a device keeps the domain in which its messages were until its driver leaves it. The
 * module stays as long.
 */
#include <linux/device.h>
#include <linux/errno.h>
#include <linux/irq.h>
#include <linux/irqdomain.h>
#include <linux/module.h>
#include <linux/msi.h>
#include <linux/pci.h>
#include <linux/string.h>
#include <linux/version.h>
#include <linux/xarray.h>
#include <asm/hw_irq.h>
#include <asm/irqdomain.h>
#include <asm/msi.h>

#include "device_domain.h"
#include "iommu.h"
#include "message.h"

#define HAS_DEVICE_DOMAINS (LINUX_VERSION_CODE >= KERNEL_VERSION(6, 2, 0))
#define HAS_ISOLATED_MSI   (LINUX_VERSION_CODE >= KERNEL_VERSION(6, 4, 0))

#define MESSAGES 0xfee00000u

static struct irq_domain *messages;
static struct fwnode_handle *fwnode;

/* ---- an interrupt: its number and 1 is the chip's data; NULL: it has none ---- */

static uint32_t target_of(struct irq_data *data)
{
	const struct cpumask *mask = irq_data_get_effective_affinity_mask(data);
	unsigned int cpu = cpumask_first_and(mask, cpu_online_mask);

	return compat_vp_index(cpu < nr_cpu_ids ? cpu : cpumask_first(cpu_online_mask));
}

static void compose(struct irq_data *data, struct msi_msg *message)
{
	struct pci_dev *pci = msi_desc_to_pci_dev(irq_data_get_msi_desc(data));
	uint8_t vector = irqd_cfg(data)->vector;
	uint16_t device = iommu_requester(pci);
	uint32_t number = (uint32_t)(uintptr_t)data->chip_data - 1;
	int ret;

	if (data->chip_data != NULL) {
		ret = device_interrupt_retarget(device, number, target_of(data), vector);
	} else {
		ret = device_interrupt_map(device, target_of(data), vector, &number);
	}
	memset(message, 0, sizeof(*message));
	if (ret) {
		pci_err(pci, "the hypervisor does not give it interrupt %u: %d\n", data->irq, ret);
		return;
	}
	data->chip_data = (void *)(uintptr_t)(number + 1);
	message->address_lo = MESSAGES;
	message->data = number;
}

static void release(struct irq_domain *domain, unsigned int irq)
{
	struct irq_data *data = irq_domain_get_irq_data(domain, irq);

	if (data != NULL && data->chip_data != NULL) {
		device_interrupt_unmap(
			iommu_requester(msi_desc_to_pci_dev(irq_data_get_msi_desc(data))),
			(uint32_t)(uintptr_t)data->chip_data - 1);
		data->chip_data = NULL;
	}
}

static struct irq_chip chip = {
	.name = "verdigris",
	.irq_ack = irq_chip_ack_parent,
	.irq_retrigger = irq_chip_retrigger_hierarchy,
	.irq_compose_msi_msg = compose,
#if HAS_DEVICE_DOMAINS
	.irq_set_affinity = irq_chip_set_affinity_parent,
#else
	.irq_mask = pci_msi_mask_irq,
	.irq_unmask = pci_msi_unmask_irq,
#endif
	.flags = IRQCHIP_SKIP_SET_WAKE | IRQCHIP_AFFINITY_PRE_STARTUP,
};

/* ---- the domain ---- */

#if HAS_DEVICE_DOMAINS

static int domain_alloc(struct irq_domain *domain, unsigned int irq, unsigned int count, void *info)
{
	int ret = irq_domain_alloc_irqs_parent(domain, irq, count, info);
	unsigned int i;

	for (i = 0; !ret && i < count; i++) {
		ret = irq_domain_set_hwirq_and_chip(domain, irq + i, 0, &chip, NULL);
	}
	return ret;
}

static void domain_free(struct irq_domain *domain, unsigned int irq, unsigned int count)
{
	unsigned int i;

	for (i = 0; i < count; i++) {
		release(domain, irq + i);
	}
	irq_domain_free_irqs_common(domain, irq, count);
}

static const struct irq_domain_ops domain_ops = {.alloc = domain_alloc, .free = domain_free};

/* The processors' domain knows what a device's domain needs, and that of remapping units below
 * it. */
static bool init_device_domain(struct device *dev, struct irq_domain *domain,
			       struct irq_domain *parent, struct msi_domain_info *info)
{
	return domain->parent->msi_parent_ops->init_dev_msi_info(dev, domain->parent, parent, info);
}

static const struct msi_parent_ops parent_ops = {
	.supported_flags = MSI_GENERIC_FLAGS_MASK | MSI_FLAG_PCI_MSIX | MSI_FLAG_PCI_MSIX_ALLOC_DYN,
	.prefix = "VD-",
	.init_dev_msi_info = init_device_domain,
};

static struct irq_domain *domain_create(void)
{
	struct irq_domain *domain =
		irq_domain_create_hierarchy(x86_vector_domain, 0, 0, fwnode, &domain_ops, NULL);

	if (domain != NULL) {
		irq_domain_update_bus_token(domain, DOMAIN_BUS_AMDVI);
		domain->msi_parent_ops = &parent_ops;
		domain->flags |= IRQ_DOMAIN_FLAG_MSI_PARENT;
#if HAS_ISOLATED_MSI
		domain->flags |= IRQ_DOMAIN_FLAG_ISOLATED_MSI;
#endif
	}
	return domain;
}

#else

static void message_free(struct irq_domain *domain, struct msi_domain_info *info, unsigned int irq)
{
	release(domain, irq);
}

static struct msi_domain_ops domain_ops = {
	.msi_prepare = pci_msi_prepare,
	.msi_free = message_free,
};

static struct msi_domain_info domain_info = {
	.flags = MSI_FLAG_USE_DEF_DOM_OPS | MSI_FLAG_USE_DEF_CHIP_OPS | MSI_FLAG_PCI_MSIX,
	.ops = &domain_ops,
	.chip = &chip,
	.handler = handle_edge_irq,
	.handler_name = "edge",
};

static struct irq_domain *domain_create(void)
{
	return pci_msi_create_irq_domain(fwnode, &domain_info, x86_vector_domain);
}

#endif

/* ---- devices: what each had before; by its address ---- */

static DEFINE_XARRAY(taken);

#if HAS_DEVICE_DOMAINS

/* Those for which the module stays. */
static DEFINE_XARRAY(held);

static void hold(struct device *dev)
{
	if (!xa_insert(&held, (uintptr_t)dev / sizeof(long), dev, GFP_KERNEL)) {
		__module_get(THIS_MODULE);
	}
}

static void release_hold(struct device *dev)
{
	if (xa_erase(&held, (uintptr_t)dev / sizeof(long)) != NULL) {
		module_put(THIS_MODULE);
	}
}

static int device_changed(struct notifier_block *block, unsigned long action, void *device)
{
	struct device *dev = device;

	if (action == BUS_NOTIFY_UNBOUND_DRIVER && dev_get_msi_domain(dev) != messages) {
		release_hold(dev);
	}
	return NOTIFY_DONE;
}

static struct notifier_block changes = {.notifier_call = device_changed};

static int watch(void)
{
	return bus_register_notifier(&pci_bus_type, &changes);
}

static void unwatch(void)
{
	bus_unregister_notifier(&pci_bus_type, &changes);
}

#else

static void hold(struct device *dev)
{
}

static void release_hold(struct device *dev)
{
}

static int watch(void)
{
	return 0;
}

static void unwatch(void)
{
}

#endif

void messages_take(struct device *dev)
{
	struct irq_domain *before = dev_get_msi_domain(dev);

	if (messages == NULL || before == messages) {
		return;
	}
	if (xa_err(xa_store(&taken, (uintptr_t)dev / sizeof(long), before, GFP_KERNEL))) {
		dev_err(dev, "no memory for its interrupts; it will have none\n");
		return;
	}
	hold(dev);
	dev_set_msi_domain(dev, messages);
}

void messages_give_back(struct device *dev)
{
	if (messages == NULL || dev_get_msi_domain(dev) != messages) {
		return;
	}
	dev_set_msi_domain(dev, xa_erase(&taken, (uintptr_t)dev / sizeof(long)));
	if (dev->driver == NULL) {
		release_hold(dev);
	}
}

/* Where units are Intel's the kernel has them remap by itself, and before 6.3 only the name of a
 * device's domain says so. */
bool messages_are_given(struct device *dev)
{
	const struct irq_domain *domain = dev_get_msi_domain(dev);

	return messages != NULL ||
	       (domain != NULL && domain->name != NULL && strstarts(domain->name, "INTEL-IR-MSI"));
}

int messages_init(void)
{
	int ret = -ENOMEM;

	if (!device_interrupts_probe()) {
		return 0;
	}
	fwnode = irq_domain_alloc_named_fwnode("verdigris");
	if (fwnode == NULL) {
		return -ENOMEM;
	}
	messages = domain_create();
	if (messages == NULL) {
		goto out_fwnode;
	}
	ret = watch();
	if (ret) {
		goto out_domain;
	}
	return 0;

out_domain:
	irq_domain_remove(messages);
	messages = NULL;
out_fwnode:
	irq_domain_free_fwnode(fwnode);
	return ret;
}

void messages_exit(void)
{
	if (messages != NULL) {
		unwatch();
		irq_domain_remove(messages);
		irq_domain_free_fwnode(fwnode);
		messages = NULL;
	}
}
