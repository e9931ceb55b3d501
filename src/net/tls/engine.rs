//! What rustls is given: roots, keys, provider, verifier, name.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{
    ClientSessionMemoryCache, ClientSessionStore as _, Resumption, WebPkiServerVerifier,
};
use rustls::crypto::hash::{Hash, HashAlgorithm};
use rustls::crypto::{
    CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature,
};
use rustls::pki_types::{CertificateDer, DnsName, PrivateKeyDer, ServerName, UnixTime};
use rustls::version::{TLS12, TLS13};
use rustls::{
    ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    SupportedCipherSuite, SupportedProtocolVersion,
};

use super::TlsConfig;
use super::identity::{Anonymous, Identity, certificates, private_key};
use super::key_log::KeyLogFile;
pub(crate) use super::stage::TlsStage;
use crate::error::TlsFailure;
use crate::message::tls::{TlsRole, TlsVersion};

/// The protocol offered by ALPN, the only one.
pub(super) const ALPN: &str = "http/1.1";

/// Names of servers whose sessions are kept for each role. That of whoever was not met for longest goes first.
const SESSIONS_MAX: usize = 256;

/// Certificates, keys and the caller's own parts of a configuration.
#[derive(Clone, Debug, Default)]
pub(super) struct Material {
    roots: Vec<CertificateDer<'static>>,
    identity: Option<Arc<Identity>>,
    key_log: Option<Arc<KeyLogFile>>,
    provider: Option<Arc<CryptoProvider>>,
    whole: Option<Arc<ClientConfig>>,
}

impl Material {
    pub(super) fn add_roots(&mut self, input: &[u8]) -> Result<(), TlsFailure> {
        let roots = certificates(input)?;
        let mut probe = RootCertStore::empty();
        for root in &roots {
            let added = probe.add(root.clone());
            added.map_err(|_| TlsFailure::UnusableCertificate)?;
        }
        self.roots.extend(roots);
        Ok(())
    }

    pub(super) fn set_identity(&mut self, chain: &[u8], key: &[u8]) -> Result<(), TlsFailure> {
        self.identify(certificates(chain)?, private_key(key)?)
    }

    pub(super) fn set_identity_der(
        &mut self,
        chain: &[&[u8]],
        key: &[u8],
    ) -> Result<(), TlsFailure> {
        if chain.is_empty() {
            return Err(TlsFailure::NoCertificate);
        }
        let chain = chain.iter().map(|der| der.to_vec().into()).collect();
        let key = PrivateKeyDer::try_from(key).map_err(|_| TlsFailure::UnusableKey)?;
        self.identify(chain, key.clone_key())
    }

    fn identify(
        &mut self,
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
    ) -> Result<(), TlsFailure> {
        let identity = Identity::new(chain, key, &*self.provider()?)?;
        self.identity = Some(Arc::new(identity));
        Ok(())
    }

    /// The inner error is the system's.
    pub(super) fn log_keys(&mut self, path: &Path) -> Result<io::Result<()>, TlsFailure> {
        Ok(KeyLogFile::open(path).map(|file| self.key_log = Some(Arc::new(file))))
    }

    fn provider(&self) -> Result<Arc<CryptoProvider>, TlsFailure> {
        self.provider
            .clone()
            .or_else(default_provider)
            .ok_or(TlsFailure::NotBuiltIn)
    }
}

/// The crypto provider of the build; `ring` if there are two.
fn default_provider() -> Option<Arc<CryptoProvider>> {
    #[cfg(feature = "ring")]
    let provider = Some(Arc::new(rustls::crypto::ring::default_provider()));
    #[cfg(all(feature = "aws-lc-rs", not(feature = "ring")))]
    let provider = Some(Arc::new(rustls::crypto::aws_lc_rs::default_provider()));
    #[cfg(not(any(feature = "ring", feature = "aws-lc-rs")))]
    let provider = None;
    provider
}

/// The caller's own rustls.
#[cfg(feature = "rustls-0_23")]
impl TlsConfig {
    /// Takes a whole configuration of rustls 0.23: it replaces every other setting of this type. It is cloned;
    /// ALPN is set to `http/1.1` and early data is switched off. Its store of sessions stays the caller's,
    /// whose other users of the same store rustls keeps apart by verifier and client certificate. Sessions of
    /// proxies are not kept under it.
    #[must_use]
    pub fn from_rustls_0_23(config: Arc<ClientConfig>) -> Self {
        Self::new().change(|own| own.material.whole = Some(config))
    }

    /// Uses this crypto provider instead of that of the build. It is not installed for the process.
    #[must_use]
    pub fn crypto_provider(self, provider: Arc<CryptoProvider>) -> Self {
        self.change(|own| own.material.provider = Some(provider))
    }
}

/// What connections are made with, in one role.
///
/// One configuration has one verifier, whatever the role and whatever the bytes travel on. What differs is what has
/// to be told apart: sessions, which a proxy and an origin of the same name must never share, and our certificate,
/// which is shown to origins only. The id tells two configurations apart for as long as the process runs.
#[derive(Clone)]
pub(crate) struct TlsClient {
    role: TlsRole,
    roles: Arc<Roles>,
}

/// What each role needs.
struct Roles {
    id: u64,
    sha256: Option<&'static dyn Hash>,
    origin: InRole,
    /// Made when the first proxy is spoken to.
    proxy: OnceLock<InRole>,
}

/// A configuration of rustls, and the sessions under it; none if they are not ours to keep.
#[derive(Clone)]
struct InRole {
    config: Arc<ClientConfig>,
    sessions: Option<Arc<ClientSessionMemoryCache>>,
}

impl InRole {
    /// With a store of its own, unless no sessions are to be kept.
    fn new(mut config: ClientConfig, resumption: bool) -> Self {
        let sessions = resumption.then(|| Arc::new(ClientSessionMemoryCache::new(SESSIONS_MAX)));
        config.resumption = match &sessions {
            Some(sessions) => Resumption::store(sessions.clone()),
            None => Resumption::disabled(),
        };
        Self {
            config: Arc::new(config),
            sessions,
        }
    }
}

impl TlsClient {
    pub(super) fn new(settings: &TlsConfig) -> Result<Self, TlsFailure> {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let whole = settings.material.whole.as_deref();
        let mut config = match whole {
            Some(whole) => whole.clone(),
            None => own_config(settings)?,
        };
        config.alpn_protocols = vec![ALPN.into()];
        config.check_selected_alpn = true;
        config.enable_early_data = false;
        let roles = Roles {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            sha256: sha256(config.crypto_provider()),
            origin: match whole {
                Some(_) => InRole {
                    config: Arc::new(config),
                    sessions: None,
                },
                None => InRole::new(config, settings.resumption),
            },
            proxy: OnceLock::new(),
        };
        Ok(Self {
            role: TlsRole::Origin,
            roles: Arc::new(roles),
        })
    }

    /// The same configuration in this role.
    pub(crate) fn client(&self, role: TlsRole) -> Self {
        Self {
            role,
            roles: self.roles.clone(),
        }
    }

    /// This one for origins, and for proxies what the other one is to origins, its certificate included. Its sessions
    /// are left out: the other one may be this one, or serve another client as it is.
    pub(super) fn with_proxies(&self, other: &Self) -> Self {
        let Roles { id, sha256, .. } = *self.roles;
        let others = &other.roles.origin;
        let config = ClientConfig::clone(&others.config);
        let proxy = InRole::new(config, others.sessions.is_some());
        let roles = Roles {
            id,
            sha256,
            origin: self.roles.origin.clone(),
            proxy: OnceLock::from(proxy),
        };
        Self {
            role: self.role,
            roles: Arc::new(roles),
        }
    }

    #[cfg(test)]
    pub(super) fn id(&self) -> u64 {
        self.roles.id
    }

    pub(super) fn sha256(&self) -> Option<&'static dyn Hash> {
        self.roles.sha256
    }

    pub(super) fn config(&self) -> &Arc<ClientConfig> {
        &self.in_role().config
    }

    /// Says whether a session of TLS 1.2 is known for a name. It is offered by its id where it has no ticket, which
    /// a hello does not show: one for TLS 1.3 has an id too, of no meaning (RFC 8446 §4.1.2).
    pub(super) fn knows_old_session(&self, name: &TlsName) -> bool {
        let sessions = &self.in_role().sessions;
        (sessions.as_ref()).is_some_and(|known| known.tls12_session(&name.0).is_some())
    }

    /// A caller's own configuration does not tell whether it keeps sessions, so that none of proxies are kept
    /// under it.
    fn in_role(&self) -> &InRole {
        let origin = &self.roles.origin;
        match self.role {
            TlsRole::Origin => origin,
            TlsRole::Proxy => self.roles.proxy.get_or_init(|| {
                let mut config = ClientConfig::clone(&origin.config);
                config.client_auth_cert_resolver = Arc::new(Anonymous);
                InRole::new(config, origin.sessions.is_some())
            }),
        }
    }
}

impl fmt::Debug for TlsClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TlsClient")
            .field("id", &self.roles.id)
            .field("role", &self.role)
            .finish_non_exhaustive()
    }
}

/// SHA-256 as one of the provider's cipher suites has it.
fn sha256(provider: &CryptoProvider) -> Option<&'static dyn Hash> {
    provider
        .cipher_suites
        .iter()
        .map(|suite| match suite {
            SupportedCipherSuite::Tls12(suite) => suite.common.hash_provider,
            SupportedCipherSuite::Tls13(suite) => suite.common.hash_provider,
        })
        .find(|hash| hash.algorithm() == HashAlgorithm::SHA256)
}

fn own_config(settings: &TlsConfig) -> Result<ClientConfig, TlsFailure> {
    let provider = settings.material.provider()?;
    let verifier = verifier(settings, &provider)?;
    let builder = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&versions(settings.min_version, settings.max_version))
        .map_err(|_| TlsFailure::Config)?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let mut config = match &settings.material.identity {
        None => builder.with_no_client_auth(),
        Some(own) => builder
            .with_client_auth_cert(own.chain.clone(), own.key.clone_key())
            .map_err(|_| TlsFailure::UnusableKey)?,
    };
    if let Some(key_log) = &settings.material.key_log {
        config.key_log = key_log.clone();
    }
    Ok(config)
}

fn versions(min: TlsVersion, max: TlsVersion) -> Vec<&'static SupportedProtocolVersion> {
    let known = [(TlsVersion::V1_3, &TLS13), (TlsVersion::V1_2, &TLS12)];
    let offered = known
        .into_iter()
        .filter(|(version, _)| (min..=max).contains(version));
    offered.map(|(_, version)| version).collect()
}

fn verifier(
    settings: &TlsConfig,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ServerCertVerifier>, TlsFailure> {
    if settings.accept_invalid_certs {
        let algorithms = provider.signature_verification_algorithms;
        return Ok(Arc::new(AcceptAny { algorithms }));
    }
    let mut roots = RootCertStore::empty();
    if settings.builtin_roots {
        roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
    }
    for root in &settings.material.roots {
        roots.add(root.clone()).map_err(|_| TlsFailure::Config)?;
    }
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone())
        .build()
        .map_err(|_| TlsFailure::Config)?;
    Ok(verifier)
}

/// Accepts any certificate for any name, but still asks for proof that the peer has its key.
#[derive(Debug)]
struct AcceptAny {
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for AcceptAny {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// The name that the peer has to prove: that of the URL's host (RFC 9110 §4.3.4).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct TlsName(pub(super) ServerName<'static>);

impl TlsName {
    /// The name of a URL's host, or of any text of that form: a DNS name, with a trailing dot or without, or
    /// an address, of which IPv6 may stand in brackets and with a zone.
    ///
    /// # Errors
    /// `NameMismatch` for what no certificate can be for.
    pub(crate) fn new(host: &str) -> Result<Self, TlsFailure> {
        let plain = host
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'));
        let address = plain.unwrap_or(host);
        let address = address
            .split_once('%')
            .map_or(address, |(address, _)| address);
        if let Ok(address) = address.parse::<IpAddr>() {
            return Self::ip(address);
        }
        let name = host.strip_suffix('.').unwrap_or(host).to_ascii_lowercase();
        if name.ends_with('.') {
            return Err(TlsFailure::NameMismatch);
        }
        DnsName::try_from(name)
            .map(|name| Self(ServerName::DnsName(name)))
            .map_err(|_| TlsFailure::NameMismatch)
    }

    /// An address, which never becomes SNI.
    ///
    /// # Errors
    /// None; a build without TLS has some.
    pub(super) fn ip(address: IpAddr) -> Result<Self, TlsFailure> {
        Ok(Self(ServerName::from(address)))
    }
}
