/* SPDX-License-Identifier: Apache-2.0 */
/* Litmus tests of the pairs between one that writes and one that reads: records, ledger, positions.
 * What they can show on which machine is said in tests/litmus.h; test_litmus_claims.c has the rest.
 * sanitizers: address; also on: arm64 */
#include <string.h>

#include "tests/litmus.h"

#define WORDS 7	  /* of a payload */
#define SLOTS 8	  /* of a ring; a power of two */
#define GROUP 4	  /* of its positions */
#define KEYS 1024 /* of a directory */

static struct line commit, words[WORDS];

/* Step n moves every word to n; whatever a look finds is such a number. */

static void forget_words(void)
{
	memset(&commit, 0, sizeof(commit));
	memset(words, 0, sizeof(words));
}

/* ---- A record -------------------------------------------------------------------------------- */

/* relaxed, everywhere below but where it says otherwise: as in lane_begin() and slot_read() */

static void store_words(uint64_t n)
{
	int i;

	for (i = 0; i < WORDS; i++)
		tally_store_relaxed(&words[i].word, n);
}

/* Oldest and youngest of them. */
static void load_words(uint64_t *ret_low, uint64_t *ret_high)
{
	uint64_t low = UINT64_MAX, high = 0;
	int i;

	for (i = 0; i < WORDS; i++) {
		uint64_t word = tally_load_relaxed(&words[i].word);

		low = word < low ? word : low;
		high = word > high ? word : high;
	}
	*ret_low = low;
	*ret_high = high;
}

static void mark_then_fill(uint64_t n)
{
	tally_store_relaxed(&commit.word, n); /* WRITING */
	tally_fence_release();		      /* L1 */
	store_words(n);
}

static unsigned int copy_then_look_again(void)
{
	uint64_t low, high, now;

	load_words(&low, &high);
	tally_fence_acquire(); /* R2 */
	now = tally_load_relaxed(&commit.word);
	return (high > now ? BAD : 0) | (low < now ? MET : 0);
}

static void pair_L1_R2_who_copied_a_word_of_a_lap_sees_the_mark_set_before_it(void **state)
{
	(void)state;
	forget_words();
	litmus_stream(mark_then_fill, copy_then_look_again);
}

static void fill_then_publish(uint64_t n)
{
	store_words(n);
	tally_store_release(&commit.word, n); /* VALID, L2 */
}

static unsigned int look_then_copy(void)
{
	uint64_t low, high, valid = tally_load_acquire(&commit.word); /* R1 */

	load_words(&low, &high);
	return (low < valid ? BAD : 0) | (high > valid ? MET : 0);
}

static void pair_L2_R1_who_sees_valid_sees_the_payload_behind_it(void **state)
{
	(void)state;
	forget_words();
	litmus_stream(fill_then_publish, look_then_copy);
}

/* The whole record, as slot_read() takes it: VALID is even here, WRITING odd. */
static void write_a_record(uint64_t n)
{
	tally_store_relaxed(&commit.word, 2 * n - 1);
	tally_fence_release(); /* L1 */
	store_words(n);
	tally_store_release(&commit.word, 2 * n); /* L2 */
}

static unsigned int read_a_record(void)
{
	uint64_t low, high, valid = tally_load_acquire(&commit.word); /* R1 */

	if (valid & 1)
		return MET;
	load_words(&low, &high);
	tally_fence_acquire(); /* R2 */
	if (tally_load_relaxed(&commit.word) != valid)
		return MET;
	return low != valid / 2 || high != low ? BAD : 0;
}

static void pairs_L1_R2_and_L2_R1_together_let_no_torn_record_pass(void **state)
{
	(void)state;
	forget_words();
	litmus_stream(write_a_record, read_a_record);
}

/* ---- Positions ------------------------------------------------------------------------------- */

static struct line ring[SLOTS], position, events;

static void forget_ring(void)
{
	memset(ring, 0, sizeof(ring));
	memset(&position, 0, sizeof(position));
	memset(&events, 0, sizeof(events));
}

static void publish_then_count(uint64_t n)
{
	tally_store_release(&ring[(n - 1) % SLOTS].word, n); /* the record of position n - 1 */
	tally_store_release(&position.word, n);		     /* L3 */
}

static unsigned int count_then_look_before_it(void)
{
	uint64_t end = tally_load_acquire(&position.word); /* R3 */
	unsigned int seen = 0;
	uint64_t back;

	/* the one at `end` may be there though it is not counted yet */
	if (tally_load_relaxed(&ring[end % SLOTS].word) == end + 1)
		seen |= MET;
	for (back = 1; back <= SLOTS && back <= end; back++)
		if (tally_load_relaxed(&ring[(end - back) % SLOTS].word) < end - back + 1)
			seen |= BAD;
	return seen;
}

static void pair_L3_R3_who_sees_a_position_finds_every_slot_before_it_written(void **state)
{
	(void)state;
	forget_ring();
	litmus_stream(publish_then_count, count_then_look_before_it);
}

/* The shared ring. VALID of position p is 2p + 2 here, WRITING one less. */

static void push_into_the_shared_ring(uint64_t n)
{
	struct line *slot = &ring[(n - 1) % SLOTS];
	uint64_t found;

	if ((n - 1) % GROUP == 0)
		tally_add_release(&position.word, GROUP); /* T1 */
	found = tally_load_relaxed(&slot->word);
	tally_cas_acquire(&slot->word, &found, 2 * n - 1); /* C2 */
	tally_add_release(&events.word, 1);		   /* Y1 */
	tally_store_release(&slot->word, 2 * n);	   /* C1 */
}

static unsigned int look_at_all_groups_but_the_last(void)
{
	uint64_t end = tally_load_acquire(&position.word); /* T2 */
	unsigned int seen = 0;
	uint64_t back;

	/* the last one may be at work still */
	if (end > 0 && tally_load_relaxed(&ring[(end - 1) % SLOTS].word) < 2 * end)
		seen |= MET;
	for (back = GROUP + 1; back <= SLOTS && back <= end; back++)
		if (tally_load_relaxed(&ring[(end - back) % SLOTS].word) < 2 * (end - back) + 2)
			seen |= BAD;
	return seen;
}

static void pair_T1_T2_who_sees_a_group_taken_sees_what_was_published_before_it(void **state)
{
	(void)state;
	forget_ring();
	litmus_stream(push_into_the_shared_ring, look_at_all_groups_but_the_last);
}

static unsigned int look_for_the_number(void)
{
	uint64_t number = tally_load_acquire(&events.word); /* Y2 */
	uint64_t end = tally_load_acquire(&position.word);
	uint64_t slot;

	if (number == 0)
		return 0;
	slot = tally_load_relaxed(&ring[(number - 1) % SLOTS].word);
	if (end < number || slot < 2 * number - 1)
		return BAD;
	return slot == 2 * number - 1 ? MET : 0; /* claimed and counted, not published yet */
}

static void pair_Y1_Y2_a_number_that_is_counted_has_a_slot_that_is_claimed(void **state)
{
	(void)state;
	forget_ring();
	litmus_stream(push_into_the_shared_ring, look_for_the_number);
}

/* ---- A process entry ------------------------------------------------------------------------- */

/* Its generation is `commit` here, 0 while the words, its bases, change. */
static void take_the_entry(uint64_t n)
{
	tally_store_relaxed(&commit.word, 0);
	tally_fence_release(); /* N1 */
	store_words(n);
	tally_store_release(&commit.word, n); /* N3 */
}

static unsigned int read_the_bases(void)
{
	uint64_t low, high, generation = tally_load_acquire(&commit.word); /* N4 */

	if (generation == 0)
		return MET;
	load_words(&low, &high);
	tally_fence_acquire(); /* N2 */
	if (tally_load_relaxed(&commit.word) != generation)
		return MET;
	return low != generation || high != generation ? BAD : 0;
}

static void pairs_N1_N2_and_N3_N4_let_no_bases_pass_of_another_generation(void **state)
{
	(void)state;
	forget_words();
	litmus_stream(take_the_entry, read_the_bases);
}

/* ---- The ledger ------------------------------------------------------------------------------ */

static struct line seq, halves[2][WORDS];

static void forget_ledger(void)
{
	memset(&seq, 0, sizeof(seq));
	memset(halves, 0, sizeof(halves));
}

/* Update n writes n into the half that is idle, then makes it the one that counts. */
static void update_the_ledger(uint64_t n)
{
	int i;

	tally_fence_release(); /* G1 */
	for (i = 0; i < WORDS; i++)
		tally_store_relaxed(&halves[n & 1][i].word, n);
	tally_store_release(&seq.word, n); /* G2 */
}

static unsigned int read_words_then_seq(void)
{
	uint64_t words_of[2], now;
	unsigned int seen = 0;
	int half;

	for (half = 0; half < 2; half++)
		words_of[half] = tally_load_relaxed(&halves[half][0].word);
	tally_fence_acquire(); /* K2 */
	now = tally_load_relaxed(&seq.word);
	for (half = 0; half < 2; half++) {
		if (words_of[half] > now + 1)
			seen |= BAD;
		else if (words_of[half] == now + 1)
			seen |= MET; /* the update is on its way */
	}
	return seen;
}

static void pair_G1_K2_who_sees_a_word_of_an_update_sees_the_half_given_up_before(void **state)
{
	(void)state;
	forget_ledger();
	litmus_stream(update_the_ledger, read_words_then_seq);
}

static unsigned int read_seq_then_words(void)
{
	uint64_t now = tally_load_acquire(&seq.word); /* K1 */
	unsigned int seen = 0;
	int i;

	for (i = 0; i < WORDS; i++) {
		uint64_t word = tally_load_relaxed(&halves[now & 1][i].word);

		if (word < now)
			seen |= BAD;
		else if (word > now)
			seen |= MET; /* it is being written again */
	}
	return seen;
}

static void pair_G2_K1_the_half_that_seq_names_is_whole(void **state)
{
	(void)state;
	forget_ledger();
	litmus_stream(update_the_ledger, read_seq_then_words);
}

/* ---- The directory --------------------------------------------------------------------------- */

static struct line cell_count, keys[KEYS];

static void add_a_cell(uint64_t n)
{
	tally_store_relaxed(&keys[n % KEYS].word, n);
	tally_store_release(&cell_count.word, n); /* D1 */
}

static unsigned int look_at_the_cells(void)
{
	uint64_t count = tally_load_acquire(&cell_count.word); /* D2 */
	unsigned int seen = 0;
	uint64_t back;

	if (tally_load_relaxed(&keys[(count + 1) % KEYS].word) == count + 1)
		seen |= MET; /* it is there, but not counted yet */
	for (back = 0; back < 4 && back < count; back++)
		if (tally_load_relaxed(&keys[(count - back) % KEYS].word) < count - back)
			seen |= BAD;
	return seen;
}

static void pair_D1_D2_a_cell_that_is_counted_has_its_key(void **state)
{
	(void)state;
	memset(keys, 0, sizeof(keys));
	memset(&cell_count, 0, sizeof(cell_count));
	litmus_stream(add_a_cell, look_at_the_cells);
}

static struct line holder, begun;

static void begin_to_hold(uint64_t n)
{
	tally_store_relaxed(&begun.word, n);
	tally_store_release(&holder.word, n); /* W3 */
}

static unsigned int look_who_holds(void)
{
	uint64_t who = tally_load_acquire(&holder.word); /* W4 */
	uint64_t where = tally_load_acquire(&begun.word);

	return (where < who ? BAD : 0) | (where > who ? MET : 0);
}

static void pair_W3_W4_who_sees_a_holder_sees_where_it_began(void **state)
{
	(void)state;
	memset(&holder, 0, sizeof(holder));
	memset(&begun, 0, sizeof(begun));
	litmus_stream(begin_to_hold, look_who_holds);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(pair_L1_R2_who_copied_a_word_of_a_lap_sees_the_mark_set_before_it),
		TEST(pair_L2_R1_who_sees_valid_sees_the_payload_behind_it),
		TEST(pairs_L1_R2_and_L2_R1_together_let_no_torn_record_pass),
		TEST(pair_L3_R3_who_sees_a_position_finds_every_slot_before_it_written),
		TEST(pair_T1_T2_who_sees_a_group_taken_sees_what_was_published_before_it),
		TEST(pair_Y1_Y2_a_number_that_is_counted_has_a_slot_that_is_claimed),
		TEST(pairs_N1_N2_and_N3_N4_let_no_bases_pass_of_another_generation),
		TEST(pair_G1_K2_who_sees_a_word_of_an_update_sees_the_half_given_up_before),
		TEST(pair_G2_K1_the_half_that_seq_names_is_whole),
		TEST(pair_D1_D2_a_cell_that_is_counted_has_its_key),
		TEST(pair_W3_W4_who_sees_a_holder_sees_where_it_began),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
