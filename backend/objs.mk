# The home that drives the root module's device. A program takes one home.
backend_root_objs := backend/root.o backend/root_message.o backend/root_registers.o \
	backend/root_state.o backend/root_synic.o backend/processor.o lib/state.o
backend_objs := $(backend_root_objs)

backend_tests := tests/unit/root_message_test.c
root_message_test_objs := backend/root_message.o backend/root_registers.o
backend_tests += tests/unit/root_state_test.c
root_state_test_objs := backend/root_state.o backend/root_message.o backend/root_registers.o lib/state.o
