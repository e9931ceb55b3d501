//! What a client says about TLS, to origins and to proxies.

use crate::client::ClientBuilder;
use crate::error::{Error, ErrorKind, Result, TlsFailure};
use crate::net::tls::{TlsClient, TlsConfig};

/// What was said about TLS.
#[derive(Debug, Default)]
pub(super) struct SaidOfTls {
    origins: TlsConfig,
    proxies: Option<TlsConfig>,
}

impl SaidOfTls {
    /// What connections are made with, or why an https request will be an error: in a build without TLS.
    ///
    /// # Errors
    /// [`ErrorKind::Tls`] when a configuration cannot be used.
    pub(super) fn settle(&self) -> Result<Result<TlsClient>> {
        match self.origins.client_beside(self.proxies.as_ref()) {
            Err(error) if !is_absent(&error) => Err(error),
            settled => Ok(settled),
        }
    }
}

fn is_absent(error: &Error) -> bool {
    error.kind() == ErrorKind::Tls(TlsFailure::NotBuiltIn)
}

impl ClientBuilder {
    /// Sets the TLS configuration. Default: the webpki roots, TLS 1.2 and 1.3. Proxies over TLS are judged by it too,
    /// but are not shown its client certificate; [`proxy_tls`](Self::proxy_tls) sets another one for them.
    #[must_use]
    pub fn tls(mut self, tls: TlsConfig) -> Self {
        self.tls.origins = tls;
        self
    }

    /// Sets the TLS configuration for proxies over TLS, in place of that of [`tls`](Self::tls), which then holds for
    /// origins alone, those behind a proxy included. Its client certificate is shown to proxies.
    #[must_use]
    pub fn proxy_tls(mut self, tls: TlsConfig) -> Self {
        self.tls.proxies = Some(tls);
        self
    }
}
