# SPDX-License-Identifier: Apache-2.0
"""Reads results.json for the report, and says where it is not what tests/schemas/bench.json asks.

Keys that nobody here knows are left alone: a program may have learnt to say more.
"""
import json
import math

SCHEMA = "tally.bench-results/1"
PROGRAM_SCHEMA = "tally.bench/1"
KINDS = ("rounds", "distribution", "value", "absent")
PLACES = ("same core", "near", "far", "remote")
HUGE = 1e100  # beyond it, and below its inverse, plots would be worked out wrongly


class Wrong(Exception):
    """The input is not what it should be; says where and how."""


def no_number(word):
    raise Wrong(f"{word} is no number in JSON")


class At:
    """A value and where it stands."""

    def __init__(self, value, path):
        self.value, self.path = value, path

    def fail(self, what):
        raise Wrong(f"{self.path or 'the document'}: {what}")

    def key(self, name):
        if not isinstance(self.value, dict):
            self.fail("is no object")
        if name not in self.value:
            self.fail(f"has no {name!r}")
        return At(self.value[name], f"{self.path}.{name}" if self.path else name)

    def items(self):
        if not isinstance(self.value, list):
            self.fail("is no list")
        return [At(value, f"{self.path}[{index}]") for index, value in enumerate(self.value)]

    def pairs(self):
        if not isinstance(self.value, dict):
            self.fail("is no object")
        return [(key, At(value, f"{self.path}.{key}")) for key, value in self.value.items()]

    def text(self, null=False):
        if null and self.value is None:
            return None
        if not isinstance(self.value, str):
            self.fail("is no string")
        return self.value

    def number(self, null=False):
        if null and self.value is None:
            return None
        if isinstance(self.value, bool) or not isinstance(self.value, (int, float)):
            self.fail("is no number")
        if abs(self.value) > HUGE or not math.isfinite(self.value):
            self.fail("is too large a number")
        return 0.0 if abs(self.value) < 1 / HUGE else float(self.value)

    def count(self):
        if isinstance(self.value, bool) or not isinstance(self.value, int) or self.value < 0:
            self.fail("is no count")
        self.number()
        return self.value

    def truth(self, null=False):
        if null and self.value is None:
            return None
        if not isinstance(self.value, bool):
            self.fail("is neither true nor false")
        return self.value

    def one_of(self, words):
        if self.value not in words:
            self.fail(f"is none of {', '.join(str(word) for word in words)}")
        return self.value


def machine(at):
    said = {name: at.key(name).text(null=True)
            for name in ("cpu", "architecture", "kernel", "governor")}
    said["processors"] = at.key("processors").count()
    said["virtual_machine"] = at.key("virtual_machine").truth()
    for name in ("load_begin", "load_end"):
        said[name] = at.key(name).number(null=True)
    for name in ("tick_ns", "timestamp_cost_ns", "timestamp_doubt_ns"):
        said[name] = at.key(name).number()
    said["warnings"] = [warning.text() for warning in at.key("warnings").items()]
    return said


def histogram(at):
    buckets = []
    for bucket in at.items():
        up_to = bucket.key("up_to_ns")
        if up_to.number() <= 0 or (buckets and up_to.number() <= buckets[-1][0]):
            up_to.fail("is not above the one before")
        if not bucket.key("samples").count():
            bucket.fail("is empty")
        buckets.append((up_to.number(), bucket.key("samples").count()))
    return buckets


def figure(at):
    kind = at.key("kind").one_of(KINDS)
    said = {"kind": kind, "name": at.key("name").text(), "unit": at.key("unit").text(),
            "parameters": tuple((name, value.number())
                                for name, value in at.key("parameters").pairs()),
            "placement": at.key("placement").one_of((None,) + PLACES),
            "absent": at.key("absent").text(null=kind != "absent"),
            "histogram": histogram(at.key("histogram"))}
    needed = {"rounds": ("median", "lower_quartile", "upper_quartile", "median_from", "median_to",
                         "median_confidence"), "value": ("median",),
              "distribution": ("median", "p90", "p99", "p99_9", "max"), "absent": ()}[kind]
    for name in ("median", "lower_quartile", "upper_quartile", "median_from", "median_to",
                 "median_confidence", "p90", "p99", "p99_9", "max", "ratio_to_base"):
        said[name] = at.key(name).number(null=name not in needed)
    for name in ("samples", "disturbed", "dropped"):
        said[name] = at.key(name).count()
    if kind == "distribution" and not said["histogram"]:
        at.key("histogram").fail("is empty")
    return said


def goal(at):
    return {"value_of": at.key("value_of").text(), "goal": at.key("goal").text(),
            "unit": at.key("unit").text(null=True), "value": at.key("value").number(null=True),
            "limit": at.key("limit").number(), "met": at.key("met").truth(null=True)}


def question(at):
    return {"id": at.key("id").text(), "question": at.key("question").text(),
            "unit": at.key("unit").text(), "better": at.key("better").one_of(("less", "more")),
            "base": at.key("base").text(null=True),
            "figures": [figure(one) for one in at.key("figures").items()],
            "goals": [goal(one) for one in at.key("goals").items()],
            "notes": [note.text() for note in at.key("notes").items()]}


def program(at):
    at.key("schema").one_of((PROGRAM_SCHEMA,))
    return {"program": at.key("program").text(), "time": at.key("time").text(),
            "tally_version": at.key("tally_version").text(),
            "compiler": at.key("compiler").text(), "quick": at.key("quick").truth(),
            "only": at.key("only").text(null=True), "machine": machine(at.key("machine")),
            "questions": [question(one) for one in at.key("questions").items()]}


def read(path):
    """The programs' results. Raises Wrong."""
    try:
        with open(path, encoding="utf-8") as file:
            document = json.load(file, parse_constant=no_number)
    except OSError as error:
        raise Wrong(error.strerror) from None
    except (ValueError, RecursionError) as error:
        raise Wrong(f"is no JSON: {error}") from None
    top = At(document, "")
    top.key("schema").one_of((SCHEMA,))
    programs = [program(one) for one in top.key("programs").items()]
    if not programs:
        top.key("programs").fail("nothing was run")
    return programs
