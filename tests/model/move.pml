/*
 * Whose document a machine's is that moves between two hosts (docs/design/migrate.md, "By the service"): the two workers, which the model migrate.pml is about, here
 * only as far as they put their names into the owner file; the two services, each of which may be killed at any step and starts anew; the file, which is taken
 * away in the end.
 *
 * Never can both documents be started; when both services have looked, one can; and then nobody waits for a file that is gone. What the machine keeps beside its
 * document (a TPM's state, firmware's variables) is of each side's own: whose document can be started has what the machine had last; what is left of it on the
 * other side is nobody's. Its checkpoints come before that, into a place that is nobody's (`target_came`), and are the target's when it knows that the machine is; who
 * knows that it is not deletes them before the document.
 *
 * With -DNO_CLOSE the source's service reads who has it, when its worker has died, and does not close the file; with -DTAKE_AWAY it takes the file away also when the
 * machine is the target's; with -DSEEN_FIRST a service says that it has seen it before its document says so; with -DEARLY it decides while its worker moves; with
 * -DLATE_FILES the target's worker writes what it keeps when the machine is its own already; with -DLATE_POINTS the target's document says so before its checkpoints are
 * in their place; with -DDROP_FIRST the source deletes its own when they have come. All must be found wrong.
 */
mtype = { NOBODY, SOURCE, TARGET };

mtype owner = NOBODY;
bool file = true, source_seen, target_seen;
bool end_sent;                        /* the target's worker has all that it needs */
bool source_moves = true;             /* the source's worker has not ended, or failed */
bool source_dead;                     /* ... it was killed */
bool target_waits = true, target_runs;
/* Documents: there; with a mark nothing is started by them. */
bool source_there = true, source_marked = true;
bool target_there = true, target_marked = true;
bool source_keeps = true, target_keeps; /* what the machine keeps is there, as it is */
bool source_points = true, target_came, target_points; /* its checkpoints */
bool source_knows, target_knows;      /* the service has nothing left to do */
byte kills = 2;                       /* that are still to come */

inline ask(me)
{
	if
	:: owner == NOBODY -> owner = me
	:: else
	fi
}

proctype source_worker()
{
	if
	:: atomic { source_moves = false } /* failed before it came to that */
	:: target_came -> end_sent = true;
		if
		:: atomic { ask(SOURCE); source_moves = false }
		:: atomic { owner == TARGET -> source_moves = false } /* it was told */
		:: atomic { source_dead = true; source_moves = false }
		fi
	:: atomic { source_dead = true; source_moves = false }
	fi
}

proctype target_worker()
{
	target_came = true; /* a process, before there is a worker */
	if
	:: end_sent ->
#ifndef LATE_FILES
		target_keeps = true;
#endif
		if
		:: atomic { ask(TARGET); target_runs = (owner == TARGET); target_waits = target_runs };
#ifdef LATE_FILES
			if
			:: target_runs -> target_keeps = true
			:: true /* killed before */
			fi
#else
			skip
#endif
		:: target_waits = false /* a disk cannot be had, or it was killed */
		fi
	:: target_waits = false
	fi;
	if
	:: target_runs -> atomic { target_runs = false; target_waits = false } /* killed later */
	:: true
	fi
}

inline end_of(seen, other)
{
	atomic {
		if
		:: file -> seen = true;
			if
			:: other -> file = false
			:: else
			fi
		:: else
		fi
	}
}

/* The service is killed: it starts anew, and finds what it has written. */
#define KILLED atomic { kills > 0 -> kills--; goto again }

proctype source_service()
{
	mtype whose;
again:
	if
	:: !source_there || !source_marked -> goto out
	:: else
	fi;
#ifdef DROP_FIRST
	if
	:: target_came -> source_points = false
	:: true
	fi;
#endif
#ifndef EARLY
	!source_moves;
#endif
	if
	:: KILLED
	:: true
	fi;
	file; /* else it waits for ever */
	atomic {
#ifndef NO_CLOSE
		ask(SOURCE);
#endif
		whose = owner
	};
	if
	:: whose == TARGET ->
#ifdef SEEN_FIRST
		end_of(source_seen, target_seen);
		if
		:: KILLED
		:: true
		fi;
#endif
		source_points = false;
		if
		:: KILLED
		:: true
		fi;
		source_there = false;
		if
		:: KILLED /* what it keeps stays, and is nobody's */
		:: source_keeps = false
		fi;
#ifdef TAKE_AWAY
		file = false
#else
		end_of(source_seen, target_seen)
#endif
	:: else ->
		source_marked = false;
		if
		:: KILLED
		:: true
		fi;
		file = false
	fi;
out:
	source_knows = true
}

proctype target_service()
{
	mtype whose;
again:
	if
	:: !target_there || !target_marked -> goto out
	:: else
	fi;
	target_runs || !target_waits;
	if
	:: KILLED
	:: true
	fi;
	atomic { whose = (file -> owner : SOURCE) };
	if
	:: whose == TARGET ->
#ifdef SEEN_FIRST
		end_of(target_seen, source_seen);
		if
		:: KILLED
		:: true
		fi;
#endif
#ifndef LATE_POINTS
		target_points = target_came;
		if
		:: KILLED
		:: true
		fi;
#endif
		target_marked = false;
		if
		:: KILLED
		:: true
		fi;
#ifdef LATE_POINTS
		target_points = target_came;
#endif
		end_of(target_seen, source_seen)
	:: else ->
		target_came = false;
		if
		:: KILLED
		:: true
		fi;
		target_there = false;
		if
		:: KILLED
		:: target_keeps = false
		fi
	fi;
out:
	target_knows = true
}

#define SOURCE_S (source_there && !source_marked)
#define TARGET_S (target_there && !target_marked)

proctype watch()
{
end:
	if
	:: SOURCE_S && TARGET_S -> assert(false)
	:: (SOURCE_S && !source_keeps) || (TARGET_S && !target_keeps) -> assert(false)
	:: (SOURCE_S && !source_points) || (TARGET_S && !target_points) -> assert(false)
	:: timeout ->
		assert(source_knows && target_knows);
		assert(SOURCE_S || TARGET_S);
		assert(source_there != target_there);
		assert(source_points != target_points && (target_points || !target_came));
		/* Who lives is at the host that has the document. */
		assert(!target_runs || TARGET_S)
	fi
}

init {
	atomic {
		run source_worker();
		run target_worker();
		run source_service();
		run target_service();
		run watch()
	}
}
