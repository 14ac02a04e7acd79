/* SPDX-License-Identifier: Apache-2.0 */
/* What each verb writes with --json, in many a state, against the schemas in tests/schemas. */
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/chip.h"
#include "tests/scripted.h"

static int documents;

/* Keeps what a verb wrote, to be validated with the others of its schema: python starts slowly. */
static const char *keep(const char *document, const char *suffix)
{
	char *path = text("%s/document-%d%s", test_tmp, documents++, suffix);

	write_file(path, document, strlen(document));
	return path;
}

/* The JSON of a verb that may exit as it likes, but not without output. */
static const char *kept(const char *const *words)
{
	struct outcome outcome = run_tally(words);

	if (outcome.out_size == 0)
		fail_msg("nothing was written by %s: %s", words[0], outcome.err);
	return keep(outcome.out, ".json");
}
#define KEPT(...) kept(LIST(__VA_ARGS__))

static void validate(const char *const *words)
{
	const char *const *first = LIST(SOURCE_DIR "/tests/schemas/validate.py", "--strict");
	struct outcome outcome = run(&(struct command){ .argv = list_and(first, words) });

	if (outcome.status != 0)
		fail_msg("%s%s", outcome.out, outcome.err);
}
#define VALIDATE(...) validate(LIST(__VA_ARGS__))

/* One that holds and describes, one that keeps no records, one that was killed, one that allocates
 * nothing, and a file that is no region. */
static struct job rich, lossy, idle;

static void start_all(void)
{
	struct job dead = script_start(NULL);

	rich = script_start(NULL);
	lossy = script_start("TALLY_RING=0");
	idle = job_start(&(struct command){ .argv = LIST(prog("push_many"), "0", "wait"),
					    .env = LIST("TALLY=1") });
	assert_string_equal(job_line(&idle), "armed");
	job_do(&rich, "describe 1 chip n300 serial-1 0 1000");
	job_do(&rich, "describe 2 idle n300 serial-2 0 1000");
	job_do(&rich, "name 9 scratch");
	job_do(&rich, "tag layer-1");
	job_do(&rich, "alloc 1 0 1 500");
	job_do(&rich, "alloc 1 9 1 500");
	job_do(&rich, "thread alloc 1 0 2 7");
	job_do(&rich, "free 1 0 1 500");
	job_do(&rich, "free 3 0 1 100"); /* below zero */
	job_do(&rich, "failed 1 0 1000000");
	job_do(&rich, "alloc 70000 0 1 1");
	job_do(&lossy, "alloc 1 1 1 5 20");
	job_do(&dead, "alloc 1 0 1 77");
	job_kill(&dead);
	write_file(text("%s/tally-%u-1-0123456789abcdef", test_dir, (unsigned int)geteuid()),
		   "no region at all", 16);
}

static void end_all(void)
{
	job_end_well(&rich);
	job_end_well(&lossy);
	job_say(&idle, "");
	job_end_well(&idle);
	remove_regions();
}

/* This process, as a runtime's own totals tell of it: on a device of its own, and on one that
 * others describe. */
static void tell_totals(void)
{
	struct chip_bytes alone = chip_new(4, 12, 7), shared = chip_new(2, 13, 1);

	chip_slot(&alone, 0, (uint32_t)getpid(), "runtime", BYTES(1, 2, 3, 4, 5));
	chip_slot(&shared, 0, (uint32_t)getpid(), "runtime", BYTES(1, 2));
	chip_write(&alone, 12);
	chip_write(&shared, 13);
}

static void snapshots_are_as_their_schema_says(void **state)
{
	const char *all, *of_rich, *of_lossy, *of_place, *mixed, *totals;
	const char *done, *killed, *strange, *unfollowed = text("%s/unfollowed.json", test_tmp);

	(void)state;
	start_all();
	all = KEPT("ps", "--json");
	of_rich = KEPT("ps", "--json", "-p", pid_of(&rich));
	of_lossy = KEPT("ps", "--json", "-p", pid_of(&lossy), "-p", pid_of(&idle));
	of_place = KEPT("ps", "--json", "-d", "2", "-d", "3");
	tell_totals();
	mixed = KEPT("ps", "--json");
	totals = KEPT("ps", "--json", "-d", "7");
	end_all();
	done = KEPT("run", "--json", "-", "--", "sh", "-c", "sh -c : & wait");
	killed = KEPT("run", "--json", "-", "--", "sh", "-c", "kill -TERM $$");
	TALLY("run", "--json", unfollowed, "--", prog("static_hello"));
	strange = KEPT("run", "--json", "-", "--", "sh", "-c", ":", "\xff\xfe\"\\\n\x01");
	VALIDATE("snapshot", all, of_rich, of_lossy, of_place, mixed, totals, done, killed,
		 unfollowed, strange);
}

static void devices_are_as_their_schema_says(void **state)
{
	const char *all, *of_lossy, *of_place, *mixed, *totals;

	(void)state;
	start_all();
	all = KEPT("devices", "--json");
	of_lossy = KEPT("devices", "--json", "-p", pid_of(&lossy));
	of_place = KEPT("devices", "--json", "-d", "2", "-d", "3");
	tell_totals();
	mixed = KEPT("devices", "--json");
	totals = KEPT("devices", "--json", "-d", "7");
	end_all();
	VALIDATE("devices", all, of_lossy, of_place, mixed, totals);
}

static void buffers_are_as_their_schema_says(void **state)
{
	const char *all, *left, *largest, *of_lossy;

	(void)state;
	start_all();
	job_do(&rich, "tag a\\\"\xff\xfe-b");
	job_do(&rich, "alloc 1 0 0 1");
	all = KEPT("buffers", "--json");
	left = KEPT("buffers", "--json", "--leaks");
	largest = KEPT("buffers", "--json", "--top", "1", "--older-than", "0s", "-d", "chip");
	of_lossy = KEPT("buffers", "--json", "-p", pid_of(&lossy), "-P", "l1");
	end_all();
	VALIDATE("buffers", all, left, largest, of_lossy);
}

static void events_are_as_their_schema_says(void **state)
{
	const char *all, *one;

	(void)state;
	start_all();
	job_do(&rich, "mark epoch");
	job_do(&rich, "reset 1 9");
	job_do(&rich, "tag a\\\"\xff\xfe-b");
	job_do(&rich, "alloc 1 0 0 1");
	one = keep(TALLY("events", "--json", "-n", "1", "-p", pid_of(&rich)).out, ".ndjson");
	all = keep(TALLY("events", "--json", "-n", "11", "-p", pid_of(&rich)).out, ".ndjson");
	end_all();
	VALIDATE("event", one, all);
}

static void checks_are_as_their_schema_says(void **state)
{
	const char *holds, *broken, *undecided, *totals;

	(void)state;
	start_all();
	holds = KEPT("check", "--json", "-p", pid_of(&lossy), "--max-live", "1KiB", "--no-leaks",
		     "--max-lost", "50");
	broken = KEPT("check", "--json", "--max-live", "1:dram=1", "--max-percent", "1:dram=0.1",
		      "--no-leaks", "--max-lost", "2");
	undecided = KEPT("check", "--json", "--max-live", "99KiB", "--max-percent", "99");
	tell_totals();
	totals = KEPT("check", "--json", "--max-live", "99KiB", "--max-percent", "99", "--no-leaks",
		      "--max-lost", "9");
	end_all();
	VALIDATE("check", holds, broken, undecided, totals);
}

static void gc_is_as_its_schema_says(void **state)
{
	const char *nothing, *dry, *removed;

	(void)state;
	nothing = KEPT("gc", "--json");
	start_all();
	leave_dead(3);
	write_file(text("%s/.tally-%u-0123456789abcdef", test_dir, (unsigned int)geteuid()), "", 0);
	dry = KEPT("gc", "--json", "-n", "--keep", "1");
	removed = KEPT("gc", "--json", "--keep", "0");
	end_all();
	VALIDATE("gc", nothing, dry, removed);
}

static void doctor_is_as_its_schema_says(void **state)
{
	const char *well, *ill;
	struct outcome outcome;

	(void)state;
	well = KEPT("doctor", "--json");
	start_all();
	outcome = run(&(struct command){ .argv = LIST(built("tally"), "doctor", "--json"),
					 .env = LIST("TALLY_RING=63", "TALLY_DIR=/nonexistent") });
	assert_int_equal(outcome.status, 1);
	ill = keep(outcome.out, ".json");
	end_all();
	VALIDATE("doctor", well, ill);
}

/* What does not fit is refused: the validator is no dummy. */
static void what_is_not_promised_is_refused(void **state)
{
	static const char *const wrong[] = {
		"{}",
		"{\"schema\": \"tally.doctor/2\", \"checks\": [{\"name\": \"a\", \"status\": "
		"\"ok\", \"message\": \"b\"}]}",
		"{\"schema\": \"tally.doctor/1\", \"checks\": [{\"name\": \"a\", \"status\": "
		"\"bad\", \"message\": \"b\"}]}",
	};
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(wrong); i++) {
		const char *path = keep(wrong[i], ".json");

		assert_int_equal(
			RUN(SOURCE_DIR "/tests/schemas/validate.py", "doctor", path).status, 1);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(snapshots_are_as_their_schema_says), TEST(devices_are_as_their_schema_says),
		TEST(buffers_are_as_their_schema_says),	  TEST(events_are_as_their_schema_says),
		TEST(checks_are_as_their_schema_says),	  TEST(gc_is_as_its_schema_says),
		TEST(doctor_is_as_its_schema_says),	  TEST(what_is_not_promised_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
