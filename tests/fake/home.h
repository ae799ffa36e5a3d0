/*
 * A second home of backend/backend.h, without a hypervisor: the whole worker runs on it, devices,
 * emulator, VMBus and all, in a unit test. Its exits are decoded already, as KVM's are.
 *
 * A VP's guest is a function of the test in a thread of its own. What it does by the functions here
 * that a guest cannot do by itself is an exit, for which backend_vp_run() in the worker's thread
 * returns; the guest goes on with the answer when it is called again. When the guest's function
 * returns, its VP sleeps. A VP that is destroyed ends its guest wherever that waits.
 */
#ifndef FAKE_HOME_H
#define FAKE_HOME_H

#include "include/hv/synic.h"
#include "tests/fake/backend.h"

#define HOME_SINTS 16u
#define HOME_FLAGS 2048u

struct home_vp;

/* Whom VPs that are made from now on run; NULL: nobody. And whether the guest's signals can be
 * bound to eventfds. */
extern void (*home_guest)(struct home_vp *vp);
extern bool home_binds_events;
/* Guests can be saved: then each comes to an exit soon, or has returned. */
extern bool home_is_saved;
/* What it runs on. */
extern struct backend_processor home_processor;

unsigned int home_index(const struct home_vp *vp);
/* The registers, of an instruction that is to be emulated. */
struct backend_vp *home_registers(struct home_vp *vp);
/* The guest's memory, NULL where it has none. */
void *home_memory(struct home_vp *vp, uint64_t gpa, uint64_t length);

uint32_t home_in(struct home_vp *vp, uint16_t port, uint8_t size);
void home_out(struct home_vp *vp, uint16_t port, uint8_t size, uint32_t value);
void home_ins(struct home_vp *vp, uint16_t port, uint8_t size, void *items, uint32_t count);
void home_outs(struct home_vp *vp, uint16_t port, uint8_t size, void *items, uint32_t count);
/* Memory where there is none. */
uint64_t home_read(struct home_vp *vp, uint64_t gpa, uint8_t size);
void home_write(struct home_vp *vp, uint64_t gpa, uint8_t size, uint64_t value);
/* An instruction that the home leaves to the worker, with an access at `gpa`; 0: it is an INS or
 * OUTS. */
void home_instruction(struct home_vp *vp, const void *bytes, uint8_t count, uint64_t gpa,
		      bool write);
/* HvPostMessage and HvSignalEvent; the input is where a guest has it. The status. */
uint16_t home_post(struct home_vp *vp, uint32_t connection, uint32_t type, const void *payload,
		   uint32_t size);
uint16_t home_signal(struct home_vp *vp, uint32_t connection);
void home_eoi(struct home_vp *vp, uint8_t vector);
/* An exit that has nothing beside its kind. */
void home_exit(struct home_vp *vp, enum vp_exit_kind kind);

/* Wait for what the worker does; a test that waits in vain comes to no end. The message leaves its
 * slot. */
void home_take_message(struct home_vp *vp, unsigned int sint, struct hv_message *message);
void home_wait_flag(struct home_vp *vp, unsigned int sint, unsigned int flag);
/* An interrupt message with that vector, counted since the partition was made. */
void home_wait_interrupt(struct home_vp *vp, uint8_t vector, unsigned int count);
/* The vector of the PC/AT's controllers that was injected. */
uint8_t home_take_extint(struct home_vp *vp);

#endif
