/*
 * kvmrun GUEST.elf: the peer of the benchmarks, the least program that runs a multiboot guest on /dev/kvm: one VP, 64 MiB, COM1
 * to standard output, every other port and address answered by nothing.
 */
#include <elf.h>
#include <err.h>
#include <fcntl.h>
#include <linux/kvm.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define MEMORY_BYTES (64ul << 20)
#define INFO_GPA     0x8000
#define COM1         0x3f8
#define LINE_READY   0x60

static int checked(int result, const char *what)
{
	if (result < 0) {
		err(1, "%s", what);
	}
	return result;
}

static uint32_t load(const char *path, uint8_t *memory)
{
	int file = checked(open(path, O_RDONLY), path);
	struct stat status;
	const uint8_t *image;
	const Elf32_Ehdr *head;

	checked(fstat(file, &status), path);
	image = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, file, 0);
	head = (const void *)image;
	if (image == MAP_FAILED || (size_t)status.st_size < sizeof(*head) ||
	    memcmp(head->e_ident, ELFMAG "\1", 5) != 0) {
		errx(1, "%s is not a 32-bit ELF file", path);
	}
	for (int i = 0; i < head->e_phnum; i++) {
		const Elf32_Phdr *part =
			(const void *)(image + head->e_phoff + (size_t)i * sizeof(*part));

		if (part->p_type == PT_LOAD &&
		    part->p_paddr + (uint64_t)part->p_memsz <= MEMORY_BYTES) {
			memcpy(memory + part->p_paddr, image + part->p_offset, part->p_filesz);
		}
	}
	close(file);
	return head->e_entry;
}

static void set_cpuid(int kvm, int vp)
{
	struct kvm_cpuid2 *leaves = calloc(1, sizeof(*leaves) + 256 * sizeof(leaves->entries[0]));

	if (leaves == NULL) {
		err(1, "memory");
	}
	leaves->nent = 256;
	checked(ioctl(kvm, KVM_GET_SUPPORTED_CPUID, leaves), "KVM_GET_SUPPORTED_CPUID");
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
	struct kvm_regs regs = {.rip = entry, .rflags = 2, .rax = 0x2badb002, .rbx = INFO_GPA};
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
	}
}

static int run_guest(int vp, struct kvm_run *run)
{
	for (;;) {
		checked(ioctl(vp, KVM_RUN, 0), "KVM_RUN");
		switch (run->exit_reason) {
		case KVM_EXIT_IO:
			port_access(run);
			break;
		case KVM_EXIT_MMIO:
			memset(run->mmio.data, 0xff, sizeof(run->mmio.data));
			break;
		case KVM_EXIT_SHUTDOWN:
			return 0;
		default:
			warnx("the guest ended by exit reason %u", run->exit_reason);
			return 1;
		}
	}
}

int main(int argc, char **argv)
{
	int kvm, vm, vp;
	uint8_t *memory;
	struct kvm_run *run;
	struct kvm_userspace_memory_region region = {.memory_size = MEMORY_BYTES};

	if (argc != 2) {
		errx(2, "usage: kvmrun GUEST.elf");
	}
	kvm = checked(open("/dev/kvm", O_RDWR), "/dev/kvm");
	vm = checked(ioctl(kvm, KVM_CREATE_VM, 0), "KVM_CREATE_VM");
	memory = mmap(NULL, MEMORY_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
		      0);
	if (memory == MAP_FAILED) {
		err(1, "guest memory");
	}
	region.userspace_addr = (uintptr_t)memory;
	checked(ioctl(vm, KVM_SET_USER_MEMORY_REGION, &region), "KVM_SET_USER_MEMORY_REGION");
	vp = checked(ioctl(vm, KVM_CREATE_VCPU, 0), "KVM_CREATE_VCPU");
	run = mmap(NULL,
		   (size_t)checked(ioctl(kvm, KVM_GET_VCPU_MMAP_SIZE, 0), "KVM_GET_VCPU_MMAP_SIZE"),
		   PROT_READ | PROT_WRITE, MAP_SHARED, vp, 0);
	if (run == MAP_FAILED) {
		err(1, "kvm_run");
	}
	set_cpuid(kvm, vp);
	set_registers(vp, load(argv[1], memory));
	return run_guest(vp, run);
}
