/*
 * The state machine of flushes (docs/design/disk.md, "Flush"; disk/layer.c, disk/queue.c): channels that write to blocks which get
 * a place in the file with the first write, and that flush, or write with FUA. Whatever is told to be durable must be so at
 * that moment: data in the host's cache is lost, and so is an entry of the block table that is in no durable log entry.
 *
 * With -DCLEAN_WHEN_COLLECTED the tables count as clean as soon as a flush has copied them, as they once did; with -DNO_TICKET a flush
 * joins any other that ends after it began. Both must be found wrong: see check-model in tools/check.mk.
 */
#define CHANNELS 3
#define BLOCKS   2
#define ROUNDS   2
#define DATA     (CHANNELS * ROUNDS)

/* Generations: see struct layer. */
byte open = 1, changed, durable;
bool dirty; /* CLEAN_WHEN_COLLECTED */

bool placed[BLOCKS];                     /* in the table in memory */
bool written_entry[BLOCKS], durable_entry[BLOCKS]; /* in a log entry, in one that is synced */
bool written_data[DATA], durable_data[DATA];
bool flush_lock;

#ifdef CLEAN_WHEN_COLLECTED
#define IS_DIRTY dirty
#else
#define IS_DIRTY (changed > durable)
#endif

/* What was written when it begins is durable when it ends; what else is, nobody can count on. */
inline sync()
{
	d_step {
		for (i : 0 .. BLOCKS - 1) { seen_entry[i] = written_entry[i] }
		for (i : 0 .. DATA - 1) { seen_data[i] = written_data[i] }
	}
	d_step {
		for (i : 0 .. BLOCKS - 1) {
			durable_entry[i] = durable_entry[i] || seen_entry[i];
			seen_entry[i] = false
		}
		for (i : 0 .. DATA - 1) {
			durable_data[i] = durable_data[i] || seen_data[i];
			seen_data[i] = false
		}
	}
}

/* vhdx_flush_tables(): copy under the lock; sync, log entry, sync. */
inline flush_tables()
{
	d_step {
		for (i : 0 .. BLOCKS - 1) { staged[i] = placed[i] }
		generation = open;
		open++;
		dirty = false
	}
	sync();
	d_step {
		for (i : 0 .. BLOCKS - 1) {
			written_entry[i] = written_entry[i] || staged[i];
			staged[i] = false
		}
	}
	sync();
	durable = generation;
	generation = 0
}

/* layer_flush() */
inline slow_flush()
{
	ticket = open;
	atomic { !flush_lock -> flush_lock = true }
#ifdef NO_TICKET
	if
	:: durable >= ticket - 1 && durable > 0 -> skip
#else
	if
	:: durable >= ticket -> skip
#endif
	:: else -> flush_tables()
	fi;
	flush_lock = false;
	ticket = 0
}

/* submit_flush() */
inline flush()
{
	if
	:: IS_DIRTY -> slow_flush()
	:: else -> sync()
	fi
}

/* write_begin(): the block has a place afterwards. */
inline begin_write()
{
	d_step {
		if
		:: !placed[block] ->
			placed[block] = true;
			changed = open;
			dirty = true
		:: else
		fi
	}
}

/* issue_part() and settle() with DISK_FUA. */
inline write_fua()
{
	begin_write();
	fast = !IS_DIRTY;
	if
	:: fast -> d_step { written_data[data] = true; durable_data[data] = true }
	:: else -> written_data[data] = true
	fi;
	if
	:: !fast || IS_DIRTY -> slow_flush()
	:: else
	fi;
	fast = false
}

proctype channel(byte self; bool fua)
{
	byte round, i, block, data, ticket, generation;
	bool fast, staged[BLOCKS], seen_entry[BLOCKS], seen_data[DATA];

	do
	:: round < ROUNDS ->
		block = (self + round) % BLOCKS;
		data = self * ROUNDS + round;
		if
		:: fua -> write_fua()
		:: else ->
			begin_write();
			written_data[data] = true;
			flush()
		fi;
		/* It is told: the power may fail now. */
		assert(durable_data[data] && durable_entry[block]);
		round++
	:: else -> break
	od
}

init
{
	atomic {
		run channel(0, false);
		run channel(1, false);
		run channel(2, true)
	}
}
