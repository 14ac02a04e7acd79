/* SPDX-License-Identifier: Apache-2.0 */
/* Totals that a runtime publishes by itself: each version of its files, who is in them and who is
 * not any more, and what the verbs show of them. */
#include <signal.h>

#include "tests/child.h"
#include "tests/chip.h"
#include "tests/scripted.h"
#include "tests/watch.h"

/* A process that lives and that no region tells of. */
static struct job sleeper(void)
{
	return job_start(&(struct command){ .argv = LIST("cat") });
}

static void end_sleeper(struct job *job)
{
	assert_int_equal(job_end(job).status, 0);
}

static const struct tally_snapshot *look_once(const struct tally_consumer_options *options)
{
	struct tally_consumer *consumer;

	assert_int_equal(watch_open(options, &consumer), 0);
	return watch_get(consumer);
}

static bool is_totals_only(const struct tally_snapshot *now, uint32_t device)
{
	size_t n;

	for (n = 0; n < now->device_count; n++)
		if (now->devices[n].device == device)
			return now->devices[n].totals_only;
	fail_msg("no device %u", device);
	return false;
}

static const struct tally_process_view *process_of(const struct tally_snapshot *now, uint32_t pid)
{
	size_t n;

	for (n = 0; n < now->process_count; n++)
		if (now->processes[n].pid == pid)
			return &now->processes[n];
	return NULL;
}

/* ---- Versions -------------------------------------------------------------------------------- */

static void versions_2_to_4_are_shown_alike(void **state)
{
	struct job job = sleeper();
	uint32_t pid = (uint32_t)job.pid, version, pool;
	static const uint32_t pools[5] = { 0, 1, 3, 4, 5 };

	(void)state;
	for (version = 2; version <= 4; version++) {
		struct chip_bytes chip = chip_new(version, 469504, 3);
		const struct tally_process_view *process;
		const struct tally_snapshot *now;
		char *path;

		chip_slot(&chip, 7, pid, "python3 train.py", BYTES(1ull << 33, 200, 30, 4, 5));
		path = chip_write(&chip, 469504);
		now = look_once(NULL);
		assert_true(now->complete);
		assert_int_equal(now->device_count, 1);
		assert_int_equal(now->devices[0].device, 3);
		assert_true(now->devices[0].totals_only);
		assert_true(now->devices[0].totals_file);
		assert_false(now->devices[0].described);
		assert_string_equal(now->devices[0].stable_id, "chip-469504");
		assert_int_equal(now->process_count, 1);
		process = process_of(now, pid);
		assert_non_null(process);
		assert_true(process->totals_only);
		assert_string_equal(process->comm, "python3 train.py");
		assert_string_equal(process->region, "tt_device_469504_memory");
		assert_int_equal(process->uid, geteuid());
		assert_int_equal(process->pool_count, 5);
		for (pool = 0; pool < 5; pool++) {
			const struct tally_pool_view *view = watch_pool(now, 3, pools[pool]);
			const struct tally_pool_view *own =
				&now->process_pools[process->first_pool + pool];
			int64_t want = (int64_t)BYTES(1ull << 33, 200, 30, 4, 5)[pool];

			assert_non_null(view);
			assert_true(view->totals_only && own->totals_only);
			assert_int_equal(view->totals.live_bytes, want);
			assert_int_equal(view->totals.live_bytes_high, want);
			assert_int_equal(own->pool, pools[pool]);
			assert_int_equal(own->totals.live_bytes, want);
		}
		chip_unchanged(&chip, path);
		watch_let_go();
	}
	end_sleeper(&job);
}

static void other_versions_are_refused_by_name(void **state)
{
	struct chip_bytes chip = chip_new(1, 12, 0);

	(void)state;
	chip_slot(&chip, 0, (uint32_t)getpid(), "old", BYTES(1, 2, 3, 4, 5));
	chip_write_size(&chip, 12, 9280);
	CHECK_TALLY(3, "",
		    "tt_device_12_memory: version 1 of a runtime's totals, which this tally does "
		    "not read (it reads 2 to 4); update the runtime, then remove the file",
		    "ps");
	CHECK_TALLY(3, "", "tt_device_12_memory: version 1 of", "devices");
	chip = chip_new(5, 12, 0);
	chip_write(&chip, 12);
	CHECK_TALLY(3, "", "tt_device_12_memory: version 5 of a runtime's totals", "ps");
	chip_put32(&chip, 0, 0xffffffff);
	chip_write(&chip, 12);
	CHECK_TALLY(3, "", "tt_device_12_memory: version 4294967295 of", "ps");
	chip = chip_new(4, 12, 0);
	chip_write_size(&chip, 12, CHIP_SIZE - 1);
	CHECK_TALLY(3, "", "version 4 of a runtime's totals has 8576 bytes, this has 8575", "ps");
	chip_write_size(&chip, 12, CHIP_SIZE + 1);
	CHECK_TALLY(3, "", "has 8576 bytes, this has more than 8576", "ps");
	chip = chip_new(4, 12, 65536);
	chip_write(&chip, 12);
	CHECK_TALLY(3, "", "device 65536, which is none", "ps");
	/* what one file says is not in doubt for another's sake, but all there is, is */
	chip = chip_new(2, 13, 5);
	chip_slot(&chip, 0, (uint32_t)getpid(), "good", BYTES(77));
	chip_write(&chip, 13);
	CHECK_TALLY(0, "not exact: 1 file was refused", "device 65536", "ps");
	CHECK_TALLY(7, "cannot be judged: not exact: 1 file was refused", NULL, "check",
		    "--max-live", "1KiB");
}

/* The failure: a file can be seen, and read, before its maker has filled it in. */
static void a_file_seen_before_it_is_initialised_is_not_ready_yet(void **state)
{
	struct chip_bytes chip = chip_new(4, 12, 3);
	struct tally_consumer *consumer;
	const struct tally_snapshot *now;
	struct chip_bytes fresh;

	(void)state;
	memset(&fresh, 0, sizeof(fresh));
	chip_slot(&chip, 0, (uint32_t)getpid(), "starting", BYTES(50));
	assert_int_equal(watch_open(NULL, &consumer), 0);
	chip_write_size(&fresh, 12, 0);
	now = watch_look(consumer);
	assert_int_equal(now->refused_files, 1);
	assert_int_equal(now->process_count, 0);
	watch_put(now);
	CHECK_TALLY(3, "", "tt_device_12_memory: empty: a runtime's totals that are not ready yet",
		    "ps");
	chip_write(&fresh, 12);
	CHECK_TALLY(3, "", "version 0: a runtime's totals that are not ready yet", "ps");
	chip_put32(&chip, 8536, 0);
	chip_write(&chip, 12);
	CHECK_TALLY(3, "", "version 4: a runtime's totals that are not ready yet", "ps");
	chip_put32(&chip, 8536, 1);
	chip_write(&chip, 12);
	now = watch_look(consumer);
	assert_int_equal(now->refused_files, 1);
	assert_int_equal(now->device_count, 0);
	watch_put(now);
	chip_put32(&chip, 8536, 0x52454459u);
	chip_write(&chip, 12);
	now = watch_look(consumer);
	assert_int_equal(now->refused_files, 0);
	assert_int_equal(watch_pool(now, 3, 0)->totals.live_bytes, 50);
	watch_put(now);
}

/* ---- Who is in them -------------------------------------------------------------------------- */

/* The failure: bytes of a process that SIGKILL ended stay until another attaches. */
static void bytes_of_a_killed_process_are_gone_at_once_and_its_file_is_left_alone(void **state)
{
	struct job dies = sleeper(), stays = sleeper();
	struct chip_bytes chip = chip_new(4, 12, 3);
	struct tally_consumer *consumer;
	const struct tally_snapshot *now;
	char *path;

	(void)state;
	chip_slot(&chip, 0, (uint32_t)dies.pid, "dies", BYTES(1000, 100));
	chip_slot(&chip, 1, (uint32_t)stays.pid, "stays", BYTES(30));
	path = chip_write(&chip, 12);
	assert_int_equal(watch_open(NULL, &consumer), 0);
	now = watch_get(consumer);
	assert_int_equal(watch_pool(now, 3, 0)->totals.live_bytes, 1030);
	watch_put(now);
	job_kill(&dies);
	now = watch_look(consumer);
	assert_int_equal(now->process_count, 1);
	assert_int_equal(now->processes[0].pid, stays.pid);
	assert_int_equal(watch_pool(now, 3, 0)->totals.live_bytes, 30);
	assert_int_equal(watch_pool(now, 3, 0)->totals.live_bytes_high, 30);
	assert_int_equal(watch_pool(now, 3, 1)->totals.live_bytes_high, 0);
	watch_put(now);
	chip_unchanged(&chip, path);
	end_sleeper(&stays);
	/* nobody lives in it: a device that nobody uses, whatever its totals say */
	now = watch_look(consumer);
	assert_int_equal(now->process_count, 0);
	assert_int_equal(now->device_count, 1);
	assert_false(now->devices[0].totals_file);
	assert_int_equal(watch_pool(now, 3, 0)->totals.live_bytes_high, 0);
	watch_put(now);
	CHECK_TALLY(3, "", "nothing to show", "ps");
	chip_unchanged(&chip, path);
}

static void a_slot_that_is_no_process_is_none(void **state)
{
	struct chip_bytes chip = chip_new(4, 12, 3);
	const struct tally_snapshot *now;

	(void)state;
	/* to kill() these are everybody, a group, and ourselves */
	chip_slot(&chip, 0, 0xffffffff, "all", BYTES(1));
	chip_slot(&chip, 1, 0x80000000, "least", BYTES(2));
	chip_slot(&chip, 2, (uint32_t)-getpgrp(), "group", BYTES(4));
	chip_slot(&chip, 3, 0, "none", BYTES(8));
	chip_slot(&chip, 4, CHIP_NOBODY, "of another namespace", BYTES(16));
	chip_write(&chip, 12);
	now = look_once(NULL);
	assert_int_equal(now->process_count, 0);
	assert_int_equal(watch_pool(now, 3, 0)->totals.live_bytes_high, 0);
}

/* The failure: a 65th process finds no slot; the totals may hold it, its name is nowhere. */
static void what_a_65th_process_holds_is_an_upper_bound(void **state)
{
	struct chip_bytes chip = chip_new(3, 12, 3);
	struct job jobs[2] = { sleeper(), sleeper() };
	const struct tally_snapshot *now;
	size_t n;

	(void)state;
	for (n = 0; n < 64; n++)
		chip_slot(&chip, n, n < 2 ? (uint32_t)jobs[n].pid : CHIP_NOBODY, "one of many",
			  BYTES(10));
	chip_put64(&chip, 48, 640 + 7);
	chip_write(&chip, 12);
	now = look_once(NULL);
	assert_int_equal(now->process_count, 2);
	assert_int_equal(watch_pool(now, 3, 0)->totals.live_bytes, 20);
	assert_int_equal(watch_pool(now, 3, 0)->totals.live_bytes_high, 27);
	CHECK_TALLY(0, ">=20 B", "the runtime's total is higher than what its living", "ps");
	CHECK_TALLY(7, "between 20 B and 27 B held, 26 B allowed", NULL, "check", "--max-live",
		    "3=26");
	CHECK_TALLY(0, "1 rule holds", NULL, "check", "--max-live", "3=27");
	for (n = 0; n < 2; n++)
		end_sleeper(&jobs[n]);
}

/* The failure: increments are lost between processes, and decrements wrap below zero. */
static void totals_that_wrapped_below_zero_are_not_believed(void **state)
{
	struct chip_bytes chip = chip_new(4, 12, 3);
	struct job job = sleeper();
	const struct tally_snapshot *now;

	(void)state;
	chip_slot(&chip, 0, (uint32_t)job.pid, "lossy",
		  BYTES(500, (uint64_t)-64, UINT64_MAX / 2, 0, 9));
	chip_put64(&chip, 48, (uint64_t)-4096); /* below zero: dram */
	chip_put64(&chip, 80, 3);		/* increments lost: cb */
	chip_put64(&chip, 64, UINT64_MAX / 2);	/* as large as can be */
	chip_write(&chip, 12);
	now = look_once(NULL);
	assert_int_equal(watch_pool(now, 3, 0)->totals.live_bytes, 500);
	assert_int_equal(watch_pool(now, 3, 0)->totals.live_bytes_high, 500);
	assert_int_equal(watch_pool(now, 3, 1)->totals.live_bytes, -64);
	assert_int_equal(watch_pool(now, 3, 3)->totals.live_bytes, INT64_MAX);
	assert_int_equal(watch_pool(now, 3, 5)->totals.live_bytes_high, 9);
	end_sleeper(&job);
}

static void as_nobody(void)
{
	struct chip_bytes chip = chip_new(4, 15, 3);
	struct tally_consumer_options all = { .all_users = true };
	struct tally_consumer *consumer;
	const struct tally_snapshot *now;

	CHILD_CHECK(setresuid(65534, 65534, 65534) == 0);
	/* pid 1 is root's: kill() is not permitted, so it lives */
	chip_slot(&chip, 0, 1, "init", BYTES(600));
	chip_write(&chip, 15);
	CHILD_CHECK(tally_consumer_open(NULL, &consumer) == 0);
	now = tally_snapshot_get(consumer);
	CHILD_CHECK(now->process_count == 1 && now->processes[0].pid == 1);
	CHILD_CHECK(now->processes[0].uid == 65534 && now->refused_files == 0);
	CHILD_CHECK(watch_pool(now, 3, 0)->totals.live_bytes == 600);
	tally_snapshot_put(now);
	tally_consumer_close(consumer);
	CHILD_CHECK(tally_consumer_open(&all, &consumer) == 0);
	now = tally_snapshot_get(consumer);
	CHILD_CHECK(now->process_count == 1 && now->refused_files == 1 && !now->complete);
	tally_snapshot_put(now);
	tally_consumer_close(consumer);
}

static void everybodys_are_shown_to_root_and_an_owners_to_its_owner(void **state)
{
	struct tally_consumer_options all = { .all_users = true };
	struct chip_bytes chip = chip_new(4, 12, 3);
	const struct tally_snapshot *now;

	(void)state;
	if (geteuid() != 0)
		SKIP("only root can be two users");
	assert_int_equal(chmod(test_dir, 01777), 0);
	chip_slot(&chip, 0, (uint32_t)getpid(), "roots", BYTES(30));
	chip_write(&chip, 12);
	in_child(as_nobody, "this user cannot be another");
	now = look_once(NULL);
	assert_int_equal(now->process_count, 1);
	assert_int_equal(watch_pool(now, 3, 0)->totals.live_bytes, 30);
	watch_let_go();
	now = look_once(&all);
	assert_int_equal(now->process_count, 2);
	assert_int_equal(watch_pool(now, 3, 0)->totals.live_bytes, 630);
	check_contains(TALLY("doctor").out,
		       "tt_device_15_memory holds a runtime's totals and belongs to user 65534");
}

/* ---- Together with regions ------------------------------------------------------------------- */

static void a_process_that_reports_both_ways_is_counted_once(void **state)
{
	struct chip_bytes chip = chip_new(4, 12, 3), other = chip_new(4, 13, 4);
	struct job both = script_start(NULL), alone = sleeper();
	const struct tally_snapshot *now;
	const struct tally_process_view *process;

	(void)state;
	job_do(&both, "alloc 3 0 1 1000");
	job_do(&both, "alloc 0 7 1 77"); /* its heap is no device's memory */
	chip_slot(&chip, 0, (uint32_t)both.pid, "both", BYTES(1000, 8));
	chip_slot(&chip, 1, (uint32_t)alone.pid, "alone", BYTES(200));
	chip_slot(&other, 0, (uint32_t)both.pid, "both", BYTES(50));
	chip_write(&chip, 12);
	chip_write(&other, 13);
	now = look_once(NULL);
	/* its region is believed on device 3, its runtime on device 4, of which it tells alone */
	assert_int_equal(watch_pool(now, 3, 0)->totals.live_bytes, 1200);
	assert_int_equal(watch_pool(now, 3, 0)->totals.live_bytes_high, 1200);
	assert_true(watch_pool(now, 3, 0)->totals_only);
	assert_int_equal(watch_pool(now, 3, 0)->totals.allocations, 1);
	assert_int_equal(watch_pool(now, 3, 1)->totals.live_bytes, 0);
	assert_int_equal(watch_pool(now, 4, 0)->totals.live_bytes, 50);
	assert_false(is_totals_only(now, 3));
	assert_true(is_totals_only(now, 4));
	assert_int_equal(now->process_count, 3);
	process = &now->processes[0];
	assert_false(process->totals_only);
	assert_int_equal(process->pool_count, 2);
	check_contains(TALLY("ps").out, "3 part totals only");
	job_end_well(&both);
	end_sleeper(&alone);
}

static void two_chips_that_are_one_device_to_their_processes_add_up(void **state)
{
	struct chip_bytes one = chip_new(4, 12, 0), other = chip_new(2, 13, 0);
	struct job job = sleeper();
	const struct tally_snapshot *now;

	(void)state;
	chip_slot(&one, 0, (uint32_t)job.pid, "a", BYTES(10));
	chip_slot(&one, 9, (uint32_t)job.pid, "a again", BYTES(100));
	chip_slot(&other, 0, (uint32_t)getpid(), "b", BYTES(5));
	chip_slot(&other, 1, (uint32_t)job.pid, "a", BYTES(1000));
	chip_put64(&one, 48, 110 - 60);	   /* has lost some */
	chip_put64(&other, 48, 1005 + 20); /* has more: of processes without a slot */
	chip_write(&one, 12);
	chip_write(&other, 13);
	now = look_once(NULL);
	assert_int_equal(watch_pool(now, 0, 0)->totals.live_bytes, 1115);
	assert_int_equal(watch_pool(now, 0, 0)->totals.live_bytes_high, 1135);
	assert_int_equal(now->process_count, 2);
	assert_int_equal(process_of(now, (uint32_t)job.pid)->pool_count, 1);
	assert_string_equal(now->devices[0].stable_id, "chip-12+");
	end_sleeper(&job);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(versions_2_to_4_are_shown_alike),
		TEST(other_versions_are_refused_by_name),
		TEST(a_file_seen_before_it_is_initialised_is_not_ready_yet),
		TEST(bytes_of_a_killed_process_are_gone_at_once_and_its_file_is_left_alone),
		TEST(a_slot_that_is_no_process_is_none),
		TEST(what_a_65th_process_holds_is_an_upper_bound),
		TEST(totals_that_wrapped_below_zero_are_not_believed),
		TEST(everybodys_are_shown_to_root_and_an_owners_to_its_owner),
		TEST(a_process_that_reports_both_ways_is_counted_once),
		TEST(two_chips_that_are_one_device_to_their_processes_add_up),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
