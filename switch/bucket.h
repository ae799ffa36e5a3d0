/* A token bucket: `rate` units a second, of which `burst` may come at once. */
#ifndef SWITCH_BUCKET_H
#define SWITCH_BUCKET_H

#include <stdbool.h>
#include <stdint.h>

#define BUCKET_SECOND_NS 1000000000ull

struct bucket {
	uint64_t rate; /* 0: no limit */
	uint64_t burst;
	int64_t tokens;
	uint64_t filled_ns;
};

static inline void bucket_set(struct bucket *bucket, uint64_t rate, uint64_t burst)
{
	*bucket = (struct bucket){.rate = rate, .burst = burst, .tokens = (int64_t)burst};
}

static inline void bucket_fill(struct bucket *bucket, uint64_t now_ns)
{
	uint64_t passed = now_ns > bucket->filled_ns ? now_ns - bucket->filled_ns : 0;
	uint64_t full_ns = bucket->burst * BUCKET_SECOND_NS / bucket->rate;
	uint64_t more;

	/* What a long sleep brings is the burst, and not a product that overflows. */
	if (passed > full_ns) {
		passed = full_ns + 1;
		bucket->filled_ns = now_ns - passed;
	}
	more = passed * bucket->rate / BUCKET_SECOND_NS;
	if (more == 0) {
		return;
	}
	bucket->filled_ns += more * BUCKET_SECOND_NS / bucket->rate;
	bucket->tokens += (int64_t)more;
	if (bucket->tokens > (int64_t)bucket->burst) {
		bucket->tokens = (int64_t)bucket->burst;
		bucket->filled_ns = now_ns;
	}
}

/* One more unit may pass. */
static inline bool bucket_take(struct bucket *bucket, uint64_t now_ns)
{
	if (bucket->rate == 0) {
		return true;
	}
	bucket_fill(bucket, now_ns);
	if (bucket->tokens <= 0) {
		return false;
	}
	bucket->tokens--;
	return true;
}

/* For units that are known after the fact: whether it is not in debt; then what was used. */
static inline bool bucket_open(struct bucket *bucket, uint64_t now_ns)
{
	if (bucket->rate == 0) {
		return true;
	}
	bucket_fill(bucket, now_ns);
	return bucket->tokens > 0;
}

static inline void bucket_use(struct bucket *bucket, uint64_t units)
{
	if (bucket->rate != 0) {
		bucket->tokens -= (int64_t)units;
	}
}

/* How long until it is out of debt. */
static inline uint64_t bucket_wait_ns(const struct bucket *bucket)
{
	return bucket->rate == 0 || bucket->tokens > 0
		       ? 0
		       : (uint64_t)(1 - bucket->tokens) * BUCKET_SECOND_NS / bucket->rate + 1;
}

#endif
