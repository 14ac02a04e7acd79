/* SPDX-License-Identifier: Apache-2.0 */
/* `tally check`: each rule at its limit and beyond, in words, as JSON and as an exit status. */
#include <string.h>
#include <unistd.h>

#include "tests/scripted.h"

#define HOLDS(out, ...) CHECK_TALLY(0, out, "", "check", __VA_ARGS__)
#define BROKEN(out, ...) check_broken(LIST("check", __VA_ARGS__), out)
#define BAD(err, ...) CHECK_TALLY(2, "", err, "check", __VA_ARGS__)

/* That rule is broken, and no other line is there. */
static void check_broken(const char *const *words, const char *line)
{
	struct outcome outcome = check_tally(words, 7, NULL, "");

	assert_string_equal(outcome.out, text("%s\n", line));
}

static struct job start_holding(void)
{
	struct job job = script_start(NULL);

	job_do(&job, "describe 1 chip n300 0000:01:00.0 0 1000");
	job_do(&job, "alloc 1 0 1 500");
	job_do(&job, "alloc 1 1 2 36");
	job_do(&job, "alloc 0 2 3 1000");
	return job;
}

static void max_live_limits_all_that_is_chosen_together(void **state)
{
	struct job job = start_holding();

	(void)state;
	HOLDS("1 rule holds\n", "--max-live", "1536");
	BROKEN("--max-live 1535: 1.50 KiB (1,536 bytes) held, 1.50 KiB (1,535 bytes) allowed",
	       "--max-live", "1535");
	HOLDS("1 rule holds\n", "--max-live", "536", "-d", "1");
	BROKEN("--max-live 535: 536 B held, 535 B allowed", "--max-live", "535", "-d", "chip");
	HOLDS("1 rule holds\n", "--max-live", "36", "-P", "l1");
	BROKEN("--max-live 35: 36 B held, 35 B allowed", "--max-live", "35", "-P", "1");
	BROKEN("--max-live 0: 536 B held, 0 B allowed", "--max-live", "0", "-d", "1", "-p",
	       pid_of(&job));
	HOLDS("2 rules hold\n", "--max-live", "1.5KiB", "--max-live", "1:dram=500");
	/* each by a place of its own, within that of the filters */
	BROKEN("--max-live 1:dram=499: 500 B held, 499 B allowed", "--max-live", "1:dram=499",
	       "--max-live", ":l1=36", "--max-live", "1=536", "--max-live", "chip=536",
	       "--max-live", "0000:01:00.0:=536", "--max-live", "0000:01:00.0:dram=500");
	BROKEN("--max-live :l1=35: 36 B held, 35 B allowed", "--max-live", ":l1=35", "-d", "1");
	CHECK_TALLY(3, "", "no device \"0\"", "check", "--max-live", "0=1", "-d", "1");
	CHECK_TALLY(3, "", "no device \"7\"", "check", "--max-live", "7=1");
	CHECK_TALLY(3, "", "no pool \"l2\"", "check", "--max-live", "1:l2=1");
	job_end_well(&job);
}

static void max_live_is_of_the_living(void **state)
{
	struct job job = start_holding(), dead = start_holding();

	(void)state;
	BROKEN("--max-live 1000: 1.05 KiB (1,072 bytes) held, 0.98 KiB (1,000 bytes) allowed",
	       "--max-live", "1000", "-d", "1");
	job_kill(&dead);
	HOLDS("1 rule holds\n", "--max-live", "536", "-d", "1");
	HOLDS("1 rule holds\n", "--max-live", "0", "-p", text("%d", dead.pid));
	job_end_well(&job);
	remove_regions();
}

static void max_percent_is_of_each_pool_that_is_chosen(void **state)
{
	struct job job = start_holding();

	(void)state;
	HOLDS("1 rule holds\n", "--max-percent", "50", "-d", "1", "-P", "dram");
	HOLDS("1 rule holds\n", "--max-percent", "1:dram=50%");
	BROKEN("--max-percent 1:dram=49.9: device 1 dram: 500 B held of 0.98 KiB (1,000 bytes), "
	       "50.0 %",
	       "--max-percent", "1:dram=49.9");
	/* of several the fullest is told */
	job_do(&job, "describe 2 other n300 serial-2 0 1000");
	job_do(&job, "alloc 2 0 9 700");
	BROKEN("--max-percent :dram=40: device 2 dram: 700 B held of 0.98 KiB (1,000 bytes), "
	       "70.0 %; 1 more above it",
	       "--max-percent", ":dram=40");
	HOLDS("1 rule holds\n", "--max-percent", "70", "-P", "dram");
	job_end_well(&job);
}

static void percentage_of_an_unknown_capacity_does_not_hold(void **state)
{
	struct job job = start_holding();

	(void)state;
	BROKEN("--max-percent 100: cannot be judged: the capacity of device 0 system is unknown; "
	       "choose with -d and -P what was described",
	       "--max-percent", "100");
	BROKEN("--max-percent 1:l1=100: cannot be judged: the capacity of device 1 l1 is unknown; "
	       "choose with -d and -P what was described",
	       "--max-percent", "1:l1=100");
	/* what is known to be broken is said first */
	BROKEN("--max-percent 10: device 1 dram: 500 B held of 0.98 KiB (1,000 bytes), 50.0 %",
	       "--max-percent", "10");
	job_end_well(&job);
}

static void balance_below_zero_does_not_hold(void **state)
{
	struct job job = start_holding();
	char *words = text("cannot be judged: process %d (scripted) freed more on device 1 dram "
			   "than it was seen to allocate; was it armed late?",
			   job.pid);

	(void)state;
	job_do(&job, "free 1 0 77 501");
	BROKEN(text("--max-live 5000: %s", words), "--max-live", "5000");
	BROKEN(text("--max-percent 1:dram=5: %s", words), "--max-percent", "1:dram=5");
	HOLDS("1 rule holds\n", "--max-live", "5000", "-P", "l1");
	job_end_well(&job);
}

static void no_leaks_tells_who_left_what(void **state)
{
	struct job job = start_holding(), dead = start_holding(), clean = script_start(NULL);
	struct job kept = script_start("TALLY_KEEP=1");

	(void)state;
	job_do(&clean, "alloc 1 0 1 10");
	job_do(&clean, "free 1 0 1 10");
	HOLDS("1 rule holds\n", "--no-leaks");
	job_kill(&clean);
	HOLDS("1 rule holds\n", "--no-leaks");
	job_kill(&dead);
	BROKEN(text("--no-leaks: process %d (scripted) left 1.50 KiB (1,536 bytes) in 3 "
		    "allocations",
		    dead.pid),
	       "--no-leaks");
	BROKEN(text("--no-leaks: process %d (scripted) left 36 B in 1 allocation", dead.pid),
	       "--no-leaks", "-P", "l1");
	HOLDS("1 rule holds\n", "--no-leaks", "-p", pid_of(&job));
	/* an exit without freeing is a leak as well, where it is still to be seen */
	job_do(&kept, "alloc 5 0 1 64");
	job_end_well(&kept);
	BROKEN(text("--no-leaks: process %d (scripted) left 64 B in 1 allocation", kept.pid),
	       "--no-leaks", "-d", "5");
	job_end_well(&job);
	remove_regions();
}

static void no_leaks_lists_a_few_of_many(void **state)
{
	struct outcome outcome;

	(void)state;
	leave_dead(7);
	outcome = CHECK_TALLY(7, NULL, "", "check", "--no-leaks");
	assert_int_equal(count_of(outcome.out, " left 74 B in 1 allocation"), 5);
	check_contains(outcome.out, ", and 2 more processes did\n");
	assert_int_equal(count_of(outcome.out, "\n"), 1);
	remove_regions();
}

static void max_lost_counts_records(void **state)
{
	struct job job = script_start("TALLY_RING=0");

	(void)state;
	job_do(&job, "alloc 1 0 1 1 1200");
	HOLDS("1 rule holds\n", "--max-lost", "1200");
	BROKEN("--max-lost 1199: 1,200 records lost, 1,199 allowed", "--max-lost", "1199");
	BROKEN("--max-lost 0: 1,200 records lost, 0 allowed", "--max-lost", "0", "-p", pid_of(&job),
	       "--max-live", "1200");
	job_end_well(&job);
}

static void one_line_for_each_rule_that_does_not_hold(void **state)
{
	struct job job = start_holding();
	struct outcome outcome = CHECK_TALLY(7, NULL, "", "check", "--max-live", "9", "--no-leaks",
					     "--max-live", "1GiB", "--max-percent", "1:dram=1",
					     "--max-lost", "0");

	(void)state;
	assert_int_equal(count_of(outcome.out, "\n"), 2);
	check_contains(outcome.out, "--max-live 9: ");
	check_contains(outcome.out, "--max-percent 1:dram=1: ");
	job_end_well(&job);
}

static void what_was_refused_makes_rules_undecided(void **state)
{
	struct job job = start_holding();
	char *path = text("%s/tally-%u-1-0123456789abcdef", test_dir, (unsigned int)geteuid());
	static const char *const rules[][2] = { { "--max-live", "1GiB" },
						{ "--max-percent", "1:dram=90" },
						{ "--no-leaks", NULL },
						{ "--max-lost", "5" } };
	size_t i;

	(void)state;
	write_file(path, "no region at all", 16);
	for (i = 0; i < COUNT(rules); i++)
		CHECK_TALLY(7, "cannot be judged: not exact: 1 file was refused",
			    "0123456789abcdef", "check", rules[i][0], rules[i][1]);
	/* what is broken by what is seen is broken */
	CHECK_TALLY(7, "--max-live 5: 1.50 KiB (1,536 bytes) held", NULL, "check", "--max-live",
		    "5");
	assert_int_equal(unlink(path), 0);
	job_end_well(&job);
}

static void json_has_all_rules(void **state)
{
	struct job job = start_holding();
	struct outcome outcome = CHECK_TALLY(7, NULL, "", "check", "--json", "--max-live",
					     "chip=1KiB", "--max-percent", "1:dram=10.5",
					     "--max-percent", "1:l1=99", "--no-leaks", "--max-lost",
					     "3");
	json_t *json = json_parse(outcome.out);

	(void)state;
	assert_string_equal(json_text(json, "schema"), "tally.check/1");
	assert_false(json_flag(json, "holds"));
	assert_string_equal(json_text(json, "exactness"), "exact");
	assert_int_equal(json_array_size(json_get(json, "rules")), 5);
	assert_string_equal(json_text(json, "rules/0/verdict"), "holds");
	assert_string_equal(json_text(json, "rules/0/device"), "chip");
	assert_int_equal(json_number(json, "rules/0/limit_bytes"), 1024);
	assert_int_equal(json_number(json, "rules/0/live_bytes"), 536);
	assert_string_equal(json_text(json, "rules/1/verdict"), "broken");
	assert_int_equal(json_number(json, "rules/1/live_bytes_high"), 500);
	assert_int_equal(json_number(json, "rules/1/capacity_bytes"), 1000);
	assert_true(json_real_value(json_get(json, "rules/1/limit_percent")) == 10.5);
	check_contains(json_text(json, "rules/1/message"), "50.0 %");
	assert_string_equal(json_text(json, "rules/2/verdict"), "not judged");
	assert_true(json_is_null(json_get(json, "rules/2/capacity_bytes")));
	assert_true(json_is_null(json_get(json, "rules/2/live_bytes")));
	assert_int_equal(json_number(json, "rules/3/abandoned_bytes"), 0);
	assert_int_equal(json_number(json, "rules/4/limit_records"), 3);
	assert_int_equal(json_number(json, "rules/4/lost_records"), 0);
	outcome = CHECK_TALLY(0, NULL, "", "check", "--json", "--no-leaks");
	assert_true(json_flag(json_parse(outcome.out), "holds"));
	job_end_well(&job);
}

static void bad_rules_exit_2(void **state)
{
	static const char *const sizes[] = { "",
					     "-1",
					     "1.5",
					     "1.5B",
					     "KiB",
					     "1 KiB",
					     "1kib",
					     "1K",
					     "1.KiB",
					     ".5MB",
					     "0x10",
					     "1e3",
					     "1iB",
					     "9EiB",
					     "9000PiB",
					     "+1",
					     "1KiBx",
					     "1,5KiB",
					     "99999999999999999999" };
	static const char *const percents[] = { "", "-1", "101", "100.1", "5 %", "x", "1..2" };
	static const char *const counts[] = { "", "-1", "1.5", "1k", "x", "0=1" };
	size_t i;

	(void)state;
	BAD("which rule?", NULL);
	BAD("which rule?", "--json", "-d", "1");
	BAD("--max-live needs a value", "--max-live");
	for (i = 0; i < COUNT(sizes); i++) {
		BAD(text("\"%s\" is no size", sizes[i]), "--max-live", sizes[i]);
		BAD(text("\"%s\" is no size", sizes[i]), "--max-live", text("0:l1=%s", sizes[i]));
	}
	for (i = 0; i < COUNT(percents); i++)
		BAD(text("\"%s\" is no percentage", percents[i]), "--max-percent", percents[i]);
	for (i = 0; i < COUNT(counts); i++)
		BAD(text("\"%s\" is no number of records", counts[i]), "--max-lost", counts[i]);
	BAD("goes DEV, DEV:POOL or :POOL", "--max-live", "=5");
	BAD("goes DEV, DEV:POOL or :POOL", "--max-live", ":=5");
	BAD("\"65536\" is no device", "--max-live", "65536=5");
	BAD("\"256\" is no pool", "--max-percent", "1:256=5");
	BAD("--no-leaks=1", "--no-leaks=1");
}

static void sizes_are_read_as_they_are_meant(void **state)
{
	static const struct {
		const char *typed;
		int64_t bytes;
	} sizes[] = { { "0", 0 },
		      { "4096", 4096 },
		      { "4096B", 4096 },
		      { "64KiB", 65536 },
		      { "1.5GiB", 1610612736 },
		      { "10MB", 10000000 },
		      { "2kB", 2000 },
		      { "2KB", 2000 },
		      { "0.3KiB", 307 },
		      { "2TiB", 2ll << 40 },
		      { "1.25TB", 1250000000000 },
		      { "8191PiB", 8191ll << 50 } };
	struct job job = start_holding();
	struct outcome outcome;
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(sizes); i++) {
		outcome = TALLY("check", "--json", "--max-live", sizes[i].typed);
		assert_int_equal(json_number(json_parse(outcome.out), "rules/0/limit_bytes"),
				 sizes[i].bytes);
	}
	job_end_well(&job);
}

static void nothing_to_judge_exits_3(void **state)
{
	(void)state;
	CHECK_TALLY(3, "", "nothing to show", "check", "--no-leaks");
	CHECK_TALLY(3, "", "nothing to show", "check", "--json", "--no-leaks");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(max_live_limits_all_that_is_chosen_together),
		TEST(max_live_is_of_the_living),
		TEST(max_percent_is_of_each_pool_that_is_chosen),
		TEST(percentage_of_an_unknown_capacity_does_not_hold),
		TEST(balance_below_zero_does_not_hold),
		TEST(no_leaks_tells_who_left_what),
		TEST(no_leaks_lists_a_few_of_many),
		TEST(max_lost_counts_records),
		TEST(one_line_for_each_rule_that_does_not_hold),
		TEST(what_was_refused_makes_rules_undecided),
		TEST(json_has_all_rules),
		TEST(bad_rules_exit_2),
		TEST(sizes_are_read_as_they_are_meant),
		TEST(nothing_to_judge_exits_3),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
