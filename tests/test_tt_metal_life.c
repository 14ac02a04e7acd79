/* SPDX-License-Identifier: Apache-2.0 */
/* The runtime's client on Tally as a part of its process: when it is on, that it needs no server
 * and waits for none, threads, forks, and where its table ends.
 */
#include <errno.h>
#include <string.h>
#include <tally/ids.h>

#include "tests/tt_metal.h"

/* ---- On and off ------------------------------------------------------------------------------ */

static void check_off(void **state, const char *const *settings)
{
	struct job job = client_start_with(state, settings);

	job_do(&job, "alloc 0 1000 0 1");
	job_do(&job, "cb 0 1000 1");
	job_do(&job, "times 100 free 0 9");
	job_do(&job, "alloc -1 1000 9 1");
	assert_string_equal(client_ask(&job, "enabled"), "no");
	assert_string_equal(client_ask(&job, "describe 0 3 8 1 1 1 1"), text("%d", -ENODEV));
	check_counts(&job, "0 0 0 0 0");
	assert_int_equal(regions_left(), 0);
	job_end_well(&job);
}

static void without_the_variable_nothing_is_counted_and_nothing_made(void **state)
{
	check_off(state, LIST("TT_ALLOC_TRACKING_ENABLED"));
	check_off(state, LIST("TT_ALLOC_TRACKING_ENABLED="));
	check_off(state, LIST("TT_ALLOC_TRACKING_ENABLED=0"));
	check_off(state, LIST("TT_ALLOC_TRACKING_ENABLED=10"));
}

static void tally_0_holds_against_the_runtimes_variable(void **state)
{
	check_off(state, LIST("TT_ALLOC_TRACKING_ENABLED=1", "TALLY=0"));
	check_off(state, LIST("TT_ALLOC_TRACKING_ENABLED=1", "TALLY=no"));
}

static void check_on(void **state, const char *const *settings)
{
	struct job job = client_start_with(state, settings);

	assert_string_equal(client_ask(&job, "enabled"), "yes");
	job_do(&job, "alloc 0 1000 0 1");
	check_live(job.pid, 0, TALLY_POOL_DRAM, 1000, 1);
	job_end_well(&job);
}

static void either_variable_switches_on(void **state)
{
	check_on(state, LIST("TT_ALLOC_TRACKING_ENABLED=1"));
	check_on(state, LIST("TT_ALLOC_TRACKING_ENABLED=1", "TALLY="));
	check_on(state, LIST("TT_ALLOC_TRACKING_ENABLED=1", "TALLY=1"));
	check_on(state, LIST("TALLY=1"));
}

static void first_report_of_all_counts(void **state)
{
	struct job job = client_start(state);

	job_do(&job, "alloc 0 1000 0 1"); /* before anybody has asked whether it is on */
	check_live(job.pid, 0, TALLY_POOL_DRAM, 1000, 1);
	job_end_well(&job);
}

/* ---- No server ------------------------------------------------------------------------------- */

/* The whole of a runtime's life, under strace; what it said of the network. */
static char *network_calls(const char *program)
{
	char *path = text("%s/strace", test_tmp);
	struct outcome outcome = run(&(struct command){
		.argv = LIST("strace", "-f", "-qq", "-e", "trace=network", "-e", "signal=none",
			     "-o", path, program),
		.env = LIST("TT_ALLOC_TRACKING_ENABLED=1"),
		.input = "alloc 0 1 0 1\nfree 0 1\nfree 0 1\ncb 0 1 1\nuncb 0 0 1\n"
			 "kernel 0 1 1 0\nunkernel 0 0 1\ndescribe 0 3 8 1 1 1 1\n"
			 "threads 4 1000\nstorm 3\ncounts\n",
	});

	if (outcome.status != 0 && strstr(outcome.err, "ptrace"))
		SKIP("strace may not trace here");
	assert_int_equal(outcome.status, 0);
	check_contains(outcome.out, "\n0\n0\n0\n"); /* described, and all went well */
	remove_regions(); /* of the children, which end as killed ones do */
	return read_file(path, NULL);
}

static void no_socket_is_opened_so_no_server_can_stall_or_kill(void **state)
{
	SKIP_EMULATED("strace sees the emulator");
	assert_string_equal(network_calls(prog((const char *)*state)), "");
}

static void reports_make_no_system_call(void **state)
{
	uint64_t calls[2];
	size_t i;

	SKIP_EMULATED("the emulator makes system calls of its own");
	for (i = 0; i < COUNT(calls); i++) {
		char *path = text("%s/strace", test_tmp);
		struct outcome outcome = run(&(struct command){
			.argv = LIST(STRACE(path), prog((const char *)*state)),
			.env = LIST("TT_ALLOC_TRACKING_ENABLED=1"),
			.input = i ? "alloc 0 1 0 7\nfree 0 7\ntimes 300000 alloc 0 1 0 7\n"
				     "times 300000 free 0 7\n"
				   : "alloc 0 1 0 7\nfree 0 7\ntimes 3 alloc 0 1 0 7\n"
				     "times 3 free 0 7\n",
		});

		calls[i] = strace_total(&outcome, path);
	}
	assert_int_equal(calls[1], calls[0]);
}

/* ---- Threads --------------------------------------------------------------------------------- */

static void eight_threads_at_once_give_exact_totals(void **state)
{
	const int64_t threads = 8, events = 20000;
	struct job job = client_start(state);
	struct test_sums sums;
	int64_t n, all = 0, kept = 0, last = 1000 + events - 1;
	uint32_t pool;

	job_do(&job, text("threads %d %d", (int)threads, (int)events));
	for (n = 0; n < events; n++) {
		all += 64 + n;
		kept += n % 4 == 0 ? 64 + n : 0;
	}
	check_sums_of(job.pid, 0, TALLY_POOL_DRAM, threads * all, threads * (all - kept),
		      threads * events, threads * events / 4 * 3, 0);
	check_live(job.pid, 0, TALLY_POOL_CB, threads * last, threads);
	check_live(job.pid, 0, TALLY_POOL_KERNEL, threads * 500, threads);
	sums = sums_of(job.pid, 0, TALLY_POOL_CB);
	assert_int_equal(sums.allocs, threads * events);
	/* what they did to the same ids ends with nothing once these are freed */
	for (n = 0; n < 8; n++)
		job_do(&job, text("free 1 %d", (int)n));
	for (pool = 0; pool <= TALLY_POOL_TRACE; pool++)
		check_live(job.pid, 1, pool, 0, 0);
	for (pool = 0, n = 0; pool <= TALLY_POOL_TRACE; pool++)
		n += sums_of(job.pid, 1, pool).allocs;
	assert_int_equal(n, threads * events);
	job_end_well(&job);
}

/* ---- Forks ----------------------------------------------------------------------------------- */

static void fork_child_starts_with_nothing_and_frees_nothing_of_its_parents(void **state)
{
	struct job job = client_start(state);
	int child;

	job_do(&job, "alloc 0 1000 0 1");
	job_do(&job, "alloc 0 50 0 2");
	job_do(&job, "free 0 9");
	check_counts(&job, "0 1 0 0 0");
	assert_int_equal(sscanf(client_ask(&job, "fork"), "child %d", &child), 1);
	assert_string_equal(client_ask(&job, "enabled"), "yes");
	check_counts(&job, "0 0 0 0 0");
	job_do(&job, "free 0 1");
	job_do(&job, "alloc 0 7 0 2");
	check_sums_of(child, 0, TALLY_POOL_DRAM, 7, 0, 1, 0, 0);
	check_counts(&job, "0 1 0 0 0");
	job_say(&job, "exit");
	WAIT_FOR(kill(child, 0) != 0);
	check_counts(&job, "0 1 0 0 0");
	job_do(&job, "free 0 1");
	check_sums_of(job.pid, 0, TALLY_POOL_DRAM, 1050, 1000, 2, 1, 0);
	job_end_well(&job);
}

static void children_forked_beside_threads_that_report_never_hang(void **state)
{
	struct job job = client_start(state);
	uint32_t pool;
	int64_t n;

	job_do(&job, "storm 50");
	/* and the parent's sums are its own */
	for (n = 0; n < 8; n++)
		job_do(&job, text("free 1 %d", (int)n));
	for (pool = 0; pool <= TALLY_POOL_TRACE; pool++)
		check_live(job.pid, 1, pool, 0, 0);
	job_end_well(&job);
	remove_regions(); /* of children, which end as killed ones do */
}

/* ---- A region after another ------------------------------------------------------------------ */

static void what_was_held_before_a_shutdown_is_unknown_to_the_next_region(void **state)
{
	struct job job = client_start(state);

	job_do(&job, "many 0 16 0 5000");
	job_do(&job, "cb 0 100 1");
	job_do(&job, "kernel 0 100 1 0");
	assert_string_equal(client_ask(&job, "restart"), "0");
	job_do(&job, "alloc 0 7 0 1"); /* is not live: no difference to an earlier one */
	job_do(&job, "unmany 0 5000"); /* with the one that is */
	job_do(&job, "uncb 0 100 1");
	job_do(&job, "unkernel 0 100 1");
	check_sums_of(job.pid, 0, TALLY_POOL_DRAM, 7, 7, 1, 1, 0);
	check_cells(job.pid, 1, 0); /* nothing else has moved */
	check_counts(&job, "0 5001 0 0 0");
	job_do(&job, "alloc 0 9 0 2");
	check_live(job.pid, 0, TALLY_POOL_DRAM, 9, 1);
	job_do(&job, "free 0 2");
	check_live(job.pid, 0, TALLY_POOL_DRAM, 0, 0);
	job_end_well(&job);
}

/* ---- The table's end ------------------------------------------------------------------------- */

static void ids_beyond_the_tables_limit_are_counted_and_booked_nowhere(void **state)
{
	const int64_t more = TALLY_IDS_ENTRIES + 100000;
	struct job job = client_start(state);
	unsigned long long untracked;
	struct test_sums sums;

	job_do(&job, text("many 0 16 0 %d", (int)more));
	assert_int_equal(sscanf(client_ask(&job, "counts"), "0 0 0 0 %llu", &untracked), 1);
	assert_in_range(untracked, 100000, 100000 + TALLY_IDS_ENTRIES / 8);
	sums = sums_of(job.pid, 0, TALLY_POOL_DRAM);
	assert_int_equal(sums.allocs, more - (int64_t)untracked);
	assert_int_equal(sums.allocated_bytes, 16 * sums.allocs);
	check_cells(job.pid, 1, untracked);
	job_do(&job, text("unmany 0 %d", (int)more));
	check_live(job.pid, 0, TALLY_POOL_DRAM, 0, 0);
	check_counts(&job, text("0 %llu 0 0 %llu", untracked, untracked));
	job_end_well(&job);
}

/* ---- As part of a site ----------------------------------------------------------------------- */

static void tally_run_reports_on_a_runtime_as_it_is(void **state)
{
	struct outcome outcome = run(&(struct command){
		.argv = LIST(built("tally"), "run", "--json", report_path(), "--",
			     prog((const char *)*state)),
		.input = "alloc 5 1000 0 1\nalloc 5 24 0 2\nfree 5 1\n",
	});
	json_t *pool;

	assert_int_equal(outcome.status, 0);
	pool = json_pool(json_parse(read_file(report_path(), NULL)), 5, "dram");
	assert_int_equal(json_number(pool, "allocated_bytes_total"), 1024);
	assert_int_equal(json_number(pool, "freed_bytes_total"), 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH(without_the_variable_nothing_is_counted_and_nothing_made),
		BOTH(tally_0_holds_against_the_runtimes_variable),
		BOTH(either_variable_switches_on),
		BOTH(first_report_of_all_counts),
		BOTH(no_socket_is_opened_so_no_server_can_stall_or_kill),
		BOTH(reports_make_no_system_call),
		BOTH(eight_threads_at_once_give_exact_totals),
		BOTH(fork_child_starts_with_nothing_and_frees_nothing_of_its_parents),
		BOTH(children_forked_beside_threads_that_report_never_hang),
		BOTH(what_was_held_before_a_shutdown_is_unknown_to_the_next_region),
		BOTH(ids_beyond_the_tables_limit_are_counted_and_booked_nowhere),
		BOTH(tally_run_reports_on_a_runtime_as_it_is),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
