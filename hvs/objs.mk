# Hyper-V's storage files (.vmrs, .vmcx), for programs with a C library.
hvs_objs := $(addprefix hvs/,checksum.o pack.o read.o write.o)
hvs_libs := -lz

hvs_tests := tests/unit/hvs_test.c
hvs_test_objs := $(hvs_objs)
hvs_test_libs := $(hvs_libs)
hvs_fuzzers := tests/fuzz/hvs_fuzz.c
hvs_fuzz_objs := $(hvs_objs)
hvs_fuzz_libs := $(hvs_libs)
