# What a host has beside the programs, and how all of it is installed, or becomes Debian packages.
VERSION ?= $(shell sed -n '1s/.*(\(.*\)).*/\1/p' debian/changelog)
PREFIX  ?= /usr/local
LIBDIR  ?= $(PREFIX)/lib
put_in  := DESTDIR='$(DESTDIR)' PREFIX='$(PREFIX)' LIBDIR='$(LIBDIR)' VERSION='$(VERSION)' tools/install

# Some have the version or a folder in them, so they are made anew each time.
.PHONY: host-files install install-disk deb
host_filled := build/host/dkms.conf build/host/vdisk.pc
host_boot   := $(addprefix build/host/,hvloader.elf hv-svm.elf hv-vmx.elf)
# A manual page of what each says of itself (tools/man).
host_man1 := $(addprefix build/host/man1/,vm.1 vmctl.1 vmbalance.1 vswitch.1 vnat.1 vmwp.1)
host_man8 := $(addprefix build/host/man8/,vmms.8 vlibvirtd.8 vswitchd.8 vweb.8)
host-files: build/host/vm.bash build/host/vm.zsh build/host/vm.fish build/host/Kbuild $(host_filled) $(host_boot) $(host_man1) $(host_man8)
.PHONY: $(host_filled)
$(host_filled): build/host/%: host/%
	@mkdir -p $(@D)
	$(Q)sed 's#@VERSION@#$(VERSION)#; s#@PREFIX@#$(PREFIX)#; s#@LIBDIR@#$(LIBDIR)#' $< >$@
build/host/vm.%: build/cli/vm
	@mkdir -p $(@D)
	$(Q)$< completion $* >$@
# What GRUB loads, without what debuggers want.
build/host/hvloader.elf: build/loader/hvloader.elf
build/host/hv-svm.elf: build/hypervisor/hv-svm.elf
build/host/hv-vmx.elf: build/hypervisor/hv-vmx.elf
$(host_boot):
	@mkdir -p $(@D)
	$(Q)strip -o $@ $<
define man_rule
build/host/man$(1)/$(notdir $(2)).$(1): $(2) tools/man
	@mkdir -p $$(@D)
	$$(Q)tools/man $$< >$$@
endef
$(foreach p,cli/vm cli/vmctl cli/vmbalance cli/vswitch switch/vnat worker/vmwp,$(eval $(call man_rule,1,build/$(p))))
$(foreach p,service/vmms libvirt/vlibvirtd switch/vswitchd web/vweb,$(eval $(call man_rule,8,build/$(p))))
# As tools/kmod.mk has it, in folders of its own.
build/host/Kbuild: root/objs.mk host/objs.mk
	@mkdir -p $(@D)
	$(Q)printf '%s\n' 'obj-m := $(root_module).o' '$(root_module)-y := $(root_objs)' 'ccflags-y := -I$$(src)/include -I$$(src)' >$@

# Below DESTDIR. The module's sources are for DKMS: dkms install verdigris/VERSION.
install: all host-files
	$(call say,INSTALL,$(DESTDIR)$(PREFIX))
	$(Q)$(put_in)

# For programs of others: the library of disks, its header and its tool.
install-disk: build/disk/vhd build/disk/libvdisk.so build/host/vdisk.pc
	$(call say,INSTALL,$(DESTDIR)$(PREFIX))
	$(Q)$(put_in) libvdisk0 libvdisk-dev vhd

# Debian packages, in build/deb. VERSION=... makes them of another version, as a test of upgrades wants them.
deb: all
	@tools/deb $(VERSION)
