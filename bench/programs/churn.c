/* SPDX-License-Identifier: Apache-2.0 */
/* Allocates and frees as much as it can, in sizes and lifetimes as programs have them.
 *
 * usage: churn ROUNDS THREADS OUTPUT
 *
 * A round allocates and frees two blocks: one is gone at once, as a temporary is, the other stays
 * for some thousand rounds. Nine blocks of ten have at most 128 bytes, one of a hundred has some
 * thousand. What is read back from them goes to OUTPUT, a line for each thread.
 */
#include <pthread.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KEPT 4096 /* blocks of a thread, a power of two */
#define THREADS_MAX 16

struct thread {
	pthread_t handle;
	uint64_t rounds, random, sum;
	unsigned char *kept[KEPT];
};

static uint64_t next_random(struct thread *thread)
{
	thread->random ^= thread->random << 13;
	thread->random ^= thread->random >> 7;
	thread->random ^= thread->random << 17;
	return thread->random;
}

static size_t some_size(uint64_t random)
{
	unsigned int percent = (unsigned int)(random % 128);

	random >>= 7;
	if (percent < 115)
		return 16 + random % 113;
	if (percent < 127)
		return 128 + random % 897;
	return 1024 + random % 7169;
}

static unsigned char *new_block(uint64_t random)
{
	size_t size = some_size(random);
	unsigned char *block = malloc(size);

	if (!block)
		abort();
	block[0] = (unsigned char)random;
	block[size - 1] = (unsigned char)(random >> 8);
	return block;
}

static void *churn(void *arg)
{
	struct thread *thread = arg;
	uint64_t round;
	size_t i;

	for (round = 0; round < thread->rounds; round++) {
		uint64_t random = next_random(thread);
		unsigned char *volatile temporary = new_block(random);
		unsigned char **place = &thread->kept[(random >> 40) & (KEPT - 1)];

		if (*place)
			thread->sum = thread->sum * 31 + **place;
		free(*place);
		*place = new_block(random >> 16);
		thread->sum += *temporary;
		free(temporary);
	}
	for (i = 0; i < KEPT; i++)
		free(thread->kept[i]);
	return NULL;
}

int main(int argc, char **argv)
{
	static struct thread threads[THREADS_MAX];
	int count = argc == 4 ? atoi(argv[2]) : 0, n;
	FILE *output;

	if (count < 1 || count > THREADS_MAX)
		return 2;
	for (n = 0; n < count; n++) {
		threads[n].rounds = strtoul(argv[1], NULL, 10) / (unsigned long)count;
		threads[n].random = 0x9e3779b97f4a7c15u * (uint64_t)(n + 1);
		if (pthread_create(&threads[n].handle, NULL, churn, &threads[n]) != 0)
			return 1;
	}
	output = fopen(argv[3], "w");
	if (!output)
		return 1;
	for (n = 0; n < count; n++) {
		pthread_join(threads[n].handle, NULL);
		fprintf(output, "%016llx\n", (unsigned long long)threads[n].sum);
	}
	return fclose(output) == 0 ? 0 : 1;
}
