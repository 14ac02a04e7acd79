#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# heaptrack: each allocation and free with its stack, written to a file.
# pairs: 6
case $1 in
begin)
	command -v heaptrack >/dev/null || { echo "not installed: heaptrack (make bench-deps)"; exit 77; }
	;;
before)
	rm -f recorded.*
	printf '%s\n' heaptrack --output "$PWD/recorded"
	;;
after)
	calls=$(heaptrack_print recorded.* | sed -n 's/^calls to allocation functions: \([0-9]*\).*/\1/p')
	((calls > 0)) && echo "$calls allocations in a file of $(stat -c %s recorded.*) bytes"
	;;
esac
