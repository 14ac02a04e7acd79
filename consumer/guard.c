/* SPDX-License-Identifier: Apache-2.0 */
/* The SIGBUS guard: its handler, and what each thread is reading. */
#include "consumer/guard.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <tally/consumer.h>

/* Written by the thread itself, before it touches the mapping; so the handler finds it there. */
static _Thread_local struct {
	unsigned char *volatile base;
	volatile size_t size;
	volatile bool cut;
} reading;

static struct sigaction before;

void guard_begin(const struct region_view *view)
{
	reading.cut = false;
	reading.size = view->at.size;
	reading.base = view->base;
}

bool guard_end(void)
{
	reading.base = NULL;
	return reading.cut;
}

/* Everything behind the fault is beyond the file's end as well. Cursors may be written there. */
static bool patch(const unsigned char *at)
{
	unsigned char *base = reading.base;
	size_t offset;

	if (!base || at < base || at >= base + reading.size)
		return false;
	offset = (size_t)(at - base) / TALLY_PAGE * TALLY_PAGE;
	if (mmap(base + offset, reading.size - offset, PROT_READ | PROT_WRITE,
		 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_FIXED, -1, 0) == MAP_FAILED)
		return false;
	reading.cut = true;
	return true;
}

static void on_fault(int number, siginfo_t *info, void *context)
{
	int saved_errno = errno;

	(void)context;
	if (info->si_code <= 0 || !patch(info->si_addr)) {
		/* Not ours: as if this handler had never been there. A fault comes again. */
		sigaction(number, &before, NULL);
		if (info->si_code <= 0)
			raise(number);
	}
	errno = saved_errno;
}

int tally_consumer_guard(void)
{
	struct sigaction guard = { .sa_sigaction = on_fault, .sa_flags = SA_SIGINFO | SA_ONSTACK };
	struct sigaction now;

	if (sigaction(SIGBUS, NULL, &now) != 0)
		return -errno;
	if ((now.sa_flags & SA_SIGINFO) && now.sa_sigaction == on_fault)
		return 0;
	before = now;
	sigemptyset(&guard.sa_mask);
	return sigaction(SIGBUS, &guard, NULL) == 0 ? 0 : -errno;
}
