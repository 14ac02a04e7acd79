#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Help, man pages and completions of the tally command name the same verbs and options.

usage: BUILD=... tests/test_cli_docs.py
"""
import os
import re
import shutil
import subprocess
import sys

TALLY = os.path.join(os.environ.get("BUILD", "build"), "tally")
CLI = "consumer/cli/"
OPTION = re.compile(r"(?<![\w*-])\*?(--[a-z][a-z-]*|-[A-Za-z])\*?(?![\w-])")
wrong = []


def run(*command, **how):
    return subprocess.run(command, check=True, capture_output=True, text=True, **how).stdout


def read(name):
    with open(CLI + name, encoding="utf-8") as file:
        return file.read()


def verbs_of_help():
    return re.findall(r"^  ([a-z]+) +\S", run(TALLY, "help"), re.M)


def options_of_help(verb):
    return set(OPTION.findall(run(TALLY, "help", verb)))


def options_of_section(page, head):
    lines = page.partition(head)[2].partition("\n# ")[0].splitlines()
    return set(OPTION.findall("\n".join(line for line in lines if line.startswith("*-"))))


def options_of_man(verb):
    page = read(f"tally-{verb}.1.scd")
    said = options_of_section(page, "# OPTIONS")
    if "tally*(1), FILTERS" in page:
        said |= options_of_section(read("tally.1.scd"), "# FILTERS")
    return said


def options_of_bash(verb):
    found = re.search(rf"^\t{verb}\) echo '(.*)' ;;$", read("completion/tally.bash"), re.M)
    return set(found.group(1).split()) if found else set()


def options_of_zsh(verb):
    text = read("completion/_tally")
    filters = re.search(r"^filters=\((.*?)^\)", text, re.S | re.M).group(1)
    block = re.search(rf"^{verb}\)(.*?);;", text, re.S | re.M)
    if not block:
        return set()
    block = block.group(1).replace("$filters", filters)
    # Not words for people, exclusions, other functions' options.
    block = re.sub(r"\[[^\]]*\]|\([^)]*\)|_\w+ -\w+", " ", block)
    return set(re.findall(r"(--[a-z][a-z-]*|-[A-Za-z])(?=[\s,}'])", block))


def options_of_fish(verb):
    text = read("completion/tally.fish")
    filtered = re.search(r"^set -l filtered (.*)$", text, re.M).group(1)
    said = set()
    for line in text.splitlines():
        seen = re.search(r"__fish_seen_subcommand_from ([^'\"]*)['\"]", line)
        if not seen or line.startswith("set") or "not __fish" in line:
            continue
        if verb not in seen.group(1).replace("$filtered", filtered).split():
            continue
        said |= {"-" + letter for letter in re.findall(r" -s (\w)", line)}
        said |= {"--" + word for word in re.findall(r" -l ([a-z-]+)", line)}
    return said


def compare(verb, where, said, helped):
    for option in sorted(helped - said):
        wrong.append(f"{where} of {verb} does not name {option}")
    for option in sorted(said - helped):
        wrong.append(f"{where} of {verb} names {option}, its help does not")


verbs = verbs_of_help()
if len(verbs) < 5:
    wrong.append(f"few verbs: {verbs}")
for name in "completion/tally.bash", "completion/_tally", "completion/tally.fish", "tally.1.scd":
    for verb in verbs:
        if not re.search(rf"\b{verb}\b", read(name)):
            wrong.append(f"{name} does not name {verb}")
for verb in verbs:
    if verb == "help":
        continue
    helped = options_of_help(verb)
    if not os.path.exists(f"{CLI}tally-{verb}.1.scd"):
        wrong.append(f"no man page of {verb}")
        continue
    compare(verb, "the man page", options_of_man(verb), helped)
    compare(verb, "bash's completion", options_of_bash(verb), helped)
    compare(verb, "zsh's completion", options_of_zsh(verb), helped)
    compare(verb, "fish's completion", options_of_fish(verb), helped)
for page in sorted(name for name in os.listdir(CLI) if name.endswith(".scd")):
    known = page == "tally.1.scd" or re.sub(r"tally-(\w+)\.1\.scd", r"\1", page) in verbs
    if not known:
        wrong.append(f"{page} is of no verb")
    roff = run("scdoc", input=read(page))
    name = page.removesuffix(".1.scd")
    if f'.TH "{name}" "1"' not in roff:
        wrong.append(f"{page} makes no page named {name}(1)")
for shell, name in ("bash", "tally.bash"), ("zsh", "_tally"), ("fish", "tally.fish"):
    if shutil.which(shell):
        run(shell, "-n", f"{CLI}completion/{name}")

# What bash really offers.
SCRIPT = f"""source {CLI}completion/tally.bash
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _tally; printf '%s\\n' "${{COMPREPLY[@]}}" """
for line, offered in (
    ("tally d", {"devices", "doctor"} & set(verbs)),
    ("tally gc --k", {"--keep"}),
    ("tally ps -P l1_", {"l1_small"}),
    ("tally help r", {"run"}),
    ("tally run --r", {"--ring"}),
):
    said = set(run("bash", "-c", SCRIPT, "-", *line.split()).split())
    if said != offered:
        wrong.append(f"after `{line}` bash offers {sorted(said)}, not {sorted(offered)}")

print("\n".join(wrong) or f"{len(verbs)} verbs: help, man pages and completions agree")
sys.exit(bool(wrong))
