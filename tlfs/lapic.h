/*
 * What the files of the local APIC share: lapic.c (delivery), lapic_registers.c, lapic_msr.c
 * (x2APIC and APIC_BASE), lapic_timer.c, lapic_ipi.c (routing), lapic_state.c (save and restore).
 * Offsets and bits: Intel SDM vol. 3, "Advanced Programmable Interrupt Controller"; AMD APM vol. 2,
 * ch. 16.
 */
#ifndef TLFS_LAPIC_H
#define TLFS_LAPIC_H

#include "include/hv/interrupt.h"
#include "tlfs/hv.h"

enum lapic_register { /* offset in the xAPIC page >> 4; x2APIC: MSR - 0x800 */
		      LAPIC_ID = 0x02,
		      LAPIC_VERSION = 0x03,
		      LAPIC_TPR = 0x08,
		      LAPIC_APR = 0x09,
		      LAPIC_PPR = 0x0A,
		      LAPIC_EOI = 0x0B,
		      LAPIC_RRD = 0x0C,
		      LAPIC_LDR = 0x0D,
		      LAPIC_DFR = 0x0E,
		      LAPIC_SVR = 0x0F,
		      LAPIC_ISR = 0x10, /* 8 registers each */
		      LAPIC_TMR = 0x18,
		      LAPIC_IRR = 0x20,
		      LAPIC_ESR = 0x28,
		      LAPIC_CMCI = 0x2F,
		      LAPIC_ICR = 0x30,
		      LAPIC_ICR_HIGH = 0x31,
		      LAPIC_LVT_TIMER = 0x32,
		      LAPIC_LVT_THERMAL = 0x33,
		      LAPIC_LVT_PMC = 0x34,
		      LAPIC_LVT_LINT0 = 0x35,
		      LAPIC_LVT_LINT1 = 0x36,
		      LAPIC_LVT_ERROR = 0x37,
		      LAPIC_TIMER_INITIAL = 0x38,
		      LAPIC_TIMER_CURRENT = 0x39,
		      LAPIC_TIMER_DIVIDE = 0x3E,
		      LAPIC_SELF_IPI = 0x3F, /* x2APIC only */
		      LAPIC_REGISTER_COUNT = 0x40,
};

#define LAPIC_MSR_BASE         0x0000001Bu
#define LAPIC_MSR_TSC_DEADLINE 0x000006E0u
#define LAPIC_MSR_X2APIC       0x00000800u
#define LAPIC_MSR_X2APIC_LAST  0x000008FFu
#define LAPIC_BASE_DEFAULT     0xFEE00000ull
#define LAPIC_BASE_BSP         (1ull << 8)
#define LAPIC_BASE_X2APIC      (1ull << 10)
#define LAPIC_BASE_ENABLE      (1ull << 11)

/* Integrated APIC, six LVT entries, no suppression of EOI broadcasts. */
#define LAPIC_VERSION_VALUE  0x00050014u
#define LAPIC_SVR_ENABLE     (1u << 8)
#define LAPIC_SVR_WRITABLE   0x3FFu
#define LAPIC_LVT_MASKED     (1u << 16)
#define LAPIC_LVT_MODE(lvt)  (((lvt) >> 8) & 7)
#define LAPIC_LVT_LEVEL      (1u << 15)
#define LAPIC_LVT_STATUS     (1u << 12) /* delivery status: always idle */
#define LAPIC_LVT_REMOTE_IRR (1u << 14)

#define LAPIC_ESR_SEND_ILLEGAL_VECTOR    (1u << 5)
#define LAPIC_ESR_RECEIVE_ILLEGAL_VECTOR (1u << 6)
#define LAPIC_ESR_ILLEGAL_REGISTER       (1u << 7)
#define LAPIC_ESR_BITS                   0xFFu
#define LAPIC_XAPIC_BROADCAST            0xFFu
#define LAPIC_FIRST_VECTOR               16

/* LVT timer bits 18:17 */
enum lapic_timer_mode {
	LAPIC_TIMER_ONE_SHOT,
	LAPIC_TIMER_PERIODIC,
	LAPIC_TIMER_TSC_DEADLINE,
	LAPIC_TIMER_RESERVED
};

/* Message types, in ICR bits 10:8 and LVT entries; enum hv_interrupt_type has the same numbers. */
enum lapic_mode {
	LAPIC_MODE_FIXED,
	LAPIC_MODE_LOWEST,
	LAPIC_MODE_SMI,
	LAPIC_MODE_REMOTE_READ,
	LAPIC_MODE_NMI,
	LAPIC_MODE_INIT,
	LAPIC_MODE_SIPI,
	LAPIC_MODE_EXTINT,
};

static inline bool lapic_x2apic(const struct lapic *apic)
{
	return (apic->base & (LAPIC_BASE_ENABLE | LAPIC_BASE_X2APIC)) ==
	       (LAPIC_BASE_ENABLE | LAPIC_BASE_X2APIC);
}

/*
 * Enabled by IA32_APIC_BASE and by the spurious-interrupt vector register: takes fixed interrupts.
 *
 */
static inline bool lapic_enabled(const struct lapic *apic)
{
	return (apic->base & LAPIC_BASE_ENABLE) && (apic->svr & LAPIC_SVR_ENABLE);
}

/* Is x2APIC mode shown to the guest, and open to it? */
static inline bool lapic_x2apic_offered(const struct vp *vp)
{
	return vp->partition->create_flags & HV_PARTITION_CREATION_FLAG_X2APIC_CAPABLE;
}

static inline int lapic_highest(const uint32_t vectors[8], uint32_t words)
{
	unsigned int word;

	if (!words) {
		return -1;
	}
	word = 31 - (unsigned int)__builtin_clz(words);
	return (int)(word * 32 + 31 - (unsigned int)__builtin_clz(vectors[word]));
}

/* lapic.c */
void lapic_settle(struct vp *vp); /* the ISR, true whatever the assist page says */
void lapic_end_lost(struct vp *vp);
void lapic_reset(struct vp *vp); /* registers of power-on; APIC_BASE stays */
void lapic_error(struct vp *vp, uint32_t esr_bits);
uint32_t lapic_ppr(const struct lapic *apic);

/* lapic_registers.c */
bool lapic_readable(const struct lapic *apic, unsigned int reg);
bool lapic_writable(const struct lapic *apic, unsigned int reg);
uint32_t lapic_read(struct vp *vp, unsigned int reg);              /* a readable register */
void lapic_write(struct vp *vp, unsigned int reg, uint32_t value); /* a writable one */
uint32_t lapic_lvt_bits(unsigned int reg); /* bits of an LVT register that software writes */

/* lapic_ipi.c */
void lapic_send_ipi(struct vp *vp, uint64_t icr); /* icr in x2APIC form: destination in 63:32 */
void lapic_self_ipi(struct vp *vp, uint8_t vector);
uint32_t lapic_x2apic_ldr(uint32_t apic_id);

/* lapic_timer.c */
void lapic_timer_set_lvt(struct vp *vp, uint32_t lvt);
void lapic_timer_set_initial(struct vp *vp, uint32_t count);
void lapic_timer_set_divide(struct vp *vp, uint32_t divide);
void lapic_timer_restore(struct vp *vp, uint32_t initial, uint32_t current);
uint32_t lapic_timer_current(const struct vp *vp);
void lapic_timer_set_tsc_deadline(struct vp *vp, uint64_t deadline);

#endif
