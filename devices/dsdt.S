/* The compiled dsdt.asl, as acpi_tables.c sees it. */
	.section .rodata
	.globl acpi_dsdt, acpi_dsdt_end
	.balign 8
acpi_dsdt:
	.incbin "build/devices/dsdt.aml"
acpi_dsdt_end:
	.section .note.GNU-stack, "", @progbits
