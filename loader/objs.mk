# hvloader is a 32-bit program; the parts of it that touch no hardware are also built for the unit tests and fuzzers.
loader_pure := loader/ranges.o loader/modules.o loader/elf.o loader/paging.o loader/linux.o loader/acpi.o loader/efi.o
loader_objs := loader/boot.o loader/main.o loader/fault.o loader/console.o loader/divide.o loader/multiboot.o loader/cpu.o \
	loader/apic.o loader/clock.o loader/image.o loader/root.o $(loader_pure)
loader_products := build/loader/hvloader.elf

build/loader/hvloader.elf: $(call boot32,$(loader_objs) lib/print.o lib/string.o) loader/loader.lds
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(LD) -m elf_i386 -nostdlib --gc-sections -z max-page-size=4096 -T loader/loader.lds -o $@ $(filter %.o,$^)
