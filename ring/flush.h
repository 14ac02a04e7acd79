/* SPDX-License-Identifier: Apache-2.0 */
/* Giving a cache line back: what a reader does with each line it has read.
 *
 * A producer's push costs mostly what it takes to fetch a line that another core has touched. A
 * reader that flushes what it has read leaves the line in memory, where fetching it costs the
 * producer less than taking it from the reader's cache would. Read permission suffices.
 */
#ifndef RING_FLUSH_H
#define RING_FLUSH_H

#include <stdbool.h>
#include <stdint.h>
#include <tally/atomic.h>

#if defined(__x86_64__)
#include <cpuid.h>

/* Whether this processor has CLFLUSHOPT (CPUID 7, EBX bit 23). */
static inline bool flush_possible(void)
{
	unsigned int eax, ebx, ecx, edx;

	return __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) && ebx >> 23 & 1;
}

static inline void flush_line(const void *line)
{
	__asm__ volatile("clflushopt %0" : : "m"(*(const char *)line));
}
#elif defined(__aarch64__)
static inline bool flush_possible(void)
{
	return true;
}

static inline void flush_line(const void *line)
{
	__asm__ volatile("dc civac, %0" : : "r"(line) : "memory");
}
#else
static inline bool flush_possible(void)
{
	return false;
}

static inline void flush_line(const void *line)
{
	(void)line;
}
#endif

/* Whether to call flush_line(): possible here. Asked once. */
static inline bool flush_wanted(void)
{
	static uint64_t known;			      /* 0: not asked yet, 1: no, 2: yes */
	uint64_t answer = tally_load_relaxed(&known); /* relaxed: any thread finds the same */

	if (answer == 0) {
		answer = flush_possible() ? 2 : 1;
		tally_store_relaxed(&known, answer); /* relaxed: as above */
	}
	return answer == 2;
}

#endif
