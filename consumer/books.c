/* SPDX-License-Identifier: Apache-2.0 */
/* Books: made as tags and pools are met, found by number. */
#include "consumer/books.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "consumer/watch.h"
#include "ring/clock.h"
#include "ring/entries.h"

#define INDEX_ROOM_MIN 16

/* ---- An index -------------------------------------------------------------------------------- */

static size_t place(const struct book_index *index, uint64_t key)
{
	uint64_t hash = (key ^ index->seed) * 0x9e3779b97f4a7c15ull;

	hash = (hash ^ hash >> 32) * (index->seed | 1);
	return (size_t)(hash >> 32) & (index->room - 1);
}

static struct book_entry *find(const struct book_index *index, uint64_t key)
{
	size_t n = place(index, key);

	while (index->all[n].key != 0 && index->all[n].key != key)
		n = (n + 1) & (index->room - 1);
	return &index->all[n];
}

static void *look_up(const struct book_index *index, uint64_t key)
{
	return index->room ? find(index, key)->books : NULL;
}

/* Room for one more, so that a third stays empty. */
static bool make_room(struct book_index *index)
{
	struct book_index more = {
		.seed = index->seed,
		.room = index->room ? index->room * 2 : INDEX_ROOM_MIN,
	};
	size_t n;

	if ((index->count + 1) * 3 <= index->room * 2)
		return true;
	more.all = calloc(more.room, sizeof(*more.all));
	if (!more.all)
		return false;
	for (n = 0; n < index->room; n++)
		if (index->all[n].key != 0)
			*find(&more, index->all[n].key) = index->all[n];
	free(index->all);
	index->all = more.all;
	index->room = more.room;
	return true;
}

static void enter(struct book_index *index, uint64_t key, void *books)
{
	*find(index, key) = (struct book_entry){ key, books };
	index->count++;
}

static void free_index(struct book_index *index)
{
	size_t n;

	for (n = 0; n < index->room; n++)
		free(index->all[n].books);
	free(index->all);
}

/* ---- Names ----------------------------------------------------------------------------------- */

void books_tag_name(struct region_watch *region, uint32_t tag, char *to)
{
	struct tally_tag_entry entry;

	if (tag == 0)
		to[0] = '\0';
	else if (region && region->view.base && tag <= region->view.at.tags &&
		 entries_read_tag(region->view.base, &region->view.at, tag - 1, &entry))
		memcpy(to, entry.name, sizeof(entry.name));
	else if (tag == BOOKS_TAG_OTHERS)
		snprintf(to, sizeof(entry.name), "(others)");
	else
		snprintf(to, sizeof(entry.name), "tag-%u", tag);
}

static void read_name(struct pool_books *pool)
{
	struct region_watch *region = pool->holder->region;
	struct tally_pool_entry entry;

	if (describe_fixed_pool(pool->pool) || pool->name == pool->given || !region ||
	    !region->view.base ||
	    !entries_read_pool(region->view.base, &region->view.at, pool->pool, &entry))
		return;
	memcpy(pool->given, entry.name, sizeof(pool->given));
	rcu_set_pointer(&pool->name, pool->given);
}

void books_read_names(struct holder *holder)
{
	size_t n;

	for (n = 0; n < holder->pools.room; n++)
		if (holder->pools.all[n].books)
			read_name(holder->pools.all[n].books);
}

/* ---- Books ----------------------------------------------------------------------------------- */

static uint64_t pool_key(uint64_t where)
{
	return 1ull << 32 | where >> 40; /* device and pool */
}

/* Whether one who has `own` of `all` may have one more. */
static bool is_left(size_t own, size_t all, size_t all_max)
{
	return all < all_max && own <= all_max - all;
}

static bool pool_is_left(const struct holder *holder)
{
	size_t own = holder->pools.count, all = holder->all ? holder->all->pools : 0;

	return own < BOOKS_FEW_POOLS ||
	       (own < BOOKS_POOLS_MAX && is_left(own, all, BOOKS_ALL_POOLS_MAX));
}

static bool tag_is_left(const struct holder *holder)
{
	size_t own = holder->tags.count, all = holder->all ? holder->all->tags : 0;

	return own < BOOKS_FEW_TAGS ||
	       (own < BOOKS_TAGS_MAX && is_left(own, all, BOOKS_ALL_TAGS_MAX));
}

static struct pool_books *new_pool(struct holder *holder, uint64_t where)
{
	struct pool_books *pool;

	if (!pool_is_left(holder) || !make_room(&holder->pools))
		return NULL;
	pool = calloc(1, sizeof(*pool));
	if (!pool)
		return NULL;
	pool->holder = holder;
	pool->device = (uint32_t)(where >> 48);
	pool->pool = (uint32_t)(where >> 40 & 0xff);
	pool->seed = books_secret();
	snprintf(pool->number, sizeof(pool->number), "pool-%u", (unsigned int)pool->pool & 0xff);
	pool->name = describe_fixed_pool(pool->pool);
	if (!pool->name)
		pool->name = pool->number;
	read_name(pool);
	enter(&holder->pools, pool_key(where), pool);
	if (holder->all)
		holder->all->pools++;
	return pool;
}

static struct tag_books *new_tag(struct holder *holder, uint64_t where, uint32_t tag, uint64_t key)
{
	struct pool_books *pool = look_up(&holder->pools, pool_key(where));
	struct tag_books *books;

	if (!pool)
		pool = new_pool(holder, where);
	if (!pool || !make_room(&holder->tags))
		return NULL;
	books = calloc(1, sizeof(*books));
	if (!books)
		return NULL;
	books->pool = pool;
	books->tag = tag;
	books_tag_name(holder->region, tag, books->name);
	enter(&holder->tags, key, books);
	if (holder->all)
		holder->all->tags++;
	return books;
}

/* Never 0, as the tag is followed by a bit that is set. */
static uint64_t tag_key(uint64_t where, uint32_t tag)
{
	return (where >> 40) << 33 | 1ull << 32 | tag;
}

struct tag_books *books_of(struct holder *holder, uint64_t where, uint32_t tag)
{
	uint64_t key = tag_key(where, tag);
	struct tag_books *books;

	if (key == holder->last_key)
		return holder->last;
	books = look_up(&holder->tags, key);
	if (!books && tag != BOOKS_TAG_OTHERS && !tag_is_left(holder))
		return books_of(holder, where, BOOKS_TAG_OTHERS);
	if (!books)
		books = new_tag(holder, where, tag, key);
	if (books) {
		holder->last_key = key;
		holder->last = books;
	}
	return books;
}

struct pool_books *books_pool_of(struct holder *holder, uint64_t where)
{
	struct pool_books *pool = holder->last ? holder->last->pool : NULL;

	if (pool && holder->last_key >> 33 == where >> 40)
		return pool;
	pool = look_up(&holder->pools, pool_key(where));
	return pool ? pool : new_pool(holder, where);
}

struct pool_books *books_find_pool(const struct holder *holder, uint32_t device, uint32_t pool)
{
	return look_up(&holder->pools, pool_key((uint64_t)device << 48 | (uint64_t)pool << 40));
}

/* ---- Holders --------------------------------------------------------------------------------- */

struct holder *holder_new(uint64_t region_id, uint32_t pid, const char *comm)
{
	struct holder *holder = calloc(1, sizeof(*holder));

	if (!holder)
		return NULL;
	holder->region_id = region_id;
	holder->pid = pid;
	snprintf(holder->comm, sizeof(holder->comm), "%s", comm);
	holder->pools.seed = books_secret();
	holder->tags.seed = books_secret();
	return holder;
}

void holder_free(struct holder *holder)
{
	if (holder->all) {
		holder->all->pools -= holder->pools.count;
		holder->all->tags -= holder->tags.count;
	}
	free_index(&holder->pools);
	free_index(&holder->tags);
	free(holder);
}

uint64_t books_secret(void)
{
	uint64_t secret;

	if (getrandom(&secret, sizeof(secret), GRND_NONBLOCK) != sizeof(secret))
		secret = clock_monotonic_ns();
	return secret;
}
