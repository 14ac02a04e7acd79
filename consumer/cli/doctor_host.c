/* SPDX-License-Identifier: Apache-2.0 */
/* The doctor looks at this machine: the regions' directory, limits of this process, kernel, clock.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <sys/vfs.h>
#include <tally/abi.h>
#include <unistd.h>

#include "doctor.h"

#define ROOM_WANTED (256u << 10) /* for a process with one thread, records and all */
#define FILES_WANTED 1
#define DESCRIPTORS_WANTED 8 /* a producer needs two for a moment, beside the program's own */
#define DESCRIPTORS_MANY 256 /* a consumer needs one per process */

/* ---- The directory --------------------------------------------------------------------------- */

static bool directory_usable(struct doctor *doctor)
{
	const char *dir = doctor->dir;
	struct stat status;

	if (stat(dir, &status) != 0) {
		doctor_find(
			doctor, FINDING_PROBLEM, "directory",
			"%s, where regions are made, cannot be found: %s; create it (/dev/shm is "
			"a tmpfs that the system mounts), or set TALLY_DIR to a directory",
			dir, strerror(errno));
	} else if (!S_ISDIR(status.st_mode)) {
		doctor_find(doctor, FINDING_PROBLEM, "directory",
			    "%s, where regions are made, is no directory; set TALLY_DIR to one",
			    dir);
	} else if (faccessat(AT_FDCWD, dir, R_OK | W_OK | X_OK, AT_EACCESS) != 0) {
		doctor_find(doctor, FINDING_PROBLEM, "directory",
			    "user %u may not make files in %s (%s; its owner is user %u, its mode "
			    "%04o); as root: chmod 1777 %s, or set TALLY_DIR to a directory of "
			    "your own",
			    (unsigned int)geteuid(), dir, strerror(errno),
			    (unsigned int)status.st_uid, (unsigned int)status.st_mode & 07777, dir);
	} else {
		doctor_find(doctor, FINDING_OK, "directory", "regions are made in %s", dir);
		return true;
	}
	return false;
}

static void check_room(struct doctor *doctor, const struct statfs *fs)
{
	uint64_t block = (uint64_t)fs->f_frsize;
	uint64_t left = fs->f_bavail * block, size = fs->f_blocks * block;
	char left_text[TEXT_MAX], size_text[TEXT_MAX], wanted[TEXT_MAX];

	text_bytes(left_text, (int64_t)left);
	text_bytes(size_text, (int64_t)size);
	text_bytes(wanted, ROOM_WANTED);
	if (size > 0 && left < ROOM_WANTED)
		doctor_find(
			doctor, FINDING_PROBLEM, "space",
			"%s is full: %s of %s are left, a program needs %s (16 KiB for totals "
			"alone); remove what nobody needs there (`ls -lS %s`, `tally gc`), or as "
			"root: mount -o remount,size=1G %s",
			doctor->dir, left_text, size_text, wanted, doctor->dir, doctor->dir);
	else if (size > 0)
		doctor_find(doctor, FINDING_OK, "space", "%s of %s are left, a program needs %s",
			    left_text, size_text, wanted);
	else
		doctor_find(doctor, FINDING_OK, "space", "its size has no limit");
	if (fs->f_files > 0 && fs->f_ffree < FILES_WANTED)
		doctor_find(
			doctor, FINDING_PROBLEM, "inodes",
			"%s has no inode left for another file; remove files there, or as root: "
			"mount -o remount,nr_inodes=1M %s",
			doctor->dir, doctor->dir);
	else
		doctor_find(doctor, FINDING_OK, "inodes", "there is room for more files");
}

static void check_file_system(struct doctor *doctor)
{
	struct statfs fs;

	if (statfs(doctor->dir, &fs) != 0) {
		doctor_find(doctor, FINDING_NOTE, "file-system", "%s says nothing of its room: %s",
			    doctor->dir, strerror(errno));
		return;
	}
	if (fs.f_type == TMPFS_MAGIC || fs.f_type == RAMFS_MAGIC)
		doctor_find(doctor, FINDING_OK, "file-system", "%s is in memory", doctor->dir);
	else
		doctor_find(
			doctor, FINDING_NOTE, "file-system",
			"%s is not in memory (no tmpfs): writing it back to its disk may hold up "
			"the programs that count there",
			doctor->dir);
	check_room(doctor, &fs);
}

static void check_unnamed_files(struct doctor *doctor)
{
	int fd = open(doctor->dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	int error = errno;

	if (fd >= 0)
		close(fd);
	if (fd < 0 && (error == EOPNOTSUPP || error == EISDIR || error == EINVAL))
		doctor_find(
			doctor, FINDING_NOTE, "unnamed-files",
			"%s has no unnamed files (O_TMPFILE): a program that is killed while it "
			"starts may leave a hidden file, which `tally gc` removes",
			doctor->dir);
	else if (fd >= 0 && access("/proc/self/fd", X_OK) != 0)
		doctor_find(
			doctor, FINDING_NOTE, "unnamed-files",
			"/proc is not mounted: regions are made under hidden names instead of "
			"none, and a program that is killed while it starts may leave one, which "
			"`tally gc` removes");
	else if (fd >= 0)
		doctor_find(doctor, FINDING_OK, "unnamed-files",
			    "files can be made without a name, and given one");
}

void doctor_directory(struct doctor *doctor)
{
	if (!directory_usable(doctor))
		return;
	check_file_system(doctor);
	check_unnamed_files(doctor);
}

/* ---- Limits ---------------------------------------------------------------------------------- */

static bool limit_of(__rlimit_resource_t what, uint64_t *ret_limit)
{
	struct rlimit limit;

	if (getrlimit(what, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY)
		return false;
	*ret_limit = limit.rlim_cur;
	return true;
}

static void check_file_size(struct doctor *doctor, const struct tally_trial *trial)
{
	char has[TEXT_MAX], wants[TEXT_MAX];
	uint64_t limit;

	if (!limit_of(RLIMIT_FSIZE, &limit)) {
		doctor_find(doctor, FINDING_OK, "file-size", "the size of files has no limit");
		return;
	}
	text_bytes(has, (int64_t)limit);
	text_bytes(wants, (int64_t)trial->address_bytes);
	if (limit < trial->address_bytes)
		doctor_find(doctor, FINDING_PROBLEM, "file-size",
			    "files may have %s (ulimit -f), a region wants %s: programs keep fewer "
			    "records, or make no region at all; raise it: ulimit -f unlimited",
			    has, wants);
	else
		doctor_find(doctor, FINDING_OK, "file-size", "files may have %s, a region wants %s",
			    has, wants);
}

static void check_descriptors(struct doctor *doctor)
{
	uint64_t limit;

	if (!limit_of(RLIMIT_NOFILE, &limit) || limit >= DESCRIPTORS_MANY)
		doctor_find(doctor, FINDING_OK, "descriptors", "there are enough file descriptors");
	else if (limit < DESCRIPTORS_WANTED)
		doctor_find(doctor, FINDING_PROBLEM, "descriptors",
			    "a process may have %" PRIu64
			    " file descriptors (ulimit -n); a program "
			    "needs two for a moment to make its region; raise it: ulimit -n 1024",
			    limit);
	else
		doctor_find(doctor, FINDING_NOTE, "descriptors",
			    "a process may have %" PRIu64 " file descriptors (ulimit -n): tally "
			    "needs one for each process that it watches",
			    limit);
}

static void check_address_space(struct doctor *doctor, const struct tally_trial *trial)
{
	char has[TEXT_MAX], wants[TEXT_MAX];
	uint64_t limit;

	if (!limit_of(RLIMIT_AS, &limit)) {
		doctor_find(doctor, FINDING_OK, "address-space", "address space has no limit");
		return;
	}
	text_bytes(has, (int64_t)limit);
	text_bytes(wants, (int64_t)trial->address_bytes);
	doctor_find(doctor, limit < 4 * trial->address_bytes ? FINDING_PROBLEM : FINDING_NOTE,
		    "address-space",
		    "a process may have %s of addresses (ulimit -v), of which a region takes %s; "
		    "raise it (ulimit -v unlimited), or have smaller regions: TALLY_LANES=8",
		    has, wants);
}

void doctor_limits(struct doctor *doctor)
{
	check_file_size(doctor, &doctor->trial);
	check_descriptors(doctor);
	check_address_space(doctor, &doctor->trial);
}

/* ---- Kernel and processor -------------------------------------------------------------------- */

void doctor_machine(struct doctor *doctor)
{
	long page = sysconf(_SC_PAGESIZE);
	unsigned int major = 0, minor = 0;
	struct utsname name;

	if (page == TALLY_PAGE)
		doctor_find(doctor, FINDING_OK, "page-size", "pages have 4 KiB");
	else
		doctor_find(
			doctor, FINDING_PROBLEM, "page-size",
			"pages have %ld bytes: no region can be made; start a kernel with pages "
			"of 4 KiB",
			page);
	if (uname(&name) != 0 || sscanf(name.release, "%u.%u", &major, &minor) != 2 || major > 5 ||
	    (major == 5 && minor >= 14))
		doctor_find(doctor, FINDING_OK, "kernel", "kernel %s", name.release);
	else
		doctor_find(
			doctor, FINDING_NOTE, "kernel",
			"kernel %s: before 5.14 a page is reserved by opening the region's file "
			"again, so that a thread's first push is slower",
			name.release);
	if (doctor->trial.clock != TALLY_CLOCK_MONOTONIC)
		doctor_find(doctor, FINDING_OK, "clock",
			    "records carry the processor's own counter");
	else
		doctor_find(
			doctor, FINDING_NOTE, "clock",
			"the processor has no invariant counter: records carry CLOCK_MONOTONIC, "
			"which takes each push some 20 to 40 ns more, and far more where it is a "
			"system call");
}
