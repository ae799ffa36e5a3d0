# The kernel module of root/, built once for each set of kernel headers that is on this machine: Debian's installed
# ones, and those that tools/kernels fetched into build/cache/headers. Kbuild before 6.13 writes beside the
# sources, so each version is built in a folder of its own, of links to the sources.
#
# root/objs.mk sets   root_module := NAME     and   root_objs := root/main.o ...
# The result is build/root/VERSION/NAME.ko.

kmod_headers := $(wildcard /lib/modules/*/build build/cache/headers/*/lib/modules/*/build)
kmod_version  = $(notdir $(patsubst %/build,%,$(1)))
kmod_sources := $(wildcard root/*.[ch] root/*.S) $(shell [ -d include ] && find include -name '*.h')

define kmod_rule
build/root/$(call kmod_version,$(1))/$(root_module).ko: $(kmod_sources) root/objs.mk tools/kmod.mk
	@mkdir -p $$(@D)
	$$(call say,KMOD,$$@)
	$(Q)rm -f $$(@D)/*.[chS] $$(@D)/Kbuild && ln -s $(CURDIR)/root/*.[ch] $$(wildcard $(CURDIR)/root/*.S) $$(@D)/
	$(Q)printf '%s\n' 'obj-m := $(root_module).o' \
		$(if $(filter $(root_module).o,$(notdir $(root_objs))),,'$(root_module)-y := $(notdir $(root_objs))') \
		'ccflags-y := -I$(CURDIR)/include -I$(CURDIR) -Werror $(root_cflags)' > $$(@D)/Kbuild
	$(Q)tools/kmod-make $(abspath $(1)) $(CURDIR)/$$(@D) > $$(@D)/log 2>&1 || { cat $$(@D)/log; exit 1; }
endef

kmod_products :=
ifneq ($(root_module),)
$(foreach h,$(kmod_headers),$(eval $(call kmod_rule,$(h))))
kmod_products := $(foreach h,$(kmod_headers),build/root/$(call kmod_version,$(h))/$(root_module).ko)
endif
