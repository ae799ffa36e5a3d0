/* Sizes as people write them. */
#ifndef HOSTED_SIZE_H
#define HOSTED_SIZE_H

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* "512M", "2GB" as PowerShell has it, or bytes. False: none. */
static inline bool size_parse(const char *word, uint64_t *size)
{
	static const char units[] = "KMGT";
	char *end;
	const char *unit;
	unsigned int shift;

	errno = 0;
	*size = strtoull(word, &end, 10);
	if (!isdigit((unsigned char)*word) || errno != 0) {
		return false;
	}
	if (*end == '\0') {
		return true;
	}
	unit = strchr(units, toupper((unsigned char)*end));
	if (unit == NULL || (end[1] != '\0' && strcasecmp(end + 1, "B") != 0)) {
		return false;
	}
	shift = 10 * (unsigned int)(unit - units + 1);
	if (*size > UINT64_MAX >> shift) {
		return false;
	}
	*size <<= shift;
	return true;
}

#endif
