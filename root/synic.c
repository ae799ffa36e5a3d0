/*
 * The root's SynIC: SIMP, SIEFP and SIRBP of each CPU (TLFS: SynIC). What arrives there is taken by
 * synic_take.c.
 *
 *	SINT0		messages of the hypervisor: VPs to dispatch, EOIs, completions, doorbells
 *			(of SINT5)
 *	SINT5		doorbells: as_intercept, so that each becomes a message on SINT0 and an
 *			entry in the ring of SINT5
 *	SIGNAL_SINT	event flags of connections that are bound to eventfds
 *
 * All have the kernel's callback vector. Nobody else uses the SynIC, as the root has no VMBus;
 * where somebody does, pages that are enabled are shared and left as they are.
 */
#include <linux/cpuhotplug.h>
#include <linux/errno.h>
#include <linux/gfp.h>
#include <linux/io.h>
#include <linux/notifier.h>
#include <linux/percpu.h>
#include <linux/reboot.h>
#include <asm/irq_vectors.h>

#include "hv/msr.h"
#include "synic.h"

static DEFINE_PER_CPU(struct synic_cpu, cpus);
static int hotplug_state;

void *synic_hvcall_page(void)
{
	return this_cpu_read(cpus.hvcall_page);
}

static void synic_interrupt(void)
{
	struct synic_cpu *cpu = this_cpu_ptr(&cpus);

	if (cpu->pages[PAGE_MESSAGES].used == NULL) {
		return;
	}
	synic_take(cpu);
}

/* ---- a CPU comes and goes ---- */

static void page_enable(struct synic_page *page)
{
	page->previous = compat_msr_read(page->msr);
	if (page->previous & HV_SYNIC_SIMP_ENABLE) {
		page->used = phys_to_virt(page->previous & PAGE_MASK);
		return;
	}
	page->used = page->own;
	compat_msr_write(page->msr, virt_to_phys(page->own) | HV_SYNIC_SIMP_ENABLE);
}

static void page_disable(struct synic_page *page)
{
	compat_msr_write(page->msr, page->previous);
	page->used = NULL;
}

static void sint_enable(uint32_t sint, bool as_intercept)
{
	union hv_synic_sint value = {
		.vector = HYPERVISOR_CALLBACK_VECTOR,
		.auto_eoi = compat_auto_eoi(),
		.as_intercept = as_intercept,
	};

	compat_msr_write(HV_X64_MSR_SINT0 + sint, value.as_uint64);
}

static void sint_disable(uint32_t sint)
{
	compat_msr_write(HV_X64_MSR_SINT0 + sint, HV_SYNIC_SINT_MASKED);
}

static int synic_cpu_online(unsigned int number)
{
	struct synic_cpu *cpu = this_cpu_ptr(&cpus);
	uint32_t i;

	for (i = 0; i < PAGE_COUNT; i++) {
		page_enable(&cpu->pages[i]);
	}
	cpu->ring_tail = TAIL_UNKNOWN;
	sint_enable(HV_SYNIC_INTERCEPTION_SINT_INDEX, false);
	sint_enable(HV_SYNIC_DOORBELL_SINT_INDEX, true);
	sint_enable(SIGNAL_SINT, false);
	cpu->previous_control = compat_msr_read(HV_X64_MSR_SCONTROL);
	compat_msr_write(HV_X64_MSR_SCONTROL, cpu->previous_control | HV_SYNIC_CONTROL_ENABLE);
	return 0;
}

/* What has come before the SINTs were masked. */
static void take_rest(struct synic_cpu *cpu)
{
	unsigned long flags;

	local_irq_save(flags);
	synic_take(cpu);
	local_irq_restore(flags);
}

/*
 * Messages about a VP go to the CPU that dispatched it last. Those that were to come here would
 * never arrive, so each VP is dispatched once more, elsewhere.
 */
static int synic_cpu_offline(unsigned int number)
{
	struct synic_cpu *cpu = this_cpu_ptr(&cpus);
	uint32_t i;

	sint_disable(SIGNAL_SINT);
	sint_disable(HV_SYNIC_DOORBELL_SINT_INDEX);
	sint_disable(HV_SYNIC_INTERCEPTION_SINT_INDEX);
	take_rest(cpu);
	compat_msr_write(HV_X64_MSR_SCONTROL, cpu->previous_control);
	for (i = 0; i < PAGE_COUNT; i++) {
		page_disable(&cpu->pages[i]);
	}
	partitions_kick();
	return 0;
}

/* ---- the module comes and goes ---- */

static void free_pages_of_cpus(void)
{
	struct synic_cpu *cpu;
	unsigned int number;
	uint32_t i;

	for_each_possible_cpu(number)
	{
		cpu = per_cpu_ptr(&cpus, number);
		for (i = 0; i < PAGE_COUNT; i++) {
			free_page((unsigned long)cpu->pages[i].own);
		}
		free_page((unsigned long)cpu->hvcall_page);
	}
}

static bool alloc_pages_of_cpu(struct synic_cpu *cpu)
{
	static const uint32_t msrs[PAGE_COUNT] = {
		[PAGE_MESSAGES] = HV_X64_MSR_SIMP,
		[PAGE_FLAGS] = HV_X64_MSR_SIEFP,
		[PAGE_RINGS] = HV_X64_MSR_SIRBP,
	};
	uint32_t i;

	for (i = 0; i < PAGE_COUNT; i++) {
		cpu->pages[i].msr = msrs[i];
		cpu->pages[i].own = (void *)get_zeroed_page(GFP_KERNEL);
		if (cpu->pages[i].own == NULL) {
			return false;
		}
	}
	cpu->hvcall_page = (void *)get_zeroed_page(GFP_KERNEL);
	return cpu->hvcall_page != NULL;
}

/* The next kernel of a kexec must not find its memory under pages of the hypervisor. */
static int before_reboot(struct notifier_block *block, unsigned long action, void *data)
{
	cpuhp_remove_state(hotplug_state);
	return NOTIFY_DONE;
}

static struct notifier_block reboot_notifier = {
	.notifier_call = before_reboot,
};

int synic_init(void)
{
	unsigned int number;
	int ret = -ENOMEM;

	for_each_possible_cpu(number)
	{
		if (!alloc_pages_of_cpu(per_cpu_ptr(&cpus, number))) {
			goto out_free;
		}
	}
	compat_set_handler(synic_interrupt);
	ret = cpuhp_setup_state(CPUHP_AP_ONLINE_DYN, "mshv_vd:online", synic_cpu_online,
				synic_cpu_offline);
	if (ret < 0) {
		goto out_handler;
	}
	hotplug_state = ret;
	ret = register_reboot_notifier(&reboot_notifier);
	if (ret) {
		goto out_hotplug;
	}
	return 0;

out_hotplug:
	cpuhp_remove_state(hotplug_state);

out_handler:
	compat_set_handler(NULL);
out_free:
	free_pages_of_cpus();
	return ret;
}

void synic_exit(void)
{
	unregister_reboot_notifier(&reboot_notifier);
	cpuhp_remove_state(hotplug_state);
	compat_set_handler(NULL);
	free_pages_of_cpus();
}
