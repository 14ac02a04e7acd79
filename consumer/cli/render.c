/* SPDX-License-Identifier: Apache-2.0 */
/* A snapshot as tables: a row per device and pool, then a row per process. */
#include <stdlib.h>
#include <string.h>

#include "cli.h"

/* More pools of one process than this are summed up in one row. */
#define POOLS_SHOWN 8

/* What one row of either table shows. */
struct row {
	struct tally_totals totals;
	bool peak_known;
	uint64_t lost;
};

bool render_is_silent(const struct tally_totals *totals)
{
	return !totals->allocations && !totals->frees && !totals->failures && !totals->live_bytes &&
	       !totals->live_bytes_high && !totals->abandoned_bytes;
}

/* Counts come from regions alone. */
const char *render_known(const struct tally_pool_view *pool)
{
	const struct tally_totals *totals = &pool->totals;

	if (!pool->totals_only)
		return "";
	return totals->allocations || totals->frees || totals->failures ? "part totals only"
									: "totals only";
}

/* What overflows wraps: nobody vouches for the numbers. */
static int64_t plus(int64_t a, int64_t b)
{
	return (int64_t)((uint64_t)a + (uint64_t)b);
}

static void add(struct tally_totals *sum, const struct tally_totals *part)
{
	sum->live_bytes = plus(sum->live_bytes, part->live_bytes);
	sum->live_bytes_high = plus(sum->live_bytes_high, part->live_bytes_high);
	sum->live_allocations = plus(sum->live_allocations, part->live_allocations);
	sum->abandoned_bytes = plus(sum->abandoned_bytes, part->abandoned_bytes);
	sum->inherited_bytes = plus(sum->inherited_bytes, part->inherited_bytes);
	sum->peak_bytes_high = plus(sum->peak_bytes_high, part->peak_bytes_high);
	sum->allocations += part->allocations;
	sum->frees += part->frees;
	sum->failures += part->failures;
	if (part->peak_bytes > sum->peak_bytes)
		sum->peak_bytes = part->peak_bytes;
}

struct tally_totals render_sum(const struct tally_pool_view *pools, size_t count)
{
	struct tally_totals sum = { 0 };
	size_t n;

	if (count == 1)
		return pools[0].totals;
	for (n = 0; n < count; n++)
		add(&sum, &pools[n].totals);
	if (sum.peak_bytes < sum.live_bytes)
		sum.peak_bytes = sum.live_bytes;
	return sum;
}

static void put_numbers(struct table *table, const struct tally_totals *totals, int64_t bytes,
			bool peak_known, bool totals_only)
{
	table_bytes(table, bytes, totals->live_bytes != totals->live_bytes_high);
	if (totals_only) {
		table_none(table);
		table_none(table);
		table_none(table);
		table_none(table);
		return;
	}
	if (peak_known)
		table_bytes(table, totals->peak_bytes,
			    totals->peak_bytes != totals->peak_bytes_high);
	else
		table_none(table);
	table_count(table, totals->allocations);
	table_count(table, totals->frees);
	table_count(table, totals->failures);
}

const struct tally_device_view *render_device(const struct tally_snapshot *snapshot,
					      uint32_t device)
{
	size_t low = 0, high = snapshot->device_count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (snapshot->devices[middle].device == device)
			return &snapshot->devices[middle];
		if (snapshot->devices[middle].device < device)
			low = middle + 1;
		else
			high = middle;
	}
	return NULL;
}

/* ---- Devices --------------------------------------------------------------------------------- */

static void put_device(struct table *table, const struct tally_device_view *device,
		       const struct tally_pool_view *pool)
{
	const char *known = render_known(pool);

	table_text(table, "%u%s%s%s%s", device->device, device->name[0] ? " " : "", device->name,
		   known[0] ? " " : "", known);
}

/* Bytes at the end of each process, or those held now: whichever the view is about. */
static int64_t bytes_of(const struct tally_totals *totals, const struct view *view)
{
	return view->report ? plus(totals->live_bytes, totals->abandoned_bytes)
			    : totals->live_bytes;
}

static void put_pool(struct table *table, const struct tally_totals *totals, bool peak_known,
		     const struct view *view, bool abandoned, bool totals_only)
{
	put_numbers(table, totals, bytes_of(totals, view), peak_known, totals_only);
	if (abandoned)
		table_bytes(table, totals->abandoned_bytes, false);
}

static void render_devices(FILE *out, const struct tally_snapshot *snapshot,
			   const struct view *view, size_t width)
{
	static const char *const at_end[] = { "<DEVICE", "<POOL",  "AT END", "PEAK", "ALLOCS",
					      "FREES",	 "FAILED", "LOST",   NULL };
	static const char *const heads[] = { "<DEVICE", "<POOL",  "HELD", "PEAK", "ALLOCS",
					     "FREES",	"FAILED", "LOST", NULL };
	static const char *const abandoned_heads[] = { "<DEVICE", "<POOL", "HELD",   "PEAK",
						       "ALLOCS",  "FREES", "FAILED", "ABANDONED",
						       "LOST",	  NULL };
	struct tally_totals all = render_sum(snapshot->pools, snapshot->pool_count);
	bool abandoned = !view->report && all.abandoned_bytes != 0;
	struct table table = { .heads = view->report ? at_end
					: abandoned  ? abandoned_heads
						     : heads };
	size_t device, n, shown = 0;

	for (device = 0; device < snapshot->device_count; device++) {
		const struct tally_device_view *at = &snapshot->devices[device];

		for (n = at->first_pool; n < at->first_pool + at->pool_count; n++) {
			const struct tally_pool_view *pool = &snapshot->pools[n];

			if (render_is_silent(&pool->totals))
				continue;
			table_row(&table);
			put_device(&table, at, pool);
			table_text(&table, "%s", pool->pool_name);
			put_pool(&table, &pool->totals, true, view, abandoned, pool->totals_only);
			shown++;
		}
	}
	if (shown != 1) {
		table_row(&table);
		table_text(&table, "all");
		table_none(&table);
		put_pool(&table, &all, false, view, abandoned, false);
	}
	/* Records know their pool, lost ones do not: only their number is known. */
	table_count(&table, snapshot->lost_records);
	table_print(&table, out, width);
}

/* ---- Processes ------------------------------------------------------------------------------- */

bool render_is_replaced(const struct tally_snapshot *snapshot, size_t n)
{
	const struct tally_process_view *process = &snapshot->processes[n];
	size_t later;

	for (later = n + 1; later < snapshot->process_count; later++)
		if (snapshot->processes[later].pid == process->pid)
			return process->end == TALLY_GONE;
	return false;
}

const char *render_end(const struct tally_snapshot *snapshot, size_t n, const struct view *view)
{
	const struct tally_process_view *process = &snapshot->processes[n];

	if (process->guests)
		return "-";
	if (process->totals_only)
		return "totals only";
	if (process->end == TALLY_RUNNING)
		return "running";
	if (process->end == TALLY_EXITED)
		return "exited";
	if (render_is_replaced(snapshot, n))
		return "exec";
	if (process->pid == view->command_pid && view->command_end)
		return view->command_end;
	return "gone";
}

/* For choosing the rows that matter most. */
struct weight {
	size_t n;
	int64_t bytes, peak;
};

static int by_weight(const void *left, const void *right)
{
	const struct weight *a = left, *b = right;

	if (a->bytes != b->bytes)
		return a->bytes > b->bytes ? -1 : 1;
	if (a->peak != b->peak)
		return a->peak > b->peak ? -1 : 1;
	return a->n < b->n ? -1 : a->n > b->n;
}

static struct weight weigh(size_t n, const struct tally_totals *totals)
{
	struct weight weight = {
		.n = n,
		.bytes = totals->live_bytes,
		.peak = totals->peak_bytes,
	};

	return weight;
}

/* Marks the `few` heaviest; frees the weights. NULL: no memory. */
static bool *mark_heaviest(struct weight *weights, size_t count, size_t few)
{
	bool *marks = calloc(count, sizeof(*marks));
	size_t n;

	if (marks) {
		qsort(weights, count, sizeof(*weights), by_weight);
		for (n = 0; n < few; n++)
			marks[weights[n].n] = true;
	}
	free(weights);
	return marks;
}

/* Of many pools the heaviest. NULL: all. */
static bool *choose_pools(const struct tally_pool_view *pools, size_t count)
{
	struct weight *weights = NULL;
	size_t n;

	if (count > POOLS_SHOWN)
		weights = calloc(count, sizeof(*weights));
	if (!weights)
		return NULL;
	for (n = 0; n < count; n++)
		weights[n] = weigh(n, &pools[n].totals);
	return mark_heaviest(weights, count, POOLS_SHOWN - 1);
}

static struct tally_totals process_sum(const struct tally_snapshot *snapshot, size_t n)
{
	const struct tally_process_view *process = &snapshot->processes[n];

	return render_sum(&snapshot->process_pools[process->first_pool], process->pool_count);
}

static void put_process_pools(struct table *table, const struct tally_pool_view *pools,
			      size_t count)
{
	bool *shown = choose_pools(pools, count);
	struct tally_totals rest = { 0 };
	size_t left_out = 0, n;

	for (n = 0; n < count; n++) {
		if (shown && !shown[n]) {
			add(&rest, &pools[n].totals);
			left_out++;
			continue;
		}
		table_row(table);
		table_none(table);
		table_text(table, " %u %s", pools[n].device, pools[n].pool_name);
		put_numbers(table, &pools[n].totals, pools[n].totals.live_bytes, true,
			    pools[n].totals_only);
	}
	if (left_out) {
		table_row(table);
		table_none(table);
		table_text(table, " %zu more", left_out);
		put_numbers(table, &rest, rest.live_bytes, false, pools[0].totals_only);
	}
	free(shown);
}

static void put_process(struct table *table, const struct tally_snapshot *snapshot, size_t n,
			const struct view *view)
{
	const struct tally_process_view *process = &snapshot->processes[n];
	struct tally_totals sum = process_sum(snapshot, n);

	table_row(table);
	if (process->guests) {
		table_text(table, "-");
		table_text(table, "%u without region", process->guests);
	} else {
		table_text(table, "%u", process->pid);
		table_text(table, "%s", process->comm);
	}
	put_numbers(table, &sum, sum.live_bytes, process->pool_count < 2, process->totals_only);
	if (process->totals_only)
		table_none(table);
	else
		table_count(table, process->lost_records);
	table_text(table, "%s", render_end(snapshot, n, view));
	if (process->pool_count > 1)
		put_process_pools(table, &snapshot->process_pools[process->first_pool],
				  process->pool_count);
}

static void render_processes(FILE *out, const struct tally_snapshot *snapshot,
			     const struct view *view, size_t width)
{
	static const char *const at_end[] = { "PID",   "<COMMAND", "AT END", "PEAK",   "ALLOCS",
					      "FREES", "FAILED",   "LOST",   "<ENDED", NULL };
	static const char *const heads[] = { "PID",   "<COMMAND", "HELD", "PEAK",   "ALLOCS",
					     "FREES", "FAILED",	  "LOST", "<STATE", NULL };
	struct table table = { .heads = view->report ? at_end : heads };
	size_t n;

	for (n = 0; n < snapshot->process_count; n++)
		put_process(&table, snapshot, n, view);
	table_print(&table, out, width);
}

void render_tables(FILE *out, const struct tally_snapshot *snapshot, const struct view *view)
{
	size_t width = table_width(fileno(out));

	render_devices(out, snapshot, view, width);
	if (snapshot->process_count == 0)
		return;
	fputc('\n', out);
	render_processes(out, snapshot, view, width);
}
