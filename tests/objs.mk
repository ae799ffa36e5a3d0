# The tiny guests and the programs of the benchmarks. A guest is 64-bit code in a 32-bit ELF file, as multiboot wants it.

guests := bench emulate events hostile level many modes protect tpr
guest_common := tests/guest/start.o tests/guest/guest.o
image_flags_tests := -mcmodel=small
tests_products := $(guests:%=build/tests/guest/%.elf) $(addprefix build/tests/bench/,kvmrun hvrun watch blocks packets flows balloon)

build/tests/guest/%.elf: build/image/tests/guest/%.o $(call image,$(guest_common)) tests/guest/guest.lds
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(LD) -nostdlib -z noexecstack --no-warn-rwx-segments -z max-page-size=4096 -T tests/guest/guest.lds -o $@.64 $(filter %.o,$^)
	$(Q)objcopy -O elf32-i386 $@.64 $@

build/tests/guest/bench.elf: build/image/tests/guest/bench32.o

build/tests/bench/kvmrun build/tests/bench/hvrun: build/user/tests/bench/signals.o
build/tests/bench/hvrun: build/user/tests/system/mshv.o
build/tests/bench/%: build/user/tests/bench/%.o
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(CC) -static -o $@ $^

# Floppy disks that a BIOS starts.
tests_products += build/tests/guest/floppy.img build/tests/guest/screen.img

build/tests/guest/%.img: build/image/tests/guest/%.o
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(LD) -Ttext 0x7c00 -e start --oformat binary -o $@ $< && truncate -s 1440K $@

# What the root must not be able to do, as a module of its kernel.
tests_kmod_module := vd_protect
tests_kmod_objs := tests/kmod/protect.o tests/kmod/dma.o

# Programs that use /dev/mshv by itself.
tests_products += build/tests/system/mshv_functions build/tests/system/mshv_torture

build/tests/system/mshv_functions: build/user/tests/system/mshv_events.o
build/tests/system/mshv_%: build/user/tests/system/mshv_%.o build/user/tests/system/mshv.o
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(CC) -static -o $@ $^

# The worker's way to a partition, by itself.
tests_products += build/tests/system/backend_functions

build/tests/system/backend_functions: $(call user,tests/system/backend_functions.o tests/system/backend_guest.o backend/root.o \
	backend/root_message.o backend/root_registers.o backend/root_state.o backend/root_synic.o lib/state.o)
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(CC) -static -o $@ $^

# What a guest starts another kernel with, and what tells how far its clock is from the host's.
tests_products += build/tests/system/kexec build/tests/system/clock
# Either end of a guest's socket.
tests_products += build/tests/system/hvsock build/tests/system/vfio

build/tests/system/kexec build/tests/system/clock build/tests/system/hvsock build/tests/system/vfio: build/tests/system/%: build/user/tests/system/%.o
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(CC) -static -o $@ $^

# The same for a guest of 32 bits. Debian's C library for those has its headers where gcc does not look.
tests_products += build/tests/system/i386/hvsock

build/tests/system/i386/hvsock: tests/system/hvsock.c
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(CC) -m32 -isystem /usr/include/x86_64-linux-gnu $(cwarnings) -D_GNU_SOURCE -std=gnu11 -O2 -static -o $@ $<

# What Debian's testpmd is to be told of queues.
tests_products += build/tests/system/queues_started.so

build/tests/system/queues_started.so: tests/system/queues_started.c
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(CC) -O2 -Wall -Wextra -Werror -shared -fPIC -o $@ $<

# Loops over all partitions and pages of the fake; to compare is their work, and tells a fuzzer nothing.
build/san/tlfs/partition.o build/san/tests/fake/plat.o: san_flags += -fno-sanitize-coverage=trace-cmp
