devices_objs := devices/board.o devices/bus.o devices/irq.o devices/pic.o devices/ioapic.o devices/pit.o devices/rtc.o \
	devices/uart.o devices/pci.o devices/acpi_pm.o devices/reset.o devices/acpi_tables.o devices/dsdt.o

build/devices/dsdt.aml: devices/dsdt.asl
	@mkdir -p $(@D)
	$(call say,IASL,$@)
	$(Q)iasl -ve -p $(basename $@) $< >$(basename $@).log 2>&1 || { cat $(basename $@).log; exit 1; }
build/user/devices/dsdt.o build/san/devices/dsdt.o build/fuzz/devices/dsdt.o: build/devices/dsdt.aml
