/* SPDX-License-Identifier: Apache-2.0 */
/* The table of sums: binary search, insertion in order. */
#include "consumer/sums.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define SUMS_ROOM_MIN 4

/* Where `key` is, or where it belongs. */
static size_t place(const struct sums *sums, uint64_t key)
{
	size_t low = 0, high = sums->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (sums->all[middle].key < key)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static bool is_at(const struct sums *sums, size_t n, uint64_t key)
{
	return n < sums->count && sums->all[n].key == key;
}

static bool grow(struct sums *sums)
{
	size_t room = sums->room ? sums->room * 2 : SUMS_ROOM_MIN;
	struct sum *all = realloc(sums->all, room * sizeof(*all));

	if (!all)
		return false;
	sums->all = all;
	sums->room = room;
	return true;
}

struct sum *sums_get(struct sums *sums, uint64_t key)
{
	size_t n = place(sums, key);

	if (is_at(sums, n, key))
		return &sums->all[n];
	if (sums->count == sums->room && !grow(sums))
		return NULL;
	memmove(&sums->all[n + 1], &sums->all[n], (sums->count - n) * sizeof(*sums->all));
	memset(&sums->all[n], 0, sizeof(*sums->all));
	sums->all[n].key = key;
	sums->all[n].totals.current = true;
	sums->count++;
	return &sums->all[n];
}

struct sum *sums_find(const struct sums *sums, uint64_t key)
{
	size_t n = place(sums, key);

	return is_at(sums, n, key) ? &sums->all[n] : NULL;
}

void sum_restart(struct sum *sum)
{
	struct sum fresh = {
		.key = sum->key,
		.totals.current = true,
		.observed_bytes = sum->observed_bytes,
		.sole = sum->sole,
		.several = sum->several,
	};

	*sum = fresh;
}

void sums_restart(struct sums *sums)
{
	size_t n;

	for (n = 0; n < sums->count; n++)
		sum_restart(&sums->all[n]);
}

int sums_copy(struct sums *to, const struct sums *from)
{
	while (to->room < from->count)
		if (!grow(to))
			return -ENOMEM;
	if (from->count > 0)
		memcpy(to->all, from->all, from->count * sizeof(*from->all));
	to->count = from->count;
	return 0;
}

void sums_free(struct sums *sums)
{
	free(sums->all);
	memset(sums, 0, sizeof(*sums));
}

void sum_order_peaks(struct tally_totals *totals)
{
	if (totals->peak_bytes < totals->live_bytes)
		totals->peak_bytes = totals->live_bytes;
	if (totals->peak_bytes_high < totals->live_bytes_high)
		totals->peak_bytes_high = totals->live_bytes_high;
	if (totals->peak_bytes_high < totals->peak_bytes)
		totals->peak_bytes_high = totals->peak_bytes;
}
