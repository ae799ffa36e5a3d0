/* Programs that are asked for something and end: what they said, and whether they did it. Each is a
 * process of its own, so it may wait. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "service/service.h"

#define OUT_MAX (8 << 20) /* bytes of what it printed that are read */

struct tool {
	struct source source; /* its standard error, the end of which is its own */
	struct service *service;
	pid_t process;
	int out; /* a file */
	size_t length;
	char text[1024];
	tool_done *done;
	void *user;
};

static char *read_out(const struct tool *tool)
{
	off_t size = lseek(tool->out, 0, SEEK_END);
	char *text = size >= 0 && size <= OUT_MAX ? malloc((size_t)size + 1) : NULL;
	ssize_t length = text != NULL ? pread(tool->out, text, (size_t)size, 0) : -1;

	if (length >= 0) {
		text[length] = '\0';
		return text;
	}
	free(text);
	return NULL;
}

/* It has closed its standard error, so it is about to end. */
static void ended(struct tool *tool)
{
	char *out = read_out(tool);
	bool done;
	int status;

	loop_close(tool->service, &tool->source);
	done = waitpid(tool->process, &status, 0) == tool->process && WIFEXITED(status) &&
	       WEXITSTATUS(status) == 0;
	close(tool->out);
	tool->text[tool->length] = '\0';
	tool->done(tool->user, done, out != NULL ? out : "", tool->text);
	free(out);
	free(tool);
}

static void ready(struct source *source, uint32_t events)
{
	struct tool *tool = (struct tool *)((char *)source - offsetof(struct tool, source));
	char rest[256];
	size_t room = sizeof(tool->text) - 1 - tool->length;
	ssize_t got = room > 0 ? read(source->fd, tool->text + tool->length, room)
			       : read(source->fd, rest, sizeof(rest));

	(void)events;
	if (got > 0) {
		tool->length += room > 0 ? (size_t)got : 0;
	} else if (got == 0 || (errno != EINTR && errno != EAGAIN)) {
		ended(tool);
	}
}

struct tool *tool_run(struct service *service, const char *program, const char *folder,
		      const char *const *words, tool_done *done, void *user, struct refusal *why)
{
	return tool_run_with(service, program, folder, words, -1, done, user, why);
}

struct tool *tool_run_with(struct service *service, const char *program, const char *folder,
			   const char *const *words, int fd, tool_done *done, void *user,
			   struct refusal *why)
{
	struct tool *tool = calloc(1, sizeof(*tool));
	int pipes[2] = {-1, -1}, out = memfd_create("out", MFD_CLOEXEC), ret = -ENOMEM;

	if (tool != NULL && out >= 0) {
		ret = pipe2(pipes, O_CLOEXEC) == 0 ? start_process(program, folder, words, &fd,
								   fd >= 0 ? 1 : 0, out, pipes[1])
						   : -errno;
	}
	if (pipes[1] >= 0) {
		close(pipes[1]);
	}
	if (ret < 0) {
		if (pipes[0] >= 0) {
			close(pipes[0]);
		}
		if (out >= 0) {
			close(out);
		}
		free(tool);
		refuse(why, SERVICE_BAD_IO, "vmms --help says how it is told where that is",
		       "%s: %s", program, strerror(-ret));
		return NULL;
	}
	*tool = (struct tool){.source = {pipes[0], ready},
			      .service = service,
			      .process = ret,
			      .out = out,
			      .done = done,
			      .user = user};
	if (!loop_watch(service, &tool->source, EPOLLIN)) {
		(void)kill(tool->process, SIGKILL);
		loop_close(service, &tool->source);
		(void)waitpid(tool->process, NULL, 0);
		close(out);
		free(tool);
		refuse(why, SERVICE_BAD_IO, "", "%s cannot be waited for", program);
		return NULL;
	}
	return tool;
}

void tool_end(struct tool *tool)
{
	(void)kill(tool->process, SIGTERM);
}

void tool_complaint(char *said, const char *name, const char *about, struct refusal *why)
{
	size_t length = strlen(said);
	char *line, *remedy;

	while (length > 0 && said[length - 1] == '\n') {
		said[--length] = '\0';
	}
	line = strrchr(said, '\n');
	line = line != NULL ? line + 1 : said;
	length = strlen(name);
	if (strncmp(line, name, length) == 0 && strncmp(line + length, ": ", 2) == 0) {
		line += length + 2;
	}
	remedy = strstr(line, "; ");
	if (remedy != NULL) {
		*remedy = '\0';
		remedy += 2;
	}
	refuse(why, SERVICE_BAD_WORKER, remedy != NULL ? remedy : "", "%s%s%s%s",
	       about[0] != '\0' ? "'" : "", about, about[0] != '\0' ? "': " : "",
	       *line != '\0' ? line : "it was given up");
}
