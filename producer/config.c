/* SPDX-License-Identifier: Apache-2.0 */
/* Configuration: the TALLY_ variables and struct tally_options, checked. */
#include "producer/config.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ring/geometry.h"
#include "ring/join.h"
#include "ring/lossless.h"

struct config producer_config = {
	.ring_log2 = GEOMETRY_RING_LOG2,
	.lanes_log2 = GEOMETRY_LANES_LOG2,
	.dir = "/dev/shm",
};

/* log2 of `value` if it is a power of two from 2^min to 2^max. */
static bool power_of_two(unsigned long value, uint32_t min, uint32_t max, uint32_t *ret_log2)
{
	uint32_t log2;

	for (log2 = min; log2 <= max; log2++)
		if (value == 1ul << log2) {
			*ret_log2 = log2;
			return true;
		}
	return false;
}

/* A number in a variable, the whole of it. */
static bool parse(const char *text, int base, unsigned long *ret_value)
{
	char *end;
	unsigned long value;

	if (!(*text >= '0' && *text <= '9') && base == 10)
		return false;
	errno = 0;
	value = strtoul(text, &end, base);
	if (errno || end == text || *end)
		return false;
	*ret_value = value;
	return true;
}

static bool ring_usable(unsigned long records, uint32_t *ret_log2)
{
	return power_of_two(records, GEOMETRY_RING_LOG2_MIN, GEOMETRY_RING_LOG2_MAX, ret_log2);
}

static void load_ring(struct config *config, const char *text)
{
	unsigned long records;

	if (!text)
		return;
	if (parse(text, 10, &records) &&
	    (records == 0 || ring_usable(records, &config->ring_log2))) {
		if (records == 0)
			config->ring_log2 = 0;
		return;
	}
	config->ring_log2 = 0;
	config->flags |= TALLY_REGION_BAD_RING;
}

static void load_lanes(struct config *config, const char *text)
{
	unsigned long lanes;

	if (!text)
		return;
	if (!parse(text, 10, &lanes) ||
	    !power_of_two(lanes, 0, GEOMETRY_LANES_LOG2_MAX, &config->lanes_log2))
		config->flags |= TALLY_REGION_BAD_LANES;
}

static bool set_lossless(struct config *config, unsigned long milliseconds)
{
	if (milliseconds < 1 || milliseconds > LOSSLESS_WAIT_MAX_MS)
		return false;
	config->lossless_ms = (uint32_t)milliseconds;
	config->flags |= TALLY_REGION_LOSSLESS;
	return true;
}

static void load_lossless(struct config *config, const char *text)
{
	unsigned long milliseconds;

	if (text && !(parse(text, 10, &milliseconds) && set_lossless(config, milliseconds)))
		config->flags |= TALLY_REGION_BAD_LOSSLESS;
}

static bool is_one(const char *text)
{
	return text && strcmp(text, "1") == 0;
}

bool config_load(void)
{
	struct config *config = &producer_config;
	int saved_errno = errno;
	unsigned long run_id;
	const char *text;

	if (config->loaded)
		return true;
	if (!environ)
		return false;
	config->armed = is_one(secure_getenv("TALLY"));
	config->keep = is_one(secure_getenv("TALLY_KEEP"));
	load_lossless(config, secure_getenv("TALLY_LOSSLESS"));
	load_ring(config, secure_getenv("TALLY_RING"));
	load_lanes(config, secure_getenv("TALLY_LANES"));
	text = secure_getenv("TALLY_RUN");
	if (text && parse(text, 16, &run_id))
		config->run_id = run_id;
	/* A run reports on each process by itself. */
	text = secure_getenv("TALLY_REGION");
	if (text && *text && !config->run_id && !join_name(config->region, text))
		config->flags |= TALLY_REGION_BAD_NAME;
	text = secure_getenv("TALLY_RUN_REGION");
	if (text && !strchr(text, '/') && strlen(text) < sizeof(config->run_region))
		snprintf(config->run_region, sizeof(config->run_region), "%s", text);
	text = secure_getenv("TALLY_DIR");
	if (text && *text && strlen(text) < sizeof(config->dir))
		snprintf(config->dir, sizeof(config->dir), "%s", text);
	config->loaded = true;
	errno = saved_errno;
	return true;
}

int config_apply(const struct tally_options *options)
{
	struct config changed = producer_config;

	if (options) {
		if (options->ring_records) {
			if (!ring_usable(options->ring_records, &changed.ring_log2))
				return -EINVAL;
			changed.flags &= ~TALLY_REGION_BAD_RING;
		}
		if (options->lanes) {
			if (!power_of_two(options->lanes, 0, GEOMETRY_LANES_LOG2_MAX,
					  &changed.lanes_log2))
				return -EINVAL;
			changed.flags &= ~TALLY_REGION_BAD_LANES;
		}
		if (options->region) {
			if (!join_name(changed.region, options->region))
				return -EINVAL;
			changed.flags &= ~TALLY_REGION_BAD_NAME;
		}
		if (options->totals_only)
			changed.ring_log2 = 0;
		if (options->keep)
			changed.keep = true;
		if (options->lossless_ms) {
			if (!set_lossless(&changed, options->lossless_ms))
				return -EINVAL;
			changed.flags &= ~TALLY_REGION_BAD_LOSSLESS;
		}
	}
	changed.armed = true;
	producer_config = changed;
	return 0;
}
