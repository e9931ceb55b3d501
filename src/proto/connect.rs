//! CONNECT on the wire: the request for a tunnel (RFC 9110 §9.3.6).
//!
//! The rule guarded here: a proxy is told host and port of the target and what is meant for it, and nothing else. No
//! field of the caller's request is in reach.

use std::net::{IpAddr, Ipv6Addr};

use crate::message::proxy::Proxy;
use crate::proto::buffers::Buffer;
use crate::proto::encode::{HeadPlan, RequestFraming};

/// The target of a tunnel in authority-form: host and port, the port always there, an IPv6 address in brackets and
/// without zone (RFC 9112 §3.2.3). `host` has no brackets. None if it is neither a name nor an address, or the port is 0.
pub(crate) fn authority_form(host: &str, port: u16) -> Option<String> {
    if port == 0 {
        return None;
    }
    match address_of(host) {
        Some(IpAddr::V6(ip)) => Some(format!("[{ip}]:{port}")),
        Some(IpAddr::V4(ip)) => Some(format!("{ip}:{port}")),
        None => is_name(host).then(|| format!("{host}:{port}")),
    }
}

/// The address that a host is, its zone left out: it means nothing to anybody but this machine (RFC 6874 §1).
pub(crate) fn address_of(host: &str) -> Option<IpAddr> {
    match host.split_once('%') {
        Some((address, _)) => address.parse::<Ipv6Addr>().ok().map(IpAddr::V6),
        None => host.parse().ok(),
    }
}

/// Says whether every byte may stand in the name of a host, as in that of a URL.
fn is_name(host: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_');
    !host.is_empty() && host.bytes().all(allowed)
}

/// Appends the request for a tunnel to a target in authority-form, which is its one Host too (RFC 9112 §3.2).
/// The proxy learns who asks, and gets the fields that are for it.
pub(crate) fn write_connect(target: &str, proxy: &Proxy, out: &mut Buffer) {
    let fields = proxy.connect_fields();
    let plan = HeadPlan {
        method: "CONNECT",
        target,
        host: target.as_bytes(),
        proxy: Some(proxy),
        user_agent: !fields.contains("user-agent"),
        accept: false,
        fields,
        host_by_user: false,
        expect: false,
        close: false,
        upgrade: None,
        takes_trailers: false,
        framing: RequestFraming::Absent,
        trailers: None,
    };
    plan.write(out);
}
