/* SPDX-License-Identifier: Apache-2.0 */
/* Published 10^5 times while others read: by read(2), and by a mapping. Each number that they see
 * is whole, and one that was true.
 *
 * sanitizers: address
 */
#include <fcntl.h>
#include <sys/mman.h>
#include <tally/atomic.h>

#include "tests/child.h"
#include "tests/publish.h"

#define UPDATES 100000
#define LOOKS 20000
#define BOTH_HALVES 0x100000001ull /* times k: torn ones have two different halves */

enum { GROWING = 1, SHRINKING = 2, OVER = 3 };

/* In memory that the reader shares. */
static struct {
	uint64_t phase;
	uint64_t looks; /* that the reader has made in it */
} * shared;

static const uint32_t pools[5] = { TALLY_POOL_DRAM, TALLY_POOL_L1, TALLY_POOL_L1_SMALL,
				   TALLY_POOL_TRACE, TALLY_POOL_CB };

static bool is_whole(uint64_t value)
{
	return value >> 32 == (value & 0xffffffff);
}

/* While all grows, what slots hold is read first, and is at no time more than the total that is
 * read then; while all shrinks the other way round. */
static void look(const uint64_t *file, uint64_t phase)
{
	size_t pool, slot;

	for (pool = 0; pool < 5; pool++) {
		uint64_t first = tally_load_first(&file[48 / 8 + pool]), sum = 0, last;

		for (slot = 0; slot < 3; slot++) {
			uint64_t bytes = tally_load_first(&file[(856 + slot * 120 + 8) / 8 + pool]);

			CHILD_CHECK(is_whole(bytes));
			sum += bytes;
		}
		last = tally_load_first(&file[48 / 8 + pool]);
		CHILD_CHECK(is_whole(first) && is_whole(last));
		if (tally_load_first(&shared->phase) != phase)
			return;
		CHILD_CHECK(phase == GROWING ? sum <= last && first <= last
					     : sum <= first && last <= first);
	}
}

static void watch_mapped(void)
{
	int fd = open(chip_path(3), O_RDONLY | O_CLOEXEC);
	const uint64_t *file = mmap(NULL, CHIP_SIZE, PROT_READ, MAP_SHARED, fd, 0);

	CHILD_CHECK(file != MAP_FAILED);
	for (;;) {
		uint64_t phase = tally_load_first(&shared->phase);

		if (phase == OVER)
			_exit(0);
		look(file, phase);
		tally_add_relaxed(&shared->looks, 1);
	}
}

/* Three processes, whose parts add up to k in every pool. */
static void publish_k(uint64_t k)
{
	static struct made made;
	uint64_t parts[3] = { k / 3, (k + 1) / 3, (k + 2) / 3 };
	size_t n, pool;

	made_begin(&made, 3);
	for (n = 0; n < 3; n++) {
		made_process(&made, 100001 + (uint32_t)n, "growing");
		for (pool = 0; pool < 5; pool++)
			made_pool(&made, pools[pool], (int64_t)(parts[n] * BOTH_HALVES));
	}
	assert_int_equal(publish_update(publishing, &made.snapshot), 0);
}

static void readers_see_whole_numbers_that_were_true_whatever_the_moment(void **state)
{
	struct job reader;
	struct outcome outcome;
	uint64_t k, most;
	pid_t pid;

	(void)state;
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	publish_begin(4);
	publish_k(0);
	tally_store_relaxed(&shared->phase, GROWING);
	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		watch_mapped();
	}
	reader = START(SOURCE_DIR "/tests/chip_totals.py", "watch", chip_path(3));
	assert_string_equal(job_line(&reader), "watching");
	for (k = 1; k <= UPDATES || tally_load_relaxed(&shared->looks) < LOOKS; k++)
		publish_k(k);
	most = k - 1;
	outcome = job_end(&reader);
	if (outcome.status != 0)
		fail_msg("%s%s", outcome.out, outcome.err);
	assert_true(atoi(outcome.out) > 100);
	tally_store_relaxed(&shared->looks, 0);
	tally_store_relaxed(&shared->phase, SHRINKING);
	for (k = most; k-- > 0;)
		publish_k(k);
	for (k = 1; tally_load_relaxed(&shared->looks) < LOOKS; k++)
		pause_a_moment();
	tally_store_relaxed(&shared->phase, OVER);
	assert_int_equal(wait_status(pid), 0);
	assert_int_equal(lines, 0);
	publish_end();
	munmap(shared, sizeof(*shared));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(readers_see_whole_numbers_that_were_true_whatever_the_moment),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
