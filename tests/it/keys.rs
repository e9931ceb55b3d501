//! The pool-key law: for each setting either two requests that differ only in it share no connection, or a reason why
//! they may. A new setting fails this test until somebody decides.

use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

use wirescope::body::{PipeReader, pipe};
use wirescope::event::Trace;
use wirescope::testkit::{Peer, Script};
use wirescope::{CancelHandle, Client, RedirectPolicy, Request, Result};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

/// What is decided about a setting of a request.
enum Decided {
    /// A request that differs in it from a plain GET shares its connection, for this reason.
    Shares(&'static str, fn(Request) -> Result<Request>),
    /// A request that differs in it shares no connection; another file shows it.
    Parts(&'static str),
    /// It is no setting.
    NoSetting(&'static str),
}

use Decided::{NoSetting, Parts, Shares};

const WHAT_IS_SENT: &str = "what is sent on a connection does not change who is reached by it";
const WHAT_IS_SHOWN: &str = "who looks at a call does not change its connection";
const HOW_LONG: &str = "deadlines belong to the call; one that passed closes the connection";

/// Every public method of `Request`.
const OF_A_REQUEST: &[(&str, Decided)] = &[
    ("header", Shares(WHAT_IS_SENT, |it| it.header("X", "1"))),
    (
        "header_bytes",
        Shares(WHAT_IS_SENT, |it| it.header_bytes("X", b"\x80")),
    ),
    (
        "without_default",
        Shares(WHAT_IS_SENT, |it| Ok(it.without_default("Accept"))),
    ),
    ("te_trailers", Shares(WHAT_IS_SENT, Request::te_trailers)),
    (
        "trailer",
        Shares(WHAT_IS_SENT, |it| {
            it.allow_body().body_reader(&b"x"[..]).trailer("X", "1")
        }),
    ),
    (
        "trailers_from",
        NoSetting("a part of what is sent, behind a body without a length"),
    ),
    (
        "body",
        Shares(WHAT_IS_SENT, |it| Ok(it.allow_body().body("x"))),
    ),
    (
        "body_shared",
        Shares(WHAT_IS_SENT, |it| {
            Ok(it.allow_body().body_shared(Arc::from(&b"x"[..])))
        }),
    ),
    (
        "body_reader",
        Shares(WHAT_IS_SENT, |it| {
            Ok(it.allow_body().body_reader(&b"x"[..]))
        }),
    ),
    (
        "body_sized_reader",
        Shares(WHAT_IS_SENT, |it| {
            Ok(it.allow_body().body_sized_reader(&b"x"[..], 1))
        }),
    ),
    (
        "body_from",
        Shares(WHAT_IS_SENT, |it| {
            Ok(it.allow_body().body_from(|| Ok(&b"x"[..]), None))
        }),
    ),
    (
        "body_source",
        Shares(WHAT_IS_SENT, |it| {
            Ok(it.allow_body().body_source(one_byte(), None))
        }),
    ),
    (
        "expect_continue",
        Shares(WHAT_IS_SENT, |it| Ok(it.expect_continue())),
    ),
    (
        "basic_auth",
        Shares(
            "Basic credentials belong to each request and never to a connection (RFC 9110 §11.7)",
            |it| it.basic_auth("user", "password"),
        ),
    ),
    (
        "asterisk",
        NoSetting("for OPTIONS only; the target is a part of what is sent"),
    ),
    (
        "upgrade",
        NoSetting(
            "a part of what is sent; a connection on which another protocol is spoken is never pooled",
        ),
    ),
    ("allow_body", Shares(WHAT_IS_SENT, |it| Ok(it.allow_body()))),
    (
        "allow_trace",
        Shares(WHAT_IS_SENT, |it| Ok(it.allow_trace())),
    ),
    ("label", Shares(WHAT_IS_SHOWN, |it| Ok(it.label("x")))),
    (
        "timeout",
        Shares(HOW_LONG, |it| Ok(it.timeout(Duration::from_secs(9)))),
    ),
    (
        "timeouts",
        Shares(HOW_LONG, |it| {
            Ok(it.timeouts(|timeouts| timeouts.tls = Some(Duration::from_secs(1))))
        }),
    ),
    (
        "redirects",
        Shares(
            "a hop is a request of its own, with a key of its own",
            |it| Ok(it.redirects(RedirectPolicy::none())),
        ),
    ),
    (
        "proxy",
        Parts("by whom a server is reached decides who sees what is sent: proxies.rs"),
    ),
    (
        "unix_socket",
        Parts("two sockets may lead to two servers, whatever the URL says: unix.rs"),
    ),
    (
        "observe",
        Shares(WHAT_IS_SHOWN, |it| Ok(it.observe(Trace::new()))),
    ),
    ("observers", NoSetting("it asks")),
    (
        "cancel_handle",
        Shares("a canceled call closes its connection", |mut it| {
            it.cancel_handle();
            Ok(it)
        }),
    ),
    (
        "cancel_by",
        Shares("a canceled call closes its connection", |it| {
            Ok(it.cancel_by(&CancelHandle::default()))
        }),
    ),
    ("send", NoSetting("it sends")),
    ("range", Shares(WHAT_IS_SENT, |it| it.range(0..9))),
    ("ranges", NoSetting("as range")),
    ("if_range", NoSetting("a field that goes with a range")),
    ("if_match", Shares(WHAT_IS_SENT, Request::if_match_any)),
    ("if_match_any", NoSetting("as if_match")),
    (
        "if_none_match",
        Shares(WHAT_IS_SENT, Request::if_none_match_any),
    ),
    ("if_none_match_any", NoSetting("as if_none_match")),
    ("if_modified_since", NoSetting("a field of the caller's")),
    ("if_unmodified_since", NoSetting("a field of the caller's")),
];

/// The files that have methods of `ClientBuilder`.
const BUILDERS: &[&str] = &[
    include_str!("../../src/client.rs"),
    include_str!("../../src/client/fences.rs"),
    include_str!("../../src/client/naming.rs"),
    include_str!("../../src/client/proxies.rs"),
    include_str!("../../src/client/sockets.rs"),
    include_str!("../../src/client/tls.rs"),
];

/// Every public method of `ClientBuilder`: a pool belongs to one client, so none of them can differ within it.
const OF_A_CLIENT: &[&str] = &[
    "timeout",
    "connect_timeout",
    "timeouts",
    "limits",
    "strictness",
    "early_response",
    "keep_alive",
    "retries",
    "redirects",
    "wrap",
    "max_idle_per_origin",
    "max_idle",
    "idle_timeout",
    "max_connections_per_origin",
    "max_connections",
    "max_age",
    "max_requests",
    "redaction",
    "observe",
    "build",
    "https_only",
    "allow_addresses",
    "dns_cache",
    "resolver",
    "resolve_override",
    "overrides",
    "connect_to",
    "dial_profile",
    "address_family",
    "proxy",
    "proxy_of_environment",
    "no_proxy",
    "proxy_with",
    "local_address",
    "interface",
    "tcp_keep_alive",
    "socket_hook",
    "unix_socket",
    "tls",
    "proxy_tls",
];

/// The public methods of one `impl` block.
fn methods(source: &str, block: &str) -> Vec<String> {
    let (_, source) = source.split_once(block).unwrap();
    let (source, _) = source.split_once("\n}\n").unwrap();
    let lines = source
        .lines()
        .filter_map(|line| line.strip_prefix("    pub fn "));
    lines
        .map(|line| line.split(['(', '<']).next().unwrap().to_owned())
        .collect()
}

#[test]
fn k1_every_setting_is_decided() {
    let mut found = methods(include_str!("../../src/request.rs"), "\nimpl Request {\n");
    found.extend(methods(
        include_str!("../../src/request/conditions.rs"),
        "\nimpl Request {\n",
    ));
    let decided: Vec<_> = OF_A_REQUEST.iter().map(|(name, _)| *name).collect();
    assert_eq!(
        found, decided,
        "decide whether it is a part of the pool key"
    );
    let of_builder = |source: &&str| methods(source, "\nimpl ClientBuilder {\n");
    let found: Vec<_> = BUILDERS.iter().flat_map(of_builder).collect();
    assert_eq!(
        found, OF_A_CLIENT,
        "decide whether it is a part of the pool key"
    );
}

fn send(client: &Client, url: &str, change: fn(Request) -> Result<Request>) {
    let request = change(client.get(url).unwrap()).unwrap();
    request.send().unwrap().collect(10).unwrap();
}

#[test]
fn k1_requests_that_differ_in_what_is_not_in_the_key_share_a_connection() {
    for (name, decided) in OF_A_REQUEST {
        let (reason, change) = match decided {
            Shares(reason, change) => (reason, change),
            Parts(reason) | NoSetting(reason) => {
                println!("{name}: {reason}");
                continue;
            }
        };
        let peer = Peer::start(Script::new().respond_with(|_| OK.into())).unwrap();
        let client = Client::new().unwrap();
        send(&client, &peer.url("/"), Ok);
        send(&client, &peer.url("/"), *change);
        send(&client, &peer.url("/"), Ok);
        assert_eq!(peer.connections(), 1, "{name}: {reason}");
    }
}

#[test]
fn k1_p20_scheme_host_and_port_are_in_the_key_and_case_path_and_credentials_are_not() {
    let peer = Peer::start(Script::new().respond_with(|_| OK.into())).unwrap();
    let port = peer.addr().port();
    let urls = [
        (format!("http://localhost:{port}/"), 1),
        (format!("http://LOCALHOST:{port}/other?query"), 1),
        (format!("http://user:password@localhost:{port}/"), 1),
        (format!("http://127.0.0.1:{port}/"), 2),
        (format!("http://localhost.:{port}/"), 3),
    ];
    let client = Client::new().unwrap();
    for (url, connections) in urls {
        send(&client, &url, Ok);
        assert_eq!(peer.connections(), connections, "{url}");
    }
    // Another client has another pool, whatever its settings.
    send(&Client::new().unwrap(), &peer.url("/"), Ok);
    assert_eq!(peer.connections(), 4);
}

/// A source of one byte.
fn one_byte() -> PipeReader {
    let (mut writer, reader) = pipe(1);
    writer.write_all(b"x").unwrap();
    writer.finish();
    reader
}
