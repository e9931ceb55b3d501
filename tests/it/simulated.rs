//! The simulator: virtual time, written down, and what only a virtual network can do.

use std::io::Read;
use std::process::Command;
use std::time::Duration;

use wirescope::error::{LookupFailure, Repeat, Timer};
use wirescope::event::{EventData, EventKind};
use wirescope::message::answer::Family;
use wirescope::message::tls::TlsRole;
use wirescope::testkit::Script;
use wirescope::testkit::check::Checked;
use wirescope::testkit::sim::{Accept, Caller, Cut, Handshake, Link, Name, Sim};
use wirescope::{Client, ErrorKind, Proxy};

use crate::harness::{ok, once, serve};

const PEER: &str = "192.0.2.1:80";

fn ms(count: u64) -> Duration {
    Duration::from_millis(count)
}

fn peer_at<'a>(sim: &'a mut Sim, script: Script) -> wirescope::testkit::sim::Listening<'a> {
    sim.name("example.com", Name::new(&["192.0.2.1".parse().unwrap()]));
    sim.listen(PEER.parse().unwrap(), script)
}

/// The events in short: virtual milliseconds and kind, those of one moment on one line.
fn times(seen: &Checked) -> String {
    let mut text = String::new();
    let start = seen.first().unwrap().at();
    let mut last = None;
    for event in seen.iter() {
        let at = (event.at() - start).as_millis();
        if last != Some(at) {
            text += &format!("\n{at:>6} ms");
            last = Some(at);
        }
        text += &format!(" {}", event.kind());
    }
    text
}

#[track_caller]
fn snapshot(seen: &Checked, expected: &str) {
    let text = times(seen);
    assert_eq!(
        text.trim_end(),
        expected.trim_end(),
        "{}",
        seen.transcript()
    );
}

#[test]
fn a_new_connection_costs_a_round_trip_and_a_kept_one_none() {
    let client = Client::new().unwrap();
    let mut sim = Sim::new(&client);
    peer_at(&mut sim, serve(ok("hello"))).link(Link::new().latency(ms(20)));
    for reused in [false, true] {
        let response = sim.run(client.get("http://example.com/").unwrap()).unwrap();
        assert_eq!(
            (response.text().as_str(), response.is_connection_reused),
            ("hello", reused)
        );
    }
    snapshot(
        &sim.finish(),
        "
     0 ms call_start get_conn pool_lookup dial_start dns_start dns_family_done dns_family_done dns_done dial_plan connect_start
    40 ms connect_done conn_opened dial_done got_conn wrote_header_field wrote_header_field wrote_header_field wrote_headers wrote_request
    80 ms got_first_response_byte final_response_start got_header_field got_response_head response_body_start response_body_done put_idle_conn attempt_done call_done call_start get_conn pool_lookup got_conn wrote_header_field wrote_header_field wrote_header_field wrote_headers wrote_request
   120 ms got_first_response_byte final_response_start got_header_field got_response_head response_body_start response_body_done put_idle_conn attempt_done call_done conn_closed",
    );
}

#[test]
fn tls_costs_the_round_trips_of_its_handshake() {
    let client = Client::new().unwrap();
    for (trips, ended) in [(1, 120), (2, 160)] {
        let mut sim = Sim::new(&client);
        let listening = sim.listen("192.0.2.1:443".parse().unwrap(), serve(ok("hello")));
        listening
            .link(Link::new().latency(ms(20)))
            .tls(Handshake::Made { trips });
        sim.run(client.get("https://192.0.2.1/").unwrap()).unwrap();
        assert_eq!(sim.elapsed(), ms(ended));
        sim.finish()
            .assert_sequence(["tls_handshake_start", "tls_handshake_done", "call_done"]);
    }
}

#[test]
fn tls_goes_through_tls_with_a_proxy() {
    let client = Client::new().unwrap();
    let script = Script::new()
        .expect_contains("\r\n\r\n")
        .send("HTTP/1.1 200 Made\r\n\r\n")
        .start_tls()
        .followed_by(serve(ok("hello")));
    for trips in [1, 2] {
        let mut sim = Sim::new(&client);
        sim.listen("192.0.2.1:443".parse().unwrap(), script.clone())
            .link(Link::new().latency(ms(20)))
            .tls(Handshake::Made { trips });
        let get = client.get("https://example.com/").unwrap();
        let proxy = Proxy::parse("https://192.0.2.1").unwrap();
        let response = sim.run(get.proxy(proxy)).unwrap();
        assert_eq!(response.text(), "hello");
        // To the proxy, TLS with it, the tunnel, TLS with the server, the request.
        assert_eq!(sim.elapsed(), ms(40) * (3 + 2 * trips));
        let seen = sim.finish();
        seen.assert_sequence([
            "connect_done",
            "tls_handshake_start",
            "tls_handshake_done",
            "proxy_connect_start",
            "proxy_connect_done",
            "tls_handshake_start",
            "tls_handshake_done",
            "conn_opened",
            "call_done",
        ]);
        let roles: Vec<_> = (seen.iter())
            .filter_map(|event| match event.data() {
                EventData::TlsHandshakeDone(done) => Some(done.to()),
                _ => None,
            })
            .collect();
        assert_eq!(roles, [TlsRole::Proxy, TlsRole::Origin]);
    }
}

#[test]
fn a_second_handshake_of_a_race_has_its_own_limit() {
    let client = Client::builder()
        .timeouts(|t| t.tls = Some(ms(1_000)))
        .build()
        .unwrap();
    let mut sim = Sim::new(&client);
    let addresses = ["192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap()];
    sim.name("example.com", Name::new(&addresses));
    let silent = "192.0.2.1:443".parse().unwrap();
    sim.listen(silent, Script::new()).tls(Handshake::Stalled);
    sim.listen("192.0.2.2:443".parse().unwrap(), serve(ok("hello")))
        .tls(Handshake::Made { trips: 1 })
        .link(Link::new().latency(ms(200)));
    let response = sim
        .run(client.get("https://example.com/").unwrap())
        .unwrap();
    assert_eq!(response.text(), "hello");
    sim.finish();
}

#[test]
fn a_name_takes_its_time_and_the_second_family_a_little_longer() {
    let client = Client::new().unwrap();
    let mut sim = Sim::new(&client);
    sim.listen(PEER.parse().unwrap(), serve(ok("hello")));
    let v4 = ["192.0.2.1".parse().unwrap()];
    let name = Name::default()
        .family(Family::V4, ms(30), Ok(&v4))
        .silent(Family::V6);
    sim.name("example.com", name);
    sim.run(client.get("http://example.com/").unwrap()).unwrap();
    let seen = sim.finish();
    seen.assert_sequence(["dns_family_done family=v4", "dns_done complete=false"]);
    assert!(
        seen.iter()
            .all(|event| event.call().is_some() || event.connection().is_some())
    );
}

#[test]
fn an_expectation_waits_a_virtual_second() {
    let client = Client::new().unwrap();
    let mut sim = Sim::new(&client);
    let silent = Script::new().expect_head().expect_body().send(ok("done"));
    peer_at(&mut sim, silent).link(Link::new().latency(ms(5)));
    let request = client.post("http://example.com/").unwrap();
    sim.run(request.body("hello").expect_continue()).unwrap();
    snapshot(
        &sim.finish(),
        "
     0 ms call_start get_conn pool_lookup dial_start dns_start dns_family_done dns_family_done dns_done dial_plan connect_start
    10 ms connect_done conn_opened dial_done got_conn wrote_header_field wrote_header_field wrote_header_field wrote_header_field wrote_header_field wrote_headers wait_100_continue
  1010 ms timeout_fired expect_done request_body_start request_body_done wrote_request
  1020 ms got_first_response_byte final_response_start got_header_field got_response_head response_body_start response_body_done put_idle_conn attempt_done call_done conn_closed",
    );
}

#[test]
fn a_narrow_window_makes_an_upload_wait_for_its_peer() {
    let client = Client::new().unwrap();
    let mut sim = Sim::new(&client);
    let script = Script::new().expect_request().send(ok("done"));
    let link = Link::new().latency(ms(10)).window_bytes(1000);
    peer_at(&mut sim, script).link(link);
    let request = client.post("http://example.com/").unwrap();
    sim.run(request.body(vec![b'x'; 5000])).unwrap();
    let seen = sim.finish();
    // Six windows, five of them sent when the news of room have come: a round trip each.
    seen.assert_sequence([
        "wrote_request blocked_ns=100000000 body_bytes=5000",
        "call_done",
    ]);
}

#[test]
fn every_deadline_fires_at_its_moment() {
    let client = Client::builder()
        .timeouts(|t| t.connect = Some(ms(700)))
        .build()
        .unwrap();
    let silent_behind = |bytes| Link::new().cut(Cut::Stall, bytes);
    for (link, timer, ended) in [
        (Link::new().accept(Accept::Lost), Timer::Connect, ms(700)),
        (silent_behind(0), Timer::FirstByte, ms(60_000)),
        (silent_behind(12), Timer::Head, ms(60_000)),
        (silent_behind(40), Timer::BodyIdle, ms(60_000)),
    ] {
        let mut sim = Sim::new(&client);
        peer_at(&mut sim, serve(ok("hello"))).link(link);
        let error = sim
            .run(client.get("http://example.com/").unwrap())
            .unwrap_err();
        assert_eq!(
            (error.kind(), sim.elapsed()),
            (ErrorKind::Timeout(timer), ended)
        );
        sim.finish();
    }
}

#[test]
fn calls_share_a_lookup_and_take_turns_on_a_connection() {
    let client = Client::new().unwrap();
    let mut sim = Sim::new(&client);
    let name = Name::default().delayed(ms(10), &["192.0.2.1".parse().unwrap()]);
    sim.listen(PEER.parse().unwrap(), serve(ok("hello")))
        .link(Link::new().latency(ms(5)));
    sim.name("example.com", name);
    let tickets: Vec<_> = [0, 2, 100]
        .map(|starts| {
            let request = client.get("http://example.com/").unwrap();
            sim.submit(request, Caller::new().starts_in(ms(starts)))
        })
        .into();
    sim.run_all().unwrap();
    let ended: Vec<_> = tickets
        .iter()
        .map(|ticket| sim.take(*ticket).unwrap().ended())
        .collect();
    assert_eq!(ended, [ms(30), ms(30), ms(110)]);
    let seen = sim.finish();
    assert_eq!(seen.matching("dns_done coalesced=true").len(), 2);
    assert_eq!(seen.matching("got_conn reused=true").len(), 1);
}

#[test]
fn a_slow_reader_is_the_caller_and_not_the_peer() {
    let client = Client::new().unwrap();
    let mut sim = Sim::new(&client);
    peer_at(&mut sim, once(ok("0123456789")).expect_gone());
    let request = client.get("http://example.com/").unwrap();
    let outcome = sim.run_as(request, Caller::new().reads(5, ms(100_000)));
    assert_eq!(outcome.ended(), ms(300_000));
    assert_eq!(outcome.into_result().unwrap().text(), "0123456789");
    sim.finish().assert_sequence(["call_done error=null"]);
}

#[test]
fn a_total_that_passes_between_reads_fires_though_bytes_are_there() {
    let client = Client::builder()
        .timeouts(|t| t.total = Some(ms(1_000)))
        .build()
        .unwrap();
    let mut sim = Sim::new(&client);
    let endless = Script::new()
        .send("1000\r\n")
        .send_repeated(b'x', 4096)
        .send("\r\n");
    let script =
        once("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").repeat(1000, endless);
    peer_at(&mut sim, script.expect_gone());
    let request = client.get("http://example.com/").unwrap();
    let outcome = sim.run_as(request, Caller::new().reads(1000, ms(10)));
    let error = outcome.error().unwrap().kind();
    assert_eq!(error, ErrorKind::Timeout(Timer::Total));
    assert!(outcome.ended() < ms(2_000), "{:?}", outcome.ended());
    sim.finish();
}

/// A source that never ends and gives little at a time.
struct Drops;

impl Read for Drops {
    fn read(&mut self, into: &mut [u8]) -> std::io::Result<usize> {
        let drop = into.len().min(10);
        into[..drop].fill(b'x');
        Ok(drop)
    }
}

#[test]
fn a_total_that_passes_while_an_upload_goes_on_fires() {
    let client = Client::builder()
        .timeouts(|t| t.total = Some(ms(1_000)))
        .build()
        .unwrap();
    let mut sim = Sim::new(&client);
    peer_at(&mut sim, Script::new().expect_request());
    let request = client.post("http://example.com/").unwrap();
    let request = request.body_reader(Drops);
    let outcome = sim.run_as(request, Caller::new().source_takes(ms(10)));
    let error = outcome.error().unwrap().kind();
    assert_eq!(error, ErrorKind::Timeout(Timer::Total));
    assert!(outcome.ended() < ms(1_100), "{:?}", outcome.ended());
    sim.finish();
}

#[test]
fn a_body_that_is_complete_when_its_late_bytes_are_read_is_no_timeout() {
    let client = Client::builder()
        .timeouts(|t| t.total = Some(ms(1_000)))
        .build()
        .unwrap();
    let mut sim = Sim::new(&client);
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    let script = once(head).pause(ms(100)).send("5\r\nhello\r\n0\r\n\r\n");
    peer_at(&mut sim, script.expect_gone());
    let request = client.get("http://example.com/").unwrap();
    let outcome = sim.run_as(request, Caller::new().reads(1000, ms(1_500)));
    assert_eq!(outcome.into_result().unwrap().text(), "hello");
    sim.finish();
}

#[test]
fn names_fail_as_they_are_told_to() {
    let client = Client::new().unwrap();
    let mut sim = Sim::new(&client);
    let failing =
        |family| move |name: Name| name.family(family, ms(1), Err(LookupFailure::Temporary));
    sim.name(
        "failing.example",
        failing(Family::V4)(failing(Family::V6)(Name::default())),
    );
    sim.name("empty.example", Name::default());
    for (host, failure) in [
        ("failing.example", LookupFailure::Temporary),
        ("empty.example", LookupFailure::NoAddress),
        ("unknown.example", LookupFailure::NoSuchHost),
    ] {
        let url = format!("http://{host}/");
        let error = sim.run(client.get(&url).unwrap()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Lookup(failure), "{host}");
    }
    sim.finish();
}

#[test]
fn a_canceled_call_ends_at_that_moment() {
    let client = Client::new().unwrap();
    let mut sim = Sim::new(&client);
    peer_at(&mut sim, Script::new().expect_request().stall());
    let request = client.get("http://example.com/").unwrap();
    let outcome = sim.run_as(request, Caller::new().cancels_in(ms(33)));
    assert_eq!(outcome.ended(), ms(33));
    assert!(outcome.error().unwrap().is_canceled());
    sim.finish()
        .assert_sequence(["call_canceled by=caller phase=first_byte", "call_done"]);
}

#[test]
fn a_dial_that_waits_for_the_second_family_with_no_address_left_sleeps() {
    let client = Client::new().unwrap();
    let mut sim = Sim::new(&client);
    let refusing = ["192.0.2.1".parse().unwrap()];
    let name = Name::default()
        .family(Family::V4, ms(100), Ok(&refusing))
        .family(Family::V6, ms(2_000), Ok(&[]));
    sim.name("example.com", name);
    let error = sim
        .run(client.get("http://example.com/").unwrap())
        .unwrap_err();
    assert_eq!(
        (error.kind(), sim.elapsed()),
        (ErrorKind::Connect, ms(2_000))
    );
    assert!(sim.steps() < 50, "{} turns", sim.steps());
    sim.finish();
}

#[test]
fn what_goes_against_a_script_is_told() {
    let client = Client::new().unwrap();
    let mut sim = Sim::new(&client);
    peer_at(&mut sim, Script::new().expect_bytes("POST"));
    let request = client.get("http://example.com/").unwrap();
    assert!(sim.run(request).is_err());
    let [failure] = sim.failures() else {
        panic!("{:?}", sim.failures());
    };
    let expected = "192.0.2.1:80 connection 0, step 0 (expect_bytes): expected \"POST\"; unread:";
    assert!(failure.starts_with(expected), "{failure}");
    sim.finish();
}

#[test]
fn a_post_that_began_to_leave_under_tls_is_not_sent_twice() {
    let client = Client::new().unwrap();
    for end in [Script::new().close(), Script::new().reset()] {
        let mut sim = Sim::new(&client);
        let script = Script::new()
            .expect_head()
            .send(ok("first"))
            .expect_head()
            .followed_by(end);
        let addr = "192.0.2.1:443".parse().unwrap();
        let link = Link::new().latency(ms(5)).window_bytes(500);
        let listening = sim.listen(addr, script).then(serve(ok("again")));
        listening.link(link).tls(Handshake::Made { trips: 1 });
        let url = "https://192.0.2.1/";
        sim.run(client.get(url).unwrap()).unwrap();
        let post = client.post(url).unwrap().body(vec![b'x'; 5000]);
        let error = sim.run(post).unwrap_err();
        assert_eq!(error.repeat(), Repeat::MayHaveBeenProcessed, "{error}");
        sim.finish().none(EventKind::Retry);
    }
}

/// In a process of its own, whose environment is its own.
#[test]
fn proxies_of_the_environment_are_not_of_this_world() {
    let ran = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "simulated::every_deadline_fires_at_its_moment"])
        .env("http_proxy", "http://proxy.invalid:1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&ran.stdout);
    assert!(said.contains("1 passed"), "{said}");
}
