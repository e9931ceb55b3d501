//! The peer's side of TLS: rustls with ring, given explicitly and never installed for the process.

use std::io::{self, Read, Write};
use std::sync::Arc;

use rustls::crypto::ring::default_provider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{NoClientAuth, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::{TLS12, TLS13};
use rustls::{
    HandshakeKind, RootCertStore, ServerConfig, ServerConnection, StreamOwned,
    SupportedProtocolVersion,
};

use super::Builder;
use super::socket::Socket;
use crate::testkit::certs::{Authority, ServerIdentity};
use crate::testkit::seen::SeenHandshake;

/// The TLS versions that a peer speaks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum TlsVersions {
    /// TLS 1.2 and 1.3.
    #[default]
    Both,
    /// Only TLS 1.2.
    Only12,
    /// Only TLS 1.3.
    Only13,
}

/// The choices of a peer about TLS. Needs the features `tls` and `ring`.
impl Builder {
    /// Makes a TLS handshake on each connection before its script begins.
    pub fn tls(self, identity: ServerIdentity) -> Self {
        self.change_tls(|tls| {
            tls.identity = Some(identity);
            tls.at_once = true;
        })
    }

    /// Makes a TLS handshake only where a script says [`start_tls`](super::Script::start_tls), as
    /// a proxy does for what comes after CONNECT.
    pub fn tls_on_demand(self, identity: ServerIdentity) -> Self {
        self.change_tls(|tls| {
            tls.identity = Some(identity);
            tls.at_once = false;
        })
    }

    /// The TLS versions to speak. Default: 1.2 and 1.3.
    pub fn tls_versions(self, versions: TlsVersions) -> Self {
        self.change_tls(|tls| tls.versions = versions)
    }

    /// The protocols to agree on (ALPN); with none the client's offer is ignored. Default:
    /// `http/1.1`, and a client that offers only others is refused.
    pub fn alpn(self, protocols: &[&str]) -> Self {
        let protocols = protocols.iter().map(|name| name.as_bytes().to_vec());
        self.change_tls(|tls| tls.protocols = protocols.collect())
    }

    /// Asks each client for a certificate that this authority has issued, and refuses those
    /// without.
    pub fn client_authority(self, authority: &Authority) -> Self {
        let root = CertificateDer::from(authority.der().to_vec());
        self.change_tls(|tls| tls.client_root = Some(root))
    }

    fn change_tls(mut self, change: impl FnOnce(&mut Tls)) -> Self {
        change(self.settings.tls.get_or_insert_default());
        self
    }
}

/// What is chosen about TLS, and the configuration made of it when the peer starts.
#[derive(Clone, Debug)]
pub(super) struct Tls {
    pub(super) at_once: bool,
    identity: Option<ServerIdentity>,
    versions: TlsVersions,
    protocols: Vec<Vec<u8>>,
    client_root: Option<CertificateDer<'static>>,
    config: Option<Arc<ServerConfig>>,
}

impl Default for Tls {
    fn default() -> Self {
        Self {
            at_once: false,
            identity: None,
            versions: TlsVersions::default(),
            protocols: vec![b"http/1.1".to_vec()],
            client_root: None,
            config: None,
        }
    }
}

impl Tls {
    pub(super) fn prepare(&mut self) -> io::Result<()> {
        let Some(identity) = &self.identity else {
            return Err(io::Error::other("TLS choices without an identity"));
        };
        let provider = Arc::new(default_provider());
        let key = PrivateKeyDer::try_from(identity.key_der().to_vec()).map_err(io::Error::other)?;
        let key = provider.key_provider.load_private_key(key);
        let chain = identity.chain_der().iter().cloned().map(Into::into);
        // Shown as it is, whether the two belong together or not.
        let shown = CertifiedKey::new(chain.collect(), key.map_err(io::Error::other)?);
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(self.versions.list())
            .map_err(io::Error::other)?
            .with_client_cert_verifier(self.client_verifier()?)
            .with_cert_resolver(Arc::new(SingleCertAndKey::from(shown)));
        config.alpn_protocols.clone_from(&self.protocols);
        self.config = Some(Arc::new(config));
        Ok(())
    }

    fn client_verifier(&self) -> io::Result<Arc<dyn ClientCertVerifier>> {
        let Some(root) = &self.client_root else {
            return Ok(Arc::new(NoClientAuth));
        };
        let mut roots = RootCertStore::empty();
        roots.add(root.clone()).map_err(io::Error::other)?;
        WebPkiClientVerifier::builder_with_provider(roots.into(), Arc::new(default_provider()))
            .build()
            .map_err(io::Error::other)
    }

    /// Makes the handshake; tells it, and gives the stream if it was made.
    pub(super) fn accept(
        &self,
        socket: Socket,
        connection: usize,
    ) -> (SeenHandshake, Option<Stream>) {
        let mut seen = SeenHandshake {
            connection,
            ..SeenHandshake::default()
        };
        match self.shake_hands(socket, &mut seen) {
            Ok(stream) => (seen, Some(stream)),
            Err(error) => {
                seen.error = Some(error.to_string());
                (seen, None)
            }
        }
    }

    fn shake_hands(&self, mut socket: Socket, seen: &mut SeenHandshake) -> io::Result<Stream> {
        let config = self.config.clone();
        let config = config.ok_or_else(|| io::Error::other("TLS was not prepared"))?;
        let mut session = ServerConnection::new(config).map_err(io::Error::other)?;
        let result = session.complete_io(&mut socket);
        seen.server_name = session.server_name().map(str::to_owned);
        seen.protocol = session.alpn_protocol().map(<[u8]>::to_vec);
        seen.version = session
            .protocol_version()
            .map(|version| format!("{version:?}"));
        seen.is_resumed = session.handshake_kind() == Some(HandshakeKind::Resumed);
        if let Err(error) = result {
            // The client is told why, by all that waits and not only by the first record of it.
            while session.wants_write() && session.write_tls(&mut socket).is_ok() {}
            return Err(error);
        }
        Ok(Stream(StreamOwned::new(session, socket).into()))
    }
}

type Versions = [&'static SupportedProtocolVersion];

static BOTH: &Versions = &[&TLS13, &TLS12];
static ONLY_12: &Versions = &[&TLS12];
static ONLY_13: &Versions = &[&TLS13];

impl TlsVersions {
    fn list(self) -> &'static Versions {
        match self {
            Self::Both => BOTH,
            Self::Only12 => ONLY_12,
            Self::Only13 => ONLY_13,
        }
    }
}

/// A stream after its handshake.
#[derive(Debug)]
pub(super) struct Stream(Box<StreamOwned<ServerConnection, Socket>>);

impl Stream {
    pub(super) fn socket(&self) -> &Socket {
        &self.0.sock
    }

    /// Whether plaintext, or its end, is there that nobody has read.
    pub(super) fn has_read_ahead(&mut self) -> bool {
        let state = self.0.conn.process_new_packets();
        state.is_ok_and(|state| state.plaintext_bytes_to_read() > 0 || state.peer_has_closed())
    }

    pub(super) fn close_notify(&mut self) -> io::Result<()> {
        let StreamOwned { conn, sock } = &mut *self.0;
        conn.send_close_notify();
        while conn.wants_write() {
            conn.write_tls(sock)?;
        }
        Ok(())
    }
}

impl Read for Stream {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl Write for Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}
