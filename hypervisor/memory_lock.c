/*
 * The memory lock: copies from and to guests' memory, which every call makes, hold it shared and
 * write nothing that another LP reads; who changes a table of pages holds it alone.
 *
 * An LP that wants it shared says so in its own line, then looks whether somebody wants it alone;
 * that one says so first and looks at all LPs' lines then. So one of the two sees the other, and
 * the shared one gives way: it comes by `queue` in turn with those that want it alone, so that
 * neither kind starves the other. tests/model/memory_lock.pml is this as a model.
 */
#include "hypervisor/arch/x86/cpu.h"
#include "hypervisor/gpa.h"
#include "hypervisor/lp.h"
#include "hypervisor/memory.h"

static struct spinlock queue;
static bool
	alone; /* [a] somebody has it alone, or waits for the shared ones to end; under `queue` */

static void set_reading(struct lp *lp, bool reading)
{
	__atomic_store_n(&lp->memory_reading, reading, __ATOMIC_SEQ_CST);
}

void memory_lock_shared(void)
{
	struct lp *lp = lp_this();

	set_reading(lp, true);
	if (__builtin_expect(!__atomic_load_n(&alone, __ATOMIC_SEQ_CST), 1)) {
		return;
	}
	set_reading(lp, false);
	spin_lock(&queue);
	set_reading(lp, true);
	spin_unlock(&queue);
}

void memory_unlock_shared(void)
{
	__atomic_store_n(&lp_this()->memory_reading, false, __ATOMIC_RELEASE);
}

void memory_lock(void)
{
	spin_lock(&queue);
	__atomic_store_n(&alone, true, __ATOMIC_SEQ_CST);
	for (uint32_t i = 0; i < lp_count; i++) {
		while (__atomic_load_n(&lp_get(i)->memory_reading, __ATOMIC_SEQ_CST)) {
			cpu_relax();
		}
	}
}

void memory_unlock(void)
{
	__atomic_store_n(&alone, false, __ATOMIC_RELEASE);
	spin_unlock(&queue);
}

struct gpa_recent *gpa_recent(void)
{
	return lp_this()->recent;
}
