/* SPDX-License-Identifier: Apache-2.0 */
/* The screen of `tally top`: text of any origin, bars, sparklines, table cells. Colours repeat what
 * words and numbers say; they are left out where NO_COLOR is set or there are none. */
#define NCURSES_NOMACROS 1
#include <curses.h>
#include <langinfo.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <wchar.h>
#include <wctype.h>

#include "top.h"

#define TEXT_SIZE 1024

static struct {
	bool begun, unicode;
	bool all_anew;
	attr_t attributes[LOOK_BAD + 1];
	short pairs[LOOK_BAD + 1];
} screen;

/* ---- Frames ---------------------------------------------------------------------------------- */

static void begin_once(void)
{
	static const short colours[LOOK_BAD + 1] = {
		[LOOK_USED] = COLOR_GREEN,
		[LOOK_WARN] = COLOR_YELLOW,
		[LOOK_BAD] = COLOR_RED,
	};
	const char *name = getenv("TERM");
	short n;

	screen.begun = true;
	/* The console's font has few of the characters. */
	screen.unicode = strcmp(nl_langinfo(CODESET), "UTF-8") == 0 &&
			 !(name && strcmp(name, "linux") == 0);
	screen.attributes[LOOK_HEAD] = A_BOLD;
	screen.attributes[LOOK_DIM] = A_DIM;
	screen.attributes[LOOK_WARN] = A_BOLD;
	screen.attributes[LOOK_BAD] = A_BOLD;
	for (n = 0; n <= LOOK_BAD; n++) /* fails where colours were not started */
		if (colours[n] && init_pair(n, colours[n], -1) == OK)
			screen.pairs[n] = n;
}

int top_rows(void)
{
	return getmaxy(stdscr);
}

int top_columns(void)
{
	return getmaxx(stdscr);
}

void top_begin(void)
{
	if (!screen.begun)
		begin_once();
	erase();
}

void top_end(void)
{
	if (screen.all_anew)
		clearok(curscr, TRUE);
	screen.all_anew = false;
	move(0, 0);
	refresh();
}

void top_redraw_all(void)
{
	screen.all_anew = true;
}

static void set(enum top_look look)
{
	attr_set(screen.attributes[look], screen.pairs[look], NULL);
}

/* ---- Text ------------------------------------------------------------------------------------ */

struct wide {
	wchar_t text[TEXT_SIZE];
	size_t length;
	int columns;
};

/* What is not text becomes '?'. */
static void widen(struct wide *wide, const char *from)
{
	mbstate_t state = { 0 };
	size_t left = strlen(from);

	wide->length = 0;
	wide->columns = 0;
	while (left > 0 && wide->length < TEXT_SIZE - 1) {
		wchar_t letter;
		size_t used = mbrtowc(&letter, from, left, &state);
		int width;

		if (used == 0 || used > left) {
			memset(&state, 0, sizeof(state));
			used = 1;
			letter = L'?';
		}
		width = wcwidth(letter);
		if (width <= 0) {
			letter = L'?';
			width = 1;
		}
		from += used;
		left -= used;
		wide->text[wide->length++] = letter;
		wide->columns += width;
	}
}

static void cut(struct wide *wide, int width)
{
	const wchar_t *dots = screen.unicode ? L"\u2026" : L"...";
	int dots_columns = screen.unicode ? 1 : 3;

	if (wide->columns <= width)
		return;
	if (width < dots_columns)
		dots_columns = 0;
	while (wide->columns > width - dots_columns && wide->length > 0)
		wide->columns -= wcwidth(wide->text[--wide->length]);
	if (dots_columns) {
		wmemcpy(wide->text + wide->length, dots, wcslen(dots));
		wide->length += wcslen(dots);
		wide->columns += dots_columns;
	}
}

static int put(int y, int x, int width, bool right, enum top_look look, const char *text)
{
	struct wide wide;

	if (width > top_columns() - x)
		width = top_columns() - x;
	if (width <= 0 || y < 0 || y >= top_rows())
		return 0;
	widen(&wide, text);
	cut(&wide, width);
	set(look);
	mvaddnwstr(y, right ? x + width - wide.columns : x, wide.text, (int)wide.length);
	set(LOOK_PLAIN);
	return wide.columns;
}

int top_text(int y, int x, int width, enum top_look look, const char *format, ...)
{
	char text[TEXT_SIZE];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	return put(y, x, width, false, look, text);
}

void top_text_right(int y, int x, int width, enum top_look look, const char *format, ...)
{
	char text[TEXT_SIZE];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	put(y, x, width, true, look, text);
}

void top_line(const struct top_list *list, size_t *line, enum top_look look, const char *format,
	      ...)
{
	size_t at = (*line)++;
	char text[TEXT_SIZE];
	va_list arguments;

	if (at < list->first || at >= list->first + (size_t)list->height)
		return;
	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	put(list->y + (int)(at - list->first), 0, top_columns(), false, look, text);
}

void top_mark_row(int y)
{
	mvaddnwstr(y, 0, L">", 1);
	mvchgat(y, 0, -1, A_REVERSE, 0, NULL);
}

/* ---- Pictures -------------------------------------------------------------------------------- */

void top_bar(int y, int x, int width, double part)
{
	const wchar_t *full = screen.unicode ? L"\u2501" : L"#";
	const wchar_t *half = screen.unicode ? L"\u257e" : L"#";
	const wchar_t *rest = screen.unicode ? L"\u2500" : L"-";
	int halves = part >= 1 ? width * 2 : part <= 0 ? 0 : (int)(part * width * 2 + 0.5);
	int n;

	if (part > 0 && halves == 0)
		halves = 1; /* a little is not nothing */
	move(y, x);
	for (n = 0; n < width; n++) {
		set(n * 2 >= halves ? LOOK_DIM
		    : part >= 0.95  ? LOOK_BAD
		    : part >= 0.8   ? LOOK_WARN
				    : LOOK_USED);
		addnwstr(n * 2 + 1 < halves ? full : n * 2 < halves ? half : rest, 1);
	}
	set(LOOK_PLAIN);
}

void top_spark(int y, int x, const int64_t *values, size_t count)
{
	static const wchar_t blocks[] = L"\u2581\u2582\u2583\u2584\u2585\u2586\u2587\u2588";
	static const wchar_t letters[] = L"_.-:=+*#";
	const wchar_t *levels = screen.unicode ? blocks : letters;
	int64_t most = 0;
	size_t n;

	for (n = 0; n < count; n++)
		most = values[n] > most ? values[n] : most;
	move(y, x);
	for (n = 0; n < count; n++) {
		double part = most > 0 ? (double)values[n] / (double)most : 0;
		size_t level = values[n] <= 0 ? 0 : (size_t)(part * 7 + 0.5);

		addnwstr(values[n] < 0 ? L" " : &levels[level > 7 ? 7 : level], 1);
	}
}

/* ---- Tables ---------------------------------------------------------------------------------- */

void top_table_heads(const struct top_table *table, int sort, bool reversed)
{
	int n;

	for (n = 0; n < table->count; n++) {
		const char *head = table->columns[n].head;
		const char *mark = reversed ? "^" : "v";
		enum top_look look = n == sort ? LOOK_HEAD : LOOK_DIM;

		if (!table->width[n])
			continue;
		if (n != sort)
			mark = "";
		else if (screen.unicode)
			mark = reversed ? "\u25b4" : "\u25be";
		if (table->columns[n].left)
			top_text(table->y, table->x[n], table->width[n], look, "%s%s", head, mark);
		else
			top_text_right(table->y, table->x[n], table->width[n], look, "%s%s", mark,
				       head);
	}
}

void top_cell(const struct top_table *table, int column, int y, enum top_look look,
	      const char *format, ...)
{
	char text[TEXT_SIZE];
	va_list arguments;

	if (!table->width[column])
		return;
	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	put(y, table->x[column], table->width[column], !table->columns[column].left, look, text);
}

void top_cell_bytes(const struct top_table *table, int column, int y, int64_t bytes, bool at_least)
{
	char text[TEXT_MAX];

	text_bytes(text, bytes);
	top_cell(table, column, y, LOOK_PLAIN, "%s%s", at_least ? ">=" : "", text);
}

void top_cell_count(const struct top_table *table, int column, int y, uint64_t count)
{
	char text[TEXT_MAX];

	text_short_count(text, count);
	top_cell(table, column, y, LOOK_PLAIN, "%s", text);
}
