#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Breaks one thing at a time in a small sound tree and sees the lint check meant for it fail.
# usage: CC=... tests/lint/selftest.sh
here=$PWD/tests/lint
build=$(realpath "${BUILD:-build}")
config=$PWD/.clang-format
tree=$(mktemp -d) || exit 1
trap 'rm -rf "$tree"' EXIT
status=0
licence='/* SPDX-License-Identifier: Apache-2.0 */'

sound() # (re)makes the tree
{
	rm -rf "${tree:?}"/*
	cd "$tree" || exit 1
	cp "$config" .
	mkdir -p include/tally ring producer consumer tests build
	cat >include/tally/atomic.h <<END
$licence
static inline uint64_t tally_load_relaxed(const uint64_t *word)
{
	return __atomic_load_n(word, __ATOMIC_RELAXED);
}

static inline uint64_t tally_load_acquire(const uint64_t *word)
{
	return __atomic_load_n(word, __ATOMIC_ACQUIRE);
}

static inline void tally_store_release(uint64_t *word, uint64_t value)
{
	__atomic_store_n(word, value, __ATOMIC_RELEASE);
}

static inline void tally_fence_signal(void)
{
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
}
END
	cat >ring/slot.h <<END
$licence
/* The page.
 *
 *	L1 -> R1  why
 */
static uint64_t get(const uint64_t *word)
{
	/* R1 -> L1: "why" */
	uint64_t value = tally_load_acquire(word);

	/* relaxed: nothing depends on it */
	return value + tally_load_relaxed(word);
}
END
	cat >ring/put.c <<END
$licence
#include "ring/slot.h"

void put(uint64_t *word)
{
	tally_store_release(word, 1); /* L1 -> R1: why */
}
END
}

passes() # check
{
	"$here/$1" >out 2>&1 || {
		echo "$1 finds fault with a sound tree:"
		cat out
		status=1
	}
}

fails() # check, words it must say, then a command that breaks the tree
{
	local check=$1 words=$2
	shift 2
	sound
	"$@"
	if "$here/$check" >out 2>&1; then
		echo "$check passes after: $*"
		status=1
	elif ! grep -qF -- "$words" out; then
		echo "$check fails after: $* - but does not say: $words"
		cat out
		status=1
	fi
}

put() # line: a store, or what is to stand in its place
{
	sed -i "s|^\ttally_store_release.*|\t$1|" ring/put.c
}

append() # file text
{
	printf '%b' "$2" >>"$1"
}

sound
for check in format.sh text.sh orders.sh labels.pl; do
	passes $check
done

fails format.sh 'by clang-format' put 'if (word) *word = 1;'
fails text.sh 'does not start with' sed -i 1d ring/put.c
fails text.sh 'does not name its licence' append tests/x.sh '#!/bin/bash\n'
fails text.sh 'white space' put 'return; '
fails text.sh 'over 100' put "$(printf '/* %090d */' 0)"
fails orders.sh '__ATOMIC_SEQ_CST' put '__atomic_store_n(word, 1, __ATOMIC_SEQ_CST);'
fails orders.sh 'stdatomic' append tests/x.c '#include <stdatomic.h>\n'
fails orders.sh '__sync_' append consumer/x.c '__sync_synchronize();\n'
fails orders.sh 'std::atomic' append producer/x.cpp 'std::atomic<int> x;\n'
fails format.sh 'by clang-format' append producer/x.hpp 'namespace x { }\n'
fails labels.pl 'without a label' \
	append producer/x.cpp 'void f()\n{\n\ttally_store_release(w, 1);\n}\n'

fails labels.pl 'without a label' put 'tally_store_release(word, 1);'
fails labels.pl 'without a label' put 'tally_store_release(word, 1); /* see L1 */'
fails labels.pl 'without a label' \
	put 'tally_store_release(word, 1); tally_store_release(word, 2); /* L1 -> R1 */'
fails labels.pl 'without a label' put '/* L1 -> R1 */\n\n\n\n\ttally_store_release(word, 1);'
fails labels.pl 'L1 names R2, which does not' put 'tally_store_release(word, 1); /* L1 -> R2 */'
fails labels.pl 'L1 -> R2 is not on the page' \
	put 'tally_store_release(word, 1); /* L1 -> R1, R2 */'
fails labels.pl 'L1 is also at' \
	append consumer/x.c 'void f(void)\n{\n\ttally_store_release(w, 1); /* L1 -> R1 */\n}\n'
fails labels.pl "label L2', but L2 stands nowhere" put "tally_store_release(w, 1); /* L2' -> R1 */"
fails labels.pl 'L1 stands at no atomic access' put '(void)word; /* L1 -> R1 */'
fails labels.pl 'is not in the code' sed -i '4a \ *\tL7 -> R7  gone' ring/slot.h
fails labels.pl 'is not on the page' sed -i '/L1 -> R1  why/d' ring/slot.h
fails labels.pl 'without a word on why' \
	append producer/x.c 'int f(void)\n{\n\tputs("relaxed");\n\ttally_load_relaxed(w);\n}\n'
fails labels.pl 'without a word on why' \
	append producer/x.c 'void f(void)\n{\n\ttally_fence_signal();\n}\n'

# Sound too: a second place with a prime, a run of relaxed accesses under one comment.
sound
append consumer/x.c "void f(void)\n{\n\ttally_store_release(w, 1); /* L1' -> R1 */\n}\n"
append consumer/x.c "void g(void)\n{\n\t/* relaxed: own words */\n"
for i in {1..9}; do
	append consumer/x.c "\ttally_load_relaxed(w + $i);\n"
done
append consumer/x.c '}\n'
passes labels.pl

# producer/ given the whole tree to include from.
sound
touch consumer/api.h
ln -s ../ring include/ring
see() # include path of producer/
{
	CC=${CC:-gcc} SEE_ring=-Iinclude SEE_consumer=-I. SEE_bench=-I. SEE_tests=-I. \
		SEE_tests_fuzz=-I. SEE_producer_adapters_malloc=-Iring \
		SEE_producer_adapters_tt_metal=-Iring SEE_consumer_cli=-Iring \
		SEE_consumer_gateway=-Iring SEE_tests_prog=-Iring SEE_producer=$1 \
		"$here/floors.sh" >out 2>&1
}
see -Iinclude || { echo 'floors.sh finds fault with a sound tree:'; cat out; status=1; }
! see -I. || { echo 'floors.sh passes though producer/ sees consumer/'; status=1; }
see -Iinclude
echo '#include "../consumer/api.h"' >>ring/put.c
! see -Iinclude || { echo 'floors.sh passes after: ../'; status=1; }

# Libraries with one name too many, one too few, and a library too many.
sound
cp "$here"/../../include/tally/{tally,ids,proxy,consumer}.h include/tally/
cp -P "$build"/*.so* "$build"/*.a build/
BUILD=build passes exports.sh
BUILD=build passes needed.sh
echo 'void tally_more(void);' >>include/tally/tally.h
echo 'void own(void); void own(void) {} void malloc(void); void malloc(void) {}' >own.c
${CC:-gcc} -w -shared -fPIC -o build/libtally-malloc.so own.c -Wl,--no-as-needed -lm
for check in exports.sh needed.sh; do
	! BUILD=build "$here/$check" >>out 2>&1 || { echo "$check passes"; status=1; }
done
for words in 'tally_more: declared, not exported' 'more than an allocator: own' \
	'names (<) are not those' 'needs libm' 'does not need libtally' 'beside itself' \
	'can be unloaded'; do
	grep -qF -- "$words" out || { echo "not said of broken libraries: $words"; status=1; }
done

# Headers that lean on others, or that C++ refuses.
sound
rm include/tally/atomic.h
fails headers.sh 'does not compile alone' append include/tally/lean.h 'size_t f(void);\n'
sound
echo 'static inline int *f(void *p) { return p; }' >include/tally/atomic.h
! "$here/headers.sh" >out 2>&1 || { echo 'headers.sh passes C that is no C++'; status=1; }
exit $status
