/* SPDX-License-Identifier: Apache-2.0 */
/* Words and numbers for people. */
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

void say(const char *format, ...)
{
	char line[1024];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(line, sizeof(line), format, arguments);
	va_end(arguments);
	fprintf(stderr, "tally: %s\n", line);
}

void say_refusal(void *arg, const struct tally_refusal *refusal)
{
	char name[128];

	(void)arg;
	text_clean(name, sizeof(name), refusal->name);
	say("%s: %s", name, refusal->message);
}

const char *text_regions_dir(void)
{
	const char *dir = secure_getenv("TALLY_DIR");

	return dir && *dir ? dir : "/dev/shm";
}

int exit_code_of(int error)
{
	switch (error) {
	case -ENOENT:
		return EXIT_NOTHING;
	case -EACCES:
	case -EPERM:
		return EXIT_PERMISSION;
	case -EPROTO:
		return EXIT_VERSION;
	default:
		return EXIT_ERROR;
	}
}

int say_no_directory(int error)
{
	say("%s cannot be searched for regions: %s", text_regions_dir(), strerror(-error));
	return exit_code_of(error);
}

/* Three digits of value = whole * step^n, with the unit's name. */
static void scale(char text[TEXT_MAX], const char *sign, uint64_t value, uint64_t step,
		  const char *const *units)
{
	double scaled = (double)value;
	size_t n = 0;

	while (scaled >= 999.5 && units[n + 1]) {
		scaled /= (double)step;
		n++;
	}
	if (n == 0)
		snprintf(text, TEXT_MAX, "%s%" PRIu64 "%s", sign, value, units[0]);
	else
		snprintf(text, TEXT_MAX, "%s%.*f%s", sign,
			 scaled < 9.995	  ? 2
			 : scaled < 99.95 ? 1
					  : 0,
			 scaled, units[n]);
}

void text_bytes(char text[TEXT_MAX], int64_t bytes)
{
	static const char *const units[] = { " B",   " KiB", " MiB", " GiB",
					     " TiB", " PiB", " EiB", NULL };

	if (bytes < 0)
		scale(text, "-", 0 - (uint64_t)bytes, 1024, units);
	else
		scale(text, "", (uint64_t)bytes, 1024, units);
}

void text_short_count(char text[TEXT_MAX], uint64_t count)
{
	static const char *const units[] = { "", " k", " M", " G", " T", " P", " E", NULL };

	scale(text, "", count, 1000, units);
}

void text_count(char text[TEXT_MAX], uint64_t count)
{
	char digits[TEXT_MAX];
	int length = snprintf(digits, sizeof(digits), "%" PRIu64, count);
	size_t at = 0;
	int i;

	for (i = 0; i < length; i++) {
		if (i > 0 && (length - i) % 3 == 0)
			text[at++] = ',';
		text[at++] = digits[i];
	}
	text[at] = '\0';
}

void text_age(char text[TEXT_MAX], uint64_t ns)
{
	static const struct {
		uint64_t ns;
		const char *name;
	} units[] = { { 86400000000000, "days" },
		      { 3600000000000, "h" },
		      { 60000000000, "min" },
		      { 1000000000, "s" },
		      { 1000000, "ms" } };
	size_t n = 0;

	while (ns < 2 * units[n].ns && n + 1 < sizeof(units) / sizeof(units[0]))
		n++;
	snprintf(text, TEXT_MAX, "%" PRIu64 " %s", ns / units[n].ns, units[n].name);
}

void text_clean(char *to, size_t size, const char *from)
{
	size_t i;

	for (i = 0; i < size - 1 && from[i]; i++)
		to[i] = (unsigned char)from[i] < ' ' || from[i] == 0x7f ? '?' : from[i];
	to[i] = '\0';
	if (from[i] && size > 4)
		memcpy(to + size - 4, "...", 4);
}

/* Letters to change, add or leave out between two short words. */
static size_t distance(const char *a, const char *b)
{
	size_t row[TEXT_MAX + 1];
	size_t length = strlen(b);
	size_t i, j;

	if (length > TEXT_MAX || strlen(a) > TEXT_MAX)
		return TEXT_MAX;
	for (j = 0; j <= length; j++)
		row[j] = j;
	for (i = 0; a[i]; i++) {
		size_t diagonal = row[0]++;

		for (j = 0; j < length; j++) {
			size_t best = diagonal + (a[i] != b[j]);

			diagonal = row[j + 1];
			if (diagonal + 1 < best)
				best = diagonal + 1;
			if (row[j] + 1 < best)
				best = row[j] + 1;
			row[j + 1] = best;
		}
	}
	return row[length];
}

const char *text_nearest(const char *word, const char *const *words)
{
	const char *nearest = NULL;
	size_t least = 3; /* further away, it is another word */

	for (; *words; words++)
		if (distance(word, *words) < least && distance(word, *words) < strlen(*words)) {
			least = distance(word, *words);
			nearest = *words;
		}
	return nearest;
}
