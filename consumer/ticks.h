/* SPDX-License-Identifier: Apache-2.0 */
/* A region's ticks in nanoseconds.
 *
 * The region's header has one reading of all three clocks; the consumer takes another one of ticks
 * and CLOCK_MONOTONIC each time it reads the region. What lies between is interpolated, so that the
 * error is that of the two readings, however long the region lives; and a header that lies spoils
 * no other region's times. Nothing traps: what a lie comes to is cut off at 0 and 2^64 - 1.
 */
#ifndef CONSUMER_TICKS_H
#define CONSUMER_TICKS_H

#include <stdint.h>
#include <tally/abi.h>

struct ticks {
	uint32_t clock;	      /* enum tally_clock */
	uint64_t start_ticks; /* these three were read together */
	uint64_t start_monotonic_ns, start_realtime_ns;
	uint64_t rate; /* a double: ns per tick; any thread may read it while it is measured anew */
};

struct when {
	uint64_t monotonic_ns, realtime_ns;
};

void ticks_open(struct ticks *ticks, const struct tally_region_header *header);

/* Reads the region's clock, and with it measures the rate. The thread that polls. */
uint64_t ticks_measure(struct ticks *ticks);

/* How many ticks that is. Any thread. */
uint64_t ticks_in(const struct ticks *ticks, uint64_t ns);

/* Takes over the rate measured for another copy of the same region's. The thread that polls. */
void ticks_follow(struct ticks *ticks, const struct ticks *measured);

/* Any thread. */
struct when ticks_when(const struct ticks *ticks, uint64_t at);

#endif
