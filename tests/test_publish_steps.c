/* SPDX-License-Identifier: Apache-2.0 */
/* A file while it is being written: after every instruction of an update, and between its parts. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <tally/tally.h>
#include <unistd.h>

#include "consumer/gateway/chip.h"
#include "tests/support.h"

/* Words by offsets that are written out by hand, as readers know them. */
enum { REFERENCES = 16 / 8, TOTALS = 48 / 8, SLOTS = 856 / 8, SLOT = 120 / 8, SIZE = 8576 };

/* ---- Every instruction ----------------------------------------------------------------------- */

#define PROCESSES 4

/* What they hold before and after: one that goes, one that comes, one that shrinks in one pool and
 * grows in another (in both halves of the word), one that stays. */
static const uint64_t held[2][PROCESSES][5] = {
	{ { 50, 5, 0, 1, 2 }, { 0 }, { (1ull << 40) + 1000, 10, 3, 0, 0 }, { 7, 7, 7, 7, 7 } },
	{ { 0 }, { 90, 9, 0, 5, 1 }, { (1ull << 36) + 5, 30, 2, 0, 8 }, { 7, 7, 7, 7, 7 } },
};

static struct digest make_digest(int when, struct digest_slot slots[PROCESSES])
{
	struct digest digest = { .device = 3, .chip_id = 3, .slots = slots };
	size_t n, i;

	for (n = 0; n < PROCESSES; n++) {
		struct digest_slot *slot = &slots[digest.slot_count];

		if (n < 2 && (when == 0) != (n == 0))
			continue;
		*slot = (struct digest_slot){ .pid = 100000 + (uint32_t)n, .name = "stepped" };
		for (i = 0; i < 5; i++) {
			slot->bytes[i] = held[when][n][i];
			digest.bytes[i] += slot->bytes[i];
		}
		digest.slot_count++;
	}
	digest.processes = (uint32_t)digest.slot_count;
	return digest;
}

static void write_stepped(int dir_fd)
{
	struct chip_hold hold = { .fd = -1 };
	struct digest_slot before[PROCESSES], after[PROCESSES];
	struct digest digest = make_digest(0, before);
	char why[CHIP_LINE_MAX];

	if (chip_make(dir_fd, "made", &hold, why) != 0)
		_exit(1);
	chip_describe(&hold, 4, &digest);
	if (!chip_write(&hold, &digest, 1800000000000000000u))
		_exit(2);
	chip_ready(&hold, 4);
	if (chip_name(dir_fd, "stepped", &hold, why) != 0)
		_exit(3);
	digest = make_digest(1, after);
	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
		_exit(77);
	raise(SIGSTOP);
	if (!chip_write(&hold, &digest, 1800000000000000001u))
		_exit(4);
	raise(SIGSTOP);
	_exit(0);
}

static uint64_t total(int when, size_t pool)
{
	uint64_t sum = 0;
	size_t n;

	for (n = 0; n < PROCESSES; n++)
		sum += held[when][n][pool];
	return sum;
}

static bool is_either(uint64_t value, uint64_t one, uint64_t other)
{
	return value == one || value == other;
}

/* All that anybody could read now; how many of the totals have moved. */
static size_t check_now(const volatile uint64_t *file)
{
	size_t moved = 0, pool, n;

	for (pool = 0; pool < 5; pool++) {
		uint64_t now = file[TOTALS + pool], sum = 0;

		assert_true(is_either(now, total(0, pool), total(1, pool)));
		moved += now == total(1, pool);
		for (n = 0; n < 64; n++) {
			const volatile uint64_t *slot = &file[SLOTS + n * SLOT];
			uint32_t who = (uint32_t)slot[0] - 100000;
			uint64_t bytes = slot[1 + pool];

			sum += bytes;
			if (bytes == 0)
				continue;
			assert_true(slot[0] != 0 && who < PROCESSES); /* somebody's */
			assert_true(is_either(bytes, held[0][who][pool], held[1][who][pool]));
		}
		assert_true(sum <= now);
	}
	return moved;
}

static void all_that_can_be_read_is_true_after_every_instruction(void **state)
{
	int dir_fd = open(test_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC), fd, status;
	const volatile uint64_t *file;
	size_t steps = 0, moved = 0, seen[6] = { 0 };
	pid_t pid;

	(void)state;
	SKIP_EMULATED("no ptrace");
	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		write_stepped(dir_fd);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		SKIP("ptrace is not allowed here");
	assert_true(WIFSTOPPED(status));
	fd = openat(dir_fd, "stepped", O_RDONLY | O_CLOEXEC);
	file = mmap(NULL, SIZE, PROT_READ, MAP_SHARED, fd, 0);
	close(fd);
	close(dir_fd);
	assert_int_equal(check_now(file), 0);
	do {
		assert_int_equal(ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL), 0);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSTOPPED(status));
		moved = check_now(file);
		seen[moved]++;
		steps++;
	} while (WSTOPSIG(status) == SIGTRAP);
	assert_int_equal(WSTOPSIG(status), SIGSTOP);
	assert_int_equal(moved, 5);
	assert_true(steps > 1000 && seen[0] && seen[3]);
	ptrace(PTRACE_CONT, pid, NULL, NULL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	munmap((void *)(uintptr_t)file, SIZE);
}

/* ---- Between the parts of an update ---------------------------------------------------------- */

static struct chip_hold hold;
static struct digest_slot slots[PROCESSES];
static struct digest digest;

static uint64_t *begin(void)
{
	int dir_fd = open(test_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	char why[CHIP_LINE_MAX];

	hold.fd = -1;
	digest = make_digest(0, slots);
	assert_int_equal(chip_make(dir_fd, "made", &hold, why), 0);
	close(dir_fd);
	chip_describe(&hold, 4, &digest);
	assert_true(chip_write(&hold, &digest, 1));
	digest = make_digest(1, slots);
	return (uint64_t *)(void *)hold.file;
}

/* Somebody has counted since we looked whether anybody does. */
static void check_given_up(uint64_t *file, const uint64_t left[5])
{
	size_t n;

	assert_false(chip_write(&hold, &digest, 2));
	chip_withdraw(&hold);
	for (n = 0; n < 5; n++)
		assert_int_equal(file[TOTALS + n], left[n]);
	for (n = 0; n < 64; n++)
		assert_true((uint32_t)file[SLOTS + n * SLOT] == 0 ||
			    (uint32_t)file[SLOTS + n * SLOT] == 4711);
	chip_let_go(&hold);
}

static void what_is_counted_during_an_update_is_not_overwritten(void **state)
{
	uint64_t *file = begin();

	(void)state;
	file[TOTALS + 4] += 1000; /* who never attached */
	check_given_up(file, (uint64_t[5]){ 0, 0, 0, 0, 1000 });
	file = begin();
	file[REFERENCES]++;
	file[TOTALS] += 1000;
	check_given_up(file, (uint64_t[5]){ 1000 });
	assert_int_equal(hold.fd, -1);
	/* attached, and a reader takes a dead process off at the same time: the total has shrunk */
	file = begin();
	file[TOTALS + 1] -= 5;
	assert_true(chip_write(&hold, &digest, 2)); /* a reader alone is no reason */
	assert_int_equal(file[TOTALS + 1], total(1, 1));
	chip_let_go(&hold);
}

static void a_slot_that_a_runtime_has_taken_is_not_ours(void **state)
{
	uint64_t *file = begin();
	size_t n;

	(void)state;
	digest = make_digest(0, slots);
	slots[digest.slot_count++] = (struct digest_slot){ .pid = 100009, .bytes = { 1 } };
	digest.bytes[0]++;
	for (n = 3; n < 64; n++) { /* all that were free */
		file[SLOTS + n * SLOT] = 4711;
		file[SLOTS + n * SLOT + 1] = n;
	}
	assert_true(chip_write(&hold, &digest, 2));
	for (n = 0; n < 3; n++) /* nor is one that has a process */
		assert_true((uint32_t)file[SLOTS + n * SLOT] < 100004);
	chip_withdraw(&hold);
	for (n = 3; n < 64; n++) {
		assert_int_equal(file[SLOTS + n * SLOT], 4711);
		assert_int_equal(file[SLOTS + n * SLOT + 1], n);
	}
	assert_int_equal((uint32_t)file[SLOTS], 0);
	chip_let_go(&hold);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(all_that_can_be_read_is_true_after_every_instruction),
		TEST(what_is_counted_during_an_update_is_not_overwritten),
		TEST(a_slot_that_a_runtime_has_taken_is_not_ours),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
