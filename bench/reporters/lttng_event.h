/* SPDX-License-Identifier: Apache-2.0 */
/* LTTng's tracepoints, with the fields that all are told. Read several times over by LTTng. */
#undef LTTNG_UST_TRACEPOINT_PROVIDER
#define LTTNG_UST_TRACEPOINT_PROVIDER tally_bench
#undef LTTNG_UST_TRACEPOINT_INCLUDE
#define LTTNG_UST_TRACEPOINT_INCLUDE "bench/reporters/lttng_event.h"

#if !defined(BENCH_REPORTERS_LTTNG_EVENT_H) || defined(LTTNG_UST_TRACEPOINT_HEADER_MULTI_READ)
#define BENCH_REPORTERS_LTTNG_EVENT_H

#include <lttng/tracepoint.h>

#define EVENT_ARGS                                                                                 \
	LTTNG_UST_TP_ARGS(int, freed, uint32_t, device, uint32_t, pool, uint64_t, buffer_id,       \
			  uint64_t, bytes)

/* clang-format off */
/* cppcheck-suppress unknownMacro */
LTTNG_UST_TRACEPOINT_EVENT_CLASS(tally_bench, event, EVENT_ARGS,
	LTTNG_UST_TP_FIELDS(
		lttng_ust_field_integer(int, freed, freed)
		lttng_ust_field_integer(uint32_t, device, device)
		lttng_ust_field_integer(uint32_t, pool, pool)
		lttng_ust_field_integer(uint64_t, buffer_id, buffer_id)
		lttng_ust_field_integer(uint64_t, bytes, bytes)))
/* clang-format on */
LTTNG_UST_TRACEPOINT_EVENT_INSTANCE(tally_bench, event, tally_bench, traced, EVENT_ARGS)
LTTNG_UST_TRACEPOINT_EVENT_INSTANCE(tally_bench, event, tally_bench, untraced, EVENT_ARGS)

#endif

#include <lttng/tracepoint-event.h>
