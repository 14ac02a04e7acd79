#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""bench/programs compares what it says it does, and takes no tool at its word.

usage: BUILD=... CC=... tests/test_bench_programs.py    (no figure is judged; fakes are the tools)
"""
import glob
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time

BUILD = os.path.abspath(os.environ.get("BUILD", "build"))
CC = os.environ.get("CC", "gcc")
wrong = []

# Programs and tools as bench/programs.c asks for them. %s is what each does about it.
HEAD = "#!/bin/bash\n# SPDX-License-Identifier: Apache-2.0\n"
PROGRAM = HEAD + """cat >job <<'END'
head -c 20000 /dev/zero | md5sum >out
END
printf '%s\\n' out bash job
"""
TOOL = HEAD + """case $1 in
begin) %(begin)s ;;
before) rm -f ran; printf '%%s\\n' bash -c 'touch "$0"; "$@"; %(run)s' "$PWD/ran" ;;
after) %(after)s; [[ -e ran ]] && echo "7 things" ;;
end) %(end)s ;;
esac
"""


def expect(holds, what):
    if not holds:
        wrong.append(what)


def write(path, text):
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)
    os.chmod(path, 0o755)


def tool(begin=":", run=":", after=":", end=":"):
    return TOOL % {"begin": begin, "run": run, "after": after, "end": end}


class Bench:
    """One run of bench/programs with folders of its own."""

    def __init__(self, folder, programs, tools, *options):
        self.folder = tempfile.mkdtemp(dir=folder)
        for kind, scripts in (("programs", programs), ("tools", tools)):
            os.mkdir(f"{self.folder}/{kind}")
            for name, text in scripts.items():
                path = f"{self.folder}/{kind}/{name}.sh"
                if text:
                    write(path, text)
                else:
                    shutil.copy(f"bench/{kind}/{name}.sh", path)
        for name in glob.glob("bench/programs/*"):
            if not name.endswith(".sh"):
                shutil.copy(name, f"{self.folder}/programs")
        os.mkdir(f"{self.folder}/tmp")
        env = dict(os.environ, BENCH_PROGRAMS=f"{self.folder}/programs",
                   BENCH_TOOLS=f"{self.folder}/tools", TMPDIR=f"{self.folder}/tmp")
        self.process = subprocess.Popen([f"{BUILD}/bench/programs", "--quick", "--json", "-",
                                         *options], env=env, text=True, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE)

    def end(self):
        self.out, self.err = self.process.communicate(timeout=200)
        self.status = self.process.returncode
        left = os.listdir(f"{self.folder}/tmp")
        expect(not left, f"left behind: {left}")
        return self

    def figures(self, question):
        """Of that question, by name."""
        for answer in json.loads(self.out)["questions"]:
            if answer["id"] == question:
                return {figure["name"]: figure for figure in answer["figures"]}
        return {}

    def validate(self):
        path = f"{self.folder}/out.json"
        write(path, self.out)
        done = subprocess.run(["tests/schemas/validate.py", "--strict", "bench", path],
                              capture_output=True, text=True)
        expect(done.returncode == 0, f"{done.stdout}{done.stderr}{self.out}")


def bench(folder, programs, tools, *options):
    return Bench(folder, programs, tools, *options).end()


def real_ones_are_compared(folder):
    """Two of the programs under tally run, a tool that does nothing, and one that is absent."""
    found = bench(folder, {"churn": None, "perl_hash": None},
                  {"tally_run": None, "nothing": tool(), "heaptrack": tool(run="sleep 0.5"),
                   "missing": tool(begin="echo 'not installed: nobody-has-this'; exit 77")})
    expect(found.status == 0, f"real programs: {found.status}: {found.err}")
    found.validate()
    slowdown, processor = found.figures("program_slowdown"), found.figures("program_cpu")
    goals = [goal for answer in json.loads(found.out)["questions"] for goal in answer["goals"]]
    expect(len(goals) == 2 and None not in [goal["value"] for goal in goals], f"{goals}")
    expect(slowdown["missing"]["absent"] == "not installed: nobody-has-this", f"{slowdown}")
    for program in ("churn", "perl hash"):
        for name in ("tally run", "nothing"):
            for figures in (slowdown, processor):
                figure = figures[f"{program}: {name}"]
                expect(figure["samples"] == 6 and figure["median"] > 0, f"{figure}")
                expect(figure["median_from"] <= figure["median"] <= figure["median_to"]
                       <= figure["max"], f"{figure}")
                expect(math.isclose(figure["median_confidence"], 1 - 2 / 2 ** 6, rel_tol=1e-4),
                       f"{figure}")
        alone = found.figures("program_alone")[program]
        expect(alone["samples"] == 18, f"{alone}")
    expect(found.figures("program_rate")["churn"]["median"] > 0, "no rate")


INTERVALS = """
#include <stdio.h>
#include "bench/harness/figure.h"
int main(void)
{
	for (size_t n = 1; n <= 60; n++)
		printf("%zu %zu %.9f\\n", interval_of(n).from, interval_of(n).to,
		       interval_of(n).confidence);
}
"""


def intervals_are_right(folder):
    """The narrowest by order statistics that is 95 % sure, or the widest that there is."""
    write(f"{folder}/intervals.c", INTERVALS)
    subprocess.run([CC, "-D_GNU_SOURCE", "-I.", f"{folder}/intervals.c", "bench/harness/figure.c",
                    "bench/harness/machine.c", "-lm", "-o", f"{folder}/intervals"], check=True)
    lines = subprocess.run([f"{folder}/intervals"], check=True, capture_output=True, text=True)

    def sure(count, place):
        return 1 - 2 * sum(math.comb(count, n) for n in range(place + 1)) / 2 ** count

    for count, line in enumerate(lines.stdout.splitlines(), 1):
        places = [n for n in range((count + 1) // 2) if sure(count, n) >= 0.95] or [0]
        start, end, confidence = line.split()
        expect(int(start) == places[-1] and int(end) == count - 1 - places[-1]
               and math.isclose(float(confidence), sure(count, places[-1]), abs_tol=1e-6),
               f"{count} values: {line}, {places}")


def slow_is_slower(folder):
    """A tool that takes its time is seen to, in the figure of the right sort."""
    found = bench(folder, {"job": PROGRAM}, {
        "waits": tool(run="sleep 0.3"),
        "works": tool(run="for ((i = 0; i < 400000; i++)); do :; done"),
        "nothing": tool()})
    alike = bench(folder, {"nothing": PROGRAM}, {"waits": tool(run="sleep 0.3")})
    longer = alike.figures("program_startup")["nothing: waits"]["median"]
    expect(250 < longer < 30000, f"waits 300 ms, {longer}")
    expect(found.status == 0, f"slow tools: {found.status}: {found.err}")
    slowdown, processor = found.figures("program_slowdown"), found.figures("program_cpu")
    expect(slowdown["job: waits"]["median"] > 1.5 * processor["job: waits"]["median"],
           f"waiting is taken for work: {slowdown}, {processor}")
    for figures, slow, others in ((slowdown, "waits", ["nothing"]),
                                  (processor, "works", ["nothing", "waits"])):
        for other in others:
            expect(figures[f"job: {slow}"]["median"] > 1.5 * figures[f"job: {other}"]["median"],
                   f"{slow}, {other}: {figures}")


def order_alternates(folder):
    """Each tool beside a run without one, in turns before and after it, and the tools in turns."""
    script = PROGRAM.replace("cat >job", "echo 0 >which; cat >job").replace(
        "head -c", 'cat which >>"$BENCH_TOOLS/order"; echo 0 >which; head -c')
    found = bench(folder, {"job": script},
                  {name: tool().replace("rm -f ran;", f"rm -f ran; echo {name} >$2/which;")
                   for name in ("a", "b")})
    with open(f"{found.folder}/tools/order", encoding="utf-8") as file:
        order = "".join(file.read().split())
    expect(found.status == 0 and order == "0" + ("0a0b" + "b0a0") * 3, f"{found.err}{order}")


def mistakes_are_noticed(folder):
    """A tool that changes what a program writes or how it ends, or records nothing."""
    for what, words, script in (
            ("changes", "differs", tool(run="echo >>out")),
            ("removes", "differs", tool(run="rm out")),
            ("fails", "exit status 3", tool(run="exit 3")),
            ("dies", "exit status 137", tool(run="kill -9 $$")),
            ("idle", "nothing was recorded", tool(after="rm -f ran")),
            ("starts not", "cannot be started", tool(begin="exit 1"))):
        found = bench(folder, {"job": PROGRAM}, {"fake": script})
        expect(found.status == 1 and words in found.err, f"{what}: {found.status}: {found.err}")
        expect("job: fake" not in found.figures("program_slowdown"), f"{what}: {found.out}")


def tally_must_have_recorded(folder):
    """tally run has to say of how many calls it knows: not fewer than churn makes, and not none."""
    less = HEAD + '"$BENCH_SOURCE/bench/programs/churn.sh" >words || exit\n' \
                  "echo 100000000 >events; cat words\n"
    found = bench(folder, {"churn": less}, {"tally_run": None})
    expect(found.status == 1 and "100000000 expected" in found.err,
           f"fewer calls: {found.status}: {found.err}")
    static = HEAD + f"""cat >job.c <<'END'
#include <stdio.h>
int main(void)
{{
	FILE *out = fopen("out", "w");
	return fputs("x", out) < 0 || fclose(out) != 0;
}}
END
{CC} -static -o job job.c || exit
printf '%s\\n' out ./job
"""
    found = bench(folder, {"unseen": static}, {"tally_run": None})
    expect(found.status == 1 and "'followed': False" in found.err,
           f"a static program: {found.status}: {found.err}")


def absent_programs_are_said(folder):
    found = bench(folder, {"job": PROGRAM, "missing": HEAD + "echo 'not installed: x'; exit 77\n",
                           "broken": HEAD + "echo why >&2; exit 5\n"}, {"nothing": tool()})
    alone = found.figures("program_alone")
    expect(found.status == 1 and "broken: it cannot be prepared, exit status 5: why" in found.err,
           f"{found.status}: {found.err}")
    expect(alone["missing"]["absent"] == "not installed: x" and not alone["job"]["absent"]
           and alone["broken"]["absent"], f"{alone}")
    found.validate()


def interrupted_tidies_up(folder):
    """A signal ends the program that runs and the tools; nothing is left."""
    script = PROGRAM.replace("head -c", "touch started; sleep 1000; head -c")
    running = Bench(folder, {"job": script}, {"ends": tool(end='touch "$BENCH_TOOLS/ended"')})
    while not glob.glob(f"{running.folder}/tmp/*/program.job/started"):
        time.sleep(0.01)
    running.process.send_signal(signal.SIGTERM)
    running.end()
    expect(running.status == 1 and "interrupted" in running.err,
           f"interrupted: {running.status}: {running.err}")
    expect(os.path.exists(f"{running.folder}/tools/ended"), "a tool was not ended")


folder = tempfile.mkdtemp(prefix="test-of-tally-programs-")
try:
    real_ones_are_compared(folder)
    intervals_are_right(folder)
    slow_is_slower(folder)
    order_alternates(folder)
    mistakes_are_noticed(folder)
    tally_must_have_recorded(folder)
    absent_programs_are_said(folder)
    interrupted_tidies_up(folder)
finally:
    shutil.rmtree(folder)
for what in wrong:
    print(what)
sys.exit(1 if wrong else 0)
