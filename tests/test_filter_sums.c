/* SPDX-License-Identifier: Apache-2.0 */
/* Sums over the processes that a filter has chosen: what no verb shows of them, too. */
#include "consumer/cli/filter_sums.c" /* depends on nothing */

#include "tests/support.h"

/* Three processes, of which the second was forked by the first, and the third has ended; each has
 * one pool, device 0 heap, and tags. */
static struct tally_process_view processes[3];
static struct tally_pool_view parts[3], sum;
static struct tally_tag_view process_tags[4], tags[4];
static uint64_t part_sizes[2][TALLY_SIZES], sizes[1][TALLY_SIZES];
static struct copy copy;

static void set_part(int n, int64_t live, int64_t peak, uint64_t allocations, double rate)
{
	parts[n].pool = 7;
	parts[n].totals.current = true;
	parts[n].totals.live_bytes = live;
	parts[n].totals.live_bytes_high = live + 1;
	parts[n].totals.live_allocations = live / 10;
	parts[n].totals.peak_bytes = peak;
	parts[n].totals.peak_bytes_high = peak + 5;
	parts[n].totals.attach_peak_bytes = peak - 1;
	parts[n].totals.allocations = allocations;
	parts[n].totals.allocated_bytes = 10 * allocations;
	parts[n].allocations_per_s = parts[n].frees_per_s = rate;
	parts[n].unmatched_frees = 2;
	processes[n].first_pool = (size_t)n;
	processes[n].pool_count = 1;
	processes[n].region_id = (uint64_t)n + 1;
	processes[n].first_tag = processes[n].tag_count = 0;
}

static void set_tag(int n, const char *tag, uint32_t pool, int64_t live)
{
	memset(&process_tags[n], 0, sizeof(process_tags[n]));
	memcpy(process_tags[n].tag, tag, strlen(tag));
	process_tags[n].pool = pool;
	process_tags[n].live_bytes = live;
	process_tags[n].live_allocations = 1;
	process_tags[n].allocations = 3;
}

static void set_up(void)
{
	memset(&copy, 0, sizeof(copy));
	memset(processes, 0, sizeof(processes));
	memset(parts, 0, sizeof(parts));
	memset(&sum, 0, sizeof(sum));
	memset(sizes, 0, sizeof(sizes));
	copy.processes = processes;
	copy.process_pools = parts;
	copy.pools = &sum;
	copy.tags = tags;
	copy.process_tags = process_tags;
	copy.sizes = sizes;
	copy.snapshot.process_count = 3;
	sum.pool = 7;
	sum.capacity_bytes = 1000;
	sum.totals.live_bytes = 123456; /* of before: forgotten */
	set_part(0, 100, 150, 10, 1.5);
	set_part(1, 90, 95, 4, 2);
	set_part(2, 70, 300, 7, 0);
	parts[1].totals.inherited_bytes = 40;
	parts[1].totals.inherited_allocations = 2;
	processes[1].parent_id = 1;
	processes[2].end = TALLY_GONE;
	parts[2].totals.abandoned_bytes = 70;
	parts[2].totals.abandoned_allocations = 7;
}

static void pools_are_added_up(void **state)
{
	(void)state;
	set_up();
	copy_add_up(&copy, &sum);
	assert_int_equal(sum.totals.live_bytes, 100 + 90 - 40); /* the dead hold nothing */
	assert_int_equal(sum.totals.live_bytes_high, 101 + 91 - 40);
	assert_int_equal(sum.totals.live_allocations, 10 + 9 - 2);
	assert_int_equal(sum.totals.abandoned_bytes, 70);
	assert_int_equal(sum.totals.abandoned_allocations, 7);
	assert_int_equal(sum.totals.inherited_bytes, 0);
	assert_int_equal(sum.totals.peak_bytes, 300);
	assert_int_equal(sum.totals.peak_bytes_high, 155 + 100 - 40 + 305);
	assert_int_equal(sum.totals.attach_peak_bytes, 299);
	assert_int_equal(sum.totals.allocations, 21);
	assert_int_equal(sum.totals.allocated_bytes, 210);
	assert_true(sum.totals.current);
	assert_true(sum.allocations_per_s == 3.5 && sum.frees_per_s == 3.5);
	assert_int_equal(sum.unmatched_frees, 6);
	assert_int_equal(sum.capacity_bytes, 1000);
	assert_null(sum.sizes);
}

static void inherited_memory_stays_where_the_parent_is_not(void **state)
{
	(void)state;
	set_up();
	processes[0].end = TALLY_GONE;
	parts[0].totals.abandoned_bytes = 100;
	copy_add_up(&copy, &sum);
	assert_int_equal(sum.totals.live_bytes, 90);
	assert_int_equal(sum.totals.inherited_bytes, 40);
	set_up();
	processes[1].parent_id = 77; /* not chosen */
	copy_add_up(&copy, &sum);
	assert_int_equal(sum.totals.live_bytes, 190);
}

static void what_one_does_not_know_nobody_knows(void **state)
{
	(void)state;
	set_up();
	parts[1].allocations_per_s = -1;
	parts[2].totals.current = false;
	copy_add_up(&copy, &sum);
	assert_true(sum.allocations_per_s < 0);
	assert_true(sum.frees_per_s == 3.5);
	assert_false(sum.totals.current);
}

static void sizes_are_added_up(void **state)
{
	(void)state;
	set_up();
	part_sizes[0][0] = 3;
	part_sizes[0][64] = 1;
	part_sizes[1][64] = 5;
	parts[0].sizes = part_sizes[0];
	parts[2].sizes = part_sizes[1]; /* the second has none */
	copy_add_up(&copy, &sum);
	assert_ptr_equal(sum.sizes, sizes[0]);
	assert_int_equal(sum.sizes[0], 3);
	assert_int_equal(sum.sizes[1], 0);
	assert_int_equal(sum.sizes[64], 6);
}

static void tags_are_merged_in_order(void **state)
{
	(void)state;
	set_up();
	set_tag(0, "b", 7, 10);
	set_tag(1, "a", 7, 20);
	set_tag(2, "b", 7, 30);
	set_tag(3, "b", 1, 40); /* of the dead one */
	processes[0].tag_count = 2;
	processes[1].first_tag = 2;
	processes[1].tag_count = 1;
	processes[2].first_tag = 3;
	processes[2].tag_count = 1;
	copy_add_tags(&copy);
	assert_int_equal(copy.snapshot.tag_count, 3);
	assert_string_equal(tags[0].tag, "a");
	assert_int_equal(tags[0].live_bytes, 20);
	assert_string_equal(tags[1].tag, "b");
	assert_int_equal(tags[1].pool, 1);
	assert_int_equal(tags[1].live_bytes, 0);
	assert_int_equal(tags[1].live_allocations, 0);
	assert_int_equal(tags[1].allocations, 3);
	assert_int_equal(tags[2].pool, 7);
	assert_int_equal(tags[2].live_bytes, 40);
	assert_int_equal(tags[2].allocations, 6);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(pools_are_added_up),
		cmocka_unit_test(inherited_memory_stays_where_the_parent_is_not),
		cmocka_unit_test(what_one_does_not_know_nobody_knows),
		cmocka_unit_test(sizes_are_added_up),
		cmocka_unit_test(tags_are_merged_in_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
