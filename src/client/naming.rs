//! Where the addresses of a client come from, and how they are raced.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use crate::client::{ClientBuilder, CustomResolver};
use crate::error::{Error, Result};
use crate::message::answer::{Address, Family};
use crate::message::dial::DialProfile;
use crate::message::overrides::Overrides;
use crate::net::resolver::Resolve;

impl ClientBuilder {
    /// Sets how long addresses are remembered. Default 10 s; zero remembers nothing.
    #[must_use]
    pub fn dns_cache(mut self, limit: Duration) -> Self {
        self.dns_cache = limit;
        self
    }

    /// Uses a resolver of the caller's for all names.
    #[must_use]
    pub fn resolver(mut self, resolver: impl Resolve + 'static) -> Self {
        self.resolver = Some(CustomResolver(Arc::new(resolver)));
        self
    }

    /// Gives addresses for a host and port in advance, as curl's `--resolve` does; `*` stands for every host.
    ///
    /// # Errors
    /// [`RequestRule::Setting`](crate::error::RequestRule::Setting) when host or port cannot be one.
    pub fn resolve_override(mut self, host: &str, port: u16, addresses: &[IpAddr]) -> Result<Self> {
        let addresses: Vec<Address> = addresses.iter().copied().map(Address::from).collect();
        self.overrides
            .set(host, port, addresses)
            .map_err(|error| Error::setting("resolve").with_source(Box::new(error)))?;
        Ok(self)
    }

    /// Gives all addresses in advance from a table.
    #[must_use]
    pub fn overrides(mut self, overrides: Overrides) -> Self {
        self.overrides = overrides;
        self
    }

    /// Connects to another host and port than a URL says, as curl's `--connect-to` does. An empty host and port 0
    /// stand for every host and port, and as a target for no change. The first entry that fits counts.
    ///
    /// Only what is dialed changes: `Host`, the name that the certificate has to speak for, and the key under
    /// which connections are kept stay those of the URL. The table is the client's and does not change, so all
    /// connections of one origin go to the same place and the key need not name it.
    ///
    /// # Errors
    /// [`RequestRule::Setting`](crate::error::RequestRule::Setting) when a host cannot be one.
    pub fn connect_to(
        mut self,
        host: &str,
        port: u16,
        to_host: &str,
        to_port: u16,
    ) -> Result<Self> {
        self.connect_to
            .add(host, port, to_host, to_port)
            .map_err(|error| Error::setting("connect_to").with_source(Box::new(error)))?;
        Ok(self)
    }

    /// Sets how the addresses of a host are raced (RFC 8305). Default [`DialProfile::Fast`]. How long all of it
    /// may take is set by [`connect_timeout`](Self::connect_timeout), for either profile.
    #[must_use]
    pub fn dial_profile(mut self, profile: DialProfile) -> Self {
        self.dial_profile = profile;
        self
    }

    /// Uses only addresses of one family, as curl's `-4` and `-6` do: only they are asked for and tried. Default
    /// none: both.
    ///
    /// A host that has no such address, be it an IP literal, is
    /// [`LookupFailure::OtherFamily`](crate::error::LookupFailure::OtherFamily) or, when the resolver says so,
    /// [`LookupFailure::NoAddress`](crate::error::LookupFailure::NoAddress).
    #[must_use]
    pub fn address_family(mut self, family: Option<Family>) -> Self {
        self.family = family;
        self
    }
}
