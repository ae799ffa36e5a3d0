/* What two sides of a migration compare: each thing that does not fit is named, and what travels is
 * read as it was or refused. And the owner file. */
#include "worker/offer.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "hosted/owner.h"
#include "worker/machine.h"

void check_failed(const char *file, int line, const char *what)
{
	fprintf(stderr, "%s:%d: %s\n", file, line, what);
	abort();
}

static struct config config = {.vps = 2, .memory = 64 << 20, .memory_maximum = 64 << 20};

static void expect_fault(const struct offer *wanted, const struct offer *had, const char *what)
{
	char text[1000];

	assert_false(offer_fits(wanted, had, text, sizeof(text)));
	if (strstr(text, what) == NULL) {
		fail_msg("no \"%s\" in: %s", what, text);
	}
}

static void each_difference_has_a_name(void **state)
{
	struct offer wanted, had;
	char text[1000], small[24];

	(void)state;
	config.disk_count = 2;
	config.disks[0] = (struct config_disk){.file = {.path = "a", .fd = -1}, .number = 3};
	config.disks[1] =
		(struct config_disk){.file = {.fd = -1}, .dvd = true, .ide = true, .number = 1};
	offer_of_config(&wanted, &config);
	had = wanted;
	assert_true(offer_fits(&wanted, &had, text, sizeof(text)));
	assert_string_equal(text, "");
	had.vps = 3;
	expect_fault(&wanted, &had, "2 VPs there, 3 here");
	had.memory = 32 << 20;
	expect_fault(&wanted, &had, "64 MiB of memory there, 32 here");
	had.memory_maximum = 128 << 20;
	had.generation = 1;
	had.scsi = false;
	had.vga = true;
	had.dynamic = true;
	had.networks = 2;
	had.disks[3] = OFFER_DISK_READ_ONLY;
	had.disks[CONFIG_SCSI_MAX + 1] = OFFER_NONE;
	expect_fault(&wanted, &had, "64 MiB at most there, 128 here");
	expect_fault(&wanted, &had, "generation 0 there, 1 here");
	expect_fault(&wanted, &had, "a SCSI controller there, none here");
	expect_fault(&wanted, &had, "no VGA there, one here");
	expect_fault(&wanted, &had, "fixed memory there, dynamic here");
	expect_fault(&wanted, &had, "adapter 1: here, not there");
	expect_fault(&wanted, &had, "SCSI 3: a disk there, a read-only disk here");
	wanted.disks[4] = had.disks[4] = OFFER_DISK;
	wanted.sizes[4] = (struct offer_size){1 << 20, 512, 512, "one"};
	expect_fault(&wanted, &had, "SCSI 4: its disk comes along there, is not here");
	had.sizes[4] = (struct offer_size){2 << 20, 512, 512, "two"};
	expect_fault(&wanted, &had,
		     "SCSI 4: 1048576 bytes in sectors of 512 and 512 there, 2097152, 512 and 512 "
		     "here");
	expect_fault(&wanted, &had, "IDE 1: an empty DVD drive there, nothing here");
	/* There is not room for all of it, and nothing is written behind that. */
	memset(text, 'x', sizeof(text));
	assert_false(offer_fits(&wanted, &had, small, sizeof(small)));
	assert_true(strlen(small) < sizeof(small));
}

static void firmware_and_tpm_have_names(void **state)
{
	struct firmware firmware = {.image.size = 4 << 20, .nvram.length = 528 << 10};
	struct offer wanted, had;
	char text[1000];

	(void)state;
	offer_of_config(&wanted, &config);
	offer_add_firmware(&wanted, &firmware);
	assert_int_equal(wanted.firmware, 0); /* of generation 2 alone */
	wanted.generation = 2;
	offer_add_firmware(&wanted, &firmware);
	had = wanted;
	assert_true(offer_fits(&wanted, &had, text, sizeof(text)));
	wanted.tpm = true;
	expect_fault(&wanted, &had, "a TPM there, none here");
	expect_fault(&had, &wanted, "no TPM there, one here");
	firmware.nvram.length = 64 << 10;
	offer_add_firmware(&had, &firmware);
	expect_fault(&wanted, &had,
		     "firmware of 4096 KiB with variables of 528 there, of 4096 and 64 here");
}

static void a_processor_may_have_more(void **state)
{
	struct offer wanted, had;
	char text[1000];

	(void)state;
	offer_of_config(&wanted, &config);
	had = wanted;
	wanted.processor.features[2] = 1u << 5 | 1u << 18;
	had.processor.features[2] = 1u << 5 | 1u << 18 | 1u << 20;
	assert_true(offer_fits(&wanted, &had, text, sizeof(text)));
	had.processor.features[2] = 1u << 20;
	expect_fault(&wanted, &had, "the processor here lacks AVX2, CPUID 7 EBX bit 5");
	expect_fault(&wanted, &had, "RDSEED");
	had.processor.features[2] = 0;
	strcpy(had.processor.vendor, "SomebodyElse");
	expect_fault(&wanted, &had, "SomebodyElse here");
}

static void travel(uint8_t generation)
{
	uint8_t bytes[4096], wrong[4096];
	struct state_writer writer = state_writer(bytes, sizeof(bytes));
	struct offer sent, came;
	struct state_reader reader;
	struct state_fault fault;
	size_t i;
	bool good;

	offer_of_config(&sent, &config);
	sent.added[1] = 5 << 20;
	sent.generation = generation;
	sent.sizes[3] = (struct offer_size){1ull << 40, 512, 4096, "its id"};
	sent.tpm = generation == 2;
	sent.firmware = generation == 2 ? 77 : 0;
	sent.variables = generation == 2 ? 78 : 0;
	offer_write(&sent, &writer);
	assert_true(state_fits(&writer));
	reader = state_reader(bytes, writer.used, &fault);
	assert_true(offer_read(&came, &reader, true));
	assert_memory_equal(came.disks, sent.disks, sizeof(sent.disks));
	assert_string_equal(came.processor.vendor, sent.processor.vendor);
	assert_memory_equal(came.processor.features, sent.processor.features,
			    sizeof(sent.processor.features));
	assert_memory_equal(came.sizes, sent.sizes, sizeof(sent.sizes));
	assert_int_equal(came.vps, 2);
	assert_int_equal(came.added[1], 5 << 20);
	assert_int_equal(came.tpm, sent.tpm);
	assert_int_equal(came.firmware, sent.firmware);
	assert_int_equal(came.variables, sent.variables);
	for (i = 0; i < writer.used; i++) {
		reader = state_reader(bytes, i, &fault);
		assert_false(offer_read(&came, &reader, true));
		memcpy(wrong, bytes, sizeof(bytes));
		wrong[i] = 0xff;
		reader = state_reader(wrong, writer.used, &fault);
		good = offer_read(&came, &reader, true);
		assert_true(good == (fault.what == NULL));
	}
}

static void it_travels(void **state)
{
	(void)state;
	travel(1);
	travel(2);
}

static const uint8_t one[OWNER_TOKEN_BYTES] = "one", another[OWNER_TOKEN_BYTES] = "another";

static void who_is_first_has_it(void **state)
{
	int fd = memfd_create("owner", 0);
	enum owner whose;

	(void)state;
	assert_int_equal(owner_check(fd, one), -ESTALE);
	assert_int_equal(owner_ask(fd, one, OWNER_SOURCE, &whose), -ESTALE);
	assert_int_equal(owner_begin(fd, one), 0);
	assert_int_equal(owner_check(fd, one), 0);
	assert_int_equal(owner_check(fd, another), -ESTALE);
	assert_int_equal(owner_ask(fd, one, OWNER_TARGET, &whose), 0);
	assert_int_equal(whose, OWNER_TARGET);
	assert_int_equal(owner_ask(fd, one, OWNER_SOURCE, &whose), 0);
	assert_int_equal(whose, OWNER_TARGET);
	assert_int_equal(owner_ask(fd, another, OWNER_SOURCE, &whose), -ESTALE);
	/* The next migration begins anew. */
	assert_int_equal(owner_begin(fd, another), 0);
	assert_int_equal(owner_ask(fd, another, OWNER_SOURCE, &whose), 0);
	assert_int_equal(whose, OWNER_SOURCE);
	close(fd);
}

static void what_is_no_record_stays(void **state)
{
	int fd = memfd_create("owner", 0), ends[2];
	char text[33] = "";

	(void)state;
	assert_int_equal(pwrite(fd, "somebody's letter, of 32 bytes..", 32, 0), 32);
	assert_int_equal(owner_begin(fd, one), -EINVAL);
	assert_int_equal(pread(fd, text, 32, 0), 32);
	assert_string_equal(text, "somebody's letter, of 32 bytes..");
	close(fd);
	assert_int_equal(pipe(ends), 0);
	assert_true(owner_begin(ends[1], one) < 0);
	close(ends[0]);
	close(ends[1]);
}

/* As those who manage the two sides have it. */
static void it_is_closed_and_ended(void **state)
{
	int fd = memfd_create("owner", 0), target;
	enum owner whose;
	char path[40];
	bool last;

	(void)state;
	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	target = open(path, O_RDWR);
	assert_true(target >= 0);
	assert_int_equal(owner_look(fd, &whose), 0);
	assert_int_equal(whose, OWNER_NOBODY);
	assert_false(owner_is_attended(fd));
	assert_int_equal(owner_attend(target), 0);
	assert_true(owner_is_attended(fd));
	close(target);
	assert_false(owner_is_attended(fd));
	/* The target's name stays, whoever closes it. */
	assert_int_equal(owner_begin(fd, one), 0);
	assert_int_equal(owner_ask(fd, one, OWNER_TARGET, &whose), 0);
	assert_int_equal(owner_close(fd, &whose), 0);
	assert_int_equal(whose, OWNER_TARGET);
	assert_int_equal(owner_begin(fd, another), -ESTALE);
	/* What one side says is kept over a beginning. */
	assert_int_equal(ftruncate(fd, 0), 0);
	assert_int_equal(owner_end(fd, OWNER_TARGET, &last), 0);
	assert_false(last);
	assert_int_equal(owner_begin(fd, another), 0);
	assert_int_equal(owner_look(fd, &whose), 0);
	assert_int_equal(whose, OWNER_NOBODY);
	assert_int_equal(owner_end(fd, OWNER_SOURCE, &last), 0);
	assert_true(last);
	/* Nobody's is the source's, and nobody else puts his name in. */
	assert_int_equal(owner_close(fd, &whose), 0);
	assert_int_equal(whose, OWNER_SOURCE);
	assert_int_equal(owner_ask(fd, another, OWNER_TARGET, &whose), 0);
	assert_int_equal(whose, OWNER_SOURCE);
	/* Also one that was never begun. */
	assert_int_equal(ftruncate(fd, 0), 0);
	assert_int_equal(owner_close(fd, &whose), 0);
	assert_int_equal(whose, OWNER_SOURCE);
	assert_int_equal(owner_check(fd, one), -ESTALE);
	assert_int_equal(pwrite(fd, "something else", 14, 0), 14);
	assert_int_equal(owner_look(fd, &whose), -EINVAL);
	assert_int_equal(owner_close(fd, &whose), -EINVAL);
	assert_int_equal(owner_end(fd, OWNER_SOURCE, &last), -EINVAL);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_difference_has_a_name),
		cmocka_unit_test(firmware_and_tpm_have_names),
		cmocka_unit_test(a_processor_may_have_more),
		cmocka_unit_test(it_travels),
		cmocka_unit_test(who_is_first_has_it),
		cmocka_unit_test(what_is_no_record_stays),
		cmocka_unit_test(it_is_closed_and_ended),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
