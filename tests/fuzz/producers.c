/* SPDX-License-Identifier: Apache-2.0 */
/* Real producers for the fuzz targets: a sound one that lives on, and the template's.
 *
 * Each is a process of its own. The sound one also clears up: it ends when its parent has ended,
 * however that was, and takes the directory with it.
 */
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <tally/tally.h>
#include <unistd.h>

#include "producer/config.h"
#include "ring/join.h"
#include "tests/fuzz/fuzz.h"

char fuzz_dir[64];
struct fuzz_template fuzz_templates[FUZZ_TEMPLATES];

/* ---- A story, told to a producer or to a counter --------------------------------------------- */

#define SOUND_PAIRS 3

static const struct {
	uint32_t device, pool;
} sound_pairs[SOUND_PAIRS] = { { 1, TALLY_POOL_DRAM }, { 1, TALLY_POOL_L1 }, { 70, 8 } };

static struct tally_totals sound_totals[SOUND_PAIRS];
static uint64_t sound_events;
static char sound_region[64];

#define SOUND_EVENTS 400

static uint64_t story_size(unsigned int n)
{
	return 64 + n % 7 * 1000;
}

static void tell_sound(void)
{
	unsigned int n;

	for (n = 0; n < SOUND_EVENTS; n++) {
		unsigned int pair = n % SOUND_PAIRS;

		tally_alloc(sound_pairs[pair].device, sound_pairs[pair].pool, n, story_size(n));
		if (n % 4 == 0)
			tally_free(sound_pairs[pair].device, sound_pairs[pair].pool, n,
				   story_size(n));
	}
}

static void count_sound(void)
{
	unsigned int n;

	for (n = 0; n < SOUND_EVENTS; n++) {
		struct tally_totals *totals = &sound_totals[n % SOUND_PAIRS];

		totals->allocations++;
		totals->allocated_bytes += story_size(n);
		sound_events++;
		if (n % 4 == 0) {
			totals->frees++;
			totals->freed_bytes += story_size(n);
			sound_events++;
		}
	}
}

static void check_totals(const struct tally_pool_view *pool, unsigned int pair)
{
	const struct tally_totals *is = &pool->totals, *should = &sound_totals[pair];

	FUZZ_CHECK(pool->device == sound_pairs[pair].device);
	FUZZ_CHECK(pool->pool == sound_pairs[pair].pool);
	FUZZ_CHECK(is->allocations == should->allocations);
	FUZZ_CHECK(is->allocated_bytes == should->allocated_bytes);
	FUZZ_CHECK(is->frees == should->frees);
	FUZZ_CHECK(is->freed_bytes == should->freed_bytes);
	FUZZ_CHECK(is->failures == 0);
	FUZZ_CHECK(is->live_bytes == (int64_t)(should->allocated_bytes - should->freed_bytes));
	FUZZ_CHECK(is->live_bytes_high == is->live_bytes);
	FUZZ_CHECK(is->current);
}

void fuzz_check_sound(const struct tally_snapshot *now, bool settled)
{
	unsigned int found = 0, pair;
	size_t n;

	for (n = 0; n < now->process_count; n++) {
		const struct tally_process_view *process = &now->processes[n];

		if (strcmp(process->region, sound_region) != 0)
			continue;
		found++;
		FUZZ_CHECK(process->end == TALLY_RUNNING);
		FUZZ_CHECK(process->events == sound_events);
		FUZZ_CHECK(process->rejected_events == 0);
		FUZZ_CHECK(process->quarantined_lanes == 0);
		FUZZ_CHECK(!settled || process->records_read == sound_events);
		FUZZ_CHECK(process->lost_records == 0);
		FUZZ_CHECK(process->pool_count == SOUND_PAIRS);
		for (pair = 0; pair < SOUND_PAIRS; pair++)
			check_totals(&now->process_pools[process->first_pool + pair], pair);
	}
	FUZZ_CHECK(found == 1);
}

/* ---- The template's story -------------------------------------------------------------------- */

#define THREADS 6 /* two more than lanes: these count in the shared cells */

static pthread_barrier_t all_there;

static void *tell_in_thread(void *arg)
{
	unsigned int thread = (unsigned int)(uintptr_t)arg, n;

	tally_tag_push(thread % 2 ? "odd" : "even");
	for (n = 0; n < 50 + thread * 40; n++) { /* some stay within a lap, some do not */
		tally_alloc(thread % 3, n % 9, n, 100 + n);
		if (n % 3 == 0)
			tally_free(thread % 3, n % 9, n, 100 + n);
		if (n % 16 == 0)
			tally_alloc_failed(thread % 3, n % 9, 1 << 20);
	}
	tally_mark("done");
	pthread_barrier_wait(&all_there); /* so that each has its own lane */
	return NULL;
}

static void tell_template(void)
{
	struct tally_device_info chip = { .name = "chip",
					  .arch = "arch",
					  .stable_id = "0123",
					  .capacity_bytes = { 1 << 30, 1 << 20 },
					  .grid_x = 8,
					  .grid_y = 8 };
	pthread_t threads[THREADS];
	size_t n;

	tally_device_describe(0, &chip);
	tally_device_describe(2, &chip);
	tally_pool_describe(8, "scratch");
	pthread_barrier_init(&all_there, NULL, THREADS);
	for (n = 0; n < THREADS; n++)
		if (pthread_create(&threads[n], NULL, tell_in_thread, (void *)(uintptr_t)n) != 0)
			_exit(1);
	for (n = 0; n < THREADS; n++)
		pthread_join(threads[n], NULL);
	tally_pool_reset(1, 1, NULL);
	tally_alloc(0, TALLY_POOL_HEAP, 1, 1); /* in a lane continued */
}

/* ---- Processes ------------------------------------------------------------------------------- */

struct producer {
	pid_t pid;
	int orders; /* it ends with a byte here, or with whoever holds this end */
	char region[64];
};

static void remove_dir(void)
{
	DIR *dir = opendir(fuzz_dir);
	struct dirent *entry;

	while (dir && (entry = readdir(dir)))
		unlinkat(dirfd(dir), entry->d_name, 0);
	if (dir)
		closedir(dir);
	rmdir(fuzz_dir);
}

struct story {
	struct tally_options options;
	void (*tell)(void);
	const char *joined; /* as TALLY_REGION */
};

static _Noreturn void produce(const struct story *story, int orders, int ready)
{
	struct tally_status status;
	int null = open("/dev/null", O_RDWR);
	char byte;

	setsid(); /* who ends the fuzzer by its group still has the directory removed */
	dup2(null, 0);
	dup2(null, 1);
	dup2(null, 2);
	config_load();
	snprintf(producer_config.dir, sizeof(producer_config.dir), "%s", fuzz_dir);
	if (story->joined && !join_name(producer_config.region, story->joined))
		_exit(1);
	if (tally_init(&story->options) != 0)
		_exit(1);
	story->tell();
	tally_status(&status);
	if (status.rejected_events || status.join_error ||
	    write(ready, status.region, sizeof(status.region)) != sizeof(status.region))
		_exit(1);
	close(ready);
	while (read(orders, &byte, 1) < 0)
		;
	if (story->tell == tell_sound)
		remove_dir();
	_exit(0);
}

static struct producer start(const struct story *story)
{
	struct producer producer = { 0 };
	int orders[2], ready[2];

	FUZZ_CHECK(pipe2(orders, O_CLOEXEC) == 0 && pipe2(ready, O_CLOEXEC) == 0);
	producer.pid = fork();
	FUZZ_CHECK(producer.pid >= 0);
	if (producer.pid == 0) {
		close(orders[1]);
		close(ready[0]);
		produce(story, orders[0], ready[1]);
	}
	close(orders[0]);
	close(ready[1]);
	FUZZ_CHECK(read(ready[0], producer.region, sizeof(producer.region)) ==
		   sizeof(producer.region));
	close(ready[0]);
	producer.orders = orders[1];
	return producer;
}

static void end(const struct producer *producer)
{
	FUZZ_CHECK(write(producer->orders, "", 1) == 1);
	close(producer->orders);
	waitpid(producer->pid, NULL, 0);
}

static void take_template(struct fuzz_template *template, const char *name)
{
	struct tally_region_header header;
	char path[160];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", fuzz_dir, name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	FUZZ_CHECK(fd >= 0 && pread(fd, &header, sizeof(header), 0) == sizeof(header));
	FUZZ_CHECK(geometry_compute(&header, &template->at));
	template->bytes = malloc(template->at.size);
	FUZZ_CHECK(template->bytes);
	FUZZ_CHECK(pread(fd, template->bytes, template->at.size, 0) == (ssize_t) template->at.size);
	close(fd);
	unlink(path);
}

void fuzz_begin(void)
{
	static const struct story sound_story = { .options.keep = 1, .tell = tell_sound };
	static const struct story story = { .options = { .ring_records = 64, .lanes = 4 },
					    .tell = tell_template };
	static const struct story joined_story = { .options = { .ring_records = 64, .lanes = 16 },
						   .tell = tell_template,
						   .joined = "/fuzz" };
	static struct producer sound;
	struct producer one, other, third;
	const char *tmp = getenv("FUZZ_TMP");

	snprintf(fuzz_dir, sizeof(fuzz_dir), "%.40s/tally-fuzz.XXXXXX", tmp ? tmp : "/dev/shm");
	FUZZ_CHECK(mkdtemp(fuzz_dir));
	count_sound();
	sound = start(&sound_story);
	memcpy(sound_region, sound.region, sizeof(sound_region));
	one = start(&story);
	take_template(&fuzz_templates[FUZZ_OWN], one.region);
	end(&one);
	/* of three, the first died and the last has its place */
	one = start(&joined_story);
	other = start(&joined_story);
	end(&one);
	third = start(&joined_story);
	take_template(&fuzz_templates[FUZZ_JOINED], third.region);
	end(&other);
	end(&third);
}
