/* SPDX-License-Identifier: Apache-2.0 */
/* What a consumer shows of a region that several processes join: each by itself, nothing twice.
 * sanitizers: address */
#include <fcntl.h>
#include <malloc.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "tests/joined.h"

/* ---- Rows and totals ------------------------------------------------------------------------- */

static void each_process_of_a_region_has_a_row_of_its_own(void **state)
{
	struct tally_consumer *consumer;
	const struct tally_snapshot *now;
	struct job jobs[4];
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(jobs); i++) {
		jobs[i] = join_start(NULL);
		job_do(&jobs[i], text("alloc %zu 100", 10 * (i + 1)));
		job_do(&jobs[i], text("free %zu 100", i + 1));
		job_do(&jobs[i], "thread 5 1000");
	}
	consumer = join_watch();
	now = watch_look(consumer);
	assert_int_equal(now->process_count, COUNT(jobs));
	for (i = 0; i < COUNT(jobs); i++) {
		const struct tally_process_view *row = watch_process(now, jobs[i].pid);
		size_t other;

		join_check(now, jobs[i].pid, TALLY_RUNNING, 10 * (i + 1) + 5,
			   900 * ((int64_t)i + 1) + 5000);
		assert_int_equal(row->events, 11 * (i + 1) + 5);
		assert_int_equal(row->lost_records, 0);
		for (other = 0; other < i; other++)
			assert_true(row->region_id !=
				    watch_process(now, jobs[other].pid)->region_id);
	}
	join_check_all(now, 100 + 20, 9000 + 20000, 0);
	watch_put(now);
	for (i = 0; i < COUNT(jobs); i++)
		job_end_well(&jobs[i]);
	now = watch_look(consumer);
	for (i = 0; i < COUNT(jobs); i++)
		join_check(now, jobs[i].pid, TALLY_EXITED, 10 * (i + 1) + 5,
			   900 * ((int64_t)i + 1) + 5000);
	join_check_all(now, 120, 0, 29000);
	watch_put(now);
	now = watch_look(consumer); /* the file went with the last one: all is forgotten */
	assert_int_equal(now->process_count, 0);
	assert_int_equal(now->pool_count, 0);
	watch_put(now);
}

/* What both of them say after each of the steps. */
static void check_heirs(struct tally_consumer *consumer, const struct job *stays, pid_t dead,
			const struct job *heir)
{
	const struct tally_snapshot *now = watch_look(consumer);

	join_check(now, stays->pid, TALLY_RUNNING, 3, 300);
	if (heir) {
		join_check(now, heir->pid, TALLY_RUNNING, 2, 8);
		join_check_all(now, 3 + 5 + 2, 308, 5000);
	} else {
		join_check(now, dead, TALLY_GONE, 5, 5000);
		join_check_all(now, 3 + 5, 300, 5000);
	}
	watch_put(now);
}

static void dead_one_is_abandoned_once_whoever_looks_and_whoever_takes_its_place(void **state)
{
	struct job stays, dies, heir;
	struct tally_consumer *early, *late;
	const struct tally_snapshot *now;
	pid_t dead;

	(void)state;
	stays = join_start(NULL);
	job_do(&stays, "alloc 3 100");
	dies = join_start(NULL);
	dead = dies.pid;
	job_do(&dies, "alloc 5 1000");
	early = join_watch();
	now = watch_look(early);
	join_check(now, dead, TALLY_RUNNING, 5, 5000);
	join_check_all(now, 8, 5300, 0);
	watch_put(now);
	job_kill(&dies);
	check_heirs(early, &stays, dead, NULL);
	late = join_watch();
	check_heirs(late, &stays, dead, NULL);
	check_heirs(early, &stays, dead, NULL);
	watch_close(late);
	heir = join_start(NULL);
	job_do(&heir, "alloc 2 4");
	check_heirs(early, &stays, dead, &heir);
	now = watch_get(early); /* the row of the dead one is not there any more */
	assert_null(watch_process(now, dead));
	assert_int_equal(now->process_count, 2);
	watch_put(now);
	late = join_watch();
	check_heirs(late, &stays, dead, &heir);
	check_heirs(early, &stays, dead, &heir);
	now = watch_get(late);
	assert_null(watch_process(now, dead));
	watch_put(now);
	job_end_well(&heir);
	job_end_well(&stays);
}

static void owner_that_was_overtaken_between_two_looks_ends_once_and_goes(void **state)
{
	struct job stays = join_start(NULL), dies = join_start(NULL), heir;
	struct tally_consumer *consumer;
	const struct tally_process_view *row;
	const struct tally_snapshot *now;
	pid_t dead = dies.pid;

	(void)state;
	job_do(&dies, "alloc 5 1000");
	consumer = join_watch();
	job_do(&dies, "alloc 100 1"); /* after the look */
	job_kill(&dies);
	heir = join_start(NULL);
	job_do(&heir, "alloc 2 4");
	now = watch_look(consumer);
	row = watch_process(now, dead); /* as far as it was known */
	assert_non_null(row);
	assert_int_equal(row->end, TALLY_GONE);
	assert_int_equal(join_totals(now, row)->live_bytes, 5000);
	assert_false(join_totals(now, row)->current);
	assert_int_equal(row->events, 5);
	assert_int_equal(row->events, row->records_read + row->lost_records);
	join_check(now, heir.pid, TALLY_RUNNING, 2, 8);
	join_check_all(now, 107, 8, 5100);
	assert_int_equal(watch_process(now, heir.pid)->lost_records, 0);
	watch_put(now);
	now = watch_look(consumer);
	assert_null(watch_process(now, dead));
	join_check_all(now, 107, 8, 5100);
	watch_put(now);
	job_end_well(&heir);
	job_end_well(&stays);
}

/* ---- Lanes and the shared ring --------------------------------------------------------------- */

static void lane_of_the_dead_goes_on_as_its_heirs(void **state)
{
	struct job stays = join_start("TALLY_LANES=1"), dies = join_start(NULL), heir;
	struct tally_consumer *early, *late;
	const struct tally_snapshot *now;

	(void)state;
	/* the only lane is taken by the first, then, after its death, by its heir */
	job_do(&stays, "alloc 700 1");
	early = join_watch();
	job_kill(&stays);
	job_do(&dies, "alloc 10 1000");
	now = watch_look(early);
	join_check(now, stays.pid, TALLY_GONE, 700, 700);
	watch_put(now);
	heir = join_start(NULL);
	job_do(&heir, "alloc 600 10");
	now = watch_look(early);
	join_check(now, heir.pid, TALLY_RUNNING, 600, 6000);
	join_check(now, dies.pid, TALLY_RUNNING, 10, 10000);
	assert_int_equal(watch_process(now, heir.pid)->records_read, 600);
	assert_int_equal(watch_process(now, heir.pid)->events, 600);
	join_check_all(now, 1310, 16000, 700);
	watch_put(now);
	/* of 1,300 records in that lane 1,024 are there still: the heir's, and some that are not */
	late = join_watch();
	now = watch_look(late);
	join_check(now, heir.pid, TALLY_RUNNING, 600, 6000);
	assert_int_equal(watch_process(now, heir.pid)->records_read, 600);
	assert_int_equal(watch_process(now, heir.pid)->lost_records, 0);
	join_check_all(now, 1310, 16000, 700);
	watch_put(now);
	job_do(&heir, "alloc 2000 1"); /* laps */
	job_kill(&heir);
	now = watch_look(early);
	join_check(now, heir.pid, TALLY_GONE, 2600, 8000);
	assert_int_equal(watch_process(now, heir.pid)->events, 2600);
	assert_true(watch_process(now, heir.pid)->lost_records >= 2600 - 600 - 1024);
	join_check_all(now, 3310, 10000, 8700);
	watch_put(now);
	job_end_well(&dies);
}

static void records_of_the_shared_ring_are_each_their_process_s(void **state)
{
	struct tally_consumer *consumer, *late;
	const struct tally_snapshot *now;
	struct job jobs[4];
	size_t i, round;

	(void)state;
	for (i = 0; i < COUNT(jobs); i++)
		jobs[i] = join_start("TALLY_LANES=1");
	consumer = join_watch();
	for (round = 1; round <= 3; round++) {
		for (i = 0; i < COUNT(jobs); i++)
			job_do(&jobs[i], text("alloc %zu 1", 20 * (i + 1)));
		now = watch_look(consumer); /* stays a few records behind who is moving, but ... */
		watch_put(now);
		now = watch_look(consumer); /* ... nobody is */
		for (i = 0; i < COUNT(jobs); i++) {
			const struct tally_process_view *row = watch_process(now, jobs[i].pid);

			join_check(now, jobs[i].pid, TALLY_RUNNING, round * 20 * (i + 1),
				   (int64_t)(round * 20 * (i + 1)));
			assert_int_equal(row->records_read, round * 20 * (i + 1));
			assert_int_equal(row->lost_records, 0);
		}
		watch_put(now);
	}
	/* One dies, another takes its place: numbers go on, and are the heir's. */
	job_do(&jobs[2], "alloc 50 1");
	job_kill(&jobs[2]);
	now = watch_look(consumer);
	join_check(now, jobs[2].pid, TALLY_GONE, 230, 230);
	assert_int_equal(watch_process(now, jobs[2].pid)->records_read, 230);
	watch_put(now);
	jobs[2] = join_start(NULL);
	job_do(&jobs[2], "alloc 70 1");
	watch_put(watch_look(consumer));
	now = watch_look(consumer);
	join_check(now, jobs[2].pid, TALLY_RUNNING, 70, 70);
	assert_int_equal(watch_process(now, jobs[2].pid)->records_read, 70);
	assert_int_equal(watch_process(now, jobs[2].pid)->lost_records, 0);
	join_check_all(now, 3 * 200 + 50 + 70, 600 + 50 + 70 - 230, 230);
	watch_put(now);
	/* One that comes now finds records of both in that entry, and knows them apart. */
	late = join_watch();
	now = watch_look(late);
	join_check(now, jobs[2].pid, TALLY_RUNNING, 70, 70);
	assert_int_equal(watch_process(now, jobs[2].pid)->records_read, 70);
	join_check(now, jobs[1].pid, TALLY_RUNNING, 120, 120);
	assert_int_equal(watch_process(now, jobs[1].pid)->records_read, 120);
	watch_put(now);
	for (i = 0; i < COUNT(jobs); i++)
		job_end_well(&jobs[i]);
}

static void what_was_lost_in_the_shared_ring_is_counted_to_its_process(void **state)
{
	struct job first = join_start("TALLY_LANES=1"), second;
	struct tally_consumer *consumer;
	const struct tally_snapshot *now;

	(void)state;
	job_do(&first, "alloc 1 1"); /* has the lane */
	second = join_start(NULL);
	job_do(&second, "alloc 5000 1"); /* in a shared ring of 1,024 */
	consumer = join_watch();
	now = watch_look(consumer);
	join_check(now, second.pid, TALLY_RUNNING, 5000, 5000);
	assert_true(watch_process(now, second.pid)->lost_records >= 5000 - 1024);
	assert_true(watch_process(now, second.pid)->records_read > 0);
	assert_int_equal(watch_process(now, first.pid)->lost_records, 0);
	watch_put(now);
	job_kill(&second);
	now = watch_look(consumer);
	join_check(now, second.pid, TALLY_GONE, 5000, 5000);
	join_check_all(now, 5001, 1, 5000);
	watch_put(now);
	job_end_well(&first);
}

/* ---- Coming and going ------------------------------------------------------------------------ */

#define PASSING 300

static size_t open_files(void)
{
	size_t count = 0;
	int fd;

	for (fd = 0; fd < 1024; fd++)
		count += fcntl(fd, F_GETFD) >= 0;
	return count;
}

/* One process that comes, holds 10 times `size` bytes, and goes; its status. Without run(), which
 * keeps memory. */
static int pass_through(const char *path, int size, bool killed)
{
	char digits[20];
	pid_t pid;

	snprintf(digits, sizeof(digits), "%d", size);
	pid = fork();
	if (pid == 0) {
		int null = open("/dev/null", O_RDWR);

		prctl(PR_SET_PDEATHSIG, SIGKILL);
		putenv((char[]){ "TALLY=1" });
		putenv((char[]){ "TALLY_REGION=/crowd" });
		dup2(null, 0);
		dup2(null, 1);
		execl(path, path, "10", digits, killed ? "kill" : NULL, NULL);
		_exit(99);
	}
	return wait_status(pid);
}

/* What a consumer that rests has open and allocated. */
static void weigh(struct tally_consumer *consumer, size_t *ret_files, size_t *ret_bytes)
{
	assert_int_equal(tally_consumer_stop(consumer), 0);
	watch_put(watch_look(consumer));
	watch_put(watch_look(consumer));
	*ret_files = open_files();
	*ret_bytes = mallinfo2().uordblks;
	assert_int_equal(tally_consumer_start(consumer, 1), 0);
}

static void three_hundred_processes_pass_through_and_every_byte_is_told(void **state)
{
	struct job stays = join_start(NULL);
	struct tally_consumer *early, *late;
	const struct tally_snapshot *now;
	size_t files = 0, bytes = 0, files_end, bytes_end;
	const char *path = prog("joiner");
	int i;

	(void)state;
	job_do(&stays, "alloc 1 1");
	early = join_watch();
	assert_int_equal(tally_consumer_start(early, 1), 0);
	for (i = 0; i < PASSING; i++) {
		assert_int_equal(pass_through(path, i + 1, i % 3), i % 3 ? -SIGKILL : 0);
		now = watch_get(early);
		watch_check(now);
		assert_true(now->process_count <= 8);
		watch_put(now);
		if (i == PASSING / 10)
			weigh(early, &files, &bytes);
	}
	weigh(early, &files_end, &bytes_end);
	assert_int_equal(files_end, files);
	assert_true(bytes_end < bytes + 16384);
	assert_int_equal(tally_consumer_stop(early), 0);
	late = join_watch();
	for (i = 0; i < 2; i++) {
		now = watch_look(i ? late : early);
		join_check(now, stays.pid, TALLY_RUNNING, 1, 1);
		join_check_all(now, 10 * PASSING + 1, 1, 10 * PASSING * (PASSING + 1) / 2);
		watch_put(now);
	}
	job_end_well(&stays);
}

/* A child that lets processes pass through, one after the other, each with 10,000 bytes. */
static pid_t let_pass(const char *path)
{
	pid_t pid;
	int i;

	fflush(NULL);
	pid = fork();
	if (pid != 0)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (i = 0; i < PASSING / 3; i++)
		if (pass_through(path, 1000, i % 2) != (i % 2 ? -SIGKILL : 0))
			_exit(1);
	_exit(0);
}

/* At any moment: the dead have left whole balances, which stay; the living hold the rest. */
static void check_passing(const struct tally_snapshot *now, int64_t *abandoned)
{
	const struct tally_pool_view *pool = watch_pool(now, DEVICE, TALLY_POOL_DRAM);

	watch_check(now);
	if (!pool)
		return;
	assert_int_equal(pool->totals.abandoned_bytes % 10000, 0);
	assert_true(pool->totals.abandoned_bytes >= *abandoned);
	assert_int_equal(pool->totals.abandoned_allocations, pool->totals.abandoned_bytes / 1000);
	assert_in_range(pool->totals.live_bytes, 0, 20001);
	*abandoned = pool->totals.abandoned_bytes;
}

static void at_any_moment_the_dead_have_left_whole_balances(void **state)
{
	struct job stays = join_start("TALLY_LANES=2");
	struct tally_consumer *consumer = join_watch();
	const struct tally_snapshot *now;
	const char *path = prog("joiner");
	int64_t abandoned = 0;
	pid_t passing[2];
	size_t i, looks = 0;

	(void)state;
	job_do(&stays, "alloc 1 1");
	for (i = 0; i < COUNT(passing); i++)
		passing[i] = let_pass(path);
	for (i = 0; i < COUNT(passing);) {
		int status;

		now = watch_look(consumer);
		check_passing(now, &abandoned);
		watch_put(now);
		looks++;
		if (waitpid(passing[i], &status, WNOHANG) != passing[i])
			continue;
		assert_int_equal(status, 0);
		i++;
	}
	assert_true(looks > 20);
	watch_put(watch_look(consumer));
	now = watch_look(consumer);
	join_check(now, stays.pid, TALLY_RUNNING, 1, 1);
	join_check_all(now, 20 * (PASSING / 3) + 1, 1, 20000 * (PASSING / 3));
	watch_put(now);
	job_end_well(&stays);
}

static void region_of_the_dead_is_joined_again_and_seen(void **state)
{
	struct job job = join_start(NULL), again;
	struct tally_consumer *consumer = join_watch();
	const struct tally_snapshot *now;

	(void)state;
	job_do(&job, "alloc 5 10");
	job_kill(&job);
	now = watch_look(consumer);
	join_check(now, job.pid, TALLY_GONE, 5, 50);
	watch_put(now);
	watch_put(watch_look(consumer));
	again = join_start(NULL);
	job_do(&again, "alloc 1 1");
	now = watch_look(consumer);
	join_check(now, again.pid, TALLY_RUNNING, 1, 1);
	join_check_all(now, 6, 1, 50);
	watch_put(now);
	job_end_well(&again);
	assert_int_equal(regions_left(), 0);
}

static void name_that_has_another_file_by_now_is_followed_to_it(void **state)
{
	struct job job = join_start(NULL), again;
	struct tally_consumer *consumer = join_watch();
	const struct tally_snapshot *now;

	(void)state;
	job_do(&job, "alloc 5 10");
	job_end_well(&job); /* and with it the file */
	again = join_start(NULL);
	job_do(&again, "alloc 1 1");
	now = watch_look(consumer);
	join_check(now, job.pid, TALLY_EXITED, 5, 50);
	assert_non_null(watch_process(now, again.pid));
	join_check_all(now, 6, 1, 50);
	watch_put(now);
	now = watch_look(consumer);
	assert_null(watch_process(now, job.pid));
	join_check(now, again.pid, TALLY_RUNNING, 1, 1);
	join_check_all(now, 1, 1, 0);
	watch_put(now);
	job_end_well(&again);
}

static void file_is_removed_for_a_consumer_only_when_all_are_dead(void **state)
{
	struct tally_consumer_options options = { .remove_ended = true };
	struct job job = join_start(NULL), other = join_start(NULL);
	struct tally_consumer *consumer;

	(void)state;
	assert_int_equal(watch_open(&options, &consumer), 0);
	job_kill(&job);
	watch_put(watch_look(consumer));
	assert_int_equal(access(join_path(), F_OK), 0);
	job_kill(&other);
	watch_put(watch_look(consumer));
	assert_int_equal(access(join_path(), F_OK), -1);
}

static void what_a_fork_child_inherited_is_counted_once(void **state)
{
	struct job parent = join_start(NULL);
	struct tally_consumer *consumer;
	const struct tally_snapshot *now;
	const struct tally_pool_view *heap;
	pid_t child;

	(void)state;
	job_do(&parent, "heap 4 1000");
	child = job_do(&parent, "fork");
	consumer = join_watch();
	now = watch_look(consumer);
	join_check(now, child, TALLY_RUNNING, 1, 7);
	assert_int_equal(watch_process(now, child)->parent_id,
			 watch_process(now, parent.pid)->region_id);
	heap = watch_pool(now, 0, TALLY_POOL_HEAP);
	assert_int_equal(heap->totals.live_bytes, 4000);
	assert_int_equal(heap->totals.inherited_bytes, 0);
	watch_put(now);
	job_kill(&parent);
	now = watch_look(consumer); /* the dead parent abandons its own; the child's copy lives */
	heap = watch_pool(now, 0, TALLY_POOL_HEAP);
	assert_int_equal(heap->totals.abandoned_bytes, 4000);
	watch_put(now);
	now = watch_look(consumer);
	heap = watch_pool(now, 0, TALLY_POOL_HEAP);
	assert_int_equal(heap->totals.live_bytes, 4000);
	watch_put(now);
	join_kill_child(child);
	now = watch_look(consumer);
	heap = watch_pool(now, 0, TALLY_POOL_HEAP);
	assert_int_equal(heap->totals.live_bytes, 0);
	assert_int_equal(heap->totals.abandoned_bytes, 4000);
	join_check_all(now, 1, 0, 7);
	watch_put(now);
	remove_regions();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(each_process_of_a_region_has_a_row_of_its_own),
		TEST(dead_one_is_abandoned_once_whoever_looks_and_whoever_takes_its_place),
		TEST(owner_that_was_overtaken_between_two_looks_ends_once_and_goes),
		TEST(lane_of_the_dead_goes_on_as_its_heirs),
		TEST(records_of_the_shared_ring_are_each_their_process_s),
		TEST(what_was_lost_in_the_shared_ring_is_counted_to_its_process),
		TEST(three_hundred_processes_pass_through_and_every_byte_is_told),
		TEST(at_any_moment_the_dead_have_left_whole_balances),
		TEST(region_of_the_dead_is_joined_again_and_seen),
		TEST(name_that_has_another_file_by_now_is_followed_to_it),
		TEST(file_is_removed_for_a_consumer_only_when_all_are_dead),
		TEST(what_a_fork_child_inherited_is_counted_once),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
