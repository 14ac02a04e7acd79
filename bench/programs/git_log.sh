#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# git log with patches, of a repository in which a few lines of some files change in each commit.
command -v git >/dev/null || { echo "not installed: git (make bench-deps)"; exit 77; }
git init -q repository || exit
awk -v commits=$((BENCH_QUICK ? 100 : 600)) '
function data(text) { printf "data %d\n%s\n", length(text), text }
BEGIN {
	for (commit = 1; commit <= commits; commit++) {
		print "commit refs/heads/main"
		printf "committer Bench <bench@example.org> %d +0000\n", 1700000000 + commit * 60
		data("change " commit)
		for (part = 0; part < 3; part++) {
			file = (commit * 7 + part * 5) % 20
			line[file, (commit * 13) % 200] = commit
			text = ""
			for (n = 0; n < 200; n++)
				text = text "line " n " of file " file ", as of " line[file, n] + 0 "\n"
			print "M 644 inline folder" file % 4 "/file" file
			data(text)
		}
	}
}' | git -C repository fast-import --quiet || exit
printf '%s\n' out git -C repository log -p --stat --output="$PWD/out" main
