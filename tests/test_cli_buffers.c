/* SPDX-License-Identifier: Apache-2.0 */
/* `tally buffers`: what is listed of a real producer, in which order, and what is said of gaps. */
#include <string.h>
#include <unistd.h>

#include "tests/scripted.h"

/* The line of the buffer with this id, blanks as one; NULL when it is not listed. */
static char *line_of(const char *out, const char *id)
{
	char *rest = text("%s", out), *line;

	while ((line = strsep(&rest, "\n")))
		if (strstr(line, text(" %s ", id)))
			return row(text("%s", line + strspn(line, " ")), "");
	return NULL;
}

static json_t *buffers_json(const char *const *words)
{
	words = list_and(LIST("buffers", "--json"), words);
	return json_parse(check_tally(words, 0, NULL, NULL).out);
}
#define BUFFERS(...) buffers_json(LIST(__VA_ARGS__))

static int64_t listed(json_t *json)
{
	assert_int_equal(json_array_size(json_get(json, "buffers")), json_number(json, "listed"));
	return json_number(json, "listed");
}

static const char *id_at(json_t *json, int n)
{
	return json_text(json, text("buffers/%d/buffer_id", n));
}

static struct job start_holding(void)
{
	struct job job = script_start(NULL);

	job_do(&job, "describe 1 chip n300 serial-1 0 100000");
	job_do(&job, "name 9 scratch");
	job_do(&job, "alloc 1 0 16 2048");
	job_do(&job, "tag layer-1");
	job_do(&job, "alloc 1 0 32 100");
	job_do(&job, "alloc 2 9 48 700");
	job_do(&job, "untag");
	job_do(&job, "alloc 1 1 64 99");
	job_do(&job, "free 1 1 64 99");
	job_do(&job, "thread alloc 1 1 80 33");
	return job;
}

static void each_live_buffer_is_a_line_the_largest_first(void **state)
{
	struct job job = start_holding();
	struct outcome outcome = CHECK_TALLY(0, NULL, "", "buffers");
	char *line;

	(void)state;
	assert_int_equal(strncmp(outcome.out, "exact\n", 6), 0);
	assert_string_equal(row(outcome.out + 6, "SIZE"),
			    "SIZE ID DEVICE POOL PID COMMAND THREAD AGE TAG");
	line = line_of(outcome.out, "0x10");
	check_contains(line, text("2.00 KiB 0x10 1 dram %d scripted %d ", job.pid, job.pid));
	line = line_of(outcome.out, "0x20");
	check_contains(line, text("100 B 0x20 1 dram %d scripted %d ", job.pid, job.pid));
	assert_string_equal(line + strlen(line) - 8, " layer-1");
	check_contains(line_of(outcome.out, "0x30"), "700 B 0x30 2 scratch ");
	assert_null(line_of(outcome.out, "0x40"));
	check_contains(line_of(outcome.out, "0x50"), "33 B 0x50 1 l1 ");
	assert_true(strstr(outcome.out, "0x10") < strstr(outcome.out, "0x30"));
	assert_true(strstr(outcome.out, "0x30") < strstr(outcome.out, "0x20"));
	assert_true(strstr(outcome.out, "0x20") < strstr(outcome.out, "0x50"));
	check_contains(outcome.out, "\nlisted 2.81 KiB of 2.81 KiB held, in 4 buffers\n");
	assert_int_equal(count_of(outcome.out, "\n"), 7);
	job_end_well(&job);
	CHECK_TALLY(3, "", "nothing to show", "buffers");
}

static void json_tells_all_of_a_buffer(void **state)
{
	struct job job = start_holding();
	json_t *json = BUFFERS(NULL), *buffer;

	(void)state;
	assert_string_equal(json_text(json, "schema"), "tally.buffers/1");
	assert_string_equal(json_text(json, "exactness"), "exact");
	assert_true(json_flag(json, "ordered"));
	assert_int_equal(listed(json), 4);
	assert_int_equal(json_number(json, "listed_bytes"), 2881);
	assert_int_equal(json_number(json, "live_bytes"), 2881);
	buffer = json_get(json, "buffers/1");
	assert_string_equal(json_text(buffer, "buffer_id"), "0x30");
	assert_int_equal(json_number(buffer, "size_bytes"), 700);
	assert_int_equal(json_number(buffer, "device"), 2);
	assert_string_equal(json_text(buffer, "pool"), "scratch");
	assert_int_equal(json_number(buffer, "pid"), job.pid);
	assert_int_equal(json_number(buffer, "tid"), job.pid);
	assert_string_equal(json_text(buffer, "comm"), "scripted");
	assert_string_equal(json_text(buffer, "tag"), "layer-1");
	assert_false(json_flag(buffer, "ended"));
	assert_false(json_flag(buffer, "unsure"));
	buffer = json_get(json, "buffers/3");
	assert_true(json_is_null(json_get(buffer, "tag")));
	assert_int_not_equal(json_number(buffer, "tid"), job.pid);
	job_end_well(&job);
}

static void filters_choose_buffers(void **state)
{
	struct job job = start_holding(), other = start_holding();
	json_t *json;

	(void)state;
	assert_int_equal(listed(BUFFERS(NULL)), 8);
	json = BUFFERS("-p", pid_of(&other));
	assert_int_equal(listed(json), 4);
	assert_int_equal(json_number(json, "live_bytes"), 2881);
	assert_int_equal(listed(BUFFERS("-p", pid_of(&other), "-p", pid_of(&job))), 8);
	json = BUFFERS("-d", "chip", "-p", pid_of(&job));
	assert_int_equal(listed(json), 3);
	assert_int_equal(json_number(json, "live_bytes"), 2181);
	assert_int_equal(listed(BUFFERS("-P", "dram")), 4);
	assert_int_equal(listed(BUFFERS("-P", "scratch", "-P", "1", "-p", pid_of(&job))), 2);
	assert_int_equal(listed(BUFFERS("-P", "l1", "-d", "2", "-d", "1")), 2);
	CHECK_TALLY(3, "", "there is no device \"7\"", "buffers", "-d", "7");
	CHECK_TALLY(3, "", "there is no pool \"nix\"", "buffers", "--json", "-P", "nix");
	job_end_well(&job);
	job_end_well(&other);
}

static void top_keeps_the_largest_in_order(void **state)
{
	struct job job = script_start(NULL);
	json_t *json;
	int n;

	(void)state;
	for (n = 0; n < 200; n++) /* sizes 1 .. 200, in no order */
		job_do(&job, text("alloc 1 0 %d %d", 1000 + n * 77 % 200, 1 + n * 77 % 200));
	job_do(&job, "alloc 1 0 1 200"); /* as large as one that is older */
	json = BUFFERS("--top", "5");
	assert_int_equal(listed(json), 5);
	assert_string_equal(id_at(json, 0), text("0x%x", 1199));
	assert_string_equal(id_at(json, 1), "0x1");
	for (n = 2; n < 5; n++)
		assert_int_equal(json_number(json, text("buffers/%d/size_bytes", n)), 201 - n);
	assert_int_equal(json_number(json, "live_bytes"), 20300);
	assert_int_equal(json_number(json, "listed_bytes"), 200 + 200 + 199 + 198 + 197);
	json = BUFFERS("--top", "1000");
	assert_int_equal(listed(json), 201);
	for (n = 1; n < 201; n++)
		assert_true(json_number(json, text("buffers/%d/size_bytes", n)) <=
			    json_number(json, text("buffers/%d/size_bytes", n - 1)));
	check_contains(TALLY("buffers", "--top", "1").out,
		       "listed 200 B of 19.8 KiB held, in 1 buffer\n");
	job_end_well(&job);
}

static void older_than_leaves_out_what_is_young(void **state)
{
	struct job job = script_start(NULL);
	uint64_t before_ns, after_ns;
	json_t *json;

	(void)state;
	job_do(&job, "alloc 1 0 1 100");
	before_ns = now_ns();
	WAIT_FOR(now_ns() > before_ns + 300000000);
	job_do(&job, "alloc 1 0 2 200");
	after_ns = now_ns();
	assert_int_equal(listed(BUFFERS("--older-than", "1h")), 0);
	json = BUFFERS("--older-than", "0ms");
	assert_int_equal(listed(json), 2);
	json = BUFFERS("--older-than", "290ms");
	/* the second is as young as the machine is fast */
	if (now_ns() - after_ns < 290000000)
		assert_int_equal(listed(json), 1);
	assert_string_equal(id_at(json, (int)listed(json) - 1), "0x1");
	job_end_well(&job);
}

static void leaks_are_what_the_dead_never_freed(void **state)
{
	struct job job = start_holding(), dead = start_holding();
	json_t *json;

	(void)state;
	assert_int_equal(listed(BUFFERS("--leaks")), 0);
	job_kill(&dead);
	json = BUFFERS("--leaks");
	assert_int_equal(listed(json), 4);
	assert_int_equal(json_number(json, "buffers/0/pid"), dead.pid);
	assert_true(json_flag(json, "buffers/0/ended"));
	assert_int_equal(json_number(json, "live_bytes"), 2881);
	json = BUFFERS(NULL); /* nobody holds it any more */
	assert_int_equal(listed(json), 4);
	assert_int_equal(json_number(json, "buffers/0/pid"), job.pid);
	CHECK_TALLY(0, "listed 2.68 KiB of 2.78 KiB left, in 2 buffers\n", "", "buffers", "--leaks",
		    "-P", "dram", "-P", "scratch", "--top", "2", "--older-than", "0s", "-p",
		    text("%d", dead.pid), "-d", "2", "-d", "1");
	job_end_well(&job);
	remove_regions();
}

/* A ring of 64 records, in which the first buffers' records are gone. */
static void gaps_are_told_on_the_first_line_and_with_strict(void **state)
{
	struct job job = script_start("TALLY_RING=64"), whole = script_start(NULL);
	struct outcome outcome;

	(void)state;
	job_do(&whole, "alloc 1 0 1 100");
	CHECK_TALLY(0, "exact\n", "", "buffers", "--strict");
	job_do(&job, "alloc 1 0 1 10 200");
	outcome = CHECK_TALLY(6, "exact totals: buffer list incomplete since ", "", "buffers",
			      "--strict", "-d", "1");
	assert_int_equal(strncmp(outcome.out, "exact totals: ", 14), 0);
	check_contains(outcome.out, " of 2.05 KiB held, in ");
	assert_non_null(line_of(outcome.out, "0xc8")); /* the latest, the first are missing */
	assert_null(line_of(outcome.out, "0x64"));
	check_contains(line_of(outcome.out, "0xc8"), " (unsure)");
	CHECK_TALLY(6, "\"exactness\":\"exact totals: buffer list incomplete since ", "", "buffers",
		    "--strict", "--json");
	CHECK_TALLY(0, NULL, "", "buffers");
	/* the other process has no gaps */
	CHECK_TALLY(0, "exact\n", "", "buffers", "--strict", "-p", pid_of(&whole));
	job_end_well(&job);
	job_end_well(&whole);
}

/* A million rows go through a bounded memory: more than the table for one of them is no list's. */
static void million_rows_are_written_and_not_held(void **state)
{
	static const char measure[] =
		"import resource, subprocess, sys\n"
		"child = subprocess.Popen(sys.argv[1:], stdout=subprocess.PIPE)\n"
		"rows = sum(b'\"buffer_id\"' in line for line in child.stdout)\n"
		"status = child.wait()\n"
		"print(status, rows, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)\n";
	struct command command = { .env = LIST(text("TALLY_DIR=%s", test_tmp)) };
	int status, rows, all_kib, top_kib;
	struct job job;

	(void)state;
	job = job_start(&(struct command){
		.argv = LIST(prog("scripted")),
		.env = LIST("TALLY=1", "TALLY_RING=1048576", text("TALLY_DIR=%s", test_tmp)) });
	assert_string_equal(job_line(&job), "ready");
	job_do(&job, "alloc 1 0 1 64 1000000");
	command.argv = LIST("/usr/bin/python3", "-c", measure, built("tally"), "buffers", "--json",
			    "--top", "1");
	assert_int_equal(sscanf(run(&command).out, "%d %d %d", &status, &rows, &top_kib), 3);
	assert_int_equal(status, 0);
	assert_int_equal(rows, 1);
	command.argv = LIST("/usr/bin/python3", "-c", measure, built("tally"), "buffers", "--json");
	assert_int_equal(sscanf(run(&command).out, "%d %d %d", &status, &rows, &all_kib), 3);
	assert_int_equal(status, 0);
	assert_int_equal(rows, 1000000);
	/* as text they are 250 MB; what is put in order is held, up to 100,000 of them */
	print_message("%d KiB, %d KiB with --top 1\n", all_kib, top_kib);
	assert_true(all_kib < top_kib + 50000);
	job_end_well(&job);
}

static void reader_that_goes_away_is_no_error(void **state)
{
	struct job job = script_start("TALLY_RING=32768");
	struct outcome outcome;

	(void)state;
	job_do(&job, "alloc 1 0 1 64 20000");
	outcome = RUN("bash", "-c", "\"$0\" buffers | head -n 1; echo ${PIPESTATUS[0]}",
		      built("tally"));
	assert_string_equal(outcome.out, "exact\n0\n");
	assert_string_equal(outcome.err, "");
	check_unwritten("buffers --json");
	job_end_well(&job);
}

static void bad_words_exit_2(void **state)
{
	static const char *const times[] = { "",    "5",    "-1s", "1.s",  "s",
					     "1 s", "1sec", "1M",  "1e3s", "99999999999d" };
	static const char *const tops[] = { "", "0", "-1", "100001", "x", "1k" };
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(times); i++)
		CHECK_TALLY(2, "", text("\"%s\" is no time like", times[i]), "buffers",
			    "--older-than", times[i]);
	for (i = 0; i < COUNT(tops); i++)
		CHECK_TALLY(2, "", text("not \"%s\"", tops[i]), "buffers", "--top", tops[i]);
	CHECK_TALLY(2, "", "\"x\" is no process id", "buffers", "-p", "x");
	CHECK_TALLY(2, "", "unexpected argument \"more\"", "buffers", "more");
	CHECK_TALLY(2, "", "--frob", "buffers", "--frob");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(each_live_buffer_is_a_line_the_largest_first),
		TEST(json_tells_all_of_a_buffer),
		TEST(filters_choose_buffers),
		TEST(top_keeps_the_largest_in_order),
		TEST(older_than_leaves_out_what_is_young),
		TEST(leaks_are_what_the_dead_never_freed),
		TEST(gaps_are_told_on_the_first_line_and_with_strict),
		TEST(million_rows_are_written_and_not_held),
		TEST(reader_that_goes_away_is_no_error),
		TEST(bad_words_exit_2),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
