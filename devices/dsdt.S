/* The compiled dsdt.asl in its three forms, as acpi_tables.c sees it. */
	.section .rodata
	.globl acpi_dsdt, acpi_dsdt_end, acpi_dsdt_bios, acpi_dsdt_bios_end, acpi_dsdt_uefi, acpi_dsdt_uefi_end
	.balign 8
acpi_dsdt:
	.incbin "build/devices/dsdt.aml"
acpi_dsdt_end:
	.balign 8
acpi_dsdt_bios:
	.incbin "build/devices/dsdt_bios.aml"
acpi_dsdt_bios_end:
	.balign 8
acpi_dsdt_uefi:
	.incbin "build/devices/dsdt_uefi.aml"
acpi_dsdt_uefi_end:
	.section .note.GNU-stack, "", @progbits
