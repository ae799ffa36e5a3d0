# How an object of each kind is made, and a unit test and a fuzzer from them. See the head of the Makefile.

CC     := gcc
CLANG  := clang-14
LD     := ld
Q      := $(if $(V),,@)
say     = $(if $(V),,@printf '  %-7s %s\n' $(1) $(2))

includes := -I. -Iinclude
warnings := -Wall -Wextra -Werror -Wmissing-prototypes -Wshadow
cwarnings := $(warnings) -Wstrict-prototypes
common   := -std=gnu11 -O2 -g -fno-strict-aliasing -fno-common -ffunction-sections -fdata-sections $(includes) -MMD -MP
bare     := -ffreestanding -fno-pic -fno-pie -fno-stack-protector -fno-asynchronous-unwind-tables -fcf-protection=none

# -fno-omit-frame-pointer: the backtrace of a hypervisor fault walks frames.
# Indirect branches are retpolines, and nothing behind a return or jump is executed ahead: a guest may have trained the predictors.
image_flags  := $(common) $(cwarnings) $(bare) -mindirect-branch=thunk -mindirect-branch-register -fno-jump-tables -mharden-sls=all \
	-mno-red-zone -mgeneral-regs-only -mcmodel=kernel -fno-omit-frame-pointer \
	-fno-optimize-sibling-calls
boot32_flags := $(common) $(cwarnings) $(bare) -m32 -march=i686 -mgeneral-regs-only
user_flags   := $(common) $(cwarnings) -D_GNU_SOURCE -fstack-protector-strong -D_FORTIFY_SOURCE=2 -fPIE -pthread -fno-asynchronous-unwind-tables
# One kind for unit tests and fuzzers, so that most objects are compiled once. What clang warns of beside gcc, which has seen them, is no fault:
# GNU C, and members that are zeros.
san_flags    := $(common) $(cwarnings) -O1 -D_GNU_SOURCE -fsanitize=fuzzer-no-link,address,undefined \
	-fno-sanitize-recover=all -fno-omit-frame-pointer -pthread \
	-Wno-gnu-variable-sized-type-not-at-end -Wno-missing-field-initializers

# $(1) kind, $(2) compiler. A folder may add flags of its own: image_flags_hypervisor := -DX.
folder_flags = $($(1)_flags_$(firstword $(subst /, ,$(2))))
define object_rules
build/$(1)/%.o: %.c
	@mkdir -p $$(@D)
	$$(call say,CC,$$@)
	$(Q)$(2) $$($(1)_flags) $$(call folder_flags,$(1),$$<) -c -o $$@ $$<
build/$(1)/%.o: %.S
	@mkdir -p $$(@D)
	$$(call say,AS,$$@)
	$(Q)$(2) $$(filter-out -std=%,$$($(1)_flags)) $$(call folder_flags,$(1),$$<) -D__ASSEMBLY__ -c -o $$@ $$<
endef
$(eval $(call object_rules,image,$(CC)))
$(eval $(call object_rules,boot32,$(CC)))
$(eval $(call object_rules,user,$(CC)))
$(eval $(call object_rules,san,$(CLANG)))

# A program for the root partition: its folder writes `build/worker/vmwp: $(call user,...)` and program_libs.
define link_user
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)$(CC) -pie -pthread -Wl,--gc-sections -Wl,-z,relro,-z,now,-z,pack-relative-relocs -o $@ $(filter %.o %.a,$^) $(1)
endef

tests   := $(sort $(foreach f,$(folders),$($(f)_tests)))
fuzzers := $(sort $(foreach f,$(folders),$($(f)_fuzzers)))
test_programs := $(tests:%.c=build/san/%)
fuzz_programs := $(fuzzers:%.c=build/fuzz/%)

define test_rule
build/san/$(1): build/san/$(1).o $$(call san,$$($(notdir $(1))_objs))
	$$(call say,LINK,$$@)
	$(Q)$(CLANG) -fsanitize=address,undefined -pthread -o $$@ $$^ $$($(notdir $(1))_libs) -lcmocka
endef
define fuzz_rule
build/fuzz/$(1): build/san/$(1).o $$(call san,$$($(notdir $(1))_objs))
	@mkdir -p $$(@D)
	$$(call say,LINK,$$@)
	$(Q)$(CLANG) -fsanitize=fuzzer,address,undefined -pthread -o $$@ $$^ $$($(notdir $(1))_libs)
endef
$(foreach t,$(tests:%.c=%),$(eval $(call test_rule,$(t))))
$(foreach t,$(fuzzers:%.c=%),$(eval $(call fuzz_rule,$(t))))

-include $(shell [ -d build ] && find build \( -path build/cache -o -path build/deb \) -prune -o -name '*.d' -print)
