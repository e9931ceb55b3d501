//! Certificates made at run time: a throw-away authority and what it signs, good and bad.
//!
//! Nothing here is kept in files, so nothing expires in a repository. A wrong name is an identity
//! issued for other names.
//!
//! ```
//! use wirescope::testkit::{Authority, Validity};
//!
//! # fn main() -> std::io::Result<()> {
//! let authority = Authority::new()?;
//! let good = authority.issue(&["localhost", "127.0.0.1"])?;
//! let expired = authority.issue_with(&["localhost"], Validity::Expired)?;
//! assert!(authority.pem().starts_with("-----BEGIN CERTIFICATE-----"));
//! assert_ne!(good.certificate_pem(), expired.certificate_pem());
//! # Ok(())
//! # }
//! ```

use std::fmt;
use std::io;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, KeyUsagePurpose, date_time_ymd,
};

/// A throw-away certificate authority.
pub struct Authority {
    certificate: Certificate,
    key: KeyPair,
}

impl Authority {
    /// Makes an authority with a key of its own (ECDSA P-256).
    ///
    /// # Errors
    ///
    /// If the system gives no random bytes.
    pub fn new() -> io::Result<Self> {
        let mut params = CertificateParams::new([]).map_err(io::Error::other)?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let key = KeyPair::generate().map_err(io::Error::other)?;
        name(&mut params, &authority_name(&key));
        let certificate = params.self_signed(&key).map_err(io::Error::other)?;
        Ok(Self { certificate, key })
    }

    /// The authority's certificate as PEM, to be trusted by a client.
    #[must_use]
    pub fn pem(&self) -> String {
        self.certificate.pem()
    }

    /// The authority's certificate as DER, to be trusted by a client.
    #[must_use]
    pub fn der(&self) -> &[u8] {
        self.certificate.der()
    }

    /// Issues an identity for DNS names and IP addresses, valid now; it also serves as a client's.
    ///
    /// # Errors
    ///
    /// If a name is not ASCII, or the system gives no random bytes.
    pub fn issue(&self, names: &[&str]) -> io::Result<ServerIdentity> {
        self.issue_with(names, Validity::Current)
    }

    /// Issues an identity with a chosen validity.
    ///
    /// # Errors
    ///
    /// As [`issue`](Self::issue).
    pub fn issue_with(&self, names: &[&str], validity: Validity) -> io::Result<ServerIdentity> {
        self.sign(leaf(names, validity)?)
    }

    /// Issues an identity whose subject has a chosen common name, for a test that no client takes it for a name that
    /// the certificate speaks for (RFC 9525 §2). Without names it has no subject alternative name at all.
    ///
    /// # Errors
    ///
    /// As [`issue`](Self::issue).
    pub fn issue_to(&self, common_name: &str, names: &[&str]) -> io::Result<ServerIdentity> {
        let mut params = leaf(names, Validity::Current)?;
        name(&mut params, common_name);
        self.sign(params)
    }

    fn sign(&self, mut params: CertificateParams) -> io::Result<ServerIdentity> {
        params.use_authority_key_identifier_extension = true;
        let key = KeyPair::generate().map_err(io::Error::other)?;
        let certificate = params
            .signed_by(&key, &self.certificate, &self.key)
            .map_err(io::Error::other)?;
        Ok(ServerIdentity::of(&certificate, &key))
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority").finish_non_exhaustive()
    }
}

/// When a certificate is valid.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Validity {
    /// From 1975 to 4096.
    #[default]
    Current,
    /// From 1975 to 2001: it has expired.
    Expired,
    /// From 4000 to 4096: it is not yet valid.
    NotYet,
}

/// A certificate and its private key, as a peer shows it in the TLS handshake.
#[derive(Clone)]
pub struct ServerIdentity {
    chain_der: Vec<Vec<u8>>,
    certificate_pem: String,
    key_der: Vec<u8>,
    key_pem: String,
}

impl ServerIdentity {
    /// Makes an identity that no authority has signed, valid now.
    ///
    /// # Errors
    ///
    /// If a name is not ASCII, or the system gives no random bytes.
    pub fn self_signed(names: &[&str]) -> io::Result<Self> {
        let params = leaf(names, Validity::Current)?;
        let key = KeyPair::generate().map_err(io::Error::other)?;
        let certificate = params.self_signed(&key).map_err(io::Error::other)?;
        Ok(Self::of(&certificate, &key))
    }

    /// Takes certificates in DER, in the order in which they are shown, and a private key in DER (PKCS #8). Nothing is
    /// checked: for a test of what a client does with a chain that is wrong, or with none.
    #[must_use]
    pub fn from_der(chain: Vec<Vec<u8>>, key: Vec<u8>) -> Self {
        Self {
            certificate_pem: chain.iter().map(|der| pem("CERTIFICATE", der)).collect(),
            key_pem: pem("PRIVATE KEY", &key),
            chain_der: chain,
            key_der: key,
        }
    }

    /// The certificates as PEM; there is one unless the identity was made by [`from_der`](Self::from_der).
    #[must_use]
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// The certificate as DER, the first if there are several.
    #[must_use]
    pub fn certificate_der(&self) -> &[u8] {
        self.chain_der.first().map_or(&[], Vec::as_slice)
    }

    /// The certificates as DER, in the order in which they are shown.
    #[must_use]
    pub fn chain_der(&self) -> &[Vec<u8>] {
        &self.chain_der
    }

    /// The private key as PEM (PKCS #8).
    #[must_use]
    pub fn key_pem(&self) -> &str {
        &self.key_pem
    }

    /// The private key as DER (PKCS #8).
    #[must_use]
    pub fn key_der(&self) -> &[u8] {
        &self.key_der
    }

    fn of(certificate: &Certificate, key: &KeyPair) -> Self {
        Self {
            chain_der: vec![certificate.der().to_vec()],
            certificate_pem: certificate.pem(),
            key_der: key.serialize_der(),
            key_pem: key.serialize_pem(),
        }
    }
}

impl fmt::Debug for ServerIdentity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ServerIdentity").finish_non_exhaustive()
    }
}

/// DER as PEM (RFC 7468 §2).
fn pem(label: &str, der: &[u8]) -> String {
    let mut text = format!("-----BEGIN {label}-----\n");
    for line in STANDARD.encode(der).as_bytes().chunks(64) {
        text.extend(line.iter().map(|byte| char::from(*byte)));
        text.push('\n');
    }
    text + &format!("-----END {label}-----\n")
}

/// A name of its own for each authority: to a client that trusts another one it is unknown, and
/// not the same with a bad signature.
fn authority_name(key: &KeyPair) -> String {
    let random = key.public_key_raw().iter().rev().take(8);
    let digits: String = random.map(|byte| format!("{byte:02x}")).collect();
    format!("wirescope test authority {digits}")
}

fn leaf(names: &[&str], validity: Validity) -> io::Result<CertificateParams> {
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let mut params = CertificateParams::new(names).map_err(io::Error::other)?;
    name(&mut params, "wirescope test peer");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
    ];
    match validity {
        Validity::Current => {}
        Validity::Expired => params.not_after = date_time_ymd(2001, 1, 1),
        Validity::NotYet => params.not_before = date_time_ymd(4000, 1, 1),
    }
    Ok(params)
}

fn name(params: &mut CertificateParams, common_name: &str) {
    params.distinguished_name = rcgen::DistinguishedName::new();
    params
        .distinguished_name
        .push(DnType::CommonName, common_name);
}
