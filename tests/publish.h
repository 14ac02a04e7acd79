/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of publishing share: a publisher with its lines kept, snapshots made by hand. */
#ifndef TESTS_PUBLISH_H
#define TESTS_PUBLISH_H

#include <tally/tally.h>

#include "consumer/gateway/publish.h"
#include "tests/chip.h"
#include "tests/watch.h"

static struct publish *publishing;
static char said[1024];
static int lines;

static inline void keep_line(void *arg, const char *line)
{
	(void)arg;
	snprintf(said, sizeof(said), "%s", line);
	lines++;
}

static inline void publish_let_go(void)
{
	publish_close(publishing);
	publishing = NULL;
	watch_let_go();
}

static inline void publish_begin(uint32_t version)
{
	said[0] = '\0';
	lines = 0;
	assert_int_equal(publish_open(test_dir, version, keep_line, NULL, &publishing), 0);
	test_let_go = publish_let_go;
}

static inline void publish_end(void)
{
	publish_close(publishing);
	publishing = NULL;
}

/* ---- Snapshots by hand ----------------------------------------------------------------------- */

#define MADE_MAX 80

/* One device, so many processes of one pool each. */
struct made {
	struct tally_snapshot snapshot;
	struct tally_device_view device;
	struct tally_process_view processes[MADE_MAX];
	struct tally_pool_view pools[MADE_MAX * 2];
};

static inline void made_begin(struct made *made, uint32_t device)
{
	memset(made, 0, sizeof(*made));
	made->device.device = device;
	made->snapshot.devices = &made->device;
	made->snapshot.device_count = 1;
	made->snapshot.processes = made->processes;
	made->snapshot.process_pools = made->pools;
	made->snapshot.realtime_ns = 1800000000000000000u;
}

static inline void made_process(struct made *made, uint32_t pid, const char *comm)
{
	struct tally_process_view *process = &made->processes[made->snapshot.process_count++];

	process->pid = pid;
	snprintf(process->comm, sizeof(process->comm), "%s", comm);
	process->first_pool = made->snapshot.process_pool_count;
}

/* Of the process that was made last. */
static inline void made_pool(struct made *made, uint32_t pool, int64_t bytes)
{
	struct tally_pool_view *view = &made->pools[made->snapshot.process_pool_count++];

	view->device = made->device.device;
	view->pool = pool;
	view->totals.live_bytes = view->totals.live_bytes_high = bytes;
	made->processes[made->snapshot.process_count - 1].pool_count++;
}

/* One process that holds so much DRAM. */
static inline void publish_dram(uint32_t device, uint32_t pid, int64_t bytes)
{
	struct made made;

	made_begin(&made, device);
	made_process(&made, pid, "made");
	made_pool(&made, TALLY_POOL_DRAM, bytes);
	assert_int_equal(publish_update(publishing, &made.snapshot), 0);
}

/* Likewise; this user's processes describe it, unless that is NULL. */
static inline void publish_named(uint32_t device, const char *stable_id, int64_t bytes)
{
	struct made made;

	made_begin(&made, device);
	made.device.described = made.device.described_own = stable_id != NULL;
	snprintf(made.device.stable_id, sizeof(made.device.stable_id), "%s",
		 stable_id ? stable_id : "");
	made_process(&made, 100001, "made");
	made_pool(&made, TALLY_POOL_DRAM, bytes);
	assert_int_equal(publish_update(publishing, &made.snapshot), 0);
}

/* What a reader that has nothing of ours says of the file. */
static inline json_t *publish_read(uint64_t chip_id)
{
	struct outcome outcome = RUN(SOURCE_DIR "/tests/chip_totals.py", "dump",
				     chip_path(chip_id));

	if (outcome.status != 0)
		fail_msg("%s", outcome.err);
	return json_parse(outcome.out);
}

#endif
