//! Values without behaviour: URLs, fields, bodies.

pub mod url;
