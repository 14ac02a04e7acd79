/* SPDX-License-Identifier: Apache-2.0 */
/* Publishing where others are: live runtimes, dead ones, other users, readers that write, other
 * gateways. Who owns a file keeps it, and nothing that it has counted is lost. */
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <tally/atomic.h>

#include "tests/child.h"
#include "tests/publish.h"
#include "tests/scripted.h"

/* Any process. */
static struct job start_runtime(void)
{
	return job_start(&(struct command){ .argv = LIST("cat") });
}

/* What the field's runtime does, in words of this format: it attaches, counts, and has a slot. */
static uint64_t *map_file(const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	uint64_t *file = mmap(NULL, CHIP_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	close(fd);
	return file == MAP_FAILED ? NULL : file;
}

enum { REFERENCES = 16 / 8, DRAM = 48 / 8, SLOTS = 856 / 8, SLOT = 120 / 8 };

static void runtime_attach(uint64_t *file)
{
	tally_add_relaxed(&file[REFERENCES], 1);
}

static uint64_t *runtime_slot(uint64_t *file)
{
	size_t n;

	for (n = 0; n < 64; n++) {
		uint64_t *slot = &file[SLOTS + n * SLOT], none = tally_load_relaxed(slot);

		if ((uint32_t)none == 0 &&
		    tally_cas_relaxed(slot, &none, none | (uint32_t)getpid()))
			return slot;
	}
	return NULL;
}

static void runtime_count(uint64_t *file, uint64_t *slot, uint64_t bytes)
{
	tally_add_relaxed(&file[DRAM], bytes);
	if (slot)
		tally_add_relaxed(&slot[1], bytes);
}

static void act_once(void *arg)
{
	void (**act)(void) = arg;

	(*act)();
}

static void rest(void *arg)
{
	(void)arg;
	pause();
}

/* A child that does this, and stays until it is killed. */
static pid_t start_actor(void (*act)(void))
{
	return start_child(act_once, rest, &act);
}

static void end_child(pid_t pid)
{
	kill(pid, SIGKILL);
	assert_int_equal(wait_status(pid), -SIGKILL);
}

/* ---- Files that are somebody's --------------------------------------------------------------- */

static void a_file_with_a_living_processs_slot_is_left_alone_and_said_once(void **state)
{
	struct chip_bytes chip = chip_new(4, 3, 3);
	struct job runtime = start_runtime();
	int round;

	(void)state;
	chip_slot(&chip, 9, (uint32_t)runtime.pid, "trainer", BYTES(1000));
	chip_slot(&chip, 10, CHIP_NOBODY, "dead", BYTES(50));
	chip_write(&chip, 3);
	publish_begin(4);
	for (round = 1; round <= 3; round++) {
		publish_dram(3, 100001, 70 + round);
		chip_unchanged(&chip, chip_path(3));
		publish_dram(4, 100001, 60); /* others go on */
		assert_int_equal(json_number(publish_read(4), "totals/dram"), 60);
	}
	assert_int_equal(lines, 1);
	assert_string_equal(said, text("device 3 is not published in %s: process %d (trainer) "
				       "reports it there by itself",
				       chip_path(3), runtime.pid));
	/* when it has gone, whatever it left is replaced, in the same file */
	job_kill(&runtime);
	publish_dram(3, 100001, 80);
	assert_int_equal(json_number(publish_read(3), "totals/dram"), 80);
	assert_int_equal(json_number(publish_read(3), "num_active_processes"), 1);
	assert_int_equal(json_array_size(json_get(publish_read(3), "processes")), 1);
	publish_end();
}

static void map_and_stay(void)
{
	CHILD_CHECK(map_file(chip_path(3)) != NULL);
}

/* The failure: processes of other PID namespaces look dead by their ids. */
static void a_file_that_is_open_for_writing_is_left_alone_whoever_is_in_it(void **state)
{
	struct chip_bytes chip = chip_new(4, 3, 3);
	pid_t pid;

	(void)state;
	chip_slot(&chip, 9, CHIP_NOBODY, "in a container", BYTES(1000));
	chip_write(&chip, 3);
	pid = start_actor(map_and_stay);
	publish_begin(4);
	publish_dram(3, 100001, 70);
	publish_dram(3, 100001, 71);
	chip_unchanged(&chip, chip_path(3));
	assert_int_equal(lines, 1);
	check_contains(said, "open for writing, of this or another PID namespace");
	end_child(pid);
	publish_dram(3, 100001, 72);
	assert_int_equal(json_number(publish_read(3), "totals/dram"), 72);
	assert_int_equal(json_array_size(json_get(publish_read(3), "processes")), 1);
	publish_end();
}

/* The failure: another user's stale file blocks all. */
static void another_users_stale_file_costs_one_device_and_one_line(void **state)
{
	struct chip_bytes chip = chip_new(4, 3, 3);

	(void)state;
	if (geteuid() != 0)
		SKIP("only root can be two users");
	chip_slot(&chip, 9, CHIP_NOBODY, "dead", BYTES(1000));
	chip_write(&chip, 3);
	assert_int_equal(chown(chip_path(3), 65534, 65534), 0);
	publish_begin(4);
	publish_dram(3, 100001, 70);
	publish_dram(3, 100001, 71);
	publish_dram(4, 100001, 60);
	chip_unchanged(&chip, chip_path(3));
	assert_int_equal(lines, 1);
	check_contains(said, "it is user 65534's, or others may write it; have it removed");
	assert_int_equal(json_number(publish_read(4), "totals/dram"), 60);
	publish_end();
}

static void check_refused(const char *why)
{
	said[0] = '\0';
	publish_begin(4);
	publish_dram(3, 100001, 70);
	check_contains(said, why);
	publish_end();
}

static void what_is_no_file_of_these_versions_is_left_alone(void **state)
{
	struct chip_bytes chip = chip_new(1, 3, 3);
	size_t size;

	(void)state;
	chip_write_size(&chip, 3, 9280);
	check_refused("it is version 1 with 9280 bytes, not 2 to 4 with 8576; remove it");
	chip = chip_new(5, 3, 3);
	chip_write(&chip, 3);
	check_refused("it is version 5 with 8576 bytes");
	chip_unchanged(&chip, chip_path(3));
	chip_write_size(&chip, 3, 0); /* somebody has just made it */
	check_refused("it is version 0 with 0 bytes");
	read_file(chip_path(3), &size);
	assert_int_equal(size, 0);
	assert_int_equal(unlink(chip_path(3)), 0);
	assert_int_equal(symlink("/etc/passwd", chip_path(3)), 0);
	check_refused("Too many levels of symbolic links");
	assert_int_equal(unlink(chip_path(3)), 0);
	assert_int_equal(mkfifo(chip_path(3), 0600), 0);
	check_refused("not a regular file");
	assert_int_equal(unlink(chip_path(3)), 0);
}

static void stale_files_of_each_version_are_taken_over_in_place(void **state)
{
	uint32_t version;

	(void)state;
	for (version = 2; version <= 4; version++) {
		struct chip_bytes chip = chip_new(version, 3, 9);
		struct stat before, after;
		json_t *json;

		chip_slot(&chip, 0, CHIP_NOBODY, "dead", BYTES(1, 2, 3, 4, 5));
		chip_put64(&chip, 48, (uint64_t)-5); /* lost, and wrapped */
		chip_put32(&chip, 4, 77);
		chip_put32(&chip, 88 + 48, 8); /* a remote chip's part */
		chip_put64(&chip, 88 + 48 + 8, 4711);
		chip_write(&chip, 3);
		assert_int_equal(stat(chip_path(3), &before), 0);
		publish_begin(3);
		publish_dram(3, 100001, 70);
		assert_int_equal(lines, 0);
		json = publish_read(3);
		assert_int_equal(json_number(json, "version"), 3);
		assert_int_equal(json_number(json, "device_id"), 3);
		assert_int_equal(json_number(json, "totals/dram"), 70);
		assert_int_equal(json_number(json, "totals/cb"), 0);
		assert_int_equal(json_number(json, "num_active_processes"), 1);
		assert_int_equal(json_number(json, "reference_count"), 1);
		assert_int_equal(json_array_size(json_get(json, "processes")), 1);
		assert_int_equal(json_array_size(json_get(json, "chips")), 1);
		assert_int_equal(stat(chip_path(3), &after), 0);
		assert_int_equal(after.st_ino, before.st_ino);
		publish_end();
	}
}

/* A runtime whose chip has another name than the device's number. */
static void a_device_that_a_runtime_publishes_in_another_file_is_left_to_it(void **state)
{
	struct job ours = script_start(NULL), runtime = start_runtime();
	struct chip_bytes chip = chip_new(4, 777, 3);
	const struct tally_snapshot *now;
	struct tally_consumer *consumer;

	(void)state;
	job_do(&ours, "alloc 3 0 1 50");
	chip_slot(&chip, 0, (uint32_t)runtime.pid, "trainer", BYTES(1000));
	assert_int_equal(watch_open(NULL, &consumer), 0);
	publish_begin(4);
	now = watch_look(consumer);
	assert_int_equal(publish_update(publishing, now), 0);
	watch_put(now);
	assert_int_equal(json_number(publish_read(3), "totals/dram"), 50);
	chip_write(&chip, 777);
	now = watch_look(consumer);
	assert_int_equal(watch_pool(now, 3, 0)->totals.live_bytes, 1050);
	assert_int_equal(publish_update(publishing, now), 0);
	watch_put(now);
	assert_int_equal(lines, 1);
	check_contains(said, "a runtime publishes its totals by itself");
	assert_int_equal(json_number(publish_read(3), "totals/dram"), 0);
	chip_unchanged(&chip, chip_path(777));
	job_kill(&runtime);
	now = watch_look(consumer);
	assert_int_equal(publish_update(publishing, now), 0);
	watch_put(now);
	assert_int_equal(json_number(publish_read(3), "totals/dram"), 50);
	publish_end();
	watch_let_go();
	job_end_well(&ours);
}

/* ---- Others in a file of ours ---------------------------------------------------------------- */

#define COUNTED 200000

static uint64_t *counting; /* shared: how far the child is */

static void count_beside_us(void)
{
	uint64_t *file = map_file(chip_path(3)), *slot = NULL;
	uint64_t n;

	CHILD_CHECK(file != NULL);
	for (n = 0; tally_load_relaxed(counting) == 0;)
		; /* it may begin at any moment of an update */
	runtime_attach(file);
	for (n = 0; n < COUNTED; n++) {
		runtime_count(file, slot, 3);
		if (!slot) { /* as it does: the totals first */
			slot = runtime_slot(file);
			CHILD_CHECK(slot != NULL);
			tally_add_relaxed(&slot[1], 3);
		}
	}
	tally_store_relaxed(counting, 2);
}

static pid_t start_counting(void)
{
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		count_beside_us();
		for (;;)
			pause();
	}
	return pid;
}

/* The failure: increments that are lost between processes. */
static void a_runtime_that_begins_in_a_file_of_ours_loses_nothing_and_has_it_alone(void **state)
{
	int round;

	(void)state;
	counting = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	for (round = 0; round < 20; round++) {
		uint64_t updates = 0;
		const char *now;
		pid_t pid;

		*counting = 0;
		publish_begin(4);
		publish_dram(3, 100001, 1 << 20);
		pid = start_counting();
		while (tally_load_relaxed(counting) != 2) {
			publish_dram(3, 100001, (1 << 20) + (int64_t)(++updates % 7));
			if (updates == 100 + (uint64_t)round * 13)
				tally_store_relaxed(counting, 1);
		}
		publish_dram(3, 100001, 5);
		assert_int_equal(lines, 1);
		now = chip_now(3);
		assert_int_equal(chip_get64(now, 48), 3 * COUNTED);
		assert_int_equal(chip_get32(now, 16), 1);
		assert_null(chip_slot_of(now, 100001));
		assert_int_equal(chip_get64(chip_slot_of(now, (uint32_t)pid), 8), 3 * COUNTED);
		/* nobody uses it any more: ours again, in the same file */
		end_child(pid);
		publish_dram(3, 100001, 6);
		now = chip_now(3);
		assert_int_equal(chip_get64(now, 48), 6);
		assert_int_equal(chip_get32(now, 16), 1);
		assert_int_equal(chip_get32(now, 4), 1);
		assert_null(chip_slot_of(now, (uint32_t)pid));
		publish_end();
	}
	munmap(counting, 4096);
}

static void attach_and_count(void)
{
	uint64_t *file = map_file(chip_path(3)), *slot;

	CHILD_CHECK(file != NULL);
	runtime_attach(file);
	runtime_count(file, NULL, 500);
	slot = runtime_slot(file);
	CHILD_CHECK(slot != NULL);
	runtime_count(file, slot, 700);
}

static void a_runtime_that_came_and_was_killed_between_two_looks_leaves_nothing(void **state)
{
	json_t *json;

	(void)state;
	publish_begin(4);
	publish_dram(3, 100001, 70);
	end_child(start_actor(attach_and_count));
	publish_dram(3, 100001, 71);
	assert_int_equal(lines, 0);
	json = publish_read(3);
	assert_int_equal(json_number(json, "totals/dram"), 71);
	assert_int_equal(json_number(json, "reference_count"), 1);
	assert_int_equal(json_array_size(json_get(json, "processes")), 1);
	publish_dram(3, 100001, 72);
	json = publish_read(3);
	assert_int_equal(json_number(json_array_get(json_get(json, "chips"), 0), "dram"), 72);
	publish_end();
}

/* The failure: underflow. Old readers empty the slot of a process that they find dead, and take its
 * bytes off the totals, at any time. */
static void what_a_reader_has_taken_off_is_put_back(void **state)
{
	const char *now;
	uint64_t *file, *slot;

	(void)state;
	publish_begin(4);
	publish_dram(3, 100001, 700);
	file = map_file(chip_path(3));
	slot = &file[SLOTS];
	assert_int_equal((uint32_t)*slot, 100001);
	tally_add_relaxed(&file[DRAM], 0 - slot[1]);
	slot[0] = slot[1] = 0;
	assert_int_equal(file[DRAM], 0);
	munmap(file, CHIP_SIZE);
	publish_dram(3, 100001, 700);
	now = chip_now(3);
	assert_int_equal(chip_get64(now, 48), 700);
	assert_int_equal(chip_get64(chip_slot_of(now, 100001), 8), 700);
	assert_int_equal(lines, 0);
	publish_end();
}

static void two_gateways_do_not_write_one_file(void **state)
{
	struct publish *first;

	(void)state;
	publish_begin(4);
	first = publishing;
	publish_dram(3, 100001, 700);
	publish_begin(4);
	publish_dram(3, 100001, 800);
	assert_int_equal(lines, 1);
	check_contains(said, "another gateway publishes there");
	assert_int_equal(json_number(publish_read(3), "totals/dram"), 700);
	publish_close(first);
	publish_dram(3, 100001, 900);
	assert_int_equal(json_number(publish_read(3), "totals/dram"), 900);
	publish_end();
}

static void publish_and_die(void)
{
	struct made made;
	struct publish *publish;

	CHILD_CHECK(publish_open(test_dir, 4, NULL, NULL, &publish) == 0);
	made_begin(&made, 3);
	made_process(&made, (uint32_t)getppid(), "lives on");
	made_pool(&made, TALLY_POOL_DRAM, 700);
	CHILD_CHECK(publish_update(publish, &made.snapshot) == 0);
}

/* The processes that it has published live on, and are not mistaken for a runtime's. */
static void a_gateway_takes_over_from_one_that_was_killed(void **state)
{
	const struct tally_snapshot *seen;
	struct tally_consumer *consumer;
	pid_t pid = start_actor(publish_and_die);
	json_t *json;

	(void)state;
	end_child(pid);
	json = publish_read(3);
	assert_int_equal(json_number(json, "totals/dram"), 700);
	assert_int_equal(json_processes(json, getpid(), NULL), 1);
	assert_int_equal(watch_open(NULL, &consumer), 0);
	seen = watch_look(consumer); /* whose numbers are regions' */
	assert_int_equal(seen->process_count + seen->device_count, 0);
	watch_put(seen);
	publish_begin(4);
	publish_dram(3, 100001, 50);
	assert_int_equal(lines, 0);
	json = publish_read(3);
	assert_int_equal(json_number(json, "totals/dram"), 50);
	assert_int_equal(json_number(json, "reference_count"), 1);
	assert_int_equal(json_processes(json, getpid(), NULL), 0);
	publish_end();
}

static void a_file_that_is_removed_is_made_anew_and_one_that_is_cut_is_given_up(void **state)
{
	uint64_t *file;

	(void)state;
	publish_begin(4);
	publish_dram(3, 100001, 700);
	file = map_file(chip_path(3));
	assert_int_equal(unlink(chip_path(3)), 0);
	publish_dram(3, 100001, 701);
	assert_int_equal(json_number(publish_read(3), "totals/dram"), 701);
	assert_int_equal(file[DRAM] + (uint32_t)file[SLOTS], 0); /* the old one */
	munmap(file, CHIP_SIZE);
	assert_int_equal(truncate(chip_path(3), 100), 0);
	publish_dram(3, 100001, 703);
	assert_int_equal(lines, 1);
	check_contains(said, "it is version 4 with 100 bytes");
	publish_end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(a_file_with_a_living_processs_slot_is_left_alone_and_said_once),
		TEST(a_file_that_is_open_for_writing_is_left_alone_whoever_is_in_it),
		TEST(another_users_stale_file_costs_one_device_and_one_line),
		TEST(what_is_no_file_of_these_versions_is_left_alone),
		TEST(stale_files_of_each_version_are_taken_over_in_place),
		TEST(a_device_that_a_runtime_publishes_in_another_file_is_left_to_it),
		TEST(a_runtime_that_begins_in_a_file_of_ours_loses_nothing_and_has_it_alone),
		TEST(a_runtime_that_came_and_was_killed_between_two_looks_leaves_nothing),
		TEST(what_a_reader_has_taken_off_is_put_back),
		TEST(two_gateways_do_not_write_one_file),
		TEST(a_gateway_takes_over_from_one_that_was_killed),
		TEST(a_file_that_is_removed_is_made_anew_and_one_that_is_cut_is_given_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
