/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of joined regions share: processes that join one, and what is said of them. */
#ifndef TESTS_JOINED_H
#define TESTS_JOINED_H

#include <signal.h>
#include <sys/wait.h>
#include <tally/tally.h>
#include <unistd.h>

#include "tests/watch.h"

#define DEVICE 3 /* tests/prog/joiner.c's */

/* A process that joins the region "crowd"; setting: TALLY_LANES=..., or NULL. */
static inline struct job join_start(const char *setting)
{
	struct command command = {
		.argv = LIST(prog("joiner")),
		.env = LIST("TALLY=1", "TALLY_REGION=/crowd", "TALLY_RING=1024", setting),
	};
	struct job job = job_start(&command);

	assert_string_equal(job_line(&job), "armed");
	return job;
}

/* A child of one of them, which is the test's once that has died. */
static inline void join_kill_child(pid_t child)
{
	assert_int_equal(kill(child, SIGKILL), 0);
	WAIT_FOR(waitpid(child, NULL, WNOHANG) == child);
}

static inline char *join_file(void)
{
	return joined_file("crowd");
}

static inline char *join_path(void)
{
	return text("%s/%s", test_dir, join_file());
}

/* A consumer of everything, that reads records from the first one on. */
static inline struct tally_consumer *join_watch(void)
{
	return watch_pid(0);
}

/* The totals of a row on device 3, pool dram. */
static inline const struct tally_totals *join_totals(const struct tally_snapshot *now,
						     const struct tally_process_view *row)
{
	size_t i;

	for (i = row->first_pool; i < row->first_pool + row->pool_count; i++)
		if (now->process_pools[i].device == DEVICE &&
		    now->process_pools[i].pool == TALLY_POOL_DRAM)
			return &now->process_pools[i].totals;
	return NULL;
}

/* A row that is there, in this state, holding or having held so much in so many allocations, every
 * event of which has a record that was read, or is lost. */
static inline void join_check(const struct tally_snapshot *now, pid_t pid,
			      enum tally_process_end end, uint64_t allocations, int64_t bytes)
{
	const struct tally_process_view *row = watch_process(now, pid);
	const struct tally_totals *totals;

	if (!row)
		fail_msg("no row of pid %d", (int)pid);
	totals = join_totals(now, row);
	assert_int_equal(row->end, end);
	assert_string_equal(row->region, join_file());
	assert_string_equal(row->comm, "joiner");
	assert_true(row->start_realtime_ns > 0 && row->start_realtime_ns <= now->realtime_ns);
	assert_int_equal(totals ? totals->allocations : 0, allocations);
	assert_int_equal(totals ? totals->live_bytes : 0, bytes);
	if (totals) {
		assert_int_equal(totals->live_bytes_high, bytes);
		assert_int_equal(totals->abandoned_bytes, end == TALLY_RUNNING ? 0 : bytes);
		assert_true(totals->current);
	}
	assert_int_equal(row->events, row->records_read + row->lost_records);
}

/* Over all processes, on that device and pool. */
static inline void join_check_all(const struct tally_snapshot *now, uint64_t allocations,
				  int64_t live, int64_t abandoned)
{
	const struct tally_pool_view *pool = watch_pool(now, DEVICE, TALLY_POOL_DRAM);

	watch_check(now);
	assert_non_null(pool);
	assert_int_equal(pool->totals.allocations, allocations);
	assert_int_equal(pool->totals.live_bytes, live);
	assert_int_equal(pool->totals.live_bytes_high, live);
	assert_int_equal(pool->totals.abandoned_bytes, abandoned);
	assert_true(now->complete);
}

#endif
