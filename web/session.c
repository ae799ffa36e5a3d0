/* Sessions: in the monitor's memory, and gone with it. */
#include <stdio.h>
#include <string.h>

#include "web/web.h"

static struct session {
	char hash[HASH_TEXT];
	char user[USER_MAX]; /* empty: free */
	time_t began, used;
} sessions[SESSIONS_MAX];

static bool has_ended(const struct session *session, time_t now)
{
	return now - session->began >= SESSION_SECONDS ||
	       now - session->used >= SESSION_IDLE_SECONDS;
}

/* A free one; else the one that was used longest ago, of this user's if there are too many of
 * them. */
static struct session *make_room(const char *user, time_t now)
{
	struct session *of_user = NULL, *oldest = NULL, *session;
	unsigned int count = 0;

	for (session = sessions; session < sessions + SESSIONS_MAX; session++) {
		if (session->user[0] != '\0' && has_ended(session, now)) {
			memset(session, 0, sizeof(*session));
		}
		if (oldest == NULL || session->user[0] == '\0' ||
		    (oldest->user[0] != '\0' && session->used < oldest->used)) {
			oldest = session;
		}
		if (strcmp(session->user, user) == 0) {
			count++;
			of_user = of_user == NULL || session->used < of_user->used ? session
										   : of_user;
		}
	}
	return count >= SESSIONS_OF_USER_MAX ? of_user : oldest;
}

bool session_begin(const char *user, time_t now, char text[SECRET_TEXT])
{
	struct session *session = make_room(user, now);

	if (!secret_make(text)) {
		return false;
	}
	*session = (struct session){.began = now, .used = now};
	snprintf(session->user, sizeof(session->user), "%s", user);
	secret_hash(text, session->hash);
	return true;
}

static struct session *find(const char *text)
{
	char hash[HASH_TEXT];
	struct session *session;

	secret_hash(text, hash);
	for (session = sessions; session < sessions + SESSIONS_MAX; session++) {
		if (session->user[0] != '\0' && secret_is_same(session->hash, hash, HASH_TEXT)) {
			return session;
		}
	}
	return NULL;
}

const char *session_find(const char *text, time_t now)
{
	struct session *session = find(text);

	if (session == NULL || has_ended(session, now)) {
		return NULL;
	}
	session->used = now;
	return session->user;
}

void session_end(const char *text)
{
	struct session *session = find(text);

	if (session != NULL) {
		memset(session, 0, sizeof(*session));
	}
}
