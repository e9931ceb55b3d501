//! Values without behaviour: URLs, fields, methods, bodies, facts of TLS.

pub mod fields;
pub mod tls;
pub mod url;
