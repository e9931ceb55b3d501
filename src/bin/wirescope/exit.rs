//! What went wrong and which exit code says so. The codes are curl's.

use std::io;
use std::path::Path;
use std::process::ExitCode;

use wirescope::error::{Limit, ProxyRule, RequestRule, SocketRule, TlsFailure, UrlError};
use wirescope::{Error, ErrorKind, Phase, ProxyScheme};

pub(crate) const OK: u8 = 0;
const UNSUPPORTED: u8 = 1;
const USAGE: u8 = 2;
const BAD_URL: u8 = 3;
const PROXY_LOOKUP: u8 = 5;
const LOOKUP: u8 = 6;
const CONNECT: u8 = 7;
const STATUS: u8 = 22;
const WRITE: u8 = 23;
const READ: u8 = 26;
const TIMEOUT: u8 = 28;
const TLS: u8 = 35;
const INTERFACE: u8 = 45;
const REDIRECTS: u8 = 47;
const EMPTY_REPLY: u8 = 52;
const SEND: u8 = 55;
const RECEIVE: u8 = 56;
const IDENTITY: u8 = 58;
const CERTIFICATE: u8 = 60;
const CA_FILE: u8 = 77;
const SOCKS: u8 = 97;

/// Why a URL failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The library says so.
    Call(Error),
    /// The certificates of `--cacert` cannot be used.
    CaFile(Error),
    /// The certificate or the key of `--cert` and `--key` cannot be used.
    Identity(Error),
    /// The command line cannot be followed.
    Usage(String),
    /// What is asked for is not there.
    Unsupported(String),
    /// What connections are to leave by is not there.
    Interface(String),
    /// A file of the caller's cannot be read.
    Read(String),
    /// A file cannot be written.
    Write(String),
    /// Nobody takes what is written to standard output, so that it makes no sense to go on.
    Gone(String),
    /// `-f` and a status of 400 or above.
    Status(u16),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Call(error)
    }
}

impl Failure {
    pub(crate) fn usage(text: &str) -> Self {
        Self::Usage(text.to_owned())
    }

    pub(crate) fn read(name: &str, error: &io::Error) -> Self {
        Self::Read(format!("cannot read {name}: {error}"))
    }

    pub(crate) fn write(to: &Path, error: &io::Error) -> Self {
        match to.to_str() {
            Some("-") => Self::Gone(format!("cannot write to standard output: {error}")),
            _ => Self::Write(format!("cannot write to {}: {error}", to.display())),
        }
    }

    /// The exit code.
    pub(crate) fn code(&self) -> u8 {
        match self {
            Self::Call(error) => code_of(error),
            Self::CaFile(_) => CA_FILE,
            Self::Identity(_) => IDENTITY,
            Self::Usage(_) => USAGE,
            Self::Unsupported(_) => UNSUPPORTED,
            Self::Interface(_) => INTERFACE,
            Self::Read(_) => READ,
            Self::Write(_) | Self::Gone(_) => WRITE,
            Self::Status(_) => STATUS,
        }
    }

    /// The kind for a `call_done` that the library could not tell.
    pub(crate) fn tag(&self) -> &'static str {
        match self {
            Self::Call(error) | Self::CaFile(error) | Self::Identity(error) => error.kind().tag(),
            Self::Usage(_) | Self::Unsupported(_) => "local_request",
            Self::Interface(_) => "local_socket",
            Self::Read(_) => "local_file",
            Self::Write(_) | Self::Gone(_) => "aborted",
            Self::Status(_) => "status",
        }
    }

    /// One line: what went wrong, where, and what was tried; then why, as far as that is known.
    pub(crate) fn line(&self) -> String {
        match self {
            Self::Call(error) | Self::CaFile(error) | Self::Identity(error) => chain(error),
            Self::Usage(text)
            | Self::Unsupported(text)
            | Self::Interface(text)
            | Self::Read(text)
            | Self::Write(text)
            | Self::Gone(text) => text.clone(),
            Self::Status(status) => format!("status {status}, which -f makes an error"),
        }
    }
}

/// An error and its sources on one line, each said once.
fn chain(error: &Error) -> String {
    let mut line = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        let text = cause.to_string().escape_debug().to_string();
        if !line.contains(&text) {
            line.push_str(": ");
            line.push_str(&text);
        }
        source = cause.source();
    }
    line
}

fn code_of(error: &Error) -> u8 {
    match (error.kind(), error.phase()) {
        (ErrorKind::LocalUrl(UrlError::Scheme), _)
        | (ErrorKind::LocalRequest(RequestRule::ConnectMethod), _)
        | (ErrorKind::Tls(TlsFailure::NotBuiltIn), _) => UNSUPPORTED,
        (ErrorKind::LocalUrl(_), _) => BAD_URL,
        (ErrorKind::LocalProxy(ProxyRule::Scheme), _) => CONNECT,
        (ErrorKind::LocalProxy(ProxyRule::Url(_) | ProxyRule::Path), _) => PROXY_LOOKUP,
        (ErrorKind::LocalField(_) | ErrorKind::LocalRequest(_) | ErrorKind::LocalProxy(_), _) => {
            USAGE
        }
        (
            ErrorKind::LocalBodyShort { .. }
            | ErrorKind::LocalBodyLong { .. }
            | ErrorKind::LocalBodySource
            | ErrorKind::LocalFile,
            _,
        ) => READ,
        (ErrorKind::LocalBodySink, _) => WRITE,
        (
            ErrorKind::LocalSocket(
                SocketRule::LocalAddress | SocketRule::Interface | SocketRule::InterfacePermission,
            ),
            _,
        ) => INTERFACE,
        (ErrorKind::Lookup(_), _) if error.proxy().is_some() => PROXY_LOOKUP,
        (ErrorKind::Lookup(_), _) => LOOKUP,
        (ErrorKind::Connect, _) => CONNECT,
        (ErrorKind::Timeout(_), _) => TIMEOUT,
        (_, Phase::Tunnel) if error.proxy_scheme().is_some_and(ProxyScheme::is_socks) => SOCKS,
        (ErrorKind::Status(_), _) => STATUS,
        (ErrorKind::PeerRedirect(_), _) => BAD_URL,
        (
            ErrorKind::Limit {
                limit: Limit::Redirects,
                ..
            },
            _,
        ) => REDIRECTS,
        (ErrorKind::PeerClosed, _) => EMPTY_REPLY,
        (ErrorKind::Tls(failure), Phase::Tls | Phase::Prepare) => code_of_tls(failure),
        (_, Phase::Lookup) => LOOKUP,
        (_, Phase::Connect) => CONNECT,
        (_, Phase::Tls) => TLS,
        (_, Phase::Send | Phase::Expect) => SEND,
        _ => RECEIVE,
    }
}

fn code_of_tls(failure: TlsFailure) -> u8 {
    match failure {
        TlsFailure::NameMismatch
        | TlsFailure::UnknownAuthority
        | TlsFailure::Expired
        | TlsFailure::NotYetValid
        | TlsFailure::Revoked
        | TlsFailure::WrongPurpose
        | TlsFailure::BadSignature
        | TlsFailure::UnsupportedAlgorithm
        | TlsFailure::BadCertificate => CERTIFICATE,
        _ => TLS,
    }
}

/// Says what is wrong with the command line, or prints the help that was asked for.
pub(crate) fn usage(error: &clap::Error) -> ExitCode {
    match (error.print(), error.use_stderr()) {
        (Ok(()), false) => ExitCode::from(OK),
        (Err(_), false) => ExitCode::from(WRITE),
        (_, true) => ExitCode::from(USAGE),
    }
}
