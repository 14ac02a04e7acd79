/* SPDX-License-Identifier: Apache-2.0 */
/* Writing a chip's file: each field whole, in an order in which all that can be read is true.
 *
 * Readers take no lock and may read at any moment, by mapping the file or by read(2); and some of
 * them write: they empty the slot of a process that they find dead, and subtract its bytes from the
 * totals. So
 *
 * - every word is stored whole, and a total goes from one snapshot's value to the next one's at
 *   once, never by the parts of processes. Two totals may be of two snapshots for a moment: the
 *   format has no means against that;
 * - slots go down first, to the smaller of old and new, then the totals move, then slots go up. So
 *   what is summed up over the slots is at no moment above the total (but where a balance is below
 *   zero, and so in no slot), and who takes a slot's bytes off the total stays above zero;
 * - a slot that is given up is emptied before its pid goes, one that is taken gets its pid before
 *   its bytes, in one exchange that fails where a runtime has taken it first;
 * - totals are exchanged for what we wrote last, so that nothing a runtime has added in between is
 *   overwritten: where they have grown somebody counts there, and the file is given up. Where they
 *   have shrunk a reader has subtracted a process: then our value is put back.
 */
#include <string.h>
#include <sys/stat.h>
#include <tally/atomic.h>

#include "chip.h"

/* relaxed, here and below unless said otherwise: each field stands by itself, and order among
 * stores only ever makes a sum plausible; x86-64 keeps it, and a reader cannot rely on it */
static void put(uint64_t *word, uint64_t value)
{
	/* relaxed: as above */
	if (tally_load_relaxed(word) != value)
		tally_store_relaxed(word, value);
}

static uint64_t get(const uint64_t *word)
{
	return tally_load_relaxed(word); /* relaxed: as above */
}

static bool swap(uint64_t *word, uint64_t *expected, uint64_t value)
{
	return tally_cas_relaxed(word, expected, value); /* relaxed: as above */
}

/* One half of a word whose other half may change meanwhile. */
static void put_low(uint64_t *word, uint32_t low)
{
	uint64_t old = get(word);

	while (!swap(word, &old, tally_chip_word(low, tally_chip_high(old))))
		;
}

static void put_high(uint64_t *word, uint32_t high)
{
	uint64_t old = get(word);

	while (!swap(word, &old, tally_chip_word(tally_chip_low(old), high)))
		;
}

/* ---- Slots ----------------------------------------------------------------------------------- */

bool chip_slot_is_ours(const struct tally_chip_slot *slot, uint32_t *ret_pid)
{
	uint64_t word = get(&slot->pid);

	*ret_pid = tally_chip_low(word);
	return *ret_pid && word == tally_chip_slot_word(*ret_pid);
}

void chip_slot_clear(struct tally_chip_slot *slot)
{
	uint64_t word = get(&slot->pid);
	size_t n;

	for (n = 0; n < TALLY_CHIP_POOLS; n++)
		put(&slot->bytes[n], 0);
	put(&slot->last_update_ns, 0);
	for (n = 0; n < TALLY_CHIP_NAME_WORDS; n++)
		put(&slot->name[n], 0);
	swap(&slot->pid, &word, 0);
}

static const struct digest_slot *find(const struct digest *digest, uint32_t pid)
{
	size_t n;

	for (n = 0; n < digest->slot_count; n++)
		if (digest->slots[n].pid == pid)
			return &digest->slots[n];
	return NULL;
}

static void lower(struct tally_chip_slot *slot, const struct digest_slot *to)
{
	size_t n;

	for (n = 0; n < TALLY_CHIP_POOLS; n++)
		if (get(&slot->bytes[n]) > to->bytes[n])
			put(&slot->bytes[n], to->bytes[n]);
}

static void fill(struct tally_chip_slot *slot, const struct digest_slot *from, uint64_t now_ns)
{
	uint64_t name[TALLY_CHIP_NAME_WORDS];
	bool changed = get(&slot->last_update_ns) == 0;
	size_t n;

	memcpy(name, from->name, sizeof(name));
	for (n = 0; n < TALLY_CHIP_NAME_WORDS; n++)
		put(&slot->name[n], name[n]);
	for (n = 0; n < TALLY_CHIP_POOLS; n++) {
		changed = changed || get(&slot->bytes[n]) != from->bytes[n];
		put(&slot->bytes[n], from->bytes[n]);
	}
	if (changed)
		put(&slot->last_update_ns, now_ns);
}

static bool take_slot(struct tally_chip_slot *slot, uint32_t pid)
{
	uint64_t word = get(&slot->pid);

	return tally_chip_low(word) == 0 && swap(&slot->pid, &word, tally_chip_slot_word(pid));
}

/* Those that go, and what shrinks. */
static void lower_slots(struct tally_chip_file *file, const struct digest *digest)
{
	size_t n;

	for (n = 0; n < TALLY_CHIP_SLOTS; n++) {
		const struct digest_slot *to;
		uint32_t pid;

		if (!chip_slot_is_ours(&file->slots[n], &pid))
			continue;
		to = find(digest, pid);
		if (to)
			lower(&file->slots[n], to);
		else
			chip_slot_clear(&file->slots[n]);
	}
}

/* Those that come, and what grows; how many there are. */
static uint32_t raise_slots(struct tally_chip_file *file, const struct digest *digest,
			    uint64_t now_ns)
{
	bool done[TALLY_CHIP_SLOTS] = { false };
	uint32_t used = 0, pid;
	size_t n, at = 0;

	for (n = 0; n < TALLY_CHIP_SLOTS; n++) {
		const struct digest_slot *from;

		if (!chip_slot_is_ours(&file->slots[n], &pid))
			continue;
		from = find(digest, pid);
		if (!from || done[from - digest->slots])
			continue;
		done[from - digest->slots] = true;
		fill(&file->slots[n], from, now_ns);
		used++;
	}
	for (n = 0; n < digest->slot_count; n++) {
		while (!done[n] && at < TALLY_CHIP_SLOTS &&
		       !take_slot(&file->slots[at], digest->slots[n].pid))
			at++;
		if (done[n] || at == TALLY_CHIP_SLOTS)
			continue;
		fill(&file->slots[at++], &digest->slots[n], now_ns);
		used++;
	}
	return used;
}

/* ---- Totals ---------------------------------------------------------------------------------- */

static bool move_total(struct chip_hold *hold, size_t pool, uint64_t value)
{
	struct tally_chip_file *file = hold->file;
	uint64_t before = hold->last[pool], old = before, part = before;

	while (!swap(&file->bytes[pool], &old, value))
		if (old > before || get(&file->reference_count) != hold->references)
			return false;
	hold->last[pool] = value;
	/* It is all on this chip, whatever readers have taken off there. Should somebody have
	 * counted there, it shows in the total. */
	while (!swap(&file->chips[0].bytes[pool], &part, value) && part <= before)
		;
	return true;
}

/* Who attaches counts itself here before it counts anything else. */
static bool move_references(struct chip_hold *hold, uint32_t count)
{
	uint64_t old = hold->references;

	if (!swap(&hold->file->reference_count, &old, count))
		return false;
	hold->references = count;
	return true;
}

bool chip_write(struct chip_hold *hold, const struct digest *digest, uint64_t now_ns)
{
	struct tally_chip_file *file = hold->file;
	size_t n;

	if (!move_references(hold, digest->processes))
		return false;
	lower_slots(file, digest);
	for (n = 0; n < TALLY_CHIP_POOLS; n++)
		if (!move_total(hold, n, digest->bytes[n]))
			return false;
	hold->slots_used = raise_slots(file, digest, now_ns);
	put_high(&file->version, hold->slots_used);
	put(&file->last_update_ns, now_ns);
	return true;
}

/* ---- The rest -------------------------------------------------------------------------------- */

void chip_describe(struct chip_hold *hold, uint32_t version, const struct digest *digest)
{
	struct tally_chip_file *file = hold->file;
	size_t n, i;

	put(&file->mark, TALLY_CHIP_MARK);
	put(&file->board_serial, 0);
	put(&file->asic_id, digest->chip_id);
	put(&file->device_id, digest->device);
	put(&file->chips[0].chip, tally_chip_word(digest->device, digest->remote));
	for (n = 0; n < TALLY_CHIP_POOLS; n++)
		put(&file->chips[0].bytes[n], hold->last[n]);
	for (n = 1; n < TALLY_CHIP_CHIPS; n++) {
		put(&file->chips[n].chip, tally_chip_word(TALLY_CHIP_UNUSED, 0));
		for (i = 0; i < TALLY_CHIP_POOLS; i++)
			put(&file->chips[n].bytes[i], 0);
	}
	put_low(&file->version, version);
}

void chip_ready(struct chip_hold *hold, uint32_t version)
{
	/* P1 -> P2 in chip_take(), and the runtime's readers: everything before that it is ready */
	tally_store_release(&hold->file->init_state,
			    version >= TALLY_CHIP_VERSION_READY ? TALLY_CHIP_READY : 0);
}

/* Never below zero: who has counted down meanwhile may have taken it all. */
static void take_back(uint64_t *word, uint64_t part)
{
	uint64_t old = get(word);

	while (!swap(word, &old, old > part ? old - part : 0))
		;
}

void chip_withdraw(struct chip_hold *hold)
{
	struct tally_chip_file *file = hold->file;
	uint64_t version;
	struct stat status;
	uint32_t pid, used;
	size_t n;

	if (fstat(hold->fd, &status) != 0 || status.st_size != (off_t)sizeof(*file))
		return; /* it was cut: a store would be a fault */
	version = get(&file->version);
	for (n = 0; n < TALLY_CHIP_SLOTS; n++)
		if (chip_slot_is_ours(&file->slots[n], &pid))
			chip_slot_clear(&file->slots[n]);
	for (n = 0; n < TALLY_CHIP_POOLS; n++) {
		take_back(&file->bytes[n], hold->last[n]);
		take_back(&file->chips[0].bytes[n], hold->last[n]);
	}
	do {
		used = tally_chip_high(version);
		used -= used < hold->slots_used ? used : hold->slots_used;
	} while (!swap(&file->version, &version, tally_chip_word(tally_chip_low(version), used)));
	take_back(&file->reference_count, tally_chip_low(hold->references));
	put(&file->mark, 0);
	memset(hold->last, 0, sizeof(hold->last));
	hold->references = 0;
	hold->slots_used = 0;
}
