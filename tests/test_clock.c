/* SPDX-License-Identifier: Apache-2.0 */
/* The region's clock: the counter that is chosen, and the one that every machine has.
 * sanitizers: address; also on: arm64 */
#include <string.h>

#include "ring/clock.h"
#include "tests/support.h"

#if defined(__x86_64__)
/* What the kernel says of the processor. */
static bool processor_has(const char *flag)
{
	char *cpuinfo = read_file("/proc/cpuinfo", NULL);

	return strstr(cpuinfo, text(" %s ", flag)) != NULL;
}
#endif

static void counter_is_the_processors_own_where_that_is_invariant(void **state)
{
	enum tally_clock clock = clock_choose();

	(void)state;
#if defined(__x86_64__)
	assert_int_equal(clock == TALLY_CLOCK_TSC, processor_has("nonstop_tsc"));
#elif defined(__aarch64__)
	assert_int_equal(clock, TALLY_CLOCK_CNTVCT);
#else
	assert_int_equal(clock, TALLY_CLOCK_MONOTONIC);
#endif
	assert_true(clock == CLOCK_PROCESSOR || clock == TALLY_CLOCK_MONOTONIC);
}

static void check_ascends(enum tally_clock clock)
{
	uint64_t before = clock_ticks(clock);
	int i;

	for (i = 0; i < 1000; i++) {
		uint64_t now = clock_ticks(clock);

		assert_true(now >= before);
		before = now;
	}
}

static void ticks_ascend_and_move(void **state)
{
	uint64_t chosen = clock_ticks(clock_choose());
	uint64_t monotonic = clock_ticks(TALLY_CLOCK_MONOTONIC);

	(void)state;
	check_ascends(clock_choose());
	check_ascends(TALLY_CLOCK_MONOTONIC);
	WAIT_FOR(clock_ticks(clock_choose()) > chosen);
	WAIT_FOR(clock_ticks(TALLY_CLOCK_MONOTONIC) > monotonic);
}

static void fallback_counts_nanoseconds_of_the_system(void **state)
{
	uint64_t before = now_ns();
	uint64_t ticks = clock_ticks(TALLY_CLOCK_MONOTONIC);
	uint64_t after = now_ns();

	(void)state;
	assert_in_range(ticks, before, after);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(counter_is_the_processors_own_where_that_is_invariant),
		TEST(ticks_ascend_and_move),
		TEST(fallback_counts_nanoseconds_of_the_system),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
