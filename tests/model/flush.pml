/*
 * hypervisor/flush.c and run.c: two who change something, one LP that runs a guest. `changed` is what the guest must not use the
 * old state of after flush_wait() or tlb_sync() has returned; `used` is the state that it runs with, 0 outside the guest. A guest
 * may leave by itself or stay until an IPI comes: who waits for one that stays and is not told ends in a deadlock.
 *
 * Faults that must be found: ENTER_UNSEEN looks before others can see that the guest is entered, NO_SECOND_LOOK does not look at the
 * events then, NO_WAIT returns when all are told, ONE_MORE_EXIT waits for an LP that has taken the event and is back.
 */
#define ROUNDS 3

byte generation = 1; /* of the map */
byte tlb = 1;        /* changes that an event is posted for */
bool guest, event, ipi;
byte exits;
byte used_generation, used_tlb; /* 0: not in the guest */

inline left() {
	used_generation = 0;
	used_tlb = 0;
	guest = false;
	exits++
}

active proctype lp() {
	byte taken = 1, round = 0;

again:
	do
	:: round == ROUNDS -> break
	:: else ->
		round++;
		if
		:: event -> event = false; taken = tlb
		:: else
		fi;
#ifndef ENTER_UNSEEN
		guest = true;
#endif
#ifndef NO_SECOND_LOOK
		if
		:: event -> left(); goto again
		:: else
		fi;
#endif
		atomic { used_generation = generation; used_tlb = taken };
#ifdef ENTER_UNSEEN
		guest = true;
#endif
		/* The LP may be left here by the model's end: a guest that nobody needs to leave. */
		if
		:: skip
		:: true ->
end_in_guest:
			ipi
		fi;
		ipi = false;
		left()
	od
}

/* gpa_flush_wait(), under the memory lock: one at a time */
proctype flusher() {
	byte then, now;

	generation++;
	now = generation;
	then = exits;
	if
#ifdef NO_WAIT
	:: guest -> ipi = true
#else
	:: guest -> ipi = true; !(exits == then && guest)
#endif
	:: else
	fi;
	assert(used_generation == 0 || used_generation >= now)
}

/* vp_post_event() and plat_tlb_sync() */
proctype poster() {
	byte then, now;
	bool old;

	atomic { tlb++; now = tlb };
	atomic { old = event; event = true };
	if
	:: !old && guest -> ipi = true
	:: else
	fi;
	then = exits;
#ifdef ONE_MORE_EXIT
	!(guest && exits == then);
#else
	!(event && guest && exits == then);
#endif
	assert(used_tlb == 0 || used_tlb >= now)
}

init {
	run flusher();
	run poster();
	run poster()
}
