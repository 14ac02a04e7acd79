/* SPDX-License-Identifier: Apache-2.0 */
/* A program that embeds the producer: 64 devices, nine pools, every count compared with the truth
 * that the program itself has kept; through the consumer's API and through `tally ps`.
 * also on: arm64 */
#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <tally/abi.h>
#include <tally/atomic.h>
#include <tally/tally.h>

#include "tests/support.h"
#include "tests/watch.h"

#define DEVICES 64
#define POOLS 9

static const char *const pool_names[POOLS] = { "dram", "l1",	 "system", "l1_small", "trace",
					       "cb",   "kernel", "heap",   "scratch" };

struct truth {
	struct test_sums sums[DEVICES][POOLS];
	uint64_t rejected, events;
};

static char *truth_path;

static struct truth *read_truth(void)
{
	static struct truth truth;
	char *rest = read_file(truth_path, NULL);
	char *line;

	memset(&truth, 0, sizeof(truth));
	while ((line = strsep(&rest, "\n"))) {
		struct test_sums s;
		int device, pool;

		if (sscanf(line, "%d %d %" SCNd64 " %" SCNd64 " %" SCNd64 " %" SCNd64 " %" SCNd64,
			   &device, &pool, &s.allocated_bytes, &s.freed_bytes, &s.allocs, &s.frees,
			   &s.failures) == 7)
			truth.sums[device][pool] = s;
		sscanf(line, "rejected %" SCNu64, &truth.rejected);
		sscanf(line, "events %" SCNu64, &truth.events);
	}
	assert_true(truth.events > 0);
	return &truth;
}

static struct job start(int threads, int rounds, const char *const *env)
{
	struct command command = {
		.argv = LIST(prog("embedded"), text("%d", threads), text("%d", rounds),
			     truth_path = text("%s/truth", test_tmp)),
		.env = env,
	};
	struct job job = job_start(&command);

	assert_string_equal(job_line(&job), "ready");
	return job;
}

static void order(const struct job *job, const char *what)
{
	job_say(job, what);
	assert_string_equal(job_line(job), text("done %s", what));
}

static void finish(struct job *job)
{
	struct outcome outcome;

	job_say(job, "end");
	outcome = job_end(job);
	assert_int_equal(outcome.status, 0);
	assert_string_equal(outcome.err, ""); /* the library never prints */
}

static void check_sums_of_all(const struct tally_snapshot *now)
{
	const struct truth *truth = read_truth();
	uint32_t device, pool;

	watch_check(now);
	for (device = 0; device < DEVICES; device++) {
		for (pool = 0; pool < POOLS; pool++) {
			const struct tally_pool_view *view = watch_pool(now, device, pool);
			struct test_sums want = truth->sums[device][pool];

			assert_sums_equal(watch_sums(now, device, pool), want);
			if (!view)
				continue;
			/* at rest what is held is exact, also below zero */
			assert_true(view->totals.current);
			assert_int_equal(view->totals.live_bytes,
					 want.allocated_bytes - want.freed_bytes);
			assert_int_equal(view->totals.live_bytes_high, view->totals.live_bytes);
			assert_int_equal(view->totals.live_allocations, want.allocs - want.frees);
			assert_int_equal(view->totals.abandoned_bytes, 0);
		}
	}
	assert_int_equal(now->events, truth->events);
	assert_int_equal(now->rejected_events, truth->rejected);
	/* lost is what was pushed and not seen, exactly */
	assert_int_equal(now->lost_records, now->events - now->records_read);
}

static void look_and_check(struct tally_consumer *consumer)
{
	const struct tally_snapshot *now;

	/* a reader stays behind a writer that has moved since it last looked */
	watch_put(watch_look(consumer));
	now = watch_look(consumer);
	check_sums_of_all(now);
	watch_put(now);
}

/* ---- Sums ------------------------------------------------------------------------------------ */

static void every_device_and_pool_is_exact_with(int threads, const char *const *env)
{
	struct job job = start(threads, 150, env);
	struct tally_consumer *before = watch_pid(job.pid), *after;
	int round;

	for (round = 0; round < 3; round++) {
		order(&job, "work");
		look_and_check(before);
	}
	after = watch_pid(job.pid);
	look_and_check(after);
	look_and_check(before);
	watch_close(before);
	watch_close(after);
	finish(&job);
}

static void every_device_and_pool_is_exact(void **state)
{
	(void)state;
	every_device_and_pool_is_exact_with(1, LIST("TALLY=1"));
	every_device_and_pool_is_exact_with(4, LIST("TALLY=1"));
}

static void every_device_and_pool_is_exact_when_almost_all_is_lapped(void **state)
{
	(void)state;
	every_device_and_pool_is_exact_with(4, LIST("TALLY=1", "TALLY_RING=64"));
}

static void every_device_and_pool_is_exact_with_more_threads_than_lanes(void **state)
{
	(void)state;
	every_device_and_pool_is_exact_with(64, LIST("TALLY=1", "TALLY_RING=64"));
	every_device_and_pool_is_exact_with(16, LIST("TALLY=1", "TALLY_LANES=2"));
}

static void every_device_and_pool_is_exact_without_records(void **state)
{
	(void)state;
	every_device_and_pool_is_exact_with(4, LIST("TALLY=1", "TALLY_RING=0"));
}

static void ps_says_the_same(void **state)
{
	struct job job = start(4, 100, LIST("TALLY=1"));
	const struct truth *truth;
	struct outcome outcome;
	json_t *json, *process;
	uint32_t device, pool;

	(void)state;
	order(&job, "work");
	truth = read_truth();
	outcome = TALLY("ps", "--json");
	assert_int_equal(outcome.status, 0);
	json = json_parse(outcome.out);
	assert_int_equal(json_processes(json, job.pid, &process), 1);
	assert_true(json_flag(process, "alive"));
	for (device = 0; device < DEVICES; device++) {
		for (pool = 0; pool < POOLS; pool++) {
			struct test_sums want = truth->sums[device][pool];
			json_t *over_all = json_pool(json, device, pool_names[pool]);

			assert_sums_equal(json_sums(over_all), want);
			assert_sums_equal(json_sums(json_pool(process, device, pool_names[pool])),
					  want);
			if (over_all)
				assert_int_equal(json_number(over_all, "live_bytes"),
						 want.allocated_bytes - want.freed_bytes);
		}
	}
	finish(&job);
}

static void off_means_that_nothing_is_made(void **state)
{
	struct tally_consumer_options options = { 0 };
	struct tally_consumer *consumer = NULL;
	struct command command = { .argv = LIST(prog("push_many"), "1000") };
	struct job job = job_start(&command);

	(void)state;
	assert_string_equal(job_line(&job), "pushed");
	assert_int_equal(regions_left(), 0);
	options.pid = (uint32_t)job.pid;
	assert_int_equal(watch_open(&options, &consumer), -ENOENT);
	assert_null(consumer);
	assert_int_equal(job_end(&job).status, 0);
}

/* ---- Words ----------------------------------------------------------------------------------- */

static void descriptions_arrive(void **state)
{
	struct job job = start(1, 40, LIST("TALLY=1"));
	struct tally_consumer *consumer;
	const struct tally_snapshot *now;
	size_t i;

	(void)state;
	order(&job, "work");
	consumer = watch_pid(job.pid);
	now = watch_get(consumer);
	assert_int_equal(now->device_count, DEVICES);
	for (i = 0; i < DEVICES; i++) {
		const struct tally_device_view *view = &now->devices[i];
		size_t p;

		assert_int_equal(view->device, i);
		assert_true(view->described);
		assert_string_equal(view->name, text("chip %zu", i));
		assert_string_equal(view->arch, i % 2 ? "blackhole" : "wormhole_b0");
		assert_string_equal(view->stable_id, text("serial-%04zu", i));
		assert_int_equal(view->grid_x, 8 + i);
		assert_int_equal(view->grid_y, 9);
		assert_int_equal(view->channels, 12);
		assert_int_equal(view->remote, i % 4 == 3);
		for (p = view->first_pool; p < view->first_pool + view->pool_count; p++) {
			const struct tally_pool_view *pool = &now->pools[p];

			assert_int_equal(pool->device, i);
			assert_string_equal(pool->pool_name, pool_names[pool->pool]);
			assert_int_equal(pool->capacity_bytes, pool->pool == 0	 ? 12ull << 30
							       : pool->pool == 1 ? 1464u * 1024
							       : pool->pool == 8 ? 4096
										 : 0);
		}
	}
	watch_put(now);
	watch_close(consumer);
	finish(&job);
}

static void what_is_out_of_range_is_counted_as_rejected_and_changes_nothing(void **state)
{
	struct job job = start(2, 40, LIST("TALLY=1"));
	struct tally_consumer *consumer = watch_pid(job.pid);
	const struct tally_snapshot *now;

	(void)state;
	order(&job, "work");
	order(&job, "odd");
	look_and_check(consumer);
	now = watch_get(consumer);
	assert_int_equal(now->rejected_events, 27);
	assert_false(now->complete);
	assert_int_equal(now->device_count, DEVICES);
	watch_put(now);
	order(&job, "work");
	look_and_check(consumer);
	watch_close(consumer);
	finish(&job);
}

static void pool_reset_frees_what_all_threads_hold(void **state)
{
	struct job job = start(4, 100, LIST("TALLY=1", "TALLY_RING=64"));
	struct tally_consumer *consumer = watch_pid(job.pid);
	const struct tally_snapshot *now;

	(void)state;
	order(&job, "work");
	order(&job, "reset");
	look_and_check(consumer);
	now = watch_get(consumer);
	assert_non_null(watch_pool(now, 3, 1));
	assert_int_equal(watch_pool(now, 3, 1)->totals.live_bytes, 0);
	assert_int_equal(watch_pool(now, 3, 1)->totals.live_allocations, 0);
	watch_put(now);
	order(&job, "work");
	look_and_check(consumer);
	watch_close(consumer);
	finish(&job);
}

/* A thread and its process have room for 1024 pairs each; the program uses 3000 more. */
static void pairs_beyond_the_last_cell_are_rejected_by_number(void **state)
{
	struct job job = start(1, 40, LIST("TALLY=1"));
	struct tally_consumer *consumer = watch_pid(job.pid);
	const struct tally_snapshot *now;
	uint64_t counted = 0;
	uint32_t device;
	struct truth truth;

	(void)state;
	order(&job, "work");
	order(&job, "overflow");
	truth = *read_truth();
	now = watch_look(consumer);
	for (device = 1000; device < 4000; device++) {
		struct test_sums sums = watch_sums(now, device, 9);

		if (sums.allocs == 0)
			continue;
		assert_sums_equal(sums, ((struct test_sums){ .allocated_bytes = 1, .allocs = 1 }));
		counted++;
	}
	assert_in_range(counted, 1024, 2999);
	assert_int_equal(now->rejected_events, 3000 - counted);
	assert_int_equal(now->events, truth.events + counted);
	assert_false(now->complete);
	for (device = 0; device < DEVICES; device++)
		assert_sums_equal(watch_sums(now, device, 0), truth.sums[device][0]);
	watch_put(now);
	watch_close(consumer);
	finish(&job);
}

/* ---- Consumers ------------------------------------------------------------------------------- */

static void consumer_finds_a_region_by_pid_by_name_and_among_all(void **state)
{
	struct job one = start(1, 20, LIST("TALLY=1"));
	char *name = only_region();
	struct job other = job_start(&(struct command){
		.argv = LIST(prog("push_many"), "10", "wait"), .env = LIST("TALLY=1") });
	struct tally_consumer_options by_name = { .name = name };
	struct tally_consumer_options both = { .name = name, .pid = (uint32_t)one.pid };
	struct tally_consumer_options nobody = { .pid = (uint32_t)getpid() };
	struct tally_consumer_options missing = { .name = "tally-0-1-0000000000000001" };
	struct tally_consumer_options no_dir = { .dir = "/nonexistent" };
	struct tally_consumer *consumer;
	const struct tally_snapshot *now;

	(void)state;
	job_line(&other);
	order(&one, "work");
	consumer = watch_pid(one.pid);
	now = watch_get(consumer);
	assert_int_equal(now->process_count, 1);
	assert_int_equal(now->processes[0].pid, one.pid);
	assert_string_equal(now->processes[0].comm, "embedded");
	assert_string_equal(now->processes[0].region, name);
	assert_int_equal(now->processes[0].end, TALLY_RUNNING);
	watch_put(now);
	watch_close(consumer);

	assert_int_equal(watch_open(&by_name, &consumer), 0);
	now = watch_get(consumer);
	assert_int_equal(now->process_count, 1);
	assert_int_equal(now->processes[0].pid, one.pid);
	watch_put(now);
	watch_close(consumer);

	consumer = (void *)&one; /* is not touched on failure */
	assert_int_equal(watch_open(&both, &consumer), -EINVAL);
	assert_int_equal(watch_open(&nobody, &consumer), -ENOENT);
	assert_int_equal(watch_open(&missing, &consumer), -ENOENT);
	assert_int_equal(watch_open(&no_dir, &consumer), -ENOENT);
	assert_ptr_equal(consumer, &one);
	tally_consumer_close(NULL);

	finish(&one);
	job_say(&other, "go");
	job_line(&other);
	assert_int_equal(job_end(&other).status, 0);
}

static void consumer_of_all_sees_processes_come_and_go(void **state)
{
	struct tally_consumer *consumer = watch_pid(0);
	const struct tally_snapshot *now = watch_get(consumer);
	struct job jobs[5];
	size_t i;

	(void)state;
	assert_int_equal(now->process_count, 0);
	watch_put(now);
	for (i = 0; i < COUNT(jobs); i++) {
		struct command command = { .argv = LIST(prog("push_many"), "1001"),
					   .env = LIST("TALLY=1") };

		jobs[i] = job_start(&command);
		assert_string_equal(job_line(&jobs[i]), "pushed");
		now = watch_look(consumer);
		assert_int_equal(now->process_count, i + 1);
		assert_int_equal(watch_sums(now, 1, TALLY_POOL_L1).allocs, 501 * (i + 1));
		assert_int_equal(watch_pool(now, 1, TALLY_POOL_L1)->totals.live_bytes,
				 64 * (i + 1));
		watch_put(now);
	}
	for (i = 0; i < COUNT(jobs); i++) {
		assert_int_equal(job_end(&jobs[i]).status, 0);
		now = watch_look(consumer);
		/* the dead hold nothing */
		if (i + 1 < COUNT(jobs))
			assert_int_equal(watch_pool(now, 1, TALLY_POOL_L1)->totals.live_bytes,
					 64 * (COUNT(jobs) - i - 1));
		else if (watch_pool(now, 1, TALLY_POOL_L1))
			assert_int_equal(watch_pool(now, 1, TALLY_POOL_L1)->totals.live_bytes, 0);
		watch_put(now);
	}
	watch_close(consumer);
}

/* ---- Readers of snapshots -------------------------------------------------------------------- */

#define READERS 4

struct reader {
	pthread_t thread;
	struct tally_consumer *consumer;
	uint64_t snapshots, newer, wrong;
};

static uint64_t readers_stop;

/* cmocka's checks belong to the main thread: count what is wrong instead. */
static void *read_snapshots(void *arg)
{
	struct reader *me = arg;
	uint64_t events = 0, when = 0, allocated = 0;

	while (!tally_load_acquire(&readers_stop)) {
		const struct tally_snapshot *now = tally_snapshot_get(me->consumer);
		uint64_t sum = 0;
		size_t i;

		for (i = 0; i < now->pool_count; i++) {
			sum += now->pools[i].totals.allocated_bytes;
			me->wrong += now->pools[i].totals.live_bytes >
				     now->pools[i].totals.live_bytes_high;
		}
		me->wrong += now->process_count != 1 || now->device_count != DEVICES;
		me->wrong += now->events < events || now->monotonic_ns < when || sum < allocated;
		me->wrong += now->records_read + now->lost_records > now->events;
		me->newer += now->monotonic_ns > when;
		me->snapshots++;
		events = now->events;
		when = now->monotonic_ns;
		allocated = sum;
		tally_snapshot_put(now);
	}
	return NULL;
}

static void threads_read_snapshots_without_a_lock_while_they_are_replaced(void **state)
{
	struct job job = start(2, 300, LIST("TALLY=1"));
	struct tally_consumer *consumer = watch_pid(job.pid);
	struct reader readers[READERS] = { 0 };
	int i;

	(void)state;
	readers_stop = 0;
	assert_int_equal(tally_consumer_start(consumer, 1), 0);
	assert_int_equal(tally_consumer_start(consumer, 1), -EBUSY);
	assert_int_equal(tally_consumer_poll(consumer), -EBUSY);
	for (i = 0; i < READERS; i++) {
		readers[i].consumer = consumer;
		assert_int_equal(
			pthread_create(&readers[i].thread, NULL, read_snapshots, &readers[i]), 0);
	}
	for (i = 0; i < 10; i++)
		order(&job, "work");
	tally_store_release(&readers_stop, 1);
	for (i = 0; i < READERS; i++) {
		pthread_join(readers[i].thread, NULL);
		assert_int_equal(readers[i].wrong, 0);
		assert_true(readers[i].newer > 1); /* it saw more than one */
	}
	assert_int_equal(tally_consumer_stop(consumer), 0);
	assert_int_equal(tally_consumer_stop(consumer), -ESRCH);
	look_and_check(consumer);
	watch_close(consumer);
	finish(&job);
}

static void snapshot_that_is_held_stays_as_it_was(void **state)
{
	struct job job = start(1, 50, LIST("TALLY=1"));
	struct tally_consumer *consumer;
	const struct tally_snapshot *held;
	struct tally_snapshot copy;
	struct test_sums sums;
	int i;

	(void)state;
	order(&job, "work");
	consumer = watch_pid(job.pid);
	held = watch_get(consumer);
	copy = *held;
	sums = watch_sums(held, 5, 0);
	for (i = 0; i < 20; i++) {
		order(&job, "work");
		assert_int_equal(tally_consumer_poll(consumer), 0);
	}
	assert_memory_equal(held, &copy, sizeof(copy));
	assert_sums_equal(watch_sums(held, 5, 0), sums);
	watch_put(held);
	look_and_check(consumer);
	watch_close(consumer);
	finish(&job);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(every_device_and_pool_is_exact),
		TEST(every_device_and_pool_is_exact_when_almost_all_is_lapped),
		TEST(every_device_and_pool_is_exact_with_more_threads_than_lanes),
		TEST(every_device_and_pool_is_exact_without_records),
		TEST(ps_says_the_same),
		TEST(off_means_that_nothing_is_made),
		TEST(descriptions_arrive),
		TEST(what_is_out_of_range_is_counted_as_rejected_and_changes_nothing),
		TEST(pool_reset_frees_what_all_threads_hold),
		TEST(pairs_beyond_the_last_cell_are_rejected_by_number),
		TEST(consumer_finds_a_region_by_pid_by_name_and_among_all),
		TEST(consumer_of_all_sees_processes_come_and_go),
		TEST(threads_read_snapshots_without_a_lock_while_they_are_replaced),
		TEST(snapshot_that_is_held_stays_as_it_was),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
