/* SPDX-License-Identifier: Apache-2.0 */
/* The doctor reads the environment as libtally does, and looks for the malloc adapter. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "doctor.h"

#define RING_MIN 64
#define RING_MAX 1048576
#define LANES_MAX 1024
#define DIR_LENGTH_MAX 189
#define LOSSLESS_MAX_MS 60000
#define SHARED_NAME_MAX 32

/* A power of two from `min` to `max`, in decimal digits and nothing else. */
static bool is_power(const char *text, unsigned long min, unsigned long max)
{
	unsigned long value;
	char *end;

	if (*text < '0' || *text > '9')
		return false;
	errno = 0;
	value = strtoul(text, &end, 10);
	return !errno && !*end && value >= min && value <= max && (value & (value - 1)) == 0;
}

static bool is_zero(const char *text)
{
	return *text && text[strspn(text, "0")] == '\0';
}

static void check_armed(struct doctor *doctor, const char *value)
{
	if (!value)
		doctor_find(doctor, FINDING_OK, "TALLY",
			    "TALLY is not set: programs count under `tally run`, or with TALLY=1");
	else if (strcmp(value, "1") == 0)
		doctor_find(doctor, FINDING_OK, "TALLY", "TALLY=1: programs with libtally count");
	else if (is_zero(value))
		doctor_find(doctor, FINDING_OK, "TALLY", "TALLY=%s: programs do not count", value);
	else
		doctor_find(doctor, FINDING_PROBLEM, "TALLY",
			    "TALLY=\"%s\" does not make programs count; set TALLY=1", value);
}

static void check_ring(struct doctor *doctor, const char *value)
{
	if (!value || is_zero(value) || is_power(value, RING_MIN, RING_MAX))
		doctor_find(doctor, FINDING_OK, "TALLY_RING", "TALLY_RING is %s",
			    value ? value : "not set: 2048 records per thread");
	else
		doctor_find(
			doctor, FINDING_PROBLEM, "TALLY_RING",
			"TALLY_RING=\"%s\" is not usable: programs keep totals, and no records; "
			"set a power of two from %d to %d, or 0 for totals alone",
			value, RING_MIN, RING_MAX);
}

static void check_lanes(struct doctor *doctor, const char *value)
{
	if (!value || is_power(value, 1, LANES_MAX))
		doctor_find(doctor, FINDING_OK, "TALLY_LANES", "TALLY_LANES is %s",
			    value ? value : "not set: 64 threads with a ring of their own");
	else
		doctor_find(doctor, FINDING_PROBLEM, "TALLY_LANES",
			    "TALLY_LANES=\"%s\" is not usable, 64 is in force; set a power of two "
			    "from 1 to %d",
			    value, LANES_MAX);
}

static void check_dir(struct doctor *doctor, const char *value)
{
	if (value && strlen(value) > DIR_LENGTH_MAX)
		doctor_find(doctor, FINDING_PROBLEM, "TALLY_DIR",
			    "TALLY_DIR is a path of %zu bytes, programs take at most %d and use "
			    "/dev/shm instead; set a shorter one",
			    strlen(value), DIR_LENGTH_MAX);
	else if (value && *value && *value != '/')
		doctor_find(doctor, FINDING_PROBLEM, "TALLY_DIR",
			    "TALLY_DIR=\"%s\" is another place in every working directory; set a "
			    "path that begins with /",
			    value);
	else
		doctor_find(doctor, FINDING_OK, "TALLY_DIR", "TALLY_DIR is %s",
			    value && *value ? value : "not set: /dev/shm");
}

static void check_keep(struct doctor *doctor, const char *value)
{
	if (!value || !*value || is_zero(value))
		doctor_find(doctor, FINDING_OK, "TALLY_KEEP",
			    "TALLY_KEEP is not set: a region goes when its process exits");
	else if (strcmp(value, "1") == 0)
		doctor_find(doctor, FINDING_OK, "TALLY_KEEP",
			    "TALLY_KEEP=1: regions stay after an exit, the newest %d of them",
			    TALLY_GC_KEEP);
	else
		doctor_find(doctor, FINDING_PROBLEM, "TALLY_KEEP",
			    "TALLY_KEEP=\"%s\" keeps nothing; set TALLY_KEEP=1, or unset it",
			    value);
}

static bool is_shared_name(const char *value)
{
	const char *name = value + (*value == '/');
	size_t length = strlen(name);

	return length >= 1 && length <= SHARED_NAME_MAX &&
	       strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") ==
		       length;
}

static void check_shared(struct doctor *doctor, const char *value)
{
	if (!value || !*value || is_shared_name(value))
		doctor_find(doctor, FINDING_OK, "TALLY_REGION", "TALLY_REGION is %s",
			    value && *value ? value
					    : "not set: each process has a region of its own");
	else
		doctor_find(doctor, FINDING_PROBLEM, "TALLY_REGION",
			    "TALLY_REGION=\"%s\" names no region; set a name of 1 to %d letters, "
			    "digits, dots, underscores and dashes, such as /work",
			    value, SHARED_NAME_MAX);
}

static void check_lossless(struct doctor *doctor, const char *value)
{
	unsigned long milliseconds = 0;
	char *end = NULL;

	if (!value)
		return;
	errno = 0;
	if (*value >= '0' && *value <= '9')
		milliseconds = strtoul(value, &end, 10);
	if (!errno && end && !*end && milliseconds >= 1 && milliseconds <= LOSSLESS_MAX_MS)
		doctor_find(doctor, FINDING_NOTE, "TALLY_LOSSLESS",
			    "TALLY_LOSSLESS=%s: programs wait for a reader that asks for it, as "
			    "`tally events --hold` does; for recordings only",
			    value);
	else
		doctor_find(doctor, FINDING_PROBLEM, "TALLY_LOSSLESS",
			    "TALLY_LOSSLESS=\"%s\" is not usable, nothing waits; set milliseconds "
			    "from 1 to %d, or unset it",
			    value, LOSSLESS_MAX_MS);
}

/* Heard by a runtime that reports by the tt-metal adapter; TALLY holds against it. */
static void check_tracking(struct doctor *doctor, const char *value)
{
	const char *tally = secure_getenv("TALLY");
	bool is_set = value && strcmp(value, "1") == 0;

	if (!value)
		return;
	if (!is_set && !is_zero(value) && *value)
		doctor_find(doctor, FINDING_PROBLEM, "TT_ALLOC_TRACKING_ENABLED",
			    "TT_ALLOC_TRACKING_ENABLED=\"%s\" does not make runtimes count; set "
			    "TT_ALLOC_TRACKING_ENABLED=1",
			    value);
	else if (is_set && tally && *tally && strcmp(tally, "1") != 0)
		doctor_find(doctor, FINDING_NOTE, "TT_ALLOC_TRACKING_ENABLED",
			    "TT_ALLOC_TRACKING_ENABLED=1, but TALLY=%s holds: runtimes with the "
			    "tt-metal adapter do not count; unset TALLY",
			    tally);
	else
		doctor_find(doctor, FINDING_OK, "TT_ALLOC_TRACKING_ENABLED",
			    "TT_ALLOC_TRACKING_ENABLED=%s: runtimes with the tt-metal adapter %s",
			    value, is_set ? "count" : "count if TALLY=1");
}

/* The runtime's own switch of what is shown as "totals only". */
static void check_publishing(struct doctor *doctor, const char *value)
{
	if (value && strcmp(value, "1") == 0)
		doctor_find(doctor, FINDING_NOTE, "TT_METAL_SHM_TRACKING_DISABLED",
			    "TT_METAL_SHM_TRACKING_DISABLED=1: runtimes publish no totals of their "
			    "own; shown are those with the tt-metal adapter and those that report "
			    "to tally gateway");
}

static void check_adapter(struct doctor *doctor)
{
	const char *given = getenv("TALLY_PRELOAD");
	char path[PATH_SIZE];

	if (!preload_find(path)) {
		if (given && *given)
			doctor_find(doctor, FINDING_PROBLEM, "adapter",
				    "TALLY_PRELOAD=\"%s\" names no file: %s; set it to "
				    "libtally-malloc.so, or unset it",
				    given, strerror(errno));
		else
			doctor_find(doctor, FINDING_PROBLEM, "adapter",
				    "libtally-malloc.so is not where this program is, nor in "
				    "../lib: `tally run` cannot work; install it, or set "
				    "TALLY_PRELOAD to it");
	} else if (strpbrk(path, ": ")) {
		doctor_find(doctor, FINDING_PROBLEM, "adapter",
			    "%s cannot be preloaded, as the loader takes no path with a space or "
			    "colon; move it",
			    path);
	} else if (access(path, R_OK) != 0) {
		doctor_find(doctor, FINDING_PROBLEM, "adapter",
			    "%s may not be read: %s; make it readable: chmod a+r", path,
			    strerror(errno));
	} else {
		doctor_find(doctor, FINDING_OK, "adapter", "`tally run` preloads %s", path);
	}
}

void doctor_settings(struct doctor *doctor)
{
	static const struct {
		const char *name;
		void (*check)(struct doctor *doctor, const char *value);
	} settings[] = {
		{ "TALLY", check_armed },
		{ "TALLY_RING", check_ring },
		{ "TALLY_LANES", check_lanes },
		{ "TALLY_DIR", check_dir },
		{ "TALLY_KEEP", check_keep },
		{ "TALLY_REGION", check_shared },
		{ "TALLY_LOSSLESS", check_lossless },
		{ "TT_ALLOC_TRACKING_ENABLED", check_tracking },
		{ "TT_METAL_SHM_TRACKING_DISABLED", check_publishing },
	};
	size_t n;

	for (n = 0; n < sizeof(settings) / sizeof(settings[0]); n++)
		settings[n].check(doctor, secure_getenv(settings[n].name));
	check_adapter(doctor);
}
