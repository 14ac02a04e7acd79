/* SPDX-License-Identifier: Apache-2.0 */
/* The table of sums: binary search, and insertion of many at once. */
#include "consumer/sums.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <tally/abi.h>

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

struct sum *sums_find(const struct sums *sums, uint64_t key)
{
	size_t n = place(sums, key);

	return is_at(sums, n, key) ? &sums->all[n] : NULL;
}

struct sum *sums_find_near(const struct sums *sums, uint64_t key, size_t *place_near)
{
	if (!is_at(sums, *place_near, key))
		*place_near = place(sums, key);
	return is_at(sums, *place_near, key) ? &sums->all[*place_near] : NULL;
}

/* Room for so many items of `size` bytes in an array that grows; NULL: no memory. */
static void *grow(void *all, size_t count, size_t *room, size_t size)
{
	size_t more = *room ? *room : SUMS_ROOM_MIN;

	if (count <= *room)
		return all;
	while (more < count)
		more *= 2;
	all = realloc(all, more * size);
	if (all)
		*room = more;
	return all;
}

int sums_note(struct sums *sums, uint64_t key)
{
	uint64_t *noted = grow(sums->noted, sums->noted_count + 1, &sums->noted_room,
			       sizeof(*noted));

	if (!noted)
		return -ENOMEM;
	sums->noted = noted;
	noted[sums->noted_count++] = key;
	return 0;
}

static int by_key(const void *a, const void *b)
{
	const uint64_t *one = a, *other = b;

	return (*one > *other) - (*one < *other);
}

/* Leaves of the noted keys those that are new, each once, in order. */
static void sift(struct sums *sums)
{
	size_t kept = 0, n;

	qsort(sums->noted, sums->noted_count, sizeof(*sums->noted), by_key);
	for (n = 0; n < sums->noted_count; n++) {
		uint64_t key = sums->noted[n];

		if ((kept == 0 || sums->noted[kept - 1] != key) && !sums_find(sums, key))
			sums->noted[kept++] = key;
	}
	sums->noted_count = kept;
}

int sums_settle(struct sums *sums)
{
	size_t old, fresh, to;
	struct sum *all;

	if (sums->noted_count == 0)
		return 0;
	sift(sums);
	old = sums->count;
	fresh = sums->noted_count;
	all = grow(sums->all, old + fresh, &sums->room, sizeof(*all));
	if (!all)
		return -ENOMEM;
	sums->all = all;
	sums->count = old + fresh;
	sums->noted_count = 0;
	for (to = sums->count; fresh > 0;) { /* from the end, where there is room */
		if (old > 0 && all[old - 1].key > sums->noted[fresh - 1]) {
			all[--to] = all[--old];
			continue;
		}
		memset(&all[--to], 0, sizeof(*all));
		all[to].key = sums->noted[--fresh];
		all[to].totals.current = true;
		if (TALLY_KEY_POOL(all[to].key) >= POOL_NAMED_MIN)
			sums->names_asked = true;
	}
	return 0;
}

struct sum *sums_get(struct sums *sums, uint64_t key)
{
	struct sum *sum = sums_find(sums, key);

	if (!sum && sums_note(sums, key) == 0 && sums_settle(sums) == 0)
		sum = sums_find(sums, key);
	return sum;
}

void sum_restart(struct sum *sum)
{
	sum->totals = (struct tally_totals){
		.current = true,
		.attach_peak_bytes = sum->totals.attach_peak_bytes,
	};
	sum->freed_first = sum->freed_between = sum->frees_between = 0;
	sum->peaks = sum->peak_single = 0;
	sum->writers = 0;
	sum->shared = sum->totals_only = false;
}

void sums_restart(struct sums *sums)
{
	size_t n;

	for (n = 0; n < sums->count; n++)
		sum_restart(&sums->all[n]);
}

int sums_copy(struct sums *to, const struct sums *from)
{
	struct sum *all = grow(to->all, from->count, &to->room, sizeof(*all));

	if (!all && from->count > 0)
		return -ENOMEM;
	to->all = all;
	if (from->count > 0)
		memcpy(to->all, from->all, from->count * sizeof(*from->all));
	to->count = from->count;
	to->names_asked = from->names_asked;
	return 0;
}

void sums_free(struct sums *sums)
{
	free(sums->all);
	free(sums->noted);
	memset(sums, 0, sizeof(*sums));
}

void sum_order_bounds(struct tally_totals *totals)
{
	if (totals->live_bytes_high < totals->live_bytes)
		totals->live_bytes_high = totals->live_bytes;
	if (totals->peak_bytes < totals->live_bytes)
		totals->peak_bytes = totals->live_bytes;
	if (totals->peak_bytes_high < totals->live_bytes_high)
		totals->peak_bytes_high = totals->live_bytes_high;
	if (totals->peak_bytes_high < totals->peak_bytes)
		totals->peak_bytes_high = totals->peak_bytes;
}
