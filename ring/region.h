/* SPDX-License-Identifier: Apache-2.0 */
/* A region: one file in shared memory; making it, naming it, opening it to read, checking it.
 *
 * A maker fills an unnamed file under its liveness lock and links it to its name last, so no
 * reader ever sees a half-made region. Pages are reserved before they are touched, so a full
 * /dev/shm costs an error and never a SIGBUS. A reader believes nothing: the header is read by
 * pread(), checked and copied, and every offset is recomputed from it.
 */
#ifndef RING_REGION_H
#define RING_REGION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <tally/abi.h>

#include "ring/geometry.h"

#define REGION_NAME_MAX 64  /* of the file name, with its end */
#define REGION_PATH_MAX 256 /* of directory and name */
#define REGION_WHY_MAX 256  /* of a refusal */

/* The file name is tally-<uid>-<pid>-<region id in hex>. */
void region_name(char name[REGION_NAME_MAX], uint32_t uid, uint32_t pid, uint64_t region_id);

/* True if `name` is one, or begins like one: `loose` names are worth a word to the user. */
bool region_name_parse(const char *name, uint32_t *ret_uid, uint32_t *ret_pid);
bool region_name_loose(const char *name);

/* ---- Making ---------------------------------------------------------------------------------- */

struct region_config {
	const char *dir;
	const char *name;   /* NULL, or of a region for several processes: a file name in `dir` */
	uint32_t ring_log2; /* 0: totals only */
	uint32_t lanes_log2;
	uint32_t shared_ring_log2; /* of a region that has no other rings; 0: as ring_log2 */
	uint32_t processes_log2;   /* with a name; 0: GEOMETRY_PROCESSES_LOG2 */
	uint32_t pid;		   /* whose the entry is said to be; 0: this process's */
	const char *comm;	   /* its name; NULL: this process's */
	uint32_t flags;		   /* TALLY_REGION_... */
	uint64_t run_id;
	uint64_t parent; /* generation of the process this one was forked from, or 0 */
	int64_t inherited_bytes, inherited_allocs;
	int *open_fd;	   /* NULL, or told the descriptor while there is one, else -1 */
	void *place;	   /* NULL, or addresses left by region_blank() to map it at, */
	size_t place_size; /* if it has that size */
};

/* A region this process writes. Private; plain memory. */
struct region {
	unsigned char *base; /* NULL: none */
	struct geometry at;
	uint64_t id;
	uint32_t entry;	     /* this process's */
	uint64_t generation; /* of this process; the id where there is but one */
	int fd;		     /* until it is published, else -1 */
	int *open_fd;	     /* as in the configuration */
	bool hidden_name;    /* made without O_TMPFILE: has a temporary name until published */
	/* A page, or several, were refused: so many more tries are not worth it. */
	uint64_t refusals, large_refusals;
	bool in_place;	      /* mapped at config->place */
	bool joined;	      /* shared with other processes */
	uint32_t lossless_ms; /* what lossless_open() gets */
	bool by_file;	      /* pages are not reserved by madvise() */
	char name[REGION_NAME_MAX];
	char path[REGION_PATH_MAX];
};

/* Makes a region: file, lock, mapping, header and this process's entry, not yet linked to its name.
 * Negative errno when it cannot be: -EFBIG when RLIMIT_FSIZE leaves no room at all. */
int region_create(const struct region_config *config, struct region *ret_region);

/* Links it to its name and closes the descriptor; the mapping keeps the lock. On failure, -EEXIST
 * where somebody has that name, the region is as it was. */
int region_publish(struct region *region);

/* Closes the descriptor, if there is one; a mapping keeps the lock. */
void region_close_file(struct region *region);

/* Takes back a region that was not published: mapping, descriptor, hidden name. */
void region_discard(struct region *region);

/* Unlinks it. The mapping stays. */
void region_unlink(const struct region *region);

/* Whether madvise() is in earnest. An emulator of another processor (qemu-user) answers 0 to any
 * advice, also where the kernel does something that we rely on, and does nothing. */
bool region_advice_heeded(void *page);

/* Puts private anonymous memory in place of a mapping: the lock and the memory go, the addresses
 * stay harmless to a push that is still in flight. */
void region_blank(void *base, size_t size);

/* Makes sure that [offset, offset + size) can be written without a fault that kills. 0, or
 * -ENOSPC, -ENOMEM, ... After a refusal the next REGION_REFUSALS requests for a single page, or for
 * several, are refused without asking, so that a full file system does not cost every push a
 * system call. */
#define REGION_REFUSALS 1024
int region_reserve(struct region *region, size_t offset, size_t size);

/* The same for whole pages that nobody uses yet: what was reserved of them is given back when not
 * all could be. */
int region_reserve_all(struct region *region, size_t offset, size_t size);

/* The cursors of a lossless region, before any lane waits; 0 where there are none. */
int region_reserve_cursors(struct region *region);

/* Maps a region's file, or, if fd is -1, plain memory. Without its holes being filled, also where
 * mlockall() wants that of every mapping. place: NULL, or where. MAP_FAILED and errno. */
void *region_map(int fd, size_t size, int protection, void *place);

/* ---- Reading --------------------------------------------------------------------------------- */

/* A region somebody else writes, mapped read-only. */
struct region_view {
	unsigned char *base;
	struct geometry at;
	struct tally_region_header header; /* a checked copy */
	int fd;
	uint64_t dev, ino;
	uint32_t uid; /* of the file */
};

/* Opens and checks. why gets one line for people on failure. -EPROTO: another version or layout,
 * `ret_view->header`'s first 64 bytes then name version and creator; -EBADMSG: not a region or a
 * broken one; -EACCES: owned by another user; else the errno of the call that failed. */
int region_open(int dir_fd, const char *name, struct region_view *ret_view,
		char why[REGION_WHY_MAX]);
void region_close(struct region_view *view);

/* The same to write into somebody else's region, which must have `flags`: nothing of it is the
 * caller's. Of *ret_region base, at, id, path, name and fd are set. open_fd: NULL, and the
 * descriptor is closed; or it stays open and is told as in region_config, from the start. */
int region_open_shared(const char *dir, const char *name, uint32_t flags, int *open_fd,
		       struct region *ret_region);

/* 1 if the process of `entry` lives, 0 if not, or a negative errno. */
int region_alive(const struct region_view *view, uint32_t entry);

/* tally_abi_signature(), worked out once. Any thread. */
uint64_t region_signature(void);

#endif
