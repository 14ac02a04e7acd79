/* SPDX-License-Identifier: Apache-2.0 */
/* Choice of the region's clock, and the system's clocks in nanoseconds. */
#include "ring/clock.h"

#include <time.h>
#if defined(__x86_64__)
#include <cpuid.h>
#endif

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
