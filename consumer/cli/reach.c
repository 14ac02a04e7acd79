/* SPDX-License-Identifier: Apache-2.0 */
/* Why a program was not followed: found by looking at its file, as exec and the loader do. */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#include "cli.h"

#define SCRIPTS_DEEP 4
#define REGION_BYTES_MIN 524288 /* about: a region without records */

#if UINTPTR_MAX > UINT32_MAX
#define OUR_CLASS ELFCLASS64
#else
#define OUR_CLASS ELFCLASS32
#endif

bool reach_find(char path[PATH_SIZE], const char *command, int mode)
{
	const char *from = getenv("PATH");

	if (strchr(command, '/'))
		return snprintf(path, PATH_SIZE, "%s", command) < PATH_SIZE;
	if (!from)
		from = "/bin:/usr/bin";
	for (;;) {
		size_t length = strcspn(from, ":");
		int size = length ? snprintf(path, PATH_SIZE, "%.*s/%s", (int)length, from, command)
				  : snprintf(path, PATH_SIZE, "%s", command);

		if (size < PATH_SIZE && access(path, mode) == 0)
			return true;
		if (!from[length])
			return false;
		from += length + 1;
	}
}

/* The loader ignores LD_PRELOAD, and libtally its variables, where rights are gained. */
static bool gains_rights(int fd)
{
	struct stat status;

	if (fstat(fd, &status) != 0)
		return false;
	return (status.st_mode & S_ISUID && status.st_uid != geteuid()) ||
	       ((status.st_mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP) &&
		status.st_gid != getegid()) ||
	       (geteuid() != 0 && fgetxattr(fd, "security.capability", NULL, 0) > 0);
}

/* Whether the program has a loader, which is what preloads. */
static bool has_interpreter(int fd)
{
	Elf64_Ehdr header;
	int n;

	if (pread(fd, &header, sizeof(header), 0) != sizeof(header))
		return false;
	for (n = 0; n < header.e_phnum; n++) {
		Elf64_Phdr segment;
		off_t at = (off_t)header.e_phoff + n * header.e_phentsize;

		if (pread(fd, &segment, sizeof(segment), at) != sizeof(segment))
			return false;
		if (segment.p_type == PT_INTERP)
			return true;
	}
	return false;
}

/* The interpreter that the first line of a script names. */
static bool script_interpreter(const char *line, char path[PATH_SIZE])
{
	size_t start = 2 + strspn(line + 2, " \t");
	size_t length = strcspn(line + start, " \t\r\n");

	if (strncmp(line, "#!", 2) != 0 || length == 0)
		return false;
	snprintf(path, PATH_SIZE, "%.*s", (int)length, line + start);
	return true;
}

/* Regions cannot be made: says why. */
static bool dir_unusable(char *reason, size_t size, const char *dir)
{
	struct rlimit limit;
	int fd, error;

	if (getrlimit(RLIMIT_FSIZE, &limit) == 0 && limit.rlim_cur < REGION_BYTES_MIN) {
		snprintf(reason, size, "the limit of file sizes (ulimit -f) is too low");
		return true;
	}
	fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	error = errno;
	if (fd >= 0) {
		error = posix_fallocate(fd, 0, 1 << 16);
		close(fd);
	}
	if (error == 0 || error == EOPNOTSUPP)
		return false;
	snprintf(reason, size, "no region could be made in %s: %s", dir, strerror(error));
	return true;
}

/* Why this one file cannot be preloaded. False: nothing is wrong with it; if it is a script, its
 * interpreter is in `path` now and *ret_script is true. */
static bool unfit(char *reason, size_t size, char path[PATH_SIZE], bool *ret_script)
{
	char start[PATH_SIZE] = { 0 };
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	bool is_unfit = true;

	*ret_script = false;
	if (fd < 0) {
		snprintf(reason, size, "%s cannot be read to say why: %s", path, strerror(errno));
		return true;
	}
	if (gains_rights(fd)) {
		snprintf(reason, size,
			 "%s is set-user-id, set-group-id or has capabilities, so the loader does "
			 "not preload into it",
			 path);
	} else if (pread(fd, start, sizeof(start) - 1, 0) < EI_NIDENT) {
		is_unfit = false;
	} else if (memcmp(start, ELFMAG, SELFMAG) != 0) {
		*ret_script = script_interpreter(start, path);
		is_unfit = false;
	} else if (start[EI_CLASS] != OUR_CLASS) {
		snprintf(reason, size, "%s is a %d-bit program, tally's library is not", path,
			 start[EI_CLASS] == ELFCLASS32 ? 32 : 64);
	} else if (!has_interpreter(fd)) {
		snprintf(reason, size,
			 "%s is statically linked, so the loader does not preload into it", path);
	} else {
		is_unfit = false;
	}
	close(fd);
	return is_unfit;
}

void reach_reason(char *reason, size_t size, const char *command, const char *dir)
{
	char path[PATH_SIZE];
	bool script = true;
	int depth;

	if (!reach_find(path, command, X_OK)) {
		snprintf(reason, size, "its file was not found again");
		return;
	}
	for (depth = 0; depth < SCRIPTS_DEEP && script; depth++)
		if (unfit(reason, size, path, &script))
			return;
	if (!dir_unusable(reason, size, dir))
		snprintf(reason, size,
			 "it made no region in %s; it may have cleared LD_PRELOAD, TALLY or "
			 "TALLY_DIR, or be unable to see that directory",
			 dir);
}
