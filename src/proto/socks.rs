//! SOCKS version 5 on the wire: what a client says (RFC 1928, RFC 1929), and what it is told.
//!
//! The rules guarded here: every length is checked before the first byte is written, so no name can spill into what
//! follows it; and an answer is judged by its first byte that is wrong, however it was cut.
//!
//! ```text
//!   greeting(methods) -> method  [ login(user, password) -> verdict ]  request(target) -> reply
//! ```

use std::fmt;
use std::net::IpAddr;

use crate::error::{SocksReply, SocksRule};

const VERSION: u8 = 5;
const LOGIN_VERSION: u8 = 1;
const WITHOUT_LOGIN: u8 = 0;
const WITH_LOGIN: u8 = 2;
const NO_METHOD: u8 = 0xff;
const CONNECT: u8 = 1;
const RESERVED: u8 = 0;
const TYPE_V4: u8 = 1;
const TYPE_NAME: u8 = 3;
const TYPE_V6: u8 = 4;

/// Bytes of a reply before the bound address: version, reply, reserved, type.
const REPLY_HEAD: usize = 4;
/// Bytes of a port.
const PORT: usize = 2;

/// What a client says, ready to be written. It may hold a password, so that nothing of it is shown.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Message(Vec<u8>);

impl Message {
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{} B]", self.0.len())
    }
}

/// Where a proxy is to connect to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Destination<'a> {
    /// A name that the proxy looks up.
    Name(&'a str),
    /// An address.
    Address(IpAddr),
}

/// How one proves who one is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    /// Not at all.
    WithoutLogin,
    /// By user name and password.
    WithLogin,
    /// The proxy takes none of those offered.
    Refused,
}

/// Why a proxy did not connect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReplyFault {
    /// It says so.
    Refused(SocksReply),
    /// Its reply breaks a rule.
    Rule(SocksRule),
}

/// The methods that are offered: user name and password only by those who have them (RFC 1928 §3).
pub(crate) fn greeting(has_login: bool) -> Message {
    Message(if has_login {
        vec![VERSION, 2, WITHOUT_LOGIN, WITH_LOGIN]
    } else {
        vec![VERSION, 1, WITHOUT_LOGIN]
    })
}

/// User name and password (RFC 1929 §2); none if either has not 1 to 255 bytes.
pub(crate) fn login(user: &[u8], password: &[u8]) -> Option<Message> {
    let mut bytes = vec![LOGIN_VERSION];
    for part in [user, password] {
        bytes.push(length(part)?);
        bytes.extend_from_slice(part);
    }
    Some(Message(bytes))
}

/// The request for a connection (RFC 1928 §4); none if the name has not 1 to 255 bytes.
pub(crate) fn request(destination: Destination<'_>, port: u16) -> Option<Message> {
    let mut bytes = vec![VERSION, CONNECT, RESERVED];
    match destination {
        Destination::Address(IpAddr::V4(ip)) => {
            bytes.push(TYPE_V4);
            bytes.extend_from_slice(&ip.octets());
        }
        Destination::Address(IpAddr::V6(ip)) => {
            bytes.push(TYPE_V6);
            bytes.extend_from_slice(&ip.octets());
        }
        Destination::Name(name) => {
            bytes.extend_from_slice(&[TYPE_NAME, length(name.as_bytes())?]);
            bytes.extend_from_slice(name.as_bytes());
        }
    }
    bytes.extend_from_slice(&port.to_be_bytes());
    Some(Message(bytes))
}

fn length(part: &[u8]) -> Option<u8> {
    u8::try_from(part.len()).ok().filter(|length| *length > 0)
}

/// Reads the method that the proxy chose, and says how many bytes that were. None: more bytes are needed.
///
/// # Errors
/// The version, or a method that was not offered.
pub(crate) fn read_method(
    input: &[u8],
    has_login: bool,
) -> Result<Option<(Method, usize)>, SocksRule> {
    check_version(input, VERSION, SocksRule::Version)?;
    let method = match input.get(1) {
        None => return Ok(None),
        Some(&WITHOUT_LOGIN) => Method::WithoutLogin,
        Some(&WITH_LOGIN) if has_login => Method::WithLogin,
        Some(&NO_METHOD) => Method::Refused,
        Some(_) => return Err(SocksRule::Method),
    };
    Ok(Some((method, 2)))
}

/// Reads whether user name and password are good, and says how many bytes that were. None: more bytes are needed.
///
/// # Errors
/// The version.
pub(crate) fn read_verdict(input: &[u8]) -> Result<Option<(bool, usize)>, SocksRule> {
    check_version(input, LOGIN_VERSION, SocksRule::LoginVersion)?;
    Ok(input.get(1).map(|status| (*status == 0, 2)))
}

/// Reads the reply to a request over its bound address, which says nothing to a client, and says how many bytes that
/// were. None: more bytes are needed.
///
/// # Errors
/// The refusal, or the rule that is broken.
pub(crate) fn read_reply(input: &[u8]) -> Result<Option<usize>, ReplyFault> {
    check_version(input, VERSION, SocksRule::Version).map_err(ReplyFault::Rule)?;
    if let Some(reply) = input.get(1).and_then(|code| SocksReply::of(*code)) {
        return Err(ReplyFault::Refused(reply));
    }
    if input.get(2).is_some_and(|byte| *byte != RESERVED) {
        return Err(ReplyFault::Rule(SocksRule::Reserved));
    }
    let address = match (input.get(3), input.get(REPLY_HEAD)) {
        (None, _) | (Some(&TYPE_NAME), None) => return Ok(None),
        (Some(&TYPE_V4), _) => 4,
        (Some(&TYPE_V6), _) => 16,
        (Some(&TYPE_NAME), Some(length)) => usize::from(*length).saturating_add(1),
        (Some(_), _) => return Err(ReplyFault::Rule(SocksRule::AddressType)),
    };
    let bytes = REPLY_HEAD.saturating_add(address).saturating_add(PORT);
    Ok((input.len() >= bytes).then_some(bytes))
}

fn check_version(input: &[u8], version: u8, rule: SocksRule) -> Result<(), SocksRule> {
    match input.first() {
        Some(byte) if *byte != version => Err(rule),
        Some(_) | None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offers_and_logins_are_those_of_the_specification() {
        assert_eq!(greeting(false).as_bytes(), [5, 1, 0]);
        assert_eq!(greeting(true).as_bytes(), [5, 2, 0, 2]);
        let message = login(b"me", b"p:\r\n").unwrap();
        assert_eq!(message.as_bytes(), b"\x01\x02me\x04p:\r\n");
        assert_eq!(format!("{message:?}"), "[9 B]");
        let long = [b'x'; 256];
        assert!(login(&long[..255], &long[..255]).is_some());
        for (user, password) in [
            (&long[..], &b"p"[..]),
            (b"u", &long),
            (b"", b"p"),
            (b"u", b""),
        ] {
            assert_eq!(login(user, password), None);
        }
    }

    #[test]
    fn a_request_has_a_name_or_an_address() {
        let check = |destination, expected: &[u8]| {
            assert_eq!(request(destination, 0x1bb).unwrap().as_bytes(), expected);
        };
        check(Destination::Name("h.x"), b"\x05\x01\0\x03\x03h.x\x01\xbb");
        let v4 = Destination::Address("127.0.0.2".parse().unwrap());
        check(v4, b"\x05\x01\0\x01\x7f\0\0\x02\x01\xbb");
        let v6 = Destination::Address("2001:db8::7".parse().unwrap());
        check(
            v6,
            b"\x05\x01\0\x04\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x07\x01\xbb",
        );
    }

    #[test]
    fn cve_101_a_name_of_more_than_255_bytes_has_no_request() {
        let name = "n".repeat(255);
        let message = request(Destination::Name(&name), 80).unwrap();
        assert_eq!(message.as_bytes().len(), 4 + 1 + 255 + 2);
        assert_eq!(message.as_bytes()[4], 255);
        for name in ["n".repeat(256), "n".repeat(512), String::new()] {
            assert_eq!(request(Destination::Name(&name), 80), None);
        }
    }

    #[test]
    fn answers_are_judged_at_any_cut() {
        use ReplyFault::{Refused, Rule};
        let check = |input: &[u8], expected: Result<Option<usize>, ReplyFault>| {
            for cut in 0..=input.len() {
                let read = read_reply(&input[..cut]);
                if cut < input.len() {
                    assert!(matches!(read, Ok(None)), "{cut} of {input:?}: {read:?}");
                } else {
                    assert_eq!(read, expected, "{input:?}");
                }
            }
        };
        check(&[5, 0, 0, 1, 1, 2, 3, 4, 0, 80], Ok(Some(10)));
        check(&[5, 0, 0, 3, 2, b'h', b'x', 0, 80], Ok(Some(9)));
        check(&[5, 0, 0, 3, 0, 0, 80], Ok(Some(7)));
        let v6 = [
            5, 0, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 80,
        ];
        check(&v6, Ok(Some(22)));
        check(&[4], Err(Rule(SocksRule::Version)));
        check(&[5, 0, 1], Err(Rule(SocksRule::Reserved)));
        check(&[5, 0, 0, 2], Err(Rule(SocksRule::AddressType)));
        for code in 1..=255 {
            let reply = SocksReply::of(code).unwrap();
            assert_eq!(matches!(reply, SocksReply::Unassigned(_)), code > 8);
            check(&[5, code], Err(Refused(reply)));
        }
    }

    #[test]
    fn methods_and_verdicts() {
        let method = |input: &[u8], has_login| read_method(input, has_login);
        assert_eq!(method(&[], true), Ok(None));
        assert_eq!(method(&[5], true), Ok(None));
        assert_eq!(method(&[5, 0], false), Ok(Some((Method::WithoutLogin, 2))));
        assert_eq!(method(&[5, 2], true), Ok(Some((Method::WithLogin, 2))));
        assert_eq!(method(&[5, 2], false), Err(SocksRule::Method));
        assert_eq!(method(&[5, 1], true), Err(SocksRule::Method));
        assert_eq!(method(&[5, 0xff], true), Ok(Some((Method::Refused, 2))));
        assert_eq!(method(b"H", true), Err(SocksRule::Version));
        assert_eq!(read_verdict(&[1]), Ok(None));
        assert_eq!(read_verdict(&[1, 0, 7]), Ok(Some((true, 2))));
        assert_eq!(read_verdict(&[1, 9]), Ok(Some((false, 2))));
        assert_eq!(read_verdict(&[5, 0]), Err(SocksRule::LoginVersion));
    }
}
