/*
 * One API to run a machine, whatever is below: a partition with memory and virtual processors. The
 * home of this build is chosen by the linker: root.c and its companions drive the root module's
 * device.
 *
 * Functions return 0, or a negative errno after which nothing was changed, unless they say
 * otherwise. A VP belongs to the thread that runs it: what takes a struct backend_vp is called by
 * that thread alone, or while no thread runs it. What takes a struct backend_partition may be
 * called by any thread.
 */
#ifndef BACKEND_BACKEND_H
#define BACKEND_BACKEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lib/check.h"

#define BACKEND_MAX_VPS 240

struct backend_partition;
struct backend_vp;

/* What is below, and what to do when it is not there. */
enum backend_lack {
	BACKEND_LACK_HYPERVISOR, /* none below that lets this system have child partitions */
	BACKEND_LACK_MODULE,     /* the device node is not there */
	BACKEND_LACK_PERMISSION,
	BACKEND_LACK_OTHER, /* see errno */
};

/*
 * Opens the way to the hypervisor; the descriptor stays usable after privileges are dropped. -1:
 * *lack says what is missing.
 */
int backend_open(enum backend_lack *lack);
/* The device node's name, for messages. */
const char *backend_device(void);

/* The commands of ioctl() that the functions here use after backend_open(); how many. */
size_t backend_commands(const unsigned int **commands);

/* ---- Partitions ---- */

/* flush_calls: the guest is told that it may flush other VPs' TLBs by hypercall. */
int backend_partition_create(int backend, unsigned int vp_count, bool flush_calls,
			     struct backend_partition **partition) MUST_CHECK;
/* Its VPs are destroyed before it, its memory is let go by it. */
void backend_partition_destroy(struct backend_partition **partition);

/* What a guest may do with a region's memory beside reading it. */
#define BACKEND_WRITE   1u
#define BACKEND_EXECUTE 2u

/*
 * A region: guest pages get host memory, which must stay mapped; all of it page aligned. 2 MiB
 * alignment of both is faster. Regions do not overlap (-EEXIST). A write without BACKEND_WRITE
 * stops the VP as one of memory where there is none does, for a device to answer: so a ROM or a
 * flash is read at full speed.
 */
int backend_partition_map(struct backend_partition *partition, uint64_t gpa, void *memory,
			  uint64_t length, unsigned int access) MUST_CHECK;
/* A region as it was mapped. VPs may run: when it returns, none of them reaches the memory any
 * more. */
int backend_partition_unmap(struct backend_partition *partition, uint64_t gpa, void *memory,
			    uint64_t length) MUST_CHECK;

/*
 * Which pages of memory the guest's VPs have written: asked for between backend_partition_log()
 * with true, from which on it is known page by page, and with false. What the host writes itself it
 * has to know. Nothing is dirty at first. For the log `gpa` and `length` are those of regions; a
 * bitmap can be of a part of them, and of what lies between, from a multiple of 64 pages on.
 */
int backend_partition_log(struct backend_partition *partition, uint64_t gpa, uint64_t length,
			  bool on) MUST_CHECK;
/*
 * One bit a page, (length / 4096 + 7) / 8 bytes; the first page is the lowest bit of the first
 * byte. A page without memory is 0. With `clear` the next answer has what is written from now on.
 * VPs may run: what was written to a page before its bit was cleared can be read when this returns,
 * and what is written later sets it again. After an error every page may have been written.
 */
int backend_partition_dirty(struct backend_partition *partition, uint64_t gpa, uint64_t length,
			    uint8_t *bitmap, bool clear) MUST_CHECK;

/* The guest's reference time stands, or goes on where it stood. No VP runs. */
int backend_partition_freeze_time(struct backend_partition *partition, bool freeze) MUST_CHECK;
/* What it is now; the VPs may run. */
int backend_partition_reference_time(struct backend_partition *partition,
				     uint64_t *time_100ns) MUST_CHECK;

struct backend_interrupt {
	uint32_t destination;
	uint8_t vector;
	uint8_t delivery_mode; /* as in an MSI: 0 fixed, 1 lowest priority, 2 SMI, 4 NMI, 5 INIT */
	bool logical;
	bool level;
};

/* Sends an interrupt message to the partition's local APICs. One that addresses nobody is lost, as
 * on hardware. */
int backend_partition_interrupt(struct backend_partition *partition,
				const struct backend_interrupt *interrupt);

/*
 * Interrupts that devices send without us. They have numbers, below BACKEND_INTERRUPTS; the table
 * says where each goes, and is replaced as a whole. A number that is not in it goes nowhere.
 */
#define BACKEND_INTERRUPTS 4096u

struct backend_route {
	uint32_t number;
	struct backend_interrupt interrupt; /* to an APIC id below 256, edge */
};

int backend_partition_set_routes(struct backend_partition *partition,
				 const struct backend_route *routes, unsigned int count) MUST_CHECK;
/*
 * Each signal of the eventfd sends the interrupt of this number, one that came before at once; the
 * eventfd then need not be read. It is not closed before it is unbound, from when on signals stay
 * in it.
 */
int backend_partition_bind_interrupt(struct backend_partition *partition, uint32_t number,
				     int event) MUST_CHECK;
void backend_partition_unbind_interrupt(struct backend_partition *partition, uint32_t number,
					int event);

/* ---- The processor ---- */

#define BACKEND_VENDOR_CHARS  12u
#define BACKEND_FEATURE_WORDS 8u

/* What a guest may have seen of it and go by: CPUID's features, words of bits. */
struct backend_processor {
	char vendor[BACKEND_VENDOR_CHARS + 1];
	uint32_t features[BACKEND_FEATURE_WORDS];
};

void backend_processor(struct backend_processor *processor);
/* Where a bit of `features` comes from, for messages: "AVX2, CPUID 7 EBX bit 5". */
void backend_feature_name(unsigned int word, unsigned int bit, char *text, size_t size);

/* ---- The guest's SynIC ---- */

#define BACKEND_MESSAGE_MAX 240

/*
 * A message into the slot of a VP's SINT. -EAGAIN: the slot is taken, and nothing tells when the
 * guest has emptied it. Other errors: there is no such VP, or it has no SynIC.
 */
int backend_partition_post_message(struct backend_partition *partition, uint32_t vp, uint8_t sint,
				   uint32_t type, const void *payload, size_t size) MUST_CHECK;
/* Sets an event flag of a VP's SINT; the interrupt follows from it. */
int backend_partition_signal_event(struct backend_partition *partition, uint32_t vp, uint8_t sint,
				   uint16_t flag);
/*
 * From now on the guest's HvSignalEvent on this connection, with flag number 0, signals an eventfd
 * and its VP does not leave for us. -ENOTTY: what is below has no such thing; -ENOSPC: all that it
 * has is in use. The calls then come as VP_EXIT_HYPERCALL, as all those do that name a connection
 * which is not known.
 */
int backend_partition_bind_event(struct backend_partition *partition, uint32_t connection_id,
				 int event) MUST_CHECK;
void backend_partition_unbind_event(struct backend_partition *partition, uint32_t connection_id,
				    int event);

/* ---- VPs ---- */

enum vp_gpr {
	VP_RAX,
	VP_RCX,
	VP_RDX,
	VP_RBX,
	VP_RSP,
	VP_RBP,
	VP_RSI,
	VP_RDI,
	VP_R8,
	VP_R9,
	VP_R10,
	VP_R11,
	VP_R12,
	VP_R13,
	VP_R14,
	VP_R15,
	VP_GPR_COUNT,
};

enum vp_segment_name {
	VP_ES,
	VP_CS,
	VP_SS,
	VP_DS,
	VP_FS,
	VP_GS,
	VP_SEGMENT_COUNT,
	VP_LDTR = VP_SEGMENT_COUNT,
	VP_TR,
};

#define VP_SEGMENT_LONG    0x2000 /* L of a code segment */
#define VP_SEGMENT_DEFAULT 0x4000 /* D or B */

struct vp_segment {
	uint64_t base;
	uint32_t limit;
	uint16_t selector;
	uint16_t attributes; /* 3:0 type, 4 S, 6:5 DPL, 7 P, 12 AVL, 13 L, 14 D/B, 15 G */
};

struct vp_table {
	uint64_t base;
	uint16_t limit;
};

/* What an instruction that is emulated needs and may change. */
struct vp_registers {
	uint64_t gpr[VP_GPR_COUNT];
	uint64_t rip, rflags;
	struct vp_segment segments[VP_SEGMENT_COUNT];
	uint64_t cr0, cr4, efer;
};

/* What a loader sets beyond that. */
struct vp_boot_state {
	struct vp_registers registers;
	struct vp_segment tr, ldtr;
	struct vp_table gdtr, idtr;
	uint64_t cr3;
	bool no_flush_calls; /* this guest cannot make them: see backend_partition_create() */
};

enum vp_exit_kind {
	VP_EXIT_NONE,        /* interrupted by a signal, or nothing to do: run it again */
	VP_EXIT_PORT,        /* an IN or OUT of one item */
	VP_EXIT_INSTRUCTION, /* memory where there is none, or an INS or OUTS: the instruction is to
				be emulated */
	/* The same from a home that decodes them; it moves what is read on to where the instruction
	 * wants it. */
	VP_EXIT_MEMORY,    /* an access to memory where there is none */
	VP_EXIT_PORTS,     /* an INS or OUTS, or a part of one that is repeated */
	VP_EXIT_MSR,       /* an MSR that the hypervisor leaves to us */
	VP_EXIT_CRASH,     /* the guest says that it has crashed; it goes on, if it likes */
	VP_EXIT_CPUID,     /* a leaf that the hypervisor leaves to us */
	VP_EXIT_HYPERCALL, /* on a connection, of VMBus, or a device that only we know */
	VP_EXIT_EOI,       /* the local APIC ended a level-triggered interrupt */
	VP_EXIT_WINDOW, /* the interrupt window that backend_vp_request_window() asked for is open */
	VP_EXIT_HALT,   /* halted for ever: HLT without a hypervisor that wakes it */
	VP_EXIT_TRIPLE_FAULT,
	VP_EXIT_INVALID_STATE, /* the VP's registers are no state that a processor can be in */
	VP_EXIT_UNKNOWN,       /* `code` is the home's number for it */
};

/*
 * Why a VP stopped. Marked `out`: the answer, which backend_vp_run() takes from the same struct
 * when it is called next; the instruction is then over.
 */
struct vp_exit {
	enum vp_exit_kind kind;
	union {
		struct {
			uint16_t port;
			uint8_t size; /* 1, 2 or 4 */
			bool write;
			uint32_t value; /* in for OUT, out for IN */
		} port;
		struct {
			uint8_t bytes[16];  /* zeros behind the last one */
			uint8_t byte_count; /* 0: they have to be fetched */
			bool gpa_valid; /* gpa: of the access that stopped it; not for INS, OUTS */
			bool gva_valid; /* ... and gva is its linear address */
			bool write;     /* the guest's page tables allowed a write of it */
			uint64_t gva, gpa;
		} instruction;
		struct {
			uint64_t gpa;
			uint8_t size; /* 1 to 8, in one page */
			bool write;
			uint64_t value; /* in for a write, out for a read */
		} memory;
		struct {
			uint16_t port;
			uint8_t size; /* 1, 2 or 4 */
			bool write;
			uint32_t count; /* of items, one after the other */
			void *items;    /* the home's: in for OUTS, out for INS */
		} ports;
		struct {
			uint32_t number;
			bool write;
			bool fault;     /* out: #GP instead */
			uint64_t value; /* in for WRMSR, out for RDMSR */
		} msr;
		bool crash_text; /* parameters 3 and 4 are a text's address and length */
		struct {
			uint32_t leaf, subleaf;
			uint32_t eax, ebx, ecx, edx; /* in: what the hypervisor would say; out */
		} cpuid;
		struct {
			uint16_t code; /* HVCALL_* (include/hv/hypercall.h) */
			bool fast;     /* `input` is the input, else where it is in guest memory */
			uint64_t input, output;
			uint16_t rep_count, rep_start; /* of a call with a list */
			uint16_t status;               /* out: HV_STATUS_* */
			uint16_t done; /* out: elements of the list, from the first on */
		} hypercall;
		uint8_t eoi_vector;
		uint32_t code;
	};
};

/* APIC id and index are the same number. VP 0 is the boot processor; the others wait for a SIPI. */
int backend_vp_create(struct backend_partition *partition, unsigned int index,
		      struct backend_vp **vp) MUST_CHECK;
void backend_vp_destroy(struct backend_vp **vp);
/* The boot processor's registers before its first instruction; without it they are those of a
 * processor after reset. */
int backend_vp_set_boot_state(struct backend_vp *vp, const struct vp_boot_state *state) MUST_CHECK;
/* The local APIC as a PC's firmware leaves it, for a guest that never touches it: enabled, LINT0
 * ExtINT where `extint`, LINT1 NMI. */
int backend_vp_set_local_pins(struct backend_vp *vp, bool extint) MUST_CHECK;

/*
 * Runs it until something is left to the caller. Blocks; a signal that interrupts it gives
 * VP_EXIT_NONE. A signal that comes just before is lost, so who wants a VP to stop goes on sending
 * it.
 */
int backend_vp_run(struct backend_vp *vp, struct vp_exit *exit) MUST_CHECK;

/* After VP_EXIT_INSTRUCTION. backend_vp_store() writes back gpr, rip and rflags. */
int backend_vp_load(struct backend_vp *vp, struct vp_registers *registers) MUST_CHECK;
int backend_vp_store(struct backend_vp *vp, const struct vp_registers *registers) MUST_CHECK;
int backend_vp_load_xmm(struct backend_vp *vp, unsigned int index, uint8_t value[16]) MUST_CHECK;
int backend_vp_store_xmm(struct backend_vp *vp, unsigned int index,
			 const uint8_t value[16]) MUST_CHECK;

/* As instructions of MMX, which either takes all of the x87's registers into use. */
int backend_vp_load_mmx(struct backend_vp *vp, unsigned int index, uint8_t value[8]) MUST_CHECK;
int backend_vp_store_mmx(struct backend_vp *vp, unsigned int index,
			 const uint8_t value[8]) MUST_CHECK;

/* What instructions of a system need beyond struct vp_registers. */
struct vp_system {
	struct vp_segment ldtr, tr;
	struct vp_table gdtr, idtr;
};

int backend_vp_load_system(struct backend_vp *vp, struct vp_system *system) MUST_CHECK;
/* VP_LDTR and VP_TR too. */
int backend_vp_store_segment(struct backend_vp *vp, unsigned int name,
			     const struct vp_segment *segment) MUST_CHECK;
int backend_vp_store_table(struct backend_vp *vp, bool idt,
			   const struct vp_table *table) MUST_CHECK;
int backend_vp_store_cr0(struct backend_vp *vp, uint64_t value) MUST_CHECK;

enum vp_access {
	VP_ACCESS_READ,
	VP_ACCESS_WRITE,
	VP_ACCESS_EXECUTE,
	VP_ACCESS_SYSTEM_READ, /* the processor's own, of its tables: at any privilege */
	VP_ACCESS_SYSTEM_WRITE,
};

/*
 * Translates as the guest's processor would, for this access at its current privilege. -EFAULT: it
 * would take a page fault, whose error code is in *error_code. -ENXIO is for a linear address that
 * is fine but ends in page tables out of memory.
 */
int backend_vp_translate(struct backend_vp *vp, uint64_t gva, enum vp_access access, uint64_t *gpa,
			 uint32_t *error_code) MUST_CHECK;

/* ---- Saved states ---- */

/*
 * A machine's processors and time as parts of lib/state.h. No VP runs, and time stands still, or
 * what is of different VPs does not belong together:
 *
 *   save      backend_partition_freeze_time(true), backend_partition_save(), backend_vp_save() of each VP
 *   restore   partition, memory, VPs are made as for a start, then backend_partition_freeze_time(true),
 *             backend_partition_restore(), backend_vp_restore() of each VP, backend_partition_freeze_time(false)
 *
 * Guest memory, as the host has it, and events that are bound belong to the caller. A state is of
 * this home, and of processors that have what it needs.
 */
struct state_writer;
struct state_reader;

int backend_partition_save(struct backend_partition *partition,
			   struct state_writer *writer) MUST_CHECK;
/* The next part of the list. -EINVAL: it is no such state, the reader's fault says why, and nothing
 * was changed; other errors: the partition cannot be used. */
int backend_partition_restore(struct backend_partition *partition,
			      struct state_reader *list) MUST_CHECK;

/* `exit` is the VP's last one with its answer, which becomes part of the state: it is VP_EXIT_NONE
 * then. */
int backend_vp_save(struct backend_vp *vp, struct vp_exit *exit,
		    struct state_writer *writer) MUST_CHECK;
/* A VP that has not run. As backend_partition_restore(). */
int backend_vp_restore(struct backend_vp *vp, struct state_reader *list) MUST_CHECK;

/* ---- What a guest says ---- */

#define VP_CRASH_PARAMETERS 5
/* After VP_EXIT_CRASH: what the guest says about it. */
int backend_vp_crash_parameters(struct backend_vp *vp,
				uint64_t parameters[VP_CRASH_PARAMETERS]) MUST_CHECK;

#define VP_EXCEPTION_DE 0
#define VP_EXCEPTION_DB 1 /* the trap after a single step: DR6 says so */
#define VP_EXCEPTION_UD 6
#define VP_EXCEPTION_NM 7
#define VP_EXCEPTION_NP 11
#define VP_EXCEPTION_SS 12
#define VP_EXCEPTION_GP 13
#define VP_EXCEPTION_PF 14

/* The guest takes this exception instead of going on. `address` is for #PF. */
int backend_vp_inject_exception(struct backend_vp *vp, unsigned int vector, uint32_t error_code,
				uint64_t address) MUST_CHECK;
/*
 * Interrupts of the PC/AT's controllers: ask for VP_EXIT_WINDOW as soon as the VP could take one;
 * then inject the vector.
 */
int backend_vp_request_window(struct backend_vp *vp, bool wanted) MUST_CHECK;
int backend_vp_inject_extint(struct backend_vp *vp, uint8_t vector) MUST_CHECK;

#endif
