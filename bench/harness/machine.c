/* SPDX-License-Identifier: Apache-2.0 */
/* What the machine says of itself, and pinning. */
#include "bench/harness/machine.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
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

long interruptions(void)
{
	struct rusage usage;

	return getrusage(RUSAGE_THREAD, &usage) == 0 ? usage.ru_nivcsw : 0;
}

/* ---- Description ----------------------------------------------------------------------------- */

static void first_line(const char *path, char *ret_line, size_t size)
{
	FILE *file = fopen(path, "re");

	if (!file || !fgets(ret_line, (int)size, file))
		ret_line[0] = '\0';
	ret_line[strcspn(ret_line, "\n")] = '\0';
	if (file)
		fclose(file);
}

static void look_at_processor(struct machine *machine)
{
	char line[4096];
	FILE *file = fopen("/proc/cpuinfo", "re");

	while (file && fgets(line, sizeof(line), file)) {
		const char *colon = strchr(line, ':');

		if (strncmp(line, "model name", 10) == 0 && colon && !machine->cpu[0])
			snprintf(machine->cpu, sizeof(machine->cpu), "%.*s",
				 (int)strcspn(colon + 2, "\n"), colon + 2);
		if (strncmp(line, "flags", 5) == 0)
			machine->virtual_machine = strstr(line, " hypervisor") != NULL;
		if (line[0] == '\n')
			break; /* the others are like the first */
	}
	if (file)
		fclose(file);
}

void machine_look(struct machine *ret_machine)
{
	struct utsname system;

	memset(ret_machine, 0, sizeof(*ret_machine));
	look_at_processor(ret_machine);
	if (uname(&system) == 0) {
		snprintf(ret_machine->architecture, sizeof(ret_machine->architecture), "%.31s",
			 system.machine);
		snprintf(ret_machine->kernel, sizeof(ret_machine->kernel), "%.60s %.60s",
			 system.sysname, system.release);
	}
	first_line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", ret_machine->governor,
		   sizeof(ret_machine->governor));
	ret_machine->processors = processors();
	if (getloadavg(&ret_machine->load, 1) != 1)
		ret_machine->load = -1;
}

bool machine_warning(const struct machine *begin, const struct machine *end, size_t i, char *why,
		     size_t size)
{
	double load = begin->load > end->load ? begin->load : end->load;

	/* the bench itself keeps all processors busy by its end */
	if (begin->load > 0.5 || load > begin->processors + 0.5)
		if (i-- == 0) {
			snprintf(why, size,
				 "load average %.2f before and %.2f after: something else is "
				 "running, expect noise",
				 begin->load, end->load);
			return true;
		}
	if (begin->governor[0] && strcmp(begin->governor, "performance") != 0)
		if (i-- == 0) {
			snprintf(why, size,
				 "the processors' governor is \"%s\", not \"performance\": their "
				 "speed changes meanwhile",
				 begin->governor);
			return true;
		}
	return false;
}
