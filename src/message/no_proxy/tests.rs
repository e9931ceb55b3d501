use proptest::prelude::*;

use super::*;

fn is_exempt(list: &str, host: &str, port: u16) -> bool {
    let url = Url::parse(&format!("http://{host}:{port}/")).unwrap();
    NoProxy::parse(list).rule_for(&url).is_some()
}

/// List, host, port, and whether the host is reached without a proxy.
const TABLE: &[(&str, &str, u16, bool)] = &[
    // Nothing, and everything.
    ("", "example.com", 80, false),
    (" ,, \t,", "example.com", 80, false),
    ("*", "example.com", 80, true),
    ("*", "127.0.0.1", 80, true),
    ("*", "[2001:db8::1]", 443, true),
    ("a.test,*", "example.com", 80, true),
    (" * ", "example.com", 80, true),
    ("*:8080", "example.com", 8080, true),
    ("*:8080", "example.com", 80, false),
    ("**", "example.com", 80, false),
    // A name and what is below it.
    ("example.com", "example.com", 80, true),
    ("example.com", "www.example.com", 80, true),
    ("example.com", "a.b.example.com", 443, true),
    ("example.com", "notexample.com", 80, false),
    ("example.com", "example.com.evil.test", 80, false),
    ("example.com", "example.co", 80, false),
    ("example.com", "com", 80, false),
    ("www.example.com", "example.com", 80, false),
    ("com", "example.com", 80, true),
    ("om", "example.com", 80, false),
    ("localhost", "localhost", 80, true),
    ("localhost", "mylocalhost", 80, false),
    ("under_score.test", "under_score.test", 80, true),
    // Only what is below a name.
    (".example.com", "example.com", 80, false),
    (".example.com", "www.example.com", 80, true),
    (".example.com", "a.b.example.com", 80, true),
    (".example.com", "notexample.com", 80, false),
    ("*.example.com", "example.com", 80, false),
    ("*.example.com", "www.example.com", 80, true),
    ("*.example.com", "notexample.com", 80, false),
    ("*example.com", "www.example.com", 80, false),
    ("*example.com", "notexample.com", 80, false),
    ("www.*.com", "www.example.com", 80, false),
    ("example.*", "example.com", 80, false),
    ("..example.com", "www.example.com", 80, false),
    (".", "example.com", 80, false),
    ("*.", "example.com", 80, false),
    // Case and the dot at the end.
    ("EXAMPLE.com", "example.COM", 80, true),
    (".Example.Com", "WWW.example.com", 80, true),
    ("example.com.", "example.com", 80, true),
    ("example.com", "example.com.", 80, true),
    ("example.com.", "www.example.com.", 80, true),
    (".example.com.", "www.example.com", 80, true),
    (".example.com", "example.com.", 80, false),
    ("example.com..", "example.com", 80, false),
    // Ports.
    ("example.com:80", "example.com", 80, true),
    ("example.com:80", "example.com", 8080, false),
    ("example.com:8080", "www.example.com", 8080, true),
    (".example.com:8080", "www.example.com", 8080, true),
    (".example.com:8080", "www.example.com", 80, false),
    ("example.com:", "example.com", 80, false),
    ("example.com:0", "example.com", 80, false),
    ("example.com:+80", "example.com", 80, false),
    ("example.com:80x", "example.com", 80, false),
    ("example.com:65616", "example.com", 80, false),
    ("example.com:80:80", "example.com", 80, false),
    ("192.0.2.7:8080", "192.0.2.7", 8080, true),
    ("192.0.2.7:8080", "192.0.2.7", 80, false),
    ("[2001:db8::7]:8080", "[2001:db8::7]", 8080, true),
    ("[2001:db8::7]:8080", "[2001:db8::7]", 80, false),
    ("2001:db8::7:8080", "[2001:db8::7]", 8080, false),
    ("2001:db8::7:8080", "[2001:db8::7:8080]", 80, true),
    // Separators.
    ("a.test,example.com", "example.com", 80, true),
    ("a.test, example.com", "example.com", 80, true),
    ("a.test example.com", "example.com", 80, true),
    ("a.test\texample.com\n", "example.com", 80, true),
    (",,example.com,,", "example.com", 80, true),
    ("a.test;example.com", "example.com", 80, false),
    // Addresses.
    ("192.0.2.7", "192.0.2.7", 80, true),
    ("192.0.2.7", "192.0.2.8", 80, false),
    ("0.2.7", "192.0.2.7", 80, false),
    (".2.7", "192.0.2.7", 80, false),
    ("*.2.7", "192.0.2.7", 80, false),
    ("7", "192.0.2.7", 80, false),
    ("192.0.2", "192.0.2.7", 80, false),
    ("192.0.2.", "192.0.2.7", 80, false),
    ("192.0.2.*", "192.0.2.7", 80, false),
    ("192.0.02.7", "192.0.2.7", 80, false),
    ("127.1", "127.0.0.1", 80, false),
    ("127.0.0.1", "localhost", 80, false),
    ("localhost", "127.0.0.1", 80, false),
    ("192.0.2.7", "192.0.2.7.example.com", 80, false),
    ("::1", "[::1]", 80, true),
    ("[::1]", "[::1]", 80, true),
    ("[::1", "[::1]", 80, false),
    ("::1]", "[::1]", 80, false),
    ("[::1]x", "[::1]", 80, false),
    ("0:0:0:0:0:0:0:1", "[::1]", 80, true),
    ("2001:DB8::7", "[2001:db8:0:0::7]", 80, true),
    ("[192.0.2.7]", "192.0.2.7", 80, false),
    // An IPv4 address inside an IPv6 one.
    ("192.0.2.7", "[::ffff:192.0.2.7]", 80, true),
    ("::ffff:192.0.2.7", "192.0.2.7", 80, true),
    ("::ffff:c000:207", "192.0.2.7", 80, true),
    ("[::ffff:192.0.2.7]:80", "192.0.2.7", 80, true),
    ("192.0.2.0/24", "[::ffff:192.0.2.7]", 80, true),
    ("::ffff:192.0.2.0/120", "192.0.2.7", 80, true),
    ("::ffff:192.0.2.0/120", "192.0.3.7", 80, false),
    ("::ffff:0:0/96", "192.0.2.7", 80, true),
    ("::/0", "192.0.2.7", 80, false),
    ("::/0", "[::ffff:192.0.2.7]", 80, false),
    ("::192.0.2.7", "192.0.2.7", 80, false),
    // Networks.
    ("10.0.0.0/8", "10.255.0.1", 80, true),
    ("10.0.0.0/8", "11.0.0.1", 80, false),
    ("10.1.2.3/8", "10.9.9.9", 80, true),
    ("192.0.2.128/25", "192.0.2.127", 80, false),
    ("192.0.2.128/25", "192.0.2.128", 80, true),
    ("192.0.2.7/32", "192.0.2.7", 80, true),
    ("192.0.2.7/32", "192.0.2.6", 80, false),
    ("0.0.0.0/0", "192.0.2.7", 80, true),
    ("0.0.0.0/0", "[2001:db8::1]", 80, false),
    ("0.0.0.0/0", "example.com", 80, false),
    ("2001:db8::/32", "[2001:db8:ffff::1]", 80, true),
    ("2001:db8::/32", "[2001:db9::1]", 80, false),
    ("::/0", "[2001:db8::1]", 80, true),
    ("::1/128", "[::1]", 80, true),
    ("10.0.0.0/33", "10.0.0.0", 80, false),
    ("::/129", "[::1]", 80, false),
    ("10.0.0.0/", "10.0.0.1", 80, false),
    ("10.0.0.0/-1", "10.0.0.1", 80, false),
    ("10.0.0.0/+8", "10.0.0.1", 80, false),
    ("10.0.0.0/8/8", "10.0.0.1", 80, false),
    ("10.0.0/8", "10.0.0.1", 80, false),
    ("10.0.0.0/8:80", "10.0.0.1", 80, false),
    ("[2001:db8::]/32", "[2001:db8::1]", 80, false),
    // A zone takes no part (CVE-2025-22870).
    ("*.example.com", "[::1%25.example.com]", 80, false),
    ("example.com", "[fe80::1%25example.com]", 80, false),
    (".example.com", "[fe80::1%25a.example.com]", 80, false),
    ("eth0", "[fe80::1%25eth0]", 80, false),
    ("fe80::1", "[fe80::1%25eth0]", 80, true),
    ("fe80::/10", "[fe80::1%25eth0]", 80, true),
    ("fe80::1%eth0", "[fe80::1%25eth0]", 80, false),
    ("[fe80::1%25eth0]", "[fe80::1%25eth0]", 80, false),
    // What is no entry.
    ("http://example.com", "example.com", 80, false),
    ("example.com/", "example.com", 80, false),
    ("user@example.com", "example.com", 80, false),
    ("ex\u{e4}mple.com", "example.com", 80, false),
    ("-", "example.com", 80, false),
];

#[test]
fn rfc_f25_the_table_of_no_proxy() {
    assert!(TABLE.len() >= 80, "{}", TABLE.len());
    for (list, host, port, expected) in TABLE {
        assert_eq!(
            is_exempt(list, host, *port),
            *expected,
            "{list:?} {host}:{port}"
        );
    }
}

#[test]
fn rfc_f25_the_first_entry_that_holds_is_told_as_it_was_given() {
    let list = NoProxy::parse("a.test, .Example.com:80 *");
    let rule = |url: &str| list.rule_for(&Url::parse(url).unwrap()).map(str::to_owned);
    assert_eq!(
        rule("http://www.example.com/").as_deref(),
        Some(".Example.com:80")
    );
    assert_eq!(rule("https://www.example.com/").as_deref(), Some("*"));
    assert!(NoProxy::parse("x:y, /").is_empty() && !list.is_empty());
}

/// The same by texts and bits, one entry at a time, without a parser of URLs.
mod naive {
    use std::net::IpAddr;

    pub(super) fn is_exempt(list: &str, host: &str, port: u16) -> bool {
        let entries = list.replace([' ', '\t', '\n', '\r'], ",");
        entries.split(',').any(|entry| holds(entry, host, port))
    }

    fn holds(entry: &str, host: &str, port: u16) -> bool {
        if matches!(bits(entry), Some(bits) if bits_of_host(host).as_deref() == Some(&*bits)) {
            return true;
        }
        if let Some((network, count)) = entry.split_once('/') {
            return in_network(network, count, host);
        }
        let entry = match entry.rsplit_once(':') {
            Some((front, text)) if text == port.to_string() => front,
            Some(_) if entry.ends_with(']') => entry,
            Some(_) => return false,
            None => entry,
        };
        if entry == "*" {
            return true;
        }
        let inside = entry
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'));
        let address = match inside {
            Some(inside) if inside.contains(':') => bits(inside),
            Some(_) => None,
            None if entry.contains(':') => None,
            None => bits(entry),
        };
        match (address, bits_of_host(host)) {
            (Some(entry), Some(host)) => entry == host,
            (None, None) => has_name(entry, host),
            _ => false,
        }
    }

    fn has_name(entry: &str, host: &str) -> bool {
        let below = entry
            .strip_prefix('*')
            .filter(|rest| rest.starts_with('.'))
            .unwrap_or(entry);
        let trim = |text: &str| text.strip_suffix('.').unwrap_or(text).to_lowercase();
        let (entry, host) = (trim(below), trim(host));
        if entry.trim_start_matches('.').is_empty() || entry.contains("..") || entry.ends_with('.')
        {
            return false;
        }
        match entry.starts_with('.') {
            true => host.ends_with(&entry),
            false => host == entry || host.ends_with(&format!(".{entry}")),
        }
    }

    fn in_network(network: &str, count: &str, host: &str) -> bool {
        let (Ok(ip), Ok(count), Some(host)) =
            (network.parse(), count.parse::<usize>(), bits_of_host(host))
        else {
            return false;
        };
        let (all, network) = (all_bits(ip), bits(network).unwrap_or_default());
        let skipped = all.len() - network.len();
        let network = if count < skipped { &all } else { &network };
        let count = if count < skipped {
            count
        } else {
            count - skipped
        };
        count <= network.len() && network.len() == host.len() && network[..count] == host[..count]
    }

    fn bits_of_host(host: &str) -> Option<String> {
        let bare = host.trim_matches(['[', ']']);
        bits(bare.split('%').next().unwrap_or_default())
    }

    /// The bits of an address, of an IPv4 one inside an IPv6 one the last 32.
    fn bits(text: &str) -> Option<String> {
        let bits = all_bits(text.parse().ok()?);
        let mapped = format!("{}{}", "0".repeat(80), "1".repeat(16));
        Some(
            bits.strip_prefix(&mapped)
                .map_or_else(|| bits.clone(), str::to_owned),
        )
    }

    fn all_bits(ip: IpAddr) -> String {
        let bytes = match ip {
            IpAddr::V4(ip) => ip.octets().to_vec(),
            IpAddr::V6(ip) => ip.octets().to_vec(),
        };
        bytes.iter().map(|byte| format!("{byte:08b}")).collect()
    }
}

#[test]
fn rfc_f25_the_naive_model_agrees_with_the_table() {
    for (list, host, port, expected) in TABLE {
        let is_strange = list.contains(['+', '@', '\u{e4}', ';']);
        if !is_strange {
            assert_eq!(
                naive::is_exempt(list, host, *port),
                *expected,
                "{list:?} {host}:{port}"
            );
        }
    }
}

fn host() -> impl Strategy<Value = String> {
    prop_oneof![
        "(a|b|ab)(\\.(a|b|example)){0,3}\\.?",
        "(1|10|192)\\.(0|1)\\.(0|1)\\.[0-3]",
        "\\[::[0-3]\\]",
        "\\[::ffff:(10|192)\\.0\\.0\\.[0-3]\\]",
        "\\[fe80::[0-3]%25(a|b|a\\.b)\\]",
    ]
}

fn entry() -> impl Strategy<Value = String> {
    let plain = prop_oneof![
        host(),
        host(),
        host().prop_map(|host| host.trim_matches(['[', ']']).to_owned()),
        "\\*?\\.?(a|b|ab)(\\.(a|b|example)){0,2}\\.{0,2}",
        "(10|192)\\.[01]\\.0\\.[0-3]/([0-9]|[123][0-9])",
        "::(ffff:10\\.0\\.0\\.1|[0-3])/([0-9]|1?[0-9][0-9])",
        "\\*",
    ];
    (
        plain,
        prop_oneof![3 => Just(""), 1 => Just(":80"), 1 => Just(":81")],
    )
        .prop_map(|(entry, port)| format!("{entry}{port}"))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    /// Z10: the list says what the naive model says.
    #[test]
    fn rfc_f25_as_a_naive_model(
        entries in prop::collection::vec(entry(), 1..4),
        host in host(),
        separator in "[, ]{1,2}",
    ) {
        let list = entries.join(&separator);
        prop_assert_eq!(is_exempt(&list, &host, 80), naive::is_exempt(&list, &host, 80), "{:?} {}", list, host);
    }

    /// Z10: neither case nor a dot at the end of a name nor a zone makes a difference, and no list is too strange.
    #[test]
    fn rfc_f25_case_dot_and_zone_make_no_difference(
        entries in prop::collection::vec(prop_oneof![entry(), ".{0,8}"], 0..4),
        name in "(a|b|ab)(\\.(a|b|example)){0,3}",
        zone in "[a-z.]{1,8}",
    ) {
        let list = entries.join(",");
        let dotted = format!("{name}.");
        prop_assert_eq!(is_exempt(&list, &name, 80), is_exempt(&list, &dotted, 80));
        prop_assert_eq!(is_exempt(&list, &name, 80), is_exempt(&list.to_ascii_uppercase(), &name.to_ascii_uppercase(), 80));
        let zoned = format!("[fe80::1%25{zone}]");
        prop_assert_eq!(is_exempt(&list, "[fe80::1]", 80), is_exempt(&list, &zoned, 80));
    }
}
