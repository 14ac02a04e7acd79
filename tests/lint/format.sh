#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The layout of every C and C++ file is what .clang-format says; shows what is not. With -i: makes
# it so.
status=0
for file in $(find include ring producer consumer bench tests \
	-name '*.[ch]' -o -name '*.[ch]pp' 2>/dev/null | sort); do
	if [[ ${1:-} == -i ]]; then
		clang-format --style=file -i "$file"
	else
		clang-format --style=file "$file" | diff -u --label "$file" "$file" \
			--label 'by clang-format' -
	fi || status=1
done
((status == 0)) || echo '`make format` does it'
exit $status
