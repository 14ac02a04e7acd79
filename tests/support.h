/* SPDX-License-Identifier: Apache-2.0 */
/* What the tests share: a place of one's own, real programs run and judged, JSON looked up.
 *
 * Every test begins with test_begin() and ends with test_end(): use TEST(name) in the table. In
 * between it has a directory for regions, in /dev/shm and in TALLY_DIR, so that copies of a test
 * may run side by side and none sees what is the user's. What it leaves there, or leaves running,
 * fails it. Memory that functions here return is freed by test_end().
 */
#ifndef TESTS_SUPPORT_H
#define TESTS_SUPPORT_H

#include <jansson.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* cmocka.h wants the four above */
#include <cmocka.h>

#include "tests/emulator.h"

/* How long anything may take that is waited for. Long, as a machine may be busy, and an emulated
 * processor is slow: a test that depends on it has already gone wrong. */
#define DEADLINE_S (EMULATED ? 180 : 60)

extern char test_dir[64]; /* where this test's regions are made; in TALLY_DIR */
extern char test_tmp[64]; /* for its other files */

int test_begin(void **state);
int test_end(void **state);
#define TEST(name) cmocka_unit_test_setup_teardown(name, test_begin, test_end)
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* Called by test_end(), also after a failure, to let go of what a test held; then forgotten. */
extern void (*test_let_go)(void);

/* skip(), with the reason that it must have. */
#define SKIP(...)                                                                                  \
	do {                                                                                       \
		print_message("skipped: " __VA_ARGS__);                                            \
		print_message("\n");                                                               \
		skip();                                                                            \
	} while (0)

/* For what no emulator does as the kernel and the processor do. */
#define SKIP_EMULATED(why)                                                                         \
	do {                                                                                       \
		if (EMULATED)                                                                      \
			SKIP("emulated: " why);                                                    \
	} while (0)

/* Skips the test where no pseudo-terminal can be had (a chroot without /dev/pts). */
void need_terminal(void);

char *text(const char *format, ...) __attribute__((format(printf, 1, 2)));
char *built(const char *name); /* build/NAME, absolute; build/ is TALLY_BUILD if that is set */
char *prog(const char *name);  /* build/tests/prog/NAME */
char *read_file(const char *path, size_t *ret_size);
void write_file(const char *path, const void *bytes, size_t size);

size_t descriptors_of(pid_t pid); /* how many it has open */

uint64_t now_ns(void);	   /* CLOCK_MONOTONIC */
void pause_a_moment(void); /* between two looks at a condition */

/* Waits until `condition` holds; fails the test, naming it, after DEADLINE_S. */
#define WAIT_FOR(condition)                                                                        \
	do {                                                                                       \
		uint64_t wait_end_ns = now_ns() + DEADLINE_S * 1000000000ull;                      \
                                                                                                   \
		while (!(condition)) {                                                             \
			if (now_ns() > wait_end_ns)                                                \
				fail_msg("waited in vain for: %s", #condition);                    \
			pause_a_moment();                                                          \
		}                                                                                  \
	} while (0)

/* ThreadSanitizer is at work here: slow, and faults belong to it. */
#if defined(__SANITIZE_THREAD__)
#define UNDER_TSAN 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define UNDER_TSAN 1
#endif
#endif
#ifndef UNDER_TSAN
#define UNDER_TSAN 0
#endif

/* AddressSanitizer, which takes all addresses there are. */
#if defined(__SANITIZE_ADDRESS__)
#define UNDER_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define UNDER_ASAN 1
#endif
#endif
#ifndef UNDER_ASAN
#define UNDER_ASAN 0
#endif

/* A number that is as random as its seed. */
uint64_t mix(uint64_t x);

/* ---- Programs -------------------------------------------------------------------------------- */

struct command {
	const char *const *argv; /* NULL-terminated, as env */
	const char *const *env;	 /* NAME=VALUE sets, NAME removes */
	const char *input;	 /* on stdin; NULL: /dev/null */
	const char *cwd;
};

struct outcome {
	int status;	 /* exit status; -n: killed by signal n */
	char *out, *err; /* zero-terminated */
	size_t out_size, err_size;
};

#define LIST(...) ((const char *const[]){ __VA_ARGS__, NULL })

/* One list of the words of both; NULL is none. */
const char *const *list_and(const char *const *first, const char *const *rest);

/* As execvp() of its first word; programs of ours among its words get the emulator in front of
 * them, where there is one. */
void execute(const char *const *argv);

/* Runs a program to its end and says what it did. */
struct outcome run(const struct command *command);
#define RUN(...) run(&(struct command){ .argv = LIST(__VA_ARGS__) })
#define TALLY(...) RUN(built("tally"), __VA_ARGS__)

/* What a command counts system calls with, in front of the program; and how many a run of it has
 * counted, or skips the test where strace may not trace. */
#define STRACE(path) "strace", "-f", "-c", "-o", path
uint64_t strace_total(const struct outcome *outcome, const char *path);

/* A program that runs beside the test; stdin and stdout are pipes. */
struct job {
	pid_t pid;
	int to, from;
	char *err_path;
};

struct job job_start(const struct command *command);
#define START(...) job_start(&(struct command){ .argv = LIST(__VA_ARGS__) })
char *job_line(const struct job *job); /* its next line, without the end; fails when none comes */
void job_say(const struct job *job, const char *line);
void job_signal(const struct job *job, int number);
struct outcome job_end(struct job *job); /* closes its stdin, reads the rest, waits */

/* Gives an order, a line, and waits until it is done; the number that is the answer. */
int job_do(const struct job *job, const char *order);

/* Likewise to its end, which is status 0, or SIGKILL. */
void job_end_well(struct job *job);
void job_kill(struct job *job);

/* Status as in struct outcome. */
int wait_status(pid_t pid);

/* The files with a region's name, hidden ones too, in test_dir. */
size_t regions_left(void);
void remove_regions(void);
char *joined_file(const char *name); /* of the region that is joined as "/NAME" */
char *only_region(void);	     /* the name of the one that is there; fails if it is not one */

/* ---- JSON ------------------------------------------------------------------------------------ */

json_t *json_parse(const char *from);
json_t *json_get(json_t *json, const char *path); /* "devices/0/name"; fails when not there */
int64_t json_number(json_t *json, const char *path);
const char *json_text(json_t *json, const char *path);
bool json_flag(json_t *json, const char *path);

/* In json's "devices"; NULL when it is not there. */
json_t *json_device(json_t *json, int64_t device);
json_t *json_pool(json_t *json, int64_t device, const char *pool);
/* In json's "processes", those with this pid. */
size_t json_processes(json_t *json, int64_t pid, json_t **ret_first);

/* The sums that every test compares. */
struct test_sums {
	int64_t allocated_bytes, freed_bytes, allocs, frees, failures;
};

struct test_sums json_sums(json_t *pool); /* NULL: all zero */
struct test_sums sums_minus(struct test_sums a, struct test_sums b);
struct test_sums sums_plus(struct test_sums a, struct test_sums b);
#define assert_sums_equal(a, b) check_sums(a, b, #a, #b, __FILE__, __LINE__)
void check_sums(struct test_sums a, struct test_sums b, const char *a_name, const char *b_name,
		const char *file, int line);

#endif
