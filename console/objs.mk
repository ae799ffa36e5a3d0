# vmvnc and vmrdp show a machine to viewers that speak VNC and RDP.
console_products := build/console/vmvnc build/console/vmrdp
console_common := console/main.o console/seat.o console/frame.o console/screen.o console/keys.o console/sandbox.o \
	hosted/sandbox.o hosted/filter.o hosted/packet.o hosted/say.o
console_objs := $(console_common) console/vnc.o console/extended.o
build/console/vmvnc: $(call user,$(console_objs))
	$(call link_user,-lvncserver -lseccomp)

user_flags_console := -isystem /usr/include/freerdp2 -isystem /usr/include/winpr2
console_rdp_objs := $(console_common) console/rdp.o console/rdp_input.o console/rdp_picture.o
build/console/vmrdp: $(call user,$(console_rdp_objs))
	$(call link_user,-lfreerdp2 -lwinpr2 -lseccomp)

console_tests := tests/unit/console_frame_test.c tests/unit/console_keys_test.c
console_frame_test_objs := console/frame.o console/screen.o
console_keys_test_objs := console/keys.o
console_fuzzers := tests/fuzz/console_frame_fuzz.c
console_frame_fuzz_objs := console/frame.o console/screen.o
