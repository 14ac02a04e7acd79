/* SPDX-License-Identifier: Apache-2.0 */
/* `tally events`: what is written of a real producer, as it comes, and how it ends. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/scripted.h"

/* All kinds of records. */
static struct job start_working(void)
{
	struct job job = script_start(NULL);

	job_do(&job, "describe 1 chip n300 serial-1 0 100000");
	job_do(&job, "name 9 scratch");
	job_do(&job, "tag layer-1");
	job_do(&job, "alloc 1 0 16 2048");
	job_do(&job, "alloc 2 9 48 700");
	job_do(&job, "untag");
	job_do(&job, "mark epoch");
	job_do(&job, "free 1 0 16 2048");
	job_do(&job, "failed 1 1 5000");
	job_do(&job, "thread alloc 1 1 80 33");
	job_do(&job, "reset 2 9");
	return job;
}

#define RECORDS 8 /* of these */

/* A line's words from the kind on. */
static char *words_of(const char *line, const struct job *job)
{
	char *squeezed = row(text("%s", line), "");
	char *pid = text(" %d ", job->pid);
	char *at = strstr(squeezed, pid);

	assert_int_equal(strlen(strtok(text("%s", squeezed), " ")), strlen("hh:mm:ss.nnnnnnnnn"));
	assert_non_null(at);
	at += strlen(pid);
	return strchr(at, ' ') + 1; /* behind the thread */
}

static void each_record_is_a_line(void **state)
{
	static const char *const expected[] = {
		"device 1 - - -",
		"alloc 1 dram 0x10 2048 layer-1",
		"alloc 2 scratch 0x30 700 layer-1",
		"mark - - - - epoch",
		"free 1 dram 0x10 2048",
		"alloc_failed 1 l1 - 5000",
		"alloc 1 l1 0x50 33",
		"pool_reset 2 scratch - 700",
	};
	struct job job = start_working();
	struct outcome outcome = CHECK_TALLY(0, NULL, "", "events", "-n", text("%d", RECORDS));
	char *rest = outcome.out;
	size_t i;

	(void)state;
	assert_int_equal(COUNT(expected), RECORDS);
	for (i = 0; i < RECORDS; i++)
		assert_string_equal(words_of(strsep(&rest, "\n"), &job), expected[i]);
	assert_string_equal(rest, "");
	job_end_well(&job);
}

static void json_has_an_object_a_line(void **state)
{
	struct job job = start_working();
	struct outcome outcome = CHECK_TALLY(0, NULL, "", "events", "--json", "--count", "8");
	char *path = text("%s/events.ndjson", test_tmp), *rest = outcome.out;
	struct outcome validated;
	json_t *events[RECORDS];
	size_t i;

	(void)state;
	write_file(path, outcome.out, outcome.out_size);
	validated = RUN(SOURCE_DIR "/tests/schemas/validate.py", "--strict", "event", path);
	if (validated.status != 0)
		fail_msg("%s%s", validated.out, validated.err);
	for (i = 0; i < RECORDS; i++) {
		events[i] = json_parse(strsep(&rest, "\n"));
		assert_int_equal(json_number(events[i], "pid"), job.pid);
		assert_string_equal(json_text(events[i], "comm"), "scripted");
		if (i > 0)
			assert_true(strcmp(json_text(events[i], "time"),
					   json_text(events[i - 1], "time")) >= 0);
	}
	assert_string_equal(rest, "");
	assert_string_equal(json_text(events[1], "kind"), "alloc");
	assert_int_equal(json_number(events[1], "device"), 1);
	assert_string_equal(json_text(events[1], "pool"), "dram");
	assert_string_equal(json_text(events[1], "buffer_id"), "0x10");
	assert_int_equal(json_number(events[1], "size_bytes"), 2048);
	assert_string_equal(json_text(events[1], "tag"), "layer-1");
	assert_int_equal(json_number(events[1], "tid"), job.pid);
	assert_true(json_is_null(json_get(events[0], "pool")));
	assert_true(json_is_null(json_get(events[3], "device")));
	assert_string_equal(json_text(events[3], "tag"), "epoch");
	assert_true(json_is_null(json_get(events[4], "tag")));
	assert_true(json_is_null(json_get(events[5], "buffer_id")));
	assert_int_not_equal(json_number(events[6], "tid"), job.pid);
	job_end_well(&job);
}

static char *shown(const char *const *words, size_t count)
{
	words = list_and(LIST("events", "-n", text("%zu", count)), words);
	return check_tally(words, 0, NULL, "").out;
}
/* The first `count` that are chosen; the last of them is in line with these words. */
#define LAST(count, words, ...) check_contains(shown(LIST(__VA_ARGS__), count), words)

/* A record that comes at the end ends each list: were one too many chosen, it would not be last. */
static void filters_choose_records(void **state)
{
	struct job job = start_working(), other;

	(void)state;
	job_do(&job, "alloc 1 0 999 100000");
	LAST(6, " 0x3e7 ", "-d", "1");
	LAST(6, " 0x3e7 ", "-d", "chip");
	LAST(3, " 0x3e7 ", "-P", "dram");
	LAST(3, " 0x3e7 ", "-P", "0", "-d", "serial-1");
	LAST(2, "pool_reset", "-P", "scratch");
	LAST(4, " 0x3e7 ", "--min-size", "2049", "-d", "1", "--max-size", "100kB", "-P", "l1", "-P",
	     "dram", "--min-size", "2048");
	LAST(1, " 0x3e7 ", "--min-size", "10000");
	LAST(1, " 0x50 ", "--max-size", "33");
	other = script_start(NULL);
	job_do(&other, "alloc 1 0 1 1");
	LAST(1, " 0x1 ", "-p", pid_of(&other));
	LAST(10, " 0x1 ", "-p", pid_of(&other), "-p", pid_of(&job));
	job_end_well(&job);
	job_end_well(&other);
}

static struct job start_following(const char *const *words)
{
	words = list_and(LIST(built("tally"), "events"), words);
	return job_start(&(struct command){ .argv = words });
}
#define FOLLOW(...) start_following(LIST(__VA_ARGS__))

static void records_come_as_they_are_made_until_interrupted(void **state)
{
	struct job job = script_start(NULL), follower = FOLLOW("-d", "1");
	struct outcome outcome;

	(void)state;
	job_do(&job, "alloc 1 0 1 100");
	check_contains(job_line(&follower), " 0x1 ");
	job_do(&job, "alloc 2 0 2 100");
	job_do(&job, "alloc 1 0 3 100");
	check_contains(job_line(&follower), " 0x3 ");
	/* processes come and go */
	job_end_well(&job);
	job = script_start(NULL);
	job_do(&job, "alloc 1 0 4 100");
	check_contains(job_line(&follower), " 0x4 ");
	job_signal(&follower, SIGINT);
	outcome = job_end(&follower);
	assert_int_equal(outcome.status, 130);
	assert_string_equal(outcome.out, "");
	assert_string_equal(outcome.err, "");
	job_end_well(&job);
}

static void nothing_is_waited_for(void **state)
{
	struct job follower = FOLLOW("--json"), job = script_start(NULL);

	(void)state;
	job_do(&job, "alloc 1 0 1 100");
	check_contains(job_line(&follower), "\"buffer_id\":\"0x1\"");
	job_signal(&follower, SIGINT);
	assert_int_equal(job_end(&follower).status, 130);
	job_end_well(&job);
}

/* Nothing of what it did last is missing. */
static void it_ends_with_the_processes_asked_for(void **state)
{
	struct job job = script_start(NULL), other = script_start(NULL), both, one;
	struct outcome outcome;

	(void)state;
	job_do(&job, "alloc 1 0 1 100");
	job_do(&other, "alloc 1 0 2 100");
	one = FOLLOW("-p", pid_of(&job));
	both = FOLLOW("-p", pid_of(&job), "-p", pid_of(&other));
	check_contains(job_line(&one), " 0x1 ");
	job_line(&both);
	job_line(&both);
	job_do(&job, "alloc 1 0 1 8 300");
	job_end_well(&job);
	outcome = job_end(&one);
	assert_int_equal(outcome.status, 0);
	assert_int_equal(count_of(outcome.out, " alloc "), 300);
	assert_string_equal(outcome.err, "");
	job_do(&other, "alloc 1 0 1 8 300");
	job_kill(&other);
	outcome = job_end(&both);
	assert_int_equal(outcome.status, 0);
	assert_int_equal(count_of(outcome.out, " alloc "), 600);
	remove_regions();
}

static void losses_are_told_on_stderr_and_with_strict(void **state)
{
	struct job job = script_start("TALLY_RING=64"), follower;
	struct outcome outcome;

	(void)state;
	job_do(&job, "alloc 1 0 1 100");
	follower = FOLLOW("--strict", "-p", pid_of(&job));
	job_line(&follower);
	job_signal(&follower, SIGSTOP);
	job_do(&job, "alloc 1 0 1 8 1000");
	job_end_well(&job);
	job_signal(&follower, SIGCONT);
	outcome = job_end(&follower);
	assert_int_equal(outcome.status, 6);
	check_contains(outcome.err, " records lost, as they came faster than they were read\n");
	check_contains(outcome.err, " lost in all, ");
	/* what was shown and what was lost is all there was */
	assert_int_equal(strtol(outcome.err + strlen("tally: "), NULL, 10) +
				 (long)count_of(outcome.out, " alloc "),
			 1000);
}

static void reader_that_goes_away_ends_it_quietly(void **state)
{
	struct job job = script_start(NULL);
	struct outcome outcome;

	(void)state;
	job_do(&job, "alloc 1 0 1 64 5");
	/* nothing more comes: it is seen all the same */
	outcome = RUN("bash", "-c", "\"$0\" events | head -n 1 | wc -l; echo ${PIPESTATUS[0]}",
		      built("tally"));
	assert_string_equal(outcome.out, "1\n0\n");
	assert_string_equal(outcome.err, "");
	check_unwritten("events");
	job_end_well(&job);
}

static void bad_words_exit_2_and_what_is_not_there_3(void **state)
{
	(void)state;
	CHECK_TALLY(2, "", "\"x\" is no size like", "events", "--min-size", "x");
	CHECK_TALLY(2, "", "\"\" is no size like", "events", "--max-size", "");
	CHECK_TALLY(2, "", "--min-size is above --max-size", "events", "--min-size", "2KiB",
		    "--max-size", "2000");
	CHECK_TALLY(2, "", "\"0\" is no number of records", "events", "-n", "0");
	CHECK_TALLY(2, "", "\"-1\" is no number of records", "events", "--count", "-1");
	CHECK_TALLY(2, "", "-n needs a value", "events", "-n");
	CHECK_TALLY(2, "", "\"65536\" is no device", "events", "-d", "65536");
	CHECK_TALLY(2, "", "unexpected argument \"more\"", "events", "more");
	CHECK_TALLY(3, "", "has no region", "events", "-p", text("%d", getpid()));
	CHECK_TALLY(3, "", "nothing to show", "events", "-d", "chip");
}

static void names_must_be_known_when_it_starts(void **state)
{
	struct job job = start_working();

	(void)state;
	CHECK_TALLY(3, "", "there is no device \"chap\"", "events", "-d", "chap");
	CHECK_TALLY(3, "", text("process %d has no region", getpid()), "events", "-p", pid_of(&job),
		    "-p", text("%d", getpid()));
	job_end_well(&job);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(each_record_is_a_line),
		TEST(json_has_an_object_a_line),
		TEST(filters_choose_records),
		TEST(records_come_as_they_are_made_until_interrupted),
		TEST(nothing_is_waited_for),
		TEST(it_ends_with_the_processes_asked_for),
		TEST(losses_are_told_on_stderr_and_with_strict),
		TEST(reader_that_goes_away_ends_it_quietly),
		TEST(bad_words_exit_2_and_what_is_not_there_3),
		TEST(names_must_be_known_when_it_starts),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
