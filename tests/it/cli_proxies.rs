//! `-x`, `-U`, `--proxy-header`, `--noproxy` and the environment, as curl has them.

use wirescope::testkit::{Peer, Relay, RelayBuilder, Script};

use crate::cli::{Ran, calls_done, command, file, hello, objects, run};
use crate::harness::authority;

const URL: &str = "http://origin.test/a?b";

/// A relay that knows the way to one origin, under a name that nobody else knows.
fn leading(relay: RelayBuilder, origin: &Peer) -> Relay {
    let to = origin.addr();
    let relay = relay
        .lead("origin.test", 80, to)
        .lead("origin.test", 443, to);
    relay.start().unwrap()
}

#[track_caller]
fn well(ran: &Ran) {
    assert_eq!(ran.code, 0, "{}", ran.err);
}

#[test]
fn each_kind_of_proxy_is_gone_through() {
    let origin = hello();
    let relay = leading(Relay::http(), &origin);
    for proxy in [
        relay.url(),
        relay.url().replace("http://", ""),
        format!("{}/", relay.url()),
    ] {
        let ran = run(&["-x", &proxy, "-o", "-", URL]);
        well(&ran);
        assert_eq!(ran.out, "hello");
    }
    let asked = &relay.seen()[0].asked;
    assert!(asked.starts_with(b"GET http://origin.test/a?b HTTP/1.1\r\nHost: origin.test\r\n"));
    let relay = leading(Relay::socks5(), &origin);
    let proxy = relay.url().replace("socks5:", "SOCKS5H:");
    let ran = run(&["--proxy", &proxy, "-o", "-", URL]);
    well(&ran);
    assert_eq!(
        (&*ran.out, &relay.seen()[0].targets[..]),
        ("hello", &["origin.test:80".to_owned()][..])
    );
}

#[test]
fn fields_and_credentials_go_to_the_proxy() {
    let identity = authority().issue(&["origin.test"]).unwrap();
    let origin = Peer::builder()
        .script(Script::new().respond_with(|_| b"HTTP/1.1 204 None\r\n\r\n".to_vec()))
        .tls(identity)
        .start()
        .unwrap();
    let relay = leading(Relay::http().credentials("me", "pass:word"), &origin);
    let ran = run(&[
        "-k",
        "-v",
        "-x",
        &relay.url(),
        "-U",
        "me:pass:word",
        "--proxy-header",
        "X-Zone: 7",
        "-H",
        "X-Own: 8",
        "https://origin.test/",
    ]);
    well(&ran);
    let asked = String::from_utf8(relay.seen()[0].asked.clone()).unwrap();
    assert!(asked.starts_with("CONNECT origin.test:443 HTTP/1.1\r\nHost: origin.test:443\r\n"));
    assert!(asked.contains("\r\nProxy-Authorization: Basic bWU6cGFzczp3b3Jk\r\n"));
    assert!(
        asked.contains("\r\nX-Zone: 7\r\n") && !asked.contains("X-Own"),
        "{asked}"
    );
    let head = String::from_utf8(origin.requests()[0].head.clone()).unwrap();
    assert!(
        head.contains("\r\nX-Own: 8\r\n") && !head.contains("X-Zone") && !head.contains("Proxy")
    );
    // What is shown has no secret, and says which way it went.
    for secret in ["pass", "word", "bWU6"] {
        assert!(
            !ran.err.contains(secret) && !ran.out.contains(secret),
            "{}",
            ran.err
        );
    }
    assert!(
        ran.err.contains(&format!("* Proxy {}\n", relay.url())),
        "{}",
        ran.err
    );
    let tunnel = format!(
        "* Asking {} for a tunnel to origin.test:443\n* Tunnel established (200)\n",
        relay.addr()
    );
    assert!(ran.err.contains(&tunnel), "{}", ran.err);
    assert!(ran.err.contains("> GET / HTTP/1.1\n"), "{}", ran.err);
    // The credentials of the proxy's own URL do as well.
    let proxy = relay.url().replace("http://", "http://me:pass%3Aword@");
    well(&run(&["-k", "-x", &proxy, "https://origin.test/"]));
    // They come before those of `-U`.
    let url = "https://origin.test/";
    well(&run(&["-k", "-x", &proxy, "-U", "you:wrong", url]));
}

/// `-U` and `--proxy-header` hold for a proxy of the environment, and for requests that it is given whole.
#[test]
fn a_proxy_of_the_environment_gets_them_too() {
    let origin = hello();
    let relay = leading(Relay::http().credentials("me", "pw"), &origin);
    let flags = [
        "-U",
        "me:pw",
        "--proxy-header",
        "X-Zone: 7",
        "--proxy-header",
        "X-Own: theirs",
        "--proxy-header",
        "User-Agent: theirs",
        "-H",
        "X-Own: mine",
    ];
    let through = |variable, args: &[&str]| -> Ran {
        let args = [args, &flags, &["-k", URL]].concat();
        let ran = command(&args).env(variable, relay.url()).output();
        ran.unwrap().into()
    };
    for (variable, args) in [
        ("http_proxy", &[][..]),
        ("all_proxy", &["-Z", "2"]),
        ("unused", &["-x", &relay.url()]),
    ] {
        well(&through(variable, args));
        let asked = String::from_utf8(relay.seen().pop().unwrap().asked).unwrap();
        let lines: Vec<_> = asked.split("\r\n").collect();
        assert_eq!(lines[0], "GET http://origin.test/a?b HTTP/1.1");
        let starting = |name| -> Vec<_> { lines.iter().filter(|l| l.starts_with(name)).collect() };
        assert_eq!(
            starting("Proxy-Auth"),
            [&"Proxy-Authorization: Basic bWU6cHc="]
        );
        assert_eq!(starting("X-Zone"), [&"X-Zone: 7"], "{asked}");
        // The request's own field goes before, and a default gives way.
        assert_eq!(starting("X-Own"), [&"X-Own: mine"], "{asked}");
        assert_eq!(starting("User-Agent"), [&"User-Agent: theirs"], "{asked}");
    }
    // Without a proxy nobody gets anything.
    let ran = run(&[&flags[..], &[&origin.url("/")]].concat());
    well(&ran);
    let head = String::from_utf8(origin.requests().pop().unwrap().head).unwrap();
    assert!(
        !head.contains("Proxy") && !head.contains("X-Zone") && !head.contains("theirs"),
        "{head}"
    );
}

#[test]
fn what_a_proxy_says_instead_of_a_tunnel_is_shown() {
    let answer = "HTTP/1.1 403 No\r\nX-Why: closed\r\nContent-Length: 0\r\n\r\n";
    let script = Script::new().expect_request().send(answer);
    let proxy = Peer::start(script.close()).unwrap();
    let url = proxy.http_url("");
    let ran = run(&["-v", "-x", &url, "https://origin.test/"]);
    assert_eq!(ran.code, 56, "{}", ran.err);
    let verbose = "* No tunnel, the proxy answered 403\n< X-Why: closed\n< Content-Length: 0\n<\n";
    assert!(ran.err.contains(verbose), "{}", ran.err);
    for note in [
        &*format!("  - through the proxy {url}\n"),
        "  - the proxy answered 403, X-Why: closed; Content-Length: 0\n",
    ] {
        assert!(ran.out.contains(note), "{note}: {}", ran.out);
    }
}

#[test]
fn the_tls_of_a_proxy_is_told_apart() {
    let identity = authority().issue(&["127.0.0.1"]).unwrap();
    let origin = Peer::builder()
        .script(Script::new().respond_with(|_| b"HTTP/1.1 204 None\r\n\r\n".to_vec()))
        .tls(authority().issue(&["origin.test"]).unwrap())
        .start()
        .unwrap();
    let relay = leading(Relay::https(identity), &origin);
    let roots = file("roots.pem", authority().pem().as_bytes());
    let url = "https://origin.test/";
    let ran = run(&[
        "-v",
        "--cacert",
        roots.to_str().unwrap(),
        "-x",
        &relay.url(),
        url,
    ]);
    well(&ran);
    let proxy = ran.err.find("* Proxy certificate:").unwrap();
    let server = ran.err.find("* Server certificate:").unwrap();
    let asking = ran.err.find("* Asking ").unwrap();
    assert!(proxy < asking && asking < server, "{}", ran.err);
    let told = ran.out.matches("  - with the proxy: TLSv1.3").count();
    assert_eq!(told, 1, "{}", ran.out);
}

#[test]
fn verbose_shows_the_request_line_as_the_proxy_gets_it() {
    let origin = hello();
    let relay = leading(Relay::http(), &origin);
    let ran = run(&["-v", "-x", &relay.url(), URL]);
    well(&ran);
    assert!(
        ran.err.contains("> GET http://origin.test/a?b HTTP/1.1\n"),
        "{}",
        ran.err
    );
}

#[test]
fn some_hosts_need_no_proxy() {
    let origin = hello();
    let relay = leading(Relay::http(), &origin);
    let proxy = relay.url();
    let url = origin.url("/");
    let through = |args: &[&str], variables: &[(&str, &str)], url: &str| {
        let before = relay.connections();
        let ran: Ran = command(args)
            .arg(url)
            .envs(variables.iter().copied())
            .output()
            .unwrap()
            .into();
        well(&ran);
        relay.connections() > before
    };
    let x: &[&str] = &["-x", &proxy];
    assert!(
        through(x, &[], &url),
        "a proxy of the command line is for this machine too"
    );
    assert!(!through(
        &["-x", &proxy, "--noproxy", "127.0.0.0/8"],
        &[],
        &url
    ));
    assert!(!through(&["-x", &proxy, "--noproxy", "*"], &[], &url));
    assert!(!through(x, &[("NO_PROXY", "127.0.0.1")], &url));
    let list = [("no_proxy", "127.0.0.1")];
    assert!(
        through(&["-x", &proxy, "--noproxy", ""], &list, &url),
        "curl's list replaces the other"
    );
    let environment = [("http_proxy", &*proxy)];
    assert!(through(&[], &environment, URL));
    assert!(!through(&[], &environment, &url), "not for this machine");
    assert!(!through(&["-x", ""], &environment, &url));
    let resolve = format!("origin.test:80:{}", origin.addr().ip());
    let to = format!("::{}", origin.addr());
    let straight = ["--resolve", &*resolve, "--connect-to", &*to];
    assert!(!through(
        &[&["--noproxy", "origin.test"][..], &straight].concat(),
        &environment,
        URL
    ));
    assert!(!through(
        &[&["-x", ""][..], &straight].concat(),
        &environment,
        URL
    ));
    let cgi = [("HTTP_PROXY", &*proxy), ("REQUEST_METHOD", "GET")];
    assert!(!through(&straight, &cgi, URL), "row F26");
    assert!(through(&[], &cgi[..1], URL));
}

#[test]
fn events_say_which_proxy_and_why() {
    let origin = hello();
    let relay = leading(Relay::http(), &origin);
    let ran: Ran = command(&["--events", "ndjson", URL])
        .env("all_proxy", relay.url())
        .output()
        .unwrap()
        .into();
    well(&ran);
    let objects = objects(&ran.out);
    let selected = objects
        .iter()
        .find(|one| one["event"] == "proxy_selected")
        .unwrap();
    assert_eq!(selected["scheme"], "http");
    assert_eq!(selected["host"], "127.0.0.1");
    assert_eq!(selected["port"], relay.addr().port());
    assert_eq!(selected["source"], "environment");
    assert_eq!(selected["rule"], "all_proxy");
    assert_eq!(calls_done(&objects)[0]["status"], 200);
}

#[test]
fn exit_codes_of_proxies_are_those_of_curl() {
    let answers = |answer: &str| {
        let script = Script::new().expect_request().send(answer).close();
        Peer::start(script).unwrap()
    };
    let socks = |answer: &[u8], reply: &[u8]| {
        let greeted = Script::new().expect_bytes([5, 1, 0]).send(answer);
        let asked = greeted.expect_contains(b"origin.test\x01\xbb").send(reply);
        Peer::start(asked).unwrap()
    };
    let forbidden = answers("HTTP/1.1 403 No\r\nContent-Length: 0\r\n\r\n");
    let unknown = answers("HTTP/1.1 407 Who\r\nContent-Length: 0\r\n\r\n");
    let closed = answers("");
    let garbage = answers("SSH-2.0-x\r\n\r\n");
    let cut = answers("HTTP/1.1 200 OK\r\nX");
    let no_method = socks(&[5, 0xff], &[]);
    let refused = socks(&[5, 0], &[5, 5, 0, 1, 0, 0, 0, 0, 0, 0]);
    let old = socks(&[4, 0], &[]);
    let cut_reply = Script::new().expect_bytes([5, 1, 0]).send([5, 0]);
    let cut_reply = cut_reply
        .expect_contains(b"origin.test\x01\xbb")
        .send([5, 0, 0]);
    let cut_reply = Peer::start(cut_reply.close()).unwrap();
    let gone = Peer::start(Script::new().expect_bytes([5, 1, 0]).reset()).unwrap();
    let not_tls = Peer::start(Script::new().send("HTTP/1.1 400 No\r\n\r\n")).unwrap();
    let http = |peer: &Peer| peer.http_url("");
    let socks5h = |peer: &Peer| peer.http_url("").replace("http:", "socks5h:");
    let nowhere = "http://no-such-proxy.invalid:1".to_owned();
    let table = [
        (56, http(&forbidden)),
        (56, http(&unknown)),
        (56, http(&closed)),
        (56, http(&garbage)),
        (56, http(&cut)),
        (97, socks5h(&no_method)),
        (97, socks5h(&refused)),
        (97, socks5h(&old)),
        (97, socks5h(&cut_reply)),
        (97, socks5h(&gone)),
        (35, not_tls.https_url("")),
        (5, nowhere),
        (7, "http://127.0.0.1:1".to_owned()),
        (7, "ftp://127.0.0.1:1".to_owned()),
        (5, "http://127.0.0.1:99999".to_owned()),
        (5, "http://a b".to_owned()),
        (2, "http://a%3Ab:c@127.0.0.1:1".to_owned()),
    ];
    for (code, proxy) in table {
        let ran = run(&["-m", "9", "-x", &proxy, "https://origin.test/"]);
        assert_eq!(ran.code, code, "{proxy}: {}", ran.err);
    }
    for args in [
        &["-x", "p", "--proxy-header", "Host: y"][..],
        &["-x", "p", "--proxy-header", "X"],
        &["-x", "socks5://p", "-U", "a"],
    ] {
        assert_eq!(run(&[args, &[URL]].concat()).code, 2, "{args:?}");
    }
    let ran: Ran = command(&[URL])
        .env("http_proxy", "ftp://canary:canary@p")
        .output()
        .unwrap()
        .into();
    assert_eq!(ran.code, 7);
    assert!(
        ran.err.contains("http_proxy") && !ran.err.contains("canary"),
        "{}",
        ran.err
    );
}
