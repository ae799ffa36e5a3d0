#include "tests/fake/parent.h"

#include <assert.h>

#include "tlfs/partition.h"

struct call_trace last_call;

static uint64_t finish(struct vp *vp, struct hypercall_regs *regs)
{
	last_call = (struct call_trace){0};
	do {
		last_call.action = hypercall_enter(vp, regs);
		assert(last_call.again++ < 10000);
	} while (last_call.action == HYPERCALL_AGAIN);
	last_call.again--;
	last_call.regs = *regs;
	return last_call.action == HYPERCALL_DONE ? regs->rax : 0xffff;
}

uint64_t call(struct vp *vp, uint64_t control, const void *in, size_t in_size, void *out,
	      size_t out_size)
{
	struct partition *p = vp->partition;
	struct hypercall_regs regs = {.rcx = control,
				      .rdx = (PARENT_INPUT_GPN + vp->index) * PAGE_SIZE,
				      .r8 = (PARENT_OUTPUT_GPN + vp->index) * PAGE_SIZE};
	uint64_t result;

	if (in_size) {
		fake_write(p, regs.rdx, in, in_size);
	}
	result = finish(vp, &regs);
	if (out_size) {
		fake_read(p, (PARENT_OUTPUT_GPN + vp->index) * PAGE_SIZE, out, out_size);
	}
	return result;
}

uint64_t call_fast(struct vp *vp, uint64_t control, const void *in, size_t in_size, void *out,
		   size_t out_offset, size_t out_size)
{
	uint64_t block[14] = {0}, result;
	struct hypercall_regs regs = {.rcx = control | HV_HYPERCALL_FAST_BIT};

	assert(in_size <= sizeof(block) && out_offset + out_size <= sizeof(block));
	if (in_size) {
		memcpy(block, in, in_size);
	}
	regs.rdx = block[0];
	regs.r8 = block[1];
	memcpy(fake_xmm.words, block + 2, sizeof(fake_xmm.words));
	fake_xmm.read = fake_xmm.written = false;
	result = finish(vp, &regs);
	block[0] = regs.rdx;
	block[1] = regs.r8;
	memcpy(block + 2, fake_xmm.words, sizeof(fake_xmm.words));
	if (out_size) {
		memcpy(out, (uint8_t *)block + out_offset, out_size);
	}
	return result;
}

struct vp *root_vp(void)
{
	return fake_root.vps[0];
}

hv_status_t create_partition(uint64_t *id)
{
	struct hv_input_create_partition in = {
		.flags = HV_PARTITION_CREATION_FLAG_EXO_PARTITION |
			 HV_PARTITION_CREATION_FLAG_LAPIC_ENABLED |
			 HV_PARTITION_CREATION_FLAG_INTERCEPT_MESSAGE_PAGE_ENABLED,
		.compatibility_version = HV_COMPATIBILITY_21_H2};

	return status_of(
		call(root_vp(), HVCALL_CREATE_PARTITION, &in, sizeof(in), id, sizeof(*id)));
}

/* Pages that are RAM of the root and not used by the helpers. */
static uint32_t find_ram(uint64_t *gpns, uint32_t count)
{
	uint32_t found = 0;

	for (uint64_t gpn = 64; gpn < PARENT_MAP_BASE && found < count; gpn++) {
		if (fake_is_ram(gpn)) {
			gpns[found++] = gpn;
		}
	}
	return found;
}

hv_status_t deposit(uint64_t id, uint32_t pages)
{
	uint64_t in[512];
	uint64_t result;

	assert(pages <= 511);
	in[0] = id;
	assert(find_ram(in + 1, pages) == pages);
	result = call(root_vp(), HVCALL_DEPOSIT_MEMORY | REPS(pages), in, 8 + 8 * (size_t)pages,
		      NULL, 0);
	assert(status_of(result) != HV_STATUS_SUCCESS || REPS_DONE(result) == pages);
	return status_of(result);
}

hv_status_t withdraw_all(uint64_t id, uint32_t *pages)
{
	struct hv_input_withdraw_memory in = {.partition_id = id};
	uint64_t out[512], result;

	*pages = 0;
	do {
		result = call(root_vp(), HVCALL_WITHDRAW_MEMORY | REPS(512), &in, sizeof(in), out,
			      sizeof(out));
		*pages += REPS_DONE(result);
	} while (status_of(result) == HV_STATUS_SUCCESS);
	return status_of(result);
}

static hv_status_t with_id(uint16_t code, uint64_t id)
{
	return status_of(call_fast(root_vp(), code, &id, sizeof(id), NULL, 0, 0));
}

hv_status_t initialize_partition(uint64_t id)
{
	return with_id(HVCALL_INITIALIZE_PARTITION, id);
}

hv_status_t finalize_partition(uint64_t id)
{
	return with_id(HVCALL_FINALIZE_PARTITION, id);
}

hv_status_t delete_partition(uint64_t id)
{
	return with_id(HVCALL_DELETE_PARTITION, id);
}

hv_status_t set_property(uint64_t id, uint32_t code, uint64_t value)
{
	struct hv_input_set_partition_property in = {id, code, 0, value};

	return status_of(call(root_vp(), HVCALL_SET_PARTITION_PROPERTY, &in, sizeof(in), NULL, 0));
}

hv_status_t get_property(uint64_t id, uint32_t code, uint64_t *value)
{
	struct hv_input_get_partition_property in = {id, code, 0};

	return status_of(call(root_vp(), HVCALL_GET_PARTITION_PROPERTY, &in, sizeof(in), value,
			      sizeof(*value)));
}

hv_status_t create_vp(uint64_t id, uint32_t index)
{
	struct hv_create_vp in = {.partition_id = id, .vp_index = index};

	return status_of(call(root_vp(), HVCALL_CREATE_VP, &in, sizeof(in), NULL, 0));
}

hv_status_t map_pages(uint64_t id, uint64_t gpn, uint64_t source, uint32_t count, uint32_t flags)
{
	uint64_t in[512] = {id, gpn, flags};

	assert(count <= 509);
	for (uint32_t i = 0; i < count; i++) {
		in[3 + i] = source + i * (flags & HV_MAP_GPA_LARGE_PAGE ? LARGE_PAGE_PAGES : 1);
	}
	return status_of(call(root_vp(), HVCALL_MAP_GPA_PAGES | REPS(count), in,
			      24 + 8 * (size_t)count, NULL, 0));
}

/* The header of both calls: partition, VP; then the name, or name and value. */
hv_status_t get_register(uint64_t id, uint32_t index, uint32_t name, uint64_t *value)
{
	uint64_t in[] = {id, index, name};
	union hv_register_value out;
	uint64_t result = call(root_vp(), HVCALL_GET_VP_REGISTERS | REPS(1), in, sizeof(in), &out,
			       sizeof(out));

	*value = out.reg64;
	return status_of(result);
}

hv_status_t set_register(uint64_t id, uint32_t index, uint32_t name, uint64_t value)
{
	uint64_t in[] = {id, index, name, 0, value, 0};

	return status_of(
		call(root_vp(), HVCALL_SET_VP_REGISTERS | REPS(1), in, sizeof(in), NULL, 0));
}

hv_status_t dispatch_vp(uint64_t id, uint32_t index, uint32_t flags,
			struct hv_output_dispatch_vp *out)
{
	struct hv_input_dispatch_vp in = {.partition_id = id, .vp_index = index, .flags = flags};

	return status_of(call(root_vp(), HVCALL_DISPATCH_VP, &in, sizeof(in), out, sizeof(*out)));
}

struct partition *child_create(uint32_t vps)
{
	struct partition *p;
	uint64_t id;

	assert(create_partition(&id) == HV_STATUS_SUCCESS);
	assert(set_property(id, HV_PARTITION_PROPERTY_SYNTHETIC_PROC_FEATURES,
			    property_synthetic_features()) == HV_STATUS_SUCCESS);
	assert(deposit(id, 20) == HV_STATUS_SUCCESS);
	assert(initialize_partition(id) == HV_STATUS_SUCCESS);
	assert(deposit(id, 20 * vps + 1) == HV_STATUS_SUCCESS);
	for (uint32_t i = 0; i < vps; i++) {
		assert(create_vp(id, i) == HV_STATUS_SUCCESS);
	}
	assert(map_pages(id, 0, PARENT_MAP_BASE + id / HV_MAX_PARTITIONS % 4 * 64 + id % 4 * 64,
			 PARENT_CHILD_RAM,
			 HV_MAP_GPA_READABLE | HV_MAP_GPA_WRITABLE | HV_MAP_GPA_EXECUTABLE) ==
	       HV_STATUS_SUCCESS);
	p = partition_get_child(root_vp(), id);
	assert(p != NULL);
	partition_put(p);
	p->guest_os_id = 1;
	return p;
}

void child_destroy(struct partition *p)
{
	uint64_t id = p->id, deposited = p->pool.deposited;
	uint32_t pages;

	assert(finalize_partition(id) == HV_STATUS_SUCCESS);
	assert(withdraw_all(id, &pages) == HV_STATUS_NO_RESOURCES);
	assert(pages == deposited);
	assert(delete_partition(id) == HV_STATUS_SUCCESS);
}

void synic_enable(struct vp *vp, uint64_t message_gpn, uint64_t event_gpn, uint32_t sint,
		  uint8_t vector)
{
	assert(synic_msr_write(vp, HV_X64_MSR_SIMP, message_gpn << PAGE_SHIFT | 1) == ACCESS_OK);
	assert(synic_msr_write(vp, HV_X64_MSR_SIEFP, event_gpn << PAGE_SHIFT | 1) == ACCESS_OK);
	assert(synic_msr_write(vp, HV_X64_MSR_SINT0 + sint, vector) == ACCESS_OK);
	assert(synic_msr_write(vp, HV_X64_MSR_SCONTROL, 1) == ACCESS_OK);
}

struct hv_message take_message(struct vp *vp, uint32_t sint)
{
	struct hv_message_page *page = vp->synic.message_page;
	struct hv_message message = page->sint_message[sint];

	page->sint_message[sint].header.message_type = HVMSG_NONE;
	if (message.header.message_flags.msg_pending) {
		assert(synic_msr_write(vp, HV_X64_MSR_EOM, 0) == ACCESS_OK);
		if (vp->events) {
			vp_process_events(vp);
		}
	}
	return message;
}
