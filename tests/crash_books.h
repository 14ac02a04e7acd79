/* SPDX-License-Identifier: Apache-2.0 */
/* Events that can be told whole from torn, a reader of a region's records, and its books.
 *
 * Who pushes in a crash test has a device of its own and pushes events 1, 2, 3, ...; all words of
 * an event follow from the two. So sums by device are sums by actor, whatever entry or lane it had.
 */
#ifndef TESTS_CRASH_BOOKS_H
#define TESTS_CRASH_BOOKS_H

#include <fcntl.h>

#include "ring/cells.h"
#include "ring/lane.h"
#include "ring/region.h"
#include "ring/shared.h"
#include "tests/crash_step.h"

#define ACTORS 5
#define DEVICE_FIRST 5
enum { VICTIM, OTHER, NEXT, DEAD, LATER }; /* actors; device - DEVICE_FIRST */

#define LANES_MAX 8
#define ENTRIES_MAX 24

static uint32_t crash_entries = 6; /* process entries that a test ever takes */

/* ---- Events ---------------------------------------------------------------------------------- */

static inline struct lane_event books_event(uint32_t actor, uint64_t n)
{
	static const enum tally_kind kinds[] = { TALLY_KIND_ALLOC, TALLY_KIND_ALLOC,
						 TALLY_KIND_FREE,  TALLY_KIND_ALLOC_FAILED,
						 TALLY_KIND_ALLOC, TALLY_KIND_POOL_RESET };
	uint64_t any = mix(n << 8 | actor);
	struct lane_event event = { .kind = kinds[n % COUNT(kinds)],
				    .buffer_id = any,
				    .size = n * 1000 + any % 1000 };

	if (event.kind == TALLY_KIND_ALLOC_FAILED)
		event.buffer_id = 0;
	else if (event.kind == TALLY_KIND_POOL_RESET)
		event.buffer_id = any % 10;
	return event;
}

static inline uint32_t books_pool(uint64_t n)
{
	return (uint32_t)(n / 7 % 3);
}

/* Which event this is, or 0: no event of an actor, or torn. */
static inline uint64_t books_record_no(const struct tally_record *record, uint32_t *ret_actor)
{
	uint32_t actor = (uint32_t)(record->where >> 48) - DEVICE_FIRST;
	uint64_t n = record->size / 1000;
	struct lane_event event;

	if (actor >= ACTORS)
		return 0;
	*ret_actor = actor;
	event = books_event(actor, n);
	return event.size == record->size && event.buffer_id == record->buffer_id &&
			       (uint32_t)event.kind == slot_kind(record->commit) &&
			       (record->where >> 40 & 0xff) == books_pool(n) && record->time != 0
		       ? n
		       : 0;
}

/* The sums of an actor's events 1 .. n. */
static inline struct ledger_sums books_sums(uint32_t actor, uint64_t n)
{
	static struct ledger_sums sums[ACTORS];
	static uint64_t summed[ACTORS]; /* events; they are asked for in ascending order, mostly */

	if (summed[actor] > n) {
		memset(&sums[actor], 0, sizeof(sums[actor]));
		summed[actor] = 0;
	}
	while (summed[actor] < n) {
		struct lane_event event = books_event(actor, ++summed[actor]);
		struct ledger_sums change = ledger_change(event.kind, event.size, event.buffer_id);

		ledger_sum(&sums[actor], &change);
	}
	return sums[actor];
}

/* ---- A reader, as a consumer has it ---------------------------------------------------------- */

struct seen {
	uint64_t lane, shared; /* records */
	struct ledger_sums sums;
};

struct witness {
	struct region_view view;
	bool has_shared;
	bool sees_dead; /* reads lanes of the dead as such before they are booked */
	struct lane_reader lanes[LANES_MAX];
	struct shared_reader shared;
	struct seen seen[ACTORS];
	uint64_t by_entry[ENTRIES_MAX]; /* records of the shared ring */
	uint64_t last[LANES_MAX + 1][ACTORS];
	uint32_t lane; /* that is being read */
	uint64_t bad;
};

static inline void witness_take(struct witness *witness, const struct tally_record *record,
				uint32_t lane)
{
	uint32_t actor = 0;
	uint64_t n = books_record_no(record, &actor);
	struct ledger_sums change = ledger_change((enum tally_kind)slot_kind(record->commit),
						  record->size, record->buffer_id);

	if (n == 0 || n <= witness->last[lane][actor]) {
		witness->bad++;
		return;
	}
	witness->last[lane][actor] = n;
	ledger_sum(&witness->seen[actor].sums, &change);
}

static inline void witness_take_lane(void *arg, const struct tally_record *record)
{
	struct witness *witness = arg;
	uint64_t actor = (record->where >> 48) - DEVICE_FIRST;

	witness_take(witness, record, witness->lane);
	if (actor < ACTORS)
		witness->seen[actor].lane++;
}

static inline void witness_take_shared(void *arg, const struct tally_record *record)
{
	struct witness *witness = arg;
	uint64_t actor = (record->where >> 48) - DEVICE_FIRST;

	witness_take(witness, record, LANES_MAX);
	if (actor < ACTORS)
		witness->seen[actor].shared++;
	CHECK_RANGE(slot_owner(record->commit), 0, crash_entries - 1);
	witness->by_entry[slot_owner(record->commit)]++;
}

static inline void witness_open(struct witness *witness, const char *name)
{
	char why[REGION_WHY_MAX];
	int dir = open(test_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	memset(witness, 0, sizeof(*witness));
	CHECK_EQUAL(region_open(dir, name, &witness->view, why), 0);
	close(dir);
}

static inline void witness_close(struct witness *witness)
{
	if (witness->has_shared)
		shared_reader_close(&witness->shared);
	region_close(&witness->view);
}

static inline uint32_t witness_lanes(const struct witness *witness)
{
	uint64_t used = tally_load_acquire(&region_state(witness->view.base)->lanes_used);

	CHECK_RANGE(used, 0, LANES_MAX);
	return (uint32_t)used;
}

static inline struct tally_lane_header *witness_lane(const struct witness *witness, uint32_t lane)
{
	return region_lane(witness->view.base, &witness->view.at, lane);
}

/* Whether a lane's owner lives; that of a lane left by a thread is its process. */
static inline bool witness_owned(const struct witness *witness, uint32_t lane)
{
	uint64_t owner = tally_load_acquire(&witness_lane(witness, lane)->owner);
	uint32_t entry = (uint32_t)(owner >> 32 & 0xffffff);

	return (owner >> 56 == TALLY_LANE_OWNED || owner >> 56 == TALLY_LANE_EXITED) &&
	       region_alive(&witness->view, entry) == 1;
}

/* Reads all that has been published. Two calls a lane at most: none of them waits for anything. */
static inline void witness_drain(struct witness *witness)
{
	struct region_view *view = &witness->view;
	uint32_t lanes = witness_lanes(witness);

	for (witness->lane = 0; witness->lane < lanes; witness->lane++) {
		struct lane_reader *reader = &witness->lanes[witness->lane];
		struct tally_lane_header *header = witness_lane(witness, witness->lane);

		if (!tally_load_acquire(&header->ring_ready))
			continue;
		reader->header = header;
		reader->slots = region_ring(view->base, &view->at, witness->lane);
		reader->ring_log2 = view->at.ring_log2;
		lane_drain(reader, true,
			   witness->sees_dead && !witness_owned(witness, witness->lane),
			   witness_take_lane, witness);
		CHECK(reader->quarantine == NULL);
	}
	if (!witness->has_shared && tally_load_acquire(&region_state(view->base)->shared_ready)) {
		CHECK(shared_reader_open(&witness->shared, view->base, &view->at) == 0);
		witness->has_shared = true;
	}
	if (witness->has_shared) {
		shared_drain(&witness->shared, true, false, witness_take_shared, witness);
		CHECK(witness->shared.quarantine == NULL);
	}
	CHECK_EQUAL(witness->bad, 0);
}

/* ---- The books ------------------------------------------------------------------------------- */

static inline void books_add(struct ledger_sums *to, const struct ledger_sums *sums)
{
	to->allocated_bytes += sums->allocated_bytes;
	to->freed_bytes += sums->freed_bytes;
	to->allocs += sums->allocs;
	to->frees += sums->frees;
	to->failures += sums->failures;
}

static inline void books_subtract(struct ledger_sums *from, const struct ledger_sums *sums)
{
	from->allocated_bytes -= sums->allocated_bytes;
	from->freed_bytes -= sums->freed_bytes;
	from->allocs -= sums->allocs;
	from->frees -= sums->frees;
	from->failures -= sums->failures;
}

/* An actor's sums over the lanes; settled: with what the record of a dead one says. */
static inline void books_of_lanes(const struct witness *from, uint32_t actor, bool settled,
				  struct ledger_sums *to)
{
	const struct geometry *at = &from->view.at;
	uint32_t lane, n;

	for (lane = 0; lane < witness_lanes(from); lane++) {
		struct tally_lane_header *header = witness_lane(from, lane);
		struct tally_record last;
		bool has_last = settled && !witness_owned(from, lane) &&
				tally_load_acquire(&header->ring_ready) &&
				lane_last(header, region_ring(from->view.base, at, lane),
					  at->ring_log2, &last);

		for (n = 0; n < tally_load_acquire(&header->cell_count); n++) {
			const struct tally_cell *cell = &lane_cells(header)[n];
			uint64_t key = tally_load_relaxed(&cell->key);
			struct ledger_sums sums;

			if (TALLY_KEY_DEVICE(key) != actor + DEVICE_FIRST)
				continue;
			CHECK(ledger_settled(cell, key, has_last ? &last : NULL, &sums));
			books_add(to, &sums);
		}
	}
}

static inline void books_of_shared(const struct witness *from, uint32_t actor,
				   struct ledger_sums *to)
{
	const struct geometry *at = &from->view.at;
	uint32_t entry, n;

	for (entry = 0; entry < crash_entries && entry < at->processes; entry++) {
		struct tally_process_header *process = region_process(from->view.base, at, entry);
		uint64_t pages = tally_load_acquire(&process->cell_pages);

		for (n = 0; pages && n < at->shared_cells; n++) {
			struct ledger_sums sums;
			uint64_t key;

			if ((pages >> cells_page(n) & 1) &&
			    cells_read(&process_cells(process)[n], &key, &sums) &&
			    TALLY_KEY_DEVICE(key) == actor + DEVICE_FIRST)
				books_add(to, &sums);
		}
	}
}

static inline struct ledger_sums books_of(const struct witness *from, uint32_t actor, bool settled)
{
	struct ledger_sums sums = { 0 };

	books_of_lanes(from, actor, settled, &sums);
	books_of_shared(from, actor, &sums);
	return sums;
}

/* Each field by itself lies between the two; of a very long run bytes go round at 2^64. */
static inline void books_between(const struct ledger_sums *low, const struct ledger_sums *sums,
				 const struct ledger_sums *high)
{
	CHECK_RANGE(sums->allocated_bytes - low->allocated_bytes, 0,
		    high->allocated_bytes - low->allocated_bytes);
	CHECK_RANGE(sums->freed_bytes - low->freed_bytes, 0, high->freed_bytes - low->freed_bytes);
	CHECK_RANGE(sums->allocs, low->allocs, high->allocs);
	CHECK_RANGE(sums->frees, low->frees, high->frees);
	CHECK_RANGE(sums->failures, low->failures, high->failures);
}

static inline void books_same(const struct ledger_sums *a, const struct ledger_sums *b)
{
	books_between(a, b, a);
}

/* What an actor's books must hold when it has done so many events for sure, and begun so many. */
static inline void books_check(const struct ledger_sums *sums, uint32_t actor, uint64_t done,
			       uint64_t begun)
{
	struct ledger_sums low = books_sums(actor, done), high = books_sums(actor, begun);

	books_between(&low, sums, &high);
}

/* What a dead owner left was written down: nothing is held above the base. */
static inline void books_check_base(const struct ledger_sums *sums,
				    const struct tally_cell_base *base)
{
	CHECK_EQUAL(sums->allocated_bytes, tally_load_relaxed(&base->allocated_bytes));
	CHECK_EQUAL(sums->freed_bytes, tally_load_relaxed(&base->freed_bytes));
	CHECK_EQUAL(sums->allocs, tally_load_relaxed(&base->allocs));
	CHECK_EQUAL(sums->frees, tally_load_relaxed(&base->frees));
	CHECK_EQUAL(sums->failures, tally_load_relaxed(&base->failures));
}

/* All that entry `entry` left has been booked: no lane is its, no slot, and bases are sums. */
static inline void books_check_booked(const struct witness *from, uint32_t entry)
{
	const struct geometry *at = &from->view.at;
	struct tally_process_header *process = region_process(from->view.base, at, entry);
	uint64_t pages = tally_load_acquire(&process->cell_pages);
	uint32_t lane, n;

	for (lane = 0; lane < witness_lanes(from); lane++) {
		struct tally_lane_header *header = witness_lane(from, lane);
		uint64_t owner = tally_load_acquire(&header->owner), events, unrecorded;

		CHECK(owner >> 56 == TALLY_LANE_RETIRED || (owner >> 32 & 0xffffff) != entry);
		if (owner >> 56 != TALLY_LANE_RETIRED)
			continue;
		for (n = 0; n < tally_load_acquire(&header->cell_count); n++) {
			struct ledger_sums sums;

			CHECK(ledger_read(&lane_cells(header)[n], &sums));
			books_check_base(&sums, &lane_cells(header)[n].base);
		}
		lane_count(header, &events, &unrecorded);
		CHECK_EQUAL(events, tally_load_relaxed(&header->base_events));
	}
	for (n = 0; n < at->shared_cells; n++) {
		struct ledger_sums sums;
		uint64_t key;

		if ((pages >> cells_page(n) & 1) &&
		    cells_read(&process_cells(process)[n], &key, &sums))
			books_check_base(&sums, &process_cells(process)[n].base);
	}
	CHECK_EQUAL(tally_load_relaxed(&process->shared_events),
		    tally_load_relaxed(&process->base_events));
	CHECK_EQUAL(tally_load_relaxed(&process->shared_unrecorded),
		    tally_load_relaxed(&process->base_unrecorded));
}

/* Slots of the shared ring in `state` whose owner was `entry`. */
static inline uint64_t books_slots(const struct witness *from, uint32_t entry,
				   enum tally_slot_state state)
{
	const struct tally_record *slots = region_shared_slots(from->view.base, &from->view.at);
	uint64_t n, found = 0;

	if (!tally_load_acquire(&region_state(from->view.base)->shared_ready))
		return 0;
	for (n = 0; n < 1ull << from->view.at.shared_ring_log2; n++) {
		uint64_t commit = tally_load_acquire(&slots[n].commit);

		found += slot_state(commit) == state && slot_owner(commit) == entry;
	}
	return found;
}

#endif
