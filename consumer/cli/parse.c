/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers, sizes and durations as people type them, read strictly. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

struct unit {
	const char *name;
	uint64_t factor;
};

bool parse_number(const char *text, uint64_t max, uint64_t *ret_value)
{
	char *end;
	unsigned long long value;

	errno = 0;
	value = strtoull(text, &end, 10);
	if (text[0] < '0' || text[0] > '9' || *end || errno || value > max)
		return false;
	*ret_value = value;
	return true;
}

bool parse_pid(const char *text, uint32_t *ret_pid)
{
	uint64_t value;

	if (!parse_number(text, INT32_MAX, &value) || value == 0)
		return false;
	*ret_pid = (uint32_t)value;
	return true;
}

/* Digits, at least one; false when there is none or the number is too large. */
static bool take_digits(const char **text, uint64_t *ret_value, uint64_t *ret_scale)
{
	uint64_t value = 0, scale = 1;
	const char *at = *text;

	for (; *at >= '0' && *at <= '9'; at++) {
		if (__builtin_mul_overflow(value, 10, &value) ||
		    __builtin_add_overflow(value, (uint64_t)(*at - '0'), &value) ||
		    __builtin_mul_overflow(scale, 10, &scale))
			return false;
	}
	if (at == *text)
		return false;
	*text = at;
	*ret_value = value;
	*ret_scale = scale;
	return true;
}

/* "1.5GiB": digits, perhaps a point and more of them, a unit. What is left of one is cut off. */
static bool parse_scaled(const char *text, const struct unit *units, uint64_t *ret_value)
{
	uint64_t whole, part = 0, scale = 1, ignored;
	unsigned __int128 value;

	if (!take_digits(&text, &whole, &ignored))
		return false;
	if (*text == '.') {
		text++;
		if (!take_digits(&text, &part, &scale))
			return false;
	}
	while (units->name && strcmp(units->name, text) != 0)
		units++;
	if (!units->name || (scale > 1 && units->factor == 1))
		return false;
	value = (unsigned __int128)whole * units->factor +
		(unsigned __int128)part * units->factor / scale;
	if (value > INT64_MAX)
		return false;
	*ret_value = (uint64_t)value;
	return true;
}

bool parse_size(const char *text, uint64_t *ret_bytes)
{
	static const struct unit units[] = {
		{ "", 1 },
		{ "B", 1 },
		{ "KiB", 1ull << 10 },
		{ "MiB", 1ull << 20 },
		{ "GiB", 1ull << 30 },
		{ "TiB", 1ull << 40 },
		{ "PiB", 1ull << 50 },
		{ "kB", 1000 },
		{ "KB", 1000 },
		{ "MB", 1000000 },
		{ "GB", 1000000000 },
		{ "TB", 1000000000000 },
		{ "PB", 1000000000000000 },
		{ NULL, 0 },
	};

	return parse_scaled(text, units, ret_bytes);
}

bool parse_percent(const char *text, uint64_t *ret_thousandths)
{
	static const struct unit units[] = { { "", 1000 }, { "%", 1000 }, { NULL, 0 } };
	uint64_t value;

	if (!parse_scaled(text, units, &value) || value > 100000)
		return false;
	*ret_thousandths = value;
	return true;
}

bool parse_duration(const char *text, uint64_t *ret_ns)
{
	static const struct unit units[] = {
		{ "ns", 1 },
		{ "us", 1000 },
		{ "ms", 1000000 },
		{ "s", 1000000000 },
		{ "m", 60ull * 1000000000 },
		{ "h", 3600ull * 1000000000 },
		{ "d", 86400ull * 1000000000 },
		{ NULL, 0 },
	};

	return parse_scaled(text, units, ret_ns);
}
