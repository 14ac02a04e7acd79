/* SPDX-License-Identifier: Apache-2.0 */
/* A copy of a snapshot with what a filter chooses. */
#include <stdlib.h>
#include <string.h>

#include "filter_copy.h"

/* ---- Processes ------------------------------------------------------------------------------- */

static void copy_process_pools(struct copy *copy, const struct filter *filter,
			       const struct tally_snapshot *from,
			       const struct tally_process_view *process, bool chosen)
{
	size_t n;

	for (n = process->first_pool; n < process->first_pool + process->pool_count; n++) {
		const struct tally_pool_view *pool = &from->process_pools[n];
		size_t at = copy_find_pool(from->pools, from->pool_count, pool->device, pool->pool);
		bool takes = chosen && filter_takes_device(filter, from, pool->device) &&
			     filter_takes_pool(filter, pool->pool, pool->pool_name);

		if (at < from->pool_count) {
			copy->contributions[at].all++;
			copy->contributions[at].chosen += takes;
		}
		if (takes)
			copy->process_pools[copy->snapshot.process_pool_count++] = *pool;
	}
}

static void copy_process_tags(struct copy *copy, const struct tally_snapshot *from,
			      const struct tally_process_view *process,
			      const struct tally_process_view *to)
{
	size_t n;

	for (n = process->first_tag; n < process->first_tag + process->tag_count; n++) {
		const struct tally_tag_view *tag = &from->process_tags[n];

		if (copy_find_pool(&copy->process_pools[to->first_pool], to->pool_count,
				   tag->device, tag->pool) < to->pool_count)
			copy->process_tags[copy->snapshot.process_tag_count++] = *tag;
	}
}

/* With -d or -P, who has nothing there is left out. */
static void copy_processes(struct copy *copy, const struct filter *filter,
			   const struct tally_snapshot *from)
{
	struct tally_snapshot *now = &copy->snapshot;
	size_t n;

	for (n = 0; n < from->process_count; n++) {
		const struct tally_process_view *process = &from->processes[n];
		struct tally_process_view *to = &copy->processes[now->process_count];
		bool chosen = filter_takes_pid(filter, process->pid);

		*to = *process;
		to->first_pool = now->process_pool_count;
		copy_process_pools(copy, filter, from, process, chosen);
		to->pool_count = now->process_pool_count - to->first_pool;
		if (!chosen || (filter_has_places(filter) && to->pool_count == 0))
			continue;
		to->first_tag = now->process_tag_count;
		copy_process_tags(copy, from, process, to);
		to->tag_count = now->process_tag_count - to->first_tag;
		now->process_count++;
		now->events += to->events;
		now->records_read += to->records_read;
		now->lost_records += to->lost_records;
		now->rejected_events += to->rejected_events;
		now->buffers += to->buffers;
		if (to->incomplete_until_realtime_ns)
			now->incomplete_since_realtime_ns = from->incomplete_since_realtime_ns;
	}
}

/* ---- Sums over all that is chosen ------------------------------------------------------------ */

/* A pool that nobody has a part in any more is of those who have gone: no process's. */
static bool takes_over_all(const struct copy *copy, const struct filter *filter,
			   const struct tally_snapshot *from, size_t n)
{
	const struct tally_pool_view *pool = &from->pools[n];

	if (copy->contributions[n].all > 0)
		return copy->contributions[n].chosen > 0;
	return filter->pid_count == 0 && filter_takes_device(filter, from, pool->device) &&
	       filter_takes_pool(filter, pool->pool, pool->pool_name);
}

static void copy_pools(struct copy *copy, const struct filter *filter,
		       const struct tally_snapshot *from)
{
	size_t n;

	for (n = 0; n < from->pool_count; n++) {
		struct tally_pool_view *to = &copy->pools[copy->snapshot.pool_count];

		if (!takes_over_all(copy, filter, from, n))
			continue;
		*to = from->pools[n];
		if (copy->contributions[n].chosen < copy->contributions[n].all)
			copy_add_up(copy, to);
		copy->snapshot.pool_count++;
	}
}

/* A device that was described, and that nobody uses, is shown unless processes were chosen. */
static void copy_devices(struct copy *copy, const struct filter *filter,
			 const struct tally_snapshot *from)
{
	struct tally_snapshot *now = &copy->snapshot;
	size_t n, at = 0;

	for (n = 0; n < from->device_count; n++) {
		struct tally_device_view *to = &copy->devices[now->device_count];
		size_t first = at;

		while (at < now->pool_count && copy->pools[at].device == from->devices[n].device)
			at++;
		if (at == first && (filter->pid_count || filter->pool_count ||
				    !filter_takes_device(filter, from, from->devices[n].device)))
			continue;
		*to = from->devices[n];
		to->first_pool = first;
		to->pool_count = at - first;
		now->device_count++;
	}
}

/* ---- All of it ------------------------------------------------------------------------------- */

static bool has_sizes(const struct tally_snapshot *snapshot)
{
	size_t n;

	for (n = 0; n < snapshot->process_pool_count; n++)
		if (snapshot->process_pools[n].sizes)
			return true;
	return false;
}

/* calloc() that may be asked for nothing. */
static void *room(size_t count, size_t size)
{
	return calloc(count ? count : 1, size);
}

static bool make_room(struct copy *copy, const struct tally_snapshot *from)
{
	copy->devices = room(from->device_count, sizeof(*copy->devices));
	copy->pools = room(from->pool_count, sizeof(*copy->pools));
	copy->processes = room(from->process_count + 1, sizeof(*copy->processes));
	copy->process_pools = room(from->process_pool_count, sizeof(*copy->process_pools));
	copy->tags = room(from->process_tag_count, sizeof(*copy->tags));
	copy->process_tags = room(from->process_tag_count, sizeof(*copy->process_tags));
	copy->sizes = room(has_sizes(from) ? from->pool_count : 0, sizeof(*copy->sizes));
	copy->contributions = room(from->pool_count, sizeof(*copy->contributions));
	return copy->devices && copy->pools && copy->processes && copy->process_pools &&
	       copy->tags && copy->process_tags && copy->sizes && copy->contributions;
}

struct tally_snapshot *filter_snapshot(const struct filter *filter,
				       const struct tally_snapshot *snapshot)
{
	struct copy *copy = calloc(1, sizeof(*copy));

	if (!copy)
		return NULL;
	copy->snapshot = (struct tally_snapshot){
		.realtime_ns = snapshot->realtime_ns,
		.monotonic_ns = snapshot->monotonic_ns,
		.complete = snapshot->complete,
		.refused_files = snapshot->refused_files,
		.buffers_max = snapshot->buffers_max,
		.buffers_left_out = snapshot->buffers_left_out,
	};
	if (!make_room(copy, snapshot)) {
		filter_free(&copy->snapshot);
		return NULL;
	}
	copy->snapshot.devices = copy->devices;
	copy->snapshot.pools = copy->pools;
	copy->snapshot.processes = copy->processes;
	copy->snapshot.process_pools = copy->process_pools;
	copy->snapshot.tags = copy->tags;
	copy->snapshot.process_tags = copy->process_tags;
	copy_processes(copy, filter, snapshot);
	copy_pools(copy, filter, snapshot);
	copy_devices(copy, filter, snapshot);
	copy_add_tags(copy);
	return &copy->snapshot;
}

void filter_free(struct tally_snapshot *snapshot)
{
	struct copy *copy = (struct copy *)(void *)snapshot;

	if (!copy)
		return;
	free(copy->devices);
	free(copy->pools);
	free(copy->processes);
	free(copy->process_pools);
	free(copy->tags);
	free(copy->process_tags);
	free(copy->sizes);
	free(copy->contributions);
	free(copy);
}
