//! The clients, by name.

#[cfg(feature = "peers")]
mod curl;
#[cfg(feature = "peers")]
mod hyper;
mod raw;
mod wirescope;

use std::net::SocketAddr;

use crate::concurrency::Outcome;
use crate::concurrency::crowd::Crowd;

/// The names of all, the limit first.
pub(crate) const NAMES: &str = if cfg!(feature = "peers") {
    "raw,wirescope,wirescope-sink,wirescope-traced,hyper,curl"
} else {
    "raw,wirescope,wirescope-sink,wirescope-traced"
};

/// Makes a client for so many connections to an address, which speaks TLS if there is an authority to trust.
pub(crate) fn named(
    name: &str,
    addr: SocketAddr,
    authority: Option<&str>,
    connections: usize,
) -> Outcome<Box<dyn Crowd>> {
    Ok(match name {
        "wirescope" => Box::new(wirescope::Calls::new(addr, authority, connections, None)?),
        "wirescope-sink" => {
            Box::new(wirescope::Calls::new(addr, authority, connections, None)?.into_sinks())
        }
        "wirescope-traced" => {
            let told = Some(wirescope::Told::default());
            Box::new(wirescope::Calls::new(addr, authority, connections, told)?)
        }
        _ if authority.is_some() => return Err(format!("{name} is not made for TLS here").into()),
        "raw" => Box::new(raw::Sockets::new(addr)?),
        #[cfg(feature = "peers")]
        "hyper" => Box::new(hyper::Tasks::new(addr)?),
        #[cfg(feature = "peers")]
        "curl" => Box::new(curl::Transfers::new(addr, connections)?),
        _ => return Err(format!("no client {name}; there are {NAMES}").into()),
    })
}
