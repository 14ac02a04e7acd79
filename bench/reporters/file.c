/* SPDX-License-Identifier: Apache-2.0 */
/* A log: one write() of 64 bytes an event to a file in TMPDIR, into the page cache; nothing is
 * synchronized. It is read back at the end of a turn and begun anew. */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench/reporters/record.h"

static int fd;
static struct taken sum;

static void *make(const char **note)
{
	const char *dir = getenv("TMPDIR");
	char path[4096] = "/tmp";

	if (dir && strlen(dir) < sizeof(path) - 16)
		strcpy(path, dir);
	strcat(path, "/bench-XXXXXX");
	*note = "no file can be made in TMPDIR";
	fd = mkstemp(path);
	if (fd < 0)
		return NULL;
	unlink(path);
	*note = NULL;
	return &fd;
}

static __always_inline void one(void *self, bool freed, uint64_t id, uint64_t size)
{
	struct record record = record_of(freed, id, size);

	if (write(*(int *)self, &record, sizeof(record)) != (ssize_t)sizeof(record))
		return; /* it will be missed */
}

static void report(void *self, struct burst *burst)
{
	burst_run(burst, self, one);
}

static void end(void *self, struct taken *taken)
{
	static struct record records[1024];
	ssize_t got;

	(void)self;
	lseek(fd, 0, SEEK_SET);
	while ((got = read(fd, records, sizeof(records))) > 0)
		records_take(&sum, records, (size_t)got / sizeof(*records));
	*taken = sum;
	lseek(fd, 0, SEEK_SET);
	if (ftruncate(fd, 0) != 0)
		taken->events = 0;
}

const struct reporter reporter = {
	.what = "64-byte write() to a file",
	.can = REPORTER_EVENTS | REPORTER_BYTES | REPORTER_IDS,
	.make = make,
	.end = end,
	.report = report,
};
