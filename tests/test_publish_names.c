/* SPDX-License-Identifier: Apache-2.0 */
/* Which file a device is published in: its number's, or that of the chip as this user's processes
 * describe it; whatever others say, and as long as it is published.
 * sanitizers: address */
#include <sys/stat.h>
#include <tally/proxy.h>

#include "tests/child.h"
#include "tests/cli.h"
#include "tests/publish.h"

#define NOBODY 65534

static struct tally_consumer *consumer;

static void look_and_publish(void)
{
	const struct tally_snapshot *now = watch_look(consumer);

	assert_int_equal(publish_update(publishing, now), 0);
	watch_put(now);
}

/* A region of that user's, in which a process holds so much on device 3. */
static struct tally_proxy *region_of(uid_t uid, int64_t bytes)
{
	struct tally_proxy_options options = { .dir = test_dir };
	struct tally_proxy_client *client;
	struct tally_proxy *proxy;

	assert_int_equal(seteuid(uid), 0);
	assert_int_equal(tally_proxy_open(&options, &proxy), 0);
	assert_int_equal(seteuid(0), 0);
	assert_int_equal(tally_proxy_begin(proxy, 100000 + uid, "made up", &client), 0);
	tally_proxy_alloc(client, 3, TALLY_POOL_DRAM, 1, (uint64_t)bytes);
	return proxy;
}

static void describe(struct tally_proxy *proxy, const char *stable_id)
{
	struct tally_device_info info = { .name = "card", .stable_id = stable_id, .remote = true };

	assert_int_equal(tally_proxy_describe(proxy, 3, &info), 0);
}

static void begin_as_root(void)
{
	struct tally_consumer_options all = { .all_users = true };

	if (geteuid() != 0)
		SKIP("only root can be two users");
	assert_int_equal(chmod(test_dir, 01777), 0);
	assert_int_equal(watch_open(&all, &consumer), 0);
	publish_begin(4);
}

static void what_other_users_describe_chooses_no_file(void **state)
{
	struct tally_proxy *theirs, *ours, *later;

	(void)state;
	begin_as_root();
	theirs = region_of(NOBODY, 100);
	describe(theirs, "777");
	look_and_publish();
	assert_int_equal(access(chip_path(777), F_OK), -1);
	assert_int_equal(json_number(publish_read(3), "totals/dram"), 100);
	assert_int_equal(json_number(publish_read(3), "chips/0/is_remote"), 0);
	publish_end();
	/* ours is the one that counts, though theirs came last */
	publish_begin(4);
	ours = region_of(0, 20);
	describe(ours, "778");
	look_and_publish();
	later = region_of(NOBODY, 3);
	describe(later, "779");
	publish_end();
	unlink(chip_path(778));
	publish_begin(4);
	look_and_publish();
	assert_int_equal(access(chip_path(777), F_OK), -1);
	assert_int_equal(access(chip_path(779), F_OK), -1);
	assert_int_equal(json_number(publish_read(778), "totals/dram"), 123);
	assert_int_equal(json_number(publish_read(778), "chips/0/is_remote"), 1);
	assert_int_equal(lines, 0);
	publish_end();
	tally_proxy_close(theirs);
	tally_proxy_close(ours);
	tally_proxy_close(later);
}

static void other_users_files_keep_no_device_from_being_published(void **state)
{
	struct chip_bytes chip = chip_new(4, 777, 3);
	struct tally_proxy *ours;

	(void)state;
	begin_as_root();
	ours = region_of(0, 20);
	chip_slot(&chip, 0, (uint32_t)getpid(), "lives", BYTES(1000));
	chip_write(&chip, 777);
	assert_int_equal(chown(chip_path(777), NOBODY, NOBODY), 0);
	look_and_publish();
	assert_int_equal(json_number(publish_read(3), "totals/dram"), 20);
	assert_int_equal(lines, 0);
	/* one of ours does */
	assert_int_equal(chown(chip_path(777), 0, 0), 0);
	look_and_publish();
	assert_int_equal(json_number(publish_read(3), "totals/dram"), 0);
	check_contains(said, "a runtime publishes its totals by itself");
	chip_unchanged(&chip, chip_path(777));
	publish_end();
	tally_proxy_close(ours);
}

/* ---- By hand --------------------------------------------------------------------------------- */

static void a_device_stays_in_the_file_that_it_was_published_in(void **state)
{
	int round;

	(void)state;
	publish_begin(4);
	publish_named(3, "555", 50);
	for (round = 0; round < 3; round++) {
		publish_named(3, "777", 60 + round);
		assert_int_equal(json_number(publish_read(555), "totals/dram"), 60 + round);
		assert_int_equal(access(chip_path(777), F_OK), -1);
	}
	assert_int_equal(lines, 1);
	assert_string_equal(said, text("device 3 stays in %s as long as it is published, though "
				       "it is described as chip 777 by now",
				       chip_path(555)));
	publish_named(3, NULL, 70); /* who described it has gone */
	assert_int_equal(json_number(publish_read(555), "totals/dram"), 70);
	assert_int_equal(access(chip_path(3), F_OK), -1);
	assert_int_equal(lines, 1);
	publish_end();
}

static void of_two_devices_the_one_described_as_the_chip_has_its_file(void **state)
{
	(void)state;
	publish_begin(4);
	publish_named(7, NULL, 70); /* whose number is that of another's chip */
	publish_named(3, "7", 30);
	assert_int_equal(json_number(publish_read(7), "totals/dram"), 30);
	assert_int_equal(json_number(publish_read(7), "device_id"), 3);
	assert_int_equal(lines, 1);
	check_contains(said, "device 7 is not published");
	publish_named(7, NULL, 71);
	assert_int_equal(json_number(publish_read(7), "totals/dram"), 0); /* 3 has gone */
	assert_int_equal(json_number(publish_read(7), "device_id"), 3);
	assert_int_equal(lines, 1);
	publish_named(4, "7", 40); /* of equals, that which has it */
	publish_named(3, "7", 31);
	assert_int_equal(json_number(publish_read(7), "totals/dram"), 31);
	assert_int_equal(lines, 2);
	publish_end();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_other_users_describe_chooses_no_file),
		TEST(other_users_files_keep_no_device_from_being_published),
		TEST(a_device_stays_in_the_file_that_it_was_published_in),
		TEST(of_two_devices_the_one_described_as_the_chip_has_its_file),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
