#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Each public header compiles alone, as C and as C++, without a word from a strict compiler.
# usage: CC=... CXX=... tests/lint/headers.sh
status=0
strict=(-Wall -Wextra -Wconversion -Werror -pedantic -fsyntax-only -Iinclude)
for header in include/tally/*.h; do
	for compiler in "${CC:-gcc} -x c -std=c11" "${CC:-gcc} -x c -std=gnu17" \
		"${CXX:-g++} -x c++ -std=c++11" "${CXX:-g++} -x c++ -std=c++20"; do
		$compiler "${strict[@]}" - <<<"#include <${header#include/}>" || {
			echo "$header: does not compile alone with $compiler"
			status=1
		}
	done
done
exit $status
