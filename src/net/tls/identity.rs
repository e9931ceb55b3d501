//! Certificates and keys as callers bring them: PEM or DER, told exactly what is wrong with them.

use std::fmt;
use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{Error, InconsistentKeys};

use crate::error::TlsFailure;

/// With what a section of PEM begins (RFC 7468 §2).
const PEM_MARK: &[u8] = b"-----BEGIN ";

/// What the PEM of a key that is encrypted says, in its label (RFC 5958 §3) or in a line behind it (RFC 1421 §4.6).
const ENCRYPTED: &[u8] = b"ENCRYPTED";

/// A chain of certificates and its private key, which belong together.
pub(super) struct Identity {
    pub(super) chain: Vec<CertificateDer<'static>>,
    pub(super) key: PrivateKeyDer<'static>,
}

impl Identity {
    /// Takes a chain, the certificate of the key first.
    ///
    /// # Errors
    /// `UnusableCertificate`, `UnusableKey` or `KeyMismatch`.
    pub(super) fn new(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
        provider: &CryptoProvider,
    ) -> Result<Self, TlsFailure> {
        let signer = provider.key_provider.load_private_key(key.clone_key());
        let signer = signer.map_err(|_| TlsFailure::UnusableKey)?;
        match CertifiedKey::new(chain.clone(), signer).keys_match() {
            Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => {
                Ok(Self { chain, key })
            }
            Err(Error::InconsistentKeys(_)) => Err(TlsFailure::KeyMismatch),
            Err(_) => Err(TlsFailure::UnusableCertificate),
        }
    }
}

/// Without the key.
impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Identity")
            .field("chain", &self.chain.len())
            .finish_non_exhaustive()
    }
}

/// The certificates of a PEM text, or the one that DER is; at least one.
///
/// # Errors
/// `NoCertificate` or `UnusableCertificate`.
pub(super) fn certificates(input: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsFailure> {
    if input.is_empty() {
        return Err(TlsFailure::NoCertificate);
    }
    if is_der(input) {
        return Ok(vec![CertificateDer::from(input.to_vec())]);
    }
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(input).collect();
    match found {
        Ok(found) if found.is_empty() => Err(TlsFailure::NoCertificate),
        Ok(found) => Ok(found),
        Err(_) => Err(TlsFailure::UnusableCertificate),
    }
}

/// The first private key of a PEM text, or the one that DER is.
///
/// # Errors
/// `NoKey`, `EncryptedKey` or `UnusableKey`.
pub(super) fn private_key(input: &[u8]) -> Result<PrivateKeyDer<'static>, TlsFailure> {
    if is_der(input) {
        let key = PrivateKeyDer::try_from(input).map_err(|_| TlsFailure::UnusableKey)?;
        return Ok(key.clone_key());
    }
    PrivateKeyDer::from_pem_slice(input).map_err(|error| match error {
        _ if contains(input, ENCRYPTED) => TlsFailure::EncryptedKey,
        pem::Error::NoItemsFound => TlsFailure::NoKey,
        _ => TlsFailure::UnusableKey,
    })
}

/// Says whether bytes begin as a certificate or a key in DER does, as a SEQUENCE, and have no PEM in them.
fn is_der(input: &[u8]) -> bool {
    input.first() == Some(&0x30) && !contains(input, PEM_MARK)
}

fn contains(input: &[u8], part: &[u8]) -> bool {
    input.windows(part.len()).any(|window| window == part)
}

/// A role in which no certificate of ours is shown.
#[derive(Debug)]
pub(super) struct Anonymous;

impl rustls::client::ResolvesClientCert for Anonymous {
    fn resolve(&self, _: &[&[u8]], _: &[rustls::SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        None
    }

    fn has_certs(&self) -> bool {
        false
    }
}
