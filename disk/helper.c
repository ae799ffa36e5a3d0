/*
 * The slow path's threads: requests that need more than table look-ups in memory run here to their
 * end. Two per handle, so that a read that must load a table does not stand behind a flush. Started
 * by the first such request.
 */
#include "disk/helper.h"

#include "disk/chain.h"
#include "disk/disk.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>

#define THREADS 2

struct helper {
	struct disk *disk;
	pthread_t threads[THREADS];
	unsigned thread_count;
	pthread_mutex_t lock;
	pthread_cond_t wake;
	struct disk_req *first, **last;
	bool stop;
};

static struct disk_req *take(struct helper *helper)
{
	struct disk_req *req;

	pthread_mutex_lock(&helper->lock);
	while (helper->first == NULL && !helper->stop) {
		pthread_cond_wait(&helper->wake, &helper->lock);
	}
	req = helper->first;
	if (req != NULL) {
		helper->first = req->p.next;
		if (helper->first == NULL) {
			helper->last = &helper->first;
		}
	}
	pthread_mutex_unlock(&helper->lock);
	return req;
}

static void *work(void *argument)
{
	struct helper *helper = argument;
	struct disk_req *req;

	while ((req = take(helper)) != NULL) {
		queue_run_slow(helper->disk, req);
	}
	return NULL;
}

/* The threads take no signals: those are the program's business. */
static unsigned start_threads(struct helper *helper)
{
	sigset_t all, before;
	unsigned i;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	for (i = 0; i < THREADS && !pthread_create(&helper->threads[i], NULL, work, helper); i++) {
	}
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	return i;
}

static int start(struct disk *disk)
{
	struct helper *helper = calloc(1, sizeof(*helper));

	if (helper == NULL) {
		return -ENOMEM;
	}
	helper->disk = disk;
	helper->last = &helper->first;
	pthread_mutex_init(&helper->lock, NULL);
	pthread_cond_init(&helper->wake, NULL);
	helper->thread_count = start_threads(helper);
	if (!helper->thread_count) {
		free(helper);
		return -EAGAIN;
	}
	disk->helper = helper;
	return 0;
}

int helper_post(struct disk *disk, struct disk_req *req)
{
	struct helper *helper;
	int ret = 0;

	pthread_mutex_lock(&disk->helper_lock);
	if (disk->helper == NULL) {
		ret = start(disk);
	}
	helper = disk->helper;
	pthread_mutex_unlock(&disk->helper_lock);
	if (ret) {
		return ret;
	}
	req->p.next = NULL;
	pthread_mutex_lock(&helper->lock);
	*helper->last = req;
	helper->last = &req->p.next;
	pthread_cond_signal(&helper->wake);
	pthread_mutex_unlock(&helper->lock);
	return 0;
}

void helper_stop(struct disk *disk)
{
	struct helper *helper = disk->helper;
	unsigned i;

	if (helper == NULL) {
		return;
	}
	pthread_mutex_lock(&helper->lock);
	helper->stop = true;
	pthread_cond_broadcast(&helper->wake);
	pthread_mutex_unlock(&helper->lock);
	for (i = 0; i < helper->thread_count; i++) {
		pthread_join(helper->threads[i], NULL);
	}
	pthread_mutex_destroy(&helper->lock);
	pthread_cond_destroy(&helper->wake);
	free(helper);
	disk->helper = NULL;
}
