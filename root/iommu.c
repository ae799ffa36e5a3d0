/*
 * An IOMMU driver in Linux's sense, over the hypervisor's domains of devices, so that VFIO has
 * groups and containers. The root's devices stay where they are, in the domain of all that is the
 * root's ("identity"): to them nothing changes when this comes or goes. A device that VFIO has is
 * in a domain of its own, where it reaches what VFIO mapped, or in one in which nothing is
 * ("blocked").
 *
 * The kernel keeps an IOMMU driver for as long as it has devices, which is for ever. So that the
 * module can go, the tables of functions are not the module's memory; the module holds itself while
 * a domain with mappings is there, and takes all devices back when it goes. What the kernel may
 * keep after that (before 6.7: the identity and blocked domains of groups) calls nothing of the
 * module's.
 *
 * From 6.15 on the kernel warns, with a backtrace, of each device that has a driver already when an
 * IOMMU comes. There it comes when it is asked for by the parameter.
 */
#include <linux/bitops.h>
#include <linux/errno.h>
#include <linux/iommu.h>
#include <linux/kstrtox.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/platform_device.h>
#include <linux/sizes.h>
#include <linux/slab.h>
#include <linux/version.h>
#include <linux/xarray.h>

#include "device_domain.h"
#include "iommu.h"
#include "message.h"

#define HAS_STATIC_DOMAINS       (LINUX_VERSION_CODE >= KERNEL_VERSION(6, 7, 0))
#define HAS_INTERRUPT_CAPABILITY (LINUX_VERSION_CODE < KERNEL_VERSION(6, 4, 0))
#define WARNS_OF_DRIVERS         (LINUX_VERSION_CODE >= KERNEL_VERSION(6, 15, 0))
#define HAS_OLD_DOMAIN           (LINUX_VERSION_CODE >= KERNEL_VERSION(6, 19, 0))

#if HAS_OLD_DOMAIN
#define ATTACH_ARGUMENTS struct iommu_domain *domain, struct device *dev, struct iommu_domain *old
#else
#define ATTACH_ARGUMENTS struct iommu_domain *domain, struct device *dev
#endif

#define DEVFNS          256 /* of a bus */
#define INTERRUPTS_BASE 0xfee00000ull
#define INTERRUPTS_SIZE 0x00100000ull

struct mapped_domain {
	struct iommu_domain domain;
	uint32_t id;
	struct xarray
		leaves; /* what is mapped: page and size of each leaf, by the page of its address */
};

/* Of a device: the driver that it had before it had a group, until that is made good. */
struct device_state {
	struct device_driver *driver;
};

static struct iommu_device iommu;
static struct iommu_ops *iommu_ops; /* NULL: not registered */
static struct iommu_domain_ops *identity_ops, *blocked_ops,
	*mapped_ops;       /* all in one piece with iommu_ops */
static DEFINE_MUTEX(lock); /* around coming and going */
static bool wanted = !WARNS_OF_DRIVERS;
static bool may_come; /* the module is there */
static atomic_t mapped_domains = ATOMIC_INIT(0);
static uint32_t blocked_id;
static uint8_t width;
static uint64_t page_sizes;

/* ---- devices ---- */

/*
 * All requester ids under which requests of a device come: its own, what it is known to use beside,
 * and those of bridges on the way that put their own in place.
 */
static int for_each_bridge(struct pci_dev *pci, int (*visit)(uint16_t device, void *context),
			   void *context)
{
	struct pci_bus *bus;
	int ret = 0;

	for (bus = pci->bus; !ret && !pci_is_root_bus(bus); bus = bus->parent) {
		struct pci_dev *bridge = bus->self;

		if (bridge == NULL) {
			continue;
		}
		if (bridge->dev_flags & PCI_DEV_FLAGS_BRIDGE_XLATE_ROOT) {
			break;
		}
		if (pci_is_pcie(bridge) ? pci_pcie_type(bridge) == PCI_EXP_TYPE_PCI_BRIDGE
					: bridge->dev_flags & PCI_DEV_FLAG_PCIE_BRIDGE_ALIAS) {
			ret = visit(PCI_DEVID(bus->number, 0), context);
		} else if (!pci_is_pcie(bridge) ||
			   pci_pcie_type(bridge) == PCI_EXP_TYPE_PCIE_BRIDGE) {
			ret = visit(pci_dev_id(bridge), context);
		}
	}
	return ret;
}

static int for_each_requester(struct pci_dev *pci, int (*visit)(uint16_t device, void *context),
			      void *context)
{
	int ret = visit(pci_dev_id(pci), context);
	unsigned long devfn;

	if (pci->dma_alias_mask != NULL) {
		for_each_set_bit(devfn, pci->dma_alias_mask, DEVFNS)
		{
			ret = ret ?: visit(PCI_DEVID(pci->bus->number, devfn), context);
		}
	}
	return ret ?: for_each_bridge(pci, visit, context);
}

static int visit_last(uint16_t device, void *last)
{
	*(uint16_t *)last = device;
	return 0;
}

uint16_t iommu_requester(struct pci_dev *pci)
{
	uint16_t last = pci_dev_id(pci);

	for_each_bridge(pci, visit_last, &last);
	return last;
}

static int visit_attach(uint16_t device, void *id)
{
	return device_domain_attach(device, *(const uint32_t *)id);
}

static int visit_detach(uint16_t device, void *context)
{
	device_domain_detach(device);
	return 0;
}

static int attach(struct device *dev, uint32_t id)
{
	int ret = for_each_requester(to_pci_dev(dev), visit_attach, &id);

	if (!ret) {
		messages_take(dev);
	}
	return ret;
}

static void detach(struct device *dev)
{
	messages_give_back(dev);
	for_each_requester(to_pci_dev(dev), visit_detach, NULL);
}

static struct iommu_device *probe_device(struct device *dev)
{
	struct device_state *state;

	if (!dev_is_pci(dev) || pci_domain_nr(to_pci_dev(dev)->bus)) {
		return ERR_PTR(-ENODEV);
	}
	state = kzalloc(sizeof(*state), GFP_KERNEL);
	if (state == NULL) {
		return ERR_PTR(-ENOMEM);
	}
	state->driver = dev->driver;
	dev_iommu_priv_set(dev, state);
	return &iommu;
}

static void release_device(struct device *dev)
{
	detach(dev);
	kfree(dev_iommu_priv_get(dev));
	dev_iommu_priv_set(dev, NULL);
}

static int def_domain_type(struct device *dev)
{
	return IOMMU_DOMAIN_IDENTITY;
}

static bool is_capable(struct device *dev, enum iommu_cap capability)
{
#if HAS_INTERRUPT_CAPABILITY
	if (capability == IOMMU_CAP_INTR_REMAP) {
		return messages_are_given(dev);
	}
#endif
	return capability == IOMMU_CAP_CACHE_COHERENCY;
}

/* Writes there are interrupts, whatever is mapped. */
static void get_resv_regions(struct device *dev, struct list_head *list)
{
	struct iommu_resv_region *region = iommu_alloc_resv_region(INTERRUPTS_BASE, INTERRUPTS_SIZE,
								   0, IOMMU_RESV_MSI, GFP_KERNEL);

	if (region != NULL) {
		list_add_tail(&region->list, list);
	}
}

/* ---- domains ---- */

static struct mapped_domain *mapped_domain(struct iommu_domain *domain)
{
	return container_of(domain, struct mapped_domain, domain);
}

static int attach_identity(ATTACH_ARGUMENTS)
{
	detach(dev);
	return 0;
}

static int attach_blocked(ATTACH_ARGUMENTS)
{
	return attach(dev, blocked_id);
}

static int attach_mapped(ATTACH_ARGUMENTS)
{
	return attach(dev, mapped_domain(domain)->id);
}

static int map_pages(struct iommu_domain *domain, unsigned long address, phys_addr_t physical,
		     size_t size, size_t count, int prot, gfp_t gfp, size_t *mapped)
{
	struct mapped_domain *mine = mapped_domain(domain);
	const bool large = size == SZ_2M;
	size_t at, wanted = size * count;
	int ret = 0;

	for (at = 0; !ret && at < wanted; at += size) {
		ret = xa_err(xa_store(&mine->leaves, (address + at) / SZ_4K,
				      xa_mk_value((physical + at) / SZ_4K << 1 | large), gfp));
	}
	*mapped = 0;
	if (!ret) {
		ret = device_domain_map(mine->id, address, physical, large, count,
					prot & IOMMU_WRITE, gfp, mapped);
	}
	for (at = *mapped; at < wanted; at += size) {
		xa_erase(&mine->leaves, (address + at) / SZ_4K);
	}
	return ret;
}

static size_t unmap_pages(struct iommu_domain *domain, unsigned long address, size_t size,
			  size_t count, struct iommu_iotlb_gather *gather)
{
	struct mapped_domain *mine = mapped_domain(domain);
	size_t done = device_domain_unmap(mine->id, address, size / SZ_4K * count);
	unsigned long index;
	void *leaf;

	xa_for_each_range(&mine->leaves, index, leaf, address / SZ_4K,
			  address / SZ_4K + done / SZ_4K - 1)
	{
		xa_erase(&mine->leaves, index);
	}
	return done;
}

static phys_addr_t iova_to_phys(struct iommu_domain *domain, dma_addr_t address)
{
	struct mapped_domain *mine = mapped_domain(domain);
	void *leaf = xa_load(&mine->leaves, address / SZ_4K);

	if (leaf != NULL && !(xa_to_value(leaf) & 1)) {
		return (phys_addr_t)(xa_to_value(leaf) >> 1) * SZ_4K + address % SZ_4K;
	}
	leaf = xa_load(&mine->leaves, round_down(address, SZ_2M) / SZ_4K);
	if (leaf != NULL && xa_to_value(leaf) & 1) {
		return (phys_addr_t)(xa_to_value(leaf) >> 1) * SZ_4K + address % SZ_2M;
	}
	return 0;
}

static void free_mapped(struct iommu_domain *domain)
{
	struct mapped_domain *mine = mapped_domain(domain);

	device_domain_delete(mine->id);
	xa_destroy(&mine->leaves);
	kfree(mine);
	atomic_dec(&mapped_domains);
	module_put(THIS_MODULE);
}

static struct iommu_domain *alloc_mapped(void)
{
	struct mapped_domain *mine;

	if (!try_module_get(THIS_MODULE)) {
		return NULL;
	}
	mine = kzalloc(sizeof(*mine), GFP_KERNEL_ACCOUNT);
	if (mine == NULL || device_domain_create(&mine->id)) {
		kfree(mine);
		module_put(THIS_MODULE);
		return NULL;
	}
	atomic_inc(&mapped_domains);
	xa_init(&mine->leaves);
	mine->domain.ops = mapped_ops;
	mine->domain.pgsize_bitmap = page_sizes;
	mine->domain.geometry.aperture_end = (1ull << width) - 1;
	mine->domain.geometry.force_aperture = true;
	return &mine->domain;
}

#if HAS_STATIC_DOMAINS

static struct iommu_domain identity = {.type = IOMMU_DOMAIN_IDENTITY};
static struct iommu_domain blocked = {.type = IOMMU_DOMAIN_BLOCKED};

static struct iommu_domain *alloc_paging(struct device *dev)
{
	return alloc_mapped() ?: ERR_PTR(-ENOMEM);
}

static void set_domains(struct iommu_ops *ops)
{
	identity.ops = identity_ops;
	blocked.ops = blocked_ops;
	ops->identity_domain = &identity;
	ops->blocked_domain = &blocked;
	ops->domain_alloc_paging = alloc_paging;
}

#else

/* Groups have these for as long as they are there, which the module may not be. */
static struct iommu_domain *alloc_plain(const struct iommu_domain_ops *ops)
{
	struct iommu_domain *domain = kzalloc(sizeof(*domain), GFP_KERNEL);

	if (domain != NULL) {
		domain->ops = ops;
	}
	return domain;
}

static struct iommu_domain *alloc_of_type(unsigned int type)
{
	switch (type) {
	case IOMMU_DOMAIN_IDENTITY:
		return alloc_plain(identity_ops);
	case IOMMU_DOMAIN_BLOCKED:
		return alloc_plain(blocked_ops);
	case IOMMU_DOMAIN_UNMANAGED:
		return alloc_mapped();
	default:
		return NULL;
	}
}

static void set_domains(struct iommu_ops *ops)
{
	identity_ops->free = blocked_ops->free = (void (*)(struct iommu_domain *))kfree;
	ops->domain_alloc = alloc_of_type;
	ops->pgsize_bitmap = page_sizes;
	ops->default_domain_ops = mapped_ops;
}

#endif

/* ---- coming and going ---- */

/* They are never freed where groups may have kept their domains. */
static int make_ops(void)
{
	struct tables {
		struct iommu_ops ops;
		struct iommu_domain_ops identity, blocked, mapped;
	} *tables = kzalloc(sizeof(*tables), GFP_KERNEL);

	if (tables == NULL) {
		return -ENOMEM;
	}
	iommu_ops = &tables->ops;
	identity_ops = &tables->identity;
	blocked_ops = &tables->blocked;
	mapped_ops = &tables->mapped;
	identity_ops->attach_dev = attach_identity;
	blocked_ops->attach_dev = attach_blocked;
	*mapped_ops = (struct iommu_domain_ops){
		.attach_dev = attach_mapped,
		.map_pages = map_pages,
		.unmap_pages = unmap_pages,
		.iova_to_phys = iova_to_phys,
		.free = free_mapped,
	};
	iommu_ops->capable = is_capable;
	iommu_ops->probe_device = probe_device;
	iommu_ops->release_device = release_device;
	iommu_ops->device_group = pci_device_group;
	iommu_ops->get_resv_regions = get_resv_regions;
	iommu_ops->def_domain_type = def_domain_type;
	set_domains(iommu_ops);
	return 0;
}

static void free_ops(void)
{
	if (HAS_STATIC_DOMAINS) {
		kfree(iommu_ops);
	}
	iommu_ops = NULL;
}

/* A driver that had its device before there were groups was not counted as a user of the group. It
 * is when it asks once more. */
static int count_driver(struct device *dev, void *unused)
{
	struct device_state *state;

	device_lock(dev);
	state = dev->iommu_group != NULL ? dev_iommu_priv_get(dev) : NULL;
	if (state != NULL && state->driver != NULL && state->driver == dev->driver &&
	    dev->bus->dma_configure(dev)) {
		pci_warn(to_pci_dev(dev), "its driver keeps it from its group\n");
	}
	if (state != NULL) {
		state->driver = NULL;
	}
	device_unlock(dev);
	return 0;
}

static int discount_driver(struct device *dev, void *unused)
{
	device_lock(dev);
	if (dev->iommu_group != NULL && dev->driver != NULL) {
		dev->bus->dma_cleanup(dev);
	}
	device_unlock(dev);
	return 0;
}

/* Where a kernel that was there before this one has left its devices. */
static void take_back(void)
{
	struct pci_dev *pci = NULL;

	for_each_pci_dev(pci)
	{
		if (!pci_domain_nr(pci->bus)) {
			for_each_requester(pci, visit_detach, NULL);
		}
	}
	device_domains_sweep();
}

static void forget_bus(void)
{
#if !HAS_STATIC_DOMAINS
	platform_bus_type.iommu_ops = NULL;
	pci_bus_type.iommu_ops = NULL;
#endif
}

/*
 * What a bridge passes on between devices below it no IOMMU sees. Where Linux knows of one as it
 * finds the bridges, it has them pass all on upwards (ACS), and makes its groups by that; here it
 * learns of it later, so this is written now.
 */
static void hold_bridges(void)
{
	struct pci_dev *pci = NULL;
	u16 can, does;

	for_each_pci_dev(pci)
	{
		if (pci->acs_cap && !pci_read_config_word(pci, pci->acs_cap + PCI_ACS_CAP, &can) &&
		    !pci_read_config_word(pci, pci->acs_cap + PCI_ACS_CTRL, &does)) {
			does |= can & (PCI_ACS_SV | PCI_ACS_RR | PCI_ACS_CR | PCI_ACS_UF);
			pci_write_config_word(pci, pci->acs_cap + PCI_ACS_CTRL, does);
		}
	}
}

static int come(void)
{
	int ret;

	ret = device_domain_probe(&width, &page_sizes);
	if (ret) {
		return ret; /* nothing that could hold devices back */
	}
	take_back();
	ret = device_domain_create(&blocked_id);
	if (ret) {
		return ret;
	}
	ret = make_ops();
	if (ret) {
		goto out_domain;
	}
	ret = iommu_device_sysfs_add(&iommu, NULL, NULL, "verdigris");
	if (ret) {
		goto out_ops;
	}
	hold_bridges();
	ret = iommu_device_register(&iommu, iommu_ops, NULL);
	if (ret) {
		goto out_sysfs;
	}
	bus_for_each_dev(&pci_bus_type, NULL, NULL, count_driver);
	return 0;

out_sysfs:
	forget_bus();
	iommu_device_sysfs_remove(&iommu);
out_ops:
	free_ops();
out_domain:
	device_domain_delete(blocked_id);
	return ret;
}

static int go(void)
{
	if (atomic_read(&mapped_domains)) {
		return -EBUSY;
	}
	bus_for_each_dev(&pci_bus_type, NULL, NULL, discount_driver);
	iommu_device_unregister(&iommu);
	forget_bus();
	iommu_device_sysfs_remove(&iommu);
	free_ops();
	device_domain_delete(blocked_id);
	return 0;
}

static int wanted_set(const char *text, const struct kernel_param *parameter)
{
	bool value;
	int ret = kstrtobool(text, &value);

	if (ret) {
		return ret;
	}
	mutex_lock(&lock);
	if (may_come && value != (iommu_ops != NULL)) {
		ret = value ? come() : go();
	}
	if (!ret) {
		wanted = value;
	}
	mutex_unlock(&lock);
	return ret;
}

static int wanted_get(char *buffer, const struct kernel_param *parameter)
{
	return sysfs_emit(buffer, "%c\n", iommu_ops != NULL ? 'Y' : 'N');
}

static const struct kernel_param_ops wanted_ops = {
	.set = wanted_set,
	.get = wanted_get,
};

module_param_cb(iommu, &wanted_ops, NULL, 0644);
MODULE_PARM_DESC(iommu, "Be an IOMMU to Linux, for VFIO (Y before Linux 6.15)");

int iommu_init_root(void)
{
	int ret = 0;

	mutex_lock(&lock);
	ret = messages_init();
	if (!ret && wanted) {
		ret = come();
	}
	may_come = !ret || ret == -ENODEV;
	if (!may_come) {
		messages_exit();
	}
	mutex_unlock(&lock);
	return may_come ? 0 : ret;
}

/* The module holds itself while a domain is mapped. */
void iommu_exit_root(void)
{
	mutex_lock(&lock);
	may_come = false;
	if (iommu_ops != NULL && go()) {
		pr_err("devices are left in domains of their own\n");
	}
	messages_exit();
	mutex_unlock(&lock);
}
