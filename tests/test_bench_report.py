#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The benchmark report says and draws each number of its input, needs nothing else, and takes no
harm from input that is strange.

usage: tests/test_bench_report.py    (the input is of a real run: tests/golden/bench_results.json)
"""
import copy
import json
import math
import os
import re
import shutil
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
from report_reader import SVG, expect, near, value, well_formed, wrong  # noqa: E402

RESULTS = "tests/golden/bench_results.json"


def report(results, page, **env):
    """Exit status and stderr."""
    done = subprocess.run(["bench/report.py", results, page], env=dict(os.environ, **env),
                          capture_output=True, text=True, timeout=100)
    return done.returncode, done.stderr


# ---- Words and numbers ---------------------------------------------------------------------------

def questions(document):
    return [(f"question-{index}", question) for index, question in enumerate(
        (question for one in document["programs"] for question in one["questions"]), 1)]


def row_of(rows, figure, apart):
    """The row of a table with all of the figure's numbers."""
    keys = ("median", "lower_quartile", "upper_quartile", "median_from", "median_to",
            "median_confidence", "p90", "p99", "p99_9", "max", "ratio_to_base", "samples",
            "disturbed", "dropped")
    wanted = [figure["parameters"][name] for name in apart]
    wanted += [figure[key] for key in keys if figure[key] is not None]
    for row in rows:
        numbers = [value(cell) for cell in row[1:] if value(cell) is not None]
        if row and row[0] == figure["name"] and len(numbers) == len(wanted) and all(
                map(near, numbers, wanted)):
            return row
    return None


def everything_is_said(page, document):
    """Each question, note, figure, goal, absent contender and warning, with its numbers."""
    everywhere = " ".join(page.words)
    for mark, question in questions(document):
        section = page.sections[mark]
        words = "".join(section["words"])
        expect(question["question"] in words, f"{question['id']} is not asked")
        for note in question["notes"]:
            expect(note in words, f"note: {note}")
        names = {name for figure in question["figures"] for name in figure["parameters"]}
        apart = [name for name in ("ring_records", "producers", "live_buffers") if name in names
                 and len({figure["parameters"].get(name) for figure in question["figures"]
                          if figure["kind"] != "absent"}) > 1]
        for figure in question["figures"]:
            if figure["kind"] == "absent":
                expect(f'{figure["name"]}: {figure["absent"]}' in words, f"absent: {figure}")
                expect(any(row[:2] == [figure["name"], figure["absent"]] and
                           question["question"] in row[2]
                           for row in page.sections["absent"]["rows"]), f"absent: {figure}")
                continue
            row = row_of(section["rows"], figure, apart)
            expect(row, f"{question['id']}: no row of {figure['name']} {figure['median']}")
            expect(not row or not figure["placement"] or figure["placement"] in row, f"{row}")
        for goal in question["goals"]:
            verdict = {True: "\u2713 met", False: "\u2717 missed", None: "\u2013 not judged"}
            rows = [row for row in page.sections["goals"]["rows"]
                    if row[0] == goal["value_of"].rstrip(" :") and row[3] == goal["goal"] and
                    row[4] == question["question"]]
            expect(len(rows) == 1 and rows[0][1] == verdict[goal["met"]], f"{goal}: {rows}")
            said = value(rows[0][2].split(" ")[0]) if rows else None
            expect(said is None if goal["value"] is None else near(said, goal["value"]),
                   f"{goal}: {rows}")
    verdicts = [row[1][2:] for row in page.sections["goals"]["rows"][1:]]
    expect(verdicts == sorted(verdicts, key=["missed", "not judged", "met"].index), f"{verdicts}")
    for one in document["programs"]:
        machine = one["machine"]
        for words in (machine["cpu"], machine["kernel"], machine["architecture"], one["compiler"],
                      one["program"], *(why[1:] for why in machine["warnings"])):
            expect(words in everywhere, f"the page does not say {words}")
    expect("2026-11-23 08:12 UTC" in everywhere and "Few rounds (--quick)" in everywhere,
           "the time, or that rounds were few")


# ---- Places --------------------------------------------------------------------------------------

def place(words):
    return float(words.rstrip("%"))


def ticks(svg, side):
    """(place, number) of the scale across or upwards, as it is written there."""
    found = []
    lines = [line for line in svg.findall(SVG + "line") if line.get("class") == "grid"]
    for line in lines:
        upright = line.get("x1") == line.get("x2")
        if upright != (side == "across"):
            continue
        at = line.get("x1") if upright else line.get("y1")
        for text in svg.findall(SVG + "text"):
            beside = text.get("x") == at if upright else near(float(text.get("y")) + 4, float(at))
            if text.get("class") == "tick" and beside:
                found.append((place(at), value(text.text)))
    return found


def expected(scale, number, log=False):
    """Where the number must be by the outer ticks of the scale."""
    (begin, low), (end, high) = scale[0], scale[-1]
    if log:
        low, high, number = math.log(low), math.log(high), math.log(number)
    return begin + (number - low) / (high - low) * (end - begin)


def at(one, other):
    return abs(one - other) < 0.02


def bars_are_at_their_numbers(plots, document):
    drawn = 0
    figures = {}
    for mark, question in questions(document):
        for figure in question["figures"]:
            if figure["kind"] in ("rounds", "value"):
                figures.setdefault(mark, []).append(figure)
    for svg in plots:
        if "-bars-" not in svg.find(SVG + "title").get("id"):
            continue
        mark = "-".join(svg.find(SVG + "title").get("id").split("-")[:2])
        scale = ticks(svg, "across")
        expect(len(scale) >= 2 and (0, 0) in scale, f"a bar's scale does not begin at 0: {scale}")
        for group in svg.findall(SVG + "g"):
            drawn += 1
            bar = group.find(SVG + "rect")
            whiskers = [line for line in group.findall(SVG + "line")
                        if line.get("class") == "whisker"]
            ends = sorted({place(line.get(end)) for line in whiskers for end in ("x1", "x2")})
            label = group.find(SVG + "text").text
            fit = [figure for figure in figures[mark] if figure["name"].startswith(label) and
                   at(place(bar.get("width")), expected(scale, figure["median"])) and
                   (not ends if figure["lower_quartile"] is None else ends and
                    at(ends[0], expected(scale, figure["lower_quartile"])) and
                    at(ends[-1], expected(scale, figure["upper_quartile"])))]
            expect(fit and place(bar.get("x")) == 0,
                   f"{label}: a bar of {bar.get('width')} with whiskers at {ends}")
    expect(drawn == sum(map(len, figures.values())), f"{drawn} bars")


def marks(svg):
    return [(place(mark.get("x")), place(mark.get("y"))) for mark in svg.findall(SVG + "svg")
            if mark.get("width") == "1"]


def curves_are_at_their_numbers(plots, page, document):
    """The growth by size of the ring, and its slope in words."""
    mark, question = [(mark, one) for mark, one in questions(document)
                      if one["id"] == "throughput"][0]
    svg = [svg for svg in plots
           if svg.find(SVG + "title").get("id") == f"{mark}-curve-0-t"][0]
    across, upwards = ticks(svg, "across"), ticks(svg, "upwards")
    expect([number for _, number in across] == [512, 4096], f"{across}")
    upwards.sort(key=lambda tick: tick[1])
    there = [figure for figure in question["figures"] if figure["kind"] == "rounds"]
    for figure in there:
        want = (expected(across, figure["parameters"]["ring_records"], log=True),
                expected(upwards, figure["median"], log=True))
        expect(any(at(x, want[0]) and at(y, want[1]) for x, y in marks(svg)),
               f"{figure['name']} is not at {want}, but: {marks(svg)}")
    expect(len(marks(svg)) == len(there), f"{len(marks(svg))} marks")
    sizes = {figure["parameters"]["ring_records"]: figure["median"] for figure in there
             if figure["name"] == "tally_lane"}
    factor = (sizes[4096] / sizes[512]) ** (1 / 3)
    more = (sizes[4096] - sizes[512]) / (4096 - 512)
    rows = [row for row in page.sections[mark]["rows"] if len(row) == 5 and row[0] == "tally_lane"]
    expect(rows and all(map(near, map(value, rows[0][1:]),
                            (sizes[512], sizes[4096], factor, more))), f"slope: {rows}, {factor}")


def distributions_are_at_their_numbers(plots, document):
    """The stairs of a distribution at a percentile, and where they end."""
    for mark, question in questions(document):
        there = [figure for figure in question["figures"] if figure["kind"] == "distribution"]
        if not there:
            continue
        svg = [svg for svg in plots
               if svg.find(SVG + "title").get("id") == f"{mark}-spread-0-t"][0]
        across = {number: x for x, number in ticks(svg, "across")}
        upwards = sorted(ticks(svg, "upwards"), key=lambda tick: tick[1])
        paths = [path.get("d") for inner in svg.findall(SVG + "svg")
                 for path in inner.findall(SVG + "path") if "curve" in path.get("class")]
        expect(len(paths) == len(there), f"{len(paths)} curves")
        for figure, path in zip(there, paths):
            points = [tuple(map(float, point.split())) for point in re.split("[ML]", path)[1:]]
            for percent in (90, 99):
                seen, least = 0, None
                for bucket in figure["histogram"]:
                    seen += bucket["samples"]
                    if seen >= percent / 100 * figure["samples"]:
                        least = bucket["up_to_ns"]
                        break
                y = [after[1] for before, after in zip(points, points[1:])
                     if before[0] < across[percent] <= after[0]]
                expect(y and at(y[0], expected(upwards, least, log=True)),
                       f"{figure['name']}: {percent} % at {y}, not at {least}")
            expect(all(one[0] == two[0] or one[1] == two[1]
                       for one, two in zip(points, points[1:])),
                   f"{figure['name']}: no stairs: {path}")
            longest = figure["histogram"][-1]["up_to_ns"]
            expect(at(points[-1][1], expected(upwards, longest, log=True)), f"{points[-1]}")
        expect([at(y, point) for (_, y), point in zip(marks(svg), [
            expected(upwards, figure["histogram"][-1]["up_to_ns"], log=True) for figure in there
        ])] == [True] * len(there), "marks of the longest")


# ---- Looks ---------------------------------------------------------------------------------------

def brightness(colour):
    parts = [int(colour[place:place + 2], 16) / 255 for place in (1, 3, 5)]
    parts = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
             for part in parts]
    return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]


def contrast(one, other):
    high, low = sorted((brightness(one), brightness(other)), reverse=True)
    return (high + 0.05) / (low + 0.05)


def colours_can_be_told(source):
    """Words on paper 4.5 to 1, lines and bars 3 to 1, light and dark."""
    light, dark = [dict(re.findall("--([a-z0-9-]+): (#[0-9a-f]{6})", block))
                   for block in re.findall(":root {([^}]*)}", source)[:2]]
    expect(light.keys() == dark.keys() and len(light) > 15, f"{light.keys() ^ dark.keys()}")
    for colours in (light, dark):
        for name, colour in colours.items():
            least = (4.5 if name in ("ink", "soft", "link", "met", "missed", "open") else
                     3 if name in ("own", "other", "edge") or re.match("s[0-9]$", name) else 1)
            expect(contrast(colour, colours["paper"]) >= least,
                   f"--{name} {colour} on {colours['paper']}: "
                   f"{contrast(colour, colours['paper']):.2f}")
        expect(contrast(colours["ink"], colours["warn"]) >= 4.5, "words of a warning")


# ---- Strange input -------------------------------------------------------------------------------

def strange(document):
    """The schema lets it through, but nobody would expect it."""
    document = copy.deepcopy(document)
    evil = "</svg></title><script>alert('1')</script>&amp;\"'<b \u202edrawkcab\x00\ud800 "
    first = document["programs"][0]
    first.update(program=evil, compiler=evil, only=evil, tally_version=evil, time="9" * 30, more=1)
    first["machine"].update(cpu=evil, kernel=None, governor=evil, warnings=[evil, "x" * 300],
                            load_begin=None, load_end=None)
    question = first["questions"][0]
    for text in ("question", "unit", "base", "id"):
        question[text] = evil
    question["notes"] = [evil]
    question["goals"][0].update(value_of=evil, goal=evil, unit=evil, value=None, met=None)
    model = document["programs"][2]["questions"][0]["figures"][0]
    question["figures"] = [
        dict(model, name=f"{evil if index % 5 == 0 else 'x' * 90}{index}", unit=evil,
             parameters={evil: 2.0 ** power, "devices": float(index % 2)}, median=median,
             lower_quartile=-median, upper_quartile=median * 3, ratio_to_base=None)
        for index, median in enumerate((0, -3.5, 1e-90, 1e90, 7, 1, 2, 3, 4, 5, 6, 7, 8))
        for power in (0, 1, 5, 9)]
    question["figures"].append(dict(model, kind="absent", absent=evil, median=None))
    zero = copy.deepcopy(document["programs"][3]["questions"][0])
    zero["figures"][0].update(median=0, parameters={})
    spread = copy.deepcopy(document["programs"][1]["questions"][0])
    spread["figures"] = [
        dict(spread["figures"][0], name=f"{evil}{index}", samples=1, more=[], parameters={},
             histogram=[{"up_to_ns": 1e-3 * 10 ** index, "samples": 10 ** 9},
                        {"up_to_ns": 1e9 + index, "samples": 1}]) for index in range(12)]
    first["questions"] += [zero, dict(zero, figures=[], notes=[], goals=[]), spread,
                           dict(zero, question="Nothing?", figures=[question["figures"][-1]])]
    document["programs"].append(dict(document["programs"][1], questions=[]))
    return document


def strange_input_is_drawn(document, folder):
    results, page = os.path.join(folder, "strange.json"), os.path.join(folder, "strange.html")
    with open(results, "w", encoding="utf-8") as file:
        json.dump(strange(document), file)
    status, err = report(results, page)
    expect(status == 0, f"strange input: {status}: {err}")
    if status:
        return
    with open(page, encoding="utf-8") as file:
        source = file.read()
    well_formed(source)
    for word in ("<script", "<b ", "\u202e", "\x00"):
        expect(word not in source, f"the page has {word!r}")
    expect("&lt;script&gt;" in source, "names are left out")


def confidence_is_said(document, folder):
    """Of a median, by the programs that know it."""
    results, page = os.path.join(folder, "sure.json"), os.path.join(folder, "sure.html")
    document = copy.deepcopy(document)
    figure = document["programs"][0]["questions"][0]["figures"][1]
    figure.update(median_from=11.301, median_to=11.512, median_confidence=0.961)
    with open(results, "w", encoding="utf-8") as file:
        json.dump(document, file)
    status, err = report(results, page)
    expect(status == 0, f"confidence: {status}: {err}")
    with open(page, encoding="utf-8") as file:
        rows = well_formed(file.read())[0].sections["question-1"]["rows"]
    expect(any(row[0] == figure["name"] and row[4:7] == ["11.3", "11.51", "0.961"]
               for row in rows if row), f"confidence: {rows[:3]}")


def wrong_input_is_refused(document, folder):
    """It says where, and leaves the page that is there alone."""
    results, page = os.path.join(folder, "wrong.json"), os.path.join(folder, "page.html")
    where = "programs[0].questions[0].figures[0]"
    good = json.dumps(document)

    def changed(change):
        other = copy.deepcopy(document)
        change(other, other["programs"][0]["questions"][0]["figures"][0])
        return json.dumps(other)

    cases = [
        ("[]", "is no object"), ("", "is no JSON"), ("{", "is no JSON"), ("\udcff", "is no JSON"),
        ("[" * 200000, "is no JSON"), (good.replace("tally.bench-results/1", "x"), "schema: "),
        (good.replace('"tally.bench/1"', '"tally.bench/2"', 1), "programs[0].schema: "),
        (changed(lambda top, _: top.update(programs=[])), "programs: nothing was run"),
        (changed(lambda top, _: top.update(programs={})), "programs: is no list"),
        (changed(lambda top, _: top["programs"][0].pop("machine")), "has no 'machine'")]
    for value_ in ("NaN", "Infinity", "-Infinity", "1e999", "null", '"7"', "true", "9" * 400,
                   "{}"):
        text = changed(lambda _, figure: figure.update(median="HERE")).replace('"HERE"', value_)
        cases.append((text, "no number in JSON" if "N" in value_ or "I" in value_ else
                      f"{where}.median: is "))
    for name, value_ in (("kind", "guess"), ("placement", "here"), ("samples", 1.5),
                         ("samples", -1), ("dropped", True), ("histogram", None),
                         ("histogram", [{"up_to_ns": 0, "samples": 1}]),
                         ("histogram", [{"up_to_ns": 1, "samples": 0}]),
                         ("parameters", []), ("parameters", {"threads": None}), ("name", None)):
        cases.append((changed(lambda _, figure: figure.update({name: value_})),
                      f"{where}.{name}"))
    with open(page, "w", encoding="utf-8") as file:
        file.write("as it was")
    for text, words in cases:
        with open(results, "w", encoding="utf-8", errors="surrogateescape") as file:
            file.write(text)
        status, err = report(results, page)
        expect(status == 2 and words in err and err.count("\n") == 1 and "Traceback" not in err,
               f"{text[:40]}..., {words}: {status}: {err[-200:]}")
    status, err = report(os.path.join(folder, "none.json"), page)
    expect(status == 2 and "No such file" in err, f"no file: {status}: {err}")
    with open(page, encoding="utf-8") as file:
        expect(file.read() == "as it was", "the page was touched")
    os.link(page, page + ".before")
    status, err = report(RESULTS, page)
    with open(page + ".before", encoding="utf-8") as file:
        expect(status == 0 and file.read() == "as it was", "the page was not put in place whole")
    status, err = report(RESULTS, os.path.join(folder, "none", "page.html"))
    expect(status == 2 and "No such file" in err, f"no folder: {status}: {err}")


def main():
    with open(RESULTS, encoding="utf-8") as file:
        document = json.load(file)
    done = subprocess.run(["tests/schemas/validate.py", "bench_results", RESULTS],
                          capture_output=True, text=True)
    expect(done.returncode == 0, f"{RESULTS} is none any more: {done.stdout}{done.stderr}")
    folder = tempfile.mkdtemp(prefix="test-of-tally-report-")
    try:
        sources = []
        for env in ({"PYTHONHASHSEED": "1", "TZ": "UTC"},
                    {"PYTHONHASHSEED": "2", "TZ": "Asia/Tokyo", "LC_ALL": "C"}):
            path = os.path.join(folder, f"{len(sources)}.html")
            status, err = report(RESULTS, path, **env)
            expect(status == 0 and not err, f"exit status {status}: {err}")
            with open(path, encoding="utf-8") as file:
                sources.append(file.read())
        expect(sources[0] == sources[1], "the same results give another page")
        page, plots = well_formed(sources[0])
        everything_is_said(page, document)
        bars_are_at_their_numbers(plots, document)
        curves_are_at_their_numbers(plots, page, document)
        distributions_are_at_their_numbers(plots, document)
        colours_can_be_told(sources[0])
        strange_input_is_drawn(document, folder)
        confidence_is_said(document, folder)
        wrong_input_is_refused(document, folder)
    finally:
        shutil.rmtree(folder)
    for what in wrong:
        print(what)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
