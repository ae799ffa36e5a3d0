/* Words of a command line. False: it is no such word, and *value may be anything. */
#ifndef CLI_WORDS_H
#define CLI_WORDS_H

#include <stdbool.h>

#include <jansson.h>

/* Decimal digits alone. */
bool words_number(const char *word, json_int_t *value);
/* As 512M or 2G, or bytes. */
bool words_size(const char *word, json_int_t *value);

#endif
