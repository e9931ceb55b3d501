//! What the moments of a call are folded into. It needs no subscription.
//!
//! Phases say what the call was blocked on, and sum to the total exactly. `None` means "did not happen".

mod dialed;
mod marks;

use std::time::Duration;

pub(crate) use self::marks::Marks;
use crate::event::show::{Object, Show};

/// The timings of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timings {
    phases: Phases,
    hops: Vec<Phases>,
    ttfb: Option<Duration>,
    ttfb_final: Option<Duration>,
    connect_win: Option<Duration>,
    headers: Option<Duration>,
    early_response: Option<Duration>,
    reused: bool,
    at: Moments,
}

/// Moments since the start of the call that curl's write-out counts from.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Moments {
    lookup: Option<Duration>,
    connect: Option<Duration>,
    tls: Option<Duration>,
    send: Option<Duration>,
    sent: Option<Duration>,
}

/// What a call was blocked on. All phases together are the total exactly; `None` did not happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Phases {
    /// Getting a connection, but for what the other phases count.
    pub queue: Option<Duration>,
    /// Blocked on nothing but the lookup of the name.
    pub dns: Option<Duration>,
    /// From the first connect to the one that won.
    pub tcp: Option<Duration>,
    /// TLS with the proxy, and asking it for a tunnel.
    pub proxy: Option<Duration>,
    /// The TLS handshake with the origin.
    pub tls: Option<Duration>,
    /// From the first byte handed to the kernel to the last, without the wait for 100 (Continue).
    pub send: Option<Duration>,
    /// The wait for 100 (Continue).
    pub wait100: Option<Duration>,
    /// From the last byte of the request to the first of the final response.
    pub wait: Option<Duration>,
    /// From the first byte of the final response to the end of its body.
    pub receive: Option<Duration>,
    /// Waiting for the caller: its body source, its reads.
    pub caller: Option<Duration>,
    /// Attempts of the last hop that were made again, up to the last repeat.
    pub retry: Option<Duration>,
    /// The hops before the last one; each of them stands in [`Timings::hops`].
    pub redirect: Option<Duration>,
    /// The rest.
    pub other: Duration,
    /// From the start of the call to its end.
    pub total: Duration,
}

impl Phases {
    /// The phases by name, in the order of a call. Those that happened add up to the total.
    #[must_use]
    pub fn named(&self) -> [(&'static str, Option<Duration>); 13] {
        let Self {
            queue,
            dns,
            tcp,
            proxy,
            tls,
            send,
            wait100,
            wait,
            receive,
            caller,
            retry,
            redirect,
            other,
            total: _,
        } = *self;
        [
            ("redirect", redirect),
            ("retry", retry),
            ("queue", queue),
            ("dns", dns),
            ("tcp", tcp),
            ("proxy", proxy),
            ("tls", tls),
            ("send", send),
            ("wait100", wait100),
            ("wait", wait),
            ("receive", receive),
            ("caller", caller),
            ("other", Some(other)),
        ]
    }

    /// What the phases add up to, which has to be the total.
    #[cfg(test)]
    pub(crate) fn sum(&self) -> Duration {
        let spans = self.named().into_iter();
        spans.filter_map(|(_, span)| span).sum()
    }
}

/// The times of curl's `-w`, from the start of the call, in the order they pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct CurlTimes {
    /// `time_namelookup`.
    pub namelookup: Duration,
    /// `time_connect`.
    pub connect: Duration,
    /// `time_appconnect`; zero without TLS, as curl has it.
    pub appconnect: Duration,
    /// `time_pretransfer`.
    pub pretransfer: Duration,
    /// `time_posttransfer`.
    pub posttransfer: Duration,
    /// `time_starttransfer`.
    pub starttransfer: Duration,
    /// `time_redirect`: the hops before the last one.
    pub redirect: Duration,
    /// `time_total`.
    pub total: Duration,
}

impl Timings {
    /// What the call was blocked on.
    #[must_use]
    pub fn phases(&self) -> &Phases {
        &self.phases
    }

    /// The phases of each hop that was left by a redirect, in order; the total of each is its own time.
    #[must_use]
    pub fn hops(&self) -> &[Phases] {
        &self.hops
    }

    /// From the start of the call to its end.
    #[must_use]
    pub fn total(&self) -> Duration {
        self.phases.total
    }

    /// To the first byte of any response, interim ones included.
    #[must_use]
    pub fn ttfb(&self) -> Option<Duration> {
        self.ttfb
    }

    /// To the first byte of the final response.
    #[must_use]
    pub fn ttfb_final(&self) -> Option<Duration> {
        self.ttfb_final
    }

    /// The winner's own connect, without the contestants before it.
    #[must_use]
    pub fn connect_win(&self) -> Option<Duration> {
        self.connect_win
    }

    /// From the first to the last byte of the final head.
    #[must_use]
    pub fn headers(&self) -> Option<Duration> {
        self.headers
    }

    /// How long before the end of the request the final response began, if it did.
    #[must_use]
    pub fn early_response(&self) -> Option<Duration> {
        self.early_response
    }

    /// Whether the connection came out of the pool.
    #[must_use]
    pub fn conn_reused(&self) -> bool {
        self.reused
    }

    /// The times as curl's `-w` counts them: from the start, and what did not happen takes no time.
    #[must_use]
    pub fn curl(&self) -> CurlTimes {
        let namelookup = self.at.lookup.unwrap_or_default();
        let connect = self.at.connect.unwrap_or_default().max(namelookup);
        let appconnect = self.at.tls.unwrap_or_default();
        let pretransfer = self.at.send.unwrap_or_default().max(connect);
        let posttransfer = self.at.sent.unwrap_or_default().max(pretransfer);
        let starttransfer = self.ttfb.unwrap_or_default();
        CurlTimes {
            namelookup,
            connect,
            appconnect,
            pretransfer,
            posttransfer,
            starttransfer,
            redirect: self.phases.redirect.unwrap_or_default(),
            total: self.total(),
        }
    }
}

impl Show for Timings {
    const SCHEMA: &'static str = r#"{"type":"object"}"#;
    fn show(&self, text: &mut String) {
        let phases = &self.phases;
        let mut object = Object::open(text);
        object.member("queue_ns", &phases.queue);
        object.member("dns_ns", &phases.dns);
        object.member("tcp_ns", &phases.tcp);
        object.member("proxy_ns", &phases.proxy);
        object.member("tls_ns", &phases.tls);
        object.member("send_ns", &phases.send);
        object.member("wait_100_ns", &phases.wait100);
        object.member("wait_ns", &phases.wait);
        object.member("receive_ns", &phases.receive);
        object.member("caller_ns", &phases.caller);
        object.member("retry_ns", &phases.retry);
        object.member("redirect_ns", &phases.redirect);
        object.member("other_ns", &phases.other);
        object.member("total_ns", &phases.total);
        object.member("ttfb_ns", &self.ttfb);
        object.member("ttfb_final_ns", &self.ttfb_final);
        object.member("conn_reused", &self.reused);
        object.close();
    }
}
