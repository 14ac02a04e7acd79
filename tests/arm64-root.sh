#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Unpacks what an arm64 build needs into a folder: Debian's arm64 packages of the libraries.
# usage: tests/arm64-root.sh ROOT
#
# Nothing is installed, and no foreign architecture is added to the machine, whose own packages
# would then have to be of the very versions of the arm64 ones: apt is given lists of its own and
# asked for the files alone. The C library is the cross compiler's. qemu-aarch64 -L ROOT runs what
# is linked with it. Done anew when this file is newer than ROOT/done.
set -u -o pipefail

root=${1:?usage: tests/arm64-root.sh ROOT}
packages=(libcmocka0 libcmocka-dev libjansson4 libjansson-dev liburcu8 liburcu-dev
	libncursesw6 libncurses-dev libtinfo6)
cross=/usr/aarch64-linux-gnu
work=$root/apt

give_up() # why
{
	echo "tally: no arm64 libraries to build with: $*" >&2
	exit 1
}

for command in apt-get dpkg-deb; do
	command -v $command >/dev/null ||
		give_up "no $command here; they are taken from Debian's packages"
done
[[ -e $cross/lib/ld-linux-aarch64.so.1 ]] || give_up "no C library in $cross"

rm -rf "$root"
mkdir -p "$work/lists/partial" "$work/cache/archives/partial" || give_up "cannot write to $root"
work=$(realpath "$work")
apt=(apt-get -q -o APT::Architecture=arm64 -o APT::Architectures=arm64
	-o APT::Sandbox::User="$(id -un)" -o Acquire::Languages=none
	-o Dir::State::lists="$work/lists" -o Dir::State::status=/dev/null
	-o Dir::Cache="$work/cache")
echo "tally: fetching ${packages[*]} for arm64"
# A source that has nothing for arm64 may fail; the download tells.
"${apt[@]}" update >"$work/log" 2>&1
(cd "$work" && "${apt[@]}" download "${packages[@]}") >>"$work/log" 2>&1 || {
	cat "$work/log" >&2
	give_up "apt-get cannot get ${packages[*]} for arm64"
}
for package in "$work"/*.deb; do
	dpkg-deb -x "$package" "$root" || give_up "$package cannot be unpacked"
done
# Some have libraries in /lib, and links to them by that name: here all are in one folder.
libraries=$root/usr/lib/aarch64-linux-gnu
mv "$root"/lib/aarch64-linux-gnu/* "$libraries" && rmdir -p "$root/lib/aarch64-linux-gnu" 2>/dev/null
ln -sfn libtinfo.so.6 "$libraries/libtinfo.so"
# Where the loader looks: itself and the C library, beside the libraries of the packages.
mkdir -p "$root/lib" &&
	ln -s $cross/lib/ld-linux-aarch64.so.1 "$root/lib" &&
	ln -s $cross/lib "$root/lib/aarch64-linux-gnu" &&
	rm -rf "$work" && touch "$root/done" || give_up "cannot write to $root"
