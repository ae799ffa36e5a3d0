# The freestanding programs name the objects that they take; this is the part that is tested by itself.
lib_tests := tests/unit/state_test.c
state_test_objs := lib/state.o
lib_fuzzers := tests/fuzz/state_fuzz.c
state_fuzz_objs := lib/state.o
