/* SPDX-License-Identifier: Apache-2.0 */
/* Publishing: which devices have a file, and which of them are ours to write. */
#include "publish.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "chip.h"

#define DEFAULT_DIR "/dev/shm"

struct chip {
	uint32_t device;
	uint64_t chip_id; /* stays while the file is held */
	char name[TALLY_CHIP_FILE_NAME_MAX];
	struct chip_hold hold;
	bool named;	 /* the chip's id is of a description */
	uint32_t unseen; /* snapshots in a row, up to the one that is being published */
	bool refused;	 /* and that was said */
	bool differs;	 /* from a later description, and that was said */
};

struct publish {
	int dir_fd;
	char dir[4096];
	uint32_t version;
	publish_say say;
	void *say_arg;
	struct chip **chips; /* in the order of their appearance */
	size_t count, room;
	bool full; /* said */
};

int publish_open(const char *dir, uint32_t version, publish_say say, void *say_arg,
		 struct publish **ret_publish)
{
	struct publish *publish;
	int error;

	if (version < 3 || version > TALLY_CHIP_VERSION_MAX)
		return -EINVAL;
	publish = calloc(1, sizeof(*publish));
	if (!publish)
		return -ENOMEM;
	publish->version = version;
	publish->say = say;
	publish->say_arg = say_arg;
	snprintf(publish->dir, sizeof(publish->dir), "%s", dir ? dir : DEFAULT_DIR);
	publish->dir_fd = open(publish->dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (publish->dir_fd < 0) {
		error = -errno;
		free(publish);
		return error;
	}
	*ret_publish = publish;
	return 0;
}

/* ---- Chips ----------------------------------------------------------------------------------- */

static struct chip *find(const struct publish *publish, const struct digest *digest)
{
	size_t n;

	for (n = 0; n < publish->count; n++)
		if (publish->chips[n]->device == digest->device)
			return publish->chips[n];
	return NULL;
}

static void name(struct chip *chip, const struct digest *digest)
{
	chip->chip_id = digest->chip_id;
	chip->named = digest->named;
	snprintf(chip->name, sizeof(chip->name), TALLY_CHIP_FILE_FORMAT,
		 (unsigned long long)digest->chip_id);
}

static void say_full(struct publish *publish, const struct digest *digest)
{
	char line[CHIP_LINE_MAX];

	if (publish->full || !publish->say)
		return;
	publish->full = true;
	snprintf(line, sizeof(line), "device %u is not published, nor are others: %d are, the most",
		 digest->device, PUBLISH_CHIPS_MAX);
	publish->say(publish->say_arg, line);
}

static struct chip *add(struct publish *publish, const struct digest *digest)
{
	struct chip *chip, **chips;

	if (publish->count == publish->room) {
		size_t room = publish->room ? publish->room * 2 : 16;

		chips = realloc(publish->chips, room * sizeof(*chips));
		if (!chips)
			return NULL;
		publish->chips = chips;
		publish->room = room;
	}
	chip = calloc(1, sizeof(*chip));
	if (!chip)
		return NULL;
	chip->device = digest->device;
	chip->hold.fd = -1;
	name(chip, digest);
	publish->chips[publish->count++] = chip;
	return chip;
}

static void refuse(const struct publish *publish, struct chip *chip, const char *why)
{
	char line[sizeof(publish->dir) + 2 * CHIP_LINE_MAX];

	if (chip->refused || !publish->say)
		return;
	chip->refused = true;
	snprintf(line, sizeof(line), "device %u is not published in %s/%s: %s", chip->device,
		 publish->dir, chip->name, why);
	publish->say(publish->say_arg, line);
}

static void give_up(const struct publish *publish, struct chip *chip, const char *why)
{
	chip_withdraw(&chip->hold);
	chip_let_go(&chip->hold);
	refuse(publish, chip, why);
}

/* Readers have the file by its name: a device that moved from one to another would be two to them,
 * or none. What is described otherwise later is told, once, and stays. */
static void keep_name(const struct publish *publish, struct chip *chip, const struct digest *digest)
{
	char line[sizeof(publish->dir) + 2 * CHIP_LINE_MAX];

	if (chip->chip_id == digest->chip_id) {
		chip->named = chip->named || digest->named;
	} else if (chip->hold.fd < 0) {
		name(chip, digest);
	} else if (digest->named && !chip->differs && publish->say) {
		chip->differs = true;
		snprintf(line, sizeof(line),
			 "device %u stays in %s/%s as long as it is published, though it is "
			 "described as chip %llu by now",
			 chip->device, publish->dir, chip->name,
			 (unsigned long long)digest->chip_id);
		publish->say(publish->say_arg, line);
	}
}

static bool goes_before(const struct chip *one, const struct chip *other)
{
	return one->named != other->named ? one->named : one->hold.fd >= 0;
}

/* Two devices of one chip: that which is described as that chip has the file, before one whose
 * number it is; of equals that which has it. */
static bool is_doubled(const struct publish *publish, const struct chip *chip)
{
	size_t n;

	for (n = 0; n < publish->count; n++) {
		struct chip *other = publish->chips[n];

		if (other == chip || other->chip_id != chip->chip_id || other->hold.fd < 0)
			continue;
		if (goes_before(other, chip))
			return true;
		give_up(publish, other, "another device is described as that chip");
	}
	return false;
}

/* ---- Files ----------------------------------------------------------------------------------- */

/* A new file is filled in before it has a name, and one that is there is ready last. */
static int begin(const struct publish *publish, struct chip *chip, const struct digest *digest,
		 uint64_t now_ns, char why[CHIP_LINE_MAX])
{
	struct chip_hold *hold = &chip->hold;
	int error = chip_take(publish->dir_fd, chip->name, hold, why);
	bool fresh = error == -ENOENT;

	if (fresh)
		error = chip_make(publish->dir_fd, chip->name, hold, why);
	if (error)
		return error;
	chip_describe(hold, publish->version, digest);
	if (!chip_write(hold, digest, now_ns)) {
		chip_withdraw(hold);
		snprintf(why, CHIP_LINE_MAX, "a process began to count there");
		error = -EBUSY;
	} else {
		chip_ready(hold, publish->version);
		if (fresh)
			error = chip_name(publish->dir_fd, chip->name, hold, why);
	}
	chip_unhide(publish->dir_fd, chip->name, hold);
	if (error)
		chip_let_go(hold);
	return error;
}

/* False: it is not ours any more, and let go. */
static bool go_on(const struct publish *publish, struct chip *chip, const struct digest *digest,
		  uint64_t now_ns)
{
	struct chip_hold *hold = &chip->hold;
	char why[CHIP_LINE_MAX] = "";

	switch (chip_ask(publish->dir_fd, chip->name, hold, why)) {
	case CHIP_OURS:
		if (chip_write(hold, digest, now_ns))
			return true;
		snprintf(why, sizeof(why), "a process began to count there");
		break;
	case CHIP_SHARED:
		break;
	case CHIP_GONE: /* who has it mapped is not to see it for ever */
		chip_withdraw(hold);
		chip_let_go(hold);
		return false;
	}
	give_up(publish, chip, why);
	return false;
}

static void publish_device(const struct publish *publish, struct chip *chip,
			   const struct digest *digest, uint64_t now_ns)
{
	struct chip_hold *hold = &chip->hold;
	char why[CHIP_LINE_MAX] = "";
	bool held = hold->fd >= 0;

	if (digest->taken)
		snprintf(why, sizeof(why), "a runtime publishes its totals by itself");
	else if (is_doubled(publish, chip))
		snprintf(why, sizeof(why), "another device is that chip, or is described so");
	if (why[0]) {
		if (held)
			give_up(publish, chip, why);
		else
			refuse(publish, chip, why);
		return;
	}
	if (held && (go_on(publish, chip, digest, now_ns) || chip->refused))
		return;
	if (begin(publish, chip, digest, now_ns, why) != 0)
		refuse(publish, chip, why);
	else
		chip->refused = false;
}

/* Those that nobody holds anything on nor describes: with nothing. */
static void publish_unseen(const struct publish *publish, uint64_t now_ns)
{
	size_t n;

	for (n = 0; n < publish->count; n++) {
		struct chip *chip = publish->chips[n];
		struct digest nothing = { .device = chip->device, .chip_id = chip->chip_id };

		if (chip->unseen && chip->hold.fd >= 0)
			publish_device(publish, chip, &nothing, now_ns);
	}
}

/* And no longer, once it has been so for a while. A file that was there before has zeros and the
 * mark then, as at the end; one that we made goes. Until it does, as somebody has it open, it is
 * held: so there are never more of them than are held at most. */
static void drop_unseen(struct publish *publish)
{
	size_t kept = 0, n;

	for (n = 0; n < publish->count; n++) {
		struct chip *chip = publish->chips[n];

		if (chip->unseen < PUBLISH_UNSEEN_MAX ||
		    (chip->hold.fd >= 0 && chip->hold.made &&
		     !chip_remove(publish->dir_fd, chip->name, &chip->hold))) {
			publish->chips[kept++] = chip;
			continue;
		}
		chip_let_go(&chip->hold);
		free(chip);
		publish->full = false;
	}
	publish->count = kept;
}

int publish_update(struct publish *publish, const struct tally_snapshot *snapshot)
{
	struct digests digests;
	int error = digest_make(snapshot, &digests);
	size_t n;

	if (error)
		return error;
	for (n = 0; n < publish->count; n++)
		publish->chips[n]->unseen++;
	for (n = 0; n < digests.count; n++) {
		struct chip *chip = find(publish, &digests.all[n]);

		if (!chip && publish->count == PUBLISH_CHIPS_MAX) {
			say_full(publish, &digests.all[n]);
			continue;
		}
		if (!chip)
			chip = add(publish, &digests.all[n]);
		if (!chip) {
			error = -ENOMEM;
			continue;
		}
		chip->unseen = 0;
		keep_name(publish, chip, &digests.all[n]);
		publish_device(publish, chip, &digests.all[n], snapshot->realtime_ns);
	}
	publish_unseen(publish, snapshot->realtime_ns);
	drop_unseen(publish);
	digest_free(&digests);
	return error;
}

void publish_close(struct publish *publish)
{
	struct timespec now;
	uint64_t now_ns;
	size_t n;

	if (!publish)
		return;
	clock_gettime(CLOCK_REALTIME, &now);
	now_ns = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
	for (n = 0; n < publish->count; n++) {
		struct chip *chip = publish->chips[n];
		struct digest nothing = { .device = chip->device, .chip_id = chip->chip_id };

		if (chip->hold.fd >= 0 && go_on(publish, chip, &nothing, now_ns))
			chip_remove(publish->dir_fd, chip->name, &chip->hold);
		chip_let_go(&chip->hold);
		free(chip);
	}
	free(publish->chips);
	close(publish->dir_fd);
	free(publish);
}
