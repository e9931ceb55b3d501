//! What we write, byte by byte.

use std::io::{self, Read};

use wirescope::error::{FieldError, RequestRule};
use wirescope::event::EventKind;
use wirescope::testkit::check::check;
use wirescope::testkit::{Peer, Script, SeenRequest};
use wirescope::{Error, ErrorKind, Request};

use crate::harness::{Lab, PATIENCE, ok, run, serve};

/// Sends requests over one connection and gives back every byte of it that the peer read, with the field lines
/// that are always the same replaced by `<usual>`.
fn wire(requests: impl FnOnce(&Lab) -> Vec<Request>) -> String {
    let lab = Lab::new([serve(ok(""))]);
    for request in requests(&lab) {
        run(request).unwrap();
    }
    assert_eq!(lab.peer.connections(), 1);
    let bytes = lab.peer.received().remove(0);
    let usual = lab.usual();
    lab.finish();
    String::from_utf8(bytes).unwrap().replace(&usual, "<usual>")
}

/// A reader that gives these pieces, one for each read.
struct Pieces(Vec<&'static [u8]>);

impl Read for Pieces {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.0.is_empty() {
            return Ok(0);
        }
        let piece = self.0.remove(0);
        into[..piece.len()].copy_from_slice(piece);
        Ok(piece.len())
    }
}

#[test]
fn rfc_a2_rfc_a3_rfc_a4_w01_nothing_stands_before_between_or_behind_requests() {
    let bytes = wire(|lab| {
        vec![
            lab.request("GET", "/a"),
            lab.request("POST", "/b").body("hello"),
            lab.request("HEAD", "/c"),
            lab.request("PUT", "/d").body_reader(Pieces(vec![b"x"])),
            lab.request("DELETE", "/e"),
        ]
    });
    assert_eq!(
        bytes,
        "GET /a HTTP/1.1\r\n<usual>\r\n\
         POST /b HTTP/1.1\r\n<usual>Content-Length: 5\r\n\r\nhello\
         HEAD /c HTTP/1.1\r\n<usual>\r\n\
         PUT /d HTTP/1.1\r\n<usual>Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n\
         DELETE /e HTTP/1.1\r\n<usual>\r\n"
    );
}

#[test]
fn rfc_a5_request_lines_of_8000_bytes_and_more_can_be_sent() {
    for bytes in [8000, 60_000] {
        let target = format!("/{}?{}", "p".repeat(bytes / 2), "q".repeat(bytes / 2));
        let sent = wire(|lab| vec![lab.request("GET", &target)]);
        assert_eq!(sent, format!("GET {target} HTTP/1.1\r\n<usual>\r\n"));
    }
}

#[test]
fn rfc_a6_rfc_a7_the_target_is_path_and_query() {
    for (written, sent) in [
        ("", "/"),
        ("/", "/"),
        ("?a=b", "/?a=b"),
        ("#fragment", "/"),
        ("?#f", "/?"),
        ("/a/b?c=d#e", "/a/b?c=d"),
        ("//x", "//x"),
        ("/%41%2f", "/%41%2f"),
    ] {
        let bytes = wire(|lab| vec![lab.request("GET", written)]);
        assert_eq!(
            bytes,
            format!("GET {sent} HTTP/1.1\r\n<usual>\r\n"),
            "{written}"
        );
    }
}

#[test]
fn rfc_a10_options_for_the_whole_server_is_an_asterisk() {
    let bytes = wire(|lab| {
        vec![
            lab.request("OPTIONS", "/").asterisk(),
            lab.request("OPTIONS", "/"),
        ]
    });
    assert_eq!(
        bytes,
        "OPTIONS * HTTP/1.1\r\n<usual>\r\nOPTIONS / HTTP/1.1\r\n<usual>\r\n"
    );
    let lab = Lab::new([serve(ok(""))]);
    for method in ["GET", "POST", "HEAD", "TRACE"] {
        let refused = run(lab.request(method, "/").asterisk()).unwrap_err();
        assert!(refused.is_local(), "{method}");
    }
    let connect = lab.client.request("CONNECT", &lab.peer.url("/"));
    let refused = connect.and_then(run).unwrap_err();
    assert!(refused.is_local());
    assert_eq!(lab.peer.connections(), 0);
    lab.finish();
}

#[test]
fn rfc_a11_rfc_a12_rfc_a13_rfc_a16_host_is_first_and_says_no_userinfo() {
    let lab = Lab::new([serve(ok(""))]);
    let addr = lab.peer.addr();
    let request = lab
        .client
        .get(&format!("http://user:secret@{addr}/x"))
        .unwrap();
    run(request).unwrap();
    let head = lab.peer.requests()[0].head.clone();
    let head = String::from_utf8(head).unwrap();
    assert!(
        head.starts_with(&format!("GET /x HTTP/1.1\r\nHost: {addr}\r\nUser-Agent: ")),
        "{head}"
    );
    assert!(head.contains("\r\nAuthorization: Basic dXNlcjpzZWNyZXQ=\r\n"));
    assert!(!head.contains('@') && !head.contains("secret"), "{head}");
    let seen = lab.finish();
    let told = seen.transcript().to_string();
    assert!(
        !told.contains("secret") && !told.contains("dXNlcjpzZWNyZXQ"),
        "{told}"
    );
}

#[test]
fn rfc_a21_rfc_a26_fields_keep_their_case_and_order() {
    let bytes = wire(|lab| {
        let request = lab.request("GET", "/");
        vec![
            request
                .header("x-uPPer", "1")
                .unwrap()
                .header("Accept-Language", "de")
                .unwrap()
                .header("X-UPPER", "2")
                .unwrap()
                .header("x-empty", "")
                .unwrap(),
        ]
    });
    assert_eq!(
        bytes.replace("x-empty: \r\n", "x-empty:\r\n"),
        "GET / HTTP/1.1\r\n<usual>x-uPPer: 1\r\nAccept-Language: de\r\nX-UPPER: 2\r\nx-empty:\r\n\r\n"
    );
}

#[test]
fn rfc_b1_rfc_b2_rfc_b4_rfc_b16_framing_of_requests() {
    for (method, body, framing) in [
        ("POST", None, "Content-Length: 0\r\n"),
        ("PUT", None, "Content-Length: 0\r\n"),
        ("PATCH", None, "Content-Length: 0\r\n"),
        ("GET", None, ""),
        ("HEAD", None, ""),
        ("DELETE", None, ""),
        ("OPTIONS", None, ""),
        ("POST", Some(""), "Content-Length: 0\r\n"),
        ("POST", Some("abc"), "Content-Length: 3\r\n"),
    ] {
        let bytes = wire(|lab| {
            let request = lab.request(method, "/");
            vec![match body {
                None => request,
                Some(body) => request.body(body),
            }]
        });
        let body = body.unwrap_or_default();
        assert_eq!(
            bytes,
            format!("{method} / HTTP/1.1\r\n<usual>{framing}\r\n{body}")
        );
    }
    let sized = wire(|lab| vec![lab.request("POST", "/").body_sized_reader(&b"abc"[..], 3)]);
    assert_eq!(
        sized,
        "POST / HTTP/1.1\r\n<usual>Content-Length: 3\r\n\r\nabc"
    );
    let empty = wire(|lab| vec![lab.request("POST", "/").body_sized_reader(io::empty(), 0)]);
    assert_eq!(empty, "POST / HTTP/1.1\r\n<usual>Content-Length: 0\r\n\r\n");
}

/// Sends a body whose declared length is wrong; gives the error and what the peer read.
fn mismatched(source: Vec<u8>, declared: u64) -> (Error, Vec<u8>) {
    let lab = Lab::new([Script::new().expect_gone(), serve(ok(""))]);
    let request = lab.request("POST", "/");
    let error = run(request.body_sized_reader(io::Cursor::new(source), declared)).unwrap_err();
    assert!(!lab.get("/").unwrap().reused);
    lab.client.close_idle();
    assert!(lab.peer.wait_until_closed(PATIENCE));
    let bytes = lab.peer.received().remove(0);
    let seen = lab.finish();
    seen.assert_sequence([
        "wrote_request error=body_source",
        "put_idle_conn error=body_source",
        "conn_closed reason=body_source by=local",
    ]);
    let head = bytes.windows(4).position(|at| at == b"\r\n\r\n");
    let body = head.map_or(bytes.len(), |head| head + 4);
    (error, bytes[body..].to_vec())
}

#[test]
fn rfc_b5_w02_a_body_of_another_length_is_an_error_and_its_excess_never_sent() {
    for given in [0, 3, 300_000, 599_999] {
        let declared = if given < 5 { 5 } else { 600_000 };
        let body = vec![b'x'; given];
        let (error, sent) = mismatched(body.clone(), declared);
        let kind = ErrorKind::LocalBodyShort {
            sent: given as u64,
            declared,
        };
        assert_eq!(error.kind(), kind);
        assert!(sent == body || sent.is_empty() && given == 0);
    }
    for (given, declared) in [(8, 5), (300_001, 300_000), (900_000, 600_000)] {
        let (error, sent) = mismatched(vec![b'x'; given], declared);
        assert_eq!(error.kind(), ErrorKind::LocalBodyLong { declared });
        assert!(sent.len() as u64 <= declared, "{}", sent.len());
    }
    let lab = Lab::new([serve(ok(""))]);
    let request = lab.request("POST", "/").body("abc");
    let refused = run(request.header("Content-Length", "4").unwrap()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::LocalField(FieldError::Framing));
    lab.finish();
}

#[test]
fn r08_an_error_of_the_source_is_the_callers_own_and_told_once() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("the disk is gone"))
        }
    }
    let lab = Lab::new([Script::new().expect_head().expect_gone()]);
    let error = run(lab.request("POST", "/").body_reader(Broken)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LocalBodySource);
    let source = std::error::Error::source(&error).unwrap();
    assert_eq!(source.to_string(), "the disk is gone");
    lab.finish();
}

#[test]
fn rfc_b6_rfc_b7_framing_fields_of_the_caller() {
    let chunked = wire(|lab| {
        let request = lab.request("POST", "/").body_sized_reader(&b"abc"[..], 3);
        vec![request.header("Transfer-Encoding", "chunked").unwrap()]
    });
    assert_eq!(
        chunked,
        "POST / HTTP/1.1\r\n<usual>Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"
    );
    let lab = Lab::new([serve(ok(""))]);
    for fields in [
        &[("Transfer-Encoding", "gzip")][..],
        &[("Transfer-Encoding", "gzip, chunked")],
        &[("Transfer-Encoding", "chunked"), ("Content-Length", "3")],
        &[
            ("Transfer-Encoding", "chunked"),
            ("Transfer-Encoding", "chunked"),
        ],
        &[("Content-Length", "3"), ("Content-Length", "3")],
    ] {
        let mut request = lab.request("POST", "/").body_reader(&b"abc"[..]);
        for (name, value) in fields {
            request = request.header(name, value).unwrap();
        }
        let error = run(request).unwrap_err();
        assert!(
            matches!(error.kind(), ErrorKind::LocalField(_)),
            "{fields:?}"
        );
    }
    assert_eq!(lab.peer.connections(), 0);
    lab.finish();
}

#[test]
fn rfc_b8_rfc_b10_w06_chunks_and_trailers_on_the_wire() {
    let bytes = wire(|lab| {
        let pieces = Pieces(vec![b"a", b"0123456789abcdef", b"zz"]);
        let request = lab.request("POST", "/").body_reader(pieces);
        vec![
            request
                .trailer("X-Sum", "1")
                .unwrap()
                .trailer("x-other", "2")
                .unwrap(),
            lab.request("POST", "/").body_reader(io::empty()),
        ]
    });
    assert_eq!(
        bytes,
        "POST / HTTP/1.1\r\n<usual>Trailer: X-Sum, x-other\r\nTransfer-Encoding: chunked\r\n\r\n\
         1\r\na\r\n10\r\n0123456789abcdef\r\n2\r\nzz\r\n0\r\nX-Sum: 1\r\nx-other: 2\r\n\r\n\
         POST / HTTP/1.1\r\n<usual>Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    );
}

#[test]
fn rfc_b8_a_long_chunked_body_arrives_whole() {
    let body: Vec<u8> = (0..1_000_003_u32).map(|byte| byte as u8).collect();
    let lab = Lab::new([serve(ok(""))]);
    let request = lab.request("POST", "/");
    run(request.body_reader(io::Cursor::new(body.clone()))).unwrap();
    assert!(lab.peer.requests()[0].body == body);
    let seen = lab.finish();
    seen.assert_sequence([
        "request_body_start framing=chunked",
        "request_body_done bytes=1000003 aborted=false",
        "wrote_request error=null body_bytes=1000044",
    ]);
}

#[test]
fn rfc_b9_rfc_b11_rfc_b12_rfc_b13_what_a_request_may_not_be_is_refused_before_any_io() {
    let lab = Lab::new([serve(ok(""))]);
    let rule = |request: Result<Request, Error>| match request.and_then(run).unwrap_err().kind() {
        ErrorKind::LocalRequest(rule) => Ok(rule),
        ErrorKind::LocalField(rule) => Err(rule),
        other => panic!("{other:?}"),
    };
    for name in [
        "Content-Length",
        "Transfer-Encoding",
        "Host",
        "Authorization",
        "Cookie",
        "Set-Cookie",
        "Cache-Control",
        "Content-Type",
        "TE",
        "Trailer",
    ] {
        let request = lab.request("POST", "/").body_reader(io::empty());
        let told = rule(request.trailer(name, "x"));
        assert_eq!(told, Err(FieldError::NotInTrailers), "{name}");
    }
    for method in ["GET", "HEAD", "DELETE"] {
        let request = lab.request(method, "/").body("x");
        assert_eq!(rule(Ok(request)), Ok(RequestRule::BodyNotAllowed));
    }
    let trace = rule(Ok(lab.request("TRACE", "/")));
    assert_eq!(trace, Ok(RequestRule::TraceMethod));
    let options = rule(Ok(lab.request("OPTIONS", "/").body("x")));
    assert_eq!(options, Ok(RequestRule::OptionsContentType));
    assert_eq!(lab.peer.connections(), 0);
    lab.finish();
}

#[test]
fn rfc_b14_a_body_invents_no_content_type() {
    let lab = Lab::new([serve(ok(""))]);
    run(lab.request("POST", "/").body("abc")).unwrap();
    let request = &lab.peer.requests()[0];
    assert_eq!(request.field("content-type"), None);
    assert_eq!(request.field("content-encoding"), None);
    assert_eq!(request.field("expect"), None);
    lab.finish();
}

#[test]
fn w08_head_and_body_leave_in_one_write() {
    let lab = Lab::new([serve(ok(""))]);
    run(lab.request("POST", "/").body("abc")).unwrap();
    run(lab.request("POST", "/").body_sized_reader(&b"abc"[..], 3)).unwrap();
    let seen = lab.finish();
    let writes = seen.matching("wrote_request write_calls=1 body_bytes=3");
    assert_eq!(writes.len(), 2, "{}", seen.transcript());
}

#[test]
fn v21_bytes_in_events_are_the_bytes_that_the_peer_saw() {
    let lab = Lab::new([serve(ok("answer"))]);
    run(lab.request("POST", "/x").body("abc")).unwrap();
    run(lab
        .request("PUT", "/x")
        .body_reader(Pieces(vec![b"1", b"22"])))
    .unwrap();
    let sent = lab.peer.received()[0].len();
    let received = 2 * ok("answer").len();
    let seen = lab.finish();
    let closed = seen.one(EventKind::ConnClosed).payload_json();
    assert!(
        closed.contains(&format!("\"bytes_out\":{sent},\"bytes_in\":{received}")),
        "{closed} {sent} {received}"
    );
}

#[test]
fn a_peer_that_reads_slowly_gets_every_byte() {
    let body: Vec<u8> = (0..3_000_000_u32).map(|byte| (byte * 7) as u8).collect();
    let peer = Peer::builder()
        .script(serve(ok("")))
        .receive_buffer_bytes(4096);
    let lab = Lab::with(peer, |client| client);
    run(lab.request("POST", "/").body(body.clone())).unwrap();
    assert!(lab.peer.requests()[0].body == body);
    lab.finish();
}

#[test]
fn rfc_a14_an_empty_authority_is_refused() {
    let lab = Lab::new([serve(ok(""))]);
    for url in ["http:///x", "http://:80/", "http://user@/", "https://"] {
        let error = lab.client.get(url).unwrap_err();
        assert!(matches!(error.kind(), ErrorKind::LocalUrl(_)), "{url}");
    }
    lab.finish();
}

#[test]
fn rfc_a19_rfc_a28_rfc_a35_rfc_a36_what_we_add_is_this_and_no_more() {
    let lab = Lab::new([serve(ok(""))]);
    for method in ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
        run(lab.request(method, "/")).unwrap();
        run(lab.request(method, "/again")).unwrap();
    }
    for request in lab.peer.requests() {
        let head = String::from_utf8(request.head).unwrap();
        let lines = head.trim_end().lines().skip(1);
        let names: Vec<_> = lines.map(|line| line.split(':').next().unwrap()).collect();
        let (usual, rest) = names.split_at(3);
        assert_eq!(usual, ["Host", "User-Agent", "Accept"]);
        assert!(rest.is_empty() || rest == ["Content-Length"], "{head}");
        assert!(!head.contains("q="));
    }
    lab.finish();
}

#[test]
fn rfc_a29_fields_of_one_connection_are_refused_as_long_as_nothing_names_them() {
    let lab = Lab::new([serve(ok(""))]);
    for name in [
        "TE",
        "Upgrade",
        "Keep-Alive",
        "Proxy-Connection",
        "HTTP2-Settings",
    ] {
        let error = run(lab.request("GET", "/").header(name, "x").unwrap()).unwrap_err();
        let kind = ErrorKind::LocalField(FieldError::ConnectionOwned);
        assert_eq!(error.kind(), kind, "{name}");
    }
    assert_eq!(lab.peer.connections(), 0);
    lab.finish();
}

#[test]
fn rfc_a29_rfc_a31_rfc_d17_trailers_are_asked_for_and_read() {
    let answer =
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-Sum: 209\r\n\r\n";
    let lab = Lab::new([serve(answer)]);
    let request = lab.request("GET", "/").te_trailers().unwrap();
    let mut response = request.send().unwrap();
    assert_eq!(response.trailers(), None);
    assert_eq!(response.text(100).unwrap(), "hi");
    let trailers = response.trailers().unwrap();
    assert_eq!(trailers.get_str("x-sum"), Some("209"));
    assert_eq!(response.header("x-sum"), None);
    drop(response);
    let head = String::from_utf8(lab.peer.received().remove(0)).unwrap();
    assert!(
        head.ends_with("TE: trailers\r\nConnection: TE\r\n\r\n"),
        "{head}"
    );
    lab.finish();
}

#[test]
fn rfc_f15_basic_credentials_have_no_colon_in_the_name_and_no_control() {
    let lab = Lab::new([serve(ok(""))]);
    for (user, password) in [("a:b", "c"), ("a\r", "c"), ("a", "c\n"), ("a\0", "")] {
        let error = lab.request("GET", "/").basic_auth(user, password);
        let kind = ErrorKind::LocalRequest(RequestRule::Credentials);
        assert_eq!(error.unwrap_err().kind(), kind);
    }
    let request = lab.request("GET", "/").basic_auth("\u{e4}", "b:c");
    run(request.unwrap()).unwrap();
    let sent = lab.peer.requests()[0]
        .field("authorization")
        .map(str::to_owned);
    assert_eq!(sent.as_deref(), Some("Basic w6Q6Yjpj"));
    lab.finish();
}

#[test]
fn credentials_in_the_url_give_way_to_a_field_of_the_callers() {
    let answer = |_: &SeenRequest| b"HTTP/1.1 204 No Content\r\n\r\n".to_vec();
    let peer = Peer::start(Script::new().respond_with(answer)).unwrap();
    let (client, events) = crate::support::watched(|builder| builder);
    let url = peer.url("/").replace("http://", "http://u:p%40@");
    client.get(&url).unwrap().send().unwrap();
    let own = client.get(&url).unwrap().header("authorization", "Own x");
    own.unwrap().send().unwrap();
    let basic = client.get(&url).unwrap().basic_auth("a", "b");
    basic.unwrap().send().unwrap();
    assert!(client.get(&url.replace("u:", "u%0a:")).is_err());
    drop(client);
    check(&events);
    let requests = peer.requests();
    let seen: Vec<_> = requests
        .iter()
        .map(|request| request.field("authorization"))
        .collect();
    assert_eq!(
        seen,
        [Some("Basic dTpwQA=="), Some("Own x"), Some("Basic YTpi")]
    );
}

#[test]
fn rfc_b3_an_origin_that_answered_http_1_0_gets_a_length_or_nothing() {
    let answers = [
        "HTTP/1.0 204 No Content\r\n\r\n",
        "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n",
    ];
    let peer = Peer::builder()
        .scripts(
            [0, 0, 1, 1].map(|which| Script::new().expect_request().send(answers[which]).close()),
        )
        .start()
        .unwrap();
    let (client, events) = crate::support::watched(|builder| builder);
    let url = peer.url("/");
    let stream = || client.put(&url).unwrap().body_reader(&b"x"[..]).send();
    let sized = || client.put(&url).unwrap().body("x").send();
    assert_eq!(stream().unwrap().status(), 204, "assumed to be HTTP/1.1");
    let error = stream().unwrap_err();
    assert_eq!(
        error.kind(),
        ErrorKind::LocalRequest(RequestRule::ChunkedToHttp10)
    );
    assert!(error.is_local());
    assert_eq!(sized().unwrap().status(), 204);
    assert!(stream().is_err());
    assert_eq!(sized().unwrap().status(), 204, "which is HTTP/1.1 now");
    assert_eq!(stream().unwrap().status(), 204);
    drop(client);
    check(&events);
    let codings: Vec<_> = (peer.requests().iter())
        .map(|request| request.field("transfer-encoding").is_some())
        .collect();
    assert_eq!(codings, [true, false, false, true]);
}
