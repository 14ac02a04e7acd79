/* SPDX-License-Identifier: Apache-2.0 */
/* Corners of a producer's life: first pushes that are interrupted or cancelled, and calls in an
 * unusual order.
 * also on: arm64 */
#include <stdlib.h>

#include "tests/corners.h"

/* ---- Interrupted ----------------------------------------------------------------------------- */

static void handler_that_jumps_out_of_the_first_push_leaves_all_able_to_push(void **state)
{
	(void)state;
	corner("interrupted", "jump");
}

static void thread_to_be_cancelled_comes_back_from_every_call(void **state)
{
	(void)state;
	corner("calls", "cancel");
}

static void events_before_the_region_are_in_it_also_when_rejected_or_a_mark(void **state)
{
	(void)state;
	corner("interrupted", "early");
}

static void first_push_may_come_when_the_main_thread_has_ended(void **state)
{
	(void)state;
	corner("interrupted", "main-gone");
}

/* ---- Calls in any order ---------------------------------------------------------------------- */

static void tags_may_be_popped_in_another_region_than_they_were_pushed_in(void **state)
{
	(void)state;
	corner_with("calls", "tag-pop", NULL, LIST("TALLY_RING=64"));
}

static void shutdown_before_the_first_push_disarms(void **state)
{
	struct job job;
	char *line;

	(void)state;
	job = start("calls", "shutdown-first", NULL, "TALLY_LANES=64", &line);
	assert_string_equal(line, "off");
	assert_int_equal(regions_left(), 0);
	finish(&job);
	assert_int_equal(regions_left(), 0);
}

static void no_function_changes_errno(void **state)
{
	(void)state;
	corner("calls", "errno");
	corner_with("calls", "errno", NULL, LIST("TALLY=1", "TALLY_DIR=/nonexistent"));
	corner_with("calls", "errno", NULL,
		    LIST("TALLY=1", "TALLY_RING=x", "TALLY_LANES=x", "TALLY_RUN=x"));
	corner_with("calls", "errno", NULL, LIST("TALLY=0"));
	corner_with("calls", "errno", NULL, LIST("TALLY=0", "TALLY_DIR=/nonexistent"));
}

static void thousand_regions_one_after_the_other_take_no_more_than_a_few(void **state)
{
	(void)state;
	corner_with("calls", "cycles", NULL, LIST("TALLY=0"));
}

static void plugin_with_a_library_of_its_own_may_go_before_its_threads(void **state)
{
	char *plugin = text("%s/plugin.so", test_tmp);
	const char *object = built("obj/tests/prog/libplug.o");
	const char *compiler = getenv("CC") ? getenv("CC") : "gcc";

	(void)state;
	if (RUN("sh", "-c", text("command -v %s >/dev/null", compiler)).status != 0)
		SKIP("no %s", compiler);
	assert_int_equal(RUN("sh", "-c",
			     text("%s -shared -pthread -Wl,-Bsymbolic -o \"$@\"", compiler), "sh",
			     plugin, object, built("libtally.a"))
				 .status,
			 0);
	corner_with("forks", "plugin", plugin, LIST("TALLY=1", "TALLY_RING=64"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(handler_that_jumps_out_of_the_first_push_leaves_all_able_to_push),
		TEST(thread_to_be_cancelled_comes_back_from_every_call),
		TEST(events_before_the_region_are_in_it_also_when_rejected_or_a_mark),
		TEST(first_push_may_come_when_the_main_thread_has_ended),
		TEST(tags_may_be_popped_in_another_region_than_they_were_pushed_in),
		TEST(shutdown_before_the_first_push_disarms),
		TEST(no_function_changes_errno),
		TEST(thousand_regions_one_after_the_other_take_no_more_than_a_few),
		TEST(plugin_with_a_library_of_its_own_may_go_before_its_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
