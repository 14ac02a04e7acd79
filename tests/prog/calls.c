/* SPDX-License-Identifier: Apache-2.0 */
/* Calls in any order: each as the first, with errno watched or by a thread to be cancelled, and
 * shut down and armed again. One scenario a run, which judges itself.
 *
 *	calls SCENARIO [ARGUMENT]
 */
#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/emulator.h"
#include "tests/scenario.h"

static uint32_t open_before; /* see descriptors() */

/* ---- Every function -------------------------------------------------------------------------- */

static void call_alloc(void)
{
	take(DEVICE, 1);
}

static void call_free(void)
{
	tally_free(DEVICE, TALLY_POOL_DRAM, 1, SIZE);
}

static void call_free_at(void)
{
	tally_free_at(tally_now(), DEVICE, TALLY_POOL_DRAM, 1, SIZE);
}

static void call_alloc_failed(void)
{
	tally_alloc_failed(DEVICE, TALLY_POOL_DRAM, SIZE);
}

static void call_rejected(void)
{
	tally_alloc(1u << 20, TALLY_POOL_DRAM, 1, SIZE);
}

static void call_now(void)
{
	tally_now();
}

static void call_tag(void)
{
	tally_tag_push("a tag");
	take(DEVICE, 1);
	tally_tag_pop();
}

static void call_tag_pop(void)
{
	tally_tag_pop();
}

static void call_mark(void)
{
	tally_mark("a mark");
}

static void call_pool_reset(void)
{
	tally_pool_reset(DEVICE, TALLY_POOL_DRAM, NULL);
	tally_pool_reset(1u << 20, TALLY_POOL_DRAM, NULL);
}

static void call_device_describe(void)
{
	struct tally_device_info info = { .name = "a device" };

	tally_device_describe(DEVICE, &info);
	tally_device_describe(DEVICE, NULL);
}

static void call_pool_describe(void)
{
	tally_pool_describe(9, "a pool");
	tally_pool_describe(9, "another");
	tally_pool_describe(1, "wrong");
}

static void call_init(void)
{
	struct tally_options wrong = { .ring_records = 77 };

	tally_init(&wrong);
	tally_init(NULL);
	tally_init(NULL);
}

static void call_enabled(void)
{
	tally_enabled();
}

static void call_shutdown(void)
{
	tally_shutdown();
	tally_shutdown();
}

static void call_status(void)
{
	struct tally_status status;

	tally_status(&status);
	tally_status(NULL);
}

static void call_exclude(void)
{
	tally_thread_exclude();
	take(DEVICE, 1);
	tally_thread_include();
}

static void (*const functions[])(void) = {
	call_alloc,
	call_free,
	call_free_at,
	call_alloc_failed,
	call_rejected,
	call_now,
	call_tag,
	call_tag_pop,
	call_mark,
	call_pool_reset,
	call_status,
	call_exclude,
	call_device_describe,
	call_pool_describe,
	call_init,
	call_shutdown,
	call_enabled,
	call_init,
	call_alloc,
	call_enabled,
	call_shutdown,
};

#define FUNCTIONS ((int)(sizeof(functions) / sizeof(functions[0])))

static void check_errno(int function)
{
	errno = 4242;
	functions[function]();
	if (errno != 4242)
		dprintf(2, "function %d left errno %d\n", function, errno);
	CHECK(errno == 4242);
}

/* Each function as the first that is called, then all; and the same in a fork child. */
static int corner_errno(const char *argument)
{
	int i;

	(void)argument;
	for (case_no = 0; case_no < FUNCTIONS; case_no++) {
		pid_t pid = fork();

		if (pid == 0) {
			check_errno(case_no);
			pid = fork();
			for (i = 0; i < FUNCTIONS; i++)
				check_errno(i);
			if (pid != 0)
				CHECK(ended_well(pid));
			leave();
		}
		CHECK(ended_well(pid));
	}
	return 0;
}

static volatile sig_atomic_t came_back;

static void *call_cancelled(void *arg)
{
	pthread_cancel(pthread_self());
	functions[case_no]();
	came_back = 1;
	pthread_testcancel();
	return arg;
}

static void *cancel_at_once(void *arg)
{
	pthread_cancel(pthread_self());
	pthread_testcancel();
	return arg;
}

/* Each function as the first that is called, by a thread that is to be cancelled. */
static void check_cancelled(void)
{
	pthread_t thread;
	void *result;

	in_thread(cancel_at_once); /* so that what glibc opens for it is there */
	open_before = descriptors();
	CHECK(pthread_create(&thread, NULL, call_cancelled, NULL) == 0);
	CHECK(pthread_join(thread, &result) == 0);
	CHECK(came_back);
	CHECK(result == PTHREAD_CANCELED);
	CHECK(descriptors() == open_before);
	if (functions[case_no] != call_shutdown)
		CHECK(tally_enabled() == 1);
	take(CHILDS_DEVICE, PUSHES);
	in_thread(take_in_thread);
	if (functions[case_no] != call_shutdown) {
		look();
		CHECK(seen.childs_allocs == PUSHES);
		CHECK(seen.allocs >= PUSHES);
	}
}

static int corner_cancel(const char *argument)
{
	(void)argument;
	for (case_no = 0; case_no < FUNCTIONS; case_no++) {
		pid_t pid = fork();

		if (pid == 0) {
			check_cancelled();
			leave();
		}
		CHECK(ended_well(pid));
	}
	return 0;
}

/* ---- Armed again ----------------------------------------------------------------------------- */

static sem_t tagged, armed_again;

static void *tag_across(void *arg)
{
	tally_tag_push("outer");
	tally_tag_push("inner");
	take(DEVICE, 1);
	sem_post(&tagged);
	sem_wait(&armed_again);
	tally_tag_pop();
	tally_tag_pop();
	take(DEVICE, PUSHES);
	tally_tag_pop();
	return arg;
}

/* A thread pops its tags in another region than it pushed them in. */
static int corner_tag_pop(const char *argument)
{
	static const uint32_t lanes[] = { 4, 1024, 1, 64 };
	struct tally_options options = { 0 };
	pthread_t thread;

	(void)argument;
	sem_init(&tagged, 0, 0);
	sem_init(&armed_again, 0, 0);
	for (case_no = 0; case_no < 4; case_no++) {
		CHECK(tally_init(&options) == 0);
		CHECK(pthread_create(&thread, NULL, tag_across, NULL) == 0);
		sem_wait(&tagged);
		CHECK(tally_shutdown() == 0);
		options.lanes = lanes[case_no];
		CHECK(tally_init(&options) == 0);
		sem_post(&armed_again);
		CHECK(pthread_join(thread, NULL) == 0);
		look();
		CHECK(seen.allocs == PUSHES);
		CHECK(tally_shutdown() == 0);
	}
	return 0;
}

static int corner_shutdown_first(const char *argument)
{
	struct tally_status status;
	pid_t pid;

	(void)argument;
	CHECK(tally_shutdown() == 0);
	take(DEVICE, PUSHES);
	CHECK(tally_enabled() == 0);
	CHECK(tally_status(&status) == 0);
	CHECK(status.armed == 0);
	CHECK(tally_shutdown() == -ENODEV);
	pid = fork();
	if (pid == 0) {
		take(DEVICE, PUSHES);
		CHECK(tally_enabled() == 0);
		_exit(0);
	}
	CHECK(ended_well(pid));
	puts("off");
	fflush(stdout);
	getchar();
	CHECK(tally_init(NULL) == 0);
	take(DEVICE, PUSHES);
	look();
	CHECK(seen.allocs == PUSHES);
	CHECK(seen.events == PUSHES);
	return 0;
}

/* A number in /proc/self/status, in KiB. */
static long memory(const char *what)
{
	FILE *file = fopen("/proc/self/status", "re");
	char line[200];
	long value = -1;

	CHECK(file != NULL);
	while (fgets(line, sizeof(line), file))
		if (strncmp(line, what, strlen(what)) == 0)
			value = atol(line + strlen(what) + 1);
	fclose(file);
	CHECK(value >= 0);
	return value;
}

static long mappings(void)
{
	FILE *file = fopen("/proc/self/maps", "re");
	long lines = 0;
	int c;

	CHECK(file != NULL);
	while ((c = getc(file)) != EOF)
		lines += c == '\n';
	fclose(file);
	return lines;
}

static int corner_cycles(const char *argument)
{
	static const uint32_t rings[] = { 2048, 64, 4096, 1024, 64, 256 };
	static const uint32_t lanes[] = { 64, 16, 4, 64, 1024, 1 };
	long size = 0, shared = 0, maps = 0;
	open_before = descriptors();

	(void)argument;
	for (case_no = 0; case_no < 1002; case_no++) {
		struct tally_options options = { .ring_records = rings[case_no % 6],
						 .lanes = lanes[case_no % 6] };

		if (case_no == 12) { /* as in the last: the next is the same again */
			size = memory("VmSize");
			shared = memory("RssShmem");
			maps = mappings();
		}
		CHECK(tally_init(&options) == 0);
		take(DEVICE, 1);
		CHECK(tally_shutdown() == 0);
	}
	/* an emulator's own tables grow */
	CHECK(EMULATED || memory("VmSize") <= size + 256);
	CHECK(memory("RssShmem") <= shared + 16);
	CHECK(mappings() <= maps + 2);
	CHECK(descriptors() == open_before);
	return 0;
}

/* ---- */

int main(int argc, char **argv)
{
	static const struct scenario scenarios[] = {
		{ "errno", corner_errno },     { "cancel", corner_cancel },
		{ "tag-pop", corner_tag_pop }, { "shutdown-first", corner_shutdown_first },
		{ "cycles", corner_cycles },   { NULL, NULL },
	};

	return run_scenario(scenarios, argc, argv);
}
