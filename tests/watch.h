/* SPDX-License-Identifier: Apache-2.0 */
/* A consumer in the test's own process, and what its snapshots say. */
#ifndef TESTS_WATCH_H
#define TESTS_WATCH_H

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <tally/consumer.h>

#include "tests/support.h"

/* What a failed test would still hold, as a snapshot that is never put back blocks everybody. */
static struct tally_consumer *watch_consumers[16];
static const struct tally_snapshot *watch_held[16];

static inline void watch_let_go(void)
{
	size_t i;

	for (i = 0; i < COUNT(watch_held); i++)
		if (watch_held[i])
			tally_snapshot_put(watch_held[i]);
	for (i = 0; i < COUNT(watch_consumers); i++)
		tally_consumer_close(watch_consumers[i]);
	memset(watch_held, 0, sizeof(watch_held));
	memset(watch_consumers, 0, sizeof(watch_consumers));
}

/* Closes it at the end of the test at the latest. */
static inline void watch_keep(struct tally_consumer *consumer)
{
	size_t i = 0;

	test_let_go = watch_let_go;
	while (i < COUNT(watch_consumers) - 1 && watch_consumers[i])
		i++;
	watch_consumers[i] = consumer;
}

/* tally_consumer_open(), kept. */
static inline int watch_open(const struct tally_consumer_options *options,
			     struct tally_consumer **ret_consumer)
{
	int error = tally_consumer_open(options, ret_consumer);

	if (!error)
		watch_keep(*ret_consumer);
	return error;
}

static inline void watch_close(struct tally_consumer *consumer)
{
	size_t i;

	for (i = 0; i < COUNT(watch_consumers); i++)
		if (watch_consumers[i] == consumer)
			watch_consumers[i] = NULL;
	tally_consumer_close(consumer);
}

static inline const struct tally_snapshot *watch_get(struct tally_consumer *consumer)
{
	const struct tally_snapshot *now = tally_snapshot_get(consumer);
	size_t i = 0;

	while (i < COUNT(watch_held) - 1 && watch_held[i])
		i++;
	watch_held[i] = now;
	return now;
}

static inline void watch_put(const struct tally_snapshot *snapshot)
{
	size_t i = 0;

	while (i < COUNT(watch_held) - 1 && watch_held[i] != snapshot)
		i++;
	watch_held[i] = NULL;
	tally_snapshot_put(snapshot);
}

/* Looks once more and takes the snapshot. */
static inline const struct tally_snapshot *watch_look(struct tally_consumer *consumer)
{
	assert_int_equal(tally_consumer_poll(consumer), 0);
	return watch_get(consumer);
}

/* How many processes its snapshot has. */
static inline size_t watch_count(struct tally_consumer *consumer)
{
	const struct tally_snapshot *now = watch_get(consumer);
	size_t count = now->process_count;

	watch_put(now);
	return count;
}

/* Opens a consumer of this pid (0: of all) that reads records, from the first one on. */
static inline struct tally_consumer *watch_pid(pid_t pid)
{
	struct tally_consumer_options options = { .pid = (uint32_t)pid,
						  .read_records = true,
						  .from_start = true };
	struct tally_consumer *consumer = NULL;
	int error = watch_open(&options, &consumer);

	if (error)
		fail_msg("open of pid %d: %s", (int)pid, strerror(-error));
	return consumer;
}

/* The same of a run that begins now, whose processes' regions are left to us (TALLY_RUN=...). */
static inline struct tally_consumer *watch_run(uint64_t run_id)
{
	struct tally_consumer_options options = {
		.run_id = run_id, .read_records = true, .from_start = true, .lend_region = true
	};
	struct tally_consumer *consumer = NULL;

	assert_int_equal(watch_open(&options, &consumer), 0);
	assert_non_null(tally_consumer_lent_region(consumer));
	return consumer;
}

/* The one row of that pid; NULL when there is none. */
static inline const struct tally_process_view *watch_process(const struct tally_snapshot *now,
							     pid_t pid)
{
	const struct tally_process_view *row = NULL;
	size_t i;

	for (i = 0; i < now->process_count; i++) {
		if (now->processes[i].pid != (uint32_t)pid)
			continue;
		assert_null(row);
		row = &now->processes[i];
	}
	return row;
}

static inline const struct tally_pool_view *watch_pool(const struct tally_snapshot *now,
						       uint32_t device, uint32_t pool)
{
	size_t i;

	for (i = 0; i < now->pool_count; i++)
		if (now->pools[i].device == device && now->pools[i].pool == pool)
			return &now->pools[i];
	return NULL;
}

static inline struct test_sums watch_sums(const struct tally_snapshot *now, uint32_t device,
					  uint32_t pool)
{
	const struct tally_pool_view *view = watch_pool(now, device, pool);
	const struct tally_totals *totals = view ? &view->totals : NULL;
	struct test_sums sums = { 0 };

	if (totals) {
		sums.allocated_bytes = (int64_t)totals->allocated_bytes;
		sums.freed_bytes = (int64_t)totals->freed_bytes;
		sums.allocs = (int64_t)totals->allocations;
		sums.frees = (int64_t)totals->frees;
		sums.failures = (int64_t)totals->failures;
	}
	return sums;
}

/* What every snapshot must satisfy, whenever it was taken. */
static inline void watch_check(const struct tally_snapshot *now)
{
	uint64_t events = 0, read = 0, lost = 0, rejected = 0;
	size_t i;

	for (i = 0; i < now->process_count; i++) {
		const struct tally_process_view *process = &now->processes[i];

		events += process->events;
		read += process->records_read;
		lost += process->lost_records;
		rejected += process->rejected_events;
		assert_int_equal(process->lost_records,
				 process->lost_overwritten + process->lost_unrecorded);
		assert_int_equal(process->quarantined_lanes, 0);
		assert_int_equal(process->skipped_records, 0);
	}
	assert_int_equal(now->events, events);
	assert_int_equal(now->records_read, read);
	assert_int_equal(now->lost_records, lost);
	assert_int_equal(now->rejected_events, rejected);
	for (i = 0; i < now->pool_count; i++) {
		const struct tally_totals *totals = &now->pools[i].totals;

		assert_true(totals->live_bytes <= totals->live_bytes_high);
		assert_true(totals->peak_bytes >= totals->live_bytes);
		assert_true(totals->peak_bytes_high >= totals->peak_bytes);
	}
}

#endif
