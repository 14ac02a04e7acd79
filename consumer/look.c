/* SPDX-License-Identifier: Apache-2.0 */
/* One look: each region is read, what its processes are known to hold added up, and the sum
 * published. */
#include "consumer/look.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "consumer/cursor.h"
#include "consumer/guard.h"
#include "consumer/hold.h"
#include "consumer/read.h"
#include "consumer/totals.h"

#define HURRIES_MAX 8

/* A file that was cut sends SIGBUS to whoever reads it, unless there is a guard. */
static bool is_cut(struct region_watch *region)
{
	struct region_view *view = &region->view;
	struct stat status;

	if (fstat(view->fd, &status) == 0 && status.st_dev == view->dev &&
	    status.st_ino == view->ino)
		return (uint64_t)status.st_size < view->at.size;
	/* The host has closed it, as daemons do; the number may be a file's of its own by now. */
	view->fd = -1;
	return true;
}

/* ---- Reading one region ---------------------------------------------------------------------- */

/* What comes after the last process: the file is removed, the mapping given back. A joined region
 * can be joined again as long as it has its name. */
static void end_region(struct look *look, struct region_watch *region)
{
	if (look->attach.options.remove_ended)
		attach_unlink(&look->attach, region);
	if (read_is_over(region))
		watch_let_go(region);
}

/* Reads one region. Each lock is asked before: when it is gone, what is read is final. -EBADMSG: it
 * was cut meanwhile. */
static int watch(struct look *look, struct region_watch *region)
{
	int error = -EBADMSG;

	if (region->cut || is_cut(region))
		return error;
	region->last = look->last;
	guard_begin(&region->view);
	if (look->attach.options.hold)
		hold_try(region, dirfd(look->attach.dir));
	error = read_region(&look->attach.options, region);
	if (guard_end())
		return -EBADMSG;
	if (!error)
		error = list_rows(&look->attach, region);
	if (!error && !region->alive && (!region->unsettled || read_is_over(region)))
		end_region(look, region);
	return error; /* short of memory: once more, next time */
}

static int watch_all(struct look *look)
{
	struct attach *attach = &look->attach;
	size_t n;
	int error = 0;

	for (n = 0; n < attach->process_count; n++)
		attach->processes[n]->ended_before = attach->processes[n]->ended;
	n = attach->region_count;
	while (n-- > 0) { /* backwards, as a broken one is dropped */
		struct region_watch *region = attach->regions[n];

		if (!region->view.base)
			continue;
		switch (watch(look, region)) {
		case 0:
			break;
		case -EBADMSG:
			attach_reject(attach, region,
				      "was cut while it was read, or its descriptor closed");
			break;
		default:
			error = -ENOMEM;
		}
	}
	return error;
}

/* ---- Adding up ------------------------------------------------------------------------------- */

static int by_id(const void *a, const void *b)
{
	uint64_t one = (*(struct process *const *)a)->said.region_id;
	uint64_t other = (*(struct process *const *)b)->said.region_id;

	return (one > other) - (one < other);
}

/* All rows by their id, made when the first is asked for. NULL: no memory. */
static struct process **index_of(struct look *look)
{
	size_t count = look->attach.process_count;

	if (look->index)
		return look->index;
	look->index = malloc((count ? count : 1) * sizeof(struct process *));
	if (!look->index)
		return NULL;
	memcpy(look->index, look->attach.processes, count * sizeof(struct process *));
	qsort(look->index, count, sizeof(struct process *), by_id);
	return look->index;
}

static int find_region(struct look *look, uint64_t region_id, const struct process **ret_process)
{
	struct process key = { .said.region_id = region_id }, *at = &key, **found;
	struct process **all = index_of(look);

	if (!all)
		return -ENOMEM;
	found = bsearch(&at, all, look->attach.process_count, sizeof(struct process *), by_id);
	*ret_process = found ? *found : NULL;
	return 0;
}

/* What a fork child inherited is counted with its parent as long as that lives. Of two that ended
 * within one look their own words tell which was first, if both left one. */
static int count_inherited(struct look *look, struct process *process)
{
	const struct process *parent;

	if (process->said.parent_id == 0 || process->inherited_counted || process->ended_before)
		return 0;
	if (find_region(look, process->said.parent_id, &parent) != 0)
		return -ENOMEM;
	process->inherited_counted = !parent || parent->ended_before ||
				     (parent->ended && !process->ended) ||
				     (parent->ended_ns && parent->ended_ns < process->ended_ns);
	return 0;
}

static int add_up(struct look *look)
{
	const struct attach *attach = &look->attach;
	int error = 0;
	size_t n;

	sums_restart(&look->over_all);
	history_begin(&look->history);
	for (n = 0; n < attach->process_count && !error; n++) {
		error = count_inherited(look, attach->processes[n]);
		if (error)
			break;
		history_meet(&look->history, attach->processes[n]);
		error = totals_add(&look->over_all, attach->processes[n], &look->history);
	}
	free(look->index);
	look->index = NULL;
	/* What is nobody's any more was no business of the one process that was asked for. */
	for (n = 0; n < attach->region_count && !error; n++) {
		history_meet_past(attach->regions[n]);
		if (!attach->options.pid)
			error = totals_add_past(&look->over_all, attach->regions[n],
						&look->history);
	}
	totals_finish(&look->over_all);
	if (!error)
		error = chips_join(&look->attach.chips, attach->processes, attach->process_count,
				   attach->options.pid);
	if (!error)
		error = chips_add(&look->attach.chips, &look->over_all, attach->options.pid);
	if (error)
		return error;
	return history_finish(&look->history, &look->over_all);
}

static int describe_by(const struct attach *attach, bool own, struct tally_device_entry **devices,
		       size_t *count)
{
	size_t n;

	for (n = 0; n < attach->region_count; n++)
		if (attach->regions[n]->listed &&
		    (attach->regions[n]->view.uid == geteuid()) == own &&
		    describe_merge(devices, count, attach->regions[n]->devices,
				   attach->regions[n]->device_count) != 0)
			return -ENOMEM;
	return 0;
}

/* The latest description of each device, this user's before others'; a pool with a known capacity
 * is shown before its first event, too. */
static int describe_all(struct look *look, struct tally_device_entry **devices, size_t *count)
{
	const struct attach *attach = &look->attach;
	uint32_t pool;
	size_t i;

	if (describe_by(attach, false, devices, count) != 0 ||
	    describe_by(attach, true, devices, count) != 0)
		return -ENOMEM;
	for (i = 0; i < *count; i++)
		for (pool = 0; pool < TALLY_DESCRIBED_POOLS; pool++)
			if ((*devices)[i].capacity_bytes[pool] &&
			    sums_note(&look->over_all, TALLY_KEY((*devices)[i].device, pool)) != 0)
				return -ENOMEM;
	return sums_settle(&look->over_all);
}

static int publish(struct look *look)
{
	struct tally_device_entry *devices = NULL;
	size_t device_count = 0;
	int error = describe_all(look, &devices, &device_count);

	if (!error) {
		struct picture picture = {
			.pipeline = look->attach.pipeline,
			.processes = look->attach.processes,
			.process_count = look->attach.process_count,
			.over_all = &look->over_all,
			.history = &look->history,
			.devices = devices,
			.device_count = device_count,
			.chips = &look->attach.chips,
			.refused_files = attach_refused_count(&look->attach),
		};
		size_t n;

		for (n = 0; n < look->attach.region_count; n++)
			picture.partial = picture.partial || look->attach.regions[n]->unsettled ||
					  look->attach.regions[n]->past_rejected;

		error = publisher_publish(&look->publisher, &picture);
	}
	free(devices);
	return error;
}

/* Who ends well removes its file first, and is still there for a moment. One that stays all the
 * same has no more than a few looks brought forward. */
static bool is_about_to_end(struct region_watch *region)
{
	return region->file_gone && region->alive && !region->joined && region->entries[0].row &&
	       region->entries[0].row->ended_ns && region->hurries++ < HURRIES_MAX;
}

/* Shown as ended now, it is not there any more next time. */
static bool is_over(const struct process *process)
{
	const struct region_watch *region = process->region;

	return process->ended && (process->past || (!region->view.base && region->file_gone));
}

int look_once(struct look *look)
{
	struct attach *attach = &look->attach;
	int scan_error, error;
	size_t n;

	look->due = false;
	list_drop_leaving(attach);
	scan_error = attach_scan(attach);
	error = watch_all(look);
	chips_look(attach);
	list_drop_leaving(attach); /* shown as ended before, overtaken now */
	pipeline_finish(&look->pipeline, attach->processes, attach->process_count);
	if (!error)
		error = add_up(look);
	if (!error)
		error = publish(look);
	for (n = 0; n < attach->region_count; n++)
		look->due = is_about_to_end(attach->regions[n]) || look->due;
	for (n = 0; n < attach->process_count && !error; n++)
		attach->processes[n]->leaving = !read_keeps_ended(&look->attach.options) &&
						is_over(attach->processes[n]);
	return error ? error : scan_error;
}

bool look_drain(struct look *look)
{
	bool moved = false;
	size_t n;

	for (n = 0; n < look->attach.region_count; n++) {
		struct region_watch *region = look->attach.regions[n];

		if (!region->view.base || region->cut || !region->alive || is_cut(region))
			continue;
		guard_begin(&region->view);
		moved = cursor_drain(region) || moved;
		if (guard_end())
			region->cut = true; /* the next look drops it, and says so */
		look->due = look->due || region->stale;
	}
	return moved;
}

static void drain_meanwhile(void *look)
{
	look_drain(look);
}

int look_found(const struct look *look)
{
	const struct attach *attach = &look->attach;

	if ((!attach->options.pid && !attach->name) || attach->process_count > 0 ||
	    attach->chips.part_count > 0 || (attach->name && attach->region_count > 0))
		return 0;
	return attach->first_error ? attach->first_error : -ENOENT;
}

int look_open(struct look *look, const struct tally_consumer_options *options)
{
	int error = attach_open(&look->attach, options);

	if (error)
		return error;
	memset(&look->over_all, 0, sizeof(look->over_all));
	memset(&look->history, 0, sizeof(look->history));
	memset(&look->lent, 0, sizeof(look->lent));
	look->due = look->last = false;
	look->index = NULL;
	error = publisher_open(&look->publisher);
	if (!error) {
		error = look->publisher.orphan && look->attach.options.read_buffers
				? -EDEADLK
				: pipeline_open(&look->pipeline, &look->attach.options);
		if (error)
			publisher_close(&look->publisher);
	}
	if (error) {
		attach_close(&look->attach);
		return error;
	}
	if (pipeline_is_on(&look->pipeline))
		look->attach.pipeline = &look->pipeline;
	look->pipeline.buffers.meanwhile = drain_meanwhile;
	look->pipeline.buffers.meanwhile_arg = look;
	/* Should it fail, the run goes without. */
	if (look->attach.options.lend_region && look->attach.options.run_id)
		lend_open(&look->lent, look->attach.path, look->attach.options.run_id);
	return 0;
}

/* Nobody looks again: what waits to be put in order is handed on. */
static void hand_on(struct look *look)
{
	size_t n;

	for (n = 0; n < look->attach.region_count; n++) {
		struct region_watch *region = look->attach.regions[n];

		if (region->stage.count == 0 || !region->view.base || region->cut || is_cut(region))
			continue;
		region->last = true;
		guard_begin(&region->view);
		pipeline_apply(region);
		guard_end();
	}
}

void look_close(struct look *look)
{
	hand_on(look);
	lend_close(&look->lent);
	publisher_close(&look->publisher);
	attach_close(&look->attach);
	pipeline_close(&look->pipeline);
	sums_free(&look->over_all);
	history_free(&look->history);
}
