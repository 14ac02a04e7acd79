/* SPDX-License-Identifier: Apache-2.0 */
/* What the `tally` command says, to whom, and how it exits: usage, views, JSON, refusals. */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <tally/abi.h>
#include <time.h>
#include <unistd.h>

#include "tests/support.h"

static size_t count_of(const char *within, const char *what)
{
	size_t count = 0;

	while ((within = strstr(within, what))) {
		within += strlen(what);
		count++;
	}
	return count;
}

/* The only line of stderr, which begins with "tally". */
static void check_one_line(const char *err)
{
	assert_int_equal(count_of(err, "\n"), 1);
	assert_int_equal(err[strlen(err) - 1], '\n');
	assert_int_equal(strncmp(err, "tally", 5), 0);
}

static void check_contains(const char *within, const char *what)
{
	if (!strstr(within, what))
		fail_msg("no \"%s\" in: %s", what, within);
}

/* What push_many has done after 11 events; it holds 74 bytes then, 84 after 21. */
static const struct sums pushed_11 = { 414, 340, 6, 5, 0 };

/* A program that has pushed `events` events, as push_many.c says; ends when its stdin does. */
static struct job start_pushing(const char *events)
{
	struct job job = job_start(&(struct command){ .argv = LIST(prog("push_many"), events),
						      .env = LIST("TALLY=1") });

	assert_string_equal(job_line(&job), "pushed");
	return job;
}

static void end_pushing(struct job *job)
{
	assert_int_equal(job_end(job).status, 0);
}

static json_t *ps_json(void)
{
	struct outcome outcome = TALLY("ps", "--json");

	assert_int_equal(outcome.status, 0);
	return json_parse(outcome.out);
}

static char *report_path(void)
{
	return text("%s/report.json", test_tmp);
}

/* ---- Usage ----------------------------------------------------------------------------------- */

static void check_usage_error(const char *const *words, const char *culprit, const char *hint)
{
	const char *argv[16] = { built("tally") };
	struct outcome outcome;
	size_t i;

	for (i = 0; words[i]; i++)
		argv[i + 1] = words[i];
	outcome = run(&(struct command){ .argv = argv });
	if (outcome.status != 2)
		fail_msg("status %d of the one about %s", outcome.status, culprit);
	assert_string_equal(outcome.out, "");
	check_one_line(outcome.err);
	check_contains(outcome.err, culprit);
	check_contains(outcome.err, hint);
}
#define USAGE_ERROR(culprit, hint, ...) check_usage_error(LIST(__VA_ARGS__), culprit, hint)

static void unknown_verbs_exit_2_with_a_hint(void **state)
{
	(void)state;
	USAGE_ERROR("\"frobnicate\"", "try `tally help`", "frobnicate");
	USAGE_ERROR("\"pss\"", "did you mean \"ps\"", "pss");
	USAGE_ERROR("\"rnu\"", "did you mean \"run\"", "rnu", "true");
	USAGE_ERROR("\"\"", "try `tally help`", "");
	USAGE_ERROR("\"PS\"", "try `tally help`", "PS", "--json");
	USAGE_ERROR("\"a?[31mb\"", "try `tally help`", "a\033[31mb"); /* colours nothing */
	USAGE_ERROR("\"frobnicate\"", "try `tally help`", "help", "frobnicate");
}

static void unknown_options_exit_2_with_a_hint(void **state)
{
	(void)state;
	USAGE_ERROR("--frob", "try `tally help`", "--frob");
	USAGE_ERROR("-x", "try `tally help`", "-x", "ps");
	USAGE_ERROR("--frob", "try `tally help ps`", "ps", "--frob");
	USAGE_ERROR("-x", "try `tally help ps`", "ps", "-x");
	USAGE_ERROR("-x", "try `tally help ps`", "ps", "-xyz"); /* one of several in a word */
	USAGE_ERROR("--json=yes", "try `tally help ps`", "ps", "--json=yes");
	USAGE_ERROR("--frob", "try `tally help run`", "run", "--frob", "--", "true");
	USAGE_ERROR("-x", "try `tally help run`", "run", "-x", "true");
}

static void bad_arguments_exit_2_with_a_hint(void **state)
{
	static const char *const pids[] = {
		"0", "-1", "+5", " 5", "5 ", "5x", "4294967297", "", "abc", "99999999999999999999"
	};
	static const char *const rings[] = { "63", "-1", "65", "2097152", "", "x", "64x" };
	char *trace = text("%s/trace", test_tmp);
	size_t i;

	(void)state;
	USAGE_ERROR("-p needs a value", "try `tally help ps`", "ps", "-p");
	USAGE_ERROR("--pid needs a value", "try `tally help ps`", "ps", "--json", "--pid");
	for (i = 0; i < COUNT(pids); i++)
		USAGE_ERROR(text("\"%s\"", pids[i]), "try `tally help ps`", "ps", "-p", pids[i]);
	USAGE_ERROR("\"more\"", "try `tally help ps`", "ps", "more");
	USAGE_ERROR("which command", "try `tally help run`", "run");
	USAGE_ERROR("which command", "try `tally help run`", "run", "--");
	USAGE_ERROR("--json needs a value", "try `tally help run`", "run", "--json");
	for (i = 0; i < COUNT(rings); i++)
		USAGE_ERROR(text("\"%s\"", rings[i]), "try `tally help run`", "run", "--ring",
			    rings[i], "--", "touch", trace);
	assert_int_equal(access(trace, F_OK), -1); /* nothing was started */
	USAGE_ERROR("one verb", "try `tally help help`", "help", "run", "ps");
}

static char *stdout_of(const char *const *words)
{
	const char *argv[16] = { built("tally") };
	struct outcome outcome;
	size_t i;

	for (i = 0; words[i]; i++)
		argv[i + 1] = words[i];
	outcome = run(&(struct command){ .argv = argv });
	assert_int_equal(outcome.status, 0);
	assert_string_equal(outcome.err, "");
	return outcome.out;
}

static void help_and_version_go_to_stdout(void **state)
{
	static const char *const verbs[] = { "run", "ps", "help" };
	char *help = stdout_of(LIST("help"));
	size_t i;

	(void)state;
	assert_string_equal(stdout_of(LIST("--help")), help);
	assert_string_equal(stdout_of(LIST("-h")), help);
	for (i = 0; i < COUNT(verbs); i++) {
		char *own = stdout_of(LIST("help", verbs[i]));

		check_contains(help, text("\n  %s ", verbs[i]));
		check_contains(own, text("usage: tally %s", verbs[i]));
		assert_string_equal(stdout_of(LIST(verbs[i], "--help")), own);
		assert_string_equal(stdout_of(LIST(verbs[i], "-h")), own);
	}
	assert_string_equal(stdout_of(LIST("--version")), "tally " TALLY_VERSION "\n");
	assert_string_equal(stdout_of(LIST("-V")), "tally " TALLY_VERSION "\n");
	/* a command's own options are its own */
	assert_string_equal(RUN(built("tally"), "run", "echo", "--help", "-h").out, "--help -h\n");
}

static void output_that_cannot_be_written_exits_1(void **state)
{
	static const char *const words[] = { "ps", "ps --json", "help", "--version" };
	struct job job = start_pushing("11");
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(words); i++) {
		struct outcome outcome = RUN("sh", "-c", text("\"$0\" %s >/dev/full", words[i]),
					     built("tally"));

		assert_int_equal(outcome.status, 1);
		check_one_line(outcome.err);
		check_contains(outcome.err, "No space left");
	}
	end_pushing(&job);
}

/* ---- Nothing, and nobody's ------------------------------------------------------------------- */

static void ps_exits_3_when_there_is_nothing(void **state)
{
	static const char *const empty[] = { "TALLY_DIR=/nonexistent", "TALLY_DIR=/proc/self/task",
					     "NO_COLOR=1" };
	struct outcome outcome;
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(empty); i++) {
		struct command command = { .argv = LIST(built("tally"), "ps"),
					   .env = LIST(empty[i]) };

		outcome = run(&command);
		assert_int_equal(outcome.status, 3);
		assert_string_equal(outcome.out, "");
		check_one_line(outcome.err);
		command.argv = LIST(built("tally"), "ps", "--json");
		outcome = run(&command);
		assert_int_equal(outcome.status, 3);
		assert_string_equal(outcome.out, "");
	}
	outcome = TALLY("ps", "-p", text("%d", getpid()));
	assert_int_equal(outcome.status, 3);
	check_contains(outcome.err, text("%d", getpid()));
	outcome = RUN(built("tally")); /* with no verb, off a terminal */
	assert_int_equal(outcome.status, 3);
}

/* Runs `tally` as another user, from a place that everybody can reach. */
static struct outcome as_nobody(const char *const *words)
{
	char *tally = text("%s/tally", test_tmp);
	const char *argv[16] = { "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
				 tally };
	size_t i;

	if (access(tally, F_OK) != 0)
		assert_int_equal(RUN("cp", built("tally"), tally).status, 0);
	assert_int_equal(chmod(test_tmp, 0755), 0);
	for (i = 0; words[i]; i++)
		argv[5 + i] = words[i];
	return run(&(struct command){ .argv = argv });
}

static void region_of_another_user_exits_4_when_it_was_asked_for(void **state)
{
	struct job job;
	struct outcome outcome;

	(void)state;
	if (geteuid() != 0)
		SKIP("only root can become another user");
	if (RUN("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "true").status != 0)
		SKIP("setpriv does not work here");
	job = start_pushing("11");
	assert_int_equal(chmod(test_dir, 0755), 0);
	outcome = as_nobody(LIST("ps", "-p", text("%d", job.pid)));
	assert_int_equal(outcome.status, 4);
	assert_string_equal(outcome.out, "");
	check_one_line(outcome.err);
	check_contains(outcome.err, "user 0");
	check_contains(outcome.err, only_region());
	/* readable, but not its own: still */
	assert_int_equal(chmod(text("%s/%s", test_dir, only_region()), 0644), 0);
	outcome = as_nobody(LIST("ps", "--json", "-p", text("%d", job.pid)));
	assert_int_equal(outcome.status, 4);
	assert_string_equal(outcome.out, "");
	/* unasked it is nobody's business */
	outcome = as_nobody(LIST("ps"));
	assert_int_equal(outcome.status, 3);
	check_one_line(outcome.err);
	assert_null(strstr(outcome.err, only_region()));
	/* and a directory that may not be listed */
	assert_int_equal(chmod(test_dir, 0700), 0);
	outcome = as_nobody(LIST("ps"));
	assert_int_equal(outcome.status, 4);
	check_contains(outcome.err, test_dir);
	end_pushing(&job);
}

static void root_may_ask_for_anybodys_process(void **state)
{
	char *program = text("%s/push_many", test_tmp);
	struct outcome outcome;
	struct job job;

	(void)state;
	if (geteuid() != 0)
		SKIP("only root can become another user");
	assert_int_equal(chmod(test_dir, 0777), 0);
	assert_int_equal(chmod(test_tmp, 0755), 0);
	assert_int_equal(RUN("cp", prog("push_many"), program).status, 0);
	assert_int_equal(RUN("cp", "-L", built("libtally.so.0"), test_tmp).status, 0);
	job = job_start(&(struct command){
		.argv = LIST("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "env",
			     "TALLY=1", text("LD_LIBRARY_PATH=%s", test_tmp), program, "11") });
	assert_string_equal(job_line(&job), "pushed");
	outcome = TALLY("ps", "-p", text("%d", job.pid));
	assert_int_equal(outcome.status, 0);
	check_contains(outcome.out, "74 B");
	assert_int_equal(TALLY("ps").status, 3);
	end_pushing(&job);
}

/* ---- Refused regions ------------------------------------------------------------------------- */

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
	{ { "version 2", 5, true }, AT(abi_version), 4, 2 },
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
	end_pushing(&healthy);
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
	end_pushing(&healthy);
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
	end_pushing(&healthy);
}

/* ---- JSON ------------------------------------------------------------------------------------ */

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
	{ "lost_records", COUNTED },
	{ "events_total", COUNTED },
	{ "records_read", COUNTED | UNKNOWN },
	{ "rejected_events", COUNTED },
	{ "refused_files", COUNTED },
	{ "devices", MANY },
	{ "processes", MANY },
	{ NULL, 0 },
};

static const struct key device_keys[] = {
	{ "device", COUNTED },		 { "name", WORD | UNKNOWN }, { "arch", WORD | UNKNOWN },
	{ "stable_id", WORD | UNKNOWN }, { "pools", ALL },	     { NULL, 0 },
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
	{ NULL, 0 },
};

static const struct key process_keys[] = {
	{ "pid", COUNTED },
	{ "comm", WORD },
	{ "alive", FLAG },
	{ "end", WORD },
	{ "start_time", TIME },
	{ "region", WORD },
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
	struct sums sums = { 0 };
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
	end_pushing(&plain);
	job_say(&described, "end");
	assert_int_equal(job_end(&described).status, 0);
}

static json_t *run_json(const char *const *command, int status)
{
	const char *argv[16] = { built("tally"), "run", "--json", report_path(), "--" };
	size_t i;

	for (i = 0; command[i]; i++)
		argv[5 + i] = command[i];
	assert_int_equal(run(&(struct command){ .argv = argv }).status, status);
	return json_parse(read_file(report_path(), NULL));
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

/* ---- Tables ---------------------------------------------------------------------------------- */

/* The line of a table that begins with these words, blanks as one; fails when there is none. */
static char *row(const char *table, const char *first)
{
	char *rest = text("%s", table), *line;

	while ((line = strsep(&rest, "\n"))) {
		char *squeezed = text("%s", line), *to = squeezed;
		const char *from;

		for (from = line; *from; from++)
			if (*from != ' ' || (to > squeezed && to[-1] != ' '))
				*to++ = *from;
		*to = '\0';
		if (strncmp(squeezed, first, strlen(first)) == 0)
			return squeezed;
	}
	fail_msg("no row \"%s\" in: %s", first, table);
	return NULL;
}

static void ps_shows_a_row_per_device_and_pool_and_per_process(void **state)
{
	struct job one = start_pushing("11"), other = start_pushing("21");
	struct outcome outcome = TALLY("ps");

	(void)state;
	assert_int_equal(outcome.status, 0);
	assert_string_equal(row(outcome.out, "DEVICE"),
			    "DEVICE POOL HELD PEAK ALLOCS FREES FAILED LOST");
	assert_string_equal(row(outcome.out, "1 l1"), "1 l1 158 B 158 B 17 15 0 0");
	assert_string_equal(row(outcome.out, "PID"),
			    "PID COMMAND HELD PEAK ALLOCS FREES FAILED LOST STATE");
	assert_string_equal(row(outcome.out, text("%d ", one.pid)),
			    text("%d push_many 74 B 74 B 6 5 0 0 running", one.pid));
	assert_string_equal(row(outcome.out, text("%d ", other.pid)),
			    text("%d push_many 84 B 84 B 11 10 0 0 running", other.pid));
	assert_null(strchr(outcome.out, '\033'));
	assert_string_equal(outcome.err, "");
	/* no verb means ps */
	assert_string_equal(RUN(built("tally")).out, outcome.out);
	outcome = TALLY("ps", "-p", text("%d", one.pid));
	assert_int_equal(outcome.status, 0);
	assert_string_equal(outcome.err, "");
	assert_string_equal(row(outcome.out, "1 l1"), "1 l1 74 B 74 B 6 5 0 0");
	assert_null(strstr(outcome.out, text("\n%d ", other.pid)));
	end_pushing(&one);
	end_pushing(&other);
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
	end_pushing(&alive);
	json = json_parse(TALLY("ps", "--json", "-p", text("%d", dead.pid)).out);
	assert_int_equal(json_number(json_pool(json, 1, "l1"), "live_bytes"), 0);
	assert_int_equal(json_number(json_pool(json, 1, "l1"), "abandoned_bytes_total"), 84);
	remove_regions();
}

static void ps_shows_no_process_that_ended_cleanly(void **state)
{
	struct job job = start_pushing("11");

	(void)state;
	assert_int_equal(TALLY("ps").status, 0);
	end_pushing(&job);
	assert_int_equal(TALLY("ps").status, 3);
}

static void report_of_run_shows_the_same_numbers_as_its_json(void **state)
{
	json_t *json = run_json(LIST(prog("push_many"), "11"), 0);
	struct sums heap = json_sums(json_pool(json, 0, "heap"));
	struct outcome outcome = TALLY("run", "--", prog("push_many"), "11");

	(void)state;
	assert_int_equal(outcome.status, 0);
	assert_string_equal(outcome.out, "pushed\n"); /* not a word of ours */
	check_contains(outcome.err, "push_many ended with status 0 after ");
	check_contains(outcome.err, ", 1 process followed\n");
	assert_string_equal(row(outcome.err, "DEVICE"),
			    "DEVICE POOL AT END PEAK ALLOCS FREES FAILED LOST");
	assert_string_equal(row(outcome.err, "1 l1"), "1 l1 74 B 74 B 6 5 0");
	check_contains(row(outcome.err, "0 host heap"),
		       text(" %" PRId64 " %" PRId64 " 0", heap.allocs, heap.frees));
	check_contains(row(outcome.err, "all"),
		       text(" %" PRId64 " %" PRId64 " 0 0", heap.allocs + 6, heap.frees + 5));
	assert_string_equal(row(outcome.err, "PID"),
			    "PID COMMAND AT END PEAK ALLOCS FREES FAILED LOST ENDED");
	check_contains(outcome.err, "push_many");
	check_contains(outcome.err, "exited");
	/* in so small a ring that most records are lost before they are read */
	outcome = TALLY("run", "--ring", "64", "--", prog("push_many"), "1000001");
	assert_int_equal(outcome.status, 0);
	assert_string_equal(row(outcome.err, "1 l1"), "1 l1 64 B 162 B 500,001 500,000 0");
	check_contains(outcome.err, "were overwritten before they were read");
}

/* ---- Two at once ----------------------------------------------------------------------------- */

static struct job start_run(const char *events, const char *report)
{
	struct job job = START(built("tally"), "run", "--json", report, "--", "sh", "-c",
			       "\"$0\" \"$1\"; exit $(($1 % 100))", prog("push_many"), events);

	assert_string_equal(job_line(&job), "pushed");
	return job;
}

/* Its own program is in there, no other is, and nobody lives on. */
static void check_run(const char *report, int64_t events)
{
	json_t *json = json_parse(read_file(report, NULL)), *process;
	struct sums sums = json_sums(json_pool(json, 1, "l1"));
	size_t i, pushed = 0;

	assert_int_equal(sums.allocs + sums.frees, events);
	json_array_foreach(json_get(json, "processes"), i, process) {
		pushed += strcmp(json_text(process, "comm"), "push_many") == 0;
		assert_false(json_flag(process, "alive"));
	}
	assert_int_equal(pushed, 1);
}

static size_t pushing(void)
{
	return count_of(TALLY("ps").out, "push_many");
}

static void two_runs_at_once_do_not_mix(void **state)
{
	char *first = text("%s/first", test_tmp), *second = text("%s/second", test_tmp);
	struct job one = start_run("1007", first), other = start_run("2009", second);
	struct outcome outcome;

	(void)state;
	assert_int_equal(pushing(), 2);
	outcome = job_end(&one);
	assert_int_equal(outcome.status, 7);
	assert_string_equal(outcome.err, "");
	assert_int_equal(pushing(), 1);
	outcome = job_end(&other);
	assert_int_equal(outcome.status, 9);
	assert_string_equal(outcome.err, "");
	check_run(first, 1007);
	check_run(second, 2009);
}

static void what_lay_around_is_not_the_runs_business(void **state)
{
	struct sample sample = make_sample();
	struct job healthy = start_pushing("21");
	size_t n, left;
	json_t *json;

	(void)state;
	for (n = 0; n < SPOILED; n++)
		make_spoiled(n, &sample);
	left = regions_left();
	json = run_json(LIST(prog("push_many"), "11"), 0);
	assert_int_equal(json_array_size(json_get(json, "processes")), 1);
	assert_int_equal(json_sums(json_pool(json, 1, "l1")).allocs, 6);
	assert_int_equal(regions_left(), left);
	assert_string_equal(TALLY("run", "--json", "/dev/null", "--", "true").err, "");
	end_pushing(&healthy);
	remove_regions();
}

/* ---- The live line --------------------------------------------------------------------------- */

#define ROWS 64
#define COLUMNS 200

/* What a terminal would show of what was written to it. */
struct screen {
	char cells[ROWS][COLUMNS + 1];
	int row, column, columns;
};

static void show(struct screen *screen, const char *bytes, size_t size)
{
	size_t i;
	int column;

	for (i = 0; i < size; i++) {
		assert_true(screen->row < ROWS);
		if (bytes[i] == '\r') {
			screen->column = 0;
		} else if (bytes[i] == '\n') {
			screen->row++;
			screen->column = 0;
		} else if (strncmp(bytes + i, "\033[K", 3) == 0) {
			for (column = screen->column; column < COLUMNS; column++)
				screen->cells[screen->row][column] = ' ';
			i += 2;
		} else {
			assert_true(bytes[i] >= ' ' && bytes[i] != 0x7f);
			if (screen->column == screen->columns) { /* no room left in the line */
				screen->row++;
				screen->column = 0;
			}
			screen->cells[screen->row][screen->column++] = bytes[i];
		}
	}
}

/* Everything that is shown until `count` of `what` have come, or until the end when NULL. */
static char *shown_until(const struct job *job, char *shown, const char *what, size_t count)
{
	char bytes[1024];
	ssize_t got;

	while (!what || count_of(shown, what) < count) {
		struct pollfd ready = { .fd = job->from, .events = POLLIN };

		if (poll(&ready, 1, DEADLINE_S * 1000) != 1)
			fail_msg("waited in vain for \"%s\", saw \"%s\"", what ? what : "the end",
				 shown);
		got = read(job->from, bytes, sizeof(bytes));
		if (got <= 0 && what)
			fail_msg("ended before \"%s\" came: \"%s\"", what, shown);
		if (got <= 0)
			break;
		shown = text("%s%.*s", shown, (int)got, bytes);
	}
	return shown;
}

static void check_live_line_is_gone(const char *shown, int columns)
{
	struct screen screen = { .columns = columns };
	int row_no, reports = 0;

	memset(screen.cells, ' ', sizeof(screen.cells));
	show(&screen, shown, strlen(shown));
	for (row_no = 0; row_no < ROWS; row_no++) {
		screen.cells[row_no][COLUMNS] = '\0';
		assert_null(strstr(screen.cells[row_no], "hold"));
		assert_null(strstr(screen.cells[row_no], "allocations,"));
		reports += strncmp(screen.cells[row_no], "tally: ", 7) == 0 &&
			   strstr(screen.cells[row_no], " ended with status 0") != NULL;
	}
	assert_int_equal(reports, 1);
}

static void live_line_is_drawn_on_a_terminal_alone_and_is_gone_in_the_end(void **state)
{
	/* started first: what the terminal shows, these could have shown as well */
	struct job in_pipe = START(built("tally"), "run", "--", prog("push_many"), "11");
	struct job background = START(prog("in_terminal"), "80", "sh", "-c",
				      "exec \"$0\" run -- \"$1\" 11 2>\"$2\"", built("tally"),
				      prog("push_many"), text("%s/err", test_tmp));
	struct job terminal = START(prog("in_terminal"), "120", built("tally"), "run", "--",
				    prog("push_many"), "11");
	struct outcome outcome;
	char *shown, *err;

	(void)state;
	assert_string_equal(job_line(&in_pipe), "pushed");
	assert_string_equal(job_line(&background), "pushed");
	shown = shown_until(&terminal, text("%s", ""), "allocations", 2);
	check_contains(shown, "tally: 1 process holds ");
	assert_int_equal(write(terminal.to, "\n", 1), 1); /* push_many reads it and ends */
	shown = shown_until(&terminal, shown, NULL, 0);
	check_live_line_is_gone(shown, 120);
	assert_int_equal(wait_status(terminal.pid), 0);
	close(terminal.to);
	close(terminal.from);

	outcome = job_end(&in_pipe);
	assert_int_equal(outcome.status, 0);
	assert_null(strchr(outcome.err, '\r'));
	assert_null(strchr(outcome.err, '\033'));
	assert_null(strstr(outcome.err, "holds"));
	assert_int_equal(write(background.to, "\n", 1), 1);
	assert_string_equal(shown_until(&background, text("%s", ""), NULL, 0), "");
	assert_int_equal(wait_status(background.pid), 0);
	err = read_file(text("%s/err", test_tmp), NULL);
	assert_null(strchr(err, '\r'));
	assert_null(strstr(err, "holds"));
	close(background.to);
	close(background.from);
}

static void live_line_fits_a_narrow_terminal(void **state)
{
	struct job job = START(prog("in_terminal"), "30", built("tally"), "run", "--json",
			       report_path(), "--", prog("push_many"), "11");
	char *shown;
	struct screen screen = { .columns = 30 };

	(void)state;
	shown = shown_until(&job, text("%s", ""), "\033[K", 2);
	check_contains(shown, "tally: 1 process holds");
	memset(screen.cells, ' ', sizeof(screen.cells));
	show(&screen, shown, strlen(shown));
	assert_int_equal(screen.row, 1); /* below "pushed" */
	assert_int_equal(write(job.to, "\n", 1), 1);
	shown = shown_until(&job, shown, NULL, 0);
	assert_string_equal(shown + strlen(shown) - 4, "\r\033[K"); /* the last thing */
	assert_int_equal(wait_status(job.pid), 0);
	close(job.to);
	close(job.from);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(unknown_verbs_exit_2_with_a_hint),
		TEST(unknown_options_exit_2_with_a_hint),
		TEST(bad_arguments_exit_2_with_a_hint),
		TEST(help_and_version_go_to_stdout),
		TEST(output_that_cannot_be_written_exits_1),
		TEST(ps_exits_3_when_there_is_nothing),
		TEST(region_of_another_user_exits_4_when_it_was_asked_for),
		TEST(root_may_ask_for_anybodys_process),
		TEST(refused_regions_cost_a_line_each_and_nothing_else),
		TEST(refused_region_that_was_asked_for_has_its_exit_status),
		TEST(message_of_a_mismatch_names_the_regions_version_too),
		TEST(stray_names_cost_a_line_and_others_none),
		TEST(bytes_behind_the_header_may_be_anything),
		TEST(json_of_ps_has_the_keys_and_kinds_that_are_promised),
		TEST(json_of_run_has_the_keys_and_kinds_that_are_promised),
		TEST(json_goes_to_stdout_for_a_dash),
		TEST(ps_shows_a_row_per_device_and_pool_and_per_process),
		TEST(ps_shows_what_a_killed_process_abandoned_and_not_as_held),
		TEST(ps_shows_no_process_that_ended_cleanly),
		TEST(report_of_run_shows_the_same_numbers_as_its_json),
		TEST(two_runs_at_once_do_not_mix),
		TEST(what_lay_around_is_not_the_runs_business),
		TEST(live_line_is_drawn_on_a_terminal_alone_and_is_gone_in_the_end),
		TEST(live_line_fits_a_narrow_terminal),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
