//! The limit: one loop, one buffer for all, fixed bytes out, and bytes counted until the answer is whole. No parsing.

use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};

use crate::concurrency::Outcome;
use crate::concurrency::answers::Path;
use crate::concurrency::crowd::{Crowd, Tally};

/// Reports that one wait takes at the most.
const REPORTS: usize = 1024;

/// Bytes that one receive takes at the most.
const RECEIVE: usize = 64 * 1024;

/// Sockets, each with the bytes that are still to come.
pub(super) struct Sockets {
    addr: SocketAddr,
    poll: Poll,
    events: Events,
    sockets: Vec<Socket>,
    buffer: Vec<u8>,
}

struct Socket {
    stream: TcpStream,
    to_come: u32,
}

/// What is sent, and what is to come.
struct Exchange {
    request: Vec<u8>,
    answer: u32,
}

impl Sockets {
    pub(super) fn new(addr: SocketAddr) -> Outcome<Self> {
        Ok(Self {
            addr,
            poll: Poll::new()?,
            events: Events::with_capacity(REPORTS),
            sockets: Vec::new(),
            buffer: vec![0; RECEIVE],
        })
    }

    fn exchange(&self, path: Path) -> Outcome<Exchange> {
        let (target, addr) = (path.target(), self.addr);
        Ok(Exchange {
            request: format!(
                "GET {target} HTTP/1.1\r\nHost: {addr}\r\nUser-Agent: raw\r\nAccept: */*\r\n\r\n"
            )
            .into_bytes(),
            answer: u32::try_from(path.answer().len())?,
        })
    }

    fn wait(&mut self, limit: Option<Duration>) -> Outcome<()> {
        match self.poll.poll(&mut self.events, limit) {
            Err(error) if error.kind() == ErrorKind::Interrupted => self.events.clear(),
            other => other?,
        }
        Ok(())
    }

    /// Goes on until no answer is to come.
    fn serve(&mut self, exchange: &Exchange, tally: &dyn Tally) -> Outcome<()> {
        let mut under_way = self.sockets.iter().filter(|it| it.to_come > 0).count();
        while under_way > 0 {
            self.wait(None)?;
            for event in &self.events {
                let socket = &mut self.sockets[event.token().0];
                if event.is_readable() && socket.receive(&mut self.buffer)? {
                    if tally.ended() {
                        socket.send(exchange)?;
                    } else {
                        under_way -= 1;
                    }
                }
            }
        }
        Ok(())
    }
}

impl Socket {
    fn send(&mut self, exchange: &Exchange) -> Outcome<()> {
        let sent = self.stream.write(&exchange.request)?;
        if sent != exchange.request.len() {
            return Err("a request did not leave at once".into());
        }
        self.to_come = exchange.answer;
        Ok(())
    }

    /// Takes what came; says whether the answer is whole.
    fn receive(&mut self, buffer: &mut [u8]) -> Outcome<bool> {
        while self.to_come > 0 {
            let count = match self.stream.read(buffer) {
                Ok(0) => return Err("the server closed a connection".into()),
                Ok(count) => count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(false),
                Err(error) => return Err(error.into()),
            };
            let is_whole = u32::try_from(count)? == self.to_come;
            if !is_whole && count > self.to_come as usize {
                return Err("an answer is too long".into());
            }
            self.to_come -= u32::try_from(count)?;
            if is_whole {
                return Ok(true);
            }
            if count < buffer.len() {
                return Ok(false);
            }
        }
        Ok(false)
    }
}

/// Begins no other GET.
struct Last;

impl Tally for Last {
    fn ended(&self) -> bool {
        false
    }
}

impl Crowd for Sockets {
    fn open(&mut self, connections: usize) -> Outcome<()> {
        for number in 0..connections {
            let stream = std::net::TcpStream::connect(self.addr)?;
            stream.set_nodelay(true)?;
            stream.set_nonblocking(true)?;
            let mut stream = TcpStream::from_std(stream);
            let registry = self.poll.registry();
            registry.register(&mut stream, Token(number), Interest::READABLE)?;
            self.sockets.push(Socket { stream, to_come: 0 });
        }
        Ok(())
    }

    fn keep(&mut self, path: Path, in_flight: usize, tally: &Rc<dyn Tally>) -> Outcome<()> {
        let exchange = self.exchange(path)?;
        for socket in self.sockets.iter_mut().take(in_flight) {
            socket.send(&exchange)?;
        }
        self.serve(&exchange, tally.as_ref())
    }

    fn hold(&mut self, _: usize, are_held: &mut dyn FnMut() -> Outcome<bool>) -> Outcome<()> {
        let exchange = self.exchange(Path::Hold)?;
        for socket in &mut self.sockets {
            socket.send(&exchange)?;
        }
        while !are_held()? {
            self.wait(Some(Duration::from_millis(10)))?;
        }
        Ok(())
    }

    fn settle(&mut self) -> Outcome<()> {
        let exchange = self.exchange(Path::Hold)?;
        self.serve(&exchange, &Last)
    }

    fn rest(&mut self, time: Duration) -> Outcome<()> {
        let begun = Instant::now();
        while begun.elapsed() < time {
            self.wait(Some(Duration::from_secs(1)))?;
        }
        Ok(())
    }
}
