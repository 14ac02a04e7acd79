#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The benchmark of one event measures or names as absent every reporter, goes away without a trace,
and notices a reporter that loses or alters events, or does nothing.

usage: BUILD=... CC=... tests/test_bench_event.py    (no figure is judged, and no package is needed)
"""
import glob
import json
import os
import shutil
import signal
import subprocess
import tempfile
import time

from benches import (BUILD, CC, bench, check_numbers, expect, figures, folder_of_absent, validate,
                     verdict)

REPORTERS = sorted(os.path.basename(path).partition(".")[0]
                   for path in glob.glob("bench/reporters/*.c")
                   + glob.glob("bench/reporters/*.cpp"))
ALWAYS = ("floor", "tally", "tally_adapter", "tally_off", "tally_shared", "tally_watched", "socket",
          "totals", "totals_two", "pipe", "file")
COLD = {"floor", "tally", "totals"}


def everything_reports(folder):
    status, out, err = bench("event", "--json", "-")
    expect(status == 0, f"exit status {status}: {err}")
    path = os.path.join(folder, "event.json")
    with open(path, "w", encoding="utf-8") as file:
        file.write(out)
    validate("bench", path)
    document = json.loads(out)
    check_numbers(document)
    for question in ("event_cost", "event_latency"):
        said = figures(document, question)
        for name in REPORTERS:
            mine = [figure for figure in said if figure["name"] == name]
            expect(mine, f"{question}: {name} is neither measured nor absent")
            absent = [figure for figure in mine if figure["absent"]]
            expect(not absent or name not in ALWAYS, f"{question}: {absent}")
    expect({figure["name"] for figure in figures(document, "event_latency_cold")} == COLD,
           f"{figures(document, 'event_latency_cold')}")
    goals = [goal for answer in document["questions"] for goal in answer["goals"]]
    expect([goal["value_of"] for goal in goals] ==
           ["tally - floor", "socket / tally:", "lttng / tally:", "totals / tally:"], f"{goals}")
    alone = len(os.sched_getaffinity(0)) < 2
    for goal in goals:
        what = goal["value_of"].split()[0]
        expect(goal["value"] is not None or what == "lttng" or (alone and what != "tally"),
               f"{goal}")


def neighbours_report(folder):
    """The other programs that ask what an event costs: JSON that its schema lets through."""
    for name in ("shared_ring", "gateway", "adapter"):
        path = os.path.join(folder, name + ".json")
        status, out, err = bench(name, "--json", path)
        expect(status == 0, f"{name}: exit status {status}: {out}{err}")
        validate("bench", path)
        with open(path, encoding="utf-8") as file:
            check_numbers(json.load(file))


def absent_is_said(folder):
    """What could not be built, cannot be loaded, or says that it cannot be had."""
    reporters = folder_of_absent(folder, "absent")
    compile_wrong(f"{reporters}/unwilling.so", "UNWILLING")
    status, out, err = bench("event", "--json", "-", reporters=reporters)
    expect(status == 0, f"absent reporters: exit status {status}: {err}")
    said = {figure["name"]: figure["absent"] or "" for figure in figures(json.loads(out),
                                                                         "event_cost")}
    expect("libnobody-has-dev is not installed (make bench-deps)" in said.get("missing", ""),
           f"missing: {said}")
    expect("cannot be loaded" in said.get("broken", ""), f"broken: {said}")
    expect(said.get("unwilling") == "does not want to", f"unwilling: {said}")
    if os.path.exists(f"{BUILD}/bench/reporters/lttng.so"):
        path, os.environ["PATH"] = os.environ["PATH"], "/nowhere"
        status, out, err = bench("event", "--only", "lttng", "--json", "-")
        os.environ["PATH"] = path
        said = {figure["name"]: figure["absent"] for figure in figures(json.loads(out),
                                                                       "event_cost")}
        expect(status == 0 and said["lttng"] == "lttng is not installed (make bench-deps)",
               f"without its tools: {status}: {err}{said}")


def compile_wrong(path, mistake, far=0):
    subprocess.run([CC, "-O2", "-D_GNU_SOURCE", "-shared", "-fPIC", "-Iinclude", "-I.",
                    f"-DMISTAKE={mistake}", f"-DFAR={far}", "tests/wrong_reporter.c", "-o", path],
                   check=True)


def mistakes_are_noticed(folder):
    """One event that is lost, comes twice or altered is an error, and no figure."""
    near = ("NONE", "NOTHING", "DROP", "REPEAT", "SIZE", "ID", "EMPTY", "MUTE",
            "OFF")
    far = ("NONE", "DROP", "REPEAT", "SIZE")
    for mistake, side in [(one, 0) for one in near] + [(one, 1) for one in far]:
        reporters = os.path.join(folder, f"{mistake}{side}")
        os.mkdir(reporters)
        compile_wrong(f"{reporters}/wrong.so", mistake, side)
        status, out, err = bench("event", "--json", "-", reporters=reporters)
        said = figures(json.loads(out), "event_cost")
        what = f"{mistake}, {'far' if side else 'near'} side: {status}: {err}{said}"
        if mistake == "NONE":
            expect(status == 0 and all(figure["kind"] == "rounds" for figure in said), what)
            continue
        expect(status == 1 and "wrong: reported" in err, what)
        expect(said and all(figure["absent"] == "failed its verification" for figure in said), what)


def nothing_stays(folder):
    """Interrupted, it takes LTTng's session away. Without LTTng there is nothing to see."""
    scratch = os.path.join(folder, "scratch")
    os.mkdir(scratch)
    child = subprocess.Popen([f"{BUILD}/bench/event", "--only", "lttng"], stdout=subprocess.DEVNULL,
                             stderr=subprocess.DEVNULL, env=dict(os.environ, TMPDIR=scratch))
    while child.poll() is None and not glob.glob(f"{scratch}/*/trace"):
        time.sleep(0.05)
    child.send_signal(signal.SIGINT)
    child.wait()
    deadline = time.monotonic() + 60
    while os.listdir(scratch) and time.monotonic() < deadline:
        time.sleep(0.05)
    expect(not os.listdir(scratch), f"left behind: {glob.glob(scratch + '/**', recursive=True)}")


folder = tempfile.mkdtemp(prefix="test-of-tally-bench-")
try:
    everything_reports(folder)
    neighbours_report(folder)
    absent_is_said(folder)
    mistakes_are_noticed(folder)
    nothing_stays(folder)
finally:
    shutil.rmtree(folder)
verdict()
