//! A program of the distribution as a child process, with a folder, a port and a log of its own.

use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

/// How long a program may take to listen.
const START: Duration = Duration::from_secs(20);

/// How long it may take to end when it is asked to.
const END: Duration = Duration::from_secs(5);

/// How much of a log a failed test shows.
const LOG_BYTES: usize = 8_000;

/// A folder that programs of any user may write to, removed at the end.
pub(super) struct Folder(PathBuf);

impl Folder {
    pub(super) fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("wirescope-peers-{}-{next}", std::process::id());
        let path = std::env::temp_dir().join(name);
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
        Self(path)
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    pub(super) fn join(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Writes a file and says where it is.
    pub(super) fn write(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.join(name);
        fs::write(&path, content).unwrap();
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        fs::remove_dir_all(&self.0).ok();
    }
}

/// A port that nobody has, below those that the system gives away by itself: nobody else gets it before the program.
pub(super) fn port() -> SocketAddr {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    const FIRST: u32 = 11_000;
    const COUNT: u32 = 20_000;
    loop {
        let next = u32::from(NEXT.fetch_add(1, Ordering::Relaxed));
        let port = FIRST + (std::process::id() * 97 + next) % COUNT;
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, u16::try_from(port).unwrap()));
        if TcpListener::bind(addr).is_ok() {
            return addr;
        }
    }
}

/// A running program and its children, which are ended at the end. If the test fails, its log is shown.
pub(super) struct Program {
    child: Child,
    log: PathBuf,
}

impl Program {
    /// Starts a program in the foreground, and waits until it listens on all these addresses. What it writes to
    /// standard output and error is its log.
    pub(super) fn start(command: &mut Command, folder: &Folder, listens: &[SocketAddr]) -> Self {
        let name = command.get_program().to_string_lossy().into_owned();
        let log = folder.join(&format!("{}.log", name.replace('/', "-")));
        let output = File::create(&log).unwrap();
        let child = command
            .stdin(Stdio::null())
            .stdout(output.try_clone().unwrap())
            .stderr(output)
            .current_dir(folder.path())
            .env("RES_OPTIONS", "timeout:1 attempts:1")
            .process_group(0)
            .spawn()
            .unwrap_or_else(|error| panic!("{name} is needed, see .ci/run: {error}"));
        let mut program = Self { child, log };
        let begun = Instant::now();
        while !listens.iter().all(|addr| TcpStream::connect(addr).is_ok()) {
            let ended = program.child.try_wait().unwrap();
            assert!(ended.is_none(), "{name} ended: {ended:?}");
            assert!(begun.elapsed() < START, "{name} does not listen");
            std::thread::sleep(Duration::from_millis(10));
        }
        program
    }

    fn signal(&self, signal: Signal) {
        kill_process_group(Pid::from_child(&self.child), signal).ok();
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        self.signal(Signal::TERM);
        let begun = Instant::now();
        while begun.elapsed() < END && self.child.try_wait().is_ok_and(|ended| ended.is_none()) {
            std::thread::sleep(Duration::from_millis(5));
        }
        self.signal(Signal::KILL);
        self.child.wait().ok();
        if std::thread::panicking() {
            let log = fs::read(&self.log).unwrap_or_default();
            let from = log.len().saturating_sub(LOG_BYTES);
            let text = String::from_utf8_lossy(&log[from..]);
            println!("---- {}\n{text}", self.log.display());
        }
    }
}
