#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Runs test programs one after the other and adds up their test cases.
# usage: tests/run.sh PROGRAM...
#
# A cmocka program counts as many cases as it says; one that crashes, times out, runs no test or
# fails without saying which counts a failed one more. A script (.sh, .pl, .py) is one case, judged
# by its exit status. What a run leaves behind - a region in /dev/shm, a process - is a failed case.
# The last line is `N passed, N failed`; the exit status is 1 if any failed.
set -u -o pipefail
shopt -s nullglob

limit_s=${TIMEOUT_S:-240}
passed=0 failed=0
log=$(mktemp) || exit 1
trap 'rm -f "$log"' EXIT

unset ${!TALLY*} TT_ALLOC_TRACKING_ENABLED LD_PRELOAD # a user's own settings are not what is tested
export ASAN_OPTIONS=${ASAN_OPTIONS:-detect_stack_use_after_return=1}
export UBSAN_OPTIONS=${UBSAN_OPTIONS:-print_stacktrace=1}
export TSAN_OPTIONS=${TSAN_OPTIONS:-halt_on_error=1 second_deadlock_stack=1}
read -ra before <<<"${EMULATOR:-}" # what a test of another architecture runs under
# clang 14's ThreadSanitizer cannot live with all the address randomness of newer kernels.
if [[ ${SAN:-} == *thread* ]] && setarch -R true 2>/dev/null; then
	before=(setarch -R)
fi

fail() # what
{
	failed=$((failed + 1))
	echo "FAILED: $*"
}

sum() # regular expression with one group, a number: its sum over the log's lines
{
	sed -nE "s/^$1.*/\1/p" "$log" | awk '{ n += $1 } END { print n + 0 }'
}

# Regions whose process has gone; what a living one has is its own. Those that are joined by name do
# not say whose they are; tests make them in directories of their own, which are looked at anyway.
regions()
{
	local file pid
	for file in /dev/shm/{,.}tally-"$(id -u)"-*; do
		pid=${file#*tally-*-}
		[[ $pid != join-* ]] || continue
		[[ -d /proc/${pid%%-*} ]] || echo "$file"
	done
}

# Processes that a test has started, or that one has started, whatever they run by now.
processes()
{
	grep -lzx "TEST_RUN=$$" /proc/[0-9]*/environ 2>/dev/null | cut -d/ -f3
}

run_cmocka() # program
{
	local ok bad skipped promised status
	# To a file, not a pipe: a daemon left behind would hold a pipe open.
	TEST_RUN=$$ timeout -k 10 "$limit_s" "${before[@]}" "$1" </dev/null >"$log" 2>&1
	status=$?
	cat "$log"
	ok=$(sum '\[  PASSED  \] ([0-9]+) test\(s\)')
	bad=$(sum '\[  FAILED  \] ([0-9]+) test\(s\), listed below')
	skipped=$(sum '\[  SKIPPED \] ([0-9]+) test\(s\), listed below')
	promised=$(sum '\[==========\] .*[Rr]unning ([0-9]+) test\(s\)')
	if ((ok + bad + skipped < promised)); then # no summary: count what it said on the way
		ok=$(grep -c '^\[       OK \]' "$log")
		bad=$(grep -cE '^\[  (FAILED|ERROR)   ?\]' "$log")
	fi
	passed=$((passed + ok))
	failed=$((failed + bad))
	((skipped == 0)) || echo "note: $1 skipped $skipped test(s)"
	if ((status == 124 || status == 137)); then
		fail "$1 was stopped after $limit_s s"
	elif ((status > 128)); then
		fail "$1 was killed by signal $((status - 128))"
	elif ((promised == 0)); then
		fail "$1 ran no test (exit status $status)"
	elif ((ok + bad + skipped < promised)); then
		fail "$1 ended after $((ok + bad)) of $promised tests (exit status $status)"
	elif ((status != 0 && bad == 0)); then
		fail "$1 ended with status $status"
	fi
}

run_script() # script
{
	local status
	TEST_RUN=$$ timeout -k 10 "$limit_s" "$1" </dev/null >"$log" 2>&1
	status=$?
	cat "$log"
	if ((status == 0)); then
		passed=$((passed + 1))
	elif ((status == 124 || status == 137)); then
		fail "$1 was stopped after $limit_s s"
	else
		fail "$1 (exit status $status)"
	fi
}

regions_before=$(regions)
(($#)) || fail "no test to run"
for program; do
	start_s=$SECONDS
	echo "== $program"
	case $program in
	*.sh | *.pl | *.py) run_script "$program" ;;
	*) run_cmocka "$program" ;;
	esac
	echo "== $program: $((SECONDS - start_s)) s"
done

for ((tries = 0; tries < 30; tries++)); do # what was just killed may still be on its way out
	[[ -n $(processes) ]] || break
	sleep 0.1
done
for pid in $(processes); do
	fail "left running: $pid $(tr '\0' ' ' <"/proc/$pid/cmdline")"
done
for file in $(comm -13 <(echo "$regions_before") <(regions)); do
	fail "left in shared memory: $file"
done

echo "$passed passed, $failed failed"
((failed == 0))
