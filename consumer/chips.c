/* SPDX-License-Identifier: Apache-2.0 */
/* Files of a runtime's totals: which are there, and what came of reading them. */
#include "consumer/chips.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
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

static struct chip *find(const struct chips *chips, const char *name)
{
	size_t n;

	for (n = 0; n < chips->count; n++)
		if (strcmp(chips->all[n]->name, name) == 0)
			return chips->all[n];
	return NULL;
}

int chips_note(struct chips *chips, const char *name, uint64_t look)
{
	struct chip *chip = find(chips, name);
	struct chip **all;

	if (chip) {
		chip->look = look;
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
	chip->look = look;
	chip->error = -ENOENT; /* nothing is known yet */
	chips->all[chips->count++] = chip;
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
	/* Root who asks for a process asks for it whosever it is. Whether a file that cannot be
	 * read has something of it nobody can say. */
	bool one = attach->options.pid != 0;
	bool all_users = attach->options.all_users || (one && geteuid() == 0);
	struct chips *chips = &attach->chips;
	char why[CHIP_WHY_MAX];
	size_t n;

	for (n = 0; n < chips->count; n++) {
		struct chip *chip = chips->all[n];

		chip->error = chip_read(dirfd(attach->dir), chip->name, all_users, &chip->said,
					why);
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
