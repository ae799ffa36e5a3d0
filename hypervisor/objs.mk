# hv-svm.elf and hv-vmx.elf are all of hypervisor_objs and one vendor's objects with the core. Each is linked twice: the table of function names for the
# backtrace comes from the first link, and stands behind all code, so it moves none.

hypervisor_objs += hypervisor/boot/entry.o
hypervisor_objs += hypervisor/boot/trampoline.o
hypervisor_objs += hypervisor/main.o
hypervisor_objs += hypervisor/lp.o
hypervisor_objs += hypervisor/run.o
hypervisor_objs += hypervisor/intercept.o
hypervisor_objs += hypervisor/message.o
hypervisor_objs += hypervisor/register_page.o
hypervisor_objs += hypervisor/interrupt.o
hypervisor_objs += hypervisor/flush.o
hypervisor_objs += hypervisor/sleep.o
hypervisor_objs += hypervisor/timer.o
hypervisor_objs += hypervisor/tsc.o
hypervisor_objs += hypervisor/timer_queue.o
hypervisor_objs += hypervisor/fpu.o
hypervisor_objs += hypervisor/speculation.o
hypervisor_objs += hypervisor/plat.o
hypervisor_objs += hypervisor/msr_root.o
hypervisor_objs += hypervisor/machine_check.o
hypervisor_objs += hypervisor/console.o
hypervisor_objs += hypervisor/memory.o
hypervisor_objs += hypervisor/memory_lock.o
hypervisor_objs += hypervisor/iommu.o
hypervisor_objs += hypervisor/iommu_table.o
hypervisor_objs += hypervisor/iommu_domain.o
hypervisor_objs += hypervisor/iommu_device.o
hypervisor_objs += hypervisor/iommu_interrupt.o
hypervisor_objs += hypervisor/iommu_unit.o
hypervisor_objs += hypervisor/vtd.o
hypervisor_objs += hypervisor/vtd_root.o
hypervisor_objs += hypervisor/amdvi.o
hypervisor_objs += hypervisor/mmio.o
hypervisor_objs += hypervisor/root_access.o
hypervisor_objs += hypervisor/option.o
hypervisor_objs += hypervisor/gpa.o
hypervisor_objs += hypervisor/gpa_access.o
hypervisor_objs += hypervisor/gpa_overlay.o
hypervisor_objs += hypervisor/gpa_root.o
hypervisor_objs += hypervisor/gpa_table.o
hypervisor_objs += hypervisor/gpa_trail.o
hypervisor_objs += hypervisor/arch/x86/paging.o
hypervisor_objs += hypervisor/arch/x86/paging_load.o
hypervisor_objs += hypervisor/arch/x86/mtrr.o
hypervisor_objs += hypervisor/arch/x86/mitigation.o
hypervisor_objs += hypervisor/arch/x86/idt.o
hypervisor_objs += hypervisor/arch/x86/trap.o
hypervisor_objs += hypervisor/arch/x86/apic.o
hypervisor_objs += hypervisor/arch/x86/insn.o
hypervisor_objs += hypervisor/arch/x86/walk.o

hypervisor_svm_objs += hypervisor/arch/x86/svm/run.o
hypervisor_svm_objs += hypervisor/arch/x86/svm/svm.o
hypervisor_svm_objs += hypervisor/arch/x86/svm/exit.o
hypervisor_svm_objs += hypervisor/arch/x86/svm/regs.o
hypervisor_svm_objs += hypervisor/arch/x86/svm/inject.o
hypervisor_svm_objs += hypervisor/arch/x86/svm/npt.o

hypervisor_vmx_objs += hypervisor/arch/x86/vmx/run.o
hypervisor_vmx_objs += hypervisor/arch/x86/vmx/vmx.o
hypervisor_vmx_objs += hypervisor/arch/x86/vmx/vcpu.o
hypervisor_vmx_objs += hypervisor/arch/x86/vmx/tlb.o
hypervisor_vmx_objs += hypervisor/arch/x86/vmx/vmcs.o
hypervisor_vmx_objs += hypervisor/arch/x86/vmx/state.o
hypervisor_vmx_objs += hypervisor/arch/x86/vmx/exit.o
hypervisor_vmx_objs += hypervisor/arch/x86/vmx/regs.o
hypervisor_vmx_objs += hypervisor/arch/x86/vmx/inject.o
hypervisor_vmx_objs += hypervisor/arch/x86/vmx/task.o
hypervisor_vmx_objs += hypervisor/arch/x86/vmx/ept.o

hypervisor_products += build/hypervisor/hv-svm.elf build/hypervisor/hv-vmx.elf

image_common := $(call image,$(hypervisor_objs) $(tlfs_objs) lib/print.o lib/string.o)
# Optimized at link time, since the way of an exit leads through several files. lib/ stays out: the compiler calls its mem* itself.
image_flags_hypervisor := -flto=auto -ffat-lto-objects
image_flags_tlfs := $(image_flags_hypervisor)
image_link = $(CC) $(filter-out -MMD -MP,$(image_flags)) -flto=auto -nostdlib -static -no-pie -T hypervisor/hv.lds -Wl,--gc-sections,--build-id=none \
	-Wl,-z,max-page-size=4096 -Wl,-z,noexecstack -Wl,--no-warn-rwx-segments

build/hypervisor/hv-svm.elf: $(call image,$(hypervisor_svm_objs))
build/hypervisor/hv-vmx.elf: $(call image,$(hypervisor_vmx_objs))
build/hypervisor/hv-svm.elf build/hypervisor/hv-vmx.elf: $(image_common) hypervisor/hv.lds hypervisor/objs.mk tools/symbols
	@mkdir -p $(@D)
	$(call say,LINK,$@)
	$(Q)tools/symbols > $@.none.S && $(CC) -c -o $@.none.o $@.none.S
	$(Q)$(image_link) -o $@.first $(filter %.o,$^) $@.none.o
	$(Q)tools/symbols $@.first > $@.symbols.S && $(CC) -c -o $@.symbols.o $@.symbols.S
	$(Q)$(image_link) -o $@ $(filter %.o,$^) $@.symbols.o

# The parts that need no hardware are tested on a simulated machine.
memory_any := hypervisor/memory.o hypervisor/gpa.o hypervisor/gpa_access.o hypervisor/gpa_overlay.o hypervisor/gpa_root.o hypervisor/gpa_table.o \
	hypervisor/gpa_trail.o hypervisor/iommu_domain.o hypervisor/iommu_device.o hypervisor/iommu_interrupt.o tests/fake/ram.o \
	tests/fake/ram_check.o tests/fake/ram_iommu.o
memory_parts := $(memory_any) hypervisor/arch/x86/svm/npt.o
hypervisor_tests += tests/unit/memory_test.c tests/unit/gpa_test.c tests/unit/gpa_root_test.c tests/unit/gpa_overlay_test.c \
	tests/unit/npt_test.c tests/unit/paging_test.c
memory_test_objs := $(memory_parts)
hypervisor_tests += tests/unit/iommu_device_test.c
iommu_device_test_objs := $(memory_parts)
hypervisor_tests += tests/unit/iommu_domain_test.c tests/unit/iommu_table_test.c tests/unit/vtd_test.c tests/unit/amdvi_test.c
iommu_domain_test_objs := $(memory_parts)
iommu_table_test_objs := $(memory_parts) hypervisor/iommu_table.o tests/fake/firmware.o
vtd_test_objs := $(memory_parts) hypervisor/iommu.o hypervisor/iommu_table.o hypervisor/iommu_unit.o hypervisor/vtd.o hypervisor/vtd_root.o hypervisor/amdvi.o \
	hypervisor/option.o tests/fake/firmware.o
amdvi_test_objs := $(vtd_test_objs)
hypervisor_fuzzers += tests/fuzz/iommu_table_fuzz.c
iommu_table_fuzz_objs := hypervisor/iommu_table.o
hypervisor_fuzzers += tests/fuzz/vtd_root_fuzz.c
vtd_root_fuzz_objs := hypervisor/vtd_root.o
gpa_test_objs := $(memory_parts)
hypervisor_tests += tests/unit/gpa_split_test.c
gpa_split_test_objs := $(memory_any) hypervisor/arch/x86/vmx/ept.o
hypervisor_tests += tests/unit/gpa_watch_test.c
gpa_watch_test_objs := $(gpa_split_test_objs)
gpa_root_test_objs := $(memory_parts)
gpa_overlay_test_objs := $(memory_parts)
npt_test_objs := hypervisor/arch/x86/svm/npt.o
paging_test_objs := hypervisor/arch/x86/paging.o hypervisor/memory.o
hypervisor_fuzzers += tests/fuzz/memory_fuzz.c
memory_fuzz_objs := $(memory_parts)
# The checker is most of the work, and what it does is no coverage.
build/san/tests/fake/ram_check.o build/san/tests/fake/ram_iommu.o: san_flags += -O2 -fno-sanitize=all
hypervisor_tests += tests/unit/mtrr_test.c
mtrr_test_objs := hypervisor/arch/x86/mtrr.o
hypervisor_tests += tests/unit/tsc_test.c
tsc_test_objs := hypervisor/tsc.o
hypervisor_tests += tests/unit/msr_root_test.c tests/unit/machine_check_test.c
msr_root_test_objs := hypervisor/msr_root.o
machine_check_test_objs := hypervisor/machine_check.o
hypervisor_tests += tests/unit/speculation_test.c
speculation_test_objs := hypervisor/speculation.o hypervisor/option.o
hypervisor_tests += tests/unit/mitigation_test.c
mitigation_test_objs := hypervisor/arch/x86/mitigation.o
hypervisor_tests += tests/unit/walk_test.c
walk_test_objs := hypervisor/arch/x86/walk.o hypervisor/arch/x86/insn.o hypervisor/gpa_trail.o
hypervisor_tests += tests/unit/sleep_test.c
sleep_test_objs := hypervisor/sleep.o hypervisor/root_access.o
hypervisor_tests += tests/unit/svm_exit_test.c
svm_exit_test_objs := hypervisor/arch/x86/svm/exit.o hypervisor/arch/x86/svm/inject.o
hypervisor_tests += tests/unit/svm_test.c tests/unit/vcpu_test.c
svm_test_objs := hypervisor/arch/x86/svm/svm.o
vcpu_test_objs := hypervisor/arch/x86/vmx/vcpu.o
hypervisor_tests += tests/unit/svm_regs_test.c
svm_regs_test_objs := hypervisor/arch/x86/svm/regs.o
hypervisor_tests += tests/unit/vmx_exit_test.c tests/unit/vmx_task_test.c tests/unit/ept_test.c
vmx_exit_test_objs := hypervisor/arch/x86/vmx/exit.o hypervisor/arch/x86/vmx/inject.o tests/fake/vmcs.o
vmx_task_test_objs := hypervisor/arch/x86/vmx/task.o hypervisor/arch/x86/vmx/inject.o tests/fake/vmcs.o
ept_test_objs := hypervisor/arch/x86/vmx/ept.o
hypervisor_tests += tests/unit/timer_test.c
timer_test_objs := hypervisor/timer.o hypervisor/timer_queue.o
hypervisor_tests += tests/unit/run_test.c
run_test_objs := hypervisor/run.o
hypervisor_tests += tests/unit/flush_test.c
flush_test_objs := hypervisor/flush.o
hypervisor_tests += tests/unit/memory_lock_test.c
memory_lock_test_objs := hypervisor/memory_lock.o
