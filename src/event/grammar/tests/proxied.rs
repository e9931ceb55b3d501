//! Legal streams of calls that reach their server by somebody else, or by a unix socket; and how often a
//! proxy may be asked.

use crate::event::grammar::{Grammar, Rule, check};
use crate::event::script::events;

/// An https URL through an https proxy that asks who one is.
pub(super) const THROUGH_PROXY: &str = "
    c1 call_start
    c1 proxy_selected
    c1 a0 get_conn
    c1 a0 d1 dial_start
    c1 a0 d1 dns_skipped
    c1 a0 d1 connect_start
    c1 a0 d1 connect_done
    c1 a0 d1 tls_handshake_start to=proxy
    c1 a0 d1 tls_handshake_done to=proxy
    c1 a0 d1 proxy_connect_start
    c1 a0 d1 proxy_connect_done status=407 fields=2 error=proxy
    c1 a0 d1 proxy_connect_start
    c1 a0 d1 proxy_connect_done status=200
    c1 a0 d1 tls_handshake_start
    c1 a0 d1 tls_handshake_done
    c1 a0 d1 n1 conn_opened tls
    c1 a0 d1 n1 dial_done winner=0 connection=1
    c1 a0 n1 got_conn
    c1 a0 n1 wrote_request error=connection_lost head=0
    c1 a0 n1 put_idle_conn error=connection_lost
    n1 conn_closed
    c1 a0 attempt_done error=peer_closed
    c1 call_done error=peer_closed";

/// An http URL through a SOCKS proxy: there is no status, and no TLS.
pub(super) const THROUGH_SOCKS: &str = "
    c1 call_start
    c1 a0 get_conn
    c1 a0 d1 dial_start
    c1 a0 d1 dns_skipped
    c1 a0 d1 connect_start
    c1 a0 d1 connect_done
    c1 a0 d1 proxy_connect_start kind=socks5
    c1 a0 d1 proxy_connect_done
    c1 a0 d1 n1 conn_opened
    c1 a0 d1 n1 dial_done winner=0 connection=1
    c1 a0 n1 got_conn
    c1 a0 n1 wrote_request error=connection_lost head=0
    c1 a0 n1 put_idle_conn error=connection_lost
    n1 conn_closed
    c1 a0 attempt_done error=peer_closed
    c1 call_done error=peer_closed";

/// A proxy that makes no tunnel.
const REFUSED_TUNNEL: &str = "
    c1 call_start
    c1 a0 get_conn
    c1 a0 d1 dial_start
    c1 a0 d1 dns_skipped
    c1 a0 d1 connect_start
    c1 a0 d1 connect_done
    c1 a0 d1 proxy_connect_start
    c1 a0 d1 proxy_connect_done status=403 error=proxy
    c1 a0 d1 dial_done error=proxy
    c1 a0 get_conn_failed error=proxy
    c1 a0 attempt_done error=proxy
    c1 call_done error=proxy";

/// Two origins by one connection to a proxy that is given whole requests.
const FORWARDED: &str = "
    c1 call_start
    c1 proxy_selected
    c1 a0 get_conn
    c1 a0 pool_lookup
    c1 a0 d1 dial_start
    c1 a0 d1 dns_skipped
    c1 a0 d1 dial_plan
    c1 a0 d1 connect_start
    c1 a0 d1 connect_done
    c1 a0 d1 n1 conn_opened
    c1 a0 d1 n1 dial_done winner=0 connection=1
    c1 a0 n1 got_conn
    c1 a0 n1 wrote_header_field
    c1 a0 n1 wrote_headers
    c1 a0 n1 wrote_request
    c1 a0 n1 got_first_response_byte
    c1 a0 n1 final_response_start
    c1 a0 n1 got_response_head framing=5
    c1 a0 n1 response_body_start
    c1 a0 n1 response_body_done bytes=5
    c1 a0 n1 put_idle_conn
    c1 a0 attempt_done status=200
    c1 call_done status=200
    c2 call_start
    c2 proxy_selected
    c2 a0 get_conn
    c2 a0 pool_lookup hit idle=1
    c2 a0 n1 got_conn reused was_idle requests=1
    c2 a0 n1 wrote_header_field
    c2 a0 n1 wrote_headers
    c2 a0 n1 wrote_request
    c2 a0 n1 got_first_response_byte
    c2 a0 n1 final_response_start
    c2 a0 n1 got_response_head
    c2 a0 n1 response_body_done
    c2 a0 n1 put_idle_conn
    c2 a0 attempt_done status=200
    c2 call_done status=200
    n1 conn_closed reason=idle_timeout";

/// An https proxy that is given whole requests: TLS with it, and with nobody behind it.
const FORWARDED_UNDER_TLS: &str = "
    c1 call_start
    c1 proxy_selected
    c1 a0 get_conn
    c1 a0 d1 dial_start
    c1 a0 d1 dns_skipped
    c1 a0 d1 connect_start
    c1 a0 d1 connect_done
    c1 a0 d1 tls_handshake_start to=proxy
    c1 a0 d1 tls_handshake_done to=proxy
    c1 a0 d1 n1 conn_opened
    c1 a0 d1 n1 dial_done winner=0 connection=1
    c1 a0 n1 got_conn
    c1 a0 n1 wrote_request error=connection_lost head=0
    c1 a0 n1 put_idle_conn error=connection_lost
    n1 conn_closed
    c1 a0 attempt_done error=peer_closed
    c1 call_done error=peer_closed";

/// CONNECT, TLS with the server, and another protocol on it.
const UPGRADED_IN_TUNNEL: &str = "
    c1 call_start
    c1 proxy_selected
    c1 a0 get_conn
    c1 a0 d1 dial_start
    c1 a0 d1 dns_skipped
    c1 a0 d1 connect_start
    c1 a0 d1 connect_done
    c1 a0 d1 proxy_connect_start
    c1 a0 d1 proxy_connect_done status=200
    c1 a0 d1 tls_handshake_start
    c1 a0 d1 tls_handshake_done
    c1 a0 d1 n1 conn_opened tls
    c1 a0 d1 n1 dial_done winner=0 connection=1
    c1 a0 n1 got_conn
    c1 a0 n1 wrote_header_field
    c1 a0 n1 wrote_headers
    c1 a0 n1 wrote_request
    c1 a0 n1 got_first_response_byte
    c1 a0 n1 final_response_start
    c1 a0 n1 got_response_head status=101
    c1 a0 n1 upgraded
    c1 a0 n1 put_idle_conn error=upgraded
    c1 a0 attempt_done status=101
    c1 call_done status=101
    n1 conn_closed reason=upgraded";

/// A SOCKS proxy, and TLS with the server that is lost.
const LOST_IN_TUNNEL: &str = "
    c1 call_start
    c1 proxy_selected
    c1 a0 get_conn
    c1 a0 d1 dial_start
    c1 a0 d1 dns_skipped
    c1 a0 d1 connect_start
    c1 a0 d1 connect_done
    c1 a0 d1 proxy_connect_start kind=socks5
    c1 a0 d1 proxy_connect_done
    c1 a0 d1 tls_handshake_start
    c1 a0 d1 tls_handshake_done error=connect
    c1 a0 d1 dial_done error=connect
    c1 a0 get_conn_failed error=connect
    c1 a0 attempt_done error=connect
    c1 call_done error=connect";

/// A proxy that says nothing.
const SILENT_PROXY: &str = "
    c1 call_start
    c1 proxy_selected
    c1 a0 get_conn
    c1 a0 d1 dial_start
    c1 a0 d1 dns_skipped
    c1 a0 d1 connect_start
    c1 a0 d1 connect_done
    c1 a0 d1 proxy_connect_start
    c1 a0 d1 timeout_fired timer=total
    c1 a0 d1 proxy_connect_done error=total
    c1 a0 d1 dial_done error=total
    c1 a0 get_conn_failed error=total
    c1 a0 attempt_done error=total
    c1 call_done error=total";

/// A caller who has waited long enough for a proxy.
const CANCELED_IN_TUNNEL: &str = "
    c1 call_start
    c1 proxy_selected
    c1 a0 get_conn
    c1 a0 d1 dial_start
    c1 a0 d1 dns_skipped
    c1 a0 d1 connect_start
    c1 a0 d1 connect_done
    c1 a0 d1 proxy_connect_start
    c1 call_canceled
    c1 a0 d1 proxy_connect_done error=canceled
    c1 a0 d1 dial_done error=canceled
    c1 a0 get_conn_failed error=canceled
    c1 a0 attempt_done error=canceled
    c1 call_done error=canceled";

const UNIX_SOCKET: &str = "
    c1 call_start
    c1 a0 get_conn
    c1 a0 pool_lookup
    c1 a0 d1 dial_start
    c1 a0 d1 dns_skipped
    c1 a0 d1 connect_start addr=/run/server.sock
    c1 a0 d1 connect_done addr=/run/server.sock
    c1 a0 d1 n1 conn_opened addr=/run/server.sock
    c1 a0 d1 n1 dial_done winner=0 connection=1
    c1 a0 n1 got_conn addr=/run/server.sock
    c1 a0 n1 wrote_header_field
    c1 a0 n1 wrote_headers
    c1 a0 n1 wrote_request
    c1 a0 n1 got_first_response_byte
    c1 a0 n1 final_response_start
    c1 a0 n1 got_response_head
    c1 a0 n1 response_body_done
    c1 a0 n1 put_idle_conn
    c1 a0 attempt_done status=200
    c1 call_done status=200
    n1 conn_closed reason=idle_timeout";

/// The streams, each with a name.
pub(super) const PROXIED: [(&str, &str); 10] = [
    ("through a proxy", THROUGH_PROXY),
    ("through a socks proxy", THROUGH_SOCKS),
    ("refused tunnel", REFUSED_TUNNEL),
    ("forwarded", FORWARDED),
    ("forwarded under tls", FORWARDED_UNDER_TLS),
    ("upgraded in a tunnel", UPGRADED_IN_TUNNEL),
    ("lost in a tunnel", LOST_IN_TUNNEL),
    ("silent proxy", SILENT_PROXY),
    ("canceled in a tunnel", CANCELED_IN_TUNNEL),
    ("unix socket", UNIX_SOCKET),
];

/// A dial whose last contestant reached a proxy that refused each of that many questions.
fn asked(contestants: usize, times: usize) -> String {
    let begin = ["c1 call_start", "c1 a0 get_conn", "c1 a0 d1 dial_start"];
    let mut lines: Vec<_> = begin.map(str::to_owned).into();
    lines.push("c1 a0 d1 dns_skipped".to_owned());
    let last = contestants - 1;
    for number in 0..contestants {
        let outcome = ["failed", "connected"][usize::from(number == last)];
        lines.push(format!("c1 a0 d1 connect_start contestant={number}"));
        lines.push(format!(
            "c1 a0 d1 connect_done contestant={number} outcome={outcome}"
        ));
    }
    for _ in 0..times {
        lines.push(format!("c1 a0 d1 proxy_connect_start contestant={last}"));
        lines.push(format!(
            "c1 a0 d1 proxy_connect_done contestant={last} status=407 error=proxy"
        ));
    }
    lines.join("\n")
}

/// A dial has 16 events, 4 for each contestant, and 6 for what lies behind one proxy; a question and its answer are two.
/// What the other contestants add is too little for asking more often by much.
#[test]
fn a_proxy_is_not_asked_without_end() {
    for (contestants, most) in [(1, 11), (2, 12), (3, 13), (8, 18)] {
        let kept = events(&asked(contestants, most));
        let mut grammar = Grammar::new();
        for event in &kept {
            grammar.event(event).unwrap();
        }
        let violation = check(&events(&asked(contestants, most + 1))).unwrap_err();
        assert_eq!(
            (violation.rule(), violation.index()),
            (Rule::Bounded, kept.len()),
            "{contestants} contestants: {violation}"
        );
    }
}
