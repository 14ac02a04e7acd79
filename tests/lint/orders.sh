#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Memory orders are named in include/tally/atomic.h alone; everything else uses its vocabulary.
words='memory_order|__atomic_|__sync_|stdatomic|_Atomic|uatomic_|cmm_(smp_)?[rwm]*b\b|CMM_'
words+='|std::atomic'
! find include ring producer consumer bench tests '(' -name '*.[ch]' -o -name '*.[ch]pp' ')' \
	! -path include/tally/atomic.h -print0 2>/dev/null |
	xargs -0r grep -nHE "\\b($words)"
