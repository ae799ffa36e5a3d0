# Each program names the objects that it takes.
hosted_tests := tests/unit/listen_test.c tests/unit/packet_test.c
listen_test_objs := hosted/listen.o hosted/say.o
packet_test_objs := hosted/packet.o hosted/say.o
