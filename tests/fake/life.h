/*
 * The life of a worker, as worker/main.c has it but for its sandbox, in a process of a test
 * (tests/fake/home.h).
 */
#ifndef FAKE_LIFE_H
#define FAKE_LIFE_H

#include <stddef.h>

#include "worker/machine.h"

#define LIFE_PATH_BYTES 64

/* `folder`/`name`, with these bytes; where it is. */
void life_make_file(char path[LIFE_PATH_BYTES], const char *folder, const char *name,
		    const void *bytes, size_t size);
/* A multiboot image of nothing but its header. */
void life_make_kernel(char path[LIFE_PATH_BYTES], const char *folder);

/* From the command line, whose last word is NULL, to why it stopped. What fails fails the test; a
 * machine that does not come is STOP_HOST_ERROR. */
enum stop_reason life_live(struct machine *machine, struct config *config, char **words);
/* What is left of it. */
void life_bury(struct machine *machine, struct config *config);

#endif
