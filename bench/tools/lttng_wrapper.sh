#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# LTTng's wrapper of the C library: each allocation and free as an event, into a trace on disk.
#
# A session daemon of our own. That of root has its sockets in /run whatever it is told, so it gets
# a /run of its own; programs find it by LTTNG_HOME. Its consumer's time is not the program's.
export LTTNG_HOME=$PWD/home
sockets=$PWD/run/lttng
lttng=(lttng --no-sessiond)
if (($(id -u) == 0)); then
	lttng=(nsenter --mount --target "$(cat pid 2>/dev/null)" "${lttng[@]}")
else
	sockets=$LTTNG_HOME/.lttng
fi

case $1 in
begin)
	wrapper=$(/sbin/ldconfig -p | sed -n 's/.*liblttng-ust-libc-wrapper\.so\.[0-9]* .*=> //p' | head -n 1)
	if ! [[ $wrapper ]] || ! command -v lttng lttng-sessiond >/dev/null; then
		echo "not installed: lttng-tools, liblttng-ust-dev (make bench-deps)"
		exit 77
	fi
	echo "$wrapper" >wrapper
	mkdir -p home/.lttng run
	start=(lttng-sessiond)
	if (($(id -u) == 0)); then
		unshare --mount true 2>/dev/null || {
			echo "root may not give a session daemon a /run of its own here"
			exit 77
		}
		start=(unshare --mount bash -c 'mount --bind run /run && exec lttng-sessiond "$@"' -)
		ln -s "$sockets/lttng-ust-sock-8" home/.lttng/
	fi
	setsid "${start[@]}" --no-kernel --quiet >/dev/null 2>&1 &
	echo $! >pid
	for ((tries = 0; tries < 200; tries++)); do
		[[ ! -S $sockets/client-lttng-sessiond ]] || exit 0
		sleep 0.05
	done
	kill $!
	echo "its session daemon does not start"
	exit 1
	;;
before)
	rm -rf trace
	{
		"${lttng[@]}" create bench --output="$PWD/trace" &&
			"${lttng[@]}" enable-event --userspace 'lttng_ust_libc:*' &&
			"${lttng[@]}" start
	} >&2 || exit
	printf '%s\n' env LTTNG_HOME="$LTTNG_HOME" LD_PRELOAD="$(<wrapper)"
	;;
after)
	"${lttng[@]}" stop >&2 || exit
	lost=$("${lttng[@]}" list bench | sed -n 's/.*Discarded events: *\([0-9]*\).*/\1/p')
	"${lttng[@]}" destroy bench >&2 || exit
	bytes=$(cat trace/ust/*/*/*/channel0_* | wc -c)
	((bytes > 0)) && echo "$bytes bytes of trace, ${lost:-0} events discarded as it says"
	rm -rf trace
	;;
end)
	kill "$(<pid)"
	while kill -0 "$(<pid)" 2>/dev/null; do
		sleep 0.05
	done
	;;
esac
