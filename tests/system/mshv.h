/*
 * What the programs that test /dev/mshv share: one partition with a little memory, and checks that
 * end the program. They talk to the module directly, by include/root/ioctl.h, and need nothing else
 * of the tree.
 */
#ifndef TESTS_SYSTEM_MSHV_H
#define TESTS_SYSTEM_MSHV_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "include/hv/hypercall.h"
#include "include/hv/intercept.h"
#include "include/hv/interrupt.h"
#include "include/hv/memory.h"
#include "include/hv/partition.h"
#include "include/hv/registers.h"
#include "include/hv/status.h"
#include "include/hv/synic.h"
#include "include/hv/vp.h"
#include "include/root/ioctl.h"

#define PAGE 4096ul

/* Flags of a guest's memory. */
#define READ_WRITE (1 << MSHV_SET_MEM_BIT_WRITABLE | 1 << MSHV_SET_MEM_BIT_EXECUTABLE)

/* Ends the program with what was expected and errno. */
#define EXPECT(condition) ((condition) ? (void)0 : fail(__FILE__, __LINE__, #condition))

_Noreturn void fail(const char *file, int line, const char *what);

/* The errno of a call, 0 for success. */
#define ERRNO(call) ((call) < 0 ? errno : 0)

struct machine {
	int device, partition;
	uint8_t *memory; /* at GPA 0 */
	size_t memory_size;
};

struct cpu {
	int fd;
	struct hv_vp_register_page *registers;
	struct hv_message *intercept;
};

/* A partition that is initialized and has memory; port accesses come without being asked for. */
void machine_create(struct machine *machine, size_t memory_size);
void machine_destroy(struct machine *machine);
int machine_map(const struct machine *machine, uint64_t gpa, void *address, uint64_t size,
		unsigned int flags);

/* A VP with its pages mapped, in 32-bit protected mode with flat segments, at eip. */
void cpu_create(const struct machine *machine, struct cpu *cpu, uint32_t index, uint32_t eip);
void cpu_destroy(struct cpu *cpu);
void cpu_set(const struct cpu *cpu, uint32_t index, uint32_t name, union hv_register_value value);
uint64_t cpu_get64(const struct cpu *cpu, uint32_t index, uint32_t name);
/* Runs it until an intercept, or for at most so long; the message type, or 0 when time ran out. */
uint32_t cpu_run(const struct cpu *cpu, struct hv_message *message, unsigned int milliseconds);
/* Behind the instruction at which it stopped. */
void cpu_skip(const struct cpu *cpu, unsigned int length);

/* Where the guests of these programs have their code. */
#define CODE 0x1000u
void put_code(const struct machine *machine, uint32_t gpa, const void *code, size_t size);
/* Stops at a port write of that byte to port 0x80, and goes behind it. */
void expect_port(const struct cpu *cpu, uint8_t value);

/* MSHV_ROOT_HVCALL. */
int hvcall(int fd, uint16_t code, uint16_t reps, const void *input, uint16_t input_size,
	   void *output, uint16_t output_size);

/* One of /sys/module/mshv_vd/parameters. */
long held(const char *name);

#endif
