//! The settings of TLS.

use std::fs;
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

    /// Trusts the certificates of a PEM text, besides those that are trusted already.
    ///
    /// # Errors
    /// [`ErrorKind::Tls`] with `Config` if there is no certificate in it, or one that cannot be a root; with
    /// `NotBuiltIn` in a build without TLS.
    pub fn add_ca_pem(self, pem: impl AsRef<[u8]>) -> Result<Self, Error> {
        self.try_change(|config| config.material.add_roots(pem.as_ref()))
            .map_err(|failure| refused(failure, "ca certificates"))
    }

    /// Trusts the certificates of a PEM file, besides those that are trusted already. The file is read now.
    ///
    /// # Errors
    /// [`ErrorKind::LocalFile`] if the file cannot be read, else as [`add_ca_pem`](Self::add_ca_pem).
    pub fn add_ca_file(self, path: impl AsRef<Path>) -> Result<Self, Error> {
        let pem = read(path.as_ref())?;
        self.try_change(|config| config.material.add_roots(&pem))
            .map_err(|failure| refused(failure, &path.as_ref().to_string_lossy()))
    }

    /// Shows a certificate to servers that ask for one: a chain in PEM, our own certificate first, and its
    /// private key in PEM (PKCS #8, PKCS #1 or SEC 1, not encrypted). Both may be the same text.
    ///
    /// # Errors
    /// [`ErrorKind::Tls`] with `Config` if either is missing or they do not belong together; with `NotBuiltIn`
    /// in a build without TLS.
    pub fn client_certificate_pem(
        self,
        chain: impl AsRef<[u8]>,
        key: impl AsRef<[u8]>,
    ) -> Result<Self, Error> {
        self.try_change(|config| config.material.set_identity(chain.as_ref(), key.as_ref()))
            .map_err(|failure| refused(failure, "client certificate"))
    }

    /// As [`client_certificate_pem`](Self::client_certificate_pem), from files that are read now.
    ///
    /// # Errors
    /// [`ErrorKind::LocalFile`] if a file cannot be read, else as
    /// [`client_certificate_pem`](Self::client_certificate_pem).
    pub fn client_certificate_files(
        self,
        chain: impl AsRef<Path>,
        key: impl AsRef<Path>,
    ) -> Result<Self, Error> {
        let (chain, key) = (read(chain.as_ref())?, read(key.as_ref())?);
        self.client_certificate_pem(chain, key)
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

    /// Builds anew, with an identity and a store of sessions of its own: for a second role, such as the TLS
    /// to a proxy.
    ///
    /// # Errors
    /// [`ErrorKind::Tls`] with `NotBuiltIn` without TLS or a crypto provider, with `Config` if nothing is
    /// trusted or no version is left.
    pub(crate) fn build(&self) -> Result<TlsClient, Error> {
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

fn read(path: &Path) -> Result<Vec<u8>, Error> {
    fs::read(path).map_err(|error| {
        Error::local(ErrorKind::LocalFile)
            .about(&path.to_string_lossy())
            .with_source(Box::new(error))
    })
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
