/* SPDX-License-Identifier: Apache-2.0 */
/* Lanes off the hot path: the cells of one, and the reader's drain. */
#include "ring/lane.h"

#include <stddef.h>

#include "ring/flush.h"
#include "ring/region.h"

/* How many records a reader stays behind a writer that is moving. */
#define DRAIN_DISTANCE 32

/* ---- Cells ----------------------------------------------------------------------------------- */

static struct tally_cell *find_cell(struct lane_writer *writer, uint64_t key)
{
	uint32_t i;

	for (i = 0; i < writer->cell_count; i++)
		if (tally_load_relaxed(&writer->cells[i].key) == key) /* own */
			return &writer->cells[i];
	return NULL;
}

static struct tally_cell *add_cell(struct lane_writer *writer, uint64_t key)
{
	struct region *region = writer->region;
	uint32_t n = writer->cell_count;
	struct tally_cell *cell = &writer->cells[n];
	size_t offset = (size_t)((unsigned char *)cell - region->base);

	if (n >= region->at.lane_cells)
		return NULL;
	if ((offset + sizeof(*cell) - 1) / TALLY_PAGE != (offset - 1) / TALLY_PAGE &&
	    region_reserve(region, offset, sizeof(*cell)) != 0)
		return NULL;
	/* relaxed: D1 publishes it */
	tally_store_relaxed(&cell->key, key);
	/* D1 -> D2: the cell is there before it is counted */
	tally_store_release(&writer->header->cell_count, n + 1);
	writer->cell_count = n + 1;
	return cell;
}

const struct lane_target *lane_target_slow(struct lane_writer *writer, uint32_t device,
					   uint32_t pool)
{
	uint32_t mask = (1u << LANE_INDEX_LOG2) - 1;
	uint64_t given = lane_index_key(device, pool);
	uint64_t key = TALLY_KEY(device, pool & 0xff);
	uint32_t slot = lane_index_hash(given);
	struct lane_target *target;
	uint32_t tries;

	if (!lane_in_range(device, pool))
		return NULL;
	for (tries = 0; tries < mask && writer->index[slot].key != 0; tries++) {
		if (writer->index[slot].key == given)
			return &writer->index[slot];
		slot = (slot + 1) & mask;
	}
	target = &writer->index[slot];
	if (target->key != 0) /* full of flags: they take an entry each, and share a cell */
		return NULL;
	target->cell = find_cell(writer, key);
	if (!target->cell)
		target->cell = add_cell(writer, key);
	if (!target->cell)
		return NULL;
	target->where = lane_where(device, pool);
	tally_fence_signal(); /* the key last: it says that the rest is there */
	target->key = given;
	return target;
}

void lane_note(struct lane_writer *writer, uint32_t device, uint64_t tag,
	       const struct lane_event *event)
{
	/* own: only this thread writes it */
	uint64_t pos = tally_load_relaxed(&writer->header->publish_pos);
	uint64_t where = lane_where(device, 0);
	uint64_t current = writer->tag;
	struct lane_slot begun;

	writer->tag = tag;
	begun = lane_begin(writer, pos, where, event);
	writer->tag = current;
	lane_publish(writer, &begun, 0);
}

bool lane_open_cell(struct lane_writer *writer, uint64_t key, const struct ledger_sums *opening,
		    uint64_t events)
{
	const struct lane_target *target = lane_target(writer, TALLY_KEY_DEVICE(key),
						       TALLY_KEY_POOL(key));
	uint64_t *unrecorded = &writer->header->unrecorded;
	uint64_t seq, event_no, balance;
	int64_t above;
	struct tally_cell *cell;

	if (!target)
		return false;
	cell = target->cell;
	/* own, all: words that only this thread writes */
	seq = tally_load_relaxed(&cell->seq);
	tally_store_relaxed(unrecorded, tally_load_relaxed(unrecorded) + events);
	writer->event_offset += events;
	event_no = tally_load_relaxed(&writer->header->publish_pos) + writer->event_offset - 1;
	balance = ledger_prepare(cell, seq, opening, event_no);
	ledger_commit(cell, seq, opening, balance);
	/* How far the opening's peak was above its balance; sums folded in the middle of a push may
	 * lack the peak that goes with them. */
	above = (int64_t)opening->peak_bytes - ledger_balance(opening);
	if (above > 0)
		balance += (uint64_t)above;
	/* relaxed: own word */
	if ((int64_t)balance > (int64_t)tally_load_relaxed(&cell->peak_bytes))
		tally_store_relaxed(&cell->peak_bytes, balance);
	return true;
}

/* ---- Reading --------------------------------------------------------------------------------- */

void lane_count(const struct tally_lane_header *header, uint64_t *ret_events,
		uint64_t *ret_unrecorded)
{
	/* R3''' -> L3: ring_ready and start_pos, below, are no older than the position */
	uint64_t publish_pos = tally_load_acquire(&header->publish_pos);
	/* relaxed, both: words of one writer that only grow */
	uint64_t pushed = publish_pos - tally_load_relaxed(&header->start_pos);
	uint64_t unrecorded = tally_load_relaxed(&header->unrecorded);

	*ret_events = unrecorded + pushed;
	/* relaxed: set once, before the first event */
	*ret_unrecorded = tally_load_relaxed(&header->ring_ready) ? unrecorded : *ret_events;
}

/* Begins at the oldest record that is still there. */
static void start(struct lane_reader *reader, uint64_t publish_pos)
{
	uint64_t size = 1ull << reader->ring_log2;
	/* relaxed: written before ring_ready */
	uint64_t start_pos = tally_load_relaxed(&reader->header->start_pos);

	reader->pos = publish_pos - start_pos > size ? publish_pos - size : start_pos;
	if (reader->cursor)
		reader->pos = lossless_start(reader->cursor, reader->holder, reader->pos,
					     &reader->header->publish_pos, size);
	reader->missed = reader->pos - start_pos;
	reader->started = true;
}

/* A lap has passed: go to what will still be there when it is read. Of a writer that has gone that
 * is all of the last lap. */
static void jump(struct lane_reader *reader, bool writer_gone)
{
	uint64_t size = 1ull << reader->ring_log2;
	/* R3'' -> L3: the slots before it are valid or overwritten */
	uint64_t publish_pos = tally_load_acquire(&reader->header->publish_pos);
	uint64_t to = publish_pos - size + (writer_gone ? 0 : size / 8);

	if ((int64_t)(to - reader->pos) <= 0)
		to = reader->pos + 1;
	if (reader->stops && (int64_t)(to - reader->stop_pos) > 0)
		to = reader->stop_pos;
	reader->lost += to - reader->pos;
	reader->pos = to;
}

static bool known_kind(uint32_t kind)
{
	return kind >= TALLY_KIND_ALLOC && kind <= TALLY_KIND_MARK;
}

static void accept(struct lane_reader *reader, const struct tally_record *record,
		   void (*take)(void *arg, const struct tally_record *record), void *arg)
{
	if (slot_version(record->commit) != TALLY_RECORD_VERSION) {
		reader->quarantine = "a record of an unknown version";
		return;
	}
	if (reader->seen > 0 && (int64_t)(record->event_no - reader->event_no) <= 0) {
		reader->quarantine = "event numbers that do not ascend";
		return;
	}
	reader->event_no = record->event_no;
	reader->seen++;
	reader->pos++;
	if (!known_kind(slot_kind(record->commit)))
		reader->skipped++;
	else if (take)
		take(arg, record);
}

void lane_drain(struct lane_reader *reader, bool to_end, bool writer_gone,
		void (*take)(void *arg, const struct tally_record *record), void *arg)
{
	uint64_t size = 1ull << reader->ring_log2;
	/* R3 -> L3: every slot before it is valid or overwritten */
	uint64_t publish_pos = tally_load_acquire(&reader->header->publish_pos);
	uint64_t end = publish_pos + (writer_gone ? 1 : 0);
	uint64_t budget = size + size / 2;
	bool flush = flush_wanted();

	if (!reader->started)
		start(reader, publish_pos);
	if (!to_end && publish_pos != reader->idle_pos)
		end -= DRAIN_DISTANCE;
	reader->idle_pos = publish_pos;
	if (reader->stops && (int64_t)(end - reader->stop_pos) > 0)
		end = reader->stop_pos;
	while ((int64_t)(end - reader->pos) > 0 && budget-- > 0 && !reader->quarantine) {
		const struct tally_record *slot = &reader->slots[reader->pos & (size - 1)];
		struct tally_record record;

		switch (slot_read(slot, reader->pos, reader->ring_log2, &record)) {
		case SLOT_VALID:
			accept(reader, &record, take, arg);
			if (flush)
				flush_line(slot);
			if (reader->cursor && (reader->pos & (LOSSLESS_STRIDE - 1)) == 0)
				lossless_read(reader->cursor, reader->pos);
			break;
		case SLOT_LAPPED:
			jump(reader, writer_gone);
			break;
		case SLOT_ABORTED:
			reader->quarantine = "a slot of the shared ring in a lane";
			return;
		case SLOT_EARLY:
			if (reader->pos != publish_pos) /* else: the writer died before L2 */
				reader->quarantine = "a published position holds an older record";
			return;
		}
	}
	if (reader->cursor)
		lossless_read(reader->cursor, reader->pos);
}

bool lane_last(const struct tally_lane_header *header, const struct tally_record *slots,
	       uint32_t ring_log2, struct tally_record *ret_record)
{
	uint64_t mask = (1ull << ring_log2) - 1;
	/* R3' -> L3: the slots before it are valid or overwritten */
	uint64_t publish_pos = tally_load_acquire(&header->publish_pos);

	return slot_read(&slots[publish_pos & mask], publish_pos, ring_log2, ret_record) ==
		       SLOT_VALID ||
	       slot_read(&slots[(publish_pos - 1) & mask], publish_pos - 1, ring_log2,
			 ret_record) == SLOT_VALID;
}

bool ledger_settled(const struct tally_cell *cell, uint64_t key, const struct tally_record *last,
		    struct ledger_sums *ret_sums)
{
	struct ledger_sums sums, change;

	if (!ledger_read(cell, &sums))
		return false;
	if (last && TALLY_KEY(last->where >> 48, last->where >> 40 & 0xff) == key &&
	    last->event_no > sums.event_no && slot_version(last->commit) == TALLY_RECORD_VERSION) {
		change = ledger_change((enum tally_kind)slot_kind(last->commit), last->size,
				       last->buffer_id);
		ledger_sum(&sums, &change);
		sums.event_no = last->event_no;
	}
	*ret_sums = sums;
	return true;
}
