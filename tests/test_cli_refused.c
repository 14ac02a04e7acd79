/* SPDX-License-Identifier: Apache-2.0 */
/* Regions that the `tally` command refuses, at the price of a line and an exit status each. */
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <tally/abi.h>
#include <unistd.h>

#include "tests/cli.h"
#include "tests/support.h"

/* What push_many has done after 11 events; it holds 74 bytes then, 84 after 21. */
static const struct test_sums pushed_11 = { 414, 340, 6, 5, 0 };

/* A whole region that a process has left, kept in memory. */
struct sample {
	char *bytes;
	size_t size;
};

static struct sample make_sample(void)
{
	struct command command = { .argv = LIST(prog("push_many"), "21"),
				   .env = LIST("TALLY=1", "TALLY_KEEP=1", "TALLY_RING=64",
					       "TALLY_LANES=1") };
	struct sample sample;

	assert_int_equal(run(&command).status, 0);
	sample.bytes = read_file(text("%s/%s", test_dir, only_region()), &sample.size);
	assert_true(sample.size > TALLY_PAGE);
	remove_regions();
	return sample;
}

static char *region_name_of(uint32_t pid)
{
	return text("tally-%u-%u-%016x", (unsigned int)geteuid(), pid, pid);
}

static char *region_path_of(uint32_t pid)
{
	return text("%s/%s", test_dir, region_name_of(pid));
}

/* What was done to a region, and what it costs who asks for that region. */
struct spoiled {
	const char *what;
	int status;
	bool mismatch; /* both versions and the process are named */
};

#define AT(field) offsetof(struct tally_region_header, field)

/* Bytes that are changed. */
static const struct edit {
	struct spoiled spoiled;
	size_t offset, size;
	uint64_t value;
} edits[] = {
	{ { "another version", 5, true }, AT(abi_version), 4, TALLY_ABI_VERSION + 1 },
	{ { "version 0", 5, true }, AT(abi_version), 4, 0 },
	{ { "version of all ones", 5, true }, AT(abi_version), 4, UINT32_MAX },
	{ { "other byte order", 5, true }, AT(byte_order), 4, 0x04030201 },
	{ { "no byte order", 5, true }, AT(byte_order), 4, 0 },
	{ { "other signature", 5, true }, AT(signature), 8, 0x1234567890abcdef },
	{ { "other size", 5, true }, AT(size_bytes), 8, 1ull << 40 },
	{ { "size zero", 5, true }, AT(size_bytes), 8, 0 },
	{ { "more lanes", 5, true }, AT(lanes_log2), 1, 3 },
	{ { "lanes beyond reason", 5, true }, AT(lanes_log2), 1, 63 },
	{ { "ring beyond reason", 5, true }, AT(ring_log2), 1, 255 },
	{ { "cells beyond reason", 5, true }, AT(lane_cells_log2), 1, 64 },
	{ { "unknown clock", 1, false }, AT(clock), 4, 99 },
	{ { "other magic", 1, false }, AT(magic), 8, 0x4141414141414141 },
	{ { "magic of a region half made", 1, false }, AT(magic), 8, 0 },
};

/* Sizes that files are cut to, from the end when negative. */
static const struct cut {
	struct spoiled spoiled;
	long size;
} cuts[] = {
	{ { "empty", 1, false }, 0 },
	{ { "one byte", 1, false }, 1 },
	{ { "cut in the prefix", 1, false }, 63 },
	{ { "cut behind the prefix", 1, false }, 64 },
	{ { "cut in the header", 1, false }, sizeof(struct tally_region_header) - 1 },
	{ { "cut behind the header", 1, false }, sizeof(struct tally_region_header) },
	{ { "one page", 1, false }, TALLY_PAGE },
	{ { "cut by a page", 1, false }, -(long)TALLY_PAGE },
	{ { "cut by a byte", 1, false }, -1 },
};

/* Things that are no regions. */
enum odd { GARBAGE, ZEROES, GROWN, SWAPPED, FIFO, LINK, DEAD_LINK, DIRECTORY, SOCKET };
static const struct odd_file {
	struct spoiled spoiled;
	enum odd odd;
} odd_files[] = {
	{ { "garbage", 1, false }, GARBAGE },
	{ { "zeroes", 1, false }, ZEROES },
	{ { "longer than it says", 1, false }, GROWN },
	{ { "of a machine of the other byte order", 5, true }, SWAPPED },
	{ { "a FIFO", 1, false }, FIFO },
	{ { "a symbolic link to a good one", 1, false }, LINK },
	{ { "a symbolic link to nothing", 1, false }, DEAD_LINK },
	{ { "a directory", 1, false }, DIRECTORY },
	{ { "a socket", 1, false }, SOCKET },
};

static void put(char *bytes, size_t offset, uint64_t value, size_t size)
{
	memcpy(bytes + offset, &value, size); /* little-endian, as regions are */
}

/* A copy whose creator is `pid`. */
static struct sample copy_sample(const struct sample *sample, uint32_t pid, size_t more)
{
	struct sample copy = { .size = sample->size };
	char *line = text("%*s", (int)(sample->size + more), "");

	memset(line, 0, sample->size + more);
	memcpy(line, sample->bytes, sample->size);
	copy.bytes = line;
	put(copy.bytes, AT(creator_pid), pid, 4);
	return copy;
}

static void make_socket(const char *path)
{
	struct sockaddr_un name = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	assert_true(strlen(path) < sizeof(name.sun_path));
	memcpy(name.sun_path, path, strlen(path));
	assert_int_equal(bind(fd, (struct sockaddr *)&name, sizeof(name)), 0);
	close(fd);
}

static void make_odd(enum odd odd, const struct sample *sample, uint32_t pid)
{
	struct sample copy = copy_sample(sample, pid, TALLY_PAGE);
	char *path = region_path_of(pid), *good = text("%s/good", test_tmp);
	size_t i;

	switch (odd) {
	case GARBAGE:
		for (i = 0; i < copy.size; i++)
			copy.bytes[i] = (char)mix(i);
		break;
	case ZEROES:
		memset(copy.bytes, 0, copy.size);
		break;
	case GROWN:
		copy.size += TALLY_PAGE;
		break;
	case SWAPPED:
		put(copy.bytes, AT(magic), __builtin_bswap64(TALLY_MAGIC), 8);
		put(copy.bytes, AT(abi_version), __builtin_bswap32(TALLY_ABI_VERSION), 4);
		put(copy.bytes, AT(byte_order), __builtin_bswap32(TALLY_BYTE_ORDER), 4);
		put(copy.bytes, AT(creator_pid), __builtin_bswap32(pid), 4);
		break;
	case FIFO:
		assert_int_equal(mkfifo(path, 0600), 0);
		return;
	case LINK:
		write_file(good, copy.bytes, copy.size);
		assert_int_equal(symlink(good, path), 0);
		return;
	case DEAD_LINK:
		assert_int_equal(symlink("/nonexistent", path), 0);
		return;
	case DIRECTORY:
		assert_int_equal(mkdir(path, 0700), 0);
		return;
	case SOCKET:
		make_socket(path);
		return;
	}
	write_file(path, copy.bytes, copy.size);
}

/* Spoiled regions have the process ids from here on, which nobody has. */
#define SPOILED_PID 2000000000u
#define SPOILED (COUNT(edits) + COUNT(cuts) + COUNT(odd_files))

/* Makes the n-th in the tests' directory. */
static const struct spoiled *make_spoiled(size_t n, const struct sample *sample)
{
	uint32_t pid = SPOILED_PID + (uint32_t)n;
	struct sample copy = copy_sample(sample, pid, 0);
	const struct edit *edit = &edits[n];
	const struct cut *cut = &cuts[n - COUNT(edits)];

	if (n < COUNT(edits)) {
		put(copy.bytes, edit->offset, edit->value, edit->size);
		write_file(region_path_of(pid), copy.bytes, copy.size);
		return &edit->spoiled;
	}
	if (n - COUNT(edits) < COUNT(cuts)) {
		copy.size = cut->size < 0 ? copy.size - (size_t)-cut->size : (size_t)cut->size;
		write_file(region_path_of(pid), copy.bytes, copy.size);
		return &cut->spoiled;
	}
	n -= COUNT(edits) + COUNT(cuts);
	make_odd(odd_files[n].odd, sample, pid);
	return &odd_files[n].spoiled;
}

/* The healthy process is shown as if it were alone. */
static void check_healthy(json_t *json, const struct job *healthy)
{
	json_t *process, *pool;

	assert_int_equal(json_array_size(json_get(json, "processes")), 1);
	assert_int_equal(json_processes(json, healthy->pid, &process), 1);
	assert_true(json_flag(process, "alive"));
	pool = json_pool(process, 1, "l1");
	assert_sums_equal(json_sums(pool), pushed_11);
	assert_sums_equal(json_sums(json_pool(json, 1, "l1")), json_sums(pool));
}

static void refused_regions_cost_a_line_each_and_nothing_else(void **state)
{
	struct sample sample = make_sample();
	struct job healthy = start_pushing("11");
	struct outcome outcome;
	json_t *json;
	size_t n;

	(void)state;
	for (n = 0; n < SPOILED; n++)
		make_spoiled(n, &sample);
	outcome = TALLY("ps");
	assert_int_equal(outcome.status, 0);
	check_contains(outcome.out, text("\n%d  push_many", healthy.pid));
	assert_int_equal(count_of(outcome.out, "push_many"), 1);
	assert_int_equal(count_of(outcome.err, "\n"), SPOILED);
	for (n = 0; n < SPOILED; n++) {
		char *line = text("tally: %s: ", region_name_of(SPOILED_PID + (uint32_t)n));

		if (count_of(outcome.err, line) != 1)
			fail_msg("%zu lines for number %zu", count_of(outcome.err, line), n);
	}

	outcome = TALLY("ps", "--json");
	assert_int_equal(outcome.status, 0);
	assert_int_equal(count_of(outcome.err, "\n"), SPOILED);
	json = json_parse(outcome.out);
	check_healthy(json, &healthy);
	assert_int_equal(json_number(json, "refused_files"), SPOILED);
	assert_false(json_flag(json, "complete"));

	/* asked for the healthy one, the others are not looked at */
	outcome = TALLY("ps", "--json", "-p", text("%d", healthy.pid));
	assert_int_equal(outcome.status, 0);
	assert_string_equal(outcome.err, "");
	check_healthy(json_parse(outcome.out), &healthy);

	/* and with nothing but those */
	job_end_well(&healthy);
	outcome = TALLY("ps");
	assert_int_equal(outcome.status, 3);
	assert_string_equal(outcome.out, "");
	assert_int_equal(count_of(outcome.err, "\n"), SPOILED + 1);
	remove_regions();
}

static void refused_region_that_was_asked_for_has_its_exit_status(void **state)
{
	struct sample sample = make_sample();
	size_t n;

	(void)state;
	for (n = 0; n < SPOILED; n++) {
		char *pid = text("%u", SPOILED_PID + (uint32_t)n);
		const struct spoiled *spoiled = make_spoiled(n, &sample);
		struct outcome outcome = TALLY("ps", "-p", pid);

		if (outcome.status != spoiled->status)
			fail_msg("%s: status %d: %s", spoiled->what, outcome.status, outcome.err);
		assert_string_equal(outcome.out, "");
		check_one_line(outcome.err);
		check_contains(outcome.err, region_name_of(SPOILED_PID + (uint32_t)n));
		if (spoiled->mismatch) {
			check_contains(outcome.err, text("process %s (push_many)", pid));
			check_contains(outcome.err, text("version %u", TALLY_ABI_VERSION));
			assert_int_equal(count_of(outcome.err, "version "), 2);
		}
		remove_regions();
	}
}

static void message_of_a_mismatch_names_the_regions_version_too(void **state)
{
	struct sample sample = make_sample();
	struct sample copy = copy_sample(&sample, 12345, 0);
	struct outcome outcome;

	(void)state;
	put(copy.bytes, AT(abi_version), 4711, 4);
	memcpy(copy.bytes + AT(creator_comm), "bad\n\033name\xff", 11); /* printed as it is not */
	write_file(region_path_of(12345), copy.bytes, copy.size);
	outcome = TALLY("ps", "--json", "-p", "12345");
	assert_int_equal(outcome.status, 5);
	assert_string_equal(outcome.out, "");
	check_one_line(outcome.err);
	check_contains(outcome.err, "version 4711");
	check_contains(outcome.err, text("version %u", TALLY_ABI_VERSION));
	check_contains(outcome.err, "process 12345 (bad");
	assert_null(strchr(outcome.err, '\033'));
	assert_null(strchr(outcome.err, '\xff'));
	remove_regions();
}

static void stray_names_cost_a_line_and_others_none(void **state)
{
	static const char *const strays[] = { "tally-", "tally-x", "tally-0-1",
					      "tally-0-1-zzzzzzzzzzzzzzzz",
					      "tally-0-01-0000000000000001" };
	static const char *const others[] = { "other", "tall", ".hidden", "sem.tally-1" };
	struct job healthy = start_pushing("11");
	struct outcome outcome;
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(strays); i++)
		write_file(text("%s/%s", test_dir, strays[i]), "x", 1);
	for (i = 0; i < COUNT(others); i++)
		write_file(text("%s/%s", test_dir, others[i]), "x", 1);
	outcome = TALLY("ps", "--json");
	assert_int_equal(outcome.status, 0);
	check_healthy(json_parse(outcome.out), &healthy);
	assert_int_equal(count_of(outcome.err, "\n"), COUNT(strays));
	for (i = 0; i < COUNT(strays); i++)
		assert_int_equal(count_of(outcome.err, text("tally: %s: ", strays[i])), 1);
	job_end_well(&healthy);
	remove_regions();
}

/* The header says what a region is; everything behind it may say anything. */
static void bytes_behind_the_header_may_be_anything(void **state)
{
	struct sample sample = make_sample();
	struct job healthy = start_pushing("11");
	uint32_t round;

	(void)state;
	for (round = 1; round <= 60; round++) {
		struct sample copy = copy_sample(&sample, SPOILED_PID, 0);
		uint64_t random = mix(round);
		struct outcome outcome;
		json_t *process;
		int i;

		for (i = 0; i < 1 << round % 12; i++) {
			size_t behind = sizeof(struct tally_region_header);
			size_t at = behind + (random >> 8) % (copy.size - behind - 8);

			if (random & 1) /* words, mostly where words are */
				at = at % (round % 2 ? copy.size - 8 : 4 * TALLY_PAGE) & ~7ul;
			if (at >= behind)
				put(copy.bytes, at, random & 2 ? mix(random) : ~0ull << random % 64,
				    8);
			random = mix(random);
		}
		write_file(region_path_of(SPOILED_PID), copy.bytes, copy.size);
		outcome = TALLY("ps", "--json");
		if (outcome.status != 0)
			fail_msg("round %u: status %d", round, outcome.status);
		assert_int_equal(json_processes(json_parse(outcome.out), healthy.pid, &process), 1);
		assert_sums_equal(json_sums(json_pool(process, 1, "l1")), pushed_11);
		outcome = TALLY("ps");
		assert_int_equal(outcome.status, 0);
		unlink(region_path_of(SPOILED_PID));
	}
	job_end_well(&healthy);
}

/* At a time: of more than these, producers would remove what is of the dead. */
#define LYING_AROUND 11

static void what_lay_around_is_not_the_runs_business(void **state)
{
	struct sample sample = make_sample();
	size_t first, n, left;

	(void)state;
	for (first = 0; first < SPOILED; first += LYING_AROUND) {
		struct job healthy = start_pushing("21");
		json_t *json;

		for (n = first; n < first + LYING_AROUND && n < SPOILED; n++)
			make_spoiled(n, &sample);
		left = regions_left();
		json = run_json(LIST(prog("push_many"), "11"), 0);
		assert_int_equal(json_array_size(json_get(json, "processes")), 1);
		assert_int_equal(json_sums(json_pool(json, 1, "l1")).allocs, 6);
		assert_int_equal(regions_left(), left);
		assert_string_equal(TALLY("run", "--json", "/dev/null", "--", "true").err, "");
		job_end_well(&healthy);
		remove_regions();
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(refused_regions_cost_a_line_each_and_nothing_else),
		TEST(refused_region_that_was_asked_for_has_its_exit_status),
		TEST(message_of_a_mismatch_names_the_regions_version_too),
		TEST(stray_names_cost_a_line_and_others_none),
		TEST(bytes_behind_the_header_may_be_anything),
		TEST(what_lay_around_is_not_the_runs_business),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
