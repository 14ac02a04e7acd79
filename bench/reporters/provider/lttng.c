/* SPDX-License-Identifier: Apache-2.0 */
/* LTTng's provider of the two tracepoints: loaded once a session listens, as LTTng's library looks
 * for one when it is loaded.
 *
 *	package: liblttng-ust-dev
 *	header: lttng/tracepoint.h
 *	flags: -Wno-conversion -Wno-sign-conversion -llttng-ust
 */
#define LTTNG_UST_TRACEPOINT_CREATE_PROBES
#include "bench/reporters/lttng_event.h"
