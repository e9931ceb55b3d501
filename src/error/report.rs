//! The circumstances of an error, and the part of its text that tells them.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::error::looked_up::LookedUp;
use crate::error::proxy::ProxyRefusal;
use crate::error::repeat::Repeat;
use crate::error::tried::{Tried, TriedOutcome};
use crate::ids::{CallId, ConnId};
use crate::message::answer::Family;
use crate::message::fields::Fields;
use crate::message::peer_addr::PeerAddr;
use crate::message::proxy::ProxyScheme;

/// The circumstances of an error.
#[derive(Debug, Default, Clone)]
pub(crate) struct Report {
    pub(crate) call: Option<CallId>,
    pub(crate) conn: Option<ConnId>,
    /// `host:port` of what was asked.
    pub(crate) authority: Option<Box<str>>,
    /// What the proxy speaks in whose part of the way it happened, and its `host:port`.
    pub(crate) proxy: Option<(ProxyScheme, Box<str>)>,
    /// What the proxy said instead of opening a tunnel.
    pub(crate) proxy_refusal: Option<ProxyRefusal>,
    /// Name of a field, file or setting the error is about.
    pub(crate) subject: Option<Box<str>>,
    pub(crate) tried: Vec<Tried>,
    pub(crate) looked_up: Vec<LookedUp>,
    pub(crate) bytes_out: u64,
    pub(crate) bytes_in: u64,
    pub(crate) reused: Option<bool>,
    pub(crate) repeat: Option<Repeat>,
    pub(crate) elapsed: Option<Duration>,
    /// The response whose redirect could not be followed.
    pub(crate) redirect: Option<Arc<(u16, Fields)>>,
}

impl Report {
    /// The rest of a line about a dial of which every contestant failed.
    pub(super) fn fmt_dial(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut addrs: Vec<_> = self.tried.iter().map(|tried| &tried.addr).collect();
        addrs.sort_unstable();
        addrs.dedup();
        match addrs.len() {
            1 => f.write_str(": 1 address tried")?,
            count => write!(f, ": {count} addresses tried")?,
        }
        if let Some(elapsed) = self.elapsed {
            write!(f, " in {} ms", elapsed.as_millis())?;
        }
        self.fmt_tried(f)?;
        if self
            .looked_up
            .iter()
            .any(|one| !matches!(one.result, Ok(1..)))
        {
            self.fmt_looked_up(f)?;
        }
        match self.only_unreachable() {
            Some(Family::V4) => f.write_str("; ipv4 only and no ipv4 route"),
            Some(Family::V6) => f.write_str("; ipv6 only and no ipv6 route"),
            None => Ok(()),
        }
    }

    pub(super) fn fmt_tried(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, tried) in self.tried.iter().enumerate() {
            f.write_str(if index == 0 { ": " } else { ", " })?;
            match &tried.addr {
                PeerAddr::Tcp(SocketAddr::V4(addr)) => write!(f, "{}", addr.ip())?,
                PeerAddr::Tcp(SocketAddr::V6(addr)) if addr.scope_id() == 0 => {
                    write!(f, "[{}]", addr.ip())?;
                }
                PeerAddr::Tcp(SocketAddr::V6(addr)) => {
                    write!(f, "[{}%{}]", addr.ip(), addr.scope_id())?;
                }
                PeerAddr::Unix(addr) => write!(f, "{addr}")?,
            }
            write!(f, " {} ({} ms)", tried.outcome, tried.elapsed.as_millis())?;
        }
        Ok(())
    }

    pub(super) fn fmt_looked_up(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, one) in self.looked_up.iter().enumerate() {
            write!(f, "{}{one}", if index == 0 { " (" } else { "; " })?;
        }
        f.write_str(if self.looked_up.is_empty() { "" } else { ")" })
    }

    /// The family of all that was tried, if none of it can be reached and the other family has no address.
    fn only_unreachable(&self) -> Option<Family> {
        let family_of = |tried: &Tried| tried.addr.tcp().map(|addr| Family::of(addr.ip()));
        let family = family_of(self.tried.first()?)?;
        let is_lost = |tried: &Tried| {
            let unreachable = matches!(
                tried.outcome,
                TriedOutcome::Failed {
                    kind: io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable,
                    ..
                }
            );
            unreachable && family_of(tried) == Some(family)
        };
        let has_other = (self.looked_up.iter())
            .any(|one| one.family != family && matches!(one.result, Ok(1..)));
        (!has_other && self.tried.iter().all(is_lost)).then_some(family)
    }
}
