#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The gate of the benchmarks fails on a loss, whatever the tries, and judges only what it has seen.

usage: BUILD=... tests/test_bench_gate.py    (what a real program found, with other numbers in it)
"""
import json
import os
import subprocess
import sys
import tempfile

BUILD = os.path.abspath(os.environ.get("BUILD", "build"))
wrong = []
ran = 0


def found_really():
    done = subprocess.run([f"{BUILD}/bench/push", "--quick", "--json", "-"], timeout=200,
                          capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def with_ratio(found, ratio, quiet=True):
    """The same, with this ratio of a push to the floor; None: it is absent."""
    copy = json.loads(json.dumps(found))
    for question in copy["questions"]:
        for figure in question["figures"]:
            figure["quiet"] = quiet
            if figure["name"] == "push" and question["id"] == "push_cost":
                figure["ratio_to_base"] = ratio
                figure["absent"] = "no such thing" if ratio is None else None
    return copy


def gate(folder, runs, *options, kept=None):
    """Its exit status and output, when the program finds one of `runs` after the other."""
    for n, run in enumerate(runs):
        with open(f"{folder}/{n}.json", "w", encoding="utf-8") as file:
            json.dump(run, file)
    with open(f"{folder}/count", "w", encoding="utf-8") as file:
        file.write("0")
    with open(f"{folder}/push", "w", encoding="utf-8") as file:
        file.write(f"#!/bin/sh\ncd '{folder}'\nn=$(cat count)\ncat $n.json\n"
                   f"[ $n -ge {len(runs) - 1} ] || echo $((n + 1)) >count\n")
    os.chmod(f"{folder}/push", 0o755)
    figure = {"program": "push", "question": "push_cost", "figure": "push", "kind": "ratio",
              "better": "less", "value": 1.2, "margin": 0.3, **(kept or {})}
    baseline = f"{folder}/baseline.json"
    with open(baseline, "w", encoding="utf-8") as file:
        json.dump({"schema": "tally.bench-baseline/1", "figures": [figure]}, file)
    done = subprocess.run(["bench/gate.py", "--baseline", baseline, "--folder", folder, *options],
                          timeout=200, capture_output=True, text=True, check=False)
    with open(baseline, encoding="utf-8") as file:
        return done.returncode, done.stdout + done.stderr, json.load(file)["figures"][0]


def check(name, holds, output):
    global ran
    ran += 1
    if not holds:
        wrong.append(f"{name}: {output}")


def main():
    real = found_really()
    well, loss = with_ratio(real, 1.4), with_ratio(real, 1.6)
    busy, absent = with_ratio(real, 9, quiet=False), with_ratio(real, None)
    with tempfile.TemporaryDirectory() as folder:
        status, out, _ = gate(folder, [well])
        check("within the margin", status == 0 and "1 passed, 0 failed" in out, out)
        status, out, _ = gate(folder, [loss])
        check("a loss", status == 1 and "median of 5 tries" in out, out)
        status, out, _ = gate(folder, [loss, well, well, loss, well])
        check("noise now and then", status == 0, out)
        status, out, _ = gate(folder, [loss, loss, loss, well, well, well, well, well])
        check("tries that turn nothing green", status == 1 and "0 passed, 1 failed" in out, out)
        status, out, _ = gate(folder, [busy, loss])
        check("a loss after a busy run", status == 1 and "1.600" in out, out)
        status, out, _ = gate(folder, [busy, busy, well])
        check("a busy run brings no number", status == 0 and "1.400" in out, out)
        status, out, _ = gate(folder, [busy], "--runs", "2")
        check("only busy runs", status == 1 and "too busy" in out, out)
        status, out, _ = gate(folder, [absent], "--runs", "2")
        check("what is absent", status == 1 and "no such thing" in out, out)
        status, out, _ = gate(folder, [absent], "--runs", "2", kept={"may_be_absent": True})
        check("what may be absent", status == 0 and "not judged" in out, out)
        status, out, _ = gate(folder, [well], "--runs", "2", kept={"figure": "pusk"})
        check("a name that is not there", status == 1 and "not seen" in out, out)
        more = {"better": "more", "value": 2}
        status, out, _ = gate(folder, [loss], kept=more)
        check("less where more is better", status == 1, out)
        status, out, _ = gate(folder, [with_ratio(real, 1.8)], kept=more)
        check("hardly less where more is better", status == 0, out)
        status, out, kept = gate(folder, [loss, well, well, well, well], "--update")
        check("an update", status == 0 and kept["value"] == 1.4 and kept["margin"] == 0.3,
              f"{out} {kept}")
    for line in wrong:
        print(line)
    print(f"{ran} runs of the gate, {len(wrong)} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
