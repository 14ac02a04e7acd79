#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Keeps an LTTng session of its own for bench/reporters/lttng.c, and takes it away again however that
# ends: when its standard input does.
# Prints "home FOLDER", or why there can be none. Told "count", it ends the session and prints the
# trace's events, bytes held and ids added up. Root gets a view of /run and /dev/shm of its own, as
# its daemon would use the system's.
exec 3>&1 >/dev/null 2>&1
home=
sorry()
{
	[[ -z $home ]] || rm -rf "$home"
	echo "$*" >&3
	exit 1
}

for tool in lttng lttng-sessiond babeltrace2; do
	command -v "$tool" >/dev/null || sorry "$tool is not installed (make bench-deps)"
done
case $LTTNG_STAGE in
"") # away from the terminal's signals
	LTTNG_STAGE=1 exec setsid "$0" >&3 ;;
1) # what LTTng leaves in /dev/shm goes, too, if it was not there before
	own=()
	if ((UID == 0)); then
		own=(unshare --mount --propagation private)
		"${own[@]}" true || sorry "root may not make a mount namespace here"
	fi
	new=()
	for file in /dev/shm/lttng-ust-wait-8{,-$UID}; do
		[[ -e $file ]] || new+=("$file")
	done
	LTTNG_STAGE=2 "${own[@]}" "$0" >&3
	rm -f "${new[@]}"
	exit ;;
esac
if ((UID == 0)); then
	mount -t tmpfs none /run && mount -t tmpfs none /dev/shm && mkdir -p /run/lttng ||
		sorry "root may not mount here"
fi

home=$(mktemp -d "${TMPDIR:-/tmp}/bench-lttng-XXXXXX") || sorry "no folder can be made in TMPDIR"
export LTTNG_HOME=$home
mkdir "$home/.lttng"
lttng-sessiond --no-kernel --sig-parent --apps-sock="$home/.lttng/lttng-ust-sock-8" &
daemon=$!
over()
{
	kill "$daemon"
	wait "$daemon"
	rm -rf "$home"
}
trap over EXIT
trap 'started=1' USR1
for ((i = 0; i < 100 && !started; i++)); do
	kill -0 "$daemon" || sorry "lttng-sessiond has ended"
	sleep 0.1
done
# A burst fits many times over, on each processor; more of them make do with less.
buffer=1M
(($(nproc --all) <= 4)) || buffer=256K
session()
{
	lttng --no-sessiond "$@"
}
session create bench --output="$home/trace" &&
	session enable-channel -u --blocking-timeout=5000000 --subbuf-size="$buffer" \
		--num-subbuf=4 events &&
	session enable-event -u -c events tally_bench:traced &&
	session start || sorry "lttng cannot start a session"
echo "home $home" >&3

read -r word
session destroy bench
[[ $word != count ]] ||
	babeltrace2 --names=payload "$home/trace" | sed -E 's/^.*\{ freed = //; s/[^0-9]+/ /g' |
	awk '{ events++; bytes += $1 ? -$5 : $5; ids += $4 }
		END { printf "%d %.0f %.0f\n", events, bytes, ids }' >&3
