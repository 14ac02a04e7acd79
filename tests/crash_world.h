/* SPDX-License-Identifier: Apache-2.0 */
/* A region that several share, one of whom is killed or stopped; and all that must hold then.
 *
 *	VICTIM  the child that is traced: a producer as the library makes it
 *	OTHER   lives in the region before, meanwhile and after
 *	LATER   comes and goes while the victim is stopped
 *	DEAD    died before the victim came, in the middle of all it was doing
 *	NEXT    joins when the victim is dead, books what it has left and takes its place
 * All but the victim are the test's own process, each with a mapping and a lock of its own.
 */
#ifndef TESTS_CRASH_WORLD_H
#define TESTS_CRASH_WORLD_H

#include <tally/consumer.h>

#include "ring/alive.h"
#include "tests/crash_actors.h"

#define ROUND 8 /* pushes between two looks of the reader; less than a ring */

/* ---- A region and who is in it --------------------------------------------------------------- */

struct world {
	char name[REGION_NAME_MAX];
	uint32_t lanes_log2;
	bool fresh_ring; /* nobody has pushed into the shared ring before */
	bool has_other, following;
	uint64_t dead_n;	      /* events of the dead one */
	struct ledger_sums dead_half; /* what was in a record but in no ledger when it died */
	uint64_t dead_slots;	      /* that it was writing */
	struct other other;
	struct witness follow;
	struct ledger_sums left; /* the victim's settled sums when it died */
};

static uint64_t crash_laps = 2; /* that others push while one is stopped */

static inline bool world_exists(const struct world *world)
{
	char path[REGION_PATH_MAX];

	snprintf(path, sizeof(path), "%s/%s", test_dir, world->name);
	return access(path, F_OK) == 0;
}

static inline void world_follow(struct world *world)
{
	if (world->following || !world_exists(world))
		return;
	witness_open(&world->follow, world->name);
	world->following = true;
}

/* Somebody joins, and finds everything booked that the dead have left in its entry. */
static inline int world_join(struct world *world, struct other *newcomer, uint32_t actor)
{
	int error = other_join(newcomer, actor, world->name, world->lanes_log2);

	if (error)
		return error;
	world_follow(world);
	CHECK(world->following);
	books_check_booked(&world->follow, newcomer->region.entry);
	CHECK_EQUAL(books_slots(&world->follow, newcomer->region.entry, TALLY_SLOT_WRITING), 0);
	return 0;
}

/* `other` pushes `rounds` times ROUND records into the shared ring, and as many into its lane; the
 * reader gets each of them, at once. */
static inline void world_push(struct world *world, struct other *other, uint64_t rounds)
{
	struct seen *seen = &world->follow.seen[other->actor];
	uint64_t shared, lane;

	witness_drain(&world->follow);
	shared = seen->shared;
	lane = seen->lane;
	while (rounds-- > 0) {
		int i;

		for (i = 0; i < ROUND; i++) {
			CHECK(other_push_shared(other));
			if (other->lane)
				other_push_lane(other);
		}
		witness_drain(&world->follow);
		shared += ROUND;
		lane += other->lane ? ROUND : 0;
		CHECK_EQUAL(seen->shared, shared);
		CHECK_EQUAL(seen->lane, lane);
	}
}

/* Laps of the shared ring, and of its lane nearly; little more than laps, so that the slot that the
 * victim was stopped in is not come by again before the reader has seen what it wrote there. */
static inline void world_laps(struct world *world, struct other *other)
{
	uint64_t *reserve_pos = &other->ring.head->reserve_pos;
	uint64_t start = tally_load_relaxed(reserve_pos);

	while (tally_load_relaxed(reserve_pos) - start < crash_laps << RING_LOG2)
		world_push(world, other, 1);
}

static inline void world_open(struct world *world, const char *name, uint32_t lanes_log2,
			      bool alone, bool fresh_ring)
{
	memset(world, 0, sizeof(*world));
	memset(truth, 0, sizeof(*truth));
	CHECK(join_name(world->name, name));
	world->lanes_log2 = lanes_log2;
	world->fresh_ring = fresh_ring;
	if (alone)
		return;
	CHECK_EQUAL(world_join(world, &world->other, OTHER), 0);
	world->has_other = true;
	other_claim(&world->other);
	CHECK(world->other.lane != NULL);
	if (!fresh_ring)
		world_push(world, &world->other, 12);
}

static inline void world_close(struct world *world)
{
	CHECK(world->has_other);
	region_unlink(&world->other.region);
	other_die(&world->other);
	if (world->following)
		witness_close(&world->follow);
	CHECK_EQUAL(regions_left(), 0);
}

/* Whether somebody looks just now if it is the last one: the gate is shut. */
static inline bool world_is_shut(const struct world *world)
{
	char path[REGION_PATH_MAX];
	bool shut;
	int fd;

	snprintf(path, sizeof(path), "%s/%s", test_dir, world->name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	shut = fd >= 0 && alive_join_gate(fd) == -EAGAIN;
	if (fd >= 0)
		close(fd);
	return shut;
}

/* Joins; false: the gate is shut, by one who was stopped there. As it takes a while to find that
 * out, some only try. */
static inline bool world_try_join(struct world *world, struct other *newcomer, uint32_t actor)
{
	bool shut = world_is_shut(world);

	if (!shut || crash_at.point % 16 == 0)
		CHECK_EQUAL(world_join(world, newcomer, actor), shut ? -EBUSY : 0);
	return !shut;
}

/* Whoever had the region for itself is dead or stopped: now the others come. False: they may not,
 * as it was stopped while it looked if it was the last one. */
static inline bool world_meet(struct world *world)
{
	if (world->has_other)
		return true;
	if (world->following) /* a name may stand for another region by now */
		witness_close(&world->follow);
	world->following = false;
	world_follow(world);
	if (!world_try_join(world, &world->other, OTHER))
		return false;
	world->has_other = true;
	other_claim(&world->other);
	return true;
}

/* ---- What must hold -------------------------------------------------------------------------- */

/* ledger <= truth <= ledger + 1 event. `joining`: the victim may hold the dead one's entry without
 * having booked it, so nobody knows that those lanes are to be settled. */
static inline void world_check_books(struct world *world, bool joining)
{
	uint64_t done = tally_load_acquire(&truth->done), begun = tally_load_acquire(&truth->begun);
	struct ledger_sums bare = books_of(&world->follow, VICTIM, false);
	struct ledger_sums other = books_of(&world->follow, OTHER, false);
	struct ledger_sums dead = books_of(&world->follow, DEAD, true);
	struct ledger_sums dead_high = books_sums(DEAD, world->dead_n), dead_low = dead_high;

	CHECK_RANGE(begun, done, done + 1);
	if (joining)
		books_subtract(&dead_low, &world->dead_half);
	books_between(&dead_low, &dead, &dead_high);
	world->left = books_of(&world->follow, VICTIM, true);
	books_check(&bare, VICTIM, done, begun);
	books_check(&world->left, VICTIM, done, begun);
	books_check(&other, OTHER, world->other.n, world->other.n);
}

/* A reader that comes only now has no trouble either. */
static inline void world_check_latecomer(const struct world *world)
{
	struct witness late;

	witness_open(&late, world->name);
	late.sees_dead = true;
	witness_drain(&late);
	witness_drain(&late);
	witness_close(&late);
}

/* Records are in the ledger, or one is ahead of it; events of entries are records, or known to have
 * none, or died in a slot that says so; of the victim's that is one at most. */
static inline void world_check_losses(struct world *world, uint64_t died_max)
{
	struct witness *follow = &world->follow;
	const struct geometry *at = &follow->view.at;
	uint64_t events = 0, read = 0, unrecorded = 0;
	struct ledger_sums begun = books_sums(VICTIM, tally_load_acquire(&truth->begun));
	uint32_t entry, slot;

	books_between(&world->left, &follow->seen[VICTIM].sums, &begun);
	CHECK_RANGE(follow->seen[VICTIM].lane + follow->seen[VICTIM].shared,
		    tally_load_acquire(&truth->done), tally_load_acquire(&truth->begun));
	for (entry = 0; entry < crash_entries; entry++) {
		struct tally_process_header *process = region_process(follow->view.base, at, entry);

		events += tally_load_acquire(&process->shared_events);
		unrecorded += tally_load_relaxed(&process->shared_unrecorded);
		read += follow->by_entry[entry];
	}
	CHECK_EQUAL(unrecorded, 0);
	for (slot = 0; slot < 1u << RING_LOG2; slot++)
		if (follow->shared.holes[0] >> slot & 1) /* of the last lap: it may yet be used */
			CHECK_RANGE(follow->shared.scan_pos - follow->shared.hole_pos[slot], 1,
				    1u << RING_LOG2);
	CHECK_RANGE(follow->shared.died, world->dead_slots, world->dead_slots + died_max);
	CHECK_RANGE(events - read, world->dead_slots, follow->shared.died);
}

/* The victim is dead, and others have pushed: one joins after the other, until nothing is left that
 * has not been booked; the first one works there. `died_max`: slots that it may have died in. */
static inline void world_check_usable(struct world *world, int joins, uint64_t died_max)
{
	struct other next[2] = { 0 };
	struct ledger_sums sums;
	uint32_t entry;
	int i;

	for (i = 0; i < joins; i++)
		CHECK_EQUAL(world_join(world, &next[i], NEXT), 0);
	witness_drain(&world->follow);
	for (entry = 0; entry < crash_entries; entry++)
		CHECK_EQUAL(books_slots(&world->follow, entry, TALLY_SLOT_WRITING), 0);
	sums = books_of(&world->follow, VICTIM, false);
	books_same(&world->left, &sums);
	sums = books_of(&world->follow, DEAD, false);
	books_check(&sums, DEAD, world->dead_n, world->dead_n);
	other_claim(&next[0]);
	world_laps(world, &next[0]);
	world_laps(world, &world->other);
	world_check_losses(world, died_max);
	sums = books_of(&world->follow, NEXT, false);
	books_check(&sums, NEXT, next[0].n, next[0].n);
	sums = books_of(&world->follow, VICTIM, false);
	books_same(&world->left, &sums);
	for (i = 0; i < joins; i++)
		other_die(&next[i]);
}

/* What a consumer says of a process, over all its pools. */
static inline struct ledger_sums shown_sums(const struct tally_snapshot *now,
					    const struct tally_process_view *process)
{
	struct ledger_sums sums = { 0 };
	size_t i;

	for (i = 0; i < process->pool_count; i++) {
		const struct tally_totals *totals =
			&now->process_pools[process->first_pool + i].totals;

		sums.allocated_bytes += totals->allocated_bytes;
		sums.freed_bytes += totals->freed_bytes;
		sums.allocs += totals->allocations;
		sums.frees += totals->frees;
		sums.failures += totals->failures;
	}
	return sums;
}

#endif
