/* SPDX-License-Identifier: Apache-2.0 */
/* Many threads whose first pushes all come at once, while there is no region yet.
 *
 *	rush THREADS PUSHES
 *
 * Each thread pushes PUSHES allocs of (its number) bytes on device 2, pool dram. Then a line:
 * armed, region_error, unplaced_events, rejected_events, region. Ends when its stdin does.
 */
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <tally/atomic.h>
#include <tally/tally.h>

#define THREADS_MAX 256

static uint64_t waiting, go;
static long pushes;

static void *rush(void *arg)
{
	uint64_t number = (uint64_t)(uintptr_t)arg;
	long i;

	tally_add_relaxed(&waiting, 1);
	while (!tally_load_acquire(&go)) /* nearer together than a barrier would let them go */
		sched_yield();
	for (i = 0; i < pushes; i++)
		tally_alloc(2, TALLY_POOL_DRAM, number, number);
	return NULL;
}

int main(int argc, char **argv)
{
	pthread_t threads[THREADS_MAX];
	struct tally_status status;
	int count = argc == 3 ? atoi(argv[1]) : 0;
	int i;

	if (count < 1 || count > THREADS_MAX)
		return 2;
	pushes = atol(argv[2]);
	for (i = 0; i < count; i++)
		if (pthread_create(&threads[i], NULL, rush, (void *)(uintptr_t)(i + 1)) != 0)
			return 3;
	while (tally_load_acquire(&waiting) < (uint64_t)count)
		sched_yield();
	tally_store_release(&go, 1);
	for (i = 0; i < count; i++)
		pthread_join(threads[i], NULL);
	if (tally_status(&status) != 0)
		return 4;
	printf("%d %d %llu %llu %s\n", status.armed, status.region_error,
	       (unsigned long long)status.unplaced_events,
	       (unsigned long long)status.rejected_events, status.region);
	fflush(stdout);
	getchar();
	return 0;
}
