/* SPDX-License-Identifier: Apache-2.0 */
/* Pushes EVENTS events, says so, and stays until its stdin ends.
 *
 *	push_many EVENTS [wait]
 *
 * With `wait` it makes its region first, says "armed", and pushes once it is given a line.
 * Event i, from 0: alloc of 64 + i mod 100 bytes when i is even, free of the same when odd, on
 * device 1, pool l1.
 */
#include <stdio.h>
#include <stdlib.h>
#include <tally/tally.h>

int main(int argc, char **argv)
{
	unsigned long events = argc > 1 ? strtoul(argv[1], NULL, 10) : 0;
	char line[16];
	unsigned long i;

	if (argc == 3) {
		puts(tally_enabled() ? "armed" : "off");
		fflush(stdout);
		if (!fgets(line, sizeof(line), stdin))
			return 1;
	}

	for (i = 0; i < events; i++) {
		unsigned long size = 64 + (i & ~1ul) % 100;

		if (i % 2 == 0)
			tally_alloc(1, TALLY_POOL_L1, i, size);
		else
			tally_free(1, TALLY_POOL_L1, i - 1, size);
	}
	puts("pushed");
	fflush(stdout);
	getchar();
	return 0;
}
