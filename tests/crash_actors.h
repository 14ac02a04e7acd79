/* SPDX-License-Identifier: Apache-2.0 */
/* Who pushes in a crash test: a child that is a producer as the library makes it, and others, which
 * are the test's own process, each with a mapping and a lock of its own.
 */
#ifndef TESTS_CRASH_ACTORS_H
#define TESTS_CRASH_ACTORS_H

#include "producer/config.h"
#include "producer/state.h"
#include "ring/join.h"
#include "tests/crash_books.h"

#define RING_LOG2 6 /* records of each ring */

/* ---- The victim ------------------------------------------------------------------------------ */

struct crash_truth {
	uint64_t begun, done; /* the victim's events */
	uint64_t acted;	      /* it has done what it is traced for */
};

static struct crash_truth *truth; /* shared with the victim */

/* In the child: as if the program had been started just now, with the environment as it is. */
static inline void victim_start(void)
{
	producer_config.loaded = false;
	tally_store_release(&tally_private.in.process.armed, ARMED_UNDECIDED);
	region_signature(); /* 40,000 instructions that change nothing: not among those tried */
}

/* An actor's event, by the calls that programs make. */
static inline void victim_call(uint32_t actor, uint64_t n)
{
	struct lane_event event = books_event(actor, n);
	uint32_t device = DEVICE_FIRST + actor, pool = books_pool(n);

	switch (event.kind) {
	case TALLY_KIND_ALLOC:
		tally_alloc(device, pool, event.buffer_id, event.size);
		break;
	case TALLY_KIND_FREE:
		tally_free(device, pool, event.buffer_id, event.size);
		break;
	case TALLY_KIND_ALLOC_FAILED:
		tally_alloc_failed(device, pool, event.size);
		break;
	default:
		push_event(device, pool, &event);
		break;
	}
}

static inline void victim_push(void)
{
	uint64_t n = tally_load_relaxed(&truth->begun) + 1;

	tally_store_release(&truth->begun, n);
	victim_call(VICTIM, n);
	tally_store_release(&truth->done, n);
}

static inline void victim_push_many(int count)
{
	while (count-- > 0)
		victim_push();
}

/* ---- Those who push beside it ---------------------------------------------------------------- */

struct other {
	struct region region;
	struct cells cells;
	struct shared_ring ring;
	struct lane_writer *writers, *lane;
	uint32_t actor;
	uint64_t ticket; /* of the shared ring, its next one */
	uint64_t n;	 /* events so far */
};

static inline int other_join(struct other *other, uint32_t actor, const char *name,
			     uint32_t lanes_log2)
{
	struct region_config config = {
		.dir = test_dir, .name = name, .ring_log2 = RING_LOG2, .lanes_log2 = lanes_log2
	};
	int error;

	memset(other, 0, sizeof(*other));
	other->actor = actor;
	error = join_region(&config, &other->region);
	if (error)
		return error;
	other->cells = cells_of(&other->region, other->region.entry);
	other->ring = shared_of(&other->region, other->region.entry);
	return 0;
}

static inline void other_claim(struct other *other)
{
	other->writers = calloc(other->region.at.lanes, sizeof(*other->writers));
	CHECK(other->writers != NULL);
	other->lane = lane_claim(&other->region, other->writers, other->region.entry,
				 1000 + other->actor, 0);
}

/* Gone, as the dead are: nothing is said, nothing finished. */
static inline void other_die(struct other *other)
{
	munmap(other->region.base, other->region.at.size);
	free(other->writers);
	memset(other, 0, sizeof(*other));
}

/* As producer/push.c does it; false: without a record. Nobody else pushes meanwhile, so what it
 * takes of the ring is what the bound of its tries allows. */
static inline bool other_push_shared(struct other *other)
{
	uint64_t n = ++other->n;
	struct lane_event event = books_event(other->actor, n);
	struct ledger_sums change = ledger_change(event.kind, event.size, event.buffer_id);
	struct tally_shared_cell *cell = cells_find(
		&other->cells, TALLY_KEY(DEVICE_FIRST + other->actor, books_pool(n)));
	struct shared_event shared = {
		.time = n,
		.kind = event.kind,
		.buffer_id = event.buffer_id,
		.size = event.size,
		.where = lane_where(DEVICE_FIRST + other->actor, books_pool(n)) |
			 (1000 + other->actor),
	};
	uint64_t before = tally_load_relaxed(&other->ring.head->reserve_pos);
	bool recorded = (shared_ready(&other->ring) || shared_reserve(&other->ring)) &&
			shared_push(&other->ring, &shared, &other->ticket);

	CHECK_RANGE(tally_load_relaxed(&other->ring.head->reserve_pos) - before, 0,
		    SHARED_TRIES * SHARED_GROUP);
	if (!recorded)
		cells_unrecorded(other->cells.process, 1);
	CHECK(cell != NULL);
	cells_change(cell, &change);
	return recorded;
}

static inline void other_push_lane(struct other *other)
{
	uint64_t n = ++other->n;
	struct lane_event event = books_event(other->actor, n);
	const struct lane_target *target = lane_target(other->lane, DEVICE_FIRST + other->actor,
						       books_pool(n));

	CHECK(target != NULL);
	event.time = n;
	lane_push(other->lane, target, &event);
}

#endif
