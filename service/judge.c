/*
 * There is one judge of a machine's hardware, the worker's program (`vmwp --print-config`), which
 * is asked before a document is taken.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/wait.h>
#include <unistd.h>

#include "service/service.h"

struct check {
	struct source source; /* its standard error */
	struct service *service;
	pid_t process;
	void (*done)(void *user, const struct refusal *why);
	void *user;
	size_t length;
	char text[1024];
};

/* "vmwp: --config fd:3: FIELD: VALUE WHAT; REMEDY" */
static void read_complaint(struct check *check, struct refusal *why)
{
	static const char before[] = "vmwp: --config fd:3: ";
	char *text = check->text, *end, *remedy;

	text[check->length] = '\0';
	end = strchr(text, '\n');
	if (end != NULL) {
		*end = '\0';
	}
	if (strncmp(text, before, sizeof(before) - 1) == 0) {
		text += sizeof(before) - 1;
	}
	remedy = strrchr(text, ';');
	if (remedy != NULL) {
		*remedy++ = '\0';
		remedy += *remedy == ' ';
	}
	refuse(why, SERVICE_BAD_INVALID, remedy != NULL ? remedy : "", "%s",
	       *text != '\0' ? text : "the worker's program takes no document");
	end = strchr(text, ':');
	if (end != NULL && (size_t)(end - text) < sizeof(why->field)) {
		memcpy(why->field, text, (size_t)(end - text));
	}
}

static void check_ready(struct source *source, uint32_t events)
{
	struct check *check = (struct check *)((char *)source - offsetof(struct check, source));
	struct refusal why;
	int status;
	ssize_t got;

	(void)events;
	got = read(source->fd, check->text + check->length,
		   sizeof(check->text) - 1 - check->length);
	if (got > 0) {
		check->length += (size_t)got;
		if (check->length < sizeof(check->text) - 1) {
			return;
		}
	}
	if (got < 0 && (errno == EINTR || errno == EAGAIN)) {
		return;
	}
	/* It has closed its standard error, so it is about to end. */
	loop_close(check->service, source);
	if (waitpid(check->process, &status, 0) == check->process && WIFEXITED(status) &&
	    WEXITSTATUS(status) == 0) {
		check->done(check->user, NULL);
	} else {
		read_complaint(check, &why);
		check->done(check->user, &why);
	}
	free(check);
}

bool settings_check(struct service *service, const char *folder, json_t *for_worker,
		    void (*done)(void *user, const struct refusal *why), void *user,
		    struct refusal *why)
{
	static const char *const words[] = {"--config", "fd:3", "--print-config", NULL};
	struct check *check = calloc(1, sizeof(*check));
	int config, pipes[2] = {-1, -1}, nowhere;

	json_object_set_new(for_worker, "control", json_pack("{s:s}", "socket", "control"));
	config = start_text_file("config", for_worker);
	json_decref(for_worker);
	nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
	if (check == NULL || config < 0 || nowhere < 0 || pipe2(pipes, O_CLOEXEC) != 0) {
		refuse(why, SERVICE_BAD_IO, "", "the worker cannot be asked: %s", strerror(errno));
	} else {
		check->process = start_process(service->worker, folder, words, &config, 1, nowhere,
					       pipes[1]);
		if (check->process < 0) {
			refuse(why, SERVICE_BAD_IO, "tell vmms where vmwp is: --worker", "%s: %s",
			       service->worker, strerror(-check->process));
		}
	}
	if (config >= 0) {
		close(config);
	}
	if (nowhere >= 0) {
		close(nowhere);
	}
	if (pipes[1] >= 0) {
		close(pipes[1]);
	}
	if (check == NULL || check->process <= 0) {
		if (pipes[0] >= 0) {
			close(pipes[0]);
		}
		free(check);
		return false;
	}
	check->source = (struct source){pipes[0], check_ready};
	check->service = service;
	check->done = done;
	check->user = user;
	if (!loop_watch(service, &check->source, EPOLLIN)) {
		/* Then at once, as long as that takes. */
		while (check->source.fd >= 0 && check->length < sizeof(check->text) - 1) {
			check_ready(&check->source, EPOLLIN);
		}
	}
	return true;
}
