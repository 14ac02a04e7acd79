#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# `make install` puts everything where pkg-config says it is: a user's program builds and runs.
# usage: BUILD=... CC=... tests/lint/install.sh
set -e
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
# MAKEFLAGS of the make that runs this script are not for the one below.
env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL make --silent install BUILD="${BUILD:-build}" \
	PREFIX="$root/usr" >/dev/null
export PKG_CONFIG_PATH=$root/usr/lib/pkgconfig LD_LIBRARY_PATH=$root/usr/lib
# Where no library of the runtime's client is built, nothing of it is installed.
env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL make -n install ARM64=1 BUILD="$root/arm64" \
	PREFIX="$root/usr" | sed -n '/^install -d/,$p' >"$root/recipe"
grep -q 'producer/libtally ' "$root/recipe"
! grep 'tt.metal' "$root/recipe" || exit 1
cd "$root"

cat >producer.c <<'END'
#include <tally/tally.h>
int main(void)
{
	tally_alloc(0, TALLY_POOL_DRAM, 1, 64);
	return tally_enabled();
}
END
cat >consumer.c <<'END'
#include <tally/consumer.h>
int main(int argc, char **argv)
{
	(void)argv;
	if (argc > 1)
		tally_consumer_close(NULL);
	return 0;
}
END
for side in producer consumer; do
	[[ $side == producer ]] && package=libtally || package=libtally-consumer
	${CC:-gcc} -o $side $side.c $(pkg-config --cflags --libs $package)
	./$side
	# Its archive gives the same, with the other libraries shared.
	${CC:-gcc} -o $side-archive $side.c $(pkg-config --cflags --static $package) \
		usr/lib/$package.a $(pkg-config --static --libs-only-l $package |
			sed "s/-l${package#lib} //")
	env -u LD_LIBRARY_PATH ./$side-archive
done
# The runtime's client, by the library and from its source.
cat >runtime.cpp <<'END'
#include "allocation_client.hpp"
int main()
{
	tt::tt_metal::AllocationClient::report_allocation(0, 64, 0, 1);
	return tt::tt_metal::AllocationClient::is_enabled();
}
END
${CXX:-g++} -std=c++17 -o runtime runtime.cpp $(pkg-config --cflags --libs libtally-tt-metal)
./runtime
[[ $(TALLY_DIR=$root TT_ALLOC_TRACKING_ENABLED=1 ./runtime || echo $?) == 1 ]]
${CXX:-g++} -std=c++17 -o runtime-source -I"$OLDPWD/producer/adapters/tt_metal" runtime.cpp \
	"$OLDPWD"/producer/adapters/tt_metal/allocation_client.cpp \
	$(pkg-config --cflags --libs libtally)
./runtime-source
for page in tally tally-run tally-ps; do
	[[ -s usr/share/man/man1/$page.1 ]]
done
[[ -s usr/share/bash-completion/completions/tally && -s usr/share/zsh/site-functions/_tally ]]
[[ -s usr/share/fish/vendor_completions.d/tally.fish ]]
# The example, as it says itself.
${CC:-gcc} -o example "$OLDPWD/consumer/example/in_process.c" \
	$(pkg-config --cflags --libs libtally libtally-consumer)
[[ $(TALLY_DIR=$root ./example) == "device 0 dram: 4096000 bytes in 1000 buffers" ]]
[[ $(pkg-config --modversion libtally) == "${VERSION:-$(pkg-config --modversion libtally)}" ]]
usr/bin/tally --version >/dev/null 2>&1 || [[ $? -lt 126 ]]
LD_PRELOAD=$root/usr/lib/libtally-malloc.so env -u LD_LIBRARY_PATH /bin/true 2>err
[[ ! -s err ]] || { cat err; exit 1; } # ld.so complains about what it cannot preload
