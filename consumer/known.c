/* SPDX-License-Identifier: Apache-2.0 */
/* Known names: binary search, insertion in order, forgetting. */
#include "consumer/known.h"

#include <stdlib.h>
#include <string.h>

#include "consumer/watch.h"

static size_t place(const struct known_list *list, const char *name)
{
	size_t low = 0, high = list->count;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (strcmp(list->all[middle]->name, name) < 0)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

struct known *known_find(const struct known_list *list, const char *name)
{
	size_t n = place(list, name);

	if (n < list->count && strcmp(list->all[n]->name, name) == 0)
		return list->all[n];
	return NULL;
}

void *known_room(void *all, size_t count, size_t *room)
{
	size_t more = *room ? *room * 2 : 16;

	if (count < *room)
		return all;
	all = realloc(all, more * sizeof(void *));
	if (all)
		*room = more;
	return all;
}

struct known *known_add(struct known_list *list, const char *name)
{
	struct known **all = known_room(list->all, list->count, &list->room);
	size_t size = strlen(name) + 1;
	struct known *known;
	size_t n;

	if (!all)
		return NULL;
	list->all = all;
	known = calloc(1, sizeof(*known) + size);
	if (!known)
		return NULL;
	memcpy(known->name, name, size);
	n = place(list, name);
	memmove(&list->all[n + 1], &list->all[n], (list->count - n) * sizeof(struct known *));
	list->all[n] = known;
	list->count++;
	return known;
}

void known_forget(struct known_list *list, uint64_t look)
{
	size_t n, kept = 0;

	for (n = 0; n < list->count; n++) {
		struct known *known = list->all[n];

		if (known->look == look) {
			list->all[kept++] = known;
			continue;
		}
		if (known->region)
			known->region->file_gone = true;
		free(known);
	}
	list->count = kept;
}

void known_free(struct known_list *list)
{
	size_t n;

	for (n = 0; n < list->count; n++)
		free(list->all[n]);
	free(list->all);
}
