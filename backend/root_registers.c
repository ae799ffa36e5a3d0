/*
 * Registers of a VP, by the page that the module shares where it does, by hypercalls where it does
 * not; address translation; and the events that we make a VP take.
 */
#include "backend/root.h"

#include <errno.h>
#include <string.h>

#include "lib/exception.h"

static const uint32_t load_names[] = {
	HV_X64_REGISTER_RAX, HV_X64_REGISTER_RCX,    HV_X64_REGISTER_RDX,  HV_X64_REGISTER_RBX,
	HV_X64_REGISTER_RSP, HV_X64_REGISTER_RBP,    HV_X64_REGISTER_RSI,  HV_X64_REGISTER_RDI,
	HV_X64_REGISTER_R8,  HV_X64_REGISTER_R9,     HV_X64_REGISTER_R10,  HV_X64_REGISTER_R11,
	HV_X64_REGISTER_R12, HV_X64_REGISTER_R13,    HV_X64_REGISTER_R14,  HV_X64_REGISTER_R15,
	HV_X64_REGISTER_RIP, HV_X64_REGISTER_RFLAGS, HV_X64_REGISTER_ES,   HV_X64_REGISTER_CS,
	HV_X64_REGISTER_SS,  HV_X64_REGISTER_DS,     HV_X64_REGISTER_FS,   HV_X64_REGISTER_GS,
	HV_X64_REGISTER_CR0, HV_X64_REGISTER_CR4,    HV_X64_REGISTER_EFER,
};

int root_get_registers(struct backend_vp *vp, const uint32_t *names,
		       union hv_register_value *values, size_t count)
{
	union {
		struct hv_input_get_vp_registers input;
		uint8_t bytes[sizeof(struct hv_input_get_vp_registers) +
			      ROOT_MAX_REGISTERS * sizeof(uint32_t)];
	} buffer = {.input.vp_index = vp->index};
	size_t size = sizeof(buffer.input) + count * sizeof(names[0]);

	CHECK(count <= ROOT_MAX_REGISTERS);
	memcpy(buffer.input.names, names, count * sizeof(names[0]));
	return root_call(vp->fd, HVCALL_GET_VP_REGISTERS, &buffer, size, values,
			 count * sizeof(values[0]), (uint16_t)count, NULL);
}

int root_set_registers(struct backend_vp *vp, struct hv_register_assoc *registers, size_t count)
{
	union {
		struct hv_input_set_vp_registers input;
		uint8_t bytes[sizeof(struct hv_input_set_vp_registers) +
			      ROOT_MAX_REGISTERS * sizeof(struct hv_register_assoc)];
	} buffer = {.input.vp_index = vp->index};
	size_t size = sizeof(buffer.input) + count * sizeof(registers[0]);

	CHECK(count <= ROOT_MAX_REGISTERS);
	memcpy(buffer.input.elements, registers, count * sizeof(registers[0]));
	return root_call(vp->fd, HVCALL_SET_VP_REGISTERS, &buffer, size, NULL, 0, (uint16_t)count,
			 NULL);
}

static int root_set_register(struct backend_vp *vp, uint32_t name, uint64_t value)
{
	struct hv_register_assoc assoc = {.name = name, .value.reg64 = value};

	return root_set_registers(vp, &assoc, 1);
}

static struct hv_x64_segment_register to_hv_segment(const struct vp_segment *segment)
{
	return (struct hv_x64_segment_register){
		.base = segment->base,
		.limit = segment->limit,
		.selector = segment->selector,
		.attributes = segment->attributes,
	};
}

/* Ours and the hypervisor's form of a segment register are the same bytes. */
_Static_assert(sizeof(struct vp_segment) == sizeof(struct hv_x64_segment_register) &&
		       offsetof(struct vp_segment, limit) ==
			       offsetof(struct hv_x64_segment_register, limit) &&
		       offsetof(struct vp_segment, selector) ==
			       offsetof(struct hv_x64_segment_register, selector) &&
		       offsetof(struct vp_segment, attributes) ==
			       offsetof(struct hv_x64_segment_register, attributes),
	       "segment registers");

static void load_from_page(const struct hv_vp_register_page *page, struct vp_registers *registers)
{
	memcpy(registers->gpr, page->gp_registers, sizeof(registers->gpr));
	registers->rip = page->rip;
	registers->rflags = page->rflags;
	memcpy(registers->segments, page->segment_registers, sizeof(registers->segments));
	registers->cr0 = page->cr0;
	registers->cr4 = page->cr4;
	registers->efer = page->efer;
}

static int load_by_calls(struct backend_vp *vp, struct vp_registers *registers)
{
	union hv_register_value values[ARRAY_COUNT(load_names)], *value = values;
	int ret = root_get_registers(vp, load_names, values, ARRAY_COUNT(load_names));
	unsigned int i;

	if (ret != 0) {
		return ret;
	}
	for (i = 0; i < VP_GPR_COUNT; i++) {
		registers->gpr[i] = (value++)->reg64;
	}
	registers->rip = (value++)->reg64;
	registers->rflags = (value++)->reg64;
	for (i = 0; i < VP_SEGMENT_COUNT; i++) {
		memcpy(&registers->segments[i], &(value++)->segment,
		       sizeof(registers->segments[i]));
	}
	registers->cr0 = (value++)->reg64;
	registers->cr4 = (value++)->reg64;
	registers->efer = (value++)->reg64;
	return 0;
}

int backend_vp_load(struct backend_vp *vp, struct vp_registers *registers)
{
	if (!registers_by_page(vp)) {
		return load_by_calls(vp, registers);
	}
	load_from_page(vp->page, registers);
	return 0;
}

/* The register has more than the shadow: whether an NMI is being served stays as it is. */
int root_lift_shadow(struct backend_vp *vp)
{
	uint32_t name = HV_REGISTER_INTERRUPT_STATE;
	union hv_register_value value;
	int ret = root_get_registers(vp, &name, &value, 1);

	if (ret != 0) {
		return ret;
	}
	vp->shadow = false;
	value.interrupt_state.interrupt_shadow = 0;
	return root_set_register(vp, name, value.interrupt_state.as_uint64);
}

static int store_by_calls(struct backend_vp *vp, const struct vp_registers *registers)
{
	struct hv_register_assoc assoc[VP_GPR_COUNT + 2] = {0};
	unsigned int i;

	for (i = 0; i < VP_GPR_COUNT; i++) {
		assoc[i].name = HV_X64_REGISTER_RAX + i;
		assoc[i].value.reg64 = registers->gpr[i];
	}
	assoc[VP_GPR_COUNT].name = HV_X64_REGISTER_RIP;
	assoc[VP_GPR_COUNT].value.reg64 = registers->rip;
	assoc[VP_GPR_COUNT + 1].name = HV_X64_REGISTER_RFLAGS;
	assoc[VP_GPR_COUNT + 1].value.reg64 = registers->rflags;
	return root_set_registers(vp, assoc, ARRAY_COUNT(assoc));
}

int backend_vp_store(struct backend_vp *vp, const struct vp_registers *registers)
{
	int ret = 0;

	if (registers_by_page(vp)) {
		memcpy(vp->page->gp_registers, registers->gpr, sizeof(registers->gpr));
		vp->page->rip = registers->rip;
		vp->page->rflags = registers->rflags;
		vp->page->dirty |= 1u << HV_X64_REGISTER_CLASS_GENERAL |
				   1u << HV_X64_REGISTER_CLASS_IP |
				   1u << HV_X64_REGISTER_CLASS_FLAGS;
	} else {
		ret = store_by_calls(vp, registers);
	}
	return ret == 0 && vp->shadow && registers->rip != vp->rip ? root_lift_shadow(vp) : ret;
}

int root_settle_page(struct backend_vp *vp)
{
	struct vp_registers registers;
	int ret;

	if (!registers_by_page(vp) || vp->page->dirty == 0) {
		return 0;
	}
	load_from_page(vp->page, &registers);
	ret = store_by_calls(vp, &registers);
	if (ret == 0) {
		vp->page->dirty = 0;
	}
	return ret;
}

int backend_vp_load_xmm(struct backend_vp *vp, unsigned int index, uint8_t value[16])
{
	uint32_t name = HV_X64_REGISTER_XMM0 + index;
	union hv_register_value reg;
	int ret = root_get_registers(vp, &name, &reg, 1);

	if (ret == 0) {
		memcpy(value, &reg, 16);
	}
	return ret;
}

int backend_vp_store_xmm(struct backend_vp *vp, unsigned int index, const uint8_t value[16])
{
	struct hv_register_assoc assoc = {.name = HV_X64_REGISTER_XMM0 + index};

	memcpy(&assoc.value, value, 16);
	return root_set_registers(vp, &assoc, 1);
}

#define FP_REGISTERS    8
#define FP_STATUS_TOP   0x3800u
#define FP_TOP_SHIFT    11
#define FP_TAG_IN_USE   0xff
#define ST_MMX_EXPONENT 0xffff /* of an x87 register that MMX has written */

/*
 * MMX register n is the x87's n-th. They are told by their distance from the top of its stack,
 * which an instruction of MMX sets to 0; and all are in use then.
 */
static int access_mmx(struct backend_vp *vp, unsigned int index, uint8_t value[8], bool write)
{
	uint32_t names[FP_REGISTERS + 1] = {[FP_REGISTERS] = HV_X64_REGISTER_FP_CONTROL_STATUS};
	struct hv_register_assoc assoc[FP_REGISTERS + 1] = {0};
	union hv_register_value values[FP_REGISTERS + 1];
	union hv_x64_fp_control_status_register *control = &values[FP_REGISTERS].fp_control_status;
	uint16_t exponent = ST_MMX_EXPONENT;
	unsigned int i, top;
	int ret;

	for (i = 0; i < FP_REGISTERS; i++) {
		names[i] = HV_X64_REGISTER_FP_MMX0 + i;
	}
	ret = root_get_registers(vp, names, values, FP_REGISTERS + 1);
	if (ret != 0) {
		return ret;
	}
	top = (control->fp_status & FP_STATUS_TOP) >> FP_TOP_SHIFT;
	control->fp_status &= (uint16_t)~FP_STATUS_TOP;
	control->fp_tag = FP_TAG_IN_USE;
	for (i = 0; i < FP_REGISTERS + 1; i++) {
		unsigned int from = i < FP_REGISTERS ? (i - top) % FP_REGISTERS : i;

		assoc[i].name = names[i];
		assoc[i].value = values[from];
	}
	if (write) {
		memcpy(&assoc[index].value, value, 8);
		memcpy((uint8_t *)&assoc[index].value + 8, &exponent, sizeof(exponent));
	} else {
		memcpy(value, &assoc[index].value, 8);
	}
	return root_set_registers(vp, assoc, FP_REGISTERS + 1);
}

int backend_vp_load_mmx(struct backend_vp *vp, unsigned int index, uint8_t value[8])
{
	return access_mmx(vp, index, value, false);
}

int backend_vp_store_mmx(struct backend_vp *vp, unsigned int index, const uint8_t value[8])
{
	uint8_t copy[8];

	memcpy(copy, value, sizeof(copy));
	return access_mmx(vp, index, copy, true);
}

int backend_vp_load_system(struct backend_vp *vp, struct vp_system *system)
{
	static const uint32_t names[] = {HV_X64_REGISTER_LDTR, HV_X64_REGISTER_TR,
					 HV_X64_REGISTER_GDTR, HV_X64_REGISTER_IDTR};
	union hv_register_value values[ARRAY_COUNT(names)];
	int ret = root_get_registers(vp, names, values, ARRAY_COUNT(names));

	if (ret == 0) {
		memcpy(&system->ldtr, &values[0].segment, sizeof(system->ldtr));
		memcpy(&system->tr, &values[1].segment, sizeof(system->tr));
		system->gdtr = (struct vp_table){values[2].table.base, values[2].table.limit};
		system->idtr = (struct vp_table){values[3].table.base, values[3].table.limit};
	}
	return ret;
}

int backend_vp_store_segment(struct backend_vp *vp, unsigned int name,
			     const struct vp_segment *segment)
{
	struct hv_register_assoc assoc = {.name = HV_X64_REGISTER_ES + name,
					  .value.segment = to_hv_segment(segment)};

	return root_set_registers(vp, &assoc, 1);
}

int backend_vp_store_table(struct backend_vp *vp, bool idt, const struct vp_table *table)
{
	struct hv_register_assoc assoc = {
		.name = idt ? HV_X64_REGISTER_IDTR : HV_X64_REGISTER_GDTR,
		.value.table = {.base = table->base, .limit = table->limit},
	};

	return root_set_registers(vp, &assoc, 1);
}

int backend_vp_store_cr0(struct backend_vp *vp, uint64_t value)
{
	return root_set_register(vp, HV_X64_REGISTER_CR0, value);
}

/* Error code bits of a page fault */
#define PF_PRESENT  0x01u
#define PF_WRITE    0x02u
#define PF_USER     0x04u
#define PF_RESERVED 0x08u
#define PF_FETCH    0x10u

static uint32_t fault_code(uint32_t result, enum vp_access access, unsigned int cpl)
{
	bool system = access == VP_ACCESS_SYSTEM_READ || access == VP_ACCESS_SYSTEM_WRITE;
	bool write = access == VP_ACCESS_WRITE || access == VP_ACCESS_SYSTEM_WRITE;
	uint32_t code = write ? PF_WRITE : access == VP_ACCESS_EXECUTE ? PF_FETCH : 0;

	code |= cpl == 3 && !system ? PF_USER : 0;
	code |= result != HV_TRANSLATE_GVA_PAGE_NOT_PRESENT ? PF_PRESENT : 0;
	code |= result == HV_TRANSLATE_GVA_INVALID_PAGE_TABLE_FLAGS ? PF_RESERVED : 0;
	return code;
}

static unsigned int current_privilege(struct backend_vp *vp)
{
	uint32_t name = HV_X64_REGISTER_SS;
	union hv_register_value ss;

	if (registers_by_page(vp)) {
		return vp->page->ss.descriptor_privilege_level;
	}
	return root_get_registers(vp, &name, &ss, 1) == 0 ? ss.segment.descriptor_privilege_level
							  : 3;
}

int backend_vp_translate(struct backend_vp *vp, uint64_t gva, enum vp_access access, uint64_t *gpa,
			 uint32_t *error_code)
{
	static const uint64_t validate[] = {
		[VP_ACCESS_READ] = HV_TRANSLATE_GVA_VALIDATE_READ,
		[VP_ACCESS_WRITE] = HV_TRANSLATE_GVA_VALIDATE_WRITE,
		[VP_ACCESS_EXECUTE] = HV_TRANSLATE_GVA_VALIDATE_EXECUTE,
		[VP_ACCESS_SYSTEM_READ] =
			HV_TRANSLATE_GVA_VALIDATE_READ | HV_TRANSLATE_GVA_PRIVILEGE_EXEMPT,
		[VP_ACCESS_SYSTEM_WRITE] =
			HV_TRANSLATE_GVA_VALIDATE_WRITE | HV_TRANSLATE_GVA_PRIVILEGE_EXEMPT,
	};
	struct hv_input_translate_virtual_address input = {
		.vp_index = vp->index,
		.control_flags = validate[access] | HV_TRANSLATE_GVA_SET_PAGE_TABLE_BITS,
		.gva_page = gva >> HV_HYP_PAGE_SHIFT,
	};
	struct hv_output_translate_virtual_address output = {0};
	int ret = root_call(vp->fd, HVCALL_TRANSLATE_VIRTUAL_ADDRESS, &input, sizeof(input),
			    &output, sizeof(output), 0, NULL);

	if (ret != 0) {
		return ret;
	}
	*gpa = output.gpa_page << HV_HYP_PAGE_SHIFT | (gva & (HV_HYP_PAGE_SIZE - 1));
	switch (output.translation_result.result_code) {
	case HV_TRANSLATE_GVA_SUCCESS:
	/* The page tables lead somewhere; that there is no RAM, or no right to it, is for who looks
	 * at the GPA. */
	case HV_TRANSLATE_GVA_GPA_UNMAPPED:
	case HV_TRANSLATE_GVA_GPA_NO_READ_ACCESS:
	case HV_TRANSLATE_GVA_GPA_NO_WRITE_ACCESS:
	case HV_TRANSLATE_GVA_INTERCEPT:
		return 0;
	case HV_TRANSLATE_GVA_PAGE_NOT_PRESENT:
	case HV_TRANSLATE_GVA_PRIVILEGE_VIOLATION:
	case HV_TRANSLATE_GVA_INVALID_PAGE_TABLE_FLAGS:
		*error_code = fault_code(output.translation_result.result_code, access,
					 current_privilege(vp));
		return -EFAULT;
	default:
		return -ENXIO;
	}
}

#define DR6_SINGLE_STEP 0xffff4ff0u /* BS; the bits that are always 1 */

int backend_vp_inject_exception(struct backend_vp *vp, unsigned int vector, uint32_t error_code,
				uint64_t address)
{
	union hv_x64_pending_exception_event event = {
		.event_pending = 1,
		.event_type = HV_X64_PENDING_EVENT_EXCEPTION,
		.deliver_error_code = exception_has_error(vector),
		.vector = vector & 0xffff,
		.error_code = error_code,
		.exception_parameter = address,
	};
	struct hv_register_assoc registers[2] = {
		{.name = HV_REGISTER_PENDING_EVENT0, .value.pending_exception_event = event},
		{.name = HV_X64_REGISTER_DR6, .value.reg64 = DR6_SINGLE_STEP},
	};

	return root_set_registers(vp, registers, vector == VP_EXCEPTION_DB ? 2 : 1);
}

int backend_vp_crash_parameters(struct backend_vp *vp, uint64_t parameters[VP_CRASH_PARAMETERS])
{
	union hv_register_value values[VP_CRASH_PARAMETERS];
	uint32_t names[VP_CRASH_PARAMETERS];
	int ret;

	for (unsigned int i = 0; i < VP_CRASH_PARAMETERS; i++) {
		names[i] = HV_REGISTER_GUEST_CRASH_P0 + i;
	}
	ret = root_get_registers(vp, names, values, VP_CRASH_PARAMETERS);
	for (unsigned int i = 0; ret == 0 && i < VP_CRASH_PARAMETERS; i++) {
		parameters[i] = values[i].reg64;
	}
	return ret;
}

int backend_vp_request_window(struct backend_vp *vp, bool wanted)
{
	union hv_deliverability_notifications_register notifications = {.interrupt_notification =
										wanted};

	return root_set_register(vp, HV_REGISTER_DELIVERABILITY_NOTIFICATIONS,
				 notifications.as_uint64);
}

int backend_vp_inject_extint(struct backend_vp *vp, uint8_t vector)
{
	union hv_x64_pending_ext_int_event event = {
		.event_pending = 1,
		.event_type = HV_X64_PENDING_EVENT_EXT_INT,
		.vector = vector,
	};
	struct hv_register_assoc assoc = {
		.name = HV_REGISTER_PENDING_EVENT0,
		.value.pending_ext_int_event = event,
	};

	return root_set_registers(vp, &assoc, 1);
}

static struct hv_x64_table_register to_hv_table(const struct vp_table *table)
{
	return (struct hv_x64_table_register){.base = table->base, .limit = table->limit};
}

int backend_vp_set_boot_state(struct backend_vp *vp, const struct vp_boot_state *state)
{
	const struct vp_registers *r = &state->registers;
	struct hv_register_assoc assoc[] = {
		{.name = HV_X64_REGISTER_CR0, .value.reg64 = r->cr0},
		{.name = HV_X64_REGISTER_CR3, .value.reg64 = state->cr3},
		{.name = HV_X64_REGISTER_CR4, .value.reg64 = r->cr4},
		{.name = HV_X64_REGISTER_EFER, .value.reg64 = r->efer},
		{.name = HV_X64_REGISTER_TR, .value.segment = to_hv_segment(&state->tr)},
		{.name = HV_X64_REGISTER_LDTR, .value.segment = to_hv_segment(&state->ldtr)},
		{.name = HV_X64_REGISTER_GDTR, .value.table = to_hv_table(&state->gdtr)},
		{.name = HV_X64_REGISTER_IDTR, .value.table = to_hv_table(&state->idtr)},
		{.name = HV_X64_REGISTER_RIP, .value.reg64 = r->rip},
		{.name = HV_X64_REGISTER_RFLAGS, .value.reg64 = r->rflags},
	};
	struct hv_register_assoc more[VP_GPR_COUNT + VP_SEGMENT_COUNT] = {0};
	unsigned int i;
	int ret;

	for (i = 0; i < VP_GPR_COUNT; i++) {
		more[i].name = HV_X64_REGISTER_RAX + i;
		more[i].value.reg64 = r->gpr[i];
	}
	for (i = 0; i < VP_SEGMENT_COUNT; i++) {
		more[VP_GPR_COUNT + i].name = HV_X64_REGISTER_ES + i;
		more[VP_GPR_COUNT + i].value.segment = to_hv_segment(&r->segments[i]);
	}
	ret = root_set_registers(vp, assoc, ARRAY_COUNT(assoc));
	return ret != 0 ? ret : root_set_registers(vp, more, ARRAY_COUNT(more));
}

#define LVT_NMI    0x400u
#define LVT_EXTINT 0x700u
#define SVR_ENABLE 0x100u /* without it the pins are masked */

int backend_vp_set_local_pins(struct backend_vp *vp, bool extint)
{
	_Alignas(MSHV_HV_PAGE_SIZE) uint8_t page[MSHV_HV_PAGE_SIZE] = {0};
	struct hv_local_interrupt_controller_state *state = (void *)page;
	uint32_t size = sizeof(page);
	int ret = root_get_state(vp, MSHV_VP_STATE_LAPIC, page, &size);

	if (ret != 0) {
		return ret;
	}
	state->apic_spurious |= SVR_ENABLE;
	if (extint) {
		state->apic_lvt_lint0 = LVT_EXTINT;
	}
	state->apic_lvt_lint1 = LVT_NMI;
	return root_set_state(vp, MSHV_VP_STATE_LAPIC, page, sizeof(page));
}
