/* SPDX-License-Identifier: Apache-2.0 */
/* The JSON of the `tally` command: the keys and kinds that are promised, in numbers that add up. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "tests/cli.h"
#include "tests/support.h"

enum kind {
	WORD = 1,
	TIME = 2,
	COUNTED = 4,
	SIGNED = 8,
	FLAG = 16,
	UNKNOWN = 32,
	MANY = 64,
	ALL = 128
};

struct key {
	const char *name;
	int kinds; /* any of them */
};

static const struct key snapshot_keys[] = {
	{ "schema", WORD },
	{ "time", TIME },
	{ "complete", FLAG },
	{ "exactness", WORD },
	{ "lost_records", COUNTED },
	{ "events_total", COUNTED },
	{ "records_read", COUNTED | UNKNOWN },
	{ "rejected_events", COUNTED },
	{ "refused_files", COUNTED },
	{ "devices", MANY },
	{ "processes", MANY },
	{ "unseen", MANY | UNKNOWN },
	{ NULL, 0 },
};

static const struct key device_keys[] = {
	{ "device", COUNTED },
	{ "name", WORD | UNKNOWN },
	{ "arch", WORD | UNKNOWN },
	{ "stable_id", WORD | UNKNOWN },
	{ "pools", ALL },
	{ "totals_only", FLAG },
	{ NULL, 0 },
};

static const struct key pool_keys[] = {
	{ "capacity_bytes", COUNTED | UNKNOWN },
	{ "live_bytes", SIGNED },
	{ "live_bytes_high", SIGNED },
	{ "peak_bytes", SIGNED },
	{ "peak_bytes_high", SIGNED },
	{ "live_allocations", SIGNED },
	{ "allocations_total", COUNTED },
	{ "frees_total", COUNTED },
	{ "allocated_bytes_total", COUNTED },
	{ "freed_bytes_total", COUNTED },
	{ "failures_total", COUNTED },
	{ "unmatched_frees_total", COUNTED | UNKNOWN },
	{ "abandoned_bytes_total", SIGNED },
	{ "inherited_bytes", SIGNED },
	{ "current", FLAG },
	{ "totals_only", FLAG },
	{ NULL, 0 },
};

static const struct key process_keys[] = {
	{ "pid", COUNTED },
	{ "comm", WORD },
	{ "alive", FLAG },
	{ "end", WORD },
	{ "start_time", TIME },
	{ "region", WORD },
	{ "image", WORD },
	{ "parent_region", WORD | UNKNOWN },
	{ "guests", COUNTED },
	{ "events_total", COUNTED },
	{ "records_read", COUNTED | UNKNOWN },
	{ "lost_records", COUNTED },
	{ "lost_overwritten", COUNTED | UNKNOWN },
	{ "lost_unrecorded", COUNTED },
	{ "rejected_events", COUNTED },
	{ "skipped_records", COUNTED | UNKNOWN },
	{ "quarantined_lanes", COUNTED | UNKNOWN },
	{ "quarantine_reason", WORD | UNKNOWN },
	{ "totals_only", FLAG },
	{ "devices", MANY },
	{ NULL, 0 },
};

static const struct key run_keys[] = {
	{ "command", MANY },
	{ "pid", COUNTED },
	{ "exit_status", COUNTED | UNKNOWN },
	{ "signal", COUNTED | UNKNOWN },
	{ "followed", FLAG },
	{ "reason", WORD | UNKNOWN },
	{ "elapsed_ns", TIME },
	{ NULL, 0 },
};

static int kind_of(const json_t *value)
{
	const char *word;

	switch (json_typeof(value)) {
	case JSON_STRING:
		word = json_string_value(value);
		return WORD | (*word && strspn(word, "0123456789") == strlen(word) ? TIME : 0);
	case JSON_INTEGER:
		return SIGNED | (json_integer_value(value) >= 0 ? COUNTED : 0);
	case JSON_TRUE:
	case JSON_FALSE:
		return FLAG;
	case JSON_NULL:
		return UNKNOWN;
	case JSON_ARRAY:
		return MANY;
	case JSON_OBJECT:
		return ALL;
	default:
		return 0; /* nothing is a fraction */
	}
}

/* An object has each of the keys, of its kind, and no other ones. */
static void check_keys(json_t *object, const struct key *keys)
{
	size_t i;

	assert_true(json_is_object(object));
	for (i = 0; keys[i].name; i++) {
		const json_t *value = json_object_get(object, keys[i].name);

		if (!value)
			fail_msg("\"%s\" is missing", keys[i].name);
		if (!(kind_of(value) & keys[i].kinds))
			fail_msg("\"%s\" is of the wrong kind", keys[i].name);
	}
	if (json_object_size(object) != i)
		fail_msg("there are %zu keys in the object with \"%s\", %zu are known",
			 json_object_size(object), keys[0].name, i);
}

static void check_devices(json_t *devices)
{
	const char *name;
	json_t *device, *pool;
	size_t i;

	json_array_foreach(devices, i, device) {
		check_keys(device, device_keys);
		json_object_foreach(json_get(device, "pools"), name, pool) {
			check_keys(pool, pool_keys);
			assert_true(json_number(pool, "live_bytes") <=
				    json_number(pool, "live_bytes_high"));
			assert_true(json_number(pool, "peak_bytes") <=
				    json_number(pool, "peak_bytes_high"));
			assert_true(json_number(pool, "live_bytes") <=
				    json_number(pool, "peak_bytes"));
		}
	}
}

/* Nanoseconds since the epoch. */
static int64_t time_of(json_t *json, const char *key)
{
	return strtoll(json_text(json, key), NULL, 10);
}

static int64_t realtime_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* One (device, pool): what all processes say, added up, is what the device's row says. */
static void check_pool_is_sum(json_t *json, int64_t device, const char *name, json_t *pool)
{
	int64_t live = 0, live_high = 0, live_allocations = 0, abandoned = 0, peak = 0;
	struct test_sums sums = { 0 };
	json_t *process;
	size_t i;

	json_array_foreach(json_get(json, "processes"), i, process) {
		json_t *part = json_pool(process, device, name);
		bool alive = json_flag(process, "alive");

		if (!part)
			continue;
		sums = sums_plus(sums, json_sums(part));
		/* none of them is forked here: nothing is counted with a parent */
		assert_int_equal(json_number(part, "inherited_bytes"), 0);
		if (alive) {
			live += json_number(part, "live_bytes");
			live_high += json_number(part, "live_bytes_high");
			live_allocations += json_number(part, "live_allocations");
		} else {
			abandoned += json_number(part, "live_bytes");
		}
		peak += json_number(part, "peak_bytes_high");
	}
	assert_sums_equal(json_sums(pool), sums);
	assert_int_equal(json_number(pool, "live_bytes"), live);
	assert_int_equal(json_number(pool, "live_bytes_high"), live_high);
	assert_int_equal(json_number(pool, "live_allocations"), live_allocations);
	assert_int_equal(json_number(pool, "abandoned_bytes_total"), abandoned);
	assert_true(json_number(pool, "peak_bytes_high") <= peak);
}

/* Keys, kinds, and the sums of all rows. */
static void check_snapshot(json_t *json, int64_t before_ns)
{
	json_t *copy = json_copy(json), *process, *device, *pool;
	int64_t lost = 0, events = 0, after_ns = realtime_ns();
	const char *name;
	size_t i;

	json_object_del(copy, "run"); /* run's own */
	check_keys(copy, snapshot_keys);
	json_decref(copy);
	assert_string_equal(json_text(json, "schema"), "tally.snapshot/1");
	assert_in_range(time_of(json, "time"), before_ns, after_ns);
	check_devices(json_get(json, "devices"));
	json_array_foreach(json_get(json, "processes"), i, process) {
		check_keys(process, process_keys);
		check_devices(json_get(process, "devices"));
		assert_true(time_of(process, "start_time") <= time_of(json, "time"));
		lost += json_number(process, "lost_records");
		events += json_number(process, "events_total");
	}
	assert_int_equal(json_number(json, "lost_records"), lost);
	assert_int_equal(json_number(json, "events_total"), events);
	json_array_foreach(json_get(json, "devices"), i, device)
		json_object_foreach(json_get(device, "pools"), name, pool)
			check_pool_is_sum(json, json_number(device, "device"), name, pool);
}

static void check_null(json_t *json, const char *path)
{
	if (!json_is_null(json_get(json, path)))
		fail_msg("\"%s\" is not null", path);
}

static json_t *ps_json(void)
{
	struct outcome outcome = TALLY("ps", "--json");

	assert_int_equal(outcome.status, 0);
	return json_parse(outcome.out);
}

static void json_of_ps_has_the_keys_and_kinds_that_are_promised(void **state)
{
	char *truth = text("%s/truth", test_tmp);
	int64_t before_ns = realtime_ns();
	struct job plain = start_pushing("11");
	struct job described = job_start(
		&(struct command){ .argv = LIST(prog("embedded"), "2", "50", truth),
				   .env = LIST("TALLY=1", "TALLY_RING=64") });
	json_t *json, *process;

	(void)state;
	assert_string_equal(job_line(&described), "ready");
	job_say(&described, "work");
	assert_string_equal(job_line(&described), "done work");
	json = ps_json();
	check_snapshot(json, before_ns);
	assert_true(json_flag(json, "complete"));
	assert_int_equal(json_array_size(json_get(json, "processes")), 2);
	assert_int_equal(json_array_size(json_get(json, "devices")), 64);
	assert_null(json_object_get(json, "run"));
	/* what was described is known ... */
	assert_string_equal(json_text(json_device(json, 1), "name"), "chip 1");
	assert_string_equal(json_text(json_device(json, 1), "arch"), "blackhole");
	assert_int_equal(json_number(json_pool(json, 1, "dram"), "capacity_bytes"), 12ll << 30);
	/* ... and what is not, is null; records have not been read */
	check_null(json_pool(json, 1, "trace"), "capacity_bytes");
	check_null(json_pool(json, 1, "l1"), "unmatched_frees_total");
	check_null(json, "records_read");
	assert_int_equal(json_processes(json, plain.pid, &process), 1);
	check_null(process, "records_read");
	check_null(process, "lost_overwritten");
	check_null(process, "quarantined_lanes");
	check_null(process, "parent_region");
	assert_string_equal(json_text(process, "comm"), "push_many");
	assert_string_equal(json_text(process, "end"), "running");
	assert_true(time_of(process, "start_time") >= before_ns);
	check_contains(json_text(process, "region"),
		       text("tally-%u-%d-", (unsigned int)geteuid(), plain.pid));
	/* -p shows the same of one */
	json = json_parse(TALLY("ps", "--json", "-p", text("%d", plain.pid)).out);
	check_snapshot(json, before_ns);
	assert_int_equal(json_array_size(json_get(json, "processes")), 1);
	check_null(json, "devices/0/name");
	check_null(json, "devices/0/pools/l1/capacity_bytes");
	job_end_well(&plain);
	job_say(&described, "end");
	assert_int_equal(job_end(&described).status, 0);
}

static void json_of_run_has_the_keys_and_kinds_that_are_promised(void **state)
{
	int64_t before_ns = realtime_ns();
	json_t *json = run_json(LIST(prog("push_many"), "11"), 0);

	(void)state;
	check_snapshot(json, before_ns);
	check_keys(json_get(json, "run"), run_keys);
	assert_string_equal(json_text(json, "run/command/0"), prog("push_many"));
	assert_string_equal(json_text(json, "run/command/1"), "11");
	assert_int_equal(json_number(json, "run/exit_status"), 0);
	assert_int_equal(json_number(json, "run/pid"), json_number(json, "processes/0/pid"));
	assert_true(json_flag(json, "run/followed"));
	check_null(json, "run/reason");
	check_null(json, "run/signal");
	assert_true(time_of(json_get(json, "run"), "elapsed_ns") <= realtime_ns() - before_ns);
	/* records were read, so what they can tell is known */
	assert_int_equal(json_number(json, "records_read"), json_number(json, "events_total"));
	assert_int_equal(json_number(json, "processes/0/lost_overwritten"), 0);
	assert_int_equal(json_number(json, "processes/0/quarantined_lanes"), 0);
	assert_false(json_flag(json, "processes/0/alive"));
	assert_string_equal(json_text(json, "processes/0/end"), "exited");

	json = run_json(LIST("sh", "-c", "\"$0\" 11 </dev/null; kill -TERM $$", prog("push_many")),
			128 + SIGTERM);
	check_keys(json_get(json, "run"), run_keys);
	assert_int_equal(json_number(json, "run/signal"), SIGTERM);
	check_null(json, "run/exit_status");
	assert_string_equal(json_text(json, "processes/0/end"), "gone");

	json = run_json(LIST(prog("static_hello")), 7);
	check_snapshot(json, before_ns);
	check_keys(json_get(json, "run"), run_keys);
	assert_int_equal(json_array_size(json_get(json, "devices")), 0);
	/* words of any bytes are JSON all the same */
	json = run_json(LIST("sh", "-c", ":", "\xff\xfe\"\\\n\x01"), 0);
	check_keys(json_get(json, "run"), run_keys);
	assert_int_equal(json_array_size(json_get(json, "run/command")), 4);
}

static void json_goes_to_stdout_for_a_dash(void **state)
{
	struct outcome outcome = TALLY("run", "--json", "-", "--", prog("push_many"), "11");
	json_t *json;

	(void)state;
	assert_int_equal(outcome.status, 0);
	assert_string_equal(outcome.err, "");
	assert_int_equal(strncmp(outcome.out, "pushed\n{", 8), 0); /* CMD's own comes first */
	json = json_parse(outcome.out + strlen("pushed\n"));
	check_keys(json_get(json, "run"), run_keys);
}

static void ps_shows_what_a_killed_process_abandoned_and_not_as_held(void **state)
{
	struct job alive = start_pushing("11"), dead = start_pushing("21");
	struct outcome outcome;
	json_t *json, *process, *pool;

	(void)state;
	job_signal(&dead, SIGKILL);
	assert_int_equal(job_end(&dead).status, -SIGKILL);
	json = ps_json();
	check_snapshot(json, 0);
	pool = json_pool(json, 1, "l1");
	assert_int_equal(json_number(pool, "live_bytes"), 74);
	assert_int_equal(json_number(pool, "live_bytes_high"), 74);
	assert_int_equal(json_number(pool, "live_allocations"), 1);
	assert_int_equal(json_number(pool, "abandoned_bytes_total"), 84);
	assert_int_equal(json_processes(json, dead.pid, &process), 1);
	assert_false(json_flag(process, "alive"));
	assert_string_equal(json_text(process, "end"), "gone");
	outcome = TALLY("ps");
	assert_int_equal(outcome.status, 0);
	assert_string_equal(row(outcome.out, "DEVICE"),
			    "DEVICE POOL HELD PEAK ALLOCS FREES FAILED ABANDONED LOST");
	assert_string_equal(row(outcome.out, "1 l1"), "1 l1 74 B >=84 B 17 15 0 84 B 0");
	assert_string_equal(row(outcome.out, text("%d ", dead.pid)),
			    text("%d push_many 84 B 84 B 11 10 0 0 gone", dead.pid));
	/* also alone, and also when nobody lives */
	job_end_well(&alive);
	json = json_parse(TALLY("ps", "--json", "-p", text("%d", dead.pid)).out);
	assert_int_equal(json_number(json_pool(json, 1, "l1"), "live_bytes"), 0);
	assert_int_equal(json_number(json_pool(json, 1, "l1"), "abandoned_bytes_total"), 84);
	remove_regions();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(json_of_ps_has_the_keys_and_kinds_that_are_promised),
		TEST(json_of_run_has_the_keys_and_kinds_that_are_promised),
		TEST(json_goes_to_stdout_for_a_dash),
		TEST(ps_shows_what_a_killed_process_abandoned_and_not_as_held),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
