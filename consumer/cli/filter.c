/* SPDX-License-Identifier: Apache-2.0 */
/* The options -d, -p and -P: taken, compared with what is there, and asked. */
#include "filter.h"

#include <inttypes.h>
#include <string.h>
#include <tally/abi.h>

#define NAMES_SHOWN 8

/* ---- Taking options -------------------------------------------------------------------------- */

static bool is_number(const char *word)
{
	return *word && strspn(word, "0123456789") == strlen(word);
}

/* A word for a device or pool, below `limit` where it is a number. */
static int take_word(const char **words, size_t *count, uint64_t limit, const char *verb,
		     const char *kind, const char *value)
{
	uint64_t number;

	if (value[0] == '\0' || (is_number(value) && !parse_number(value, limit - 1, &number)))
		return usage_error(verb, "\"%s\" is no %s", value, kind);
	if (*count == FILTER_MAX)
		return usage_error(verb, "more than %d of one kind", FILTER_MAX);
	words[(*count)++] = value;
	return 0;
}

int filter_option(struct filter *filter, const char *verb, int option, const char *value)
{
	if (option == 'a') {
		filter->all_users = true;
		return 0;
	}
	if (option == 'd')
		return take_word(filter->devices, &filter->device_count, TALLY_DEVICES, verb,
				 "device", value);
	if (option == 'P')
		return take_word(filter->pools, &filter->pool_count, TALLY_POOLS, verb, "pool",
				 value);
	if (filter->pid_count == FILTER_MAX)
		return usage_error(verb, "more than %d of one kind", FILTER_MAX);
	if (!parse_pid(value, &filter->pids[filter->pid_count]))
		return usage_error(verb, "\"%s\" is no process id", value);
	filter->pid_count++;
	return 0;
}

int filter_getopt(struct filter *filter, int argc, char **argv, const char *letters,
		  const struct option *options, int *ret_status)
{
	const char *verb = argv[0];
	int option;

	opterr = 0;
	*ret_status = 0;
	while (!*ret_status && (option = getopt_long(argc, argv, letters, options, NULL)) != -1) {
		if (option == ':')
			*ret_status = usage_error(verb, "%s needs a value", argv[optind - 1]);
		else if (option == '?')
			*ret_status = unknown_option(verb, argv);
		else if (option < 256 && strchr(FILTER_LETTERS, option))
			*ret_status = filter_option(filter, verb, option, optarg);
		else
			return option;
	}
	if (!*ret_status && optind < argc)
		*ret_status = usage_error(verb, "unexpected argument \"%s\"", argv[optind]);
	return -1;
}

bool filter_has_places(const struct filter *filter)
{
	return filter->device_count || filter->pool_count;
}

bool filter_is_set(const struct filter *filter)
{
	return filter->pid_count || filter_has_places(filter);
}

/* ---- Asking ---------------------------------------------------------------------------------- */

static bool is_device(const char *word, const struct tally_device_view *device)
{
	uint64_t number;

	if (parse_number(word, TALLY_DEVICES - 1, &number))
		return device->device == number;
	return strcmp(word, device->name) == 0 || strcmp(word, device->stable_id) == 0;
}

static bool is_pool(const char *word, uint32_t pool, const char *pool_name)
{
	uint64_t number;

	if (parse_number(word, TALLY_POOLS - 1, &number))
		return pool == number;
	return strcmp(word, pool_name) == 0;
}

bool filter_takes_pid(const struct filter *filter, uint32_t pid)
{
	size_t n;

	for (n = 0; n < filter->pid_count; n++)
		if (filter->pids[n] == pid)
			return true;
	return filter->pid_count == 0;
}

bool filter_takes_device(const struct filter *filter, const struct tally_snapshot *snapshot,
			 uint32_t device)
{
	const struct tally_device_view unknown = { .device = device };
	const struct tally_device_view *view;
	size_t n;

	if (filter->device_count == 0)
		return true;
	view = snapshot ? render_device(snapshot, device) : NULL;
	for (n = 0; n < filter->device_count; n++)
		if (is_device(filter->devices[n], view ? view : &unknown))
			return true;
	return false;
}

bool filter_takes_pool(const struct filter *filter, uint32_t pool, const char *pool_name)
{
	size_t n;

	for (n = 0; n < filter->pool_count; n++)
		if (is_pool(filter->pools[n], pool, pool_name))
			return true;
	return filter->pool_count == 0;
}

/* ---- Comparing with what is there ------------------------------------------------------------ */

/* Says that nothing of that name is there; what is, is in `names`. */
static int say_not_there(const char *kind, const char *word, const char *names)
{
	char clean[128];

	text_clean(clean, sizeof(clean), word);
	if (names[0])
		say("there is no %s \"%s\"; there is %s", kind, clean, names);
	else
		say("there is no %s \"%s\"", kind, clean);
	return EXIT_NOTHING;
}

static size_t append(char *names, size_t size, size_t used, size_t count, const char *name)
{
	if (count < NAMES_SHOWN && used < size)
		used += (size_t)snprintf(names + used, size - used, "%s%s", count ? ", " : "",
					 name);
	else if (count == NAMES_SHOWN && used < size)
		used += (size_t)snprintf(names + used, size - used, ", ...");
	return used;
}

static int check_device(const struct tally_snapshot *snapshot, const char *word)
{
	char names[512] = "", name[64], clean[128];
	uint32_t found[2] = { 0, 0 };
	size_t count = 0, used = 0, n;

	for (n = 0; n < snapshot->device_count; n++) {
		const struct tally_device_view *device = &snapshot->devices[n];

		if (is_device(word, device) && count++ < 2)
			found[count - 1] = device->device;
		snprintf(name, sizeof(name), "%" PRIu32 "%s%s", device->device,
			 device->name[0] ? " " : "", device->name);
		used = append(names, sizeof(names), used, n, name);
	}
	if (count == 1)
		return 0;
	if (count == 0)
		return say_not_there("device", word, names);
	text_clean(clean, sizeof(clean), word);
	say("several devices are called \"%s\", %" PRIu32 " and %" PRIu32
	    " among them; give a number",
	    clean, found[0], found[1]);
	return EXIT_USAGE;
}

static int check_pool(const struct tally_snapshot *snapshot, const char *word)
{
	bool named[TALLY_POOLS] = { false };
	size_t count = 0, used = 0, n;
	char names[512] = "";

	for (n = 0; n < snapshot->process_pool_count; n++) {
		const struct tally_pool_view *pool = &snapshot->process_pools[n];

		if (is_pool(word, pool->pool, pool->pool_name))
			return 0;
		if (pool->pool < TALLY_POOLS && !named[pool->pool]) {
			named[pool->pool] = true;
			used = append(names, sizeof(names), used, count++, pool->pool_name);
		}
	}
	for (n = 0; n < snapshot->pool_count; n++) /* of those that are not shown any more */
		if (is_pool(word, snapshot->pools[n].pool, snapshot->pools[n].pool_name))
			return 0;
	return say_not_there("pool", word, names);
}

static int check_pid(const struct tally_snapshot *snapshot, uint32_t pid)
{
	size_t n;

	for (n = 0; n < snapshot->process_count; n++)
		if (snapshot->processes[n].pid == pid)
			return 0;
	say("process %" PRIu32 " has no region; is it running with tally armed (TALLY=1)?", pid);
	return EXIT_NOTHING;
}

int filter_check(const struct filter *filter, const struct tally_snapshot *snapshot)
{
	int result = 0;
	size_t n;

	for (n = 0; n < filter->pid_count && !result; n++)
		result = check_pid(snapshot, filter->pids[n]);
	for (n = 0; n < filter->device_count && !result; n++)
		result = check_device(snapshot, filter->devices[n]);
	for (n = 0; n < filter->pool_count && !result; n++)
		result = check_pool(snapshot, filter->pools[n]);
	return result;
}

bool filter_is_name(const char *word)
{
	return !is_number(word);
}

void filter_resolve(struct filter *filter, const struct tally_snapshot *snapshot)
{
	size_t n, i;

	for (n = 0; n < filter->device_count; n++) {
		for (i = 0; i < snapshot->device_count; i++)
			if (is_device(filter->devices[n], &snapshot->devices[i]))
				break;
		if (i == snapshot->device_count)
			continue;
		snprintf(filter->device_numbers[n], sizeof(filter->device_numbers[n]), "%" PRIu32,
			 snapshot->devices[i].device & 0xffff);
		filter->devices[n] = filter->device_numbers[n];
	}
}
