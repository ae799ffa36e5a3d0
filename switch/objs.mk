# The virtual switch: the ring that it shares with workers, the core without I/O, the process vswitchd.
switch_ring_objs := switch/ring.o
switch_core_objs := $(addprefix switch/,switch.o forward.o frame.o offload.o station.o vlan.o guard.o acl.o flow.o snoop.o drop.o)

switch_fake := tests/fake/edge.o tests/fake/packet.o
switch_tests := $(addprefix tests/unit/switch_,ring_test.c offload_test.c policy_test.c station_test.c)
switch_ring_test_objs := $(switch_ring_objs)
switch_offload_test_objs := switch/frame.o switch/offload.o tests/fake/packet.o
switch_policy_test_objs := $(switch_core_objs) $(switch_fake)
switch_station_test_objs := switch/station.o

switch_fuzzers := tests/fuzz/switch_fuzz.c
switch_fuzz_objs := $(switch_core_objs) $(switch_fake)
