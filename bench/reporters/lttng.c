/* SPDX-License-Identifier: Apache-2.0 */
/* LTTng-UST: a tracepoint with the same fields that a session of its own records, into buffers that
 * LTTng's daemon writes to TMPDIR. No context is added to the event but its time.
 *
 * It is no slower than in the field: the buffers are larger than its default, so there is room for
 * each burst, and the daemons run on the other processor. A burst that finds none would wait, where
 * by default it is discarded; so all that has been reported can be told to be in the trace.
 *
 *	package: liblttng-ust-dev
 *	header: lttng/tracepoint.h
 *	flags: -Wno-conversion -Wno-sign-conversion -ldl
 */
#define LTTNG_UST_TRACEPOINT_DEFINE
#define LTTNG_UST_TRACEPOINT_PROBE_DYNAMIC_LINKAGE
#include <dlfcn.h>
#include <stdlib.h>

#include "bench/reporters/lttng_event.h"
#include "bench/reporters/lttng_session.h"

#define ENABLED_TRIES 5000 /* milliseconds until LTTng has told this process */

static struct session session;

static void *make(const char **note)
{
	int i;

	*note = session.words;
	if (!session_start(&session))
		return NULL;
	setenv("LTTNG_HOME", session.words, 1);
	setenv("LTTNG_UST_ALLOW_BLOCKING", "1", 1);
	*note = "the provider is not there, or cannot be loaded";
	if (!dlopen(BUILD_DIR "/bench/reporters/provider/lttng.so", RTLD_NOW | RTLD_GLOBAL))
		return NULL;
	for (i = 0; i < ENABLED_TRIES && !lttng_ust_tracepoint_enabled(tally_bench, traced); i++)
		usleep(1000);
	*note = i < ENABLED_TRIES ? NULL : "the session has not enabled the tracepoint";
	return i < ENABLED_TRIES ? &session : NULL;
}

static __always_inline void one(void *self, bool freed, uint64_t id, uint64_t size)
{
	(void)self;
	lttng_ust_tracepoint(tally_bench, traced, freed, EVENT_DEVICE, EVENT_POOL, id, size);
}

static void report(void *self, struct burst *burst)
{
	burst_run(burst, self, one);
}

static void destroy(void *self, struct taken *taken)
{
	*taken = session_count(self);
}

const struct reporter reporter = {
	.what = "LTTng-UST tracepoint, recorded by a session",
	.can = REPORTER_EVENTS | REPORTER_BYTES | REPORTER_IDS,
	.make = make,
	.report = report,
	.destroy = destroy,
};
