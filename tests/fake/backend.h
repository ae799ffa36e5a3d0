/*
 * A backend (backend/backend.h) without a hypervisor: a VP is its registers in this process. Linear
 * addresses become guest addresses by one subtraction, unless a test says that a page is missing.
 */
#ifndef FAKE_BACKEND_H
#define FAKE_BACKEND_H

#include "backend/backend.h"

struct backend_vp {
	struct vp_registers registers;
	uint8_t xmm[16][16], mmx[8][8];
	struct vp_system system;
	uint64_t linear_base, gpa_base; /* gpa = linear - linear_base + gpa_base */
	uint64_t missing; /* the linear address of a page that is not there; 0: none */
	bool read_only;   /* ... or is there, but not for writing */
	unsigned int translations;
	uint64_t crash_parameters[VP_CRASH_PARAMETERS];
	bool broken; /* the hypervisor refuses every call */
	bool injected;
	unsigned int vector;
	uint32_t error_code;
	uint64_t fault_address;
	bool window;
};

#define FAKE_MAPS 16

struct backend_partition {
	struct backend_interrupt last;
	unsigned int interrupts;
	unsigned int vectors[256]; /* [a] interrupts with each */
	struct {
		uint64_t gpa, length;
		void *memory;
	} maps[FAKE_MAPS];
	unsigned int map_count;
	uint64_t logged;    /* bytes whose pages are told */
	int log_result;     /* what a call about the log gives, if it is not 0 */
	int map_result;     /* of backend_partition_map(): 0, or why not */
	uint64_t dirty_gpa; /* the page that the guest wrote; 0: none */
};

/* A page that every guest never ceases to write; 0: none. */
extern uint64_t fake_dirty_always;

#endif
