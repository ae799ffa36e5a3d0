# The kernel module mshv_vd.ko: built for each set of kernel headers by tools/kmod.mk.
root_module := mshv_vd
root_objs := root/main.o root/partition.o root/vp.o root/run.o root/state.o root/region.o root/access.o root/port.o \
	root/ioeventfd.o root/routing.o root/irqfd.o root/synic.o root/synic_take.o root/hvcall.o root/deposit.o root/passthru.o root/status.o \
	root/compat.o root/device_domain.o root/iommu.o root/message.o
