/* See words.h. */
#include "cli/words.h"

#include <ctype.h>
#include <errno.h>
#include <stdlib.h>

#include "hosted/size.h"

bool words_number(const char *word, json_int_t *value)
{
	char *end;

	errno = 0;
	*value = strtoll(word, &end, 10);
	return isdigit((unsigned char)*word) && *end == '\0' && errno == 0;
}

bool words_size(const char *word, json_int_t *value)
{
	uint64_t size;

	if (!size_parse(word, &size) || size > INT64_MAX) {
		return false;
	}
	*value = (json_int_t)size;
	return true;
}
