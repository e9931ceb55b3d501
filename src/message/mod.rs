//! Values without behaviour: URLs, fields, methods, bodies.

pub mod fields;
pub mod url;
