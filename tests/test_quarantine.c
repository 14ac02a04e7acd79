/* SPDX-License-Identifier: Apache-2.0 */
/* A ring that cannot be trusted is left aside, with a reason that reaches whoever looks.
 * sanitizers: address */
#include <dirent.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "tests/cli.h"
#include "tests/rig.h"
#include "tests/support.h"
#include "tests/watch.h"

#define OLDER "a published position holds an older record"
#define VERSION "a record of an unknown version"

static struct tally_record *slot_of(struct rig *rig, struct lane_writer *writer, uint64_t pos)
{
	struct tally_record *ring = region_ring(rig->region.base, &rig->region.at,
						rig_lane(rig, writer));

	return &ring[pos & ((1u << rig->region.at.ring_log2) - 1)];
}

static void bad_lanes_are_left_aside_for_a_reason_and_the_others_read_on(void **state)
{
	struct rig rig = rig_make(6, 2);
	struct lane_writer *writers[3];
	const struct tally_process_view *process;
	const struct tally_snapshot *now;
	struct tally_consumer *consumer;
	size_t i, n;

	(void)state;
	for (i = 0; i < COUNT(writers); i++) {
		writers[i] = rig_claim(&rig, (uint32_t)i + 1, 0);
		for (n = 0; n < 10; n++)
			rig_alloc(writers[i], 1, 1, n, 2);
	}
	consumer = watch_pid(0);
	now = watch_look(consumer);
	assert_int_equal(now->processes[0].records_read, 30);
	assert_int_equal(now->processes[0].quarantined_lanes, 0);
	assert_null(now->processes[0].quarantine);
	watch_put(now);
	for (i = 0; i < COUNT(writers); i++)
		for (n = 0; n < 10; n++)
			rig_alloc(writers[i], 1, 1, n, 2);
	slot_of(&rig, writers[1], 12)->commit += 1ull << TALLY_VERSION_SHIFT;
	slot_of(&rig, writers[2], 15)->commit -= 1ull << TALLY_LAP_SHIFT;
	now = watch_look(consumer);
	watch_put(now);
	now = watch_look(consumer);
	process = &now->processes[0];
	assert_int_equal(process->quarantined_lanes, 2);
	assert_string_equal(process->quarantine, VERSION);
	assert_int_equal(process->records_read, 20 + 12 + 15);
	assert_int_equal(process->lost_records, 8 + 5);
	assert_int_equal(watch_sums(now, 1, 1).allocs, 60); /* totals do not come from records */
	watch_put(now);
	watch_close(consumer);
	rig_free(&rig);
}

/* ---- The command ----------------------------------------------------------------------------- */

/* The one region in test_dir that is no runner's: says that records were published that are not
 * there. */
static void claim_more(void)
{
	DIR *dir = opendir(test_dir);
	struct dirent *entry;
	int changed = 0;

	assert_non_null(dir);
	while ((entry = readdir(dir))) {
		struct region region;

		if (entry->d_name[0] == '.' ||
		    region_open_shared(test_dir, entry->d_name, 0, NULL, &region) != 0)
			continue;
		if (!(((struct tally_region_header *)(void *)region.base)->flags &
		      TALLY_REGION_RUNNER)) {
			tally_add_relaxed(&region_lane(region.base, &region.at, 0)->publish_pos, 5);
			changed++;
		}
		munmap(region.base, region.at.size);
	}
	closedir(dir);
	assert_int_equal(changed, 1);
}

static void report_of_run_says_why_records_were_left_aside(void **state)
{
	char *report = text("%s/report", test_tmp);
	struct job job = START(built("tally"), "run", "--json", report, "--", prog("push_many"),
			       "11");
	struct outcome outcome;
	json_t *json;

	(void)state;
	assert_string_equal(job_line(&job), "pushed");
	claim_more();
	assert_int_equal(job_end(&job).status, 0);
	json = json_parse(read_file(report, NULL));
	assert_int_equal(json_number(json, "processes/0/quarantined_lanes"), 1);
	assert_string_equal(json_text(json, "processes/0/quarantine_reason"), OLDER);

	job = START(built("tally"), "run", "--", prog("push_many"), "11");
	assert_string_equal(job_line(&job), "pushed");
	claim_more();
	outcome = job_end(&job);
	assert_int_equal(outcome.status, 0);
	check_contains(outcome.err, "records that could not be trusted were left aside (" OLDER
				    "), totals are not: ");
	check_contains(outcome.err, "(push_many)");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(bad_lanes_are_left_aside_for_a_reason_and_the_others_read_on),
		TEST(report_of_run_says_why_records_were_left_aside),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
