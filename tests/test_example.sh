#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The example of a runtime that watches itself: short, right, and it leaves nothing behind.
# usage: BUILD=... tests/test_example.sh
set -u
example=${BUILD:-build}/consumer/example/in_process
source=consumer/example/in_process.c
dir=$(mktemp -d /dev/shm/test-of-tally-XXXXXX) || exit 1
trap 'rm -rf "$dir"' EXIT

lines=$(wc -l <$source)
((lines < 60)) || { echo "$source has $lines lines, not under 60"; exit 1; }
for armed in "" 0 1; do
	said=$(TALLY=$armed TALLY_DIR=$dir "$example") ||
		{ echo "status $? with TALLY=$armed"; exit 1; }
	[[ $said == "device 0 dram: 4096000 bytes in 1000 buffers" ]] ||
		{ echo "with TALLY=$armed it said: $said"; exit 1; }
	[[ -z $(ls -A "$dir") ]] || { echo "left behind: $(ls -A "$dir")"; exit 1; }
done
# Without a place for a region it says so.
said=$(TALLY_DIR=$dir/none "$example" 2>&1) && { echo "no error without a directory"; exit 1; }
[[ $said == "no counters: No such file or directory" ]] || { echo "it said: $said"; exit 1; }
