/* SPDX-License-Identifier: Apache-2.0 */
/* Ticks to nanoseconds: the rate between a region's start and now. */
#include "consumer/ticks.h"

#include <string.h>
#include <tally/atomic.h>

#include "ring/clock.h"

static uint64_t bits_of(double value)
{
	uint64_t bits;

	memcpy(&bits, &value, sizeof(bits));
	return bits;
}

static double rate_of(const struct ticks *ticks)
{
	/* relaxed: a number that stands by itself */
	uint64_t bits = tally_load_relaxed(&ticks->rate);
	double value;

	memcpy(&value, &bits, sizeof(value));
	return value;
}

void ticks_open(struct ticks *ticks, const struct tally_region_header *header)
{
	*ticks = (struct ticks){
		.clock = header->clock,
		.start_ticks = header->start_ticks,
		.start_monotonic_ns = header->start_monotonic_ns,
		.start_realtime_ns = header->start_realtime_ns,
		.rate = bits_of(1),
	};
}

uint64_t ticks_measure(struct ticks *ticks)
{
	struct clock_reading now = clock_read_all((enum tally_clock)ticks->clock);

	if (ticks->clock != TALLY_CLOCK_MONOTONIC && now.ticks > ticks->start_ticks &&
	    now.monotonic_ns > ticks->start_monotonic_ns)
		/* relaxed: as above */
		tally_store_relaxed(&ticks->rate,
				    bits_of((double)(now.monotonic_ns - ticks->start_monotonic_ns) /
					    (double)(now.ticks - ticks->start_ticks)));
	return clock_ticks((enum tally_clock)ticks->clock);
}

uint64_t ticks_in(const struct ticks *ticks, uint64_t ns)
{
	double rate = ticks->clock == TALLY_CLOCK_MONOTONIC ? 1 : rate_of(ticks);
	double count = rate > 0 ? (double)ns / rate : 0;

	return count < 1e18 ? (uint64_t)count : 0;
}

void ticks_follow(struct ticks *ticks, const struct ticks *measured)
{
	/* relaxed, both: as above */
	tally_store_relaxed(&ticks->rate, tally_load_relaxed(&measured->rate));
}

/* start + distance, within what 64 bits hold. */
static uint64_t moved(uint64_t start, double distance)
{
	if (distance >= 0)
		return distance >= (double)(UINT64_MAX - start) ? UINT64_MAX
								: start + (uint64_t)distance;
	return -distance >= (double)start ? 0 : start - (uint64_t)-distance;
}

struct when ticks_when(const struct ticks *ticks, uint64_t at)
{
	double rate = ticks->clock == TALLY_CLOCK_MONOTONIC ? 1 : rate_of(ticks);
	uint64_t start = ticks->clock == TALLY_CLOCK_MONOTONIC ? ticks->start_monotonic_ns
							       : ticks->start_ticks;
	double distance = at >= start ? (double)(at - start) * rate : -(double)(start - at) * rate;
	struct when when = { moved(ticks->start_monotonic_ns, distance),
			     moved(ticks->start_realtime_ns, distance) };

	return when;
}
