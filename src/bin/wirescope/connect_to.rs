//! `--connect-to HOST1:PORT1:HOST2:PORT2`, as curl reads it.

/// What it has to look like.
pub(crate) const FORM: &str = "not HOST1:PORT1:HOST2:PORT2, where parts may be empty";

/// One half of it. An empty host and port 0 are empty parts.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Place<'a> {
    pub(crate) host: &'a str,
    pub(crate) port: u16,
}

/// Reads it: what a URL says, and what is connected to instead. IPv6 addresses stand in brackets.
pub(crate) fn read(text: &str) -> Option<(Place<'_>, Place<'_>)> {
    let (host, rest) = host(text)?;
    let (from_port, rest) = rest.split_once(':')?;
    let (to_host, to_port) = self::host(rest)?;
    let from = Place {
        host,
        port: port(from_port)?,
    };
    let to = Place {
        host: to_host,
        port: port(to_port)?,
    };
    Some((from, to))
}

/// Splits at the colon after a host.
fn host(text: &str) -> Option<(&str, &str)> {
    if !text.starts_with('[') {
        return text.split_once(':');
    }
    let (host, rest) = text.split_at(text.find(']')? + 1);
    Some((host, rest.strip_prefix(':')?))
}

fn port(text: &str) -> Option<u16> {
    if text.is_empty() {
        return Some(0);
    }
    let is_number = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse().ok().filter(|port| is_number && *port != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Option<(&str, u16, &str, u16)>) {
        let read = read(text).map(|(from, to)| (from.host, from.port, to.host, to.port));
        assert_eq!(read, expected, "{text}");
    }

    #[test]
    fn parts_may_be_empty_and_addresses_in_brackets() {
        check("a:80:b:8080", Some(("a", 80, "b", 8080)));
        check(":::", Some(("", 0, "", 0)));
        check("::b:", Some(("", 0, "b", 0)));
        check("a:443::8443", Some(("a", 443, "", 8443)));
        check(
            "[::1]:80:[fe80::2]:81",
            Some(("[::1]", 80, "[fe80::2]", 81)),
        );
        check("a::[::1]:", Some(("a", 0, "[::1]", 0)));
    }

    #[test]
    fn anything_else_is_refused() {
        for text in [
            "",
            "a",
            "a:80",
            "a:80:b",
            "a:x:b:80",
            "a:80:b:x",
            "a:0:b:80",
            "a:80:b:+1",
            "a:80:b:65536",
            "a:80:b:80:",
            "::1:80:b:80",
            "[::1:80:b:80",
            "[::1]80:b:80",
        ] {
            check(text, None);
        }
    }
}
