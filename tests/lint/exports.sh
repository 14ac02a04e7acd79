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

declared() # header...; gcc lists every declaration it has seen, with its place
{
	local header
	for header; do
		gcc -fsyntax-only -Iinclude -aux-info /dev/stdout -x c "$header" |
			sed -nE "s|^/\* $header:.*\*/ extern [^(]*\b(\w+) \(.*|\1|p"
	done | sort
}

same() # library header...
{
	local library=$1
	shift
	diff <(exported "$library") <(declared "$@") >/dev/null && return
	echo "$library and $* differ:"
	comm -23 <(exported "$library") <(declared "$@") | sed 's/$/: exported, not declared/'
	comm -13 <(exported "$library") <(declared "$@") | sed 's/$/: declared, not exported/'
	status=1
}

[[ -n $(declared include/tally/tally.h) ]] || exit 1
producer=(include/tally/tally.h include/tally/ids.h include/tally/proxy.h)
same "$build/libtally.so" "${producer[@]}"
same "$build/libtally-consumer.so" include/tally/consumer.h

# The adapter stands in for the C library's allocator and for nothing else.
strange=$(exported "$build/libtally-malloc.so" | grep -vxE \
	'malloc|free|calloc|realloc|reallocarray|memalign|aligned_alloc|posix_memalign|p?valloc')
[[ -z $strange ]] || {
	echo "$build/libtally-malloc.so exports more than an allocator:" $strange
	status=1
}

# Archives: names with external linkage are the same, so that nobody's program clashes with ours.
archive() # archive header...
{
	local library=$1
	shift
	diff <(nm -g --defined-only "$library" | awk 'NF == 3 { print $3 }' | sort) \
		<(declared "$@") || {
		echo "$library: names (<) are not those of $* (>)"
		status=1
	}
}
archive "$build/libtally.a" "${producer[@]}"
archive "$build/libtally-consumer.a" include/tally/consumer.h
exit $status
