# hvloader is a 32-bit program; the parts of it that touch no hardware are also built for the unit tests and fuzzers.
loader_pure := loader/ranges.o loader/modules.o loader/elf.o loader/paging.o loader/linux.o loader/acpi.o loader/efi.o \
	loader/framebuffer.o loader/font.o
loader_objs := loader/boot.o loader/main.o loader/fault.o loader/console.o loader/vga.o loader/divide.o loader/multiboot.o loader/cpu.o \
	loader/apic.o loader/clock.o loader/image.o loader/root.o $(loader_pure)
loader_products := build/loader/hvloader.elf

build/loader/hvloader.elf: $(call boot32,$(loader_objs) lib/print.o lib/string.o) loader/loader.lds
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(LD) -m elf_i386 -nostdlib --gc-sections -z max-page-size=4096 -T loader/loader.lds -o $@ $(filter %.o,$^)

loader_tests := tests/unit/loader_ranges_test.c tests/unit/loader_elf_test.c tests/unit/loader_linux_test.c \
	tests/unit/loader_modules_test.c tests/unit/loader_acpi_test.c tests/unit/loader_efi_test.c tests/unit/loader_cpu_test.c \
	tests/unit/loader_framebuffer_test.c tests/unit/loader_image_test.c
loader_ranges_test_objs := loader/ranges.o
loader_image_test_objs := loader/image.o loader/ranges.o lib/string.o
loader_elf_test_objs := loader/elf.o loader/paging.o
loader_linux_test_objs := loader/linux.o loader/ranges.o
loader_modules_test_objs := loader/modules.o loader/elf.o loader/linux.o loader/ranges.o
loader_acpi_test_objs := loader/acpi.o
loader_efi_test_objs := loader/efi.o loader/ranges.o
loader_framebuffer_test_objs := loader/framebuffer.o loader/font.o
loader_cpu_test_objs := loader/cpu.o loader/clock.o

loader_fuzzers := tests/fuzz/loader_fuzz.c
loader_fuzz_objs := $(loader_pure)

# A test's image that takes the hypervisor's place and checks what it is handed.
loader_products += build/tests/handoff-svm.elf
build/image/tests/guest/handoff/%.o: image_flags_tests :=
build/tests/handoff-svm.elf: $(call image,tests/guest/handoff/entry.o tests/guest/handoff/check.o lib/print.o lib/string.o) \
		tests/guest/handoff/image.lds
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(LD) -nostdlib --gc-sections -z noexecstack -z max-page-size=4096 -T tests/guest/handoff/image.lds -o $@ $(filter %.o,$^)
