/* SPDX-License-Identifier: Apache-2.0 */
/* Preloaded beside libtally-malloc.so: counts the same calls in the plainest way, to compare.
 *
 * Every call of the malloc family in every process started by `tally run` (TALLY_RUN is set) adds
 * to five words in TRUTH_FILE: bytes allocated, bytes freed, allocs, frees, failures. It has
 * nothing in common with the adapter but the names of the functions.
 */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tally/atomic.h"

#define EXPORT __attribute__((visibility("default")))

struct truth {
	uint64_t allocated, freed, allocs, frees, failures;
};

static struct truth early;	     /* until the file is mapped */
static struct truth *truth = &early; /* written once, by the constructor, before any thread */

static void *(*real_malloc)(size_t);
static void *(*real_calloc)(size_t, size_t);
static void *(*real_realloc)(void *, size_t);
static void *(*real_memalign)(size_t, size_t);
static void *(*real_aligned_alloc)(size_t, size_t);
static int (*real_posix_memalign)(void **, size_t, size_t);
static void *(*real_valloc)(size_t);
static void *(*real_pvalloc)(size_t);
static void (*real_free)(void *);

/* dlsym() may allocate before there is anything to allocate with. Seen by nobody else. */
static char dlsym_memory[4096];
static size_t dlsym_used;
static int resolving;

static void *of_dlsym(size_t size)
{
	void *block = dlsym_memory + dlsym_used;

	dlsym_used += (size + 15) / 16 * 16;
	return dlsym_used <= sizeof(dlsym_memory) ? block : NULL;
}

static int is_of_dlsym(const void *block)
{
	return (const char *)block >= dlsym_memory &&
	       (const char *)block < dlsym_memory + sizeof(dlsym_memory);
}

static void resolve_one(void *to, const char *name)
{
	void *found = dlsym(RTLD_NEXT, name);

	if (!found)
		abort();
	memcpy(to, &found, sizeof(found));
}

/* Happens in the first call, before there are threads. */
static void resolve(void)
{
	if (real_free || resolving)
		return;
	resolving = 1;
	resolve_one(&real_malloc, "malloc");
	resolve_one(&real_calloc, "calloc");
	resolve_one(&real_realloc, "realloc");
	resolve_one(&real_memalign, "memalign");
	resolve_one(&real_aligned_alloc, "aligned_alloc");
	resolve_one(&real_posix_memalign, "posix_memalign");
	resolve_one(&real_valloc, "valloc");
	resolve_one(&real_pvalloc, "pvalloc");
	resolve_one(&real_free, "free");
	resolving = 0;
}

__attribute__((constructor)) static void begin(void)
{
	const char *path = getenv("TRUTH_FILE");
	int fd = path && getenv("TALLY_RUN") ? open(path, O_RDWR | O_CLOEXEC) : -1;
	struct truth *shared;

	if (fd < 0)
		return;
	shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (shared == MAP_FAILED)
		abort();
	tally_add_relaxed(&shared->allocated, early.allocated);
	tally_add_relaxed(&shared->freed, early.freed);
	tally_add_relaxed(&shared->allocs, early.allocs);
	tally_add_relaxed(&shared->frees, early.frees);
	tally_add_relaxed(&shared->failures, early.failures);
	truth = shared;
}

static void *count_alloc(void *block)
{
	if (block) {
		tally_add_relaxed(&truth->allocated, malloc_usable_size(block));
		tally_add_relaxed(&truth->allocs, 1);
	} else {
		tally_add_relaxed(&truth->failures, 1);
	}
	return block;
}

static void count_free(size_t size)
{
	tally_add_relaxed(&truth->freed, size);
	tally_add_relaxed(&truth->frees, 1);
}

EXPORT void *malloc(size_t size)
{
	resolve();
	return resolving ? of_dlsym(size) : count_alloc(real_malloc(size));
}

EXPORT void *calloc(size_t count, size_t size)
{
	resolve();
	return resolving ? of_dlsym(count * size) : count_alloc(real_calloc(count, size));
}

EXPORT void free(void *block)
{
	if (!block || is_of_dlsym(block))
		return;
	resolve();
	count_free(malloc_usable_size(block));
	real_free(block);
}

static void *count_realloc(void *was, size_t was_size, size_t size, void *block)
{
	if (was && (block || size == 0))
		count_free(was_size);
	if (block || size || !was)
		count_alloc(block);
	return block;
}

EXPORT void *realloc(void *was, size_t size)
{
	size_t was_size = was ? malloc_usable_size(was) : 0;

	resolve();
	return count_realloc(was, was_size, size, real_realloc(was, size));
}

EXPORT void *reallocarray(void *was, size_t count, size_t size)
{
	size_t bytes;

	/* not the C library's: that one comes back to our realloc() */
	if (!__builtin_mul_overflow(count, size, &bytes))
		return realloc(was, bytes);
	errno = ENOMEM;
	return count_alloc(NULL);
}

EXPORT void *memalign(size_t alignment, size_t size)
{
	resolve();
	return count_alloc(real_memalign(alignment, size));
}

EXPORT void *aligned_alloc(size_t alignment, size_t size)
{
	resolve();
	return count_alloc(real_aligned_alloc(alignment, size));
}

EXPORT int posix_memalign(void **ret_block, size_t alignment, size_t size)
{
	int error;

	resolve();
	error = real_posix_memalign(ret_block, alignment, size);
	if (error != EINVAL) /* that is a mistake of the caller's, no failure */
		count_alloc(error ? NULL : *ret_block);
	return error;
}

EXPORT void *valloc(size_t size)
{
	resolve();
	return count_alloc(real_valloc(size));
}

EXPORT void *pvalloc(size_t size)
{
	resolve();
	return count_alloc(real_pvalloc(size));
}
