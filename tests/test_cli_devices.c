/* SPDX-License-Identifier: Apache-2.0 */
/* `tally devices`, and the line of each view that says whether it is exact. */
#include <string.h>
#include <unistd.h>

#include "tests/scripted.h"

/* ---- Devices --------------------------------------------------------------------------------- */

static void devices_are_shown_with_what_was_described(void **state)
{
	struct job job = script_start(NULL), other = script_start(NULL);
	struct outcome outcome;

	(void)state;
	job_do(&job, "describe 1 n300-left wormhole_b0 serial-1 0 1073741824");
	job_do(&job, "alloc 1 0 1 322122548");
	job_do(&job, "alloc 1 1 2 74");
	job_do(&job, "alloc 5 8 2 10");
	job_do(&other, "alloc 1 1 1 26");
	outcome = CHECK_TALLY(0, NULL, "", "devices");
	assert_string_equal(outcome.out,
			    text("device 1: n300-left, wormhole_b0, serial-1, grid 8x9, "
				 "12 channels, remote\n"
				 "  dram  307 MiB of 1.00 GiB, 30.0 %%\n"
				 "  l1    100 B, capacity unknown\n"
				 "  processes: %d (scripted), %d (scripted)\n"
				 "\n"
				 "device 5, not described\n"
				 "  pool-8  10 B, capacity unknown\n"
				 "  processes: %d (scripted)\n"
				 "\n"
				 "exact\n",
				 job.pid, other.pid, job.pid));
	outcome = CHECK_TALLY(0, NULL, "", "devices", "-p", pid_of(&other));
	assert_string_equal(outcome.out, text("device 1, not described\n"
					      "  l1  26 B, capacity unknown\n"
					      "  processes: %d (scripted)\n"
					      "\n"
					      "exact\n",
					      other.pid));
	outcome = CHECK_TALLY(0, NULL, "", "devices", "-d", "n300-left", "-P", "dram");
	assert_string_equal(outcome.out,
			    text("device 1: n300-left, wormhole_b0, serial-1, grid 8x9, "
				 "12 channels, remote\n"
				 "  dram  307 MiB of 1.00 GiB, 30.0 %%\n"
				 "  processes: %d (scripted)\n"
				 "\n"
				 "exact\n",
				 job.pid));
	/* the dead hold nothing, and are said to be dead */
	job_kill(&other);
	outcome = CHECK_TALLY(0, NULL, "", "devices", "-d", "1");
	check_contains(outcome.out, "  l1    74 B, capacity unknown\n");
	check_contains(outcome.out, text("%d (scripted, ended)", other.pid));
	job_end_well(&job);
	remove_regions();
}

static void devices_that_nobody_uses_are_shown(void **state)
{
	struct job job = script_start(NULL);

	(void)state;
	job_do(&job, "describe 9 idle n150 serial-9 0 1000");
	assert_string_equal(CHECK_TALLY(0, NULL, "", "devices").out,
			    "device 9: idle, n150, serial-9, grid 8x9, 12 channels, remote\n"
			    "  dram  0 B of 0.98 KiB, 0.0 %\n"
			    "  no process\n"
			    "\n"
			    "exact\n");
	CHECK_TALLY(0, "device 9: idle", "", "devices", "-d", "idle");
	job_end_well(&job);
	CHECK_TALLY(3, "", "nothing to show", "devices");
	CHECK_TALLY(3, "", "nothing to show", "devices", "--json");
}

static void long_lists_of_processes_are_cut(void **state)
{
	struct job jobs[10];
	struct outcome outcome;
	size_t n;

	(void)state;
	for (n = 0; n < COUNT(jobs); n++) {
		jobs[n] = script_start(NULL);
		job_do(&jobs[n], "alloc 1 0 1 1");
	}
	outcome = CHECK_TALLY(0, " and 2 more\n", "", "devices");
	assert_int_equal(count_of(outcome.out, "(scripted)"), 8);
	for (n = 0; n < COUNT(jobs); n++)
		job_end_well(&jobs[n]);
}

static void json_of_devices_says_the_same(void **state)
{
	struct job job = script_start(NULL);
	json_t *json, *device;

	(void)state;
	job_do(&job, "describe 1 n300-left wormhole_b0 serial-1 0 1000");
	job_do(&job, "alloc 1 0 1 300");
	job_do(&job, "alloc 1 1 2 74");
	job_do(&job, "alloc 5 8 2 10");
	json = json_parse(CHECK_TALLY(0, NULL, "", "devices", "--json").out);
	assert_string_equal(json_text(json, "schema"), "tally.devices/1");
	assert_string_equal(json_text(json, "exactness"), "exact");
	device = json_device(json, 1);
	assert_string_equal(json_text(device, "name"), "n300-left");
	assert_true(json_flag(device, "described"));
	assert_true(json_flag(device, "remote"));
	assert_int_equal(json_number(device, "grid_x"), 8);
	assert_int_equal(json_number(device, "grid_y"), 9);
	assert_int_equal(json_number(device, "channels"), 12);
	assert_int_equal(json_number(device, "pools/dram/capacity_bytes"), 1000);
	assert_int_equal(json_number(device, "pools/dram/live_bytes"), 300);
	assert_true(json_is_null(json_get(device, "pools/l1/capacity_bytes")));
	assert_int_equal(json_number(device, "processes/0/pid"), job.pid);
	assert_int_equal(json_number(device, "processes/0/live_bytes"), 374);
	device = json_device(json, 5);
	assert_false(json_flag(device, "described"));
	assert_true(json_is_null(json_get(device, "remote")));
	assert_true(json_is_null(json_get(device, "channels")));
	assert_int_equal(json_number(device, "processes/0/live_bytes"), 10);
	job_end_well(&job);
}

/* ---- Exactness ------------------------------------------------------------------------------- */

/* The last line of each view, and the same in JSON. */
static void check_exactness(const char *words)
{
	static const char *const verbs[] = { "ps", "devices" };
	size_t i;

	for (i = 0; i < COUNT(verbs); i++) {
		char *out = TALLY(verbs[i]).out;
		char *last = text("\n%s\n", words);

		check_contains(out, last);
		assert_string_equal(out + strlen(out) - strlen(last), last);
		assert_string_equal(
			json_text(json_parse(TALLY(verbs[i], "--json").out), "exactness"), words);
	}
}

static void views_say_whether_they_are_exact(void **state)
{
	char *path = text("%s/tally-%u-1-0123456789abcdef", test_dir, (unsigned int)geteuid());
	struct job job = script_start(NULL), counters = script_start("TALLY_RING=0");

	(void)state;
	job_do(&job, "alloc 1 0 1 300");
	check_exactness("exact");
	job_do(&counters, "alloc 1 0 1 300");
	check_exactness("exact totals, 1 record lost");
	job_do(&counters, "alloc 1 0 1 8 1999");
	check_exactness("exact totals, 2,000 records lost");
	job_do(&counters, "alloc 70000 0 1 300");
	check_exactness("not exact: 1 event is in no total, 2,000 records lost");
	job_end_well(&counters);
	check_exactness("exact");
	job_do(&job, "alloc 70000 0 1 300");
	job_do(&job, "alloc 70000 0 1 300");
	check_exactness("not exact: 2 events are in no total");
	write_file(path, "no region at all", 16);
	check_exactness("not exact: 1 file was refused; 2 events are in no total");
	assert_int_equal(unlink(path), 0);
	job_end_well(&job);
}

static void lost_data_exits_6_with_strict(void **state)
{
	struct job job = script_start(NULL), counters = script_start("TALLY_RING=0");
	struct outcome outcome;

	(void)state;
	job_do(&job, "alloc 1 0 1 300");
	CHECK_TALLY(0, "\nexact\n", "", "ps", "--strict");
	job_do(&counters, "alloc 1 0 1 300");
	outcome = CHECK_TALLY(6, "exact totals, 1 record lost\n", NULL, "ps", "--strict");
	check_contains(outcome.out, "600 B"); /* it is shown all the same */
	CHECK_TALLY(6, "\"lost_records\": 1", NULL, "ps", "--strict", "--json");
	CHECK_TALLY(0, NULL, NULL, "ps");
	CHECK_TALLY(0, NULL, NULL, "ps", "--strict", "-p", pid_of(&job));
	CHECK_TALLY(6, NULL, NULL, "ps", "--strict", "-p", pid_of(&counters));
	job_end_well(&counters);
	job_do(&job, "alloc 70000 0 1 300");
	CHECK_TALLY(6, NULL, NULL, "ps", "--strict");
	job_end_well(&job);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(devices_are_shown_with_what_was_described),
		TEST(devices_that_nobody_uses_are_shown),
		TEST(long_lists_of_processes_are_cut),
		TEST(json_of_devices_says_the_same),
		TEST(views_say_whether_they_are_exact),
		TEST(lost_data_exits_6_with_strict),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
