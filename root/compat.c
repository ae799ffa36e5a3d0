/* The kernel's Hyper-V code as the module sees it, for Linux 6.1 to 7.x. */
#include <linux/eventfd.h>
#include <linux/mm.h>
#include <linux/rcupdate.h>
#include <linux/version.h>
#ifdef CONFIG_VIRT_XFER_TO_GUEST_WORK
#include <linux/entry-virt.h>
#include <linux/rseq.h>
#else
#include <linux/entry-kvm.h>
#include <linux/kvm_host.h>
#endif
#include <asm/mshyperv.h>
#include <asm/msr.h>

#include "compat.h"

#define HAS_MSHV_HANDLER (LINUX_VERSION_CODE >= KERNEL_VERSION(6, 15, 0))
#define HAS_RDMSRQ       (LINUX_VERSION_CODE >= KERNEL_VERSION(6, 16, 0))
#define HAS_PLAIN_SIGNAL (LINUX_VERSION_CODE >= KERNEL_VERSION(6, 8, 0))
#define HAS_PFNMAP       (LINUX_VERSION_CODE >= KERNEL_VERSION(6, 12, 0))

int compat_probe(void)
{
	if (IS_ENABLED(CONFIG_MSHV_ROOT)) {
		pr_err("this kernel has its own driver for /dev/mshv: load mshv_root instead\n");
		return -EEXIST;
	}
	if (!hv_is_hyperv_initialized()) {
		pr_err("no hypervisor: boot this machine by Verdigris, then load the module\n");
		return -ENODEV;
	}
	if (!(ms_hyperv.priv_high & HV_CREATE_PARTITIONS)) {
		pr_err("this partition may not create partitions: it is a guest, not the root\n");
		return -ENODEV;
	}
	return 0;
}

uint64_t compat_hypercall(uint64_t control, void *input, void *output)
{
	return hv_do_hypercall(control, input, output);
}

uint64_t compat_fast_hypercall(uint16_t code, uint64_t input1, uint64_t input2)
{
	return hv_do_fast_hypercall16(code, input1, input2);
}

uint64_t compat_msr_read(uint32_t msr)
{
	uint64_t value;

#if HAS_RDMSRQ
	rdmsrq(msr, value);
#else
	rdmsrl(msr, value);
#endif
	return value;
}

void compat_msr_write(uint32_t msr, uint64_t value)
{
#if HAS_RDMSRQ
	wrmsrq(msr, value);
#else
	wrmsrl(msr, value);
#endif
}

uint32_t compat_vp_index(unsigned int cpu)
{
	return hv_vp_index[cpu];
}

bool compat_auto_eoi(void)
{
	return !(ms_hyperv.hints & HV_DEPRECATING_AEOI_RECOMMENDED);
}

/* Before 6.15 there is one hook, VMBus'; it is free where there is no VMBus device. */
static void set_hook(void (*handler)(void))
{
#if HAS_MSHV_HANDLER
	hv_setup_mshv_handler(handler);
#else
	if (handler != NULL) {
		hv_setup_vmbus_handler(handler);
	} else {
		hv_remove_vmbus_handler();
	}
#endif
}

void compat_set_handler(void (*handler)(void))
{
	set_hook(handler);
	if (handler == NULL) {
		synchronize_rcu();
	}
}

#ifndef CONFIG_VIRT_XFER_TO_GUEST_WORK
/* Before 6.18 the kernel notes in KVM's structs that there was a signal; these are there to be
 * written, and nobody reads them. */
static struct kvm_run noted_run;
static struct kvm_vcpu noted_vcpu = {.run = &noted_run};
#endif

int compat_guest_work(void)
{
	if (likely(!__xfer_to_guest_mode_work_pending())) {
		return 0;
	}
#ifdef CONFIG_VIRT_XFER_TO_GUEST_WORK
	return xfer_to_guest_mode_handle_work();
#else
	return xfer_to_guest_mode_handle_work(&noted_vcpu);
#endif
}

void compat_guest_leave(void)
{
#ifdef CONFIG_VIRT_XFER_TO_GUEST_WORK
	rseq_virt_userspace_exit();
#endif
}

void compat_eventfd_signal(struct eventfd_ctx *eventfd)
{
#if HAS_PLAIN_SIGNAL
	eventfd_signal(eventfd);
#else
	eventfd_signal(eventfd, 1);
#endif
}

/* As who opened the device may write there: not a copy of his own, and not what he only reads. */
#define DEVICE_FLAGS (VM_PFNMAP | VM_SHARED | VM_WRITE)

int compat_device_pfn(struct mm_struct *mm, unsigned long address, uint64_t *pfn)
{
	struct vm_area_struct *vma = vma_lookup(mm, address);
#if HAS_PFNMAP
	struct follow_pfnmap_args args = {.vma = vma, .address = address};
#else
	unsigned long found;
#endif

	if (vma == NULL || (vma->vm_flags & DEVICE_FLAGS) != DEVICE_FLAGS) {
		return -EFAULT;
	}
#if HAS_PFNMAP
	if (follow_pfnmap_start(&args)) {
		return -EAGAIN;
	}
	*pfn = args.pfn;
	follow_pfnmap_end(&args);
#else
	if (follow_pfn(vma, address, &found)) {
		return -EAGAIN;
	}
	*pfn = found;
#endif
	return 0;
}
