/* How often somebody was wrong lately, by address and by name. What is known of one who is wrong no
 * more makes room for others. */
#include <stdio.h>
#include <string.h>

#include "web/web.h"

#define KEYS_MAX 1024
#define KEY_MAX  96

static struct {
	char key[KEY_MAX]; /* empty: free */
	unsigned int failures;
	time_t since; /* as of when so many */
} keys[KEYS_MAX];

/* What has been forgotten since then. */
static unsigned int failures_now(unsigned int i, time_t now)
{
	time_t forgotten = (now - keys[i].since) / LIMIT_SECONDS;

	return forgotten >= (time_t)keys[i].failures ? 0
						     : keys[i].failures - (unsigned int)forgotten;
}

/* KEYS_MAX: there is none. */
static unsigned int find(const char *key)
{
	unsigned int i = 0;

	while (i < KEYS_MAX && strncmp(keys[i].key, key, KEY_MAX - 1) != 0) {
		i++;
	}
	return i;
}

bool limit_allows(const char *key, unsigned int most, time_t now)
{
	unsigned int i = find(key);

	return i == KEYS_MAX || failures_now(i, now) < most;
}

void limit_failed(const char *key, time_t now)
{
	unsigned int i = find(key), least = 0;

	for (unsigned int other = 1; i == KEYS_MAX && other < KEYS_MAX; other++) {
		if (failures_now(other, now) < failures_now(least, now)) {
			least = other;
		}
	}
	i = i == KEYS_MAX ? least : i;
	if (strncmp(keys[i].key, key, KEY_MAX - 1) != 0) {
		snprintf(keys[i].key, KEY_MAX, "%s", key);
		keys[i].failures = 0;
	}
	keys[i].failures = failures_now(i, now) + 1;
	keys[i].since = now;
}

/* ---- Who has been where ---- */

#define KNOWN_MAX 256

static struct {
	char user[USER_MAX], network[ADDRESS_MAX];
} known[KNOWN_MAX];
static unsigned int next_known;

bool limit_knows(const char *user, const char *network)
{
	for (unsigned int i = 0; i < KNOWN_MAX; i++) {
		if (known[i].user[0] != '\0' && strcmp(known[i].user, user) == 0 &&
		    strcmp(known[i].network, network) == 0) {
			return true;
		}
	}
	return false;
}

void limit_know(const char *user, const char *network)
{
	if (!limit_knows(user, network)) {
		snprintf(known[next_known].user, USER_MAX, "%s", user);
		snprintf(known[next_known].network, ADDRESS_MAX, "%s", network);
		next_known = (next_known + 1) % KNOWN_MAX;
	}
}
