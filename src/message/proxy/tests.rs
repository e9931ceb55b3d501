use super::*;
use crate::error::ErrorKind;

fn parsed(text: &str) -> Proxy {
    Proxy::parse(text).unwrap_or_else(|error| panic!("{text:?}: {error}"))
}

fn rule(error: &Error) -> ProxyRule {
    match error.kind() {
        ErrorKind::LocalProxy(rule) => rule,
        other => panic!("{other:?}"),
    }
}

#[test]
fn proxies_are_read() {
    let table = [
        ("proxy", "http://proxy:80", "proxy"),
        ("Proxy:3128", "http://proxy:3128", "proxy"),
        ("http://proxy/", "http://proxy:80", "proxy"),
        ("HTTPS://proxy", "https://proxy:443", "proxy"),
        ("https://proxy:", "https://proxy:443", "proxy"),
        ("socks5://proxy", "socks5://proxy:1080", "proxy"),
        ("Socks5H://proxy.", "socks5h://proxy.:1080", "proxy."),
        ("http://192.0.2.7:1", "http://192.0.2.7:1", "192.0.2.7"),
        ("[::1]", "http://[::1]:80", "::1"),
        (
            "[2001:DB8:0::7]:8080",
            "http://[2001:db8::7]:8080",
            "2001:db8::7",
        ),
        (
            "https://[fe80::1%25eth0]",
            "https://[fe80::1]:443",
            "fe80::1",
        ),
        ("http://u:p@proxy:1", "http://proxy:1", "proxy"),
    ];
    for (text, shown, host) in table {
        let proxy = parsed(text);
        assert_eq!((&*proxy.to_string(), proxy.host()), (shown, host), "{text}");
        assert!(shown.ends_with(&format!("://{}", proxy.authority())));
    }
    let zoned = parsed("[fe80::1%25eth0]");
    assert!(matches!(zoned.dialed(), Host::V6(_, Some("eth0"))));
}

#[test]
fn malformed_proxies_are_refused() {
    use ProxyRule as R;
    let table = [
        ("", R::Url(UrlError::EmptyHost { offset: 0 })),
        ("http://", R::Url(UrlError::EmptyHost { offset: 7 })),
        (":3128", R::Url(UrlError::EmptyHost { offset: 0 })),
        ("socks4://proxy", R::Scheme),
        ("socks://proxy", R::Scheme),
        ("ftp://proxy", R::Scheme),
        ("://proxy", R::Scheme),
        (" http://proxy", R::Scheme),
        ("proxy/path", R::Path),
        ("http://proxy/path", R::Path),
        ("http://proxy//", R::Path),
        ("http://proxy?q", R::Path),
        ("http://proxy/#", R::Path),
        ("http://proxy:0", R::Url(UrlError::Port { offset: 13 })),
        ("proxy:65536", R::Url(UrlError::Port { offset: 6 })),
        ("proxy:+1", R::Url(UrlError::Port { offset: 6 })),
        ("pro xy", R::Url(UrlError::Host { offset: 3 })),
        ("proxy\r\n", R::Url(UrlError::Host { offset: 5 })),
        ("pr\u{f6}xy", R::Url(UrlError::Host { offset: 2 })),
        ("http://a@b@proxy", R::Url(UrlError::Host { offset: 10 })),
        ("::1", R::Url(UrlError::Ipv6 { offset: 0 })),
        ("127.1", R::Url(UrlError::LegacyIpv4 { offset: 0 })),
        (
            "http://u\n@proxy",
            R::Url(UrlError::Character { offset: 8 }),
        ),
        (
            "http://u%zz@proxy",
            R::Url(UrlError::PercentEncoding { offset: 8 }),
        ),
        ("http://a%3Ab:c@proxy", R::Credentials),
        ("https://a:b%0Ac@proxy", R::Credentials),
        ("socks5://u@proxy", R::SocksCredentials),
        ("socks5h://:p@proxy", R::SocksCredentials),
    ];
    for (text, expected) in table {
        let error = Proxy::parse(text).unwrap_err();
        assert_eq!(rule(&error), expected, "{text:?}");
    }
    let long = "p".repeat(MAX_URL_BYTES + 1);
    assert_eq!(
        rule(&Proxy::parse(&long).unwrap_err()),
        R::Url(UrlError::TooLong)
    );
}

/// curl's test of userinfo with reserved characters (X01).
#[test]
fn credentials_are_decoded_and_encoded_by_their_scheme() {
    let basic = |text: &str| parsed(text).basic();
    assert_eq!(basic("http://proxy"), None);
    assert_eq!(basic("http://@proxy"), None);
    assert_eq!(
        basic("http://Aladdin:open%20sesame@p").as_deref(),
        Some("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==")
    );
    assert_eq!(basic("http://u@p").as_deref(), Some("Basic dTo="));
    assert_eq!(basic("http://:p@p").as_deref(), Some("Basic OnA="));
    assert_eq!(
        basic("https://u:a%40b%3A%2F%25@p").as_deref(),
        Some("Basic dTphQGI6LyU=")
    );
    assert_eq!(basic("https://u:a:b@p").as_deref(), Some("Basic dTphOmI="));
    assert_eq!(basic("socks5://u:p@p"), None);
    let socks = parsed("socks5://u%3A%00:p%ff@p");
    let credentials = socks.credentials().unwrap();
    assert_eq!(
        (credentials.user(), credentials.password()),
        (&b"u:\0"[..], &b"p\xff"[..])
    );
}

#[test]
fn credentials_can_be_set_and_replaced() {
    let proxy = parsed("http://old:old@p")
        .with_credentials("Aladdin", "open sesame")
        .unwrap();
    assert_eq!(
        proxy.basic().as_deref(),
        Some("Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==")
    );
    for (user, password) in [("a:b", "c"), ("a", "b\n"), ("\0", "")] {
        let error = parsed("p").with_credentials(user, password).unwrap_err();
        assert_eq!(rule(&error), ProxyRule::Credentials);
    }
    let (most, over) = ("x".repeat(255), "x".repeat(256));
    for (user, password, is_fine) in [
        (&*most, &*most, true),
        ("", "p", false),
        ("u", "", false),
        (&*over, "p", false),
        ("u", &*over, false),
    ] {
        let result = parsed("socks5h://p").with_credentials(user, password);
        match result {
            Ok(_) => assert!(is_fine),
            Err(error) => assert_eq!(
                (is_fine, rule(&error)),
                (false, ProxyRule::SocksCredentials)
            ),
        }
    }
}

#[test]
fn fields_for_connect_are_checked() {
    let kind = |proxy: Proxy, name: &str, value: &str| {
        proxy.connect_field(name, value).unwrap_err().kind()
    };
    for name in OWNED {
        let owned = ErrorKind::LocalField(FieldError::ConnectionOwned);
        assert_eq!(
            kind(parsed("p"), &name.to_ascii_uppercase(), "x"),
            owned,
            "{name}"
        );
    }
    let byte = ErrorKind::LocalField(FieldError::ValueByte { offset: 1 });
    assert_eq!(kind(parsed("p"), "X", "a\r\nHost: b"), byte);
    assert_eq!(
        kind(parsed("p"), "X Y", "a"),
        ErrorKind::LocalField(FieldError::NameByte { offset: 1 })
    );
    let repeated = ErrorKind::LocalField(FieldError::Repeated);
    assert_eq!(
        kind(parsed("u:p@p"), "proxy-authorization", "Bearer x"),
        repeated
    );
    let bearer = parsed("p")
        .connect_field("Proxy-Authorization", "Bearer x")
        .unwrap();
    assert_eq!(
        kind(bearer.clone(), "Proxy-Authorization", "Bearer y"),
        repeated
    );
    assert_eq!(
        bearer.with_credentials("u", "p").unwrap_err().kind(),
        repeated
    );
    let two = parsed("p")
        .connect_field("X-A", "1")
        .unwrap()
        .connect_field("X-A", "2")
        .unwrap();
    assert_eq!(
        (two.connect_fields().len(), two.request_fields().len()),
        (2, 0)
    );
    let three = two.field("X-A", "3").unwrap();
    assert_eq!(
        (three.connect_fields().len(), three.request_fields().len()),
        (3, 1)
    );
    assert_eq!(
        parsed("p").field("Host", "x").unwrap_err().kind(),
        ErrorKind::LocalField(FieldError::ConnectionOwned)
    );
}

/// What differs in anything that goes to the proxy shares no connection (TRUST 76).
#[test]
fn proxies_are_equal_in_all_or_not_at_all() {
    let texts = [
        "http://p",
        "https://p:80",
        "socks5://p:80",
        "socks5h://p:80",
        "http://q",
        "http://p.",
        "http://p:81",
        "http://u:p@p",
        "http://u:q@p",
        "http://v:p@p",
        "[fe80::1]",
        "[fe80::1%25a]",
        "[fe80::1%25b]",
    ];
    let mut all: Vec<Proxy> = texts.iter().map(|text| parsed(text)).collect();
    for (name, value) in [("X-A", "1"), ("X-A", "2"), ("X-B", "1")] {
        all.push(parsed("p").connect_field(name, value).unwrap());
        all.push(parsed("p").field(name, value).unwrap());
    }
    for (i, one) in all.iter().enumerate() {
        for (k, other) in all.iter().enumerate() {
            assert_eq!(one == other, i == k, "{one:?} {other:?}");
            assert_eq!(one.cmp(other), other.cmp(one).reverse());
        }
    }
    assert_eq!(parsed("HTTP://P:80/"), parsed("p"));
    assert_eq!(parsed("http://%75:p@p"), parsed("http://u:p@p"));
}

#[test]
fn secrets_are_never_shown() {
    let proxy = parsed("http://canary-user:canary-pass@p")
        .connect_field("X-Secret", "canary-field")
        .unwrap()
        .field("X-Other", "canary-too")
        .unwrap();
    assert!(proxy.has_credentials());
    let shown = format!("{proxy} {proxy:?} {proxy:#?} {:?}", proxy.credentials());
    assert!(!shown.contains("canary"), "{shown}");
    for text in [
        "http://canary:canary@p/canary",
        "http://canary%00:canary@p",
        "http://canary:can/ary@p",
        "canary://canary:canary@p",
        "http://canary:canary@p:canary",
        "socks5://canary@p",
    ] {
        let error = Proxy::parse(text).unwrap_err();
        let shown = format!("{error} {error:?}");
        assert!(!shown.contains("canary"), "{shown}");
    }
}
