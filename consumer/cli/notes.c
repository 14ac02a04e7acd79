/* SPDX-License-Identifier: Apache-2.0 */
/* What a reader of the tables should know: what is missing, what is not exact, who lives on. */
#include <inttypes.h>
#include <string.h>
#include <tally/abi.h>

#include "cli.h"

#define NAMES_SHOWN 5

/* "12 (sh), 13 (sleep) and 4 more" of the processes that `is` is true of; their number. */
static size_t list(char *text, size_t size, const struct tally_snapshot *snapshot,
		   bool (*is)(const struct tally_snapshot *snapshot, size_t n))
{
	size_t count = 0, used = 0, n;

	text[0] = '\0';
	for (n = 0; n < snapshot->process_count; n++) {
		const struct tally_process_view *process = &snapshot->processes[n];

		if (!is(snapshot, n))
			continue;
		if (count++ < NAMES_SHOWN && used < size)
			used += (size_t)snprintf(text + used, size - used, "%s%" PRIu32 " (%s)",
						 count > 1 ? ", " : "", process->pid,
						 process->comm);
	}
	if (count > NAMES_SHOWN && used < size)
		snprintf(text + used, size - used, " and %zu more", count - NAMES_SHOWN);
	return count;
}

static bool is_running(const struct tally_snapshot *snapshot, size_t n)
{
	return snapshot->processes[n].end == TALLY_RUNNING && !snapshot->processes[n].guests;
}

static bool is_without_events(const struct tally_snapshot *snapshot, size_t n)
{
	return snapshot->processes[n].events == 0 && !snapshot->processes[n].totals_only &&
	       !render_is_replaced(snapshot, n);
}

static bool has_bad_ring(const struct tally_snapshot *snapshot, size_t n)
{
	return snapshot->processes[n].region_flags & TALLY_REGION_BAD_RING;
}

static bool has_bad_lanes(const struct tally_snapshot *snapshot, size_t n)
{
	return snapshot->processes[n].region_flags & TALLY_REGION_BAD_LANES;
}

static bool has_small_files(const struct tally_snapshot *snapshot, size_t n)
{
	return snapshot->processes[n].region_flags & TALLY_REGION_SMALL_FILES;
}

static bool has_bad_name(const struct tally_snapshot *snapshot, size_t n)
{
	return snapshot->processes[n].region_flags & TALLY_REGION_BAD_NAME;
}

static bool is_unjoined(const struct tally_snapshot *snapshot, size_t n)
{
	return snapshot->processes[n].region_flags & TALLY_REGION_UNJOINED;
}

static bool has_bad_lossless(const struct tally_snapshot *snapshot, size_t n)
{
	return snapshot->processes[n].region_flags & TALLY_REGION_BAD_LOSSLESS;
}

static bool is_quarantined(const struct tally_snapshot *snapshot, size_t n)
{
	return snapshot->processes[n].quarantine != NULL;
}

static bool has_rejected(const struct tally_snapshot *snapshot, size_t n)
{
	return snapshot->processes[n].rejected_events != 0;
}

static bool has_inherited(const struct tally_snapshot *snapshot, size_t n)
{
	const struct tally_process_view *process = &snapshot->processes[n];

	return render_sum(&snapshot->process_pools[process->first_pool], process->pool_count)
			       .inherited_bytes != 0 &&
	       !render_is_replaced(snapshot, n);
}

/* Says which processes `is` is true of, after the words, if there is any. */
static void say_list(const struct tally_snapshot *snapshot,
		     bool (*is)(const struct tally_snapshot *snapshot, size_t n), const char *words)
{
	char names[256];

	if (list(names, sizeof(names), snapshot, is) > 0)
		say("%s: %s", words, names);
}

static void note_losses(const struct tally_snapshot *snapshot)
{
	uint64_t overwritten = 0, unrecorded = 0;
	char lost[TEXT_MAX], of[TEXT_MAX];
	size_t n;

	for (n = 0; n < snapshot->process_count; n++) {
		overwritten += snapshot->processes[n].lost_overwritten;
		unrecorded += snapshot->processes[n].lost_unrecorded;
	}
	if (overwritten) {
		text_count(lost, overwritten);
		text_count(of, overwritten + snapshot->records_read);
		say("%s of %s records were overwritten before they were read: totals are exact "
		    "all the same",
		    lost, of);
	}
	if (unrecorded) {
		text_count(lost, unrecorded);
		text_count(of, snapshot->events);
		say("%s of %s events were counted without a record: totals are exact all the same",
		    lost, of);
	}
}

static void note_rejected(const struct tally_snapshot *snapshot)
{
	char names[256], count[TEXT_MAX];

	if (list(names, sizeof(names), snapshot, has_rejected) == 0)
		return;
	text_count(count, snapshot->rejected_events);
	say("%s event%s in no total (device or pool out of range, or no room for it): %s", count,
	    snapshot->rejected_events == 1 ? " is" : "s are", names);
}

static bool is_inexact(const struct tally_totals *totals)
{
	return totals->peak_bytes != totals->peak_bytes_high ||
	       totals->live_bytes != totals->live_bytes_high;
}

static void note_inexact(const struct tally_snapshot *snapshot, const struct view *view)
{
	bool inexact = false, current = true;
	size_t n;

	for (n = 0; n < snapshot->process_pool_count; n++)
		inexact = inexact || is_inexact(&snapshot->process_pools[n].totals);
	for (n = 0; n < snapshot->pool_count; n++) {
		inexact = inexact || (!snapshot->pools[n].totals_only &&
				      is_inexact(&snapshot->pools[n].totals));
		current = current && snapshot->pools[n].totals.current;
	}
	if (inexact)
		say(">= is at least: several threads or processes had a part in it");
	if (view->report && snapshot->process_count > 1)
		say("AT END adds up what each process held at its own end");
	if (!current)
		say("some sums kept changing while they were read: their last whole values are "
		    "shown");
}

static void note_guests(const struct tally_snapshot *snapshot)
{
	size_t n;

	for (n = 0; n < snapshot->process_count; n++)
		if (snapshot->processes[n].guests)
			say("%u process%s could make no region (ulimit -f, or %s full?): counted "
			    "together, without records",
			    snapshot->processes[n].guests,
			    snapshot->processes[n].guests == 1 ? "" : "es", text_regions_dir());
}

/* Joined regions: owners of entries that others have by now, unless a row of theirs is shown still.
 * Their balance may be below zero, so there may be some where the sum says nothing. */
static void note_past(const struct tally_snapshot *snapshot)
{
	uint64_t bytes = 0;
	char text[TEXT_MAX];
	size_t n;

	for (n = 0; n < snapshot->pool_count; n++)
		bytes += (uint64_t)snapshot->pools[n].totals.abandoned_bytes;
	for (n = 0; n < snapshot->process_pool_count; n++)
		bytes -= (uint64_t)snapshot->process_pools[n].totals.abandoned_bytes;
	if (bytes == 0)
		return;
	text_bytes(text, (int64_t)bytes);
	say("%s of what was abandoned is of processes of a joined region that are not shown any "
	    "more",
	    text);
}

/* Each reason once; how often which came is in the JSON. */
static void note_quarantined(const struct tally_snapshot *snapshot)
{
	char names[256], reasons[256] = "";
	size_t used = 0, n;

	if (list(names, sizeof(names), snapshot, is_quarantined) == 0)
		return;
	for (n = 0; n < snapshot->process_count; n++) {
		const char *reason = snapshot->processes[n].quarantine;

		if (!reason || strstr(reasons, reason) || used >= sizeof(reasons))
			continue;
		used += (size_t)snprintf(reasons + used, sizeof(reasons) - used, "%s%s",
					 used ? "; " : "", reason);
	}
	say("records that could not be trusted were left aside (%s), totals are not: %s", reasons,
	    names);
}

static void note_gone(const struct tally_snapshot *snapshot, const struct view *view)
{
	size_t n;

	for (n = 0; n < snapshot->process_count; n++)
		if (strcmp(render_end(snapshot, n, view), "gone") == 0) {
			say("gone: killed, ended by _exit(), or replaced by a program that is not "
			    "followed");
			return;
		}
}

/* What runtimes publish by themselves. */
static void note_totals(const struct tally_snapshot *snapshot)
{
	bool any = false, rest = false;
	size_t n;

	for (n = 0; n < snapshot->pool_count; n++) {
		const struct tally_pool_view *pool = &snapshot->pools[n];

		any = any || (pool->totals_only && !render_is_silent(&pool->totals));
		rest = rest || (pool->totals_only &&
				pool->totals.live_bytes != pool->totals.live_bytes_high);
	}
	if (any)
		say("totals only: what a runtime says of itself in %s/tt_device_<chip>_memory; "
		    "counts, peaks and capacities are not known, and not in the sums",
		    text_regions_dir());
	if (rest)
		say(">= of totals only: the runtime's total is higher than what its living "
		    "processes account for");
}

void render_notes(const struct tally_snapshot *snapshot, const struct view *view)
{
	if (view->report)
		say_list(snapshot, is_running, "still running, with what they hold now");
	note_losses(snapshot);
	note_rejected(snapshot);
	note_inexact(snapshot, view);
	say_list(snapshot, has_inherited,
		 "the fork's copy of the parent's memory is in what they hold");
	note_gone(snapshot, view);
	note_totals(snapshot);
	note_past(snapshot);
	note_guests(snapshot);
	say_list(snapshot, is_without_events,
		 "allocated nothing through malloc (another allocator?)");
	say_list(snapshot, has_bad_ring, "TALLY_RING was not usable, so no records were kept");
	say_list(snapshot, has_bad_lanes, "TALLY_LANES was not usable, the default was in force");
	say_list(snapshot, has_bad_lossless,
		 "TALLY_LOSSLESS was not usable (milliseconds, 1 to 60000), nothing waited");
	say_list(snapshot, has_bad_name,
		 "TALLY_REGION is not usable (it takes 1 to 32 letters, digits, dots, dashes and "
		 "underscores), a region of its own was made");
	say_list(snapshot, is_unjoined,
		 "the region that TALLY_REGION names could not be joined (full, broken or of "
		 "another release?), a region of its own was made");
	say_list(snapshot, has_small_files,
		 "the limit of file sizes (ulimit -f) left room for fewer threads' records");
	note_quarantined(snapshot);
}
