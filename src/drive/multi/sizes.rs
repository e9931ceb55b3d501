//! What a call of a loop that waits may take: there are ten thousand of them.
//!
//! The rule guarded here: a field more is weighed, not just added. What few calls have is boxed; what is needed while a
//! call goes on belongs to the loop. A limit may be raised, with the figures of `benches` in the commit.

use crate::drive::apply::Running;
use crate::drive::multi::task::Task;
use crate::event::Emitter;
use crate::flow::call::Call;
use crate::flow::connection::Connection;
use crate::net::transport::Transport;
use crate::proto::exchange::Exchange;
use crate::proto::plan::Plan;

/// Beyond this a request is a large one for glibc, which first merges all small pieces that were freed.
const AT_HAND: usize = 1000;

#[test]
fn a_call_that_waits_is_small() {
    let limits = [
        ("running", size_of::<Running>(), 1000),
        ("call", size_of::<Call>(), 552),
        ("plan", size_of::<Plan>(), 232),
        ("exchange", size_of::<Exchange>(), 272),
        ("emitter", size_of::<Emitter>(), 264),
        ("connection", size_of::<Connection>(), 200),
        ("transport", size_of::<Transport>(), 40),
        ("task", size_of::<Task<()>>(), 64),
    ];
    for (what, bytes, most) in limits {
        assert!(bytes <= most, "{what} has {bytes} bytes, more than {most}");
        assert!(most <= AT_HAND, "{what}");
    }
}
