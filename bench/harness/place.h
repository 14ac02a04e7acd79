/* SPDX-License-Identifier: Apache-2.0 */
/* How near two processors are to each other, by the round trip of a cache line between them.
 *
 * What a shared line costs depends on it, and on a virtual machine it changes within minutes. So
 * each sample across processors stands between two ping-pongs and is filed under the round trip
 * they show; it is dropped when they disagree.
 */
#ifndef BENCH_HARNESS_PLACE_H
#define BENCH_HARNESS_PLACE_H

#include <stdint.h>

enum place {
	PLACE_NONE, /* one processor did it all, or nobody looked */
	PLACE_SAME_CORE,
	PLACE_NEAR,
	PLACE_FAR,
	PLACE_REMOTE,
	PLACES,
};

#define PLACE_AGREE 1.5 /* ping-pongs before and after differ by less than this factor */

/* The place that two round trips, in nanoseconds, show; PLACES when they disagree. */
static inline enum place place_between(double before_ns, double after_ns)
{
	double high = before_ns > after_ns ? before_ns : after_ns;
	double low = before_ns > after_ns ? after_ns : before_ns;

	if (high > low * PLACE_AGREE)
		return PLACES;
	return high < 45    ? PLACE_SAME_CORE
	       : high < 150 ? PLACE_NEAR
	       : high < 300 ? PLACE_FAR
			    : PLACE_REMOTE;
}

/* As JSON names it; NULL: none. */
static inline const char *place_name(enum place place)
{
	static const char *const names[PLACES] = { NULL, "same core", "near", "far", "remote" };

	return names[place];
}

/* As people are told. */
static inline const char *place_words(enum place place)
{
	static const char *const words[PLACES] = { "", "round trip below 45 ns", "45 to 150 ns",
						   "150 to 300 ns", "over 300 ns" };

	return words[place];
}

#endif
