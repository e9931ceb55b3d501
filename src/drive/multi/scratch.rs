//! Memory that the calls of a loop use one after the other, and those of a batch at once, so that one that waits has none.

use crate::drive::apply::Running;
use crate::drive::lease::Memory;
use crate::drive::multi::batch::BATCH;

/// Bytes of content that one receive takes at the most.
const CONTENT: usize = 64 * 1024;

/// What a call has while it goes on.
pub(super) struct Scratch {
    /// Where content is received.
    pub(super) content: Box<[u8]>,
    /// For those that go on together.
    #[expect(clippy::vec_box, reason = "they are lent as they are")]
    memories: Vec<Box<Memory>>,
}

impl Scratch {
    pub(super) fn new() -> Self {
        Self {
            content: vec![0; CONTENT].into_boxed_slice(),
            memories: Vec::new(),
        }
    }

    /// Lends memory to a call that has none.
    pub(super) fn lend(&mut self, running: &mut Running) {
        if running.memory.is_none() {
            running.memory = self.memories.pop();
        }
        if let (Some(lease), Some(memory)) = (&mut running.lease, &mut running.memory) {
            lease.transport.lend(&mut memory.cipher);
        }
    }

    /// Takes back what the call that waits does not need: all, unless bytes stand in it.
    pub(super) fn take_back(&mut self, running: &mut Running) {
        running.contestants.save_memory();
        let Some(memory) = &mut running.memory else {
            return;
        };
        if let Some(lease) = &mut running.lease {
            lease.transport.take_back(&mut memory.cipher);
        }
        if !memory.buffers.is_empty() {
            memory.cipher = Vec::new();
            return memory.buffers.fit();
        }
        memory.buffers.reset();
        let memory = running.memory.take();
        let (is_first, is_full) = (self.memories.is_empty(), self.memories.len() >= BATCH);
        let kept = memory.filter(|memory| is_first || (!is_full && memory.buffers.is_small()));
        self.memories.extend(kept);
    }
}
