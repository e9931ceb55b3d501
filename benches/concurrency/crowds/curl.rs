//! libcurl's multi interface with `curl_multi_socket_action` over epoll, level-triggered as it wants it: the fastest
//! way to use it, as its own wait has to look at every descriptor.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::os::fd::RawFd;
use std::rc::Rc;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use curl::easy::{Easy2, Handler, WriteError};
use curl::multi::{Easy2Handle, Events, Multi, Socket, SocketEvents};
use epoll::ControlOptions;

use crate::concurrency::Outcome;
use crate::concurrency::answers::Path;
use crate::concurrency::crowd::{Crowd, Tally};

/// Reports that one wait takes at the most.
const REPORTS: usize = 1024;

/// Transfers that are begun between two turns.
const STEP: usize = 128;

/// Transfers, each idle here or under way under its number.
pub(super) struct Transfers {
    base: String,
    under_way: Vec<Option<Easy2Handle<Taken>>>,
    idle: Vec<usize>,
    multi: Multi,
    /// Stays open to the end of the process, for curl to take its sockets from it.
    epoll: RawFd,
    events: Vec<epoll::Event>,
    due: Arc<Mutex<Option<Instant>>>,
    easies: Vec<Option<Easy2<Taken>>>,
}

/// Bytes of a body.
#[derive(Default)]
struct Taken(usize);

impl Handler for Taken {
    fn write(&mut self, data: &[u8]) -> Result<usize, WriteError> {
        self.0 += data.len();
        Ok(data.len())
    }
}

impl Transfers {
    pub(super) fn new(addr: SocketAddr, connections: usize) -> Outcome<Self> {
        let mut multi = Multi::new();
        multi.set_max_connects(connections)?;
        let epoll = epoll::create(true)?;
        let mut known = HashSet::new();
        multi
            .socket_function(move |socket, wanted, _| watch(epoll, &mut known, socket, &wanted))?;
        let due = Arc::new(Mutex::new(None));
        let timer = due.clone();
        multi.timer_function(move |after| {
            let at = after.map(|after| Instant::now() + after);
            *timer.lock().unwrap_or_else(PoisonError::into_inner) = at;
            true
        })?;
        Ok(Self {
            base: format!("http://{addr}"),
            under_way: (0..connections).map(|_| None).collect(),
            idle: (0..connections).collect(),
            multi,
            epoll,
            events: vec![epoll::Event::new(epoll::Events::empty(), 0); REPORTS],
            due,
            easies: (0..connections)
                .map(|_| Some(Easy2::new(Taken::default())))
                .collect(),
        })
    }

    fn calls(&self) -> usize {
        self.under_way.len() - self.idle.len()
    }

    fn begin(&mut self, path: Path) -> Outcome<()> {
        let number = self.idle.pop().ok_or("all transfers are under way")?;
        let mut easy = self.easies[number].take().ok_or("a transfer is gone")?;
        easy.url(&format!("{}{}", self.base, path.target()))?;
        easy.get_mut().0 = 0;
        let mut handle = self.multi.add2(easy)?;
        handle.set_token(number)?;
        self.under_way[number] = Some(handle);
        Ok(())
    }

    /// Takes a transfer that ended, checked.
    fn end(&mut self, number: usize, path: Path) -> Outcome<()> {
        let handle = self.under_way[number].take().ok_or("a transfer is gone")?;
        let easy = self.multi.remove2(handle)?;
        let (status, length) = (easy.response_code()?, easy.get_ref().0);
        if status != 200 || length != path.body_length() {
            return Err(format!("{status} with {length} bytes").into());
        }
        self.easies[number] = Some(easy);
        self.idle.push(number);
        Ok(())
    }

    /// Waits, and gives the numbers of those that ended.
    fn turn(&mut self, limit: Duration) -> Outcome<Vec<usize>> {
        let due = *self.due.lock().unwrap_or_else(PoisonError::into_inner);
        let until = due.map(|due| due.saturating_duration_since(Instant::now()));
        let wait = until.map_or(limit, |until| until.min(limit));
        let millis = i32::try_from(wait.as_micros().div_ceil(1000))?;
        let count = match epoll::wait(self.epoll, millis, &mut self.events) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => 0,
            other => other?,
        };
        for event in self.events.iter().take(count) {
            let reported = epoll::Events::from_bits_truncate(event.events);
            let mut events = Events::new();
            events.input(reported.intersects(epoll::Events::EPOLLIN | epoll::Events::EPOLLHUP));
            events.output(reported.contains(epoll::Events::EPOLLOUT));
            events.error(reported.contains(epoll::Events::EPOLLERR));
            let socket = Socket::try_from(event.data)?;
            self.multi.action(socket, &events)?;
        }
        if due.is_some_and(|due| due <= Instant::now()) {
            let mut planned = self.due.lock().unwrap_or_else(PoisonError::into_inner);
            if *planned == due {
                *planned = None;
            }
            drop(planned);
            self.multi.timeout()?;
        }
        let (mut ended, mut failed) = (Vec::new(), Ok(()));
        self.multi.messages(|message| {
            if let Some(Err(error)) = message.result() {
                failed = Err(error);
            }
            ended.extend(message.token());
        });
        failed?;
        Ok(ended)
    }
}

/// Watches a socket for what curl wants of it.
fn watch(epoll: RawFd, known: &mut HashSet<Socket>, socket: Socket, wanted: &SocketEvents) {
    let mut events = epoll::Events::empty();
    if wanted.input() || wanted.input_and_output() {
        events |= epoll::Events::EPOLLIN;
    }
    if wanted.output() || wanted.input_and_output() {
        events |= epoll::Events::EPOLLOUT;
    }
    let operation = if wanted.remove() {
        known.remove(&socket);
        ControlOptions::EPOLL_CTL_DEL
    } else if known.insert(socket) {
        ControlOptions::EPOLL_CTL_ADD
    } else {
        ControlOptions::EPOLL_CTL_MOD
    };
    let event = epoll::Event::new(events, socket.unsigned_abs().into());
    if let Err(error) = epoll::ctl(epoll, operation, socket, event) {
        eprintln!("socket {socket} cannot be watched: {error}");
    }
}

impl Crowd for Transfers {
    fn open(&mut self, connections: usize) -> Outcome<()> {
        let mut wanted = 0;
        while wanted < connections {
            wanted = connections.min(wanted + STEP);
            while self.calls() < wanted {
                self.begin(Path::Tiny)?;
            }
            for number in self.turn(Duration::ZERO)? {
                self.end(number, Path::Tiny)?;
            }
        }
        while self.calls() > 0 {
            for number in self.turn(Duration::from_secs(1))? {
                self.end(number, Path::Tiny)?;
            }
        }
        Ok(())
    }

    fn keep(&mut self, path: Path, in_flight: usize, tally: &Rc<dyn Tally>) -> Outcome<()> {
        for _ in 0..in_flight {
            self.begin(path)?;
        }
        while self.calls() > 0 {
            for number in self.turn(Duration::from_secs(1))? {
                self.end(number, path)?;
                if tally.ended() {
                    self.begin(path)?;
                }
            }
        }
        Ok(())
    }

    fn hold(
        &mut self,
        connections: usize,
        are_held: &mut dyn FnMut() -> Outcome<bool>,
    ) -> Outcome<()> {
        for number in 0..connections {
            self.begin(Path::Hold)?;
            if number % STEP == 0 {
                self.turn(Duration::ZERO)?;
            }
        }
        while !are_held()? {
            self.turn(Duration::from_millis(10))?;
        }
        Ok(())
    }

    fn settle(&mut self) -> Outcome<()> {
        while self.calls() > 0 {
            for number in self.turn(Duration::from_secs(1))? {
                self.end(number, Path::Hold)?;
            }
        }
        Ok(())
    }

    fn rest(&mut self, time: Duration) -> Outcome<()> {
        let begun = Instant::now();
        while begun.elapsed() < time {
            self.turn(Duration::from_secs(1))?;
        }
        Ok(())
    }
}
