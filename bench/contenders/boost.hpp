/* SPDX-License-Identifier: Apache-2.0 */
/* What the contenders by boost::lockfree have in common: a queue that is made with its capacity,
 * and takes or gives a copy. */
#ifndef BENCH_CONTENDERS_BOOST_HPP
#define BENCH_CONTENDERS_BOOST_HPP

#include <new>

#include "bench/contender.h"

template <typename queue> void *boost_make(uint32_t records, uint32_t, const char **why)
{
	*why = "no memory";
	return new (std::nothrow) queue(records);
}

template <typename queue> void boost_destroy(void *ring)
{
	delete static_cast<queue *>(ring);
}

/* `push`: false while it is full. */
template <typename queue, bool (*push)(queue &, const payload &)>
void boost_send(void *ring, sender *sender)
{
	payload one;

	for (uint64_t i = 0; i < sender->count; i++) {
		payload_fill(&one, sender->producer, sender->first + i);
		while (!push(*static_cast<queue *>(ring), one))
			if (!wait_more(&sender->patience))
				return;
	}
}

template <typename queue> void boost_receive(void *ring, checker *checker, uint64_t until)
{
	payload one;

	while (checker->taken < until) {
		if (static_cast<queue *>(ring)->pop(one))
			checker_take_payload(checker, &one);
		else if (!wait_more(&checker->patience))
			return;
	}
}

#endif
