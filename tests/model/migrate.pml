/*
 * The hand-over of a machine (docs/design/migrate.md): a source that runs it, a target that is to, the connection between them, the owner
 * file and the locks of the disks. The connection may be cut at any moment, the source may give up at any moment, and either side may
 * be killed at any moment, one of them.
 *
 * Never do both run; who runs has the disks; and at the end the machine runs, unless the process was killed that had it.
 *
 * With -DBY_MESSAGE the source goes on when the connection is cut, without asking the owner file; with -DRUN_FIRST the target runs before
 * it has asked; with -DEND_ON_CUT the source ends when the connection is cut; with -DASK_FIRST the target asks before it has the
 * disks, and ends if it does not get them. All must be found wrong.
 */
mtype = { NOBODY, SOURCE, TARGET, PAGES, END, RUNS, FAILED };

chan to_target = [2] of { mtype };
chan to_source = [2] of { mtype };
mtype owner = NOBODY, disks = SOURCE;
bool cut;                             /* of the connection, for both ends at once: what is in it may be lost or not */
bool source_runs = true, target_runs; /* a VP is in the guest, or a device of it works */
bool source_dead, target_dead;        /* killed */
bool source_done, target_done;        /* ended by itself */
bool has_run;                         /* on the target: what the source has is of the past */

/* What a process that is killed leaves to the kernel. */
proctype killer()
{
	if
	:: atomic {
		!source_done -> source_dead = true; source_runs = false; cut = true;
		if
		:: disks == SOURCE -> disks = NOBODY
		:: else
		fi
	}
	:: atomic {
		!target_done -> target_dead = true; target_runs = false; cut = true;
		if
		:: disks == TARGET -> disks = NOBODY
		:: else
		fi
	}
	:: true /* nobody is */
	fi
}

proctype cutter()
{
	if
	:: cut = true
	:: true
	fi
}

/* The lock, the record, the name: one step to everybody else. */
inline ask(me, answer)
{
	atomic {
		if
		:: owner == NOBODY -> owner = me
		:: else
		fi;
		answer = owner
	}
}

proctype source()
{
	mtype answer = NOBODY, message;

	{
		/* Copying; it runs, and goes on running if it fails. */
		if
		:: true
		:: cut -> goto out
		:: true -> goto out /* cancelled, or the target says no */
		fi;
		if
		:: !cut -> to_target ! PAGES
		:: cut -> goto out
		fi;
		/* Standing. */
		source_runs = false;
		if
		:: cut || true -> goto on /* cancelled or failed: nothing lets the target run yet */
		:: true
		fi;
		atomic { assert(disks == SOURCE || source_dead); disks = (source_dead -> disks : NOBODY) };
		if
		:: !cut -> to_target ! END
		:: true /* it did not come to that, or is lost; or nobody knows */
		fi;
		/* Asking. */
		if
		:: to_source ? message
		:: cut
		:: true -> message = NOBODY /* cancelled, or the target is silent for long */
		fi;
#ifdef BY_MESSAGE
		if
		:: cut -> answer = SOURCE; goto again
		:: else
		fi;
#endif
#ifdef END_ON_CUT
		if
		:: cut -> goto gone
		:: else
		fi;
#endif
		ask(SOURCE, answer);
		if
		:: answer == TARGET -> goto gone
		:: else
		fi;
again:
		atomic { disks == NOBODY && !source_dead -> disks = SOURCE };
on:
		atomic { assert(!has_run); source_runs = !source_dead };
		goto out;
gone:
		skip
	} unless { source_dead };
out:
	source_done = true;
	cut = true /* its end of it is closed */
}

proctype target()
{
	mtype answer = NOBODY, message = NOBODY;

	{
		do
		:: message == END -> break
		:: message != END && nempty(to_target) -> to_target ? message
		:: message != END && cut -> goto out /* what was on its way is lost */
		od;
#ifdef RUN_FIRST
		atomic { target_runs = !target_dead; has_run = true };
#endif
#ifdef ASK_FIRST
		ask(TARGET, answer);
#endif
		if
		:: atomic { disks == NOBODY && !target_dead -> disks = TARGET }
		:: to_source ! FAILED; goto out /* one of them cannot be opened, or the state is refused */
		fi;
#ifndef ASK_FIRST
		ask(TARGET, answer);
#endif
		if
		:: answer == TARGET -> atomic { target_runs = !target_dead; has_run = true }
		:: else ->
			atomic {
				if
				:: disks == TARGET -> disks = NOBODY
				:: else
				fi
			};
			goto out
		fi;
		if
		:: !cut -> to_source ! RUNS
		:: cut
		fi
	} unless { target_dead };
out:
	target_done = true;
	cut = (target_runs -> cut : true)
}

proctype watch()
{
end:
	if
	:: source_runs && target_runs -> assert(false)
	:: source_runs && disks != SOURCE -> assert(false)
	:: target_runs && disks != TARGET -> assert(false)
	:: timeout ->
		/* Nothing moves any more. */
		assert(source_done && target_done);
		assert(source_dead || source_runs || owner == TARGET);
		assert(owner != TARGET || target_dead || target_runs);
		/* A target that was killed before it had the machine costs nothing. */
		assert(!target_dead || owner == TARGET || source_runs)
	fi
}

init {
	atomic {
		run source();
		run target();
		run cutter();
		run killer();
		run watch()
	}
}
