//! Forward proxies that others wrote: squid, squid behind TLS, tinyproxy.

use std::io::Cursor;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::Command;

use wirescope::error::ProxyFailure;
use wirescope::event::EventKind;
use wirescope::message::fields::Fields;
use wirescope::testkit::Peer;
use wirescope::{ClientBuilder, ErrorKind, NoProxy, Proxy, Request};

use super::proxied::{Origins, continuing};
use super::*;
use crate::harness::authority;
use crate::nginx::{assert_same, content};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Squid,
    /// Squid behind a listener of haproxy that takes TLS off: an https proxy.
    SquidTls,
    Tinyproxy,
}

const KINDS: [Kind; 3] = [Kind::Squid, Kind::SquidTls, Kind::Tinyproxy];

fn tool(kind: Kind) -> Tool {
    match kind {
        Kind::Squid => Tool::Squid,
        Kind::SquidTls => Tool::SquidTls,
        Kind::Tinyproxy => Tool::Tinyproxy,
    }
}

/// A proxy that wants credentials, and origins behind it.
struct World {
    kind: Kind,
    proxy: Proxy,
    origins: Origins,
    _programs: Vec<Program>,
    _folder: Folder,
}

impl World {
    /// With more lines for the configuration of squid.
    fn with(kind: Kind, lines: &str) -> Self {
        let (folder, origins) = (Folder::new(), Origins::start());
        let addr = port();
        let ports = origins.allowed().map(|port| port.to_string());
        let mut programs = vec![match kind {
            Kind::Squid | Kind::SquidTls => squid(&folder, addr, &ports.join(" "), lines),
            Kind::Tinyproxy => tinyproxy(&folder, addr, &ports),
        }];
        let url = if kind == Kind::SquidTls {
            let front = port();
            programs.push(tls_front(&folder, front, addr));
            format!("https://{front}")
        } else {
            format!("http://{addr}")
        };
        Self {
            kind,
            proxy: Proxy::parse(&url).unwrap(),
            origins,
            _programs: programs,
            _folder: folder,
        }
    }

    /// A caller who has the credentials.
    fn caller(&self, door: Door) -> Caller {
        self.caller_with(door, |client| client)
    }

    fn caller_with(
        &self,
        door: Door,
        change: impl FnOnce(ClientBuilder) -> ClientBuilder,
    ) -> Caller {
        let proxy = self.proxy.clone().with_credentials(USER, PASSWORD);
        let proxy = proxy.unwrap();
        Caller::new(door, |client| change(client.proxy(proxy)))
    }

    /// Whether connections of plain requests are kept: tinyproxy ends each.
    fn keeps(&self) -> bool {
        self.kind != Kind::Tinyproxy
    }
}

fn squid(folder: &Folder, addr: SocketAddr, ports: &str, lines: &str) -> Program {
    let name = format!("peers{}", addr.port());
    let helper = folder.write(
        "users.sh",
        format!(
            "while read -r user password; do\n\
            if [ \"$user $password\" = \"{USER} {PASSWORD}\" ]; then echo OK; else echo ERR; fi\n\
            done\n"
        ),
    );
    // Squid 5 takes its own full buffer for the end of the client, so it gets one that is never full.
    let config = format!(
        "http_port {addr}\n\
        pid_filename none\n\
        cache_log {dir}/cache.log\n\
        access_log none\n\
        cache deny all\n\
        cache_mem 8 MB\n\
        coredump_dir {dir}\n\
        netdb_filename none\n\
        pinger_enable off\n\
        max_filedescriptors 1024\n\
        visible_hostname localhost\n\
        shutdown_lifetime 0 seconds\n\
        dns_timeout 3 seconds\n\
        client_request_buffer_max_size 128 MB\n\
        {lines}\n\
        auth_param basic program /bin/sh {helper}\n\
        auth_param basic children 2\n\
        acl known proxy_auth REQUIRED\n\
        acl tunnel method CONNECT\n\
        acl allowed port 80 443 {ports}\n\
        http_access deny tunnel !allowed\n\
        http_access allow known\n\
        http_access deny all\n",
        dir = folder.path().display(),
        helper = helper.display(),
    );
    let config = folder.write("squid.conf", config);
    let mut command = Command::new("squid");
    command.args(["-N", "-d1", "-n", &name, "-f"]).arg(config);
    Program::start(&mut command, folder, &[addr])
}

fn tinyproxy(folder: &Folder, addr: SocketAddr, ports: &[String]) -> Program {
    let mut config = format!(
        "Port {}\nListen {}\nTimeout 60\nMaxClients 50\nLogLevel Info\nBasicAuth {USER} {PASSWORD}\n\
        ConnectPort 443\n",
        addr.port(),
        addr.ip(),
    );
    for port in ports {
        config.push_str(&format!("ConnectPort {port}\n"));
    }
    let config = folder.write("tinyproxy.conf", config);
    let mut command = Command::new("tinyproxy");
    Program::start(command.args(["-d", "-c"]).arg(config), folder, &[addr])
}

/// Takes TLS off and passes the bytes on.
fn tls_front(folder: &Folder, addr: SocketAddr, to: SocketAddr) -> Program {
    let identity = authority().issue(&["127.0.0.1"]).unwrap();
    let both = [identity.certificate_pem(), identity.key_pem()].concat();
    let both = folder.write("front.pem", both);
    let config = format!(
        "defaults\n mode tcp\n timeout connect 5s\n timeout client 60s\n timeout server 60s\n\
        listen front\n bind {addr} ssl crt {}\n server squid {to}\n",
        both.display()
    );
    let config = folder.write("haproxy.cfg", config);
    let mut command = Command::new("haproxy");
    Program::start(command.args(["-db", "-f"]).arg(config), folder, &[addr])
}

/// Tries something through each of some proxies, with more lines for the configuration of squid, and by both doors.
fn through(kinds: &[Kind], lines: &str, what: &'static str, run: impl Fn(&World, Door) -> String) {
    with_each(kinds, tool, what, |kind| {
        let world = World::with(kind, lines);
        let results = DOORS.map(|door| run(&world, door));
        world.origins.judge();
        assert_eq!(results[0], results[1], "{kind:?}: both doors");
        results[0].clone()
    });
}

fn through_each(what: &'static str, run: impl Fn(&World, Door) -> String) {
    through(&KINDS, "", what, run);
}

#[test]
#[ignore = "needs squid, tinyproxy, haproxy: .ci/run"]
fn one_request_after_the_other() {
    through_each(
        "GET in absolute-form and by CONNECT, three each",
        |world, door| {
            let mut opened = Vec::new();
            for url in world.origins.urls("/x?y") {
                let mut caller = world.caller(door);
                for _ in 0..3 {
                    let got = caller.send(caller.get(&url)).unwrap();
                    assert_eq!((got.status, &*got.text()), (200, "/x?y"));
                }
                opened.push(caller.finish().only(EventKind::ConnOpened).len());
            }
            let plain = if world.keeps() { 1 } else { 3 };
            assert_eq!(opened, [plain, 1]);
            format!("200; {plain} and 1 connections to the proxy")
        },
    );
}

#[test]
#[ignore = "needs squid, tinyproxy, haproxy: .ci/run"]
fn credentials() {
    through_each("no credentials, and wrong ones", |world, door| {
        let wrong = world.proxy.clone().with_credentials(USER, "canary");
        // Tinyproxy takes wrong ones for those of an origin.
        let (status, refused) = match world.kind {
            Kind::Squid | Kind::SquidTls => (407, ProxyFailure::CredentialsRefused),
            Kind::Tinyproxy => (401, ProxyFailure::Refused(401)),
        };
        for (proxy, status, failure) in [
            (world.proxy.clone(), 407, ProxyFailure::CredentialsWanted),
            (wrong.unwrap(), status, refused),
        ] {
            let mut caller = Caller::new(door, |client| client.proxy(proxy));
            let [plain, secure] = world.origins.urls("/");
            let got = caller.send(caller.get(&plain)).unwrap();
            assert_eq!(got.status, status);
            let wants = |fields: &Fields| match status {
                407 => fields.contains("proxy-authenticate"),
                _ => fields.contains("www-authenticate"),
            };
            assert!(wants(&got.fields) && !got.body.is_empty());
            let error = refusal(&mut caller, &secure);
            assert_eq!(error.kind(), ErrorKind::Proxy(failure));
            let said = error.proxy_refusal().unwrap();
            assert!(said.status() == status && wants(said.fields()));
            caller.finish();
        }
        format!("407 and {status} as the response; an error with the same for CONNECT")
    });
}

/// The error of a call that gets no tunnel.
#[track_caller]
fn refusal(caller: &mut Caller, url: &str) -> wirescope::Error {
    match caller.send(caller.get(url)) {
        Ok(got) => panic!("{url} has {}", got.status),
        Err(error) => error,
    }
}

#[test]
#[ignore = "needs squid, tinyproxy, haproxy: .ci/run"]
fn a_port_that_the_proxy_forbids() {
    through_each(
        "CONNECT to a port that the proxy has a rule against",
        |world, door| {
            let mut caller = world.caller(door);
            let error = refusal(&mut caller, &world.origins.forbidden.url("/"));
            assert_eq!(error.kind(), ErrorKind::Proxy(ProxyFailure::Refused(403)));
            let said = error.proxy_refusal().unwrap();
            assert!(
                said.fields()
                    .get_str("content-type")
                    .unwrap()
                    .starts_with("text/html")
            );
            assert!(
                String::from_utf8_lossy(said.body()).contains("<!DOCTYPE"),
                "{:?}",
                said.body()
            );
            assert!(said.fields().get("server").is_some());
            caller.finish();
            assert_eq!(world.origins.forbidden.connections(), 0);
            "an error with status 403, the fields and the first bytes of the page".to_owned()
        },
    );
}

/// The status of a response, and that of a refused tunnel.
fn both_refused(world: &World, door: Door, plain: &str, secure: &str) -> (u16, u16) {
    let mut caller = world.caller(door);
    let got = caller.send(caller.get(plain)).unwrap();
    assert!(!got.body.is_empty());
    let error = refusal(&mut caller, secure);
    let ErrorKind::Proxy(ProxyFailure::Refused(status)) = error.kind() else {
        panic!("{error}");
    };
    let said = error.proxy_refusal().unwrap();
    assert!(said.status() == status && !said.body().is_empty());
    caller.finish();
    (got.status, status)
}

#[test]
#[ignore = "needs squid, tinyproxy, haproxy: .ci/run"]
fn a_target_that_nobody_serves() {
    through_each("a port where nobody listens", |world, door| {
        let nobody = world.origins.nobody.addr();
        let (plain, secure) = both_refused(
            world,
            door,
            &format!("http://{nobody}/"),
            &format!("https://{nobody}/"),
        );
        assert!(
            [plain, secure]
                .iter()
                .all(|status| (500..=504).contains(status))
        );
        format!("{plain} as the response; an error with {secure} for CONNECT")
    });
}

#[test]
#[ignore = "needs squid, tinyproxy, haproxy: .ci/run"]
fn a_name_that_is_nobodys() {
    through_each("a name that does not resolve", |world, door| {
        let (plain, secure) = both_refused(
            world,
            door,
            "http://no-such.invalid/",
            "https://no-such.invalid/",
        );
        assert!(
            [plain, secure]
                .iter()
                .all(|status| (500..=504).contains(status))
        );
        format!("{plain} as the response; an error with {secure} for CONNECT")
    });
}

/// The same content in a request, by length and in chunks.
fn with_content(request: Request, bytes: &'static [u8], is_chunked: bool) -> Request {
    match is_chunked {
        false => request.body(bytes),
        true => request.body_reader(Cursor::new(bytes)),
    }
}

#[test]
#[ignore = "needs squid, tinyproxy, haproxy: .ci/run"]
fn content_of_64_mib() {
    through_each(
        "64 MiB up and down again, by length and chunked",
        |world, door| {
            let bytes = content(LARGE);
            let [plain, secure] = world.origins.urls("/");
            let urls = match (world.kind, door) {
                (Kind::Squid | Kind::Tinyproxy, _) => vec![plain, secure],
                (Kind::SquidTls, Door::Client) => vec![plain],
                (Kind::SquidTls, Door::Loop) => vec![secure],
            };
            for url in urls {
                let mut caller = world.caller(door);
                let request = with_content(caller.post(&url), bytes, door == Door::Loop);
                let got = caller.send(request).unwrap();
                assert_eq!(got.status, 200);
                assert_same(&got.body, bytes, &url);
                caller.finish();
            }
            match world.kind {
                Kind::Squid | Kind::SquidTls => {
                    "whole, with client_request_buffer_max_size above it: a full buffer counts as the client's end"
                }
                Kind::Tinyproxy => "whole",
            }
            .to_owned()
        },
    );
}

#[test]
#[ignore = "needs squid, tinyproxy, haproxy: .ci/run"]
fn a_redirect_from_the_proxy_to_a_direct_hop() {
    through_each("a redirect to a host that needs no proxy", |world, door| {
        let peers = [&world.origins.plain, &world.origins.secure];
        for (peer, scheme) in peers.into_iter().zip(["http", "https"]) {
            let port = peer.addr().port();
            let url = peer.url(&format!("/moved?{scheme}://localhost:{port}/there"));
            let mut caller = world.caller_with(door, |client| {
                let here = [Ipv4Addr::LOCALHOST.into()];
                let direct = client.resolve_override("localhost", port, &here);
                direct.unwrap().no_proxy(NoProxy::parse("localhost"))
            });
            let got = caller.send(caller.get(&url)).unwrap();
            assert_eq!((got.status, &*got.text()), (200, "/there"));
            let told = caller.finish();
            told.assert_sequence([
                "proxy_selected source=explicit",
                "redirect",
                "proxy_selected source=no_proxy",
                "got_conn reused=false",
                "call_done status=200",
            ]);
            let requests = peer.requests();
            assert_eq!(requests.last().unwrap().target(), "/there");
            assert_eq!(requests.last().unwrap().field("via"), None);
        }
        "200 from the second host, straight".to_owned()
    });
}

#[test]
#[ignore = "needs squid, tinyproxy, haproxy: .ci/run"]
fn another_protocol_through_a_tunnel() {
    through_each("websocket through CONNECT, by TLS", |world, door| {
        let peer = Peer::builder()
            .script(websocket())
            .tls(authority().issue(&["127.0.0.1"]).unwrap())
            .bind(world.origins.spare)
            .start()
            .unwrap();
        let mut caller = world.caller(door);
        speak(&mut caller, &peer.url("/chat"));
        let told = caller.finish();
        told.assert_sequence([
            "proxy_connect_done",
            "got_response_head status=101",
            "upgraded",
        ]);
        "101, and bytes both ways".to_owned()
    });
}

#[test]
#[ignore = "needs squid, tinyproxy, haproxy: .ci/run"]
fn a_connection_that_the_proxy_ends_while_idle() {
    let squids = [Kind::Squid, Kind::SquidTls];
    let lines = "client_idle_pconn_timeout 1 second";
    through(
        &squids,
        lines,
        "an idle connection that the proxy ends",
        |world, door| {
            let mut caller = world.caller(door);
            until_another(&mut caller, &world.origins.plain.url("/"));
            caller.finish();
            "the next request has a new connection, and no error".to_owned()
        },
    );
}

#[test]
#[ignore = "needs squid, tinyproxy, haproxy: .ci/run"]
fn an_upload_that_the_proxy_refuses() {
    // Not over TLS: squid resets the connection behind its answer, which haproxy then may lose.
    let squids = [Kind::Squid];
    let lines = "request_body_max_size 1 KB";
    through(
        &squids,
        lines,
        "64 MiB where the proxy takes 1 KiB",
        |world, door| {
            let mut caller = world.caller(door);
            let url = world.origins.plain.url("/");
            let got = caller.send(caller.post(&url).body(content(LARGE))).unwrap();
            assert!(got.status == 413 && !got.body.is_empty());
            let request = caller.post(&url).body_reader(Cursor::new(content(LARGE)));
            // It says nothing before it ends the connection, to other clients neither.
            let error = caller.send(request).map(|got| got.status).unwrap_err();
            assert!(matches!(
                error.kind(),
                ErrorKind::Io { .. } | ErrorKind::PeerClosed
            ));
            let told = caller.finish();
            assert!(!told.matching("request_body_done aborted=true").is_empty());
            "413 with its page by length; chunked, the proxy ends the connection without a word"
                .to_owned()
        },
    );
}

#[test]
#[ignore = "needs squid, tinyproxy, haproxy: .ci/run"]
fn content_that_waits_to_be_asked_for() {
    through_each("Expect: 100-continue with 1 MiB", |world, door| {
        let peer = Peer::builder()
            .script(continuing())
            .bind(world.origins.spare)
            .start()
            .unwrap();
        let mut caller = world.caller(door);
        let request = caller.post(&peer.url("/")).body(content(1 << 20));
        let got = caller.send(request.expect_continue()).unwrap();
        assert_eq!(got.status, 200);
        assert_same(&got.body, content(1 << 20), "an echo");
        let asked = !caller.finish().only(EventKind::Got100Continue).is_empty();
        match asked {
            true => "100, then the content".to_owned(),
            false => "no 100; the content goes when the time for it is over".to_owned(),
        }
    });
}
