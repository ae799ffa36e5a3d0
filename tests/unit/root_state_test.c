/*
 * backend/root_state.c: a VP's state goes into parts and comes back as it was, and what is damaged
 * changes nothing. The test stands where the module would: a VP is a list of registers and some
 * pages.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "backend/root.h"
#include "lib/state.h"
#include "tests/fake/part.h"

#define REGISTERS_MAX 256
#define PAGE          4096u

struct fake {
	struct hv_register_assoc registers[REGISTERS_MAX];
	unsigned int count;
	uint8_t pieces[MSHV_VP_STATE_COUNT][PAGE];
	uint64_t time;
	bool no_xsave;
	uint32_t missing; /* a register that this hypervisor has not */
};

static struct fake fake;
static unsigned int changes; /* calls that set something */
static int refusal;          /* of those */
static struct backend_vp vp;
static struct backend_partition partition;
static uint8_t saved[65536];

void check_failed(const char *file, int line, const char *what)
{
	fprintf(stderr, "%s:%d: %s\n", file, line, what);
	abort();
}

static struct hv_register_assoc *fake_register(uint32_t name)
{
	unsigned int i = 0;

	while (i < fake.count && fake.registers[i].name != name) {
		i++;
	}
	assert_true(i < REGISTERS_MAX);
	if (i == fake.count) {
		fake.registers[fake.count++].name = name;
	}
	return &fake.registers[i];
}

static int get_registers(const struct hv_input_get_vp_registers *input, uint16_t reps, void *output)
{
	union hv_register_value *values = output;

	for (uint16_t i = 0; i < reps; i++) {
		if (input->names[i] == fake.missing) {
			return -EINVAL;
		}
		values[i] = fake_register(input->names[i])->value;
	}
	return 0;
}

static int set_registers(const struct hv_input_set_vp_registers *input, uint16_t reps)
{
	changes++;
	for (uint16_t i = 0; i < reps && refusal == 0; i++) {
		fake_register(input->elements[i].name)->value = input->elements[i].value;
	}
	return refusal;
}

int root_call(int fd, uint16_t code, const void *input, size_t input_size, void *output,
	      size_t output_size, uint16_t reps, uint16_t *status)
{
	(void)fd;
	(void)input_size;
	(void)output_size;
	(void)status;
	if (code == HVCALL_GET_VP_REGISTERS) {
		return get_registers(input, reps, output);
	}
	assert_int_equal(code, HVCALL_SET_VP_REGISTERS);
	return set_registers(input, reps);
}

int root_get_property(struct backend_partition *p, uint32_t code, uint64_t *value)
{
	(void)p;
	assert_int_equal(code, HV_PARTITION_PROPERTY_REFERENCE_TIME);
	*value = fake.time;
	return 0;
}

int root_set_property(struct backend_partition *p, uint32_t code, uint64_t value)
{
	(void)p;
	assert_int_equal(code, HV_PARTITION_PROPERTY_REFERENCE_TIME);
	changes++;
	fake.time = value;
	return 0;
}

int root_get_state(struct backend_vp *v, uint8_t type, void *buffer, uint32_t *size)
{
	(void)v;
	if (type == MSHV_VP_STATE_XSAVE && fake.no_xsave) {
		return -EINVAL;
	}
	assert_true(*size >= PAGE && *size % PAGE == 0 && (uintptr_t)buffer % PAGE == 0);
	*size = type == MSHV_VP_STATE_XSAVE ? 832 : PAGE;
	memcpy(buffer, fake.pieces[type], *size);
	return 0;
}

int root_set_state(struct backend_vp *v, uint8_t type, void *buffer, uint32_t size)
{
	(void)v;
	changes++;
	assert_true(size == PAGE && (uintptr_t)buffer % PAGE == 0);
	memcpy(fake.pieces[type], buffer, PAGE);
	return 0;
}

static void fill(void *to, size_t size)
{
	static uint32_t seed = 1;
	uint8_t *bytes = to;

	for (size_t i = 0; i < size; i++) {
		seed = seed * 1664525 + 1013904223;
		bytes[i] = (uint8_t)(seed >> 24);
	}
}

static int setup(void **state)
{
	struct hv_synthetic_timers_state timers = {0};

	(void)state;
	memset(&fake, 0, sizeof(fake));
	vp = (struct backend_vp){.index = 3};
	changes = 0;
	refusal = 0;
	fill(fake.pieces[MSHV_VP_STATE_LAPIC], sizeof(struct hv_local_interrupt_controller_state));
	fill(fake.pieces[MSHV_VP_STATE_XSAVE], 832);
	fill(fake.pieces[MSHV_VP_STATE_SIMP], PAGE);
	fill(fake.pieces[MSHV_VP_STATE_SIEFP], PAGE);
	for (unsigned int i = 0; i < HV_SYNIC_STIMER_COUNT; i++) {
		fill(&timers.timers[i].config, 32);
		timers.timers[i].flags.undelivered_msg_pending = i & 1;
	}
	memcpy(fake.pieces[MSHV_VP_STATE_SYNTHETIC_TIMERS], &timers, sizeof(timers));
	fake.time = 0x123456789abc;
	return 0;
}

/* Bytes of the state. All registers have values once they have been asked for. */
static size_t save(void)
{
	struct vp_exit exit = {.kind = VP_EXIT_NONE};

	for (int i = 0; i < 2; i++) {
		struct state_writer writer = state_writer(saved, sizeof(saved));

		assert_int_equal(backend_partition_save(&partition, &writer), 0);
		assert_int_equal(backend_vp_save(&vp, &exit, &writer), 0);
		assert_true(state_fits(&writer));
		if (i == 1) {
			return writer.used;
		}
		for (unsigned int j = 0; j < fake.count; j++) {
			/* the partition's, which come first, have 64 bits */
			fill(&fake.registers[j].value, j < 3 ? 8 : 16);
		}
	}
	return 0;
}

static int restore(size_t size)
{
	struct state_fault fault;
	struct state_reader list = state_reader(saved, size, &fault);
	int ret = backend_partition_restore(&partition, &list);

	if (ret == 0) {
		ret = backend_vp_restore(&vp, &list);
	}
	assert_int_equal(ret == -EINVAL, fault.what != NULL);
	return ret;
}

static void expect_same(const struct fake *before)
{
	assert_int_equal(fake.count, before->count);
	for (unsigned int i = 0; i < before->count; i++) {
		assert_memory_equal(&fake_register(before->registers[i].name)->value,
				    &before->registers[i].value, 16);
	}
	assert_memory_equal(fake.pieces, before->pieces, sizeof(fake.pieces));
	assert_true(fake.time == before->time);
}

/* Into a new one, which has nothing of all that. */
static void round_trip(void)
{
	struct fake before;
	size_t size = save();

	before = fake;
	memset(&fake, 0, sizeof(fake));
	fake.no_xsave = before.no_xsave;
	assert_int_equal(restore(size), 0);
	expect_same(&before);
}

static void all_comes_back(void **state)
{
	(void)state;
	round_trip();
	/* The pieces of every kind have names by which one finds them. */
	assert_non_null(fake_register(HV_X64_REGISTER_RIP));
	assert_int_equal(fake.count, 3 + 116);
}

/* The vector registers go as registers. */
static void without_xsave(void **state)
{
	(void)state;
	fake.no_xsave = true;
	memset(fake.pieces[MSHV_VP_STATE_XSAVE], 0, PAGE);
	round_trip();
	assert_int_equal(fake.count, 3 + 116 + 26);
}

static void what_a_processor_has_not_is_left_out(void **state)
{
	struct state_writer writer = state_writer(NULL, 0);
	struct vp_exit exit = {.kind = VP_EXIT_NONE};
	size_t all = save();

	(void)state;
	fake.missing = HV_X64_REGISTER_SPEC_CTRL;
	assert_int_equal(backend_vp_save(&vp, &exit, &writer), 0);
	assert_int_equal(save(), all - 20);
	assert_int_equal(restore(all - 20), 0);
	fake.missing = HV_X64_REGISTER_CR3;
	assert_int_equal(backend_vp_save(&vp, &exit, &writer), -EINVAL);
}

/* An answer that the hypervisor has not seen yet is part of the state. */
static void an_answer_is_taken_along(void **state)
{
	struct state_writer writer = state_writer(saved, sizeof(saved));
	static struct hv_vp_register_page page;
	struct vp_exit exit = {.kind = VP_EXIT_PORT, .port = {.size = 4, .value = 0x12345678}};

	(void)state;
	page = (struct hv_vp_register_page){.isvalid = 1, .rflags = 2};
	page.gp_registers[VP_R15] = 0xf;
	vp.page = &page;
	vp.next_rip = 0x1002;
	assert_int_equal(backend_vp_save(&vp, &exit, &writer), 0);
	assert_int_equal(exit.kind, VP_EXIT_NONE);
	assert_int_equal(page.dirty, 0);
	assert_true(fake_register(HV_X64_REGISTER_RAX)->value.reg64 == 0x12345678);
	assert_true(fake_register(HV_X64_REGISTER_RIP)->value.reg64 == 0x1002);
	assert_true(fake_register(HV_X64_REGISTER_R15)->value.reg64 == 0xf);
}

/* The partition's part is good until it is the one that is damaged; then the VP's is not looked
 * at. */
static void damage_changes_nothing(void **state)
{
	size_t size = save();
	struct state_fault fault;
	struct state_reader list;
	size_t begin = STATE_HEADER_BYTES + 32;

	(void)state;
	for (size_t cut = begin; cut < size; cut += test_part()) {
		changes = 0;
		list = state_reader(saved + begin, cut - begin, &fault);
		assert_int_equal(backend_vp_restore(&vp, &list), -EINVAL);
		assert_int_equal(changes, 0);
	}
	for (size_t bit = begin * 8; bit < size * 8; bit += 3 * test_part()) {
		int ret;

		changes = 0;
		saved[bit / 8] ^= (uint8_t)(1u << bit % 8);
		list = state_reader(saved + begin, size - begin, &fault);
		ret = backend_vp_restore(&vp, &list);
		assert_true(ret == 0 || (ret == -EINVAL && changes == 0 && fault.what != NULL));
		saved[bit / 8] ^= (uint8_t)(1u << bit % 8);
	}
}

static void of_another_vp(void **state)
{
	size_t size = save();

	(void)state;
	vp.index = 2;
	changes = 0;
	assert_int_equal(restore(size), -EINVAL);
	assert_int_equal(changes, 2); /* the partition's time and registers */
}

/* What the hypervisor refuses is told apart from a state that is none. */
static void what_the_hypervisor_refuses(void **state)
{
	size_t size = save();
	struct state_fault fault;
	struct state_reader list = state_reader(saved, size, &fault);

	(void)state;
	refusal = -EINVAL;
	assert_int_equal(backend_partition_restore(&partition, &list), -EIO);
	assert_int_equal(backend_vp_restore(&vp, &list), -EIO);
	assert_null(fault.what);
}

#define T(name) cmocka_unit_test_setup(name, setup)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(all_comes_back),
		T(without_xsave),
		T(what_a_processor_has_not_is_left_out),
		T(an_answer_is_taken_along),
		T(damage_changes_nothing),
		T(of_another_vp),
		T(what_the_hypervisor_refuses),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
