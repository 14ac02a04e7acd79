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
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench/reporter.h"
#include "bench/reporters/lttng_event.h"

#define ENABLED_TRIES 5000 /* milliseconds until LTTng has told this process */

static FILE *to, *from; /* of the script that keeps the session */
static pid_t script;
static char words[256];

static bool start(void)
{
	int in[2], out[2];

	if (pipe2(in, O_CLOEXEC) != 0 || pipe2(out, O_CLOEXEC) != 0)
		return false;
	script = fork();
	if (script == 0) {
		dup2(in[0], STDIN_FILENO);
		dup2(out[1], STDOUT_FILENO);
		execl(SOURCE_DIR "/bench/reporters/lttng.sh", "lttng.sh", (char *)NULL);
		_exit(127);
	}
	close(in[0]);
	close(out[1]);
	to = fdopen(in[1], "w");
	from = fdopen(out[0], "r");
	return script > 0 && to && from && fgets(words, sizeof(words), from);
}

static void *make(const char **note)
{
	int i;

	*note = words;
	strcpy(words, "bench/reporters/lttng.sh cannot be run");
	if (!start())
		return NULL;
	words[strcspn(words, "\n")] = '\0';
	if (strncmp(words, "home ", 5) != 0)
		return NULL;
	setenv("LTTNG_HOME", words + 5, 1);
	setenv("LTTNG_UST_ALLOW_BLOCKING", "1", 1);
	if (!dlopen(BUILD_DIR "/bench/reporters/provider/lttng.so", RTLD_NOW | RTLD_GLOBAL)) {
		snprintf(words, sizeof(words), "the provider cannot be loaded: %s", dlerror());
		return NULL;
	}
	for (i = 0; i < ENABLED_TRIES && !lttng_ust_tracepoint_enabled(tally_bench, traced); i++)
		usleep(1000);
	*note = i < ENABLED_TRIES ? NULL : "the session has not enabled the tracepoint";
	return i < ENABLED_TRIES ? words : NULL;
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

/* The script adds up the trace. */
static void destroy(void *self, struct taken *taken)
{
	unsigned long long events = 0, bytes = 0, ids = 0;

	(void)self;
	fprintf(to, "count\n");
	fclose(to);
	if (fscanf(from, "%llu %llu %llu", &events, &bytes, &ids) == 3)
		*taken = (struct taken){ .events = events, .bytes = bytes, .ids = ids };
	fclose(from);
	waitpid(script, NULL, 0);
}

const struct reporter reporter = {
	.what = "LTTng-UST tracepoint, recorded by a session",
	.can = REPORTER_EVENTS | REPORTER_BYTES | REPORTER_IDS,
	.make = make,
	.report = report,
	.destroy = destroy,
};
