#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# A folder's include path ends at the floors below it: a header of another is not found there.
# usage: CC=... SEE_ring='-I...' SEE_producer='-I...' ... tests/lint/floors.sh
#        (the include paths that the Makefile compiles each folder with)
status=0
declare -A allowed=(
	[ring]='ring'
	[producer]='ring producer'
	[producer_adapters_malloc]=''
	[producer_adapters_tt_metal]=''
	[consumer]='ring consumer'
	[consumer_cli]=''
	[consumer_gateway]=''
	[bench]='ring producer consumer bench'
	[bench_harness]='ring bench'
	[bench_contenders]='ring bench'
	[bench_reporters]='ring bench'
	[bench_reporters_provider]='ring bench'
	[tests]='ring producer consumer tests'
	[tests_prog]='tests'
	[tests_fuzz]='ring producer consumer tests'
)

source=$(mktemp --suffix=.c) || exit 1 # outside of the tree, or its own folder would be searched
trap 'rm -f "$source"' EXIT
for folder in "${!allowed[@]}"; do
	see=SEE_$folder
	[[ -n ${!see} ]] || echo "$see is not given"
	for floor in ring producer consumer bench tests; do
		header=$(find "$floor" -maxdepth 1 -name '*.h' 2>/dev/null | head -n 1)
		[[ -n $header ]] || continue
		should=0
		[[ " ${allowed[$folder]} " != *" $floor "* ]] || should=1
		cat >"$source" <<-END
			#if __has_include("$header") != $should
			#error $folder: a header of $floor is found: not $should
			#endif
		END
		${CC:-gcc} -fsyntax-only ${!see} "$source" || status=1
	done
done

# Ways around it: up and down again, and from a library into what stands on it.
find include ring producer consumer bench tests '(' -name '*.[ch]' -o -name '*.[ch]pp' ')' -print0 \
	2>/dev/null |
	xargs -0 grep -nHE '^[[:space:]]*#[[:space:]]*include[[:space:]]*["<][^">]*\.\./' &&
	status=1
grep -nE '^[[:space:]]*#[[:space:]]*include.*(producer/adapters|consumer/cli|consumer/gateway)/' \
	/dev/null $(find ring producer consumer -maxdepth 1 -name '*.[ch]') && status=1
exit $status
