/*
 * Memory that a partition needs inside the hypervisor (TLFS: HvCallDepositMemory,
 * HvCallWithdrawMemory).
 *
 * A deposited page belongs to the hypervisor: the root must neither touch nor free it before it
 * comes back. Until then it is charged to the memory cgroup of the process that made the call.
 */
#include <linux/errno.h>
#include <linux/gfp.h>
#include <linux/log2.h>
#include <linux/mm.h>
#include <linux/sched/signal.h>
#include <linux/string.h>

#include "root.h"

#define LIST_MAX         ((HV_HYP_PAGE_SIZE - sizeof(struct hv_deposit_memory)) / sizeof(uint64_t))
#define WITHDRAW_BATCH   (HV_HYP_PAGE_SIZE / sizeof(uint64_t))
#define SHORTAGE_PAGES   32
#define SHORTAGE_TRIES   1024
#define CONTIGUOUS_ORDER 3

static_assert(1 << CONTIGUOUS_ORDER == HV_MAX_CONTIGUOUS_ALLOCATION_PAGES);

/*
 * In pieces as large as there are: each 2 MiB of the root's memory that lacks a page costs the
 * hypervisor a page table. Pieces of less than 1 << least pages will not do.
 */
static uint32_t allocate(uint64_t *list, uint32_t count, uint32_t least)
{
	uint32_t filled = 0, order = ilog2(count), i;
	struct page *page;

	while (filled < count) {
		order = min_t(uint32_t, order, ilog2(count - filled));
		page = alloc_pages(GFP_KERNEL_ACCOUNT |
					   (order > least ? __GFP_NORETRY | __GFP_NOWARN : 0),
				   order);
		if (page != NULL) {
			split_page(page, order);
			for (i = 0; i < 1u << order; i++) {
				list[filled++] = page_to_pfn(page) + i;
			}
		} else if (order-- == least) {
			break;
		}
	}
	return filled;
}

static void release(const uint64_t *list, uint32_t count)
{
	uint32_t i;

	for (i = 0; i < count; i++) {
		__free_page(pfn_to_page(list[i]));
	}
}

static int deposit_order(uint64_t partition_id, uint32_t count, uint32_t least);

/*
 * The hypervisor may lack room for the root's own page tables while it takes the pages out of them.
 */
static int deposit_list(struct hv_deposit_memory *input, uint32_t count, uint32_t *done)
{
	hv_status_t status;
	int ret;

	do {
		status = hvcall_rep(HVCALL_DEPOSIT_MEMORY, count, done, input, NULL);
		ret = status_to_errno(status);
		if (status == HV_STATUS_INSUFFICIENT_ROOT_MEMORY &&
		    input->partition_id != HV_PARTITION_ID_SELF) {
			ret = deposit_order(HV_PARTITION_ID_SELF, SHORTAGE_PAGES, 0) ?: 1;
		}
	} while (ret > 0);
	return ret;
}

static int deposit_order(uint64_t partition_id, uint32_t count, uint32_t least)
{
	struct hv_deposit_memory *input;
	uint32_t filled, done = 0;
	int ret = -ENOMEM;

	if (count > LIST_MAX) {
		return -E2BIG;
	}
	input = (void *)__get_free_page(GFP_KERNEL);
	if (input == NULL) {
		return -ENOMEM;
	}
	input->partition_id = partition_id;
	filled = allocate(input->gpa_page_list, count, least);
	if (filled == count) {
		ret = deposit_list(input, count, &done);
	}
	atomic_long_add(done, &root_counts.deposited);
	release(input->gpa_page_list + done, filled - done);
	free_page((unsigned long)input);
	return ret;
}

int deposit(uint64_t partition_id, uint32_t count)
{
	return deposit_order(partition_id, count, 0);
}

int deposit_retry(uint64_t partition_id, hv_status_t status, uint32_t *tries)
{
	int ret;

	if (status == HV_STATUS_INSUFFICIENT_MEMORY) {
		ret = deposit_order(partition_id, SHORTAGE_PAGES, 0);
	} else if (status == HV_STATUS_INSUFFICIENT_ROOT_MEMORY) {
		ret = deposit_order(HV_PARTITION_ID_SELF, SHORTAGE_PAGES, 0);
	} else if (status == HV_STATUS_INSUFFICIENT_CONTIGUOUS_MEMORY) {
		ret = deposit_order(partition_id, HV_MAX_CONTIGUOUS_ALLOCATION_PAGES,
				    CONTIGUOUS_ORDER);
	} else {
		return status_to_errno(status);
	}
	if (ret) {
		return ret;
	}
	if (++*tries > SHORTAGE_TRIES) {
		return -ENOMEM;
	}
	return fatal_signal_pending(current) ? -EINTR : 1;
}

void withdraw_all(uint64_t partition_id)
{
	struct hv_input_withdraw_memory *input = (void *)get_zeroed_page(GFP_KERNEL | __GFP_NOFAIL);
	uint64_t *list = (void *)get_zeroed_page(GFP_KERNEL | __GFP_NOFAIL);
	hv_status_t status;
	uint32_t done;

	do {
		input->partition_id = partition_id;
		done = 0;
		status = hvcall_rep(HVCALL_WITHDRAW_MEMORY, WITHDRAW_BATCH, &done, input, list);
		release(list, done);
		atomic_long_sub(done, &root_counts.deposited);
	} while (status == HV_STATUS_SUCCESS && done);
	if (status != HV_STATUS_SUCCESS && status != HV_STATUS_NO_RESOURCES) {
		pr_err("memory of partition %llu stays with the hypervisor: status %#x\n",
		       partition_id, status);
	}
	free_page((unsigned long)list);
	free_page((unsigned long)input);
}
