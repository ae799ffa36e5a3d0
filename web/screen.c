/* A viewer's login, and what he asks for as whom. */
#include <string.h>

#include "web/viewer.h"

const char *screen_why(enum screen_result result)
{
	static const char *const why[] = {
		[SCREEN_WRONG] = "the name or the password is wrong",
		[SCREEN_LATER] = "too many attempts were wrong; wait for a minute",
		[SCREEN_UNREACHABLE] = "the management service does not answer",
		[SCREEN_FORBIDDEN] = "you may not look at this machine's screen",
		[SCREEN_UNKNOWN] = "there is no such machine",
		[SCREEN_NONE] = "the machine does not run, or has no screen",
	};

	return why[result];
}

enum screen_result screen_open(const struct ask *login, const char *uri, struct secret *secret,
			       int *fd)
{
	struct ask ask;
	struct answer answer;
	struct head head = {.status = 0};

	ask_monitor(login, &answer, fd);
	if (answer.result != ANSWER_YES) {
		return answer.result == ANSWER_LATER ? SCREEN_LATER : SCREEN_WRONG;
	}
	secret->kind = SECRET_SESSION;
	memcpy(secret->text, answer.session, sizeof(secret->text));
	ask = (struct ask){.what = ASK_OPEN, .secret = *secret};
	ask_monitor(&ask, &answer, fd);
	if (answer.result != ANSWER_YES || *fd < 0) {
		return SCREEN_UNREACHABLE;
	}
	if (!forward_ask(*fd, "GET", uri, NULL, "", 0, true, &head) || head.status != 101) {
		return head.status == 403   ? SCREEN_FORBIDDEN
		       : head.status == 404 ? SCREEN_UNKNOWN
					    : SCREEN_NONE;
	}
	return SCREEN_OPEN;
}

void screen_close(const struct secret *secret)
{
	const struct ask ask = {.what = ASK_LOGOUT, .secret = *secret};
	struct answer answer;
	int fd;

	if (secret->kind == SECRET_SESSION) {
		ask_monitor(&ask, &answer, &fd);
	}
}
