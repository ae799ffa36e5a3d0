/*
 * hypervisor/memory_lock.c: LPs that take the lock shared, and others that take it alone. Nobody has it beside one that has it
 * alone, and everybody gets it.
 *
 * Faults that must be found: NO_LOOK takes it shared without looking, NO_WAIT alone without waiting, UNSEEN does not say that it is
 * shared.
 */
#define READERS 3
#define WRITERS 2
#define ROUNDS  2

bool reading[READERS];
bool alone;
bool queue; /* the ticket lock; the order in which it is given is not modelled */
byte shared_holders, alone_holders;

inline take_queue() {
	atomic { !queue -> queue = true }
}

proctype reader(byte me) {
	byte round = 0;

	do
	:: round == ROUNDS -> break
	:: else ->
		round++;
#ifndef UNSEEN
		reading[me] = true;
#endif
		if
#ifdef NO_LOOK
		:: true -> skip
#else
		:: !alone -> skip
#endif
		:: else ->
			reading[me] = false;
			take_queue();
			reading[me] = true;
			queue = false
		fi;
		shared_holders++;
		assert(alone_holders == 0);
		shared_holders--;
		reading[me] = false
	od
}

proctype writer() {
	byte round = 0, i;

	do
	:: round == ROUNDS -> break
	:: else ->
		round++;
		take_queue();
		alone = true;
		i = 0;
		do
		:: i == READERS -> break
#ifdef NO_WAIT
		:: else -> i++
#else
		:: else -> !reading[i]; i++
#endif
		od;
		alone_holders++;
		assert(alone_holders == 1 && shared_holders == 0);
		alone_holders--;
		alone = false;
		queue = false
	od
}

init {
	byte i = 0;

	atomic {
		do
		:: i == READERS -> break
		:: else -> run reader(i); i++
		od;
		run writer();
		run writer()
	}
}
