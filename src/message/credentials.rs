//! A user name and a password by the Basic scheme (RFC 7617).

use base64::Engine as _;

/// The value of an `Authorization` or a `Proxy-Authorization`, or nothing when the user name has a colon or either a
/// control character (RFC 7617 §2).
pub(crate) fn basic(user: &[u8], password: &[u8]) -> Option<String> {
    let is_control = |byte: &u8| byte.is_ascii_control();
    if user.contains(&b':') || user.iter().chain(password).any(is_control) {
        return None;
    }
    let pair = [user, b":", password].concat();
    Some(format!(
        "Basic {}",
        base64::engine::general_purpose::STANDARD.encode(pair)
    ))
}
