/* SPDX-License-Identifier: Apache-2.0 */
/* boost::lockfree::queue: many producers, nodes from a pool that is made with it and does not grow.
 *
 *	package: libboost-dev
 *	header: boost/lockfree/queue.hpp
 */
#include <boost/lockfree/queue.hpp>
#include <new>

#include "bench/contender.h"

namespace
{

using queue = boost::lockfree::queue<payload, boost::lockfree::fixed_sized<true>>;

void *make(uint32_t records, uint32_t, const char **why)
{
	*why = "no memory";
	return new (std::nothrow) queue(records);
}

void destroy(void *ring)
{
	delete static_cast<queue *>(ring);
}

void send(void *ring, sender *sender)
{
	queue &to = *static_cast<queue *>(ring);
	payload one;

	for (uint64_t i = 0; i < sender->count; i++) {
		payload_fill(&one, sender->producer, sender->first + i);
		while (!to.bounded_push(one))
			if (!wait_more(&sender->patience))
				return;
	}
}

void receive(void *ring, checker *checker, uint64_t until)
{
	queue &from = *static_cast<queue *>(ring);
	payload one;

	while (checker->taken < until) {
		if (from.pop(one))
			checker_take_payload(checker, &one);
		else if (!wait_more(&checker->patience))
			return;
	}
}

} /* namespace */

const struct contender contender = {
	"boost::lockfree::queue", CONTENDER_MANY, make, destroy, send, receive, nullptr,
};
