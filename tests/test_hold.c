/* SPDX-License-Identifier: Apache-2.0 */
/* A consumer that lossless regions wait for: it misses nothing, and harms nobody.
 * sanitizers: address */
#include <errno.h>
#include <sys/stat.h>
#include <tally/abi.h>
#include <tally/consumer.h>

#include "tests/child.h"
#include "tests/rig.h"
#include "tests/scripted.h"

#define EVENTS 30000
#define PATIENT "TALLY_LOSSLESS=60000" /* longer than a busy machine lets a reader stand still */

static struct tally_consumer *open_holder(pid_t pid)
{
	struct tally_consumer_options options = { .pid = (uint32_t)pid, .hold = true };
	struct tally_consumer *consumer = NULL;

	assert_int_equal(tally_consumer_open(&options, &consumer), 0);
	return consumer;
}

/* What the consumer knows of the only process. */
static struct tally_process_view see(struct tally_consumer *consumer)
{
	const struct tally_snapshot *now = tally_snapshot_get(consumer);
	struct tally_process_view process;

	assert_int_equal(now->process_count, 1);
	process = now->processes[0];
	tally_snapshot_put(now);
	return process;
}

/* A program that will push so many events into a ring of 64 records. */
static struct job start_pusher(const char *setting, unsigned int events)
{
	struct job job = job_start(
		&(struct command){ .argv = LIST(prog("push_many"), text("%u", events), "wait"),
				   .env = LIST("TALLY=1", "TALLY_RING=64", setting) });

	assert_string_equal(job_line(&job), "armed");
	return job;
}

static void who_holds_reads_every_record(void **state)
{
	struct job job = start_pusher(PATIENT, EVENTS);
	struct tally_consumer *consumer = open_holder(job.pid);
	struct tally_process_view process;

	(void)state;
	assert_true(see(consumer).held);
	assert_int_equal(tally_consumer_start(consumer, 10), 0);
	job_say(&job, "go");
	assert_string_equal(job_line(&job), "pushed");
	assert_int_equal(tally_consumer_stop(consumer), 0);
	assert_int_equal(tally_consumer_poll(consumer), 0);
	process = see(consumer);
	assert_int_equal(process.events, EVENTS);
	assert_int_equal(process.lost_records, 0);
	assert_int_equal(process.records_read, EVENTS);
	tally_consumer_close(consumer);
	job_end_well(&job);
}

static void region_that_does_not_wait_is_read_as_ever(void **state)
{
	struct job job = start_pusher(NULL, EVENTS);
	struct tally_consumer *consumer = open_holder(job.pid);
	struct tally_process_view process;

	(void)state;
	job_say(&job, "go");
	assert_string_equal(job_line(&job), "pushed");
	assert_int_equal(tally_consumer_poll(consumer), 0);
	process = see(consumer);
	assert_false(process.held);
	assert_int_equal(process.events, EVENTS);
	assert_true(process.records_read <= 64);
	assert_true(process.lost_records > EVENTS - 200);
	tally_consumer_close(consumer);
	job_end_well(&job);
}

static void others_only_look_on_and_the_next_one_takes_over(void **state)
{
	struct job job = start_pusher(PATIENT, 1000);
	struct tally_consumer *first = open_holder(job.pid);
	struct tally_consumer *second = open_holder(job.pid);

	(void)state;
	assert_true(see(first).held);
	assert_false(see(second).held);
	assert_int_equal(tally_consumer_poll(second), 0);
	assert_false(see(second).held);
	tally_consumer_close(first);
	assert_int_equal(tally_consumer_poll(second), 0);
	assert_true(see(second).held);
	/* Who has closed is not waited for. */
	tally_consumer_close(second);
	job_say(&job, "go");
	assert_string_equal(job_line(&job), "pushed");
	job_end_well(&job);
}

static void child_of_a_holder_does_not_hold(void **state)
{
	struct job job = start_pusher(PATIENT, 10);
	struct tally_consumer *first = open_holder(job.pid), *second;
	pid_t child = fork();

	(void)state;
	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;)
			pause();
	}
	tally_consumer_close(first);
	second = open_holder(job.pid);
	assert_true(see(second).held);
	tally_consumer_close(second);
	kill(child, SIGKILL);
	wait_status(child);
	job_say(&job, "go");
	assert_string_equal(job_line(&job), "pushed");
	job_end_well(&job);
}

static void cut_while_held(void)
{
	struct job job = start_pusher(PATIENT, 10);
	struct tally_consumer *consumer = open_holder(job.pid);
	char *path = text("%s/%s", test_dir, only_region());
	struct stat status;

	job_say(&job, "go");
	assert_string_equal(job_line(&job), "pushed");
	assert_int_equal(tally_consumer_poll(consumer), 0);
	assert_int_equal(stat(path, &status), 0);
	/* Only the cursors are gone: the last page of the file. */
	assert_int_equal(truncate(path, status.st_size - 4096), 0);
	assert_int_equal(tally_consumer_poll(consumer), 0);
	tally_consumer_close(consumer);
	job_kill(&job);
	remove_regions();
}

static void region_that_is_cut_costs_the_holder_an_error(void **state)
{
	(void)state;
	cut_while_held(); /* without a guard it is seen before it is touched */
	assert_int_equal(tally_consumer_guard(), 0);
	cut_while_held();
}

/* ---- tally events --hold --------------------------------------------------------------------- */

static void events_that_are_held_are_all_shown(void **state)
{
	struct job job = start_pusher(PATIENT, 20000);
	char *path = text("%s/out", test_tmp); /* a pipe that nobody reads would make all wait */
	struct job events = START(
		"sh", "-c", text("exec \"$0\" events --hold --strict -p %d >%s", job.pid, path),
		built("tally"));
	struct region_view view = rig_view(only_region());
	struct outcome outcome;

	(void)state;
	/* It stands in the only lane, before anything is pushed. */
	WAIT_FOR(tally_load_acquire(&region_cursor(view.base, &view.at, 0)->holder) != 0);
	region_close(&view);
	job_say(&job, "go");
	assert_string_equal(job_line(&job), "pushed");
	job_end_well(&job);
	outcome = job_end(&events);
	assert_int_equal(outcome.status, 0);
	assert_int_equal(count_of(read_file(path, NULL), "\n"), 20000);
	assert_string_equal(outcome.err, "");
}

static void events_says_who_does_not_wait(void **state)
{
	struct job plain = start_pusher(NULL, 1);
	struct job patient = start_pusher(PATIENT, 1);
	struct tally_consumer *consumer = open_holder(patient.pid);

	(void)state;
	job_say(&plain, "go");
	assert_string_equal(job_line(&plain), "pushed");
	job_say(&patient, "go");
	assert_string_equal(job_line(&patient), "pushed");
	CHECK_TALLY(0, NULL,
		    "does not wait for this reader: start it with TALLY_LOSSLESS=", "events",
		    "--hold", "-n", "1", "-p", pid_of(&plain));
	CHECK_TALLY(0, NULL, "does not wait for this reader: another reader holds it", "events",
		    "--hold", "-n", "1", "-p", pid_of(&patient));
	tally_consumer_close(consumer);
	CHECK_TALLY(0, NULL, "", "events", "--hold", "-n", "1", "-p", pid_of(&patient));
	job_end_well(&plain);
	job_end_well(&patient);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(who_holds_reads_every_record),
		TEST(region_that_does_not_wait_is_read_as_ever),
		TEST(others_only_look_on_and_the_next_one_takes_over),
		TEST(child_of_a_holder_does_not_hold),
		TEST(region_that_is_cut_costs_the_holder_an_error),
		TEST(events_that_are_held_are_all_shown),
		TEST(events_says_who_does_not_wait),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
