/* SPDX-License-Identifier: Apache-2.0 */
/* The shared layout: what it is, and that its signature tells any change of it.
 * sanitizers: address; also on: arm64 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tally/abi.h>

#include "ring/slot.h"
#include "tests/support.h"

/* A layout that was released is never changed without another TALLY_ABI_VERSION: whoever changes
 * one of the two here has to think of the other. */
#define RELEASED_VERSION 2

static void sizes_are_what_the_byte_maps_say(void **state)
{
	(void)state;
	assert_int_equal(TALLY_ABI_VERSION, RELEASED_VERSION);
	assert_int_equal(sizeof(struct tally_record), 64);
	assert_int_equal(sizeof(struct tally_cell), 192);
	assert_int_equal(offsetof(struct tally_cell, half1), 64); /* a line each */
	assert_int_equal(sizeof(struct tally_shared_cell), 128);
	assert_int_equal(TALLY_PAGE % sizeof(struct tally_lane_header), 0);
	assert_true(sizeof(struct tally_region_header) <= TALLY_REGION_STATE);
	assert_true(TALLY_REGION_STATE + sizeof(struct tally_region_state) <= TALLY_SHARED_RING);
	assert_int_equal(TALLY_SHARED_RING % 64, 0); /* a line of its own */
	assert_true(TALLY_SHARED_RING + sizeof(struct tally_shared_ring) <= TALLY_PAGE);
	assert_true(TALLY_LOCK_BYTE >= 64);
}

static void fields_of_the_commit_word_fill_it_without_overlap(void **state)
{
	uint64_t lap = ((1ull << TALLY_LAP_BITS) - 1) << TALLY_LAP_SHIFT;
	uint64_t slot_state_bits = (uint64_t)TALLY_STATE_MASK << TALLY_STATE_SHIFT;
	uint64_t version = (uint64_t)TALLY_VERSION_MASK << TALLY_VERSION_SHIFT;
	uint64_t kind = (uint64_t)TALLY_KIND_MASK << TALLY_KIND_SHIFT;
	uint64_t owner = (1ull << TALLY_KIND_SHIFT) - (1ull << TALLY_OWNER_SHIFT);

	(void)state;
	assert_int_equal(lap ^ slot_state_bits ^ version ^ kind ^ owner, UINT64_MAX);
	assert_int_equal(lap + slot_state_bits + version + kind + owner, UINT64_MAX);
}

static void commit_word_gives_back_what_was_packed(void **state)
{
	uint32_t kind;

	(void)state;
	for (kind = TALLY_KIND_ALLOC; kind <= TALLY_KIND_MARK; kind++) {
		uint64_t writing = slot_commit(slot_lap(UINT64_MAX, 6), TALLY_SLOT_WRITING,
					       (enum tally_kind)kind);
		uint64_t commit = slot_valid(writing);

		assert_int_equal(slot_state(writing), TALLY_SLOT_WRITING);
		assert_int_equal(slot_kind(commit), kind);
		assert_int_equal(slot_state(commit), TALLY_SLOT_VALID);
		assert_int_equal(slot_version(commit), TALLY_RECORD_VERSION);
		assert_int_equal(commit >> TALLY_LAP_SHIFT, SLOT_LAP_MASK);
	}
}

static void every_key_is_its_own_and_none_is_empty(void **state)
{
	uint32_t device, pool;

	(void)state;
	for (device = 0; device < TALLY_DEVICES; device++) {
		for (pool = 0; pool < TALLY_POOLS; pool++) {
			uint64_t key = TALLY_KEY(device, pool);

			if (key == 0 || TALLY_KEY_DEVICE(key) != device ||
			    TALLY_KEY_POOL(key) != pool)
				fail_msg("key of device %u, pool %u", device, pool);
		}
	}
}

/* ---- The signature --------------------------------------------------------------------------- */

static const char print_signature[] =
	"#include <stdio.h>\n"
	"#include <tally/abi.h>\n"
	"int main(void)\n"
	"{\n"
	"	printf(\"%016llx\", (unsigned long long)tally_abi_signature());\n"
	"}\n";

/* Compiles a program with abi.h after `edit`, a sed script that changes something if not empty. */
static struct outcome compile_after(const char *edit)
{
	char *script = text("set -e; cd %s; mkdir -p tally; "
			    "sed -E '%s' " SOURCE_DIR "/include/tally/abi.h >tally/abi.h; "
			    "%s cmp -s " SOURCE_DIR "/include/tally/abi.h tally/abi.h; "
			    "${CC:-cc} -std=gnu17 -I. -o print print.c",
			    test_tmp, edit, edit[0] ? "!" : "");

	write_file(text("%s/print.c", test_tmp), print_signature, sizeof(print_signature) - 1);
	return RUN("sh", "-c", script);
}

static char *signature_after(const char *edit)
{
	struct outcome outcome = compile_after(edit);

	if (outcome.status != 0)
		fail_msg("after %s: %s", edit, outcome.err);
	return RUN(EMULATOR_FIRST text("%s/print", test_tmp)).out;
}

static void signature_is_the_same_in_every_build(void **state)
{
	(void)state;
	assert_string_equal(signature_after(""),
			    text("%016llx", (unsigned long long)tally_abi_signature()));
}

static void signature_changes_with_any_offset_size_or_bit_field(void **state)
{
	/* each edits the struct and its checks alike, as somebody would who means it */
	static const char *const edits[] = {
		"s/(define TALLY_LAP_SHIFT) 24/\\1 23/",
		"s/(define TALLY_KIND_SHIFT) 12/\\1 13/",
		"s/(define TALLY_REGION_STATE) 192/\\1 256/",
		"s/(define TALLY_LOCK_BYTE) 64/\\1 72/",
		"s/(define TALLY_PAGE) 4096u/\\1 16384u/",
		/* the last field of a struct grows */
		"s/name\\[24\\];/name[32];/;"
		"s/S\\(tally_pool_entry, 32\\)/S(tally_pool_entry, 40)/",
		/* two fields change places */
		"s/uint64_t allocs;/uint64_t freez;/; s/uint64_t frees;/uint64_t allocs;/;"
		"s/uint64_t freez;/uint64_t frees;/;"
		"s/(cell_half|shared_cell), allocs, 24/\\1, allocs, 32/;"
		"s/(cell_half|shared_cell), frees, 32/\\1, frees, 24/;"
		"s/(cell_base), allocs, 16/\\1, allocs, 24/;"
		"s/(cell_base), frees, 24/\\1, frees, 16/",
		/* two change names, and nothing else */
		"s/allocs/freez/g; s/frees/allocs/g; s/freez/frees/g",
		/* one is cut in half, and nothing moves */
		"s/uint64_t time;/uint32_t time;/",
		/* one is split in two */
		"s/uint64_t label;/uint32_t label; uint32_t more;/",
	};
	size_t i;

	(void)state;
	for (i = 0; i < COUNT(edits); i++)
		assert_string_not_equal(signature_after(edits[i]), signature_after(""));
}

static void moved_field_does_not_compile(void **state)
{
	/* only in the struct, as a slip would */
	struct outcome outcome = compile_after("s/uint64_t time;/uint64_t bytes;/; "
					       "s/uint64_t size;/uint64_t time;/; "
					       "s/uint64_t bytes;/uint64_t size;/");

	(void)state;
	assert_int_equal(outcome.status, 1);
	assert_non_null(strstr(outcome.err, "tally_record.time has moved"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(sizes_are_what_the_byte_maps_say),
		TEST(fields_of_the_commit_word_fill_it_without_overlap),
		TEST(commit_word_gives_back_what_was_packed),
		TEST(every_key_is_its_own_and_none_is_empty),
		TEST(signature_is_the_same_in_every_build),
		TEST(signature_changes_with_any_offset_size_or_bit_field),
		TEST(moved_field_does_not_compile),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
