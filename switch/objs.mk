# The virtual switch: the ring that it shares with workers, the core without I/O, the process vswitchd.
switch_ring_objs := switch/ring.o

switch_tests := tests/unit/switch_ring_test.c
switch_ring_test_objs := $(switch_ring_objs)
