/* SPDX-License-Identifier: Apache-2.0 */
/* Consumers killed at random, 1,000 or CRASH_CONSUMERS of them, while producers run: nobody
 * notices, and a new one has exact totals.
 */
#include <stdlib.h>
#include <time.h>

#include "tests/crash_world.h"
#include "tests/watch.h"

#define PRODUCERS 3
#define BURST 500 /* events between two rests of a producer, so that others get the processor */
#define REST_NS 50000
#define LIFE_NS 2500000 /* of a consumer, at most */

struct life {
	uint64_t begun, done; /* events */
	uint64_t resting;
};

/* Shared with the producers. */
static struct {
	uint64_t stop;
	struct life of[PRODUCERS];
} * lives;

static pid_t producers[PRODUCERS];

/* ---- Producers ------------------------------------------------------------------------------- */

/* The first has a region of its own; the others share one, and the one lane of it. */
static void produce(uint32_t actor)
{
	struct life *life = &lives->of[actor];
	uint64_t n = 0;

	setenv("TALLY", "1", 1);
	setenv("TALLY_RING", "64", 1);
	setenv("TALLY_LANES", "1", 1);
	if (actor > 0)
		setenv("TALLY_REGION", "/crash", 1);
	victim_start();
	while (!tally_load_acquire(&lives->stop)) {
		int i;

		for (i = 0; i < BURST; i++) {
			tally_store_release(&life->begun, ++n);
			victim_call(actor, n);
			tally_store_release(&life->done, n);
		}
		nanosleep(&(struct timespec){ .tv_nsec = REST_NS }, NULL);
	}
	tally_store_release(&life->resting, 1);
	for (;;)
		pause();
}

static void start_producers(void)
{
	uint32_t actor;

	for (actor = 0; actor < PRODUCERS; actor++) {
		fflush(NULL);
		producers[actor] = fork();
		assert_true(producers[actor] >= 0);
		if (producers[actor] == 0) {
			prctl(PR_SET_PDEATHSIG, SIGKILL);
			produce(actor);
		}
		WAIT_FOR(tally_load_acquire(&lives->of[actor].done) > 0);
	}
}

/* ---- Consumers ------------------------------------------------------------------------------- */

/* Until it is killed; each in another way. */
static void consume(uint64_t number)
{
	struct tally_consumer_options options = { .read_records = number % 5 != 0,
						  .read_buffers = number % 4 == 0,
						  .from_start = number % 2 };
	struct tally_consumer *consumer;

	if (number % 50 == 0)
		execl(built("tally"), "tally", "ps", "--json", NULL);
	if (tally_consumer_open(&options, &consumer) != 0)
		_exit(2);
	if (number % 3 == 0 && tally_consumer_start(consumer, 1) != 0)
		_exit(3);
	for (;;) {
		if (number % 3 != 0 && tally_consumer_poll(consumer) != 0)
			_exit(4);
		tally_snapshot_put(tally_snapshot_get(consumer));
	}
}

/* Lives for a random time, perhaps not even until it has opened anything. Only what is a program
 * may have come to its end before. */
static void kill_one(uint64_t number)
{
	int status;
	pid_t pid = fork();

	assert_true(pid >= 0);
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (!freopen("/dev/null", "w", stdout) || !freopen("/dev/null", "w", stderr))
			_exit(1);
		consume(number);
	}
	nanosleep(&(struct timespec){ .tv_nsec = (long)(mix(number) % LIFE_NS) }, NULL);
	kill(pid, SIGKILL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (number % 50 != 0 || !WIFEXITED(status))
		assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

/* ---- A new one ------------------------------------------------------------------------------- */

/* What a consumer that has just come says of each producer, beside the truth before and after. */
static void check_new(void)
{
	struct tally_consumer_options options = { .read_records = true, .from_start = true };
	struct tally_consumer *consumer;
	const struct tally_snapshot *now;
	uint64_t done[PRODUCERS];
	size_t i;
	uint32_t actor;

	for (actor = 0; actor < PRODUCERS; actor++)
		done[actor] = tally_load_acquire(&lives->of[actor].done);
	CHECK_EQUAL(tally_consumer_open(&options, &consumer), 0);
	CHECK_EQUAL(tally_consumer_poll(consumer), 0);
	now = tally_snapshot_get(consumer);
	CHECK_EQUAL(now->process_count, PRODUCERS);
	for (i = 0; i < now->process_count; i++) {
		const struct tally_process_view *process = &now->processes[i];
		struct ledger_sums sums = shown_sums(now, process);
		uint64_t begun;

		for (actor = 0; producers[actor] != (pid_t)process->pid; actor++)
			CHECK_RANGE(actor, 0, PRODUCERS - 1);
		begun = tally_load_acquire(&lives->of[actor].begun);
		books_check(&sums, actor, done[actor], begun);
		CHECK_RANGE(process->events, done[actor], begun);
		CHECK_EQUAL(process->end, TALLY_RUNNING);
		CHECK_EQUAL(process->rejected_events, 0);
		CHECK_EQUAL(process->lost_unrecorded, 0);
		CHECK_EQUAL(process->quarantined_lanes, 0);
		if (tally_load_acquire(&lives->stop))
			CHECK_EQUAL(process->events, process->records_read + process->lost_records);
	}
	tally_snapshot_put(now);
	tally_consumer_close(consumer);
}

/* In a process of its own, as none that is forked from a consumer can be one. */
static void look_anew(void)
{
	uint32_t actor;
	pid_t pid;

	for (actor = 0; actor < PRODUCERS; actor++) /* goes on from there */
		books_sums(actor, tally_load_acquire(&lives->of[actor].done));
	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		check_new();
		_exit(0);
	}
	assert_int_equal(wait_status(pid), 0);
}

static bool all_rest(void)
{
	uint32_t actor, resting = 0;

	for (actor = 0; actor < PRODUCERS; actor++)
		resting += tally_load_acquire(&lives->of[actor].resting) == 1;
	return resting == PRODUCERS;
}

static void consumers_killed_at_random_leave_exact_totals_to_a_new_one(void **state)
{
	const char *given = getenv("CRASH_CONSUMERS");
	uint64_t count = given ? strtoul(given, NULL, 10) : 1000, start_ns = now_ns(), i;
	size_t open_before[PRODUCERS];
	uint32_t actor;

	(void)state;
	lives = crash_share(sizeof(*lives));
	start_producers();
	for (actor = 0; actor < PRODUCERS; actor++)
		open_before[actor] = descriptors_of(producers[actor]);
	for (i = 1; i <= count; i++) {
		kill_one(i);
		if (i % 100 == 0)
			look_anew();
	}
	tally_store_release(&lives->stop, 1);
	WAIT_FOR(all_rest());
	look_anew();
	assert_int_equal(regions_left(), 2);
	for (actor = 0; actor < PRODUCERS; actor++) {
		assert_int_equal(descriptors_of(producers[actor]), open_before[actor]);
		kill(producers[actor], SIGKILL);
		wait_status(producers[actor]);
	}
	print_message(
		"%llu consumers killed while %llu, %llu and %llu events were pushed; %.1f s\n",
		(unsigned long long)count, (unsigned long long)lives->of[0].done,
		(unsigned long long)lives->of[1].done, (unsigned long long)lives->of[2].done,
		(double)(now_ns() - start_ns) / 1000000000);
	remove_regions();
	munmap(lives, sizeof(*lives));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(consumers_killed_at_random_leave_exact_totals_to_a_new_one),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
