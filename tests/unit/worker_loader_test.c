/* worker/loader.c, linux_boot.c, multiboot.c, initrd.c: good files, and everything that can be
 * wrong with a file. */
#include <asm/bootparam.h>
#include <elf.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

#include "devices/acpi_tables.h"
#include "worker/loader.h"

#define MIB     (1ull << 20)
#define RAM     (64 * MIB)
#define PAYLOAD 40000u

void check_failed(const char *file, int line, const char *what)
{
	fprintf(stderr, "%s:%d: %s\n", file, line, what);
	abort();
}

static struct memory memory;
static _Atomic uint32_t users[RAM / MEMORY_PAGE];
static struct loader loader;
static struct vp_boot_state boot;
static char why[512];

static void file_of(struct loader_file *file, const char *name, const void *bytes, size_t length)
{
	if (file->fd >= 0) {
		close(file->fd);
	}
	*file = (struct loader_file){
		.name = name, .fd = memfd_create(name, MFD_CLOEXEC), .size = length};
	assert_true(file->fd >= 0);
	assert_int_equal(write(file->fd, bytes, length), length);
}

static int setup(void **state)
{
	(void)state;
	memory =
		(struct memory){.size = RAM, .low_end = RAM, .high_end = MEMORY_4G, .users = users};
	memory.base = mmap(NULL, RAM, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	loader = (struct loader){.memory = &memory,
				 .cmdline = "console=ttyS0",
				 .why = why,
				 .why_size = sizeof(why),
				 .kernel.fd = -1,
				 .initrd.fd = -1};
	why[0] = '\0';
	return memory.base == MAP_FAILED;
}

static int teardown(void **state)
{
	(void)state;
	munmap(memory.base, RAM);
	close(loader.kernel.fd);
	if (loader.initrd.fd >= 0) {
		close(loader.initrd.fd);
	}
	return 0;
}

static bool load(void)
{
	memset(memory.base, 0, 2 * MIB);
	return loader_probe(&loader) && loader_load(&loader, &boot);
}

/* Refused, with these words in the one line that says why. */
static void expect_refusal(const char *words)
{
	assert_false(load());
	assert_non_null(strstr(why, words));
	assert_null(strchr(why, '\n'));
}

/* ---- Linux ---- */

static struct {
	uint8_t bytes[1024 + PAYLOAD];
} image;

static struct setup_header *header(void)
{
	return (struct setup_header *)(image.bytes + offsetof(struct boot_params, hdr));
}

/* One sector of setup, a payload that says where it is, the fields of a modern 64-bit kernel. */
static void make_linux(void)
{
	struct setup_header h = {.setup_sects = 1,
				 .syssize = PAYLOAD / 16,
				 .boot_flag = 0xaa55,
				 .header = 0x53726448,
				 .version = 0x020f,
				 .loadflags = LOADED_HIGH,
				 .initrd_addr_max = 0x7fffffff,
				 .kernel_alignment = 0x200000,
				 .relocatable_kernel = 1,
				 .xloadflags = XLF_KERNEL_64,
				 .cmdline_size = 2047,
				 .pref_address = 16 * MIB,
				 .init_size = 4 * MIB};
	unsigned int i;

	memset(&image, 0, sizeof(image));
	for (i = 0; i < PAYLOAD; i++) {
		image.bytes[1024 + i] = (uint8_t)(i * 7 + 1);
	}
	memcpy(header(), &h, sizeof(h));
}

static void give_linux(void)
{
	file_of(&loader.kernel, "kernel", &image, sizeof(image));
}

static const struct boot_params *params(void)
{
	return (const struct boot_params *)(memory.base + boot.registers.gpr[VP_RSI]);
}

static void linux_64(void **state)
{
	const struct vp_registers *r = &boot.registers;
	uint64_t entry;

	(void)state;
	make_linux();
	give_linux();
	assert_true(load());
	assert_int_equal(r->rip, 16 * MIB + 0x200);
	assert_memory_equal(memory.base + 16 * MIB, image.bytes + 1024, PAYLOAD);
	assert_int_equal(r->cr0, 0x80000031);
	assert_int_equal(r->cr4, 0x20);
	assert_int_equal(r->efer, 0x500);
	assert_int_equal(r->rflags, 2);
	assert_int_equal(r->segments[VP_CS].attributes, 0xa09b);
	/* The page tables lead from any address below 4 GiB to itself. */
	memcpy(&entry, memory.base + boot.cr3, 8);
	memcpy(&entry, memory.base + (entry & ~4095ull) + 3 * 8, 8);
	memcpy(&entry, memory.base + (entry & ~4095ull) + 511 * 8, 8);
	assert_true(entry == (0xffe00000 | 0x83));
	/* And the GDT has what the segment registers hold. */
	memcpy(&entry, memory.base + boot.gdtr.base + r->segments[VP_CS].selector, 8);
	assert_true(entry == 0x00af9b000000ffffull);
	assert_string_equal((const char *)memory.base + params()->hdr.cmd_line_ptr,
			    "console=ttyS0");
	assert_true(params()->acpi_rsdp_addr == ACPI_TABLES_GPA);
	assert_int_equal(params()->hdr.type_of_loader, 0xff);
	assert_int_equal(params()->hdr.ramdisk_size, 0);
}

static void linux_32(void **state)
{
	(void)state;
	make_linux();
	header()->xloadflags = 0;
	give_linux();
	assert_true(load());
	assert_int_equal(boot.registers.rip, 16 * MIB);
	assert_int_equal(boot.registers.cr0, 0x31);
	assert_int_equal(boot.registers.efer, 0);
	assert_int_equal(boot.registers.segments[VP_CS].attributes, 0xc09b);
	assert_int_equal(boot.registers.segments[VP_DS].selector, 0x18);
}

static void the_map_leaves_the_holes_out(void **state)
{
	const struct boot_e820_entry *map;
	unsigned int i;

	(void)state;
	make_linux();
	give_linux();
	memory.high_end = MEMORY_4G + 3 * MIB;
	assert_true(load());
	map = params()->e820_table;
	assert_int_equal(params()->e820_entries, 5);
	for (i = 1; i < 5; i++) {
		assert_true(map[i].addr >= map[i - 1].addr + map[i - 1].size);
	}
	assert_true(map[3].addr == MIB && map[3].size == RAM - MIB && map[3].type == 1);
	assert_true(map[4].addr == MEMORY_4G && map[4].size == 3 * MIB && map[4].type == 1);
	for (i = 0; i < 5; i++) {
		bool tables = map[i].addr <= ACPI_TABLES_GPA &&
			      map[i].addr + map[i].size > ACPI_TABLES_GPA;

		assert_true(!tables || map[i].type == 2);
		assert_true(map[i].addr + map[i].size <= MEMORY_VGA_BASE ||
			    map[i].addr >= MEMORY_VGA_END);
	}
}

static void the_initrd_lies_high(void **state)
{
	static const char initrd[] = "no format that is known";

	(void)state;
	make_linux();
	give_linux();
	file_of(&loader.initrd, "initrd", initrd, sizeof(initrd));
	assert_true(load());
	assert_int_equal(params()->hdr.ramdisk_size, sizeof(initrd));
	assert_int_equal(params()->hdr.ramdisk_image, RAM - 4096);
	assert_memory_equal(memory.base + RAM - 4096, initrd, sizeof(initrd));
	header()->initrd_addr_max = 40 * MIB - 1;
	give_linux();
	assert_true(load());
	assert_int_equal(params()->hdr.ramdisk_image, 40 * MIB - 4096);
}

static void a_small_machine_gets_it_lower(void **state)
{
	(void)state;
	make_linux();
	memory.low_end = memory.size = 16 * MIB;
	give_linux();
	assert_true(load());
	assert_int_equal(boot.registers.rip, 2 * MIB + 0x200);
	assert_memory_equal(memory.base + 2 * MIB, image.bytes + 1024, PAYLOAD);
	memory.low_end = memory.size = 4 * MIB;
	expect_refusal("give more with --memory");
	memory.low_end = memory.size = 16 * MIB;
	header()->relocatable_kernel = 0;
	give_linux();
	expect_refusal("give more with --memory");
}

static void wrong_linux_headers(void **state)
{
	(void)state;
	make_linux();
	header()->version = 0x0209;
	give_linux();
	expect_refusal("too old");
	make_linux();
	header()->loadflags = 0;
	give_linux();
	expect_refusal("bzImage");
	make_linux();
	header()->syssize = 0;
	give_linux();
	expect_refusal("no kernel in it");
	make_linux();
	header()->init_size = 0;
	give_linux();
	expect_refusal("no kernel in it");
	make_linux();
	header()->syssize = UINT32_MAX;
	give_linux();
	expect_refusal("memory");
	make_linux();
	header()->init_size = UINT32_MAX;
	give_linux();
	expect_refusal("memory");
	make_linux();
	header()->pref_address = UINT64_MAX - 4095;
	header()->kernel_alignment = 0x80000000;
	give_linux();
	expect_refusal("memory");
	make_linux();
	header()->pref_address = 0;
	header()->relocatable_kernel = 0;
	give_linux();
	expect_refusal("memory");
	make_linux();
	header()->kernel_alignment = 12345;
	header()->pref_address = 1ull << 40;
	give_linux();
	expect_refusal("memory");
	make_linux();
	header()->setup_sects = 0xff;
	give_linux();
	expect_refusal("not complete");
	make_linux();
	header()->cmdline_size = 5;
	give_linux();
	expect_refusal("--append");
}

static void initrds_that_do_not_fit(void **state)
{
	static uint8_t large[48 * MIB];

	(void)state;
	make_linux();
	give_linux();
	file_of(&loader.initrd, "initrd", large, sizeof(large));
	expect_refusal("--initrd initrd");
	loader.initrd.size = 45 * MIB; /* exactly between the kernel and the end would be 44 */
	expect_refusal("do not fit");
	loader.initrd.size = 44 * MIB;
	assert_true(load());
	header()->initrd_addr_max = 0;
	give_linux();
	expect_refusal("do not fit");
}

static void cut_kernels(void **state)
{
	size_t length;

	(void)state;
	make_linux();
	for (length = 1; length < sizeof(image); length += length < 1100 ? 1 : 997) {
		file_of(&loader.kernel, "kernel", &image, length);
		assert_false(load());
		assert_non_null(strstr(why, "kernel"));
	}
	/* A file that became shorter since it was looked at. */
	give_linux();
	assert_int_equal(ftruncate(loader.kernel.fd, 30000), 0);
	expect_refusal("cannot be read");
}

static void neither_format(void **state)
{
	(void)state;
	file_of(&loader.kernel, "words", "these are words", 15);
	expect_refusal("neither a Linux bzImage nor a multiboot image");
}

/* ---- Multiboot ---- */

struct multiboot_image {
	Elf32_Ehdr elf;
	Elf32_Phdr segments[2];
	uint32_t multiboot[8];
	uint8_t code[64];
};

static struct multiboot_image multi;

static void make_multiboot(void)
{
	memset(&multi, 0, sizeof(multi));
	memcpy(multi.elf.e_ident, ELFMAG, SELFMAG);
	multi.elf.e_ident[EI_CLASS] = ELFCLASS32;
	multi.elf.e_entry = 0x100010;
	multi.elf.e_phoff = offsetof(struct multiboot_image, segments);
	multi.elf.e_phentsize = sizeof(Elf32_Phdr);
	multi.elf.e_phnum = 2;
	multi.segments[0] = (Elf32_Phdr){.p_type = PT_LOAD,
					 .p_offset = offsetof(struct multiboot_image, code),
					 .p_paddr = 0x100000,
					 .p_filesz = 64,
					 .p_memsz = 0x5001};
	multi.segments[1] = (Elf32_Phdr){.p_type = PT_NOTE, .p_paddr = 0xffffffff, .p_filesz = 7};
	multi.multiboot[0] = 0x1badb002;
	multi.multiboot[1] = 3;
	multi.multiboot[2] = -(0x1badb002u + 3);
	memset(multi.code, 0x90, sizeof(multi.code));
}

static void give_multiboot(void)
{
	multi.multiboot[2] = -(multi.multiboot[0] + multi.multiboot[1]);
	file_of(&loader.kernel, "multi.elf", &multi, sizeof(multi));
}

static uint32_t word(uint64_t at)
{
	uint32_t value;

	memcpy(&value, memory.base + at, 4);
	return value;
}

static void multiboot_elf32(void **state)
{
	uint64_t info, end;

	(void)state;
	make_multiboot();
	give_multiboot();
	file_of(&loader.initrd, "module", "a module", 8);
	memset(memory.base + 0x100040, 0xee, 0x100); /* BSS is cleared */
	assert_true(loader_probe(&loader) && loader_load(&loader, &boot));
	assert_int_equal(boot.registers.rip, 0x100010);
	assert_int_equal(boot.registers.gpr[VP_RAX], 0x2badb002);
	assert_int_equal(boot.registers.cr0, 0x31);
	assert_int_equal(memory.base[0x10003f], 0x90);
	assert_int_equal(memory.base[0x100040], 0);
	info = boot.registers.gpr[VP_RBX];
	assert_int_equal(word(info) & 0x4d, 0x4d);
	assert_int_equal(word(info + 8), (RAM - MIB) / 1024);
	assert_string_equal((const char *)memory.base + word(info + 16), "multi.elf console=ttyS0");
	assert_int_equal(word(info + 20), 1);
	assert_int_equal(word(word(info + 24)), 0x106000); /* the page behind 0x105001 */
	assert_memory_equal(memory.base + 0x106000, "a module", 8);
	end = word(info + 48) + word(info + 44);
	assert_true(word(info + 48) < end && word(word(info + 48)) == 20);
}

static void multiboot_elf64(void **state)
{
	struct {
		Elf64_Ehdr elf;
		Elf64_Phdr segment;
		uint32_t multiboot[4];
		uint8_t code[16];
	} wide = {
		.elf = {.e_entry = 0x200000, .e_phentsize = sizeof(Elf64_Phdr), .e_phnum = 1},
		.segment = {.p_type = PT_LOAD, .p_paddr = 0x200000, .p_filesz = 16, .p_memsz = 16},
		.multiboot = {0x1badb002, 0, -0x1badb002u},
		.code = "0123456789abcde"};

	(void)state;
	memcpy(wide.elf.e_ident, ELFMAG, SELFMAG);
	wide.elf.e_ident[EI_CLASS] = ELFCLASS64;
	wide.elf.e_phoff = (uintptr_t)&wide.segment - (uintptr_t)&wide;
	wide.segment.p_offset = (uintptr_t)wide.code - (uintptr_t)&wide;
	file_of(&loader.kernel, "wide", &wide, sizeof(wide));
	assert_true(load());
	assert_memory_equal(memory.base + 0x200000, wide.code, 16);
	wide.elf.e_entry = 1ull << 32;
	file_of(&loader.kernel, "wide", &wide, sizeof(wide));
	expect_refusal("beyond 32 bits");
	wide.elf.e_entry = 0x200000;
	wide.elf.e_phoff = UINT64_MAX - 8;
	file_of(&loader.kernel, "wide", &wide, sizeof(wide));
	expect_refusal("not complete");
	wide.elf.e_phnum = 2;
	wide.elf.e_phoff = UINT64_MAX - sizeof(Elf64_Phdr) + 1;
	file_of(&loader.kernel, "wide", &wide, sizeof(wide));
	assert_false(load());
}

static void multiboot_by_addresses(void **state)
{
	(void)state;
	make_multiboot();
	multi.multiboot[1] = 0x10000;
	multi.multiboot[3] =
		0x100000 + offsetof(struct multiboot_image, multiboot); /* header_addr */
	multi.multiboot[4] = 0x100000;                                  /* load_addr */
	multi.multiboot[5] = 0;                                         /* all of the file */
	multi.multiboot[6] = 0x103000;                                  /* bss_end */
	multi.multiboot[7] = 0x100020;                                  /* entry */
	give_multiboot();
	assert_true(load());
	assert_int_equal(boot.registers.rip, 0x100020);
	assert_memory_equal(memory.base + 0x100000, &multi, sizeof(multi));
	multi.multiboot[5] = 0x100010;
	give_multiboot();
	assert_true(load());
	assert_int_equal(memory.base[0x100010], 0);
	multi.multiboot[4] = 0x200000; /* above the header */
	give_multiboot();
	expect_refusal("make no sense");
	multi.multiboot[4] = 0x100000;
	multi.multiboot[5] = 0x0fffff; /* ends before it begins */
	give_multiboot();
	assert_false(load());
	multi.multiboot[5] = 0x104000; /* longer in the file than in memory */
	give_multiboot();
	expect_refusal("longer in the file");
	multi.multiboot[6] = 0;
	give_multiboot();
	expect_refusal("not complete");
}

/* An image may lie in low memory: wherever that is, nothing of ours is written over it. */
static void multiboot_in_low_memory(void **state)
{
	static const uint64_t places[] = {0,       0x7fe0,  0x8000,  0xfff0, 0x10000,
					  0x20fff, 0x9afff, 0xc0000, 0xf0000};
	unsigned int i, at;

	(void)state;
	file_of(&loader.initrd, "module", "a module", 8);
	for (i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		make_multiboot();
		multi.segments[1] = multi.segments[0];
		multi.segments[0].p_paddr = (uint32_t)places[i];
		give_multiboot();
		assert_true(load());
		for (at = 0; at < 0x5001; at++) {
			assert_int_equal(memory.base[places[i] + at], at < 64 ? 0x90 : 0);
		}
		at = (unsigned int)boot.registers.gpr[VP_RBX];
		assert_int_equal(word(at) & 0x4d, 0x4d);
		assert_int_equal(word(word(at + 24)), at < MIB ? 0x106000 : 0x117000);
		assert_true(boot.gdtr.base > at && word(boot.gdtr.base + 0x10) == 0x0000ffff);
	}
}

static void wrong_multiboot_images(void **state)
{
	(void)state;
	make_multiboot();
	multi.segments[0].p_paddr = 0xec000; /* ends in them */
	give_multiboot();
	expect_refusal("ACPI tables");
	multi.segments[0].p_paddr = 0xff000;
	give_multiboot();
	expect_refusal("SMBIOS");
	make_multiboot();
	multi.segments[0].p_paddr = 0x9c000; /* into the VGA's hole */
	give_multiboot();
	expect_refusal("does not have");
	make_multiboot();
	multi.segments[0].p_paddr = 0x10000; /* where our structures are, which go behind it */
	multi.segments[0].p_memsz = 0x40;
	multi.segments[1] = multi.segments[0];
	multi.segments[1].p_paddr = RAM - 0x1000;
	give_multiboot();
	expect_refusal("no room behind it");
	make_multiboot();
	multi.segments[0].p_memsz = 0xffffffff;
	give_multiboot();
	expect_refusal("does not have");
	make_multiboot();
	multi.segments[0].p_filesz = 0x6000;
	give_multiboot();
	expect_refusal("longer in the file");
	make_multiboot();
	multi.segments[0].p_offset = 0xfffffff0;
	give_multiboot();
	expect_refusal("not complete");
	make_multiboot();
	multi.elf.e_phoff = 0xfffffff0;
	give_multiboot();
	expect_refusal("not complete");
	make_multiboot();
	multi.elf.e_phnum = 0xffff;
	give_multiboot();
	expect_refusal("makes no sense");
	make_multiboot();
	multi.multiboot[1] = 0x8;
	give_multiboot();
	expect_refusal("features");
	make_multiboot();
	multi.elf.e_ident[0] = 'x';
	give_multiboot();
	expect_refusal("not ELF");
	make_multiboot();
	give_multiboot();
	loader.kernel.size = 40; /* the header alone cannot be there */
	expect_refusal("neither");
}

/* ---- Initial RAM disks that end too early ---- */

static size_t cpio_entry(char *to, const char *name, const char *content)
{
	size_t name_size = strlen(name) + 1, size = strlen(content), length;

	length = (size_t)sprintf(to,
				 "070701%08X%08X%08X%08X%08X%08X%08zX%08X%08X%08X%08X%08zX%08X%s",
				 1, 0100644, 0, 0, 1, 0, size, 0, 0, 0, 0, name_size, 0, name) +
		 1;
	while (length % 4 != 0) {
		to[length++] = '\0';
	}
	memcpy(to + length, content, size);
	length += size;
	while (length % 4 != 0) {
		to[length++] = '\0';
	}
	return length;
}

static size_t make_cpio(char *to)
{
	size_t length = cpio_entry(to, "init", "#!/bin/sh\necho a file of an odd length\n");

	length += cpio_entry(to + length, "empty", "");
	length += cpio_entry(to + length, "TRAILER!!!", "");
	return length;
}

static bool whole(const void *bytes, size_t length)
{
	file_of(&loader.initrd, "initrd", bytes, length);
	why[0] = '\0';
	if (initrd_complete(&loader)) {
		return true;
	}
	assert_non_null(strstr(why, "--initrd initrd: the file is not complete"));
	return false;
}

static void cpio_archives(void **state)
{
	char archive[4096] = {0};
	size_t one, two, length;

	(void)state;
	one = make_cpio(archive);
	assert_true(whole(archive, one));
	assert_true(whole(archive, 1024)); /* padded */
	for (length = 6; length < one - 3; length++) {
		assert_false(whole(archive, length));
	}
	two = 1024 + make_cpio(archive + 1024);
	assert_true(whole(archive, two));
	assert_false(whole(archive, two - 40));
	memcpy(archive + 1024, "\x1f\x8b what follows is compressed", 30);
	assert_true(whole(archive, 1100));
	make_cpio(archive);
	memcpy(archive + 54, "FFFFFFFF", 8);
	assert_false(whole(archive, one));
	make_cpio(archive);
	memcpy(archive + 94, "zzzz!!!!", 8);
	assert_false(whole(archive, one));
}

static void zstd_streams(void **state)
{
	/* A frame with a window, a raw block of 3 bytes, a run, the last one of 2 bytes, and a
	 * checksum. */
	static const uint8_t frame[] = {0x28, 0xb5, 0x2f, 0xfd, 0x04, 0x00, 0x18, 0x00, 0x00,
					'a',  'b',  'c',  0x02, 0x40, 0x00, 'x',  0x11, 0x00,
					0x00, 'y',  'z',  1,    2,    3,    4};
	/* A single segment with its size in 1 byte. */
	static const uint8_t single[] = {0x28, 0xb5, 0x2f, 0xfd, 0x20, 0x02,
					 0x11, 0x00, 0x00, 'y',  'z'};
	uint8_t both[sizeof(frame) + sizeof(single)];
	size_t length;

	(void)state;
	assert_true(whole(frame, sizeof(frame)));
	for (length = 4; length < sizeof(frame); length++) {
		assert_false(whole(frame, length));
	}
	assert_true(whole(single, sizeof(single)));
	assert_false(whole(single, sizeof(single) - 1));
	memcpy(both, frame, sizeof(frame));
	memcpy(both + sizeof(frame), single, sizeof(single));
	assert_true(whole(both, sizeof(both)));
	assert_false(whole(both, sizeof(both) - 1));
}

static void lz4_and_xz_streams(void **state)
{
	static const uint8_t lz4[] = {0x02, 0x21, 0x4c, 0x18, 3,    0, 0, 0, 'a', 'b',
				      'c',  0x02, 0x21, 0x4c, 0x18, 1, 0, 0, 0,   'd'};
	static const uint8_t xz[] = {0xfd, '7', 'z', 'X', 'Z', 0, 1, 2, 3,
				     4,    5,   'Y', 'Z', 0,   0, 0, 0};

	(void)state;
	assert_true(whole(lz4, sizeof(lz4)));
	assert_false(whole(lz4, sizeof(lz4) - 1));
	assert_false(whole(lz4, 6));
	assert_true(whole(xz, sizeof(xz)));
	assert_true(whole(xz, 13));
	assert_false(whole(xz, 12));
}

static void what_is_not_known_is_whole(void **state)
{
	static const char zeros[5000];

	(void)state;
	assert_true(whole("\x1f\x8b\x08 gzip", 8));
	assert_true(whole("x", 1));
	assert_true(whole(zeros, sizeof(zeros)));
	make_linux();
	give_linux();
	whole("07070100", 8);
	expect_refusal("not complete");
}

/* ---- Files ---- */

static void files_that_cannot_be(void **state)
{
	char path[] = "/tmp/loader-test-XXXXXX";
	struct loader_file file = {.fd = -1};
	int fd = mkstemp(path);

	(void)state;
	assert_true(fd >= 0);
	assert_false(loader_open(&loader, &file, "--kernel", path, -1));
	assert_non_null(strstr(why, "is empty"));
	close(file.fd);
	assert_int_equal(write(fd, "x", 1), 1);
	assert_true(loader_open(&loader, &file, "--kernel", path, -1));
	assert_int_equal(file.size, 1);
	close(file.fd);
	assert_int_equal(unlink(path), 0);
	close(fd);
	assert_false(loader_open(&loader, &file, "--initrd", path, -1));
	assert_non_null(strstr(why, "--initrd /tmp/loader-test-"));
	assert_non_null(strstr(why, "No such file"));
	assert_false(loader_open(&loader, &file, "--kernel", "/tmp", -1));
	assert_non_null(strstr(why, "not a regular file"));
	close(file.fd);
}

#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		T(linux_64),
		T(linux_32),
		T(the_map_leaves_the_holes_out),
		T(the_initrd_lies_high),
		T(a_small_machine_gets_it_lower),
		T(wrong_linux_headers),
		T(initrds_that_do_not_fit),
		T(cut_kernels),
		T(neither_format),
		T(multiboot_elf32),
		T(multiboot_elf64),
		T(multiboot_by_addresses),
		T(multiboot_in_low_memory),
		T(wrong_multiboot_images),
		T(cpio_archives),
		T(zstd_streams),
		T(lz4_and_xz_streams),
		T(what_is_not_known_is_whole),
		T(files_that_cannot_be),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
