# libvirt's clients on the management service.
libvirt_objs := $(addprefix libvirt/,main.o wire.o calls.o xml.o) disk/bytes.o $(addprefix hosted/,http.o listen.o manager.o say.o)

libvirt_products := build/libvirt/vlibvirtd
build/libvirt/vlibvirtd: $(call user,$(libvirt_objs))
	$(call link_user,-ljansson -lcurl)

libvirt_fuzzers := tests/fuzz/libvirt_fuzz.c
libvirt_fuzz_objs := $(addprefix libvirt/,wire.o calls.o xml.o) disk/bytes.o
libvirt_fuzz_libs := -ljansson
