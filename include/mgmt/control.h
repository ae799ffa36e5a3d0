/*
 * What is said on the socket of `vmwp --control`: names and limits, for both sides. What they mean
 * together is in docs/design/control.md.
 *
 * SOCK_SEQPACKET; a packet is one JSON-RPC 2.0 object: a request, the answer to one, or an event.
 * The file descriptors of a request come with its packet, and are the worker's once it has them.
 */
#ifndef MGMT_CONTROL_H
#define MGMT_CONTROL_H

#define CONTROL_VERSION      1 /* the highest that this header has; the lowest is 1 too */
#define CONTROL_MESSAGE_MAX  131072
#define CONTROL_FILES_MAX    253 /* the kernel hands over no more at once */
#define CONTROL_CLIENTS_MAX  16
#define CONTROL_EVENTS_MAX   64 /* that wait for one client */
#define CONTROL_JOBS_MAX     32 /* that are known */
#define CONTROL_JOBS_KEPT    16 /* ... of those that have ended, the last ones */
#define CONTROL_JOBS_RUNNING 4
#define CONTROL_NAME_MAX     4095 /* bytes of a file's name */
#define CONTROL_ID_MAX       64   /* bytes of a request's id that is a text */
#define CONTROL_NUMBER_MAX   63   /* of a disk on the SCSI controller: its LUN */
#define CONTROL_ADAPTER_MAX  15   /* of a network adapter */

/*
 * Requests: the members of "params" in brackets, "?" where they may be absent; behind the arrow
 * those of "result". Who may only look may call those marked [look].
 *
 * A file's name is for its format (by its end, as `vhd` says) and for messages; the worker opens no
 * path.
 */
/* [versions: [lowest, highest]] -> version, versions, name (of the machine), methods, events
 * [look] */
#define CONTROL_HELLO  "hello"
#define CONTROL_STATUS "status"     /* -> see below  [look] */
#define CONTROL_EVENTS "events"     /* [on?: true] -> sequence: of the last event  [look] */
#define CONTROL_JOBS   "jobs"       /* -> jobs: a list  [look] */
#define CONTROL_CANCEL "job.cancel" /* [job: its id] -> job */
#define CONTROL_PAUSE                                                                              \
	"pause" /* -> job; done when no VP is in the guest, and no request of its under way */
#define CONTROL_RESUME "resume" /* -> state; also of a machine that is pausing still */
/*
 * Of a machine that is paused, and an empty file that is open for writing -> job: the machine's
 * whole state into it. When that is done the machine has come to its end ("saved"), and goes on
 * where it was when it is started with this file; otherwise it is paused as before.
 */
#define CONTROL_SAVE "save"
/*
 * [state?: false, mirrored?: false, disks: a list of {controller?: "scsi" or "ide", number,
 * name}], of a machine that is paused; with an empty file, open for writing, if there is to be a
 * state, then for each disk a new differencing disk that was made over the present one, open for
 * both -> job: the state is written, and each disk goes on in the new file. All disks that the
 * guest may write are in the list. Done: the machine stands and cannot be resumed until
 * checkpoint.end; in every other case it is paused as before. `mirrored`, without state and disks:
 * the new files are the mirrors that its disks have, made durable; the disks go on in them at the
 * end.
 */
#define CONTROL_CHECKPOINT "checkpoint"
/* [keep] -> job, after that: the machine is paused, and its disks are the new files, or (keep
 * false) the old ones again; also, with keep false, of mirrors for which it does not stand yet */
#define CONTROL_CHECKPOINT_END "checkpoint.end"
/*
 * [controller?, number, name, absolute, relative, look?: false], with three descriptors, or two,
 * open for both: of a file of the disk's, of its parent, and of the file that lies over it, if it
 * is not the top -> job, with done and total: the file goes into its parent while the machine runs,
 * and leaves the chain. `absolute` and `relative` are the parent's names for the file over it;
 * `name` is the disk's if it was the top that went. Until then the chain is as before, whatever
 * becomes of the job. Where another merge of the disk is under way, that is the job. -> merged:
 * true, if it has gone already; with `look` always, true or false.
 */
#define CONTROL_MERGE "disk.merge"
/*
 * [controller?, number, name, absolute?, relative?], with the descriptors of an empty file, open
 * for both, and of copies of the disk's parents, the nearest first -> job, with done and total: the
 * disk is copied into that file while the machine runs. `absolute` and `relative` are the first
 * parent's names for it, `name` its own. Done: each write goes to both from then on, and the status
 * has `name` as the disk's `mirror`, until checkpoint.end; it ends as well with a write that it
 * fails, of which the next checkpoint tells.
 */
#define CONTROL_MIRROR "disk.mirror"
/*
 * [downtime?: 300 (ms), rounds?: 30], a stream socket that is connected to a worker that receives
 * (config.schema.json), the owner file, open for reading and writing, and, for the case that the
 * machine stays, for each adapter a socket that is connected to its switch's port socket (or none
 * at all) -> job, with done and total: the machine moves there while it runs, and stands for no
 * longer than `downtime` if its guest writes little enough. Done when the other worker has it,
 * whatever happens then; the machine has come to its end here ("moved"). Its answer: rounds, pages,
 * bytes (sent), downtime-us. In every other case it goes on here.
 */
#define CONTROL_MIGRATE       "migrate"
#define CONTROL_DOWNTIME      300
#define CONTROL_DOWNTIME_MOST 60000
#define CONTROL_ROUNDS        30
#define CONTROL_ROUNDS_MOST   1000
/*
 * [restart?: false, force?: false] -> job; the guest's shutdown service is asked. Done when the
 * guest has come to that end, failed with "guest" when it says no, is silent, or comes to another.
 * force: programs that object are ended.
 */
#define CONTROL_SHUTDOWN "shutdown"
/* [name, on] -> service, as in "status": a service is offered to the guest, or withdrawn */
#define CONTROL_SERVICE "service.set"
/*
 * Values that host and guest exchange. -> job. [pool, key] -> its answer: key, type, value (a text,
 * numbers in decimal). To list: [pool, from?: 0] -> its answer: values (a list of those), next (the
 * index to go on from; absent: there are no more). To set: [pool, key, value, type?: "string"].
 */
#define CONTROL_VALUE_GET    "value.get"
#define CONTROL_VALUE_LIST   "value.list"
#define CONTROL_VALUE_SET    "value.set"
#define CONTROL_VALUE_DELETE "value.delete"
/*
 * What addresses a network adapter of the guest has, as the guest says, and others for it.
 * [adapter: its number from 0 on] -> job, whose answer has adapter, dhcp, addresses (a list of
 * texts, "192.0.2.7/24"), gateways and dns (likewise, without the prefix). To set: the same
 * members; with dhcp none of the others.
 */
#define CONTROL_ADDRESSES_GET "addresses.get"
#define CONTROL_ADDRESSES_SET "addresses.set"
/*
 * [seconds?: 60, at most 900] -> job, done when the guest's file systems stand still. They are
 * thawed by "thaw", when the time is over, when the connection of who asked closes, by a pause of
 * the machine and by the end of the guest.
 */
#define CONTROL_FREEZE         "freeze"
#define CONTROL_FREEZE_SECONDS 60
#define CONTROL_FREEZE_MOST    900
/* -> job; failed with "guest" when they were thawed before: what was copied meanwhile may not be
 * whole */
#define CONTROL_THAW "thaw"
/* [path, overwrite?, create-directories?], and a regular file -> job; path is where the guest is to
 * have it */
#define CONTROL_COPY   "copy"
#define CONTROL_BUTTON "power-button" /* what the guest does then is its own affair */
/* Another generation ID: the guest is told that it was copied, or taken back to an earlier state,
 * and makes its random numbers anew */
#define CONTROL_GENERATION "generation.renew"
#define CONTROL_RESET      "reset" /* at once; the guest is not asked */
#define CONTROL_OFF        "off"   /* likewise; the worker ends. Once more: it waits for no file */
/* [number, name, read-only?, raw?], and the disk's file and all its parents in order -> job */
#define CONTROL_ATTACH "disk.attach"
#define CONTROL_DETACH "disk.detach" /* [number], a disk or a drive -> job */
#define CONTROL_DVD    "dvd.attach"  /* [number, name?], and an ISO file, or none -> job */
/* [number, name?, force?], and an ISO file, or none; force: although the guest has locked the drive
 * -> job */
#define CONTROL_CHANGE "dvd.change"
/* With a regular file, open for writing, into which the screen is written (screen.h) -> bytes: how
 * many */
#define CONTROL_SCREEN "screen"
/*
 * [network: as in the configuration, but for its socket], and a socket that is connected to a
 * switch's port socket -> job: an adapter more, whose number the job has. Who is at the other end
 * of that socket gets the guest's memory.
 */
#define CONTROL_NET_ADD    "network.add"
#define CONTROL_NET_REMOVE "network.remove" /* [number] -> job */
#define CONTROL_NET_CONNECT                                                                        \
	"network.connect" /* [number], of one that has lost its switch, and such a socket -> job */
/*
 * [pci: its address, "0000:00:05.0", adapter?: a number], with a container of VFIO's and the
 * device's IOMMU group, or the container alone, if the machine has that group -> job: a device of
 * the host's hardware more. All of the guest's memory is pinned and the device's to reach when that
 * is done. With an adapter it is the virtual function of a card that is to carry that one's frames,
 * set to its address (hosted/vf.h): the guest is told so.
 */
#define CONTROL_DEVICE_ADD "device.add"
/*
 * [pci, force?] -> job: the guest is asked to let go of it and has 30 s, or none with force; then
 * it is taken away. Done: it is the root's, reset, and its group too, if that was its last.
 */
#define CONTROL_DEVICE_REMOVE "device.remove"
#define CONTROL_SEAT                                                                               \
	"seat" /* with a socket of packets (SOCK_SEQPACKET), which becomes a seat at the screen (display.h) */
#define CONTROL_CONSOLE "console" /* with a stream socket, which becomes the far end of COM1 */
/*
 * [target?, minimum?, maximum?: bytes] -> dynamic-memory, as in "status": how much memory the guest
 * is to have, between the other two, and these; the maximum not above the configuration's. It takes
 * its time, and the guest may not give all that is asked for.
 */
#define CONTROL_MEMORY "memory.set"
/*
 * With a stream socket, which becomes one to the guest: say "CONNECT port\n" on its other end, or
 * "CONNECT guid\n", read "OK number\n", and from then on a program of the guest is there. Where
 * none listens it is hung up, after 10 s at most.
 */
#define CONTROL_SOCKET "socket"

/*
 * "status": name, id (its UUID), state, uptime (seconds since the last start or reset, pauses
 * included), resets, crashed, vps, memory (bytes), disks (a list: controller "scsi" or "ide",
 * number, kind "disk" or "dvd", name, size, read-only; an empty drive has no size), networks (a
 * list: number, switch, port, address, vlan, queues, connected (to its switch), channels (that the
 * guest has open), frames-out, bytes-out, frames-in, bytes-in, refused (what the guest did wrong:
 * counts by reason)), serials (a list: number, to, connected), devices (a list of pci: addresses of
 * the host's), services (a list, see below), scsi (requests, reads, writes, bytes-read,
 * bytes-written, errors: counts of the controller), sockets (connections: now; opened, refused:
 * counts), dynamic-memory (see below; where it is), clients, jobs (running and queued).
 *
 * A service of the guest's: name (of CONTROL_SERVICE_*), enabled, contacted; where contacted
 * version, framework, last-answer (seconds ago; absent before the first); why (a sentence: it
 * cannot be used now); wrong-answers (a count, dropped); of "heartbeat" also heartbeat and
 * application; of "backup" also file-systems, and thawed-why, where nobody has asked for the last
 * thaw.
 *
 * Dynamic memory, in bytes: limit (of the maximum, while it runs), minimum, maximum, target,
 * assigned (what the guest has), returned (what the root has back), gives-no-more (the guest, at
 * its last answer), takes-no-more (nothing more can be added to it, and the target is above that);
 * when it has reported: available (to its programs), demand (what they were promised, and the guest
 * needs itself), pressure (demand in per cent of assigned); why (a sentence: it cannot be led now).
 * For who divides memory among guests: weight, buffer (per cent).
 *
 * A job: id, what (the method), number (of the disk or adapter), state, step (a text), where it is
 * known how much there is to do done and total (bytes), and when it has failed: error, as of an
 * answer. The event of its end has the job's answer, where the method says so.
 */
#define CONTROL_SERVICE_SHUTDOWN  "shutdown"
#define CONTROL_SERVICE_HEARTBEAT "heartbeat"
#define CONTROL_SERVICE_TIME      "time"

#define CONTROL_SERVICE_VALUES "values"
#define CONTROL_SERVICE_BACKUP "backup"
#define CONTROL_SERVICE_FILES  "files"

/* All of them, in the order of vsp/integration's numbers. */
#define CONTROL_SERVICES                                                                           \
	CONTROL_SERVICE_SHUTDOWN, CONTROL_SERVICE_HEARTBEAT, CONTROL_SERVICE_TIME,                 \
		CONTROL_SERVICE_VALUES, CONTROL_SERVICE_BACKUP, CONTROL_SERVICE_FILES

#define CONTROL_FILE_SYSTEMS_THAWED   "thawed"
#define CONTROL_FILE_SYSTEMS_FREEZING "freezing"
#define CONTROL_FILE_SYSTEMS_FROZEN   "frozen"
#define CONTROL_FILE_SYSTEMS_THAWING  "thawing"

/* Who writes: the host; the guest; the guest of itself; the host of itself; and one that neither
 * side is told of. */
#define CONTROL_POOL_EXTERNAL "external"
#define CONTROL_POOL_GUEST    "guest"
#define CONTROL_POOL_AUTO     "auto"
#define CONTROL_POOL_HOST     "auto-external"
#define CONTROL_POOL_INTERNAL "internal"

#define CONTROL_TYPE_STRING   "string"
#define CONTROL_TYPE_EXPAND   "expand" /* a string with names of variables in it */
#define CONTROL_TYPE_NUMBER32 "number32"
#define CONTROL_TYPE_NUMBER64 "number64"

#define CONTROL_HEARTBEAT_NONE "no-contact"
#define CONTROL_HEARTBEAT_OK   "ok"
#define CONTROL_HEARTBEAT_LOST "lost"

#define CONTROL_APPLICATION_UNKNOWN  "unknown"
#define CONTROL_APPLICATION_OK       "ok"
#define CONTROL_APPLICATION_CRITICAL "critical"

#define CONTROL_STATE_RUNNING "running" /* of the machine, and of a job */
#define CONTROL_STATE_PAUSING "pausing"
#define CONTROL_STATE_PAUSED  "paused"
#define CONTROL_STATE_STOPPING                                                                     \
	"stopping" /* it ends or is reset, and a disk's file does not answer */
#define CONTROL_STATE_ENDED     "ended"
#define CONTROL_STATE_QUEUED    "queued"
#define CONTROL_STATE_DONE      "done"
#define CONTROL_STATE_FAILED    "failed"
#define CONTROL_STATE_CANCELLED "cancelled"

/*
 * Events: {"jsonrpc":"2.0","method":"event","params":{"sequence":N,"event":NAME,…}}, with "lost"
 * where some were left out before it.
 */
#define CONTROL_EVENT      "event"
#define CONTROL_ON_STATE   "state"   /* state, reason (of "ended") */
#define CONTROL_ON_RESET   "reset"   /* resets */
#define CONTROL_ON_CRASHED "crashed" /* the guest has reported its panic */
#define CONTROL_ON_DISKS                                                                           \
	"disks" /* number (of IDE: from 64 on), change: attached, detached, medium, merged,
		   mirrored */
#define CONTROL_ON_NETWORKS "networks" /* number, change: added, removed, connected, lost */
#define CONTROL_ON_DEVICES  "devices"  /* number, change: added, removed */
#define CONTROL_ON_JOB      "job"      /* job: it has ended */
#define CONTROL_ON_PROGRESS "progress" /* job: a hundredth more of it is done */
#define CONTROL_ON_SERVICE  "service"  /* service: its state is another */

/*
 * Errors: "code" is JSON-RPC's number, "message" a sentence, "data" has code (a word of these),
 * remedy (where there is one) and field (the member, as "params.number").
 */
#define CONTROL_BAD_PARSE       "parse"      /* -32700: no JSON */
#define CONTROL_BAD_REQUEST     "request"    /* -32600: JSON, but no request */
#define CONTROL_BAD_METHOD      "method"     /* -32601: nothing that this worker knows */
#define CONTROL_BAD_INVALID     "invalid"    /* -32602: a member of params; the rest is -32000 */
#define CONTROL_BAD_VERSION     "version"    /* no version that both speak, or none agreed on yet */
#define CONTROL_BAD_PERMISSION  "permission" /* this user may only look */
#define CONTROL_BAD_STATE       "state"      /* not in the state that the machine or the job has */
#define CONTROL_BAD_BUSY        "busy" /* somebody else has it: a job, the guest, another process */
#define CONTROL_BAD_NOT_FOUND   "not-found"
#define CONTROL_BAD_IO          "io"    /* a file is not what it should be, or cannot be used */
#define CONTROL_BAD_LIMIT       "limit" /* too many, or too long */
#define CONTROL_BAD_GUEST       "guest" /* it refuses, or does not answer */
#define CONTROL_BAD_CANCELLED   "cancelled"
#define CONTROL_BAD_DESCRIPTORS "descriptors" /* too many or too few came, or of another kind */

#endif
