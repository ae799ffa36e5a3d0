/* Domains of devices (TLFS's headers: HvCallCreateDeviceDomain and so on): the hypercalls. */
#include <linux/errno.h>
#include <linux/gfp.h>
#include <linux/idr.h>
#include <linux/irqflags.h>
#include <linux/kernel.h>
#include <linux/sizes.h>
#include <linux/string.h>

#include "device_domain.h"
#include "hv/device.h"

#define MAX_DOMAINS 254 /* as many as our hypervisor has */
#define MAP_BATCH   256
/* A call counts to 4095, and may not end within a large page. */
#define UNMAP_BATCH 3584

static DEFINE_IDA(ids);

static struct hv_input_device_domain domain_of(uint32_t id)
{
	return (struct hv_input_device_domain){
		.partition_id = HV_PARTITION_ID_SELF,
		.domain_id.type = HV_DEVICE_DOMAIN_TYPE_S2,
		.domain_id.id = id,
	};
}

int device_domain_probe(uint8_t *width, uint64_t *page_sizes)
{
	struct hv_input_get_iommu_capabilities *input;
	const struct hv_output_get_iommu_capabilities *output;
	struct hvcall_pages pages;
	hv_status_t status;
	int ret;

	ret = hvcall_pages_alloc(&pages);
	if (ret) {
		return ret;
	}
	input = pages.input;
	output = pages.output;
	input->partition_id = HV_PARTITION_ID_SELF;
	status = hvcall_simple(HVCALL_GET_IOMMU_CAPABILITIES, input, pages.output);
	if (status != HV_STATUS_SUCCESS || !(output->iommu_cap & HV_IOMMU_CAP_S2)) {
		ret = -ENODEV;
	}
	*width = output->max_iova_width;
	*page_sizes = output->pgsize_bitmap;
	hvcall_pages_free(&pages);
	return ret;
}

static hv_status_t call(uint32_t code, const void *input, size_t size)
{
	hv_status_t status;
	unsigned long flags;
	void *page;

	local_irq_save(flags);
	page = synic_hvcall_page();
	memcpy(page, input, size);
	status = hvcall_simple(code, page, NULL);
	local_irq_restore(flags);
	return status;
}

static hv_status_t create(uint32_t id)
{
	const struct hv_input_create_device_domain input = {.device_domain = domain_of(id)};

	return call(HVCALL_CREATE_DEVICE_DOMAIN, &input, sizeof(input));
}

static hv_status_t delete(uint32_t id)
{
	const struct hv_input_delete_device_domain input = {.device_domain = domain_of(id)};

	return call(HVCALL_DELETE_DEVICE_DOMAIN, &input, sizeof(input));
}

int device_domain_create(uint32_t *id)
{
	uint32_t tries = 0;
	int ret;

	ret = ida_alloc_range(&ids, 1, MAX_DOMAINS, GFP_KERNEL);
	if (ret < 0) {
		return ret;
	}
	*id = ret;
	do {
		ret = deposit_retry(HV_PARTITION_ID_SELF, create(*id), &tries);
	} while (ret > 0);
	if (ret) {
		ida_free(&ids, *id);
		withdraw_all(HV_PARTITION_ID_SELF);
	}
	return ret;
}

void device_domain_delete(uint32_t id)
{
	hv_status_t status = delete (id);

	if (status != HV_STATUS_SUCCESS) {
		pr_err("a domain of devices cannot be deleted: status %#x\n", status);
		return; /* its number stays in use, too */
	}
	ida_free(&ids, id);
	withdraw_all(HV_PARTITION_ID_SELF);
}

void device_domains_sweep(void)
{
	uint32_t id, swept = 0;

	for (id = 1; id <= MAX_DOMAINS; id++) {
		swept += delete (id) == HV_STATUS_SUCCESS;
	}
	if (swept) {
		pr_info("%u domains of devices were left by the kernel before\n", swept);
	}
}

int device_domain_attach(uint16_t device, uint32_t id)
{
	const union hv_device_id name = {.pci.rid = device, .pci.device_type = HV_DEVICE_TYPE_PCI};
	const struct hv_input_attach_device_domain input = {.device_domain = domain_of(id),
							    .device_id = name.as_uint64};
	hv_status_t status;
	uint32_t tries = 0;
	int ret;

	do {
		status = call(HVCALL_ATTACH_DEVICE_DOMAIN, &input, sizeof(input));
		ret = deposit_retry(HV_PARTITION_ID_SELF, status, &tries);
	} while (ret > 0);
	return ret;
}

void device_domain_detach(uint16_t device)
{
	union hv_device_id name = {.pci.rid = device, .pci.device_type = HV_DEVICE_TYPE_PCI};
	hv_status_t status =
		hvcall_fast(HVCALL_DETACH_DEVICE_DOMAIN, HV_PARTITION_ID_SELF, name.as_uint64);

	if (status != HV_STATUS_SUCCESS) {
		pr_err("device %02x:%02x.%x does not leave its domain: status %#x\n", device >> 8,
		       device >> 3 & 0x1f, device & 7, status);
	}
}

/* *done: how many of them are mapped. */
static hv_status_t map_batch(uint32_t id, uint64_t address, uint64_t page, bool large,
			     uint32_t count, bool writable, uint32_t *done)
{
	struct hv_input_map_device_gpa_pages *input;
	hv_status_t status;
	unsigned long flags;
	uint32_t i;

	local_irq_save(flags);
	input = synic_hvcall_page();
	*input = (struct hv_input_map_device_gpa_pages){
		.device_domain = domain_of(id),
		.map_flags = HV_MAP_GPA_READABLE | (writable ? HV_MAP_GPA_WRITABLE : 0) |
			     (large ? HV_MAP_GPA_LARGE_PAGE : 0),
		.target_device_va_base = address,
	};
	for (i = 0; i < count; i++) {
		input->gpa_page_list[i] = page + i * (large ? SZ_2M / SZ_4K : 1);
	}
	*done = 0;
	status = hvcall_rep(HVCALL_MAP_DEVICE_GPA_PAGES, count, done, input, NULL);
	local_irq_restore(flags);
	return status;
}

int device_domain_map(uint32_t id, uint64_t address, uint64_t physical, bool large, uint32_t count,
		      bool writable, gfp_t gfp, size_t *mapped)
{
	const size_t size = large ? SZ_2M : SZ_4K;
	const size_t wanted = count * size;
	uint32_t tries = 0, done;
	hv_status_t status;
	int ret = 0;

	*mapped = 0;
	while (ret >= 0 && *mapped < wanted) {
		status = map_batch(id, address + *mapped, (physical + *mapped) / SZ_4K, large,
				   min_t(size_t, (wanted - *mapped) / size, MAP_BATCH), writable,
				   &done);
		*mapped += done * size;
		if (status != HV_STATUS_SUCCESS && !gfpflags_allow_blocking(gfp)) {
			ret = status_to_errno(status);
		} else {
			ret = deposit_retry(HV_PARTITION_ID_SELF, status, &tries);
		}
	}
	return ret < 0 ? ret : 0;
}

size_t device_domain_unmap(uint32_t id, uint64_t address, uint32_t count)
{
	struct hv_input_unmap_device_gpa_pages *input;
	uint32_t all = 0, done, batch;
	hv_status_t status;
	unsigned long flags;

	do {
		batch = min_t(uint32_t, count - all, UNMAP_BATCH);
		local_irq_save(flags);
		input = synic_hvcall_page();
		*input = (struct hv_input_unmap_device_gpa_pages){
			.device_domain = domain_of(id),
			.target_device_va_base = address + all * (uint64_t)SZ_4K,
		};
		done = 0;
		status = hvcall_rep(HVCALL_UNMAP_DEVICE_GPA_PAGES, batch, &done, input, NULL);
		local_irq_restore(flags);
		all += done;
	} while (status == HV_STATUS_SUCCESS && all < count);
	return all * (size_t)SZ_4K;
}

/* ---- interrupts ---- */

#define MESSAGES 0xfee00000u

static uint64_t id_of(uint16_t device)
{
	return (union hv_device_id){.pci.rid = device, .pci.device_type = HV_DEVICE_TYPE_PCI}
		.as_uint64;
}

static struct hv_interrupt_entry message_of(uint32_t number)
{
	return (struct hv_interrupt_entry){
		.source = HV_INTERRUPT_SOURCE_MSI,
		.msi_entry.address.as_uint32 = MESSAGES,
		.msi_entry.data.as_uint32 = number,
	};
}

/* A set of one; the bytes of the variable header, which begins with the mask of banks. */
static uint32_t set_target(struct hv_device_interrupt_target *target, uint32_t vector,
			   uint32_t vp_index)
{
	target->vector = vector;
	target->flags = HV_DEVICE_INTERRUPT_TARGET_PROCESSOR_SET;
	target->vp_set.format = HV_GENERIC_SET_SPARSE_4K;
	target->vp_set.valid_bank_mask = 1ull << vp_index / HV_VCPUS_PER_SPARSE_BANK;
	target->vp_set.bank_contents[0] = 1ull << vp_index % HV_VCPUS_PER_SPARSE_BANK;
	return 16;
}

static hv_status_t unmap(uint16_t device, uint32_t number)
{
	const struct hv_input_unmap_device_interrupt input = {
		.partition_id = HV_PARTITION_ID_SELF,
		.device_id = id_of(device),
		.interrupt_entry = message_of(number),
	};

	return call(HVCALL_UNMAP_DEVICE_INTERRUPT, &input, sizeof(input));
}

/* No device has an interrupt of this number. */
bool device_interrupts_probe(void)
{
	hv_status_t status = unmap(0, U32_MAX);

	return status == HV_STATUS_NOT_FOUND || status == HV_STATUS_INVALID_PARAMETER;
}

int device_interrupt_map(uint16_t device, uint32_t vp_index, uint32_t vector, uint32_t *number)
{
	struct hv_output_map_device_interrupt *output;
	struct hv_input_map_device_interrupt *input;
	hv_status_t status;
	unsigned long flags;
	uint32_t bytes;

	local_irq_save(flags);
	input = synic_hvcall_page();
	*input = (struct hv_input_map_device_interrupt){
		.partition_id = HV_PARTITION_ID_SELF,
		.device_id = id_of(device),
		.logical_interrupt_entry.source = HV_INTERRUPT_SOURCE_MSI,
		.interrupt_descriptor =
			{
				.interrupt_type = HV_X64_INTERRUPT_TYPE_FIXED,
				.trigger_mode = HV_INTERRUPT_TRIGGER_MODE_EDGE,
				.vector_count = 1,
			},
	};
	bytes = set_target(&input->interrupt_descriptor.target, vector, vp_index);
	output = (void *)input + SZ_2K;
	status = hvcall_variable(HVCALL_MAP_DEVICE_INTERRUPT, bytes, input, output);
	*number = output->interrupt_entry.msi_entry.data.as_uint32;
	local_irq_restore(flags);
	return status_to_errno(status);
}

int device_interrupt_retarget(uint16_t device, uint32_t number, uint32_t vp_index, uint32_t vector)
{
	struct hv_retarget_device_interrupt *input;
	hv_status_t status;
	unsigned long flags;
	uint32_t bytes;

	local_irq_save(flags);
	input = synic_hvcall_page();
	*input = (struct hv_retarget_device_interrupt){
		.partition_id = HV_PARTITION_ID_SELF,
		.device_id = id_of(device),
		.int_entry = message_of(number),
	};
	bytes = set_target(&input->int_target, vector, vp_index);
	status = hvcall_variable(HVCALL_RETARGET_INTERRUPT, bytes, input, NULL);
	local_irq_restore(flags);
	return status_to_errno(status);
}

void device_interrupt_unmap(uint16_t device, uint32_t number)
{
	hv_status_t status = unmap(device, number);

	if (status != HV_STATUS_SUCCESS) {
		pr_err("device %02x:%02x.%x keeps its interrupt %u: status %#x\n", device >> 8,
		       device >> 3 & 0x1f, device & 7, number, status);
	}
}
