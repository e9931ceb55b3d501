//! What is asked for beside HTTP: the protocols of an upgrade, and the target of a CONNECT.

use std::sync::Arc;

use crate::error::{Error, FieldError, RequestRule};
use crate::message::fields::is_token_byte;
use crate::message::url::Url;
use crate::proto::connect::authority_form;
use crate::proto::plan::refused;

/// Checks the name of a protocol: a token, with or without a `/` and a version (RFC 9110 §7.8).
///
/// # Errors
/// [`FieldError::Protocol`].
pub(crate) fn check_protocol(name: &str) -> Result<(), Error> {
    let is_token = |part: &str| !part.is_empty() && part.bytes().all(is_token_byte);
    let is_protocol = match name.split_once('/') {
        Some((name, version)) => is_token(name) && is_token(version),
        None => is_token(name),
    };
    if is_protocol {
        Ok(())
    } else {
        Err(refused("Upgrade", FieldError::Protocol))
    }
}

/// Reads what a CONNECT asks for: a host, an IPv6 address in brackets, and a port, which has no default here
/// (RFC 9112 §3.2.3). A zone means nothing elsewhere and is left out.
///
/// # Errors
/// [`RequestRule::ConnectTarget`].
pub(crate) fn connect_target(text: &str) -> Result<Arc<str>, RequestRule> {
    let has_port = text.rsplit_once(':').is_some_and(|(_, port)| {
        !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit())
    });
    let is_more = text.contains(['/', '?', '#', '@', '\\']);
    if !has_port || is_more {
        return Err(RequestRule::ConnectTarget);
    }
    let url = Url::parse(&format!("http://{text}/")).map_err(|_| RequestRule::ConnectTarget)?;
    let host = url.host_str().trim_matches(['[', ']']);
    let target = authority_form(host, url.port()).ok_or(RequestRule::ConnectTarget)?;
    Ok(target.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc_a9_the_target_of_a_connect_is_host_and_port() {
        let check = |text: &str, target: &str| {
            assert_eq!(&*connect_target(text).unwrap(), target, "{text:?}");
        };
        check("db.example:5432", "db.example:5432");
        check("DB.Example:443", "db.example:443");
        check("db.example:80", "db.example:80");
        check("192.0.2.1:1", "192.0.2.1:1");
        check("[2001:db8::1]:443", "[2001:db8::1]:443");
        check("[fe80::1%25eth0]:443", "[fe80::1]:443");
        for bad in [
            "",
            ":",
            "db.example",
            "db.example:",
            "db.example:x",
            "db.example:-1",
            "db.example:0",
            "db.example:65536",
            "db.example:0x50",
            "u@db.example:80",
            "db.example:80/",
            "/db:80",
            "db:80?q",
            "db:80#f",
            "db\\x:80",
            "db.example :80",
            "db.exa\r\nmple:80",
            "db\0:80",
            "2001:db8::1:443",
            "[::1]",
            "[::1:80",
            "http://db:80",
            ":80",
            "a,b:80",
            "b\u{e4}r:80",
        ] {
            assert_eq!(
                connect_target(bad),
                Err(RequestRule::ConnectTarget),
                "{bad:?}"
            );
        }
    }

    #[test]
    fn rfc_a32_a_protocol_is_a_token_with_or_without_a_version() {
        for good in ["websocket", "h2c", "TLS/1.3", "x-a!b/2"] {
            assert!(check_protocol(good).is_ok(), "{good:?}");
        }
        for bad in [
            "",
            "/",
            "a/",
            "/1",
            "a/b/c",
            "a b",
            "a,b",
            "a\r\nX: y",
            "\u{e4}",
            "a;b",
        ] {
            assert!(check_protocol(bad).is_err(), "{bad:?}");
        }
    }
}
