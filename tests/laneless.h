/* SPDX-License-Identifier: Apache-2.0 */
/* A test's own process as a producer with one lane, and what it leaves in its shared ring. */
#ifndef TESTS_LANELESS_H
#define TESTS_LANELESS_H

#include "tests/places.h" /* before all that pushes */

#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <tally/tally.h>
#include <unistd.h>

#include "producer/push.c"
#include "ring/aside.c"
#include "tests/own_region.h"

#define DEVICE 3

/* ---- Arming and reading ---------------------------------------------------------------------- */

/* One lane, which this thread has; what comes of others goes to the shared ring. */
static inline void arm(uint32_t ring_records)
{
	struct tally_options options = { .lanes = 1, .ring_records = ring_records };

	memset(&at_place, 0, sizeof(at_place));
	assert_int_equal(tally_init(&options), 0);
	tally_mark("the lane is taken");
	assert_non_null(tally_thread.lane);
}

static struct region_view view;
static struct tally_record records[8192];
static size_t record_count;

static inline void keep_record(void *arg, const struct tally_record *record)
{
	(void)arg;
	assert_true(record_count < COUNT(records));
	records[record_count++] = *record;
}

/* What is in the shared ring. */
static inline void read_shared(void)
{
	int dir = open(region_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct shared_reader reader;
	struct tally_status status;
	char why[REGION_WHY_MAX];

	record_count = 0;
	assert_int_equal(tally_status(&status), 0);
	assert_int_equal(status.join_error, 0);
	assert_int_equal(region_open(dir, status.region, &view, why), 0);
	close(dir);
	if (region_state(view.base)->shared_ready) {
		assert_int_equal(shared_reader_open(&reader, view.base, &view.at), 0);
		shared_drain(&reader, true, false, keep_record, NULL);
		assert_null(reader.quarantine);
		shared_reader_close(&reader);
	}
	region_close(&view);
}

struct account {
	uint64_t events, read, lost, unrecorded, rejected;
	struct test_sums sums; /* of DEVICE, dram */
};

static inline struct account account_of(struct tally_consumer *consumer)
{
	const struct tally_snapshot *now;
	struct account is;

	watch_put(watch_look(consumer)); /* it stays behind pushers that move */
	now = watch_look(consumer);
	watch_check(now);
	assert_int_equal(now->process_count, 1);
	is = (struct account){ now->events,	     now->records_read,
			       now->lost_records,    now->processes[0].lost_unrecorded,
			       now->rejected_events, watch_sums(now, DEVICE, TALLY_POOL_DRAM) };
	watch_put(now);
	return is;
}

static inline struct account account(void)
{
	struct tally_consumer *consumer = watch_self();
	struct account is = account_of(consumer);

	watch_close(consumer);
	return is;
}

static inline void disarm(void)
{
	assert_int_equal(tally_shutdown(), 0);
}

#endif
