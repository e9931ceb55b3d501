//! The seam in a build without TLS: nothing can be configured and nothing can be started. The types have no
//! value, which only this file can see, so there is no code behind them either, and no need for `&mut self`.

use std::convert::Infallible;
use std::io;
use std::path::Path;

use super::{PlainRead, Progress, TlsConfig, TlsError};
use crate::error::TlsFailure;
use crate::message::tls::{TlsFacts, TlsRole};

/// Certificates and keys of a configuration: none.
#[derive(Clone, Debug, Default)]
pub(super) struct Material(());

impl Material {
    pub(super) fn add_roots(&self, _: &[u8]) -> Result<(), TlsFailure> {
        Err(TlsFailure::NotBuiltIn)
    }

    pub(super) fn set_identity(&self, _: &[u8], _: &[u8]) -> Result<(), TlsFailure> {
        Err(TlsFailure::NotBuiltIn)
    }

    pub(super) fn set_identity_der(&self, _: &[&[u8]], _: &[u8]) -> Result<(), TlsFailure> {
        Err(TlsFailure::NotBuiltIn)
    }

    pub(super) fn log_keys(&self, _: &Path) -> Result<io::Result<()>, TlsFailure> {
        Err(TlsFailure::NotBuiltIn)
    }
}

/// Never built.
#[derive(Clone, Debug)]
pub(crate) struct TlsClient(Infallible);

impl TlsClient {
    pub(super) fn new(_: &TlsConfig) -> Result<Self, TlsFailure> {
        Err(TlsFailure::NotBuiltIn)
    }

    pub(crate) fn client(&self, _: TlsRole) -> Self {
        match self.0 {}
    }

    pub(super) fn with_proxies(&self, _: &Self) -> Self {
        match self.0 {}
    }
}

/// Never made.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct TlsName(Infallible);

impl TlsName {
    pub(crate) fn new(_: &str) -> Result<Self, TlsFailure> {
        Err(TlsFailure::NotBuiltIn)
    }
}

/// Never started.
#[derive(Debug)]
pub(crate) struct TlsStage(Infallible);

impl TlsStage {
    pub(super) fn new(_: &TlsClient, _: &TlsName) -> Result<Self, TlsError> {
        Err(TlsError {
            failure: TlsFailure::NotBuiltIn,
            alert: None,
            text: Box::default(),
        })
    }

    pub(crate) fn is_handshaking(&self) -> bool {
        match self.0 {}
    }

    pub(crate) fn offers_resumption(&self) -> bool {
        match self.0 {}
    }

    pub(crate) fn incoming(&self) -> &mut Vec<u8> {
        match self.0 {}
    }

    pub(crate) fn adopt(&self, _: Vec<u8>) {
        match self.0 {}
    }

    pub(crate) fn give_up(&self) -> Vec<u8> {
        match self.0 {}
    }

    pub(crate) fn advance(&self) -> Result<Progress, TlsError> {
        match self.0 {}
    }

    pub(crate) fn read_plain(&self, _: &mut [u8]) -> Result<PlainRead, TlsError> {
        match self.0 {}
    }

    pub(crate) fn write_plain(&self, _: &[u8]) -> Result<usize, TlsError> {
        match self.0 {}
    }

    pub(crate) fn send_close_notify(&self) {
        match self.0 {}
    }

    pub(crate) fn wants_write(&self) -> bool {
        match self.0 {}
    }

    pub(crate) fn outgoing(&self) -> &[u8] {
        match self.0 {}
    }

    pub(crate) fn sent(&self, _: usize) {
        match self.0 {}
    }

    pub(crate) fn holds_bytes(&self) -> bool {
        match self.0 {}
    }

    pub(crate) fn eof_is_clean(&self) -> bool {
        match self.0 {}
    }

    pub(crate) fn facts(&self) -> Option<TlsFacts> {
        match self.0 {}
    }
}
