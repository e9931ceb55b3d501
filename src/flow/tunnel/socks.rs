//! A tunnel by SOCKS version 5 (RFC 1928, RFC 1929).
//!
//! ```text
//!   Greeted --without login--> Asked --0--> open
//!           --with login--> LoggingIn --0--> Asked
//! ```
//!
//! Every message is made before the first is sent, and no answer is read before its question was written.

use crate::error::{ErrorKind, ProxyFailure};
use crate::flow::tunnel::{Goal, Step};
use crate::message::proxy::Proxy;
use crate::proto::Turn;
use crate::proto::connect::address_of;
use crate::proto::socks::{
    Destination, Message, Method, ReplyFault, greeting, login, read_method, read_reply,
    read_verdict, request,
};

/// How far the negotiation is.
#[derive(Debug)]
pub(super) enum Socks {
    /// The proxy chooses a method.
    Greeted {
        login: Option<Message>,
        request: Message,
    },
    /// The proxy judges user name and password.
    LoggingIn { request: Message },
    /// The proxy connects.
    Asked,
}

impl Socks {
    /// Writes the greeting.
    pub(super) fn begin(
        proxy: &Proxy,
        goal: &Goal,
        turn: &mut Turn<'_>,
    ) -> Result<Self, ProxyFailure> {
        let login = match proxy.credentials() {
            None => None,
            Some(own) => {
                Some(login(own.user(), own.password()).ok_or(ProxyFailure::CredentialsLength)?)
            }
        };
        let address = goal.address.or_else(|| address_of(&goal.host));
        let destination = address.map_or(Destination::Name(&goal.host), Destination::Address);
        let request = request(destination, goal.port).ok_or(ProxyFailure::Target)?;
        let hello = greeting(login.is_some());
        turn.buffers.outbound.append(hello.as_bytes());
        Ok(Self::Greeted { login, request })
    }

    /// Reads on.
    pub(super) fn read(&mut self, turn: &mut Turn<'_>) -> Step {
        match self.step(turn) {
            Ok(None) => Step::More,
            Ok(Some(_)) if !turn.buffers.inbound.is_empty() => {
                Step::Failed(ErrorKind::Proxy(ProxyFailure::SpokeEarly))
            }
            Ok(Some(next)) => {
                *self = next;
                Step::More
            }
            Err(step) => step,
        }
    }

    /// Reads one answer; none if it is not complete.
    fn step(&mut self, turn: &mut Turn<'_>) -> Result<Option<Self>, Step> {
        let failed = |failure| Step::Failed(ErrorKind::Proxy(failure));
        let input = turn.buffers.inbound.filled();
        match self {
            Self::Greeted { login, request } => {
                let read = read_method(input, login.is_some())
                    .map_err(|rule| failed(ProxyFailure::SocksAnswer(rule)))?;
                let Some((method, bytes)) = read else {
                    return Ok(None);
                };
                turn.buffers.inbound.consume(bytes);
                let request = request.clone();
                match (method, login.take()) {
                    (Method::WithLogin, Some(login)) => {
                        turn.buffers.outbound.append(login.as_bytes());
                        Ok(Some(Self::LoggingIn { request }))
                    }
                    (Method::WithoutLogin | Method::WithLogin, _) => Ok(Some(ask(&request, turn))),
                    (Method::Refused, Some(_)) => Err(failed(ProxyFailure::CredentialsRefused)),
                    (Method::Refused, None) => Err(failed(ProxyFailure::CredentialsWanted)),
                }
            }
            Self::LoggingIn { request } => {
                let read =
                    read_verdict(input).map_err(|rule| failed(ProxyFailure::SocksAnswer(rule)))?;
                let Some((is_good, bytes)) = read else {
                    return Ok(None);
                };
                turn.buffers.inbound.consume(bytes);
                if !is_good {
                    return Err(failed(ProxyFailure::CredentialsRefused));
                }
                Ok(Some(ask(request, turn)))
            }
            Self::Asked => {
                let read = read_reply(input).map_err(|fault| match fault {
                    ReplyFault::Refused(reply) => failed(ProxyFailure::Socks(reply)),
                    ReplyFault::Rule(rule) => failed(ProxyFailure::SocksAnswer(rule)),
                })?;
                let Some(bytes) = read else {
                    return Ok(None);
                };
                turn.buffers.inbound.consume(bytes);
                Err(Step::Open)
            }
        }
    }
}

fn ask(request: &Message, turn: &mut Turn<'_>) -> Socks {
    turn.buffers.outbound.append(request.as_bytes());
    Socks::Asked
}
