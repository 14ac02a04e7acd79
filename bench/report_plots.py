# SPDX-License-Identifier: Apache-2.0
"""SVG plots of the benchmark report: bars with spread, scaling curves, latency distributions.

Places across are percentages and all else is in pixels, so that a plot fills whatever width it is
given while its words keep their size. Nothing here knows what the numbers mean.
"""
import html
import math
import re

COLOURS = 8  # --s0 to --s7 of report.css
DASHES = ("none", "7 3", "2 3")
MARKS = ("M-4 0a4 4 0 1 0 8 0a4 4 0 1 0-8 0z", "M-3.5-3.5h7v7h-7z", "M0-4.6 4.6 3.4h-9.2z",
         "M0-5 5 0 0 5-5 0z", "M0 4.6-4.6-3.4h9.2z", "M-4.5-1.3h3.2v-3.2h2.6v3.2h3.2v2.6h-3.2v3.2"
         "h-2.6v-3.2h-3.2z", "M-5-2.5h10v5h-10z", "M-2.5-5h5v10h-5z")
LABEL = 36  # characters of a bar's label on one line, with room for its number on a phone
BAR, ROW, LINE = 11, 10, 17  # heights: of a bar, between rows, of a line of a label
LEFT, RIGHT = 14, 97  # per cent between which the points of a curve lie
TOP, TALL = 26, 230  # of a curve's plot
PHONE = 328  # pixels of the narrowest plot

# What XML cannot hold, and what turns the direction of all words after it.
STRANGE = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069"
                     "\ud800-\udfff\ufffe\uffff]")


def text(words):
    """Words of others as part of a page."""
    return html.escape(STRANGE.sub("\ufffd", str(words)))


def number(value):
    """Four digits or so, as people write them."""
    if value == 0:
        return "0"
    if abs(value) >= 1e12 or abs(value) < 1e-4:
        return f"{value:.3g}".replace("-", "\u2212")
    if abs(value) >= 1000:
        said = f"{value:,.0f}"
    else:
        said = f"{value:.4g}"
    return said.replace("-", "\u2212")


class Scale:
    """Values to per cent, or to pixels, between round numbers that hold them all."""

    def __init__(self, values, begin, end, log=False, zero=False, steps=5, tight=False):
        self.log = log
        self.begin, self.end = begin, end
        low, high = min(values), max(values)
        if log:
            self.ticks = self._powers(low, high)
        else:
            if zero:
                low, high = min(low, 0), max(high, 0)
            self.ticks = self._round(low, high, steps)
        self.low, self.high = (low, high) if tight else (self.ticks[0], self.ticks[-1])
        if self.low == self.high:
            self.high = self.low * 2 if log else self.low + 1
        self.ticks = [tick for tick in self.ticks if self.low <= tick <= self.high]

    @staticmethod
    def _powers(low, high):
        first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
        last = max(last, first + 1)
        stride = (last - first) // 6 + 1
        return [10.0 ** power for power in range(first, last + stride, stride)]

    @staticmethod
    def _round(low, high, steps):
        span = (high - low) or abs(high) or 1
        unit = 10.0 ** math.floor(math.log10(span / steps))
        step = next(unit * by for by in (1, 2, 2.5, 5, 10, 20) if unit * by * steps >= span)
        first, last = math.floor(low / step), math.ceil(high / step)
        return [index * step for index in range(first, max(last, first + 1) + 1)]

    def at(self, value):
        if self.log:
            part = math.log(value / self.low) / math.log(self.high / self.low)
        else:
            part = (value - self.low) / (self.high - self.low)
        return self.begin + part * (self.end - self.begin)


def spot(value):
    """A place, short and the same on every machine."""
    said = f"{value:.3f}".rstrip("0").rstrip(".")
    return "0" if said == "-0" else said


def across(value):
    return spot(value) + "%"


def anchor(place):
    return "start" if place < 4 else "end" if place > 96 else "middle"


def frame(name, title, description, height, parts):
    """A plot as one image for those who cannot see it."""
    return (f'<svg xmlns="http://www.w3.org/2000/svg" role="img" class="plot" width="100%" '
            f'height="{spot(height)}" aria-labelledby="{name}-t {name}-d">'
            f'<title id="{name}-t">{text(title)}</title>'
            f'<desc id="{name}-d">{text(description)}</desc>{"".join(parts)}</svg>')


def upright(scale, top, bottom):
    """Grid lines from top to bottom with their numbers beneath."""
    parts = []
    for tick in scale.ticks:
        place = scale.at(tick)
        parts.append(f'<line class="grid" x1="{across(place)}" x2="{across(place)}" '
                     f'y1="{spot(top)}" y2="{spot(bottom)}"/>'
                     f'<text class="tick" x="{across(place)}" y="{spot(bottom + 15)}" '
                     f'text-anchor="{anchor(place)}">{number(tick)}</text>')
    return parts


# ---- Bars ----------------------------------------------------------------------------------------

def wrapped(words, width):
    """Lines of at most so many characters."""
    lines = [""]
    for word in STRANGE.sub("\ufffd", words).split():
        while word:
            room = width - len(lines[-1]) - (1 if lines[-1] else 0)
            if len(word) <= room:
                lines[-1] += (" " if lines[-1] else "") + word
                word = ""
            elif lines[-1]:
                lines.append("")
            else:
                lines[-1], word = word[:width], word[width:]
                lines.append("")
    return [line for line in lines if line] or ["\ufffd"]


def bars_scale(rows):
    """From 0, so that lengths may be compared."""
    ends = [row[key] for row in rows for key in ("median", "lower", "upper")
            if row[key] is not None]
    return Scale(ends, 0, 100, zero=True)


def bar(row, scale, top, unit):
    """Its label and number, and beneath them the bar with its whisker."""
    parts, zero = [], scale.at(0)
    lines = wrapped(row["label"], LABEL)
    for index, line in enumerate(lines):
        parts.append(f'<text class="name" x="0" y="{spot(top + 12 + index * LINE)}">'
                     f'{text(line)}</text>')
    parts.append(f'<text class="value" x="100%" y="{spot(top + 12)}" text-anchor="end">'
                 f'{number(row["median"])}</text>')
    top += len(lines) * LINE
    place = scale.at(row["median"])
    parts.append(f'<rect class="bar {row["class"]}" x="{across(min(zero, place))}" '
                 f'y="{spot(top)}" width="{across(abs(place - zero))}" height="{BAR}"/>')
    words = f'{row["label"]}: {number(row["median"])} {unit}'
    if row["lower"] is not None and row["upper"] is not None:
        low, high = scale.at(row["lower"]), scale.at(row["upper"])
        middle = top + BAR / 2
        for kind in ("halo", "whisker"):
            parts.append(f'<line class="{kind}" x1="{across(low)}" x2="{across(high)}" '
                         f'y1="{spot(middle)}" y2="{spot(middle)}"/>')
            for end in (low, high):
                parts.append(f'<line class="{kind}" x1="{across(end)}" x2="{across(end)}" '
                             f'y1="{spot(top + 1)}" y2="{spot(top + BAR - 1)}"/>')
        words += f', middle half {number(row["lower"])} to {number(row["upper"])}'
    return (f'<g><title>{text(words)}</title>{"".join(parts)}</g>', top + BAR + ROW)


def bars(name, title, rows, unit):
    """rows: label, class (of report.css), median, lower, upper (or None)."""
    parts, top, scale = [], 0, bars_scale(rows)
    for row in rows:
        part, top = bar(row, scale, top, unit)
        parts.append(part)
    parts = upright(scale, 0, top) + [
        f'<line class="axis" x1="{across(scale.at(0))}" x2="{across(scale.at(0))}" y1="0" '
        f'y2="{spot(top)}"/>'] + parts
    best = "; ".join(f'{row["label"]} {number(row["median"])}' for row in rows[:12])
    return frame(name, title, f"Bars, in {unit}, from 0: {best}.", top + 20, parts)


# ---- Curves --------------------------------------------------------------------------------------

def look(index):
    """Colour, dashes and mark: no two lines share all, and none is told by its colour alone."""
    return (index % COLOURS, DASHES[index // COLOURS % len(DASHES)],
            MARKS[(index + index // COLOURS) % len(MARKS)])


def mark(index, x, y):
    return (f'<svg x="{x}" y="{y}" width="1" height="1" overflow="visible">'
            f'<path class="mark s{look(index)[0]}" d="{look(index)[2]}"/></svg>')


def swatch(index):
    """Of the legend; its words are beside it."""
    colour, dashes, _ = look(index)
    return (f'<svg xmlns="http://www.w3.org/2000/svg" class="swatch" width="30" height="12" '
            f'aria-hidden="true"><line class="curve s{colour}" x1="0" x2="30" y1="6" y2="6" '
            f'stroke-dasharray="{dashes}"/>{mark(index, "15", "6")}</svg>')


def flat(scale):
    """Grid lines across, their numbers above them at the left."""
    parts = []
    for tick in scale.ticks:
        place = spot(scale.at(tick))
        parts.append(f'<line class="grid" x1="0" x2="100%" y1="{place}" y2="{place}"/>'
                     f'<text class="tick" x="0" y="{spot(scale.at(tick) - 4)}">{number(tick)}'
                     '</text>')
    return parts


def curve(index, points, marked):
    """points: per cent, pixels."""
    colour, dashes, _ = look(index)
    path = "".join(f'{"L" if place else "M"}{spot(x)} {spot(y)}'
                   for place, (x, y) in enumerate(points))
    parts = [f'<svg x="0" y="0" width="100%" height="{TOP + TALL}" viewBox="0 0 100 '
             f'{TOP + TALL}" preserveAspectRatio="none"><path class="curve s{colour}" '
             f'vector-effect="non-scaling-stroke" stroke-dasharray="{dashes}" d="{path}"/></svg>']
    return parts + [mark(index, across(points[place][0]), spot(points[place][1]))
                    for place in marked]


def wide(values):
    """Whether they are better seen by their ratios."""
    return min(values) > 0 and max(values) / min(values) > 20


def scaling(name, title, series, unit):
    """series: name, points (parameter, value). Returns the plot and what its scales are."""
    xs = sorted({x for _, points in series for x, _ in points})
    ys = [y for _, points in series for _, y in points]
    log_x, log_y = xs[0] > 0 and xs[-1] / xs[0] >= 4, wide(ys)
    x_scale = Scale(xs, LEFT, RIGHT, log=log_x, tight=True)
    x_scale.ticks = xs if len(xs) <= 6 else [xs[round(i * (len(xs) - 1) / 5)] for i in range(6)]
    y_scale = Scale(ys, TOP + TALL, TOP, log=log_y, zero=True)
    parts = flat(y_scale) + upright(x_scale, TOP, TOP + TALL)
    for index, (_, points) in enumerate(series):
        places = [(x_scale.at(x), y_scale.at(y)) for x, y in points]
        parts += curve(index, places, range(len(places)))
    said = "; ".join(f"{words} from {number(points[0][1])} to {number(points[-1][1])}"
                     for words, points in series[:12])
    return frame(name, title, f"Curves, in {unit}: {said}.", TOP + TALL + 20, parts), log_x, log_y


# ---- Distributions -------------------------------------------------------------------------------

def tail(histogram):
    """Points (share of samples above, up to ns) of a histogram; the last is of the slowest one."""
    count = sum(samples for _, samples in histogram)
    points, seen = [(1.0, histogram[0][0])], 0
    for up_to, samples in histogram:
        seen += samples
        points.append((max(count - seen, 0.5) / count, up_to))
    return points


def percentile(share):
    """"99.9" of 0.001."""
    return f"{100 * (1 - share):.{max(0, round(-math.log10(share)) - 2)}f}"


def distributions(name, title, series, unit):
    """series: name, histogram (up_to, samples). Percentiles across, each mark a tenth of the
    samples of the one before; times upwards, by their ratios."""
    curves = [(words, tail(histogram)) for words, histogram in series]
    least = min(share for _, points in curves for share, _ in points)
    decades = max(2, math.ceil(-math.log10(least) - 1e-9))
    x_scale = Scale([10.0 ** -decades, 1.0], RIGHT, LEFT, log=True, tight=True)
    y_scale = Scale([up_to for _, points in curves for _, up_to in points], TOP + TALL, TOP,
                    log=True)
    parts = flat(y_scale)
    taken = -PHONE
    for power in range(decades + 1):
        place, words = x_scale.at(10.0 ** -power), percentile(10.0 ** -power)
        parts.append(f'<line class="grid" x1="{across(place)}" x2="{across(place)}" y1="{TOP}" '
                     f'y2="{TOP + TALL}"/>')
        room = 7 * len(words) + 6
        left = place / 100 * PHONE - (room if anchor(place) == "end" else room / 2)
        if left < taken:
            continue  # it would lie on the one before
        taken = left + room
        parts.append(f'<text class="tick" x="{across(place)}" y="{TOP + TALL + 15}" '
                     f'text-anchor="{anchor(place)}">{words}</text>')
    for index, (_, points) in enumerate(curves):
        places = [(x_scale.at(share), y_scale.at(up_to)) for share, up_to in points]
        stairs = [places[0]]
        for (x, _), after in zip(places, places[1:]):
            stairs += [(x, after[1]), after]
        parts += curve(index, stairs, [len(stairs) - 1])
    said = "; ".join(f"{words}: slowest {number(points[-1][1])}" for words, points in curves[:12])
    return frame(name, title, f"Distributions, in {unit}, by percentile: {said}.",
                 TOP + TALL + 20, parts)
