//! The decisions of redirects as tables.

use super::*;

fn fields(locations: &[&[u8]]) -> Fields {
    let mut fields = Fields::new();
    for location in locations {
        fields.append_bytes("Location", location).unwrap();
    }
    fields
}

fn decide(policy: &RedirectPolicy, status: u16, from: &str, to: &[&[u8]]) -> Verdict {
    decide_as(policy, status, "GET", from, to)
}

fn decide_as(
    policy: &RedirectPolicy,
    status: u16,
    method: &str,
    from: &str,
    to: &[&[u8]],
) -> Verdict {
    let answered = Answered {
        status,
        fields: &fields(to),
        url: &Url::parse(from).unwrap(),
        method: &Method::new(method).unwrap(),
        has_body: method == "POST" || method == "PUT",
        is_replayable: true,
        is_chunked_to_http10: false,
        followed: 0,
        is_https_only: false,
    };
    verdict(policy, answered)
}

fn target(verdict: Verdict) -> String {
    match verdict {
        Verdict::Follow(to) => to.url.as_str().to_owned(),
        other => format!("{other:?}"),
    }
}

#[test]
fn rfc_f3_the_method_after_each_status() {
    let table = [
        (301, "GET", "GET", true),
        (301, "HEAD", "HEAD", true),
        (301, "POST", "GET", false),
        (301, "PUT", "PUT", true),
        (301, "DELETE", "DELETE", true),
        (302, "GET", "GET", true),
        (302, "HEAD", "HEAD", true),
        (302, "POST", "GET", false),
        (302, "PATCH", "PATCH", true),
        (303, "GET", "GET", false),
        (303, "HEAD", "HEAD", false),
        (303, "POST", "GET", false),
        (303, "PUT", "GET", false),
        (303, "DELETE", "GET", false),
        (307, "POST", "POST", true),
        (307, "GET", "GET", true),
        (308, "PUT", "PUT", true),
        (308, "POST", "POST", true),
    ];
    for (status, before, after, keeps_body) in table {
        let verdict = decide_as(
            &RedirectPolicy::new(),
            status,
            before,
            "http://a/x",
            &[b"/y"],
        );
        let Verdict::Follow(to) = verdict else {
            panic!("{status} {before}: {verdict:?}")
        };
        assert_eq!(
            (to.method.as_str(), to.keeps_body),
            (after, keeps_body),
            "{status} {before}"
        );
    }
}

#[test]
fn only_five_statuses_are_redirects() {
    for status in [200, 300, 304, 305, 306, 309, 399, 404] {
        let verdict = decide(&RedirectPolicy::new(), status, "http://a/", &[b"/y"]);
        assert_eq!(verdict, Verdict::NotOne, "{status}");
    }
    let verdict = decide(&RedirectPolicy::new(), 302, "http://a/", &[]);
    assert_eq!(
        verdict,
        Verdict::HandOut(RedirectRefusal::NoLocation, None),
        "no location"
    );
}

#[test]
fn rfc_f7_rfc_f8_a_location_is_resolved_against_the_target() {
    let table: &[(&str, &[u8], &str)] = &[
        ("http://a/b/c", b"d", "http://a/b/d"),
        ("http://a/b/c?q#f", b"d", "http://a/b/d#f"),
        ("http://a/b/c#f", b"d#g", "http://a/b/d#g"),
        ("http://a/b/c", b"../../../x", "http://a/x"),
        ("http://a/b", b"//other/x", "http://other/x"),
        ("http://a/b", b"?q=1", "http://a/b?q=1"),
        ("http://a", b"https://A.example:443", "https://a.example/"),
        ("http://a/b", b"", "http://a/b"),
        (
            "http://a/",
            "/caf\u{e9} x".as_bytes(),
            "http://a/caf%C3%A9%20x",
        ),
        ("http://a/", b"/caf\xe9", "http://a/caf%E9"),
        ("http://a/", b"x?[1]|2", "http://a/x?%5B1%5D%7C2"),
    ];
    for (from, to, expected) in table {
        let verdict = decide(&RedirectPolicy::new(), 302, from, &[to]);
        assert_eq!(target(verdict), *expected, "{from} {}", to.escape_ascii());
    }
}

#[test]
fn rfc_f9_rfc_f10_rfc_a17_a_location_that_cannot_be_used() {
    let bad: &[&[u8]] = &[
        b"http://user:pw@a/",
        b"http://user@b/",
        b"http:///x",
        b"http://",
        b"http://a:99999/",
        b"http://a:x/",
        b"http://a\\b/",
        b"http://a b/",
        b"http://\xc3\xa9/",
        b"/%zz",
        &[b'x'; 70_000],
    ];
    for to in bad {
        let shown = to.get(..20).unwrap_or(to).escape_ascii().to_string();
        match decide(&RedirectPolicy::new(), 302, "http://a/", &[to]) {
            Verdict::Fail(
                RedirectRefusal::BadLocation,
                None,
                ErrorKind::PeerRedirect(RedirectRule::Location(_)),
            ) => {}
            other => panic!("{shown}: {other:?}"),
        }
        let off = decide(&RedirectPolicy::none(), 302, "http://a/", &[to]);
        assert_eq!(
            off,
            Verdict::HandOut(RedirectRefusal::SwitchedOff, None),
            "{shown}"
        );
    }
    for to in [b"ftp://a/".as_slice(), b"app:callback", b"file:///etc/x"] {
        let verdict = decide(&RedirectPolicy::new(), 302, "http://a/", &[to]);
        assert_eq!(
            verdict,
            Verdict::HandOut(RedirectRefusal::Scheme, None),
            "{}",
            to.escape_ascii()
        );
    }
}

#[test]
fn rfc_f11_two_locations_are_an_error_unless_they_are_equal() {
    let policy = RedirectPolicy::new();
    let verdict = decide(&policy, 302, "http://a/", &[b"/x", b"/y"]);
    let kind = ErrorKind::PeerRedirect(RedirectRule::TwoLocations);
    assert_eq!(
        verdict,
        Verdict::Fail(RedirectRefusal::TwoLocations, None, kind)
    );
    let verdict = decide(&policy, 302, "http://a/", &[b"/x", b"/x"]);
    assert_eq!(target(verdict), "http://a/x");
}

#[test]
fn rfc_f9_https_is_not_left_unless_that_is_allowed() {
    let to: &[&[u8]] = &[b"http://a/"];
    let verdict = decide(&RedirectPolicy::new(), 302, "https://a/", to);
    assert!(matches!(
        verdict,
        Verdict::HandOut(RedirectRefusal::Downgrade, Some(_))
    ));
    let verdict = decide(
        &RedirectPolicy::new().allow_downgrade(true),
        302,
        "https://a/",
        to,
    );
    assert_eq!(target(verdict), "http://a/");
}

#[test]
fn the_caller_judges_and_the_limit_holds() {
    let policy = RedirectPolicy::new().follow_if(|to| to.to().path() != "/no");
    let verdict = decide(&policy, 302, "http://a/", &[b"/no"]);
    assert!(matches!(
        verdict,
        Verdict::HandOut(RedirectRefusal::Judgement, Some(_))
    ));
    assert_eq!(
        target(decide(&policy, 302, "http://a/", &[b"/yes"])),
        "http://a/yes"
    );
    let verdict = decide(&RedirectPolicy::new().max(0), 302, "http://a/", &[b"/x"]);
    assert!(matches!(
        verdict,
        Verdict::Fail(
            RedirectRefusal::TooMany,
            Some(_),
            ErrorKind::Limit { max: 0, .. }
        )
    ));
}
