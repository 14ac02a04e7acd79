/* SPDX-License-Identifier: Apache-2.0 */
/* Shared cells: any thread adds, sums move from block to block, nothing is lost or taken twice.
 * sanitizers: address, thread; also on: arm64 */
#include "ring/cells.h"

#include <pthread.h>
#include <sched.h>
#include <string.h>

#include "tests/rig.h"
#include "tests/support.h"

#define CELLS 16

/* A block in private memory, as the time before the region has it. */
struct block {
	struct tally_process_header process;
	struct tally_shared_cell cells[CELLS];
};

static struct cells in_block(struct block *block)
{
	return (struct cells){ .process = &block->process, .cells = block->cells, .count = CELLS };
}

/* The sums of one (device, pool) in a block; all zero when it has no cell. */
static struct ledger_sums sums_in(const struct cells *cells, uint32_t device, uint32_t pool)
{
	struct ledger_sums found = { 0 }, sums;
	uint64_t key;
	uint32_t n, times = 0;

	for (n = 0; n < cells->count; n++) {
		if (cells_read(&cells->cells[n], &key, &sums) && key == TALLY_KEY(device, pool)) {
			found = sums;
			times++;
		}
	}
	assert_in_range(times, 0, 1); /* never two cells of one key */
	return found;
}

static void every_kind_is_added_to_its_cell(void **state)
{
	static struct block block;
	struct cells to = in_block(&block);
	struct ledger_sums sums;

	(void)state;
	memset(&block, 0, sizeof(block));
	assert_true(cells_push(&to, TALLY_KIND_ALLOC, 3, 7, 100, 0));
	assert_true(cells_push(&to, TALLY_KIND_ALLOC, 3, 7 | 1u << 24, 50, 0)); /* flags or not */
	assert_true(cells_push(&to, TALLY_KIND_FREE, 3, 7, 30, 0));
	assert_true(cells_push(&to, TALLY_KIND_ALLOC_FAILED, 3, 7, 1 << 20, 0));
	assert_true(cells_push(&to, TALLY_KIND_POOL_RESET, 3, 7, 120, 2));
	cells_unrecorded(to.process, 1);
	sums = sums_in(&to, 3, 7);
	assert_int_equal(sums.allocated_bytes, 150);
	assert_int_equal(sums.freed_bytes, 150);
	assert_int_equal(sums.allocs, 2);
	assert_int_equal(sums.frees, 3);
	assert_int_equal(sums.failures, 1);
	assert_int_equal(sums.peak_bytes, 150);
	assert_int_equal(block.process.shared_events, 6);
	assert_int_equal(block.process.rejected_events, 0);
}

static void peak_is_the_highest_balance_and_survives_negative_ones(void **state)
{
	static struct block block;
	struct cells to = in_block(&block);

	(void)state;
	memset(&block, 0, sizeof(block));
	cells_push(&to, TALLY_KIND_FREE, 0, 0, 500, 0);
	assert_int_equal(sums_in(&to, 0, 0).peak_bytes, 0);
	cells_push(&to, TALLY_KIND_ALLOC, 0, 0, 400, 0);
	assert_int_equal(sums_in(&to, 0, 0).peak_bytes, 0);
	cells_push(&to, TALLY_KIND_ALLOC, 0, 0, 300, 0);
	assert_int_equal(sums_in(&to, 0, 0).peak_bytes, 200);
	cells_push(&to, TALLY_KIND_FREE, 0, 0, 300, 0);
	cells_push(&to, TALLY_KIND_ALLOC, 0, 0, 299, 0);
	assert_int_equal(sums_in(&to, 0, 0).peak_bytes, 200);
}

static void event_beyond_the_last_cell_is_rejected_and_counted(void **state)
{
	static struct block block;
	struct cells to = in_block(&block);
	uint32_t n;

	(void)state;
	memset(&block, 0, sizeof(block));
	for (n = 0; n < CELLS; n++)
		assert_true(cells_push(&to, TALLY_KIND_ALLOC, n * 1000, n, 1, 0));
	for (n = 0; n < 5; n++)
		assert_false(cells_push(&to, TALLY_KIND_ALLOC, n * 1000 + 1, n, 1, 0));
	cells_reject(&to);
	assert_int_equal(block.process.rejected_events, 6);
	assert_int_equal(block.process.shared_events, CELLS);
	for (n = 0; n < CELLS; n++) { /* those that have a cell keep it */
		assert_true(cells_push(&to, TALLY_KIND_FREE, n * 1000, n, 1, 0));
		assert_int_equal(sums_in(&to, n * 1000, n).frees, 1);
	}
}

static void every_pair_of_a_region_has_a_cell_until_they_are_used_up(void **state)
{
	struct rig rig = rig_make(0, 0);
	struct cells to = cells_of(&rig.region, 0);
	uint32_t n;

	(void)state;
	/* page after page is reserved on the way: touching one that is not would take a hole */
	for (n = 0; n < to.count; n++)
		assert_true(cells_push(&to, TALLY_KIND_ALLOC, n, n % 200, n, 0));
	assert_false(cells_push(&to, TALLY_KIND_ALLOC, 65535, 255, 1, 0));
	for (n = 0; n < to.count; n++)
		assert_int_equal(sums_in(&to, n, n % 200).allocated_bytes, n);
	assert_int_equal(to.process->rejected_events, 1);
	/* every page that is used is said to be there */
	assert_int_equal(to.process->cell_pages,
			 (1ull << rig.region.at.process_stride / TALLY_PAGE) - 1);
	rig_free(&rig);
}

/* ---- Folding --------------------------------------------------------------------------------- */

static bool give(void *arg, uint64_t key, const struct ledger_sums *sums)
{
	return cells_add(arg, key, sums);
}

static bool refuse(void *arg, uint64_t key, const struct ledger_sums *sums)
{
	(void)key;
	(void)sums;
	++*(int *)arg;
	return false;
}

static void fold_moves_everything_once(void **state)
{
	static struct block from_block, to_block;
	struct cells from = in_block(&from_block), to = in_block(&to_block);
	struct ledger_sums sums;
	int i;

	(void)state;
	memset(&from_block, 0, sizeof(from_block));
	memset(&to_block, 0, sizeof(to_block));
	cells_push(&to, TALLY_KIND_ALLOC, 1, 1, 1000, 0);
	cells_push(&from, TALLY_KIND_ALLOC, 1, 1, 70, 0);
	cells_push(&from, TALLY_KIND_FREE, 1, 1, 20, 0);
	cells_push(&from, TALLY_KIND_ALLOC_FAILED, 2, 2, 9, 0);
	for (i = 0; i < 3; i++)
		cells_fold(&from, give, &to);
	sums = sums_in(&to, 1, 1);
	assert_int_equal(sums.allocated_bytes, 1070);
	assert_int_equal(sums.freed_bytes, 20);
	assert_int_equal(sums.allocs, 2);
	assert_int_equal(sums.frees, 1);
	assert_int_equal(sums_in(&to, 2, 2).failures, 1);
	assert_int_equal(to_block.process.shared_events, 4);
	sums = sums_in(&from, 1, 1);
	assert_int_equal(sums.allocated_bytes + sums.freed_bytes + sums.allocs + sums.frees, 0);
	assert_int_equal(from_block.process.shared_events, 0);
}

static void what_is_refused_stays(void **state)
{
	static struct block block;
	struct cells from = in_block(&block);
	int asked = 0;

	(void)state;
	memset(&block, 0, sizeof(block));
	cells_push(&from, TALLY_KIND_ALLOC, 1, 1, 70, 0);
	cells_push(&from, TALLY_KIND_ALLOC, 2, 1, 7, 0);
	cells_fold(&from, refuse, &asked);
	assert_int_equal(asked, 2);
	assert_int_equal(sums_in(&from, 1, 1).allocated_bytes, 70);
	assert_int_equal(sums_in(&from, 1, 1).allocs, 1);
	assert_int_equal(sums_in(&from, 2, 1).allocated_bytes, 7);
	assert_int_equal(block.process.shared_events, 2);
}

/* Whatever the pages: the same cells as by asking each for its page. */
static void next_cell_in_use_is_in_a_page_that_is(void **state)
{
	static const uint64_t each[] = { 0, 1, 2, 5, 1ull << 32, 0x100010001, UINT64_MAX };
	static const uint32_t counts[] = { 0, 1, 64, 1024 };
	size_t i, j;
	uint32_t n;

	(void)state;
	for (i = 0; i < COUNT(each); i++) {
		for (j = 0; j < COUNT(counts); j++) {
			uint32_t next = cells_next(each[i], 0, counts[j]);

			for (n = 0; n < counts[j]; n++) {
				if (!(each[i] >> cells_page(n) & 1))
					continue;
				assert_int_equal(next, n);
				next = cells_next(each[i], n + 1, counts[j]);
			}
			assert_int_equal(next, counts[j]);
		}
	}
}

/* The fold comes between a push's sums and its peak. */
static void fold_in_the_middle_of_a_push_keeps_the_peak_at_least_what_is_held(void **state)
{
	static struct block from_block, to_block;
	struct cells from = in_block(&from_block), to = in_block(&to_block);
	struct tally_shared_cell *cell;

	(void)state;
	memset(&from_block, 0, sizeof(from_block));
	memset(&to_block, 0, sizeof(to_block));
	cells_push(&to, TALLY_KIND_ALLOC, 1, 1, 1000, 0);
	cell = cells_find(&from, TALLY_KEY(1, 1));
	cell->allocated_bytes = 70;
	cell->allocs = 1;
	cells_fold(&from, give, &to);
	assert_int_equal(sums_in(&to, 1, 1).allocated_bytes, 1070);
	assert_int_equal(sums_in(&to, 1, 1).peak_bytes, 1070);
}

/* ---- Stress ---------------------------------------------------------------------------------- */

#define THREADS 4
#define PUSHES (UNDER_TSAN ? 20000u : 200000u)

static struct block early, late;
static uint64_t begin, pushing;

/* Claims cells and adds to them; each thread frees half of what it allocates. */
static void *push_early(void *arg)
{
	struct cells to = in_block(&early);
	uint64_t n, seed = (uint64_t)(uintptr_t)arg;

	while (!tally_load_acquire(&begin))
		;
	for (n = 0; n < PUSHES; n++) {
		uint32_t device = (uint32_t)(mix(n ^ seed << 32) % CELLS);

		cells_push(&to, TALLY_KIND_ALLOC, device, 7, 10, 0);
		cells_push(&to, TALLY_KIND_FREE, device, 7, 5, 0);
	}
	tally_add_relaxed(&pushing, (uint64_t)-1);
	return NULL;
}

static void *fold_meanwhile(void *arg)
{
	struct cells from = in_block(&early), to = in_block(&late);

	(void)arg;
	tally_store_release(&begin, 1);
	while (tally_load_relaxed(&pushing))
		cells_fold(&from, give, &to);
	return NULL;
}

static void threads_that_push_while_others_fold_lose_nothing(void **state)
{
	struct cells from = in_block(&early), to = in_block(&late);
	uint64_t events = 2ull * THREADS * PUSHES;
	struct ledger_sums all = { 0 };
	pthread_t threads[THREADS + 2];
	uint64_t peaks = 0;
	uint32_t device;
	uintptr_t i;

	(void)state;
	memset(&early, 0, sizeof(early));
	memset(&late, 0, sizeof(late));
	tally_store_release(&begin, 0);
	tally_store_release(&pushing, THREADS);
	for (i = 0; i < THREADS + 2; i++)
		assert_int_equal(pthread_create(&threads[i], NULL,
						i < THREADS ? push_early : fold_meanwhile,
						(void *)i),
				 0);
	for (i = 0; i < THREADS + 2; i++)
		pthread_join(threads[i], NULL);
	cells_fold(&from, give, &to); /* what came after the last look */
	for (device = 0; device < CELLS; device++) {
		struct ledger_sums sums = sums_in(&to, device, 7);

		all.allocated_bytes += sums.allocated_bytes;
		all.freed_bytes += sums.freed_bytes;
		all.allocs += sums.allocs;
		all.frees += sums.frees;
		peaks += sums.peak_bytes >= sums.allocated_bytes - sums.freed_bytes;
		assert_int_equal(sums_in(&from, device, 7).allocs, 0);
	}
	assert_int_equal(all.allocs, events / 2);
	assert_int_equal(all.frees, events / 2);
	assert_int_equal(all.allocated_bytes, events / 2 * 10);
	assert_int_equal(all.freed_bytes, events / 2 * 5);
	assert_int_equal(early.process.shared_events, 0);
	assert_int_equal(late.process.shared_events, events);
	assert_int_equal(peaks, CELLS); /* at least what is held */
}

/* Round by round each thread claims every cell, in an order of its own: no two keys may end up in
 * one cell, and no key in two. */
#define CLAIMERS 3
#define ROUNDS (UNDER_TSAN ? 300u : 6000u)

static uint64_t round_no, round_done;

static void *claim_all(void *arg)
{
	struct cells to = in_block(&early);
	uint32_t me = (uint32_t)(uintptr_t)arg;
	uint64_t round;
	uint32_t n;

	for (round = 1; round <= ROUNDS; round++) {
		while (tally_load_acquire(&round_no) < round)
			sched_yield();
		for (n = 0; n < CELLS; n++)
			cells_push(&to, TALLY_KIND_ALLOC, (n + me) % CELLS, 1, 1, 0);
		tally_or_release(&round_done, 1ull << me);
	}
	return NULL;
}

static void threads_that_claim_cells_at_once_share_them(void **state)
{
	struct cells to = in_block(&early);
	pthread_t threads[CLAIMERS];
	uint64_t round;
	uint32_t n;
	uintptr_t i;

	(void)state;
	tally_store_release(&round_no, 0);
	for (i = 0; i < CLAIMERS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, claim_all, (void *)i), 0);
	for (round = 1; round <= ROUNDS; round++) {
		uint64_t wrong = 0;

		memset(&early, 0, sizeof(early));
		tally_store_relaxed(&round_done, 0);
		tally_store_release(&round_no, round);
		while (tally_load_acquire(&round_done) != (1u << CLAIMERS) - 1)
			sched_yield();
		for (n = 0; n < CELLS; n++)
			wrong += sums_in(&to, n, 1).allocs != CLAIMERS;
		/* let them end before the test does */
		if (wrong || early.process.rejected_events) {
			tally_store_release(&round_no, ROUNDS);
			for (i = 0; i < CLAIMERS; i++)
				pthread_join(threads[i], NULL);
			fail_msg("round %llu", (unsigned long long)round);
		}
	}
	for (i = 0; i < CLAIMERS; i++)
		pthread_join(threads[i], NULL);
}

/* ---- Peak among threads ---------------------------------------------------------------------- */

static void *up_and_down(void *arg)
{
	struct cells to = in_block(&early);
	uint32_t n;

	(void)arg;
	while (!tally_load_acquire(&begin))
		;
	for (n = 0; n < PUSHES; n++) {
		cells_push(&to, TALLY_KIND_ALLOC, 0, 0, 1000, 0);
		cells_push(&to, TALLY_KIND_FREE, 0, 0, 1000, 0);
	}
	return NULL;
}

static void peak_among_threads_is_at_least_the_true_one(void **state)
{
	struct cells to = in_block(&early);
	pthread_t threads[THREADS];
	struct ledger_sums sums;
	int i;

	(void)state;
	memset(&early, 0, sizeof(early));
	tally_store_release(&begin, 0);
	cells_push(&to, TALLY_KIND_ALLOC, 0, 0, 50, 0);
	for (i = 0; i < THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, up_and_down, NULL), 0);
	tally_store_release(&begin, 1);
	for (i = 0; i < THREADS; i++)
		pthread_join(threads[i], NULL);
	sums = sums_in(&to, 0, 0);
	/* one thread alone has taken it to 1050 */
	assert_true(sums.peak_bytes >= 1050);
	assert_int_equal(sums.allocated_bytes - sums.freed_bytes, 50);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(next_cell_in_use_is_in_a_page_that_is),
		TEST(every_kind_is_added_to_its_cell),
		TEST(peak_is_the_highest_balance_and_survives_negative_ones),
		TEST(event_beyond_the_last_cell_is_rejected_and_counted),
		TEST(every_pair_of_a_region_has_a_cell_until_they_are_used_up),
		TEST(fold_moves_everything_once),
		TEST(what_is_refused_stays),
		TEST(fold_in_the_middle_of_a_push_keeps_the_peak_at_least_what_is_held),
		TEST(threads_that_push_while_others_fold_lose_nothing),
		TEST(threads_that_claim_cells_at_once_share_them),
		TEST(peak_among_threads_is_at_least_the_true_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
