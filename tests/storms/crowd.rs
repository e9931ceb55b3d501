//! A peer for very many connections at once, on one thread: it answers all of them, or closes all of them, when it is
//! told to. In this process, or in one of its own, where its ends of the connections do not count.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use socket2::{Domain, Socket, Type};

use wirescope::ClientBuilder;

use crate::connections;

/// Connections that wait to be accepted.
const BACKLOG: i32 = 4096;

/// What stands before what the other process tells.
const TELLS: &str = "crowd: ";

pub(crate) const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// A peer of many connections.
pub(crate) trait Crowd {
    fn url(&self) -> String;

    /// How many connections have sent a request and were not closed.
    fn count(&mut self) -> usize;

    /// Answers the request of every connection.
    fn answer_all(&mut self);

    /// Closes every connection.
    fn close_all(&mut self);

    /// A client that trusts it.
    fn trusted(&self, client: ClientBuilder) -> ClientBuilder {
        client
    }
}

/// A crowd in this process.
pub(crate) struct Near {
    addr: SocketAddr,
    answer: Vec<u8>,
    held: Arc<Mutex<Vec<TcpStream>>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Near {
    pub(crate) fn start() -> Self {
        Self::answering(OK.to_vec())
    }

    /// One that answers this, which the sockets have room for.
    pub(crate) fn answering(answer: Vec<u8>) -> Self {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let any: SocketAddr = ([127, 0, 0, 1], 0).into();
        socket.bind(&any.into()).unwrap();
        socket.listen(BACKLOG).unwrap();
        let listener = std::net::TcpListener::from(socket);
        let addr = listener.local_addr().unwrap();
        let (held, stop) = (Arc::default(), Arc::new(AtomicBool::new(false)));
        let thread = {
            let (held, stop) = (Arc::clone(&held), stop.clone());
            std::thread::spawn(move || accept(&listener, &held, &stop))
        };
        Self {
            addr,
            answer,
            held,
            stop,
            thread: Some(thread),
        }
    }
}

fn accept(listener: &std::net::TcpListener, held: &Mutex<Vec<TcpStream>>, stop: &AtomicBool) {
    for stream in listener.incoming() {
        if stop.load(Ordering::Acquire) {
            return;
        }
        let stream = stream.unwrap();
        if read_head(&stream) {
            held.lock().unwrap().push(stream);
        }
    }
}

/// Reads a request without a body; says whether there was one.
fn read_head(mut stream: &TcpStream) -> bool {
    let mut head = Vec::new();
    let mut piece = [0; 1024];
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read(&mut piece) {
            Ok(0) | Err(_) => return false,
            Ok(count) => head.extend_from_slice(&piece[..count]),
        }
    }
    true
}

impl Crowd for Near {
    fn url(&self) -> String {
        format!("http://{}/", self.addr)
    }

    fn count(&mut self) -> usize {
        self.held.lock().unwrap().len()
    }

    fn answer_all(&mut self) {
        for mut stream in self.held.lock().unwrap().iter() {
            stream.write_all(&self.answer).unwrap();
        }
    }

    fn close_all(&mut self) {
        self.held.lock().unwrap().clear();
    }
}

impl Drop for Near {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        drop(TcpStream::connect(self.addr));
        let result = self.thread.take().unwrap().join();
        assert!(result.is_ok() || std::thread::panicking());
    }
}

/// A crowd in a process of its own.
pub(crate) struct Far {
    process: Child,
    tells: BufReader<ChildStdout>,
    url: String,
}

impl Far {
    pub(crate) fn start() -> Self {
        let mut process = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "crowd::obeys", "--ignored", "--nocapture"])
            .env("WIRESCOPE_TEST_CROWD", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let tells = BufReader::new(process.stdout.take().unwrap());
        let mut far = Self {
            process,
            tells,
            url: String::new(),
        };
        far.url = far.told();
        far
    }

    fn order(&mut self, order: &str) -> String {
        let stdin = self.process.stdin.as_mut().unwrap();
        writeln!(stdin, "{order}").unwrap();
        self.told()
    }

    fn told(&mut self) -> String {
        loop {
            let mut line = String::new();
            assert!(self.tells.read_line(&mut line).unwrap() > 0, "it has gone");
            if let Some((_, told)) = line.split_once(TELLS) {
                return told.trim_end().to_owned();
            }
        }
    }
}

impl Crowd for Far {
    fn url(&self) -> String {
        self.url.clone()
    }

    fn count(&mut self) -> usize {
        self.order("count").parse().unwrap()
    }

    fn answer_all(&mut self) {
        self.order("answer");
    }

    fn close_all(&mut self) {
        self.order("close");
    }
}

impl Drop for Far {
    fn drop(&mut self) {
        drop(self.process.stdin.take());
        let result = self.process.wait();
        assert!(result.is_ok() || std::thread::panicking());
    }
}

#[test]
#[ignore = "a part of other tests, in a process of its own"]
fn obeys() {
    if std::env::var_os("WIRESCOPE_TEST_CROWD").is_none() {
        return;
    }
    connections(usize::MAX >> 8, 1);
    let mut crowd = Near::start();
    println!("{TELLS}{}", crowd.url());
    for order in std::io::stdin().lines() {
        match order.unwrap().as_str() {
            "count" => println!("{TELLS}{}", crowd.count()),
            "answer" => {
                crowd.answer_all();
                println!("{TELLS}answered");
            }
            _ => {
                crowd.close_all();
                println!("{TELLS}closed");
            }
        }
    }
}
