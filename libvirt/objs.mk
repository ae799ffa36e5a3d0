# libvirt's clients on the management service.
libvirt_parts := $(addprefix libvirt/,wire.o session.o calls.o events.o define.o stats.o networks.o snapshots.o screen.o storage.o xml.o xml_read.o)
libvirt_objs := libvirt/main.o $(libvirt_parts) $(disk_objs) $(addprefix hosted/,http.o listen.o manager.o say.o)

libvirt_products := build/libvirt/vlibvirtd
build/libvirt/vlibvirtd: $(call user,$(libvirt_objs))
	$(call link_user,-ljansson -lcurl -lxml2 $(disk_libs))

libvirt_fuzzers := $(addprefix tests/fuzz/,libvirt_fuzz.c libvirt_xml_fuzz.c)
libvirt_fuzz_objs := $(libvirt_parts) $(disk_objs)
libvirt_fuzz_libs := -ljansson -lxml2 $(disk_libs)
libvirt_xml_fuzz_objs := $(addprefix libvirt/,xml.o xml_read.o) disk/bytes.o
libvirt_xml_fuzz_libs := -ljansson -lxml2

user_flags_libvirt := -isystem /usr/include/libxml2
san_flags_libvirt := $(user_flags_libvirt)
