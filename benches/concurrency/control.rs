//! Questions about what a server holds, on a connection of their own.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::concurrency::Outcome;
use crate::concurrency::answers::Path;

/// A connection for questions.
#[derive(Debug)]
pub(crate) struct Control(TcpStream);

impl Control {
    pub(crate) fn connect(addr: SocketAddr) -> Outcome<Self> {
        Ok(Self(TcpStream::connect(addr)?))
    }

    /// The body, which is as long as that of `/tiny`.
    pub(crate) fn get(&mut self, target: &str) -> Outcome<String> {
        write!(self.0, "GET {target} HTTP/1.1\r\nHost: control\r\n\r\n")?;
        let mut answer = Path::Tiny.answer();
        self.0.read_exact(&mut answer)?;
        let body = answer.split_off(answer.len() - Path::Tiny.body_length());
        Ok(String::from_utf8(body)?)
    }
}
