# vmctl asks a running worker for other disks.
cli_objs := cli/vmctl.o
cli_products := build/cli/vmctl
build/cli/vmctl: $(call user,$(cli_objs) $(disk_objs))
	$(call link_user,$(disk_libs))
