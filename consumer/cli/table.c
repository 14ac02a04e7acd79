/* SPDX-License-Identifier: Apache-2.0 */
/* Tables of text and numbers, as wide as needed and no wider than the terminal if that can be. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>

#include "cli.h"

#define GAP 2
#define WIDTH_DEFAULT 80

/* ---- Filling --------------------------------------------------------------------------------- */

void table_row(struct table *table)
{
	if (table->row_count == table->row_room) {
		size_t room = table->row_room ? table->row_room * 2 : 16;
		void *rows = realloc(table->rows, room * sizeof(*table->rows));

		if (!rows) {
			say("no memory left for a table");
			exit(EXIT_ERROR);
		}
		table->rows = rows;
		table->row_room = room;
	}
	memset(table->rows[table->row_count++], 0, sizeof(*table->rows));
	table->column = 0;
}

static struct cell *next(struct table *table, enum cell_kind kind)
{
	struct cell *cell = &table->rows[table->row_count - 1][table->column++];

	cell->kind = kind;
	return cell;
}

void table_text(struct table *table, const char *format, ...)
{
	struct cell *cell = next(table, CELL_TEXT);
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(cell->text, sizeof(cell->text), format, arguments);
	va_end(arguments);
}

void table_bytes(struct table *table, int64_t bytes, bool at_least)
{
	struct cell *cell = next(table, CELL_BYTES);

	cell->bytes = bytes;
	cell->at_least = at_least;
}

void table_count(struct table *table, uint64_t count)
{
	next(table, CELL_COUNT)->count = count;
}

void table_none(struct table *table)
{
	next(table, CELL_NONE);
}

/* ---- Printing -------------------------------------------------------------------------------- */

static void format_cell(struct cell *cell, bool compact)
{
	char text[TEXT_MAX];

	switch (cell->kind) {
	case CELL_NONE:
		cell->text[0] = '\0';
		return;
	case CELL_TEXT:
		return;
	case CELL_BYTES:
		text_bytes(text, cell->bytes);
		break;
	case CELL_COUNT:
		if (compact)
			text_short_count(text, cell->count);
		else
			text_count(text, cell->count);
		break;
	}
	snprintf(cell->text, sizeof(cell->text), "%s%s", cell->at_least ? ">=" : "", text);
}

static const char *head_text(const char *head)
{
	return head[0] == '<' ? head + 1 : head;
}

/* Formats all cells; the width of each column, and of all. */
static size_t measure(struct table *table, bool compact, size_t widths[TABLE_COLUMNS])
{
	size_t all = 0;
	size_t row, n;

	for (n = 0; table->heads[n]; n++) {
		widths[n] = strlen(head_text(table->heads[n]));
		for (row = 0; row < table->row_count; row++) {
			struct cell *cell = &table->rows[row][n];

			format_cell(cell, compact);
			if (strlen(cell->text) > widths[n])
				widths[n] = strlen(cell->text);
		}
		all += widths[n] + (n > 0 ? GAP : 0);
	}
	return all;
}

/* Nothing is printed behind the last cell that has something in it. */
static void print_row(FILE *out, const struct table *table, const struct cell *cells,
		      const size_t widths[TABLE_COLUMNS])
{
	size_t blanks = 0;
	size_t n;

	for (n = 0; table->heads[n]; n++) {
		const char *text = cells ? cells[n].text : head_text(table->heads[n]);
		size_t before = widths[n] - strlen(text), after = 0;

		if (table->heads[n][0] == '<') {
			after = before;
			before = 0;
		}
		blanks += before + (n > 0 ? GAP : 0);
		if (text[0]) {
			fprintf(out, "%*s%s", (int)blanks, "", text);
			blanks = 0;
		}
		blanks += after;
	}
	fputc('\n', out);
}

void table_print(struct table *table, FILE *out, size_t width)
{
	size_t widths[TABLE_COLUMNS];
	size_t row;

	if (measure(table, false, widths) > width)
		measure(table, true, widths);
	print_row(out, table, NULL, widths);
	for (row = 0; row < table->row_count; row++)
		print_row(out, table, table->rows[row], widths);
	free(table->rows);
	memset(table, 0, sizeof(*table));
}

size_t table_width(int fd)
{
	struct winsize size;

	if (ioctl(fd, TIOCGWINSZ, &size) != 0)
		return SIZE_MAX; /* no terminal: nothing is cut short */
	return size.ws_col < 20 ? WIDTH_DEFAULT : size.ws_col;
}
