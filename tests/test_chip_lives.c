/* SPDX-License-Identifier: Apache-2.0 */
/* Who is still there of those that a runtime's totals name: not zombies, nor others who have got
 * their numbers; but whoever may be.
 * sanitizers: address */
#include <pthread.h>
#include <sys/wait.h>
#include <time.h>

#include "tests/child.h"
#include "tests/cli.h"
#include "tests/publish.h"

#define SECOND_NS 1000000000ull

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return (uint64_t)now.tv_sec * SECOND_NS + (uint64_t)now.tv_nsec;
}

/* A file in which that process holds 1,000 bytes, written last at that time. */
static void write_slot(pid_t pid, uint64_t last_update_ns)
{
	struct chip_bytes chip = chip_new(4, 3, 3);

	chip_slot(&chip, 0, (uint32_t)pid, "runtime", BYTES(1000));
	chip_put64(&chip, 856 + 48, last_update_ns);
	chip_write(&chip, 3);
}

static bool is_shown(pid_t pid, uint64_t last_update_ns)
{
	const struct tally_snapshot *now;
	struct tally_consumer *consumer;
	size_t count;
	int64_t held;

	write_slot(pid, last_update_ns);
	assert_int_equal(watch_open(NULL, &consumer), 0);
	now = watch_get(consumer);
	count = now->process_count;
	held = watch_pool(now, 3, TALLY_POOL_DRAM)->totals.live_bytes;
	watch_let_go();
	assert_int_equal(held, count ? 1000 : 0);
	return count == 1;
}

static pid_t make_zombie(void)
{
	siginfo_t info;
	pid_t pid = fork();

	if (pid == 0)
		_exit(0);
	assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
	return pid;
}

static void a_zombie_holds_nothing(void **state)
{
	pid_t pid = make_zombie();

	(void)state;
	assert_int_equal(kill(pid, 0), 0);
	assert_false(is_shown(pid, clock_ns(CLOCK_REALTIME)));
	assert_false(is_shown(pid, 0));
	/* and its file is nobody's */
	publish_begin(4);
	publish_dram(3, 100001, 70);
	assert_int_equal(lines, 0);
	assert_int_equal(json_number(publish_read(3), "totals/dram"), 70);
	publish_end();
	assert_int_equal(wait_status(pid), 0);
}

static void *stay(void *arg)
{
	pause();
	return arg;
}

static void end_first_thread(void *arg)
{
	pthread_t thread;

	(void)arg;
	pthread_create(&thread, NULL, stay, NULL);
}

static void leave(void *arg)
{
	pthread_exit(arg);
}

/* Its state is a zombie's. */
static void a_process_whose_first_thread_has_ended_lives(void **state)
{
	pid_t pid = start_child(end_first_thread, leave, NULL);

	(void)state;
	WAIT_FOR(strstr(read_file(text("/proc/%d/stat", (int)pid), NULL), ") Z "));
	assert_true(is_shown(pid, clock_ns(CLOCK_REALTIME)));
	kill(pid, SIGKILL);
	assert_int_equal(wait_status(pid), -SIGKILL);
}

/* The number of one that has died is another's by now. */
static void a_process_younger_than_what_it_is_said_to_have_written_is_another(void **state)
{
	uint64_t before_ns = clock_ns(CLOCK_REALTIME), up_ns = clock_ns(CLOCK_BOOTTIME);
	uint64_t boot_ns = before_ns - up_ns, after_ns;
	struct job job;
	pid_t pid;

	(void)state;
	if (up_ns < 200 * SECOND_NS)
		SKIP("this machine was started too short a time ago");
	job = job_start(&(struct command){ .argv = LIST("cat") });
	after_ns = clock_ns(CLOCK_REALTIME);
	pid = job.pid;
	assert_false(is_shown(pid, before_ns - 100 * SECOND_NS));
	assert_false(is_shown(pid, boot_ns + 100 * SECOND_NS));
	assert_true(is_shown(pid, after_ns - 50 * SECOND_NS)); /* may be a clock's doing */
	assert_true(is_shown(pid, after_ns));
	assert_true(is_shown(pid, after_ns + 100 * SECOND_NS));
	assert_true(is_shown(pid, UINT64_MAX));
	/* of a clock that is none of this machine's */
	assert_true(is_shown(pid, 0));
	assert_true(is_shown(pid, up_ns));
	assert_true(is_shown(pid, boot_ns - 100 * SECOND_NS));
	/* Its file is nobody's, or his. */
	publish_begin(4);
	publish_dram(3, 100001, 70);
	check_contains(said, "(runtime) reports it there by itself");
	write_slot(pid, before_ns - 100 * SECOND_NS);
	publish_dram(3, 100001, 80);
	assert_int_equal(json_number(publish_read(3), "totals/dram"), 80);
	publish_end();
	assert_int_equal(job_end(&job).status, 0);
}

/* What is known of one for the time of a look is not taken for another's. */
static void of_many_in_one_file_each_is_asked_after(void **state)
{
	struct chip_bytes chip = chip_new(4, 3, 3);
	const struct tally_snapshot *now;
	struct tally_consumer *consumer;
	uint32_t pid = (uint32_t)getpid(), n;

	(void)state;
	for (n = 0; n < 64;
	     n++) /* any two of them at any distance, and the living one among them */
		chip_slot(&chip, n, n == 32 ? pid : CHIP_NOBODY - 3 * n, "one of many", BYTES(10));
	for (n = 0; n < 10; n++)
		chip_put32(&chip, 856 + (n < 5 ? n : n + 40) * 120,
			   0x3fff00u - 256 * n + pid % 256);
	chip_write(&chip, 3);
	assert_int_equal(watch_open(NULL, &consumer), 0);
	now = watch_get(consumer);
	assert_int_equal(now->process_count, 1);
	assert_int_equal(now->processes[0].pid, pid);
	assert_int_equal(watch_pool(now, 3, TALLY_POOL_DRAM)->totals.live_bytes, 10);
	watch_let_go();
}

#define LOOKUPS 4096
#define DEAD 0x400000u /* and above: no kernel gives such a pid */

/* So many files from `first` on, full of the dead, of whom no two can be kept at a time. */
static void write_dead(uint64_t first, int files, uid_t uid)
{
	uint32_t pid = DEAD + (uint32_t)first * 64 * 256, n;
	int file;

	for (file = 0; file < files; file++) {
		struct chip_bytes chip = chip_new(4, first, 3);

		for (n = 0; n < 64; n++, pid += 256)
			chip_slot(&chip, n, pid, "one of many", BYTES(10));
		chip_write(&chip, first + (uint64_t)file);
		if (uid != geteuid())
			assert_int_equal(chown(chip_path(first + (uint64_t)file), uid, uid), 0);
	}
}

static size_t shown(const struct tally_consumer_options *options)
{
	const struct tally_snapshot *now;
	struct tally_consumer *consumer;
	size_t count;

	assert_int_equal(watch_open(options, &consumer), 0);
	now = watch_look(consumer);
	count = now->process_count;
	assert_int_equal(now->refused_files, 0);
	watch_put(now);
	now = watch_look(consumer); /* each look begins anew */
	assert_int_equal(now->process_count, count);
	watch_put(now);
	watch_let_go();
	return count;
}

/* Who writes a file chooses whom it names. */
static void so_many_are_asked_after_in_one_look_and_the_others_live(void **state)
{
	(void)state;
	write_dead(0, LOOKUPS / 64, geteuid());
	assert_int_equal(shown(NULL), 0);
	write_dead(LOOKUPS / 64, 2, geteuid());
	assert_int_equal(shown(NULL), 2 * 64);
}

/* His files come first, by their ids. */
static void another_users_files_keep_nobody_from_being_asked_after(void **state)
{
	struct tally_consumer_options all = { .all_users = true };

	(void)state;
	if (geteuid() != 0)
		SKIP("only root can be two users");
	write_dead(0, LOOKUPS / 64 + 2, 65534);
	write_dead(1000, LOOKUPS / 64, 0);
	assert_int_equal(shown(&all), 2 * 64);
	assert_int_equal(shown(NULL), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_zombie_holds_nothing),
		TEST(a_process_whose_first_thread_has_ended_lives),
		TEST(of_many_in_one_file_each_is_asked_after),
		TEST(so_many_are_asked_after_in_one_look_and_the_others_live),
		TEST(another_users_files_keep_nobody_from_being_asked_after),
		TEST(a_process_younger_than_what_it_is_said_to_have_written_is_another),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
