/*
 * The SynIC's registers (TLFS, "SynIC Registers"). Written by the VP's owner, under [S]; others
 * read them as single words. A register that places a page says so only when the page lies there.
 */
#include "tlfs/synic.h"

static void update_auto_eoi(struct vp *vp)
{
	memset(vp->lapic.auto_eoi, 0, sizeof(vp->lapic.auto_eoi));
	for (unsigned int i = 0; i < HV_SINT_COUNT; i++) {
		union hv_synic_sint sint = {.as_uint64 = vp->synic.sint[i]};

		if (!sint.masked && sint.auto_eoi) {
			vp->lapic.auto_eoi[sint.vector / 32] |= 1u << sint.vector % 32;
		}
	}
}

/*
 * A masked or polled SINT raises nothing, so its vector may be anything: 0 is what a guest writes
 * to switch one off.
 */
static enum access_result write_sint(struct vp *vp, unsigned int index, uint64_t value)
{
	union hv_synic_sint sint = {.as_uint64 = value};

	if (!sint.masked && !sint.polling && sint.vector < HV_SYNIC_FIRST_VALID_VECTOR) {
		return ACCESS_FAULT;
	}
	spin_lock(&vp->synic.lock);
	__atomic_store_n(&vp->synic.sint[index], value, __ATOMIC_RELAXED);
	spin_unlock(&vp->synic.lock);
	update_auto_eoi(vp);
	synic_flush_queue(vp);
	return ACCESS_OK;
}

/*
 * The page is moved before the register says so: until then nothing is told of it, and what is
 * written to it is not lost.
 */
static enum access_result write_page(struct vp *vp, uint64_t *reg, void *page, uint64_t value)
{
	if (page == NULL || overlay_move(vp->partition, *reg, value, page) != HV_STATUS_SUCCESS) {
		return ACCESS_FAULT;
	}
	spin_lock(&vp->synic.lock);
	__atomic_store_n(reg, value, __ATOMIC_RELAXED);
	spin_unlock(&vp->synic.lock);
	synic_flush_queue(vp);
	return ACCESS_OK;
}

static void write_scontrol(struct vp *vp, uint64_t value)
{
	spin_lock(&vp->synic.lock);
	__atomic_store_n(&vp->synic.scontrol, value, __ATOMIC_RELAXED);
	spin_unlock(&vp->synic.lock);
	synic_flush_queue(vp);
}

enum access_result synic_msr_read(struct vp *vp, uint32_t msr, uint64_t *value)
{
	const struct synic *synic = &vp->synic;

	switch (msr) {
	case HV_X64_MSR_SCONTROL:
		*value = synic->scontrol;
		return ACCESS_OK;
	case HV_X64_MSR_SVERSION:
		*value = HV_SYNIC_VERSION_1;
		return ACCESS_OK;
	case HV_X64_MSR_SIEFP:
		*value = synic->siefp;
		return ACCESS_OK;
	case HV_X64_MSR_SIMP:
		*value = synic->simp;
		return ACCESS_OK;
	case HV_X64_MSR_SIRBP:
		*value = synic->sirbp;
		return synic->ring_page != NULL ? ACCESS_OK : ACCESS_FAULT;
	case HV_X64_MSR_EOM:
		*value = 0;
		return ACCESS_OK;
	case HV_X64_MSR_SINT0 ... HV_X64_MSR_SINT15:
		*value = synic->sint[msr - HV_X64_MSR_SINT0];
		return ACCESS_OK;
	default:
		return ACCESS_FAULT;
	}
}

enum access_result synic_msr_write(struct vp *vp, uint32_t msr, uint64_t value)
{
	struct synic *synic = &vp->synic;

	switch (msr) {
	case HV_X64_MSR_SCONTROL:
		write_scontrol(vp, value);
		return ACCESS_OK;
	case HV_X64_MSR_SIEFP:
		return write_page(vp, &synic->siefp, synic->event_page, value);
	case HV_X64_MSR_SIMP:
		return write_page(vp, &synic->simp, synic->message_page, value);
	case HV_X64_MSR_SIRBP:
		return write_page(vp, &synic->sirbp, synic->ring_page, value);
	case HV_X64_MSR_EOM:
		synic_end_of_message(vp);
		return ACCESS_OK;
	case HV_X64_MSR_SINT0 ... HV_X64_MSR_SINT15:
		return write_sint(vp, msr - HV_X64_MSR_SINT0, value);
	default: /* SVERSION is read-only */
		return ACCESS_FAULT;
	}
}
