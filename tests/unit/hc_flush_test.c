/*
 * tlfs/hc_flush.c: which VPs a flush or an IPI reaches, and which inputs are refused before it
 * reaches any.
 */
#include "tests/fake/guest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <cmocka.h>

#include "include/hv/interrupt.h"
#include "tlfs/hypercall.h"
#include "tlfs/lapic.h"

#define VP_COUNT 6
#define VECTOR   0x61u
#define CALLER   1u

static struct partition *p;

static int setup(void **state)
{
	(void)state;
	p = guest_create(false, VP_COUNT, NULL);
	for (uint32_t i = 0; i < VP_COUNT; i++) {
		lapic_mmio_write(p->vps[i], LAPIC_SVR << 4, 0x1FF);
	}
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	guest_destroy(p);
	return 0;
}

/* A call with an input block of its own, so that the address sanitizer sees a read beyond it. */
static hv_status_t call(hypercall_handler *handler, const void *input, size_t fixed,
			size_t variable, uint32_t reps, uint32_t *done)
{
	struct hypercall c = {
		.vp = p->vps[CALLER], .variable_size = (uint32_t)variable, .end = reps};
	void *copy = test_malloc(fixed + variable);
	hv_status_t status;

	memcpy(copy, input, fixed + variable);
	c.input = copy;
	status = handler(&c);
	test_free(copy);
	if (done != NULL) {
		*done = c.done;
	}
	return status;
}

/* VPs whose TLB was flushed since the last look. */
static uint32_t flushed(void)
{
	uint32_t vps = 0;

	for (uint32_t i = 0; i < VP_COUNT; i++) {
		if (record.tlb_flushes[i]) {
			vps |= 1u << i;
		}
		record.tlb_flushes[i] = 0;
	}
	return vps;
}

static uint32_t interrupted(void)
{
	uint32_t vps = 0;

	guest_process(p);
	for (uint32_t i = 0; i < VP_COUNT; i++) {
		if (lapic_pending(p->vps[i]) != (int)VECTOR) {
			continue;
		}
		vps |= 1u << i;
		lapic_accept(p->vps[i], VECTOR);
		lapic_eoi(p->vps[i]);
	}
	return vps;
}

/* ---- flushes ---- */

static hv_status_t flush(uint64_t flags, uint64_t mask)
{
	const struct hv_tlb_flush input = {
		.address_space = 0x1000, .flags = flags, .processor_mask = mask};

	return call(hc_flush_address_space, &input, sizeof(input), 0, 0, NULL);
}

/* TLFS: when the call returns, the effects have occurred. */
static void by_mask(void **state)
{
	(void)state;
	assert_int_equal(flush(0, 0x15), HV_STATUS_SUCCESS);
	assert_int_equal(flushed(), 0x15);
	assert_int_equal(record.tlb_syncs, 3); /* each of them */
	assert_int_equal(
		flush(HV_FLUSH_ALL_VIRTUAL_ADDRESS_SPACES | HV_FLUSH_NON_GLOBAL_MAPPINGS_ONLY,
		      0xFFFFFFFFFFFFFF01),
		HV_STATUS_SUCCESS); /* VPs that do not exist are nobody */
	assert_int_equal(flushed(), 0x01);
	assert_int_equal(flush(0, 0), HV_STATUS_SUCCESS);
	assert_int_equal(flushed(), 0);
}

/* Alone it need not wait for others. */
static void itself(void **state)
{
	(void)state;
	assert_int_equal(flush(0, 1u << CALLER), HV_STATUS_SUCCESS);
	assert_int_equal(flushed(), 1u << CALLER);
	assert_int_equal(record.tlb_syncs, 0);
}

static void all_processors(void **state)
{
	(void)state;
	assert_int_equal(flush(HV_FLUSH_ALL_PROCESSORS, 0), HV_STATUS_SUCCESS);
	assert_int_equal(flushed(), 0x3F);
}

static void flags(void **state)
{
	const struct hv_tlb_flush non_global = {.flags = HV_FLUSH_NON_GLOBAL_MAPPINGS_ONLY,
						.processor_mask = 1};
	const struct hv_tlb_flush extended = {.flags = HV_FLUSH_USE_EXTENDED_RANGE_FORMAT,
					      .processor_mask = 1};

	(void)state;
	for (unsigned int bit = 4; bit < 64; bit++) {
		assert_int_equal(flush(1ull << bit, 1), HV_STATUS_INVALID_PARAMETER);
	}
	assert_int_equal(flush(HV_FLUSH_USE_EXTENDED_RANGE_FORMAT, 1), HV_STATUS_INVALID_PARAMETER);
	/* TLFS, HvCallFlushVirtualAddressList: "treated as an invalid option" */
	assert_int_equal(call(hc_flush_address_list, &non_global, sizeof(non_global), 0, 1, NULL),
			 HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(flushed(), 0);
	assert_int_equal(call(hc_flush_address_list, &extended, sizeof(extended), 0, 1, NULL),
			 HV_STATUS_SUCCESS);
}

/* A list of any length is one flush: all reps are done. */
static void list(void **state)
{
	const struct hv_tlb_flush input = {.processor_mask = 0x3};
	uint32_t done;

	(void)state;
	assert_int_equal(call(hc_flush_address_list, &input, sizeof(input), 0, 500, &done),
			 HV_STATUS_SUCCESS);
	assert_int_equal(done, 500);
	assert_int_equal(record.tlb_flushes[0], 1);
	assert_int_equal(flushed(), 0x3);
}

/* ---- sets (TLFS: HV_VP_SET) ---- */

struct set_input {
	struct hv_tlb_flush_ex fixed;
	uint64_t banks[HV_MAX_SPARSE_VCPU_BANKS];
};

static hv_status_t flush_ex(uint64_t format, uint64_t mask, uint64_t bank_0, uint64_t bank_1,
			    unsigned int words)
{
	const struct set_input input = {
		.fixed.hv_vp_set = {.format = format, .valid_bank_mask = mask},
		.banks = {bank_0, bank_1},
	};
	uint32_t done;
	hv_status_t status =
		call(hc_flush_address_list_ex, &input, sizeof(input.fixed), words * 8, 3, &done);

	assert_int_equal(done, status == HV_STATUS_SUCCESS ? 3 : 0);
	assert_int_equal(
		call(hc_flush_address_space_ex, &input, sizeof(input.fixed), words * 8, 0, NULL),
		status);
	return status;
}

static void sparse_set(void **state)
{
	(void)state;
	assert_int_equal(flush_ex(HV_GENERIC_SET_SPARSE_4K, 1, 0x2A, 0, 1), HV_STATUS_SUCCESS);
	assert_int_equal(flushed(), 0x2A);
	assert_int_equal(flush_ex(HV_GENERIC_SET_SPARSE_4K, 0, 0, 0, 0), HV_STATUS_SUCCESS);
	assert_int_equal(flushed(), 0);
	/*
	 * The word belongs to bank 3, where there is nobody; and to bank 63, beyond what a
	 * partition can have.
	 */
	assert_int_equal(flush_ex(HV_GENERIC_SET_SPARSE_4K, 1 << 3, ~0ull, 0, 1),
			 HV_STATUS_SUCCESS);
	assert_int_equal(flush_ex(HV_GENERIC_SET_SPARSE_4K, 1ull << 63, ~0ull, 0, 1),
			 HV_STATUS_SUCCESS);
	assert_int_equal(flushed(), 0);
	assert_int_equal(flush_ex(HV_GENERIC_SET_SPARSE_4K, 1ull << 63 | 1, 0x4, ~0ull, 2),
			 HV_STATUS_SUCCESS);
	assert_int_equal(flushed(), 0x4);
}

static void all_set(void **state)
{
	(void)state;
	assert_int_equal(flush_ex(HV_GENERIC_SET_ALL, 0, 0, 0, 0), HV_STATUS_SUCCESS);
	assert_int_equal(flushed(), 0x3F);
}

/*
 * As many words as the mask has bits: reading one that was not brought would read the list, or
 * beyond the page.
 */
static void wrong_word_count(void **state)
{
	(void)state;
	assert_int_equal(flush_ex(HV_GENERIC_SET_SPARSE_4K, 3, ~0ull, ~0ull, 1),
			 HV_STATUS_INVALID_HYPERCALL_INPUT);
	assert_int_equal(flush_ex(HV_GENERIC_SET_SPARSE_4K, 1, ~0ull, ~0ull, 2),
			 HV_STATUS_INVALID_HYPERCALL_INPUT);
	assert_int_equal(flush_ex(HV_GENERIC_SET_SPARSE_4K, ~0ull, ~0ull, ~0ull, 0),
			 HV_STATUS_INVALID_HYPERCALL_INPUT);
	assert_int_equal(flushed(), 0);
}

static void unknown_format(void **state)
{
	(void)state;
	assert_int_equal(flush_ex(2, 1, 1, 0, 1), HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(flush_ex(UINT64_MAX, 1, 1, 0, 1), HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(flushed(), 0);
}

static void ex_flags(void **state)
{
	const struct set_input input = {
		.fixed = {.flags = HV_FLUSH_ALL_PROCESSORS, .hv_vp_set.format = 7}};
	const struct set_input bad = {
		.fixed = {.flags = 0x10, .hv_vp_set.format = HV_GENERIC_SET_ALL}};

	(void)state;
	/* TLFS: with ALL_PROCESSORS the set is ignored */
	assert_int_equal(call(hc_flush_address_space_ex, &input, sizeof(input.fixed), 0, 0, NULL),
			 HV_STATUS_SUCCESS);
	assert_int_equal(flushed(), 0x3F);
	assert_int_equal(call(hc_flush_address_space_ex, &bad, sizeof(bad.fixed), 0, 0, NULL),
			 HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(flushed(), 0);
}

/* ---- IPIs ---- */

static hv_status_t ipi(uint32_t vector, uint8_t vtl, uint64_t mask)
{
	const struct hv_send_ipi input = {
		.vector = vector, .target_vtl.as_uint8 = vtl, .cpu_mask = mask};

	return call(hc_send_ipi, &input, sizeof(input), 0, 0, NULL);
}

static void ipi_by_mask(void **state)
{
	(void)state;
	assert_int_equal(ipi(VECTOR, 0, 0x36), HV_STATUS_SUCCESS);
	assert_int_equal(interrupted(), 0x36);
	assert_int_equal(ipi(VECTOR, 0, ~0ull), HV_STATUS_SUCCESS);
	assert_int_equal(interrupted(), 0x3F);
	assert_int_equal(ipi(VECTOR, 0x10, 1), HV_STATUS_SUCCESS); /* VTL 0, named */
	assert_int_equal(interrupted(), 1);
}

/* TLFS: "Must be between >= 0x10 and <= 0xFF" */
static void ipi_refused(void **state)
{
	(void)state;
	assert_int_equal(ipi(0x0F, 0, ~0ull), HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(ipi(0x100, 0, ~0ull), HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(ipi(0x100 + VECTOR, 0, ~0ull), HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(ipi(VECTOR, 0x11, ~0ull), HV_STATUS_INVALID_PARAMETER); /* VTL 1 */
	assert_int_equal(ipi(VECTOR, 0x20, ~0ull), HV_STATUS_INVALID_PARAMETER); /* reserved */
	assert_int_equal(interrupted(), 0);
	assert_int_equal(ipi(0x10, 0, 1), HV_STATUS_SUCCESS);
	assert_int_equal(ipi(0xFF, 0, 1), HV_STATUS_SUCCESS);
}

static hv_status_t ipi_ex(uint32_t vector, uint64_t format, uint64_t mask, uint64_t bank,
			  unsigned int words)
{
	const struct {
		struct hv_send_ipi_ex fixed;
		uint64_t banks[4];
	} input = {
		.fixed = {.vector = vector, .vp_set = {.format = format, .valid_bank_mask = mask}},
		.banks = {bank},
	};

	return call(hc_send_ipi_ex, &input, sizeof(input.fixed), words * 8, 0, NULL);
}

static void ipi_by_set(void **state)
{
	(void)state;
	assert_int_equal(ipi_ex(VECTOR, HV_GENERIC_SET_SPARSE_4K, 1, 0x24, 1), HV_STATUS_SUCCESS);
	assert_int_equal(interrupted(), 0x24);
	assert_int_equal(ipi_ex(VECTOR, HV_GENERIC_SET_ALL, 0, 0, 0), HV_STATUS_SUCCESS);
	assert_int_equal(interrupted(), 0x3F);
	assert_int_equal(ipi_ex(VECTOR, HV_GENERIC_SET_SPARSE_4K, 7, 0x24, 1),
			 HV_STATUS_INVALID_HYPERCALL_INPUT);
	assert_int_equal(ipi_ex(VECTOR, 3, 0, 0, 0), HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(ipi_ex(5, HV_GENERIC_SET_ALL, 0, 0, 0), HV_STATUS_INVALID_PARAMETER);
	assert_int_equal(interrupted(), 0);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(by_mask),        TEST(itself),
		TEST(all_processors), TEST(flags),
		TEST(list),           TEST(sparse_set),
		TEST(all_set),        TEST(wrong_word_count),
		TEST(unknown_format), TEST(ex_flags),
		TEST(ipi_by_mask),    TEST(ipi_refused),
		TEST(ipi_by_set),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
