devices_objs := devices/board.o devices/bus.o devices/irq.o devices/pic.o devices/ioapic.o devices/pit.o devices/rtc.o \
	devices/uart.o devices/pci.o devices/pci_msi.o devices/host_bridge.o devices/piix4.o devices/ide.o devices/ide_ata.o devices/ide_atapi.o devices/ide_dma.o devices/ide_identify.o devices/ide_state.o devices/vga.o devices/fw_cfg.o devices/flash.o devices/tpm_crb.o devices/virtio_scsi.o devices/tulip.o devices/tulip_ring.o devices/tulip_wire.o devices/dma.o devices/sb16.o devices/sound.o devices/hda.o devices/hda_codec.o devices/usb.o devices/usb_tablet.o devices/usb_storage.o devices/xhci.o devices/xhci_event.o devices/xhci_transfer.o devices/xhci_command.o devices/xhci_state.o devices/i8042.o devices/scancode.o devices/debugcon.o devices/acpi_pm.o devices/reset.o devices/acpi_tables.o devices/smbios.o devices/dsdt.o \
	lib/state.o

# 6033: the name by which VMBus is known is shorter than other names are.
build/devices/dsdt.aml build/devices/dsdt_bios.aml build/devices/dsdt_uefi.aml: devices/dsdt.asl
	@mkdir -p $(@D)
	$(call say,IASL,$@)
	$(Q)iasl -ve -vw 6033 $(if $(findstring bios,$@),-D FIRMWARE -D BIOS) $(if $(findstring uefi,$@),-D FIRMWARE -D UEFI) -p $(basename $@) $< >$(basename $@).log 2>&1 || { cat $(basename $@).log; exit 1; }
build/user/devices/dsdt.o build/san/devices/dsdt.o: build/devices/dsdt.aml build/devices/dsdt_bios.aml build/devices/dsdt_uefi.aml

devices_tests := tests/unit/devices_bus_test.c tests/unit/pci_test.c tests/unit/piix4_test.c tests/unit/ide_test.c tests/unit/tulip_test.c tests/unit/vga_test.c tests/unit/fw_cfg_test.c tests/unit/flash_test.c tests/unit/tpm_crb_test.c tests/unit/virtio_scsi_test.c tests/unit/i8042_test.c tests/unit/sb16_test.c tests/unit/hda_test.c tests/unit/xhci_test.c tests/unit/board_state_test.c tests/unit/pic_test.c tests/unit/ioapic_test.c tests/unit/pit_test.c tests/unit/rtc_test.c \
	tests/unit/uart_test.c tests/unit/board_test.c tests/unit/acpi_tables_test.c tests/unit/smbios_test.c
devices_fake := tests/fake/board.o tests/fake/host.o
devices_bus_test_objs := $(devices_objs) $(devices_fake)
pci_test_objs := $(devices_objs) $(devices_fake) tests/fake/pci_card.o
pic_test_objs := $(devices_objs) $(devices_fake)
ioapic_test_objs := $(devices_objs) $(devices_fake)
pit_test_objs := $(devices_objs) $(devices_fake)
rtc_test_objs := $(devices_objs) $(devices_fake)
uart_test_objs := $(devices_objs) $(devices_fake)
board_state_test_objs := $(devices_objs) $(devices_fake) tests/fake/pci_card.o tests/fake/board_pair.o
piix4_test_objs := $(devices_objs) $(devices_fake) tests/fake/pci_card.o
vga_test_objs := $(devices_objs) $(devices_fake) console/screen.o
ide_test_objs := $(devices_objs) $(devices_fake)
tulip_test_objs := $(devices_objs) $(devices_fake)
i8042_test_objs := $(devices_objs) $(devices_fake)
hda_test_objs := $(devices_objs) $(devices_fake)
xhci_test_objs := $(devices_objs) $(devices_fake)
sb16_test_objs := $(devices_objs) $(devices_fake)
virtio_scsi_test_objs := $(devices_objs) $(devices_fake)
flash_test_objs := $(devices_objs) $(devices_fake)
tpm_crb_test_objs := $(devices_objs) $(devices_fake)
fw_cfg_test_objs := $(devices_objs) $(devices_fake)
board_test_objs := $(devices_objs) $(devices_fake)
acpi_tables_test_objs := $(devices_objs) $(devices_fake)
smbios_test_objs := $(devices_objs) $(devices_fake)

devices_fuzzers := tests/fuzz/board_load_fuzz.c tests/fuzz/ide_fuzz.c tests/fuzz/vga_fuzz.c tests/fuzz/flash_fuzz.c tests/fuzz/tpm_crb_fuzz.c tests/fuzz/virtio_scsi_fuzz.c tests/fuzz/tulip_fuzz.c tests/fuzz/sb16_fuzz.c tests/fuzz/hda_fuzz.c tests/fuzz/xhci_fuzz.c
xhci_fuzz_objs := $(devices_objs) $(devices_fake) tests/fake/pci_card.o tests/fake/board_pair.o
hda_fuzz_objs := $(devices_objs) $(devices_fake) tests/fake/pci_card.o tests/fake/board_pair.o
sb16_fuzz_objs := $(devices_objs) $(devices_fake) tests/fake/pci_card.o tests/fake/board_pair.o
tulip_fuzz_objs := $(devices_objs) $(devices_fake) tests/fake/pci_card.o tests/fake/board_pair.o
virtio_scsi_fuzz_objs := $(devices_objs) $(devices_fake) tests/fake/pci_card.o tests/fake/board_pair.o
tpm_crb_fuzz_objs := $(devices_objs) $(devices_fake) tests/fake/pci_card.o tests/fake/board_pair.o
flash_fuzz_objs := $(devices_objs) $(devices_fake) tests/fake/pci_card.o tests/fake/board_pair.o
vga_fuzz_objs := $(devices_objs) $(devices_fake) tests/fake/pci_card.o tests/fake/board_pair.o console/screen.o
ide_fuzz_objs := $(devices_objs) $(devices_fake) tests/fake/pci_card.o tests/fake/board_pair.o
board_load_fuzz_objs := $(devices_objs) $(devices_fake) tests/fake/pci_card.o tests/fake/board_pair.o
