/* Hypercalls of the root, one function each (TLFS: Hypercall Reference). */
#include <linux/errno.h>
#include <linux/gfp.h>
#include <linux/io.h>
#include <linux/string.h>

#include "root.h"

/*
 * What is deposited ahead: about what our hypervisor takes (6 pages and the tables of a small
 * guest's memory; 13 or 14 a VP). One that takes more says so, and gets it by deposit_retry().
 */
#define PARTITION_DEPOSIT_PAGES 32
#define VP_DEPOSIT_PAGES        16

int hvcall_pages_alloc(struct hvcall_pages *pages)
{
	pages->input = (void *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	pages->output = (void *)get_zeroed_page(GFP_KERNEL_ACCOUNT);
	if (pages->input != NULL && pages->output != NULL) {
		return 0;
	}
	hvcall_pages_free(pages);
	return -ENOMEM;
}

void hvcall_pages_free(struct hvcall_pages *pages)
{
	free_page((unsigned long)pages->input);
	free_page((unsigned long)pages->output);
	pages->input = NULL;
	pages->output = NULL;
}

static hv_status_t status_of(uint64_t result)
{
	return result & HV_HYPERCALL_RESULT_MASK;
}

hv_status_t hvcall_simple(uint32_t code, void *input, void *output)
{
	return status_of(compat_hypercall(code, input, output));
}

hv_status_t hvcall_fast(uint32_t code, uint64_t input1, uint64_t input2)
{
	return status_of(compat_fast_hypercall(code, input1, input2));
}

hv_status_t hvcall_variable(uint32_t code, uint32_t variable_bytes, void *input, void *output)
{
	uint64_t qwords = DIV_ROUND_UP(variable_bytes, 8);

	return status_of(
		compat_hypercall(code | qwords << HV_HYPERCALL_VARHEAD_OFFSET, input, output));
}

hv_status_t hvcall_rep(uint32_t code, uint32_t reps, uint32_t *done, void *input, void *output)
{
	uint64_t control, result;
	uint32_t start;

	do {
		start = *done;
		control = code | (uint64_t)reps << HV_HYPERCALL_REP_COMP_OFFSET |
			  (uint64_t)start << HV_HYPERCALL_REP_START_OFFSET;
		result = compat_hypercall(control, input, output);
		if (result == U64_MAX) {
			return HV_STATUS_OPERATION_FAILED;
		}
		*done = (result & HV_HYPERCALL_REP_COMP_MASK) >> HV_HYPERCALL_REP_COMP_OFFSET;
	} while (status_of(result) == HV_STATUS_SUCCESS && start < *done && *done < reps);
	return status_of(result);
}

int hvcall_create_partition(struct hvcall_pages *pages,
			    const struct hv_input_create_partition *arguments, uint64_t *id)
{
	struct hv_output_create_partition *output = pages->output;
	hv_status_t status;
	uint32_t tries = 0;
	int ret;

	do {
		memcpy(pages->input, arguments, sizeof(*arguments));
		status = hvcall_simple(HVCALL_CREATE_PARTITION, pages->input, output);
		ret = deposit_retry(HV_PARTITION_ID_SELF, status, &tries);
	} while (ret > 0);
	*id = output->partition_id;
	return ret;
}

int hvcall_initialize_partition(uint64_t id)
{
	hv_status_t status;
	uint32_t tries = 0;
	int ret;

	ret = deposit(id, PARTITION_DEPOSIT_PAGES);
	if (ret) {
		return ret;
	}
	do {
		status = hvcall_fast(HVCALL_INITIALIZE_PARTITION, id, 0);
		ret = deposit_retry(id, status, &tries);
	} while (ret > 0);
	return ret;
}

int hvcall_finalize_partition(uint64_t id)
{
	return status_to_errno(hvcall_fast(HVCALL_FINALIZE_PARTITION, id, 0));
}

void hvcall_delete_partition(uint64_t id)
{
	hv_status_t status = hvcall_fast(HVCALL_DELETE_PARTITION, id, 0);

	if (status != HV_STATUS_SUCCESS) {
		pr_err("partition %llu cannot be deleted: status %#x\n", id, status);
	}
}

int hvcall_get_property(struct hvcall_pages *pages, uint64_t id, uint32_t code, uint64_t *value)
{
	struct hv_input_get_partition_property *input = pages->input;
	struct hv_output_get_partition_property *output = pages->output;
	hv_status_t status;

	*input =
		(struct hv_input_get_partition_property){.partition_id = id, .property_code = code};
	status = hvcall_simple(HVCALL_GET_PARTITION_PROPERTY, input, output);
	*value = output->property_value;
	return status_to_errno(status);
}

int hvcall_create_vp(struct hvcall_pages *pages, uint64_t id, uint32_t vp_index)
{
	struct hv_create_vp *input = pages->input;
	hv_status_t status;
	uint32_t tries = 0;
	int ret;

	ret = deposit(id, VP_DEPOSIT_PAGES);
	if (ret) {
		return ret;
	}
	do {
		*input = (struct hv_create_vp){
			.partition_id = id,
			.vp_index = vp_index,
			.subnode_type = HV_SUBNODE_ANY,
		};
		status = hvcall_simple(HVCALL_CREATE_VP, input, NULL);
		ret = deposit_retry(id, status, &tries);
	} while (ret > 0);
	return ret;
}

void hvcall_delete_vp(uint64_t id, uint32_t vp_index)
{
	union hv_input_delete_vp input = {.partition_id = id, .vp_index = vp_index};
	hv_status_t status = hvcall_fast(HVCALL_DELETE_VP, input.as_uint64[0], input.as_uint64[1]);

	if (status != HV_STATUS_SUCCESS) {
		pr_err("VP %u of partition %llu cannot be deleted: status %#x\n", vp_index, id,
		       status);
	}
}

/* The page is ours; the hypervisor lays its own over it until the page is unmapped (L1VH). */
int hvcall_map_state_page(struct hvcall_pages *pages, uint64_t id, uint32_t vp_index, uint32_t type,
			  void *page)
{
	struct hv_input_map_vp_state_page *input = pages->input;
	struct hv_output_map_vp_state_page *output = pages->output;
	uint64_t location = virt_to_phys(page) >> HV_HYP_PAGE_SHIFT;
	hv_status_t status;
	uint32_t tries = 0;
	int ret;

	do {
		*input = (struct hv_input_map_vp_state_page){
			.partition_id = id,
			.vp_index = vp_index,
			.type = type,
			.flags.map_location_provided = 1,
			.requested_map_location = location,
		};
		status = hvcall_simple(HVCALL_MAP_VP_STATE_PAGE, input, output);
		ret = deposit_retry(id, status, &tries);
	} while (ret > 0);
	if (!ret && output->map_location != location) {
		pr_err("the hypervisor put a state page of its own choice; that is for a true "
		       "root\n");
		hvcall_unmap_state_page(pages, id, vp_index, type);
		ret = -ENODEV;
	}
	return ret;
}

int hvcall_unmap_state_page(struct hvcall_pages *pages, uint64_t id, uint32_t vp_index,
			    uint32_t type)
{
	struct hv_input_unmap_vp_state_page *input = pages->input;

	*input = (struct hv_input_unmap_vp_state_page){
		.partition_id = id, .vp_index = vp_index, .type = type};
	return status_to_errno(hvcall_simple(HVCALL_UNMAP_VP_STATE_PAGE, input, NULL));
}

int hvcall_set_register(struct hvcall_pages *pages, uint64_t id, uint32_t vp_index, uint32_t name,
			uint64_t value)
{
	struct hv_input_set_vp_registers *input = pages->input;
	hv_status_t status;
	uint32_t done = 0;

	*input = (struct hv_input_set_vp_registers){.partition_id = id, .vp_index = vp_index};
	input->elements[0] = (struct hv_register_assoc){.name = name, .value.reg64 = value};
	status = hvcall_rep(HVCALL_SET_VP_REGISTERS, 1, &done, input, NULL);
	return status_to_errno(status);
}

int hvcall_install_intercept(struct hvcall_pages *pages, uint64_t id, uint32_t type,
			     uint32_t access)
{
	struct hv_input_install_intercept *input = pages->input;
	hv_status_t status;
	uint32_t tries = 0;
	int ret;

	do {
		*input = (struct hv_input_install_intercept){
			.partition_id = id,
			.access_type = access,
			.intercept_type = type,
		};
		status = hvcall_simple(HVCALL_INSTALL_INTERCEPT, input, NULL);
		ret = deposit_retry(id, status, &tries);
	} while (ret > 0);
	return ret;
}
