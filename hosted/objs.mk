# Each program names the objects that it takes.
hosted_tests := tests/unit/listen_test.c
listen_test_objs := hosted/listen.o worker/say.o
