/* SPDX-License-Identifier: Apache-2.0 */
/* What the reporters by Tally have in common: a region for each turn, which is taken stock of by a
 * consumer before it goes. */
#ifndef BENCH_REPORTERS_TALLY_H
#define BENCH_REPORTERS_TALLY_H

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <tally/consumer.h>
#include <tally/tally.h>
#include <unistd.h>

#include "bench/reporter.h"
#include "ring/flush.h"

/* In memory that both sides share. */
struct tally_turn {
	struct tally_status status;
	struct taken sum;   /* of the turns so far */
	bool shared;	    /* records are to be in the shared ring; else in a lane */
	uint64_t elsewhere; /* records that were not */
	/* the region, mapped once more, to be flushed: what of its file is no hole */
	unsigned char *base;
	size_t size, begins[64], ends[64], parts;
};

static inline void *tally_make(const char **note)
{
	struct tally_turn *turn = (struct tally_turn *)contender_memory(sizeof(*turn));

	*note = tally_enabled() ? "TALLY=1 is set" : turn ? NULL : "no memory";
	return tally_enabled() ? NULL : turn;
}

static inline void tally_one(void *self, bool freed, uint64_t id, uint64_t size)
{
	(void)self;
	if (freed)
		tally_free(EVENT_DEVICE, EVENT_POOL, id, size);
	else
		tally_alloc(EVENT_DEVICE, EVENT_POOL, id, size);
}

static inline bool tally_arm(struct tally_turn *turn, uint32_t lanes)
{
	struct tally_options options = {};

	options.lanes = lanes;
	return tally_init(&options) == 0 && tally_status(&turn->status) == 0;
}

static inline bool tally_begin(void *self)
{
	return tally_arm((struct tally_turn *)self, 1);
}

static inline void tally_look(void *arg, const struct tally_event *event)
{
	struct tally_turn *turn = (struct tally_turn *)arg;

	turn->elsewhere += event->shared != turn->shared;
}

static inline void tally_end(void *self, struct taken *taken)
{
	struct tally_turn *turn = (struct tally_turn *)self;
	struct tally_consumer_options options = {};
	struct tally_consumer *consumer;
	const struct tally_snapshot *now;
	size_t i;

	options.name = turn->status.region;
	options.from_start = true;
	options.event = tally_look;
	options.event_arg = turn;
	if (tally_consumer_open(&options, &consumer) == 0) {
		now = tally_snapshot_get(consumer);
		for (i = 0; i < now->pool_count; i++) {
			const struct tally_totals *totals = &now->pools[i].totals;

			turn->sum.events += totals->allocations + totals->frees;
			turn->sum.bytes += totals->allocated_bytes - totals->freed_bytes;
		}
		tally_snapshot_put(now);
		tally_consumer_close(consumer);
	}
	taken->events = turn->elsewhere ? 0 : turn->sum.events;
	taken->bytes = turn->sum.bytes;
	if (turn->base)
		munmap(turn->base, turn->size);
	turn->base = NULL;
	tally_shutdown();
}

static inline void tally_map(struct tally_turn *turn)
{
	const char *dir = getenv("TALLY_DIR");
	char path[4096];
	off_t end = 0, begin;
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir ? dir : "/dev/shm", turn->status.region);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	turn->size = (size_t)lseek(fd, 0, SEEK_END);
	turn->base = (unsigned char *)mmap(NULL, turn->size, PROT_READ, MAP_SHARED, fd, 0);
	for (turn->parts = 0; turn->parts < 64; turn->parts++) {
		begin = lseek(fd, end, SEEK_DATA);
		if (begin < 0)
			break;
		end = lseek(fd, begin, SEEK_HOLE);
		turn->begins[turn->parts] = (size_t)begin;
		turn->ends[turn->parts] = (size_t)end;
	}
	close(fd);
}

/* A line is flushed from all caches by any mapping of it. */
static inline void tally_forget(void *self)
{
	struct tally_turn *turn = (struct tally_turn *)self;
	size_t part, at;

	if (!turn->base)
		tally_map(turn);
	for (part = 0; part < turn->parts && flush_wanted(); part++)
		for (at = turn->begins[part]; at < turn->ends[part]; at += 64)
			flush_line(turn->base + at);
}

#endif
