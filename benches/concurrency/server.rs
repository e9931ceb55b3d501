//! The server: one thread, one loop, and no more understanding of HTTP than its clients need.
//!
//! A server that sleeps whenever it has nothing to do costs its clients: who sends to it wakes it, which in a virtual
//! machine takes longer than the request. A client that is as fast as the server never lets it sleep; all others pay in
//! addition, for what is none of theirs. So where rates are compared it stays awake.
//!
//! It prints two ports, of which the second never speaks TLS and is for questions about the first, then with TLS the
//! certificate to trust, and serves until its standard input ends. Requests have no content and are not pipelined: what
//! ends with an empty line is one.

mod connection;

use std::io::{ErrorKind, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mio::net::TcpListener;
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use socket2::{Domain, Socket, Type};
use wirescope::testkit::Authority;

use self::connection::{Connection, Said};
use crate::concurrency::Outcome;
use crate::concurrency::answers::{Path, answer};
use crate::concurrency::machine;
use crate::concurrency::options::Options;

/// Connections that may wait for being accepted; the system may allow fewer.
const BACKLOG: i32 = 16 * 1024;

/// Reports that one wait takes at the most.
const REPORTS: usize = 1024;

/// How long the server stays awake that does: longer than any pause under load.
const AWAKE: Duration = Duration::from_millis(1);

/// Pauses of the processor between two questions while nothing happens.
const PAUSES: usize = 16;

/// Bytes that one receive takes at the most.
const RECEIVE: usize = 16 * 1024;

const LISTENER: Token = Token(usize::MAX - 1);
const CONTROL: Token = Token(usize::MAX - 2);
const INPUT: Token = Token(usize::MAX - 3);

/// Serves with the options `--core`, `--tls` and `--awake`.
pub(crate) fn serve(options: &Options) -> Outcome<()> {
    machine::raise_descriptor_limit()?;
    if let Some(core) = options.value("core") {
        machine::pin(core.parse()?)?;
    }
    let mut says = std::io::stdout();
    let (listener, control) = (listen()?, listen()?);
    for port in [listener.local_addr()?.port(), control.local_addr()?.port()] {
        writeln!(says, "{port}")?;
    }
    let mut tls = None;
    if options.value("tls").is_some() {
        let authority = Authority::new()?;
        tls = Some(Arc::new(tls_config(&authority)?));
        writeln!(says, "{}", authority.pem())?;
    }
    let mut server = Server::new(listener, control, tls)?;
    if options.value("awake").is_some() {
        server.awake = AWAKE;
    }
    server.run()
}

fn listen() -> Outcome<TcpListener> {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None)?;
    socket.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())?;
    socket.listen(BACKLOG)?;
    socket.set_nonblocking(true)?;
    Ok(TcpListener::from_std(socket.into()))
}

fn tls_config(authority: &Authority) -> Outcome<ServerConfig> {
    let identity = authority.issue(&["127.0.0.1", "*.crowd.test"])?;
    let chain = vec![CertificateDer::from(identity.certificate_der().to_vec())];
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(identity.key_der().to_vec()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    Ok(ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?)
}

struct Server {
    poll: Poll,
    /// How long it waits without sleep.
    awake: Duration,
    listener: TcpListener,
    /// Always without TLS.
    control: TcpListener,
    tls: Option<Arc<ServerConfig>>,
    connections: Vec<Option<Connection>>,
    free: Vec<usize>,
    /// Those whose answer was put off.
    held: Vec<usize>,
    answers: [Vec<u8>; 2],
}

impl Server {
    fn new(
        mut listener: TcpListener,
        mut control: TcpListener,
        tls: Option<Arc<ServerConfig>>,
    ) -> Outcome<Self> {
        let poll = Poll::new()?;
        let registry = poll.registry();
        registry.register(&mut listener, LISTENER, Interest::READABLE)?;
        registry.register(&mut control, CONTROL, Interest::READABLE)?;
        registry.register(&mut SourceFd(&0), INPUT, Interest::READABLE)?;
        Ok(Self {
            poll,
            awake: Duration::ZERO,
            listener,
            control,
            tls,
            connections: Vec::new(),
            free: Vec::new(),
            held: Vec::new(),
            answers: [Path::Tiny.answer(), Path::Bulk.answer()],
        })
    }

    fn run(mut self) -> Outcome<()> {
        let mut events = Events::with_capacity(REPORTS);
        let mut buffer = vec![0; RECEIVE];
        loop {
            self.wait(&mut events)?;
            for event in &events {
                match event.token() {
                    LISTENER => self.accept(LISTENER)?,
                    CONTROL => self.accept(CONTROL)?,
                    INPUT => return Ok(()),
                    Token(at) => self.go_on(at, event.is_read_closed(), &mut buffer),
                }
            }
        }
    }

    fn wait(&mut self, events: &mut Events) -> Outcome<()> {
        let begun = Instant::now();
        loop {
            let is_awake = begun.elapsed() < self.awake;
            match self.poll.poll(events, is_awake.then_some(Duration::ZERO)) {
                Err(error) if error.kind() != ErrorKind::Interrupted => return Err(error.into()),
                Ok(()) if !events.is_empty() => return Ok(()),
                // The other core may be the same one in half.
                _ => (0..PAUSES).for_each(|_| std::hint::spin_loop()),
            }
        }
    }

    fn accept(&mut self, token: Token) -> Outcome<()> {
        let (listener, tls) = match token {
            CONTROL => (&self.control, None),
            _ => (&self.listener, self.tls.as_ref()),
        };
        loop {
            let mut stream = match listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error.into()),
            };
            stream.set_nodelay(true)?;
            let at = self.free.pop().unwrap_or(self.connections.len());
            let both = Interest::READABLE | Interest::WRITABLE;
            self.poll
                .registry()
                .register(&mut stream, Token(at), both)?;
            let connection = Some(Connection::new(stream, tls)?);
            match self.connections.get_mut(at) {
                Some(place) => *place = connection,
                None => self.connections.push(connection),
            }
        }
    }

    /// Lets a connection go on; one that fails or ends is closed. A client that was answered says nothing more before
    /// the next report, unless it is its last word.
    fn go_on(&mut self, at: usize, is_last: bool, buffer: &mut [u8]) {
        loop {
            let Some(Some(connection)) = self.connections.get_mut(at) else {
                return;
            };
            let said = connection.flush().and_then(|()| connection.hear(buffer));
            let answered = match said {
                Ok(Said::Nothing) => return,
                Ok(Said::Tiny) => connection.say(&self.answers[0]),
                Ok(Said::Request(request)) => self.answer(at, &request),
                Ok(Said::End) => return self.close(at),
                Err(error) => Err(error),
            };
            if answered.is_err() {
                return self.close(at);
            }
            if !is_last {
                return;
            }
        }
    }

    fn close(&mut self, at: usize) {
        self.connections[at] = None;
        self.free.push(at);
        self.held.retain(|held| *held != at);
    }

    fn answer(&mut self, at: usize, request: &[u8]) -> std::io::Result<()> {
        let target = request.split(|byte| *byte == b' ').nth(1);
        match target.unwrap_or_default() {
            b"/64k" => self.say(at, 1),
            b"/hold" => {
                self.held.push(at);
                Ok(())
            }
            b"/held" => {
                let count = answer(format!("{:12}", self.held.len()).as_bytes());
                let connection = self.connections[at].as_mut();
                connection.map_or(Ok(()), |connection| connection.say(&count))
            }
            b"/release" => {
                for held in std::mem::take(&mut self.held) {
                    if self.say(held, 0).is_err() {
                        self.close(held);
                    }
                }
                self.say(at, 0)
            }
            _ => Err(ErrorKind::InvalidInput.into()),
        }
    }

    fn say(&mut self, at: usize, which: usize) -> std::io::Result<()> {
        let connection = self.connections[at].as_mut();
        connection.map_or(Ok(()), |connection| connection.say(&self.answers[which]))
    }
}
