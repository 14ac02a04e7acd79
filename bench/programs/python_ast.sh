#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# python3 parses a part of its standard library, and takes it to JSON and back.
python3=$(python3 -c 'import sys; print(sys.executable)') ||
	{ echo "not installed: python3 (make bench-deps)"; exit 77; }
cat >job.py <<'END'
import ast, json, os, sys

def tree(node):
    if isinstance(node, ast.AST):
        return [type(node).__name__, {name: tree(value) for name, value in ast.iter_fields(node)}]
    if isinstance(node, list):
        return [tree(item) for item in node]
    return node if isinstance(node, (str, int, type(None))) else repr(node)

folder = os.path.dirname(ast.__file__)
with open("out", "w") as out:
    for name in sys.argv[1:]:
        with open(os.path.join(folder, name)) as file:
            text = json.dumps(tree(ast.parse(file.read())))
        assert json.dumps(json.loads(text)) == text
        out.write(text + "\n")
END
files=(ast.py)
[[ $BENCH_QUICK ]] || files+=(argparse.py difflib.py inspect.py pdb.py subprocess.py tarfile.py)
printf '%s\n' out "$python3" -I job.py "${files[@]}"
