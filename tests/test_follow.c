/* SPDX-License-Identifier: Apache-2.0 */
/* Regions that come and go: seen at once, none missed.
 * sanitizers: address */
#include <sys/stat.h>
#include <sys/wait.h>
#include <tally/atomic.h>

#include "consumer/follow.h"
#include "ring/join.h"
#include "tests/child.h"
#include "tests/cli.h"
#include "tests/rig.h"
#include "tests/seccomp.h"
#include "tests/watch.h"

/* So long that a test which waits for it to pass does not end. */
#define NEVER_MS 4000000000u

static size_t running_count(struct tally_consumer *consumer)
{
	const struct tally_snapshot *now = watch_get(consumer);
	size_t count = 0, n;

	for (n = 0; n < now->process_count; n++)
		count += now->processes[n].end == TALLY_RUNNING;
	watch_put(now);
	return count;
}

/* ---- The thread ------------------------------------------------------------------------------ */

static struct tally_consumer *start_thread(bool read_records)
{
	struct tally_consumer_options options = { .read_records = read_records };
	struct tally_consumer *consumer;

	assert_int_equal(watch_open(&options, &consumer), 0);
	assert_int_equal(tally_consumer_start(consumer, NEVER_MS), 0);
	return consumer;
}

static void thread_sees_at_once_what_comes_and_goes(void **state)
{
	bool read_records = false;

	(void)state;
	do {
		struct tally_consumer *consumer = start_thread(read_records);
		struct job jobs[3];
		size_t n;

		for (n = 0; n < COUNT(jobs); n++) {
			jobs[n] = start_pushing("11");
			WAIT_FOR(watch_count(consumer) == n + 1);
		}
		for (n = 0; n < COUNT(jobs); n++) {
			job_end_well(&jobs[n]);
			WAIT_FOR(running_count(consumer) == COUNT(jobs) - n - 1);
		}
		assert_int_equal(tally_consumer_stop(consumer), 0); /* at once, too */
		watch_close(consumer);
		read_records = !read_records;
	} while (read_records);
}

static void thread_is_woken_by_a_rename_as_by_a_link(void **state)
{
	struct rig rigs[2] = { rig_make(6, 0), rig_make(6, 0) };
	struct tally_consumer *consumer;
	char *hidden[2];
	size_t n;

	(void)state;
	for (n = 0; n < 2; n++) {
		hidden[n] = text("%s/.hidden%zu", test_dir, n);
		assert_int_equal(rename(rigs[n].region.path, hidden[n]), 0);
	}
	consumer = start_thread(false);
	for (n = 0; n < 2; n++) { /* the first may be found by its first look */
		assert_int_equal(rename(hidden[n], rigs[n].region.path), 0);
		WAIT_FOR(watch_count(consumer) == n + 1);
	}
	watch_close(consumer);
	rig_free(&rigs[0]);
	rig_free(&rigs[1]);
}

static uint64_t look_time(struct tally_consumer *consumer)
{
	const struct tally_snapshot *now = watch_get(consumer);
	uint64_t time_ns = now->monotonic_ns;

	watch_put(now);
	return time_ns;
}

/* Who ends well removes its file, and is there for a moment yet: nobody tells when that is over. */
static void thread_looks_again_at_who_is_about_to_end(void **state)
{
	struct rig rigs[2] = { rig_make(6, 0), rig_make(6, 0) };
	char *hidden = text("%s/.hidden", test_dir);
	struct tally_consumer *consumer;
	uint64_t before_ns, told_ns;

	(void)state;
	assert_int_equal(rename(rigs[1].region.path, hidden), 0);
	consumer = start_thread(false);
	assert_int_equal(rename(hidden, rigs[1].region.path), 0);
	WAIT_FOR(watch_count(consumer) == 2); /* it follows, and waits */
	before_ns = look_time(consumer);
	tally_store_relaxed(&region_process(rigs[0].region.base, &rigs[0].region.at, 0)->ended_ns,
			    now_ns());
	region_unlink(&rigs[0].region);
	WAIT_FOR((told_ns = look_time(consumer)) != before_ns);
	WAIT_FOR(look_time(consumer) != told_ns);
	watch_close(consumer);
	rig_free(&rigs[0]);
	rig_free(&rigs[1]);
}

static void thread_ends_and_starts_again(void **state)
{
	struct tally_consumer *consumer = start_thread(true);
	size_t before = 0;
	int i;

	(void)state;
	for (i = 0; i < 200; i++) {
		assert_int_equal(tally_consumer_stop(consumer), 0);
		assert_int_equal(tally_consumer_stop(consumer), -ESRCH);
		if (i == 0)
			before = descriptors_of(getpid());
		assert_int_equal(descriptors_of(getpid()), before);
		assert_int_equal(tally_consumer_start(consumer, NEVER_MS), 0);
		assert_int_equal(tally_consumer_start(consumer, NEVER_MS), -EBUSY);
	}
	watch_close(consumer);
}

/* ---- Looks ----------------------------------------------------------------------------------- */

/* Whoever may not read the directory notices when he has to. */
static void look_at_what_cannot_be_listed(void)
{
	struct tally_consumer *consumer;
	struct rig rig, other;
	int i;

	CHILD_CHECK(rig_try(&rig, 6, 0));
	CHILD_CHECK(rig_try(&other, 6, 0));
	CHILD_CHECK(tally_consumer_open(NULL, &consumer) == 0);
	CHILD_CHECK(tally_consumer_poll(consumer) == 0);
	if (!seccomp_fail(SYS_getdents64, EIO))
		_exit(CANNOT);
	for (i = 0; i < 10; i++)
		CHILD_CHECK(tally_consumer_poll(consumer) == 0);
	rig_free(&other);
	for (i = 0; i < 3; i++) /* until it could be read, it has to be */
		CHILD_CHECK(tally_consumer_poll(consumer) == -EIO);
	CHILD_CHECK(watch_count(consumer) == 2);
	tally_consumer_close(consumer);
	rig_free(&rig);
}

static void directory_is_read_only_when_something_has_changed(void **state)
{
	(void)state;
	in_child(look_at_what_cannot_be_listed, "no seccomp filter may be set here");
}

static void joined_region_with_another_file_is_another(void **state)
{
	char name[REGION_NAME_MAX];
	struct region_config config = { .dir = test_dir, .name = name, .ring_log2 = 6 };
	struct tally_consumer *consumer;
	struct region regions[2];
	uint64_t ids[2];
	size_t n;

	(void)state;
	assert_true(join_name(name, "/again"));
	assert_int_equal(watch_open(NULL, &consumer), 0);
	for (n = 0; n < 2; n++) {
		const struct tally_snapshot *now;

		watch_put(watch_look(consumer));
		assert_int_equal(region_create(&config, &regions[n]), 0);
		if (n > 0)
			region_unlink(&regions[0]);
		assert_int_equal(region_publish(&regions[n]), 0);
		now = watch_look(consumer);
		assert_int_equal(now->process_count, n + 1);
		ids[n] = now->processes[n].region_id;
		watch_put(now);
	}
	assert_int_not_equal(ids[0], ids[1]);
	region_unlink(&regions[1]);
	munmap(regions[0].base, regions[0].at.size);
	munmap(regions[1].base, regions[1].at.size);
	for (n = 0; n < 2; n++)
		watch_put(watch_look(consumer));
	assert_int_equal(watch_count(consumer), 0);
	watch_close(consumer);
}

static void directory_that_is_made_anew_is_followed(void **state)
{
	char *dir = text("%s/regions", test_dir), *old = text("%s/old", test_dir);
	struct region_config config = { .dir = dir, .ring_log2 = 6 };
	struct tally_consumer_options options = { .dir = dir };
	struct tally_consumer *consumer;
	struct region region;
	int i;

	(void)state;
	assert_int_equal(mkdir(dir, 0700), 0);
	assert_int_equal(watch_open(&options, &consumer), 0);
	for (i = 0; i < 2; i++) {
		watch_put(watch_look(consumer));
		assert_int_equal(i ? rmdir(dir) : rename(dir, old), 0);
		watch_put(watch_look(consumer)); /* there is none */
		assert_int_equal(mkdir(dir, 0700), 0);
		assert_int_equal(region_create(&config, &region), 0);
		assert_int_equal(region_publish(&region), 0);
		watch_put(watch_look(consumer));
		assert_int_equal(watch_count(consumer), 1);
		region_unlink(&region);
		munmap(region.base, region.at.size);
		watch_put(watch_look(consumer));
		watch_put(watch_look(consumer));
		assert_int_equal(watch_count(consumer), 0);
	}
	watch_close(consumer);
	rmdir(old);
	rmdir(dir);
}

/* ---- Many ------------------------------------------------------------------------------------ */

#define BATCHES 400
#define BATCH 10

static void churn(void)
{
	struct rig rigs[BATCH];
	int i, n;

	for (i = 0; i < BATCHES; i++) {
		for (n = 0; n < BATCH; n++)
			CHILD_CHECK(rig_try(&rigs[n], 6, 0));
		for (n = 0; n < BATCH; n++)
			rig_free(&rigs[n]);
	}
}

static bool ended(pid_t pid, int *status)
{
	return waitpid(pid, status, WNOHANG) == pid;
}

static void nothing_is_left_of_thousands_that_came_and_went(void **state)
{
	struct tally_consumer_options options = { .read_records = true };
	struct tally_consumer *consumer;
	struct rig rig = rig_make(6, 0);
	size_t before, most = 0;
	int status = -1;
	pid_t pid;

	(void)state;
	assert_int_equal(watch_open(&options, &consumer), 0);
	watch_put(watch_look(consumer));
	before = descriptors_of(getpid());
	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		churn();
		_exit(0);
	}
	while (!ended(pid, &status)) {
		size_t count;

		watch_put(watch_look(consumer));
		count = watch_count(consumer);
		assert_true(count > 0); /* ours is there all the time */
		most = count > most ? count : most;
	}
	assert_int_equal(status, 0);
	assert_true(most > 1);
	watch_put(watch_look(consumer));
	watch_put(watch_look(consumer));
	assert_int_equal(watch_count(consumer), 1);
	assert_int_equal(descriptors_of(getpid()), before);
	watch_close(consumer);
	rig_free(&rig);
}

static bool no_name(const void *arg, const char *name)
{
	(void)arg;
	(void)name;
	return false;
}

static void queue_that_overflows_counts_as_a_change(void **state)
{
	size_t limit = strtoul(read_file("/proc/sys/fs/inotify/max_queued_events", NULL), NULL, 10);
	struct follow follow;
	int dir = open_dir();
	size_t n;

	(void)state;
	if (limit > 100000)
		SKIP("queues of inotify are very long here");
	follow_open(&follow);
	follow_begin(&follow, dir);
	assert_true(follow.fd >= 0);
	for (n = 0; n < limit / 2 + 2; n++) { /* no two are alike, so none are put together */
		char *path = text("%s/%zu", test_dir, n);

		write_file(path, "", 0);
		unlink(path);
	}
	for (n = 0; n < limit && !follow.urgent; n++)
		follow_read(&follow, no_name, NULL);
	assert_true(follow.changed);
	assert_true(follow.urgent);
	follow_end(&follow);
	close(dir);
}

/* ---- Death ----------------------------------------------------------------------------------- */

static void what_a_killed_process_held_is_abandoned_within_one_look(void **state)
{
	struct tally_consumer_options options = { 0 };
	struct job victim = start_pushing("21"), other = start_pushing("11");
	struct tally_consumer *consumer;
	const struct tally_totals *totals;
	const struct tally_snapshot *now;
	char *name = NULL;
	int looks;

	(void)state;
	assert_int_equal(watch_open(&options, &consumer), 0);
	now = watch_look(consumer);
	assert_int_equal(watch_pool(now, 1, 1)->totals.live_bytes, 84 + 74);
	watch_put(now);
	job_signal(&victim, SIGKILL);
	assert_int_equal(job_end(&victim).status, -SIGKILL);
	for (looks = 0; looks < 3; looks++) { /* as long as its file is there */
		now = watch_look(consumer);
		totals = &watch_pool(now, 1, 1)->totals;
		assert_int_equal(totals->live_bytes, 74);
		assert_int_equal(totals->live_bytes_high, 74);
		assert_int_equal(totals->abandoned_bytes, 84);
		assert_int_equal(totals->abandoned_allocations, 1);
		assert_int_equal(now->process_count, 2);
		assert_int_equal(now->processes[0].end, TALLY_GONE);
		name = text("%s", now->processes[0].region);
		watch_put(now);
	}
	unlink(text("%s/%s", test_dir, name));
	watch_put(watch_look(consumer)); /* for the last time */
	now = watch_look(consumer);
	assert_int_equal(watch_pool(now, 1, 1)->totals.abandoned_bytes, 0);
	assert_int_equal(now->process_count, 1);
	watch_put(now);
	watch_close(consumer);
	job_end_well(&other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		/* in a child, which can have no consumer once its parent has had one */
		TEST(directory_is_read_only_when_something_has_changed),
		TEST(thread_sees_at_once_what_comes_and_goes),
		TEST(thread_is_woken_by_a_rename_as_by_a_link),
		TEST(thread_looks_again_at_who_is_about_to_end),
		TEST(thread_ends_and_starts_again),
		TEST(joined_region_with_another_file_is_another),
		TEST(directory_that_is_made_anew_is_followed),
		TEST(nothing_is_left_of_thousands_that_came_and_went),
		TEST(queue_that_overflows_counts_as_a_change),
		TEST(what_a_killed_process_held_is_abandoned_within_one_look),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
