//! hyper on tokio's loop of one thread: a task for each connection, without a pool, which is the fastest way to use it.

use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Empty};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{ACCEPT, HOST, HeaderValue, USER_AGENT};
use hyper::{Request, Uri};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::runtime::Runtime;
use tokio::task::{JoinHandle, LocalSet};

use crate::concurrency::Outcome;
use crate::concurrency::answers::Path;
use crate::concurrency::crowd::{Crowd, Tally};

/// What a task ends with: its connection, to go on with.
type Ended = Outcome<Connection>;

type Connection = SendRequest<Empty<Bytes>>;

/// What is asked for, parsed once.
struct Asked {
    target: Uri,
    host: HeaderValue,
}

/// Connections, each idle here or in a task.
pub(super) struct Tasks {
    addr: SocketAddr,
    runtime: Runtime,
    local: LocalSet,
    idle: Vec<Connection>,
    held: Vec<JoinHandle<Ended>>,
}

impl Tasks {
    pub(super) fn new(addr: SocketAddr) -> Outcome<Self> {
        Ok(Self {
            addr,
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?,
            local: LocalSet::new(),
            idle: Vec::new(),
            held: Vec::new(),
        })
    }

    fn asked(&self, path: Path) -> Outcome<Rc<Asked>> {
        Ok(Rc::new(Asked {
            target: Uri::from_static(path.target()),
            host: HeaderValue::from_str(&self.addr.to_string())?,
        }))
    }

    fn spawn(&self, task: impl Future<Output = Ended> + 'static) -> JoinHandle<Ended> {
        self.local.spawn_local(task)
    }

    fn sleep(&self, time: Duration) {
        let sleep = async move { tokio::time::sleep(time).await };
        self.local.block_on(&self.runtime, sleep);
    }

    /// Waits for tasks; their connections are idle then.
    fn join(&mut self, tasks: Vec<JoinHandle<Ended>>) -> Outcome<()> {
        for task in tasks {
            let connection = self.local.block_on(&self.runtime, task)??;
            self.idle.push(connection);
        }
        Ok(())
    }
}

async fn connect(addr: SocketAddr) -> Outcome<Connection> {
    let stream = TcpStream::connect(addr).await?;
    stream.set_nodelay(true)?;
    let (connection, driver) = handshake(TokioIo::new(stream)).await?;
    tokio::task::spawn_local(driver);
    Ok(connection)
}

/// One GET, checked.
async fn get(connection: &mut Connection, asked: &Asked, path: Path) -> Outcome<()> {
    connection.ready().await?;
    let request = Request::get(asked.target.clone())
        .header(HOST, asked.host.clone())
        .header(USER_AGENT, HeaderValue::from_static("hyper"))
        .header(ACCEPT, HeaderValue::from_static("*/*"))
        .body(Empty::new())?;
    let response = connection.send_request(request).await?;
    let status = response.status();
    let mut body = response.into_body();
    let mut length = 0;
    while let Some(frame) = body.frame().await {
        length += frame?.data_ref().map_or(0, Bytes::len);
    }
    if status != 200 || length != path.body_length() {
        return Err(format!("{status} with {length} bytes").into());
    }
    Ok(())
}

impl Crowd for Tasks {
    fn open(&mut self, connections: usize) -> Outcome<()> {
        for _ in 0..connections {
            let connect = connect(self.addr);
            let connection = self.local.block_on(&self.runtime, connect)?;
            self.idle.push(connection);
        }
        Ok(())
    }

    fn keep(&mut self, path: Path, in_flight: usize, tally: &Rc<dyn Tally>) -> Outcome<()> {
        let asked = self.asked(path)?;
        let connections = self.idle.split_off(self.idle.len() - in_flight);
        let tasks = connections.into_iter().map(|mut connection| {
            let (asked, tally) = (asked.clone(), tally.clone());
            self.spawn(async move {
                loop {
                    get(&mut connection, &asked, path).await?;
                    if !tally.ended() {
                        return Ok(connection);
                    }
                }
            })
        });
        let tasks = tasks.collect();
        self.join(tasks)
    }

    fn hold(&mut self, _: usize, are_held: &mut dyn FnMut() -> Outcome<bool>) -> Outcome<()> {
        let asked = self.asked(Path::Hold)?;
        for mut connection in std::mem::take(&mut self.idle) {
            let asked = asked.clone();
            let task = self.spawn(async move {
                get(&mut connection, &asked, Path::Hold).await?;
                Ok(connection)
            });
            self.held.push(task);
        }
        while !are_held()? {
            self.sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    fn settle(&mut self) -> Outcome<()> {
        let held = std::mem::take(&mut self.held);
        self.join(held)
    }

    fn rest(&mut self, time: Duration) -> Outcome<()> {
        let begun = Instant::now();
        while begun.elapsed() < time {
            self.sleep(Duration::from_secs(1));
        }
        Ok(())
    }
}
