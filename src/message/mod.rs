//! Values without behaviour: URLs, methods, fields, framing, answers of lookups.

pub mod anomaly;
pub mod answer;
pub mod close;
pub(crate) mod connect_to;
pub(crate) mod credentials;
pub(crate) mod date;
pub mod dial;
pub mod etag;
pub mod fields;
pub mod framing;
pub mod method;
pub mod no_proxy;
#[cfg(any(test, feature = "testkit"))]
pub(crate) mod oracle;
pub mod overrides;
pub mod peer_addr;
pub mod pool;
pub mod proxy;
pub mod quoted;
pub mod range;
pub mod status;
pub mod tcp_keep_alive;
pub mod tls;
pub mod url;
pub(crate) mod via;
pub mod weight;
