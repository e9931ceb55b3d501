//! What the simulated peers have seen, and what went against their scripts.

use std::time::Instant;

use crate::message::peer_addr::PeerAddr;
use crate::testkit::seen::SeenRequest;

/// Kept for the whole simulation.
#[derive(Debug, Default)]
pub(super) struct Record {
    pub(super) requests: Vec<(PeerAddr, SeenRequest)>,
    pub(super) failures: Vec<String>,
}

impl Record {
    /// Keeps the head of a request, and says where.
    pub(super) fn request_begun(
        &mut self,
        addr: PeerAddr,
        _: Instant,
        request: &SeenRequest,
    ) -> usize {
        self.requests.push((addr, request.clone()));
        self.requests.len() - 1
    }

    pub(super) fn request_read(&mut self, index: usize, request: &SeenRequest) {
        self.requests[index].1.clone_from(request);
    }
}
