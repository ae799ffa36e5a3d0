/*
 * Task switches (Intel SDM vol. 3, 7.3): a guest's GDT and two tasks in a page or two of memory,
 * and what is in the registers and in memory after the exit.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "hypervisor/arch/x86/vmx/vmx.h"
#include "hypervisor/arch/x86/walk.h"
#include "hypervisor/intercept.h"
#include "tests/fake/vmcs.h"

#define GDT     0x1000
#define OLD_TSS 0x2000
#define NEW_TSS 0x2fc0 /* across two pages */
#define CODE    0x08
#define DATA    0x10
#define OLD     0x18
#define NEW     0x20
#define CODE_3  0x28
#define ABSENT  0x30
#define CALL    (0u << 30 | NEW)
#define IRET    (1u << 30 | NEW)
#define JMP     (2u << 30 | NEW)
#define GATE    (3u << 30 | NEW)
#define VALID   (1u << 31)
#define NT      (1u << 14)
#define BUSY    (1ull << 41)

static uint8_t memory[0x8000];
static uint64_t unmapped;
static struct vmx vmx;
static struct vp vp;
static struct partition partition;
static struct vcpu vcpu;
static struct intercept out;

void intercept_shutdown(struct vcpu *v)
{
	(void)v;
	fail();
}

void vmx_paging_changed(struct vcpu *v)
{
	v->vmx->flush = true;
}

/* Virtual addresses are physical ones; the page `unmapped` is none. */
uint32_t walk_gva(struct vcpu *v, gva_t gva, uint32_t access, gpa_t *gpa, uint32_t *error)
{
	(void)v;
	gpa->v = gva.v;
	*error = access & WALK_WRITE ? 2 : 0;
	return gva.v >= sizeof(memory) || gva.v == unmapped ? HV_TRANSLATE_GVA_PAGE_NOT_PRESENT
							    : HV_TRANSLATE_GVA_SUCCESS;
}

bool plat_gpa_read(struct partition *p, gpa_t gpa, void *data, uint32_t size)
{
	(void)p;
	assert_true((gpa.v & 0xfff) + size <= 0x1000);
	memcpy(data, memory + gpa.v, size);
	return true;
}

bool plat_gpa_write(struct partition *p, gpa_t gpa, const void *data, uint32_t size)
{
	(void)p;
	assert_true((gpa.v & 0xfff) + size <= 0x1000);
	memcpy(memory + gpa.v, data, size);
	return true;
}

static void put64(uint32_t at, uint64_t value)
{
	memcpy(memory + at, &value, 8);
}

static void put32(uint32_t at, uint32_t value)
{
	memcpy(memory + at, &value, 4);
}

static uint64_t get64(uint32_t at)
{
	uint64_t value;

	memcpy(&value, memory + at, 8);
	return value;
}

static uint32_t get32(uint32_t at)
{
	return (uint32_t)get64(at);
}

static uint64_t task_descriptor(uint32_t base, uint64_t type)
{
	return 0x67 | (uint64_t)(base & 0xffffff) << 16 | (0x80 | type) << 40;
}

static int reset(void **state)
{
	(void)state;
	memset(memory, 0, sizeof(memory));
	memset(vmcs, 0, sizeof(vmcs));
	memset(&vmx, 0, sizeof(vmx));
	memset(&vcpu, 0, sizeof(vcpu));
	unmapped = UINT64_MAX;
	vcpu.vmx = &vmx;
	vcpu.vp = &vp;
	vp.partition = &partition;
	vcpu.rip = 0x5000;
	vmcs[0x440c] = 2;
	vmx.state[STATE_CR0] = 0x80000011;
	vmx.state[STATE_CR3] = 0x7000;
	vmx.state[STATE_RFLAGS] = 0x202;
	vmx.state[STATE_RSP] = 0x6000;
	vmx.state[STATE_GDTR_BASE] = GDT;
	vmx.state[STATE_GDTR_LIMIT] = 0x37;
	vmx.state[STATE_SELECTOR + 1] = CODE;
	vmx.state[STATE_SELECTOR + 7] = OLD;
	vmx.state[STATE_BASE + 7] = OLD_TSS;
	vmx.state[STATE_RIGHTS + 7] = 0x8b;
	vmx.state[STATE_DR7] = 0x7ff;
	vcpu.gpr[GPR_RDI] = 0x11111111;
	put64(GDT + CODE, 0x00cf9b000000ffff);
	put64(GDT + DATA, 0x00cf92000000ffff); /* not accessed yet */
	put64(GDT + CODE_3, 0x00cffb000000ffff);
	put64(GDT + ABSENT, 0x00cf13000000ffff);
	put64(GDT + OLD, task_descriptor(OLD_TSS, 11));
	put64(GDT + NEW, task_descriptor(NEW_TSS, 9));
	put32(NEW_TSS + 0x1c, 0x7000);
	put32(NEW_TSS + 0x20, 0x4444); /* EIP */
	put32(NEW_TSS + 0x24, 0x2);
	put32(NEW_TSS + 0x28, 0xaaaaaaaa); /* EAX */
	put32(NEW_TSS + 0x38, 0x3800);     /* ESP */
	put32(NEW_TSS + 0x44, 0xdddddddd); /* EDI */
	put32(NEW_TSS + 0x48, DATA);
	put32(NEW_TSS + 0x4c, CODE);
	put32(NEW_TSS + 0x50, DATA);
	put32(NEW_TSS + 0x54, DATA);
	return 0;
}

static void do_switch(uint64_t qualification)
{
	vmcs[0x6400] = qualification;
	vmx_task_switch(&vcpu, &out);
	assert_int_equal(out.kind, INTERCEPT_NOTHING);
}

static void test_call(void **state)
{
	(void)state;
	do_switch(CALL);
	assert_int_equal(vmx.event, 0);
	assert_int_equal(get32(OLD_TSS + 0x20), 0x5002);
	assert_int_equal(get32(OLD_TSS + 0x24), 0x202);
	assert_int_equal(get32(OLD_TSS + 0x38), 0x6000);
	assert_int_equal(get32(OLD_TSS + 0x44), 0x11111111);
	assert_int_equal(get32(OLD_TSS + 0x4c), CODE);
	assert_int_equal(get32(OLD_TSS + 0x1c), 0); /* CR3 is not saved */
	assert_int_equal(get32(NEW_TSS) & 0xffff, OLD);
	assert_true(get64(GDT + OLD) & BUSY);
	assert_true(get64(GDT + NEW) & BUSY);
	assert_int_equal(vcpu.rip, 0x4444);
	assert_int_equal(vmx.state[STATE_RFLAGS], NT | 2);
	assert_int_equal(vmx.state[STATE_RSP], 0x3800);
	assert_int_equal(vcpu.gpr[GPR_RAX], 0xaaaaaaaa);
	assert_int_equal(vcpu.gpr[GPR_RDI], 0xdddddddd);
	assert_int_equal(vmx.state[STATE_CR0], 0x80000019); /* TS */
	assert_int_equal(vmx.state[STATE_DR7] & 0x155, 0);
	assert_false(vmx.flush);
	assert_int_equal(vmx.state[STATE_SELECTOR + 7], NEW);
	assert_int_equal(vmx.state[STATE_BASE + 7], NEW_TSS);
	assert_int_equal(vmx.state[STATE_RIGHTS + 7], 0x8b);
	assert_int_equal(vmx.state[STATE_RIGHTS + 1], 0xc09b);
	assert_int_equal(vmx.state[STATE_LIMIT + 1], 0xffffffff);
	assert_int_equal(vmx.state[STATE_RIGHTS + 2] & 0xfe, 0x92);
	assert_int_equal(get64(GDT + DATA), 0x00cf93000000ffff);
	assert_int_equal(vmx.state[STATE_RIGHTS + 4], 1u << 16); /* FS: null */
	assert_int_equal(vmx.state[STATE_RIGHTS + 6], 1u << 16); /* LDTR */
}

static void test_jump_and_return(void **state)
{
	(void)state;
	do_switch(JMP);
	assert_false(get64(GDT + OLD) & BUSY);
	assert_true(get64(GDT + NEW) & BUSY);
	assert_int_equal(vmx.state[STATE_RFLAGS], 2);
	reset(NULL);
	put64(GDT + NEW, task_descriptor(NEW_TSS, 11));
	vmx.state[STATE_RFLAGS] = NT | 2;
	do_switch(IRET);
	assert_int_equal(get32(OLD_TSS + 0x24), 2);
	assert_false(get64(GDT + OLD) & BUSY);
	assert_true(get64(GDT + NEW) & BUSY);
	assert_int_equal(get32(NEW_TSS), 0);
}

/* A double fault through a task gate: the old task stands where it was, the code is on the new
 * stack. */
static void test_exception(void **state)
{
	(void)state;
	vmcs[0x4408] = 8 | 3u << 8 | 1u << 11 | VALID;
	vmcs[0x440a] = 0x77;
	vmx.event = (uint32_t)vmcs[0x4408]; /* as keep_event() left it */
	do_switch(GATE);
	assert_int_equal(vmx.event, 0);
	assert_int_equal(get32(OLD_TSS + 0x20), 0x5000);
	assert_int_equal(vmx.state[STATE_RSP], 0x37fc);
	assert_int_equal(get32(0x37fc), 0x77);
	assert_int_equal(vmx.state[STATE_RFLAGS], NT | 2);
	reset(NULL);
	vmcs[0x4408] = 0x80 | 4u << 8 | VALID; /* INT 0x80 */
	do_switch(GATE);
	assert_int_equal(get32(OLD_TSS + 0x20), 0x5002);
	reset(NULL);
	vmcs[0x4408] = 2 | 2u << 8 | VALID; /* NMI: until the new task's IRET no other */
	do_switch(GATE);
	assert_true(vendor_nmi_blocked(&vcpu));
}

static void test_another_address_space(void **state)
{
	(void)state;
	put32(NEW_TSS + 0x1c, 0x9000);
	do_switch(CALL);
	assert_int_equal(vmx.state[STATE_CR3], 0x9000);
	assert_true(vmx.flush);
}

static void test_virtual_8086(void **state)
{
	(void)state;
	put32(NEW_TSS + 0x24, 0x20002);
	put32(NEW_TSS + 0x4c, 0x1234);
	do_switch(CALL);
	assert_int_equal(vmx.event, 0);
	assert_int_equal(vmx.state[STATE_BASE + 1], 0x12340);
	assert_int_equal(vmx.state[STATE_RIGHTS + 1], 0xf3);
	assert_int_equal(vmx.state[STATE_RIGHTS + 2], 0xf3);
}

static void test_trap_flag_of_the_task(void **state)
{
	(void)state;
	put32(NEW_TSS + 0x64, 1);
	do_switch(CALL);
	assert_int_equal(vmx.event, 1 | 3u << 8 | VALID);
	assert_int_equal(vmx.dr6, 1u << 15);
}

/* Faults of the segments come in the new task. */
static void test_bad_segments(void **state)
{
	static const struct {
		uint32_t at, selector, event;
	} rows[] = {
		{0x4c, DATA, 10}, {0x4c, 0, 10},        {0x4c, 0x38, 10},   {0x4c, 0x0c, 10},
		{0x50, CODE, 10}, {0x50, DATA | 3, 10}, {0x50, ABSENT, 12}, {0x54, ABSENT, 11},
		{0x54, NEW, 10},  {0x60, DATA, 10},     {0x4c, CODE_3, 10},
	};

	(void)state;
	for (unsigned int i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		reset(NULL);
		put32(NEW_TSS + rows[i].at, rows[i].selector);
		do_switch(CALL);
		assert_int_equal(vmx.event, rows[i].event | 3u << 8 | 1u << 11 | VALID);
		assert_int_equal(vmx.error, rows[i].selector & 0xfffc);
		assert_int_equal(vcpu.rip, 0x4444);
	}
}

/* What is found before the switch leaves the old task as it was. */
static void test_faults_before_the_switch(void **state)
{
	(void)state;
	unmapped = 0x3000; /* the end of the new task */
	do_switch(CALL);
	assert_int_equal(vmx.event, 14 | 3u << 8 | 1u << 11 | VALID);
	assert_int_equal(vmx.cr2, 0x3000);
	assert_int_equal(vcpu.rip, 0x5000);
	assert_int_equal(vmx.state[STATE_SELECTOR + 7], OLD);
	reset(NULL);
	vmx.state[STATE_GDTR_LIMIT] = NEW + 6;
	do_switch(CALL);
	assert_int_equal(vmx.event, 10 | 3u << 8 | 1u << 11 | VALID);
	assert_int_equal(vmx.error, NEW);
	reset(NULL);
	put64(GDT + NEW, task_descriptor(NEW_TSS, 1)); /* a 16-bit task */
	do_switch(CALL);
	assert_int_equal(vmx.event, 10 | 3u << 8 | 1u << 11 | VALID);
	assert_int_equal(vcpu.rip, 0x5000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(test_call, reset),
		cmocka_unit_test_setup(test_jump_and_return, reset),
		cmocka_unit_test_setup(test_exception, reset),
		cmocka_unit_test_setup(test_another_address_space, reset),
		cmocka_unit_test_setup(test_virtual_8086, reset),
		cmocka_unit_test_setup(test_trap_flag_of_the_task, reset),
		cmocka_unit_test_setup(test_bad_segments, reset),
		cmocka_unit_test_setup(test_faults_before_the_switch, reset),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
