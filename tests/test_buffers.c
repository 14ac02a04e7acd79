/* SPDX-License-Identifier: Apache-2.0 */
/* The table of live buffers is what a plain model makes of the same records, in whatever order the
 * lanes are read: 10^5 histories, made at random. A failure prints its seed; TEST_SEED=... runs
 * that one alone.
 * sanitizers: address; also on: arm64 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <tally/tally.h>

#include "tests/history.h"

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SLOW 1
#endif
#endif
#ifdef SLOW
#define HISTORIES 4000u
#else
#define HISTORIES (EMULATED ? 2000u : 34000u) /* of each kind */
#endif
#define SWEEP_EACH 32

static struct buffers buffers;

/* ---- Running --------------------------------------------------------------------------------- */

typedef const char *run_history(struct history *history, uint64_t seed);

static void give_up(struct history *history)
{
	buffers_leave(&buffers, history->holder);
}

static void run_one(run_history *body, uint64_t seed)
{
	struct history history;
	const char *wrong;

	wrong = body(&history, seed);
	if (wrong) {
		print_error("TEST_SEED=%llu: %s\n", (unsigned long long)seed, wrong);
		print_history(&history);
		fail();
	}
	give_up(&history);
}

static void run_all(run_history *body)
{
	const char *given = getenv("TEST_SEED");
	uint64_t seed = given ? strtoull(given, NULL, 0) : 0;
	unsigned int n;

	assert_int_equal(buffers_open(&buffers, 4096), 0);
	if (!given)
		assert_int_equal(getrandom(&seed, sizeof(seed), 0), sizeof(seed));
	for (n = 0; n < (given ? 1 : HISTORIES); n++) {
		run_one(body, seed + n);
		if (n % SWEEP_EACH == 0)
			buffers_settle(&buffers);
		if (n % 1024 == 0)
			urcu_bp_barrier(); /* nobody is this fast otherwise */
	}
	buffers_sweep(&buffers);
	buffers_settle(&buffers);
	assert_int_equal(buffers.count, 0);
	buffers_close(&buffers);
}

static void make_holder(struct history *history)
{
	size_t n;

	history->holder = holder_new(history->seed, 1, "made up");
	assert_non_null(history->holder);
	history->holder->skew = history->skew;
	for (n = 0; n < history->count; n++) {
		history->events[n].holder = history->holder;
		if (history->lost[n])
			history->holder->lost_ns = 1; /* a drain tells before what it brings */
	}
}

/* ---- Any order ------------------------------------------------------------------------------- */

/* What lies between two resets comes in any order at all. */
static void shuffle(struct history *history, size_t *order)
{
	size_t from = 0, n;

	for (n = 0; n < history->count; n++) {
		size_t other;

		order[n] = n;
		if (history->events[n].kind == TALLY_KIND_POOL_RESET) {
			from = n + 1;
			continue;
		}
		other = from + draw(history, n + 1 - from);
		order[n] = order[other];
		order[other] = n;
	}
}

static const char *any_order(struct history *history, uint64_t seed)
{
	size_t order[EVENTS], n;
	const char *wrong;

	make_history(history, seed, (struct made_how){ .ties = seed % 2, .resets = seed % 3 == 0 });
	make_holder(history);
	shuffle(history, order);
	buffers_begin(&buffers);
	for (n = 0; n < history->count; n++)
		buffers_apply(&buffers, (const struct staged *[]){ &history->events[order[n]] }, 1);
	buffers_end(&buffers);
	wrong = compare(&buffers, history, false);
	buffers_end_doubts(&buffers, UINT64_MAX);
	buffers.sweep = true;
	return wrong ? wrong : compare(&buffers, history, seed % 3 != 0);
}

static void without_loss_any_order_of_arrival_gives_the_same_table(void **state)
{
	(void)state;
	run_all(any_order);
}

/* ---- Lanes ----------------------------------------------------------------------------------- */

/* Lanes as they are drained: what is published at `now`, and more of it while the drain goes on. */
struct drains {
	struct history *history;
	struct stage stage;
	uint64_t published[EVENTS]; /* when */
	size_t lane_events[LANES][EVENTS], lane_count[LANES], lane_read[LANES];
	uint64_t seen; /* the latest time that a drain may have met */
	bool late, out_of_order;
};

static void apply(void *arg, const struct staged *const *items, size_t count)
{
	struct drains *drains = arg;
	size_t n;

	for (n = 0; n < count; n++) {
		if (items[n]->time < items[n]->holder->applied)
			drains->out_of_order = true;
		buffers_apply(&buffers, &items[n], 1);
	}
}

static void fill_lanes(struct drains *drains)
{
	struct history *history = drains->history;
	size_t n;

	for (n = 0; n < history->count; n++) {
		size_t lane = history->lane[n];

		drains->published[n] = history->events[n].time;
		if (drains->late && draw(history, 4) == 0)
			drains->published[n] += draw(history, 60);
		if (!history->lost[n])
			drains->lane_events[lane][drains->lane_count[lane]++] = n;
	}
}

/* How many of a lane's events are there: one that is not published holds up those behind it. */
static size_t count_published(struct drains *drains, size_t lane, uint64_t now)
{
	size_t n = drains->lane_read[lane];

	while (n < drains->lane_count[lane] &&
	       drains->published[drains->lane_events[lane][n]] <= now)
		n++;
	return n;
}

static void put(struct drains *drains, size_t lane, size_t until)
{
	size_t *read = &drains->lane_read[lane];

	for (; *read < until; ++*read)
		assert_true(stage_put(&drains->stage,
				      &drains->history->events[drains->lane_events[lane][*read]]));
}

static void drain_lane(struct drains *drains, size_t lane, uint64_t now, bool final)
{
	struct history *history = drains->history;
	/* what comes between the begin and the look at this lane is there, too */
	uint64_t later = now + (draw(history, 2) ? draw(history, 30) : 0);
	size_t there = count_published(drains, lane, final ? UINT64_MAX : later);
	size_t leave = final ? 0 : draw(history, 3);
	size_t from = drains->lane_read[lane];

	drains->seen = later > drains->seen ? later : drains->seen;
	stage_source(&drains->stage);
	put(drains, lane, there - from > leave ? there - leave : from);
	if (drains->lane_read[lane] == there || stage_behind(&drains->stage))
		return;
	put(drains, lane, there);
	if (draw(history, 2)) /* it goes on and on */
		stage_cut_off(&drains->stage);
}

static void drain_all(struct drains *drains)
{
	struct history *history = drains->history;
	uint64_t end = history->events[history->count - 1].time + 100, now = 1000;
	size_t lane;

	for (;;) {
		bool final = now > end;

		stage_begin(&drains->stage, now);
		for (lane = 0; lane < LANES; lane++)
			drain_lane(drains, lane, now, final);
		buffers_begin(&buffers);
		stage_apply(&drains->stage, final, apply, drains);
		buffers_end(&buffers);
		if (final)
			return;
		now = drains->seen + 1 + draw(history, 40);
	}
}

static const char *drain_history(struct history *history, struct drains *drains)
{
	const char *wrong;

	make_holder(history);
	drains->history = history;
	fill_lanes(drains);
	drain_all(drains);
	if (drains->stage.count != 0)
		return "records wait at the end";
	stage_free(&drains->stage);
	wrong = compare(&buffers, history, false);
	buffers_end_doubts(&buffers, UINT64_MAX);
	buffers.sweep = true;
	return wrong;
}

static const char *with_loss(struct history *history, uint64_t seed)
{
	struct drains drains = { 0 };
	const char *wrong;

	make_history(history, seed, (struct made_how){ .resets = true, .lost = 4 });
	wrong = drain_history(history, &drains);
	if (!wrong && drains.out_of_order)
		wrong = "records are not applied in order";
	if (!wrong) {
		buffers_sweep(&buffers);
		wrong = compare(&buffers, history, true);
	}
	return wrong;
}

static void with_losses_the_table_is_what_the_rest_gives_in_order_of_time(void **state)
{
	(void)state;
	run_all(with_loss);
}

/* For histories without a loss. */
static const char *drain_and_sweep(struct history *history, struct drains *drains)
{
	const char *wrong = drain_history(history, drains);

	return wrong ? wrong : compare(&buffers, history, true);
}

static const char *with_late_ones(struct history *history, uint64_t seed)
{
	struct drains drains = { .late = true };

	make_history(history, seed, (struct made_how){ .ties = seed % 2 });
	return drain_and_sweep(history, &drains);
}

static void without_loss_late_records_change_nothing(void **state)
{
	(void)state;
	run_all(with_late_ones);
}

/* As of lanes that are drained, but that a lane's times go up and down. */
static const char *with_skew(struct history *history, uint64_t seed)
{
	struct drains drains = { 0 };

	make_history(history, seed, (struct made_how){ .skew = true });
	swap_times(history);
	return drain_and_sweep(history, &drains);
}

static void clocks_that_differ_make_no_ghosts(void **state)
{
	(void)state;
	run_all(with_skew);
}

/* Clocks that differ by so much that no allowance for it would do. But nothing of the process is
 * lost, so the count is right. */
static const char *with_wrong_times(struct history *history, uint64_t seed)
{
	size_t order[EVENTS], n;
	const char *wrong;

	make_history(history, seed, (struct made_how){ 0 });
	rotate_times(history);
	make_holder(history);
	history->holder->several = true;
	history->holder->skew = 1000000; /* all there is */
	for (n = 0; n < history->count; n++) {
		size_t at = n;

		/* as they were pushed, or in order of what their times say */
		for (; seed % 2 && at > 0 &&
		       history->events[order[at - 1]].time > history->events[n].time;
		     at--)
			order[at] = order[at - 1];
		order[at] = n;
	}
	buffers_begin(&buffers);
	for (n = 0; n < history->count; n++)
		buffers_apply(&buffers, (const struct staged *[]){ &history->events[order[n]] }, 1);
	buffers_end(&buffers);
	wrong = compare(&buffers, history, false);
	buffers_end_doubts(&buffers, UINT64_MAX);
	buffers.sweep = true;
	return wrong ? wrong : compare(&buffers, history, true);
}

static void without_loss_wrong_times_change_nothing(void **state)
{
	(void)state;
	run_all(with_wrong_times);
}

/* ---- Waiting --------------------------------------------------------------------------------- */

static uint64_t applied[8];
static size_t applied_count;

static void note_time(void *arg, const struct staged *const *items, size_t count)
{
	size_t n;

	(void)arg;
	for (n = 0; n < count; n++)
		applied[applied_count++] = items[n]->time;
}

static void stage_times(struct stage *stage, uint64_t now, uint64_t one, uint64_t other)
{
	applied_count = 0;
	stage_begin(stage, now);
	stage_source(stage);
	if (one)
		assert_true(stage_put(stage, &(struct staged){ .time = one }));
	if (other)
		assert_true(stage_put(stage, &(struct staged){ .time = other }));
	stage_apply(stage, false, note_time, NULL);
}

static void record_of_the_future_waits_once(void **state)
{
	struct stage stage = { 0 };

	(void)state;
	stage_times(&stage, 100, 90, 150);
	assert_int_equal(applied_count, 1);
	assert_int_equal(applied[0], 90);
	stage_times(&stage, 200, 120, UINT64_MAX); /* that one lies */
	assert_int_equal(applied_count, 2);
	assert_int_equal(applied[0], 120);
	assert_int_equal(applied[1], 150);
	stage_times(&stage, 300, 0, 0);
	assert_int_equal(applied_count, 1);
	assert_int_equal(stage.count, 0);
	stage_free(&stage);
}

/* A reading in which one ring, or none, could be read. */
static void stage_without(struct stage *stage, uint64_t now, uint64_t time, bool unread)
{
	applied_count = 0;
	stage_begin(stage, now);
	stage_source(stage);
	assert_true(stage_put(stage, &(struct staged){ .time = time }));
	if (unread)
		stage_unread(stage);
	stage_apply(stage, false, note_time, NULL);
}

static void records_wait_once_for_a_ring_that_cannot_be_read(void **state)
{
	struct stage stage = { 0 };

	(void)state;
	stage_without(&stage, 100, 90, false);
	assert_int_equal(applied_count, 1);
	stage_without(&stage, 200, 190, true); /* of 110 may still come */
	assert_int_equal(applied_count, 0);
	stage_without(&stage, 300, 110, false);
	assert_int_equal(applied_count, 2);
	assert_int_equal(applied[0], 110);
	assert_int_equal(applied[1], 190);
	stage_without(&stage, 400, 390, true);
	assert_int_equal(applied_count, 0);
	stage_without(&stage, 500, 490, true); /* not for ever */
	assert_int_equal(applied_count, 2);
	stage_without(&stage, 600, 590, true);
	assert_int_equal(applied_count, 0);
	stage_without(&stage, 700, 690, false);
	assert_int_equal(applied_count, 2);
	stage_without(&stage, 800, 780, true); /* and has more than can be read at once */
	stage_begin(&stage, 900);
	stage_source(&stage);
	assert_true(stage_put(&stage, &(struct staged){ .time = 750 }));
	stage_cut_off(&stage);
	stage_apply(&stage, false, note_time, NULL);
	assert_int_equal(applied_count, 1);
	assert_int_equal(applied[0], 750);
	stage_free(&stage);
}

static void what_waits_of_one_is_taken_out_in_order(void **state)
{
	struct holder *one = holder_new(1, 1, "one"), *other = holder_new(2, 2, "other");
	struct stage stage = { 0 };
	uint64_t time;

	(void)state;
	stage_begin(&stage, 100);
	for (time = 0; time < 6; time++) {
		stage_source(&stage);
		assert_true(
			stage_put(&stage, &(struct staged){ .time = 110 - time,
							    .holder = time % 2 ? one : other }));
	}
	applied_count = 0;
	stage_apply(&stage, false, note_time, NULL);
	assert_int_equal(applied_count, 0);
	stage_take_out(&stage, one, note_time, NULL);
	assert_int_equal(applied_count, 3);
	assert_int_equal(applied[0], 105);
	assert_int_equal(applied[1], 107);
	assert_int_equal(applied[2], 109);
	applied_count = 0;
	stage_begin(&stage, 200);
	stage_apply(&stage, false, note_time, NULL);
	assert_int_equal(applied_count, 3);
	assert_int_equal(applied[2], 110);
	stage_free(&stage);
	holder_free(one);
	holder_free(other);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(without_loss_any_order_of_arrival_gives_the_same_table),
		TEST(with_losses_the_table_is_what_the_rest_gives_in_order_of_time),
		TEST(without_loss_late_records_change_nothing),
		TEST(clocks_that_differ_make_no_ghosts),
		TEST(without_loss_wrong_times_change_nothing),
		TEST(record_of_the_future_waits_once),
		TEST(records_wait_once_for_a_ring_that_cannot_be_read),
		TEST(what_waits_of_one_is_taken_out_in_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
