/* SPDX-License-Identifier: Apache-2.0 */
/* boost::lockfree::spsc_queue: one producer, capacity given at run time.
 *
 *	package: libboost-dev
 *	header: boost/lockfree/spsc_queue.hpp
 */
#include <boost/lockfree/spsc_queue.hpp>

#include "bench/contenders/boost.hpp"

namespace
{

using queue = boost::lockfree::spsc_queue<payload>;

inline bool push(queue &to, const payload &one)
{
	return to.push(one);
}

} /* namespace */

const struct contender contender = {
	"boost::lockfree::spsc_queue",
	0,
	boost_make<queue>,
	boost_destroy<queue>,
	boost_send<queue, push>,
	boost_receive<queue>,
	nullptr,
};
