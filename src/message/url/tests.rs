use iri_string::format::ToDedicatedString;
use iri_string::types::{UriAbsoluteStr, UriReferenceStr, UriStr};
use proptest::prelude::*;

use super::*;

fn url(text: &str) -> Url {
    Url::parse(text).unwrap_or_else(|error| panic!("{text:?}: {error}"))
}

#[track_caller]
fn refused(expected: impl Fn(usize) -> UrlError, cases: &[(&str, usize)]) {
    for (text, offset) in cases {
        assert_eq!(Url::parse(text), Err(expected(*offset)), "{text:?}");
    }
}

#[test]
fn rfc_a7_empty_path_becomes_a_slash() {
    let check = |text: &str, target: &str, path: &str, query: Option<&str>| {
        let url = url(text);
        assert_eq!(url.request_target(), target, "{text:?}");
        assert_eq!((url.path(), url.query()), (path, query), "{text:?}");
    };
    check("http://a", "/", "/", None);
    check("http://a/", "/", "/", None);
    check("http://a?", "/?", "/", Some(""));
    check("http://a?b", "/?b", "/", Some("b"));
    check("http://a#b", "/", "/", None);
    check("http://a?b/c?d#e?f", "/?b/c?d", "/", Some("b/c?d"));
    check("http://a//b/../c", "//b/../c", "//b/../c", None);
    check(
        "http://a/b:c@d;e=f,g?h#",
        "/b:c@d;e=f,g?h",
        "/b:c@d;e=f,g",
        Some("h"),
    );
}

#[test]
fn rfc_a8_absolute_form_has_no_fragment_and_no_secret() {
    let check = |text: &str, form: &str| assert_eq!(url(text).absolute_form(), form, "{text:?}");
    check("HTTP://u:p@A:80?b#c", "http://a/?b");
    check("http://[FE80::1%25eth0]:8080/b", "http://[fe80::1]:8080/b");
}

#[test]
fn rfc_a12_authority_keeps_a_port_that_is_not_the_default() {
    let check = |text: &str, authority: &str, port: u16, explicit: Option<u16>| {
        let url = url(text);
        assert_eq!(url.authority(), authority, "{text:?}");
        assert_eq!(
            (url.port(), url.explicit_port()),
            (port, explicit),
            "{text:?}"
        );
    };
    check("http://a", "a", 80, None);
    check("http://a:80", "a", 80, None);
    check("https://a:443/", "a", 443, None);
    check("https://a:80/", "a:80", 80, Some(80));
    check("http://a:443/", "a:443", 443, Some(443));
    check("http://u:p@A.B:8080/", "a.b:8080", 8080, Some(8080));
    check("http://[::1]:81?q", "[::1]:81", 81, Some(81));
    check("http://[::1]", "[::1]", 80, None);
    check("http://127.0.0.1:1/", "127.0.0.1:1", 1, Some(1));
}

#[test]
fn rfc_a15_empty_host_is_refused() {
    let cases = [
        ("http:", 5),
        ("http:a", 5),
        ("http:/a", 5),
        ("http://", 7),
        ("https:///a", 8),
        ("http://:80/", 7),
        ("http://?a", 7),
        ("http://#a", 7),
        ("http://u@/", 9),
        ("http://u:p@:80", 11),
    ];
    refused(|offset| UrlError::EmptyHost { offset }, &cases);
}

#[test]
fn rfc_a16_userinfo_is_shown_nowhere() {
    for text in [
        "http://us%65r:se%3Acret@a:81/b?c#d",
        "https://us%65r:se%3Acret@[::1%25z]",
    ] {
        let url = url(text);
        let shown = [
            url.to_string(),
            format!("{url:?} {:?}", url.origin()),
            url.origin().to_string(),
            url.join("/x").unwrap().to_string(),
            url.as_str().into(),
            url.authority().into(),
            url.host_str().into(),
            url.absolute_form().into(),
            url.request_target().into(),
        ];
        for shown in shown {
            let secret = ["us%65r", "cret", "@"]
                .iter()
                .any(|part| shown.contains(part));
            assert!(!secret, "{shown}");
        }
    }
    assert_eq!(
        format!("{:?}", url("http://u:p@a/b?c")),
        "Url(\"http://a/b?c\")"
    );
}

#[test]
fn rfc_a16_userinfo_is_there_when_asked_for() {
    let check = |text: &str, name: Option<&str>, password: Option<&str>| {
        let url = url(text);
        assert_eq!(
            (url.username(), url.password()),
            (name, password),
            "{text:?}"
        );
        assert_eq!(url.has_userinfo(), name.is_some(), "{text:?}");
    };
    check("http://a/@", None, None);
    check("http://@a", Some(""), None);
    check("http://u@a", Some("u"), None);
    check("http://u:@a", Some("u"), Some(""));
    check("http://:p:q@a", Some(""), Some("p:q"));
    check("http://u:p@[fe80::1%25eth0]/", Some("u"), Some("p"));
}

#[test]
fn percent_decoding_happens_once_and_leaves_stray_signs() {
    let check = |part: &str, bytes: &[u8]| assert_eq!(percent_decode(part), bytes, "{part:?}");
    check("", b"");
    check("%fF%00a+%4", b"\xff\0a+%4");
    check("%2541%", b"%41%");
    check("%%41%g1%1g", b"%A%g1%1g");
}

#[test]
fn rfc_a17_reference_with_userinfo_is_refused() {
    let target = url("http://u:p@a/b");
    for (reference, offset) in [("http://x:y@a/", 7), ("//@a", 2), ("HTTPS://x@b?c", 8)] {
        let error = UrlError::Userinfo { offset };
        assert_eq!(target.join(reference), Err(error), "{reference:?}");
    }
    let check = |reference: &str, name: Option<&str>| {
        assert_eq!(
            target.join(reference).unwrap().username(),
            name,
            "{reference:?}"
        );
    };
    check("c@d", Some("u"));
    check("", Some("u"));
    check("//a", None);
    check("http://a/b", None);
}

#[test]
fn rfc_f7_fragment_is_inherited() {
    let check = |target: &str, reference: &str, expected: Option<&str>| {
        let joined = url(target).join(reference).unwrap();
        assert_eq!(joined.fragment(), expected, "{target:?} {reference:?}");
        assert!(!joined.request_target().contains('#'));
    };
    for reference in ["", "b", "/b", "?b", "//b", "https://b/c"] {
        check("http://a/#f", reference, Some("f"));
        check("http://a/#f", &format!("{reference}#g"), Some("g"));
        check("http://a/#f", &format!("{reference}#"), Some(""));
        check("http://a/", reference, None);
    }
}

/// The examples of RFC 3986 §5.4, and some more.
#[test]
fn rfc_f8_references_resolve_as_in_rfc_3986() {
    let target = url("http://a/b/c/d;p?q");
    let check = |reference: &str, expected: &str| {
        assert_eq!(
            target.join(reference).unwrap().as_str(),
            expected,
            "{reference:?}"
        );
    };
    let normal = [
        ("g", "http://a/b/c/g"),
        ("./g", "http://a/b/c/g"),
        ("g/", "http://a/b/c/g/"),
        ("/g", "http://a/g"),
        ("//g", "http://g/"),
        ("?y", "http://a/b/c/d;p?y"),
        ("g?y", "http://a/b/c/g?y"),
        ("#s", "http://a/b/c/d;p?q#s"),
        ("g#s", "http://a/b/c/g#s"),
        ("g?y#s", "http://a/b/c/g?y#s"),
        (";x", "http://a/b/c/;x"),
        ("g;x", "http://a/b/c/g;x"),
        ("g;x?y#s", "http://a/b/c/g;x?y#s"),
        ("", "http://a/b/c/d;p?q"),
        (".", "http://a/b/c/"),
        ("./", "http://a/b/c/"),
        ("..", "http://a/b/"),
        ("../", "http://a/b/"),
        ("../g", "http://a/b/g"),
        ("../..", "http://a/"),
        ("../../", "http://a/"),
        ("../../g", "http://a/g"),
    ];
    let abnormal = [
        ("../../../g", "http://a/g"),
        ("../../../../g", "http://a/g"),
        ("/./g", "http://a/g"),
        ("/../g", "http://a/g"),
        ("g.", "http://a/b/c/g."),
        (".g", "http://a/b/c/.g"),
        ("g..", "http://a/b/c/g.."),
        ("..g", "http://a/b/c/..g"),
        ("./../g", "http://a/b/g"),
        ("./g/.", "http://a/b/c/g/"),
        ("g/./h", "http://a/b/c/g/h"),
        ("g/../h", "http://a/b/c/h"),
        ("g;x=1/./y", "http://a/b/c/g;x=1/y"),
        ("g;x=1/../y", "http://a/b/c/y"),
        ("g?y/./x", "http://a/b/c/g?y/./x"),
        ("g?y/../x", "http://a/b/c/g?y/../x"),
        ("g#s/./x", "http://a/b/c/g#s/./x"),
        ("g#s/../x", "http://a/b/c/g#s/../x"),
    ];
    let more = [
        ("?", "http://a/b/c/d;p?"),
        ("/", "http://a/"),
        ("//G:81", "http://g:81/"),
        ("//g/../h/.", "http://g/h/"),
        ("HTTPS://G:443?y", "https://g/?y"),
        ("/g//../h", "http://a/g/h"),
        ("./g:h", "http://a/b/c/g:h"),
        ("%2e%2E/g", "http://a/b/c/%2e%2E/g"),
    ];
    for (reference, expected) in normal.into_iter().chain(abnormal).chain(more) {
        check(reference, expected);
    }
    assert_eq!(target.join("g:h"), Err(UrlError::Scheme));
    assert_eq!(
        target.join("http:g"),
        Err(UrlError::EmptyHost { offset: 5 })
    );
}

#[test]
fn rfc_f8_target_with_nothing_but_a_host() {
    let check = |target: &str, reference: &str, expected: &str| {
        assert_eq!(url(target).join(reference).unwrap().as_str(), expected);
    };
    check("http://a", "g", "http://a/g");
    check("http://a?q", "", "http://a/?q");
    check("http://a:81", "?y", "http://a:81/?y");
    check("http://a/b/../c/.", "", "http://a/b/../c/.");
    check("http://a/b/../c/.", "d", "http://a/c/d");
}

#[test]
fn rfc_f10_bad_references_are_refused() {
    let target = url("http://u:p@a/b");
    let check = |reference: &str, error: UrlError| {
        assert_eq!(target.join(reference), Err(error), "{reference:?}");
    };
    check("/a\r\nb", UrlError::Control { offset: 2 });
    check("\0", UrlError::Control { offset: 0 });
    check("/\\evil", UrlError::Backslash { offset: 1 });
    check("//", UrlError::EmptyHost { offset: 2 });
    check("///b", UrlError::EmptyHost { offset: 2 });
    check("//b:0", UrlError::Port { offset: 4 });
    check("//b:99999", UrlError::Port { offset: 4 });
    check("/é", UrlError::NonAscii { offset: 1 });
    check("//é", UrlError::NonAsciiHost { offset: 2 });
    check("c//é", UrlError::NonAscii { offset: 3 });
    check("/%4", UrlError::PercentEncoding { offset: 1 });
    check("ftp://b/", UrlError::Scheme);
    check("javascript:alert(1)", UrlError::Scheme);
    check(&"a".repeat(MAX_URL_BYTES + 1), UrlError::TooLong);
    check(&"a".repeat(MAX_URL_BYTES), UrlError::TooLong);
}

#[test]
fn rfc_h1_authority_ends_and_backslash_refused() {
    let check = |text: &str, host: &str, target: &str| {
        let url = url(text);
        assert_eq!(
            (url.host_str(), url.request_target()),
            (host, target),
            "{text:?}"
        );
    };
    check("http://a#@b/", "a", "/");
    check("http://a?@b/", "a", "/?@b/");
    check("http://a/@b/", "a", "/@b/");
    check("http://a#b@c/d", "a", "/");
    check("http://a?//b:1", "a", "/?//b:1");
    check("http://a@b", "b", "/");
    refused(
        |offset| UrlError::Backslash { offset },
        &[
            ("http://a\\@b/", 8),
            ("http:\\\\a/", 5),
            ("http://a/b\\c", 10),
            ("\\", 0),
        ],
    );
    refused(|offset| UrlError::Host { offset }, &[("http://a@b@c/", 10)]);
}

#[test]
fn rfc_h2_ipv6_stands_alone_in_brackets() {
    let check = |text: &str, addr: &str| {
        let addr = addr.parse().unwrap();
        assert_eq!(url(text).host(), Host::V6(addr, None), "{text:?}");
    };
    check("http://[::1]/", "::1");
    check("http://[::]", "::");
    check("http://[2001:DB8::1]:81", "2001:db8::1");
    check("http://[::ffff:1.2.3.4]/", "::ffff:1.2.3.4");
    check("http://[0:0:0:0:0:0:0:1]/", "::1");
    refused(
        |offset| UrlError::Ipv6 { offset },
        &[
            ("http://[::1", 8),
            ("http://[]/", 8),
            ("http://[a]/", 8),
            ("http://[127.0.0.1]/", 8),
            ("http://[v1.a]/", 8),
            ("http://[::1::]/", 8),
            ("http://[1:2:3:4:5:6:7:8:9]/", 8),
            ("http://[::12345]/", 8),
            ("http://[[::1]]/", 13),
            ("http://[::1]a/", 12),
            ("http://[::1]]/", 12),
            ("http://[::1].b:80/", 12),
            ("http://[::1][::2]/", 12),
            ("http://a[::1]/", 8),
            ("http://a]b/", 8),
            ("http://u@a[::1]/", 10),
            ("http://::1/", 7),
            ("http://fe80::1/", 7),
        ],
    );
}

#[test]
fn rfc_h3_zone_is_kept_but_never_sent() {
    let zoned = url("http://[FE80::1%25Eth0.1]:81/b");
    assert_eq!(
        zoned.host(),
        Host::V6("fe80::1".parse().unwrap(), Some("Eth0.1"))
    );
    assert_eq!(zoned.authority(), "[fe80::1]:81");
    assert_eq!(zoned.as_str(), "http://[fe80::1]:81/b");
    assert_eq!(zoned.to_string(), "http://[fe80::1%25Eth0.1]:81/b");
    assert_eq!(zoned.origin().to_string(), "http://[fe80::1%25Eth0.1]:81");
    for text in ["http://[FE80::1%25Eth0.1]:81/b", "http://[::0%25a]"] {
        assert_eq!(url(&url(text).to_string()), url(text), "{text:?}");
    }
    assert_eq!(
        zoned.join("../c").unwrap().to_string(),
        "http://[fe80::1%25Eth0.1]:81/c"
    );
    assert!(!zoned.same_origin(&url("http://[fe80::1]:81/b")));
    assert_ne!(zoned.origin(), url("http://[fe80::1%25eth1]:81/b").origin());
    refused(
        |offset| UrlError::Zone { offset },
        &[
            ("http://[fe80::1%eth0]/", 15),
            ("http://[fe80::1%25]/", 15),
            ("http://[fe80::1%]/", 15),
            ("http://[fe80::1%25a%20b]/", 15),
        ],
    );
}

#[test]
fn rfc_h4_port_is_a_number_from_1_to_65535() {
    let check = |text: &str, port: u16| assert_eq!(url(text).port(), port, "{text:?}");
    check("http://a:", 80);
    check("https://a:/", 443);
    check("https://[::1]:?a", 443);
    check("http://a:1", 1);
    check("http://a:65535", 65535);
    check("http://a:00080", 80);
    refused(
        |offset| UrlError::Port { offset },
        &[
            ("http://a:0/", 9),
            ("http://a:000", 9),
            ("http://a:65536/", 9),
            ("http://a:99999999999999999999/", 9),
            ("http://a:+80/", 9),
            ("http://a:-1/", 9),
            ("http://a:8o/", 9),
            ("http://a:80:80/", 9),
            ("http://u:p@a:x", 13),
            ("http://[::1]:0x50", 13),
        ],
    );
    assert_eq!(url("http://a:00080/").authority(), "a");
    assert_eq!(url("http://a:0081/").authority(), "a:81");
}

#[test]
fn rfc_h5_percent_encoding_is_kept_and_a_stray_sign_refused() {
    for target in ["/%7e%7E%2F%2f%2e%2E", "/%00%ff?%0d%0A", "/a+b%20c?+%2B&%25"] {
        assert_eq!(url(&format!("http://a{target}")).request_target(), target);
    }
    refused(
        |offset| UrlError::PercentEncoding { offset },
        &[
            ("http://a/%", 9),
            ("http://a/%4", 9),
            ("http://a/b%zz", 10),
            ("http://a/%20%2?c", 12),
            ("http://a/?b=%+1", 12),
            ("http://a/?b#%u12", 12),
            ("http://u%@a/", 8),
        ],
    );
}

#[test]
fn characters_outside_the_grammar_are_refused() {
    for character in ['"', '<', '>', '[', ']', '^', '`', '{', '|', '}'] {
        for before in ["http://a/", "http://a/?b=", "http://a/#"] {
            let error = UrlError::Character {
                offset: before.len(),
            };
            assert_eq!(Url::parse(&format!("{before}{character}c")), Err(error));
        }
    }
    refused(
        |offset| UrlError::Character { offset },
        &[
            ("http://a/b#c#d", 12),
            ("http://u|@a", 8),
            ("http://a/?filter[b]=c", 16),
        ],
    );
}

#[test]
fn rfc_h6_encoded_octets_in_the_host_are_refused() {
    refused(
        |offset| UrlError::Host { offset },
        &[
            ("http://a%2Fb/", 8),
            ("http://a%2eb/", 8),
            ("http://%61/", 7),
            ("http://a!b/", 8),
            ("http://a,b/", 8),
            ("http://a|b/", 8),
            ("http://a~b/", 8),
        ],
    );
}

#[test]
fn rfc_h7_controls_and_spaces_are_refused_not_stripped() {
    for control in (0..=b' ').chain([0x7f]).map(char::from) {
        for before in [
            "",
            "ht",
            "http://",
            "http://a",
            "http://a:8",
            "http://a/",
            "http://a/?b",
        ] {
            let error = UrlError::Control {
                offset: before.len(),
            };
            let text = format!("{before}{control}x");
            assert_eq!(Url::parse(&text), Err(error), "{text:?}");
        }
    }
    assert_eq!(
        Url::parse("http://a/ "),
        Err(UrlError::Control { offset: 9 })
    );
}

#[test]
fn rfc_h8_legacy_ipv4_forms_are_refused() {
    for host in ["0.0.0.0", "127.0.0.1", "255.255.255.255"] {
        assert_eq!(
            url(&format!("http://{host}")).host(),
            Host::V4(host.parse().unwrap())
        );
    }
    for name in ["1.2.3.4.a", "1a", "a.0xg", "0b1", "x0", "1.2.3.4-", "1_1"] {
        assert_eq!(url(&format!("http://{name}")).host(), Host::Name(name));
    }
    let hosts = [
        "0x7f.1",
        "0X7F.0.0.1",
        "017700000001",
        "2130706433",
        "127.1",
        "127.0.1",
        "0",
        "0x",
        "127.0.0.01",
        "127.0.0.1.",
        "256.0.0.1",
        "1.2.3.4.5",
        "a.1",
        "a.0x7f",
        "a.09.",
    ];
    for host in hosts {
        let error = UrlError::LegacyIpv4 { offset: 7 };
        assert_eq!(
            Url::parse(&format!("http://{host}/")),
            Err(error),
            "{host:?}"
        );
    }
}

#[test]
fn rfc_h9_non_ascii_is_refused_and_xn_labels_pass() {
    assert_eq!(
        url("http://XN--Bcher-KVA.example/").host_str(),
        "xn--bcher-kva.example"
    );
    assert_eq!(url("http://xn--a/").host_str(), "xn--a");
    refused(
        |offset| UrlError::NonAsciiHost { offset },
        &[
            ("http://bücher.example/", 8),
            ("http://a\u{3002}b/", 8),
            ("http://a\u{ff0e}b/", 8),
            ("http://a\u{ff0f}b/", 8),
            ("http://\u{212a}/", 7),
            ("http://é@a/", 7),
        ],
    );
    refused(
        |offset| UrlError::NonAscii { offset },
        &[
            ("http://a/é", 9),
            ("http://a?//é", 11),
            ("http://a#é", 9),
            ("é", 0),
            ("a/b//é", 5),
        ],
    );
}

/// The text is longer than a URL may be: quadratic time would be minutes.
#[test]
fn rfc_h10_dot_segments_in_linear_time() {
    let count = (1 << 20) / 3;
    let check = |path: &str, expected: &str| {
        let mut text = String::from("http://a");
        push_resolved(&mut text, path.split('/').skip(1));
        assert!(text == format!("http://a{expected}"), "{}", text.len());
    };
    check(&"/..".repeat(count), "/");
    check(&"/a/..".repeat(count), "/");
    check(
        &format!("{}/.", "/a".repeat(count)),
        &format!("{}/", "/a".repeat(count)),
    );
    check(&("/a".repeat(count) + &"/..".repeat(count)), "/");
    check(&("/".repeat(count) + &"/..".repeat(count)), "/");
    assert_eq!(
        url("http://a/").join(&"../".repeat(1 << 20)),
        Err(UrlError::TooLong)
    );
}

#[test]
fn rfc_h11_case_is_folded_once_and_a_trailing_dot_kept() {
    let upper = url("HtTpS://WWW.Example.COM:0443/A?B#C");
    assert_eq!(upper, url("https://www.example.com/A?B#C"));
    assert_eq!(upper.as_str(), "https://www.example.com/A?B#C");
    assert!(upper.same_origin(&url("https://www.example.com:443")));
    let dotted = url("https://www.example.com./");
    assert_eq!(dotted.authority(), "www.example.com.");
    assert!(!upper.same_origin(&dotted));
    assert_ne!(upper.origin(), dotted.origin());
    assert_eq!(
        url("http://[0::1]/").origin(),
        url("http://[::1]/").origin()
    );
    for other in [
        "http://www.example.com:443/",
        "https://www.example.com:80/",
        "https://example.com",
    ] {
        assert!(!upper.same_origin(&url(other)), "{other}");
    }
}

#[test]
fn schemes_are_http_and_https_only() {
    refused(|_| UrlError::Empty, &[("", 0)]);
    let texts = [
        "a",
        "a.example",
        "a.example:80/",
        "//a/",
        "/a",
        "ftp://a/",
        "httpss://a/",
        "http//a/",
        "file:///a",
        "://a/",
        ":",
        "1http://a/",
        "ws://a",
        "?http://a",
    ];
    for text in texts {
        assert_eq!(Url::parse(text), Err(UrlError::Scheme), "{text:?}");
    }
}

#[test]
fn host_labels_have_bounds() {
    let label = "a".repeat(63);
    let longest = format!("{label}.{label}.{label}.{}", "b".repeat(61));
    assert_eq!(
        url(&format!("http://{longest}./")).host_str(),
        format!("{longest}.")
    );
    assert_eq!(url("http://_a-b.c_d-/").host_str(), "_a-b.c_d-");
    refused(
        |offset| UrlError::HostLength { offset },
        &[
            (&format!("http://{longest}b/"), 7),
            (&format!("http://a.{label}a/"), 9),
        ],
    );
    refused(
        |offset| UrlError::Dot { offset },
        &[
            ("http://./", 7),
            ("http://../", 7),
            ("http://.a/", 7),
            ("http://a..b/", 9),
            ("http://a../", 9),
        ],
    );
}

#[test]
fn length_has_a_bound_that_the_normal_form_keeps_too() {
    let fill = |front: &str, len: usize| format!("{front}{}", "a".repeat(len - front.len()));
    assert_eq!(
        url(&fill("http://a/", MAX_URL_BYTES)).as_str().len(),
        MAX_URL_BYTES
    );
    assert_eq!(
        Url::parse(&fill("http://a/", MAX_URL_BYTES + 1)),
        Err(UrlError::TooLong)
    );
    assert_eq!(
        Url::parse(&fill("http://a?", MAX_URL_BYTES)),
        Err(UrlError::TooLong)
    );
}

#[test]
fn conversions_agree() {
    let expected = url("http://a/b");
    let text = String::from("http://a/b");
    assert_eq!(Url::try_from(&text), Ok(expected.clone()));
    assert_eq!(Url::try_from(text.as_str()), Ok(expected.clone()));
    assert_eq!(text.parse(), Ok(expected.clone()));
    assert_eq!(Url::try_from(text), Ok(expected));
}

#[test]
fn buffer_never_grows() {
    for text in [
        "http://a",
        "http://u:p@A:0081?b#c",
        "https://u@[::1%25z]:444/b/../c?d#e",
    ] {
        let (buffer, _) = parse_any(text).unwrap();
        assert!(buffer.capacity() <= text.len() + 1, "{text:?}");
        let url = url(text);
        for reference in [
            "",
            "?",
            "//B:81",
            "https://[::1%25z]:81",
            "../../x/./y?z#w",
            "/",
        ] {
            let capacity = url.resolve(reference).unwrap().0.capacity();
            assert!(
                capacity <= url.text.len() + reference.len() + 1,
                "{text:?} {reference:?}"
            );
        }
    }
}

#[test]
fn errors_are_one_line_of_fixed_words() {
    let check = |text: &str, expected: &str| {
        assert_eq!(Url::parse(text).unwrap_err().to_string(), expected);
    };
    check("", "it is empty");
    check("secret", "the scheme is not http or https");
    check(
        "http://secret:\x1b@a/",
        "there is a space or a control character, at byte 14",
    );
    check("http://u:secret@/", "the host is missing, at byte 16");
    check(
        &"a".repeat(MAX_URL_BYTES + 1),
        "it is too long: more than 65536 bytes",
    );
    assert_eq!(Url::parse("http://a:x").unwrap_err().offset(), Some(9));
    assert_eq!(UrlError::Scheme.offset(), None);
}

/// Texts made of pieces that matter to the grammar.
fn pieces() -> impl Strategy<Value = String> {
    const PIECES: &[&str] = &[
        "http",
        "https",
        ":",
        "//",
        "/",
        "?",
        "#",
        "@",
        "[",
        "]",
        "[::1]",
        "%25",
        "%2F",
        "%",
        "a",
        "B",
        "1",
        "127.0.0.1",
        "0x7f",
        ".",
        "..",
        "\\",
        "é",
        " ",
        "\r\n",
        "80",
        "_",
        "-",
        "&=",
    ];
    prop::collection::vec(prop::sample::select(PIECES), 0..24).prop_map(|all| all.concat())
}

/// A URL or reference, mostly a good one.
fn likely() -> impl Strategy<Value = String> {
    prop_oneof![
        "(https?://([a-z:]{0,4}@)?[A-Z0-9a-z._-]{1,8}(:[0-9]{0,5})?)?[/.a-c%25]{0,24}(\\?[a-z/?.=]{0,6})?(#[a-z/.]{0,4})?",
        "https?://(u:p@)?\\[[0-9a-f:]{2,8}(%25[a-z]{1,3})?\\](:[1-9]{1,3})?[/.a]{0,4}",
        pieces(),
        any::<String>(),
    ]
}

/// A URL that is plain, or nearly.
fn nearly_plain() -> impl Strategy<Value = String> {
    "https?://[a-z0-9._-]{1,12}(:[0-9]{1,5})?(/[ -~]{0,4}[a-z/.;@:]{0,8})?([?/][ -~]{0,3}[a-z?=&]{0,6})?"
}

#[test]
fn plain_urls_are_those_without_anything_to_judge() {
    let is_plain = |text: &str| plain::parse(text).is_some();
    for text in [
        "http://a",
        "https://a.b.:8443",
        "http://127.0.0.1:8080/a/../b;c?d=e&f?/",
        "https://x-y_z/?",
    ] {
        assert!(is_plain(text), "{text:?}");
    }
    for text in [
        "",
        "HTTP://a",
        "http://A",
        "http://u@a",
        "http://[::1]/",
        "http://a:80",
        "https://a:443/",
        "http://a:",
        "http://a:081",
        "http://a:0",
        "http://a:65536",
        "http://a?b",
        "http://a/#b",
        "http://a/%20",
        "http://a/b c",
        "http://127.1/",
        "http://a..b/",
    ] {
        assert!(!is_plain(text), "{text:?}");
    }
    let most = format!("http://a/{}", "b".repeat(MAX_URL_BYTES - 10));
    assert!(is_plain(&most) && !is_plain(&format!("{most}b")));
}

fn has_sound_parts(url: &Url) {
    let sent = [
        url.authority(),
        url.request_target(),
        url.absolute_form(),
        url.host_str(),
    ];
    for part in sent {
        assert!(!part.is_empty() && part.bytes().all(|byte| byte.is_ascii_graphic()));
    }
    assert!(url.request_target().starts_with('/'));
    assert!(!url.authority().contains(['@', '/', '?', '#', '%', '\\']));
    assert!(url.text.len() <= MAX_URL_BYTES && url.port() != 0);
}

proptest! {
    #[test]
    fn rfc_h7_what_parses_can_be_sent_and_parses_to_itself(text in likely()) {
        if let Ok(url) = Url::parse(&text) {
            has_sound_parts(&url);
            let again = Url::parse(&url.to_string()).unwrap();
            prop_assert_eq!(again.to_string(), url.to_string());
            prop_assert!(url.has_userinfo() || again == url);
            prop_assert!(url.same_origin(&again) && url.origin() == again.origin());
        }
    }

    #[test]
    fn plain_urls_are_read_as_by_the_whole_grammar(text in prop_oneof![nearly_plain(), likely()]) {
        if let Some(url) = plain::parse(&text) {
            prop_assert_eq!(&*url.text, url.as_str());
            prop_assert_eq!(Ok(url), parse_any(&text).map(Url::of));
        }
    }

    /// TRUST row 92: what we take for host and path, another parser takes for them too.
    #[test]
    fn rfc_h1_host_agrees_with_iri_string(text in likely()) {
        if let Some(url) = Url::parse(&text).ok().filter(|url| url.zone().is_none()) {
            let other = UriStr::new(&text).unwrap();
            let authority = other.authority_components().unwrap();
            prop_assert_eq!(authority.host().to_ascii_lowercase(), url.host_str());
            prop_assert_eq!(authority.userinfo(), url.userinfo());
            prop_assert_eq!(other.query_str(), url.query());
            prop_assert_eq!(other.fragment().map(|fragment| fragment.as_str()), url.fragment());
            prop_assert!(other.path_str() == url.path() || other.path_str().is_empty());
        }
    }

    #[test]
    fn rfc_f8_resolution_agrees_with_iri_string(target in likely(), reference in likely()) {
        let Ok(target) = Url::parse(&target) else { return Ok(()) };
        let Ok(joined) = target.join(&reference) else { return Ok(()) };
        has_sound_parts(&joined);
        // Their resolver takes an encoded dot for a dot and has no zones.
        let same_rules = target.zone().or_else(|| joined.zone()).is_none()
            && ![target.path(), &reference].concat().to_ascii_lowercase().contains("%2e");
        if same_rules {
            let other = UriReferenceStr::new(&reference).unwrap();
            let base = UriAbsoluteStr::new(target.absolute_form()).unwrap();
            let resolved = other.resolve_against(base).to_dedicated_string();
            let expected = Url::parse(resolved.as_str()).unwrap();
            prop_assert_eq!(joined.absolute_form(), expected.absolute_form());
        }
    }

    #[test]
    fn resolving_what_is_resolved_changes_nothing(target in likely(), reference in likely()) {
        let Ok(target) = Url::parse(&target) else { return Ok(()) };
        let Ok(joined) = target.join(&reference) else { return Ok(()) };
        let again = joined.join(&joined.to_string()).unwrap();
        let once_more = again.join(&again.to_string()).unwrap();
        prop_assert_eq!(once_more.to_string(), again.to_string());
        prop_assert!(again.same_origin(&joined));
    }
}

#[test]
fn stray_characters_are_encoded_behind_the_authority_only() {
    let check = |text: &str, expected: &str| assert_eq!(encode_stray(text), expected);
    check("http://a/b?c=%5b#d", "http://a/b?c=%5b#d");
    check("http://[::1]/{a}|b", "http://[::1]/%7Ba%7D%7Cb");
    check("http://[::1]?é", "http://[::1]?%C3%A9");
    check("http://bücher/", "http://bücher/");
    check("a b\\c[", "a b\\c%5B");
    check(
        "/login?return[to]=https://app/x",
        "/login?return%5Bto%5D=https://app/x",
    );
    check("/a[1]//b", "/a%5B1%5D//b");
    check("//h[/a[", "//h[/a%5B");
    check("a[1]", "a%5B1%5D");
    check("", "");
}
