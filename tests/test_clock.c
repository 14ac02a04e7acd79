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

static void all_clocks_are_read_within_the_call(void **state)
{
	enum tally_clock clocks[] = { clock_choose(), TALLY_CLOCK_MONOTONIC };
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(clocks); i++) {
		uint64_t ticks = clock_ticks(clocks[i]);
		uint64_t monotonic_ns = clock_monotonic_ns();
		uint64_t realtime_ns = clock_realtime_ns();
		struct clock_reading reading = clock_read_all(clocks[i]);

		assert_in_range(reading.ticks, ticks, clock_ticks(clocks[i]));
		assert_in_range(reading.monotonic_ns, monotonic_ns, clock_monotonic_ns());
		assert_in_range(reading.realtime_ns, realtime_ns, clock_realtime_ns());
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(counter_is_the_processors_own_where_that_is_invariant),
		TEST(ticks_ascend_and_move),
		TEST(fallback_counts_nanoseconds_of_the_system),
		TEST(all_clocks_are_read_within_the_call),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
