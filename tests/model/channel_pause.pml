/*
 * The thread of a channel, and who pauses, resumes and closes it (vsp/channel.c, vmbus/server.c). The server waits for each pause,
 * and while it has it the thread touches nothing; in the end the thread has ended, and nobody waits for ever.
 *
 * Faults that must be found: LOOK_ONCE sleeps after a look that was made before the last wake was cleared, SAID_ALWAYS says that it stands
 * whenever it wakes, so that an old word is taken for a new one, NO_CLOSE does not look for a close while it is paused.
 */
#define PAUSES 2

byte asked;      /* pauses and resumes, counted; odd: a pause is wanted */
bool close;
bool awake;      /* the event that ends a sleep; a wake before it counts */
byte notes;      /* "it stands", on its way to the server */
bool works;      /* the thread is at the ring */
bool stands;     /* the server has its pause */
bool ended;

#define WANTS_PAUSE (asked % 2 == 1)

/* A sleep that ends by a wake alone. */
inline sleep_for_good()
{
	atomic { awake -> awake = false }
}

active proctype thread()
{
	byte said;

	do
	:: close -> break
	:: !close && WANTS_PAUSE ->
paused:
		do
#ifdef NO_CLOSE
		:: !WANTS_PAUSE -> break
		:: WANTS_PAUSE ->
#else
		:: close || !WANTS_PAUSE -> break
		:: !close && WANTS_PAUSE ->
#endif
#ifdef SAID_ALWAYS
			notes++;
#else
			if
			:: said != asked && WANTS_PAUSE -> said = asked; notes++
			:: else
			fi;
#endif
			sleep_for_good()
		od
	:: !close && !WANTS_PAUSE ->
		/* serve(): it looks for what is asked before each packet */
		atomic { works = true; assert(!stands) }
		works = false;
#ifdef LOOK_ONCE
		if
		:: !close && !WANTS_PAUSE -> awake = false; atomic { awake -> awake = false }
		:: else
		fi
#else
		if
		:: !close && !WANTS_PAUSE -> sleep_for_good()
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

active proctype server()
{
	byte i;

	for (i : 1 .. PAUSES) {
		asked++;
		wake();
		/* vmbus_pause() waits */
		atomic { notes > 0 -> notes-- };
		atomic { assert(!works); stands = true };
		if
		:: true -> break /* closed while it stands */
		:: true
		fi;
		stands = false;
		asked++;
		wake()
	}
	stands = false;
	close = true;
	wake();
	ended
}
