/* SPDX-License-Identifier: Apache-2.0 */
/* `tally gateway --publish`: readers of the runtime's totals see what Tally sees.
 * sanitizers: address */
#include "tests/chip.h"
#include "tests/gateway.h"

#define DRAM_AT 48

/* A total of device `device` as an old reader has it: a copy by read(2); -1: no such file. */
static int64_t published(int device, size_t at)
{
	char *path = text("%s/tt_device_%d_memory", test_dir, device);
	size_t size;
	char *bytes;

	if (access(path, F_OK) != 0)
		return -1;
	bytes = read_file(path, &size);
	assert_int_equal(size, CHIP_SIZE);
	return (int64_t)chip_get64(bytes, at);
}

static void check_version(const char *option, const char *value, uint32_t version)
{
	struct job gateway = gateway_start(LIST(option, value));
	int client = gateway_connect();

	legacy_alloc(client, 128, 3, 0, 77, 1000);
	WAIT_FOR(published(3, DRAM_AT) == 1000);
	assert_int_equal(chip_get32(read_file(text("%s/tt_device_3_memory", test_dir), NULL), 0),
			 version);
	legacy_alloc(client, 128, 3, 0, 78, 24);
	WAIT_FOR(published(3, DRAM_AT) == 1024);
	legacy_free(client, 128, 3, 77);
	WAIT_FOR(published(3, DRAM_AT) == 24);
	close(client);			      /* what it held is nobody's */
	WAIT_FOR(published(3, DRAM_AT) <= 0); /* and after 5 s it is gone */
	client = gateway_connect();
	legacy_alloc(client, 72, 3, 0, 1, 5);
	WAIT_FOR(published(3, DRAM_AT) == 5);
	gateway_end(&gateway);
	assert_int_equal(published(3, DRAM_AT), -1); /* it was the gateway's own */
	close(client);
}

static void totals_of_clients_are_published_as_they_move(void **state)
{
	(void)state;
	check_version("--publish", NULL, 4);
	check_version("--publish-version", "3", 3);
}

static void totals_of_a_live_runtime_are_left_to_it(void **state)
{
	struct chip_bytes chip = chip_new(4, 3, 3);
	struct job gateway;
	int client;

	(void)state;
	chip_slot(&chip, 0, (uint32_t)getpid(), "runtime", BYTES(70));
	chip_write(&chip, 3);
	gateway = gateway_start(LIST("--publish"));
	client = gateway_connect();
	legacy_alloc(client, 112, 3, 0, 1, 1000);
	legacy_alloc(client, 112, 4, 0, 1, 2000);
	WAIT_FOR(published(4, DRAM_AT) == 2000);
	WAIT_FOR(strstr(gateway_said(&gateway), "not published: device 3"));
	assert_int_equal(published(3, DRAM_AT), 70);
	close(client);
	gateway_end(&gateway);
	assert_int_equal(published(3, DRAM_AT), 70);
	assert_int_equal(published(4, DRAM_AT), -1);
	unlink(text("%s/tt_device_3_memory", test_dir));
}

/* Who has the runtime leave the files to the gateway says so to all of a site. */
static void what_keeps_runtimes_from_publishing_keeps_no_gateway(void **state)
{
	struct job gateway;
	int client;

	(void)state;
	setenv("TT_METAL_SHM_TRACKING_DISABLED", "1", 1);
	gateway = gateway_start(LIST("--publish"));
	unsetenv("TT_METAL_SHM_TRACKING_DISABLED");
	client = gateway_connect();
	legacy_alloc(client, 128, 3, 0, 77, 1000);
	WAIT_FOR(published(3, DRAM_AT) == 1000);
	close(client);
	gateway_end(&gateway);
}

/* Numbers that a client sends make no files without an end. */
static void of_very_many_devices_some_are_published(void **state)
{
	struct job gateway = gateway_start(LIST("--publish"));
	int client = gateway_connect(), device, files = 0;

	(void)state;
	for (device = 0; device < 300; device++)
		legacy_alloc(client, 72, device, 0, 1, 10);
	assert_int_equal(legacy_ask(client, 72, 299).dram, 10);
	WAIT_FOR(strstr(gateway_said(&gateway), "nor are others: 256 are, the most"));
	WAIT_FOR(published(200, DRAM_AT) == 10);
	for (device = 0; device < 300; device++)
		files += unlink(text("%s/tt_device_%d_memory", test_dir, device)) == 0;
	assert_int_equal(files, 256);
	close(client);
	gateway_end(&gateway);
}

static void versions_that_are_none_are_refused(void **state)
{
	struct outcome outcome = run_tally(LIST("gateway", "--publish-version", "2"));

	(void)state;
	assert_int_equal(outcome.status, 2);
	check_contains(outcome.err, "--publish-version is 3 or 4, not \"2\"");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(totals_of_clients_are_published_as_they_move),
		TEST(totals_of_a_live_runtime_are_left_to_it),
		TEST(what_keeps_runtimes_from_publishing_keeps_no_gateway),
		TEST(of_very_many_devices_some_are_published),
		TEST(versions_that_are_none_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
