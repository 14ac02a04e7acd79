/* SPDX-License-Identifier: Apache-2.0 */
/* The policy `lossless`: a lane that waits, bounded, for one consumer instead of overwriting.
 *
 * For benchmarks and recordings only, and chosen when a region is made; every other lane overwrites
 * and looks at no word of a reader. One consumer at a time holds the region's cursors, by a lock of
 * the kernel; it maps them writable, and nothing else of the region. In each lane it says who it
 * is, and up to where it has read. The owner of the lane looks there once a lap, or once in
 * lossless_stride() pushes while nobody reads.
 *
 * What a cursor says is not trusted. A consumer that is dead or stopped costs each owner of a lane
 * one wait of so many milliseconds; then the lane overwrites as any other, and who reads counts
 * what was lost, until the cursor moves again or another consumer has come. One that lies costs
 * such a wait in lossless_stride() pushes at most.
 */
#ifndef RING_LOSSLESS_H
#define RING_LOSSLESS_H

#include <stdbool.h>
#include <stdint.h>
#include <tally/abi.h>
#include <tally/atomic.h>

#define LOSSLESS_WAIT_MS 100 /* at most, unless the region says otherwise */
#define LOSSLESS_WAIT_MAX_MS 60000
#define LOSSLESS_STRIDE 64 /* records that are read until the cursor follows */

struct region_view; /* ring/region.h */

/* So many pushes are made without a look while nobody reads. */
static inline uint64_t lossless_stride(uint64_t ring_size)
{
	return ring_size / 4 < LOSSLESS_STRIDE ? ring_size / 4 : LOSSLESS_STRIDE;
}

/* What the owner of a lane knows of who reads it. Private. */
struct lossless_writer {
	const struct tally_cursor *cursor; /* NULL: the lane overwrites */
	uint64_t wait_ns;
	uint64_t limit;	       /* positions below it may be written without a look */
	uint64_t given_up;     /* the holder waited for in vain, and */
	uint64_t given_up_pos; /* where it stood then */
};

/* The lane waits from position `pos` on, at most wait_ms at a time; 0: LOSSLESS_WAIT_MS. */
static inline void lossless_open(struct lossless_writer *writer, const struct tally_cursor *cursor,
				 uint64_t pos, uint32_t wait_ms)
{
	writer->cursor = cursor;
	writer->wait_ns = (wait_ms ? wait_ms : LOSSLESS_WAIT_MS) * UINT64_C(1000000);
	writer->limit = pos;
	writer->given_up = 0;
}

/* The look at the cursor, and the wait. */
void lossless_look(struct lossless_writer *writer, uint64_t pos, uint64_t ring_size);

/* Before position `pos` of a ring with `ring_size` slots is written. Bounded. */
static inline void lossless_wait(struct lossless_writer *writer, uint64_t pos, uint64_t ring_size)
{
	if (writer->cursor && (int64_t)(pos - writer->limit) >= 0)
		lossless_look(writer, pos, ring_size);
}

/* Takes the cursors of an opened region, whose file is `name` in dir_fd; they stay taken until
 * region_close(). 0; -EAGAIN when another consumer has them; -EINVAL when it is not lossless;
 * -ESTALE when the name is another file's; or the errno of the call that failed. */
int lossless_hold(struct region_view *view, int dir_fd, const char *name);

/* The holder begins to read a lane at `pos`. */
static inline void lossless_begin(struct tally_cursor *cursor, uint64_t holder, uint64_t pos)
{
	/* relaxed: W3 publishes it */
	tally_store_relaxed(&cursor->consume_pos, pos);
	/* W3 -> W4: where it stands, then that it is there */
	tally_store_release(&cursor->holder, holder);
}

/* The same of a lane that may be pushed into meanwhile: at `pos` or, where the owner is free to
 * overwrite before it looks again, so much later, which is what is returned. The owner's last look
 * may have found nobody, or the holder before this one. */
uint64_t lossless_start(struct tally_cursor *cursor, uint64_t holder, uint64_t pos,
			const uint64_t *publish_pos, uint64_t ring_size);

/* It has read all records before `pos`. */
static inline void lossless_read(struct tally_cursor *cursor, uint64_t pos)
{
	/* W1 -> W2: they are copied before their slots are written anew */
	tally_store_release(&cursor->consume_pos, pos);
}

/* Nobody reads the lane any more. */
static inline void lossless_end(struct tally_cursor *cursor)
{
	/* relaxed: one word that stands by itself */
	tally_store_relaxed(&cursor->holder, 0);
}

#endif
