# SPDX-License-Identifier: Apache-2.0
"""The part of the benchmark report that answers one question: its goals, plots and tables."""
import math

import report_plots as plots
from report_plots import number, text

PLACES = {None: "", "same core": "same core: round trip below 45 ns",
          "near": "near: round trip 45 to 150 ns", "far": "far: round trip 150 to 300 ns",
          "remote": "remote: round trip over 300 ns"}
VERDICTS = {False: ("missed", "\u2717 missed"), None: ("open", "\u2013 not judged"),
            True: ("met", "\u2713 met")}


# ---- Small parts ---------------------------------------------------------------------------------

def spaced(name):
    return name.replace("_", " ")


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
    keys = " ".join(f"<span>{key}</span>" for key in keys)
    return (f'<h4>Side by side</h4><p class="scale">{text(question["unit"])}, '
            f'{question["better"]} is better.{own} {keys}</p>'
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
    heads = {"median": "median", "lower_quartile": "lower quartile",
             "upper_quartile": "upper quartile"}
    if any(figure["median_confidence"] is not None for figure in figures):
        heads.update(median_from="median from", median_to="to", median_confidence="confidence")
    return numbers(question, figures, list(heads.values()),
                   lambda figure: [optional(figure[key]) for key in heads])


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


# ---- The section ---------------------------------------------------------------------------------

def question_section(mark, program, question):
    figures = question["figures"]
    there = [figure for figure in figures if figure["kind"] != "absent"]
    same = [name for name in parameter_names(there) if name not in varying(there)]
    about = (f'<code>{text(program)}</code>, {text(question["unit"])}, '
             f'{question["better"]} is better')
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
