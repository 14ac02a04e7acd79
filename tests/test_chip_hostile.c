/* SPDX-License-Identifier: Apache-2.0 */
/* Files of a runtime's totals that lie, are cut, grow or are no files: an error, never a crash, and
 * never a wrong sum of something else.
 *
 * sanitizers: address
 */
#include <fcntl.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <tally/atomic.h>
#include <tally/tally.h>

#include "tests/chip.h"
#include "tests/rig.h"
#include "tests/watch.h"

/* A sound region beside them, which must stay exact. */
static struct rig sound;
static struct tally_consumer *consumer;

static void begin(void)
{
	sound = rig_make(6, 0);
	rig_alloc(rig_claim(&sound, 1, 0), 900, TALLY_POOL_SYSTEM, 1, 4711);
	assert_int_equal(watch_open(NULL, &consumer), 0);
}

static const struct tally_snapshot *look(void)
{
	const struct tally_snapshot *now = watch_look(consumer);
	const struct tally_totals *totals = &watch_pool(now, 900, TALLY_POOL_SYSTEM)->totals;

	assert_int_equal(totals->live_bytes, 4711);
	assert_int_equal(totals->live_bytes_high, 4711);
	assert_int_equal(totals->allocations, 1);
	assert_false(now->processes[0].totals_only);
	watch_check(now);
	return now;
}

static void end(void)
{
	watch_let_go();
	rig_free(&sound);
}

static uint64_t random_word(uint64_t *seed)
{
	return mix((*seed)++);
}

static void any_bytes_of_any_length_are_read_or_refused(void **state)
{
	uint64_t seed = 20250729;
	size_t refused = 0, shown = 0;
	int round;

	(void)state;
	begin();
	for (round = 0; round < 3000; round++) {
		struct chip_bytes chip = chip_new(2 + (uint32_t)round % 3, 12, 3);
		const struct tally_snapshot *now;
		size_t size = CHIP_SIZE, n, changes;

		chip_slot(&chip, 0, (uint32_t)getpid(), "here", BYTES(1, 2, 3, 4, 5));
		changes = random_word(&seed) % 64;
		if (round % 7 == 0) /* nothing of it is left */
			for (n = 0; n < CHIP_SIZE; n += 8)
				chip_put64(&chip, n, random_word(&seed));
		if (round % 14 == 0)
			chip_put32(&chip, 0, 2); /* but it passes for one */
		if (round % 28 == 0)
			chip_put32(&chip, 40, 5);
		for (n = 0; n < changes; n++) {
			uint64_t word = random_word(&seed);
			/* mostly behind what would have it refused */
			size_t at = (word >> 8) % CHIP_SIZE;

			if (word % 8)
				at = 48 + (word >> 8) % (8536 - 48);

			chip.at[at] = (unsigned char)(word >> 40);
		}
		if (round % 5 == 0)
			size = random_word(&seed) % (CHIP_SIZE + 1000);
		chip_write_size(&chip, 12, size);
		now = look();
		refused += now->refused_files;
		shown += now->device_count > 1;
		assert_true(now->refused_files == 1 || now->device_count == 2);
		watch_put(now);
	}
	assert_true(refused > 300 && shown > 300);
	end();
}

static uint64_t stop;

static void *cut_and_grow(void *arg)
{
	static const off_t sizes[] = { 0, 3, 4096, CHIP_SIZE - 1, CHIP_SIZE, CHIP_SIZE + 1, 65536 };
	const struct chip_bytes *chip = arg;
	int fd = open(chip_path(12), O_RDWR | O_CLOEXEC);
	uint64_t seed = 1;

	while (!tally_load_relaxed(&stop)) {
		if (ftruncate(fd, sizes[random_word(&seed) % COUNT(sizes)]) != 0 ||
		    pwrite(fd, chip->at, CHIP_SIZE, 0) != CHIP_SIZE)
			break;
	}
	close(fd);
	return NULL;
}

static void a_file_that_is_cut_and_grows_while_it_is_read_is_no_fault(void **state)
{
	struct chip_bytes chip = chip_new(4, 12, 3);
	size_t seen[2] = { 0, 0 };
	pthread_t thread;

	(void)state;
	begin();
	chip_slot(&chip, 0, (uint32_t)getpid(), "here", BYTES(77));
	chip_write(&chip, 12);
	assert_int_equal(pthread_create(&thread, NULL, cut_and_grow, &chip), 0);
	while (seen[0] < 100 || seen[1] < 100) {
		const struct tally_snapshot *now = look();

		if (!now->refused_files)
			assert_int_equal(watch_pool(now, 3, 0)->totals.live_bytes, 77);
		seen[now->refused_files]++;
		watch_put(now);
	}
	tally_store_relaxed(&stop, 1);
	pthread_join(thread, NULL);
	end();
}

static uint32_t refused_now(void)
{
	const struct tally_snapshot *now = look();
	uint32_t refused = now->refused_files;

	watch_put(now);
	return refused;
}

static void what_is_no_file_is_refused_and_not_waited_for(void **state)
{
	struct chip_bytes chip = chip_new(4, 12, 3);
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	char *path = chip_path(12);
	int fd;

	(void)state;
	begin();
	assert_int_equal(refused_now(), 0);
	assert_int_equal(mkfifo(path, 0600), 0);
	assert_int_equal(refused_now(), 1);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(mkdir(path, 0700), 0);
	assert_int_equal(refused_now(), 1);
	assert_int_equal(rmdir(path), 0);
	chip_slot(&chip, 0, (uint32_t)getpid(), "elsewhere", BYTES(77));
	write_file(text("%s/elsewhere", test_tmp), chip.at, CHIP_SIZE);
	assert_int_equal(symlink(text("%s/elsewhere", test_tmp), path), 0);
	assert_int_equal(refused_now(), 1);
	assert_int_equal(unlink(path), 0);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	close(fd);
	assert_int_equal(refused_now(), 1);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(refused_now(), 0);
	/* other names are nobody's business */
	write_file(text("%s/tt_device__memory", test_dir), "x", 1);
	write_file(text("%s/tt_device_-1_memory", test_dir), "x", 1);
	write_file(text("%s/tt_device_01_memory", test_dir), "x", 1);
	write_file(text("%s/tt_device_1_memory2", test_dir), "x", 1);
	write_file(text("%s/tt_device_99999999999999999999999_memory", test_dir), "x", 1);
	assert_int_equal(refused_now(), 0);
	end();
}

/* The largest chip id has a name, too. */
static void a_file_that_comes_and_goes_is_followed(void **state)
{
	struct chip_bytes chip = chip_new(4, UINT64_MAX, 65535);
	const struct tally_snapshot *now;
	int round;

	(void)state;
	begin();
	for (round = 0; round < 10; round++) {
		chip_put64(&chip, 48, 0);
		chip_slot(&chip, 0, (uint32_t)getpid(), "here", BYTES(100 + (uint64_t)round));
		chip_write(&chip, UINT64_MAX);
		now = look();
		assert_int_equal(watch_pool(now, 65535, 0)->totals.live_bytes, 100 + round);
		watch_put(now);
		assert_int_equal(unlink(chip_path(UINT64_MAX)), 0);
		now = look();
		assert_int_equal(now->device_count, 1);
		watch_put(now);
	}
	end();
}

static size_t told, told_of_more;

static void count_refusals(void *arg, const struct tally_refusal *refusal)
{
	(void)arg;
	told++;
	told_of_more += strstr(refusal->message, "more than 1,024") != NULL;
}

/* Files of so many names, that are no totals; uid: whose, 0: ours. */
static void make_files(int from, int until, uid_t uid)
{
	for (; from < until; from++) {
		char *path = chip_path((uint64_t)from);

		write_file(path, "x", 1);
		if (uid)
			assert_int_equal(chown(path, uid, uid), 0);
	}
}

/* Anybody can make files of such names; they cost neither time nor memory without an end. */
static void files_by_the_thousand_are_not_all_taken_note_of(void **state)
{
	struct tally_consumer_options options = { .refused = count_refusals };
	struct tally_consumer *other;

	(void)state;
	told = told_of_more = 0;
	make_files(0, 1100, 0);
	assert_int_equal(watch_open(&options, &other), 0);
	assert_int_equal(told, 1025);
	assert_int_equal(told_of_more, 1);
	watch_put(watch_look(other));
	assert_int_equal(told, 1025);
	watch_close(other);
}

static void other_users_files_take_no_room(void **state)
{
	struct tally_consumer_options options = { .refused = count_refusals };
	struct tally_consumer *other;

	(void)state;
	if (geteuid() != 0)
		SKIP("no files of others can be made");
	told = told_of_more = 0;
	make_files(0, 1100, 65534);
	make_files(1100, 1103, 0);
	assert_int_equal(watch_open(&options, &other), 0);
	assert_int_equal(told, 3);
	assert_int_equal(told_of_more, 0);
	watch_close(other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(any_bytes_of_any_length_are_read_or_refused),
		TEST(a_file_that_is_cut_and_grows_while_it_is_read_is_no_fault),
		TEST(what_is_no_file_is_refused_and_not_waited_for),
		TEST(a_file_that_comes_and_goes_is_followed),
		TEST(files_by_the_thousand_are_not_all_taken_note_of),
		TEST(other_users_files_take_no_room),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
