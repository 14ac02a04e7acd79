#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What the shared libraries need at run time, and how they are to be loaded.
# usage: BUILD=... ABI=... tests/lint/needed.sh
build=${BUILD:-build}
abi=${ABI:-0}
status=0
libc='libc\.so\.6|ld-linux-[a-z0-9_-]+\.so\.[0-9]+'

entries() # library tag
{
	readelf -d "$build/$1" | sed -nE "s/.*\($2\).*(\[(.*)\]|: (.*))/\2\3/p"
}

expect() # library, what is wrong, then a test's result
{
	(($3 == 0)) || {
		echo "$build/$1: $2"
		status=1
	}
}

needs_only() # library regular expression
{
	local more
	more=$(entries "$1" NEEDED | grep -vxE "$2")
	[[ -z $more ]]
	expect "$1" "needs $more" $?
}

needs_only libtally.so "$libc"
needs_only libtally-malloc.so "$libc|libtally\.so\.$abi"
needs_only libtally-consumer.so "$libc|liburcu-(bp|cds|common)\.so\.[0-9]+"
for name in libtally libtally-consumer; do
	[[ $(entries $name.so SONAME) == "$name.so.$abi" ]]
	expect $name.so "soname is not $name.so.$abi" $?
done
entries libtally-malloc.so NEEDED | grep -qx "libtally\.so\.$abi"
expect libtally-malloc.so "does not need libtally.so.$abi" $?
entries libtally-malloc.so RUNPATH | grep -qxF '$ORIGIN'
expect libtally-malloc.so 'does not look for libtally.so beside itself' $?
for name in libtally libtally-malloc; do
	entries $name.so FLAGS_1 | grep -q NODELETE
	expect $name.so 'can be unloaded' $?
	entries $name.so FLAGS_1 | grep -q NOW
	expect $name.so 'resolves names while it runs' $?
	readelf -lW "$build/$name.so" | grep -q GNU_RELRO
	expect $name.so 'leaves its tables writable' $?
	# Initial-exec: thread-local storage is reached without __tls_get_addr, which may allocate.
	! nm -D "$build/$name.so" | grep -q __tls_get_addr
	expect $name.so 'calls __tls_get_addr' $?
done
exit $status
