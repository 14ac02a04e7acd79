#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The C compiler proper, without its driver, at -O2 on a file of the project.
cc1=$(gcc -print-prog-name=cc1)
[[ -x $cc1 ]] || { echo "not installed: gcc (make bench-deps)"; exit 77; }
file=tests/test_gateway.c
[[ ! $BENCH_QUICK ]] || file=consumer/cli/gateway.c
cd "$BENCH_SOURCE" && gcc -E -P -std=gnu17 -D_GNU_SOURCE -DBUILD_DIR='""' -DSOURCE_DIR='""' \
	-Iinclude -Iconsumer/cli -Iconsumer/gateway -I. -o "$OLDPWD/in.i" $file || exit
printf '%s\n' out.s "$cc1" -quiet -fpreprocessed -std=gnu17 -O2 in.i -o out.s
