/* SPDX-License-Identifier: Apache-2.0 */
/* The process table of `tally top`: which processes, in what order, and the one selected. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "top.h"

void top_model_free(struct top_model *model)
{
	free(model->rows);
	free(model->scratch);
}

/* ---- Filters --------------------------------------------------------------------------------- */

bool top_filter_is_set(const struct top_filter *filter)
{
	return filter->text[0] || filter->device[0] || filter->pool[0];
}

static bool is_number(const char *text, uint32_t number)
{
	char digits[TEXT_MAX];

	snprintf(digits, sizeof(digits), "%u", number);
	return strcmp(digits, text) == 0;
}

static bool is_all_digits(const char *text)
{
	return text[strspn(text, "0123456789")] == '\0';
}

bool top_filter_device(const struct top_filter *filter, const struct tally_snapshot *snapshot,
		       uint32_t device)
{
	const struct tally_device_view *view;

	if (!filter->device[0])
		return true;
	if (is_all_digits(filter->device))
		return is_number(filter->device, device);
	view = render_device(snapshot, device);
	return view &&
	       (strcasestr(view->name, filter->device) || strcasestr(view->arch, filter->device));
}

bool top_filter_pool(const struct top_filter *filter, uint32_t pool, const char *name)
{
	return !filter->pool[0] || strcasecmp(name, filter->pool) == 0 ||
	       is_number(filter->pool, pool);
}

bool top_filter_process(const struct top_filter *filter, uint32_t pid, const char *comm)
{
	char digits[TEXT_MAX];

	if (!filter->text[0])
		return true;
	snprintf(digits, sizeof(digits), "%u", pid);
	return strcasestr(comm, filter->text) ||
	       strncmp(digits, filter->text, strlen(filter->text)) == 0;
}

/* ---- Rows ------------------------------------------------------------------------------------ */

/* The pools that the filter lets pass, in a row. */
static const struct tally_pool_view *
filter_pools(struct top_model *model, const struct tally_process_view *process, size_t *ret_count)
{
	const struct tally_pool_view *all =
		process->pool_count ? &model->snapshot->process_pools[process->first_pool] : NULL;
	size_t n;

	*ret_count = process->pool_count;
	if (!model->filter.device[0] && !model->filter.pool[0])
		return all;
	if (process->pool_count > model->scratch_room) {
		void *scratch = realloc(model->scratch, process->pool_count * sizeof(*all));

		if (!scratch)
			return all;
		model->scratch = scratch;
		model->scratch_room = process->pool_count;
	}
	*ret_count = 0;
	for (n = 0; n < process->pool_count; n++)
		if (top_filter_pool(&model->filter, all[n].pool, all[n].pool_name) &&
		    top_filter_device(&model->filter, model->snapshot, all[n].device))
			model->scratch[(*ret_count)++] = all[n];
	return model->scratch;
}

/* Not known when it is not of any. */
static double rate_of(const struct tally_pool_view *pools, size_t count)
{
	double rate = -1;
	size_t n;

	for (n = 0; n < count; n++)
		if (pools[n].allocations_per_s >= 0)
			rate = (rate < 0 ? 0 : rate) + pools[n].allocations_per_s;
	return rate;
}

static void take_process(struct top_model *model, size_t n)
{
	const struct tally_process_view *process = &model->snapshot->processes[n];
	bool parts = model->filter.device[0] || model->filter.pool[0];
	const struct tally_pool_view *pools;
	struct top_row *row;
	size_t count;
	int kind;

	if (!top_filter_process(&model->filter, process->pid, process->comm))
		return;
	pools = filter_pools(model, process, &count);
	if (parts && count == 0)
		return;
	row = &model->rows[model->row_count++];
	row->process = n;
	row->id = process->region_id;
	row->sum = render_sum(pools, count);
	row->rate = process->end == TALLY_RUNNING ? rate_of(pools, count) : -1;
	row->peak_known = count < 2;
	for (kind = 0; kind < TOP_GROUP_KINDS; kind++)
		row->groups[kind] = top_group_held((enum top_group_kind)kind, pools, count);
}

static bool make_room(struct top_model *model, size_t count)
{
	struct top_row *rows;

	if (count <= model->row_room)
		return true;
	rows = realloc(model->rows, count * sizeof(*rows));
	if (!rows)
		return false;
	model->rows = rows;
	model->row_room = count;
	return true;
}

/* ---- Order ----------------------------------------------------------------------------------- */

#define COMPARE(a, b) (((a) > (b)) - ((a) < (b)))

/* What ended holds nothing: what it left is in a column of its own. */
static int64_t held(const struct top_model *model, const struct top_row *row, int64_t bytes)
{
	return model->snapshot->processes[row->process].end == TALLY_RUNNING ? bytes : -1;
}

static int compare_held(const struct top_model *model, const struct top_row *a,
			const struct top_row *b, enum top_group_kind kind)
{
	return COMPARE(held(model, b, b->groups[kind].bytes),
		       held(model, a, a->groups[kind].bytes));
}

/* Text and pids from the first on, numbers from the largest. */
static int compare_by(const struct top_model *model, const struct top_row *a,
		      const struct top_row *b)
{
	const struct tally_process_view *one = &model->snapshot->processes[a->process];
	const struct tally_process_view *other = &model->snapshot->processes[b->process];

	switch (model->sort) {
	case COLUMN_COMMAND:
		return strcmp(one->comm, other->comm);
	case COLUMN_USER:
		return COMPARE(one->uid, other->uid);
	case COLUMN_HELD:
		return COMPARE(held(model, b, b->sum.live_bytes),
			       held(model, a, a->sum.live_bytes));
	case COLUMN_DRAM:
		return compare_held(model, a, b, TOP_GROUP_DRAM);
	case COLUMN_L1:
		return compare_held(model, a, b, TOP_GROUP_L1);
	case COLUMN_SYSTEM:
		return compare_held(model, a, b, TOP_GROUP_SYSTEM);
	case COLUMN_PEAK:
		return COMPARE(b->sum.peak_bytes, a->sum.peak_bytes);
	case COLUMN_ABANDONED:
		return COMPARE(b->sum.abandoned_bytes, a->sum.abandoned_bytes);
	case COLUMN_RATE:
		return COMPARE(b->rate, a->rate);
	case COLUMN_ALLOCS:
		return COMPARE(b->sum.allocations, a->sum.allocations);
	case COLUMN_FREES:
		return COMPARE(b->sum.frees, a->sum.frees);
	case COLUMN_FAILED:
		return COMPARE(b->sum.failures, a->sum.failures);
	case COLUMN_LOST:
		return COMPARE(other->lost_records, one->lost_records);
	case COLUMN_STATE:
		return COMPARE(one->end, other->end);
	case COLUMN_PID:
	case COLUMN_DEVICES:
	case COLUMN_COUNT:
		break;
	}
	return COMPARE(one->pid, other->pid);
}

/* Equals stay in the order of their pids, then of their start, whichever way round. */
static int compare(const void *left, const void *right, void *arg)
{
	const struct top_row *a = left, *b = right;
	const struct top_model *model = arg;
	int order = compare_by(model, a, b);

	if (order != 0)
		return model->reversed ? -order : order;
	order = COMPARE(model->snapshot->processes[a->process].pid,
			model->snapshot->processes[b->process].pid);
	return order != 0 ? order : COMPARE(a->process, b->process);
}

static void find_selected(struct top_model *model)
{
	size_t n;

	for (n = 0; n < model->row_count; n++)
		if (model->rows[n].id == model->selected_id) {
			model->selected = n;
			return;
		}
	top_model_select(model, model->selected); /* it has left: who is there now */
}

/* ---- Calls ----------------------------------------------------------------------------------- */

void top_model_select(struct top_model *model, size_t row)
{
	if (row >= model->row_count)
		row = model->row_count ? model->row_count - 1 : 0;
	model->selected = row;
	model->selected_id = model->row_count ? model->rows[row].id : 0;
}

void top_model_changed(struct top_model *model)
{
	model->taken_ns = 0;
}

void top_model_take(struct top_model *model, const struct tally_snapshot *snapshot)
{
	size_t n;

	model->snapshot = snapshot;
	if (model->taken_ns == snapshot->monotonic_ns)
		return;
	model->row_count = 0;
	if (!make_room(model, snapshot->process_count))
		return; /* again with the next one */
	for (n = 0; n < snapshot->process_count; n++)
		take_process(model, n);
	if (model->row_count)
		qsort_r(model->rows, model->row_count, sizeof(*model->rows), compare, model);
	model->taken_ns = snapshot->monotonic_ns;
	find_selected(model);
}
