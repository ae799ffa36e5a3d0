/*
 * A thread that does one kind of work beside those that ask for it. What waits, and everything here
 * but `thread` and `joinable`, is under one lock; whoever adds to what waits signals `work`. One
 * that is told to stop first does all that waits.
 */
#ifndef HOSTED_ASIDE_H
#define HOSTED_ASIDE_H

#include <pthread.h>
#include <stdbool.h>

#include "lib/check.h"

struct aside {
	pthread_mutex_t lock;
	pthread_cond_t work;
	/* Both are called under the lock. */
	bool (*waits)(void *user);
	void (*do_some)(void *user); /* it may give the lock up meanwhile */
	void *user;
	pthread_t thread;
	bool joinable, ends, ended;
};

static inline void aside_init(struct aside *aside)
{
	*aside = (struct aside){0};
	pthread_mutex_init(&aside->lock, NULL);
	pthread_cond_init(&aside->work, NULL);
}

static inline void *aside_serve(void *user)
{
	struct aside *aside = user;

	pthread_mutex_lock(&aside->lock);
	while (!aside->ends || aside->waits(aside->user)) {
		if (aside->waits(aside->user)) {
			aside->do_some(aside->user);
		} else {
			pthread_cond_wait(&aside->work, &aside->lock);
		}
	}
	aside->ended = true;
	pthread_mutex_unlock(&aside->lock);
	return NULL;
}

/* An errno, 0: it runs. Also after a stop. */
static inline int MUST_CHECK aside_start(struct aside *aside, bool (*waits)(void *user),
					 void (*do_some)(void *user), void *user)
{
	int error;

	aside->waits = waits;
	aside->do_some = do_some;
	aside->user = user;
	aside->ends = aside->ended = false;
	error = pthread_create(&aside->thread, NULL, aside_serve, aside);
	aside->joinable = error == 0;
	return error;
}

/* Does not wait; aside_is_quiet() says when it has ended. Neither needs one that was started. */
static inline void aside_begin_stop(struct aside *aside)
{
	if (aside->joinable) {
		pthread_mutex_lock(&aside->lock);
		aside->ends = true;
		pthread_cond_signal(&aside->work);
		pthread_mutex_unlock(&aside->lock);
	}
}

static inline bool aside_is_quiet(struct aside *aside)
{
	bool is_quiet = true;

	if (aside->joinable) {
		pthread_mutex_lock(&aside->lock);
		is_quiet = aside->ended;
		pthread_mutex_unlock(&aside->lock);
	}
	return is_quiet;
}

static inline void aside_stop(struct aside *aside)
{
	if (aside->joinable) {
		aside_begin_stop(aside);
		pthread_join(aside->thread, NULL);
		aside->joinable = false;
	}
}

#endif
