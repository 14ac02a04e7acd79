/* SPDX-License-Identifier: Apache-2.0 */
/* Writers that stop in the middle of a push: killed at random, killed at every single instruction,
 * and thrown out of it by a signal handler's siglongjmp() at every single instruction.
 *
 * The writer is a process of its own; it pushes the numbered events of rig.h and keeps two words
 * of truth: which event it has begun, which it has done. What it leaves must be the events
 * 1 .. N, whole, in records and in every cell, with done <= N <= begun.
 */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "tests/rig.h"
#include "tests/support.h"

#define RING_LOG2 6
#define TID 4711
#define CELLS (NUMBERED_DEVICES * NUMBERED_POOLS)

enum { NO_REGION = 90, NO_PTRACE = 91 }; /* exit statuses of the writer */

struct truth {
	uint64_t begun, done; /* events */
	uint64_t ready;	      /* the region is there */
	char region[REGION_NAME_MAX];
};

static struct truth *truth; /* shared with the writer */

/* ---- The writer ------------------------------------------------------------------------------ */

static struct lane_writer *writer_begin(struct rig *rig, uint32_t ring_log2, uint64_t start_pos)
{
	struct lane_writer *writer;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (!rig_try(rig, ring_log2, 0))
		_exit(NO_REGION);
	writer = rig_claim(rig, TID, start_pos);
	if (!writer)
		_exit(NO_REGION);
	memcpy(truth->region, rig->region.name, sizeof(truth->region));
	tally_store_release(&truth->ready, 1);
	return writer;
}

/* Pushes the next event; stops just before that when it is traced and told so. */
static void push_next(struct lane_writer *writer, bool stop)
{
	uint64_t n = rig_events(writer) + 1;
	struct rig_event event = numbered_event(n);

	if (stop) /* raise() would be many instructions more */
		syscall(SYS_kill, getpid(), SIGSTOP);
	tally_store_release(&truth->begun, n);
	rig_push(writer, &event);
	tally_store_release(&truth->done, n);
}

/* ---- What it leaves, seen from outside ------------------------------------------------------- */

struct witness {
	struct region_view view;
	struct lane_reader reader;
	uint64_t last_no, bad;
};

static void take(void *arg, const struct tally_record *record)
{
	struct witness *witness = arg;

	witness->bad += !numbered_record(record, TID) || record->event_no <= witness->last_no;
	witness->last_no = record->event_no;
}

static void witness_open(struct witness *witness)
{
	char why[REGION_WHY_MAX];
	int dir = open(test_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	memset(witness, 0, sizeof(*witness));
	if (region_open(dir, truth->region, &witness->view, why) != 0)
		fail_msg("%s: %s", truth->region, why);
	close(dir);
	witness->reader.header = region_lane(witness->view.base, &witness->view.at, 0);
	witness->reader.ring_log2 = witness->view.at.ring_log2;
	if (witness->reader.ring_log2)
		witness->reader.slots = region_ring(witness->view.base, &witness->view.at, 0);
}

/* Reads all there is, as of a dead process; the number of records that were published. */
static uint64_t witness_drain(struct witness *witness)
{
	struct lane_reader *reader = &witness->reader;
	uint64_t before;

	do {
		before = reader->pos;
		lane_drain(reader, true, true, take, witness);
	} while (reader->pos != before);
	assert_null(reader->quarantine);
	assert_int_equal(witness->bad, 0);
	return reader->seen + reader->lost + reader->missed;
}

/* What cell i of the numbered events holds after events 1 .. n, for n below SUMS_MAX at once. */
#define SUMS_MAX 512
static struct ledger_sums sums_of[SUMS_MAX][CELLS];

static void prepare_sums(void)
{
	uint64_t n;
	uint32_t i;

	for (n = 1; n < SUMS_MAX; n++) {
		for (i = 0; i < CELLS; i++) {
			sums_of[n][i] = sums_of[n - 1][i];
			numbered_add(&sums_of[n][i], i / NUMBERED_POOLS, i % NUMBERED_POOLS, n);
		}
	}
}

static struct ledger_sums want_sums(uint32_t i, uint64_t n)
{
	return n < SUMS_MAX ? sums_of[n][i]
			    : numbered_sums(i / NUMBERED_POOLS, i % NUMBERED_POOLS, n);
}

/* The cell of a key in the lane's directory, or NULL. */
static const struct tally_cell *find(const struct witness *witness, uint64_t key)
{
	struct tally_lane_header *header = witness->reader.header;
	uint64_t cells = tally_load_acquire(&header->cell_count);
	uint64_t i;

	for (i = 0; i < cells; i++)
		if (tally_load_relaxed(&lane_cells(header)[i].key) == key)
			return &lane_cells(header)[i];
	return NULL;
}

/* The ledger, with the one event that it may lack, holds the events 1 .. n and nothing else; by
 * itself it lacks one at most. */
static void check_ledger(const struct witness *witness, uint64_t n)
{
	struct tally_record last;
	bool has_last = witness->reader.slots &&
			lane_last(witness->reader.header, witness->reader.slots, RING_LOG2, &last);
	uint32_t i, behind = 0;

	if (has_last)
		assert_int_equal(last.event_no, n);
	for (i = 0; i < CELLS; i++) {
		uint64_t key = TALLY_KEY(i / NUMBERED_POOLS, i % NUMBERED_POOLS);
		const struct tally_cell *cell = find(witness, key);
		struct ledger_sums want = want_sums(i, n), settled = { 0 }, bare = { 0 };

		if (cell) {
			assert_true(ledger_settled(cell, key, has_last ? &last : NULL, &settled));
			assert_true(ledger_read(cell, &bare));
		}
		/* a mark has its number from the lane, and moves no sums */
		want.event_no = settled.event_no = bare.event_no = 0;
		if (!same_sums(&settled, &want))
			fail_msg("of %llu events cell %u has %llu allocs, %llu frees, %llu "
				 "failures, peak %llu, not %llu, %llu, %llu, %llu",
				 (unsigned long long)n, i, (unsigned long long)settled.allocs,
				 (unsigned long long)settled.frees,
				 (unsigned long long)settled.failures,
				 (unsigned long long)settled.peak_bytes,
				 (unsigned long long)want.allocs, (unsigned long long)want.frees,
				 (unsigned long long)want.failures,
				 (unsigned long long)want.peak_bytes);
		behind += !same_sums(&bare, &settled);
	}
	assert_in_range(behind, 0, 1);
}

static void shared_truth(void)
{
	truth = mmap(NULL, sizeof(*truth), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		     0);
	assert_ptr_not_equal(truth, MAP_FAILED);
	prepare_sums();
}

static void end_round(struct witness *witness)
{
	region_close(&witness->view);
	remove_regions();
	munmap(truth, sizeof(*truth));
}

static const uint64_t starts[] = {
	0, 0 - (uint64_t)200,			       /* positions wrap at 2^64 */
	((1ull << TALLY_LAP_BITS) << RING_LOG2) - 300, /* laps wrap at 2^40 */
};

/* ---- Killed at random ------------------------------------------------------------------------ */

static void write_until_killed(uint64_t start_pos)
{
	struct rig rig;
	struct lane_writer *writer = writer_begin(&rig, RING_LOG2, start_pos);

	for (;;)
		push_next(writer, false);
}

static void writer_killed_at_random_leaves_whole_events(void **state)
{
	struct witness witness;
	uint64_t round, caught = 0;

	(void)state;
	numbered_only = 0;
	for (round = 0; round < 150; round++) {
		uint64_t target = mix(round ^ (uint64_t)getpid()) % 3000;
		uint64_t published, end_ns = now_ns() + DEADLINE_S * 1000000000ull;
		pid_t pid;

		shared_truth();
		pid = fork();
		if (pid == 0)
			write_until_killed(starts[round % COUNT(starts)]);
		WAIT_FOR(tally_load_acquire(&truth->ready));
		witness_open(&witness);
		assert_int_equal(region_alive(&witness.view, 0), 1);
		while (tally_load_acquire(&truth->done) < target && now_ns() < end_ns)
			lane_drain(&witness.reader, round & 1, false, take, &witness);
		kill(pid, SIGKILL);
		assert_int_equal(wait_status(pid), -SIGKILL);
		assert_int_equal(region_alive(&witness.view, 0), 0);
		published = witness_drain(&witness);
		assert_in_range(published, truth->done, truth->begun);
		check_ledger(&witness, published);
		caught += truth->begun != truth->done;
		end_round(&witness);
	}
	assert_true(caught > 0); /* some were in the middle of a push */
}

/* ---- One instruction at a time --------------------------------------------------------------- */

/* Waits for the traced writer to stop; the signal, or fails when it has ended. */
static int stopped(pid_t pid)
{
	int status;

	if (waitpid(pid, &status, 0) != pid)
		fail_msg("waitpid: %s", strerror(errno));
	if (WIFEXITED(status) && WEXITSTATUS(status) == NO_PTRACE)
		SKIP("no process may be traced here");
	if (!WIFSTOPPED(status))
		fail_msg("the writer ended with status %x", (unsigned int)status);
	return WSTOPSIG(status);
}

static void step(pid_t pid)
{
	if (ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL) != 0)
		fail_msg("ptrace: %s", strerror(errno));
	assert_int_equal(stopped(pid), SIGTRAP);
}

#define STEPPED_EVENTS 8

static void write_stepped(uint64_t start_pos, uint64_t before, uint32_t ring_log2)
{
	struct rig rig;
	struct lane_writer *writer = writer_begin(&rig, ring_log2, start_pos);
	int i;

	while (before--)
		push_next(writer, false);
	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
		_exit(NO_PTRACE);
	for (i = 0; i < STEPPED_EVENTS; i++)
		push_next(writer, i == 0);
	for (;;)
		pause();
}

/* As if the writer died before its next instruction. */
static uint64_t check_here(const struct witness *from_here)
{
	struct witness witness = *from_here; /* the reader starts afresh each time */
	uint64_t n = witness_drain(&witness);

	assert_in_range(n, truth->done, truth->begun);
	check_ledger(&witness, n);
	return n;
}

static void step_through(uint64_t start_pos, uint64_t before)
{
	uint64_t last = before, steps = 0, middle = 0;
	struct witness witness;
	pid_t pid;

	shared_truth();
	pid = fork();
	if (pid == 0)
		write_stepped(start_pos, before, RING_LOG2);
	assert_int_equal(stopped(pid), SIGSTOP);
	witness_open(&witness);
	while (truth->done < before + STEPPED_EVENTS) {
		uint64_t n;

		step(pid);
		n = check_here(&witness);
		assert_in_range(n, last, last + 1); /* events never go again */
		last = n;
		middle += truth->begun != truth->done;
		steps++;
	}
	assert_int_equal(last, before + STEPPED_EVENTS);
	assert_true(middle > STEPPED_EVENTS * 20);
	kill(pid, SIGKILL);
	assert_int_equal(wait_status(pid), -SIGKILL);
	end_round(&witness);
}

static void writer_that_dies_at_any_instruction_leaves_whole_events(void **state)
{
	(void)state;
	numbered_only = 0;
	step_through(0, 0);   /* cells and slots are new */
	step_through(0, 100); /* slots are overwritten */
	step_through(0 - (uint64_t)100, 97);
	step_through(((1ull << TALLY_LAP_BITS) << RING_LOG2) - 132, 100);
}

/* ---- Thrown out ------------------------------------------------------------------------------ */

static sigjmp_buf out;

static void jump_out(int number)
{
	(void)number;
	siglongjmp(out, 1);
}

/* Each round: stops, begins a push, is thrown out of it; leaves the lane, claims it as the next
 * thread would, and pushes three events more. */
static void write_thrown_out(uint64_t start_pos, uint32_t ring_log2)
{
	struct rig rig;
	struct lane_writer *volatile writer = writer_begin(&rig, ring_log2, start_pos);

	signal(SIGUSR1, jump_out);
	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
		_exit(NO_PTRACE);
	for (;;) {
		int i;

		if (sigsetjmp(out, 1) == 0) {
			push_next(writer, true);
			tally_store_release(&truth->ready, 2); /* came through */
			for (;;)
				pause();
		}
		lane_leave(writer);
		writer = rig_claim(&rig, TID, 0);
		if (!writer)
			_exit(NO_REGION);
		for (i = 0; i < 3; i++)
			push_next(writer, false);
	}
}

static void throw_out_everywhere(uint64_t start_pos, uint32_t ring_log2)
{
	uint64_t steps, n = 0, kept = 0;
	struct witness witness;
	pid_t pid;

	shared_truth();
	pid = fork();
	if (pid == 0)
		write_thrown_out(start_pos, ring_log2);
	assert_int_equal(stopped(pid), SIGSTOP);
	witness_open(&witness);
	for (steps = 1; truth->ready != 2; steps++) {
		uint64_t i, unrecorded, before = n;

		for (i = 0; i < steps; i++)
			step(pid);
		assert_int_equal(ptrace(PTRACE_CONT, pid, NULL, SIGUSR1), 0);
		if (truth->ready == 2)
			break;
		assert_int_equal(stopped(pid), SIGSTOP);
		/* it rests: the one that it was thrown out of counts, or it does not */
		lane_count(witness.reader.header, &n, &unrecorded);
		assert_in_range(n, before + 3, before + 4);
		kept += n == before + 4;
		if (ring_log2)
			assert_int_equal(witness_drain(&witness), n);
		else
			assert_int_equal(unrecorded, n);
		check_ledger(&witness, n);
	}
	assert_true(kept >= 2);
	assert_true(steps - kept > 20);
	kill(pid, SIGKILL);
	assert_int_equal(wait_status(pid), -SIGKILL);
	end_round(&witness);
}

static void next_thread_settles_a_push_abandoned_at_any_instruction(void **state)
{
	(void)state;
	/* one kind at a time, as each takes other instructions */
	numbered_only = TALLY_KIND_ALLOC;
	throw_out_everywhere(0, RING_LOG2);
	numbered_only = TALLY_KIND_FREE;
	throw_out_everywhere(0 - (uint64_t)100, RING_LOG2);
}

static void next_thread_settles_an_abandoned_push_without_a_ring(void **state)
{
	(void)state;
	numbered_only = TALLY_KIND_ALLOC;
	throw_out_everywhere(0, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(writer_killed_at_random_leaves_whole_events),
		TEST(writer_that_dies_at_any_instruction_leaves_whole_events),
		TEST(next_thread_settles_a_push_abandoned_at_any_instruction),
		TEST(next_thread_settles_an_abandoned_push_without_a_ring),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
