/* See words.h. */
#include "cli/words.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool words_number(const char *word, json_int_t *value)
{
	char *end;

	errno = 0;
	*value = strtoll(word, &end, 10);
	return isdigit((unsigned char)*word) && *end == '\0' && errno == 0;
}

bool words_size(const char *word, json_int_t *value)
{
	static const char units[] = "KMGT";
	char digits[20];
	size_t length = strlen(word);
	const char *unit = length > 1 && length < sizeof(digits)
				   ? strchr(units, toupper((unsigned char)word[length - 1]))
				   : NULL;

	if (unit == NULL) {
		return false;
	}
	snprintf(digits, sizeof(digits), "%.*s", (int)length - 1, word);
	if (!words_number(digits, value) || *value >> 22 != 0) {
		return false;
	}
	*value <<= 10 * (unit - units + 1);
	return true;
}
