/* SPDX-License-Identifier: Apache-2.0 */
/* A ledger cell: whatever moment a reader comes in, it gets one whole half.
 * sanitizers: address, thread; also on: arm64 */
#include "ring/ledger.h"

#include <pthread.h>
#include <string.h>

#include "tests/support.h"
#include "tests/trap.h"

/* Each update adds the same, so that every word follows from event_no. */
static const struct ledger_sums step = {
	.allocated_bytes = 5, .freed_bytes = 3, .allocs = 7, .frees = 11, .failures = 13
};

static bool whole(const struct ledger_sums *sums)
{
	uint64_t n = sums->event_no;

	return sums->allocated_bytes == 5 * n && sums->freed_bytes == 3 * n &&
	       sums->allocs == 7 * n && sums->frees == 11 * n && sums->failures == 13 * n &&
	       sums->peak_bytes >= 2 * n;
}

/* The next one of the updates. */
static void update(struct tally_cell *cell)
{
	uint64_t seq = cell->seq;
	uint64_t event_no = ledger_half(cell, seq)->event_no + 1;

	ledger_commit(cell, seq, &step, ledger_prepare(cell, seq, &step, event_no));
}

static struct ledger_sums must_read(const struct tally_cell *cell)
{
	struct ledger_sums sums = { 0 };

	assert_true(ledger_read(cell, &sums));
	assert_true(whole(&sums));
	return sums;
}

static void add(struct ledger_sums *sums, enum tally_kind kind, uint64_t size, uint64_t count)
{
	struct ledger_sums change = ledger_change(kind, size, count);

	ledger_sum(sums, &change);
}

static void each_kind_of_event_adds_to_its_own_sums(void **state)
{
	struct ledger_sums sums = { 0 }, before;

	(void)state;
	add(&sums, TALLY_KIND_ALLOC, 100, 0);
	add(&sums, TALLY_KIND_ALLOC, 30, 0);
	add(&sums, TALLY_KIND_FREE, 100, 0);
	add(&sums, TALLY_KIND_ALLOC, 20, 0);
	add(&sums, TALLY_KIND_ALLOC_FAILED, 1ull << 60, 0);
	assert_int_equal(sums.allocated_bytes, 150);
	assert_int_equal(sums.freed_bytes, 100);
	assert_int_equal(sums.allocs, 3);
	assert_int_equal(sums.frees, 1);
	assert_int_equal(sums.failures, 1);
	assert_int_equal(sums.peak_bytes, 130);
	add(&sums, TALLY_KIND_POOL_RESET, 50, 2);
	assert_int_equal(sums.freed_bytes, 150);
	assert_int_equal(sums.frees, 3);
	before = sums;
	add(&sums, TALLY_KIND_MARK, 999, 999);
	add(&sums, TALLY_KIND_DEVICE, 999, 999);
	assert_memory_equal(&sums, &before, sizeof(sums));
}

static void balance_below_zero_is_kept_and_never_becomes_the_peak(void **state)
{
	struct ledger_sums sums = { 0 };

	(void)state;
	add(&sums, TALLY_KIND_FREE, 100, 0);
	assert_int_equal(ledger_balance(&sums), -100);
	assert_int_equal(sums.peak_bytes, 0);
	add(&sums, TALLY_KIND_ALLOC, 90, 0);
	assert_int_equal(sums.peak_bytes, 0);
	add(&sums, TALLY_KIND_ALLOC, 15, 0);
	assert_int_equal(sums.peak_bytes, 5);
}

/* The same by the writer's own arithmetic, in a cell. */
static void cell_keeps_the_balance_and_its_peak(void **state)
{
	static const struct {
		enum tally_kind kind;
		uint64_t size;
		int64_t balance, peak;
	} events[] = {
		{ TALLY_KIND_FREE, 100, -100, 0 },	{ TALLY_KIND_ALLOC, 90, -10, 0 },
		{ TALLY_KIND_ALLOC, 300, 290, 290 },	{ TALLY_KIND_FREE, 200, 90, 290 },
		{ TALLY_KIND_ALLOC, 100, 190, 290 },	{ TALLY_KIND_ALLOC_FAILED, 999, 190, 290 },
		{ TALLY_KIND_POOL_RESET, 190, 0, 290 }, { TALLY_KIND_ALLOC, 291, 291, 291 },
	};
	struct tally_cell cell = { 0 };
	struct ledger_sums read = { 0 };
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(events); i++) {
		struct ledger_sums change = ledger_change(events[i].kind, events[i].size, 1);
		uint64_t balance = ledger_prepare(&cell, cell.seq, &change, i + 1);

		ledger_commit(&cell, cell.seq, &change, balance);
		assert_int_equal((int64_t)balance, events[i].balance);
		assert_true(ledger_read(&cell, &read));
		assert_int_equal(ledger_balance(&read), events[i].balance);
		assert_int_equal(read.peak_bytes, events[i].peak);
		assert_int_equal(read.event_no, i + 1);
	}
}

static void update_changes_the_idle_half_alone(void **state)
{
	struct tally_cell cell = { 0 };
	uint64_t n;

	(void)state;
	for (n = 1; n < 10; n++) {
		struct tally_cell before = cell;

		update(&cell);
		assert_int_equal(cell.seq, n);
		/* what was current is as it was */
		assert_memory_equal(ledger_half(&cell, n - 1), ledger_half(&before, n - 1),
				    sizeof(struct tally_cell_half));
		assert_int_equal(must_read(&cell).event_no, n);
	}
}

static void sequence_may_wrap(void **state)
{
	struct tally_cell cell = { .seq = UINT64_MAX - 1 };
	uint64_t n;

	(void)state;
	for (n = 1; n < 5; n++) {
		update(&cell);
		assert_int_equal(must_read(&cell).event_no, n);
	}
	assert_int_equal(cell.seq, 2);
}

/* A writer killed at any store of an update leaves the half that was current. */
static void half_of_a_killed_update_is_not_seen(void **state)
{
	size_t word;

	(void)state;
	for (word = 0; word <= sizeof(struct tally_cell_half) / sizeof(uint64_t); word++) {
		struct tally_cell cell = { 0 }, next;

		update(&cell);
		update(&cell);
		next = cell;
		update(&next);
		/* the third update's stores, of which the last, seq, never came */
		memcpy(ledger_half(&cell, 3), ledger_half(&next, 3), word * sizeof(uint64_t));
		assert_int_equal(must_read(&cell).event_no, 2);
	}
}

/* ---- Torn, every time ------------------------------------------------------------------------ */

static struct tally_cell *trapped;

/* Two updates while the reader is in the middle of a half: it is overwritten. */
static void update_twice(int page)
{
	trap_set(page, true);
	update(trapped);
	update(trapped);
}

static void half_that_is_overwritten_under_the_reader_is_read_again(void **state)
{
	size_t word;

	(void)state;
	if (UNDER_TSAN)
		SKIP("ThreadSanitizer takes faults for itself");
	for (word = 0; word < sizeof(struct tally_cell_half) / sizeof(uint64_t); word++) {
		trapped = trap_make(offsetof(struct tally_cell, half1) + word * sizeof(uint64_t),
				    update_twice);
		update(trapped); /* half1 is current */
		trap_set(1, false);
		assert_int_equal(must_read(trapped).event_no, 3);
		assert_int_equal(trap_count, 1); /* the race was met */
		trap_free();
	}
}

/* The half in page 1 opens; at its second look at seq, in page 0, the reader finds it changed. */
static void change_at_every_look(int page)
{
	if (page == 1) {
		trap_set(1, true);
		trap_set(0, false);
	} else {
		trap_set(0, true);
		update(trapped);
		update(trapped);
		trap_set(1, false);
	}
}

static void cell_that_never_rests_is_given_up_after_bounded_tries(void **state)
{
	struct ledger_sums read, before;

	(void)state;
	if (UNDER_TSAN)
		SKIP("ThreadSanitizer takes faults for itself");
	memset(&read, 0x5a, sizeof(read));
	before = read;
	trapped = trap_make(offsetof(struct tally_cell, half1), change_at_every_look);
	update(trapped);
	trap_set(1, false);
	assert_false(ledger_read(trapped, &read));
	assert_int_equal(trap_count, 2 * LEDGER_TRIES);
	assert_memory_equal(&read, &before, sizeof(read)); /* untouched */
	trap_set(1, true);
	assert_true(ledger_read(trapped, &read)); /* once it rests */
	trap_free();
}

/* ---- Stress ---------------------------------------------------------------------------------- */

#define READERS 3

static struct tally_cell stressed;
static uint64_t stress_over;

struct watcher {
	pthread_t thread;
	uint64_t torn, backwards, good;
};

static void *watch(void *arg)
{
	struct watcher *mine = arg;
	uint64_t last = 0;

	do {
		struct ledger_sums read;

		if (!ledger_read(&stressed, &read))
			continue;
		mine->good++;
		mine->torn += !whole(&read);
		mine->backwards += read.event_no < last;
		last = read.event_no;
	} while (!tally_load_acquire(&stress_over));
	return NULL;
}

static void readers_get_whole_halves_in_order_while_the_writer_runs(void **state)
{
	struct watcher watchers[READERS] = { 0 };
	uint64_t updates = UNDER_TSAN ? 200000 : 3000000;
	uint64_t n, good = 0;
	int i;

	(void)state;
	for (i = 0; i < READERS; i++)
		assert_int_equal(pthread_create(&watchers[i].thread, NULL, watch, &watchers[i]), 0);
	for (n = 1; n <= updates; n++)
		update(&stressed);
	tally_store_release(&stress_over, 1);
	for (i = 0; i < READERS; i++) {
		pthread_join(watchers[i].thread, NULL);
		assert_int_equal(watchers[i].torn, 0);
		assert_int_equal(watchers[i].backwards, 0);
		good += watchers[i].good;
	}
	assert_true(good > 0);
	assert_int_equal(must_read(&stressed).event_no, updates);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(each_kind_of_event_adds_to_its_own_sums),
		TEST(balance_below_zero_is_kept_and_never_becomes_the_peak),
		TEST(cell_keeps_the_balance_and_its_peak),
		TEST(update_changes_the_idle_half_alone),
		TEST(sequence_may_wrap),
		TEST(half_of_a_killed_update_is_not_seen),
		TEST(half_that_is_overwritten_under_the_reader_is_read_again),
		TEST(cell_that_never_rests_is_given_up_after_bounded_tries),
		TEST(readers_get_whole_halves_in_order_while_the_writer_runs),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
