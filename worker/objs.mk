worker_objs := worker/main.o worker/config.o worker/say.o worker/machine.o worker/memory.o worker/host.o worker/vp.o \
	worker/intercept.o worker/emulate.o worker/emulate_string.o worker/operand.o worker/insn.o worker/alu.o \
	worker/loader.o worker/linux_boot.o worker/multiboot.o worker/initrd.o worker/serial.o worker/loop.o \
	worker/sandbox.o

worker_products := build/worker/vmwp
build/worker/vmwp: $(call user,$(worker_objs) $(devices_objs) $(backend_root_objs))
	$(call link_user,-lZydis -lseccomp)

worker_tests := tests/unit/alu_test.c tests/unit/emulate_test.c
worker_emulator := worker/emulate.o worker/emulate_string.o worker/operand.o worker/insn.o worker/alu.o
alu_test_objs := worker/alu.o
emulate_test_objs := $(worker_emulator) worker/memory.o $(devices_objs) $(devices_fake) tests/fake/backend.o tests/fake/native.o
emulate_test_libs := -lZydis
