/* What all boot formats share, see loader.h. */
#include "worker/loader.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "devices/acpi_tables.h"

#define EBDA_BASE 0x9fc00ull
#define BIOS_END  0x100000ull

bool loader_refuse(struct loader *loader, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(loader->why, loader->why_size, format, arguments);
	va_end(arguments);
	return false;
}

/*
 * A regular file, since its size must be known and it is read again at each reset; opening anything
 * else must not wait.
 */
bool loader_open(struct loader *loader, struct loader_file *file, const char *option,
		 const char *path, int fd)
{
	struct stat stat;

	file->name = path;
	file->fd = fd >= 0 ? fd : open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (file->fd < 0) {
		return loader_refuse(loader, "%s %s: %s", option, path, strerror(errno));
	}
	if (fstat(file->fd, &stat) != 0 || !S_ISREG(stat.st_mode)) {
		return loader_refuse(loader, "%s %s: not a regular file", option, path);
	}
	if (stat.st_size == 0) {
		return loader_refuse(loader, "%s %s: the file is empty", option, path);
	}
	file->size = (uint64_t)stat.st_size;
	return true;
}

/*
 * The size is that of the opening: the file is somebody else's, and may have become another since.
 */
bool loader_read(struct loader *loader, const struct loader_file *file, uint64_t offset, void *to,
		 uint64_t length)
{
	uint8_t *at = to;

	if (offset > file->size || length > file->size - offset) {
		return loader_refuse(
			loader,
			"%s: the file is not complete: it has %llu bytes, and should have %llu",
			file->name, (unsigned long long)file->size,
			(unsigned long long)(offset + length));
	}
	while (length != 0) {
		ssize_t got = pread(file->fd, at, length, (off_t)offset);

		if (got < 0 && errno == EINTR) {
			continue;
		}
		if (got <= 0) {
			return loader_refuse(loader, "%s: cannot be read: %s", file->name,
					     got < 0 ? strerror(errno)
						     : "it became shorter meanwhile");
		}
		at += got;
		offset += (uint64_t)got;
		length -= (uint64_t)got;
	}
	return true;
}

bool loader_read_to_guest(struct loader *loader, const struct loader_file *file, uint64_t offset,
			  uint64_t gpa, uint64_t length)
{
	void *ram = memory_acquire(loader->memory, gpa, length);
	bool done;

	if (ram == NULL) {
		return loader_refuse(loader,
				     "%s: wants to be at %#llx to %#llx, where the machine has no "
				     "memory; give more with --memory",
				     file->name, (unsigned long long)gpa,
				     (unsigned long long)(gpa + length));
	}
	done = loader_read(loader, file, offset, ram, length);
	memory_complete(loader->memory, gpa, length, length);
	return done;
}

/* For what the loader has placed itself, so there is memory. */
void loader_put(struct loader *loader, uint64_t gpa, const void *from, uint64_t length)
{
	bool there = memory_put(loader->memory, gpa, from, length);

	CHECK(there);
}

/* Zeros behind the file's end, so that nobody recognises what a shorter file only seems to have. */
static bool read_head(struct loader *loader, uint8_t head[LOADER_HEAD], size_t *length)
{
	*length = loader->kernel.size < LOADER_HEAD ? (size_t)loader->kernel.size : LOADER_HEAD;
	memset(head, 0, LOADER_HEAD);
	return loader_read(loader, &loader->kernel, 0, head, *length);
}

bool loader_probe(struct loader *loader)
{
	uint8_t head[LOADER_HEAD];
	size_t length;

	if (!read_head(loader, head, &length)) {
		return false;
	}
	if (!linux_recognise(head, length) && !multiboot_recognise(head, length)) {
		return loader_refuse(loader,
				     "--kernel %s: neither a Linux bzImage nor a multiboot image",
				     loader->kernel.name);
	}
	return loader->initrd.fd < 0 || initrd_complete(loader);
}

/* Looked at again: since loader_probe(), or the last start, the file may have changed. */
bool loader_load(struct loader *loader, struct vp_boot_state *state)
{
	uint8_t head[LOADER_HEAD];
	size_t length;

	*state = (struct vp_boot_state){0};
	if (!read_head(loader, head, &length)) {
		return false;
	}
	if (linux_recognise(head, length)) {
		return linux_load(loader, head, length, state);
	}
	if (multiboot_recognise(head, length)) {
		return multiboot_load(loader, head, length, state);
	}
	return loader_refuse(loader, "--kernel %s: changed meanwhile, and is no kernel any more",
			     loader->kernel.name);
}

/* As a BIOS tells it: the last KiB below 640 KiB is taken, tables and a ROM lie below 1 MiB. */
unsigned int loader_memory_map(const struct memory *memory,
			       struct loader_range ranges[LOADER_RANGES])
{
	unsigned int count = 0;

	ranges[count++] = (struct loader_range){0, EBDA_BASE, 1};
	ranges[count++] = (struct loader_range){EBDA_BASE, MEMORY_VGA_BASE - EBDA_BASE, 2};
	ranges[count++] = (struct loader_range){ACPI_TABLES_GPA, BIOS_END - ACPI_TABLES_GPA, 2};
	ranges[count++] = (struct loader_range){BIOS_END, memory->low_end - BIOS_END, 1};
	if (memory->high_end > MEMORY_4G) {
		ranges[count++] = (struct loader_range){MEMORY_4G, memory->high_end - MEMORY_4G, 1};
	}
	return count;
}

#define CR0_PE 0x00000001
#define CR0_ET 0x00000010
#define CR0_NE 0x00000020

#define FLAT_CODE32 0xc09b /* attributes: present, 4 GiB, 32-bit, execute and read, accessed */
#define FLAT_DATA   0xc093

#define SELECTOR_CODE 0x10
#define SELECTOR_DATA 0x18

static const uint64_t gdt[] = {0, 0, 0x00cf9b000000ffffull, 0x00cf93000000ffffull};

/* The state that both boot protocols begin with: flat segments, and no paging. */
void loader_protected_mode(struct loader *loader, uint64_t gdt_at, uint64_t entry,
			   struct vp_boot_state *state)
{
	struct vp_registers *r = &state->registers;
	unsigned int i;

	loader_put(loader, gdt_at, gdt, sizeof(gdt));
	for (i = 0; i < VP_SEGMENT_COUNT; i++) {
		r->segments[i] = (struct vp_segment){0, 0xffffffff, SELECTOR_DATA, FLAT_DATA};
	}
	r->segments[VP_CS] = (struct vp_segment){0, 0xffffffff, SELECTOR_CODE, FLAT_CODE32};
	state->tr = (struct vp_segment){0, 0xffff, 0, 0x008b};
	state->ldtr = (struct vp_segment){0, 0xffff, 0, 0x0082};
	state->gdtr = (struct vp_table){gdt_at, sizeof(gdt) - 1};
	r->cr0 = CR0_PE | CR0_ET | CR0_NE;
	r->rip = entry;
	r->rflags = 2;
}
