/*
 * How an event reaches a child VP, whether its LP is in the guest, in the hypervisor or back in the root, where its thread may sleep
 * (tlfs/vp.c, hypervisor/run.c, tlfs/hc_vp.c, tlfs/notify.c, root/run.c). When nobody can do anything any more, no event waits: the
 * guest has seen each, though it halts whenever it likes and spins for ever when it does not.
 *
 * Faults that must be found: LOOK_THEN_ENTER looks at the events before others can see that the guest is entered, NO_SECOND_LOOK
 * does not look for those that came while the root was taken to know, KICK_FORGOTTEN forgets a kick that was there before the wait.
 */
#define POSTERS 2
#define POSTS   2

bool events;      /* vp->events */
bool on_lp;       /* vcpu->lp */
bool in_guest;    /* lp->guest */
bool ipi;         /* waits for the LP while it is in the hypervisor */
bool signalled;   /* vp->root_signalled */
bool kicked;      /* of the module's VP */
bool halted;      /* vp->activity */

/* vp_signal_scheduler(), and the message on its way. */
inline signal()
{
	if
	:: events ->
		atomic { was = signalled; signalled = true }
		if
		:: !was -> kicked = true
		:: else
		fi
	:: else
	fi
}

/* vp_post_event(), plat_vp_kick(). */
proctype poster()
{
	bool was;
	byte i;

	for (i : 1 .. POSTS) {
		atomic { was = events; events = true }
		if
		:: was
		:: else ->
			if
			:: !on_lp -> signal()
			:: else ->
				if
				:: in_guest -> ipi = true
				:: else
				fi
			fi
		fi
	}
}

/* vp_process_events(): each wakes. */
inline process()
{
	if
	:: atomic { events -> events = false }
		halted = false
	:: else
	fi
}

/* The module's run loop, DispatchVp, prepare() and the guest. */
proctype thread()
{
	bool was;

dispatch:
	signalled = true;
	on_lp = true;
prepare:
	process();
	if
	:: halted -> goto leave
	:: else
	fi;
#ifdef LOOK_THEN_ENTER
	if
	:: events -> goto prepare
	:: else
	fi;
	in_guest = true;
#else
	in_guest = true;
	if
	:: events -> in_guest = false; goto prepare
	:: else
	fi;
#endif
	if
	:: halted = true /* HLT */
	:: in_guest = false; goto leave /* the root is wanted */
	:: true ->
end_spin:
		ipi -> ipi = false
	fi;
	in_guest = false;
	goto prepare;
leave:
	on_lp = false;
	if
	:: halted && !events ->
		signalled = false;
#ifndef NO_SECOND_LOOK
		signal();
#endif
#ifdef KICK_FORGOTTEN
		kicked = false;
#endif
end_wait:
		kicked -> kicked = false
	:: else
	fi;
	goto dispatch
}

proctype watch()
{
	timeout -> assert(!events)
}

init {
	byte i;

	atomic {
		for (i : 1 .. POSTERS) {
			run poster()
		}
		run thread();
		run watch()
	}
}
