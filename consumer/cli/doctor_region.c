/* SPDX-License-Identifier: Apache-2.0 */
/* The doctor makes a region, and looks at the files that have a region's name. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <tally/abi.h>
#include <tally/chip_file.h>
#include <unistd.h>

#include "doctor.h"
#include "unseen.h"

#define DEVICES_TEXT 120

/* ---- A trial --------------------------------------------------------------------------------- */

/* What to do about it, as far as the number tells. */
static const char *remedy(int error)
{
	switch (error) {
	case -EFBIG:
		return "raise the limit of file sizes: ulimit -f unlimited";
	case -ENOSPC:
	case -EDQUOT:
		return "make room there, as said above";
	case -EMFILE:
		return "raise the limit of descriptors: ulimit -n 1024";
	case -ENFILE:
		return "no descriptor is left on this machine: end programs, or raise fs.file-max";
	case -EACCES:
	case -EPERM:
	case -EROFS:
		return "set TALLY_DIR to a directory that this user may write";
	case -ENOENT:
	case -ENOTDIR:
		return "set TALLY_DIR to a directory that is there";
	case -ENAMETOOLONG:
		return "set TALLY_DIR to a shorter path";
	case -ENOMEM:
		return "raise the limit of addresses (ulimit -v unlimited) or of the memory cgroup";
	case -EOPNOTSUPP:
		return "pages must have 4 KiB";
	case -ENOLCK:
	case -EINVAL:
		return "set TALLY_DIR to a tmpfs: this file system lacks what a region needs";
	default:
		return "set TALLY_DIR to another directory, a tmpfs";
	}
}

void doctor_trial(struct doctor *doctor)
{
	static const char *const steps[] = {
		[TALLY_TRIAL_MAKE] = "no region can be made",
		[TALLY_TRIAL_RECORDS] = "a region can be made, but without room for records",
		[TALLY_TRIAL_NAME] = "a region was made, but could not be given its name",
		[TALLY_TRIAL_OPEN] = "a region was made, but could not be opened to be read",
		[TALLY_TRIAL_ALIVE] = "a region was made, but its lock does not tell that its "
				      "process lives",
	};
	const struct tally_trial *trial = &doctor->trial;

	if (trial->error)
		doctor_find(doctor, FINDING_PROBLEM, "region",
			    "%s: %s; programs run on, but tally does not see all of what they do; "
			    "%s",
			    steps[trial->failed], strerror(-trial->error), remedy(trial->error));
	else
		doctor_find(doctor, FINDING_OK, "region",
			    "a region was made, found alive, and removed");
}

/* ---- The files that are there ---------------------------------------------------------------- */

/* What its message does not say. */
static const char *advice(const struct tally_refusal *refusal)
{
	if (refusal->error == -EBADMSG && !strstr(refusal->message, "remove it"))
		return "; remove it if nobody needs it";
	if ((refusal->error == -EACCES || refusal->error == -EPERM) &&
	    !strchr(refusal->message, ';'))
		return ", as it is another user's, or its rights were changed; have its owner or "
		       "root remove it";
	return "";
}

static void refused(void *arg, const struct tally_refusal *refusal)
{
	struct doctor *doctor = arg;
	const char *more = advice(refusal);

	if (refusal->error == -EAGAIN) { /* and may be so any time now */
		doctor_find(doctor, FINDING_NOTE, "file", "%s/%s: %s", doctor->dir, refusal->name,
			    refusal->message);
		return;
	}
	if (!*more && !strchr(refusal->message, ';'))
		doctor_find(doctor, FINDING_PROBLEM, "file", "%s/%s is refused: %s; %s",
			    doctor->dir, refusal->name, refusal->message, remedy(refusal->error));
	else
		doctor_find(doctor, FINDING_PROBLEM, "file", "%s/%s is refused: %s%s", doctor->dir,
			    refusal->name, refusal->message, more);
}

/* What they hold is in no total, whatever else is well. */
static void say_unseen(struct doctor *doctor, const struct unseen *unseen)
{
	size_t n, i;

	for (n = 0; n < unseen->count; n += i) {
		const struct unseen_holder *holder = &unseen->all[n];
		char devices[DEVICES_TEXT];
		size_t used = 0;

		for (i = 0; i < unseen_devices(unseen, n); i++)
			if (used < sizeof(devices))
				used += (size_t)snprintf(devices + used, sizeof(devices) - used,
							 "%s%" PRIu32, i ? ", " : "",
							 unseen->all[n + i].device);
		doctor_find(
			doctor, FINDING_NOTE, "unseen",
			"process %" PRIu32 "%s%s%s has device%s %s of the kernel driver open, and "
			"there is no record of it: what it holds is in no total; if it uses "
			"tt-metal, start it with TT_ALLOC_TRACKING_ENABLED=1 (with the adapter, or "
			"beside `tally gateway`), or without TT_METAL_SHM_TRACKING_DISABLED; else "
			"with TALLY=1 and libtally",
			holder->pid, holder->comm[0] ? " (" : "", holder->comm,
			holder->comm[0] ? ")" : "", i == 1 ? "" : "s", devices);
	}
	if (unseen->more)
		doctor_find(doctor, FINDING_NOTE, "unseen",
			    "the kernel driver tells of more processes than are looked at: those "
			    "above are not all");
	if (unseen->unreadable)
		doctor_find(doctor, FINDING_NOTE, "unseen",
			    "the kernel driver's list of who has a device open cannot be read "
			    "for %" PRIu32 " device%s: %s; be root to see it",
			    unseen->unreadable, unseen->unreadable == 1 ? "" : "s",
			    strerror(-unseen->error));
}

static void look_at_files(struct doctor *doctor)
{
	struct tally_consumer_options options = { .refused = refused, .refused_arg = doctor };
	const struct tally_snapshot *snapshot;
	struct tally_consumer *consumer;
	struct unseen unseen;
	struct rlimit limit;
	int error;

	/* A descriptor for each process. */
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
	error = tally_consumer_open(&options, &consumer);
	if (error) {
		doctor_find(doctor, FINDING_PROBLEM, "files",
			    "%s cannot be searched for regions: %s; %s", doctor->dir,
			    strerror(-error), remedy(error));
		return;
	}
	snapshot = tally_snapshot_get(consumer);
	if (snapshot->refused_files == 0)
		doctor_find(doctor, FINDING_OK, "files", "every file with a region's name is one");
	unseen_find(&unseen, snapshot, false);
	say_unseen(doctor, &unseen);
	unseen_free(&unseen);
	tally_snapshot_put(snapshot);
	tally_consumer_close(consumer);
}

static void count(void *arg, const struct tally_gc_file *file)
{
	size_t *counts = arg;

	counts[file->verdict]++;
}

static void look_at_dead(struct doctor *doctor)
{
	size_t counts[TALLY_GC_FAILED + 1] = { 0 };
	struct tally_gc_options options = {
		.keep = TALLY_GC_KEEP,
		.dry_run = true,
		.file = count,
		.file_arg = counts,
	};
	size_t dead;

	if (tally_gc(&options) != 0)
		return; /* said before */
	dead = counts[TALLY_GC_KEPT] + counts[TALLY_GC_REMOVED] + counts[TALLY_GC_OF_RUN];
	if (counts[TALLY_GC_REMOVED])
		doctor_find(doctor, FINDING_NOTE, "dead",
			    "%zu regions of processes that died lie there, %zu more than are kept: "
			    "they go when programs make more regions, or now by `tally gc`",
			    dead, counts[TALLY_GC_REMOVED]);
	else
		doctor_find(doctor, FINDING_OK, "dead",
			    "%zu regions are of living processes, %zu of processes that died (the "
			    "newest %d are kept; `tally gc --keep 0` removes them)",
			    counts[TALLY_GC_LIVES], dead, TALLY_GC_KEEP);
}

/* A runtime's own totals that are another user's: who is not root cannot read them, and root is not
 * shown them unasked. */
static void look_at_chips(struct doctor *doctor)
{
	DIR *dir = opendir(doctor->dir);
	char again[TALLY_CHIP_FILE_NAME_MAX];
	struct dirent *entry;
	struct stat status;
	unsigned long long id;

	while (dir && (entry = readdir(dir))) {
		if (sscanf(entry->d_name, TALLY_CHIP_FILE_FORMAT, &id) != 1)
			continue;
		snprintf(again, sizeof(again), TALLY_CHIP_FILE_FORMAT, id);
		if (strcmp(again, entry->d_name) != 0 ||
		    fstatat(dirfd(dir), entry->d_name, &status, AT_SYMLINK_NOFOLLOW) != 0 ||
		    status.st_uid == geteuid())
			continue;
		doctor_find(doctor, FINDING_NOTE, "totals",
			    "%s/%s holds a runtime's totals and belongs to user %u: not shown; %s",
			    doctor->dir, entry->d_name, (unsigned int)status.st_uid,
			    geteuid() == 0 ? "look with --all-users" : "ask them, or be root");
	}
	if (dir)
		closedir(dir);
}

void doctor_files(struct doctor *doctor)
{
	look_at_files(doctor);
	look_at_chips(doctor);
	look_at_dead(doctor);
}
