/* SPDX-License-Identifier: Apache-2.0 */
/* The devices of `tally top`'s main view: for each a line for DRAM, L1 and every other pool, with
 * what it holds of what there is and how that went, and below it the parts. */
#include <inttypes.h>

#include "top.h"

#define NAME_WIDTH 10
#define HELD_WIDTH 10
#define CAPACITY_WIDTH 12 /* " of 12.3 GiB" */
#define PERCENT_WIDTH 6
#define ABANDONED_WIDTH 20
#define PEAK_WIDTH 17
#define BAR_MIN 4
#define BAR_WANTED 8	    /* history of each group gives way to that */
#define PEAK_COLUMNS 110    /* from which on there is room for peaks */
#define ONE_LINE_COLUMNS 78 /* in which all parts of L1 find room */
#define NUMBERS_WIDTH (HELD_WIDTH + CAPACITY_WIDTH + PERCENT_WIDTH)

/* Where things stand, the same for all devices of a frame. */
struct place {
	int bar_x, bar, numbers_x, peak_x, abandoned_x; /* abandoned_x: 0, nothing was */
	int history_x, history;				/* of devices, in columns */
	bool peaks;
	bool group_history;
	bool parts_in_one; /* all parts of a group in one line: there are few rows */
};

static struct place place_all(const struct tally_snapshot *snapshot)
{
	int columns = top_columns();
	struct place place = { .bar_x = 2 + NAME_WIDTH + 1, .peaks = columns >= PEAK_COLUMNS };
	int width = NUMBERS_WIDTH + (place.peaks ? PEAK_WIDTH : 0);
	bool abandoned = false;
	size_t n;

	for (n = 0; n < snapshot->pool_count; n++)
		abandoned = abandoned || snapshot->pools[n].totals.abandoned_bytes;
	width += abandoned ? ABANDONED_WIDTH : 0;
	/* A second each, or a few of them. */
	place.history = columns >= 180 ? 60 : columns >= 120 ? 40 : columns >= 72 ? 24 : 12;
	place.history_x = columns - place.history;
	place.bar = place.history_x - 1 - width - 1 - place.bar_x;
	place.group_history = place.bar >= BAR_WANTED;
	if (!place.group_history)
		place.bar = columns - width - 1 - place.bar_x;
	if (place.bar < BAR_MIN)
		place.bar = BAR_MIN;
	place.numbers_x = place.bar_x + place.bar + 1;
	place.peak_x = place.numbers_x + NUMBERS_WIDTH;
	if (abandoned)
		place.abandoned_x = place.peak_x + (place.peaks ? PEAK_WIDTH : 0);
	return place;
}

/* ---- Lines ----------------------------------------------------------------------------------- */

static void draw_history(const struct top *top, const struct place *place, uint32_t device,
			 uint32_t series, int y)
{
	const struct top_history *history = top_history_of(&top->histories, device, series);
	int64_t values[TOP_HISTORY_S];

	if (!history)
		return;
	top_history_read(history, values, (size_t)place->history);
	top_spark(y, place->history_x, values, (size_t)place->history);
}

static void draw_device(const struct top *top, const struct place *place,
			const struct tally_snapshot *snapshot,
			const struct tally_device_view *device, int y)
{
	struct tally_totals all = render_sum(top_device_pools(snapshot, device),
					     device->pool_count);
	bool wide = place->history_x > 60;
	char held[TEXT_MAX];

	text_bytes(held, all.live_bytes);
	top_text(y, 0, place->history_x - (wide ? 35 : 12), LOOK_HEAD, "%" PRIu32 " %s%s%s%s",
		 device->device,
		 device->name[0]       ? device->name
		 : device->totals_only ? "(totals only)"
				       : "(not described)",
		 device->arch[0] ? ", " : "", device->arch, device->remote ? ", remote" : "");
	if (wide)
		top_text_right(y, place->history_x - 34, 33, LOOK_DIM, "%s%s in all  last 2 min",
			       all.live_bytes != all.live_bytes_high ? ">=" : "", held);
	else
		top_text_right(y, place->history_x - 12, 11, LOOK_DIM, "last 2 min");
	draw_history(top, place, device->device, TOP_SERIES_ALL, y);
}

/* The used part of the capacity, in words as in the bar. */
static void draw_used(const struct place *place, const struct tally_pool_view *pool, int y)
{
	double part = (double)pool->totals.live_bytes / (double)pool->capacity_bytes;
	int x = place->numbers_x + HELD_WIDTH;
	char capacity[TEXT_MAX];

	top_bar(y, place->bar_x, place->bar, part);
	text_bytes(capacity,
		   pool->capacity_bytes > INT64_MAX ? INT64_MAX : (int64_t)pool->capacity_bytes);
	top_text(y, x, CAPACITY_WIDTH, LOOK_PLAIN, " of %s", capacity);
	x += CAPACITY_WIDTH;
	if (part > 0 && part < 0.01)
		top_text_right(y, x, PERCENT_WIDTH, LOOK_PLAIN, "<1 %%");
	else
		top_text_right(y, x, PERCENT_WIDTH, LOOK_PLAIN, "%.0f %%",
			       part > 9.99 ? 999 : part * 100);
}

/* A group, or with `part` its name there one of its parts. */
static void draw_pool(const struct place *place, const struct tally_pool_view *pool,
		      const char *part, int y)
{
	const struct tally_totals *totals = &pool->totals;
	char bytes[TEXT_MAX];

	top_text(y, part ? 4 : 2, NAME_WIDTH - (part ? 2 : 0), LOOK_PLAIN, "%s",
		 part ? part : pool->pool_name);
	if (pool->capacity_bytes)
		draw_used(place, pool, y);
	else if (!part)
		top_text_right(y, place->numbers_x + HELD_WIDTH + 1, NUMBERS_WIDTH - HELD_WIDTH - 1,
			       LOOK_DIM, "capacity unknown");
	text_bytes(bytes, totals->live_bytes);
	top_text_right(y, place->numbers_x, HELD_WIDTH, LOOK_PLAIN, "%s%s",
		       totals->live_bytes != totals->live_bytes_high ? ">=" : "", bytes);
	if (place->peaks && pool->totals_only) {
		top_text_right(y, place->peak_x, PEAK_WIDTH, LOOK_DIM, "%s", render_known(pool));
	} else if (place->peaks) {
		text_bytes(bytes, totals->peak_bytes);
		top_text_right(y, place->peak_x, PEAK_WIDTH, LOOK_PLAIN, "peak %s%s",
			       totals->peak_bytes != totals->peak_bytes_high ? ">=" : "", bytes);
	}
	if (place->abandoned_x && totals->abandoned_bytes) {
		text_bytes(bytes, totals->abandoned_bytes);
		top_text_right(y, place->abandoned_x, ABANDONED_WIDTH, LOOK_WARN, "%s abandoned",
			       bytes);
	}
}

/* The capacity of the whole is that of its first part, and stands there. */
static void draw_part(const struct place *place, const struct top_group *group, size_t n, int y)
{
	const struct top_part *part = &group->parts[n];
	struct tally_pool_view pool;

	if (!part->pool) {
		top_text(y, 4, NAME_WIDTH - 2, LOOK_PLAIN, "%s", part->name);
		top_text_right(y, place->numbers_x, HELD_WIDTH, LOOK_PLAIN, "%s",
			       part->unknown ? "-" : "0 B");
		return;
	}
	pool = *part->pool;
	if (n == 0)
		pool.capacity_bytes = 0;
	draw_pool(place, &pool, part->name, y);
}

static void draw_parts(const struct top_group *group, int y)
{
	int x = 4;
	size_t n;

	for (n = 0; n < group->part_count; n++) {
		const struct top_part *part = &group->parts[n];
		const struct tally_totals none = { 0 };
		const struct tally_totals *totals = part->pool ? &part->pool->totals : &none;
		char bytes[TEXT_MAX] = "-";

		if (!part->unknown)
			text_bytes(bytes, totals->live_bytes);
		x += top_text(y, x, top_columns() - x, LOOK_PLAIN, "%s %s%s", part->name,
			      totals->live_bytes != totals->live_bytes_high ? ">=" : "", bytes) +
		     2;
	}
}

/* ---- Lists ----------------------------------------------------------------------------------- */

/* A group that holds nothing is shown if it is known what it could hold. */
static bool next_shown(struct top_groups *groups, struct top_group *group)
{
	while (top_group_next(groups, group))
		if (!render_is_silent(&group->whole.totals) || group->whole.capacity_bytes)
			return true;
	return false;
}

/* A line of the list: its row on the screen, or -1 when it is not in view. */
static int next_row(const struct top_list *list, size_t *line)
{
	size_t at = (*line)++;

	if (at < list->first || at >= list->first + (size_t)list->height)
		return -1;
	return list->y + (int)(at - list->first);
}

static void draw_group(const struct top *top, const struct place *place,
		       const struct top_group *group, size_t *line)
{
	const struct top_list *list = &top->devices;
	int y = next_row(list, line);
	size_t n;

	if (y >= 0) {
		draw_pool(place, &group->whole, NULL, y);
		if (place->group_history)
			draw_history(top, place, group->whole.device, group->series, y);
	}
	if (group->part_count && place->parts_in_one) {
		y = next_row(list, line);
		if (y >= 0)
			draw_parts(group, y);
		return;
	}
	for (n = 0; n < group->part_count; n++) {
		y = next_row(list, line);
		if (y >= 0)
			draw_part(place, group, n, y);
	}
}

/* Draws what is in view, unless it is to be `counted` alone; returns all lines. */
static size_t list_all(const struct top *top, const struct place *place,
		       const struct tally_snapshot *snapshot, bool counted)
{
	const struct top_filter *filter = &top->model.filter;
	const struct top_list nothing = { .height = 0 };
	const struct top_list *list = counted ? &nothing : &top->devices;
	size_t lines = 0, n;

	for (n = 0; n < snapshot->device_count; n++) {
		const struct tally_device_view *device = &snapshot->devices[n];
		struct top_groups groups = top_groups_of(top, top_device_pools(snapshot, device),
							 device->pool_count);
		struct top_group group;
		bool any;
		int y;

		if (!top_filter_device(filter, snapshot, device->device))
			continue;
		groups.filter = filter->pool[0] ? filter : NULL;
		any = next_shown(&groups, &group);
		if (!any && groups.filter)
			continue;
		y = next_row(list, &lines);
		if (y >= 0)
			draw_device(top, place, snapshot, device, y);
		for (; any; any = next_shown(&groups, &group))
			if (counted)
				lines += 1 + (place->parts_in_one ? group.part_count > 0
								  : group.part_count);
			else
				draw_group(top, place, &group, &lines);
	}
	return lines;
}

/* That there are more above and below. */
static void say_more(const struct top *top, int y)
{
	const struct top_list *list = &top->devices;
	size_t below = list->count - list->first - (size_t)list->height;

	top_text(y, 2, top_columns() - 2, top->devices_focused ? LOOK_HEAD : LOOK_DIM,
		 "%zu more line%s above, %zu below: %s", list->first, list->first == 1 ? "" : "s",
		 below,
		 top->devices_focused ? "arrows scroll, Tab back to the processes"
				      : "Tab to scroll them");
}

int top_devices_draw(struct top *top, const struct tally_snapshot *snapshot, int y, int most)
{
	struct place place = place_all(snapshot);
	size_t lines = list_all(top, &place, snapshot, true);

	if (lines > (size_t)most && top_columns() >= ONE_LINE_COLUMNS) {
		place.parts_in_one = true;
		lines = list_all(top, &place, snapshot, true);
	}
	top->devices.plain = true;
	if (lines > (size_t)most) {
		top_list_place(&top->devices, lines, y, most - 2);
		say_more(top, y + most - 2);
	} else {
		top_list_place(&top->devices, lines, y, (int)lines);
		top->devices_focused = false;
		most = lines ? (int)lines + 1 : 0;
	}
	list_all(top, &place, snapshot, false);
	return most;
}
