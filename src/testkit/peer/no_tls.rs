//! Stands in for `tls.rs` where TLS is not compiled in: no value of these types exists.

#![expect(
    clippy::needless_pass_by_ref_mut,
    reason = "the signatures are those of tls.rs"
)]

use std::convert::Infallible;
use std::io::{self, Read, Write};

use super::socket::Socket;
use crate::testkit::seen::SeenHandshake;

#[derive(Clone, Debug)]
pub(super) struct Tls {
    pub(super) at_once: bool,
    never: Infallible,
}

impl Tls {
    pub(super) fn prepare(&mut self) -> io::Result<()> {
        match self.never {}
    }

    pub(super) fn accept(&self, _: Socket, _: usize) -> (SeenHandshake, Option<Stream>) {
        match self.never {}
    }
}

#[derive(Debug)]
pub(super) struct Stream(Infallible);

impl Stream {
    pub(super) fn socket(&self) -> &Socket {
        match self.0 {}
    }

    pub(super) fn has_read_ahead(&mut self) -> bool {
        match self.0 {}
    }

    pub(super) fn close_notify(&mut self) -> io::Result<()> {
        match self.0 {}
    }
}

impl Read for Stream {
    fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
        match self.0 {}
    }
}

impl Write for Stream {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        match self.0 {}
    }

    fn flush(&mut self) -> io::Result<()> {
        match self.0 {}
    }
}
