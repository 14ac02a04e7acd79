/* SPDX-License-Identifier: Apache-2.0 */
/* LTTng-UST: a tracepoint that no session has enabled.
 *
 *	package: liblttng-ust-dev
 *	header: lttng/tracepoint.h
 *	flags: -Wno-conversion -Wno-sign-conversion -ldl
 */
#define LTTNG_UST_TRACEPOINT_DEFINE
#define LTTNG_UST_TRACEPOINT_PROBE_DYNAMIC_LINKAGE
#include "bench/reporter.h"
#include "bench/reporters/lttng_event.h"

static void *make(const char **note)
{
	static int self;

	(void)note;
	return &self;
}

static __always_inline void one(void *self, bool freed, uint64_t id, uint64_t size)
{
	(void)self;
	lttng_ust_tracepoint(tally_bench, untraced, freed, EVENT_DEVICE, EVENT_POOL, id, size);
}

static void report(void *self, struct burst *burst)
{
	burst_run(burst, self, one);
}

static void end(void *self, struct taken *taken)
{
	(void)self;
	taken->events = lttng_ust_tracepoint_enabled(tally_bench, untraced);
}

const struct reporter reporter = {
	.what = "LTTng-UST tracepoint, not enabled",
	.can = REPORTER_OFF,
	.make = make,
	.end = end,
	.report = report,
};
