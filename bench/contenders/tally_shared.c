/* SPDX-License-Identifier: Apache-2.0 */
/* Tally's shared ring, each producer being a process that has joined the region; records, the time
 * being given, and their numbers, without the sums that the library adds up beside the ring.
 *
 *	flags: $CONTENDER_RING
 */
#include "bench/contenders/tally.h"
#include "ring/shared.h"

#define LOOK 32 /* records between two looks at how far the consumer has come */

struct shared {
	struct region region;
	uint64_t taken __attribute__((aligned(128))); /* of each producer, at least */
	struct {
		uint64_t ticket, lost;
	} __attribute__((aligned(128))) own[CONTENDER_PRODUCERS];
	struct shared_reader reader;
	uint32_t producers;
	uint64_t window; /* a producer is so many records before the one furthest behind, at most */
};

static void *make(uint32_t records, uint32_t producers, const char **why)
{
	struct region_config config = { .dir = "/dev/shm",
					.name = "bench-of-tally",
					.ring_log2 = (uint32_t)__builtin_ctz(records),
					.processes_log2 = CONTENDER_PRODUCERS_LOG2 };
	struct shared *shared = contender_memory(sizeof(*shared));
	struct shared_ring ring;
	uint32_t i;

	*why = "no region in /dev/shm";
	if (!shared || region_create(&config, &shared->region) != 0)
		return NULL;
	ring = shared_of(&shared->region, 0);
	for (i = 0; i < CONTENDER_PRODUCERS; i++)
		if (region_reserve(&shared->region,
				   shared->region.at.process_at +
					   i * shared->region.at.process_stride,
				   TALLY_PAGE) != 0)
			return NULL;
	if (!shared_reserve(&ring) ||
	    shared_reader_open(&shared->reader, shared->region.base, &shared->region.at) != 0)
		return NULL;
	/* A producer that stands still holds a few tickets: should the others go round meanwhile,
	 * what it pushes then would be overwritten at once. So none is further ahead than this. */
	shared->window = records / (2 * producers);
	shared->producers = producers;
	return shared;
}

static void destroy(void *arg)
{
	struct shared *shared = arg;

	shared_reader_close(&shared->reader);
	region_discard(&shared->region);
	contender_free(shared);
}

/* Before record `i`: false, give up. */
static inline bool keep_pace(const struct shared *shared, uint64_t i, struct sender *sender)
{
	while (i % LOOK == 0 && i + LOOK - tally_load_acquire(&shared->taken) > shared->window)
		if (!wait_more(&sender->patience))
			return false;
	return true;
}

static void send(void *arg, struct sender *sender)
{
	struct shared *shared = arg;
	uint32_t me = (uint32_t)sender->producer;
	struct shared_ring ring = shared_of(&shared->region, me);
	uint64_t ticket = shared->own[me].ticket, i;

	for (i = sender->first; i < sender->first + sender->count; i++) {
		struct payload payload = tally_payload(me, i);
		struct shared_event event = { .time = payload.check,
					      .kind = TALLY_KIND_ALLOC,
					      .buffer_id = payload.sequence,
					      .size = payload.size,
					      .where = payload.device << 48 | me };

		if (!keep_pace(shared, i, sender))
			break;
		shared->own[me].lost += !shared_push(&ring, &event, &ticket);
	}
	shared->own[me].ticket = ticket;
}

struct taker {
	struct shared *shared;
	struct checker *checker;
};

static void say_pace(const struct taker *taker)
{
	uint64_t taken = taker->checker->next[0];
	uint32_t i;

	for (i = 1; i < taker->shared->producers; i++)
		if (taker->checker->next[i] < taken)
			taken = taker->checker->next[i];
	tally_store_release(&taker->shared->taken, taken);
}

static void take(void *arg, const struct tally_record *record)
{
	const struct taker *taker = arg;

	take_record(taker->checker, record);
	if (taker->checker->taken % LOOK == 0)
		say_pace(taker);
}

static void receive(void *arg, struct checker *checker, uint64_t until)
{
	struct taker taker = { arg, checker };

	while (checker->taken < until) {
		uint64_t before = checker->taken;

		shared_drain(&taker.shared->reader, false, false, take, &taker);
		say_pace(&taker);
		/* in batches, as the lane's reader */
		if (checker->taken - before < LOOK && !wait_more(&checker->patience))
			return;
	}
}

static uint64_t lost(void *arg)
{
	const struct shared *shared = arg;
	uint64_t sum = 0;
	uint32_t i;

	for (i = 0; i < CONTENDER_PRODUCERS; i++)
		sum += shared->own[i].lost;
	return sum;
}

const struct contender contender = {
	.what = "the shared ring, many producers",
	.can = CONTENDER_MANY,
	.make = make,
	.destroy = destroy,
	.send = send,
	.receive = receive,
	.lost = lost,
};
