# The virtualization service providers: what is behind the guest's synthetic devices.
vsp_scsi_objs := $(addprefix vsp/storage/,scsi_bus.o scsi_unit.o scsi_result.o scsi_table.o scsi_inquiry.o scsi_mode.o scsi_rw.o \
	scsi_provision.o scsi_reserve.o scsi_dvd.o scsi_dvd_config.o)
vsp_storage_objs := $(vsp_scsi_objs) $(addprefix vsp/storage/,storage.o storvsp.o storvsp_queue.o)
vsp_objs := $(vsp_storage_objs)
