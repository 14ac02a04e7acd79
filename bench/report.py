#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Writes what `make bench` found as one HTML page that needs nothing else.

usage: report.py RESULTS.json PAGE.html

The same results give the same page. Exit status 2 and a line on stderr, and no page, when the
results are not what they should be.
"""
import os
import sys

sys.dont_write_bytecode = True
import report_input  # noqa: E402
import report_page  # noqa: E402


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__.split("\n\n")[1])
    results, path = sys.argv[1:]
    try:
        page = report_page.page(report_input.read(results))
    except report_input.Wrong as error:
        print(f"report.py: {results}: {error}", file=sys.stderr)
        return 2
    unfinished = path + ".new"
    try:
        with open(unfinished, "w", encoding="utf-8", newline="\n") as file:
            file.write(page)
        os.replace(unfinished, path)
    except OSError as error:
        print(f"report.py: {path}: {error.strerror}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
