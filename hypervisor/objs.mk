hypervisor_objs += hypervisor/memory.o
hypervisor_objs += hypervisor/gpa.o
hypervisor_objs += hypervisor/gpa_overlay.o
hypervisor_objs += hypervisor/gpa_root.o
hypervisor_objs += hypervisor/gpa_table.o
hypervisor_objs += hypervisor/arch/x86/paging.o
hypervisor_svm_objs += hypervisor/arch/x86/svm/npt.o
