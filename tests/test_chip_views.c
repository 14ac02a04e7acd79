/* SPDX-License-Identifier: Apache-2.0 */
/* What each verb shows of devices and processes that are known by a runtime's own totals only. */
#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>
#include <tally/tally.h>

#include "tests/child.h"
#include "tests/chip.h"
#include "tests/scripted.h"
#include "tests/watch.h"

static struct job holder;

/* One process in one chip's file: device 3. */
static struct chip_bytes one_holder(void)
{
	struct chip_bytes chip = chip_new(4, 77, 3);

	holder = job_start(&(struct command){ .argv = LIST("cat") });
	chip_slot(&chip, 5, (uint32_t)holder.pid, "train.py", BYTES(1 << 20, 0, 512, 0, 7));
	chip_slot(&chip, 6, CHIP_NOBODY, "dead", BYTES(1 << 30));
	chip_write(&chip, 77);
	return chip;
}

static void end_holder(const struct chip_bytes *chip)
{
	chip_unchanged(chip, chip_path(77)); /* whoever looked */
	assert_int_equal(job_end(&holder).status, 0);
}

static void ps_shows_bytes_and_says_totals_only(void **state)
{
	struct chip_bytes chip = one_holder();
	char *out = CHECK_TALLY(0, "\nexact; 1 process by a runtime's totals only\n",
				"totals only: what a runtime says of itself in", "ps")
			    .out;

	(void)state;
	assert_string_equal(row(out, "3 totals only dram"), "3 totals only dram 1.00 MiB");
	assert_string_equal(row(out, "3 totals only l1_small"), "3 totals only l1_small 512 B");
	assert_string_equal(row(out, "3 totals only cb"), "3 totals only cb 7 B");
	assert_null(strstr(out, "trace"));
	assert_null(strstr(out, "1.00 GiB"));
	assert_string_equal(row(out, text(" %d train.py", holder.pid) + 1),
			    text("%d train.py 1.00 MiB totals only", holder.pid));
	end_holder(&chip);
}

static void a_process_is_found_by_its_pid_and_its_device(void **state)
{
	struct chip_bytes chip = one_holder();
	struct tally_consumer_options of_one = { .pid = (uint32_t)holder.pid };
	struct tally_consumer *consumer;
	const struct tally_snapshot *now;
	struct outcome outcome;

	(void)state;
	chip_slot(&chip, 7, (uint32_t)getpid(), "another", BYTES(1 << 20));
	chip_write(&chip, 77);
	outcome = CHECK_TALLY(0, "train.py", NULL, "ps", "-p", pid_of(&holder));
	assert_string_equal(row(outcome.out, "3 totals only dram"), "3 totals only dram 1.00 MiB");
	assert_null(strstr(outcome.out, "another"));
	outcome = CHECK_TALLY(0, "train.py", NULL, "ps", "-p", pid_of(&holder), "-p",
			      pid_of(&holder));
	assert_null(strstr(outcome.out, "another"));
	assert_int_equal(watch_open(&of_one, &consumer), 0);
	now = watch_get(consumer);
	assert_int_equal(now->process_count, 1);
	assert_int_equal(now->processes[0].pid, holder.pid);
	assert_int_equal(watch_pool(now, 3, TALLY_POOL_DRAM)->totals.live_bytes, 1 << 20);
	watch_put(now);
	CHECK_TALLY(0, "train.py", NULL, "ps", "-d", "3", "-P", "cb");
	CHECK_TALLY(0, "train.py", NULL, "ps", "-d", "chip-77");
	CHECK_TALLY(3, "", "has no region", "ps", "-p", text("%u", CHIP_NOBODY));
	CHECK_TALLY(3, "", "no device \"4\"; there is 3", "ps", "-d", "4");
	end_holder(&chip);
}

static void devices_show_pools_and_processes(void **state)
{
	struct chip_bytes chip = one_holder();

	(void)state;
	assert_string_equal(CHECK_TALLY(0, NULL, "", "devices").out,
			    text("device 3, chip-77, totals only\n"
				 "  dram      1.00 MiB, capacity unknown\n"
				 "  l1        0 B, capacity unknown\n"
				 "  l1_small  512 B, capacity unknown\n"
				 "  trace     0 B, capacity unknown\n"
				 "  cb        7 B, capacity unknown\n"
				 "  processes: %d (train.py, totals only)\n"
				 "\n"
				 "exact; 1 process by a runtime's totals only\n",
				 holder.pid));
	end_holder(&chip);
}

static void json_has_null_for_what_is_not_known(void **state)
{
	static const char *const of_pool[] = {
		"capacity_bytes",	 "peak_bytes",	      "peak_bytes_high",
		"live_allocations",	 "frees_total",	      "allocations_total",
		"allocated_bytes_total", "freed_bytes_total", "failures_total",
		"abandoned_bytes_total", "inherited_bytes",
	};
	static const char *const of_process[] = {
		"start_time",	    "image",	       "parent_region",
		"events_total",	    "records_read",    "lost_records",
		"lost_overwritten", "lost_unrecorded", "rejected_events",
	};
	struct chip_bytes chip = one_holder();
	json_t *json = json_parse(CHECK_TALLY(0, NULL, NULL, "ps", "--json").out), *process;
	size_t n;

	(void)state;
	assert_true(json_flag(json_device(json, 3), "totals_only"));
	assert_int_equal(json_processes(json, holder.pid, &process), 1);
	assert_true(json_flag(process, "totals_only"));
	assert_true(json_flag(process, "alive"));
	assert_string_equal(json_text(process, "comm"), "train.py");
	assert_string_equal(json_text(process, "region"), "tt_device_77_memory");
	for (n = 0; n < COUNT(of_process); n++)
		assert_true(json_is_null(json_get(process, of_process[n])));
	for (n = 0; n < COUNT(of_pool); n++) {
		assert_true(json_is_null(json_get(json_pool(json, 3, "dram"), of_pool[n])));
		assert_true(json_is_null(
			json_get(process, text("devices/0/pools/dram/%s", of_pool[n]))));
	}
	assert_true(json_flag(json_pool(json, 3, "dram"), "totals_only"));
	assert_int_equal(json_number(json_pool(json, 3, "dram"), "live_bytes"), 1 << 20);
	assert_int_equal(json_number(json_pool(json, 3, "trace"), "live_bytes_high"), 0);
	json = json_parse(CHECK_TALLY(0, NULL, "", "devices", "--json").out);
	assert_true(json_flag(json_device(json, 3), "totals_only"));
	process = json_get(json_device(json, 3), "processes/0");
	assert_true(json_flag(process, "totals_only"));
	assert_int_equal(json_number(process, "live_bytes"), (1 << 20) + 512 + 7);
	assert_true(json_is_null(json_get(process, "image")));
	assert_true(json_is_null(json_get(process, "abandoned_bytes")));
	end_holder(&chip);
}

static void of_a_device_known_both_ways_counts_are_of_nobody(void **state)
{
	struct chip_bytes chip = one_holder();
	struct job job = script_start(NULL);
	json_t *json;

	(void)state;
	job_do(&job, "describe 3 board n300 serial-1 0 4194304");
	job_do(&job, "alloc 3 0 1 1048576");
	json = json_parse(CHECK_TALLY(0, NULL, NULL, "ps", "--json").out);
	assert_false(json_flag(json_device(json, 3), "totals_only"));
	assert_true(json_flag(json_pool(json, 3, "dram"), "totals_only"));
	assert_int_equal(json_number(json_pool(json, 3, "dram"), "live_bytes"), 2 << 20);
	assert_true(json_is_null(json_get(json_pool(json, 3, "dram"), "allocations_total")));
	json_processes(json, job.pid, &json);
	assert_int_equal(json_number(json, "devices/0/pools/dram/allocations_total"), 1);
	assert_false(json_flag(json, "devices/0/pools/dram/totals_only"));
	assert_string_equal(row(TALLY("ps").out, "3 board part totals only dram"),
			    "3 board part totals only dram 2.00 MiB");
	check_contains(TALLY("devices").out,
		       "  dram      2.00 MiB of 4.00 MiB, 50.0 %, part totals only\n"
		       "  l1        0 B, capacity unknown, totals only\n");
	/* chosen alone, the rest of it is as it is */
	assert_string_equal(row(TALLY("ps", "-p", pid_of(&job)).out, "3 board dram"),
			    "3 board dram 1.00 MiB 1.00 MiB 1 0 0 0");
	json = json_parse(TALLY("ps", "--json", "-p", pid_of(&job), "-p", pid_of(&job)).out);
	assert_false(json_flag(json_pool(json, 3, "dram"), "totals_only"));
	assert_int_equal(json_number(json_pool(json, 3, "dram"), "allocations_total"), 1);
	job_end_well(&job);
	end_holder(&chip);
}

static void check_judges_them_and_says_what_is_not_known(void **state)
{
	struct chip_bytes chip = one_holder();
	struct outcome outcome;
	json_t *json;

	(void)state;
	CHECK_TALLY(0, "1 rule holds\n", "", "check", "--max-live", "3:dram=1MiB");
	CHECK_TALLY(7,
		    "--max-live 3:dram=1048575: 1.00 MiB (1,048,576 bytes) held, 1.00 MiB "
		    "(1,048,575 bytes) allowed; device 3 dram is totals only, so this is what its "
		    "runtime says\n",
		    "", "check", "--max-live", "3:dram=1048575");
	CHECK_TALLY(7, "the capacity of device 3 dram is unknown", "", "check", "--max-percent",
		    "90");
	outcome = CHECK_TALLY(0, NULL, "", "check", "--no-leaks", "--max-lost", "0", "--json");
	json = json_parse(outcome.out);
	check_contains(json_text(json, "rules/0/message"),
		       "device 3 dram and more is totals only, so what its dead processes left is "
		       "not known");
	check_contains(json_text(json, "rules/1/message"), "so there are no records of it");
	end_holder(&chip);
}

static void doctor_says_which_files_cannot_be_read_and_what_to_do(void **state)
{
	struct chip_bytes chip = chip_new(1, 12, 3);

	(void)state;
	check_contains(CHECK_TALLY(0, NULL, "", "doctor").out, "ok: every file with a region's");
	chip_write_size(&chip, 12, 9280);
	check_contains(CHECK_TALLY(1, NULL, NULL, "doctor").out,
		       text("problem: %s is refused: version 1 of a runtime's totals, which this "
			    "tally does not read (it reads 2 to 4); update the runtime, then "
			    "remove the file\n",
			    chip_path(12)));
	chip = chip_new(4, 12, 3);
	chip_put32(&chip, 8536, 1);
	chip_write(&chip, 12);
	check_contains(CHECK_TALLY(0, NULL, "", "doctor").out,
		       text("note: %s: version 4: a runtime's totals that are not ready yet; look "
			    "again",
			    chip_path(12)));
	if (geteuid() == 0)
		return; /* who may read everything */
	chip_put32(&chip, 8536, 0x52454459u);
	chip_write(&chip, 12);
	assert_int_equal(chmod(chip_path(12), 0), 0);
	check_contains(CHECK_TALLY(1, NULL, NULL, "doctor").out, "chmod 600 it");
}

static void who_has_no_records_is_not_waited_for(void **state)
{
	struct chip_bytes chip = one_holder();
	struct job job = script_start(NULL);
	const char *said = "1 process is known by a runtime's totals only: there are no records";

	(void)state;
	job_do(&job, "alloc 3 0 1 100");
	CHECK_TALLY(3, "", said, "events", "-p", pid_of(&holder));
	CHECK_TALLY(3, "", said, "buffers", "-p", pid_of(&holder));
	CHECK_TALLY(0, "in 1 buffer\n", said, "buffers");
	CHECK_TALLY(0, "in 1 buffer\n", "", "buffers", "-p", pid_of(&job));
	CHECK_TALLY(0, "100", said, "events", "-n", "1");
	job_end_well(&job);
	end_holder(&chip);
}

static void map_it(void *arg)
{
	int fd = open(chip_path(77), O_RDWR | O_CLOEXEC);

	(void)arg;
	CHILD_CHECK(mmap(NULL, CHIP_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) != MAP_FAILED);
	close(fd);
}

static void rest(void *arg)
{
	(void)arg;
	pause();
}

/* The failure: processes of other PID namespaces look dead by their ids. */
static void who_lives_where_its_pid_is_not_known_is_an_upper_bound(void **state)
{
	struct chip_bytes chip = chip_new(4, 77, 3);
	json_t *json;
	pid_t pid;

	(void)state;
	chip_slot(&chip, 6, CHIP_NOBODY, "in a container", BYTES(1 << 20, (uint64_t)-5));
	chip_write(&chip, 77);
	pid = start_child(map_it, rest, NULL);
	CHECK_TALLY(0, "  dram      >=0 B", "", "devices");
	CHECK_TALLY(0, ">=0 B", "higher than what its living processes account for", "ps");
	CHECK_TALLY(7, "between 0 B and 1.00 MiB (1,048,576 bytes) held", "", "check", "--max-live",
		    "1KiB");
	json = json_parse(CHECK_TALLY(0, NULL, NULL, "devices", "--json").out);
	json = json_device(json, 3);
	assert_int_equal(json_number(json, "pools/dram/live_bytes"), 0);
	assert_int_equal(json_number(json, "pools/dram/live_bytes_high"), 1 << 20);
	assert_int_equal(json_number(json, "pools/l1/live_bytes_high"), 0);
	kill(pid, SIGKILL);
	assert_int_equal(wait_status(pid), -SIGKILL);
	CHECK_TALLY(3, "", "nothing to show", "check", "--max-live", "1KiB");
	chip_unchanged(&chip, chip_path(77));
}

static void a_run_is_about_its_own_processes_alone(void **state)
{
	struct chip_bytes chip = one_holder();
	json_t *json = run_json(LIST("true"), 0);

	(void)state;
	assert_null(json_device(json, 3));
	assert_int_equal(json_processes(json, holder.pid, NULL), 0);
	end_holder(&chip);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(ps_shows_bytes_and_says_totals_only),
		TEST(a_process_is_found_by_its_pid_and_its_device),
		TEST(devices_show_pools_and_processes),
		TEST(json_has_null_for_what_is_not_known),
		TEST(of_a_device_known_both_ways_counts_are_of_nobody),
		TEST(check_judges_them_and_says_what_is_not_known),
		TEST(doctor_says_which_files_cannot_be_read_and_what_to_do),
		TEST(who_has_no_records_is_not_waited_for),
		TEST(who_lives_where_its_pid_is_not_known_is_an_upper_bound),
		TEST(a_run_is_about_its_own_processes_alone),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
