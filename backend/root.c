/*
 * The /dev/mshv home: partitions and the life of VPs. The order of calls is that of every user of
 * this device: create, early properties, initialize, intercepts, memory, VPs, registers, run.
 */
#include "backend/root.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cpuid.h>

int root_call(int fd, uint16_t code, const void *input, size_t input_size, void *output,
	      size_t output_size, uint16_t reps, uint16_t *status)
{
	struct mshv_root_hvcall call = {
		.code = code,
		.reps = reps,
		.in_sz = (uint16_t)input_size,
		.out_sz = (uint16_t)output_size,
		.in_ptr = (uintptr_t)input,
		.out_ptr = (uintptr_t)output,
	};
	int ret = ioctl(fd, MSHV_ROOT_HVCALL, &call) < 0 ? -errno : 0;

	if (status != NULL) {
		*status = call.status;
	}
	return ret;
}

static int access_state(struct backend_vp *vp, unsigned long command, uint8_t type, void *buffer,
			uint32_t *size)
{
	struct mshv_get_set_vp_state args = {
		.type = type, .buf_sz = *size, .buf_ptr = (uintptr_t)buffer};
	int ret = ioctl(vp->fd, command, &args) < 0 ? -errno : 0;

	*size = args.buf_sz;
	return ret;
}

int root_get_state(struct backend_vp *vp, uint8_t type, void *buffer, uint32_t *size)
{
	return access_state(vp, MSHV_GET_VP_STATE, type, buffer, size);
}

int root_set_state(struct backend_vp *vp, uint8_t type, void *buffer, uint32_t size)
{
	return access_state(vp, MSHV_SET_VP_STATE, type, buffer, &size);
}

const char *backend_device(void)
{
	return MSHV_DEVICE;
}

size_t backend_commands(const unsigned int **commands)
{
	static const unsigned int all[] = {
		MSHV_CREATE_PARTITION,  MSHV_INITIALIZE_PARTITION,
		MSHV_ROOT_HVCALL,       MSHV_SET_GUEST_MEMORY,
		MSHV_CREATE_VP,         MSHV_RUN_VP,
		MSHV_GET_VP_STATE,      MSHV_SET_VP_STATE,
		MSHV_VD_SIGNAL_EVENTFD, MSHV_GET_GPAP_ACCESS_BITMAP,
		MSHV_SET_MSI_ROUTING,   MSHV_IRQFD,
	};

	*commands = all;
	return ARRAY_COUNT(all);
}

/* TLFS, feature discovery: the signature, and the privilege to create partitions. */
static bool on_parent_hypervisor(void)
{
	uint32_t eax, ebx, ecx, edx;

	if (!__get_cpuid(1, &eax, &ebx, &ecx, &edx) || !(ecx & (1u << 31))) {
		return false;
	}
	__cpuid(0x40000000, eax, ebx, ecx, edx);
	if (eax < 0x40000003 || ebx != 0x7263694d || ecx != 0x666f736f || edx != 0x76482074) {
		return false;
	}
	__cpuid(0x40000003, eax, ebx, ecx, edx);
	return ebx & 1;
}

int backend_open(enum backend_lack *lack)
{
	int fd = open(MSHV_DEVICE, O_RDWR | O_CLOEXEC);

	if (fd >= 0) {
		return fd;
	}
	if (errno == ENOENT || errno == ENXIO || errno == ENODEV) {
		*lack = on_parent_hypervisor() ? BACKEND_LACK_MODULE : BACKEND_LACK_HYPERVISOR;
	} else {
		*lack = errno == EACCES || errno == EPERM ? BACKEND_LACK_PERMISSION
							  : BACKEND_LACK_OTHER;
	}
	return -1;
}

int root_set_property(struct backend_partition *partition, uint32_t code, uint64_t value)
{
	struct hv_input_set_partition_property input = {.property_code = code,
							.property_value = value};

	return root_call(partition->fd, HVCALL_SET_PARTITION_PROPERTY, &input, sizeof(input), NULL,
			 0, 0, NULL);
}

int root_get_property(struct backend_partition *partition, uint32_t code, uint64_t *value)
{
	struct hv_input_get_partition_property input = {.property_code = code};

	return root_call(partition->fd, HVCALL_GET_PARTITION_PROPERTY, &input, sizeof(input), value,
			 sizeof(*value), 0, NULL);
}

/* What of the TLFS a guest gets: all that serves a guest, nothing that serves a parent. */
static uint64_t synthetic_features(bool flush_calls)
{
	union hv_partition_synthetic_processor_features features = {
		.hypervisor_present = 1,
		.hv1 = 1,
		.access_vp_run_time_reg = 1,
		.access_partition_reference_counter = 1,
		.access_synic_regs = 1,
		.access_synthetic_timer_regs = 1,
		.access_intr_ctrl_regs = 1,
		.access_hypercall_regs = 1,
		.access_vp_index = 1,
		.access_partition_reference_tsc = 1,
		.access_guest_idle_reg = 1,
		.access_frequency_regs = 1,
		.enable_extended_gva_ranges_for_flush_virtual_address_list = 1,
		.fast_hypercall_output = 1,
		.direct_synthetic_timers = 1,
		.extended_processor_masks = 1,
		.tb_flush_hypercalls = flush_calls,
		.synthetic_cluster_ipi = 1,
		.notify_long_spin_wait = 1,
		.signal_events = 1,
		.retarget_device_interrupt = 1,
	};

	return features.as_uint64[0];
}

static int install(struct backend_partition *partition, uint32_t type, uint32_t access,
		   uint64_t parameter)
{
	struct hv_input_install_intercept input = {
		.access_type = access,
		.intercept_type = type,
		.intercept_parameter.as_uint64 = parameter,
	};

	return root_call(partition->fd, HVCALL_INSTALL_INTERCEPT, &input, sizeof(input), NULL, 0, 0,
			 NULL);
}

/*
 * Ports are ours, and the connections that the hypervisor does not know: those of VMBus. CPUID and
 * MSRs are the hypervisor's, which answers unknown MSRs with #GP. Memory without RAM comes to us
 * without being asked for. Some hypervisors send the EOI messages of level-triggered interrupts to
 * whoever asks, some to every parent and know no such intercept: a refusal of that one is not an
 * error, nor of the guest's report of its crash, or of the calls that the hypervisor does not know,
 * without which the guest works as well; where it wants its devices' interrupts matters to one that
 * has devices of its own.
 */
static int install_intercepts(struct backend_partition *partition)
{
	union hv_intercept_parameters all_ports = {.io_port_range = {.base = 0, .end = 0xffff}};
	uint32_t both = HV_INTERCEPT_ACCESS_MASK_READ | HV_INTERCEPT_ACCESS_MASK_WRITE;
	int ret =
		install(partition, HV_INTERCEPT_TYPE_X64_IO_PORT_RANGE, both, all_ports.as_uint64);

	if (ret == 0) {
		ret = install(partition, HV_INTERCEPT_TYPE_UNKNOWN_SYNIC_CONNECTION,
			      HV_INTERCEPT_ACCESS_MASK_EXECUTE, 0);
	}
	(void)install(partition, HV_INTERCEPT_TYPE_X64_APIC_EOI, HV_INTERCEPT_ACCESS_MASK_WRITE, 0);
	(void)install(partition, HV_INTERCEPT_TYPE_X64_MSR_INDEX, HV_INTERCEPT_ACCESS_MASK_WRITE,
		      HV_X64_MSR_CRASH_CTL);
	(void)install(partition, HV_INTERCEPT_TYPE_HYPERCALL, HV_INTERCEPT_ACCESS_MASK_EXECUTE, 0);
	(void)install(partition, HV_INTERCEPT_TYPE_RETARGET_INTERRUPT_WITH_UNKNOWN_DEVICE_ID,
		      HV_INTERCEPT_ACCESS_MASK_EXECUTE, 0);
	return ret;
}

static int set_up(struct backend_partition *partition, unsigned int vp_count, bool flush_calls)
{
	int ret = root_set_property(partition, HV_PARTITION_PROPERTY_SYNTHETIC_PROC_FEATURES,
				    synthetic_features(flush_calls));

	if (ret == 0) {
		ret = root_set_property(partition, HV_PARTITION_PROPERTY_PROCESSORS_PER_SOCKET,
					vp_count);
	}
	if (ret == 0) {
		ret = root_set_property(partition, HV_PARTITION_PROPERTY_UNIMPLEMENTED_MSR_ACTION,
					HV_UNIMPLEMENTED_MSR_ACTION_FAULT);
	}
	if (ret == 0 && ioctl(partition->fd, MSHV_INITIALIZE_PARTITION) < 0) {
		ret = -errno;
	}
	return ret != 0 ? ret : install_intercepts(partition);
}

int backend_partition_create(int backend, unsigned int vp_count, bool flush_calls,
			     struct backend_partition **result)
{
	struct mshv_create_partition args = {
		.pt_flags = 1u << MSHV_PT_BIT_LAPIC | 1u << MSHV_PT_BIT_X2APIC |
			    1u << MSHV_PT_BIT_GPA_SUPER_PAGES,
		.pt_isolation = MSHV_PT_ISOLATION_NONE,
	};
	struct backend_partition *partition = calloc(1, sizeof(*partition));
	int ret;

	if (partition == NULL) {
		return -ENOMEM;
	}
	partition->fd = ioctl(backend, MSHV_CREATE_PARTITION, &args);
	if (partition->fd < 0) {
		ret = -errno;
		goto out_free;
	}
	ret = set_up(partition, vp_count, flush_calls);
	if (ret != 0) {
		goto out_close;
	}
	*result = partition;
	return 0;
out_close:
	close(partition->fd);
out_free:
	free(partition);
	return ret;
}

int backend_partition_freeze_time(struct backend_partition *partition, bool freeze)
{
	return root_set_property(partition, HV_PARTITION_PROPERTY_TIME_FREEZE, freeze);
}

int backend_partition_reference_time(struct backend_partition *partition, uint64_t *time_100ns)
{
	return root_get_property(partition, HV_PARTITION_PROPERTY_REFERENCE_TIME, time_100ns);
}

void backend_partition_destroy(struct backend_partition **partition)
{
	close((*partition)->fd);
	free(*partition);
	*partition = NULL;
}

static int set_memory(struct backend_partition *partition, uint64_t gpa, void *memory,
		      uint64_t length, unsigned int flags)
{
	struct mshv_user_mem_region region = {
		.size = length,
		.guest_pfn = gpa >> HV_HYP_PAGE_SHIFT,
		.userspace_addr = (uintptr_t)memory,
		.flags = (uint8_t)flags,
	};

	return ioctl(partition->fd, MSHV_SET_GUEST_MEMORY, &region) < 0 ? -errno : 0;
}

int backend_partition_map(struct backend_partition *partition, uint64_t gpa, void *memory,
			  uint64_t length, unsigned int access)
{
	return set_memory(
		partition, gpa, memory, length,
		(access & BACKEND_WRITE ? 1u << MSHV_SET_MEM_BIT_WRITABLE : 0) |
			(access & BACKEND_EXECUTE ? 1u << MSHV_SET_MEM_BIT_EXECUTABLE : 0));
}

int backend_partition_unmap(struct backend_partition *partition, uint64_t gpa, void *memory,
			    uint64_t length)
{
	return set_memory(partition, gpa, memory, length, 1u << MSHV_SET_MEM_BIT_UNMAP);
}

#define LOG_PART (512ull << 20) /* a bitmap of 16 KiB */

/* The hypervisor always knows what was written; with the first clearing, page by page. */
int backend_partition_log(struct backend_partition *partition, uint64_t gpa, uint64_t length,
			  bool on)
{
	uint8_t bitmap[LOG_PART / HV_HYP_PAGE_SIZE / 8];
	int ret = 0;

	while (on && ret == 0 && length != 0) {
		uint64_t part = length < LOG_PART ? length : LOG_PART;

		ret = backend_partition_dirty(partition, gpa, part, bitmap, true);
		gpa += part;
		length -= part;
	}
	return ret;
}

int backend_partition_dirty(struct backend_partition *partition, uint64_t gpa, uint64_t length,
			    uint8_t *bitmap, bool clear)
{
	struct mshv_gpap_access_bitmap query = {
		.access_type = MSHV_GPAP_ACCESS_TYPE_DIRTY,
		.access_op = clear ? MSHV_GPAP_ACCESS_OP_CLEAR : MSHV_GPAP_ACCESS_OP_NOOP,
		.page_count = length >> HV_HYP_PAGE_SHIFT,
		.gpap_base = gpa >> HV_HYP_PAGE_SHIFT,
		.bitmap_ptr = (uintptr_t)bitmap,
	};

	return ioctl(partition->fd, MSHV_GET_GPAP_ACCESS_BITMAP, &query) < 0 ? -errno : 0;
}

int backend_partition_interrupt(struct backend_partition *partition,
				const struct backend_interrupt *interrupt)
{
	struct hv_input_assert_virtual_interrupt input = {
		.control =
			{
				.interrupt_type = interrupt->delivery_mode,
				.level_triggered = interrupt->level,
				.logical_dest_mode = interrupt->logical,
			},
		.dest_addr = interrupt->destination,
		.vector = interrupt->vector,
	};

	return root_call(partition->fd, HVCALL_ASSERT_VIRTUAL_INTERRUPT, &input, sizeof(input),
			 NULL, 0, 0, NULL);
}

int backend_vp_create(struct backend_partition *partition, unsigned int index,
		      struct backend_vp **result)
{
	struct mshv_create_vp args = {.vp_index = index};
	struct backend_vp *vp = calloc(1, sizeof(*vp));
	int ret;

	if (vp == NULL) {
		return -ENOMEM;
	}
	vp->index = index;
	vp->fd = ioctl(partition->fd, MSHV_CREATE_VP, &args);
	if (vp->fd < 0) {
		ret = -errno;
		free(vp);
		return ret;
	}
	vp->page = mmap(NULL, MSHV_HV_PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, vp->fd,
			MSHV_VP_MMAP_OFFSET_REGISTERS * MSHV_HV_PAGE_SIZE);
	if (vp->page == MAP_FAILED) {
		vp->page = NULL;
	}
	vp->message = mmap(NULL, MSHV_HV_PAGE_SIZE, PROT_READ, MAP_SHARED, vp->fd,
			   MSHV_VP_MMAP_OFFSET_INTERCEPT_MESSAGE * MSHV_HV_PAGE_SIZE);
	if (vp->message == MAP_FAILED) {
		vp->message = NULL;
	}
	*result = vp;
	return 0;
}

void backend_vp_destroy(struct backend_vp **vp)
{
	if ((*vp)->page != NULL) {
		munmap((*vp)->page, MSHV_HV_PAGE_SIZE);
	}
	if ((*vp)->message != NULL) {
		munmap((void *)(*vp)->message, MSHV_HV_PAGE_SIZE);
	}
	close((*vp)->fd);
	free(*vp);
	*vp = NULL;
}

static int not_run(struct vp_exit *exit, int error)
{
	exit->kind = VP_EXIT_NONE;
	return error == EINTR || error == EAGAIN ? 0 : -error;
}

/* As upstream's module has it. A function of its own: its message would cost the other way a guard
 * of the stack. */
static __attribute__((noinline)) int run_by_ioctl(struct backend_vp *vp, struct vp_exit *exit)
{
	struct hv_message message;

	if (ioctl(vp->fd, MSHV_RUN_VP, &message) < 0) {
		return not_run(exit, errno);
	}
	root_decode(vp, &message, exit);
	return 0;
}

int backend_vp_run(struct backend_vp *vp, struct vp_exit *exit)
{
	int ret = root_answer(vp, exit);

	if (ret != 0) {
		return ret;
	}
	if (vp->by_ioctl || vp->message == NULL) {
		return run_by_ioctl(vp, exit);
	}
	/* Not fdatasync(): a VP's thread is never cancelled, and it would look for that each
	 * time. */
	if (syscall(SYS_fdatasync, vp->fd) == 0) {
		root_decode(vp, vp->message, exit);
		return 0;
	}
	if (errno == EINVAL) {
		vp->by_ioctl = true;
		return run_by_ioctl(vp, exit);
	}
	return not_run(exit, errno);
}
