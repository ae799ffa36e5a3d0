/*
 * What may wait for long, a disk's or a directory's server, is done by threads beside the loop: a
 * few at a time, the rest in turn. A task's thread has its data alone until the loop is told, by a
 * pipe, that it has ended.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#include "hosted/say.h"
#include "service/service.h"

#define STACK_BYTES (1 << 20)

struct task {
	struct task *next;
	struct helper *helper;
	void (*work)(void *user);
	void (*done)(void *user);
	void *user;
};

struct helper {
	struct source source; /* the pipe's end that is read: tasks whose thread is done */
	int ended;            /* the other end */
	unsigned int most, running;
	struct task *queue, **last; /* those without a thread */
	struct service *service;
};

static void *run(void *user)
{
	struct task *task = user;

	task->work(task->user);
	/* A pipe takes a pointer as a whole; that it is full is no matter, as few are under way. */
	if (write(task->helper->ended, &task, sizeof(task)) != sizeof(task)) {
		say("the end of a task is lost: %s", strerror(errno));
	}
	return NULL;
}

/* False: there is no thread for it now. */
static bool start(struct task *task)
{
	pthread_attr_t attributes;
	pthread_t thread;
	int ret;

	pthread_attr_init(&attributes);
	(void)pthread_attr_setdetachstate(&attributes, PTHREAD_CREATE_DETACHED);
	(void)pthread_attr_setstacksize(&attributes, STACK_BYTES);
	ret = pthread_create(&thread, &attributes, run, task);
	pthread_attr_destroy(&attributes);
	task->helper->running += ret == 0;
	return ret == 0;
}

static void start_next(struct helper *helper)
{
	while (helper->queue != NULL && helper->running < helper->most) {
		struct task *task = helper->queue;

		helper->queue = task->next;
		if (helper->queue == NULL) {
			helper->last = &helper->queue;
		}
		if (!start(task)) {
			/* Then here, as long as it takes. */
			task->work(task->user);
			task->done(task->user);
			free(task);
		}
	}
}

static void ready(struct source *source, uint32_t events)
{
	struct helper *helper = (struct helper *)((char *)source - offsetof(struct helper, source));
	struct task *task;

	(void)events;
	if (read(source->fd, &task, sizeof(task)) == sizeof(task)) {
		helper->running--;
		task->done(task->user);
		free(task);
		start_next(helper);
	}
}

struct helper *helper_create(struct service *service, unsigned int most)
{
	struct helper *helper = calloc(1, sizeof(*helper));
	int ends[2] = {-1, -1};

	if (helper == NULL || pipe2(ends, O_CLOEXEC) != 0) {
		say("no helper can be made: %s", strerror(errno));
		free(helper);
		return NULL;
	}
	*helper = (struct helper){
		.source = {ends[0], ready}, .ended = ends[1], .most = most, .service = service};
	helper->last = &helper->queue;
	if (!loop_watch(service, &helper->source, EPOLLIN)) {
		close(ends[0]);
		close(ends[1]);
		free(helper);
		return NULL;
	}
	return helper;
}

void helper_run(struct helper *helper, void (*work)(void *user), void (*done)(void *user),
		void *user)
{
	struct task *task = calloc(1, sizeof(*task));

	CHECK(task != NULL);
	*task = (struct task){.helper = helper, .work = work, .done = done, .user = user};
	*helper->last = task;
	helper->last = &task->next;
	start_next(helper);
}
