//! What a relay says in SOCKS5 (RFC 1928, RFC 1929).

use std::net::{Ipv4Addr, Ipv6Addr};

use super::Stop;
use super::relaying::Relayed;

const VERSION: u8 = 5;
const PASSWORD_VERSION: u8 = 1;
const ANYBODY: u8 = 0;
const BY_PASSWORD: u8 = 2;
const NOBODY: u8 = 0xff;
/// What is replied in front of an address that says nothing.
const GRANTED: u8 = 0;
const UNREACHABLE: u8 = 4;

impl Relayed<'_, '_> {
    pub(super) fn socks5(&mut self) -> Result<(), Stop> {
        let [version, count] = self.read_some()?;
        let methods = self.read(count.into())?;
        let wanted = match self.relaying.credentials {
            Some(_) => BY_PASSWORD,
            None => ANYBODY,
        };
        if version != VERSION || !methods.contains(&wanted) {
            return self.answer(&[VERSION, NOBODY]);
        }
        self.answer(&[VERSION, wanted])?;
        if wanted == BY_PASSWORD && !self.by_password()? {
            return Ok(());
        }
        let target = self.target()?;
        let reply = |code| [VERSION, code, 0, 1, 0, 0, 0, 0, 0, 0];
        match self.connect(&target) {
            Some(origin) => {
                self.answer(&reply(GRANTED))?;
                self.pump(origin)
            }
            None => self.answer(&reply(UNREACHABLE)),
        }
    }

    fn by_password(&mut self) -> Result<bool, Stop> {
        let [version] = self.read_some()?;
        let user = self.short_text()?;
        let password = self.short_text()?;
        let known = self.relaying.credentials.as_ref();
        let is_known = version == PASSWORD_VERSION
            && known.is_some_and(|(one, other)| {
                (one.as_bytes(), other.as_bytes()) == (&user[..], &password[..])
            });
        self.answer(&[PASSWORD_VERSION, u8::from(!is_known)])?;
        Ok(is_known)
    }

    /// The host and port that a request for a connection names.
    fn target(&mut self) -> Result<String, Stop> {
        let [version, command, reserved, kind] = self.read_some()?;
        if [version, command, reserved] != [VERSION, 1, 0] {
            return Err(Stop::Mismatch(
                "a CONNECT of SOCKS5 was expected".to_owned(),
            ));
        }
        let host = match kind {
            1 => Ipv4Addr::from(self.read_some::<4>()?).to_string(),
            3 => String::from_utf8_lossy(&self.short_text()?).into_owned(),
            4 => format!("[{}]", Ipv6Addr::from(self.read_some::<16>()?)),
            other => return Err(Stop::Mismatch(format!("address type {other}"))),
        };
        let port = u16::from_be_bytes(self.read_some()?);
        Ok(format!("{host}:{port}"))
    }

    fn short_text(&mut self) -> Result<Vec<u8>, Stop> {
        let [count] = self.read_some()?;
        self.read(count.into())
    }

    fn read_some<const N: usize>(&mut self) -> Result<[u8; N], Stop> {
        let bytes = self.read(N)?;
        let odd = |_| Stop::Mismatch("too few bytes".to_owned());
        bytes.try_into().map_err(odd)
    }

    fn read(&mut self, count: usize) -> Result<Vec<u8>, Stop> {
        while self.run.inbound.len() < count {
            self.run.read_more()?;
        }
        Ok(self.take(count))
    }
}
