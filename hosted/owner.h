/*
 * Whose a machine is that moves (docs/design/migrate.md): one record in a regular file that both
 * sides have open. The source begins it; who puts its name in first has the machine, for good, and
 * whoever comes second learns who was. Any thread.
 */
#ifndef HOSTED_OWNER_H
#define HOSTED_OWNER_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/check.h"

#define OWNER_TOKEN_BYTES 16u

enum owner { OWNER_NOBODY, OWNER_SOURCE, OWNER_TARGET };

/* The source: a new record, nobody's. -EINVAL: the file has something else in it; -ESTALE: it was
 * closed; -errno. */
int owner_begin(int fd, const uint8_t token[OWNER_TOKEN_BYTES]) MUST_CHECK;
/* Is it the record of this migration? 0; -ESTALE: it is another one, or none; -errno. */
int owner_check(int fd, const uint8_t token[OWNER_TOKEN_BYTES]) MUST_CHECK;
/*
 * 0, and whose it is now, durably: `me`, if nobody's name was there. -ESTALE: the record is another
 * one by now. On any other error it is not known whether the name was put in; to ask again is
 * right.
 */
int owner_ask(int fd, const uint8_t token[OWNER_TOKEN_BYTES], enum owner me,
	      enum owner *whose) MUST_CHECK;

/* The target, from before it may put its name in, as long as it has the file open. */
int owner_attend(int fd) MUST_CHECK;
/* There is a target that lives. */
bool owner_is_attended(int fd);

/*
 * Where the two sides share no file each has one of its own, and the source's decides. The target
 * says in its own, durably, that it asks the source; from then on only what it is told there
 * (owner_ask() by its worker, owner_tell() by who manages it) says whose the machine is.
 */
int owner_depend(int fd, const uint8_t token[OWNER_TOKEN_BYTES]) MUST_CHECK;
int owner_tell(int fd, enum owner whose) MUST_CHECK;

struct owner_facts {
	enum owner whose;
	bool depends; /* owner_depend() */
	bool seen;    /* the target needs it no more (owner_end()) */
};
int owner_facts(int fd, struct owner_facts *facts) MUST_CHECK;

/*
 * For those who manage the two, and do not know the token. A file that was never begun is nobody's.
 * -EINVAL: it has something else in it; -errno.
 */
int owner_look(int fd, enum owner *whose) MUST_CHECK;
/* The source's: nobody else may put his name in any more; whose it is then. */
int owner_close(int fd, enum owner *whose) MUST_CHECK;
/* `me` needs the file no more. *last: neither does the other. */
int owner_end(int fd, enum owner me, bool *last) MUST_CHECK;

#endif
