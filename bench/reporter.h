/* SPDX-License-Identifier: Apache-2.0 */
/* A way to report an allocation, as bench/event.c sees it: one file in bench/reporters/ is one.
 *
 * The file defines `const struct reporter reporter`, and is built, loaded or absent as a contender
 * is (bench/contender.h). It says how one event is reported; the loops around that are here, and
 * are inlined with it. Everybody is told the same: device, pool, buffer id, size, and whether it is
 * an allocation or a free. What arrives is counted by who receives it, and must be what was
 * reported.
 */
#ifndef BENCH_REPORTER_H
#define BENCH_REPORTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/cdefs.h>
#include <tally/atomic.h>
#include <time.h>

#include "bench/contender.h"
#include "bench/harness/spread.h"

#ifdef __cplusplus
extern "C" {
#endif

/* ---- What is reported ------------------------------------------------------------------------ */

#define EVENT_DEVICE 0u
#define EVENT_POOL 0u /* DRAM, for all of them */

/* The n-th buffer. */
static inline uint64_t event_id(uint64_t n)
{
	return (n + 1) << 12;
}

static inline uint64_t event_size(uint64_t n)
{
	return 64 + n % 1024 * 64;
}

/* What has been reported, or has arrived. */
struct taken {
	uint64_t events;
	uint64_t bytes; /* of allocations, less those of frees */
	uint64_t ids;	/* added up, over both */
};

static inline void taken_add(struct taken *taken, bool freed, uint64_t id, uint64_t size)
{
	taken->events++;
	taken->bytes += freed ? -size : size;
	taken->ids += id;
}

/* Pairs, an allocation and its free, and in the end an allocation that stays. */
struct burst {
	uint64_t first;			/* buffer */
	uint64_t pairs;			/* a buffer each; then one more buffer */
	void (*before)(void *reporter); /* with ticks: called before each event; may be NULL */
	void *reporter;
	uint32_t *ticks; /* NULL; or how long each event takes is put here */
};

typedef void (*report_one)(void *self, bool freed, uint64_t id, uint64_t size);

static __always_inline void burst_time_one(struct burst *burst, void *self, report_one one,
					   bool freed, uint64_t n)
{
	uint64_t start;

	if (burst->before)
		burst->before(burst->reporter);
	start = stamp();
	one(self, freed, event_id(n), event_size(n));
	*burst->ticks++ = (uint32_t)(stamp() - start);
}

/* Reports a burst by `one`. */
static __always_inline void burst_run(struct burst *burst, void *self, report_one one)
{
	uint64_t last = burst->first + burst->pairs, n;

	if (burst->ticks) {
		for (n = burst->first; n < last; n++) {
			burst_time_one(burst, self, one, false, n);
			burst_time_one(burst, self, one, true, n);
		}
		burst_time_one(burst, self, one, false, last);
		return;
	}
	for (n = burst->first; n < last; n++) {
		one(self, false, event_id(n), event_size(n));
		one(self, true, event_id(n), event_size(n));
	}
	one(self, false, event_id(last), event_size(last));
}

/* ---- The far side ---------------------------------------------------------------------------- */

/* What the two processes share of a reporter. */
struct far {
	uint64_t ready; /* the far side sets it to 1: it listens */
	uint64_t until; /* events that will have been reported when the turn ends */
	uint64_t over;	/* 1: they have been */
	struct taken taken __attribute__((aligned(128)));
};

#define FAR_PATIENCE_S 5 /* without a new event, then they are lost */

/* Whether there is more to come; false when all has come, or nothing for long. */
static inline bool far_more(const struct far *far)
{
	static uint64_t seen;
	static time_t since_s;
	struct timespec now;

	if (far->taken.events >= tally_load_acquire(&far->until))
		return false;
	clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
	if (far->taken.events != seen || !tally_load_acquire(&far->over)) {
		seen = far->taken.events;
		since_s = now.tv_sec;
	}
	return now.tv_sec - since_s <= FAR_PATIENCE_S;
}

/* ---- A reporter ------------------------------------------------------------------------------ */

#define REPORTER_EVENTS 1u /* its other side can say how many events came, */
#define REPORTER_BYTES 2u  /* their bytes, */
#define REPORTER_IDS 4u	   /* their ids */
#define REPORTER_OFF 8u	   /* nothing is to arrive */
#define REPORTER_NEAR 16u  /* its cost hangs on how near the far side is: filed by placement */

struct reporter {
	const char *what; /* a few words, for people */
	uint32_t can;	  /* REPORTER_... */

	/* What it needs, before the far side is forked: what both use is in shared memory. NULL:
	 * `note` says why. Else `note` may be set to what readers of its figures should know. */
	void *(*make)(const char **note);

	/* Begin and end of a turn, which is a few bursts. NULL: nothing to do. At its end it may
	 * put what it knows to have arrived so far into `taken`. */
	bool (*begin)(void *self);
	void (*end)(void *self, struct taken *taken);

	/* Reports a burst: calls burst_run(). */
	void (*report)(void *self, struct burst *burst);

	/* The far side's turn, in another process on another processor: sets far->ready, takes what
	 * comes and books it in far->taken, as long as far_more(). NULL: there is none. */
	void (*serve)(void *self, struct far *far);

	/* Flushes what an event touches, for a cold cache. NULL: that is not measured. */
	void (*forget)(void *self);

	/* After the last turn. May add what has arrived, likewise. */
	void (*destroy)(void *self, struct taken *taken);
};

extern const struct reporter reporter;

#ifdef __cplusplus
}
#endif

#endif
