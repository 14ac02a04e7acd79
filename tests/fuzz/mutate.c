/* SPDX-License-Identifier: Apache-2.0 */
/* How libFuzzer makes an input out of others: operation by operation. */
#include <string.h>

#include "tests/fuzz/fuzz.h"

#define OP 8

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t size_max);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t size_max, unsigned int seed);
size_t LLVMFuzzerCustomCrossOver(const uint8_t *a, size_t a_size, const uint8_t *b, size_t b_size,
				 uint8_t *out, size_t out_max, unsigned int seed);

/* One that means something, its numbers small more often than not. */
static void make_op(uint8_t op[OP], uint64_t random)
{
	size_t n;

	for (n = 0; n < OP; n++)
		op[n] = (uint8_t)(fuzz_mix(random + n + 1) >> 32);
	if (random % 4)
		op[0] = (uint8_t)(op[0] % hostile_areas());
	else
		op[0] = (uint8_t)(FUZZ_VERB_MIN + op[0] % (FUZZ_LOOK - FUZZ_VERB_MIN + 1));
	if (random >> 2 & 1)
		op[0] |= FUZZ_OF_THREAD;
	if (random >> 3 & 3) {
		op[2] &= 15;
		op[3] = 0;
	}
	op[4] %= FUZZ_HOWS;
}

/* What is mutated comes in another size: cut or filled up. */
static void mutate_within(uint8_t *data, size_t size)
{
	size_t now = LLVMFuzzerMutate(data, size, size);

	memset(data + now, 0, size - now);
}

static size_t insert(uint8_t *ops, size_t count, size_t at, const uint8_t op[OP])
{
	memmove(ops + (at + 1) * OP, ops + at * OP, (count - at) * OP);
	memcpy(ops + at * OP, op, OP);
	return count + 1;
}

static size_t mutate_ops(uint8_t *ops, size_t count, size_t count_max, uint64_t random)
{
	size_t at = count ? (random >> 8) % count : 0, to = count ? (random >> 32) % count : 0;
	uint8_t op[OP], other[OP];

	if (count == 0 || (random % 8 < 3 && count < count_max)) {
		make_op(op, fuzz_mix(random));
		if ((op[0] & FUZZ_WHAT) == FUZZ_GEOMETRY) /* undoes what comes before it */
			return insert(ops, count, 0, op);
		return insert(ops, count, count ? (random >> 8) % (count + 1) : 0, op);
	}
	switch (random % 8) {
	case 3:
		memmove(ops + at * OP, ops + (at + 1) * OP, (count - at - 1) * OP);
		return count - 1;
	case 4:
		memcpy(op, ops + at * OP, OP);
		memcpy(other, ops + to * OP, OP);
		memcpy(ops + at * OP, other, OP);
		memcpy(ops + to * OP, op, OP);
		return count;
	case 5:
		memcpy(op, ops + at * OP, OP);
		return count < count_max ? insert(ops, count, to, op) : count;
	case 6:
		make_op(ops + at * OP, fuzz_mix(random));
		return count;
	default:
		mutate_within(ops + at * OP, OP);
		return count;
	}
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t size_max, unsigned int seed)
{
	uint64_t random = fuzz_mix(seed + 1ull);
	size_t count;

	if (size_max < FUZZ_CONFIG + OP)
		return LLVMFuzzerMutate(data, size, size_max);
	if (size < FUZZ_CONFIG) {
		memset(data + size, 0, FUZZ_CONFIG - size);
		size = FUZZ_CONFIG;
	}
	if (random % 16 == 0)
		return LLVMFuzzerMutate(data, size, size_max);
	if (random % 16 == 1)
		mutate_within(data, FUZZ_CONFIG);
	count = (size - FUZZ_CONFIG) / OP;
	count = mutate_ops(data + FUZZ_CONFIG, count, (size_max - FUZZ_CONFIG) / OP, random >> 4);
	return FUZZ_CONFIG + count * OP;
}

/* The one's first operations, then the other's last. */
size_t LLVMFuzzerCustomCrossOver(const uint8_t *a, size_t a_size, const uint8_t *b, size_t b_size,
				 uint8_t *out, size_t out_max, unsigned int seed)
{
	uint64_t random = fuzz_mix(seed + 2ull);
	size_t head, tail;

	if (a_size < FUZZ_CONFIG || b_size < FUZZ_CONFIG || out_max < FUZZ_CONFIG)
		return 0;
	head = FUZZ_CONFIG + random % ((a_size - FUZZ_CONFIG) / OP + 1) * OP;
	tail = (random >> 32) % ((b_size - FUZZ_CONFIG) / OP + 1) * OP;
	if (head > out_max)
		head = out_max;
	if (tail > out_max - head)
		tail = (out_max - head) / OP * OP;
	memcpy(out, a, head);
	memcpy(out + head, b + (b_size - FUZZ_CONFIG) / OP * OP + FUZZ_CONFIG - tail, tail);
	return head + tail;
}
