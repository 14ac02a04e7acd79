/* SPDX-License-Identifier: Apache-2.0 */
/* How long single pushes take: most of them, and the slowest; warm, and with cold caches.
 *
 * Cold is a push after a while of other work: its own memory (thread, lane, code) is pushed out of
 * the first two levels by 4 MiB that are read in between, and what is in the region is flushed
 * from all of them.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <tally/tally.h>
#include <unistd.h>

#include "bench/floor.h"
#include "bench/harness/result.h"
#include "bench/push_pairs.h"
#include "ring/flush.h"

#define WARM_BATCHES 301
#define WARM_CALLS 2000
#define COLD_BATCHES 41
#define COLD_CALLS 50
#define OTHER_WORK ((size_t)4 << 20)
#define LINE 64

static const struct question warm = { .id = "push_latency",
				      .words = "How long do single pushes take, one after the "
					       "other?",
				      .unit = "ns" };
static const struct question cold = { .id = "push_latency_cold",
				      .words = "How long does a push take when the caches are "
					       "cold?",
				      .unit = "ns" };

static struct spread floor_warm = { .name = FLOOR };
static struct spread push_warm = { .name = "push" };
static struct spread floor_cold = { .name = FLOOR };
static struct spread push_cold = { .name = "push" };

static struct floor_ring floor_ring;
static enum tally_clock bench_clock;

/* ---- Cold caches ----------------------------------------------------------------------------- */

static unsigned char *other_work;

static struct {
	unsigned char *base;
	size_t size;
	off_t data[64][2]; /* begin and end of what is no hole */
	size_t count;
} region;

/* A mapping of the region of its own: a line is flushed from all caches by any of them. */
static void map_region(void)
{
	struct tally_status status;
	char path[128];
	struct stat stat;
	off_t end = 0;
	int fd;

	tally_status(&status);
	snprintf(path, sizeof(path), "/dev/shm/%s", status.region);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &stat) != 0) {
		perror(path);
		exit(1);
	}
	region.size = (size_t)stat.st_size;
	region.base = mmap(NULL, region.size, PROT_READ, MAP_SHARED, fd, 0);
	while (region.base != MAP_FAILED && region.count < 64) {
		off_t begin = lseek(fd, end, SEEK_DATA);

		if (begin < 0)
			break;
		end = lseek(fd, begin, SEEK_HOLE);
		region.data[region.count][0] = begin;
		region.data[region.count++][1] = end;
	}
	close(fd);
}

static void flush(const unsigned char *from, size_t size)
{
	size_t at;

	for (at = 0; at < size && flush_wanted(); at += LINE)
		flush_line(from + at);
}

static void get_cold(void)
{
	size_t at, i;
	uint64_t sum = 0;

	for (i = 0; i < region.count; i++)
		flush(region.base + region.data[i][0],
		      (size_t)(region.data[i][1] - region.data[i][0]));
	flush((unsigned char *)floor_ring.slots, sizeof(floor_ring.slots));
	for (at = 0; at < OTHER_WORK; at += LINE)
		sum += other_work[at];
	__asm__ volatile("" : : "r"(sum) : "memory");
}

/* ---- Batches --------------------------------------------------------------------------------- */

static void batch_of_floor(struct spread *spread, uint64_t calls, void (*before)(void))
{
	static uint64_t n;
	uint64_t i;

	spread_begin(spread);
	for (i = 0; i < calls; i++) {
		uint64_t start;

		if (before)
			before();
		start = stamp();
		floor_store(&floor_ring, bench_clock, n++);
		spread_add(spread, stamp() - start);
	}
	spread_end(spread);
}

static void batch_of_pushes(struct spread *spread, uint64_t calls, void (*before)(void))
{
	uint64_t i;

	spread_begin(spread);
	for (i = 0; i < calls; i++) {
		uint64_t start;

		if (before)
			before();
		start = stamp();
		tally_alloc(0, TALLY_POOL_DRAM, i, 64);
		spread_add(spread, stamp() - start);
	}
	spread_end(spread);
}

static void measure(size_t warm_batches, size_t cold_batches)
{
	size_t i;

	for (i = 0; i < warm_batches; i++) {
		bench_progress("batches", i, warm_batches + cold_batches);
		batch_of_floor(&floor_warm, WARM_CALLS, NULL);
		batch_of_pushes(&push_warm, WARM_CALLS, NULL);
	}
	for (i = 0; i < cold_batches; i++) {
		bench_progress("batches", warm_batches + i, warm_batches + cold_batches);
		batch_of_floor(&floor_cold, COLD_CALLS, get_cold);
		batch_of_pushes(&push_cold, COLD_CALLS, get_cold);
	}
}

int main(int argc, char **argv)
{
	struct tally_options options = { .lanes = 1 };

	bench_begin(argc, argv, "push_latency");
	need_off("push_latency", "it makes its own region");
	pin(0);
	bench_clock = clock_choose();
	other_work = malloc(OTHER_WORK);
	if (!other_work || tally_init(&options) != 0) {
		fprintf(stderr, "bench/push_latency: no memory, or no region in /dev/shm\n");
		return 1;
	}
	memset(other_work, 1, OTHER_WORK);
	push_pairs(10000);
	map_region();
	measure(bench_rounds(WARM_BATCHES), bench_rounds(COLD_BATCHES));
	tally_shutdown();
	result_spread(&warm, &floor_warm);
	result_spread(&warm, &push_warm);
	result_spread(&cold, &floor_cold);
	result_spread(&cold, &push_cold);
	if (!flush_wanted())
		result_note(&cold, "this processor cannot flush lines: only the first two levels "
				   "are cold");
	return bench_end();
}
