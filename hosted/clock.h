/* Time of day and of the machine as one number, and waits that no step of the former changes. */
#ifndef HOSTED_CLOCK_H
#define HOSTED_CLOCK_H

#include <pthread.h>
#include <stdint.h>
#include <time.h>

#define CLOCK_SECOND_NS 1000000000ull

static inline uint64_t clock_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * CLOCK_SECOND_NS + (uint64_t)now.tv_nsec;
}

/* CLOCK_MONOTONIC. */
static inline uint64_t clock_ms(void)
{
	return clock_ns(CLOCK_MONOTONIC) / 1000000;
}

static inline struct timespec clock_timespec(uint64_t ns)
{
	return (struct timespec){.tv_sec = (time_t)(ns / CLOCK_SECOND_NS),
				 .tv_nsec = (long)(ns % CLOCK_SECOND_NS)};
}

/* A little while, or until it is signalled. The caller has the lock. */
static inline void clock_wait(pthread_cond_t *cond, pthread_mutex_t *lock, uint64_t ns)
{
	struct timespec until = clock_timespec(clock_ns(CLOCK_MONOTONIC) + ns);

	pthread_cond_clockwait(cond, lock, CLOCK_MONOTONIC, &until);
}

#endif
