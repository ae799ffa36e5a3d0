# vmctl asks a running worker.
cli_objs := cli/vmctl.o cli/client.o
cli_products := build/cli/vmctl
build/cli/vmctl: $(call user,$(cli_objs) $(disk_objs))
	$(call link_user,-ljansson $(disk_libs))
