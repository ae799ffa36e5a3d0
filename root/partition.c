/*
 * A partition as a file descriptor: creation, ioctls, end.
 *
 *	CREATE_PARTITION -> created --INITIALIZE_PARTITION--> initialized
 *	created, initialized --last descriptor closed--> destroyed
 *
 * Early properties are set while created; VPs, memory and the rest want it initialized, and the
 * hypervisor says so where not.
 */
#include <linux/anon_inodes.h>
#include <linux/errno.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uaccess.h>
#include <linux/xarray.h>

#include "root.h"

static DEFINE_XARRAY(partitions); /* by id */

struct partition *partition_find(uint64_t id)
{
	return xa_load(&partitions, id);
}

/* All VPs; a kick too many costs a dispatch. */
void partitions_kick(void)
{
	struct partition *partition;
	unsigned long id;
	struct vp *vp;
	uint32_t i;

	rcu_read_lock();
	xa_for_each(&partitions, id, partition)
	{
		for (i = 0; i < MAX_VPS; i++) {
			vp = smp_load_acquire(&partition->vps[i]);
			if (vp != NULL) {
				vp_kick(vp);
			}
		}
	}
	rcu_read_unlock();
}

struct partition *partition_get(struct partition *partition)
{
	kref_get(&partition->ref);
	return partition;
}

static void destroy_vps(struct partition *partition)
{
	uint32_t i;

	for (i = 0; i < MAX_VPS; i++) {
		if (partition->vps[i] != NULL) {
			vp_destroy(partition->vps[i]);
		}
	}
}

/*
 * In the order in which the hypervisor lets go: nothing signals any more, then the interrupt
 * handler forgets the partition, then VPs, GPA map, deposits. Guest memory is unpinned only when
 * the hypervisor has confirmed that it is mapped no more.
 */
static void partition_destroy(struct kref *ref)
{
	struct partition *partition = container_of(ref, struct partition, ref);
	int ret = 0;

	irqfds_release(partition);
	ports_release(partition);
	xa_erase(&partitions, partition->id);
	synchronize_rcu();
	destroy_vps(partition);
	if (partition->initialized) {
		ret = hvcall_finalize_partition(partition->id);
	}
	if (ret) {
		pr_err("partition %llu cannot be finalized (%d): its memory stays pinned\n",
		       partition->id, ret);
	}
	regions_release(partition, !ret);
	withdraw_all(partition->id);
	hvcall_delete_partition(partition->id);
	withdraw_all(HV_PARTITION_ID_SELF); /* what the root lacked meanwhile */
	kvfree(rcu_dereference_protected(partition->routing, true));
	hvcall_pages_free(&partition->pages);
	kfree(partition);
	atomic_long_dec(&root_counts.partitions);
}

void partition_put(struct partition *partition)
{
	kref_put(&partition->ref, partition_destroy);
}

static int partition_release(struct inode *inode, struct file *file)
{
	partition_put(file->private_data);
	return 0;
}

static long initialize(struct partition *partition)
{
	int ret;

	if (partition->initialized) {
		return 0;
	}
	ret = hvcall_initialize_partition(partition->id);
	if (ret) {
		withdraw_all(partition->id);
		return ret;
	}
	partition->initialized = true;
	return 0;
}

static long locked_ioctl(struct partition *partition, unsigned int command, void __user *argument)
{
	switch (command) {
	case MSHV_INITIALIZE_PARTITION:
		return initialize(partition);
	case MSHV_CREATE_VP:
		return vp_create(partition, argument);
	case MSHV_SET_GUEST_MEMORY:
		return region_set(partition, argument);
	case MSHV_IRQFD:
		return irqfd_set(partition, argument);
	case MSHV_IOEVENTFD:
		return ioeventfd_set(partition, argument);
	case MSHV_SET_MSI_ROUTING:
		return routing_set(partition, argument);
	case MSHV_GET_GPAP_ACCESS_BITMAP:
		return access_bitmap(partition, argument);
	case MSHV_ROOT_HVCALL:
		return passthru_hvcall(partition, &partition->pages, true, argument);
	case MSHV_VD_SIGNAL_EVENTFD:
		return root_extensions ? signal_eventfd_set(partition, argument) : -ENOTTY;
	default:
		return -ENOTTY;
	}
}

static long partition_ioctl(struct file *file, unsigned int command, unsigned long argument)
{
	struct partition *partition = file->private_data;
	long ret;

	if (mutex_lock_killable(&partition->lock)) {
		return -EINTR;
	}
	ret = locked_ioctl(partition, command, (void __user *)argument);
	mutex_unlock(&partition->lock);
	return ret;
}

static const struct file_operations partition_fops = {
	.owner = THIS_MODULE,
	.release = partition_release,
	.unlocked_ioctl = partition_ioctl,
	.llseek = noop_llseek,
};

static struct partition *partition_alloc(void)
{
	struct partition *partition = kzalloc(sizeof(*partition), GFP_KERNEL_ACCOUNT);

	if (partition == NULL || hvcall_pages_alloc(&partition->pages)) {
		kfree(partition);
		return NULL;
	}
	kref_init(&partition->ref);
	mutex_init(&partition->lock);
	INIT_LIST_HEAD(&partition->regions);
	INIT_LIST_HEAD(&partition->ports);
	spin_lock_init(&partition->irqfds_lock);
	INIT_LIST_HEAD(&partition->irqfds);
	INIT_LIST_HEAD(&partition->resampled);
	init_completion(&partition->async);
	return partition;
}

/* Creates it in the hypervisor and makes it known to the interrupt handler; from then on
 * partition_put() undoes all. */
static struct partition *partition_new(const struct hv_input_create_partition *creation)
{
	struct partition *partition = partition_alloc();
	int ret;

	if (partition == NULL) {
		return ERR_PTR(-ENOMEM);
	}
	ret = hvcall_create_partition(&partition->pages, creation, &partition->id);
	if (ret) {
		goto out_free;
	}
	ret = xa_insert(&partitions, partition->id, partition, GFP_KERNEL);
	if (ret) {
		goto out_delete;
	}
	atomic_long_inc(&root_counts.partitions);
	return partition;

out_delete:
	hvcall_delete_partition(partition->id);
out_free:
	withdraw_all(HV_PARTITION_ID_SELF);
	hvcall_pages_free(&partition->pages);
	kfree(partition);
	return ERR_PTR(ret);
}

static uint64_t creation_flags(uint64_t pt_flags)
{
	static const uint64_t flags[MSHV_PT_BIT_COUNT] = {
		[MSHV_PT_BIT_LAPIC] = HV_PARTITION_CREATION_FLAG_LAPIC_ENABLED,
		[MSHV_PT_BIT_X2APIC] = HV_PARTITION_CREATION_FLAG_X2APIC_CAPABLE,
		[MSHV_PT_BIT_GPA_SUPER_PAGES] = HV_PARTITION_CREATION_FLAG_GPA_SUPER_PAGES_ENABLED,
		[MSHV_PT_BIT_NESTED_VIRTUALIZATION] =
			HV_PARTITION_CREATION_FLAG_NESTED_VIRTUALIZATION_CAPABLE,
		[MSHV_PT_BIT_SMT_ENABLED_GUEST] = HV_PARTITION_CREATION_FLAG_SMT_ENABLED_GUEST,
	};
	uint64_t result = HV_PARTITION_CREATION_FLAG_EXO_PARTITION |
			  HV_PARTITION_CREATION_FLAG_INTERCEPT_MESSAGE_PAGE_ENABLED;
	uint32_t i;

	for (i = 0; i < MSHV_PT_BIT_COUNT; i++) {
		if (pt_flags & 1ull << i) {
			result |= flags[i];
		}
	}
	return result;
}

/* The flags say whether the argument is of the first or the second version. */
static int copy_arguments(struct mshv_create_partition_v2 *arguments, void __user *user)
{
	size_t size = sizeof(struct mshv_create_partition);

	memset(arguments, 0, sizeof(*arguments));
	if (copy_from_user(arguments, user, size)) {
		return -EFAULT;
	}
	if (arguments->pt_flags & ~(uint64_t)MSHV_PT_FLAGS_MASK ||
	    arguments->pt_isolation >= MSHV_PT_ISOLATION_COUNT) {
		return -EINVAL;
	}
	if (!(arguments->pt_flags & 1 << MSHV_PT_BIT_CPU_AND_XSAVE_FEATURES)) {
		return 0;
	}
	if (copy_from_user((char *)arguments + size, user + size, sizeof(*arguments) - size)) {
		return -EFAULT;
	}
	if (arguments->pt_num_cpu_fbanks != MSHV_NUM_CPU_FEATURES_BANKS ||
	    memchr_inv(arguments->pt_rsvd, 0, sizeof(arguments->pt_rsvd)) != NULL ||
	    memchr_inv(arguments->pt_rsvd1, 0, sizeof(arguments->pt_rsvd1)) != NULL) {
		return -EINVAL;
	}
	return 0;
}

long partition_create(void __user *argument)
{
	struct hv_input_create_partition creation = {.compatibility_version =
							     HV_COMPATIBILITY_21_H2};
	struct hv_partition_creation_properties *properties =
		&creation.partition_creation_properties;
	struct mshv_create_partition_v2 arguments;
	struct partition *partition;
	int ret;

	ret = copy_arguments(&arguments, argument);
	if (ret) {
		return ret;
	}
	creation.flags = creation_flags(arguments.pt_flags);
	memcpy(&properties->disabled_processor_features, arguments.pt_cpu_fbanks,
	       sizeof(arguments.pt_cpu_fbanks));
	properties->disabled_processor_xsave_features.as_uint64 = arguments.pt_disabled_xsave;

	partition = partition_new(&creation);
	if (IS_ERR(partition)) {
		return PTR_ERR(partition);
	}
	ret = anon_inode_getfd("mshv_partition", &partition_fops, partition, O_RDWR | O_CLOEXEC);
	if (ret < 0) {
		partition_put(partition);
	}
	return ret;
}
