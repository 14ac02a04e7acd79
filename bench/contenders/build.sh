#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Builds a contender, or writes down why it cannot be built: NAME.so or NAME.absent.
# usage: bench/contenders/build.sh SOURCE NAME.so COMPILER ARGUMENT...
#
# NAME.absent says, a line each: the package that is missing, what the contender could do.
source=$1 out=$2
shift 2
absent=${out%.so}.absent
rm -f "$out" "$absent"

said() # word: what the source's first comment says of it
{
	sed -nE "2,/\*\/\$/s|^ \*\s+$1: (.*)$|\1|p" "$source"
}

language=c
[[ $source != *.cpp ]] || language=c++
flags=$(eval "echo \"$(said flags)\"")
for header in $(said header); do
	"$@" $flags -E -x "$language" -o /dev/null - <<<"#include <$header>" 2>/dev/null && continue
	{
		said package
		grep -oE 'CONTENDER_(MANY|PROCESSES)' "$source" | sort -u | tr '\n' ' '
	} >"$absent"
	exit 0
done
exec "$@" -shared -o "$out" "$source" $flags
