//! Transports over loopback, with a server of rustls at each level: none, one, or one inside the other.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;

use rustls::crypto::ring::default_provider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::*;
use crate::error::TlsFailure;
use crate::message::tls::TlsVersion;
use crate::net::clock::now;
use crate::net::count::on_this_thread;
use crate::net::setup::SocketSetup;
use crate::net::socket::{Begun, Unconnected};
use crate::net::tls::TlsConfig;
use crate::net::wait::for_socket;
use crate::testkit::Authority;

/// A socket that writes in pieces.
struct Pieces {
    tcp: TcpStream,
    piece: usize,
}

impl Read for Pieces {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.tcp.read(bytes)
    }
}

impl Write for Pieces {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.tcp.write(&bytes[..bytes.len().min(self.piece)])
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

type Outer = StreamOwned<ServerConnection, Pieces>;
type Inner = StreamOwned<ServerConnection, Outer>;

/// The names of proxy and origin, and who speaks for them.
struct World {
    authority: Authority,
    proxy: Arc<ServerConfig>,
    origin: Arc<ServerConfig>,
}

impl World {
    fn new() -> Self {
        let authority = Authority::new().unwrap();
        let server = |name: &str| {
            let identity = authority.issue(&[name]).unwrap();
            let chain = vec![CertificateDer::from(identity.certificate_der().to_vec())];
            let key = PrivateKeyDer::try_from(identity.key_der().to_vec()).unwrap();
            let config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
                .with_safe_default_protocol_versions()
                .unwrap()
                .with_no_client_auth()
                .with_single_cert(chain, key)
                .unwrap();
            Arc::new(config)
        };
        Self {
            proxy: server("proxy.test"),
            origin: server("origin.test"),
            authority,
        }
    }

    fn config(&self) -> TlsConfig {
        let config = TlsConfig::new().builtin_roots(false);
        config.add_ca_pem(self.authority.pem()).unwrap()
    }

    fn client(&self) -> TlsClient {
        self.config().client().unwrap()
    }

    /// A connection to a server that speaks no TLS itself.
    fn connect<T: Send + 'static>(
        &self,
        serve: impl FnOnce(TcpStream) -> T + Send + 'static,
    ) -> (Transport, JoinHandle<T>) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let addr = listener.local_addr().unwrap();
        let thread = std::thread::Builder::new();
        let server = thread.spawn(move || {
            let (tcp, _) = listener.accept().unwrap();
            tcp.set_nodelay(true).unwrap();
            serve(tcp)
        });
        let socket = match Unconnected::begin(addr.into(), &SocketSetup::default()).unwrap() {
            Begun::Connected(socket) | Begun::UnderWay(socket) => socket,
        };
        let socket = socket.into_socket(None).unwrap();
        (Transport::plain(socket), server.unwrap())
    }

    /// A connection with TLS to the proxy, in which a handshake with the origin is to follow.
    fn outer<T: Send + 'static>(
        &self,
        piece: usize,
        serve: impl FnOnce(Outer) -> T + Send + 'static,
    ) -> (Transport, JoinHandle<T>) {
        let config = self.proxy.clone();
        let (mut transport, server) =
            self.connect(move |tcp| serve(accept(&config, Pieces { tcp, piece })));
        begin(&mut transport, &self.client(), "proxy.test");
        assert!(transport.handshake(late()).unwrap().is_some());
        (transport, server)
    }

    /// A connection with TLS to the proxy and to the origin inside.
    fn inner<T: Send + 'static>(
        &self,
        piece: usize,
        serve: impl FnOnce(Inner) -> T + Send + 'static,
    ) -> (Transport, JoinHandle<T>) {
        let config = self.origin.clone();
        let (mut transport, server) = self.outer(piece, move |outer| serve(accept(&config, outer)));
        begin(&mut transport, &self.client(), "origin.test");
        let facts = transport.handshake(late()).unwrap().unwrap();
        assert_eq!(facts.version(), TlsVersion::V1_3);
        (transport, server)
    }
}

/// Does the server's part of a handshake.
fn accept<S: ReadWrite>(
    config: &Arc<ServerConfig>,
    carrier: S,
) -> StreamOwned<ServerConnection, S> {
    let connection = ServerConnection::new(config.clone()).unwrap();
    let mut stream = StreamOwned::new(connection, carrier);
    stream.conn.complete_io(&mut stream.sock).unwrap();
    stream
}

fn begin(transport: &mut Transport, client: &TlsClient, name: &str) {
    transport
        .start_tls(client, &TlsName::new(name).unwrap())
        .unwrap();
}

/// A deadline that no test reaches.
fn late() -> Option<Instant> {
    Some(now() + Duration::from_secs(60))
}

fn wait(transport: &Transport, interest: Interest) {
    for_socket(transport.as_fd(), interest, late()).unwrap();
}

/// Bytes that differ from place to place.
fn pattern(count: usize) -> Vec<u8> {
    (0..count).map(|at| (at % 251) as u8).collect()
}

fn send_all(transport: &mut Transport, bytes: &[u8]) {
    let mut sent = 0;
    while sent < bytes.len() {
        match transport.send(&[IoSlice::new(&bytes[sent..])]).unwrap() {
            Some(count) => sent += count,
            None => wait(transport, Interest::WRITE),
        }
    }
    assert!(!transport.has_begun());
}

fn receive_all(transport: &mut Transport, count: usize, room: usize) -> Vec<u8> {
    let mut received = Vec::new();
    while received.len() < count {
        let mut place = vec![0; room.min(count - received.len())];
        match transport.receive(&mut place, &mut [], late()).unwrap() {
            Received::Bytes(count, 0) => received.extend_from_slice(&place[..count]),
            other => panic!("{other:?} after {}", received.len()),
        }
    }
    received
}

/// Reads so many bytes and sends them back.
fn echo(stream: &mut impl ReadWrite, sizes: &[usize]) {
    for size in sizes {
        let mut bytes = vec![0; *size];
        stream.read_exact(&mut bytes).unwrap();
        stream.write_all(&bytes).unwrap();
        stream.flush().unwrap();
    }
}

trait ReadWrite: Read + Write {}
impl<T: Read + Write> ReadWrite for T {}

#[test]
fn bytes_of_every_size_come_back_through_one_stage_and_two() {
    let world = World::new();
    for (piece, sizes) in [
        (
            usize::MAX,
            &[1, 100, 16_383, 16_384, 16_385, 65_536, 65_537, 300_000][..],
        ),
        (1000, &[1, 20_000]),
        (1, &[1, 2, 700]),
    ] {
        let converse = |mut transport: Transport| {
            for size in sizes {
                let bytes = pattern(*size);
                send_all(&mut transport, &bytes);
                assert!(
                    receive_all(&mut transport, *size, 64 * 1024) == bytes,
                    "{size}"
                );
                assert!(!transport.may_hold_bytes(), "{size}");
            }
            transport.close();
        };
        let (transport, server) = world.outer(piece, move |mut outer| echo(&mut outer, sizes));
        converse(transport);
        server.join().unwrap();
        let (transport, server) = world.inner(piece, move |mut inner| echo(&mut inner, sizes));
        converse(transport);
        server.join().unwrap();
    }
}

#[test]
fn what_a_small_slice_leaves_is_held() {
    let world = World::new();
    let (mut transport, server) = world.inner(usize::MAX, |mut inner| echo(&mut inner, &[40_000]));
    let bytes = pattern(40_000);
    send_all(&mut transport, &bytes);
    let mut received = receive_all(&mut transport, 10, 10);
    assert!(transport.may_hold_bytes());
    received.extend(receive_all(&mut transport, 39_990, 700));
    assert!(received == bytes);
    assert!(!transport.may_hold_bytes());
    server.join().unwrap();
}

#[test]
fn an_exchange_costs_one_send_and_one_receive() {
    let world = World::new();
    let (mut transport, server) = world.inner(usize::MAX, |mut inner| echo(&mut inner, &[9, 9]));
    for turn in 0..2 {
        let before = on_this_thread();
        send_all(&mut transport, b"a request");
        wait(&transport, Interest::READ);
        let received = receive_all(&mut transport, 9, 64 * 1024);
        assert_eq!(received, b"a request");
        // Tickets come with the first answer, and the deadline is armed once.
        if turn > 0 {
            assert_eq!(on_this_thread() - before, 3, "send, poll, receive");
        }
    }
    server.join().unwrap();
}

#[test]
fn rfc_e17_close_says_so_inside_and_then_outside() {
    let world = World::new();
    let (mut transport, server) = world.inner(usize::MAX, |mut inner| {
        echo(&mut inner, &[1]);
        let mut byte = [0; 9];
        // No byte without an error is a close_notify.
        assert_eq!(inner.read(&mut byte).unwrap(), 0);
        assert_eq!(inner.sock.read(&mut byte).unwrap(), 0);
        assert_eq!(inner.sock.sock.tcp.read(&mut byte).unwrap(), 0);
    });
    send_all(&mut transport, b"x");
    // Behind the answer nothing is left to be read, which would make a reset of the end.
    assert_eq!(receive_all(&mut transport, 1, 100), b"x");
    transport.close();
    server.join().unwrap();
}

/// What a server does to end the stream.
type Ending = fn(&mut Inner);

fn end_inside(inner: &mut Inner) {
    inner.conn.send_close_notify();
    inner.flush().unwrap();
}

fn end_outside(inner: &mut Inner) {
    inner.sock.conn.send_close_notify();
    inner.sock.flush().unwrap();
}

fn end_both(inner: &mut Inner) {
    end_inside(inner);
    end_outside(inner);
}

fn end_nothing(_: &mut Inner) {}

#[test]
fn rfc_e18_only_close_notify_of_the_innermost_stage_ends_the_data() {
    let world = World::new();
    let endings: [(Ending, bool); 4] = [
        (end_both, true),
        (end_inside, true),
        (end_outside, false),
        (end_nothing, false),
    ];
    for (end, is_clean) in endings {
        let (mut transport, server) = world.inner(usize::MAX, move |mut inner| {
            inner.write_all(b"data").unwrap();
            end(&mut inner);
            inner.sock.sock.tcp.shutdown(Shutdown::Write).unwrap();
            inner
        });
        assert_eq!(receive_all(&mut transport, 4, 100), b"data");
        for _ in 0..2 {
            let ended = transport.receive(&mut [0; 9], &mut [], late()).unwrap();
            assert!(
                matches!(ended, Received::Ended(clean) if clean == is_clean),
                "{ended:?}"
            );
        }
        server.join().unwrap();
    }
}

#[test]
fn a_handshake_inside_that_is_cut_or_silent_is_told() {
    let world = World::new();
    let (mut transport, server) = world.outer(usize::MAX, |mut outer| {
        // The hello, and no answer.
        outer.read_exact(&mut [0; 5]).unwrap();
    });
    begin(&mut transport, &world.client(), "origin.test");
    let broken = transport.handshake(late()).unwrap_err();
    assert!(matches!(broken, Broken::Io(_)), "{broken:?}");
    server.join().unwrap();

    let (go, gone) = mpsc::channel::<()>();
    let config = world.origin.clone();
    let (mut transport, server) = world.outer(usize::MAX, move |outer| {
        gone.recv().unwrap();
        echo(&mut accept(&config, outer), &[4]);
    });
    begin(&mut transport, &world.client(), "origin.test");
    let soon = Some(now() + Duration::from_millis(20));
    assert!(transport.handshake(soon).unwrap().is_none());
    assert!(matches!(transport.handshake_now().unwrap(), Shaken::Silent));
    go.send(()).unwrap();
    assert!(transport.handshake(late()).unwrap().is_some());
    send_all(&mut transport, b"ping");
    assert_eq!(receive_all(&mut transport, 4, 100), b"ping");
    server.join().unwrap();
}

#[test]
fn a_handshake_goes_on_without_waiting_byte_by_byte() {
    let world = World::new();
    let config = world.origin.clone();
    let (mut transport, server) = world.outer(1, move |outer| {
        echo(&mut accept(&config, outer), &[4]);
    });
    begin(&mut transport, &world.client(), "origin.test");
    let facts = loop {
        match transport.handshake_now().unwrap() {
            Shaken::Done(facts) => break facts,
            Shaken::Heard | Shaken::Silent => wait(&transport, transport.handshake_interest()),
        }
    };
    assert_eq!(facts.certificates().len(), 1);
    send_all(&mut transport, b"ping");
    assert_eq!(receive_all(&mut transport, 4, 100), b"ping");
    server.join().unwrap();
}

#[test]
fn rfc_f22_the_origin_inside_proves_its_own_name_and_hears_why_not() {
    let world = World::new();
    for name in ["proxy.test", "other.test"] {
        let config = world.origin.clone();
        let (mut transport, server) = world.outer(usize::MAX, move |outer| {
            let connection = ServerConnection::new(config).unwrap();
            let mut inner = StreamOwned::new(connection, outer);
            inner.read(&mut [0; 1]).unwrap_err().to_string()
        });
        begin(&mut transport, &world.client(), name);
        let broken = transport.handshake(late()).unwrap_err();
        let Broken::Tls(error) = broken else {
            panic!("{broken:?}")
        };
        assert_eq!(error.failure, TlsFailure::NameMismatch);
        transport.close();
        let told = server.join().unwrap();
        assert!(told.contains("alert"), "{told}");
    }
}

/// What a server does to an idle connection, and what the connection then is.
#[derive(Debug, Clone, Copy)]
enum Idle {
    Nothing,
    KeyUpdates,
    Data,
    CutRecord,
    NoTlsInside,
    CloseInside,
    CloseOutside,
    Fin,
}

impl Idle {
    fn act(self, inner: &mut Inner) {
        match self {
            Self::Nothing => {}
            Self::KeyUpdates => {
                inner.conn.refresh_traffic_keys().unwrap();
                inner.sock.conn.refresh_traffic_keys().unwrap();
                inner.flush().unwrap();
            }
            Self::Data => inner.write_all(b"unasked").unwrap(),
            Self::CutRecord => inner.sock.sock.tcp.write_all(&[23, 3, 3, 0, 99]).unwrap(),
            Self::NoTlsInside => inner.sock.write_all(b"HTTP/1.1 408 x\r\n\r\n").unwrap(),
            Self::CloseInside => end_inside(inner),
            Self::CloseOutside => end_outside(inner),
            Self::Fin => inner.sock.sock.tcp.shutdown(Shutdown::Write).unwrap(),
        }
    }
}

#[test]
fn an_idle_connection_is_what_its_stages_say() {
    let world = World::new();
    for (idle, expected) in [
        (Idle::Nothing, Liveness::Alive),
        (Idle::KeyUpdates, Liveness::Alive),
        (Idle::Data, Liveness::Spoke),
        (Idle::CutRecord, Liveness::Spoke),
        (Idle::NoTlsInside, Liveness::Closed),
        (Idle::CloseInside, Liveness::Closed),
        (Idle::CloseOutside, Liveness::Closed),
        (Idle::Fin, Liveness::Closed),
    ] {
        let (go, gone) = mpsc::channel::<()>();
        let (acted, done) = mpsc::channel::<()>();
        let (mut transport, server) = world.inner(usize::MAX, move |mut inner| {
            echo(&mut inner, &[4]);
            gone.recv().unwrap();
            idle.act(&mut inner);
            acted.send(()).unwrap();
            if matches!(idle, Idle::Nothing | Idle::KeyUpdates) {
                echo(&mut inner, &[5]);
            }
            inner
        });
        send_all(&mut transport, b"ping");
        assert_eq!(receive_all(&mut transport, 4, 100), b"ping");
        assert!(transport.settle());
        let mut memory = Vec::with_capacity(9000);
        transport.lend(&mut memory);
        transport.take_back(&mut memory);
        assert!(memory.capacity() >= 9000, "{idle:?}");
        assert_eq!(transport.liveness(), Liveness::Alive, "{idle:?}");
        go.send(()).unwrap();
        done.recv().unwrap();
        if !matches!(idle, Idle::Nothing) {
            wait(&transport, Interest::READ);
        }
        assert_eq!(transport.liveness(), expected, "{idle:?}");
        if expected == Liveness::Alive {
            send_all(&mut transport, b"again");
            assert_eq!(receive_all(&mut transport, 5, 100), b"again");
        }
        drop(server.join().unwrap());
    }
}

#[test]
fn what_came_with_the_last_answer_is_found_though_the_socket_is_silent() {
    let world = World::new();
    let found = |mut transport: Transport| {
        // All is received at once, and the reader of four bytes takes no more.
        assert_eq!(receive_all(&mut transport, 4, 4), b"ping");
        transport.liveness()
    };
    for (end, expected) in [
        (None, Liveness::Spoke),
        (Some(end_inside as Ending), Liveness::Closed),
    ] {
        let (mut transport, server) = world.inner(usize::MAX, move |mut inner| {
            echo(&mut inner, &[4]);
            match end {
                None => inner.write_all(b"unasked").unwrap(),
                Some(end) => end(&mut inner),
            }
            inner
        });
        send_all(&mut transport, b"ping");
        let server = server.join().unwrap();
        assert_eq!(found(transport), expected);
        drop(server);
    }
    let (mut transport, server) = world.outer(usize::MAX, |mut outer| {
        echo(&mut outer, &[4]);
        outer.write_all(b"unasked").unwrap();
        outer
    });
    send_all(&mut transport, b"ping");
    let server = server.join().unwrap();
    assert_eq!(found(transport), Liveness::Spoke);
    drop(server);
}

#[test]
fn a_full_kernel_takes_the_rest_later() {
    let world = World::new();
    let (go, gone) = mpsc::channel::<()>();
    let bytes = pattern(32 << 20);
    let expected = bytes.clone();
    let (mut transport, server) = world.inner(usize::MAX, move |mut inner| {
        gone.recv().unwrap();
        let mut received = vec![0; expected.len()];
        inner.read_exact(&mut received).unwrap();
        assert!(received == expected);
    });
    let mut sent = 0;
    while let Some(count) = transport.send(&[IoSlice::new(&bytes[sent..])]).unwrap() {
        sent += count;
        assert!(sent < bytes.len(), "the kernel takes everything");
    }
    assert!(transport.has_begun());
    go.send(()).unwrap();
    send_all(&mut transport, &bytes[sent..]);
    server.join().unwrap();
}
