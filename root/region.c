/*
 * Guest memory: user memory that is pinned and mapped at guest physical addresses
 * (MSHV_SET_GUEST_MEMORY; TLFS: HvCallMapGpaPages, HvCallUnmapGpaPages).
 *
 * Invariants: a page that the hypervisor has mapped is pinned, and it is unpinned after the
 * hypervisor has confirmed the unmapping. Pages count as locked memory (RLIMIT_MEMLOCK) of the
 * process that gave them, from before they are pinned until they are unpinned.
 *
 * A device's memory, which the process has by a driver's mmap(), is no page that could be pinned:
 * the guest has it as long as the process has it there. When the driver takes it back (a device
 * that is reset, or closed), it is unmapped from the guest before the driver goes on; the region
 * stays, with nothing in it, until it is removed.
 */
#include <linux/errno.h>
#include <linux/ioport.h>
#include <linux/mm.h>
#include <linux/mmu_notifier.h>
#include <linux/overflow.h>
#include <linux/sched/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uaccess.h>

#include "root.h"

#define MAP_BATCH   ((HV_HYP_PAGE_SIZE - sizeof(struct hv_input_map_gpa_pages)) / sizeof(uint64_t))
#define UNMAP_BATCH 512u
#define PIN_BATCH   512u
#define LARGE_PAGES (1u << (HV_HYP_LARGE_PAGE_SHIFT - HV_HYP_PAGE_SHIFT))
#define GFN_MAX     (1ull << 40)

struct region {
	struct list_head node;
	uint64_t gfn;
	uint64_t page_count;
	uint64_t user_address;
	struct mm_struct *mm; /* whose locked memory the pages are */
	uint32_t map_flags;
	uint64_t pinned;
	struct page **pages; /* NULL: a device's, see struct device_region */
	struct device_region *device;
};

/* [D] under its lock, which is taken inside mmap_lock. */
struct device_region {
	struct mmu_interval_notifier notifier;
	struct partition *partition;
	struct region *region;
	struct mutex lock;
	struct hvcall_pages calls; /* [D] */
	uint64_t pfn;              /* of the first page; the others follow */
	bool mapped;               /* [D] */
};

static uint64_t pfn_of(const struct region *region, uint64_t at)
{
	return region->device != NULL ? region->device->pfn + at : page_to_pfn(region->pages[at]);
}

static bool writable(const struct region *region)
{
	return region->map_flags & HV_MAP_GPA_WRITABLE;
}

static void unpin(struct region *region)
{
	uint64_t done, count;

	for (done = 0; done < region->pinned; done += count) {
		count = min_t(uint64_t, region->pinned - done, PIN_BATCH);
		unpin_user_pages_dirty_lock(region->pages + done, count, writable(region));
		cond_resched();
	}
	atomic_long_sub(region->pinned, &root_counts.pinned);
	region->pinned = 0;
	account_locked_vm(region->mm, region->page_count, false);
}

/*
 * To be written by us, even where the guest only reads: the page is then the process' own. One that
 * was never written would be the page of zeros, and stay it when the process writes.
 */
static int pin(struct region *region)
{
	int ret;

	while (region->pinned < region->page_count) {
		if (fatal_signal_pending(current)) {
			return -EINTR;
		}
		ret = pin_user_pages_fast(
			region->user_address + region->pinned * PAGE_SIZE,
			min_t(uint64_t, region->page_count - region->pinned, PIN_BATCH),
			FOLL_WRITE | FOLL_LONGTERM, region->pages + region->pinned);
		if (ret <= 0) {
			return ret ?: -EFAULT;
		}
		region->pinned += ret;
		atomic_long_add(ret, &root_counts.pinned);
		cond_resched();
	}
	return 0;
}

/*
 * Whether 2 MiB from page `at` on can be one large page: aligned on both sides, and in one piece.
 */
static bool is_large(const struct region *region, uint64_t at)
{
	uint64_t pfn = pfn_of(region, at);
	uint32_t i;

	if ((region->gfn + at) % LARGE_PAGES || pfn % LARGE_PAGES ||
	    region->page_count - at < LARGE_PAGES) {
		return false;
	}
	for (i = 1; i < LARGE_PAGES; i++) {
		if (pfn_of(region, at + i) != pfn + i) {
			return false;
		}
	}
	return true;
}

/* Fills the list with pages of one size, from page `at` on; returns how many entries. */
static uint32_t fill_list(const struct region *region, uint64_t at, bool large, uint64_t *list)
{
	uint32_t step = large ? LARGE_PAGES : 1, count;

	for (count = 0; count < MAP_BATCH && at < region->page_count; count++) {
		if (count && (large || !((region->gfn + at) % LARGE_PAGES)) &&
		    is_large(region, at) != large) {
			break;
		}
		list[count] = pfn_of(region, at);
		at += step;
	}
	return count;
}

static int map_batch(struct partition *partition, const struct region *region, uint64_t *at)
{
	struct hv_input_map_gpa_pages *input = partition->pages.input;
	bool large = is_large(region, *at);
	uint32_t count, done = 0, before, tries = 0;
	hv_status_t status;
	int ret;

	*input = (struct hv_input_map_gpa_pages){
		.target_partition_id = partition->id,
		.target_gpa_base = region->gfn + *at,
		.map_flags = region->map_flags | (large ? HV_MAP_GPA_LARGE_PAGE : 0),
	};
	count = fill_list(region, *at, large, input->source_gpa_page_list);
	do {
		before = done;
		status = hvcall_rep(HVCALL_MAP_GPA_PAGES, count, &done, input, NULL);
		tries = done > before ? 0 : tries;
		ret = deposit_retry(partition->id, status, &tries);
	} while (ret > 0);
	*at += (uint64_t)done * (large ? LARGE_PAGES : 1);
	return ret;
}

static int unmap_batch(const struct partition *partition, struct hv_input_unmap_gpa_pages *input,
		       uint64_t gfn, uint64_t left, uint64_t *unmapped)
{
	bool large = gfn % LARGE_PAGES == 0 && left >= LARGE_PAGES;
	uint32_t step = large ? LARGE_PAGES : 1, count, done = 0, tries = 0;
	hv_status_t status;
	int ret;

	if (large) {
		count = min_t(uint64_t, left / LARGE_PAGES, UNMAP_BATCH);
	} else {
		count = min_t(uint64_t, left, LARGE_PAGES - gfn % LARGE_PAGES);
	}
	*input = (struct hv_input_unmap_gpa_pages){
		.target_partition_id = partition->id,
		.target_gpa_base = gfn,
		.unmap_flags = large ? HV_UNMAP_GPA_LARGE_PAGE : 0,
	};
	do {
		status = hvcall_rep(HVCALL_UNMAP_GPA_PAGES, count, &done, input, NULL);
		ret = deposit_retry(partition->id, status, &tries);
	} while (ret > 0);
	*unmapped += (uint64_t)done * step;
	return ret;
}

static int unmap(const struct partition *partition, const struct hvcall_pages *calls,
		 const struct region *region, uint64_t count)
{
	uint64_t done = 0;
	int ret = 0;

	while (!ret && done < count) {
		ret = unmap_batch(partition, calls->input, region->gfn + done, count - done, &done);
		cond_resched();
	}
	return ret;
}

/* All or nothing; -EUCLEAN when even that fails, and the pages must stay pinned. */
static int map(struct partition *partition, const struct region *region)
{
	uint64_t done = 0;
	int ret = 0;

	while (!ret && done < region->page_count) {
		ret = map_batch(partition, region, &done);
		cond_resched();
	}
	if (ret && unmap(partition, &partition->pages, region, done)) {
		pr_err("a part of partition %llu's memory can be neither mapped nor unmapped\n",
		       partition->id);
		return -EUCLEAN;
	}
	return ret;
}

/* ---- A device's memory ---- */

/* Before the driver goes on; the guest's accesses then are its VMM's to answer. */
static bool device_invalidate(struct mmu_interval_notifier *notifier,
			      const struct mmu_notifier_range *range, unsigned long sequence)
{
	struct device_region *device = container_of(notifier, struct device_region, notifier);

	if (!mmu_notifier_range_blockable(range)) {
		return false;
	}
	mutex_lock(&device->lock);
	mmu_interval_set_seq(notifier, sequence);
	if (device->mapped &&
	    unmap(device->partition, &device->calls, device->region, device->region->page_count)) {
		pr_err("a device's memory stays with partition %llu\n", device->partition->id);
	} else {
		device->mapped = false;
	}
	mutex_unlock(&device->lock);
	return true;
}

static const struct mmu_interval_notifier_ops device_ops = {.invalidate = device_invalidate};

/* Is it such memory, all of it? */
static bool is_device(struct mm_struct *mm, unsigned long address, uint64_t size)
{
	const struct vm_area_struct *vma;
	bool is;

	mmap_read_lock(mm);
	vma = vma_lookup(mm, address);
	is = vma != NULL && vma->vm_flags & VM_PFNMAP && vma->vm_end - address >= size;
	mmap_read_unlock(mm);
	return is;
}

/* From page *at on: 0 to the end; -EAGAIN: that one is not there. Under mmap_lock. */
static int look_up(struct device_region *device, uint64_t *at)
{
	const struct region *region = device->region;
	uint64_t pfn;
	int ret;

	for (; *at < region->page_count; ++*at) {
		ret = compat_device_pfn(region->mm, region->user_address + *at * PAGE_SIZE, &pfn);
		if (ret) {
			return ret;
		}
		if (!*at) {
			device->pfn = pfn;
		}
		/* RAM would have to be pinned, and a BAR is in one piece. */
		if (pfn != device->pfn + *at || page_is_ram(pfn)) {
			return -EINVAL;
		}
	}
	return 0;
}

static int find_pages(struct device_region *device)
{
	struct mm_struct *mm = device->region->mm;
	uint64_t at = 0, missing = U64_MAX;
	bool again;
	int ret;

	do {
		mmap_read_lock(mm);
		ret = look_up(device, &at);
		again = ret == -EAGAIN && at != missing;
		if (again) {
			missing = at;
			ret = fixup_user_fault(mm, device->region->user_address + at * PAGE_SIZE,
					       FAULT_FLAG_WRITE, &again);
			again = !ret;
		}
		mmap_read_unlock(mm);
		cond_resched();
	} while (again);
	return ret == -EAGAIN ? -EFAULT : ret;
}

static int unmap_device(struct device_region *device)
{
	int ret = 0;

	mutex_lock(&device->lock);
	if (device->mapped) {
		ret = unmap(device->partition, &device->calls, device->region,
			    device->region->page_count);
		device->mapped = ret;
	}
	mutex_unlock(&device->lock);
	return ret;
}

/* What is taken back while it is looked up is looked up again. */
static int map_device(struct partition *partition, struct device_region *device)
{
	unsigned long sequence;
	bool again;
	int ret;

	do {
		if (fatal_signal_pending(current)) {
			return -EINTR;
		}
		sequence = mmu_interval_read_begin(&device->notifier);
		ret = find_pages(device);
		if (ret) {
			return ret;
		}
		mutex_lock(&device->lock);
		again = mmu_interval_read_retry(&device->notifier, sequence);
		if (!again) {
			ret = map(partition, device->region);
			device->mapped = !ret || ret == -EUCLEAN;
		}
		mutex_unlock(&device->lock);
	} while (again);
	return ret;
}

static void device_free(struct device_region *device)
{
	mmu_interval_notifier_remove(&device->notifier);
	hvcall_pages_free(&device->calls);
	kfree(device);
}

static int add_device(struct partition *partition, struct region *region)
{
	struct device_region *device = kzalloc(sizeof(*device), GFP_KERNEL_ACCOUNT);
	int ret;

	if (device == NULL) {
		return -ENOMEM;
	}
	mutex_init(&device->lock);
	device->partition = partition;
	device->region = region;
	ret = hvcall_pages_alloc(&device->calls);
	if (ret) {
		goto out_free;
	}
	ret = mmu_interval_notifier_insert(&device->notifier, region->mm, region->user_address,
					   region->page_count << PAGE_SHIFT, &device_ops);
	if (ret) {
		goto out_free_calls;
	}
	region->device = device;
	region->map_flags |= HV_MAP_GPA_NOT_CACHED;
	region->map_flags &= ~HV_MAP_GPA_EXECUTABLE;
	ret = map_device(partition, device);
	if (ret && ret != -EUCLEAN) {
		region->device = NULL;
		device_free(device);
	}
	return ret;

out_free_calls:
	hvcall_pages_free(&device->calls);
out_free:
	kfree(device);
	return ret;
}

/* ---- Regions ---- */

static void region_free(struct region *region)
{
	if (region->device != NULL) {
		device_free(region->device);
	}
	mmdrop(region->mm);
	kvfree(region->pages);
	kfree(region);
}

static bool overlaps(const struct partition *partition, uint64_t gfn, uint64_t page_count)
{
	const struct region *region;

	list_for_each_entry(region, &partition->regions, node)
	{
		if (gfn < region->gfn + region->page_count && region->gfn < gfn + page_count) {
			return true;
		}
	}
	return false;
}

static struct region *region_alloc(const struct mshv_user_mem_region *arguments)
{
	struct region *region = kzalloc(sizeof(*region), GFP_KERNEL_ACCOUNT);

	if (region == NULL) {
		return NULL;
	}
	region->gfn = arguments->guest_pfn;
	region->page_count = arguments->size >> PAGE_SHIFT;
	region->user_address = arguments->userspace_addr;
	region->map_flags = HV_MAP_GPA_READABLE | HV_MAP_GPA_ADJUSTABLE;
	if (arguments->flags & 1 << MSHV_SET_MEM_BIT_WRITABLE) {
		region->map_flags |= HV_MAP_GPA_WRITABLE;
	}
	if (arguments->flags & 1 << MSHV_SET_MEM_BIT_EXECUTABLE) {
		region->map_flags |= HV_MAP_GPA_EXECUTABLE;
	}
	region->mm = current->mm;
	mmgrab(region->mm);
	return region;
}

static int add_user(struct partition *partition, struct region *region)
{
	int ret;

	if (region->page_count <= totalram_pages()) {
		region->pages = kvcalloc(region->page_count, sizeof(*region->pages),
					 GFP_KERNEL_ACCOUNT | __GFP_NOWARN);
	}
	if (region->pages == NULL) {
		return -ENOMEM;
	}
	ret = account_locked_vm(region->mm, region->page_count, true);
	if (ret) {
		return ret;
	}
	ret = pin(region);
	ret = ret ?: map(partition, region);
	if (ret && ret != -EUCLEAN) {
		unpin(region);
	}
	return ret;
}

static int add(struct partition *partition, const struct mshv_user_mem_region *arguments)
{
	uint64_t page_count = arguments->size >> PAGE_SHIFT;
	struct region *region;
	int ret;

	if (arguments->guest_pfn >= GFN_MAX || page_count > GFN_MAX - arguments->guest_pfn ||
	    !access_ok(u64_to_user_ptr(arguments->userspace_addr), arguments->size)) {
		return -EINVAL;
	}
	if (overlaps(partition, arguments->guest_pfn, page_count)) {
		return -EEXIST;
	}
	region = region_alloc(arguments);
	if (region == NULL) {
		return -ENOMEM;
	}
	ret = is_device(region->mm, region->user_address, arguments->size)
		      ? add_device(partition, region)
		      : add_user(partition, region);
	if (ret && ret != -EUCLEAN) {
		region_free(region);
		return ret;
	}
	list_add(&region->node, &partition->regions);
	return ret;
}

static int remove(struct partition *partition, const struct mshv_user_mem_region *arguments)
{
	struct region *region;
	int ret;

	list_for_each_entry(region, &partition->regions, node)
	{
		if (arguments->guest_pfn - region->gfn < region->page_count) {
			goto found;
		}
	}
	return -EINVAL;

found:
	if (region->gfn != arguments->guest_pfn ||
	    region->page_count != arguments->size >> PAGE_SHIFT ||
	    region->user_address != arguments->userspace_addr) {
		return -EINVAL;
	}
	ret = region->device != NULL
		      ? unmap_device(region->device)
		      : unmap(partition, &partition->pages, region, region->page_count);
	if (ret) {
		return ret;
	}
	list_del(&region->node);
	if (region->pages != NULL) {
		unpin(region);
	}
	region_free(region);
	return 0;
}

long region_set(struct partition *partition, void __user *argument)
{
	struct mshv_user_mem_region arguments;

	if (copy_from_user(&arguments, argument, sizeof(arguments))) {
		return -EFAULT;
	}
	if (!arguments.size || !PAGE_ALIGNED(arguments.size) ||
	    !PAGE_ALIGNED(arguments.userspace_addr) || arguments.flags & ~MSHV_SET_MEM_FLAGS_MASK ||
	    memchr_inv(arguments.rsvd, 0, sizeof(arguments.rsvd)) != NULL) {
		return -EINVAL;
	}
	if (!partition->initialized) {
		return -EIO;
	}
	if (arguments.flags & 1 << MSHV_SET_MEM_BIT_UNMAP) {
		return remove(partition, &arguments);
	}
	return add(partition, &arguments);
}

/* At the partition's end. What is not known to be unmapped stays pinned for good. */
void regions_release(struct partition *partition, bool unmapped)
{
	struct region *region, *next;

	list_for_each_entry_safe(region, next, &partition->regions, node)
	{
		list_del(&region->node);
		if (unmapped && region->device != NULL) {
			mutex_lock(&region->device->lock);
			region->device->mapped = false;
			mutex_unlock(&region->device->lock);
		}
		if (unmapped && region->pages != NULL) {
			unpin(region);
		}
		region_free(region);
	}
}
