/* worker/boot_watch.c: what SeaBIOS and OVMF of Debian 12 write when they find nothing, as they
 * wrote it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "worker/boot_watch.h"

static struct boot_watch watch;

/* How often it has found nothing. */
static unsigned int take(const char *text)
{
	unsigned int count = 0;

	for (; *text != '\0'; text++) {
		count += boot_watch_take(&watch, (uint8_t)*text);
	}
	return count;
}

static int setup(void **state)
{
	(void)state;
	boot_watch_begin(&watch);
	return 0;
}

static void a_bios(void **state)
{
	(void)state;
	assert_int_equal(
		take("SeaBIOS (version 1.16.2-debian-1.16.2-1)\nBooting from Floppy...\n"
		     "Boot failed: could not read the boot disk\n\n"
		     "Booting from DVD/CD...\nBoot failed: Could not read from CDROM (code 0003)\n"
		     "Booting from Hard Disk...\nBoot failed: not a bootable disk\n\n"),
		0);
	assert_int_equal(take("No bootable device.  Retrying in 60 seconds.\n"), 1);
	assert_string_equal(watch.tried,
			    "Floppy: could not read the boot disk; DVD/CD: Could not read "
			    "from CDROM (code 0003); Hard Disk: not a bootable disk");
	/* It forgets, and goes on. */
	assert_int_equal(take("No bootable device.  Retrying in 60 seconds.\n"), 1);
	assert_string_equal(watch.tried, "");
	assert_int_equal(take("Booting from Hard Disk...\nBooting from 0000:7c00\n"), 0);
}

static void uefi(void **state)
{
	(void)state;
	assert_int_equal(
		take("\033[2J\033[01;01H\033[=3h\033[2J\033[01;01HBdsDxe: loading Boot0001 \"UEFI "
		     "Msft Virtual Disk \" from "
		     "PciRoot(0x0)/Pci(0x3,0x0)/Scsi(0x0,0x0)\r\n"
		     "BdsDxe: failed to load Boot0001 \"UEFI Msft Virtual Disk \" from "
		     "PciRoot(0x0)/Pci(0x3,0x0)/Scsi(0x0,0x0): Access Denied\r\n"
		     "BdsDxe: starting Boot0002 \"EFI Internal Shell\" from Fv(7CB8BDC9)\r\n"
		     "BdsDxe: failed to start Boot0002 \"EFI Internal Shell\" from Fv(7CB8BDC9): "
		     "Security "
		     "Violation\r\n"),
		0);
	assert_int_equal(
		take("BdsDxe: No bootable option or device was found.\r\nBdsDxe: Press any key"),
		1);
	assert_string_equal(watch.tried,
			    "Boot0001 \"UEFI Msft Virtual Disk \": Access Denied; Boot0002 "
			    "\"EFI Internal Shell\": Security Violation");
}

/* More than there is room for: whole ones, and no end of them. */
static void many(void **state)
{
	char text[300];
	unsigned int i;

	(void)state;
	for (i = 0; i < 100; i++) {
		snprintf(text, sizeof(text),
			 "BdsDxe: failed to load Boot%04u \"%0200u\" from X: Not Found\r\n", i, i);
		assert_int_equal(take(text), 0);
	}
	assert_int_equal(take("BdsDxe: No bootable option or device was found.\r\n"), 1);
	assert_true(strlen(watch.tried) > 100 && strlen(watch.tried) < sizeof(watch.tried));
	assert_null(strstr(watch.tried, "Boot0099"));
}

static void what_an_operating_system_writes(void **state)
{
	unsigned int i;

	(void)state;
	assert_int_equal(take("BdsDxe: failed to load : \nBdsDxe: failed to start X\nBoot failed: "
			      "\n\033\033[\n"),
			 0);
	for (i = 0; i < BOOT_WATCH_BYTES; i++) {
		(void)boot_watch_take(&watch, 'x');
	}
	assert_int_equal(take("\nNo bootable device.\n"), 0);
	boot_watch_begin(&watch);
	assert_int_equal(take("\nNo bootable device.\n"), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(a_bios, setup),
		cmocka_unit_test_setup(uefi, setup),
		cmocka_unit_test_setup(many, setup),
		cmocka_unit_test_setup(what_an_operating_system_writes, setup),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
