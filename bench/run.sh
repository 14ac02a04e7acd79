#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Runs benchmarks, one after the other, and gathers what they found in results.json beside them.
# usage: BUILD=... bench/run.sh [--quick] [--only SUBSTRING] -- NAME...
build=${BUILD:-build}/bench
flags=()
while (($#)) && [[ $1 != -- ]]; do
	flags+=("$1")
	shift
done
shift
status=0 found=()
for name in "$@"; do
	echo "== $name"
	rm -f "$build/$name.json"
	"$build/$name" --json "$build/$name.json" "${flags[@]}" || status=1
	[[ ! -e $build/$name.json ]] || found+=("$build/$name.json")
done
python3 bench/merge.py "${found[@]}" >"$build/results.json" || status=1
echo "== $build/results.json"
exit $status
