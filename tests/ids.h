/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests of the table of ids share: tables that go with their test, and places inside a
 * call where a test comes between.
 *
 * A file that includes this has producer/ids.c of its own, with the places in it.
 */
#ifndef TESTS_IDS_H
#define TESTS_IDS_H

#include <string.h>
#include <tally/tally.h>

#include "producer/state.h" /* has places of its own, which are not meant here */
#include "tests/child.h"
#include "tests/seccomp.h"

/* What to do at each place, once: it is forgotten before it is called. */
static _Thread_local struct {
	void (*locked)(void); /* a call is done, but for giving the lock back */
	void (*grown)(void);  /* a larger array is filled, and not yet the shard's */
} at_ids;

#undef TALLY_TESTPOINT
#define TALLY_TESTPOINT(place)                                                                     \
	do {                                                                                       \
		void (*call)(void) = at_ids.place;                                                 \
                                                                                                   \
		at_ids.place = NULL;                                                               \
		if (call)                                                                          \
			call();                                                                    \
	} while (0)

#include "producer/ids.c"

static struct tally_ids *ids_made[16];

static inline void ids_let_go(void)
{
	size_t i;

	for (i = 0; i < COUNT(ids_made); i++)
		tally_ids_destroy(ids_made[i]);
	memset(ids_made, 0, sizeof(ids_made));
	memset(&at_ids, 0, sizeof(at_ids));
}

/* A table until the end of the test. */
static inline struct tally_ids *ids_make(uint64_t entries_max, uint32_t shards)
{
	struct tally_ids_options options = { .entries_max = entries_max, .shards = shards };
	size_t i = 0;

	test_let_go = ids_let_go;
	while (ids_made[i])
		assert_true(++i < COUNT(ids_made));
	assert_int_equal(tally_ids_create(&options, &ids_made[i]), 0);
	return ids_made[i];
}

static inline struct tally_id_entry entry_of(uint64_t id, uint64_t size)
{
	return (struct tally_id_entry){ .id = id, .size = size };
}

static inline int ids_put(struct tally_ids *ids, uint64_t id, uint64_t size)
{
	struct tally_id_entry entry = entry_of(id, size), before;

	return tally_ids_put(ids, &entry, &before);
}

static inline uint64_t ids_live(struct tally_ids *ids)
{
	struct tally_ids_view view = { .entries = ~0ull };

	tally_ids_look(ids, &view);
	return view.entries;
}

/* How many mappings this process has. */
static inline uint64_t mappings(void)
{
	const char *at = read_file("/proc/self/maps", NULL);
	uint64_t count = 0;

	for (; *at; at++)
		count += *at == '\n';
	return count;
}

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SANITIZED 1
#endif
#endif
#ifndef SANITIZED
#define SANITIZED 0
#endif

#endif
