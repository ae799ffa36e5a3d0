/*
 * Guest RAM, see memory.h. It is in 2 MiB pages where the host lets it be: the module then maps it
 * in 2 MiB pages too, and pins 512 times fewer.
 */
#include "worker/memory.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25 /* Linux 6.1 */
#endif

/* An address space of `size` bytes that begins at a multiple of 2 MiB. */
static uint8_t *reserve(uint64_t size)
{
	uint8_t *all = mmap(NULL, size + MEMORY_UNIT, PROT_NONE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	uint64_t head;

	if (all == MAP_FAILED) {
		return NULL;
	}
	head = -(uintptr_t)all & (MEMORY_UNIT - 1);
	if (head != 0) {
		munmap(all, head);
	}
	munmap(all + head + size, MEMORY_UNIT - head);
	return all + head;
}

/*
 * Large pages for a range with nothing in it. A memfd gets them by itself only where the
 * administrator said so; collapsing is always allowed, but wants a page to begin with. Without them
 * all works the same, slower.
 */
static void want_large_pages(const struct memory *memory)
{
	uint64_t at;

	for (at = 0; at < memory->size; at += MEMORY_UNIT) {
		*(volatile uint8_t *)(memory->base + at) = 0;
		if (madvise(memory->base + at, MEMORY_UNIT, MADV_COLLAPSE) != 0) {
			return;
		}
	}
}

int memory_create(struct memory *memory, uint64_t size)
{
	int ret;

	*memory = (struct memory){.size = size, .fd = memfd_create("guest-ram", MFD_CLOEXEC)};
	memory->low_end = size < MEMORY_HOLE_BASE ? size : MEMORY_HOLE_BASE;
	memory->high_end = MEMORY_4G + size - memory->low_end;
	if (memory->fd < 0) {
		return -errno;
	}
	if (ftruncate(memory->fd, (off_t)size) != 0) {
		ret = -errno;
		goto out_close;
	}
	memory->base = reserve(size);
	if (memory->base == NULL) {
		ret = -ENOMEM;
		goto out_close;
	}
	if (mmap(memory->base, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, memory->fd,
		 0) == MAP_FAILED) {
		ret = -errno;
		goto out_unmap;
	}
	/* A worker's core dump is for the worker; the guest's memory is the guest's. */
	madvise(memory->base, size, MADV_DONTDUMP);
	want_large_pages(memory);
	return 0;
out_unmap:
	munmap(memory->base, size);
out_close:
	close(memory->fd);
	return ret;
}

void memory_destroy(struct memory *memory)
{
	munmap(memory->base, memory->size);
	close(memory->fd);
}

int memory_clear(struct memory *memory)
{
	if (fallocate(memory->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0,
		      (off_t)memory->size) != 0) {
		return -errno;
	}
	want_large_pages(memory);
	return 0;
}

/* The range around the VGA hole apart, so that the others keep their 2 MiB alignment. */
int memory_map(const struct memory *memory, struct backend_partition *partition)
{
	const struct {
		uint64_t gpa, end, offset;
	} parts[] = {
		{0, MEMORY_VGA_BASE, 0},
		{MEMORY_VGA_END, MEMORY_UNIT, MEMORY_VGA_END},
		{MEMORY_UNIT, memory->low_end, MEMORY_UNIT},
		{MEMORY_4G, memory->high_end, memory->low_end},
	};
	unsigned int i;

	for (i = 0; i < ARRAY_COUNT(parts); i++) {
		int ret = 0;

		if (parts[i].gpa < parts[i].end) {
			ret = backend_partition_map(partition, parts[i].gpa,
						    memory->base + parts[i].offset,
						    parts[i].end - parts[i].gpa);
		}
		if (ret != 0) {
			return ret;
		}
	}
	return 0;
}

void *memory_at(const struct memory *memory, uint64_t gpa, uint64_t length)
{
	if (gpa < MEMORY_VGA_BASE) {
		return length <= MEMORY_VGA_BASE - gpa ? memory->base + gpa : NULL;
	}
	if (gpa >= MEMORY_VGA_END && gpa < memory->low_end) {
		return length <= memory->low_end - gpa ? memory->base + gpa : NULL;
	}
	if (gpa >= MEMORY_4G && gpa < memory->high_end) {
		return length <= memory->high_end - gpa
			       ? memory->base + memory->low_end + (gpa - MEMORY_4G)
			       : NULL;
	}
	return NULL;
}
