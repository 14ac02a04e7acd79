/* SPDX-License-Identifier: Apache-2.0 */
/* How many instructions a call takes: repeatable where time is not.
 *
 * The program runs itself under valgrind's callgrind, once for each subject, which counts the
 * instructions between the entry of measured() and its end. The loop around the calls is taken off
 * by that of an empty call. What a counted instruction costs depends on the processor; that there
 * is one more does not.
 */
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <tally/tally.h>
#include <unistd.h>

#include "bench/empty_call.h"
#include "bench/harness/result.h"
#include "ring/lane.h"
#include "ring/region.h"

#define CALLS 65536
#define RING_LOG2 12 /* of the ring that is drained */

static const struct question per_call = {
	.id = "instructions",
	.words = "How many instructions does a call take?",
	.unit = "instructions",
};

/* ---- What is counted ------------------------------------------------------------------------- */

typedef void (*push_call)(uint32_t device, uint32_t pool, uint64_t buffer_id, uint64_t size);

static void call_all(push_call volatile call)
{
	uint64_t i;

	for (i = 0; i < CALLS; i++)
		call(0, TALLY_POOL_DRAM, i, 64);
}

static void call_empty(void)
{
	call_all(empty_call);
}

static void call_alloc(void)
{
	call_all(tally_alloc);
}

static void call_free(void)
{
	call_all(tally_free);
}

static struct {
	struct region region;
	struct lane_writer writer;
	struct lane_writer *lane;
	struct lane_reader reader;
	uint64_t sum;
} drained;

static void add_up(void *arg, const struct tally_record *record)
{
	*(uint64_t *)arg += record->size;
}

static void push_and_drain(bool drain)
{
	const struct lane_target *target = lane_target(drained.lane, 0, TALLY_POOL_DRAM);
	struct lane_event event = { .kind = TALLY_KIND_ALLOC, .size = 64 };
	uint64_t i;

	for (i = 0; i < CALLS; i++) {
		lane_push(drained.lane, target, &event);
		if (drain && (i + 1) % (1u << RING_LOG2) == 0)
			lane_drain(&drained.reader, true, false, add_up, &drained.sum);
	}
}

static void push_only(void)
{
	push_and_drain(false);
}

static void push_then_drain(void)
{
	push_and_drain(true);
}

/* ---- What it needs --------------------------------------------------------------------------- */

static bool prepare_nothing(void)
{
	return true;
}

static bool prepare_lane(void)
{
	return tally_init(NULL) == 0;
}

static bool prepare_totals(void)
{
	return tally_init(&(struct tally_options){ .totals_only = 1 }) == 0;
}

static bool prepare_lossless(void)
{
	return tally_init(&(struct tally_options){ .lossless_ms = 100 }) == 0;
}

/* The only lane is the calling thread's; what is measured runs on another. */
static bool prepare_shared(void)
{
	return tally_init(&(struct tally_options){ .lanes = 1 }) == 0;
}

static bool prepare_drain(void)
{
	struct region_config config = { .dir = getenv("TALLY_DIR"), .ring_log2 = RING_LOG2 };

	if (region_create(&config, &drained.region) != 0)
		return false;
	drained.lane = lane_claim(&drained.region, &drained.writer, 0, 1, 0);
	if (!drained.lane)
		return false;
	drained.reader.ring_log2 = RING_LOG2;
	drained.reader.header = drained.lane->header;
	drained.reader.slots = drained.lane->slots;
	return true;
}

static const struct subject {
	const char *name;
	bool (*prepare)(void);
	void (*calls)(void);
	const char *less; /* the subject whose count is taken off, or NULL */
	bool on_thread;
} subjects[] = {
	{ "empty call", prepare_nothing, call_empty, NULL, false },
	{ "push when off", prepare_nothing, call_alloc, "empty call", false },
	{ "push of an alloc", prepare_lane, call_alloc, "empty call", false },
	{ "push of a free", prepare_lane, call_free, "empty call", false },
	{ "push, totals only", prepare_totals, call_alloc, "empty call", false },
	{ "push, lossless", prepare_lossless, call_alloc, "empty call", false },
	{ "push, shared ring", prepare_shared, call_alloc, "empty call", true },
	{ "push, bare lane", prepare_drain, push_only, NULL, false },
	{ "push and drain, bare lane", prepare_drain, push_then_drain, NULL, false },
};
#define SUBJECTS (sizeof(subjects) / sizeof(subjects[0]))

/* ---- Counting -------------------------------------------------------------------------------- */

/* The one function whose instructions are counted, with all that it calls. */
__attribute__((noinline, noipa)) static void measured(void (*calls)(void))
{
	calls();
}

static void *measure(void *arg)
{
	const struct subject *subject = arg;

	subject->calls(); /* pages, cells and caches of its own */
	measured(subject->calls);
	return NULL;
}

/* What the program does under valgrind. */
static int be_counted(const char *name)
{
	pthread_t thread;
	size_t n;

	for (n = 0; n < SUBJECTS && strcmp(subjects[n].name, name) != 0; n++)
		;
	if (n == SUBJECTS || !subjects[n].prepare())
		return 1;
	if (!subjects[n].on_thread) {
		measure((void *)&subjects[n]);
	} else if (pthread_create(&thread, NULL, measure, (void *)&subjects[n]) != 0 ||
		   pthread_join(thread, NULL) != 0) {
		return 1;
	}
	if (drained.region.base)
		region_discard(&drained.region);
	tally_shutdown();
	return 0;
}

/* Instructions per call; negative: it could not be counted. */
static double count(const struct subject *subject)
{
	char path[4096], command[8192], line[256];
	ssize_t length = readlink("/proc/self/exe", path, sizeof(path) - 1);
	double collected = -1;
	FILE *log;

	if (length < 0)
		return -1;
	path[length] = '\0';
	snprintf(command, sizeof(command),
		 "valgrind --tool=callgrind --toggle-collect=measured --log-fd=1 "
		 "--callgrind-out-file=/dev/null '%s' --be-counted '%s'",
		 path, subject->name);
	log = popen(command, "re");
	if (!log)
		return -1;
	while (fgets(line, sizeof(line), log)) {
		const char *at = strstr(line, "Collected : ");

		if (at)
			collected = strtod(at + 12, NULL);
	}
	return pclose(log) == 0 ? collected / CALLS : -1;
}

static void count_all(void)
{
	double counts[SUBJECTS];
	size_t n, less;

	for (n = 0; n < SUBJECTS; n++) {
		bench_progress("programs under callgrind", n, SUBJECTS);
		counts[n] = count(&subjects[n]);
		if (counts[n] <= 0) {
			bench_fail("%s could not be counted", subjects[n].name);
			continue;
		}
		for (less = 0; less < n; less++)
			if (subjects[n].less && strcmp(subjects[less].name, subjects[n].less) == 0)
				result_value(&per_call, subjects[n].name, NULL,
					     counts[n] - counts[less]);
	}
	result_value(&per_call, "drain of a record", NULL,
		     counts[SUBJECTS - 1] - counts[SUBJECTS - 2]);
	result_note(&per_call, "callgrind, %d calls, the loop around them taken off", CALLS);
}

/* A folder of its own for the regions, so that no other is looked at. */
static bool make_place(char place[32])
{
	snprintf(place, 32, "/dev/shm/bench-of-tally-XXXXXX");
	return mkdtemp(place) && setenv("TALLY_DIR", place, 1) == 0;
}

int main(int argc, char **argv)
{
	char place[32];

	if (argc == 3 && strcmp(argv[1], "--be-counted") == 0)
		return be_counted(argv[2]);
	bench_begin(argc, argv, "instructions");
	if (system("valgrind --version >/dev/null 2>&1") != 0) {
		result_absent(&per_call, "push of an alloc", NULL,
			      "valgrind is not installed (make bench-deps)");
		return bench_end();
	}
	if (!make_place(place)) {
		fprintf(stderr, "bench/instructions: no folder can be made in /dev/shm: %s\n",
			strerror(errno));
		return 1;
	}
	count_all();
	rmdir(place);
	return bench_end();
}
