/*
 * kvmrun [--hyperv] [--signals|--running] GUEST.elf: the peer of the benchmarks, the least program
 * that runs a multiboot guest on /dev/kvm: two VPs with KVM's own APICs, 64 MiB, COM1 to standard
 * output, every other port and address answered by nothing. --hyperv offers the guest what KVM has
 * of Hyper-V's interface; --signals tells it to measure what signals.h names, and offers that,
 * --running that both VPs may run all the time.
 */
#include "tests/bench/signals.h"

#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define VPS          2
#define MEMORY_BYTES (64ul << 20)
#define COM1         0x3f8
#define LINE_READY   0x60
#define LEAVES       256
#define GSI          24
#define DELIVER_TO_0 0xfee00000u

struct vp {
	int fd;
	struct kvm_run *run;
	pthread_t thread;
};

static struct signals signals;

static int checked(int result, const char *what)
{
	if (result < 0) {
		err(1, "%s", what);
	}
	return result;
}

static struct kvm_cpuid2 *get_leaves(int fd, unsigned long request, const char *what)
{
	struct kvm_cpuid2 *leaves =
		calloc(1, sizeof(*leaves) + LEAVES * sizeof(leaves->entries[0]));

	if (leaves == NULL) {
		err(1, "memory");
	}
	leaves->nent = LEAVES;
	checked(ioctl(fd, request, leaves), what);
	return leaves;
}

/* KVM's own leaves give way to Hyper-V's. */
static void add_hyperv(int kvm, struct kvm_cpuid2 *leaves)
{
	struct kvm_cpuid2 *more =
		get_leaves(kvm, KVM_GET_SUPPORTED_HV_CPUID, "KVM_GET_SUPPORTED_HV_CPUID");
	uint32_t kept = 0;

	for (uint32_t i = 0; i < leaves->nent; i++) {
		if (leaves->entries[i].function >> 8 != 0x400000) {
			leaves->entries[kept++] = leaves->entries[i];
		}
	}
	for (uint32_t i = 0; i < more->nent && kept < LEAVES; i++) {
		leaves->entries[kept++] = more->entries[i];
	}
	leaves->nent = kept;
	free(more);
}

static void set_cpuid(int kvm, int vp, uint32_t index, bool hyperv)
{
	struct kvm_cpuid2 *leaves =
		get_leaves(kvm, KVM_GET_SUPPORTED_CPUID, "KVM_GET_SUPPORTED_CPUID");
	struct kvm_enable_cap synic = {.cap = KVM_CAP_HYPERV_SYNIC2};

	if (hyperv) {
		checked(ioctl(vp, KVM_ENABLE_CAP, &synic), "KVM_CAP_HYPERV_SYNIC2");
		add_hyperv(kvm, leaves);
	}
	for (uint32_t i = 0; i < leaves->nent; i++) {
		if (leaves->entries[i].function == 1) {
			leaves->entries[i].ebx = (leaves->entries[i].ebx & 0xffffff) | index << 24;
			leaves->entries[i].ecx |= 1u << 24 | 1u << 21; /* TSC deadline, x2APIC */
		} else if (leaves->entries[i].function == 0xb) {
			leaves->entries[i].edx = index;
		}
	}
	checked(ioctl(vp, KVM_SET_CPUID2, leaves), "KVM_SET_CPUID2");
	free(leaves);
}

/* Multiboot's state at entry: 32-bit protected mode, flat segments, no paging. */
static void set_registers(int vp, uint32_t entry)
{
	struct kvm_segment data = {.limit = 0xffffffff,
				   .selector = 16,
				   .type = 3,
				   .present = 1,
				   .db = 1,
				   .s = 1,
				   .g = 1};
	struct kvm_regs regs = {
		.rip = entry, .rflags = 2, .rax = 0x2badb002, .rbx = SIGNALS_INFO_GPA};
	struct kvm_segment code = data;
	struct kvm_sregs sregs;

	code.type = 11;
	code.selector = 8;
	checked(ioctl(vp, KVM_GET_SREGS, &sregs), "KVM_GET_SREGS");
	sregs.cs = code;
	sregs.ds = sregs.es = sregs.fs = sregs.gs = sregs.ss = data;
	sregs.cr0 = 0x11;
	checked(ioctl(vp, KVM_SET_SREGS, &sregs), "KVM_SET_SREGS");
	checked(ioctl(vp, KVM_SET_REGS, &regs), "KVM_SET_REGS");
}

static void port_access(struct kvm_run *run)
{
	uint8_t *data = (uint8_t *)run + run->io.data_offset;

	if (run->io.direction == KVM_EXIT_IO_IN) {
		memset(data, run->io.port == COM1 + 5 ? LINE_READY : 0xff,
		       run->io.size * run->io.count);
	} else if (run->io.port == COM1) {
		putchar(*data);
	} else if (run->io.port == SIGNALS_PORT) {
		signals_interrupt(&signals);
	}
}

static void bind_signals(int vm, bool hyperv)
{
	struct kvm_ioeventfd doorbell = {
		.addr = SIGNALS_DOORBELL, .len = 2, .fd = signals.doorbell};
	struct kvm_hyperv_eventfd events[] = {
		{.conn_id = SIGNALS_EVENT, .fd = signals.event},
		{.conn_id = SIGNALS_THREAD_EVENT, .fd = signals.thread_event}};
	struct {
		struct kvm_irq_routing head;
		struct kvm_irq_routing_entry entry;
	} routes = {{.nr = 1},
		    {.gsi = GSI,
		     .type = KVM_IRQ_ROUTING_MSI,
		     .u.msi = {.address_lo = DELIVER_TO_0, .data = SIGNALS_VECTOR}}};
	struct kvm_irqfd interrupt = {.fd = (uint32_t)signals.interrupt, .gsi = GSI};

	checked(ioctl(vm, KVM_IOEVENTFD, &doorbell), "KVM_IOEVENTFD");
	checked(ioctl(vm, KVM_SET_GSI_ROUTING, &routes), "KVM_SET_GSI_ROUTING");
	checked(ioctl(vm, KVM_IRQFD, &interrupt), "KVM_IRQFD");
	for (int i = 0; hyperv && i < 2; i++) {
		checked(ioctl(vm, KVM_HYPERV_EVENTFD, &events[i]), "KVM_HYPERV_EVENTFD");
	}
}

/* Ends the process with the guest. */
static void *run_vp(void *argument)
{
	struct vp *vp = argument;

	for (;;) {
		/* EAGAIN: a VP that waits for its SIPI was sent INIT. */
		if (ioctl(vp->fd, KVM_RUN, 0) < 0) {
			if (errno == EAGAIN) {
				continue;
			}
			err(1, "KVM_RUN");
		}
		switch (vp->run->exit_reason) {
		case KVM_EXIT_IO:
			port_access(vp->run);
			break;
		case KVM_EXIT_MMIO:
			memset(vp->run->mmio.data, 0xff, sizeof(vp->run->mmio.data));
			break;
		case KVM_EXIT_SHUTDOWN:
			exit(0);
		case KVM_EXIT_HYPERV: /* SynIC's MSRs: KVM has done what there was to do */
			if (vp->run->hyperv.type == KVM_EXIT_HYPERV_HCALL) {
				vp->run->hyperv.u.hcall.result = 0;
			}
			break;
		default:
			errx(1, "the guest ended by exit reason %u", vp->run->exit_reason);
		}
	}
}

int main(int argc, char **argv)
{
	bool hyperv = argc > 2 && strcmp(argv[1], "--hyperv") == 0;
	bool signalling = argc > 2 && strcmp(argv[argc - 2], "--signals") == 0;
	bool running = argc > 2 && strcmp(argv[argc - 2], "--running") == 0;
	struct kvm_userspace_memory_region region = {.memory_size = MEMORY_BYTES};
	struct vp vps[VPS];
	uint8_t *memory;
	int kvm, vm;
	size_t run_bytes;

	if (argc != 2 + hyperv + signalling + running) {
		errx(2, "usage: kvmrun [--hyperv] [--signals|--running] GUEST.elf");
	}
	kvm = checked(open("/dev/kvm", O_RDWR), "/dev/kvm");
	vm = checked(ioctl(kvm, KVM_CREATE_VM, 0), "KVM_CREATE_VM");
	run_bytes =
		(size_t)checked(ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0), "KVM_GET_VCPU_MMAP_SIZE");
	memory = mmap(NULL, MEMORY_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		      0);
	if (memory == MAP_FAILED) {
		err(1, "guest memory");
	}
	region.userspace_addr = (uintptr_t)memory;
	checked(ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region), "KVM_SET_USER_MEMORY_REGION");
	checked(ioctl(vm, KVM_SET_TSS_ADDR, 0xfffbd000), "KVM_SET_TSS_ADDR");
	checked(ioctl(vm, KVM_CREATE_IRQCHIP, 0), "KVM_CREATE_IRQCHIP");
	for (uint32_t i = 0; i < VPS; i++) {
		vps[i].fd = checked(ioctl(vm, KVM_CREATE_VCPU, i), "KVM_CREATE_VCPU");
		vps[i].run =
			mmap(NULL, run_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, vps[i].fd, 0);
		if (vps[i].run == MAP_FAILED) {
			err(1, "kvm_run");
		}
		set_cpuid(kvm, vps[i].fd, i, hyperv);
	}
	if (signalling) {
		signals_begin(&signals, memory);
		bind_signals(vm, hyperv);
	}
	set_registers(vps[0].fd, signals_load(argv[argc - 1], memory, MEMORY_BYTES,
					      signalling ? SIGNALS_WORD
					      : running  ? RUNNING_WORD
							 : ""));
	setlinebuf(stdout);
	for (uint32_t i = 1; i < VPS; i++) {
		if (pthread_create(&vps[i].thread, NULL, run_vp, &vps[i])) {
			errx(1, "no thread for a VP");
		}
	}
	run_vp(&vps[0]);
	return 0;
}
