/* SPDX-License-Identifier: Apache-2.0 */
/* A consumer that comes after a million events reports the totals of one that was there before.
 * also on: arm64 */
#include <signal.h>
#include <stdio.h>
#include <tally/tally.h>

#include "tests/support.h"
#include "tests/watch.h"

#define EVENTS 1000000u

/* What push_many does to device 1, pool l1, by its own description. */
static struct test_sums truth_of(uint64_t events)
{
	struct test_sums sums = { 0 };
	uint64_t i;

	for (i = 0; i < events; i++) {
		int64_t size = 64 + (int64_t)(i & ~1ull) % 100;

		if (i % 2 == 0) {
			sums.allocs++;
			sums.allocated_bytes += size;
		} else {
			sums.frees++;
			sums.freed_bytes += size;
		}
	}
	return sums;
}

static void check(const struct tally_snapshot *now, bool alive)
{
	const struct tally_pool_view *view = watch_pool(now, 1, TALLY_POOL_L1);

	watch_check(now);
	assert_sums_equal(watch_sums(now, 1, TALLY_POOL_L1), truth_of(EVENTS + 1));
	assert_int_equal(now->process_count, 1);
	assert_int_equal(now->processes[0].end, alive ? TALLY_RUNNING : TALLY_GONE);
	/* the last alloc has no free: it is held, or was abandoned */
	assert_int_equal(view->totals.live_bytes, alive ? 64 + EVENTS % 100 : 0);
	assert_int_equal(view->totals.live_bytes_high, view->totals.live_bytes);
	assert_int_equal(view->totals.abandoned_bytes, alive ? 0 : 64 + EVENTS % 100);
	assert_int_equal(view->totals.abandoned_allocations, alive ? 0 : 1);
	/* its highest live bytes are known exactly: one lane did it all */
	assert_int_equal(view->totals.peak_bytes, 64 + 98);
	assert_int_equal(view->totals.peak_bytes_high, 64 + 98);
	assert_int_equal(now->events, EVENTS + 1);
	assert_int_equal(now->records_read + now->lost_records, EVENTS + 1);
}

static void late_consumer_reports_what_an_early_one_does_with(const char *ring, uint64_t ring_size)
{
	struct command command = {
		.argv = LIST(prog("push_many"), text("%u", EVENTS + 1), "wait"),
		.env = LIST("TALLY=1", ring),
	};
	struct job job = job_start(&command);
	struct tally_consumer *early, *late, *after_death, *records_only;
	struct tally_consumer_options from_now = { .pid = (uint32_t)job.pid, .read_records = true };
	const struct tally_snapshot *now;

	assert_string_equal(job_line(&job), "armed");
	early = watch_pid(job.pid);
	assert_int_equal(tally_consumer_start(early, 1), 0);
	job_say(&job, "go");
	assert_string_equal(job_line(&job), "pushed");
	assert_int_equal(tally_consumer_stop(early), 0);

	late = watch_pid(job.pid);
	now = watch_look(late);
	check(now, true);
	/* it came late, so it has at most a ring, and knows what it has missed */
	assert_int_equal(now->records_read, ring_size);
	assert_int_equal(now->lost_records, EVENTS + 1 - ring_size);
	watch_put(now);

	now = watch_look(early);
	check(now, true);
	watch_put(now);

	/* one that is not interested in what was before has lost nothing */
	assert_int_equal(watch_open(&from_now, &records_only), 0);
	now = watch_look(records_only);
	assert_sums_equal(watch_sums(now, 1, TALLY_POOL_L1), truth_of(EVENTS + 1));
	assert_int_equal(now->lost_records, ring_size ? 0 : now->processes[0].lost_unrecorded);
	watch_put(now);

	/* and one that comes when the process is dead */
	job_signal(&job, SIGKILL);
	assert_int_equal(job_end(&job).status, -SIGKILL);
	after_death = watch_pid(job.pid);
	now = watch_get(after_death);
	check(now, false);
	assert_int_equal(now->records_read, ring_size);
	watch_put(now);
	now = watch_look(early);
	check(now, false);
	watch_put(now);
	watch_close(early);
	watch_close(late);
	watch_close(after_death);
	watch_close(records_only);
	remove_regions();
}

static void late_consumer_reports_what_an_early_one_does(void **state)
{
	(void)state;
	late_consumer_reports_what_an_early_one_does_with("TALLY_KEEP=1", 2048);
}

static void late_consumer_does_so_too_when_almost_all_is_lapped(void **state)
{
	(void)state;
	late_consumer_reports_what_an_early_one_does_with("TALLY_RING=64", 64);
}

static void late_consumer_does_so_too_without_records(void **state)
{
	(void)state;
	late_consumer_reports_what_an_early_one_does_with("TALLY_RING=0", 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(late_consumer_reports_what_an_early_one_does),
		TEST(late_consumer_does_so_too_when_almost_all_is_lapped),
		TEST(late_consumer_does_so_too_without_records),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
