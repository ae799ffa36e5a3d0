/*
 * hypervisor/arch/x86/svm/svm.c: what a guest is left for. Bits stand here by their numbers in the
 * control block (APM vol. 2, appendix B), so that a wrong constant cannot agree with itself.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "hypervisor/arch/x86/apic.h"
#include "hypervisor/arch/x86/cpu.h"
#include "hypervisor/arch/x86/paging.h"
#include "hypervisor/arch/x86/svm/svm.h"
#include "hypervisor/arch/x86/trap.h"
#include "hypervisor/gpa.h"
#include "hypervisor/home.h"
#include "hypervisor/memory.h"
#include "hypervisor/sleep.h"
#include "tests/fake/on_lp.h"

#define BIT(n)     (1u << (n))
#define FILTER     BIT(10)
#define FILTER_GAP BIT(12)

ON_LP_BLOCKS;
const struct table_register fault_table, interrupt_table;

static struct vmcb *vmcb;
static struct partition_home home;
static struct partition root = {.id = HV_ROOT_PARTITION, .home = &home},
			child = {.id = 7, .home = &home};

void apic_kick_self(void)
{
	fail();
}

spa_t gpa_top(const struct gpa_map *map)
{
	assert_ptr_equal(map, &home.gpa);
	return (spa_t){0x7000};
}

spa_t memory_boot_alloc(uint64_t pages)
{
	(void)pages;
	fail();
	return (spa_t){0};
}

unsigned int paging_max_level(void)
{
	return 2;
}

void *plat_page_alloc(struct partition *p)
{
	(void)p;
	return vmcb;
}

void plat_page_free(struct partition *p, void *page)
{
	(void)p;
	assert_ptr_equal(page, vmcb);
}

spa_t plat_ptr_spa(const void *page)
{
	return (spa_t){(uintptr_t)page};
}

bool rdmsr_safe(uint32_t msr, uint64_t *value)
{
	(void)msr;
	(void)value;
	return false;
}

bool wrmsr_safe(uint32_t msr, uint64_t value)
{
	(void)msr;
	(void)value;
	return false;
}

void sleep_watch(uint8_t *map)
{
	(void)map;
}

void svm_nmi_gate(void)
{
}

void svm_security_gate(void)
{
}

void svm_wait(void)
{
}

void svm_prepare_software(struct vcpu *vcpu)
{
	(void)vcpu;
	fail();
}

bool svm_step_begin(struct vcpu *vcpu)
{
	(void)vcpu;
	fail();
	return false;
}

void trap_set_gate(unsigned int vector, void (*gate)(void))
{
	(void)vector;
	(void)gate;
}

static int setup(void **state)
{
	(void)state;
	vmcb = aligned_alloc(PAGE_SIZE, PAGE_SIZE);
	memset(vmcb, 0, PAGE_SIZE);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	free(vmcb);
	return 0;
}

static uint32_t word(unsigned int offset)
{
	uint32_t value;

	memcpy(&value, (const uint8_t *)vmcb + offset, sizeof(value));
	return value;
}

static void create(struct partition *p, uint32_t features)
{
	static struct vp vp;
	static struct vcpu vcpu;

	vp = (struct vp){.partition = p};
	vcpu = (struct vcpu){.vp = &vp};
	memset(vmcb, 0, PAGE_SIZE);
	svm_features = features;
	assert_int_equal(vendor_vcpu_create(&vcpu), HV_STATUS_SUCCESS);
	assert_int_equal(vcpu.vmcb_pa, (uintptr_t)vmcb);
}

/* A device's interrupts, its NMI and its INIT; the processor's own virtualization; what would tell
 * of, or change, the machine. */
static void what_every_guest_is_left_for(void **state)
{
	const uint32_t first = BIT(0) | BIT(1) | BIT(3) | BIT(15) | BIT(18) | BIT(22) | BIT(24) |
			       BIT(26) | BIT(27) | BIT(28) | BIT(31);
	const uint32_t second = 0x7f | BIT(10) | BIT(11) | BIT(12) | BIT(13) | BIT(14);
	struct partition *const partitions[] = {&root, &child};

	(void)state;
	for (unsigned int i = 0; i < 2; i++) {
		create(partitions[i], 0);
		/* #DB, #AC and #MC */
		assert_int_equal(word(8), BIT(1) | BIT(17) | BIT(18));
		assert_int_equal(word(0xc) & first, first);
		assert_int_equal(word(0x10) & second, second);
		assert_int_equal(word(0x14), 0x1b);              /* INVLPGB and its kin */
		assert_int_equal(word(0x60) & BIT(24), BIT(24)); /* V_INTR_MASKING */
		assert_int_equal(word(0x90), 1);                 /* nested paging */
		assert_int_equal(word(0xb0), 0x7000);
	}
}

/* The caches are everybody's: WBINVD and WBNOINVD of a child end here, those of the root do not. */
static void a_child_leaves_the_caches_alone(void **state)
{
	(void)state;
	create(&child, 0);
	assert_int_equal(word(0x10) & BIT(9), BIT(9));
	create(&root, 0);
	assert_int_equal(word(0x10) & BIT(9), 0);
}

/* Where the processor tells a loop from a PAUSE now and then, a child's loop ends. */
static void a_childs_loops_of_pause_are_counted(void **state)
{
	(void)state;
	create(&child, FILTER | FILTER_GAP);
	assert_int_equal(word(0xc) & BIT(23), BIT(23));
	assert_true((word(0x3c) & 0xffff) && word(0x3c) >> 16); /* threshold, count */
	for (unsigned int i = 0; i < 2; i++) {
		create(&child, i ? FILTER : FILTER_GAP);
		assert_int_equal(word(0xc) & BIT(23), 0);
	}
	create(&root, FILTER | FILTER_GAP);
	assert_int_equal(word(0xc) & BIT(23), 0);
	assert_int_equal(word(0x3c), 0);
}

#define T(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(what_every_guest_is_left_for),
		T(a_child_leaves_the_caches_alone),
		T(a_childs_loops_of_pause_are_counted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
