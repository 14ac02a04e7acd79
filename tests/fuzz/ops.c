/* SPDX-License-Identifier: Apache-2.0 */
/* An input's operations: read, said in words, done to the region that lies. */
#include <stdio.h>
#include <tally/atomic.h>
#include <unistd.h>

#include "tests/fuzz/fuzz.h"

#define SERIES_LOG2_MAX 12 /* of one operation, so that an input stays quick */
#define GROW_PAGES_MAX 4096

/* Item `item`, wherever that is: neighbours by number are in different parts. */
static size_t item_offset(const struct fuzz_area *area, size_t item)
{
	return item_at(area, item % area->count, item / area->count % area->inner_count);
}

bool fuzz_op(const uint8_t *data, size_t size, size_t n, struct fuzz_op *ret_op)
{
	const uint8_t *at = data + FUZZ_CONFIG + 8 * n;

	if (size < FUZZ_CONFIG + 8 * (n + 1))
		return false;
	ret_op->of_thread = at[0] & FUZZ_OF_THREAD;
	ret_op->what = at[0] & FUZZ_WHAT;
	ret_op->word = at[1];
	ret_op->item = (uint16_t)(at[2] | at[3] << 8);
	ret_op->how = at[4] % FUZZ_HOWS;
	ret_op->a = at[5];
	ret_op->b = at[6];
	ret_op->c = at[7];
	return true;
}

static uint64_t load(const struct hostile *hostile, size_t offset)
{
	uint64_t word = 0;

	if (!hostile->may_be_cut) /* relaxed: anything will do */
		return tally_load_relaxed((uint64_t *)(void *)(hostile->map + offset));
	if (pread(hostile->fd, &word, sizeof(word), (off_t)offset) < 0)
		return 0;
	return word;
}

static void store(const struct hostile *hostile, size_t offset, uint64_t word)
{
	if (!hostile->may_be_cut) /* relaxed: nobody relies on an order here */
		tally_store_relaxed((uint64_t *)(void *)(hostile->map + offset), word);
	else
		FUZZ_CHECK(pwrite(hostile->fd, &word, sizeof(word), (off_t)offset) == sizeof(word));
}

static uint64_t border(uint8_t n)
{
	static const uint64_t borders[] = {
		0,
		1,
		2,
		3,
		63,
		64,
		65,
		255,
		256,
		1023,
		1024,
		4095,
		4096,
		65535,
		65536,
		INT32_MAX,
		1ull << 31,
		UINT32_MAX,
		1ull << 32,
		1ull << 39,
		1ull << 40,
		INT64_MAX,
		1ull << 63,
		UINT64_MAX - 1,
		UINT64_MAX,
		TALLY_MAGIC,
		TALLY_BYTE_ORDER,
		TALLY_KEY(0, 0),
		0x8080808080808080,
	};

	return borders[n % COUNT(borders)];
}

static uint64_t size_of(const struct geometry *g, uint8_t n)
{
	const uint64_t sizes[] = {
		g->processes, g->lanes,	      g->lane_cells, g->shared_cells, g->devices,
		g->tags,      g->ring_stride, g->size,	     g->ring_log2,    1ull << g->ring_log2,
	};

	return sizes[n % COUNT(sizes)];
}

static uint64_t commit_of(uint64_t is, const struct fuzz_op *op)
{
	uint64_t state_mask = (uint64_t)TALLY_STATE_MASK << TALLY_STATE_SHIFT;
	uint64_t version_mask = (uint64_t)TALLY_VERSION_MASK << TALLY_VERSION_SHIFT;

	is = (is & ~state_mask) | (uint64_t)(op->a & TALLY_STATE_MASK) << TALLY_STATE_SHIFT;
	if (op->b)
		is = (is & ~version_mask) | (uint64_t)(op->b & TALLY_VERSION_MASK)
						    << TALLY_VERSION_SHIFT;
	return is + ((uint64_t)(int8_t)op->c << TALLY_LAP_SHIFT);
}

static uint64_t make_word(const struct hostile *hostile, const struct fuzz_area *area,
			  const struct fuzz_op *op, uint64_t is, uint64_t round)
{
	uint32_t abc = (uint32_t)op->a << 16 | (uint32_t)op->b << 8 | op->c;
	uint16_t bc = (uint16_t)(op->b << 8 | op->c);
	size_t within = op->word % (area->size / 8) * 8;

	switch ((enum fuzz_how)op->how) {
	case FUZZ_SMALL:
		return (uint64_t)((int64_t)(abc ^ 0x800000) - 0x800000);
	case FUZZ_BORDER:
		return border(op->a);
	case FUZZ_ADD:
		return is + (uint64_t)(int16_t)bc;
	case FUZZ_FLIP:
		return is ^ 1ull << (op->a & 63);
	case FUZZ_SIZE:
		return size_of(&hostile->at, op->a) + (uint64_t)(int8_t)op->b;
	case FUZZ_KEY:
		return TALLY_KEY((uint32_t)op->a << 8 | op->b, op->c);
	case FUZZ_COPY:
		return load(hostile, item_offset(area, bc) + within);
	case FUZZ_NOISE:
		return fuzz_mix(abc + (round << 24));
	case FUZZ_BYTE:
		return (is & ~(0xffull << (op->a & 7) * 8)) | (uint64_t)op->b << (op->a & 7) * 8;
	case FUZZ_COMMIT:
		return commit_of(is, op);
	case FUZZ_SERIES:
	case FUZZ_HOWS:
		break;
	}
	return is;
}

/* Word n of a series: keys up or down, or numbers from the first one's on, by c each. */
static uint64_t series_word(const struct fuzz_op *op, uint64_t first, uint32_t n)
{
	uint32_t pair = (op->b & 1 ? 0xfff - n : n) + ((uint32_t)op->c << 12);

	if (op->b & 2)
		return first + n * (uint64_t)(int8_t)op->c;
	return TALLY_KEY(pair >> 8 & 0xffff, pair & 0xff);
}

static void apply_series(struct hostile *hostile, const struct fuzz_area *area,
			 const struct fuzz_op *op)
{
	size_t within = op->word % (area->size / 8) * 8;
	uint64_t first = load(hostile, item_offset(area, op->item) + within);
	uint32_t n;

	for (n = 0; n < 1u << op->a % (SERIES_LOG2_MAX + 1); n++) {
		/* from here on within one part */
		size_t item = op->item + n * area->count;

		store(hostile, item_offset(area, item) + within, series_word(op, first, n));
	}
}

static void apply_to_area(struct hostile *hostile, const struct fuzz_area *area,
			  const struct fuzz_op *op, uint64_t round)
{
	size_t offset = item_offset(area, op->item) + op->word % (area->size / 8) * 8;

	if (op->how == FUZZ_SERIES) {
		apply_series(hostile, area, op);
		return;
	}
	store(hostile, offset, make_word(hostile, area, op, load(hostile, offset), round));
}

static void explain(const struct hostile *hostile, const struct fuzz_op *op)
{
	static const char *const hows[] = { "small", "border", "add",	"flip", "size",	 "key",
					    "copy",  "series", "noise", "byte", "commit" };
	static const char *const verbs[] = { "join", "drain", "geometry", "die",
					     "grow", "cut",   "look" };
	static const char *asked = "?";
	const char *what = "nothing";

	if (asked && *asked == '?')
		asked = getenv("FUZZ_EXPLAIN");
	if (!asked)
		return;
	if (op->what < hostile->area_count)
		what = hostile->areas[op->what].name;
	else if (op->what >= FUZZ_VERB_MIN)
		what = verbs[op->what - FUZZ_VERB_MIN];
	fprintf(stderr, "%s %s, word %u, item %u: %s %u %u %u\n", op->of_thread ? "thread" : "main",
		what, op->word, op->item, hows[op->how], op->a, op->b, op->c);
}

void hostile_apply(struct hostile *hostile, const struct fuzz_op *op, uint64_t round)
{
	size_t size = hostile->at.size;

	if (op->what == 0 || op->what == FUZZ_GEOMETRY) /* the header */
		hostile->may_be_joined = true;
	if (round == 0)
		explain(hostile, op);
	switch (op->what) {
	case FUZZ_CUT:
		if ((size_t)op->item * TALLY_PAGE < size)
			size = (size_t)op->item * TALLY_PAGE + op->b % 65;
		FUZZ_CHECK(!hostile->may_be_cut || ftruncate(hostile->fd, (off_t)size) == 0);
		break;
	case FUZZ_GROW:
		size += op->a * op->b % GROW_PAGES_MAX * TALLY_PAGE;
		FUZZ_CHECK(ftruncate(hostile->fd, (off_t)size) == 0);
		break;
	case FUZZ_DIE:
		hostile_unlock(hostile, op->word % 8);
		break;
	case FUZZ_GEOMETRY:
		if (round == 0)
			hostile_set_geometry(hostile, op->word, op->a % 24);
		break;
	default:
		if (op->what < hostile->area_count && hostile->areas[op->what].count)
			apply_to_area(hostile, &hostile->areas[op->what], op, round);
	}
}
