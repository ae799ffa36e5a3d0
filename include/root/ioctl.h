/*
 * /dev/mshv, the device node of the root module.
 *
 * The first part is the interface of Linux's own mshv_root driver: same numbers, same layouts, so
 * that a program built for the one runs on the other. The last part is ours: numbers beside the
 * standard ones, optional for every caller.
 *
 * A partition is a file descriptor from the device, a VP one from a partition. Closing the last
 * descriptor gives everything back. Calls return 0 (or a descriptor), or -1 and errno.
 */
#ifndef ROOT_IOCTL_H
#define ROOT_IOCTL_H

#include <linux/ioctl.h>
#include <linux/types.h>

#define MSHV_DEVICE "/dev/mshv"
#define MSHV_IOCTL  0xB8

#define MSHV_HV_PAGE_SIZE 0x1000

/* The device */

/* Bits of pt_flags */
enum {
	MSHV_PT_BIT_LAPIC,
	MSHV_PT_BIT_X2APIC,
	MSHV_PT_BIT_GPA_SUPER_PAGES,
	MSHV_PT_BIT_CPU_AND_XSAVE_FEATURES, /* the argument is a mshv_create_partition_v2 */
	MSHV_PT_BIT_NESTED_VIRTUALIZATION,
	MSHV_PT_BIT_SMT_ENABLED_GUEST,
	MSHV_PT_BIT_COUNT,
};

#define MSHV_PT_FLAGS_MASK ((1 << MSHV_PT_BIT_COUNT) - 1)

enum {
	MSHV_PT_ISOLATION_NONE,
	MSHV_PT_ISOLATION_COUNT,
};

struct mshv_create_partition {
	__u64 pt_flags;
	__u64 pt_isolation;
};
_Static_assert(sizeof(struct mshv_create_partition) == 16, "mshv_create_partition");

#define MSHV_NUM_CPU_FEATURES_BANKS 2

/* Feature bits are of HV_PARTITION_PROCESSOR_FEATURES; a set bit takes the feature away. */
struct mshv_create_partition_v2 {
	__u64 pt_flags;
	__u64 pt_isolation;
	__u16 pt_num_cpu_fbanks; /* MSHV_NUM_CPU_FEATURES_BANKS */
	__u8 pt_rsvd[6];         /* zero */
	__u64 pt_cpu_fbanks[MSHV_NUM_CPU_FEATURES_BANKS];
	__u64 pt_rsvd1[2]; /* zero */
	__u64 pt_disabled_xsave;
};
_Static_assert(sizeof(struct mshv_create_partition_v2) == 64, "mshv_create_partition_v2");

/* Returns the partition's descriptor. Early properties are set before MSHV_INITIALIZE_PARTITION. */
#define MSHV_CREATE_PARTITION _IOW(MSHV_IOCTL, 0x00, struct mshv_create_partition)

/* Partitions */

struct mshv_create_vp {
	__u32 vp_index;
};

enum {
	MSHV_SET_MEM_BIT_WRITABLE,
	MSHV_SET_MEM_BIT_EXECUTABLE,
	MSHV_SET_MEM_BIT_UNMAP,
	MSHV_SET_MEM_BIT_COUNT,
};

#define MSHV_SET_MEM_FLAGS_MASK ((1 << MSHV_SET_MEM_BIT_COUNT) - 1)

/*
 * Regions do not overlap; to unmap one, name it exactly. Their pages are locked memory of the
 * process that maps them: ENOMEM beyond its RLIMIT_MEMLOCK, unless it has CAP_IPC_LOCK.
 */
struct mshv_user_mem_region {
	__u64 size; /* bytes, whole pages */
	__u64 guest_pfn;
	__u64 userspace_addr; /* page aligned */
	__u8 flags;           /* 1 << MSHV_SET_MEM_BIT_* */
	__u8 rsvd[7];         /* zero */
};
_Static_assert(sizeof(struct mshv_user_mem_region) == 32, "mshv_user_mem_region");

enum {
	MSHV_IRQFD_BIT_DEASSIGN,
	MSHV_IRQFD_BIT_RESAMPLE,
	MSHV_IRQFD_BIT_COUNT,
};

#define MSHV_IRQFD_FLAGS_MASK ((1 << MSHV_IRQFD_BIT_COUNT) - 1)

/* An eventfd that asserts the interrupt which the routing table has for gsi */
struct mshv_user_irqfd {
	__s32 fd;
	__s32 resamplefd; /* signalled at the guest's EOI, with RESAMPLE */
	__u32 gsi;
	__u32 flags; /* 1 << MSHV_IRQFD_BIT_* */
};
_Static_assert(sizeof(struct mshv_user_irqfd) == 16, "mshv_user_irqfd");

enum {
	MSHV_IOEVENTFD_BIT_DATAMATCH,
	MSHV_IOEVENTFD_BIT_PIO,
	MSHV_IOEVENTFD_BIT_DEASSIGN,
	MSHV_IOEVENTFD_BIT_COUNT,
};

#define MSHV_IOEVENTFD_FLAGS_MASK ((1 << MSHV_IOEVENTFD_BIT_COUNT) - 1)

/* A guest write to addr that signals an eventfd; ports are not supported */
struct mshv_user_ioeventfd {
	__u64 datamatch;
	__u64 addr;
	__u32 len; /* 0 (any), 1, 2, 4 or 8 */
	__s32 fd;
	__u32 flags; /* 1 << MSHV_IOEVENTFD_BIT_* */
	__u8 rsvd[4];
};
_Static_assert(sizeof(struct mshv_user_ioeventfd) == 32, "mshv_user_ioeventfd");

struct mshv_user_irq_entry {
	__u32 gsi;
	__u32 address_lo; /* MSI address and data */
	__u32 address_hi; /* zero */
	__u32 data;
};

/* The whole routing table; replaces the one before */
struct mshv_user_irq_table {
	__u32 nr;
	__u32 rsvd; /* zero */
	struct mshv_user_irq_entry entries[];
};
_Static_assert(sizeof(struct mshv_user_irq_table) == 8, "mshv_user_irq_table");

enum {
	MSHV_GPAP_ACCESS_TYPE_ACCESSED,
	MSHV_GPAP_ACCESS_TYPE_DIRTY,
	MSHV_GPAP_ACCESS_TYPE_COUNT,
};

enum {
	MSHV_GPAP_ACCESS_OP_NOOP,
	MSHV_GPAP_ACCESS_OP_CLEAR,
	MSHV_GPAP_ACCESS_OP_SET,
	MSHV_GPAP_ACCESS_OP_COUNT,
};

/* Reads the accessed or dirty bits of a range into a bitmap of (page_count + 7) / 8 bytes, then
 * clears or sets them */
struct mshv_gpap_access_bitmap {
	__u8 access_type;
	__u8 access_op;
	__u8 rsvd[6]; /* zero */
	__u64 page_count;
	__u64 gpap_base;
	__u64 bitmap_ptr;
};
_Static_assert(sizeof(struct mshv_gpap_access_bitmap) == 32, "mshv_gpap_access_bitmap");

/*
 * A hypercall made for the caller, if it is one of those that may be (root/hvcall.c lists them).
 * The kernel puts the partition id in the first 8 bytes of the input. When the hypervisor wants
 * memory, the kernel deposits it and calls again.
 */
struct mshv_root_hvcall {
	__u16 code;
	__u16 reps; /* in: count; out: completed */
	__u16 in_sz;
	__u16 out_sz;
	__u16 status; /* in: zero; out: HV_STATUS_* */
	__u8 rsvd[6]; /* zero */
	__u64 in_ptr;
	__u64 out_ptr;
};
_Static_assert(sizeof(struct mshv_root_hvcall) == 32, "mshv_root_hvcall");

#define MSHV_INITIALIZE_PARTITION   _IO(MSHV_IOCTL, 0x00)
#define MSHV_CREATE_VP              _IOW(MSHV_IOCTL, 0x01, struct mshv_create_vp)
#define MSHV_SET_GUEST_MEMORY       _IOW(MSHV_IOCTL, 0x02, struct mshv_user_mem_region)
#define MSHV_IRQFD                  _IOW(MSHV_IOCTL, 0x03, struct mshv_user_irqfd)
#define MSHV_IOEVENTFD              _IOW(MSHV_IOCTL, 0x04, struct mshv_user_ioeventfd)
#define MSHV_SET_MSI_ROUTING        _IOW(MSHV_IOCTL, 0x05, struct mshv_user_irq_table)
#define MSHV_GET_GPAP_ACCESS_BITMAP _IOWR(MSHV_IOCTL, 0x06, struct mshv_gpap_access_bitmap)
#define MSHV_ROOT_HVCALL                                                                           \
	_IOWR(MSHV_IOCTL, 0x07, struct mshv_root_hvcall) /* also on the device and on VPs */

/* VPs */

#define MSHV_RUN_VP_BUF_SZ 256

/*
 * A struct hv_message: why the VP stopped. It stands in the page at
 * MSHV_VP_MMAP_OFFSET_INTERCEPT_MESSAGE too. An HVMSG_X64_APIC_EOI is no intercept: the VP has
 * ended a level-triggered interrupt, and has nothing to be answered.
 *
 * EINTR: a signal, or time to look whether one came while the thread was not in the call.
 */
struct mshv_run_vp {
	__u8 msg_buf[MSHV_RUN_VP_BUF_SZ];
};

/* Shared pages: mmap the VP's descriptor at one of these, times the page size */
enum {
	MSHV_VP_MMAP_OFFSET_REGISTERS,
	MSHV_VP_MMAP_OFFSET_INTERCEPT_MESSAGE,
	MSHV_VP_MMAP_OFFSET_GHCB,
	MSHV_VP_MMAP_OFFSET_COUNT,
};

enum {
	MSHV_VP_STATE_LAPIC,
	MSHV_VP_STATE_XSAVE, /* compacted */
	MSHV_VP_STATE_SIMP,
	MSHV_VP_STATE_SIEFP,
	MSHV_VP_STATE_SYNTHETIC_TIMERS,
	MSHV_VP_STATE_COUNT,
};

struct mshv_get_set_vp_state {
	__u8 type;     /* MSHV_VP_STATE_* */
	__u8 rsvd[3];  /* zero */
	__u32 buf_sz;  /* in: of the buffer, whole pages; out: of the data */
	__u64 buf_ptr; /* page aligned */
};
_Static_assert(sizeof(struct mshv_get_set_vp_state) == 16, "mshv_get_set_vp_state");

#define MSHV_RUN_VP       _IOR(MSHV_IOCTL, 0x00, struct mshv_run_vp)
#define MSHV_GET_VP_STATE _IOWR(MSHV_IOCTL, 0x01, struct mshv_get_set_vp_state)
#define MSHV_SET_VP_STATE _IOWR(MSHV_IOCTL, 0x02, struct mshv_get_set_vp_state)

/*
 * Extension: fdatasync() of a VP's descriptor brings its pages and the VP into step. What is dirty
 * in the page of registers goes to the VP, it runs as by MSHV_RUN_VP, and then its message and its
 * registers are in the pages. EINVAL: the module does not have it.
 */

/* Extensions: on partitions, from 0x80 on */

enum {
	MSHV_VD_SIGNAL_EVENTFD_BIT_DEASSIGN,
	MSHV_VD_SIGNAL_EVENTFD_BIT_COUNT,
};

#define MSHV_VD_SIGNAL_EVENTFD_FLAGS_MASK ((1 << MSHV_VD_SIGNAL_EVENTFD_BIT_COUNT) - 1)

/*
 * Binds the guest's HvCallSignalEvent on a connection to an eventfd. The VP does not leave guest
 * mode for user space, and an HV_INTERCEPT_TYPE_UNKNOWN_SYNIC_CONNECTION intercept does not see the
 * call. Only flag number 0 signals.
 */
struct mshv_vd_signal_eventfd {
	__u32 connection_id;
	__s32 fd;
	__u32 flags; /* 1 << MSHV_VD_SIGNAL_EVENTFD_BIT_* */
	__u32 rsvd;  /* zero */
};
_Static_assert(sizeof(struct mshv_vd_signal_eventfd) == 16, "mshv_vd_signal_eventfd");

#define MSHV_VD_SIGNAL_EVENTFD _IOW(MSHV_IOCTL, 0x80, struct mshv_vd_signal_eventfd)

#endif
