/*
 * vweb: the management service's API for other hosts, over HTTPS, and its web page.
 *
 * Two kinds of process. The monitor (main.c, monitor.c) is root: it knows sessions and tokens, asks
 * PAM, and reads nothing from the network. Each connection has a process of its own (connection.c)
 * with no rights at all, in which TLS and HTTP are; it has a socket to the monitor, and asks there
 * with what its client shows. What it gets is a connection to vmms that a process has made that
 * became the user first.
 */
#ifndef WEB_WEB_H
#define WEB_WEB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#include <gnutls/gnutls.h>

#include "include/mgmt/service.h"
#include "lib/check.h"

#define WEB_LISTEN "127.0.0.1:" SERVICE_WEB_PORT
#define WEB_STORE  "/var/lib/verdigris/web"
#define WEB_PAM    "verdigris" /* the service's name in /etc/pam.d */

#define USER_MAX     64  /* bytes of a name, its end included */
#define PASSWORD_MAX 256 /* likewise */
#define ADDRESS_MAX  48  /* INET6_ADDRSTRLEN, rounded up */
#define SECRET_BYTES 32
#define SECRET_TEXT  65 /* of a session or a token: digits of hex and an end */
#define HASH_BYTES   32 /* SHA-256 */
#define HASH_TEXT    65

/* ---- Between a connection's process and the monitor: one packet each way, one at a time ---- */

/* The text of a certificate is its SHA-256, which is no secret: that its key is there has been
 * shown to the connection's process. */
enum secret_kind { SECRET_NONE, SECRET_SESSION, SECRET_TOKEN, SECRET_CERTIFICATE };

struct secret {
	uint32_t kind;
	char text[SECRET_TEXT];
};

enum ask_what {
	ASK_LOGIN,  /* user and password for a session */
	ASK_OPEN,   /* a connection to the management service as the secret's user */
	ASK_CHECK,  /* whether the secret still holds, and whose it is */
	ASK_LOGOUT, /* the session ends */
};

#define CERTIFICATE_MAX 4096 /* bytes of one that an authority has signed */

/* The client's certificate. Its times are the process' word, which can only take from what it
 * may. */
struct shown {
	uint32_t size; /* 0: none, or more than an authority's can have */
	int64_t from, to;
	uint8_t der[CERTIFICATE_MAX];
};

struct ask {
	uint32_t what;
	struct secret secret;
	struct shown shown; /* of SECRET_CERTIFICATE */
	char user[USER_MAX];
	char password[PASSWORD_MAX];
};

enum answer_result {
	ANSWER_YES,
	ANSWER_NO,          /* wrong, ended or unknown; nobody is told which */
	ANSWER_LATER,       /* too many have been wrong */
	ANSWER_UNREACHABLE, /* nobody listens at the management service's socket */
};

/* With a descriptor if it is the answer to ASK_OPEN. */
struct answer {
	uint32_t result;
	char user[USER_MAX];
	char session[SECRET_TEXT];
};

/* ---- Secrets (secret.c) ---- */

/* A new one from the kernel's random numbers; false: there are none. */
bool secret_make(char text[SECRET_TEXT]) MUST_CHECK;
bool secret_is_well_formed(const char *text);
/* SHA-256, in hex. */
void secret_hash(const char *text, char hash[HASH_TEXT]);
/* In a time that does not depend on where they differ. */
bool secret_is_same(const char *a, const char *b, size_t length);
/*
 * What a client shows: a header Authorization (NULL: none), else Cookie. A token if both are there.
 * SECRET_NONE if there is nothing that could be one of ours.
 */
#define SESSION_COOKIE "__Host-verdigris"
void secret_read(const char *authorization, const char *cookie, struct secret *secret);
/* What a page shows beside its session when it changes something. */
void secret_csrf(const char *session, char csrf[HASH_TEXT]);
/* The certificate that the client has shown, as a secret; SECRET_NONE: there is none. */
void secret_certificate(gnutls_session_t session, struct secret *secret, struct shown *shown);
/* Of a certificate in DER. */
void secret_fingerprint(const gnutls_datum_t *der, char text[SECRET_TEXT]);

/* ---- Sessions and attempts (session.c, limit.c); times are CLOCK_BOOTTIME's seconds ---- */

#define SESSION_SECONDS      (12 * 3600) /* from the login on */
#define SESSION_IDLE_SECONDS 3600        /* since it was shown last */
#define SESSIONS_MAX         256
#define SESSIONS_OF_USER_MAX 32

/* False: no random numbers. The oldest of the user's, or of all, makes room. */
bool session_begin(const char *user, time_t now, char text[SECRET_TEXT]) MUST_CHECK;
/* The user's name, or NULL. It has been used then. */
const char *session_find(const char *text, time_t now);
void session_end(const char *text);

#define LIMIT_FAILURES 10  /* of an address, that may be; one is forgotten each LIMIT_SECONDS */
#define LIMIT_OF_NAME  100 /* of a user's name, from all addresses that have not been his */
#define LIMIT_SECONDS  30

/* Of an address, or of a user's name; they do not meet, if one has a prefix. */
bool limit_allows(const char *key, unsigned int most, time_t now);
void limit_failed(const char *key, time_t now);
/* He has logged in from there: what strangers do to his name does not keep him out there. */
void limit_know(const char *user, const char *network);
bool limit_knows(const char *user, const char *network);

/* ---- Tokens (token.c) ---- */

#define MACHINE_MAX 128 /* bytes of its name or id, its end included */

struct token {
	char name[USER_MAX], user[USER_MAX];
	char machine[MACHINE_MAX]; /* that it is for alone; empty: for all that its user may see */
};

/* Lives in FILE_TOKENS of the store, which is read anew whenever it is asked: what has been removed
 * is out at once. */
bool token_find(const char *store, const struct secret *secret, struct token *token);
/* The certificates that are tokens, as PEM, with an end: the caller frees it. */
char *token_certificates(const char *store);
/*
 * The verbs add, list and remove of `vweb token`: an exit status, having said what went wrong.
 * `certificate`: a file, shown by TLS instead of a text; `authority`: a file likewise, whose
 * certificates are shown, and without a user their names are users; both NULL: a text, which is
 * printed.
 */
int token_add(const char *store, const struct token *token, unsigned int days,
	      const char *certificate, const char *authority);
int token_list(const char *store);
int token_remove(const char *store, const char *name);
/* This authority's list of revocations is the file's from now on. */
int token_revoke(const char *store, const char *name, const char *path);
/* All of them, which the caller frees; NULL: said why. No file is no token. */
struct json_t *token_load(const char *store);
bool token_name_is_good(const char *name);

/* ---- Certificates by an authority (authority.c) ---- */

#define AUTHORITIES_MAX 16
#define AUTHORITY_WHY   96 /* bytes of a reason, its end included */

bool authority_is_there(const char *store);
/* Whose certificate it is, with its authority's token; or why it is nobody's. Takes its time, and
 * is for a process of its own, with rights. */
bool authority_find(const char *store, const uint8_t *der, uint32_t size, struct token *token,
		    char why[AUTHORITY_WHY]);
/* For token.c: files as PEM. NULL: said why. */
struct json_t *authority_read(const char *path, long long *expires);
struct json_t *authority_read_revocations(const struct json_t *token, const char *path);

/* ---- Key and certificate (certificate.c) ---- */

/* PEM, each with an end; of the connection's process. */
struct certificate {
	gnutls_datum_t key, chain;
	char fingerprint[HASH_TEXT + HASH_BYTES]; /* AA:BB:... of the first certificate, SHA-256 */
};

/* From these files; both NULL: from the store, where they are made if there are none. False: said
 * why. */
bool certificate_load(struct certificate *certificate, const char *store,
		      const char *certificate_file, const char *key_file) MUST_CHECK;
/* The store's folder, for root alone. False: said why. */
bool store_make(const char *store) MUST_CHECK;

/* ---- The monitor (login.c, monitor.c) ---- */

/* Whether PAM takes the password. May take seconds, and is for a process of its own. */
bool login_check(const char *service, const char *user, const char *password, const char *address);

#define LISTENERS_MAX 8

struct monitor {
	const char *store, *socket, *pam;
	struct certificate certificate;
	int listeners[LISTENERS_MAX];
	enum listens {
		LISTENS_HTTPS,
		LISTENS_VNC,
		LISTENS_RDP
	} listens[LISTENERS_MAX]; /* for whom */
	unsigned int listener_count;
};

/* Until SIGTERM or SIGINT. */
void monitor_run(struct monitor *monitor);

/* ---- What a connection's process asks the monitor (ask.c) ---- */

/* Before anything is asked: the process' socket to the monitor. */
void ask_begin(int monitor);
/* *fd: -1, or the descriptor that came with the answer. It does not return when the monitor has
 * ended. */
void ask_monitor(const struct ask *ask, struct answer *answer, int *fd);
/* What goes with each secret that is a certificate. */
void ask_shows(const struct shown *shown);
/* Whether something that was shown has ever held. */
bool ask_is_known(void);
/* Whether this holds now. */
bool ask_still_may(const struct secret *secret);

/* ---- A connection's process (connection.c, forward.c, page.c, sandbox.c) ---- */

/*
 * Serves the client until it goes, or shows nothing that holds for too long. Takes both
 * descriptors. `trusted`: certificates of clients, as PEM ("" or NULL: none are asked for).
 */
void connection_serve(int client, int monitor, const struct certificate *certificate,
		      const char *trusted);
/* False: said why. */
bool sandbox_enter(void) MUST_CHECK;

/* The head of an HTTP answer of the management service's. */
struct head {
	unsigned int status;
	long long length; /* of the body, -1: to the end of the connection */
	char type[64], location[160], etag[64];
};

/*
 * `text` is all up to the empty line, with an end. False: it is none.
 */
bool head_parse(const char *text, struct head *head);
/* Whether it is a path that can be asked of the API: "/v1" or below, only printable ASCII. */
bool forward_is_path(const char *uri);
/*
 * A name USER@MACHINE as the user and the path of what the machine has ("display", "seat"). The
 * last @ counts: a user's name may have one, a machine that has one in its name is called by its
 * id. False: it is no such name.
 */
#define SCREEN_URI_MAX (3 * MACHINE_MAX + 32)
bool forward_screen(const char *name, const char *what, char user[USER_MAX],
		    char uri[SCREEN_URI_MAX]);
/* The same of a machine that is named by itself. */
bool forward_machine(const char *machine, const char *what, char uri[SCREEN_URI_MAX]);
/* What is asked on this connection is for one machine from now on. */
bool forward_limit(int fd, const char *machine) MUST_CHECK;
/*
 * Sends the head of a request whose body is brought by pieces (forward_send()), and waits for leave
 * to. False: hung up. *head is the answer if the service will not have it; else its status is 100,
 * and forward_end() reads the answer behind the body.
 */
bool forward_begin(int fd, const char *uri, uint64_t length, struct head *head) MUST_CHECK;
bool forward_send(int fd, const char *bytes, size_t length) MUST_CHECK;
bool forward_end(int fd, struct head *head) MUST_CHECK;
/* Sends a request and reads the head of its answer; the rest is on `fd`. `match` NULL: no If-Match.
 * False: hung up. */
bool forward_ask(int fd, const char *method, const char *uri, const char *match, const char *body,
		 size_t length, bool upgrade, struct head *head) MUST_CHECK;

/* What is served to everybody. */
struct file {
	const char *path, *type;
	const uint8_t *start, *end; /* gzip */
};

const struct file *page_find(const char *path);

#endif
