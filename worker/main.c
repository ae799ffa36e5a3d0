/* vmwp: one process, one machine. See README.md for its exit status. */
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "worker/assigned.h"
#include "worker/crash.h"
#include "worker/machine.h"
#include "worker/arrival.h"
#include "worker/save.h"
#include "worker/say.h"

#define THREAD_STACK (1u << 20)

enum exit_status {
	EXIT_POWERED_OFF = 0,
	EXIT_BAD_USAGE = 2,
	EXIT_RESET = 3,
	EXIT_TRIPLE_FAULT = 4,
	EXIT_HOST_ERROR = 5,
	EXIT_TURNED_OFF = 6,
	EXIT_CRASHED = 7,
	EXIT_SAVED = 8,
	EXIT_MOVED = 9,
};

/* How the guest itself came to its end is of less interest once it has said that it crashed. */
static bool has_crashed(const struct machine *machine, enum stop_reason reason)
{
	return atomic_load(&machine->crashed) && reason != STOP_HOST_ERROR &&
	       reason != STOP_REQUEST && reason != STOP_DEBUG_EXIT && reason != STOP_SAVED &&
	       reason != STOP_MOVED;
}

static int exit_status(const struct machine *machine, enum stop_reason reason)
{
	if (reason == STOP_DEBUG_EXIT) {
		uint32_t value = atomic_load(&machine->debug_exit);

		say("debug exit: %#x", value);
		return (uint8_t)(value << 1 | 1);
	}
	if (has_crashed(machine, reason)) {
		return EXIT_CRASHED;
	}
	switch (reason) {
	case STOP_POWER_OFF:
		return EXIT_POWERED_OFF;
	case STOP_RESET:
		return EXIT_RESET;
	case STOP_TRIPLE_FAULT:
		return EXIT_TRIPLE_FAULT;
	case STOP_REQUEST:
		return EXIT_TURNED_OFF;
	case STOP_SAVED:
		return EXIT_SAVED;
	case STOP_MOVED:
		return EXIT_MOVED;
	default:
		return EXIT_HOST_ERROR;
	}
}

static bool open_files(struct machine *machine)
{
	const struct config *config = machine->config;
	struct loader *loader = &machine->loader;
	char why[512];

	*loader = (struct loader){
		.cmdline = config->append, .why = why, .why_size = sizeof(why), .initrd.fd = -1};
	if (config->generation != 0) {
		if (!firmware_open(&machine->firmware, loader, config)) {
			say("%s", why);
			return false;
		}
		return true;
	}
	if (!loader_open(loader, &loader->kernel, "--kernel", config->kernel.path,
			 config->kernel.fd) ||
	    (config->initrd.path != NULL && !loader_open(loader, &loader->initrd, "--initrd",
							 config->initrd.path, config->initrd.fd)) ||
	    !loader_probe(loader)) {
		say("%s", why);
		return false;
	}
	return true;
}

static bool open_backend(struct machine *machine)
{
	int device = machine->config->device;
	enum backend_lack lack;

	machine->backend = device >= 0 ? device : backend_open(&lack);
	if (machine->backend >= 0) {
		return true;
	}
	switch (lack) {
	case BACKEND_LACK_HYPERVISOR:
		say("no hypervisor: this system does not run on one that lets it have child "
		    "partitions; boot it by hvloader");
		break;
	case BACKEND_LACK_MODULE:
		say("no module: there is no %s; load it with: modprobe mshv_vd", backend_device());
		break;
	case BACKEND_LACK_PERMISSION:
		say("no permission: %s may not be opened by this user; run vmwp as root, let the "
		    "user have the device, or hand it over open (device in the configuration)",
		    backend_device());
		break;
	default:
		say("%s: %s", backend_device(), strerror(errno));
		break;
	}
	return false;
}

/* For who watches. */
static const char *reason_name(const struct machine *machine, enum stop_reason reason)
{
	static const char *const names[] = {
		[STOP_NONE] = "host-error",       [STOP_POWER_OFF] = "power-off",
		[STOP_RESET] = "reset",           [STOP_TRIPLE_FAULT] = "triple-fault",
		[STOP_HOST_ERROR] = "host-error", [STOP_REQUEST] = "turned-off",
		[STOP_DEBUG_EXIT] = "debug-exit", [STOP_SAVED] = "saved",
		[STOP_MOVED] = "moved",
	};

	return has_crashed(machine, reason) ? "crashed" : names[reason];
}

/* A kick only interrupts what the thread is in. */
static void on_kick(int number)
{
	(void)number;
}

static void set_up_signals(void)
{
	struct sigaction kick = {.sa_handler = on_kick};
	sigset_t set;

	sigaction(VP_KICK, &kick, NULL);
	signal(SIGPIPE, SIG_IGN);
	/* The event loop reads these. */
	loop_signals(&set);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
}

/* Disks may come in many files. As many as this user may have open, then. */
static void raise_file_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

/*
 * For all threads that follow. The usual stack of 8 MiB is given a huge page, 2 MiB for the few KiB
 * that a thread touches; one of this size never is, and is larger than the deepest chain of disks
 * needs.
 */
static void limit_stacks(void)
{
	pthread_attr_t attributes;

	if (pthread_attr_init(&attributes) == 0) {
		if (pthread_attr_setstacksize(&attributes, THREAD_STACK) == 0) {
			pthread_setattr_default_np(&attributes);
		}
		pthread_attr_destroy(&attributes);
	}
}

/* What hangs has threads that use everything, so nothing is freed: the kernel ends them. No write
 * that a guest was told of is lost. */
static _Noreturn void leave(struct machine *machine)
{
	say("what has not ended is left to the end of this process");
	serial_destroy(&machine->serial);
	control_destroy(machine, reason_name(machine, STOP_REQUEST));
	_exit(EXIT_TURNED_OFF);
}

/* Power-on to power-off, resets included. */
static enum stop_reason run(struct machine *machine)
{
	enum stop_reason reason;

	do {
		if (!machine_start(machine)) {
			return machine->off ? STOP_REQUEST : STOP_HOST_ERROR;
		}
		hvsock_stand(machine, false);
		loop_run(machine);
		reason = atomic_load(&machine->stop);
		services_ended(machine, reason);
		if (!loop_stop(machine)) {
			leave(machine);
		}
		if (atomic_load(&machine->stop) == STOP_MOVED) {
			return STOP_MOVED; /* also if it was about to come to another end */
		}
		if (machine->off) {
			return STOP_REQUEST;
		}
		if (reason != STOP_RESET || machine->config->on_reset == ON_RESET_EXIT) {
			return reason;
		}
		say_guest("reset");
	} while (machine_reset(machine));
	return STOP_HOST_ERROR;
}

int main(int argc, char **argv)
{
	static struct machine machine;
	static struct config config;
	enum config_result parsed = config_parse(&config, argc, argv);
	enum stop_reason reason;

	if (parsed != CONFIG_OK) {
		return parsed == CONFIG_PRINTED ? 0 : EXIT_BAD_USAGE;
	}
	machine.config = &config;
	/* One heap for all threads: another would want files that the sandbox does not have. */
	mallopt(M_ARENA_MAX, 1);
	raise_file_limit();
	limit_stacks();
	/* What was asked for is checked before anything is made; what leaves traces is made
	 * last. */
	if (!config_fits_host(&config) || !hvsock_begin(&machine) || !open_files(&machine) ||
	    !tpm_open(&machine.tpm, &machine.board, &config) || !crash_open(&machine) ||
	    !sound_open(&machine.sound, &config) || !disks_begin(&machine) ||
	    !open_backend(&machine) || (config.receive.path != NULL && !arrival_open(&machine)) ||
	    (config.restore.path != NULL && !saved_open(&machine, &config)) ||
	    !machine_create(&machine) || !networks_attach(&machine) || !assigned_attach(&machine) ||
	    !balloon_attach(&machine) || !input_attach(&machine) || !screen_attach(&machine) ||
	    !hvsock_create(&machine) || !control_create(&machine) || !display_create(&machine) ||
	    !serial_create(&machine.serial, &config)) {
		return EXIT_BAD_USAGE;
	}
	set_up_signals();
	reason = sandbox_enter(config.user) && hvsock_start(&machine) ? run(&machine)
								      : STOP_HOST_ERROR;
	if (!loop_close(&machine)) {
		if (machine.hurries) {
			leave(&machine);
		}
		reason = STOP_HOST_ERROR;
	}
	serial_destroy(&machine.serial);
	display_destroy(&machine);
	control_destroy(&machine, reason_name(&machine, reason));
	networks_detach(&machine);
	assigned_detach(&machine);
	balloon_detach(&machine);
	input_detach(&machine);
	screen_detach(&machine);
	hvsock_stand(&machine, true);
	bus_destroy(&machine);
	assigned_free(&machine);
	balloon_free(&machine);
	screen_free(&machine);
	hvsock_destroy(&machine);
	networks_close(&machine);
	tpm_close(&machine.tpm);
	sound_close(&machine.sound);
	services_destroy(&machine);
	config_destroy(&config);
	return exit_status(&machine, reason);
}
