/* What the files of the /dev/mshv home share. */
#ifndef BACKEND_ROOT_H
#define BACKEND_ROOT_H

#include "backend/backend.h"
#include "include/hv/hypercall.h"
#include "include/hv/intercept.h"
#include "include/hv/interrupt.h"
#include "include/hv/memory.h"
#include "include/hv/msr.h"
#include "include/hv/partition.h"
#include "include/hv/synic.h"
#include "include/hv/vp.h"
#include "include/root/ioctl.h"

struct backend_partition {
	int fd;
};

struct backend_vp {
	int fd;
	uint32_t index;
	bool by_ioctl; /* the module does not run a VP by fdatasync() */
	/* The module's pages. NULL: it offers none, and registers go by hypercalls, messages by
	 * copy. */
	struct hv_vp_register_page *page;
	const struct hv_message *message;
	/* Of the intercept that is being answered. */
	uint64_t rip, next_rip; /* of the instruction, and of the one after it */
	uint64_t rax;
	bool wide;   /* a hypercall from 64-bit code: its result goes to RAX alone */
	bool trace;  /* EFLAGS.TF: a debug trap follows the instruction */
	bool shadow; /* an interrupt shadow is to be lifted when the instruction is over */
};

/*
 * A hypercall through a partition's or a VP's descriptor; the module fills in the partition id.
 * -EIO: a status that has no errno of its own; *status, if wanted, tells which.
 */
int root_call(int fd, uint16_t code, const void *input, size_t input_size, void *output,
	      size_t output_size, uint16_t reps, uint16_t *status);

/* The shared page has the VP's registers now, and takes changes. */
static inline bool registers_by_page(const struct backend_vp *vp)
{
	return vp->page != NULL && vp->page->isvalid;
}

int root_get_property(struct backend_partition *partition, uint32_t code, uint64_t *value);
int root_set_property(struct backend_partition *partition, uint32_t code, uint64_t value);

/* MSHV_GET_VP_STATE, MSHV_SET_VP_STATE: MSHV_VP_STATE_*. `buffer` is page aligned, of whole pages;
 * *size of them, then of the data. */
int root_get_state(struct backend_vp *vp, uint8_t type, void *buffer, uint32_t *size);
int root_set_state(struct backend_vp *vp, uint8_t type, void *buffer, uint32_t size);

/* root_registers.c */
#define ROOT_MAX_REGISTERS 40
int root_get_registers(struct backend_vp *vp, const uint32_t *names,
		       union hv_register_value *values, size_t count);
/* What the shared page has for the next run is in the hypervisor then. */
int root_settle_page(struct backend_vp *vp);
int root_set_registers(struct backend_vp *vp, struct hv_register_assoc *registers, size_t count);
/* The instruction is over: the shadow that an STI before it cast is gone too. */
int root_lift_shadow(struct backend_vp *vp);

/* root_message.c: what a message means. Remembers in the VP what the answer will need. */
void root_decode(struct backend_vp *vp, const struct hv_message *message, struct vp_exit *exit);
/* Puts the answer to the last exit where the hypervisor finds it. */
int root_answer(struct backend_vp *vp, const struct vp_exit *exit);

#endif
