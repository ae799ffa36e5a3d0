# vm asks the management service, vmctl a running worker, vswitch the switches; vmbalance divides memory among workers.
cli_products := build/cli/vm build/cli/vmctl build/cli/vswitch build/cli/vmbalance
build/cli/vm: $(call user,cli/vm.o cli/vm_verbs.o cli/vm_parts.o cli/vm_checkpoints.o cli/vm_completion.o cli/vm_files.o cli/vm_views.o cli/vm_menu.o cli/vm_move.o cli/vm_display.o cli/vm_console.o cli/remote.o cli/words.o hosted/http.o cli/terminal.o hosted/listen.o hosted/say.o $(disk_objs))
	$(call link_user,-ljansson -lcurl $(disk_libs))
build/cli/vmctl: $(call user,cli/vmctl.o cli/function.o cli/words.o cli/terminal.o cli/screenshot.o console/screen.o cli/png.o cli/client.o hosted/listen.o hosted/packet.o hosted/pci.o hosted/vf.o hosted/say.o $(disk_objs))
	$(call link_user,-ljansson -lpng $(disk_libs))
build/cli/vswitch: $(call user,cli/vswitch.o cli/vswitch_open.o cli/vswitch_pcap.o cli/client.o hosted/listen.o hosted/packet.o hosted/say.o)
	$(call link_user,-ljansson)
build/cli/vmbalance: $(call user,cli/vmbalance.o cli/balance.o cli/words.o cli/client.o hosted/available.o hosted/listen.o hosted/packet.o hosted/say.o)
	$(call link_user,-ljansson)

cli_tests += tests/unit/balance_test.c
balance_test_objs := cli/balance.o
