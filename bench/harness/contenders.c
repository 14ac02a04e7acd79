/* SPDX-License-Identifier: Apache-2.0 */
/* Loads contenders from a folder. */
#include "bench/harness/contenders.h"

#include <dirent.h>
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void load(struct candidate *candidate, const char *path, const char *symbol)
{
	void *object = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	const char *why = object ? NULL : dlerror();

	if (object) {
		candidate->defines = dlsym(object, symbol);
		why = candidate->defines ? NULL : dlerror();
	}
	if (!candidate->defines)
		snprintf(candidate->absent, sizeof(candidate->absent), "cannot be loaded: %s", why);
}

static void read_absent(struct candidate *candidate, const char *path)
{
	char package[64] = "", can[64] = "";
	FILE *file = fopen(path, "re");

	if (file && fgets(package, sizeof(package), file) && fgets(can, sizeof(can), file))
		candidate->many = strstr(can, "CONTENDER_MANY") != NULL;
	if (file)
		fclose(file);
	package[strcspn(package, "\n")] = '\0';
	snprintf(candidate->absent, sizeof(candidate->absent),
		 "%s is not installed (make bench-deps)", package);
}

static int by_name(const void *a, const void *b)
{
	return strcmp(((const struct candidate *)a)->name, ((const struct candidate *)b)->name);
}

/* All of a folder, each of which defines `symbol`. */
static size_t load_all(const char *folder, const char *symbol, struct candidate *ret_candidates)
{
	const struct dirent *entry;
	size_t count = 0;
	DIR *dir;

	dir = opendir(folder);
	if (!dir) {
		fprintf(stderr, "bench: no contenders: %s\n", folder);
		exit(1);
	}
	while (count < CONTENDERS_MAX && (entry = readdir(dir))) {
		struct candidate *candidate = &ret_candidates[count];
		const char *dot = strrchr(entry->d_name, '.');
		char path[512];

		if (!dot || (strcmp(dot, ".so") != 0 && strcmp(dot, ".absent") != 0))
			continue;
		memset(candidate, 0, sizeof(*candidate));
		snprintf(candidate->name, sizeof(candidate->name), "%.*s",
			 (int)(dot - entry->d_name), entry->d_name);
		snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
		if (strcmp(dot, ".so") == 0)
			load(candidate, path, symbol);
		else
			read_absent(candidate, path);
		count++;
	}
	closedir(dir);
	qsort(ret_candidates, count, sizeof(*ret_candidates), by_name);
	return count;
}

size_t contenders_load(struct candidate ret_candidates[CONTENDERS_MAX])
{
	const char *folder = getenv("BENCH_CONTENDERS");
	size_t count, i;

	count = load_all(folder ? folder : BUILD_DIR "/bench/contenders", "contender",
			 ret_candidates);
	for (i = 0; i < count; i++) {
		struct candidate *candidate = &ret_candidates[i];

		candidate->contender = candidate->defines;
		if (candidate->contender)
			candidate->many = candidate->contender->can & CONTENDER_MANY;
	}
	return count;
}

size_t reporters_load(struct candidate ret_candidates[CONTENDERS_MAX])
{
	const char *folder = getenv("BENCH_REPORTERS");

	return load_all(folder ? folder : BUILD_DIR "/bench/reporters", "reporter", ret_candidates);
}
