#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# churn.c: nothing but malloc() and free(), the worst that an allocator's tracer can meet.
threads=${CHURN_THREADS:-1} rounds=$((BENCH_QUICK ? 200000 : 2000000))
"${CC:-gcc}" -O2 -pthread -o churn "$BENCH_PROGRAMS/churn.c" || exit
echo $((rounds * 4)) >events # a tracer that recorded fewer has missed some
printf '%s\n' out ./churn $rounds "$threads" out
