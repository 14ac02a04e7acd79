/* SPDX-License-Identifier: Apache-2.0 */
/* What each device and each of its groups held during the last two minutes: the most in each
 * second. */
#include <stdlib.h>
#include <string.h>

#include "top.h"

/* What is to be added at a look, in the order of keys. */
struct value {
	uint64_t key;
	int64_t held;
};

static uint64_t key_of(uint32_t device, uint32_t series)
{
	return (uint64_t)device << 32 | series;
}

/* What overflows wraps: nobody vouches for the numbers. Groups come in the order of their series.
 */
static size_t list_device(const struct top *top, const struct tally_snapshot *snapshot,
			  const struct tally_device_view *device, struct value *values)
{
	struct top_groups groups = top_groups_of(top, top_device_pools(snapshot, device),
						 device->pool_count);
	struct top_group group;
	uint64_t held = 0;
	size_t count = 1;

	while (top_group_next(&groups, &group)) {
		held += (uint64_t)group.whole.totals.live_bytes;
		values[count++] = (struct value){ key_of(device->device, group.series),
						  group.whole.totals.live_bytes };
	}
	values[0] = (struct value){ key_of(device->device, TOP_SERIES_ALL), (int64_t)held };
	return count;
}

static struct value *list_values(const struct top *top, const struct tally_snapshot *snapshot,
				 size_t *ret_count)
{
	struct value *values = calloc(snapshot->device_count + snapshot->pool_count + 1,
				      sizeof(*values));
	size_t n;

	*ret_count = 0;
	for (n = 0; values && n < snapshot->device_count; n++)
		*ret_count += list_device(top, snapshot, &snapshot->devices[n],
					  &values[*ret_count]);
	return values;
}

static void add(struct top_history *history, uint64_t second, int64_t held)
{
	size_t at = second % TOP_HISTORY_S;
	uint64_t n;

	/* What lies between was not looked at. */
	for (n = history->last_s + 1; n <= second && n <= history->last_s + TOP_HISTORY_S; n++)
		history->known[n % TOP_HISTORY_S] = false;
	if (!history->known[at] || held > history->held[at])
		history->held[at] = held;
	history->known[at] = true;
	history->last_s = second;
}

static struct top_history *make(uint64_t key, uint64_t second)
{
	struct top_history *history = calloc(1, sizeof(*history));

	if (history) {
		history->key = key;
		history->last_s = second;
	}
	return history;
}

/* Both are in the order of keys. One that has left is kept as long as it would show. */
static size_t merge(struct top_histories *histories, struct top_history **all,
		    const struct value *values, size_t value_count, uint64_t second)
{
	size_t count = 0, i = 0, n = 0;

	while (i < histories->count || n < value_count) {
		struct top_history *old = i < histories->count ? histories->all[i] : NULL;
		const struct value *value = n < value_count ? &values[n] : NULL;

		if (old && (!value || old->key < value->key)) {
			i++;
			if (second - old->last_s < TOP_HISTORY_S)
				all[count++] = old;
			else
				free(old);
			continue;
		}
		n++;
		if (old && old->key == value->key)
			i++;
		else
			old = make(value->key, second);
		if (!old)
			continue;
		add(old, second, value->held);
		all[count++] = old;
	}
	return count;
}

void top_histories_take(struct top *top, const struct tally_snapshot *snapshot)
{
	struct top_histories *histories = &top->histories;
	uint64_t second = snapshot->monotonic_ns / 1000000000u;
	struct top_history **all = NULL;
	struct value *values;
	size_t count;

	if (histories->taken_ns == snapshot->monotonic_ns)
		return;
	histories->taken_ns = snapshot->monotonic_ns;
	values = list_values(top, snapshot, &count);
	if (values)
		all = calloc(histories->count + count + 1, sizeof(struct top_history *));
	if (all) {
		count = merge(histories, all, values, count, second);
		free(histories->all);
		histories->all = all;
		histories->count = count;
	}
	free(values);
}

void top_histories_free(struct top_histories *histories)
{
	size_t n;

	for (n = 0; n < histories->count; n++)
		free(histories->all[n]);
	free(histories->all);
}

static int by_key(const void *sought, const void *member)
{
	uint64_t key = *(const uint64_t *)sought;
	uint64_t other = (*(struct top_history *const *)member)->key;

	return key < other ? -1 : key > other;
}

const struct top_history *top_history_of(const struct top_histories *histories, uint32_t device,
					 uint32_t series)
{
	uint64_t key = key_of(device, series);
	struct top_history **found = NULL;

	if (histories->count)
		found = bsearch(&key, histories->all, histories->count, sizeof(*found), by_key);
	return found ? *found : NULL;
}

void top_history_read(const struct top_history *history, int64_t *values, size_t count)
{
	/* Seconds a value stands for. It begins at a multiple of them, so that a value once shown
	 * moves as it is. */
	uint64_t step = (TOP_HISTORY_S + count - 1) / count;
	uint64_t last = history->last_s / step;
	int64_t before = -1;
	size_t n;

	for (n = 0; n < count; n++) {
		uint64_t first_s = last >= count - 1 - n ? (last - (count - 1 - n)) * step : 0;
		uint64_t s;
		int64_t most = -1;

		for (s = first_s; s < first_s + step && s <= history->last_s; s++)
			if (s + TOP_HISTORY_S > history->last_s &&
			    history->known[s % TOP_HISTORY_S] &&
			    history->held[s % TOP_HISTORY_S] > most)
				most = history->held[s % TOP_HISTORY_S];
		values[n] = most >= 0 ? most : before; /* no look then: as it was */
		before = values[n];
	}
}
