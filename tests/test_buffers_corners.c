/* SPDX-License-Identifier: Apache-2.0 */
/* Corners of the table of live buffers, one by one: times that are tangled, too much of everything,
 * no memory.
 * sanitizers: address */
#include <stdint.h>
#include <tally/abi.h>

#include "consumer/buffers.h"
#include "consumer/place.h"
#include "tests/support.h"

static struct buffers buffers;

/* ---- Times ----------------------------------------------------------------------------------- */

/* What happened on two threads, one event after the other, and the times that they got: those of
 * one thread are in order, those of two wrong by less than the skew. */
static const struct tangle {
	/* A: alloc, F: free, in order of time; lower case on the other thread; space: a while */
	const char *said;
	bool live;
} tangles[] = {
	{ "A Ffa", false },			 /* f a F */
	{ "A FfA", false },			 /* F A f */
	{ "A FfaA", true },			 /* F A f a */
	{ "A FfAa", true }, { "A Ffa A", true }, /* f a F, A */
	{ "aAF", true },			 /* A F a */
	{ "aAF f", false },
};

static void count_tells_what_clocks_have_tangled(void **state)
{
	const struct tangle *tangle;
	const char *c;

	(void)state;
	assert_int_equal(buffers_open(&buffers, 4096), 0);
	for (tangle = tangles; tangle < tangles + COUNT(tangles); tangle++) {
		struct staged item = { .time = 1000, .buffer_id = 1 };
		const struct staged *items[] = { &item };
		const struct pool_books *pool;
		struct row *row;
		bool right;

		item.holder = holder_new(1, 1, "made up");
		item.holder->skew = 100;
		buffers_begin(&buffers);
		for (c = tangle->said; *c; c++) {
			item.time += *c == ' ' ? 1000 : 10;
			if (*c == ' ')
				continue;
			item.kind = *c == 'A' || *c == 'a' ? TALLY_KIND_ALLOC : TALLY_KIND_FREE;
			item.where = *c == 'A' || *c == 'F' ? 1 : 2;
			buffers_apply(&buffers, items, 1);
		}
		pool = books_find_pool(item.holder, 0, 0);
		row = place_find(&buffers, pool, 1);
		right = (row && place_is_live(row)) == tangle->live && !pool->unmatched_frees &&
			!pool->double_allocations;
		buffers_end(&buffers);
		if (!right)
			fail_msg("%s", tangle->said);
		buffers_leave(&buffers, item.holder);
		buffers_settle(&buffers);
	}
	buffers_close(&buffers);
}

/* ---- Many ------------------------------------------------------------------------------------ */

/* So that who lies about everything, under many names, takes no more memory than is foreseen. */
static void who_has_too_many_tags_leaves_some_to_others(void **state)
{
	struct book_counts all = { 0 };
	struct holder *liars[32], *other;
	size_t n, few = COUNT(liars) * BOOKS_FEW_POOLS;
	uint32_t tag;

	(void)state;
	for (n = 0; n < COUNT(liars); n++) {
		liars[n] = holder_new(n + 1, 1, "liar");
		liars[n]->all = &all;
		for (tag = 0; tag < BOOKS_TAGS_MAX + 10; tag++)
			books_of(liars[n], (uint64_t)(tag % 10000) << 40, tag);
		assert_in_range(liars[n]->pools.count, 1, BOOKS_POOLS_MAX);
	}
	assert_in_range(all.pools, BOOKS_ALL_POOLS_MAX / 2, BOOKS_ALL_POOLS_MAX + few);
	few = COUNT(liars) * BOOKS_FEW_TAGS + all.pools; /* each with tags not told apart */
	assert_in_range(all.tags, BOOKS_ALL_TAGS_MAX / 2, BOOKS_ALL_TAGS_MAX + few);
	other = holder_new(99, 1, "other");
	other->all = &all;
	for (tag = 0; tag < BOOKS_FEW_TAGS; tag++)
		assert_int_equal(books_of(other, (uint64_t)(tag % BOOKS_FEW_POOLS) << 40, tag)->tag,
				 tag);
	holder_free(other);
	for (n = 0; n < COUNT(liars); n++)
		holder_free(liars[n]);
	assert_int_equal(all.pools, 0);
	assert_int_equal(all.tags, 0);
}

/* ---- Counting -------------------------------------------------------------------------------- */

/* A buffer that is allocated for ever and never freed stays one. */
static void counts_of_a_doubt_do_not_overflow(void **state)
{
	struct staged item = { .time = 10, .buffer_id = 1, .kind = TALLY_KIND_ALLOC };
	const struct staged *items[] = { &item };
	struct pool_books *pool;
	struct doubt *doubt;
	struct row *row;
	int n;

	(void)state;
	assert_int_equal(buffers_open(&buffers, 4096), 0);
	item.holder = holder_new(1, 1, "made up");
	buffers_begin(&buffers);
	for (n = 0; n < 5; n++) {
		item.time++;
		buffers_apply(&buffers, items, 1);
		pool = books_find_pool(item.holder, 0, 0);
		row = place_find(&buffers, pool, 1);
		doubt = doubt_of(&buffers.doubts, row);
		if (doubt && n < 3) /* then two more */
			doubt->net = INT32_MAX - 1;
	}
	assert_non_null(doubt);
	doubt->tied = true; /* its count tells */
	assert_true(doubt_is_live(doubt));
	doubt->net = INT32_MIN;
	item.kind = TALLY_KIND_FREE;
	item.time++;
	buffers_apply(&buffers, items, 1);
	assert_true(doubt->net < 0);
	buffers_end(&buffers);
	buffers_leave(&buffers, item.holder);
	buffers_settle(&buffers);
	buffers_close(&buffers);
}

/* Else nothing is wrong but the speed, which nobody would notice. */
static void buckets_are_found_that_are_to_be_fetched_ahead(void **state)
{
	struct staged item = { .time = 10, .kind = TALLY_KIND_ALLOC };
	const struct staged *items[] = { &item };
	const struct cds_lfht_node *buckets;

	(void)state;
	assert_int_equal(buffers_open(&buffers, 65536), 0);
	item.holder = holder_new(1, 1, "made up");
	for (item.buffer_id = 1; item.buffer_id <= 20000; item.buffer_id++) {
		buffers_begin(&buffers);
		item.time++;
		buffers_apply(&buffers, items, 1);
		buffers_end(&buffers);
	}
	assert_int_equal(buffers.ahead.buckets, buffers.buckets);
	assert_true(buffers.ahead.base != 0);
	buckets = (const struct cds_lfht_node *)
			  buffers.ahead.base; /* in order by number, reversed */
	assert_true(buckets[0].reverse_hash == 0);
	assert_true(buckets[1].reverse_hash == 1ul << 63);
	assert_true(buckets[buffers.buckets - 1].reverse_hash == ~0ul << (64 - 15));
	assert_int_equal(buffers.buckets, 1ul << 15);
	buffers_leave(&buffers, item.holder);
	buffers_settle(&buffers);
	buffers_close(&buffers);
}

/* ---- Sweeping -------------------------------------------------------------------------------- */

#define SWEPT 60000
#define CHANGES 20000 /* a turn */
#define KEPT 400000

static bool held[KEPT];
static uint64_t turns;

static void apply_one(struct holder *holder, uint64_t id, enum tally_kind kind)
{
	static uint64_t time = 1;
	struct staged item = {
		.time = ++time, .buffer_id = id, .kind = (uint8_t)kind, .holder = holder
	};
	const struct staged *items[] = { &item };

	buffers_apply(&buffers, items, 1);
}

/* Half of them are there by and by, and the table has to grow. */
static void keep_changing(void *arg)
{
	int n;

	turns++;
	buffers_begin(&buffers);
	for (n = 0; n < CHANGES; n++) {
		uint64_t id = mix(turns * CHANGES + (uint64_t)n) % KEPT;

		held[id] = !held[id];
		apply_one(arg, id, held[id] ? TALLY_KIND_ALLOC : TALLY_KIND_FREE);
	}
	buffers_end(&buffers);
}

static void records_are_applied_while_rows_of_the_dead_are_swept(void **state)
{
	struct holder *dead = holder_new(1, 1, "dead"), *kept = holder_new(2, 2, "kept");
	size_t count = 0, id;

	(void)state;
	assert_int_equal(buffers_open(&buffers, 2 * KEPT), 0);
	buffers.meanwhile = keep_changing;
	buffers.meanwhile_arg = kept;
	keep_changing(kept);
	buffers_begin(&buffers);
	for (id = 0; id < SWEPT; id++)
		apply_one(dead, id, TALLY_KIND_ALLOC);
	buffers_end(&buffers);
	buffers_leave(&buffers, dead);
	turns = 0;
	buffers_settle(&buffers);
	assert_true(turns >= SWEPT / 4096);
	for (id = 0; id < KEPT; id++) {
		struct row *row = place_find(&buffers, books_find_pool(kept, 0, 0), id);

		assert_int_equal(row && place_is_live(row), held[id]);
		count += held[id];
	}
	assert_int_equal(buffers.count, count);
	assert_true(buffers.buckets >= count);
	turns = 0;
	buffers_leave(&buffers, kept);
	buffers_close(&buffers);
	assert_int_equal(turns, 0); /* nothing comes any more */
}

/* Also when it was to take the place of one that is there. */
static void allocation_that_finds_no_memory_is_left_out_with_its_free(void **state)
{
	struct staged item = { .time = 10, .buffer_id = 1, .kind = TALLY_KIND_ALLOC };
	const struct staged *items[] = { &item };
	struct pool_books *pool;

	(void)state;
	assert_int_equal(buffers_open(&buffers, 4096), 0);
	item.holder = holder_new(1, 1, "made up");
	buffers_begin(&buffers);
	buffers_apply(&buffers, items, 1);
	buffers.rows.made_max = buffers.rows.made; /* no more rows */
	item.time++;
	buffers_apply(&buffers, items, 1);
	assert_int_equal(buffers.count, 0);
	assert_int_equal(buffers.left_out, 1);
	item.time++;
	item.kind = TALLY_KIND_FREE;
	buffers_apply(&buffers, items, 1);
	pool = books_find_pool(item.holder, 0, 0);
	assert_int_equal(pool->double_allocations, 1);
	assert_int_equal(pool->unmatched_frees, 0);
	buffers_end(&buffers);
	buffers_leave(&buffers, item.holder);
	buffers_settle(&buffers);
	buffers_close(&buffers);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(count_tells_what_clocks_have_tangled),
		TEST(who_has_too_many_tags_leaves_some_to_others),
		TEST(counts_of_a_doubt_do_not_overflow),
		TEST(buckets_are_found_that_are_to_be_fetched_ahead),
		TEST(records_are_applied_while_rows_of_the_dead_are_swept),
		TEST(allocation_that_finds_no_memory_is_left_out_with_its_free),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
