//! Which rule a peer or a configuration broke, read from the errors of rustls.

use rustls::{AlertDescription, CertificateError, Error, PeerMisbehaved};

use super::TlsError;
use crate::error::{TlsFailure, printable};

/// Characters of an error's text that are kept. The text may quote what the peer's certificate says.
const TEXT_MAX: usize = 300;

impl TlsError {
    pub(super) fn new(failure: TlsFailure, text: &str) -> Self {
        Self {
            failure,
            alert: None,
            text: text.into(),
        }
    }
}

impl From<Error> for TlsError {
    fn from(error: Error) -> Self {
        let alert = match &error {
            Error::AlertReceived(alert) => Some(u8::from(*alert)),
            _ => None,
        };
        let mut text = printable(&error.to_string());
        text.truncate(TEXT_MAX);
        Self {
            failure: failure(&error),
            alert,
            text: text.into_boxed_str(),
        }
    }
}

/// The rule behind an error of rustls.
pub(super) fn failure(error: &Error) -> TlsFailure {
    match error {
        Error::InvalidCertificate(reason) => certificate(reason),
        Error::NoCertificatesPresented => TlsFailure::BadCertificate,
        Error::UnsupportedNameType => TlsFailure::NameMismatch,
        Error::AlertReceived(
            AlertDescription::NoApplicationProtocol
            | AlertDescription::ProtocolVersion
            | AlertDescription::InsufficientSecurity,
        ) => TlsFailure::NoAgreement,
        Error::AlertReceived(_) => TlsFailure::Alert,
        Error::PeerIncompatible(_)
        | Error::NoApplicationProtocol
        | Error::PeerMisbehaved(PeerMisbehaved::SelectedUnofferedApplicationProtocol) => {
            TlsFailure::NoAgreement
        }
        Error::InvalidCertRevocationList(_)
        | Error::FailedToGetCurrentTime
        | Error::FailedToGetRandomBytes
        | Error::BadMaxFragmentSize
        | Error::InconsistentKeys(_)
        | Error::General(_)
        | Error::Other(_) => TlsFailure::Config,
        _ => TlsFailure::Protocol,
    }
}

fn certificate(reason: &CertificateError) -> TlsFailure {
    match reason {
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            TlsFailure::NameMismatch
        }
        CertificateError::UnknownIssuer => TlsFailure::UnknownAuthority,
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => TlsFailure::Expired,
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            TlsFailure::NotYetValid
        }
        CertificateError::Revoked => TlsFailure::Revoked,
        CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
            TlsFailure::WrongPurpose
        }
        CertificateError::BadSignature => TlsFailure::BadSignature,
        CertificateError::UnsupportedSignatureAlgorithmContext { .. }
        | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
            TlsFailure::UnsupportedAlgorithm
        }
        _ => TlsFailure::BadCertificate,
    }
}
