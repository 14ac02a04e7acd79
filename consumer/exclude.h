/* SPDX-License-Identifier: Apache-2.0 */
/* Keeping the consumer's own allocations out of the books, when its process is a producer too. */
#ifndef CONSUMER_EXCLUDE_H
#define CONSUMER_EXCLUDE_H

#include <tally/tally.h>

/* There when libtally is in the process, by linking or by preload; NULL when not. */
extern __typeof__(tally_thread_exclude) tally_thread_exclude __attribute__((weak));
extern __typeof__(tally_thread_include) tally_thread_include __attribute__((weak));

static inline void exclude_begin(void)
{
	if (tally_thread_exclude)
		tally_thread_exclude();
}

static inline void exclude_end(void)
{
	if (tally_thread_include)
		tally_thread_include();
}

#endif
