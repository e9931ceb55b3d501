//! One connection of the server.

use std::io::{self, ErrorKind, Read, Write};
use std::sync::Arc;

use mio::net::TcpStream;
use rustls::{ServerConfig, ServerConnection};

const EMPTY_LINE: &[u8] = b"\r\n\r\n";

/// A connection with what came of a request and what is left of an answer.
pub(super) struct Connection {
    stream: TcpStream,
    tls: Option<Box<ServerConnection>>,
    came: Vec<u8>,
    left: Vec<u8>,
}

/// What came of the client.
pub(super) enum Said {
    /// Nothing more for now.
    Nothing,
    /// A GET of `/tiny`.
    Tiny,
    /// Another request.
    Request(Vec<u8>),
    /// The end.
    End,
}

impl Connection {
    pub(super) fn new(stream: TcpStream, tls: Option<&Arc<ServerConfig>>) -> io::Result<Self> {
        let tls = tls.map(|config| ServerConnection::new(config.clone()).map(Box::new));
        Ok(Self {
            stream,
            tls: tls.transpose().map_err(io::Error::other)?,
            came: Vec::new(),
            left: Vec::new(),
        })
    }

    /// Receives until there is a request, or nothing more.
    pub(super) fn hear(&mut self, buffer: &mut [u8]) -> io::Result<Said> {
        loop {
            let count = match self.receive(buffer) {
                Ok(0) => return Ok(Said::End),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Said::Nothing),
                Err(error) => return Err(error),
            };
            let bytes = &buffer[..count];
            if self.came.is_empty() && bytes.ends_with(EMPTY_LINE) {
                return Ok(said(bytes));
            }
            self.came.extend_from_slice(bytes);
            if self.came.ends_with(EMPTY_LINE) {
                return Ok(said(&std::mem::take(&mut self.came)));
            }
        }
    }

    /// Sends an answer, or keeps what cannot be sent yet.
    pub(super) fn say(&mut self, answer: &[u8]) -> io::Result<()> {
        if let Some(tls) = &mut self.tls {
            tls.writer().write_all(answer)?;
            return self.flush();
        }
        let sent = match self.stream.write(answer) {
            Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
            other => other?,
        };
        self.left.extend_from_slice(&answer[sent..]);
        Ok(())
    }

    /// Sends what is left of an answer.
    pub(super) fn flush(&mut self) -> io::Result<()> {
        if let Some(tls) = &mut self.tls {
            while tls.wants_write() {
                match tls.write_tls(&mut self.stream) {
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    other => other?,
                };
            }
            return Ok(());
        }
        while !self.left.is_empty() {
            match self.stream.write(&self.left) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                other => self.left.drain(..other?),
            };
        }
        Ok(())
    }

    fn receive(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(tls) = &mut self.tls else {
            return self.stream.read(buffer);
        };
        loop {
            match tls.reader().read(buffer) {
                Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                other => return other,
            }
            if tls.read_tls(&mut self.stream)? == 0 {
                return Ok(0);
            }
            tls.process_new_packets().map_err(io::Error::other)?;
            while tls.wants_write() {
                tls.write_tls(&mut self.stream)?;
            }
        }
    }
}

fn said(request: &[u8]) -> Said {
    if request.starts_with(b"GET /tiny ") {
        Said::Tiny
    } else {
        Said::Request(request.to_vec())
    }
}
