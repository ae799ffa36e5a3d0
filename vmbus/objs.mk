vmbus_objs := vmbus/server.o vmbus/queue.o vmbus/control.o vmbus/offer.o vmbus/channel.o vmbus/gpadl.o vmbus/half.o vmbus/packet.o \
	vmbus/monitor.o vmbus/signal.o vmbus/state.o lib/state.o

vmbus_tests := tests/unit/vmbus_control_test.c tests/unit/vmbus_ring_test.c tests/unit/vmbus_packet_test.c \
	tests/unit/vmbus_state_test.c
vmbus_fake := tests/fake/vmbus_guest.o tests/fake/vmbus_device.o
vmbus_control_test_objs := $(vmbus_objs) $(vmbus_fake)
vmbus_ring_test_objs := vmbus/half.o
vmbus_packet_test_objs := $(vmbus_objs) $(vmbus_fake)

vmbus_state_test_objs := $(vmbus_objs) $(vmbus_fake)

vmbus_fuzzers := tests/fuzz/vmbus_control_fuzz.c tests/fuzz/vmbus_ring_fuzz.c tests/fuzz/vmbus_state_fuzz.c
vmbus_control_fuzz_objs := $(vmbus_objs) $(vmbus_fake)
vmbus_ring_fuzz_objs := $(vmbus_objs) $(vmbus_fake)
vmbus_state_fuzz_objs := $(vmbus_objs) $(vmbus_fake)
