/* SPDX-License-Identifier: Apache-2.0 */
/* Sums over all processes: the dead are taken out of what is held, the inherited counted once. */
#include <errno.h>
#include <string.h>

#include "consumer/history.h"
#include "consumer/totals.h"

/* What a process did, whether it lives or not. */
static void add_counts(struct tally_totals *totals, const struct tally_totals *part)
{
	totals->allocations += part->allocations;
	totals->frees += part->frees;
	totals->failures += part->failures;
	totals->allocated_bytes += part->allocated_bytes;
	totals->freed_bytes += part->freed_bytes;
	totals->current = totals->current && part->current;
}

static void add_one(struct sum *to, const struct process *process, struct sum *from)
{
	struct tally_totals *totals = &to->totals;
	struct tally_totals *part = &from->totals;
	/* Counted with the parent, as long as that lives; in a joined region, where the next owner
	 * of the entry leaves no trace of it, also when it has ended itself. */
	bool with_inherited = process->inherited_counted &&
			      !(process->ended && process->region->joined);
	int64_t bytes_off = with_inherited ? 0 : part->inherited_bytes;
	int64_t allocs_off = with_inherited ? 0 : part->inherited_allocations;

	if (process->ended) {
		part->abandoned_bytes = minus(part->live_bytes, bytes_off);
		part->abandoned_allocations = minus(part->live_allocations, allocs_off);
		totals->abandoned_bytes = plus(totals->abandoned_bytes, part->abandoned_bytes);
		totals->abandoned_allocations = plus(totals->abandoned_allocations,
						     part->abandoned_allocations);
	} else {
		totals->live_bytes = plus(totals->live_bytes, minus(part->live_bytes, bytes_off));
		totals->live_bytes_high = plus(totals->live_bytes_high,
					       minus(part->live_bytes_high, bytes_off));
		totals->live_allocations = plus(totals->live_allocations,
						minus(part->live_allocations, allocs_off));
	}
	totals->inherited_bytes = plus(totals->inherited_bytes,
				       minus(part->inherited_bytes, bytes_off));
	totals->inherited_allocations = plus(totals->inherited_allocations,
					     minus(part->inherited_allocations, allocs_off));
	add_counts(totals, part);
	totals->peak_bytes_high = plus(totals->peak_bytes_high,
				       minus(part->peak_bytes_high, bytes_off));
	/* No process holds less than nothing, so at its peak everybody held that much at least. */
	if (part->peak_bytes > to->peak_single)
		to->peak_single = part->peak_bytes;
	to->writers++;
	to->several = to->several || (to->sole != 0 && to->sole != process->said.region_id);
	to->sole = process->said.region_id;
}

/* So that each of `part` has its sum. */
static int make_room(struct sums *over_all, const struct sums *part)
{
	size_t n;

	for (n = 0; n < part->count; n++)
		if (!sums_find(over_all, part->all[n].key) &&
		    sums_note(over_all, part->all[n].key) != 0)
			return -ENOMEM;
	return sums_settle(over_all);
}

int totals_add(struct sums *over_all, struct process *process, const struct history *history)
{
	struct sums *part = &process->sums;
	size_t n, i = 0;

	for (n = 0; n < part->count && !process->past; n++) {
		struct sum *from = &part->all[n];

		while (i < over_all->count && over_all->all[i].key < from->key)
			i++; /* both are in order */
		if (i == over_all->count || over_all->all[i].key != from->key) {
			if (make_room(over_all, part) != 0)
				return -ENOMEM;
			i = 0;
			while (over_all->all[i].key != from->key)
				i++;
		}
		add_one(&over_all->all[i], process, from);
		history_add(history, &over_all->all[i], from);
	}
	return 0;
}

int totals_add_past(struct sums *over_all, struct region_watch *region,
		    const struct history *history)
{
	size_t n;

	if (make_room(over_all, &region->past) != 0)
		return -ENOMEM;
	for (n = 0; n < region->past.count; n++) {
		struct sum *from = &region->past.all[n], *to;
		const struct tally_totals *part = &from->totals;
		struct tally_totals *totals;

		if (from->writers == 0)
			continue;
		to = sums_find(over_all, from->key);
		totals = &to->totals;
		totals->abandoned_bytes = plus(totals->abandoned_bytes, part->live_bytes);
		totals->abandoned_allocations = plus(totals->abandoned_allocations,
						     part->live_allocations);
		add_counts(totals, part);
		history_add(history, to, from);
		totals->peak_bytes_high = plus(totals->peak_bytes_high, part->peak_bytes_high);
		to->writers++;
		to->several = true; /* nobody knows how many, and when */
	}
	return 0;
}

static void finish(struct sum *sum)
{
	struct tally_totals *totals = &sum->totals;

	if (sum->peak_single > sum->observed_bytes)
		sum->observed_bytes = sum->peak_single;
	if (totals->live_bytes > sum->observed_bytes)
		sum->observed_bytes = totals->live_bytes;
	totals->peak_bytes = sum->several ? sum->observed_bytes : sum->peak_single;
	sum_order_bounds(totals);
}

void totals_finish(struct sums *over_all)
{
	size_t n, kept = 0;

	for (n = 0; n < over_all->count; n++) {
		if (over_all->all[n].writers == 0)
			continue;
		finish(&over_all->all[n]);
		if (kept != n)
			over_all->all[kept] = over_all->all[n];
		kept++;
	}
	over_all->count = kept;
}
