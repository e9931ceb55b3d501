//! Which hop goes through which proxy.
