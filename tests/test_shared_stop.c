/* SPDX-License-Identifier: Apache-2.0 */
/* A producer process that is stopped (SIGSTOP), exactly between two steps of a push into the shared
 * ring or at any moment: it delays its own record and nothing else, for as many laps as it takes,
 * and goes on unharmed.
 * also on: arm64 */
#include "tests/shared.h"

#include <sched.h>
#include <signal.h>
#include <sys/wait.h>

#include "ring/cells.h"
#include "ring/join.h"
#include "tests/child.h"

#define PRODUCERS 4

/* ---- Processes that push --------------------------------------------------------------------- */

/* Between processes. */
static struct board {
	uint64_t end; /* those that push until they are told to end */
	uint64_t pushed[PUSHERS];
	uint64_t most_tries[PUSHERS];
} * board;

/* This process, a fork child, joins as a producer. */
static struct shared_ring join_as_child(void)
{
	static struct region region;
	struct region_config config = { .dir = test_dir,
					.name = rig.region.name,
					.ring_log2 = RING_LOG2 };

	memset(&at_place, 0, sizeof(at_place));
	CHILD_CHECK(join_region(&config, &region) == 0);
	return shared_of(&region, region.entry);
}

static uint64_t tries;

static void count_try(void)
{
	tries++;
	at_place.ticket = count_try;
}

static void child_push(const struct shared_ring *ring, uint64_t pusher)
{
	struct shared_event event = event_of(pusher, ++board->pushed[pusher]);

	tries = 0;
	if (!shared_push(ring, &event, &tickets[pusher]))
		cells_unrecorded(ring->process, 1);
	if (tries > board->most_tries[pusher])
		board->most_tries[pusher] = tries;
}

static void stop_here(void)
{
	raise(SIGSTOP);
}

static void begin_board(void)
{
	begin_at(RING / 2);
	board = mmap(NULL, sizeof(*board), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		     0);
	assert_ptr_not_equal(board, MAP_FAILED);
}

static void end_board(void)
{
	munmap(board, sizeof(*board));
	shared_end();
}

static void wait_until_stopped(pid_t pid)
{
	int status;

	assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
	assert_true(WIFSTOPPED(status));
}

/* ---- Between two steps ----------------------------------------------------------------------- */

#define BEFORE 3

static uint64_t after; /* pushes once it has gone on; few, so that they do not lap the late one */

static pid_t start_that_stops_at(void (**place)(void))
{
	pid_t pid = fork();

	if (pid == 0) {
		struct shared_ring ring;
		uint64_t n;

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		ring = join_as_child();
		for (n = 0; n < BEFORE; n++)
			child_push(&ring, 0);
		*place = stop_here;
		child_push(&ring, 0);
		for (n = 0; n < after; n++)
			child_push(&ring, 0);
		_exit(0);
	}
	assert_true(pid > 0);
	return pid;
}

/* The others' pushes, all of which are read, while it is stopped. */
static void push_and_read(uint64_t laps)
{
	uint64_t n, read = 0, most = 0;

	for (n = 1; n <= laps * RING; n++) {
		tries = 0;
		at_place.ticket = count_try;
		push_many(1, 1);
		if (tries > most)
			most = tries;
		if (n % 17 == 0)
			read += drain();
	}
	read += drain();
	assert_int_equal(read, laps * RING);
	if (laps)
		assert_in_range(most, 1, 2); /* one slot is in the way */
	at_place.ticket = NULL;
	assert_int_equal(taken.last[1], pushed[1]);
}

static void stop_between_steps(void (**place)(void), uint64_t laps, bool has_slot)
{
	pid_t pid;
	uint64_t pos;

	begin_board();
	pid = start_that_stops_at(place);
	*place = NULL;
	wait_until_stopped(pid);
	pos = *reserve_pos() - SHARED_GROUP + BEFORE;
	assert_int_equal(drain(), BEFORE);
	assert_int_equal(slot_state(slot_at(pos)->commit) == TALLY_SLOT_WRITING, has_slot);
	push_and_read(laps);
	/* stopped is not dead */
	assert_int_equal(taken.last[0], BEFORE);
	assert_int_equal(reader.died, 0);
	kill(pid, SIGCONT);
	assert_int_equal(wait_status(pid), 0);
	assert_int_equal(drain(), 1 + after);
	assert_int_equal(taken.last[0], BEFORE + 1 + after);
	/* where it had its slot already its record is there, laps late */
	assert_int_equal(ring_of(1).process->shared_events, BEFORE + 1 + after);
	push_and_read(3);
	end_board();
}

static void producer_stopped_between_two_steps_delays_its_own_record_alone(void **state)
{
	static const uint64_t laps[] = { 0, 1, 2, 30 };
	size_t i;

	(void)state;
	after = 20;
	for (i = 0; i < COUNT(laps); i++) {
		stop_between_steps(&at_place.ticket, laps[i], false);
		stop_between_steps(&at_place.claimed, laps[i], true);
		stop_between_steps(&at_place.written, laps[i], true);
	}
}

/* As many as a push passes over, each at its slot: the next one still finds a place. */
static void as_many_as_a_push_passes_over_may_be_stopped(void **state)
{
	pid_t pids[SHARED_TRIES - 1];
	size_t i;

	(void)state;
	after = 0;
	begin_board();
	for (i = 0; i < COUNT(pids); i++) {
		pids[i] = start_that_stops_at(&at_place.claimed);
		at_place.claimed = NULL;
		wait_until_stopped(pids[i]);
		taken.last[0] = 0; /* they all push as 0 */
		assert_int_equal(drain(), BEFORE);
	}
	for (i = 0; i < 20 * RING; i++) {
		push_many(1, 1);
		assert_int_equal(drain(), 1);
	}
	for (i = 0; i < COUNT(pids); i++) {
		taken.last[0] = 0;
		kill(pids[i], SIGCONT);
		assert_int_equal(wait_status(pids[i]), 0);
		assert_int_equal(drain(), 1 + after);
	}
	end_board();
}

/* ---- At any moment --------------------------------------------------------------------------- */

static pid_t start_endless(uint64_t pusher)
{
	pid_t pid = fork();

	if (pid == 0) {
		struct shared_ring ring;

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		ring = join_as_child();
		at_place.ticket = count_try;
		while (!tally_load_relaxed(&board->end))
			child_push(&ring, pusher);
		_exit(0);
	}
	assert_true(pid > 0);
	return pid;
}

static uint64_t pushed_by(size_t pusher)
{
	return tally_load_relaxed(&board->pushed[pusher]);
}

/* While one is stopped, the others push laps, and what they push now is read. */
static void others_go_on_for_laps(size_t stopped)
{
	uint64_t before[PRODUCERS];
	size_t n;

	for (n = 0; n < PRODUCERS; n++)
		before[n] = pushed_by(n);
	for (n = 0; n < PRODUCERS; n++) {
		while (n != stopped &&
		       (pushed_by(n) < before[n] + 3 * RING || taken.last[n] <= before[n])) {
			drain();
			sched_yield();
		}
	}
	assert_true(taken.last[stopped] <= before[stopped]);
	assert_int_equal(pushed_by(stopped), before[stopped]);
}

static void producers_stopped_at_any_moment_delay_nobody_else(void **state)
{
	uint64_t events = 0, unrecorded = 0, pushes = 0, random = mix((uint64_t)getpid());
	pid_t pids[PRODUCERS];
	int stops, status;
	uint32_t n;

	(void)state;
	begin_board();
	for (n = 0; n < PRODUCERS; n++)
		pids[n] = start_endless(n);
	for (n = 0; n < PRODUCERS; n++)
		while (!pushed_by(n))
			sched_yield();
	for (stops = 0; stops < 60; stops++) {
		size_t who = (random = mix(random)) % PRODUCERS;
		uint64_t moment = now_ns() + random / PRODUCERS % 200000;

		while (now_ns() < moment)
			drain();
		kill(pids[who], SIGSTOP);
		wait_until_stopped(pids[who]);
		others_go_on_for_laps(who);
		kill(pids[who], SIGCONT);
		assert_int_equal(waitpid(pids[who], &status, WCONTINUED), pids[who]);
		assert_true(WIFCONTINUED(status));
	}
	tally_store_relaxed(&board->end, 1);
	for (n = 0; n < PRODUCERS; n++)
		assert_int_equal(wait_status(pids[n]), 0);
	shared_drain(&reader, true, true, take, NULL);
	for (n = 0; n <= PRODUCERS; n++) { /* entry 0 is this process's */
		struct tally_process_header *process = region_process(rig.region.base,
								      &rig.region.at, n);

		events += process->shared_events;
		unrecorded += process->shared_unrecorded;
	}
	for (n = 0; n < PRODUCERS; n++) {
		pushes += pushed_by(n);
		assert_in_range(board->most_tries[n], 1, SHARED_TRIES);
		/* the last one of all is there, unharmed */
		assert_in_range(taken.last[n], 1, pushed_by(n));
	}
	assert_int_equal(events, pushes);
	assert_true(taken.count + unrecorded <= events);
	assert_int_equal(reader.died, 0);
	assert_null(reader.quarantine);
	end_board();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(producer_stopped_between_two_steps_delays_its_own_record_alone),
		TEST(as_many_as_a_push_passes_over_may_be_stopped),
		TEST(producers_stopped_at_any_moment_delay_nobody_else),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
