/*
 * What a parent's kernel does, for tests: hypercalls from memory or registers with continuation,
 * and children made in the usual order. Everything goes through hypercall_enter().
 */
#ifndef FAKE_PARENT_H
#define FAKE_PARENT_H

#include "tests/fake/plat.h"

/* Page numbers, in any partition's space, where the helpers put parameters: one pair a VP. */
#define PARENT_INPUT_GPN  8u
#define PARENT_OUTPUT_GPN 24u
#define PARENT_CHILD_RAM  32u   /* pages that child_create() maps at 0 */
#define PARENT_MAP_BASE   1024u /* the root's pages behind them, for the first child; 64 apart */

#define REPS(n)           ((uint64_t)(n) << HV_HYPERCALL_REP_COMP_OFFSET)
#define REP_START(n)      ((uint64_t)(n) << HV_HYPERCALL_REP_START_OFFSET)
#define VARHEAD(qwords)   ((uint64_t)(qwords) << HV_HYPERCALL_VARHEAD_OFFSET)
#define REPS_DONE(result) ((uint32_t)((result) >> HV_HYPERCALL_REP_COMP_OFFSET & 0xfff))

/*
 * The last call: what hypercall_enter() said at the end, how often it wanted to be called again,
 * and the registers.
 */
struct call_trace {
	enum hypercall_action action;
	uint32_t again;
	struct hypercall_regs regs;
};
extern struct call_trace last_call;

/*
 * A call with its parameters in memory; executed again as often as the hypervisor wants. The result
 * word; 0xffff if it has none.
 */
uint64_t call(struct vp *vp, uint64_t control, const void *in, size_t in_size, void *out,
	      size_t out_size);
/*
 * A fast call with up to 112 bytes in registers; what comes back in them goes to `out`, from offset
 * `out_offset` on.
 */
uint64_t call_fast(struct vp *vp, uint64_t control, const void *in, size_t in_size, void *out,
		   size_t out_offset, size_t out_size);
static inline hv_status_t status_of(uint64_t result)
{
	return (hv_status_t)result;
}

/* The root's VP 0. */
struct vp *root_vp(void);

/* Calls that most tests make; each returns the status. */
hv_status_t create_partition(uint64_t *id);
hv_status_t deposit(uint64_t id, uint32_t pages);
hv_status_t withdraw_all(uint64_t id, uint32_t *pages);
hv_status_t initialize_partition(uint64_t id);
hv_status_t finalize_partition(uint64_t id);
hv_status_t delete_partition(uint64_t id);
hv_status_t set_property(uint64_t id, uint32_t code, uint64_t value);
hv_status_t get_property(uint64_t id, uint32_t code, uint64_t *value);
hv_status_t create_vp(uint64_t id, uint32_t index);
hv_status_t map_pages(uint64_t id, uint64_t gpn, uint64_t source, uint32_t count, uint32_t flags);
hv_status_t get_register(uint64_t id, uint32_t index, uint32_t name, uint64_t *value);
hv_status_t set_register(uint64_t id, uint32_t index, uint32_t name, uint64_t value);
hv_status_t dispatch_vp(uint64_t id, uint32_t index, uint32_t flags,
			struct hv_output_dispatch_vp *out);

/*
 * A child with VPs, all synthetic features, PARENT_CHILD_RAM pages of memory and an identified
 * guest.
 */
struct partition *child_create(uint32_t vps);
/* Takes it down in the usual order, checks that all its pages came back. */
void child_destroy(struct partition *p);

/* Turns on a VP's SynIC: pages at the given page numbers, SINT unmasked with the vector. */
void synic_enable(struct vp *vp, uint64_t message_gpn, uint64_t event_gpn, uint32_t sint,
		  uint8_t vector);
/*
 * The message in the slot, as the guest reads it; then the guest frees the slot and gives an EOM.
 */
struct hv_message take_message(struct vp *vp, uint32_t sint);

#endif
