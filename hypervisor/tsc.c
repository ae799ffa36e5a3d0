/*
 * Two LPs read their counters in turn, under a lock: one that reads less than the other read before
 * it is behind, by that much at least. What is seen that way is what a guest could see. The counter
 * is moved by it and measured again.
 */
#include "hypervisor/tsc.h"

#include "hypervisor/arch/x86/cpu.h"
#include "hypervisor/console.h"
#include "lib/spinlock.h"
#include "tlfs/plat.h"

#define MSR_TSC_ADJUST 0x3b
#define RUNS           5   /* the last only measures */
#define RUNS_A_SECOND  500 /* a run takes 2 ms */
#define CHANGES        8   /* of turns in a run: an emulator may run one LP after the other */
#define SIDE_COUNT     2

static struct {
	struct spinlock lock;
	uint64_t last; /* what either read last */
	uint64_t behind
		[SIDE_COUNT]; /* the most by which each was behind the other; [1] is the boot LP */
	bool reader;          /* who did */
	uint32_t changes;     /* [a] of the reader */
	uint32_t arrived;     /* [a] */
} meeting;

/* Both have come here. */
static void meet(void)
{
	uint32_t all = (__atomic_add_fetch(&meeting.arrived, 1, __ATOMIC_SEQ_CST) + 1) & ~1u;

	while ((int32_t)(__atomic_load_n(&meeting.arrived, __ATOMIC_ACQUIRE) - all) < 0) {
		cpu_relax();
	}
}

static void measure(bool boot)
{
	uint64_t *behind = &meeting.behind[boot], now = plat_tsc();
	const uint64_t end = now + plat_info.tsc_hz / RUNS_A_SECOND;

	while (now < end || __atomic_load_n(&meeting.changes, __ATOMIC_RELAXED) < CHANGES) {
		spin_lock(&meeting.lock);
		__asm__ volatile("lfence" : : : "memory"); /* the counter is read behind the lock */
		now = plat_tsc();
		if (now < meeting.last && meeting.last - now > *behind) {
			*behind = meeting.last - now;
		}
		meeting.last = now;
		if (meeting.reader != boot) {
			meeting.reader = boot;
			__atomic_store_n(&meeting.changes, meeting.changes + 1, __ATOMIC_RELAXED);
		}
		spin_unlock(&meeting.lock);
	}
}

/* Writing the counter itself is not tried: it comes too late by more than is to be corrected. */
static void move(int64_t cycles)
{
	uint64_t adjust;

	if (rdmsr_safe(MSR_TSC_ADJUST, &adjust)) {
		wrmsr_safe(MSR_TSC_ADJUST, adjust + (uint64_t)cycles);
	}
}

/* Both sides come to the same answer. The boot LP's counter stays, since others were made equal to
 * it already. */
static bool equal_after_moving(bool boot, unsigned int run)
{
	const uint64_t *behind = meeting.behind;

	if (!behind[0] && !behind[1]) {
		return true;
	}
	if (!boot && run + 1 < RUNS) {
		move(behind[0] ? (int64_t)behind[0] : -(int64_t)behind[1]);
	}
	return false;
}

void tsc_meet(bool boot)
{
	bool equal = false;

	for (unsigned int run = 0; run < RUNS && !equal; run++) {
		if (boot) {
			meeting.last = meeting.behind[0] = meeting.behind[1] = 0;
			meeting.changes = 0;
		}
		meet();
		measure(boot);
		meet();
		equal = equal_after_moving(boot, run);
		meet();
	}
	if (boot && !equal) {
		console_print("TSC: a processor's is %lu cycles behind the first's, or %lu ahead, "
			      "and cannot be set: "
			      "partitions get no reference TSC page\n",
			      meeting.behind[0], meeting.behind[1]);
		plat_info.tsc_equal = plat_info.tsc_invariant = false;
	}
}
