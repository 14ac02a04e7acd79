/* SPDX-License-Identifier: Apache-2.0 */
/* Conservation: what `tally run` counts equals the truth to the byte, for a program that knows what
 * it does and for real ones beside which a second counter runs.
 * also on: arm64 */
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/support.h"

/* Every number of the report that must agree with another one of it. */
static void check_adds_up(json_t *json)
{
	int64_t events = 0, read = 0, lost = 0;
	json_t *process, *device, *pool;
	const char *name;
	size_t i, j;

	json_array_foreach(json_get(json, "processes"), i, process) {
		int64_t counted = 0;

		events += json_number(process, "events_total");
		read += json_number(process, "records_read");
		lost += json_number(process, "lost_records");
		assert_int_equal(json_number(process, "lost_records"),
				 json_number(process, "events_total") -
					 json_number(process, "records_read"));
		assert_int_equal(json_number(process, "rejected_events"), 0);
		json_array_foreach(json_get(process, "devices"), j, device) {
			json_object_foreach(json_get(device, "pools"), name, pool) {
				struct test_sums sums = json_sums(pool);

				counted += sums.allocs + sums.frees + sums.failures;
				assert_int_equal(json_number(pool, "live_bytes"),
						 json_number(pool, "inherited_bytes") +
							 sums.allocated_bytes - sums.freed_bytes);
			}
		}
		assert_int_equal(json_number(process, "events_total"), counted);
	}
	assert_int_equal(json_number(json, "events_total"), events);
	assert_int_equal(json_number(json, "records_read"), read);
	/* lost is what was pushed and not seen, exactly */
	assert_int_equal(json_number(json, "lost_records"), lost);
	assert_int_equal(json_number(json, "lost_records"), events - read);
	json_array_foreach(json_get(json, "devices"), i, device) {
		json_object_foreach(json_get(device, "pools"), name, pool) {
			struct test_sums rows = { 0 };

			json_array_foreach(json_get(json, "processes"), j, process)
				rows = sums_plus(rows,
						 json_sums(json_pool(process,
								     json_number(device, "device"),
								     name)));
			assert_sums_equal(json_sums(pool), rows);
		}
	}
}

/* ---- A program that knows -------------------------------------------------------------------- */

static struct test_sums read_truth(const char *path)
{
	struct test_sums truth;

	assert_int_equal(sscanf(read_file(path, NULL),
				"%" SCNd64 " %" SCNd64 " %" SCNd64 " %" SCNd64 " %" SCNd64,
				&truth.allocated_bytes, &truth.freed_bytes, &truth.allocs,
				&truth.frees, &truth.failures),
			 5);
	return truth;
}

/* Runs churn under `tally run`; what it says of the heap, and the truth. */
static struct test_sums churn(int threads, int operations, const char *ring,
			      struct test_sums *ret_truth)
{
	char *json_path = text("%s/report", test_tmp), *truth_path = text("%s/truth", test_tmp);
	struct command command = {
		.argv = LIST(built("tally"), "run", "--json", json_path, "--", prog("churn"),
			     text("%d", threads), text("%d", operations), truth_path),
		.env = LIST(ring),
	};
	struct outcome outcome = run(&command);
	json_t *json, *process;
	struct test_sums counted;

	assert_int_equal(outcome.status, 0);
	assert_string_equal(outcome.out, "");
	json = json_parse(read_file(json_path, NULL));
	check_adds_up(json);
	assert_true(json_flag(json, "run/followed"));
	assert_true(json_flag(json, "complete"));
	assert_int_equal(json_array_size(json_get(json, "processes")), 1);
	process = json_get(json, "processes/0");
	assert_int_equal(json_number(process, "pid"), json_number(json, "run/pid"));
	assert_false(json_flag(process, "alive"));
	counted = json_sums(json_pool(process, 0, "heap"));
	/* the dead hold nothing; what they left is said once */
	assert_int_equal(json_number(json_pool(json, 0, "heap"), "live_bytes"), 0);
	assert_int_equal(json_number(json_pool(json, 0, "heap"), "abandoned_bytes_total"),
			 counted.allocated_bytes - counted.freed_bytes);
	/* a reader cannot keep up with a ring of 64: what it missed is counted, and told */
	if (operations && strstr(ring, "=64"))
		assert_true(json_number(json, "lost_records") > 0);
	*ret_truth = read_truth(truth_path);
	return counted;
}

/* What the C library itself allocates for `threads` threads is the same with and without
 * operations: the difference is what the program did. */
static void conserved(int threads, int operations, const char *ring)
{
	struct test_sums truth, nothing, counted, baseline;

	baseline = churn(threads, 0, ring, &nothing);
	assert_sums_equal(nothing, (struct test_sums){ 0 });
	counted = churn(threads, operations, ring, &truth);
	assert_sums_equal(sums_minus(counted, baseline), truth);
	/* every kind of event was there, and blocks that outlived their thread */
	assert_true(truth.failures > 10 && truth.frees > 100);
	assert_true(truth.allocated_bytes > truth.freed_bytes);
}

static void one_thread_is_conserved_to_the_byte(void **state)
{
	(void)state;
	conserved(1, 200000, "TALLY_RING");
}

static void one_thread_is_conserved_to_the_byte_with_64_records(void **state)
{
	(void)state;
	conserved(1, 200000, "TALLY_RING=64");
}

static void four_threads_are_conserved_to_the_byte(void **state)
{
	(void)state;
	conserved(4, 50000, "TALLY_RING");
}

static void four_threads_are_conserved_to_the_byte_with_64_records(void **state)
{
	(void)state;
	conserved(4, 50000, "TALLY_RING=64");
}

static void sixty_four_threads_are_conserved_to_the_byte(void **state)
{
	(void)state;
	conserved(64, 3000, "TALLY_RING");
}

static void sixty_four_threads_are_conserved_to_the_byte_with_64_records(void **state)
{
	(void)state;
	conserved(64, 3000, "TALLY_RING=64");
}

static void more_threads_than_lanes_are_conserved_to_the_byte(void **state)
{
	(void)state;
	conserved(100, 1000, "TALLY_LANES=8");
}

static void threads_are_conserved_to_the_byte_without_records(void **state)
{
	(void)state;
	conserved(4, 20000, "TALLY_RING=0");
}

/* ---- Real programs --------------------------------------------------------------------------- */

/* As libtruth.c has it in its file. */
struct witness {
	uint64_t allocated, freed, allocs, frees, failures;
};

/* Runs a command with libtruth.so behind the adapter and compares the two. */
static void agrees(const char *const *argv, const char *input, const char *ring)
{
	char *json_path = text("%s/report", test_tmp), *truth_path = text("%s/truth", test_tmp);
	struct command command = {
		.argv = list_and(LIST(built("tally"), "run", "--json", json_path, "--"), argv),
		.env = LIST(text("LD_PRELOAD=%s", prog("libtruth.so")),
			    text("TRUTH_FILE=%s", truth_path), ring),
		.input = input,
	};
	static const struct witness nothing;
	struct outcome outcome;
	struct witness witness;
	json_t *json;

	if (strncmp(argv[0], prog(""), strlen(prog(""))) != 0)
		SKIP_EMULATED("the machine's own programs are not for this processor");
	write_file(truth_path, &nothing, sizeof(nothing));
	outcome = run(&command);
	if (outcome.status != 0)
		fail_msg("%s: %s", argv[0], outcome.err);
	memcpy(&witness, read_file(truth_path, NULL), sizeof(witness));
	assert_true(witness.allocs > 0);
	json = json_parse(read_file(json_path, NULL));
	check_adds_up(json);
	assert_sums_equal(json_sums(json_pool(json, 0, "heap")),
			  ((struct test_sums){ .allocated_bytes = (int64_t)witness.allocated,
					       .freed_bytes = (int64_t)witness.freed,
					       .allocs = (int64_t)witness.allocs,
					       .frees = (int64_t)witness.frees,
					       .failures = (int64_t)witness.failures }));
}

#define AGREES(...) agrees(LIST(__VA_ARGS__), NULL, "TALLY_RING")
#define AGREES_SH(script) AGREES("sh", "-c", script)

static void program_that_knows_agrees_with_the_second_counter(void **state)
{
	(void)state;
	agrees(LIST(prog("churn"), "4", "20000", text("%s/own", test_tmp)), NULL, "TALLY_RING=64");
	AGREES(prog("churn"), "40", "2000", text("%s/own", test_tmp));
}

static void git_and_its_children_agree_with_the_second_counter(void **state)
{
	char *repository = text("%s/repository", test_tmp);
	char *script = text("set -e; git init -q %s; cd %s; for i in 1 2 3 4 5; do seq $i 999 "
			    ">file$i; git add .; git -c user.name=t -c user.email=t@t commit -qm "
			    "\"change $i\"; done",
			    repository, repository);

	(void)state;
	setenv("HOME", test_tmp, 1);
	assert_int_equal(RUN("sh", "-c", script).status, 0);
	AGREES("git", "-C", repository, "log", "--stat", "-p");
	AGREES("git", "-C", repository, "repack", "-adfq");
	AGREES("git", "-C", repository, "fsck", "--no-progress");
	AGREES("git", "clone", "-q", repository, text("%s/clone", test_tmp));
}

static void python_agrees_with_the_second_counter(void **state)
{
	static const char script[] =
		"import subprocess, threading, json\n"
		"d = {str(i): [i] * (i % 50) for i in range(20000)}\n"
		"json.loads(json.dumps(d)); d.clear()\n"
		"t = [threading.Thread(target=lambda: sorted(range(50000))) for _ in range(4)]\n"
		"[x.start() for x in t]; [x.join() for x in t]\n"
		"print(subprocess.run(['echo', 'x'], capture_output=True).stdout)\n";

	(void)state;
	setenv("PYTHONMALLOC", "malloc", 1); /* python's own allocator would hide most */
	AGREES("/usr/bin/env", "python3", "-c", script);
	unsetenv("PYTHONMALLOC");
}

static void perl_agrees_with_the_second_counter(void **state)
{
	(void)state;
	AGREES("perl", "-e",
	       "my %h = map { $_ => [1 .. $_ % 30] } 1 .. 20000; delete $h{$_} for 1 .. 15000;"
	       "if (my $p = fork) { waitpid $p, 0 } else { undef %h; exec 'true' }"
	       "system 'echo x >/dev/null'");
}

static void sort_and_tar_agree_with_the_second_counter(void **state)
{
	char *numbers = text("%s/numbers", test_tmp);

	(void)state;
	assert_int_equal(RUN("sh", "-c", text("seq 1 200000 >%s", numbers)).status, 0);
	AGREES("sort", "-r", "-S", "1M", "--parallel=4", "--compress-program=gzip", "-T", test_tmp,
	       numbers);
	AGREES("tar", "-czf", text("%s/numbers.tgz", test_tmp), "-C", test_tmp, "numbers");
	AGREES("tar", "-tzf", text("%s/numbers.tgz", test_tmp));
}

static void compiler_and_its_children_agree_with_the_second_counter(void **state)
{
	char *source = text("%s/hello.c", test_tmp);
	static const char hello[] =
		"#include <stdio.h>\nint main(void) { return puts(\"x\") < 0; }\n";

	(void)state;
	write_file(source, hello, sizeof(hello) - 1);
	AGREES("gcc", "-O2", "-o", text("%s/hello", test_tmp), source);
	AGREES("gcc", "-O2", "-pipe", "-c", "-o", text("%s/hello.o", test_tmp), source);
}

static void shell_with_many_short_children_agrees_with_the_second_counter(void **state)
{
	(void)state;
	AGREES_SH("i=0; while [ $i -lt 60 ]; do /bin/true; (exit 0); i=$((i + 1)); done");
	AGREES_SH("seq 1 20000 | sort -n | uniq -c | awk '{ n += $1 } END { exit n != 20000 }'");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(one_thread_is_conserved_to_the_byte),
		TEST(one_thread_is_conserved_to_the_byte_with_64_records),
		TEST(four_threads_are_conserved_to_the_byte),
		TEST(four_threads_are_conserved_to_the_byte_with_64_records),
		TEST(sixty_four_threads_are_conserved_to_the_byte),
		TEST(sixty_four_threads_are_conserved_to_the_byte_with_64_records),
		TEST(more_threads_than_lanes_are_conserved_to_the_byte),
		TEST(threads_are_conserved_to_the_byte_without_records),
		TEST(program_that_knows_agrees_with_the_second_counter),
		TEST(git_and_its_children_agree_with_the_second_counter),
		TEST(python_agrees_with_the_second_counter),
		TEST(perl_agrees_with_the_second_counter),
		TEST(sort_and_tar_agree_with_the_second_counter),
		TEST(compiler_and_its_children_agree_with_the_second_counter),
		TEST(shell_with_many_short_children_agrees_with_the_second_counter),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
