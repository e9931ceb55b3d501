//! The processes that a measurement needs: this program again, as a server or as a client.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, ChildStdin, Command, Stdio};

use crate::concurrency::Outcome;

/// Where the two sides run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cores {
    pub(crate) server: usize,
    pub(crate) client: usize,
}

/// A server in a process of its own. Dropping it ends the process.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    _until_closed: Option<ChildStdin>,
    addr: SocketAddr,
    /// Where to ask about the server.
    control: SocketAddr,
    /// Whom a client is to trust, if TLS is spoken.
    authority: Option<String>,
}

impl Server {
    pub(crate) fn start(core: usize, tls: bool, awake: bool) -> Outcome<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["serve", "--core", &core.to_string()]);
        if tls {
            command.arg("--tls");
        }
        if awake {
            command.arg("--awake");
        }
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()?;
        let stdout = child.stdout.take().ok_or("a server without output")?;
        let until_closed = child.stdin.take();
        let mut lines = BufReader::new(stdout);
        let mut addr = || -> Outcome<SocketAddr> {
            let mut port = String::new();
            lines.read_line(&mut port)?;
            Ok(SocketAddr::from(([127, 0, 0, 1], port.trim().parse()?)))
        };
        let (addr, control) = (addr()?, addr()?);
        let mut authority = None;
        if tls {
            let mut pem = String::new();
            while !pem.contains("END CERTIFICATE") && lines.read_line(&mut pem)? > 0 {}
            authority = Some(pem);
        }
        Ok(Self {
            child,
            _until_closed: until_closed,
            addr,
            control,
            authority,
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a client to its end and gives the line it says. `under` is the program that runs it, if any, with arguments.
pub(crate) fn client(
    name: &str,
    job: &str,
    core: usize,
    server: &Server,
    arguments: &[(&str, String)],
    under: &[String],
) -> Outcome<String> {
    let this = std::env::current_exe()?;
    let mut command = match under {
        [] => Command::new(this),
        [program, rest @ ..] => {
            let mut command = Command::new(program);
            command.args(rest).arg(this);
            command
        }
    };
    command.args(["client", "--client", name, "--job", job]);
    command.args(["--core", &core.to_string()]);
    command.args(["--addr", &server.addr.to_string()]);
    command.args(["--control", &server.control.to_string()]);
    if let Some(authority) = &server.authority {
        command.args(["--authority", &format!("\n{authority}")]);
    }
    for (name, value) in arguments {
        command.arg(format!("--{name}")).arg(value);
    }
    let output = command.stderr(Stdio::inherit()).output()?;
    if !output.status.success() {
        return Err(format!("{name} failed at {job} with {arguments:?}").into());
    }
    Ok(String::from_utf8(output.stdout)?)
}
