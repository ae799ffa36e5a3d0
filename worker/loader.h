/*
 * Puts what the machine boots into its memory, and says with what registers the first processor
 * begins.
 *
 * The files are the user's, and may be anything: every number in them is checked against the file's
 * length and the guest's memory before it is used.
 */
#ifndef WORKER_LOADER_H
#define WORKER_LOADER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "backend/backend.h"
#include "worker/memory.h"

struct loader_file {
	const char *name; /* for messages */
	int fd;           /* -1: none */
	uint64_t size;
};

struct loader {
	const struct memory *memory;
	struct loader_file kernel, initrd;
	const char *cmdline;
	char *why; /* what is wrong, in one line, after a function here returned false */
	size_t why_size;
};

/* Opens a regular file, or takes the descriptor `fd` of one if that is not -1, and takes its
 * size. */
bool loader_open(struct loader *loader, struct loader_file *file, const char *option,
		 const char *path, int fd) MUST_CHECK;
/* Are the files what they should be, as far as that can be told without the machine's memory? */
bool loader_probe(struct loader *loader) MUST_CHECK;
/* Loads into memory that is all zeros. */
bool loader_load(struct loader *loader, struct vp_boot_state *state) MUST_CHECK;

/* ---- Between loader.c and the files for each format ---- */

/* Sets `why`; always false. */
bool loader_refuse(struct loader *loader, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
/* Part of a file, to a buffer or to guest memory; whether it is in the file and in RAM is checked
 * here. */
bool loader_read(struct loader *loader, const struct loader_file *file, uint64_t offset, void *to,
		 uint64_t length) MUST_CHECK;
bool loader_read_to_guest(struct loader *loader, const struct loader_file *file, uint64_t offset,
			  uint64_t gpa, uint64_t length) MUST_CHECK;

/* To RAM that is known to be there. */
void loader_put(struct loader *loader, uint64_t gpa, const void *from, uint64_t length);

#define LOADER_HEAD 8192 /* what a format is recognised by lies in the first bytes */

/* linux_boot.c, multiboot.c: `head` is the first `length` bytes of the kernel's file. */
bool linux_recognise(const uint8_t *head, size_t length);
bool linux_load(struct loader *loader, const uint8_t *head, size_t length,
		struct vp_boot_state *state) MUST_CHECK;
bool multiboot_recognise(const uint8_t *head, size_t length);
bool multiboot_load(struct loader *loader, const uint8_t *head, size_t length,
		    struct vp_boot_state *state) MUST_CHECK;

/* initrd.c: says if the archive, where its format tells, ends too early. */
bool initrd_complete(struct loader *loader) MUST_CHECK;

/* The memory map as both formats want it: E820 types, 1 RAM, 2 reserved. */
struct loader_range {
	uint64_t base, length;
	uint32_t type;
};
#define LOADER_RANGES 6
unsigned int loader_memory_map(const struct memory *memory,
			       struct loader_range ranges[LOADER_RANGES]);

/* Flat protected mode without paging, as both formats have it; selectors 0x10 and 0x18 of a GDT of
 * 32 bytes that is put at `gdt_at`, which is RAM. */
void loader_protected_mode(struct loader *loader, uint64_t gdt_at, uint64_t entry,
			   struct vp_boot_state *state);

#endif
