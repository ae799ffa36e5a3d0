/*
 * hvloader: from the multiboot loader to the hypervisor's image. The boot is the list at the end.
 */
#include "loader/loader.h"

#include "loader/apic.h"
#include "loader/console.h"
#include "loader/fault.h"

extern const uint8_t loader_start[], loader_end[];

_Noreturn void enter_image(uint32_t page_tables, const uint64_t *entry, uint32_t handoff);
_Noreturn void loader_main(uint32_t magic, uint32_t address);

static struct loader loader;

void loader_take_own(struct ranges *taken)
{
	uint32_t start = (uint32_t)(uintptr_t)loader_start;

	taken->count = 0;
	ranges_add(taken, start, (uint32_t)(uintptr_t)loader_end - start, RANGE_RESERVED);
}

void *acpi_map(uint64_t address, uint64_t size)
{
	if (address > 4 * GIB || size > 4 * GIB - address) {
		return NULL;
	}
	return memory_at((uint32_t)address);
}

static void read_boot_info(struct loader *l, uint32_t magic, uint32_t address)
{
	multiboot_read(magic, address, &l->info);
	l->map = l->info.map;
	if (!ranges_normalize(&l->map) || l->map.count > HANDOFF_MAX_RANGES) {
		stop("the firmware's memory map is in more than %u pieces", HANDOFF_MAX_RANGES);
	}
	l->free = l->map;
	if (!efi_map_keep(&l->info.efi_map, &l->free)) {
		stop("the firmware's EFI memory map is in too many pieces");
	}
	if (l->info.framebuffer.present) {
		console_use_framebuffer(&l->info.framebuffer);
	} else if (!l->info.is_efi) {
		console_use_text();
	}
}

static void judge_processor(struct loader *l)
{
	const char *missing;

	cpu_read(&l->cpu);
	missing = cpu_judge(&l->cpu, &l->vendor);
	if (missing != NULL) {
		stop("%s", missing);
	}
}

static void sort_modules(struct loader *l)
{
	struct refusal refusal;

	if (modules_sort(&l->info.modules, l->vendor, &l->roles, &refusal)) {
		return;
	}
	if (refusal.which != NULL) {
		stop("module %u (%s): %s", (uint32_t)(refusal.which - l->info.modules.m) + 1,
		     refusal.which->string, refusal.why);
	}
	stop("%s", refusal.why);
}

static void read_acpi(struct loader *l)
{
	const uint8_t *rsdp = l->info.rsdp;

	if (!acpi_check_rsdp(rsdp, RSDP_SIZE_MAX)) {
		l->rsdp = acpi_scan_bios();
		rsdp = l->rsdp ? memory_at((uint32_t)l->rsdp) : NULL;
	}
	if (rsdp != NULL) {
		acpi_read(rsdp, &l->acpi);
	} else {
		print("Verdigris loader: the machine has no ACPI; only this processor will be "
		      "used\n");
	}
	if (l->acpi.lps_beyond) {
		print("Verdigris loader: %u processors more than %u are left out\n",
		      l->acpi.lps_beyond, HANDOFF_MAX_LPS);
	}
	acpi_boot_lp_first(&l->acpi, apic_id());
}

static void measure_clocks(struct loader *l)
{
	clock_measure(l->acpi.pm_timer_port, l->acpi.pm_timer_is_32_bit, &l->rates);
	l->rates.tsc_hz = clock_choose_tsc(l->rates.tsc_hz, l->cpu.tsc_hz);
}

static void say_machine(const struct loader *l)
{
	print("Verdigris loader: %s, %u processors, %llu MiB, TSC %llu kHz, APIC timer %llu kHz\n",
	      l->vendor == HV_IMAGE_SVM ? "AMD-V" : "Intel VT-x", l->acpi.lp_count,
	      ranges_total(&l->map, RANGE_RAM) / MIB, l->rates.tsc_hz / 1000,
	      l->rates.apic_timer_hz / 1000);
}

void loader_main(uint32_t magic, uint32_t address)
{
	struct loader *l = &loader;

	fault_start();
	l->console_port = console_start();
	print("\nVerdigris loader\n");
	read_boot_info(l, magic, address);
	judge_processor(l);
	sort_modules(l);
	apic_prepare();
	read_acpi(l);
	measure_clocks(l);
	say_machine(l);
	image_reserve(l);
	image_place(l);
	root_place(l);
	image_hand_off(l);
	enter_image(l->page_tables, &l->roles.image.entry, l->handoff);
}
