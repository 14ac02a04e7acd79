/* SPDX-License-Identifier: Apache-2.0 */
/* Files of a runtime's totals: which are there, and what came of reading them. */
#include "consumer/chips.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "consumer/attach.h"

bool chips_parse(const char *name, uint64_t *ret_chip_id)
{
	char again[TALLY_CHIP_FILE_NAME_MAX];
	unsigned long long id;

	if (sscanf(name, TALLY_CHIP_FILE_FORMAT, &id) != 1)
		return false;
	snprintf(again, sizeof(again), TALLY_CHIP_FILE_FORMAT, id);
	if (strcmp(again, name) != 0)
		return false;
	*ret_chip_id = id;
	return true;
}

/* Where it is, or would be. */
static size_t find(const struct chips *chips, uint64_t id)
{
	size_t first = 0, end = chips->count;

	while (first < end) {
		size_t middle = (first + end) / 2;

		if (chips->all[middle]->id < id)
			first = middle + 1;
		else
			end = middle;
	}
	return first;
}

/* Root who asks for a process asks for it whosever it is. */
static bool is_everybodys(const struct attach *attach)
{
	return attach->options.all_users || (attach->options.pid != 0 && geteuid() == 0);
}

static bool is_strange(const struct attach *attach, const char *name)
{
	struct stat status;

	return !is_everybodys(attach) &&
	       (fstatat(dirfd(attach->dir), name, &status, AT_SYMLINK_NOFOLLOW) != 0 ||
		status.st_uid != geteuid());
}

static void refuse_more(const struct attach *attach, struct chips *chips, const char *name)
{
	struct tally_refusal refusal = {
		.name = name,
		.error = -ENOSPC,
		.message = "is one of more than 1,024 such files; not all are read",
	};

	if (!chips->full && attach->options.refused)
		attach->options.refused(attach->options.refused_arg, &refusal);
	chips->full = true;
}

int chips_note(struct attach *attach, const char *name, uint64_t id)
{
	struct chips *chips = &attach->chips;
	size_t at = find(chips, id);
	struct chip *chip, **all;

	if (at < chips->count && chips->all[at]->id == id) {
		chips->all[at]->look = attach->look;
		return 0;
	}
	if (is_strange(attach, name))
		return 0;
	if (chips->count == CHIPS_MAX) {
		refuse_more(attach, chips, name);
		return 0;
	}
	all = known_room(chips->all, chips->count, &chips->room);
	if (!all)
		return -ENOMEM;
	chips->all = all;
	chip = calloc(1, sizeof(*chip));
	if (!chip)
		return -ENOMEM;
	snprintf(chip->name, sizeof(chip->name), "%s", name);
	chip->id = id;
	chip->look = attach->look;
	chip->error = -ENOENT; /* nothing is known yet */
	memmove(&all[at + 1], &all[at], (chips->count - at) * sizeof(*all));
	all[at] = chip;
	chips->count++;
	return 0;
}

void chips_forget(struct chips *chips, uint64_t look)
{
	size_t kept = 0, n;

	for (n = 0; n < chips->count; n++) {
		if (chips->all[n]->look == look)
			chips->all[kept++] = chips->all[n];
		else
			free(chips->all[n]);
	}
	chips->count = kept;
}

void chips_free(struct chips *chips)
{
	chips_forget(chips, UINT64_MAX);
	free(chips->all);
	free(chips->parts);
}

/* Again only when something else is wrong with it. */
static void refuse(const struct attach *attach, struct chip *chip, const char *why)
{
	struct tally_refusal refusal = { .name = chip->name, .error = chip->error, .message = why };

	if (chip->told != chip->error && attach->options.refused)
		attach->options.refused(attach->options.refused_arg, &refusal);
	chip->told = chip->error;
}

void chips_look(struct attach *attach)
{
	/* Whether a file that cannot be read has something of that one process nobody can say. */
	bool one = attach->options.pid != 0, all_users = is_everybodys(attach);
	struct chips *chips = &attach->chips;
	char why[CHIP_WHY_MAX];
	size_t n;

	memset(&chips->lives, 0, sizeof(chips->lives));
	for (n = 0; n < chips->count; n++) {
		struct chip *chip = chips->all[n];

		chip->error = chip_read(dirfd(attach->dir), chip->name, all_users, &chips->lives,
					&chip->said, why);
		if (chip->error && one)
			chip->error = -ENOENT;
		if (chip->error && chip->error != -ENOENT)
			refuse(attach, chip, why);
		else
			chip->told = 0;
	}
}

uint32_t chips_refused_count(const struct chips *chips)
{
	uint32_t refused = 0;
	size_t n;

	for (n = 0; n < chips->count; n++)
		refused += chips->all[n]->told != 0;
	return refused;
}
