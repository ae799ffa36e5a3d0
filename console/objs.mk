# vmvnc shows a machine to viewers that speak VNC.
console_products := build/console/vmvnc
console_objs := console/main.o console/viewer.o console/frame.o console/screen.o console/keys.o console/extended.o console/sandbox.o \
	hosted/sandbox.o hosted/filter.o hosted/packet.o hosted/say.o
build/console/vmvnc: $(call user,$(console_objs))
	$(call link_user,-lvncserver -lseccomp)

console_tests := tests/unit/console_frame_test.c tests/unit/console_keys_test.c
console_frame_test_objs := console/frame.o console/screen.o
console_keys_test_objs := console/keys.o
console_fuzzers := tests/fuzz/console_frame_fuzz.c
console_frame_fuzz_objs := console/frame.o console/screen.o
