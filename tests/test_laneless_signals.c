/* SPDX-License-Identifier: Apache-2.0 */
/* Signals that come in the middle of a push: their handlers push, jump out of it, or fork. Into the
 * shared ring they come exactly between its steps.
 * also on: arm64 */
#include "tests/laneless.h"

#include <setjmp.h>
#include <sys/time.h>
#include <sys/wait.h>

#include "tests/child.h"
#include "tests/trap_flag.h"

/* ---- This thread without a lane -------------------------------------------------------------- */

static uint64_t held;
static pthread_t holder;

static void *hold_lane(void *arg)
{
	tally_mark("the lane is taken");
	tally_store_release(&held, tally_thread.lane ? 1 : 3);
	while (tally_load_acquire(&held) != 2)
		usleep(100);
	return arg;
}

/* Another thread has the only lane: one event so far. */
static void arm_without_a_lane(uint32_t ring_records)
{
	struct tally_options options = { .lanes = 1, .ring_records = ring_records };

	memset(&at_place, 0, sizeof(at_place));
	assert_int_equal(tally_init(&options), 0);
	lane_leave(tally_thread.lane); /* init has attached this thread */
	tally_thread.lane = NULL;
	tally_store_release(&held, 0);
	assert_int_equal(pthread_create(&holder, NULL, hold_lane, NULL), 0);
	WAIT_FOR(tally_load_acquire(&held) != 0);
	assert_int_equal(held, 1);
}

static void disarm_both(void)
{
	tally_store_release(&held, 2);
	pthread_join(holder, NULL);
	disarm();
}

static void take_one(uint64_t id)
{
	tally_alloc(DEVICE, TALLY_POOL_DRAM, id, 1);
}

static void interrupt(void)
{
	raise(SIGUSR1);
}

/* Each place of a push in turn, `next` of them; NULL at the end. */
static void (**place_of(size_t n))(void)
{
	switch (n) {
	case 0:
		return &at_place.ticket;
	case 1:
		return &at_place.claimed;
	case 2:
		return &at_place.written;
	default:
		return NULL;
	}
}

/* ---- Handlers that push ---------------------------------------------------------------------- */

static volatile sig_atomic_t handled, interrupted;

static void push_in_handler(int number)
{
	(void)number;
	handled++;
	if (tally_thread.armed == THREAD_BUSY)
		interrupted++;
	take_one(1000000 + (uint64_t)handled);
}

static void handler_that_interrupts_a_push_into_a_lane_leaves_a_record(void **state)
{
	struct itimerval often = { .it_interval.tv_usec = 100, .it_value.tv_usec = 100 };
	struct itimerval never = { 0 };
	struct account is;
	uint64_t n, last = 0;
	size_t i;

	(void)state;
	arm(4096);
	handled = interrupted = 0;
	signal(SIGALRM, push_in_handler);
	setitimer(ITIMER_REAL, &often, NULL);
	for (n = 0; interrupted < 100; n++)
		take_one(n);
	setitimer(ITIMER_REAL, &never, NULL);
	signal(SIGALRM, SIG_DFL);
	read_shared();
	assert_int_equal(record_count, interrupted); /* the others went into the lane */
	for (i = 0; i < record_count; i++) {
		assert_true(records[i].buffer_id > 1000000 && records[i].buffer_id > last);
		last = records[i].buffer_id;
		assert_int_equal(records[i].where, (uint64_t)DEVICE << 48 | (uint64_t)gettid());
		assert_int_equal(records[i].event_no, i + 1);
	}
	is = account();
	assert_int_equal(is.events, 1 + n + (uint64_t)handled);
	assert_int_equal(is.sums.allocs, n + (uint64_t)handled);
	assert_int_equal(is.read + is.lost, is.events);
	assert_int_equal(is.unrecorded, 0);
	disarm();
}

static void handler_that_interrupts_a_push_into_the_shared_ring_leaves_one(void **state)
{
	void (**place)(void);
	struct account is;
	size_t n;

	(void)state;
	for (n = 0; (place = place_of(n)); n++) {
		arm_without_a_lane(64);
		handled = interrupted = 0;
		signal(SIGUSR1, push_in_handler);
		take_one(1);
		*place = interrupt;
		take_one(2);
		signal(SIGUSR1, SIG_DFL);
		take_one(3);
		assert_int_equal(interrupted, 1);
		read_shared();
		assert_int_equal(record_count, 4);
		assert_int_equal(records[0].buffer_id, 1);
		assert_int_equal(records[1].buffer_id, 2);
		assert_int_equal(records[2].buffer_id, 3);
		assert_int_equal(records[3].buffer_id, 1000001); /* its ticket is another's */
		assert_int_equal(records[1].event_no, n < 2 ? 3 : 2);
		assert_int_equal(records[3].event_no, n < 2 ? 2 : 3);
		is = account();
		assert_int_equal(is.events, 5);
		assert_int_equal(is.read, 5);
		assert_int_equal(is.sums.allocs, 4);
		disarm_both();
	}
}

/* ---- Handlers that jump ---------------------------------------------------------------------- */

static sigjmp_buf back;

static void jump_back(int number)
{
	(void)number;
	siglongjmp(back, 1);
}

/* False: the push never came to that place, and was completed. */
static bool jump_out_of(void (**place)(void))
{
	volatile bool jumped = true;

	signal(SIGUSR1, jump_back);
	*place = interrupt;
	if (sigsetjmp(back, 1) == 0) {
		take_one(99);
		jumped = false;
	}
	signal(SIGUSR1, SIG_DFL);
	*place = NULL;
	return jumped;
}

static void push_that_is_left_by_a_jump_costs_no_more_than_itself(void **state)
{
	void (**place)(void);
	struct account is;
	size_t n, i;

	(void)state;
	for (n = 0; (place = place_of(n)); n++) {
		arm_without_a_lane(1024);
		take_one(1);
		assert_true(jump_out_of(place));
		assert_int_equal(tally_thread.armed, THREAD_BUSY); /* as DESIGN has it */
		for (i = 2; i <= 40; i++)
			take_one(i);
		read_shared();
		assert_int_equal(record_count, 40);
		for (i = 0; i < 40; i++)
			assert_int_equal(records[i].buffer_id, i + 1);
		for (; i < 500; i++)
			take_one(i); /* past the slot that is being written for ever */
		is = account();
		assert_int_equal(is.sums.allocs, 500);
		assert_int_equal(is.unrecorded, 0);
		/* if it had its number, its record may yet come as far as anybody can tell */
		assert_int_equal(is.events, 1 + 500 + (n == 2));
		assert_in_range(is.read + is.lost, is.events - 1, is.events);
		tally_thread.armed = ARMED_OFF; /* for the tests to come */
		disarm_both();
	}
}

/* Each leaves a slot that nobody can use while the process lives, until a push finds none. */
static void totals_are_exact_with_more_and_more_slots_lost_to_jumps(void **state)
{
	struct account is;
	uint64_t n, jumps = 0;

	(void)state;
	arm_without_a_lane(64);
	while (jump_out_of(&at_place.claimed))
		jumps++;
	assert_in_range(jumps, SHARED_TRIES, 64);
	for (n = 0; n < 1000; n++)
		take_one(n);
	is = account();
	assert_int_equal(is.sums.allocs, 1001);
	assert_int_equal(is.events, 1002);
	assert_in_range(is.unrecorded, 1, 1001);
	tally_thread.armed = ARMED_OFF;
	disarm_both();
}

/* ---- Handlers that fork ---------------------------------------------------------------------- */

static volatile pid_t forked;
static volatile sig_atomic_t in_child_now;

static void fork_in_handler(int number)
{
	(void)number;
	forked = fork();
	if (forked == 0) {
		in_child_now = 1;
		signal(SIGSEGV, SIG_DFL); /* a crash ends the child; it is no test that failed */
		take_one(7);		  /* into a region of its own */
	}
}

/* The child has come back into the push that its parent was in. */
static void child_goes_on(void)
{
	struct tally_consumer_options options = { .pid = (uint32_t)getpid(), .dir = region_dir };
	const struct tally_snapshot *now;
	struct tally_consumer *consumer;
	uint64_t n;

	for (n = 0; n < 100; n++)
		take_one(n);
	CHILD_CHECK(tally_consumer_open(&options, &consumer) == 0);
	now = tally_snapshot_get(consumer);
	CHILD_CHECK(now->process_count == 1);
	/* the one that was under way may count here too */
	CHILD_CHECK(now->events >= 101 && now->events <= 102);
	CHILD_CHECK(now->rejected_events == 0);
	tally_snapshot_put(now);
	tally_consumer_close(consumer);
	CHILD_CHECK(tally_shutdown() == 0);
	_exit(0);
}

static void fork_in_the_middle_of_a_shared_push_hurts_neither(void **state)
{
	void (**place)(void);
	struct account is;
	size_t n;

	(void)state;
	SKIP_EMULATED("the emulator dies of a thread that a fork child starts");
	for (n = 0; (place = place_of(n)); n++) {
		arm_without_a_lane(64);
		in_child_now = 0;
		signal(SIGUSR1, fork_in_handler);
		take_one(1);
		*place = interrupt;
		take_one(2);
		if (in_child_now)
			child_goes_on();
		signal(SIGUSR1, SIG_DFL);
		assert_int_equal(wait_status(forked), 0);
		take_one(3);
		read_shared();
		assert_int_equal(record_count, 3);
		assert_int_equal(records[1].buffer_id, 2);
		assert_int_equal(records[2].buffer_id, 3);
		is = account();
		assert_int_equal(is.events, 4);
		assert_int_equal(is.read, 4);
		assert_int_equal(is.sums.allocs, 3);
		disarm_both();
	}
}

/* ---- Asking for a lane again ----------------------------------------------------------------- */

#ifdef __x86_64__
static volatile sig_atomic_t steps, fork_at; /* fork_at: the step before which a handler forks */

/* After every instruction. Past a system call signals may be blocked, and a trap then kills. */
static void fork_at_step(int number, siginfo_t *info, void *context)
{
	ucontext_t *interrupted = context;

	(void)info;
	if (++steps == fork_at)
		fork_in_handler(number);
	else if (!trap_flag_at_syscall(interrupted))
		return;
	trap_flag_end(interrupted);
}

/* Pushes until the next one is to ask. Returns how many those were. */
static uint64_t push_until_it_asks(void)
{
	uint64_t n = 0;

	do
		take_one(++n);
	while (tally_thread.laneless < LANELESS_PUSHES - 1 || tally_thread.armed != ARMED_OFF);
	return n;
}

/* The push that asks, with a fork before its instruction `fork_at`; false when it has fewer. */
static bool fork_while_it_asks(void)
{
	in_child_now = 0;
	steps = 0;
	forked = 0;
	trap_flag_set();
	take_one(99);
	trap_flag_clear();
	if (in_child_now)
		child_goes_on();
	assert_int_equal(tally_thread.laneless, 0); /* it has asked */
	if (!forked)
		return false;
	assert_int_equal(wait_status(forked), 0);
	return true;
}

/* A fork before each instruction of a push that asks, in turn, on a thread that is made ready
 * before each; all of that is counted. Returns how many instructions there were. */
static int fork_wherever_it_asks(void (*ready)(void))
{
	struct sigaction action = { .sa_sigaction = fork_at_step, .sa_flags = SA_SIGINFO };
	uint64_t pushes = 0;
	struct account is;
	bool again;

	sigaction(SIGTRAP, &action, NULL);
	for (fork_at = 1, again = true; again; fork_at++) {
		ready();
		pushes += push_until_it_asks() + 1;
		again = fork_while_it_asks();
	}
	signal(SIGTRAP, SIG_DFL);
	is = account();
	assert_int_equal(is.sums.allocs, pushes);
	assert_int_equal(is.events, 1 + pushes);
	return fork_at;
}

static void check_laneless(void)
{
	assert_null(tally_thread.lane);
}

static void give_up_the_lane(void)
{
	assert_non_null(tally_thread.lane);
	lane_leave(tally_thread.lane);
	tally_thread.lane = NULL;
	tally_thread.armed = ARMED_OFF;
}
#endif

static void fork_wherever_a_lane_is_asked_for_in_vain_hurts_neither(void **state)
{
	(void)state;
#ifdef __x86_64__
	arm_without_a_lane(64);
	assert_true(fork_wherever_it_asks(check_laneless) > 100);
	check_laneless();
	disarm_both();
#else
	SKIP("no single steps here");
#endif
}

/* Up to the first system call, from where on no signal comes between. */
static void fork_wherever_a_lane_is_found_at_last_hurts_neither(void **state)
{
	(void)state;
#ifdef __x86_64__
	arm(64);
	assert_true(fork_wherever_it_asks(give_up_the_lane) > 50);
	disarm();
#else
	SKIP("no single steps here");
#endif
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST_OFF(handler_that_interrupts_a_push_into_a_lane_leaves_a_record),
		TEST_OFF(handler_that_interrupts_a_push_into_the_shared_ring_leaves_one),
		TEST_OFF(push_that_is_left_by_a_jump_costs_no_more_than_itself),
		TEST_OFF(totals_are_exact_with_more_and_more_slots_lost_to_jumps),
		TEST_OFF(fork_in_the_middle_of_a_shared_push_hurts_neither),
		TEST_OFF(fork_wherever_a_lane_is_asked_for_in_vain_hurts_neither),
		TEST_OFF(fork_wherever_a_lane_is_found_at_last_hurts_neither),
	};

	(void)argc;
	return own_region_main(argv, false, tests, COUNT(tests));
}
