/*
 * A ring of a port (switch/ring.c): a worker that adds slots and a switch that answers them, each of which sleeps when there is nothing for
 * it, on an event that the other signals only if it was told of the sleep. When nobody can do anything any more, every slot is answered and the
 * worker knows it.
 *
 * Faults that must be found: LOOK_THEN_SAY looks at the index before it says that it waits, NO_SECOND_LOOK does not look again, MOVE_AFTER_LOOK
 * looks for a waiter before the index has moved, EVENT_FORGOTTEN empties the event after the look instead of before.
 */
#define SLOTS 3 /* to be sent */
#define SIZE  2 /* of the ring */

byte added, done;
bool worker_waits, switch_waits;
bool worker_event, switch_event;
byte collected;

/* Moves an index, and signals who waits for that. */
#ifdef MOVE_AFTER_LOOK
#define MOVE(index, value, waits, event)                                                                                               \
	if                                                                                                                             \
	:: atomic { waits -> waits = false }                                                                                           \
		event = true                                                                                                           \
	:: else                                                                                                                        \
	fi;                                                                                                                            \
	index = value
#else
#define MOVE(index, value, waits, event)                                                                                               \
	index = value;                                                                                                                 \
	if                                                                                                                             \
	:: atomic { waits -> waits = false }                                                                                           \
		event = true                                                                                                           \
	:: else                                                                                                                        \
	fi
#endif

/* Nothing was seen at `seen`: sleeps, unless the index has moved. */
#ifdef LOOK_THEN_SAY
#define SLEEP(index, seen, waits, event)                                                                                               \
	if                                                                                                                             \
	:: index != seen                                                                                                               \
	:: else -> waits = true; event -> event = false                                                                                \
	fi
#else
#ifdef NO_SECOND_LOOK
#define SLEEP(index, seen, waits, event)                                                                                               \
	waits = true; event -> event = false
#else
#ifdef EVENT_FORGOTTEN
#define SLEEP(index, seen, waits, event)                                                                                               \
	waits = true;                                                                                                                  \
	if                                                                                                                             \
	:: index != seen -> waits = false                                                                                              \
	:: else -> event = false; event -> event = false                                                                               \
	fi
#else
#define SLEEP(index, seen, waits, event)                                                                                               \
	waits = true;                                                                                                                  \
	if                                                                                                                             \
	:: index != seen -> waits = false                                                                                              \
	:: else -> event -> event = false; waits = false                                                                               \
	fi
#endif
#endif
#endif

proctype worker()
{
	byte next, seen;

	do
	:: collected == SLOTS -> break
	:: else ->
		if
		:: next < SLOTS && next - collected < SIZE ->
			next++;
			MOVE(added, next, switch_waits, switch_event)
		:: else
		fi;
		seen = done;
		if
		:: seen != collected -> collected = seen
		:: else ->
			if
			:: next < SLOTS && next - collected < SIZE
			:: else ->
				SLEEP(done, seen, worker_waits, worker_event)
			fi
		fi
	od
}

proctype switch()
{
	byte next, seen;

	do
	:: next == SLOTS -> break
	:: else ->
		seen = added;
		if
		:: seen != next ->
			next++;
			MOVE(done, next, worker_waits, worker_event)
		:: else ->
			SLEEP(added, seen, switch_waits, switch_event)
		fi
	od
}

proctype watch()
{
	timeout -> assert(collected == SLOTS)
}

init {
	atomic {
		run worker();
		run switch();
		run watch()
	}
}
