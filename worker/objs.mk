worker_objs := worker/main.o worker/identity.o worker/config.o worker/config_read.o worker/say.o worker/machine.o worker/memory.o worker/host.o worker/vp.o \
	worker/intercept.o worker/emulate.o worker/emulate_table.o worker/emulate_string.o worker/emulate_system.o worker/operand.o worker/insn.o worker/alu.o \
	worker/loader.o worker/linux_boot.o worker/multiboot.o worker/initrd.o worker/serial.o worker/loop.o \
	worker/sandbox.o worker/filters_bpf.o worker/bus.o worker/hypercall.o worker/disks.o worker/drives.o worker/screen.o worker/display.o hosted/show.o worker/input.o worker/networks.o worker/assigned.o worker/vfio.o worker/hvsock.o worker/balloon.o worker/connector.o worker/firmware.o worker/netboot.o worker/nics.o worker/control.o worker/methods.o \
	worker/job.o worker/crash.o worker/services.o worker/copies.o worker/addresses.o worker/save.o $(hosted_rpc) hosted/available.o hosted/pci.o hosted/sandbox.o
worker_objs += worker/nvram.o worker/nvram_file.o worker/tpm.o worker/tpm_link.o worker/tpm_process.o worker/boot_watch.o worker/sound.o
worker_objs += worker/checkpoint.o worker/merge.o worker/migrate.o worker/arrival.o worker/carry.o worker/wire.o worker/offer.o hosted/owner.o

worker_products := build/worker/vmwp
# In one file they take a worker less memory than each in its own: only what is called is there. Of Zydis Debian 12 has no such file.
worker_libs = -Wl,-Bstatic -ljansson $(disk_libs) $(hvs_libs) -Wl,-Bdynamic
build/worker/vmwp: $(call user,$(worker_objs) $(devices_objs) $(backend_root_objs) $(vmbus_objs) $(vsp_objs) $(switch_ring_objs) $(disk_objs) $(hvs_objs))
	$(call link_user,-O2 -flto=auto -fno-asynchronous-unwind-tables -lZydis $(worker_libs))

# What it may do in its sandbox, made by a program of its own: its home's calls are among it.
build/worker/filters: $(call user,worker/filters.o worker/vfio.o hosted/filter.o hosted/sandbox.o hosted/say.o $(backend_root_objs))
	$(call link_user,-lseccomp)
build/worker/worker.bpf: build/worker/filters
	$(call say,BPF,$@)
	$(Q)$< $(@D)
build/worker/connector.bpf: build/worker/worker.bpf
$(call user,worker/filters_bpf.o) $(call san,worker/filters_bpf.o): build/worker/worker.bpf build/worker/connector.bpf

worker_tests := tests/unit/alu_test.c tests/unit/emulate_test.c tests/unit/worker_loader_test.c tests/unit/worker_memory_test.c \
	tests/unit/config_test.c tests/unit/sandbox_test.c
worker_emulator := worker/emulate.o worker/emulate_table.o worker/emulate_string.o worker/emulate_system.o worker/operand.o worker/insn.o worker/alu.o
worker_loader := worker/loader.o worker/linux_boot.o worker/multiboot.o worker/initrd.o worker/memory.o
alu_test_objs := worker/alu.o
emulate_test_objs := $(worker_emulator) worker/memory.o $(devices_objs) $(devices_fake) tests/fake/backend.o tests/fake/native.o
emulate_test_libs := -lZydis
worker_loader_test_objs := $(worker_loader) tests/fake/backend.o
worker_memory_test_objs := worker/memory.o tests/fake/backend.o
worker_tests += tests/unit/crash_test.c tests/unit/say_test.c tests/unit/intercept_test.c tests/unit/bus_test.c
say_test_objs := worker/say.o
say_test_libs := -Wl,--wrap=clock_gettime
crash_test_objs := worker/crash.o
bus_test_objs := worker/bus.o
intercept_test_objs := tests/fake/assigned.o worker/nvram.o worker/intercept.o worker/hypercall.o $(worker_emulator) worker/memory.o $(devices_objs) $(devices_fake) tests/fake/backend.o
intercept_test_libs := -lZydis
config_test_objs := disk/bytes.o worker/config.o worker/config_read.o hosted/available.o hosted/form.o hosted/pci.o worker/say.o
config_test_libs := -ljansson
# disk/objs.mk and backend/objs.mk may be read later.
sandbox_test_objs = worker/sandbox.o worker/filters_bpf.o hosted/sandbox.o worker/say.o $(backend_root_objs) $(disk_objs)
sandbox_test_libs = $(disk_libs)
worker_tests += tests/unit/sound_test.c tests/unit/nvram_test.c tests/unit/tpm_test.c tests/unit/boot_watch_test.c
boot_watch_test_objs := worker/boot_watch.o
sound_test_objs := worker/sound.o worker/say.o
tpm_test_objs := worker/tpm.o worker/tpm_link.o worker/tpm_process.o worker/say.o hosted/packet.o hosted/sandbox.o lib/state.o
nvram_test_objs := worker/nvram.o worker/nvram_file.o worker/loader.o worker/linux_boot.o worker/multiboot.o worker/initrd.o worker/memory.o worker/say.o tests/fake/backend.o
worker_tests += tests/unit/control_test.c tests/unit/pause_test.c tests/unit/display_test.c
display_test_objs := worker/display.o hosted/show.o worker/input.o worker/say.o hosted/listen.o hosted/packet.o
display_test_libs := -Wl,--wrap=posix_spawn
pause_test_objs := tests/fake/assigned.o worker/nvram.o worker/sound.o worker/boot_watch.o worker/machine.o worker/vp.o worker/host.o worker/job.o worker/say.o
worker_control := worker/control.o worker/methods.o worker/services.o worker/copies.o worker/addresses.o worker/job.o worker/disks.o worker/networks.o worker/config_read.o worker/serial.o hosted/pci.o $(hosted_rpc) worker/say.o disk/bytes.o
worker_control_fake := tests/fake/assigned.o tests/fake/integration.o tests/fake/networks.o tests/fake/idle.o
control_test_objs := $(worker_control) $(worker_control_fake)
control_test_libs := -ljansson -Wl,--wrap=getsockopt

worker_fuzzers := tests/fuzz/exit_fuzz.c tests/fuzz/emulate_fuzz.c tests/fuzz/worker_loader_fuzz.c
exit_fuzz_objs := tests/fake/assigned.o worker/nvram.o $(worker_emulator) worker/memory.o worker/intercept.o worker/hypercall.o worker/crash.o $(devices_objs) $(devices_fake) tests/fake/backend.o
exit_fuzz_libs := -lZydis
emulate_fuzz_objs := $(worker_emulator) worker/memory.o $(devices_objs) $(devices_fake) tests/fake/backend.o tests/fake/native.o
emulate_fuzz_libs := -lZydis
worker_loader_fuzz_objs := $(worker_loader) tests/fake/backend.o
worker_fuzzers += tests/fuzz/nvram_fuzz.c tests/fuzz/tpm_link_fuzz.c tests/fuzz/tpm_load_fuzz.c tests/fuzz/boot_watch_fuzz.c
boot_watch_fuzz_objs := worker/boot_watch.o
tpm_link_fuzz_objs := worker/tpm_link.o hosted/packet.o
tpm_load_fuzz_objs := worker/tpm.o worker/tpm_link.o worker/tpm_process.o worker/say.o hosted/packet.o hosted/sandbox.o lib/state.o
nvram_fuzz_objs := worker/nvram_file.o worker/loader.o worker/linux_boot.o worker/multiboot.o worker/initrd.o worker/memory.o tests/fake/backend.o
worker_fuzzers += tests/fuzz/control_fuzz.c
control_fuzz_objs := $(worker_control) $(worker_control_fake)
control_fuzz_libs := -ljansson -Wl,--wrap=pthread_create,--wrap=pthread_join
worker_fuzzers += tests/fuzz/config_fuzz.c
config_fuzz_objs := disk/bytes.o worker/config.o worker/config_read.o hosted/available.o hosted/form.o hosted/pci.o worker/say.o
config_fuzz_libs := -ljansson
# All of the worker on a home of the test's.
worker_tests += tests/unit/home_test.c
home_test_objs = $(filter-out worker/main.o,$(worker_objs)) $(devices_objs) $(vmbus_objs) $(vsp_objs) $(switch_ring_objs) $(disk_objs) $(hvs_objs) lib/state.o tests/fake/home.o tests/fake/backend.o tests/fake/life.o
home_test_libs = -lZydis -ljansson $(disk_libs) $(hvs_libs)
worker_tests += tests/unit/migrate_test.c tests/unit/offer_test.c
offer_test_objs = worker/offer.o hosted/owner.o worker/memory.o backend/processor.o lib/state.o tests/fake/backend.o
migrate_test_objs = $(home_test_objs)
migrate_test_libs = $(home_test_libs)
worker_tests += tests/unit/checkpoint_test.c
checkpoint_test_objs = $(home_test_objs)
checkpoint_test_libs = $(home_test_libs)
worker_fuzzers += tests/fuzz/arrival_fuzz.c
arrival_fuzz_objs = $(filter-out tests/fake/life.o,$(home_test_objs))
arrival_fuzz_libs = $(home_test_libs)
worker_tests += tests/unit/identity_test.c
identity_test_objs = worker/identity.o worker/memory.o devices/acpi_tables.o devices/dsdt.o devices/smbios.o disk/bytes.o lib/state.o tests/fake/backend.o
worker_tests += tests/unit/save_test.c
save_test_objs = worker/save.o worker/memory.o $(hvs_objs) lib/state.o tests/fake/backend.o
save_test_libs = $(hvs_libs)
# The way of an exit, and that of a packet, goes through several folders: they are compiled once more as a whole, as the hypervisor is.
user_flags_worker := -flto=auto -ffat-lto-objects
user_flags_backend := $(user_flags_worker)
user_flags_devices := $(user_flags_worker)
user_flags_vmbus := $(user_flags_worker)
user_flags_vsp := $(user_flags_worker)
