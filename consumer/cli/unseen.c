/* SPDX-License-Identifier: Apache-2.0 */
/* Processes that have a device open, as the kernel driver says in /proc, and of which there is no
 * record: what they hold is in no total. */
#include "unseen.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define DRIVER "/proc/driver/tenstorrent" /* below it <device>/pids: a pid per line */
#define DEVICES_MAX 1024
#define FILE_BYTES_MAX 65536u
#define PAIRS_MAX 65536u /* of all devices, the same pid again counted again */

/* Device in the lower half, so that sorting brings a process's devices together. */
struct pairs {
	uint64_t *all;
	size_t count;
};

/* ---- What the driver says -------------------------------------------------------------------- */

/* As many bytes as fit, or a negative errno. */
static ssize_t read_at(int dir, const char *path, char *bytes, size_t size)
{
	int fd = openat(dir, path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct stat status;
	size_t used = 0;
	ssize_t got = fd < 0 ? -errno : 0;

	if (fd >= 0 && (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)))
		got = -EBADMSG;
	while (got >= 0 && used < size) {
		got = read(fd, bytes + used, size - used);
		if (got < 0)
			got = -errno;
		if (got <= 0)
			break;
		used += (size_t)got;
	}
	if (fd >= 0)
		close(fd);
	return got < 0 ? got : (ssize_t)used;
}

static void take_line(struct unseen *unseen, struct pairs *pairs, uint32_t device, const char *line)
{
	uint32_t pid;

	if (!parse_pid(line, &pid))
		return;
	if (pairs->count == PAIRS_MAX)
		unseen->more = true;
	else
		pairs->all[pairs->count++] = (uint64_t)pid << 32 | device;
}

/* The last line may lack its end; but not where the rest of it was cut off. */
static void take_lines(struct unseen *unseen, struct pairs *pairs, uint32_t device, char *bytes,
		       size_t size, bool cut)
{
	char *line = bytes, *end = bytes + size, *next;

	for (; line < end; line = next + 1) {
		next = memchr(line, '\n', (size_t)(end - line));
		if (!next && cut)
			return;
		next = next ? next : end;
		*next = '\0';
		if (strlen(line) == (size_t)(next - line))
			take_line(unseen, pairs, device, line);
	}
}

/* Whether its pids could be read. */
static bool read_device(struct unseen *unseen, struct pairs *pairs, int driver, const char *name,
			uint32_t device)
{
	static char bytes[FILE_BYTES_MAX + 1];
	int dir = openat(driver, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	ssize_t size = dir < 0 ? -errno : read_at(dir, "pids", bytes, FILE_BYTES_MAX);

	if (dir >= 0)
		close(dir);
	if (size == -ENOENT)
		return false; /* it has gone meanwhile, or never told anything */
	if (size < 0) {
		unseen->unreadable++;
		unseen->error = (int)size;
		return false;
	}
	unseen->more = unseen->more || size == FILE_BYTES_MAX;
	take_lines(unseen, pairs, device, bytes, (size_t)size, size == FILE_BYTES_MAX);
	return true;
}

static void read_driver(struct unseen *unseen, struct pairs *pairs)
{
	DIR *driver = opendir(DRIVER);
	struct dirent *entry;
	size_t devices = 0;
	uint64_t device;

	while (driver && (entry = readdir(driver))) {
		if (!parse_number(entry->d_name, UINT16_MAX, &device))
			continue;
		if (devices++ == DEVICES_MAX) {
			unseen->more = true;
			break;
		}
		if (read_device(unseen, pairs, dirfd(driver), entry->d_name, (uint32_t)device))
			unseen->known = true;
	}
	if (driver)
		closedir(driver);
}

/* ---- Who that is ----------------------------------------------------------------------------- */

/* False: there is no such process, or it is not to be seen. */
static bool find_user(uint32_t pid, uint32_t *ret_uid)
{
	char path[TEXT_MAX], status[4096];
	const char *line;
	ssize_t size;

	snprintf(path, sizeof(path), "/proc/%" PRIu32 "/status", pid);
	size = read_at(AT_FDCWD, path, status, sizeof(status) - 1);
	if (size <= 0)
		return false;
	status[size] = '\0';
	line = strstr(status, "\nUid:"); /* the name before it has its line ends escaped */
	return line && sscanf(line, "\nUid: %*u %" SCNu32, ret_uid) == 1;
}

static void find_comm(uint32_t pid, char *comm, size_t comm_size)
{
	char path[TEXT_MAX], raw[64];
	ssize_t size;

	snprintf(path, sizeof(path), "/proc/%" PRIu32 "/comm", pid);
	size = read_at(AT_FDCWD, path, raw, sizeof(raw) - 1);
	raw[size > 0 ? size - (raw[size - 1] == '\n') : 0] = '\0';
	text_clean(comm, comm_size, raw);
}

static bool is_recorded(const struct tally_snapshot *snapshot, uint32_t pid)
{
	size_t n;

	for (n = 0; n < snapshot->process_count; n++)
		if (snapshot->processes[n].pid == pid &&
		    snapshot->processes[n].end == TALLY_RUNNING)
			return true;
	return false;
}

static int by_value(const void *left, const void *right)
{
	uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;

	return a > b ? 1 : a < b ? -1 : 0;
}

/* Each process is looked at once. */
static void choose(struct unseen *unseen, struct pairs *pairs,
		   const struct tally_snapshot *snapshot, bool all_users)
{
	struct unseen_holder holder = { .pid = 0 };
	bool chosen = false;
	size_t n;

	qsort(pairs->all, pairs->count, sizeof(*pairs->all), by_value);
	for (n = 0; n < pairs->count; n++) {
		uint32_t pid = (uint32_t)(pairs->all[n] >> 32), uid;

		if (n > 0 && pairs->all[n] == pairs->all[n - 1])
			continue;
		if (pid != holder.pid) {
			holder.pid = pid;
			chosen = !is_recorded(snapshot, pid) && find_user(pid, &uid) &&
				 (all_users || uid == geteuid());
			if (chosen)
				find_comm(pid, holder.comm, sizeof(holder.comm));
		}
		holder.device = (uint32_t)pairs->all[n];
		if (chosen)
			unseen->all[unseen->count++] = holder;
	}
}

/* ---- Calls ----------------------------------------------------------------------------------- */

void unseen_find(struct unseen *unseen, const struct tally_snapshot *snapshot, bool all_users)
{
	struct pairs pairs = { .count = 0 };

	memset(unseen, 0, sizeof(*unseen));
	if (access(DRIVER, F_OK) != 0)
		return; /* as on most machines */
	pairs.all = calloc(PAIRS_MAX, sizeof(*pairs.all));
	if (pairs.all)
		read_driver(unseen, &pairs);
	if (pairs.count)
		unseen->all = calloc(pairs.count, sizeof(*unseen->all));
	if (unseen->all)
		choose(unseen, &pairs, snapshot, all_users);
	else if (pairs.count)
		unseen->known = false; /* no memory to tell them in */
	free(pairs.all);
}

void unseen_free(struct unseen *unseen)
{
	free(unseen->all);
	memset(unseen, 0, sizeof(*unseen));
}

size_t unseen_devices(const struct unseen *unseen, size_t n)
{
	size_t end = n;

	while (end < unseen->count && unseen->all[end].pid == unseen->all[n].pid)
		end++;
	return end - n;
}

void unseen_note(const struct unseen *unseen)
{
	size_t count = 0, n;

	for (n = 0; n < unseen->count; n += unseen_devices(unseen, n))
		count++;
	if (count)
		say("%s%zu process%s a device open without a record here: what %s in no sum "
		    "(`tally doctor` lists %s)",
		    unseen->more ? "at least " : "", count, count == 1 ? " has" : "es have",
		    count == 1 ? "it holds is" : "they hold is", count == 1 ? "it" : "them");
}

json_t *unseen_json(const struct unseen *unseen)
{
	json_t *all = json_array();
	size_t n;

	if (!unseen->known) {
		json_decref(all);
		return json_null();
	}
	for (n = 0; n < unseen->count; n++) {
		const struct unseen_holder *holder = &unseen->all[n];

		json_array_append_new(all,
				      json_pack("{s:I, s:I, s:o}", "pid", (json_int_t)holder->pid,
						"driver_device", (json_int_t)holder->device, "comm",
						json_known_text(holder->comm)));
	}
	return all;
}
