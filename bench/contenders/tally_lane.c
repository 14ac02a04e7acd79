/* SPDX-License-Identifier: Apache-2.0 */
/* Tally's lanes, one for each producer, in a region with the policy `lossless`: records with the
 * ledger's sums, the time being given. The consumer holds the cursors that the lanes wait for.
 *
 *	flags: $CONTENDER_RING
 */
#include "bench/contenders/tally.h"
#include "ring/lane.h"

#define BATCH 32      /* records; as far as a reader stays behind */
#define WAIT_MS 10000 /* a consumer may have no processor for a while */

struct lanes {
	struct region region;
	struct lane_writer *writers, *lanes[CONTENDER_PRODUCERS];
	struct lane_reader readers[CONTENDER_PRODUCERS];
	uint32_t producers;
};

static void *make(uint32_t records, uint32_t producers, const char **why)
{
	struct region_config config = { .dir = "/dev/shm",
					.flags = TALLY_REGION_LOSSLESS,
					.ring_log2 = (uint32_t)__builtin_ctz(records),
					.lanes_log2 = CONTENDER_PRODUCERS_LOG2 };
	struct lanes *lanes = contender_memory(sizeof(*lanes));
	uint32_t i;

	*why = "no region in /dev/shm";
	if (!lanes || region_create(&config, &lanes->region) != 0)
		return NULL;
	lanes->writers = contender_memory(CONTENDER_PRODUCERS * sizeof(*lanes->writers));
	lanes->region.lossless_ms = WAIT_MS;
	lanes->producers = producers;
	for (i = 0; i < producers; i++) {
		struct lane_writer *writer = lane_claim(&lanes->region, lanes->writers, 0, i, 0);

		if (!writer)
			return NULL;
		lanes->lanes[i] = writer;
		lanes->readers[i] = (struct lane_reader){
			.header = writer->header,
			.slots = writer->slots,
			.ring_log2 = config.ring_log2,
			.cursor = region_cursor(lanes->region.base, &lanes->region.at,
						(uint32_t)(writer - lanes->writers)),
			.holder = 1,
		};
		lane_drain(&lanes->readers[i], true, false, NULL, NULL); /* it begins here */
	}
	return lanes;
}

static void destroy(void *arg)
{
	struct lanes *lanes = arg;

	region_discard(&lanes->region);
	contender_free(lanes->writers);
	contender_free(lanes);
}

static void send(void *arg, struct sender *sender)
{
	struct lanes *lanes = arg;
	struct lane_writer *writer = lanes->lanes[sender->producer];
	uint64_t i;

	for (i = sender->first; i < sender->first + sender->count; i++) {
		struct payload payload = tally_payload(sender->producer, i);
		struct lane_event event = { .time = payload.check,
					    .kind = TALLY_KIND_ALLOC,
					    .buffer_id = payload.sequence,
					    .size = payload.size };

		lane_wait(writer);
		lane_push(writer, lane_target(writer, (uint32_t)payload.device, 0), &event);
	}
}

static void receive(void *arg, struct checker *checker, uint64_t until)
{
	struct lanes *lanes = arg;
	uint32_t i;

	while (checker->taken < until) {
		uint64_t before = checker->taken;

		for (i = 0; i < lanes->producers; i++)
			lane_drain(&lanes->readers[i], false, false, take_record, checker);
		/* it reads in batches: a few records are waited with as if there were none */
		if (checker->taken - before < BATCH * lanes->producers &&
		    !wait_more(&checker->patience))
			return;
	}
}

static uint64_t lost(void *arg)
{
	const struct lanes *lanes = arg;
	uint64_t sum = 0;
	uint32_t i;

	for (i = 0; i < lanes->producers; i++)
		sum += lanes->readers[i].lost + lanes->readers[i].missed;
	return sum;
}

const struct contender contender = {
	.what = "a lane for each producer",
	.can = CONTENDER_MANY,
	.make = make,
	.destroy = destroy,
	.send = send,
	.receive = receive,
	.lost = lost,
};
