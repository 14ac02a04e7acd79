#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Every source starts with its licence; nothing is wider than 100 columns or ends in white space.
status=0
licence='/* SPDX-License-Identifier: Apache-2.0 */'

c_files=$(find include ring producer consumer bench tests -name '*.[ch]' -o -name '*.[ch]pp' \
	2>/dev/null)
for file in $c_files; do
	[[ $(head -n 1 "$file") == "$licence" ]] || {
		echo "$file:1: does not start with $licence"
		status=1
	}
done

others=$(find Makefile .ci tests -type f \( -name '*.sh' -o -name '*.pl' -o -name '*.py' \
	-o -name Makefile -o -name run \) 2>/dev/null)
for file in $others; do
	head -n 2 "$file" | grep -q 'SPDX-License-Identifier: Apache-2.0' || {
		echo "$file:2: does not name its licence"
		status=1
	}
done
for file in $c_files $others; do
	grep -nHE '[[:blank:]]+$' "$file" && echo "$file: has white space at the end of lines" &&
		status=1
	# A tab is eight columns wide.
	expand "$file" | LC_ALL=C.UTF-8 grep -nE '^.{101}' && echo "$file: is over 100 columns" &&
		status=1
done
exit $status
