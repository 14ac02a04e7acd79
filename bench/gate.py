#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Compares what benchmarks find now with what is kept in bench/baseline.json, and fails on a loss.

usage: gate.py [--update] [--baseline FILE] [--folder FOLDER]

What is kept are ratios to the floor in the same run, and instructions per call: never a time, so
that it holds on another machine of the kind. Each has a margin, which says how much worse it may be
before it is a loss. Programs of FOLDER (build/bench) are run with --quick. When something is beyond
its margin all are run again, TRIES times at most, and the median of all tries is judged, the first
one included: a try more makes the verdict surer, not kinder.

--update writes what was found into the baseline; margins and what is kept stay. The last line is
`N passed, N failed`; exit status 1 if anything failed.
"""
import argparse
import json
import os
import statistics
import subprocess
import sys

TRIES = 5
SAMPLES_MIN = 9  # of a figure that is judged


def run(folder, program):
    """What one program finds, as tests/schemas/bench.json says."""
    path = os.path.join(folder, program)
    done = subprocess.run([path, "--quick", "--json", "-"], stdout=subprocess.PIPE, check=False)
    if done.returncode != 0:
        sys.exit(f"gate: {path} failed (exit status {done.returncode})")
    return json.loads(done.stdout)


def find(found, kept):
    """The kept figure's number in what a program found; else None and why not."""
    for question in found["questions"]:
        if question["id"] != kept["question"]:
            continue
        for figure in question["figures"]:
            if figure["name"] != kept["figure"] or figure["placement"] != kept.get("placement"):
                continue
            if any(figure["parameters"].get(name) != value
                   for name, value in kept.get("parameters", {}).items()):
                continue
            if figure["absent"]:
                return None, figure["absent"]
            if figure["samples"] < kept.get("samples", SAMPLES_MIN):
                return None, f"only {figure['samples']} samples"
            number = figure["ratio_to_base" if kept["kind"] == "ratio" else "median"]
            return number, "nothing to compare it with" if number is None else None
    return None, "not seen in this run"


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
    parser.add_argument("--folder", default=os.path.join(os.environ.get("BUILD", "build"), "bench"))
    options = parser.parse_args()
    with open(options.baseline, encoding="utf-8") as file:
        baseline = json.load(file)
    kept = baseline["figures"]
    numbers = [[] for _ in kept]
    why = [None] * len(kept)
    for tries in range(1, TRIES + 1):
        # What is exactly repeatable need not be counted again.
        again = {figure["program"] for figure in kept
                 if tries == 1 or figure["kind"] != "instructions"}
        found = {program: run(options.folder, program) for program in sorted(again)}
        for i, figure in enumerate(kept):
            if figure["program"] in found:
                number, why[i] = find(found[figure["program"]], figure)
                if number is not None:
                    numbers[i].append(number)
        verdicts = [judge(*each) for each in zip(kept, numbers, why)]
        losses = sum(passed is False for _, passed in verdicts)
        if not options.update and (not losses or tries == TRIES):
            break
        print(f"gate: try {tries} of {TRIES}: {losses} beyond the margin, once more",
              file=sys.stderr)
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
