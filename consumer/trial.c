/* SPDX-License-Identifier: Apache-2.0 */
/* A trial region: made, filled, named, opened and removed by the calls everybody else uses. */
#include <tally/consumer.h>

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "consumer/attach.h"
#include "consumer/exclude.h"
#include "ring/clock.h"
#include "ring/region.h"

static int reserve_lane(struct region *region)
{
	const struct geometry *at = &region->at;
	int error = region_reserve_all(region, at->lane_at, TALLY_PAGE);

	if (!error && at->ring_stride)
		error = region_reserve_all(region, at->ring_at, at->ring_stride);
	return error;
}

static int open_and_ask(const char *dir, const struct region *region, struct tally_trial *trial)
{
	int dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct region_view view;
	char why[REGION_WHY_MAX];
	int error = dir_fd < 0 ? -errno : region_open(dir_fd, region->name, &view, why);

	trial->failed = TALLY_TRIAL_OPEN;
	if (dir_fd >= 0)
		close(dir_fd);
	if (error)
		return error;
	trial->failed = TALLY_TRIAL_ALIVE;
	error = region_alive(&view, 0);
	region_close(&view);
	if (error == 1)
		return 0;
	return error ? error : -ENOLCK;
}

static int try_steps(const char *dir, struct region *region, struct tally_trial *trial)
{
	int error;

	trial->failed = TALLY_TRIAL_RECORDS;
	error = reserve_lane(region);
	if (error) {
		region_discard(region);
		return error;
	}
	trial->failed = TALLY_TRIAL_NAME;
	error = region_publish(region);
	if (error) {
		region_discard(region);
		return error;
	}
	error = open_and_ask(dir, region, trial);
	region_unlink(region);
	munmap(region->base, region->at.size);
	return error;
}

static void try_all(const char *dir, struct tally_trial *trial)
{
	struct tally_region_header wanted = {
		.ring_log2 = GEOMETRY_RING_LOG2,
		.lanes_log2 = GEOMETRY_LANES_LOG2,
		.lane_cells_log2 = GEOMETRY_CELLS_LOG2,
		.shared_cells_log2 = GEOMETRY_CELLS_LOG2,
		.devices_log2 = GEOMETRY_DEVICES_LOG2,
		.tags_log2 = GEOMETRY_TAGS_LOG2,
	};
	struct region_config config = {
		.dir = dir,
		.ring_log2 = GEOMETRY_RING_LOG2,
		.lanes_log2 = GEOMETRY_LANES_LOG2,
	};
	struct geometry at = { 0 };
	struct region region;

	geometry_compute(&wanted, &at);
	trial->clock = clock_choose();
	trial->address_bytes = at.size;
	trial->totals_bytes = at.process_at + TALLY_PAGE;
	trial->records_bytes = at.ring_stride + TALLY_PAGE;
	trial->failed = TALLY_TRIAL_MAKE;
	trial->error = region_create(&config, &region);
	if (trial->error)
		return;
	trial->region_flags = ((const struct tally_region_header *)region.base)->flags;
	trial->error = try_steps(dir, &region, trial);
	if (!trial->error)
		trial->failed = TALLY_TRIAL_NONE;
}

int tally_trial(const char *dir, struct tally_trial *ret_trial)
{
	struct tally_trial trial = { 0 };

	exclude_begin();
	try_all(attach_dir(dir), &trial);
	exclude_end();
	*ret_trial = trial;
	return trial.error;
}
