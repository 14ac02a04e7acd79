/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzz target: a consumer opens a directory with a mutated region in it.
 *
 *	byte 0   what lies there (enum lying); bit 3: a region that is joined
 *	byte 1   the consumer's options, bit by bit (enum wish)
 *	byte 2   bit n: process entry n lives
 *	byte 3   the run that is asked for, if one is
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ring/cells.h"
#include "ring/join.h"
#include "ring/lane.h"
#include "ring/shared.h"
#include "tests/fuzz/fuzz.h"

enum lying { LYING_FIFO = 4, LYING_DIR, LYING_LINK, LYING_KINDS };

enum wish {
	WISH_RECORDS = 1,
	WISH_FROM_START = 2,
	WISH_REMOVE = 4,
	WISH_NAME = 8,
	WISH_PID = 16,
	WISH_RUN = 32,
	WISH_LEND = 64,
	WISH_JOIN = 128,
};

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc;
	(void)argv;
	fuzz_begin();
	return 0;
}

/* Something else under the name of a region. */
static void put_instead(const struct hostile *hostile, enum lying lying)
{
	if (lying < LYING_FIFO || lying >= LYING_KINDS)
		return;
	unlink(hostile->path);
	if (lying == LYING_FIFO)
		FUZZ_CHECK(mkfifo(hostile->path, 0600) == 0);
	else if (lying == LYING_DIR)
		FUZZ_CHECK(mkdir(hostile->path, 0700) == 0);
	else
		FUZZ_CHECK(symlink("/dev/zero", hostile->path) == 0);
}

static void count(struct region *region)
{
	struct cells cells = cells_of(region, region->entry);

	cells_push(&cells, TALLY_KIND_ALLOC, 1, 2, 3, 0);
	cells_push(&cells, TALLY_KIND_POOL_RESET, 65535, 255, 3, UINT64_MAX);
}

/* By all ways: the shared cells, the shared ring and a lane. */
static void push(struct region *region)
{
	static struct lane_writer writers[1 << GEOMETRY_LANES_LOG2_MAX];
	struct shared_ring ring = shared_of(region, region->entry);
	struct shared_event event = { .kind = TALLY_KIND_ALLOC, .size = 5 };
	struct lane_event lane_event = { .kind = TALLY_KIND_FREE, .size = 3 };
	struct lane_writer *writer = lane_claim(region, writers, region->entry, 1, 0);
	const struct lane_target *target;
	uint64_t ticket = 0;
	int n;

	count(region);
	for (n = 0; n < 4 && (shared_ready(&ring) || shared_reserve(&ring)); n++)
		shared_push(&ring, &event, &ticket);
	target = writer ? lane_target(writer, 1, 2) : NULL;
	for (n = 0; n < 4 && target; n++)
		lane_push(writer, target, &lane_event);
	if (writer) {
		lane_leave(writer);
		memset(writer, 0, sizeof(*writer));
	}
}

/* What a process that was lent the region does, and one that joins it. */
static void join(const struct hostile *hostile)
{
	struct region_config config = { .dir = fuzz_dir, .name = hostile->name };
	struct region region;

	if (region_open_shared(fuzz_dir, hostile->name, 0, NULL, &region) == 0) {
		count(&region);
		munmap(region.base, region.at.size);
	}
	if (join_region(&config, &region) == 0) {
		push(&region);
		munmap(region.base, region.at.size);
	}
}

static void look(const struct hostile *hostile, uint8_t wishes, uint64_t run_id)
{
	struct tally_consumer_options options = {
		.dir = fuzz_dir,
		.read_records = wishes & WISH_RECORDS,
		.from_start = wishes & WISH_FROM_START,
		.remove_ended = wishes & WISH_REMOVE,
		.lend_region = wishes & WISH_LEND,
		.name = wishes & WISH_NAME ? hostile->name : NULL,
		.pid = wishes & WISH_PID ? 1 : 0,
		.run_id = wishes & WISH_RUN ? run_id : 0,
		.refused = fuzz_refused,
	};
	struct tally_consumer *consumer;
	const struct tally_snapshot *now;
	int error = tally_consumer_open(&options, &consumer);
	bool all = !options.name && !options.pid && !options.run_id;

	FUZZ_CHECK(error == 0 || !all);
	if (error) {
		FUZZ_CHECK(error == -EINVAL || error == -EPROTO || error == -EBADMSG ||
			   error == -EACCES || error == -ENOENT);
		return;
	}
	now = tally_snapshot_get(consumer);
	fuzz_check_snapshot(now);
	if (all)
		fuzz_check_sound(now, false);
	tally_snapshot_put(now);
	tally_consumer_close(consumer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct hostile hostile;
	struct fuzz_op op;
	bool cut = false;
	size_t n;

	if (size < FUZZ_CONFIG)
		return -1;
	tally_consumer_guard(); /* libFuzzer's handlers are set by now */
	for (n = 0; fuzz_op(data, size, n, &op); n++)
		cut = cut || op.what == FUZZ_CUT;
	hostile_make(&hostile, data[0] >> 3 & 1, data[2]);
	for (n = 0; fuzz_op(data, size, n, &op); n++) {
		hostile.may_be_cut = cut && op.what != FUZZ_GEOMETRY;
		hostile_apply(&hostile, &op, 0);
	}
	put_instead(&hostile, data[0] % 8);
	if (data[1] & WISH_JOIN && !cut)
		join(&hostile);
	look(&hostile, data[1], data[3]);
	if (data[0] % 8 == LYING_DIR)
		rmdir(hostile.path);
	hostile_free(&hostile);
	fuzz_check_descriptors();
	return 0;
}
