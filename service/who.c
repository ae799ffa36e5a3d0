/*
 * Who a user is: the name, and whether it administers, as the system's directories say (NSS). Those
 * may be servers that do not answer, so threads ask them, and what they said counts for some
 * seconds. Root, and the user that vmms runs as, are known without.
 */
#include <grp.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hosted/clock.h"
#include "service/service.h"

#define KNOWN_MAX  64
#define KNOWN_MS   10000
#define GROUPS_MAX 256
#define TEXT_BYTES 65536

/* One that is being asked for, or is known. */
struct who {
	struct service *service;
	uid_t uid;
	char name[64];
	bool is_admin;
	bool asked;       /* a thread has it */
	uint64_t seen_ms; /* when it was asked for */
	struct who *next;
};

static bool is_in_group(const struct passwd *user, const char *name)
{
	gid_t groups[GROUPS_MAX];
	int count = GROUPS_MAX, i;
	struct group group, *found = NULL;
	char *text = malloc(TEXT_BYTES);
	bool is_member = false;

	if (text != NULL && getgrnam_r(name, &group, text, TEXT_BYTES, &found) == 0 &&
	    found != NULL && getgrouplist(user->pw_name, user->pw_gid, groups, &count) >= 0) {
		for (i = 0; i < count; i++) {
			is_member |= groups[i] == group.gr_gid;
		}
	}
	free(text);
	return is_member;
}

/* In a thread. */
static void look_up(void *user)
{
	struct who *who = user;
	struct passwd entry, *found = NULL;
	char *text = malloc(TEXT_BYTES);

	if (text != NULL && getpwuid_r(who->uid, &entry, text, TEXT_BYTES, &found) == 0 &&
	    found != NULL) {
		snprintf(who->name, sizeof(who->name), "%s", entry.pw_name);
		who->is_admin = is_in_group(&entry, who->service->group);
	} else {
		snprintf(who->name, sizeof(who->name), "%u", (unsigned int)who->uid);
	}
	free(text);
}

static void looked_up(void *user)
{
	struct who *who = user;

	who->asked = false;
	http_wake_asked(who->service);
}

static void forget(struct service *service, uint64_t now)
{
	struct who **link = &service->known, *who, **oldest = NULL;
	unsigned int count = 0;

	while ((who = *link) != NULL) {
		if (!who->asked && now - who->seen_ms > KNOWN_MS) {
			*link = who->next;
			free(who);
			continue;
		}
		count++;
		oldest = who->asked ? oldest : link; /* the newest are the first */
		link = &who->next;
	}
	if (count >= KNOWN_MAX && oldest != NULL) {
		who = *oldest;
		*oldest = who->next;
		free(who);
	}
}

static struct who *find(struct service *service, uid_t uid)
{
	struct who *who = service->known;

	while (who != NULL && who->uid != uid) {
		who = who->next;
	}
	return who;
}

bool who_is(struct service *service, uid_t uid, char name[64], bool *is_admin)
{
	uint64_t now = clock_ms();
	struct who *who;

	if (uid == 0) {
		strcpy(name, "root");
		*is_admin = true;
		return true;
	}
	forget(service, now);
	who = find(service, uid);
	if (who == NULL) {
		who = calloc(1, sizeof(*who));
		CHECK(who != NULL);
		*who = (struct who){.service = service,
				    .uid = uid,
				    .asked = true,
				    .seen_ms = now,
				    .next = service->known};
		service->known = who;
		helper_run(service->lookups, look_up, looked_up, who);
	}
	if (who->asked) {
		return false;
	}
	snprintf(name, 64, "%s", who->name);
	*is_admin = who->is_admin || uid == geteuid();
	return true;
}
