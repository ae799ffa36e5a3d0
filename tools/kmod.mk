# The kernel module of root/, built once for each set of kernel headers that is on this machine: Debian's installed
# ones, and those that tools/kernels fetched into build/cache/headers. Kbuild before 6.13 writes beside the
# sources, so each version is built in a folder of its own, of links to the sources.
#
# A folder with a module sets   FOLDER_module := NAME   and   FOLDER_objs := FOLDER/main.o ...   (slashes of FOLDER as _).
# The result is build/FOLDER/VERSION/NAME.ko.

kmod_folders := root tests/kmod
kmod_headers := $(wildcard /lib/modules/*/build build/cache/headers/*/lib/modules/*/build)
kmod_version  = $(notdir $(patsubst %/build,%,$(1)))
kmod_name     = $($(subst /,_,$(1))_module)
kmod_objects  = $(notdir $($(subst /,_,$(1))_objs))
kmod_file     = build/$(1)/$(call kmod_version,$(2))/$(call kmod_name,$(1)).ko
kmod_abi     := $(shell [ -d include ] && find include -name '*.h')

# $(1) folder, $(2) headers. A module of one object of its own name has no list of objects.
define kmod_rule
$(call kmod_file,$(1),$(2)): $(wildcard $(1)/*.[ch] $(1)/*.S $(1)/objs.mk) $(kmod_abi) tools/kmod.mk tools/kmod-make
	@mkdir -p $$(@D)
	$$(call say,KMOD,$$@)
	$(Q)rm -f $$(@D)/*.[chS] $$(@D)/Kbuild && ln -s $(addprefix $(CURDIR)/,$(wildcard $(1)/*.[ch] $(1)/*.S)) $$(@D)/
	$(Q)printf '%s\n' 'obj-m := $(call kmod_name,$(1)).o' \
		$(if $(filter $(call kmod_name,$(1)).o,$(call kmod_objects,$(1))),,'$(call kmod_name,$(1))-y := $(call kmod_objects,$(1))') \
		'ccflags-y := -I$(CURDIR)/include -I$(CURDIR) -Werror' > $$(@D)/Kbuild
	$(Q)tools/kmod-make $(abspath $(2)) $(CURDIR)/$$(@D) > $$(@D)/log 2>&1 || { cat $$(@D)/log; exit 1; }
endef

kmod_products :=
define kmod_each
$(call kmod_rule,$(1),$(2))
kmod_products += $(call kmod_file,$(1),$(2))
endef
$(foreach f,$(kmod_folders),$(if $(call kmod_name,$(f)),$(foreach h,$(kmod_headers),$(eval $(call kmod_each,$(f),$(h))))))
