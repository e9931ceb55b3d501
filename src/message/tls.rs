//! What a TLS handshake agreed on, as plain values.

use std::fmt;

/// A version of TLS.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TlsVersion {
    /// TLS 1.2 (RFC 5246).
    V1_2,
    /// TLS 1.3 (RFC 8446).
    V1_3,
}

impl TlsVersion {
    /// The name in exports: `TLSv1.2`, `TLSv1.3`.
    #[must_use]
    pub fn tag(self) -> &'static str {
        match self {
            Self::V1_2 => "TLSv1.2",
            Self::V1_3 => "TLSv1.3",
        }
    }
}

impl fmt::Display for TlsVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.tag())
    }
}

/// Who the peer of a handshake is to us.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TlsRole {
    /// A proxy, which carries our bytes to the origin: a client certificate is not for it, and what is known of its
    /// sessions is not for an origin of the same name.
    Proxy,
    /// The origin.
    Origin,
}

impl TlsRole {
    /// The name in exports.
    #[must_use]
    pub fn tag(self) -> &'static str {
        match self {
            Self::Proxy => "proxy",
            Self::Origin => "origin",
        }
    }
}

impl fmt::Display for TlsRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.tag())
    }
}

/// How a handshake went.
#[non_exhaustive]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TlsHandshake {
    /// With certificates and a key exchange.
    Full,
    /// Full, with one round trip more because the peer wanted another key exchange group (RFC 8446 §2.1).
    FullWithHelloRetry,
    /// A session of an earlier connection was resumed; the certificates are those of that connection.
    Resumed,
}

impl TlsHandshake {
    /// The name in exports.
    #[must_use]
    pub fn tag(self) -> &'static str {
        match self {
            Self::Full => "full",
            Self::FullWithHelloRetry => "full_with_hello_retry",
            Self::Resumed => "resumed",
        }
    }
}

impl fmt::Display for TlsHandshake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.tag())
    }
}

/// What a TLS handshake agreed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFacts {
    pub(crate) version: TlsVersion,
    pub(crate) cipher_suite: &'static str,
    pub(crate) key_exchange: Option<&'static str>,
    pub(crate) alpn: Option<&'static str>,
    pub(crate) handshake: TlsHandshake,
    pub(crate) certificates: Vec<CertificateFacts>,
}

impl TlsFacts {
    /// The version of the protocol.
    #[must_use]
    pub fn version(&self) -> TlsVersion {
        self.version
    }

    /// The name of the cipher suite as IANA has it, such as `TLS_AES_256_GCM_SHA384`.
    #[must_use]
    pub fn cipher_suite(&self) -> &'static str {
        self.cipher_suite
    }

    /// The group of the key exchange, such as `X25519`; none where a resumption exchanged no keys.
    #[must_use]
    pub fn key_exchange(&self) -> Option<&'static str> {
        self.key_exchange
    }

    /// The protocol agreed on by ALPN (RFC 7301); none if the peer did not answer the offer.
    #[must_use]
    pub fn alpn(&self) -> Option<&'static str> {
        self.alpn
    }

    /// How the handshake went.
    #[must_use]
    pub fn handshake(&self) -> TlsHandshake {
        self.handshake
    }

    /// The certificates of the peer in the order it sent them, its own first. A resumed session has those of the
    /// connection it began with.
    #[must_use]
    pub fn certificates(&self) -> &[CertificateFacts] {
        &self.certificates
    }
}

/// What one certificate says. Read from the bytes the peer sent; the names are escaped and bounded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFacts {
    pub(crate) subject: Box<str>,
    pub(crate) issuer: Box<str>,
    pub(crate) not_before: Option<i64>,
    pub(crate) not_after: Option<i64>,
    pub(crate) sha256: Option<[u8; 32]>,
    pub(crate) der_len: usize,
}

impl CertificateFacts {
    /// Whom the certificate names, such as `C=US, CN=example.com`. Empty if it names nobody there or cannot be
    /// read. The host name is not checked against it: RFC 9110 §4.3.4 allows only the alternative names.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// Who issued the certificate, in the form of [`subject`](Self::subject).
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The first second of validity, in seconds since the beginning of 1970 (UTC).
    #[must_use]
    pub fn not_before(&self) -> Option<i64> {
        self.not_before
    }

    /// The last second of validity, in seconds since the beginning of 1970 (UTC).
    #[must_use]
    pub fn not_after(&self) -> Option<i64> {
        self.not_after
    }

    /// The SHA-256 of the certificate's bytes; none if the crypto provider has no such hash.
    #[must_use]
    pub fn sha256(&self) -> Option<&[u8; 32]> {
        self.sha256.as_ref()
    }

    /// The length of the certificate in bytes.
    #[must_use]
    pub fn der_len(&self) -> usize {
        self.der_len
    }
}
