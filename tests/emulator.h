/* SPDX-License-Identifier: Apache-2.0 */
/* What comes before a program of ours that is built for another machine than runs the tests: the
 * words of a list, with a comma after the last, or nothing. */
#ifndef TESTS_EMULATOR_H
#define TESTS_EMULATOR_H

#ifdef EMULATOR
#define EMULATED 1
#define EMULATOR_FIRST EMULATOR,
#else
#define EMULATED 0
#define EMULATOR_FIRST
#endif

#endif
