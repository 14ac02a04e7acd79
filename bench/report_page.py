# SPDX-License-Identifier: Apache-2.0
"""The page of the benchmark report: the machine, the goals, what is absent, and each question."""
import datetime
import os

from report_plots import number, text
from report_question import goal_figure, goal_words, optional, question_section, table, verdict

HOW = """<p>All contenders of a question take turns within one run, again and again: each time
around is a round. A bar is the <b>median</b> of the rounds, the line on it the <b>middle half</b>
of them: a quarter of the rounds lay below it, a quarter above. Only <b>quiet</b> rounds count,
those in which a fixed loop of additions, timed before and after, ran at full speed and nobody took
the processor away; the others are <b>disturbed</b>, and are used only where fewer than nine rounds
were quiet. Ratios are taken round by round, so that they hold whatever the machine was doing. What
crosses processors stands between two ping-pongs of a single cache line and is filed under the
<b>placement</b> that their round trip shows (same core below 45&nbsp;ns, near below 150, far below
300, remote above); where the two disagree, the round is <b>dropped</b>. Single calls are timed by
a timestamp before and after, with the timestamp's own cost taken off.</p>"""


def one_line(html):
    return html.replace("\n", " ")


def counted(count, word):
    return f"{count} {word}{'' if count == 1 else 's'}"


def moment(time):
    """Nanoseconds since 1970, in words."""
    try:
        seconds = int(time) // 10**9
        return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).strftime(
            "%Y-%m-%d %H:%M UTC")
    except (ValueError, OverflowError, OSError):
        return time


def goals_table(found):
    """found: goal, question, mark."""
    rows = [[goal_words(goal), verdict(goal), goal_figure(goal), text(goal["goal"]),
             f'<a href="#{mark}">{text(question["question"])}</a>']
            for goal, question, mark in found]
    return table("Goals", ["goal", "verdict", "figure", "limit", "question"], rows, {2},
                 ' class="goals"')


def goals_section(questions):
    found = [(goal, question, mark) for mark, _, question in questions
             for goal in question["goals"]]
    if not found:
        return "<p>These programs have no goals.</p>"
    found.sort(key=lambda one: [False, None, True].index(one[0]["met"]))
    counts = [sum(goal["met"] is met for goal, _, _ in found) for met in (True, False, None)]
    return (f'<p class="tally"><b>{counts[0]}</b> met, <b>{counts[1]}</b> missed, '
            f"<b>{counts[2]}</b> not judged.</p>" + goals_table(found))


def machine_list(machine):
    rows = (("Processor", machine["cpu"] or "unknown"),
            ("Architecture", machine["architecture"] or "unknown"),
            ("Kernel", machine["kernel"] or "unknown"),
            ("Processors", machine["processors"]),
            ("Virtual machine", "yes" if machine["virtual_machine"] else "no"),
            ("Frequency governor", machine["governor"] or "unknown"))
    return '<dl class="machine">' + "".join(
        f"<div><dt>{name}</dt><dd>{text(value)}</dd></div>" for name, value in rows) + "</dl>"


def runs_table(programs):
    rows = []
    for one in programs:
        machine = one["machine"]
        rows.append([text(one["program"]), text(moment(one["time"])),
                     optional(machine["load_begin"]), optional(machine["load_end"]),
                     number(machine["timestamp_cost_ns"]), number(machine["timestamp_doubt_ns"]),
                     number(machine["tick_ns"]), "few" if one["quick"] else "all",
                     text(one["only"] or "everything"), text(one["compiler"]),
                     text(one["tally_version"])])
    return table("Runs", ["program", "begun", "load before", "load after", "timestamp, ns",
                          "give or take, ns", "tick, ns", "rounds", "of", "compiler", "Tally"],
                 rows, {2, 3, 4, 5, 6})


def machine_section(programs):
    shown = list(dict.fromkeys(machine_list(one["machine"]) for one in programs))
    return "".join(shown) + runs_table(programs), len(shown) > 1


def warnings(programs, mixed):
    said = {}
    for one in programs:
        for warning in one["machine"]["warnings"]:
            said.setdefault(warning, []).append(one["program"])
        if one["quick"]:
            said.setdefault("few rounds (--quick): less certain figures", []).append(
                one["program"])
        if one["only"] is not None:
            said.setdefault(f'only what has "{one["only"]}" in its name was measured',
                            []).append(one["program"])
    if mixed:
        said["the programs ran on different machines: do not compare their figures"] = []
    if not said:
        return '<p class="calm">Nothing on the machine gave cause for a warning.</p>'
    rows = "".join(f'<li>{text(words[:1].upper() + words[1:])}'
                   f'{text(" (" + ", ".join(names) + ")") if names else ""}</li>'
                   for words, names in said.items())
    return (f'<aside class="warnings"><h2>{counted(len(said), "warning")}</h2>'
            f"<ul>{rows}</ul></aside>")


def absent_section(questions):
    """What is absent anywhere, once for each reason."""
    said = {}
    for mark, _, question in questions:
        for figure in question["figures"]:
            if figure["kind"] == "absent":
                marks = said.setdefault((figure["name"], figure["absent"]), {})
                marks[mark] = question["question"]
    if not said:
        return ""
    rows = [[text(name), text(why), "<br>".join(
        f'<a href="#{mark}">{text(words)}</a>' for mark, words in marks.items())]
        for (name, why), marks in said.items()]
    return '<section id="absent"><h2>What is absent</h2>' + table(
        "Absent", ["contender", "why", "questions"], rows, set()) + "</section>"


def contents(questions):
    return "<ol>" + "".join(f'<li><a href="#{mark}">{text(question["question"])}</a></li>'
                            for mark, _, question in questions) + "</ol>"


def page(programs):
    """The whole page, of what report_input.read() returns."""
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "report.css"),
              encoding="utf-8") as file:
        style = file.read().partition("*/\n")[2]
    questions = [(f"question-{index}", program, question) for index, (program, question) in
                 enumerate(((one["program"], question) for one in programs
                            for question in one["questions"]), 1)]
    machine, mixed = machine_section(programs)
    versions = ", ".join(dict.fromkeys(one["tally_version"] for one in programs))
    begun = moment(min(programs, key=lambda one: one["time"].zfill(40))["time"])
    sections = "\n".join(question_section(*one) for one in questions)
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Tally benchmarks, {text(begun)}</title>
<style>
{style}</style>
</head>
<body>
<header>
<p class="kicker">Tally {text(versions)}, {text(begun)}</p>
<h1>Benchmarks</h1>
<p class="lede">What Tally, a ring for telemetry, costs on this machine, beside what else could
be used. {counted(len(questions), "question")} by {counted(len(programs), "program")} of
<code>make bench</code>.</p>
</header>
<main>
{warnings(programs, mixed)}
<section id="goals"><h2>Goals</h2>
{goals_section(questions)}
</section>
{absent_section(questions)}
<section id="machine"><h2>The machine</h2>
{machine}
</section>
<section id="how"><h2>How it was measured</h2>
{one_line(HOW)}
</section>
<nav id="questions" aria-label="Questions"><h2>Questions</h2>
{contents(questions)}
</nav>
{sections}
</main>
</body>
</html>
"""
