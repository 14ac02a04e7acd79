# SPDX-License-Identifier: Apache-2.0
"""The page of the benchmark report: words and tables around the plots of report_plots.py."""
import datetime
import math
import os

import report_plots as plots
from report_plots import number, text

PLACES = {None: "", "same core": "same core: round trip below 45 ns",
          "near": "near: round trip 45 to 150 ns", "far": "far: round trip 150 to 300 ns",
          "remote": "remote: round trip over 300 ns"}
VERDICTS = {False: ("missed", "\u2717 missed"), None: ("open", "\u2013 not judged"),
            True: ("met", "\u2713 met")}
HOW = """<p>All contenders of a question run in one process, one after the other, again and again:
each such turn is a round. A bar is the <b>median</b> of the rounds, the line on it the <b>middle
half</b> of them: a quarter of the rounds lay below it, a quarter above. Only <b>quiet</b> rounds
count, those in which a fixed loop of additions, timed before and after, ran at full speed and
nobody took the processor away; the others are <b>disturbed</b>, and are used only where fewer
than nine rounds were quiet. Ratios are taken round by round, so that they hold whatever the machine was
doing. What crosses processors stands between two ping-pongs of a single cache line and is
filed under the <b>placement</b> that their round trip shows (same core below 45&nbsp;ns, near below
150, far below 300, remote above); where the two disagree, the round is <b>dropped</b>. Single
calls are timed by a timestamp before and after, with the timestamp's own cost taken off.</p>"""


# ---- Small parts ---------------------------------------------------------------------------------

def one_line(html):
    return html.replace("\n", " ")


def spaced(name):
    return name.replace("_", " ")


def counted(count, word):
    return f"{count} {word}{'' if count == 1 else 's'}"


def table(caption, heads, rows, numeric, widest=""):
    """heads and rows are HTML; `numeric` columns are numbers. A wide one scrolls by itself."""
    parts = [f'<div class="scroll" tabindex="0" role="region" aria-label="{caption}"><table'
             f'{widest}><caption>{caption}</caption><thead><tr>']
    parts += [f'<th scope="col"{" class=n" if index in numeric else ""}>{head}</th>'
              for index, head in enumerate(heads)]
    parts.append("</tr></thead><tbody>")
    for row in rows:
        parts.append("<tr>" + "".join(
            f'<th scope="row">{cell}</th>' if index == 0 else
            f'<td{" class=n" if index in numeric else ""}>{cell}</td>'
            for index, cell in enumerate(row)) + "</tr>")
    parts.append("</tbody></table></div>")
    return "".join(parts).replace("class=n", 'class="n"')


def optional(value, suffix=""):
    return "" if value is None else number(value) + suffix


def moment(time):
    """Nanoseconds since 1970, in words."""
    try:
        seconds = int(time) // 10**9
        return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).strftime(
            "%Y-%m-%d %H:%M UTC")
    except (ValueError, OverflowError, OSError):
        return time


# ---- What figures have in common -----------------------------------------------------------------

def value_of(figure, name):
    return dict(figure["parameters"]).get(name)


def parameter_names(figures):
    return list(dict.fromkeys(name for figure in figures for name, _ in figure["parameters"]))


def varying(figures):
    """Parameters that are not the same for all."""
    return [name for name in parameter_names(figures)
            if len({value_of(figure, name) for figure in figures}) > 1]


def parameter_words(figure, names):
    return ", ".join(f"{spaced(name)} {number(value)}" for name, value in figure["parameters"]
                     if name in names)


def heading(*words):
    """Of a panel; empty where there is but one."""
    words = ", ".join(word for word in words if word)
    return words[:1].upper() + words[1:]


def grouped(figures, key):
    groups = {}
    for figure in figures:
        groups.setdefault(key(figure), []).append(figure)
    return groups


def tone(figure, question, names):
    """Which class of report.css a bar is."""
    if figure["name"] == question["base"]:
        return "base"
    if any(name.startswith("tally") for name in names):
        return "own" if figure["name"].startswith("tally") else "other"
    return "own"


def panel(title, body, legend=""):
    head = f"<figcaption>{text(title)}</figcaption>" if title else ""
    return f'<figure class="panel">{head}{legend}{body}</figure>'


def legend(names):
    return '<ul class="legend">' + "".join(
        f"<li>{plots.swatch(index)} {text(name)}</li>" for index, name in enumerate(names)
    ) + "</ul>"


# ---- Plots of a question -------------------------------------------------------------------------

def bar_panels(question, mark, figures):
    names = list(dict.fromkeys(figure["name"] for figure in figures))
    apart = varying(figures)
    shared = apart if len(names) > 2 else []  # else a panel would hold one bar or two
    best = (lambda row: -row["median"]) if question["better"] == "more" else (
        lambda row: row["median"])
    parts = []
    for unit, of_unit in grouped(figures, lambda figure: figure["unit"]).items():
        for (words, place), group in grouped(of_unit, lambda figure: (
                parameter_words(figure, shared), figure["placement"])).items():
            rows = [{"label": ", ".join(filter(None, (
                        figure["name"],
                        parameter_words(figure, [name for name in apart if name not in shared])))),
                     "class": tone(figure, question, names), "median": figure["median"],
                     "lower": figure["lower_quartile"], "upper": figure["upper_quartile"]}
                    for figure in group]
            if shared or not apart:
                rows.sort(key=best)
            title = heading(words, PLACES[place])
            whole = f'{question["question"]} {title}'
            parts.append(panel(title, plots.bars(f"{mark}-bars-{len(parts)}", whole, rows, unit)))
    keys = ['<span class="key own"></span> Tally'] if any(
        tone(figure, question, names) == "own" for figure in figures) else []
    if any(figure["name"] == question["base"] for figure in figures):
        keys.append(f'<span class="key base"></span> {text(question["base"])}')
    if any(tone(figure, question, names) == "other" for figure in figures):
        keys.append('<span class="key other"></span> others')
    if any(figure["kind"] == "rounds" for figure in figures):
        keys.append('<span class="key line"></span> middle half of the rounds')
    own = " Each plot has a scale of its own." if len(parts) > 1 else ""
    return (f'<h4>Side by side</h4><p class="scale">{text(question["unit"])}, '
            f'{question["better"]} is better.{own} {" ".join(f"<span>{key}</span>" for key in keys)}</p>'
            f'<div class="panels">{"".join(parts)}</div>')


def fit(points):
    """Slope of the straight line nearest to points."""
    middle_x = math.fsum(x for x, _ in points) / len(points)
    middle_y = math.fsum(y for _, y in points) / len(points)
    spread = math.fsum((x - middle_x) ** 2 for x, _ in points)
    return math.fsum((x - middle_x) * (y - middle_y) for x, y in points) / spread


def slopes(points):
    """Factor for each doubling of the parameter (None where that means nothing), and what one
    more of it adds."""
    if min(points)[0] <= 0 or min(y for _, y in points) <= 0:
        return None, fit(points)
    exponent = fit([(math.log2(x), math.log2(y)) for x, y in points])
    return (2 ** exponent if abs(exponent) < 300 else None), fit(points)


def scaling_chart(question, name, parameter, title, series, unit):
    plot, log_x, log_y = plots.scaling(name, f'{question["question"]} {title}',
                                       series, unit)
    rows = []
    for words, points in series:
        factor, more = slopes(points)
        rows.append([text(words), number(points[0][1]), number(points[-1][1]),
                     "" if factor is None else f"\u00d7\u202f{number(factor)}", number(more)])
    first = min(points[0][0] for _, points in series)
    last = max(points[-1][0] for _, points in series)
    what = spaced(parameter)
    said = table(f"Slope by {text(what)}, {text(unit)}", ["", f"at {number(first)}",
                 f"at {number(last)}", "each doubling", "each one more"], rows, {1, 2, 3, 4})
    axes = (f'<p class="scale">Across: {text(what)}{", by doublings" if log_x else ""}. '
            f'Upwards: {text(unit)}{", by factors of ten" if log_y else ""}.</p>')
    return panel(title, axes + plot + said, legend([words for words, _ in series]))


def scaling_panels(question, mark, figures):
    parts, alone = [], []
    for parameter in varying(figures):
        others = [name for name in varying(figures) if name != parameter]
        known = [figure for figure in figures if value_of(figure, parameter) is not None]
        for (unit, words, place), group in grouped(known, lambda figure: (
                figure["unit"], parameter_words(figure, others), figure["placement"])).items():
            series = []
            for name, points in grouped(group, lambda figure: figure["name"]).items():
                points = sorted((value_of(one, parameter), one["median"]) for one in points)
                if points[0][0] < points[-1][0]:
                    series.append((name, points))
                else:
                    alone.append(name)
            if not series:
                continue
            series.sort(key=lambda one: -one[1][-1][1])
            title = heading(f"by {spaced(parameter)}", words, PLACES[place])
            parts.append(scaling_chart(question, f"{mark}-curve-{len(parts)}", parameter, title,
                                       series, unit))
    said = ('<p class="scale">Only figures of the same placement are joined; the others are in the '
            'bars.</p>') if alone else ""
    return f'<h4>Growth</h4>{said}<div class="panels">{"".join(parts)}</div>' if parts else ""


def spread_panels(question, mark, figures):
    apart, parts = varying(figures), []
    for (unit, words, place), group in grouped(figures, lambda figure: (
            figure["unit"], parameter_words(figure, apart), figure["placement"])).items():
        series = [(figure["name"], figure["histogram"]) for figure in group]
        title = heading(words, PLACES[place])
        plot = plots.distributions(f"{mark}-spread-{len(parts)}",
                                   f'{question["question"]} {title}', series, unit)
        axes = (f'<p class="scale">Across: percentile, each mark ten times rarer than the one '
                f'before. Upwards: {text(unit)}, by factors of ten.</p>')
        parts.append(panel(title, axes + plot, legend([name for name, _ in series])))
    return f'<h4>Distribution</h4><div class="panels">{"".join(parts)}</div>'


# ---- Tables of a question ------------------------------------------------------------------------

def numbers(question, figures, heads, cells):
    """A row for each figure: its name, what it was measured with, and cells(figure)."""
    apart = varying(figures)
    placed = any(figure["placement"] for figure in figures)
    based = any(figure["ratio_to_base"] is not None for figure in figures)
    first = ["figure"] + [text(spaced(name)) for name in apart] + (["placement"] if placed else [])
    heads = first + heads + ([f'\u00f7 {text(question["base"])}'] if based else []) + [
        "samples", "disturbed", "dropped"]
    rows = []
    for figure in figures:
        row = [text(figure["name"])] + [optional(value_of(figure, name)) for name in apart]
        row += [text(figure["placement"] or "")] if placed else []
        row += cells(figure) + ([optional(figure["ratio_to_base"])] if based else [])
        rows.append(row + [f"{figure[key]:,}" for key in ("samples", "disturbed", "dropped")])
    numeric = set(range(1, len(heads))) - ({1 + len(apart)} if placed else set())
    return table(f'Numbers, {text(question["unit"])}', heads, rows, numeric)


def median_table(question, figures):
    keys = ("median", "lower_quartile", "upper_quartile")
    return numbers(question, figures, ["median", "lower quartile", "upper quartile"],
                   lambda figure: [optional(figure[key]) for key in keys])


def spread_table(question, figures):
    keys = ("median", "p90", "p99", "p99_9", "max")
    return numbers(question, figures, ["median", "90 %", "99 %", "99.9 %", "longest"],
                   lambda figure: [optional(figure[key]) for key in keys])


def absent_list(figures):
    """Each with its reason, and with what it would have been measured."""
    rows, apart = [], varying(figures)
    for (name, why), group in grouped(figures, lambda figure: (
            figure["name"], figure["absent"])).items():
        words = "; ".join(filter(None, (parameter_words(figure, apart) for figure in group)))
        rows.append(f'<li><b>{text(name)}</b>: {text(why)}'
                    f'{text(" (" + words + ")") if words else ""}</li>')
    return f'<h4>Absent</h4><ul class="absent">{"".join(rows)}</ul>' if rows else ""


# ---- Goals ---------------------------------------------------------------------------------------

def verdict(goal):
    kind, words = VERDICTS[goal["met"]]
    return f'<span class="verdict {kind}">{words}</span>'


def goal_words(goal):
    return text(goal["value_of"].rstrip(" :"))


def goal_figure(goal):
    if goal["value"] is None:
        return ""
    return number(goal["value"]) + (f' {text(goal["unit"])}' if goal["unit"] else "")


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


# ---- Sections ------------------------------------------------------------------------------------

def question_section(mark, program, question):
    figures = question["figures"]
    there = [figure for figure in figures if figure["kind"] != "absent"]
    same = [name for name in parameter_names(there) if name not in varying(there)]
    about = f'<code>{text(program)}</code>, {text(question["unit"])}, {question["better"]} is better'
    if same:
        about += f"; all with {text(parameter_words(there[0], same))}"
    if question["base"] is not None:
        about += f'; ratios to {text(question["base"])}'
    parts = [f'<section id="{mark}"><h3>{text(question["question"])}</h3><p class="about">{about}'
             "</p>"]
    parts += [f'<p class="note">{text(note)}</p>' for note in question["notes"]]
    if question["goals"]:
        parts.append('<ul class="verdicts">' + "".join(
            f'<li>{verdict(goal)} {goal_words(goal)}'
            f'{": " if goal["value"] is not None else ""}{goal_figure(goal)}'
            f' ({text(goal["goal"])})</li>'
            for goal in question["goals"]) + "</ul>")
    single = [figure for figure in there if figure["kind"] != "distribution"]
    spread = [figure for figure in there if figure["kind"] == "distribution"]
    if single:
        parts += [bar_panels(question, mark, single), median_table(question, single),
                  scaling_panels(question, mark, single)]
    if spread:
        parts += [spread_panels(question, mark, spread), spread_table(question, spread)]
    if not there:
        parts.append("<p>Nothing was measured.</p>")
    parts += [absent_list([figure for figure in figures if figure["kind"] == "absent"]),
              "</section>"]
    return "".join(parts)


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
