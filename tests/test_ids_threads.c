/* SPDX-License-Identifier: Apache-2.0 */
/* The table of sizes by id, used by many threads at once, and forked meanwhile.
 *
 * sanitizers: address, thread; also on: arm64
 */
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "tests/ids.h"

#define THREADS 8

struct worker {
	pthread_t thread;
	struct tally_ids *ids;
	uint64_t number, events;
	uint64_t put_sum, out_sum; /* sizes put in, and handed out */
	uint64_t unexpected;
};

static uint64_t stop; /* for threads that go on until they are told */

static void start(struct worker *workers, struct tally_ids *ids, uint64_t events,
		  void *(*body)(void *))
{
	uint64_t i;

	tally_store_relaxed(&stop, 0); /* relaxed: before there are threads */
	for (i = 0; i < THREADS; i++) {
		workers[i] = (struct worker){ .ids = ids, .number = i, .events = events };
		assert_int_equal(pthread_create(&workers[i].thread, NULL, body, &workers[i]), 0);
	}
}

static void join(struct worker *workers)
{
	size_t i;

	for (i = 0; i < THREADS; i++)
		pthread_join(workers[i].thread, NULL);
}

/* Puts and takes a few ids that all threads have. */
static void *collide(void *arg)
{
	struct worker *me = arg;
	uint64_t n, seed = me->number << 40;

	for (n = 0; n < me->events; n++) {
		uint64_t dice = mix(++seed), size = dice >> 20;
		struct tally_id_entry entry = entry_of(dice & 15, size), was;
		int known;

		if (dice & 16) {
			known = tally_ids_put(me->ids, &entry, &was);
			me->put_sum += size;
		} else {
			known = tally_ids_take(me->ids, 0, TALLY_ID_BUFFER, dice & 15, &was);
		}
		if (known == 1)
			me->out_sum += was.size;
		me->unexpected += known < 0;
	}
	return NULL;
}

static int add_size(void *arg, const struct tally_id_entry *entry)
{
	*(uint64_t *)arg += entry->size;
	return 1;
}

static void check_collisions(uint32_t shards, uint64_t events)
{
	struct tally_ids *ids = ids_make(0, shards);
	struct worker workers[THREADS];
	uint64_t in = 0, out = 0, left = 0;
	size_t i;

	start(workers, ids, events, collide);
	join(workers);
	for (i = 0; i < THREADS; i++) {
		in += workers[i].put_sum;
		out += workers[i].out_sum;
		assert_int_equal(workers[i].unexpected, 0);
	}
	assert_int_equal(tally_ids_each(ids, add_size, &left), ids_live(ids));
	assert_int_equal(in, out + left);
}

static void what_threads_put_under_the_same_ids_is_handed_out_once(void **state)
{
	(void)state;
	check_collisions(1, EMULATED || UNDER_TSAN ? 5000 : 200000);
	check_collisions(32, EMULATED || UNDER_TSAN ? 5000 : 200000);
}

/* Each thread has ids of its own, in the same shards, which grow meanwhile. */
static void *own_ids(void *arg)
{
	struct worker *me = arg;
	struct tally_id_entry was;
	uint64_t n;

	for (n = 0; n < me->events; n++)
		me->unexpected += ids_put(me->ids, n << 8 | me->number, n) != 0;
	for (n = 0; n < me->events; n++) {
		int known = tally_ids_take(me->ids, 0, TALLY_ID_BUFFER, n << 8 | me->number, &was);

		me->unexpected += known != 1 || was.size != n;
	}
	return NULL;
}

static void threads_find_their_own_entries_while_others_make_the_table_grow(void **state)
{
	struct tally_ids *ids = ids_make(0, 4);
	struct worker workers[THREADS];
	size_t i;

	(void)state;
	start(workers, ids, EMULATED || UNDER_TSAN ? 2000 : 30000, own_ids);
	join(workers);
	for (i = 0; i < THREADS; i++)
		assert_int_equal(workers[i].unexpected, 0);
	assert_int_equal(ids_live(ids), 0);
}

/* ---- Forks ----------------------------------------------------------------------------------- */

static void *come_and_go(void *arg)
{
	struct worker *me = arg;
	struct tally_id_entry was;
	uint64_t n;

	for (n = 0; !tally_load_relaxed(&stop); n++) { /* relaxed: a flag, nothing behind it */
		ids_put(me->ids, (n & 1023) << 8 | me->number, n);
		tally_ids_take(me->ids, 0, TALLY_ID_BUFFER, ((n + 512) & 1023) << 8 | me->number,
			       &was);
	}
	return NULL;
}

/* In a child: nothing is live, no lock is held, and the table is as good as new. */
static void use_as_child(struct tally_ids *ids)
{
	struct tally_id_entry was;
	uint64_t n;

	alarm(DEADLINE_S);
	CHILD_CHECK(ids_live(ids) == 0);
	for (n = 0; n < 3000; n++)
		CHILD_CHECK(tally_ids_take(ids, 0, TALLY_ID_BUFFER, n, &was) == 0);
	for (n = 0; n < 3000; n++)
		CHILD_CHECK(ids_put(ids, n, n) == 0);
	for (n = 0; n < 3000; n++)
		CHILD_CHECK(tally_ids_take(ids, 0, TALLY_ID_BUFFER, n, &was) == 1 && was.size == n);
	CHILD_CHECK(ids_live(ids) == 0);
}

static void child_forked_beside_threads_has_an_empty_table_and_never_hangs(void **state)
{
	struct tally_ids *ids = ids_make(0, 2);
	struct worker workers[THREADS];
	int i, ended_well = 0, forks = EMULATED || UNDER_TSAN ? 20 : 300;

	(void)state;
	start(workers, ids, 0, come_and_go);
	for (i = 0; i < forks; i++) {
		pid_t pid = fork();

		if (pid == 0) {
			use_as_child(ids);
			_exit(0);
		}
		ended_well += wait_status(pid) == 0;
	}
	tally_store_relaxed(&stop, 1); /* relaxed: as above */
	join(workers);
	assert_int_equal(ended_well, forks);
}

static void grandchild_has_an_empty_table_too_and_parents_keep_theirs(void **state)
{
	struct tally_ids *ids = ids_make(0, 0);
	struct tally_id_entry was;
	uint64_t n;
	pid_t pid;

	(void)state;
	for (n = 0; n < 1000; n++)
		ids_put(ids, n, 1);
	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		use_as_child(ids);
		ids_put(ids, 5000, 1);
		pid = fork();
		if (pid == 0) {
			use_as_child(ids);
			tally_ids_destroy(ids);
			_exit(0);
		}
		CHILD_CHECK(wait_status(pid) == 0);
		CHILD_CHECK(tally_ids_take(ids, 0, TALLY_ID_BUFFER, 5000, &was) == 1);
		_exit(0);
	}
	assert_int_equal(wait_status(pid), 0);
	assert_int_equal(ids_live(ids), 1000);
	assert_int_equal(tally_ids_take(ids, 0, TALLY_ID_BUFFER, 999, &was), 1);
}

/* No handler of fork() runs there. */
static void child_of_a_raw_clone_has_an_empty_table(void **state)
{
	struct tally_ids *ids = ids_make(0, 1);
	pid_t pid;

	(void)state;
	SKIP_EMULATED("nothing wipes memory for a raw clone() there");
	if (SANITIZED)
		SKIP("a sanitizer does not know of such a child");
	ids_put(ids, 1, 1);
	fflush(NULL);
#ifdef __x86_64__
	pid = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
#else
	pid = (pid_t)syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0, 0);
#endif
	if (pid == 0) {
		use_as_child(ids);
		_exit(0);
	}
	assert_int_equal(wait_status(pid), 0);
	assert_int_equal(ids_live(ids), 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_threads_put_under_the_same_ids_is_handed_out_once),
		TEST(threads_find_their_own_entries_while_others_make_the_table_grow),
		TEST(child_forked_beside_threads_has_an_empty_table_and_never_hangs),
		TEST(grandchild_has_an_empty_table_too_and_parents_keep_theirs),
		TEST(child_of_a_raw_clone_has_an_empty_table),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
