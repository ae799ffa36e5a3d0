# The disk library: VHD, VHDX, raw. The objects for our own programs, libvdisk.so for others, and the tool vhd.
disk_objs := $(addprefix disk/,error.o bytes.o file.o layer.o format.o signature.o raw.o space.o chain.o disk.o create.o \
	differencing.o info.o changes.o check.o compact.o convert.o merge.o mirror.o push.o ring.o helper.o queue.o nbd.o nbd_request.o nbd_handshake.o \
	vhd.o vhd_footer.o vhd_bat.o vhd_create.o vhd_resize.o \
	vhdx.o vhdx_map.o vhdx_header.o vhdx_meta.o vhdx_locator.o vhdx_log.o vhdx_log_read.o vhdx_bat.o vhdx_bitmap.o \
	vhdx_create.o vhdx_resize.o vhdx_check.o)
disk_libs := -luring

vhd_objs := $(addprefix disk/tool/,main.o commands.o progress.o attach.o kernel_nbd.o)

# The objects go into a shared library as well, and into the worker, which is compiled as a whole (worker/objs.mk).
user_flags_disk := -fPIC -flto=auto -ffat-lto-objects

disk_products := build/disk/vhd build/disk/libvdisk.so

build/disk/vhd: $(call user,$(disk_objs) $(vhd_objs))
	$(call link_user,$(disk_libs))

build/disk/libvdisk.so: $(call user,$(disk_objs)) disk/libvdisk.map
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(CC) -shared -pthread -Wl,-soname,libvdisk.so.0 -Wl,--version-script=disk/libvdisk.map -Wl,-z,relro,-z,now \
		-Wl,-z,defs -o $@ $(filter %.o,$^) $(disk_libs)

# Tests. The crash and corruption tests and the fuzzer have a simulated disk in place of file.o, ring.o and helper.o.
disk_fake_objs := $(filter-out disk/file.o disk/ring.o disk/helper.o,$(disk_objs)) tests/unit/disk_fake.o

disk_tests := tests/unit/disk_crash_test.c tests/unit/disk_corrupt_test.c tests/unit/disk_random_test.c \
	tests/unit/disk_ring_test.c tests/unit/disk_file_test.c tests/unit/disk_space_test.c tests/unit/disk_nbd_test.c \
	tests/unit/attach_test.c
disk_crash_test_objs := $(disk_fake_objs) tests/unit/disk_tasks.o
disk_crash_test_libs := $(foreach f,mutex_lock rwlock_rdlock rwlock_wrlock,-Wl,--wrap=pthread_$(f)) -Wl,--wrap=usleep
disk_corrupt_test_objs := $(disk_fake_objs)
disk_space_test_objs := $(disk_fake_objs)
disk_random_test_objs := $(disk_objs)
disk_random_test_libs := $(disk_libs)
disk_file_test_objs := $(disk_objs)
disk_file_test_libs := $(disk_libs)
disk_ring_test_objs := $(disk_objs)
disk_ring_test_libs := $(disk_libs)
attach_test_objs := disk/tool/attach.o
attach_test_libs := -Wl,--wrap=poll
disk_nbd_test_objs := $(disk_objs)
disk_nbd_test_libs := $(disk_libs) -Wl,--wrap=aligned_alloc,--wrap=free

disk_fuzzers := tests/fuzz/disk_open_fuzz.c
disk_open_fuzz_objs := $(disk_fake_objs)

# Slow, a part of `make soak`: more seeds of the power-cut test, and more orders.
.PHONY: disk-soak
disk-soak: build/san/tests/unit/disk_crash_test
	$< 20 2
