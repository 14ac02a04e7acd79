/* SPDX-License-Identifier: Apache-2.0 */
/* Spin model of the shared ring: producers that may die at any step, a joiner, a reader, the wrap.
 *
 * The protocol is on the page in ring/slot.h, the code in ring/shared.h and shared.c. One d_step
 * here is one access to a shared word, and what is decided on its value alone; those that have a
 * name on the page say it. tests/model/run.sh checks every interleaving of several variants of the
 * constants below, and that breaking the model is noticed.
 *
 * Spin's memory is sequentially consistent: one order of all accesses, seen by all alike. So this
 * proves the steps, and not one fence: the list of pairs on the page does that, tests/test_litmus*.c
 * try it on the machine at hand.
 *
 * What must hold, and where it is asserted:
 *
 *	no torn record is taken             A1, when the reader takes one
 *	records of one thread ascend,       A2, when the reader takes one
 *	  none is taken twice
 *	no live slot is taken: one writer   A3, at every step of a writer
 *	a push tries so many slots at most  A4, when it looks at one
 *	a drain is bounded                  A5, at each look
 *	nobody waits                        Spin itself: a process that cannot go on is an error
 *	what lies published was read        A6, at the end
 *	no hole stays open for the living   A7, at the end
 *	pushed = read + lost + died         A8, at the end
 *
 * Stopping a producer for long (SIGSTOP) is no step of its own: others may always go on first. Not
 * in here: that a drain stays some records behind (it ends at a group before that of T2, which only
 * makes the next one longer), and Y1 and Y2, whose sums are compared when all is at rest.
 */
#ifndef PRODUCERS
#define PRODUCERS 3	/* each is a process with one thread, as owners are processes */
#endif
#ifndef SLOTS
#define SLOTS 2
#endif
#ifndef GROUP
#define GROUP 2		/* SHARED_GROUP */
#endif
#ifndef EXTRA
#define EXTRA 1		/* pushes beyond the first of each; whoever gets there first makes them */
#endif
#ifndef TRIES
#define TRIES 2		/* SHARED_TRIES */
#endif
#ifndef DEATHS
#define DEATHS 1	/* in all */
#endif
#ifndef JOINS
#define JOINS 1		/* processes that take over the entry of a dead one, in all */
#endif
#ifndef DRAINS
#define DRAINS 1	/* while producers run; then a last one */
#endif
/* Laps and positions wrap together, as 40 and 64 bits would. Numbers start just before that. */
#define LAPS 32
#define POSITIONS (SLOTS * LAPS)
#define START (POSITIONS - SLOTS)
#define NONE 255
#if PRODUCERS > 3 || EXTRA > 14 || LAPS * SLOTS > 254
#error "does not fit the commit word, a payload word, or a byte"
#endif
#if SLOTS % GROUP
#error "groups do not wrap"
#endif
#if (PRODUCERS + EXTRA) * TRIES * GROUP >= LAPS / 2 * SLOTS
#error "half of the laps must not pass, as ring/slot.h assumes"
#endif

#define SLOT(pos) ((pos) % SLOTS)
#define NO_TICKET (GROUP - 1)	/* the last position of a group, so that the next is of another */
#define LAP(pos) ((pos) / SLOTS)
#define FORTH(pos, by) (((pos) + (by)) % POSITIONS)
#define BEHIND(pos, of) (((of) + POSITIONS - (pos)) % POSITIONS)
#define IS_BEFORE(pos, other) (pos != other && BEHIND(pos, other) < POSITIONS / 2)

/* The commit word: lap, state, owner. */
#define FREE 0
#define WRITING 1
#define VALID 2
#define ABORTED 3
#define COMMIT(lap, state, owner) ((lap) << 4 | (state) << 2 | (owner))
#define STATE(commit) ((commit) >> 2 & 3)
#define OWNER(commit) ((commit) & 3)
#define AHEAD(commit, lap) ((((commit) >> 4) + LAPS - (lap)) % LAPS)
#define IS_OLDER(commit, lap) (STATE(commit) == FREE || AHEAD(commit, lap) >= LAPS / 2)
#define IS_VALID(commit, pos) (STATE(commit) == VALID && (commit) >> 4 == LAP(pos))
#define IS_CLAIMABLE(commit, lap) (IS_OLDER(commit, lap) && STATE(commit) != WRITING)

/* ---- Shared memory ---- */

byte reserve_pos = START;
short commit[SLOTS];
byte word0[SLOTS], word1[SLOTS];	/* the payload: who, and which event, in each */
byte events[PRODUCERS];			/* shared_events of each process entry */
bit dead[PRODUCERS];			/* its lock has gone, and nobody has swept behind it */
bit at_end;				/* the last drain has begun: nobody joins any more */

#define PAYLOAD(owner) ((owner) << 4 | events[owner])

/* ---- What no program sees ---- */

byte writer[SLOTS];	/* 1 + the one that is between claim and publish there, dead ones too */
bit was_read[SLOTS];	/* the record that lies there */
byte owed;		/* events that are neither read, nor lost, nor died with their producer */
byte deaths, joins, finished, extra = EXTRA;
byte begun;		/* producers are all alike, so let them take their first step in turn */

mtype = { TICKET, LOOK, CLAIM, FILL0, FILL1, PUBLISH, DEAD, SWEEP, SWEEP_CAS, DONE }

inline next_ticket()
{
	if
	:: (pos + 1) % GROUP == 0 -> pos = NO_TICKET; step = TICKET
	:: else -> pos++; step = LOOK
	fi
}

/* On with the next push, if there is one. */
inline next_push()
{
	tries = 0;
	seen = 0;
	if
	:: extra > 0 -> extra--; next_ticket()
	:: else -> pos = NO_TICKET; finished++; step = DONE
	fi
}

/* The slot could not be claimed, as `seen` says. */
inline next_try()
{
	if
	:: STATE(seen) != WRITING -> pos = NO_TICKET	/* too late: so is the group */
	:: else
	fi;
	if
	:: tries < TRIES -> next_ticket()
	:: else ->
		events[_pid]++;	/* lost: unrecorded */
		next_push()
	fi
}

/* On with the next slot of the sweep; behind the last, the entry is the joiner's own. */
inline next_swept()
{
	tries++;
	step = SWEEP;
	if
	:: tries == SLOTS ->
		dead[_pid] = 0;
		next_push()
	:: else
	fi
}

active [PRODUCERS] proctype producer()
{
	mtype step = TICKET;
	byte pos = NO_TICKET, tries;	/* tries: of a sweep, the slots done */
	short seen;

end:	do	/* it may stop here when DONE or DEAD: else the reader's wait for it is the error */
	:: d_step { step == TICKET && begun >= _pid ->	/* T1 */
		if
		:: begun == _pid -> begun++
		:: else
		fi;
		pos = reserve_pos;
		reserve_pos = FORTH(reserve_pos, GROUP);
		step = LOOK }
	:: d_step { step == LOOK ->
		tries++;
		assert(tries <= TRIES);	/* A4 */
		seen = commit[SLOT(pos)];
		if
		:: IS_CLAIMABLE(seen, LAP(pos)) -> step = CLAIM
		:: else -> next_try()
		fi }
	:: d_step { step == CLAIM ->	/* C2 */
		if
		:: commit[SLOT(pos)] == seen ->
			assert(writer[SLOT(pos)] == 0);	/* A3 */
			writer[SLOT(pos)] = _pid + 1;
			if
			:: STATE(seen) == VALID && !was_read[SLOT(pos)] ->
				owed--	/* lost: overwritten */
			:: else
			fi;
			was_read[SLOT(pos)] = 0;
			commit[SLOT(pos)] = COMMIT(LAP(pos), WRITING, _pid);
			events[_pid]++;	/* Y1: nobody looks at it before the end */
			owed++;
			seen = 0;
			step = FILL0
		:: else ->
			seen = commit[SLOT(pos)];
			next_try()
		fi }
	:: d_step { step == FILL0 ->
		assert(writer[SLOT(pos)] == _pid + 1);	/* A3 */
		word0[SLOT(pos)] = PAYLOAD(_pid);
		step = FILL1 }
	:: d_step { step == FILL1 ->
		assert(writer[SLOT(pos)] == _pid + 1);	/* A3 */
		word1[SLOT(pos)] = PAYLOAD(_pid);
		step = PUBLISH }
	:: d_step { step == PUBLISH ->	/* C1 */
		assert(writer[SLOT(pos)] == _pid + 1);	/* A3 */
		writer[SLOT(pos)] = 0;
		commit[SLOT(pos)] = COMMIT(LAP(pos), VALID, _pid);
		next_push() }

	/* Death, before any step. */
	:: d_step { deaths < DEATHS && step != DEAD && step != DONE && begun >= _pid ->
		if
		:: begun == _pid -> begun++
		:: else
		fi;
		if
		:: step == FILL0 || step == FILL1 || step == PUBLISH ->
			owed--	/* died in push */
		:: else
		fi;
		deaths++;
		finished++;
		dead[_pid] = 1;
		pos = NO_TICKET;
		tries = 0;
		seen = 0;
		step = DEAD }

	/* Who joins gets the dead one's lock, and with it its entry. */
	:: d_step { step == DEAD && joins < JOINS && !at_end ->
		joins++;
		finished--;
		step = SWEEP }
	:: d_step { step == SWEEP ->
		seen = commit[tries];
		if
		:: STATE(seen) == WRITING && OWNER(seen) == _pid -> step = SWEEP_CAS
		:: else -> next_swept()
		fi }
	:: d_step { step == SWEEP_CAS ->	/* C1' */
		if
		:: commit[tries] == seen ->
			commit[tries] = COMMIT(seen >> 4, ABORTED, OWNER(seen));
			writer[tries] = 0
		:: else
		fi;
		next_swept() }
	od
}

mtype = { IDLE, HOLES, NEW, READ, COPY0, COPY1, CHECK }

/* All positions of slot `n` that are before the one of its commit word are past hope. */
inline look_at_hole(n)
{
	c = commit[n];
	if
	:: IS_OLDER(c, LAP(hole[n]))
	:: else ->
		pos = FORTH(hole[n], AHEAD(c, LAP(hole[n])) * SLOTS);
		hole[n] = pos;
		if
		:: IS_BEFORE(pos, scan) && STATE(c) != WRITING ->
			if
			:: STATE(c) == VALID -> found[n] = pos
			:: else
			fi;
			hole[n] = FORTH(pos, SLOTS)
		:: else
		fi;
		if
		:: !IS_BEFORE(hole[n], scan) -> hole[n] = NONE	/* the scan comes by there */
		:: else
		fi
	fi
}

/* Of the scan: position `pos`. */
inline look_at_new()
{
	c = commit[SLOT(pos)];
	if
	:: IS_OLDER(c, LAP(pos)) || (STATE(c) == WRITING && c >> 4 == LAP(pos)) ->
		if
		:: hole[SLOT(pos)] == NONE -> hole[SLOT(pos)] = pos
		:: else	/* an earlier lap's is open still */
		fi
	:: else ->
		hole[SLOT(pos)] = NONE;
		if
		:: IS_VALID(c, pos) -> found[SLOT(pos)] = pos
		:: else
		fi
	fi
}

/* A lapped reader goes on a ring before the end; what it jumps over is lost. */
inline jump()
{
	if
	:: BEHIND(scan, end) > SLOTS ->
		scan = FORTH(end, POSITIONS - SLOTS);
		jumped = scan
	:: else
	fi
}

inline end_of_drain()
{
	pos = 0;
	end = 0;
	looks = 0;
	scanning = 0;
	if
	:: at_end -> step = DONE
	:: else -> step = IDLE
	fi
}

/* The holes, the last slot first, then what was found there; each group, its last position first,
 * then what was found there. */
inline next_look()
{
	do
	:: step == HOLES && at > 0 ->
		at--;
		if
		:: hole[at] != NONE -> break
		:: else
		fi
	:: step == NEW && at > 0 ->
		at--;
		pos = FORTH(scan, at);
		break
	:: (step == HOLES || step == NEW) && at == 0 -> step = READ
	:: step == READ ->
		pos = NONE;
		do	/* the first by position: all are before `end` */
		:: at == SLOTS -> at = 0; break
		:: else ->
			if
			:: found[at] != NONE && (pos == NONE ||
			   BEHIND(found[at], end) > BEHIND(pos, end)) -> pos = found[at]
			:: else
			fi;
			at++
		od;
		if
		:: pos != NONE -> found[SLOT(pos)] = NONE; break
		:: pos == NONE && scanning -> scan = FORTH(scan, GROUP)
		:: pos == NONE && !scanning -> scanning = 1; jump()
		fi;
		if
		:: scan == end -> end_of_drain(); break
		:: else -> step = NEW; at = GROUP
		fi
	od;
	c = 0;
	copy0 = 0;
	copy1 = 0
}

inline count_look()
{
	looks++;
	assert(looks <= 4 * SLOTS)	/* A5 */
}

inline take()
{
	assert(copy0 == copy1);	/* A1 */
	assert(copy0 >> 4 == OWNER(c) && copy0 == word0[SLOT(pos)]);	/* A1: that record */
	assert((copy0 & 15) > last[OWNER(c)]);	/* A2 */
	last[OWNER(c)] = copy0 & 15;
	was_read[SLOT(pos)] = 1;
	owed--
}

inline check_the_end()
{
	at = 0;
	do
	:: at == SLOTS -> break
	:: else ->
		if
		:: STATE(commit[at]) == WRITING -> assert(dead[OWNER(commit[at])])	/* A7 */
		:: STATE(commit[at]) == VALID && !was_read[at] ->
			pos = (commit[at] >> 4) * SLOTS + at;
			/* A6: all were, but for those that were jumped over */
			assert(jumped != NONE && IS_BEFORE(pos, jumped));
			assert(hole[at] == NONE || IS_BEFORE(pos, hole[at]));	/* A6 */
			pos = 0;
			owed--	/* lost: jumped over */
		:: else
		fi;
		assert(hole[at] == NONE || STATE(commit[at]) == WRITING ||
		       IS_OLDER(commit[at], LAP(hole[at])));	/* A7 */
		at++
	od;
	at = 0;
	assert(owed == 0)	/* A8 */
}

active proctype reader()
{
	mtype step = IDLE;
	byte scan = START, end, drains, pos, at, copy0, copy1, looks;
	byte jumped = NONE;	/* where the last jump led */
	short c;
	bit scanning;	/* the holes are done */
	byte hole[SLOTS] = NONE;	/* the first position that may yet get its record */
	byte found[SLOTS] = NONE;	/* the position of the record that is to be read */
	byte last[PRODUCERS];	/* event number read of each */

	do
	:: d_step { step == IDLE && !at_end && (drains < DRAINS || finished == PRODUCERS) ->
		if
		:: finished == PRODUCERS -> at_end = 1; drains = DRAINS
		:: else -> drains++
		fi;
		end = reserve_pos;	/* T2 */
		at = SLOTS;
		step = HOLES;
		next_look() }
	:: d_step { step == HOLES ->	/* R1' */
		count_look();
		look_at_hole(at);
		next_look() }
	:: d_step { step == NEW ->	/* R1'' */
		count_look();
		look_at_new();
		next_look() }
	:: d_step { step == READ ->	/* R1 */
		count_look();
		c = commit[SLOT(pos)];
		if
		:: IS_VALID(c, pos) -> step = COPY0
		:: else -> next_look()
		fi }
	:: d_step { step == COPY0 -> copy0 = word0[SLOT(pos)]; step = COPY1 }
	:: d_step { step == COPY1 -> copy1 = word1[SLOT(pos)]; step = CHECK }
	:: d_step { step == CHECK ->	/* R2 */
		if
		:: commit[SLOT(pos)] == c -> take()
		:: else
		fi;
		step = READ;
		next_look() }
	:: d_step { step == DONE -> check_the_end() } break
	od
}
