/*
 * Calls on domains of devices: created, filled, given devices, deleted. They are the root's: a
 * partition names itself and nobody else.
 *
 * Maps and unmaps are rep calls like those on partitions' memory. Numbers are checked here; which
 * page a device may reach is the home's to say.
 */
#include "include/hv/device.h"
#include "include/hv/interrupt.h"
#include "tlfs/hypercall.h"

#define PERMITTED_FLAGS (HV_MAP_GPA_READABLE | HV_MAP_GPA_WRITABLE | HV_MAP_GPA_LARGE_PAGE)

static bool is_self(const struct hypercall *call, uint64_t id)
{
	return id == HV_PARTITION_ID_SELF || id == call->vp->partition->id;
}

/* SUCCESS: the input names a domain that could be the caller's. */
static hv_status_t check_domain(const struct hypercall *call,
				const struct hv_input_device_domain *domain)
{
	static const uint8_t zero[sizeof(domain->padding)];

	if (!is_self(call, domain->partition_id)) {
		return HV_STATUS_INVALID_PARTITION_ID;
	}
	if (!hc_vtl_valid(domain->owner_vtl) || memcmp(domain->padding, zero, sizeof(zero)) ||
	    domain->domain_id.reserved || domain->domain_id.type != HV_DEVICE_DOMAIN_TYPE_S2 ||
	    domain->domain_id.id == HV_DEVICE_DOMAIN_ID_S2_DEFAULT ||
	    domain->domain_id.id == HV_DEVICE_DOMAIN_ID_S2_NULL) {
		return HV_STATUS_INVALID_PARAMETER;
	}
	return HV_STATUS_SUCCESS;
}

bool hc_device_valid(uint64_t id)
{
	union hv_device_id device = {.as_uint64 = id};

	return device.pci.device_type == HV_DEVICE_TYPE_PCI &&
	       id == ((uint64_t)HV_DEVICE_TYPE_PCI << 62 | device.pci.rid);
}

hv_status_t hc_get_iommu_capabilities(struct hypercall *call)
{
	const struct hv_input_get_iommu_capabilities *input = call->input;
	struct hv_output_get_iommu_capabilities *output = call->output;

	if (!is_self(call, input->partition_id)) {
		return HV_STATUS_INVALID_PARTITION_ID;
	}
	if (input->reserved) {
		return HV_STATUS_INVALID_PARAMETER;
	}
	output->size = sizeof(*output);
	output->max_iova_width = plat_device_width();
	if (output->max_iova_width) {
		output->iommu_cap = HV_IOMMU_CAP_PRESENT | HV_IOMMU_CAP_S2;
		output->pgsize_bitmap = PAGE_SIZE | LARGE_PAGE_PAGES * PAGE_SIZE;
	}
	return HV_STATUS_SUCCESS;
}

hv_status_t hc_create_device_domain(struct hypercall *call)
{
	const struct hv_input_create_device_domain *input = call->input;
	hv_status_t status = check_domain(call, call->input); /* it begins with the domain */

	if (status == HV_STATUS_SUCCESS && input->create_device_domain_flags.reserved) {
		status = HV_STATUS_INVALID_PARAMETER;
	}
	return status == HV_STATUS_SUCCESS
		       ? plat_device_domain_create(input->device_domain.domain_id.id)
		       : status;
}

hv_status_t hc_delete_device_domain(struct hypercall *call)
{
	const struct hv_input_delete_device_domain *input = call->input;
	hv_status_t status = check_domain(call, &input->device_domain);

	return status == HV_STATUS_SUCCESS
		       ? plat_device_domain_delete(input->device_domain.domain_id.id, &call->again)
		       : status;
}

hv_status_t hc_attach_device_domain(struct hypercall *call)
{
	const struct hv_input_attach_device_domain *input = call->input;
	hv_status_t status = check_domain(call, &input->device_domain);

	if (status != HV_STATUS_SUCCESS) {
		return status;
	}
	if (!hc_device_valid(input->device_id)) {
		return HV_STATUS_INVALID_DEVICE_ID;
	}
	return plat_device_attach((uint16_t)input->device_id, input->device_domain.domain_id.id);
}

hv_status_t hc_detach_device_domain(struct hypercall *call)
{
	const struct hv_input_detach_device_domain *input = call->input;

	if (!is_self(call, input->partition_id)) {
		return HV_STATUS_INVALID_PARTITION_ID;
	}
	if (!hc_device_valid(input->device_id)) {
		return HV_STATUS_INVALID_DEVICE_ID;
	}
	return plat_device_attach((uint16_t)input->device_id, HV_DEVICE_DOMAIN_ID_S2_DEFAULT);
}

/* [page, page + pages) of what a device can address. */
static bool range_valid(uint64_t page, uint64_t pages)
{
	uint8_t width = plat_device_width();
	uint64_t end = width ? 1ull << (width - PAGE_SHIFT) : 0;

	return page < end && end - page >= pages;
}

hv_status_t hc_map_device_gpa_pages(struct hypercall *call)
{
	const struct hv_input_map_device_gpa_pages *input = call->input;
	const bool large = input->map_flags & HV_MAP_GPA_LARGE_PAGE;
	const uint64_t pages = large ? LARGE_PAGE_PAGES : 1;
	const uint64_t page = (input->target_device_va_base >> PAGE_SHIFT) + call->start * pages;
	const uint32_t count = call->end - call->start;
	hv_status_t status = check_domain(call, &input->device_domain);
	uint32_t done = 0;

	if (status != HV_STATUS_SUCCESS) {
		return status;
	}
	if (!plat_device_width()) {
		return HV_STATUS_FEATURE_UNAVAILABLE;
	}
	if (!hc_vtl_valid(input->target_vtl) ||
	    input->padding[0] | input->padding[1] | input->padding[2] ||
	    input->map_flags & ~PERMITTED_FLAGS || !(input->map_flags & HV_MAP_GPA_READABLE) ||
	    input->target_device_va_base & PAGE_MASK || page & (pages - 1) ||
	    !range_valid(page, count * pages)) {
		return HV_STATUS_INVALID_PARAMETER;
	}
	status = plat_device_map(input->device_domain.domain_id.id, page, call->list, count,
				 input->map_flags & HV_MAP_GPA_WRITABLE, large, &done);
	call->done += done;
	return status;
}

hv_status_t hc_unmap_device_gpa_pages(struct hypercall *call)
{
	const struct hv_input_unmap_device_gpa_pages *input = call->input;
	const uint64_t page = (input->target_device_va_base >> PAGE_SHIFT) + call->start;
	const uint32_t count = call->end - call->start;
	hv_status_t status = check_domain(call, &input->device_domain);
	uint32_t done = 0;

	if (status != HV_STATUS_SUCCESS) {
		return status;
	}
	if (!plat_device_width()) {
		return HV_STATUS_FEATURE_UNAVAILABLE;
	}
	if (input->target_device_va_base & PAGE_MASK || !range_valid(page, count)) {
		return HV_STATUS_INVALID_PARAMETER;
	}
	status = plat_device_unmap(input->device_domain.domain_id.id, page, count, &done);
	call->done += done;
	return status;
}
