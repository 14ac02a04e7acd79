/* SPDX-License-Identifier: Apache-2.0 */
/* Stops a reader between two of its loads: a shared object lies across two pages, and touching a
 * page that is closed calls the test, on the reader's own thread, before the load is done. So a
 * race that takes a nanosecond is met every time.
 */
#ifndef TESTS_TRAP_H
#define TESTS_TRAP_H

#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tests/support.h"

#define TRAP_PAGE 65536 /* a multiple of every page size */

static unsigned char *trap_pages; /* two of them */
static void (*trap_called)(int page);
static int trap_count;

static inline void trap_set(int page, bool open)
{
	mprotect(trap_pages + page * TRAP_PAGE, TRAP_PAGE,
		 open ? PROT_READ | PROT_WRITE : PROT_NONE);
}

static inline void trap_handle(int number, siginfo_t *info, void *context)
{
	unsigned char *at = info->si_addr;

	(void)context;
	if (at < trap_pages || at >= trap_pages + 2 * TRAP_PAGE) {
		signal(number, SIG_DFL); /* a crash like any other */
		return;
	}
	trap_count++;
	trap_called(at >= trap_pages + TRAP_PAGE);
}

/* Where to put an object of which the first `before` bytes lie in page 0, the others in page 1.
 * Both are open; `called` opens the page it is called for. */
static inline void *trap_make(size_t before, void (*called)(int page))
{
	struct sigaction action = { .sa_sigaction = trap_handle, .sa_flags = SA_SIGINFO };

	trap_pages = mmap(NULL, 2 * TRAP_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS,
			  -1, 0);
	assert_ptr_not_equal(trap_pages, MAP_FAILED);
	trap_called = called;
	trap_count = 0;
	sigaction(SIGSEGV, &action, NULL);
	return trap_pages + TRAP_PAGE - before;
}

static inline void trap_free(void)
{
	signal(SIGSEGV, SIG_DFL);
	munmap(trap_pages, 2 * TRAP_PAGE);
}

#endif
