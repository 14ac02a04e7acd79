/* SPDX-License-Identifier: Apache-2.0 */
/* Choice of the region's clock, and the system's clocks in nanoseconds. */
#include "ring/clock.h"

#include <time.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

#define READ_TRIES 3

enum tally_clock clock_choose(void)
{
#if defined(__x86_64__)
	unsigned int eax, ebx, ecx, edx;

	if (__get_cpuid(0x80000007, &eax, &ebx, &ecx, &edx) && edx >> 8 & 1)
		return TALLY_CLOCK_TSC;
#elif defined(__aarch64__)
	return TALLY_CLOCK_CNTVCT;
#endif
	return TALLY_CLOCK_MONOTONIC;
}

static uint64_t clock_ns(clockid_t id)
{
	struct timespec now;

	clock_gettime(id, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

uint64_t clock_monotonic_ns(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

uint64_t clock_realtime_ns(void)
{
	return clock_ns(CLOCK_REALTIME);
}

/* Between two of them the thread may be stopped; then it is tried again. */
struct clock_reading clock_read_all(enum tally_clock clock)
{
	struct clock_reading nearest = { 0 };
	uint64_t took = UINT64_MAX;
	int tries;

	for (tries = 0; tries < READ_TRIES; tries++) {
		uint64_t before = clock_ticks(clock);
		uint64_t monotonic_ns = clock_monotonic_ns();
		uint64_t realtime_ns = clock_realtime_ns();
		uint64_t after = clock_ticks(clock);

		if (after - before >= took)
			continue;
		took = after - before;
		nearest = (struct clock_reading){ before + took / 2, monotonic_ns, realtime_ns };
	}
	return nearest;
}
