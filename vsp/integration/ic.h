/*
 * One integration service: its offer, its channel, its versions, and the one request that is with
 * the guest. Used by integration.c and by the services, one file each; ic.c has what they share.
 * All on the control thread.
 *
 *   offer NULL: off
 *   OFFERED --opened()--> NEGOTIATING --versions agreed--> READY
 *                              `---------none fits-------> REFUSED        closing(): back to OFFERED
 */
#ifndef VSP_INTEGRATION_IC_H
#define VSP_INTEGRATION_IC_H

#include "include/vsp/ic.h"
#include "vmbus/vmbus.h"
#include "vsp/integration/host.h"
#include "vsp/integration/integration.h"

#define IC_NEVER  UINT64_MAX
#define IC_SECOND 1000000000ull

struct ic;

struct ic_answer {
	uint32_t status; /* HV_S_* */
	const void *body;
	uint32_t bytes;
};

/* One constant row for each service; functions are NULL where not needed, but for answered(). */
struct ic_class {
	const char *name;
	const char *
		silence; /* why it is not contacted while the guest has not answered to our versions */
	struct vmbus_guid type, instance;
	enum icmsg_type message;
	const struct ic_version *versions; /* of the message, that we speak */
	uint16_t version_count;
	uint32_t body_max; /* of a request, in bytes */
	/* Versions are agreed on: requests may be sent. */
	void (*ready)(struct ic *ic);
	/* To ic_send(). False: the answer is none; it is counted with the wrong ones. */
	bool (*answered)(struct ic *ic, const struct ic_answer *answer);
	/* There will be no answer to it: -ETIMEDOUT, -ECONNRESET the channel has ended, -EMSGSIZE
	 * the guest's ring is too small. */
	void (*failed)(struct ic *ic, int ret);
	/* The channel has ended; after failed(). */
	void (*closed)(struct ic *ic);
	/* ic->due has passed; it is IC_NEVER again. */
	void (*due)(struct ic *ic);
	/* The machine goes on after a pause. */
	void (*resumed)(struct ic *ic);
};

enum ic_stage { IC_OFFERED, IC_NEGOTIATING, IC_READY, IC_REFUSED };

struct ic {
	const struct ic_class *class;
	struct integration *integration;
	enum integration_service service;
	struct vmbus_channel *offer;   /* NULL: off */
	struct vmbus_channel *channel; /* open */
	bool paused;                   /* the ring is not to be touched */
	enum ic_stage stage;
	struct ic_version framework, message; /* READY */
	bool answered;                        /* since READY */
	uint64_t last_answer;                 /* by the host's clock */
	uint64_t wrong;

	/* The request: in `out`, or with the guest. */
	bool asking, unsent;
	int error;  /* it cannot be sent */
	bool stuck; /* the last one's time was over, and the guest had not taken it */
	uint16_t out_type;
	uint8_t id;
	uint64_t timeout, deadline;
	uint32_t out_bytes;
	uint8_t *out;

	bool owes_completion; /* to a packet that asked for one; there was no room */
	uint64_t completion;

	uint64_t due; /* the class's */
};

/* heartbeat.c: it is information alone. */
struct ic_heartbeat {
	struct ic ic;
	uint64_t sequence, asked_at;
	enum integration_heartbeat state;
	enum integration_application application;
};

/* timesync.c */
struct ic_time {
	struct ic ic;
	bool sync; /* the next sample is to set the clock */
};

/* shutdown.c */
struct ic_shutdown {
	struct ic ic;
	bool pending, agreed;
	struct integration_shutdown what; /* `pending` */
};

/* kvp.c */
struct kvp_request {
	struct integration_kvp what;
	struct integration_pair pair;
	struct integration_adapter adapter;
	struct integration_addresses addresses;
	uint32_t index; /* of a list: the next */
	bool enough;
	bool searches; /* the key, in the list */
	struct kvp_request *next;
};

struct ic_kvp {
	struct ic ic;
	struct kvp_request *first; /* with the guest, if ic.asking; then those that wait */
	unsigned int count;
};

/* vss.c */
enum vss_stage { VSS_THAWED, VSS_CHECKING, VSS_FREEZING, VSS_FROZEN, VSS_THAWING };

struct ic_vss {
	struct ic ic;
	enum vss_stage stage;
	uint8_t operation;                /* the last that the guest was asked for */
	uint64_t until;                   /* FREEZING, FROZEN */
	struct integration_freeze freeze; /* CHECKING, FREEZING */
	struct integration_thaw thaw;     /* THAWING; done NULL: nobody waits */
	const char *why;                  /* it is thawed without being asked to; NULL: it is not */
};

/* fcopy.c */
enum copy_stage { COPY_NONE, COPY_STARTING, COPY_READING, COPY_WRITING, COPY_ENDING, COPY_UNDOING };

struct ic_fcopy {
	struct ic ic;
	enum copy_stage stage;
	struct integration_copy what; /* its path is in `start` */
	uint32_t operation;           /* the last that the guest was asked for */
	uint64_t done;                /* bytes that the guest has */
	union {
		struct hv_start_fcopy start;
		struct hv_do_fcopy data;
	} message; /* that one */
};

struct integration {
	struct vmbus *bus;
	struct integration_host *host;
	int epoll;
	int timer;  /* the next deadline */
	int date;   /* the host's clock was stepped */
	bool stood; /* the machine was seen paused */
	bool more;  /* not all packets that were there have been taken */
	struct ic_shutdown shutdown;
	struct ic_heartbeat heartbeat;
	struct ic_time time;
	struct ic_kvp kvp;
	struct ic_vss vss;
	struct ic_fcopy fcopy;
};

extern const struct ic_class shutdown_class, heartbeat_class, time_class, kvp_class, vss_class,
	fcopy_class;
extern const struct vmbus_class ic_vmbus_class;

/* ---- ic.c, for the services ---- */

/* Asks the guest, READY and asking nothing. answered() or failed() follows, not before this has
 * returned. */
void ic_send(struct ic *ic, const void *body, uint32_t bytes, uint64_t timeout);
uint64_t ic_now(const struct ic *ic);
bool ic_is_idle(const struct ic *ic); /* READY, and asking nothing */
void ic_changed(struct ic *ic);
/* What failed() was told, as a sentence; of requests that may take a minute. */
const char *ic_failure(int ret);

/* ---- address.c, for kvp.c ---- */

union address_message {
	struct hv_kvp_ip_msg text;
	struct ic_kvp_ip_binary binary;
};
/* A request of that version; its bytes. `addresses` NULL: they are asked for. */
uint32_t address_put(union address_message *message, struct ic_version version,
		     const struct integration_adapter *adapter,
		     const struct integration_addresses *addresses);
/* The answer to one that asked. False: it is none. */
bool address_take(const void *body, uint32_t bytes, struct ic_version version,
		  struct integration_addresses *addresses);

/* ---- ic.c, for integration.c ---- */

int ic_offer(struct ic *ic);
/* Takes and sends what there is. */
void ic_serve(struct ic *ic);
/* Deadlines that have passed. */
void ic_tick(struct ic *ic);
/* When ic_tick() has something to do. */
uint64_t ic_next(const struct ic *ic);
void ic_resumed(struct ic *ic);
const char *ic_why(const struct ic *ic);

/* ---- integration.c ---- */

void integration_watch(struct integration *integration, struct vmbus_channel *channel, bool on);
/* The host's clock was stepped. */
void time_stepped(struct ic_time *time);
void shutdown_ended(struct ic_shutdown *shutdown, enum integration_end how);
void vss_ended(struct ic_vss *vss);
/* What the guest has frozen is to be thawed when it is in contact. */
void vss_load(struct ic_vss *vss);
struct ic *ic_of(struct integration *integration, enum integration_service service);
void vss_get_state(const struct ic_vss *vss, struct integration_state *state);

#endif
