# SPDX-License-Identifier: Apache-2.0
"""Reads the benchmark report for its test: as a browser would, but with no mistake forgiven."""
import html.parser
import math
import re
import xml.etree.ElementTree

SVG = "{http://www.w3.org/2000/svg}"
VOID = {"meta", "br"}
wrong = []


def expect(holds, what):
    if not holds:
        wrong.append(what)


class Page(html.parser.HTMLParser):
    """The sections of a page, with their words and the cells of their tables."""

    def __init__(self, source):
        super().__init__(convert_charrefs=True)
        self.open, self.ids, self.links, self.sections, self.words = [], [], [], {}, []
        self.section, self.cell = None, None
        self.feed(source)
        self.close()
        expect(not self.open, f"left open: {self.open}")

    def handle_starttag(self, tag, attributes):
        names = [name for name, _ in attributes]
        expect(len(names) == len(set(names)), f"<{tag}> has an attribute twice: {names}")
        for name, value in attributes:
            expect(not name.startswith("on") and name not in ("src", "style", "srcset"),
                   f"<{tag} {name}={value}>")
            if name.endswith("href"):
                self.links.append(value)
            if name == "id":
                self.ids.append(value)
        expect(tag not in ("script", "link", "iframe", "img", "object", "base"), f"<{tag}>")
        if tag in VOID:
            return
        self.open.append(tag)
        if tag == "section":
            self.section = dict(attributes)["id"]
            self.sections[self.section] = {"rows": [], "words": []}
        elif tag == "tr" and self.section:
            self.sections[self.section]["rows"].append([])
        elif tag in ("td", "th") and self.section:
            self.sections[self.section]["rows"][-1].append("")

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag):
        expect(self.open and self.open[-1] == tag, f"</{tag}> where {self.open[-3:]} are open")
        while self.open and self.open.pop() != tag:
            pass
        if tag == "section":
            self.section = None

    def handle_data(self, data):
        if self.open and self.open[-1] == "style":
            return
        self.words.append(data)
        if self.section:
            self.sections[self.section]["words"].append(data)
            if {"td", "th"} & set(self.open):
                self.sections[self.section]["rows"][-1][-1] += data


def value(words):
    """The number that a reader takes from words, or None."""
    try:
        return float(words.replace(",", "").replace("\u2212", "-").lstrip("\u00d7\u202f"))
    except ValueError:
        return None


def near(one, other):
    return one is not None and math.isclose(one, other, rel_tol=1e-3, abs_tol=1e-9)


def images(source):
    """All outer SVG elements, read as XML."""
    found, start = [], 0
    while (start := source.find("<svg ", start)) >= 0:
        end, deep = start, 0
        while True:
            step = re.compile("<svg |</svg>").search(source, end)
            deep += 1 if step.group() == "<svg " else -1
            end = step.end()
            if not deep:
                break
        found.append(xml.etree.ElementTree.fromstring(source[start:end]))
        start = end
    return found


def well_formed(source):
    """Markup without a mistake; the page, and its plots."""
    page = Page(source)
    expect(source.startswith("<!DOCTYPE html>\n") and source.endswith("</html>\n"), "no document")
    expect(len(page.ids) == len(set(page.ids)), "an id is there twice")
    for link in page.links:
        expect(link[:1] == "#" and link[1:] in page.ids, f"a link leads to {link}")
    rest = source.replace('"http://www.w3.org/2000/svg"', "")
    for word in ("http:", "https:", "url(", "@import", "//"):
        expect(word not in rest, f"the page has {word}")
    plots = []
    for svg in images(source):
        if svg.get("aria-hidden") == "true":
            continue
        plots.append(svg)
        title, said = svg.find(SVG + "title"), svg.find(SVG + "desc")
        expect(svg.get("role") == "img" and title is not None and title.text and said.text and
               svg.get("aria-labelledby") == f"{title.get('id')} {said.get('id')}",
               f"a plot is not told: {svg.attrib}")
        for element in svg.iter():
            for name, words in element.attrib.items():
                expect("nan" not in words and "inf" not in words, f"{name}={words}")
    expect(plots, "there are no plots")
    return page, plots
