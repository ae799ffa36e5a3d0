# Each program names the objects that it takes.
hosted_rpc := $(addprefix hosted/,listen.o packet.o form.o rpc.o)

hosted_tests := $(addprefix tests/unit/,listen_test.c manager_test.c packet_test.c rpc_test.c vf_test.c)
listen_test_objs := hosted/listen.o hosted/say.o
manager_test_objs := hosted/manager.o hosted/listen.o hosted/say.o
packet_test_objs := hosted/packet.o hosted/say.o
rpc_test_objs := $(hosted_rpc) hosted/say.o
rpc_test_libs := -ljansson
vf_test_objs := hosted/vf.o hosted/pci.o hosted/say.o
