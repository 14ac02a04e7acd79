/* SPDX-License-Identifier: Apache-2.0 */
/* Fuzz target: a consumer opens a directory with a mutated region in it.
 *
 *	byte 0   what lies there (enum lying); bit 3: a region that is joined; bit 4: the
 *	         name of one
 *	byte 1   the consumer's options, bit by bit (enum wish)
 *	byte 2   bit n: process entry n lives
 *	byte 3   the run that is asked for, if one is
 */
#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

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
	fuzz_check_snapshot(now, hostile->may_be_joined);
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
	hostile_make(&hostile, data[0] >> 3 & 1, data[0] >> 4 & 1, data[2]);
	for (n = 0; fuzz_op(data, size, n, &op); n++) {
		hostile.may_be_cut = cut && op.what != FUZZ_GEOMETRY;
		if (op.what == FUZZ_JOIN && !cut)
			hostile_join(&hostile, op.a & 1);
		else
			hostile_apply(&hostile, &op, 0);
	}
	put_instead(&hostile, data[0] % 8);
	if (data[1] & WISH_JOIN && !cut)
		hostile_join(&hostile, false);
	look(&hostile, data[1], data[3]);
	if (data[0] % 8 == LYING_DIR)
		rmdir(hostile.path);
	hostile_free(&hostile);
	fuzz_check_descriptors();
	return 0;
}
