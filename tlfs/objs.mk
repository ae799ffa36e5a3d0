# The core. Freestanding in the images, hosted in the unit tests and fuzzers.

# Calls, partitions and VPs, and what a parent does with its children.
tlfs_objs += tlfs/hypercall.o tlfs/hypercall_table.o
tlfs_objs += tlfs/partition.o tlfs/property.o tlfs/vp.o tlfs/registers.o tlfs/notify.o tlfs/port.o tlfs/port_table.o tlfs/port_send.o tlfs/doorbell.o tlfs/cell.o
tlfs_objs += tlfs/hc_partition.o tlfs/hc_memory.o tlfs/hc_device.o tlfs/hc_device_interrupt.o tlfs/hc_vp.o tlfs/hc_start.o tlfs/hc_state.o tlfs/hc_stats.o
tlfs_objs += tlfs/hc_intercept.o tlfs/hc_synic.o

# Interrupts, timers, and what a guest sees of its processor.
guest_objs := tlfs/lapic.o tlfs/lapic_ipi.o tlfs/lapic_msr.o tlfs/lapic_registers.o tlfs/lapic_state.o tlfs/lapic_timer.o
guest_objs += tlfs/synic.o tlfs/synic_msr.o tlfs/event.o tlfs/stimer.o tlfs/refclock.o tlfs/overlay.o
guest_objs += tlfs/cpuid.o tlfs/cpuid_features.o tlfs/cpuid_hv.o tlfs/cpuid_override.o tlfs/cpuid_topology.o
guest_objs += tlfs/msr.o tlfs/msr_child.o tlfs/msr_hv.o tlfs/msr_result.o tlfs/hc_flush.o
tlfs_objs += $(guest_objs)

# Unit tests of the guest's side: a home of their own, and the real vp.c.
guest_test_objs := tests/fake/guest.o tlfs/vp.o $(guest_objs)
guest_tests := lapic lapic_ipi lapic_timer post_race synic stimer refclock cpuid msr overlay hc_flush
tlfs_tests += $(guest_tests:%=tests/unit/%_test.c)
$(foreach t,$(guest_tests),$(eval $(t)_test_objs := $(guest_test_objs)))

# Unit tests of calls and of what they work on: the whole core, in a home of its own.
core_tests := notify_race partition hypercall vp registers port property hc_memory hc_device hc_state hc_intercept
tlfs_tests += $(core_tests:%=tests/unit/%_test.c)
$(foreach t,$(core_tests),$(eval $(t)_test_objs = $$(tlfs_objs) tests/fake/plat.o tests/fake/devices.o tests/fake/parent.o))
tlfs_fuzzers += tests/fuzz/msr_fuzz.c
msr_fuzz_objs := $(guest_test_objs)
tlfs_fuzzers += tests/fuzz/hypercall_fuzz.c
hypercall_fuzz_objs = $(tlfs_objs) tests/fake/plat.o tests/fake/devices.o tests/fake/parent.o
