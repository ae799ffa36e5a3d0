/*
 * What the files of the SCSI target share: a logical unit, the table of commands, and the ends of a
 * request.
 */
#ifndef VSP_STORAGE_SCSI_UNIT_H
#define VSP_STORAGE_SCSI_UNIT_H

#include <pthread.h>
#include <stdatomic.h>

#include "vsp/storage/scsi.h"

/* Sense key << 16 | additional sense code << 8 | qualifier (SPC-4 annex F). */
enum scsi_sense {
	SENSE_NONE = 0x000000,
	SENSE_INITIALIZING_NEEDED = 0x020402,
	SENSE_NO_MEDIUM_TRAY_CLOSED = 0x023a01,
	SENSE_NO_MEDIUM_TRAY_OPEN = 0x023a02,
	SENSE_WRITE_ERROR = 0x030c00,
	SENSE_READ_ERROR = 0x031100,
	SENSE_TARGET_FAILURE = 0x044400,
	SENSE_LIST_LENGTH = 0x051a00,
	SENSE_INVALID_OPCODE = 0x052000,
	SENSE_LBA_OUT_OF_RANGE = 0x052100,
	SENSE_INVALID_FIELD_CDB = 0x052400,
	SENSE_INVALID_FIELD_LIST = 0x052600,
	SENSE_INVALID_RELEASE = 0x052604,
	SENSE_SAVING_NOT_SUPPORTED = 0x053900,
	SENSE_REMOVAL_PREVENTED = 0x055302,
	SENSE_MEDIUM_CHANGED = 0x062800,
	SENSE_POWER_ON = 0x062900,
	SENSE_MODE_CHANGED = 0x062a01,
	SENSE_RESERVATION_PREEMPTED = 0x062a03,
	SENSE_RESERVATION_RELEASED = 0x062a04,
	SENSE_REGISTRATION_PREEMPTED = 0x062a05,
	SENSE_CAPACITY_CHANGED = 0x062a09,
	SENSE_CONDITIONS_CHANGED = 0x063f00,
	SENSE_WRITE_PROTECTED = 0x072700,
	SENSE_SPACE_EXHAUSTED = 0x072707,
	SENSE_NO_RESOURCES = 0x0b5503,
	SENSE_MISCOMPARE = 0x0e1d00,
};

/* Bits of a nexus' pending unit attentions; the lower bit is reported first. */
enum scsi_attention {
	ATTENTION_POWER_ON,
	ATTENTION_MEDIUM_CHANGED,
	ATTENTION_CAPACITY_CHANGED,
	ATTENTION_CONDITIONS_CHANGED,
	ATTENTION_MODE_CHANGED,
	ATTENTION_REGISTRATION_PREEMPTED,
	ATTENTION_RESERVATION_PREEMPTED,
	ATTENTION_RESERVATION_RELEASED,
	ATTENTION_COUNT,
};

/* What a GET EVENT STATUS NOTIFICATION has to say of the medium (MMC-6 6.6.2). */
enum scsi_media_event { MEDIA_NO_CHANGE, MEDIA_EJECT_REQUEST, MEDIA_NEW, MEDIA_REMOVED };

enum scsi_reservation {
	RESERVE_NONE = 0,
	RESERVE_WRITE_EXCLUSIVE = 1,
	RESERVE_EXCLUSIVE = 3,
	RESERVE_WRITE_REGISTRANTS = 5,
	RESERVE_EXCLUSIVE_REGISTRANTS = 6,
	RESERVE_WRITE_ALL = 7,
	RESERVE_EXCLUSIVE_ALL = 8,
};

/* [I] immutable, [H] changed only while held and without users, [a] atomic, [L] under lock */
struct scsi_unit {
	enum storage_kind kind; /* [I] */
	uint8_t id[16];         /* [I] */
	bool write_through;     /* [I] */
	struct disk *disk;      /* [H] NULL: no medium */
	uint64_t blocks;        /* [H] */
	uint32_t block_size;    /* [H] bytes */
	uint32_t physical_size; /* [H] */
	bool read_only;         /* [H] */

	_Atomic unsigned users;                       /* [a] requests under way */
	_Atomic bool held;                            /* [a] requests are answered BUSY */
	_Atomic bool leaving;                         /* [a] detached, once its users have ended */
	_Atomic bool stopped;                         /* [a] by START STOP UNIT */
	_Atomic bool write_cache;                     /* [a] mode page 08h, WCE */
	_Atomic unsigned attention[SCSI_NEXUS_COUNT]; /* [a] */
	_Atomic enum scsi_reservation reserved;       /* [a] written under lock */

	pthread_mutex_t lock;
	uint32_t generation; /* [L] of the registrations */
	unsigned holder;     /* [L] nexus that reserved; unused for the "all registrants" kinds */
	uint64_t keys[SCSI_NEXUS_COUNT];   /* [L] 0: not registered */
	bool tray_open, tray_locked;       /* [L] */
	enum scsi_media_event media_event; /* [L] */
};

/* Memory for the commands that work in steps, or on a copy of the guest's parameters. */
#define SCRATCH_DATA 65536u
#define SCRATCH_IOVS 16u

struct scsi_scratch {
	struct iovec iov[SCRATCH_IOVS];
	uint8_t data[SCRATCH_DATA];
};

/* A row for each command. What a command needs is checked in one place, before its handler. */
enum scsi_command_flags {
	CMD_IN = 1,       /* moves data to the guest */
	CMD_OUT = 2,      /* moves data from the guest */
	CMD_ATTENDS = 4,  /* carried out although a unit attention is pending */
	CMD_MEDIUM = 8,   /* needs the medium, and the unit started */
	CMD_READS = 16,   /* conflicts with another's exclusive reservation */
	CMD_CHANGES = 32, /* conflicts with another's reservation of any kind */
	CMD_WRITES = 64,  /* the same, and is refused on a read-only medium */
};

struct scsi_command {
	uint8_t opcode;
	uint8_t action; /* service action, where has_action */
	bool has_action;
	uint8_t flags;
	void (*run)(struct scsi_request *request);
	uint8_t usage[SCSI_CDB_BYTES]; /* which bits of the CDB are looked at (SPC-4 6.25.3) */
};

extern const struct scsi_command scsi_disk_commands[], scsi_dvd_commands[];
extern const unsigned scsi_disk_command_count, scsi_dvd_command_count;

unsigned scsi_cdb_length(uint8_t opcode);

/* scsi_bus.c: a request under way has ended; the unit may be gone after it. */
void scsi_bus_put(struct scsi_bus *bus, struct scsi_unit *unit);
/* By address. None comes or goes meanwhile. */
void scsi_bus_each(struct scsi_bus *bus,
		   void (*step)(struct storage_address at, struct scsi_unit *unit, void *user),
		   void *user);

/* scsi_unit.c */
struct scsi_unit *scsi_unit_create(const struct storage_unit *config);
void scsi_unit_destroy(struct scsi_unit *unit);
bool scsi_unit_set_disk(struct scsi_unit *unit, struct disk *disk); /* false: it cannot be served */
void scsi_unit_reset(struct scsi_unit *unit);
void scsi_unit_attend(struct scsi_unit *unit, enum scsi_attention attention); /* every nexus */
void scsi_unit_attend_others(struct scsi_unit *unit, unsigned nexus, enum scsi_attention attention);
enum scsi_sense scsi_unit_readiness(struct scsi_unit *unit);
void scsi_unit_execute(struct scsi_request *request);

/*
 * scsi_result.c: how a request ends. Each of these calls `done`, and the request is the caller's
 * again.
 */
void scsi_finish(struct scsi_request *request, enum scsi_status status);
void scsi_good(struct scsi_request *request);
/* All is written; durable first, where the write cache is off by now. */
void scsi_written(struct scsi_request *request);
void scsi_fail(struct scsi_request *request, enum scsi_sense sense);
void scsi_fail_lba(struct scsi_request *request, enum scsi_sense sense, uint64_t lba);
void scsi_reply(struct scsi_request *request, const void *data, size_t length, uint32_t allocation);
void scsi_format_sense(uint8_t sense[SCSI_SENSE_BYTES], enum scsi_sense code);

/* ... and what it does on its way. */
/* Data out. False: there is less; that does not end it. */
bool scsi_fetch(struct scsi_request *request, void *to, uint32_t length);
/* NULL: the request has been ended. */
struct scsi_scratch *scsi_take_scratch(struct scsi_request *request);
void scsi_cut_data(struct scsi_request *request, uint64_t length);
void scsi_zero_data(struct scsi_request *request, uint64_t from, uint64_t length);
void scsi_copy_data(struct scsi_request *request, uint64_t from, void *to, uint64_t length);

/* One disk operation; `then` runs when it has gone well. Or the request is cancelled, and ends. */
void scsi_io(struct scsi_request *request, struct disk_req io,
	     void (*then)(struct scsi_request *request));

/* The commands, by family. */
void scsi_inquiry(struct scsi_request *request);
void scsi_inquiry_absent(struct scsi_request *request, struct storage_address address);
void scsi_test_unit_ready(struct scsi_request *request);
void scsi_request_sense(struct scsi_request *request);
void scsi_start_stop(struct scsi_request *request);
void scsi_prevent_removal(struct scsi_request *request);
void scsi_supported_opcodes(struct scsi_request *request);
void scsi_mode_sense(struct scsi_request *request);
void scsi_mode_select(struct scsi_request *request);
void scsi_read_capacity_10(struct scsi_request *request);
void scsi_read_capacity_16(struct scsi_request *request);
void scsi_read(struct scsi_request *request);
void scsi_write(struct scsi_request *request);
void scsi_verify(struct scsi_request *request);
void scsi_synchronize(struct scsi_request *request);
void scsi_unmap(struct scsi_request *request);
void scsi_write_same(struct scsi_request *request);
void scsi_lba_status(struct scsi_request *request);
void scsi_reserve_in(struct scsi_request *request);
void scsi_reserve_out(struct scsi_request *request);
bool scsi_reserve_conflicts(struct scsi_unit *unit, unsigned nexus, uint8_t flags);
void scsi_dvd_read_toc(struct scsi_request *request);
void scsi_dvd_disc_information(struct scsi_request *request);
void scsi_dvd_track_information(struct scsi_request *request);
void scsi_dvd_structure(struct scsi_request *request);
void scsi_dvd_mechanism(struct scsi_request *request);
void scsi_dvd_set_speed(struct scsi_request *request);
void scsi_dvd_configuration(struct scsi_request *request);
void scsi_dvd_event_status(struct scsi_request *request);

/* Limits that pages B0h and the commands themselves agree on. */
#define SCSI_UNMAP_BYTES_MAX      (4ull << 30)
#define SCSI_UNMAP_RANGES_MAX     256u
#define SCSI_WRITE_SAME_BYTES_MAX (64u << 20)
#define SCSI_DVD_BLOCK            2048u

/* Of a READ, WRITE, VERIFY or the like: where and how much, by the CDB's group. */
struct scsi_extent {
	uint64_t lba, count;
};

struct scsi_extent scsi_cdb_extent(const uint8_t *cdb);
bool scsi_extent_is_inside(const struct scsi_unit *unit, struct scsi_extent extent);

#endif
