//! The settings of TLS.

use std::fs;
use std::io;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use super::TlsClient;
use super::engine::Material;
use crate::error::{Error, ErrorKind, TlsFailure};
use crate::message::tls::TlsVersion;

/// How connections are secured: whom to trust, what to offer, which certificate to show.
///
/// By default: the root certificates of the web PKI as compiled in, TLS 1.2 and 1.3, the crypto provider of
/// the build (`ring` if both are compiled in), no certificate of our own. The provider is never installed for
/// the process.
///
/// A configuration has an identity. Clones of it have the same; each setting makes a new one, even if it sets
/// what was set before. Connections and sessions are shared only under one identity, so that nothing obtained
/// under a lax configuration serves a strict one.
///
/// ```
/// # #[cfg(all(feature = "tls", feature = "ring"))]
/// # fn main() -> wirescope::error::Result<()> {
/// use wirescope::TlsConfig;
/// use wirescope::message::tls::TlsVersion;
///
/// let config = TlsConfig::new().min_version(TlsVersion::V1_3);
/// assert!(config.add_ca_pem(b"no certificate").is_err());
/// # Ok(())
/// # }
/// # #[cfg(not(all(feature = "tls", feature = "ring")))]
/// # fn main() {}
/// ```
#[derive(Clone, Debug)]
pub struct TlsConfig {
    pub(super) builtin_roots: bool,
    pub(super) accept_invalid_certs: bool,
    pub(super) min_version: TlsVersion,
    pub(super) max_version: TlsVersion,
    pub(super) resumption: bool,
    pub(super) material: Material,
    client: Arc<OnceLock<TlsClient>>,
}

impl Default for TlsConfig {
    fn default() -> Self {
        Self::new()
    }
}

impl TlsConfig {
    /// The default configuration.
    #[must_use]
    pub fn new() -> Self {
        Self {
            builtin_roots: true,
            accept_invalid_certs: false,
            min_version: TlsVersion::V1_2,
            max_version: TlsVersion::V1_3,
            resumption: true,
            material: Material::default(),
            client: Arc::default(),
        }
    }

    /// Whether the root certificates that are compiled in are trusted. Default true. With false, only those
    /// that were added are.
    #[must_use]
    pub fn builtin_roots(self, trust: bool) -> Self {
        self.change(|config| config.builtin_roots = trust)
    }

    /// Trusts the certificates of a PEM text, or the one certificate that is given in DER, besides those that are
    /// trusted already.
    ///
    /// # Errors
    /// [`ErrorKind::Tls`] with `NoCertificate` if there is none in it, with `UnusableCertificate` if one cannot be
    /// read or cannot be a root; with `NotBuiltIn` in a build without TLS.
    pub fn add_ca_pem(self, pem: impl AsRef<[u8]>) -> Result<Self, Error> {
        self.try_change(|config| config.material.add_roots(pem.as_ref()))
            .map_err(|failure| refused(failure, "ca certificates"))
    }

    /// Trusts the certificates of a file, PEM or DER, besides those that are trusted already. The file is read now.
    ///
    /// # Errors
    /// [`ErrorKind::LocalFile`] if the file cannot be read, else as [`add_ca_pem`](Self::add_ca_pem). Either names
    /// the file.
    pub fn add_ca_file(self, path: impl AsRef<Path>) -> Result<Self, Error> {
        let pem = read(path.as_ref())?;
        self.try_change(|config| config.material.add_roots(&pem))
            .map_err(|failure| refused(failure, &path.as_ref().to_string_lossy()))
    }

    /// Shows a certificate to servers that ask for one: a chain in PEM, our own certificate first, and its
    /// private key in PEM (PKCS #8, PKCS #1 or SEC 1, not encrypted). Both may be the same text. It is shown to
    /// origins; to a proxy on the way only if this is what
    /// [`ClientBuilder::proxy_tls`](crate::ClientBuilder::proxy_tls) was given.
    ///
    /// # Errors
    /// [`ErrorKind::Tls`] with what is wrong: `NoCertificate`, `UnusableCertificate`, `NoKey`, `EncryptedKey`,
    /// `UnusableKey`, or `KeyMismatch` if they do not belong together; with `NotBuiltIn` in a build without TLS.
    pub fn client_certificate_pem(
        self,
        chain: impl AsRef<[u8]>,
        key: impl AsRef<[u8]>,
    ) -> Result<Self, Error> {
        self.try_change(|config| config.material.set_identity(chain.as_ref(), key.as_ref()))
            .map_err(|failure| refused(failure, "client certificate"))
    }

    /// As [`client_certificate_pem`](Self::client_certificate_pem), in DER: our own certificate, then those between
    /// it and its authority.
    ///
    /// # Errors
    /// As [`client_certificate_pem`](Self::client_certificate_pem).
    pub fn client_certificate_der(self, chain: &[&[u8]], key: &[u8]) -> Result<Self, Error> {
        self.try_change(|config| config.material.set_identity_der(chain, key))
            .map_err(|failure| refused(failure, "client certificate"))
    }

    /// As [`client_certificate_pem`](Self::client_certificate_pem), from files that are read now; each may also be
    /// DER. Both may be the same PEM file.
    ///
    /// # Errors
    /// [`ErrorKind::LocalFile`] if a file cannot be read, else as
    /// [`client_certificate_pem`](Self::client_certificate_pem). Either names the file that is at fault, or both
    /// for `KeyMismatch`.
    pub fn client_certificate_files(
        self,
        chain: impl AsRef<Path>,
        key: impl AsRef<Path>,
    ) -> Result<Self, Error> {
        let (chain, key) = (chain.as_ref(), key.as_ref());
        let (chain_bytes, key_bytes) = (read(chain)?, read(key)?);
        self.try_change(|config| config.material.set_identity(&chain_bytes, &key_bytes))
            .map_err(|failure| refused(failure, &at_fault(failure, chain, key)))
    }

    /// Appends the secrets of every connection to a file, for tools that decrypt what was recorded, such as
    /// Wireshark. The file is opened now, and made readable for its owner only if it is not there.
    ///
    /// **Who has this file can read everything that is sent and received, passwords included**, now or years later
    /// from a recording. For debugging, on a machine of your own; never where users' data goes. Nothing turns this on
    /// but this method: not the environment, not a feature.
    ///
    /// Without effect under [`from_rustls_0_23`](Self::from_rustls_0_23), which has a log of its own.
    ///
    /// # Errors
    /// [`ErrorKind::LocalFile`] if the file cannot be opened; [`ErrorKind::Tls`] with `NotBuiltIn` in a build
    /// without TLS.
    pub fn key_log_file(self, path: impl AsRef<Path>) -> Result<Self, Error> {
        let path = path.as_ref();
        let mut opened = Ok(());
        let open = |config: &mut Self| config.material.log_keys(path).map(|end| opened = end);
        let logging = self.try_change(open);
        opened.map_err(|error| unreadable(path, error))?;
        logging.map_err(|failure| refused(failure, &path.to_string_lossy()))
    }

    /// As [`key_log_file`](Self::key_log_file), to the file that `SSLKEYLOGFILE` names; without that variable
    /// nothing is logged. **Whoever sets the environment can then read everything**, so that a program calls this
    /// only where it was asked to.
    ///
    /// # Errors
    /// As [`key_log_file`](Self::key_log_file).
    pub fn key_log_from_environment(self) -> Result<Self, Error> {
        match std::env::var_os("SSLKEYLOGFILE") {
            Some(path) if !path.is_empty() => self.key_log_file(path),
            _ => Ok(self),
        }
    }

    /// Whether sessions are resumed: a second connection to a server then needs no certificates and less
    /// computation. Default true. A session is kept in memory for its server's name, of at most 256 servers, and
    /// serves this configuration and its clones alone.
    ///
    /// Without effect under [`from_rustls_0_23`](Self::from_rustls_0_23).
    #[must_use]
    pub fn session_resumption(self, resume: bool) -> Self {
        self.change(|config| config.resumption = resume)
    }

    /// Whether any certificate for any name is accepted. Default false. With true the peer proves only that it
    /// has the key of the certificate it shows, so anybody between us and the server can read and change
    /// everything. For tests.
    #[must_use]
    pub fn danger_accept_invalid_certs(self, accept: bool) -> Self {
        self.change(|config| config.accept_invalid_certs = accept)
    }

    /// The lowest version that is offered. Default TLS 1.2, which is the lowest there is here.
    #[must_use]
    pub fn min_version(self, version: TlsVersion) -> Self {
        self.change(|config| config.min_version = version)
    }

    /// The highest version that is offered. Default TLS 1.3.
    #[must_use]
    pub fn max_version(self, version: TlsVersion) -> Self {
        self.change(|config| config.max_version = version)
    }

    /// What connections are made with: built at the first call, the same for this configuration and its clones.
    ///
    /// # Errors
    /// As [`build`](Self::build).
    pub(crate) fn client(&self) -> Result<TlsClient, Error> {
        if let Some(client) = self.client.get() {
            return Ok(client.clone());
        }
        let built = self.build()?;
        Ok(self.client.get_or_init(|| built).clone())
    }

    /// As [`client`](Self::client), with a configuration of its own for proxies if there is one.
    ///
    /// # Errors
    /// As [`build`](Self::build), about either.
    pub(crate) fn client_beside(&self, proxies: Option<&Self>) -> Result<TlsClient, Error> {
        let client = self.client()?;
        match proxies {
            None => Ok(client),
            Some(proxies) => Ok(client.with_proxies(&proxies.client()?)),
        }
    }

    /// Builds anew, with an identity and stores of sessions of its own.
    ///
    /// # Errors
    /// [`ErrorKind::Tls`] with `NotBuiltIn` without TLS or a crypto provider, with `Config` if nothing is
    /// trusted or no version is left.
    pub(super) fn build(&self) -> Result<TlsClient, Error> {
        TlsClient::new(self).map_err(|failure| refused(failure, "tls"))
    }

    /// Changes a setting, and with it the identity.
    pub(super) fn change(mut self, set: impl FnOnce(&mut Self)) -> Self {
        set(&mut self);
        self.client = Arc::default();
        self
    }

    fn try_change(
        mut self,
        set: impl FnOnce(&mut Self) -> Result<(), TlsFailure>,
    ) -> Result<Self, TlsFailure> {
        set(&mut self)?;
        Ok(self.change(|_| {}))
    }
}

fn refused(failure: TlsFailure, subject: &str) -> Error {
    Error::local(ErrorKind::Tls(failure)).about(subject)
}

/// The file that has what is wrong, or both.
fn at_fault(failure: TlsFailure, chain: &Path, key: &Path) -> String {
    let (chain, key) = (chain.to_string_lossy(), key.to_string_lossy());
    match failure {
        TlsFailure::NoCertificate | TlsFailure::UnusableCertificate => chain.into_owned(),
        TlsFailure::KeyMismatch if chain != key => format!("{chain} and {key}"),
        _ => key.into_owned(),
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    fs::read(path).map_err(|error| unreadable(path, error))
}

fn unreadable(path: &Path, error: io::Error) -> Error {
    Error::local(ErrorKind::LocalFile)
        .about(&path.to_string_lossy())
        .with_source(Box::new(error))
}

#[cfg(all(test, not(any(feature = "ring", feature = "aws-lc-rs"))))]
mod tests {
    use super::*;

    #[test]
    fn a_build_without_tls_or_without_provider_says_so() {
        let error = TlsConfig::new()
            .client()
            .expect_err("there is nothing to build with");
        assert_eq!(error.kind(), ErrorKind::Tls(TlsFailure::NotBuiltIn));
    }
}
