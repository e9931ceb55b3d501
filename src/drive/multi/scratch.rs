//! Memory that the calls of a loop use one after the other, so that one that waits has none.

use crate::drive::apply::Running;
use crate::drive::lease::Memory;

/// Bytes of content that one receive takes at the most.
const CONTENT: usize = 16 * 1024;

/// What a call has while it goes on.
pub(super) struct Scratch {
    /// Where content is received.
    pub(super) content: Box<[u8]>,
    memory: Memory,
}

impl Scratch {
    pub(super) fn new() -> Self {
        Self {
            content: vec![0; CONTENT].into_boxed_slice(),
            memory: Memory::default(),
        }
    }

    /// Lends memory to a call that has none.
    pub(super) fn lend(&mut self, running: &mut Running) {
        let memory = &mut running.memory;
        if memory.buffers.is_vacant() {
            std::mem::swap(&mut memory.buffers, &mut self.memory.buffers);
        }
        if let Some(lease) = &mut running.lease {
            lease.transport.lend(&mut self.memory.cipher);
        } else {
            memory.cipher = std::mem::take(&mut self.memory.cipher);
        }
    }

    /// Takes back what the call that waits does not need: all, unless bytes stand in it.
    pub(super) fn take_back(&mut self, running: &mut Running) {
        let memory = &mut running.memory;
        if let Some(lease) = &mut running.lease {
            lease.transport.take_back(&mut memory.cipher);
        }
        running.contestants.save_memory();
        let cipher = std::mem::take(&mut memory.cipher);
        if cipher.capacity() > self.memory.cipher.capacity() {
            self.memory.cipher = cipher;
        }
        if !memory.buffers.is_empty() {
            return memory.buffers.fit();
        }
        let mut buffers = std::mem::take(&mut memory.buffers);
        if self.memory.buffers.is_vacant() {
            buffers.reset();
            self.memory.buffers = buffers;
        }
    }
}
