/* SPDX-License-Identifier: Apache-2.0 */
/* -d, -p and -P: what they choose, the sums of that, and what is said when nothing is there. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/scripted.h"

/* The same options and the same mistakes for each of them. */
static const char *const verbs[][2] = { { "ps", NULL },
					{ "devices", NULL },
					{ "check", "--no-leaks" },
					{ "buffers", NULL },
					{ "events", "-n1" } };
#define VERBS_OF_NOW 4 /* those before events, to which anything may come later */

static struct job one, other;

/* Two processes: on devices 1 and 2, in dram, l1 and a pool with a name of its own. */
static void start_both(void)
{
	one = script_start(NULL);
	other = script_start(NULL);
	job_do(&one, "describe 1 left n300 serial-1 0 1000");
	job_do(&one, "describe 2 right n300 serial-2 0 2000");
	job_do(&one, "name 9 scratch");
	job_do(&one, "alloc 1 0 1 100");
	job_do(&one, "alloc 2 0 2 200");
	job_do(&one, "alloc 2 1 3 30");
	job_do(&one, "alloc 2 9 4 7");
	job_do(&other, "alloc 1 0 1 1000");
	job_do(&other, "alloc 1 1 2 50");
	job_do(&other, "free 1 1 2 50");
}

static void end_both(void)
{
	job_end_well(&one);
	job_end_well(&other);
}

static json_t *ps_json(const char *const *words)
{
	return json_parse(check_tally(list_and(LIST("ps", "--json"), words), 0, NULL, NULL).out);
}
#define PS(...) ps_json(LIST(__VA_ARGS__))

static int64_t live(json_t *json, int64_t device, const char *pool)
{
	return json_number(json_pool(json, device, pool), "live_bytes");
}

static void device_is_chosen_by_number_name_or_stable_id(void **state)
{
	static const char *const words[] = { "2", "right", "serial-2" };
	json_t *json, *process;
	size_t i;

	(void)state;
	start_both();
	for (i = 0; i < COUNT(words); i++) {
		json = PS("-d", words[i]);
		assert_int_equal(json_array_size(json_get(json, "devices")), 1);
		assert_int_equal(live(json, 2, "dram"), 200);
		assert_int_equal(live(json, 2, "l1"), 30);
		assert_int_equal(live(json, 2, "scratch"), 7);
		/* who has nothing there is not shown */
		assert_int_equal(json_array_size(json_get(json, "processes")), 1);
		assert_int_equal(json_processes(json, one.pid, &process), 1);
		assert_int_equal(json_array_size(json_get(process, "devices")), 1);
	}
	json = PS("--device", "1", "-d", "right"); /* any of them */
	assert_int_equal(json_array_size(json_get(json, "devices")), 2);
	assert_int_equal(live(json, 1, "dram"), 1100);
	end_both();
}

static void pool_is_chosen_by_name_or_number(void **state)
{
	json_t *json;

	(void)state;
	start_both();
	json = PS("-P", "l1");
	assert_int_equal(live(json, 1, "l1"), 0);
	assert_int_equal(live(json, 2, "l1"), 30);
	assert_null(json_pool(json, 2, "dram"));
	assert_int_equal(json_array_size(json_get(json, "processes")), 2);
	json = PS("--pool", "scratch");
	assert_int_equal(live(json, 2, "scratch"), 7);
	assert_int_equal(json_array_size(json_get(json, "devices")), 1);
	json = PS("-P", "9");
	assert_int_equal(live(json, 2, "scratch"), 7);
	json = PS("-P", "l1", "-P", "dram", "-d", "2"); /* any of the pools, and that device */
	assert_int_equal(json_array_size(json_get(json, "devices")), 1);
	assert_int_equal(json_object_size(json_get(json, "devices/0/pools")), 2);
	assert_int_equal(json_number(json_pool(json, 2, "dram"), "capacity_bytes"), 2000);
	end_both();
}

/* Two processes give one number two names: each is chosen by its own. */
static void pool_name_is_that_of_the_process(void **state)
{
	struct job first = script_start(NULL), second = script_start(NULL);
	json_t *json, *process;

	(void)state;
	job_do(&first, "name 9 scratch");
	job_do(&first, "alloc 3 9 1 10");
	job_do(&second, "name 9 arena");
	job_do(&second, "alloc 3 9 1 500");
	json = PS("-P", "arena");
	assert_int_equal(json_array_size(json_get(json, "processes")), 1);
	assert_int_equal(json_processes(json, second.pid, &process), 1);
	assert_int_equal(json_number(json_pool(process, 3, "arena"), "live_bytes"), 500);
	assert_int_equal(json_number(json_pool(json, 3, "scratch"), "live_bytes"), 500);
	assert_int_equal(live(PS("-P", "9"), 3, "scratch"), 510);
	job_end_well(&first);
	job_end_well(&second);
}

static void sums_are_those_of_the_chosen_processes(void **state)
{
	struct job third = script_start(NULL);
	json_t *json, *alone, *process;

	(void)state;
	start_both();
	job_do(&third, "alloc 1 0 1 5");
	job_do(&third, "failed 1 0 77");
	json = PS("-p", pid_of(&other), "-p", pid_of(&third));
	assert_int_equal(json_array_size(json_get(json, "processes")), 2);
	assert_int_equal(json_array_size(json_get(json, "devices")), 1);
	assert_sums_equal(json_sums(json_pool(json, 1, "dram")),
			  ((struct test_sums){ 1005, 0, 2, 0, 1 }));
	assert_sums_equal(json_sums(json_pool(json, 1, "l1")),
			  ((struct test_sums){ 50, 50, 1, 1, 0 }));
	assert_int_equal(live(json, 1, "dram"), 1005);
	assert_int_equal(json_number(json_pool(json, 1, "dram"), "live_bytes_high"), 1005);
	assert_int_equal(json_number(json_pool(json, 1, "dram"), "live_allocations"), 2);
	assert_int_equal(json_number(json_pool(json, 1, "dram"), "peak_bytes"), 1005);
	assert_int_equal(json_number(json_pool(json, 1, "dram"), "peak_bytes_high"), 1005);
	assert_int_equal(json_number(json_pool(json, 1, "l1"), "peak_bytes"), 50);
	assert_int_equal(json_number(json, "events_total"), 5);
	/* one of several is what it is alone */
	alone = PS("-p", pid_of(&third));
	assert_int_equal(live(alone, 1, "dram"), 5);
	json = PS("-p", pid_of(&third), "-p", pid_of(&other), "-P", "dram");
	assert_int_equal(json_processes(json, third.pid, &process), 1);
	assert_true(json_equal(json_get(process, "devices/0/pools"),
			       json_get(alone, "processes/0/devices/0/pools")));
	assert_null(json_pool(json, 1, "l1"));
	/* what a chosen one abandoned is no longer held */
	job_kill(&third);
	json = PS("-p", pid_of(&other), "-p", text("%d", third.pid));
	assert_int_equal(live(json, 1, "dram"), 1000);
	assert_int_equal(json_number(json_pool(json, 1, "dram"), "abandoned_bytes_total"), 5);
	end_both();
	remove_regions();
}

static void inherited_memory_counts_once_where_the_parent_is_chosen(void **state)
{
	struct job job = job_start(&(struct command){
		.argv = LIST(built("tally"), "run", "--json", report_path(), "--", "perl", "-e",
			     "my $x = 'x' x 100000; my $pid = fork(); $| = 1; "
			     "print $pid ? \"parent $$ $pid\\n\" : ''; my @y = (1) x 10000; "
			     "sleep 1 while 1") });
	char child[16], parent[16];
	int64_t both, mother, daughter, inherited;
	json_t *json, *process;

	(void)state;
	assert_int_equal(sscanf(job_line(&job), "parent %15s %15s", parent, child), 2);
	WAIT_FOR(TALLY("ps", "-p", child).status == 0);
	json = PS("-p", parent, "-p", child);
	assert_int_equal(json_processes(json, strtoll(child, NULL, 10), &process), 1);
	inherited = json_number(json_pool(process, 0, "heap"), "inherited_bytes");
	daughter = json_number(json_pool(process, 0, "heap"), "live_bytes");
	assert_true(inherited > 100000);
	assert_int_equal(json_processes(json, strtoll(parent, NULL, 10), &process), 1);
	mother = json_number(json_pool(process, 0, "heap"), "live_bytes");
	both = live(json, 0, "heap");
	assert_int_equal(both, mother + daughter - inherited);
	/* also where the sums are made again, as a third process is there that was not chosen */
	one = script_start(NULL);
	job_do(&one, "alloc 0 7 1 12345");
	json = PS("-p", parent, "-p", child);
	assert_int_equal(live(json, 0, "heap"), both);
	assert_int_equal(live(PS("-p", child, "-p", pid_of(&one)), 0, "heap"), daughter + 12345);
	job_end_well(&one);
	kill((pid_t)strtol(child, NULL, 10), SIGTERM);
	kill((pid_t)strtol(parent, NULL, 10), SIGTERM);
	assert_int_equal(job_end(&job).status, 128 + SIGTERM);
}

static void what_is_not_there_exits_3_and_says_what_is(void **state)
{
	size_t i;

	(void)state;
	start_both();
	for (i = 0; i < VERBS_OF_NOW; i++) {
		const char *verb = verbs[i][0], *more = verbs[i][1];

		CHECK_TALLY(3, "", "there is no device \"7\"; there is 1 left, 2 right\n", verb,
			    "-d", "7", more);
		CHECK_TALLY(3, "", "there is no device \"lef\"; there is ", verb, "-d", "lef",
			    more);
		CHECK_TALLY(3, "", "there is no pool \"l2\"; there is ", verb, "-P", "l2", more);
		CHECK_TALLY(3, "", "there is no pool \"8\"", verb, "-P", "8", more);
		CHECK_TALLY(3, "", "no device \"a?b\"", verb, "-d", "a\033b", more);
		/* one of two is missing */
		CHECK_TALLY(3, "", "there is no device \"7\"", verb, "-d", "1", "-d", "7", more);
		CHECK_TALLY(3, "", text("process %d has no region", getpid()), verb, "-p",
			    pid_of(&one), "-p", text("%d", getpid()), more);
	}
	end_both();
}

static void ambiguous_names_exit_2(void **state)
{
	struct job job = script_start(NULL);

	(void)state;
	job_do(&job, "describe 4 twin n300 serial-4 0 1000");
	job_do(&job, "describe 5 twin n300 serial-5 0 1000");
	CHECK_TALLY(2, "", "several devices are called \"twin\", 4 and 5 among them; give a number",
		    "ps", "-d", "twin");
	CHECK_TALLY(0, "device 5: twin, n300, serial-5", "", "devices", "-d", "serial-5");
	job_end_well(&job);
}

static void bad_words_exit_2(void **state)
{
	static const struct {
		const char *option, *word, *says;
	} bad[] = {
		{ "-d", "65536", "\"65536\" is no device" },
		{ "-d", "", "\"\" is no device" },
		{ "-P", "256", "\"256\" is no pool" },
		{ "--pool", "", "\"\" is no pool" },
		{ "-p", "x", "\"x\" is no process id" },
		{ "-p", "0", "\"0\" is no process id" },
	};
	size_t i, n;

	(void)state;
	for (i = 0; i < COUNT(verbs); i++) {
		const char *verb = verbs[i][0], *more = verbs[i][1];

		for (n = 0; n < COUNT(bad); n++)
			CHECK_TALLY(2, "", bad[n].says, verb, bad[n].option, bad[n].word, more);
		CHECK_TALLY(2, "", "-d needs a value", verb, "-d");
		CHECK_TALLY(2, "", "--frob", verb, "--frob");
		CHECK_TALLY(2, "", "unexpected argument \"more\"", verb, "more", more);
	}
}

static void help_names_the_filters(void **state)
{
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(verbs); i++) {
		struct outcome outcome = CHECK_TALLY(0, "-d, --device DEV", "", "help",
						     verbs[i][0]);

		check_contains(outcome.out, "-p, --pid PID");
		check_contains(outcome.out, "-P, --pool POOL");
		check_contains(outcome.out, "several times");
	}
}

static void all_users_are_for_root(void **state)
{
	struct outcome outcome;
	size_t i;

	(void)state;
	need_nobody();
	assert_int_equal(chmod(test_dir, 0755), 0);
	for (i = 0; i < COUNT(verbs); i++) {
		outcome = run_as_nobody(LIST(verbs[i][0], "--all-users", verbs[i][1]));
		assert_int_equal(outcome.status, 4);
		assert_string_equal(outcome.out, "");
		check_one_line(outcome.err);
		check_contains(outcome.err, "only root may look at what other users run");
	}
}

/* As root: another user's process is shown by each verb, but only when it is asked for. */
static void root_sees_what_others_run(void **state)
{
	struct job job, mine;
	size_t i;

	(void)state;
	need_nobody();
	mine = script_start(NULL);
	job = start_as_nobody("scripted", NULL);
	assert_string_equal(job_line(&job), "ready");
	job_do(&job, "alloc 4 0 1 500");
	job_do(&mine, "alloc 5 0 1 500");
	for (i = 0; i < VERBS_OF_NOW; i++) {
		CHECK_TALLY(3, "", "there is no device \"4\"; there is 5", verbs[i][0], "-d", "4",
			    verbs[i][1]);
		CHECK_TALLY(0, NULL, "", verbs[i][0], "-a", "-d", "4", verbs[i][1]);
	}
	assert_int_equal(live(PS("--all-users"), 4, "dram"), 500);
	assert_int_equal(live(PS("-p", pid_of(&job), "-p", pid_of(&mine)), 4, "dram"), 500);
	CHECK_TALLY(0, " alloc ", "", "events", "-a", "-d", "4", "-n", "1");
	job_end_well(&job);
	job_end_well(&mine);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(device_is_chosen_by_number_name_or_stable_id),
		TEST(pool_is_chosen_by_name_or_number),
		TEST(pool_name_is_that_of_the_process),
		TEST(sums_are_those_of_the_chosen_processes),
		TEST(inherited_memory_counts_once_where_the_parent_is_chosen),
		TEST(what_is_not_there_exits_3_and_says_what_is),
		TEST(ambiguous_names_exit_2),
		TEST(bad_words_exit_2),
		TEST(help_names_the_filters),
		TEST(all_users_are_for_root),
		TEST(root_sees_what_others_run),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
