/* SPDX-License-Identifier: Apache-2.0 */
/* Pools as a device has them: DRAM and L1 with their parts, every other pool by itself.
 *
 * Trace lies in DRAM; circular buffers, kernels and small buffers lie in L1. The capacity that is
 * described for the pools dram and l1 is therefore that of the whole. */
#include <tally/tally.h>

#include "top.h"

struct kind {
	const char *name;
	uint32_t count;
	bool always; /* its parts are listed though only the first of them was ever used */
	struct {
		uint32_t pool;
		const char *name;
	} parts[TOP_PARTS];
};

static const struct kind kinds[TOP_GROUP_KINDS] = {
	[TOP_GROUP_DRAM] = { "DRAM",
			     2,
			     false,
			     { { TALLY_POOL_DRAM, "buffers" }, { TALLY_POOL_TRACE, "trace" } } },
	[TOP_GROUP_L1] = { "L1",
			   4,
			   true,
			   { { TALLY_POOL_L1, "buffers" },
			     { TALLY_POOL_CB, "cb" },
			     { TALLY_POOL_KERNEL, "kernel" },
			     { TALLY_POOL_L1_SMALL, "l1_small" } } },
	[TOP_GROUP_SYSTEM] = { "system", 1, false, { { TALLY_POOL_SYSTEM, "system" } } },
};

#define KINDS TOP_GROUP_KINDS

static bool is_in_kind(const struct kind *kind, uint32_t pool)
{
	uint32_t n;

	for (n = 0; n < kind->count; n++)
		if (kind->parts[n].pool == pool)
			return true;
	return false;
}

static bool is_in_any(uint32_t pool)
{
	size_t n;

	for (n = 0; n < KINDS; n++)
		if (is_in_kind(&kinds[n], pool))
			return true;
	return false;
}

/* What render_sum() leaves out: how current it is, rates, what is known at all. */
static void add_up(struct tally_pool_view *whole, const struct tally_pool_view *pools, size_t count)
{
	size_t n;

	whole->totals = render_sum(pools, count);
	whole->totals.attach_peak_bytes = whole->totals.live_bytes;
	whole->totals.current = true;
	whole->allocations_per_s = -1;
	for (n = 0; n < count; n++) {
		const struct tally_pool_view *pool = &pools[n];

		if (pool->totals.attach_peak_bytes > whole->totals.attach_peak_bytes)
			whole->totals.attach_peak_bytes = pool->totals.attach_peak_bytes;
		whole->totals.current = whole->totals.current && pool->totals.current;
		if (pool->allocations_per_s >= 0)
			whole->allocations_per_s = (whole->allocations_per_s < 0
							    ? 0
							    : whole->allocations_per_s) +
						   pool->allocations_per_s;
		whole->totals_only = whole->totals_only || pool->totals_only;
	}
}

/* False: it has no pool among them. */
static bool take_kind(struct top_group *group, const struct top_groups *groups, size_t step)
{
	const struct kind *kind = &kinds[step];
	struct tally_pool_view pools[TOP_PARTS];
	bool used[TOP_PARTS] = { false };
	size_t count = 0, n;
	uint32_t i;

	*group = (struct top_group){ .series = (uint32_t)step + 1 };
	for (i = 0; i < kind->count; i++)
		group->parts[i].name = kind->parts[i].name;
	for (n = 0; n < groups->count; n++)
		for (i = 0; i < kind->count; i++)
			if (groups->pools[n].pool == kind->parts[i].pool && !group->parts[i].pool) {
				group->parts[i].pool = &groups->pools[n];
				used[i] = !render_is_silent(&groups->pools[n].totals);
				pools[count++] = groups->pools[n];
			}
	if (count == 0)
		return false;
	group->whole.device = pools[0].device;
	snprintf(group->whole.pool_name, sizeof(group->whole.pool_name), "%s", kind->name);
	if (group->parts[0].pool)
		group->whole.capacity_bytes = group->parts[0].pool->capacity_bytes;
	add_up(&group->whole, pools, count);
	for (i = 0; i < kind->count; i++)
		if (used[i] && (i > 0 || kind->always))
			group->part_count = kind->count;
	/* The files of a runtime's totals have no field for kernels. */
	for (i = 0; i < kind->count; i++)
		group->parts[i].unknown = !group->parts[i].pool && group->whole.totals_only &&
					  kind->parts[i].pool == TALLY_POOL_KERNEL;
	return true;
}

static bool passes(const struct top_groups *groups, const struct tally_pool_view *pool)
{
	return groups->filter ? top_filter_pool(groups->filter, pool->pool, pool->pool_name)
			      : groups->plain || !is_in_any(pool->pool);
}

bool top_group_next(struct top_groups *groups, struct top_group *group)
{
	while (groups->step < KINDS) {
		size_t step = groups->step++;

		if (!groups->plain && !groups->filter && take_kind(group, groups, step))
			return true;
	}
	while (groups->step - KINDS < groups->count) {
		const struct tally_pool_view *pool = &groups->pools[groups->step++ - KINDS];

		if (!passes(groups, pool))
			continue;
		*group = (struct top_group){ .whole = *pool,
					     .series = TOP_SERIES_POOLS + pool->pool };
		return true;
	}
	return false;
}

const struct tally_pool_view *top_device_pools(const struct tally_snapshot *snapshot,
					       const struct tally_device_view *device)
{
	return device->pool_count ? &snapshot->pools[device->first_pool] : NULL;
}

struct top_groups top_groups_of(const struct top *top, const struct tally_pool_view *pools,
				size_t count)
{
	return (struct top_groups){ .pools = pools,
				    .count = count,
				    .plain = top->asked.pool_count > 0 };
}

struct top_held top_group_held(enum top_group_kind kind, const struct tally_pool_view *pools,
			       size_t count)
{
	struct top_held held = { 0 };
	size_t n;

	for (n = 0; n < count; n++) {
		const struct tally_totals *totals = &pools[n].totals;

		if (!is_in_kind(&kinds[kind], pools[n].pool))
			continue;
		held.bytes = (int64_t)((uint64_t)held.bytes + (uint64_t)totals->live_bytes);
		held.at_least = held.at_least || totals->live_bytes != totals->live_bytes_high;
		held.used = held.used || !render_is_silent(totals);
	}
	return held;
}
