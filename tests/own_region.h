/* SPDX-License-Identifier: Apache-2.0 */
/* A test's own process as a producer, with a place for its regions that the library has read as it
 * was loaded, and as its own consumer. */
#ifndef TESTS_OWN_REGION_H
#define TESTS_OWN_REGION_H

#include <stdio.h>
#include <stdlib.h>
#include <tally/tally.h>
#include <unistd.h>

#include "tests/support.h"
#include "tests/watch.h"

static const char *region_dir; /* as the library has read it */

/* ThreadSanitizer knows nothing of liburcu's synchronisation; it asks here what to leave out. */
const char *__tsan_default_suppressions(void);

const char *__tsan_default_suppressions(void)
{
	return "race:liburcu\n";
}

static inline struct tally_consumer *watch_self(void)
{
	struct tally_consumer_options options = { .pid = (uint32_t)getpid(),
						  .dir = region_dir,
						  .read_records = true,
						  .from_start = true };
	struct tally_consumer *consumer = NULL;

	assert_int_equal(watch_open(&options, &consumer), 0);
	return consumer;
}

static inline struct tally_status status_now(void)
{
	struct tally_status status;

	assert_int_equal(tally_status(&status), 0);
	return status;
}

/* A test that failed may have left it armed. */
static inline int begin_off(void **state)
{
	if (tally_enabled())
		tally_shutdown();
	return test_begin(state);
}

#define TEST_OFF(name) cmocka_unit_test_setup_teardown(name, begin_off, test_end)

/* main() of such a test; `armed`: TALLY=1 is in its environment. The library reads that as it is
 * loaded: it is set first, and the program begins once more. */
static inline int own_region_main(char **argv, bool armed, const struct CMUnitTest *tests,
				  size_t count)
{
	char made[] = "/dev/shm/test-of-tally-XXXXXX";
	int failed;

	region_dir = getenv("TEST_REGION_DIR");
	if (!region_dir) {
		if (!mkdtemp(made) || setenv("TEST_REGION_DIR", made, 1) != 0 ||
		    setenv("TALLY_DIR", made, 1) != 0 || (armed && setenv("TALLY", "1", 1) != 0))
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
