/*
 * vmms, the management service: what its parts share. docs/design/service.md says how it works and
 * why.
 *
 * One thread, no locks; nothing waits but loop_run(). What takes its time is asked of a worker or
 * of a process, and goes on when that answers. JSON values that a function takes are marked so; all
 * others stay the caller's.
 */
#ifndef SERVICE_SERVICE_H
#define SERVICE_SERVICE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include <jansson.h>

#include "hosted/form.h"
#include "include/mgmt/service.h"
#include "lib/check.h"

/* ---- The loop (loop.c) ---- */

struct source {
	int fd; /* -1: none */
	void (*ready)(struct source *source, uint32_t events);
};

/* Fires once. */
struct timer {
	uint64_t at_ms; /* CLOCK_MONOTONIC */
	void (*fired)(struct timer *timer);
	struct timer *next;
	bool armed;
};

struct service {
	const char *store;   /* the folder of the machines' folders */
	const char *run;     /* the folder of what does not outlast a boot: sockets, locks, jobs */
	const char *worker;  /* the program */
	const char *control; /* vmctl, the program */
	const char *switch_tool, *switch_socket; /* vswitch, and whom it asks */
	uint64_t last_mac;                       /* of the pool */
	const char *group;                       /* whose members may do everything, beside root */
	int epoll;
	bool stop;
	struct source signals;
	struct timer *timers;
	struct machine *machines; /* in the order of their names */
	struct job *jobs;         /* the newest first */
	unsigned int job_count;
	uint64_t last_job;
	struct events *events;
	struct http *http;
	struct helper *lookups; /* of users */
	struct helper *writes;  /* of documents */
	struct scrape *scrapes; /* of metrics, that wait for workers */
	struct who *known;      /* users, the newest first */
	struct timer day;       /* logs are looked at */
	struct timer alive;     /* the service manager is told */
};

/* False: said why. */
bool loop_create(struct service *service);
bool loop_watch(struct service *service, struct source *source, uint32_t events);
void loop_change(struct service *service, struct source *source, uint32_t events);
/* Closes it as well. Nothing is served of it any more, also of what has come already. */
void loop_close(struct service *service, struct source *source);
void loop_start_timer(struct service *service, struct timer *timer, uint64_t wait_ms,
		      void (*fired)(struct timer *timer));
void loop_stop_timer(struct service *service, struct timer *timer);
void loop_run(struct service *service);

/* ---- What may wait, beside the loop (helper.c, who.c) ---- */

/* At most so many threads. NULL: said why. Lives as long as the process. */
struct helper *helper_create(struct service *service, unsigned int most);
/* `work` is called by a thread, `done` behind it by the loop: once, later. */
void helper_run(struct helper *helper, void (*work)(void *user), void (*done)(void *user),
		void *user);
/* A user's name, and whether it administers. False: it is being asked; http_wake_asked() then. */
bool who_is(struct service *service, uid_t uid, char name[64], bool *is_admin);

/* ---- Refusals ---- */

/* What goes wrong, for who asked: a word of service.h, a sentence that names the thing, what to do;
 * empty where there is nothing to say. */
struct refusal {
	const char *code;
	char detail[600];
	char remedy[200];
	char field[160]; /* of a document */
};

/* Always false. */
bool refuse(struct refusal *why, const char *code, const char *remedy, const char *detail, ...)
	__attribute__((format(printf, 4, 5)));
/* The same by a form's error. */
bool refuse_form(struct refusal *why, const struct form_error *error);
json_t *refusal_object(const struct refusal *why);

/* ---- Virtual functions of adapters (functions.c) ---- */

struct machine;
/* Its worker has said how it is, for the first time: adapters that lack one get it. */
void functions_begin(struct machine *machine, const json_t *status);
/* ... or again. */
void functions_heard(struct machine *machine, const json_t *status);
/* Its worker has ended, and what is remembered of it is about to go. */
void functions_end(struct machine *machine);
struct job;
/* Those that the job's machine has are taken from it; then `next`, or the job has failed. False: it
 * has none. */
bool functions_take(struct job *job, void (*next)(struct job *job));

/* ---- Programs that are asked, and end (tool.c) ---- */

struct tool;
/* `out`: what it printed; `said`: the beginning of what it said on standard error, the callee's to
 * cut. */
typedef void tool_done(void *user, bool done, const char *out, char *said);
/* A process in this folder; `done` is called when it has ended. NULL: why. */
struct tool *tool_run(struct service *service, const char *program, const char *folder,
		      const char *const *words, tool_done *done, void *user, struct refusal *why);
/* The same with a descriptor (-1: none), which is its third one. */
struct tool *tool_run_with(struct service *service, const char *program, const char *folder,
			   const char *const *words, int fd, tool_done *done, void *user,
			   struct refusal *why);
/* It is asked to end. */
void tool_end(struct tool *tool);
/* "NAME: WHAT; REMEDY", the last line, as a refusal about something ("": nothing). */
void tool_complaint(char *said, const char *name, const char *about, struct refusal *why);

/* ---- Machines ---- */

enum machine_state {
	MACHINE_OFF,
	MACHINE_STARTING,
	MACHINE_RUNNING,
	MACHINE_PAUSING,
	MACHINE_PAUSED,
	MACHINE_RESUMING,
	MACHINE_SAVING,
	MACHINE_SAVED,
	MACHINE_STOPPING,
	MACHINE_STATES,
};

enum start_action { START_NEVER, START_IF_RUNNING, START_ALWAYS };
enum stop_action { STOP_SHUTDOWN, STOP_SAVE, STOP_TURN_OFF };
enum role { ROLE_NONE, ROLE_VIEWER, ROLE_OPERATOR, ROLE_ADMIN };

#define ITSELF    "/proc/self/exe" /* that does some things as a process of its own */
#define UUID_TEXT 37               /* bytes, as GUID_TEXT of disk/bytes.h */

/* What vmms itself reads of a machine's document; the rest is the worker's affair. */
struct settings {
	enum start_action start;
	uint64_t start_delay; /* seconds */
	enum stop_action stop;
	bool transient;   /* the machine is deleted when it is off again */
	json_t *document; /* all of it, owned */
};

struct machine {
	struct service *service;
	struct machine *next;
	char *name; /* and its folder's, in the store */
	char id[UUID_TEXT];
	char revision[40];        /* of the document, another one with each change */
	struct settings settings; /* document NULL: damaged */
	char *damage;             /* why the document cannot be used; NULL: it can */

	enum machine_state state;
	char reason[64]; /* why it ended last; empty: nobody knows */
	bool crashed;
	uint64_t since_ms; /* CLOCK_MONOTONIC: in this state */
	struct job *queue; /* what is to be done, the first of it now; the last one is the newest */
	struct link *link; /* to the worker, NULL: none */
	struct console *console;
	struct display *displays;
	pid_t worker;                    /* 0: there is none */
	struct source process;           /* its pidfd */
	enum machine_state worker_state; /* as it says; while it has greeted */
	bool greeted;
	struct timer kill_timer; /* it was turned off, and has this long to end */
	struct timer next_timer; /* the next of the queue begins */
	struct timer meet_timer; /* its worker was not itself yet */
	struct timer start_timer;
	bool writing;      /* its document, or something about its checkpoints */
	json_t *status;    /* as its worker said at the last scrape (metrics.c); NULL: it did not */
	uint64_t asked_ms; /* for that, and it has not answered; 0: it has */
	json_t *running; /* what its worker has: config and bounds (change.c); NULL: nobody knows */
	json_t *waits;   /* members of its document that hold at its next start */
	struct timer gone_timer; /* it is transient, and off */
	json_t *points;          /* its checkpoints, by their ids (tree.c) */
	struct tool *tree;       /* the process that works on them; NULL: none */
	bool rests;        /* merging was cancelled, or failed: not again by itself while it runs */
	struct move *move; /* to another host, or from one; NULL: none */
};

/* machine.c */
const char *machine_state_name(enum machine_state state);
struct machine *machine_new(struct service *service, const char *name);
void machine_free(struct machine *machine); /* of one that is off */
void machine_sort(struct machine *machine); /* it has another name: where is it in the list? */
struct machine *machine_find(struct service *service, const char *name_or_id);
void machine_set_state(struct machine *machine, enum machine_state state);
/* A file of the machine's, in its folder or (run) of this boot. PATH_MAX bytes; false: too long. */
bool machine_path(const struct machine *machine, const char *file, char *path) MUST_CHECK;
bool machine_run_path(const struct machine *machine, const char *end, char *path) MUST_CHECK;

/* Files of a machine's folder. */
#define FILE_DOCUMENT   "machine.json"
#define FILE_LOG        "worker.log"
#define FILE_RUNNING    "running" /* there while it runs */
#define FILE_STATE      "state.vmrs"
#define FILE_STATE_NEW  "state.vmrs.new"  /* while it is written */
#define FILE_STATE_USED "state.vmrs.used" /* while it is read */
/* The worker that holds the machine's lock is met again, after a start of vmms. */
void machine_meet(struct machine *machine);
/* A process has been started for it. False: why; it has been ended then. */
bool machine_take_worker(struct machine *machine, pid_t worker, struct refusal *why);
/* From the link: what the worker tells, and that it has hung up. */
void machine_greeted(struct machine *machine);
void machine_event(struct machine *machine, const json_t *params);
/* What the worker says of its jobs is heard again. */
void machine_ask_jobs(struct machine *machine);
/* Its state is as it is by itself: nothing is being done with it. */
void machine_settle(struct machine *machine);
void machine_kill(struct machine *machine);
json_t *machine_summary(const struct machine *machine);
/* Of its worker's process, user and system, guests included; 0: there is none. */
double machine_cpu_seconds(const struct machine *machine);
/* The start actions of all, after a boot. */
void machine_start_all(struct service *service);

/*
 * start.c: a process of a program, of a session of its own, in this folder. `fds` become its
 * descriptors from 3 on, `out` and `err` what they are called. The process, or -errno.
 */
pid_t start_process(const char *program, const char *folder, const char *const *words,
		    const int *fds, unsigned int count, int out, int err);
/* A text as a file that can be read from its start, or -errno. */
int start_text_file(const char *name, const json_t *document);
/* What a worker has that waits for a machine from another host. */
struct arriving {
	const json_t *config;
	int stream; /* a connected socket, the caller's */
	const char *owner;
	bool disks; /* they come along */
};
/* A worker for the machine, from its saved state if there is one; or (not NULL) for one that comes.
 * False: why. */
bool start_worker(struct machine *machine, const struct arriving *from, struct refusal *why);
/* The log of a worker that has run for long begins anew: a guest can add some lines a minute to
 * it. */
void start_trim_log(const struct machine *machine);
/* The last line that it left in its log, or "". */
void start_last_words(const struct machine *machine, char *text, size_t size);
/* 0: nobody has the lock; 1: a worker has it, and *worker is who (0: it has just been made, and is
 * not itself yet); or -errno. */
int start_take_lock(struct machine *machine, pid_t *worker);

/* ---- Documents and folders (settings.c, judge.c, store.c) ---- */

/* Takes the document. False: why, and *settings is as it was. */
bool settings_read(struct settings *settings, json_t *document, struct refusal *why);
void settings_free(struct settings *settings);
/* What the worker is told: the document without what is for vmms, with what only vmms knows. */
json_t *settings_for_worker(const struct machine *machine, const json_t *document);
/* Of a machine, and so of a folder. */
bool settings_name_is_good(const char *name, struct refusal *why);
enum role settings_role(const struct settings *settings, const char *user);
/*
 * Whether the worker would take it: asked of the program itself. `done` is called later, once;
 * never if false is returned at once.
 */
bool settings_check(struct service *service, const char *folder, json_t *for_worker,
		    void (*done)(void *user, const struct refusal *why), void *user,
		    struct refusal *why);

bool store_scan(struct service *service); /* false: said why */
/* `why` NULL: it is written, and the machine's. */
typedef void store_done(struct machine *machine, void *user, const struct refusal *why);
/*
 * Takes the document, and writes it so that after a power cut there is the old one or the new one.
 * False: refused at once; else `done` is called later, and until then the machine is `writing`:
 * nothing begins with it, and it is neither written nor deleted.
 */
bool store_write(struct machine *machine, json_t *document, store_done *done, void *user,
		 struct refusal *why);
/* The same with its folder, which is gone again if that fails. */
bool store_create(struct machine *machine, json_t *document, store_done *done, void *user,
		  struct refusal *why);
bool store_rename(struct machine *machine, const char *name, struct refusal *why);
/* With what lies in its folder: what firmware and TPM keep, or that and the files of disks. *kept:
 * something is left in the folder. */
enum store_files { STORE_KEEP, STORE_FIRMWARE, STORE_DISKS };
bool store_delete(struct machine *machine, enum store_files files, bool *kept, struct refusal *why);
bool store_mark(const struct machine *machine, const char *file, bool there);
/* A file of a folder, whole or not at all. 0 or -errno: nothing has changed, as far as that can be
 * told. The folder is the caller's to sync. */
int store_replace(int folder, const char *name, const char *text);
/* Another process has changed the document, or checkpoints. False: why, and the document is as it
 * was. */
bool store_reload(struct machine *machine, struct refusal *why);

/* ---- Checkpoints (checkpoint.c, tree.c) ---- */

struct job;
struct action;

/* What is in a machine's folder: checkpoints by their ids, those that are deleted among them. */
json_t *tree_read(const char *folder);
/* It has what a checkpoint has to have. */
bool tree_is_point(const json_t *point);
/* The id of the one that a document goes on from, or "". */
const char *tree_parent(const json_t *document);
/* Something was under way in it when it was looked after last. */
bool tree_needs_mending(const char *folder);
/* One that is deleted can go, which may mean that files of disks are merged. */
bool tree_has_to_merge(const json_t *machine, json_t *points);
/* The first was made over the other, or over one that was, as their names say. */
bool tree_is_line(const char *file, const char *other);
/* A document has a disk of this file, by the same name. */
bool tree_names_file(const json_t *document, const char *file);
/* A disk of a document that the guest writes to. */
bool settings_writes(const json_t *disk);
/* A document in the folder of the process; that of a checkpoint, or (NULL) the machine's. False:
 * said why. */
bool tree_write_document(const char *path, const json_t *document) MUST_CHECK;
bool tree_write(const char *id, const json_t *object) MUST_CHECK;
/* One that was made for this, and has files alone. */
void tree_remove_folder(const char *folder);
/* What the process of a tree has. */
struct tree {
	const char *control, *vmctl;
	json_t *wanted;  /* what was asked for; of its worker: alive, running, disks */
	json_t *machine; /* its document */
	json_t *points;  /* by their ids */
};
/*
 * `vmctl CONTROL ...`: words[2] and what follows, the first two are filled in. `quietly`: it may
 * well be that there is nothing for it to do.
 */
bool tree_run_vmctl(const struct tree *tree, const char **words, bool quietly) MUST_CHECK;
/* The worker goes on, in the new files or in the old ones, if there is one; and runs, if it ran. */
void tree_let_go(const struct tree *tree, bool ran, bool keep);
/* From here on SIGTERM ends what takes long, instead of the process. */
void tree_may_be_given_up(void);
bool tree_is_given_up(void);
/* `vmms --tree VERB VMCTL CONTROL WHAT`, in a machine's folder. The exit status. */
int tree_main(int argc, char **argv);
#define TREE_FOLDER "checkpoints"

/*
 * relocate.c: files of disks that go to another folder, of a machine that is off or runs, by
 * `vmms --tree`. The documents are changed and written. wanted: to; token; needed: files that other
 * machines name; elsewhere: others that may lie over one. And what was cut is taken back, or goes
 * on. False: said why.
 */
bool relocate(struct tree *tree) MUST_CHECK;
bool relocate_mend(struct tree *tree) MUST_CHECK;
#define FILE_MOVING "disks.moving"
/* The same files in what the worker was started with, after that. */
void relocate_followed(const struct machine *machine);

/*
 * firmware_files.c: what UEFI firmware and a TPM keep, as a checkpoint has it; in the machine's
 * folder, by `vmms --tree`. False: said why.
 *
 * Taken of a machine that stands (`alive`) or is off; dropped with the checkpoint. On the way back
 * they are staged before the document is written that has the token, and settled afterwards, one by
 * one by the next process if this one is cut.
 */
bool firmware_files_take(const json_t *document, const char *id, bool alive) MUST_CHECK;
void firmware_files_drop(const char *id);
bool firmware_files_stage(const json_t *document, const char *id, const char *token) MUST_CHECK;
void firmware_files_unstage(const char *token);
bool firmware_files_is_staged(const char *name);
bool firmware_files_settle(const char *name, const json_t *machine) MUST_CHECK;
bool firmware_files_settle_all(const char *token, const json_t *machine) MUST_CHECK;
/* Into a new folder, whose document names them then. */
bool firmware_files_export(json_t *document, const char *id, const char *folder) MUST_CHECK;
/* Any regular file, to a place where none is. */
bool firmware_files_copy(const char *from, const char *to) MUST_CHECK;
/* Those that lie in the folder itself. */
void firmware_files_delete(int folder, const json_t *document);
/* The member of a document whose file lies elsewhere; NULL: none does. */
const char *firmware_files_elsewhere(const json_t *document);
/* The member that two have of different files; NULL: they have the same. */
const char *firmware_files_differ(const json_t *document, const json_t *config);
/* The name of one that is there already, of a machine that is not; NULL: there is none. */
const char *firmware_files_left(const struct machine *machine, const json_t *document);

/* A list, the oldest first, without those that are deleted; and one, with its document (NULL:
 * why). */
json_t *checkpoints_list(const struct machine *machine);
json_t *checkpoint_show(const struct machine *machine, const char *id, struct refusal *why);
/* A job; NULL: why. The body: name, notes, and of a new one type, all optional; `more`: what goes
 * with the verb, taken. */
struct job *checkpoint_take(struct machine *machine, const json_t *body, const char *user,
			    struct refusal *why);
struct job *checkpoint_rename(struct machine *machine, const char *id, const json_t *body,
			      const char *user, struct refusal *why);
struct job *checkpoint_change(struct machine *machine, const char *verb, const char *id,
			      json_t *more, const char *user, struct refusal *why);
/* The body: to, a new folder. */
struct job *checkpoint_export(struct machine *machine, const char *id, const json_t *body,
			      const char *user, struct refusal *why);
/* Its files of disks go to another folder. The body: to. */
struct job *checkpoint_relocate(struct machine *machine, const json_t *body, const char *user,
				struct refusal *why);
/* One that has undo disks is to be started: the job before that. False: why. And: it lacks them. */
bool checkpoint_undo(struct machine *machine, const char *user, struct refusal *why);
bool checkpoint_undo_lacks(const struct machine *machine);
/* What was cut, or could not be merged while it ran, is brought to its end, by a job. */
void checkpoint_mend(struct machine *machine);
/*
 * Files are merged while the machine runs, by a job that begins when there is nothing else to be
 * done with it, and gives way to all that is asked for. What the worker says of its jobs is heard.
 */
bool checkpoint_may_merge(const struct machine *machine);
void checkpoint_merge(struct machine *machine);
void checkpoint_give_way(struct machine *machine);
void checkpoint_heard(struct machine *machine, const json_t *worker_job);
/* The same of a machine that has been met, after a start of vmms. */
void checkpoint_met(struct machine *machine);
bool checkpoint_is_action(const struct action *action);

/* ---- Moves to other hosts, and from them (move.c, arrival.c, offer.c, shared.c, luggage.c)
 * ---- */

struct request;

/* Another service's words about a machine; all of it is the body's. */
struct offer {
	const char *name, *owner, *from;
	const json_t *document, *config;
	const json_t *checkpoints; /* what is to be there for them; NULL: it has none */
	/* By name, what the disks are that come along; NULL: they are on storage that both have. */
	const json_t *storage;
	bool check;
};

/* False: why. */
bool offer_read(const json_t *body, struct offer *offer, struct refusal *why);
/* The name of an owner file in this folder. PATH_MAX bytes; false: too long. */
bool offer_owner(const char *folder, const char *id, char *path) MUST_CHECK;
/* A copy in which files are absolute. */
json_t *offer_paths(const json_t *document, const char *folder);
/* In both, disks that come along have the names that they have in the machine's folder there; and
 * `names` says which file each is: {name: its description's question}. False: why. */
bool offer_carried(json_t *document, json_t *config, json_t *names, struct refusal *why) MUST_CHECK;
/* A disk as another host describes it, and as it is to be made here; its text is the object's.
 * False: there is no such disk. */
struct disk_create;
bool offer_make(const json_t *described, struct disk_create *how) MUST_CHECK;
/* The file of its first disk, of those that it writes if there are any; NULL: none. */
const char *offer_disk(const json_t *document);
uint64_t offer_memory(const json_t *config);

/* `vmms --shared VERB WHAT`. The exit status. */
int shared_main(int argc, char **argv);

/* `vmms --luggage VERB WHAT`, in a machine's folder. The exit status. */
int luggage_main(int argc, char **argv);
#define LUGGAGE_FOLDER "checkpoints.arriving" /* what has come, while the machine is not ours */
#define LUGGAGE_DISKS  "disks.arriving" /* disks that were made for it then: their second names */
/* The machine is ours, and what came with it. Once more is right. False: why. */
bool luggage_keep(struct machine *machine, struct refusal *why) MUST_CHECK;
/* There are files of checkpoints, of a machine that is not. */
bool luggage_is_left(const struct machine *machine);

/* The job of one that is to come. NULL: why. */
struct job *move_expect(struct machine *machine, const struct offer *offer, const char *user,
			struct refusal *why);
/* Each answers, later: the source's, with the offer for the target; and the target's. */
void move_begin(struct request *request, struct machine *machine, const json_t *body);
void move_arrive(struct request *request, json_t *body);
/* Whether a client's connection is waited for. False: why. */
bool move_waits(const struct machine *machine, bool arriving, struct refusal *why);
/* It is there: a stream socket, and as of console_attach(). */
bool move_attach(struct machine *machine, bool arriving, int fd, void (*closed)(void *user),
		 void *user);
/*
 * What decides whose it is, where the two hosts share no file: the source says it (body NULL), and
 * is told that the target has seen it; the target is told. Answers, later.
 */
void move_owner(struct request *request, struct machine *machine, bool arriving,
		const json_t *body);
/* True: its document is not to be used or changed, and why. */
bool move_is_under_way(const struct machine *machine, struct refusal *why);
/* What was under way at the end of the last vmms. */
void move_met(struct machine *machine);
void move_close(struct machine *machine); /* with the machine */
bool move_is_action(const struct action *action);

/* ---- Documents that are changed while a worker has them (change.c, difference.c) ---- */

#define STEP_WORDS_MAX 14

/* What vmctl is to do with a worker. The words are the step's own, or of the documents that it was
 * made of. */
struct step {
	const char *words[STEP_WORDS_MAX];
	unsigned int count;
	char number[24], option[4400];
	char text[64]; /* for people */
};

/* Gives each SCSI disk its number: the one it has in `running`, or (NULL) as a worker would. */
void difference_number(json_t *config, const json_t *running);
/* Writes them into a document, if they would be others at the next start. */
void difference_place(json_t *document, const json_t *running);
/* From what to what the memory of a guest can be led that is started so. */
json_t *difference_bounds(const json_t *config);
/* More memory at most. */
bool difference_wants_more(const json_t *from, const json_t *to);
/* What a worker has, when it has been led from `running` to `to` as far as it can be while it
 * runs. */
json_t *difference_apply(const json_t *running, const json_t *to, const json_t *bounds);
/* The members in which they differ. */
json_t *difference_waits(const json_t *running, const json_t *to);
/* The next step from one to the other, by the worker's status. False: there is none. */
bool difference_next(const json_t *from, const json_t *to, const json_t *status, struct step *step);

/* The number of the first adapter from this one on that is to have a virtual function, and has
 * none; -1: there is none. */
json_int_t difference_lacks_function(const json_t *config, const json_t *status, json_int_t from);

/* A worker has been started so, has been met, or has ended. */
void change_started(struct machine *machine, const json_t *config);
void change_met(struct machine *machine);
void change_ended(struct machine *machine);
/* Of one whose document does not say its id: that of the worker which was started by its name.
 * False: there is none. */
bool change_find_id(struct machine *machine);
/* What else is remembered of it, beside its configuration. Takes the value. */
void change_remember(struct machine *machine, const char *key, json_t *value);
/* Whether the worker has to be told of another document; that takes a job. */
bool change_is_needed(const struct machine *machine, const json_t *document);
/* A document's disks as its worker has them, or would: each with its number. */
json_t *change_disks(const struct machine *machine);
/* Disks that the worker has keep their numbers. */
void change_place(const struct machine *machine, json_t *document);
/* The document is another one, and the worker has followed it already. */
void change_followed(struct machine *machine);
/* Another document, and name (NULL: the same), if it is of this revision still. As
 * store_write(). */
bool change_write(struct machine *machine, json_t *document, const char *name, const char *revision,
		  store_done *done, void *user, struct refusal *why);
bool change_is_under_way(const struct machine *machine, struct refusal *why);
/* Its params: document, revision, and perhaps name. */
extern const struct action change_action;
void change_release(struct job *job);

/* metrics.c: workers are asked, and `done` is called when they have answered, or after two seconds.
 * False: no memory. */
bool metrics_scrape(struct service *service, void (*done)(void *user), void *user);
/* Of the machines that may be seen; the caller frees it. NULL: no memory. */
char *metrics_text(const struct service *service,
		   bool (*may_see)(const void *user, const struct machine *machine),
		   const void *user);

struct request;

/* addresses.c: what a machine's guest says of its adapters' addresses; answers, later. */
void addresses_ask(struct request *request, struct machine *machine);

/* devices.c: the host's PCI devices, as an answer; one goes to vfio-pci for guests, or back to its
 * own driver. */
void devices_list(struct request *request);
void devices_give(struct request *request, const char *address, bool to_guests);

/* storage.c: the files of disks in the store. */
json_t *storage_object(const struct service *service);
/* The names of machines whose documents, or checkpoints, name this file. */
json_t *storage_users(const struct service *service, const char *path);
/* Another machine names this one of its files, too. */
bool storage_is_shared(const struct machine *machine, const char *file);
/* What documents and checkpoints name outside of the store. */
json_t *storage_paths_elsewhere(const struct service *service);

/*
 * files.c: a machine's files of disks. Each answers, later. One that is brought or fetched becomes
 * the request's `transfer`, when it has begun or is refused; it is released with the request.
 */
void files_list(struct request *request, const struct machine *machine);
void files_create(struct request *request, const struct machine *machine, const json_t *body);
void files_resize(struct request *request, const struct machine *machine, const char *name,
		  const json_t *body);
void files_delete(struct request *request, const struct machine *machine, const char *name);
void files_take(struct request *request, const struct machine *machine, const char *name);
void files_give(struct request *request, const struct machine *machine, const char *name);

/* `go` is called, later or at once: whether no disk of another machine's lies over one of this
 * one's, which is to go with its disks. */
void files_unneeded(struct request *request, const struct machine *machine,
		    void (*go)(struct request *request, const struct refusal *why));

struct transfer;
/* Whether the answer is its bytes: then how many there are. */
bool transfer_is_fetched(const struct transfer *transfer, uint64_t *size);
/* What is left of it is in *size. False: there is no room for that now; request_go_on() when there
 * is. */
bool transfer_put(struct transfer *transfer, const char *bytes, size_t *size);
/* -EAGAIN: there is nothing now; request_go_on() when there is. -EPIPE: there is no more. */
ssize_t transfer_get(struct transfer *transfer, char *to, size_t size);
void transfer_release(struct transfer *transfer);

/* file_process.c: `vmms --file VERB NAME WANTED`, in a machine's folder. The exit status. */
int file_main(int argc, char **argv);
/* Whether a file of the store, of its own folder or of these (paths) lies over it; also if nobody
 * can tell. In a machine's folder. */
bool file_is_parent(const char *name, const json_t *elsewhere);
#define FILE_SOCKET  3          /* by which bytes come and go */
#define FILE_PARTIAL ".partial" /* behind the name of one that is not whole yet */

/* ---- The worker's control socket (link.c) ---- */

/* `error` NULL: answered; else an object with message and perhaps data.remedy. */
typedef void link_done(struct machine *machine, void *user, const json_t *result,
		       const json_t *error);
/* -errno */
int link_open(struct machine *machine, const char *path);
/* Takes params and the descriptor (-1: none). `done` is called once, later. */
void link_ask(struct machine *machine, const char *method, json_t *params, int fd, link_done *done,
	      void *user);
/* A link_done for what is not waited for. */
void link_ignore(struct machine *machine, void *user, const json_t *result, const json_t *error);
/* Takes in all that has come. */
void link_drain(struct machine *machine);
/* What was asked is answered with an error. */
void link_close(struct machine *machine);

/* ---- Jobs (job.c, action.c) ---- */

enum job_state { JOB_QUEUED, JOB_RUNNING, JOB_DONE, JOB_FAILED, JOB_CANCELLED };

struct job {
	uint64_t id;
	struct job *next;        /* of the service's */
	struct job *behind;      /* in the machine's queue */
	struct machine *machine; /* NULL: it has been deleted, or the job has ended */
	char *name;              /* of the machine, when it was asked */
	char machine_id[UUID_TEXT];
	const struct action *action; /* NULL: of an earlier vmms */
	char *what;
	char *user;
	json_t *params;
	enum job_state state;
	char step[64];
	json_int_t worker_job; /* that is waited for, 0: none */
	uint64_t done, total;  /* bytes; total 0: nobody knows */
	json_t *error;         /* refusal_object(); when it has failed */
	json_t *result;        /* what else there is to say of one that is done; NULL: nothing */
	time_t began, ended;
	struct waiter *waiters;
	struct change *change; /* of one that changes a document */
};

/* What becomes of a job when this comes; NULL: what action.c has for all. */
struct action_own {
	void (*worker_runs)(struct job *job);
	void (*worker_gone)(struct job *job);
	/* The worker's job for it has come to an end. */
	void (*worker_job)(struct job *job, const json_t *worker_job);
	bool (*cancel)(struct job *job); /* false: it cannot be */
};

struct action {
	const char *name;
	const char *past;          /* "'web1' cannot be ..." */
	unsigned int from;         /* a bit for each state */
	enum machine_state during; /* of the machine while it is carried out */
	bool at_once;              /* it does not wait for what is being done */
	void (*begin)(struct job *job);
	const char *method;           /* of the worker's, where that is all */
	const struct action_own *own; /* NULL: nothing */
};

/* action.c */
const struct action *action_find(const char *name);
const struct action *action_at(unsigned int index); /* NULL: there are no more */
/* What the worker says of a job that is waited for. */
void action_worker_job(struct job *job, const json_t *worker_job);
/* The worker runs, or has ended, while this was being done. */
void action_worker_runs(struct job *job);
void action_worker_gone(struct job *job);
/* False: it cannot be. */
bool action_cancel(struct job *job);

/* The first of a machine's queue begins, if nothing is in its way any more. */
void job_go_on(struct machine *machine);
/* All that is queued has failed: there is no such machine. */
void job_fail_all(struct machine *machine, const struct refusal *why);
/* job.c. NULL: why. Takes params. */
struct job *job_new(struct machine *machine, const struct action *action, json_t *params,
		    const char *user, struct refusal *why);
struct job *job_find(struct service *service, uint64_t id);
/* Those of a machine that are being done, one after the other. */
struct job *job_running(const struct machine *machine, const struct job *after);
void job_step(struct job *job, const char *step);
void job_done(struct job *job);
void job_fail(struct job *job, const struct refusal *why);
void job_cancelled(struct job *job);
bool job_cancel(struct job *job, struct refusal *why);
json_t *job_object(const struct job *job);
/* Those that an earlier vmms did not end are failed. False: said why. */
bool job_scan(struct service *service);
void job_forget_all(struct service *service);
/* Called once, when the job has ended or after so long. */
struct waiter {
	struct waiter *next;
	struct job *job;
	struct timer timer;
	void (*over)(struct waiter *waiter);
};
void job_wait(struct service *service, struct job *job, struct waiter *waiter, uint64_t ms,
	      void (*over)(struct waiter *waiter));

/* ---- Events (events.c) ---- */

bool events_create(struct service *service);
void events_destroy(struct service *service);
/* Takes the object. */
void events_emit(struct service *service, const char *name, json_t *object);
uint64_t events_last(const struct service *service);
/* The next one after `id` as SSE has it, or NULL: there is none yet. Those in between may be
 * forgotten. */
const char *events_next(const struct service *service, uint64_t *id);

/* ---- Consoles (console.c) ---- */

/* COM1 by the worker's method "console". */
void console_open(struct machine *machine);
void console_close(struct machine *machine);
#define CONSOLE_LAST_MAX 4096
/* Of a machine that has a console: what it showed last, a text of so many bytes and no more than
 * that, with the guest's control characters. */
json_t *console_last(const struct machine *machine, size_t most);
/*
 * A stream socket of somebody's who sees what the console shows, from what it has kept on, and
 * types. `closed` is called when it is over; the descriptor is not closed here. False: there is no
 * console.
 */
bool console_attach(struct machine *machine, int fd, void (*closed)(void *user), void *user);

/* ---- Screens (display.c) ---- */

/* To the screen of a machine whose worker has one that it has from here (start.c). A stream socket
 * of RFB, or -errno; -ENOENT: there is none. */
int display_connect(const struct machine *machine);
/*
 * Joins it with a stream socket of somebody's who looks at the screen. `closed` is called when it
 * is over; `viewer` is not closed here, `screen` is taken. False: out of memory.
 */
bool display_attach(struct machine *machine, int screen, int viewer, void (*closed)(void *user),
		    void *user);
void display_close(struct machine *machine); /* all of them */

/* ---- The API (http.c, api.c) ---- */

/* A request while it is answered. */
struct request {
	struct service *service;
	struct request *next; /* of all that there are */
	struct MHD_Connection *connection;
	const char *method;
	char *path;
	char *body;
	size_t length;
	bool too_long, too_many, serving, suspended, waited;
	uint64_t length_said; /* of the body, by its head; 0: nothing is said, or no number */
	struct transfer *transfer;
	uid_t uid;     /* by the kernel's word on who connected */
	char user[64]; /* empty: not known yet */
	bool is_admin;
	const char *only; /* the id of the machine that its connection is for; empty: for all */
	char if_match[64];
	/* The answer, once there is one. */
	unsigned int status; /* 0: there is none yet */
	json_t *answer;
	char *text; /* instead, plain and owned */
	char location[160], etag[48];
	char console[UUID_TEXT]; /* instead of an answer: this machine's */
	int display;             /* ... its screen, in place of COM1; -1: none */
	bool seat;               /* ... that is a seat there, handed over */
	enum { MOVES_NOT, MOVES_AWAY, MOVES_HERE } moves; /* ... the way that it moves */
	bool stream; /* instead of an answer: events, from `seen` on */
	uint64_t seen;
	/* What api.c needs while it waits. */
	struct waiter waiter;
	json_t *document;
	char *name;
	char machine_id[UUID_TEXT]; /* of one that is made */
	char key[SERVICE_NAME_MAX +
		 1]; /* of one that is changed: its id, or the name of one that has none */
	char revision[40];
};

/* Of its connection from now on: it is for this machine alone. */
void request_limit(struct request *request, const char *id);
/* Answers, or begins to: then request_answer() comes later. */
void api_serve(struct request *request);
/* Takes the answer. */
void request_answer(struct request *request, unsigned int status, json_t *answer);
/* What it waited for is there. */
void request_go_on(struct request *request);
/* The same with a refusal. */
void api_refuse(struct request *request, const struct refusal *why);
/* A parameter of the query, or NULL. */
const char *request_parameter(const struct request *request, const char *name);

/* switches.c: each answers, later. */
void switches_list(struct request *request);
void switches_show(struct request *request, const char *name);
void switches_create(struct request *request, const json_t *body);
void switches_delete(struct request *request, const char *name);
/* Adapters that have no address get one, which no other machine's has; or that which they had
 * before (NULL: there was no such document). */
void switches_give_addresses(struct service *service, json_t *document, const json_t *before);

/* openapi.S: the API's document. */
extern const char openapi_start[], openapi_end[];

bool http_create(struct service *service, int listener);
void http_destroy(struct service *service);
void http_wake_events(struct service *service); /* an event more */
void http_wake_asked(struct service *service);  /* a user more is known */

#endif
