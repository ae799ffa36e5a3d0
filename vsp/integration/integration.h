/*
 * The integration services of one guest, as those who manage it use them;
 * docs/design/integration.md.
 *
 * All calls are made on the control thread of VMBus, callbacks come there too. None blocks. Strings
 * that are returned stay for good.
 */
#ifndef VSP_INTEGRATION_H
#define VSP_INTEGRATION_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/check.h"
#include "lib/state.h"

struct integration;
struct integration_host;
struct vmbus;

enum integration_service {
	INTEGRATION_SHUTDOWN,
	INTEGRATION_HEARTBEAT,
	INTEGRATION_TIME,
	INTEGRATION_KVP,
	INTEGRATION_VSS,
	INTEGRATION_FCOPY,
	INTEGRATION_COUNT,
};

/* All services are offered; one that cannot be is off. -errno: nothing is left of it. */
int integration_create(struct vmbus *bus, struct integration_host *host,
		       struct integration **integration) MUST_CHECK;
/* After vmbus_destroy(), which lets go of its channels. */
void integration_destroy(struct integration **integration);

/* Readable when integration_serve() has something to do; only to be polled. */
int integration_fd(const struct integration *integration);
void integration_serve(struct integration *integration);

/* The machine goes on after a pause: nobody was late meanwhile, and the guest is told the time. */
void integration_resumed(struct integration *integration);
/* The guest has come to its end: it has turned the power off, it is reset, or somebody else has
 * ended it. Before vmbus_reset(). */
enum integration_end { INTEGRATION_END_OFF, INTEGRATION_END_RESET, INTEGRATION_END_OTHER };
void integration_ended(struct integration *integration, enum integration_end how);

/*
 * Offers it to the guest, or withdraws the offer. 0 also when it is so already. -errno: it cannot
 * be offered; -EBUSY: the guest's file systems are not thawed yet, by which it would stand for
 * good.
 */
int integration_enable(struct integration *integration, enum integration_service service,
		       bool enable) MUST_CHECK;

/*
 * The part "ic" of a saved state. The bus is paused. It is read back into new services before
 * vmbus_load(), which opens their channels; 0, or -EINVAL: why is in the reader's fault, and
 * nothing is changed; else they are of no use any more.
 */
void integration_save(struct integration *integration, struct state_writer *writer);
int integration_load(struct integration *integration, struct state_reader *list) MUST_CHECK;

enum integration_heartbeat {
	INTEGRATION_HEARTBEAT_NONE, /* no contact */
	INTEGRATION_HEARTBEAT_OK,
	INTEGRATION_HEARTBEAT_LOST,
};
enum integration_application {
	INTEGRATION_APPLICATION_UNKNOWN,
	INTEGRATION_APPLICATION_OK,
	INTEGRATION_APPLICATION_CRITICAL,
};

enum integration_file_systems {
	INTEGRATION_THAWED,
	INTEGRATION_FREEZING,
	INTEGRATION_FROZEN,
	INTEGRATION_THAWING,
};

struct integration_version {
	uint16_t major, minor;
};

struct integration_state {
	bool enabled;
	bool contacted;                                /* versions are agreed on */
	struct integration_version framework, message; /* where contacted */
	bool answered;                                 /* once at least since it was contacted */
	uint64_t last_answer_ns;                       /* ... by integration_host_clock() */
	uint64_t wrong_answers;                        /* since the start: what was dropped */
	const char *why;                               /* it cannot be used now; NULL: it can */
	/* Of the heartbeat alone. */
	enum integration_heartbeat heartbeat;
	enum integration_application application;
	/* Of the backup alone. */
	enum integration_file_systems file_systems;
	const char *thawed_why; /* nobody has asked for the last thaw; NULL: somebody has */
};

void integration_get_state(const struct integration *integration, enum integration_service service,
			   struct integration_state *state);

/* ---- Shutdown ---- */

#define INTEGRATION_RESTART 1u /* else: off */
#define INTEGRATION_FORCE   2u /* programs that object are ended */

/*
 * What comes of a shutdown: `ret` 0, the guest has come to the end that was asked for; else -errno
 * and a sentence.
 *   -EOPNOTSUPP  the guest says that it cannot
 *   -ETIMEDOUT   no answer, or no end after one
 *   -ECONNRESET  the service, or the guest, has gone before it answered
 *   -EINTR       it has come to another end than was asked for
 */
struct integration_shutdown {
	unsigned int flags;
	/* The guest has said that it will; nothing can be taken back. NULL: nobody wants to
	 * know. */
	void (*agreed)(void *user);
	void (*done)(void *user, int ret, const char *why);
	void *user;
};

/*
 * Asks the guest. done() follows, once, not before this has returned.
 *   -ENOTCONN  the service cannot be used: state.why
 *   -EBUSY     one is under way
 *   -EAGAIN    the machine stands still
 */
int integration_shutdown(struct integration *integration,
			 const struct integration_shutdown *shutdown) MUST_CHECK;
/* Nobody waits for it any more: done() is not called. What the guest was asked for it may do. */
void integration_shutdown_forget(struct integration *integration);

/* ---- Values (KVP) ---- */

/* Who writes into which, as Hyper-V uses them; the guest's daemon keeps all. */
enum integration_pool {
	INTEGRATION_POOL_EXTERNAL, /* the host, for the guest */
	INTEGRATION_POOL_GUEST,    /* the guest, for the host */
	INTEGRATION_POOL_AUTO,     /* what the guest says of itself: its name, system, addresses */
	INTEGRATION_POOL_AUTO_EXTERNAL, /* what the host says of itself */
	INTEGRATION_POOL_INTERNAL,
	INTEGRATION_POOL_COUNT,
};

enum integration_type {
	INTEGRATION_STRING,
	INTEGRATION_EXPAND, /* a string with names of variables in it */
	INTEGRATION_NUMBER32,
	INTEGRATION_NUMBER64,
};

/* Texts are UTF-8; on their way they are UTF-16 of at most 255 and 1,023 units. */
#define INTEGRATION_KEY_BYTES   772u /* with the NUL */
#define INTEGRATION_VALUE_BYTES 3076u

struct integration_pair {
	char key[INTEGRATION_KEY_BYTES];
	enum integration_type type;
	char text[INTEGRATION_VALUE_BYTES];
	uint64_t number;
};

/* What identifies a network adapter to the guest. */
struct integration_adapter {
	uint8_t mac[6];
	uint8_t instance[16]; /* its GUID, in wire order */
};

struct integration_address {
	bool six;          /* IPv6 */
	uint8_t bytes[16]; /* in network order; of IPv4 the first four */
	uint8_t prefix;    /* bits; of an adapter's own address alone */
};

#define INTEGRATION_ADDRESSES_MAX 16u /* of each kind; more are left out */
#define INTEGRATION_GATEWAYS_MAX  5u

struct integration_addresses {
	bool dhcp;
	unsigned int address_count, gateway_count, dns_count;
	struct integration_address addresses[INTEGRATION_ADDRESSES_MAX];
	struct integration_address gateways[INTEGRATION_GATEWAYS_MAX];
	struct integration_address dns[INTEGRATION_ADDRESSES_MAX];
};

enum integration_kvp_operation {
	INTEGRATION_KVP_GET,
	INTEGRATION_KVP_SET,
	INTEGRATION_KVP_DELETE,
	INTEGRATION_KVP_LIST,
	INTEGRATION_KVP_GET_ADDRESSES,
	INTEGRATION_KVP_SET_ADDRESSES,
};

struct integration_kvp {
	enum integration_kvp_operation operation;
	enum integration_pool pool;
	const struct integration_pair
		*pair; /* copied: the key; to set, the value too. NULL to list */
	uint32_t from; /* to list: the first index */
	const struct integration_adapter *adapter;     /* of addresses; copied */
	const struct integration_addresses *addresses; /* to be set; copied */
	/* To get and to list, a pair of the guest's. False: it is enough. */
	bool (*each)(void *user, uint32_t index, const struct integration_pair *pair);
	/* To get addresses. */
	void (*got)(void *user, const struct integration_addresses *addresses);
	/*
	 * Once. 0, or -errno and a sentence:
	 *   -ENOENT      there is no such value
	 *   -EREMOTEIO   the guest says that it failed
	 *   -EBADMSG     what the guest has sent is none
	 *   -ETIMEDOUT   no answer within a minute
	 *   -ECONNRESET  the service, or the guest, has gone
	 */
	void (*done)(void *user, int ret, const char *why);
	void *user;
};

#define INTEGRATION_KVP_MAX 16u /* that wait */

/*
 * Asks the guest, when those before it have ended. done() follows, not before this has returned.
 *   -ENOTCONN  the service cannot be used: state.why
 *   -EINVAL    the key or the text is too long, or no UTF-8; or no key
 *   -EBUSY     as many wait as may
 *   -ENOMEM
 */
int integration_kvp(struct integration *integration, const struct integration_kvp *what) MUST_CHECK;
/* Nobody waits for those of this user any more. */
void integration_kvp_forget(struct integration *integration, const void *user);

/* ---- Backup (VSS) ---- */

/*
 * The guest's file systems stand still, so that a copy of its disks is whole. From then on it is
 * certain that they are thawed: by integration_thaw(), when `seconds` are over, by a pause of the
 * machine, by integration_freeze_forget(); what then fails is tried again until the guest has said
 * yes or has begun anew.
 */
struct integration_freeze {
	unsigned int seconds; /* from the moment that the guest is asked */
	/*
	 * Once. 0: they stand. Or -errno and a sentence, and they are thawed, or about to be:
	 *   -EREMOTEIO   the guest says that it cannot
	 *   -ETIMEDOUT   no answer
	 *   -ECONNRESET  the service, or the guest, has gone
	 *   -EINTR       they were thawed meanwhile
	 */
	void (*done)(void *user, int ret, const char *why);
	void *user;
};

/*
 *   -ENOTCONN  the service cannot be used: state.why
 *   -EBUSY     they are frozen, or not thawed yet
 *   -EAGAIN    the machine stands still
 */
int integration_freeze(struct integration *integration,
		       const struct integration_freeze *freeze) MUST_CHECK;

struct integration_thaw {
	/*
	 * Once. 0: they stood still until it was asked for, and are thawed. -EINTR: they are
	 * thawed, and were before. Else -errno as above: the guest is asked again.
	 */
	void (*done)(void *user, int ret, const char *why);
	void *user;
};

/*
 *   -EALREADY  they are thawed: state.thawed_why
 *   -EBUSY     somebody waits for that already
 */
int integration_thaw(struct integration *integration,
		     const struct integration_thaw *thaw) MUST_CHECK;

/* Nobody waits for this any more, or wants it: `why` they are thawed. */
void integration_freeze_forget(struct integration *integration, const char *why);
/* Nobody waits for that any more. They are thawed all the same. */
void integration_thaw_forget(struct integration *integration);

/* ---- Files for the guest ---- */

#define INTEGRATION_OVERWRITE 1u /* else: -EEXIST where there is such a file */
#define INTEGRATION_MAKE_PATH 2u /* folders that are not there are made */

struct integration_copy {
	const char *path; /* where in the guest; UTF-8, up to the call's end */
	uint64_t size;    /* bytes */
	unsigned int flags;
	/*
	 * `bytes` of the file at `offset`, both within its size. 0, or -EAGAIN: they are not there
	 * yet, integration_copy_ready() is called when they are. Or another -errno: they cannot be
	 * read.
	 */
	int (*read)(void *user, uint64_t offset, void *to, uint32_t bytes);
	/* The guest has so many bytes. NULL: nobody wants to know. */
	void (*progress)(void *user, uint64_t bytes);
	/*
	 * Once. 0: the guest has it. Or -errno and a sentence:
	 *   -EEXIST, -ENOSPC  as the guest says
	 *   -EREMOTEIO        the guest says that it cannot
	 *   -EIO              read() has said that it cannot
	 *   -ETIMEDOUT        no answer within a minute
	 *   -ECONNRESET       the service, or the guest, has gone
	 */
	void (*done)(void *user, int ret, const char *why);
	void *user;
};

/*
 * Gives the guest a file, piece by piece. done() follows, not before this has returned.
 *   -ENOTCONN  the service cannot be used: state.why
 *   -EINVAL    the path is too long, no UTF-8, or has no name at its end
 *   -EBUSY     one is under way
 */
int integration_copy(struct integration *integration,
		     const struct integration_copy *what) MUST_CHECK;
void integration_copy_ready(struct integration *integration);
/* It ends here: done() is not called, and the guest is asked to remove what it has. */
void integration_copy_forget(struct integration *integration);

#endif
