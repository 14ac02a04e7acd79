/* SPDX-License-Identifier: Apache-2.0 */
/* The table of sizes by id: what it says, how it grows and where it ends, handlers and forks.
 *
 * sanitizers: address, thread; also on: arm64
 */
#include <errno.h>
#include <string.h>
#include <sys/syscall.h>

#include "tests/ids.h"
#include "tests/own_region.h"

static void id_is_unknown_until_it_is_put_and_after_it_is_taken(void **state)
{
	struct tally_ids *ids = ids_make(0, 0);
	struct tally_id_entry was = entry_of(9, 9);

	(void)state;
	assert_int_equal(tally_ids_take(ids, 3, TALLY_ID_CB, 7, &was), 0);
	assert_int_equal(was.id, 9); /* untouched */
	assert_int_equal(
		tally_ids_put(ids, &(struct tally_id_entry){ 7, 100, 5, 3, TALLY_ID_CB }, &was), 0);
	assert_int_equal(was.id, 9);
	assert_int_equal(ids_live(ids), 1);
	assert_int_equal(tally_ids_take(ids, 3, TALLY_ID_CB, 7, &was), 1);
	assert_int_equal(was.id, 7);
	assert_int_equal(was.size, 100);
	assert_int_equal(was.pool, 5);
	assert_int_equal(was.device, 3);
	assert_int_equal(was.kind, TALLY_ID_CB);
	assert_int_equal(tally_ids_take(ids, 3, TALLY_ID_CB, 7, &was), 0);
	assert_int_equal(ids_live(ids), 0);
}

static void put_of_a_live_id_tells_what_it_was_and_replaces_it(void **state)
{
	struct tally_id_entry first = { ~0ull, 100ull << 30, TALLY_POOL_DRAM, 0, TALLY_ID_BUFFER };
	struct tally_id_entry second = { ~0ull, 1, 6 | TALLY_KERNEL_DISPATCH, 0, TALLY_ID_BUFFER };
	struct tally_ids *ids = ids_make(0, 0);
	struct tally_id_entry was;

	(void)state;
	assert_int_equal(tally_ids_put(ids, &first, &was), 0);
	assert_int_equal(tally_ids_put(ids, &second, &was), 1);
	assert_memory_equal(&was, &first, sizeof(was));
	assert_int_equal(ids_live(ids), 1);
	assert_int_equal(tally_ids_take(ids, 0, TALLY_ID_BUFFER, ~0ull, &was), 1);
	assert_memory_equal(&was, &second, sizeof(was));
}

static void device_kind_and_id_each_tell_entries_apart(void **state)
{
	static const uint64_t numbers[] = { 0, 1, 1ull << 63, ~0ull };
	static const uint16_t devices[] = { 0, 1, 63, 64, 65535 };
	struct tally_ids *ids = ids_make(0, 1);
	struct tally_id_entry was;
	uint64_t size = 0;
	size_t d, k, n, round;

	(void)state;
	for (round = 0; round < 2; round++)
		for (d = 0; d < COUNT(devices); d++)
			for (k = 0; k <= TALLY_ID_KERNEL; k++)
				for (n = 0; n < COUNT(numbers); n++, size++) {
					struct tally_id_entry entry = { numbers[n], size, 0,
									devices[d], (uint16_t)k };

					if (round == 0) {
						assert_int_equal(tally_ids_put(ids, &entry, &was),
								 0);
						continue;
					}
					assert_int_equal(tally_ids_take(ids, devices[d],
									(enum tally_id_kind)k,
									numbers[n], &was),
							 1);
					assert_int_equal(was.size, size - 5 * 3 * 4);
				}
	assert_int_equal(ids_live(ids), 0);
}

static void numbers_that_are_not_usable_are_refused(void **state)
{
	static const struct tally_ids_options bad[] = {
		{ .shards = 3 },
		{ .shards = 2 * TALLY_IDS_SHARDS_MAX },
		{ .entries_max = (1ull << 32) + 1 },
	};
	struct tally_id_entry entry = { .kind = TALLY_ID_KERNEL + 1 }, was;
	struct tally_ids *ids = NULL;
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(bad); i++)
		assert_int_equal(tally_ids_create(&bad[i], &ids), -EINVAL);
	assert_null(ids);
	ids = ids_make(0, 0);
	assert_int_equal(tally_ids_put(ids, &entry, &was), -EINVAL);
	assert_int_equal(tally_ids_take(ids, 0, (enum tally_id_kind)3, 0, &was), -EINVAL);
	tally_ids_destroy(NULL);
}

/* ---- Growth ---------------------------------------------------------------------------------- */

/* Ids as they come: addresses one behind the other, and at random. */
static uint64_t id_no(uint64_t n)
{
	return n & 1 ? mix(n) : n << 14;
}

static void table_grows_and_loses_nothing(void **state)
{
	const uint64_t count = EMULATED ? 20000 : 200000;
	struct tally_ids *ids = ids_make(0, 0);
	struct tally_id_entry was;
	uint64_t n;

	(void)state;
	for (n = 0; n < count; n++)
		assert_int_equal(ids_put(ids, id_no(n), n), 0);
	assert_int_equal(ids_live(ids), count);
	for (n = 0; n < count; n += 3)
		assert_int_equal(tally_ids_take(ids, 0, TALLY_ID_BUFFER, id_no(n), &was), 1);
	for (n = 0; n < count; n++) {
		int known = tally_ids_take(ids, 0, TALLY_ID_BUFFER, id_no(n), &was);

		assert_int_equal(known, n % 3 != 0);
		if (known)
			assert_int_equal(was.size, n);
	}
	assert_int_equal(ids_live(ids), 0);
}

static void entries_that_come_and_go_are_those_of_a_plain_list(void **state)
{
	static uint64_t sizes[500]; /* by id; 0: not live */
	const uint64_t events = EMULATED ? 50000 : 1000000;
	struct tally_ids *ids = ids_make(0, 1);
	struct tally_id_entry was = { 0 };
	uint64_t n, seed = 1;

	(void)state;
	memset(sizes, 0, sizeof(sizes));
	for (n = 1; n <= events; n++) {
		uint64_t id = mix(++seed) % COUNT(sizes), before = sizes[id];
		bool put = mix(++seed) & 1;
		struct tally_id_entry entry = entry_of(id, n);
		int known = put ? tally_ids_put(ids, &entry, &was)
				: tally_ids_take(ids, 0, TALLY_ID_BUFFER, id, &was);

		assert_int_equal(known, before != 0);
		if (before)
			assert_int_equal(was.size, before);
		sizes[id] = put ? n : 0;
	}
}

static void ids_that_are_never_used_again_take_no_room(void **state)
{
	struct tally_ids *ids = ids_make(0, 1);
	struct tally_ids_view view;
	struct tally_id_entry was;
	uint64_t n;

	(void)state;
	for (n = 0; n < 100000; n++) {
		ids_put(ids, mix(n), n);
		if (n >= 50)
			assert_int_equal(tally_ids_take(ids, 0, TALLY_ID_BUFFER, mix(n - 50), &was),
					 1);
	}
	assert_int_equal(tally_ids_look(ids, &view), 0);
	assert_int_equal(view.entries, 50);
	assert_int_equal(view.bytes, 4096);
}

static void use_and_drop(void)
{
	struct tally_ids *ids = NULL;
	uint64_t n;

	assert_int_equal(tally_ids_create(NULL, &ids), 0);
	for (n = 0; n < 10000; n++)
		ids_put(ids, n, n);
	tally_ids_destroy(ids);
}

static void dropped_tables_leave_no_memory(void **state)
{
	uint64_t before;
	int round;

	(void)state;
	use_and_drop(); /* a sanitizer maps memory of its own for it */
	before = mappings();
	for (round = 0; round < 20; round++)
		use_and_drop();
	assert_in_range(mappings(), 0, before + 2);
}

/* ---- The limit ------------------------------------------------------------------------------- */

static void limit_of_one_shard_is_exact_and_told(void **state)
{
	struct tally_ids *ids = ids_make(1000, 1);
	struct tally_ids_view view;
	struct tally_id_entry was;
	uint64_t n;

	(void)state;
	for (n = 0; n < 1000; n++)
		assert_int_equal(ids_put(ids, n, n), 0);
	assert_int_equal(ids_put(ids, 1000, 1), -ENOSPC);
	assert_int_equal(ids_put(ids, 1001, 1), -ENOSPC);
	assert_int_equal(tally_ids_look(ids, &view), 0);
	assert_int_equal(view.entries, 1000);
	assert_int_equal(view.entries_max, 1000);
	assert_int_equal(view.refused, 2);
	/* what is live may change, and who goes makes room */
	assert_int_equal(ids_put(ids, 999, 1), 1);
	assert_int_equal(tally_ids_take(ids, 0, TALLY_ID_BUFFER, 0, &was), 1);
	assert_int_equal(ids_put(ids, 1000, 1), 0);
	assert_int_equal(tally_ids_take(ids, 0, TALLY_ID_BUFFER, 1001, &was), 0);
}

static void limit_of_many_shards_is_reached_in_its_last_eighth(void **state)
{
	static const uint64_t limits[] = { 64, 4096, 100000 };
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(limits); i++) {
		struct tally_ids *ids = ids_make(limits[i], 32);
		uint64_t n = 0;

		while (ids_put(ids, mix(n), n) == 0)
			n++;
		assert_in_range(n, limits[i] / 8 * 7, limits[i]);
		for (; n < 2 * limits[i]; n++) /* the other shards as well */
			ids_put(ids, mix(n), n);
		assert_in_range(ids_live(ids), limits[i] / 8 * 7, limits[i]);
	}
}

static void put_without_memory(void)
{
	struct tally_ids *ids = NULL, *another = NULL;
	struct tally_ids_view view;
	struct tally_id_entry was;
	uint64_t n;

	CHILD_CHECK(tally_ids_create(&(struct tally_ids_options){ .shards = 1 }, &ids) == 0);
	CHILD_CHECK(ids_put(ids, 0, 1) == 0);
	if (!seccomp_fail(SYS_mmap, ENOMEM))
		_exit(CANNOT);
	errno = 5;
	for (n = 1; n < 96; n++)
		CHILD_CHECK(ids_put(ids, n, 1) == 0);
	CHILD_CHECK(ids_put(ids, n, 1) == -ENOMEM);
	CHILD_CHECK(tally_ids_create(NULL, &another) == -ENOMEM);
	CHILD_CHECK(errno == 5 && !another);
	CHILD_CHECK(tally_ids_look(ids, &view) == 0 && view.refused == 1 && view.entries == 96);
	for (n = 0; n < 96; n++)
		CHILD_CHECK(tally_ids_take(ids, 0, TALLY_ID_BUFFER, n, &was) == 1);
}

static void put_that_finds_no_memory_says_so_and_changes_nothing(void **state)
{
	(void)state;
	SKIP_EMULATED("the filter would be the emulator's");
	in_child(put_without_memory, "no system call may be refused here");
}

/* What is still allowed is read, write, exit and the return from a handler. */
static void use_without_system_calls(void)
{
	struct tally_ids *ids = NULL;
	struct tally_id_entry was;
	uint64_t n;

	CHILD_CHECK(tally_ids_create(&(struct tally_ids_options){ .shards = 1 }, &ids) == 0);
	CHILD_CHECK(ids_put(ids, 0, 1) == 0);
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_STRICT) != 0)
		_exit(CANNOT);
	for (n = 1; n < 100000; n++) {
		ids_put(ids, n, n);
		tally_ids_take(ids, 0, TALLY_ID_BUFFER, n - (n & 63), &was);
		tally_ids_take(ids, 0, TALLY_ID_BUFFER, n, &was);
	}
	syscall(SYS_exit, ids_live(ids) != 0);
}

static void put_and_take_make_no_system_call(void **state)
{
	(void)state;
	SKIP_EMULATED("the filter would be the emulator's");
	if (SANITIZED)
		SKIP("a sanitizer makes system calls of its own");
	in_child(use_without_system_calls, "no system call may be refused here");
}

/* ---- Looking at all -------------------------------------------------------------------------- */

struct tour {
	struct tally_ids *ids;
	uint64_t stop_after, count, sum;
	int put_result, take_result;
};

static int visit(void *arg, const struct tally_id_entry *entry)
{
	struct tour *tour = arg;
	struct tally_id_entry was;

	tour->put_result = tally_ids_put(tour->ids, entry, &was);
	tour->take_result = tally_ids_take(tour->ids, entry->device, TALLY_ID_BUFFER, entry->id,
					   &was);
	tour->sum += entry->size;
	return ++tour->count != tour->stop_after;
}

static void each_entry_is_handed_over_once_and_no_call_is_made_from_within(void **state)
{
	struct tour all = { .ids = ids_make(0, 0) }, some = { .ids = all.ids, .stop_after = 10 };
	uint64_t n;

	(void)state;
	assert_int_equal(tally_ids_each(all.ids, visit, &all), 0);
	for (n = 1; n <= 5000; n++)
		ids_put(all.ids, mix(n), n);
	assert_int_equal(tally_ids_each(all.ids, visit, &all), 5000);
	assert_int_equal(all.count, 5000);
	assert_int_equal(all.sum, 5000 * 5001 / 2);
	assert_int_equal(all.put_result, -EBUSY);
	assert_int_equal(all.take_result, -EBUSY);
	assert_int_equal(tally_ids_each(all.ids, visit, &some), 10);
	assert_int_equal(ids_live(all.ids), 5000);
}

/* ---- Shutdowns ------------------------------------------------------------------------------- */

static void shut_down(void)
{
	struct tally_ids *ids = ids_make(0, 4), *kept = NULL;
	struct tally_id_entry was;
	uint64_t n;
	int round;

	CHILD_CHECK(tally_ids_create(&(struct tally_ids_options){ .kept = 1 }, &kept) == 0);
	ids_put(kept, 5, 50);
	for (round = 0; round < 3; round++) {
		if (tally_init(NULL) != 0)
			_exit(CANNOT);
		for (n = 0; n < 1000; n++)
			CHILD_CHECK(ids_put(ids, n, n) == 0);
		CHILD_CHECK(ids_live(ids) == 1000);
		CHILD_CHECK(tally_shutdown() == 0);
		CHILD_CHECK(tally_ids_take(ids, 0, TALLY_ID_BUFFER, 7, &was) == 0);
		CHILD_CHECK(ids_put(ids, 8, 1) == 0); /* who begins before it is armed again */
		CHILD_CHECK(ids_live(ids) == 1);
		CHILD_CHECK(tally_ids_take(ids, 0, TALLY_ID_BUFFER, 8, &was) == 1);
	}
	CHILD_CHECK(tally_ids_take(kept, 0, TALLY_ID_BUFFER, 5, &was) == 1 && was.size == 50);
	tally_ids_destroy(kept);
	ids_let_go();
}

static void shutdown_empties_tables_but_those_that_are_kept(void **state)
{
	(void)state;
	in_child(shut_down, "no region can be made here");
}

/* ---- A handler within a call, and a fork there ----------------------------------------------- */

static struct tally_ids *within;
static int answer;
static pid_t forked;

static void call_again(void)
{
	struct tally_id_entry was;

	answer = tally_ids_put(within, &(struct tally_id_entry){ .id = 5 }, &was);
	assert_int_equal(tally_ids_take(within, 0, TALLY_ID_BUFFER, 5, &was), answer);
	assert_int_equal(tally_ids_each(within, visit, &(struct tour){ 0 }), 0);
}

static void handler_within_a_call_is_refused_and_does_not_hang(void **state)
{
	(void)state;
	within = ids_make(0, 1);
	answer = 0;
	at_ids.locked = call_again;
	assert_int_equal(ids_put(within, 5, 1), 0);
	assert_int_equal(answer, -EBUSY);
	assert_int_equal(ids_live(within), 1);
}

static void fork_here(void)
{
	fflush(NULL);
	forked = fork();
}

/* The child, which comes back into the call that its parent's handler interrupted, has a table with
 * what that call says, and with nothing else. */
static void child_of_a_handler(uint64_t first, uint64_t count)
{
	struct tally_id_entry was;
	uint64_t n;

	CHILD_CHECK(ids_live(within) == 1);
	for (n = 0; n < first; n++)
		CHILD_CHECK(tally_ids_take(within, 0, TALLY_ID_BUFFER, n, &was) == 0);
	CHILD_CHECK(tally_ids_take(within, 0, TALLY_ID_BUFFER, first, &was) == 1);
	for (n = 0; n < count; n++)
		CHILD_CHECK(ids_put(within, n, n) == 0);
	for (n = 0; n < count; n++)
		CHILD_CHECK(tally_ids_take(within, 0, TALLY_ID_BUFFER, n, &was) == 1);
	CHILD_CHECK(ids_live(within) == 0);
	_exit(0);
}

static void child_that_a_handler_forks_within_a_put_has_a_sound_table(void **state)
{
	uint64_t first;

	(void)state;
	for (first = 0; first < 100; first += 33) {
		uint64_t n;

		within = ids_make(0, 1);
		for (n = 0; n < first; n++)
			ids_put(within, n, n);
		at_ids.locked = fork_here;
		assert_int_equal(ids_put(within, first, 1), 0);
		if (forked == 0)
			child_of_a_handler(first, 500);
		assert_int_equal(wait_status(forked), 0);
		assert_int_equal(ids_live(within), first + 1);
	}
}

static void child_that_a_handler_forks_while_the_table_grows_has_a_sound_one(void **state)
{
	uint64_t n;

	(void)state;
	within = ids_make(0, 1);
	for (n = 0; n < 96; n++)
		ids_put(within, n, n);
	at_ids.grown = fork_here;
	assert_int_equal(ids_put(within, 96, 1), 0);
	assert_null(at_ids.grown);
	if (forked == 0)
		child_of_a_handler(96, 500);
	assert_int_equal(wait_status(forked), 0);
	assert_int_equal(ids_live(within), 97);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST(id_is_unknown_until_it_is_put_and_after_it_is_taken),
		TEST(put_of_a_live_id_tells_what_it_was_and_replaces_it),
		TEST(device_kind_and_id_each_tell_entries_apart),
		TEST(numbers_that_are_not_usable_are_refused),
		TEST(table_grows_and_loses_nothing),
		TEST(entries_that_come_and_go_are_those_of_a_plain_list),
		TEST(ids_that_are_never_used_again_take_no_room),
		TEST(dropped_tables_leave_no_memory),
		TEST(limit_of_one_shard_is_exact_and_told),
		TEST(limit_of_many_shards_is_reached_in_its_last_eighth),
		TEST(put_that_finds_no_memory_says_so_and_changes_nothing),
		TEST(put_and_take_make_no_system_call),
		TEST(each_entry_is_handed_over_once_and_no_call_is_made_from_within),
		TEST(shutdown_empties_tables_but_those_that_are_kept),
		TEST(handler_within_a_call_is_refused_and_does_not_hang),
		TEST(child_that_a_handler_forks_within_a_put_has_a_sound_table),
		TEST(child_that_a_handler_forks_while_the_table_grows_has_a_sound_one),
	};

	(void)argc;
	return own_region_main(argv, false, tests, COUNT(tests));
}
