/* SPDX-License-Identifier: Apache-2.0 */
/* Owners of entries change faster than a consumer can look: what it says is whole all the same.
 * sanitizers: address; also on: arm64
 *
 * An owner here is no process but an open file of the test's own, with its lock, that joins by the
 * library's own call, pushes, and goes without a word: to the region that is the same.
 */
#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <tally/atomic.h>
#include <unistd.h>

#include "ring/cells.h"
#include "ring/join.h"
#include "ring/shared.h"
#include "tests/joined.h"
#include "tests/rig.h"

#define OWNERS 1500 /* of each churner */
#define CHURNERS 2
#define PUSHES 10
#define SIZE 1000

static uint64_t finished; /* churners */
static uint64_t failed;	  /* of what must not fail; no check can in a thread */
static char *file;	  /* the region's */

static struct region join_one(bool *ret_joined)
{
	struct region_config config = {
		.dir = test_dir,
		.ring_log2 = 6,
		.lanes_log2 = 0,
		.name = file,
	};
	struct region region = { 0 };

	*ret_joined = join_region(&config, &region) == 0;
	return region;
}

/* Into its lane, if it got one, else past the lanes as the producer does it. */
static void push_some(struct region *region, struct lane_writer *writer)
{
	struct lane_writer *lane = lane_claim(region, writer, region->entry, 1, 0);
	struct shared_ring ring = shared_of(region, region->entry);
	struct cells cells = cells_of(region, region->entry);
	struct shared_event event = {
		.kind = TALLY_KIND_ALLOC,
		.buffer_id = 1,
		.size = SIZE,
		.where = lane_where(DEVICE, TALLY_POOL_DRAM),
	};
	struct tally_shared_cell *cell;
	uint64_t ticket = 0;
	int i;

	if (!lane && !shared_ready(&ring) && !shared_reserve(&ring)) {
		tally_add_relaxed(&failed, 1);
		return;
	}
	for (i = 0; i < PUSHES; i++) {
		if (lane) {
			rig_alloc(lane, DEVICE, TALLY_POOL_DRAM, 1, SIZE);
			continue;
		}
		if (!shared_push(&ring, &event, &ticket))
			cells_unrecorded(ring.process, 1);
		cell = cells_find(&cells, TALLY_KEY(DEVICE, TALLY_POOL_DRAM));
		if (cell)
			cells_alloc(cell, SIZE);
		else
			tally_add_relaxed(&failed, 1);
	}
}

static void *churn(void *arg)
{
	struct lane_writer *writer = arg;
	bool joined = true;
	int i;

	for (i = 0; i < OWNERS && joined; i++) {
		struct region region = join_one(&joined);

		if (!joined)
			break;
		memset(writer, 0, sizeof(*writer));
		push_some(&region, writer);
		munmap(region.base, region.at.size); /* and with it goes the lock */
	}
	tally_add_relaxed(&failed, !joined);
	tally_add_relaxed(&finished, 1);
	return NULL;
}

static void check(const struct tally_snapshot *now, int64_t *abandoned, uint64_t *unsettled)
{
	const struct tally_pool_view *pool = watch_pool(now, DEVICE, TALLY_POOL_DRAM);
	size_t i;

	watch_check(now);
	for (i = 0; i < now->process_count; i++) {
		const struct tally_process_view *row = &now->processes[i];
		const struct tally_totals *totals = join_totals(now, row);

		/* nobody is given what another did */
		assert_in_range(totals ? totals->allocations : 0, 0, PUSHES);
		assert_in_range(totals ? totals->live_bytes : 0, 0, PUSHES * SIZE);
		assert_in_range(row->events, 0, PUSHES);
		assert_in_range(row->records_read, 0, PUSHES);
		if (row->end != TALLY_RUNNING)
			assert_int_equal(row->events, row->records_read + row->lost_records);
	}
	if (!pool)
		return;
	*unsettled += !now->complete;
	assert_int_equal(pool->totals.abandoned_bytes % (PUSHES * SIZE), 0);
	assert_int_equal(pool->totals.abandoned_bytes, pool->totals.abandoned_allocations * SIZE);
	assert_true(pool->totals.abandoned_bytes >= *abandoned);
	assert_in_range(pool->totals.live_bytes, 0, CHURNERS * PUSHES * SIZE);
	*abandoned = pool->totals.abandoned_bytes;
}

static void nobody_is_given_what_another_owner_of_his_entry_did(void **state)
{
	struct lane_writer *writers = calloc(CHURNERS, sizeof(*writers));
	struct tally_consumer *consumer = join_watch();
	const struct tally_snapshot *now;
	pthread_t threads[CHURNERS];
	int64_t abandoned = 0;
	uint64_t looks = 0, unsettled = 0;
	struct region stays;
	bool joined;
	size_t i;

	(void)state;
	file = join_file();
	stays = join_one(&joined);
	assert_true(joined);
	assert_non_null(writers);
	tally_store_relaxed(&finished, 0);
	for (i = 0; i < CHURNERS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, churn, &writers[i]), 0);
	while (tally_load_relaxed(&finished) < CHURNERS) {
		now = watch_look(consumer);
		check(now, &abandoned, &unsettled);
		watch_put(now);
		looks++;
	}
	for (i = 0; i < CHURNERS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(failed, 0);
	now = watch_look(consumer);
	check(now, &abandoned, &unsettled);
	join_check_all(now, CHURNERS * OWNERS * PUSHES, 0,
		       (int64_t)CHURNERS * OWNERS * PUSHES * SIZE);
	watch_put(now);
	print_message("%llu looks, %llu of them unsettled\n", (unsigned long long)looks,
		      (unsigned long long)unsettled);
	munmap(stays.base, stays.at.size);
	free(writers);
	remove_regions();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(nobody_is_given_what_another_owner_of_his_entry_did),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
