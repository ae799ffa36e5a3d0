# The management service.
service_objs = $(addprefix service/,main.o loop.o refusal.o events.o link.o console.o display.o settings.o judge.o store.o start.o machine.o job.o action.o checkpoint.o tree.o relocate.o firmware_files.o change.o difference.o storage.o offer.o move.o arrival.o luggage.o shared.o files.o file_process.o addresses.o devices.o functions.o metrics.o tool.o switches.o helper.o who.o http.o api.o openapi.o) \
	$(addprefix hosted/,available.o owner.o listen.o manager.o packet.o pci.o vf.o form.o say.o) $(disk_objs)

service_products := build/service/vmms
build/user/service/openapi.o build/san/service/openapi.o: include/mgmt/openapi.json
build/service/vmms: $(call user,$(service_objs))
	$(call link_user,-ljansson -lmicrohttpd $(disk_libs))

service_fuzzers := tests/fuzz/service_fuzz.c tests/fuzz/difference_fuzz.c tests/fuzz/checkpoint_fuzz.c tests/fuzz/offer_fuzz.c
offer_fuzz_objs := $(addprefix service/,settings.o offer.o refusal.o) hosted/form.o hosted/say.o
offer_fuzz_libs := -ljansson
service_fuzz_objs := $(addprefix service/,settings.o refusal.o) hosted/form.o hosted/say.o
service_fuzz_libs := -ljansson
difference_fuzz_objs := service/difference.o hosted/say.o
difference_fuzz_libs := -ljansson
checkpoint_fuzz_objs = $(filter-out service/main.o,$(service_objs))
checkpoint_fuzz_libs := -ljansson -lmicrohttpd $(disk_libs)

# For tests/service/run: a disk and a directory that do not answer.
service_products += build/tests/service/hold.so
build/tests/service/hold.so: build/user/tests/service/hold.o
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(CC) -shared -Wl,-z,relro,-z,now -o $@ $^
