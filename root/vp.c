/* A VP as a file descriptor: creation, ioctls, shared pages, end. */
#include <linux/anon_inodes.h>
#include <linux/errno.h>
#include <linux/file.h>
#include <linux/fs.h>
#include <linux/io.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "root.h"

static long vp_ioctl(struct file *file, unsigned int command, unsigned long argument)
{
	struct vp *vp = file->private_data;
	void __user *user = (void __user *)argument;
	long ret = -ENOTTY;

	if (mutex_lock_killable(&vp->lock)) {
		return -EINTR;
	}
	switch (command) {
	case MSHV_RUN_VP:
		ret = vp_run(vp) ?: vp_copy_message(vp, user);
		break;
	case MSHV_GET_VP_STATE:
		ret = vp_get_set_state(vp, user, false);
		break;
	case MSHV_SET_VP_STATE:
		ret = vp_get_set_state(vp, user, true);
		break;
	case MSHV_ROOT_HVCALL:
		ret = passthru_hvcall(vp->partition, &vp->pages, false, user);
		break;
	}
	mutex_unlock(&vp->lock);
	return ret;
}

/* The way of each exit: MSHV_RUN_VP of which the kernel asks no security module, and a filter of
 * system calls no argument. */
static int vp_fsync(struct file *file, loff_t from, loff_t to, int datasync)
{
	struct vp *vp = file->private_data;
	int ret;

	if (!root_extensions || !datasync) {
		return -EINVAL;
	}
	if (mutex_lock_killable(&vp->lock)) {
		return -EINTR;
	}
	ret = vp_run(vp);
	mutex_unlock(&vp->lock);
	return ret;
}

/*
 * The mapping holds the file, and the file the pages. Mapped as I/O memory, so that nobody can pin
 * the page or give it to a partition as memory.
 */
static int vp_mmap(struct file *file, struct vm_area_struct *vma)
{
	struct vp *vp = file->private_data;
	void *page;

	if (vma->vm_end - vma->vm_start != PAGE_SIZE) {
		return -EINVAL;
	}
	switch (vma->vm_pgoff) {
	case MSHV_VP_MMAP_OFFSET_REGISTERS:
		page = vp->registers;
		break;
	case MSHV_VP_MMAP_OFFSET_INTERCEPT_MESSAGE:
		page = vp->intercept;
		break;
	case MSHV_VP_MMAP_OFFSET_GHCB:
		return -ENODEV;
	default:
		return -EINVAL;
	}
	return remap_pfn_range(vma, vma->vm_start, virt_to_phys(page) >> PAGE_SHIFT, PAGE_SIZE,
			       vma->vm_page_prot);
}

/* The rest goes with the partition. */
static int vp_release(struct inode *inode, struct file *file)
{
	struct vp *vp = file->private_data;

	partition_put(vp->partition);
	return 0;
}

static const struct file_operations vp_fops = {
	.owner = THIS_MODULE,
	.release = vp_release,
	.unlocked_ioctl = vp_ioctl,
	.fsync = vp_fsync,
	.mmap = vp_mmap,
	.llseek = noop_llseek,
};

static void vp_free(struct vp *vp)
{
	free_page((unsigned long)vp->intercept);
	free_page((unsigned long)vp->registers);
	hvcall_pages_free(&vp->pages);
	kfree(vp->dispatch);
	kfree(vp);
}

static struct vp *vp_alloc(struct partition *partition, uint32_t index)
{
	struct vp *vp = kzalloc(sizeof(*vp), GFP_KERNEL_ACCOUNT);

	if (vp == NULL) {
		return NULL;
	}
	vp->partition = partition;
	vp->index = index;
	mutex_init(&vp->lock);
	init_waitqueue_head(&vp->wait);
	/* A power of two, so that it is aligned and crosses no page. */
	vp->dispatch = kzalloc(roundup_pow_of_two(sizeof(*vp->dispatch)), GFP_KERNEL_ACCOUNT);
	vp->intercept = (void *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	vp->registers = (void *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	if (vp->dispatch == NULL || vp->intercept == NULL || vp->registers == NULL ||
	    hvcall_pages_alloc(&vp->pages)) {
		vp_free(vp);
		return NULL;
	}
	vp->dispatch->input.partition_id = partition->id;
	vp->dispatch->input.vp_index = index;
	return vp;
}

static int map_pages(struct vp *vp)
{
	uint64_t id = vp->partition->id;
	int ret;

	ret = hvcall_map_state_page(&vp->pages, id, vp->index, HV_VP_STATE_PAGE_INTERCEPT_MESSAGE,
				    vp->intercept);
	if (ret) {
		return ret;
	}
	ret = hvcall_map_state_page(&vp->pages, id, vp->index, HV_VP_STATE_PAGE_REGISTERS,
				    vp->registers);
	if (ret) {
		hvcall_unmap_state_page(&vp->pages, id, vp->index,
					HV_VP_STATE_PAGE_INTERCEPT_MESSAGE);
	}
	return ret;
}

/* A page that cannot be unmapped is the hypervisor's for good, and must not be used again. */
static void unmap_page(struct vp *vp, uint32_t type, void **page)
{
	if (hvcall_unmap_state_page(&vp->pages, vp->partition->id, vp->index, type)) {
		pr_err("state page %u of VP %u of partition %llu is lost\n", type, vp->index,
		       vp->partition->id);
		*page = NULL;
	}
}

static void unmap_pages(struct vp *vp)
{
	unmap_page(vp, HV_VP_STATE_PAGE_REGISTERS, (void **)&vp->registers);
	unmap_page(vp, HV_VP_STATE_PAGE_INTERCEPT_MESSAGE, (void **)&vp->intercept);
}

void vp_destroy(struct vp *vp)
{
	unmap_pages(vp);
	hvcall_delete_vp(vp->partition->id, vp->index);
	vp->partition->vps[vp->index] = NULL;
	vp_free(vp);
}

static struct vp *vp_new(struct partition *partition, uint32_t index)
{
	struct vp *vp = vp_alloc(partition, index);
	int ret;

	if (vp == NULL) {
		return ERR_PTR(-ENOMEM);
	}
	ret = hvcall_create_vp(&vp->pages, partition->id, index);
	if (ret) {
		goto out_free;
	}
	ret = map_pages(vp);
	if (ret) {
		goto out_delete;
	}
	return vp;

out_delete:
	hvcall_delete_vp(partition->id, index);
out_free:
	vp_free(vp);
	return ERR_PTR(ret);
}

long vp_create(struct partition *partition, void __user *argument)
{
	struct mshv_create_vp arguments;
	struct vp *vp;
	int fd;

	if (copy_from_user(&arguments, argument, sizeof(arguments))) {
		return -EFAULT;
	}
	if (arguments.vp_index >= MAX_VPS) {
		return -EINVAL;
	}
	if (partition->vps[arguments.vp_index] != NULL) {
		return -EEXIST;
	}
	vp = vp_new(partition, arguments.vp_index);
	if (IS_ERR(vp)) {
		return PTR_ERR(vp);
	}
	partition_get(partition);
	smp_store_release(&partition->vps[vp->index], vp);
	fd = anon_inode_getfd("mshv_vp", &vp_fops, vp, O_RDWR | O_CLOEXEC);
	if (fd < 0) {
		partition->vps[vp->index] = NULL;
		synchronize_rcu();
		vp_destroy(vp);
		partition_put(partition);
	}
	return fd;
}
