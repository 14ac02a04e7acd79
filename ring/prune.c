/* SPDX-License-Identifier: Apache-2.0 */
/* Pruning: the directory is read by getdents64(), as readdir() would want memory. */
#include "ring/prune.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "ring/alive.h"
#include "ring/entries.h"
#include "ring/join.h"
#include "ring/region.h"

#define COUNT_CALLS_MAX 256 /* of getdents64(), some 20,000 names: who counts has more to do */
#define FILES_PER_PASS 32   /* n times as many: every n-th region's maker makes a pass */

enum state { GONE, STRANGE, LIVES, DEAD };

/* One file, as it was found. */
struct look {
	enum state state;
	bool hidden;
	uint64_t run_id;
	bool is_runner;
};

static int64_t nanoseconds(const struct timespec *time)
{
	return (int64_t)time->tv_sec * 1000000000 + time->tv_nsec;
}

/* ---- Names ----------------------------------------------------------------------------------- */

static int open_dir(struct prune_room *room, const char *dir)
{
	room->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return room->dir_fd < 0 ? -errno : 0;
}

static void close_one(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* Whether a region of this user may have that name, published or not. */
static bool is_name_of(const char *name, uint32_t uid)
{
	uint32_t named, pid;

	name += name[0] == '.';
	return region_name_loose(name) &&
	       (region_name_parse(name, &named, &pid) || join_name_parse(name, &named)) &&
	       named == uid;
}

/* Calls `act` for each name of that user's; how many there were, or a negative errno. */
static long each_name(struct prune_room *room, const struct prune_job *job, long calls_max,
		      void (*act)(struct prune_room *room, const struct prune_job *job,
				  const char *name))
{
	long count = 0, calls;

	if (lseek(room->dir_fd, 0, SEEK_SET) != 0)
		return -errno;
	for (calls = 0; calls < calls_max; calls++) {
		ssize_t got = getdents64(room->dir_fd, room->entries, sizeof(room->entries));
		ssize_t at = 0;

		if (got <= 0)
			return got < 0 ? -errno : count;
		while (at < got) {
			const struct dirent64 *entry = (const void *)(room->entries + at);

			at += entry->d_reclen;
			if (!is_name_of(entry->d_name, job->uid))
				continue;
			count++;
			if (act)
				act(room, job, entry->d_name);
		}
	}
	return count;
}

/* ---- Looking at a file ----------------------------------------------------------------------- */

/* Opens a file to lock it; to ask for its locks, where its owner may not write it. */
static int open_file(struct prune_room *room, const char *name)
{
	int flags = O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC;

	room->file_fd = openat(room->dir_fd, name, O_RDWR | flags);
	if (room->file_fd < 0 && (errno == EACCES || errno == EROFS))
		room->file_fd = openat(room->dir_fd, name, O_RDONLY | flags);
	return room->file_fd < 0 ? -errno : 0;
}

static void read_header(const struct prune_room *room, struct look *look, struct prune_found *found)
{
	struct tally_region_header header = { 0 };
	ssize_t got = pread(room->file_fd, &header, sizeof(header), 0);

	if (got < 64 || header.magic != TALLY_MAGIC) {
		if (!look->hidden)
			look->state = STRANGE; /* not ours to remove */
		return;
	}
	found->pid = header.creator_pid;
	entries_printable(found->comm, sizeof(found->comm), header.creator_comm,
			  sizeof(header.creator_comm));
	if (got < (ssize_t)sizeof(header) || header.abi_version != TALLY_ABI_VERSION ||
	    header.signature != region_signature())
		return;
	look->run_id = header.run_id;
	look->is_runner = header.flags & TALLY_REGION_RUNNER;
}

static void look_at(struct prune_room *room, const struct prune_job *job, const char *name,
		    struct look *ret_look, struct prune_found *ret_found)
{
	struct look look = { .state = GONE, .hidden = name[0] == '.' };
	struct prune_found found = { 0 };
	int error = open_file(room, name);
	struct stat status;

	snprintf(found.name, sizeof(found.name), "%s", name);
	if (error == -ENOENT) {
		/* another was faster */
	} else if (error || fstat(room->file_fd, &status) != 0 || !S_ISREG(status.st_mode) ||
		   status.st_uid != job->uid) {
		look.state = STRANGE;
	} else {
		found.dev = status.st_dev;
		found.ino = status.st_ino;
		found.modified_ns = nanoseconds(&status.st_mtim);
		found.bytes = (uint64_t)status.st_blocks * 512;
		look.state = alive_test_some(room->file_fd, 0, ALIVE_ENTRIES) == 0 ? DEAD : LIVES;
		read_header(room, &look, &found);
	}
	close_one(&room->file_fd);
	*ret_look = look;
	*ret_found = found;
}

/* ---- Removing -------------------------------------------------------------------------------- */

static void tell(const struct prune_job *job, const struct prune_found *found,
		 enum prune_verdict verdict, int error)
{
	if (job->tell)
		job->tell(job->tell_arg, found, verdict, error);
}

static bool is_same(const struct stat *status, const struct prune_found *found)
{
	return status->st_dev == found->dev && status->st_ino == found->ino;
}

/* With all its locks held nobody lives in the file, and nobody moves in. */
static int unlink_locked(const struct prune_room *room, const struct prune_found *found)
{
	struct stat status;
	int error = alive_lock_all(room->file_fd);

	if (error == -EBADF) /* open for reading only: so it is to all who would move in */
		error = alive_test_some(room->file_fd, 0, ALIVE_ENTRIES) == 0 ? 0 : -EAGAIN;
	if (error)
		return error;
	if (fstatat(room->dir_fd, found->name, &status, AT_SYMLINK_NOFOLLOW) != 0)
		return -errno;
	if (!is_same(&status, found))
		return -ENOENT;
	return unlinkat(room->dir_fd, found->name, 0) == 0 ? 0 : -errno;
}

static void remove_one(struct prune_room *room, const struct prune_job *job,
		       const struct prune_found *found)
{
	struct stat status;
	int error = 0;

	if (!job->dry_run) {
		error = open_file(room, found->name);
		if (!error && fstat(room->file_fd, &status) != 0)
			error = -errno;
		if (!error)
			error = is_same(&status, found) ? unlink_locked(room, found) : -ENOENT;
		close_one(&room->file_fd);
	}
	if (error == -EAGAIN)
		tell(job, found, PRUNE_LIVES, 0);
	else if (error != -ENOENT)
		tell(job, found, error ? PRUNE_FAILED : PRUNE_REMOVED, error);
}

static bool is_newer(const struct prune_found *a, const struct prune_found *b)
{
	if (a->modified_ns != b->modified_ns)
		return a->modified_ns > b->modified_ns;
	return strcmp(a->name, b->name) > 0;
}

/* A dead one: among the newest so far, or to be removed, or the oldest of those in its place. */
static void keep_newest(struct prune_room *room, const struct prune_job *job,
			const struct prune_found *found)
{
	size_t n = room->kept_count;

	if (n == job->keep) {
		if (n == 0 || is_newer(&job->kept[n - 1], found)) {
			remove_one(room, job, found);
			return;
		}
		remove_one(room, job, &job->kept[--n]);
	}
	room->kept_count = n + 1;
	for (; n > 0 && is_newer(found, &job->kept[n - 1]); n--)
		job->kept[n] = job->kept[n - 1];
	job->kept[n] = *found;
}

/* ---- A pass ---------------------------------------------------------------------------------- */

static bool is_of_run(const struct prune_room *room, uint64_t run_id, int64_t modified_ns)
{
	size_t n;

	/* Who came after the pass began may have a runner that has, too. */
	if (room->runs_unknown || modified_ns >= room->start_ns)
		return true;
	for (n = 0; n < room->run_count; n++)
		if (room->runs[n] == run_id)
			return true;
	return false;
}

static void judge(struct prune_room *room, const struct prune_job *job, const struct look *look,
		  const struct prune_found *found)
{
	if (look->state == STRANGE)
		tell(job, found, PRUNE_STRANGE, 0);
	else if (look->state == LIVES)
		tell(job, found, PRUNE_LIVES, 0);
	else if (look->state == DEAD && look->hidden)
		remove_one(room, job, found); /* nobody has ever seen it, nobody will miss it */
	else if (look->state == DEAD && look->run_id &&
		 is_of_run(room, look->run_id, found->modified_ns))
		tell(job, found, PRUNE_OF_RUN, 0);
	else if (look->state == DEAD)
		keep_newest(room, job, found);
}

static void judge_others(struct prune_room *room, const struct prune_job *job, const char *name)
{
	struct prune_found found;
	struct look look;

	look_at(room, job, name, &look, &found);
	if (!look.run_id) {
		judge(room, job, &look, &found);
		return;
	}
	room->some_of_runs = true;
	if (look.state != LIVES || !look.is_runner)
		return;
	if (room->run_count < PRUNE_RUNS)
		room->runs[room->run_count++] = look.run_id;
	else
		room->runs_unknown = true;
}

static void judge_runs(struct prune_room *room, const struct prune_job *job, const char *name)
{
	struct prune_found found;
	struct look look;

	look_at(room, job, name, &look, &found);
	if (look.run_id)
		judge(room, job, &look, &found);
}

/* The directory is open. A run's regions come second, when all runners are known. */
static int pass(struct prune_room *room, const struct prune_job *job)
{
	struct timespec now;
	long result;
	size_t n;

	clock_gettime(CLOCK_REALTIME_COARSE, &now); /* what files get */
	room->start_ns = nanoseconds(&now);
	room->run_count = room->kept_count = 0;
	room->some_of_runs = room->runs_unknown = false;
	result = each_name(room, job, LONG_MAX, judge_others);
	if (result >= 0 && room->some_of_runs)
		result = each_name(room, job, LONG_MAX, judge_runs);
	for (n = 0; n < room->kept_count; n++)
		tell(job, &job->kept[n], PRUNE_KEPT, 0);
	return result < 0 ? (int)result : 0;
}

int prune(struct prune_room *room, const struct prune_job *job)
{
	int error = open_dir(room, job->dir);

	if (!error)
		error = pass(room, job);
	close_one(&room->dir_fd);
	return error;
}

void prune_now_and_then(struct prune_room *room, const char *dir, uint64_t random)
{
	const struct prune_job job = {
		.dir = dir,
		.uid = (uint32_t)geteuid(),
		.kept = room->kept,
		.keep = PRUNE_KEEP - 1,
	};
	int saved_errno = errno;
	long count = -1;

	if (open_dir(room, dir) == 0)
		count = each_name(room, &job, COUNT_CALLS_MAX, NULL);
	if (count > PRUNE_KEEP &&
	    (count < 2 * FILES_PER_PASS || random % (uint64_t)(count / FILES_PER_PASS) == 0))
		pass(room, &job);
	close_one(&room->dir_fd);
	errno = saved_errno;
}
