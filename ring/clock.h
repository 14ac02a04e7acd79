/* SPDX-License-Identifier: Apache-2.0 */
/* The region's clock: raw ticks for records, and which counter they come from.
 *
 * The counter is chosen once per region and written in its header: the time-stamp counter where
 * the processor says that it is invariant (CPUID 8000_0007h, EDX bit 8), the generic timer on
 * arm64, else CLOCK_MONOTONIC in nanoseconds. Readers measure the rate; nobody assumes one.
 */
#ifndef RING_CLOCK_H
#define RING_CLOCK_H

#include <stdint.h>
#include <tally/abi.h>

/* The best counter of this machine. */
enum tally_clock clock_choose(void);

/* CLOCK_MONOTONIC and CLOCK_REALTIME in nanoseconds. */
uint64_t clock_monotonic_ns(void);
uint64_t clock_realtime_ns(void);

/* The counter that this kind of processor has, if it is good enough. */
#if defined(__x86_64__)
#define CLOCK_PROCESSOR TALLY_CLOCK_TSC
#elif defined(__aarch64__)
#define CLOCK_PROCESSOR TALLY_CLOCK_CNTVCT
#else
#define CLOCK_PROCESSOR TALLY_CLOCK_MONOTONIC
#endif

/* Ticks of the given counter, not serialised against surrounding instructions. */
static inline uint64_t clock_ticks(enum tally_clock clock)
{
#if defined(__x86_64__)
	if (__builtin_expect(clock == TALLY_CLOCK_TSC, 1))
		return __builtin_ia32_rdtsc();
#elif defined(__aarch64__)
	if (__builtin_expect(clock == TALLY_CLOCK_CNTVCT, 1)) {
		uint64_t ticks;

		__asm__ volatile("mrs %0, cntvct_el0" : "=r"(ticks));
		return ticks;
	}
#endif
	return clock_monotonic_ns();
}

/* All three clocks, as near to each other as a few tries come. */
struct clock_reading {
	uint64_t ticks, monotonic_ns, realtime_ns;
};

struct clock_reading clock_read_all(enum tally_clock clock);

#endif
