/* SPDX-License-Identifier: Apache-2.0 */
/* Litmus tests of the pairs between those that claim, make or announce something, one after the
 * other or at once. What they can show on which machine is said in tests/litmus.h.
 * sanitizers: address; also on: arm64 */
#include <string.h>

#include "tests/litmus.h"

#define WORDS 4
#define POLLS 10000 /* for what the other side is about to do */

/* ---- Turns: one thing that both claim in turn ------------------------------------------------ */

enum { FREE, OWNED };

static struct line owner;	      /* of the lane: FREE or OWNED, above it who had it last */
static uint64_t private_words[WORDS]; /* its owner's, not atomic, as struct lane_writer's */
static uint64_t claims[2];

static unsigned int claim_and_leave(int side)
{
	uint64_t found = tally_load_relaxed(&owner.word); /* relaxed: a hint */
	unsigned int seen = 0;
	int i;

	if ((found & 1) == OWNED)
		return 0;
	if (!tally_cas_acquire(&owner.word, &found, (uint64_t)side << 1 | OWNED)) /* O2 */
		return 0;
	for (i = 0; i < WORDS; i++)
		if (private_words[i]++ != private_words[WORDS - 1] - (i == WORDS - 1))
			seen |= BAD;
	if (found >> 1 != (uint64_t)side)
		seen |= MET; /* it was the other's */
	claims[side]++;
	tally_store_release(&owner.word, (uint64_t)side << 1 | FREE); /* O1 */
	return seen;
}

static void pair_O1_O2_who_claims_a_lane_goes_on_where_the_last_owner_stopped(void **state)
{
	int i;

	(void)state;
	memset(&owner, 0, sizeof(owner));
	memset(private_words, 0, sizeof(private_words));
	memset(claims, 0, sizeof(claims));
	litmus_take_turns(claim_and_leave);
	for (i = 0; i < WORDS; i++)
		assert_int_equal(private_words[i], claims[0] + claims[1]);
}

/* A slot of the shared ring: VALID of lap n is 2n, WRITING of lap n is 2n - 1. */
static struct line slot, payload[WORDS];

static unsigned int claim_and_publish(int side)
{
	uint64_t found = tally_load_relaxed(&slot.word); /* relaxed: the exchange decides */
	uint64_t lap = found / 2 + 1;
	unsigned int seen = 0;
	int i;

	if (found & 1)
		return 0;					 /* passed over */
	if (!tally_cas_acquire(&slot.word, &found, 2 * lap - 1)) /* C2 */
		return 0;
	/* relaxed, all: the last owner's words must be there, or they might land on these */
	for (i = WORDS - 1; i >= 0; i--) {
		uint64_t word = tally_load_relaxed(&payload[i].word);

		if (word >> 1 != lap - 1)
			seen |= BAD;
		else if ((word & 1) != (uint64_t)side)
			seen |= MET; /* the other's */
	}
	for (i = 0; i < WORDS; i++)
		tally_store_relaxed(&payload[i].word, lap << 1 | (uint64_t)side);
	tally_store_release(&slot.word, 2 * lap); /* C1 */
	return seen;
}

static void pair_C1_C2_who_claims_a_slot_writes_after_its_last_owner(void **state)
{
	int i;

	(void)state;
	memset(&slot, 0, sizeof(slot));
	memset(payload, 0, sizeof(payload));
	litmus_take_turns(claim_and_publish);
	for (i = 0; i < WORDS; i++)
		assert_int_equal(payload[i].word >> 1, slot.word / 2);
}

/* ---- Rounds: many things, each once ---------------------------------------------------------- */

struct round {
	struct line word, flag, state[WORDS];
	uint64_t plain[WORDS];
	uint8_t seen[2]; /* by each side */
};

static struct round rounds[LITMUS_ROUNDS];

static void fresh_rounds(void)
{
	memset(rounds, 0, sizeof(rounds));
}

/* One side of a race between a maker and one who waits: polls until `*word & bits` is set. */
static bool poll_for(const uint64_t *word, uint64_t bits, unsigned int *ret_polls)
{
	for (*ret_polls = 0; *ret_polls < POLLS; ++*ret_polls) {
		if (tally_load_acquire(word) & bits)
			return true;
		if (*ret_polls % 1000 == 999)
			sched_yield(); /* the other may need this CPU */
	}
	return false;
}

/* U: 64 rounds share a word of bits, as pages do. */
static struct line page_bits[LITMUS_ROUNDS / 64];

static void fresh_pages(void)
{
	fresh_rounds();
	memset(page_bits, 0, sizeof(page_bits));
}

static unsigned int reserve_or_use(int side)
{
	uint64_t n = litmus_place(side), bit = 1ull << n % 64;
	struct line *bits = &page_bits[n / 64];
	unsigned int polls;

	if (side == 0) {
		tally_store_relaxed(&rounds[n].word.word, n + 1); /* relaxed: U1 publishes it */
		tally_or_release(&bits->word, bit);		  /* U1 */
		return 0;
	}
	if (!poll_for(&bits->word, bit, &polls)) /* U2 */
		return 0;
	if (tally_load_relaxed(&rounds[n].word.word) != n + 1) /* relaxed: U2 ordered it */
		return BAD;
	return polls ? MET | RACED : MET; /* not yet, then there */
}

static void pair_U1_U2_who_sees_a_page_bit_finds_the_page_reserved(void **state)
{
	(void)state;
	litmus_run_rounds(fresh_pages, reserve_or_use, NULL);
}

/* The state, plain words in the code, lies here in lines that who waits keeps looking at:
 * so they change hands as slowly as the word that arms. */
static unsigned int arm_or_push(int side)
{
	uint64_t n = litmus_place(side);
	struct round *round = &rounds[n];
	unsigned int polls;
	int i;

	if (side == 0) {
		/* relaxed: B1 publishes them */
		for (i = 0; i < WORDS; i++)
			tally_store_relaxed(&round->state[i].word, n + 1);
		tally_store_release(&round->flag.word, 1); /* B1 */
		return 0;
	}
	for (polls = 0; polls < POLLS; polls++) {
		uint64_t armed = tally_load_acquire(&round->flag.word); /* B2 */
		unsigned int right = 0;

		/* relaxed: B2 ordered them */
		for (i = WORDS - 1; i >= 0; i--)
			right += tally_load_relaxed(&round->state[i].word) == n + 1;
		if (armed)
			return right < WORDS ? BAD : polls ? MET | RACED : MET;
		if (polls % 1000 == 999)
			sched_yield(); /* the other may need this CPU */
	}
	return 0;
}

static void pair_B1_B2_who_sees_the_process_armed_sees_its_state(void **state)
{
	(void)state;
	litmus_run_rounds(fresh_rounds, arm_or_push, NULL);
}

enum { ENTRY_FREE, ENTRY_WRITING, ENTRY_VALID };

static unsigned int name_an_entry(int side)
{
	struct round *round = &rounds[litmus_place(side)];
	uint64_t found = ENTRY_FREE;
	unsigned int polls, seen;
	int i;

	/* relaxed, as in entries.c: E1 publishes what is written next */
	if (tally_cas_relaxed(&round->word.word, &found, ENTRY_WRITING)) {
		for (i = 0; i < WORDS; i++)
			round->plain[i] = 7 + (uint64_t)side;
		tally_store_release(&round->word.word, ENTRY_VALID); /* E1 */
		round->seen[side] = 1;
		return 0;
	}
	if (!poll_for(&round->word.word, ENTRY_VALID, &polls)) /* E2 */
		return 0;
	seen = found == ENTRY_WRITING ? MET | RACED : MET;
	for (i = 0; i < WORDS; i++)
		if (round->plain[i] != 7 + (uint64_t)!side)
			seen |= BAD;
	return seen;
}

static unsigned int claimed_once(uint64_t n)
{
	return rounds[n].seen[0] + rounds[n].seen[1] == 1 ? 0 : BAD;
}

static void pair_E1_E2_an_entry_is_claimed_once_and_valid_with_its_words(void **state)
{
	(void)state;
	litmus_run_rounds(fresh_rounds, name_an_entry, claimed_once);
}

/* Both make the region if it is not made; who comes second finds it made. */
static unsigned int make_unless_made(int side)
{
	struct round *round = &rounds[litmus_place(side)];
	unsigned int seen = 0, polls;

	for (polls = 0; polls < POLLS; polls++) {
		uint64_t building = 0;

		if (tally_cas_acquire(&round->flag.word, &building, 1)) { /* M2 */
			if (round->plain[0] == 0) {
				round->plain[0] = 1;
				round->seen[side] = 1;
			} else {
				seen = polls ? MET | RACED : MET; /* waited for the maker */
			}
			tally_store_release(&round->flag.word, 0); /* M1 */
			break;
		}
	}
	return seen;
}

static void pair_M1_M2_who_comes_after_the_maker_finds_it_made(void **state)
{
	(void)state;
	litmus_run_rounds(fresh_rounds, make_unless_made, claimed_once);
}

/* Dekker's. The code counts with a locked add, which on x86-64 is a fence by itself; a plain store
 * is the weaker case. */
static unsigned int count_or_arm(int side)
{
	struct round *round = &rounds[litmus_place(side)];
	uint64_t *mine = side ? &round->flag.word : &round->word.word;
	const uint64_t *theirs = side ? &round->word.word : &round->flag.word;

	tally_store_relaxed(mine, 1); /* relaxed: S1, S2 order it */
	tally_fence_total();	      /* S1 or S2 */
	round->seen[side] = (uint8_t)tally_load_relaxed(theirs);
	return 0;
}

static int seen_last; /* the side that last saw the other without being seen */

static unsigned int one_saw_the_other(uint64_t n)
{
	const uint8_t *seen = rounds[n].seen;
	int last = seen_last;

	if (!seen[0] && !seen[1])
		return BAD;
	if (seen[0] && seen[1])
		return MET | RACED;
	seen_last = seen[1];
	return seen_last != last ? MET : 0;
}

static void pair_S1_S2_of_one_who_counts_and_one_who_arms_one_sees_the_other(void **state)
{
	(void)state;
	litmus_run_rounds(fresh_rounds, count_or_arm, one_saw_the_other);
}

/* A slot that side 0 writes anew once side 1 has said that it has copied it. */
static struct line published, consumed;

static unsigned int write_when_read(void)
{
	uint64_t n = tally_load_relaxed(&published.word); /* own */
	int i;

	if (tally_load_acquire(&consumed.word) != n) /* W2 */
		return 0;
	for (i = 0; i < WORDS; i++)
		tally_store_relaxed(&payload[i].word, n + 1); /* relaxed: published next */
	tally_store_release(&published.word, n + 1);
	return MET;
}

static unsigned int read_and_say_so(void)
{
	uint64_t n = tally_load_acquire(&published.word);
	unsigned int seen = MET;
	int i;

	if (tally_load_relaxed(&consumed.word) == n) /* own */
		return 0;
	for (i = 0; i < WORDS; i++)
		if (tally_load_relaxed(&payload[i].word) != n) /* relaxed: as slot_read() */
			seen |= BAD;
	tally_store_release(&consumed.word, n); /* W1 */
	return seen;
}

static unsigned int write_or_read(int side)
{
	return side ? read_and_say_so() : write_when_read();
}

static void pair_W1_W2_what_is_said_to_be_read_has_been_copied(void **state)
{
	(void)state;
	memset(&published, 0, sizeof(published));
	memset(&consumed, 0, sizeof(consumed));
	memset(payload, 0, sizeof(payload));
	litmus_take_turns(write_or_read);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(pair_O1_O2_who_claims_a_lane_goes_on_where_the_last_owner_stopped),
		TEST(pair_C1_C2_who_claims_a_slot_writes_after_its_last_owner),
		TEST(pair_U1_U2_who_sees_a_page_bit_finds_the_page_reserved),
		TEST(pair_B1_B2_who_sees_the_process_armed_sees_its_state),
		TEST(pair_E1_E2_an_entry_is_claimed_once_and_valid_with_its_words),
		TEST(pair_M1_M2_who_comes_after_the_maker_finds_it_made),
		TEST(pair_W1_W2_what_is_said_to_be_read_has_been_copied),
		TEST(pair_S1_S2_of_one_who_counts_and_one_who_arms_one_sees_the_other),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
