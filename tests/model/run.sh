#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Checks every interleaving of the shared ring's model, and that breaking the model is noticed.
# usage: BUILD=build tests/model/run.sh [long]
#
# A case is one variant of the model's constants, searched completely and without an error; or one
# fault put into the model, which the assertion meant for it must find. The last case is that every
# step of the model was taken in some variant. The last line is `N passed, N failed`.
set -u -o pipefail

build=$(realpath -m "${BUILD:-build}") || exit 1
source=$PWD/tests/model/shared_ring.pml
mkdir -p "$build" || exit 1
dir=$(mktemp -d "$build/model.XXXXXX") || exit 1
trap 'rm -rf "$dir"' EXIT
long=0 jobs_max=2 memory_mb=950 depth_max=10000 collapse=() # both at once stay under 2 GB
if [[ ${1:-} == long ]]; then
	long=1 memory_mb=7000 collapse=(-DCOLLAPSE)
fi

say() # PASSED or FAILED, words: the case's result
{
	echo "$1: ${*:2}"
	echo "$1" >"$here/result"
}

# A case runs beside the next ones, in a directory of its own, $here.
start() # name, then a function and its arguments
{
	while (($(jobs -rp | wc -l) >= jobs_max)); do
		wait -n
	done
	here=$dir/$1
	mkdir "$here" && echo FAILED >"$here/result" # until it has said otherwise
	(cd "$here" && "${@:2}") &
}

# Generates, compiles and runs the search of model.pml; what it said is in the file log.
search() # option of the search, then words P=3 for -DP=3
{
	spin -a "${@:2}" model.pml >log 2>&1 &&
		gcc "$optimize" -w -DSAFETY -DNOREDUCE -DMEMLIM="$memory_mb" "${collapse[@]}" \
			-o pan pan.c >>log 2>&1 &&
		./pan -m"$depth_max" -w"$hash_log2" "$1" >>log 2>&1
}

states() # stored by the search
{
	sed -nE 's/^ *([0-9.e+]+) states, stored.*/\1/p' log
}

# Whether the search came to its end, and how far that was.
complete()
{
	[[ -n $(states) && $(states) != 0 ]] && grep -q 'errors: ' log &&
		! grep -qE 'not completed|depth too small|MEMLIM bound|out of memory' log
}

sound() # definitions
{
	cp "$source" model.pml
	optimize=-O2 hash_log2=24 search -c1 "$@" && complete && grep -q 'errors: 0$' log || {
		cat log
		say FAILED "${@#-D}"
		return
	}
	say PASSED "$(states) states: ${*#-D}"
	grep -o 'model.pml:[0-9]*, state.*' log | grep -v -- '"-end-"' >unreached
}

# All errors of a small variant are looked for: the assertion meant is to be one of them.
broken() # the fault in words, what the assertion says, the fault as a program for sed, definitions
{
	local name=$1 words=$2 fault=$3
	shift 3
	sed -E "$fault" "$source" >model.pml
	if cmp -s "$source" model.pml; then
		say FAILED "$name: nothing there to be broken"
	elif ! optimize=-O0 hash_log2=18 search -c0 "$@" || ! complete; then
		cat log
		say FAILED "$name: no search"
	elif ! grep -F 'assertion violated' log | grep -F -- "$words" >found; then
		grep -vF 'assertion violated' log
		say FAILED "$name: is not noticed by $words"
	else
		say PASSED "noticed: $name"
	fi
}

# A search that does not get to its end is no proof.
cut_short() # the limit's name, its value, definitions
{
	local -n limit=$1
	limit=$2
	shift 2
	cp "$source" model.pml
	optimize=-O0 hash_log2=10 search -c1 "$@"
	if complete; then
		say FAILED "a search with ${!limit} = $limit passes for complete"
	else
		say PASSED "noticed: a search with ${!limit} = $limit is not complete"
	fi
}

variants() # one a line: definitions of the model's constants
{
	local line n=0
	while read -r line; do
		read -ra line <<<"$line"
		start variant$((++n)) sound "${line[@]/#/-D}"
	done
}

if ((long)); then
	variants <<-'END'
		PRODUCERS=3 SLOTS=2 GROUP=2 EXTRA=1 TRIES=2 DEATHS=1 JOINS=1 DRAINS=1
		PRODUCERS=3 SLOTS=2 GROUP=1 EXTRA=1 TRIES=2 DEATHS=1 JOINS=1 DRAINS=1
		PRODUCERS=3 SLOTS=4 GROUP=2 EXTRA=1 TRIES=2 DEATHS=1 JOINS=1 DRAINS=2
		PRODUCERS=3 SLOTS=2 GROUP=2 EXTRA=0 TRIES=3 DEATHS=3 JOINS=3 DRAINS=2
		PRODUCERS=2 SLOTS=2 GROUP=2 EXTRA=4 TRIES=2 DEATHS=1 JOINS=1 DRAINS=2
		PRODUCERS=2 SLOTS=4 GROUP=2 EXTRA=4 TRIES=2 DEATHS=1 JOINS=1 DRAINS=2
	END
else
	variants <<-'END'
		PRODUCERS=3 SLOTS=2 GROUP=2 EXTRA=1 TRIES=2 DEATHS=1 JOINS=0 DRAINS=1
		PRODUCERS=3 SLOTS=2 GROUP=2 EXTRA=0 TRIES=2 DEATHS=2 JOINS=2 DRAINS=1
		PRODUCERS=3 SLOTS=4 GROUP=2 EXTRA=1 TRIES=2 DEATHS=1 JOINS=1 DRAINS=1
		PRODUCERS=2 SLOTS=4 GROUP=4 EXTRA=2 TRIES=2 DEATHS=1 JOINS=1 DRAINS=1
		PRODUCERS=2 SLOTS=2 GROUP=1 EXTRA=2 TRIES=3 DEATHS=1 JOINS=1 DRAINS=1
	END
fi

small=(-DPRODUCERS=2 -DSLOTS=2 -DGROUP=2 -DEXTRA=1 -DTRIES=2 -DDEATHS=1 -DJOINS=1 -DDRAINS=1)
faults=0
fault() # as broken(), without definitions or with some that override
{
	start "fault$((++faults))" broken "$1" "$2" "$3" "${small[@]}" "${@:4}"
}
fault 'a slot that is being written is claimed' 'writer[(pos%2)]==0' \
	'/define IS_CLAIMABLE/s/ && STATE.*/)/'
fault 'a plain store instead of the exchange' 'writer[(pos%2)]==(_pid+1)' \
	's/:: commit\[SLOT\(pos\)\] == seen ->/:: true ->/'
fault 'a stale ticket claims a slot of a newer lap' 'jumped!=255' \
	'/define IS_CLAIMABLE/s/\(IS_OLDER.*/(STATE(commit) != WRITING)/'
fault 'laps compare as plain numbers' 'hole[' \
	'/define IS_OLDER/s/AHEAD.*/(commit) >> 4 < (lap))/' -DEXTRA=2
fault 'VALID before the whole payload' 'copy0==copy1' \
	'/step == PUBLISH ->/,/next_push/{/writer/d;s/next_push\(\)/step = FILL1/}
	/step == FILL0/,/\}/s/step = FILL1/step = PUBLISH/
	/step == FILL1/,/\}/s/step = PUBLISH/writer[SLOT(pos)] = 0; next_push()/'
fault 'tries without a bound' 'tries<=1' \
	's/:: tries < TRIES -> next/:: true -> next/' -DTRIES=1
fault 'a joiner frees slots of the living' 'writer[(pos%2)]==(_pid+1)' \
	's/ && OWNER\(seen\) == _pid//'
fault 'a joiner frees no slot' 'dead[' 's/step = SWEEP_CAS$/next_swept()/'
fault 'no second look at commit' 'copy0==copy1' \
	's/:: commit\[SLOT\(pos\)\] == c -> take/:: true -> take/'
fault 'reserve_pos is loaded after the look at holes' 'last[' \
	's/scanning = 1; jump/scanning = 1; end = reserve_pos; jump/' -DSLOTS=4 -DGROUP=1 -DDRAINS=2
fault 'holes are looked at the first slot first' 'last[' \
	's/hole\[at\] != NONE -> break/hole[SLOTS - 1 - at] != NONE -> break/
	s/look_at_hole\(at\)/look_at_hole(SLOTS - 1 - at)/' -DDRAINS=2
fault 'a group is looked at the first position first' 'last[' \
	's/pos = FORTH\(scan, at\)/pos = FORTH(scan, GROUP - 1 - at)/'
fault 'what was found is read the last slot first' 'last[' \
	's/BEHIND\(found\[at\], end\) > BEHIND\(pos, end\)/true/'
fault 'what was published after its look is read' 'last[' \
	's/(\(pos\)\] == NONE -> hole.*)/\1; found[SLOT(pos)] = pos/'
fault 'holes are forgotten' 'jumped!=255' 's/(\(pos\)\] == NONE ->) hole.*/\1 skip/'
fault 'holes are waited for' 'looks<=' 's/(\(pos\)\] == NONE ->) hole.*/\1 at++/'
fault 'a hole stays open though the slot was seen in a later lap' 'last[' \
	's/^(\t\t)hole\[SLOT\(pos\)\] = NONE/\1skip/' -DDRAINS=2
fault 'a hole stays open though its writer died' 'hole[' \
	's/(IS_BEFORE\(pos, scan\) && STATE\(c\)) != WRITING/\1 == VALID/'
start short_of_depth cut_short depth_max 20 "${small[@]}"
start short_of_memory cut_short memory_mb 1 "${small[@]}"
wait

# The model has no line that is never reached.
here=$dir/reached
mkdir "$here"
never=$(sort "$dir"/variant*/unreached | uniq -c |
	awk -v all="$(ls -d "$dir"/variant* | wc -l)" '$1 == all')
if [[ -z $never ]]; then
	say PASSED 'every step of the model was taken'
else
	echo "$never"
	say FAILED 'steps of the model that no variant takes'
fi
passed=$(cat "$dir"/*/result | grep -c PASSED)
failed=$(cat "$dir"/*/result | grep -c FAILED)
echo "$passed passed, $failed failed"
((failed == 0 && passed > 0))
