//! URLs and the second opinion of the crate `url`, which reads them as browsers do: what is not refused here has the
//! same scheme, host and port there.
//!
//! Two readers that disagree about a host are how a filter is passed by (rows H1 to H11). So there is no third way: a
//! text is refused, or both readers go to the same server. The two exceptions stand in [`Differs`].

mod table;

use proptest::prelude::*;
use wirescope::message::url::{Host, Url};

use self::table::{ACCEPTED, ALONE, REFERENCES, REFUSED};

/// Where a URL leads.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Led {
    scheme: String,
    host: url::Host<String>,
    port: u16,
}

/// Why the other reader refuses what is accepted here. Nothing is read by both in two ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Differs {
    /// It has no zones of addresses (RFC 6874). Without its zone the URL is the same for both.
    Zone,
    /// It decodes labels that begin with `xn--` and refuses what is not well formed. Here they pass as they are
    /// (row H9): to a resolver they are names like others.
    Label,
}

fn ours(url: &Url) -> Led {
    Led {
        scheme: url.scheme().as_str().to_owned(),
        host: match url.host() {
            Host::Name(name) => url::Host::Domain(name.to_owned()),
            Host::V4(addr) => url::Host::Ipv4(addr),
            Host::V6(addr, _) => url::Host::Ipv6(addr),
        },
        port: url.port(),
    }
}

fn theirs(url: &url::Url) -> Led {
    Led {
        scheme: url.scheme().to_owned(),
        host: url.host().unwrap().to_owned(),
        port: url.port_or_known_default().unwrap(),
    }
}

/// The exception that this URL falls under, if any.
fn exception(url: &Url) -> Option<Differs> {
    match url.host() {
        Host::V6(_, Some(_)) => Some(Differs::Zone),
        Host::Name(name) if name.split('.').any(|label| label.starts_with("xn--")) => {
            Some(Differs::Label)
        }
        Host::Name(_) | Host::V4(_) | Host::V6(_, None) => None,
    }
}

/// Compares what both make of a text; where it leads if it is accepted here.
#[track_caller]
fn agree(
    text: &str,
    ours_is: Option<&Url>,
    theirs_is: Result<url::Url, url::ParseError>,
) -> Option<Led> {
    let found = ours_is?;
    let led = ours(found);
    match (theirs_is, exception(found)) {
        (Ok(other), _) => assert_eq!(theirs(&other), led, "{text:?}"),
        (Err(_), Some(Differs::Zone)) => {
            let other = url::Url::parse(found.as_str()).unwrap();
            assert_eq!(theirs(&other), led, "{text:?}");
        }
        (Err(_), Some(Differs::Label)) => {}
        (Err(error), None) => panic!("{text:?} leads to {led:?} here, there: {error}"),
    }
    Some(led)
}

#[track_caller]
fn read(text: &str) -> Option<Led> {
    agree(text, Url::parse(text).ok().as_ref(), url::Url::parse(text))
}

#[track_caller]
fn joined(base: &str, reference: &str) -> Option<Led> {
    let there = url::Url::parse(base).unwrap().join(reference);
    let here = Url::parse(base).unwrap().join(reference).ok();
    agree(&format!("{base} + {reference}"), here.as_ref(), there)
}

#[test]
fn rfc_h1_to_h11_what_is_accepted_leads_where_the_crate_url_says() {
    for &(text, host, port) in ACCEPTED {
        let led = read(text).unwrap_or_else(|| panic!("{text:?} is refused"));
        assert_eq!((&*led.host.to_string(), led.port), (host, port), "{text:?}");
    }
    println!("{} are accepted by both", ACCEPTED.len());
}

#[test]
fn rfc_h1_to_h11_what_can_be_read_in_two_ways_is_refused() {
    let mut elsewhere = 0;
    for text in REFUSED {
        assert_eq!(read(text), None, "{text:?}");
        elsewhere += usize::from(url::Url::parse(text).is_ok_and(|url| url.has_host()));
    }
    println!(
        "{} are refused, {elsewhere} of them by us alone",
        REFUSED.len()
    );
    // The table would say little if the other reader refused the same.
    assert!(REFUSED.len() >= 250 && elsewhere >= 80);
}

#[test]
fn what_the_crate_url_alone_refuses_has_a_reason() {
    for &(text, why) in ALONE {
        assert!(read(text).is_some(), "{text:?}");
        assert!(url::Url::parse(text).is_err(), "{text:?}");
        assert_eq!(exception(&Url::parse(text).unwrap()), Some(why), "{text:?}");
    }
}

#[test]
fn long_names_lead_to_the_same_host_or_nowhere() {
    let label = "a".repeat(63);
    let whole = [&*label, &label, &label, &"a".repeat(61)].join(".");
    for (host, is_accepted) in [
        (label.clone(), true),
        (format!("{label}a"), false),
        (format!("{label}a.test"), false),
        (whole.clone(), true),
        (format!("{whole}."), true),
        (format!("{whole}a"), false),
        (vec!["a"; 127].join("."), true),
        (vec!["a"; 128].join("."), false),
    ] {
        assert_eq!(read(&format!("http://{host}/")).is_some(), is_accepted);
    }
}

#[test]
fn rfc_f8_rfc_h1_references_lead_where_the_crate_url_says_or_nowhere() {
    for base in [
        "https://good.test:8443/a/b?c#d",
        "https://u:p@good.test:8443",
    ] {
        for &(reference, expected) in REFERENCES {
            let led = joined(base, reference);
            let led = led.map(|led| (led.host.to_string(), led.port));
            let expected = expected.map(|(host, port)| (host.to_owned(), port));
            assert_eq!(led, expected, "{base} + {reference:?}");
        }
    }
}

/// Texts that are made of what URLs are made of, and of what passes filters by.
fn nasty() -> impl Strategy<Value = String> {
    let scheme = prop_oneof![
        8 => prop::sample::select(vec!["http://", "https://", "HtTp://", "http://", "https://", "//"]),
        1 => prop::sample::select(vec!["http:", "http:/", "http:///", "http:\\\\", "ftp://", "", "http:/\\"]),
    ];
    let userinfo = prop_oneof![
        9 => Just(String::new()),
        1 => "[a-z0-9:._%@!\\[]{0,6}@",
    ];
    let host = prop_oneof![
        3 => "[a-zA-Z0-9._-]{1,12}",
        2 => "(0x|0|)[0-9a-f]{0,4}(\\.(0x|0|)[0-9a-f]{0,4}){0,4}\\.?",
        2 => "[0-9]{1,3}(\\.[0-9]{1,3}){3}\\.?",
        2 => "\\[[0-9a-f:]{2,20}\\]",
        1 => "\\[(::|[0-9a-f]{1,4}:){1,7}([0-9]{1,3}\\.){3}[0-9]{1,3}\\]",
        1 => "\\[[0-9a-f]{1,4}::[0-9a-f]{1,4}(%25|%)[a-z0-9%]{0,4}\\]",
        1 => "(a\\.)?[xX][nN]--[a-z0-9-]{0,10}(\\.b)?",
        1 => "[a-z]{1,3}[\\PC%\\\\@#?/\t\n \u{ad}\u{3002}\u{ff0e}]{0,3}[a-z.]{1,4}",
    ];
    let port = prop_oneof![
        4 => Just(String::new()),
        3 => ":[0-9]{0,5}",
        1 => ":[0-9a-fx+ -]{0,4}(:[0-9]{1,2})?",
    ];
    let rest = prop_oneof![
        2 => Just(String::new()),
        2 => "[/?#][a-z0-9/.@:%?#\\\\]{0,10}",
    ];
    (scheme, userinfo, host, port, rest).prop_map(|(scheme, userinfo, host, port, rest)| {
        [scheme, &userinfo, &host, &port, &rest].concat()
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(8_000))]

    #[test]
    fn rfc_h1_any_text_is_refused_or_leads_where_the_crate_url_says(text in nasty()) {
        read(&text);
    }

    #[test]
    fn rfc_f8_any_reference_is_refused_or_leads_where_the_crate_url_says(reference in nasty()) {
        joined("https://good.test:8443/a/b?c#d", &reference);
    }
}

#[test]
fn the_texts_that_are_drawn_are_accepted_often_enough_to_say_something() {
    use proptest::strategy::ValueTree;
    use proptest::test_runner::TestRunner;

    let mut runner = TestRunner::deterministic();
    let texts = (0..2000).map(|_| nasty().new_tree(&mut runner).unwrap().current());
    let accepted = texts.filter(|text| read(text).is_some()).count();
    assert!((200..1700).contains(&accepted), "{accepted} of 2000");
}
