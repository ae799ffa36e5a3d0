/*
 * The thread of a channel, and who pauses, resumes and closes it (vsp/channel.c, vmbus/server.c). The server has a pause when the thread has
 * said that it stands, or gives it up before that; while it has it the thread touches nothing; in the end the thread has ended, and nobody
 * waits for ever.
 *
 * Faults that must be found: LOOK_ONCE sleeps after a look that was made before the last wake was cleared, SAID_ALWAYS says that it stands
 * whenever it wakes, so that an old word is taken for a new one, NO_CLOSE does not look for a close while it is paused, NOTE_KEPT does not
 * drop an old word when a pause is given up, SAID_LATE says it for a pause that may be over by then, BUSY_LOOK says it while something is
 * under way still, UNSEEN takes no notice of a pause that is over, for which something was put aside.
 */
#define PAUSES 2

byte asked;      /* pauses and resumes, counted; odd: a pause is wanted */
bool close;
bool awake;      /* the event that ends a sleep; a wake before it counts */
bool note;       /* "it stands", on its way to the server */
bool works;      /* the thread is at the ring */
bool busy;       /* something is under way; it ends some time */
bool stands;     /* the server has its pause */
bool saying;     /* the lock */
bool ended;

#define WANTS_PAUSE (asked % 2 == 1)
#ifdef UNSEEN
#define IS_ASKED WANTS_PAUSE
#else
#define IS_ASKED (asked != seen)
#endif

/* A sleep that ends by a wake alone. */
inline sleep_for_good()
{
	atomic { awake -> awake = false }
}

inline say_it()
{
#ifdef SAID_LATE
	if
	:: said != asked && WANTS_PAUSE -> said = asked; note = true
	:: else
	fi
#else
	atomic { !saying -> saying = true };
	if
#ifdef SAID_ALWAYS
	:: true -> said = asked; note = true
#else
	:: said != asked && WANTS_PAUSE -> said = asked; note = true
	:: else
#endif
	fi;
	saying = false
#endif
}

active proctype thread()
{
	byte said, seen;
	bool stood, aside;

	do
	:: close -> break
	:: !close && IS_ASKED ->
		stood = false;
		do
#ifdef NO_CLOSE
		:: !WANTS_PAUSE -> break
		:: WANTS_PAUSE ->
#else
		:: close || !WANTS_PAUSE -> break
		:: !close && WANTS_PAUSE ->
#endif
			if
#ifndef BUSY_LOOK
			:: !stood && busy -> sleep_for_good()
#endif
			:: else ->
				if
				:: !stood -> atomic { works = true; assert(!stands) }; works = false; stood = true
				:: else
				fi;
				say_it();
				sleep_for_good()
			fi
		od;
		atomic { seen = asked - asked % 2 };
		aside = false
	:: !close && !IS_ASKED ->
		/* serve(): it looks for what is asked before each packet, and between the steps of a long request */
		atomic { works = true; assert(!stands) }
		busy = true;
		if
		:: WANTS_PAUSE -> aside = true
		:: else
		fi;
		works = false;
#ifdef LOOK_ONCE
		if
		:: !close && !IS_ASKED -> awake = false; atomic { awake -> awake = false }
		:: else
		fi
#else
		if
		:: !close && !IS_ASKED -> assert(!aside); sleep_for_good()
		:: else
		fi
#endif
	od;
	ended = true
}

inline wake()
{
	awake = true
}

/* A file that answers, as long as the thread lives. */
active proctype disk()
{
end:
	do
	:: atomic { busy -> busy = false; awake = true }
	od
}

active proctype server()
{
	byte i;

	for (i : 1 .. PAUSES) {
		asked++;
		wake();
		if
		:: atomic { note -> note = false; assert(!works && !busy); stands = true }
		:: true /* given up before it stands */
		fi;
		if
		:: true -> break /* closed meanwhile */
		:: true
		fi;
		stands = false;
#ifndef SAID_LATE
		atomic { !saying -> saying = true };
#endif
		asked++;
		saying = false;
#ifndef NOTE_KEPT
		note = false;
#endif
		wake()
	}
	stands = false;
	close = true;
	wake();
	ended
}
