# The virtual switch: the ring that it shares with workers, the core without I/O, the process vswitchd.
switch_ring_objs := switch/ring.o
switch_core_objs := $(addprefix switch/,switch.o forward.o frame.o offload.o station.o vlan.o guard.o addresses.o acl.o flow.o snoop.o drop.o extend.o team.o)
switch_guest_objs := switch/guest.o switch/hash.o

vswitchd_objs := $(switch_core_objs) $(switch_ring_objs) $(switch_guest_objs) $(addprefix switch/,main.o loop.o plug.o kernel.o control.o methods.o settings.o sandbox.o) $(hosted_rpc) hosted/manager.o hosted/sandbox.o hosted/filter.o hosted/say.o

switch_products := build/switch/vswitchd build/switch/vnat
build/switch/vswitchd: $(call user,$(vswitchd_objs))
	$(call link_user,-ljansson -lseccomp)

build/switch/vnat: $(call user,switch/nat.o hosted/sandbox.o hosted/filter.o hosted/say.o)
	$(call link_user,-lslirp -lseccomp)

switch_fake := tests/fake/edge.o tests/fake/packet.o
switch_tests := $(addprefix tests/unit/switch_,ring_test.c offload_test.c policy_test.c station_test.c guest_test.c hash_test.c extend_test.c)
switch_ring_test_objs := $(switch_ring_objs)
switch_offload_test_objs := switch/frame.o switch/offload.o tests/fake/packet.o
switch_policy_test_objs := $(switch_core_objs) $(switch_fake)
switch_extend_test_objs := $(switch_core_objs) $(switch_fake)
switch_station_test_objs := switch/station.o
switch_guest_test_objs := $(switch_core_objs) $(switch_ring_objs) $(switch_guest_objs) tests/fake/packet.o
switch_hash_test_objs := switch/hash.o switch/frame.o tests/fake/packet.o

switch_fuzzers := $(addprefix tests/fuzz/switch_,fuzz.c guest_fuzz.c methods_fuzz.c)
switch_methods_fuzz_objs := $(switch_core_objs) $(switch_ring_objs) $(switch_guest_objs) $(addprefix switch/,plug.o kernel.o methods.o settings.o) hosted/packet.o hosted/form.o hosted/rpc.o
switch_methods_fuzz_libs := -ljansson
switch_guest_fuzz_objs := $(switch_core_objs) $(switch_ring_objs) $(switch_guest_objs)
switch_fuzz_objs := $(switch_core_objs) $(switch_fake)

# Its extensions, each a shared object that needs nothing of it.
switch_extensions := $(addprefix build/switch/,capture.so filter.so forward.so)
switch_products += $(switch_extensions)
build/user/switch/extensions/%.o: user_flags += -fPIC
$(switch_extensions): build/switch/%.so: build/user/switch/extensions/%.o
	$(call say,LINK,$@)
	$(Q)$(CC) -shared -Wl,-z,relro,-z,now -Wl,-z,defs -o $@ $^

# A worker with no guest, for tests of the whole.
switch_products += build/tests/switch/worker
build/tests/switch/worker: $(call user,tests/switch/worker.o $(switch_ring_objs) hosted/listen.o hosted/packet.o hosted/say.o)
	$(call link_user,)

switch_products += build/tests/bench/switch
build/tests/bench/switch: $(call user,tests/bench/switch.o $(switch_core_objs) $(switch_ring_objs) $(switch_guest_objs))
	$(call link_user,)
