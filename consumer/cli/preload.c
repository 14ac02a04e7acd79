/* SPDX-License-Identifier: Apache-2.0 */
/* What makes CMD report to this run: the malloc adapter preloaded, and libtally's variables. */
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli.h"

#define ADAPTER "libtally-malloc.so"

/* TALLY_PRELOAD, else beside this program, else in the lib/ next to its directory. */
bool preload_find(char path[PATH_SIZE])
{
	static const char *const places[] = { "/" ADAPTER, "/../lib/" ADAPTER,
					      "/../lib64/" ADAPTER };
	const char *given = getenv("TALLY_PRELOAD");
	char self[2048], place[3072];
	ssize_t length;
	size_t n;

	if (given && *given)
		return realpath(given, path) != NULL;
	length = readlink("/proc/self/exe", self, sizeof(self) - 1);
	if (length <= 0)
		return false;
	self[length] = '\0';
	*strrchr(self, '/') = '\0';
	for (n = 0; n < sizeof(places) / sizeof(places[0]); n++) {
		snprintf(place, sizeof(place), "%s%s", self, places[n]);
		if (realpath(place, path))
			return true;
	}
	return false;
}

static bool set(const char *name, const char *value)
{
	return (value ? setenv(name, value, 1) : unsetenv(name)) == 0;
}

int preload_environment(uint64_t run_id, const char *lent_region)
{
	const char *before = getenv("LD_PRELOAD");
	char adapter[PATH_SIZE], preload[16384], id[TEXT_MAX];

	if (!preload_find(adapter) && getenv("TALLY_PRELOAD")) {
		say("TALLY_PRELOAD names no file: %s", strerror(errno));
		return EXIT_RUN_FAILED;
	}
	if (!preload_find(adapter)) {
		say(ADAPTER
		    " is not where this program is, nor in ../lib; set TALLY_PRELOAD to it");
		return EXIT_RUN_FAILED;
	}
	if (strpbrk(adapter, ": ")) {
		say("%s cannot be preloaded: the loader takes no path with a space or colon",
		    adapter);
		return EXIT_RUN_FAILED;
	}
	if (snprintf(preload, sizeof(preload), "%s%s%s", adapter, before && *before ? ":" : "",
		     before ? before : "") >= (int)sizeof(preload)) {
		say("LD_PRELOAD is too long");
		return EXIT_RUN_FAILED;
	}
	snprintf(id, sizeof(id), "%016" PRIx64, run_id);
	if (!set("LD_PRELOAD", preload) || !set("TALLY", "1") || !set("TALLY_RUN", id) ||
	    !set("TALLY_RUN_REGION", lent_region)) {
		say("no memory for CMD's environment");
		return EXIT_RUN_FAILED;
	}
	return 0;
}
