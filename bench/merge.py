#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Puts what several benchmarks found into one document, tests/schemas/bench_results.json.

usage: merge.py FILE...
"""
import json
import sys

programs = []
for path in sys.argv[1:]:
    with open(path, encoding="utf-8") as file:
        programs.append(json.load(file))
json.dump({"schema": "tally.bench-results/1", "programs": programs}, sys.stdout, indent=1)
print()
