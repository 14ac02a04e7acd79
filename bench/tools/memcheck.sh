#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# valgrind's memcheck: each access and each allocation, on a simulated processor.
# pairs: 5
case $1 in
begin)
	command -v valgrind >/dev/null || { echo "not installed: valgrind (make bench-deps)"; exit 77; }
	;;
before)
	rm -f log
	printf '%s\n' valgrind --tool=memcheck --log-file="$PWD/log"
	;;
after)
	calls=$(sed -n 's/.*total heap usage: \([0-9,]*\) allocs, \([0-9,]*\) frees.*/\1+\2/p' log)
	calls=$((${calls//,/}))
	((calls > 0)) && echo "$calls calls checked"
	;;
esac
