//! Authorities that sign anything, right or wrong.

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CustomExtension, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, KeyPair, SanType,
};
use rustls::SignatureScheme;
use rustls::pki_types::PrivateKeyDer;
use wirescope::TlsConfig;
use wirescope::testkit::ServerIdentity;

/// The object identifier of the subject alternative names, and that of nothing at all.
pub(crate) const ALTERNATIVE_NAMES: &[u64] = &[2, 5, 29, 17];
pub(crate) const UNKNOWN: &[u64] = &[1, 3, 6, 1, 4, 1, 99_999, 1];

/// An authority, or what passes itself off as one.
pub(crate) struct Ca {
    cert: Certificate,
    der: Vec<u8>,
    key: KeyPair,
}

/// A certificate of a peer, with its key.
#[derive(Clone)]
pub(crate) struct Leaf {
    pub(crate) der: Vec<u8>,
    pub(crate) key: Vec<u8>,
}

impl Ca {
    pub(crate) fn root(name: &str) -> Self {
        let key = KeyPair::generate().unwrap();
        let cert = authority(name, |_| {}).self_signed(&key).unwrap();
        let der = cert.der().to_vec();
        Self { cert, der, key }
    }

    /// An authority below this one.
    pub(crate) fn sub(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Self {
        let key = KeyPair::generate().unwrap();
        let params = authority(name, change);
        let cert = params.signed_by(&key, &self.cert, &self.key).unwrap();
        let der = cert.der().to_vec();
        Self { cert, der, key }
    }

    /// Issues a certificate for these names.
    pub(crate) fn leaf(&self, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> Leaf {
        let key = KeyPair::generate().unwrap();
        let names: Vec<SanType> = names.iter().map(|name| san(name)).collect();
        let mut params = CertificateParams::new([]).unwrap();
        params.subject_alt_names = names;
        params.distinguished_name = named("peer of the test");
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        change(&mut params);
        let cert = params.signed_by(&key, &self.cert, &self.key).unwrap();
        let der = cert.der().to_vec();
        let key = key.serialize_der();
        Leaf { der, key }
    }

    /// Replaces bytes of the same length in what was issued, and signs it again: for what rcgen does not say.
    pub(crate) fn patched(&self, leaf: &Leaf, from: &[u8], to: &[u8]) -> Leaf {
        assert_eq!(from.len(), to.len());
        let (tbs, algorithm) = parts(&leaf.der);
        let replace = |der: &[u8]| {
            let mut der = der.to_vec();
            let places = der.windows(from.len()).enumerate();
            let places = places.filter(|(_, window)| *window == from);
            for at in places.map(|(at, _)| at).collect::<Vec<_>>() {
                der[at..at + to.len()].copy_from_slice(to);
            }
            der
        };
        let (new, algorithm) = (replace(tbs), replace(algorithm));
        assert_ne!(new, tbs, "there is nothing to replace");
        let signature = [&[0][..], &self.sign(&new)].concat();
        let whole = [new, algorithm, element(0x03, &signature)].concat();
        let der = element(0x30, &whole);
        let key = leaf.key.clone();
        Leaf { der, key }
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        let key = PrivateKeyDer::try_from(self.key.serialize_der()).unwrap();
        let provider = rustls::crypto::ring::default_provider();
        let key = provider.key_provider.load_private_key(key).unwrap();
        let schemes = &[SignatureScheme::ECDSA_NISTP256_SHA256];
        key.choose_scheme(schemes).unwrap().sign(message).unwrap()
    }

    pub(crate) fn der(&self) -> Vec<u8> {
        self.der.clone()
    }

    /// A peer that shows the authority's own certificate.
    pub(crate) fn itself(&self) -> Leaf {
        let key = self.key.serialize_der();
        Leaf {
            der: self.der(),
            key,
        }
    }

    /// Trusts this authority alone.
    pub(crate) fn trusted(&self) -> TlsConfig {
        let config = TlsConfig::new().builtin_roots(false);
        config.add_ca_pem(self.cert.pem()).unwrap()
    }
}

impl Leaf {
    /// Shown with these certificates behind it.
    pub(crate) fn with(&self, others: &[&Ca]) -> ServerIdentity {
        let others = others.iter().map(|other| other.der());
        let chain = std::iter::once(self.der.clone()).chain(others).collect();
        ServerIdentity::from_der(chain, self.key.clone())
    }

    /// The certificate of this peer and the key of another.
    pub(crate) fn with_key_of(&self, other: &Self) -> ServerIdentity {
        ServerIdentity::from_der(vec![self.der.clone()], other.key.clone())
    }
}

/// Nobody has signed it but itself.
pub(crate) fn self_signed(name: &str) -> ServerIdentity {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new([name.to_owned()]).unwrap();
    params.distinguished_name = named("peer of its own");
    let cert = params.self_signed(&key).unwrap();
    ServerIdentity::from_der(vec![cert.der().to_vec()], key.serialize_der())
}

pub(crate) fn extension(oid: &[u64], content: &[u8], is_critical: bool) -> CustomExtension {
    let mut extension = CustomExtension::from_oid_content(oid, content.to_vec());
    extension.set_criticality(is_critical);
    extension
}

fn authority(name: &str, change: impl FnOnce(&mut CertificateParams)) -> CertificateParams {
    let mut params = CertificateParams::new([]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.distinguished_name = named(name);
    change(&mut params);
    params
}

fn named(name: &str) -> DistinguishedName {
    let mut named = DistinguishedName::new();
    named.push(DnType::CommonName, name);
    named
}

/// `ip:`, `mail:` and `uri:` are what they say, anything else is a DNS name, however it looks.
fn san(name: &str) -> SanType {
    let text = |text: &str| text.try_into().unwrap();
    match name.split_once(':') {
        Some(("ip", address)) => SanType::IpAddress(address.parse().unwrap()),
        Some(("mail", address)) => SanType::Rfc822Name(text(address)),
        Some(("uri", uri)) => SanType::URI(text(uri)),
        _ => SanType::DnsName(text(name)),
    }
}

/// What is signed, and the algorithm it is signed with, each as a whole element.
fn parts(der: &[u8]) -> (&[u8], &[u8]) {
    let (head, len) = header(der);
    let body = &der[head..head + len];
    let (head, len) = header(body);
    let (tbs, rest) = body.split_at(head + len);
    let (head, len) = header(rest);
    (tbs, &rest[..head + len])
}

/// The lengths of an element's header and content.
fn header(der: &[u8]) -> (usize, usize) {
    match usize::from(der[1]) {
        short @ ..0x80 => (2, short),
        long => {
            let digits = &der[2..2 + (long & 0x7f)];
            let len = digits
                .iter()
                .fold(0, |sum, &digit| sum << 8 | usize::from(digit));
            (2 + digits.len(), len)
        }
    }
}

fn element(tag: u8, content: &[u8]) -> Vec<u8> {
    let [high, low] = u16::try_from(content.len()).unwrap().to_be_bytes();
    let header: &[u8] = match (high, low) {
        (0, ..0x80) => &[tag, low],
        (0, _) => &[tag, 0x81, low],
        _ => &[tag, 0x82, high, low],
    };
    [header, content].concat()
}
