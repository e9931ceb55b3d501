use super::*;
use crate::proto::buffers::Buffer;
use crate::proto::sending::TrailerPlan;

fn wish(method: &str, body: BodyPlan, lines: &[(&str, &str)]) -> Wish {
    let mut fields = Fields::new();
    for (name, value) in lines {
        fields.append(name, value).unwrap();
    }
    let url = Url::parse("http://user:pw@Example.com:8080/p?q").unwrap();
    let manners = Manners {
        keep_alive: true,
        https_only: false,
    };
    let mut wish = Wish::new(Method::new(method).unwrap(), url, None, manners);
    *wish.fields_mut() = fields;
    wish.set_body(body, true);
    wish
}

/// The same wish, changed.
fn but(mut wish: Wish, change: impl FnOnce(&mut Wish)) -> Wish {
    change(&mut wish);
    wish
}

fn source(length: Option<u64>) -> BodyPlan {
    BodyPlan::Source(length, Box::default())
}

fn settled(mut wish: Wish) -> Result<Plan, ErrorKind> {
    let settled = wish.settle(|_| false).map_err(|error| error.kind())?;
    Ok(wish.into_plan(settled))
}

fn head(wish: Wish) -> Result<String, ErrorKind> {
    let plan = settled(wish)?;
    let mut out = Buffer::default();
    plan.head().write(&mut out);
    Ok(String::from_utf8(out.filled().to_vec()).unwrap())
}

fn lines_of(head: &str, name: &str) -> Vec<String> {
    let named = |line: &&str| {
        line.split_once(':')
            .is_some_and(|(field, _)| field.eq_ignore_ascii_case(name))
    };
    head.split("\r\n")
        .filter(named)
        .map(str::to_owned)
        .collect()
}

#[test]
fn rfc_a6_rfc_a11_rfc_a12_rfc_a16_origin_form_and_one_host_without_userinfo() {
    let head = head(wish("GET", BodyPlan::Empty, &[])).unwrap();
    assert!(
        head.starts_with("GET /p?q HTTP/1.1\r\nHost: example.com:8080\r\n"),
        "{head}"
    );
    assert_eq!(lines_of(&head, "host").len(), 1);
    assert!(!head.contains("user") && !head.contains("pw"));
}

#[test]
fn rfc_a10_asterisk_form_is_for_options_only() {
    let options = but(wish("OPTIONS", BodyPlan::Empty, &[]), Wish::ask_all);
    assert!(head(options).unwrap().starts_with("OPTIONS * HTTP/1.1\r\n"));
    for method in ["GET", "POST", "HEAD"] {
        let other = but(wish(method, BodyPlan::Empty, &[]), Wish::ask_all);
        assert_eq!(
            head(other),
            Err(ErrorKind::LocalRequest(RequestRule::AsteriskForm))
        );
    }
}

#[test]
fn rfc_a38_if_range_goes_with_a_range_and_a_strong_validator() {
    let check = |lines: &[(&str, &str)], is_right: bool| {
        let result = head(wish("GET", BodyPlan::Empty, lines));
        let kind = ErrorKind::LocalRequest(RequestRule::IfRange);
        assert_eq!(result.is_ok(), is_right, "{lines:?}");
        assert!(is_right || result == Err(kind), "{lines:?}");
    };
    let range = ("Range", "bytes=0-9");
    check(&[range, ("If-Range", "\"a\"")], true);
    check(
        &[("if-range", "Sun, 06 Nov 1994 08:49:37 GMT"), range],
        true,
    );
    check(&[("If-Range", "\"a\"")], false);
    check(&[range, ("If-Range", "W/\"a\"")], false);
    check(&[range, ("If-Range", "a")], false);
    check(
        &[range, ("If-Range", "Sunday, 06-Nov-94 08:49:37 GMT")],
        false,
    );
}

#[test]
fn rfc_a38_if_range_of_a_middleware_is_held_to_the_same_rule() {
    let mut plan = settled(wish("GET", BodyPlan::Empty, &[])).unwrap();
    let kind = ErrorKind::LocalRequest(RequestRule::IfRange);
    let strong = "\"a\"";
    assert_eq!(plan.set_field("If-Range", strong).unwrap_err().kind(), kind);
    plan.set_field("Range", "bytes=0-9").unwrap();
    let weak = plan.set_field("if-range", "W/\"a\"");
    assert_eq!(weak.unwrap_err().kind(), kind);
    plan.set_field("If-Range", strong).unwrap();
    assert_eq!(plan.remove_field("range"), 1);
    assert!(!plan.fields().contains("If-Range"));
}

#[test]
fn rfc_a25_cve_11_fields_that_stand_once_are_refused_twice_in_any_case() {
    for name in [
        "Host",
        "Content-Length",
        "Transfer-Encoding",
        "Authorization",
        "User-Agent",
        "Referer",
        "Content-Type",
    ] {
        let value = if name == "Content-Length" {
            "0"
        } else {
            "chunked"
        };
        let lines = [(name, value), (&name.to_ascii_lowercase() as &str, value)];
        assert!(
            head(wish("POST", BodyPlan::Empty, &lines)).is_err(),
            "{name}"
        );
    }
    assert!(head(wish("GET", BodyPlan::Empty, &[("X-A", "1"), ("x-a", "2")])).is_ok());
}

#[test]
fn cve_5_a_host_of_the_caller_is_checked() {
    let ok = head(wish(
        "GET",
        BodyPlan::Empty,
        &[("A", "b"), ("host", "other.test:1")],
    ))
    .unwrap();
    assert!(
        ok.starts_with("GET /p?q HTTP/1.1\r\nHost: other.test:1\r\n"),
        "{ok}"
    );
    for bad in ["a b", "a/b", "u@h", "a\tb", "\"x\""] {
        assert!(
            head(wish("GET", BodyPlan::Empty, &[("Host", bad)])).is_err(),
            "{bad}"
        );
    }
}

#[test]
fn rfc_a30_rfc_a31_rfc_f24_fields_of_the_connection_are_the_clients() {
    for (name, value) in [
        ("TE", "chunked"),
        ("TE", "trailers, deflate;q=0.5"),
        ("TE", "trailers;q=0.1"),
        ("Keep-Alive", "timeout=5"),
        ("Proxy-Connection", "close"),
        ("Upgrade", "websocket"),
        ("Connection", "upgrade"),
        ("Connection", "Cache-Control"),
        ("Connection", "close, TE"),
    ] {
        assert_eq!(
            head(wish("GET", BodyPlan::Empty, &[(name, value)])),
            Err(ErrorKind::LocalField(FieldError::ConnectionOwned)),
            "{name}: {value}"
        );
    }
}

#[test]
fn rfc_a29_rfc_a31_rfc_f24_te_of_the_caller_gets_its_connection_option() {
    let check = |lines: &[(&str, &str)], options: &str| {
        let head = head(wish("GET", BodyPlan::Empty, lines)).unwrap();
        assert_eq!(lines_of(&head, "te"), ["TE: trailers"], "{lines:?}");
        let expected = format!("Connection: {options}");
        assert_eq!(lines_of(&head, "connection"), [expected], "{lines:?}");
    };
    check(&[("TE", "trailers")], "TE");
    check(&[("te", "Trailers, ,trailers")], "TE");
    check(&[("TE", "trailers"), ("TE", "trailers")], "TE");
    check(&[("TE", "trailers"), ("Connection", "TE")], "TE");
    check(
        &[("Connection", "te, close"), ("TE", "trailers")],
        "close, TE",
    );
    let nothing = head(wish("GET", BodyPlan::Empty, &[("TE", "")])).unwrap();
    assert!(!nothing.contains("TE"), "{nothing}");
}

#[test]
fn rfc_a33_rfc_a34_rfc_a37_defaults_are_short_and_can_be_removed() {
    let plain = head(wish("GET", BodyPlan::Empty, &[])).unwrap();
    assert_eq!(plain.split("\r\n").count(), 6, "{plain}");
    assert_eq!(
        lines_of(&plain, "from").len() + lines_of(&plain, "accept-language").len(),
        0
    );
    let without = but(wish("GET", BodyPlan::Empty, &[]), |wish| {
        wish.leave_out("User-agent");
        wish.leave_out("ACCEPT");
    });
    assert_eq!(
        head(without).unwrap(),
        "GET /p?q HTTP/1.1\r\nHost: example.com:8080\r\n\r\n"
    );
    let own = head(wish(
        "GET",
        BodyPlan::Empty,
        &[("x", "1"), ("user-agent", "mine")],
    ))
    .unwrap();
    assert_eq!(lines_of(&own, "user-agent"), ["user-agent: mine"]);
}

#[test]
fn rfc_b1_rfc_b2_a_body_has_a_length_or_is_chunked() {
    let check = |body, expected: &str| {
        let head = head(wish("POST", body, &[])).unwrap();
        assert!(head.ends_with(&format!("\r\n{expected}\r\n\r\n")), "{head}");
    };
    check(BodyPlan::Memory(5), "Content-Length: 5");
    check(source(Some(7)), "Content-Length: 7");
    check(source(None), "Transfer-Encoding: chunked");
}

#[test]
fn rfc_b4_empty_bodies_are_announced_where_a_body_is_usual() {
    for (method, expected) in [
        ("POST", 1),
        ("PUT", 1),
        ("PATCH", 1),
        ("GET", 0),
        ("HEAD", 0),
        ("DELETE", 0),
        ("OPTIONS", 0),
    ] {
        let head = head(wish(method, BodyPlan::Empty, &[])).unwrap();
        assert_eq!(
            lines_of(&head, "content-length").len(),
            expected,
            "{method}"
        );
    }
}

#[test]
fn rfc_b7_framing_fields_of_the_caller_choose_or_confirm_and_never_contradict() {
    let check = |body: BodyPlan, name: &str, value: &str, expected: Option<&str>| {
        let head = head(wish("POST", body, &[(name, value)]));
        match expected {
            Some(line) => assert!(
                head.as_ref()
                    .is_ok_and(|head| head.ends_with(&format!("\r\n{line}\r\n\r\n"))),
                "{head:?}"
            ),
            None => assert!(head.is_err(), "{name}: {value} {head:?}"),
        }
    };
    check(
        source(Some(3)),
        "transfer-encoding",
        "Chunked",
        Some("Transfer-Encoding: chunked"),
    );
    check(
        source(None),
        "Content-Length",
        "12",
        Some("Content-Length: 12"),
    );
    check(
        BodyPlan::Memory(3),
        "Content-Length",
        "3",
        Some("Content-Length: 3"),
    );
    check(BodyPlan::Memory(3), "Content-Length", "4", None);
    check(BodyPlan::Memory(3), "Content-Length", "+3", None);
    check(BodyPlan::Memory(3), "Content-Length", "", None);
    check(BodyPlan::Memory(3), "Transfer-Encoding", "chunked", None);
    for coding in [
        "gzip",
        "gzip, chunked",
        "chunked, chunked",
        "identity",
        "chunked;a",
        "xchunked",
    ] {
        check(source(None), "Transfer-Encoding", coding, None);
    }
}

#[test]
fn rfc_b9_trailers_may_not_frame_route_or_authenticate() {
    for name in [
        "Content-Length",
        "Transfer-Encoding",
        "Host",
        "Authorization",
        "Cookie",
        "TE",
        "Cache-Control",
        "Set-Cookie",
    ] {
        let mut trailers = Fields::new();
        trailers.append(name, "x").unwrap();
        let result = head(wish(
            "POST",
            BodyPlan::Source(None, Box::new(TrailerPlan::new(trailers, Vec::new()))),
            &[],
        ));
        assert_eq!(
            result,
            Err(ErrorKind::LocalField(FieldError::NotInTrailers)),
            "{name}"
        );
    }
}

#[test]
fn rfc_b11_cve_10_a_body_with_get_needs_an_opt_in() {
    for method in ["GET", "HEAD", "DELETE"] {
        let refused = head(wish(method, BodyPlan::Memory(3), &[]));
        assert_eq!(
            refused,
            Err(ErrorKind::LocalRequest(RequestRule::BodyNotAllowed)),
            "{method}"
        );
        let allowed = but(wish(method, BodyPlan::Memory(3), &[]), |wish| {
            wish.allow_body = true;
        });
        assert!(head(allowed).unwrap().contains("Content-Length: 3\r\n"));
    }
}

#[test]
fn rfc_b12_trace_is_refused_unless_allowed_and_bare() {
    let trace = |body, lines: &[(&str, &str)]| {
        but(wish("TRACE", body, lines), |wish| wish.allow_trace = true)
    };
    assert!(head(wish("TRACE", BodyPlan::Empty, &[])).is_err());
    assert!(head(trace(BodyPlan::Empty, &[])).is_ok());
    assert!(head(trace(BodyPlan::Memory(1), &[])).is_err());
    let with_user = but(trace(BodyPlan::Empty, &[]), |wish| {
        let credentials = Some("Basic dTpwdw==".into());
        let plain = Wish::new(
            wish.method().clone(),
            wish.url().clone(),
            credentials,
            wish.manners,
        );
        *wish = but(plain, |wish| wish.allow_trace = true);
    });
    assert!(head(with_user).is_err());
    for name in ["Authorization", "cookie", "Proxy-Authorization"] {
        assert!(
            head(trace(BodyPlan::Empty, &[(name, "x")])).is_err(),
            "{name}"
        );
    }
}

#[test]
fn rfc_b13_options_with_a_body_has_a_content_type() {
    assert!(head(wish("OPTIONS", BodyPlan::Memory(2), &[])).is_err());
    assert!(
        head(wish(
            "OPTIONS",
            BodyPlan::Memory(2),
            &[("Content-Type", "a/b")]
        ))
        .is_ok()
    );
}

#[test]
fn rfc_b14_raw_bytes_do_not_invent_a_content_type() {
    assert!(
        !head(wish("POST", BodyPlan::Memory(2), &[]))
            .unwrap()
            .contains("Content-Type")
    );
}

#[test]
fn rfc_b17_expect_never_goes_without_a_body() {
    let with = |body| head(but(wish("POST", body, &[]), Wish::expect_continue)).unwrap();
    assert!(!with(BodyPlan::Empty).contains("Expect"));
    assert!(!with(BodyPlan::Memory(0)).contains("Expect"));
    assert!(!with(source(Some(0))).contains("Expect"));
    assert!(with(source(Some(1))).contains("Expect: 100-continue\r\n"));
    assert!(with(source(None)).contains("Expect: 100-continue\r\n"));
    assert!(with(BodyPlan::Memory(1)).contains("Expect: 100-continue\r\n"));
    assert!(head(wish("POST", BodyPlan::Memory(1), &[("Expect", "200-ok")])).is_err());
    assert!(
        head(wish(
            "POST",
            BodyPlan::Memory(1),
            &[("expect", "100-Continue")]
        ))
        .unwrap()
        .contains("Expect: 100-continue\r\n")
    );
}

#[test]
fn rfc_e2_without_keep_alive_every_request_says_close_once() {
    let off = wish("GET", BodyPlan::Empty, &[("Connection", "close")]);
    let off = but(off, |wish| wish.manners.keep_alive = false);
    assert_eq!(
        lines_of(&head(off).unwrap(), "connection"),
        ["Connection: close"]
    );
    let kept = head(wish(
        "GET",
        BodyPlan::Empty,
        &[("Connection", "keep-alive")],
    ))
    .unwrap();
    assert_eq!(lines_of(&kept, "connection").len(), 0);
}
