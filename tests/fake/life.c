/* See life.h. */
#include "tests/fake/life.h"

#include <getopt.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "backend/backend.h"
#include "vmbus/vmbus.h"
#include "worker/arrival.h"
#include "worker/save.h"

static void kick(int number)
{
	(void)number;
}

void life_make_file(char path[LIFE_PATH_BYTES], const char *folder, const char *name,
		    const void *bytes, size_t size)
{
	FILE *file;

	snprintf(path, LIFE_PATH_BYTES, "%s/%s", folder, name);
	file = fopen(path, "w");
	assert_non_null(file);
	assert_int_equal(fwrite(bytes, 1, size, file), size);
	fclose(file);
}

void life_make_kernel(char path[LIFE_PATH_BYTES], const char *folder)
{
	const uint32_t kernel[] = {
		0x1badb002, 0x10000, -(0x1badb002u + 0x10000), 0x100000, 0x100000, 0, 0, 0x100000};

	life_make_file(path, folder, "kernel", kernel, sizeof(kernel));
}

static void create(struct machine *machine, struct config *config, char **words)
{
	struct loader *loader = &machine->loader;
	struct sigaction action = {.sa_handler = kick};
	enum backend_lack lack;
	char why[512] = "";
	int count = 0;

	while (words[count] != NULL) {
		count++;
	}
	optind = 1; /* for getopt_long(), from the beginning again */
	assert_int_equal(config_parse(config, count, words), CONFIG_OK);
	memset(machine, 0, sizeof(*machine));
	machine->config = config;
	*loader = (struct loader){
		.cmdline = "", .why = why, .why_size = sizeof(why), .initrd.fd = -1};
	sigaction(VP_KICK, &action, NULL);
	if (!loader_open(loader, &loader->kernel, "--kernel", config->kernel.path, -1) ||
	    !loader_probe(loader)) {
		fail_msg("%s", why);
	}
	assert_true(hvsock_begin(machine));
	assert_true(disks_begin(machine));
	assert_true(config->receive.path == NULL || arrival_open(machine));
	machine->backend = backend_open(&lack);
	assert_true(config->restore.path == NULL || saved_open(machine, config));
	assert_true(machine_create(machine) && networks_attach(machine) &&
		    balloon_attach(machine) && screen_attach(machine) && hvsock_create(machine) &&
		    control_create(machine) && display_create(machine));
	assert_true(serial_create(&machine->serial, config) && hvsock_start(machine));
}

enum stop_reason life_live(struct machine *machine, struct config *config, char **words)
{
	enum stop_reason reason;

	create(machine, config, words);
	do {
		if (!machine_start(machine)) {
			return STOP_HOST_ERROR;
		}
		hvsock_stand(machine, false);
		loop_run(machine);
		reason = atomic_load(&machine->stop);
		assert_true(loop_stop(machine));
		if (atomic_load(&machine->stop) == STOP_MOVED) {
			return STOP_MOVED;
		}
		if (reason != STOP_RESET) {
			return reason;
		}
	} while (machine_reset(machine));
	fail();
	return STOP_HOST_ERROR;
}

void life_bury(struct machine *machine, struct config *config)
{
	assert_true(loop_close(machine));
	serial_destroy(&machine->serial);
	control_destroy(machine, "test");
	networks_detach(machine);
	balloon_detach(machine);
	screen_detach(machine);
	hvsock_stand(machine, true);
	bus_destroy(machine);
	balloon_free(machine);
	screen_free(machine);
	hvsock_destroy(machine);
	networks_close(machine);
	services_destroy(machine);
	board_destroy(&machine->board);
	close(machine->host.board_timer);
	close(machine->host.nudge_timer);
	close(machine->loader.kernel.fd);
	memory_destroy(&machine->memory);
	close(machine->stop_event);
	free(machine->vps);
	close(machine->backend);
	config_destroy(config);
}
