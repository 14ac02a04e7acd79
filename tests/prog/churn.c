/* SPDX-License-Identifier: Apache-2.0 */
/* Allocates and frees in every way there is, on many threads, and says exactly what it did.
 *
 *	churn THREADS OPERATIONS TRUTH_FILE
 *
 * Blocks go from thread to thread, threads exit while theirs live, half of what lives is freed by
 * main(), the rest is left at the end. Sizes are malloc_usable_size(). Nothing here depends on
 * OPERATIONS but the operations: all threads live at once and start together, and nothing
 * allocates once they have, so the difference to a run with 0 operations is the truth to the byte.
 */
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define THREADS_MAX 256
#define HELD 64			/* blocks a thread holds */
#define STACK_SIZE (256u << 10) /* small, so that the C library keeps all of them */
#define EXCHANGE 64		/* blocks on their way to another thread */

struct worker {
	pthread_t thread;
	uint64_t random;
	uint64_t allocs, frees, failures, allocated, freed;
	void *held[HELD];
};

static struct worker workers[THREADS_MAX + 1]; /* the last one is main() */
static int thread_count;
static long operations;
static pthread_barrier_t together;
static pthread_mutex_t exchange_lock = PTHREAD_MUTEX_INITIALIZER;
static void *exchange[EXCHANGE];
static volatile size_t huge = SIZE_MAX / 2 - 4096; /* no machine has it */

static uint64_t next(struct worker *me)
{
	me->random ^= me->random << 13;
	me->random ^= me->random >> 7;
	me->random ^= me->random << 17;
	return me->random;
}

static void *allocated(struct worker *me, void *block)
{
	if (!block) {
		me->failures++;
		return NULL;
	}
	me->allocs++;
	me->allocated += malloc_usable_size(block);
	memset(block, 0x5a, 1); /* every block has a byte at least */
	return block;
}

static void release(struct worker *me, void *block)
{
	if (block) {
		me->frees++;
		me->freed += malloc_usable_size(block);
	}
	free(block); /* of NULL, too: no event */
}

static void *resize(struct worker *me, void *block, size_t size, int as_array)
{
	size_t before = block ? malloc_usable_size(block) : 0;
	void *moved = as_array ? reallocarray(block, size / 8 + 1, 8) : realloc(block, size);

	if (!moved && size) {
		me->failures++; /* the block stays */
		return block;
	}
	if (block) {
		me->frees++;
		me->freed += before;
	}
	return moved ? allocated(me, moved) : NULL; /* realloc(block, 0) frees */
}

static void *make(struct worker *me, size_t size)
{
	size_t alignment = 16u << next(me) % 9;
	void *block = NULL;

	switch (next(me) % 8) {
	case 0:
		return allocated(me, calloc(size / 16 + 1, 16));
	case 1:
		return allocated(me, aligned_alloc(alignment, (size / alignment + 1) * alignment));
	case 2:
		return allocated(me, posix_memalign(&block, alignment, size + 1) ? NULL : block);
	case 3:
		return allocated(me, memalign(alignment, size + 1));
	case 4:
		return allocated(me, next(me) % 2 ? valloc(size + 1) : pvalloc(size + 1));
	case 5:
		return resize(me, NULL, size + 1, (int)(next(me) % 2));
	default:
		return allocated(me, malloc(size));
	}
}

/* Each of these must fail. */
static void fail(struct worker *me, void **block)
{
	void *none = NULL;

	switch (next(me) % 6) {
	case 0:
		release(me, allocated(me, malloc(huge)));
		break;
	case 1:
		release(me, allocated(me, calloc(huge, 16)));
		break;
	case 2:
		release(me, allocated(me, aligned_alloc(64, huge)));
		break;
	case 3:
		me->failures += posix_memalign(&none, 64, huge) != 0;
		break;
	case 4:
		*block = resize(me, *block, huge, 0);
		break;
	case 5:
		*block = resize(me, *block, huge, 1);
		break;
	}
}

static void operate(struct worker *me)
{
	void **mine = &me->held[next(me) % HELD];
	size_t size = next(me) % (next(me) % 64 ? 600 : 300000);
	void **other;

	switch (next(me) % 16) {
	case 0:
		fail(me, mine);
		break;
	case 1:
	case 2:
		*mine = resize(me, *mine, size, 0);
		break;
	case 3:
		*mine = resize(me, *mine, size + 1, 1);
		break;
	case 4:
	case 5:
	case 6: /* change places with a block of another thread */
		other = &exchange[next(me) % EXCHANGE];
		pthread_mutex_lock(&exchange_lock);
		{
			void *theirs = *other;

			*other = *mine;
			*mine = theirs;
		}
		pthread_mutex_unlock(&exchange_lock);
		break;
	default:
		release(me, *mine);
		*mine = make(me, size);
	}
}

static void *work(void *arg)
{
	struct worker *me = arg;
	long i;

	pthread_barrier_wait(&together);
	for (i = 0; i < operations; i++)
		operate(me);
	pthread_barrier_wait(&together);
	return NULL; /* what it holds lives on */
}

/* Half of what is there. */
static void release_half(struct worker *me, void **blocks, size_t count)
{
	size_t i;

	for (i = 0; i < count; i += 2)
		release(me, blocks[i]);
}

static int tell(const char *path)
{
	struct worker sum = { 0 };
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	char line[200];
	int i, size;

	for (i = 0; i <= THREADS_MAX; i++) {
		sum.allocated += workers[i].allocated;
		sum.freed += workers[i].freed;
		sum.allocs += workers[i].allocs;
		sum.frees += workers[i].frees;
		sum.failures += workers[i].failures;
	}
	size = snprintf(line, sizeof(line), "%llu %llu %llu %llu %llu\n",
			(unsigned long long)sum.allocated, (unsigned long long)sum.freed,
			(unsigned long long)sum.allocs, (unsigned long long)sum.frees,
			(unsigned long long)sum.failures);
	return fd >= 0 && write(fd, line, (size_t)size) == size ? 0 : 1;
}

int main(int argc, char **argv)
{
	struct worker *me = &workers[THREADS_MAX];
	pthread_attr_t attr;
	int i;

	if (argc != 4)
		return 2;
	thread_count = atoi(argv[1]);
	operations = atol(argv[2]);
	if (thread_count < 1 || thread_count > THREADS_MAX)
		return 2;
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_SIZE);
	pthread_barrier_init(&together, NULL, (unsigned int)thread_count);
	for (i = 0; i < thread_count; i++) {
		workers[i].random = (uint64_t)(i + 1) << 32 | 12345;
		if (pthread_create(&workers[i].thread, &attr, work, &workers[i]) != 0)
			return 3;
	}
	for (i = 0; i < thread_count; i++)
		pthread_join(workers[i].thread, NULL);
	for (i = 0; i < thread_count; i++)
		release_half(me, workers[i].held, HELD);
	release_half(me, exchange, EXCHANGE);
	return tell(argv[3]);
}
