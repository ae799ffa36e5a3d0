/*
 * A machine: the user's configuration, the memory, the board, the partition and its VPs, from
 * power-on to power-off.
 *
 * Main thread: start, event loop, stop. One thread for each VP. A letter says who may touch a
 * field: [I] nobody changes it once VPs run, [M] the main thread, [V] VP 0's thread, [a] atomic,
 * any thread, [L] under the board's lock.
 *
 *   machine_create() -> stopped --machine_start()--> running --machine_stop()--> stopped
 *
 * A reset is machine_stop(), machine_reset(), and machine_start() again (where the control socket
 * is served meanwhile, loop_stop()). When `stop` is no longer STOP_NONE, all VP threads come to an
 * end.
 *
 *   running --machine_pause_vps(), machine_pause_bus()--> pausing ---> paused --machine_resume()--> running
 *
 * Paused, each VP's thread stands in vp_park(), between two exits, no clock of the guest goes but
 * the TSC, and the devices on VMBus have no request under way. A machine that starts is running.
 */
#ifndef WORKER_MACHINE_H
#define WORKER_MACHINE_H

#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/types.h>

#include "backend/backend.h"
#include "devices/board.h"
#include "include/mgmt/display.h"
#include "include/mgmt/screen.h"
#include "worker/config.h"
#include "worker/emulate.h"
#include "worker/firmware.h"
#include "worker/loader.h"
#include "worker/memory.h"
#include "worker/serial.h"
#include "worker/sound.h"
#include "worker/tpm.h"

/* Why a machine stops. Values of the worker's exit status are in exit_status(). */
enum stop_reason {
	STOP_NONE,
	STOP_POWER_OFF,
	STOP_RESET,
	STOP_TRIPLE_FAULT,
	STOP_HOST_ERROR,
	STOP_REQUEST,    /* the user wants it off */
	STOP_DEBUG_EXIT, /* a test image has said its result */
	STOP_SAVED,      /* its state is in a file */
	STOP_MOVED,      /* it runs elsewhere */
};

enum pause_state { PAUSE_NONE, PAUSE_ASKED, PAUSE_DONE };

struct machine_vp {
	struct machine *machine;
	struct backend_vp *vp;
	pthread_t thread;
	struct emulate_cache cache; /* its thread's alone */
	unsigned int index;
	struct vp_exit exit; /* [V], or of who has the VPs stand still */
	atomic_bool running; /* [a] the thread exists and may be kicked */
	atomic_bool ended;   /* [a] the thread is about to return */
	bool window;         /* [V] backend_vp_request_window() is in force */
};

/* The devices' host (devices/host.h). */
struct host {
	struct machine *machine;
	uint64_t epoch;          /* [L] CLOCK_MONOTONIC at the beginning, ns; pauses left out */
	uint64_t frozen_at;      /* [L] board's time while it stands, else HOST_NEVER */
	uint64_t wake_at;        /* [L] what the board asked for last */
	int board_timer;         /* [I] timerfd: board_tick() is due */
	int nudge_timer;         /* [I] timerfd: the serial line or VP 0 wants the main thread */
	atomic_bool nudged;      /* [a] the nudge timer is armed */
	atomic_bool extint;      /* [a] the old interrupt controllers' output */
	atomic_bool extint_seen; /* [a] VP 0 knows of it */
};

/* VPs that are to stand still. */
struct pause {
	pthread_mutex_t lock;            /* of what follows, of kicks, and of the partition's end */
	pthread_cond_t arrived, go_on;   /* on CLOCK_MONOTONIC */
	_Atomic(enum pause_state) state; /* written under the lock */
	unsigned int parked;             /* VP threads in vp_park() */
	bool held;                       /* machine_hold(), machine_hold_running() */
	struct job *
		owner; /* that asked for it; another one, or NULL: who still waits for the machine to stand gives up */
	bool frozen; /* the guest's clocks stand */
	bool bus;    /* [M] VMBus was asked to stand too */
};

struct arrival;
struct assigned;
struct migration;
struct checkpoint;
struct vmbus;
struct vmbus_host;
struct storage;
struct network;
struct netport;
struct disk;
struct disk_error;
struct control;
struct integration;
struct sockets;
struct balloon;
struct display_request;
struct input;
struct balloon_host;
struct video;
struct video_host;
struct integration_host;
struct job;

struct disk_place {
	uint8_t id[16]; /* by which the guest knows a disk */
	bool has_id; /* ... before it is there: what one is known by that says nothing of itself */
	struct disk *file; /* NULL: none, or an empty drive */
	char *name;        /* the file's, as it was given */
	char *mirror;      /* that of a copy that has all that is written, too; NULL: none */
	uint64_t size;     /* bytes */
	bool there, dvd, read_only;
};

/* Who looks: the two programs that the worker may have started, and those that they bring. */
#define DISPLAY_PLACES (2 + DISPLAY_SEATS)

struct display {
	int epoll; /* -1: nobody ever looks */
	struct display_seat {
		int fd;           /* -1: nobody sits there */
		uint8_t held[32]; /* keys, a bit for each */
		uint8_t buttons;
		uint8_t change_count; /* of the screen since it was told, as in struct screen */
		struct screen_change changes[SCREEN_CHANGES];
	} seats[DISPLAY_PLACES];
	uint8_t board_buttons; /* as the i8042's mouse has them */
};

/* What the machine has on VMBus: the SCSI disks by their numbers, then the IDE ones. */
struct disks {
	struct disk_place places[CONFIG_DISKS_MAX];
	struct storage *scsi, *ide[CONFIG_IDE_MAX];
	struct disks_closing *closing; /* NULL: not yet */
	struct disks_found *found;     /* files whose disks another worker has; NULL: none */
};

struct drives;
struct nic;

/* An adapter on VMBus, or one of the board's. */
struct network_place {
	struct network *network; /* NULL: none of VMBus */
	struct nic *nic;         /* NULL: none of the board */
	struct netport *port;
	struct config_network wanted; /* its texts are its own */
	bool lost;                    /* the switch is gone */
	sem_t ended;                  /* nothing of a removed adapter's uses the port any more */
};

/* crash.c; after its opening, of the VP's thread that reports a crash: there is one for each start
 * of the machine. */
struct crash_file {
	bool open;
	int fd;
	uint64_t bytes; /* that are in it */
	time_t minute;  /* when the last one began */
	unsigned int in_minute, left_out;
};

struct networks {
	int epoll;                      /* connections of switches, by their adapters' numbers */
	uint32_t lost_untold;           /* by number: networks_changed() */
	int found[CONFIG_NETWORKS_MAX]; /* connections for networks_attach_late() */
	struct network_place places[CONFIG_NETWORKS_MAX];
};

struct machine {
	const struct config *config;
	int backend; /* [I] */
	struct memory memory;
	struct loader loader; /* [M] */
	struct saved *
		saved; /* [M] what it is to go on from, until it has (save.h); NULL: it begins anew */
	struct arrival *
		arrival; /* [M] it is to come from another worker (arrival.h); NULL: not, or it has come */
	struct migration *migration;   /* [M] it is being moved to another one (migrate.h) */
	struct checkpoint *checkpoint; /* [M] one was taken, and is not at its end (checkpoint.h) */
	struct firmware firmware; /* [M]; its log under the board's lock. With config->generation */
	struct tpm tpm;
	struct sound sound;
	struct vp_boot_state boot; /* [M] */
	struct serial serial;
	struct host host;
	struct board board;
	struct vmbus *bus;                         /* [I] */
	struct vmbus_host *bus_host;               /* [I] */
	struct disks disks;                        /* [M] */
	struct drives *drives;                     /* [I] NULL: none of emulated controllers */
	uint8_t *screen;                           /* [I] its memory, NULL: none */
	int screen_fd;                             /* [I] of it, for others to read; -1 */
	struct video *video;                       /* [M] NULL: no screen */
	struct video_host *video_host;             /* [I] */
	struct display display;                    /* [M] */
	struct input *keyboard, *mouse;            /* [I] NULL: none, as without a screen */
	struct networks networks;                  /* [M] */
	struct nic *nics[BOARD_NICS_MAX];          /* [I] those of the board */
	struct assigned *assigned;                 /* [I] NULL: no device of the hardware */
	struct integration *integration;           /* [M] */
	struct integration_host *integration_host; /* [M] */
	struct balloon *balloon;                   /* [M] NULL: the guest has its memory for good */
	struct balloon_host *balloon_host;         /* [I] */
	uint64_t led_minimum, led_maximum;   /* [I] of a guest that was restored; 0: as in config */
	struct sockets *sockets;             /* [I] */
	int connector;                       /* [I] -1: none, see hvsock_begin() */
	struct control *control;             /* [I] NULL: no socket */
	struct backend_partition *partition; /* [I] */
	struct machine_vp *vps;              /* [I] config->vps of them */
	int stop_event;                      /* [I] eventfd */
	_Atomic(enum stop_reason) stop;      /* [a] the first one wins */
	struct pause pause;
	bool waits;              /* [M] for devices or files at its end, for longer than a moment */
	bool off, hurries;       /* [M] machine_turn_off() was called; while it waits */
	struct timespec started; /* [M] CLOCK_MONOTONIC */
	unsigned int resets;     /* [M] */
	uint8_t id[16];          /* [I] its UUID, as a GUID is in memory */
	char id_text[37];        /* [I] */
	struct crash_file crashes;
	uint8_t generation_id[16];    /* [M] */
	uint8_t *generation_page;     /* [I] with firmware, where the guest reads it */
	_Atomic(uint32_t) debug_exit; /* [a] the test image's result */
	atomic_bool crashed;          /* [a] the guest has said so since it started */
};

/* Everything but the partition. False: said why. */
bool machine_create(struct machine *machine) MUST_CHECK;
/* Partition, VPs, threads. False: said why; the machine is stopped, with STOP_HOST_ERROR. */
bool machine_start(struct machine *machine) MUST_CHECK;
/*
 * Ends all VP threads, and asks the devices to let go of the guest's memory. That may take as long
 * as a disk's file does; it has come to pass when vmbus_is_reset() says so, and then
 * machine_finish_stop() gives the partition back.
 */
void machine_begin_stop(struct machine *machine);
void machine_finish_stop(struct machine *machine);
/* All of it, and waits for the devices. */
void machine_stop(struct machine *machine);
/* As new: memory loaded anew, the board reset. After machine_stop(). False: said why. */
bool machine_reset(struct machine *machine) MUST_CHECK;

/* Any thread: the machine comes to an end. */
void machine_end(struct machine *machine, enum stop_reason reason);
/* Main thread: off, also if it is about to be reset; if it `waits` at its end, it waits for nothing
 * more. */
void machine_turn_off(struct machine *machine);

struct job;
/*
 * work() of a job: returns when no VP is in the guest and its clocks stand. -ECANCELED: by
 * job_cancel(), by machine_resume(), or because the machine stops. -EALREADY: it is paused, or
 * about to be.
 */
int machine_pause_vps(struct machine *machine, struct job *job);
/*
 * settle() of that job: 0 when the devices stand too, and the machine is paused; -EAGAIN: not yet,
 * requests of the guest are under way still; -ECANCELED: as above.
 */
int machine_pause_bus(struct machine *machine, struct job *job);
/*
 * The two steps of machine_pause_bus() for a job that can still be cancelled when the machine
 * stands: 0, -EAGAIN or -ECANCELED, and then it is resumed by who holds it; and then the machine is
 * paused.
 */
int machine_settle_pause(struct machine *machine, struct job *job);
void machine_paused(struct machine *machine);
/* A machine with a partition, none of whose VPs has run: it stands as if it had been paused.
 * -errno. Main thread. */
int machine_stand(struct machine *machine) MUST_CHECK;
/* Main thread: after vmbus_serve(). */
void machine_bus_served(struct machine *machine);
/* Main thread. False: it is not paused, nor about to be, or held, or a checkpoint of it has not
 * ended. */
bool machine_resume(struct machine *machine);
/*
 * A thread other than the main one works on a paused machine: it is not resumed, and machine_stop()
 * waits, until that thread lets go of it. What it does should end when `stop` is no longer
 * STOP_NONE. Main thread; false: the machine is not paused, or held already.
 */
bool machine_hold(struct machine *machine) MUST_CHECK;
/* The same of a machine that is not paused, nor about to be. */
bool machine_hold_running(struct machine *machine) MUST_CHECK;
bool machine_is_held(struct machine *machine);
void machine_release(struct machine *machine); /* any thread */

/* loop.c. The signals that end the worker, all of whose threads block them; a descriptor that tells
 * of them, or -1 and errno. */
void loop_signals(sigset_t *set);
int loop_open_signals(void) MUST_CHECK;
/* Serves the devices until the machine ends. */
void loop_run(struct machine *machine);
/*
 * machine_stop(), and serves the control socket meanwhile. False: a request does not end, and who
 * manages the machine does not want to wait for it (machine_turn_off()); nothing may be freed then.
 */
bool loop_stop(struct machine *machine) MUST_CHECK;
/* Serves the control socket until the jobs have ended and the disks' files are closed. False: as
 * loop_stop(), or with an error that was said. */
bool loop_close(struct machine *machine) MUST_CHECK;

/* vp.c: what a VP's thread does. */
void *vp_thread(void *machine_vp);
/* The signal that gets a VP out of backend_vp_run(). */
#define VP_KICK SIGUSR1
void vp_kick(struct machine_vp *vp);
/* Its thread stands still while the machine is paused. */
void vp_park(struct machine_vp *vp);

/* intercept.c: one exit. Any answer is in *exit afterwards. */
void intercept_handle(struct machine_vp *vp, struct vp_exit *exit);

/* host.c */
bool host_create(struct host *host, struct machine *machine) MUST_CHECK;
/* The nudge timer fired: what it was for has been seen to, but VP 0 may need one more. */
void host_nudge_fired(struct host *host);
/* The board's clock stands, or goes on where it stood. No VP runs. Any thread. */
void host_freeze(struct host *host, bool freeze);

/* bus.c: the home of the VMBus server. False: said why. */
bool bus_create(struct machine *machine) MUST_CHECK;
void bus_destroy(struct machine *machine);
/* The guest's HvSignalEvent, where the hypervisor leaves it to us; false: there is no such
 * connection. Any thread. */
bool bus_signal(struct machine *machine, uint32_t connection_id);
/* A timerfd: when it fires, messages that the guest had no room for are tried again. */
int bus_timer(const struct machine *machine);
void bus_timer_fired(struct machine *machine);

/* hypercall.c: the calls of VP_EXIT_HYPERCALL; the status is in *exit afterwards. */
void hypercall_handle(struct machine *machine, struct vp_exit *exit);

/* disks.c: the files of the command line, then the controllers they are at. False: said why. */
bool disks_begin(struct machine *machine) MUST_CHECK;
bool disks_attach(struct machine *machine) MUST_CHECK;
/*
 * For a machine that comes from another worker, which has its disks until then, so that
 * disks_begin() opened no more than their files: the controllers are made before the sandbox
 * closes; disks_open_late() makes disks of the files, and then disks_attach() has a place for them.
 * False: said why; the last of that is in `why`.
 */
bool disks_make_controllers(struct machine *machine) MUST_CHECK;
/* One of them is on USB. */
bool disks_want_usb(const struct config *config);
bool disks_open_late(struct machine *machine, struct disk_error *why) MUST_CHECK;
/* Of a machine that stands: other processes may have the disks that can be written, or may no
 * longer. -errno, and *error says why. Any thread. */
int disks_let_go(struct machine *machine, struct disk_error *error) MUST_CHECK;
int disks_take_back(struct machine *machine, struct disk_error *error) MUST_CHECK;
/*
 * Closes the files, by a thread of its own; the machine is stopped, and no job has a disk.
 * disks_are_closed() is true when that has ended, and then stop_event is signalled.
 */
void disks_begin_close(struct machine *machine);
bool disks_are_closed(struct machine *machine);
/* All of it, or the rest of it, and waits. False: what a guest wrote last may not be in a file;
 * said so. */
bool disks_close(struct machine *machine);

/* drives.c: disks and DVDs of emulated controllers. An IDE disk, or a DVD drive, that was attached;
 * before any VP runs. -errno. */
struct storage_address;
int drives_create(struct machine *machine)
	MUST_CHECK; /* if it was not; it makes a ring, which a sandbox does not allow */
int drives_add(struct machine *machine, struct storage *storage, struct storage_address address,
	       const struct ide_identity *identity) MUST_CHECK;
/* The controller that the firmware of generation 2 reaches the SCSI units by, 0 to `last_lun`;
 * likewise. */
int drives_add_scsi(struct machine *machine, struct storage *storage,
		    unsigned int last_lun) MUST_CHECK;
/* A unit of the SCSI controller is on USB as well (board_add_usb_disk()); likewise. */
int drives_add_usb(struct machine *machine, struct storage *storage, struct storage_address address,
		   const char *serial) MUST_CHECK;
/* Around the life of a partition. False: said why. */
bool drives_start(struct machine *machine) MUST_CHECK;
void drives_stop(struct machine *machine); /* no command is under way any more */
/* The same, and does not wait; drives_stop() follows when they are quiet. */
void drives_begin_stop(struct machine *machine);
void drives_destroy(struct machine *machine);
/* No command is under way from when they are quiet after that to the resume, or the stop. Any
 * thread. */
void drives_begin_pause(struct machine *machine);
bool drives_are_quiet(struct machine *machine);
void drives_pause(struct machine *machine); /* and waits */
void drives_resume(struct machine *machine);

/* screen.c: a VGA, and with VMBus a synthetic display. False: said why. */
bool screen_create(struct machine *machine) MUST_CHECK;
bool screen_attach(struct machine *machine) MUST_CHECK;
/* Before and after bus_destroy(). */
void screen_detach(struct machine *machine);
void screen_free(struct machine *machine);
/* With the machine's RAM. */
void screen_clear(struct machine *machine);
/* The parts "screen" and "video" of a saved state: memory, and the synthetic display. Also where
 * there is none. -errno. */
void screen_save(const struct machine *machine, struct state_writer *writer);
int screen_load(struct machine *machine, struct state_reader *list) MUST_CHECK;
/* Into the file, from its beginning, as include/mgmt/screen.h says. How many bytes; -ENODEV: there
 * is no screen; -errno. */
int64_t screen_write(struct machine *machine, int fd);
/* What decides on the picture beside the memory, of a machine with a screen. `follow`: somebody
 * looks, and will come again for what has changed since. */
void screen_describe(struct machine *machine, bool follow, struct screen *to);
/* Who looks would like the picture to be as large. */
void screen_want(struct machine *machine, unsigned int width, unsigned int height);

/* display.c: who looks at the screen, types and moves the mouse (include/mgmt/display.h). False:
 * said why. */
bool display_create(struct machine *machine) MUST_CHECK;
/* Takes the descriptor, a socket of packets, for a seat more. False: there is none left, or no
 * screen. */
bool display_sit(struct machine *machine, int fd) MUST_CHECK;
void display_destroy(struct machine *machine);
/* Readable: display_serve() has something to do; -1: nobody ever looks. */
int display_fd(const struct machine *machine);
void display_serve(struct machine *machine);

/* input.c: keyboard and mouse of a machine with a screen. False: said why. */
bool input_attach(struct machine *machine) MUST_CHECK;
/* Before bus_destroy(). */
void input_detach(struct machine *machine);
void input_press(struct machine *machine, uint8_t key, bool down);
void input_point(struct machine *machine, const struct display_request *request);
/* Nobody holds a button. */
void input_release(struct machine *machine);

/* A disk of the SCSI controller comes, goes, or changes while the machine runs. */
enum disks_task { DISKS_ATTACH, DISKS_ATTACH_DVD, DISKS_CHANGE_DVD, DISKS_DETACH };

struct disks_change {
	const char *name;
	const int *fds; /* the file's, then all its parents' */
	unsigned int fd_count;
	bool read_only, raw, force;
};

/*
 * Makes the job do it: its number, which is in the controller's range, is the disk's. Then the
 * descriptors are the job's. -errno, and nothing is changed: -EBUSY there is one already, -ENOENT
 * there is none, -ENOTTY it is no drive, -ENOMEM. Main thread.
 */
int disks_prepare(struct machine *machine, struct job *job, enum disks_task kind,
		  const struct disks_change *change) MUST_CHECK;

/* identity.c: by what the guest knows its machine. False: said why. */
bool identity_create(struct machine *machine) MUST_CHECK;
/* The names by which the machine is known. */
void identity_smbios(const struct machine *machine, struct smbios *smbios);
/* ACPI and SMBIOS tables of a machine without firmware, into memory that is all zeros. */
bool identity_write(struct machine *machine) MUST_CHECK;
/* With firmware: the board has the generation ID. */
bool identity_attach(struct machine *machine) MUST_CHECK;
/* With firmware: the generation ID that the guest has seen, as a part of its own, since it is in no
 * memory of the guest's. It may be missing. */
void identity_save(const struct machine *machine, struct state_writer *writer);
int identity_load(struct machine *machine, struct state_reader *list) MUST_CHECK;
/* Another generation ID, of which the guest is told. -errno. Main thread. */
int identity_renew(struct machine *machine) MUST_CHECK;
/* What goes on from a saved state may not be the only one: the generation ID of this start in place
 * of the saved one. -errno. */
int identity_restored(struct machine *machine) MUST_CHECK;
/* What was moved here is the only one, and keeps the generation ID that its guest has seen.
 * -errno. */
int identity_moved(struct machine *machine) MUST_CHECK;

/* services.c: the guest's integration services. False: said why. Main thread, all of it. */
bool services_create(struct machine *machine) MUST_CHECK;
void services_destroy(struct machine *machine);
/* The machine has come to its end, and machine_stop() is next. */
void services_ended(struct machine *machine, enum stop_reason reason);
/* The escape key: the guest is asked to shut down; pressed again, the machine is turned off. */
void services_escape(struct machine *machine);

/*
 * networks.c: adapters on switches; those of the configuration. False: said why. Of a machine that
 * comes from another worker the switches are connected to, and networks_attach_late() asks them for
 * the ports when the other side has let go of them.
 */
bool networks_attach(struct machine *machine) MUST_CHECK;
bool networks_attach_late(struct machine *machine) MUST_CHECK;
/* Of a machine that stands: it has no ports any more; networks_serve() sees it as the switches'
 * end. Any thread. */
void networks_let_go(struct machine *machine);
/* Before and after bus_destroy(): the adapters, then their ports. */
void networks_detach(struct machine *machine);
void networks_close(struct machine *machine);
/* An adapter's GUID, in wire order. */
void networks_instance(unsigned int index, uint8_t guid[16]);
/* There is an adapter at this place. */
bool networks_has(const struct machine *machine, unsigned int index);
/* Readable when a switch has gone. */
int networks_fd(const struct machine *machine);
void networks_serve(struct machine *machine);
/* False: no switch has gone since; else whose. */
bool networks_changed(struct machine *machine, unsigned int *index);

/* An adapter comes, goes, or has its switch again while the machine runs. */
enum networks_task { NETWORKS_ADD, NETWORKS_REMOVE, NETWORKS_CONNECT };

struct jobs;
/* -1: there are as many as there may be, or are about to be. */
int networks_free_place(const struct machine *machine, struct jobs *jobs);
/*
 * Makes the job do it: its number is the adapter's. `wanted` is for NETWORKS_ADD, `fd` a connection
 * to a switch's port socket for that and NETWORKS_CONNECT; then it is the job's. -errno, and
 * nothing is changed: -ENOENT there is no such adapter, -EISCONN it has its switch, -ENOTSUP one of
 * the board's is there for as long as the machine is, -ENOMEM.
 */
int networks_prepare(struct machine *machine, struct job *job, enum networks_task kind,
		     const struct config_network *wanted, int fd) MUST_CHECK;

/* balloon.c: memory that comes and goes, where the configuration has a minimum. False: said why. */
bool balloon_attach(struct machine *machine) MUST_CHECK;
/* Before and after bus_destroy(). */
void balloon_detach(struct machine *machine);
void balloon_free(struct machine *machine);

/*
 * hvsock.c: the guest's sockets. Before there is anything else in the process; when the bus is
 * there; when the sandbox has closed. False: said why.
 */
bool hvsock_begin(struct machine *machine) MUST_CHECK;
bool hvsock_create(struct machine *machine) MUST_CHECK;
bool hvsock_start(struct machine *machine) MUST_CHECK;
/* Until the machine has started, which may be from a saved state, and from its end on, before
 * bus_destroy(), there are no connections. */
void hvsock_stand(struct machine *machine, bool stand);
/* After bus_destroy(). */
void hvsock_destroy(struct machine *machine);

/* control.c: the socket of --control; nothing of it is there where it was not asked for. False:
 * said why. */
bool control_create(struct machine *machine) MUST_CHECK;
/* The machine has come to its end: jobs end, and none begins any more. Have they? Changes in
 * control_serve(), and with time. */
void control_begin_end(struct machine *machine);
bool control_has_ended(struct machine *machine);
/* Clients are told of the end. A job that has not come to its next step is left what it has. */
void control_destroy(struct machine *machine, const char *reason);
/* Readable when there is something for control_serve(); -1: no socket. */
int control_fd(const struct machine *machine);
void control_serve(struct machine *machine);
/* Any thread: the machine's state, which control_serve() looks at, may be another. */
void control_notify(struct machine *machine);

/*
 * sandbox.c. Started by root, the process becomes `user`; 0: one of its own, SANDBOX_USERS and its
 * process id, in a range that systems give to nobody. False: said why.
 */
#define SANDBOX_USERS 0x70000000u
bool sandbox_enter(uid_t user) MUST_CHECK;

#endif
