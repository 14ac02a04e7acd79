# SPDX-License-Identifier: Apache-2.0
"""What tests of the benchmarks share: running one, and what must hold of what it reports."""
import os
import subprocess
import sys

BUILD = os.path.abspath(os.environ.get("BUILD", "build"))
CC = os.environ.get("CC", "gcc")
wrong = []


def expect(holds, what):
    if not holds:
        wrong.append(what)


def bench(name, *options, **folders):
    """Its exit status, stdout and stderr; contenders=FOLDER, reporters=FOLDER: those alone."""
    env = dict(os.environ)
    for kind in ("contenders", "reporters"):
        env.pop("BENCH_" + kind.upper(), None)
    for kind, folder in folders.items():
        if folder:
            env["BENCH_" + kind.upper()] = folder
    done = subprocess.run([f"{BUILD}/bench/{name}", "--quick", *options], env=env, timeout=200,
                          capture_output=True, text=True)
    return done.returncode, done.stdout, done.stderr


def validate(schema, path):
    done = subprocess.run(["tests/schemas/validate.py", "--strict", schema, path],
                          capture_output=True, text=True)
    expect(done.returncode == 0, f"{schema}: {done.stdout}{done.stderr}")


def figures(document, question):
    for answer in document["questions"]:
        if answer["id"] == question:
            return answer["figures"]
    return []


def check_numbers(document):
    """What must hold between the numbers of a figure, whatever they are."""
    for answer in document["questions"]:
        for figure in answer["figures"]:
            what = f"{answer['id']}, {figure['name']}: {figure}"
            if figure["kind"] == "rounds":
                expect(figure["lower_quartile"] <= figure["median"] <= figure["upper_quartile"],
                       what)
            if figure["kind"] == "distribution":
                order = [figure[key] for key in ("median", "p90", "p99", "p99_9", "max")]
                expect(order == sorted(order), what)
                counted = sum(bucket["samples"] for bucket in figure["histogram"])
                expect(counted == figure["samples"], what)
        for goal in answer["goals"]:
            expect((goal["met"] is None) == (goal["value"] is None), f"{goal}")


def missing_source(folder, more=""):
    """A contender's or a reporter's source that needs a package which nobody has."""
    path = os.path.join(folder, "missing.c")
    with open(path, "w", encoding="utf-8") as file:
        file.write("/* SPDX-License-Identifier: Apache-2.0 */\n/* Of a package nobody has.\n *\n"
                   " *\tpackage: libnobody-has-dev\n *\theader: nobody_has.h\n */\n"
                   "#include <nobody_has.h>\n" + more)
    return path


def folder_of_absent(folder, name, more=""):
    """A folder with one that could not be built, and one that cannot be loaded."""
    place = os.path.join(folder, name)
    os.mkdir(place)
    subprocess.run(["bench/contenders/build.sh", missing_source(folder, more),
                    f"{place}/missing.so", CC], check=True)
    with open(f"{place}/broken.so", "w", encoding="utf-8") as file:
        file.write("no library\n")
    return place


def verdict():
    """Prints what was wrong; ends the program."""
    for what in wrong:
        print(what)
    sys.exit(1 if wrong else 0)
