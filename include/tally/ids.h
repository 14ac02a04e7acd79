/* SPDX-License-Identifier: Apache-2.0 */
/* A table of what is held under which id, for allocators whose frees carry no size.
 *
 *	struct tally_id_entry entry = { id, bytes, TALLY_POOL_DRAM, device, TALLY_ID_BUFFER };
 *	struct tally_id_entry was;
 *
 *	if (tally_ids_put(ids, &entry, &was) == 1)
 *		tally_free(was.device, was.pool, was.id, was.size);
 *	tally_alloc(device, TALLY_POOL_DRAM, id, bytes);
 *	...
 *	if (tally_ids_take(ids, device, TALLY_ID_BUFFER, id, &was) == 1)
 *		tally_free(was.device, was.pool, was.id, was.size);
 *
 * The table neither pushes nor asks whether tally is armed: what it says goes to the push. Each
 * entry that was put is handed out once, by the put that replaces it or by the take, whatever
 * threads do at once; so the sums of such pushes are exact.
 *
 * Any thread may call, also in a fork child, where each table is empty, as the device pools of a
 * child open at zero. tally_shutdown() empties tables likewise, as the region of a later
 * tally_init() opens at zero: frees of what was there are unknown. A handler that interrupts a call
 * of its own thread gets -EBUSY, and must not leave that call by siglongjmp(). No function prints,
 * aborts or changes errno. Memory is the kernel's (mmap), never malloc()'s.
 */
#ifndef TALLY_IDS_H
#define TALLY_IDS_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif
#pragma GCC visibility push(default)

/* The kinds number their ids each by itself. */
enum tally_id_kind {
	TALLY_ID_BUFFER = 0,
	TALLY_ID_CB = 1,
	TALLY_ID_KERNEL = 2,
};

/* (device, kind, id) is the key; the rest is what tally_alloc() was told. */
struct tally_id_entry {
	uint64_t id;
	uint64_t size;	 /* bytes */
	uint32_t pool;	 /* as tally_alloc() takes it: a kernel kind may be or-ed in */
	uint16_t device; /* 0 .. 65535 */
	uint16_t kind;	 /* enum tally_id_kind */
};

struct tally_ids;

#define TALLY_IDS_ENTRIES 1048576 /* default limit of live entries */
#define TALLY_IDS_SHARDS 32	  /* default */
#define TALLY_IDS_SHARDS_MAX 256

/* Zero is each field's default. */
struct tally_ids_options {
	/* At most so many live entries, up to 2^32; an entry takes 43 to 86 bytes. Shards have
	 * equal parts of it, at least 2048 entries each, and ids fall unevenly: with more than one
	 * shard a put may be refused from 7/8 of it on; with one it is exact. */
	uint64_t entries_max;
	/* A power of two. A shard has a lock and, from its first entry on, a page of memory: 1 for
	 * a table that one thread uses, several times the number of threads for one they share. */
	uint32_t shards;
	/* Not 0: tally_shutdown() leaves it alone, for what is pushed by proxy (proxy.h). */
	int kept;
};

/* Makes an empty table; options may be NULL. -EINVAL: a number that is not usable; -ENOMEM. */
int tally_ids_create(const struct tally_ids_options *options, struct tally_ids **ret_ids);

/* Nobody uses it any more; NULL is allowed. */
void tally_ids_destroy(struct tally_ids *ids);

/* The entry is live from now on. 0: its id was not; 1: it was, and the entry it had, now replaced,
 * is in *ret_before. With nothing changed: -ENOSPC: so many are live as there may be (counted, see
 * tally_ids_look()); -ENOMEM: no memory to grow (likewise); -EINVAL: no such kind; -EBUSY: see
 * above. No system call but when the table grows, or when it waits for another thread. */
int tally_ids_put(struct tally_ids *ids, const struct tally_id_entry *entry,
		  struct tally_id_entry *ret_before);

/* The id is no longer live. 1: it was, and *ret_was is the entry; 0: unknown. -EINVAL, -EBUSY as
 * above. No system call but when it waits for another thread. */
int tally_ids_take(struct tally_ids *ids, uint16_t device, enum tally_id_kind kind, uint64_t id,
		   struct tally_id_entry *ret_was);

/* Hands each live entry to `each` until that returns 0; in no order. What is put or taken meanwhile
 * may be among them or not. `each` may push, and must not call the table (-EBUSY). Returns how many
 * were handed over. */
size_t tally_ids_each(struct tally_ids *ids,
		      int (*each)(void *each_arg, const struct tally_id_entry *entry),
		      void *each_arg);

struct tally_ids_view {
	uint64_t entries;     /* live */
	uint64_t entries_max; /* as asked for */
	uint64_t refused;     /* puts that found no room */
	uint64_t bytes;	      /* of memory that entries have asked for */
};

/* How full it is; exact when nobody else uses it meanwhile. -EBUSY: as above. */
int tally_ids_look(struct tally_ids *ids, struct tally_ids_view *ret_view);

#pragma GCC visibility pop
#ifdef __cplusplus
}
#endif
#endif
