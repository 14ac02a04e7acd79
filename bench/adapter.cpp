/* SPDX-License-Identifier: Apache-2.0 */
/* What the runtime's client costs beside a bare pair of pushes: it looks its ids up in a table.
 *
 * All figures are ns per pair, an allocation and its free, on one processor, measured one after the
 * other in each round.
 */
#include <allocation_client.hpp>
#include <cstdio>
#include <cstdlib>
#include <tally/ids.h>
#include <tally/tally.h>

#include "bench/harness/result.h"

using tt::tt_metal::AllocationClient;

namespace
{

constexpr uint64_t PAIRS = 4000;  /* so few that a sample is seldom interrupted */
constexpr uint64_t HELD = 100000; /* live meanwhile, in the last figure */

const question cost = { "adapter_cost",
			"What does the runtime's client cost beside a bare pair of "
			"pushes?",
			"ns",
			false,
			"bare pair: tally_alloc, tally_free",
			false };

figure off = { "report pair when off", {}, nullptr, 0, 0, 0 };
figure bare = { "bare pair: tally_alloc, tally_free", {}, nullptr, 0, 0, 0 };
figure table = { "bare pair of the table: put, take", {}, nullptr, 0, 0, 0 };
figure pair = { "report pair", {}, nullptr, 0, 0, 0 };
figure pair_held = { "report pair, 100,000 others live, random ids", {}, nullptr, 0, 0, 0 };

tally_ids *ids;

double time_reports()
{
	double start = now_ns();
	uint64_t i;

	for (i = 0; i < PAIRS; i++) {
		AllocationClient::report_allocation(0, 4096, TALLY_POOL_DRAM, i << 12);
		AllocationClient::report_deallocation(0, i << 12);
	}
	return (now_ns() - start) / PAIRS;
}

double time_bare()
{
	double start = now_ns();
	uint64_t i;

	for (i = 0; i < PAIRS; i++) {
		tally_alloc(0, TALLY_POOL_DRAM, i << 12, 4096);
		tally_free(0, TALLY_POOL_DRAM, i << 12, 4096);
	}
	return (now_ns() - start) / PAIRS;
}

double time_table()
{
	double start = now_ns();
	tally_id_entry was;
	uint64_t i;

	for (i = 0; i < PAIRS; i++) {
		tally_id_entry entry = { i << 12, 4096, TALLY_POOL_DRAM, 0, TALLY_ID_BUFFER };

		tally_ids_put(ids, &entry, &was);
		tally_ids_take(ids, 0, TALLY_ID_BUFFER, i << 12, &was);
	}
	return (now_ns() - start) / PAIRS;
}

/* Ids all over the table, which no longer fits the nearest caches. */
double time_among_others()
{
	static uint64_t seed;
	double start = now_ns();
	uint64_t i;

	for (i = 0; i < PAIRS; i++) {
		uint64_t id = (++seed * 0x9e3779b97f4a7c15) | 1;

		AllocationClient::report_allocation(1, 4096, TALLY_POOL_DRAM, id);
		AllocationClient::report_deallocation(1, id);
	}
	return (now_ns() - start) / PAIRS;
}

void hold(bool held)
{
	uint64_t i;

	for (i = 0; i < HELD; i++)
		if (held)
			AllocationClient::report_allocation(1, 4096, TALLY_POOL_DRAM, i << 12);
		else
			AllocationClient::report_deallocation(1, i << 12);
}

void round_of_all()
{
	figure_time(&off, time_reports);
	if (tally_init(nullptr) != 0) {
		std::fprintf(stderr, "bench/adapter: no region can be made in /dev/shm\n");
		std::exit(1);
	}
	time_bare(); /* the first touches pages and caches */
	figure_time(&bare, time_bare);
	time_reports();
	figure_time(&pair, time_reports);
	figure_time(&table, time_table);
	hold(true);
	time_among_others();
	figure_time(&pair_held, time_among_others);
	hold(false);
	tally_shutdown();
}

} // namespace

int main(int argc, char **argv)
{
	size_t rounds, i;

	bench_begin(argc, argv, "adapter");
	if (AllocationClient::is_enabled() || tally_ids_create(nullptr, &ids) != 0) {
		std::fprintf(stderr, "bench/adapter: unset TALLY and TT_ALLOC_TRACKING_ENABLED, "
				     "it measures both off and on\n");
		return 2;
	}
	pin(0);
	rounds = bench_rounds(ROUNDS);
	for (i = 0; i < rounds; i++) {
		bench_progress("rounds", i, rounds);
		round_of_all();
	}
	result_figure(&cost, &bare);
	result_figure(&cost, &off);
	result_figure(&cost, &table);
	result_figure(&cost, &pair);
	result_figure(&cost, &pair_held);
	result_note(&cost, "report pair - bare pair: %.1f ns", figure_difference(&pair, &bare));
	return bench_end();
}
