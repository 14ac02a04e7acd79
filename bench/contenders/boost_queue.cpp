/* SPDX-License-Identifier: Apache-2.0 */
/* boost::lockfree::queue: many producers, nodes from a pool that is made with it and does not grow.
 *
 *	package: libboost-dev
 *	header: boost/lockfree/queue.hpp
 */
#include <boost/lockfree/queue.hpp>

#include "bench/contenders/boost.hpp"

namespace
{

using queue = boost::lockfree::queue<payload, boost::lockfree::fixed_sized<true>>;

inline bool push(queue &to, const payload &one)
{
	return to.bounded_push(one);
}

} /* namespace */

const struct contender contender = {
	"boost::lockfree::queue", CONTENDER_MANY,	boost_make<queue>, boost_destroy<queue>,
	boost_send<queue, push>,  boost_receive<queue>, nullptr,
};
