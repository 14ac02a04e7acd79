/* SPDX-License-Identifier: Apache-2.0 */
/* A producer that does as it is told, a line on stdin at a time, each answered by "done".
 *
 *	alloc DEVICE POOL ID SIZE      one alloc; free DEVICE POOL ID SIZE: one free
 *	allocs DEVICE POOL COUNT SIZE  so many, of ids from 1
 *	failed DEVICE POOL SIZE        an alloc that was refused
 *	describe DEVICE NAME ARCH CAPACITY REMOTE
 *	                               CAPACITY is of pool 0, bytes; REMOTE 0 or 1
 *	push TAG                       the tag from now on
 *	name TEXT                      what the process is called (comm), before the first of the above
 *
 * It ends with its stdin.
 */
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <tally/tally.h>

static int take(const char *line)
{
	struct tally_device_info info = { 0 };
	unsigned long long id, size, i;
	unsigned int device, pool;
	char name[64], arch[64];

	if (sscanf(line, "alloc %u %u %llu %llu", &device, &pool, &id, &size) == 4) {
		tally_alloc(device, pool, id, size);
	} else if (sscanf(line, "free %u %u %llu %llu", &device, &pool, &id, &size) == 4) {
		tally_free(device, pool, id, size);
	} else if (sscanf(line, "allocs %u %u %llu %llu", &device, &pool, &id, &size) == 4) {
		for (i = 1; i <= id; i++)
			tally_alloc(device, pool, i, size);
	} else if (sscanf(line, "failed %u %u %llu", &device, &pool, &size) == 3) {
		tally_alloc_failed(device, pool, size);
	} else if (sscanf(line, "describe %u %63s %63s %llu %d", &device, name, arch, &size,
			  &info.remote) == 5) {
		info.name = name;
		info.arch = arch;
		info.capacity_bytes[0] = size;
		return tally_device_describe(device, &info);
	} else if (sscanf(line, "push %63s", name) == 1) {
		tally_tag_push(name);
	} else if (sscanf(line, "name %63s", name) == 1) {
		return prctl(PR_SET_NAME, name);
	} else {
		return -1;
	}
	return 0;
}

int main(void)
{
	char line[256];

	while (fgets(line, sizeof(line), stdin)) {
		if (take(line) != 0) {
			fprintf(stderr, "told: cannot: %s", line);
			return 1;
		}
		puts("done");
		fflush(stdout);
	}
	return 0;
}
