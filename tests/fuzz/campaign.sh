#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Runs one fuzz target for long, in several processes, and keeps what it finds.
# usage: tests/fuzz/campaign.sh TARGET SECONDS DIR [WORKERS]
#
# TARGET is a program that `make fuzz` built; it and this folder are all that is needed: neither a
# compiler nor a library but the C library's. Under DIR: corpus/ (every input that reached something
# new; a later campaign goes on from there), minimized/ (the few that reach as much), found/ (inputs
# that failed), log and summary. The exit status is 1 if anything was found.
set -u -o pipefail
shopt -s nullglob

if (($# < 3)); then
	sed -n 's/^# usage: /usage: /p' "$0" >&2
	exit 2
fi
target=$(realpath "$1") seconds=$2
mkdir -p "$3" || exit 1
out=$(realpath "$3")
workers=${4:-$(nproc)}
seeds=$(realpath "$(dirname "$0")")/corpus/${target##*/fuzz_}

unset ${!TALLY*} LD_PRELOAD
export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_stack_use_after_return=1}
export UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1}
mkdir -p "$out/corpus" "$out/minimized" "$out/found"
cd "$out" || exit 1

# A slow machine is not a hang, but 25 s for an input of a millisecond is.
common=(-max_len=1028 -detect_leaks=0 -timeout=25 -rss_limit_mb=4096 -artifact_prefix=found/)
start_s=$SECONDS
nice -n 10 "$target" "${common[@]}" -fork="$workers" -ignore_crashes=1 -ignore_timeouts=1 \
	-ignore_ooms=1 -max_total_time="$seconds" corpus "$seeds" >log 2>&1
status=$?
took_s=$((SECONDS - start_s))
nice -n 10 "$target" "${common[@]}" -merge=1 minimized corpus "$seeds" >merge.log 2>&1
found=(found/*)
{
	echo "target: ${target##*/}, $workers workers, $took_s s, exit status $status"
	# "#N: cov: C ft: F corp: ..." is the last word of the fork mode about all of them
	grep -E '^#[0-9]+: cov:' log | tail -n 1
	echo "corpus: $(ls corpus | wc -l) inputs, minimized $(ls minimized | wc -l)"
	echo "found: ${#found[@]}"
	((${#found[@]} == 0)) || printf '  %s\n' "${found[@]/#/$out/}"
} | tee summary
((${#found[@]} == 0))
