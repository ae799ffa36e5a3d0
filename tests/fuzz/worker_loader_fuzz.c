/*
 * The worker's loader on files that nobody made with care: it refuses or loads, and touches nothing
 * but the guest's memory. The first byte chooses a good image to begin with, and the machine's
 * size; what follows changes bytes of the image, where its headers are, and cuts it; the rest is
 * the initrd.
 */
#include <elf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/fuzz/fuzz.h"
#include "worker/loader.h"

#define MIB (1ull << 20)

void check_failed(const char *file, int line, const char *what)
{
	fprintf(stderr, "%s:%d: %s\n", file, line, what);
	abort();
}

static void give(struct loader_file *file, const char *name, const uint8_t *bytes, size_t size)
{
	file->name = name;
	if (file->fd < 0) {
		file->fd = memfd_create(name, MFD_CLOEXEC);
	}
	file->size = size;
	if (ftruncate(file->fd, 0) != 0 || pwrite(file->fd, bytes, size, 0) != (ssize_t)size) {
		abort();
	}
}

#define IMAGE 4096

static const uint32_t multiboot[8] = {0x1badb002, 0, -0x1badb002u, 0x100200, 0x100000,
				      0,          0, 0x100000};

static void make_linux(uint8_t *image)
{
	memcpy(image + 0x1f1, "\x01", 1);
	memcpy(image + 0x1f4, "\x80\0\0\0", 4);
	memcpy(image + 0x1fe, "\x55\xaa", 2);
	memcpy(image + 0x202, "HdrS\x0f\x02", 6);
	image[0x211] = 1;
	memcpy(image + 0x22c, "\xff\xff\xff\x7f\0\0\x20\0\x01", 9);
	image[0x236] = 1;
	memcpy(image + 0x238, "\xff\x07", 2);
	memcpy(image + 0x258, "\0\0\x20\0\0\0\0\0\0\0\x10", 11);
}

static void make_elf32(uint8_t *image)
{
	Elf32_Ehdr elf = {.e_ident = ELFMAG,
			  .e_entry = 0x100000,
			  .e_phoff = 64,
			  .e_phentsize = 32,
			  .e_phnum = 2};
	Elf32_Phdr segment = {.p_type = PT_LOAD,
			      .p_offset = 1024,
			      .p_paddr = 0x100000,
			      .p_filesz = 512,
			      .p_memsz = 4096};

	elf.e_ident[EI_CLASS] = ELFCLASS32;
	memcpy(image, &elf, sizeof(elf));
	memcpy(image + 64, &segment, sizeof(segment));
	segment.p_paddr = 0x180000;
	memcpy(image + 96, &segment, sizeof(segment));
	memcpy(image + 512, multiboot, sizeof(multiboot));
}

static void make_elf64(uint8_t *image)
{
	Elf64_Ehdr elf = {.e_ident = ELFMAG,
			  .e_entry = 0x100000,
			  .e_phoff = 64,
			  .e_phentsize = 56,
			  .e_phnum = 2};
	Elf64_Phdr segment = {.p_type = PT_LOAD,
			      .p_offset = 1024,
			      .p_paddr = 0x100000,
			      .p_filesz = 512,
			      .p_memsz = 4096};

	elf.e_ident[EI_CLASS] = ELFCLASS64;
	memcpy(image, &elf, sizeof(elf));
	memcpy(image + 64, &segment, sizeof(segment));
	segment.p_paddr = 0x180000;
	memcpy(image + 120, &segment, sizeof(segment));
	memcpy(image + 512, multiboot, sizeof(multiboot));
}

static void make_addresses(uint8_t *image)
{
	uint32_t header[8];

	memcpy(header, multiboot, sizeof(header));
	header[1] = 0x10000;
	header[2] = -(header[0] + header[1]);
	memcpy(image + 512, header, sizeof(header));
}

static void make(uint8_t *image, unsigned int kind)
{
	memset(image, 0x90, IMAGE);
	memset(image, 0, 1024);
	switch (kind) {
	case 0:
		make_linux(image);
		break;
	case 1:
		make_elf32(image);
		break;
	case 2:
		make_elf64(image);
		break;
	default:
		make_addresses(image);
		break;
	}
}

/* Up to seven bytes of the first KiB, each two of where and one of what. */
static void change(uint8_t *image, const uint8_t **at, const uint8_t *end)
{
	unsigned int i, count = *at < end ? *(*at)++ & 7u : 0;

	for (i = 0; i < count && end - *at >= 3; i++) {
		image[((*at)[0] << 8 | (*at)[1]) & 1023] = (*at)[2];
		*at += 3;
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static struct loader loader = {.kernel.fd = -1, .initrd.fd = -1};
	static uint8_t *ram;
	const uint8_t *at = data + 2, *end = data + size;
	uint8_t image[IMAGE];
	struct vp_boot_state state;
	static _Atomic uint32_t users[32 * MIB / MEMORY_PAGE];
	struct memory memory = {.high_end = MEMORY_4G, .users = users};
	char why[256];

	if (size < 2) {
		return 0;
	}
	if (ram == NULL) {
		ram = mmap(NULL, 32 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			   0);
	}
	memory.base = ram;
	memory.low_end = memory.size = data[0] & 0x80 ? 32 * MIB : 8 * MIB;
	make(image, data[0] & 3);
	change(image, &at, end);
	loader.memory = &memory;
	loader.cmdline = "a b";
	loader.why = why;
	loader.why_size = sizeof(why);
	give(&loader.kernel, "kernel", image, data[0] & 0x40 ? data[1] * 16u + 1 : IMAGE);
	give(&loader.initrd, "initrd", at, (size_t)(end - at));
	if (loader_probe(&loader) && loader_load(&loader, &state) &&
	    state.registers.rip >= 1ull << 33) {
		abort(); /* an entry point that no format has */
	}
	return 0;
}
