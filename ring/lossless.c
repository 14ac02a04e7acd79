/* SPDX-License-Identifier: Apache-2.0 */
/* Waiting for the consumer that holds a lossless region's cursors; and taking them. */
#include "ring/lossless.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ring/alive.h"
#include "ring/clock.h"
#include "ring/pause.h"
#include "ring/region.h"

#define SPINS 4096 /* looks before the processor is offered to others, some 100 us */

/* What a look has seen. */
struct sight {
	uint64_t holder;
	uint64_t consume_pos;
};

static struct sight look(const struct tally_cursor *cursor)
{
	struct sight sight;

	/* W4 -> W3: where the holder began, or what it has read since */
	sight.holder = tally_load_acquire(&cursor->holder);
	/* W2 -> W1: what has been read is copied */
	sight.consume_pos = tally_load_acquire(&cursor->consume_pos);
	return sight;
}

/* Whether position `pos` may be written; the next one to ask for is noted then. */
static bool may_write(struct lossless_writer *writer, const struct sight *sight, uint64_t pos,
		      uint64_t ring_size)
{
	uint64_t unread = pos - sight->consume_pos;
	bool trusted = sight->holder != 0 && !(sight->holder == writer->given_up &&
					       sight->consume_pos == writer->given_up_pos);

	if (trusted && unread >= ring_size)
		return false;
	if (trusted)
		writer->given_up = 0;
	writer->limit = pos + (trusted ? ring_size - unread : lossless_stride(ring_size));
	return true;
}

/* Lets some time go by; false when there has been enough of it. */
static bool pass_time(uint32_t tries, uint64_t wait_ns, uint64_t *end_ns)
{
	uint64_t now_ns;

	if (tries < SPINS) {
		cpu_pause();
		return true;
	}
	now_ns = clock_monotonic_ns();
	if (tries == SPINS)
		*end_ns = now_ns + wait_ns;
	sched_yield();
	return now_ns < *end_ns;
}

void lossless_look(struct lossless_writer *writer, uint64_t pos, uint64_t ring_size)
{
	struct sight sight = look(writer->cursor);
	uint64_t end_ns = 0;
	uint32_t tries = 0;

	while (!may_write(writer, &sight, pos, ring_size)) {
		if (!pass_time(tries++, writer->wait_ns, &end_ns)) {
			writer->given_up = sight.holder;
			writer->given_up_pos = sight.consume_pos;
			writer->limit = pos + lossless_stride(ring_size);
			return;
		}
		sight = look(writer->cursor);
	}
}

int lossless_hold(struct region_view *view, int dir_fd, const char *name)
{
	const struct geometry *at = &view->at;
	struct stat status;
	int fd, error = 0;

	if (!at->cursor_size)
		return -EINVAL;
	fd = openat(dir_fd, name, O_RDWR | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	if (fstat(fd, &status) != 0)
		error = -errno;
	else if (status.st_dev != view->dev || status.st_ino != view->ino)
		error = -ESTALE;
	/* Should there be none: a store into a page that is not there may kill. */
	if (!error &&
	    fallocate(fd, FALLOC_FL_KEEP_SIZE, (off_t)at->cursor_at, (off_t)at->cursor_size) != 0)
		error = -errno;
	if (!error)
		error = alive_lock(fd, ALIVE_READER);
	/* In its place in the view; the mapping keeps the lock. */
	if (!error && mmap(view->base + at->cursor_at, at->cursor_size, PROT_READ | PROT_WRITE,
			   MAP_SHARED | MAP_FIXED, fd, (off_t)at->cursor_at) == MAP_FAILED)
		error = -errno;
	/* A child would keep the lock. */
	if (!error)
		madvise(view->base + at->cursor_at, at->cursor_size, MADV_DONTFORK);
	close(fd);
	return error;
}

uint64_t lossless_start(struct tally_cursor *cursor, uint64_t holder, uint64_t pos,
			const uint64_t *publish_pos, uint64_t ring_size)
{
	/* relaxed: own, or the last holder's, whose lock is ours now */
	uint64_t before = tally_load_relaxed(&cursor->consume_pos);
	uint64_t now, safe;

	lossless_begin(cursor, holder, pos);
	/* R3'''' -> L3: the slots before it are valid or overwritten */
	now = tally_load_acquire(publish_pos);
	safe = now - ring_size + 2 * lossless_stride(ring_size);
	if ((int64_t)(safe - pos) > 0)
		pos = safe;
	if (now - before <= ring_size && (int64_t)(before - pos) > 0)
		pos = before;
	lossless_read(cursor, pos);
	return pos;
}
