//! A tunnel by CONNECT (RFC 9110 §9.3.6).
//!
//! ```text
//!   Head --1xx--> Head --2xx--> open, whatever the framing fields say (RFC 9112 §6.3)
//!                      --else--> Refusal --end of its body, or enough of it--> failed
//! ```

use crate::error::{Error, ErrorKind, Limit, ProxyFailure, ProxyRefusal};
use crate::flow::tunnel::Step;
use crate::flow::tunnel::tell::Said;
use crate::message::anomaly::Anomalies;
use crate::message::framing::Framing;
use crate::message::proxy::Proxy;
use crate::proto::Turn;
use crate::proto::chunked::{self, ChunkedDecoder};
use crate::proto::connect::write_connect;
use crate::proto::decode::{Head, HeadDecoder, HeadFault};
use crate::proto::framing::{RequestFacts, response_framing};

/// The status by which a proxy asks who one is.
const AUTHENTICATION_REQUIRED: u16 = 407;

/// The answer to one CONNECT.
#[derive(Debug)]
pub(super) struct Connect {
    said: Said,
    interim_bytes: usize,
    has_credentials: bool,
    state: State,
}

#[derive(Debug)]
enum State {
    /// In a head, interim or final.
    Head(HeadDecoder),
    /// In the body of a refusal.
    Refusal(Body),
}

/// Where the body of a refusal ends.
#[derive(Debug)]
enum Body {
    Length { left: u64 },
    Chunked(ChunkedDecoder),
    UntilClose,
}

impl Connect {
    /// Writes the request.
    pub(super) fn begin(proxy: &Proxy, target: &str, turn: &mut Turn<'_>) -> Self {
        write_connect(target, proxy, &mut turn.buffers.outbound);
        Self {
            said: Said::default(),
            interim_bytes: 0,
            has_credentials: proxy.has_credentials()
                || proxy.connect_fields().contains("proxy-authorization"),
            state: State::Head(HeadDecoder::new()),
        }
    }

    /// Reads on.
    pub(super) fn read(&mut self, turn: &mut Turn<'_>) -> Step {
        while let State::Head(decoder) = &mut self.state {
            let input = turn.buffers.inbound.filled();
            let head = match decoder.decode(input, &turn.rules.limits, turn.rules.strictness) {
                Ok(None) => return Step::More,
                Ok(Some(head)) => head,
                Err(fault) => return Step::Failed(head_fault(fault)),
            };
            turn.buffers.inbound.consume(head.bytes);
            self.note(&head.anomalies);
            match head.status {
                101 => return Step::Failed(ErrorKind::Proxy(ProxyFailure::Switched)),
                100..=199 => {
                    if let Err(kind) = self.interim(&head, turn) {
                        return Step::Failed(kind);
                    }
                    self.state = State::Head(HeadDecoder::new());
                }
                200..=299 => {
                    self.answered(head);
                    return Step::Open;
                }
                _ => match self.refused(head, turn) {
                    Some(body) => self.state = State::Refusal(body),
                    None => return self.end_of_refusal(),
                },
            }
        }
        self.read_body(turn)
    }

    fn note(&mut self, anomalies: &Anomalies) {
        for seen in anomalies.iter() {
            if !self.said.anomalies.contains(&seen.anomaly) {
                self.said.anomalies.push(seen.anomaly);
            }
        }
    }

    /// Reads an interim response over, within the limits of one exchange.
    fn interim(&mut self, head: &Head, turn: &Turn<'_>) -> Result<(), ErrorKind> {
        let limits = &turn.rules.limits;
        self.interim_bytes = self.interim_bytes.saturating_add(head.bytes);
        let (limit, max, seen) = if self.said.interim.len() >= limits.interim_count {
            let count = self.said.interim.len().saturating_add(1);
            (Limit::InterimCount, limits.interim_count, count)
        } else {
            let bytes = self.interim_bytes;
            (Limit::InterimBytes, limits.interim_bytes, bytes)
        };
        if seen > max {
            let max = max as u64;
            return Err(ErrorKind::Limit { limit, max });
        }
        self.said.interim.push(head.status);
        Ok(())
    }

    fn answered(&mut self, head: Head) {
        self.said.status = Some(head.status);
        self.said.fields = head.fields;
    }

    /// A refusal and its body, of which nothing is expected if its framing cannot be read.
    fn refused(&mut self, head: Head, turn: &Turn<'_>) -> Option<Body> {
        let verdict = response_framing(RequestFacts::default(), &head, turn.rules.strictness);
        self.answered(head);
        let verdict = verdict.ok()?;
        self.note(&verdict.anomalies);
        match verdict.framing {
            Framing::None => None,
            Framing::Length(left) => Some(Body::Length { left }),
            Framing::Chunked => Some(Body::Chunked(ChunkedDecoder::new())),
            Framing::UntilClose => Some(Body::UntilClose),
        }
    }

    fn read_body(&mut self, turn: &mut Turn<'_>) -> Step {
        let State::Refusal(body) = &mut self.state else {
            return Step::More;
        };
        if body.read(&mut self.said.body, turn) {
            self.end_of_refusal()
        } else {
            Step::More
        }
    }

    fn end_of_refusal(&self) -> Step {
        self.refusal().map_or(Step::More, Step::Failed)
    }

    /// Why there is no tunnel, if the head of a refusal is in.
    pub(super) fn refusal(&self) -> Option<ErrorKind> {
        Some(ErrorKind::Proxy(match self.said.status? {
            200..=299 => return None,
            AUTHENTICATION_REQUIRED if self.has_credentials => ProxyFailure::CredentialsRefused,
            AUTHENTICATION_REQUIRED => ProxyFailure::CredentialsWanted,
            status => ProxyFailure::Refused(status),
        }))
    }

    /// An error with the refusal, if there is one.
    pub(super) fn attach(&self, error: Error) -> Error {
        match (self.said.status, self.refusal()) {
            (Some(status), Some(_)) => error.with_proxy_refusal(ProxyRefusal::new(
                status,
                self.said.fields.clone(),
                &self.said.body,
            )),
            (Some(_), None) | (None, _) => error,
        }
    }

    pub(super) fn said(self) -> Said {
        self.said
    }
}

impl Body {
    /// Takes what is there to the end of what is kept; true when nothing more is wanted.
    fn read(&mut self, kept: &mut Vec<u8>, turn: &mut Turn<'_>) -> bool {
        let max = turn.rules.limits.proxy_refusal_bytes;
        loop {
            let room = max.saturating_sub(kept.len());
            if room == 0 {
                return true;
            }
            let inbound = &mut turn.buffers.inbound;
            let (skip, len) = match self {
                Self::UntilClose => (0, inbound.len()),
                Self::Length { left } => {
                    let left = usize::try_from(*left).unwrap_or(usize::MAX);
                    (0, left.min(inbound.len()))
                }
                Self::Chunked(decoder) => {
                    let rules = turn.rules;
                    match decoder.decode(inbound.filled(), &rules.limits, rules.strictness) {
                        Ok(chunked::Step::Need { consumed }) => (consumed, 0),
                        Ok(chunked::Step::Data { skip, len }) => (skip, len),
                        // What came before is the refusal all the same.
                        Ok(chunked::Step::End { .. }) | Err(_) => return true,
                    }
                }
            };
            inbound.consume(skip);
            let count = len.min(room);
            kept.extend_from_slice(inbound.filled().get(..count).unwrap_or_default());
            inbound.consume(count);
            match self {
                Self::UntilClose => {}
                Self::Length { left } => {
                    *left = left.saturating_sub(count as u64);
                    if *left == 0 {
                        return true;
                    }
                }
                Self::Chunked(decoder) => decoder.advance(count as u64),
            }
            if count == 0 {
                return false;
            }
        }
    }
}

fn head_fault(fault: HeadFault) -> ErrorKind {
    match fault {
        HeadFault::Rule { rule, offset } => ErrorKind::Proxy(ProxyFailure::Head { rule, offset }),
        HeadFault::Limit { limit, max } => ErrorKind::Limit { limit, max },
    }
}
