/* SPDX-License-Identifier: Apache-2.0 */
/* What a thread sets for its own events: the tag that they carry, and that they do not count.
 * sanitizers: address, thread; also on: arm64 */
#include <fcntl.h>
#include <string.h>

#include "ring/lane.h"
#include "ring/region.h"
#include "tests/own_region.h"

/* ---- Tags ------------------------------------------------------------------------------------ */

#define RECORDS_MAX 128

static struct tally_record records[RECORDS_MAX];
static size_t record_count;

static void keep_record(void *arg, const struct tally_record *record)
{
	(void)arg;
	if (record_count < RECORDS_MAX)
		records[record_count++] = *record;
}

/* The name of the tag that record n carries, "" for none. */
static const char *tag_of(const struct region_view *view, size_t n)
{
	uint64_t tag = records[n].label & UINT32_MAX;

	if (tag == 0)
		return "";
	assert_in_range(tag, 1, view->at.tags);
	return region_tags(view->base, &view->at)[tag - 1].name;
}

static void records_carry_the_tag_of_their_thread(void **state)
{
	char why[REGION_WHY_MAX], long_name[100];
	struct region_view view;
	struct lane_reader reader;
	int dir = open(region_dir, O_RDONLY | O_DIRECTORY);
	int i;

	(void)state;
	memset(long_name, 'x', sizeof(long_name));
	long_name[99] = '\0';
	assert_int_equal(tally_init(NULL), 0);
	tally_alloc(1, 1, 0, 0); /* 0 */
	tally_tag_push("layer 1");
	tally_alloc(1, 1, 0, 0); /* 1 */
	tally_tag_push("layer 2");
	tally_mark("phase");	 /* 2 */
	tally_alloc(1, 1, 0, 0); /* 3 */
	tally_tag_pop();
	tally_free(1, 1, 0, 0); /* 4 */
	tally_tag_pop();
	tally_tag_pop();	 /* once too often */
	tally_alloc(1, 1, 0, 0); /* 5 */
	tally_tag_push(long_name);
	tally_alloc(1, 1, 0, 0); /* 6 */
	tally_tag_pop();
	for (i = 1; i <= 20; i++)
		tally_tag_push(text("deep %d", i));
	tally_alloc(1, 1, 0, 0); /* 7: the 12th stays */
	for (i = 0; i < 10; i++)
		tally_tag_pop();
	tally_alloc(1, 1, 0, 0); /* 8: the 10th again */

	assert_int_equal(region_open(dir, status_now().region, &view, why), 0);
	close(dir);
	reader = (struct lane_reader){ .header = region_lane(view.base, &view.at, 0),
				       .slots = region_ring(view.base, &view.at, 0),
				       .ring_log2 = view.at.ring_log2 };
	record_count = 0;
	lane_drain(&reader, true, false, keep_record, NULL);
	assert_int_equal(record_count, 9);
	assert_string_equal(tag_of(&view, 0), "");
	assert_string_equal(tag_of(&view, 1), "layer 1");
	assert_string_equal(tag_of(&view, 2), "phase");
	assert_int_equal(slot_kind(records[2].commit), TALLY_KIND_MARK);
	assert_string_equal(tag_of(&view, 3), "layer 2");
	assert_string_equal(tag_of(&view, 4), "layer 1");
	assert_string_equal(tag_of(&view, 5), "");
	assert_int_equal(strlen(tag_of(&view, 6)), 55); /* cut */
	assert_string_equal(tag_of(&view, 7), "deep 12");
	assert_string_equal(tag_of(&view, 8), "deep 10");
	region_close(&view);
	assert_int_equal(tally_shutdown(), 0);
}

/* ---- Observers ------------------------------------------------------------------------------- */

static void excluded_thread_is_not_counted_until_it_is_included_again(void **state)
{
	struct tally_consumer *consumer;
	const struct tally_snapshot *now;

	(void)state;
	assert_int_equal(tally_init(NULL), 0);
	tally_alloc(0, 0, 1, 1);
	tally_thread_exclude();
	tally_alloc(0, 0, 1, 10);
	tally_thread_exclude();
	tally_thread_include();
	tally_alloc(0, 0, 1, 100); /* they nest */
	tally_mark("not seen");
	tally_thread_include();
	tally_alloc(0, 0, 1, 1000);
	tally_thread_include(); /* once too often */
	tally_alloc(0, 0, 1, 10000);
	consumer = watch_self();
	now = watch_look(consumer);
	assert_int_equal(watch_sums(now, 0, 0).allocated_bytes, 11001);
	assert_int_equal(now->events, 3);
	watch_put(now);
	watch_close(consumer);
	assert_int_equal(tally_shutdown(), 0);
}

int main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		TEST_OFF(records_carry_the_tag_of_their_thread),
		TEST_OFF(excluded_thread_is_not_counted_until_it_is_included_again),
	};

	(void)argc;
	return own_region_main(argv, true, tests, COUNT(tests));
}
