/* SPDX-License-Identifier: Apache-2.0 */
/* Ten thousand producers are started and killed: few regions are left, and who watched them all has
 * grown by nothing. */
#include <dirent.h>
#include <malloc.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <tally/consumer.h>
#include <unistd.h>

#include "tests/support.h"
#include "tests/watch.h"

#define PRODUCERS 10000
#define AT_ONCE 8
#define MARK 1000
#define KEPT 16

/* Living, dead ones that nobody has pruned yet, and what is shown for the last time. */
#define SHOWN_MAX (KEPT + 6 * AT_ONCE)

struct footprint {
	size_t descriptors, mappings, heap;
};

/* Without a trace of its own, as read_file() would leave. */
static size_t lines_of(const char *path)
{
	FILE *file = fopen(path, "re");
	size_t count = 0;
	int c;

	assert_non_null(file);
	while ((c = fgetc(file)) != EOF)
		count += c == '\n';
	fclose(file);
	return count;
}

static struct footprint measure(void)
{
	struct footprint now = { .mappings = lines_of("/proc/self/maps") };
	DIR *fds = opendir("/proc/self/fd");

	assert_non_null(fds);
	while (readdir(fds))
		now.descriptors++;
	closedir(fds);
	now.heap = mallinfo2().uordblks;
	return now;
}

/* Looks until all that is shown has ended; then nothing of the living is held any more. */
static size_t settle(struct tally_consumer *consumer)
{
	const struct tally_snapshot *now;
	size_t i, shown, running = 1;
	uint64_t end_ns = now_ns() + DEADLINE_S * 1000000000ull;

	while (running > 0) {
		assert_true(now_ns() < end_ns);
		now = watch_look(consumer);
		watch_check(now);
		shown = now->process_count;
		for (i = 0, running = 0; i < shown; i++) {
			running += now->processes[i].end == TALLY_RUNNING;
			if (now->processes[i].end != TALLY_RUNNING)
				assert_int_equal(now->processes[i].events, 11);
		}
		watch_put(now);
	}
	now = watch_look(consumer); /* without what has left */
	shown = now->process_count;
	watch_put(now);
	return shown;
}

/* Waits for a line while a thread looks; what it shows stays bounded. */
static void watch_until_line(struct tally_consumer *consumer, const struct job *job, long expected)
{
	struct pollfd ready = { .fd = job->from, .events = POLLIN };
	uint64_t end_ns = now_ns() + DEADLINE_S * 1000000000ull;
	size_t shown_max = 0;
	char *line;

	assert_int_equal(tally_consumer_start(consumer, 5), 0);
	while (poll(&ready, 1, 0) == 0) {
		const struct tally_snapshot *now = watch_get(consumer);

		assert_true(now_ns() < end_ns);
		watch_check(now);
		if (now->process_count > shown_max)
			shown_max = now->process_count;
		watch_put(now);
		pause_a_moment();
	}
	line = job_line(job);
	assert_int_equal(tally_consumer_stop(consumer), 0);
	assert_int_equal(atol(line), expected);
	assert_in_range(shown_max, 1, SHOWN_MAX);
}

static void ten_thousand_killed_producers_leave_sixteen_regions_and_no_other_trace(void **state)
{
	struct command command = {
		.argv = LIST(prog("mortal"), text("%d", PRODUCERS), text("%d", AT_ONCE),
			     text("%d", MARK)),
		.env = LIST("TALLY=1"),
	};
	struct job job = job_start(&command);
	struct tally_consumer *consumer = watch_pid(0);
	struct footprint first, last;
	long killed;

	(void)state;
	for (killed = MARK; killed <= PRODUCERS; killed += MARK) {
		watch_until_line(consumer, &job, killed);
		if (killed == MARK)
			first = measure();
		if (killed < PRODUCERS)
			job_say(&job, "go on");
	}
	assert_int_equal(regions_left(), KEPT);
	assert_int_equal(settle(consumer), KEPT);
	last = measure();
	/* the first time some still lived, the last time none does */
	assert_true(last.descriptors <= first.descriptors);
	assert_true(last.mappings <= first.mappings + 4); /* arenas of malloc's */
	/* What is in use goes up and down by a snapshot or two; a block for each would be more. */
	assert_true(last.heap <= first.heap + (PRODUCERS - MARK) * 8);
	watch_close(consumer);
	job_say(&job, "end");
	assert_int_equal(job_end(&job).status, 0);
	assert_int_equal(regions_left(), KEPT);
	remove_regions();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(ten_thousand_killed_producers_leave_sixteen_regions_and_no_other_trace),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
