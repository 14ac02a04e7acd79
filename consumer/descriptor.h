/* SPDX-License-Identifier: Apache-2.0 */
/* Descriptors that stay with us in a host that closes those it takes for its own. */
#ifndef CONSUMER_DESCRIPTOR_H
#define CONSUMER_DESCRIPTOR_H

/* The same file under a number that hosts seldom come to, close-on-exec; `fd` is closed. The lowest
 * numbers are those that a daemon closes, and gets again for files of its own. Without such a
 * number it is `fd`; a negative one comes back as it is. */
int descriptor_aside(int fd);

#endif
