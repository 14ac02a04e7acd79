#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Runs each fuzz target over its corpus, then for FUZZ_S seconds on inputs of its own making.
# usage: BUILD=... [FUZZ_S=20] tests/fuzz/run.sh TARGET...
#
# Each file of the corpus is a case, and the new inputs together are one. An input that fails is
# kept under BUILD/fuzz-found/, and said; `TARGET FILE` runs it again, with FUZZ_EXPLAIN=1 in words.
# The last line is `N passed, N failed`.
set -u -o pipefail
shopt -s nullglob

here=$(dirname "$0")
found=$BUILD/fuzz-found
passed=0 failed=0
log=$(mktemp) || exit 1
new=$(mktemp -d) || exit 1
trap 'rm -rf "$log" "$new"' EXIT

unset ${!TALLY*} LD_PRELOAD # a user's own settings are not what is tested
mkdir -p "$found" || exit 1

fail() # what
{
	failed=$((failed + 1))
	echo "FAILED: $*"
}

replay() # file...
{
	timeout -k 10 200 "$target" -timeout=60 -artifact_prefix="$found/" "$@" >"$log" 2>&1 &&
		(($(grep -c '^Executed' "$log") == $#))
}

for target; do
	corpus=$here/corpus/${target##*/fuzz_}
	echo "== $target"
	files=("$corpus"/*)
	# All in one go; only when one fails, one after the other.
	if replay "${files[@]}"; then
		passed=$((passed + ${#files[@]}))
	else
		for file in "${files[@]}"; do
			if replay "$file"; then
				passed=$((passed + 1))
			else
				cat "$log"
				fail "$target $file"
			fi
		done
	fi
	mkdir -p "$new/${target##*/}"
	# Leaks of the long-lived consumer would be looked for after every input, and found at none.
	if timeout -k 10 $((FUZZ_S * 2 + 120)) "$target" -seed=1 -max_total_time="$FUZZ_S" \
		-timeout=60 -max_len=1028 -detect_leaks=0 -print_final_stats=1 \
		-artifact_prefix="$found/" "$new/${target##*/}" "$corpus" >"$log" 2>&1; then
		passed=$((passed + 1))
		grep -E 'cov:.*DONE|^stat::number_of_executed_units|^stat::average' "$log"
	else
		tail -n 60 "$log"
		input=$(sed -n 's/.*Test unit written to //p' "$log")
		fail "$target on an input of its own making${input:+: $input}"
	fi
done

echo "$passed passed, $failed failed"
((failed == 0))
