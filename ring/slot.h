/* SPDX-License-Identifier: Apache-2.0 */
/* The protocol: how a record, a ledger cell, a lane and a process entry pass from one to another.
 *
 * WHAT IS SHARED, AND WHO WRITES IT
 *
 *	word                      writer                      readers
 *	record in a lane          the lane's owner            any, through slot_read()
 *	record in the shared      who claimed the slot        any, through slot_read()
 *	  ring
 *	reserve_pos               any pusher (atomic add)     any
 *	lane publish_pos,         the lane's owner            any
 *	  unrecorded, cell_count,
 *	  cells
 *	lane owner                whoever claims or leaves    claimers
 *	shared cells, counts of   any thread of the process   any
 *	  the process entry         (atomic adds)
 *	identity of the process   who took the entry; its     any
 *	  entry, bases              lock is its right
 *	entries (device, tag,     who moved it to WRITING     any, once VALID
 *	  pool)
 *	cursors of a lossless     the consumer that has       the lane's owner
 *	  region                    their lock
 *	header                    its creator, before the     any
 *	                            file has a name
 *
 * Readers map the file read-only. A reader never makes a writer wait, nor can it; but for the one
 * that holds the cursors of a lossless region, which maps them, and only them, to write.
 *
 * A SLOT AND ITS STATES
 *
 *	in a lane, all moves by its owner:
 *	FREE ----> WRITING(lap n) ----> VALID(lap n) ----> WRITING(lap n+1) ...
 *
 *	in the shared ring, a and b being any pushers, laps ascending:
 *	FREE --a--> WRITING(n, a) --a--> VALID(n, a) --b--> WRITING(m, b) ...
 *	            WRITING(n, a) --who takes dead a's entry--> ABORTED(n, a) --b--> WRITING(m, b)
 *
 * Position p belongs to slot p mod ring size, lap p / ring size (mod 2^40). A slot is valid for p
 * if and only if its state is VALID and its lap is p's: nothing is ever zeroed, and a stale or a
 * torn slot cannot pass for a fresh one. Laps compare modulo 2^40: 1 .. 2^39 behind is older, the
 * rest is newer; FREE is older than everything. A reader at position p finds
 *
 *	VALID, lap of p           the record                  SLOT_VALID
 *	older, or WRITING it      not there yet               SLOT_EARLY
 *	ABORTED, lap of p         its writer has died         SLOT_ABORTED
 *	a newer lap               overwritten: count the gap  SLOT_LAPPED
 *
 * A PUSH INTO A LANE (lane_push())
 *
 *	mark the thread busy; take the time
 *	commit := WRITING, lap            relaxed
 *	L1  release fence
 *	the payload but for the balance   relaxed
 *	G1  release fence
 *	the cell's idle half              relaxed; nobody looks at it yet
 *	the balance                       relaxed
 *	L2  commit := VALID, lap          release
 *	L3  publish_pos := p + 1          release
 *	G2  seq := seq + 1                release; then the thread is no longer busy
 *
 * The lane's events are publish_pos - start_pos + unrecorded, so L3 counts the event too. A lane
 * without a ring publishes into one private line that nobody reads: ring_ready is 0, and all its
 * events are unrecorded.
 *
 * A LANE THAT WAITS (lane_wait(), before a push; lossless regions only)
 *
 *	its owner, at position p, when it is not known that p may be written:
 *	W4  load the cursor's holder, acquire; 0: nobody is waited for
 *	W2  load consume_pos, acquire; p - consume_pos below the ring's size: there is room
 *	else again, for so long at most; then this holder is not waited for until it has moved
 *
 *	the holder, when it begins, and after it has read some:
 *	consume_pos := its position               relaxed
 *	W3  holder := its random name             release
 *	W1  consume_pos := its position           release
 *
 * Nothing else depends on it: a slot that is overwritten too early is lapped to its reader, here as
 * anywhere. The lock of the cursors, a byte of the file, goes with the holder.
 *
 * A PUSH INTO THE SHARED RING (shared_push())
 *
 *	T1  p := the thread's next ticket; when its group of eight is used up, the first of another:
 *	    reserve_pos, reserve_pos + 8          add, release
 *	a slot that is WRITING is passed over: the next ticket. One that is not older than p's lap
 *	shows that the thread comes too late: another group. After SHARED_TRIES slots the event
 *	counts without a record
 *	C2  commit := WRITING, lap, entry         CAS from what was found, acquire; else as above
 *	Y1  event_no := shared_events + 1         add, release
 *	L1  release fence
 *	the payload                               relaxed
 *	C1  commit := VALID, lap, entry           release
 *	the sums of the event, in the process's shared cells      adds, relaxed
 *
 * So a slot has one writer at a time: who claims it has moved it from a state in which nobody
 * writes to WRITING, in one exchange of the word that also says the lap and who. A slot of an owner
 * that lives is never taken away, however long it stands; it costs the others one look a lap. A
 * ticket is no claim: one that is never used is a position without a record.
 *
 * A READ (slot_read(), ledger_read())
 *
 *	R1  load commit, acquire; not VALID for p: say so
 *	the seven payload words           relaxed
 *	R2  acquire fence; load commit again: another value, the copy is dropped
 *
 *	K1  load seq, acquire
 *	the half that seq names           relaxed
 *	K2  acquire fence; load seq again: another value, try again, a bounded number of times
 *
 * A DRAIN OF THE SHARED RING (shared_drain())
 *
 *	Y2  load shared_events of the entries, acquire
 *	T2  e := reserve_pos, acquire
 *	the holes kept from before are looked at, the last slot first; those that are VALID are read
 *	by ascending position
 *	the groups not looked at yet, up to e: each from its last position to its first; then those
 *	that were VALID are read from the first. What is SLOT_EARLY becomes a hole
 *
 * A hole is a slot whose record may still come. It ends when it is read, when its slot shows a
 * newer lap or ABORTED, or when no process of the region lives. Nothing is waited for.
 *
 * One thread's records stay in order. Within a group: it published the lower position first, so who
 * has seen the higher one VALID, and looks at the lower one after that, finds it, and only what was
 * VALID when it was looked at is read. Between groups: its next group below e was taken after its
 * last publication in the one before, T1, and everything is looked at after T2.
 *
 * Lost are the numbers without a record that was read: shared_events counts, of each entry, those
 * that claimed a slot and those that got none. As long as writers live, a slot that was being
 * written when it was looked at, and what was not looked at, may hold a number still to come.
 *
 * TAKING A PROCESS ENTRY (join_region(), owner_book(), owner_begin())
 *
 *	the lock of its byte; who gets it is alone with it, as the last owner is dead
 *	generation := 0                                   relaxed
 *	N1  release fence
 *	each lane of the entry is settled, its cells' bases := their sums
 *	O1  the lane's owner := RETIRED                   release
 *	C1  each slot that is WRITING for the entry := ABORTED   CAS, release
 *	bases of its shared cells and counts := their sums
 *	its identity
 *	N3  generation := a new one                       release
 *
 * Sums are those of all owners; what the present one did is what they have above the base. Each
 * step writes what is so already, should it be done twice: who dies on the way leaves generation 0,
 * and the next one begins again. A reader loads the generation before, N4, and behind a fence, N2,
 * once more: if it is another or 0, what was read between is dropped. What lanes hold that are
 * RETIRED or of an owner that is dead, and what bases say, is abandoned.
 *
 * WHAT A DEATH LEAVES BEHIND, in a lane
 *
 *	before L2     the slot is FREE, of an older lap, or WRITING, and publish_pos names it: a
 *	              reader stays before it. The event was never published and counts nowhere.
 *	L2 .. L3      the record is valid at publish_pos: a reader of a dead lane looks there too.
 *	L2 .. G2      the ledger is one event behind: the lane's last valid record has a
 *	              higher event_no than its cell, and lane_settle() or ledger_settled()
 *	              applies it. The half named by seq is whole.
 * So ledger <= truth <= ledger + 1 event per lane, and what was published counts.
 *
 * In the shared ring
 *
 *	T1 .. C2      tickets that nobody will use: the slots' next lap ends the holes
 *	C2 .. C1      a slot that is WRITING until somebody takes the entry; its number, if it had
 *	              one by then, is lost
 *	behind C1     sums that lack the event, wholly or in some fields: each field is at most
 *	              one event behind
 *
 * PAIRS: each release, and the acquire that makes it work
 *
 *	L1 -> R2  a reader that copied any payload word of lap n+1 sees, at its second look, the
 *	          WRITING mark that was stored before the fence, or something later still
 *	R2 -> L1  the same pair from the reader's side
 *	L2 -> R1  VALID is seen with the payload behind it
 *	R1 -> L2
 *	C1 -> R1  likewise in the shared ring
 *	R1 -> C1
 *	C1 -> C2  the payload of a slot's last owner is written before that of the next
 *	C2 -> C1
 *	T1 -> T2  what a thread published before it took a group is seen by who sees it taken: each
 *	          add continues the release sequence of all before it
 *	T2 -> T1
 *	Y1 -> Y2  a number that is counted has a slot that is claimed, at a position below the e
 *	          that is loaded next, or was counted as unrecorded before
 *	Y2 -> Y1
 *	L3 -> R3  who sees publish_pos = p finds every slot before p valid or overwritten
 *	R3 -> L3
 *	G1 -> K2  the seq stored by the update before is seen by whoever sees a word of this one:
 *	          a half that is being written was given up first
 *	K2 -> G1
 *	G2 -> K1  the half that seq names is whole
 *	K1 -> G2
 *	D1 -> D2  cell_count is stored after the cell's key is written and its page reserved
 *	D2 -> D1
 *	O1 -> O2  who leaves a lane has finished with it and with its private writer state; who
 *	          claims it continues from there
 *	O2 -> O1
 *	N1 -> N2  who has read a word of a base that belongs to the next owner sees that the
 *	          generation is no longer the one before
 *	N2 -> N1
 *	N3 -> N4  who sees a generation sees its identity and its bases
 *	N4 -> N3
 *	U1 -> U2  lanes_used, ring_ready, shared_ready, and each reserved page's bit or flag, is
 *	          set after the reservation
 *	U2 -> U1
 *	E1 -> E2  an entry is VALID after its words were written
 *	E2 -> E1
 *	S1 -> S2  Dekker's handshake, two full fences: a thread counts in the static cells, S1,
 *	          then looks whether the region is ready; its maker says ready, S2, then takes
 *	          what the static cells hold. One of the two sees the other: no event stays
 *	          behind.
 *	S2 -> S1
 *	B1 -> B2  the region's private state is written before the word that arms the hot path
 *	B2 -> B1
 *	M1 -> M2  who makes the region has finished; who comes next finds it made
 *	M2 -> M1
 *	W1 -> W2  what the holder says it has read it has copied: the slot may be written anew
 *	W2 -> W1
 *	W3 -> W4  who sees a holder sees where it began, not where another has stood
 *	W4 -> W3
 *	I1 -> I2  who takes the lock of a shard of a table of ids (producer/ids.c; private memory)
 *	          finds it as the last holder left it
 *	I2 -> I1
 *	A1 -> A2  the tt_metal adapter's own state is set up once, in private memory, and then used
 *	A2 -> A1
 *	P1 -> P2  apart from all rings, in a chip's file: it is ready after all else was written
 *	P2 -> P1
 *
 * Liveness needs no pair: a lock seen gone was released by the kernel in the owner's exit, after
 * its last store, and the two system calls order the rest.
 *
 * PROGRESS
 *
 *	lane_push()          wait-free, no locked instruction, reads no word another thread writes
 *	lane_wait()          waits for a reader that holds the cursors, bounded by time
 *	shared_push()        lock-free; at most SHARED_TRIES slots; two locked instructions when the
 *	                     first one is good, and a third on each eighth push
 *	cells_find()         wait-free: bounded by the number of shared cells
 *	slot_read(), ledger_read(), lane_drain(), shared_drain()  wait-free, bounded tries
 *	lane_claim()         wait-free, bounded by the number of lanes
 *	region_*(), entries_*()  may make system calls
 *	tally_ids_put(), tally_ids_take()  blocking: they wait for who has the shard's lock
 *
 * WHY SO
 *
 * A push is bound by the number of its stores. So no word counts what others tell (the lane's
 * events), nothing shared is kept in private as well (the owner reads its own publish_pos), the
 * half is filled while its sums are in registers, and the failures but not the peak are in the
 * halves: a failure that was counted before its record would be counted again by who settles. Of
 * 37 stores 25 are left; a push went from 20 to 13 ns beside a floor of 11 (Zen 3, `make bench`).
 *
 * Tickets come in groups because the position that all pushers share costs more than all the rest
 * of a push. Two processes on two processors, M pushes/s together, bare ring (Zen 3,
 * `make bench`): near each other 65 in groups, 27 one by one, 12 by CAS on the position, which is
 * the only one to run out of tries; far from each other 40, 10 and 5. Alone all three are within
 * 0.3 ns. The price: a handler that interrupts a push takes a group for one record, so with nothing
 * else in it the ring keeps an eighth of its records. The number is taken behind the claim, so that
 * a number which is counted has a place to be looked for.
 *
 * ASSUMED: 8-byte words are read and written whole; release and acquire as in C11; a mapping of a
 * tmpfs file is coherent between processes; one lane is not pushed into 2^39 laps while a reader
 * holds one position.
 */
#ifndef RING_SLOT_H
#define RING_SLOT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/cdefs.h>
#include <tally/abi.h>
#include <tally/atomic.h>

#define SLOT_LAP_MASK ((1ull << TALLY_LAP_BITS) - 1)

enum slot_sight { SLOT_VALID, SLOT_EARLY, SLOT_LAPPED, SLOT_ABORTED };

/* The lap of position `pos`, where the commit word has it. */
static __always_inline uint64_t slot_lap(uint64_t pos, uint32_t ring_log2)
{
	return (pos >> ring_log2) << TALLY_LAP_SHIFT;
}

/* The commit word of a slot in `state` for slot_lap() `lap`. */
static __always_inline uint64_t slot_commit(uint64_t lap, enum tally_slot_state state,
					    enum tally_kind kind)
{
	return lap | (uint64_t)state << TALLY_STATE_SHIFT |
	       (uint64_t)TALLY_RECORD_VERSION << TALLY_VERSION_SHIFT |
	       (uint64_t)kind << TALLY_KIND_SHIFT;
}

/* The same slot's commit word once it is valid, from the one that marks it as being written. */
static __always_inline uint64_t slot_valid(uint64_t writing)
{
	return writing ^ (uint64_t)(TALLY_SLOT_WRITING ^ TALLY_SLOT_VALID) << TALLY_STATE_SHIFT;
}

/* The same once its owner has died. */
static __always_inline uint64_t slot_aborted(uint64_t writing)
{
	return writing ^ (uint64_t)(TALLY_SLOT_WRITING ^ TALLY_SLOT_ABORTED) << TALLY_STATE_SHIFT;
}

static inline enum tally_slot_state slot_state(uint64_t commit)
{
	return (enum tally_slot_state)(commit >> TALLY_STATE_SHIFT & TALLY_STATE_MASK);
}

static inline uint32_t slot_version(uint64_t commit)
{
	return (uint32_t)(commit >> TALLY_VERSION_SHIFT & TALLY_VERSION_MASK);
}

static inline uint32_t slot_kind(uint64_t commit)
{
	return (uint32_t)(commit >> TALLY_KIND_SHIFT & TALLY_KIND_MASK);
}

static inline uint32_t slot_owner(uint64_t commit)
{
	return (uint32_t)(commit >> TALLY_OWNER_SHIFT & TALLY_OWNER_MASK);
}

/* How many laps the slot is ahead of slot_lap() `lap`, modulo 2^40. */
static inline uint64_t slot_ahead(uint64_t commit, uint64_t lap)
{
	return ((commit >> TALLY_LAP_SHIFT) - (lap >> TALLY_LAP_SHIFT)) & SLOT_LAP_MASK;
}

/* Of a slot that is not FREE: `ahead` means that it is of an older lap. */
static inline bool slot_is_older(uint64_t ahead)
{
	return ahead >= 1ull << (TALLY_LAP_BITS - 1);
}

/* What a slot with this commit word is to a reader at `pos`. */
static inline enum slot_sight slot_sight(uint64_t commit, uint64_t pos, uint32_t ring_log2)
{
	uint64_t ahead = slot_ahead(commit, slot_lap(pos, ring_log2));

	if (slot_state(commit) == TALLY_SLOT_FREE || slot_is_older(ahead))
		return SLOT_EARLY;
	if (ahead != 0)
		return SLOT_LAPPED;
	switch (slot_state(commit)) {
	case TALLY_SLOT_VALID:
		return SLOT_VALID;
	case TALLY_SLOT_ABORTED:
		return SLOT_ABORTED;
	default:
		return SLOT_EARLY;
	}
}

/* Copies the record at `pos` into *ret_record, which is written only on SLOT_VALID. Wait-free, any
 * thread, any mapping. */
static inline enum slot_sight slot_read(const struct tally_record *slot, uint64_t pos,
					uint32_t ring_log2, struct tally_record *ret_record)
{
	struct tally_record copy;
	/* R1 -> L2, C1: VALID is seen with the payload behind it */
	uint64_t commit = tally_load_acquire(&slot->commit);
	enum slot_sight sight = slot_sight(commit, pos, ring_log2);

	if (sight != SLOT_VALID)
		return sight;
	copy.commit = commit;
	/* relaxed: R2 drops the copy if the owner has begun to overwrite it */
	copy.time = tally_load_relaxed(&slot->time);
	copy.buffer_id = tally_load_relaxed(&slot->buffer_id);
	copy.size = tally_load_relaxed(&slot->size);
	copy.lane_balance = tally_load_relaxed(&slot->lane_balance);
	copy.event_no = tally_load_relaxed(&slot->event_no);
	copy.where = tally_load_relaxed(&slot->where);
	copy.label = tally_load_relaxed(&slot->label);
	tally_fence_acquire(); /* R2 -> L1: payload before the second look at commit */
	/* relaxed: the fence orders it */
	if (tally_load_relaxed(&slot->commit) != commit)
		return SLOT_LAPPED;
	*ret_record = copy;
	return SLOT_VALID;
}

#endif
