/* SPDX-License-Identifier: Apache-2.0 */
/* What the files of support.h share: memory that test_end() frees. */
#ifndef TESTS_SUPPORT_KEPT_H
#define TESTS_SUPPORT_KEPT_H

#include "tests/support.h"

/* Takes it until then; fails the test where it is NULL. */
void *support_keep(void *memory);
json_t *support_keep_json(json_t *json);

/* Reads to the end of `fd`, which may be a pipe; kept, and zero-terminated. */
char *support_read_all(int fd, size_t *ret_size);

#endif
