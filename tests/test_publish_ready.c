/* SPDX-License-Identifier: Apache-2.0 */
/* A file that a dead runtime has left, as it is taken over: after every instruction of that. */
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

#include "tests/publish.h"

/* Words by offsets that are written out by hand, as readers know them. */
enum { REFERENCES = 16 / 8, TOTALS = 48 / 8, SLOTS = 856 / 8, SLOT = 120 / 8, READY = 8536 / 8 };

static void take_over_stepped(void)
{
	struct publish *publish;
	struct made made;

	if (publish_open(test_dir, 4, NULL, NULL, &publish) != 0)
		_exit(1);
	made_begin(&made, 3);
	made_process(&made, 100001, "stepped");
	made_pool(&made, TALLY_POOL_DRAM, 70);
	if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0)
		_exit(77);
	raise(SIGSTOP);
	if (publish_update(publish, &made.snapshot) != 0)
		_exit(2);
	raise(SIGSTOP);
	_exit(0);
}

/* As a reader of version 4 judges it; whoever passes for ready is as he will be. */
static bool check_ready(const volatile uint64_t *file)
{
	size_t n, found = 0;

	if ((uint32_t)file[0] != 4 || (uint32_t)file[READY] != 0x52454459)
		return false;
	assert_int_equal(file[TOTALS], 70);
	assert_int_equal(file[TOTALS + 4], 0);
	assert_int_equal((uint32_t)file[REFERENCES], 1);
	for (n = 0; n < 64; n++) {
		const volatile uint64_t *slot = &file[SLOTS + n * SLOT];

		assert_true((uint32_t)slot[0] == 100001 || (uint32_t)slot[0] == 0);
		assert_int_equal(slot[1], slot[0] ? 70 : 0);
		found += (uint32_t)slot[0] == 100001;
	}
	assert_int_equal(found, 1);
	return true;
}

/* The failure: a file counts as ready before all of it is there. */
static void the_mark_of_what_is_ready_comes_last(void **state)
{
	struct chip_bytes chip = chip_new(3, 3, 3);
	size_t steps = 0, ready = 0;
	const volatile uint64_t *file;
	int fd, status;
	pid_t pid;

	(void)state;
	SKIP_EMULATED("no ptrace");
	chip_slot(&chip, 5, CHIP_NOBODY, "dead", BYTES(1, 2, 3, 4, 5));
	fd = open(chip_write(&chip, 3), O_RDONLY | O_CLOEXEC);
	file = mmap(NULL, CHIP_SIZE, PROT_READ, MAP_SHARED, fd, 0);
	close(fd);
	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		take_over_stepped();
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
		SKIP("ptrace is not allowed here");
	assert_true(WIFSTOPPED(status));
	do {
		assert_int_equal(ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL), 0);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSTOPPED(status));
		ready += check_ready(file);
		steps++;
	} while (WSTOPSIG(status) == SIGTRAP);
	assert_int_equal(WSTOPSIG(status), SIGSTOP);
	assert_true(check_ready(file));
	assert_true(ready > 0 && steps > 1000 + ready);
	ptrace(PTRACE_CONT, pid, NULL, NULL);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	munmap((void *)(uintptr_t)file, CHIP_SIZE);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(the_mark_of_what_is_ready_comes_last),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
