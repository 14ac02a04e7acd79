#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# churn.c, half of it on each of two threads.
CHURN_THREADS=2 exec "$BENCH_PROGRAMS/churn.sh"
