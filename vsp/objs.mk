# The virtualization service providers: what is behind the guest's synthetic devices.
vsp_scsi_objs := lib/state.o $(addprefix vsp/storage/,scsi_bus.o scsi_unit.o scsi_result.o scsi_table.o scsi_inquiry.o scsi_mode.o scsi_rw.o \
	scsi_provision.o scsi_reserve.o scsi_dvd.o scsi_dvd_config.o scsi_state.o)
vsp_thread_objs := vsp/device.o vsp/channel.o vsp/place.o
vsp_storage_objs := $(vsp_thread_objs) $(vsp_scsi_objs) $(addprefix vsp/storage/,storage.o port.o storvsp.o storvsp_queue.o storvsp_state.o)
vsp_network_objs := $(vsp_thread_objs) $(addprefix vsp/network/,network.o nvsp.o rndis.o oid.o parts.o transmit.o receive.o queue.o netvsp_state.o netport.o cable.o)
vsp_integration_objs := $(addprefix vsp/integration/,integration.o ic.o shutdown.o heartbeat.o timesync.o kvp.o address.o vss.o fcopy.o state.o)
vsp_socket_objs := vsp/place.o $(addprefix vsp/socket/,sockets.o relay.o connect.o stream.o)
vsp_memory_objs := $(vsp_thread_objs) vsp/memory/balloon.o
vsp_pci_objs := $(vsp_thread_objs) $(addprefix vsp/pci/,vpci.o space.o msi.o)
vsp_input_objs := $(vsp_thread_objs) lib/state.o $(addprefix vsp/input/,input.o keyboard.o mouse.o)
vsp_video_objs := $(vsp_thread_objs) $(addprefix vsp/video/,video.o edid.o)
vsp_objs := $(sort $(vsp_storage_objs) $(vsp_network_objs) $(vsp_memory_objs) $(vsp_integration_objs) $(vsp_socket_objs) $(vsp_pci_objs) $(vsp_input_objs) $(vsp_video_objs))

# The tests of the target have the disk library with its simulated host below them; disk/objs.mk is read later.
vsp_scsi_test_objs = $(vsp_scsi_objs) $(disk_fake_objs) tests/fake/scsi.o
vsp_scsi_tests := scsi_rw_test scsi_provision_test scsi_dvd_test scsi_reserve_test scsi_unit_test
vsp_tests := $(vsp_scsi_tests:%=tests/unit/%.c) tests/unit/storvsp_test.c tests/unit/vsp_channel_test.c tests/unit/vsp_device_test.c tests/unit/place_test.c
place_test_objs := vsp/place.o
place_test_libs := -Wl,--wrap=sched_setscheduler
$(foreach t,$(vsp_scsi_tests),$(eval $(t)_objs = $$(vsp_scsi_test_objs)))

# The VSP's has the whole of it, from a fake guest to a file.
storvsp_test_objs = $(vsp_storage_objs) $(vmbus_objs) $(disk_objs) tests/fake/vmbus_guest.o
storvsp_test_libs = $(disk_libs)

vsp_tests += tests/unit/storage_port_test.c
storage_port_test_objs = $(vsp_storage_objs) $(vmbus_objs) $(disk_objs) tests/fake/vmbus_guest.o
storage_port_test_libs = $(disk_libs)

# The other end of the port is the test, with the switch's rings.
vsp_tests += tests/unit/netvsp_test.c tests/unit/netport_test.c tests/unit/cable_test.c
cable_test_objs = vsp/network/cable.o $(switch_ring_objs)
netport_test_objs = vsp/network/netport.o hosted/listen.o hosted/packet.o hosted/say.o $(switch_core_objs) $(switch_ring_objs) $(switch_guest_objs)
netvsp_fuzz_objs = $(filter-out vsp/channel.o vsp/network/netport.o,$(vsp_network_objs)) $(switch_ring_objs) lib/state.o
netvsp_test_objs = $(vsp_network_objs) hosted/listen.o hosted/packet.o $(switch_ring_objs) $(vmbus_objs) tests/fake/vmbus_guest.o

vsp_channel_test_objs = vsp/channel.o vsp/place.o $(vmbus_objs) tests/fake/vmbus_guest.o
vsp_device_test_objs = vsp/device.o $(vsp_channel_test_objs)
vsp_device_test_libs = -Wl,--wrap=channel_starts_paused

vsp_tests += tests/unit/integration_test.c
integration_test_objs = $(vsp_integration_objs) disk/bytes.o lib/state.o $(vmbus_objs) tests/fake/vmbus_guest.o tests/fake/integration_host.o

vsp_tests += tests/unit/socket_test.c
socket_test_objs = $(vsp_socket_objs) hosted/packet.o hosted/listen.o disk/bytes.o $(vmbus_objs) tests/fake/vmbus_guest.o

vsp_tests += tests/unit/balloon_test.c
balloon_test_objs = $(vsp_memory_objs) $(vmbus_objs) tests/fake/vmbus_guest.o

vsp_tests += tests/unit/input_test.c
input_test_objs = $(vsp_input_objs) $(vmbus_objs) tests/fake/vmbus_guest.o

vsp_tests += tests/unit/vpci_test.c
vpci_test_objs = $(vsp_pci_objs) $(vmbus_objs) tests/fake/vmbus_guest.o tests/fake/vpci_function.o

vsp_tests += tests/unit/video_test.c
video_test_objs = $(vsp_video_objs) lib/state.o $(vmbus_objs) tests/fake/vmbus_guest.o

vsp_fuzzers := tests/fuzz/scsi_fuzz.c tests/fuzz/storvsp_fuzz.c tests/fuzz/netvsp_fuzz.c tests/fuzz/ic_fuzz.c tests/fuzz/socket_fuzz.c tests/fuzz/balloon_fuzz.c tests/fuzz/vpci_fuzz.c tests/fuzz/input_fuzz.c tests/fuzz/video_fuzz.c
input_fuzz_objs = vsp/input/input.o vsp/input/keyboard.o vsp/input/mouse.o lib/state.o tests/fake/lone_device.o
video_fuzz_objs = vsp/video/video.o vsp/video/edid.o lib/state.o tests/fake/lone_device.o
vpci_fuzz_objs = vsp/pci/vpci.o vsp/pci/space.o vsp/pci/msi.o tests/fake/vpci_function.o tests/fake/lone_device.o
balloon_fuzz_objs = vsp/memory/balloon.o lib/state.o tests/fake/lone_device.o
socket_fuzz_objs = $(vsp_socket_objs) hosted/packet.o disk/bytes.o lib/state.o
scsi_fuzz_objs = $(vsp_scsi_objs) $(disk_fake_objs)
storvsp_fuzz_objs = vsp/storage/storvsp.o vsp/storage/storvsp_state.o $(vsp_scsi_objs) $(disk_fake_objs)
ic_fuzz_objs = $(vsp_integration_objs) disk/bytes.o lib/state.o tests/fake/integration_host.o
