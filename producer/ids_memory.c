/* SPDX-License-Identifier: Apache-2.0 */
/* The table of sizes by id: its memory, and what becomes of it at a fork.
 */
#include "producer/ids.h"

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "ring/region.h"

#define SHARD_ENTRIES_MIN 2048
#define ENTRIES_MAX (1ull << 32)

/* ---- Arrays ---------------------------------------------------------------------------------- */

void *ids_map(const struct tally_ids *ids, size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (memory == MAP_FAILED)
		return NULL;
	if (ids->wiped && madvise(memory, size, MADV_WIPEONFORK) != 0) {
		munmap(memory, size);
		return NULL;
	}
	return memory;
}

void ids_empty(struct tally_ids *ids, size_t n)
{
	struct ids_array array = ids_array_now(ids, n);

	if (array.slots)
		memset(array.slots, 0, ids_array_size(&array));
	ids->shards[n].live = 0;
}

/* ---- Where the kernel does not wipe ---------------------------------------------------------- */

static pthread_mutex_t unwiped_lock = PTHREAD_MUTEX_INITIALIZER;
static struct tally_ids *unwiped;

static void unwiped_prepare(void)
{
	pthread_mutex_lock(&unwiped_lock);
}

static void unwiped_parent(void)
{
	pthread_mutex_unlock(&unwiped_lock);
}

static void unwiped_child(void)
{
	struct tally_ids *ids;
	size_t n;

	for (ids = unwiped; ids; ids = ids->next) {
		for (n = 0; n < ids->shard_count; n++)
			ids_empty(ids, n);
		memset(ids->shards, 0, ids->shards_size);
	}
	pthread_mutex_unlock(&unwiped_lock);
}

static bool unwiped_add(struct tally_ids *ids)
{
	static bool handlers;

	pthread_mutex_lock(&unwiped_lock);
	handlers = handlers || pthread_atfork(unwiped_prepare, unwiped_parent, unwiped_child) == 0;
	if (handlers) {
		ids->next = unwiped;
		unwiped = ids;
	}
	pthread_mutex_unlock(&unwiped_lock);
	return handlers;
}

static void unwiped_drop(const struct tally_ids *ids)
{
	struct tally_ids **link;

	pthread_mutex_lock(&unwiped_lock);
	for (link = &unwiped; *link && *link != ids; link = &(*link)->next)
		;
	if (*link)
		*link = ids->next;
	pthread_mutex_unlock(&unwiped_lock);
}

/* ---- Making and dropping --------------------------------------------------------------------- */

/* The numbers, checked. */
static int settle(const struct tally_ids_options *options, struct tally_ids *ret_ids)
{
	uint64_t max = options && options->entries_max ? options->entries_max : TALLY_IDS_ENTRIES;
	uint32_t shards = options && options->shards ? options->shards : TALLY_IDS_SHARDS;

	if (max > ENTRIES_MAX || shards > TALLY_IDS_SHARDS_MAX || (shards & (shards - 1)) != 0)
		return -EINVAL;
	while (shards > 1 && max / shards < SHARD_ENTRIES_MIN)
		shards /= 2;
	ret_ids->entries_max = max;
	ret_ids->shard_count = shards;
	ret_ids->share = max / shards;
	ret_ids->kept = options && options->kept;
	return 0;
}

static void choose_seed(struct tally_ids *ids)
{
	struct timespec now;
	int cancel_state;
	ssize_t got;

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
	got = getrandom(ids->seed, sizeof(ids->seed), GRND_NONBLOCK);
	pthread_setcancelstate(cancel_state, &cancel_state);
	if (got == sizeof(ids->seed))
		return;
	clock_gettime(CLOCK_MONOTONIC, &now);
	ids->seed[0] = (uint64_t)now.tv_nsec * 0x9e3779b97f4a7c15ull;
	ids->seed[1] = (uintptr_t)ids ^ (uint64_t)now.tv_nsec << 32;
}

static int make(struct tally_ids *as, struct tally_ids **ret_ids)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);
	size_t shards = as->shard_count * sizeof(struct ids_shard);
	char *base;

	as->shards_size = (shards + page - 1) / page * page;
	as->map_size = page + as->shards_size;
	base = mmap(NULL, as->map_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (base == MAP_FAILED)
		return -ENOMEM;
	as->shards = (struct ids_shard *)(void *)(base + page);
	as->wiped = region_advice_heeded(base) &&
		    madvise(as->shards, as->shards_size, MADV_WIPEONFORK) == 0;
	choose_seed(as);
	memcpy(base, as, sizeof(*as));
	if (!as->wiped && !unwiped_add((struct tally_ids *)(void *)base)) {
		munmap(base, as->map_size);
		return -ENOMEM;
	}
	*ret_ids = (struct tally_ids *)(void *)base;
	return 0;
}

int tally_ids_create(const struct tally_ids_options *options, struct tally_ids **ret_ids)
{
	struct tally_ids ids = { .entries_max = 0 };
	int saved_errno = errno;
	int error = settle(options, &ids);

	if (!error)
		error = make(&ids, ret_ids);
	errno = saved_errno;
	return error;
}

void tally_ids_destroy(struct tally_ids *ids)
{
	int saved_errno = errno;
	size_t n;

	if (!ids)
		return;
	if (!ids->wiped)
		unwiped_drop(ids);
	for (n = 0; n < ids->shard_count; n++) {
		struct ids_array array = ids_array_now(ids, n);

		if (array.slots)
			munmap(array.slots, ids_array_size(&array));
	}
	munmap(ids, ids->map_size);
	errno = saved_errno;
}
