/* SPDX-License-Identifier: Apache-2.0 */
/* The benchmarks' common part: pinning, time, medians, a description of the machine. */
#include "bench/harness.h"

#include <sched.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

/* What the process was allowed at its start, before anything was pinned. */
static cpu_set_t allowed;

__attribute__((constructor)) static void remember_allowed(void)
{
	if (sched_getaffinity(getpid(), sizeof(allowed), &allowed) != 0)
		CPU_SET(0, &allowed);
}

void pin(unsigned int n)
{
	cpu_set_t one;
	size_t cpu;

	n %= processors();
	for (cpu = 0; cpu < CPU_SETSIZE; cpu++)
		if (CPU_ISSET(cpu, &allowed) && n-- == 0)
			break;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	sched_setaffinity(0, sizeof(one), &one);
}

unsigned int processors(void)
{
	return (unsigned int)CPU_COUNT(&allowed);
}

double now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

/* ---- Quiet and disturbed --------------------------------------------------------------------- */

#define PROBE_STEPS 20000
#define PROBE_QUIET 1.15 /* times the quickest probe of the run */

static double quickest = 1e18;

/* How long a fixed number of independent additions takes. */
static double probe(void)
{
	uint64_t a = 1, b = 2, c = 3, d = 4, e = 5, f = 6;
	double start = now_ns();
	double took;
	int i;

	for (i = 0; i < PROBE_STEPS; i++) {
		a += b;
		c += d;
		e += f;
		b += 7;
		d += 7;
		f += 7;
		__asm__ volatile("" : "+r"(a), "+r"(b), "+r"(c), "+r"(d), "+r"(e), "+r"(f));
	}
	took = now_ns() - start;
	if (took < quickest)
		quickest = took;
	return took;
}

static bool quiet(const struct figure *figure, size_t round)
{
	return figure->probes[round] <= quickest * PROBE_QUIET;
}

void figure_time(struct figure *figure, double (*measure)(void))
{
	double before, sample, after;

	if (figure->count == ROUNDS)
		return;
	before = probe();
	sample = measure();
	after = probe();
	figure->samples[figure->count] = sample;
	figure->probes[figure->count] = before > after ? before : after;
	figure->count++;
}

/* ---- Medians --------------------------------------------------------------------------------- */

struct sorted {
	double values[ROUNDS];
	size_t count;
};

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a;
	double y = *(const double *)b;

	return (x > y) - (x < y);
}

static double quantile(struct sorted *sorted, double part)
{
	if (sorted->count == 0)
		return 0;
	qsort(sorted->values, sorted->count, sizeof(double), ascending);
	return sorted->values[(size_t)(part * (double)(sorted->count - 1) + 0.5)];
}

static void samples_of(const struct figure *figure, bool of_quiet, struct sorted *ret_sorted)
{
	size_t i;

	ret_sorted->count = 0;
	for (i = 0; i < figure->count; i++)
		if (quiet(figure, i) == of_quiet)
			ret_sorted->values[ret_sorted->count++] = figure->samples[i];
}

/* Quiet rounds, or all of them if those are too few. */
static void usable(const struct figure *figure, struct sorted *ret_sorted)
{
	samples_of(figure, true, ret_sorted);
	if (ret_sorted->count < ROUNDS_MIN) {
		memcpy(ret_sorted->values, figure->samples, sizeof(figure->samples));
		ret_sorted->count = figure->count;
	}
}

double figure_median(const struct figure *figure)
{
	struct sorted sorted;

	usable(figure, &sorted);
	return quantile(&sorted, 0.5);
}

static double of_both(const struct figure *a, const struct figure *b, bool ratio, bool any)
{
	struct sorted sorted = { .count = 0 };
	size_t i;

	for (i = 0; i < a->count && i < b->count; i++)
		if (any || (quiet(a, i) && quiet(b, i)))
			sorted.values[sorted.count++] = ratio ? a->samples[i] / b->samples[i]
							      : a->samples[i] - b->samples[i];
	if (sorted.count < ROUNDS_MIN && !any)
		return of_both(a, b, ratio, true);
	return quantile(&sorted, 0.5);
}

double figure_difference(const struct figure *a, const struct figure *b)
{
	return of_both(a, b, false, false);
}

double figure_ratio(const struct figure *a, const struct figure *b)
{
	return of_both(a, b, true, false);
}

void figure_print(const struct figure *figure)
{
	struct sorted sorted, disturbed;

	usable(figure, &sorted);
	printf("%-38s %7.2f %-11s %7.2f to %.2f in %zu rounds", figure->name,
	       quantile(&sorted, 0.5), figure->unit, quantile(&sorted, 0.25),
	       quantile(&sorted, 0.75), sorted.count);
	samples_of(figure, false, &disturbed);
	if (sorted.count == figure->count && disturbed.count)
		printf(", %zu of them disturbed", disturbed.count);
	else if (disturbed.count)
		printf("; %.2f in %zu disturbed", quantile(&disturbed, 0.5), disturbed.count);
	printf("\n");
}

static void print_processor(void)
{
	char line[256];
	FILE *file = fopen("/proc/cpuinfo", "re");

	while (file && fgets(line, sizeof(line), file)) {
		char *colon = strchr(line, ':');

		if (strncmp(line, "model name", 10) == 0 && colon) {
			printf("%.*s", (int)strcspn(colon + 2, "\n"), colon + 2);
			break;
		}
	}
	if (file)
		fclose(file);
}

void machine_print(void)
{
	struct utsname system;
	double load;

	printf("machine: ");
	print_processor();
	if (uname(&system) == 0)
		printf(", %s, %s %s", system.machine, system.sysname, system.release);
	printf(", %u processors\nmedian, and the middle half, of the rounds in which nobody shared "
	       "the core\n",
	       processors());
	if (getloadavg(&load, 1) == 1 && load > 0.5)
		printf("warning: load average %.2f: something else is running, expect noise\n",
		       load);
}
