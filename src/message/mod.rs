//! Values without behaviour: URLs, fields, methods, bodies.

pub mod anomaly;
pub mod fields;
pub mod framing;
pub mod status;
pub mod url;
