/*
 * The function as the guest sees it: its configuration space, its BARs, its interrupts. No locks:
 * the caller's is held.
 *
 * Configuration space is the hardware's, but for what is here:
 *   BARs        the guest's own; all are of 32 bits, and those with ports are not there
 *   ROM, INTx   not there
 *   command     no ports
 *   MSI, MSI-X  the guest's own: what it writes are messages that vpci_create_message() made. The MSI-X table is served here, so the
 *               page that it is in is never the guest's
 *
 * A BAR is where the guest has put it while memory is enabled, and where vpci_function_has_place().
 */
#ifndef VSP_PCI_SPACE_H
#define VSP_PCI_SPACE_H

#include "include/vsp/vpci.h"
#include "vsp/pci/function.h"

#define VPCI_BAR_MAX     (64ull << 20) /* what is larger has no room in the guest's */
#define VPCI_PAGE        4096u
#define VPCI_MESSAGES    1024u
#define VPCI_ENTRIES_MAX 2048u /* of an MSI-X table */
#define VPCI_MSI_MAX     32u

/* What a function is given to write. Messages of one block are neighbours. */
struct vpci_message {
	bool used;
	uint16_t count; /* of the first of a block: how many they are */
	struct vpci_target target;
};

/* An interrupt of the function's. */
struct vpci_entry {
	uint64_t address;
	uint32_t data;
	bool masked;
	bool routed; /* to `target`, as the home was told */
	struct vpci_target target;
};

struct vpci_msi {
	uint32_t at; /* the capability; 0: none */
	uint32_t size;
	bool wide, maskable;
	unsigned int count; /* that there are */
	bool enabled;
	unsigned int log; /* how many are wanted */
	uint64_t address;
	uint32_t data, mask;
};

struct vpci_msix {
	uint32_t at;        /* likewise */
	unsigned int count; /* of the table */
	unsigned int table_bar, pending_bar;
	uint64_t table, pending; /* offsets */
	bool enabled, masked;
};

struct vpci_bar {
	uint64_t size; /* 0: none */
	uint32_t value;
	bool there; /* the guest has it at `value` */
};

struct vpci_space {
	struct vpci_function *function;
	bool memory; /* is enabled */
	struct vpci_bar bars[VPCI_BARS];
	struct vpci_msi msi;
	struct vpci_msix msix;
	struct vpci_entry *entries; /* of the table, or VPCI_MSI_MAX */
	unsigned int entry_count;
	enum vpci_interrupts kind; /* that the home was told */
	unsigned int enabled;      /* ... and how many */
	struct vpci_message messages[VPCI_MESSAGES];
};

/* -errno: -ENOTSUP: it has no MSI, or what a guest cannot have. */
int vpci_space_create(struct vpci_space *space, struct vpci_function *function) MUST_CHECK;
void vpci_space_destroy(struct vpci_space *space);
/* As after power-on, hardware and all. */
void vpci_space_reset(struct vpci_space *space);

/* A register of four bytes after a write of 1, 2 or 4, aligned, at `offset`. */
static inline uint32_t vpci_merge(uint32_t old, uint32_t offset, unsigned int size, uint32_t value)
{
	uint32_t shift = 8 * (offset & 3), mask = (UINT32_MAX >> (32 - 8 * size)) << shift;

	return (old & ~mask) | (value << shift & mask);
}

/* 1, 2 or 4 bytes, aligned. */
uint32_t vpci_config_read(struct vpci_space *space, uint32_t offset, unsigned int size);
void vpci_config_write(struct vpci_space *space, uint32_t offset, unsigned int size,
		       uint32_t value);
/* As it is read after all ones were written. */
uint32_t vpci_bar_mask(const struct vpci_space *space, unsigned int bar);
/* 1 to 8 bytes. False: no BAR is there. */
bool vpci_bar_access(struct vpci_space *space, uint64_t gpa, unsigned int size, bool write,
		     uint64_t *value);

/* msi.c: the capabilities, found. False: what is there cannot be. */
bool vpci_msi_find(struct vpci_space *space);
/* As they are after power-on; the hardware has none. */
void vpci_msi_reset(struct vpci_space *space);
/* Four bytes: changed to what the guest is to see, where they are of a capability of theirs. */
void vpci_msi_read(const struct vpci_space *space, uint32_t offset, uint32_t *value);
/* False: it is of none. */
bool vpci_msi_write(struct vpci_space *space, uint32_t offset, unsigned int size, uint32_t value);
/* The table, or the bits of what is pending: false, neither is there. */
bool vpci_msix_access(struct vpci_space *space, unsigned int bar, uint64_t offset,
		      unsigned int size, bool write, uint64_t *value);
/* Is some of this page of the BAR's theirs? */
bool vpci_msix_has_page(const struct vpci_space *space, unsigned int bar, uint64_t offset);

/* `count` in a row, to vectors that follow each other. -EINVAL, -ENOSPC. */
int vpci_create_message(struct vpci_space *space, const struct vpci_target *target,
			unsigned int count, struct vpci_interrupt *interrupt) MUST_CHECK;
/* What is none is left alone. */
void vpci_delete_message(struct vpci_space *space, const struct vpci_interrupt *interrupt);
/* -EINVAL */
int vpci_retarget_message(struct vpci_space *space, uint64_t address, uint32_t data,
			  const struct vpci_target *target) MUST_CHECK;

#endif
