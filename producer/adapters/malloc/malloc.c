/* SPDX-License-Identifier: Apache-2.0 */
/* libtally-malloc.so: the C library's allocator, reported as device 0, pool heap (LD_PRELOAD).
 *
 * Each function calls the next one of its name and then tells libtally. Sizes are what
 * malloc_usable_size() says, so that a free finds the same number. A block is out of our hands
 * once it is freed, so its size and the time are taken before.
 */
#include <dlfcn.h>
#include <errno.h>
#include <malloc.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <tally/tally.h>

#define EXPORT __attribute__((visibility("default")))
#define HOST 0

static struct {
	void *(*malloc)(size_t size);
	void (*free)(void *block);
	void *(*calloc)(size_t count, size_t size);
	void *(*realloc)(void *block, size_t size);
	void *(*aligned_alloc)(size_t alignment, size_t size);
	void *(*memalign)(size_t alignment, size_t size);
	int (*posix_memalign)(void **ret_block, size_t alignment, size_t size);
	void *(*valloc)(size_t size);
	void *(*pvalloc)(size_t size);
	size_t (*usable_size)(void *block);
} next;

/* ---- Finding the next allocator -------------------------------------------------------------- */

/* Should dlsym() allocate, it gets memory from here; never freed, never counted. */
static struct {
	_Alignas(16) unsigned char bytes[8192];
	size_t used;
} boot;

static void *boot_alloc(size_t size)
{
	size_t rounded = (size + 31) & ~(size_t)15; /* a word in front keeps the size */
	unsigned char *block = boot.bytes + boot.used;

	if (size > sizeof(boot.bytes) || rounded > sizeof(boot.bytes) - boot.used)
		return NULL;
	boot.used += rounded;
	memcpy(block, &size, sizeof(size));
	return block + 16;
}

static int from_boot(const void *block)
{
	const unsigned char *byte = block;

	return byte >= boot.bytes && byte < boot.bytes + sizeof(boot.bytes);
}

static void find(void *ret_function, const char *name)
{
	void *function = dlsym(RTLD_NEXT, name);

	memcpy(ret_function, &function, sizeof(function));
}

/* True once the next allocator is known. The first call comes while there is one thread. */
static int ready(void)
{
	static int finding;

	if (__builtin_expect(next.usable_size != NULL, 1))
		return 1;
	if (finding)
		return 0;
	finding = 1;
	find(&next.malloc, "malloc");
	find(&next.free, "free");
	find(&next.calloc, "calloc");
	find(&next.realloc, "realloc");
	find(&next.aligned_alloc, "aligned_alloc");
	find(&next.memalign, "memalign");
	find(&next.posix_memalign, "posix_memalign");
	find(&next.valloc, "valloc");
	find(&next.pvalloc, "pvalloc");
	find(&next.usable_size, "malloc_usable_size"); /* last: it says that all are there */
	finding = 0;
	return next.usable_size != NULL;
}

__attribute__((constructor)) static void make_region(void)
{
	ready();
	tally_enabled(); /* makes the region now, and not inside somebody's malloc() */
}

/* ---- Telling libtally ------------------------------------------------------------------------ */

static void *allocated(void *block, size_t size)
{
	if (block)
		tally_alloc(HOST, TALLY_POOL_HEAP, (uintptr_t)block, next.usable_size(block));
	else
		tally_alloc_failed(HOST, TALLY_POOL_HEAP, size);
	return block;
}

/* count * size, or the largest size when that does not fit. */
static size_t product(size_t count, size_t size)
{
	size_t bytes;

	return __builtin_mul_overflow(count, size, &bytes) ? SIZE_MAX : bytes;
}

/* ---- The allocator's functions --------------------------------------------------------------- */

EXPORT void *malloc(size_t size)
{
	if (!ready())
		return boot_alloc(size);
	return allocated(next.malloc(size), size);
}

EXPORT void free(void *block)
{
	uint64_t now;
	size_t size;

	if (!block || from_boot(block))
		return;
	ready();
	now = tally_now();
	size = next.usable_size(block);
	next.free(block);
	tally_free_at(now, HOST, TALLY_POOL_HEAP, (uintptr_t)block, size);
}

EXPORT void *calloc(size_t count, size_t size)
{
	if (!ready())
		return boot_alloc(product(count, size)); /* never used before, so zero */
	return allocated(next.calloc(count, size), product(count, size));
}

static void *moved_from_boot(void *block, size_t size)
{
	void *copy = malloc(size);
	size_t old_size;

	memcpy(&old_size, (unsigned char *)block - 16, sizeof(old_size));
	if (copy)
		memcpy(copy, block, old_size < size ? old_size : size);
	return copy;
}

EXPORT void *realloc(void *block, size_t size)
{
	uint64_t now;
	size_t old_size;
	void *copy;

	if (!block)
		return malloc(size);
	if (from_boot(block))
		return moved_from_boot(block, size);
	ready();
	now = tally_now();
	old_size = next.usable_size(block);
	copy = next.realloc(block, size);
	if (!copy && size > 0) {
		tally_alloc_failed(HOST, TALLY_POOL_HEAP, size);
		return NULL;
	}
	tally_free_at(now, HOST, TALLY_POOL_HEAP, (uintptr_t)block, old_size);
	if (copy)
		allocated(copy, size);
	return copy;
}

EXPORT void *reallocarray(void *block, size_t count, size_t size)
{
	size_t bytes;

	if (__builtin_mul_overflow(count, size, &bytes)) {
		tally_alloc_failed(HOST, TALLY_POOL_HEAP, SIZE_MAX);
		errno = ENOMEM;
		return NULL;
	}
	return realloc(block, bytes);
}

EXPORT void *aligned_alloc(size_t alignment, size_t size)
{
	return ready() ? allocated(next.aligned_alloc(alignment, size), size) : NULL;
}

EXPORT void *memalign(size_t alignment, size_t size)
{
	return ready() ? allocated(next.memalign(alignment, size), size) : NULL;
}

EXPORT int posix_memalign(void **ret_block, size_t alignment, size_t size)
{
	int error;

	if (!ready())
		return ENOMEM;
	error = next.posix_memalign(ret_block, alignment, size);
	if (error == 0)
		allocated(*ret_block, size);
	else if (error == ENOMEM)
		tally_alloc_failed(HOST, TALLY_POOL_HEAP, size);
	return error;
}

EXPORT void *valloc(size_t size)
{
	return ready() ? allocated(next.valloc(size), size) : NULL;
}

EXPORT void *pvalloc(size_t size)
{
	return ready() ? allocated(next.pvalloc(size), size) : NULL;
}
