/* SPDX-License-Identifier: Apache-2.0 */
/* A producer that does what it is told, a line at a time, each answered by "done".
 *
 *	describe DEVICE NAME ARCH STABLE_ID POOL CAPACITY    one pool's capacity, a remote device
 *	name POOL NAME
 *	alloc DEVICE POOL ID SIZE
 *	free DEVICE POOL ID SIZE
 *	other DEVICE POOL ID SIZE                            alloc on another thread
 *	many DEVICE POOL COUNT SIZE                          allocs with ids 1 .. COUNT
 *	failed DEVICE POOL SIZE
 *	reset DEVICE POOL
 *	tag NAME; untag; mark NAME
 *
 * It exits when its stdin ends.
 */
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tally/tally.h>

struct words {
	unsigned int device, pool;
	unsigned long long id, size;
};

static void *allocate(void *arg)
{
	const struct words *words = arg;

	tally_alloc(words->device, words->pool, words->id, words->size);
	return NULL;
}

static bool allocate_elsewhere(struct words *words)
{
	pthread_t thread;

	return pthread_create(&thread, NULL, allocate, words) == 0 &&
	       pthread_join(thread, NULL) == 0;
}

static bool describe(const char *line)
{
	struct tally_device_info info = { .grid_x = 8, .grid_y = 9, .channels = 12, .remote = 1 };
	char name[40], arch[16], id[32];
	unsigned long long capacity;
	unsigned int device, pool;

	if (sscanf(line, "describe %u %39s %15s %31s %u %llu", &device, name, arch, id, &pool,
		   &capacity) != 6)
		return false;
	info.name = name;
	info.arch = arch;
	info.stable_id = id;
	info.capacity_bytes[pool] = capacity;
	return tally_device_describe(device, &info) == 0;
}

static bool obey_words(const char *line)
{
	char name[56];
	unsigned int pool;

	if (sscanf(line, "name %u %23s", &pool, name) == 2)
		return tally_pool_describe(pool, name) == 0;
	if (sscanf(line, "tag %55s", name) == 1)
		tally_tag_push(name);
	else if (sscanf(line, "mark %55s", name) == 1)
		tally_mark(name);
	else if (strncmp(line, "untag", 5) == 0)
		tally_tag_pop();
	else
		return false;
	return true;
}

static bool obey(const char *line)
{
	unsigned long long n;
	struct words at;
	char verb[16];
	int count;

	if (strncmp(line, "describe", 8) == 0)
		return describe(line);
	count = sscanf(line, "%15s %u %u %llu %llu", verb, &at.device, &at.pool, &at.id, &at.size);
	if (count == 5 && strcmp(verb, "alloc") == 0)
		tally_alloc(at.device, at.pool, at.id, at.size);
	else if (count == 5 && strcmp(verb, "free") == 0)
		tally_free(at.device, at.pool, at.id, at.size);
	else if (count == 5 && strcmp(verb, "other") == 0)
		return allocate_elsewhere(&at);
	else if (count == 5 && strcmp(verb, "many") == 0)
		for (n = 1; n <= at.id; n++)
			tally_alloc(at.device, at.pool, n, at.size);
	else if (count == 4 && strcmp(verb, "failed") == 0)
		tally_alloc_failed(at.device, at.pool, at.id);
	else if (count == 3 && strcmp(verb, "reset") == 0)
		return tally_pool_reset(at.device, at.pool, NULL) == 0;
	else
		return obey_words(line);
	return true;
}

int main(void)
{
	char line[200];

	puts("ready");
	fflush(stdout);
	while (fgets(line, sizeof(line), stdin)) {
		if (!obey(line)) {
			printf("what? %s", line);
			return 2;
		}
		puts("done");
		fflush(stdout);
	}
	return 0;
}
