#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# `make demo`: Tally's main job on real programs, and a check that the numbers add up.
# usage: [BUILD=build] tests/demo.sh
set -u
build=$(cd "${BUILD:-build}" && pwd) || exit 1
cd "$(dirname "$0")/.." || exit 1
tally=$build/tally
work=$(mktemp -d) || exit 1
failed=0
# Not a version manager's wrapper script: what is followed should be Python.
python=/usr/bin/python3
[[ -x $python ]] || python=$(command -v python3)
trap 'rm -rf "$work"' EXIT
git=(git)
if ! revision=$(git rev-parse HEAD 2>/dev/null); then # no history here: make one of the sources
	git=(git -C "$work/history" -c user.name=demo -c user.email=demo@localhost)
	git init -q "$work/history" || exit 1
	cp -r include ring producer consumer "$work/history" || exit 1
	for file in $(cd "$work/history" && find . -name '*.[ch]'); do
		"${git[@]}" add "$file" && "${git[@]}" commit -qm "Add $file" || exit 1
	done
	revision=$("${git[@]}" rev-parse HEAD) || exit 1
fi

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }
[[ -t 1 && -z ${NO_COLOR:-} ]] || say() { printf '\n%s\n' "$*"; }
exec 4>&1 # what is said goes there also when a command's own output does not
shown() { printf '$ %s\n' "${*//$tally/tally}" >&4 && "$@"; }

# What one report's numbers must be to each other; a process that holds is listed, nothing is lost
# on the way from the rows to the sums.
cat >"$work/check.py" <<'END'
import json, sys

for path in sys.argv[1:]:
    report = json.load(open(path))
    keys = ("allocations_total", "frees_total", "allocated_bytes_total", "freed_bytes_total",
            "failures_total")
    rows = {}
    for process in report["processes"]:
        assert process["lost_records"] == process["events_total"] - process["records_read"], process
        counted = 0
        for device in process["devices"]:
            for name, pool in device["pools"].items():
                counted += (pool["allocations_total"] + pool["frees_total"]
                            + pool["failures_total"])
                own = pool["live_bytes"] - pool["inherited_bytes"]
                assert own == pool["allocated_bytes_total"] - pool["freed_bytes_total"], pool
                row = rows.setdefault((device["device"], name), dict.fromkeys(keys, 0))
                for key in keys:
                    row[key] += pool[key]
        assert counted == process["events_total"], process
    for device in report["devices"]:
        for name, pool in device["pools"].items():
            for key in keys:
                assert pool[key] == rows[device["device"], name][key], (key, pool)
    total = sum(p["events_total"] for p in report["processes"])
    assert total > 0, "nothing was followed"
    print(f"  {path.rsplit('/')[-1][:-5]:8}{len(report['processes']):4} processes, {total:9,} "
          f"events: each row, each sum and each lost record adds up")
END

cat >"$work/words.py" <<'END'
import time
words = {}
for n in range(400000):          # builds a table ...
    words["word %d" % n] = [n] * 8
print(len(words), "words")
time.sleep(1.2)
words.clear()                    # ... and drops it
END

say "1. git: one process or several, with its output untouched"
shown "$tally" run -- "${git[@]}" log -p "$revision" >"$work/log" || failed=1
"${git[@]}" log -p "$revision" | cmp - "$work/log" || failed=1
echo "(git printed $(wc -l <"$work/log") lines, as without tally)"

say "2. python3 builds a table of 400,000 words and drops it; the peak tells"
PYTHONMALLOC=malloc shown "$tally" run -- "$python" "$work/words.py" || failed=1

say "3. a compiler and its children: each is followed"
shown "$tally" run -- gcc -O1 -pipe -c -D_GNU_SOURCE -Iinclude -I. -o "$work/out.o" ring/lane.c ||
	failed=1

say "4. somebody looks at what is running: tally ps"
mkfifo "$work/hold"
TALLY=1 LD_PRELOAD=$build/libtally-malloc.so perl -e \
	'my @held = map { "x" x 1000 } 1 .. 20000; print STDERR "holds 20,000 strings\n"; <STDIN>' \
	<"$work/hold" 2>"$work/ready" &
perl=$!
exec 3>"$work/hold"
until grep -q holds "$work/ready" 2>/dev/null || ! kill -0 "$perl" 2>/dev/null; do :; done
shown "$tally" ps -p "$perl" || failed=1
exec 3>&-
wait "$perl"

say "5. do the numbers add up? the same as JSON"
export PYTHONMALLOC=malloc
"$tally" run --json "$work/git.json" -- "${git[@]}" log -p "$revision" >"$work/log.2" || failed=1
"$tally" run --json "$work/python3.json" -- "$python" "$work/words.py" >/dev/null || failed=1
"$tally" run --json "$work/gcc.json" -- gcc -O1 -pipe -c -D_GNU_SOURCE -Iinclude -I. \
	-o "$work/out.o" ring/lane.c || failed=1
python3 "$work/check.py" "$work"/{git,python3,gcc}.json || failed=1
cmp -s "$work/log" "$work/log.2" || failed=1

if [[ $failed -ne 0 ]]; then
	say "The numbers do not add up, or a program did not run: this is a bug, please report it."
	exit 1
fi
say "All of it adds up. Next: $tally run -- ANY COMMAND, or README.md for the API."
