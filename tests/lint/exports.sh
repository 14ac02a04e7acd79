#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What a shared library exports is what its header declares, no more and no less.
# usage: BUILD=... tests/lint/exports.sh
build=${BUILD:-build}
status=0

exported() # library
{
	nm -D --defined-only "$1" | awk '$2 != "A" { sub(/@.*/, "", $3); print $3 }' | sort
}

declared() # header; gcc lists every declaration it has seen, with its place
{
	gcc -fsyntax-only -Iinclude -aux-info /dev/stdout -x c "$1" |
		sed -nE "s|^/\* $1:.*\*/ extern [^(]*\b(\w+) \(.*|\1|p" | sort
}

same() # library header
{
	diff <(exported "$1") <(declared "$2") >/dev/null && return
	echo "$1 and $2 differ:"
	comm -23 <(exported "$1") <(declared "$2") | sed 's/$/: exported, not declared/'
	comm -13 <(exported "$1") <(declared "$2") | sed 's/$/: declared, not exported/'
	status=1
}

[[ -n $(declared include/tally/tally.h) ]] || exit 1
same "$build/libtally.so" include/tally/tally.h
same "$build/libtally-consumer.so" include/tally/consumer.h

# The adapter stands in for the C library's allocator and for nothing else.
strange=$(exported "$build/libtally-malloc.so" | grep -vxE \
	'malloc|free|calloc|realloc|reallocarray|memalign|aligned_alloc|posix_memalign|p?valloc')
[[ -z $strange ]] || {
	echo "$build/libtally-malloc.so exports more than an allocator:" $strange
	status=1
}

# Archives: names with external linkage are the same, so that nobody's program clashes with ours.
archive() # archive header
{
	diff <(nm -g --defined-only "$1" | awk 'NF == 3 { print $3 }' | sort) <(declared "$2") || {
		echo "$1: names (<) are not those of $2 (>)"
		status=1
	}
}
archive "$build/libtally.a" include/tally/tally.h
archive "$build/libtally-consumer.a" include/tally/consumer.h
exit $status
