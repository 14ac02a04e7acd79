#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# gawk counts and joins the words of a text.
command -v gawk >/dev/null || { echo "not installed: gawk (make bench-deps)"; exit 77; }
. "$BENCH_PROGRAMS/text"
text $((BENCH_QUICK ? 2000 : 20000)) >in || exit
cat >job.awk <<'END'
{
	for (i = 1; i <= NF; i++) {
		count[$i]++
		if (length(found[$i]) < 200)
			found[$i] = found[$i] " " NR
	}
}
END {
	n = asorti(count, words)
	for (i = 1; i <= n; i++)
		print words[i], count[words[i]], toupper(found[words[i]]) >"out"
}
END
printf '%s\n' out gawk -f job.awk in
