/* SPDX-License-Identifier: Apache-2.0 */
/* What Tally sees, published as the runtime publishes its totals: what old readers find there. */
#include <errno.h>
#include <fcntl.h>
#include <sys/inotify.h>
#include <sys/mman.h>
#include <sys/wait.h>

#include "tests/child.h"
#include "tests/publish.h"
#include "tests/scripted.h"

static struct tally_consumer *consumer;

static void look_and_publish(void)
{
	const struct tally_snapshot *now = watch_look(consumer);

	assert_int_equal(publish_update(publishing, now), 0);
	watch_put(now);
}

static json_t *process_of(json_t *json, pid_t pid)
{
	json_t *process = NULL;

	assert_int_equal(json_processes(json, pid, &process), 1);
	return process;
}

/* From real producers, through a real consumer, to a reader that has none of our code. */
static void old_readers_find_what_producers_hold(void **state)
{
	struct job one = script_start(NULL), other = script_start(NULL);
	uint32_t version;

	(void)state;
	job_do(&one, "describe 3 n300 wormhole_b0 serial-1 0 1000");
	job_do(&one, "alloc 3 0 1 8589934592");
	job_do(&one, "alloc 3 1 2 20");
	job_do(&one, "alloc 3 2 3 111"); /* system memory: has no field */
	job_do(&one, "alloc 3 6 3 222"); /* kernels: neither */
	job_do(&one, "alloc 0 7 3 333"); /* nor the heap */
	job_do(&other, "alloc 3 3 1 3");
	job_do(&other, "alloc 3 4 1 4");
	job_do(&other, "alloc 3 5 1 5");
	job_do(&other, "alloc 4 0 1 44");
	for (version = 3; version <= 4; version++) {
		struct stat status;
		json_t *json;

		assert_int_equal(watch_open(NULL, &consumer), 0);
		publish_begin(version);
		look_and_publish();
		assert_int_equal(lines, 0);
		json = publish_read(3);
		assert_int_equal(json_number(json, "version"), version);
		assert_int_equal(json_number(json, "init_state"), version == 4 ? 0x52454459 : 0);
		assert_string_equal(json_text(json, "asic_id"), "3");
		assert_int_equal(json_number(json, "device_id"), 3);
		assert_int_equal(json_number(json, "board_serial"), 0);
		assert_int_equal(json_number(json, "num_active_processes"), 2);
		assert_int_equal(json_number(json, "reference_count"), 2);
		assert_int_equal(json_number(json, "totals/dram"), 8589934592);
		assert_int_equal(json_number(json, "totals/l1"), 20);
		assert_int_equal(json_number(json, "totals/l1_small"), 3);
		assert_int_equal(json_number(json, "totals/trace"), 4);
		assert_int_equal(json_number(json, "totals/cb"), 5);
		assert_int_equal(json_array_size(json_get(json, "chips")), 1);
		assert_int_equal(json_number(json, "chips/0/chip_id"), 3);
		assert_int_equal(json_number(json, "chips/0/is_remote"), 1);
		assert_int_equal(json_number(json, "chips/0/dram"), 8589934592);
		assert_int_equal(json_number(json, "chips/0/cb"), 5);
		assert_string_equal(json_text(process_of(json, one.pid), "name"), "scripted");
		assert_int_equal(json_number(process_of(json, one.pid), "dram"), 8589934592);
		assert_int_equal(json_number(process_of(json, one.pid), "cb"), 0);
		assert_int_equal(json_number(process_of(json, other.pid), "l1_small"), 3);
		assert_true(strlen(json_text(process_of(json, one.pid), "last_update")) == 19);
		assert_true(strlen(json_text(json, "last_update")) == 19);
		assert_int_equal(json_number(publish_read(4), "totals/dram"), 44);
		assert_int_equal(access(chip_path(0), F_OK), -1); /* the host is no chip */
		assert_int_equal(stat(chip_path(3), &status), 0);
		assert_int_equal(status.st_mode, S_IFREG | 0600);
		assert_int_equal(status.st_size, 8576);
		publish_end();
		watch_let_go();
	}
	job_end_well(&one);
	job_end_well(&other);
}

/* The failure: bytes of a process that SIGKILL ended stay in the totals. */
static void a_killed_process_is_out_with_the_next_look(void **state)
{
	struct job stays = script_start(NULL), dies = script_start(NULL);
	json_t *json;
	uint32_t n;

	(void)state;
	assert_int_equal(watch_open(NULL, &consumer), 0);
	publish_begin(4);
	job_do(&stays, "alloc 3 0 1 30");
	job_do(&dies, "alloc 3 0 1 1000");
	look_and_publish();
	assert_int_equal(json_number(publish_read(3), "totals/dram"), 1030);
	job_kill(&dies);
	look_and_publish();
	json = publish_read(3);
	assert_int_equal(json_number(json, "totals/dram"), 30);
	assert_int_equal(json_number(json, "chips/0/dram"), 30);
	assert_int_equal(json_number(json, "num_active_processes"), 1);
	assert_int_equal(json_number(json, "reference_count"), 1);
	assert_int_equal(json_processes(json, dies.pid, NULL), 0);
	for (n = 1; n < 64; n++) { /* nothing is left of it: wherever it was */
		const char *now = chip_now(3);

		if (chip_get32(now, 856 + n * 120) == 0)
			assert_int_equal(chip_get64(now, 856 + n * 120 + 8) +
						 chip_get64(now, 856 + n * 120 + 56),
					 0);
	}
	job_end_well(&stays);
	look_and_publish();
	json = publish_read(3);
	assert_int_equal(json_number(json, "totals/dram"), 0);
	assert_int_equal(json_number(json, "num_active_processes"), 0);
	publish_end();
	remove_regions();
}

/* The failure: a 65th process is not reported. */
static void of_more_than_64_processes_the_largest_have_a_slot_and_all_are_counted(void **state)
{
	struct made made;
	json_t *json;
	uint32_t n;

	(void)state;
	publish_begin(4);
	made_begin(&made, 3);
	for (n = 1; n <= 70; n++) {
		made_process(&made, 100000 + n, "one of many");
		made_pool(&made, TALLY_POOL_DRAM, n);
		made_pool(&made, TALLY_POOL_CB, 1000);
	}
	assert_int_equal(publish_update(publishing, &made.snapshot), 0);
	json = publish_read(3);
	assert_int_equal(json_number(json, "totals/dram"), 70 * 71 / 2);
	assert_int_equal(json_number(json, "totals/cb"), 70000);
	assert_int_equal(json_number(json, "num_active_processes"), 64);
	assert_int_equal(json_number(json, "reference_count"), 70);
	for (n = 1; n <= 70; n++)
		assert_int_equal(json_processes(json, 100000 + n, NULL), n > 6);
	/* the smallest becomes the largest: another has to go */
	made.pools[0].totals.live_bytes = 5000;
	assert_int_equal(publish_update(publishing, &made.snapshot), 0);
	json = publish_read(3);
	assert_int_equal(json_processes(json, 100001, NULL), 1);
	assert_int_equal(json_processes(json, 100007, NULL), 0);
	assert_int_equal(json_number(json, "totals/dram"), 70 * 71 / 2 + 4999);
	assert_int_equal(json_number(json, "num_active_processes"), 64);
	publish_end();
}

/* The failure: counters that wrap below zero. */
static void what_is_below_zero_is_published_as_nothing(void **state)
{
	struct made made;
	json_t *json;

	(void)state;
	publish_begin(4);
	made_begin(&made, 3);
	made_process(&made, 100001, "armed late");
	made_pool(&made, TALLY_POOL_DRAM, -100);
	made_pool(&made, TALLY_POOL_L1, -100);
	made_process(&made, 100002, "another");
	made_pool(&made, TALLY_POOL_DRAM, 130);
	assert_int_equal(publish_update(publishing, &made.snapshot), 0);
	json = publish_read(3);
	assert_int_equal(json_number(json, "totals/dram"), 30); /* as every view has it */
	assert_int_equal(json_number(json, "totals/l1"), 0);
	assert_int_equal(json_number(process_of(json, 100001), "dram"), 0);
	assert_int_equal(json_number(process_of(json, 100002), "dram"), 130);
	publish_end();
}

/* Such a region lies, or is of a PID namespace that ours does not see. */
static void a_process_without_a_pid_is_in_totals_and_in_no_slot(void **state)
{
	static const char none[120];
	struct made made;
	const char *now;
	json_t *json;
	uint32_t n;

	(void)state;
	publish_begin(4);
	made_begin(&made, 3);
	made_process(&made, 0, "nobody");
	made_pool(&made, TALLY_POOL_DRAM, 1000);
	made_pool(&made, TALLY_POOL_CB, 1000);
	made_process(&made, (uint32_t)-1, "everybody");
	made_pool(&made, TALLY_POOL_DRAM, 200);
	made_process(&made, 100001, "somebody");
	made_pool(&made, TALLY_POOL_DRAM, 30);
	assert_int_equal(publish_update(publishing, &made.snapshot), 0);
	json = publish_read(3);
	assert_int_equal(json_number(json, "totals/dram"), 1230);
	assert_int_equal(json_number(json, "totals/cb"), 1000);
	assert_int_equal(json_number(json, "num_active_processes"), 1);
	assert_int_equal(json_number(json, "reference_count"), 3);
	assert_int_equal(json_number(process_of(json, 100001), "dram"), 30);
	now = chip_now(3);
	for (n = 0; n < 64; n++)
		if (chip_get32(now, 856 + n * 120) != 100001)
			assert_memory_equal(now + 856 + n * 120, none, sizeof(none));
	publish_end();
}

static void what_is_known_from_files_alone_is_not_published(void **state)
{
	struct made made;

	(void)state;
	publish_begin(4);
	made_begin(&made, 3);
	made_process(&made, 100001, "runtime");
	made.processes[0].totals_only = true;
	made_pool(&made, TALLY_POOL_DRAM, 100);
	made_process(&made, 100002, "ended");
	made.processes[1].end = TALLY_GONE;
	made_pool(&made, TALLY_POOL_DRAM, 1000);
	assert_int_equal(publish_update(publishing, &made.snapshot), 0);
	assert_int_equal(access(chip_path(3), F_OK), -1);
	made_process(&made, 100003, "seen");
	made_pool(&made, TALLY_POOL_DRAM, 7);
	assert_int_equal(publish_update(publishing, &made.snapshot), 0);
	assert_int_equal(json_number(publish_read(3), "totals/dram"), 7);
	publish_end();
}

static bool is_removed(int fd)
{
	struct stat status;

	return fstat(fd, &status) != 0 || status.st_nlink == 0;
}

/* The failure: a file can be seen before it is initialised. */
static void check_every_file_is_whole_when_it_appears(void)
{
	int events = inotify_init1(IN_CLOEXEC), rounds = 0;
	char event[4096], bytes[8577];

	CHILD_CHECK(inotify_add_watch(events, test_dir, IN_CREATE | IN_MOVED_TO) >= 0);
	puts("ready");
	fflush(stdout);
	for (;;) {
		int fd;

		if (read(events, event, sizeof(event)) <= 0)
			break;
		fd = open(chip_path(3), O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			continue; /* removed again */
		CHILD_CHECK(read(fd, bytes, sizeof(bytes)) == 8576);
		if (is_removed(fd))
			continue; /* and emptied by now */
		CHILD_CHECK(chip_get32(bytes, 0) == 4 && chip_get32(bytes, 8536) == 0x52454459);
		CHILD_CHECK(chip_get64(bytes, 48) == 4711 && chip_get32(bytes, 4) == 1);
		CHILD_CHECK(chip_slot_of(bytes, 100001) != NULL);
		close(fd);
		if (++rounds == 100)
			_exit(0);
	}
}

static void a_file_is_whole_before_anybody_can_see_it(void **state)
{
	int pipe_fds[2], status = -1;
	char ready[6];
	pid_t pid;

	(void)state;
	assert_int_equal(pipe(pipe_fds), 0);
	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		dup2(pipe_fds[1], STDOUT_FILENO);
		check_every_file_is_whole_when_it_appears();
		_exit(1);
	}
	close(pipe_fds[1]);
	assert_int_equal(read(pipe_fds[0], ready, 6), 6);
	close(pipe_fds[0]);
	while (waitpid(pid, &status, WNOHANG) == 0) {
		publish_begin(4);
		publish_dram(3, 100001, 4711);
		pause_a_moment();
		unlink(chip_path(3)); /* before it is emptied */
		publish_end();
	}
	assert_int_equal(status, 0);
}

static void at_the_end_nothing_is_left_in_the_file_but_the_file(void **state)
{
	const struct tally_snapshot *now;
	const char *before, *after;
	json_t *json;
	int fd;

	(void)state;
	publish_begin(4);
	publish_dram(3, (uint32_t)getpid(), 500);
	fd = open(chip_path(3), O_RDONLY | O_CLOEXEC); /* an old reader has it mapped */
	before = mmap(NULL, 8576, PROT_READ, MAP_SHARED, fd, 0);
	close(fd);
	assert_int_equal(chip_get64(before, 48), 500);
	publish_end();
	assert_int_equal(chip_get64(before, 48), 0);
	after = chip_now(3);
	assert_memory_equal(after, before, 8576);
	munmap((void *)(uintptr_t)before, 8576);
	json = publish_read(3);
	assert_int_equal(json_number(json, "version"), 4);
	assert_int_equal(json_number(json, "init_state"), 0x52454459);
	assert_int_equal(json_number(json, "num_active_processes"), 0);
	assert_int_equal(json_number(json, "reference_count"), 0);
	assert_int_equal(json_array_size(json_get(json, "processes")), 0);
	assert_int_equal(json_number(json, "chips/0/dram"), 0);
	/* Tally's own views take nothing from it, then as before */
	assert_int_equal(watch_open(NULL, &consumer), 0);
	now = watch_look(consumer);
	assert_int_equal(now->device_count, 0);
	watch_put(now);
	publish_begin(4);
	publish_dram(3, (uint32_t)getpid(), 900);
	assert_int_equal(lines, 0);
	now = watch_look(consumer);
	assert_int_equal(now->device_count + now->process_count, 0);
	watch_put(now);
	publish_end();
}

static void the_file_is_that_of_the_chip_where_its_id_is_known(void **state)
{
	struct made made;

	(void)state;
	publish_begin(4);
	made_begin(&made, 3);
	made.device.described = made.device.described_own = true;
	snprintf(made.device.stable_id, sizeof(made.device.stable_id), "18446744073709551615");
	assert_int_equal(publish_update(publishing, &made.snapshot), 0);
	assert_int_equal(json_number(publish_read(UINT64_MAX), "device_id"), 3);
	assert_string_equal(json_text(publish_read(UINT64_MAX), "asic_id"), "18446744073709551615");
	publish_end();
	assert_int_equal(publish_open(test_dir, 2, NULL, NULL, &publishing), -EINVAL);
	assert_int_equal(publish_open(test_dir, 5, NULL, NULL, &publishing), -EINVAL);
	assert_int_equal(publish_open("/nonexistent", 4, NULL, NULL, &publishing), -ENOENT);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(old_readers_find_what_producers_hold),
		TEST(a_killed_process_is_out_with_the_next_look),
		TEST(of_more_than_64_processes_the_largest_have_a_slot_and_all_are_counted),
		TEST(what_is_below_zero_is_published_as_nothing),
		TEST(a_process_without_a_pid_is_in_totals_and_in_no_slot),
		TEST(what_is_known_from_files_alone_is_not_published),
		TEST(a_file_is_whole_before_anybody_can_see_it),
		TEST(at_the_end_nothing_is_left_in_the_file_but_the_file),
		TEST(the_file_is_that_of_the_chip_where_its_id_is_known),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
