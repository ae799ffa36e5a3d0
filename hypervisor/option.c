#include "hypervisor/option.h"

#include <stddef.h>

bool option_given(const char *line, const char *word)
{
	const char *at = word; /* what must follow; NULL: not this word */

	for (;; line++) {
		if (*line == ' ' || *line == '\0') {
			if (at != NULL && !*at) {
				return true;
			}
			at = word;
			if (!*line) {
				return false;
			}
		} else if (at != NULL) {
			at = *at == *line ? at + 1 : NULL;
		}
	}
}
