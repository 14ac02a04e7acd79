#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# tally run: each allocation and free by Tally's malloc, into a ring and exact totals.
#
# In a folder of its own, in memory: what others leave in /dev/shm is none of its business.
case $1 in
begin)
	mktemp -d "/dev/shm/bench-XXXXXX" >regions 2>/dev/null || mktemp -d regions-XXXXXX -p "$PWD" >regions
	;;
before)
	rm -f report.json
	printf '%s\n' env TALLY_DIR="$(<regions)" "$BENCH_BUILD/tally" run --json "$PWD/report.json" --
	;;
after)
	python3 - "$2/events" <<'END'
import json, os, sys
with open("report.json", encoding="utf-8") as file:
    report = json.load(file)
events, lost = report["events_total"], report["lost_records"]
expected = int(open(sys.argv[1]).read()) if os.path.exists(sys.argv[1]) else 1
if events < expected or not report["run"]["followed"] or report["run"]["exit_status"] != 0:
    sys.exit(f"{events} events, {expected} expected: {report['run']}")
if not report["exactness"].startswith("exact"):
    sys.exit(report["exactness"])
print(f"{events} calls, all in the totals, {lost} records of them lost")
END
	;;
end)
	rm -rf "$(<regions)"
	;;
esac
