/*
 * hypervisor/gpa.c, access_state(): one page, an LP whose guest writes it, and a parent that asks again and again whether it was
 * written, clears that, and copies the page when it was. When the guest has come to its end and the parent has asked once more, its
 * copy is the page: no write is lost, whatever the LP had in its TLB. A processor that sets no dirty bits (`watch`) has a leaf
 * that is writable only while it is dirty; a write that faults makes it both.
 *
 * Faults that must be found: NO_WAIT answers when the flush is only asked for, NO_FLUSH enters the guest with the TLB as it was,
 * EARLY_COPY answers before the flush, TWO_STEPS looks at the bit and clears it then.
 */
#define WRITES 3
#define ASKS   2
#define ROUNDS 4

bool dirty;          /* in the leaf */
byte generation = 1; /* of the map */
byte page;           /* how often it was written */
byte copy;           /* the parent's */
bool watch, guest, ipi, over;
byte exits;

active proctype lp() {
	byte seen = 1, round = 0;
	bool tlb = false; /* a translation by which it writes and looks at no table */

	if
	:: watch = true
	:: skip
	fi;
	do
	:: round == ROUNDS -> break
	:: else ->
		round++;
		guest = true;
#ifndef NO_FLUSH
		if
		:: seen != generation -> seen = generation; tlb = false
		:: else
		fi;
#endif
		do
		:: page == WRITES -> break
		:: page < WRITES ->
			/* The bit first, then the write; the instruction may be begun and not be over when an interrupt comes. */
			if
			:: tlb
			:: atomic { !tlb && (dirty || !watch) -> dirty = true; tlb = true }
			:: atomic { !tlb && !dirty && watch -> guest = false }; exits++; dirty = true; break
			fi;
			if
			:: page++
			:: true -> break
			fi
		:: true -> tlb = false; break
		:: true -> break
		od;
		ipi = false;
		guest = false;
		exits++
	od;
	over = true
}

inline ask() {
#ifdef TWO_STEPS
	was = dirty;
	if
	:: was -> dirty = false
	:: else -> dirty = false
	fi;
#else
	atomic { was = dirty; dirty = false };
#endif
#ifdef EARLY_COPY
	if
	:: was -> copy = page
	:: else
	fi;
#endif
	if
	:: was ->
		generation++;
		then = exits;
		if
		:: guest ->
			ipi = true;
#ifndef NO_WAIT
			!(exits == then && guest)
#endif
		:: else
		fi
	:: else
	fi;
#ifndef EARLY_COPY
	if
	:: was -> copy = page
	:: else
	fi
#endif
}

active proctype parent() {
	bool was;
	byte then, asks = 0;

	do
	:: asks == ASKS -> break
	:: else -> asks++; ask()
	od;
	over;
	ask();
	assert(copy == page)
}
