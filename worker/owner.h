/*
 * Whose a machine is that moves (docs/design/migrate.md): one record in a regular file that both sides have open. The source begins it;
 * who puts its name in first has the machine, for good, and whoever comes second learns who was. Any thread.
 */
#ifndef WORKER_OWNER_H
#define WORKER_OWNER_H

#include <stdint.h>

#include "lib/check.h"

#define OWNER_TOKEN_BYTES 16u

enum owner { OWNER_NOBODY, OWNER_SOURCE, OWNER_TARGET };

/* The source: a new record, nobody's. -EINVAL: the file has something else in it; -errno. */
int owner_begin(int fd, const uint8_t token[OWNER_TOKEN_BYTES]) MUST_CHECK;
/* Is it the record of this migration? 0; -ESTALE: it is another one, or none; -errno. */
int owner_check(int fd, const uint8_t token[OWNER_TOKEN_BYTES]) MUST_CHECK;
/*
 * 0, and whose it is now, durably: `me`, if nobody's name was there. -ESTALE: the record is another one by now. On any other error it is not known
 * whether the name was put in; to ask again is right.
 */
int owner_ask(int fd, const uint8_t token[OWNER_TOKEN_BYTES], enum owner me,
	      enum owner *whose) MUST_CHECK;

#endif
