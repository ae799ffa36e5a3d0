/*
 * mshv_vd: /dev/mshv on stock kernels, over Verdigris.
 *
 * The device node, and what the module holds in total, which /sys/module/mshv_vd/parameters shows.
 */
#include <linux/errno.h>
#include <linux/fs.h>
#include <linux/miscdevice.h>
#include <linux/module.h>

#include "root.h"

struct root_counts root_counts;

static int count_get(char *buffer, const struct kernel_param *parameter)
{
	return sysfs_emit(buffer, "%ld\n", atomic_long_read(parameter->arg));
}

static const struct kernel_param_ops count_ops = {
	.get = count_get,
};

module_param_cb(partitions, &count_ops, &root_counts.partitions, 0444);
MODULE_PARM_DESC(partitions, "Partitions that exist");
module_param_cb(deposited, &count_ops, &root_counts.deposited, 0444);
MODULE_PARM_DESC(deposited, "Pages that are with the hypervisor");
module_param_cb(pinned, &count_ops, &root_counts.pinned, 0444);
MODULE_PARM_DESC(pinned, "Pages of user memory that are mapped in partitions");

/* Free pages in the hypervisor that are the root's: what a leak there would change. */
static int root_pages_get(char *buffer, const struct kernel_param *parameter)
{
	struct hv_output_get_memory_balance *output;
	struct hv_input_get_memory_balance *input;
	struct hvcall_pages pages;
	int ret;

	ret = hvcall_pages_alloc(&pages);
	if (ret) {
		return ret;
	}
	input = pages.input;
	output = pages.output;
	input->partition_id = HV_PARTITION_ID_SELF;
	ret = status_to_errno(hvcall_simple(HVCALL_GET_MEMORY_BALANCE, input, output));
	ret = ret ?: sysfs_emit(buffer, "%llu\n", output->pages_available);
	hvcall_pages_free(&pages);
	return ret;
}

static const struct kernel_param_ops root_pages_ops = {
	.get = root_pages_get,
};

module_param_cb(root_pages, &root_pages_ops, NULL, 0444);
MODULE_PARM_DESC(root_pages, "Pages of the root that are free in the hypervisor");

bool root_extensions = true;
module_param_named(extensions, root_extensions, bool, 0644);
MODULE_PARM_DESC(extensions, "Offer what upstream's driver does not have (Y)");

static long device_ioctl(struct file *file, unsigned int command, unsigned long argument)
{
	switch (command) {
	case MSHV_CREATE_PARTITION:
		return partition_create((void __user *)argument);
	case MSHV_ROOT_HVCALL:
		return passthru_hvcall(NULL, NULL, false, (void __user *)argument);
	default:
		return -ENOTTY;
	}
}

static const struct file_operations device_fops = {
	.owner = THIS_MODULE,
	.unlocked_ioctl = device_ioctl,
	.llseek = noop_llseek,
};

static struct miscdevice device = {
	.minor = MISC_DYNAMIC_MINOR,
	.name = "mshv",
	.fops = &device_fops,
	.mode = 0600,
};

/* VP state pages are in our memory, with the hypervisor's laid over: it must be able to do that
 * (L1VH). */
static int check_capabilities(void)
{
	const struct hv_partition_property_vmm_capabilities *capabilities;
	struct hv_input_get_partition_property_ex *input;
	struct hvcall_pages pages;
	hv_status_t status;
	int ret;

	ret = hvcall_pages_alloc(&pages);
	if (ret) {
		return ret;
	}
	input = pages.input;
	capabilities = pages.output;
	input->partition_id = HV_PARTITION_ID_SELF;
	input->property_code = HV_PARTITION_PROPERTY_VMM_CAPABILITIES;
	status = hvcall_simple(HVCALL_GET_PARTITION_PROPERTY_EX, input, pages.output);
	if (status != HV_STATUS_SUCCESS || !capabilities->vmm_can_provide_overlay_gpfn) {
		pr_err("the hypervisor does not let the root place VP state pages (status %#x)\n",
		       status);
		ret = -ENODEV;
	}
	hvcall_pages_free(&pages);
	return ret;
}

static int __init root_init(void)
{
	int ret;

	ret = compat_probe();
	if (ret) {
		return ret;
	}
	ret = check_capabilities();
	if (ret) {
		return ret;
	}
	ret = irqfd_init();
	if (ret) {
		return ret;
	}
	ret = synic_init();
	if (ret) {
		goto out_irqfd;
	}
	ret = iommu_init_root();
	if (ret) {
		goto out_synic;
	}
	ret = misc_register(&device);
	if (ret) {
		goto out_iommu;
	}
	return 0;

out_iommu:
	iommu_exit_root();
out_synic:
	synic_exit();
out_irqfd:
	irqfd_exit();
	return ret;
}

static void __exit root_exit(void)
{
	misc_deregister(&device);
	iommu_exit_root();
	synic_exit();
	irqfd_exit();
}

module_init(root_init);
module_exit(root_exit);
MODULE_LICENSE("GPL");
MODULE_DESCRIPTION("Verdigris root partition: /dev/mshv");
