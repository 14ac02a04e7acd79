#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Installs what is missing on a Debian machine, saying what and why; silent when nothing is.
# usage: tests/deps.sh build|cxx|lint|san|arm64|model|gate|bench|page ...  (groups of packages)
set -u -o pipefail

# group  package  command it brings ("-": ask dpkg)  why
table='
build gcc             gcc           compiles everything
build libc6-dev       -             the C library: headers, and libc.a for a static test program
build binutils        readelf       tests read symbols and disassembly; the archives need objcopy
build liburcu-dev     -             libtally-consumer publishes its snapshots by RCU
build libjansson-dev  -             tally writes JSON
build libncurses-dev  -             tally top draws on the terminal
build libcmocka-dev   -             the tests are cmocka programs
build scdoc           scdoc         makes the man pages
build pkg-config      pkg-config    tests look up the installed libraries
build g++             g++           compiles the adapter of a C++ runtime, and the headers as C++
build git             git           the demo follows it; tests compare its output
build python3         python3       the demo follows it; tests read JSON
build python3-jsonschema  -        a test validates what tally writes as JSON
build perl            perl          the demo follows it; tests compare its output
build strace          strace        a test shows that a push makes no system call
build tmux            tmux          tests look at tally top in a terminal
build procps          ps            tests look for processes left behind
cxx   clang           clang++       tests that adapter as another compiler makes it
lint  gcc             gcc           a lint check compiles
lint  g++             g++           a lint check compiles
lint  clang-format    clang-format  checks the formatting
lint  cppcheck        cppcheck      checks the C sources statically
san   clang           clang         builds for the sanitizers
san   libclang-rt-dev -             the sanitizers themselves
san   llvm            llvm-symbolizer  names the lines in their reports
arm64 gcc-aarch64-linux-gnu  aarch64-linux-gnu-gcc  compiles for arm64
arm64 libc6-dev-arm64-cross  -        the C library of arm64
arm64 qemu-user       qemu-aarch64    runs the tests that are built for arm64
model spin            spin          checks the model of the shared ring
model gcc             gcc           compiles what spin generates
model libc6-dev       -             headers, for that
gate  valgrind        valgrind      counts the instructions of a push
bench valgrind        valgrind      likewise
bench libck-dev       -             ConcurrencyKit: a ring to compare with
bench libdpdk-dev     -             DPDK: likewise
bench libboost-dev    -             boost::lockfree: likewise
bench liblttng-ust-dev -            LTTng-UST: tracepoints and a wrapper of malloc to compare with
bench lttng-tools     lttng-sessiond  LTTng: the session that traces it
bench babeltrace2     babeltrace2   counts the events of the trace
bench heaptrack       heaptrack     a tool to compare tally run with
bench sqlite3         sqlite3       a real program that the tools are compared on
bench gawk            gawk          likewise
bench xz-utils        xz            likewise
page  chromium        chromium      a test looks at the benchmark report as a reader does
'

has() # package command
{
	case $2 in
	-) dpkg-query -W -f '${Status}\n' "$1" 2>/dev/null | grep -q '^install ok installed' ;;
	*) command -v "$2" >/dev/null ;;
	esac
}

missing=() reasons=
while read -r group package command why; do
	[[ -n $group && " $* " == *" $group "* ]] || continue
	[[ $command != - ]] || command -v dpkg-query >/dev/null || continue # no Debian: cannot tell
	has "$package" "$command" || {
		missing+=("$package")
		reasons+=$(printf '  %-16s %s' "$package" "$why")$'\n'
	}
done <<<"$table"
((${#missing[@]})) || exit 0

echo "tally: ${#missing[@]} package(s) missing, installing with apt-get:"
printf '%s' "$reasons"
command -v apt-get >/dev/null || {
	echo "tally: no apt-get here; please install their like by hand" >&2
	exit 1
}
root=()
if (($(id -u))); then
	command -v sudo >/dev/null || {
		echo "tally: not root and no sudo; please run as root:" >&2
		echo "  apt-get update && apt-get install --no-install-recommends ${missing[*]}" >&2
		exit 1
	}
	root=(sudo)
fi
# A lock held by another apt-get is waited for; old lists may still do when the update fails.
apt=("${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300)
"${apt[@]}" update || echo "tally: apt-get update failed; trying with the lists at hand" >&2
"${apt[@]}" install -y --no-install-recommends "${missing[@]}" || {
	echo "tally: apt-get could not install ${missing[*]}" >&2
	exit 1
}
