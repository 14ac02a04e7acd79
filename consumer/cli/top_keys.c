/* SPDX-License-Identifier: Apache-2.0 */
/* Keys and mouse of `tally top`. */
#include <stdlib.h>
#include <string.h>
#include <wchar.h>

#include "top.h"

#define CTRL(letter) ((letter)&0x1f)
#define WHEEL_LINES 3

/* ---- Views ----------------------------------------------------------------------------------- */

void top_show_view(struct top *top, enum top_view view)
{
	top->help = false;
	if (view == VIEW_BUFFERS)
		top_feed_read_buffers(&top->feed);
	if (view == VIEW_PROCESS && top->shown_id != top->model.selected_id) {
		top->shown_id = top->model.selected_id;
		top->process.first = 0;
	}
	top->view = view;
}

/* The list that keys move in. */
static struct top_list *list_of(struct top *top)
{
	if (top->help)
		return &top->help_list;
	switch (top->view) {
	case VIEW_PROCESS:
		return &top->process;
	case VIEW_BUFFERS:
		return &top->kept;
	case VIEW_COST:
		return &top->cost;
	case VIEW_MAIN:
	case VIEW_COUNT:
		break;
	}
	return top->devices_focused ? &top->devices : &top->processes;
}

static void move(struct top *top, struct top_list *list, long by)
{
	top_list_move(list, by);
	if (list == &top->processes)
		top_model_select(&top->model, list->cursor);
}

/* ---- Order and filters ----------------------------------------------------------------------- */

/* What is shown is another, or in another order. */
static void changed(struct top *top)
{
	top_model_changed(&top->model);
	top->buffers.stale = true;
}

/* Buffers are sorted by the first two of their columns. */
static void sort_by(struct top *top, int column)
{
	if (column < 0)
		return;
	if (top->view == VIEW_BUFFERS) {
		if (column > 1)
			return;
		top->buffers.reversed = top->buffers.sort == column && !top->buffers.reversed;
		top->buffers.sort = column;
	} else if (column != COLUMN_DEVICES) {
		top->model.reversed = (int)top->model.sort == column && !top->model.reversed;
		top->model.sort = (enum top_column_id)column;
	}
	changed(top);
}

static void sort_beside(struct top *top, int by)
{
	int now = top->view == VIEW_BUFFERS ? top->buffers.sort : (int)top->model.sort;
	int next = top_table_next(&top->table, now, by);

	if (top->table.count && next != now)
		sort_by(top, next);
}

static void reverse(struct top *top)
{
	if (top->view == VIEW_BUFFERS)
		top->buffers.reversed = !top->buffers.reversed;
	else
		top->model.reversed = !top->model.reversed;
	changed(top);
}

static void begin_prompt(struct top *top, enum top_prompt prompt)
{
	size_t size;

	top->help = false;
	if (top->view != VIEW_BUFFERS)
		top->view = VIEW_MAIN;
	top->prompt = prompt;
	snprintf(top->before, sizeof(top->before), "%s", top_prompt_text(top, &size));
}

/* A letter more; any but what would not be seen. */
static void type(char *text, size_t size, uint32_t key)
{
	char bytes[16];
	int length;

	if (key < ' ' || key == 0x7f || key >= TOP_KEY_UP)
		return;
	length = snprintf(bytes, sizeof(bytes), "%lc", (wint_t)key);
	if (length > 0 && strlen(text) + (size_t)length < size)
		strcat(text, bytes);
}

static void take_back(char *text)
{
	size_t length = strlen(text);

	while (length > 0 && ((unsigned char)text[length - 1] & 0xc0) == 0x80)
		length--; /* the bytes of a letter that go before its last */
	text[length ? length - 1 : 0] = '\0';
}

/* What is shown follows what is typed. */
static void take_prompt_key(struct top *top, uint32_t key)
{
	size_t size;
	char *text = top_prompt_text(top, &size);

	switch (key) {
	case TOP_KEY_ENTER:
		top->prompt = PROMPT_NONE;
		return;
	case TOP_KEY_ESCAPE:
		snprintf(text, size, "%s", top->before);
		top->prompt = PROMPT_NONE;
		break;
	case TOP_KEY_BACKSPACE:
		take_back(text);
		break;
	case CTRL('u'):
		text[0] = '\0';
		break;
	default:
		type(text, size, key);
	}
	changed(top);
}

/* ---- Mouse ----------------------------------------------------------------------------------- */

static bool is_in(const struct top_list *list, int y)
{
	return y >= list->y && y < list->y + list->height;
}

static void click(struct top *top, int y, int x)
{
	struct top_list *list = list_of(top);
	size_t row;

	if (y == 0) {
		static const int ends[VIEW_COUNT] = { 18, 29, 40, 48 };
		int view;

		for (view = 0; view < VIEW_COUNT && x >= 10; view++)
			if (x < ends[view]) {
				top_show_view(top, (enum top_view)view);
				return;
			}
		return;
	}
	if (top->table.count && y == top->table.y && !top->help) {
		sort_by(top, top_table_hit(&top->table, x));
		return;
	}
	if (top->view == VIEW_MAIN && !top->help) {
		top->devices_focused = is_in(&top->devices, y) &&
				       top->devices.count > (size_t)top->devices.height;
		list = &top->processes;
	}
	row = list->first + (size_t)(y - list->y);
	if (list->plain || !is_in(list, y) || row >= list->count)
		return;
	if (list == &top->processes && row == top->model.selected)
		top_show_view(top, VIEW_PROCESS);
	else
		move(top, list, (long)row - (long)list->cursor);
}

static void wheel(struct top *top, int y, long by)
{
	struct top_list *list = list_of(top);

	if (top->view == VIEW_MAIN && !top->help)
		list = is_in(&top->devices, y) ? &top->devices : &top->processes;
	move(top, list, by);
}

/* ---- Keys ------------------------------------------------------------------------------------ */

static bool take_moving_key(struct top *top, uint32_t key)
{
	struct top_list *list = list_of(top);
	long page = list->height > 1 ? list->height - 1 : 1;

	switch (key) {
	case TOP_KEY_UP:
	case 'k':
		move(top, list, -1);
		return true;
	case TOP_KEY_DOWN:
	case 'j':
		move(top, list, 1);
		return true;
	case TOP_KEY_PAGE_UP:
		move(top, list, -page);
		return true;
	case TOP_KEY_PAGE_DOWN:
	case ' ':
		move(top, list, page);
		return true;
	case TOP_KEY_HOME:
	case 'g':
		move(top, list, -(long)list->count);
		return true;
	case TOP_KEY_END:
	case 'G':
		move(top, list, (long)list->count);
		return true;
	default:
		return false;
	}
}

static bool take_view_key(struct top *top, uint32_t key)
{
	switch (key) {
	case '1':
	case 'm':
		top_show_view(top, VIEW_MAIN);
		return true;
	case '2':
		top_show_view(top, VIEW_PROCESS);
		return true;
	case TOP_KEY_ENTER:
		if (top->view == VIEW_MAIN && !top->help)
			top_show_view(top, VIEW_PROCESS);
		return true;
	case '3':
	case 'b':
		top_show_view(top, VIEW_BUFFERS);
		return true;
	case '4':
	case 'c':
		top_show_view(top, VIEW_COST);
		return true;
	case TOP_KEY_ESCAPE:
		if (top->help)
			top->help = false;
		else
			top->view = VIEW_MAIN;
		return true;
	case '?':
	case 'h':
		top->help = !top->help;
		top->help_list.first = 0;
		return true;
	default:
		return false;
	}
}

static void take_list_key(struct top *top, uint32_t key)
{
	switch (key) {
	case '<':
		sort_beside(top, -1);
		break;
	case '>':
		sort_beside(top, 1);
		break;
	case 'r':
		reverse(top);
		break;
	case '/':
		begin_prompt(top, PROMPT_TEXT);
		break;
	case 'd':
		begin_prompt(top, PROMPT_DEVICE);
		break;
	case 'p':
		begin_prompt(top, PROMPT_POOL);
		break;
	case 'x':
		memset(&top->model.filter, 0, sizeof(top->model.filter));
		changed(top);
		break;
	case TOP_KEY_TAB:
		top->devices_focused = top->view == VIEW_MAIN && !top->devices_focused &&
				       top->devices.count > (size_t)top->devices.height;
		break;
	case CTRL('l'):
		top_redraw_all();
		break;
	default:
		break;
	}
}

static void take_key(struct top *top, uint32_t key, int y, int x)
{
	top->message[0] = '\0';
	if (key == TOP_KEY_WHEEL_UP || key == TOP_KEY_WHEEL_DOWN) {
		wheel(top, y, key == TOP_KEY_WHEEL_UP ? -WHEEL_LINES : WHEEL_LINES);
	} else if (key == TOP_KEY_CLICK) {
		top->prompt = PROMPT_NONE;
		click(top, y, x);
	} else if (top->prompt != PROMPT_NONE) {
		take_prompt_key(top, key);
	} else if (key == 'q') {
		top->quit = !top->help;
		top->help = false;
	} else if (!take_view_key(top, key) && !take_moving_key(top, key)) {
		take_list_key(top, key);
	}
}

void top_keys_take(struct top *top)
{
	int y = 0, x = 0;
	uint32_t key;

	while (!top->quit && (key = top_term_key(&y, &x)) != KEY_NONE_LEFT)
		take_key(top, key, y, x);
}
