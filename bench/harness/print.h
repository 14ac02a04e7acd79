/* SPDX-License-Identifier: Apache-2.0 */
/* For programs that print their own lines instead of reporting through result.h.
 */
#ifndef BENCH_HARNESS_PRINT_H
#define BENCH_HARNESS_PRINT_H

#include <stdio.h>

#include "bench/harness/figure.h"

static inline void machine_print(void)
{
	struct machine machine;

	machine_look(&machine);
	printf("machine: %s, %s, %u processors, load %.2f\n", machine.cpu, machine.kernel,
	       machine.processors, machine.load);
}

static inline void figure_print(const struct figure *figure)
{
	struct summary summary = figure_summary(figure, PLACE_NONE);

	printf("%-38s %7.2f %-11s %7.2f to %.2f in %zu rounds; %zu disturbed\n", figure->name,
	       summary.median, figure->unit, summary.lower, summary.upper, summary.count,
	       summary.disturbed);
}

#endif
