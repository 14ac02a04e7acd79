/* SPDX-License-Identifier: Apache-2.0 */
/* A server that reports for others: its clients are processes like any.
 * sanitizers: address */
#include <errno.h>
#include <sys/wait.h>
#include <tally/proxy.h>

#include "tests/keeper.h"

/* PIDs that no process has: what is said of a client is shown, and never asked after. */
#define PID_OF(n) (5000000u + (uint32_t)(n))

static struct tally_proxy *proxy;

static struct tally_proxy_client *begin(uint32_t pid)
{
	struct tally_proxy_client *client = NULL;

	assert_int_equal(tally_proxy_begin(proxy, pid, "made-up", &client), 0);
	return client;
}

static void open_proxy(void)
{
	struct tally_proxy_options options = { .dir = test_dir };

	assert_int_equal(tally_proxy_open(&options, &proxy), 0);
}

/* What a process holds on device 1, in dram. */
static int64_t held(const struct tally_snapshot *now, uint32_t pid)
{
	const struct tally_process_view *process = keeper_process(now, (pid_t)pid);
	size_t n;

	for (n = process->first_pool; n < process->first_pool + process->pool_count; n++)
		if (now->process_pools[n].device == 1 &&
		    now->process_pools[n].pool == TALLY_POOL_DRAM)
			return now->process_pools[n].totals.live_bytes;
	return -1;
}

static void clients_are_processes_by_their_own_pid(void **state)
{
	struct tally_consumer *consumer;
	struct tally_proxy_client *one, *other;
	const struct tally_snapshot *now;
	struct tally_device_info info = { .name = "card", .capacity_bytes = { 1000 } };

	(void)state;
	open_proxy();
	consumer = keeper_watch(0);
	one = begin(PID_OF(1));
	other = begin(PID_OF(2));
	tally_proxy_alloc(one, 1, TALLY_POOL_DRAM, 7, 100);
	tally_proxy_alloc(other, 1, TALLY_POOL_DRAM, 7, 20); /* the same address */
	tally_proxy_alloc(other, 1, TALLY_POOL_DRAM, 8, 3);
	tally_proxy_free(other, 1, TALLY_POOL_DRAM, 7, 20);
	tally_proxy_alloc_failed(one, 1, TALLY_POOL_DRAM, 5);
	tally_proxy_alloc(one, 70000, TALLY_POOL_DRAM, 1, 1); /* there is no such device */
	assert_int_equal(tally_proxy_describe(proxy, 1, &info), 0);
	assert_int_equal(tally_proxy_describe(proxy, 70000, &info), -EINVAL);
	keeper_look(consumer);
	assert_int_equal(keeper_rows(consumer), 2);
	assert_int_equal(keeper_row((pid_t)PID_OF(1), 1, 7)->size, 100);
	assert_int_equal(keeper_row((pid_t)PID_OF(2), 1, 8)->size, 3);
	assert_null(keeper_row((pid_t)PID_OF(2), 1, 7));
	now = watch_look(consumer);
	assert_int_equal(held(now, PID_OF(1)), 100);
	assert_int_equal(held(now, PID_OF(2)), 3);
	assert_string_equal(keeper_process(now, (pid_t)PID_OF(1))->comm, "made-up");
	assert_int_equal(keeper_process(now, (pid_t)PID_OF(1))->rejected_events, 1);
	assert_int_equal(keeper_process(now, getpid())->events, 0); /* the server's own entry */
	assert_int_equal(now->lost_records, 0);
	assert_int_equal(watch_pool(now, 1, TALLY_POOL_DRAM)->capacity_bytes, 1000);
	assert_int_equal(watch_pool(now, 1, TALLY_POOL_DRAM)->totals.failures, 1);
	watch_put(now);
	tally_proxy_close(proxy);
	assert_int_equal(regions_left(), 0);
}

static void what_a_client_held_is_abandoned_when_it_ends(void **state)
{
	struct tally_consumer *consumer;
	struct tally_proxy_client *one, *other;
	const struct tally_snapshot *now;
	int round;

	(void)state;
	open_proxy();
	consumer = keeper_watch(0);
	other = begin(PID_OF(0));
	tally_proxy_alloc(other, 1, TALLY_POOL_DRAM, 1, 1);
	for (round = 1; round <= 50; round++) { /* each gets the entry of the one before it */
		one = begin(PID_OF(round));
		tally_proxy_alloc(one, 1, TALLY_POOL_DRAM, 1, 10);
		now = watch_look(consumer);
		assert_int_equal(held(now, PID_OF(round)), 10);
		assert_int_equal(watch_pool(now, 1, TALLY_POOL_DRAM)->totals.live_bytes, 11);
		watch_put(now);
		tally_proxy_end(one);
		now = watch_look(consumer);
		assert_int_equal(keeper_process(now, (pid_t)PID_OF(round))->end, TALLY_EXITED);
		assert_int_equal(watch_pool(now, 1, TALLY_POOL_DRAM)->totals.live_bytes, 1);
		assert_int_equal(watch_pool(now, 1, TALLY_POOL_DRAM)->totals.abandoned_bytes,
				 10 * round);
		watch_put(now);
	}
	tally_proxy_free(other, 1, TALLY_POOL_DRAM, 1, 1);
	now = watch_look(consumer);
	assert_int_equal(watch_pool(now, 1, TALLY_POOL_DRAM)->totals.live_bytes, 0);
	assert_int_equal(watch_pool(now, 1, TALLY_POOL_DRAM)->totals.allocated_bytes, 501);
	watch_put(now);
	tally_proxy_close(proxy);
}

static void there_is_room_for_so_many_clients_and_no_more(void **state)
{
	static struct tally_proxy_client *all[TALLY_PROXY_CLIENTS];
	struct tally_proxy_client *more = NULL;
	struct tally_consumer *consumer;
	const struct tally_snapshot *now;
	size_t n;

	(void)state;
	open_proxy();
	consumer = keeper_watch(0);
	for (n = 0; n < COUNT(all); n++) {
		all[n] = begin(PID_OF(n));
		tally_proxy_alloc(all[n], 1, TALLY_POOL_DRAM, 1, n);
	}
	assert_int_equal(tally_proxy_begin(proxy, 1, NULL, &more), -EUSERS);
	assert_null(more);
	now = watch_look(consumer);
	assert_int_equal(now->process_count, COUNT(all) + 1);
	for (n = 0; n < COUNT(all); n += 100)
		assert_int_equal(held(now, PID_OF(n)), n);
	watch_put(now);
	tally_proxy_end(all[500]);
	more = begin(PID_OF(5000));
	tally_proxy_alloc(more, 1, TALLY_POOL_DRAM, 1, 5);
	now = watch_look(consumer);
	assert_int_equal(held(now, PID_OF(5000)), 5);
	assert_int_equal(watch_pool(now, 1, TALLY_POOL_DRAM)->totals.abandoned_bytes, 500);
	watch_put(now);
	tally_proxy_close(proxy);
	assert_int_equal(regions_left(), 0);
}

static void wrong_numbers_are_refused(void **state)
{
	struct tally_proxy_options options = { .dir = test_dir, .ring = 100 };

	(void)state;
	proxy = NULL;
	assert_int_equal(tally_proxy_open(&options, &proxy), -EINVAL);
	options.ring = 32;
	assert_int_equal(tally_proxy_open(&options, &proxy), -EINVAL);
	options.ring = 1u << 21;
	assert_int_equal(tally_proxy_open(&options, &proxy), -EINVAL);
	options.ring = 64;
	options.dir = "/nowhere";
	assert_int_equal(tally_proxy_open(&options, &proxy), -ENOENT);
	assert_null(proxy);
	tally_proxy_close(NULL);
	assert_int_equal(regions_left(), 0);
}

/* Killed, it takes its clients along, as far as anybody can tell. */
static void with_the_server_its_clients_are_gone(void **state)
{
	struct tally_consumer *consumer;
	const struct tally_snapshot *now;
	pid_t child;
	int ready[2];
	char byte;

	(void)state;
	assert_int_equal(pipe(ready), 0);
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		struct tally_proxy_options options = { .dir = test_dir };
		struct tally_proxy_client *client;

		if (tally_proxy_open(&options, &proxy) != 0 ||
		    tally_proxy_begin(proxy, PID_OF(1), "client", &client) != 0)
			_exit(1);
		tally_proxy_alloc(client, 1, TALLY_POOL_DRAM, 1, 10);
		if (write(ready[1], "x", 1) == 1)
			pause();
		_exit(1);
	}
	assert_int_equal(read(ready[0], &byte, 1), 1);
	consumer = keeper_watch(0);
	now = watch_look(consumer);
	assert_int_equal(held(now, PID_OF(1)), 10);
	watch_put(now);
	assert_int_equal(kill(child, SIGKILL), 0);
	assert_int_equal(waitpid(child, NULL, 0), child);
	now = watch_look(consumer);
	assert_int_equal(keeper_process(now, (pid_t)PID_OF(1))->end, TALLY_GONE);
	assert_int_equal(watch_pool(now, 1, TALLY_POOL_DRAM)->totals.live_bytes, 0);
	assert_int_equal(watch_pool(now, 1, TALLY_POOL_DRAM)->totals.abandoned_bytes, 10);
	watch_put(now);
	close(ready[0]);
	close(ready[1]);
	remove_regions();
}

/* More than the ring has records: sums are exact, and the loss is counted. */
static void ring_that_is_lapped_costs_records_alone(void **state)
{
	struct tally_proxy_options options = { .dir = test_dir, .ring = 64 };
	struct tally_consumer *consumer;
	const struct tally_snapshot *now;
	struct tally_proxy_client *one, *other;
	uint64_t n;

	(void)state;
	assert_int_equal(tally_proxy_open(&options, &proxy), 0);
	consumer = keeper_watch(0);
	one = begin(PID_OF(1));
	other = begin(PID_OF(2));
	watch_put(watch_look(consumer));
	for (n = 0; n < 1000; n++) {
		tally_proxy_alloc(one, 1, TALLY_POOL_DRAM, n, 10);
		tally_proxy_alloc(other, 1, TALLY_POOL_DRAM, n, 1);
	}
	keeper_look(consumer);
	now = watch_look(consumer);
	assert_int_equal(held(now, PID_OF(1)), 10000);
	assert_int_equal(held(now, PID_OF(2)), 1000);
	assert_int_equal(now->records_read + now->lost_records, 2000);
	assert_in_range(now->records_read, 1, 64);
	watch_put(now);
	tally_proxy_close(proxy);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(with_the_server_its_clients_are_gone), /* before a consumer was open */
		TEST(clients_are_processes_by_their_own_pid),
		TEST(what_a_client_held_is_abandoned_when_it_ends),
		TEST(there_is_room_for_so_many_clients_and_no_more),
		TEST(wrong_numbers_are_refused),
		TEST(ring_that_is_lapped_costs_records_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
