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
#include "tests/support.h"
#include "tests/watch.h"

#define DEVICE 3

static const char *region_dir; /* as the library has read it */

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
	struct sums sums; /* of DEVICE, dram */
};

static inline struct tally_consumer *open_consumer(void)
{
	struct tally_consumer_options options = { .pid = (uint32_t)getpid(),
						  .dir = region_dir,
						  .read_records = true,
						  .from_start = true };
	struct tally_consumer *consumer = NULL;

	assert_int_equal(watch_open(&options, &consumer), 0);
	return consumer;
}

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
	struct tally_consumer *consumer = open_consumer();
	struct account is = account_of(consumer);

	watch_close(consumer);
	return is;
}

static inline void disarm(void)
{
	assert_int_equal(tally_shutdown(), 0);
}

/* A test that failed may have left it armed. */
static inline int begin_off(void **state)
{
	if (tally_enabled())
		tally_shutdown();
	return test_begin(state);
}

#define TEST_OFF(name) cmocka_unit_test_setup_teardown(name, begin_off, test_end)

/* main() of such a test: the library reads its environment as it is loaded, so that is set first,
 * and the program begins once more. */
static inline int laneless_main(char **argv, const struct CMUnitTest *tests, size_t count)
{
	char made[] = "/dev/shm/test-of-tally-XXXXXX";
	int failed;

	region_dir = getenv("TEST_REGION_DIR");
	if (!region_dir) {
		if (!mkdtemp(made) || setenv("TEST_REGION_DIR", made, 1) != 0 ||
		    setenv("TALLY_DIR", made, 1) != 0)
			return 1;
		argv[0] = realpath("/proc/self/exe", NULL);
		execute((const char *const *)argv);
		return 1;
	}
	failed = _cmocka_run_group_tests("tests", tests, count, NULL, NULL);
	if (rmdir(region_dir) != 0) {
		fprintf(stderr, "left in %s: regions\n", region_dir);
		return 1;
	}
	return failed;
}

#endif
