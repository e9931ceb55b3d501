//! What inline tests of pure code need: a moment to count from, and values to judge.

use std::time::Instant;

use crate::message::fields::Fields;

/// A moment to count from. Pure code takes its time as an argument, so any moment will do.
pub(crate) fn origin() -> Instant {
    crate::net::clock::now()
}

/// Field lines, in this order.
pub(crate) fn fields(lines: &[(&str, &str)]) -> Fields {
    let mut fields = Fields::new();
    for (name, value) in lines {
        fields.append(name, value).unwrap();
    }
    fields
}
