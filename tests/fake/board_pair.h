/*
 * A board with two PCI cards and its home, as often as is wanted; a random life for it; and a
 * second one that is loaded from the first and must not differ from then on.
 */
#ifndef FAKE_BOARD_PAIR_H
#define FAKE_BOARD_PAIR_H

#include "lib/state.h"
#include "tests/fake/host.h"
#include "tests/fake/pci_card.h"

#define PAIR_STATE_MAX (440u << 10)

#define PAIR_MEDIUM      16384
#define PAIR_SCREEN      (256u << 10)
#define PAIR_ROM         (128u << 10)
#define PAIR_FLASH_BYTES (3 * FLASH_BLOCK)

struct pair_board {
	struct host home;
	uint8_t medium[PAIR_MEDIUM]; /* of its drives */
	uint8_t *
		screen; /* its VGA's memory, of which a life uses PAIR_SCREEN bytes and the text window */
	_Alignas(4096) uint8_t rom[PAIR_ROM], flash[PAIR_FLASH_BYTES]; /* of generation 2 */
	struct board board;
	struct card cards[2]; /* at 4.0 and 5.1 */
};

/* Which parts a life is about. */
enum pair_part {
	PAIR_PIC,
	PAIR_IOAPIC,
	PAIR_PIT,
	PAIR_RTC,
	PAIR_UART,
	PAIR_PCI,
	PAIR_ACPI_PM,
	PAIR_RESET,
	PAIR_I8042, /* this and the next on a board that has them */
	PAIR_FW_CFG,
	PAIR_IDE,
	PAIR_VGA,
	PAIR_NIC, /* these of generation 1 */
	PAIR_SOUND,
	PAIR_HDA,
	PAIR_XHCI,
	PAIR_FLASH, /* these of generation 2 */
	PAIR_SCSI,
	PAIR_TPM,
	PAIR_ALL,
};

/* Where random numbers come from: a test's generator or a fuzzer's input. */
typedef uint32_t (*pair_random)(void);

/* `time` is where its clock begins. */
void pair_create(struct pair_board *one, enum board_kind kind, uint64_t time);
void pair_destroy(struct pair_board *one);
/* One event: an access, time, a byte on the line. What came of it. */
struct pair_event {
	unsigned int kind;
	uint64_t where, value;
	unsigned int size;
};
struct pair_event pair_choose(enum pair_part part, pair_random random);
uint64_t pair_do(struct pair_board *one, const struct pair_event *event);

size_t pair_save(struct pair_board *one, uint8_t state[PAIR_STATE_MAX]);
/* A fresh board becomes what the other one is; what homes and cards remember is copied, but not
 * their clock. False: it was refused. */
bool pair_load(struct pair_board *to, const struct pair_board *from, const uint8_t *state,
	       size_t size, struct state_fault *fault);
/* The two homes were told the same. */
bool pair_same(const struct pair_board *one, const struct pair_board *other);

#endif
