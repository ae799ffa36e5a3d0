/* What the extensions that read a file of rules share: lines of words, # begins a comment. */
#ifndef SWITCH_EXTENSIONS_RULES_H
#define SWITCH_EXTENSIONS_RULES_H

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RULES_WORDS 16u

static inline bool rules_mac(const char *text, uint8_t mac[6])
{
	int end = 0;

	return sscanf(text, "%2hhx:%2hhx:%2hhx:%2hhx:%2hhx:%2hhx%n", &mac[0], &mac[1], &mac[2],
		      &mac[3], &mac[4], &mac[5], &end) == 6 &&
	       text[end] == '\0';
}

/* `line` for each line's words; false from it names that line in `why`. 0 or a negative errno. */
static inline int rules_read(const char *file, bool (*line)(void *of, char **words, uint32_t count),
			     void *of, char *why, size_t why_bytes)
{
	FILE *stream = fopen(file, "re");
	char text[512], *words[RULES_WORDS];
	unsigned int number = 0;
	int ret = 0;

	if (stream == NULL) {
		snprintf(why, why_bytes, "%s: %s", file, strerror(errno));
		return -errno;
	}
	while (ret == 0 && fgets(text, sizeof(text), stream) != NULL) {
		uint32_t count = 0;
		char *next = text, *word;

		number++;
		text[strcspn(text, "#\n")] = '\0';
		while (count < RULES_WORDS && (word = strsep(&next, " \t")) != NULL) {
			if (*word != '\0') {
				words[count++] = word;
			}
		}
		if (count != 0 && !line(of, words, count)) {
			snprintf(why, why_bytes, "%s:%u: not a rule", file, number);
			ret = -EINVAL;
		}
	}
	fclose(stream);
	return ret;
}

/* An extension's load(): its state is `size` bytes, at first zeros, which `line` fills in. Its
 * unload() is free(). */
static inline int rules_load(const char *file, size_t size,
			     bool (*line)(void *of, char **words, uint32_t count), void **state,
			     char *why, size_t why_bytes)
{
	void *of = calloc(1, size);
	int ret = of != NULL ? rules_read(file, line, of, why, why_bytes) : -ENOMEM;

	if (ret != 0) {
		free(of);
		return ret;
	}
	*state = of;
	return 0;
}

#endif
