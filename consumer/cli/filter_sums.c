/* SPDX-License-Identifier: Apache-2.0 */
/* Sums over the processes that a filter has chosen: pools and tags, added up again. */
#include <stdlib.h>
#include <string.h>

#include "filter_copy.h"

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

size_t copy_find_pool(const struct tally_pool_view *pools, size_t count, uint32_t device,
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

/* ---- Pools ----------------------------------------------------------------------------------- */

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
	to->totals_only = to->totals_only || from->totals_only;
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
	pool->totals_only = false;
}

void copy_add_up(struct copy *copy, struct tally_pool_view *to)
{
	struct tally_totals *sum = &to->totals;
	size_t n, at;

	restart_pool(to);
	for (n = 0; n < copy->snapshot.process_count; n++) {
		const struct tally_process_view *process = &copy->processes[n];
		const struct tally_pool_view *pools = &copy->process_pools[process->first_pool];

		at = copy_find_pool(pools, process->pool_count, to->device, to->pool);
		if (at < process->pool_count)
			add_pool(copy, to, process, &pools[at]);
	}
	raise_to(&sum->peak_bytes, sum->live_bytes);
	raise_to(&sum->attach_peak_bytes, sum->live_bytes);
	raise_to(&sum->peak_bytes_high, sum->live_bytes_high);
	raise_to(&sum->peak_bytes_high, sum->peak_bytes);
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
void copy_add_tags(struct copy *copy)
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
