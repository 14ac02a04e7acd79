/* SPDX-License-Identifier: Apache-2.0 */
/* Judging the rules of `tally check`: what cannot be known does not hold. */
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>

#include "check.h"

#define NAMES_SHOWN 5

static void conclude(struct rule *rule, enum verdict verdict, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static void conclude(struct rule *rule, enum verdict verdict, const char *format, ...)
{
	va_list arguments;

	rule->verdict = verdict;
	va_start(arguments, format);
	vsnprintf(rule->message, sizeof(rule->message), format, arguments);
	va_end(arguments);
}

/* What is shown is not all there is. */
static void conclude_unknown(struct rule *rule, const struct tally_snapshot *snapshot)
{
	char exactness[EXACTNESS_MAX];

	render_exactness(exactness, sizeof(exactness), snapshot);
	conclude(rule, VERDICT_NOT_JUDGED, "cannot be judged: %s", exactness);
}

/* Who freed more than it was seen to allocate may hold anything: it was armed late. */
static bool conclude_negative(struct rule *rule, const struct tally_snapshot *snapshot)
{
	size_t n, i;

	for (n = 0; n < snapshot->process_count; n++) {
		const struct tally_process_view *process = &snapshot->processes[n];
		const struct tally_pool_view *pools = &snapshot->process_pools[process->first_pool];

		for (i = 0; process->end == TALLY_RUNNING && i < process->pool_count; i++)
			if (pools[i].totals.live_bytes < 0) {
				conclude(rule, VERDICT_NOT_JUDGED,
					 "cannot be judged: process %" PRIu32
					 " (%s) freed more on device %" PRIu32
					 " %s than it was seen to allocate; was it armed late?",
					 process->pid, process->comm, pools[i].device,
					 pools[i].pool_name);
				return true;
			}
	}
	return false;
}

/* "1.50 KiB (1,536 bytes)", so that a limit that is passed by one byte looks like it. */
static void exact_bytes(char text[2 * TEXT_MAX + 16], int64_t bytes)
{
	char rounded[TEXT_MAX], count[TEXT_MAX];

	text_bytes(rounded, bytes);
	text_count(count, bytes < 0 ? 0 - (uint64_t)bytes : (uint64_t)bytes);
	if (bytes > -1000 && bytes < 1000)
		snprintf(text, 2 * TEXT_MAX + 16, "%s", rounded);
	else
		snprintf(text, 2 * TEXT_MAX + 16, "%s (%s%s bytes)", rounded, bytes < 0 ? "-" : "",
			 count);
}

/* "X", or "between X and Y". */
static void exact_bounds(char text[6 * TEXT_MAX], int64_t low, int64_t high)
{
	char from[2 * TEXT_MAX + 16], to[2 * TEXT_MAX + 16];

	exact_bytes(from, low);
	exact_bytes(to, high);
	if (low == high)
		snprintf(text, 6 * TEXT_MAX, "%s", from);
	else
		snprintf(text, 6 * TEXT_MAX, "between %s and %s", from, to);
}

/* Behind a verdict: what a runtime's own totals do not tell. */
static void add_unknown(struct rule *rule, const struct tally_snapshot *snapshot, const char *what)
{
	size_t used = strlen(rule->message), count = 0, n;

	for (n = 0; n < snapshot->pool_count; n++)
		count += snapshot->pools[n].totals_only &&
			 !render_is_silent(&snapshot->pools[n].totals);
	for (n = 0; n < snapshot->pool_count && count; n++) {
		const struct tally_pool_view *pool = &snapshot->pools[n];

		if (!pool->totals_only || render_is_silent(&pool->totals))
			continue;
		snprintf(rule->message + used, sizeof(rule->message) - used,
			 "; device %" PRIu32 " %s%s is %s, so %s", pool->device, pool->pool_name,
			 count > 1 ? " and more" : "", render_known(pool), what);
		return;
	}
}

/* ---- Bytes held ------------------------------------------------------------------------------ */

static void judge_live(struct rule *rule, const struct tally_snapshot *snapshot)
{
	struct tally_totals sum = render_sum(snapshot->pools, snapshot->pool_count);
	char held[6 * TEXT_MAX], limit[2 * TEXT_MAX + 16];

	rule->live_bytes = sum.live_bytes;
	rule->live_bytes_high = sum.live_bytes_high;
	exact_bounds(held, sum.live_bytes, sum.live_bytes_high);
	exact_bytes(limit, (int64_t)rule->limit);
	if (sum.live_bytes_high > (int64_t)rule->limit)
		conclude(rule, VERDICT_BROKEN, "%s held, %s allowed", held, limit);
	else if (!snapshot->complete)
		conclude_unknown(rule, snapshot);
	else if (!conclude_negative(rule, snapshot))
		conclude(rule, VERDICT_HOLDS, "%s held, %s allowed", held, limit);
	add_unknown(rule, snapshot, "this is what its runtime says");
}

/* Of so much: above zero also where next to nothing is held of a great deal. */
static double percent(const struct tally_pool_view *pool)
{
	return 100 * (double)pool->totals.live_bytes_high / (double)pool->capacity_bytes;
}

static const struct tally_pool_view *fullest(const struct tally_snapshot *snapshot)
{
	const struct tally_pool_view *found = NULL;
	size_t n;

	for (n = 0; n < snapshot->pool_count; n++) {
		const struct tally_pool_view *pool = &snapshot->pools[n];

		if (pool->capacity_bytes && (!found || percent(pool) > percent(found)))
			found = pool;
	}
	return found;
}

static size_t count_above(const struct tally_snapshot *snapshot, double limit)
{
	size_t count = 0, n;

	for (n = 0; n < snapshot->pool_count; n++)
		count += snapshot->pools[n].capacity_bytes && percent(&snapshot->pools[n]) > limit;
	return count;
}

/* A pool that is used, and nobody knows how large it is. */
static const struct tally_pool_view *without_capacity(const struct tally_snapshot *snapshot)
{
	size_t n;

	for (n = 0; n < snapshot->pool_count; n++)
		if (!snapshot->pools[n].capacity_bytes &&
		    !render_is_silent(&snapshot->pools[n].totals))
			return &snapshot->pools[n];
	return NULL;
}

static void judge_percent(struct rule *rule, const struct tally_snapshot *snapshot)
{
	const struct tally_pool_view *unknown = without_capacity(snapshot);
	const struct tally_pool_view *pool = fullest(snapshot);
	double limit = (double)rule->limit / 1000;
	char held[6 * TEXT_MAX], capacity[2 * TEXT_MAX + 16], words[512] = "nothing held";
	size_t above = count_above(snapshot, limit);

	if (pool) {
		rule->live_bytes = pool->totals.live_bytes;
		rule->live_bytes_high = pool->totals.live_bytes_high;
		rule->capacity_bytes = pool->capacity_bytes;
		exact_bounds(held, rule->live_bytes, rule->live_bytes_high);
		exact_bytes(capacity, (int64_t)pool->capacity_bytes);
		snprintf(words, sizeof(words), "device %" PRIu32 " %s: %s held of %s, %.1f %%",
			 pool->device, pool->pool_name, held, capacity, percent(pool));
	}
	if (above == 1)
		conclude(rule, VERDICT_BROKEN, "%s", words);
	else if (above)
		conclude(rule, VERDICT_BROKEN, "%s; %zu more above it", words, above - 1);
	else if (unknown)
		conclude(rule, VERDICT_NOT_JUDGED,
			 "cannot be judged: the capacity of device %" PRIu32
			 " %s is unknown; choose with -d and -P what was described",
			 unknown->device, unknown->pool_name);
	else if (!snapshot->complete)
		conclude_unknown(rule, snapshot);
	else if (!conclude_negative(rule, snapshot))
		conclude(rule, VERDICT_HOLDS, "%s", words);
	add_unknown(rule, snapshot, "what is held there is what its runtime says");
}

/* ---- Leaks and losses ------------------------------------------------------------------------ */

/* What a process that has ended never freed, in all of its pools; false: nothing, or it lives. */
static bool sum_leaks(const struct tally_snapshot *snapshot,
		      const struct tally_process_view *process, int64_t *ret_bytes,
		      int64_t *ret_allocations)
{
	const struct tally_pool_view *pools = &snapshot->process_pools[process->first_pool];
	bool leaks = false;
	size_t n;

	*ret_bytes = *ret_allocations = 0;
	for (n = 0; n < process->pool_count; n++) {
		const struct tally_totals *totals = &pools[n].totals;

		if (totals->abandoned_bytes <= 0 && totals->abandoned_allocations <= 0)
			continue;
		leaks = true;
		*ret_bytes += totals->abandoned_bytes;
		*ret_allocations += totals->abandoned_allocations;
	}
	return leaks && process->end != TALLY_RUNNING;
}

static size_t list_leaks(const struct tally_snapshot *snapshot, char *text, size_t size,
			 int64_t *ret_bytes)
{
	size_t count = 0, used = 0, n;
	int64_t bytes, allocations;
	char amount[2 * TEXT_MAX + 16];

	text[0] = '\0';
	*ret_bytes = 0;
	for (n = 0; n < snapshot->process_count; n++) {
		const struct tally_process_view *process = &snapshot->processes[n];

		if (!sum_leaks(snapshot, process, &bytes, &allocations))
			continue;
		*ret_bytes += bytes;
		exact_bytes(amount, bytes);
		if (count++ < NAMES_SHOWN && used < size)
			used += (size_t)snprintf(text + used, size - used,
						 "%sprocess %" PRIu32 " (%s) left %s in %" PRId64
						 " allocation%s",
						 count > 1 ? ", " : "", process->pid, process->comm,
						 amount, allocations, allocations == 1 ? "" : "s");
	}
	if (count > NAMES_SHOWN && used < size)
		snprintf(text + used, size - used, ", and %zu more processes did",
			 count - NAMES_SHOWN);
	return count;
}

/* Of joined regions: those whose place others have taken. */
static int64_t left_by_the_past(const struct tally_snapshot *snapshot, int64_t of_shown)
{
	uint64_t bytes = 0;
	size_t n;

	for (n = 0; n < snapshot->pool_count; n++)
		bytes += (uint64_t)snapshot->pools[n].totals.abandoned_bytes;
	return (int64_t)(bytes - (uint64_t)of_shown);
}

static void judge_leaks(struct rule *rule, const struct tally_snapshot *snapshot)
{
	char names[600], amount[2 * TEXT_MAX + 16];
	int64_t of_shown, of_past;
	size_t count = list_leaks(snapshot, names, sizeof(names), &of_shown);

	of_past = left_by_the_past(snapshot, of_shown);
	rule->abandoned_bytes = of_shown + of_past;
	exact_bytes(amount, of_past);
	if (count)
		conclude(rule, VERDICT_BROKEN, "%s", names);
	else if (of_past > 0)
		conclude(rule, VERDICT_BROKEN,
			 "processes of a joined region that are not shown any more left %s",
			 amount);
	else if (!snapshot->complete)
		conclude_unknown(rule, snapshot);
	else
		conclude(rule, VERDICT_HOLDS, "nothing was left by a process that ended");
	add_unknown(rule, snapshot, "what its dead processes left is not known");
}

static void judge_lost(struct rule *rule, const struct tally_snapshot *snapshot)
{
	char lost[TEXT_MAX], limit[TEXT_MAX];

	rule->lost_records = snapshot->lost_records;
	text_count(lost, snapshot->lost_records);
	text_count(limit, rule->limit);
	if (snapshot->lost_records > rule->limit)
		conclude(rule, VERDICT_BROKEN, "%s records lost, %s allowed", lost, limit);
	else if (snapshot->refused_files)
		conclude_unknown(rule, snapshot);
	else
		conclude(rule, VERDICT_HOLDS, "%s records lost, %s allowed", lost, limit);
	add_unknown(rule, snapshot, "there are no records of it");
}

int rule_judge(struct rule *rule, const struct tally_snapshot *snapshot)
{
	int status = filter_check(&rule->filter, snapshot);
	struct tally_snapshot *chosen;

	if (status)
		return status;
	chosen = filter_snapshot(&rule->filter, snapshot);
	if (!chosen) {
		say("no memory left for a copy of what is chosen");
		return EXIT_ERROR;
	}
	switch (rule->kind) {
	case RULE_MAX_LIVE:
		judge_live(rule, chosen);
		break;
	case RULE_MAX_PERCENT:
		judge_percent(rule, chosen);
		break;
	case RULE_NO_LEAKS:
		judge_leaks(rule, chosen);
		break;
	case RULE_MAX_LOST:
		judge_lost(rule, chosen);
		break;
	}
	filter_free(chosen);
	return 0;
}
