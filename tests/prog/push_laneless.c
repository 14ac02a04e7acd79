/* SPDX-License-Identifier: Apache-2.0 */
/* A thread that has no lane, as main() has the only one, pushes EVENTS events.
 *
 *	TALLY_LANES=1 push_laneless EVENTS [no-memory]
 *
 * With `no-memory` there is none for the shared ring: its end of the file, as long as TALLY_RING
 * says, is cut off.
 */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <tally/tally.h>
#include <unistd.h>

static unsigned long events;

static void *push(void *arg)
{
	unsigned long i;

	for (i = 0; i < events; i++)
		tally_alloc(1, TALLY_POOL_L1, i, 8);
	return arg;
}

static int cut(void)
{
	const char *ring = getenv("TALLY_RING"), *dir = getenv("TALLY_DIR");
	struct tally_status status;
	struct stat file;
	char path[300];

	if (!ring || !dir || tally_status(&status) != 0)
		return -1;
	snprintf(path, sizeof(path), "%s/%s", dir, status.region);
	if (stat(path, &file) != 0)
		return -1;
	return truncate(path, file.st_size - 64 * atol(ring));
}

int main(int argc, char **argv)
{
	pthread_t thread;

	events = argc > 1 ? strtoul(argv[1], NULL, 10) : 0;
	tally_mark("the lane is taken");
	if (argc > 2 && cut() != 0)
		return 1;
	if (pthread_create(&thread, NULL, push, NULL) != 0 || pthread_join(thread, NULL) != 0)
		return 1;
	puts("pushed");
	return 0;
}
