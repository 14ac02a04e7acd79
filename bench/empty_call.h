/* SPDX-License-Identifier: Apache-2.0 */
/* A call of a push's kind that does nothing: what is left of a push when that is taken off. */
#ifndef BENCH_EMPTY_CALL_H
#define BENCH_EMPTY_CALL_H

#include <stdint.h>

__attribute__((noinline, noipa)) static void empty_call(uint32_t device, uint32_t pool,
							uint64_t buffer_id, uint64_t size)
{
	(void)device;
	(void)pool;
	(void)buffer_id;
	(void)size;
}

#endif
