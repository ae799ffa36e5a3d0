/*
 * A ticket lock: waiters get it in order of arrival, so a holder that takes it again at once does
 * not starve them. The hypervisor runs with interrupts off, so there is no irqsave form. Not
 * recursive.
 */
#ifndef LIB_SPINLOCK_H
#define LIB_SPINLOCK_H

#include <stdbool.h>
#include <stdint.h>

struct spinlock {
	uint16_t next;  /* the ticket that the next one to come takes */
	uint16_t owner; /* the ticket that holds the lock */
};

static inline void spin_lock(struct spinlock *lock)
{
	uint16_t ticket = __atomic_fetch_add(&lock->next, 1, __ATOMIC_RELAXED);

	while (__atomic_load_n(&lock->owner, __ATOMIC_ACQUIRE) != ticket) {
		__builtin_ia32_pause();
	}
}

/*
 * The two halves of spin_lock(), for who has to tell the holder that it waits. True: the lock is
 * ours already.
 */
static inline bool spin_ticket(struct spinlock *lock, uint16_t *ticket)
{
	*ticket = __atomic_fetch_add(&lock->next, 1, __ATOMIC_SEQ_CST);
	return __atomic_load_n(&lock->owner, __ATOMIC_ACQUIRE) == *ticket;
}

static inline void spin_wait(struct spinlock *lock, uint16_t ticket)
{
	while (__atomic_load_n(&lock->owner, __ATOMIC_ACQUIRE) != ticket) {
		__builtin_ia32_pause();
	}
}

/* Takes the lock if it is free. */
static inline bool spin_try(struct spinlock *lock)
{
	uint16_t owner = __atomic_load_n(&lock->owner, __ATOMIC_RELAXED);

	return __atomic_compare_exchange_n(&lock->next, &owner, (uint16_t)(owner + 1), false,
					   __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
}

static inline void spin_unlock(struct spinlock *lock)
{
	__atomic_store_n(&lock->owner, (uint16_t)(lock->owner + 1), __ATOMIC_RELEASE);
}

/* True when somebody waits; called by the holder. */
static inline bool spin_contended(const struct spinlock *lock)
{
	return (uint16_t)(__atomic_load_n(&lock->next, __ATOMIC_RELAXED) - lock->owner) > 1;
}

#endif
