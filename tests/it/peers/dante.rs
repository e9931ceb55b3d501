//! A SOCKS5 proxy that others wrote: dante, with and without credentials.
//!
//! Its users are those of the system. Here they are those of three files, by way of nss_wrapper, so that nobody has to
//! be added to the machine.

use std::process::Command;

use wirescope::error::{ProxyFailure, SocksReply};
use wirescope::event::EventKind;
use wirescope::testkit::Peer;
use wirescope::{ErrorKind, Proxy, ProxyScheme};

use super::proxied::Origins;
use super::*;
use crate::harness::authority;
use crate::nginx::{assert_same, content};

/// The password as crypt(3) keeps it.
const HASH: &str = "$6$wirescope$t8MrCJZhWFfQj7O.UnwZnQTG6WlqgtxhagnIKRlF9ng3JTUSjzIkNJxj7APTSsQI1nJwvZ.GMq6KaeFMiDx4w/";

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Users {
    Nobody,
    One,
}

/// Dante, and origins behind it.
struct World {
    /// Names are resolved here, and by the proxy.
    proxies: [Proxy; 2],
    origins: Origins,
    _program: Program,
    _folder: Folder,
}

impl World {
    fn start(users: Users) -> Self {
        let (folder, origins, addr) = (Folder::new(), Origins::start(), port());
        let method = match users {
            Users::Nobody => "none",
            Users::One => "username",
        };
        let config = format!(
            "logoutput: stderr\n\
            internal: {ip} port = {port}\n\
            external: {ip}\n\
            clientmethod: none\n\
            socksmethod: {method}\n\
            client pass {{ from: 127.0.0.0/8 to: 0.0.0.0/0 }}\n\
            socks block {{ from: 0.0.0.0/0 to: 0.0.0.0/0 port = {forbidden} }}\n\
            socks pass {{ from: 0.0.0.0/0 to: 0.0.0.0/0 }}\n",
            ip = addr.ip(),
            port = addr.port(),
            forbidden = origins.forbidden.addr().port(),
        );
        let config = folder.write("danted.conf", config);
        let mut command = Command::new("danted");
        command.arg("-f").arg(config);
        if users == Users::One {
            let file = |name, text: String| folder.write(name, text);
            let passwd = format!(
                "root:x:0:0::/:/bin/sh\nnobody:x:65534:65534::/:/bin/sh\n{USER}:x:12345:12345::/:/bin/sh\n"
            );
            let shadow = format!("{USER}:{HASH}:20000:0:99999:7:::\n");
            for (variable, path) in [
                ("NSS_WRAPPER_PASSWD", file("passwd", passwd)),
                ("NSS_WRAPPER_SHADOW", file("shadow", shadow)),
                ("NSS_WRAPPER_GROUP", file("group", "root:x:0:\n".to_owned())),
            ] {
                command.env(variable, path);
            }
            command.env("LD_PRELOAD", "libnss_wrapper.so");
        }
        let proxy = |scheme| {
            let proxy = Proxy::parse(&format!("{scheme}://{addr}")).unwrap();
            match users {
                Users::Nobody => proxy,
                Users::One => proxy.with_credentials(USER, PASSWORD).unwrap(),
            }
        };
        Self {
            proxies: ["socks5", "socks5h"].map(proxy),
            origins,
            _program: Program::start(&mut command, &folder, &[addr]),
            _folder: folder,
        }
    }
}

/// Tries something through both doors, with names resolved here and there.
fn through(users: Users, what: &'static str, run: impl Fn(&World, Proxy, Door) -> String) {
    with_each(
        &[users],
        |_| Tool::Dante,
        what,
        |users| {
            let world = World::start(users);
            let mut results = Vec::new();
            for proxy in &world.proxies {
                results.extend(DOORS.map(|door| run(&world, proxy.clone(), door)));
            }
            world.origins.judge();
            results.dedup();
            assert_eq!(results.len(), 1, "{results:?}");
            results.remove(0)
        },
    );
}

fn one_after_the_other(world: &World, proxy: Proxy, door: Door) -> String {
    for url in world.origins.urls("/x?y") {
        let mut caller = Caller::new(door, |client| client.proxy(proxy.clone()));
        for round in 0..3 {
            let got = caller.send(caller.get(&url)).unwrap();
            assert_eq!((got.status, &*got.text()), (200, "/x?y"));
            assert_eq!(got.reused, round > 0);
        }
        let told = caller.finish();
        assert_eq!(told.only(EventKind::ProxyConnectDone).len(), 1);
    }
    "200; one connection for each scheme".to_owned()
}

#[test]
#[ignore = "needs dante: .ci/run"]
fn one_request_after_the_other_without_credentials() {
    through(
        Users::Nobody,
        "three GETs of http and of https, no credentials",
        one_after_the_other,
    );
}

#[test]
#[ignore = "needs dante: .ci/run"]
fn one_request_after_the_other_with_credentials() {
    through(
        Users::One,
        "three GETs of http and of https, user and password",
        one_after_the_other,
    );
}

/// The error of a call that gets no tunnel.
#[track_caller]
fn failure(caller: &mut Caller, url: &str) -> ProxyFailure {
    match caller.send(caller.get(url)) {
        Ok(got) => panic!("{url} has {}", got.status),
        Err(error) => match error.kind() {
            ErrorKind::Proxy(failure) => failure,
            _ => panic!("{error}"),
        },
    }
}

#[test]
#[ignore = "needs dante: .ci/run"]
fn credentials() {
    through(
        Users::One,
        "no credentials, and wrong ones",
        |world, proxy, door| {
            let bare = Proxy::parse(&format!("socks5h://{}", proxy.authority())).unwrap();
            let wrong = proxy.with_credentials(USER, "canary").unwrap();
            for (proxy, expected) in [
                (bare, ProxyFailure::CredentialsWanted),
                (wrong, ProxyFailure::CredentialsRefused),
            ] {
                let mut caller = Caller::new(door, |client| client.proxy(proxy));
                for url in world.origins.urls("/") {
                    assert_eq!(failure(&mut caller, &url), expected);
                }
                caller.finish();
            }
            "an error that tells the two apart".to_owned()
        },
    );
}

#[test]
#[ignore = "needs dante: .ci/run"]
fn refusals() {
    through(
        Users::Nobody,
        "a port with a rule against it, and one where nobody listens",
        |world, proxy, door| {
            let mut caller = Caller::new(door, |client| client.proxy(proxy));
            for (url, expected) in [
                (world.origins.forbidden.url("/"), SocksReply::NotAllowed),
                (
                    format!("http://{}/", world.origins.nobody.addr()),
                    SocksReply::ConnectionRefused,
                ),
            ] {
                assert_eq!(failure(&mut caller, &url), ProxyFailure::Socks(expected));
            }
            caller.finish();
            "an error with reply 2, not allowed by its rules, and 5, connection refused".to_owned()
        },
    );
}

#[test]
#[ignore = "needs dante: .ci/run"]
fn a_name_that_is_nobodys() {
    with_each(
        &[Users::One],
        |_| Tool::Dante,
        "a name that does not resolve there",
        |users| {
            let world = World::start(users);
            let [_, proxy] = &world.proxies;
            for door in DOORS {
                let mut caller = Caller::new(door, |client| client.proxy(proxy.clone()));
                let failure = failure(&mut caller, "https://no-such.invalid/");
                assert_eq!(failure, ProxyFailure::Socks(SocksReply::HostUnreachable));
                caller.finish();
            }
            "an error with reply 4, host unreachable".to_owned()
        },
    );
}

#[test]
#[ignore = "needs dante: .ci/run"]
fn content_of_64_mib() {
    through(
        Users::One,
        "64 MiB up and down again",
        |world, proxy, door| {
            let bytes = content(LARGE);
            // Where names are resolved makes no difference to content: each door one way.
            let is_turn = proxy.scheme() == ProxyScheme::Socks5h;
            if is_turn == (door == Door::Loop) {
                for url in world.origins.urls("/") {
                    let mut caller = Caller::new(door, |client| client.proxy(proxy.clone()));
                    let got = caller.send(caller.post(&url).body(bytes)).unwrap();
                    assert_same(&got.body, bytes, &url);
                    caller.finish();
                }
            }
            "whole".to_owned()
        },
    );
}

#[test]
#[ignore = "needs dante: .ci/run"]
fn another_protocol() {
    through(Users::One, "websocket, by TLS", |world, proxy, door| {
        let peer = Peer::builder()
            .script(websocket())
            .tls(authority().issue(&["127.0.0.1"]).unwrap())
            .bind(world.origins.spare)
            .start()
            .unwrap();
        let mut caller = Caller::new(door, |client| client.proxy(proxy));
        speak(&mut caller, &peer.url("/chat"));
        caller.finish();
        "101, and bytes both ways".to_owned()
    });
}
