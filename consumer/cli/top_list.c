/* SPDX-License-Identifier: Apache-2.0 */
/* Lists that scroll, and tables whose columns come and go with the width of the screen. */
#include <string.h>

#include "top.h"

void top_list_place(struct top_list *list, size_t count, int y, int height)
{
	size_t rows = height > 0 ? (size_t)height : 0;

	list->count = count;
	list->y = y;
	list->height = height;
	if (!list->plain) {
		if (list->cursor >= count)
			list->cursor = count ? count - 1 : 0;
		if (list->cursor < list->first)
			list->first = list->cursor;
		if (rows && list->cursor >= list->first + rows)
			list->first = list->cursor - rows + 1;
	}
	if (list->first + rows > count)
		list->first = count > rows ? count - rows : 0;
}

void top_list_move(struct top_list *list, long by)
{
	size_t *at = list->plain ? &list->first : &list->cursor;

	if (by < 0)
		*at = *at > (size_t)-by ? *at - (size_t)-by : 0;
	else if (list->count)
		*at = *at + (size_t)by < list->count ? *at + (size_t)by : list->count - 1;
}

static int lay_out(const struct top_column *columns, int count, uint32_t shown)
{
	int n, width = 0;

	for (n = 0; n < count; n++)
		if (shown & (1u << n))
			width += columns[n].width + 1;
	return width - 1;
}

static uint32_t without_least(const struct top_column *columns, int count, uint32_t shown)
{
	int n, least = -1;

	for (n = 0; n < count; n++)
		if ((shown & (1u << n)) && (least < 0 || columns[n].rank < columns[least].rank))
			least = n;
	return least < 0 ? 0 : shown & ~(1u << least);
}

/* What is left goes to those that may grow, a column each in turn. */
static void grow(struct top_table *table, uint32_t shown, int spare)
{
	bool grown = true;
	int n;

	while (spare > 0 && grown) {
		grown = false;
		for (n = 0; n < table->count && spare > 0; n++)
			if ((shown & (1u << n)) && table->width[n] < table->columns[n].width_max) {
				table->width[n]++;
				spare--;
				grown = true;
			}
	}
}

void top_table_lay(struct top_table *table, const struct top_column *columns, int count,
		   uint32_t wanted, int width)
{
	int n, x = 1; /* the first column on the screen marks the row that is selected */

	while (wanted && lay_out(columns, count, wanted) + x > width)
		wanted = without_least(columns, count, wanted);
	memset(table, 0, sizeof(*table));
	table->columns = columns;
	table->count = count;
	for (n = 0; n < count; n++)
		if (wanted & (1u << n))
			table->width[n] = columns[n].width;
	grow(table, wanted, width - x - lay_out(columns, count, wanted));
	for (n = 0; n < count; n++) {
		table->x[n] = x;
		x += table->width[n] ? table->width[n] + 1 : 0;
	}
}

int top_table_hit(const struct top_table *table, int x)
{
	int n;

	for (n = 0; n < table->count; n++)
		if (table->width[n] && x >= table->x[n] && x <= table->x[n] + table->width[n])
			return n;
	return -1;
}

int top_table_next(const struct top_table *table, int column, int by)
{
	int n;

	for (n = column + by; n >= 0 && n < table->count; n += by)
		if (table->width[n])
			return n;
	return column;
}
