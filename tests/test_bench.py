#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Benchmarks say what they found as JSON, name what is absent, and notice a ring that is wrong.

usage: BUILD=... CC=... tests/test_bench.py    (no figure is judged, and no package is needed)
"""
import glob
import json
import os
import shutil
import subprocess
import tempfile

from benches import (CC, bench, check_numbers, expect, figures, folder_of_absent, validate, verdict)

CONTENDERS = sorted(os.path.basename(path).partition(".")[0]
                    for path in glob.glob("bench/contenders/*.c")
                    + glob.glob("bench/contenders/*.cpp"))


def everything_reports(folder):
    """Each program with what is there: JSON that its schema lets through, alone and merged."""
    paths = []
    for name in ("push", "growth", "views", "consumer", "instructions", "throughput"):
        status, out, err = bench(name, "--json", "-")
        expect(status == 0, f"{name}: exit status {status}: {err}")
        path = os.path.join(folder, name + ".json")
        with open(path, "w", encoding="utf-8") as file:
            file.write(out)
        validate("bench", path)
        check_numbers(json.loads(out))
        paths.append(path)
    merged = subprocess.run(["bench/merge.py", *paths], check=True, capture_output=True, text=True)
    path = os.path.join(folder, "results.json")
    with open(path, "w", encoding="utf-8") as file:
        file.write(merged.stdout)
    validate("bench_results", path)
    with open(paths[-1], encoding="utf-8") as file:
        throughput = json.load(file)
    said = figures(throughput, "throughput")
    for name in CONTENDERS:
        mine = [figure for figure in said if figure["name"] == name]
        expect(mine, f"{name} is neither measured nor absent")
        for figure in mine:
            expect(figure["kind"] == "rounds" or figure["absent"], f"{figure}")


def table_and_file(folder):
    """A table on stdout while JSON goes to a file; --only leaves out the others."""
    path = os.path.join(folder, "only.json")
    status, out, err = bench("throughput", "--only", "floor", "--json", path)
    expect(status == 0 and "one consumer" in out and "floor" in out and not err,
           f"table: {status}: {out}{err}")
    validate("bench", path)
    with open(path, encoding="utf-8") as file:
        document = json.load(file)
    names = {figure["name"] for figure in figures(document, "throughput")}
    expect(names == {"floor"} and document["only"] == "floor", f"--only floor: {names}")
    status, out, err = bench("throughput", "--no-such-option")
    expect(status == 2 and "usage" in err, f"unknown option: {status}: {out}{err}")
    status, out, err = bench("throughput", "--only", "floor", "--json", "/no/such/folder/file")
    expect(status == 1 and "/no/such/folder" in err, f"no such folder: {status}: {err}")


def absent_is_said(folder):
    """What could not be built, and what cannot be loaded, is reported with the reason."""
    rings = folder_of_absent(folder, "rings", "int can = CONTENDER_MANY;\n")
    status, out, err = bench("throughput", "--json", "-", contenders=rings)
    expect(status == 0, f"absent contenders: exit status {status}: {err}")
    document = json.loads(out)
    questions = ["throughput", "throughput_producers"]
    if len(os.sched_getaffinity(0)) > 1:  # else that question is absent as a whole
        questions.append("throughput_fill")
    for question in questions:
        missing = [figure for figure in figures(document, question)
                   if figure["name"] == "missing"]
        expect(missing and all(figure["kind"] == "absent" and
                               "libnobody-has-dev" in figure["absent"] and
                               "make bench-deps" in figure["absent"] for figure in missing),
               f"{question}: {missing}")
    broken = [figure for figure in figures(document, "throughput") if figure["name"] == "broken"]
    expect(broken and "cannot be loaded" in broken[0]["absent"], f"{broken}")


def broken_source_is_an_error(folder):
    """A contender whose package is there must compile: it is not taken for absent."""
    source = os.path.join(folder, "unsound.c")
    with open(source, "w", encoding="utf-8") as file:
        file.write("/* SPDX-License-Identifier: Apache-2.0 */\n/* Unsound.\n *\n"
                   " *\tpackage: libc6-dev\n *\theader: stdio.h\n */\nint int;\n")
    done = subprocess.run(["bench/contenders/build.sh", source, f"{folder}/unsound.so", CC],
                          capture_output=True)
    expect(done.returncode != 0 and not os.path.exists(f"{folder}/unsound.absent"),
           "a contender that does not compile is taken for absent")


def mistakes_are_noticed(folder):
    """A ring that loses, repeats, swaps or alters one record is an error, and no figure."""
    for mistake, words in (("NONE", ""), ("DROP", "records came"), ("REPEAT", "not in order"),
                           ("SWAP", "not in order"), ("GARBLE", "garbled"),
                           ("DEVICE", "sums by device differ"), ("CONFESS", "1 said to be lost")):
        rings = os.path.join(folder, mistake)
        os.mkdir(rings)
        subprocess.run([CC, "-O2", "-D_GNU_SOURCE", "-shared", "-fPIC", "-Iinclude", "-I.",
                        f"-DMISTAKE={mistake}", "tests/wrong_contender.c", "-o",
                        f"{rings}/wrong.so"], check=True)
        status, out, err = bench("throughput", "--json", "-", contenders=rings)
        said = figures(json.loads(out), "throughput")
        if mistake == "NONE":
            expect(status == 0 and all(figure["kind"] == "rounds" for figure in said),
                   f"the right one is called wrong: {status}: {err}")
            continue
        expect(status == 1 and words in err, f"{mistake} is not noticed: {status}: {err}")
        expect(said and all(figure["absent"] for figure in said), f"{mistake}: {said}")


folder = tempfile.mkdtemp(prefix="test-of-tally-bench-")
try:
    everything_reports(folder)
    table_and_file(folder)
    absent_is_said(folder)
    broken_source_is_an_error(folder)
    mistakes_are_noticed(folder)
finally:
    shutil.rmtree(folder)
verdict()
