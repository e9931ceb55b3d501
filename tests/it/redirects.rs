//! Redirects: what is followed, what is not and why, and what goes along.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use wirescope::error::{Limit, RedirectRule, Repeat};
use wirescope::event::{Event, EventKind, Interest, Observer, RedirectRefusal, Verdict};
use wirescope::testkit::{Peer, RefusedPort, Script, SeenRequest};
use wirescope::{ErrorKind, HopRequest, RedirectPolicy, Response, Result, RoundTrip};

use crate::harness::Lab;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

/// A redirect with a small body.
fn moved(status: u16, location: &str) -> String {
    format!("HTTP/1.1 {status} Moved\r\nLocation: {location}\r\nContent-Length: 5\r\n\r\nmoved")
}

/// A peer that gives these answers in turn, over any connection, and then `ok`.
fn answers(answers: impl IntoIterator<Item = String>) -> Script {
    let left = Mutex::new(answers.into_iter().collect::<VecDeque<_>>());
    Script::new().respond_with(move |_| {
        let next = left.lock().unwrap().pop_front();
        next.unwrap_or_else(|| OK.to_owned()).into_bytes()
    })
}

fn lines(peer: &Peer) -> Vec<String> {
    let line = |request: &SeenRequest| format!("{} {}", request.method(), request.target());
    peer.requests().iter().map(line).collect()
}

#[test]
fn d07_a_redirect_is_followed_over_the_same_connection() {
    let lab = Lab::new([answers([moved(302, "/b?q#f"), moved(301, "c")])]);
    let mut response = lab.request("GET", "/a/x").send().unwrap();
    assert_eq!(response.collect(10).unwrap(), b"ok");
    assert_eq!(response.url().path(), "/c");
    assert_eq!(response.url().fragment(), Some("f"));
    assert!(response.is_connection_reused());
    let hops: Vec<_> = (response.history().iter())
        .map(|hop| (hop.url().path(), hop.status(), hop.is_connection_reused()))
        .collect();
    assert_eq!(hops, [("/a/x", 302, false), ("/b", 301, true)]);
    let locations = (response.history().iter()).map(|hop| hop.fields().get_str("location"));
    assert!(locations.eq([Some("/b?q#f"), Some("c")]));
    let timings = response.timings();
    assert_eq!(timings.hops().len(), 2);
    assert!(timings.phases().redirect.is_some());
    assert_eq!(lines(&lab.peer), ["GET /a/x", "GET /b?q", "GET /c"]);
    assert_eq!(lab.peer.connections(), 1);
    drop(response);
    let seen = lab.finish();
    seen.assert_sequence([
        "got_response_head status=302",
        "redirect status=302 followed=true cross_origin=false method_after=GET",
        "response_body_done how=complete",
        "put_idle_conn error=null",
        "attempt_done status=302 error=null retry=null",
        "get_conn",
        "got_conn reused=true",
        "redirect status=301 followed=true",
        "attempt_done status=301",
        "got_conn reused=true",
        "call_done status=200 hops=3 attempts=3",
    ]);
}

#[test]
fn rfc_f3_rfc_f4_a_post_becomes_a_get_without_its_content() {
    for status in [301, 302, 303] {
        let lab = Lab::new([answers([moved(status, "/next")])]);
        let request = lab
            .request("POST", "/form")
            .header("Content-Type", "text/plain")
            .unwrap()
            .header("Content-Language", "en")
            .unwrap()
            .header("Digest", "sha-256=x")
            .unwrap()
            .header("X-Kept", "1")
            .unwrap()
            .body("hello");
        assert_eq!(request.send().unwrap().status(), 200);
        let requests = lab.peer.requests();
        assert_eq!(lines(&lab.peer), ["POST /form", "GET /next"]);
        let second = &requests[1];
        for name in [
            "content-type",
            "content-language",
            "content-length",
            "digest",
            "transfer-encoding",
        ] {
            assert_eq!(second.field(name), None, "{status} {name}");
        }
        assert_eq!(second.field("x-kept"), Some("1"));
        assert!(second.body.is_empty());
        lab.finish();
    }
}

#[test]
fn rfc_f2_307_and_308_send_the_body_again() {
    for status in [307, 308] {
        let lab = Lab::new([answers([moved(status, "/next")])]);
        let request = lab
            .request("POST", "/form")
            .header("Content-Type", "text/plain")
            .unwrap()
            .body("hello");
        assert_eq!(request.send().unwrap().status(), 200);
        let requests = lab.peer.requests();
        assert_eq!(lines(&lab.peer), ["POST /form", "POST /next"]);
        for request in &requests {
            assert_eq!(request.body, b"hello");
            assert_eq!(request.field("content-type"), Some("text/plain"));
        }
        lab.finish();
    }
}

#[test]
fn rfc_f2_a_body_from_a_maker_is_sent_again() {
    let lab = Lab::new([answers([moved(307, "/next")])]);
    let request = lab
        .request("PUT", "/file")
        .body_from(|| Ok(&b"made anew"[..]), None);
    assert_eq!(request.send().unwrap().status(), 200);
    let requests = lab.peer.requests();
    assert_eq!(requests.len(), 2);
    for request in &requests {
        assert_eq!(request.body, b"made anew");
        assert_eq!(request.field("transfer-encoding"), Some("chunked"));
    }
    lab.finish();
}

#[test]
fn rfc_f2_a_body_that_cannot_be_given_again_stops_the_redirect() {
    let lab = Lab::new([answers([moved(307, "/next")])]);
    let request = lab.request("POST", "/form").body_reader(&b"hello"[..]);
    let mut response = request.send().unwrap();
    assert_eq!(response.status(), 307);
    assert_eq!(
        response.redirect_refusal(),
        Some(RedirectRefusal::BodyNotReplayable)
    );
    assert_eq!(response.collect(10).unwrap(), b"moved");
    drop(response);
    assert_eq!(lab.peer.request_count(), 1);
    lab.finish().assert_sequence([
        "redirect followed=false refusal=body_not_replayable",
        "call_done status=307 hops=1",
    ]);
}

#[test]
fn rfc_f1_a_cycle_ends_by_the_limit_and_the_error_has_the_last_response() {
    let lab = Lab::new([Script::new().respond_with(|_| moved(302, "/again").into_bytes())]);
    let error = lab.request("GET", "/again").send().unwrap_err();
    assert_eq!(
        error.kind(),
        ErrorKind::Limit {
            limit: Limit::Redirects,
            max: 20
        }
    );
    let (status, fields) = error.redirect().unwrap();
    assert_eq!((status, fields.get_str("location")), (302, Some("/again")));
    assert_eq!(lab.peer.request_count(), 21);
    lab.finish().assert_sequence([
        "redirect followed=false refusal=too_many",
        "attempt_done status=302",
        "call_done hops=21 attempts=21",
    ]);
}

#[test]
fn rfc_f10_a_bad_location_is_an_error_that_has_the_response() {
    for (location, is_userinfo) in [("http://u:secret-canary@a/", true), ("http:///x", false)] {
        let lab = Lab::new([answers([moved(302, location)])]);
        let error = lab.request("GET", "/").send().unwrap_err();
        assert!(matches!(
            error.kind(),
            ErrorKind::PeerRedirect(RedirectRule::Location(_))
        ));
        assert_eq!(error.redirect().unwrap().0, 302);
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains("secret-canary"), "{shown}");
        assert!(is_userinfo == shown.contains("Userinfo"), "{shown}");
        let seen = lab.finish();
        seen.assert_sequence(["redirect followed=false refusal=bad_location", "call_done"]);
    }
}

#[test]
fn d04_redirects_switched_off_are_handed_out() {
    let lab = Lab::new([answers([moved(302, "/b")])]);
    let request = lab.request("GET", "/a").redirects(RedirectPolicy::none());
    let response = request.send().unwrap();
    assert_eq!(response.status(), 302);
    assert_eq!(
        response.redirect_refusal(),
        Some(RedirectRefusal::SwitchedOff)
    );
    drop(response);
    lab.finish()
        .assert_sequence(["redirect followed=false refusal=switched_off"]);
}

#[test]
fn rfc_f6_what_is_about_one_target_is_not_asked_of_the_next() {
    let lab = Lab::new([answers([moved(302, "/b")])]);
    let request = lab
        .request("GET", "/a")
        .header("If-None-Match", "\"x\"")
        .unwrap()
        .header("If-Range", "\"x\"")
        .unwrap()
        .header("Range", "bytes=0-1")
        .unwrap()
        .header("Accept-Language", "en")
        .unwrap();
    assert_eq!(request.send().unwrap().status(), 200);
    let second = &lab.peer.requests()[1];
    for name in ["if-none-match", "if-range", "range"] {
        assert_eq!(second.field(name), None, "{name}");
    }
    assert_eq!(second.field("accept-language"), Some("en"));
    let seen = lab.finish();
    let redirect = seen.only(EventKind::Redirect)[0].payload_json();
    assert!(redirect.contains(r#""stripped":["If-None-Match","If-Range","Range"]"#));
}

#[test]
fn d10_a_host_of_the_callers_holds_for_relative_locations_only() {
    for (location, host) in [("/b", true), ("", false)] {
        let peer = Arc::new(Mutex::new(String::new()));
        let target = peer.clone();
        let script = Script::new().respond_with(move |request| {
            let location = target.lock().unwrap().clone();
            match request.target() {
                "/a" => moved(302, &location).into_bytes(),
                _ => OK.into(),
            }
        });
        let lab = Lab::new([script]);
        let absolute = lab.peer.url("/b");
        *peer.lock().unwrap() = if location.is_empty() {
            absolute
        } else {
            location.to_owned()
        };
        let request = lab.request("GET", "/a").header("Host", "other.test");
        assert_eq!(request.unwrap().send().unwrap().status(), 200);
        let second = lab.peer.requests()[1].field("host").unwrap().to_owned();
        assert_eq!(second == "other.test", host, "{second}");
        lab.finish();
    }
}

#[test]
fn a_long_redirect_body_costs_its_connection_and_not_the_call() {
    let long = format!(
        "HTTP/1.1 302 Found\r\nLocation: /b\r\nContent-Length: {}\r\n\r\n",
        1 << 20
    );
    let lab = Lab::new([
        Script::new().expect_request().send(long),
        Script::new().respond_with(|_| OK.into()),
    ]);
    let response = lab.request("GET", "/a").send().unwrap();
    assert_eq!((response.status(), response.history().len()), (200, 1));
    drop(response);
    lab.finish().assert_sequence([
        "response_body_done how=closed_early",
        "put_idle_conn error=body_not_read",
        "conn_closed reason=body_not_read",
        "attempt_done status=302 error=null",
        "got_conn reused=false",
        "call_done status=200",
    ]);
}

#[test]
fn a_redirect_body_that_stalls_costs_twenty_milliseconds_and_its_connection() {
    let stalled = "HTTP/1.1 302 Found\r\nLocation: /b\r\nContent-Length: 10\r\n\r\nhalf";
    let lab = Lab::new([
        Script::new().expect_request().send(stalled).stall(),
        Script::new().respond_with(|_| OK.into()),
    ]);
    assert_eq!(lab.request("GET", "/a").send().unwrap().status(), 200);
    lab.finish().assert_sequence([
        "redirect followed=true",
        "timeout_fired timer=drain",
        "put_idle_conn error=body_not_read",
        "call_done status=200 hops=2",
    ]);
}

#[test]
fn a_redirect_whose_body_breaks_is_followed_all_the_same() {
    let cut = "HTTP/1.1 302 Found\r\nLocation: /b\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab";
    for end in [Script::new().close(), Script::new().reset()] {
        let first = Script::new().expect_request().send(cut);
        let lab = Lab::new([
            first.followed_by(end),
            Script::new().respond_with(|_| OK.into()),
        ]);
        assert_eq!(lab.request("GET", "/a").send().unwrap().status(), 200);
        lab.finish()
            .assert_sequence(["redirect followed=true", "call_done status=200 hops=2"]);
    }
}

#[test]
fn an_early_redirect_leaves_the_upload() {
    let lab = Lab::new([
        Script::new()
            .expect_head()
            .send("HTTP/1.1 303 See Other\r\nLocation: /b\r\nContent-Length: 0\r\n\r\n")
            .stall(),
        Script::new().respond_with(|_| OK.into()),
    ]);
    let request = lab.request("POST", "/a").body(vec![b'x'; 32 << 20]);
    let response = request.send().unwrap();
    assert_eq!((response.status(), response.history().len()), (200, 1));
    drop(response);
    lab.finish().assert_sequence([
        "wrote_request error=response_ended",
        "put_idle_conn error=upload_unfinished",
        "got_conn reused=false",
        "call_done status=200",
    ]);
}

#[test]
fn rfc_b20_a_417_is_answered_by_the_request_without_expect() {
    let refusal = "HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n";
    let lab = Lab::new([
        Script::new().expect_head().send(refusal),
        Script::new().respond_with(|_| OK.into()),
    ]);
    let request = lab
        .request("POST", "/")
        .expect_continue()
        .body_reader(&b"hello"[..]);
    assert_eq!(request.send().unwrap().status(), 200);
    let requests = lab.peer.requests();
    assert_eq!(requests[0].field("expect"), Some("100-continue"));
    assert_eq!(requests[1].field("expect"), None);
    assert_eq!(requests[1].body, b"hello");
    lab.finish().assert_sequence([
        "expect_done outcome=final_response",
        "wrote_request error=body_skipped",
        "put_idle_conn error=body_skipped",
        "attempt_done status=417 retry=expectation_failed",
        "retry error=null status=417 rule=expectation_failed next=1",
        "wrote_request error=null",
        "call_done status=200 attempts=2 hops=1",
    ]);
}

#[test]
fn rfc_e13_a_408_on_a_kept_connection_is_asked_again_on_a_new_one() {
    let timeout = "HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n";
    let lab = Lab::new([
        Script::new()
            .expect_request()
            .send(OK)
            .expect_request()
            .send(timeout),
        Script::new().respond_with(|_| OK.into()),
    ]);
    assert_eq!(lab.request("GET", "/1").send().unwrap().status(), 200);
    let response = lab.request("POST", "/2").body("x").send().unwrap();
    assert_eq!(response.status(), 200);
    assert!(!response.is_connection_reused());
    drop(response);
    assert_eq!(lines(&lab.peer), ["GET /1", "POST /2", "POST /2"]);
    lab.finish().assert_sequence([
        "conn_closed reason=repeat_elsewhere",
        "retry status=408 rule=request_timeout",
        "got_conn reused=false",
    ]);
}

#[test]
fn rfc_e13_a_408_on_a_new_connection_is_handed_out() {
    let timeout = "HTTP/1.1 408 Request Timeout\r\nContent-Length: 0\r\n\r\n";
    let lab = Lab::new([answers([timeout.to_owned()])]);
    assert_eq!(lab.request("GET", "/").send().unwrap().status(), 408);
    lab.finish().none(EventKind::Retry);
}

#[test]
fn rfc_e14_a_421_is_asked_again_on_a_new_connection() {
    let wrong = "HTTP/1.1 421 Misdirected Request\r\nContent-Length: 5\r\n\r\nwrong";
    let lab = Lab::new([answers([wrong.to_owned(), wrong.to_owned()])]);
    let mut response = lab.request("POST", "/").body("x").send().unwrap();
    assert_eq!(response.status(), 421, "asked again once, and no more");
    assert_eq!(response.collect(10).unwrap(), b"wrong");
    drop(response);
    assert_eq!((lab.peer.request_count(), lab.peer.connections()), (2, 2));
    lab.finish().assert_sequence([
        "conn_closed reason=repeat_elsewhere",
        "retry status=421 rule=misdirected_request",
        "call_done status=421 attempts=2",
    ]);
}

/// Notes every hop and asks with a field of its own.
struct Noting<R> {
    next: R,
    seen: Arc<Mutex<Vec<String>>>,
}

impl<R: RoundTrip> RoundTrip for Noting<R> {
    fn round_trip(&self, mut hop: HopRequest) -> Result<Response> {
        let asked = format!("{} {} {}", hop.number(), hop.method(), hop.url().path());
        hop.set_header("X-Hop", &hop.number().to_string())?;
        assert!(hop.set_header("Host", "x").is_err());
        assert!(hop.set_header("Content-Length", "1").is_err());
        let mut response = self.next.round_trip(hop)?;
        let body = match response.status() {
            302 => response.collect(100)?,
            _ => Vec::new(),
        };
        let got = format!("{} {}", response.status(), String::from_utf8_lossy(&body));
        self.seen.lock().unwrap().push(format!("{asked} -> {got}"));
        Ok(response)
    }
}

#[test]
fn middleware_sees_every_hop_and_may_read_its_response() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let notes = seen.clone();
    let peer = Peer::builder().script(answers([moved(302, "/b"), moved(302, "/c")]));
    let lab = Lab::with(peer, |client| {
        client.wrap(|next| Noting { next, seen: notes })
    });
    let mut response = lab.request("GET", "/a").send().unwrap();
    assert_eq!(response.collect(10).unwrap(), b"ok");
    drop(response);
    assert_eq!(
        *seen.lock().unwrap(),
        [
            "0 GET /a -> 302 moved",
            "1 GET /b -> 302 moved",
            "2 GET /c -> 200 "
        ]
    );
    let requests = lab.peer.requests();
    let fields: Vec<_> = requests.iter().map(|one| one.field("x-hop")).collect();
    assert_eq!(fields, [Some("0"), Some("1"), Some("2")]);
    lab.finish();
}

/// Fails one hop, or gives its response away and answers with an error.
struct Failing<R>(R, usize, bool);

impl<R: RoundTrip> RoundTrip for Failing<R> {
    fn round_trip(&self, hop: HopRequest) -> Result<Response> {
        let is_it = hop.number() == self.1;
        if is_it && self.2 {
            return Err(wirescope::Error::other("not today"));
        }
        let response = self.0.round_trip(hop)?;
        if is_it {
            drop(response);
            return Err(wirescope::Error::other("not today"));
        }
        Ok(response)
    }
}

#[test]
fn middleware_may_fail_a_hop_before_and_after_it() {
    for hop in 0..3 {
        for before in [true, false] {
            let peer = Peer::builder().script(answers([moved(302, "/b"), moved(302, "/c")]));
            let lab = Lab::with(peer, |client| {
                client.wrap(move |next| Failing(next, hop, before))
            });
            let error = lab.request("GET", "/a").send().unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Middleware);
            let source = std::error::Error::source(&error).unwrap().to_string();
            assert_eq!(source, "not today");
            let asked = hop + usize::from(!before);
            assert_eq!(lab.peer.request_count(), asked, "{hop} {before}");
            lab.finish();
        }
    }
}

/// Aborts at an event of this kind.
struct At(EventKind);

impl Observer for At {
    fn interest(&self) -> Interest {
        Interest::ALL
    }

    fn on_event(&self, event: &Event) -> Verdict {
        if event.kind() == self.0 {
            return Verdict::Abort("enough".into());
        }
        Verdict::Continue
    }
}

#[test]
fn an_observer_aborts_between_two_hops() {
    for kind in [
        EventKind::Redirect,
        EventKind::CallStart,
        EventKind::AttemptDone,
        EventKind::PutIdleConn,
    ] {
        let lab = Lab::new([answers([moved(302, "/b")])]);
        let request = lab.request("GET", "/a").observe(At(kind));
        let result = request.send();
        assert_eq!(result.unwrap_err().kind(), ErrorKind::Aborted, "{kind}");
        assert!(lab.peer.request_count() <= 1);
        lab.finish().none(EventKind::Retry);
    }
}

#[test]
fn an_abort_counts_while_the_connection_of_a_redirect_is_closed() {
    let long = "HTTP/1.1 302 Found\r\nLocation: /b\r\nContent-Length: 1000000\r\n\r\n";
    let lab = Lab::new([Script::new().expect_request().send(long).expect_gone()]);
    let error = lab
        .request("GET", "/a")
        .observe(At(EventKind::PutIdleConn))
        .send()
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Aborted);
    let seen = lab.finish();
    seen.assert_sequence([
        "redirect followed=true",
        "put_idle_conn error=body_not_read",
        "call_canceled by=observer",
        "call_done status=302",
    ]);
    assert_eq!(seen.matching("get_conn").len(), 1);
}

#[test]
fn a_redirect_that_comes_with_a_broken_body_is_followed_all_the_same() {
    let broken = "HTTP/1.1 302 Found\r\nLocation: /b\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n";
    let lab = Lab::new([
        Script::new().expect_request().send(broken).expect_gone(),
        Script::new().respond_with(|_| OK.into()),
    ]);
    assert_eq!(lab.request("GET", "/a").send().unwrap().status(), 200);
    lab.finish()
        .assert_sequence(["redirect followed=true", "call_done status=200 hops=2"]);
}

#[test]
fn a_failed_hop_behind_a_post_does_not_say_that_nothing_was_sent() {
    let refused = RefusedPort::reserve().unwrap();
    let location = format!("http://{}/", refused.addr());
    let lab = Lab::new([answers([moved(303, &location)])]);
    let error = lab.request("POST", "/pay").body("1").send().unwrap_err();
    assert_eq!(error.repeat(), Repeat::MayHaveBeenProcessed);
    assert!(!error.may_retry());
    lab.finish();
}

#[test]
fn rfc_f5_secret_trailers_stay_with_their_origin() {
    let other = Lab::new([Script::new().respond_with(|_| OK.into())]);
    let lab = Lab::new([answers([moved(307, &other.peer.url("/b"))])]);
    let request = lab
        .request("POST", "/a")
        .body_from(|| Ok(&b"body"[..]), None)
        .trailer("X-Upload-Token", "s3cret")
        .unwrap()
        .trailer("X-Sum", "1")
        .unwrap();
    assert_eq!(request.send().unwrap().status(), 200);
    let reached = &other.peer.requests()[0];
    assert_eq!(reached.field("trailer"), Some("X-Sum"));
    assert!(!format!("{reached:?}").contains("s3cret"), "{reached:?}");
    lab.finish().assert_sequence(["redirect followed=true"]);
    other.finish();
}

#[test]
fn rfc_b3_a_redirect_of_a_chunked_body_to_an_http_1_0_peer_is_not_followed() {
    let answer = "HTTP/1.0 307 Moved\r\nLocation: /b\r\nContent-Length: 0\r\n\r\n";
    let lab = Lab::new([Script::new().expect_request().send(answer).expect_gone()]);
    let request = lab
        .request("PUT", "/a")
        .body_from(|| Ok(&b"body"[..]), None);
    let response = request.send().unwrap();
    assert_eq!(response.status(), 307);
    assert_eq!(
        response.redirect_refusal(),
        Some(RedirectRefusal::ChunkedToHttp10)
    );
    drop(response);
    lab.finish();
}
