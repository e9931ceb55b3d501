use super::*;
use crate::error::{ErrorKind, UrlError};

/// What is chosen for a URL: the proxy or none, and by what.
fn shown(proxies: &Proxies, url: &str) -> String {
    let url = Url::parse(url).unwrap();
    match proxies.choose(&url).unwrap() {
        None => "-".to_owned(),
        Some(Choice {
            proxy,
            source,
            rule,
        }) => {
            let proxy = proxy.map_or_else(|| "none".to_owned(), |proxy| proxy.to_string());
            let rule = rule.map_or_else(String::new, |rule| format!(" {rule}"));
            format!("{proxy} by {}{rule}", source.tag())
        }
    }
}

fn environment(variables: &[(&str, &str)]) -> Result<Proxies, Error> {
    let read = |name: &str| {
        let found = variables.iter().find(|(one, _)| *one == name);
        found.map(|(_, value)| (*value).to_owned())
    };
    Environment::read(read, Ok).map(Proxies::of_environment)
}

/// Each variable that is set to a proxy is changed, and an error of the change names it.
#[test]
fn proxies_of_the_environment_can_be_changed() {
    let read = |name: &str| {
        ["https_proxy", "all_proxy"]
            .contains(&name)
            .then(|| "p".to_owned())
    };
    let known = |proxy: Proxy| proxy.with_credentials("u", "p");
    let proxies = Environment::read(read, known)
        .map(Proxies::of_environment)
        .unwrap();
    for url in ["http://a.test/", "https://a.test/"] {
        let choice = proxies.choose(&Url::parse(url).unwrap()).unwrap().unwrap();
        assert!(choice.proxy.unwrap().has_credentials(), "{url}");
    }
    let refused = |proxy: Proxy| proxy.with_credentials("a:b", "p");
    let error = Environment::read(read, refused).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LocalProxy(ProxyRule::Credentials));
    assert!(error.to_string().contains("https_proxy"), "{error}");
}

#[test]
fn proxies_of_the_environment_are_known_as_such() {
    let set = environment(&[("all_proxy", "p:1")]).unwrap();
    assert!(set.are_of_environment());
    assert!(set.but_for(Some(Arc::default())).are_of_environment());
    for other in [
        environment(&[]).unwrap(),
        Proxies::default(),
        Proxies::one(Proxy::parse("p:1").ok().into()),
    ] {
        assert!(!other.are_of_environment(), "{other:?}");
    }
}

/// Variables, URL, what is chosen.
type Row<'a> = (&'a [(&'a str, &'a str)], &'a str, &'a str);

/// Scenario X11: variables, URL, what is chosen. The cases of Go's and curl's tables in our words.
#[test]
fn rfc_f26_x11_the_table_of_the_environment() {
    let http = "http://example.com/";
    let https = "https://example.com/";
    let table: &[Row<'_>] = &[
        (&[], http, "-"),
        (
            &[("http_proxy", "p")],
            http,
            "http://p:80 by environment http_proxy",
        ),
        (&[("http_proxy", "p")], https, "-"),
        (
            &[("https_proxy", "p")],
            https,
            "http://p:80 by environment https_proxy",
        ),
        (&[("https_proxy", "p")], http, "-"),
        (
            &[("HTTP_PROXY", "p:1")],
            http,
            "http://p:1 by environment HTTP_PROXY",
        ),
        (
            &[("HTTPS_PROXY", "https://p")],
            https,
            "https://p:443 by environment HTTPS_PROXY",
        ),
        (
            &[("all_proxy", "p")],
            http,
            "http://p:80 by environment all_proxy",
        ),
        (
            &[("ALL_PROXY", "socks5h://p")],
            https,
            "socks5h://p:1080 by environment ALL_PROXY",
        ),
        // Lower case first, the scheme's own first, and empty is none.
        (
            &[("HTTP_PROXY", "q"), ("http_proxy", "p")],
            http,
            "http://p:80 by environment http_proxy",
        ),
        (
            &[("HTTPS_PROXY", "q"), ("https_proxy", "p")],
            https,
            "http://p:80 by environment https_proxy",
        ),
        (
            &[("ALL_PROXY", "q"), ("all_proxy", "p")],
            http,
            "http://p:80 by environment all_proxy",
        ),
        (
            &[("all_proxy", "q"), ("http_proxy", "p")],
            http,
            "http://p:80 by environment http_proxy",
        ),
        (
            &[("all_proxy", "q"), ("http_proxy", "p")],
            https,
            "http://q:80 by environment all_proxy",
        ),
        (
            &[("all_proxy", "q"), ("HTTPS_PROXY", "p")],
            https,
            "http://p:80 by environment HTTPS_PROXY",
        ),
        (
            &[("http_proxy", ""), ("HTTP_PROXY", "p")],
            http,
            "http://p:80 by environment HTTP_PROXY",
        ),
        (
            &[("http_proxy", ""), ("all_proxy", "p")],
            http,
            "http://p:80 by environment all_proxy",
        ),
        (&[("http_proxy", "")], http, "-"),
        // Where a server runs us for a request.
        (&[("HTTP_PROXY", "p"), ("REQUEST_METHOD", "GET")], http, "-"),
        (&[("HTTP_PROXY", "p"), ("REQUEST_METHOD", "")], http, "-"),
        (
            &[
                ("HTTP_PROXY", "q"),
                ("http_proxy", "p"),
                ("REQUEST_METHOD", "GET"),
            ],
            http,
            "http://p:80 by environment http_proxy",
        ),
        (
            &[
                ("HTTP_PROXY", "q"),
                ("ALL_PROXY", "p"),
                ("REQUEST_METHOD", "GET"),
            ],
            http,
            "http://p:80 by environment ALL_PROXY",
        ),
        (
            &[("HTTPS_PROXY", "p"), ("REQUEST_METHOD", "GET")],
            https,
            "http://p:80 by environment HTTPS_PROXY",
        ),
        // Hosts that are reached straight.
        (
            &[("http_proxy", "p"), ("no_proxy", "*")],
            http,
            "none by no_proxy *",
        ),
        (
            &[("http_proxy", "p"), ("NO_PROXY", "example.com")],
            http,
            "none by no_proxy example.com",
        ),
        (
            &[("http_proxy", "p"), ("no_proxy", ".com"), ("NO_PROXY", "x")],
            http,
            "none by no_proxy .com",
        ),
        (
            &[
                ("http_proxy", "p"),
                ("no_proxy", "x"),
                ("NO_PROXY", "example.com"),
            ],
            http,
            "http://p:80 by environment http_proxy",
        ),
        (
            &[("http_proxy", "p"), ("no_proxy", ""), ("NO_PROXY", "*")],
            http,
            "none by no_proxy *",
        ),
        (&[("no_proxy", "*")], http, "-"),
        (&[("https_proxy", "p"), ("no_proxy", "*")], http, "-"),
        // This machine.
        (
            &[("http_proxy", "p")],
            "http://localhost/",
            "none by loopback",
        ),
        (
            &[("http_proxy", "p")],
            "http://LocalHost.:8080/",
            "none by loopback",
        ),
        (
            &[("http_proxy", "p")],
            "http://a.localhost/",
            "none by loopback",
        ),
        (
            &[("all_proxy", "p")],
            "https://127.8.9.1/",
            "none by loopback",
        ),
        (
            &[("http_proxy", "p")],
            "http://[::1]:1/",
            "none by loopback",
        ),
        (
            &[("http_proxy", "p")],
            "http://[::ffff:127.0.0.1]/",
            "none by loopback",
        ),
        (
            &[("http_proxy", "p")],
            "http://128.0.0.1/",
            "http://p:80 by environment http_proxy",
        ),
        (
            &[("http_proxy", "p")],
            "http://mylocalhost/",
            "http://p:80 by environment http_proxy",
        ),
    ];
    for (variables, url, expected) in table {
        let proxies = environment(variables).unwrap();
        assert_eq!(shown(&proxies, url), *expected, "{variables:?} {url}");
    }
}

#[test]
fn rfc_f26_a_variable_that_cannot_be_read_is_named_and_not_shown() {
    for name in [
        "http_proxy",
        "HTTP_PROXY",
        "https_proxy",
        "HTTPS_PROXY",
        "all_proxy",
        "ALL_PROXY",
    ] {
        let error = environment(&[(name, "ftp://canary:canary@canary")]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::LocalProxy(ProxyRule::Scheme));
        let text = format!("{error} {error:?}");
        assert!(text.contains(name) && !text.contains("canary"), "{text}");
    }
    let error = environment(&[("http_proxy", "p\u{fffd}")]).unwrap_err();
    let rule = ProxyRule::Url(UrlError::Host { offset: 1 });
    assert_eq!(error.kind(), ErrorKind::LocalProxy(rule));
    // What does not count does not fail.
    assert!(environment(&[("http_proxy", "p"), ("HTTP_PROXY", "ftp://p")]).is_ok());
    assert!(environment(&[("HTTP_PROXY", "ftp://p"), ("REQUEST_METHOD", "GET")]).is_ok());
}

#[test]
fn an_explicit_proxy_is_for_all_but_the_hosts_of_the_list() {
    let given = |text| GivenProxy::from(Some(Proxy::parse(text).unwrap()));
    let one = Proxies::one(given("p"));
    // Other than with one of the environment, for this machine too.
    for url in [
        "http://example.com/",
        "https://example.com/",
        "http://localhost/",
        "http://127.0.0.1/",
    ] {
        assert_eq!(shown(&one, url), "http://p:80 by explicit");
    }
    let list = Some(Arc::new(NoProxy::parse("a.test")));
    let one = one.but_for(list);
    assert_eq!(shown(&one, "http://b.test/"), "http://p:80 by explicit");
    assert_eq!(shown(&one, "http://a.test/"), "none by no_proxy a.test");
    let replaced = one.replaced(given("q"));
    assert_eq!(
        shown(&replaced, "http://b.test/"),
        "http://q:80 by explicit"
    );
    assert_eq!(
        shown(&replaced, "http://a.test/"),
        "none by no_proxy a.test"
    );
    assert_eq!(shown(&one.replaced(None.into()), "http://b.test/"), "-");
    assert_eq!(shown(&Proxies::default(), "http://b.test/"), "-");
}

#[test]
fn a_list_of_the_caller_stands_in_the_place_of_that_of_the_environment() {
    let variables = [("all_proxy", "p"), ("no_proxy", "a.test")];
    let list = Some(Arc::new(NoProxy::parse("b.test")));
    let proxies = environment(&variables).unwrap().but_for(list);
    assert_eq!(
        shown(&proxies, "http://a.test/"),
        "http://p:80 by environment all_proxy"
    );
    assert_eq!(shown(&proxies, "http://b.test/"), "none by no_proxy b.test");
    assert_eq!(shown(&proxies, "http://localhost/"), "none by loopback");
}

#[test]
fn a_function_chooses_by_the_url_and_may_fail() {
    let proxies = Proxies::function(Arc::new(|url: &Url| match url.path() {
        "/p" => Ok(Some(Proxy::parse("p")?)),
        "/none" => Ok(None),
        _ => Err("no idea".into()),
    }));
    assert_eq!(
        shown(&proxies, "http://a.test/p"),
        "http://p:80 by function"
    );
    assert_eq!(shown(&proxies, "http://a.test/none"), "none by function");
    let url = Url::parse("http://a.test/").unwrap();
    let error = proxies.choose(&url).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::LocalProxy(ProxyRule::Choice));
    let source = std::error::Error::source(&error).map(ToString::to_string);
    assert_eq!(source.as_deref(), Some("no idea"));
    let list = Some(Arc::new(NoProxy::parse("a.test")));
    assert_eq!(
        shown(&proxies.but_for(list), "http://a.test/"),
        "none by no_proxy a.test"
    );
}
