/* SPDX-License-Identifier: Apache-2.0 */
/* A copy of a snapshot with what a filter chooses, and the sums of that. */
#include <stdlib.h>
#include <string.h>

#include "filter.h"

/* The copy, its arrays, and what belongs to making it. */
struct copy {
	struct tally_snapshot snapshot; /* first: filter_free() gets its address */
	struct tally_device_view *devices;
	struct tally_pool_view *pools;
	struct tally_process_view *processes;
	struct tally_pool_view *process_pools;
	struct tally_tag_view *tags, *process_tags;
	uint64_t (*sizes)[TALLY_SIZES]; /* of pools that were added up again */
	struct contribution *contributions;
};

/* To one pool over all processes: how many have a part in it, and how many of them are chosen. */
struct contribution {
	size_t all, chosen;
};

/* Overflow wraps: nobody vouches for the numbers. */
static int64_t plus(int64_t a, int64_t b)
{
	return (int64_t)((uint64_t)a + (uint64_t)b);
}

static int64_t minus(int64_t a, int64_t b)
{
	return (int64_t)((uint64_t)a - (uint64_t)b);
}

static int by_place(const struct tally_pool_view *a, uint32_t device, uint32_t pool)
{
	if (a->device != device)
		return a->device < device ? -1 : 1;
	return (a->pool > pool) - (a->pool < pool);
}

/* In pools ordered by device and pool; `count` when it is not there. */
static size_t find_pool(const struct tally_pool_view *pools, size_t count, uint32_t device,
			uint32_t pool)
{
	size_t low = 0, high = count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;
		int order = by_place(&pools[middle], device, pool);

		if (order == 0)
			return middle;
		if (order < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return count;
}

/* ---- Processes ------------------------------------------------------------------------------- */

static void copy_process_pools(struct copy *copy, const struct filter *filter,
			       const struct tally_snapshot *from,
			       const struct tally_process_view *process, bool chosen)
{
	size_t n;

	for (n = process->first_pool; n < process->first_pool + process->pool_count; n++) {
		const struct tally_pool_view *pool = &from->process_pools[n];
		size_t at = find_pool(from->pools, from->pool_count, pool->device, pool->pool);
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

		if (find_pool(&copy->process_pools[to->first_pool], to->pool_count, tag->device,
			      tag->pool) < to->pool_count)
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

/* ---- Sums over the chosen -------------------------------------------------------------------- */

/* What a fork child has from its parent is in the parent's sum as long as that lives. */
static bool is_with_parent(const struct copy *copy, const struct tally_process_view *process)
{
	size_t n;

	for (n = 0; process->parent_id && n < copy->snapshot.process_count; n++)
		if (copy->processes[n].region_id == process->parent_id)
			return copy->processes[n].end == TALLY_RUNNING;
	return false;
}

static void add_rate(double *sum, double part)
{
	*sum = *sum < 0 || part < 0 ? -1 : *sum + part;
}

static void add_sizes(struct copy *copy, struct tally_pool_view *to, const uint64_t *part)
{
	uint64_t *sizes = copy->sizes[to - copy->pools];
	size_t n;

	for (n = 0; part && n < TALLY_SIZES; n++)
		sizes[n] += part[n];
	if (part)
		to->sizes = sizes;
}

static void raise_to(int64_t *value, int64_t least)
{
	if (*value < least)
		*value = least;
}

static void add_balance(struct tally_totals *sum, const struct tally_totals *part, bool running,
			bool with_parent)
{
	int64_t bytes_off = with_parent ? minus(0, part->inherited_bytes) : 0;
	int64_t allocations_off = with_parent ? minus(0, part->inherited_allocations) : 0;

	if (running) {
		sum->live_bytes = plus(sum->live_bytes, plus(part->live_bytes, bytes_off));
		sum->live_bytes_high = plus(sum->live_bytes_high,
					    plus(part->live_bytes_high, bytes_off));
		sum->live_allocations = plus(sum->live_allocations,
					     plus(part->live_allocations, allocations_off));
	}
	sum->abandoned_bytes = plus(sum->abandoned_bytes, part->abandoned_bytes);
	sum->abandoned_allocations = plus(sum->abandoned_allocations, part->abandoned_allocations);
	sum->inherited_bytes = plus(sum->inherited_bytes, plus(part->inherited_bytes, bytes_off));
	sum->inherited_allocations = plus(sum->inherited_allocations,
					  plus(part->inherited_allocations, allocations_off));
	sum->peak_bytes_high = plus(sum->peak_bytes_high, plus(part->peak_bytes_high, bytes_off));
	/* No process holds less than nothing: at its peak all of them held that much at least. */
	raise_to(&sum->peak_bytes, part->peak_bytes);
	raise_to(&sum->attach_peak_bytes, part->attach_peak_bytes);
}

static void add_pool(struct copy *copy, struct tally_pool_view *to,
		     const struct tally_process_view *process, const struct tally_pool_view *from)
{
	const struct tally_totals *part = &from->totals;
	struct tally_totals *sum = &to->totals;
	bool inherits = part->inherited_bytes || part->inherited_allocations;

	add_balance(sum, part, process->end == TALLY_RUNNING,
		    inherits && is_with_parent(copy, process));
	sum->allocations += part->allocations;
	sum->frees += part->frees;
	sum->failures += part->failures;
	sum->allocated_bytes += part->allocated_bytes;
	sum->freed_bytes += part->freed_bytes;
	sum->current = sum->current && part->current;
	add_rate(&to->allocations_per_s, from->allocations_per_s);
	add_rate(&to->frees_per_s, from->frees_per_s);
	add_rate(&to->allocated_bytes_per_s, from->allocated_bytes_per_s);
	to->unmatched_frees += from->unmatched_frees;
	to->double_allocations += from->double_allocations;
	add_sizes(copy, to, from->sizes);
}

/* Empties a pool that is to be added up again; what it is stays. */
static void restart_pool(struct tally_pool_view *pool)
{
	memset(&pool->totals, 0, sizeof(pool->totals));
	pool->totals.current = true;
	pool->allocations_per_s = pool->frees_per_s = pool->allocated_bytes_per_s = 0;
	pool->unmatched_frees = pool->double_allocations = 0;
	pool->sizes = NULL;
}

static void add_up(struct copy *copy, struct tally_pool_view *to)
{
	struct tally_totals *sum = &to->totals;
	size_t n, at;

	restart_pool(to);
	for (n = 0; n < copy->snapshot.process_count; n++) {
		const struct tally_process_view *process = &copy->processes[n];
		const struct tally_pool_view *pools = &copy->process_pools[process->first_pool];

		at = find_pool(pools, process->pool_count, to->device, to->pool);
		if (at < process->pool_count)
			add_pool(copy, to, process, &pools[at]);
	}
	raise_to(&sum->peak_bytes, sum->live_bytes);
	raise_to(&sum->attach_peak_bytes, sum->live_bytes);
	raise_to(&sum->peak_bytes_high, sum->live_bytes_high);
	raise_to(&sum->peak_bytes_high, sum->peak_bytes);
}

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
			add_up(copy, to);
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

/* ---- Tags ------------------------------------------------------------------------------------ */

static int by_tag(const void *left, const void *right)
{
	const struct tally_tag_view *a = left, *b = right;
	int order = strcmp(a->tag, b->tag);

	if (order != 0)
		return order;
	if (a->device != b->device)
		return a->device < b->device ? -1 : 1;
	return (a->pool > b->pool) - (a->pool < b->pool);
}

static void add_tag(struct tally_tag_view *sum, const struct tally_tag_view *part)
{
	sum->live_bytes = plus(sum->live_bytes, part->live_bytes);
	sum->live_allocations = plus(sum->live_allocations, part->live_allocations);
	sum->allocations += part->allocations;
	sum->frees += part->frees;
	sum->allocated_bytes += part->allocated_bytes;
	sum->freed_bytes += part->freed_bytes;
}

/* What the living hold; what they and others did. */
static void copy_tags(struct copy *copy)
{
	struct tally_snapshot *now = &copy->snapshot;
	struct tally_tag_view *tags = copy->tags;
	size_t count = 0, n, i;

	for (n = 0; n < now->process_count; n++) {
		const struct tally_process_view *process = &copy->processes[n];

		for (i = 0; i < process->tag_count; i++) {
			tags[count] = copy->process_tags[process->first_tag + i];
			if (process->end != TALLY_RUNNING)
				tags[count].live_bytes = tags[count].live_allocations = 0;
			count++;
		}
	}
	qsort(tags, count, sizeof(*tags), by_tag);
	for (n = 0; n < count; n++) {
		if (now->tag_count && by_tag(&tags[now->tag_count - 1], &tags[n]) == 0)
			add_tag(&tags[now->tag_count - 1], &tags[n]);
		else
			tags[now->tag_count++] = tags[n];
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
	copy_tags(copy);
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
