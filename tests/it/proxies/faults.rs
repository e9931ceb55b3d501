//! Proxies that refuse, cut, stall and lie.
