#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# xz compresses a text: a program that hardly allocates.
command -v xz >/dev/null || { echo "not installed: xz-utils (make bench-deps)"; exit 77; }
. "$BENCH_PROGRAMS/text"
text $((BENCH_QUICK ? 1000 : 4000)) >in || exit
printf '%s\n' in.xz xz --keep --threads=1 in
