//! The server's side of a connection, plain or under TLS, whose bytes end where a test says.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::Arc;

use rustls::crypto::ring::default_provider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::NoServerSessionStorage;
use rustls::{ServerConfig, ServerConnection, SupportedProtocolVersion};
use wirescope::testkit::ServerIdentity;

use super::answer::End;
use crate::support::{reset, wait_until_gone};

/// What a server has put, or wanted to put, on the wire under TLS.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sealed {
    /// Ciphertext of the handshake.
    pub(crate) flight: usize,
    /// Plaintext of each record behind it and its ciphertext; the last, without plaintext, is the close_notify.
    pub(crate) records: Vec<(usize, usize)>,
}

impl Sealed {
    pub(crate) fn len(&self) -> usize {
        self.flight + self.records.iter().map(|(_, sealed)| sealed).sum::<usize>()
    }

    /// Plaintext that can be read of the first `cut` bytes, and whether the close_notify is among them. None:
    /// the handshake is not whole.
    pub(crate) fn opened(&self, cut: usize) -> Option<(usize, bool)> {
        let mut left = cut.checked_sub(self.flight)?;
        let (mut plain, mut is_notified) = (0, false);
        for (len, sealed) in &self.records {
            let Some(rest) = left.checked_sub(*sealed) else {
                break;
            };
            left = rest;
            plain += len;
            is_notified = *len == 0;
        }
        Some((plain, is_notified))
    }
}

/// The connection is over: the client left, or the cut was reached.
#[derive(Debug)]
pub(crate) struct Over;

impl From<io::Error> for Over {
    fn from(_: io::Error) -> Self {
        Self
    }
}

#[derive(Debug)]
pub(crate) struct Wire {
    stream: TcpStream,
    session: Option<ServerConnection>,
    inbound: Vec<u8>,
    /// Bytes that may still be put on the wire.
    left: usize,
    /// Bytes until the one that is to be put there with a bit turned.
    until_flip: usize,
    pub(crate) sealed: Sealed,
}

impl Wire {
    pub(crate) fn plain(stream: TcpStream) -> Self {
        Self {
            stream,
            session: None,
            inbound: Vec::new(),
            left: usize::MAX,
            until_flip: usize::MAX,
            sealed: Sealed::default(),
        }
    }

    /// A connection under TLS of whose ciphertext only `left` bytes leave.
    pub(crate) fn sealed(stream: TcpStream, config: &Arc<ServerConfig>, left: usize) -> Self {
        Self {
            session: Some(ServerConnection::new(config.clone()).unwrap()),
            left,
            ..Self::plain(stream)
        }
    }

    /// The same connection with one bit of the byte at that place turned.
    pub(crate) fn flipped(self, place: usize) -> Self {
        Self {
            until_flip: place,
            ..self
        }
    }

    /// Makes the handshake. `told` sees its length before its first byte leaves.
    pub(crate) fn shake_hands(&mut self, told: impl Fn(&Sealed)) -> Result<(), Over> {
        while let Some(session) = self.session.as_mut().filter(|one| one.is_handshaking()) {
            if session.read_tls(&mut self.stream)? == 0 {
                return Err(Over);
            }
            session.process_new_packets().map_err(|_| Over)?;
            let flight = self.take_ciphertext();
            self.sealed.flight += flight.len();
            told(&self.sealed);
            self.put(&flight)?;
        }
        Ok(())
    }

    /// Reads a request head; what comes behind it waits for [`Wire::skip`].
    pub(crate) fn head(&mut self) -> Result<String, Over> {
        loop {
            let end = self.inbound.windows(4).position(|four| four == b"\r\n\r\n");
            if let Some(end) = end {
                let head = self.inbound.drain(..end + 4).collect();
                return Ok(String::from_utf8(head).unwrap());
            }
            self.fill()?;
        }
    }

    /// Reads so many bytes.
    pub(crate) fn skip(&mut self, count: usize) -> Result<(), Over> {
        while self.inbound.len() < count {
            self.fill()?;
        }
        self.inbound.drain(..count);
        Ok(())
    }

    /// Sends bytes; under TLS they are one record. `told` sees its length before its first byte leaves.
    pub(crate) fn send(&mut self, bytes: &[u8], told: impl Fn(&Sealed)) -> Result<(), Over> {
        let Some(session) = &mut self.session else {
            self.stream.write_all(bytes)?;
            return Ok(());
        };
        session.writer().write_all(bytes).unwrap();
        self.put_record(bytes.len(), told)
    }

    /// Says under TLS that nothing more comes.
    pub(crate) fn notify(&mut self, told: impl Fn(&Sealed)) -> Result<(), Over> {
        let Some(session) = &mut self.session else {
            return Ok(());
        };
        session.send_close_notify();
        self.put_record(0, told)
    }

    pub(crate) fn end(self, end: End) {
        match end {
            End::Fin | End::Bare => {
                let _ = self.stream.shutdown(Shutdown::Write);
                wait_until_gone(&self.stream);
            }
            End::Reset => reset(self.stream),
            End::Stall => wait_until_gone(&self.stream),
        }
    }

    fn put_record(&mut self, plain: usize, told: impl Fn(&Sealed)) -> Result<(), Over> {
        let record = self.take_ciphertext();
        self.sealed.records.push((plain, record.len()));
        told(&self.sealed);
        self.put(&record)
    }

    fn put(&mut self, bytes: &[u8]) -> Result<(), Over> {
        let count = bytes.len().min(self.left);
        self.left -= count;
        let mut wire = bytes[..count].to_vec();
        if let Some(byte) = wire.get_mut(self.until_flip) {
            *byte ^= 1;
        }
        self.until_flip = self.until_flip.wrapping_sub(count);
        self.stream.write_all(&wire)?;
        if count < bytes.len() {
            Err(Over)
        } else {
            Ok(())
        }
    }

    fn take_ciphertext(&mut self) -> Vec<u8> {
        let mut bytes = Vec::new();
        if let Some(session) = &mut self.session {
            while session.wants_write() {
                session.write_tls(&mut bytes).unwrap();
            }
        }
        bytes
    }

    fn fill(&mut self) -> Result<(), Over> {
        let mut piece = [0; 4096];
        let count = match &mut self.session {
            None => self.stream.read(&mut piece)?,
            Some(session) => loop {
                match session.reader().read(&mut piece) {
                    Ok(count) => break count,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(_) => return Err(Over),
                }
                if session.read_tls(&mut self.stream)? == 0 {
                    return Err(Over);
                }
                session.process_new_packets().map_err(|_| Over)?;
            },
        };
        self.inbound.extend_from_slice(&piece[..count]);
        if count == 0 { Err(Over) } else { Ok(()) }
    }
}

/// A configuration whose connections begin with a whole handshake and send nothing unasked behind it.
pub(crate) fn config(
    identity: &ServerIdentity,
    version: &'static SupportedProtocolVersion,
) -> Arc<ServerConfig> {
    let chain = vec![CertificateDer::from(identity.certificate_der().to_vec())];
    let key = PrivateKeyDer::try_from(identity.key_der().to_vec()).unwrap();
    let mut config = ServerConfig::builder_with_provider(Arc::new(default_provider()))
        .with_protocol_versions(&[version])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    config.send_tls13_tickets = 0;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Arc::new(config)
}
