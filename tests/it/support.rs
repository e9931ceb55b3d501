//! What several subjects need.

use std::io::Read;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use wirescope::event::{Events, Interest, ObserverRef, Overflow, channel_with};
use wirescope::testkit::{Authority, ServerIdentity};
use wirescope::{Client, ClientBuilder, TlsConfig};

/// Room for events of any number.
pub(crate) fn all_events() -> (ObserverRef, Events) {
    channel_with(0, Overflow::Unbounded, Interest::DEFAULT)
}

/// A client whose events are kept.
pub(crate) fn watched(change: impl FnOnce(ClientBuilder) -> ClientBuilder) -> (Client, Events) {
    let (observer, events) = all_events();
    let client = change(Client::builder().observe(observer)).build().unwrap();
    (client, events)
}

/// An identity for 127.0.0.1, and a configuration that trusts it.
pub(crate) fn trusted() -> (ServerIdentity, TlsConfig) {
    let authority = Authority::new().unwrap();
    let identity = authority.issue(&["127.0.0.1"]).unwrap();
    let tls = TlsConfig::new()
        .builtin_roots(false)
        .add_ca_pem(authority.pem())
        .unwrap();
    (identity, tls)
}

/// A server for many short connections, one after the other on one thread.
pub(crate) struct Server {
    addr: SocketAddr,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    pub(crate) fn start(mut serve: impl FnMut(TcpStream) + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let addr = listener.local_addr().unwrap();
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = stop.clone();
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stopped.load(Ordering::Acquire) {
                    break;
                }
                let stream = stream.unwrap();
                stream.set_nodelay(true).unwrap();
                serve(stream);
            }
        });
        Self {
            addr,
            stop,
            thread: Some(thread),
        }
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    pub(crate) fn url(&self, target: &str) -> String {
        format!("http://{}{target}", self.addr)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        drop(TcpStream::connect(self.addr));
        let result = self.thread.take().unwrap().join();
        assert!(result.is_ok() || std::thread::panicking());
    }
}

/// Reads to the end of a request head. None: the client left.
pub(crate) fn read_head(mut stream: &TcpStream) -> Option<String> {
    let mut head = Vec::new();
    let mut piece = [0; 4096];
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut piece) {
            Ok(0) | Err(_) => return None,
            Ok(count) => head.extend_from_slice(&piece[..count]),
        }
    }
    Some(String::from_utf8(head).unwrap())
}

/// The target of a request head.
pub(crate) fn target(head: &str) -> &str {
    head.split(' ').nth(1).unwrap()
}

/// Ends a connection with a reset.
pub(crate) fn reset(stream: TcpStream) {
    socket2::SockRef::from(&stream)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
}

/// Reads until the client leaves.
pub(crate) fn wait_until_gone(mut stream: &TcpStream) {
    let mut piece = [0; 4096];
    while matches!(stream.read(&mut piece), Ok(1..)) {}
}

/// One kernel tick, and what a loaded machine takes.
const LATE: Duration = Duration::from_millis(50);

/// Runs something whose deadline fires after `limit`: never early, and in time unless the machine was busy with
/// something else, three times in a row.
pub(crate) fn in_time(what: &str, limit: Duration, mut run: impl FnMut() -> Duration) {
    let mut late = Vec::new();
    for _ in 0..3 {
        let took = run();
        assert!(took >= limit, "{what} fired early: {took:?} of {limit:?}");
        late.push(took - limit);
        if took < limit + LATE {
            println!("{what}: {late:?} late");
            return;
        }
    }
    panic!("{what} fired late: {late:?} behind {limit:?}");
}
