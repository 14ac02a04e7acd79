/* SPDX-License-Identifier: Apache-2.0 */
/* What each device held during the last two minutes: the most in each second. */
#include <stdlib.h>
#include <string.h>

#include "top.h"

/* What overflows wraps: nobody vouches for the numbers. */
static int64_t held_by(const struct tally_snapshot *snapshot,
		       const struct tally_device_view *device)
{
	uint64_t held = 0;
	size_t n;

	for (n = 0; n < device->pool_count; n++)
		held += (uint64_t)snapshot->pools[device->first_pool + n].totals.live_bytes;
	return (int64_t)held;
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

static struct top_history *make(uint32_t device, uint64_t second)
{
	struct top_history *history = calloc(1, sizeof(*history));

	if (history) {
		history->device = device;
		history->last_s = second;
	}
	return history;
}

/* Both are in the order of devices. One that has left is kept as long as it would show. */
void top_histories_take(struct top_histories *histories, const struct tally_snapshot *snapshot)
{
	uint64_t second = snapshot->monotonic_ns / 1000000000u;
	struct top_history **all;
	size_t count = 0, i = 0, n = 0;

	if (histories->taken_ns == snapshot->monotonic_ns)
		return;
	histories->taken_ns = snapshot->monotonic_ns;
	all = calloc(histories->count + snapshot->device_count + 1, sizeof(struct top_history *));
	if (!all)
		return;
	while (i < histories->count || n < snapshot->device_count) {
		struct top_history *old = i < histories->count ? histories->all[i] : NULL;
		const struct tally_device_view *device = n < snapshot->device_count
								 ? &snapshot->devices[n]
								 : NULL;

		if (old && (!device || old->device < device->device)) {
			i++;
			if (second - old->last_s < TOP_HISTORY_S)
				all[count++] = old;
			else
				free(old);
			continue;
		}
		n++;
		if (old && old->device == device->device)
			i++;
		else
			old = make(device->device, second);
		if (!old)
			continue;
		add(old, second, held_by(snapshot, device));
		all[count++] = old;
	}
	free(histories->all);
	histories->all = all;
	histories->count = count;
}

void top_histories_free(struct top_histories *histories)
{
	size_t n;

	for (n = 0; n < histories->count; n++)
		free(histories->all[n]);
	free(histories->all);
}

static int by_device(const void *key, const void *member)
{
	uint32_t device = *(const uint32_t *)key;
	uint32_t other = (*(struct top_history *const *)member)->device;

	return device < other ? -1 : device > other;
}

const struct top_history *top_history_of(const struct top_histories *histories, uint32_t device)
{
	struct top_history **found = NULL;

	if (histories->count)
		found = bsearch(&device, histories->all, histories->count, sizeof(*found),
				by_device);
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
