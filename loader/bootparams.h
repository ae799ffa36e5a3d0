/*
 * What Linux/x86 takes from its boot loader: the fields that the loader sets or reads, by the
 * kernel's Documentation/arch/x86/{boot,zero-page}.rst, boot protocol 2.15.
 */
#ifndef LOADER_BOOTPARAMS_H
#define LOADER_BOOTPARAMS_H

#include <stddef.h>
#include <stdint.h>

#define SETUP_BOOT_FLAG   0xaa55
#define SETUP_MAGIC       0x53726448u /* "HdrS" */
#define SETUP_VERSION_MIN 0x020a      /* Linux 2.6.31: relocatable, pref_address, init_size */
#define SETUP_LOADED_HIGH 0x01
#define LOADER_TYPE_OTHER 0xff
#define SCREEN_VGA_TEXT   0x01
#define SCREEN_VESA       0x23
#define SCREEN_EFI        0x70
#define SCREEN_64BIT_BASE 0x02
#define SCREEN_TEXT_MODE  0x03
#define EFI_LOADER_64     0x34364c45u /* "EL64" */
#define BOOT_E820_MAX     128

struct linux_screen {
	uint8_t x;
	uint8_t y;
	uint16_t unused1[2];
	uint8_t mode;
	uint8_t columns;
	uint16_t unused2[3];
	uint8_t lines;
	uint8_t type; /* SCREEN_* */
	uint16_t points;
	uint16_t width;
	uint16_t height;
	uint16_t depth;
	uint32_t base;
	uint32_t size; /* bytes; of SCREEN_VESA units of 64 KiB */
	uint16_t unused3[2];
	uint16_t line_bytes;
	uint8_t red_size, red_position;
	uint8_t green_size, green_position;
	uint8_t blue_size, blue_position;
	uint8_t rest_size, rest_position;
	uint16_t unused4[4];
	uint32_t capabilities;
	uint32_t base_high;
	uint16_t unused5;
} __attribute__((packed));

struct linux_efi {
	uint32_t signature;
	uint32_t systab;
	uint32_t descriptor_size;
	uint32_t descriptor_version;
	uint32_t map;
	uint32_t map_size;
	uint32_t systab_high;
	uint32_t map_high;
} __attribute__((packed));

struct linux_setup {
	uint8_t setup_sects;
	uint16_t root_flags;
	uint32_t syssize;
	uint16_t unused1[3];
	uint16_t boot_flag;
	uint8_t jump;
	uint8_t jump_distance; /* from the magic to the end of this structure */
	uint32_t magic;
	uint16_t version;
	uint32_t unused2;
	uint16_t unused3[2];
	uint8_t type_of_loader;
	uint8_t loadflags;
	uint16_t unused4;
	uint32_t code32_start;
	uint32_t ramdisk_image;
	uint32_t ramdisk_size;
	uint32_t unused5;
	uint16_t unused6[2];
	uint32_t cmd_line_ptr;
	uint32_t initrd_addr_max;
	uint32_t kernel_alignment;
	uint8_t relocatable_kernel;
	uint8_t min_alignment;
	uint16_t xloadflags;
	uint32_t cmdline_size;
	uint32_t unused7;
	uint64_t unused8;
	uint32_t payload_offset;
	uint32_t payload_length;
	uint64_t setup_data;
	uint64_t pref_address;
	uint32_t init_size;
	uint32_t unused9[2];
} __attribute__((packed));

struct linux_e820 {
	uint64_t base;
	uint64_t size;
	uint32_t type;
} __attribute__((packed));

struct linux_params {
	struct linux_screen screen;
	uint8_t unused1[0x70 - 0x40];
	uint64_t acpi_rsdp;
	uint8_t unused2[0x1c0 - 0x78];
	struct linux_efi efi;
	uint8_t unused3[0x1e8 - 0x1e0];
	uint8_t e820_count;
	uint8_t unused4[0x1f1 - 0x1e9];
	struct linux_setup setup;
	uint8_t unused5[0x2d0 - 0x1f1 - sizeof(struct linux_setup)];
	struct linux_e820 e820[BOOT_E820_MAX];
	uint8_t unused6[0x1000 - 0xcd0];
} __attribute__((packed));

_Static_assert(sizeof(struct linux_screen) == 0x40, "screen_info");
_Static_assert(offsetof(struct linux_screen, capabilities) == 0x36, "screen_info");
_Static_assert(0x1f1 + offsetof(struct linux_setup, magic) == 0x202, "setup_header");
_Static_assert(0x1f1 + offsetof(struct linux_setup, init_size) == 0x260, "setup_header");
_Static_assert(offsetof(struct linux_params, setup) == 0x1f1, "boot_params");
_Static_assert(offsetof(struct linux_params, e820) == 0x2d0, "boot_params");
_Static_assert(sizeof(struct linux_params) == 0x1000, "boot_params");

#endif
