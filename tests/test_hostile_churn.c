/* SPDX-License-Identifier: Apache-2.0 */
/* Joined regions of which no look comes to anything: they cost neither more and more memory, nor
 * anything once they are over.
 * sanitizers: address */
#include <fcntl.h>
#include <malloc.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <tally/atomic.h>
#include <unistd.h>

#include "ring/join.h"
#include "tests/support.h"
#include "tests/watch.h"

#define ENTRIES 64
#define LOOKS 30
#define GROWTH_MAX (1 << 20) /* each look meets hundreds of owners; one is worth some 700 bytes */

static struct region churned;
static uint64_t changes;

/* In place of the C library's: who asks whether an entry's owner lives finds another one next. */
int fcntl(int fd, int command, ...)
{
	va_list list;
	void *argument;

	va_start(list, command);
	argument = va_arg(list, void *);
	va_end(list);
	if (command == F_OFD_GETLK && churned.base) {
		const struct flock *lock = argument;
		uint32_t entry = (uint32_t)(lock->l_start - TALLY_LOCK_BYTE);

		/* relaxed: one thread */
		tally_store_relaxed(&region_process(churned.base, &churned.at, entry)->generation,
				    mix(changes++) | 16);
	}
	return (int)syscall(SYS_fcntl, fd, command, argument);
}

size_t __sanitizer_get_current_allocated_bytes(void) __attribute__((weak));

static size_t memory_in_use(void)
{
	if (__sanitizer_get_current_allocated_bytes)
		return __sanitizer_get_current_allocated_bytes();
	return mallinfo2().uordblks;
}

static void owners_that_change_without_end_do_not_pile_up(void **state)
{
	char name[REGION_NAME_MAX];
	struct region_config config = { .dir = test_dir, .name = name, .ring_log2 = 6 };
	struct tally_consumer_options options = { .read_buffers = true };
	struct tally_consumer *consumer;
	struct region region;
	uint32_t entry;
	size_t at_first;
	int i;

	(void)state;
	assert_true(join_name(name, "/churn"));
	assert_int_equal(region_create(&config, &region), 0);
	for (entry = 0; entry < ENTRIES; entry++) {
		struct tally_process_header *process = region_process(region.base, &region.at,
								      entry);

		assert_int_equal(region_reserve(&region,
						(size_t)((unsigned char *)process - region.base),
						TALLY_PAGE),
				 0);
		tally_store_relaxed(&process->cell_pages, 1);
		tally_store_relaxed(&process->generation, entry + 16);
	}
	assert_int_equal(region_publish(&region), 0);
	churned = region;
	assert_int_equal(watch_open(&options, &consumer), 0);
	at_first = memory_in_use();
	for (i = 0; i < LOOKS; i++) {
		const struct tally_snapshot *now = watch_look(consumer);

		assert_int_equal(now->process_count, 0);
		assert_false(now->complete);
		watch_put(now);
		assert_true(memory_in_use() < at_first + GROWTH_MAX);
	}
	assert_true(changes > LOOKS * ENTRIES);
	churned.base = NULL; /* now they hold still */
	watch_put(watch_look(consumer));
	watch_close(consumer);
	munmap(region.base, region.at.size);
	remove_regions();
}

/* A lane of an owner that is not there: nothing can be told of any row, and nobody will ever change
 * that. */
static void dead_region_that_contradicts_itself_is_let_go_with_its_file(void **state)
{
	char name[REGION_NAME_MAX];
	struct region_config config = { .dir = test_dir, .name = name, .ring_log2 = 6 };
	struct tally_consumer_options options = { .read_buffers = true };
	struct tally_consumer *consumer;
	const struct tally_snapshot *now;
	struct region region;
	size_t before, at_work;
	int i;

	(void)state;
	assert_true(join_name(name, "/liar"));
	assert_int_equal(region_create(&config, &region), 0);
	assert_int_equal(region_publish(&region), 0);
	before = descriptors_of(getpid());
	assert_int_equal(watch_open(&options, &consumer), 0);
	watch_put(watch_look(consumer));
	at_work = descriptors_of(getpid());
	assert_in_range(at_work, before + 2, before + 3); /* directory, region, maybe inotify */
	assert_int_equal(region_reserve(&region, region.at.lane_at, TALLY_PAGE), 0);
	tally_store_relaxed(&region_lane(region.base, &region.at, 0)->owner,
			    (uint64_t)TALLY_LANE_OWNED << 56 | 77ull << 32);
	tally_store_relaxed(&region_state(region.base)->lanes_used, 1);
	munmap(region.base, region.at.size);
	watch_put(watch_look(consumer));
	assert_int_equal(descriptors_of(getpid()), at_work); /* it is there to be read, still */
	remove_regions();
	for (i = 0; i < 2; i++)
		watch_put(watch_look(consumer));
	assert_int_equal(descriptors_of(getpid()), at_work - 1);
	now = watch_look(consumer);
	assert_int_equal(now->process_count, 0);
	assert_true(now->complete);
	watch_put(now);
	watch_close(consumer);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(owners_that_change_without_end_do_not_pile_up),
		TEST(dead_region_that_contradicts_itself_is_let_go_with_its_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
