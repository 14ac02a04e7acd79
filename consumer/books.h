/* SPDX-License-Identifier: Apache-2.0 */
/* What records tell of one process image: per tag, per (device, pool), and who it is. Rows of the
 * table of live buffers point here.
 *
 * Written by the thread that polls. Readers come here from a row, inside an RCU read section, and
 * read what is constant, and the words that are said to be for them; so the books are freed a grace
 * period after the last row left the table.
 */
#ifndef CONSUMER_BOOKS_H
#define CONSUMER_BOOKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <tally/consumer.h>

#include "consumer/rows.h"
#include "consumer/ticks.h"

struct region_watch; /* consumer/watch.h */

/* Pools and tags of one process that are told apart; they are few, unless somebody lies. */
#define BOOKS_POOLS_MAX 8192
#define BOOKS_TAGS_MAX 32768
/* And of all processes: who has more than a few has no more than is left for others. */
#define BOOKS_ALL_POOLS_MAX 65536
#define BOOKS_ALL_TAGS_MAX 262144
#define BOOKS_FEW_POOLS 16
#define BOOKS_FEW_TAGS 64
#define BOOKS_TAG_OTHERS UINT32_MAX /* the tag of what comes beyond */

/* One (device, pool). */
struct pool_books {
	struct holder *holder; /* constant, as the next two */
	uint32_t device, pool;
	uint64_t seed;	   /* of its keys' hashes */
	const char *name;  /* for readers, by RCU; never NULL */
	char number[12];   /* "pool-N" */
	char given[24];	   /* once the process has named it */
	uint64_t reset;	   /* for readers: ticks of its last reset; what is older is gone */
	size_t rows;	   /* in the table */
	uint64_t left_out; /* allocations that found no room there, not freed yet */
	uint64_t unmatched_frees, double_allocations;
	uint64_t sizes[TALLY_SIZES];
	uint64_t allocations; /* sum of the sizes' counts */
};

/* One tag there. */
struct tag_books {
	struct pool_books *pool; /* constant, as the next two */
	uint32_t tag;
	char name[56];
	int64_t live_bytes, live_allocations;
	uint64_t allocations, frees, allocated_bytes, freed_bytes;
};

/* A growable set of pointers, by a number of 64 bits that is never 0. Numbers are chosen by others,
 * so where one is looked for depends on a secret. */
struct book_index {
	uint64_t seed;
	struct book_entry {
		uint64_t key;
		void *books;
	} * all;
	size_t count, room;
};

/* How many there are of all processes. */
struct book_counts {
	size_t pools, tags;
};

struct holder {
	uint64_t region_id; /* constant, as the next two */
	uint32_t pid;
	char comm[24];
	struct ticks ticks;
	uint64_t ended;	  /* for readers: 1 once its process has */
	uint64_t lost_ns; /* likewise: CLOCK_MONOTONIC of the last loss known, 0: none */

	struct region_watch *region; /* where names are; NULL: nowhere */
	uint64_t applied;	     /* ticks of the latest record */
	uint64_t skew;		     /* ticks: threads' times differ by as much */
	size_t rows;		     /* in the table */
	uint32_t tid;		     /* of the first record */
	bool several;		     /* threads; else that one alone */
	bool leaving;		     /* rows are to go, then it */
	uint64_t last_key;	     /* of the books used last */
	struct tag_books *last;
	struct book_index pools, tags;
	struct book_counts *all; /* of all holders; NULL: of no others */

	struct rcu_head rcu; /* of a list, its first one's */
	struct cds_lfs_node node;
	struct holder *next;
	struct buffers *of; /* where it was, likewise */
};

/* NULL: no memory. */
struct holder *holder_new(uint64_t region_id, uint32_t pid, const char *comm);
void holder_free(struct holder *holder);

/* The books of a record's tag, made on first use. `where` as in the record. NULL: there are too
 * many pools, or no memory. */
struct tag_books *books_of(struct holder *holder, uint64_t where, uint32_t tag);

/* The same without regard to the tag. */
struct pool_books *books_pool_of(struct holder *holder, uint64_t where);

/* NULL when there are none. */
struct pool_books *books_find_pool(const struct holder *holder, uint32_t device, uint32_t pool);

/* Looks for names that pools were given since. */
void books_read_names(struct holder *holder);

/* The name of a tag of that region, "tag-N" if it has none; `to` has 56 bytes. */
void books_tag_name(struct region_watch *region, uint32_t tag, char *to);

/* A secret number, so that nobody can choose ids that collide. */
uint64_t books_secret(void);

#endif
