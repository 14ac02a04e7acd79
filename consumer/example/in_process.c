/* SPDX-License-Identifier: Apache-2.0 */
/* A runtime that watches itself: one call starts the consumer's thread, any thread reads counters.
 *
 *	gcc in_process.c $(pkg-config --cflags --libs libtally libtally-consumer) && ./a.out
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <tally/consumer.h>
#include <tally/tally.h>

enum { DEVICE = 0, BUFFERS = 1000, BYTES = 4096 };

/* What a runtime's allocator does; half of it is given back. */
static void *work(void *arg)
{
	uint64_t address, first = *(uint64_t *)arg;

	for (address = first; address < first + BUFFERS; address++)
		tally_alloc(DEVICE, TALLY_POOL_DRAM, address, BYTES);
	for (address = first; address < first + BUFFERS / 2; address++)
		tally_free(DEVICE, TALLY_POOL_DRAM, address, BYTES);
	return NULL;
}

int main(void)
{
	const struct tally_snapshot *now;
	struct tally_consumer *consumer;
	pthread_t threads[2];
	uint64_t first[2] = { 0, BUFFERS };
	size_t n;
	int error = tally_init(NULL); /* armed, whatever TALLY says */

	if (!error)
		error = tally_consumer_start_own(NULL, 100, &consumer); /* looks every 100 ms */
	if (error) {
		fprintf(stderr, "no counters: %s\n", strerror(-error));
		return 1;
	}
	for (n = 0; n < 2; n++)
		pthread_create(&threads[n], NULL, work, &first[n]);
	for (n = 0; n < 2; n++)
		pthread_join(threads[n], NULL);
	tally_consumer_stop(consumer); /* after one more look */
	now = tally_snapshot_get(consumer);
	for (n = 0; n < now->pool_count; n++)
		printf("device %" PRIu32 " %s: %" PRId64 " bytes in %" PRId64 " buffers\n",
		       now->pools[n].device, now->pools[n].pool_name,
		       now->pools[n].totals.live_bytes, now->pools[n].totals.live_allocations);
	tally_snapshot_put(now);
	tally_consumer_close(consumer);
	return 0;
}
