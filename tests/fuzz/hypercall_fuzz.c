/*
 * Sequences of hypercalls by a root and its children, with anything in control words and
 * parameters, over a machine that checks every page. At the end all children are taken down by
 * calls of the root: whatever was done to them, every page must come back.
 *
 * An input is a list of steps. A step's parameters are words; a selector byte makes a word one of
 * the values that get further than random ones (ids, indices, page numbers that mean something), or
 * takes its bytes from the input.
 */
#include <assert.h>

#include "tests/fake/devices.h"
#include "tests/fake/parent.h"
#include "tests/fuzz/fuzz.h"
#include "tlfs/hypercall.h"
#include "tlfs/partition.h"

#define MAX_STEPS 64
#define MIN_STEPS 12

struct input {
	const uint8_t *at, *end;
	uint64_t seed; /* what the input goes on with when it ends, so that a short one is a whole
			  story, too */
};

static uint16_t codes[512];
static uint32_t code_count;

static uint8_t byte(struct input *in)
{
	if (in->at < in->end) {
		return *in->at++;
	}
	in->seed ^= in->seed << 13;
	in->seed ^= in->seed >> 7;
	in->seed ^= in->seed << 17;
	return (uint8_t)(in->seed >> 24);
}

static uint64_t bytes(struct input *in, uint32_t count)
{
	uint64_t value = 0;

	while (count--) {
		value = value << 8 | byte(in);
	}
	return value;
}

static uint64_t nth_child(uint32_t n)
{
	uint64_t id = 0;

	do {
		id = partition_next_child(&fake_root, id);
	} while (n-- && id);
	return id;
}

static uint64_t word(struct input *in)
{
	uint8_t selector = byte(in);

	switch (selector & 15) {
	case 0:
		return selector >> 4; /* small: flags, indices, types */
	case 1:
		return nth_child(selector >> 4 & 3);
	case 2:
		return selector & 16 ? HV_PARTITION_ID_SELF : HV_ROOT_PARTITION;
	case 3:
		return PARENT_MAP_BASE + 200 + byte(in); /* pages of the root */
	case 4:
		return (uint64_t)byte(in) << PAGE_SHIFT | (selector >> 4 & 1);
	case 5:
		return HV_VP_INDEX_SELF;
	case 6:
		return HV_ANY_VP;
	case 7:
		return 1ull << (selector >> 4) * 4 | byte(in);
	case 8: /* a register name, as an element of a list of them */
		return ((uint64_t[]){0, 0x10000, 0x20000, 0x80000, 0x90000, 0xa0000, 0xb0000,
				     0x84800})[selector >> 4 & 7] +
		       byte(in);
	case 9: /* two small ones */
		return (uint64_t)byte(in) << 32 | byte(in);
	case 10:
		return FAKE_PAGES - byte(in);
	case 11:
		return UINT64_MAX - (selector >> 4);
	default:
		return bytes(in, 1 + (selector >> 5));
	}
}

static struct vp *caller(uint8_t who)
{
	struct partition *p = &fake_root;
	struct vp *vp;

	if (who & 4) {
		struct partition *child = partition_get_child(root_vp(), nth_child(who >> 3 & 1));

		if (child != NULL) {
			partition_put(child);
			if (child->state == PARTITION_INITIALIZED) {
				p = child;
			}
		}
	}
	vp = partition_vp(p, who & 1);
	return vp != NULL ? vp : root_vp();
}

/*
 * One call, as often as it wants to be continued (a partition that is in use never lets go, so not
 * for ever).
 */
static void make_call(struct input *in)
{
	struct vp *vp = caller(byte(in));
	uint8_t form = byte(in);
	uint16_t code = form & 1 ? (uint16_t)bytes(in, 2) : codes[bytes(in, 2) % code_count];
	const struct hypercall_row *row = hypercall_find(code);
	struct hypercall_regs regs = {.rcx = code};
	uint64_t words[64] = {0};
	uint32_t count = byte(in) & 63,
		 reps = row != NULL && row->slice ? 1 + (form >> 4) * (form >> 4) : 0;

	if (form & 2) {
		regs.rcx |= HV_HYPERCALL_FAST_BIT;
	}
	regs.rcx |= REPS(reps);
	if (row != NULL && row->variable) {
		regs.rcx |= VARHEAD(form >> 4);
	}
	if (form & 4) {
		regs.rcx ^= bytes(in, 8);
	}
	for (uint32_t i = 0; i < count; i++) {
		words[i] = word(in);
	}
	regs.rdx = PARENT_INPUT_GPN * PAGE_SIZE;
	regs.r8 = PARENT_OUTPUT_GPN * PAGE_SIZE;
	if (plat_gpa_writable(vp->partition, PARENT_INPUT_GPN)) {
		fake_write(vp->partition, regs.rdx, words, sizeof(words));
	}
	if (form & 2) {
		regs.rdx = words[0];
		regs.r8 = words[1];
		memcpy(fake_xmm.words, words + 2, sizeof(fake_xmm.words));
	} else if (form & 8) {
		regs.rdx = word(in);
		regs.r8 = word(in);
	}
	for (uint32_t i = 0; i < 64 && hypercall_enter(vp, &regs) == HYPERCALL_AGAIN; i++)
		;
}

/* SynIC, and pages that a guest places; the fake has room for few of those. */
static void write_msr(struct input *in)
{
	static const uint32_t msrs[] = {
		HV_X64_MSR_SCONTROL,      HV_X64_MSR_SIMP,          HV_X64_MSR_SIEFP,
		HV_X64_MSR_SIRBP,         HV_X64_MSR_SINT0,         HV_X64_MSR_SINT2,
		HV_X64_MSR_SINT5,         HV_X64_MSR_EOM,           HV_X64_MSR_HYPERCALL,
		HV_X64_MSR_REFERENCE_TSC, HV_X64_MSR_VP_ASSIST_PAGE};
	struct vp *vp = caller(byte(in));
	uint32_t msr = msrs[byte(in) % ARRAY_COUNT(msrs)];
	uint8_t how = byte(in);
	uint64_t value = (uint64_t)(100 + (how >> 5)) << PAGE_SHIFT | 1;

	if (how & 16) {
		value = word(in);
	} else if (msr >= HV_X64_MSR_SINT0 && msr <= HV_X64_MSR_SINT15) {
		value = 0x40 + (how & 0xf0);
	}
	(void)(msr_write(vp, msr, value) == ACCESS_OK);
}

static void run_vp(struct vp *vp)
{
	const uint8_t *script = fake.run_context;
	struct input in = {script, script + 16, 1};

	switch (byte(&in) & 7) {
	case 0:
		vp_halt(vp, byte(&in) & 1);
		break;
	case 1:
		vp_intercept(vp);
		break;
	case 2:
		port_doorbell(vp, (gpa_t){word(&in)}, word(&in), 1u << (byte(&in) & 3));
		break;
	case 3:
		lapic_mmio_write(vp, 0xf0, 0x1ff);
		lapic_mmio_write(vp, 0x300, (uint32_t)bytes(&in, 4));
		break;
	case 4:
		notify_apic_eoi(vp, byte(&in));
		break;
	default:
		break;
	}
}

static void step(struct input *in)
{
	uint8_t script[16];
	struct vp *vp;

	switch (byte(in) & 7) {
	case 0:
		write_msr(in);
		break;
	case 1:
		fake.tsc += bytes(in, 4);
		vp = caller(byte(in));
		vp_post_event(vp, VP_EVENT_TIMER);
		break;
	case 2:
		vp = caller(byte(in));
		vp_process_events(vp);
		break;
	case 3:
		for (uint32_t i = 0; i < sizeof(script); i++) {
			script[i] = byte(in);
		}
		fake.run = run_vp;
		fake.run_context = script;
		make_call(in);
		fake.run = NULL;
		break;
	case 4:
		vp = caller(byte(in));
		take_message(vp, byte(in) & 15);
		break;
	case 5: /* memory runs out on the way */
		fake.pages_until_failure = byte(in) & 7;
		make_call(in);
		fake.pages_until_failure = -1;
		break;
	default:
		make_call(in);
		break;
	}
}

static void check_locks(void)
{
	assert(fake_root.lock.next == fake_root.lock.owner && fake_root.references == 1);
	for (uint32_t n = 0;; n++) {
		struct partition *p = partition_get_child(root_vp(), nth_child(n));

		if (p == NULL) {
			break;
		}
		partition_put(p);
		assert(p->lock.next == p->lock.owner && p->references == 1);
		for (uint32_t i = 0; i < HV_MAX_VPS; i++) {
			assert(!p->vps[i] || p->vps[i]->lock.next == p->vps[i]->lock.owner);
		}
	}
}

static void take_down(void)
{
	uint64_t id;
	uint32_t pages;

	fake_root.guest_os_id = 1;
	fake.pages_until_failure = -1;
	while ((id = nth_child(0))) {
		finalize_partition(id); /* refused if it was never initialized */
		withdraw_all(id, &pages);
		assert(delete_partition(id) == HV_STATUS_SUCCESS);
	}
	assert(fake_count().mapped == 0 && fake_count().pool_children == 0);
}

static void find_codes(void)
{
	for (uint32_t code = 0; code <= 0xffff; code++) {
		if (hypercall_find((uint16_t)code) != NULL) {
			codes[code_count++] = (uint16_t)code;
		}
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {data, data + size, 0x9e3779b97f4a7c15};
	uint64_t id;

	if (!code_count) {
		find_codes();
	}
	for (size_t i = 0; i < size; i++) {
		in.seed = (in.seed ^ data[i]) * 0x100000001b3;
	}
	in.seed |= 1;
	fake_devices_reset();
	fake_boot(2);
	fake.fixed_pages = 64; /* those of the helpers */
	child_create(2);
	assert(create_partition(&id) == HV_STATUS_SUCCESS && deposit(id, 40) == HV_STATUS_SUCCESS);
	for (uint32_t i = 0; i < MIN_STEPS || (i < MAX_STEPS && in.at < in.end); i++) {
		step(&in);
	}
	check_locks();
	take_down();
	fake_shutdown();
	return 0;
}
