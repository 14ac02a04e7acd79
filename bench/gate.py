#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Compares what benchmarks find now with what is kept in bench/baseline.json, and fails on a loss.

usage: gate.py [--update] [--runs N] [--baseline FILE] [--folder FOLDER]

What is kept are ratios to the floor in the same run, and instructions per call: never a time, so
that it holds on another machine of the kind. Each has a margin, which says how much worse it may be
before it is a loss. Programs of FOLDER (build/bench) are run with --quick. When something is beyond
its margin they are run again, until there are TRIES numbers of it, and the median of all of them is
judged, the first one included: a try more makes the verdict surer, not kinder. A run in which the
machine was too busy brings no number; RUNS of them at most, and it fails if none brought any.

--update writes what was found into the baseline; margins and what is kept stay. The last line is
`N passed, N failed`; exit status 1 if anything failed.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys
import time

TRIES = 5
RUNS = 40
PAUSE_S = 2  # after a run in which the machine was too busy


def run(folder, program):
    """What one program finds, as tests/schemas/bench.json says."""
    path = os.path.join(folder, program)
    done = subprocess.run([path, "--quick", "--json", "-"], stdout=subprocess.PIPE, check=False)
    if done.returncode != 0:
        sys.exit(f"gate: {path} failed (exit status {done.returncode})")
    return json.loads(done.stdout)


def same(figure, kept):
    return figure["placement"] == kept.get("placement") and all(
        figure["parameters"].get(name) == value
        for name, value in kept.get("parameters", {}).items())


def find(found, kept):
    """The kept figure's number in what a program found; else None and why not."""
    question = next((each for each in found["questions"] if each["id"] == kept["question"]), None)
    figures = [each for each in question["figures"] if same(each, kept)] if question else []
    figure = next((each for each in figures if each["name"] == kept["figure"]), None)
    if not figure:
        return None, "not seen in this run"
    if figure["absent"]:
        return None, figure["absent"]
    if kept["kind"] == "instructions":
        return figure["median"], None
    base = next((each for each in figures if each["name"] == question["base"]), None)
    if not base or figure["ratio_to_base"] is None:
        return None, "nothing to compare it with"
    if not figure["quiet"] or not base["quiet"]:
        return None, "the machine was too busy"
    return figure["ratio_to_base"], None


def is_loss(kept, number):
    """Whether it is worse than what is kept by more than the margin."""
    if kept["better"] == "less":
        return number > kept["value"] + kept["margin"]
    return number < kept["value"] - kept["margin"]


def judge(kept, numbers, why):
    """One line, and True: passed, False: a loss, None: not judged."""
    name = f"{kept['program']}: {kept['figure']}"
    for parameter, value in kept.get("parameters", {}).items():
        name += f", {parameter} {value:g}"
    if kept.get("placement"):
        name += f", {kept['placement']}"
    if not numbers:
        if kept.get("may_be_absent"):
            return f"  not judged  {name}: {why}", None
        return f"  FAILED      {name}: {why}", False
    now = statistics.median(numbers)
    worse = "above" if kept["better"] == "less" else "below"
    unit = "times the floor" if kept["kind"] == "ratio" else "instructions"
    line = f"{name}: {now:.3f} {unit}, kept {kept['value']:.3f}, may be {kept['margin']:g} {worse}"
    if len(numbers) > 1:
        line += f"; median of {len(numbers)} tries"
    if is_loss(kept, now):
        return f"  FAILED      {line}", False
    return f"  ok          {line}", True


def main():
    parser = argparse.ArgumentParser(usage=__doc__.split("usage: ")[1].split("\n")[0])
    parser.add_argument("--update", action="store_true")
    parser.add_argument("--baseline", default="bench/baseline.json")
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--folder", default=os.path.join(os.environ.get("BUILD", "build"), "bench"))
    options = parser.parse_args()
    with open(options.baseline, encoding="utf-8") as file:
        baseline = json.load(file)
    kept = baseline["figures"]
    numbers = [[] for _ in kept]
    why = [None] * len(kept)
    for runs in range(1, options.runs + 1):
        # What is repeatable need not be counted again.
        again = {figure["program"] for figure in kept
                 if runs == 1 or figure["kind"] != "instructions"}
        found = {program: run(options.folder, program) for program in sorted(again)}
        for i, figure in enumerate(kept):
            if figure["program"] in found:
                number, why[i] = find(found[figure["program"]], figure)
                if number is not None:
                    numbers[i].append(number)
        verdicts = [judge(*each) for each in zip(kept, numbers, why)]
        # More of those that look like a loss, or all of them for a new baseline.
        short = [i for i, figure in enumerate(kept)
                 if figure["kind"] != "instructions" and len(numbers[i]) < TRIES
                 and (verdicts[i][1] is False or options.update)]
        if not short:
            break
        print(f"gate: run {runs}: {len(short)} to be looked at again", file=sys.stderr)
        if any(not numbers[i] for i in short) and runs < options.runs:
            time.sleep(PAUSE_S)
    losses = sum(passed is False for _, passed in verdicts)
    if options.update:
        for figure, all_numbers in zip(kept, numbers):
            if all_numbers:
                figure["value"] = round(statistics.median(all_numbers), 3)
        with open(options.baseline, "w", encoding="utf-8") as file:
            json.dump(baseline, file, indent=1)
            file.write("\n")
    for line, _ in verdicts:
        print(line)
    print(f"{sum(passed is True for _, passed in verdicts)} passed, {losses} failed")
    return 1 if losses else 0


if __name__ == "__main__":
    sys.exit(main())
