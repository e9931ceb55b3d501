//! A connection of a relay: requests that are passed on, and tunnels.

use std::io;
use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsFd;
use std::sync::Arc;

use super::{Run, Stop};
use crate::message::credentials::basic;
use crate::message::url::Url;
use crate::testkit::bell::{readable, wait_any};
use crate::testkit::peer::HARD_TIMEOUT;
use crate::testkit::peer::socket::{Left, Socket, Transport};
use crate::testkit::relay::{RelayFault, Relaying, Speech};
use crate::testkit::seen::{BodyReader, SeenRequest, head_end, says_close};

/// What a relay says when it has made a tunnel, and when it does not.
const ESTABLISHED: &[u8] = b"HTTP/1.1 200 Connection established\r\n\r\n";
const WHO_ARE_YOU: &[u8] = b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic realm=\"relay\"\r\nContent-Length: 13\r\nConnection: close\r\n\r\nwho are you?\n";
const NOWHERE: &[u8] =
    b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";

/// Fields of a request that end at a proxy (RFC 9110 §7.6.1).
const OF_THE_HOP: &[&str] = &[
    "connection",
    "proxy-connection",
    "keep-alive",
    "proxy-authorization",
];

/// What is being relayed on one connection.
pub(super) struct Relayed<'r, 'a> {
    pub(super) run: &'r mut Run<'a>,
    pub(super) relaying: Arc<Relaying>,
    /// Bytes that the relay has answered by itself.
    answered: usize,
}

/// The end of a response, as its head tells it (RFC 9112 §6.3).
enum Rest {
    Read(BodyReader),
    UntilClose,
}

/// Which of the two has something to read.
enum Speaks {
    Client,
    Origin,
}

pub(super) fn serve(run: &mut Run<'_>, relaying: Arc<Relaying>) -> Result<(), Stop> {
    let speech = relaying.speech;
    let mut relayed = Relayed {
        run,
        relaying,
        answered: 0,
    };
    relayed.note(|_| {});
    match speech {
        Speech::Http => relayed.http(),
        Speech::Socks5 => relayed.socks5(),
    }
}

impl Relayed<'_, '_> {
    fn http(&mut self) -> Result<(), Stop> {
        while self.one_request()? {}
        self.run.end()
    }

    /// Serves a request; says whether another one may follow.
    fn one_request(&mut self) -> Result<bool, Stop> {
        let end = match self.run.search(head_end) {
            // The client has had enough.
            Err(Stop::Left(_)) if self.run.inbound.is_empty() => return Ok(false),
            end => end?,
        };
        let head = self.take(end);
        let request = SeenRequest::new(self.run.connection, head);
        if !self.knows(&request) {
            self.answer(WHO_ARE_YOU)?;
            return Ok(false);
        }
        if request.method() == "CONNECT" {
            return self.tunnel_to(request.target()).map(|()| false);
        }
        let Ok(url) = Url::parse(request.target()) else {
            return Err(Stop::Mismatch(
                "a target in absolute-form was expected".to_owned(),
            ));
        };
        match self.connect(&format!("{}:{}", url.host_str(), url.port())) {
            Some(origin) => self.pass_on(&request, &url, origin),
            None => {
                self.answer(NOWHERE)?;
                Ok(false)
            }
        }
    }

    fn knows(&self, request: &SeenRequest) -> bool {
        let expected = (self.relaying.credentials.as_ref())
            .and_then(|(user, password)| basic(user.as_bytes(), password.as_bytes()));
        expected.is_none() || request.field("proxy-authorization") == expected.as_deref()
    }

    // ---- requests that are passed on ----

    fn pass_on(
        &mut self,
        request: &SeenRequest,
        url: &Url,
        mut origin: Transport,
    ) -> Result<bool, Stop> {
        let mut body = BodyReader::for_head(&request.head).map_err(Stop::Mismatch)?;
        self.forward(&mut origin, &onward(request, url))?;
        let mut inbound = Vec::new();
        loop {
            self.pass_body(&mut body, &mut origin)?;
            if let Some(end) = head_end(&inbound) {
                let head: Vec<u8> = inbound.drain(..end).collect();
                self.answer(&head)?;
                let status = status_of(&head);
                if (100..200).contains(&status) {
                    continue;
                }
                let rest = rest_of(request.method(), status, &head)?;
                self.pass_back(rest, inbound, &mut origin)?;
                let closes = says_close(&head) || says_close(&request.head);
                return Ok(body.is_done() && !closes && head.starts_with(b"HTTP/1.1"));
            }
            match self.speaks(&origin, !body.is_done(), true)? {
                Speaks::Client => self.run.read_more()?,
                Speaks::Origin => match read_from(&mut origin) {
                    Ok(bytes) => inbound.extend(bytes),
                    // The origin has gone; so does the relay.
                    Err(_) => return Ok(false),
                },
            }
        }
    }

    /// Passes on what has come of the request's body.
    fn pass_body(&mut self, body: &mut BodyReader, origin: &mut Transport) -> Result<(), Stop> {
        while !body.is_done() {
            let used = body.feed(&self.run.inbound).map_err(Stop::Mismatch)?.used;
            if used == 0 {
                return Ok(());
            }
            let bytes = self.take(used);
            self.forward(origin, &bytes)?;
        }
        Ok(())
    }

    fn pass_back(
        &mut self,
        rest: Rest,
        mut inbound: Vec<u8>,
        origin: &mut Transport,
    ) -> Result<(), Stop> {
        let (mut reader, is_until_close) = match rest {
            Rest::Read(reader) => (reader, false),
            Rest::UntilClose => (BodyReader::Length(u64::MAX), true),
        };
        loop {
            let used = reader.feed(&inbound).map_err(Stop::Mismatch)?.used;
            if used > 0 {
                let bytes: Vec<u8> = inbound.drain(..used).collect();
                self.answer(&bytes)?;
                continue;
            }
            if reader.is_done() {
                return Ok(());
            }
            match read_from(origin) {
                Ok(bytes) => inbound.extend(bytes),
                Err(_) if is_until_close => return self.run.end(),
                Err(left) => {
                    // What is cut off here is cut off there.
                    self.run.close();
                    return Err(left.into());
                }
            }
        }
    }

    fn forward(&self, origin: &mut Transport, bytes: &[u8]) -> Result<(), Stop> {
        origin.write(bytes)?;
        self.note(|seen| seen.forwarded.extend_from_slice(bytes));
        Ok(())
    }

    // ---- tunnels ----

    fn tunnel_to(&mut self, target: &str) -> Result<(), Stop> {
        let Some(origin) = self.connect(target) else {
            return self.answer(NOWHERE);
        };
        self.answer(ESTABLISHED)?;
        self.pump(origin)
    }

    /// Passes bytes both ways until both are at their end.
    pub(super) fn pump(&mut self, mut origin: Transport) -> Result<(), Stop> {
        self.note(|seen| seen.is_tunnel = true);
        let (mut client_speaks, mut origin_speaks) = (true, true);
        loop {
            let bytes = std::mem::take(&mut self.run.inbound);
            if !bytes.is_empty() {
                self.note(|seen| seen.tunneled.extend_from_slice(&bytes));
                origin.write(&bytes)?;
            }
            if !client_speaks && !origin_speaks {
                return self.run.end();
            }
            match self.speaks(&origin, client_speaks, origin_speaks)? {
                Speaks::Client => match self.run.read_more() {
                    Err(Stop::Left(Left::Eof | Left::Notified)) => {
                        client_speaks = false;
                        origin.socket().half_close();
                    }
                    result => result?,
                },
                Speaks::Origin => match read_from(&mut origin) {
                    Ok(bytes) => self.run.send(&bytes)?,
                    Err(Left::Eof) => {
                        origin_speaks = false;
                        self.no_more()?;
                    }
                    Err(_) => return self.run.reset(),
                },
            }
        }
    }

    /// The client gets no more bytes, and may still send some.
    fn no_more(&mut self) -> Result<(), Stop> {
        if matches!(self.run.transport, Some(Transport::Tls(_))) {
            self.run.close_notify()?;
        }
        self.run.transport()?.socket().half_close();
        Ok(())
    }

    // ---- both ----

    /// Takes so many bytes of what the client sent to the relay.
    pub(super) fn take(&mut self, count: usize) -> Vec<u8> {
        let bytes: Vec<u8> = self.run.inbound.drain(..count).collect();
        self.note(|seen| seen.asked.extend_from_slice(&bytes));
        bytes
    }

    pub(super) fn connect(&self, target: &str) -> Option<Transport> {
        self.note(|seen| seen.targets.push(target.to_owned()));
        let addr = self.relaying.leads_to(target)?;
        let socket = Socket::new(dial(addr).ok()?, self.run.shared.clone()).ok()?;
        Some(Transport::Plain(socket))
    }

    /// Says something of its own, and does it wrong if it is to.
    pub(super) fn answer(&mut self, bytes: &[u8]) -> Result<(), Stop> {
        let (begin, end) = (self.answered, self.answered + bytes.len());
        self.answered = end;
        let within = |at: usize| (begin..end).contains(&at).then(|| at - begin);
        match self.relaying.fault {
            Some(RelayFault::Cut(at)) => match within(at) {
                Some(at) => {
                    self.run.send(&bytes[..at])?;
                    self.run.close();
                    Err(Stop::Over)
                }
                None => self.run.send(bytes),
            },
            Some(RelayFault::Reset(at)) => match within(at) {
                Some(at) => {
                    self.run.send(&bytes[..at])?;
                    self.run.reset()
                }
                None => self.run.send(bytes),
            },
            Some(RelayFault::Stall(at)) => match within(at) {
                Some(at) => {
                    self.run.send(&bytes[..at])?;
                    self.run.stall()?;
                    Err(Stop::Over)
                }
                None => self.run.send(bytes),
            },
            Some(RelayFault::Lie(at, mask)) => {
                let mut bytes = bytes.to_vec();
                if let Some(at) = within(at) {
                    bytes[at] ^= mask;
                }
                self.run.send(&bytes)
            }
            None => self.run.send(bytes),
        }
    }

    /// Waits until one of those who are asked has something to read, or its end.
    fn speaks(
        &mut self,
        origin: &Transport,
        client: bool,
        of_origin: bool,
    ) -> Result<Speaks, Stop> {
        let transport = self.run.transport.as_mut().ok_or(Stop::Over)?;
        if client && transport.has_read_ahead() {
            return Ok(Speaks::Client);
        }
        let finish = &self.run.shared.finish;
        let (here, there) = (transport.socket().as_fd(), origin.socket().as_fd());
        let mut fds = match (client, of_origin) {
            (true, true) => vec![readable(here), readable(there), finish.heard()],
            (true, false) => vec![readable(here), finish.heard()],
            (false, _) => vec![readable(there), finish.heard()],
        };
        if !wait_any(&mut fds, HARD_TIMEOUT)? {
            return Err(Left::Silent.into());
        }
        let is_ready = |index: usize| !fds[index].revents().is_empty();
        match client {
            true if is_ready(0) => Ok(Speaks::Client),
            true if of_origin && is_ready(1) => Ok(Speaks::Origin),
            false if is_ready(0) => Ok(Speaks::Origin),
            _ => Err(Left::Finished.into()),
        }
    }

    pub(super) fn note(&self, change: impl FnOnce(&mut crate::testkit::relay::SeenRelay)) {
        self.relaying.note(self.run.connection, change);
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "a proxy of tests connects as simply as it can"
)]
fn dial(addr: SocketAddr) -> io::Result<TcpStream> {
    TcpStream::connect(addr)
}

fn read_from(origin: &mut Transport) -> Result<Vec<u8>, Left> {
    let mut buffer = vec![0; super::READ_BYTES];
    let count = origin.read(&mut buffer)?;
    buffer.truncate(count);
    Ok(buffer)
}

/// The head for the origin: in origin-form, and without the fields that end at a proxy.
fn onward(request: &SeenRequest, url: &Url) -> Vec<u8> {
    let target = match request.target() == url.as_str().trim_end_matches('/')
        && request.method() == "OPTIONS"
    {
        true => "*",
        false => url.request_target(),
    };
    let mut head = format!("{} {target} HTTP/1.1\r\n", request.method()).into_bytes();
    let text = String::from_utf8_lossy(&request.head).into_owned();
    for line in text.split("\r\n").skip(1) {
        let name = line.split(':').next().unwrap_or_default();
        if !OF_THE_HOP.iter().any(|one| one.eq_ignore_ascii_case(name)) && !line.is_empty() {
            head.extend_from_slice(line.as_bytes());
            head.extend_from_slice(b"\r\n");
        }
    }
    head.extend_from_slice(b"\r\n");
    head
}

fn status_of(head: &[u8]) -> u16 {
    let text = String::from_utf8_lossy(head);
    let status = text.split(' ').nth(1).unwrap_or_default();
    status.parse().unwrap_or_default()
}

fn rest_of(method: &str, status: u16, head: &[u8]) -> Result<Rest, Stop> {
    if method == "HEAD" || matches!(status, 204 | 304) {
        return Ok(Rest::Read(BodyReader::Done));
    }
    let text = String::from_utf8_lossy(head).to_ascii_lowercase();
    let is_framed = ["\r\ncontent-length:", "\r\ntransfer-encoding:"]
        .iter()
        .any(|name| text.contains(name));
    match is_framed {
        true => BodyReader::for_head(head)
            .map(Rest::Read)
            .map_err(Stop::Mismatch),
        false => Ok(Rest::UntilClose),
    }
}
