/* SPDX-License-Identifier: Apache-2.0 */
/* What is asked of the kernel about a runtime's totals stands in nobody's way: leases, for a few
 * instructions, and files open, for as long as they are read.
 * sanitizers: address */
#include <fcntl.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/wait.h>

#include "tests/calls.h"
#include "tests/child.h"
#include "tests/cli.h"
#include "tests/publish.h"

/* ---- Others' leases -------------------------------------------------------------------------- */

static int leased = -1; /* open with a lease, until somebody asks for it back */
static volatile sig_atomic_t asked;

static void give_back(int number)
{
	(void)number;
	asked++;
	close(leased);
}

/* As another process has it for a moment; it gives it back at the first word. */
static void take_lease(const char *path, int flags, int lease)
{
	struct sigaction action = { .sa_handler = give_back };

	asked = 0;
	assert_int_equal(sigaction(SIGUSR1, &action, NULL), 0);
	leased = open(path, flags | O_CLOEXEC);
	assert_true(leased >= 0);
	assert_int_equal(fcntl(leased, F_SETSIG, SIGUSR1), 0);
	if (fcntl(leased, F_SETLEASE, lease) != 0)
		SKIP("there are no leases here");
}

static void a_file_is_published_though_somebody_has_a_lease_on_it_for_a_moment(void **state)
{
	struct chip_bytes chip = chip_new(4, 3, 3);

	(void)state;
	chip_write(&chip, 3);
	take_lease(chip_path(3), O_RDONLY, F_RDLCK);
	publish_begin(4);
	publish_dram(3, 100001, 70);
	assert_int_equal(asked, 1);
	assert_string_equal(said, "");
	assert_int_equal(json_number(publish_read(3), "totals/dram"), 70);
	publish_end();
}

static void a_file_is_read_though_somebody_has_a_lease_on_it_for_a_moment(void **state)
{
	struct chip_bytes chip = chip_new(4, 3, 3);
	const struct tally_snapshot *now;
	struct tally_consumer *consumer;

	(void)state;
	chip_slot(&chip, 0, (uint32_t)getpid(), "runtime", BYTES(1000));
	chip_write(&chip, 3);
	take_lease(chip_path(3), O_RDWR, F_WRLCK);
	assert_int_equal(watch_open(NULL, &consumer), 0);
	now = watch_get(consumer);
	assert_int_equal(asked, 1);
	assert_int_equal(now->refused_files, 0);
	assert_int_equal(watch_pool(now, 3, TALLY_POOL_DRAM)->totals.live_bytes, 1000);
	watch_let_go();
}

/* ---- Ours, call by call ---------------------------------------------------------------------- */

/* The signals that it has blocked, by bit. */
static uint64_t blocked(pid_t pid)
{
	char *line = strstr(read_file(text("/proc/%d/status", (int)pid), NULL), "SigBlk:");

	assert_non_null(line);
	return strtoull(line + strlen("SigBlk:"), NULL, 16);
}

#define BIT(number) (1ull << ((number)-1))

static uint64_t stops(void)
{
	return BIT(SIGTSTP) | BIT(SIGTTIN) | BIT(SIGTTOU);
}

static bool has_open(pid_t pid, const char *path)
{
	char *dir = text("/proc/%d/fd", (int)pid), to[4096];
	int fd;

	for (fd = 0; fd < 64; fd++) {
		ssize_t size = readlink(text("%s/%d", dir, fd), to, sizeof(to) - 1);

		if (size < 0)
			continue;
		to[size] = '\0';
		if (strcmp(to, path) == 0)
			return true;
	}
	return false;
}

/* Follows a child's calls until it rests. While it has a lease it is told to stop, and does so only
 * once it has none. How many leases it had. */
static int follow_leases(pid_t pid)
{
	uint64_t before = blocked(pid);
	struct call call = { 0 };
	bool held = false;
	int leases = 0, stopped = 0;

	while (calls_next(pid, &call)) {
		if (call.signal) {
			assert_false(held);
			assert_int_equal(call.signal, SIGTSTP);
			stopped++;
			continue;
		}
		if (call.number != SYS_fcntl || call.args[1] != F_SETLEASE || !call.done)
			continue;
		held = call.args[2] != F_UNLCK && call.result == 0;
		if (!held)
			continue;
		leases++;
		assert_int_equal(blocked(pid) & stops(), stops());
		assert_int_equal(kill(pid, SIGTSTP), 0);
	}
	assert_int_equal(blocked(pid), before);
	assert_int_equal(stopped, leases);
	return leases;
}

static void look_once(void)
{
	struct tally_consumer *consumer;

	CHILD_CHECK(tally_consumer_open(NULL, &consumer) == 0);
	calls_begin();
	tally_consumer_poll(consumer);
	calls_end();
}

static void publish_once(void)
{
	publish_begin(4);
	calls_begin();
	publish_dram(3, 100001, 70);
	calls_end();
}

/* Else who opens the file waits for 45 s, or until somebody has it go on. */
static void who_is_told_to_stop_has_no_lease_then(void **state)
{
	struct chip_bytes chip = chip_new(4, 3, 3);
	pid_t pid;

	(void)state;
	chip_slot(&chip, 0, CHIP_NOBODY, "elsewhere", BYTES(1000));
	chip_write(&chip, 3);
	pid = calls_follow(look_once);
	assert_int_equal(follow_leases(pid), 1);
	calls_let_go(pid);
	chip_put32(&chip, 8536, 1); /* somebody is making it ready, or has died at that */
	chip_write(&chip, 3);
	pid = calls_follow(publish_once);
	assert_int_equal(follow_leases(pid), 2);
	calls_let_go(pid);
}

/* Nor is a file kept open, which would keep others from seeing that it is nobody's. */
static void no_file_is_open_while_processes_are_asked_after(void **state)
{
	struct chip_bytes chip = chip_new(4, 3, 3);
	int asked_after = 0, opened = 0;
	struct call call = { 0 };
	uint32_t n;
	pid_t pid;

	(void)state;
	for (n = 0; n < 64; n++)
		chip_slot(&chip, n, CHIP_NOBODY - n, "one of many", BYTES(10));
	chip_write(&chip, 3);
	pid = calls_follow(look_once);
	while (calls_next(pid, &call)) {
		opened += has_open(pid, chip_path(3));
		if (call.number != SYS_kill || !call.done)
			continue;
		assert_false(has_open(pid, chip_path(3)));
		asked_after++;
	}
	assert_true(opened > 0);
	assert_int_equal(asked_after, 64);
	calls_let_go(pid);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_file_is_published_though_somebody_has_a_lease_on_it_for_a_moment),
		TEST(a_file_is_read_though_somebody_has_a_lease_on_it_for_a_moment),
		TEST(who_is_told_to_stop_has_no_lease_then),
		TEST(no_file_is_open_while_processes_are_asked_after),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
