/* SPDX-License-Identifier: Apache-2.0 */
/* The list of live buffers of real processes: what they hold is there, and nothing else; what
 * cannot be known is said.
 * sanitizers: address */
#include <errno.h>

#include "tests/keeper.h"

/* ---- One process ----------------------------------------------------------------------------- */

static void rows_tell_what_was_allocated(void **state)
{
	struct job job = keeper_start(NULL, NULL);
	struct tally_consumer *consumer = keeper_watch(job.pid);
	uint64_t before_ns = now_ns();
	const struct tally_buffer *row;

	(void)state;
	job_do(&job, "name 9 mine");
	job_do(&job, "alloc 1 0 100 4096 3");
	job_do(&job, "tag layer 1");
	job_do(&job, "alloc 2 9 100 77");
	job_do(&job, "untag");
	job_do(&job, "free 1 0 101 0");
	job_do(&job, "thread alloc 3 1 5 6");
	keeper_look(consumer);
	assert_int_equal(keeper_rows(consumer), 4);
	assert_null(keeper_row(job.pid, 1, 101));
	row = keeper_row(job.pid, 1, 100);
	assert_non_null(row);
	assert_int_equal(row->size, 4096);
	assert_int_equal(row->tid, job.pid);
	assert_string_equal(seen.pools[row - seen.all], "dram");
	assert_string_equal(seen.tags[row - seen.all], "");
	assert_string_equal(seen.comms[row - seen.all], "scripted");
	assert_false(row->ended);
	assert_false(row->unsure);
	/* a thousandth of a second: what the two readings of the clocks may be apart */
	assert_in_range(row->alloc_monotonic_ns, before_ns - 1000000, now_ns() + 1000000);
	row = keeper_row(job.pid, 2, 100);
	assert_non_null(row);
	assert_string_equal(seen.pools[row - seen.all], "mine");
	assert_string_equal(seen.tags[row - seen.all], "layer 1");
	row = keeper_row(job.pid, 3, 5);
	assert_non_null(row);
	assert_int_not_equal(row->tid, job.pid);
	job_do(&job, "reset 1 0");
	job_do(&job, "alloc 1 0 102 8");
	keeper_look(consumer);
	assert_int_equal(keeper_rows(consumer), 3);
	assert_null(keeper_row(job.pid, 1, 100));
	assert_int_equal(keeper_row(job.pid, 1, 102)->size, 8);
	job_end_well(&job);
}

static void check_churn(struct job *job, struct tally_consumer *consumer, const char *order)
{
	int left = job_do(job, order), n;

	tally_consumer_stop(consumer);
	keeper_look(consumer);
	assert_int_equal(keeper_rows(consumer), left);
	for (n = 0; n < left; n++) {
		unsigned long long id, size;
		const struct tally_buffer *row;

		assert_int_equal(sscanf(job_line(job), "%llu %llu", &id, &size), 2);
		row = keeper_row(job->pid, 5, id);
		if (!row || row->size != size || row->unsure)
			fail_msg("id %llu: %s", id, row ? "another size" : "no row");
	}
}

static void what_threads_free_of_each_other_is_told_apart(void **state)
{
	struct job job = keeper_start("TALLY_RING=65536", NULL);
	struct tally_consumer *consumer = keeper_watch(job.pid);
	const struct tally_snapshot *now;

	(void)state;
	assert_int_equal(tally_consumer_start(consumer, 5), 0);
	check_churn(&job, consumer, "churn 4 10000"); /* should one lane get all, it has room */
	now = watch_get(consumer);
	assert_int_equal(now->lost_records, 0);
	assert_int_equal(now->incomplete_since_realtime_ns, 0);
	assert_true(now->records_read > 40000);
	assert_int_equal(watch_pool(now, 5, TALLY_POOL_L1)->unmatched_frees, 0);
	assert_int_equal(watch_pool(now, 5, TALLY_POOL_L1)->double_allocations, 0);
	watch_put(now);
	job_end_well(&job);
}

static void threads_without_a_lane_and_handlers_are_part_of_it(void **state)
{
	struct job job = keeper_start("TALLY_LANES=1", "TALLY_RING=65536");
	struct tally_consumer *consumer = keeper_watch(job.pid);
	const struct tally_snapshot *now;

	(void)state;
	job_do(&job, "alloc 1 0 1 10 2");
	job_do(&job, "thread free 1 0 1 0");
	job_do(&job, "thread alloc 1 0 3 30 2");
	job_do(&job, "free 1 0 3 0");
	job_do(&job, "handler alloc 1 0 5 50");
	keeper_look(consumer);
	assert_int_equal(keeper_rows(consumer), 3);
	assert_int_equal(keeper_row(job.pid, 1, 2)->size, 10);
	assert_int_equal(keeper_row(job.pid, 1, 4)->size, 30);
	assert_int_equal(keeper_row(job.pid, 1, 5)->size, 50);
	job_do(&job, "free 1 0 2 0 4");
	check_churn(&job, consumer, "churn 2 2000");
	now = watch_get(consumer);
	assert_int_equal(now->lost_records, 0);
	watch_put(now);
	job_end_well(&job);
}

/* ---- What cannot be known -------------------------------------------------------------------- */

static void who_comes_late_says_what_is_incomplete(void **state)
{
	struct job job = keeper_start("TALLY_RING=64", NULL);
	const struct tally_process_view *process;
	struct tally_consumer *consumer;
	const struct tally_snapshot *now;

	(void)state;
	job_do(&job, "alloc 1 0 1 10 100");
	consumer = keeper_watch(job.pid);
	keeper_look(consumer);
	now = watch_get(consumer);
	process = keeper_process(now, job.pid);
	assert_true(process->incomplete_until_realtime_ns > process->start_realtime_ns);
	assert_true(process->incomplete_until_realtime_ns <= now->realtime_ns);
	assert_int_equal(now->incomplete_since_realtime_ns, process->incomplete_until_realtime_ns);
	assert_int_equal(now->lost_records, 0); /* not since it came */
	watch_put(now);
	assert_in_range(keeper_rows(consumer), 32, 64);
	assert_null(keeper_row(job.pid, 1, 1));
	assert_true(keeper_row(job.pid, 1, 100)->unsure);
	job_do(&job, "free 1 0 1 0 3");
	job_do(&job, "alloc 1 0 101 10");
	keeper_look(consumer);
	keeper_rows(consumer);
	assert_false(keeper_row(job.pid, 1, 101)->unsure);
	now = watch_get(consumer);
	assert_int_equal(watch_pool(now, 1, TALLY_POOL_DRAM)->unmatched_frees, 3);
	watch_put(now);
	job_end_well(&job);
}

static void who_comes_before_the_first_event_misses_nothing(void **state)
{
	struct job job = keeper_start(NULL, NULL);
	struct tally_consumer *consumer;
	const struct tally_snapshot *now;

	(void)state;
	job_do(&job, "alloc 1 0 1 10 100");
	consumer = keeper_watch(job.pid); /* all of it is in the ring still */
	keeper_look(consumer);
	now = watch_get(consumer);
	assert_int_equal(now->incomplete_since_realtime_ns, 0);
	assert_int_equal(keeper_process(now, job.pid)->incomplete_until_realtime_ns, 0);
	watch_put(now);
	assert_int_equal(keeper_rows(consumer), 100);
	assert_false(keeper_row(job.pid, 1, 1)->unsure);
	job_end_well(&job);
}

static void after_a_loss_rows_are_unsure_until_new_ones_come(void **state)
{
	struct job job = keeper_start("TALLY_RING=64", NULL);
	struct tally_consumer *consumer = keeper_watch(job.pid);
	const struct tally_snapshot *now;

	(void)state;
	job_do(&job, "alloc 1 0 1 10");
	keeper_look(consumer);
	keeper_rows(consumer);
	assert_false(keeper_row(job.pid, 1, 1)->unsure);
	job_do(&job, "alloc 1 0 1000 10 500");
	keeper_look(consumer);
	keeper_rows(consumer);
	assert_true(keeper_row(job.pid, 1, 1)->unsure);
	now = watch_get(consumer);
	assert_true(now->lost_records > 0);
	assert_true(now->incomplete_since_realtime_ns > 0);
	watch_put(now);
	job_do(&job, "alloc 1 0 2 10");
	keeper_look(consumer);
	keeper_rows(consumer);
	assert_true(keeper_row(job.pid, 1, 1)->unsure);
	assert_false(keeper_row(job.pid, 1, 2)->unsure);
	job_end_well(&job);
}

static bool note_first(void *arg, const struct tally_buffer *buffer)
{
	if (buffer->buffer_id == 1)
		*(bool *)arg = buffer->unsure;
	return true;
}

static bool is_first_unsure(struct tally_consumer *consumer)
{
	bool unsure = false;

	tally_buffers_each(consumer, note_first, &unsure);
	return unsure;
}

/* However far the next look is. */
static void loss_is_known_of_rows_as_soon_as_it_is_met(void **state)
{
	struct job job = keeper_start("TALLY_RING=64", NULL);
	struct tally_consumer *consumer = keeper_watch(job.pid);

	(void)state;
	job_do(&job, "alloc 1 0 1 10");
	keeper_look(consumer);
	assert_int_equal(tally_consumer_start(consumer, 3600000), 0);
	assert_false(is_first_unsure(consumer));
	do
		job_do(&job, "alloc 1 0 1000 10 5000");
	while (!is_first_unsure(consumer)); /* or the test runs out of time */
	job_end_well(&job);
}

/* What was there before the first event, and what is given back to nobody's knowledge, is none of
 * the count's business: the latest record by time tells. */
static void rows_go_by_the_latest_record_also_where_others_are_missing(void **state)
{
	struct job job = keeper_start(NULL, NULL);
	struct tally_consumer *consumer = keeper_watch(job.pid);

	(void)state;
	job_do(&job, "thread alloc 1 0 50 5"); /* there are several threads */
	job_do(&job, "alloc 1 0 51 5");
	keeper_look(consumer);
	job_do(&job, "free 1 0 7 0"); /* allocated before anybody counted */
	job_do(&job, "alloc 1 0 7 10");
	job_do(&job, "alloc 1 0 8 10");
	job_do(&job, "alloc 1 0 8 11"); /* freed meanwhile, but nobody said so */
	job_do(&job, "free 1 0 8 0");
	keeper_look(consumer);
	assert_int_equal(keeper_rows(consumer), 3);
	assert_int_equal(keeper_row(job.pid, 1, 7)->size, 10);
	assert_null(keeper_row(job.pid, 1, 8));
	job_end_well(&job);
}

static void what_finds_no_room_is_counted(void **state)
{
	struct tally_consumer_options options = { .read_buffers = true, .buffers_max = 100 };
	struct job job = keeper_start(NULL, NULL);
	struct tally_consumer *consumer = NULL;
	const struct tally_snapshot *now;

	(void)state;
	options.pid = (uint32_t)job.pid;
	assert_int_equal(watch_open(&options, &consumer), 0);
	job_do(&job, "alloc 1 0 1 10 150");
	keeper_look(consumer);
	assert_int_equal(keeper_rows(consumer), 100);
	now = watch_get(consumer);
	assert_int_equal(now->buffers_max, 100);
	assert_int_equal(now->buffers_left_out, 50);
	assert_true(now->incomplete_since_realtime_ns > 0);
	watch_put(now);
	job_do(&job, "free 1 0 1 0 150");
	job_do(&job, "free 1 0 7 0"); /* that one nobody holds */
	job_do(&job, "alloc 1 0 1 10 10");
	keeper_look(consumer);
	assert_int_equal(keeper_rows(consumer), 10);
	now = watch_get(consumer);
	assert_int_equal(now->buffers_left_out, 50);
	assert_int_equal(watch_pool(now, 1, TALLY_POOL_DRAM)->unmatched_frees, 1);
	watch_put(now);
	options.buffers_max = SIZE_MAX;
	assert_int_equal(watch_open(&options, &consumer), -EINVAL);
	job_end_well(&job);
}

/* ---- Sums ------------------------------------------------------------------------------------ */

static const struct tally_tag_view *find_tag(const struct tally_tag_view *tags, size_t count,
					     const char *name)
{
	size_t n;

	for (n = 0; n < count; n++)
		if (strcmp(tags[n].tag, name) == 0)
			return &tags[n];
	fail_msg("no tag '%s'", name);
	return NULL;
}

static void check_tag(const struct tally_tag_view *tag, int64_t live, uint64_t allocations,
		      uint64_t frees)
{
	assert_int_equal(tag->device, 1);
	assert_int_equal(tag->pool, 0);
	assert_int_equal(tag->live_bytes, live * 10);
	assert_int_equal(tag->live_allocations, live);
	assert_int_equal(tag->allocations, allocations);
	assert_int_equal(tag->frees, frees);
	assert_int_equal(tag->allocated_bytes, allocations * 10);
	assert_int_equal(tag->freed_bytes, frees * 10);
}

static void tags_and_sizes_are_added_up(void **state)
{
	struct job one = keeper_start(NULL, NULL), other = keeper_start(NULL, NULL);
	struct tally_consumer *consumer = keeper_watch(0);
	const struct tally_process_view *process;
	const struct tally_snapshot *now;
	const struct tally_pool_view *pool;

	(void)state;
	job_do(&one, "alloc 1 0 1 10 5");
	job_do(&one, "tag b");
	job_do(&one, "alloc 1 0 6 10 4");
	job_do(&one, "tag a");
	job_do(&one, "free 1 0 6 0"); /* counts where it was allocated */
	job_do(&other, "tag b");
	job_do(&other, "alloc 1 0 1 10 3");
	job_do(&one, "alloc 2 0 1 0");
	job_do(&one, "alloc 2 0 2 1");
	job_do(&one, "alloc 2 0 3 1024");
	job_do(&one, "alloc 2 0 4 1023");
	job_do(&one, "alloc 2 0 5 18446744073709551615");
	job_do(&one, "alloc 2 0 3 1024");
	keeper_look(consumer);
	now = watch_get(consumer);
	assert_int_equal(now->tag_count, 3); /* "" and b of device 1, a of device 2 */
	check_tag(find_tag(now->tags, now->tag_count, ""), 5, 5, 0);
	check_tag(find_tag(now->tags, now->tag_count, "b"), 6, 7, 1);
	process = keeper_process(now, other.pid);
	assert_int_equal(process->tag_count, 1);
	assert_int_equal(process->buffers, 3);
	check_tag(find_tag(now->process_tags + process->first_tag, 1, "b"), 3, 3, 0);
	pool = watch_pool(now, 2, 0);
	assert_int_equal(pool->double_allocations, 1);
	assert_int_equal(pool->unmatched_frees, 0);
	assert_int_equal(pool->sizes[0], 1);
	assert_int_equal(pool->sizes[1], 1);
	assert_int_equal(pool->sizes[10], 1);
	assert_int_equal(pool->sizes[11], 2);
	assert_int_equal(pool->sizes[64], 1);
	assert_int_equal(watch_pool(now, 1, 0)->sizes[4], 12);
	watch_put(now);
	job_kill(&other);
	keeper_look(consumer);
	now = watch_get(consumer); /* what is dead holds nothing */
	check_tag(find_tag(now->tags, now->tag_count, "b"), 3, 7, 1);
	process = keeper_process(now, other.pid);
	check_tag(find_tag(now->process_tags + process->first_tag, 1, "b"), 3, 3, 0);
	watch_put(now);
	job_end_well(&one);
	remove_regions();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(rows_tell_what_was_allocated),
		TEST(what_threads_free_of_each_other_is_told_apart),
		TEST(threads_without_a_lane_and_handlers_are_part_of_it),
		TEST(who_comes_late_says_what_is_incomplete),
		TEST(who_comes_before_the_first_event_misses_nothing),
		TEST(after_a_loss_rows_are_unsure_until_new_ones_come),
		TEST(loss_is_known_of_rows_as_soon_as_it_is_met),
		TEST(rows_go_by_the_latest_record_also_where_others_are_missing),
		TEST(what_finds_no_room_is_counted),
		TEST(tags_and_sizes_are_added_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
